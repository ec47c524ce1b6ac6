// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Wire types of IPC generation C. Field order and types are the
/// protocol: hashes and signatures are taken over their ABI encoding.

struct SubnetID {
    uint64 root;
    address[] route;
}

struct FvmAddress {
    uint8 addrType;
    bytes payload;
}

struct DelegatedAddress {
    uint64 namespace;
    uint128 length;
    bytes buffer;
}

struct IPCAddress {
    SubnetID subnetId;
    FvmAddress rawAddress;
}

enum IpcMsgKind {
    Transfer,
    Call,
    Result
}

enum OutcomeType {
    Ok,
    SystemErr,
    ActorErr
}

/// @dev What became of an applied message's value.
enum Disposition {
    Executed, // delivered to its recipient
    Credited, // kept for its recipient, to be pulled
    Returned, // sent back in a failure Result
    Quarantined // could not be applied at all; retry is permissionless
}

enum InvalidXnetMessageReason {
    Sender,
    DstSubnet,
    Nonce,
    Value,
    Kind,
    ReflexiveSend,
    NoRoute,
    IncompatibleSupplySource
}

struct IpcEnvelope {
    IpcMsgKind kind;
    uint64 localNonce;
    uint64 originalNonce;
    uint256 value;
    IPCAddress to;
    IPCAddress from;
    bytes message;
}

struct CallMsg {
    bytes method;
    bytes params;
}

struct ResultMsg {
    bytes32 id;
    OutcomeType outcome;
    bytes ret;
}

enum AssetKind {
    Native,
    ERC20
}

struct Asset {
    AssetKind kind;
    address tokenAddress;
}

struct Commitment {
    uint64 totalNumMsgs;
    bytes32 msgsRoot;
}

struct Inclusion {
    IpcEnvelope msg;
    bytes32[] proof;
}

struct AggregatedStats {
    uint64 totalActiveValidators;
    uint64 totalNumBlocksCommitted;
}

struct CompressedSummary {
    AggregatedStats stats;
    bytes32 dataRootCommitment;
}

struct CompressedActivityRollup {
    CompressedSummary consensus;
}

struct BottomUpCheckpoint {
    SubnetID subnetID;
    uint256 blockHeight;
    bytes32 blockHash;
    uint64 nextConfigurationNumber;
    Commitment msgs;
    CompressedActivityRollup activity;
}

struct ListPendingCommitmentsEntry {
    uint64 height;
    Commitment commitment;
    bytes32[] executed;
}

struct Validator {
    uint256 weight;
    address addr;
    bytes metadata;
}

struct Membership {
    Validator[] validators;
    uint64 configurationNumber;
}

enum PowerOperation {
    SetPower,
    SetMetadata
}

struct PowerChange {
    PowerOperation op;
    bytes payload;
    address validator;
}

struct PowerChangeRequest {
    PowerChange change;
    uint64 configurationNumber;
}

struct Subnet {
    uint256 stake;
    uint256 genesisEpoch;
    uint256 circSupply;
    uint64 topDownNonce;
    uint64 appliedBottomUpNonce;
    SubnetID id;
}

enum ConsensusType {
    Fendermint
}

enum PermissionMode {
    Collateral,
    Federated,
    Static
}

/// @notice What a subnet is created from (generation C).
struct SubnetParams {
    uint256 minActivationCollateral;
    uint64 minValidators;
    uint64 bottomUpCheckPeriod;
    address ipcGatewayAddr;
    uint16 activeValidatorsLimit;
    uint8 majorityPercentage;
    ConsensusType consensus;
    int8 powerScale;
    PermissionMode permissionMode;
    Asset supplySource;
    Asset collateralSource;
    SubnetID parentId;
    address validatorGater;
    address validatorRewarder;
    address genesisSubnetIpcContractsOwner;
}

/// @notice The statement about the parent chain that validators sign
/// (PROTOCOL 6). EIP-712 type of the same name and field order.
struct ParentFinality {
    uint64 signerConfig;
    uint64 parentHeight;
    bytes32 parentHash;
    uint64 topDownNonce;
    bytes32 topDownHash;
    uint64 powerChangeNonce;
    bytes32 powerChangeHash;
}

/// @notice Where a subnet goes on after its root forked below what it had
/// committed (PROTOCOL 10): the part of both queues that is the same on either
/// side. EIP-712 type of the same name and field order, in the root gateway's
/// domain of the deployment.
struct Recovery {
    uint64 number;
    uint64 topDownNonce;
    bytes32 topDownHash;
    uint64 powerChangeNonce;
    bytes32 powerChangeHash;
}

/// @notice The recoveries of one subnet. `pending.number` is 0 while none
/// waits; `executed` is the newest one, executed in root block `executedBlock`.
struct Recoveries {
    uint64 last; // highest number ever proposed
    uint64 readyAt; // unix seconds from which `pending` may be executed
    uint64 executedBlock;
    Recovery pending;
    Recovery executed;
}

/// @notice What validators sign in the subnet once recovery `number` is executed
/// and final on the root (PROTOCOL 10): the root block that statements go on
/// from, with the recovery's prefix. EIP-712 type of the same name.
struct ParentRecovery {
    uint64 number;
    ParentFinality anchor;
}

/// @notice A withdrawal as it is hashed into its id on both sides
/// (PROTOCOL 33). `token` is the token paid out on the root; amounts are in
/// its base units.
struct Withdrawal {
    bytes32 subnetKey;
    address outbox;
    uint64 nonce;
    address token;
    address sender;
    address recipient;
    address fallbackRecipient;
    uint256 gross;
    uint256 minOut;
    uint64 height;
    uint64 fillDeadline;
    address exclusiveFiller;
    uint64 exclusivityDeadline;
    uint16 maxFeeBps;
}

/// @notice What a user asks of the outbox. `token` is the root token. For a
/// plain slow withdrawal minOut, fillDeadline, exclusiveFiller,
/// exclusivityDeadline and maxFeeBps are 0.
struct WithdrawalRequest {
    address token;
    uint256 amount;
    address recipient;
    address fallbackRecipient;
    uint256 minOut;
    uint64 fillDeadline;
    address exclusiveFiller;
    uint64 exclusivityDeadline;
    uint16 maxFeeBps;
}
