// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {GmpCall} from "../interfaces/IGmp.sol";
import {CallMsg, OutcomeType} from "../ipc/Types.sol";

/// @notice Both ends of a call.
struct GmpRoute {
    uint256 fromChainId;
    address fromPort;
    uint256 toChainId;
    address toPort;
}

/// @title What calls between contracts are called and how they travel
/// @notice The same bytes are the payload at Axelar and the message of IPC: the
/// encoding of a CallMsg, whose method says what it is. The ends of a call do not
/// travel: they are pinned wherever it passes, and its id binds them.
library GmpMessages {
    bytes4 internal constant CALL = bytes4(keccak256("gmpCall(uint64,address,address,uint64,bytes)"));
    bytes4 internal constant RESULT = bytes4(keccak256("gmpResult(bytes32,bool,bytes)"));

    /// @dev Most bytes of data: with it an envelope of IPC is 3,648 bytes of 4,096.
    uint256 internal constant MAX_DATA = 2048;

    /// @dev abi.encode(CallMsg): the tuple's offset and its own two, both lengths,
    /// the method padded; then the parameters.
    uint256 private constant PARAMS_AT = 6 * 32;
    /// @dev nonce, sender, target, gas, offset and length of the data.
    uint256 private constant CALL_DATA_AT = PARAMS_AT + 6 * 32;
    /// @dev id, ok, offset and length of what was returned.
    uint256 private constant RESULT_RET_AT = PARAMS_AT + 4 * 32;

    /// @notice Known where the call is made at once, and nothing but it has it.
    function idOf(GmpRoute memory route, GmpCall memory c) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                "GMP1",
                route.fromChainId,
                route.fromPort,
                route.toChainId,
                route.toPort,
                c.nonce,
                c.sender,
                c.target,
                c.gas,
                keccak256(c.data)
            )
        );
    }

    function encode(GmpCall memory c) internal pure returns (bytes memory) {
        bytes memory params = abi.encode(c.nonce, c.sender, c.target, c.gas, c.data);
        return abi.encode(CallMsg({method: abi.encodePacked(CALL), params: params}));
    }

    function encodeResult(bytes32 id, bool ok, bytes memory ret) internal pure returns (bytes memory) {
        return abi.encode(CallMsg({method: abi.encodePacked(RESULT), params: abi.encode(id, ok, ret)}));
    }

    /// @notice What a message says it is, 0 if it is too short to.
    function methodOf(bytes calldata message) internal pure returns (bytes4) {
        return message.length < PARAMS_AT ? bytes4(0) : bytes4(message[4 * 32:]);
    }

    /// @notice The call in a message. `valid` is false unless that is exactly what
    /// `encode` makes of one. Never reverts.
    function parseCall(bytes calldata message) internal pure returns (bool valid, GmpCall memory c) {
        if (message.length < CALL_DATA_AT) return (false, c);
        (uint256 callNonce, uint256 sender, uint256 target, uint256 gas_,, uint256 length) = abi.decode(
            message[PARAMS_AT:CALL_DATA_AT], (uint256, uint256, uint256, uint256, uint256, uint256)
        );
        if (length > message.length - CALL_DATA_AT) return (false, c);
        // What is cut off here makes another message of it below.
        // forge-lint: disable-start(unsafe-typecast)
        c.nonce = uint64(callNonce);
        c.sender = address(uint160(sender));
        c.target = address(uint160(target));
        c.gas = uint64(gas_);
        // forge-lint: disable-end(unsafe-typecast)
        c.data = message[CALL_DATA_AT:CALL_DATA_AT + length];
        valid = keccak256(message) == keccak256(encode(c));
    }

    /// @notice The result in a message. `valid` is false unless that is exactly what
    /// `encodeResult` makes of one. Never reverts.
    function parseResult(bytes calldata message)
        internal
        pure
        returns (bool valid, bytes32 id, bool ok, bytes memory ret)
    {
        if (message.length < RESULT_RET_AT) return (false, id, ok, ret);
        uint256 length;
        uint256 flag;
        (id, flag,, length) =
            abi.decode(message[PARAMS_AT:RESULT_RET_AT], (bytes32, uint256, uint256, uint256));
        if (length > message.length - RESULT_RET_AT) return (false, id, ok, ret);
        ok = flag == 1;
        ret = message[RESULT_RET_AT:RESULT_RET_AT + length];
        valid = keccak256(message) == keccak256(encodeResult(id, ok, ret));
    }

    /// @notice What the port in the subnet answers a call with, in the return data
    /// of its handler, of which IPC carries 128 bytes: whether it went well, and
    /// what it returned.
    function pack(bool ok, bytes memory ret) internal pure returns (bytes memory) {
        return bytes.concat(bytes1(ok ? 0x01 : 0x00), ret);
    }

    /// @notice What abi.encode(ResultMsg) says of a call sent down, of any content:
    /// the port's answer, or why there is none. Never reverts.
    function parseOutcome(bytes calldata message)
        internal
        pure
        returns (bytes32 messageId, bool ok, bytes memory ret)
    {
        // [0x20][id][outcome][0x60][length][ret]
        if (message.length < 160) return (messageId, false, ret);
        uint256 outcome;
        uint256 length;
        (messageId, outcome,, length) = abi.decode(message[32:160], (bytes32, uint256, uint256, uint256));
        if (length > message.length - 160) return (messageId, false, ret);
        bytes calldata answer = message[160:160 + length];
        if (outcome != uint256(OutcomeType.Ok)) return (messageId, false, answer);
        if (length == 0) return (messageId, false, ret);
        return (messageId, answer[0] == 0x01, answer[1:]);
    }
}
