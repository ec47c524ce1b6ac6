// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Public keys of validators
library Secp256k1 {
    /// @dev The field prime, 2^256 - 2^32 - 977.
    uint256 internal constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;
    /// @dev Uncompressed key: 0x04 ‖ X ‖ Y.
    uint256 internal constant KEY_LENGTH = 65;

    /// @notice Is (x, y) a point of y² = x³ + 7, with reduced coordinates?
    function onCurve(uint256 x, uint256 y) internal pure returns (bool) {
        if (x >= P || y >= P) return false;
        // The point at infinity has no affine coordinates; (0, 0) fails below.
        return mulmod(y, y, P) == addmod(mulmod(mulmod(x, x, P), x, P), 7, P);
    }

    /// @notice The address of an uncompressed public key, or zero when the key
    /// is not 65 bytes, lacks the 0x04 prefix, or is no point of the curve.
    function tryAddress(bytes memory key) internal pure returns (address account) {
        if (key.length != KEY_LENGTH || key[0] != 0x04) return address(0);
        uint256 x;
        uint256 y;
        assembly ("memory-safe") {
            x := mload(add(key, 0x21))
            y := mload(add(key, 0x41))
        }
        if (!onCurve(x, y)) return address(0);
        assembly ("memory-safe") {
            account := and(keccak256(add(key, 0x21), 0x40), 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }
}
