// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PowerChange, PowerOperation, Validator} from "./Types.sol";
import {Secp256k1} from "./Secp256k1.sol";

/// @title The validator set, derived from power changes (PROTOCOL 18)
/// @notice A total function: whatever the root let into a change, the gateway
/// and every node (ApplyPowerChanges in chains/ipc) come to the same set and
/// none of them fails.
///
/// - SetMetadata keeps the key if it is a key of the validator's own address
///   (65 bytes, prefix 0x04, a point of the curve), else the entry has no key
///   and no power. Keys are unique because addresses are.
/// - SetPower with a payload other than 32 bytes is ignored. Weight 0 removes
///   the entry, key included.
/// - Power is weight / 10^(18-scale) rounded up; beyond MAX_TOTAL it is clamped
///   to the room the others leave.
/// - A change that takes the last power out of the set is deferred, to be tried
///   first by the next application; a later change of the same kind to the same
///   validator replaces it.
///
/// The weight that counts in a quorum is that of the clamped power, so that no
/// sum of weights can overflow.
library PowerSet {
    /// @dev CometBFT's bound on the power of a set: MaxInt64 / 8.
    uint256 internal constant MAX_TOTAL = uint256(uint64(type(int64).max)) / 8;
    uint256 private constant WORD = 32;

    /// @dev A parsed change. `a` is the weight, or X of the key with `b` as Y
    /// (both 0: no valid key). `ignored`: nothing follows from it.
    struct Change {
        address validator;
        bool isKey;
        bool ignored;
        bytes32 a;
        bytes32 b;
    }

    /// @dev `place` is 1 + the index in `listed`.
    struct Entry {
        uint256 weight;
        bytes32 x;
        bytes32 y;
        uint64 power;
        uint32 place;
    }

    struct Set {
        uint256 unit; // weight of one unit of power
        uint256 totalPower;
        uint256 totalWeight; // of the weights that count
        mapping(address validator => Entry) entries;
        address[] listed;
        Change[] deferred;
    }

    /// @notice The weight of one unit of power: 10^(18-scale).
    /// @param scale -36 to 18.
    function unitOf(int8 scale) internal pure returns (uint256) {
        // Safe: in the range given.
        // forge-lint: disable-next-line(unsafe-typecast)
        return 10 ** uint256(18 - int256(scale));
    }

    /// @notice Power of a weight within `room`.
    function powerOf(uint256 weight, uint256 unit, uint256 room) internal pure returns (uint256 power) {
        power = weight / unit;
        if (weight % unit != 0) ++power;
        if (power > room) power = room;
    }

    /// @notice The weight that counts: that of the power, at most the weight.
    function counted(uint256 weight, uint256 power, uint256 unit) internal pure returns (uint256) {
        uint256 ofPower = power * unit;
        return weight < ofPower ? weight : ofPower;
    }

    /// @notice Reads a change of any content; never reverts.
    function parse(PowerChange memory change) internal pure returns (Change memory c) {
        bytes memory payload = change.payload;
        c.validator = change.validator;
        if (change.op == PowerOperation.SetPower) {
            if (payload.length != WORD) {
                c.ignored = true;
                return c;
            }
            // Safe: it is one word.
            // forge-lint: disable-next-line(unsafe-typecast)
            c.a = bytes32(payload);
            return c;
        }
        c.isKey = true;
        // No key hashes to the zero address: tryAddress returns it for "none".
        if (change.validator == address(0) || Secp256k1.tryAddress(payload) != change.validator) return c;
        bytes32 x;
        bytes32 y;
        assembly ("memory-safe") {
            x := mload(add(payload, 0x21))
            y := mload(add(payload, 0x41))
        }
        (c.a, c.b) = (x, y);
    }

    /// @notice The first set: key and weight of each validator in turn.
    function found(Set storage s, Validator[] memory validators) internal {
        for (uint256 i = 0; i < validators.length; ++i) {
            Validator memory v = validators[i];
            step(s, parse(PowerChange(PowerOperation.SetMetadata, v.metadata, v.addr)));
            step(s, parse(PowerChange(PowerOperation.SetPower, abi.encode(v.weight), v.addr)));
        }
    }

    /// @notice Tries the deferred changes again; the first act of every
    /// application.
    function retryDeferred(Set storage s) internal {
        Change[] memory again = s.deferred;
        delete s.deferred;
        for (uint256 i = 0; i < again.length; ++i) {
            step(s, again[i]);
        }
    }

    /// @notice Applies one change.
    function step(Set storage s, Change memory c) internal {
        if (c.ignored) return;
        _supersede(s, c);

        Entry memory next = s.entries[c.validator];
        uint256 others = s.totalPower - next.power;
        uint256 countedBefore = counted(next.weight, next.power, s.unit);
        if (c.isKey) {
            (next.x, next.y) = (c.a, c.b);
        } else {
            next.weight = uint256(c.a);
        }
        // Safe: at most MAX_TOTAL.
        // forge-lint: disable-next-line(unsafe-typecast)
        next.power = hasKey(next) ? uint64(powerOf(next.weight, s.unit, MAX_TOTAL - others)) : 0;

        // A consensus engine without power stops for good.
        if (s.totalPower > 0 && others + next.power == 0) {
            s.deferred.push(c);
            return;
        }
        s.totalPower = others + next.power;
        s.totalWeight = s.totalWeight - countedBefore + counted(next.weight, next.power, s.unit);
        if (!c.isKey && next.weight == 0) {
            _remove(s, c.validator, next.place);
            return;
        }
        if (next.place == 0) {
            s.listed.push(c.validator);
            // Safe: the root bounds the set (PROTOCOL 19).
            // forge-lint: disable-next-line(unsafe-typecast)
            next.place = uint32(s.listed.length);
        }
        s.entries[c.validator] = next;
    }

    /// @notice The weight of a signatory; 0 for a stranger.
    function weightOf(Set storage s, address validator) internal view returns (uint256) {
        Entry storage e = s.entries[validator];
        return counted(e.weight, e.power, s.unit);
    }

    /// @notice The validators with power, in no particular order.
    function members(Set storage s) internal view returns (Validator[] memory list) {
        uint256 n = s.listed.length;
        list = new Validator[](n);
        uint256 count = 0;
        for (uint256 i = 0; i < n; ++i) {
            address account = s.listed[i];
            Entry memory e = s.entries[account];
            if (e.power == 0) continue;
            list[count++] = Validator({
                weight: counted(e.weight, e.power, s.unit),
                addr: account,
                metadata: abi.encodePacked(uint8(4), e.x, e.y)
            });
        }
        assembly ("memory-safe") {
            mstore(list, count)
        }
    }

    function hasKey(Entry memory e) internal pure returns (bool) {
        return e.x != 0 || e.y != 0;
    }

    /// @dev Drops deferred changes of the same kind to the same validator.
    function _supersede(Set storage s, Change memory c) private {
        uint256 n = s.deferred.length;
        uint256 kept = 0;
        for (uint256 i = 0; i < n; ++i) {
            Change memory d = s.deferred[i];
            if (d.isKey == c.isKey && d.validator == c.validator) continue;
            if (kept != i) s.deferred[kept] = d;
            ++kept;
        }
        for (uint256 i = kept; i < n; ++i) {
            s.deferred.pop();
        }
    }

    function _remove(Set storage s, address validator, uint32 place) private {
        if (place == 0) return;
        address last = s.listed[s.listed.length - 1];
        s.listed[place - 1] = last;
        s.entries[last].place = place;
        s.listed.pop();
        delete s.entries[validator];
    }
}
