// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    Disposition,
    InvalidXnetMessageReason,
    IpcEnvelope,
    IpcMsgKind,
    OutcomeType,
    ResultMsg
} from "../ipc/Types.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {BottomUp} from "./BottomUp.sol";
import {GatewayBase} from "./GatewayBase.sol";
import {Lane} from "./Lane.sol";
import {Ledger} from "./Ledger.sol";
import {ParentStatements} from "./ParentStatements.sol";

/// @title The gateway inside the subnet (child side of IPC generation C)
/// @notice A genesis predeploy that holds the treasury. Coin leaves it only with
/// a message that the root's gateway committed and more than 2/3 of the
/// validators attested; it returns with messages to the root.
contract SubnetGateway is BottomUp, ParentStatements {
    using Lane for Lane.Queue;

    /// @dev The caller brought too little gas to give every handler its
    /// promised stipend.
    error NotEnoughGas();
    /// @dev A Call to an account without code.
    error NoCode(address account);

    /// @dev Gas beside the stipend that one message may need: the call itself,
    /// a failure Result, a credit.
    uint256 private constant BOOKKEEPING = 200_000;

    constructor(Genesis memory g) GatewayBase(g) Ledger(g) ParentStatements(g) {}

    /// @inheritdoc ISubnetGateway
    /// @notice Applies a prefix of the committed messages, in order. Messages
    /// applied before are skipped; with none left nothing happens. `tailHashes`
    /// are keccak256(abi.encode(envelope)) of the messages after the batch up to
    /// the pair that `committedTopDownAt(last nonce + 1)` names.
    /// @dev No message can make it revert; too little gas for any of them
    /// reverts it whole (PROTOCOL 14).
    function deliver(IpcEnvelope[] calldata messages, bytes32[] calldata tailHashes) external nonReentrant {
        uint64 nonce = topDown.count;
        uint256 first = 0;
        while (first < messages.length && messages[first].localNonce < nonce) ++first;
        if (first == messages.length) return;

        bytes32[] memory rolling = _prove(messages, first, tailHashes);
        for (uint256 i = first; i < messages.length; ++i) {
            uint256 memoryMark = _mark();
            // The nonce moves before the call: what it re-enters finds the
            // message applied.
            topDown.advance(++nonce, rolling[i]);
            _apply(messages[i]);
            _reset(memoryMark);
        }
        topDown.trim();
        _reward(messages.length - first);
    }

    /// @dev The rolling hash after each message from `first` on, proven.
    function _prove(IpcEnvelope[] calldata messages, uint256 first, bytes32[] calldata tailHashes)
        private
        view
        returns (bytes32[] memory rolling)
    {
        rolling = new bytes32[](messages.length);
        uint64 nonce = topDown.count;
        bytes32 hash = topDown.hash;
        for (uint256 i = first; i < messages.length; ++i) {
            uint256 memoryMark = _mark();
            IpcEnvelope memory e = messages[i];
            if (e.localNonce != nonce) revert Lane.Gap(nonce, e.localNonce);
            hash = Envelopes.fold(hash, Envelopes.toHash(e));
            rolling[i] = hash;
            ++nonce;
            _reset(memoryMark);
        }
        topDown.requireProven(nonce, hash, tailHashes);
    }

    function _apply(IpcEnvelope memory e) private {
        bool backed = _takeIn(e.value);
        if (e.kind == IpcMsgKind.Result) {
            _applyResult(e, backed);
            return;
        }
        bytes32 id = Envelopes.tracingId(e);
        (OutcomeType outcome, bytes memory ret) = _execute(e, backed);
        Disposition disposition = Disposition.Executed;
        if (outcome != OutcomeType.Ok) {
            disposition = Disposition.Returned;
            // Exactly one compensation: the value goes back in the Result.
            // Safe: `backed` says that it fits and was added.
            // forge-lint: disable-next-line(unsafe-typecast)
            if (backed) circulating -= uint128(e.value);
            unchecked {
                bounced += e.value;
            }
        }
        bool answer = outcome != OutcomeType.Ok && !(e.kind == IpcMsgKind.Transfer && e.value == 0);
        if (answer || (e.kind == IpcMsgKind.Call && Envelopes.asked(e))) _answer(e, id, outcome, ret);
        emit TopDownMessageApplied(e.localNonce, id, outcome, disposition, ret);
    }

    /// @dev Hands a Transfer or a Call to its recipient.
    function _execute(IpcEnvelope memory e, bool backed) private returns (OutcomeType, bytes memory ret) {
        (bool here, address to) = _recipient(e);
        if (!here) {
            return (
                OutcomeType.SystemErr,
                abi.encodeWithSelector(InvalidXnetMessage.selector, InvalidXnetMessageReason.DstSubnet)
            );
        }
        if (_isForbidden(to)) {
            return (OutcomeType.SystemErr, abi.encodeWithSelector(ForbiddenRecipient.selector, to));
        }
        if (!backed || !_releasable(e.value)) {
            return (OutcomeType.SystemErr, abi.encodeWithSelector(NotEnoughBalance.selector));
        }
        if (e.kind == IpcMsgKind.Call && to.code.length == 0) {
            return (OutcomeType.ActorErr, abi.encodeWithSelector(NoCode.selector, to));
        }
        bytes memory data = e.kind == IpcMsgKind.Call ? _handlerCall(e) : new bytes(0);
        _requireGas();
        // Before the call, as the recipient may send the coin up again.
        // forge-lint: disable-next-line(unsafe-typecast)
        released += uint128(e.value);
        bool ok;
        (ok, ret) = _call(to, e.value, MESSAGE_GAS, data);
        if (ok) return (OutcomeType.Ok, ret);
        // forge-lint: disable-next-line(unsafe-typecast)
        released -= uint128(e.value);
        return (OutcomeType.ActorErr, ret);
    }

    /// @dev A Result with value reaches its recipient in one of three ways
    /// (PROTOCOL 26): its handler, a plain transfer, a credit. Nothing answers
    /// a Result.
    function _applyResult(IpcEnvelope memory e, bool backed) private {
        (bool here, address to) = _recipient(e);
        OutcomeType outcome;
        Disposition disposition;
        bytes memory ret;
        if (!here || !backed || !_releasable(e.value)) {
            // Our root addresses Results to their senders and backs their value;
            // if it ever did not, the value stays in the treasury.
            (outcome, disposition) = (OutcomeType.SystemErr, Disposition.Quarantined);
        } else {
            // forge-lint: disable-next-line(unsafe-typecast)
            released += uint128(e.value);
            bool ok;
            (ok, ret) = _hand(e, to);
            if (!ok) outcome = OutcomeType.ActorErr;
            if (!ok && e.value != 0) {
                _credit(e.localNonce, to, e.value);
                disposition = Disposition.Credited;
            }
        }
        emit TopDownMessageApplied(e.localNonce, Envelopes.tracingId(e), outcome, disposition, ret);
        (bytes32 answered, OutcomeType carried) = _readResult(e.message);
        emit ResultApplied(answered, carried, disposition, to, e.value);
    }

    /// @dev Tries the handler of `to`, then a plain transfer.
    function _hand(IpcEnvelope memory e, address to) private returns (bool ok, bytes memory ret) {
        if (_isForbidden(to)) return (false, ret);
        bool hasCode = to.code.length != 0;
        bytes memory data = hasCode ? _handlerCall(e) : new bytes(0);
        _requireGas();
        if (hasCode) (ok, ret) = _call(to, e.value, MESSAGE_GAS, data);
        else ok = e.value == 0;
        if (!ok && e.value != 0) (ok,) = _call(to, e.value, PLAIN_STIPEND, "");
    }

    /// @dev Commits the Result of a message; a failure carries its value back.
    function _answer(IpcEnvelope memory e, bytes32 id, OutcomeType outcome, bytes memory ret) private {
        IpcEnvelope memory r;
        r.kind = IpcMsgKind.Result;
        r.value = outcome == OutcomeType.Ok ? 0 : e.value;
        r.to = e.from;
        r.from = e.to;
        r.message = abi.encode(ResultMsg({id: id, outcome: outcome, ret: ret}));
        _commit(r);
    }

    /// @dev The recipient, and whether it is an account of this subnet at all.
    function _recipient(IpcEnvelope memory e) private view returns (bool here, address to) {
        (here, to) = Fvm.tryEvm(e.to.rawAddress);
        here = here && _isSelf(e.to.subnetId.root, e.to.subnetId.route);
    }

    function _handlerCall(IpcEnvelope memory e) private pure returns (bytes memory) {
        return abi.encodeCall(IIpcHandler.handleIpcMessage, (e));
    }

    /// @dev Reads abi.encode(ResultMsg) of any content; never reverts.
    function _readResult(bytes memory message) private pure returns (bytes32 id, OutcomeType outcome) {
        outcome = OutcomeType.SystemErr;
        if (message.length < 0x80) return (id, outcome);
        uint256 word;
        assembly ("memory-safe") {
            id := mload(add(message, 0x40))
            word := mload(add(message, 0x60))
        }
        if (word <= uint256(type(OutcomeType).max)) outcome = OutcomeType(word);
    }

    /// @dev Whoever calls cannot starve a handler into failing.
    function _requireGas() private view {
        if (gasleft() * 63 / 64 < MESSAGE_GAS + BOOKKEEPING) revert NotEnoughGas();
    }

    /// @dev Memory used for one message is used again for the next.
    function _mark() private pure returns (uint256 free) {
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    function _reset(uint256 free) private pure {
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}
