// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAxelarExecutable, IAxelarGasService} from "../interfaces/IAxelar.sol";
import {GmpCall, IGmpPort} from "../interfaces/IGmp.sol";
import {AxelarLink} from "./AxelarLink.sol";
import {GmpEnd, GmpEndParams} from "./GmpEnd.sol";
import {GmpMessages} from "./GmpMessages.sol";

/// @notice Everything a port on Ethereum is made of.
struct GmpPortParams {
    address axelarGateway;
    address gasService;
    string rootChain; // the root as Axelar calls it
    address router; // GmpRouter there
    uint256 subnetChainId;
    address subnetPort; // GmpSubnetPort
    uint64 maxGas; // at most its maxGasHere
    uint64 callbackGas;
}

/// @title Calls from Ethereum into the subnet, and from there
/// @notice Talks over Axelar, without its hub, to GmpRouter on the root alone. What
/// it cannot execute yet, because Axelar's gateway is paused or too little gas was
/// brought, stays approved there and is executed by whoever tries again. No owner,
/// no proxy (PROTOCOL 35), and no value beyond what pays for relaying.
contract GmpPort is IGmpPort, GmpEnd, AxelarLink, ReentrancyGuardTransient {
    /// @dev Most bytes that a target on Ethereum may return.
    uint256 private constant MAX_RET = 1024;

    address private immutable GAS_SERVICE;

    constructor(GmpPortParams memory p)
        GmpEnd(GmpEndParams(p.subnetChainId, p.subnetPort, p.maxGas, p.callbackGas), MAX_RET)
        AxelarLink(p.axelarGateway, p.rootChain, p.router)
    {
        if (p.gasService.code.length == 0) revert InvalidConfiguration();
        GAS_SERVICE = p.gasService;
    }

    /// @inheritdoc IGmpPort
    /// @dev Targets may call it while they are called.
    function call(address target, bytes calldata data, uint64 gas_) external payable returns (bytes32 id) {
        GmpCall memory c;
        (id, c) = _make(target, data, gas_);
        bytes memory payload = GmpMessages.encode(c);
        if (msg.value != 0) {
            (string memory chain, string memory account) = _farAddress();
            IAxelarGasService(GAS_SERVICE).payNativeGasForContractCall{value: msg.value}(
                address(this), chain, account, payload, msg.sender
            );
        }
        _callFar(payload);
        emit CallSent(id, msg.sender, target, c.nonce, c.gas, data, msg.value);
    }

    /// @inheritdoc IAxelarExecutable
    /// @dev A call of the subnet, whose result goes back in the ContractCall right
    /// before CallExecuted, or the result of one made here. Reverts, and leaves the
    /// message approved, only for another source or content than the router's, what
    /// came before, a paused gateway, or too little gas.
    function execute(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes calldata payload
    ) external nonReentrant {
        _validate(commandId, sourceChain, sourceAddress, payload);
        if (GmpMessages.methodOf(payload) == GmpMessages.RESULT) _takeResult(payload);
        else _takeCall(payload);
    }

    /// @notice Where relaying over Axelar's network is paid for.
    function gasService() external view returns (address) {
        return GAS_SERVICE;
    }

    function _takeCall(bytes calldata payload) private {
        (bool valid, GmpCall memory c) = GmpMessages.parseCall(payload);
        if (!valid) revert UnknownMessage();
        (bytes32 id, bool ok, bytes memory ret) = _execute(c);
        _callFar(GmpMessages.encodeResult(id, ok, ret));
        emit CallExecuted(id, c.sender, c.target, ok, ret);
    }

    function _takeResult(bytes calldata payload) private {
        (bool valid, bytes32 id, bool ok, bytes memory ret) = GmpMessages.parseResult(payload);
        if (!valid) revert UnknownMessage();
        _settle(id, ok, ret);
    }
}
