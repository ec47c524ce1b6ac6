// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title The accumulator over withdrawal ids: a Merkle mountain range
/// @notice leaf = keccak256(0 ‖ id); node = keccak256(1 ‖ left ‖ right). The
/// peaks of the perfect trees stand at their heights like the bits of a binary
/// counter: bit h of `count` is set exactly when a tree of 2^h leaves stands
/// there. Bagging goes from the lowest peak up: acc = keccak256(1 ‖ peak ‖ acc);
/// root = keccak256(2 ‖ uint64(count) ‖ acc), 0 when empty. The three prefixes
/// keep leaves, nodes and roots apart.
///
/// No append costs much more than another: at most BUDGET trees are merged by
/// one. A carry that has further to go is kept, and the appends that follow take
/// it on; the root is the same at every moment.
library Mmr {
    /// @dev Merges by one append. Of sixteen appends in a row fifteen carry no
    /// further than 3 heights by themselves and have 34 merges to spare: up to 2^37
    /// leaves a kept carry has arrived when the next one has to be kept.
    uint256 internal constant BUDGET = 3;
    /// @dev Heights whose slots `prepare` fills.
    uint256 internal constant PREPARED = 32;

    struct Tree {
        uint64 count;
        /// @dev Of the kept tree `carry`, which belongs there or higher; 0: none.
        uint8 carryHeight;
        bytes32 carry;
        /// @dev By height; a peak whose bit in `count` is clear is stale.
        mapping(uint256 height => bytes32) peaks;
    }

    /// @notice Fills the slots that appends will write, so that none of them pays
    /// for a new one. For constructors that run in a genesis.
    function prepare(Tree storage tree) internal {
        tree.carry = bytes32(uint256(1));
        for (uint256 height = 0; height < PREPARED; ++height) {
            tree.peaks[height] = bytes32(uint256(1));
        }
    }

    /// @notice Appends one id; returns its index. Writes one slot beside the count,
    /// or two while a carry is kept.
    function append(Tree storage tree, bytes32 id) internal returns (uint64 index) {
        index = tree.count;
        uint256 kept = tree.carryHeight;
        bytes32 acc = leafOf(id);
        uint256 height = 0;
        while ((index >> height) & 1 == 1 && height < BUDGET) {
            acc = nodeOf(tree.peaks[height], acc);
            ++height;
        }
        bool keep = (index >> height) & 1 == 1;
        // What this append does not need, the kept carry may use; it has to make
        // room for another.
        if (kept != 0) kept = _advance(tree, index, kept, keep ? 64 : BUDGET - height);
        if (keep) {
            tree.carry = acc;
            kept = height;
        } else {
            tree.peaks[height] = acc;
        }
        // forge-lint: disable-next-line(unsafe-typecast) a height, at most 64
        (tree.count, tree.carryHeight) = (index + 1, uint8(kept));
    }

    /// @notice The root over all ids, 0 when there are none.
    function root(Tree storage tree) internal view returns (bytes32) {
        uint64 count = tree.count;
        if (count == 0) return bytes32(0);
        (uint256 carryHeight, bytes32 carry) = _arrived(tree, count);

        uint256 height = 0;
        while ((count >> height) & 1 == 0) ++height;
        bytes32 acc = height == carryHeight ? carry : tree.peaks[height];
        for (++height; (count >> height) != 0; ++height) {
            if ((count >> height) & 1 == 0) continue;
            acc = nodeOf(height == carryHeight ? carry : tree.peaks[height], acc);
        }
        return keccak256(abi.encodePacked(uint8(2), count, acc));
    }

    function leafOf(bytes32 id) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), id));
    }

    function nodeOf(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), left, right));
    }

    /// @dev Takes the kept carry up to `merges` heights further. It arrives where
    /// the bit of `count` is set: it is what set it. Returns its height, 0 if it
    /// arrived.
    function _advance(Tree storage tree, uint64 count, uint256 height, uint256 merges)
        private
        returns (uint256)
    {
        bytes32 acc = tree.carry;
        while ((count >> height) & 1 == 0 && merges > 0) {
            acc = nodeOf(tree.peaks[height], acc);
            ++height;
            --merges;
        }
        if ((count >> height) & 1 == 1) {
            tree.peaks[height] = acc;
            return 0;
        }
        tree.carry = acc;
        return height;
    }

    /// @dev Where the kept carry will arrive, and as what; no height if none is kept.
    function _arrived(Tree storage tree, uint64 count) private view returns (uint256 height, bytes32 acc) {
        height = tree.carryHeight;
        if (height == 0) return (type(uint256).max, acc);
        acc = tree.carry;
        for (; (count >> height) & 1 == 0; ++height) {
            acc = nodeOf(tree.peaks[height], acc);
        }
    }
}
