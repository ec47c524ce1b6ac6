// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Envelopes} from "../ipc/Envelopes.sol";

/// @title A queue that arrives by statements and is applied in prefixes
/// (PROTOCOL 11, 12)
/// @notice Validators commit to (count, rolling hash) pairs; every pair is kept
/// until the queue is applied past it, so a prefix that was provable stays
/// provable whatever arrives in between.
library Lane {
    /// @dev No committed pair reaches as far as the batch.
    error NotCommitted(uint64 count);
    /// @dev The batch and its tail do not hash to the committed pair.
    error NotProven(uint64 count);
    /// @dev The first item to apply is `expected`; the batch has `got` there.
    error Gap(uint64 expected, uint64 got);

    struct Pair {
        uint64 count;
        bytes32 hash;
    }

    /// @dev `count` items are applied, with rolling hash `hash`. Kept pairs are
    /// [head, tail), strictly ascending in count, all above `count`.
    struct Queue {
        uint64 count;
        uint64 head;
        uint64 tail;
        bytes32 hash;
        mapping(uint256 index => Pair) pairs;
    }

    /// @notice Keeps a committed pair. The caller has checked that `count` is
    /// above every pair kept before.
    function keep(Queue storage q, uint64 count, bytes32 hash) internal {
        q.pairs[q.tail++] = Pair(count, hash);
    }

    /// @notice The lowest kept pair at or above `count`; (0, 0) if none.
    function at(Queue storage q, uint64 count) internal view returns (Pair memory) {
        uint256 low = q.head;
        uint256 high = q.tail;
        while (low < high) {
            uint256 mid = (low + high) / 2;
            if (q.pairs[mid].count < count) low = mid + 1;
            else high = mid;
        }
        return q.pairs[low];
    }

    /// @notice Reverts unless `hash` after `count` items, continued by `tail`,
    /// is the lowest kept pair at or above `count`.
    function requireProven(Queue storage q, uint64 count, bytes32 hash, bytes32[] calldata tail)
        internal
        view
    {
        Pair memory pair = at(q, count);
        if (pair.count == 0) revert NotCommitted(count);
        for (uint256 i = 0; i < tail.length; ++i) {
            hash = Envelopes.fold(hash, tail[i]);
        }
        if (count + tail.length != pair.count || hash != pair.hash) revert NotProven(count);
    }

    /// @notice Marks items up to `count` applied; pairs go with `trim`.
    function advance(Queue storage q, uint64 count, bytes32 hash) internal {
        q.count = count;
        q.hash = hash;
    }

    /// @notice Forgets every pair.
    function forget(Queue storage q) internal {
        q.head = q.tail;
    }

    /// @notice Goes on from `count` items with rolling hash `hash`, which are the
    /// root's: forgets every pair, and what was applied beyond. Items below that
    /// are not applied yet stay to be delivered, and must lead to `hash`.
    function goOnFrom(Queue storage q, uint64 count, bytes32 hash) internal {
        forget(q);
        if (count > q.count) keep(q, count, hash);
        else if (count == q.count && hash != q.hash) revert NotProven(count);
        else (q.count, q.hash) = (count, hash);
    }

    /// @notice Forgets the pairs that nothing can be proven against any more.
    function trim(Queue storage q) internal {
        uint64 head = q.head;
        uint64 tail = q.tail;
        uint64 count = q.count;
        while (head < tail && q.pairs[head].count <= count) {
            delete q.pairs[head++];
        }
        q.head = head;
    }
}
