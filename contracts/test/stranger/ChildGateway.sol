// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Applier} from "./Applier.sol";

/// @title A gateway inside a subnet as somebody else runs it
/// @notice The system actor is an account that the test holds the key of; in a
/// published subnet it is 0xff00…00 and sends without a transaction. Coins that
/// nodes would mint are in the gateway from the start.
contract ChildGateway is Applier {
    using Envelopes for IpcEnvelope;
    using Envelopes for BottomUpCheckpoint;

    error NotSystemActor();
    error ParentFinalityAlreadyCommitted();
    error CheckpointAlreadyExists();
    error CheckpointNotCreated();
    error ZeroMembershipWeight();
    error QuorumAlreadyProcessed();
    error SignatureReplay();
    error InvalidSignature();
    error NotAuthorized(address who);

    enum QuorumObjKind {
        Checkpoint,
        BottomUpMsgBatch
    }

    event QueuedBottomUpMessage(bytes32 indexed id);
    event BottomUpBatchRecorded(uint64 checkpointHeight, IpcEnvelope[] msgs);
    event ActivityRollupRecorded(uint64 checkpointHeight, FullActivityRollup rollup);
    event QuorumReached(QuorumObjKind objKind, uint256 height, bytes32 objHash, uint256 quorumWeight);
    event QuorumWeightUpdated(QuorumObjKind objKind, uint256 height, bytes32 objHash, uint256 newWeight);

    struct ParentHeight {
        uint256 height;
        bytes32 blockHash;
    }

    struct ValidatorData {
        address validator;
        uint64 blocksCommitted;
    }

    struct FullSummary {
        AggregatedStats stats;
        ValidatorData[] data;
    }

    struct FullActivityRollup {
        FullSummary consensus;
    }

    struct BottomUpMsgBatch {
        SubnetID subnetID;
        uint256 blockHeight;
        IpcEnvelope[] msgs;
    }

    struct QuorumInfo {
        bytes32 hash;
        bytes32 rootHash;
        uint256 threshold;
        uint256 currentWeight;
        bool reached;
    }

    address private constant BURN = address(99);

    address private system;
    uint256 private period;
    uint8 private majority;
    SubnetID private network;
    uint64 private topDown;
    uint64 private bottomUp;
    ParentHeight private parent;
    mapping(uint256 => BottomUpMsgBatch) private batches;
    mapping(uint256 => BottomUpCheckpoint) private checkpoints;
    mapping(uint256 => QuorumInfo) private quorums;
    mapping(uint256 => address[]) private signatoriesOf;
    mapping(uint256 => bytes[]) private signaturesOf;
    mapping(uint256 => mapping(address => bool)) private signed;

    modifier onlySystem() {
        if (msg.sender != system) revert NotSystemActor();
        _;
    }

    function init(address system_, uint256 period_, uint8 majority_, SubnetID calldata network_)
        external
        payable
    {
        (system, period, majority, network) = (system_, period_, majority_, network_);
    }

    function commitParentFinality(ParentHeight calldata finality)
        external
        onlySystem
        returns (bool, ParentHeight memory previous)
    {
        previous = parent;
        if (finality.height <= previous.height) revert ParentFinalityAlreadyCommitted();
        parent = finality;
        return (previous.height > 0, previous);
    }

    function storeValidatorChanges(PowerChangeRequest[] calldata) external view onlySystem {}

    function applyFinalityChanges() external view onlySystem returns (uint64) {
        return 0;
    }

    function applyCrossMessages(IpcEnvelope[] calldata msgs) external onlySystem {
        Asset memory coin;
        for (uint256 i = 0; i < msgs.length; i++) {
            uint64 expected = topDown;
            if (msgs[i].localNonce == expected) topDown = expected + 1;
            _apply(msgs[i], expected, coin);
        }
    }

    function release(FvmAddress calldata to) external payable {
        if (msg.value == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        IpcEnvelope memory m;
        m.value = msg.value;
        m.from = IPCAddress(network, Fvm.from(msg.sender));
        m.to = IPCAddress(_root(), to);
        _queue(m);
        _burn(msg.value);
    }

    /// @dev Like the published one, it does not tie the message's value to what
    /// came with the call.
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory committed)
    {
        if (msg.sender.code.length == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Sender);
        abi.decode(envelope.message, (CallMsg));
        committed = envelope;
        committed.kind = IpcMsgKind.Call;
        committed.from = IPCAddress(network, Fvm.from(msg.sender));
        committed = _queue(committed);
        if (envelope.value > 0) _burn(envelope.value);
    }

    function createBottomUpCheckpoint(
        BottomUpCheckpoint calldata checkpoint,
        bytes32 membershipRootHash,
        uint256 membershipWeight,
        IpcEnvelope[] calldata msgs,
        FullActivityRollup calldata activity
    ) external onlySystem {
        uint256 height = checkpoint.blockHeight;
        if (checkpoints[height].blockHeight != 0) revert CheckpointAlreadyExists();
        if (membershipWeight == 0) revert ZeroMembershipWeight();
        checkpoints[height] = checkpoint;
        quorums[height] = QuorumInfo(
            checkpoint.checkpointHash(), membershipRootHash, membershipWeight * majority / 100, 0, false
        );
        // heights are block numbers
        // forge-lint: disable-next-line(unsafe-typecast)
        emit BottomUpBatchRecorded(uint64(height), msgs);
        // heights are block numbers
        // forge-lint: disable-next-line(unsafe-typecast)
        emit ActivityRollupRecorded(uint64(height), activity);
    }

    function addCheckpointSignature(
        uint256 height,
        bytes32[] calldata membershipProof,
        uint256 weight,
        bytes calldata signature
    ) external {
        QuorumInfo storage q = quorums[height];
        if (q.hash == bytes32(0)) revert CheckpointNotCreated();
        (address who, ECDSA.RecoverError err,) = ECDSA.tryRecover(q.hash, signature);
        if (err != ECDSA.RecoverError.NoError) revert InvalidSignature();
        if (signed[height][who]) revert SignatureReplay();
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(who, weight))));
        if (!MerkleProof.verifyCalldata(membershipProof, q.rootHash, leaf)) revert NotAuthorized(who);
        signed[height][who] = true;
        signatoriesOf[height].push(who);
        signaturesOf[height].push(signature);
        q.currentWeight += weight;
        if (!q.reached && q.currentWeight >= q.threshold) {
            q.reached = true;
            emit QuorumReached(QuorumObjKind.Checkpoint, height, q.hash, q.currentWeight);
        } else if (q.reached) {
            emit QuorumWeightUpdated(QuorumObjKind.Checkpoint, height, q.hash, q.currentWeight);
        }
    }

    function getCheckpointSignatureBundle(uint256 height)
        external
        view
        returns (
            BottomUpCheckpoint memory ch,
            QuorumInfo memory info,
            address[] memory signatories,
            bytes[] memory signatures
        )
    {
        return (checkpoints[height], quorums[height], signatoriesOf[height], signaturesOf[height]);
    }

    function getCheckpointInfo(uint256 height) external view returns (QuorumInfo memory) {
        return quorums[height];
    }

    function bottomUpCheckpoint(uint256 height) external view returns (BottomUpCheckpoint memory) {
        return checkpoints[height];
    }

    function bottomUpMsgBatch(uint256 epoch) external view returns (BottomUpMsgBatch memory) {
        return batches[epoch];
    }

    function bottomUpNonce() external view returns (uint64) {
        return bottomUp;
    }

    function appliedTopDownNonce() external view returns (uint64) {
        return topDown;
    }

    function bottomUpCheckPeriod() external view returns (uint256) {
        return period;
    }

    function getLatestParentFinality() external view returns (ParentHeight memory) {
        return parent;
    }

    function getNetworkName() external view returns (SubnetID memory) {
        return network;
    }

    function _answer(IpcEnvelope memory result) internal override {
        _queue(result); // its value is not burnt: the published one forgets to
    }

    function _queue(IpcEnvelope memory m) private returns (IpcEnvelope memory) {
        uint256 epoch = (block.number / period + 1) * period;
        m.localNonce = bottomUp;
        m.originalNonce = bottomUp;
        bottomUp++;
        BottomUpMsgBatch storage batch = batches[epoch];
        if (batch.blockHeight == 0) {
            batch.blockHeight = epoch;
            batch.subnetID = network;
        }
        batch.msgs.push(m);
        emit QueuedBottomUpMessage(m.tracingId());
        return m;
    }

    function _burn(uint256 value) private {
        (bool ok,) = BURN.call{value: value}("");
        require(ok, "burn failed");
    }

    function _root() private view returns (SubnetID memory) {
        return SubnetID(network.root, new address[](0));
    }
}
