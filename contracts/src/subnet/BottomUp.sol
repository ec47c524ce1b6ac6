// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {FvmAddress, InvalidXnetMessageReason, IpcEnvelope, IpcMsgKind, SubnetID} from "../ipc/Types.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {Ledger} from "./Ledger.sol";

/// @title Messages from the subnet to its root
/// @notice Storage keeps one rolling hash per epoch, events carry the bodies
/// (PROTOCOL 58). Whoever sends pays a flat exit fee; Results are exempt from
/// fee, minimum and cap (PROTOCOL 28).
abstract contract BottomUp is Ledger {
    error EnvelopeTooLarge(uint256 size);
    error BelowMinimum(uint256 min);
    error PeriodFull(uint256 epoch);

    /// @dev `users` counts the messages under the cap.
    struct Batch {
        uint64 firstNonce;
        uint64 count;
        uint64 users;
        bytes32 rollingHash;
    }

    mapping(uint256 epoch => Batch) private batches;

    /// @inheritdoc ISubnetGateway
    /// @notice Withdraws msg.value - exitFee to `to` on the root. Without id,
    /// fallback or fill: if it fails there, it becomes a credit of `to`.
    function release(FvmAddress calldata to) external payable {
        uint256 value = _valueAfterFee();
        if (value == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        if (value < MIN_RELEASE) revert BelowMinimum(MIN_RELEASE);

        _send(IpcMsgKind.Transfer, 0, value, to, msg.data[:0]);
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Sends a Call of the calling contract. Of `envelope`, `to`,
    /// `value` and `message` (an abi.encode(CallMsg)) are read, and bit 63 of
    /// originalNonce: set, an Ok Result comes back too.
    /// @dev Callable from handlers.
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory)
    {
        if (msg.sender.code.length == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Sender);
        uint256 value = envelope.value;
        if (_valueAfterFee() != value) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        _requirePeer(envelope.to.subnetId);
        bytes calldata message = envelope.message;
        Envelopes.requireCall(message);

        uint64 asked = envelope.originalNonce & Envelopes.ASKED;
        bytes memory committed = _send(IpcMsgKind.Call, asked, value, envelope.to.rawAddress, message);
        // The encoding is what abi.encode would return.
        assembly ("memory-safe") {
            return(add(committed, 0x20), mload(committed))
        }
    }

    /// @inheritdoc ISubnetGateway
    function bottomUpNonce() external view returns (uint64) {
        return nextBottomUp;
    }

    /// @inheritdoc ISubnetGateway
    function bottomUpBatchInfo(uint256 epoch)
        external
        view
        returns (uint64 firstNonce, uint64 count, bytes32 rollingHash)
    {
        Batch storage b = batches[epoch];
        return (b.firstNonce, b.count, b.rollingHash);
    }

    /// @dev Checks, books and commits a message of a user to the root itself.
    function _send(
        IpcMsgKind kind,
        uint64 asked,
        uint256 value,
        FvmAddress calldata to,
        bytes calldata message
    ) private returns (bytes memory encoded) {
        (bool ok, address recipient) = Fvm.tryEvmIn(to);
        if (!ok) revert Fvm.NotDelegatedEvmAddress();
        if (_isForbidden(recipient) || recipient == ACTOR || recipient == ROOT_GATEWAY) {
            revert ForbiddenRecipient(recipient);
        }
        _chargeFee();
        if (value != 0) _takeBack(value);

        uint64 nonce = nextBottomUp++;
        Envelopes.Head memory head;
        head.kind = kind;
        head.localNonce = nonce;
        head.originalNonce = asked | nonce;
        head.value = value;
        head.toRoot = ROOT;
        head.to = recipient;
        head.fromRoot = ROOT;
        head.fromPart = ACTOR;
        head.from = msg.sender;
        uint256 at;
        (encoded, at) = Envelopes.compose(head, message.length);
        assembly ("memory-safe") {
            calldatacopy(at, message.offset, message.length)
        }
        if (encoded.length > Envelopes.MAX_ENVELOPE) revert EnvelopeTooLarge(encoded.length);
        _append(encoded, nonce, true);
    }

    /// @dev Gives a message of ours its nonces and commits it; cannot revert.
    function _commit(IpcEnvelope memory e) internal {
        uint64 nonce = nextBottomUp++;
        e.localNonce = nonce;
        e.originalNonce = nonce;
        _append(abi.encode(e), nonce, false);
    }

    /// @dev Appends a message to its epoch and publishes it. Only users' messages
    /// are under the cap.
    function _append(bytes memory encoded, uint64 nonce, bool user) private {
        uint256 epoch = _epoch();
        Batch storage b = batches[epoch];
        (uint64 first, uint64 count, uint64 users) = (b.firstNonce, b.count, b.users);
        if (user && users++ >= MAX_PER_PERIOD) revert PeriodFull(epoch);
        if (count == 0) first = nonce;
        (b.firstNonce, b.count, b.users) = (first, count + 1, users);
        b.rollingHash = Envelopes.fold(b.rollingHash, keccak256(encoded));

        emit QueuedBottomUpMessage(Envelopes.tracingIdOf(encoded));
        // emit BottomUpMessage(epoch, nonce, e): the data of the event is exactly
        // the encoding just hashed.
        bytes32 topic = BottomUpMessage.selector;
        assembly ("memory-safe") {
            log3(add(encoded, 0x20), mload(encoded), topic, epoch, nonce)
        }
    }

    /// @dev A message in block k·period belongs to epoch (k+1)·period.
    function _epoch() private view returns (uint256) {
        return (block.number / PERIOD + 1) * PERIOD;
    }

    function _valueAfterFee() private view returns (uint256) {
        if (msg.value < EXIT_FEE) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        return msg.value - EXIT_FEE;
    }

    /// @dev Only the root network itself is a destination (PROTOCOL 15).
    function _requirePeer(SubnetID calldata id) private view {
        if (id.root == ROOT && id.route.length == 0) return;
        if (id.root == ROOT && id.route.length == 1 && id.route[0] == ACTOR) {
            revert InvalidXnetMessage(InvalidXnetMessageReason.ReflexiveSend);
        }
        revert InvalidXnetMessage(InvalidXnetMessageReason.DstSubnet);
    }
}
