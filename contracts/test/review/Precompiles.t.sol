// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Errors.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {RootFixture} from "../root/RootFixture.sol";

/// @dev The FVM's own precompiles stand at 0xfe00…: they resolve addresses and
/// call actors for whoever calls them, and no one owns them.
contract PrecompilesTest is RootFixture {
    function testFuzz_rule16_theFvmsPrecompilesReceiveNothing(uint64 id) public {
        address to = address((uint160(0xfe) << 152) | id);
        vm.assertTrue(Fvm.isForbidden(to));
        vm.expectRevert(abi.encodeWithSelector(ForbiddenRecipient.selector, to));
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(to), 1 ether);

        // One that comes up all the same is not called, though it has code.
        _fund(bob, 3 ether);
        vm.etch(to, hex"00");
        _deliver(transferUp(to, 1 ether));
        vm.assertEq(flt.balanceOf(to), 0);
        _deliver(callUp(to, 2 ether));
        vm.assertEq(counters().relocked, 2 ether);
    }

    function test_rule16_neighboursMayReceive() public pure {
        vm.assertFalse(Fvm.isForbidden(0xfE00000000000000000000010000000000000000));
        vm.assertFalse(Fvm.isForbidden(0xfD00000000000000000000000000000000000001));
    }
}
