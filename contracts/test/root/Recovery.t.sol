// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AmountOutOfBounds,
    BootstrapNotRecorded,
    NoRecovery,
    NotEnoughFunds,
    NotRegisteredSubnet,
    PrefixAboveRoot,
    RecoveryNotReady,
    RecoveryNumber,
    RecoveryPending,
    StillQuarantined
} from "../../src/ipc/Errors.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import "../../src/ipc/Types.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {RootFixture} from "./RootFixture.sol";

/// @dev PROTOCOL 10, on the root: proposed in public by the subnet's own quorum,
/// held for a timelock, executed by anyone.
contract RecoveryTest is RootFixture {
    bytes32 private constant DOMAIN = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    );

    function setUp() public override {
        super.setUp();
        _fund(bob, 5 ether);
        _fund(bob, 7 ether);
    }

    function _domain(address verifier, uint256 chain, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN, keccak256("Causeway"), keccak256("1"), chain, verifier, salt));
    }

    function _ours() private view returns (bytes32) {
        return _domain(address(gateway), block.chainid, actor.bootstrapSalt());
    }

    function _digest(bytes32 domain, Recovery memory r) private pure returns (bytes32) {
        bytes32 typeHash = keccak256(
            "Recovery(uint64 number,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
        );
        bytes32 body = keccak256(
            abi.encode(
                typeHash, r.number, r.topDownNonce, r.topDownHash, r.powerChangeNonce, r.powerChangeHash
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, body));
    }

    function _withdrawal(uint64 number) private view returns (bytes32) {
        bytes32 body = keccak256(abi.encode(keccak256("RecoveryWithdrawal(uint64 number)"), number));
        return keccak256(abi.encodePacked(hex"1901", _ours(), body));
    }

    /// @dev A prefix below what was sent.
    function _recovery(uint64 number) private view returns (Recovery memory r) {
        r.number = number;
        r.topDownNonce = 1;
        r.topDownHash = keccak256("after one message");
        r.powerChangeHash = actor.bootstrapSalt();
    }

    function _propose(Recovery memory r) private {
        (address[] memory who, bytes[] memory sigs) = signedBy(keys, _digest(_ours(), r));
        vm.prank(anyone);
        gateway.proposeRecovery(subnetId(), r, who, sigs);
    }

    function _refusedAs(Recovery memory r, bytes32 digest, bytes memory why) private {
        (address[] memory who, bytes[] memory sigs) = signedBy(keys, digest);
        vm.expectRevert(why);
        gateway.proposeRecovery(subnetId(), r, who, sigs);
    }

    function _refused(Recovery memory r, bytes memory why) private {
        _refusedAs(r, _digest(_ours(), r), why);
    }

    function _same(Recovery memory a, Recovery memory b) private pure {
        vm.assertEq(keccak256(abi.encode(a)), keccak256(abi.encode(b)));
    }

    function _some(uint256 count) private view returns (uint256[] memory some) {
        some = new uint256[](count);
        for (uint256 i = 0; i < count; i++) {
            some[i] = keys[i];
        }
    }

    function test_rule10_aRecoveryIsProposedWaitsAndIsExecutedByAnyone() public {
        Recovery memory r = _recovery(1);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 ready = uint64(block.timestamp + RECOVERY_DELAY);
        vm.expectEmit(address(gateway));
        emit IGateway.RecoveryProposed(address(actor), r, ready);
        _propose(r);
        Recoveries memory all = gateway.getRecoveries(subnetId());
        vm.assertEq(all.last, 1);
        vm.assertEq(all.readyAt, ready);
        _same(all.pending, r);
        vm.assertEq(all.executed.number, 0);
        vm.assertEq(gateway.recoveryDelay(), RECOVERY_DELAY);

        vm.warp(ready - 1);
        vm.expectRevert(abi.encodeWithSelector(RecoveryNotReady.selector, ready));
        gateway.executeRecovery(subnetId(), 1);

        vm.warp(ready);
        vm.roll(block.number + 77);
        vm.expectEmit(address(gateway));
        emit IGateway.RecoveryExecuted(address(actor), r);
        vm.prank(anyone);
        gateway.executeRecovery(subnetId(), 1);
        all = gateway.getRecoveries(subnetId());
        vm.assertEq(all.pending.number, 0);
        vm.assertEq(all.executedBlock, block.number);
        _same(all.executed, r);

        // Once.
        vm.expectRevert(abi.encodeWithSelector(NoRecovery.selector, 1));
        gateway.executeRecovery(subnetId(), 1);
    }

    function test_rule10_theQuorumIsTheActorsOwn() public {
        Recovery memory r = _recovery(1);
        bytes32 digest = _digest(_ours(), r);
        // A single signature at most has 40 of 100.
        (address[] memory who, bytes[] memory sigs) = signedBy(_some(1), digest);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.proposeRecovery(subnetId(), r, who, sigs);

        uint256[] memory strangers = new uint256[](1);
        address stranger;
        (stranger, strangers[0]) = makeAddrAndKey("stranger");
        (who, sigs) = signedBy(strangers, digest);
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, stranger));
        gateway.proposeRecovery(subnetId(), r, who, sigs);

        (who, sigs) = signedBy(keys, digest);
        (who[0], who[1]) = (who[1], who[0]);
        vm.expectRevert(Quorum.SignatureAddressesNotSorted.selector);
        gateway.proposeRecovery(subnetId(), r, who, sigs);

        vm.expectRevert(NotRegisteredSubnet.selector);
        gateway.proposeRecovery(idOf(anyone), r, who, sigs);
    }

    function test_rule10_anotherSubnetOfTheSameValidatorsIsNotMeant() public {
        Recovery memory r = _recovery(1);
        (address[] memory who, bytes[] memory sigs) = signedBy(keys, _digest(_ours(), r));
        SubnetActor first = actor;
        _start(_params(PermissionMode.Collateral, address(flt), address(0)));
        vm.assertTrue(address(first) != address(actor));
        _fund(bob, 5 ether);
        _fund(bob, 7 ether);
        r.powerChangeHash = first.bootstrapSalt();
        vm.expectRevert(PrefixAboveRoot.selector);
        gateway.proposeRecovery(subnetId(), r, who, sigs);
        // With the other's own prefix the signatures are of another domain.
        Recovery memory own = _recovery(1);
        _refusedAs(
            own,
            _digest(_domain(address(gateway), block.chainid, first.bootstrapSalt()), own),
            abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3)
        );
    }

    function test_rule5_aRecoveryOfAnotherDomainIsRefused() public {
        Recovery memory r = _recovery(1);
        bytes memory why = abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3);
        bytes32 salt = actor.bootstrapSalt();
        _refusedAs(r, _digest(_domain(address(gateway), block.chainid + 1, salt), r), why);
        _refusedAs(r, _digest(_domain(address(actor), block.chainid, salt), r), why);
        _refusedAs(r, _digest(_domain(address(gateway), block.chainid, keccak256("other")), r), why);
        _refusedAs(r, _withdrawal(1), why);
        _propose(r);
    }

    function test_rule10_noPrefixGoesBeyondTheRootsOwn() public {
        (uint64 nonce, bytes32 hash) = gateway.getTopDownHash(subnetId());
        vm.assertEq(nonce, 2);
        bytes memory why = abi.encodeWithSelector(PrefixAboveRoot.selector);
        Recovery memory r = _recovery(1);
        r.topDownNonce = nonce + 1;
        _refused(r, why);
        // As far as the root itself, only with the root's own hash.
        r.topDownNonce = nonce;
        _refused(r, why);
        r.topDownHash = hash;
        r.powerChangeNonce = 1;
        _refused(r, why);
        r.powerChangeNonce = 0;
        r.powerChangeHash = hash;
        _refused(r, why);
        r.powerChangeHash = actor.bootstrapSalt();
        _propose(r);
    }

    function test_rule10_numbersAscendByOneAndOneWaitsAtATime() public {
        bytes memory why = abi.encodeWithSelector(RecoveryNumber.selector, 1);
        _refused(_recovery(0), why);
        _refused(_recovery(2), why);
        _propose(_recovery(1));
        _refused(_recovery(2), abi.encodeWithSelector(RecoveryPending.selector, 1));
        vm.warp(block.timestamp + RECOVERY_DELAY);
        gateway.executeRecovery(subnetId(), 1);
        _refused(_recovery(1), abi.encodeWithSelector(RecoveryNumber.selector, 2));
        _propose(_recovery(2));
        // The executed one is still there.
        vm.assertEq(gateway.getRecoveries(subnetId()).executed.number, 1);
    }

    function test_rule10_aWithdrawnRecoveryNeverComesBack() public {
        Recovery memory r = _recovery(1);
        (address[] memory who, bytes[] memory sigs) = signedBy(keys, _digest(_ours(), r));
        gateway.proposeRecovery(subnetId(), r, who, sigs);

        (address[] memory few, bytes[] memory fewSigs) = signedBy(_some(1), _withdrawal(1));
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.withdrawRecovery(subnetId(), 1, few, fewSigs);
        vm.expectRevert(abi.encodeWithSelector(NoRecovery.selector, 2));
        gateway.withdrawRecovery(subnetId(), 2, who, sigs);
        // The proposal's own signatures take nothing back.
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.withdrawRecovery(subnetId(), 1, who, sigs);

        (address[] memory by, bytes[] memory back) = signedBy(keys, _withdrawal(1));
        vm.expectEmit(address(gateway));
        emit IGateway.RecoveryWithdrawn(address(actor), 1);
        vm.prank(anyone);
        gateway.withdrawRecovery(subnetId(), 1, by, back);

        vm.warp(block.timestamp + 10 * RECOVERY_DELAY);
        vm.expectRevert(abi.encodeWithSelector(NoRecovery.selector, 1));
        gateway.executeRecovery(subnetId(), 1);
        vm.expectRevert(abi.encodeWithSelector(NoRecovery.selector, 0));
        gateway.executeRecovery(subnetId(), 0);
        // Neither by its signatures, ...
        vm.expectRevert(abi.encodeWithSelector(RecoveryNumber.selector, 2));
        gateway.proposeRecovery(subnetId(), r, who, sigs);
        // ... nor does the withdrawal serve the next one.
        _propose(_recovery(2));
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.withdrawRecovery(subnetId(), 2, by, back);
    }

    function test_recovery_needsARecordedBootstrapAndADelay() public {
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(flt), address(0)), address(this));
        gateway.approveSubnet(address(actor));
        _joinAll();
        Recovery memory r;
        r.number = 1;
        _refused(r, abi.encodeWithSelector(BootstrapNotRecorded.selector));
        vm.prank(alice);
        vm.expectRevert(BootstrapNotRecorded.selector);
        gateway.cover(subnetId(), 1);
        vm.expectRevert(abi.encodeWithSelector(AmountOutOfBounds.selector, 0, 1, type(uint256).max));
        new Gateway(rootId(), MESSAGE_GAS, FUND_MIN, FUND_MAX, MAX_SILENCE, 0);
    }

    function test_rule25_whatCirculatesWithoutBackingWaitsUntilItIsCovered() public {
        // Bob has 20 in the subnet, of which a fork of the root undid 8.
        IpcEnvelope memory up = transferUp(bob, 20 ether);
        _deliver(up);
        vm.assertEq(counters().quarantined, 20 ether);
        vm.assertEq(flt.balanceOf(bob), 0);
        vm.expectRevert(StillQuarantined.selector);
        gateway.retryQuarantined(up);

        vm.prank(alice);
        vm.expectEmit(address(gateway));
        emit IGateway.Covered(address(actor), alice, 8 ether);
        gateway.cover(subnetId(), 8 ether);
        vm.assertEq(counters().covered, 8 ether);
        vm.assertEq(counters().locked, 12 ether);
        vm.assertEq(circ(), 20 ether);
        // No message came of it.
        (, uint64 nonce) = gateway.getTopDownNonce(subnetId());
        vm.assertEq(nonce, 2);

        gateway.retryQuarantined(up);
        vm.assertEq(flt.balanceOf(bob), 20 ether);
        vm.assertEq(circ(), 0);
    }

    function test_cover_takesExactlyWhatItBooks() public {
        vm.deal(alice, 10 ether);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(NotEnoughFunds.selector));
        gateway.cover{value: 1}(subnetId(), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(NotRegisteredSubnet.selector));
        gateway.cover(idOf(anyone), 1 ether);
        vm.expectRevert("No balance increase");
        gateway.cover(subnetId(), 0);
        vm.stopPrank();

        _start(_params(PermissionMode.Collateral, address(0), address(0)));
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(NotEnoughFunds.selector));
        gateway.cover{value: 1 ether}(subnetId(), 2 ether);
        vm.expectRevert(abi.encodeWithSelector(AmountOutOfBounds.selector, 0, 1, uint256(type(uint128).max)));
        gateway.cover(subnetId(), 0);
        gateway.cover{value: 1 ether}(subnetId(), 1 ether);
        vm.assertEq(counters().covered, 1 ether);
    }

    function test_gas_recovery() public {
        Recovery memory r = _recovery(1);
        (address[] memory who, bytes[] memory sigs) = signedBy(keys, _digest(_ours(), r));
        uint256 before = gasleft();
        gateway.proposeRecovery(subnetId(), r, who, sigs);
        vm.assertLt(before - gasleft(), 300_000);
        vm.warp(block.timestamp + RECOVERY_DELAY);
        before = gasleft();
        gateway.executeRecovery(subnetId(), 1);
        vm.assertLt(before - gasleft(), 150_000);
    }
}
