// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {GmpMessages, GmpRoute} from "../../src/gmp/GmpMessages.sol";
import {GmpCall, IGmpCallee, IGmpCaller} from "../../src/interfaces/IGmp.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {OutcomeType, ResultMsg} from "../../src/ipc/Types.sol";
import {Base} from "../Base.sol";

contract GmpMessagesTest is Base {
    function parseCall(bytes calldata message) external pure returns (bool valid, GmpCall memory c) {
        return GmpMessages.parseCall(message);
    }

    function parseResult(bytes calldata message)
        external
        pure
        returns (bool valid, bytes32 id, bool ok, bytes memory ret)
    {
        return GmpMessages.parseResult(message);
    }

    function parseOutcome(bytes calldata message)
        external
        pure
        returns (bytes32 messageId, bool ok, bytes memory ret)
    {
        return GmpMessages.parseOutcome(message);
    }

    function methodOf(bytes calldata message) external pure returns (bytes4) {
        return GmpMessages.methodOf(message);
    }

    function requireCall(bytes calldata message) external pure {
        Envelopes.requireCall(message);
    }

    /// @dev Computed once, by another encoder.
    function test_goldenMessagesAndIds() public pure {
        GmpCall memory c = GmpCall({
            nonce: 7,
            sender: 0x1111111111111111111111111111111111111111,
            target: 0x2222222222222222222222222222222222222222,
            gas: 250_000,
            data: hex"c0ffee"
        });
        GmpRoute memory r = GmpRoute(
            1,
            0x3333333333333333333333333333333333333333,
            31415926,
            0x4444444444444444444444444444444444444444
        );
        bytes32 id = 0x1881d8a98f1d322f6d824e49af252bf83da5f2ee2d6acb8f57da0bc5b874e71f;
        vm.assertEq(GmpMessages.idOf(r, c), id);
        vm.assertEq(
            keccak256(GmpMessages.encode(c)),
            0xc91095a605ea50a6a885a99ecc98ca51e8865e060d44581170749fa4d984bc58
        );
        vm.assertEq(
            keccak256(GmpMessages.encodeResult(id, true, hex"beef")),
            0x42f20b52330f91b9984575fde206eda5f32df28406fc08a7c75c6ae574ceb1b7
        );
        vm.assertEq(bytes32(GmpMessages.CALL), bytes32(bytes4(0xde3bf08a)));
        vm.assertEq(bytes32(GmpMessages.RESULT), bytes32(bytes4(0x6a2a0df4)));
        vm.assertEq(bytes32(IGmpCallee.onGmpCall.selector), bytes32(bytes4(0x76096406)));
        vm.assertEq(bytes32(IGmpCaller.onGmpResult.selector), bytes32(bytes4(0xbaa898f2)));
    }

    /// forge-config: default.fuzz.runs = 128
    function testFuzz_whatIsWrittenIsRead(GmpCall memory c, bytes32 id, bool ok, bytes memory ret)
        public
        view
    {
        bytes memory message = GmpMessages.encode(c);
        this.requireCall(message);
        (bool valid, GmpCall memory got) = this.parseCall(message);
        vm.assertTrue(valid);
        vm.assertEq(abi.encode(got), abi.encode(c));
        vm.assertEq(bytes32(this.methodOf(message)), bytes32(GmpMessages.CALL));
        (valid,,,) = this.parseResult(message);
        vm.assertFalse(valid);

        message = GmpMessages.encodeResult(id, ok, ret);
        this.requireCall(message);
        (bool valid2, bytes32 id2, bool ok2, bytes memory ret2) = this.parseResult(message);
        vm.assertTrue(valid2);
        vm.assertEq(id2, id);
        vm.assertEq(ok2, ok);
        vm.assertEq(ret2, ret);
        vm.assertEq(bytes32(this.methodOf(message)), bytes32(GmpMessages.RESULT));
        (valid,) = this.parseCall(message);
        vm.assertFalse(valid);
    }

    /// @dev One bit: another call, or none. Never an error, never the same.
    /// forge-config: default.fuzz.runs = 256
    function testFuzz_aFlippedBitIsSeen(GmpCall memory c, uint256 bit, bool ok) public view {
        bytes memory message = GmpMessages.encode(c);
        _flip(message, bit);
        (bool valid, GmpCall memory got) = this.parseCall(message);
        if (valid) vm.assertNotEq(keccak256(abi.encode(got)), keccak256(abi.encode(c)));
        message = GmpMessages.encodeResult("id", ok, c.data);
        _flip(message, bit);
        (bool valid2, bytes32 id2, bool ok2, bytes memory ret2) = this.parseResult(message);
        if (valid2) {
            vm.assertNotEq(keccak256(abi.encode(id2, ok2, ret2)), keccak256(abi.encode("id", ok, c.data)));
            vm.assertNotEq(
                keccak256(GmpMessages.encodeResult(id2, ok2, ret2)),
                keccak256(GmpMessages.encodeResult("id", ok, c.data))
            );
        }
    }

    function _flip(bytes memory message, uint256 bit) private pure {
        bit = bit % (message.length * 8);
        // forge-lint: disable-next-line(incorrect-shift)
        message[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }

    /// @dev Two messages are the same only if all of it is.
    function test_everyPartIsInTheId() public pure {
        GmpCall memory c = GmpCall(1, address(2), address(3), 4, "5");
        GmpRoute memory r = GmpRoute(6, address(7), 8, address(9));
        bytes32[10] memory ids;
        ids[0] = GmpMessages.idOf(r, c);
        for (uint256 i = 1; i < 10; ++i) {
            c = GmpCall(1, address(2), address(3), 4, "5");
            r = GmpRoute(6, address(7), 8, address(9));
            if (i == 1) c.nonce = 11;
            if (i == 2) c.sender = address(12);
            if (i == 3) c.target = address(13);
            if (i == 4) c.gas = 14;
            if (i == 5) c.data = "15";
            if (i == 6) r.fromChainId = 16;
            if (i == 7) r.fromPort = address(17);
            if (i == 8) r.toChainId = 18;
            if (i == 9) r.toPort = address(19);
            ids[i] = GmpMessages.idOf(r, c);
            for (uint256 j = 0; j < i; ++j) {
                vm.assertNotEq(ids[i], ids[j]);
            }
        }
    }

    /// forge-config: default.fuzz.runs = 256
    function testFuzz_bytesOfAnybodyAreReadWithoutAnError(bytes memory noise) public view {
        this.methodOf(noise);
        (bool valid,) = this.parseCall(noise);
        vm.assertFalse(valid);
        (valid,,,) = this.parseResult(noise);
        vm.assertFalse(valid);
        this.parseOutcome(noise);
    }

    /// forge-config: default.fuzz.runs = 128
    function testFuzz_whatThePortAnswersIsRead(bytes32 messageId, bool ok, bytes memory ret) public view {
        bytes memory message = abi.encode(ResultMsg(messageId, OutcomeType.Ok, GmpMessages.pack(ok, ret)));
        (bytes32 id2, bool ok2, bytes memory ret2) = this.parseOutcome(message);
        vm.assertEq(id2, messageId);
        vm.assertEq(ok2, ok);
        vm.assertEq(ret2, ret);
        message = abi.encode(ResultMsg(messageId, OutcomeType.ActorErr, ret));
        (id2, ok2, ret2) = this.parseOutcome(message);
        vm.assertEq(id2, messageId);
        vm.assertFalse(ok2);
        vm.assertEq(ret2, ret);
    }
}
