// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {DevUsdc} from "../../src/dev/DevUsdc.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {ILinkedTokenController} from "../../src/interfaces/IWithdrawals.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {CallMsg, IpcEnvelope, IpcMsgKind, OutcomeType, Withdrawal} from "../../src/ipc/Types.sol";
import {FastWithdrawals} from "../../src/withdraw/FastWithdrawals.sol";
import {Payouts} from "../../src/withdraw/Payouts.sol";
import {LinkedTokenController} from "../../src/usdc/LinkedTokenController.sol";
import {NastyUsdc, World} from "../withdraw/World.sol";

/// @dev Deposits once more from within a deposit.
contract ReentrantUsdc is DevUsdc {
    LinkedTokenController private victim;
    bytes public answer;

    constructor(address owner) DevUsdc(owner) {}

    function aim(LinkedTokenController controller) external {
        victim = controller;
        _mint(address(this), 100e6);
        _approve(address(this), address(controller), type(uint256).max);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (from != address(this)) {
            // Its failure is what is tested.
            // forge-lint: disable-next-line(unchecked-call)
            (, answer) = address(victim).call(abi.encodeCall(victim.linkedTransfer, (from, amount)));
        }
        return super.transferFrom(from, to, amount);
    }
}

/// @dev Calls somebody once, from within the next transfer.
contract HookedUsdc is DevUsdc {
    address private target;
    bytes private data;
    bool public ok;
    bytes public answer;

    constructor(address owner) DevUsdc(owner) {}

    function hook(address target_, bytes calldata data_) external {
        (target, data, ok, answer) = (target_, data_, false, "");
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        _callOnce();
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _callOnce();
        return super.transferFrom(from, to, amount);
    }

    function _callOnce() private {
        address once = target;
        if (once == address(0)) return;
        target = address(0);
        (ok, answer) = once.call(data);
    }
}

