// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Vm} from "../Base.sol";
import "../../src/ipc/Types.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {GatewayBase} from "../../src/subnet/GatewayBase.sol";
import {Lane} from "../../src/subnet/Lane.sol";
import {Ledger} from "../../src/subnet/Ledger.sol";
import {SubnetGateway} from "../../src/subnet/SubnetGateway.sol";
import {Recipient, Starver, Stone} from "./Recipients.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

contract DeliveryTest is SubnetFixture {
    Recipient private recipient;

    function setUp() public override {
        super.setUp();
        recipient = new Recipient(gateway);
    }

    function _transfers(uint256 n) private returns (IpcEnvelope[] memory list) {
        list = new IpcEnvelope[](n);
        for (uint256 i = 0; i < n; ++i) {
            list[i] = _transfer(address(uint160(0xABC00000) + uint160(topLeaves.length)), 1 ether);
        }
    }

    // ---- rules 11 and 12: what is proven, and by whom

    function test_rule11_aTransferArrives() public {
        IpcEnvelope memory e = _transfer(BOB, 5 ether);
        _attestAll();
        _expectApplied(e, OutcomeType.Ok, Disposition.Executed, "");
        _deliver(e);
        vm.assertEq(BOB.balance, 5 ether);
        (uint64 nonce, bytes32 hash) = gateway.appliedTopDown();
        vm.assertEq(nonce, 1);
        vm.assertEq(hash, topHashes[1]);
        vm.assertEq(gateway.appliedTopDownNonce(), 1);
        vm.assertEq(gateway.getCounters().released, 5 ether);
        vm.assertEq(gateway.circSupply(), PREFUND + 5 ether);
        _books();
    }

    function test_rule11_anAlteredMessageIsRefused() public {
        IpcEnvelope memory e = _transfer(BOB, 5 ether);
        _attestAll();
        e.value = 6 ether;
        vm.expectRevert(abi.encodeWithSelector(Lane.NotProven.selector, 1));
        gateway.deliver(_one(e), new bytes32[](0));
        e.value = 5 ether;
        e.to = _inSubnet(ALICE);
        vm.expectRevert(abi.encodeWithSelector(Lane.NotProven.selector, 1));
        gateway.deliver(_one(e), new bytes32[](0));
    }

    function test_rule11_nothingIsDeliveredBeforeItIsAttested() public {
        IpcEnvelope[] memory list = _transfers(2);
        vm.expectRevert(abi.encodeWithSelector(Lane.NotCommitted.selector, 1));
        gateway.deliver(_slice(list, 0, 1), new bytes32[](0));
        _attestTo(1);
        vm.expectRevert(abi.encodeWithSelector(Lane.NotCommitted.selector, 2));
        gateway.deliver(list, new bytes32[](0));
    }

    /// @dev Both prepared a batch at the same state; whoever comes second
    /// still gets the rest in, whatever was attested in between.
    function test_rule12_twoHonestRelayersDoNotSpoilEachOther() public {
        IpcEnvelope[] memory list = _transfers(12);
        _attestTo(10);
        IpcEnvelope[] memory ofA = _slice(list, 0, 4);
        bytes32[] memory tailA = _tail(3);
        IpcEnvelope[] memory ofB = _slice(list, 0, 7);
        bytes32[] memory tailB = _tail(6);

        _attestTo(12);
        gateway.deliver(ofA, tailA);
        vm.assertEq(gateway.appliedTopDownNonce(), 4);
        gateway.deliver(ofB, tailB);
        vm.assertEq(gateway.appliedTopDownNonce(), 7);
        // Late: nothing left to do, and no error.
        gateway.deliver(ofA, tailA);
        gateway.deliver(ofB, tailB);
        vm.assertEq(gateway.appliedTopDownNonce(), 7);
        vm.assertEq(gateway.getCounters().released, 7 ether);
        _books();
    }

    function test_rule12_everyPairIsKeptUntilAppliedPast() public {
        IpcEnvelope[] memory list = _transfers(9);
        _attestTo(3);
        _attestTo(5);
        _attestTo(9);
        _pairAt(1, 3);
        _pairAt(3, 3);
        _pairAt(4, 5);
        _pairAt(6, 9);
        _pairAt(10, 0);
        _deliver(_slice(list, 0, 2));
        _pairAt(3, 3);
        // Past the first pair, into the second.
        _deliver(_slice(list, 2, 4));
        _pairAt(1, 5);
        _pairAt(5, 5);
        _deliver(_slice(list, 4, 9));
        _pairAt(1, 0);
        _pairAt(9, 0);
    }

    function _pairAt(uint64 nonce, uint64 want) private view {
        (uint64 got, bytes32 hash) = gateway.committedTopDownAt(nonce);
        vm.assertEq(got, want);
        vm.assertEq(hash, want == 0 ? bytes32(0) : topHashes[want]);
    }

    function test_rule12_aBatchMayCrossPairs() public {
        IpcEnvelope[] memory list = _transfers(6);
        for (uint256 i = 1; i <= 6; ++i) {
            _attestTo(i);
        }
        _deliver(_slice(list, 0, 5));
        _deliver(_slice(list, 3, 6));
        vm.assertEq(gateway.appliedTopDownNonce(), 6);
    }

    function test_rule12_aGapReverts() public {
        IpcEnvelope[] memory list = _transfers(4);
        _attestAll();
        vm.expectRevert(abi.encodeWithSelector(Lane.Gap.selector, 0, 1));
        gateway.deliver(_slice(list, 1, 4), new bytes32[](0));
        IpcEnvelope[] memory holed = new IpcEnvelope[](2);
        holed[0] = list[0];
        holed[1] = list[2];
        vm.expectRevert(abi.encodeWithSelector(Lane.Gap.selector, 1, 2));
        gateway.deliver(holed, new bytes32[](1));
        holed[1] = list[0];
        vm.expectRevert(abi.encodeWithSelector(Lane.Gap.selector, 1, 0));
        gateway.deliver(holed, new bytes32[](0));
    }

    function test_rule12_theTailMustEndAtThePair() public {
        IpcEnvelope[] memory list = _transfers(4);
        _attestAll();
        bytes32[] memory tail = _tail(1);
        bytes32[] memory shorter = new bytes32[](1);
        shorter[0] = tail[0];
        vm.expectRevert(abi.encodeWithSelector(Lane.NotProven.selector, 2));
        gateway.deliver(_slice(list, 0, 2), shorter);
        bytes32[] memory longer = new bytes32[](3);
        (longer[0], longer[1]) = (tail[0], tail[1]);
        vm.expectRevert(abi.encodeWithSelector(Lane.NotProven.selector, 2));
        gateway.deliver(_slice(list, 0, 2), longer);
        gateway.deliver(_slice(list, 0, 2), tail);
    }

    /// @dev Applied messages are not hashed: junk in front does no harm.
    function test_rule12_appliedMessagesAreSkippedUnhashed() public {
        IpcEnvelope[] memory list = _transfers(3);
        _attestAll();
        _deliver(_slice(list, 0, 2));
        list[0].value = 999 ether;
        list[1].message = hex"0102";
        _deliver(list);
        vm.assertEq(gateway.appliedTopDownNonce(), 3);
        vm.assertEq(gateway.getCounters().released, 3 ether);
    }

    function test_rule12_anEmptyBatchDoesNothing() public {
        gateway.deliver(new IpcEnvelope[](0), new bytes32[](0));
        vm.assertEq(gateway.appliedTopDownNonce(), 0);
    }

    /// @dev Any cut into prefixes, any repetition, any order of statements.
    function testFuzz_rule12_anyPrefixesApplyEachMessageOnce(uint256 seed) public {
        uint256 n = 12;
        IpcEnvelope[] memory list = _transfers(n);
        uint256 attested = 0;
        while (gateway.appliedTopDownNonce() < n) {
            seed = uint256(keccak256(abi.encode(seed)));
            if (attested < n && (seed & 1 == 0 || gateway.appliedTopDownNonce() == attested)) {
                attested = bound(seed >> 8, attested + 1, n);
                _attestTo(attested);
                continue;
            }
            uint256 to = bound(seed >> 8, 1, attested);
            uint256 from = bound(seed >> 128, 0, to - 1);
            if (from > gateway.appliedTopDownNonce()) from = gateway.appliedTopDownNonce();
            if (from >= to) continue;
            _deliver(_slice(list, from, to));
        }
        vm.assertEq(gateway.getCounters().released, n * 1 ether);
        for (uint256 i = 0; i < n; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            vm.assertEq(address(uint160(0xABC00000) + uint160(i)).balance, 1 ether);
        }
        _books();
    }

    // ---- rule 14: gas

    function test_rule14_aHandlerGetsTheStipendWhateverTheCallerBrings() public {
        IpcEnvelope memory e = _callTo(address(recipient), 0, false);
        _attestAll();
        bytes32[] memory tail = _tail(0);
        uint256 snapshot = vm.snapshotState();
        gateway.deliver(_one(e), tail);
        uint256 seen = recipient.gasSeen();
        vm.assertGe(seen, GAS - 5_000);
        vm.assertLe(seen, GAS);
        vm.revertToState(snapshot);
        gateway.deliver{gas: 900_000}(_one(e), tail);
        vm.assertEq(recipient.gasSeen(), seen);
    }

    /// @dev At every gas limit the message either executes as it would with
    /// plenty, or the whole transaction reverts and it stays deliverable.
    function test_rule14_noCallerCanStarveAGoodMessageIntoAFailure() public {
        IpcEnvelope memory e = _callTo(address(recipient), 1 ether, false);
        _attestAll();
        Starver starver = new Starver();
        bytes memory data = abi.encodeCall(SubnetGateway.deliver, (_one(e), _tail(0)));
        uint256 delivered = 0;
        for (uint256 gasLimit = 40_000; gasLimit < 1_000_000; gasLimit += 7_919) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = starver.run(AT, gasLimit, data);
            if (ok) {
                ++delivered;
                vm.assertEq(recipient.handled(), 1);
                vm.assertEq(recipient.valueSeen(), 1 ether);
                vm.assertEq(gateway.bottomUpNonce(), 0);
            } else {
                vm.assertEq(gateway.appliedTopDownNonce(), 0);
            }
            vm.revertToState(snapshot);
        }
        vm.assertGt(delivered, 10);
    }

    /// @dev Nor a refund into a credit: the plain call behind a handler that
    /// burnt everything still has its stipend.
    function test_rule14_noCallerCanStarveAResultIntoACredit() public {
        recipient.set(Recipient.Mode.BurnGas);
        IpcEnvelope memory e = _result(address(recipient), 1 ether, "id");
        _attestAll();
        Starver starver = new Starver();
        bytes memory data = abi.encodeCall(SubnetGateway.deliver, (_one(e), _tail(0)));
        uint256 delivered = 0;
        for (uint256 gasLimit = 500_000; gasLimit < 1_000_000; gasLimit += 3_001) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = starver.run(AT, gasLimit, data);
            if (ok) {
                ++delivered;
                vm.assertEq(address(recipient).balance, 1 ether);
                vm.assertEq(gateway.creditOf(address(recipient)), 0);
            } else {
                vm.assertEq(gateway.appliedTopDownNonce(), 0);
            }
            vm.revertToState(snapshot);
        }
        vm.assertGt(delivered, 10);
    }

    function test_rule14_tooLittleGasRevertsWhole() public {
        IpcEnvelope[] memory list = new IpcEnvelope[](2);
        list[0] = _transfer(BOB, 1 ether);
        list[1] = _callTo(address(recipient), 1 ether, false);
        _attestAll();
        // Enough for the first, not for the second.
        recipient.set(Recipient.Mode.BurnGas);
        IpcEnvelope[] memory three = new IpcEnvelope[](3);
        (three[0], three[1]) = (list[0], list[1]);
        three[2] = _transfer(BOB, 1 ether);
        _attestAll();
        bytes32[] memory tail = _tail(2);
        vm.expectRevert(SubnetGateway.NotEnoughGas.selector);
        gateway.deliver{gas: 1_200_000}(three, tail);
        vm.assertEq(gateway.appliedTopDownNonce(), 0);
        gateway.deliver{gas: 1_700_000}(three, tail);
        vm.assertEq(gateway.appliedTopDownNonce(), 3);
        vm.assertEq(BOB.balance, 2 ether);
    }

    // ---- rule 25: no message can hurt the lane; exactly one compensation

    function test_rule25_aFailedTransferReturnsItsValueInItsResult() public {
        address stone = address(new Stone());
        IpcEnvelope memory e = _transfer(stone, 3 ether);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        vm.assertEq(sent.length, 1);
        _isFailureOf(sent[0], e, 3 ether);
        vm.assertEq(stone.balance, 0);
        vm.assertEq(gateway.creditOf(stone), 0);
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(c.released, 0);
        vm.assertEq(c.bounced, 3 ether);
        vm.assertEq(gateway.circSupply(), PREFUND);
        _books();
    }

    function _isFailureOf(IpcEnvelope memory r, IpcEnvelope memory e, uint256 value) private pure {
        vm.assertEq(uint256(r.kind), uint256(IpcMsgKind.Result));
        vm.assertEq(r.value, value);
        vm.assertEq(keccak256(abi.encode(r.to)), keccak256(abi.encode(e.from)));
        vm.assertEq(keccak256(abi.encode(r.from)), keccak256(abi.encode(e.to)));
        vm.assertEq(r.originalNonce, r.localNonce);
        ResultMsg memory m = abi.decode(r.message, (ResultMsg));
        vm.assertEq(m.id, Envelopes.tracingId(e));
        vm.assertNotEq(uint256(m.outcome), uint256(OutcomeType.Ok));
        vm.assertLe(m.ret.length, 128);
    }

    function test_rule25_aFailedCallReturnsItsValueInItsResult() public {
        recipient.set(Recipient.Mode.Refuse);
        IpcEnvelope memory e = _callTo(address(recipient), 3 ether, false);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        vm.assertEq(sent.length, 1);
        _isFailureOf(sent[0], e, 3 ether);
        ResultMsg memory m = abi.decode(sent[0].message, (ResultMsg));
        vm.assertEq(m.ret, abi.encodeWithSignature("Error(string)", "refused"));
        vm.assertEq(gateway.getCounters().bounced, 3 ether);
        _books();
    }

    function test_rule25_aCallToNobodyFails() public {
        IpcEnvelope memory e = _callTo(BOB, 3 ether, false);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        _isFailureOf(sent[0], e, 3 ether);
        vm.assertEq(BOB.balance, 0);
        _books();
    }

    /// @dev Whatever a message holds, it is consumed, and its value is either
    /// with its recipient or on its way back.
    function testFuzz_rule25_noMessageCanMakeDeliveryRevert(
        uint8 kind,
        uint256 value,
        uint64 originalNonce,
        uint8 addrType,
        bytes memory payload,
        bytes memory message,
        bool here
    ) public {
        vm.assume(payload.length < 400 && message.length < 2000);
        IpcEnvelope memory e;
        e.kind = IpcMsgKind(kind % 3);
        e.value = value;
        e.originalNonce = originalNonce;
        e.to = IPCAddress(here ? _subnet() : _root(), FvmAddress(addrType, payload));
        e.from = _atRoot(REMOTE);
        e.message = message;
        e = _commit(e);
        IpcEnvelope memory next = _transfer(BOB, 1 ether);
        _attestAll();
        IpcEnvelope[] memory list = new IpcEnvelope[](2);
        (list[0], list[1]) = (e, next);
        _deliver(list);
        vm.assertEq(gateway.appliedTopDownNonce(), 2);
        vm.assertEq(BOB.balance, 1 ether);
        vm.assertEq(gateway.getCounters().released, 1 ether);
    }

    function testFuzz_rule25_anyRecipientIsSettledExactlyOnce(address to, uint96 value, uint8 kind) public {
        IpcEnvelope memory e;
        e.kind = IpcMsgKind(kind % 3);
        e.value = value;
        e.to = _inSubnet(to);
        e.from = _atRoot(REMOTE);
        e.message = hex"00";
        e = _commit(e);
        vm.assume(to.code.length == 0);
        uint256 before = to.balance;
        _attestAll();
        _deliver(e);
        ISubnetGateway.Counters memory c = gateway.getCounters();
        uint256 got = to == AT ? 0 : to.balance - before;
        vm.assertEq(got + c.bounced + gateway.creditOf(to), value);
        vm.assertEq(c.released + c.bounced, value);
        _books();
    }

    function test_rule25_theOtherChainsMoneyThatIsNoneBounces() public {
        // Beyond the treasury, and beyond anything FLT can be.
        uint256[3] memory values = [TREASURY + 1, 2 ** 128, type(uint256).max];
        for (uint256 i = 0; i < 3; ++i) {
            IpcEnvelope memory e = _transfer(BOB, values[i]);
            _attestAll();
            vm.recordLogs();
            _deliver(e);
            IpcEnvelope[] memory sent = _sent();
            _isFailureOf(sent[0], e, values[i]);
            vm.assertEq(BOB.balance, 0);
            vm.assertEq(gateway.circSupply(), PREFUND);
        }
        _books();
    }

    function test_rule25_returndataBombsHarmNobody() public {
        recipient.set(Recipient.Mode.Bomb);
        IpcEnvelope memory e = _callTo(address(recipient), 0, true);
        recipient.set(Recipient.Mode.RevertBomb);
        IpcEnvelope memory f = _callTo(address(recipient), 1 ether, false);
        _attestAll();
        recipient.set(Recipient.Mode.Bomb);
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        vm.assertLe(abi.decode(sent[0].message, (ResultMsg)).ret.length, 128);
        recipient.set(Recipient.Mode.RevertBomb);
        vm.recordLogs();
        _deliver(f);
        sent = _sent();
        vm.assertEq(abi.decode(sent[0].message, (ResultMsg)).ret.length, 128);
        _isFailureOf(sent[0], f, 1 ether);
        _books();
    }

    function test_rule25_aHandlerThatBurnsAllItsGasOnlyFails() public {
        recipient.set(Recipient.Mode.BurnGas);
        IpcEnvelope memory e = _callTo(address(recipient), 1 ether, false);
        _arrive(e);
        vm.assertEq(gateway.appliedTopDownNonce(), 1);
        vm.assertEq(gateway.getCounters().bounced, 1 ether);
    }

    // ---- rule 16: recipients

    function test_rule16_forbiddenRecipientsAreReturned() public {
        address[7] memory bad = [
            address(0),
            AT,
            address(1),
            address(99),
            0xfF00000000000000000000000000000000000000,
            0xff00000000000000000000000000000000000040,
            0x74539671A1D2F1c8f200826bAbA665179F53a1b7
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            uint256 before = bad[i].balance;
            IpcEnvelope memory e = _transfer(bad[i], 1 ether);
            _attestAll();
            vm.recordLogs();
            _deliver(e);
            IpcEnvelope[] memory sent = _sent();
            _isFailureOf(sent[0], e, 1 ether);
            vm.assertEq(
                abi.decode(sent[0].message, (ResultMsg)).ret,
                abi.encodeWithSelector(Ledger.ForbiddenRecipient.selector, bad[i])
            );
            vm.assertEq(bad[i].balance, before);
        }
        _books();
    }

    function test_rule16_onlyDelegatedAddressesReceive() public {
        FvmAddress[4] memory bad = [
            FvmAddress(1, abi.encodePacked(BOB)),
            FvmAddress(4, abi.encode(DelegatedAddress(11, 20, abi.encodePacked(BOB)))),
            FvmAddress(4, abi.encode(DelegatedAddress(10, 21, abi.encodePacked(BOB, uint8(1))))),
            FvmAddress(4, "")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            IpcEnvelope memory e;
            e.value = 1 ether;
            e.to = IPCAddress(_subnet(), bad[i]);
            e.from = _atRoot(REMOTE);
            e = _commit(e);
            _attestAll();
            vm.recordLogs();
            _deliver(e);
            IpcEnvelope[] memory sent = _sent();
            _isFailureOf(sent[0], e, 1 ether);
        }
        _books();
    }

    // ---- rule 17: reentrancy

    function test_rule17_lockedEntriesRefuseHandlers() public {
        IpcEnvelope memory e = _callTo(address(recipient), 1 ether, false);
        IpcEnvelope memory next = _transfer(address(recipient), 2 ether);
        _attestAll();
        recipient.set(Recipient.Mode.Reenter);
        recipient.setAttack(abi.encodeCall(SubnetGateway.deliver, (_one(next), _tail(1))));
        uint256 snapshot = vm.snapshotState();
        _deliver(e);
        vm.assertEq(recipient.handled(), 1);
        vm.assertEq(recipient.reentered(), 0);
        vm.assertEq(gateway.appliedTopDownNonce(), 1);
        vm.revertToState(snapshot);

        bytes[4] memory attacks = [
            abi.encodeCall(Ledger.pushCredit, (address(recipient))),
            abi.encodeCall(Ledger.withdrawCredit, (BOB)),
            abi.encodeCall(
                ISubnetGateway.deliverPowerChanges, (new PowerChangeRequest[](0), new bytes32[](0))
            ),
            abi.encodeCall(SubnetGateway.deliver, (_one(e), _tail(0)))
        ];
        for (uint256 i = 0; i < attacks.length; ++i) {
            recipient.setAttack(attacks[i]);
            _deliver(e);
            vm.assertEq(recipient.handled(), 1);
            vm.assertEq(recipient.reentered(), 0);
            vm.revertToState(snapshot);
        }
    }

    /// @dev Inside the handler the nonce has moved already.
    function test_rule17_theNonceAdvancesBeforeTheCall() public {
        NonceProbe probe = new NonceProbe(gateway);
        IpcEnvelope memory e = _callTo(address(probe), 0, false);
        _arrive(e);
        vm.assertEq(probe.seen(), 1);
        vm.assertEq(probe.hash(), topHashes[1]);
    }

    function test_rule17_handlersMaySend() public {
        recipient.set(Recipient.Mode.Send);
        vm.deal(address(recipient), 1 ether);
        IpcEnvelope memory e = _callTo(address(recipient), 4 ether, false);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        vm.assertEq(sent.length, 1);
        vm.assertEq(uint256(sent[0].kind), uint256(IpcMsgKind.Call));
        vm.assertEq(sent[0].value, 2 ether);
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(c.returned, 2 ether);
        vm.assertEq(c.released, 4 ether);
        vm.assertEq(c.feesIn, FEE);
        _books();

        // A handler may also send all of it up again.
        recipient.set(Recipient.Mode.Release);
        IpcEnvelope memory f = _transfer(address(recipient), 7 ether);
        _arrive(f);
        _books();
        vm.assertEq(address(recipient).balance, 0);
    }

    // ---- rules 57 and 58: Results

    function test_rule57_aCallOfValueZeroIsLegal() public {
        IpcEnvelope memory e = _callTo(address(recipient), 0, false);
        _attestAll();
        _expectApplied(e, OutcomeType.Ok, Disposition.Executed, abi.encode(bytes(hex"c0ffee")));
        _deliver(e);
        vm.assertEq(recipient.handled(), 1);
        vm.assertEq(recipient.lastHash(), keccak256(abi.encode(e)));
        vm.assertEq(gateway.bottomUpNonce(), 0);
    }

    function test_rule57_aFailedCallOfValueZeroAnswers() public {
        recipient.set(Recipient.Mode.Refuse);
        IpcEnvelope memory e = _callTo(address(recipient), 0, false);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        vm.assertEq(sent.length, 1);
        _isFailureOf(sent[0], e, 0);
    }

    function test_rule58_anOkResultTravelsOnlyWhenAskedFor() public {
        IpcEnvelope memory e = _callTo(address(recipient), 1 ether, true);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        IpcEnvelope[] memory sent = _sent();
        vm.assertEq(sent.length, 1);
        ResultMsg memory m = abi.decode(sent[0].message, (ResultMsg));
        vm.assertEq(uint256(m.outcome), uint256(OutcomeType.Ok));
        vm.assertEq(m.id, Envelopes.tracingId(e));
        vm.assertEq(m.ret, abi.encode(bytes(hex"c0ffee")));
        vm.assertEq(sent[0].value, 0);
        _books();

        // Never for a Transfer, asked or not.
        IpcEnvelope memory t;
        t.value = 1 ether;
        t.to = _inSubnet(BOB);
        t.from = _atRoot(REMOTE);
        t.originalNonce = ASKED;
        t = _commit(t);
        _attestAll();
        vm.recordLogs();
        _deliver(t);
        vm.assertEq(_sent().length, 0);
    }

    // ---- rule 26: Results with value

    function _expectResult(bytes32 id, Disposition disposition, address to, uint256 value) private {
        vm.expectEmit(AT);
        emit ISubnetGateway.ResultApplied(id, OutcomeType.ActorErr, disposition, to, value);
    }

    function test_rule26_aResultReachesItsHandlerWithTheStipend() public {
        IpcEnvelope memory e = _result(address(recipient), 2 ether, "id");
        _attestAll();
        _expectResult("id", Disposition.Executed, address(recipient), 2 ether);
        _deliver(e);
        vm.assertEq(recipient.handled(), 1);
        vm.assertEq(recipient.valueSeen(), 2 ether);
        vm.assertGe(recipient.gasSeen(), GAS - 5_000);
        _books();
    }

    function test_rule26_elseAPlainCall() public {
        recipient.set(Recipient.Mode.Refuse);
        IpcEnvelope memory e = _result(address(recipient), 2 ether, "id");
        _attestAll();
        _expectResult("id", Disposition.Executed, address(recipient), 2 ether);
        _deliver(e);
        vm.assertEq(recipient.handled(), 0);
        vm.assertEq(address(recipient).balance, 2 ether);

        IpcEnvelope memory f = _result(BOB, 1 ether, "id");
        _attestAll();
        _expectResult("id", Disposition.Executed, BOB, 1 ether);
        _deliver(f);
        vm.assertEq(BOB.balance, 1 ether);
        _books();
    }

    function test_rule26_elseACreditThatItsOwnerPulls() public {
        recipient.set(Recipient.Mode.Refuse);
        recipient.setPlain(false);
        IpcEnvelope memory e = _result(address(recipient), 2 ether, "id");
        _attestAll();
        vm.expectEmit(AT);
        emit ISubnetGateway.Credited(e.localNonce, address(recipient), 2 ether);
        _expectApplied(
            e, OutcomeType.ActorErr, Disposition.Credited, abi.encodeWithSignature("Error(string)", "refused")
        );
        _expectResult("id", Disposition.Credited, address(recipient), 2 ether);
        _deliver(e);
        vm.assertEq(gateway.creditOf(address(recipient)), 2 ether);
        vm.assertEq(gateway.bottomUpNonce(), 0);
        _books();

        // Others cannot take it, nor push it where it is refused.
        vm.expectRevert(Ledger.NothingToWithdraw.selector);
        gateway.withdrawCredit(BOB);
        vm.expectRevert(abi.encodeWithSelector(Ledger.PaymentFailed.selector, address(recipient)));
        gateway.pushCredit(address(recipient));
        vm.prank(address(recipient));
        vm.expectRevert(abi.encodeWithSelector(Ledger.ForbiddenRecipient.selector, address(0)));
        gateway.withdrawCredit(address(0));

        vm.expectEmit(AT);
        emit ISubnetGateway.CreditWithdrawn(address(recipient), BOB, 2 ether);
        vm.assertEq(recipient.pull(BOB), 2 ether);
        vm.assertEq(BOB.balance, 2 ether);
        vm.assertEq(gateway.creditOf(address(recipient)), 0);
        vm.expectRevert(Ledger.NothingToWithdraw.selector);
        recipient.pull(BOB);
        _books();
    }

    function test_rule26_aCreditCanBePushedOnceItsOwnerAccepts() public {
        recipient.set(Recipient.Mode.Refuse);
        recipient.setPlain(false);
        _arrive(_result(address(recipient), 2 ether, "id"));
        recipient.setPlain(true);
        recipient.set(Recipient.Mode.Accept);
        vm.prank(BOB);
        vm.assertEq(gateway.pushCredit(address(recipient)), 2 ether);
        vm.assertEq(address(recipient).balance, 2 ether);
        _books();
    }

    /// @dev An account with delegated code (EIP-7702) is an account like any.
    function test_rule26_anAccountWithDelegatedCodeIsPaid() public {
        (address account,) = makeAddrAndKey("delegated");
        vm.etch(account, abi.encodePacked(hex"ef0100", address(new Stone())));
        IpcEnvelope memory e = _result(account, 2 ether, "id");
        _arrive(e);
        vm.assertEq(account.balance + gateway.creditOf(account), 2 ether);
        _books();
    }

    function test_rule26_nothingAnswersAResult() public {
        recipient.set(Recipient.Mode.Refuse);
        recipient.setPlain(false);
        _arrive(_result(address(recipient), 2 ether, "a"));
        _arrive(_result(address(recipient), 0, "b"));
        _arrive(_result(BOB, 0, "c"));
        vm.assertEq(gateway.bottomUpNonce(), 0);
    }

    function test_rule26_aResultThatCannotBeAddressedIsQuarantined() public {
        IpcEnvelope memory e;
        e.kind = IpcMsgKind.Result;
        e.value = 2 ether;
        e.to = IPCAddress(_subnet(), FvmAddress(1, hex"00"));
        e.from = _atRoot(REMOTE);
        e = _commit(e);
        _attestAll();
        _expectApplied(e, OutcomeType.SystemErr, Disposition.Quarantined, "");
        _deliver(e);
        vm.assertEq(gateway.getCounters().released, 0);
        vm.assertEq(AT.balance, TREASURY);
    }

    // ---- rule 31: the bound

    /// @dev Were the books ever wrong, nothing more could leave.
    function test_rule31_neverReleasesMoreThanCirculatesOnTheRoot() public {
        _arrive(_transfer(BOB, 5 ether));
        // Forge the counter of released coin upwards: the bound must bite.
        (bytes32 slot, bytes32 was) = _slotOf(5 ether);
        vm.store(AT, slot, bytes32(uint256(was) + 1));
        vm.assertEq(gateway.getCounters().released, 5 ether + 1);
        IpcEnvelope memory e = _transfer(BOB, 1 ether);
        _attestAll();
        _expectApplied(
            e,
            OutcomeType.SystemErr,
            Disposition.Returned,
            abi.encodeWithSelector(GatewayBase.NotEnoughBalance.selector)
        );
        _deliver(e);
        vm.assertEq(BOB.balance, 5 ether);
        vm.store(AT, slot, was);
        _arrive(_transfer(BOB, 1 ether));
        vm.assertEq(BOB.balance, 6 ether);
    }

    /// @dev The slot whose low half is `value`: `released`.
    function _slotOf(uint128 value) private view returns (bytes32 slot, bytes32 word) {
        for (uint256 i = 0; i < 20; ++i) {
            word = vm.load(AT, bytes32(i));
            if (uint128(uint256(word)) == value) return (bytes32(i), word);
        }
        revert("no such slot");
    }

    function test_rule31_theTreasuryNeverPaysFromPotOrCredits() public {
        // A treasury of exactly 5 ether beside a pot and a credit.
        recipient.set(Recipient.Mode.Refuse);
        recipient.setPlain(false);
        _arrive(_result(address(recipient), 2 ether, "id"));
        gateway.release{value: 1 ether + FEE}(Fvm.from(REMOTE));
        ISubnetGateway.Counters memory c = gateway.getCounters();
        uint256 owed = c.feesIn - c.feesOut + c.credited - c.creditsPaid;
        vm.deal(AT, owed + 5 ether);

        IpcEnvelope memory e = _transfer(BOB, 5 ether + 1);
        _attestAll();
        vm.recordLogs();
        _deliver(e);
        _isFailureOf(_sent()[0], e, 5 ether + 1);
        _arrive(_transfer(BOB, 4.9 ether));
        vm.assertEq(BOB.balance, 4.9 ether);
        vm.assertEq(recipient.pull(ALICE), 2 ether);
    }
}

