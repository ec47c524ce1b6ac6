// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Errors.sol";
import {ISubnetActor} from "../../src/interfaces/ISubnetActor.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import "../../src/ipc/Types.sol";
import {RootFixture} from "./RootFixture.sol";

contract CheckpointsTest is RootFixture {
    function setUp() public override {
        super.setUp();
        _fund(bob, 1000 ether);
    }

    /// @dev Keys of the validators with these weights (in ether), ascending.
    function _keysOf(uint256[] memory weights) internal view returns (uint256[] memory chosen) {
        chosen = new uint256[](weights.length);
        uint256 at;
        for (uint256 i = 0; i < keys.length; i++) {
            for (uint256 j = 0; j < weights.length; j++) {
                if (weightOf[vm.addr(keys[i])] == weights[j] * 1 ether) chosen[at++] = keys[i];
            }
        }
    }

    function _two(uint256 a, uint256 b) internal pure returns (uint256[] memory w) {
        w = new uint256[](2);
        (w[0], w[1]) = (a, b);
    }

    function _one(uint256 a) internal pure returns (uint256[] memory w) {
        w = new uint256[](1);
        w[0] = a;
    }

    function _code(uint8 code) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, code);
    }

    function _submitWith(address[] memory accounts, bytes[] memory signatures, bytes memory err) internal {
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 0);
        if (err.length != 0) vm.expectRevert(err);
        actor.validateActiveQuorumSignatures(accounts, Envelopes.checkpointHash(c), signatures);
        if (err.length != 0) vm.expectRevert(err);
        actor.submitCheckpoint(c, accounts, signatures);
    }

    // ---- signatures, as published

    function test_rule22_theQuorumIsCountedInConfirmedPower() public {
        bytes32 digest = Envelopes.checkpointHash(checkpointAt(PERIOD, 0));
        (address[] memory a, bytes[] memory s) = signedBy(_keysOf(_one(40)), digest);
        _submitWith(a, s, _code(5));
        (a, s) = signedBy(_keysOf(_two(20, 40)), digest); // 60 of 100
        _submitWith(a, s, _code(5));
        (a, s) = signedBy(_keysOf(_two(30, 40)), digest); // 70 of 100
        _submitWith(a, s, "");
        vm.assertEq(actor.lastBottomUpCheckpointHeight(), PERIOD);
    }

    function test_oneValidatorListedTwiceCountsNotTwice() public {
        bytes32 digest = Envelopes.checkpointHash(checkpointAt(PERIOD, 0));
        (address[] memory a, bytes[] memory s) = signedBy(_keysOf(_two(40, 30)), digest);
        a[1] = a[0];
        s[1] = s[0];
        _submitWith(a, s, abi.encodeWithSelector(Quorum.DuplicateValidatorSignaturesFound.selector));
    }

    function test_signatoriesMustAscend() public {
        bytes32 digest = Envelopes.checkpointHash(checkpointAt(PERIOD, 0));
        (address[] memory a, bytes[] memory s) = signedBy(keys, digest);
        (a[0], a[3]) = (a[3], a[0]);
        (s[0], s[3]) = (s[3], s[0]);
        _submitWith(a, s, abi.encodeWithSelector(Quorum.SignatureAddressesNotSorted.selector));
    }

    function test_strangersMayNotSign() public {
        uint256[] memory stranger = new uint256[](1);
        stranger[0] = 0xabcdef;
        bytes32 digest = Envelopes.checkpointHash(checkpointAt(PERIOD, 0));
        (address[] memory a, bytes[] memory s) = signedBy(stranger, digest);
        _submitWith(a, s, abi.encodeWithSelector(Quorum.NotValidator.selector, vm.addr(0xabcdef)));
    }

    function test_formsOfSignaturesThatAreRefused() public {
        bytes32 digest = Envelopes.checkpointHash(checkpointAt(PERIOD, 0));
        (address[] memory a, bytes[] memory s) = signedBy(keys, digest);
        _submitWith(new address[](0), new bytes[](0), _code(2));
        _submitWith(a, new bytes[](3), _code(1));

        bytes memory good = s[0];
        // EIP-191: a good signature of something else.
        bytes32 prefixed = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", digest));
        s[0] = signature(keys[0], prefixed);
        _submitWith(a, s, _code(3));
        // v of 0 or 1.
        s[0] = bytes.concat(good);
        s[0][64] = bytes1(uint8(good[64]) - 27);
        _submitWith(a, s, _code(4));
        // The mirrored, high s.
        (uint8 v, bytes32 r, bytes32 sig) = vm.sign(keys[0], digest);
        uint256 n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        s[0] = abi.encodePacked(r, n - uint256(sig), v == 27 ? uint8(28) : uint8(27));
        _submitWith(a, s, _code(4));
        // 64 bytes, and none.
        s[0] = abi.encodePacked(r, sig);
        _submitWith(a, s, _code(4));
        s[0] = "";
        _submitWith(a, s, _code(4));
        s[0] = good;
        _submitWith(a, s, "");
    }

    function testFuzz_aChangedCheckpointIsNotSigned(uint8 what) public {
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 0);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        what = uint8(bound(what, 0, 5));
        if (what == 0) c.blockHash = ~c.blockHash;
        if (what == 1) c.nextConfigurationNumber++;
        if (what == 2) c.msgs.totalNumMsgs++;
        if (what == 3) c.msgs.msgsRoot = ~c.msgs.msgsRoot;
        if (what == 4) c.activity.consensus.stats.totalActiveValidators++;
        if (what == 5) c.activity.consensus.dataRootCommitment = 0;
        vm.expectPartialRevert(Quorum.InvalidSignatureErr.selector);
        actor.submitCheckpoint(c, a, s);
    }

    // ---- heights

    function test_checkpointsComeStrictlyInOrder() public {
        BottomUpCheckpoint memory c = checkpointAt(2 * PERIOD, 0);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(InvalidCheckpointEpoch.selector);
        actor.submitCheckpoint(c, a, s);
        c = checkpointAt(PERIOD + 1, 0);
        (a, s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(InvalidCheckpointEpoch.selector);
        actor.submitCheckpoint(c, a, s);
        c = checkpointAt(PERIOD, 0);
        (a, s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectEmit(address(actor));
        emit ISubnetActor.CheckpointAccepted(PERIOD, Envelopes.checkpointHash(c), 0, 0);
        actor.submitCheckpoint(c, a, s);
        vm.expectRevert(BottomUpCheckpointAlreadySubmitted.selector);
        actor.submitCheckpoint(c, a, s);
        (bool found, bytes32 hash) = actor.bottomUpCheckpointHashAtEpoch(PERIOD);
        vm.assertTrue(found);
        vm.assertEq(hash, Envelopes.checkpointHash(c));
        (found,) = actor.bottomUpCheckpointHashAtEpoch(2 * PERIOD);
        vm.assertFalse(found);
    }

    function test_aCheckpointOfAnotherSubnetIsRefused() public {
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 0);
        c.subnetID = idOf(bob);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(InvalidCheckpointSource.selector);
        actor.submitCheckpoint(c, a, s);
        c.subnetID = subnetId();
        c.subnetID.root++;
        (a, s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(InvalidSubnet.selector);
        actor.submitCheckpoint(c, a, s);
    }

    // ---- batches

    function _fill(uint256 count) internal {
        for (uint256 i = 0; i < count; i++) {
            _push(transferUp(bob, 1 ether));
        }
        _submit(0);
    }

    function test_pendingBatchesAscendByHeight() public {
        for (uint256 i = 0; i < 7; i++) {
            _fill(i % 3); // some are empty
        }
        ListPendingCommitmentsEntry[] memory list = actor.listPendingBottomUpBatchCommitments();
        vm.assertEq(list.length, 4);
        uint64[4] memory heights = [uint64(20), 30, 50, 60];
        for (uint256 i = 0; i < 4; i++) {
            vm.assertEq(list[i].height, heights[i]);
            vm.assertEq(list[i].commitment.totalNumMsgs, batches[heights[i]].length);
            vm.assertEq(list[i].commitment.msgsRoot, checkpointAt(heights[i], 0).msgs.msgsRoot);
            vm.assertEq(list[i].executed.length, 0);
        }
        _exec(20);
        list = actor.listPendingBottomUpBatchCommitments();
        vm.assertEq(list.length, 3);
        vm.assertEq(list[0].height, 30);
    }

    function test_batchesAreExecutedByHeight() public {
        _fill(1);
        _fill(1);
        Inclusion[] memory second = inclusions(20, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(BatchOutOfOrder.selector, 20, 10));
        actor.execBottomUpMsgBatch(20, second);
        _exec(10);
        actor.execBottomUpMsgBatch(20, second);
        vm.expectRevert(MissingBatchCommitment.selector);
        actor.execBottomUpMsgBatch(20, second);
        vm.expectRevert(MissingBatchCommitment.selector);
        actor.execBottomUpMsgBatch(30, second);
    }

    function test_twoRelayersDoNotSpoilEachOther() public {
        _fill(5);
        Inclusion[] memory all = inclusions(10, 0, 5);
        actor.execBottomUpMsgBatch(10, inclusions(10, 0, 2));
        vm.expectRevert(BatchMsgAlreadyExecuted.selector);
        actor.execBottomUpMsgBatch(10, inclusions(10, 0, 2));
        Inclusion[] memory none = new Inclusion[](0);
        vm.expectRevert(BatchMsgAlreadyExecuted.selector);
        actor.execBottomUpMsgBatch(10, none);
        // The slower one sends everything: what is applied is skipped.
        vm.expectEmit(address(actor));
        emit ISubnetActor.BatchExecuted(10, 5, 5);
        actor.execBottomUpMsgBatch(10, all);
        vm.assertEq(flt.balanceOf(bob), 5 ether);
        vm.expectRevert(MissingBatchCommitment.selector);
        actor.execBottomUpMsgBatch(10, all);
    }

    function test_everyProofIsChecked() public {
        _fill(3);
        Inclusion[] memory list = inclusions(10, 0, 3);
        list[1].msg.value++;
        vm.expectRevert(InvalidInclusionProof.selector);
        actor.execBottomUpMsgBatch(10, list);
        list = inclusions(10, 0, 3);
        list[2].proof[0] = ~list[2].proof[0];
        vm.expectRevert(InvalidInclusionProof.selector);
        actor.execBottomUpMsgBatch(10, list);
        list = inclusions(10, 0, 3);
        list[0].proof = new bytes32[](0);
        vm.expectRevert(InvalidInclusionProof.selector);
        actor.execBottomUpMsgBatch(10, list);
        vm.assertEq(flt.balanceOf(bob), 0);
        _exec(10);
    }

    /// @dev Whatever chunks come in whatever order, each message is applied once.
    function testFuzz_chunksInAnyOrderApplyEachMessageOnce(uint256 seed) public {
        uint256 count = bound(seed, 1, 12);
        _fill(count);
        for (uint256 i = 0; i < 12; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 from = seed % count;
            uint256 to = from + 1 + (seed >> 128) % (count - from);
            (, uint64 before) = gateway.getAppliedBottomUpNonce(subnetId());
            Inclusion[] memory list = inclusions(10, from, to);
            (bool ok,) = address(actor).call(abi.encodeCall(actor.execBottomUpMsgBatch, (10, list)));
            (, uint64 afterwards) = gateway.getAppliedBottomUpNonce(subnetId());
            vm.assertEq(ok, from <= before && to > before);
            vm.assertEq(afterwards, ok ? to : before);
            vm.assertEq(flt.balanceOf(bob), uint256(afterwards) * 1 ether);
        }
        (, uint64 applied) = gateway.getAppliedBottomUpNonce(subnetId());
        if (applied < count) _exec(10);
        vm.assertEq(flt.balanceOf(bob), count * 1 ether);
    }

    // ---- the bootstrap

    function test_rule5_theSaltBindsChainGatewayActorAndBlock() public view {
        uint256 at = actor.bootstrapBlock();
        vm.assertEq(
            actor.bootstrapSalt(),
            keccak256(abi.encode(block.chainid, address(gateway), address(actor), blockhash(at)))
        );
    }

    function test_rule5_recordingIsPermissionlessAndOnce() public {
        vm.prank(anyone);
        vm.expectRevert(BootstrapAlreadyRecorded.selector);
        actor.recordBootstrap();
        vm.expectRevert(BootstrapAlreadyRecorded.selector);
        actor.reannounceBootstrap();
    }
}
