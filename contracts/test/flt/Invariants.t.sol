// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {FltDeposit, FltWithdrawal, IFltHandler} from "../../src/interfaces/IFlt.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {IpcEnvelope, IpcMsgKind} from "../../src/ipc/Types.sol";
import {Base} from "../Base.sol";
import {Wallet} from "./Accounts.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

/// @dev Users, a relayer in no order, a service, limits and recipients that change
/// their minds, and everything that was done done again.
contract FltActions is AxelarWorld {
    address[4] internal accounts; // in the subnet
    Wallet[2] internal wallets;
    FltDeposit[] internal deposits;
    FltWithdrawal[] internal withdrawals;
    uint256 public donated;
    uint256 public retried;
    uint256 public sentBack;
    uint256 public claimed;
    uint256 public resent;
    uint256 public replays;

    function setUp() public override {
        super.setUp();
        wallets = [new Wallet(), new Wallet()];
        accounts = [alice, bob, address(wallets[0]), address(wallets[1])];
        fill(alice, 500 ether);
        fill(bob, 500 ether);
    }

    function send(uint8 to, uint256 amount) public {
        (FltDeposit memory d,) = deposit(carol, accounts[to % 4], bound(amount, FLT_MIN, 100 ether));
        deposits.push(d);
        collect();
    }

    /// @dev The next after `which` that is not executed, whichever that is.
    function executeAny(uint256 which) public {
        for (uint256 i = 0; i < hops.length; ++i) {
            uint256 at = (which % hops.length + i) % hops.length;
            if (hops[at].executed) continue;
            approveHop(at);
            tryExecute(at, hops[at].payload, 3_000_000);
            collect();
            return;
        }
    }

    /// @dev All that is executed is refused.
    function replay(uint256 which) public {
        uint256 at = which % hops.length;
        if (!hops[at].executed) return;
        approveHop(at);
        (bool ok,) = tryExecute(at, hops[at].payload, 3_000_000);
        require(!ok, "executed twice");
        ++replays;
    }

    function exit(uint8 who, uint8 to, uint256 amount, bool refundable) public {
        address from = who % 2 == 0 ? alice : bob;
        if (from.balance < FLT_MIN + FEE) return;
        uint256 max = from.balance - FEE;
        amount = bound(amount, FLT_MIN, max < 100 ether ? max : 100 ether);
        (FltWithdrawal memory w,) =
            leave(from, to % 2 == 0 ? carol : bob, refundable ? relayer : address(0), amount);
        withdrawals.push(w);
        collect();
    }

    function deliver() public {
        carryDown();
    }

    /// @dev One time in four the handler is not there.
    function carry(uint8 dice) public {
        bytes memory handle = abi.encodeWithSelector(IIpcHandler.handleIpcMessage.selector);
        // Results are its own money coming home: nothing repeats those.
        collect();
        if (dice % 4 == 0 && !resultsAreComing()) vm.mockCallRevert(address(handler), handle, "down");
        carryUp();
        vm.clearMockedCalls();
    }

    function resultsAreComing() private view returns (bool) {
        for (uint256 i = executed; i < up.length; ++i) {
            IpcEnvelope memory e = abi.decode(up[i], (IpcEnvelope));
            if (e.kind == IpcMsgKind.Result) return true;
        }
        return false;
    }

    function weather(uint8 dice) public {
        uint8 kind = dice % 8;
        if (kind == 1) root.its.setPauseStatus(true);
        if (kind == 2) setTrust(root, L1_NAME, false);
        if (kind == 3) setFlowLimit(root, 60 ether);
        if (kind == 4) vm.warp(block.timestamp + 1 hours + 1);
        if (kind == 5) wallets[dice / 8 % 2].set(dice >= 128);
        if (kind != 0 && kind < 6) return;
        root.its.setPauseStatus(false);
        setTrust(root, L1_NAME, true);
        setFlowLimit(root, 0);
    }

    function retryDeposit(uint256 which) public {
        if (deposits.length == 0) return;
        try handler.retryDeposit(deposits[which % deposits.length]) {
            ++retried;
        } catch {}
        collect();
    }

    function retryWithdrawal(uint256 which) public {
        if (withdrawals.length == 0) return;
        try handler.retryWithdrawal(withdrawals[which % withdrawals.length]) {
            ++retried;
        } catch {}
        collect();
    }

    function bringBack(uint256 which) public {
        if (deposits.length == 0) return;
        try handler.sendBack(deposits[which % deposits.length]) {
            ++sentBack;
        } catch {}
        collect();
    }

    function refund(uint256 which) public {
        if (withdrawals.length == 0) return;
        FltWithdrawal memory w = withdrawals[which % withdrawals.length];
        vm.prank(relayer);
        try handler.refund(w, alice) {
            require(w.refundTo == relayer, "not his");
            ++claimed;
        } catch {}
    }

    function resend(uint256 which) public {
        if (withdrawals.length == 0) return;
        FltWithdrawal memory w = withdrawals[which % withdrawals.length];
        bool returned = portal.returnedOf(portal.withdrawalId(w)) != 0;
        vm.prank(relayer);
        try portal.resend{value: FEE}(w) {
            require(returned, "sent again what did not come back");
            ++resent;
        } catch {
            require(!returned, "what came back must be sendable");
        }
        collect();
    }

    function donate(uint64 amount) public {
        vm.prank(alice);
        require(flt.transfer(address(handler), amount));
        donated += amount;
    }

    function check() external {
        conserved();
        uint256 credits;
        for (uint256 i = 0; i < deposits.length; ++i) {
            credits += creditOf(handler.depositId(deposits[i]));
        }
        for (uint256 i = 0; i < withdrawals.length; ++i) {
            bytes32 id = handler.withdrawalId(withdrawals[i]);
            uint256 credit = creditOf(id);
            credits += credit;
            vm.assertTrue(credit == 0 || portal.returnedOf(id) == 0, "kept on both sides");
        }
        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.quarantined, 0, "all are known");
        vm.assertEq(credits, c.credited - c.spent, "credits");
        vm.assertEq(flt.balanceOf(address(handler)), credits + donated, "what is kept is here");
    }

    function counters() external view returns (IFltHandler.Counters memory) {
        return handler.getCounters();
    }
}

