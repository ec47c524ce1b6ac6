// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    BottomUpCheckpoint,
    Membership,
    ParentFinality,
    ParentRecovery,
    PowerChangeRequest
} from "../ipc/Types.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {PowerSet} from "../ipc/PowerSet.sol";
import {Quorum} from "../ipc/Quorum.sol";
import {Lane} from "./Lane.sol";
import {Ledger} from "./Ledger.sol";

/// @title What the validators say about the root, and who the validators are
/// @notice The subnet speaks by more than 2/3 of the recorded power; anybody may
/// carry what it signed. There is no other authority over this contract.
abstract contract ParentStatements is Ledger {
    using Lane for Lane.Queue;
    using PowerSet for PowerSet.Set;

    /// @dev The statement contradicts the previous one.
    error ContradictsFinality();
    /// @dev More than the allowed number of messages or changes at once.
    error StatementTooLong();
    /// @dev A configuration is half applied: call applyConfiguration with that
    /// same checkpoint until it is done.
    error ConfigurationInProgress(uint64 configurationNumber);

    /// @notice Part of a configuration was applied, up to this change.
    event ConfigurationProgress(uint64 configurationNumber, uint64 upTo);

    uint64 internal constant MAX_MESSAGES = 1024;
    uint64 internal constant MAX_CHANGES = 256;
    /// @dev Changes applied by one call: with a set of 100, well below the
    /// 16,777,216 gas of one transaction.
    uint64 internal constant CHANGES_PER_CALL = 64;

    bytes32 private constant FINALITY_TYPE = keccak256(
        "ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
    );

    bytes32 private constant RECOVERY_TYPE = keccak256(
        "ParentRecovery(uint64 number,ParentFinality anchor)ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
    );

    Lane.Queue internal topDown;
    Lane.Queue private changes;
    ParentFinality private latest;
    /// @inheritdoc ISubnetGateway
    uint64 public override parentRecovery;

    PowerSet.Set private set;
    mapping(uint64 number => PowerSet.Change) private stored;
    uint64 private appliedConfiguration;
    /// @dev Changes applied to the set; above appliedConfiguration only while a
    /// configuration is in progress.
    uint64 private folded;
    uint64 private targetConfiguration;
    bytes32 private authorized; // hash of the checkpoint in progress, else 0

    constructor(Genesis memory g) {
        topDown.hash = g.salt;
        changes.hash = g.salt;
        latest.topDownHash = g.salt;
        latest.powerChangeHash = g.salt;
        set.unit = PowerSet.unitOf(g.powerScale);
        set.found(g.validators);
        if (set.totalPower == 0) revert BadGenesis();
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Records how far the root is final (PROTOCOL 6). Pays one reward
    /// for a statement that moves a nonce.
    function commitParentFinality(
        ParentFinality calldata statement,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external nonReentrant {
        _requireNext(statement);

        uint64 messages = _ahead(
            latest.topDownNonce,
            statement.topDownNonce,
            latest.topDownHash,
            statement.topDownHash,
            MAX_MESSAGES
        );
        uint64 configs = _ahead(
            latest.powerChangeNonce,
            statement.powerChangeNonce,
            latest.powerChangeHash,
            statement.powerChangeHash,
            MAX_CHANGES
        );
        _requireQuorum(_digest(_hash(statement)), signatories, signatures);

        latest = statement;
        if (messages != 0) topDown.keep(statement.topDownNonce, statement.topDownHash);
        if (configs != 0) changes.keep(statement.powerChangeNonce, statement.powerChangeHash);
        emit ParentFinalityCommitted(
            statement.parentHeight, statement.parentHash, statement.topDownNonce, statement.powerChangeNonce
        );
        if (messages + configs != 0) _reward(1);
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Goes on from another branch of the root, which a recovery executed
    /// there allows (PROTOCOL 10). Committed pairs are forgotten; what was applied
    /// beyond the common prefix stays applied, and the root's own messages from
    /// there on are delivered. The power changes must be those held here: a fork
    /// that changed them cannot be mended in place. Numbers ascend; those of
    /// withdrawn recoveries never come.
    function commitParentRecovery(
        ParentRecovery calldata statement,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external nonReentrant {
        uint64 number = statement.number;
        ParentFinality calldata anchor = statement.anchor;
        _requireNext(anchor);
        if (number <= parentRecovery) revert ParentFinalityAlreadyCommitted();
        if (anchor.powerChangeNonce != changes.count || anchor.powerChangeHash != changes.hash) {
            revert ContradictsFinality();
        }
        bytes32 structHash = keccak256(abi.encode(RECOVERY_TYPE, number, _hash(anchor)));
        _requireQuorum(_digest(structHash), signatories, signatures);

        parentRecovery = number;
        latest = anchor;
        emit ParentRecovered(number, anchor.parentHeight, anchor.topDownNonce, topDown.count, _received());
        topDown.goOnFrom(anchor.topDownNonce, anchor.topDownHash);
        changes.forget();
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Stores changes until a checkpoint confirms them (PROTOCOL 12,
    /// 13). Changes stored before are skipped; with none left nothing happens.
    function deliverPowerChanges(PowerChangeRequest[] calldata requests, bytes32[] calldata tailHashes)
        external
        nonReentrant
    {
        uint64 number = changes.count;
        uint256 first = 0;
        while (first < requests.length && requests[first].configurationNumber <= number) ++first;
        if (first == requests.length) return;

        bytes32 rolling = changes.hash;
        for (uint256 i = first; i < requests.length; ++i) {
            ++number;
            PowerChangeRequest memory request = requests[i];
            if (request.configurationNumber != number) revert Lane.Gap(number, request.configurationNumber);
            rolling = Envelopes.fold(rolling, Envelopes.changeHash(request));
            stored[number] = PowerSet.parse(request.change);
        }
        changes.requireProven(number, rolling, tailHashes);
        changes.advance(number, rolling);
        changes.trim();
        emit PowerChangesStored(number);
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Switches to the set that the checkpoint confirms, on the evidence
    /// on which the node switches (PROTOCOL 20). With very many changes one call
    /// does a part of it; the same call again goes on.
    function applyConfiguration(
        BottomUpCheckpoint calldata checkpoint,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external nonReentrant {
        uint64 number = checkpoint.nextConfigurationNumber;
        bytes32 hash = Envelopes.checkpointHash(checkpoint);
        if (authorized == 0) {
            if (!_isSelf(checkpoint.subnetID.root, checkpoint.subnetID.route)) revert InvalidSubnet();
            if (number <= appliedConfiguration || number > changes.count) {
                revert InvalidConfigurationNumber();
            }
            _requireQuorum(hash, signatories, signatures);
            authorized = hash;
            targetConfiguration = number;
            set.retryDeferred();
        } else if (authorized != hash) {
            revert ConfigurationInProgress(targetConfiguration);
        }

        uint64 upTo = number - folded > CHANGES_PER_CALL ? folded + CHANGES_PER_CALL : number;
        for (uint64 n = folded + 1; n <= upTo; ++n) {
            set.step(stored[n]);
            delete stored[n];
        }
        folded = upTo;
        if (upTo < number) {
            emit ConfigurationProgress(number, upTo);
            return;
        }
        appliedConfiguration = number;
        authorized = 0;
        targetConfiguration = 0;
        emit MembershipUpdated(getCurrentMembership());
        emit ConfigurationApplied(number);
    }

    /// @inheritdoc ISubnetGateway
    function latestParentFinality() external view returns (ParentFinality memory) {
        return latest;
    }

    /// @inheritdoc ISubnetGateway
    function getLatestParentFinality() external view returns (uint256 height, bytes32 blockHash) {
        return (latest.parentHeight, latest.parentHash);
    }

    /// @inheritdoc ISubnetGateway
    function appliedTopDownNonce() external view returns (uint64) {
        return topDown.count;
    }

    /// @inheritdoc ISubnetGateway
    function appliedTopDown() external view returns (uint64 nonce, bytes32 hash) {
        return (topDown.count, topDown.hash);
    }

    /// @inheritdoc ISubnetGateway
    function appliedPowerChanges() external view returns (uint64 number, bytes32 hash) {
        return (changes.count, changes.hash);
    }

    /// @inheritdoc ISubnetGateway
    function committedTopDownAt(uint64 nonce) external view returns (uint64 pairNonce, bytes32 hash) {
        Lane.Pair memory p = topDown.at(nonce);
        return (p.count, p.hash);
    }

    /// @inheritdoc ISubnetGateway
    function committedPowerChangesAt(uint64 number) external view returns (uint64 pairNumber, bytes32 hash) {
        Lane.Pair memory p = changes.at(number);
        return (p.count, p.hash);
    }

    /// @inheritdoc ISubnetGateway
    /// @dev Only validators with power, in no particular order; the weights are
    /// those that count in a quorum. While a configuration is in progress the
    /// set is between two configurations.
    function getCurrentMembership() public view returns (Membership memory) {
        return Membership({validators: set.members(), configurationNumber: appliedConfiguration});
    }

    /// @inheritdoc ISubnetGateway
    function appliedConfigurationNumber() external view returns (uint64) {
        return appliedConfiguration;
    }

    /// @inheritdoc ISubnetGateway
    function storedConfigurationNumber() external view returns (uint64) {
        return changes.count;
    }

    /// @notice The configuration being applied in parts and how far it is;
    /// (0, 0) if none.
    function configurationInProgress() external view returns (uint64 target, uint64 upTo) {
        return authorized == 0 ? (0, 0) : (targetConfiguration, folded);
    }

    /// @dev Is it the id of this subnet?
    function _isSelf(uint64 root, address[] memory route) internal view returns (bool) {
        return root == ROOT && route.length == 1 && route[0] == ACTOR;
    }

    /// @dev By how much a queue moved; reverts on a contradiction.
    function _ahead(uint64 was, uint64 is_, bytes32 wasHash, bytes32 isHash, uint64 limit)
        private
        pure
        returns (uint64)
    {
        if (is_ < was || (is_ == was && isHash != wasHash)) revert ContradictsFinality();
        if (is_ - was > limit) revert StatementTooLong();
        return is_ - was;
    }

    /// @dev May a statement on the root, by this configuration and at this
    /// height, come now?
    function _requireNext(ParentFinality calldata statement) private view {
        if (authorized != 0) revert ConfigurationInProgress(targetConfiguration);
        if (statement.signerConfig != appliedConfiguration) revert InvalidConfigurationNumber();
        if (statement.parentHeight <= latest.parentHeight) revert ParentFinalityAlreadyCommitted();
    }

    /// @dev EIP-712 hash of the struct.
    function _hash(ParentFinality calldata statement) private pure returns (bytes32) {
        return keccak256(abi.encode(FINALITY_TYPE, statement));
    }

    /// @dev The signed digest of a struct.
    function _digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    /// @dev More than 2/3 of the recorded power, and the subnet's own majority.
    function _requireQuorum(bytes32 digest, address[] calldata signatories, bytes[] calldata signatures)
        private
        view
    {
        Quorum.requireSigned(digest, signatories, signatures);
        uint256 weight = 0;
        for (uint256 i = 0; i < signatories.length; ++i) {
            uint256 own = set.weightOf(signatories[i]);
            if (own == 0) revert Quorum.NotValidator(signatories[i]);
            weight += own;
        }
        Quorum.requireWeight(weight, set.totalWeight, MAJORITY);
    }
}
