// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {GatewayBase} from "../../src/subnet/GatewayBase.sol";
import {Lane} from "../../src/subnet/Lane.sol";
import {ParentStatements} from "../../src/subnet/ParentStatements.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

contract ConfigurationTest is SubnetFixture {
    // Golden checkpoint C of the wire format.
    bytes32 private constant CHECKPOINT_HASH =
        0xf938c90c8700992a0e688dacdb4db02c4c6c61491eb9259631818ebf5eb87e11;
    bytes32 private constant MSGS_ROOT = 0x4d0e534c925c2f417b6f13d4657583044a9e10779480e5a4d2e8d0b8c34353da;

    uint256 private newKey;
    address private newcomer;

    function setUp() public override {
        super.setUp();
        (newcomer, newKey) = makeAddrAndKey("newcomer");
    }

    /// @dev A join after bootstrap: metadata, then power.
    function _join() private returns (PowerChangeRequest[] memory list) {
        list = new PowerChangeRequest[](2);
        list[0] = _setKey(newcomer, publicKey(newKey));
        list[1] = _setPower(newcomer, 50 ether);
    }

    function _store(PowerChangeRequest[] memory list) private {
        _attestAll();
        gateway.deliverPowerChanges(list, _powerTail(list[list.length - 1].configurationNumber));
    }

    function _powerTail(uint64 last) private view returns (bytes32[] memory tail) {
        (uint64 pair,) = gateway.committedPowerChangesAt(last);
        tail = new bytes32[](pair - last);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = powerLeaves[last + i];
        }
    }

    function _weightOf(address who) private view returns (uint256) {
        Membership memory m = gateway.getCurrentMembership();
        for (uint256 i = 0; i < m.validators.length; ++i) {
            if (m.validators[i].addr == who) return m.validators[i].weight;
        }
        return 0;
    }

    // ---- storing changes

    function test_rule13_powerChangesHaveTheirOwnQueue() public {
        PowerChangeRequest[] memory list = _join();
        _transfer(BOB, 1 ether);
        _attestAll();
        // No message has been delivered; the changes do not wait for it.
        vm.expectEmit(AT);
        emit ISubnetGateway.PowerChangesStored(2);
        gateway.deliverPowerChanges(list, new bytes32[](0));
        vm.assertEq(gateway.storedConfigurationNumber(), 2);
        (uint64 number, bytes32 hash) = gateway.appliedPowerChanges();
        vm.assertEq(number, 2);
        vm.assertEq(hash, powerHashes[2]);
        vm.assertEq(gateway.appliedTopDownNonce(), 0);
        vm.assertEq(gateway.appliedConfigurationNumber(), 0);
        vm.assertEq(_weightOf(newcomer), 0);
    }

    function test_rule12_powerChangesComeInPrefixesOnce() public {
        PowerChangeRequest[] memory list = new PowerChangeRequest[](5);
        for (uint256 i = 0; i < 5; ++i) {
            list[i] = _setPower(newcomer, i);
        }
        _attest(_statement(0, 3));
        PowerChangeRequest[] memory two = new PowerChangeRequest[](2);
        (two[0], two[1]) = (list[0], list[1]);
        bytes32[] memory tail = _powerTail(2);
        _attest(_statement(0, 5));
        gateway.deliverPowerChanges(two, tail);
        vm.assertEq(gateway.storedConfigurationNumber(), 2);
        gateway.deliverPowerChanges(two, tail);
        vm.assertEq(gateway.storedConfigurationNumber(), 2);
        // Stored ones are skipped unhashed.
        list[0].change.validator = BOB;
        gateway.deliverPowerChanges(list, new bytes32[](0));
        vm.assertEq(gateway.storedConfigurationNumber(), 5);
        gateway.deliverPowerChanges(list, new bytes32[](0));
        gateway.deliverPowerChanges(new PowerChangeRequest[](0), new bytes32[](0));
        vm.assertEq(gateway.storedConfigurationNumber(), 5);
    }

    function test_rule12_powerChangesMustBeProvenAndWithoutGap() public {
        PowerChangeRequest[] memory list = _join();
        vm.expectRevert(abi.encodeWithSelector(Lane.NotCommitted.selector, 2));
        gateway.deliverPowerChanges(list, new bytes32[](0));
        _attestAll();
        PowerChangeRequest[] memory second = new PowerChangeRequest[](1);
        second[0] = list[1];
        vm.expectRevert(abi.encodeWithSelector(Lane.Gap.selector, 1, 2));
        gateway.deliverPowerChanges(second, new bytes32[](0));
        list[1] = PowerChangeRequest(PowerChange(PowerOperation.SetPower, abi.encode(51 ether), newcomer), 2);
        vm.expectRevert(abi.encodeWithSelector(Lane.NotProven.selector, 2));
        gateway.deliverPowerChanges(list, new bytes32[](0));
        vm.assertEq(gateway.storedConfigurationNumber(), 0);
    }

    // ---- applying them

    function test_rule20_theSetSwitchesOnTheCheckpointThatTheOldSetSigned() public {
        _store(_join());
        BottomUpCheckpoint memory c = _checkpoint(2);
        (address[] memory who, bytes[] memory sigs) = _sign(keccak256(abi.encode(c)), 14);
        vm.expectEmit(AT);
        emit ISubnetGateway.ConfigurationApplied(2);
        vm.prank(BOB);
        gateway.applyConfiguration(c, who, sigs);
        vm.assertEq(gateway.appliedConfigurationNumber(), 2);
        vm.assertEq(_weightOf(newcomer), 50 ether);

        // Statements now carry the new configuration and count the new power.
        ParentFinality memory s = _statement(0, 2);
        vm.assertEq(s.signerConfig, 2);
        (who, sigs) = _sign(_digest(s), 15); // 100 of 150
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.commitParentFinality(s, who, sigs);
        s.signerConfig = 0;
        (who, sigs) = _sign(_digest(s), 15);
        vm.expectRevert(GatewayBase.InvalidConfigurationNumber.selector);
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_rule20_membershipIsAnnounced() public {
        _store(_join());
        Membership memory want = gateway.getCurrentMembership();
        Validator[] memory all = new Validator[](5);
        for (uint256 i = 0; i < 4; ++i) {
            all[i] = want.validators[i];
        }
        all[4] = Validator(50 ether, newcomer, publicKey(newKey));
        vm.expectEmit(AT);
        emit ISubnetGateway.MembershipUpdated(Membership(all, 2));
        _configure(2);
        vm.assertEq(
            keccak256(abi.encode(gateway.getCurrentMembership())), keccak256(abi.encode(Membership(all, 2)))
        );
    }

    function test_rule20_onlyNumbersAboveTheAppliedAndUpToTheStored() public {
        _store(_join());
        for (uint64 n = 0; n < 4; n += 3) {
            BottomUpCheckpoint memory c = _checkpoint(n);
            (address[] memory who, bytes[] memory sigs) = _sign(keccak256(abi.encode(c)), 15);
            vm.expectRevert(GatewayBase.InvalidConfigurationNumber.selector);
            gateway.applyConfiguration(c, who, sigs);
        }
        _configure(1);
        BottomUpCheckpoint memory again = _checkpoint(1);
        (address[] memory w, bytes[] memory g) = _sign(keccak256(abi.encode(again)), 15);
        vm.expectRevert(GatewayBase.InvalidConfigurationNumber.selector);
        gateway.applyConfiguration(again, w, g);
        vm.assertEq(_weightOf(newcomer), 0);
        _configure(2);
        vm.assertEq(_weightOf(newcomer), 50 ether);
    }

    function test_rule20_needsAQuorumOfTheCurrentSetOnThisSubnetsCheckpoint() public {
        _store(_join());
        BottomUpCheckpoint memory c = _checkpoint(2);
        (address[] memory who, bytes[] memory sigs) = _sign(keccak256(abi.encode(c)), 9); // 50 %
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.applyConfiguration(c, who, sigs);
        (who, sigs) = _sign(keccak256(abi.encode(c)), 15);
        c.blockHeight += PERIOD;
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.applyConfiguration(c, who, sigs);
        c = _checkpoint(2);
        c.subnetID.root += 1;
        (who, sigs) = _sign(keccak256(abi.encode(c)), 15);
        vm.expectRevert(GatewayBase.InvalidSubnet.selector);
        gateway.applyConfiguration(c, who, sigs);
        c.subnetID = SubnetID(ROOT, new address[](2));
        c.subnetID.route[0] = ACTOR;
        (who, sigs) = _sign(keccak256(abi.encode(c)), 15);
        vm.expectRevert(GatewayBase.InvalidSubnet.selector);
        gateway.applyConfiguration(c, who, sigs);
        // The newcomer's own signature counts for nothing yet.
        c = _checkpoint(2);
        who = new address[](1);
        sigs = new bytes[](1);
        who[0] = newcomer;
        sigs[0] = signature(newKey, keccak256(abi.encode(c)));
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, newcomer));
        gateway.applyConfiguration(c, who, sigs);
    }

    /// @dev The hash that validators sign is that of the published contracts.
    function test_rule20_golden_checkpointHash() public {
        _store(_join());
        BottomUpCheckpoint memory c;
        c.subnetID = _subnet();
        c.blockHeight = 300;
        c.blockHash = 0x1111111111111111111111111111111111111111111111111111111111111111;
        c.nextConfigurationNumber = 2;
        c.msgs = Commitment(3, MSGS_ROOT);
        c.activity.consensus.stats = AggregatedStats(1, 10);
        c.activity.consensus.dataRootCommitment =
        0x2222222222222222222222222222222222222222222222222222222222222222;
        (address[] memory who, bytes[] memory sigs) = _sign(CHECKPOINT_HASH, 15);
        gateway.applyConfiguration(c, who, sigs);
        vm.assertEq(gateway.appliedConfigurationNumber(), 2);
    }

    function test_rule20_aLeaverWhoSignedMayNotSignAgain() public {
        PowerChangeRequest[] memory list = new PowerChangeRequest[](1);
        address leaver = vm.addr(keys[3]);
        list[0] = _setPower(leaver, 0);
        _store(list);
        _configure(1);
        vm.assertEq(_weightOf(leaver), 0);
        ParentFinality memory s = _statement(0, 1);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, leaver));
        gateway.commitParentFinality(s, who, sigs);
        (who, sigs) = _sign(_digest(s), 7);
        gateway.commitParentFinality(s, who, sigs);
    }

    /// @dev However many changes a configuration has, it fits transactions: the
    /// same call again goes on, and nobody needs to sign again.
    function test_rule20_aVeryLongConfigurationIsAppliedInParts() public {
        PowerChangeRequest[] memory list = new PowerChangeRequest[](150);
        for (uint256 i = 0; i < 150; ++i) {
            list[i] = _setPower(vm.addr(keys[i % 4]), 10 ether + i);
        }
        _store(list);
        BottomUpCheckpoint memory c = _checkpoint(150);
        BottomUpCheckpoint memory other = _checkpoint(149);
        (address[] memory who, bytes[] memory sigs) = _sign(keccak256(abi.encode(c)), 15);
        (address[] memory whoElse, bytes[] memory otherSigs) = _sign(keccak256(abi.encode(other)), 15);
        ParentFinality memory s = _statement(0, 150);
        (address[] memory signers, bytes[] memory signed) = _sign(_digest(s), 15);

        vm.expectEmit(AT);
        emit ParentStatements.ConfigurationProgress(150, 64);
        gateway.applyConfiguration(c, who, sigs);
        vm.assertEq(gateway.appliedConfigurationNumber(), 0);
        (uint64 goal, uint64 upTo) = gateway.configurationInProgress();
        vm.assertEq(goal, 150);
        vm.assertEq(upTo, 64);

        // Neither a statement nor another configuration comes in between.
        bytes memory busy = abi.encodeWithSelector(ParentStatements.ConfigurationInProgress.selector, 150);
        vm.expectRevert(busy);
        gateway.commitParentFinality(s, signers, signed);
        vm.expectRevert(busy);
        gateway.applyConfiguration(other, whoElse, otherSigs);

        gateway.applyConfiguration(c, new address[](0), new bytes[](0));
        gateway.applyConfiguration(c, who, sigs);
        vm.assertEq(gateway.appliedConfigurationNumber(), 150);
        (goal,) = gateway.configurationInProgress();
        vm.assertEq(goal, 0);
        for (uint256 i = 146; i < 150; ++i) {
            vm.assertEq(_weightOf(vm.addr(keys[i % 4])), 10 ether + i);
        }
        _attestAll();
    }

    // ---- what a bad change does

    function test_rule18_aBadKeyMeansNoPower() public {
        PowerChangeRequest[] memory list = new PowerChangeRequest[](1);
        address v = vm.addr(keys[0]);
        list[0] = _setKey(v, publicKey(keys[1]));
        _store(list);
        _configure(1);
        vm.assertEq(_weightOf(v), 0);
        vm.assertEq(gateway.getCurrentMembership().validators.length, 3);
        // With its key back it counts as before.
        list[0] = _setKey(v, publicKey(keys[0]));
        keys[0] = keys[3];
        keys.pop(); // three sign: indices 1, 2, 3 of the old order
        (keys[0], keys[1], keys[2]) = (keys[1], keys[2], keys[0]);
        _store(list);
        _configure(2);
        vm.assertEq(_weightOf(v), 10 ether);
    }

    function test_rule18_theChangeThatWouldEmptyTheSetIsDeferred() public {
        PowerChangeRequest[] memory list = new PowerChangeRequest[](4);
        for (uint256 i = 0; i < 4; ++i) {
            list[i] = _setPower(vm.addr(keys[i]), 0);
        }
        _store(list);
        _configure(4);
        vm.assertEq(gateway.appliedConfigurationNumber(), 4);
        Membership memory m = gateway.getCurrentMembership();
        vm.assertEq(m.validators.length, 1);
        address last = vm.addr(keys[3]);
        vm.assertEq(m.validators[0].addr, last);

        // It still speaks for the subnet; once another has power, the next
        // application lets it go.
        keys[0] = keys[3];
        while (keys.length > 1) {
            keys.pop();
        }
        _store(_join());
        _configure(6);
        vm.assertEq(_weightOf(newcomer), 50 ether);
        vm.assertEq(_weightOf(last), 40 ether);
        keys.push(newKey);
        if (newcomer < last) (keys[0], keys[1]) = (keys[1], keys[0]);
        list = new PowerChangeRequest[](1);
        list[0] = _setPower(newcomer, 51 ether);
        _store(list);
        _configure(7);
        vm.assertEq(_weightOf(last), 0);
        vm.assertEq(_weightOf(newcomer), 51 ether);
    }

    function test_rule18_malformedPayloadsAreIgnored() public {
        bytes32 before = keccak256(abi.encode(gateway.getCurrentMembership().validators));
        PowerChangeRequest[] memory list = new PowerChangeRequest[](4);
        address v = vm.addr(keys[0]);
        list[0] = _change(PowerOperation.SetPower, v, "");
        list[1] = _change(PowerOperation.SetPower, v, new bytes(31));
        list[2] = _change(PowerOperation.SetPower, v, new bytes(64));
        list[3] = _change(PowerOperation.SetMetadata, BOB, new bytes(3000));
        _store(list);
        _configure(4);
        vm.assertEq(keccak256(abi.encode(gateway.getCurrentMembership().validators)), before);
    }
}
