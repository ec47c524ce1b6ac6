// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {GatewayCannotBeZero, InvalidSubnetActor} from "../ipc/Errors.sol";
import {SubnetParams} from "../ipc/Types.sol";
import {ISubnetRegistry} from "../interfaces/ISubnetActor.sol";
import {CodeStore} from "./CodeStore.sol";
import {SubnetActor} from "./SubnetActor.sol";

/// @title Makes subnet actors
/// @notice Anyone may create one; it counts for nothing until the gateway's
/// owner approves it.
contract SubnetRegistry is ISubnetRegistry {
    /// @notice The gateway every subnet of ours registers with.
    address public immutable gateway;

    /// @notice Where the actors' creation code lies.
    address public immutable codeFirst;
    address public immutable codeSecond;

    /// @notice The last actor each account created.
    mapping(address owner => address) public latestSubnetDeployed;

    constructor(address gateway_) {
        if (gateway_ == address(0)) revert GatewayCannotBeZero();
        gateway = gateway_;
        (codeFirst, codeSecond) = CodeStore.store(type(SubnetActor).creationCode);
    }

    /// @notice Deploys a subnet actor owned by the caller.
    function newSubnetActor(SubnetParams calldata params) external returns (address actor) {
        if (params.ipcGatewayAddr != gateway) revert InvalidSubnetActor();
        bytes memory init =
            bytes.concat(CodeStore.load(codeFirst, codeSecond), abi.encode(params, msg.sender));
        assembly ("memory-safe") {
            actor := create(0, add(init, 0x20), mload(init))
            // Hand the constructor's own error on.
            if iszero(actor) {
                returndatacopy(init, 0, returndatasize())
                revert(init, returndatasize())
            }
        }
        latestSubnetDeployed[msg.sender] = actor;
        emit SubnetDeployed(actor);
    }
}
