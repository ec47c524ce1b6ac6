// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {GasMeter} from "../Base.sol";
import {TwoChains} from "./TwoChains.sol";

/// @dev What users and carriers pay, through the real gateways. Every call is a
/// transaction of its own (isolate), so that storage is as cold and as old as on
/// a chain; its gas includes the intrinsic cost with the calldata.
/// forge-config: default.isolate = true
contract GasTest is TwoChains {
    event Measured(string what, uint256 gas);

    function setUp() public override {
        super.setUp();
        // Nobody measures the first of anything.
        for (uint256 i = 0; i < 3; ++i) {
            depositUsdc(bob, 100e6);
            depositFlt(bob, 100 ether);
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

    /// @dev Gas used as a receipt says, and without the refund.
    function transaction(address from, address to, uint256 value, bytes memory data)
        private
        returns (uint256 receipt, uint256 before)
    {
        vm.prank(from);
        (bool ok,) = to.call{value: value}(data);
        GasMeter.Gas memory g = GasMeter(address(vm)).lastCallGas();
        vm.assertTrue(ok);
        receipt = g.gasTotalUsed;
        uint256 refund = g.gasRefunded > 0 ? uint256(int256(g.gasRefunded)) : 0;
        before = receipt + (refund < receipt / 4 ? refund : receipt / 4); // a fifth at most
    }

    function test_gas_aDepositCostsAtMost200k() public {
        (, uint256 used) =
            transaction(alice, address(controller), 0, abi.encodeCall(controller.linkedTransfer, (bob, 5e6)));
        emit Measured("deposit USDC", used);
        vm.assertLe(used, 200_000);
    }

    function withdrawal(address token, uint256 amount) private returns (uint256 used) {
        WithdrawalRequest memory r;
        r.token = token;
        r.amount = amount;
        r.recipient = carol;
        r.fallbackRecipient = bob;
        uint256 value = (token == address(flt) ? amount : 0) + FEE;
        (, used) = transaction(bob, OUTBOX_AT, value, abi.encodeCall(outbox.withdraw, (r)));
    }

    /// @dev The first of a period opens the gateway's batch: two new slots.
    function test_gas_aFirstAndALaterWithdrawal() public {
        for (uint256 i = 0; i < 2; ++i) {
            address token = i == 0 ? address(usdc) : address(flt);
            uint256 amount = i == 0 ? 5e6 : 1 ether;
            string memory name = i == 0 ? "USDC" : "FLT";
            vm.roll(block.number + PERIOD);
            uint256 first = withdrawal(token, amount);
            uint256 later = withdrawal(token, amount);
            emit Measured(string.concat("withdraw ", name, ", first of its period"), first);
            emit Measured(string.concat("withdraw ", name, ", later"), later);
            vm.assertLe(first, 195_000);
            vm.assertLe(later, 155_000);
        }
    }

    /// @dev Each the first of its period, and at every place in the accumulator,
    /// the one that carries through all of its first million leaves included.
    function test_gas_everyWithdrawalCostsAtMost200k() public {
        uint256 dearest;
        for (uint256 i = 0; i < 40; ++i) {
            if (i == 20) vm.store(OUTBOX_AT, bytes32(0), bytes32(uint256(2 ** 20 - 2)));
            if (i == 20) vm.assertEq(uint256(outbox.nonce()), 2 ** 20 - 2);
            vm.roll(block.number + PERIOD);
            uint256 used = withdrawal(i % 8 == 7 ? address(flt) : address(usdc), i % 8 == 7 ? 1 ether : 5e6);
            if (used > dearest) dearest = used;
        }
        emit Measured("withdraw, the dearest", dearest);
        vm.assertLe(dearest, 200_000);
    }

    /// @dev `count` withdrawals to accounts that hold nothing, in one execution; the
    /// gas of each as the receipt says, which is how the published figures were
    /// taken. Most of the refund is the token balance of FastWithdrawals, which
    /// comes and goes with each message.
    function settled(string memory what, bool mixed, bool inFlt, uint256 count) private returns (uint256) {
        for (uint256 i = 0; i < count; ++i) {
            bool isFlt = mixed ? i % 2 == 0 : inFlt;
            address fresh = makeAddr(string.concat("fresh ", vm.toString(i)));
            withdraw(bob, isFlt ? address(flt) : address(usdc), isFlt ? 1 ether : 1e6, fresh);
        }
        (uint256 height, Inclusion[] memory inclusions) = submit();
        (uint256 receipt, uint256 before) = transaction(
            relayer, address(actor), 0, abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions))
        );
        for (uint256 i = 0; i < count; ++i) {
            address fresh = makeAddr(string.concat("fresh ", vm.toString(i)));
            vm.assertEq(usdc.balanceOf(fresh) + flt.balanceOf(fresh) / 1e12, 1e6, "paid");
        }
        emit Measured(string.concat(what, ", refunds not subtracted"), before / count);
        emit Measured(what, receipt / count);
        return receipt / count;
    }

    function test_gas_settlingUsdcInTensCostsAtMost110kEach() public {
        vm.assertLe(settled("settle USDC, each of 10", false, false, 10), 110_000);
    }

    function test_gas_settlingFltInTensCostsAtMost110kEach() public {
        vm.assertLe(settled("settle FLT, each of 10", false, true, 10), 110_000);
    }

    function test_gas_settlingBothInTensCostsAtMost110kEach() public {
        vm.assertLe(settled("settle both, each of 10", true, false, 10), 110_000);
    }

    function test_gas_settlingUsdcInFiftiesCostsAtMost100kEach() public {
        vm.assertLe(settled("settle USDC, each of 50", false, false, 50), 100_000);
    }

    function test_gas_settlingFltInFiftiesCostsAtMost100kEach() public {
        vm.assertLe(settled("settle FLT, each of 50", false, true, 50), 100_000);
    }
}
