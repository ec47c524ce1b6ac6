// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISubnetActor} from "../../src/interfaces/ISubnetActor.sol";
import "../../src/ipc/Errors.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import "../../src/ipc/Types.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {SubnetRegistry} from "../../src/root/SubnetRegistry.sol";
import {Vm} from "../Base.sol";
import {OddToken} from "./Recipients.sol";
import {RootFixture} from "./RootFixture.sol";

contract Gater {
    bool public closed;

    function close(bool yes) external {
        closed = yes;
    }

    function interceptPowerDelta(SubnetID memory, address, uint256, uint256) external view {
        require(!closed, "closed");
    }
}

contract ValidatorsTest is RootFixture {
    uint256 internal constant NEW_KEY = 0xa11ce;
    address internal newcomer = vm.addr(NEW_KEY);

    /// @dev A new subnet that nobody joined yet.
    function _fresh(SubnetParams memory p) internal {
        actor = new SubnetActor(p, address(this));
        gateway.approveSubnet(address(actor));
    }

    function _freshDefault() internal {
        _fresh(_params(PermissionMode.Collateral, address(flt), address(0)));
    }

    function _join10(uint256 key) internal {
        _join(key, 10 ether);
    }

    function _tryJoin(address who, bytes memory key, uint256 amount, bytes memory err) internal {
        vm.deal(who, who.balance + amount);
        vm.prank(who);
        // forge-lint: disable-next-line(unsafe-typecast)
        if (err.length == 4) vm.expectPartialRevert(bytes4(err));
        else vm.expectRevert(err);
        actor.join{value: amount}(key, amount);
    }

    function _sel(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector);
    }

    /// @dev Folds the power changes in the logs and compares with the actor.
    function _checkRolling(bytes32 before, uint64 count) internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bytes32 hash = before;
        uint64 seen;
        uint64 number;
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] != ISubnetActor.NewPowerChangeRequest.selector) continue;
            PowerChangeRequest memory r;
            (r.change.op, r.change.validator, r.change.payload, r.configurationNumber) =
                abi.decode(logs[i].data, (PowerOperation, address, bytes, uint64));
            hash = keccak256(abi.encodePacked(hash, keccak256(abi.encode(r))));
            number = r.configurationNumber;
            seen++;
        }
        vm.assertEq(seen, count);
        (uint64 highest, bytes32 stored) = actor.powerChangeHash();
        vm.assertEq(stored, hash);
        vm.assertEq(highest, number);
    }

    // ---- joining

    function test_rule18_joinDemandsTheCallersOwnKey() public {
        _freshDefault();
        bytes memory good = publicKey(NEW_KEY);
        bytes memory bad = bytes.concat(good);
        bad[0] = 0x02;
        _tryJoin(newcomer, bad, 10 ether, _sel(InvalidPublicKey.selector));
        bad = bytes.concat(good);
        bad[40] ^= 0x01;
        _tryJoin(newcomer, bad, 10 ether, _sel(InvalidPublicKey.selector)); // off the curve
        _tryJoin(newcomer, bytes.concat(good, hex"00"), 10 ether, _sel(InvalidPublicKeyLength.selector));
        _tryJoin(newcomer, "", 10 ether, _sel(InvalidPublicKeyLength.selector));
        _tryJoin(newcomer, publicKey(77), 10 ether, _sel(NotOwnerOfPublicKey.selector)); // another's
        _join10(NEW_KEY);
        _tryJoin(newcomer, good, 10 ether, abi.encodePacked(MethodNotAllowed.selector)); // unique
        Validator[] memory all = actor.getValidators();
        vm.assertEq(all.length, 1);
        vm.assertEq(all[0].metadata, good);
        vm.assertEq(all[0].weight, 10 ether);
    }

    function testFuzz_rule18_noOtherBytesJoin(bytes memory key) public {
        _freshDefault();
        vm.deal(newcomer, 10 ether);
        vm.prank(newcomer);
        vm.expectRevert();
        actor.join{value: 10 ether}(key, 10 ether);
    }

    function test_joinTakesExactlyTheAmount() public {
        _freshDefault();
        bytes memory key = publicKey(NEW_KEY);
        vm.deal(newcomer, 100 ether);
        vm.startPrank(newcomer);
        vm.expectRevert(NotEnoughFunds.selector);
        actor.join{value: 9 ether}(key, 10 ether);
        vm.expectRevert(NotEnoughFunds.selector);
        actor.join{value: 11 ether}(key, 10 ether);
        vm.expectRevert(CollateralIsZero.selector);
        actor.join(key, 0);
        vm.expectRevert(NotEnoughCollateral.selector); // dust fills no seats
        actor.join{value: 1 ether - 1}(key, 1 ether - 1);
        vm.stopPrank();
    }

    function test_theSubnetBootstrapsAtItsThresholds() public {
        _freshDefault();
        for (uint256 i = 0; i < 3; i++) {
            _join(keys[i], 100 ether);
            vm.assertFalse(actor.bootstrapped()); // too few
        }
        vm.assertEq(address(actor).balance, 300 ether);
        _join(keys[3], 5 ether);
        vm.assertTrue(actor.bootstrapped());
        vm.assertEq(actor.bootstrapBlock(), block.number);
        vm.assertEq(address(actor).balance, 0);
        (bool found, Subnet memory s) = gateway.getSubnet(subnetId());
        vm.assertTrue(found);
        vm.assertEq(s.stake, 305 ether);
        vm.assertEq(s.genesisEpoch, block.number);
        vm.assertEq(actor.genesisValidators().length, 4);
        vm.assertEq(actor.getTotalPower(), 305 ether);
    }

    function test_collateralMovesFreelyBeforeTheBootstrap() public {
        _freshDefault();
        _join(keys[0], 10 ether);
        address who = vm.addr(keys[0]);
        vm.deal(who, 5 ether);
        vm.startPrank(who);
        actor.stake{value: 5 ether}(5 ether);
        vm.assertEq(actor.getTotalPower(), 15 ether);
        actor.unstake(3 ether);
        vm.assertEq(who.balance, 3 ether);
        vm.expectRevert(NotEnoughCollateral.selector);
        actor.unstake(12 ether);
        vm.expectRevert(NotEnoughCollateral.selector);
        actor.unstake(11.5 ether);
        actor.leave();
        vm.assertEq(who.balance, 15 ether);
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, who));
        actor.leave();
        vm.stopPrank();
        vm.assertEq(actor.getValidators().length, 0);
        _join(keys[0], 10 ether); // may come back
    }

    function test_prefundedSupplyIsInGenesisAndLocked() public {
        _freshDefault();
        vm.startPrank(alice);
        flt.approve(address(actor), type(uint256).max);
        vm.expectRevert(NotEnoughFunds.selector);
        actor.preFund(0);
        actor.preFund(30 ether);
        actor.preFund(20 ether);
        actor.preRelease(10 ether);
        vm.expectRevert(NotEnoughBalance.selector);
        actor.preRelease(41 ether);
        vm.stopPrank();
        flt.mint(bob, 7 ether);
        vm.startPrank(bob);
        flt.approve(address(actor), 7 ether);
        actor.preFund(7 ether);
        actor.preRelease(7 ether);
        flt.approve(address(actor), 1);
        actor.preFund(1);
        vm.stopPrank();
        _joinAll();
        vm.expectRevert(SubnetAlreadyBootstrapped.selector);
        vm.prank(alice);
        actor.preFund(1 ether);
        vm.expectRevert(SubnetAlreadyBootstrapped.selector);
        vm.prank(alice);
        actor.preRelease(1 ether);
        (address[] memory who, uint256[] memory much) = actor.genesisBalances();
        vm.assertEq(who.length, 2);
        vm.assertEq(who[0], alice);
        vm.assertEq(much[0], 40 ether);
        vm.assertEq(who[1], bob);
        vm.assertEq(much[1], 1);
        vm.assertEq(circ(), 40 ether + 1);
        vm.assertEq(counters().preFunded, 40 ether + 1);
        vm.assertEq(flt.balanceOf(address(gateway)), 40 ether + 1);
    }

    // ---- the recorded start

    function test_rule5_noPowerChangesBeforeTheBootstrapIsRecorded() public {
        _freshDefault();
        _joinAll();
        bytes memory key = publicKey(NEW_KEY);
        _tryJoin(newcomer, key, 10 ether, _sel(BootstrapNotRecorded.selector));
        vm.startPrank(vm.addr(keys[0]));
        vm.expectRevert(BootstrapNotRecorded.selector);
        actor.unstake(1 ether);
        vm.expectRevert(BootstrapNotRecorded.selector);
        actor.leave();
        vm.stopPrank();
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 0);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(BootstrapNotRecorded.selector);
        actor.submitCheckpoint(c, a, s);
        _record();
        _join10(NEW_KEY);
    }

    function test_rule5_theBootstrapIsRecordedInALaterBlockWithin256() public {
        _freshDefault();
        vm.expectRevert(SubnetNotBootstrapped.selector);
        actor.recordBootstrap();
        vm.expectRevert(SubnetNotBootstrapped.selector);
        actor.reannounceBootstrap();
        _joinAll();
        uint256 at = block.number;
        vm.expectRevert(BootstrapTooEarly.selector);
        actor.recordBootstrap();
        vm.roll(at + 256);
        vm.expectRevert(BootstrapWindowOpen.selector);
        actor.reannounceBootstrap();
        uint256 id = vm.snapshotState();
        vm.prank(anyone);
        actor.recordBootstrap(); // the last moment
        vm.assertNotEq(actor.bootstrapSalt(), bytes32(0));

        vm.revertToState(id);
        vm.roll(at + 257);
        vm.expectRevert(BootstrapWindowMissed.selector);
        actor.recordBootstrap();
        // Announced again, equivalently; then it counts from here.
        Validator[] memory genesis = actor.genesisValidators();
        vm.expectEmit(address(actor));
        emit ISubnetActor.SubnetBootstrapped(genesis);
        vm.prank(anyone);
        actor.reannounceBootstrap();
        vm.assertEq(actor.bootstrapBlock(), at + 257);
        vm.expectRevert(BootstrapTooEarly.selector);
        actor.recordBootstrap();
        vm.roll(at + 258);
        actor.recordBootstrap();
        vm.assertEq(
            actor.bootstrapSalt(),
            keccak256(abi.encode(block.chainid, address(gateway), address(actor), blockhash(at + 257)))
        );
    }

    // ---- changes of a running subnet

    function test_aJoinIsPublishedAtOnceAndCountsOnceConfirmed() public {
        (, bytes32 before) = actor.powerChangeHash();
        vm.assertEq(before, actor.bootstrapSalt());
        vm.recordLogs();
        _join10(NEW_KEY);
        _checkRolling(before, 2); // metadata, then power
        vm.assertEq(actor.getActiveValidators().length, 4);
        vm.assertEq(actor.getTotalPower(), 100 ether);
        (uint256 confirmed, uint256 requested,) = actor.powerOf(newcomer);
        vm.assertEq(confirmed, 0);
        vm.assertEq(requested, 10 ether);
        (uint64 next, uint64 start) = actor.getConfigurationNumbers();
        vm.assertEq(next, 3);
        vm.assertEq(start, 1);
        (, Subnet memory s) = gateway.getSubnet(subnetId());
        vm.assertEq(s.stake, 110 ether);

        _submit(1); // the key alone
        vm.assertEq(actor.getActiveValidators().length, 4);
        _submit(2);
        vm.assertEq(actor.getActiveValidators().length, 5);
        vm.assertEq(actor.getTotalPower(), 110 ether);
        (next, start) = actor.getConfigurationNumbers();
        vm.assertEq(start, 3);
    }

    function test_publishedConfirmationNumbers() public {
        _join10(NEW_KEY);
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 3);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(CannotConfirmFutureChanges.selector);
        actor.submitCheckpoint(c, a, s);
        c.nextConfigurationNumber = 2;
        (a, s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectEmit(address(actor));
        emit ISubnetActor.ConfigurationNumberConfirmed(2);
        actor.submitCheckpoint(c, a, s);
        height = PERIOD;
        _submit(1); // old numbers change nothing
        _submit(0);
        vm.assertEq(actor.getTotalPower(), 110 ether);
    }

    function test_theOldSetSignsTheCheckpointThatEndsIt() public {
        // A newcomer with most of the power, who has not signed.
        _join(NEW_KEY, 1000 ether);
        _submit(2);
        BottomUpCheckpoint memory c = checkpointAt(height + PERIOD, 0);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(abi.encodeWithSelector(Quorum.InvalidSignatureErr.selector, 5));
        actor.submitCheckpoint(c, a, s);
    }

    function test_collateralIsClaimableOnlyOnceConfirmed() public {
        address who = vm.addr(keys[0]);
        uint256 had = weightOf[who];
        vm.startPrank(who);
        actor.unstake(4 ether);
        vm.expectRevert(NoCollateralToWithdraw.selector);
        actor.claim();
        vm.stopPrank();
        vm.assertEq(actor.getTotalPower(), 100 ether); // still counts
        vm.expectEmit(address(actor));
        emit ISubnetActor.NewCollateralRelease(who, 4 ether, block.number);
        this.submit(1);
        height += PERIOD;
        vm.assertEq(actor.getTotalPower(), 96 ether);
        vm.assertEq(actor.claimable(who), 4 ether);
        vm.startPrank(who);
        actor.claim();
        vm.assertEq(who.balance, 4 ether);
        vm.expectRevert(NoCollateralToWithdraw.selector);
        actor.claim();
        vm.stopPrank();
        (uint256 confirmed,,) = actor.powerOf(who);
        vm.assertEq(confirmed, had - 4 ether);
        (, Subnet memory s) = gateway.getSubnet(subnetId());
        vm.assertEq(s.stake, 96 ether);
    }

    /// @dev External, so that expectEmit sees one call.
    function submit(uint64 configuration) external {
        BottomUpCheckpoint memory c = checkpointAt(height + PERIOD, configuration);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        actor.submitCheckpoint(c, a, s);
    }

    function test_stakeIsPublishedAsTheNewTotal() public {
        address who = vm.addr(keys[0]);
        uint256 had = weightOf[who];
        vm.deal(who, 5 ether);
        vm.expectEmit(address(actor));
        emit ISubnetActor.NewPowerChangeRequest(PowerOperation.SetPower, who, abi.encode(had + 5 ether), 1);
        vm.prank(who);
        actor.stake{value: 5 ether}(5 ether);
        _submit(1);
        vm.assertEq(actor.getTotalPower(), 105 ether);
    }

    function test_rule19_aSeatIsFreeOnceTheLeaveIsConfirmed() public {
        SubnetParams memory p = _params(PermissionMode.Collateral, address(flt), address(0));
        p.activeValidatorsLimit = 4;
        height = 0;
        for (uint256 i = 0; i < 4; i++) {
            weightOf[vm.addr(keys[i])] = 25 ether;
        }
        _start(p);
        bytes memory key = publicKey(NEW_KEY);
        _tryJoin(newcomer, key, 25 ether, _sel(TooManyValidators.selector));
        address leaver = vm.addr(keys[0]);
        vm.prank(leaver);
        actor.leave();
        _tryJoin(newcomer, key, 25 ether, _sel(TooManyValidators.selector)); // not yet
        vm.startPrank(leaver);
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, leaver));
        actor.leave();
        vm.deal(leaver, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(Quorum.NotValidator.selector, leaver));
        actor.stake{value: 1 ether}(1 ether);
        vm.stopPrank();
        _submit(1);
        vm.assertEq(actor.getActiveValidators().length, 3);
        _join(NEW_KEY, 25 ether);
        vm.assertEq(actor.getValidators().length, 4);
        vm.assertEq(actor.claimable(leaver), 25 ether);
        // Genesis is what it was.
        vm.assertEq(actor.genesisValidators().length, 4);
    }

    function test_rule19_theLimitIsAtMost100() public {
        SubnetParams memory p = _params(PermissionMode.Collateral, address(flt), address(0));
        p.activeValidatorsLimit = 101;
        vm.expectRevert(InvalidActiveValidatorsLimit.selector);
        new SubnetActor(p, address(this));
    }

    function test_unconfirmedChangesAreBounded() public {
        address who = vm.addr(keys[0]);
        vm.startPrank(who);
        for (uint256 i = 0; i < 4; i++) {
            actor.unstake(0.1 ether);
        }
        vm.expectRevert(TooManyUnconfirmedChanges.selector);
        actor.unstake(0.1 ether);
        actor.leave(); // always possible
        vm.stopPrank();
        _submit(5);
        vm.assertEq(actor.getActiveValidators().length, 3);
        vm.assertEq(actor.claimable(who), weightOf[who]);
    }

    /// @dev All 100 seats, each with as many changes as it may have, in one
    /// checkpoint that all of them signed: it must fit one transaction
    /// (EIP-7825).
    function test_theDearestCheckpointFitsOneTransaction() public {
        for (uint256 i = 4; i < 100; i++) {
            keys.push(uint256(keccak256(abi.encode("seat", i))) >> 8);
            _join(keys[i], 10 ether);
        }
        for (uint256 i = 1; i < keys.length; i++) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); j--) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
        vm.assertEq(actor.getValidators().length, 100);
        uint256[] memory four = new uint256[](4);
        uint256 at;
        for (uint256 i = 0; i < 100; i++) {
            if (weightOf[vm.addr(keys[i])] != 0) four[at++] = keys[i];
        }
        BottomUpCheckpoint memory c = checkpointAt(PERIOD, 192);
        (address[] memory a, bytes[] memory s) = signedBy(four, Envelopes.checkpointHash(c));
        actor.submitCheckpoint(c, a, s);
        height = PERIOD;
        for (uint256 i = 0; i < 100; i++) {
            vm.startPrank(vm.addr(keys[i]));
            for (uint256 j = 0; j < 4; j++) {
                actor.unstake(0.1 ether);
            }
            if (i != 0) actor.leave();
            vm.stopPrank();
        }
        c = checkpointAt(2 * PERIOD, 192 + 499);
        (a, s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.cool(address(actor));
        uint256 before = gasleft();
        actor.submitCheckpoint(c, a, s);
        uint256 used = before - gasleft();
        vm.assertLe(used, 16_777_216 * 3 / 4);
        vm.assertEq(actor.getValidators().length, 1);
    }

    function test_theLastValidatorDoesNotLeave() public {
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(vm.addr(keys[i]));
            actor.leave();
        }
        vm.prank(vm.addr(keys[3]));
        vm.expectRevert(NotEnoughCollateral.selector);
        actor.leave();
    }

    function test_killEndsAnEmptySubnetAndReleasesAllCollateral() public {
        address last = vm.addr(keys[3]);
        vm.deal(vm.addr(keys[0]), 5 ether);
        vm.prank(vm.addr(keys[0]));
        actor.stake{value: 5 ether}(5 ether); // unconfirmed for ever
        vm.prank(last);
        vm.expectRevert(NotAllValidatorsHaveLeft.selector);
        actor.kill();
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(vm.addr(keys[i]));
            actor.leave();
        }
        vm.prank(anyone);
        vm.expectRevert(NotAllValidatorsHaveLeft.selector);
        actor.kill();
        _fund(bob, 1 ether);
        vm.prank(last);
        vm.expectRevert(NotEmptySubnetCircSupply.selector);
        actor.kill();
        _push(transferUp(bob, 1 ether));
        _submit(0);
        vm.prank(last);
        vm.expectRevert(NotAllValidatorsHaveLeft.selector); // a batch is pending
        actor.kill();
        _exec(height);
        vm.prank(last);
        actor.kill();
        vm.assertTrue(actor.killed());
        (bool found,) = gateway.getTopDownNonce(subnetId());
        vm.assertFalse(found);
        for (uint256 i = 0; i < 4; i++) {
            address who = vm.addr(keys[i]);
            uint256 expected = weightOf[who] + (i == 0 ? 5 ether : 0);
            vm.prank(who);
            actor.claim();
            vm.assertEq(who.balance, expected);
        }
        vm.assertEq(address(gateway).balance, 0);
        vm.expectRevert(NotRegisteredSubnet.selector);
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), FvmAddress(4, ""), 1 ether);
        BottomUpCheckpoint memory c = checkpointAt(height + PERIOD, 0);
        (address[] memory a, bytes[] memory s) = signedBy(keys, Envelopes.checkpointHash(c));
        vm.expectRevert(SubnetAlreadyKilled.selector);
        actor.submitCheckpoint(c, a, s);
        vm.prank(last);
        vm.expectRevert(SubnetAlreadyKilled.selector);
        actor.kill();
    }

    function test_theGaterIsAsked() public {
        Gater gater = new Gater();
        SubnetParams memory p = _params(PermissionMode.Collateral, address(flt), address(0));
        p.validatorGater = address(gater);
        _start(p);
        gater.close(true);
        bytes memory key = publicKey(NEW_KEY);
        _tryJoin(newcomer, key, 10 ether, abi.encodeWithSignature("Error(string)", "closed"));
        vm.prank(vm.addr(keys[0]));
        vm.expectRevert(bytes("closed"));
        actor.leave();
    }

    function test_powersFitIntoTheConsensusEngine() public {
        // Scale 18: one unit of power per atto.
        SubnetParams memory p = _params(PermissionMode.Federated, address(flt), address(0));
        p.powerScale = 18;
        p.minValidators = 1;
        _fresh(p);
        (address[] memory who, bytes[] memory pubs, uint256[] memory powers) = _federation(1);
        powers[0] = uint256(uint64(type(int64).max)) / 8;
        vm.expectRevert(PowerTooLarge.selector);
        actor.setFederatedPower(who, pubs, powers);
        powers[0] = type(uint256).max;
        vm.expectRevert(PowerTooLarge.selector);
        actor.setFederatedPower(who, pubs, powers);
        powers[0] = uint256(uint64(type(int64).max)) / 8 - 100;
        actor.setFederatedPower(who, pubs, powers);
    }

    // ---- ERC-20 collateral

    function test_collateralInATokenNeverBlocksACheckpoint() public {
        OddToken odd = new OddToken();
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(odd), address(odd)), address(this));
        gateway.approveSubnet(address(actor));
        odd.mint(alice, 50 ether);
        vm.startPrank(alice);
        odd.approve(address(actor), 50 ether);
        actor.preFund(50 ether); // the same token
        vm.stopPrank();
        _joinAll();
        _record();
        vm.assertEq(odd.balanceOf(address(gateway)), 150 ether);
        _join10(NEW_KEY);
        vm.assertEq(odd.balanceOf(address(gateway)), 160 ether);
        address who = vm.addr(keys[0]);
        vm.prank(who);
        actor.leave();
        odd.set(0, true, false); // paused: the checkpoint moves no money
        _submit(3);
        vm.prank(who);
        vm.expectRevert(NotEnoughBalance.selector);
        actor.claim();
        odd.set(0, false, false);
        vm.prank(who);
        actor.claim();
        vm.assertEq(odd.balanceOf(who), weightOf[who]);
        vm.assertEq(circ(), 50 ether);
    }

    function test_aTokenThatKeepsAPartIsNoCollateral() public {
        OddToken odd = new OddToken();
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(flt), address(odd)), address(this));
        odd.set(10, false, false);
        odd.mint(newcomer, 10 ether);
        bytes memory key = publicKey(NEW_KEY);
        vm.startPrank(newcomer);
        odd.approve(address(actor), 10 ether);
        vm.expectRevert(NotEnoughFunds.selector);
        actor.join(key, 10 ether);
        vm.stopPrank();
    }

    // ---- federated

    function _federation(uint256 count)
        internal
        returns (address[] memory who, bytes[] memory pubs, uint256[] memory powers)
    {
        who = new address[](count);
        pubs = new bytes[](count);
        powers = new uint256[](count);
        for (uint256 i = 0; i < count; i++) {
            who[i] = vm.addr(keys[i]);
            pubs[i] = publicKey(keys[i]);
            powers[i] = 1000 + i;
        }
    }

    function _federated() internal {
        _fresh(_params(PermissionMode.Federated, address(flt), address(0)));
        (address[] memory who, bytes[] memory pubs, uint256[] memory powers) = _federation(4);
        actor.setFederatedPower(who, pubs, powers);
        height = 0;
        _record();
    }

    function test_aFederationIsSetByItsOwner() public {
        _fresh(_params(PermissionMode.Federated, address(flt), address(0)));
        (address[] memory who, bytes[] memory pubs, uint256[] memory powers) = _federation(4);
        vm.prank(anyone);
        vm.expectRevert();
        actor.setFederatedPower(who, pubs, powers);
        vm.expectRevert(InvalidFederationPayload.selector);
        actor.setFederatedPower(who, pubs, new uint256[](3));
        vm.expectRevert(InvalidFederationPayload.selector);
        actor.setFederatedPower(who, new bytes[](3), powers);
        address keep = who[3];
        who[3] = who[0];
        vm.expectRevert(DuplicatedGenesisValidator.selector);
        actor.setFederatedPower(who, pubs, powers);
        who[3] = keep;
        (who[2], who[3]) = (who[3], who[2]);
        vm.expectRevert(NotOwnerOfPublicKey.selector);
        actor.setFederatedPower(who, pubs, powers);
        (who[2], who[3]) = (who[3], who[2]);
        actor.setFederatedPower(who, pubs, powers);
        vm.assertTrue(actor.bootstrapped());
        vm.assertEq(actor.getTotalPower(), 4006);
        vm.assertEq(uint256(actor.permissionMode()), uint256(PermissionMode.Federated));
    }

    function test_tooSmallAFederationDoesNotStart() public {
        _fresh(_params(PermissionMode.Federated, address(flt), address(0)));
        (address[] memory who, bytes[] memory pubs, uint256[] memory powers) = _federation(3);
        vm.expectRevert(NotEnoughGenesisValidators.selector);
        actor.setFederatedPower(who, pubs, powers);
    }

    function test_nobodyJoinsAFederation() public {
        _federated();
        _tryJoin(newcomer, publicKey(NEW_KEY), 10 ether, abi.encodePacked(MethodNotAllowed.selector));
        vm.prank(vm.addr(keys[0]));
        vm.expectPartialRevert(MethodNotAllowed.selector);
        actor.leave();
    }

    function _setOne(uint256 key, uint256 power) internal {
        address[] memory who = new address[](1);
        bytes[] memory pubs = new bytes[](1);
        uint256[] memory powers = new uint256[](1);
        (who[0], pubs[0], powers[0]) = (vm.addr(key), publicKey(key), power);
        actor.setFederatedPower(who, pubs, powers);
    }

    /// @dev (op, number) of the changes in the logs.
    function _ops() internal returns (PowerOperation[] memory ops) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 count;
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] == ISubnetActor.NewPowerChangeRequest.selector) count++;
        }
        ops = new PowerOperation[](count);
        count = 0;
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].topics[0] != ISubnetActor.NewPowerChangeRequest.selector) continue;
            (ops[count++],,,) = abi.decode(logs[i].data, (PowerOperation, address, bytes, uint64));
        }
    }

    function test_nobodyHasPowerHereWithoutAKeyInTheSubnet() public {
        _federated();
        vm.recordLogs();
        _setOne(NEW_KEY, 5000);
        PowerOperation[] memory ops = _ops();
        vm.assertEq(ops.length, 2);
        vm.assertEq(uint256(ops[0]), uint256(PowerOperation.SetMetadata));
        vm.assertEq(uint256(ops[1]), uint256(PowerOperation.SetPower));
        _submit(1);
        vm.assertEq(actor.getTotalPower(), 4006); // the key alone gives none
        _submit(2);
        vm.assertEq(actor.getTotalPower(), 9006);
    }

    function test_aRemovedMemberIsAnnouncedAnewWithItsKey() public {
        _federated();
        vm.recordLogs();
        _setOne(keys[0], 0);
        _setOne(keys[0], 7); // before the removal is confirmed
        PowerOperation[] memory ops = _ops();
        vm.assertEq(ops.length, 3);
        vm.assertEq(uint256(ops[1]), uint256(PowerOperation.SetMetadata));
        _submit(3);
        vm.assertEq(actor.getTotalPower(), 4006 - 1000 + 7);
        vm.assertEq(actor.getValidators().length, 4);
        _setOne(keys[0], 0);
        _submit(4);
        vm.assertEq(actor.getValidators().length, 3);
        vm.expectRevert(InvalidFederationPayload.selector);
        _setOne(keys[0], 0);
        vm.assertEq(actor.claimable(vm.addr(keys[0])), 0); // no collateral here
    }

    function test_aFederationNeverBecomesEmpty() public {
        _federated();
        for (uint256 i = 0; i < 3; i++) {
            _setOne(keys[i], 0);
        }
        bytes memory pub = publicKey(keys[3]);
        address[] memory who = new address[](1);
        bytes[] memory pubs = new bytes[](1);
        (who[0], pubs[0]) = (vm.addr(keys[3]), pub);
        vm.expectRevert(NotEnoughCollateral.selector);
        actor.setFederatedPower(who, pubs, new uint256[](1));
        actor.kill(); // the owner may
    }

    // ---- parameters

    function test_parametersAreChecked() public {
        SubnetParams memory good = _params(PermissionMode.Collateral, address(flt), address(0));
        _badParams(good, 0, GatewayCannotBeZero.selector);
        _badParams(good, 1, InvalidCollateral.selector);
        _badParams(good, 2, InvalidSubmissionPeriod.selector);
        _badParams(good, 3, InvalidMajorityPercentage.selector);
        _badParams(good, 4, InvalidMajorityPercentage.selector);
        _badParams(good, 5, InvalidPowerScale.selector);
        _badParams(good, 6, InvalidPowerScale.selector);
        _badParams(good, 7, InvalidActiveValidatorsLimit.selector);
        _badParams(good, 8, MissingGenesisSubnetIpcContractsOwner.selector);
        _badParams(good, 9, MethodNotAllowed.selector);
        _badParams(good, 10, MethodNotAllowed.selector);
        _badParams(good, 11, InvalidSubnet.selector);
        _badParams(good, 12, EmptyAddress.selector);
        _badParams(good, 13, InvalidActiveValidatorsLimit.selector);
    }

    function _badParams(SubnetParams memory good, uint256 what, bytes4 err) private {
        SubnetParams memory p = abi.decode(abi.encode(good), (SubnetParams));
        if (what == 0) p.ipcGatewayAddr = address(0);
        if (what == 1) p.minActivationCollateral = 0;
        if (what == 2) p.bottomUpCheckPeriod = 0;
        if (what == 3) p.majorityPercentage = 66;
        if (what == 4) p.majorityPercentage = 101;
        if (what == 5) p.powerScale = 19;
        if (what == 6) p.powerScale = -1;
        if (what == 7) p.activeValidatorsLimit = 0;
        if (what == 8) p.genesisSubnetIpcContractsOwner = address(0);
        if (what == 9) p.permissionMode = PermissionMode.Static;
        if (what == 10) p.validatorRewarder = bob;
        if (what == 11) p.parentId.root++;
        if (what == 12) p.supplySource.tokenAddress = bob;
        if (what == 13) p.minValidators = 0;
        vm.expectPartialRevert(err);
        new SubnetActor(p, address(this));
    }

    function test_theRegistryMakesActorsOwnedByTheirCreator() public {
        SubnetRegistry registry = new SubnetRegistry(address(gateway));
        SubnetParams memory p = _params(PermissionMode.Collateral, address(flt), address(0));
        vm.recordLogs();
        vm.prank(bob);
        address made = registry.newSubnetActor(p);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        vm.assertEq(last.topics[0], 0x0431ea4d93af299b92f2c606ddcaf4b31cb0013c5ed1fdea837b8a912347c965);
        vm.assertEq(last.data, abi.encode(made));
        vm.assertEq(registry.latestSubnetDeployed(bob), made);
        vm.assertEq(SubnetActor(payable(made)).owner(), bob);
        vm.assertEq(keccak256(made.code).length, 32);
        // The same code as a direct deployment.
        vm.assertEq(made.code.length, address(actor).code.length);
        vm.assertEq(keccak256(made.code), keccak256(address(actor).code));
        // Constructor errors come through.
        p.minActivationCollateral = 0;
        vm.expectRevert(InvalidCollateral.selector);
        registry.newSubnetActor(p);
        p.ipcGatewayAddr = bob;
        vm.expectRevert(InvalidSubnetActor.selector);
        registry.newSubnetActor(p);
        // It works like any other.
        actor = SubnetActor(payable(made));
        gateway.approveSubnet(made);
        _joinAll();
        _record();
        _fund(bob, 1 ether);
    }

    function test_theActorKnowsItsParameters() public view {
        vm.assertEq(actor.bottomUpCheckPeriod(), PERIOD);
        vm.assertEq(uint256(actor.majorityPercentage()), 67);
        vm.assertEq(uint256(actor.activeValidatorsLimit()), 100);
        vm.assertEq(actor.minActivationCollateral(), 100 ether);
        vm.assertEq(uint256(actor.minValidators()), 4);
        vm.assertEq(actor.powerScale(), 3);
        vm.assertEq(abi.encode(actor.supplySource()), abi.encode(asset(address(flt))));
        vm.assertEq(abi.encode(actor.collateralSource()), abi.encode(asset(address(0))));
        vm.assertEq(abi.encode(actor.getParent()), abi.encode(rootId()));
        vm.assertEq(actor.ipcGatewayAddr(), address(gateway));
        vm.assertEq(actor.genesisSubnetIpcContractsOwner(), address(this));
    }
}

