// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import {GatewayBase} from "../../src/subnet/GatewayBase.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {Lane} from "../../src/subnet/Lane.sol";
import {ParentStatements} from "../../src/subnet/ParentStatements.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

/// @dev PROTOCOL 10, in the subnet: a recovery executed on the root lets the
/// gateway go on from another branch.
contract RecoveryTest is SubnetFixture {
    bytes private constant CONTRADICTS =
        abi.encodeWithSelector(ParentStatements.ContradictsFinality.selector);

    function _recovery(uint64 number, uint256 messages, uint256 changes)
        private
        view
        returns (ParentRecovery memory r)
    {
        r.number = number;
        r.anchor = _statement(messages, changes);
        r.anchor.parentHeight += 100;
        r.anchor.parentHash = keccak256(abi.encode("fork", r.anchor.parentHeight));
    }

    function _digestOf(ParentRecovery memory r) private view returns (bytes32) {
        ParentFinality memory a = r.anchor;
        bytes32 anchorHash = keccak256(
            abi.encode(
                keccak256(
                    "ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
                ),
                a
            )
        );
        bytes32 typeHash = keccak256(
            "ParentRecovery(uint64 number,ParentFinality anchor)ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
        );
        bytes32 body = keccak256(abi.encode(typeHash, r.number, anchorHash));
        return keccak256(abi.encodePacked(hex"1901", gateway.domainSeparator(), body));
    }

    function _recover(ParentRecovery memory r) private {
        (address[] memory who, bytes[] memory sigs) = _sign(_digestOf(r), 15);
        gateway.commitParentRecovery(r, who, sigs);
    }

    function _refused(ParentRecovery memory r, bytes memory why) private {
        (address[] memory who, bytes[] memory sigs) = _sign(_digestOf(r), 15);
        vm.expectRevert(why);
        gateway.commitParentRecovery(r, who, sigs);
    }

    /// @dev The root forks: its queue is what it was up to `count`.
    function _fork(uint256 count) private {
        while (topLeaves.length > count) {
            topLeaves.pop();
            topHashes.pop();
        }
    }

    function _applied(uint64 count, bytes32 hash) private view {
        (uint64 nonce, bytes32 rolling) = gateway.appliedTopDown();
        vm.assertEq(nonce, count);
        vm.assertEq(rolling, hash);
    }

    function test_rule10_withTheSameMessagesAppliedOnlyTheAnchorAndThePairsChange() public {
        IpcEnvelope memory first = _transfer(BOB, 1 ether);
        _arrive(first);
        _transfer(BOB, 2 ether);
        _attestAll();
        _transfer(BOB, 3 ether);
        _attestAll();

        // The second is the same on the other branch, the third is not.
        IpcEnvelope memory second = _refork(1, 2 ether);
        IpcEnvelope memory third = _transfer(BOB, 4 ether);
        ParentRecovery memory r = _recovery(1, 2, 0);
        vm.expectEmit(AT);
        emit ISubnetGateway.ParentRecovered(1, r.anchor.parentHeight, 2, 1, 1 ether);
        _recover(r);
        vm.assertEq(gateway.parentRecovery(), 1);
        vm.assertEq(keccak256(abi.encode(gateway.latestParentFinality())), keccak256(abi.encode(r.anchor)));
        _applied(1, topHashes[1]);
        (uint64 pair, bytes32 hash) = gateway.committedTopDownAt(2);
        vm.assertEq(pair, 2);
        vm.assertEq(hash, topHashes[2]);
        (pair,) = gateway.committedTopDownAt(3);
        vm.assertEq(pair, 0);

        _deliver(second);
        _arrive(third);
        vm.assertEq(BOB.balance, 7 ether);
        _applied(3, topHashes[3]);
        _books();
    }

    /// @dev The root's queue from `count` on is another one, first a transfer.
    function _refork(uint256 count, uint256 value) private returns (IpcEnvelope memory) {
        _fork(count);
        return _transfer(BOB, value);
    }

    function test_rule10_whatTheOtherBranchSentIsDeliveredThoughItsNoncesWereApplied() public {
        IpcEnvelope[] memory gone = new IpcEnvelope[](3);
        for (uint256 i = 0; i < 3; ++i) {
            gone[i] = _transfer(BOB, (i + 1) * 1 ether);
        }
        _attestAll();
        _deliver(gone);
        vm.assertEq(BOB.balance, 6 ether);

        IpcEnvelope memory other = _refork(1, 10 ether);
        ParentRecovery memory r = _recovery(1, 1, 0);
        vm.expectEmit(AT);
        emit ISubnetGateway.ParentRecovered(1, r.anchor.parentHeight, 1, 3, 6 ether);
        _recover(r);
        _applied(1, topHashes[1]);

        // Nothing of the vanished branch can be delivered again, ...
        vm.expectRevert(abi.encodeWithSelector(Lane.NotCommitted.selector, 2));
        gateway.deliver(_one(gone[1]), new bytes32[](0));
        // ... what the root has, is; what was applied stays applied, unbacked.
        _arrive(other);
        vm.assertEq(BOB.balance, 16 ether);
        _applied(2, topHashes[2]);
        _books();
    }

    function test_rule10_aVanishedMessageIsNotProvenByTheNewPair() public {
        IpcEnvelope memory gone = _transfer(BOB, 1 ether);
        _attestAll();
        _refork(0, 2 ether);
        _recover(_recovery(1, 1, 0));
        vm.expectRevert(abi.encodeWithSelector(Lane.NotProven.selector, 1));
        gateway.deliver(_one(gone), new bytes32[](0));
    }

    function test_rule10_aStaleNumberIsRefused() public {
        _transfer(BOB, 1 ether);
        _attestAll();
        bytes memory why = abi.encodeWithSelector(GatewayBase.ParentFinalityAlreadyCommitted.selector);
        _refused(_recovery(0, 0, 0), why);
        ParentRecovery memory r = _recovery(2, 0, 0);
        _recover(r);
        // The same again, and an older one at a higher block.
        _refused(r, why);
        r.anchor.parentHeight += 1;
        _refused(r, why);
        _refused(_recovery(1, 0, 0), why);
        _recover(_recovery(3, 0, 0));
    }

    function test_rule10_theAnchorIsAboveEveryCommittedHeight() public {
        _transfer(BOB, 1 ether);
        _attestAll();
        ParentRecovery memory r = _recovery(1, 0, 0);
        r.anchor.parentHeight = gateway.latestParentFinality().parentHeight;
        _refused(r, abi.encodeWithSelector(GatewayBase.ParentFinalityAlreadyCommitted.selector));
    }

    function test_rule10_theSubnetsQuorumOfThisConfigurationSigns() public {
        _transfer(BOB, 1 ether);
        ParentRecovery memory r = _recovery(1, 0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digestOf(r), 7); // 60 of 100
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.commitParentRecovery(r, who, sigs);

        (who, sigs) = _sign(_digestOf(r), 15);
        (who[0], who[1]) = (who[1], who[0]);
        vm.expectRevert(Quorum.SignatureAddressesNotSorted.selector);
        gateway.commitParentRecovery(r, who, sigs);

        r.anchor.signerConfig = 1;
        _refused(r, abi.encodeWithSelector(GatewayBase.InvalidConfigurationNumber.selector));
        r.anchor.signerConfig = 0;

        // Signatures on the anchor as a statement are none on a recovery.
        (who, sigs) = _sign(_digest(r.anchor), 15);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.commitParentRecovery(r, who, sigs);
        (who, sigs) = _sign(_digestOf(r), 15);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.commitParentFinality(r.anchor, who, sigs);
    }

    function test_rule5_aRecoveryOfAnotherDomainIsRefused() public {
        ParentRecovery memory r = _recovery(1, 0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digestOf(r), 15);
        vm.chainId(777);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.commitParentRecovery(r, who, sigs);
    }

    function test_rule10_powerChangesThatAreHeldCannotBeTakenBack() public {
        PowerChangeRequest[] memory held = new PowerChangeRequest[](1);
        held[0] = _setPower(vm.addr(keys[0]), 50 ether);
        _setPower(vm.addr(keys[1]), 60 ether);
        _attestAll();
        bytes32[] memory tail = new bytes32[](1);
        tail[0] = powerLeaves[1];
        gateway.deliverPowerChanges(held, tail);

        // Held, applied or not: neither below, nor another of the same number, nor
        // beyond.
        _refused(_recovery(1, 0, 0), CONTRADICTS);
        _configure(1);
        _refused(_recovery(1, 0, 0), CONTRADICTS);
        _refused(_recovery(1, 0, 2), CONTRADICTS);
        ParentRecovery memory r = _recovery(1, 0, 1);
        r.anchor.powerChangeHash = keccak256("another");
        _refused(r, CONTRADICTS);
        vm.assertEq(gateway.parentRecovery(), 0);

        // What was committed and not brought is forgotten, and another one comes.
        _recover(_recovery(1, 0, 1));
        (uint64 pair,) = gateway.committedPowerChangesAt(2);
        vm.assertEq(pair, 0);
        powerLeaves.pop();
        powerHashes.pop();
        held[0] = _setPower(vm.addr(keys[2]), 70 ether);
        _attestAll();
        gateway.deliverPowerChanges(held, new bytes32[](0));
        _configure(2);
        vm.assertEq(gateway.appliedConfigurationNumber(), 2);
    }

    function test_rule10_noRecoveryWhileAConfigurationIsHalfApplied() public {
        PowerChangeRequest[] memory many = new PowerChangeRequest[](65);
        for (uint256 i = 0; i < 65; ++i) {
            many[i] = _setPower(vm.addr(keys[i % 4]), 10 ether + i);
        }
        _attestAll();
        gateway.deliverPowerChanges(many, new bytes32[](0));
        _configure(65);
        _refused(
            _recovery(1, 0, 65), abi.encodeWithSelector(ParentStatements.ConfigurationInProgress.selector, 65)
        );
        _configure(65);
        _recover(_recovery(1, 0, 65));
    }

    function test_rule10_aPrefixThatContradictsWhatItEndsAtIsNone() public {
        _arrive(_transfer(BOB, 1 ether));
        ParentRecovery memory r = _recovery(1, 1, 0);
        r.anchor.topDownHash = keccak256("another");
        _refused(r, abi.encodeWithSelector(Lane.NotProven.selector, 1));
    }

    function test_gas_commitParentRecovery() public {
        ParentRecovery memory r = _recovery(1, 0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digestOf(r), 15);
        uint256 before = gasleft();
        gateway.commitParentRecovery(r, who, sigs);
        vm.assertLt(before - gasleft(), 250_000);
    }
}
