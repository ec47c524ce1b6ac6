// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base, Vm} from "../Base.sol";
import "../../src/ipc/Types.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {SubnetGateway} from "../../src/subnet/SubnetGateway.sol";
import {Recipient, Stone} from "./Recipients.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

/// @dev Root, users, relayers and troublemakers, driven at random.
contract World is SubnetFixture {
    address[] public accounts; // whoever may hold coin, the gateway apart
    Recipient[] private recipients;
    uint256[] public valueUpTo; // of the first i messages of the root
    uint256 public donated;
    uint256 public sentValue;
    uint64 public sentCount;
    bool public broken; // something happened that never may
    bool private reverted;
    mapping(uint256 epoch => bytes32) public rolling;
    mapping(uint256 epoch => uint64) public counts;
    uint256[] private epochs;
    IpcEnvelope[] private queue;
    ISubnetGateway.Counters private last;

    constructor() {
        setUp();
    }

    function setUp() public override {
        if (address(gateway) != address(0)) return;
        super.setUp();
        vm.deal(ALICE, PREFUND / 2);
        vm.deal(address(this), 0);
        valueUpTo.push(0);
        for (uint256 i = 0; i < 3; ++i) {
            recipients.push(new Recipient(gateway));
            accounts.push(address(recipients[i]));
        }
        vm.deal(address(recipients[0]), PREFUND / 2);
        accounts.push(address(new Stone()));
        accounts.push(ALICE);
        accounts.push(BOB);
        accounts.push(RELAYER);
        accounts.push(address(99));
        accounts.push(address(this));
    }

    modifier watched() {
        vm.recordLogs();
        _;
        // forge records what reverted calls emitted, too.
        if (reverted) vm.getRecordedLogs();
        reverted = false;
        _collect();
        _monotone();
    }

    // ---- the root

    function sendDown(uint8 kind, uint8 who, uint96 value, bool asked) external {
        address to = who % 16 == 15 ? AT : accounts[who % (accounts.length - 1)];
        value = uint96(value % 50 ether);
        IpcEnvelope memory e;
        if (kind % 4 == 0) e = _transfer(to, value);
        else if (kind % 4 == 1) e = _callTo(to, value, asked);
        else if (kind % 4 == 2) e = _result(to, value, bytes32(uint256(kind)));
        else e = _transfer(to, uint256(value) << 128); // more than there is
        queue.push(e);
        valueUpTo.push(valueUpTo[valueUpTo.length - 1] + e.value);
    }

    function attest(uint256 upTo) external watched {
        uint256 before = gateway.latestParentFinality().topDownNonce;
        _attestTo(bound(upTo, before, topLeaves.length));
    }

    // ---- relayers, honest and not

    function deliver(uint256 from, uint256 to, uint256 gasLimit) external watched {
        uint256 attested = gateway.latestParentFinality().topDownNonce;
        if (attested == 0) return;
        uint256 applied = gateway.appliedTopDownNonce();
        to = bound(to, 1, attested);
        if (to > applied + 5) to = applied + 5;
        from = bound(from, 0, to - 1);
        if (from + 6 < to) from = to - 6;
        IpcEnvelope[] memory list = new IpcEnvelope[](to - from);
        for (uint256 i = from; i < to; ++i) {
            list[i - from] = queue[i];
        }
        bytes memory data =
            abi.encodeCall(SubnetGateway.deliver, (list, to > applied ? _tail(to - 1) : new bytes32[](0)));
        gasLimit = bound(gasLimit, 100_000, 6_000_000);
        vm.prank(RELAYER);
        (bool ok,) = AT.call{gas: gasLimit}(data);
        reverted = !ok;
        uint256 now_ = gateway.appliedTopDownNonce();
        // All of it or nothing, never past a gap.
        uint256 want = ok && from <= applied && to > applied ? to : applied;
        if (now_ != want) broken = true;
        if (ok && from > applied) broken = true;
    }

    function deliverForged(uint256 value) external watched {
        uint256 applied = gateway.appliedTopDownNonce();
        if (applied >= gateway.latestParentFinality().topDownNonce) return;
        IpcEnvelope memory e = queue[applied];
        if (value == e.value) return;
        e.value = value;
        bytes32[] memory tail = _tail(applied);
        (bool ok,) = AT.call(abi.encodeCall(SubnetGateway.deliver, (_one(e), tail)));
        reverted = true;
        if (ok) broken = true;
    }

    // ---- users

    function release(uint8 who, uint256 value) external watched {
        address user = who % 2 == 0 ? ALICE : BOB;
        if (user.balance < 2 * FEE) return;
        value = bound(value, FEE, user.balance);
        vm.prank(user);
        (bool ok,) = AT.call{value: value}(abi.encodeCall(ISubnetGateway.release, (Fvm.from(REMOTE))));
        reverted = !ok;
    }

    function sendUp(uint8 who, uint256 value) external watched {
        Recipient r = recipients[who % 3];
        if (address(r).balance < FEE) return;
        IpcEnvelope memory e;
        e.to = _atRoot(REMOTE);
        e.value = bound(value, 0, address(r).balance - FEE);
        e.message = abi.encode(CallMsg(hex"01020304", ""));
        vm.prank(address(r));
        (bool ok,) =
            AT.call{value: e.value + FEE}(abi.encodeCall(ISubnetGateway.sendContractXnetMessage, (e)));
        reverted = !ok;
    }

    function behave(uint8 who, uint8 mode, bool plain, uint8 attack) external {
        Recipient r = recipients[who % 3];
        r.set(Recipient.Mode(mode % 9));
        r.setPlain(plain);
        bytes memory data = abi.encodeCall(ISubnetGateway.withdrawCredit, (address(r)));
        if (attack % 3 == 1) data = abi.encodeCall(ISubnetGateway.pushCredit, (address(r)));
        if (attack % 3 == 2 && topLeaves.length > gateway.appliedTopDownNonce()) {
            IpcEnvelope memory e = queue[gateway.appliedTopDownNonce()];
            data = abi.encodeCall(ISubnetGateway.deliver, (_one(e), new bytes32[](0)));
        }
        r.setAttack(data);
    }

    function claim(uint8 who, bool push) external watched {
        address account = accounts[who % accounts.length];
        uint256 credit = gateway.creditOf(account);
        bytes memory data = push
            ? abi.encodeCall(ISubnetGateway.pushCredit, (account))
            : abi.encodeCall(ISubnetGateway.withdrawCredit, (BOB));
        vm.prank(account);
        (bool ok,) = AT.call(data);
        if (ok && (credit == 0 || gateway.creditOf(account) != 0)) broken = true;
    }

    function donate(uint64 value) external {
        donated += value;
        vm.deal(AT, AT.balance + value);
    }

    function pass(uint8 blocks) external {
        vm.roll(vm.getBlockNumber() + blocks % 12);
    }

    // ---- what is true

    function outside() external view returns (uint256 sum) {
        for (uint256 i = 0; i < accounts.length; ++i) {
            sum += accounts[i].balance;
        }
    }

    function credits() external view returns (uint256 sum) {
        for (uint256 i = 0; i < accounts.length; ++i) {
            sum += gateway.creditOf(accounts[i]);
        }
        sum += gateway.creditOf(AT);
    }

    function appliedHash() external view returns (bytes32) {
        return topHashes[gateway.appliedTopDownNonce()];
    }

    function batchesMatch() external view returns (bool) {
        for (uint256 i = 0; i < epochs.length; ++i) {
            (, uint64 count, bytes32 hash) = gateway.bottomUpBatchInfo(epochs[i]);
            if (count != counts[epochs[i]] || hash != rolling[epochs[i]]) return false;
        }
        return true;
    }

    /// @dev What a node does: rebuilds the batches from the logs.
    function _collect() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != AT || logs[i].topics[0] != ISubnetGateway.BottomUpMessage.selector) {
                continue;
            }
            uint256 epoch = uint256(logs[i].topics[1]);
            if (uint256(logs[i].topics[2]) != sentCount) broken = true;
            ++sentCount;
            if (counts[epoch]++ == 0) epochs.push(epoch);
            rolling[epoch] = keccak256(abi.encodePacked(rolling[epoch], keccak256(logs[i].data)));
            sentValue += abi.decode(logs[i].data, (IpcEnvelope)).value;
        }
    }

    function _monotone() private {
        ISubnetGateway.Counters memory c = gateway.getCounters();
        bool fell = c.released < last.released || c.returned < last.returned || c.bounced < last.bounced
            || c.feesIn < last.feesIn || c.feesOut < last.feesOut || c.credited < last.credited
            || c.creditsPaid < last.creditsPaid;
        if (fell) broken = true;
        last = c;
    }

    function at() external view returns (SubnetGateway) {
        return gateway;
    }
}

