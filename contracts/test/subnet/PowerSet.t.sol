// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base} from "../Base.sol";
import "../../src/ipc/Types.sol";
import {PowerSet} from "../../src/ipc/PowerSet.sol";
import {Secp256k1} from "../../src/ipc/Secp256k1.sol";

contract PowerSetTest is Base {
    using PowerSet for PowerSet.Set;

    /// @dev What the node derives (chains/ipc, ApplyPowerChanges) from the
    /// changes of `test_rule18_golden_theNodeDerivesTheSameSets`.
    bytes32 private constant NODE_DIGEST = 0x66b11ec0001f0ecf07ea34e8d5282261183a79e06f87b8712d7dfd4529290fce;

    uint256 private constant N = 5;
    uint256 private constant UNIT = 1e15;

    PowerSet.Set private set;
    address[N] private validators;
    bytes[N] private keys;

    function setUp() public {
        for (uint256 i = 0; i < N; ++i) {
            validators[i] = vm.addr(i + 1);
            keys[i] = publicKey(i + 1);
        }
        set.unit = PowerSet.unitOf(3);
        vm.assertEq(set.unit, UNIT);
    }

    function _step(PowerOperation op, address validator, bytes memory payload) private {
        set.step(PowerSet.parse(PowerChange(op, payload, validator)));
    }

    function _join(uint256 i, uint256 weight) private {
        _step(PowerOperation.SetMetadata, validators[i], keys[i]);
        _step(PowerOperation.SetPower, validators[i], abi.encode(weight));
    }

    /// @dev One change, drawn from `seed`: sound ones, and every kind of bad.
    function _draw(uint256 seed)
        private
        view
        returns (PowerOperation op, address validator, bytes memory payload)
    {
        uint256 i = seed % N;
        validator = validators[i];
        uint256 kind = (seed >> 16) % 8;
        if ((seed >> 8) & 1 == 1) {
            op = PowerOperation.SetMetadata;
            if (kind < 4) payload = keys[i];
            else if (kind == 4) payload = keys[(i + 1) % N];
            else if (kind == 5) payload = "";
            else payload = abi.encodePacked(uint8(4), seed, seed);
            return (op, validator, payload);
        }
        op = PowerOperation.SetPower;
        if (kind == 0) payload = new bytes(31);
        else if (kind < 3) payload = abi.encode(uint256(0));
        else if (kind == 3) payload = abi.encode(type(uint256).max);
        else if (kind == 4) payload = abi.encode(PowerSet.MAX_TOTAL * UNIT / 2 + 1);
        else payload = abi.encode((seed >> 64) % 1e20);
    }

    /// @dev The sums are those of the entries and within bounds.
    function _sound() private view {
        uint256 power = 0;
        uint256 weight = 0;
        for (uint256 i = 0; i < set.listed.length; ++i) {
            PowerSet.Entry storage e = set.entries[set.listed[i]];
            vm.assertEq(e.place, i + 1);
            power += e.power;
            weight += set.weightOf(set.listed[i]);
            vm.assertLe(set.weightOf(set.listed[i]), e.weight);
            if (e.power != 0) {
                vm.assertTrue(PowerSet.hasKey(e));
                bytes memory key = abi.encodePacked(uint8(4), e.x, e.y);
                vm.assertEq(Secp256k1.tryAddress(key), set.listed[i]);
            }
        }
        vm.assertEq(power, set.totalPower);
        vm.assertEq(weight, set.totalWeight);
        vm.assertLe(power, PowerSet.MAX_TOTAL);
        vm.assertLe(set.totalWeight, PowerSet.MAX_TOTAL * UNIT);
        Validator[] memory members = set.members();
        for (uint256 i = 0; i < members.length; ++i) {
            vm.assertGt(members[i].weight, 0);
        }
    }

    function testFuzz_rule18_theDerivationIsTotal(uint256 seed) public {
        bool had = false;
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            if ((seed >> 24) % 4 == 0) set.retryDeferred();
            (PowerOperation op, address validator, bytes memory payload) = _draw(seed);
            _step(op, validator, payload);
            _sound();
            if (had) vm.assertGt(set.totalPower, 0);
            had = set.totalPower > 0;
        }
    }

    function testFuzz_rule18_anyBytesAreReadWithoutError(bool key, address validator, bytes memory payload)
        public
    {
        _join(0, 1 ether);
        PowerOperation op = key ? PowerOperation.SetMetadata : PowerOperation.SetPower;
        _step(op, validator, payload);
        _sound();
        if (validator != validators[0]) vm.assertEq(set.weightOf(validators[0]), 1 ether);
        if (key) vm.assertEq(set.weightOf(validator), validator == validators[0] ? 1 ether : 0);
    }

    /// @dev 400 applications of 1 to 6 changes each; the digest runs over the
    /// set after every one of them.
    function test_rule18_golden_theNodeDerivesTheSameSets() public {
        bytes32 digest = 0;
        uint256 seed = uint256(keccak256("causeway power set"));
        for (uint256 a = 0; a < 400; ++a) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 m = seed % 6 + 1;
            set.retryDeferred();
            for (uint256 i = 0; i < m; ++i) {
                seed = uint256(keccak256(abi.encode(seed)));
                (PowerOperation op, address validator, bytes memory payload) = _draw(seed);
                _step(op, validator, payload);
            }
            for (uint256 i = 0; i < N; ++i) {
                digest = keccak256(
                    abi.encode(digest, uint256(set.entries[validators[i]].power), set.weightOf(validators[i]))
                );
            }
            digest = keccak256(abi.encode(digest, set.deferred.length));
        }
        vm.assertEq(digest, NODE_DIGEST);
    }

    function test_rule18_powerIsRoundedUp() public {
        _join(0, 1);
        vm.assertEq(set.totalPower, 1);
        vm.assertEq(set.totalWeight, 1);
        _join(0, UNIT);
        vm.assertEq(set.totalPower, 1);
        _join(0, UNIT + 1);
        vm.assertEq(set.totalPower, 2);
        vm.assertEq(set.totalWeight, UNIT + 1);
    }

    function test_rule18_totalPowerIsClampedToTheRoomLeft() public {
        _join(0, 3 * UNIT);
        _join(1, type(uint256).max);
        vm.assertEq(set.totalPower, PowerSet.MAX_TOTAL);
        vm.assertEq(set.entries[validators[1]].power, PowerSet.MAX_TOTAL - 3);
        vm.assertEq(set.weightOf(validators[1]), (PowerSet.MAX_TOTAL - 3) * UNIT);
        // No room: no power, no weight.
        _join(2, 5 * UNIT);
        vm.assertEq(set.weightOf(validators[2]), 0);
        _sound();
    }

    function test_rule18_theOrderOfKeyAndPowerDoesNotMatter() public {
        _step(PowerOperation.SetPower, validators[0], abi.encode(7 ether));
        vm.assertEq(set.totalPower, 0);
        _step(PowerOperation.SetMetadata, validators[0], keys[0]);
        vm.assertEq(set.weightOf(validators[0]), 7 ether);
        _join(1, 7 ether);
        vm.assertEq(set.weightOf(validators[1]), 7 ether);
    }

    function test_rule18_onlyTheValidatorsOwnKeyCounts() public {
        _join(0, 1 ether);
        bytes memory good = keys[1];
        bytes[6] memory bad;
        bad[0] = keys[2];
        bad[1] = abi.encodePacked(good, uint8(0));
        bad[2] = abi.encodePacked(uint8(2), keys[2]);
        bad[3] = bytes.concat(good);
        bad[3][0] = 0x05;
        bad[4] = bytes.concat(good);
        bad[4][64] = bytes1(uint8(bad[4][64]) ^ 1);
        bad[5] = new bytes(65);
        for (uint256 i = 0; i < bad.length; ++i) {
            _step(PowerOperation.SetMetadata, validators[1], bad[i]);
            _step(PowerOperation.SetPower, validators[1], abi.encode(5 ether));
            vm.assertEq(set.weightOf(validators[1]), 0);
        }
        _step(PowerOperation.SetMetadata, validators[1], good);
        vm.assertEq(set.weightOf(validators[1]), 5 ether);
    }

    function test_rule18_weightZeroRemovesTheEntryAndItsKey() public {
        _join(0, 1 ether);
        _join(1, 1 ether);
        _step(PowerOperation.SetPower, validators[1], abi.encode(uint256(0)));
        vm.assertEq(set.listed.length, 1);
        _step(PowerOperation.SetPower, validators[1], abi.encode(uint256(9 ether)));
        vm.assertEq(set.weightOf(validators[1]), 0);
        _sound();
    }

    function test_rule18_aDeferredChangeIsSupersededByALaterOne() public {
        _join(0, 1 ether);
        _step(PowerOperation.SetPower, validators[0], abi.encode(uint256(0)));
        vm.assertEq(set.deferred.length, 1);
        vm.assertEq(set.weightOf(validators[0]), 1 ether);
        _step(PowerOperation.SetMetadata, validators[0], "");
        vm.assertEq(set.deferred.length, 2);
        _step(PowerOperation.SetPower, validators[0], abi.encode(uint256(2 ether)));
        vm.assertEq(set.deferred.length, 1);
        _join(1, 1 ether);
        set.retryDeferred();
        vm.assertEq(set.deferred.length, 0);
        vm.assertEq(set.weightOf(validators[0]), 0);
        vm.assertEq(set.totalPower, 1000);
    }

    function test_rule18_unitsOfEveryScale() public pure {
        vm.assertEq(PowerSet.unitOf(18), 1);
        vm.assertEq(PowerSet.unitOf(0), 1e18);
        vm.assertEq(PowerSet.unitOf(-36), 1e54);
        // A quorum over the largest possible total does not overflow.
        vm.assertGt(100 * PowerSet.MAX_TOTAL * PowerSet.unitOf(-36), 0);
    }
}
