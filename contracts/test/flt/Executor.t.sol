// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Execution, Executor} from "../../src/flt/Executor.sol";
import {Base} from "../Base.sol";

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
    Target private target;

    function setUp() public {
        executor = new Executor();
        target = new Target();
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
            address(target), 1_000_000, list(Target.Way.Takes, Target.Way.Hungry, Target.Way.Takes)
        );
        assertEq(done, 3);
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(target.taken(i), bytes32(i + 1));
        }
    }

    function test_oneThatFailsTakesNothingFromTheOthers() public {
        Target.Way[3] memory bad = [Target.Way.Refuses, Target.Way.Burns, Target.Way.Bombs];
        for (uint256 i = 0; i < bad.length; ++i) {
            uint256 before = target.count();
            uint256 done =
                executor.executeAll(address(target), 500_000, list(Target.Way.Takes, bad[i], Target.Way.Takes));
            assertEq(done, 2);
            assertEq(target.count(), before + 2);
        }
        assertLe(target.most(), 500_000, "no more than each is promised");
    }

    function test_whereNothingSucceedsNothingIsPaidFor() public {
        vm.expectRevert(Executor.NothingExecuted.selector);
        executor.executeAll(
            address(target), 500_000, list(Target.Way.Refuses, Target.Way.Refuses, Target.Way.Bombs)
        );
        vm.expectRevert(Executor.NothingExecuted.selector);
        executor.executeAll(address(target), 500_000, new Execution[](0));
    }

    /// @dev Whoever sends it with less gas makes none of them look like a failure.
    function test_rule14_whatIsGivenTooLittleRevertsAsAWhole(uint256 gas_) public {
        gas_ = bound(gas_, 1_000_000, 3_500_000);
        Execution[] memory all = list(Target.Way.Hungry, Target.Way.Hungry, Target.Way.Hungry);
        (bool ok, bytes memory ret) = address(executor).call{gas: gas_}(
            abi.encodeCall(executor.executeAll, (address(target), 1_000_000, all))
        );
        if (ok) {
            assertEq(abi.decode(ret, (uint256)), 3);
            assertEq(target.count(), 3);
        } else {
            assertEq(bytes4(ret), Executor.NotEnoughGas.selector);
            assertEq(target.count(), 0);
        }
    }
}
