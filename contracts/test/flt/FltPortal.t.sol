// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {FltPortal, FltPortalParams} from "../../src/flt/FltPortal.sol";
import {FltWithdrawal} from "../../src/interfaces/IFlt.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import "../../src/ipc/Types.sol";
import {AxelarWorld} from "./AxelarWorld.sol";

contract FltPortalTest is AxelarWorld {
    function setUp() public override {
        super.setUp();
        fill(bob, 1000 ether);
    }

    function test_whatTheFarSideWouldSwallowIsRefusedAtOnce() public {
        address[6] memory nobody = [
            address(0),
            address(9),
            address(uint160(0xff << 152 | 77)),
            GATEWAY_AT,
            address(l1Flt),
            address(sender)
        ];
        vm.startPrank(bob);
        for (uint256 i = 0; i < 6; ++i) {
            vm.expectRevert(abi.encodeWithSelector(FltPortal.InvalidRecipient.selector, nobody[i]));
            portal.withdrawToL1{value: 1 ether + FEE}(nobody[i]);
        }
        address[7] memory noRefund = [
            address(0),
            address(9),
            address(uint160(0xff << 152 | 77)),
            address(handler),
            address(gateway),
            address(flt),
            address(actor)
        ];
        for (uint256 i = 0; i < 7; ++i) {
            vm.expectRevert(abi.encodeWithSelector(FltPortal.InvalidRefundTo.selector, noRefund[i]));
            portal.withdrawToL1WithRefund{value: 1 ether + FEE}(carol, noRefund[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(FltPortal.WrongValue.selector, FLT_MIN + FEE, FEE - 1));
        portal.withdrawToL1{value: FEE - 1}(carol);
        vm.expectRevert(
            abi.encodeWithSelector(FltPortal.AmountOutOfRange.selector, FLT_MIN - 1, FLT_MIN, FLT_MAX)
        );
        portal.withdrawToL1{value: FLT_MIN - 1 + FEE}(carol);
        vm.stopPrank();
        vm.deal(alice, FLT_MAX + 1 ether);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(FltPortal.AmountOutOfRange.selector, FLT_MAX + 1, FLT_MIN, FLT_MAX)
        );
        portal.withdrawToL1{value: FLT_MAX + 1 + FEE}(carol);
        vm.assertEq(uint256(portal.nonce()), 0);
    }

    function test_aRefundToOnTheRootIsPartOfTheWithdrawal() public {
        setTrust(root, L1_NAME, false);
        (FltWithdrawal memory w, bytes32 id) = leave(bob, carol, relayer, 5 ether);
        carryUp();
        vm.assertEq(creditOf(id), 5 ether);
        vm.prank(relayer);
        handler.refund(w, alice);
        conserved();
        vm.assertEq(flt.balanceOf(alice), 1_000_005 ether);
    }

    function test_onlyAReturnedWithdrawalIsSentAgainAndOnce() public {
        (FltWithdrawal memory w, bytes32 id) = leave(bob, carol, address(0), 5 ether);
        vm.startPrank(relayer);
        vm.expectRevert(abi.encodeWithSelector(FltPortal.NotReturned.selector, id));
        portal.resend{value: FEE}(w);
        vm.stopPrank();
        vm.mockCallRevert(
            address(handler), abi.encodeWithSelector(IIpcHandler.handleIpcMessage.selector), "down"
        );
        carryUp();
        vm.clearMockedCalls();
        carryDown();

        FltWithdrawal memory altered = abi.decode(abi.encode(w), (FltWithdrawal));
        altered.recipient = alice;
        vm.startPrank(relayer);
        bytes32 none = portal.withdrawalId(altered);
        vm.expectRevert(abi.encodeWithSelector(FltPortal.NotReturned.selector, none));
        portal.resend{value: FEE}(altered);
        vm.expectRevert(abi.encodeWithSelector(FltPortal.WrongValue.selector, FEE, FEE + 1));
        portal.resend{value: FEE + 1}(w);
        portal.resend{value: FEE}(w);
        vm.expectRevert(abi.encodeWithSelector(FltPortal.NotReturned.selector, id));
        portal.resend{value: FEE}(w);
        vm.stopPrank();
        conserved();
        carryUp();
        relay();
        vm.assertEq(l1Flt.balanceOf(carol), 5 ether);
        conserved();
    }

    function test_onlyAnswersToItsOwnMessagesAreHeard() public {
        (, bytes32 id) = leave(bob, carol, address(0), 5 ether);
        collect();
        IpcEnvelope memory sent = abi.decode(up[up.length - 1], (IpcEnvelope));
        bytes32 tracingId = Envelopes.tracingId(sent);
        vm.assertEq(portal.inflight(tracingId), id);
        IpcEnvelope memory e = Envelopes.resultFor(sent, OutcomeType.ActorErr, "");
        e.value = 0;
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        portal.handleIpcMessage(e);
        vm.startPrank(GATEWAY_AT);
        e.kind = IpcMsgKind.Call;
        vm.expectRevert(IIpcHandler.UnsupportedMsgKind.selector);
        portal.handleIpcMessage(e);
        e.kind = IpcMsgKind.Result;
        e.from.rawAddress = _fvm(alice);
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        portal.handleIpcMessage(e);
        e.from = abi.decode(up[up.length - 1], (IpcEnvelope)).to;
        e.message = abi.encode(ResultMsg({id: "unknown", outcome: OutcomeType.ActorErr, ret: ""}));
        vm.expectRevert(IIpcHandler.UnrecognizedResult.selector);
        portal.handleIpcMessage(e);
        // A foreign gateway answers what succeeded, too.
        e.message = abi.encode(ResultMsg({id: tracingId, outcome: OutcomeType.Ok, ret: ""}));
        portal.handleIpcMessage(e);
        vm.stopPrank();
        vm.assertEq(portal.inflight(tracingId), 0);
        vm.assertEq(portal.returnedOf(id), 0);
    }

    /// @dev Or the second would be forgotten.
    function test_aGatewayWhoseIdsRepeatIsRefused() public {
        IpcEnvelope memory same;
        vm.mockCall(
            GATEWAY_AT,
            abi.encodeWithSelector(ISubnetGateway.sendContractXnetMessage.selector),
            abi.encode(same)
        );
        leave(bob, carol, address(0), 1 ether);
        bytes32 tracingId = Envelopes.tracingId(same);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(FltPortal.DuplicateMessage.selector, tracingId));
        portal.withdrawToL1{value: 1 ether + FEE}(carol);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_anyWithdrawalArrivesAsItWasSent(address to, uint256 amount) public {
        amount = bound(amount, FLT_MIN, 900 ether);
        vm.assume(uint160(to) > type(uint16).max && uint160(to) >> 152 < 0xfe);
        vm.assume(to != address(l1Flt) && to != address(sender) && to != GATEWAY_AT);
        vm.assume(to != l1.its.tokenManagerAddress(tokenId));
        vm.assume(to != 0x74539671A1D2F1c8f200826bAbA665179F53a1b7);
        uint256 before = l1Flt.balanceOf(to);
        leave(bob, to, address(0), amount);
        carryUp();
        relay();
        vm.assertEq(l1Flt.balanceOf(to), before + amount);
        conserved();
    }

    /// @dev The code is the same wherever its constructor runs: it fits a genesis.
    function test_nothingOfItDependsOnWhereItIsMade() public {
        FltPortalParams memory p = portalParams();
        toL1();
        FltPortal elsewhere = new FltPortal(p);
        toRoot();
        vm.assertEq(address(elsewhere).code, PORTAL_AT.code);
    }

    function test_anIncompletePortalIsNotMade() public {
        for (uint256 i = 0; i < 12; ++i) {
            FltPortalParams memory p = portalParams();
            if (i == 0) p.rootChainId = 0;
            if (i == 1) p.rootGateway = address(0);
            if (i == 2) p.rootFlt = address(0);
            if (i == 3) p.l1Flt = address(0);
            if (i == 4) p.l1Sender = address(0);
            if (i == 5) p.min = 0;
            if (i == 6) p.min = p.max + 1;
            if (i == 7) p.max = uint256(type(uint128).max) + 1;
            if (i == 8) p.rootNetwork.route = new address[](1);
            if (i == 9) p.subnet.root += 1;
            if (i == 10) p.subnet.route = new address[](0);
            if (i == 11) p.subnet.route[0] = address(0);
            vm.expectRevert(FltPortal.InvalidConfiguration.selector);
            new FltPortal(p);
        }
    }

    function test_itSaysWhatItIsMadeOf() public view {
        vm.assertEq(portal.subnetKey(), keccak256(abi.encode(subnetId())));
        vm.assertEq(portal.gateway(), GATEWAY_AT);
        (uint256 min, uint256 max) = portal.limits();
        vm.assertEq(min, FLT_MIN);
        vm.assertEq(max, FLT_MAX);
    }
}
