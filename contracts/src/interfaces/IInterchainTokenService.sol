// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What we call of Axelar's Interchain Token Service
/// @notice Versions 2.1.1 and 2.2.0 share everything but how trust is asked.
interface IInterchainTokenService {
    /// @notice Takes `amount` from the caller and sends it on, with
    /// metadata = 4 bytes of version 0 and the data for the destination, or
    /// nothing. gasValue of msg.value pays for the relaying.
    function interchainTransfer(
        bytes32 tokenId,
        string calldata destinationChain,
        bytes calldata destinationAddress,
        uint256 amount,
        bytes calldata metadata,
        uint256 gasValue
    ) external payable;

    /// @notice The token of a deployed manager; reverts without one.
    function registeredTokenAddress(bytes32 tokenId) external view returns (address);
    function tokenManagerAddress(bytes32 tokenId) external view returns (address);

    /// @dev 2.2.0 only.
    function isTrustedChain(string calldata chainName) external view returns (bool);
    /// @dev 2.1.1; there but unused in 2.2.0.
    function trustedAddress(string calldata chainName) external view returns (string memory);
}

/// @title What a token manager says of its flow limit, for the current window
interface IFlowLimited {
    /// @notice 0: none.
    function flowLimit() external view returns (uint256);
    function flowOutAmount() external view returns (uint256);
    function flowInAmount() external view returns (uint256);
}

/// @title What the service calls on a destination that a transfer carries data for
interface IInterchainTokenExecutable {
    /// @notice The tokens are the callee's already.
    /// @return keccak256("its-execute-success")
    function executeWithInterchainToken(
        bytes32 commandId,
        string calldata sourceChain,
        bytes calldata sourceAddress,
        bytes calldata data,
        bytes32 tokenId,
        address token,
        uint256 amount
    ) external returns (bytes32);
}
