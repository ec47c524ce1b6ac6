// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    CallMsg,
    FvmAddress,
    IPCAddress,
    InvalidXnetMessageReason,
    IpcEnvelope,
    IpcMsgKind,
    SubnetID
} from "../ipc/Types.sol";
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

        IpcEnvelope memory e;
        e.kind = IpcMsgKind.Transfer;
        e.value = value;
        e.to = IPCAddress(_peer(), to);
        _send(e);
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Sends a Call of the calling contract. Of `envelope`, `to`,
    /// `value` and `message` (an abi.encode(CallMsg)) are read, and bit 63 of
    /// originalNonce: set, an Ok Result comes back too.
    /// @dev Callable from handlers.
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory committed)
    {
        if (msg.sender.code.length == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Sender);
        if (_valueAfterFee() != envelope.value) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        _requirePeer(envelope.to.subnetId);
        // Reverts unless it decodes.
        abi.decode(envelope.message, (CallMsg));

        committed.kind = IpcMsgKind.Call;
        committed.originalNonce = envelope.originalNonce & Envelopes.ASKED;
        committed.value = envelope.value;
        committed.to = envelope.to;
        committed.message = envelope.message;
        _send(committed);
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

    /// @dev Checks, books and commits a message of a user; `e` lacks only
    /// nonces and sender.
    function _send(IpcEnvelope memory e) private {
        address recipient = Fvm.evm(e.to.rawAddress);
        if (_isForbidden(recipient) || recipient == ACTOR) revert ForbiddenRecipient(recipient);
        e.from = IPCAddress(getNetworkName(), Fvm.from(msg.sender));

        _chargeFee();
        if (e.value != 0) _takeBack(e.value);

        Batch storage b = batches[_epoch()];
        if (b.users >= MAX_PER_PERIOD) revert PeriodFull(_epoch());
        ++b.users;
        uint256 size = _commit(e);
        if (size > Envelopes.MAX_ENVELOPE) revert EnvelopeTooLarge(size);
    }

    /// @dev Gives the message its nonces and appends it to its epoch; cannot
    /// revert. Keeps bit 63 of originalNonce.
    function _commit(IpcEnvelope memory e) internal returns (uint256 size) {
        uint64 nonce = nextBottomUp++;
        e.localNonce = nonce;
        e.originalNonce |= nonce;

        uint256 epoch = _epoch();
        Batch storage b = batches[epoch];
        if (b.count++ == 0) b.firstNonce = nonce;
        bytes memory encoded = abi.encode(e);
        b.rollingHash = Envelopes.fold(b.rollingHash, keccak256(encoded));

        emit QueuedBottomUpMessage(Envelopes.tracingId(e));
        // Block numbers fit.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit BottomUpMessage(uint64(epoch), nonce, e);
        return encoded.length;
    }

    /// @dev A message in block k·period belongs to epoch (k+1)·period.
    function _epoch() private view returns (uint256) {
        return (block.number / PERIOD + 1) * PERIOD;
    }

    function _valueAfterFee() private view returns (uint256) {
        if (msg.value < EXIT_FEE) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        return msg.value - EXIT_FEE;
    }

    function _peer() private view returns (SubnetID memory id) {
        id.root = ROOT;
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
