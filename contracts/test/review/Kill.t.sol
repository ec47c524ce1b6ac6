// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevUsdc} from "../../src/dev/DevUsdc.sol";
import "../../src/ipc/Errors.sol";
import "../../src/ipc/Types.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {LinkedTokenController} from "../../src/usdc/LinkedTokenController.sol";
import {Handler} from "../root/Recipients.sol";
import {RootFixture} from "../root/RootFixture.sol";

/// @dev Who may end a subnet can wait for any moment: none may leave behind what
/// the gateway does not see.
contract KillTest is RootFixture {
    DevUsdc internal usdc;
    LinkedTokenController internal controller;
    address internal replica = makeAddr("replica");
    address internal last;

    function setUp() public override {
        super.setUp();
        _linkUsdc();
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(vm.addr(keys[i]));
            actor.leave();
        }
        last = vm.addr(keys[3]);
    }

    function _linkUsdc() private {
        usdc = new DevUsdc(address(this));
        controller = new LinkedTokenController(
            address(gateway), subnetId(), replica, address(usdc), makeAddr("fast"), 1, 1e12
        );
        usdc.mint(alice, 100e6);
        vm.prank(alice);
        usdc.approve(address(controller), type(uint256).max);
    }

    function _depositUsdc() private {
        vm.prank(alice);
        controller.linkedTransfer(bob, 100e6);
    }

    /// @dev USDC in the subnet, or on its way, circulates in no book of the
    /// gateway. Nothing would ever bring it back.
    function test_aSubnetThatMayOweUsdcIsNotKilled() public {
        _depositUsdc();
        vm.assertEq(circ(), 0);
        vm.prank(last);
        vm.expectRevert(SubnetInUse.selector);
        actor.kill();
        // The failed deposit is still refunded, the collateral still moves.
        _submit(0);
        vm.assertEq(controller.lockedNow(), 100e6);
        vm.assertFalse(actor.killed());
    }

    function test_norByTheOwnerOfAFederation() public {
        SubnetParams memory p = _params(PermissionMode.Federated, address(flt), address(0));
        actor = new SubnetActor(p, address(this));
        gateway.approveSubnet(address(actor));
        address[] memory who = new address[](4);
        bytes[] memory pubs = new bytes[](4);
        uint256[] memory powers = new uint256[](4);
        for (uint256 i = 0; i < 4; i++) {
            (who[i], pubs[i], powers[i]) = (vm.addr(keys[i]), publicKey(keys[i]), 10);
        }
        actor.setFederatedPower(who, pubs, powers);
        _record();
        _linkUsdc();
        _depositUsdc();
        vm.expectRevert(SubnetInUse.selector);
        actor.kill();
    }

    /// @dev The other way round: what lives in the subnet may back something here.
    function test_aSubnetThatCalledAContractIsNotKilled() public {
        Handler handler = new Handler();
        _deliver(callUp(address(handler), 0));
        vm.prank(last);
        vm.expectRevert(SubnetInUse.selector);
        actor.kill();
    }

    /// @dev A refused kill locks nobody in: all but the last leave, and the last
    /// keeps no more than a seat is worth.
    function test_aRefusedKillTrapsNoMoreThanOneSeat() public {
        _depositUsdc();
        (uint64 next,) = actor.getConfigurationNumbers();
        _submit(next - 1);
        vm.startPrank(last);
        actor.unstake(weightOf[last] - 1 ether); // activation collateral / seats
        vm.stopPrank();
        uint256[] memory all = keys;
        delete keys;
        keys.push(all[3]);
        _submit(next);
        vm.prank(last);
        actor.claim();
        vm.assertEq(last.balance, weightOf[last] - 1 ether);
        for (uint256 i = 0; i < 3; i++) {
            address who = vm.addr(all[i]);
            vm.prank(who);
            actor.claim();
            vm.assertEq(who.balance, weightOf[who]);
        }
    }

    /// @dev Credits outlive the subnet.
    function test_whatIsOwedOnTheRootSurvivesAKill() public {
        _fund(bob, 7 ether);
        vm.mockCall(address(flt), abi.encodeCall(flt.transfer, (bob, 7 ether)), abi.encode(false));
        _deliver(transferUp(bob, 7 ether));
        vm.clearMockedCalls();
        vm.assertEq(credit(bob), 7 ether);
        vm.prank(last);
        actor.kill();
        gateway.pushCredit(subnetId(), bob);
        vm.assertEq(flt.balanceOf(bob), 7 ether);
    }
}