/// @dev With a stipend this large, the 64th part that a caller keeps would pay
/// for a failure Result or a credit: the check alone protects the handler.
contract LargeStipendTest is SubnetFixture {
    Recipient private recipient;

    function setUp() public override {
        super.setUp();
        recipient = new Recipient(gateway);
        recipient.set(Recipient.Mode.Work);
    }

    function _genesis() internal override returns (ISubnetGateway.Genesis memory g) {
        g = super._genesis();
        g.messageGas = 8_000_000;
    }

    function test_rule14_aLargeStipendCannotBeStarvedEither() public {
        _noLimitFails(_callTo(address(recipient), 1 ether, false));
    }

    function test_rule14_norOneOfAResult() public {
        _noLimitFails(_result(address(recipient), 1 ether, "id"));
    }

    function _noLimitFails(IpcEnvelope memory e) private {
        _attestAll();
        Starver starver = new Starver();
        bytes memory data = abi.encodeCall(SubnetGateway.deliver, (_one(e), _tail(0)));
        uint256 delivered = 0;
        for (uint256 gasLimit = 6_500_000; gasLimit < 9_000_000; gasLimit += 100_000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = starver.run(AT, gasLimit, data);
            if (ok) {
                ++delivered;
                vm.assertEq(recipient.handled(), 1);
                vm.assertEq(gateway.bottomUpNonce(), 0);
            } else {
                vm.assertEq(gateway.appliedTopDownNonce(), 0);
            }
            vm.revertToState(snapshot);
        }
        vm.assertGt(delivered, 3);
    }
}

contract NonceProbe {
    ISubnetGateway private immutable GATEWAY;
    uint64 public seen;
    bytes32 public hash;

    constructor(ISubnetGateway gateway) {
        GATEWAY = gateway;
    }

    function handleIpcMessage(IpcEnvelope calldata) external payable returns (bytes memory) {
        (seen, hash) = GATEWAY.appliedTopDown();
        return "";
    }
}
