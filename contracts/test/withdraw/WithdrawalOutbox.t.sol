// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {IWithdrawalOutbox} from "../../src/interfaces/IWithdrawals.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {
    CallMsg,
    IpcEnvelope,
    IpcMsgKind,
    OutcomeType,
    SubnetID,
    Withdrawal,
    WithdrawalRequest
} from "../../src/ipc/Types.sol";
import {LinkedTokenReplica} from "../../src/usdc/LinkedTokenReplica.sol";
import {PeerLink} from "../../src/withdraw/PeerLink.sol";
import {OutboxParams, WithdrawalOutbox} from "../../src/withdraw/WithdrawalOutbox.sol";
import {World} from "./World.sol";

contract WithdrawalOutboxTest is World {
    function returned(address token, uint256 amount)
        private
        returns (Withdrawal memory w, IpcEnvelope memory e)
    {
        if (token == address(usdc)) depositUsdc(alice, alice, amount);
        (w, e) = sendWithdrawal(alice, request(token, amount, bob));
        rootGateway.refuse(e);
        vm.assertTrue(subnetGateway.execute(lastFromRoot()) == OutcomeType.Ok);
    }

    function test_anFltWithdrawalSendsItsValueToFastWithdrawals() public {
        WithdrawalRequest memory r = request(address(flt), 5 ether, bob);
        r.minOut = 4.9 ether;
        r.fillDeadline = 1000;
        r.exclusiveFiller = carol;
        r.exclusivityDeadline = 900;
        r.maxFeeBps = 10_000;
        uint256 before = address(subnetGateway).balance;
        Withdrawal memory w = expected(alice, r);
        vm.expectEmit(address(outbox));
        emit IWithdrawalOutbox.WithdrawalSent(outbox.withdrawalId(w), 0, 0, w);
        (, IpcEnvelope memory e) = sendWithdrawal(alice, r);

        vm.assertEq(uint256(e.value), 5 ether);
        vm.assertEq(keccak256(abi.encode(e.to.subnetId)), keccak256(abi.encode(rootId())));
        vm.assertEq(Fvm.evm(e.to.rawAddress), address(fast));
        CallMsg memory call_ = abi.decode(e.message, (CallMsg));
        vm.assertEq(call_.method, hex"128379ba");
        vm.assertEq(call_.params, abi.encode(w));
        vm.assertEq(uint256(e.originalNonce), 0); // asks for no Result
        vm.assertEq(address(subnetGateway).balance - before, 5 ether + EXIT_FEE);
        vm.assertEq(address(outbox).balance, 0);
        vm.assertEq(outbox.inflight(Envelopes.tracingId(e)), outbox.withdrawalId(w));
        vm.assertEq(uint256(outbox.nonce()), 1);
    }

    function test_aUsdcWithdrawalBurnsAndSendsNoValue() public {
        depositUsdc(alice, alice, 30e6);
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 20e6, bob));
        vm.assertEq(e.value, 0);
        vm.assertEq(replica.balanceOf(alice), 10e6);
        vm.assertEq(replica.burnt(), 20e6);
        vm.assertEq(w.gross, 20e6);
    }

    function test_twoEqualWithdrawalsHaveTwoIds() public {
        (Withdrawal memory a, IpcEnvelope memory ea) =
            sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        (Withdrawal memory b, IpcEnvelope memory eb) =
            sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        vm.assertNotEq(outbox.withdrawalId(a), outbox.withdrawalId(b));
        vm.assertNotEq(Envelopes.tracingId(ea), Envelopes.tracingId(eb));
    }

    function test_theAccumulatorHoldsEveryIdInOrderAndNoResend() public {
        bytes32[] memory ids = new bytes32[](3);
        for (uint256 i = 0; i < 3; i++) {
            (Withdrawal memory w,) = sendWithdrawal(alice, request(address(flt), 1 ether, bob));
            ids[i] = outbox.withdrawalId(w);
        }
        bytes32 l0 = keccak256(abi.encodePacked(uint8(0), ids[0]));
        bytes32 l1 = keccak256(abi.encodePacked(uint8(0), ids[1]));
        bytes32 l2 = keccak256(abi.encodePacked(uint8(0), ids[2]));
        bytes32 bag = keccak256(abi.encodePacked(uint8(1), keccak256(abi.encodePacked(uint8(1), l0, l1)), l2));
        (uint64 count, bytes32 root) = outbox.accumulator();
        vm.assertEq(uint256(count), 3);
        vm.assertEq(root, keccak256(abi.encodePacked(uint8(2), uint64(3), bag)));

        (Withdrawal memory again,) = returned(address(flt), 1 ether);
        (count, root) = outbox.accumulator();
        outbox.resend{value: EXIT_FEE}(again);
        (uint64 count2, bytes32 root2) = outbox.accumulator();
        vm.assertEq(uint256(count2), uint256(count));
        vm.assertEq(root2, root);
    }

    function test_everyBadRequestIsRefusedAtTheSender() public {
        WithdrawalRequest memory r = request(address(0xdead), 1 ether, bob);
        vm.expectRevert(abi.encodeWithSelector(WithdrawalOutbox.UnsupportedToken.selector, address(0xdead)));
        outbox.withdraw{value: EXIT_FEE}(r);

        r = request(address(flt), FLT_MIN - 1, bob);
        vm.expectPartialRevert(WithdrawalOutbox.AmountOutOfRange.selector);
        outbox.withdraw{value: r.amount + EXIT_FEE}(r);
        r = request(address(usdc), USDC_MAX + 1, bob);
        vm.expectPartialRevert(WithdrawalOutbox.AmountOutOfRange.selector);
        outbox.withdraw{value: EXIT_FEE}(r);

        r = request(address(flt), 1 ether, bob);
        r.minOut = 1 ether + 1;
        vm.expectPartialRevert(WithdrawalOutbox.InvalidMinOut.selector);
        outbox.withdraw{value: 1 ether + EXIT_FEE}(r);

        r.minOut = 0;
        r.maxFeeBps = 10_001;
        vm.expectPartialRevert(WithdrawalOutbox.InvalidMaxFee.selector);
        outbox.withdraw{value: 1 ether + EXIT_FEE}(r);
    }

    function test_theValueMustBeExact() public {
        WithdrawalRequest memory r = request(address(flt), 1 ether, bob);
        uint256[3] memory values = [uint256(1 ether), 1 ether + EXIT_FEE - 1, 1 ether + EXIT_FEE + 1];
        for (uint256 i = 0; i < 3; i++) {
            vm.expectPartialRevert(WithdrawalOutbox.WrongValue.selector);
            outbox.withdraw{value: values[i]}(r);
        }
        depositUsdc(alice, alice, 10e6);
        r = request(address(usdc), 10e6, bob);
        vm.expectPartialRevert(WithdrawalOutbox.WrongValue.selector);
        vm.prank(alice);
        outbox.withdraw{value: EXIT_FEE + 1}(r);
    }

    function test_nobodyWithdrawsUsdcHeDoesNotHold() public {
        depositUsdc(alice, alice, 10e6);
        WithdrawalRequest memory r = request(address(usdc), 10e6, bob);
        vm.deal(bob, 1 ether);
        vm.expectRevert();
        vm.prank(bob);
        outbox.withdraw{value: EXIT_FEE}(r);
    }

    function test_aFailureResultIsHeldAndResentUnchangedByAnyone() public {
        (Withdrawal memory w, IpcEnvelope memory first) = returned(address(flt), 3 ether);
        bytes32 id = outbox.withdrawalId(w);
        vm.assertEq(uint256(outbox.stateOf(id)), 1);
        vm.assertEq(outbox.heldFlt(), 3 ether);
        vm.assertEq(address(outbox).balance, 3 ether);

        vm.deal(carol, 1 ether);
        vm.prank(carol);
        outbox.resend{value: EXIT_FEE}(w);
        IpcEnvelope memory second = lastFromSubnet();
        vm.assertEq(second.message, first.message);
        vm.assertEq(second.value, first.value);
        vm.assertNotEq(Envelopes.tracingId(second), Envelopes.tracingId(first));
        vm.assertEq(uint256(outbox.stateOf(id)), 0);
        vm.assertEq(outbox.heldFlt(), 0);
        vm.assertEq(address(outbox).balance, 0);

        // It can fail again, and again be sent.
        rootGateway.refuse(second);
        vm.assertTrue(subnetGateway.execute(lastFromRoot()) == OutcomeType.Ok);
        vm.assertEq(outbox.heldFlt(), 3 ether);
    }

    /// @dev The outbox keeps no amount of USDC: the withdrawal is its id, so only
    /// the same amount can go again, and as often as it fails.
    function test_aReturnedUsdcWithdrawalIsSentAgainWithItsOwnAmountAndPaidOnce() public {
        (Withdrawal memory w, IpcEnvelope memory first) = returned(address(usdc), 7e6);
        bytes32 id = outbox.withdrawalId(w);
        vm.assertEq(replica.totalSupply(), 0);
        vm.assertEq(outbox.heldFlt(), 0);
        w.gross = 7e6 + 1;
        vm.expectPartialRevert(WithdrawalOutbox.NotReturned.selector);
        outbox.resend{value: EXIT_FEE}(w);
        w.gross = 7e6;
        outbox.resend{value: EXIT_FEE}(w);
        vm.assertEq(uint256(outbox.stateOf(id)), 0);
        vm.expectPartialRevert(WithdrawalOutbox.NotReturned.selector);
        outbox.resend{value: EXIT_FEE}(w);

        rootGateway.refuse(lastFromSubnet());
        vm.assertTrue(subnetGateway.execute(lastFromRoot()) == OutcomeType.Ok);
        vm.assertEq(uint256(outbox.stateOf(id)), 1);
        outbox.resend{value: EXIT_FEE}(w);
        vm.assertEq(replica.totalSupply(), 0);
        IpcEnvelope memory last = lastFromSubnet();
        vm.assertEq(last.message, first.message);
        vm.assertTrue(rootGateway.execute(last) == OutcomeType.Ok);
        vm.assertEq(usdc.balanceOf(w.recipient), 7e6);
        vm.assertEq(controller.lockedNow(), 0);
    }

    function test_resendRefusesWhatIsNotReturned() public {
        (Withdrawal memory w,) = sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        vm.expectPartialRevert(WithdrawalOutbox.NotReturned.selector);
        outbox.resend{value: EXIT_FEE}(w); // in flight

        (w,) = returned(address(flt), 2 ether);
        Withdrawal memory other = w;
        other.recipient = carol;
        vm.expectPartialRevert(WithdrawalOutbox.NotReturned.selector);
        outbox.resend{value: EXIT_FEE}(other); // never sent
        other.recipient = bob;

        vm.expectPartialRevert(WithdrawalOutbox.WrongValue.selector);
        outbox.resend{value: EXIT_FEE - 1}(w);

        outbox.resend{value: EXIT_FEE}(w);
        vm.expectPartialRevert(WithdrawalOutbox.NotReturned.selector);
        outbox.resend{value: EXIT_FEE}(w); // twice
    }

    function test_aRepeatedOrForeignResultIsUnrecognized() public {
        (, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        rootGateway.refuse(e);
        IpcEnvelope memory result = lastFromRoot();

        IpcEnvelope memory foreign = abi.decode(abi.encode(result), (IpcEnvelope));
        foreign.from.rawAddress = Fvm.from(address(controller));
        vm.assertTrue(subnetGateway.execute(foreign) == OutcomeType.ActorErr);
        vm.assertEq(subnetGateway.lastError(), abi.encodePacked(IIpcHandler.UnrecognizedResult.selector));

        vm.assertTrue(subnetGateway.execute(result) == OutcomeType.Ok);
        vm.assertTrue(subnetGateway.execute(result) == OutcomeType.ActorErr);
        vm.assertEq(subnetGateway.lastError(), abi.encodePacked(IIpcHandler.UnrecognizedResult.selector));
        vm.assertEq(outbox.heldFlt(), 1 ether);
    }

    function test_anOkResultOnlyClearsTheEntry() public {
        (Withdrawal memory w, IpcEnvelope memory e) =
            sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        IpcEnvelope memory ok = Envelopes.resultFor(e, OutcomeType.Ok, "");
        vm.assertTrue(subnetGateway.execute(ok) == OutcomeType.Ok);
        vm.assertEq(outbox.inflight(Envelopes.tracingId(e)), bytes32(0));
        vm.assertEq(uint256(outbox.stateOf(outbox.withdrawalId(w))), 0);
    }

    function test_itHearsOnlyItsGatewayAndOnlyResults() public {
        (, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        IpcEnvelope memory result = Envelopes.resultFor(e, OutcomeType.ActorErr, "");
        result.value = 0;
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        outbox.handleIpcMessage(result);

        result.kind = IpcMsgKind.Call;
        vm.prank(address(subnetGateway));
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        outbox.handleIpcMessage(result);
        result.kind = IpcMsgKind.Transfer;
        vm.prank(address(subnetGateway));
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        outbox.handleIpcMessage(result);
    }

    function test_limitsAreThoseOfTheToken() public view {
        (uint256 min, uint256 max) = outbox.limits(address(flt));
        vm.assertEq(min, FLT_MIN);
        vm.assertEq(max, FLT_MAX);
        (min, max) = outbox.limits(address(usdc));
        vm.assertEq(min, USDC_MIN);
        vm.assertEq(max, USDC_MAX);
        (min, max) = outbox.limits(address(replica));
        vm.assertEq(max, 0);
    }

    function test_aMisconfiguredOutboxIsNotBuilt() public {
        OutboxParams memory p = outboxParams();
        p.rootUsdc = p.rootFlt;
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.fltMin = 0;
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.usdcMin = p.usdcMax + 1;
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.rootGateway = address(0);
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.controller = address(0);
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.fastWithdrawals = address(0);
        vm.expectRevert(PeerLink.InvalidPeer.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.rootNetwork.route = new address[](3);
        vm.expectRevert(PeerLink.InvalidPeer.selector);
        new WithdrawalOutbox(p);
    }

    /// @dev The genesis puts the runtime code somewhere else than where it was
    /// made: nothing in it may know its own address.
    function test_theRuntimeCodeWorksAtAnotherAddress() public {
        address predeploy = 0x77Aa40B105843728088C0132e43FC44348881D02;
        vm.etch(predeploy, address(outbox).code);
        outbox = WithdrawalOutbox(predeploy);
        (Withdrawal memory w, IpcEnvelope memory e) =
            sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        vm.assertEq(w.outbox, predeploy);
        vm.assertEq(Fvm.evm(e.from.rawAddress), predeploy);
    }

    function test_peersOfEveryDepthUpToTwoAreKept() public {
        for (uint256 depth = 0; depth <= 2; depth++) {
            SubnetID memory id;
            id.root = 7;
            id.route = new address[](depth);
            for (uint256 i = 0; i < depth; i++) {
                // forge-lint: disable-next-line(unsafe-typecast)
                id.route[i] = address(uint160(100 + i));
            }
            LinkedTokenReplica o = new LinkedTokenReplica(
                address(subnetGateway), id, address(controller), address(outbox), 1, "USD Coin", "USDC"
            );
            vm.assertEq(keccak256(abi.encode(o.peerAddress().subnetId)), keccak256(abi.encode(id)));
            vm.assertEq(Fvm.evm(o.peerAddress().rawAddress), address(controller));
            vm.assertEq(o.gateway(), address(subnetGateway));
        }
        vm.assertEq(outbox.subnetKey(), keccak256(abi.encode(subnetId())));
    }

    /// @dev The gateway takes messages to its root only.
    function test_anOutboxStandsDirectlyBelowItsRoot() public {
        OutboxParams memory p = outboxParams();
        p.rootNetwork.root += 1;
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.rootNetwork.route = new address[](1);
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.subnet.route = new address[](0);
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.subnet.route = new address[](2);
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
        p = outboxParams();
        p.subnet.route[0] = address(0);
        vm.expectRevert(WithdrawalOutbox.InvalidConfiguration.selector);
        new WithdrawalOutbox(p);
    }

    function testFuzz_everyWithdrawalWithinLimitsIsSent(
        uint256 amount,
        address to,
        address fallback_,
        uint16 fee
    ) public {
        amount = bound(amount, FLT_MIN, FLT_MAX);
        vm.assume(!Fvm.isForbidden(to) && !Fvm.isForbidden(fallback_));
        vm.assume(to != address(fast) && to != address(flt) && to != address(usdc) && to != address(outbox));
        vm.assume(to != address(replica) && to != address(subnetGateway));
        vm.assume(fallback_ != address(fast) && fallback_ != address(flt) && fallback_ != address(usdc));
        vm.assume(fallback_ != address(outbox) && fallback_ != address(replica));
        vm.assume(fallback_ != address(subnetGateway));
        vm.assume(to != address(rootGateway) && to != address(controller) && to != ACTOR);
        vm.assume(fallback_ != ACTOR);
        vm.assume(fallback_ != address(rootGateway) && fallback_ != address(controller));
        WithdrawalRequest memory r = request(address(flt), amount, to);
        r.fallbackRecipient = fallback_;
        r.maxFeeBps = uint16(bound(fee, 0, 10_000));
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, r);
        vm.assertEq(e.value, amount);
        vm.assertTrue(abi.encode(e).length <= Envelopes.MAX_ENVELOPE);
        vm.assertEq(outbox.inflight(Envelopes.tracingId(e)), outbox.withdrawalId(w));
    }
}
