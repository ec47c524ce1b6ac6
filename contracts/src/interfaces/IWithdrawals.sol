// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../ipc/Types.sol";

/// @title USDC escrow on the root
interface ILinkedTokenController {
    /// @dev Published events.
    event LinkedTokensSent(
        address indexed underlying,
        address indexed sender,
        address indexed recipient,
        bytes32 id,
        uint64 nonce,
        uint256 value
    );

    /// @dev Ours. `paid` false: kept as a credit of `sender`.
    event DepositRefunded(bytes32 indexed id, address indexed sender, uint256 amount, bool paid);
    event RefundClaimed(bytes32 indexed id, address indexed sender, address to, uint256 amount);
    event Reserved(bytes32 indexed withdrawalId, uint256 amount);
    event ReservePaid(bytes32 indexed withdrawalId, address indexed to, uint256 amount);

    /// @notice Monotone counters in token base units.
    struct Counters {
        uint256 locked; // deposits
        uint256 refunded; // left locked for failed deposits (paid or credited)
        uint256 refundsPaid; // of these, paid out
        uint256 reserved; // left locked for settled withdrawals
        uint256 reservesPaid; // of these, paid out
    }

    /// @notice Escrows `amount` and mints it to `receiver` in the subnet.
    function linkedTransfer(address receiver, uint256 amount) external returns (IpcEnvelope memory committed);
    function linkedTransferWithPermit(
        address receiver,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (IpcEnvelope memory committed);
    /// @notice Pulls a refund that could not be paid: its depositor to any
    /// address, anyone else to the depositor.
    function claimRefund(bytes32 id, address to) external;

    /// @dev FastWithdrawals only. Moves `amount` from locked to reserved, or what
    /// is locked when that is less. All of it is paid to `to` at once if the token
    /// moves it; else, and when `to` is 0, it stays reserved for payReserved.
    function settle(bytes32 withdrawalId, uint256 amount, address to)
        external
        returns (uint256 reserved, bool paid);
    /// @dev FastWithdrawals only; reverts when the token refuses.
    function payReserved(bytes32 withdrawalId, address to) external returns (uint256 amount);

    function underlying() external view returns (address);
    function lockedNow() external view returns (uint256);
    function depositLimits() external view returns (uint256 min, uint256 max);
    function refundOf(bytes32 id) external view returns (address sender, uint256 amount, bool pending);
    function getCounters() external view returns (Counters memory);
}

/// @title USDC inside the subnet: ERC-20 + permit, 6 decimals
interface ILinkedTokenReplica {
    event LinkedTokenReceived(address indexed recipient, uint256 amount);

    /// @dev Outbox only: burns the withdrawing user's own tokens.
    function burnForWithdrawal(address owner, uint256 amount) external;
    /// @notice Largest amount one deposit may mint; immutable.
    function mintCap() external view returns (uint256);
    function minted() external view returns (uint256);
    function burnt() external view returns (uint256);
}

/// @title Where USDC and FLT leave the subnet (PROTOCOL §6)
interface IWithdrawalOutbox {
    event WithdrawalSent(
        bytes32 indexed id, uint64 indexed nonce, uint64 messageNonce, Withdrawal withdrawal
    );
    event WithdrawalReturned(bytes32 indexed id, uint256 value);
    event WithdrawalResent(bytes32 indexed id, uint64 messageNonce);

    /// @notice Burns (USDC) or takes msg.value (FLT) and sends one message to
    /// FastWithdrawals. msg.value = exitFee, plus the amount for FLT.
    function withdraw(WithdrawalRequest calldata request) external payable returns (bytes32 id);
    /// @notice Sends a returned withdrawal again, unchanged; msg.value = exitFee.
    function resend(Withdrawal calldata withdrawal) external payable;

    function withdrawalId(Withdrawal calldata withdrawal) external view returns (bytes32);
    /// @notice 0 = unknown or in flight, 1 = returned (resend it).
    function stateOf(bytes32 id) external view returns (uint8);
    function limits(address token) external view returns (uint256 min, uint256 max);
    function nonce() external view returns (uint64);
    /// @notice The accumulator over all ids: (count, MMR root).
    function accumulator() external view returns (uint64 count, bytes32 root);
    /// @notice FLT held for returned withdrawals, wei.
    function heldFlt() external view returns (uint256);
}

/// @title Pays withdrawals out on the root (PROTOCOL §6)
interface IFastWithdrawals {
    enum Status {
        None,
        Filled,
        Settled
    }

    event WithdrawalSettled(
        bytes32 indexed id, address indexed claimant, address indexed token, uint256 amount, bool paid
    );
    event CreditClaimed(bytes32 indexed id, address indexed to, uint256 amount);
    event WithdrawalQuarantined(
        bytes32 indexed id, address indexed recipient, address indexed token, uint256 gross, uint256 claimable
    );
    /// @notice Value came with a message that names no withdrawal of ours.
    event ValueQuarantined(uint64 indexed messageNonce, uint256 value);

    /// @notice Permissionless: tries to pay a credit to its recipient again.
    function push(Withdrawal calldata withdrawal) external;
    /// @notice Pulls a credit or a quarantined amount: by the recipient or the
    /// fallbackRecipient, to any address.
    function claim(Withdrawal calldata withdrawal, address to) external;

    function withdrawalId(Withdrawal calldata withdrawal) external view returns (bytes32);
    function statusOf(bytes32 id) external view returns (Status status, address claimant, uint64 at);
    function creditOf(bytes32 id) external view returns (uint256 amount);
    /// @notice FLT counters: received with messages, paid out.
    function fltReceived() external view returns (uint256);
    function fltPaid() external view returns (uint256);
}
