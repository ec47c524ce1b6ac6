// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AxelarLink} from "../../src/gmp/AxelarLink.sol";
import {GmpEnd} from "../../src/gmp/GmpEnd.sol";
import {GmpMessages} from "../../src/gmp/GmpMessages.sol";
import {GmpPort, GmpPortParams} from "../../src/gmp/GmpPort.sol";
import {GmpRouter, GmpRouterParams} from "../../src/gmp/GmpRouter.sol";
import {GmpSubnetPort, GmpSubnetPortParams} from "../../src/gmp/GmpSubnetPort.sol";
import {GmpCall, IGmpRouter} from "../../src/interfaces/IGmp.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import "../../src/ipc/Types.sol";
import {PeerLink} from "../../src/withdraw/PeerLink.sol";
import {GmpWorld} from "./GmpWorld.sol";
import {Does, Subject} from "./Subject.sol";

/// @dev What the three contracts refuse, promise and say, one by one.
contract GmpPortsTest is GmpWorld {
    bytes32 private made;

    function test_whatTheFarSideWouldRefuseIsRefusedAtOnce() public {
        address[6] memory nobody = [
            address(0),
            address(9),
            address(uint160(0xff << 152 | 77)),
            address(uint160(0xfe << 152 | 2)),
            GATEWAY_AT,
            GMP_AT
        ];
        bytes memory most = new bytes(2048);
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(abi.encodeWithSelector(GmpEnd.InvalidTarget.selector, nobody[i]));
            _fromL1(nobody[i], "", 0);
        }
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.DataTooLong.selector, 2049, 2048));
        _fromL1(bob, bytes.concat(most, hex"00"), 0);
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.GasOutOfRange.selector, SUBNET_MAX + 1, SUBNET_MAX));
        _fromL1(bob, most, SUBNET_MAX + 1);
        _fromL1(bob, most, SUBNET_MAX);
        vm.assertEq(uint256(port.nonce()), 1);
        vm.assertEq(port.waiting(made), address(this));

        nobody[5] = address(port);
        vm.deal(address(this), 1 ether);
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(abi.encodeWithSelector(GmpEnd.InvalidTarget.selector, nobody[i]));
            _fromSubnet(FEE, nobody[i], "", 0);
        }
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.DataTooLong.selector, 2049, 2048));
        _fromSubnet(FEE, bob, bytes.concat(most, hex"00"), 0);
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.GasOutOfRange.selector, L1_MAX + 1, L1_MAX));
        _fromSubnet(FEE, bob, most, L1_MAX + 1);
        uint256[3] memory values = [uint256(0), FEE - 1, FEE + 1];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(GmpSubnetPort.WrongValue.selector, FEE, values[i]));
            _fromSubnet(values[i], bob, most, L1_MAX);
        }
        _fromSubnet(FEE, bob, most, L1_MAX);
        vm.assertEq(uint256(far.nonce()), 1);
        vm.assertEq(far.waiting(made), address(this));
        emptyHanded();
    }

    function _fromL1(address to, bytes memory data, uint64 gas_) private {
        made = port.call(to, data, gas_);
    }

    function _fromSubnet(uint256 value, address to, bytes memory data, uint64 gas_) private {
        made = far.call{value: value}(to, data, gas_);
    }

    /// @dev With the most data and the most gas, all of it used, and the most
    /// returned.
    function test_theLimitsFitEveryLane() public {
        uint64 most = far.maxGasHere();
        vm.assertGe(uint256(most), SUBNET_MAX);
        bytes memory data = new bytes(2048);
        data[0] = bytes1(uint8(Does.BurnAll));
        data[32] = 0x7f; // as many bytes come back
        GmpCall memory c = GmpCall(7, address(here), address(there), most, data);
        issue(true, address(port), address(router), GmpMessages.encode(c));
        relay();
        vm.assertEq(down[down.length - 1].length, 3648);
        carryDown();
        bytes32 id = far.incomingId(c);
        vm.assertTrue(heard[id].executedOk);
        vm.assertEq(heard[id].executedRet, new bytes(127));
        vm.assertGe(uint256(there.seen(id).gas) + 1_000, most);
        carryUp();
        approveAll(); // nobody on Ethereum waits for that

        data[31] = 0x04; // 1,024
        data[32] = 0x00;
        (bytes32 upId,) = callUp(address(there), address(here), data, 0);
        collect();
        vm.assertEq(up[up.length - 1].length, 3648);
        carryUpAndBack();
        vm.assertTrue(heard[upId].executedOk && heard[upId].taken);
        vm.assertEq(heard[upId].ret, new bytes(1024));
        vm.assertGe(uint256(here.seen(upId).gas) + 1_000, L1_MAX);
        vm.assertGe(uint256(there.told(upId).gas) + 1_000, TELL_GAS);
    }

    /// @dev All that is promised at once, in the smallest subnet gateway that a port
    /// takes.
    function test_rule14_whatThePortPromisesIsThereWhateverTheGatewayGives() public {
        uint256[3] memory gases = [uint256(321_000), 700_000, 2_000_000];
        for (uint256 i = 0; i < 3; ++i) {
            vm.mockCall(
                GATEWAY_AT, abi.encodeWithSelector(ISubnetGateway.messageGas.selector), abi.encode(gases[i])
            );
            GmpSubnetPortParams memory p = subnetPortParams();
            p.callbackGas = uint64((gases[i] - 160_000) / 64 * 63);
            GmpSubnetPort other = new GmpSubnetPort(p);
            bytes memory data = new bytes(2048);
            data[0] = bytes1(uint8(Does.BurnAll));
            data[32] = 0x7f;
            uint64 most = other.maxGasHere();
            IpcEnvelope memory e =
                _fromRouter(GmpMessages.encode(GmpCall(3, address(here), address(there), most, data)));
            vm.prank(GATEWAY_AT);
            (bool ok, bytes memory ret) =
                address(other).call{gas: gases[i]}(abi.encodeCall(other.handleIpcMessage, (e)));
            vm.assertTrue(ok);
            vm.assertEq(ret, bytes.concat(hex"01", new bytes(127)));

            vm.deal(address(there), FEE);
            vm.prank(address(there));
            bytes32 id = other.call{value: FEE}(bob, "", 0);
            e = _fromRouter(GmpMessages.encodeResult(id, true, new bytes(1024)));
            vm.prank(GATEWAY_AT);
            (ok, ret) = address(other).call{gas: gases[i]}(abi.encodeCall(other.handleIpcMessage, (e)));
            vm.assertTrue(ok);
            vm.assertTrue(other.isResult(id, true, new bytes(1024)));
            vm.assertGe(uint256(there.told(id).gas) + 1_000, p.callbackGas);
            vm.clearMockedCalls();
        }
    }

    function _fromRouter(bytes memory message) private view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.from = IPCAddress({subnetId: rootId(), rawAddress: _fvm(address(router))});
        e.to = IPCAddress({subnetId: subnetId(), rawAddress: _fvm(GMP_AT)});
        e.message = message;
    }

    /// @dev A starved one reverts instead, and its sender is told by the gateway.
    function test_rule14_aPortThatGetsLessThanThatDoesNotExecute() public {
        bytes memory data = doing(Does.Need, abi.encode(SUBNET_MAX - 1_000));
        GmpCall memory c = GmpCall(3, address(here), address(there), SUBNET_MAX, data);
        bytes memory call_ = abi.encodeCall(far.handleIpcMessage, (_fromRouter(GmpMessages.encode(c))));
        bool ok;
        bytes memory ret;
        for (uint256 gas_ = 200_000; !ok; gas_ += 2_000) {
            vm.prank(GATEWAY_AT);
            (ok, ret) = GMP_AT.call{gas: gas_}(call_);
        }
        vm.assertEq(ret, hex"01");
    }

    function test_onlyWeCallOurselves() public {
        GmpCall memory c = GmpCall(3, alice, address(there), SUBNET_MAX, "");
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.NotSelf.selector, address(this)));
        port.runAsSelf("id", c);
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.NotSelf.selector, address(this)));
        far.runAsSelf("id", c);
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotSelf.selector, address(this)));
        router.sendAsSelf("id", IGmpRouter.Leg.CallUp, "");
    }

    function test_onlyRefusalsOfItsOwnCallsAreHeard() public {
        (bytes32 id,) = callUp(address(there), address(here), "", 0);
        collect();
        IpcEnvelope memory sent = abi.decode(up[up.length - 1], (IpcEnvelope));
        bytes32 tracingId = Envelopes.tracingId(sent);
        vm.assertEq(far.inflight(tracingId), id);
        IpcEnvelope memory e = Envelopes.resultFor(sent, OutcomeType.ActorErr, "");
        vm.startPrank(GATEWAY_AT);
        e.message = abi.encode(ResultMsg({id: "unknown", outcome: OutcomeType.ActorErr, ret: ""}));
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        far.handleIpcMessage(e);
        // A foreign gateway answers what succeeded, too.
        e.message = abi.encode(ResultMsg({id: tracingId, outcome: OutcomeType.Ok, ret: ""}));
        far.handleIpcMessage(e);
        vm.assertEq(far.inflight(tracingId), 0);
        vm.assertEq(far.waiting(id), address(there));
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        far.handleIpcMessage(e);
        vm.stopPrank();
        // The result itself comes all the same.
        carryUpAndBack();
        vm.assertTrue(heard[id].ok);
    }

    /// @dev Or the second would be forgotten.
    function test_aGatewayWhoseIdsRepeatIsRefused() public {
        IpcEnvelope memory same;
        bytes32 tracingId = Envelopes.tracingId(same);
        bytes4 selector = ISubnetGateway.sendContractXnetMessage.selector;
        vm.mockCall(GATEWAY_AT, abi.encodeWithSelector(selector), abi.encode(same));
        callUp(bob, address(here), "", 0);
        vm.deal(address(this), FEE);
        vm.expectRevert(abi.encodeWithSelector(GmpSubnetPort.DuplicateMessage.selector, tracingId));
        _fromSubnet(FEE, address(here), "", 0);
        vm.clearMockedCalls();

        vm.mockCall(address(gateway), abi.encodeWithSelector(selector), abi.encode(same));
        (bytes32 first,) = callDown(alice, address(there), "", 0);
        (bytes32 second,) = callDown(alice, address(there), "", 0);
        relay();
        vm.clearMockedCalls();
        vm.assertEq(router.inflight(tracingId), first);
        stage(second, IGmpRouter.Leg.CallDown, IGmpRouter.Stage.Kept);
        vm.assertEq(
            heard[second].detail, abi.encodeWithSelector(GmpRouter.DuplicateMessage.selector, tracingId)
        );
    }

    /// @dev Whatever the Result of a call sent down says, it is taken in.
    function test_rule43_anyAnswerOfTheSubnetIsAResult() public {
        bytes[6] memory messages = [
            abi.encode(ResultMsg("", OutcomeType.Ok, "")),
            abi.encode(ResultMsg("", OutcomeType.Ok, hex"02ff")),
            abi.encode(ResultMsg("", OutcomeType.Ok, hex"01ff")),
            abi.encode(ResultMsg("", OutcomeType.SystemErr, hex"01ff")),
            abi.encode(uint256(32), uint256(0), uint256(77), uint256(96), uint256(0)),
            abi.encode(uint256(32), uint256(0), uint256(0), uint256(96), uint256(1 << 200))
        ];
        bool[6] memory oks = [false, false, true, false, false, false];
        bytes[6] memory rets = [bytes(""), hex"ff", hex"ff", hex"01ff", "", ""];
        for (uint256 i = 0; i < 6; ++i) {
            (bytes32 id,) = callDown(address(here), address(there), "", 0);
            relay();
            IpcEnvelope memory sent = abi.decode(down[down.length - 1], (IpcEnvelope));
            IpcEnvelope memory e = Envelopes.resultFor(sent, OutcomeType.Ok, "");
            e.message = messages[i];
            bytes32 messageId = Envelopes.tracingId(sent);
            bytes memory m = e.message;
            assembly ("memory-safe") {
                mstore(add(m, 0x40), messageId)
            }
            vm.prank(address(gateway));
            router.handleIpcMessage(e);
            relay();
            vm.assertEq(heard[id].results, 1);
            vm.assertEq(heard[id].ok, oks[i]);
            vm.assertEq(heard[id].ret, rets[i]);
        }
        // One too short to name anything.
        IpcEnvelope memory short_ = _fromRouter(new bytes(159));
        (short_.from, short_.to) = (short_.to, short_.from);
        short_.kind = IpcMsgKind.Result;
        vm.prank(address(gateway));
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        router.handleIpcMessage(short_);
    }

    // ---- anything

    /// forge-config: default.fuzz.runs = 12
    function testFuzz_anyCallArrivesAsItWasMade(address from, bytes memory rest, uint64 gas_) public {
        vm.assume(uint160(from) > type(uint16).max && from.code.length == 0);
        if (rest.length > 2047) {
            assembly ("memory-safe") {
                mstore(rest, 2047)
            }
        }
        bytes memory data = doing(Does.Echo, rest);
        gas_ = uint64(bound(gas_, 100_000, SUBNET_MAX));
        (bytes32 id,) = callDown(from, address(there), data, gas_);
        (bytes32 upId,) = callUp(from, address(here), data, gas_);
        carryDownAndBack();
        carryUpAndBack();
        _arrived(id, there, from, data, L1_ID);
        _arrived(upId, here, from, data, rootChainId);
        vm.assertEq(heard[id].ok, rest.length <= 127);
        vm.assertEq(heard[upId].ok, rest.length <= 1024);
        if (heard[id].ok) vm.assertEq(heard[id].ret, rest);
        if (heard[upId].ok) vm.assertEq(heard[upId].ret, rest);
    }

    function _arrived(bytes32 id, Subject target, address from, bytes memory data, uint256 chainId)
        private
        view
    {
        vm.assertEq(heard[id].executions, 1);
        vm.assertEq(heard[id].results, 1);
        Subject.Seen memory s = target.seen(id);
        if (!heard[id].ok) {
            vm.assertEq(uint256(s.times), 0);
            return;
        }
        vm.assertEq(uint256(s.times), 1);
        vm.assertEq(s.sender, from);
        vm.assertEq(s.dataHash, keccak256(data));
        vm.assertEq(uint256(s.chainId), chainId);
    }

    /// @dev The dearest legs, with a half to spare (PROTOCOL 14).
    function test_rule14_aLegHasMoreThanItNeeds() public {
        bytes memory data = new bytes(2048);
        GmpCall memory c = GmpCall(7, alice, address(there), 1, data);
        _legCosts(IGmpRouter.Leg.CallDown, GmpMessages.encode(c));
        _legCosts(IGmpRouter.Leg.CallUp, GmpMessages.encode(c));
        _legCosts(IGmpRouter.Leg.ResultDown, GmpMessages.encodeResult("id", true, new bytes(1024)));
        _legCosts(IGmpRouter.Leg.ResultUp, GmpMessages.encodeResult("id", true, new bytes(128)));
    }

    function _legCosts(IGmpRouter.Leg leg, bytes memory message) private {
        uint256 before = gasleft();
        vm.prank(address(router));
        router.sendAsSelf("id", leg, message);
        vm.assertLe((before - gasleft()) * 3 / 2, router.legGas());
    }

    /// @dev The code is the same wherever its constructor runs: it fits a genesis.
    function test_nothingOfThePortDependsOnWhereItIsMade() public {
        GmpSubnetPortParams memory p = subnetPortParams();
        toL1();
        GmpSubnetPort elsewhere = new GmpSubnetPort(p);
        toRoot();
        vm.assertEq(address(elsewhere).code, GMP_AT.code);
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(vm.load(GMP_AT, bytes32(i)), 0);
        }
    }

    function test_incompleteContractsAreNotMade() public {
        for (uint256 i = 0; i < 8; ++i) {
            GmpPortParams memory p = portParams(address(router));
            if (i == 0) p.axelarGateway = carol;
            if (i == 1) p.rootChain = "";
            if (i == 2) p.router = address(0);
            if (i == 3) p.gasService = carol;
            if (i == 4) p.subnetChainId = 0;
            if (i == 5) p.subnetPort = address(0);
            if (i == 6) p.maxGas = 0;
            if (i == 7) p.callbackGas = 0;
            bytes4 expected = i < 3 ? AxelarLink.InvalidLink.selector : GmpEnd.InvalidConfiguration.selector;
            _isNotMade(abi.encodeCall(this.makePort, (p)), expected);
        }
        for (uint256 i = 0; i < 7; ++i) {
            GmpRouterParams memory p = routerParams();
            if (i == 0) p.l1ChainId = 0;
            if (i == 1) p.subnetChainId = 0;
            if (i == 2) p.subnetChainId = p.l1ChainId;
            if (i == 3) p.subnet.route = new address[](0);
            if (i == 4) p.axelarGateway = carol;
            if (i == 5) p.gateway = address(0);
            if (i == 6) p.subnetPort = address(0);
            bytes4 expected = GmpRouter.InvalidConfiguration.selector;
            if (i == 4) expected = AxelarLink.InvalidLink.selector;
            if (i > 4) expected = PeerLink.InvalidPeer.selector;
            _isNotMade(abi.encodeCall(this.makeRouter, (p)), expected);
        }
        for (uint256 i = 0; i < 7; ++i) {
            GmpSubnetPortParams memory p = subnetPortParams();
            if (i == 0) p.l1ChainId = 0;
            if (i == 1) p.l1Port = address(0);
            if (i == 2) p.maxGas = 0;
            if (i == 3) p.callbackGas = 0;
            if (i == 4) p.callbackGas = 340_000;
            if (i == 5) p.rootNetwork.route = new address[](1);
            if (i == 6) p.router = address(0);
            bytes4 expected = i == 6 ? PeerLink.InvalidPeer.selector : GmpEnd.InvalidConfiguration.selector;
            _isNotMade(abi.encodeCall(this.makeSubnetPort, (p)), expected);
        }
        uint256[2] memory gases = [uint256(320_000), 1 << 64];
        for (uint256 i = 0; i < 2; ++i) {
            vm.mockCall(
                GATEWAY_AT, abi.encodeWithSelector(ISubnetGateway.messageGas.selector), abi.encode(gases[i])
            );
            GmpSubnetPortParams memory p = subnetPortParams();
            p.callbackGas = 1;
            _isNotMade(abi.encodeCall(this.makeSubnetPort, (p)), GmpEnd.InvalidConfiguration.selector);
        }
    }

    function makePort(GmpPortParams memory p) external {
        new GmpPort(p);
    }

    function makeRouter(GmpRouterParams memory p) external {
        new GmpRouter(p);
    }

    function makeSubnetPort(GmpSubnetPortParams memory p) external {
        new GmpSubnetPort(p);
    }

    function _isNotMade(bytes memory call_, bytes4 expected) private {
        (bool ok, bytes memory ret) = address(this).call(call_);
        vm.assertFalse(ok, "made");
        vm.assertEq(ret, abi.encodePacked(expected));
    }

    function test_theySayWhatTheyAreMadeOf() public view {
        (address at, string memory chain, address account) = port.axelarLink();
        vm.assertEq(at, l1.gateway);
        vm.assertEq(chain, ROOT_NAME);
        vm.assertEq(account, address(router));
        vm.assertEq(port.gasService(), gasService);
        (uint256 chainId, address end) = port.farEnd();
        vm.assertEq(chainId, rootChainId);
        vm.assertEq(end, GMP_AT);
        (uint256 maxData, uint64 maxGas, uint64 callbackGas, uint256 maxRet) = port.limits();
        vm.assertEq(maxData, 2048);
        vm.assertEq(uint256(maxGas), SUBNET_MAX);
        vm.assertEq(uint256(callbackGas), TELL_GAS);
        vm.assertEq(maxRet, 1024);

        (chainId, end) = far.farEnd();
        vm.assertEq(chainId, L1_ID);
        vm.assertEq(end, address(port));
        (maxData, maxGas, callbackGas, maxRet) = far.limits();
        vm.assertEq(maxData, 2048);
        vm.assertEq(uint256(maxGas), L1_MAX);
        vm.assertEq(uint256(callbackGas), TELL_GAS);
        vm.assertEq(maxRet, 127);
        vm.assertEq(far.gateway(), GATEWAY_AT);

        (at, chain, account) = router.axelarLink();
        vm.assertEq(at, root.gateway);
        vm.assertEq(chain, L1_NAME);
        vm.assertEq(account, address(port));
        vm.assertEq(router.gateway(), address(gateway));
        vm.assertEq(router.patience(), PATIENCE);
        vm.assertEq(router.legGas(), IGateway(address(gateway)).messageGas() / 2);
        IPCAddress memory peer = router.peerAddress();
        vm.assertTrue(Envelopes.same(peer.subnetId, subnetId()));
        vm.assertEq(peer.rawAddress.payload, _fvm(GMP_AT).payload);
    }
}
