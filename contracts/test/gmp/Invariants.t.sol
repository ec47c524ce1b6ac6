// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {GmpMessages} from "../../src/gmp/GmpMessages.sol";
import {GmpCall, IGmpRouter} from "../../src/interfaces/IGmp.sol";
import "../../src/ipc/Types.sol";
import {Base} from "../Base.sol";
import {GmpWorld} from "./GmpWorld.sol";
import {Does, Hears, Subject} from "./Subject.sol";

/// @dev What anybody may do, in any order, and the weather.
contract GmpActions is GmpWorld {
    struct Made {
        bytes32 id;
        bool downwards;
        bool contractual; // its sender is a contract
        uint64 nonce;
    }

    Made[] internal made;
    bool internal paused;
    uint256 public retried;
    uint256 public givenUp;
    uint256 public replays;
    uint256 public starved;
    uint256 public failures;

    /// @dev Behaviours a target and a sender show; a bomb costs too much here.
    function make(uint256 dice, bool downwards, bool contractual) public {
        Does[6] memory what = [Does.Echo, Does.Echo, Does.Fail, Does.Burn, Does.Nothing, Does.BurnAll];
        bytes memory data = doing(what[dice % 6], abi.encode(dice % 100));
        Hears[3] memory ears = [Hears.Take, Hears.Fail, Hears.Burn];
        (downwards ? here : there).hear(ears[dice / 6 % 3]);
        bytes32 id;
        GmpCall memory c;
        if (downwards) (id, c) = callDown(contractual ? address(here) : alice, address(there), data, 0);
        else (id, c) = callUp(contractual ? address(there) : bob, address(here), data, 0);
        made.push(Made(id, downwards, contractual, c.nonce));
        collect();
    }

    function executeAny(uint256 which) public {
        collect();
        if (hops.length == 0) return;
        uint256 i = which % hops.length;
        bool before = hops[i].executed;
        if (!before && !isPending(i)) approveHop(i);
        (bool ok,) = tryExecute(i, hops[i].payload, 20_000_000);
        bool can = !before && !(paused && hops[i].toRoot);
        require(ok == can, "once, and as soon as it is approved");
        collect();
    }

    /// @dev The same again, with another approval: what Axelar must never do.
    function replay(uint256 which) public {
        if (hops.length == 0) return;
        Hop memory hop = hops[which % hops.length];
        if (!hop.executed) return;
        bool toRoot_ = hop.toRoot;
        uint256 i = issue(toRoot_, toRoot_ ? address(port) : address(router), hop.a.to, hop.payload);
        approveHop(i);
        (bool ok,) = tryExecute(i, hops[i].payload, 20_000_000);
        require(!ok, "twice");
        hops.pop();
        ++replays;
    }

    /// @dev With too little gas, by somebody who wishes it to fail.
    function starve(uint256 which, uint256 gas_) public {
        if (hops.length == 0) return;
        uint256 i = which % hops.length;
        if (hops[i].executed) return;
        if (!isPending(i)) approveHop(i);
        (bool ok,) = tryExecute(i, hops[i].payload, 60_000 + gas_ % 1_000_000);
        if (!ok) ++starved;
        collect();
    }

    function deliver() public {
        collect();
        carryDown();
    }

    function carry() public {
        carryUp();
        collect();
    }

    function weather(uint256 dice) public {
        if (dice % 4 == 0) fallSilent();
        if (dice % 4 == 1 && !paused) {
            pauseRoot();
            paused = true;
        }
        if (dice % 4 > 1 && paused) {
            resumeRoot();
            paused = false;
        }
        if (dice % 4 == 3) vm.warp(block.timestamp + PATIENCE);
    }

    function retry(uint256 which) public {
        if (made.length == 0) return;
        bytes32 id = made[which % made.length].id;
        (, IGmpRouter.Stage stage_,) = router.stageOf(id);
        try router.retry(id, heard[id].message) {
            require(stage_ == IGmpRouter.Stage.Kept, "it was not kept");
            ++retried;
        } catch {}
        collect();
    }

    function giveUp(uint256 which) public {
        if (made.length == 0) return;
        bytes32 id = made[which % made.length].id;
        (IGmpRouter.Leg leg, IGmpRouter.Stage stage_, uint64 since) = router.stageOf(id);
        try router.giveUp(id, heard[id].message) {
            require(stage_ == IGmpRouter.Stage.Kept, "it was not kept");
            require(leg == IGmpRouter.Leg.CallDown || leg == IGmpRouter.Leg.CallUp, "no call");
            // forge-lint: disable-next-line(block-timestamp)
            require(block.timestamp >= since + PATIENCE, "too early");
            ++givenUp;
        } catch {}
        collect();
    }

    /// @dev All is well again, and everyone does what may be done.
    function calm() public {
        weather(2);
        for (uint256 round = 0; round < 4; ++round) {
            carryUp();
            carryDown();
            collect();
            for (uint256 i = 0; i < made.length; ++i) {
                if (router.keptHash(made[i].id) != 0) router.retry(made[i].id, heard[made[i].id].message);
            }
            collect();
            for (uint256 i = 0; i < hops.length; ++i) {
                if (hops[i].executed) continue;
                if (!isPending(i)) approveHop(i);
                execute(i);
                collect();
            }
        }
    }

    function check(bool settled) external view {
        emptyHanded();
        for (uint256 i = 0; i < made.length; ++i) {
            Made memory m = made[i];
            Heard storage h = heard[m.id];
            vm.assertLe(h.executions, 1, "executed once");
            vm.assertLe(h.results, 1, "one result");
            bool done = m.downwards ? far.executed(m.nonce) : port.executed(m.nonce);
            vm.assertEq(done, h.executions == 1, "its nonce is used up");
            uint256 times = (m.downwards ? there : here).seen(m.id).times;
            vm.assertEq(times, h.executedOk ? 1 : 0, "done whole or not at all");

            address waiting = m.downwards ? port.waiting(m.id) : far.waiting(m.id);
            vm.assertEq(waiting == address(0), h.results == 1, "waits until told");
            if (h.results == 1) {
                vm.assertEq(h.ok, h.executedOk, "told the truth");
                if (h.executions == 1) vm.assertEq(h.ret, h.executedRet, "told all of it");
                bool known = m.downwards ? port.isResult(m.id, h.ok, h.ret) : far.isResult(m.id, h.ok, h.ret);
                vm.assertTrue(known, "remembered");
            }
            uint256 told = (m.downwards ? here : there).told(m.id).times;
            vm.assertEq(told, h.taken ? 1 : 0, "told once");
            if (h.taken) vm.assertTrue(m.contractual);
            if (settled) vm.assertEq(h.results, 1, "nobody waits for ever");
        }
    }

    function failed() external view returns (uint256 n) {
        for (uint256 i = 0; i < made.length; ++i) {
            if (heard[made[i].id].results == 1 && !heard[made[i].id].ok) ++n;
        }
    }
}