contract FltInvariantsTest is Base {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    FltActions private actions;

    function setUp() public {
        actions = new FltActions();
        actions.setUp();
        target(address(actions));
    }

    function targetSelectors() public view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0].addr = address(actions);
        bytes4[] memory s = new bytes4[](18);
        s[0] = FltActions.send.selector;
        s[1] = FltActions.executeAny.selector;
        s[2] = FltActions.replay.selector;
        s[3] = FltActions.exit.selector;
        s[4] = FltActions.deliver.selector;
        s[5] = FltActions.carry.selector;
        s[6] = FltActions.weather.selector;
        s[7] = FltActions.retryDeposit.selector;
        s[8] = FltActions.retryWithdrawal.selector;
        s[9] = FltActions.bringBack.selector;
        s[10] = FltActions.refund.selector;
        s[11] = FltActions.resend.selector;
        s[12] = FltActions.donate.selector;
        // The relayer works more than anyone else.
        s[13] = FltActions.executeAny.selector;
        s[14] = FltActions.executeAny.selector;
        s[15] = FltActions.carry.selector;
        s[16] = FltActions.send.selector;
        s[17] = FltActions.exit.selector;
        list[0].selectors = s;
    }

    /// forge-config: default.invariant.runs = 12
    /// forge-config: default.invariant.depth = 64
    /// forge-config: default.invariant.fail-on-revert = true
    /// forge-config: default.invariant.shrink-run-limit = 50
    function invariant_rule32_noUnitIsMadeOrLost() public {
        actions.check();
    }

    /// @dev The same actions once by hand, so that it is known that they do
    /// something: a run in which nothing fails proves nothing.
    function test_theActionsReachEveryPart() public {
        actions.send(2, 5 ether); // to a wallet that takes nothing
        actions.send(1, 6 ether);
        actions.executeAny(type(uint256).max);
        actions.executeAny(0);
        actions.replay(type(uint256).max);
        actions.deliver();
        actions.carry(1); // undelivered
        actions.check();
        actions.bringBack(0);
        actions.executeAny(0);
        actions.weather(4);
        actions.send(1, 7 ether);
        actions.executeAny(0); // unfunded
        actions.carry(1);
        actions.retryDeposit(2);
        actions.exit(0, 0, 8 ether, true);
        actions.carry(0); // not taken
        actions.deliver();
        actions.check();
        actions.resend(0);
        actions.weather(1);
        actions.carry(1); // unsent
        actions.check();
        actions.weather(0);
        actions.retryWithdrawal(0);
        actions.executeAny(0);
        actions.weather(2);
        actions.exit(1, 0, 9 ether, true);
        actions.carry(1); // unsent
        actions.refund(1);
        actions.donate(5);
        actions.check();
        vm.assertEq(actions.retried(), 2);
        vm.assertEq(actions.sentBack(), 1);
        vm.assertEq(actions.claimed(), 1);
        vm.assertEq(actions.resent(), 1);
        vm.assertEq(actions.replays(), 1);
        IFltHandler.Counters memory c = actions.counters();
        vm.assertEq(c.undelivered, 5 ether);
        vm.assertEq(c.sentBack, 5 ether);
        vm.assertEq(c.withdrawn, 17 ether);
        vm.assertEq(c.sentOn, 8 ether);
        vm.assertEq(c.withdrawalsClaimed, 9 ether);
    }
}
