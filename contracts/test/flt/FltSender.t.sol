// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {DevFlt} from "../../src/dev/DevFlt.sol";
import {FltSender, FltSenderParams} from "../../src/flt/FltSender.sol";
import {Its} from "../../src/flt/Its.sol";
import {FltDeposit} from "../../src/interfaces/IFlt.sol";
import {Base} from "../Base.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

/// @dev A token that keeps a part of what it moves, or leaves one behind, or calls
/// the sender from within.
contract OddFlt is DevFlt {
    uint256 public fee;
    uint256 public dust;
    FltSender private victim;
    bytes public answer;

    constructor(address owner) DevFlt(owner) {}

    function set(uint256 fee_, uint256 dust_, FltSender victim_) external {
        (fee, dust, victim) = (fee_, dust_, victim_);
        if (address(victim_) != address(0)) _approve(address(this), address(victim_), type(uint256).max);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (address(victim) != address(0) && from != address(this)) {
            // Its failure is what is tested.
            // forge-lint: disable-next-line(unchecked-call)
            (, answer) = address(victim).call(abi.encodeCall(victim.deposit, (address(0xb0b), 1 ether)));
        }
        if (fee != 0) _update(from, address(this), fee);
        // The second hop only: out of the sender.
        uint256 left = from.code.length == 0 ? 0 : dust;
        return super.transferFrom(from, to, amount - fee - left);
    }
}

/// @dev Asked for trust as either version of the service answers, or none.
contract Answers {
    bool private immutable NEW;
    bool private immutable OLD;
    string private account;

    constructor(bool new_, bool old_, string memory account_) {
        (NEW, OLD, account) = (new_, old_, account_);
    }

    function isTrustedChain(string calldata chain) external view returns (bool) {
        require(NEW);
        return keccak256(bytes(chain)) == keccak256("filecoin");
    }

    function trustedAddress(string calldata) external view returns (string memory) {
        require(OLD);
        return account;
    }
}

contract ItsTest is Base {
    function test_eitherVersionIsAskedForTrustItsOwnWay() public {
        address newer = address(new Answers(true, true, ""));
        vm.assertTrue(Its.isTrusted(newer, "filecoin"));
        vm.assertFalse(Its.isTrusted(newer, "Filecoin"));
        // What the newer one still answers to the older question does not count.
        newer = address(new Answers(true, true, "hub"));
        vm.assertFalse(Its.isTrusted(newer, "Filecoin"));
        vm.assertTrue(Its.isTrusted(address(new Answers(false, true, "hub")), "filecoin"));
        vm.assertFalse(Its.isTrusted(address(new Answers(false, true, "")), "filecoin"));
        vm.assertTrue(Its.isTrusted(address(new Answers(false, false, "")), "filecoin"));
    }

    uint256 public flowLimit;
    uint256 public flowOutAmount;
    uint256 public flowInAmount;

    /// @dev The difference of both flows is what the limit bounds, and each amount.
    function testFuzz_roomIsWhatTheLimitLeaves(uint128 limit, uint128 outgoing, uint128 incoming) public {
        (flowLimit, flowOutAmount, flowInAmount) = (limit, outgoing, incoming);
        (uint256 said, uint256 room) = Its.flowRoom(address(this));
        vm.assertEq(said, limit);
        if (limit == 0) {
            vm.assertEq(room, type(uint256).max);
            return;
        }
        vm.assertLe(room, limit);
        vm.assertLe(uint256(outgoing) + room, room == 0 ? type(uint256).max : uint256(incoming) + limit);
        // One more is too much by either bound.
        bool over = room + 1 > limit || uint256(outgoing) + room + 1 > uint256(incoming) + limit;
        vm.assertTrue(over);
    }
}

