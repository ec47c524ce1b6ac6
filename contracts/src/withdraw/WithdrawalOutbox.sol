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
    address rootGateway;
    address controller; // the escrow of USDC on the root
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
    // Our messages go from (ROOT, [ACTOR]) to (ROOT, []), as the gateway demands.
    uint64 private immutable ROOT;
    address private immutable ACTOR;
    uint256 private immutable ROOT_CHAIN_ID;
    address private immutable ROOT_GATEWAY;
    address private immutable CONTROLLER;
    address private immutable ROOT_FLT;
    address private immutable ROOT_USDC;
    address private immutable REPLICA;
    uint256 private immutable FLT_MIN;
    uint256 private immutable FLT_MAX;
    uint256 private immutable USDC_MIN;
    uint256 private immutable USDC_MAX;

    /// @dev What a withdrawal has here once it was returned, one slot: for FLT
    /// also the coin that came back with it. USDC stays burnt.
    struct Entry {
        uint8 state;
        uint128 flt;
    }

    /// @dev Every withdrawal is one leaf: the count is the next nonce.
    Mmr.Tree private _ids;
    /// @dev Withdrawal id by the tracing id that a Result will carry.
    mapping(bytes32 tracingId => bytes32 id) private _inflight;
    mapping(bytes32 id => Entry) private _entries;
    /// @inheritdoc IWithdrawalOutbox
    uint256 public heldFlt;

    constructor(OutboxParams memory p) PeerLink(p.gateway, p.rootNetwork, p.fastWithdrawals) {
        bool complete = p.rootFlt != address(0) && p.rootUsdc != address(0) && p.replica != address(0)
            && p.rootFlt != p.rootUsdc && p.rootChainId != 0 && p.rootGateway != address(0)
            && p.controller != address(0);
        bool ordered = p.fltMin > 0 && p.fltMin <= p.fltMax && p.fltMax <= type(uint128).max && p.usdcMin > 0
            && p.usdcMin <= p.usdcMax;
        if (!complete || !ordered) revert InvalidConfiguration();
        bool nested = p.rootNetwork.route.length == 0 && p.subnet.root == p.rootNetwork.root
            && p.subnet.route.length == 1 && p.subnet.route[0] != address(0);
        if (!nested) revert InvalidConfiguration();
        SUBNET_KEY = Withdrawals.subnetKey(p.subnet);
        ROOT = p.subnet.root;
        ACTOR = p.subnet.route[0];
        ROOT_CHAIN_ID = p.rootChainId;
        ROOT_GATEWAY = p.rootGateway;
        CONTROLLER = p.controller;
        ROOT_FLT = p.rootFlt;
        ROOT_USDC = p.rootUsdc;
        REPLICA = p.replica;
        FLT_MIN = p.fltMin;
        FLT_MAX = p.fltMax;
        USDC_MIN = p.usdcMin;
        USDC_MAX = p.usdcMax;
        _ids.prepare();
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
        if (!isFlt) ILinkedTokenReplica(REPLICA).burnForWithdrawal(msg.sender, request.amount);
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

        if (isFlt) heldFlt -= w.gross;
        delete _entries[id];
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

        // forge-lint: disable-next-line(unsafe-typecast) the value sent, at most FLT_MAX
        _entries[id] = Entry({state: RETURNED, flt: uint128(msg.value)});
        if (msg.value > 0) heldFlt += msg.value;
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
        Envelopes.Head memory head;
        head.kind = IpcMsgKind.Call;
        head.value = w.token == ROOT_FLT ? w.gross : 0;
        head.toRoot = ROOT;
        head.to = PEER;
        head.fromRoot = ROOT;
        head.fromPart = ACTOR;
        head.from = address(this);
        (bytes memory encoded, uint256 at) = Envelopes.compose(head, Withdrawals.MESSAGE_LENGTH);
        Withdrawals.write(w, at);

        // The gateway commits what we sent, under its own nonces.
        uint64 originalNonce;
        (messageNonce, originalNonce) = _call(head.value + fee, encoded);
        Envelopes.setOriginalNonce(encoded, originalNonce);
        bytes32 tracingId = Envelopes.tracingIdOf(encoded);
        // A gateway whose ids repeat would make us forget a withdrawal.
        if (_inflight[tracingId] != bytes32(0)) revert DuplicateMessage(tracingId);
        _inflight[tracingId] = id;
    }

    /// @dev sendContractXnetMessage with an encoded envelope: the selector goes in
    /// front of the encoding. Of the envelope it returns only the nonces are read;
    /// its errors are handed on.
    function _call(uint256 value, bytes memory encoded)
        private
        returns (uint64 localNonce, uint64 originalNonce)
    {
        address gateway_ = GATEWAY;
        uint256 selector = uint32(ISubnetGateway.sendContractXnetMessage.selector);
        assembly ("memory-safe") {
            let size := mload(encoded)
            let free := mload(0x40)
            mstore(encoded, selector)
            // [0x20][kind][localNonce][originalNonce]...
            if iszero(call(gas(), gateway_, value, add(encoded, 0x1c), add(size, 4), free, 0x80)) {
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            if lt(returndatasize(), 0x80) { revert(0, 0) }
            mstore(encoded, size)
            localNonce := and(mload(add(free, 0x40)), 0xffffffffffffffff)
            originalNonce := and(mload(add(free, 0x60)), 0xffffffffffffffff)
        }
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
        // Whom the root does not pay is no fallback either: that credit would be nobody's.
        if (_isRefused(r.fallbackRecipient) || r.fallbackRecipient == CONTROLLER) {
            revert InvalidRecipient(r.fallbackRecipient);
        }
        if (r.minOut > r.amount) revert InvalidMinOut(r.minOut);
        if (r.maxFeeBps > MAX_BPS) revert InvalidMaxFee(r.maxFeeBps);
    }

    /// @dev Refused at the sender (PROTOCOL 16): gateways, and contracts of ours on
    /// either side that could not spend it.
    function _isRefused(address to) private view returns (bool) {
        return Fvm.isForbidden(to) || to == PEER || to == ROOT_GATEWAY || to == ROOT_FLT || to == ROOT_USDC
            || to == ACTOR || to == address(this) || to == REPLICA || to == GATEWAY;
    }
}
