// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import "../../src/ipc/Errors.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {Vm} from "../Base.sol";
import {Handler} from "./Recipients.sol";
import {RootFixture} from "./RootFixture.sol";

contract TopDownTest is RootFixture {
    Handler internal sender;
    bytes32[] private seenIds;

    function setUp() public override {
        super.setUp();
        sender = new Handler();
        flt.mint(address(sender), 1_000_000 ether);
    }

    function _callDown(address to, uint256 value) internal view returns (IpcEnvelope memory e) {
        e.to = there(to);
        e.value = value;
        e.message = abi.encode(CallMsg(hex"aabbccdd", hex"01"));
    }

    function _refused(InvalidXnetMessageReason reason) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(InvalidXnetMessage.selector, reason);
    }

    // ---- deposits

    function test_aDepositLocksAndSends() public {
        (, bytes32 hash) = gateway.getTopDownHash(subnetId());
        vm.assertEq(hash, actor.bootstrapSalt());
        vm.recordLogs();
        _fund(bob, 5 ether);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        IpcEnvelope memory e = abi.decode(last.data, (IpcEnvelope));
        IpcEnvelope memory expected = IpcEnvelope({
            kind: IpcMsgKind.Transfer,
            localNonce: 0,
            originalNonce: 0,
            value: 5 ether,
            to: there(bob),
            from: here(alice),
            message: ""
        });
        vm.assertEq(abi.encode(e), abi.encode(expected));
        vm.assertEq(last.topics[0], IGateway.NewTopDownMessage.selector);
        vm.assertEq(address(uint160(uint256(last.topics[1]))), address(actor));
        vm.assertEq(last.topics[2], Envelopes.tracingId(expected));
        (uint64 nonce, bytes32 next) = gateway.getTopDownHash(subnetId());
        vm.assertEq(nonce, 1);
        vm.assertEq(next, Envelopes.fold(hash, Envelopes.toHash(expected)));
        vm.assertEq(flt.balanceOf(address(gateway)), 5 ether);
        vm.assertEq(circ(), 5 ether);
        vm.assertEq(counters().locked, 5 ether);
    }

    /// @dev The published contracts give equal deposits one id.
    function testFuzz_idsOfEqualDepositsDiffer(uint8 count) public {
        count = uint8(bound(count, 2, 20));
        vm.recordLogs();
        for (uint256 i = 0; i < count; i++) {
            _fund(bob, 1 ether);
        }
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] != IGateway.NewTopDownMessage.selector) continue;
            for (uint256 j = 0; j < seenIds.length; j++) {
                vm.assertNotEq(seenIds[j], logs[i].topics[2]);
            }
            seenIds.push(logs[i].topics[2]);
        }
        vm.assertEq(seenIds.length, count);
    }

    function testFuzz_rule11_theRollingHashFoldsEveryMessage(uint96[] memory amounts) public {
        bytes32 hash = actor.bootstrapSalt();
        for (uint256 i = 0; i < amounts.length && i < 10; i++) {
            uint256 amount = bound(amounts[i], FUND_MIN, 1000 ether);
            vm.recordLogs();
            // forge-lint: disable-next-line(unsafe-typecast)
            _fund(address(uint160(0x1000000 + i)), amount);
            Vm.Log[] memory logs = vm.getRecordedLogs();
            hash = keccak256(abi.encodePacked(hash, keccak256(logs[logs.length - 1].data)));
            (uint64 nonce, bytes32 stored) = gateway.getTopDownHash(subnetId());
            vm.assertEq(nonce, i + 1);
            vm.assertEq(stored, hash);
        }
    }

    function test_rule28_fundingHasBounds() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(AmountOutOfBounds.selector, FUND_MIN - 1, FUND_MIN, FUND_MAX));
        gateway.fundWithToken(subnetId(), Fvm.from(bob), FUND_MIN - 1);
        flt.approve(address(gateway), type(uint256).max);
        vm.stopPrank();
        flt.mint(alice, 2 * FUND_MAX);
        vm.expectRevert(abi.encodeWithSelector(AmountOutOfBounds.selector, FUND_MAX + 1, FUND_MIN, FUND_MAX));
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), FUND_MAX + 1);
        IpcEnvelope memory e = _callDown(bob, FUND_MIN - 1);
        vm.expectRevert(abi.encodeWithSelector(AmountOutOfBounds.selector, FUND_MIN - 1, FUND_MIN, FUND_MAX));
        sender.send(gateway, e, address(flt));
    }

    function test_publishedRefusals() public {
        vm.expectRevert(_refused(InvalidXnetMessageReason.Value));
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 0);
        vm.expectRevert(_refused(InvalidXnetMessageReason.Value));
        gateway.fund(subnetId(), Fvm.from(bob));
        vm.deal(address(this), 1 ether);
        vm.expectRevert(bytes("Unexpected asset"));
        gateway.fund{value: 1 ether}(subnetId(), Fvm.from(bob));
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.fundWithToken(idOf(bob), Fvm.from(bob), 1 ether);
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.fundWithToken(rootId(), Fvm.from(bob), 1 ether);
        SubnetID memory other = subnetId();
        other.root++;
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.fundWithToken(other, Fvm.from(bob), 1 ether);
    }

    function testFuzz_rule16_noMoneyGoesToRefusedRecipients(uint64 id) public {
        address[6] memory bad = [
            address(0),
            address(uint160(id % 65536)),
            address((uint160(0xff) << 152) | id),
            address(99),
            0x77Aa40B105843728088c0132e43FC44348881DA8,
            0x74539671A1D2F1c8f200826bAbA665179F53a1b7
        ];
        SubnetID memory to = subnetId();
        for (uint256 i = 0; i < bad.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(ForbiddenRecipient.selector, bad[i]));
            vm.prank(alice);
            gateway.fundWithToken(to, Fvm.from(bad[i]), 1 ether);
            IpcEnvelope memory e = _callDown(bad[i], 0);
            vm.expectRevert(abi.encodeWithSelector(ForbiddenRecipient.selector, bad[i]));
            sender.send(gateway, e, address(0));
        }
        FvmAddress memory f1 = FvmAddress(1, hex"0102030405060708090a0b0c0d0e0f1011121314");
        vm.expectRevert(Fvm.NotDelegatedEvmAddress.selector);
        vm.prank(alice);
        gateway.fundWithToken(to, f1, 1 ether);
    }

    function test_rule27_noMoneyEntersASilentSubnet() public {
        vm.warp(block.timestamp + MAX_SILENCE);
        _fund(bob, 1 ether); // just in time
        vm.warp(block.timestamp + 1);
        uint256 last = actor.lastActive();
        vm.assertEq(gateway.lastActive(subnetId()), last);
        vm.expectRevert(abi.encodeWithSelector(SubnetSilent.selector, last));
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 1 ether);
        IpcEnvelope memory e = _callDown(bob, 0);
        vm.expectRevert(abi.encodeWithSelector(SubnetSilent.selector, last));
        sender.send(gateway, e, address(0));
        _submit(0); // a sign of life
        _fund(bob, 1 ether);
    }

    function test_rule27_resultsAndExitsAreNeverRefused() public {
        _fund(bob, 10 ether);
        _push(transferUp(bob, 1 ether));
        IpcEnvelope memory e = callUp(address(sender), 1 ether);
        e.originalNonce |= 1 << 63;
        _push(e);
        _submit(0);
        vm.warp(block.timestamp + 365 days);
        _exec(height);
        vm.assertEq(flt.balanceOf(bob), 1 ether);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 2);
        vm.assertEq(gateway.getSubnetTopDownMsgsLength(subnetId()), 2);
    }

    // ---- calls of contracts

    function test_aContractsCallLocksItsValue() public {
        IpcEnvelope memory e = _callDown(bob, 3 ether);
        e.kind = IpcMsgKind.Transfer; // forced to Call
        e.from = here(bob); // forced to the caller
        e.localNonce = 77;
        e.originalNonce = 5;
        IpcEnvelope memory sent = sender.send(gateway, e, address(flt));
        vm.assertEq(uint256(sent.kind), uint256(IpcMsgKind.Call));
        vm.assertEq(abi.encode(sent.from), abi.encode(here(address(sender))));
        vm.assertEq(sent.localNonce, 0);
        vm.assertEq(sent.originalNonce, 0);
        vm.assertEq(sent.value, 3 ether);
        vm.assertEq(circ(), 3 ether);
        vm.assertEq(flt.balanceOf(address(gateway)), 3 ether);
        (, bytes32 hash) = gateway.getTopDownHash(subnetId());
        vm.assertEq(hash, Envelopes.fold(actor.bootstrapSalt(), Envelopes.toHash(sent)));
    }

    function testFuzz_rule58_bit63AsksForAResultAndIsAllThatIsKept(uint64 originalNonce) public {
        IpcEnvelope memory e = _callDown(bob, 0);
        e.originalNonce = originalNonce;
        sender.send(gateway, e, address(0));
        IpcEnvelope memory sent = sender.send(gateway, e, address(0));
        vm.assertEq(sent.localNonce, 1);
        vm.assertEq(sent.originalNonce, 1 | (originalNonce & (1 << 63)));
    }

    function test_rule57_aCallOfValueZeroIsLegalOnAnErc20Subnet() public {
        IpcEnvelope memory sent = sender.send(gateway, _callDown(bob, 0), address(0));
        vm.assertEq(sent.value, 0);
        vm.assertEq(circ(), 0);
    }

    function test_aCallsValueIsTiedToItsPayment() public {
        vm.deal(address(this), 1 ether);
        IpcEnvelope memory e = _callDown(bob, 0);
        vm.expectRevert(_refused(InvalidXnetMessageReason.Value));
        sender.send{value: 1}(gateway, e, address(0));
        e = _callDown(bob, 1 ether);
        vm.expectRevert(_refused(InvalidXnetMessageReason.Value));
        sender.send{value: 1 ether}(gateway, e, address(flt));
    }

    function test_rule15_sizesAndDestinationsAreCheckedAtCommit() public {
        IpcEnvelope memory e = _callDown(bob, 0);
        e.message = abi.encode(CallMsg(hex"aabbccdd", new bytes(4096)));
        vm.expectPartialRevert(EnvelopeTooLarge.selector);
        sender.send(gateway, e, address(0));
        e = _callDown(bob, 0);
        e.to.subnetId = rootId();
        vm.expectRevert(_refused(InvalidXnetMessageReason.ReflexiveSend));
        sender.send(gateway, e, address(0));
        e.to.subnetId = idOf(bob);
        vm.expectRevert(_refused(InvalidXnetMessageReason.DstSubnet));
        sender.send(gateway, e, address(0));
        e.to.subnetId.route = new address[](2);
        e.to.subnetId.route[0] = address(actor);
        e.to.subnetId.route[1] = bob;
        vm.expectRevert(_refused(InvalidXnetMessageReason.DstSubnet));
        sender.send(gateway, e, address(0));
        delete e.to.subnetId;
        vm.expectRevert(_refused(InvalidXnetMessageReason.DstSubnet));
        sender.send(gateway, e, address(0));
        e = _callDown(bob, 0);
        e.message = hex"0102";
        vm.expectRevert();
        sender.send(gateway, e, address(0));
    }

    function testFuzz_rule15_nothingAbove4KiBIsCommitted(uint16 size) public {
        IpcEnvelope memory e = _callDown(bob, 0);
        e.message = abi.encode(CallMsg(hex"aabbccdd", new bytes(bound(size, 0, 6000))));
        try sender.send(gateway, e, address(0)) returns (IpcEnvelope memory sent) {
            vm.assertLe(abi.encode(sent).length, 4096);
        } catch {
            vm.assertGt(abi.encode(e).length, 4096 - 256 - 192); // `from` is empty here
        }
    }

    function test_onlyContractsCall() public {
        IpcEnvelope memory e = _callDown(bob, 0);
        vm.prank(alice);
        vm.expectRevert(_refused(InvalidXnetMessageReason.Sender));
        gateway.sendContractXnetMessage(e);
    }

    // ---- the start

    function test_rule5_nothingIsSentBeforeTheBootstrapIsRecorded() public {
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(flt), address(0)), address(this));
        gateway.approveSubnet(address(actor));
        _joinAll();
        vm.expectRevert(BootstrapNotRecorded.selector);
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 1 ether);
        IpcEnvelope memory e = _callDown(bob, 0);
        vm.expectRevert(BootstrapNotRecorded.selector);
        sender.send(gateway, e, address(0));
        (uint64 nonce, bytes32 hash) = gateway.getTopDownHash(subnetId());
        vm.assertEq(nonce, 0);
        vm.assertEq(hash, bytes32(0));
        _record();
        _fund(bob, 1 ether);
    }

    function test_onlyApprovedSubnetsRegister() public {
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(flt), address(0)), address(this));
        for (uint256 i = 0; i < 3; i++) {
            _join(keys[i], weightOf[vm.addr(keys[i])]);
        }
        address last = vm.addr(keys[3]);
        uint256 weight = weightOf[last];
        bytes memory key = publicKey(keys[3]);
        vm.deal(last, weight);
        vm.prank(last);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, address(actor)));
        actor.join{value: weight}(key, weight);
    }

    function test_onlyTheOwnerApproves() public {
        vm.prank(anyone);
        vm.expectRevert();
        gateway.approveSubnet(address(actor));
        vm.expectRevert(EmptyAddress.selector);
        gateway.approveSubnet(bob);
    }

    function test_strangersHaveNoSubnet() public {
        vm.startPrank(anyone);
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.openTopDown(bytes32(uint256(1)));
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.addStake(0);
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.kill();
        vm.expectRevert(NotEnoughFundsToRelease.selector);
        gateway.releaseStake(1);
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 0);
        vm.expectRevert(InvalidCheckpointSource.selector);
        gateway.commitCheckpoint(c);
        c.subnetID = idOf(anyone);
        vm.expectRevert(SubnetNotFound.selector);
        gateway.commitCheckpoint(c);
        vm.stopPrank();
    }

    function test_theTopIsOpenedOnce() public {
        vm.prank(address(actor));
        vm.expectRevert(BootstrapAlreadyRecorded.selector);
        gateway.openTopDown(bytes32(uint256(1)));
    }

    function test_gettersOfAnUnknownSubnetAnswerEmpty() public view {
        (bool ok, Subnet memory s) = gateway.getSubnet(idOf(bob));
        vm.assertFalse(ok);
        vm.assertEq(s.genesisEpoch, 0);
        (ok,) = gateway.getTopDownNonce(idOf(bob));
        vm.assertFalse(ok);
        (ok,) = gateway.getAppliedBottomUpNonce(rootId());
        vm.assertFalse(ok);
    }

    function test_theGatewayKnowsItsParameters() public {
        vm.assertEq(gateway.messageGas(), MESSAGE_GAS);
        vm.assertEq(gateway.maxSilence(), MAX_SILENCE);
        (uint256 min, uint256 max) = gateway.fundLimits();
        vm.assertEq(min, FUND_MIN);
        vm.assertEq(max, FUND_MAX);
        vm.assertEq(abi.encode(gateway.getNetworkName()), abi.encode(rootId()));
        (uint64 number, bytes32 hash) = gateway.getPowerChangeHash(subnetId());
        vm.assertEq(number, 0);
        vm.assertEq(hash, actor.bootstrapSalt());
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.getPowerChangeHash(idOf(bob));
    }
}

