// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice A deposit on Ethereum as it is hashed into its id, and, encoded, the
/// data that travels with it: five words, the owner's first.
struct FltDeposit {
    address sender; // on Ethereum
    address recipient; // in the subnet
    bytes32 subnetKey; // keccak256(abi.encode(SubnetID))
    uint64 nonce; // of FltSender, ascending by one
    uint256 amount;
}

/// @notice A withdrawal to Ethereum as it is hashed into its id and travels.
struct FltWithdrawal {
    bytes32 subnetKey;
    address portal;
    uint64 nonce; // of FltPortal, ascending by one
    address sender; // in the subnet
    address recipient; // on Ethereum
    address refundTo; // on the root, or 0
    uint256 amount;
}

/// @title Where FLT leaves Ethereum
interface IFltSender {
    /// @notice Right behind the gateway's ContractCall that carries it. `dataHash`
    /// is that of the service's own InterchainTransfer and
    /// InterchainTransferReceived.
    event Deposited(
        bytes32 indexed id,
        address indexed sender,
        address indexed recipient,
        uint64 nonce,
        uint256 amount,
        bytes32 dataHash,
        uint256 gasValue
    );

    /// @notice Sends `amount` of the caller's FLT to `recipient` in the subnet;
    /// msg.value pays for the relaying and may be 0.
    function deposit(address recipient, uint256 amount) external payable returns (bytes32 id);
    function depositWithPermit(
        address recipient,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external payable returns (bytes32 id);

    /// @notice keccak256(abi.encode("FLTD1", chain id, this contract, deposit)).
    function depositId(FltDeposit calldata deposit_) external view returns (bytes32);
    /// @notice Of the next deposit.
    function nonce() external view returns (uint64);
    function limits() external view returns (uint256 min, uint256 max);
}

/// @title Between Ethereum and the subnet, on the root
interface IFltHandler {
    /// @dev Why an amount is kept here instead of gone on. Unfunded and Unsent may
    /// be retried; Undelivered may not, it goes back or is claimed.
    enum Reason {
        Unfunded, // the gateway did not take the deposit
        Undelivered, // the subnet sent it back
        Unsent, // the service did not take the withdrawal
        Unreadable // a deposit whose data nobody can read
    }

    /// @notice A deposit is on its way down, in top-down message `nonce`, whose
    /// Result would carry `messageId`.
    event Funded(
        bytes32 indexed id, bytes32 indexed messageId, uint64 indexed nonce, address recipient, uint256 amount
    );
    /// @notice A withdrawal is on its way to Ethereum, in the ContractCall right
    /// before this event.
    event SentOn(bytes32 indexed id, address indexed recipient, uint256 amount);
    /// @notice Kept. `detail` is what the failing call reverted with, its first 128
    /// bytes; for Unreadable the data's. Its id is then the command's.
    event Credited(bytes32 indexed id, Reason indexed reason, uint256 amount, bytes detail);
    /// @notice A credit is tried again; Funded or SentOn follows.
    event Retried(bytes32 indexed id, address indexed by);
    /// @notice A deposit is on its way back to its sender on Ethereum, in the
    /// ContractCall right before this event.
    event SentBack(bytes32 indexed id, address indexed sender, uint256 amount);
    /// @notice A credit was paid out here.
    event Claimed(bytes32 indexed id, address indexed to, uint256 amount, address claimant);
    /// @notice Value came back from the subnet with an answer to nothing of ours.
    event ValueQuarantined(uint64 indexed messageNonce, uint256 value);

    /// @notice Monotone counters, wei of FLT. Deposits kept are
    /// deposited + undelivered − funded − sentBack − depositsClaimed, withdrawals
    /// kept withdrawn − sentOn − withdrawalsClaimed; both and quarantined make
    /// credited − spent, which is never more than the balance.
    struct Counters {
        uint256 deposited; // came from Ethereum
        uint256 funded; // went down, retries included
        uint256 undelivered; // of these, came back
        uint256 sentBack; // went back to senders on Ethereum
        uint256 withdrawn; // came from the subnet
        uint256 sentOn; // went on to Ethereum
        uint256 depositsClaimed; // paid out here
        uint256 withdrawalsClaimed; // paid out here
        uint256 quarantined;
        uint256 credited; // into credits and quarantine
        uint256 spent; // out of credits
    }

