// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Execution, Executor} from "../../src/flt/Executor.sol";
import {Payouts} from "../../src/withdraw/Payouts.sol";
import {Base} from "../Base.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

/// @dev Executes what it is told to, once each, in the ways a contract may behave.
contract Target {
    enum Way {
        Takes,
        Refuses,
        Burns, // all the gas it is given
        Bombs, // answers with a megabyte, and fails
        Hungry // takes it if it has a million gas
    }

    bytes32[] public taken;
    uint256 public most; // gas it was ever given

    error Refused();

    function execute(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes calldata payload
    ) external {
        require(keccak256(bytes(sourceChain)) == keccak256("axelar"));
        require(keccak256(bytes(sourceAddress)) == keccak256("hub"));
        if (gasleft() > most) most = gasleft();
        Way way = Way(uint8(payload[0]));
        if (way == Way.Refuses) revert Refused();
        if (way == Way.Burns) {
            while (true) {}
        }
        if (way == Way.Bombs) {
            assembly {
                revert(0, 1000000)
            }
        }
        if (way == Way.Hungry) require(gasleft() > 900_000);
        taken.push(commandId);
    }

    function count() external view returns (uint256) {
        return taken.length;
    }
}

contract ExecutorTest is Base {
    Executor private executor;
    Target private taker;

    function setUp() public {
        executor = new Executor();
        taker = new Target();
    }

    function one(uint256 id, Target.Way way) private pure returns (Execution memory) {
        return Execution(bytes32(id), "axelar", "hub", abi.encodePacked(uint8(way), id));
    }

    function list(Target.Way a, Target.Way b, Target.Way c) private pure returns (Execution[] memory out) {
        out = new Execution[](3);
        (out[0], out[1], out[2]) = (one(1, a), one(2, b), one(3, c));
    }

    function test_allAreExecutedInOrder() public {
        uint256 done = executor.executeAll(
            address(taker), 1_000_000, list(Target.Way.Takes, Target.Way.Hungry, Target.Way.Takes)
        );
        vm.assertEq(done, 3);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(taker.taken(i), bytes32(i + 1));
        }
    }

    function test_oneThatFailsTakesNothingFromTheOthers() public {
        Target.Way[3] memory bad = [Target.Way.Refuses, Target.Way.Burns, Target.Way.Bombs];
        for (uint256 i = 0; i < bad.length; ++i) {
            uint256 before = taker.count();
            uint256 done = executor.executeAll(
                address(taker), 500_000, list(Target.Way.Takes, bad[i], Target.Way.Takes)
            );
            vm.assertEq(done, 2);
            vm.assertEq(taker.count(), before + 2);
        }
        vm.assertLe(taker.most(), 500_000, "no more than each is promised");
    }

    function test_whereNothingSucceedsNothingIsPaidFor() public {
        vm.expectRevert(Executor.NothingExecuted.selector);
        executor.executeAll(
            address(taker), 500_000, list(Target.Way.Refuses, Target.Way.Refuses, Target.Way.Bombs)
        );
        vm.expectRevert(Executor.NothingExecuted.selector);
        executor.executeAll(address(taker), 500_000, new Execution[](0));
    }

    /// @dev Whoever sends it with less gas makes none of them look like a failure.
    function test_rule14_whatIsGivenTooLittleRevertsAsAWhole(uint256 gas_) public {
        gas_ = bound(gas_, 1_000_000, 3_500_000);
        Execution[] memory all = list(Target.Way.Hungry, Target.Way.Hungry, Target.Way.Hungry);
        (bool ok, bytes memory ret) = address(executor).call{gas: gas_}(
            abi.encodeCall(executor.executeAll, (address(taker), 1_000_000, all))
        );
        if (ok) {
            vm.assertEq(abi.decode(ret, (uint256)), 3);
            vm.assertEq(taker.count(), 3);
        } else {
            vm.assertEq(ret, abi.encodeWithSelector(Payouts.NotEnoughGas.selector));
            vm.assertEq(taker.count(), 0);
        }
    }
}

