// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {InvalidInclusionProof, InvalidXnetMessage} from "../ipc/Errors.sol";
import {Inclusion, InvalidXnetMessageReason} from "../ipc/Types.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {IGateway} from "../interfaces/IGateway.sol";

/// @title Proves messages of a batch and hands them to the gateway
/// @notice Each message is encoded once, from calldata: that encoding is the
/// source of its leaf and goes to the gateway as it is. Decoding the messages
/// into memory first would cost more gas, and more code than the actor may have.
library Inclusions {
    /// @notice Checks that `list[skip:]` carries the nonces from `nonce` on, each
    /// message below `root`, and calls gateway.execBottomUpMsgBatch with them.
    /// Hands the gateway's error on.
    function forward(IGateway gateway, Inclusion[] calldata list, uint256 skip, uint64 nonce, bytes32 root)
        internal
    {
        uint256 count = list.length - skip;
        uint256 selector = uint32(IGateway.execBottomUpMsgBatch.selector);
        uint256 start; // of the call's data
        uint256 heads; // the array's offsets, one word each
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, selector)
            mstore(add(free, 0x20), 0x20)
            mstore(add(free, 0x40), count)
            start := add(free, 0x1c)
            heads := add(free, 0x60)
            mstore(0x40, add(heads, mul(0x20, count)))
        }
        for (uint256 i = 0; i < count; i++) {
            Inclusion calldata inclusion = list[skip + i];
            if (inclusion.msg.localNonce != nonce + i) {
                revert InvalidXnetMessage(InvalidXnetMessageReason.Nonce);
            }
            // Lies behind what was written so far. Its first two words (length
            // and 0x20) stay as a gap between the array's elements.
            bytes memory encoded = Envelopes.encode(inclusion.msg);
            assembly ("memory-safe") {
                mstore(add(heads, mul(0x20, i)), sub(add(encoded, 0x40), heads))
            }
            if (!MerkleProof.verifyCalldata(inclusion.proof, root, leafOf(encoded))) {
                revert InvalidInclusionProof();
            }
        }
        assembly ("memory-safe") {
            let size := sub(mload(0x40), start)
            if iszero(extcodesize(gateway)) { revert(0, 0) }
            if iszero(call(gas(), gateway, 0, start, size, 0, 0)) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    /// @notice The leaf of a message from abi.encode(envelope): the same as
    /// Envelopes.leaf. `encoded` must come from solc's own encoder, whose offsets
    /// can be trusted. Uses memory beyond the free pointer and leaves it free.
    function leafOf(bytes memory encoded) internal pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            // Copies a dynamic value, which is `count` words long beside its
            // length word, to the tail; returns the new end of the tail.
            function copy(from, to, count) -> end {
                let size := mul(0x20, add(count, 1))
                mcopy(to, from, size)
                end := add(to, size)
            }
            function words(size) -> n {
                n := shr(5, add(size, 0x1f))
            }
            // Writes root, route, addrType and payload of an IPCAddress: four
            // head words at `head`, tails at `tail`.
            function address_(from, head, tail, base) -> end {
                let subnet := add(from, mload(from))
                let raw := add(from, mload(add(from, 0x20)))
                mstore(head, mload(subnet))
                mstore(add(head, 0x20), sub(tail, base))
                let dynamic := add(subnet, mload(add(subnet, 0x20)))
                end := copy(dynamic, tail, mload(dynamic))
                mstore(add(head, 0x40), mload(raw))
                mstore(add(head, 0x60), sub(end, base))
                dynamic := add(raw, mload(add(raw, 0x20)))
                end := copy(dynamic, end, words(mload(dynamic)))
            }
            let envelope := add(encoded, 0x40)
            let base := mload(0x40)
            // kind, localNonce, originalNonce, value
            mcopy(base, envelope, 0x80)
            let tail := add(base, 0x1a0) // thirteen head words
            tail := address_(add(envelope, mload(add(envelope, 0x80))), add(base, 0x80), tail, base)
            tail := address_(add(envelope, mload(add(envelope, 0xa0))), add(base, 0x100), tail, base)
            mstore(add(base, 0x180), sub(tail, base))
            let message := add(envelope, mload(add(envelope, 0xc0)))
            tail := copy(message, tail, words(mload(message)))
            mstore(0x00, keccak256(base, sub(tail, base)))
            leaf := keccak256(0x00, 0x20)
        }
    }
}
