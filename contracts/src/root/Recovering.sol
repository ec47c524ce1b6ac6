// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AmountOutOfBounds,
    BootstrapNotRecorded,
    NoRecovery,
    NotEnoughFunds,
    PrefixAboveRoot,
    RecoveryNotReady,
    RecoveryNumber,
    RecoveryPending
} from "../ipc/Errors.sol";
import {Recoveries, Recovery, SubnetID} from "../ipc/Types.sol";
import {ISubnetActor} from "../interfaces/ISubnetActor.sol";
import {Ledger} from "./Ledger.sol";

/// @title How a subnet goes on after its root forked below what it had committed
/// (PROTOCOL 10)
/// @notice Nothing in the subnet overwrites what it has committed of the root on
/// its own. Here, in public, a quorum of the validators that the root records
/// names the prefix of both queues that the subnet keeps; after a timelock, in
/// which the same quorum may take it back, anyone executes it. The subnet's
/// nodes act on what is executed and final in their own view of the root.
///
/// What the subnet applied of messages that are gone is not backed here. Nobody
/// is paid more than is locked (PROTOCOL 25); anyone may `cover` the difference.
abstract contract Recovering is Ledger {
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    );
    bytes32 private constant RECOVERY_TYPE = keccak256(
        "Recovery(uint64 number,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
    );
    bytes32 private constant WITHDRAWAL_TYPE = keccak256("RecoveryWithdrawal(uint64 number)");

    uint256 internal immutable RECOVERY_DELAY;

    mapping(address actor => Recoveries) private recoveries;

    constructor(uint256 delay) {
        if (delay == 0) revert AmountOutOfBounds(delay, 1, type(uint256).max);
        RECOVERY_DELAY = delay;
    }

    /// @notice Starts the timelock of a recovery that a quorum of the subnet's
    /// confirmed validators signed. One at a time; numbers ascend by one with
    /// every proposal, so that no signature serves twice. The prefix cannot go
    /// beyond what was sent from here. Anyone may carry it.
    function proposeRecovery(
        SubnetID calldata subnetId,
        Recovery calldata recovery,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external {
        (State storage s, address actor) = _registered(subnetId);
        Recoveries storage r = recoveries[actor];
        if (r.pending.number != 0) revert RecoveryPending(r.pending.number);
        if (recovery.number != r.last + 1) revert RecoveryNumber(r.last + 1);
        _requireWithin(recovery.topDownNonce, recovery.topDownHash, s.topDownNonce, s.topDownHash);
        (uint64 number, bytes32 hash) = ISubnetActor(actor).powerChangeHash();
        _requireWithin(recovery.powerChangeNonce, recovery.powerChangeHash, number, hash);
        _requireSigned(actor, keccak256(abi.encode(RECOVERY_TYPE, recovery)), signatories, signatures);

        // Unix seconds plus a deploy parameter.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 readyAt = uint64(block.timestamp + RECOVERY_DELAY);
        r.last = recovery.number;
        r.readyAt = readyAt;
        r.pending = recovery;
        emit RecoveryProposed(actor, recovery, readyAt);
    }

    /// @notice Takes the waiting recovery back, by the same quorum. Its number
    /// is spent.
    function withdrawRecovery(
        SubnetID calldata subnetId,
        uint64 number,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) external {
        (, address actor) = _registered(subnetId);
        Recoveries storage r = _waiting(actor, number);
        _requireSigned(actor, keccak256(abi.encode(WITHDRAWAL_TYPE, number)), signatories, signatures);
        delete r.pending;
        emit RecoveryWithdrawn(actor, number);
    }

    /// @notice Executes the waiting recovery once its timelock has run. Anyone
    /// may call.
    function executeRecovery(SubnetID calldata subnetId, uint64 number) external {
        (, address actor) = _registered(subnetId);
        Recoveries storage r = _waiting(actor, number);
        // Measured in hours; a validator moves it by seconds.
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp < r.readyAt) revert RecoveryNotReady(r.readyAt);
        Recovery memory recovery = r.pending;
        delete r.pending;
        r.executed = recovery;
        r.executedBlock = uint64(block.number);
        emit RecoveryExecuted(actor, recovery);
    }

    /// @notice Locks `amount` of the subnet's supply (msg.value for a native
    /// one) without sending it anywhere: it backs what circulates in the subnet
    /// from messages that a fork of the root undid. Never comes back.
    function cover(SubnetID calldata subnetId, uint256 amount) external payable whilePulling {
        (State storage s, address actor) = _registered(subnetId);
        if (!s.open) revert BootstrapNotRecorded();
        address token = s.token;
        if (msg.value != (token == address(0) ? amount : 0)) revert NotEnoughFunds();
        if (token != address(0)) amount = _pull(token, msg.sender, amount);
        uint256 covered = s.counters.covered + amount;
        if (amount == 0 || covered > MAX_LOCKED) revert AmountOutOfBounds(amount, 1, MAX_LOCKED);
        s.counters.covered = covered;
        emit Covered(actor, msg.sender, amount);
    }

    /// @notice The recovery that waits, if any, and the newest executed one.
    function getRecoveries(SubnetID calldata subnetId) external view returns (Recoveries memory) {
        return recoveries[_actorOf(subnetId)];
    }

    /// @notice Seconds between a recovery's proposal and its execution.
    function recoveryDelay() external view returns (uint256) {
        return RECOVERY_DELAY;
    }

    function _waiting(address actor, uint64 number) private view returns (Recoveries storage r) {
        r = recoveries[actor];
        if (number == 0 || r.pending.number != number) revert NoRecovery(number);
    }

    /// @dev A prefix of our own queue, as far as we can tell: only the newest
    /// hash is kept. The nodes check the rest against their view of us.
    function _requireWithin(uint64 nonce, bytes32 hash, uint64 ownNonce, bytes32 ownHash) private pure {
        if (nonce > ownNonce || (nonce == ownNonce && hash != ownHash)) revert PrefixAboveRoot();
    }

    /// @dev A quorum of the subnet's own set, over a struct in the domain of its
    /// deployment (PROTOCOL 5): the salt is that of its bootstrap.
    function _requireSigned(
        address actor,
        bytes32 structHash,
        address[] calldata signatories,
        bytes[] calldata signatures
    ) private view {
        bytes32 salt = ISubnetActor(actor).bootstrapSalt();
        if (salt == 0) revert BootstrapNotRecorded();
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPE, keccak256("Causeway"), keccak256("1"), block.chainid, address(this), salt)
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, structHash));
        ISubnetActor(actor).validateActiveQuorumSignatures(signatories, digest, signatures);
    }
}
