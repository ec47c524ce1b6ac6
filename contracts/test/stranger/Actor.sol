// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import "../../src/ipc/Types.sol";

interface IRootGateway {
    function register(uint256 genesisCircSupply, uint256 collateral) external payable;
    function commitCheckpoint(BottomUpCheckpoint calldata checkpoint) external;
    function execBottomUpMsgBatch(IpcEnvelope[] calldata msgs) external;
    function propagateAll() external;
}

/// @title A subnet actor as somebody else deployed it
/// @notice The set is fixed when it is made. Execution takes any proven subset in
/// any order: a leaf is marked executed before the gateway says what it thinks.
contract Actor {
    using Envelopes for IpcEnvelope;
    using Envelopes for BottomUpCheckpoint;
    using EnumerableSet for EnumerableSet.UintSet;
    using EnumerableSet for EnumerableSet.Bytes32Set;

    error BottomUpCheckpointAlreadySubmitted();
    error InvalidCheckpointEpoch();
    error InvalidSignatureErr(uint8 code);
    error SignatureAddressesNotSorted();
    error DuplicateValidatorSignaturesFound();
    error NotValidator(address who);
    error MissingBatchCommitment();
    error InvalidInclusionProof();
    error BatchMsgAlreadyExecuted();

    struct Setting {
        address gateway;
        uint64 period;
        uint8 majority;
        Asset supply;
        address[] validators;
        uint256[] powers;
    }

    struct Pending {
        Commitment commitment;
        EnumerableSet.Bytes32Set executed;
    }

    Setting private set;
    mapping(address => uint256) private powerOf;
    uint256 private total;
    uint256 private last;
    mapping(uint256 => BottomUpCheckpoint) private committed;
    EnumerableSet.UintSet private heights;
    mapping(uint256 => Pending) private pending;

    function init(Setting calldata s) external {
        set = s;
        for (uint256 i = 0; i < s.validators.length; i++) {
            powerOf[s.validators[i]] = s.powers[i];
            total += s.powers[i];
        }
    }

    /// @notice The set is given, so the first join of anyone starts the subnet.
    function join(bytes calldata, uint256) external payable {
        IRootGateway(set.gateway).register(0, total);
    }

    function submitCheckpoint(
        BottomUpCheckpoint calldata checkpoint,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external {
        uint256 height = checkpoint.blockHeight;
        if (height <= last) revert BottomUpCheckpointAlreadySubmitted();
        if (height != (last / set.period + 1) * set.period) revert InvalidCheckpointEpoch();
        _validate(signatories, checkpoint.checkpointHash(), signatures);
        committed[height] = checkpoint;
        last = height;
        IRootGateway(set.gateway).commitCheckpoint(checkpoint);
        if (checkpoint.msgs.totalNumMsgs > 0) {
            heights.add(height);
            pending[height].commitment = checkpoint.msgs;
        }
    }

    function execBottomUpMsgBatch(uint256 height, Inclusion[] calldata inclusions) external {
        IpcEnvelope[] memory msgs = new IpcEnvelope[](inclusions.length);
        for (uint256 i = 0; i < inclusions.length; i++) {
            Pending storage p = pending[height];
            if (p.commitment.msgsRoot == bytes32(0)) revert MissingBatchCommitment();
            bytes32 leaf = inclusions[i].msg.leaf();
            if (!MerkleProof.verifyCalldata(inclusions[i].proof, p.commitment.msgsRoot, leaf)) {
                revert InvalidInclusionProof();
            }
            if (!p.executed.add(leaf)) revert BatchMsgAlreadyExecuted();
            if (p.executed.length() == p.commitment.totalNumMsgs) _prune(height);
            msgs[i] = inclusions[i].msg;
        }
        IRootGateway(set.gateway).execBottomUpMsgBatch(msgs);
        IRootGateway(set.gateway).propagateAll();
    }

    function validateActiveQuorumSignatures(
        address[] calldata signatories,
        bytes32 hash,
        bytes[] calldata signatures
    ) external view {
        _validate(signatories, hash, signatures);
    }

    /// @notice In the order of the set, which is not that of heights.
    function listPendingBottomUpBatchCommitments()
        external
        view
        returns (ListPendingCommitmentsEntry[] memory out)
    {
        uint256 n = heights.length();
        out = new ListPendingCommitmentsEntry[](n);
        for (uint256 i = 0; i < n; i++) {
            uint256 height = heights.at(i);
            Pending storage p = pending[height];
            // heights are block numbers
            // forge-lint: disable-next-line(unsafe-typecast)
            out[i] = ListPendingCommitmentsEntry(uint64(height), p.commitment, p.executed.values());
        }
    }

    function lastBottomUpCheckpointHeight() external view returns (uint256) {
        return last;
    }

    function bottomUpCheckPeriod() external view returns (uint256) {
        return set.period;
    }

    function bottomUpCheckpointAtEpoch(uint256 epoch)
        external
        view
        returns (bool, BottomUpCheckpoint memory)
    {
        return (committed[epoch].blockHeight != 0, committed[epoch]);
    }

    function supplySource() external view returns (Asset memory) {
        return set.supply;
    }

    function getActiveValidators() external view returns (address[] memory) {
        return set.validators;
    }

    function majorityPercentage() external view returns (uint8) {
        return set.majority;
    }

    function bootstrapped() external pure returns (bool) {
        return true;
    }

    function _prune(uint256 height) private {
        Pending storage p = pending[height];
        bytes32[] memory leaves = p.executed.values();
        for (uint256 i = 0; i < leaves.length; i++) {
            p.executed.remove(leaves[i]);
        }
        delete pending[height].commitment;
        heights.remove(height);
    }

    function _validate(address[] calldata signatories, bytes32 hash, bytes[] calldata signatures)
        private
        view
    {
        if (signatories.length != signatures.length) revert InvalidSignatureErr(1);
        if (signatories.length == 0) revert InvalidSignatureErr(2);
        uint256 weight = 0;
        for (uint256 i = 0; i < signatories.length; i++) {
            address who = signatories[i];
            if (i > 0) {
                if (who == signatories[i - 1]) revert DuplicateValidatorSignaturesFound();
                if (who < signatories[i - 1]) revert SignatureAddressesNotSorted();
            }
            if (powerOf[who] == 0) revert NotValidator(who);
            weight += powerOf[who];
        }
        if (weight < total * set.majority / 100) revert InvalidSignatureErr(5);
        for (uint256 i = 0; i < signatories.length; i++) {
            (address who, ECDSA.RecoverError err,) = ECDSA.tryRecover(hash, signatures[i]);
            if (err != ECDSA.RecoverError.NoError) revert InvalidSignatureErr(4);
            if (who != signatories[i]) revert InvalidSignatureErr(3);
        }
    }
}