contract ConservationTest is Base {
    World private world;
    SubnetGateway private gateway;
    uint256 private constant TREASURY = 2 ** 100;
    uint256 private constant PREFUND = 1000 ether;

    function setUp() public {
        world = new World();
        gateway = world.at();
        target(address(world));
    }

    /// @dev Every unit of coin is with somebody, and the counters say with whom.
    function invariant_rule29_noCoinAppearsOrIsLost() public view {
        ISubnetGateway.Counters memory c = gateway.getCounters();
        uint256 kept = c.returned + c.feesIn + c.credited;
        uint256 gone = c.released + c.feesOut + c.creditsPaid;
        vm.assertEq(address(gateway).balance, TREASURY + world.donated() + kept - gone);
        vm.assertEq(world.outside() + kept, PREFUND + gone);
    }

    /// @dev The value of every applied message was released or went back, once.
    function invariant_rule25_exactlyOneCompensationPerMessage() public view {
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(c.released + c.bounced, world.valueUpTo(gateway.appliedTopDownNonce()));
        vm.assertEq(c.returned + c.bounced, world.sentValue());
        vm.assertEq(c.credited - c.creditsPaid, world.credits());
    }

    function invariant_rule31_circulatingSupplyIsThatOfTheRoot() public view {
        ISubnetGateway.Counters memory c = gateway.getCounters();
        uint256 down = world.valueUpTo(gateway.appliedTopDownNonce());
        vm.assertEq(gateway.circSupply(), PREFUND + down - world.sentValue());
        vm.assertLe(c.preFunded + c.released, gateway.circSupply() + c.returned);
    }

    function invariant_rule58_batchesAreThoseOfTheLogs() public view {
        vm.assertTrue(world.batchesMatch());
        vm.assertEq(gateway.bottomUpNonce(), world.sentCount());
    }

    function invariant_rule11_theAppliedHashIsTheRoots() public view {
        (, bytes32 hash) = gateway.appliedTopDown();
        vm.assertEq(hash, world.appliedHash());
        vm.assertFalse(world.broken());
    }
}
