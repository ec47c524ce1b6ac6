// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {Base} from "../Base.sol";
import {Handler, OddToken} from "./Recipients.sol";
import {RootFixture} from "./RootFixture.sol";

/// @dev Random deposits, withdrawals, failures, donations, replays and disorder.
contract Chaos is RootFixture {
    OddToken public odd;
    Handler public handler;
    uint256 public donated;
    uint256 public executedMsgs;
    uint256 private nextBatch = PERIOD;
    IpcEnvelope[] private quarantined;

    // What a subnet believes: what it got and what it sent.
    uint256 public claimedUp; // value of applied messages that were not quarantined

    constructor() {
        super.setUp();
        odd = new OddToken();
        handler = new Handler();
        _start(_params(PermissionMode.Collateral, address(odd), address(0)));
        odd.mint(alice, 1e30);
        vm.prank(alice);
        odd.approve(address(gateway), type(uint256).max);
    }

    function setUp() public override {}

    function theActor() external view returns (SubnetActor) {
        return actor;
    }

    function theGateway() external view returns (Gateway) {
        return gateway;
    }

    function accounts() public view returns (address[4] memory) {
        return [alice, bob, address(handler), anyone];
    }

    function pausedOrLying(uint8 dice) external {
        odd.set(0, dice % 5 == 0, dice % 5 == 1);
        handler.fail(dice % 3 == 0);
    }

    function deposit(uint96 amount) external {
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(bob), bound(amount, FUND_MIN, 1000 ether));
    }

    function call(uint96 amount, bool free) external {
        IpcEnvelope memory e;
        e.to = there(bob);
        e.value = free ? 0 : bound(amount, FUND_MIN, 1000 ether);
        e.message = abi.encode(CallMsg(hex"aabbccdd", ""));
        odd.mint(address(handler), e.value);
        handler.send(gateway, e, address(odd));
    }

    function donate(uint96 amount) external {
        odd.mint(address(gateway), amount);
        donated += amount;
    }

    function queue(uint8 kind, uint8 who, uint96 amount, bool asked) external {
        if (batches[height + PERIOD].length >= 6) return;
        address to = accounts()[who % 4];
        if (who % 16 == 7) to = address(gateway);
        // Now and then more than there is.
        uint256 value = bound(amount, 0, circ() + 1 ether);
        if (kind % 5 == 4) value = 0;
        IpcEnvelope memory e =
            kind % 3 == 0 ? transferUp(to, value) : kind % 3 == 1 ? callUp(to, value) : resultUp(to, value);
        if (asked) e.originalNonce |= 1 << 63;
        _push(e);
    }

    function checkpoint() external {
        _submit(0);
    }

    /// @dev A whole round, so that runs of bounded depth see many messages.
    function round(uint256 seed) external {
        for (uint256 i = 0; i < 4; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            // forge-lint: disable-next-line(unsafe-typecast)
            this.queue(uint8(seed), uint8(seed >> 8), uint96(seed >> 16), seed >> 255 == 1);
        }
        this.checkpoint();
        // forge-lint: disable-next-line(unsafe-typecast)
        this.pausedOrLying(uint8(seed >> 200));
        // forge-lint: disable-next-line(unsafe-typecast)
        this.executeNext(uint8(seed >> 208));
        // forge-lint: disable-next-line(unsafe-typecast)
        this.executeNext(uint8(seed >> 216));
        if (seed >> 224 & 1 == 1) odd.set(0, false, false);
    }

    /// @dev Any batch, any part of it, again and out of order.
    function execute(uint8 batch, uint8 from, uint8 count) external {
        if (height == 0) return;
        uint256 at = PERIOD * (1 + batch % (height / PERIOD));
        _tryExec(at, from, count);
    }

    /// @dev The right batch, mostly.
    function executeNext(uint8 count) external {
        while (nextBatch <= height && batches[nextBatch].length == 0) nextBatch += PERIOD;
        if (nextBatch <= height) _tryExec(nextBatch, 0, count);
    }

    function _tryExec(uint256 at, uint8 from, uint8 count) private {
        uint256 n = batches[at].length;
        if (n == 0) return;
        uint256 start = from % n;
        uint256 end = start + 1 + count % (n - start);
        (, uint64 before) = gateway.getAppliedBottomUpNonce(subnetId());
        try actor.execBottomUpMsgBatch(at, inclusions(at, start, end)) {
            (, uint64 afterwards) = gateway.getAppliedBottomUpNonce(subnetId());
            executedMsgs += afterwards - before;
            for (uint256 i = 0; i < n; i++) {
                IpcEnvelope memory e = batches[at][i];
                if (e.localNonce < before || e.localNonce >= afterwards) continue;
                if (gateway.quarantinedHash(subnetId(), e.localNonce) != 0) quarantined.push(e);
                else claimedUp += e.value;
            }
            if (afterwards == batches[at][n - 1].localNonce + 1) nextBatch = at + PERIOD;
        } catch {}
    }

    function retry(uint8 which) external {
        if (quarantined.length == 0) return;
        IpcEnvelope memory e = quarantined[which % quarantined.length];
        try gateway.retryQuarantined(e) {
            claimedUp += e.value;
            quarantined[which % quarantined.length] = quarantined[quarantined.length - 1];
            quarantined.pop();
        } catch {}
    }

    function pull(uint8 who) external {
        address account = accounts()[who % 4];
        for (uint256 i = 0; i < 4 && credit(account) == 0; i++) {
            account = accounts()[i];
        }
        vm.prank(account);
        gateway.withdrawCredit(subnetId(), account);
    }

    function push(uint8 who) external {
        gateway.pushCredit(subnetId(), accounts()[who % 4]);
    }
}

contract InvariantsTest is Base {
    Chaos private chaos;

    function setUp() public {
        chaos = new Chaos();
        target(address(chaos));
    }

    function _id() private view returns (SubnetID memory id) {
        id.root = uint64(block.chainid);
        id.route = new address[](1);
        id.route[0] = address(chaos.theActor());
    }

    /// @dev Every unit the gateway was given is circulating, in a credit, or gone
    /// to its recipient; donations are nobody's.
    function invariant_conservation() public view {
        IGateway.Counters memory c = chaos.theGateway().getCounters(_id());
        (, Subnet memory s) = chaos.theGateway().getSubnet(_id());
        vm.assertEq(s.circSupply, c.preFunded + c.locked + c.relocked - c.unlocked);
        uint256 credits;
        for (uint256 i = 0; i < 4; i++) {
            credits += chaos.theGateway().creditOf(_id(), chaos.accounts()[i]);
        }
        vm.assertEq(credits, c.credited - c.creditsPaid);
        vm.assertEq(
            chaos.odd().balanceOf(address(chaos.theGateway())), s.circSupply + credits + chaos.donated()
        );
    }

    /// @dev Exactly one way for each message's value.
    function invariant_rule25_exactlyOneCompensation() public view {
        IGateway.Counters memory c = chaos.theGateway().getCounters(_id());
        vm.assertEq(c.unlocked, chaos.claimedUp());
        vm.assertGe(c.quarantined, c.quarantineReleased);
        vm.assertGe(c.unlocked, c.relocked + c.credited);
    }

    /// @dev Nonces count what was executed, once each.
    function invariant_everyMessageIsAppliedOnce() public view {
        (, uint64 applied) = chaos.theGateway().getAppliedBottomUpNonce(_id());
        vm.assertEq(applied, chaos.executedMsgs());
    }
}
