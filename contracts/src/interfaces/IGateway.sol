// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../ipc/Types.sol";

/// @title The root gateway (parent side of IPC generation C)
interface IGateway {
    /// @dev Published events.
    event NewTopDownMessage(address indexed subnet, IpcEnvelope message, bytes32 indexed id);
    event CheckpointCommitted(address indexed subnet, uint256 subnetHeight);
    event SubnetDestroyed(SubnetID id);

    /// @dev Ours.
    event BottomUpMessageApplied(
        address indexed subnet,
        uint64 indexed nonce,
        bytes32 indexed id,
        OutcomeType outcome,
        Disposition disposition,
        bytes ret
    );
    /// @notice A Result arrived: `id` is that of the message it answers.
    event ResultApplied(
        address indexed subnet,
        bytes32 indexed id,
        OutcomeType outcome,
        Disposition disposition,
        address to,
        uint256 value
    );
    event Credited(address indexed subnet, uint64 indexed nonce, address indexed account, uint256 amount);
    event CreditWithdrawn(address indexed subnet, address indexed account, address to, uint256 amount);
    event Quarantined(address indexed subnet, uint64 indexed nonce, bytes32 envelopeHash, uint256 value);
    event QuarantineReleased(address indexed subnet, uint64 indexed nonce, Disposition disposition);
    event TopDownOpened(address indexed subnet, bytes32 salt);
    /// @notice The validators of a subnet want it to go on from `recovery`; from
    /// `readyAt` on (unix seconds) anyone may execute it.
    event RecoveryProposed(address indexed subnet, Recovery recovery, uint64 readyAt);
    event RecoveryWithdrawn(address indexed subnet, uint64 number);
    event RecoveryExecuted(address indexed subnet, Recovery recovery);
    /// @notice `amount` was locked for a subnet without a message, to back what a
    /// fork of the root left unbacked there.
    event Covered(address indexed subnet, address indexed from, uint256 amount);

    /// @notice Monotone counters of one subnet, in supply base units
    /// (PROTOCOL 29).
    struct Counters {
        uint256 preFunded; // locked at bootstrap
        uint256 locked; // by top-down messages of users and contracts
        uint256 relocked; // by failure Results that carry value down again
        uint256 unlocked; // left with executed bottom-up messages (credits included)
        uint256 credited; // moved into credits
        uint256 creditsPaid; // of these, pulled
        uint256 quarantined; // value of quarantined messages (still locked)
        uint256 quarantineReleased;
        uint256 covered; // locked without a message, against a shortfall
    }

    function fund(SubnetID calldata subnetId, FvmAddress calldata to) external payable;
    function fundWithToken(SubnetID calldata subnetId, FvmAddress calldata to, uint256 amount) external;
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory committed);

    /// @dev Called by subnet actors.
    function register(uint256 genesisCircSupply, uint256 collateral) external payable;
    function addStake(uint256 amount) external payable;
    function releaseStake(uint256 amount) external;
    function kill() external;
    function openTopDown(bytes32 salt) external;
    function commitCheckpoint(BottomUpCheckpoint calldata checkpoint) external;
    function execBottomUpMsgBatch(IpcEnvelope[] calldata msgs) external;

    function approveSubnet(address subnet) external;

    function withdrawCredit(SubnetID calldata subnetId, address to) external returns (uint256 amount);
    function pushCredit(SubnetID calldata subnetId, address account) external returns (uint256 amount);
    function retryQuarantined(IpcEnvelope calldata envelope) external;

    function proposeRecovery(
        SubnetID calldata subnetId,
        Recovery calldata recovery,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external;
    function withdrawRecovery(
        SubnetID calldata subnetId,
        uint64 number,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external;
    function executeRecovery(SubnetID calldata subnetId, uint64 number) external;
    function cover(SubnetID calldata subnetId, uint256 amount) external payable;
    function getRecoveries(SubnetID calldata subnetId) external view returns (Recoveries memory);
    /// @notice Seconds between a recovery's proposal and its execution.
    function recoveryDelay() external view returns (uint256);

    function getNetworkName() external view returns (SubnetID memory);
    function getSubnet(SubnetID calldata subnetId) external view returns (bool, Subnet memory);
    function getTopDownNonce(SubnetID calldata subnetId) external view returns (bool, uint64);
    function getSubnetTopDownMsgsLength(SubnetID calldata subnetId) external view returns (uint256);
    function getAppliedBottomUpNonce(SubnetID calldata subnetId) external view returns (bool, uint64);
    function getTopDownHash(SubnetID calldata subnetId) external view returns (uint64 nonce, bytes32 hash);
    function getPowerChangeHash(SubnetID calldata subnetId)
        external
        view
        returns (uint64 number, bytes32 hash);
    function getCounters(SubnetID calldata subnetId) external view returns (Counters memory);
    function creditOf(SubnetID calldata subnetId, address account) external view returns (uint256);
    function quarantinedHash(SubnetID calldata subnetId, uint64 nonce) external view returns (bytes32);
    /// @notice Gas promised to each handler (PROTOCOL 14).
    function messageGas() external view returns (uint256);
    /// @notice Bounds of one funding, in supply base units.
    function fundLimits() external view returns (uint256 min, uint256 max);
}
