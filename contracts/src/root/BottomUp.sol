// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    InsufficientGas,
    InvalidSubnetActor,
    InvalidXnetMessage,
    NotAuthorized,
    NothingToWithdraw,
    NotQuarantined,
    NotRegisteredSubnet,
    ForbiddenRecipient,
    NotEnoughBalance,
    StillQuarantined
} from "../ipc/Errors.sol";
import {Calls} from "../ipc/Calls.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {
    Disposition,
    IPCAddress,
    IpcEnvelope,
    IpcMsgKind,
    InvalidXnetMessageReason,
    OutcomeType,
    SubnetID
} from "../ipc/Types.sol";
import {Ledger} from "./Ledger.sol";

/// @title What comes up: messages of executed batches, credits and quarantine
/// @notice A message cannot make a batch revert except by its order or too
/// little gas (PROTOCOL 25), and its value goes exactly one way: to its
/// recipient, into a credit, back down in a failure Result, or nowhere yet
/// (quarantined).
abstract contract BottomUp is Ledger {
    /// @notice Applies the messages of a batch, which the calling subnet actor
    /// has proven. Reverts on a nonce out of order, and when the gas left would
    /// give a handler less than it is promised.
    function execBottomUpMsgBatch(IpcEnvelope[] calldata msgs) external whileApplying {
        State storage s = subnets[msg.sender];
        if (!s.registered) revert NotRegisteredSubnet();
        for (uint256 i = 0; i < msgs.length; i++) {
            uint256 memoryMark;
            assembly ("memory-safe") {
                memoryMark := mload(0x40)
            }
            _applyNext(s, msgs[i]);
            // Nothing of the message outlives the iteration: give its memory
            // back, or a long batch pays for all of it at a quadratic price.
            assembly ("memory-safe") {
                mstore(0x40, memoryMark)
            }
        }
    }

    /// @notice Applies a quarantined message again. Anyone may call; the envelope
    /// is checked against its stored hash. Reverts while it still cannot be
    /// applied.
    function retryQuarantined(IpcEnvelope calldata envelope) external whileApplying {
        address actor = _actorOf(envelope.from.subnetId);
        State storage s = subnets[actor];
        bytes32 kept = s.quarantine[envelope.localNonce];
        Calls.room();
        bytes memory encoded = Envelopes.encode(envelope);
        if (kept == 0 || kept != keccak256(encoded)) revert NotQuarantined();
        (bool applicable, address to) = _check(s, actor, envelope, encoded);
        if (!s.registered || !applicable) revert StillQuarantined();

        delete s.quarantine[envelope.localNonce];
        s.counters.quarantineReleased += envelope.value;
        (, Disposition disposition,) = _apply(s, actor, envelope, encoded, to);
        emit QuarantineReleased(actor, envelope.localNonce, disposition);
    }

    /// @notice Pays the caller's whole credit to `to`.
    function withdrawCredit(SubnetID calldata subnetId, address to)
        external
        whileApplying
        returns (uint256 amount)
    {
        if (to == address(0) || to == address(this)) revert ForbiddenRecipient(to);
        return _payCredit(subnetId, msg.sender, to);
    }

    /// @notice Pays the whole credit of `account` to `account`; anyone may call.
    function pushCredit(SubnetID calldata subnetId, address account)
        external
        whileApplying
        returns (uint256 amount)
    {
        return _payCredit(subnetId, account, account);
    }

    /// @notice Moves the value of a message to its handler and calls it, both or
    /// neither. Only we ourselves call this, to be able to undo the first when the
    /// second fails. Answers with the handler's own return data.
    function payAndCall(address token, address to, IpcEnvelope calldata envelope) external {
        if (msg.sender != address(this)) revert NotAuthorized(msg.sender);
        if (!Calls.tryPay(token, to, envelope.value, MESSAGE_GAS)) revert NotEnoughBalance();
        // Our own call: what follows its three words is the envelope as `encode`
        // left it.
        bytes memory encoded;
        assembly ("memory-safe") {
            let size := sub(calldatasize(), 0x64)
            encoded := mload(0x40)
            mstore(encoded, add(size, 0x20))
            mstore(add(encoded, 0x20), 0x20)
            calldatacopy(add(encoded, 0x40), 0x64, size)
            mstore(0x40, add(encoded, add(size, 0x40)))
        }
        // The caller gave twice the promise and a quarter: what the token left
        // is enough for the handler.
        (bool ok, bytes memory ret) = Calls.handle(to, 0, MESSAGE_GAS, encoded);
        assembly ("memory-safe") {
            switch ok
            case 0 { revert(add(ret, 0x20), mload(ret)) }
            default { return(add(ret, 0x20), mload(ret)) }
        }
    }

    /// @dev One message of a batch, in order.
    function _applyNext(State storage s, IpcEnvelope calldata e) private {
        uint64 nonce = s.appliedBottomUpNonce;
        if (e.localNonce != nonce) revert InvalidXnetMessage(InvalidXnetMessageReason.Nonce);
        s.appliedBottomUpNonce = nonce + 1; // before any call (PROTOCOL 17)

        // Encoded once, for the id, the hash and the call of its handler.
        Calls.room();
        bytes memory encoded = Envelopes.encode(e);
        bytes32 id = Envelopes.tracingIdOf(encoded);
        (bool applicable, address to) = _check(s, msg.sender, e, encoded);
        if (!applicable) {
            bytes32 hash = keccak256(encoded);
            s.quarantine[nonce] = hash;
            // A foreign subnet may claim any value: saturate, never revert.
            unchecked {
                uint256 sum = s.counters.quarantined + e.value;
                s.counters.quarantined = sum < e.value ? type(uint256).max : sum;
            }
            emit Quarantined(msg.sender, nonce, hash, e.value);
            emit BottomUpMessageApplied(
                msg.sender, nonce, id, OutcomeType.SystemErr, Disposition.Quarantined, ""
            );
            return;
        }
        (OutcomeType outcome, Disposition disposition, bytes memory ret) =
            _apply(s, msg.sender, e, encoded, to);
        emit BottomUpMessageApplied(msg.sender, nonce, id, outcome, disposition, ret);
    }

    /// @dev Can the value of `e` go somewhere? It must come from this subnet, be
    /// covered by its circulating supply, and have either a recipient here or a
    /// sender that a Result of bounded size can go back to. And the account that
    /// the message is for, if it may receive.
    function _check(State storage s, address actor, IpcEnvelope calldata e, bytes memory encoded)
        private
        view
        returns (bool applicable, address to)
    {
        (bool isEvm, address account) = Envelopes.accountOf(encoded, Envelopes.TO);
        bool receives = isEvm && !Fvm.isForbidden(account) && account != address(this);
        if (receives && Envelopes.isNetwork(encoded, Envelopes.TO, ROOT, DEPTH, PART, PART)) to = account;

        address first = DEPTH == 0 ? actor : PART;
        if (!Envelopes.isNetwork(encoded, Envelopes.FROM, ROOT, DEPTH + 1, first, actor)) return (false, to);
        if (e.value != 0 && e.value > _circSupply(s)) return (false, to);
        if (e.kind != IpcMsgKind.Call) return (to != address(0) || e.value == 0, to);
        (isEvm,) = Envelopes.accountOf(encoded, Envelopes.FROM);
        return (isEvm && (to != address(0) || _fits(e.to)), to);
    }

    /// @dev Does this address, as a sender, fit into a message?
    function _fits(IPCAddress calldata to) private pure returns (bool) {
        return to.subnetId.route.length <= Envelopes.MAX_ROUTE && to.rawAddress.payload.length <= 192;
    }

    /// @dev `to`: the account it is for, 0 if that may not receive.
    function _apply(State storage s, address actor, IpcEnvelope calldata e, bytes memory encoded, address to)
        private
        returns (OutcomeType, Disposition, bytes memory)
    {
        // Returned value counts too; it comes back in `relocked`.
        if (e.value != 0) s.counters.unlocked += e.value;
        if (e.kind == IpcMsgKind.Transfer) return _applyTransfer(s, actor, e, to);
        if (e.kind == IpcMsgKind.Call) return _applyCall(s, actor, e, encoded, to);
        return _applyResult(s, actor, e, encoded, to);
    }

    /// @dev A plain withdrawal: paid, or kept as a credit of its recipient. No
    /// Result either way (PROTOCOL 25, 58).
    function _applyTransfer(State storage s, address actor, IpcEnvelope calldata e, address to)
        private
        returns (OutcomeType, Disposition, bytes memory)
    {
        if (e.value == 0) return (OutcomeType.Ok, Disposition.Executed, "");
        _requireGas(MESSAGE_GAS);
        if (Calls.tryPay(s.token, to, e.value, MESSAGE_GAS)) {
            return (OutcomeType.Ok, Disposition.Executed, "");
        }
        _credit(s, actor, e.localNonce, to, e.value);
        return (OutcomeType.ActorErr, Disposition.Credited, "");
    }

    /// @dev A call of a handler: a failure returns the value in its Result.
    function _applyCall(
        State storage s,
        address actor,
        IpcEnvelope calldata e,
        bytes memory encoded,
        address to
    ) private returns (OutcomeType outcome, Disposition, bytes memory ret) {
        _markCalled(s);
        if (to == address(0)) {
            outcome = OutcomeType.SystemErr;
            ret = abi.encodeWithSelector(InvalidXnetMessage.selector, InvalidXnetMessageReason.DstSubnet);
        } else if (to.code.length == 0) {
            outcome = OutcomeType.ActorErr;
            ret = abi.encodeWithSelector(InvalidSubnetActor.selector);
        } else {
            bool ok;
            (ok, ret) = _callHandler(s.token, to, e.value, encoded);
            if (!ok) outcome = OutcomeType.ActorErr;
        }
        if (outcome == OutcomeType.Ok) {
            if (e.originalNonce & Envelopes.ASKED != 0) {
                _commitTopDown(s, actor, Envelopes.resultFor(e, outcome, ret));
            }
            return (outcome, Disposition.Executed, ret);
        }
        if (e.value != 0) s.counters.relocked += e.value;
        _commitTopDown(s, actor, Envelopes.resultFor(e, outcome, ret));
        return (outcome, Disposition.Returned, ret);
    }

    /// @dev An answer to a message sent down. Value in it is money coming home:
    /// it goes to exactly `to`, whatever its code size (PROTOCOL 26). Nothing
    /// answers a Result.
    function _applyResult(
        State storage s,
        address actor,
        IpcEnvelope calldata e,
        bytes memory encoded,
        address to
    ) private returns (OutcomeType outcome, Disposition disposition, bytes memory ret) {
        bool handled;
        if (to.code.length != 0) {
            (handled, ret) = _callHandler(s.token, to, e.value, encoded);
            if (!handled) outcome = OutcomeType.ActorErr;
        }
        if (e.value != 0 && !handled) {
            uint256 limit = s.token == address(0) ? MESSAGE_GAS / 10 : MESSAGE_GAS;
            _requireGas(limit);
            if (!Calls.tryPay(s.token, to, e.value, limit)) {
                _credit(s, actor, e.localNonce, to, e.value);
                disposition = Disposition.Credited;
            }
        }
        (bytes32 answered, OutcomeType answer) = _resultHead(e.message);
        emit ResultApplied(actor, answered, answer, disposition, to, e.value);
    }

    /// @dev Calls a handler with exactly MESSAGE_GAS; its value rides along, in
    /// whichever asset, both or neither.
    function _callHandler(address token, address to, uint256 value, bytes memory encoded)
        private
        returns (bool, bytes memory)
    {
        if (token == address(0) || value == 0) {
            _requireGas(MESSAGE_GAS);
            return Calls.handle(to, value, MESSAGE_GAS, encoded);
        }
        uint256 both = 2 * MESSAGE_GAS + MESSAGE_GAS / 4;
        _requireGas(both);
        return Calls.payAndHandle(address(this), both, this.payAndCall.selector, token, to, encoded);
    }

    /// @dev No caller may starve a good message into a failure: with less gas the
    /// whole transaction reverts (PROTOCOL 14).
    function _requireGas(uint256 limit) private view {
        uint256 required = limit + BOOKKEEPING_GAS;
        if (gasleft() * 63 / 64 < required) revert InsufficientGas(required);
    }

    function _credit(State storage s, address actor, uint64 nonce, address account, uint256 amount) private {
        s.credits[account] += amount;
        s.counters.credited += amount;
        emit Credited(actor, nonce, account, amount);
    }

    function _payCredit(SubnetID calldata subnetId, address account, address to)
        private
        returns (uint256 amount)
    {
        address actor = _actorOf(subnetId);
        State storage s = subnets[actor];
        amount = s.credits[account];
        if (amount == 0) revert NothingToWithdraw();
        s.credits[account] = 0;
        s.counters.creditsPaid += amount;
        if (!Calls.tryPay(s.token, to, amount, gasleft())) revert NotEnoughBalance();
        emit CreditWithdrawn(actor, account, to, amount);
    }

    /// @dev Id and outcome of an encoded ResultMsg, read without trusting it.
    function _resultHead(bytes calldata message) private pure returns (bytes32 id, OutcomeType outcome) {
        if (message.length < 96) return (0, OutcomeType.SystemErr);
        uint256 raw;
        assembly ("memory-safe") {
            id := calldataload(add(message.offset, 0x20))
            raw := calldataload(add(message.offset, 0x40))
        }
        outcome = raw > uint256(type(OutcomeType).max) ? OutcomeType.SystemErr : OutcomeType(raw);
    }
}
