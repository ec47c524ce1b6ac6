// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevFlt} from "../../src/dev/DevFlt.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ISubnetActor, ISubnetRegistry} from "../../src/interfaces/ISubnetActor.sol";
import "../../src/ipc/Errors.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import "../../src/ipc/Types.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {Base, Vm} from "../Base.sol";
import {Vectors} from "./Vectors.sol";

/// @dev Our contracts at the addresses of a published deployment, fed with the
/// very calls that one accepted.
contract PublishedTest is Base {
    Gateway internal gateway = Gateway(Vectors.GATEWAY);
    SubnetActor internal actor = SubnetActor(payable(Vectors.ACTOR));
    DevFlt internal flt = DevFlt(Vectors.TOKEN);
    uint256[4] internal keys = [Vectors.KEY_0, Vectors.KEY_1, Vectors.KEY_2, Vectors.KEY_3];

    function setUp() public {
        vm.chainId(Vectors.CHAIN_ID);
        vm.roll(1000);
        vm.warp(1_800_000_000);
        SubnetID memory root;
        root.root = uint64(Vectors.CHAIN_ID);
        _place(Vectors.TOKEN, abi.encodePacked(type(DevFlt).creationCode, abi.encode(address(this))));
        _place(
            Vectors.GATEWAY,
            abi.encodePacked(
                type(Gateway).creationCode,
                abi.encode(root, uint256(1_000_000), uint256(1), uint256(1e30), uint256(1 hours))
            )
        );
        SubnetParams memory p;
        p.minActivationCollateral = 100 ether;
        p.minValidators = 4;
        p.bottomUpCheckPeriod = 10;
        p.ipcGatewayAddr = Vectors.GATEWAY;
        p.activeValidatorsLimit = 100;
        p.majorityPercentage = 67;
        p.powerScale = 3;
        p.supplySource = Asset(AssetKind.ERC20, Vectors.TOKEN);
        p.parentId = root;
        p.genesisSubnetIpcContractsOwner = address(this);
        _place(Vectors.ACTOR, abi.encodePacked(type(SubnetActor).creationCode, abi.encode(p, address(this))));
        gateway.approveSubnet(Vectors.ACTOR);
        for (uint256 i = 0; i < 4; i++) {
            uint256 weight = (i + 1) * 10 ether;
            address account = vm.addr(keys[i]);
            bytes memory key = publicKey(keys[i]);
            vm.deal(account, weight);
            vm.prank(account);
            actor.join{value: weight}(key, weight);
        }
        vm.roll(1001);
        actor.recordBootstrap();
        flt.mint(Vectors.FUNDER, 1000 ether);
        vm.prank(Vectors.FUNDER);
        flt.approve(Vectors.GATEWAY, type(uint256).max);
    }

    /// @dev Runs a constructor at a chosen address.
    function _place(address where, bytes memory creation) private {
        vm.etch(where, creation);
        (bool ok, bytes memory runtime) = where.call("");
        vm.assertTrue(ok);
        vm.etch(where, runtime);
    }

    function _id() private pure returns (SubnetID memory id) {
        id.root = uint64(Vectors.CHAIN_ID);
        id.route = new address[](1);
        id.route[0] = Vectors.ACTOR;
    }

    function _call(address from, address to, bytes memory data) private returns (bool ok, bytes memory ret) {
        vm.prank(from);
        (ok, ret) = to.call(data);
    }

    function _must(address from, address to, bytes memory data) private {
        (bool ok,) = _call(from, to, data);
        vm.assertTrue(ok);
    }

    function _mustFail(bytes memory data, bytes memory err) private {
        (bool ok, bytes memory ret) = _call(address(0xbeef), Vectors.ACTOR, data);
        vm.assertFalse(ok);
        vm.assertEq(ret, err);
    }

    function _lastLog() private returns (Vm.Log memory) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        return logs[logs.length - 1];
    }

    function test_aDepositEmitsTheVeryEventOfThePublishedGateway() public {
        vm.assertEq(Envelopes.subnetHash(_id()), Vectors.SUBNET_HASH);
        vm.recordLogs();
        _must(Vectors.FUNDER, Vectors.GATEWAY, Vectors.FUND_0);
        Vm.Log memory log = _lastLog();
        vm.assertEq(log.topics.length, 3);
        vm.assertEq(log.topics[0], 0xb6eb2e0545704059166f88153086a5814637ddce7139f55009632d8ca4068358);
        vm.assertEq(address(uint160(uint256(log.topics[1]))), Vectors.ACTOR);
        vm.assertEq(log.topics[2], Vectors.FUND_0_ID);
        vm.assertEq(log.data, Vectors.FUND_0_DATA);
        vm.assertEq(keccak256(log.data), Vectors.FUND_0_HASH);
        (, bytes32 hash) = gateway.getTopDownHash(_id());
        vm.assertEq(hash, Envelopes.fold(actor.bootstrapSalt(), Vectors.FUND_0_HASH));
    }

    function test_theSecondDepositDiffersInItsOriginalNonceAlone() public {
        _must(Vectors.FUNDER, Vectors.GATEWAY, Vectors.FUND_0);
        vm.recordLogs();
        _must(Vectors.FUNDER, Vectors.GATEWAY, Vectors.FUND_1);
        Vm.Log memory log = _lastLog();
        IpcEnvelope memory e = abi.decode(log.data, (IpcEnvelope));
        vm.assertEq(e.originalNonce, 1); // 0 in the published ones: see README
        e.originalNonce = 0;
        vm.assertEq(abi.encode(e), Vectors.FUND_1_DATA);
        vm.assertEq(Envelopes.toHash(e), Vectors.FUND_1_HASH);
        vm.assertEq(Envelopes.tracingId(e), Vectors.FUND_1_ID);
    }

    function test_checkpointsAndABatchAreAcceptedAsPublished() public {
        _must(Vectors.FUNDER, Vectors.GATEWAY, Vectors.FUND_0);
        _must(Vectors.FUNDER, Vectors.GATEWAY, Vectors.FUND_1);

        // Checkpoint 20 before 10, then twice.
        _mustFail(Vectors.SUBMIT_20, abi.encodeWithSelector(InvalidCheckpointEpoch.selector));
        vm.recordLogs();
        _must(address(0xbeef), Vectors.ACTOR, Vectors.SUBMIT_10);
        Vm.Log memory log = _lastLog();
        vm.assertEq(log.topics[0], 0x31acbebac9ada2d59453bc1cf2d7754930bc9864e227b2aa95d7bae470ffeb00);
        vm.assertEq(address(uint160(uint256(log.topics[1]))), Vectors.ACTOR);
        vm.assertEq(log.data, abi.encode(uint256(10)));
        (bool found, bytes32 hash) = actor.bottomUpCheckpointHashAtEpoch(10);
        vm.assertTrue(found);
        vm.assertEq(hash, Vectors.CHECKPOINT_10_HASH);
        _mustFail(Vectors.SUBMIT_10, abi.encodeWithSelector(BottomUpCheckpointAlreadySubmitted.selector));
        _mustFail(Vectors.EXEC_20, abi.encodeWithSelector(MissingBatchCommitment.selector));

        _must(address(0xbeef), Vectors.ACTOR, Vectors.SUBMIT_20);
        (, hash) = actor.bottomUpCheckpointHashAtEpoch(20);
        vm.assertEq(hash, Vectors.CHECKPOINT_20_HASH);
        ListPendingCommitmentsEntry[] memory list = actor.listPendingBottomUpBatchCommitments();
        vm.assertEq(list.length, 1);
        vm.assertEq(list[0].commitment.msgsRoot, Vectors.ROOT_20);

        // Two Results to the funder and a withdrawal of 7 tokens.
        _must(address(0xbeef), Vectors.ACTOR, Vectors.EXEC_20);
        vm.assertEq(flt.balanceOf(Vectors.RECEIVER), 7 ether);
        vm.assertEq(actor.listPendingBottomUpBatchCommitments().length, 0);
        (, uint64 nonce) = gateway.getAppliedBottomUpNonce(_id());
        vm.assertEq(nonce, 3);
        _mustFail(Vectors.EXEC_20, abi.encodeWithSelector(MissingBatchCommitment.selector));
    }

    function test_publishedSelectors() public pure {
        vm.assertEq(bytes32(IGateway.fund.selector), bytes32(bytes4(0x18f44b70)));
        vm.assertEq(bytes32(IGateway.fundWithToken.selector), bytes32(bytes4(0x0517e1aa)));
        vm.assertEq(bytes32(IGateway.sendContractXnetMessage.selector), bytes32(bytes4(0x2c85ec2c)));
        vm.assertEq(bytes32(IGateway.commitCheckpoint.selector), bytes32(bytes4(0x3e848a52)));
        vm.assertEq(bytes32(IGateway.execBottomUpMsgBatch.selector), bytes32(bytes4(0x1dd9f8f4)));
        vm.assertEq(bytes32(IGateway.getSubnet.selector), bytes32(bytes4(0xc66c66a1)));
        vm.assertEq(bytes32(IGateway.getTopDownNonce.selector), bytes32(bytes4(0x42398a9a)));
        vm.assertEq(bytes32(IGateway.getSubnetTopDownMsgsLength.selector), bytes32(bytes4(0x9d3070b5)));
        vm.assertEq(bytes32(IGateway.getAppliedBottomUpNonce.selector), bytes32(bytes4(0x38d66932)));
        vm.assertEq(bytes32(IGateway.getNetworkName.selector), bytes32(bytes4(0x94074b03)));
        vm.assertEq(bytes32(IGateway.approveSubnet.selector), bytes32(bytes4(0x0e2140e5)));
        vm.assertEq(bytes32(IGateway.register.selector), bytes32(bytes4(0xd66d6c10)));
        vm.assertEq(bytes32(ISubnetActor.submitCheckpoint.selector), bytes32(bytes4(0xf5dd3f3c)));
        vm.assertEq(bytes32(ISubnetActor.execBottomUpMsgBatch.selector), bytes32(bytes4(0xc95e8924)));
        vm.assertEq(bytes32(ISubnetActor.join.selector), bytes32(bytes4(0x3ae24713)));
        vm.assertEq(bytes32(ISubnetActor.preFund.selector), bytes32(bytes4(0x4d9013a1)));
        vm.assertEq(bytes32(ISubnetActor.stake.selector), bytes32(bytes4(0xa694fc3a)));
        vm.assertEq(bytes32(ISubnetActor.leave.selector), bytes32(bytes4(0xd66d9e19)));
        vm.assertEq(bytes32(ISubnetActor.bootstrapped.selector), bytes32(bytes4(0x35142c8c)));
        vm.assertEq(bytes32(ISubnetActor.supplySource.selector), bytes32(bytes4(0x80875df7)));
        vm.assertEq(bytes32(ISubnetActor.bottomUpCheckPeriod.selector), bytes32(bytes4(0x06c46853)));
        vm.assertEq(bytes32(ISubnetActor.getActiveValidators.selector), bytes32(bytes4(0x9de70258)));
        vm.assertEq(
            bytes32(ISubnetActor.listPendingBottomUpBatchCommitments.selector), bytes32(bytes4(0x698f5bf6))
        );
        vm.assertEq(
            bytes32(ISubnetActor.validateActiveQuorumSignatures.selector), bytes32(bytes4(0xcc2dc2b9))
        );
        vm.assertEq(bytes32(ISubnetActor.lastBottomUpCheckpointHeight.selector), bytes32(bytes4(0x72d0a0e0)));
        vm.assertEq(bytes32(ISubnetRegistry.newSubnetActor.selector), bytes32(bytes4(0xee693efa)));
    }

    function test_publishedTopics() public pure {
        vm.assertEq(
            ISubnetActor.NewPowerChangeRequest.selector,
            0x6ecf0379fc28d7df2aff3bd3a20f3c2dfa4253cd23b4afa4ec7e352846957466
        );
        vm.assertEq(
            ISubnetActor.SubnetBootstrapped.selector,
            0x4914d88063275a25a13b2df37125e216745d812f94c56504be4bd78cf60c9593
        );
        vm.assertEq(
            ISubnetActor.ConfigurationNumberConfirmed.selector,
            0x246f00b61ce672242f33bb680a47147cd54d3dfd04dbb76956ba42f88087bf63
        );
        vm.assertEq(
            ISubnetActor.NewCollateralRelease.selector,
            0x083b080788e20bd0930c2bca2ae4fbc51a59ced08c1b5992271f8cb439498a63
        );
        vm.assertEq(
            ISubnetActor.CollateralClaimed.selector,
            0x197c586353eaed0a1c53e6e540445b94befab8f932c8115d112115ecbeeed514
        );
        vm.assertEq(
            IGateway.SubnetDestroyed.selector,
            0x60dc29147d9c6e493f02de6d79356195ea83f691b55fddd559e933b41befe695
        );
        vm.assertEq(
            ISubnetRegistry.SubnetDeployed.selector,
            0x0431ea4d93af299b92f2c606ddcaf4b31cb0013c5ed1fdea837b8a912347c965
        );
    }

    function test_publishedErrorSelectors() public pure {
        vm.assertEq(bytes32(InvalidXnetMessage.selector), bytes32(bytes4(0xbc0f01cf)));
        vm.assertEq(bytes32(Quorum.InvalidSignatureErr.selector), bytes32(bytes4(0x282ef1c1)));
        vm.assertEq(bytes32(Quorum.SignatureAddressesNotSorted.selector), bytes32(bytes4(0x482fcef4)));
        vm.assertEq(bytes32(Quorum.DuplicateValidatorSignaturesFound.selector), bytes32(bytes4(0x05afb882)));
        vm.assertEq(bytes32(Quorum.NotValidator.selector), bytes32(bytes4(0xed3db8ac)));
        vm.assertEq(bytes32(BottomUpCheckpointAlreadySubmitted.selector), bytes32(bytes4(0xd6bb62dd)));
        vm.assertEq(bytes32(InvalidCheckpointEpoch.selector), bytes32(bytes4(0xfae4eadb)));
        vm.assertEq(bytes32(BatchMsgAlreadyExecuted.selector), bytes32(bytes4(0x98623180)));
        vm.assertEq(bytes32(MissingBatchCommitment.selector), bytes32(bytes4(0x5bf9e652)));
        vm.assertEq(bytes32(InvalidInclusionProof.selector), bytes32(bytes4(0xf35959c0)));
        vm.assertEq(bytes32(CannotConfirmFutureChanges.selector), bytes32(bytes4(0x0815540a)));
        vm.assertEq(bytes32(NotRegisteredSubnet.selector), bytes32(bytes4(0xe991abd0)));
        vm.assertEq(bytes32(SubnetNotFound.selector), bytes32(bytes4(0x00476ad8)));
        vm.assertEq(bytes32(InvalidSubnet.selector), bytes32(bytes4(0x076bb706)));
        vm.assertEq(bytes32(InvalidCheckpointSource.selector), bytes32(bytes4(0xfe72264e)));
        vm.assertEq(bytes32(InvalidSubnetActor.selector), bytes32(bytes4(0x6d5d4caa)));
        vm.assertEq(bytes32(NotAuthorized.selector), bytes32(bytes4(0x4a0bfec1)));
        vm.assertEq(bytes32(MethodNotAllowed.selector), bytes32(bytes4(0x015538b1)));
        vm.assertEq(bytes32(NotOwnerOfPublicKey.selector), bytes32(bytes4(0x97d24a3a)));
        vm.assertEq(bytes32(InvalidPublicKeyLength.selector), bytes32(bytes4(0x637297a4)));
    }
}
