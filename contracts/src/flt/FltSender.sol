// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ShortString, ShortStrings} from "@openzeppelin/contracts/utils/ShortStrings.sol";
import {FltDeposit, IFltSender} from "../interfaces/IFlt.sol";
import {IInterchainTokenService} from "../interfaces/IInterchainTokenService.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {SubnetID} from "../ipc/Types.sol";
import {FltMessages} from "./FltMessages.sol";
import {Its} from "./Its.sol";

/// @notice Everything a sender is made of. Amounts in wei of FLT.
struct FltSenderParams {
    address its;
    bytes32 tokenId;
    string rootChain; // the root as the service calls it
    address handler; // FltHandler, by its predicted address
    SubnetID subnet;
    uint256 min;
    uint256 max;
}

/// @title Where FLT leaves Ethereum for the subnet
/// @notice One call locks FLT in the Interchain Token Service and sends it to
/// FltHandler on the root, which funds the recipient in the subnet. The service
/// brings nothing back by itself, so whatever it or the far side would swallow is
/// refused here. Holds nothing between calls; has no owner (PROTOCOL 35).
contract FltSender is IFltSender, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using ShortStrings for ShortString;
    using ShortStrings for string;

    error InvalidConfiguration();
    error AmountOutOfRange(uint256 amount, uint256 min, uint256 max);
    error InvalidRecipient(address recipient);
    error UnexpectedBalance(uint256 expected, uint256 actual);

    address private immutable ITS;
    address private immutable FLT;
    bytes32 private immutable TOKEN_ID;
    ShortString private immutable ROOT_CHAIN;
    address private immutable HANDLER;
    bytes32 private immutable SUBNET_KEY;
    uint256 private immutable MIN;
    uint256 private immutable MAX;

    /// @inheritdoc IFltSender
    uint64 public nonce;

    constructor(FltSenderParams memory p) {
        bool complete = p.its.code.length != 0 && bytes(p.rootChain).length != 0 && p.handler != address(0)
            && p.subnet.root != 0 && p.subnet.route.length != 0;
        bool ordered = p.min > 0 && p.min <= p.max && p.max <= type(uint128).max;
        if (!complete || !ordered) revert InvalidConfiguration();
        ITS = p.its;
        FLT = IInterchainTokenService(p.its).registeredTokenAddress(p.tokenId);
        TOKEN_ID = p.tokenId;
        ROOT_CHAIN = p.rootChain.toShortString();
        HANDLER = p.handler;
        SUBNET_KEY = keccak256(abi.encode(p.subnet));
        MIN = p.min;
        MAX = p.max;
        // Nothing is here between calls, so nothing is at risk.
        IERC20(FLT).forceApprove(p.its, type(uint256).max);
    }

    /// @inheritdoc IFltSender
    function deposit(address recipient, uint256 amount) external payable nonReentrant returns (bytes32 id) {
        return _deposit(recipient, amount);
    }

    /// @inheritdoc IFltSender
    /// @dev A permit somebody else has already used is no failure: the allowance
    /// decides.
    function depositWithPermit(
        address recipient,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external payable nonReentrant returns (bytes32 id) {
        try IERC20Permit(FLT).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        return _deposit(recipient, amount);
    }

    /// @inheritdoc IFltSender
    function depositId(FltDeposit memory deposit_) public view returns (bytes32) {
        return FltMessages.idOf(block.chainid, address(this), deposit_);
    }

    /// @inheritdoc IFltSender
    function limits() external view returns (uint256 min, uint256 max) {
        return (MIN, MAX);
    }

    /// @notice The service deposits go through, the token it knows by this id, and
    /// the token itself.
    function service() external view returns (address its, bytes32 tokenId, address flt) {
        return (ITS, TOKEN_ID, FLT);
    }

    /// @notice Where deposits go: the root as the service calls it, the handler
    /// there, and keccak256(abi.encode(SubnetID)) of the subnet.
    function destination() external view returns (string memory chain, address handler, bytes32 subnetKey) {
        return (ROOT_CHAIN.toString(), HANDLER, SUBNET_KEY);
    }

    function _deposit(address recipient, uint256 amount) private returns (bytes32 id) {
        if (amount < MIN || amount > MAX) revert AmountOutOfRange(amount, MIN, MAX);
        if (Fvm.isForbidden(recipient)) revert InvalidRecipient(recipient);
        string memory chain = ROOT_CHAIN.toString();
        Its.requireTrusted(ITS, chain);

        FltDeposit memory d = FltDeposit({
            sender: msg.sender, recipient: recipient, subnetKey: SUBNET_KEY, nonce: nonce++, amount: amount
        });
        id = depositId(d);
        bytes memory data = abi.encode(d);

        // What is announced must be what moves, here and into the service: a token
        // that takes a fee is refused.
        uint256 before = IERC20(FLT).balanceOf(address(this));
        IERC20(FLT).safeTransferFrom(msg.sender, address(this), amount);
        _requireBalance(before + amount);
        Its.send(ITS, TOKEN_ID, chain, HANDLER, amount, data);
        _requireBalance(before);
        emit Deposited(id, msg.sender, recipient, d.nonce, amount, keccak256(data), msg.value);
    }

    function _requireBalance(uint256 expected) private view {
        uint256 actual = IERC20(FLT).balanceOf(address(this));
        if (actual != expected) revert UnexpectedBalance(expected, actual);
    }
}
