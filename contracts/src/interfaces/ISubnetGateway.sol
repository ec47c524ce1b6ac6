// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../ipc/Types.sol";

/// @title The gateway inside the subnet (child side), predeployed at
/// 0x77aa40b105843728088c0132e43fc44348881da8
interface ISubnetGateway {
    /// @dev Published events.
    event QueuedBottomUpMessage(bytes32 indexed id);
    event MembershipUpdated(Membership membership);

    /// @dev Ours.
    event BottomUpMessage(uint64 indexed epoch, uint64 indexed nonce, IpcEnvelope message);
    event TopDownMessageApplied(
        uint64 indexed nonce, bytes32 indexed id, OutcomeType outcome, Disposition disposition, bytes ret
    );
    event ResultApplied(
        bytes32 indexed id, OutcomeType outcome, Disposition disposition, address to, uint256 value
    );
    event ParentFinalityCommitted(
        uint64 indexed parentHeight, bytes32 parentHash, uint64 topDownNonce, uint64 powerChangeNonce
    );
    /// @notice The subnet goes on from another branch of the root. `applied`
    /// messages had been applied before; of them those from `topDownNonce` on are
    /// of the old branch. `received` is the value of all that ever came down,
    /// those included.
    event ParentRecovered(
        uint64 indexed number, uint64 parentHeight, uint64 topDownNonce, uint64 applied, uint256 received
    );
    event PowerChangesStored(uint64 lastNumber);
    event ConfigurationApplied(uint64 configurationNumber);
    event Credited(uint64 indexed nonce, address indexed account, uint256 amount);
    event CreditWithdrawn(address indexed account, address to, uint256 amount);

    /// @notice Genesis parameters. Amounts in wei of FLT.
    struct Genesis {
        SubnetID networkName; // (root chain id, [actor])
        address rootGateway; // no recipient of anything
        Validator[] validators; // root units
        uint64 bottomUpCheckPeriod;
        uint8 majorityPercentage;
        int8 powerScale;
        bytes32 salt;
        uint256 circSupply; // preFund on the root, already in genesis balances
        uint256 exitFee;
        uint256 deliverReward; // per newly applied message, from the pot
        uint256 minRelease;
        uint64 maxMsgsPerPeriod;
        uint256 messageGas; // stipend G
    }

    /// @notice Monotone counters, wei of FLT.
    struct Counters {
        uint256 preFunded; // genesis balances
        uint256 released; // treasury → recipients (credits included)
        uint256 returned; // senders → treasury, with bottom-up messages
        uint256 bounced; // arrived top-down and sent straight back in a failure Result
        uint256 feesIn; // exit fees taken
        uint256 feesOut; // rewards paid
        uint256 credited; // released into credits
        uint256 creditsPaid;
    }

    function commitParentFinality(
        ParentFinality calldata statement,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external;
    function commitParentRecovery(
        ParentRecovery calldata statement,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external;
    function deliver(IpcEnvelope[] calldata messages, bytes32[] calldata tailHashes) external;
    function deliverPowerChanges(PowerChangeRequest[] calldata changes, bytes32[] calldata tailHashes)
        external;
    function applyConfiguration(
        BottomUpCheckpoint calldata checkpoint,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external;

    /// @dev Both sends refuse recipients that can own nothing on the root: besides
    /// those refused everywhere, the subnet's actor and the root's gateway.
    function release(FvmAddress calldata to) external payable;
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory committed);
    function withdrawCredit(address to) external returns (uint256 amount);
    function pushCredit(address account) external returns (uint256 amount);

    function getNetworkName() external view returns (SubnetID memory);
    function appliedTopDownNonce() external view returns (uint64);
    function bottomUpNonce() external view returns (uint64);
    function bottomUpCheckPeriod() external view returns (uint256);
    function majorityPercentage() external view returns (uint8);
    function powerScale() external view returns (int8);
    /// @notice The batch of an epoch: its messages are nonces [firstNonce,
    /// firstNonce+count); rollingHash folds keccak(abi.encode(envelope)) in
    /// order from 0.
    function bottomUpBatchInfo(uint256 epoch)
        external
        view
        returns (uint64 firstNonce, uint64 count, bytes32 rollingHash);
    function latestParentFinality() external view returns (ParentFinality memory);
    /// @notice Its height and block hash, by the published name and layout.
    function getLatestParentFinality() external view returns (uint256 height, bytes32 blockHash);
    /// @notice The newest recovery committed, 0 if none (PROTOCOL 10).
    function parentRecovery() external view returns (uint64 number);
    /// @notice Head of what was applied: (next nonce, rolling hash before it).
    function appliedTopDown() external view returns (uint64 nonce, bytes32 hash);
    function appliedPowerChanges() external view returns (uint64 number, bytes32 hash);
    /// @notice The committed pair that proves a batch ending before `nonce`:
    /// the lowest kept (nonce, hash) at or above it; (0, 0) if none.
    function committedTopDownAt(uint64 nonce) external view returns (uint64 pairNonce, bytes32 hash);
    function committedPowerChangesAt(uint64 number) external view returns (uint64 pairNumber, bytes32 hash);
    function getCurrentMembership() external view returns (Membership memory);
    function appliedConfigurationNumber() external view returns (uint64);
    /// @notice Highest power change stored, 0 if none.
    function storedConfigurationNumber() external view returns (uint64);
    function salt() external view returns (bytes32);
    function domainSeparator() external view returns (bytes32);
    function exitFee() external view returns (uint256);
    function messageGas() external view returns (uint256);
    function getCounters() external view returns (Counters memory);
    function creditOf(address account) external view returns (uint256);
}
