// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FltHandler, FltHandlerParams} from "../../src/flt/FltHandler.sol";
import {FltMessages} from "../../src/flt/FltMessages.sol";
import {FltDeposit, FltWithdrawal, IFltHandler} from "../../src/interfaces/IFlt.sol";
import {IFlowLimited} from "../../src/interfaces/IInterchainTokenService.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {NotRegisteredSubnet} from "../../src/ipc/Errors.sol";
import "../../src/ipc/Types.sol";
import {Payouts} from "../../src/withdraw/Payouts.sol";
import {Wallet} from "./Accounts.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

/// @dev A service gone bad: it calls back whoever sends through it.
contract HostileService {
    address private target;
    bytes[] private attacks;
    uint256 public tried;
    uint256 public refused;

    function aim(address target_, bytes[] calldata attacks_) external {
        (target, tried, refused) = (target_, 0, 0);
        delete attacks;
        for (uint256 i = 0; i < attacks_.length; ++i) {
            attacks.push(attacks_[i]);
        }
    }

    function isTrustedChain(string calldata) external pure returns (bool) {
        return true;
    }

    function interchainTransfer(bytes32, string calldata, bytes calldata, uint256, bytes calldata, uint256)
        external
        payable
    {
        for (uint256 i = 0; i < attacks.length; ++i) {
            (bool ok, bytes memory ret) = target.call(attacks[i]);
            ++tried;
            bytes memory locked =
                abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            if (!ok && keccak256(ret) == keccak256(locked)) ++refused;
        }
    }
}

