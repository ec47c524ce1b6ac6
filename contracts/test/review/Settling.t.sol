// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DevFlt} from "../../src/dev/DevFlt.sol";
import {DevUsdc} from "../../src/dev/DevUsdc.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {ILinkedTokenController} from "../../src/interfaces/IWithdrawals.sol";
import {Calls} from "../../src/ipc/Calls.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {IpcEnvelope, IpcMsgKind, OutcomeType, Withdrawal} from "../../src/ipc/Types.sol";
import {Withdrawals} from "../../src/withdraw/Withdrawals.sol";
import {Base} from "../Base.sol";
import {NastyUsdc, World} from "../withdraw/World.sol";

/// @dev Answers every call with the bytes it was given.
contract RawToken {
    bytes private answer;
    bool private failing;

    function set(bytes calldata answer_, bool failing_) external {
        (answer, failing) = (answer_, failing_);
    }

    fallback() external {
        bytes memory a = answer;
        if (failing) {
            assembly {
                revert(add(a, 0x20), mload(a))
            }
        }
        assembly {
            return(add(a, 0x20), mload(a))
        }
    }
}

contract Payer {
    using SafeERC20 for IERC20;

    function attempt(address token) external returns (bool) {
        return Calls.tryTransfer(token, address(2), 3, 100_000);
    }

    function insist(address token) external {
        IERC20(token).safeTransfer(address(2), 3);
    }
}

/// @dev What is tried at once and what is pulled later take the same answers for a
/// payment: else one would pay what the other has paid.
contract AnswersTest is Base {
    function testFuzz_aTriedTransferWorkedWhenAPulledOneWould(
        bytes memory noise,
        uint256 word,
        uint8 how,
        bool failing,
        bool code
    ) public {
        bytes memory answer = noise;
        if (how % 4 == 1) answer = abi.encode(word % 3);
        if (how % 4 == 2) answer = abi.encodePacked(word % 3, noise);
        // forge-lint: disable-next-line(unsafe-typecast)
        if (how % 4 == 3) answer = abi.encodePacked(bytes31(uint248(word % 3)));
        RawToken token = new RawToken();
        token.set(answer, failing);
        address at = code ? address(token) : address(0x1234567890);
        Payer payer = new Payer();
        (bool worked,) = address(payer).call(abi.encodeCall(payer.insist, (at)));
        vm.assertEq(payer.attempt(at), worked);
    }
}

/// @dev Gives up at once, and cheaply, when it gets less gas than it was promised.
contract PickyUsdc is DevUsdc {
    uint256 private immutable NEED;

    constructor(address owner, uint256 need) DevUsdc(owner) {
        NEED = need;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        require(gasleft() >= NEED, "starved");
        return super.transfer(to, amount);
    }
}

contract PickyFlt is DevFlt {
    uint256 private immutable NEED;

    constructor(address owner, uint256 need) DevFlt(owner) {
        NEED = need;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        require(gasleft() >= NEED || msg.sender.code.length == 0, "starved");
        return super.transfer(to, amount);
    }
}

/// @dev Whatever gas reaches the handler: paid, or nothing happened.
contract PickyTokensTest is World {
    function setUp() public override {
        uint256 need = ROOT_GAS / 4 - 1_000; // what a call costs before it looks
        flt = new PickyFlt(address(this), need);
        build(address(new PickyUsdc(address(this), need)));
    }

    function test_rule14_noGasTurnsAPaymentIntoACredit() public {
        depositUsdc(alice, alice, 5e6);
        (Withdrawal memory a, IpcEnvelope memory ea) =
            sendWithdrawal(alice, request(address(flt), 5 ether, bob));
        (Withdrawal memory b, IpcEnvelope memory eb) = sendWithdrawal(alice, request(address(usdc), 5e6, bob));
        flt.mint(address(fast), 5 ether);
        sweep(ea, fast.withdrawalId(a), flt, 5 ether);
        sweep(eb, fast.withdrawalId(b), usdc, 5e6);
    }

    function sweep(IpcEnvelope memory e, bytes32 id, IERC20 token, uint256 amount) private {
        bytes memory data = abi.encodeCall(IIpcHandler.handleIpcMessage, (e));
        uint256 served;
        uint256 refused;
        for (uint256 g = 250_000; g < 480_000; g += 211) {
            uint256 snapshot = vm.snapshotState();
            vm.cool(address(token));
            vm.cool(address(fast));
            vm.cool(address(controller));
            vm.prank(address(rootGateway));
            (bool ok,) = address(fast).call{gas: g}(data);
            vm.assertEq(token.balanceOf(bob), ok ? amount : 0);
            vm.assertEq(fast.creditOf(id), 0);
            if (ok) served++;
            else refused++;
            vm.revertToState(snapshot);
        }
        vm.assertGt(served, 50);
        vm.assertGt(refused, 50);
    }
}

