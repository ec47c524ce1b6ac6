// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {GmpCall, IGmpSubnetPort} from "../interfaces/IGmp.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {IpcEnvelope, IpcMsgKind, OutcomeType, ResultMsg, SubnetID} from "../ipc/Types.sol";
import {PeerLink} from "../withdraw/PeerLink.sol";
import {GmpEnd, GmpEndParams} from "./GmpEnd.sol";
import {GmpMessages} from "./GmpMessages.sol";

/// @notice Everything a port in a subnet is made of.
struct GmpSubnetPortParams {
    address gateway;
    SubnetID rootNetwork;
    address router; // GmpRouter on the root
    uint256 l1ChainId;
    address l1Port; // GmpPort on Ethereum
    uint64 maxGas; // that a target on Ethereum may be promised
    uint64 callbackGas;
}

/// @title Calls from the subnet to Ethereum, and from there
/// @notice Talks through the gateway to GmpRouter on the root alone. The answer to
/// a call is what its handler returns, which the router asked for and nobody pays
/// for; a call made here pays the exit fee and nothing else. Stands at a genesis
/// address: nothing depends on address(this) or the chain id at construction, and
/// the gateway stands before it.
contract GmpSubnetPort is IGmpSubnetPort, GmpEnd, PeerLink {
    error WrongValue(uint256 expected, uint256 actual);
    error InvalidOrigin();
    error DuplicateMessage(bytes32 tracingId);

    /// @dev Most bytes that a target in the subnet may return: IPC's 128, less the
    /// one that says whether it went well.
    uint256 private constant MAX_RET = 127;
    /// @dev What a handler uses up before a target or a sender is called, with
    /// margin.
    uint256 private constant HEAD_GAS = 60_000;

    uint64 private immutable MAX_GAS_HERE;

    /// @dev Call id by the tracing id that a Result will carry.
    mapping(bytes32 tracingId => bytes32 id) private _inflight;

    constructor(GmpSubnetPortParams memory p)
        GmpEnd(GmpEndParams(p.l1ChainId, p.l1Port, p.maxGas, p.callbackGas), MAX_RET)
        PeerLink(p.gateway, p.rootNetwork, p.router)
    {
        // All a handler gets, once and for all: there is no second delivery.
        uint256 messageGas = ISubnetGateway(p.gateway).messageGas();
        uint256 fixedGas = HEAD_GAS + RUN_GAS + AFTER_GAS;
        bool enough = messageGas > 2 * fixedGas && messageGas <= type(uint64).max
            && p.callbackGas <= (messageGas - fixedGas) / 64 * 63;
        if (!enough || p.rootNetwork.route.length != 0) revert InvalidConfiguration();
        // A 64th stays behind at the first call, and a 32nd is put on top.
        // forge-lint: disable-next-line(unsafe-typecast) less than messageGas
        MAX_GAS_HERE = uint64((messageGas - fixedGas) / 64 * 60);
    }

    /// @inheritdoc IGmpSubnetPort
    /// @dev Targets may call it while they are called.
    function call(address target, bytes calldata data, uint64 gas_) external payable returns (bytes32 id) {
        uint256 fee = ISubnetGateway(GATEWAY).exitFee();
        if (msg.value != fee) revert WrongValue(fee, msg.value);
        GmpCall memory c;
        (id, c) = _make(target, data, gas_);

        IpcEnvelope memory envelope;
        envelope.kind = IpcMsgKind.Call;
        envelope.to = peerAddress();
        envelope.message = GmpMessages.encode(c);
        IpcEnvelope memory committed = ISubnetGateway(GATEWAY).sendContractXnetMessage{value: fee}(envelope);
        // A gateway whose ids repeat would make us forget a call.
        bytes32 tracingId = Envelopes.tracingId(committed);
        if (_inflight[tracingId] != bytes32(0)) revert DuplicateMessage(tracingId);
        _inflight[tracingId] = id;
        emit CallSent(id, msg.sender, target, c.nonce, c.gas, data, committed.localNonce);
    }

    /// @inheritdoc IIpcHandler
    /// @dev A call of Ethereum, answered with `GmpMessages.pack` as it is; the result
    /// of one made here; or a Result, which says that the router refused one. All
    /// that is written is written before anybody is called, so no lock is needed.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        returns (bytes memory)
    {
        if (!_isPeer(envelope.from)) revert InvalidOrigin();
        if (envelope.kind == IpcMsgKind.Result) {
            _takeRefusal(envelope.message);
            return "";
        }
        if (envelope.kind != IpcMsgKind.Call) revert UnsupportedMsgKind();
        if (GmpMessages.methodOf(envelope.message) == GmpMessages.RESULT) {
            _takeResult(envelope.message);
            return "";
        }
        bytes memory answer = _takeCall(envelope.message);
        assembly ("memory-safe") {
            return(add(answer, 0x20), mload(answer))
        }
    }

    /// @inheritdoc IGmpSubnetPort
    function maxGasHere() external view returns (uint64) {
        return MAX_GAS_HERE;
    }

    /// @notice Call id of a message that no Result has answered, else 0.
    function inflight(bytes32 tracingId) external view returns (bytes32 id) {
        return _inflight[tracingId];
    }

    function _takeCall(bytes calldata message) private returns (bytes memory answer) {
        (bool valid, GmpCall memory c) = GmpMessages.parseCall(message);
        if (!valid) revert UnknownMessage();
        (bytes32 id, bool ok, bytes memory ret) = _execute(c);
        emit CallExecuted(id, c.sender, c.target, ok, ret);
        return GmpMessages.pack(ok, ret);
    }

    function _takeResult(bytes calldata message) private {
        (bool valid, bytes32 id, bool ok, bytes memory ret) = GmpMessages.parseResult(message);
        if (!valid) revert UnknownMessage();
        _settle(id, ok, ret);
    }

    function _takeRefusal(bytes calldata message) private {
        ResultMsg memory result = abi.decode(message, (ResultMsg));
        bytes32 id = _inflight[result.id];
        if (id == bytes32(0)) revert UnrecognizedResult();
        delete _inflight[result.id];
        if (result.outcome != OutcomeType.Ok) _settle(id, false, result.ret);
    }
}