contract FltSenderTest is AxelarWorld {
    OddFlt private odd;
    FltSender private oddSender;

    function setUp() public override {
        super.setUp();
        odd = new OddFlt(address(this));
        FltSenderParams memory p = senderParams(address(handler));
        p.tokenId = l1.factory.registerCanonicalInterchainToken(address(odd));
        oddSender = new FltSender(p);
        odd.mint(alice, 100 ether);
        vm.prank(alice);
        odd.approve(address(oddSender), 100 ether);
    }

    function test_aTokenThatTakesAFeeIsRefused() public {
        odd.set(1, 0, FltSender(address(0)));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(FltSender.UnexpectedBalance.selector, 5 ether, 5 ether - 1));
        oddSender.deposit(bob, 5 ether);
        vm.assertEq(odd.balanceOf(alice), 100 ether);
    }

    function test_aTokenThatMovesLessThanAnnouncedIsRefused() public {
        odd.set(0, 1, FltSender(address(0)));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(FltSender.UnexpectedBalance.selector, 0, 1));
        oddSender.deposit(bob, 5 ether);
    }

    function test_aTokenThatCallsBackDepositsOnce() public {
        odd.set(0, 0, oddSender);
        odd.mint(address(odd), 10 ether);
        vm.prank(alice);
        oddSender.deposit(bob, 5 ether);
        vm.assertEq(
            odd.answer(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
        vm.assertEq(uint256(oddSender.nonce()), 1);
        vm.assertEq(odd.balanceOf(address(odd)), 10 ether);
    }

    /// @dev Somebody's gift is neither sent along nor in the way.
    function test_whatLiesInTheSenderStaysThere() public {
        l1Flt.mint(address(sender), 3 ether);
        deposit(alice, bob, 5 ether);
        vm.assertEq(l1Flt.balanceOf(address(sender)), 3 ether);
        relay();
        carryDown();
        vm.assertEq(bob.balance, 5 ether);
    }

    /// @dev Of nothing but who, what and how often; every field is in it.
    function testFuzz_anIdIsOfOneDepositOnly(FltDeposit memory a, FltDeposit memory b) public view {
        bool same = keccak256(abi.encode(a)) == keccak256(abi.encode(b));
        vm.assertEq(sender.depositId(a) == sender.depositId(b), same);
        vm.assertEq(sender.depositId(a) == oddSender.depositId(a), false);
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_anyDepositArrivesAsItWasSent(uint8 who, uint256 amount) public {
        address to = makeAddr(string.concat("to ", vm.toString(uint256(who))));
        amount = bound(amount, FLT_MIN, FLT_MAX);
        (, bytes32 id) = deposit(alice, to, amount);
        relay();
        carryDown();
        vm.assertEq(to.balance, amount);
        vm.assertEq(creditOf(id), 0);
        conserved();
    }

    function test_anIncompleteSenderIsNotMade() public {
        for (uint256 i = 0; i < 8; ++i) {
            FltSenderParams memory p = senderParams(address(handler));
            if (i == 0) p.its = address(1234);
            if (i == 1) p.rootChain = "";
            if (i == 2) p.handler = address(0);
            if (i == 3) p.subnet.root = 0;
            if (i == 4) p.subnet.route = new address[](0);
            if (i == 5) p.min = 0;
            if (i == 6) p.min = p.max + 1;
            if (i == 7) p.max = uint256(type(uint128).max) + 1;
            vm.expectRevert(FltSender.InvalidConfiguration.selector);
            new FltSender(p);
        }
        FltSenderParams memory unknown = senderParams(address(handler));
        unknown.tokenId = "unknown";
        vm.expectRevert();
        new FltSender(unknown);
    }

    function test_itSaysWhatItIsMadeOf() public view {
        (address its, bytes32 id, address token) = sender.service();
        vm.assertEq(its, address(l1.its));
        vm.assertEq(id, tokenId);
        vm.assertEq(token, address(l1Flt));
        (string memory chain, address to, bytes32 key) = sender.destination();
        vm.assertEq(chain, ROOT_NAME);
        vm.assertEq(to, address(handler));
        vm.assertEq(key, keccak256(abi.encode(subnetId())));
        (uint256 min, uint256 max) = sender.limits();
        vm.assertEq(min, FLT_MIN);
        vm.assertEq(max, FLT_MAX);
    }
}
