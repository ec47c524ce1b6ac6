// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev OpenZeppelin's StandardMerkleTree over ready leaves: sorted ascending,
/// stored from the end of an array of 2n-1 nodes, pairs hashed in order of value.
library Tree {
    function build(bytes32[] memory leaves) internal pure returns (bytes32[] memory tree) {
        uint256 n = leaves.length;
        if (n == 0) return tree;
        bytes32[] memory sorted = new bytes32[](n);
        for (uint256 i = 0; i < n; i++) {
            uint256 j = i;
            for (; j > 0 && sorted[j - 1] > leaves[i]; j--) {
                sorted[j] = sorted[j - 1];
            }
            sorted[j] = leaves[i];
        }
        tree = new bytes32[](2 * n - 1);
        for (uint256 i = 0; i < n; i++) {
            tree[tree.length - 1 - i] = sorted[i];
        }
        for (uint256 i = tree.length - n; i > 0; i--) {
            tree[i - 1] = node(tree[2 * i - 1], tree[2 * i]);
        }
    }

    function root(bytes32[] memory tree) internal pure returns (bytes32) {
        return tree.length == 0 ? bytes32(0) : tree[0];
    }

    function proof(bytes32[] memory tree, bytes32 leaf) internal pure returns (bytes32[] memory path) {
        uint256 at = tree.length / 2;
        while (tree[at] != leaf) at++; // leaves are the second half
        uint256 depth;
        for (uint256 i = at; i > 0; i = (i - 1) / 2) {
            depth++;
        }
        path = new bytes32[](depth);
        for (uint256 k = 0; at > 0; k++) {
            path[k] = tree[at % 2 == 1 ? at + 1 : at - 1];
            at = (at - 1) / 2;
        }
    }

    function node(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }
}
