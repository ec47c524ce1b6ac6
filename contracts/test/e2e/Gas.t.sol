// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {TwoChains} from "./TwoChains.sol";

interface GasMeter {
    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }

    function lastCallGas() external view returns (Gas memory);
}

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
        for (uint256 i = 0; i < 8; ++i) {
            withdraw(bob, address(usdc), 1e6, carol);
            withdraw(bob, address(flt), 0.5 ether, carol);
        }
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
        (bool ok,) = to.call{value: value}(data);
        GasMeter.Gas memory g = GasMeter(address(vm)).lastCallGas();
        used += g.gasTotalUsed;
        uint256 refund = g.gasRefunded > 0 ? uint256(int256(g.gasRefunded)) : 0;
        used -= refund < used / 5 ? refund : used / 5;
        vm.assertTrue(ok);
    }

    function test_gas_aDepositCostsAtMost200k() public {
        uint256 used =
            transaction(alice, address(controller), 0, abi.encodeCall(controller.linkedTransfer, (bob, 5e6)));
        emit Measured("deposit USDC", used);
        vm.assertLe(used, 200_000);
    }

    /// @dev The first of an epoch also opens the gateway's batch: two new slots.
    function test_gas_aWithdrawalCostsAtMost200k() public {
        uint256[4] memory used;
        used[0] = withdrawal(address(usdc), 5e6);
        emit Measured("withdraw USDC, first of its epoch", used[0]);
        used[1] = withdrawal(address(usdc), 5e6);
        emit Measured("withdraw USDC", used[1]);
        vm.roll(block.number + PERIOD);
        used[2] = withdrawal(address(flt), 1 ether);
        emit Measured("withdraw FLT, first of its epoch", used[2]);
        used[3] = withdrawal(address(flt), 1 ether);
        emit Measured("withdraw FLT", used[3]);
        vm.assertLe(used[1], 200_000);
        vm.assertLe(used[2], 200_000);
        vm.assertLe(used[3], 200_000);
        vm.assertLe(used[0], 240_000);
    }

    function withdrawal(address token, uint256 amount) private returns (uint256) {
        WithdrawalRequest memory r;
        r.token = token;
        r.amount = amount;
        r.recipient = carol;
        r.fallbackRecipient = bob;
        uint256 value = (token == address(flt) ? amount : 0) + FEE;
        return transaction(bob, OUTBOX_AT, value, abi.encodeCall(outbox.withdraw, (r)));
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
        vm.assertLe(used / 10, 110_000);
    }

    event Measured(string what, uint256 gas);
}
