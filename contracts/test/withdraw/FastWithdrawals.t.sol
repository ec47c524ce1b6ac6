// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {IFastWithdrawals} from "../../src/interfaces/IWithdrawals.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {CallMsg, IpcEnvelope, IpcMsgKind, OutcomeType, SubnetID, Withdrawal} from "../../src/ipc/Types.sol";
import {FastWithdrawals} from "../../src/withdraw/FastWithdrawals.sol";
import {Payouts} from "../../src/withdraw/Payouts.sol";
import {Withdrawals} from "../../src/withdraw/Withdrawals.sol";
import {World} from "./World.sol";

/// @dev Fills come with a later issue; this leaves the slot as they will.
contract FillableWithdrawals is FastWithdrawals {
    constructor(address g, SubnetID memory s, address o, address c, address f)
        FastWithdrawals(g, s, o, c, f)
    {}

    function putFilled(bytes32 id, address claimant) external {
        _slots[id] = Slot({
            status: Status.Filled,
            claimant: claimant,
            at: uint64(block.timestamp),
            filled: true,
            quarantined: false
        });
    }
}

contract FastWithdrawalsTest is World {
    function newFast(address g, address o, address c) internal override returns (FastWithdrawals) {
        return new FillableWithdrawals(g, subnetId(), o, c, address(flt));
    }

    /// @dev A message of the outbox that the outbox would not send.
    function forged(Withdrawal memory w, uint256 value) private view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.localNonce = 77;
        e.value = value;
        e.from.subnetId = subnetId();
        e.from.rawAddress = Fvm.from(address(outbox));
        e.to.subnetId = rootId();
        e.to.rawAddress = Fvm.from(address(fast));
        e.message = Withdrawals.encode(w);
    }

    function withdrawalTo(address to, address token, uint256 gross) private view returns (Withdrawal memory) {
        return expected(alice, request(token, gross, to));
    }

    function status(Withdrawal memory w) private view returns (IFastWithdrawals.Status s) {
        (s,,) = fast.statusOf(fast.withdrawalId(w));
    }

    function execOk(IpcEnvelope memory e) private {
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
    }

    function test_anFltWithdrawalIsPaidOnTheSpot() public {
        (Withdrawal memory w, IpcEnvelope memory e) =
            sendWithdrawal(alice, request(address(flt), 5 ether, bob));
        bytes32 id = fast.withdrawalId(w);
        vm.warp(1234);
        vm.expectEmit(address(fast));
        emit IFastWithdrawals.WithdrawalSettled(id, bob, address(flt), 5 ether, true);
        execOk(e);
        vm.assertEq(flt.balanceOf(bob), 5 ether);
        (IFastWithdrawals.Status s, address claimant, uint64 at) = fast.statusOf(id);
        vm.assertTrue(s == IFastWithdrawals.Status.Settled);
        vm.assertEq(claimant, bob);
        vm.assertEq(uint256(at), 1234);
        vm.assertEq(fast.creditOf(id), 0);
        vm.assertEq(fast.fltReceived(), 5 ether);
        vm.assertEq(fast.fltPaid(), 5 ether);
    }

    function test_aUsdcWithdrawalIsPaidFromTheEscrow() public {
        depositUsdc(alice, alice, 50e6);
        (, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 20e6, bob));
        execOk(e);
        vm.assertEq(usdc.balanceOf(bob), 20e6);
        vm.assertEq(controller.lockedNow(), 30e6);
        vm.assertEq(controller.getCounters().reserved, 20e6);
        vm.assertEq(controller.getCounters().reservesPaid, 20e6);
    }

    function test_aRefusedRecipientGetsACreditThatTheFallbackClaims() public {
        address[5] memory refused =
            [address(rootGateway), address(controller), address(fast), address(flt), address(usdc)];
        for (uint256 i = 0; i < refused.length; i++) {
            Withdrawal memory w = withdrawalTo(refused[i], address(flt), 1 ether + i);
            execOk(forged(w, w.gross));
            bytes32 id = fast.withdrawalId(w);
            vm.assertEq(fast.creditOf(id), w.gross);
            vm.expectPartialRevert(FastWithdrawals.RefusedRecipient.selector);
            fast.push(w);
            vm.prank(carol);
            fast.claim(w, carol);
            vm.assertEq(fast.creditOf(id), 0);
        }
        vm.assertEq(flt.balanceOf(carol), 5 ether + 10);
        vm.assertEq(fast.fltReceived(), fast.fltPaid());
    }

    function test_zeroAndMaskedRecipientsGetACredit() public {
        address[2] memory to = [address(0), 0xFF00000000000000000000000000000000000042];
        for (uint256 i = 0; i < 2; i++) {
            Withdrawal memory w = withdrawalTo(to[i], address(flt), 1 ether);
            execOk(forged(w, 1 ether));
            vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 1 ether);
        }
    }

    function test_aBlockedRecipientIsCreditedAndPushedOnceUnblocked() public {
        depositUsdc(alice, alice, 20e6);
        usdc.setBlocked(bob, true);
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 20e6, bob));
        bytes32 id = fast.withdrawalId(w);
        vm.expectEmit(address(fast));
        emit IFastWithdrawals.WithdrawalSettled(id, bob, address(usdc), 20e6, false);
        execOk(e);
        vm.assertEq(fast.creditOf(id), 20e6);
        vm.assertEq(controller.reservedFor(id), 20e6);

        vm.expectRevert();
        fast.push(w);
        vm.assertEq(fast.creditOf(id), 20e6);

        usdc.setBlocked(bob, false);
        fast.push(w);
        vm.assertEq(usdc.balanceOf(bob), 20e6);
        vm.expectRevert(FastWithdrawals.NothingToClaim.selector);
        fast.push(w);
        vm.prank(bob);
        vm.expectRevert(FastWithdrawals.NothingToClaim.selector);
        fast.claim(w, bob);
    }

    function test_aBlockedRecipientClaimsToAnotherAddress() public {
        depositUsdc(alice, alice, 20e6);
        usdc.setBlocked(bob, true);
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 20e6, bob));
        execOk(e);
        vm.prank(alice);
        vm.expectRevert(FastWithdrawals.NotEntitled.selector);
        fast.claim(w, alice);
        vm.startPrank(bob);
        vm.expectPartialRevert(FastWithdrawals.RefusedRecipient.selector);
        fast.claim(w, address(controller));
        fast.claim(w, makeAddr("elsewhere"));
        vm.stopPrank();
        vm.assertEq(usdc.balanceOf(makeAddr("elsewhere")), 20e6);
        vm.assertEq(controller.getCounters().reservesPaid, 20e6);
    }

    function test_aFilledWithdrawalPaysItsClaimantOnly() public {
        (Withdrawal memory w, IpcEnvelope memory e) =
            sendWithdrawal(alice, request(address(flt), 5 ether, bob));
        bytes32 id = fast.withdrawalId(w);
        address filler = makeAddr("filler");
        FillableWithdrawals(address(fast)).putFilled(id, filler);
        execOk(e);
        vm.assertEq(flt.balanceOf(filler), 5 ether);
        vm.assertEq(flt.balanceOf(bob), 0);
        (IFastWithdrawals.Status s, address claimant,) = fast.statusOf(id);
        vm.assertTrue(s == IFastWithdrawals.Status.Settled);
        vm.assertEq(claimant, filler);
    }

    function test_aFilledCreditBelongsToTheClaimantEvenWhenHeIsTheRecipient() public {
        depositUsdc(alice, alice, 20e6);
        usdc.setBlocked(bob, true);
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 20e6, bob));
        FillableWithdrawals(address(fast)).putFilled(fast.withdrawalId(w), bob);
        execOk(e);
        vm.prank(carol);
        vm.expectRevert(FastWithdrawals.NotEntitled.selector);
        fast.claim(w, carol);
        vm.prank(bob);
        fast.claim(w, alice);
        vm.assertEq(usdc.balanceOf(alice), 20e6);
    }

    function test_aRepeatedMessagePaysNothingAndBooksItsValueAside() public {
        (Withdrawal memory w, IpcEnvelope memory e) =
            sendWithdrawal(alice, request(address(flt), 5 ether, bob));
        execOk(e);
        e.localNonce = 9;
        vm.expectEmit(address(fast));
        emit IFastWithdrawals.ValueQuarantined(9, 5 ether);
        execOk(e);
        vm.assertEq(flt.balanceOf(bob), 5 ether);
        vm.assertEq(fast.quarantinedValue(9), 5 ether);
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 0);
        vm.assertEq(flt.balanceOf(address(fast)), 5 ether);
    }

    function test_foreignWithdrawalsAreQuarantined() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 1 ether);
        w.subnetKey = keccak256("another");
        execOk(forged(w, 1 ether));
        w = withdrawalTo(bob, address(flt), 1 ether);
        w.outbox = address(0xdead);
        execOk(forged(w, 1 ether));
        w = withdrawalTo(bob, address(replica), 1 ether);
        execOk(forged(w, 1 ether));
        vm.assertEq(fast.quarantinedValue(77), 3 ether);
        vm.assertEq(flt.balanceOf(bob), 0);
        vm.assertTrue(status(w) == IFastWithdrawals.Status.None);
    }

    function test_undecodableMessagesAreQuarantined() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 1 ether);
        bytes[6] memory bad = [
            bytes(""),
            hex"deadbeef",
            abi.encode(CallMsg({method: hex"12345678", params: abi.encode(w)})),
            abi.encode(CallMsg({method: hex"128379ba00", params: abi.encode(w)})),
            abi.encode(CallMsg({method: hex"128379ba", params: abi.encode(w, uint256(1))})),
            abi.encode(CallMsg({method: hex"128379ba", params: dirty(abi.encode(w))}))
        ];
        for (uint64 i = 0; i < bad.length; i++) {
            IpcEnvelope memory e = forged(w, 1 ether);
            e.message = bad[i];
            e.localNonce = 100 + i;
            execOk(e);
            vm.assertEq(fast.quarantinedValue(100 + i), 1 ether);
        }
        vm.assertEq(flt.balanceOf(bob), 0);
    }

    /// @dev Sets a bit above the 160 of the outbox address.
    function dirty(bytes memory params) private pure returns (bytes memory) {
        params[32] = 0x01;
        return params;
    }

    function test_tooLittleFltIsClaimableAtWhatCame() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 5 ether);
        bytes32 id = fast.withdrawalId(w);
        vm.expectEmit(address(fast));
        emit IFastWithdrawals.WithdrawalQuarantined(id, bob, address(flt), 5 ether, 2 ether);
        execOk(forged(w, 2 ether));
        vm.assertEq(fast.creditOf(id), 2 ether);
        vm.expectRevert(FastWithdrawals.NothingToClaim.selector);
        fast.push(w);
        vm.prank(carol);
        fast.claim(w, carol);
        vm.assertEq(flt.balanceOf(carol), 2 ether);
        vm.assertTrue(status(w) == IFastWithdrawals.Status.Settled);
    }

    function test_tooMuchFltIsClaimableAtTheGrossAmount() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 5 ether);
        execOk(forged(w, 6 ether));
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 5 ether);
        vm.assertEq(fast.quarantinedValue(77), 1 ether);
        vm.prank(bob);
        fast.claim(w, bob);
        vm.assertEq(flt.balanceOf(address(fast)), 1 ether);
    }

    function test_moreUsdcThanLockedIsClaimableAtWhatIsLocked() public {
        depositUsdc(alice, alice, 3e6);
        Withdrawal memory w = withdrawalTo(bob, address(usdc), 5e6);
        execOk(forged(w, 0));
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 3e6);
        vm.prank(bob);
        fast.claim(w, bob);
        vm.assertEq(usdc.balanceOf(bob), 3e6);

        w = withdrawalTo(bob, address(usdc), 6e6);
        execOk(forged(w, 0)); // nothing left at all
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 0);
        vm.assertTrue(status(w) == IFastWithdrawals.Status.Settled);
    }

    function test_fltThatCameWithAUsdcWithdrawalIsBookedAside() public {
        depositUsdc(alice, alice, 5e6);
        Withdrawal memory w = withdrawalTo(bob, address(usdc), 5e6);
        execOk(forged(w, 1 ether));
        vm.assertEq(usdc.balanceOf(bob), 5e6);
        vm.assertEq(fast.quarantinedValue(77), 1 ether);
    }

    function test_valueThatDidNotArriveIsNotBelieved() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 5 ether);
        IpcEnvelope memory e = forged(w, 5 ether);
        flt.mint(address(fast), 1 ether); // a donation covers a part
        vm.prank(address(rootGateway));
        fast.handleIpcMessage(e);
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 1 ether);
        vm.assertEq(fast.fltReceived(), 1 ether);
    }

    function test_itHearsOnlyItsGatewayItsOutboxAndCalls() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 5 ether);
        IpcEnvelope memory e = forged(w, 0);
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        fast.handleIpcMessage(e);
        vm.startPrank(address(rootGateway));
        e.kind = IpcMsgKind.Result;
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        fast.handleIpcMessage(e);
        e.kind = IpcMsgKind.Transfer;
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        fast.handleIpcMessage(e);
        e.kind = IpcMsgKind.Call;
        e.from.rawAddress = Fvm.from(address(replica));
        vm.expectRevert(FastWithdrawals.InvalidOrigin.selector);
        fast.handleIpcMessage(e);
        e.from.rawAddress = Fvm.from(address(outbox));
        e.from.subnetId.route[0] = address(0xdead);
        vm.expectRevert(FastWithdrawals.InvalidOrigin.selector);
        fast.handleIpcMessage(e);
        vm.stopPrank();
    }

    /// @dev With any gas: all or nothing, never a credit for want of gas.
    function test_aStarvedHandlerRevertsInsteadOfTakingTheTransferForRefused() public {
        depositUsdc(alice, alice, 5e6);
        (, IpcEnvelope memory a) = sendWithdrawal(alice, request(address(flt), 5 ether, bob));
        (, IpcEnvelope memory b) = sendWithdrawal(alice, request(address(usdc), 5e6, bob));
        flt.mint(address(fast), 5 ether);
        uint256 served;
        uint256 starved;
        for (uint256 g = 20_000; g < 700_000; g += 10_000) {
            uint256 snapshot = vm.snapshotState();
            vm.startPrank(address(rootGateway));
            (bool okA, bytes memory why) =
                address(fast).call{gas: g}(abi.encodeCall(IIpcHandler.handleIpcMessage, (a)));
            (bool okB,) = address(fast).call{gas: g}(abi.encodeCall(IIpcHandler.handleIpcMessage, (b)));
            vm.stopPrank();
            if (okA) vm.assertEq(flt.balanceOf(bob), 5 ether);
            if (okB) vm.assertEq(usdc.balanceOf(bob), 5e6);
            if (okA && okB) served++;
            // forge-lint: disable-next-line(unsafe-typecast)
            if (!okA && bytes4(why) == Payouts.NotEnoughGas.selector) starved++;
            vm.revertToState(snapshot);
        }
        vm.assertGt(served, 10);
        // Refused with gas to spare: the promise counts, not what it costs here.
        vm.assertGt(starved, 30);
    }

    function test_nothingIsClaimableOfAnUnknownWithdrawal() public {
        Withdrawal memory w = withdrawalTo(bob, address(flt), 5 ether);
        vm.prank(bob);
        vm.expectRevert(FastWithdrawals.NothingToClaim.selector);
        fast.claim(w, bob);
        vm.expectRevert(FastWithdrawals.NothingToClaim.selector);
        fast.push(w);
    }

    function test_aMisconfiguredOneIsNotBuilt() public {
        vm.expectRevert(FastWithdrawals.InvalidConfiguration.selector);
        new FastWithdrawals(address(rootGateway), subnetId(), address(outbox), address(controller), alice);
        vm.expectRevert(FastWithdrawals.InvalidConfiguration.selector);
        new FastWithdrawals(address(rootGateway), subnetId(), address(outbox), alice, address(flt));
        vm.expectRevert(FastWithdrawals.InvalidConfiguration.selector);
        new FastWithdrawals(
            address(rootGateway), subnetId(), address(outbox), address(controller), address(usdc)
        );
        (address a, address b) = fast.tokens();
        vm.assertEq(a, address(flt));
        vm.assertEq(b, address(usdc));
        vm.assertEq(fast.controller(), address(controller));
        vm.assertEq(fast.subnetKey(), outbox.subnetKey());
    }

    /// @dev Whatever the outbox sends: Ok, and never more than came is owed.
    function testFuzz_noMessageOfTheOutboxFails(bytes memory message, uint256 value, uint64 nonce) public {
        value = bound(value, 0, 1000 ether);
        IpcEnvelope memory e = forged(withdrawalTo(bob, address(flt), 1), value);
        e.message = message;
        e.localNonce = nonce;
        execOk(e);
        vm.assertEq(fast.quarantinedValue(nonce), value);
        vm.assertEq(flt.balanceOf(address(fast)), value);
    }

    function testFuzz_anyWithdrawalSettlesWithinWhatCame(Withdrawal memory w, uint256 value, bool isFlt)
        public
    {
        value = bound(value, 0, 1000 ether);
        w.subnetKey = outbox.subnetKey();
        w.outbox = address(outbox);
        w.token = isFlt ? address(flt) : address(usdc);
        depositUsdc(alice, alice, 100e6);
        execOk(forged(w, value));
        vm.assertTrue(status(w) == IFastWithdrawals.Status.Settled);
        vm.assertLe(fast.fltPaid(), fast.fltReceived());
        vm.assertLe(controller.getCounters().reserved, 100e6);
        if (w.gross > (isFlt ? value : 100e6)) {
            vm.assertEq(fast.creditOf(fast.withdrawalId(w)), isFlt ? value : 100e6);
        }
    }
}
