// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import "../../src/ipc/Errors.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Vm} from "../Base.sol";
import {Bomb, Handler, Mute, OddToken, Reenterer} from "./Recipients.sol";
import {RootFixture} from "./RootFixture.sol";

/// @dev Messages coming up on a subnet with an ERC-20 supply.
contract BottomUpTest is RootFixture {
    Handler internal handler;

    function setUp() public virtual override {
        super.setUp();
        handler = new Handler();
        _fund(bob, 1000 ether);
    }

    struct Seen {
        bool found;
        OutcomeType outcome;
        Disposition disposition;
        bytes ret;
        bytes32 id;
    }

    /// @dev Delivers `e` and reads what the gateway says of it.
    function _apply(IpcEnvelope memory e) internal returns (Seen memory seen) {
        vm.recordLogs();
        _deliver(e);
        return _seen(e.localNonce);
    }

    function _seen(uint64 nonce) internal returns (Seen memory seen) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] != IGateway.BottomUpMessageApplied.selector) continue;
            if (uint256(logs[i].topics[2]) != nonce) continue;
            vm.assertFalse(seen.found); // once
            seen.found = true;
            seen.id = logs[i].topics[3];
            (seen.outcome, seen.disposition, seen.ret) =
                abi.decode(logs[i].data, (OutcomeType, Disposition, bytes));
        }
        vm.assertTrue(seen.found);
    }

    /// @dev The message last sent down, and that it folds into the rolling hash.
    function _sentDown(bytes32 hashBefore, Vm.Log[] memory logs)
        internal
        view
        returns (IpcEnvelope memory e)
    {
        uint256 count;
        bytes32 hash = hashBefore;
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] != IGateway.NewTopDownMessage.selector) continue;
            e = abi.decode(logs[i].data, (IpcEnvelope));
            hash = Envelopes.fold(hash, Envelopes.toHash(e));
            count++;
            vm.assertEq(logs[i].topics[2], Envelopes.tracingId(e));
        }
        vm.assertEq(count, 1);
        (, bytes32 stored) = gateway.getTopDownHash(subnetId());
        vm.assertEq(stored, hash);
    }

    function _expectDisposition(Seen memory seen, OutcomeType outcome, Disposition disposition)
        internal
        pure
    {
        vm.assertEq(uint256(seen.outcome), uint256(outcome));
        vm.assertEq(uint256(seen.disposition), uint256(disposition));
    }

    // ---- transfers

    function test_aTransferPaysItsRecipient() public {
        IpcEnvelope memory e = transferUp(bob, 7 ether);
        Seen memory seen = _apply(e);
        _expectDisposition(seen, OutcomeType.Ok, Disposition.Executed);
        vm.assertEq(seen.id, Envelopes.tracingId(e));
        vm.assertEq(flt.balanceOf(bob), 7 ether);
        vm.assertEq(circ(), 993 ether);
        vm.assertEq(counters().unlocked, 7 ether);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 1); // no Result for a Transfer
    }

    function test_rule58_aTransferNeverGetsAResultEvenWhenAskedFor() public {
        IpcEnvelope memory e = transferUp(bob, 7 ether);
        e.originalNonce |= 1 << 63;
        _apply(e);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 1);
    }

    function test_aTransferOfNothingIsNothing() public {
        _expectDisposition(_apply(transferUp(bob, 0)), OutcomeType.Ok, Disposition.Executed);
        vm.assertEq(flt.balanceOf(bob), 0);
    }

    function testFuzz_rule25_aTransferToNobodyWaitsInQuarantine(uint256 kind) public {
        kind = bound(kind, 0, 4);
        address[5] memory bad = [
            address(0),
            address(99),
            0xff00000000000000000000000000000000000064,
            address(gateway),
            0x77Aa40B105843728088c0132e43FC44348881DA8
        ];
        IpcEnvelope memory e = transferUp(bad[kind], 7 ether);
        _expectDisposition(_apply(e), OutcomeType.SystemErr, Disposition.Quarantined);
        vm.assertEq(gateway.quarantinedHash(subnetId(), e.localNonce), Envelopes.toHash(e));
        vm.assertEq(circ(), 1000 ether); // still locked
        vm.assertEq(counters().quarantined, 7 ether);
        vm.expectRevert(StillQuarantined.selector);
        gateway.retryQuarantined(e);
    }

    function test_rule25_anUndecodableRecipientWaitsInQuarantine() public {
        IpcEnvelope memory e = transferUp(bob, 7 ether);
        e.to.rawAddress = FvmAddress(1, hex"0102030405060708090a0b0c0d0e0f1011121314");
        _expectDisposition(_apply(e), OutcomeType.SystemErr, Disposition.Quarantined);
    }

    function test_rule25_aMessageOfAnotherSubnetWaitsInQuarantine() public {
        IpcEnvelope memory e = callUp(address(handler), 7 ether);
        e.from.subnetId = idOf(makeAddr("another actor"));
        _expectDisposition(_apply(e), OutcomeType.SystemErr, Disposition.Quarantined);
        vm.assertEq(handler.calls(), 0);
        vm.expectRevert(NotQuarantined.selector); // it names a subnet that has none
        gateway.retryQuarantined(e);
    }

    // ---- calls

    function test_aCallReachesItsHandlerWithItsValue() public {
        IpcEnvelope memory e = callUp(address(handler), 5 ether);
        Seen memory seen = _apply(e);
        _expectDisposition(seen, OutcomeType.Ok, Disposition.Executed);
        vm.assertEq(seen.ret, abi.encode(bytes("thanks")));
        vm.assertEq(handler.calls(), 1);
        vm.assertEq(handler.lastHash(), Envelopes.toHash(e));
        vm.assertEq(flt.balanceOf(address(handler)), 5 ether);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 1); // nobody asked
    }

    function test_rule58_anOkResultTravelsWhenAskedFor() public {
        IpcEnvelope memory e = callUp(address(handler), 5 ether);
        e.originalNonce |= 1 << 63;
        (, bytes32 hash) = gateway.getTopDownHash(subnetId());
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope memory r = _sentDown(hash, vm.getRecordedLogs());
        vm.assertEq(uint256(r.kind), uint256(IpcMsgKind.Result));
        vm.assertEq(r.value, 0);
        vm.assertEq(r.localNonce, 1);
        vm.assertEq(r.originalNonce, 1);
        vm.assertEq(abi.encode(r.to), abi.encode(e.from));
        vm.assertEq(abi.encode(r.from), abi.encode(e.to));
        ResultMsg memory m = abi.decode(r.message, (ResultMsg));
        vm.assertEq(m.id, Envelopes.tracingId(e));
        vm.assertEq(uint256(m.outcome), uint256(OutcomeType.Ok));
        vm.assertEq(m.ret, abi.encode(bytes("thanks")));
    }

    function test_rule25_exactlyOneCompensationForAFailedCall() public {
        handler.fail(true);
        IpcEnvelope memory e = callUp(address(handler), 5 ether);
        (, bytes32 hash) = gateway.getTopDownHash(subnetId());
        vm.recordLogs();
        _deliver(e);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        IpcEnvelope memory r = _sentDown(hash, logs);
        vm.assertEq(r.value, 5 ether); // goes back
        ResultMsg memory m = abi.decode(r.message, (ResultMsg));
        vm.assertEq(uint256(m.outcome), uint256(OutcomeType.ActorErr));
        vm.assertEq(bytes4(m.ret), bytes4(keccak256("Error(string)")));
        vm.assertLe(m.ret.length, 128);
        // ... and nowhere else.
        vm.assertEq(flt.balanceOf(address(handler)), 0);
        vm.assertEq(credit(address(handler)), 0);
        vm.assertEq(credit(alice), 0);
        vm.assertEq(circ(), 1000 ether);
        vm.assertEq(counters().unlocked, 5 ether);
        vm.assertEq(counters().relocked, 5 ether);
    }

    function testFuzz_rule25_callsThatReachNobodyReturnTheirValue(uint256 kind) public {
        address[4] memory bad = [bob, address(0), address(gateway), address(new Mute())];
        IpcEnvelope memory e = callUp(bad[bound(kind, 0, 3)], 5 ether);
        Seen memory seen = _apply(e);
        vm.assertEq(uint256(seen.disposition), uint256(Disposition.Returned));
        vm.assertTrue(seen.outcome != OutcomeType.Ok);
        vm.assertEq(circ(), 1000 ether);
    }

    function test_aCallWithoutCodeNamesThePublishedError() public {
        Seen memory seen = _apply(callUp(bob, 0));
        vm.assertEq(seen.ret, abi.encodeWithSelector(InvalidSubnetActor.selector));
    }

    function test_aCallElsewhereNamesThePublishedError() public {
        IpcEnvelope memory e = callUp(address(handler), 0);
        e.to.subnetId = idOf(makeAddr("elsewhere"));
        Seen memory seen = _apply(e);
        vm.assertEq(
            seen.ret, abi.encodeWithSelector(InvalidXnetMessage.selector, InvalidXnetMessageReason.DstSubnet)
        );
        _expectDisposition(seen, OutcomeType.SystemErr, Disposition.Returned);
    }

    function test_rule57_aCallOfValueZeroIsLegal() public {
        _expectDisposition(_apply(callUp(address(handler), 0)), OutcomeType.Ok, Disposition.Executed);
    }

    function testFuzz_rule25_returnedDataHarmsNobody(bool failing) public {
        Seen memory seen = _apply(callUp(address(new Bomb(failing)), 5 ether));
        vm.assertEq(seen.ret.length, 128);
        vm.assertEq(uint256(seen.disposition), uint256(failing ? Disposition.Returned : Disposition.Executed));
    }

    function test_rule25_noMessageMakesExecRevert() public {
        // A batch of the worst of everything, in one transaction.
        handler.fail(true);
        _push(transferUp(bob, 1 ether));
        _push(transferUp(address(0), 1 ether));
        _push(transferUp(bob, type(uint256).max));
        _push(transferUp(bob, type(uint256).max));
        _push(callUp(address(handler), 1 ether));
        _push(callUp(address(new Bomb(true)), 1 ether));
        _push(callUp(address(new Bomb(false)), 0));
        _push(callUp(bob, type(uint256).max));
        _push(resultUp(address(handler), 1 ether));
        _push(resultUp(address(new Mute()), 1 ether));
        IpcEnvelope memory odd = resultUp(bob, 1 ether);
        odd.message = hex"01";
        _push(odd);
        odd = resultUp(bob, 0);
        odd.message = abi.encode(uint256(0x20), bytes32(0), uint256(77));
        odd.to.rawAddress.addrType = 1;
        _push(odd);
        odd = callUp(bob, 1 ether);
        odd.from.rawAddress.payload = new bytes(5000);
        _push(odd);
        odd = callUp(bob, 1 ether);
        odd.to.rawAddress.payload = new bytes(5000);
        _push(odd);
        odd = callUp(bob, 1 ether);
        odd.to.subnetId.route = new address[](300);
        _push(odd);
        odd = callUp(bob, 1 ether);
        odd.message = new bytes(5000);
        _push(odd);
        _push(transferUp(bob, 1 ether));
        _submit(0);
        _exec(height);
        (, uint64 nonce) = gateway.getAppliedBottomUpNonce(subnetId());
        vm.assertEq(nonce, upNonce);
        vm.assertEq(flt.balanceOf(bob), 3 ether);
        vm.assertEq(counters().quarantined, type(uint256).max); // saturated
        vm.assertGe(flt.balanceOf(address(gateway)), circ() + credit(address(handler)));
    }

    // ---- supply

    function test_rule25_insufficientSupplyIsQuarantinedAndRetriable() public {
        IpcEnvelope memory e = transferUp(bob, 1001 ether);
        _expectDisposition(_apply(e), OutcomeType.SystemErr, Disposition.Quarantined);
        vm.expectRevert(StillQuarantined.selector);
        gateway.retryQuarantined(e);

        _fund(bob, 1 ether); // now it is covered
        vm.expectEmit(address(gateway));
        emit IGateway.QuarantineReleased(address(actor), e.localNonce, Disposition.Executed);
        vm.prank(anyone);
        gateway.retryQuarantined(e);
        vm.assertEq(flt.balanceOf(bob), 1001 ether);
        vm.assertEq(gateway.quarantinedHash(subnetId(), e.localNonce), bytes32(0));
        vm.assertEq(counters().quarantineReleased, 1001 ether);
        vm.expectRevert(NotQuarantined.selector);
        gateway.retryQuarantined(e);
    }

    function test_aQuarantinedMessageIsTakenOnlyAsItCame() public {
        IpcEnvelope memory e = transferUp(bob, 1001 ether);
        _deliver(e);
        _fund(bob, 1 ether);
        e.to = here(anyone);
        vm.expectRevert(NotQuarantined.selector);
        gateway.retryQuarantined(e);
    }

    function test_aQuarantinedCallIsAnsweredWhenRetried() public {
        handler.fail(true);
        IpcEnvelope memory e = callUp(address(handler), 1001 ether);
        _deliver(e);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 1); // quarantine sends none
        _fund(bob, 1 ether);
        gateway.retryQuarantined(e);
        (, nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 3);
        vm.assertEq(circ(), 1001 ether);
    }

    // ---- results

    function test_rule26_aResultReachesItsHandlerWithItsValue() public {
        IpcEnvelope memory e = resultUp(address(handler), 3 ether);
        vm.recordLogs();
        _deliver(e);
        vm.assertEq(handler.calls(), 1);
        vm.assertEq(flt.balanceOf(address(handler)), 3 ether);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 count;
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] != IGateway.ResultApplied.selector) continue;
            count++;
            vm.assertEq(logs[i].topics[2], keccak256("some message"));
            (OutcomeType outcome, Disposition disposition, address to, uint256 value) =
                abi.decode(logs[i].data, (OutcomeType, Disposition, address, uint256));
            vm.assertEq(uint256(outcome), uint256(OutcomeType.ActorErr));
            vm.assertEq(uint256(disposition), uint256(Disposition.Executed));
            vm.assertEq(to, address(handler));
            vm.assertEq(value, 3 ether);
        }
        vm.assertEq(count, 1);
    }

    function test_rule26_aRefundReachesAnAccountWithoutCode() public {
        // The hole of the published contracts: they keep it.
        _deliver(resultUp(bob, 3 ether));
        vm.assertEq(flt.balanceOf(bob), 3 ether);
    }

    function test_rule26_aRefundReachesAContractThatHandlesNothing() public {
        address mute = address(new Mute());
        _deliver(resultUp(mute, 3 ether));
        vm.assertEq(flt.balanceOf(mute), 3 ether);
        handler.fail(true);
        _deliver(resultUp(address(handler), 3 ether));
        vm.assertEq(flt.balanceOf(address(handler)), 3 ether);
        vm.assertEq(handler.calls(), 0);
    }

    function test_rule26_aRefundReachesAnAccountWithDelegatedCode() public {
        // EIP-7702: code 0xef0100 ‖ address.
        vm.etch(bob, abi.encodePacked(hex"ef0100", address(new Mute())));
        _deliver(resultUp(bob, 3 ether));
        vm.assertEq(flt.balanceOf(bob), 3 ether);
    }

    function test_nothingAnswersAResult() public {
        handler.fail(true);
        IpcEnvelope memory e = resultUp(address(handler), 0);
        e.originalNonce |= 1 << 63;
        Seen memory seen = _apply(e);
        _expectDisposition(seen, OutcomeType.ActorErr, Disposition.Executed);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 1);
    }

    // ---- gas

    function test_handlersGetExactlyTheirPromise() public {
        _deliver(callUp(address(handler), 0));
        vm.assertLe(handler.gasSeen(), MESSAGE_GAS);
        vm.assertGe(handler.gasSeen(), MESSAGE_GAS - 5000);
        _deliver(callUp(address(handler), 1 ether));
        vm.assertLe(handler.gasSeen(), MESSAGE_GAS);
        vm.assertGe(handler.gasSeen(), MESSAGE_GAS - 5000);
        _deliver(resultUp(address(handler), 1 ether));
        vm.assertLe(handler.gasSeen(), MESSAGE_GAS);
        vm.assertGe(handler.gasSeen(), MESSAGE_GAS - 5000);
    }

    /// @dev Whatever gas a caller gives, a good message is executed or the whole
    /// transaction reverts.
    function testFuzz_rule14_noCallerStarvesAGoodMessage(uint256 gasGiven, uint256 kind, bool value) public {
        gasGiven = bound(gasGiven, 100_000, 5_000_000);
        handler.burnGas(MESSAGE_GAS * 9 / 10);
        uint256 amount = value ? 1 ether : 0;
        IpcEnvelope memory e = kind % 3 == 0
            ? transferUp(bob, 1 ether)
            : kind % 3 == 1 ? callUp(address(handler), amount) : resultUp(address(handler), amount);
        _push(e);
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 1);
        vm.recordLogs();
        try actor.execBottomUpMsgBatch{gas: gasGiven}(height, list) {
            _expectDisposition(_seen(e.localNonce), OutcomeType.Ok, Disposition.Executed);
            vm.assertEq(handler.calls(), kind % 3 == 0 ? 0 : 1);
        } catch {
            (, uint64 nonce) = gateway.getAppliedBottomUpNonce(subnetId());
            vm.assertEq(nonce, e.localNonce);
            _exec(height); // it is still there
            vm.assertEq(handler.calls(), kind % 3 == 0 ? 0 : 1);
        }
    }

    function test_rule14_noCallerStarvesAGoodMessage() public {
        // Every 20,000 gas, with the dearest handler: value, and nearly all of G.
        handler.burnGas(MESSAGE_GAS * 9 / 10);
        IpcEnvelope memory e = callUp(address(handler), 1 ether);
        _push(e);
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 1);
        bool done;
        for (uint256 given = 500_000; given < 4_000_000; given += 20_000) {
            vm.recordLogs();
            (bool ok,) =
                address(actor).call{gas: given}(abi.encodeCall(actor.execBottomUpMsgBatch, (height, list)));
            if (!ok) continue;
            _expectDisposition(_seen(e.localNonce), OutcomeType.Ok, Disposition.Executed);
            done = true;
            break;
        }
        vm.assertTrue(done);
        vm.assertEq(handler.calls(), 1);
    }

    function test_rule14_tooLittleGasSaysSo() public {
        _push(callUp(address(handler), 0));
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(InsufficientGas.selector, MESSAGE_GAS + MESSAGE_GAS / 5));
        actor.execBottomUpMsgBatch{gas: MESSAGE_GAS}(height, list);
    }

    // ---- reentrancy

    function test_rule17_execIsNotReentered() public {
        Reenterer bad = new Reenterer(gateway, actor);
        IpcEnvelope memory first = callUp(address(bad), 0);
        IpcEnvelope memory second = transferUp(bob, 1 ether);
        _push(first);
        _push(second);
        _submit(0);
        bad.plan(
            address(actor), abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions(height, 1, 2)))
        );
        actor.execBottomUpMsgBatch(height, inclusions(height, 0, 1));
        vm.assertFalse(bad.succeeded());
        actor.execBottomUpMsgBatch(height, inclusions(height, 0, 2));
        vm.assertEq(flt.balanceOf(bob), 1 ether);
    }

    function test_rule17_aHandlerMaySendMessages() public {
        Reenterer good = new Reenterer(gateway, actor);
        IpcEnvelope memory down;
        down.to = there(bob);
        down.message = abi.encode(CallMsg(hex"aabbccdd", ""));
        good.plan(address(gateway), abi.encodeCall(gateway.sendContractXnetMessage, (down)));
        _deliver(callUp(address(good), 0));
        vm.assertTrue(good.succeeded());
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 2);
    }

    function test_onlyTheGatewayPaysAndCalls() public {
        IpcEnvelope memory e = callUp(anyone, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, anyone));
        vm.prank(anyone);
        gateway.payAndCall(address(flt), anyone, e);
    }

    function test_onlySubnetsExecute() public {
        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.execBottomUpMsgBatch(new IpcEnvelope[](0));
    }

    // ---- order

    function test_aWrongNonceRevertsAndBurnsNothing() public {
        _push(transferUp(bob, 1 ether));
        _push(transferUp(bob, 2 ether));
        _submit(0);
        Inclusion[] memory second = inclusions(height, 1, 2);
        vm.expectRevert(abi.encodeWithSelector(InvalidXnetMessage.selector, InvalidXnetMessageReason.Nonce));
        actor.execBottomUpMsgBatch(height, second);
        _exec(height); // both are still there
        vm.assertEq(flt.balanceOf(bob), 3 ether);
    }

    function test_theGatewayItselfRefusesAWrongNonce() public {
        IpcEnvelope[] memory msgs = new IpcEnvelope[](1);
        msgs[0] = transferUp(bob, 1 ether);
        msgs[0].localNonce = 1;
        vm.prank(address(actor));
        vm.expectRevert(abi.encodeWithSelector(InvalidXnetMessage.selector, InvalidXnetMessageReason.Nonce));
        gateway.execBottomUpMsgBatch(msgs);
    }
}

