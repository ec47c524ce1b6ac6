// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {TwoChains} from "./TwoChains.sol";

/// @dev What users and carriers pay, through the real gateways: execution from
/// cold storage, plus the intrinsic cost of the transaction with its calldata,
/// less the refund, as a receipt would say.
contract GasTest is TwoChains {
    function setUp() public override {
        super.setUp();
        // Nobody measures the first of anything.
        for (uint256 i = 0; i < 3; ++i) {
            depositUsdc(bob, 100e6);
            depositFlt(bob, 10 ether);
        }
        carryDown();
        withdraw(bob, address(usdc), 1e6, carol);
        withdraw(bob, address(flt), 1 ether, carol);
        carryUp();
        usdc.mint(alice, 1000e6);
        vm.prank(alice);
        usdc.approve(address(controller), type(uint256).max);
    }

    /// @dev Runs a call as if it were a transaction of its own.
    function transaction(address from, address to, uint256 value, bytes memory data)
        private
        returns (uint256 used)
    {
        used = 21_000;
        for (uint256 i = 0; i < data.length; ++i) {
            used += data[i] == 0 ? 4 : 16;
        }
        address[9] memory all = [
            address(gateway),
            address(actor),
            address(controller),
            address(fast),
            address(flt),
            address(usdc),
            GATEWAY_AT,
            REPLICA_AT,
            OUTBOX_AT
        ];
        for (uint256 i = 0; i < all.length; ++i) {
            vm.cool(all[i]);
        }
        vm.prank(from);
        uint256 before = gasleft();
        (bool ok,) = to.call{value: value}(data);
        used += before - gasleft();
        vm.assertTrue(ok);
    }

    function test_gas_aDepositCostsAtMost200k() public {
        uint256 used =
            transaction(alice, address(controller), 0, abi.encodeCall(controller.linkedTransfer, (bob, 5e6)));
        emit Measured("deposit USDC", used);
        vm.assertLe(used, 200_000);
    }

    function test_gas_aWithdrawalCostsAtMost200k() public {
        WithdrawalRequest memory r;
        r.token = address(usdc);
        r.amount = 5e6;
        r.recipient = carol;
        r.fallbackRecipient = bob;
        uint256 used = transaction(bob, OUTBOX_AT, FEE, abi.encodeCall(outbox.withdraw, (r)));
        emit Measured("withdraw USDC", used);
        vm.assertLe(used, 200_000);

        r.token = address(flt);
        r.amount = 1 ether;
        used = transaction(bob, OUTBOX_AT, 1 ether + FEE, abi.encodeCall(outbox.withdraw, (r)));
        emit Measured("withdraw FLT", used);
        vm.assertLe(used, 200_000);
    }

    function test_gas_settlingInABatchOfTen() public {
        for (uint256 i = 0; i < 10; ++i) {
            withdraw(
                bob, address(i % 2 == 0 ? address(usdc) : address(flt)), i % 2 == 0 ? 1e6 : 1 ether, carol
            );
        }
        (uint256 height, Inclusion[] memory inclusions) = submit();
        uint256 used = transaction(
            relayer, address(actor), 0, abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions))
        );
        emit Measured("settle, each of ten", used / 10);
        vm.assertLe(used / 10, 200_000);
    }

    event Measured(string what, uint256 gas);
}
