// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Execution, Executor} from "../../src/flt/Executor.sol";
import {FltDeposit, FltWithdrawal} from "../../src/interfaces/IFlt.sol";
import "../../src/ipc/Types.sol";
import {GasMeter} from "../Base.sol";
import {Wallet} from "./Accounts.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

/// @dev What each leg costs over the contracts that are deployed: service 2.1.1 on
/// legacy gateways. Every call is a transaction of its own (isolate); its gas
/// includes the intrinsic cost with the calldata, the refund is not subtracted.
/// forge-config: default.isolate = true
contract FltGasTest is AxelarWorld {
    event Measured(string what, uint256 gas);

    function legacy() internal pure override returns (bool) {
        return true;
    }

    function old() internal pure override returns (bool) {
        return true;
    }

    function setUp() public override {
        super.setUp();
        // Nobody measures the first of anything.
        for (uint256 i = 0; i < 3; ++i) {
            fill(bob, 100 ether);
            leave(bob, carol, address(0), 1 ether);
        }
        carryUp();
        relay();
    }

    function transaction(address from, address to, uint256 value, bytes memory data)
        private
        returns (uint256 used)
    {
        vm.prank(from);
        (bool ok,) = to.call{value: value}(data);
        GasMeter.Gas memory g = GasMeter(address(vm)).lastCallGas();
        vm.assertTrue(ok);
        uint256 refund = g.gasRefunded > 0 ? uint256(int256(g.gasRefunded)) : 0;
        used = g.gasTotalUsed;
        used += refund < used / 4 ? refund : used / 4; // a fifth at most
    }

    function measured(string memory what, uint256 used, uint256 aim) private {
        emit Measured(what, used);
        vm.assertLe(used, aim);
    }

    function test_gas_aDepositOnEthereum() public {
        l1Flt.mint(alice, 5 ether);
        toL1();
        vm.prank(alice);
        l1Flt.approve(address(sender), 5 ether);
        uint256 used = transaction(alice, address(sender), 0, abi.encodeCall(sender.deposit, (bob, 5 ether)));
        measured("deposit", used, 200_000);
    }

    function test_gas_aDepositExecutedOnTheRoot() public {
        deposit(alice, bob, 5 ether);
        uint256 i = relayNone();
        bytes memory call_ = abi.encodeCall(
            root.its.execute, (commandIdOf(root, hops[i].messageId), "axelar", HUB, hops[i].payload)
        );
        uint256 used = transaction(relayer, address(root.its), 0, call_);
        measured("execute a deposit", used, 280_000);
    }

    function test_gas_depositsExecutedTogetherInTens() public {
        measured("execute deposits together, each of 10", _together(10, true), 180_000);
    }

    function test_gas_depositsExecutedTogetherInTwenties() public {
        measured("execute deposits together, each of 20", _together(20, true), 175_000);
    }

    function test_gas_aWithdrawalExecutedOnEthereum() public {
        leave(bob, carol, address(0), 1 ether);
        carryUp();
        uint256 i = relayNone();
        bytes memory call_ = abi.encodeCall(
            l1.its.execute, (commandIdOf(l1, hops[i].messageId), "axelar", HUB, hops[i].payload)
        );
        toL1();
        measured("execute a withdrawal", transaction(relayer, address(l1.its), 0, call_), 120_000);
    }

    function test_gas_withdrawalsExecutedTogetherInTens() public {
        measured("execute withdrawals together, each of 10", _together(10, false), 65_000);
    }

    function test_gas_withdrawalsExecutedTogetherInTwenties() public {
        measured("execute withdrawals together, each of 20", _together(20, false), 60_000);
    }

    /// @dev Gas of each of `n` that one transaction executes.
    function _together(uint256 n, bool in_) private returns (uint256) {
        for (uint256 i = 0; i < n; ++i) {
            if (in_) deposit(alice, bob, 5 ether);
            else leave(bob, carol, address(0), 1 ether);
        }
        if (!in_) carryUp();
        relayNone();
        Stack memory to = in_ ? root : l1;
        Execution[] memory list = new Execution[](n);
        for (uint256 i = 0; i < n; ++i) {
            Hop memory hop = hops[hops.length - n + i];
            list[i] = Execution(commandIdOf(to, hop.messageId), "axelar", HUB, hop.payload);
        }
        Executor executor = new Executor();
        if (!in_) toL1();
        bytes memory call_ = abi.encodeCall(executor.executeAll, (address(to.its), 1_500_000, list));
        return transaction(relayer, address(executor), 0, call_) / n;
    }

    function test_gas_aWithdrawalInTheSubnet() public {
        vm.roll(block.number + PERIOD);
        bytes memory call_ = abi.encodeCall(portal.withdrawToL1, (carol));
        uint256 first = transaction(bob, PORTAL_AT, 1 ether + FEE, call_);
        uint256 later = transaction(bob, PORTAL_AT, 1 ether + FEE, call_);
        measured("withdraw to Ethereum, first of its period", first, 180_000);
        measured("withdraw to Ethereum, later", later, 145_000);
    }

    function test_gas_withdrawalsSentOnInTens() public {
        for (uint256 i = 0; i < 10; ++i) {
            leave(bob, carol, address(0), 1 ether);
        }
        measured("send on, each of 10", _exec() / 10, 160_000);
    }

    function test_gas_withdrawalsKeptInTens() public {
        for (uint256 i = 0; i < 10; ++i) {
            leave(bob, carol, address(0), 1 ether);
        }
        root.its.setPauseStatus(true);
        measured("keep, each of 10", _exec() / 10, 140_000);
    }

    function test_gas_aRetriedWithdrawal() public {
        (FltWithdrawal memory w,) = leave(bob, carol, address(0), 1 ether);
        root.its.setPauseStatus(true);
        carryUp();
        root.its.setPauseStatus(false);
        bytes memory call_ = abi.encodeCall(handler.retryWithdrawal, (w));
        measured("retry a withdrawal", transaction(relayer, address(handler), 0, call_), 180_000);
    }

    function test_gas_anUndeliveredDepositGoesBack() public {
        (FltDeposit memory d,) = deposit(alice, address(new Wallet()), 5 ether);
        relay();
        carryDown();
        measured("keep what was not delivered", _exec(), 240_000);
        bytes memory call_ = abi.encodeCall(handler.sendBack, (d));
        measured("send back", transaction(relayer, address(handler), 0, call_), 180_000);
    }

    function _exec() private returns (uint256 used) {
        (uint256 height, Inclusion[] memory inclusions) = submit();
        bytes memory call_ = abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions));
        used = transaction(relayer, address(actor), 0, call_);
        executed += inclusions.length;
        collect();
    }
}
