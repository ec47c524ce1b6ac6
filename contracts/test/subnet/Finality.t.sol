// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {GatewayBase} from "../../src/subnet/GatewayBase.sol";
import {ParentStatements} from "../../src/subnet/ParentStatements.sol";
import {SubnetGateway} from "../../src/subnet/SubnetGateway.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

contract FinalityTest is SubnetFixture {
    function _commitAs(ParentFinality memory s, uint256 mask) private {
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), mask);
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_genesis_readsAsItWasWritten() public {
        SubnetID memory name = gateway.getNetworkName();
        vm.assertEq(name.root, ROOT);
        vm.assertEq(name.route[0], ACTOR);
        vm.assertEq(gateway.bottomUpCheckPeriod(), PERIOD);
        vm.assertEq(gateway.majorityPercentage(), 67);
        vm.assertEq(int256(gateway.powerScale()), 3);
        vm.assertEq(gateway.salt(), SALT);
        vm.assertEq(gateway.exitFee(), FEE);
        vm.assertEq(gateway.deliverReward(), REWARD);
        vm.assertEq(gateway.minRelease(), 1000);
        vm.assertEq(gateway.maxMsgsPerPeriod(), 200);
        vm.assertEq(gateway.messageGas(), GAS);
        vm.assertEq(gateway.circSupply(), PREFUND);
        (uint64 nonce, bytes32 hash) = gateway.appliedTopDown();
        vm.assertEq(nonce, 0);
        vm.assertEq(hash, SALT);
        (nonce, hash) = gateway.appliedPowerChanges();
        vm.assertEq(nonce, 0);
        vm.assertEq(hash, SALT);
        Membership memory m = gateway.getCurrentMembership();
        vm.assertEq(m.validators.length, 4);
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(m.validators[i].addr, vm.addr(keys[i]));
            vm.assertEq(m.validators[i].weight, 10 ether * (i + 1));
            vm.assertEq(m.validators[i].metadata, publicKey(keys[i]));
        }
    }

    function test_genesis_refusesWhatCouldNotWork() public {
        ISubnetGateway.Genesis memory g = _genesis();
        g.majorityPercentage = 66;
        _refused(g);
        g = _genesis();
        g.majorityPercentage = 101;
        _refused(g);
        g = _genesis();
        g.networkName.route = new address[](2);
        _refused(g);
        g = _genesis();
        g.networkName.route[0] = address(0);
        _refused(g);
        g = _genesis();
        g.rootGateway = address(0);
        _refused(g);
        g = _genesis();
        g.bottomUpCheckPeriod = 0;
        _refused(g);
        g = _genesis();
        g.messageGas = 0;
        _refused(g);
        g = _genesis();
        g.powerScale = 19;
        _refused(g);
        g = _genesis();
        g.powerScale = -37;
        _refused(g);
        g = _genesis();
        g.circSupply = 2 ** 128;
        _refused(g);
        g = _genesis();
        g.exitFee = 2 ** 96;
        _refused(g);
        g = _genesis();
        g.validators = new Validator[](0);
        _refused(g);
    }

    function _refused(ISubnetGateway.Genesis memory g) private {
        vm.expectRevert(GatewayBase.BadGenesis.selector);
        new SubnetGateway(g);
    }

    function test_rule5_domainBindsChainContractAndSalt() public {
        bytes32 typeHash = keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
        );
        bytes32 name = keccak256("Causeway");
        bytes32 version = keccak256("1");
        vm.assertEq(
            gateway.domainSeparator(), keccak256(abi.encode(typeHash, name, version, block.chainid, AT, SALT))
        );
        // The constructor ran on another chain at another address: the domain
        // follows the chain the contract lives on.
        vm.chainId(777);
        vm.assertEq(
            gateway.domainSeparator(), keccak256(abi.encode(typeHash, name, version, uint256(777), AT, SALT))
        );
    }

    function test_rule5_aStatementOfAnotherChainIsRefused() public {
        ParentFinality memory s = _statement(0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.chainId(777);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_rule6_aQuorumIsRecorded() public {
        _transfer(BOB, 1 ether);
        _setPower(BOB, 1);
        ParentFinality memory s = _statement(1, 1);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.expectEmit(AT);
        emit ISubnetGateway.ParentFinalityCommitted(1, s.parentHash, 1, 1);
        gateway.commitParentFinality(s, who, sigs);

        vm.assertEq(keccak256(abi.encode(gateway.latestParentFinality())), keccak256(abi.encode(s)));
        (uint256 height, bytes32 parent) = gateway.getLatestParentFinality();
        vm.assertEq(height, 1);
        vm.assertEq(parent, s.parentHash);
        vm.assertEq(bytes32(ISubnetGateway.getLatestParentFinality.selector), bytes32(bytes4(0x0338150f)));
        (uint64 nonce, bytes32 hash) = gateway.committedTopDownAt(1);
        vm.assertEq(nonce, 1);
        vm.assertEq(hash, topHashes[1]);
        (nonce, hash) = gateway.committedPowerChangesAt(1);
        vm.assertEq(nonce, 1);
        vm.assertEq(hash, powerHashes[1]);
        (nonce, hash) = gateway.committedTopDownAt(2);
        vm.assertEq(nonce, 0);
        vm.assertEq(hash, bytes32(0));
    }

    function test_rule6_signerConfigMustBeTheAppliedOne() public {
        ParentFinality memory s = _statement(0, 0);
        s.signerConfig = 1;
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.expectRevert(GatewayBase.InvalidConfigurationNumber.selector);
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_rule6_heightMustRise() public {
        ParentFinality memory s = _statement(0, 0);
        s.parentHeight = 5;
        _commitAs(s, 15);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.expectRevert(GatewayBase.ParentFinalityAlreadyCommitted.selector);
        gateway.commitParentFinality(s, who, sigs);
        s.parentHeight = 4;
        (who, sigs) = _sign(_digest(s), 15);
        vm.expectRevert(GatewayBase.ParentFinalityAlreadyCommitted.selector);
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_rule6_noncesMustNotFallAndEqualNoncesNeedEqualHashes() public {
        _transfer(BOB, 1 ether);
        _setPower(BOB, 1);
        _attestAll();
        ParentFinality memory s = _statement(0, 1);
        _contradicts(s);
        s = _statement(1, 0);
        _contradicts(s);
        s = _statement(1, 1);
        s.topDownHash = bytes32(uint256(1));
        _contradicts(s);
        s = _statement(1, 1);
        s.powerChangeHash = bytes32(uint256(1));
        _contradicts(s);
        _commitAs(_statement(1, 1), 15);
    }

    function _contradicts(ParentFinality memory s) private {
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.expectRevert(ParentStatements.ContradictsFinality.selector);
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_rule6_beforeAnyMessageTheHashIsTheSalt() public {
        ParentFinality memory s = _statement(0, 0);
        s.topDownHash = bytes32(0);
        _contradicts(s);
    }

    function test_rule6_signatoriesStrictlyAscend() public {
        ParentFinality memory s = _statement(0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        (who[0], who[1]) = (who[1], who[0]);
        (sigs[0], sigs[1]) = (sigs[1], sigs[0]);
        vm.expectRevert(Quorum.SignatureAddressesNotSorted.selector);
        gateway.commitParentFinality(s, who, sigs);
        who[0] = who[1];
        sigs[0] = sigs[1];
        vm.expectRevert(Quorum.DuplicateValidatorSignaturesFound.selector);
        gateway.commitParentFinality(s, who, sigs);
    }

    function test_rule6_strangersAndForgeriesAreRefused() public {
        ParentFinality memory s = _statement(0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        bytes memory good = sigs[3];
        sigs[3] = signature(keys[0], _digest(s));
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.commitParentFinality(s, who, sigs);
        sigs[3] = hex"00";
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 4));
        gateway.commitParentFinality(s, who, sigs);
        sigs[3] = good;
        s.parentHash = bytes32(0);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 3));
        gateway.commitParentFinality(s, who, sigs);

        s = _statement(0, 0);
        (address stranger, uint256 key) = makeAddrAndKey("stranger");
        who = new address[](1);
        sigs = new bytes[](1);
        who[0] = stranger;
        sigs[0] = signature(key, _digest(s));
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, stranger));
        gateway.commitParentFinality(s, who, sigs);

        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 2));
        gateway.commitParentFinality(s, new address[](0), new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 1));
        gateway.commitParentFinality(s, new address[](2), sigs);
    }

    /// @dev Every subset of the four validators, against the two conditions.
    function test_rule22_twoThirdsAndTheSubnetsMajority() public {
        uint256[4] memory weights = [uint256(10), 20, 30, 40];
        for (uint256 mask = 1; mask < 16; ++mask) {
            uint256 weight = 0;
            for (uint256 i = 0; i < 4; ++i) {
                if (mask >> i & 1 == 1) weight += weights[i];
            }
            uint256 snapshot = vm.snapshotState();
            ParentFinality memory s = _statement(0, 0);
            (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), mask);
            if (weight < 67) vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
            gateway.commitParentFinality(s, who, sigs);
            vm.revertToState(snapshot);
        }
    }

    function test_rule22_aHigherMajorityBinds() public {
        ISubnetGateway.Genesis memory g = _genesis();
        g.majorityPercentage = 91;
        gateway = _place(g);
        ParentFinality memory s = _statement(0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 14); // 90 %
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.commitParentFinality(s, who, sigs);
        _commitAs(s, 15);
    }

    function test_rule12_aStatementIsBounded() public {
        ParentFinality memory s = _statement(0, 0);
        s.topDownNonce = 1025;
        s.topDownHash = keccak256("far");
        _tooLong(s);
        s.topDownNonce = 1024;
        s.powerChangeNonce = 257;
        s.powerChangeHash = keccak256("far");
        _tooLong(s);
        s.powerChangeNonce = 256;
        _commitAs(s, 15);
        // Counted from the previous statement, not from what was applied.
        s.signerConfig = 0;
        s.parentHeight += 1;
        s.topDownNonce += 1024;
        s.powerChangeNonce += 256;
        _commitAs(s, 15);
    }

    function _tooLong(ParentFinality memory s) private {
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 15);
        vm.expectRevert(ParentStatements.StatementTooLong.selector);
        gateway.commitParentFinality(s, who, sigs);
    }
}

contract EqualValidatorsTest is SubnetFixture {
    function _validators() internal pure override returns (uint256) {
        return 3;
    }

    function _genesis() internal override returns (ISubnetGateway.Genesis memory g) {
        g = super._genesis();
        for (uint256 i = 0; i < 3; ++i) {
            g.validators[i].weight = 5 ether;
        }
    }

    function test_rule22_exactlyTwoThirdsIsNotEnough() public {
        ParentFinality memory s = _statement(0, 0);
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), 3);
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        gateway.commitParentFinality(s, who, sigs);
        (who, sigs) = _sign(_digest(s), 7);
        gateway.commitParentFinality(s, who, sigs);
    }
}
