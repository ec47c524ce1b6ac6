// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AxelarLink} from "../../src/gmp/AxelarLink.sol";
import {GmpEnd} from "../../src/gmp/GmpEnd.sol";
import {GmpMessages} from "../../src/gmp/GmpMessages.sol";
import {GmpRouter} from "../../src/gmp/GmpRouter.sol";
import {GmpSubnetPort} from "../../src/gmp/GmpSubnetPort.sol";
import {IAxelarExecutable} from "../../src/interfaces/IAxelar.sol";
import {GmpCall, IGmpEnd, IGmpPort, IGmpRouter, IGmpSubnetPort} from "../../src/interfaces/IGmp.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {SubnetSilent} from "../../src/ipc/Errors.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import "../../src/ipc/Types.sol";
import {Payouts} from "../../src/withdraw/Payouts.sol";
import {Vm} from "../Base.sol";
import {Stranger} from "../flt/Accounts.sol";
import {GmpWorld} from "./GmpWorld.sol";
import {Does, Hears, PickyGateway, Subject, Swallower} from "./Subject.sol";

/// @dev Calls both ways over published gateways of Axelar and our own of IPC. Each
/// sentence holds for either make of gateway below.
abstract contract EndToEnd is GmpWorld {
    bytes internal constant PING = hex"0070696e67"; // Echo, "ping"

    // ---- all goes well

    function test_aCallGoesIntoTheSubnetAndItsResultComesBack() public {
        (bytes32 id, GmpCall memory c) = callDown(address(here), address(there), PING, 250_000);
        vm.assertEq(
            id,
            keccak256(
                abi.encode(
                    "GMP1",
                    L1_ID,
                    address(port),
                    rootChainId,
                    GMP_AT,
                    c.nonce,
                    address(here),
                    address(there),
                    uint64(250_000),
                    keccak256(PING)
                )
            )
        );
        vm.assertEq(router.downId(c), id);
        vm.assertEq(far.incomingId(c), id);
        vm.assertEq(port.waiting(id), address(here));
        vm.assertFalse(far.executed(c.nonce));
        stage(id, IGmpRouter.Leg.CallDown, IGmpRouter.Stage.None);

        relay();
        stage(id, IGmpRouter.Leg.CallDown, IGmpRouter.Stage.Sent);
        carryDown();
        vm.assertTrue(far.executed(c.nonce));
        Subject.Seen memory s = there.seen(id);
        vm.assertEq(uint256(s.times), 1);
        vm.assertEq(s.by, GMP_AT);
        vm.assertEq(uint256(s.chainId), L1_ID);
        vm.assertEq(s.sender, address(here));
        vm.assertEq(s.dataHash, keccak256(PING));
        vm.assertGe(uint256(s.gas) + 1_000, 250_000);

        carryUp();
        stage(id, IGmpRouter.Leg.ResultUp, IGmpRouter.Stage.Sent);
        relay();
        _told(here, address(port), id, true, "ping");
        vm.assertEq(port.waiting(id), address(0));
        vm.assertTrue(port.isResult(id, true, "ping"));
        vm.assertFalse(port.isResult(id, false, "ping"));
        vm.assertFalse(port.isResult(id, true, "pong"));
        vm.assertEq(heard[id].executions, 1);
        vm.assertTrue(heard[id].executedOk);
        emptyHanded();
    }

    function test_aCallGoesToEthereumAndItsResultComesBack() public {
        (bytes32 id, GmpCall memory c) = callUp(address(there), address(here), PING, 450_000);
        vm.assertEq(
            id,
            keccak256(
                abi.encode(
                    "GMP1",
                    rootChainId,
                    GMP_AT,
                    L1_ID,
                    address(port),
                    c.nonce,
                    address(there),
                    address(here),
                    uint64(450_000),
                    keccak256(PING)
                )
            )
        );
        vm.assertEq(router.upId(c), id);
        vm.assertEq(far.waiting(id), address(there));
        toL1();
        vm.assertEq(port.incomingId(c), id);
        toRoot();

        carryUp();
        stage(id, IGmpRouter.Leg.CallUp, IGmpRouter.Stage.Sent);
        execute(approveAll());
        vm.assertTrue(port.executed(c.nonce));
        Subject.Seen memory s = here.seen(id);
        vm.assertEq(uint256(s.times), 1);
        vm.assertEq(s.by, address(port));
        vm.assertEq(uint256(s.chainId), rootChainId);
        vm.assertEq(s.sender, address(there));
        vm.assertEq(s.dataHash, keccak256(PING));
        vm.assertGe(uint256(s.gas) + 1_000, 450_000);

        relay();
        stage(id, IGmpRouter.Leg.ResultDown, IGmpRouter.Stage.Sent);
        uint64 messages = subnet.bottomUpNonce();
        carryDown();
        _told(there, GMP_AT, id, true, "ping");
        vm.assertEq(uint256(subnet.bottomUpNonce()), messages, "nothing answers a result");
        vm.assertTrue(far.isResult(id, true, "ping"));
        vm.assertEq(heard[id].executions, 1);
        emptyHanded();
    }

    function _told(Subject who, address by, bytes32 id, bool ok, bytes memory ret) private view {
        Subject.Told memory t = who.told(id);
        vm.assertEq(uint256(t.times), 1);
        vm.assertEq(t.by, by);
        vm.assertEq(t.ok, ok);
        vm.assertEq(t.retHash, keccak256(ret));
        vm.assertGe(uint256(t.gas) + 1_000, TELL_GAS);
        vm.assertLe(uint256(t.gas), TELL_GAS);
        vm.assertEq(heard[id].results, 1);
        vm.assertTrue(heard[id].taken);
        vm.assertEq(heard[id].ret, ret);
    }

    function test_anAccountCallsTooAndReadsTheResultFromTheEvent() public {
        (bytes32 id,) = callDown(alice, address(there), PING, 0);
        (bytes32 up_,) = callUp(bob, address(here), PING, 0);
        relay();
        carryDown();
        carryUp();
        // The call of bob, and the result of alice, for whom no gas is set aside.
        uint256 i = approveAll();
        (bool done,) = tryExecute(i, hops[i].payload, TELL_GAS);
        vm.assertTrue(done);
        execute(i - 1);
        carryUpAndBack();
        bytes32[2] memory ids = [id, up_];
        for (i = 0; i < 2; ++i) {
            vm.assertEq(heard[ids[i]].results, 1);
            vm.assertTrue(heard[ids[i]].ok);
            vm.assertFalse(heard[ids[i]].taken);
            vm.assertEq(heard[ids[i]].ret, "ping");
        }
        vm.assertTrue(port.isResult(id, true, "ping"));
        vm.assertTrue(far.isResult(up_, true, "ping"));
    }

    function test_equalCallsAreTwoInAnyOrder() public {
        (bytes32 a,) = callDown(address(here), address(there), PING, 0);
        (bytes32 b,) = callDown(address(here), address(there), PING, 0);
        (bytes32 x,) = callUp(address(there), address(here), PING, 0);
        (bytes32 y,) = callUp(address(there), address(here), PING, 0);
        vm.assertNotEq(a, b);
        vm.assertNotEq(x, y);
        uint256 last = approveAll();
        execute(last);
        execute(last - 1);
        carryDown();
        carryUp();
        // Two calls and two results go to Ethereum; the newest first.
        last = approveAll();
        for (uint256 i = 0; i < 4; ++i) {
            execute(last - i);
        }
        last = approveAll();
        execute(last);
        execute(last - 1);
        carryDown();
        collect();
        bytes32[4] memory ids = [a, b, x, y];
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(heard[ids[i]].executions, 1);
            vm.assertEq(heard[ids[i]].results, 1);
            vm.assertTrue(heard[ids[i]].taken);
        }
    }

    /// @dev The event of ours stands right behind the message it names.
    function test_everyLegIsProvenByOneEventBehindItsMessage() public {
        collect();
        (bytes32 id, GmpCall memory c) = callDown(address(here), address(there), PING, 0);
        Vm.Log[] memory logs = _behind(l1.gateway, address(port), IGmpPort.CallSent.selector, id);
        vm.assertEq(logs[0].topics[2], keccak256(GmpMessages.encode(c)));
        vm.assertEq(logs[1].topics[2], bytes32(uint256(uint160(address(here)))));
        vm.assertEq(logs[1].topics[3], bytes32(uint256(uint160(address(there)))));
        vm.assertEq(logs[1].data, abi.encode(c.nonce, c.gas, PING, uint256(0)));

        execute(approveAll());
        logs = _behind(address(gateway), address(router), IGmpRouter.SentDown.selector, id);
        bytes32 messageId = logs[1].topics[2];
        vm.assertEq(logs[0].topics[2], messageId);
        vm.assertEq(router.inflight(messageId), id);
        vm.assertEq(logs[1].topics[3], bytes32(uint256(subnet.appliedTopDownNonce())));
        vm.assertEq(logs[1].data, abi.encode(IGmpRouter.Leg.CallDown));
        carryDown();

        (uint256 height, Inclusion[] memory inclusions) = submit();
        vm.assertEq(inclusions.length, 1);
        actor.execBottomUpMsgBatch(height, inclusions);
        ++executed;
        logs = _behind(root.gateway, address(router), IGmpRouter.SentUp.selector, id);
        vm.assertEq(logs[1].topics[2], bytes32(uint256(IGmpRouter.Leg.ResultUp)));
        vm.assertEq(router.inflight(messageId), 0);
        relay();

        (id, c) = callUp(address(there), address(here), PING, 0);
        uint64 messageNonce = subnet.bottomUpNonce() - 1;
        logs = _behind(GATEWAY_AT, GMP_AT, IGmpSubnetPort.CallSent.selector, id);
        vm.assertEq(logs[0].topics[2], bytes32(uint256(messageNonce)));
        vm.assertEq(logs[1].data, abi.encode(c.nonce, c.gas, PING, messageNonce));
        (height, inclusions) = submit();
        actor.execBottomUpMsgBatch(height, inclusions);
        ++executed;
        logs = _behind(root.gateway, address(router), IGmpRouter.SentUp.selector, id);
        vm.assertEq(logs[1].topics[2], bytes32(uint256(IGmpRouter.Leg.CallUp)));
        execute(approveAll());
        logs = _behind(l1.gateway, address(port), IGmpEnd.CallExecuted.selector, id);
        vm.assertEq(logs[1].data, abi.encode(true, bytes("ping")));
        execute(approveAll());
        logs = _behind(address(gateway), address(router), IGmpRouter.SentDown.selector, id);
        vm.assertEq(logs[1].data, abi.encode(IGmpRouter.Leg.ResultDown));
        vm.assertEq(router.inflight(logs[1].topics[2]), 0);
    }

    /// @dev Both logs, and everything is filed.
    function _behind(address first, address second, bytes32 topic, bytes32 id)
        private
        returns (Vm.Log[] memory both)
    {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        both = new Vm.Log[](2);
        uint256 found;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics.length == 0) continue;
            file(logs[i]);
            bytes32 t = logs[i].topics[0];
            if (logs[i].emitter == address(gateway) && t == IGateway.NewTopDownMessage.selector) {
                down.push(logs[i].data);
            }
            if (logs[i].emitter == GATEWAY_AT && t == ISubnetGateway.BottomUpMessage.selector) {
                up.push(logs[i].data);
            }
            if (logs[i].emitter != second || t != topic || logs[i].topics[1] != id) continue;
            (both[0], both[1]) = (logs[i - 1], logs[i]);
            ++found;
        }
        vm.assertEq(found, 1, "one event");
        vm.assertEq(both[0].emitter, first);
        bytes32 carrier = both[0].topics[0];
        vm.assertTrue(
            carrier == CONTRACT_CALL || carrier == IGateway.NewTopDownMessage.selector
                || carrier == ISubnetGateway.BottomUpMessage.selector,
            "behind its message"
        );
    }

    function test_gasIsPaidAndNothingStays() public {
        vm.deal(alice, 3 ether);
        collect();
        toL1();
        vm.prank(alice);
        bytes32 id = port.call{value: 2 ether}(address(there), PING, 0);
        toRoot();
        vm.assertEq(gasService.balance, 2 ether);
        // The payment is found by what follows it.
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 n = logs.length;
        vm.assertEq(logs[n - 3].emitter, gasService);
        vm.assertEq(logs[n - 3].topics[1], bytes32(uint256(uint160(address(port)))));
        vm.assertEq(logs[n - 3].topics[2], logs[n - 2].topics[2]);
        (string memory chain, string memory to, uint256 fee, address refund) =
            abi.decode(logs[n - 3].data, (string, string, uint256, address));
        (string memory chain2, string memory to2,) = abi.decode(logs[n - 2].data, (string, string, bytes));
        vm.assertEq(chain, chain2);
        vm.assertEq(to, to2);
        vm.assertEq(fee, 2 ether);
        vm.assertEq(refund, alice);
        for (uint256 i = 0; i < n; ++i) {
            file(logs[i]);
        }
        carryDownAndBack();
        vm.assertTrue(heard[id].ok);
        emptyHanded();
    }

    function test_aTargetMayCallBackWhileItIsCalled() public {
        vm.deal(address(there), FEE);
        bytes memory inner = abi.encodeCall(far.call, (address(here), PING, uint64(0)));
        bytes memory data = doing(Does.Act, abi.encode(GMP_AT, FEE, inner));
        (bytes32 id,) = callDown(address(here), address(there), data, 0);
        relay();
        carryDown();
        bytes32 nested = far.callId(GmpCall(0, address(there), address(here), L1_MAX, PING));
        vm.assertEq(far.waiting(nested), address(there));
        carryUp();
        relay(); // both the result and the nested call
        carryDown();
        collect();
        vm.assertTrue(heard[id].ok && heard[nested].ok);
        vm.assertEq(uint256(here.seen(nested).times), 1);
        vm.assertEq(uint256(there.told(nested).times), 1);

        // Likewise on Ethereum.
        inner = abi.encodeCall(port.call, (address(there), PING, uint64(0)));
        data = doing(Does.Act, abi.encode(address(port), 0, inner));
        (id,) = callUp(address(there), address(here), data, 0);
        carryUpAndBack();
        carryUpAndBack();
        toL1();
        nested = port.callId(GmpCall(1, address(here), address(there), SUBNET_MAX, PING));
        toRoot();
        vm.assertTrue(heard[id].ok && heard[nested].ok);
        vm.assertEq(uint256(there.seen(nested).times), 1);
        emptyHanded();
    }

    // ---- targets that fail

    /// @dev Every failure is a result, and nothing a failing target did remains.
    function test_aTargetThatFailsIsUndoneAndItsSenderTold() public {
        _failsBothWays(doing(Does.Fail, "because"), "because", "because");
        _failsBothWays(doing(Does.Fail, ""), "", "");
        _failsBothWays(doing(Does.Burn, ""), "", "");
        _failsBothWays(doing(Does.Bomb, ""), "", "");
        _failsBothWays(doing(Does.FailBomb, ""), "", "");
        bytes memory invalid = abi.encodeWithSelector(GmpEnd.InvalidReturn.selector);
        _failsBothWays(doing(Does.Nothing, ""), invalid, invalid);
        _failsBothWays(doing(Does.OddOffset, ""), invalid, invalid);
        _failsBothWays(doing(Does.Overlong, ""), invalid, invalid);
        // An unknown behaviour: a panic of the compiler's.
        bytes memory panic = abi.encodeWithSelector(bytes4(0x4e487b71), 0x21);
        _failsBothWays(hex"ff", panic, panic);
    }

    /// @dev A bomb is of 1 MB: the target's own gas is spent before it goes off, but
    /// see test_aBombThatIsPaidForIsCutOff.
    function _failsBothWays(bytes memory data, bytes memory retDown, bytes memory retUp) private {
        (bytes32 id,) = callDown(address(here), address(there), data, 0);
        (bytes32 upId,) = callUp(address(there), address(here), data, 0);
        carryDownAndBack();
        carryUpAndBack();
        _failed(id, there, retDown);
        _failed(upId, here, retUp);
        vm.assertEq(uint256(here.told(id).times), 1);
        vm.assertEq(uint256(there.told(upId).times), 1);
    }

    function _failed(bytes32 id, Subject target, bytes memory ret) private view {
        vm.assertEq(heard[id].executions, 1);
        vm.assertFalse(heard[id].executedOk);
        vm.assertEq(heard[id].results, 1);
        vm.assertFalse(heard[id].ok);
        vm.assertEq(heard[id].ret, ret);
        vm.assertEq(uint256(target.seen(id).times), 0);
    }

    function test_aLongReasonIsCutAndALongReturnIsAFailure() public {
        bytes memory longer = new bytes(1025);
        for (uint256 i = 0; i < longer.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            longer[i] = bytes1(uint8(i));
        }
        (bytes32 down1,) = callDown(alice, address(there), doing(Does.Fail, longer), 0);
        (bytes32 down2,) = callDown(alice, address(there), doing(Does.Echo, _cut(longer, 128)), 0);
        (bytes32 down3,) = callDown(alice, address(there), doing(Does.Echo, _cut(longer, 127)), 0);
        (bytes32 up1,) = callUp(bob, address(here), doing(Does.Fail, longer), 0);
        (bytes32 up2,) = callUp(bob, address(here), doing(Does.Echo, longer), 0);
        (bytes32 up3,) = callUp(bob, address(here), doing(Does.Echo, _cut(longer, 1024)), 0);
        carryDownAndBack();
        carryUpAndBack();
        _failed(down1, there, _cut(longer, 127));
        _failed(down2, there, abi.encodeWithSelector(GmpEnd.ReturnTooLong.selector, 128, 127));
        vm.assertTrue(heard[down3].ok);
        vm.assertEq(heard[down3].ret, _cut(longer, 127));
        _failed(up1, here, _cut(longer, 1024));
        _failed(up2, here, abi.encodeWithSelector(GmpEnd.ReturnTooLong.selector, 1025, 1024));
        vm.assertTrue(heard[up3].ok);
        vm.assertEq(heard[up3].ret, _cut(longer, 1024));
    }

    function _cut(bytes memory b, uint256 n) private pure returns (bytes memory head) {
        head = new bytes(n);
        for (uint256 i = 0; i < n; ++i) {
            head[i] = b[i];
        }
    }

    function test_whoIsNoTargetIsNotCalled() public {
        Swallower coin = new Swallower();
        (bytes32 a,) = callDown(alice, address(coin), PING, 0);
        (bytes32 b,) = callDown(alice, carol, PING, 0);
        (bytes32 c,) = callUp(bob, address(coin), PING, 0);
        (bytes32 d,) = callUp(bob, carol, PING, 0);
        carryDownAndBack();
        carryUpAndBack();
        bytes memory noCode = abi.encodeWithSelector(GmpEnd.NoCode.selector, carol);
        bytes memory invalid = abi.encodeWithSelector(GmpEnd.InvalidReturn.selector);
        vm.assertEq(heard[a].ret, invalid);
        vm.assertEq(heard[b].ret, noCode);
        vm.assertEq(heard[c].ret, invalid);
        vm.assertEq(heard[d].ret, noCode);
        vm.assertFalse(heard[a].ok || heard[b].ok || heard[c].ok || heard[d].ok);
        vm.assertEq(coin.swallowed(), 0);
    }

    /// @dev Whatever stands near us: called by a port it hears nothing it knows.
    function test_nobodyNearUsObeysAPort() public {
        address[12] memory below = [
            GMP_AT,
            GATEWAY_AT,
            REPLICA_AT,
            OUTBOX_AT,
            address(router),
            address(gateway),
            address(actor),
            address(controller),
            address(fast),
            address(flt),
            address(usdc),
            root.gateway
        ];
        uint256 before = uint256(far.nonce()) + subnet.bottomUpNonce();
        for (uint256 i = 0; i < below.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            _forgeDown(GmpCall(uint64(1000 + i), alice, below[i], 200_000, PING));
        }
        relay();
        carryDown();
        for (uint256 i = 0; i < below.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            bytes32 id = far.incomingId(GmpCall(uint64(1000 + i), alice, below[i], 200_000, PING));
            vm.assertEq(heard[id].executions, 1);
            vm.assertFalse(heard[id].executedOk);
        }
        // Nothing but the answers left the subnet.
        vm.assertEq(uint256(far.nonce()) + subnet.bottomUpNonce(), before + below.length);

        address[4] memory above = [l1.gateway, address(port), gasService, address(flt)];
        for (uint256 i = 0; i < above.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            GmpCall memory c = GmpCall(uint64(1000 + i), alice, above[i], 200_000, PING);
            issue(false, address(router), address(port), GmpMessages.encode(c));
            execute(approveAll());
            collect();
            toL1();
            bytes32 id = port.incomingId(c);
            toRoot();
            vm.assertEq(heard[id].executions, 1);
            vm.assertFalse(heard[id].executedOk);
        }
        emptyHanded();
    }

    /// @dev As if the port on Ethereum had sent it, which refuses some of these.
    function _forgeDown(GmpCall memory c) private returns (uint256 index) {
        return issue(true, address(port), address(router), GmpMessages.encode(c));
    }

    // ---- senders that do not listen

    function test_aSenderThatDoesNotTakeItsResultHarmsNobody() public {
        for (uint256 i = 1; i < 6; ++i) {
            here.hear(Hears(i));
            there.hear(Hears(i));
            (bytes32 id,) = callDown(address(here), address(there), PING, 0);
            (bytes32 upId,) = callUp(address(there), address(here), PING, 0);
            carryDownAndBack();
            carryUpAndBack();
            vm.assertEq(heard[id].results, 1);
            vm.assertEq(heard[upId].results, 1);
            vm.assertTrue(heard[id].ok && heard[upId].ok);
            vm.assertFalse(heard[id].taken || heard[upId].taken);
            vm.assertTrue(port.isResult(id, true, "ping"));
            vm.assertTrue(far.isResult(upId, true, "ping"));
        }
    }

    // ---- once, and only what was sent

    function test_anApprovalServesOnceAndOnlyWhatWasApproved() public {
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        uint256 i = approveAll();
        bytes memory refusal = abi.encodeWithSelector(IAxelarExecutable.NotApprovedByGateway.selector);
        bytes memory altered = hops[i].payload;
        altered[altered.length - 32] ^= 0x01;
        executeFails(i, altered, refusal);
        execute(i);
        executeFails(i, refusal);
        approveHop(i); // again
        executeFails(i, refusal);
        carryDown();
        carryUp();
        i = approveAll();
        altered = hops[i].payload;
        altered[altered.length - 32] ^= 0x01;
        executeFails(i, altered, refusal);
        execute(i);
        executeFails(i, refusal);
        collect();
        vm.assertTrue(heard[id].taken);
        vm.assertEq(uint256(here.told(id).times), 1);
    }

    /// @dev What must be impossible for Axelar executes nothing twice here.
    function test_aSecondMessageForOneIdIsNeverExecuted() public {
        (bytes32 id, GmpCall memory c) = callDown(address(here), address(there), PING, 0);
        (bytes32 upId, GmpCall memory u) = callUp(address(there), address(here), PING, 0);
        carryDownAndBack();
        carryUpAndBack();

        bytes memory handled = abi.encodeWithSelector(GmpRouter.AlreadyHandled.selector, id);
        uint256 i = _forgeDown(c);
        approveAll();
        executeFails(i, handled);
        i = issue(false, address(router), address(port), GmpMessages.encode(u));
        approveAll();
        executeFails(i, abi.encodeWithSelector(GmpEnd.AlreadyExecuted.selector, upId));
        vm.assertTrue(isPending(i));
        // Another call under a nonce that was.
        u.data = "another";
        i = issue(false, address(router), address(port), GmpMessages.encode(u));
        approveAll();
        toL1();
        bytes32 otherId = port.incomingId(u);
        toRoot();
        executeFails(i, abi.encodeWithSelector(GmpEnd.AlreadyExecuted.selector, otherId));

        // Results, other ones too.
        i = issue(false, address(router), address(port), GmpMessages.encodeResult(id, false, "no"));
        approveAll();
        executeFails(i, abi.encodeWithSelector(GmpEnd.UnknownResult.selector, id));
        i = issue(true, address(port), address(router), GmpMessages.encodeResult(upId, false, "no"));
        approveAll();
        executeFails(i, abi.encodeWithSelector(GmpRouter.UnknownResult.selector, upId));

        // And in the subnet, whoever the gateway says it is of.
        bytes[2] memory messages = [GmpMessages.encode(c), GmpMessages.encodeResult(upId, false, "no")];
        bytes[2] memory refusals = [
            abi.encodeWithSelector(GmpEnd.AlreadyExecuted.selector, id),
            abi.encodeWithSelector(GmpEnd.UnknownResult.selector, upId)
        ];
        for (uint256 k = 0; k < 2; ++k) {
            IpcEnvelope memory e = fromRouter(messages[k]);
            vm.prank(GATEWAY_AT);
            vm.expectRevert(refusals[k]);
            far.handleIpcMessage(e);
        }
        IpcEnvelope memory up_ = fromPort(GmpMessages.encode(u));
        up_.message = GmpMessages.encode(GmpCall(u.nonce, u.sender, u.target, u.gas, PING));
        vm.prank(address(gateway));
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.AlreadyHandled.selector, upId));
        router.handleIpcMessage(up_);

        vm.assertEq(uint256(there.seen(id).times), 1);
        vm.assertEq(uint256(here.seen(upId).times), 1);
        vm.assertEq(uint256(here.told(id).times), 1);
        vm.assertEq(uint256(there.told(upId).times), 1);
    }

    function fromRouter(bytes memory message) internal view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.from = IPCAddress({subnetId: rootId(), rawAddress: _fvm(address(router))});
        e.to = IPCAddress({subnetId: subnetId(), rawAddress: _fvm(GMP_AT)});
        e.message = message;
    }

    function fromPort(bytes memory message) internal view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.from = IPCAddress({subnetId: subnetId(), rawAddress: _fvm(GMP_AT)});
        e.to = IPCAddress({subnetId: rootId(), rawAddress: _fvm(address(router))});
        e.message = message;
    }

    function test_resultsOfCallsThatNobodyMadeAreRefused() public {
        bytes memory payload = GmpMessages.encodeResult("nothing", true, "");
        issue(false, address(router), address(port), payload);
        issue(true, address(port), address(router), payload);
        uint256 i = approveAll();
        // forge-lint: disable-next-line(unsafe-typecast)
        executeFails(i - 1, abi.encodeWithSelector(GmpEnd.UnknownResult.selector, bytes32("nothing")));
        // forge-lint: disable-next-line(unsafe-typecast)
        executeFails(i, abi.encodeWithSelector(GmpRouter.UnknownResult.selector, bytes32("nothing")));
        vm.prank(GATEWAY_AT);
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.expectRevert(abi.encodeWithSelector(GmpEnd.UnknownResult.selector, bytes32("nothing")));
        far.handleIpcMessage(fromRouter(payload));

        // Of a call that is on its way: on the router it went the other way.
        (bytes32 id,) = callDown(alice, address(there), PING, 0);
        relay();
        i = issue(true, address(port), address(router), GmpMessages.encodeResult(id, true, ""));
        approveAll();
        executeFails(i, abi.encodeWithSelector(GmpRouter.UnknownResult.selector, id));
        // Of one that waits here to be sent on.
        pauseRoot();
        (id,) = callUp(bob, address(here), PING, 0);
        carryUp();
        resumeRoot();
        stage(id, IGmpRouter.Leg.CallUp, IGmpRouter.Stage.Kept);
        i = issue(true, address(port), address(router), GmpMessages.encodeResult(id, true, ""));
        approveAll();
        executeFails(i, abi.encodeWithSelector(GmpRouter.UnknownResult.selector, id));
    }

    function test_onlyTheCounterpartIsHeardOverAxelar() public {
        GmpCall memory c = GmpCall(7, alice, address(there), 100_000, PING);
        uint256 i = issue(true, carol, address(router), GmpMessages.encode(c));
        issue(false, carol, address(port), GmpMessages.encode(c));
        issue(true, address(port), address(router), GmpMessages.encode(c));
        issue(false, address(router), address(port), GmpMessages.encode(c));
        hops[i + 2].a.sourceChain = "another";
        hops[i + 3].a.sourceChain = "another";
        // Another name of the hub's form is no account at all.
        issue(true, address(port), address(router), GmpMessages.encode(c));
        hops[i + 4].a.sourceAddress = "axelar1dv4u5k73pzqrxlzujxg3qp8kvc3pje7jtdvu72npnt5zhq05ejcsn5qme5";
        approveAll();
        for (uint256 k = i; k < i + 5; ++k) {
            executeFails(
                k,
                abi.encodeWithSelector(
                    AxelarLink.WrongSource.selector, hops[k].a.sourceChain, hops[k].a.sourceAddress
                )
            );
            vm.assertTrue(isPending(k));
        }
        vm.assertFalse(port.executed(7));
        stage(router.downId(c), IGmpRouter.Leg.CallDown, IGmpRouter.Stage.None);
    }

    function test_onlyTheCounterpartIsHeardOverIpc() public {
        IpcEnvelope memory e = fromRouter(GmpMessages.encode(GmpCall(7, alice, address(there), 1, PING)));
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        far.handleIpcMessage(e);
        vm.startPrank(GATEWAY_AT);
        e.from.rawAddress = _fvm(carol);
        vm.expectRevert(GmpSubnetPort.InvalidOrigin.selector);
        far.handleIpcMessage(e);
        e = fromRouter(e.message);
        e.from.subnetId = subnetId();
        vm.expectRevert(GmpSubnetPort.InvalidOrigin.selector);
        far.handleIpcMessage(e);
        e = fromRouter(e.message);
        e.kind = IpcMsgKind.Transfer;
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        far.handleIpcMessage(e);
        vm.stopPrank();

        e = fromPort(GmpMessages.encode(GmpCall(7, bob, address(here), 1, PING)));
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        router.handleIpcMessage(e);
        vm.startPrank(address(gateway));
        // A port of another subnet stands at the same address.
        e.from.subnetId.route[0] = carol;
        vm.expectRevert(GmpRouter.InvalidOrigin.selector);
        router.handleIpcMessage(e);
        e = fromPort(e.message);
        e.from.rawAddress = _fvm(carol);
        vm.expectRevert(GmpRouter.InvalidOrigin.selector);
        router.handleIpcMessage(e);
        e = fromPort(e.message);
        e.kind = IpcMsgKind.Transfer;
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        router.handleIpcMessage(e);
        // A Result of the port's, to nothing that is on its way.
        e.kind = IpcMsgKind.Result;
        e.message = abi.encode(ResultMsg("unknown", OutcomeType.Ok, hex"01"));
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        router.handleIpcMessage(e);
        vm.stopPrank();
    }

    function test_anotherContractOfEitherChainIsToldNo() public {
        Stranger stranger = new Stranger();
        vm.deal(bob, FEE);
        IpcEnvelope memory e = fromPort(GmpMessages.encode(GmpCall(7, bob, address(here), 1, PING)));
        vm.prank(bob);
        stranger.send{value: FEE}(subnet, e);
        e = fromRouter(GmpMessages.encode(GmpCall(7, alice, address(there), 1, PING)));
        stranger.send(ISubnetGateway(address(gateway)), e);
        carryDown();
        carryUp();
        carryDown();
        collect();
        vm.assertFalse(far.executed(7));
        vm.assertEq(hops.length, 0);
        vm.assertEq(uint256(port.nonce()) + far.nonce(), 0);
    }

    function test_whatNoPortWritesIsUnknown() public {
        bytes memory good = GmpMessages.encode(GmpCall(7, alice, address(there), 1, PING));
        bytes memory result = GmpMessages.encodeResult("id", true, "ret");
        bytes[5] memory bad = [
            bytes(""),
            hex"00",
            abi.encodePacked(good, bytes32(0)),
            abi.encode(CallMsg(hex"11223344", abi.encode(uint256(1)))),
            abi.encodePacked(result, bytes32(0))
        ];
        bytes memory unknown = abi.encodeWithSelector(GmpEnd.UnknownMessage.selector);
        for (uint256 k = 0; k < bad.length; ++k) {
            uint256 i = issue(true, address(port), address(router), bad[k]);
            issue(false, address(router), address(port), bad[k]);
            approveAll();
            executeFails(i, unknown);
            executeFails(i + 1, unknown);
            vm.prank(GATEWAY_AT);
            vm.expectRevert(unknown);
            far.handleIpcMessage(fromRouter(bad[k]));
            vm.prank(address(gateway));
            vm.expectRevert(unknown);
            router.handleIpcMessage(fromPort(bad[k]));
        }
        // A result does not come up as a Call.
        vm.prank(address(gateway));
        vm.expectRevert(unknown);
        router.handleIpcMessage(fromPort(result));
    }

    function test_aTargetCannotExecuteAnother() public {
        (bytes32 second,) = callUp(bob, address(here), PING, 0);
        carryUp();
        uint256 b = approveAll();
        bytes memory inner = executeCall(b, hops[b].payload);
        bytes memory data = doing(Does.Act, abi.encode(address(port), 0, inner));
        (bytes32 first,) = callUp(bob, address(here), data, 0);
        carryUp();
        execute(approveAll());
        collect();
        vm.assertEq(heard[first].executions, 1);
        vm.assertFalse(heard[first].executedOk);
        vm.assertEq(
            heard[first].executedRet,
            abi.encodeWithSelector(bytes4(keccak256("ReentrancyGuardReentrantCall()")))
        );
        vm.assertEq(heard[second].executions, 0);
        execute(b);
        collect();
        vm.assertTrue(heard[second].executedOk);
    }

    // ---- what cannot go on

    function test_rule42_aCallForASilentSubnetIsKeptAndSentOnByAnyone() public {
        fallSilent();
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        relay();
        _isKept(id, IGmpRouter.Leg.CallDown);
        vm.assertEq(bytes4(heard[id].detail), SubnetSilent.selector);
        vm.expectPartialRevert(SubnetSilent.selector);
        router.retry(id, heard[id].message);

        carryUp(); // it lives
        _resent(id);
        carryDownAndBack();
        _told(here, address(port), id, true, "ping");
    }

    function test_rule43_aCallToEthereumIsKeptWhileAxelarIsPaused() public {
        pauseRoot();
        (bytes32 id,) = callUp(address(there), address(here), PING, 0);
        carryUp();
        _isKept(id, IGmpRouter.Leg.CallUp);
        vm.assertEq(heard[id].detail, pauseReason());
        vm.expectRevert(pauseReason());
        router.retry(id, heard[id].message);
        resumeRoot();
        _resent(id);
        relay();
        carryDown();
        collect();
        _told(there, GMP_AT, id, true, "ping");
    }

    function test_rule42_resultsAreKeptLikewise() public {
        (bytes32 id,) = callDown(address(here), address(there), doing(Does.Fail, "no"), 0);
        relay();
        carryDown();
        pauseRoot();
        carryUp();
        _isKept(id, IGmpRouter.Leg.ResultUp);
        // It is not given up, ever.
        bytes memory message = heard[id].message;
        vm.warp(block.timestamp + PATIENCE);
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotACall.selector, id));
        router.giveUp(id, message);
        resumeRoot();
        _resent(id);
        relay();
        _told(here, address(port), id, false, "no");

        carryUp();
        (id,) = callUp(address(there), address(here), PING, 0);
        carryUp();
        execute(approveAll());
        fallSilent();
        execute(approveAll());
        collect();
        _isKept(id, IGmpRouter.Leg.ResultDown);
        carryUp();
        _resent(id);
        carryDown();
        collect();
        _told(there, GMP_AT, id, true, "ping");
    }

    function _isKept(bytes32 id, IGmpRouter.Leg leg) private view {
        stage(id, leg, IGmpRouter.Stage.Kept);
        vm.assertEq(uint256(heard[id].leg), uint256(leg));
        vm.assertEq(router.keptHash(id), keccak256(heard[id].message));
        (,, uint64 since) = router.stageOf(id);
        vm.assertEq(uint256(since), block.timestamp);
        vm.assertEq(heard[id].results, 0);
    }

    /// @dev By somebody, unchanged, once.
    function _resent(bytes32 id) private {
        bytes memory message = heard[id].message;
        bytes memory altered = bytes.concat(message, hex"00");
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotKept.selector, id));
        router.retry(id, altered);
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotKept.selector, bytes32("another")));
        router.retry("another", message);
        vm.prank(carol);
        router.retry(id, message);
        stage(id, heard[id].leg, IGmpRouter.Stage.Sent);
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotKept.selector, id));
        router.retry(id, message);
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotKept.selector, id));
        router.giveUp(id, message);
    }

    function test_aCallThatCanNeverGoOnIsAnsweredInTheEnd() public {
        fallSilent();
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        relay();
        bytes memory message = heard[id].message;
        uint256 readyAt = block.timestamp + PATIENCE;
        vm.warp(readyAt - 1);
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.TooEarly.selector, readyAt));
        router.giveUp(id, message);
        vm.warp(readyAt);
        vm.prank(carol);
        router.giveUp(id, message);
        stage(id, IGmpRouter.Leg.ResultUp, IGmpRouter.Stage.Sent);
        vm.expectRevert(abi.encodeWithSelector(GmpRouter.NotKept.selector, id));
        router.retry(id, message);
        bytes memory why = heard[id].detail;
        relay();
        _told(here, address(port), id, false, why);
        carryUp(); // it lives, too late
        carryDown();
        vm.assertEq(uint256(there.seen(id).times), 0);

        pauseRoot();
        (id,) = callUp(address(there), address(here), PING, 0);
        carryUp();
        message = heard[id].message;
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(block.timestamp + PATIENCE / 3);
            carryUp();
        }
        router.giveUp(id, message);
        stage(id, IGmpRouter.Leg.ResultDown, IGmpRouter.Stage.Sent);
        resumeRoot();
        carryDown();
        collect();
        _told(there, GMP_AT, id, false, pauseReason());
        vm.assertEq(uint256(here.seen(id).times), 0);
    }

    function test_aCallThatCanGoOnAgainIsNotGivenUp() public {
        fallSilent();
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        relay();
        vm.warp(block.timestamp + PATIENCE);
        carryUp();
        router.giveUp(id, heard[id].message);
        stage(id, IGmpRouter.Leg.CallDown, IGmpRouter.Stage.Sent);
        collect();
        carryDownAndBack();
        _told(here, address(port), id, true, "ping");
    }

    function test_givenUpAndStillKeptIsTheResultThen() public {
        fallSilent();
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        relay();
        vm.warp(block.timestamp + PATIENCE);
        bytes memory why = heard[id].detail;
        pauseRoot();
        router.giveUp(id, heard[id].message);
        collect();
        _isKept(id, IGmpRouter.Leg.ResultUp);
        vm.assertEq(heard[id].message, GmpMessages.encodeResult(id, false, why));
        resumeRoot();
        _resent(id);
        relay();
        _told(here, address(port), id, false, why);
    }

    /// @dev Failures of the lanes themselves.
    function test_whatTheFarGatewayRefusesIsAResultToo() public {
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        (bytes32 upId,) = callUp(address(there), address(here), PING, 0);
        relay();
        bytes memory handle = abi.encodeWithSelector(IIpcHandler.handleIpcMessage.selector);
        vm.mockCallRevert(GMP_AT, handle, "down");
        carryDown();
        vm.clearMockedCalls();
        (uint256 height, Inclusion[] memory inclusions) = submit();
        vm.assertEq(uint256(inclusions[0].msg.kind), uint256(IpcMsgKind.Call));
        vm.mockCallRevert(
            address(router), abi.encodeCall(IIpcHandler.handleIpcMessage, (inclusions[0].msg)), "up"
        );
        actor.execBottomUpMsgBatch(height, inclusions);
        executed += inclusions.length;
        vm.clearMockedCalls();
        relay();
        _told(here, address(port), id, false, "down");
        bytes32 tracingId = Envelopes.tracingId(inclusions[0].msg);
        vm.assertEq(far.inflight(tracingId), upId);
        carryDown();
        collect();
        _told(there, GMP_AT, upId, false, "up");
        vm.assertEq(far.inflight(tracingId), 0);
    }

    // ---- gas

    /// @dev Whatever gas somebody brings: the call is executed as it would be with
    /// plenty, or not at all.
    function test_rule14_nobodyStarvesACall() public {
        for (uint256 k = 0; k < 3; ++k) {
            bytes memory data = doing(Does.BurnAll, abi.encode(k * 1024));
            if (k == 2) data = doing(Does.Need, abi.encode(L1_MAX - 1_000));
            (bytes32 id,) = callUp(address(there), address(here), data, 0);
            carryUp();
            uint256 i = approveAll();
            _untilExecuted(i, 300_000);
            collect();
            vm.assertEq(heard[id].executions, 1);
            vm.assertTrue(heard[id].executedOk);
            vm.assertGe(uint256(here.seen(id).gas) + 1_000, L1_MAX);
            vm.assertLe(uint256(here.seen(id).gas), L1_MAX);
        }
    }

    function test_rule14_nobodyStarvesASenderThatIsTold() public {
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        relay();
        carryDown();
        carryUp();
        _untilExecuted(approveAll(), 60_000);
        collect();
        vm.assertTrue(heard[id].taken);
        vm.assertGe(uint256(here.told(id).gas) + 1_000, TELL_GAS);
    }

    function test_rule14_nobodyStarvesALeg() public {
        (bytes32 id,) = callDown(address(here), address(there), PING, 0);
        _untilExecuted(approveAll(), 60_000);
        stage(id, IGmpRouter.Leg.CallDown, IGmpRouter.Stage.Sent);

        (id,) = callUp(address(there), address(here), PING, 0);
        carryUp();
        execute(approveAll());
        _untilExecuted(approveAll(), 60_000);
        stage(id, IGmpRouter.Leg.ResultDown, IGmpRouter.Stage.Sent);

        fallSilent();
        (id,) = callDown(address(here), address(there), PING, 0);
        relay();
        vm.warp(block.timestamp + PATIENCE);
        carryUp();
        bytes memory call_ = abi.encodeCall(router.giveUp, (id, heard[id].message));
        bool ok;
        for (uint256 gas_ = 60_000; !ok; gas_ += 2_000) {
            (ok,) = address(router).call{gas: gas_}(call_);
        }
        stage(id, IGmpRouter.Leg.CallDown, IGmpRouter.Stage.Sent);
    }

    /// @dev Axelar's gateway is a proxy: whatever becomes of it.
    function test_rule14_nobodyStarvesALegWhateverTheGatewayNeeds() public {
        (bytes32 id,) = callUp(address(there), address(here), PING, 0);
        collect();
        IpcEnvelope memory e = abi.decode(up[up.length - 1], (IpcEnvelope));
        bytes memory call_ = abi.encodeCall(router.handleIpcMessage, (e));
        vm.etch(root.gateway, address(new PickyGateway()).code);
        bool ok;
        for (uint256 gas_ = 60_000; !ok; gas_ += 2_000) {
            vm.prank(address(gateway));
            (ok,) = address(router).call{gas: gas_}(call_);
        }
        stage(id, IGmpRouter.Leg.CallUp, IGmpRouter.Stage.Sent);
    }

    function _untilExecuted(uint256 i, uint256 from) private {
        bool ok;
        for (uint256 gas_ = from; !ok; gas_ += 2_000) {
            vm.assertLt(gas_, 3_000_000);
            (ok,) = tryExecute(i, hops[i].payload, gas_);
        }
    }

    /// @dev A fortune for gas does not help a bomb either.
    function test_aBombThatIsPaidForIsCutOff() public {
        GmpCall memory c = GmpCall(7, bob, address(here), 3_000_000, doing(Does.FailBomb, ""));
        issue(false, address(router), address(port), GmpMessages.encode(c));
        c.nonce = 8;
        c.data = doing(Does.Bomb, "");
        issue(false, address(router), address(port), GmpMessages.encode(c));
        uint256 i = approveAll();
        execute(i);
        execute(i - 1);
        collect();
        toL1();
        Heard storage bomb = heard[port.incomingId(c)];
        c.nonce = 7;
        c.data = doing(Does.FailBomb, "");
        Heard storage failing = heard[port.incomingId(c)];
        toRoot();
        vm.assertFalse(bomb.executedOk || failing.executedOk);
        vm.assertEq(failing.executedRet, new bytes(1024));
        vm.assertEq(bomb.executedRet, abi.encodeWithSelector(GmpEnd.InvalidReturn.selector));
    }

    /// @dev More than fits here is refused by the port itself, and told.
    function test_moreGasThanThereIsIsAFailure() public {
        uint64 most = far.maxGasHere();
        GmpCall memory c = GmpCall(7, address(here), address(there), most + 100_000, PING);
        _forgeDown(c);
        relay();
        carryDown();
        bytes32 id = far.incomingId(c);
        vm.assertEq(uint256(there.seen(id).times), 0);
        vm.assertFalse(far.executed(7));
        carryUp();
        collect();
        (bool valid, bytes32 answered, bool ok, bytes memory ret) = this.parsed(hops[hops.length - 1].payload);
        vm.assertTrue(valid);
        vm.assertEq(answered, id);
        vm.assertFalse(ok);
        vm.assertEq(ret, abi.encodeWithSelector(Payouts.NotEnoughGas.selector));
    }

    function parsed(bytes calldata payload)
        external
        pure
        returns (bool valid, bytes32 id, bool ok, bytes memory ret)
    {
        return GmpMessages.parseResult(payload);
    }
}

/// @dev Gateways of Amplifier.
contract GmpAmplifierTest is EndToEnd {}

/// @dev Legacy gateways, as Ethereum and Filecoin have them.
contract GmpLegacyTest is EndToEnd {
    function legacy() internal pure override returns (bool) {
        return true;
    }
}
