// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {RootFixture} from "../root/RootFixture.sol";

/// @dev Before the bootstrap anyone may prefund any amount, one unit included.
contract GenesisTest is RootFixture {
    function _prefund(address who, uint256 amount) private {
        flt.mint(who, amount);
        vm.startPrank(who);
        flt.approve(address(actor), amount);
        actor.preFund(amount);
        vm.stopPrank();
    }

    /// @dev A crowd that prefunds dust must not make it impossible to take one's
    /// own prefunding and collateral back.
    function test_aCrowdOfDustLocksNobodyIn() public {
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(flt), address(0)), address(this));
        gateway.approveSubnet(address(actor));
        for (uint160 i = 0; i < 500; i++) {
            _prefund(address(0xD0570000 + i), 1);
        }
        address victim = vm.addr(keys[3]);
        _join(keys[3], weightOf[victim]);
        _prefund(victim, 30 ether);
        _prefund(alice, 1 ether);

        uint256 before = gasleft();
        vm.prank(victim);
        actor.leave();
        vm.assertLt(before - gasleft(), 200_000);
        vm.assertEq(victim.balance, weightOf[victim]);
        vm.assertEq(flt.balanceOf(victim), 30 ether);

        before = gasleft();
        vm.prank(alice);
        actor.preRelease(1 ether);
        vm.assertLt(before - gasleft(), 200_000);
        vm.assertEq(actor.genesisCircSupply(), 500);
    }

    /// @dev Whoever comes and goes in any order: the list is exactly those with a
    /// balance.
    function testFuzz_genesisListsExactlyThoseWithABalance(uint256 seed) public {
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(flt), address(0)), address(this));
        uint256[6] memory owned;
        uint256 total;
        for (uint256 i = 0; i < 40; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 k = seed % 6;
            // forge-lint: disable-next-line(unsafe-typecast)
            address who = address(uint160(0xACC00000 + k));
            uint256 amount = (seed >> 8) % 3 + 1;
            if ((seed >> 16) % 2 == 0) {
                _prefund(who, amount);
                owned[k] += amount;
                total += amount;
            } else if (owned[k] >= amount) {
                vm.prank(who);
                actor.preRelease(amount);
                owned[k] -= amount;
                total -= amount;
            }
        }
        (address[] memory accounts, uint256[] memory balances) = actor.genesisBalances();
        uint256 listed;
        for (uint256 i = 0; i < accounts.length; i++) {
            uint256 k = uint160(accounts[i]) - 0xACC00000;
            vm.assertEq(balances[i], owned[k]);
            vm.assertGt(balances[i], 0);
            owned[k] = 0; // nobody twice
            listed += balances[i];
        }
        vm.assertEq(listed, total);
        vm.assertEq(actor.genesisCircSupply(), total);
    }
}
