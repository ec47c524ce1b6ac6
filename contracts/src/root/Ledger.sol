// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {
    AmountOutOfBounds,
    BootstrapNotRecorded,
    EnvelopeTooLarge,
    InvalidSubnet,
    NotRegisteredSubnet,
    ReentrancyError
} from "../ipc/Errors.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {AssetKind, IpcEnvelope, SubnetID} from "../ipc/Types.sol";
import {IGateway} from "../interfaces/IGateway.sol";

/// @title What the root gateway remembers of each subnet, and how a message is
/// committed to it
/// @notice Value is accounted by monotone counters alone; balances enter no
/// equality (PROTOCOL 29). Storage keeps rolling hashes, events carry bodies
/// (PROTOCOL 58).
abstract contract Ledger is IGateway {
    using SafeERC20 for IERC20;

    /// @dev One subnet, by the address of its actor.
    struct State {
        // Slot 0: touched by every message.
        uint64 topDownNonce; // next
        uint64 appliedBottomUpNonce; // next
        uint64 lastActive; // unix seconds: activation or last checkpoint
        uint64 genesisEpoch; // block of registration, never 0 once registered
        // Slot 1.
        address token; // zero: native supply
        bool registered; // false again once killed
        bool open; // the bootstrap is recorded
        bool called; // a contract called into it, or out of it
        // Then.
        bytes32 topDownHash; // rolling hash before topDownNonce
        Counters counters;
        uint256 stake;
        address collateralToken; // zero: native collateral
        mapping(address account => uint256) credits;
        mapping(uint64 nonce => bytes32) quarantine; // keccak256(abi.encode(envelope))
    }

    /// @dev Neither counter of value coming in may pass this, so no sum can
    /// overflow later, while a message is applied.
    uint256 internal constant MAX_LOCKED = type(uint128).max;
    /// @dev Below it a fifth would not cover what a call with value costs before
    /// its gas is counted, and handlers could get less than promised.
    uint256 private constant MIN_MESSAGE_GAS = 200_000;
    bytes32 private constant NEW_TOP_DOWN_MESSAGE = NewTopDownMessage.selector;

    uint256 internal immutable MESSAGE_GAS;
    /// @dev What applying one message costs beside its handler, with margin. A
    /// shortage later reverts the whole transaction, so this only fails early.
    uint256 internal immutable BOOKKEEPING_GAS;
    uint256 internal immutable FUND_MIN;
    uint256 internal immutable FUND_MAX;
    uint256 internal immutable MAX_SILENCE;
    // Our own network. A child's route has at most two parts (PROTOCOL 15), so
    // ours has at most one.
    uint64 internal immutable ROOT;
    uint256 internal immutable DEPTH;
    address internal immutable PART;

    mapping(address actor => State) internal subnets;

    /// @dev Set while messages are applied or credits paid.
    bool private transient applying;
    /// @dev Set while a balance is measured round a transfer to us.
    bool private transient pulling;

    constructor(
        SubnetID memory networkName,
        uint256 messageGas_,
        uint256 fundMin,
        uint256 fundMax,
        uint256 maxSilence
    ) {
        if (networkName.root == 0 || networkName.route.length > 1) revert InvalidSubnet();
        if (messageGas_ < MIN_MESSAGE_GAS) {
            revert AmountOutOfBounds(messageGas_, MIN_MESSAGE_GAS, type(uint256).max);
        }
        if (maxSilence == 0) revert AmountOutOfBounds(maxSilence, 1, type(uint256).max);
        if (fundMin > fundMax || fundMax > MAX_LOCKED) {
            revert AmountOutOfBounds(fundMax, fundMin, MAX_LOCKED);
        }
        ROOT = networkName.root;
        DEPTH = networkName.route.length;
        PART = networkName.route.length == 1 ? networkName.route[0] : address(0);
        MESSAGE_GAS = messageGas_;
        BOOKKEEPING_GAS = messageGas_ / 5;
        FUND_MIN = fundMin;
        FUND_MAX = fundMax;
        MAX_SILENCE = maxSilence;
    }

    modifier whileApplying() {
        _enterApplying();
        _;
        applying = false;
    }

    modifier whilePulling() {
        _enterPulling();
        _;
        pulling = false;
    }

    function _enterApplying() private {
        // Not while pulling either: a token with hooks could otherwise execute a
        // message whose handler then finds the lock taken, and so fail it.
        if (applying || pulling) revert ReentrancyError();
        applying = true;
    }

    function _enterPulling() private {
        if (pulling) revert ReentrancyError();
        pulling = true;
    }

    /// @dev Our own id.
    function _here() internal view returns (SubnetID memory id) {
        id.root = ROOT;
        id.route = new address[](DEPTH);
        if (DEPTH == 1) id.route[0] = PART;
    }

    /// @dev The id of a subnet below us.
    function _child(address actor) internal view returns (SubnetID memory id) {
        id.root = ROOT;
        id.route = new address[](DEPTH + 1);
        if (DEPTH == 1) id.route[0] = PART;
        id.route[DEPTH] = actor;
    }

    function _isHere(SubnetID calldata id) internal view returns (bool) {
        return id.root == ROOT && id.route.length == DEPTH && (DEPTH == 0 || id.route[0] == PART);
    }

    /// @dev The actor of a subnet directly below us, or zero for any other id.
    function _actorOf(SubnetID calldata id) internal view returns (address) {
        if (id.root != ROOT || id.route.length != DEPTH + 1) return address(0);
        if (DEPTH == 1 && id.route[0] != PART) return address(0);
        return id.route[DEPTH];
    }

    /// @dev Value the subnet holds: what it may still send up.
    function _circSupply(State storage s) internal view returns (uint256) {
        Counters storage c = s.counters;
        return c.preFunded + c.locked + c.relocked + c.covered - c.unlocked;
    }

    /// @dev The registered subnet of an id.
    function _registered(SubnetID calldata subnetId) internal view returns (State storage s, address actor) {
        actor = _actorOf(subnetId);
        s = subnets[actor];
        if (actor == address(0) || !s.registered) revert NotRegisteredSubnet();
    }

    /// @dev Takes `amount` of a token from `from` and returns what arrived. Only
    /// inside whilePulling, else a token with hooks could have one transfer
    /// counted twice.
    function _pull(address token, address from, uint256 amount) internal returns (uint256 received) {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(from, address(this), amount);
        uint256 afterwards = IERC20(token).balanceOf(address(this));
        require(afterwards > before, "No balance increase");
        received = afterwards - before;
    }

    /// @dev Numbers `e`, folds it into the rolling hash and publishes it.
    /// originalNonce is the localNonce with the caller's bit 63 kept, so that ids
    /// are unique.
    function _commitTopDown(State storage s, address actor, IpcEnvelope memory e) internal {
        if (!s.open) revert BootstrapNotRecorded();
        uint64 nonce = s.topDownNonce;
        e.localNonce = nonce;
        e.originalNonce = nonce | (e.originalNonce & Envelopes.ASKED);
        s.topDownNonce = nonce + 1;

        bytes memory encoded = abi.encode(e);
        if (encoded.length > Envelopes.MAX_ENVELOPE) revert EnvelopeTooLarge(encoded.length);
        s.topDownHash = Envelopes.fold(s.topDownHash, keccak256(encoded));

        // emit NewTopDownMessage(actor, e, id): the data of the event is exactly
        // the encoding just hashed.
        bytes32 id = Envelopes.tracingIdOf(encoded);
        bytes32 topic = NEW_TOP_DOWN_MESSAGE;
        assembly ("memory-safe") {
            log3(add(encoded, 0x20), mload(encoded), topic, actor, id)
        }
    }

    /// @dev From the first Call on, either way, the subnet cannot be killed.
    function _markCalled(State storage s) internal {
        if (!s.called) s.called = true;
    }

    function _assetKind(address token) internal pure returns (AssetKind) {
        return token == address(0) ? AssetKind.Native : AssetKind.ERC20;
    }
}
