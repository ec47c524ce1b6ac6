// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Fvm} from "./Fvm.sol";
import {
    Asset,
    BottomUpCheckpoint,
    IpcEnvelope,
    IpcMsgKind,
    PowerChangeRequest,
    ResultMsg,
    SubnetID,
    OutcomeType,
    FvmAddress,
    IPCAddress
} from "./Types.sol";

/// @title Hashes and ids of IPC generation C
/// @notice Every hash is keccak256 over the ABI encoding of one struct, as the
/// published contracts take it.
library Envelopes {
    /// @dev The message of a Call is no abi.encode(CallMsg).
    error NoCall();

    /// @dev Bit 63 of originalNonce: the caller asked for an Ok Result
    /// (PROTOCOL 58).
    uint64 internal constant ASKED = 1 << 63;
    /// @dev Largest abi.encode(envelope) and route accepted (PROTOCOL 15).
    uint256 internal constant MAX_ENVELOPE = 4096;
    uint256 internal constant MAX_ROUTE = 2;
    /// @dev Return data of a handler carried in a Result.
    uint256 internal constant MAX_RET = 128;
    /// @dev The two sides of an envelope: where their offset stands in a `bytes`
    /// with its encoding.
    uint256 internal constant TO = 0xc0;
    uint256 internal constant FROM = 0xe0;

    /// @notice keccak256(abi.encode(envelope)).
    function toHash(IpcEnvelope memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(e));
    }

    /// @notice What `compose` makes an envelope of, beside its message.
    struct Head {
        IpcMsgKind kind;
        uint64 localNonce;
        uint64 originalNonce;
        uint256 value;
        uint64 toRoot;
        address toPart;
        address to;
        uint64 fromRoot;
        address fromPart;
        address from;
    }

    /// @notice abi.encode(envelope) of an envelope in calldata. Calldata as every
    /// encoder in use lays it out is that encoding already and is copied whole;
    /// other calldata that decodes goes through the compiler's encoder.
    function encode(IpcEnvelope calldata e) internal pure returns (bytes memory encoded) {
        uint256 size = _plainSize(e);
        if (size == 0) return abi.encode(e);
        assembly ("memory-safe") {
            encoded := mload(0x40)
            mstore(encoded, add(size, 0x20))
            mstore(add(encoded, 0x20), 0x20)
            calldatacopy(add(encoded, 0x40), e, size)
            mstore(0x40, add(encoded, add(size, 0x40)))
        }
    }

    /// @notice abi.encode of an envelope between two Ethereum accounts, on networks
    /// with at most one part in their route (0: none). The message, of `length`
    /// bytes, is still zero: the caller writes it to `at`.
    function compose(Head memory head, uint256 length)
        internal
        pure
        returns (bytes memory encoded, uint256 at)
    {
        assembly ("memory-safe") {
            // Writes an IPCAddress: the head's root, part and account at `from_`.
            function side(to, from_) -> end {
                let part := mload(add(from_, 0x20))
                let parts := iszero(iszero(part))
                let raw := add(0xa0, shl(5, parts))
                mstore(to, 0x40)
                mstore(add(to, 0x20), raw)
                mstore(add(to, 0x40), mload(from_))
                mstore(add(to, 0x60), 0x40)
                mstore(add(to, 0x80), parts)
                mstore(add(to, 0xa0), part) // or what follows
                to := add(to, raw)
                // addrType, and the payload as Fvm.payloadOf makes it
                mstore(to, 4)
                mstore(add(to, 0x20), 0x40)
                mstore(add(to, 0x40), 192)
                mstore(add(to, 0x60), 0x20)
                mstore(add(to, 0x80), 10)
                mstore(add(to, 0xa0), 20)
                mstore(add(to, 0xc0), 0x60)
                mstore(add(to, 0xe0), 20)
                mstore(add(to, 0x100), shl(96, mload(add(from_, 0x40))))
                end := add(to, 0x120)
            }
            encoded := mload(0x40)
            mstore(add(encoded, 0x20), 0x20)
            let envelope := add(encoded, 0x40)
            // kind, localNonce, originalNonce, value
            mcopy(envelope, head, 0x80)
            let tail := add(envelope, 0xe0)
            mstore(add(envelope, 0x80), 0xe0)
            tail := side(tail, add(head, 0x80))
            mstore(add(envelope, 0xa0), sub(tail, envelope))
            tail := side(tail, add(head, 0xe0))
            mstore(add(envelope, 0xc0), sub(tail, envelope))
            mstore(tail, length)
            at := add(tail, 0x20)
            tail := add(at, and(add(length, 0x1f), not(0x1f)))
            if gt(tail, at) { mstore(sub(tail, 0x20), 0) } // the padding
            mstore(encoded, sub(tail, add(encoded, 0x20)))
            mstore(0x40, tail)
        }
    }

    /// @dev How long `e` is in calldata, or 0 if a single bit of it is not what
    /// abi.encode writes: tails in order and without gaps, values within their
    /// types, padding zero.
    function _plainSize(IpcEnvelope calldata e) private pure returns (uint256 size) {
        assembly ("memory-safe") {
            // kind, localNonce, originalNonce; any value
            let bad :=
                or(
                    gt(calldataload(e), 2),
                    shr(64, or(calldataload(add(e, 0x20)), calldataload(add(e, 0x40))))
                )
            let at := add(e, 0xe0) // where the next tail has to begin
            let length
            // to, from
            for { let head := add(e, 0x80) } lt(head, add(e, 0xc0)) { head := add(head, 0x20) } {
                bad := or(bad, xor(calldataload(head), sub(at, e)))
                // Two offsets, then root, offset, length and parts of the route.
                length := calldataload(add(at, 0x80))
                bad := or(bad, or(shr(2, length), shr(64, calldataload(add(at, 0x40)))))
                length := shl(5, and(length, 3))
                bad := or(bad, or(xor(calldataload(at), 0x40), xor(calldataload(add(at, 0x60)), 0x40)))
                bad := or(bad, xor(calldataload(add(at, 0x20)), add(length, 0xa0)))
                at := add(at, 0xa0)
                for { length := add(at, length) } lt(at, length) { at := add(at, 0x20) } {
                    bad := or(bad, shr(160, calldataload(at)))
                }
                // Type, offset, length and bytes of the account.
                bad := or(bad, or(shr(8, calldataload(at)), xor(calldataload(add(at, 0x20)), 0x40)))
                length := calldataload(add(at, 0x40))
                at := add(at, and(add(length, 0x7f), not(0x1f)))
                bad := or(bad, shr(16, length))
                if and(length, 0x1f) {
                    bad := or(bad, shl(shl(3, and(length, 0x1f)), calldataload(sub(at, 0x20))))
                }
            }
            // message
            bad := or(bad, xor(calldataload(add(e, 0xc0)), sub(at, e)))
            length := calldataload(at)
            at := add(at, and(add(length, 0x3f), not(0x1f)))
            // It ends within the calldata, and begins there: offsets in calldata may
            // lead to before its start, where words read as zeros and those behind
            // them as they are, but where a copy is all zeros.
            bad := or(bad, or(shr(16, length), or(gt(at, calldatasize()), gt(e, at))))
            if and(length, 0x1f) {
                bad := or(bad, shl(shl(3, and(length, 0x1f)), calldataload(sub(at, 0x20))))
            }
            if iszero(bad) { size := sub(at, e) }
        }
    }

    /// @notice Is the network of `side` of an encoding made by `encode` the one of
    /// this root and route? Of the route its length, at most 2, and its first and
    /// last part.
    function isNetwork(
        bytes memory encoded,
        uint256 side,
        uint256 root,
        uint256 depth,
        address first,
        address last
    ) internal pure returns (bool yes) {
        assembly ("memory-safe") {
            let at := add(add(encoded, 0x40), mload(add(encoded, side)))
            yes := and(eq(mload(add(at, 0x40)), root), eq(mload(add(at, 0x80)), depth))
            if depth {
                yes := and(yes, eq(mload(add(at, 0xa0)), first))
                yes := and(yes, eq(mload(add(at, add(0x80, shl(5, depth)))), last))
            }
        }
    }

    /// @notice The account of `side` of an encoding made by `encode`, or false when
    /// it is no Ethereum address.
    function accountOf(bytes memory encoded, uint256 side) internal pure returns (bool ok, address account) {
        uint256 raw;
        assembly ("memory-safe") {
            let at := add(add(encoded, 0x40), mload(add(encoded, side)))
            raw := add(at, mload(add(at, 0x20)))
        }
        return Fvm.evmAt(raw);
    }

    /// @notice The id that Results carry: everything but localNonce.
    function tracingId(IpcEnvelope memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(e.kind, e.to, e.from, e.value, e.message, e.originalNonce));
    }

    /// @notice tracingId of the envelope whose abi.encode is `encoded`, without
    /// encoding anything again.
    /// @dev What is hashed has the same tails behind a head of six words instead
    /// of seven: kind, to, from, value, message, originalNonce. It is written over
    /// the old head, whose words are put back.
    function tracingIdOf(bytes memory encoded) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            // [length][0x20][kind][localNonce][originalNonce][value][to][from][message] tails
            let head := add(encoded, 0x60)
            let localNonce := mload(head)
            let originalNonce := mload(add(head, 0x20))
            let value := mload(add(head, 0x40))
            let to := mload(add(head, 0x60))
            let from_ := mload(add(head, 0x80))
            let message := mload(add(head, 0xa0))

            mstore(head, mload(add(encoded, 0x40)))
            // The offsets count from the start of the head, now a word shorter.
            mstore(add(head, 0x20), sub(to, 0x20))
            mstore(add(head, 0x40), sub(from_, 0x20))
            mstore(add(head, 0x60), value)
            mstore(add(head, 0x80), sub(message, 0x20))
            mstore(add(head, 0xa0), originalNonce)
            id := keccak256(head, sub(mload(encoded), 0x40))

            mstore(head, localNonce)
            mstore(add(head, 0x20), originalNonce)
            mstore(add(head, 0x40), value)
            mstore(add(head, 0x60), to)
            mstore(add(head, 0x80), from_)
            mstore(add(head, 0xa0), message)
        }
    }

    /// @notice Changes originalNonce in an encoding.
    function setOriginalNonce(bytes memory encoded, uint64 nonce) internal pure {
        assembly ("memory-safe") {
            mstore(add(encoded, 0x80), nonce)
        }
    }

    /// @notice The leaf of a message in the batch tree: 13 flattened fields,
    /// hashed twice.
    function leaf(IpcEnvelope memory e) internal pure returns (bytes32) {
        bytes memory fields = abi.encode(
            uint8(e.kind),
            e.localNonce,
            e.originalNonce,
            e.value,
            e.to.subnetId.root,
            e.to.subnetId.route,
            e.to.rawAddress.addrType,
            e.to.rawAddress.payload,
            e.from.subnetId.root,
            e.from.subnetId.route,
            e.from.rawAddress.addrType,
            e.from.rawAddress.payload,
            e.message
        );
        return keccak256(bytes.concat(keccak256(fields)));
    }

    /// @notice keccak256(abi.encode(subnetId)).
    function subnetHash(SubnetID memory id) internal pure returns (bytes32) {
        return keccak256(abi.encode(id));
    }

    /// @notice keccak256(abi.encode(checkpoint)), what validators sign.
    function checkpointHash(BottomUpCheckpoint memory c) internal pure returns (bytes32) {
        return keccak256(abi.encode(c));
    }

    /// @notice keccak256(abi.encode(change)), what the power-change hash folds.
    function changeHash(PowerChangeRequest memory c) internal pure returns (bytes32) {
        return keccak256(abi.encode(c));
    }

    /// @notice Reverts unless abi.decode(message, (CallMsg)) works.
    function requireCall(bytes calldata message) internal pure {
        bool ok;
        assembly ("memory-safe") {
            // A dynamic value at `offset` from `base`: does it end by `end`?
            function fits(base, offset, end) -> yes {
                let at := add(base, offset)
                if and(iszero(shr(64, offset)), iszero(gt(add(at, 0x20), end))) {
                    let length := calldataload(at)
                    yes := and(iszero(shr(64, length)), iszero(gt(add(add(at, 0x20), length), end)))
                }
            }
            let end := add(message.offset, message.length)
            let offset := calldataload(message.offset)
            let base := add(message.offset, offset)
            // Two offsets, from where the first says.
            ok := and(
                gt(message.length, 0x1f),
                and(iszero(shr(64, offset)), iszero(gt(add(base, 0x40), end)))
            )
            if ok {
                ok := and(fits(base, calldataload(base), end), fits(base, calldataload(add(base, 0x20)), end))
            }
        }
        if (!ok) revert NoCall();
    }

    /// @notice One step of a rolling hash: keccak256(r ‖ item).
    function fold(bytes32 r, bytes32 item) internal pure returns (bytes32 next) {
        assembly ("memory-safe") {
            mstore(0x00, r)
            mstore(0x20, item)
            next := keccak256(0x00, 0x40)
        }
    }

    /// @notice Nothing to execute: a Transfer of 0, or no message otherwise.
    function isEmpty(IpcEnvelope memory e) internal pure returns (bool) {
        return e.kind == IpcMsgKind.Transfer ? e.value == 0 : e.message.length == 0;
    }

    /// @notice Did the sender ask for an Ok Result?
    function asked(IpcEnvelope memory e) internal pure returns (bool) {
        return e.originalNonce & ASKED != 0;
    }

    /// @notice The Result that answers `e`, nonces still 0.
    function resultFor(IpcEnvelope memory e, OutcomeType outcome, bytes memory ret)
        internal
        pure
        returns (IpcEnvelope memory r)
    {
        r.kind = IpcMsgKind.Result;
        r.value = outcome == OutcomeType.Ok ? 0 : e.value;
        r.to = e.from;
        r.from = e.to;
        r.message = abi.encode(ResultMsg({id: tracingId(e), outcome: outcome, ret: ret}));
    }

    /// @notice Equality of two subnet ids, without hashing.
    function same(SubnetID memory a, SubnetID memory b) internal pure returns (bool) {
        if (a.root != b.root || a.route.length != b.route.length) return false;
        for (uint256 i = 0; i < a.route.length; i++) {
            if (a.route[i] != b.route[i]) return false;
        }
        return true;
    }
}
