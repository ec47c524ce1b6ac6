// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevUsdc} from "../../src/dev/DevUsdc.sol";
import {IpcEnvelope} from "../../src/ipc/Types.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {LinkedTokenController} from "../../src/usdc/LinkedTokenController.sol";
import {World} from "../withdraw/World.sol";

/// @dev Calls out before and after it moves, as an ERC-777 does.
contract HookedUsdc is DevUsdc {
    address public hook;
    bytes public hookCall;
    bool public hookOk;

    constructor(address owner) DevUsdc(owner) {}

    function onMove(address hook_, bytes calldata call_) external {
        (hook, hookCall) = (hook_, call_);
    }

    function transfer(address to, uint256 amount) public override returns (bool ok) {
        ok = super.transfer(to, amount);
        _run();
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _run();
        return super.transferFrom(from, to, amount);
    }

    function _run() private {
        address target = hook;
        hook = address(0);
        if (target != address(0)) (hookOk,) = target.call(hookCall);
    }
}

/// @dev Deposits and cannot call claimRefund.
contract Router {
    function deposit(LinkedTokenController controller, DevUsdc usdc, address to, uint256 amount)
        external
        returns (IpcEnvelope memory)
    {
        usdc.approve(address(controller), amount);
        return controller.linkedTransfer(to, amount);
    }
}

/// @dev A Result of value 0 is executed once, whether its handler likes it or not:
/// a refund that fails there is lost.
contract RefundsTest is World {
    HookedUsdc internal hooked;

    function setUp() public override {
        super.setUp();
        hooked = new HookedUsdc(address(this));
        build(address(hooked));
    }

    function _failedDeposit() private returns (bytes32 id, IpcEnvelope memory result) {
        IpcEnvelope memory e = sendDeposit(alice, bob, 9e6);
        subnetGateway.refuse(e);
        return (Envelopes.tracingId(e), lastFromSubnet());
    }

    /// @dev The attacker executes the batch while a transfer of its own, in which
    /// the controller is locked, calls it back.
    function test_nobodysClaimMakesAnothersRefundFail() public {
        // A refund of the attacker's that waits for claimRefund.
        address mallory = makeAddr("mallory");
        IpcEnvelope memory own = sendDeposit(mallory, bob, 5e6);
        subnetGateway.refuse(own);
        hooked.setBlocked(mallory, true);
        rootGateway.execute(lastFromSubnet());
        hooked.setBlocked(mallory, false);

        (bytes32 id, IpcEnvelope memory result) = _failedDeposit();
        hooked.onMove(address(rootGateway), abi.encodeCall(rootGateway.execute, (result)));
        vm.prank(mallory);
        controller.claimRefund(Envelopes.tracingId(own), mallory);

        vm.assertEq(usdc.balanceOf(mallory), 5e6);
        vm.assertEq(usdc.balanceOf(alice), 9e6);
        (address sender,,) = controller.refundOf(id);
        vm.assertEq(sender, address(0));
        vm.assertEq(controller.lockedNow(), 0);
        vm.assertEq(usdc.balanceOf(address(controller)), 0);
    }

    /// @dev A refund paid while a deposit is measured undoes that deposit, and the
    /// execution with it: both may come again.
    function test_norDoesADeposit() public {
        (bytes32 id, IpcEnvelope memory result) = _failedDeposit();
        address mallory = makeAddr("mallory");
        usdc.mint(mallory, 20e6);
        vm.prank(mallory);
        usdc.approve(address(controller), 20e6);
        hooked.onMove(address(rootGateway), abi.encodeCall(rootGateway.execute, (result)));
        vm.prank(mallory);
        vm.expectPartialRevert(LinkedTokenController.UnexpectedBalanceChange.selector);
        controller.linkedTransfer(mallory, 20e6);

        hooked.onMove(address(0), "");
        (address sender,,) = controller.refundOf(id);
        vm.assertEq(sender, alice);
        rootGateway.execute(result);
        vm.assertEq(usdc.balanceOf(alice), 9e6);
        vm.assertEq(usdc.balanceOf(mallory), 20e6);
    }

    /// @dev Whoever cannot claim is paid by anyone, once the token lets it.
    function test_aRefundCanBePushedToItsDepositor() public {
        Router router = new Router();
        usdc.mint(address(router), 7e6);
        IpcEnvelope memory e = router.deposit(controller, usdc, bob, 7e6);
        bytes32 id = Envelopes.tracingId(e);
        subnetGateway.refuse(e);
        usdc.setBlocked(address(router), true);
        rootGateway.execute(lastFromSubnet());
        (,, bool pending) = controller.refundOf(id);
        vm.assertTrue(pending);
        usdc.setBlocked(address(router), false);

        vm.startPrank(carol);
        vm.expectRevert(LinkedTokenController.NothingToClaim.selector);
        controller.claimRefund(id, carol);
        controller.claimRefund(id, address(router));
        vm.expectRevert(LinkedTokenController.NothingToClaim.selector);
        controller.claimRefund(id, address(router));
        vm.stopPrank();
        vm.assertEq(usdc.balanceOf(address(router)), 7e6);
    }

    function test_nobodyClaimsWhatWasNeverRefunded() public {
        vm.expectRevert(LinkedTokenController.NothingToClaim.selector);
        controller.claimRefund(bytes32(uint256(1)), address(0));
        IpcEnvelope memory e = sendDeposit(alice, bob, 9e6); // in flight
        vm.expectRevert(LinkedTokenController.NothingToClaim.selector);
        controller.claimRefund(Envelopes.tracingId(e), alice);
    }
}