contract FltHandlerTest is AxelarWorld {
    bytes32 private constant SUCCESS = keccak256("its-execute-success");

    FltDeposit private d;
    FltWithdrawal private w;
    address private user;
    uint256 private userKey;

    function setUp() public override {
        super.setUp();
        (user, userKey) = makeAddrAndKey("user");
        bytes32 key = keccak256(abi.encode(subnetId()));
        d = FltDeposit({sender: user, recipient: bob, subnetKey: key, nonce: 3, amount: 5 ether});
        w = FltWithdrawal({
            subnetKey: key,
            portal: PORTAL_AT,
            nonce: 4,
            sender: user,
            recipient: carol,
            refundTo: address(0),
            amount: 5 ether
        });
        fill(alice, 1000 ether); // so much circulates
    }

    function give(uint256 amount) private {
        vm.prank(alice);
        require(flt.transfer(address(handler), amount));
    }

    function arrive(bytes memory data, uint256 amount) private {
        give(amount);
        vm.prank(address(root.its));
        bytes32 answer = handler.executeWithInterchainToken(
            keccak256("command"), L1_NAME, abi.encodePacked(sender), data, tokenId, address(flt), amount
        );
        vm.assertEq(answer, SUCCESS);
    }

    /// @dev A deposit the gateway does not take.
    function keepDeposit() private returns (bytes32 id) {
        vm.mockCallRevert(address(gateway), abi.encodeWithSelector(gateway.fundWithToken.selector), "no");
        arrive(abi.encode(d), d.amount);
        vm.clearMockedCalls();
        id = handler.depositId(d);
        vm.assertEq(creditOf(id), d.amount);
    }

    function callOf(FltWithdrawal memory w_) private view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.value = w_.amount;
        e.to = IPCAddress({subnetId: rootId(), rawAddress: _fvm(address(handler))});
        e.from = IPCAddress({subnetId: subnetId(), rawAddress: _fvm(PORTAL_AT)});
        e.message = FltMessages.encode(w_);
    }

    function come(IpcEnvelope memory e) private {
        give(e.value);
        vm.prank(address(gateway));
        vm.assertEq(handler.handleIpcMessage(e), "");
    }

    /// @dev A withdrawal the service does not take.
    function keepWithdrawal(FltWithdrawal memory w_) private returns (bytes32 id) {
        root.its.setPauseStatus(true);
        come(callOf(w_));
        root.its.setPauseStatus(false);
        id = handler.withdrawalId(w_);
        vm.assertEq(creditOf(id), w_.amount);
    }

    function signed(uint256 key, bytes32 id, address to, uint256 amount, uint256 deadline)
        private
        view
        returns (bytes memory)
    {
        bytes32 body = keccak256(
            abi.encode(
                keccak256("Claim(bytes32 id,address to,uint256 amount,uint256 deadline)"),
                id,
                to,
                amount,
                deadline
            )
        );
        return signature(key, keccak256(abi.encodePacked(hex"1901", handler.domainSeparator(), body)));
    }

    // ---- who may call

    function test_onlyTheServiceBringsDeposits() public {
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NotService.selector, address(this)));
        handler.executeWithInterchainToken(
            0, L1_NAME, abi.encodePacked(sender), abi.encode(d), tokenId, address(flt), 5 ether
        );
    }

    function test_onlyOurTokenFromOurSenderOnEthereum() public {
        give(20 ether);
        vm.startPrank(address(root.its));
        bytes memory from = abi.encodePacked(sender);
        bytes memory data = abi.encode(d);
        vm.expectRevert(
            abi.encodeWithSelector(FltHandler.WrongToken.selector, bytes32(uint256(1)), address(flt))
        );
        handler.executeWithInterchainToken(0, L1_NAME, from, data, bytes32(uint256(1)), address(flt), 5 ether);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.WrongToken.selector, tokenId, address(usdc)));
        handler.executeWithInterchainToken(0, L1_NAME, from, data, tokenId, address(usdc), 5 ether);
        // Names differ by a single bit.
        vm.expectRevert(abi.encodeWithSelector(FltHandler.WrongSource.selector, "ethereum", from));
        handler.executeWithInterchainToken(0, "ethereum", from, data, tokenId, address(flt), 5 ether);
        bytes[3] memory others =
            [abi.encodePacked(carol), abi.encode(address(sender)), bytes.concat(from, hex"00")];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(FltHandler.WrongSource.selector, L1_NAME, others[i]));
            handler.executeWithInterchainToken(0, L1_NAME, others[i], data, tokenId, address(flt), 5 ether);
        }
        vm.stopPrank();
    }

    function test_onlyTheGatewayBringsMessages() public {
        IpcEnvelope memory e = callOf(w);
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        handler.handleIpcMessage(e);
        e.kind = IpcMsgKind.Transfer;
        vm.prank(address(gateway));
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        handler.handleIpcMessage(e);
    }

    function test_onlyItselfStartsALegThatMayFail() public {
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NotSelf.selector, address(this)));
        handler.fundAsSelf(d, "id", 1);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NotSelf.selector, address(this)));
        handler.sendOnAsSelf("id", carol, 1);
    }

    function test_onlyThePortalOfTheSubnetWithdraws() public {
        give(20 ether);
        IpcEnvelope memory e = callOf(w);
        e.from.rawAddress = _fvm(alice);
        vm.startPrank(address(gateway));
        vm.expectRevert(FltHandler.InvalidOrigin.selector);
        handler.handleIpcMessage(e);
        e.from = callOf(w).from;
        e.from.subnetId.route[0] = address(1234);
        vm.expectRevert(FltHandler.InvalidOrigin.selector);
        handler.handleIpcMessage(e);
        vm.stopPrank();
    }

    function test_nothingButAWithdrawalOfThePortalIsOne() public {
        give(20 ether);
        bytes memory good = FltMessages.encode(w);
        bytes[] memory bad = new bytes[](8);
        bad[0] = "";
        bad[1] = abi.encode(CallMsg(abi.encodePacked(FltMessages.SEND_TO_L1), ""));
        bad[2] = bytes.concat(good, bytes32(0));
        bad[3] = FltMessages.encode(w);
        bad[3][4 * 32] ^= 0x01; // the method
        bad[4] = FltMessages.encode(w);
        bad[4][7 * 32] = 0x01; // an account of more than 20 bytes
        bad[5] = FltMessages.encode(w);
        bad[5][31] = 0x40; // an offset
        FltWithdrawal memory other = w;
        other.subnetKey = "another";
        bad[6] = FltMessages.encode(other);
        other = w;
        other.portal = carol;
        bad[7] = FltMessages.encode(other);
        IpcEnvelope memory e = callOf(w);
        vm.startPrank(address(gateway));
        for (uint256 i = 0; i < bad.length; ++i) {
            e.message = bad[i];
            vm.expectRevert(FltHandler.UnknownMessage.selector);
            handler.handleIpcMessage(e);
        }
        e.message = good;
        e.value = 0;
        vm.expectRevert(FltHandler.UnknownMessage.selector);
        handler.handleIpcMessage(e);
        vm.stopPrank();
    }

    function test_noWithdrawalComesTwice() public {
        come(callOf(w));
        give(5 ether);
        bytes32 id = handler.withdrawalId(w);
        vm.prank(address(gateway));
        vm.expectRevert(abi.encodeWithSelector(FltHandler.AlreadyHandled.selector, id));
        handler.handleIpcMessage(callOf(w));
    }

    /// @dev Whoever says that money came, what stands here decides.
    function test_whatDidNotComeIsNotBelieved() public {
        bytes32 kept = keepDeposit();
        vm.startPrank(address(root.its));
        d.nonce = 9;
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NotReceived.selector, 6 ether, 5 ether));
        handler.executeWithInterchainToken(
            0, L1_NAME, abi.encodePacked(sender), abi.encode(d), tokenId, address(flt), 1 ether
        );
        vm.stopPrank();
        vm.prank(address(gateway));
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NotReceived.selector, 10 ether, 5 ether));
        handler.handleIpcMessage(callOf(w));
        vm.assertEq(creditOf(kept), 5 ether);
    }

    // ---- answers of the subnet

    function resultOf(bytes32 messageId, OutcomeType outcome, uint256 value)
        private
        view
        returns (IpcEnvelope memory e)
    {
        e.kind = IpcMsgKind.Result;
        e.localNonce = 77;
        e.value = value;
        e.to = IPCAddress({subnetId: rootId(), rawAddress: _fvm(address(handler))});
        e.from = IPCAddress({subnetId: subnetId(), rawAddress: _fvm(bob)});
        e.message = abi.encode(ResultMsg({id: messageId, outcome: outcome, ret: "why"}));
    }

    /// @dev The message a deposit goes down in.
    function fund() private returns (bytes32 id, bytes32 messageId) {
        collect();
        arrive(abi.encode(d), d.amount);
        id = handler.depositId(d);
        uint256 at = down.length;
        collect();
        messageId = Envelopes.tracingId(abi.decode(down[at], (IpcEnvelope)));
        vm.assertEq(handler.inflight(messageId), id);
    }

    function test_anotherSubnetCannotAnswerForOurs() public {
        (bytes32 id, bytes32 messageId) = fund();
        IpcEnvelope memory e = resultOf(messageId, OutcomeType.ActorErr, 5 ether);
        e.from.subnetId.route[0] = address(1234);
        give(5 ether);
        vm.prank(address(gateway));
        vm.expectRevert(FltHandler.InvalidOrigin.selector);
        handler.handleIpcMessage(e);
        vm.assertEq(creditOf(id), 0);
    }

    function test_aFailureIsKeptForItsDepositOnce() public {
        (bytes32 id, bytes32 messageId) = fund();
        IpcEnvelope memory e = resultOf(messageId, OutcomeType.ActorErr, 5 ether);
        give(5 ether);
        vm.expectEmit(address(handler));
        emit IFltHandler.Credited(id, IFltHandler.Reason.Undelivered, 5 ether, "why");
        vm.prank(address(gateway));
        handler.handleIpcMessage(e);
        vm.assertEq(handler.inflight(messageId), 0);
        // Nothing repeats it; if anything did, it would be nobody's.
        come(e);
        vm.assertEq(creditOf(id), 5 ether);
        vm.assertEq(handler.quarantinedValue(77), 5 ether);
        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.undelivered, 5 ether);
        vm.assertEq(c.quarantined, 5 ether);
        vm.assertEq(c.credited - c.spent, 10 ether);
    }

    function test_valueThatAnswersNothingIsSetAside() public {
        IpcEnvelope memory e = resultOf("unknown", OutcomeType.ActorErr, 5 ether);
        bytes[3] memory messages = [e.message, bytes("short"), new bytes(500)];
        for (uint256 i = 0; i < 3; ++i) {
            e.message = messages[i];
            // forge-lint: disable-next-line(unsafe-typecast)
            e.localNonce = uint64(i);
            come(e);
            // forge-lint: disable-next-line(unsafe-typecast)
            vm.assertEq(handler.quarantinedValue(uint64(i)), 5 ether);
        }
        _threeSetAside();
    }

    function _threeSetAside() private view {
        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.quarantined, 15 ether);
        vm.assertEq(c.credited - c.spent, 15 ether);
        vm.assertEq(flt.balanceOf(address(handler)), 15 ether);
    }

    function test_anAnswerWithoutValueMovesNone() public {
        (bytes32 id, bytes32 messageId) = fund();
        come(resultOf(messageId, OutcomeType.ActorErr, 0));
        vm.assertEq(handler.inflight(messageId), id);
        come(resultOf(messageId, OutcomeType.Ok, 0));
        vm.assertEq(handler.inflight(messageId), 0);
        vm.assertEq(creditOf(id), 0);
    }

    function test_anUnknownSubnetKeepsTheDeposit() public {
        FltHandlerParams memory p = handlerParams();
        p.subnet.route[0] = address(1234);
        handler = new FltHandler(p);
        d.subnetKey = keccak256(abi.encode(p.subnet));
        vm.prank(alice);
        require(flt.transfer(address(handler), 5 ether));
        vm.expectEmit(address(handler));
        emit IFltHandler.Credited(
            handler.depositId(d),
            IFltHandler.Reason.Unfunded,
            5 ether,
            abi.encodeWithSelector(NotRegisteredSubnet.selector)
        );
        vm.prank(address(root.its));
        handler.executeWithInterchainToken(
            0, L1_NAME, abi.encodePacked(sender), abi.encode(d), tokenId, address(flt), 5 ether
        );
    }

    function test_aGatewayThatCommitsAnotherMessageIsNotBelieved() public {
        vm.mockCall(address(gateway), abi.encodeWithSelector(gateway.fundWithToken.selector), "");
        arrive(abi.encode(d), 5 ether);
        vm.clearMockedCalls();
        vm.assertEq(creditOf(handler.depositId(d)), 5 ether);
        vm.assertEq(handler.getCounters().funded, 1000 ether);
    }

    // ---- gas

    /// @dev The dearest is dear in nothing but cold storage.
    function test_rule14_eitherLegTakesTwoThirdsOfItsGasAtMost() public {
        give(20 ether);
        uint256 left = gasleft();
        vm.prank(address(handler));
        handler.fundAsSelf(d, "id", 5 ether);
        uint256 used = left - gasleft();
        vm.assertLe(used * 3 / 2, handler.legGas(), "fund");

        setFlowLimit(root, 100 ether);
        left = gasleft();
        vm.prank(address(handler));
        handler.sendOnAsSelf("id", carol, 5 ether);
        used = left - gasleft();
        vm.assertLe(used * 3 / 2, handler.legGas(), "send");
    }

    /// @dev With any gas at all a good deposit is funded or stays unexecuted.
    function test_rule14_nobodyStarvesADepositIntoACredit() public {
        deposit(user, bob, 5 ether);
        uint256 i = relayNone();
        uint256 gas_ = 60_000;
        for (; !hops[i].executed; gas_ += 15_000) {
            vm.assertLe(gas_, 1_000_000);
            tryExecute(i, hops[i].payload, gas_);
        }
        vm.assertGe(gas_, handler.legGas());
        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.funded, 1005 ether);
        vm.assertEq(c.credited, 0);
    }

    function test_rule14_nobodyStarvesAWithdrawalIntoACredit() public {
        give(5 ether);
        bytes memory call_ = abi.encodeCall(handler.handleIpcMessage, (callOf(w)));
        bool ok;
        uint256 gas_ = 60_000;
        for (; !ok; gas_ += 15_000) {
            vm.assertLe(gas_, gateway.messageGas());
            vm.prank(address(gateway));
            (ok,) = address(handler).call{gas: gas_}(call_);
        }
        vm.assertGe(gas_, handler.legGas());
        vm.assertEq(handler.getCounters().sentOn, 5 ether);
        vm.assertEq(handler.getCounters().credited, 0);
    }

    // ---- credits and who gets them

    function test_rule42_aDepositIsClaimedByItsSendersOrRecipientsSignature() public {
        bytes32 id = keepDeposit();
        (, uint256 stranger) = makeAddrAndKey("stranger");
        bytes memory forged = signed(stranger, id, carol, 5 ether, block.timestamp);
        vm.expectPartialRevert(FltHandler.NotEntitled.selector);
        handler.claimDeposit(d, carol, block.timestamp, forged);
        // Not by standing at the sender's address here.
        vm.startPrank(user);
        vm.expectPartialRevert(FltHandler.NotEntitled.selector);
        handler.claimDeposit(d, carol, block.timestamp, forged);
        vm.stopPrank();

        // Every field is signed.
        bytes memory good = signed(userKey, id, carol, 5 ether, block.timestamp);
        vm.expectPartialRevert(FltHandler.NotEntitled.selector);
        handler.claimDeposit(d, alice, block.timestamp, good);
        vm.expectPartialRevert(FltHandler.NotEntitled.selector);
        handler.claimDeposit(d, carol, block.timestamp + 1, good);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.Expired.selector, block.timestamp - 1));
        handler.claimDeposit(d, carol, block.timestamp - 1, good);
        vm.warp(block.timestamp - 1);

        handler.claimDeposit(d, carol, block.timestamp, good);
        vm.assertEq(flt.balanceOf(carol), 5 ether);
        vm.assertEq(handler.getCounters().depositsClaimed, 5 ether);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, id));
        handler.claimDeposit(d, carol, block.timestamp, good);

        (d.recipient, d.nonce) = (user, 8);
        d.sender = alice;
        id = keepDeposit();
        handler.claimDeposit(d, carol, block.timestamp, signed(userKey, id, carol, 5 ether, block.timestamp));
        vm.assertEq(flt.balanceOf(carol), 10 ether);
    }

    function test_rule42_aWithdrawalIsClaimedByAnyOfItsThree() public {
        for (uint64 i = 0; i < 3; ++i) {
            FltWithdrawal memory mine = w;
            mine.nonce = 10 + i;
            (mine.sender, mine.recipient, mine.refundTo) =
            (i == 0 ? user : alice, i == 1 ? user : carol, i == 2 ? user : address(0));
            bytes32 id = keepWithdrawal(mine);
            bytes memory good = signed(userKey, id, carol, 5 ether, block.timestamp);
            vm.prank(relayer);
            handler.claimWithdrawal(mine, carol, block.timestamp, good);
            vm.assertEq(flt.balanceOf(carol), (i + 1) * 5 ether);
        }
        vm.assertEq(handler.getCounters().withdrawalsClaimed, 15 ether);
        bytes32 kept = keepWithdrawal(w);
        (, uint256 stranger) = makeAddrAndKey("stranger");
        bytes memory forged = signed(stranger, kept, carol, 5 ether, block.timestamp);
        vm.expectPartialRevert(FltHandler.NotEntitled.selector);
        handler.claimWithdrawal(w, carol, block.timestamp, forged);
        vm.assertEq(creditOf(kept), 5 ether);
    }

    function test_rule42_onlyAnExplicitRefundToRefunds() public {
        w.refundTo = relayer;
        bytes32 id = keepWithdrawal(w);
        address[3] memory others = [w.sender, w.recipient, alice];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(FltHandler.NotEntitled.selector, others[i]));
            handler.refund(w, alice);
        }
        FltWithdrawal memory altered = w;
        altered.refundTo = alice;
        bytes32 none = handler.withdrawalId(altered);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, none));
        handler.refund(altered, alice);

        address[6] memory refused =
            [address(0), address(handler), address(gateway), address(root.its), address(flt), address(99)];
        vm.startPrank(relayer);
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(abi.encodeWithSelector(FltHandler.RefusedRecipient.selector, refused[i]));
            handler.refund(w, refused[i]);
        }
        handler.refund(w, alice);
        vm.expectRevert(abi.encodeWithSelector(FltHandler.NothingCredited.selector, id));
        handler.refund(w, alice);
        vm.stopPrank();
    }

    function test_aFailedTryAgainChangesNothing() public {
        bytes32 id = keepWithdrawal(w);
        IFltHandler.Counters memory before = handler.getCounters();
        setTrust(root, L1_NAME, false);
        vm.expectRevert();
        handler.retryWithdrawal(w);
        vm.assertEq(creditOf(id), 5 ether);
        vm.assertEq(abi.encode(handler.getCounters()), abi.encode(before));
    }

    /// @dev A recipient the portal should have refused is not sent to: the service
    /// would swallow it.
    function test_aRecipientNobodyCanBeIsKept() public {
        w.recipient = address(0);
        come(callOf(w));
        bytes32 id = handler.withdrawalId(w);
        vm.assertEq(creditOf(id), 5 ether);
        handler.claimWithdrawal(
            w, carol, block.timestamp, signed(userKey, id, carol, 5 ether, block.timestamp)
        );
        vm.assertEq(flt.balanceOf(carol), 5 ether);
    }

    function test_aServiceThatCallsBackGetsNothing() public {
        keepDeposit();
        FltWithdrawal memory second = w;
        second.nonce = 5;
        second.refundTo = address(root.its);
        keepWithdrawal(w);
        keepWithdrawal(second);

        address manager = root.its.tokenManagerAddress(tokenId);
        vm.mockCall(manager, abi.encodeWithSelector(IFlowLimited.flowLimit.selector), abi.encode(0));
        vm.etch(address(root.its), type(HostileService).runtimeCode);
        HostileService hostile = HostileService(address(root.its));
        bytes[] memory attacks = new bytes[](7);
        attacks[0] = abi.encodeCall(handler.retryWithdrawal, (w));
        attacks[1] = abi.encodeCall(handler.retryWithdrawal, (second));
        attacks[2] = abi.encodeCall(handler.retryDeposit, (d));
        attacks[3] = abi.encodeCall(handler.sendBack, (d));
        attacks[4] = abi.encodeCall(handler.refund, (second, carol));
        attacks[5] = abi.encodeCall(handler.sendBackUnreadable, ("command"));
        FltDeposit memory another = d;
        another.nonce = 99;
        attacks[6] = abi.encodeCall(
            handler.executeWithInterchainToken,
            (0, L1_NAME, abi.encodePacked(sender), abi.encode(another), tokenId, address(flt), 5 ether)
        );
        hostile.aim(address(handler), attacks);
        handler.retryWithdrawal(w);
        vm.assertEq(hostile.tried(), 7);
        vm.assertEq(hostile.refused(), 7);
        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.sentOn, 5 ether);
        vm.assertEq(c.credited - c.spent, 10 ether);
    }

    // ---- fuzz

    /// @dev Whatever comes from the sender is on the books afterwards.
    function testFuzz_anyDataIsTakenIn(bytes memory data, uint96 amount_) public {
        uint256 amount = bound(amount_, 1, 1000 ether);
        arrive(data, amount);
        IFltHandler.Counters memory c = handler.getCounters();
        vm.assertEq(c.deposited - 1000 ether, amount);
        vm.assertEq(c.funded - 1000 ether + c.credited, amount);
        vm.assertEq(flt.balanceOf(address(handler)), c.credited);
    }

    /// @dev As above, of the length that deposits have.
    function testFuzz_anyFiveWordsAreTakenIn(uint256[5] memory words, uint8 clean, uint96 amount) public {
        for (uint256 i = 0; i < 4; ++i) {
            if (clean >> i & 1 == 0) continue;
            if (i < 2) words[i] = uint160(words[i]);
            else if (i == 2) words[i] = uint256(keccak256(abi.encode(subnetId())));
            else words[i] = uint64(words[i]);
        }
        if (words[3] == 0) words[3] = 1; // the first deposit has come
        testFuzz_anyDataIsTakenIn(abi.encode(words), amount);
    }

    function testFuzz_aDepositReadsBack(FltDeposit memory any) public view {
        (bool ok, FltDeposit memory back) = this.parseDeposit(abi.encode(any));
        vm.assertTrue(ok);
        vm.assertEq(abi.encode(any), abi.encode(back));
    }

    function testFuzz_aWithdrawalReadsBack(FltWithdrawal memory any, uint16 at, bytes1 flip) public view {
        bytes memory message = FltMessages.encode(any);
        (bool ok, FltWithdrawal memory back) = this.parseWithdrawal(message);
        vm.assertTrue(ok);
        vm.assertEq(abi.encode(any), abi.encode(back));
        // And one byte different it is no withdrawal, or another one.
        if (flip == 0) return;
        message[at % message.length] ^= flip;
        (ok, back) = this.parseWithdrawal(message);
        if (ok) vm.assertNotEq(keccak256(abi.encode(any)), keccak256(abi.encode(back)));
    }

    function parseDeposit(bytes calldata data) external pure returns (bool, FltDeposit memory) {
        return FltMessages.parseDeposit(data);
    }

    function parseWithdrawal(bytes calldata message) external pure returns (bool, FltWithdrawal memory) {
        return FltMessages.parseWithdrawal(message);
    }

    function test_anIncompleteHandlerIsNotMade() public {
        for (uint256 i = 0; i < 5; ++i) {
            FltHandlerParams memory p = handlerParams();
            if (i == 0) p.its = address(1234);
            if (i == 1) p.l1Chain = "";
            if (i == 2) p.l1ChainId = 0;
            if (i == 3) p.fltSender = address(0);
            if (i == 4) p.subnet.route = new address[](0);
            vm.expectRevert(FltHandler.InvalidConfiguration.selector);
            new FltHandler(p);
        }
    }

    function test_itSaysWhatItIsMadeOf() public view {
        (address its, bytes32 id, address token) = handler.service();
        vm.assertEq(its, address(root.its));
        vm.assertEq(id, tokenId);
        vm.assertEq(token, address(flt));
        (string memory chain, uint256 chainId, address from) = handler.source();
        vm.assertEq(chain, L1_NAME);
        vm.assertEq(chainId, L1_ID);
        vm.assertEq(from, address(sender));
        vm.assertEq(handler.subnetKey(), keccak256(abi.encode(subnetId())));
        (bool trusted, uint256 room) = handler.outbound();
        vm.assertTrue(trusted);
        vm.assertEq(room, type(uint256).max);
    }
}
