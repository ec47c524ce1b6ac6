// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

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
    /// @dev Bit 63 of originalNonce: the caller asked for an Ok Result
    /// (PROTOCOL 58).
    uint64 internal constant ASKED = 1 << 63;
    /// @dev Largest abi.encode(envelope) and route accepted (PROTOCOL 15).
    uint256 internal constant MAX_ENVELOPE = 4096;
    uint256 internal constant MAX_ROUTE = 2;
    /// @dev Return data of a handler carried in a Result.
    uint256 internal constant MAX_RET = 128;

    /// @notice keccak256(abi.encode(envelope)).
    function toHash(IpcEnvelope memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(e));
    }

    /// @notice The id that Results carry: everything but localNonce.
    function tracingId(IpcEnvelope memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(e.kind, e.to, e.from, e.value, e.message, e.originalNonce));
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
