// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {Mmr} from "../ipc/Mmr.sol";
import {
    IpcEnvelope,
    IpcMsgKind,
    OutcomeType,
    ResultMsg,
    SubnetID,
    Withdrawal,
    WithdrawalRequest
} from "../ipc/Types.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {ILinkedTokenReplica, IWithdrawalOutbox} from "../interfaces/IWithdrawals.sol";
import {PeerLink} from "./PeerLink.sol";
import {Withdrawals} from "./Withdrawals.sol";

/// @notice Everything an outbox is made of. Amounts in base units of the token.
struct OutboxParams {
    address gateway;
    SubnetID subnet; // its own id
    SubnetID rootNetwork;
    uint256 rootChainId;
    address fastWithdrawals;
    address rootFlt;
    address rootUsdc;
    address replica;
    uint256 fltMin;
    uint256 fltMax;
    uint256 usdcMin;
    uint256 usdcMax;
}

/// @title Where USDC and FLT leave the subnet
/// @notice One message per withdrawal, always to FastWithdrawals. A withdrawal
/// never refunds here: when its message fails, it is kept as Returned and anyone
/// may send the identical one again (PROTOCOL 33). It keeps the hash of a
/// withdrawal; the struct is in the event.
contract WithdrawalOutbox is IWithdrawalOutbox, PeerLink, ReentrancyGuardTransient {
    using Mmr for Mmr.Tree;

    error InvalidConfiguration();
    error UnsupportedToken(address token);
    error AmountOutOfRange(uint256 amount, uint256 min, uint256 max);
    error InvalidRecipient(address recipient);
    error InvalidMinOut(uint256 minOut);
    error InvalidMaxFee(uint16 maxFeeBps);
    error WrongValue(uint256 expected, uint256 actual);
    error DuplicateMessage(bytes32 tracingId);
    error NotReturned(bytes32 id);

    uint8 private constant RETURNED = 1;
    uint16 private constant MAX_BPS = 10_000;

    bytes32 private immutable SUBNET_KEY;
    uint256 private immutable ROOT_CHAIN_ID;
    address private immutable ROOT_FLT;
    address private immutable ROOT_USDC;
    address private immutable REPLICA;
    uint256 private immutable FLT_MIN;
    uint256 private immutable FLT_MAX;
    uint256 private immutable USDC_MIN;
    uint256 private immutable USDC_MAX;

    /// @dev What a withdrawal has here, one slot: for USDC the amount burnt,
    /// written when it is sent; for FLT the coin that came back with it.
    struct Entry {
        uint8 state;
        uint128 usdc;
        uint112 flt;
    }

    /// @dev Every withdrawal is one leaf: the count is the next nonce.
    Mmr.Tree private _ids;
    /// @dev Withdrawal id by the tracing id that a Result will carry.
    mapping(bytes32 tracingId => bytes32 id) private _inflight;
    mapping(bytes32 id => Entry) private _entries;
    /// @inheritdoc IWithdrawalOutbox
    uint256 public heldFlt;
    /// @inheritdoc IWithdrawalOutbox
    uint256 public heldUsdc;

    constructor(OutboxParams memory p) PeerLink(p.gateway, p.rootNetwork, p.fastWithdrawals) {
        bool complete = p.rootFlt != address(0) && p.rootUsdc != address(0) && p.replica != address(0)
            && p.rootFlt != p.rootUsdc && p.rootChainId != 0;
        bool ordered = p.fltMin > 0 && p.fltMin <= p.fltMax && p.fltMax <= type(uint112).max && p.usdcMin > 0
            && p.usdcMin <= p.usdcMax && p.usdcMax <= type(uint128).max;
        if (!complete || !ordered) revert InvalidConfiguration();
        SUBNET_KEY = Withdrawals.subnetKey(p.subnet);
        ROOT_CHAIN_ID = p.rootChainId;
        ROOT_FLT = p.rootFlt;
        ROOT_USDC = p.rootUsdc;
        REPLICA = p.replica;
        FLT_MIN = p.fltMin;
        FLT_MAX = p.fltMax;
        USDC_MIN = p.usdcMin;
        USDC_MAX = p.usdcMax;
    }

    /// @inheritdoc IWithdrawalOutbox
    function withdraw(WithdrawalRequest calldata request) external payable nonReentrant returns (bytes32 id) {
        _check(request);
        bool isFlt = request.token == ROOT_FLT;
        uint256 fee = ISubnetGateway(GATEWAY).exitFee();
        uint256 expected = isFlt ? request.amount + fee : fee;
        if (msg.value != expected) revert WrongValue(expected, msg.value);

        Withdrawal memory w = _withdrawal(request);
        id = withdrawalId(w);
        _ids.append(id);
        if (!isFlt) {
            // forge-lint: disable-next-line(unsafe-typecast) at most USDC_MAX, 128 bits
            _entries[id].usdc = uint128(request.amount);
            ILinkedTokenReplica(REPLICA).burnForWithdrawal(msg.sender, request.amount);
        }
        uint64 messageNonce = _send(id, w, fee);
        emit WithdrawalSent(id, w.nonce, messageNonce, w);
    }

    /// @inheritdoc IWithdrawalOutbox
    function resend(Withdrawal calldata withdrawal) external payable nonReentrant {
        Withdrawal memory w = withdrawal;
        bytes32 id = withdrawalId(w);
        Entry memory entry = _entries[id];
        bool isFlt = w.token == ROOT_FLT;
        // What came back must cover what goes out, or it would be another's.
        if (entry.state != RETURNED || (isFlt && entry.flt != w.gross)) revert NotReturned(id);
        uint256 fee = ISubnetGateway(GATEWAY).exitFee();
        if (msg.value != fee) revert WrongValue(fee, msg.value);

        if (isFlt) {
            heldFlt -= w.gross;
            delete _entries[id];
        } else {
            heldUsdc -= entry.usdc;
            _entries[id].state = 0;
        }
        emit WithdrawalResent(id, _send(id, w, fee));
    }

    /// @inheritdoc IIpcHandler
    /// @dev Only Results of messages in flight. A failure keeps what came back;
    /// nothing is minted and nothing is paid here, ever.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        nonReentrant
        returns (bytes memory)
    {
        if (envelope.kind != IpcMsgKind.Result) revert UnsupportedMsgKind();
        if (!_isPeer(envelope.from)) revert UnrecognizedResult();

        ResultMsg memory result = abi.decode(envelope.message, (ResultMsg));
        bytes32 id = _inflight[result.id];
        if (id == bytes32(0)) revert UnrecognizedResult();
        delete _inflight[result.id];
        if (result.outcome == OutcomeType.Ok) return "";

        Entry storage entry = _entries[id];
        entry.state = RETURNED;
        // forge-lint: disable-next-line(unsafe-typecast) the value sent, at most FLT_MAX
        entry.flt = uint112(msg.value);
        if (msg.value > 0) heldFlt += msg.value;
        if (entry.usdc > 0) heldUsdc += entry.usdc;
        emit WithdrawalReturned(id, msg.value);
        return "";
    }

    /// @inheritdoc IWithdrawalOutbox
    function withdrawalId(Withdrawal memory withdrawal) public view returns (bytes32) {
        return Withdrawals.idOf(ROOT_CHAIN_ID, PEER, withdrawal);
    }

    /// @inheritdoc IWithdrawalOutbox
    function stateOf(bytes32 id) external view returns (uint8) {
        return _entries[id].state;
    }

    /// @inheritdoc IWithdrawalOutbox
    function limits(address token) public view returns (uint256 min, uint256 max) {
        if (token == ROOT_FLT) return (FLT_MIN, FLT_MAX);
        if (token == ROOT_USDC) return (USDC_MIN, USDC_MAX);
    }

    /// @inheritdoc IWithdrawalOutbox
    function nonce() external view returns (uint64) {
        return _ids.count;
    }

    /// @inheritdoc IWithdrawalOutbox
    function accumulator() external view returns (uint64 count, bytes32 root) {
        return (_ids.count, _ids.root());
    }

    /// @notice Withdrawal id of a message that no Result has answered, else 0.
    function inflight(bytes32 tracingId) external view returns (bytes32 id) {
        return _inflight[tracingId];
    }

    /// @notice keccak256(abi.encode(SubnetID)) of this subnet.
    function subnetKey() external view returns (bytes32) {
        return SUBNET_KEY;
    }

    /// @dev Sends the withdrawal; the caller has booked everything else.
    function _send(bytes32 id, Withdrawal memory w, uint256 fee) private returns (uint64 messageNonce) {
        IpcEnvelope memory envelope;
        envelope.kind = IpcMsgKind.Call;
        envelope.value = w.token == ROOT_FLT ? w.gross : 0;
        envelope.to = peerAddress();
        envelope.message = Withdrawals.encode(w);
        IpcEnvelope memory committed =
            ISubnetGateway(GATEWAY).sendContractXnetMessage{value: envelope.value + fee}(envelope);

        // A gateway whose ids repeat would make us forget a withdrawal.
        bytes32 tracingId = Envelopes.tracingId(committed);
        if (_inflight[tracingId] != bytes32(0)) revert DuplicateMessage(tracingId);
        _inflight[tracingId] = id;
        return committed.localNonce;
    }

    function _withdrawal(WithdrawalRequest calldata r) private view returns (Withdrawal memory) {
        return Withdrawal({
            subnetKey: SUBNET_KEY,
            outbox: address(this),
            nonce: _ids.count,
            token: r.token,
            sender: msg.sender,
            recipient: r.recipient,
            fallbackRecipient: r.fallbackRecipient,
            gross: r.amount,
            minOut: r.minOut,
            // forge-lint: disable-next-line(unsafe-typecast) a block number
            height: uint64(block.number),
            fillDeadline: r.fillDeadline,
            exclusiveFiller: r.exclusiveFiller,
            exclusivityDeadline: r.exclusivityDeadline,
            maxFeeBps: r.maxFeeBps
        });
    }

    function _check(WithdrawalRequest calldata r) private view {
        (uint256 min, uint256 max) = limits(r.token);
        if (max == 0) revert UnsupportedToken(r.token);
        if (r.amount < min || r.amount > max) revert AmountOutOfRange(r.amount, min, max);
        if (_isRefused(r.recipient)) revert InvalidRecipient(r.recipient);
        if (_isRefused(r.fallbackRecipient)) revert InvalidRecipient(r.fallbackRecipient);
        if (r.minOut > r.amount) revert InvalidMinOut(r.minOut);
        if (r.maxFeeBps > MAX_BPS) revert InvalidMaxFee(r.maxFeeBps);
    }

    /// @dev Refused at the sender: what could not be paid on the root anyway.
    function _isRefused(address to) private view returns (bool) {
        return Fvm.isForbidden(to) || to == PEER || to == ROOT_FLT || to == ROOT_USDC || to == address(this)
            || to == REPLICA || to == GATEWAY;
    }
}