/// @dev Tokens that do not do as they are told.
contract OddTokenTest is RootFixture {
    OddToken internal odd;
    Handler internal handler;

    function setUp() public override {
        super.setUp();
        odd = new OddToken();
        handler = new Handler();
        _start(_params(PermissionMode.Collateral, address(odd), address(0)));
        odd.mint(alice, 1000 ether);
        vm.startPrank(alice);
        odd.approve(address(gateway), type(uint256).max);
        gateway.fundWithToken(subnetId(), Fvm.from(alice), 100 ether);
        vm.stopPrank();
    }

    function test_rule25_aFailedTransferBecomesACreditOfItsRecipient() public {
        odd.set(0, true, false);
        _push(transferUp(bob, 7 ether));
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 1);
        vm.expectEmit(address(gateway));
        emit IGateway.Credited(address(actor), 0, bob, 7 ether);
        actor.execBottomUpMsgBatch(height, list);
        vm.assertEq(credit(bob), 7 ether);
        vm.assertEq(circ(), 93 ether);
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 1); // no Result beside the credit
        _pullAndPush();
    }

    function test_rule25_aTokenThatAnswersFalseMovedNothing() public {
        odd.set(0, false, true);
        _deliver(transferUp(bob, 7 ether));
        vm.assertEq(credit(bob), 7 ether);
        _pullAndPush();
    }

    function _pullAndPush() private {
        // Nobody else can take it, and nobody can while the token refuses.
        vm.prank(anyone);
        vm.expectRevert(NothingToWithdraw.selector);
        gateway.withdrawCredit(subnetId(), anyone);
        vm.expectRevert(NotEnoughBalance.selector);
        gateway.pushCredit(subnetId(), bob);
        odd.set(0, false, false);
        uint256 id = vm.snapshotState();

        vm.prank(anyone);
        gateway.pushCredit(subnetId(), bob);
        vm.assertEq(odd.balanceOf(bob), 7 ether);
        vm.expectRevert(NothingToWithdraw.selector);
        gateway.pushCredit(subnetId(), bob);

        vm.revertToState(id);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(ForbiddenRecipient.selector, address(0)));
        gateway.withdrawCredit(subnetId(), address(0));
        vm.expectEmit(address(gateway));
        emit IGateway.CreditWithdrawn(address(actor), bob, anyone, 7 ether);
        gateway.withdrawCredit(subnetId(), anyone);
        vm.stopPrank();
        vm.assertEq(odd.balanceOf(anyone), 7 ether);
        vm.assertEq(credit(bob), 0);
        vm.assertEq(counters().creditsPaid, 7 ether);
    }

    function test_rule26_aRefundTheTokenRefusesIsACreditOfExactlyItsAddressee() public {
        odd.set(0, true, false);
        _deliver(resultUp(bob, 7 ether));
        vm.assertEq(credit(bob), 7 ether);
        _deliver(resultUp(address(handler), 7 ether));
        vm.assertEq(credit(address(handler)), 7 ether);
        odd.set(0, false, false);
        gateway.pushCredit(subnetId(), address(handler)); // it has no method to pull
        vm.assertEq(odd.balanceOf(address(handler)), 7 ether);
    }

    function test_rule25_aCallTheTokenRefusesReturnsItsValue() public {
        odd.set(0, true, false);
        _deliver(callUp(address(handler), 7 ether));
        vm.assertEq(handler.calls(), 0); // both or neither
        vm.assertEq(credit(address(handler)), 0);
        vm.assertEq(circ(), 100 ether);
        vm.assertEq(counters().relocked, 7 ether);
    }

    function test_whatArrivesIsWhatIsSent() public {
        odd.set(10, false, false);
        vm.recordLogs();
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 100 ether);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        IpcEnvelope memory e = abi.decode(logs[logs.length - 1].data, (IpcEnvelope));
        vm.assertEq(e.value, 90 ether);
        vm.assertEq(circ(), 190 ether);
    }

    function test_aTokenThatArrivesAsNothingIsRefused() public {
        odd.set(100, false, false);
        vm.expectRevert(bytes("No balance increase"));
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 100 ether);
    }

    function test_oneTransferIsNotCountedTwice() public {
        // The token calls back while our balance is measured.
        odd.mint(address(odd), 50 ether);
        vm.prank(address(odd));
        odd.approve(address(gateway), type(uint256).max);
        odd.onTransferFrom(
            address(gateway), abi.encodeCall(gateway.fundWithToken, (subnetId(), Fvm.from(bob), 50 ether))
        );
        vm.expectRevert(ReentrancyError.selector);
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 100 ether);
    }

    function test_rule14_nobodyExecutesWhileTheDepositLockIsHeld() public {
        // A hooked token would run someone's message where its handler, which
        // deposits, finds the lock taken: the message would fail for good.
        _push(callUp(address(handler), 0));
        _submit(0);
        odd.onTransferFrom(
            address(actor), abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions(height, 0, 1)))
        );
        vm.expectRevert(ReentrancyError.selector);
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), 100 ether);
        vm.assertEq(handler.calls(), 0);
        _exec(height);
        vm.assertEq(handler.calls(), 1);
    }

    function test_rule29_donationsChangeNothing() public {
        odd.mint(address(gateway), 1000 ether);
        vm.assertEq(circ(), 100 ether);
        IpcEnvelope memory e = transferUp(bob, 101 ether);
        _deliver(e);
        vm.assertEq(odd.balanceOf(bob), 0); // quarantined, whatever the balance
    }
}
