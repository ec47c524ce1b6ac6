// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {IFastWithdrawals} from "../../src/interfaces/IWithdrawals.sol";
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
        vm.assertEq(outbox.heldUsdc(), 70e6);
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

    function _lastDepositId() private view returns (bytes32) {
        IpcEnvelope memory e = abi.decode(down[down.length - 1], (IpcEnvelope));
        return keccak256(abi.encode(e.kind, e.to, e.from, e.value, e.message, e.originalNonce));
    }
}
