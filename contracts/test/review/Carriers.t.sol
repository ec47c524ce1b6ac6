// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Handler} from "../root/Recipients.sol";
import {RootFixture} from "../root/RootFixture.sol";
import {SubnetFixture} from "../subnet/SubnetFixture.sol";
import {Mutations} from "./Calldata.t.sol";

/// @dev Sends the bytes it is given.
contract Courier {
    function send(address to, bytes calldata data) external payable returns (bool ok, bytes memory ret) {
        (ok, ret) = to.call{value: msg.value}(data);
    }

    /// @dev As the compiler reads the arguments of a send, one by one.
    function sendContractXnetMessage(IpcEnvelope calldata e)
        external
        pure
        returns (bytes memory account, uint256 value, bytes memory message, uint64 asked)
    {
        abi.decode(e.message, (CallMsg));
        require(e.to.subnetId.route.length == 0 && e.to.rawAddress.addrType == 4);
        return (e.to.rawAddress.payload, e.value, e.message, e.originalNonce & Envelopes.ASKED);
    }
}

/// @dev Whatever calldata a batch comes in: what the validators signed is applied,
/// or nothing.
contract LooseBatchesTest is RootFixture, Mutations {
    function testFuzz_rule25_aBatchIsAppliedAsItWasSigned(uint256 how, uint8 times, bool call_) public {
        Handler handler = new Handler();
        _fund(bob, 50 ether);
        IpcEnvelope memory e =
            call_ ? callUp(address(handler), 2 ether) : transferUp(address(handler), 2 ether);
        _push(e);
        _push(transferUp(bob, 3 ether));
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 2);
        bytes memory data = abi.encodeCall(actor.execBottomUpMsgBatch, (height, list));
        (bool ok,) = address(actor).call{gas: 8_000_000}(mutate(data, how, times % 3));
        (, uint64 applied) = gateway.getAppliedBottomUpNonce(subnetId());
        vm.assertEq(applied != 0, ok);
        vm.assertEq(flt.balanceOf(address(handler)), applied > 0 ? 2 ether : 0);
        vm.assertEq(flt.balanceOf(bob), applied > 1 ? 3 ether : 0);
        if (call_ && ok) vm.assertEq(handler.lastHash(), keccak256(abi.encode(e)));
        vm.assertEq(counters().unlocked, (applied > 0 ? 2 ether : 0) + (applied > 1 ? 3 ether : 0));
        vm.assertEq(counters().quarantined, 0);
        // Whoever comes next can still apply the rest.
        if (applied < 2) actor.execBottomUpMsgBatch(height, list);
        vm.assertEq(flt.balanceOf(bob), 3 ether);
        vm.assertEq(flt.balanceOf(address(handler)), 2 ether);
    }
}

/// @dev Whatever calldata a contract sends with: what is committed is what the
/// compiler reads in it, and nothing else.
contract LooseSendsTest is SubnetFixture, Mutations {
    Courier private courier;

    function setUp() public override {
        super.setUp();
        courier = new Courier();
        vm.recordLogs();
    }

    function testFuzz_whatIsCommittedIsWhatWasSent(uint256 how, uint8 times, bytes memory params, bool coin)
        public
    {
        IpcEnvelope memory e = envelopeOf(how);
        e.value = coin ? 1 ether : 0;
        e.to = _atRoot(REMOTE);
        e.message = abi.encode(CallMsg(hex"01020304", params));
        bytes memory data = mutate(abi.encodeCall(gateway.sendContractXnetMessage, (e)), how, times % 4);
        (bool ok, bytes memory ret) = courier.send{value: e.value + FEE}(AT, data);
        if (times % 4 == 0 && data.length > 2000) vm.assertTrue(ok);
        IpcEnvelope[] memory sent = _sent();
        vm.assertEq(sent.length, ok ? 1 : 0);
        vm.assertEq(uint256(gateway.bottomUpNonce()), ok ? 1 : 0);
        if (!ok) return;
        IpcEnvelope memory s = sent[0];
        vm.assertEq(ret, abi.encode(s));
        (bool readable, bytes memory read) = address(courier).call(data);
        vm.assertTrue(readable);
        (bytes memory account, uint256 value, bytes memory message, uint64 asked) =
            abi.decode(read, (bytes, uint256, bytes, uint64));
        vm.assertEq(abi.encode(s.to), abi.encode(IPCAddress(_root(), FvmAddress(4, account))));
        vm.assertEq(abi.encode(s.from), abi.encode(_inSubnet(address(courier))));
        vm.assertEq(s.value, value);
        vm.assertEq(value, e.value);
        vm.assertEq(s.message, message);
        vm.assertEq(uint256(s.originalNonce), asked);
        vm.assertTrue(s.kind == IpcMsgKind.Call);
        _books();
    }
}
