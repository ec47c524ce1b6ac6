// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../ipc/Types.sol";

/// @title The subnet actor on the root (IPC generation C)
interface ISubnetActor {
    event SubnetBootstrapped(Validator[] genesisValidators);
    event NewPowerChangeRequest(
        PowerOperation op, address validator, bytes payload, uint64 configurationNumber
    );
    event ConfigurationNumberConfirmed(uint64 configurationNumber);
    event NewCollateralRelease(address validator, uint256 amount, uint256 releaseBlock);
    event CollateralClaimed(address validator, uint256 amount);

    /// @dev Ours.
    event BootstrapReannounced(uint256 blockNumber);
    event BootstrapRecorded(uint256 bootstrapBlock, bytes32 bootstrapHash, bytes32 salt);
    event CheckpointAccepted(
        uint256 indexed height, bytes32 hash, uint64 totalNumMsgs, uint64 nextConfigurationNumber
    );
    event BatchExecuted(uint256 indexed height, uint64 executedMsgs, uint64 totalNumMsgs);

    function join(bytes calldata metadata, uint256 amount) external payable;
    function stake(uint256 amount) external payable;
    function unstake(uint256 amount) external;
    function leave() external;
    function claim() external;
    function kill() external;
    function preFund(uint256 amount) external payable;
    function preRelease(uint256 amount) external;
    function setFederatedPower(
        address[] calldata validators,
        bytes[] calldata publicKeys,
        uint256[] calldata powers
    ) external;

    function reannounceBootstrap() external;
    function recordBootstrap() external;

    function submitCheckpoint(
        BottomUpCheckpoint calldata checkpoint,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external;
    function execBottomUpMsgBatch(uint256 checkpointHeight, Inclusion[] calldata inclusions) external;
    function validateActiveQuorumSignatures(
        address[] calldata signatories,
        bytes32 hash,
        bytes[] calldata signatures
    ) external view;
    function listPendingBottomUpBatchCommitments()
        external
        view
        returns (ListPendingCommitmentsEntry[] memory);

    function lastBottomUpCheckpointHeight() external view returns (uint256);
    function bottomUpCheckPeriod() external view returns (uint256);
    function bottomUpCheckpointHashAtEpoch(uint256 epoch) external view returns (bool, bytes32);
    function getActiveValidators() external view returns (address[] memory);
    function getValidators() external view returns (Validator[] memory);
    function getTotalPower() external view returns (uint256);
    function getConfigurationNumbers() external view returns (uint64 next, uint64 start);
    function genesisValidators() external view returns (Validator[] memory);
    function genesisBalances() external view returns (address[] memory, uint256[] memory);
    function genesisCircSupply() external view returns (uint256);
    function bootstrapped() external view returns (bool);
    function killed() external view returns (bool);
    function majorityPercentage() external view returns (uint8);
    function activeValidatorsLimit() external view returns (uint16);
    function minActivationCollateral() external view returns (uint256);
    function minValidators() external view returns (uint64);
    function permissionMode() external view returns (PermissionMode);
    function powerScale() external view returns (int8);
    function supplySource() external view returns (Asset memory);
    function collateralSource() external view returns (Asset memory);
    function getParent() external view returns (SubnetID memory);
    function ipcGatewayAddr() external view returns (address);
    function bootstrapSalt() external view returns (bytes32);
    function bootstrapBlock() external view returns (uint256);
    function powerChangeHash() external view returns (uint64 number, bytes32 hash);
    /// @notice Unix seconds of activation or of the last checkpoint (PROTOCOL 27).
    function lastActive() external view returns (uint256);
}

/// @title Makes subnet actors
interface ISubnetRegistry {
    event SubnetDeployed(address subnetAddr);

    function newSubnetActor(SubnetParams calldata params) external returns (address);
}
