// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IFastWithdrawals, ILinkedTokenController} from "../../src/interfaces/IWithdrawals.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {IpcEnvelope, IpcMsgKind, OutcomeType, Withdrawal, WithdrawalRequest} from "../../src/ipc/Types.sol";
import {Base} from "../Base.sol";
import {NastyUsdc, World} from "./World.sol";

/// @dev Users, carriers and a token that misbehaves, in any order. Messages are
/// applied in order as gateways do; Results and withdrawals are also replayed,
/// which gateways do not.
contract Actions is World {
    NastyUsdc internal nasty;
    uint64 private downNext;
    uint64 private upNext;

    struct Deposit {
        bytes32 id;
        address sender;
        uint256 amount;
    }

    Deposit[] public deposits;
    Withdrawal[] internal withdrawals;
    IFastWithdrawals.Status[] internal seen;
    mapping(bytes32 => bool) public mintedOnce;
    mapping(uint256 => bool) private refusedUp;

    uint256 public mintedSum;
    uint256 public usdcDonated;
    uint256 public fltDonated;
    bool public wentBack;
    uint256 public replays;
    uint256 public resends;
    uint256 public settled;
    uint256 public refunds;
    address[3] internal users;

    function setUp() public override {
        super.setUp();
        nasty = new NastyUsdc(address(this));
        build(address(nasty));
        users = [alice, bob, carol];
        for (uint256 i = 0; i < 3; i++) {
            vm.deal(users[i], 1e9 ether);
        }
    }

    modifier watched() {
        _;
        for (uint256 i = 0; i < withdrawals.length; i++) {
            (IFastWithdrawals.Status s,,) = fast.statusOf(fast.withdrawalId(withdrawals[i]));
            if (seen[i] == IFastWithdrawals.Status.Settled && s != IFastWithdrawals.Status.Settled) {
                wentBack = true;
            }
            if (s == IFastWithdrawals.Status.Filled) wentBack = true;
            if (seen[i] != s) settled++;
            seen[i] = s;
        }
    }

    function deposit(uint8 who, uint8 to, uint256 amount) external watched {
        if (nasty.isBlocked(users[who % 3])) return;
        amount = bound(amount, USDC_MIN, USDC_MAX);
        IpcEnvelope memory e = sendDeposit(users[who % 3], users[to % 3], amount);
        deposits.push(Deposit({id: Envelopes.tracingId(e), sender: users[who % 3], amount: amount}));
    }

    function withdrawFlt(uint8 who, uint8 to, uint256 amount) external watched {
        _withdraw(users[who % 3], request(address(flt), bound(amount, FLT_MIN, 1000 ether), users[to % 3]));
    }

    function withdrawUsdc(uint8 who, uint8 to, uint256 amount) external watched {
        address from = users[who % 3];
        uint256 held = replica.balanceOf(from);
        if (held < USDC_MIN) return;
        uint256 max = held < USDC_MAX ? held : USDC_MAX;
        _withdraw(from, request(address(usdc), bound(amount, USDC_MIN, max), users[to % 3]));
    }

    /// @dev The next message down: applied, or (one in four) failed unseen.
    function carryDown(uint8 dice) external watched {
        if (downNext == rootGateway.sent()) return;
        IpcEnvelope memory e = rootGateway.message(downNext++);
        if (e.kind == IpcMsgKind.Call && dice % 4 == 0) {
            subnetGateway.refuse(e);
            return;
        }
        bool ok = subnetGateway.execute(e) == OutcomeType.Ok;
        if (e.kind != IpcMsgKind.Call) return;
        // Every deposit of the handler is mintable.
        require(ok, "mint failed");
        bytes32 id = Envelopes.tracingId(e);
        for (uint256 i = 0; i < deposits.length; i++) {
            if (deposits[i].id != id) continue;
            mintedOnce[id] = true;
            mintedSum += deposits[i].amount;
        }
    }

    /// @dev The next message up: applied, or (one in three) failed unseen.
    function carryUp(uint8 dice) external watched {
        if (upNext == subnetGateway.sent()) return;
        IpcEnvelope memory e = subnetGateway.message(upNext++);
        if (e.kind == IpcMsgKind.Call && dice % 3 == 0) {
            refusedUp[upNext - 1] = true;
            rootGateway.refuse(e);
            return;
        }
        bool ok = rootGateway.execute(e) == OutcomeType.Ok;
        require(ok, "nothing may fail on the root");
        if (e.kind == IpcMsgKind.Result) refunds++;
    }

    /// @dev An already applied message again: a Result must be unknown, a
    /// withdrawal's value booked aside.
    function replay(uint256 which, bool up) external watched {
        if (up && upNext > 0) {
            // A gateway either applies or compensates.
            if (refusedUp[which % upNext]) return;
            IpcEnvelope memory e = subnetGateway.message(which % upNext);
            OutcomeType o = rootGateway.execute(e);
            require((e.kind == IpcMsgKind.Result) == (o != OutcomeType.Ok), "replay up");
            replays++;
        } else if (!up && downNext > 0) {
            IpcEnvelope memory e = rootGateway.message(which % downNext);
            if (e.kind == IpcMsgKind.Call) return; // ordered by the gateway
            require(subnetGateway.execute(e) != OutcomeType.Ok, "replay down");
            replays++;
        }
    }

    function resend(uint256 which) external watched {
        if (withdrawals.length == 0) return;
        Withdrawal memory w = withdrawals[which % withdrawals.length];
        bool returned = outbox.stateOf(outbox.withdrawalId(w)) == 1;
        vm.prank(alice);
        try outbox.resend{value: EXIT_FEE}(w) {
            require(returned, "resent what was not returned");
            resends++;
        } catch {
            require(!returned, "a returned one must be sendable");
        }
    }

    function push(uint256 which) external watched {
        if (withdrawals.length == 0) return;
        try fast.push(withdrawals[which % withdrawals.length]) {} catch {}
    }

    function claim(uint256 which, uint8 who, uint8 to) external watched {
        if (withdrawals.length == 0) return;
        Withdrawal memory w = withdrawals[which % withdrawals.length];
        address from = users[who % 3];
        vm.prank(from);
        try fast.claim(w, users[to % 3]) {
            require(from == w.recipient || from == w.fallbackRecipient, "claimed by a stranger");
        } catch {}
    }

    function claimRefund(uint256 which, uint8 who, uint8 to) external watched {
        if (deposits.length == 0) return;
        Deposit memory d = deposits[which % deposits.length];
        vm.prank(users[who % 3]);
        try controller.claimRefund(d.id, users[to % 3]) {
            // Anybody may bring it to whom it belongs.
            bool owners = d.sender == users[who % 3] || d.sender == users[to % 3];
            require(owners, "refund claimed by a stranger for himself");
        } catch {}
    }

    function misbehave(uint8 mode) external {
        NastyUsdc.Mode[6] memory modes = [
            NastyUsdc.Mode.Plain,
            NastyUsdc.Mode.Plain,
            NastyUsdc.Mode.Paused,
            NastyUsdc.Mode.ReturnsFalse,
            NastyUsdc.Mode.BurnsGas,
            NastyUsdc.Mode.ReturnBomb
        ];
        nasty.setMode(modes[mode % 6]);
    }

    function blockUser(uint8 who, bool blocked) external {
        nasty.setBlocked(users[who % 3], blocked);
    }

    function donate(uint96 amount) external {
        usdc.mint(address(controller), amount);
        flt.mint(address(fast), amount);
        vm.deal(address(outbox), address(outbox).balance + amount);
        usdcDonated += amount;
        fltDonated += amount;
    }

    function _withdraw(address from, WithdrawalRequest memory r) private {
        (Withdrawal memory w,) = sendWithdrawal(from, r);
        withdrawals.push(w);
        seen.push(IFastWithdrawals.Status.None);
    }

    // The books, read and compared.

    function checkEscrow() external view {
        ILinkedTokenController.Counters memory c = controller.getCounters();
        uint256 liabilities =
            controller.lockedNow() + (c.refunded - c.refundsPaid) + (c.reserved - c.reservesPaid);
        vm.assertEq(usdc.balanceOf(address(controller)), liabilities + usdcDonated, "escrow");

        // Locked = minted and not burnt + under way down + under way up.
        uint256 underWay;
        uint256 credits;
        for (uint256 i = 0; i < deposits.length; i++) {
            Deposit memory d = deposits[i];
            (address sender, uint256 amount, bool pending) = controller.refundOf(d.id);
            if (sender != address(0)) vm.assertEq(amount, d.amount, "entry");
            if (pending) credits += amount;
            else if (sender != address(0) && !mintedOnce[d.id]) underWay += amount;
            if (mintedOnce[d.id]) vm.assertFalse(pending, "minted and refunded");
        }
        vm.assertEq(credits, c.refunded - c.refundsPaid, "refund credits");

        uint256 paid;
        uint256 owed;
        for (uint256 i = 0; i < withdrawals.length; i++) {
            if (withdrawals[i].token != address(usdc)) continue;
            bytes32 id = fast.withdrawalId(withdrawals[i]);
            uint256 credit = fast.creditOf(id);
            vm.assertEq(credit, controller.reservedFor(id), "credit is reserved");
            if (seen[i] == IFastWithdrawals.Status.Settled) paid += withdrawals[i].gross - credit;
            else underWay += withdrawals[i].gross;
            owed += credit;
        }
        vm.assertEq(paid, c.reservesPaid, "paid once each");
        vm.assertEq(owed, c.reserved - c.reservesPaid, "reserved");
        vm.assertEq(controller.lockedNow(), replica.totalSupply() + underWay, "conservation of USDC");
    }

    function checkSubnet() external view {
        vm.assertEq(replica.minted(), mintedSum, "only deposits mint");
        vm.assertEq(replica.totalSupply(), replica.minted() - replica.burnt(), "supply");
        uint256 burnt;
        uint256 heldFlt;
        for (uint256 i = 0; i < withdrawals.length; i++) {
            Withdrawal memory w = withdrawals[i];
            bool returned = outbox.stateOf(outbox.withdrawalId(w)) == 1;
            if (w.token == address(usdc)) burnt += w.gross;
            if (!returned) continue;
            vm.assertTrue(seen[i] == IFastWithdrawals.Status.None, "returned and settled");
            if (w.token != address(usdc)) heldFlt += w.gross;
        }
        vm.assertEq(replica.burnt(), burnt, "burnt once each");
        vm.assertEq(outbox.heldFlt(), heldFlt, "held FLT");
        vm.assertEq(address(outbox).balance, heldFlt + fltDonated, "coin held");
        (uint64 count,) = outbox.accumulator();
        vm.assertEq(uint256(count), withdrawals.length, "one leaf each");
    }

    function checkFlt() external view {
        uint256 credits;
        uint256 paid;
        for (uint256 i = 0; i < withdrawals.length; i++) {
            if (withdrawals[i].token != address(flt)) continue;
            uint256 credit = fast.creditOf(fast.withdrawalId(withdrawals[i]));
            credits += credit;
            if (seen[i] == IFastWithdrawals.Status.Settled) paid += withdrawals[i].gross - credit;
        }
        uint256 aside;
        for (uint64 n = 0; n < upNext; n++) {
            aside += fast.quarantinedValue(n);
        }
        vm.assertEq(fast.fltPaid(), paid, "paid once each");
        vm.assertEq(fast.fltReceived() - fast.fltPaid(), credits + aside, "owed");
        vm.assertEq(
            flt.balanceOf(address(fast)),
            fast.fltReceived() - fast.fltPaid() + fltDonated,
            "credits <= balance"
        );
    }
}