/// @dev Withdrawals that the outbox would not send, of any amount, while the token
/// does as it likes: what is reserved is owed, and what is owed is paid once.
contract EscrowTest is World {
    NastyUsdc private nasty;
    Withdrawal[] private all;
    uint256 private paid;

    function setUp() public override {
        super.setUp();
        nasty = new NastyUsdc(address(this));
        build(address(nasty));
    }

    function testFuzz_rule34_whatIsReservedIsOwedAndPaidOnce(uint256 seed, uint8 steps) public {
        depositUsdc(alice, alice, 100e6);
        for (uint256 i = 0; i < steps % 12 + 1; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            nasty.setMode(NastyUsdc.Mode(seed % 6));
            nasty.setBlocked(bob, (seed >> 8) % 4 == 0);
            if ((seed >> 16) % 3 != 0 || all.length == 0) settle(seed >> 32);
            else pull(all[(seed >> 32) % all.length], seed >> 64);
            check();
        }
        nasty.setMode(NastyUsdc.Mode.Plain);
        nasty.setBlocked(bob, false);
        for (uint256 i = 0; i < all.length; ++i) {
            if (fast.creditOf(fast.withdrawalId(all[i])) == 0) continue;
            vm.prank(all[i].fallbackRecipient);
            fast.claim(all[i], carol);
        }
        check();
        ILinkedTokenController.Counters memory c = controller.getCounters();
        vm.assertEq(c.reserved, c.reservesPaid);
        vm.assertEq(usdc.balanceOf(bob) + usdc.balanceOf(carol), c.reserved);
        vm.assertEq(usdc.balanceOf(address(controller)), controller.lockedNow());
    }

    function settle(uint256 seed) private {
        Withdrawal memory w;
        bool again = seed % 4 == 0 && all.length > 0;
        if (again) {
            w = all[(seed >> 8) % all.length];
        } else {
            // Now and then more than there is, or to those who cannot be paid.
            uint256 gross = (seed >> 8) % 5 == 0 ? seed : (seed >> 16) % 60e6;
            address to = (seed >> 40) % 5 == 0 ? address(controller) : bob;
            w = expected(alice, request(address(usdc), gross, to));
            w.nonce = uint64(all.length);
            all.push(w);
        }
        bytes32 id = fast.withdrawalId(w);
        (uint256 owed, uint256 before) = (fast.creditOf(id), usdc.balanceOf(bob));
        IpcEnvelope memory e;
        e.kind = IpcMsgKind.Call;
        e.from.subnetId = subnetId();
        e.from.rawAddress = Fvm.from(address(outbox));
        e.to.subnetId = rootId();
        e.to.rawAddress = Fvm.from(address(fast));
        e.message = Withdrawals.encode(w);
        vm.assertTrue(rootGateway.execute(e) == OutcomeType.Ok);
        if (again) {
            vm.assertEq(fast.creditOf(id), owed);
            vm.assertEq(usdc.balanceOf(bob), before);
        } else {
            uint256 got = usdc.balanceOf(bob) - before;
            vm.assertTrue(got == 0 || got == w.gross);
            vm.assertLe(got + fast.creditOf(id), w.gross);
        }
    }

    function pull(Withdrawal memory w, uint256 seed) private {
        bytes32 id = fast.withdrawalId(w);
        uint256 owed = fast.creditOf(id);
        uint256 before = usdc.balanceOf(bob);
        bool ok;
        if (seed % 2 == 0) {
            (ok,) = address(fast).call{gas: 1_000_000}(abi.encodeCall(fast.push, (w)));
        } else {
            vm.prank(carol);
            (ok,) = address(fast).call{gas: 1_000_000}(abi.encodeCall(fast.claim, (w, bob)));
        }
        vm.assertEq(usdc.balanceOf(bob) - before, ok ? owed : 0);
        vm.assertEq(fast.creditOf(id), ok ? 0 : owed);
    }

    function check() private view {
        uint256 owed;
        for (uint256 i = 0; i < all.length; ++i) {
            bytes32 id = fast.withdrawalId(all[i]);
            owed += fast.creditOf(id);
            vm.assertEq(controller.reservedFor(id), fast.creditOf(id));
        }
        ILinkedTokenController.Counters memory c = controller.getCounters();
        vm.assertEq(c.reserved - c.reservesPaid, owed);
        vm.assertEq(usdc.balanceOf(address(controller)), controller.lockedNow() + owed);
        vm.assertLe(c.reserved, c.locked);
    }
}