/// @dev Random validators doing everything they may.
contract Crowd is RootFixture {
    uint256 private constant COUNT = 8;
    uint64 private confirmed;

    constructor() {
        super.setUp();
        for (uint256 i = 4; i < COUNT; i++) {
            keys.push(0xc0ffee + i);
        }
    }

    function setUp() public override {}

    function theActor() external view returns (SubnetActor) {
        return actor;
    }

    function theStake() external view returns (uint256) {
        (, Subnet memory s) = gateway.getSubnet(subnetId());
        return s.stake;
    }

    function who(uint8 i) public view returns (address) {
        return vm.addr(keys[i % COUNT]);
    }

    function join(uint8 i, uint96 amount) external {
        _join(keys[i % COUNT], bound(amount, 1 ether, 1000 ether));
    }

    function stake(uint8 i, uint96 amount) external {
        uint256 much = bound(amount, 1, 100 ether);
        vm.deal(who(i), who(i).balance + much);
        vm.prank(who(i));
        actor.stake{value: much}(much);
    }

    function unstake(uint8 i, uint96 amount) external {
        vm.prank(who(i));
        actor.unstake(bound(amount, 1, 20 ether));
    }

    function leave(uint8 i) external {
        vm.prank(who(i));
        actor.leave();
    }

    function claim(uint8 i) external {
        vm.prank(who(i));
        actor.claim();
    }

    /// @dev The confirmed set signs; some of the changes become part of it.
    function confirm(uint64 number) external {
        (uint64 next,) = actor.getConfigurationNumbers();
        number = uint64(bound(number, 0, next - 1));
        BottomUpCheckpoint memory c = checkpointAt(height + PERIOD, number);
        address[] memory active = actor.getActiveValidators();
        for (uint256 i = 0; i < active.length; i++) {
            for (uint256 j = i; j > 0 && active[j] < active[j - 1]; j--) {
                (active[j], active[j - 1]) = (active[j - 1], active[j]);
            }
        }
        bytes[] memory signatures = new bytes[](active.length);
        for (uint256 i = 0; i < active.length; i++) {
            for (uint8 k = 0; k < COUNT; k++) {
                if (who(k) == active[i]) signatures[i] = signature(keys[k], Envelopes.checkpointHash(c));
            }
        }
        actor.submitCheckpoint(c, active, signatures); // never refused
        height += PERIOD;
        confirmed++;
    }
}

