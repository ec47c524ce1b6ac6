// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IFastWithdrawals} from "../../src/interfaces/IWithdrawals.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {CallMsg, IpcEnvelope, OutcomeType, Withdrawal, WithdrawalRequest} from "../../src/ipc/Types.sol";
import {LinkedTokenController} from "../../src/usdc/LinkedTokenController.sol";
import {WithdrawalOutbox} from "../../src/withdraw/WithdrawalOutbox.sol";
import {NastyUsdc, World} from "./World.sol";

/// @dev One test per protocol rule that these contracts keep, named after it.
contract RulesTest is World {
    NastyUsdc internal nasty;

    function setUp() public override {
        super.setUp();
        nasty = new NastyUsdc(address(this));
        build(address(nasty));
        depositUsdc(alice, alice, 100e6);
    }

    function withdrawUsdc(uint256 amount) private returns (Withdrawal memory w, IpcEnvelope memory e) {
        return sendWithdrawal(alice, request(address(usdc), amount, bob));
    }

    function margin() private view {
        vm.assertLe(rootGateway.handlerGas() * 3 / 2, ROOT_GAS, "root handler");
        vm.assertLe(subnetGateway.handlerGas() * 3 / 2, SUBNET_GAS, "subnet handler");
    }

    /// @dev Every handler of ours costs at most G / 1.5, at its dearest.
    function test_rule14_everyHandlerKeepsTheMargin() public {
        // Mint to a new holder.
        depositUsdc(alice, makeAddr("fresh"), 5e6);
        margin();
        // Refund: paid, then refused by a token that burns all it is given.
        IpcEnvelope memory a = sendDeposit(alice, bob, 5e6);
        IpcEnvelope memory b = sendDeposit(alice, bob, 5e6);
        subnetGateway.refuse(a);
        vm.assertTrue(rootGateway.execute(lastFromSubnet()) == OutcomeType.Ok);
        margin();
        subnetGateway.refuse(b);
        nasty.setMode(NastyUsdc.Mode.BurnsGas);
        vm.assertTrue(rootGateway.execute(lastFromSubnet()) == OutcomeType.Ok);
        margin();
        nasty.setMode(NastyUsdc.Mode.Plain);

        // Settle: FLT and USDC paid to a new holder; then refused at greatest cost.
        (, IpcEnvelope memory f) = sendWithdrawal(alice, request(address(flt), 1 ether, makeAddr("new")));
        vm.assertTrue(rootGateway.execute(f) == OutcomeType.Ok);
        margin();
        (, IpcEnvelope memory u) = withdrawUsdc(5e6);
        vm.assertTrue(rootGateway.execute(u) == OutcomeType.Ok);
        margin();
        (, u) = withdrawUsdc(5e6);
        nasty.setMode(NastyUsdc.Mode.BurnsGas);
        vm.assertTrue(rootGateway.execute(u) == OutcomeType.Ok);
        vm.assertGt(rootGateway.handlerGas(), 250_000); // it did burn its part
        margin();
        nasty.setMode(NastyUsdc.Mode.Plain);

        // Returned in the subnet: FLT and USDC.
        (, f) = sendWithdrawal(alice, request(address(flt), 1 ether, bob));
        rootGateway.refuse(f);
        vm.assertTrue(subnetGateway.execute(lastFromRoot()) == OutcomeType.Ok);
        margin();
        (, u) = withdrawUsdc(5e6);
        rootGateway.refuse(u);
        vm.assertTrue(subnetGateway.execute(lastFromRoot()) == OutcomeType.Ok);
        margin();
    }

    /// @dev The largest envelopes of ours stay below 4 KiB.
    function test_rule15_envelopesAreSmall() public {
        IpcEnvelope memory d = sendDeposit(alice, bob, 5e6);
        (, IpcEnvelope memory u) = withdrawUsdc(5e6);
        vm.assertLe(abi.encode(d).length, Envelopes.MAX_ENVELOPE);
        vm.assertLe(abi.encode(u).length, Envelopes.MAX_ENVELOPE);
    }

    function test_rule16_forbiddenRecipientsAreRefusedEverywhere() public {
        address[4] memory bad = [
            address(0),
            address(99),
            0xfF00000000000000000000000000000000000007,
            0x77Aa40B105843728088c0132e43FC44348881DA8
        ];
        usdc.mint(alice, 10e6);
        vm.prank(alice);
        usdc.approve(address(controller), 10e6);
        for (uint256 i = 0; i < bad.length; i++) {
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(LinkedTokenController.InvalidReceiver.selector, bad[i]));
            controller.linkedTransfer(bad[i], 5e6);

            WithdrawalRequest memory r = request(address(flt), 1 ether, bad[i]);
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(WithdrawalOutbox.InvalidRecipient.selector, bad[i]));
            outbox.withdraw{value: 1 ether + EXIT_FEE}(r);
            r = request(address(flt), 1 ether, bob);
            r.fallbackRecipient = bad[i];
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(WithdrawalOutbox.InvalidRecipient.selector, bad[i]));
            outbox.withdraw{value: 1 ether + EXIT_FEE}(r);
        }
    }

    /// @dev Nobody withdraws to what FastWithdrawals would not pay: with such a
    /// recipient and fallback a credit would be nobody's.
    function test_rule16_whatTheRootRefusesIsRefusedAtTheSender() public {
        address[6] memory bad =
            [address(rootGateway), address(controller), address(fast), address(flt), address(usdc), ACTOR];
        for (uint256 i = 0; i < bad.length; i++) {
            WithdrawalRequest memory r = request(address(flt), 1 ether, bad[i]);
            vm.prank(alice);
            // The escrow of USDC is no gateway: what goes there becomes the
            // fallback's credit on the root.
            if (bad[i] != address(controller)) {
                vm.expectRevert(abi.encodeWithSelector(WithdrawalOutbox.InvalidRecipient.selector, bad[i]));
            }
            outbox.withdraw{value: 1 ether + EXIT_FEE}(r);
            r = request(address(flt), 1 ether, bob);
            r.fallbackRecipient = bad[i];
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(WithdrawalOutbox.InvalidRecipient.selector, bad[i]));
            outbox.withdraw{value: 1 ether + EXIT_FEE}(r);
        }
    }

    /// @dev A failed deposit has one compensation, a failed withdrawal none.
    function test_rule25_exactlyOneCompensationPerMessage() public {
        IpcEnvelope memory d = sendDeposit(alice, bob, 5e6);
        subnetGateway.refuse(d);
        IpcEnvelope memory result = lastFromSubnet();
        uint256 before = usdc.balanceOf(alice);
        rootGateway.execute(result);
        rootGateway.execute(result);
        vm.assertEq(usdc.balanceOf(alice), before + 5e6);

        uint256 coin = alice.balance;
        (, IpcEnvelope memory f) = sendWithdrawal(alice, request(address(flt), 2 ether, bob));
        rootGateway.refuse(f);
        result = lastFromRoot();
        subnetGateway.execute(result);
        vm.assertTrue(subnetGateway.execute(result) == OutcomeType.ActorErr);
        vm.assertEq(alice.balance, coin - 2 ether - EXIT_FEE);
        vm.assertEq(outbox.heldFlt(), 2 ether);
    }

    /// @dev Donations are in no book and change no decision.
    function test_rule29_donationsAreInNoBook() public {
        uint256 locked = controller.lockedNow();
        usdc.mint(address(controller), 1000e6);
        flt.mint(address(fast), 1000 ether);
        vm.deal(address(outbox), 1000 ether);
        vm.assertEq(controller.lockedNow(), locked);
        vm.assertEq(outbox.heldFlt(), 0);
        (, IpcEnvelope memory e) = sendWithdrawal(alice, request(address(flt), 2 ether, bob));
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
        vm.assertEq(fast.fltReceived(), 2 ether);
        vm.assertEq(flt.balanceOf(bob), 2 ether);
        vm.prank(address(fast));
        (uint256 reserved, bool paid) = controller.settle(bytes32(uint256(9)), locked + 1, bob);
        vm.assertEq(reserved, locked);
        vm.assertFalse(paid);
    }

    /// @dev Nothing is minted or paid in the subnet for a failed withdrawal,
    /// however often it fails; it can only be sent again, and is then paid once.
    function test_rule33_withdrawalsNeverRefundInTheSubnet() public {
        (Withdrawal memory w, IpcEnvelope memory e) = withdrawUsdc(40e6);
        uint256 supply = replica.totalSupply();
        uint256 coin = alice.balance;
        for (uint256 i = 0; i < 3; i++) {
            rootGateway.refuse(e);
            vm.assertTrue(subnetGateway.execute(lastFromRoot()) == OutcomeType.Ok);
            vm.assertEq(replica.totalSupply(), supply);
            vm.assertEq(alice.balance, coin);
            outbox.resend{value: EXIT_FEE}(w);
            e = lastFromSubnet();
        }
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
        vm.assertEq(usdc.balanceOf(bob), 40e6);
        vm.assertEq(replica.totalSupply(), supply);
        vm.assertEq(controller.lockedNow(), supply);
    }

    /// @dev The message carries the whole struct and nothing else, and the id is
    /// recomputed from it on the root.
    function test_rule33_theMessageIsTheWithdrawalAndNothingElse() public {
        (Withdrawal memory w, IpcEnvelope memory e) = withdrawUsdc(40e6);
        CallMsg memory call_ = abi.decode(e.message, (CallMsg));
        vm.assertEq(call_.params, abi.encode(w));
        vm.assertEq(fast.withdrawalId(w), keccak256(abi.encode("FW1", block.chainid, address(fast), w)));
        vm.assertEq(outbox.withdrawalId(w), fast.withdrawalId(w));
    }

    function test_rule34_pausedUsdcCannotFailASettle() public {
        NastyUsdc.Mode[4] memory modes = [
            NastyUsdc.Mode.Paused,
            NastyUsdc.Mode.ReturnsFalse,
            NastyUsdc.Mode.BurnsGas,
            NastyUsdc.Mode.ReturnBomb
        ];
        for (uint256 i = 0; i < modes.length; i++) {
            nasty.setMode(NastyUsdc.Mode.Plain);
            (Withdrawal memory w, IpcEnvelope memory e) = withdrawUsdc(10e6);
            nasty.setMode(modes[i]);
            vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
            bytes32 id = fast.withdrawalId(w);
            (IFastWithdrawals.Status s,,) = fast.statusOf(id);
            vm.assertTrue(s == IFastWithdrawals.Status.Settled);
            vm.assertEq(fast.creditOf(id), 10e6);
            vm.assertEq(controller.reservedFor(id), 10e6);
            nasty.setMode(NastyUsdc.Mode.Plain);
            fast.push(w);
        }
        vm.assertEq(usdc.balanceOf(bob), 40e6);
    }

    function test_rule34_aBlocklistedControllerCannotFailASettle() public {
        (Withdrawal memory w, IpcEnvelope memory e) = withdrawUsdc(10e6);
        usdc.setBlocked(address(controller), true);
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 10e6);
    }

    /// @dev No function of these contracts is for an owner: none is known by the
    /// usual names, and the peers are fixed.
    function test_rule35_noOwnerMovesEscrow() public {
        address[4] memory all = [address(controller), address(fast), address(replica), address(outbox)];
        string[6] memory names = [
            "owner()",
            "transferOwnership(address)",
            "upgradeToAndCall(address,bytes)",
            "pause()",
            "setLinkedContract(address)",
            "removeUnconfirmedTransfer(bytes32)"
        ];
        for (uint256 i = 0; i < all.length; i++) {
            for (uint256 j = 0; j < names.length; j++) {
                (bool ok,) = all[i].call(
                    abi.encodePacked(bytes4(keccak256(bytes(names[j]))), abi.encode(address(this), 64, 0))
                );
                vm.assertFalse(ok);
            }
            // EIP-1967: no implementation, no admin, no beacon.
            vm.assertEq(vm.load(all[i], bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1)), 0);
            vm.assertEq(vm.load(all[i], bytes32(uint256(keccak256("eip1967.proxy.admin")) - 1)), 0);
        }
    }

    /// @dev USDC comes from the reserve, FLT from the value: neither stands in
    /// for the other.
    function test_rule38_eachTokenHasItsOwnSource() public {
        (Withdrawal memory w, IpcEnvelope memory e) = withdrawUsdc(10e6);
        uint256 locked = controller.lockedNow();
        e.value = 3 ether; // value where none belongs
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
        vm.assertEq(controller.lockedNow(), locked - 10e6);
        vm.assertEq(fast.quarantinedValue(e.localNonce), 3 ether);
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 0);

        (w, e) = sendWithdrawal(alice, request(address(flt), 5 ether, bob));
        e.value = 0; // no value where it belongs
        locked = controller.lockedNow();
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
        vm.assertEq(fast.creditOf(fast.withdrawalId(w)), 0);
        vm.assertEq(flt.balanceOf(bob), 0);
        vm.assertEq(controller.lockedNow(), locked);
    }

    /// @dev Value 0 both ways, on a subnet whose coin is an ERC-20 of the root,
    /// filed under the id that a Result carries.
    function test_rule57_callsOfValueZeroGoBothWays() public {
        IpcEnvelope memory d = sendDeposit(alice, bob, 5e6);
        vm.assertEq(d.value, 0);
        (address sender,,) = controller.refundOf(Envelopes.tracingId(d));
        vm.assertEq(sender, alice);
        (Withdrawal memory w, IpcEnvelope memory u) = withdrawUsdc(5e6);
        vm.assertEq(u.value, 0);
        vm.assertEq(outbox.inflight(Envelopes.tracingId(u)), outbox.withdrawalId(w));
    }

    /// @dev Our contracts don't ask for Ok Results, and understand them.
    function test_rule58_noResultIsAskedForAndOneIsUnderstood() public {
        IpcEnvelope memory d = sendDeposit(alice, bob, 5e6);
        vm.assertFalse(Envelopes.asked(d));
        vm.assertTrue(rootGateway.execute(Envelopes.resultFor(d, OutcomeType.Ok, "")) == OutcomeType.Ok);
        (, IpcEnvelope memory u) = withdrawUsdc(5e6);
        vm.assertFalse(Envelopes.asked(u));
        vm.assertTrue(subnetGateway.execute(Envelopes.resultFor(u, OutcomeType.Ok, "")) == OutcomeType.Ok);
    }

    /// @dev What a deposit and a withdrawal leave in storage is one slot each.
    function test_rule58_aDepositKeepsOneSlot() public {
        IpcEnvelope memory d = sendDeposit(alice, bob, 5e6);
        // Slot of _inflight: the guard is transient, _books takes slots 0..2.
        bytes32 slot = keccak256(abi.encode(Envelopes.tracingId(d), uint256(3)));
        uint256 word = uint256(vm.load(address(controller), slot));
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.assertEq(address(uint160(word)), alice);
        vm.assertEq(word >> 160, 5e6);
        vm.assertEq(IERC20(address(usdc)).balanceOf(address(controller)), 105e6);
    }
}