    /// @notice Funds a kept deposit again. Anyone may call.
    function retryDeposit(FltDeposit calldata deposit) external;
    /// @notice Sends a kept deposit back to its sender on Ethereum; msg.value pays
    /// for the relaying. Anyone may call.
    function sendBack(FltDeposit calldata deposit) external payable;
    /// @notice Sends a kept deposit nobody can read back to the owner named in its
    /// first word. Anyone may call.
    function sendBackUnreadable(bytes32 commandId) external payable;
    /// @notice Sends a kept withdrawal to the same recipient again; msg.value pays
    /// for the relaying. Anyone may call.
    function retryWithdrawal(FltWithdrawal calldata withdrawal) external payable;
    /// @notice Pays a kept withdrawal to `to`; its refundTo only.
    function refund(FltWithdrawal calldata withdrawal, address to) external;
    /// @notice Pays a kept deposit to `to`, by an EIP-712 signature of its sender
    /// or recipient over Claim(id, to, amount, deadline).
    function claimDeposit(FltDeposit calldata deposit, address to, uint256 deadline, bytes calldata signature)
        external;
    /// @notice Pays a kept withdrawal to `to`, by a signature of its sender,
    /// recipient or refundTo.
    function claimWithdrawal(
        FltWithdrawal calldata withdrawal,
        address to,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice As FltSender names it.
    function depositId(FltDeposit calldata deposit) external view returns (bytes32);
    /// @notice As FltPortal names it.
    function withdrawalId(FltWithdrawal calldata withdrawal) external view returns (bytes32);
    /// @notice What is kept under an id, and whether it may be retried.
    function creditOf(bytes32 id) external view returns (uint256 amount, bool retriable);
    /// @notice Did the deposit of this nonce come? It is then Funded or Credited.
    function arrived(uint64 depositNonce) external view returns (bool);
    /// @notice Did the withdrawal of this nonce come? It is then SentOn or Credited.
    function handled(uint64 withdrawalNonce) external view returns (bool);
    /// @notice The deposit that a top-down message carries which nothing has
    /// answered, else 0.
    function inflight(bytes32 messageId) external view returns (bytes32 id);
    /// @notice May FLT leave for Ethereum, and how much of it at once right now?
    function outbound() external view returns (bool trusted, uint256 room);
    function getCounters() external view returns (Counters memory);
}

/// @title Where FLT leaves the subnet for Ethereum
interface IFltPortal {
    /// @notice On its way up, in bottom-up message `messageNonce`.
    event WithdrawalToL1Sent(
        bytes32 indexed id, uint64 indexed nonce, uint64 messageNonce, FltWithdrawal withdrawal
    );
    /// @notice The root did not take it: it is kept here, to be sent again.
    event WithdrawalToL1Returned(bytes32 indexed id, uint256 value);
    event WithdrawalToL1Resent(bytes32 indexed id, uint64 messageNonce);

    /// @notice Sends msg.value − exitFee to `recipient` on Ethereum.
    function withdrawToL1(address recipient) external payable returns (bytes32 id);
    /// @notice Likewise; what cannot go on from the root is also `refundTo`'s
    /// there.
    function withdrawToL1WithRefund(address recipient, address refundTo) external payable returns (bytes32 id);
    /// @notice Sends a returned withdrawal again, unchanged; msg.value = exitFee.
    /// Anyone may call.
    function resend(FltWithdrawal calldata withdrawal) external payable;

    /// @notice keccak256(abi.encode("FLTW1", root chain id, handler, withdrawal)).
    function withdrawalId(FltWithdrawal calldata withdrawal) external view returns (bytes32);
    /// @notice Of the next withdrawal.
    function nonce() external view returns (uint64);
    /// @notice Held for a returned withdrawal, else 0.
    function returnedOf(bytes32 id) external view returns (uint256);
    /// @notice Held for all of them, wei.
    function heldFlt() external view returns (uint256);
    function limits() external view returns (uint256 min, uint256 max);
}