contract CrowdInvariantsTest is RootFixture {
    Crowd private crowd;

    function setUp() public override {
        crowd = new Crowd();
        target(address(crowd));
    }

    /// @dev The gateway holds the collateral of every seat and what is claimable.
    function invariant_collateralIsConserved() public view {
        SubnetActor a = crowd.theActor();
        uint256 locked;
        uint256 released;
        for (uint8 i = 0; i < 8; i++) {
            (uint256 confirmed, uint256 requested, uint256 kept) = a.powerOf(crowd.who(i));
            vm.assertGe(kept, confirmed);
            vm.assertGe(kept, requested);
            locked += kept;
            released += a.claimable(crowd.who(i));
        }
        vm.assertEq(crowd.theStake(), locked + released);
    }

    /// @dev Seats, powers and totals agree, and somebody always remains.
    function invariant_rule19_everySeatHasPowerOrAChange() public view {
        SubnetActor a = crowd.theActor();
        Validator[] memory all = a.getValidators();
        uint256 total;
        for (uint256 i = 0; i < all.length; i++) {
            total += all[i].weight;
            (, uint256 requested,) = a.powerOf(all[i].addr);
            (uint64 next, uint64 start) = a.getConfigurationNumbers();
            vm.assertTrue(all[i].weight != 0 || requested != 0 || start < next);
        }
        vm.assertEq(total, a.getTotalPower());
        vm.assertGt(total, 0);
        vm.assertLe(all.length, 100);
    }
}
