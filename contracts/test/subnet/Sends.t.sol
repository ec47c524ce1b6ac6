// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Vm} from "../Base.sol";
import "../../src/ipc/Types.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {BottomUp} from "../../src/subnet/BottomUp.sol";
import {GatewayBase} from "../../src/subnet/GatewayBase.sol";
import {Ledger} from "../../src/subnet/Ledger.sol";
import {Recipient, Starver} from "./Recipients.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

contract SendsTest is SubnetFixture {
    // Golden: {Transfer, nonces 7, 1e18, to (root, ALICE), from (child, ALICE)}.
    bytes32 private constant E7_HASH = 0x7449a6e7629346950fd1c382370e6046f72359f999f3130b0e25266ce73a6a50;
    bytes32 private constant E7_ID = 0xa60594f797a57d37441e87c0328c0b0ae5d86a9cb9b63f5a124671cacb81d856;
    bytes32 private constant E7_LEAF = 0xbaffe668245f56b7125f10cb6f91c5acb20b070fa040c5783c2497e598c24619;

    Recipient private sender;

    function setUp() public override {
        super.setUp();
        sender = new Recipient(gateway);
    }

    function _call(uint256 value) private pure returns (IpcEnvelope memory e) {
        e.to = _atRoot(REMOTE);
        e.value = value;
        e.message = abi.encode(CallMsg(hex"01020304", hex"05"));
    }

    function _send(IpcEnvelope memory e) private returns (IpcEnvelope memory) {
        return sender.send{value: e.value + FEE}(e);
    }

    function _refused(IpcEnvelope memory e, bytes memory why) private {
        vm.expectRevert(why);
        _send(e);
    }

    // ---- wire format

    function test_golden_aReleaseHashesAsThePublishedContractsWould() public {
        for (uint256 i = 0; i < 7; ++i) {
            gateway.release{value: 1000 + FEE}(Fvm.from(BOB));
        }
        vm.expectEmit(AT);
        emit ISubnetGateway.QueuedBottomUpMessage(E7_ID);
        vm.recordLogs();
        vm.prank(ALICE);
        gateway.release{value: 1 ether + FEE}(Fvm.from(ALICE));
        IpcEnvelope memory e = _sent()[0];
        vm.assertEq(keccak256(abi.encode(e)), E7_HASH);
        vm.assertEq(Envelopes.leaf(e), E7_LEAF);
        vm.assertEq(e.localNonce, 7);
        vm.assertEq(e.originalNonce, 7);
    }

    function test_golden_publishedTopicsAndSelectors() public pure {
        vm.assertEq(
            ISubnetGateway.QueuedBottomUpMessage.selector,
            bytes32(0x9fca8d7f48c38bf83a8ad097637c3e1e42dcb831eec5b6138e0b505397ac315f)
        );
        vm.assertEq(
            ISubnetGateway.MembershipUpdated.selector,
            bytes32(0x7ecdac482334c36fccbe374318cfe74ea0c8181394890ddec894a10f0fcc7481)
        );
        vm.assertEq(bytes32(ISubnetGateway.release.selector), bytes32(bytes4(0x6b2c1eef)));
        vm.assertEq(bytes32(ISubnetGateway.sendContractXnetMessage.selector), bytes32(bytes4(0x2c85ec2c)));
        vm.assertEq(bytes32(ISubnetGateway.getNetworkName.selector), bytes32(bytes4(0x94074b03)));
        vm.assertEq(bytes32(ISubnetGateway.appliedTopDownNonce.selector), bytes32(bytes4(0x8789f83b)));
        vm.assertEq(bytes32(ISubnetGateway.getCurrentMembership.selector), bytes32(bytes4(0x6ad21bb0)));
        vm.assertEq(bytes32(GatewayBase.InvalidXnetMessage.selector), bytes32(bytes4(0xbc0f01cf)));
        vm.assertEq(bytes32(GatewayBase.NotEnoughBalance.selector), bytes32(bytes4(0xad3a8b9e)));
        vm.assertEq(bytes32(GatewayBase.NotEnoughSubnetCircSupply.selector), bytes32(bytes4(0x74db2854)));
        vm.assertEq(bytes32(GatewayBase.ParentFinalityAlreadyCommitted.selector), bytes32(bytes4(0x2a75b082)));
        vm.assertEq(bytes32(GatewayBase.InvalidConfigurationNumber.selector), bytes32(bytes4(0x6ae94ca4)));
        vm.assertEq(bytes32(GatewayBase.InvalidSubnet.selector), bytes32(bytes4(0x076bb706)));
        vm.assertEq(bytes32(Fvm.NotDelegatedEvmAddress.selector), bytes32(bytes4(0xc5f8961f)));
    }

    // ---- release

    function test_rule28_aReleaseMovesItsValueLessTheFee() public {
        vm.recordLogs();
        vm.prank(ALICE);
        gateway.release{value: 2 ether + FEE}(Fvm.from(BOB));
        IpcEnvelope memory e = _sent()[0];
        vm.assertEq(uint256(e.kind), uint256(IpcMsgKind.Transfer));
        vm.assertEq(e.value, 2 ether);
        vm.assertEq(keccak256(abi.encode(e.to)), keccak256(abi.encode(_atRoot(BOB))));
        vm.assertEq(keccak256(abi.encode(e.from)), keccak256(abi.encode(_inSubnet(ALICE))));
        vm.assertEq(e.message.length, 0);
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(c.returned, 2 ether);
        vm.assertEq(c.feesIn, FEE);
        vm.assertEq(gateway.circSupply(), PREFUND - 2 ether);
        _books();
    }

    function test_release_ofNothingIsInvalid() public {
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        gateway.release{value: FEE}(Fvm.from(BOB));
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        gateway.release{value: FEE - 1}(Fvm.from(BOB));
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        gateway.release(Fvm.from(BOB));
    }

    function test_rule28_aReleaseBelowTheMinimumReverts() public {
        vm.expectRevert(abi.encodeWithSelector(BottomUp.BelowMinimum.selector, 1000));
        gateway.release{value: FEE + 999}(Fvm.from(BOB));
        gateway.release{value: FEE + 1000}(Fvm.from(BOB));
    }

    function test_rule16_noSendReachesAForbiddenRecipient() public {
        // The root's gateway would keep what is sent to it in quarantine for ever.
        address[8] memory bad = [
            address(0),
            AT,
            address(5),
            address(99),
            0xfF00000000000000000000000000000000000000,
            0xff00000000000000000000000000000000000040,
            ACTOR,
            ROOT_GATEWAY
        ];
        vm.assertEq(gateway.rootGateway(), ROOT_GATEWAY);
        for (uint256 i = 0; i < bad.length; ++i) {
            bytes memory why = abi.encodeWithSelector(Ledger.ForbiddenRecipient.selector, bad[i]);
            vm.expectRevert(why);
            gateway.release{value: 1 ether}(Fvm.from(bad[i]));
            IpcEnvelope memory e = _call(0);
            e.to = _atRoot(bad[i]);
            _refused(e, why);
        }
        bytes memory notEvm = abi.encodeWithSelector(Fvm.NotDelegatedEvmAddress.selector);
        vm.expectRevert(notEvm);
        gateway.release{value: 1 ether}(FvmAddress(1, abi.encodePacked(BOB)));
        IpcEnvelope memory f = _call(0);
        f.to.rawAddress.addrType = 1;
        _refused(f, notEvm);
    }

    function test_rule31_noMoreGoesUpThanCirculates() public {
        vm.deal(ALICE, 2000 ether);
        vm.startPrank(ALICE);
        gateway.release{value: PREFUND - 1 ether + FEE}(Fvm.from(BOB));
        vm.expectRevert(GatewayBase.NotEnoughSubnetCircSupply.selector);
        gateway.release{value: 1 ether + 1 + FEE}(Fvm.from(BOB));
        gateway.release{value: 1 ether + FEE}(Fvm.from(BOB));
        vm.stopPrank();
        vm.assertEq(gateway.circSupply(), 0);
    }

    // ---- sendContractXnetMessage

    function test_send_forcesKindSenderAndNonces() public {
        IpcEnvelope memory e = _call(1 ether);
        e.kind = IpcMsgKind.Transfer;
        e.localNonce = 77;
        e.originalNonce = 88;
        e.from = _atRoot(BOB);
        vm.recordLogs();
        IpcEnvelope memory c = _send(e);
        IpcEnvelope memory logged = _sent()[0];
        vm.assertEq(keccak256(abi.encode(c)), keccak256(abi.encode(logged)));
        vm.assertEq(uint256(c.kind), uint256(IpcMsgKind.Call));
        vm.assertEq(c.localNonce, 0);
        vm.assertEq(c.originalNonce, 0);
        vm.assertEq(c.value, 1 ether);
        vm.assertEq(keccak256(abi.encode(c.from)), keccak256(abi.encode(_inSubnet(address(sender)))));
        vm.assertEq(keccak256(abi.encode(c.to)), keccak256(abi.encode(e.to)));
        vm.assertEq(c.message, e.message);
        vm.assertEq(_send(e).localNonce, 1);
        vm.assertEq(gateway.bottomUpNonce(), 2);
        _books();
    }

    function test_rule57_aCallOfValueZeroMayGoUp() public {
        IpcEnvelope memory c = _send(_call(0));
        vm.assertEq(c.value, 0);
        vm.assertEq(gateway.getCounters().returned, 0);
        vm.assertEq(gateway.getCounters().feesIn, FEE);
    }

    function test_rule58_bit63IsKept() public {
        IpcEnvelope memory e = _call(0);
        _send(e);
        e.originalNonce = ASKED | 5;
        IpcEnvelope memory c = _send(e);
        vm.assertEq(c.localNonce, 1);
        vm.assertEq(c.originalNonce, ASKED | 1);
    }

    function test_rule28_valueIsTiedToMsgValue() public {
        IpcEnvelope memory e = _call(1 ether);
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        sender.send{value: 1 ether}(e);
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        sender.send{value: 1 ether + FEE + 1}(e);
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        sender.send(e);
        e.value = type(uint256).max;
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Value));
        sender.send{value: FEE}(e);
    }

    function test_send_isForContracts() public {
        vm.prank(ALICE);
        vm.expectRevert(_xnet(InvalidXnetMessageReason.Sender));
        gateway.sendContractXnetMessage{value: FEE}(_call(0));
    }

    function test_rule15_onlyThePeerIsADestination() public {
        IpcEnvelope memory e = _call(0);
        e.to.subnetId = SubnetID(0, new address[](0));
        _refused(e, _xnet(InvalidXnetMessageReason.DstSubnet));
        e.to.subnetId = SubnetID(ROOT + 1, new address[](0));
        _refused(e, _xnet(InvalidXnetMessageReason.DstSubnet));
        e.to.subnetId = _subnet();
        _refused(e, _xnet(InvalidXnetMessageReason.ReflexiveSend));
        e.to.subnetId.route[0] = BOB;
        _refused(e, _xnet(InvalidXnetMessageReason.DstSubnet));
        e.to.subnetId = SubnetID(ROOT, new address[](3));
        _refused(e, _xnet(InvalidXnetMessageReason.DstSubnet));
    }

    function test_rule15_anEnvelopeIsAtMost4KiB() public {
        IpcEnvelope memory e = _call(0);
        uint256 low = 0;
        uint256 high = 4096;
        // The largest params that pass.
        while (low < high) {
            uint256 mid = (low + high + 1) / 2;
            e.message = abi.encode(CallMsg(hex"01020304", new bytes(mid)));
            uint256 snapshot = vm.snapshotState();
            try sender.send{value: FEE}(e) {
                low = mid;
            } catch (bytes memory why) {
                // forge-lint: disable-next-line(unsafe-typecast)
                vm.assertEq(bytes32(bytes4(why)), bytes32(BottomUp.EnvelopeTooLarge.selector));
                high = mid - 1;
            }
            vm.revertToState(snapshot);
        }
        e.message = abi.encode(CallMsg(hex"01020304", new bytes(low)));
        IpcEnvelope memory c = _send(e);
        vm.assertEq(abi.encode(c).length, 4096);
    }

    function test_send_theMessageMustBeACall() public {
        IpcEnvelope memory e = _call(0);
        e.message = "";
        vm.expectRevert();
        sender.send{value: FEE}(e);
        e.message = hex"00";
        vm.expectRevert();
        sender.send{value: FEE}(e);
        e.message = abi.encode(uint256(1 << 200), uint256(2));
        vm.expectRevert();
        sender.send{value: FEE}(e);
        vm.assertEq(gateway.bottomUpNonce(), 0);
    }

    // ---- batches

    function test_rule58_anEpochKeepsFirstNonceCountAndRollingHash() public {
        bytes32 rolling = 0;
        vm.roll(3 * PERIOD - 1);
        for (uint256 i = 0; i < 3; ++i) {
            IpcEnvelope memory c = _send(_call(i));
            rolling = keccak256(abi.encodePacked(rolling, keccak256(abi.encode(c))));
        }
        _batch(3 * PERIOD, 0, 3, rolling);
        // A block at k·period belongs to the next epoch.
        vm.roll(3 * PERIOD);
        vm.recordLogs();
        IpcEnvelope memory d = _send(_call(9));
        _batch(3 * PERIOD, 0, 3, rolling);
        _batch(4 * PERIOD, 3, 1, keccak256(abi.encodePacked(bytes32(0), keccak256(abi.encode(d)))));
        _batch(5 * PERIOD, 0, 0, 0);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bool seen = false;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ISubnetGateway.BottomUpMessage.selector) continue;
            vm.assertEq(uint256(logs[i].topics[1]), 4 * PERIOD);
            vm.assertEq(uint256(logs[i].topics[2]), 3);
            vm.assertEq(keccak256(logs[i].data), keccak256(abi.encode(d)));
            seen = true;
        }
        vm.assertTrue(seen);
    }

    function _batch(uint256 epoch, uint64 first, uint64 count, bytes32 rolling) private view {
        (uint64 f, uint64 c, bytes32 r) = gateway.bottomUpBatchInfo(epoch);
        vm.assertEq(f, first);
        vm.assertEq(c, count);
        vm.assertEq(r, rolling);
    }

    function test_rule28_aPeriodHasACapAndResultsAreExempt() public {
        for (uint256 i = 0; i < 200; ++i) {
            gateway.release{value: 1000 + FEE}(Fvm.from(BOB));
        }
        vm.expectRevert(abi.encodeWithSelector(BottomUp.PeriodFull.selector, PERIOD));
        gateway.release{value: 1000 + FEE}(Fvm.from(BOB));
        _refused(_call(0), abi.encodeWithSelector(BottomUp.PeriodFull.selector, PERIOD));

        // A failure Result of a single wei: no fee, no minimum, no cap.
        ISubnetGateway.Counters memory before = gateway.getCounters();
        sender.set(Recipient.Mode.Refuse);
        _arrive(_callTo(address(sender), 1, false));
        vm.assertEq(gateway.bottomUpNonce(), 201);
        vm.assertEq(gateway.getCounters().feesIn, before.feesIn);

        vm.roll(PERIOD);
        gateway.release{value: 1000 + FEE}(Fvm.from(BOB));
        _books();
    }

    // ---- the pot

    function test_rule28_thePotPaysWhoeverDelivers() public {
        gateway.release{value: 1000 + FEE}(Fvm.from(BOB)); // pot: 10 rewards
        IpcEnvelope[] memory list = new IpcEnvelope[](4);
        for (uint256 i = 0; i < 4; ++i) {
            list[i] = _transfer(BOB, 1 ether);
        }
        _attestAll();
        vm.assertEq(RELAYER.balance, REWARD); // a statement that moves a nonce
        _deliver(_slice(list, 0, 3));
        vm.assertEq(RELAYER.balance, 4 * REWARD);
        // Only newly applied messages pay.
        _deliver(list);
        vm.assertEq(RELAYER.balance, 5 * REWARD);
        _deliver(list);
        vm.assertEq(RELAYER.balance, 5 * REWARD);
        // A statement that moves nothing pays nothing.
        _attestAll();
        vm.assertEq(RELAYER.balance, 5 * REWARD);
        vm.assertEq(gateway.getCounters().feesOut, 5 * REWARD);
        _books();
    }

    function test_rule28_thePotPaysOnlyWhileItLasts() public {
        IpcEnvelope[] memory list = new IpcEnvelope[](12);
        for (uint256 i = 0; i < 12; ++i) {
            list[i] = _transfer(BOB, 1 ether);
        }
        _attestAll();
        vm.assertEq(RELAYER.balance, 0);
        gateway.release{value: 1000 + FEE}(Fvm.from(BOB));
        _deliver(list);
        vm.assertEq(RELAYER.balance, FEE);
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(c.feesIn, c.feesOut);
        _arrive(_transfer(BOB, 1 ether));
        vm.assertEq(RELAYER.balance, FEE);
        vm.assertEq(gateway.appliedTopDownNonce(), 13);
        _books();
    }

    function test_rule28_aRewardThatIsRefusedStaysInThePot() public {
        gateway.release{value: 1000 + FEE}(Fvm.from(BOB));
        Starver refuses = new Starver();
        IpcEnvelope memory e = _transfer(BOB, 1 ether);
        _attestAll();
        bytes memory data = abi.encodeCall(ISubnetGateway.deliver, (_one(e), _tail(0)));
        uint256 before = gateway.getCounters().feesOut;
        (bool ok,) = refuses.run(AT, 2_000_000, data);
        vm.assertTrue(ok);
        vm.assertEq(gateway.getCounters().feesOut, before);
        vm.assertEq(gateway.appliedTopDownNonce(), 1);
        _books();
    }

    // ---- donations

    function test_rule29_aDonationChangesNothing() public {
        (bool ok,) = AT.call{value: 1 ether}("");
        vm.assertFalse(ok);
        vm.deal(AT, AT.balance + 5 ether); // selfdestruct, coinbase
        gateway.release{value: 1 ether + FEE}(Fvm.from(BOB));
        _arrive(_transfer(BOB, 2 ether));
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(gateway.circSupply(), c.preFunded + c.released - c.returned);
        vm.assertEq(c.released, 2 ether);
        vm.assertEq(c.returned, 1 ether);
    }

    function testFuzz_rule28_everySendIsCounted(uint96[8] memory values, uint8 which) public {
        vm.deal(address(this), 1e40);
        uint256 up = 0;
        uint256 fees = 0;
        for (uint256 i = 0; i < 8; ++i) {
            uint256 value = bound(values[i], 1000, 100 ether);
            if (which >> i & 1 == 0) gateway.release{value: value + FEE}(Fvm.from(BOB));
            else _send(_call(value));
            up += value;
            fees += FEE;
        }
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(c.returned, up);
        vm.assertEq(c.feesIn, fees);
        vm.assertEq(gateway.circSupply(), PREFUND - up);
        _books();
    }
}