contract LinkedTokenControllerTest is World {
    NastyUsdc internal nasty;

    function setUp() public override {
        super.setUp();
        nasty = new NastyUsdc(address(this));
        build(address(nasty));
    }

    function failed(IpcEnvelope memory e) private returns (IpcEnvelope memory result) {
        subnetGateway.refuse(e);
        return lastFromSubnet();
    }

    function approveAs(address from, uint256 amount) private {
        usdc.mint(from, amount);
        vm.prank(from);
        usdc.approve(address(controller), amount);
    }

    function test_aDepositSendsOneCallOfValueZero() public {
        approveAs(alice, 25e6);
        vm.prank(alice);
        IpcEnvelope memory e = controller.linkedTransfer(bob, 25e6);
        vm.assertTrue(e.kind == IpcMsgKind.Call);
        vm.assertEq(e.value, 0);
        vm.assertEq(uint256(e.originalNonce), 0);
        vm.assertEq(Fvm.evm(e.to.rawAddress), address(replica));
        vm.assertEq(keccak256(abi.encode(e.to.subnetId)), keccak256(abi.encode(subnetId())));
        CallMsg memory call_ = abi.decode(e.message, (CallMsg));
        vm.assertEq(call_.method, hex"dfb85dac");
        vm.assertEq(call_.params, abi.encode(bob, uint256(25e6)));
        vm.assertEq(usdc.balanceOf(address(controller)), 25e6);
        vm.assertEq(controller.lockedNow(), 25e6);
        (address sender, uint256 amount, bool pending) = controller.refundOf(Envelopes.tracingId(e));
        vm.assertEq(sender, alice);
        vm.assertEq(amount, 25e6);
        vm.assertFalse(pending);
        vm.assertTrue(subnetGateway.execute(e) == OutcomeType.Ok);
        vm.assertEq(replica.balanceOf(bob), 25e6);
    }

    function test_equalDepositsHaveTheirOwnEntries() public {
        IpcEnvelope memory a = sendDeposit(alice, bob, 2e6);
        IpcEnvelope memory b = sendDeposit(alice, bob, 2e6);
        vm.assertNotEq(Envelopes.tracingId(a), Envelopes.tracingId(b));
        vm.assertTrue(rootGateway.execute(failed(a)) == OutcomeType.Ok);
        vm.assertTrue(rootGateway.execute(failed(b)) == OutcomeType.Ok);
        vm.assertEq(usdc.balanceOf(alice), 4e6);
    }

    function test_aDepositByPermitNeedsNoApproval() public {
        (address owner, uint256 key) = makeAddrAndKey("owner");
        usdc.mint(owner, 5e6);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, permitDigest(owner, 5e6, 1000));
        vm.prank(owner);
        controller.linkedTransferWithPermit(bob, 5e6, 1000, v, r, s);
        vm.assertEq(controller.lockedNow(), 5e6);
    }

    function test_aPermitUsedBeforeByAnotherDoesNotStopTheDeposit() public {
        (address owner, uint256 key) = makeAddrAndKey("owner");
        usdc.mint(owner, 5e6);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, permitDigest(owner, 5e6, 1000));
        usdc.permit(owner, address(controller), 5e6, 1000, v, r, s);
        vm.prank(owner);
        controller.linkedTransferWithPermit(bob, 5e6, 1000, v, r, s);
        vm.assertEq(controller.lockedNow(), 5e6);
    }

    function permitDigest(address owner, uint256 amount, uint256 deadline) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 item =
            keccak256(abi.encode(typeHash, owner, address(controller), amount, usdc.nonces(owner), deadline));
        return keccak256(abi.encodePacked(hex"1901", usdc.DOMAIN_SEPARATOR(), item));
    }

    function test_aTokenThatTakesAFeeIsRefused() public {
        approveAs(alice, 10e6);
        nasty.setMode(NastyUsdc.Mode.Fee);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(LinkedTokenController.UnexpectedBalanceChange.selector, 10e6, 10e6 - 1)
        );
        controller.linkedTransfer(bob, 10e6);
    }

    function test_aDepositWithinADepositIsRefused() public {
        ReentrantUsdc token = new ReentrantUsdc(address(this));
        build(address(token));
        token.aim(controller);
        sendDeposit(alice, bob, 5e6);
        vm.assertEq(
            token.answer(), abi.encodePacked(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
        vm.assertEq(controller.lockedNow(), 5e6);
    }

    /// @dev A withdrawal that is executed from within a deposit settles all the
    /// same; it is paid later, since we are locked.
    function test_settlingWithinADepositReservesAndNeverFails() public {
        HookedUsdc token = new HookedUsdc(address(this));
        build(address(token));
        depositUsdc(alice, alice, 20e6);
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 7e6, bob));
        bytes32 id = fast.withdrawalId(w);
        approveAs(carol, 5e6);
        token.hook(address(rootGateway), abi.encodeCall(rootGateway.execute, (e)));
        vm.prank(carol);
        controller.linkedTransfer(carol, 5e6);

        vm.assertTrue(token.ok());
        vm.assertTrue(abi.decode(token.answer(), (OutcomeType)) == OutcomeType.Ok);
        vm.assertEq(usdc.balanceOf(bob), 0);
        vm.assertEq(controller.reservedFor(id), 7e6);
        vm.assertEq(fast.creditOf(id), 7e6);
        vm.assertEq(controller.lockedNow(), 20e6 + 5e6 - 7e6);
        fast.push(w);
        vm.assertEq(usdc.balanceOf(bob), 7e6);
        vm.assertEq(controller.reservedFor(id), 0);
        ILinkedTokenController.Counters memory c = controller.getCounters();
        vm.assertEq(c.reserved, 7e6);
        vm.assertEq(c.reservesPaid, 7e6);
        vm.assertEq(usdc.balanceOf(address(controller)), controller.lockedNow());
    }

    /// @dev From within the payment of a withdrawal nothing of it can be taken
    /// again, and nobody deposits or is refunded.
    function test_nothingIsTakenFromWithinAPayment() public {
        HookedUsdc token = new HookedUsdc(address(this));
        build(address(token));
        depositUsdc(alice, alice, 40e6);
        (Withdrawal memory w, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(usdc), 7e6, bob));
        bytes[4] memory attempts = [
            abi.encodeCall(fast.push, (w)),
            abi.encodeCall(fast.claim, (w, carol)),
            abi.encodeCall(controller.linkedTransfer, (carol, 1e6)),
            abi.encodeCall(controller.claimRefund, (bytes32(0), carol))
        ];
        for (uint256 i = 0; i < attempts.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            address victim = i < 2 ? address(fast) : address(controller);
            token.hook(victim, attempts[i]);
            vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
            vm.assertFalse(token.ok());
            bytes4 why = i < 2
                ? FastWithdrawals.Reentered.selector
                : ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
            vm.assertEq(token.answer(), abi.encodePacked(why));
            vm.assertEq(usdc.balanceOf(bob), 7e6);
            vm.assertEq(usdc.balanceOf(address(controller)), 33e6);
            vm.assertEq(controller.lockedNow(), 33e6);
            vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 0);
            vm.revertToState(snapshot);
        }
    }

    function test_amountsOutsideTheLimitsAreRefused() public {
        approveAs(alice, 2 * USDC_MAX);
        vm.startPrank(alice);
        vm.expectPartialRevert(LinkedTokenController.AmountOutOfRange.selector);
        controller.linkedTransfer(bob, USDC_MIN - 1);
        vm.expectPartialRevert(LinkedTokenController.AmountOutOfRange.selector);
        controller.linkedTransfer(bob, USDC_MAX + 1);
        controller.linkedTransfer(bob, USDC_MIN);
        controller.linkedTransfer(bob, USDC_MAX);
        vm.stopPrank();
        (uint256 min, uint256 max) = controller.depositLimits();
        vm.assertEq(min, USDC_MIN);
        vm.assertEq(max, USDC_MAX);
    }

    function test_aFailedDepositRefundsItsSenderExactlyOnce() public {
        IpcEnvelope memory e = sendDeposit(alice, bob, 9e6);
        bytes32 id = Envelopes.tracingId(e);
        IpcEnvelope memory result = failed(e);
        vm.expectEmit(address(controller));
        emit ILinkedTokenController.DepositRefunded(id, alice, 9e6, true);
        vm.assertTrue(rootGateway.execute(result) == OutcomeType.Ok);
        vm.assertEq(usdc.balanceOf(alice), 9e6);
        vm.assertEq(controller.lockedNow(), 0);

        vm.assertTrue(rootGateway.execute(result) == OutcomeType.ActorErr);
        vm.assertEq(rootGateway.lastError(), abi.encodePacked(IIpcHandler.UnrecognizedResult.selector));
        vm.assertEq(usdc.balanceOf(alice), 9e6);
        vm.assertEq(controller.getCounters().refunded, 9e6);
        vm.assertEq(controller.getCounters().refundsPaid, 9e6);
    }

    function test_anOkResultOnlyClearsTheEntry() public {
        IpcEnvelope memory e = sendDeposit(alice, bob, 9e6);
        IpcEnvelope memory ok = Envelopes.resultFor(e, OutcomeType.Ok, "");
        vm.assertTrue(rootGateway.execute(ok) == OutcomeType.Ok);
        (address sender,,) = controller.refundOf(Envelopes.tracingId(e));
        vm.assertEq(sender, address(0));
        vm.assertEq(controller.lockedNow(), 9e6);
        // A failure that comes after it finds nothing.
        vm.assertTrue(rootGateway.execute(failed(e)) == OutcomeType.ActorErr);
    }

    function test_aRefundTheTokenRefusesIsKeptForItsDepositor() public {
        NastyUsdc.Mode[4] memory modes = [
            NastyUsdc.Mode.Paused,
            NastyUsdc.Mode.ReturnsFalse,
            NastyUsdc.Mode.BurnsGas,
            NastyUsdc.Mode.ReturnBomb
        ];
        for (uint256 i = 0; i < modes.length; i++) {
            IpcEnvelope memory e = sendDeposit(alice, bob, 9e6);
            bytes32 id = Envelopes.tracingId(e);
            nasty.setMode(modes[i]);
            vm.assertTrue(rootGateway.execute(failed(e)) == OutcomeType.Ok);
            (address sender, uint256 amount, bool pending) = controller.refundOf(id);
            vm.assertEq(sender, alice);
            vm.assertEq(amount, 9e6);
            vm.assertTrue(pending);

            nasty.setMode(NastyUsdc.Mode.Plain);
            vm.prank(bob);
            vm.expectRevert(LinkedTokenController.NothingToClaim.selector);
            controller.claimRefund(id, bob);
            vm.startPrank(alice);
            vm.expectPartialRevert(LinkedTokenController.InvalidReceiver.selector);
            controller.claimRefund(id, address(controller));
            controller.claimRefund(id, carol);
            vm.expectRevert(LinkedTokenController.NothingToClaim.selector);
            controller.claimRefund(id, carol);
            vm.stopPrank();
        }
        vm.assertEq(usdc.balanceOf(carol), 36e6);
        vm.assertEq(usdc.balanceOf(address(controller)), 0);
        vm.assertEq(controller.getCounters().refundsPaid, 36e6);
    }

    function test_aStarvedRefundRevertsInsteadOfBecomingACredit() public {
        IpcEnvelope memory e = sendDeposit(alice, bob, 9e6);
        IpcEnvelope memory result = failed(e);
        uint256 served;
        uint256 starved;
        for (uint256 g = 20_000; g < 700_000; g += 10_000) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(address(rootGateway));
            (bool ok, bytes memory reason) =
                address(controller).call{gas: g}(abi.encodeCall(IIpcHandler.handleIpcMessage, (result)));
            if (ok) {
                vm.assertEq(usdc.balanceOf(alice), 9e6);
                served++;
            }
            // forge-lint: disable-next-line(unsafe-typecast)
            if (!ok && bytes4(reason) == Payouts.NotEnoughGas.selector) starved++;
            vm.revertToState(snapshot);
        }
        vm.assertGt(served, 10);
        // Refused with gas to spare: the promise counts, not what it costs here.
        vm.assertGt(starved, 10);
    }

    function test_itHearsOnlyItsGatewayItsReplicaAndResults() public {
        IpcEnvelope memory e = sendDeposit(alice, bob, 9e6);
        IpcEnvelope memory result = failed(e);
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        controller.handleIpcMessage(result);

        vm.startPrank(address(rootGateway));
        result.from.rawAddress = Fvm.from(address(outbox));
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        controller.handleIpcMessage(result);
        result.from.rawAddress = Fvm.from(address(replica));
        result.from.subnetId.route[0] = address(0xdead);
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        controller.handleIpcMessage(result);
        result.kind = IpcMsgKind.Call;
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        controller.handleIpcMessage(result);
        vm.stopPrank();
    }

    function test_onlyFastWithdrawalsReservesAndPays() public {
        depositUsdc(alice, alice, 9e6);
        vm.expectRevert(LinkedTokenController.NotFastWithdrawals.selector);
        controller.settle(bytes32(uint256(1)), 1, bob);
        vm.expectRevert(LinkedTokenController.NotFastWithdrawals.selector);
        controller.payReserved(bytes32(uint256(1)), bob);

        vm.startPrank(address(fast));
        // To nobody: reserved, and pulled later.
        (uint256 reserved, bool paid) = controller.settle(bytes32(uint256(1)), 4e6, address(0));
        vm.assertEq(reserved, 4e6);
        vm.assertFalse(paid);
        vm.assertEq(controller.lockedNow(), 5e6);
        vm.assertEq(controller.reservedFor(bytes32(uint256(1))), 4e6);
        vm.expectPartialRevert(LinkedTokenController.AlreadyReserved.selector);
        controller.settle(bytes32(uint256(1)), 1e6, address(0));
        vm.assertEq(controller.lockedNow(), 5e6);

        nasty.setMode(NastyUsdc.Mode.ReturnsFalse);
        vm.expectRevert();
        controller.payReserved(bytes32(uint256(1)), bob);
        nasty.setMode(NastyUsdc.Mode.Plain);
        vm.assertEq(controller.payReserved(bytes32(uint256(1)), bob), 4e6);
        vm.expectPartialRevert(LinkedTokenController.NothingReserved.selector);
        controller.payReserved(bytes32(uint256(1)), bob);
        vm.stopPrank();
        vm.assertEq(usdc.balanceOf(bob), 4e6);
    }

    /// @dev What is paid on the spot is in both counters, in both events, and is
    /// owed no more.
    function test_whatIsPaidAtOnceIsNotReservedAsWell() public {
        depositUsdc(alice, alice, 9e6);
        bytes32 id = bytes32(uint256(1));
        vm.expectEmit(address(controller));
        emit ILinkedTokenController.Reserved(id, 4e6);
        vm.expectEmit(address(controller));
        emit ILinkedTokenController.ReservePaid(id, bob, 4e6);
        vm.startPrank(address(fast));
        (uint256 reserved, bool paid) = controller.settle(id, 4e6, bob);
        vm.assertEq(reserved, 4e6);
        vm.assertTrue(paid);
        vm.assertEq(usdc.balanceOf(bob), 4e6);
        vm.assertEq(controller.lockedNow(), 5e6);
        vm.assertEq(controller.reservedFor(id), 0);
        ILinkedTokenController.Counters memory c = controller.getCounters();
        vm.assertEq(c.reserved, 4e6);
        vm.assertEq(c.reservesPaid, 4e6);
        vm.expectPartialRevert(LinkedTokenController.NothingReserved.selector);
        controller.payReserved(id, bob);
    }

    /// @dev A token that refuses in whatever way: nothing moved, all reserved.
    function test_whatTheTokenRefusesStaysReserved() public {
        NastyUsdc.Mode[4] memory modes = [
            NastyUsdc.Mode.Paused,
            NastyUsdc.Mode.ReturnsFalse,
            NastyUsdc.Mode.BurnsGas,
            NastyUsdc.Mode.ReturnBomb
        ];
        depositUsdc(alice, alice, 9e6);
        for (uint256 i = 0; i < modes.length; ++i) {
            nasty.setMode(modes[i]);
            bytes32 id = bytes32(i + 1);
            vm.prank(address(fast));
            (uint256 reserved, bool paid) = controller.settle(id, 1e6, bob);
            vm.assertEq(reserved, 1e6);
            vm.assertFalse(paid);
            vm.assertEq(controller.reservedFor(id), 1e6);
        }
        vm.assertEq(usdc.balanceOf(bob), 0);
        vm.assertEq(controller.getCounters().reserved, 4e6);
        vm.assertEq(controller.getCounters().reservesPaid, 0);
        nasty.setMode(NastyUsdc.Mode.Plain);
        for (uint256 i = 0; i < modes.length; ++i) {
            vm.prank(address(fast));
            vm.assertEq(controller.payReserved(bytes32(i + 1), bob), 1e6);
        }
        vm.assertEq(usdc.balanceOf(bob), 4e6);
        vm.assertEq(controller.getCounters().reservesPaid, 4e6);
    }

    /// @dev Escrow that is short: what there is is reserved and not paid, since
    /// nobody has said who takes the loss.
    function test_aShortEscrowReservesWhatItHasAndPaysNothing() public {
        depositUsdc(alice, alice, 9e6);
        bytes32 id = bytes32(uint256(1));
        vm.startPrank(address(fast));
        (uint256 reserved, bool paid) = controller.settle(id, type(uint256).max, bob);
        vm.assertEq(reserved, 9e6);
        vm.assertFalse(paid);
        vm.assertEq(usdc.balanceOf(bob), 0);
        vm.assertEq(controller.reservedFor(id), 9e6);
        vm.assertEq(controller.lockedNow(), 0);
        (reserved, paid) = controller.settle(bytes32(uint256(2)), 1, bob);
        vm.assertEq(reserved, 0);
        vm.assertFalse(paid);
        vm.assertEq(controller.reservedFor(bytes32(uint256(2))), 0);
        vm.assertEq(controller.getCounters().reserved, 9e6);
    }

    function test_aMisconfiguredControllerIsNotBuilt() public {
        address gw = address(rootGateway);
        vm.expectRevert(LinkedTokenController.InvalidConfiguration.selector);
        new LinkedTokenController(gw, subnetId(), address(1), alice, address(2), 1, 2);
        vm.expectRevert(LinkedTokenController.InvalidConfiguration.selector);
        new LinkedTokenController(gw, subnetId(), address(1), address(usdc), address(0), 1, 2);
        vm.expectRevert(LinkedTokenController.InvalidConfiguration.selector);
        new LinkedTokenController(gw, subnetId(), address(1), address(usdc), address(2), 0, 2);
        vm.expectRevert(LinkedTokenController.InvalidConfiguration.selector);
        new LinkedTokenController(gw, subnetId(), address(1), address(usdc), address(2), 3, 2);
        vm.expectRevert(LinkedTokenController.InvalidConfiguration.selector);
        new LinkedTokenController(gw, subnetId(), address(1), address(usdc), address(2), 1, 1 << 96);
        vm.assertEq(controller.underlying(), address(usdc));
        vm.assertEq(controller.fastWithdrawals(), address(fast));
    }

    function testFuzz_whatIsDepositedIsMinted(uint256 amount, address to) public {
        amount = bound(amount, USDC_MIN, USDC_MAX);
        vm.assume(!Fvm.isForbidden(to));
        vm.assume(to != address(replica) && to != address(outbox) && to != address(subnetGateway));
        depositUsdc(alice, to, amount);
        vm.assertEq(replica.balanceOf(to), amount);
        vm.assertEq(replica.minted(), controller.lockedNow());
    }
}
