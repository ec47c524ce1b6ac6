// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ShortString, ShortStrings} from "@openzeppelin/contracts/utils/ShortStrings.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {FltDeposit, FltWithdrawal, IFltHandler} from "../interfaces/IFlt.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {IInterchainTokenExecutable, IInterchainTokenService} from "../interfaces/IInterchainTokenService.sol";
import {Calls} from "../ipc/Calls.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {IPCAddress, IpcEnvelope, IpcMsgKind, OutcomeType, SubnetID} from "../ipc/Types.sol";
import {Payouts} from "../withdraw/Payouts.sol";
import {PeerLink} from "../withdraw/PeerLink.sol";
import {FltMessages} from "./FltMessages.sol";
import {Its} from "./Its.sol";

/// @notice Everything a handler is made of.
struct FltHandlerParams {
    address its;
    bytes32 tokenId;
    string l1Chain; // Ethereum as the service calls it
    uint256 l1ChainId;
    address fltSender; // on Ethereum
    address gateway; // of IPC, on this chain
    SubnetID subnet;
    address portal; // FltPortal in the subnet
}

/// @title FLT between Ethereum and a subnet, on the root
/// @notice A deposit comes from FltSender through the Interchain Token Service
/// and funds its recipient in the subnet; a withdrawal comes from FltPortal
/// through the IPC gateway and goes on to its recipient on Ethereum. What cannot
/// go on becomes a credit under the id it was given where it began: anyone may
/// try it again or send it back, its owners may claim it, nobody else ever gets
/// it (PROTOCOL 42). No message that is ours is left stuck or answered
/// (PROTOCOL 43). No owner, no proxy (PROTOCOL 35); books are monotone counters
/// and a donation is in none of them (PROTOCOL 29).
contract FltHandler is IFltHandler, IInterchainTokenExecutable, PeerLink, EIP712, ReentrancyGuardTransient {
    using BitMaps for BitMaps.BitMap;
    using SafeERC20 for IERC20;
    using ShortStrings for ShortString;
    using ShortStrings for string;

    error InvalidConfiguration();
    error NotService(address caller);
    error NotSelf(address caller);
    error WrongToken(bytes32 tokenId, address token);
    error WrongSource(string chain, bytes account);
    error WrongSubnet(bytes32 subnetKey);
    error InvalidOrigin();
    error UnknownMessage();
    /// @dev It came before; money does not move twice for one id.
    error AlreadyHandled(bytes32 id);
    /// @dev Less is here than is owed together with what is said to have come.
    error NotReceived(uint256 expected, uint256 actual);
    /// @dev The gateway committed another message than the one expected.
    error MessageMismatch();
    error NothingCredited(bytes32 id);
    /// @dev The subnet sent it back: it goes back to its sender, or is claimed.
    error NotRetriable(bytes32 id);
    error NotEntitled(address account);
    error Expired(uint256 deadline);
    error RefusedRecipient(address to);

    bytes32 private constant EXECUTE_SUCCESS = keccak256("its-execute-success");
    bytes32 private constant CLAIM_TYPE =
        keccak256("Claim(bytes32 id,address to,uint256 amount,uint256 deadline)");

    address private immutable ITS;
    bytes32 private immutable TOKEN_ID;
    address private immutable FLT;
    address private immutable MANAGER;
    ShortString private immutable L1_CHAIN;
    bytes32 private immutable L1_CHAIN_HASH;
    uint256 private immutable L1_CHAIN_ID;
    address private immutable FLT_SENDER;
    bytes32 private immutable SUBNET_KEY;
    /// @dev Gas of a leg that may fail: half of what the gateway promises to a
    /// handler (PROTOCOL 14).
    uint256 private immutable LEG_GAS;

    struct Credit {
        uint128 amount;
        bool undelivered;
    }

    struct Unreadable {
        address owner;
        uint128 amount;
    }

    /// @dev IFltHandler.Counters, in pairs that change together.
    struct Books {
        uint128 credited;
        uint128 spent;
        uint128 deposited;
        uint128 funded;
        uint128 withdrawn;
        uint128 sentOn;
        uint128 undelivered;
        uint128 sentBack;
        uint128 depositsClaimed;
        uint128 withdrawalsClaimed;
        uint128 quarantined;
    }

    Books private _books;
    BitMaps.BitMap private _arrived;
    BitMaps.BitMap private _handled;
    mapping(bytes32 id => Credit) private _credits;
    mapping(bytes32 commandId => Unreadable) private _unreadable;
    /// @dev Deposit by the tracing id that a Result will carry.
    mapping(bytes32 messageId => bytes32 id) private _inflight;
    /// @notice FLT that answers nothing of ours, by the nonce of its message.
    mapping(uint64 messageNonce => uint256) public quarantinedValue;

    constructor(FltHandlerParams memory p)
        PeerLink(p.gateway, p.subnet, p.portal)
        EIP712("Causeway FltHandler", "1")
    {
        bool complete = p.its.code.length != 0 && bytes(p.l1Chain).length != 0 && p.l1ChainId != 0
            && p.fltSender != address(0) && p.subnet.route.length != 0;
        if (!complete) revert InvalidConfiguration();
        ITS = p.its;
        TOKEN_ID = p.tokenId;
        FLT = IInterchainTokenService(p.its).registeredTokenAddress(p.tokenId);
        MANAGER = IInterchainTokenService(p.its).tokenManagerAddress(p.tokenId);
        L1_CHAIN = p.l1Chain.toShortString();
        L1_CHAIN_HASH = keccak256(bytes(p.l1Chain));
        L1_CHAIN_ID = p.l1ChainId;
        FLT_SENDER = p.fltSender;
        SUBNET_KEY = keccak256(abi.encode(p.subnet));
        LEG_GAS = IGateway(p.gateway).messageGas() / 2;
        // The gateway pulls what its caller asks it to, and nothing else.
        IERC20(FLT).forceApprove(p.gateway, type(uint256).max);
    }

    modifier onlySelf() {
        _onlySelf();
        _;
    }

    // ---- what comes in

    /// @inheritdoc IInterchainTokenExecutable
    /// @dev Reverts, and leaves the message to be executed again, only for a wrong
    /// caller, token or source, an id that came before, or too little gas.
    function executeWithInterchainToken(
        bytes32 commandId,
        string calldata sourceChain,
        bytes calldata sourceAddress,
        bytes calldata data,
        bytes32 tokenId,
        address token,
        uint256 amount
    ) external nonReentrant returns (bytes32) {
        if (msg.sender != ITS) revert NotService(msg.sender);
        if (tokenId != TOKEN_ID || token != FLT) revert WrongToken(tokenId, token);
        bool ours = keccak256(bytes(sourceChain)) == L1_CHAIN_HASH
            && keccak256(sourceAddress) == keccak256(abi.encodePacked(FLT_SENDER));
        if (!ours) revert WrongSource(sourceChain, sourceAddress);
        _arrive(commandId, data, amount);
        return EXECUTE_SUCCESS;
    }

    /// @inheritdoc IIpcHandler
    /// @dev A Call of the portal is a withdrawal; it reverts, and its value goes
    /// back to the portal, only for another caller or content than the portal's,
    /// an id that came before, or less gas than the gateway promises. Any Result
    /// of the subnet is taken in: nothing repeats one. It calls nobody, so it is
    /// not nonReentrant either.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        returns (bytes memory)
    {
        if (envelope.kind == IpcMsgKind.Result) {
            _takeResult(envelope);
            return "";
        }
        if (envelope.kind != IpcMsgKind.Call) revert UnsupportedMsgKind();
        if (!_isPeer(envelope.from)) revert InvalidOrigin();
        _withdraw(envelope.message, envelope.value);
        return "";
    }

    // ---- what was kept

    /// @inheritdoc IFltHandler
    function retryDeposit(FltDeposit calldata deposit) external nonReentrant {
        bytes32 id = depositId(deposit);
        if (_credits[id].undelivered) revert NotRetriable(id);
        uint128 amount = _take(id);
        emit Retried(id, msg.sender);
        _fund(deposit, id, amount);
    }

    /// @inheritdoc IFltHandler
    function sendBack(FltDeposit calldata deposit) external payable nonReentrant {
        bytes32 id = depositId(deposit);
        _sendBack(id, deposit.sender, _take(id));
    }

    /// @inheritdoc IFltHandler
    function sendBackUnreadable(bytes32 commandId) external payable nonReentrant {
        Unreadable memory kept = _unreadable[commandId];
        if (kept.amount == 0) revert NothingCredited(commandId);
        delete _unreadable[commandId];
        _books.spent += kept.amount;
        _sendBack(commandId, kept.owner, kept.amount);
    }

    /// @inheritdoc IFltHandler
    function retryWithdrawal(FltWithdrawal calldata withdrawal) external payable nonReentrant {
        bytes32 id = withdrawalId(withdrawal);
        uint128 amount = _take(id);
        emit Retried(id, msg.sender);
        _sendOn(id, withdrawal.recipient, amount);
    }

    /// @inheritdoc IFltHandler
    function refund(FltWithdrawal calldata withdrawal, address to) external nonReentrant {
        bytes32 id = withdrawalId(withdrawal);
        if (msg.sender != withdrawal.refundTo) revert NotEntitled(msg.sender);
        uint128 amount = _take(id);
        _books.withdrawalsClaimed += amount;
        _pay(id, to, amount, msg.sender);
    }

    /// @inheritdoc IFltHandler
    function claimDeposit(FltDeposit calldata deposit, address to, uint256 deadline, bytes calldata signature)
        external
        nonReentrant
    {
        bytes32 id = depositId(deposit);
        uint128 amount = _take(id);
        address signer = _claimant(id, to, amount, deadline, signature);
        if (signer != deposit.sender && signer != deposit.recipient) revert NotEntitled(signer);
        _books.depositsClaimed += amount;
        _pay(id, to, amount, signer);
    }

    /// @inheritdoc IFltHandler
    function claimWithdrawal(
        FltWithdrawal calldata withdrawal,
        address to,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = withdrawalId(withdrawal);
        uint128 amount = _take(id);
        address signer = _claimant(id, to, amount, deadline, signature);
        bool entitled =
            signer == withdrawal.sender || signer == withdrawal.recipient || signer == withdrawal.refundTo;
        if (!entitled) revert NotEntitled(signer);
        _books.withdrawalsClaimed += amount;
        _pay(id, to, amount, signer);
    }

    // ---- the two legs that may fail, as calls of our own

    /// @notice Only we ourselves call this, to undo all of it when it fails.
    function fundAsSelf(FltDeposit calldata deposit, bytes32 id, uint128 amount) external onlySelf {
        _fund(deposit, id, amount);
    }

    /// @notice Only we ourselves call this, to undo all of it when it fails.
    function sendOnAsSelf(bytes32 id, address recipient, uint128 amount) external onlySelf {
        _sendOn(id, recipient, amount);
    }

    // ---- views

    /// @inheritdoc IFltHandler
    function depositId(FltDeposit memory deposit) public view returns (bytes32) {
        return FltMessages.idOf(L1_CHAIN_ID, FLT_SENDER, deposit);
    }

    /// @inheritdoc IFltHandler
    function withdrawalId(FltWithdrawal memory withdrawal) public view returns (bytes32) {
        return FltMessages.idOf(block.chainid, address(this), withdrawal);
    }

    /// @inheritdoc IFltHandler
    function creditOf(bytes32 id) external view returns (uint256 amount, bool retriable) {
        Credit memory credit = _credits[id];
        return (credit.amount, credit.amount != 0 && !credit.undelivered);
    }

    /// @notice What is kept of a deposit nobody can read, and whose it is, as far
    /// as its first word says.
    function unreadableOf(bytes32 commandId) external view returns (uint256 amount, address owner) {
        Unreadable memory kept = _unreadable[commandId];
        return (kept.amount, kept.owner);
    }

    /// @inheritdoc IFltHandler
    function arrived(uint64 depositNonce) external view returns (bool) {
        return _arrived.get(depositNonce);
    }

    /// @inheritdoc IFltHandler
    function handled(uint64 withdrawalNonce) external view returns (bool) {
        return _handled.get(withdrawalNonce);
    }

    /// @inheritdoc IFltHandler
    function inflight(bytes32 messageId) external view returns (bytes32 id) {
        return _inflight[messageId];
    }

    /// @inheritdoc IFltHandler
    function outbound() external view returns (bool trusted, uint256 room) {
        trusted = Its.isTrusted(ITS, L1_CHAIN.toString());
        (, room) = Its.flowRoom(MANAGER);
    }

    /// @inheritdoc IFltHandler
    function getCounters() external view returns (Counters memory) {
        Books memory b = _books;
        return Counters({
            deposited: b.deposited,
            funded: b.funded,
            undelivered: b.undelivered,
            sentBack: b.sentBack,
            withdrawn: b.withdrawn,
            sentOn: b.sentOn,
            depositsClaimed: b.depositsClaimed,
            withdrawalsClaimed: b.withdrawalsClaimed,
            quarantined: b.quarantined,
            credited: b.credited,
            spent: b.spent
        });
    }

    /// @notice The service, the token it knows by this id, and the token itself.
    function service() external view returns (address its, bytes32 tokenId, address flt) {
        return (ITS, TOKEN_ID, FLT);
    }

    /// @notice Ethereum: as the service calls it, by chain id, and the sender there.
    function source() external view returns (string memory chain, uint256 chainId, address fltSender) {
        return (L1_CHAIN.toString(), L1_CHAIN_ID, FLT_SENDER);
    }

    /// @notice keccak256(abi.encode(SubnetID)) of the subnet served.
    function subnetKey() external view returns (bytes32) {
        return SUBNET_KEY;
    }

    /// @notice Gas that either leg gets when it is tried first.
    function legGas() external view returns (uint256) {
        return LEG_GAS;
    }

    /// @notice The domain of claims.
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- deposits

    function _arrive(bytes32 commandId, bytes calldata data, uint256 amount_) private {
        uint128 amount = _receive(amount_);
        _books.deposited += amount;
        (bool readable, FltDeposit memory d) = FltMessages.parseDeposit(data);
        if (!readable) {
            _unreadable[commandId] = Unreadable({owner: FltMessages.ownerIn(data), amount: amount});
            _books.credited += amount;
            bytes calldata head = data.length > Calls.MAX_RET ? data[:Calls.MAX_RET] : data;
            emit Credited(commandId, Reason.Unreadable, amount, head);
            return;
        }
        bytes32 id = depositId(d);
        // A second message for one deposit stays unexecuted, its tokens unminted.
        if (_arrived.get(d.nonce)) revert AlreadyHandled(id);
        _arrived.set(d.nonce);
        (bool ok, bytes memory ret) = _try(abi.encodeCall(this.fundAsSelf, (d, id, amount)));
        if (!ok) _keep(id, amount, Reason.Unfunded, ret);
    }

    /// @dev Sends a deposit down and remembers by which message, so that a failure
    /// in the subnet finds its deposit again.
    function _fund(FltDeposit memory d, bytes32 id, uint128 amount) private {
        if (d.subnetKey != SUBNET_KEY) revert WrongSubnet(d.subnetKey);
        SubnetID memory subnet = peerAddress().subnetId;
        (uint64 nonce, bytes32 hash) = IGateway(GATEWAY).getTopDownHash(subnet);

        IpcEnvelope memory e;
        e.kind = IpcMsgKind.Transfer;
        e.localNonce = nonce;
        e.originalNonce = nonce;
        e.value = amount;
        e.to = IPCAddress({subnetId: subnet, rawAddress: Fvm.from(d.recipient)});
        e.from =
            IPCAddress({subnetId: IGateway(GATEWAY).getNetworkName(), rawAddress: Fvm.from(address(this))});
        bytes memory encoded = abi.encode(e);
        bytes32 messageId = Envelopes.tracingIdOf(encoded);
        _inflight[messageId] = id;
        _books.funded += amount;
        IGateway(GATEWAY).fundWithToken(subnet, e.to.rawAddress, amount);

        // Its rolling hash says that this, and nothing else, was committed.
        (, bytes32 next) = IGateway(GATEWAY).getTopDownHash(subnet);
        if (next != Envelopes.fold(hash, keccak256(encoded))) revert MessageMismatch();
        emit Funded(id, messageId, nonce, d.recipient, amount);
    }

    /// @dev What the subnet could not deliver is kept for the deposit it was.
    function _takeResult(IpcEnvelope calldata e) private {
        // Others have gateways too, and tokens of their own.
        if (keccak256(abi.encode(e.from.subnetId)) != SUBNET_KEY) revert InvalidOrigin();
        (bytes32 messageId, OutcomeType outcome, bytes calldata ret) = _resultIn(e.message);
        bytes32 id = _inflight[messageId];
        if (e.value == 0) {
            if (outcome == OutcomeType.Ok) delete _inflight[messageId];
            return;
        }
        uint128 amount = _receive(e.value);
        if (id == bytes32(0)) {
            quarantinedValue[e.localNonce] += amount;
            _books.quarantined += amount;
            _books.credited += amount;
            emit ValueQuarantined(e.localNonce, amount);
            return;
        }
        delete _inflight[messageId];
        _books.undelivered += amount;
        _credits[id].undelivered = true;
        _keep(id, amount, Reason.Undelivered, ret);
    }

    function _sendBack(bytes32 id, address owner, uint128 amount) private {
        _books.sentBack += amount;
        _sendToL1(owner, amount);
        emit SentBack(id, owner, amount);
    }

    // ---- withdrawals

    function _withdraw(bytes calldata message, uint256 value) private nonReentrant {
        (bool ours, FltWithdrawal memory w) = FltMessages.parseWithdrawal(message);
        if (!ours || w.subnetKey != SUBNET_KEY || w.portal != PEER || value == 0) revert UnknownMessage();
        bytes32 id = withdrawalId(w);
        if (_handled.get(w.nonce)) revert AlreadyHandled(id);
        _handled.set(w.nonce);

        uint128 amount = _receive(value);
        _books.withdrawn += amount;
        (bool ok, bytes memory ret) = _try(abi.encodeCall(this.sendOnAsSelf, (id, w.recipient, amount)));
        if (!ok) _keep(id, amount, Reason.Unsent, ret);
    }

    function _sendOn(bytes32 id, address recipient, uint128 amount) private {
        _books.sentOn += amount;
        _sendToL1(recipient, amount);
        emit SentOn(id, recipient, amount);
    }

    /// @dev Trust and flow limit first: what is refused for those is told so.
    function _sendToL1(address to, uint256 amount) private {
        if (Fvm.isForbidden(to)) revert RefusedRecipient(to);
        string memory chain = L1_CHAIN.toString();
        Its.requireTrusted(ITS, chain);
        Its.requireFlow(MANAGER, amount);
        Its.send(ITS, TOKEN_ID, chain, to, amount, "");
    }

    // ---- books

    /// @dev Believes that `amount` came only if it stands here beyond what is owed.
    function _receive(uint256 amount) private view returns (uint128) {
        uint256 expected = uint256(_books.credited) - _books.spent + amount;
        uint256 actual = IERC20(FLT).balanceOf(address(this));
        if (actual < expected || amount > type(uint128).max) revert NotReceived(expected, actual);
        // forge-lint: disable-next-line(unsafe-typecast) just checked
        return uint128(amount);
    }

    function _keep(bytes32 id, uint128 amount, Reason reason, bytes memory detail) private {
        _credits[id].amount += amount;
        _books.credited += amount;
        emit Credited(id, reason, amount, detail);
    }

    /// @dev The whole credit of an id, which has none afterwards.
    function _take(bytes32 id) private returns (uint128 amount) {
        amount = _credits[id].amount;
        if (amount == 0) revert NothingCredited(id);
        delete _credits[id];
        _books.spent += amount;
    }

    function _pay(bytes32 id, address to, uint128 amount, address claimant) private {
        bool refused = Fvm.isForbidden(to) || to == address(this) || to == GATEWAY || to == ITS || to == FLT
            || to == MANAGER;
        if (refused) revert RefusedRecipient(to);
        emit Claimed(id, to, amount, claimant);
        IERC20(FLT).safeTransfer(to, amount);
    }

    /// @dev Who signed the claim. An account's key is the same on every chain; a
    /// contract's address is not, so contracts cannot sign.
    function _claimant(bytes32 id, address to, uint256 amount, uint256 deadline, bytes calldata signature)
        private
        view
        returns (address)
    {
        // forge-lint: disable-next-line(block-timestamp) the signer's own margin
        if (block.timestamp > deadline) revert Expired(deadline);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(CLAIM_TYPE, id, to, amount, deadline)));
        return ECDSA.recover(digest, signature);
    }

    /// @dev Calls ourselves with all of LEG_GAS, or reverts for want of it: nobody
    /// can starve a leg that would succeed (PROTOCOL 14).
    function _try(bytes memory call_) private returns (bool ok, bytes memory ret) {
        Payouts.requireGas(LEG_GAS, LEG_GAS / 4);
        return Calls.bounded(address(this), 0, LEG_GAS, call_);
    }

    function _onlySelf() private view {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
    }

    /// @dev What abi.encode(ResultMsg) holds, of any content; never reverts.
    function _resultIn(bytes calldata message)
        private
        pure
        returns (bytes32 id, OutcomeType outcome, bytes calldata ret)
    {
        outcome = OutcomeType.SystemErr;
        ret = message[:0];
        // [0x20][id][outcome][0x60][length][ret]
        if (message.length < 160) return (id, outcome, ret);
        id = bytes32(message[32:64]);
        uint256 raw = uint256(bytes32(message[64:96]));
        if (raw <= uint256(type(OutcomeType).max)) outcome = OutcomeType(raw);
        uint256 length = uint256(bytes32(message[128:160]));
        if (length > Calls.MAX_RET) length = Calls.MAX_RET;
        if (length <= message.length - 160) ret = message[160:160 + length];
    }
}
