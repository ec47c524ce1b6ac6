// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {GmpCall, IGmpCallee, IGmpCaller, IGmpEnd} from "../interfaces/IGmp.sol";
import {Calls} from "../ipc/Calls.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {Payouts} from "../withdraw/Payouts.sol";
import {GmpMessages, GmpRoute} from "./GmpMessages.sol";

/// @notice What an end is made of.
struct GmpEndParams {
    uint256 farChainId;
    address farPort; // the port on the other chain
    uint64 maxGas; // that a target there may be promised
    uint64 callbackGas; // that a result is delivered here with
}

/// @title One end of the calls between Ethereum and the subnet
/// @notice A target is only ever called by `onGmpCall`, a sender only by
/// `onGmpResult`: nobody can have a port call anything else, and it holds nothing
/// and is nothing special to anyone. A call is executed once, or not at all and
/// undone as a whole; its sender gets one result. Nobody who brings too little gas
/// can make a call fail that would not (PROTOCOL 14).
abstract contract GmpEnd is IGmpEnd {
    using BitMaps for BitMaps.BitMap;

    error InvalidConfiguration();
    error InvalidTarget(address target);
    error DataTooLong(uint256 size, uint256 max);
    error GasOutOfRange(uint256 gas_, uint256 max);
    /// @dev No message of ours, or not as we write them.
    error UnknownMessage();
    error AlreadyExecuted(bytes32 id);
    /// @dev No call of this id waits for a result.
    error UnknownResult(bytes32 id);
    error NotSelf(address caller);
    error NoCode(address target);
    /// @dev The target did not return what abi.encode makes of `bytes`.
    error InvalidReturn();
    error ReturnTooLong(uint256 size, uint256 max);

    /// @dev What a call costs us beside its target, with both buffers full; with
    /// margin.
    uint256 internal constant RUN_GAS = 40_000;
    /// @dev What has to remain after a target or a sender was called.
    uint256 internal constant AFTER_GAS = 60_000;
    /// @dev In an entry: it is the hash of a result, no longer a sender.
    uint256 private constant ANSWERED = 1 << 255;

    uint256 private immutable FAR_CHAIN_ID;
    address private immutable FAR_PORT;
    uint64 private immutable MAX_GAS;
    uint64 private immutable CALLBACK_GAS;
    uint256 private immutable MAX_RET;

    /// @inheritdoc IGmpEnd
    uint64 public nonce;
    /// @dev Who waits for the result of a call; once it came, ANSWERED and its hash.
    mapping(bytes32 id => uint256) private _entries;
    BitMaps.BitMap private _executed;

    constructor(GmpEndParams memory p, uint256 maxRet) {
        bool complete = p.farChainId != 0 && p.farPort != address(0) && p.maxGas != 0 && p.callbackGas != 0;
        if (!complete) revert InvalidConfiguration();
        FAR_CHAIN_ID = p.farChainId;
        FAR_PORT = p.farPort;
        MAX_GAS = p.maxGas;
        CALLBACK_GAS = p.callbackGas;
        MAX_RET = maxRet;
    }

    /// @notice Only we ourselves call this, to undo all of it when it fails. Answers
    /// with nothing but the bytes that the target returned.
    function runAsSelf(bytes32 id, GmpCall calldata c) external {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        if (c.target.code.length == 0) revert NoCode(c.target);
        uint256 maxRet = MAX_RET;
        bytes memory call_ = abi.encodeCall(IGmpCallee.onGmpCall, (id, FAR_CHAIN_ID, c.sender, c.data));
        (bool ok, uint256 size, bytes memory got) = Calls.capped(c.target, c.gas, call_, maxRet + 64);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(got, 0x20), mload(got))
            }
        }
        // [0x20][length][bytes]
        if (size < 64) revert InvalidReturn();
        (uint256 offset, uint256 length) = abi.decode(got, (uint256, uint256));
        if (offset != 32) revert InvalidReturn();
        if (length > maxRet) revert ReturnTooLong(length, maxRet);
        if (length > size - 64) revert InvalidReturn();
        assembly ("memory-safe") {
            return(add(got, 0x60), length)
        }
    }

    /// @inheritdoc IGmpEnd
    function callId(GmpCall memory call_) public view returns (bytes32) {
        return GmpMessages.idOf(GmpRoute(block.chainid, address(this), FAR_CHAIN_ID, FAR_PORT), call_);
    }

    /// @inheritdoc IGmpEnd
    function incomingId(GmpCall memory call_) public view returns (bytes32) {
        return GmpMessages.idOf(GmpRoute(FAR_CHAIN_ID, FAR_PORT, block.chainid, address(this)), call_);
    }

    /// @inheritdoc IGmpEnd
    function waiting(bytes32 id) external view returns (address sender) {
        uint256 entry = _entries[id];
        // forge-lint: disable-next-line(unsafe-typecast) no more than an address
        return entry & ANSWERED == 0 ? address(uint160(entry)) : address(0);
    }

    /// @inheritdoc IGmpEnd
    function isResult(bytes32 id, bool ok, bytes memory ret) external view returns (bool) {
        return _entries[id] == _resultEntry(ok, ret);
    }

    /// @inheritdoc IGmpEnd
    function executed(uint64 callNonce) external view returns (bool) {
        return _executed.get(callNonce);
    }

    /// @inheritdoc IGmpEnd
    function farEnd() external view returns (uint256 chainId, address port) {
        return (FAR_CHAIN_ID, FAR_PORT);
    }

    /// @inheritdoc IGmpEnd
    function limits()
        external
        view
        returns (uint256 maxData, uint64 maxGas, uint64 callbackGas, uint256 maxRet)
    {
        return (GmpMessages.MAX_DATA, MAX_GAS, CALLBACK_GAS, MAX_RET);
    }

    /// @dev A new call of msg.sender, which waits for its result from now on.
    function _make(address target, bytes calldata data, uint64 gas_)
        internal
        returns (bytes32 id, GmpCall memory c)
    {
        if (Fvm.isForbidden(target) || target == FAR_PORT) revert InvalidTarget(target);
        if (data.length > GmpMessages.MAX_DATA) revert DataTooLong(data.length, GmpMessages.MAX_DATA);
        if (gas_ > MAX_GAS) revert GasOutOfRange(gas_, MAX_GAS);
        c = GmpCall({
            nonce: nonce++, sender: msg.sender, target: target, gas: gas_ == 0 ? MAX_GAS : gas_, data: data
        });
        id = callId(c);
        _entries[id] = uint160(msg.sender);
    }

    /// @dev Executes a call of the other end, which the caller has authenticated.
    /// Reverts, and leaves it to be executed again where that is possible, only if it
    /// was executed before or its target would not get all of its gas.
    function _execute(GmpCall memory c) internal returns (bytes32 id, bool ok, bytes memory ret) {
        id = incomingId(c);
        // The far port gives each of its calls another nonce.
        if (_executed.get(c.nonce)) revert AlreadyExecuted(id);
        _executed.set(c.nonce);
        bytes memory call_ = abi.encodeCall(this.runAsSelf, (id, c));
        // A 32nd is more than the 64th that stays behind at the target's call.
        uint256 gas_ = uint256(c.gas) + c.gas / 32 + RUN_GAS;
        Payouts.requireGas(gas_, AFTER_GAS);
        (ok,, ret) = Calls.capped(address(this), gas_, call_, MAX_RET);
    }

    /// @dev Takes the result of a call made here, which the caller has
    /// authenticated. Reverts only if none waits, or if its sender would not get all
    /// of its gas.
    function _settle(bytes32 id, bool ok, bytes memory ret) internal {
        uint256 entry = _entries[id];
        if (entry == 0 || entry & ANSWERED != 0) revert UnknownResult(id);
        _entries[id] = _resultEntry(ok, ret);
        // forge-lint: disable-next-line(unsafe-typecast) no more than an address
        address sender = address(uint160(entry));
        bool taken;
        if (sender.code.length != 0) {
            bytes memory call_ = abi.encodeCall(IGmpCaller.onGmpResult, (id, ok, ret));
            Payouts.requireGas(CALLBACK_GAS, AFTER_GAS);
            (bool returned, bytes memory got) = Calls.bounded(sender, 0, CALLBACK_GAS, call_);
            // forge-lint: disable-next-line(unsafe-typecast) its first word
            taken = returned && bytes32(got) == bytes32(IGmpCaller.onGmpResult.selector);
        }
        emit ResultReceived(id, sender, ok, taken, ret);
    }

    function _resultEntry(bool ok, bytes memory ret) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(ok, ret))) | ANSWERED;
    }
}
