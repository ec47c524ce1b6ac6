// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {
    AlreadyRegisteredSubnet,
    BootstrapAlreadyRecorded,
    BootstrapNotRecorded,
    EmptyAddress,
    InvalidCheckpointSource,
    InvalidSubnet,
    MethodNotAllowed,
    NotAuthorized,
    NotEmptySubnetCircSupply,
    NotEnoughBalance,
    NotEnoughFunds,
    NotEnoughFundsToRelease,
    NotRegisteredSubnet,
    SubnetInUse,
    SubnetNotFound,
    AmountOutOfBounds
} from "../ipc/Errors.sol";
import {Calls} from "../ipc/Calls.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Asset, AssetKind, BottomUpCheckpoint, Subnet, SubnetID} from "../ipc/Types.sol";
import {ISubnetActor} from "../interfaces/ISubnetActor.sol";
import {BottomUp} from "./BottomUp.sol";
import {Ledger} from "./Ledger.sol";
import {Recovering} from "./Recovering.sol";
import {TopDown} from "./TopDown.sol";

/// @title The gateway on the root
/// @notice Holds the supply and the collateral of every subnet below it, sends
/// messages down and applies those that come up. The owner approves subnets and
/// can do nothing else; no one can move what is locked.
contract Gateway is TopDown, BottomUp, Recovering, Ownable2Step {
    using SafeERC20 for IERC20;

    event SubnetApproved(address indexed subnet);

    /// @notice Subnet actors the owner lets register.
    mapping(address subnet => bool) public approved;

    /// @param networkName our own id: the root's chain id and at most one actor
    /// @param messageGas_ gas promised to each handler (PROTOCOL 14)
    /// @param fundMin smallest funding, supply base units
    /// @param fundMax largest funding, supply base units
    /// @param maxSilence_ seconds without a checkpoint after which no money goes
    /// down (PROTOCOL 27)
    /// @param recoveryDelay_ seconds between a recovery's proposal and its
    /// execution (PROTOCOL 10)
    constructor(
        SubnetID memory networkName,
        uint256 messageGas_,
        uint256 fundMin,
        uint256 fundMax,
        uint256 maxSilence_,
        uint256 recoveryDelay_
    )
        Ledger(networkName, messageGas_, fundMin, fundMax, maxSilence_)
        Recovering(recoveryDelay_)
        Ownable(msg.sender)
    {}

    /// @notice Lets a subnet actor register. Owner only.
    function approveSubnet(address subnet) external onlyOwner {
        if (subnet.code.length == 0) revert EmptyAddress();
        approved[subnet] = true;
        emit SubnetApproved(subnet);
    }

    /// @notice An approved subnet actor registers at its bootstrap and hands over
    /// the collateral of its validators and the prefunded supply.
    function register(uint256 genesisCircSupply, uint256 collateral) external payable whilePulling {
        if (!approved[msg.sender]) revert NotAuthorized(msg.sender);
        State storage s = subnets[msg.sender];
        if (s.genesisEpoch != 0) revert AlreadyRegisteredSubnet();
        if (genesisCircSupply > MAX_LOCKED) revert AmountOutOfBounds(genesisCircSupply, 0, MAX_LOCKED);
        ISubnetActor actor = ISubnetActor(msg.sender);
        if (!Envelopes.same(actor.getParent(), _here())) revert InvalidSubnet();
        address token = _tokenOf(actor.supplySource());
        address collateralToken = _tokenOf(actor.collateralSource());

        s.genesisEpoch = uint64(block.number);
        s.lastActive = uint64(block.timestamp);
        s.token = token;
        s.collateralToken = collateralToken;
        s.registered = true;
        s.counters.preFunded = genesisCircSupply;
        s.stake = collateral;

        uint256 native =
            (token == address(0) ? genesisCircSupply : 0) + (collateralToken == address(0) ? collateral : 0);
        if (msg.value != native) revert NotEnoughFunds();
        _pullExactly(token, genesisCircSupply);
        _pullExactly(collateralToken, collateral);
    }

    /// @notice The calling subnet actor brings more collateral.
    function addStake(uint256 amount) external payable whilePulling {
        State storage s = _caller();
        if (msg.value != (s.collateralToken == address(0) ? amount : 0)) revert NotEnoughFunds();
        s.stake += amount;
        _pullExactly(s.collateralToken, amount);
    }

    /// @notice Gives collateral back to the calling subnet actor, killed ones
    /// included.
    function releaseStake(uint256 amount) external {
        State storage s = subnets[msg.sender];
        if (amount == 0 || s.stake < amount) revert NotEnoughFundsToRelease();
        s.stake -= amount;
        if (!Calls.tryPay(s.collateralToken, msg.sender, amount, gasleft())) revert NotEnoughBalance();
    }

    /// @notice The calling subnet actor ends its subnet. Nothing may circulate in
    /// it, and no contract may ever have exchanged calls with it: what those owe
    /// (tokens in escrow, refunds on their way) we cannot see, and nothing could
    /// bring it back. Credits and collateral stay claimable.
    function kill() external {
        State storage s = _caller();
        if (_circSupply(s) != 0) revert NotEmptySubnetCircSupply();
        if (s.called) revert SubnetInUse();
        s.registered = false;
        emit SubnetDestroyed(_child(msg.sender));
    }

    /// @notice The calling subnet actor recorded its bootstrap: from here on
    /// messages can be sent down. `salt` is the first rolling hash.
    function openTopDown(bytes32 salt) external {
        State storage s = _caller();
        if (s.open) revert BootstrapAlreadyRecorded();
        s.open = true;
        s.topDownHash = salt;
        s.lastActive = uint64(block.timestamp);
        emit TopDownOpened(msg.sender, salt);
    }

    /// @notice The calling subnet actor accepted a checkpoint.
    function commitCheckpoint(BottomUpCheckpoint calldata checkpoint) external {
        uint256 depth = checkpoint.subnetID.route.length;
        if (depth == 0 || checkpoint.subnetID.route[depth - 1] != msg.sender) {
            revert InvalidCheckpointSource();
        }
        State storage s = subnets[msg.sender];
        if (!s.registered) revert SubnetNotFound();
        if (_actorOf(checkpoint.subnetID) != msg.sender) revert InvalidSubnet();
        if (!s.open) revert BootstrapNotRecorded();
        s.lastActive = uint64(block.timestamp);
        emit CheckpointCommitted(msg.sender, checkpoint.blockHeight);
    }

    /// @notice Our own id.
    function getNetworkName() external view returns (SubnetID memory) {
        return _here();
    }

    /// @notice A subnet below us; false if it never registered or was killed.
    function getSubnet(SubnetID calldata subnetId) external view returns (bool, Subnet memory) {
        address actor = _actorOf(subnetId);
        State storage s = subnets[actor];
        return (
            s.registered,
            Subnet({
                stake: s.stake,
                genesisEpoch: s.genesisEpoch,
                circSupply: _circSupply(s),
                topDownNonce: s.topDownNonce,
                appliedBottomUpNonce: s.appliedBottomUpNonce,
                id: _child(actor)
            })
        );
    }

    /// @notice The next top-down nonce, which is the number of messages so far.
    function getTopDownNonce(SubnetID calldata subnetId) external view returns (bool, uint64) {
        State storage s = subnets[_actorOf(subnetId)];
        return (s.registered, s.topDownNonce);
    }

    /// @notice How many top-down messages there were.
    function getSubnetTopDownMsgsLength(SubnetID calldata subnetId) external view returns (uint256) {
        return subnets[_actorOf(subnetId)].topDownNonce;
    }

    /// @notice The next bottom-up nonce to execute.
    function getAppliedBottomUpNonce(SubnetID calldata subnetId) external view returns (bool, uint64) {
        State storage s = subnets[_actorOf(subnetId)];
        return (s.registered, s.appliedBottomUpNonce);
    }

    /// @notice The next top-down nonce and the rolling hash before it; (0, 0)
    /// until the bootstrap is recorded.
    function getTopDownHash(SubnetID calldata subnetId) external view returns (uint64 nonce, bytes32 hash) {
        State storage s = subnets[_actorOf(subnetId)];
        return (s.topDownNonce, s.topDownHash);
    }

    /// @notice The highest power change and the rolling hash after it, as the
    /// subnet actor keeps them.
    function getPowerChangeHash(SubnetID calldata subnetId)
        external
        view
        returns (uint64 number, bytes32 hash)
    {
        address actor = _actorOf(subnetId);
        if (subnets[actor].genesisEpoch == 0) revert NotRegisteredSubnet();
        return ISubnetActor(actor).powerChangeHash();
    }

    /// @notice The monotone counters. `unlocked` counts the value of every applied
    /// message, returned ones too, which come back in `relocked`: the circulating
    /// supply is preFunded + locked + relocked + covered − unlocked.
    function getCounters(SubnetID calldata subnetId) external view returns (Counters memory) {
        return subnets[_actorOf(subnetId)].counters;
    }

    /// @notice What `account` may withdraw, supply base units.
    function creditOf(SubnetID calldata subnetId, address account) external view returns (uint256) {
        return subnets[_actorOf(subnetId)].credits[account];
    }

    /// @notice keccak256(abi.encode(envelope)) of a quarantined message, or 0.
    function quarantinedHash(SubnetID calldata subnetId, uint64 nonce) external view returns (bytes32) {
        return subnets[_actorOf(subnetId)].quarantine[nonce];
    }

    /// @notice Unix seconds of activation or of the last checkpoint.
    function lastActive(SubnetID calldata subnetId) external view returns (uint256) {
        return subnets[_actorOf(subnetId)].lastActive;
    }

    /// @notice Gas promised to each handler (PROTOCOL 14).
    function messageGas() external view returns (uint256) {
        return MESSAGE_GAS;
    }

    /// @notice Seconds without a checkpoint after which no money goes down.
    function maxSilence() external view returns (uint256) {
        return MAX_SILENCE;
    }

    /// @notice Bounds of one funding, in supply base units.
    function fundLimits() external view returns (uint256 min, uint256 max) {
        return (FUND_MIN, FUND_MAX);
    }

    /// @dev The registered subnet of the calling actor.
    function _caller() private view returns (State storage s) {
        s = subnets[msg.sender];
        if (!s.registered) revert NotRegisteredSubnet();
    }

    /// @dev Pulls a token from the calling actor, all of it or revert.
    function _pullExactly(address token, uint256 amount) private {
        if (token == address(0) || amount == 0) return;
        if (_pull(token, msg.sender, amount) != amount) revert NotEnoughFunds();
    }

    function _tokenOf(Asset memory asset) private view returns (address) {
        if (asset.kind == AssetKind.Native) return address(0);
        if (asset.tokenAddress.code.length == 0) revert EmptyAddress();
        return asset.tokenAddress;
    }
}
