// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Calls} from "../ipc/Calls.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {CallMsg, IpcEnvelope, IpcMsgKind, OutcomeType, ResultMsg, SubnetID} from "../ipc/Types.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {ILinkedTokenController} from "../interfaces/IWithdrawals.sol";
import {Payouts} from "../withdraw/Payouts.sol";
import {PeerLink} from "../withdraw/PeerLink.sol";

/// @title USDC escrow on the root
/// @notice A deposit locks tokens and sends one message of value 0 that mints as
/// much in the subnet. A failed deposit refunds its sender exactly once. Tokens
/// leave otherwise only through FastWithdrawals. There is no owner, no proxy and
/// no other way out (PROTOCOL 35). Books are kept in monotone counters; a
/// donation is in none of them (PROTOCOL 29).
contract LinkedTokenController is ILinkedTokenController, PeerLink, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    error InvalidConfiguration();
    error AmountOutOfRange(uint256 amount, uint256 min, uint256 max);
    error InvalidReceiver(address receiver);
    error UnexpectedBalanceChange(uint256 expected, uint256 actual);
    error DuplicateMessage(bytes32 id);
    error NotFastWithdrawals();
    error NothingToClaim();
    error AlreadyReserved(bytes32 withdrawalId);
    error NothingReserved(bytes32 withdrawalId);

    /// @dev Method of the message: receiveLinked(address recipient, uint256 amount).
    bytes4 private constant RECEIVE_LINKED = 0xdfb85dac;

    address private immutable UNDERLYING;
    address private immutable FAST_WITHDRAWALS;
    uint256 private immutable MIN;
    uint256 private immutable MAX;
    /// @dev Gas of a transfer that may fail: a quarter of what the gateway
    /// promises to a handler.
    uint256 private immutable PAY_GAS;

    /// @dev Sums of base units; a deposit is at most 2^96 − 1.
    struct Books {
        uint128 locked;
        uint128 refunded;
        uint128 reserved;
        uint128 reservesPaid;
        uint128 refundsPaid;
    }

    /// @dev Sender and amount of a deposit, one slot.
    struct Deposit {
        address sender;
        uint96 amount;
    }

    Books private _books;
    /// @dev By the tracing id that a Result will carry (PROTOCOL 57).
    mapping(bytes32 id => Deposit) private _inflight;
    /// @dev Refunds the token refused to move, by the same id.
    mapping(bytes32 id => Deposit) private _credits;
    /// @dev Of settled withdrawals that were not paid at once.
    mapping(bytes32 withdrawalId => uint256) private _reserved;

    constructor(
        address gateway_,
        SubnetID memory subnet,
        address replica,
        address underlying_,
        address fastWithdrawals_,
        uint256 min,
        uint256 max
    ) PeerLink(gateway_, subnet, replica) {
        // FastWithdrawals is known by its predicted address: it has no code yet.
        if (underlying_.code.length == 0 || fastWithdrawals_ == address(0)) revert InvalidConfiguration();
        if (min == 0 || min > max || max > type(uint96).max) revert InvalidConfiguration();
        UNDERLYING = underlying_;
        FAST_WITHDRAWALS = fastWithdrawals_;
        MIN = min;
        MAX = max;
        PAY_GAS = IGateway(gateway_).messageGas() / 4;
    }

    /// @inheritdoc ILinkedTokenController
    function linkedTransfer(address receiver, uint256 amount)
        external
        nonReentrant
        returns (IpcEnvelope memory committed)
    {
        return _deposit(receiver, amount);
    }

    /// @inheritdoc ILinkedTokenController
    /// @dev A permit somebody else has already used is no failure: the allowance
    /// decides.
    function linkedTransferWithPermit(
        address receiver,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (IpcEnvelope memory committed) {
        try IERC20Permit(UNDERLYING).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        return _deposit(receiver, amount);
    }

    /// @inheritdoc IIpcHandler
    /// @dev Only Results of our own deposits. An entry is cleared before its
    /// refund is paid, so a repeated Result is unknown. Not nonReentrant: nothing
    /// repeats a Result, so whoever had it executed while we are locked (from a
    /// hook of the token) would make its refund fail for ever.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        returns (bytes memory)
    {
        if (envelope.kind != IpcMsgKind.Result) revert UnsupportedMsgKind();
        if (!_isPeer(envelope.from)) revert UnrecognizedResult();

        ResultMsg memory result = abi.decode(envelope.message, (ResultMsg));
        Deposit memory deposit = _inflight[result.id];
        if (deposit.sender == address(0)) revert UnrecognizedResult();
        delete _inflight[result.id];

        if (result.outcome != OutcomeType.Ok) _refund(result.id, deposit);
        return "";
    }

    /// @inheritdoc ILinkedTokenController
    function claimRefund(bytes32 id, address to) external nonReentrant {
        Deposit memory deposit = _credits[id];
        if (deposit.sender == address(0)) revert NothingToClaim();
        if (msg.sender != deposit.sender && to != deposit.sender) revert NothingToClaim();
        _checkReceiver(to);

        delete _credits[id];
        _books.refundsPaid += deposit.amount;
        emit RefundClaimed(id, deposit.sender, to, deposit.amount);
        IERC20(UNDERLYING).safeTransfer(to, deposit.amount);
    }

    /// @inheritdoc ILinkedTokenController
    /// @dev Settling must not fail, so it is not nonReentrant: while we are locked
    /// (in a hook of the token) nothing is paid and the amount stays reserved. What
    /// is paid at once is never written as reserved; FastWithdrawals settles an id
    /// once, and is locked itself until this returns.
    function settle(bytes32 withdrawalId, uint256 amount, address to)
        external
        returns (uint256 reserved, bool paid)
    {
        _onlyFastWithdrawals();
        uint256 locked = lockedNow();
        reserved = amount < locked ? amount : locked;
        if (reserved == 0) return (0, false);

        // forge-lint: disable-next-line(unsafe-typecast) at most lockedNow()
        _books.reserved += uint128(reserved);
        emit Reserved(withdrawalId, reserved);
        if (reserved == amount && to != address(0) && !_reentrancyGuardEntered()) {
            paid = _tryPayReserved(withdrawalId, to, reserved);
        }
        if (paid) return (reserved, true);
        if (_reserved[withdrawalId] != 0) revert AlreadyReserved(withdrawalId);
        _reserved[withdrawalId] = reserved;
    }

    /// @inheritdoc ILinkedTokenController
    function payReserved(bytes32 withdrawalId, address to) external nonReentrant returns (uint256 amount) {
        _onlyFastWithdrawals();
        amount = _reserved[withdrawalId];
        if (amount == 0) revert NothingReserved(withdrawalId);

        delete _reserved[withdrawalId];
        // forge-lint: disable-next-line(unsafe-typecast) part of _books.reserved
        _books.reservesPaid += uint128(amount);
        emit ReservePaid(withdrawalId, to, amount);
        IERC20(UNDERLYING).safeTransfer(to, amount);
    }

    /// @inheritdoc ILinkedTokenController
    function underlying() external view returns (address) {
        return UNDERLYING;
    }

    /// @notice The only caller of settle and payReserved.
    function fastWithdrawals() external view returns (address) {
        return FAST_WITHDRAWALS;
    }

    /// @inheritdoc ILinkedTokenController
    function lockedNow() public view returns (uint256) {
        return uint256(_books.locked) - _books.refunded - _books.reserved;
    }

    /// @inheritdoc ILinkedTokenController
    function depositLimits() external view returns (uint256 min, uint256 max) {
        return (MIN, MAX);
    }

    /// @notice A deposit by its tracing id. pending: its refund waits for
    /// claimRefund. Otherwise sender and amount are those of a deposit that no
    /// Result has answered, or 0.
    function refundOf(bytes32 id) external view returns (address sender, uint256 amount, bool pending) {
        Deposit memory deposit = _credits[id];
        if (deposit.sender != address(0)) return (deposit.sender, deposit.amount, true);
        deposit = _inflight[id];
        return (deposit.sender, deposit.amount, false);
    }

    /// @notice Reserved for one withdrawal and not yet paid.
    function reservedFor(bytes32 withdrawalId) external view returns (uint256) {
        return _reserved[withdrawalId];
    }

    /// @inheritdoc ILinkedTokenController
    function getCounters() external view returns (Counters memory) {
        Books memory b = _books;
        return Counters({
            locked: b.locked,
            refunded: b.refunded,
            refundsPaid: b.refundsPaid,
            reserved: b.reserved,
            reservesPaid: b.reservesPaid
        });
    }

    function _deposit(address receiver, uint256 amount) private returns (IpcEnvelope memory committed) {
        if (amount < MIN || amount > MAX) revert AmountOutOfRange(amount, MIN, MAX);
        // The replica and the outbox have no use for tokens of their own; the
        // replica refuses what only the subnet knows.
        if (Fvm.isForbidden(receiver) || receiver == PEER) revert InvalidReceiver(receiver);

        // What arrives is what counts: a token that takes a fee is refused.
        IERC20 token = IERC20(UNDERLYING);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 delta = token.balanceOf(address(this)) - before;
        if (delta != amount) revert UnexpectedBalanceChange(amount, delta);
        // forge-lint: disable-next-line(unsafe-typecast) at most MAX, 96 bits
        _books.locked += uint128(amount);

        IpcEnvelope memory envelope;
        envelope.kind = IpcMsgKind.Call;
        envelope.to = peerAddress();
        envelope.message = abi.encode(
            CallMsg({method: abi.encodePacked(RECEIVE_LINKED), params: abi.encode(receiver, amount)})
        );
        committed = IGateway(GATEWAY).sendContractXnetMessage(envelope);

        // A gateway whose ids repeat would make us forget a refund.
        bytes32 id = Envelopes.tracingId(committed);
        if (_inflight[id].sender != address(0)) revert DuplicateMessage(id);
        // forge-lint: disable-next-line(unsafe-typecast) at most MAX, 96 bits
        _inflight[id] = Deposit({sender: msg.sender, amount: uint96(amount)});
        emit LinkedTokensSent(UNDERLYING, msg.sender, receiver, id, committed.localNonce, amount);
    }

    function _refund(bytes32 id, Deposit memory deposit) private {
        _books.refunded += deposit.amount;
        Payouts.requireGas(PAY_GAS, PAY_GAS / 4);
        bool paid = Calls.tryTransfer(UNDERLYING, deposit.sender, deposit.amount, PAY_GAS);
        if (paid) _books.refundsPaid += deposit.amount;
        else _credits[id] = deposit;
        emit DepositRefunded(id, deposit.sender, deposit.amount, paid);
    }

    /// @dev Once, with bounded gas; a refusal is no failure.
    function _tryPayReserved(bytes32 withdrawalId, address to, uint256 amount)
        private
        nonReentrant
        returns (bool paid)
    {
        Payouts.requireGas(PAY_GAS, PAY_GAS / 4);
        paid = Calls.tryTransfer(UNDERLYING, to, amount, PAY_GAS);
        if (!paid) return false;
        // forge-lint: disable-next-line(unsafe-typecast) part of _books.reserved
        _books.reservesPaid += uint128(amount);
        emit ReservePaid(withdrawalId, to, amount);
    }

    function _checkReceiver(address to) private view {
        bool refused = Fvm.isForbidden(to) || to == address(this) || to == GATEWAY || to == UNDERLYING
            || to == FAST_WITHDRAWALS;
        if (refused) revert InvalidReceiver(to);
    }

    function _onlyFastWithdrawals() private view {
        if (msg.sender != FAST_WITHDRAWALS) revert NotFastWithdrawals();
    }
}