/// @dev A subnet whose supply is the native coin.
contract NativeSupplyTest is RootFixture {
    Handler internal handler;

    function setUp() public override {
        super.setUp();
        handler = new Handler();
        _start(_params(PermissionMode.Collateral, address(0), address(0)));
        vm.deal(alice, 1000 ether);
        vm.prank(alice);
        gateway.fund{value: 100 ether}(subnetId(), Fvm.from(bob));
        vm.assertEq(circ(), 100 ether);
    }

    function test_aNativeDepositAndWithdrawal() public {
        vm.assertEq(address(gateway).balance, 300 ether); // two collaterals and the deposit
        _deliver(transferUp(bob, 40 ether));
        vm.assertEq(bob.balance, 40 ether);
        vm.assertEq(circ(), 60 ether);
    }

    function test_tokensAreNotExpected() public {
        vm.expectRevert(bytes("Unexpected asset"));
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 1 ether);
    }

    function test_aFailedNativeTransferIsACredit() public {
        handler.fail(true);
        _deliver(transferUp(address(handler), 40 ether));
        vm.assertEq(credit(address(handler)), 40 ether);
        vm.expectRevert(NotEnoughBalance.selector);
        gateway.pushCredit(subnetId(), address(handler));
        vm.prank(address(handler));
        gateway.withdrawCredit(subnetId(), bob);
        vm.assertEq(bob.balance, 40 ether);
    }

    function test_valueRidesTheCall() public {
        _deliver(callUp(address(handler), 40 ether));
        vm.assertEq(handler.value(), 40 ether);
        handler.fail(true);
        _deliver(callUp(address(handler), 40 ether));
        vm.assertEq(handler.value(), 40 ether);
        vm.assertEq(circ(), 60 ether);
    }

    function test_rule26_refundsInTheNativeCoin() public {
        _deliver(resultUp(bob, 1 ether));
        vm.assertEq(bob.balance, 1 ether);
        _deliver(resultUp(address(handler), 2 ether));
        vm.assertEq(handler.value(), 2 ether);
        handler.fail(true);
        _deliver(resultUp(address(handler), 3 ether));
        vm.assertEq(credit(address(handler)), 3 ether);
    }

    function test_aContractsCallBringsItsValue() public {
        IpcEnvelope memory e;
        e.to = there(bob);
        e.value = 5 ether;
        e.message = abi.encode(CallMsg(hex"aabbccdd", ""));
        vm.deal(address(this), 10 ether);
        bytes memory refusal =
            abi.encodeWithSelector(InvalidXnetMessage.selector, InvalidXnetMessageReason.Value);
        vm.expectRevert(refusal);
        handler.send{value: 4 ether}(gateway, e, address(0));
        vm.expectRevert(refusal);
        handler.send{value: 6 ether}(gateway, e, address(0));
        handler.send{value: 5 ether}(gateway, e, address(0));
        vm.assertEq(circ(), 105 ether);
    }

    function testFuzz_rule14_noCallerStarvesANativeMessage(uint256 gasGiven, bool result) public {
        gasGiven = bound(gasGiven, 100_000, 3_000_000);
        handler.burnGas(MESSAGE_GAS * 9 / 10);
        _push(result ? resultUp(address(handler), 1 ether) : callUp(address(handler), 1 ether));
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 1);
        try actor.execBottomUpMsgBatch{gas: gasGiven}(height, list) {
            vm.assertEq(handler.calls(), 1);
        } catch {
            _exec(height);
            vm.assertEq(handler.calls(), 1);
        }
        vm.assertEq(handler.value(), 1 ether);
    }

    function test_onlyTheGatewayGivesTheActorCoins() public {
        vm.deal(anyone, 1 ether);
        vm.prank(anyone);
        (bool ok, bytes memory ret) = address(actor).call{value: 1 ether}("");
        vm.assertFalse(ok);
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.assertEq(bytes4(ret), NotGateway.selector);
    }
}
