// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Calls} from "../ipc/Calls.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {IpcEnvelope, IpcMsgKind, SubnetID, Withdrawal} from "../ipc/Types.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {IFastWithdrawals, ILinkedTokenController} from "../interfaces/IWithdrawals.sol";
import {Payouts} from "./Payouts.sol";
import {PeerLink} from "./PeerLink.sol";
import {Withdrawals} from "./Withdrawals.sol";

/// @title Pays withdrawals out on the root
/// @notice Settling is bookkeeping that cannot fail for a message of the outbox
/// (PROTOCOL 25, 34, 38): one slot per id goes from None or Filled to Settled,
/// the amount is booked, and the tokens are tried once on the spot or pulled
/// later. FLT comes with the message, USDC from the controller's escrow.
contract FastWithdrawals is IFastWithdrawals, PeerLink {
    using SafeERC20 for IERC20;

    error InvalidConfiguration();
    error InvalidOrigin();
    error Reentered();
    error NothingToClaim();
    error NotEntitled();
    error RefusedRecipient(address to);
    error PayoutRefused();

    /// @dev One slot, which _write lays out too. claimant: who is owed (or was
    /// paid) the gross amount, 0 while None. at: Unix seconds of the last change.
    struct Slot {
        Status status;
        address claimant;
        uint64 at;
        bool filled; // somebody advanced it: only the claimant may take it
        bool quarantined; // the amounts did not match
    }

    /// @dev Sums of wei; their difference is owed or quarantined.
    struct Flt {
        uint128 received;
        uint128 paid;
    }

    bytes32 private immutable SUBNET_KEY;
    address private immutable CONTROLLER;
    address private immutable FLT;
    address private immutable USDC;
    /// @dev Gas of whatever may fail inside the handler: a quarter of what the
    /// gateway promises, so three such parts and the books fit.
    uint256 private immutable PART_GAS;

    mapping(bytes32 id => Slot) internal _slots;
    /// @dev What an id is still owed; USDC of it is reserved in the controller.
    mapping(bytes32 id => uint256) private _credits;
    /// @notice FLT that came with a message which names no withdrawal of ours,
    /// by the nonce of the message.
    mapping(uint64 messageNonce => uint256) public quarantinedValue;
    Flt private _flt;
    bool private transient _entered;

    modifier nonReentrant() {
        _enter();
        _;
        _entered = false;
    }

    constructor(address gateway_, SubnetID memory subnet, address outbox, address controller_, address flt)
        PeerLink(gateway_, subnet, outbox)
    {
        // Deployed after the controller, which knows us by our predicted address.
        if (controller_.code.length == 0 || flt.code.length == 0) revert InvalidConfiguration();
        SUBNET_KEY = Withdrawals.subnetKey(subnet);
        CONTROLLER = controller_;
        FLT = flt;
        USDC = ILinkedTokenController(controller_).underlying();
        if (USDC == flt) revert InvalidConfiguration();
        PART_GAS = IGateway(gateway_).messageGas() / 4;
    }

    /// @inheritdoc IIpcHandler
    /// @dev Reverts only for a wrong caller, kind or origin, or when less gas
    /// came than the gateway promises; then the value goes back to the outbox.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        nonReentrant
        returns (bytes memory)
    {
        if (envelope.kind != IpcMsgKind.Call) revert UnsupportedMsgKind();
        if (!_isPeer(envelope.from)) revert InvalidOrigin();

        uint256 value = envelope.value;
        if (value > 0) value = _receive(value);

        (bool ours, Withdrawal calldata w) = Withdrawals.parse(envelope.message);
        ours = ours && w.subnetKey == SUBNET_KEY && w.outbox == PEER && (w.token == FLT || w.token == USDC);
        if (!ours || !_settle(w, value, envelope.localNonce)) {
            _quarantineValue(envelope.localNonce, value);
        }
        return "";
    }

    /// @inheritdoc IFastWithdrawals
    /// @dev Pays whoever the slot says; a quarantined amount waits for claim.
    function push(Withdrawal calldata withdrawal) external nonReentrant {
        bytes32 id = withdrawalId(withdrawal);
        Slot memory slot = _slots[id];
        uint256 amount = _credits[id];
        if (amount == 0 || slot.quarantined) revert NothingToClaim();
        if (_isRefused(slot.claimant)) revert RefusedRecipient(slot.claimant);
        _payCredit(id, withdrawal.token, slot.claimant, amount);
    }

    /// @inheritdoc IFastWithdrawals
    /// @dev Of a filled withdrawal: by its claimant only.
    function claim(Withdrawal calldata withdrawal, address to) external nonReentrant {
        bytes32 id = withdrawalId(withdrawal);
        Slot memory slot = _slots[id];
        uint256 amount = _credits[id];
        if (amount == 0) revert NothingToClaim();
        bool entitled = slot.filled
            ? msg.sender == slot.claimant
            : msg.sender == withdrawal.recipient || msg.sender == withdrawal.fallbackRecipient;
        if (!entitled) revert NotEntitled();
        if (_isRefused(to)) revert RefusedRecipient(to);
        _payCredit(id, withdrawal.token, to, amount);
    }

    /// @inheritdoc IFastWithdrawals
    function withdrawalId(Withdrawal calldata withdrawal) public view returns (bytes32) {
        return Withdrawals.idOfIn(block.chainid, address(this), withdrawal);
    }

    /// @inheritdoc IFastWithdrawals
    function statusOf(bytes32 id) external view returns (Status status, address claimant, uint64 at) {
        Slot memory slot = _slots[id];
        return (slot.status, slot.claimant, slot.at);
    }

    /// @inheritdoc IFastWithdrawals
    function creditOf(bytes32 id) external view returns (uint256 amount) {
        return _credits[id];
    }

    /// @inheritdoc IFastWithdrawals
    function fltReceived() external view returns (uint256) {
        return _flt.received;
    }

    /// @inheritdoc IFastWithdrawals
    function fltPaid() external view returns (uint256) {
        return _flt.paid;
    }

    /// @notice The escrow that USDC is reserved in.
    function controller() external view returns (address) {
        return CONTROLLER;
    }

    /// @notice The two tokens that are paid out.
    function tokens() external view returns (address flt, address usdc) {
        return (FLT, USDC);
    }

    /// @notice keccak256(abi.encode(SubnetID)) of the subnet served.
    function subnetKey() external view returns (bytes32) {
        return SUBNET_KEY;
    }

    function _enter() private {
        if (_entered) revert Reentered();
        _entered = true;
    }

    /// @dev Books FLT that came with a message: what the message says, but
    /// never more than really stands here beyond what is owed already.
    function _receive(uint256 value) private returns (uint256) {
        Flt memory flt = _flt;
        uint256 owed = uint256(flt.received) - flt.paid;
        uint256 balance = Payouts.balanceOr(FLT, address(this), PART_GAS / 4, owed + value);
        uint256 arrived = balance > owed ? balance - owed : 0;
        if (value > arrived) value = arrived;
        // forge-lint: disable-next-line(unsafe-typecast) bounded by the token's supply
        _flt.received = flt.received + uint128(value);
        return value;
    }

    /// @dev False, and nothing done, when the withdrawal is settled already.
    function _settle(Withdrawal calldata w, uint256 value, uint64 messageNonce) private returns (bool) {
        bytes32 id = withdrawalId(w);
        Status status = _slots[id].status;
        if (status == Status.Settled) return false;
        bool filled = status == Status.Filled;
        address claimant = filled ? _slots[id].claimant : w.recipient;
        if (w.token == FLT) _settleFlt(id, claimant, filled, w, value, messageNonce);
        else _settleUsdc(id, claimant, filled, w, value, messageNonce);
        return true;
    }

    /// @dev FLT came with the message. Quarantined unless it is exactly the amount.
    function _settleFlt(
        bytes32 id,
        address claimant,
        bool filled,
        Withdrawal calldata w,
        uint256 value,
        uint64 messageNonce
    ) private {
        uint256 gross = w.gross;
        if (value != gross) {
            if (value > gross) _quarantineValue(messageNonce, value - gross);
            _write(id, claimant, filled, true);
            _quarantine(id, w, value < gross ? value : gross);
            return;
        }
        _write(id, claimant, filled, false);
        bool paid;
        if (!_isRefused(claimant)) {
            // Once, with bounded gas; a refusal is no failure.
            Payouts.requireGas(PART_GAS, PART_GAS / 4);
            paid = Calls.tryTransfer(FLT, claimant, gross, PART_GAS);
        }
        // forge-lint: disable-next-line(unsafe-typecast) part of what was received
        if (paid) _flt.paid += uint128(gross);
        else _credits[id] = gross;
        emit WithdrawalSettled(id, claimant, w.token, gross, paid);
    }

    /// @dev USDC comes from escrow, and is quarantined when that is short of it.
    /// The controller pays it on the spot where it can.
    function _settleUsdc(
        bytes32 id,
        address claimant,
        bool filled,
        Withdrawal calldata w,
        uint256 value,
        uint64 messageNonce
    ) private {
        if (value > 0) _quarantineValue(messageNonce, value);
        // Before the token is called; a short escrow changes it afterwards.
        _write(id, claimant, filled, false);
        (uint256 amount, bool paid) = ILinkedTokenController(CONTROLLER)
            .settle(id, w.gross, _isRefused(claimant) ? address(0) : claimant);
        if (amount != w.gross) {
            _write(id, claimant, filled, true);
            _quarantine(id, w, amount);
            return;
        }
        if (!paid) _credits[id] = amount;
        emit WithdrawalSettled(id, claimant, w.token, amount, paid);
    }

    /// @dev What a mismatch leaves is the recipient's to claim (PROTOCOL 38).
    function _quarantine(bytes32 id, Withdrawal calldata w, uint256 amount) private {
        _credits[id] = amount;
        emit WithdrawalQuarantined(id, w.recipient, w.token, w.gross, amount);
    }

    /// @dev Writes a settled Slot as one word; the compiler would write each field.
    function _write(bytes32 id, address claimant, bool filled, bool quarantined) private {
        Slot storage slot = _slots[id];
        uint256 word = uint256(Status.Settled) | uint256(uint160(claimant)) << 8
            | uint256(uint64(block.timestamp)) << 168;
        if (filled) word |= 1 << 232;
        if (quarantined) word |= 1 << 240;
        assembly ("memory-safe") {
            sstore(slot.slot, word)
        }
    }

    /// @dev Pays a credit in full or reverts.
    function _payCredit(bytes32 id, address token, address to, uint256 amount) private {
        delete _credits[id];
        emit CreditClaimed(id, to, amount);
        if (token == FLT) {
            // forge-lint: disable-next-line(unsafe-typecast) part of what was received
            _flt.paid += uint128(amount);
            IERC20(FLT).safeTransfer(to, amount);
        } else if (ILinkedTokenController(CONTROLLER).payReserved(id, to) != amount) {
            revert PayoutRefused();
        }
    }

    function _quarantineValue(uint64 messageNonce, uint256 value) private {
        quarantinedValue[messageNonce] += value;
        emit ValueQuarantined(messageNonce, value);
    }

    function _isRefused(address to) private view returns (bool) {
        return Fvm.isForbidden(to) || to == address(this) || to == GATEWAY || to == CONTROLLER || to == FLT
            || to == USDC;
    }
}