contract InvariantsTest is Base {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Actions private actions;

    function setUp() public {
        actions = new Actions();
        actions.setUp();
        target(address(actions));
    }

    function targetSelectors() public view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0].addr = address(actions);
        bytes4[] memory s = new bytes4[](18);
        s[0] = Actions.deposit.selector;
        s[1] = Actions.withdrawFlt.selector;
        s[2] = Actions.withdrawUsdc.selector;
        s[3] = Actions.carryDown.selector;
        s[4] = Actions.carryUp.selector;
        s[5] = Actions.replay.selector;
        s[6] = Actions.resend.selector;
        s[7] = Actions.push.selector;
        s[8] = Actions.claim.selector;
        s[9] = Actions.claimRefund.selector;
        s[10] = Actions.misbehave.selector;
        s[11] = Actions.blockUser.selector;
        s[12] = Actions.donate.selector;
        // The carriers work more than anyone else.
        s[13] = Actions.carryDown.selector;
        s[14] = Actions.carryUp.selector;
        s[15] = Actions.carryDown.selector;
        s[16] = Actions.carryUp.selector;
        s[17] = Actions.withdrawUsdc.selector;
        list[0].selectors = s;
    }

    /// forge-config: default.invariant.runs = 32
    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_rule29_escrowAndSupplyAgree() public view {
        actions.checkEscrow();
    }

    /// forge-config: default.invariant.runs = 32
    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_rule33_onlyDepositsMintAndEachWithdrawalIsHeldOrGone() public view {
        actions.checkSubnet();
    }

    /// forge-config: default.invariant.runs = 32
    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_rule25_whatIsPaidOrOwedCame() public view {
        actions.checkFlt();
    }

    /// forge-config: default.invariant.runs = 32
    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_rule34_statusOnlyGoesFromNoneToSettled() public view {
        vm.assertFalse(actions.wentBack());
    }

    /// @dev The same actions once by hand, so that it is known that they do
    /// something: a run in which nothing settles proves nothing.
    function test_theActionsReachEveryPart() public {
        actions.deposit(0, 0, 100e6);
        actions.carryDown(1);
        actions.deposit(0, 1, 50e6);
        actions.carryDown(0); // failed
        actions.carryUp(1); // refunded
        actions.withdrawUsdc(0, 1, 10e6);
        actions.withdrawFlt(0, 1, 10 ether);
        actions.carryUp(1); // settled
        actions.carryUp(0); // failed
        actions.carryDown(1); // returned
        actions.resend(1);
        actions.carryUp(1); // settled
        actions.replay(1, true);
        actions.misbehave(2);
        actions.withdrawUsdc(0, 1, 10e6);
        actions.carryUp(1); // credited
        actions.misbehave(0);
        actions.claim(2, 1, 2);
        actions.donate(5);
        vm.assertEq(actions.settled(), 3);
        vm.assertEq(actions.refunds(), 1);
        vm.assertEq(actions.resends(), 1);
        vm.assertEq(actions.replays(), 1);
        actions.checkEscrow();
        actions.checkSubnet();
        actions.checkFlt();
    }
}
