// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AmountOutOfBounds, ForbiddenRecipient, InvalidXnetMessage, SubnetSilent} from "../ipc/Errors.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {
    FvmAddress,
    IPCAddress,
    IpcEnvelope,
    IpcMsgKind,
    InvalidXnetMessageReason,
    SubnetID
} from "../ipc/Types.sol";
import {Ledger} from "./Ledger.sol";

/// @title What goes down: deposits and calls of contracts
abstract contract TopDown is Ledger {
    /// @notice Locks msg.value and sends it to `to` in a subnet whose supply is
    /// the native coin. Reverts as generation C does, and for amounts outside
    /// fundLimits, refused recipients, and a subnet that fell silent.
    function fund(SubnetID calldata subnetId, FvmAddress calldata to) external payable {
        if (msg.value == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        (State storage s, address actor) = _registered(subnetId);
        require(s.token == address(0), "Unexpected asset");
        _fund(s, actor, subnetId, to, msg.value);
    }

    /// @notice Locks `amount` of the subnet's supply token and sends what arrived
    /// of it to `to` in the subnet.
    function fundWithToken(SubnetID calldata subnetId, FvmAddress calldata to, uint256 amount)
        external
        whilePulling
    {
        if (amount == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        (State storage s, address actor) = _registered(subnetId);
        address token = s.token;
        require(token != address(0), "Unexpected asset");
        uint256 received = _pull(token, msg.sender, amount);
        _fund(s, actor, subnetId, to, received);
    }

    /// @notice Sends a Call from the calling contract to a contract in the
    /// subnet. Of `envelope`, `to`, `value`, `message` (an encoded CallMsg) and
    /// bit 63 of originalNonce (an Ok Result is wanted) are used; the rest is
    /// filled in. Native supply: msg.value is the value. ERC-20 supply: the value
    /// is pulled from the caller, msg.value is 0; a value of 0 is legal.
    /// @return committed the envelope as sent, with its nonces.
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory committed)
    {
        if (msg.sender.code.length == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Sender);
        if (_isHere(envelope.to.subnetId)) revert InvalidXnetMessage(InvalidXnetMessageReason.ReflexiveSend);
        address actor = _actorOf(envelope.to.subnetId);
        State storage s = subnets[actor];
        if (actor == address(0) || !s.registered) {
            revert InvalidXnetMessage(InvalidXnetMessageReason.DstSubnet);
        }
        _requireAlive(s);
        _requireRecipient(envelope.to.rawAddress);
        Envelopes.requireCall(envelope.message);

        committed.kind = IpcMsgKind.Call;
        committed.originalNonce = envelope.originalNonce;
        committed.to = envelope.to;
        committed.from = IPCAddress({subnetId: _here(), rawAddress: Fvm.from(msg.sender)});
        committed.message = envelope.message;
        committed.value = _lockForCall(s, envelope.value);
        _markCalled(s);
        _commitTopDown(s, actor, committed);
    }

    /// @dev Locks the value of a contract's message and returns what arrived.
    function _lockForCall(State storage s, uint256 value) private returns (uint256) {
        address token = s.token;
        if (msg.value != (token == address(0) ? value : 0)) {
            revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        }
        if (value == 0) return 0;
        if (token != address(0)) value = _pullOnce(token, value);
        _countLocked(s, value);
        return value;
    }

    function _pullOnce(address token, uint256 value) private whilePulling returns (uint256) {
        return _pull(token, msg.sender, value);
    }

    function _fund(
        State storage s,
        address actor,
        SubnetID calldata subnetId,
        FvmAddress calldata to,
        uint256 amount
    ) private {
        _requireAlive(s);
        _requireRecipient(to);
        _countLocked(s, amount);
        IpcEnvelope memory e;
        e.kind = IpcMsgKind.Transfer;
        e.value = amount;
        e.to = IPCAddress({subnetId: subnetId, rawAddress: to});
        e.from = IPCAddress({subnetId: _here(), rawAddress: Fvm.from(msg.sender)});
        _commitTopDown(s, actor, e);
    }

    function _countLocked(State storage s, uint256 amount) private {
        if (amount < FUND_MIN || amount > FUND_MAX) revert AmountOutOfBounds(amount, FUND_MIN, FUND_MAX);
        uint256 locked = s.counters.locked + amount;
        if (locked > MAX_LOCKED) revert AmountOutOfBounds(amount, FUND_MIN, MAX_LOCKED);
        s.counters.locked = locked;
    }

    /// @dev Money must not enter a subnet that stopped making checkpoints
    /// (PROTOCOL 27).
    function _requireAlive(State storage s) private view {
        uint256 last = s.lastActive;
        // Measured in hours; a validator moves it by seconds.
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > last + MAX_SILENCE) revert SubnetSilent(last);
    }

    /// @dev Only Ethereum addresses that can own something in the subnet.
    function _requireRecipient(FvmAddress calldata to) private pure {
        address account = Fvm.evm(to);
        if (Fvm.isForbidden(account)) revert ForbiddenRecipient(account);
    }
}
