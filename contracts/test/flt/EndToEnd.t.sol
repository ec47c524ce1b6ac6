// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {FltHandler} from "../../src/flt/FltHandler.sol";
import {FltSender} from "../../src/flt/FltSender.sol";
import {Its} from "../../src/flt/Its.sol";
import {FltDeposit, FltWithdrawal, IFltHandler, IFltPortal, IFltSender} from "../../src/interfaces/IFlt.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {AmountOutOfBounds, SubnetSilent} from "../../src/ipc/Errors.sol";
import "../../src/ipc/Types.sol";
import {Vm} from "../Base.sol";
import {Stranger, Wallet} from "./Accounts.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

/// @dev FLT both ways over published Axelar contracts and our gateways. Each
/// sentence holds for every make of Axelar below.
abstract contract EndToEnd is AxelarWorld {
    error Pause();
    error NotApprovedByGateway();
    error UntrustedChain();
    error InvalidBytesLength(bytes bytesAddress);
    error ExecuteWithInterchainTokenFailed(address contractAddress);
    error GiveTokenFailed(bytes data);
    error FlowAmountExceededLimit(uint256 limit, uint256 flowAmount, address tokenManager);
    error FlowLimitExceeded(uint256 limit, uint256 flowAmount, address tokenManager);

    // ---- all goes well

    function test_fltGoesToTheSubnetAndBack() public {
        (FltDeposit memory d, bytes32 id) = deposit(alice, bob, 100 ether);
        vm.assertEq(id, keccak256(abi.encode("FLTD1", L1_ID, address(sender), d)));
        vm.assertFalse(handler.arrived(d.nonce));
        relay();
        vm.assertTrue(handler.arrived(d.nonce));
        conserved();
        carryDown();
        vm.assertEq(bob.balance, 100 ether);

        (FltWithdrawal memory w, bytes32 wid) = leave(bob, carol, address(0), 40 ether);
        vm.assertEq(wid, keccak256(abi.encode("FLTW1", block.chainid, address(handler), w)));
        vm.assertEq(bob.balance, 60 ether - FEE);
        carryUp();
        vm.assertTrue(handler.handled(w.nonce));
        conserved();
        relay();
        vm.assertEq(l1Flt.balanceOf(carol), 40 ether);
        vm.assertEq(flt.balanceOf(address(handler)), 0);
        conserved();

        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.deposited, 100 ether);
        vm.assertEq(c.funded, 100 ether);
        vm.assertEq(c.withdrawn, 40 ether);
        vm.assertEq(c.sentOn, 40 ether);
        vm.assertEq(c.credited + c.spent + c.undelivered + c.sentBack + c.quarantined, 0);
    }

    function test_equalDepositsAreTwoDepositsInAnyOrder() public {
        (FltDeposit memory a, bytes32 first) = deposit(alice, bob, 5 ether);
        (FltDeposit memory b, bytes32 second) = deposit(alice, bob, 5 ether);
        vm.assertNotEq(first, second);
        vm.assertEq(uint256(b.nonce), a.nonce + 1);
        uint256 last = relayNone();
        execute(last);
        vm.assertTrue(handler.arrived(b.nonce));
        vm.assertFalse(handler.arrived(a.nonce));
        execute(last - 1);
        carryDown();
        vm.assertEq(bob.balance, 10 ether);
        conserved();
    }

    /// @dev One final event each, right behind the message it names.
    function test_everyLegIsProvenByOneEventBehindItsMessage() public {
        collect();
        (FltDeposit memory d, bytes32 id) = deposit(alice, bob, 5 ether);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 at = _find(logs, address(sender), IFltSender.Deposited.selector, id);
        vm.assertEq(logs[at - 1].topics[0], CONTRACT_CALL);
        vm.assertEq(logs[at - 1].emitter, l1.gateway);
        (uint64 nonce, uint256 amount, bytes32 dataHash, uint256 gasValue) =
            abi.decode(logs[at].data, (uint64, uint256, bytes32, uint256));
        vm.assertEq(uint256(nonce), d.nonce);
        vm.assertEq(amount, 5 ether);
        vm.assertEq(dataHash, keccak256(abi.encode(d)));
        vm.assertEq(gasValue, 0);
        for (uint256 i = 0; i < logs.length; ++i) {
            file(logs[i]);
        }

        execute(relayNone());
        logs = vm.getRecordedLogs();
        at = _find(logs, address(handler), IFltHandler.Funded.selector, id);
        bytes32 messageId = logs[at].topics[2];
        vm.assertEq(handler.inflight(messageId), id);
        // The gateway's own event of the same message, right before ours.
        vm.assertEq(logs[at - 1].topics[2], messageId);
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(gateway)) down.push(logs[i].data);
        }
        carryDown();

        (, bytes32 wid) = leave(bob, carol, address(0), 2 ether);
        (uint256 height, Inclusion[] memory inclusions) = submit();
        actor.execBottomUpMsgBatch(height, inclusions);
        logs = vm.getRecordedLogs();
        at = _find(logs, address(handler), IFltHandler.SentOn.selector, wid);
        vm.assertEq(logs[at - 1].topics[0], CONTRACT_CALL);
        vm.assertEq(logs[at - 1].emitter, root.gateway);
    }

    function _find(Vm.Log[] memory logs, address emitter, bytes32 topic, bytes32 id)
        private
        pure
        returns (uint256 at)
    {
        for (; at < logs.length; ++at) {
            if (logs[at].emitter != emitter || logs[at].topics.length < 2) continue;
            if (logs[at].topics[0] == topic && logs[at].topics[1] == id) return at;
        }
        revert("no such event");
    }

    function test_gasIsPaidWithAnyLegAndNoneIsLegal() public {
        l1Flt.mint(alice, 1 ether);
        vm.deal(alice, 3 ether);
        toL1();
        vm.startPrank(alice);
        l1Flt.approve(address(sender), 1 ether);
        sender.deposit{value: 1 ether}(bob, 1 ether);
        vm.stopPrank();
        toRoot();
        vm.assertEq(l1.gasService.balance, 1 ether);
        relay();
        carryDown();
        vm.assertEq(bob.balance, 1 ether);

        fill(bob, 2 ether);
        setTrust(root, L1_NAME, false);
        (FltWithdrawal memory w,) = leave(bob, carol, address(0), 1 ether);
        carryUp();
        setTrust(root, L1_NAME, true);
        vm.prank(alice);
        handler.retryWithdrawal{value: 2 ether}(w);
        vm.assertEq(root.gasService.balance, 2 ether);
        relay();
        vm.assertEq(l1Flt.balanceOf(carol), 1 ether);
        conserved();
    }

    function test_aPermitOfTheUserOrAnotherUseOfItWillDo() public {
        (address user, uint256 key) = makeAddrAndKey("user");
        l1Flt.mint(user, 3 ether);
        toL1();
        bytes32 body = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                user,
                address(sender),
                3 ether,
                0,
                block.timestamp
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked(hex"1901", l1Flt.DOMAIN_SEPARATOR(), body)));
        // Somebody is faster with the permit: no harm.
        l1Flt.permit(user, address(sender), 3 ether, block.timestamp, v, r, s);
        vm.prank(user);
        sender.depositWithPermit(bob, 3 ether, block.timestamp, v, r, s);
        toRoot();
        relay();
        carryDown();
        vm.assertEq(bob.balance, 3 ether);
    }

    // ---- deposits that fail

    function test_whatTheSubnetCannotDeliverGoesBackToItsSenderOnEthereum() public {
        Wallet deaf = new Wallet();
        (FltDeposit memory other,) = deposit(carol, bob, 7 ether);
        (FltDeposit memory d, bytes32 id) = deposit(alice, address(deaf), 7 ether);
        relay();
        carryDown();
        vm.assertEq(creditOf(id), 0);
        carryUp();
        (uint256 amount, bool retriable) = handler.creditOf(id);
        vm.assertEq(amount, 7 ether);
        vm.assertFalse(retriable);
        vm.assertEq(creditOf(handler.depositId(other)), 0);
        conserved();

        // It is not sent there again, whoever asks.
        deaf.set(true);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NotRetriable.selector, id));
        handler.retryDeposit(d);

        vm.prank(relayer);
        handler.sendBack(d);
        conserved();
        relay();
        vm.assertEq(l1Flt.balanceOf(alice), 7 ether);
        vm.assertEq(address(deaf).balance, 0);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, id));
        handler.sendBack(d);
        conserved();
    }

    function test_rule42_aDepositIntoASilentSubnetIsRetriedByAnyone() public {
        vm.warp(block.timestamp + 1 hours + 1);
        (FltDeposit memory d, bytes32 id) = deposit(alice, bob, 7 ether);
        relay();
        (uint256 amount, bool retriable) = handler.creditOf(id);
        vm.assertEq(amount, 7 ether);
        vm.assertTrue(retriable);
        vm.assertTrue(handler.arrived(d.nonce));
        conserved();
        vm.expectPartialRevert(SubnetSilent.selector);
        handler.retryDeposit(d);

        carryUp(); // it lives
        vm.prank(relayer);
        handler.retryDeposit(d);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, id));
        handler.retryDeposit(d);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, id));
        handler.sendBack(d);
        collect();
        carryDown();
        vm.assertEq(bob.balance, 7 ether);
        conserved();
    }

    function test_aRetriedDepositTheSubnetRefusesGoesBackAllTheSame() public {
        Wallet deaf = new Wallet();
        vm.warp(block.timestamp + 1 hours + 1);
        (FltDeposit memory d, bytes32 id) = deposit(alice, address(deaf), 7 ether);
        relay();
        carryUp();
        handler.retryDeposit(d);
        collect();
        carryDown();
        carryUp();
        vm.assertEq(creditOf(id), 7 ether);
        handler.sendBack(d);
        relay();
        vm.assertEq(l1Flt.balanceOf(alice), 7 ether);
        conserved();
    }

    function test_aDepositTheGatewayHasNoRoomForIsKept() public {
        (FltDeposit memory d, bytes32 id) = deposit(alice, bob, 7 ether);
        vm.mockCallRevert(
            address(gateway),
            abi.encodeWithSelector(gateway.fundWithToken.selector),
            abi.encodeWithSelector(AmountOutOfBounds.selector, 7 ether, 1, 2)
        );
        relay();
        vm.clearMockedCalls();
        vm.assertTrue(kept[id].reason == IFltHandler.Reason.Unfunded);
        vm.assertEq(kept[id].amount, 7 ether);
        vm.assertEq(kept[id].detail, abi.encodeWithSelector(AmountOutOfBounds.selector, 7 ether, 1, 2));
        handler.sendBack(d);
        relay();
        vm.assertEq(l1Flt.balanceOf(alice), 7 ether);
        conserved();
    }

    // ---- withdrawals that wait

    function test_rule43_anUntrustedDestinationKeepsTheWithdrawal() public {
        fill(bob, 20 ether);
        setTrust(root, L1_NAME, false);
        (FltWithdrawal memory w, bytes32 id) = leave(bob, carol, address(0), 5 ether);
        (bool trusted,) = handler.outbound();
        vm.assertFalse(trusted);
        bytes memory why = abi.encodeWithSelector(Its.UntrustedDestination.selector, L1_NAME);
        _kept(w, id, why);

        setTrust(root, L1_NAME, true);
        _retried(w, id);
    }

    function test_rule43_theFlowLimitKeepsTheWithdrawal() public {
        fill(bob, 20 ether);
        setFlowLimit(root, 4 ether);
        (FltWithdrawal memory w, bytes32 id) = leave(bob, carol, address(0), 5 ether);
        _kept(w, id, abi.encodeWithSelector(Its.OverFlowLimit.selector, 4 ether, 4 ether));
        setFlowLimit(root, 9 ether);
        _retried(w, id);

        // Of what is left in the window only so much, in the next one all.
        (, uint256 room) = handler.outbound();
        vm.assertEq(room, 4 ether);
        (w, id) = leave(bob, carol, address(0), 5 ether);
        _kept(w, id, abi.encodeWithSelector(Its.OverFlowLimit.selector, 9 ether, 4 ether));
        vm.warp((block.timestamp / 6 hours + 1) * 6 hours);
        _retried(w, id);
    }

    function test_rule43_aPausedServiceKeepsTheWithdrawal() public {
        fill(bob, 20 ether);
        root.its.setPauseStatus(true);
        (FltWithdrawal memory w, bytes32 id) = leave(bob, carol, address(0), 5 ether);
        _kept(w, id, abi.encodeWithSelector(Pause.selector));
        root.its.setPauseStatus(false);
        _retried(w, id);
    }

    function _kept(FltWithdrawal memory w, bytes32 id, bytes memory why) private {
        uint256 held = carol.balance;
        uint256 before = hops.length;
        carryUp();
        vm.assertTrue(kept[id].reason == IFltHandler.Reason.Unsent);
        vm.assertEq(kept[id].amount, w.amount);
        vm.assertEq(kept[id].detail, why);
        relay();
        vm.assertEq(hops.length, before);
        vm.assertEq(creditOf(id), w.amount);
        vm.expectRevert();
        handler.retryWithdrawal(w);
        // Nothing travels back through the subnet.
        uint256 messages = down.length;
        collect();
        vm.assertEq(down.length, messages);
        vm.assertEq(carol.balance, held);
        conserved();
    }

    function _retried(FltWithdrawal memory w, bytes32 id) private {
        uint256 held = l1Flt.balanceOf(w.recipient);
        vm.prank(relayer);
        handler.retryWithdrawal(w);
        conserved();
        relay();
        vm.assertEq(l1Flt.balanceOf(w.recipient), held + w.amount);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, id));
        handler.retryWithdrawal(w);
        conserved();
    }

    function test_aWithdrawalTheRootRefusesIsSentAgain() public {
        fill(bob, 20 ether);
        (FltWithdrawal memory w, bytes32 id) = leave(bob, carol, address(0), 5 ether);
        vm.mockCallRevert(
            address(handler), abi.encodeWithSelector(IIpcHandler.handleIpcMessage.selector), "down"
        );
        carryUp();
        vm.clearMockedCalls();
        carryDown();
        vm.assertEq(portal.returnedOf(id), 5 ether);
        conserved();
        vm.prank(relayer);
        portal.resend{value: FEE}(w);
        vm.assertEq(portal.heldFlt(), 0);
        carryUp();
        relay();
        vm.assertEq(l1Flt.balanceOf(carol), 5 ether);
        conserved();
    }

    // ---- bad input

    function test_aForgedApprovalIsNone() public {
        deposit(alice, bob, 5 ether);
        collect();
        uint256 i = hops.length - 1;
        bytes32 payloadHash = keccak256(hops[i].payload);
        uint256[] memory by = two();
        (, by[1]) = makeAddrAndKey("forger");
        vm.expectRevert();
        this.approveAs(i, payloadHash, by);
        // One of two.
        uint256[] memory one = new uint256[](1);
        one[0] = approvers[0];
        vm.expectRevert();
        this.approveAs(i, payloadHash, one);
        executeFails(i, abi.encodeWithSelector(NotApprovedByGateway.selector));
        relay();
        carryDown();
        vm.assertEq(bob.balance, 5 ether);
    }

    function approveAs(uint256 i, bytes32 payloadHash, uint256[] memory by) external {
        approve(stackOf(i), hops[i].messageId, payloadHash, by);
    }

    function test_anApprovalServesOnceAndOnlyWhatWasApproved() public {
        deposit(alice, bob, 5 ether);
        uint256 i = relayNone();
        bytes memory altered = hops[i].payload;
        altered[altered.length - 1] ^= 0x01;
        bytes memory refusal = abi.encodeWithSelector(NotApprovedByGateway.selector);
        executeFails(i, altered, refusal);
        execute(i);
        executeFails(i, refusal);
        approveHop(i); // again
        executeFails(i, refusal);
        collect();
        carryDown();
        vm.assertEq(bob.balance, 5 ether);
        conserved();
    }

    /// @dev What must be impossible for the hub does not move money twice here.
    function test_aSecondMessageForOneDepositIsNeverExecuted() public {
        (FltDeposit memory d, bytes32 id) = deposit(alice, bob, 5 ether);
        relay();
        uint256 i = forge(address(sender), abi.encodePacked(address(handler)), 5 ether, abi.encode(d));
        relayNone();
        uint256 supply = flt.totalSupply();
        executeFails(i, abi.encodeWithSelector(FltHandler.AlreadyHandled.selector, id));
        vm.assertEq(flt.totalSupply(), supply);
        vm.assertEq(handler.getCounters().deposited, 5 ether);
    }

    function test_aTransferOfAnybodyElseIsNotTaken() public {
        l1Flt.mint(carol, 5 ether);
        FltDeposit memory d = FltDeposit(carol, bob, keccak256(abi.encode(subnetId())), 77, 5 ether);
        vm.startPrank(carol);
        l1Flt.approve(address(l1.its), 5 ether);
        l1.its
            .interchainTransfer(
                tokenId,
                ROOT_NAME,
                abi.encodePacked(address(handler)),
                5 ether,
                bytes.concat(bytes4(0), abi.encode(d)),
                0
            );
        vm.stopPrank();
        uint256 i = relayNone();
        bytes memory from = abi.encodePacked(carol);
        executeFails(i, abi.encodeWithSelector(FltHandler.WrongSource.selector, L1_NAME, from));
        vm.assertTrue(isPendingHop(i));
        vm.assertFalse(handler.arrived(77));
        vm.assertEq(flt.balanceOf(address(handler)), 0);
        conserved();
    }

    function test_whatTheServiceWouldSwallowIsRefusedAtOnce() public {
        l1Flt.mint(alice, 10 ether);
        toL1();
        vm.startPrank(alice);
        l1Flt.approve(address(sender), 10 ether);
        address[4] memory nobody = [address(0), address(9), address(uint160(0xff << 152 | 77)), GATEWAY_AT];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(FltSender.InvalidRecipient.selector, nobody[i]));
            sender.deposit(nobody[i], 1 ether);
        }
        uint256[3] memory amounts = [uint256(0), FLT_MIN - 1, FLT_MAX + 1];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(FltSender.AmountOutOfRange.selector, amounts[i], FLT_MIN, FLT_MAX)
            );
            sender.deposit(bob, amounts[i]);
        }
        vm.stopPrank();
        vm.assertEq(uint256(sender.nonce()), 0);
    }

    function test_anUntrustedRootIsNotSentTo() public {
        l1Flt.mint(alice, 10 ether);
        setTrust(l1, ROOT_NAME, false);
        vm.startPrank(alice);
        l1Flt.approve(address(sender), 10 ether);
        vm.expectRevert(abi.encodeWithSelector(Its.UntrustedDestination.selector, ROOT_NAME));
        sender.deposit(bob, 1 ether);
        vm.stopPrank();
        vm.assertEq(l1Flt.balanceOf(alice), 10 ether);
    }

    function test_aPausedServiceTakesNoDepositAndExecutesNoneYet() public {
        deposit(alice, bob, 5 ether);
        uint256 i = relayNone();
        root.its.setPauseStatus(true);
        executeFails(i, abi.encodeWithSelector(Pause.selector));
        root.its.setPauseStatus(false);
        execute(i);

        l1.its.setPauseStatus(true);
        l1Flt.mint(alice, 1 ether);
        vm.startPrank(alice);
        l1Flt.approve(address(sender), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(Pause.selector));
        sender.deposit(bob, 1 ether);
        vm.stopPrank();
        conserved();
    }

    function test_theRootsFlowLimitLetsADepositWait() public {
        setFlowLimit(root, 4 ether);
        deposit(alice, bob, 5 ether);
        deposit(alice, bob, 3 ether);
        deposit(alice, bob, 3 ether);
        uint256 i = relayNone();
        address manager = root.its.tokenManagerAddress(tokenId);
        // The older version has one error for both.
        bytes4 tooMuch = old() ? FlowLimitExceeded.selector : FlowAmountExceededLimit.selector;
        bytes memory inner = abi.encodeWithSelector(tooMuch, 4 ether, 5 ether, manager);
        executeFails(i - 2, abi.encodeWithSelector(GiveTokenFailed.selector, inner));
        execute(i - 1);
        inner = abi.encodeWithSelector(FlowLimitExceeded.selector, 4 ether, 6 ether, manager);
        executeFails(i, abi.encodeWithSelector(GiveTokenFailed.selector, inner));
        vm.warp((block.timestamp / 6 hours + 1) * 6 hours);
        execute(i);
        vm.assertTrue(isPendingHop(i - 2));
        setFlowLimit(root, 0);
        execute(i - 2);
        carryUp(); // the hours that passed were silent
        collect();
        conserved();
    }

    function test_ethereumNoLongerTrustedLetsADepositWait() public {
        deposit(alice, bob, 5 ether);
        uint256 i = relayNone();
        setTrust(root, L1_NAME, false);
        executeFails(i, abi.encodeWithSelector(UntrustedChain.selector));
        setTrust(root, L1_NAME, true);
        execute(i);
        carryDown();
        vm.assertEq(bob.balance, 5 ether);
    }

    /// @dev What users of the bare service may do to themselves leaves our books
    /// alone.
    function test_badDestinationsOfTheBareServiceStayUnexecuted() public {
        bytes memory short = hex"11223344556677889900112233445566778899";
        uint256 a = forge(carol, short, 1 ether, "");
        uint256 b = forge(carol, abi.encodePacked(address(0)), 1 ether, "");
        uint256 c = forge(carol, abi.encodePacked(carol), 1 ether, "data");
        relayNone();
        executeFails(a, abi.encodeWithSelector(InvalidBytesLength.selector, short));
        (bool ok,) = tryExecute(b, hops[b].payload, 30_000_000);
        vm.assertFalse(ok);
        executeFails(c, "");
        for (uint256 i = a; i <= c; ++i) {
            vm.assertTrue(isPendingHop(i));
        }
        vm.assertEq(handler.getCounters().deposited, 0);
    }

    /// @dev Data nobody can read is its owner's, who stands in its first word.
    function test_anUnreadableDepositGoesBackToItsOwner() public {
        bytes memory data = abi.encode(alice, "a form of some other day");
        bytes memory to = abi.encodePacked(address(handler));
        uint256 i = forge(address(sender), to, 5 ether, data);
        bytes32 commandId = commandIdOf(root, hops[i].messageId);
        relay();
        vm.assertTrue(kept[commandId].reason == IFltHandler.Reason.Unreadable);
        vm.assertEq(kept[commandId].detail, data);
        (uint256 amount, address owner) = handler.unreadableOf(commandId);
        vm.assertEq(amount, 5 ether);
        vm.assertEq(owner, alice);
        conserved();
        handler.sendBackUnreadable(commandId);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, commandId));
        handler.sendBackUnreadable(commandId);
        relay();
        vm.assertEq(l1Flt.balanceOf(alice), 5 ether);
        conserved();

        // Without one it stays on the books.
        i = forge(address(sender), to, 2 ether, "?");
        commandId = commandIdOf(root, hops[i].messageId);
        relay();
        vm.expectRevert(abi.encodeWithSelector(FltHandler.RefusedRecipient.selector, address(0)));
        handler.sendBackUnreadable(commandId);
        (amount, owner) = handler.unreadableOf(commandId);
        vm.assertEq(amount, 2 ether);
        vm.assertEq(owner, address(0));
        conserved();
    }

    function test_aDepositForAnotherSubnetGoesBackOnly() public {
        FltDeposit memory d = FltDeposit(alice, bob, keccak256("another"), 5, 3 ether);
        bytes memory to = abi.encodePacked(address(handler));
        forge(address(sender), to, 3 ether, abi.encode(d));
        relay();
        vm.assertEq(creditOf(handler.depositId(d)), 3 ether);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.WrongSubnet.selector, keccak256("another")));
        handler.retryDeposit(d);
        handler.sendBack(d);
        relay();
        vm.assertEq(l1Flt.balanceOf(alice), 3 ether);
        conserved();
    }

    function test_aCallOfAnotherContractInTheSubnetGetsItsValueBack() public {
        fill(bob, 20 ether);
        Stranger stranger = new Stranger();
        IpcEnvelope memory e;
        e.to = IPCAddress({subnetId: rootId(), rawAddress: _fvm(address(handler))});
        e.value = 5 ether;
        e.message = abi.encode(CallMsg(hex"aabbccdd", ""));
        vm.prank(bob);
        stranger.send{value: 5 ether + FEE}(subnet, e);
        carryUp();
        carryDown();
        vm.assertEq(stranger.returned(), 5 ether);
        vm.assertEq(handler.getCounters().withdrawn, 0);
        conserved();
    }
}

/// @dev Service 2.2.0 on gateways of Amplifier.
contract AmplifierTest is EndToEnd {}

/// @dev Service 2.2.0 on legacy gateways, as Ethereum and Filecoin have them.
contract LegacyTest is EndToEnd {
    function legacy() internal pure override returns (bool) {
        return true;
    }
}

/// @dev Service 2.1.1 on legacy gateways: what is deployed.
contract DeployedTest is EndToEnd {
    function legacy() internal pure override returns (bool) {
        return true;
    }

    function old() internal pure override returns (bool) {
        return true;
    }
}
