// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FltWithdrawal, IFltPortal} from "../interfaces/IFlt.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {IpcEnvelope, IpcMsgKind, OutcomeType, ResultMsg, SubnetID} from "../ipc/Types.sol";
import {PeerLink} from "../withdraw/PeerLink.sol";
import {FltMessages} from "./FltMessages.sol";

/// @notice Everything a portal is made of. Amounts in wei of FLT.
struct FltPortalParams {
    address gateway;
    SubnetID subnet; // its own id
    SubnetID rootNetwork;
    uint256 rootChainId;
    address rootGateway;
    address rootFlt;
    address handler; // FltHandler on the root
    address l1Flt;
    address l1Sender; // FltSender on Ethereum
    uint256 min;
    uint256 max;
}

/// @title Where FLT leaves the subnet for Ethereum
/// @notice One message per withdrawal, always to FltHandler, which answers none
/// of them: what it cannot send on it keeps (PROTOCOL 43). A message that fails
/// nevertheless comes back and is kept here, and anyone may send the identical
/// one again; nothing is ever refunded in the subnet (PROTOCOL 33). Stands at a
/// genesis address: nothing depends on address(this) or the chain id at
/// construction.
contract FltPortal is IFltPortal, PeerLink, ReentrancyGuardTransient {
    error InvalidConfiguration();
    error AmountOutOfRange(uint256 amount, uint256 min, uint256 max);
    error InvalidRecipient(address recipient);
    error InvalidRefundTo(address refundTo);
    error WrongValue(uint256 expected, uint256 actual);
    error DuplicateMessage(bytes32 tracingId);
    error NotReturned(bytes32 id);

    bytes32 private immutable SUBNET_KEY;
    address private immutable ACTOR;
    uint256 private immutable ROOT_CHAIN_ID;
    address private immutable ROOT_GATEWAY;
    address private immutable ROOT_FLT;
    address private immutable L1_FLT;
    address private immutable L1_SENDER;
    uint256 private immutable MIN;
    uint256 private immutable MAX;

    /// @inheritdoc IFltPortal
    uint64 public nonce;
    /// @inheritdoc IFltPortal
    uint256 public heldFlt;
    /// @inheritdoc IFltPortal
    mapping(bytes32 id => uint256) public returnedOf;
    /// @dev Withdrawal id by the tracing id that a Result will carry.
    mapping(bytes32 tracingId => bytes32 id) private _inflight;

    constructor(FltPortalParams memory p) PeerLink(p.gateway, p.rootNetwork, p.handler) {
        bool complete = p.rootChainId != 0 && p.rootGateway != address(0) && p.rootFlt != address(0)
            && p.l1Flt != address(0) && p.l1Sender != address(0);
        bool ordered = p.min > 0 && p.min <= p.max && p.max <= type(uint128).max;
        bool nested = p.rootNetwork.route.length == 0 && p.subnet.root == p.rootNetwork.root
            && p.subnet.route.length == 1 && p.subnet.route[0] != address(0);
        if (!complete || !ordered || !nested) revert InvalidConfiguration();
        SUBNET_KEY = keccak256(abi.encode(p.subnet));
        ACTOR = p.subnet.route[0];
        ROOT_CHAIN_ID = p.rootChainId;
        ROOT_GATEWAY = p.rootGateway;
        ROOT_FLT = p.rootFlt;
        L1_FLT = p.l1Flt;
        L1_SENDER = p.l1Sender;
        MIN = p.min;
        MAX = p.max;
    }

    /// @inheritdoc IFltPortal
    function withdrawToL1(address recipient) external payable nonReentrant returns (bytes32 id) {
        return _withdraw(recipient, address(0));
    }

    /// @inheritdoc IFltPortal
    function withdrawToL1WithRefund(address recipient, address refundTo)
        external
        payable
        nonReentrant
        returns (bytes32 id)
    {
        // On the root; contracts of ours there could not spend it.
        bool refused = Fvm.isForbidden(refundTo) || refundTo == PEER || refundTo == ROOT_GATEWAY
            || refundTo == ROOT_FLT || refundTo == ACTOR;
        if (refused) revert InvalidRefundTo(refundTo);
        return _withdraw(recipient, refundTo);
    }

    /// @inheritdoc IFltPortal
    function resend(FltWithdrawal calldata withdrawal) external payable nonReentrant {
        FltWithdrawal memory w = withdrawal;
        bytes32 id = withdrawalId(w);
        // What came back must cover what goes out, or it would be another's.
        uint256 held = returnedOf[id];
        if (held == 0 || held != w.amount) revert NotReturned(id);
        uint256 fee = ISubnetGateway(GATEWAY).exitFee();
        if (msg.value != fee) revert WrongValue(fee, msg.value);

        delete returnedOf[id];
        heldFlt -= held;
        emit WithdrawalToL1Resent(id, _send(id, w, fee));
    }

    /// @inheritdoc IIpcHandler
    /// @dev Only Results of messages in flight. A failure keeps what came back;
    /// nothing is paid here, ever.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        returns (bytes memory)
    {
        if (envelope.kind != IpcMsgKind.Result) revert UnsupportedMsgKind();
        if (!_isPeer(envelope.from)) revert UnrecognizedResult();

        ResultMsg memory result = abi.decode(envelope.message, (ResultMsg));
        bytes32 id = _inflight[result.id];
        if (id == bytes32(0)) revert UnrecognizedResult();
        delete _inflight[result.id];
        if (result.outcome == OutcomeType.Ok) return "";

        returnedOf[id] += msg.value;
        heldFlt += msg.value;
        emit WithdrawalToL1Returned(id, msg.value);
        return "";
    }

    /// @inheritdoc IFltPortal
    function withdrawalId(FltWithdrawal memory withdrawal) public view returns (bytes32) {
        return FltMessages.idOf(ROOT_CHAIN_ID, PEER, withdrawal);
    }

    /// @inheritdoc IFltPortal
    function limits() external view returns (uint256 min, uint256 max) {
        return (MIN, MAX);
    }

    /// @notice Withdrawal id of a message that no Result has answered, else 0.
    function inflight(bytes32 tracingId) external view returns (bytes32 id) {
        return _inflight[tracingId];
    }

    /// @notice keccak256(abi.encode(SubnetID)) of this subnet.
    function subnetKey() external view returns (bytes32) {
        return SUBNET_KEY;
    }

    function _withdraw(address recipient, address refundTo) private returns (bytes32 id) {
        uint256 fee = ISubnetGateway(GATEWAY).exitFee();
        if (msg.value < fee) revert WrongValue(fee + MIN, msg.value);
        uint256 amount = msg.value - fee;
        if (amount < MIN || amount > MAX) revert AmountOutOfRange(amount, MIN, MAX);
        // On Ethereum; the token and the sender there could not spend it.
        bool refused = Fvm.isForbidden(recipient) || recipient == L1_FLT || recipient == L1_SENDER;
        if (refused) revert InvalidRecipient(recipient);

        FltWithdrawal memory w = FltWithdrawal({
            subnetKey: SUBNET_KEY,
            portal: address(this),
            nonce: nonce++,
            sender: msg.sender,
            recipient: recipient,
            refundTo: refundTo,
            amount: amount
        });
        id = withdrawalId(w);
        uint64 messageNonce = _send(id, w, fee);
        emit WithdrawalToL1Sent(id, w.nonce, messageNonce, w);
    }

    /// @dev Sends the withdrawal; the caller has booked everything else.
    function _send(bytes32 id, FltWithdrawal memory w, uint256 fee) private returns (uint64 messageNonce) {
        IpcEnvelope memory envelope;
        envelope.kind = IpcMsgKind.Call;
        envelope.value = w.amount;
        envelope.to = peerAddress();
        envelope.message = FltMessages.encode(w);
        IpcEnvelope memory committed =
            ISubnetGateway(GATEWAY).sendContractXnetMessage{value: w.amount + fee}(envelope);

        // A gateway whose ids repeat would make us forget a withdrawal.
        bytes32 tracingId = Envelopes.tracingId(committed);
        if (_inflight[tracingId] != bytes32(0)) revert DuplicateMessage(tracingId);
        _inflight[tracingId] = id;
        return committed.localNonce;
    }
}