contract GmpInvariantsTest is Base {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    GmpActions private actions;

    function setUp() public {
        actions = new GmpActions();
        actions.setUp();
        target(address(actions));
    }

    function targetSelectors() public view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0].addr = address(actions);
        bytes4[] memory s = new bytes4[](15);
        s[0] = GmpActions.make.selector;
        s[1] = GmpActions.make.selector;
        s[2] = GmpActions.make.selector;
        s[3] = GmpActions.executeAny.selector;
        s[4] = GmpActions.executeAny.selector;
        s[5] = GmpActions.executeAny.selector;
        s[6] = GmpActions.replay.selector;
        s[7] = GmpActions.starve.selector;
        s[8] = GmpActions.deliver.selector;
        s[9] = GmpActions.deliver.selector;
        s[10] = GmpActions.carry.selector;
        s[11] = GmpActions.carry.selector;
        s[12] = GmpActions.weather.selector;
        s[13] = GmpActions.retry.selector;
        s[14] = GmpActions.giveUp.selector;
        list[0].selectors = s;
    }

    /// forge-config: default.invariant.runs = 10
    /// forge-config: default.invariant.depth = 60
    /// forge-config: default.invariant.fail-on-revert = true
    /// forge-config: default.invariant.shrink-run-limit = 50
    function invariant_everyCallIsExecutedOnceOrNotAtAllAndItsSenderTold() public view {
        actions.check(false);
    }

    /// @dev However it went: once all works again, everybody has an answer.
    function afterInvariant() public {
        actions.calm();
        actions.check(true);
    }

    /// @dev The same actions once by hand, so that it is known that they do
    /// something: a run in which nothing fails proves nothing.
    function test_theActionsReachEveryPart() public {
        actions.make(0, true, true);
        actions.make(2, true, false);
        actions.make(1, false, true);
        actions.make(3, false, false);
        actions.starve(0, 0);
        actions.weather(0);
        actions.executeAny(0); // kept
        actions.check(false);
        actions.weather(1);
        actions.carry(); // both kept
        actions.check(false);
        actions.weather(3);
        actions.carry(); // the subnet lives
        actions.giveUp(0); // sent on
        actions.giveUp(2); // likewise
        actions.weather(0);
        actions.executeAny(1); // kept
        actions.weather(3);
        actions.giveUp(1); // given up: it is silent still
        actions.check(false);
        actions.retry(3);
        for (uint256 i = 0; i < 5; ++i) {
            actions.executeAny(i);
        }
        actions.replay(0);
        actions.replay(1);
        actions.deliver();
        actions.carry();
        actions.check(false);
        actions.calm();
        actions.check(true);
        vm.assertEq(actions.retried(), 1);
        vm.assertEq(actions.givenUp(), 3);
        vm.assertEq(actions.replays(), 2);
        vm.assertEq(actions.starved(), 1);
        vm.assertEq(actions.failed(), 2);
    }
}