/// @dev Over the published contracts: neither the service nor FltHandler asks who
/// executes, and one message in a transaction sees nothing of another.
contract ExecutorOverAxelarTest is AxelarWorld {
    uint256 private constant GAS_EACH = 1_500_000;

    Executor private executor;

    function setUp() public virtual override {
        super.setUp();
        executor = new Executor();
    }

    /// @dev The last `n` messages, all for one chain.
    function last(uint256 n) private view returns (Execution[] memory list) {
        list = new Execution[](n);
        for (uint256 i = 0; i < n; ++i) {
            Hop memory hop = hops[hops.length - n + i];
            list[i] =
                Execution(commandIdOf(hop.toRoot ? root : l1, hop.messageId), HUB_CHAIN, HUB, hop.payload);
        }
    }

    function executeLast(uint256 n) private returns (uint256 executed) {
        bool down = hops[hops.length - 1].toRoot;
        if (!down) toL1();
        executed = executor.executeAll(address(down ? root.its : l1.its), GAS_EACH, last(n));
        toRoot();
        for (uint256 i = hops.length - n; i < hops.length; ++i) {
            hops[i].executed = !isPendingHop(i);
        }
        collect();
    }

    function test_whatFailsTakesNothingFromTheOthers() public {
        for (uint256 i = 0; i < 5; ++i) {
            deposit(alice, bob, i == 1 ? 9 ether : 3 ether);
        }
        uint256 i_ = relayNone();
        execute(i_ - 4); // by somebody else, before
        setFlowLimit(root, 6 ether); // above one, and below all together
        vm.assertEq(executeLast(5), 2);
        vm.assertTrue(isPendingHop(i_ - 3), "more than the limit");
        vm.assertFalse(isPendingHop(i_ - 2));
        vm.assertFalse(isPendingHop(i_ - 1));
        vm.assertTrue(isPendingHop(i_), "the limit was used up in the same transaction");
        carryDown();
        vm.assertEq(bob.balance, 9 ether);
        conserved();

        setFlowLimit(root, 0);
        vm.assertEq(executeLast(5), 2);
        vm.expectRevert(Executor.NothingExecuted.selector);
        executor.executeAll(address(root.its), GAS_EACH, last(5));
        carryDown();
        vm.assertEq(bob.balance, 21 ether);
        conserved();
    }

    function test_withdrawalsAreExecutedTogetherOnEthereum() public {
        fill(bob, 10 ether);
        for (uint256 i = 0; i < 3; ++i) {
            leave(bob, carol, address(0), 1 ether);
        }
        carryUp();
        relayNone();
        vm.assertEq(executeLast(3), 3);
        vm.assertEq(l1Flt.balanceOf(carol), 3 ether);
        conserved();
    }

    /// @dev Whatever limit the transaction has: all of it, or nothing at all. None of
    /// the deposits is kept for want of gas either.
    function test_rule14_noGasLimitFailsADeposit(uint256 gas_) public {
        gas_ = bound(gas_, 100_000, 4_000_000);
        for (uint256 i = 0; i < 3; ++i) {
            deposit(alice, bob, 1 ether);
        }
        uint256 i_ = relayNone();
        (bool ok, bytes memory ret) = address(executor).call{gas: gas_}(
            abi.encodeCall(executor.executeAll, (address(root.its), GAS_EACH, last(3)))
        );
        for (uint256 i = i_ - 2; i <= i_; ++i) {
            vm.assertEq(isPendingHop(i), !ok);
        }
        if (ok) vm.assertEq(abi.decode(ret, (uint256)), 3);
        vm.assertEq(handler.getCounters().credited, 0);
    }
}

contract ExecutorOverLegacyAxelarTest is ExecutorOverAxelarTest {
    function legacy() internal pure override returns (bool) {
        return true;
    }

    function old() internal pure override returns (bool) {
        return true;
    }
}
