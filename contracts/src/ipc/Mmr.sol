// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title The accumulator over withdrawal ids: a Merkle mountain range
/// @notice leaf = keccak256(0 ‖ id); node = keccak256(1 ‖ left ‖ right). The
/// peaks of the perfect trees stand at their heights like the bits of a binary
/// counter: bit h of `count` is set exactly when a tree of 2^h leaves stands
/// there. Bagging goes from the lowest peak up: acc = keccak256(1 ‖ peak ‖ acc);
/// root = keccak256(2 ‖ uint64(count) ‖ acc), 0 when empty. The three prefixes
/// keep leaves, nodes and roots apart.
library Mmr {
    struct Tree {
        uint64 count;
        /// @dev By height; a peak whose bit in `count` is clear is stale.
        mapping(uint256 height => bytes32) peaks;
    }

    /// @notice Appends one id; returns its index. Costs one write of a peak
    /// (the reads of the peaks it swallows are one on average).
    function append(Tree storage tree, bytes32 id) internal returns (uint64 index) {
        index = tree.count;
        bytes32 acc = leafOf(id);
        uint256 height = 0;
        while ((index >> height) & 1 == 1) {
            acc = nodeOf(tree.peaks[height], acc);
            ++height;
        }
        tree.peaks[height] = acc;
        tree.count = index + 1;
    }

    /// @notice The root over all ids, 0 when there are none.
    function root(Tree storage tree) internal view returns (bytes32) {
        uint64 count = tree.count;
        if (count == 0) return bytes32(0);

        uint256 height = 0;
        while ((count >> height) & 1 == 0) ++height;
        bytes32 acc = tree.peaks[height];
        for (++height; (count >> height) != 0; ++height) {
            if ((count >> height) & 1 == 1) acc = nodeOf(tree.peaks[height], acc);
        }
        return keccak256(abi.encodePacked(uint8(2), count, acc));
    }

    function leafOf(bytes32 id) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), id));
    }

    function nodeOf(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), left, right));
    }
}
