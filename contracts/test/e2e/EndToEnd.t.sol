// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {IFastWithdrawals} from "../../src/interfaces/IWithdrawals.sol";
import {SubnetSilent} from "../../src/ipc/Errors.sol";
import "../../src/ipc/Types.sol";
import {TwoChains} from "./TwoChains.sol";

/// @dev Money both ways through the real contracts, by signatures and proofs.
contract EndToEndTest is TwoChains {
    function test_usdcGoesDownAndComesBack() public {
        depositUsdc(bob, 100e6);
        carryDown();
        vm.assertEq(replica.balanceOf(bob), 100e6);
        depositFlt(bob, 1 ether);
        carryDown();
        vm.assertEq(bob.balance, 1 ether);

        Withdrawal memory w = withdraw(bob, address(usdc), 60e6, carol);
        carryUp();
        vm.assertEq(usdc.balanceOf(carol), 60e6);
        vm.assertEq(replica.balanceOf(bob), 40e6);
        (IFastWithdrawals.Status s,,) = fast.statusOf(fast.withdrawalId(w));
        vm.assertTrue(s == IFastWithdrawals.Status.Settled);
        books();
    }

    function test_fltGoesDownAndComesBack() public {
        depositFlt(bob, 50 ether);
        carryDown();
        withdraw(bob, address(flt), 20 ether, carol);
        vm.assertEq(bob.balance, 30 ether - FEE);
        carryUp();
        vm.assertEq(flt.balanceOf(carol), 20 ether);
        books();
    }

    function test_aDepositAboveTheMintCapIsRefunded() public {
        depositUsdc(bob, MINT_CAP + 1);
        vm.assertEq(usdc.balanceOf(alice), 0);
        carryDown();
        vm.assertEq(replica.totalSupply(), 0);
        carryUp();
        vm.assertEq(usdc.balanceOf(alice), MINT_CAP + 1);
        vm.assertEq(controller.lockedNow(), 0);
        books();
    }

    function test_aRefundToABlockedDepositorIsClaimedElsewhere() public {
        depositUsdc(bob, MINT_CAP + 1);
        carryDown();
        usdc.setBlocked(alice, true);
        bytes32 id = _lastDepositId();
        carryUp();
        (address sender, uint256 amount, bool pending) = controller.refundOf(id);
        vm.assertEq(sender, alice);
        vm.assertEq(amount, MINT_CAP + 1);
        vm.assertTrue(pending);
        vm.prank(alice);
        controller.claimRefund(id, carol);
        vm.assertEq(usdc.balanceOf(carol), MINT_CAP + 1);
    }

    /// @dev Its message fails on the root: nothing comes back to the user, the
    /// same withdrawal goes again and is paid once.
    function test_aFailedWithdrawalReturnsAndIsSentAgain() public {
        depositUsdc(bob, 100e6);
        depositFlt(bob, 50 ether);
        carryDown();
        Withdrawal memory a = withdraw(bob, address(flt), 20 ether, carol);
        Withdrawal memory b = withdraw(bob, address(usdc), 70e6, carol);
        uint256 coin = bob.balance;

        vm.mockCallRevert(
            address(fast), abi.encodeWithSelector(IIpcHandler.handleIpcMessage.selector), "down"
        );
        carryUp();
        vm.clearMockedCalls();
        vm.assertEq(flt.balanceOf(carol), 0);
        carryDown();
        vm.assertEq(uint256(outbox.stateOf(outbox.withdrawalId(a))), 1);
        vm.assertEq(uint256(outbox.stateOf(outbox.withdrawalId(b))), 1);
        vm.assertEq(outbox.heldFlt(), 20 ether);
        vm.assertEq(heldUsdc(), 70e6);
        vm.assertEq(bob.balance, coin);
        vm.assertEq(replica.totalSupply(), 30e6);
        books();

        vm.startPrank(relayer);
        outbox.resend{value: FEE}(a);
        outbox.resend{value: FEE}(b);
        vm.stopPrank();
        carryUp();
        vm.assertEq(flt.balanceOf(carol), 20 ether);
        vm.assertEq(usdc.balanceOf(carol), 70e6);
        books();
    }

    function test_aBlockedRecipientDelaysNobody() public {
        depositUsdc(bob, 100e6);
        depositFlt(bob, 50 ether);
        carryDown();
        usdc.setBlocked(alice, true);
        Withdrawal memory a = withdraw(bob, address(usdc), 10e6, alice);
        withdraw(bob, address(usdc), 20e6, carol);
        withdraw(bob, address(flt), 5 ether, carol);
        carryUp();
        vm.assertEq(usdc.balanceOf(carol), 20e6);
        vm.assertEq(flt.balanceOf(carol), 5 ether);
        vm.assertEq(fast.creditOf(fast.withdrawalId(a)), 10e6);
        vm.prank(carol); // the fallback
        fast.claim(a, carol);
        vm.assertEq(usdc.balanceOf(carol), 30e6);
        books();
    }

    function test_manyMessagesBothWaysKeepTheBooks() public {
        for (uint256 round = 0; round < 4; ++round) {
            for (uint256 i = 0; i < 5; ++i) {
                depositUsdc(bob, 10e6 + i);
                depositFlt(bob, 2 ether + i);
            }
            carryDown();
            for (uint256 i = 0; i < 4; ++i) {
                withdraw(bob, address(usdc), 3e6 + i, carol);
                withdraw(bob, address(flt), 1 ether + i, carol);
            }
            carryUp();
            books();
        }
        vm.assertEq(usdc.balanceOf(carol), 4 * (12e6 + 6));
        vm.assertEq(flt.balanceOf(carol), 4 * (4 ether + 6));
    }

    /// @dev A silent subnet takes no deposit; what is in it still comes out.
    function test_rule27_depositsStopWhenTheSubnetIsSilentAndExitsDoNot() public {
        depositUsdc(bob, 100e6);
        depositFlt(bob, 50 ether);
        carryDown();
        withdraw(bob, address(usdc), 10e6, carol);
        vm.warp(block.timestamp + 1 hours + 1);

        usdc.mint(alice, 5e6);
        vm.startPrank(alice);
        usdc.approve(address(controller), 5e6);
        vm.expectPartialRevert(SubnetSilent.selector);
        controller.linkedTransfer(bob, 5e6);
        vm.stopPrank();
        vm.assertEq(controller.lockedNow(), 100e6);

        carryUp();
        vm.assertEq(usdc.balanceOf(carol), 10e6);
        // The checkpoint says that it lives.
        vm.prank(alice);
        controller.linkedTransfer(bob, 5e6);
        carryDown();
        vm.assertEq(replica.balanceOf(bob), 95e6);
        books();
    }

    /// @dev Deposits, withdrawals, failures on the root, refusals of the token
    /// and re-sends in any order: no unit is lost or made.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_anyOrderKeepsTheBooks(uint256 seed) public {
        depositUsdc(bob, 1000e6);
        depositFlt(bob, 100 ether);
        carryDown();
        Withdrawal[] memory sent = new Withdrawal[](12);
        uint256 paidUsdc;
        uint256 paidFlt;
        for (uint256 i = 0; i < 12; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            if (dice % 3 == 0) depositUsdc(bob, 1e6 + dice % 1e6);
            if (dice % 3 == 1) depositUsdc(bob, MINT_CAP + 1 + dice % 1e6); // refunded
            bool inFlt = dice & 256 == 0;
            uint256 amount = inFlt ? 1 ether + dice % 1 ether : 1e6 + dice % 1e6;
            sent[i] = withdraw(bob, inFlt ? address(flt) : address(usdc), amount, carol);
            if (inFlt) paidFlt += amount;
            else paidUsdc += amount;

            usdc.setBlocked(carol, dice & 512 == 0);
            bool fails = dice & 1024 == 0;
            if (fails) vm.mockCallRevert(address(fast), _handler(), "down");
            carryUp();
            vm.clearMockedCalls();
            carryDown();
            for (uint256 j = 0; j <= i; ++j) {
                if (outbox.stateOf(outbox.withdrawalId(sent[j])) != 1) continue;
                vm.prank(relayer);
                outbox.resend{value: FEE}(sent[j]);
            }
        }
        carryUp(); // pays the refunds of the last round and the last re-sends
        usdc.setBlocked(carol, false);
        for (uint256 i = 0; i < 12; ++i) {
            if (fast.creditOf(fast.withdrawalId(sent[i])) != 0) fast.push(sent[i]);
        }
        books();
        vm.assertEq(usdc.balanceOf(carol), paidUsdc);
        vm.assertEq(flt.balanceOf(carol), paidFlt);
        vm.assertEq(usdc.balanceOf(address(controller)), replica.totalSupply());
    }

    function _handler() private pure returns (bytes memory) {
        return abi.encodeWithSelector(IIpcHandler.handleIpcMessage.selector);
    }

    function _lastDepositId() private view returns (bytes32) {
        IpcEnvelope memory e = abi.decode(down[down.length - 1], (IpcEnvelope));
        return keccak256(abi.encode(e.kind, e.to, e.from, e.value, e.message, e.originalNonce));
    }
}
