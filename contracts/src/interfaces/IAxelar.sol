// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What we call of a gateway of Axelar
/// @notice Amplifier and legacy gateways share it.
interface IAxelarGateway {
    /// @notice Sends `payload` to a contract on another chain; its event is all
    /// that happens here.
    function callContract(
        string calldata destinationChain,
        string calldata destinationAddress,
        bytes calldata payload
    ) external;

    /// @notice Uses up the approval of a call to the caller. False without one.
    function validateContractCall(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes32 payloadHash
    ) external returns (bool);
}

/// @title Where relaying over Axelar's own network is paid for
interface IAxelarGasService {
    /// @notice Pays msg.value for the call that `sender` makes next; what is left
    /// of it is `refundAddress`'s.
    function payNativeGasForContractCall(
        address sender,
        string calldata destinationChain,
        string calldata destinationAddress,
        bytes calldata payload,
        address refundAddress
    ) external payable;
}

/// @title What a contract implements to be called over Axelar
interface IAxelarExecutable {
    /// @dev Never approved, approved with other content, or executed already.
    error NotApprovedByGateway();

    /// @notice Executes an approved call. Anyone may call.
    function execute(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes calldata payload
    ) external;
}
