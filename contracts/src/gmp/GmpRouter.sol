// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAxelarExecutable} from "../interfaces/IAxelar.sol";
import {GmpCall, IGmpRouter} from "../interfaces/IGmp.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {Calls} from "../ipc/Calls.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {IpcEnvelope, IpcMsgKind, SubnetID} from "../ipc/Types.sol";
import {Payouts} from "../withdraw/Payouts.sol";
import {PeerLink} from "../withdraw/PeerLink.sol";
import {AxelarLink} from "./AxelarLink.sol";
import {GmpMessages, GmpRoute} from "./GmpMessages.sol";

/// @notice Everything a router is made of.
struct GmpRouterParams {
    address axelarGateway; // on this chain
    string l1Chain; // Ethereum as Axelar calls it
    uint256 l1ChainId;
    address l1Port; // GmpPort there
    address gateway; // of IPC, on this chain
    SubnetID subnet;
    uint256 subnetChainId;
    address subnetPort; // GmpSubnetPort there
    uint256 patience; // seconds
}

/// @title Calls between Ethereum and a subnet, on the root
/// @notice Hands the messages of both ports on as they are, in any order, each id
/// once on every leg. What cannot go on is kept, and anyone may send it on later; a
/// call that could not for `patience` seconds is answered as failed, so that nobody
/// waits for ever. No owner, no proxy (PROTOCOL 35), no value, and nobody is ever
/// called but both gateways.
contract GmpRouter is IGmpRouter, AxelarLink, PeerLink {
    error InvalidConfiguration();
    error InvalidOrigin();
    /// @dev No message of a port, or not as it writes them.
    error UnknownMessage();
    error AlreadyHandled(bytes32 id);
    /// @dev No call of this id went that way and waits for its result.
    error UnknownResult(bytes32 id);
    error NotKept(bytes32 id);
    /// @dev A result is sent on sooner or later; only calls are given up.
    error NotACall(bytes32 id);
    error TooEarly(uint256 readyAt);
    error DuplicateMessage(bytes32 messageId);
    error NotSelf(address caller);

    struct Entry {
        Leg leg;
        Stage stage;
        uint64 since; // kept, unix seconds
    }

    uint256 private immutable L1_CHAIN_ID;
    uint256 private immutable SUBNET_CHAIN_ID;
    uint256 private immutable PATIENCE;
    /// @dev Half of what the gateway promises to a handler (PROTOCOL 14).
    uint256 private immutable LEG_GAS;

    mapping(bytes32 id => Entry) private _entries;
    /// @inheritdoc IGmpRouter
    mapping(bytes32 id => bytes32) public keptHash;
    /// @inheritdoc IGmpRouter
    mapping(bytes32 messageId => bytes32 id) public inflight;

    constructor(GmpRouterParams memory p)
        AxelarLink(p.axelarGateway, p.l1Chain, p.l1Port)
        PeerLink(p.gateway, p.subnet, p.subnetPort)
    {
        bool complete = p.l1ChainId != 0 && p.subnetChainId != 0 && p.l1ChainId != p.subnetChainId
            && p.subnet.route.length != 0;
        if (!complete) revert InvalidConfiguration();
        L1_CHAIN_ID = p.l1ChainId;
        SUBNET_CHAIN_ID = p.subnetChainId;
        PATIENCE = p.patience;
        LEG_GAS = IGateway(p.gateway).messageGas() / 2;
    }

    // ---- what comes in

    /// @inheritdoc IAxelarExecutable
    /// @dev A call made on Ethereum, or the result of one executed there. Reverts,
    /// and leaves the message approved, only for another source or content than the
    /// port's, what came before, or too little gas.
    function execute(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes calldata payload
    ) external {
        _validate(commandId, sourceChain, sourceAddress, payload);
        if (GmpMessages.methodOf(payload) != GmpMessages.RESULT) {
            (bool isCall, GmpCall memory c) = GmpMessages.parseCall(payload);
            if (!isCall) revert UnknownMessage();
            _begin(downId(c), Leg.CallDown, payload);
            return;
        }
        (bool valid, bytes32 id,,) = GmpMessages.parseResult(payload);
        if (!valid) revert UnknownMessage();
        Entry memory e = _entries[id];
        if (e.leg != Leg.CallUp || e.stage != Stage.Sent) revert UnknownResult(id);
        _carry(id, Leg.ResultDown, payload);
    }

    /// @inheritdoc IIpcHandler
    /// @dev A call made in the subnet, or the Result of one sent there: the port's
    /// answer, or the reason why it could not give one. A Call reverts, and its
    /// sender in the subnet is told so, only for another sender or content than the
    /// port's, or what came before. A Result is taken in whatever it says: nothing
    /// repeats one.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        returns (bytes memory)
    {
        if (!_isPeer(envelope.from)) revert InvalidOrigin();
        if (envelope.kind == IpcMsgKind.Result) {
            _answer(envelope.message);
            return "";
        }
        if (envelope.kind != IpcMsgKind.Call) revert UnsupportedMsgKind();
        (bool valid, GmpCall memory c) = GmpMessages.parseCall(envelope.message);
        if (!valid) revert UnknownMessage();
        _begin(upId(c), Leg.CallUp, envelope.message);
        return "";
    }

    // ---- what was kept

    /// @inheritdoc IGmpRouter
    function retry(bytes32 id, bytes calldata message) external {
        Entry memory e = _unkeep(id, message);
        _entries[id] = Entry(e.leg, Stage.Sent, 0);
        _send(id, e.leg, message);
    }

    /// @inheritdoc IGmpRouter
    function giveUp(bytes32 id, bytes calldata message) external {
        Entry memory e = _unkeep(id, message);
        if (e.leg != Leg.CallDown && e.leg != Leg.CallUp) revert NotACall(id);
        uint256 readyAt = e.since + PATIENCE;
        // forge-lint: disable-next-line(block-timestamp) hours, and nobody loses by a few seconds
        if (block.timestamp < readyAt) revert TooEarly(readyAt);
        (bool ok, bytes memory detail) = _try(id, e.leg, message);
        if (ok) _entries[id] = Entry(e.leg, Stage.Sent, 0);
        else _carry(id, _back(e.leg), GmpMessages.encodeResult(id, false, detail));
    }

    /// @notice Only we ourselves call this, to undo all of it when it fails.
    function sendAsSelf(bytes32 id, Leg leg, bytes calldata message) external {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        _send(id, leg, message);
    }

    // ---- views

    /// @inheritdoc IGmpRouter
    function stageOf(bytes32 id) external view returns (Leg leg, Stage stage, uint64 since) {
        Entry memory e = _entries[id];
        return (e.leg, e.stage, e.since);
    }

    /// @inheritdoc IGmpRouter
    function downId(GmpCall memory call_) public view returns (bytes32) {
        return GmpMessages.idOf(GmpRoute(L1_CHAIN_ID, FAR_ACCOUNT, SUBNET_CHAIN_ID, PEER), call_);
    }

    /// @inheritdoc IGmpRouter
    function upId(GmpCall memory call_) public view returns (bytes32) {
        return GmpMessages.idOf(GmpRoute(SUBNET_CHAIN_ID, PEER, L1_CHAIN_ID, FAR_ACCOUNT), call_);
    }

    /// @inheritdoc IGmpRouter
    function patience() external view returns (uint256) {
        return PATIENCE;
    }

    /// @inheritdoc IGmpRouter
    function legGas() external view returns (uint256) {
        return LEG_GAS;
    }

    // ---- the legs

    function _begin(bytes32 id, Leg leg, bytes calldata message) private {
        if (_entries[id].stage != Stage.None) revert AlreadyHandled(id);
        _carry(id, leg, message);
    }

    /// @dev The Result of a call sent down.
    function _answer(bytes calldata message) private {
        (bytes32 messageId, bool ok, bytes memory ret) = GmpMessages.parseOutcome(message);
        bytes32 id = inflight[messageId];
        if (id == bytes32(0)) revert UnrecognizedResult();
        delete inflight[messageId];
        _carry(id, Leg.ResultUp, GmpMessages.encodeResult(id, ok, ret));
    }

    /// @dev Sends a message on, or keeps it.
    function _carry(bytes32 id, Leg leg, bytes memory message) private {
        (bool ok, bytes memory detail) = _try(id, leg, message);
        if (ok) {
            _entries[id] = Entry(leg, Stage.Sent, 0);
            return;
        }
        _entries[id] = Entry(leg, Stage.Kept, uint64(block.timestamp));
        keptHash[id] = keccak256(message);
        emit Kept(id, leg, message, detail);
    }

    /// @dev What is kept under an id, which is no longer.
    function _unkeep(bytes32 id, bytes calldata message) private returns (Entry memory e) {
        if (keptHash[id] != keccak256(message)) revert NotKept(id);
        delete keptHash[id];
        return _entries[id];
    }

    /// @dev Calls ourselves with all of LEG_GAS, or reverts for want of it: nobody
    /// can starve a leg that would succeed (PROTOCOL 14).
    function _try(bytes32 id, Leg leg, bytes memory message) private returns (bool ok, bytes memory detail) {
        bytes memory call_ = abi.encodeCall(this.sendAsSelf, (id, leg, message));
        Payouts.requireGas(LEG_GAS, LEG_GAS / 4);
        return Calls.bounded(address(this), 0, LEG_GAS, call_);
    }

    function _send(bytes32 id, Leg leg, bytes memory message) private {
        if (leg == Leg.CallUp || leg == Leg.ResultUp) {
            _callFar(message);
            emit SentUp(id, leg);
            return;
        }
        IpcEnvelope memory e;
        e.kind = IpcMsgKind.Call;
        // Of a call its answer is wanted, good or bad.
        if (leg == Leg.CallDown) e.originalNonce = Envelopes.ASKED;
        e.to = peerAddress();
        e.message = message;
        IpcEnvelope memory committed = IGateway(GATEWAY).sendContractXnetMessage(e);
        bytes32 messageId = Envelopes.tracingId(committed);
        if (leg == Leg.CallDown) {
            // A gateway whose ids repeat would make us forget a call.
            if (inflight[messageId] != bytes32(0)) revert DuplicateMessage(messageId);
            inflight[messageId] = id;
        }
        emit SentDown(id, messageId, committed.localNonce, leg);
    }

    /// @dev The leg on which a call's result comes back.
    function _back(Leg leg) private pure returns (Leg) {
        return leg == Leg.CallDown ? Leg.ResultUp : Leg.ResultDown;
    }
}
