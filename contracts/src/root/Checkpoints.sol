// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    BatchMsgAlreadyExecuted,
    BatchOutOfOrder,
    BootstrapNotRecorded,
    BottomUpCheckpointAlreadySubmitted,
    InvalidCheckpointEpoch,
    InvalidInclusionProof,
    MissingBatchCommitment
} from "../ipc/Errors.sol";
import {BottomUpCheckpoint, Commitment, Inclusion, ListPendingCommitmentsEntry} from "../ipc/Types.sol";
import {Inclusions} from "./Inclusions.sol";
import {Validators} from "./Validators.sol";

/// @title Checkpoints and the batches they commit to
/// @notice Checkpoints come in order of height, empty ones included. Batches are
/// executed by height, messages by nonce: a wrong order reverts and burns
/// nothing.
abstract contract Checkpoints is Validators {
    struct Pending {
        bytes32 msgsRoot;
        uint64 total;
        uint64 next; // height of the next pending batch, 0: none
    }

    /// @dev The queue of batches that are not fully executed, ascending.
    struct Lane {
        uint64 first; // height, 0: none pending
        uint64 last;
        uint64 executed; // messages of `first`
        uint64 nonce; // next bottom-up nonce, as in the gateway
    }

    mapping(uint256 height => Pending) private pending;
    mapping(uint256 height => bytes32) private checkpointHashes;
    Lane private lane;

    /// @notice Accepts the next checkpoint if a quorum of the confirmed
    /// validators signed it. Anyone may carry it. Reverts as generation C does.
    function submitCheckpoint(
        BottomUpCheckpoint calldata checkpoint,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external nonReentrant {
        _requireNotKilled();
        uint256 height = checkpoint.blockHeight;
        if (height <= lastHeight) revert BottomUpCheckpointAlreadySubmitted();
        if (height != uint256(lastHeight) + PERIOD) revert InvalidCheckpointEpoch();
        if (!recorded) revert BootstrapNotRecorded();
        bytes32 hash = keccak256(abi.encode(checkpoint));
        _requireQuorum(hash, signatories, signatures);

        checkpointHashes[height] = hash;
        lastHeight += PERIOD;
        activeAt = uint64(block.timestamp);
        if (checkpoint.msgs.totalNumMsgs != 0) _append(lastHeight, checkpoint.msgs);
        emit CheckpointAccepted(
            height, hash, checkpoint.msgs.totalNumMsgs, checkpoint.nextConfigurationNumber
        );
        GATEWAY.commitCheckpoint(checkpoint);
        // The old set has signed; from here the new one counts (PROTOCOL 20).
        _confirm(checkpoint.nextConfigurationNumber);
    }

    /// @notice Executes messages of the lowest pending batch, each with its
    /// proof, in order of nonce from the next one. Leading messages that are
    /// already applied are skipped, so that two relayers do not spoil each other.
    /// Reverts MissingBatchCommitment when the batch is not pending (any more),
    /// BatchOutOfOrder when a lower one is, BatchMsgAlreadyExecuted when nothing
    /// is new.
    function execBottomUpMsgBatch(uint256 checkpointHeight, Inclusion[] calldata inclusions)
        external
        nonReentrant
    {
        Pending memory batch = pending[checkpointHeight];
        if (batch.total == 0) revert MissingBatchCommitment();
        Lane memory l = lane;
        if (checkpointHeight != l.first) revert BatchOutOfOrder(checkpointHeight, l.first);

        uint256 skip;
        while (skip < inclusions.length && inclusions[skip].msg.localNonce < l.nonce) skip++;
        uint256 count = inclusions.length - skip;
        if (count == 0) revert BatchMsgAlreadyExecuted();
        if (l.executed + count > batch.total) revert InvalidInclusionProof();

        // All our state is final before the gateway calls anyone.
        uint64 nonce = l.nonce;
        // `executed + count` is at most `total`, a uint64.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 added = uint64(count);
        l.nonce += added;
        l.executed += added;
        emit BatchExecuted(checkpointHeight, l.executed, batch.total);
        if (l.executed == batch.total) {
            delete pending[checkpointHeight];
            l.first = batch.next;
            l.executed = 0;
        }
        lane = l;
        Inclusions.forward(GATEWAY, inclusions, skip, nonce, batch.msgsRoot);
    }

    /// @notice Free dry run of a checkpoint's signatures; reverts as
    /// submitCheckpoint would.
    function validateActiveQuorumSignatures(
        address[] calldata signatories,
        bytes32 hash,
        bytes[] calldata signatures
    ) external view {
        _requireQuorum(hash, signatories, signatures);
    }

    /// @notice Batches not fully executed, ascending by height. `executed` is
    /// empty: the gateway's getAppliedBottomUpNonce says how far execution is.
    function listPendingBottomUpBatchCommitments()
        external
        view
        returns (ListPendingCommitmentsEntry[] memory entries)
    {
        uint256 count;
        for (uint64 h = lane.first; h != 0; h = pending[h].next) {
            count++;
        }
        entries = new ListPendingCommitmentsEntry[](count);
        uint64 height = lane.first;
        for (uint256 i = 0; i < count; i++) {
            Pending storage batch = pending[height];
            entries[i].height = height;
            entries[i].commitment = Commitment({totalNumMsgs: batch.total, msgsRoot: batch.msgsRoot});
            height = batch.next;
        }
    }

    /// @notice The height of the last checkpoint, 0 before the first.
    function lastBottomUpCheckpointHeight() external view returns (uint256) {
        return lastHeight;
    }

    /// @notice keccak256(abi.encode(checkpoint)) of an accepted checkpoint.
    function bottomUpCheckpointHashAtEpoch(uint256 epoch) external view returns (bool, bytes32) {
        bytes32 hash = checkpointHashes[epoch];
        return (hash != 0, hash);
    }

    /// @dev Is every committed batch executed?
    function _drained() internal view returns (bool) {
        return lane.first == 0;
    }

    function _append(uint64 height, Commitment calldata commitment) private {
        pending[height] = Pending({msgsRoot: commitment.msgsRoot, total: commitment.totalNumMsgs, next: 0});
        if (lane.first == 0) lane.first = height;
        else pending[lane.last].next = height;
        lane.last = height;
    }
}
