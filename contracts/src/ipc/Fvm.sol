// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DelegatedAddress, FvmAddress} from "./Types.sol";

/// @title Ethereum addresses as IPC writes them
/// @notice Only delegated addresses of namespace 10 (addrType 4) name a
/// recipient (PROTOCOL 16). Their payload is exactly 192 bytes:
/// abi.encode(DelegatedAddress(10, 20, 20 raw bytes)).
library Fvm {
    error NotDelegatedEvmAddress();

    uint8 internal constant DELEGATED = 4;
    uint64 internal constant EAM_NAMESPACE = 10;
    uint256 private constant PAYLOAD_LENGTH = 192;

    /// @dev Gateway inside a subnet, registry, linked token and outbox live
    /// under masked or derived addresses; none of those may receive.
    address internal constant BURN = address(99);

    /// @notice The FvmAddress of an Ethereum address.
    function from(address account) internal pure returns (FvmAddress memory) {
        return FvmAddress({addrType: DELEGATED, payload: payloadOf(account)});
    }

    /// @notice The payload of an Ethereum address, 192 bytes.
    function payloadOf(address account) internal pure returns (bytes memory payload) {
        // abi.encode(DelegatedAddress): offset, namespace, length, offset of
        // buffer, length of buffer, buffer padded to a word.
        payload = new bytes(PAYLOAD_LENGTH);
        assembly ("memory-safe") {
            mstore(add(payload, 0x20), 0x20)
            mstore(add(payload, 0x40), 10)
            mstore(add(payload, 0x60), 20)
            mstore(add(payload, 0x80), 0x60)
            mstore(add(payload, 0xa0), 20)
            mstore(add(payload, 0xc0), shl(96, account))
        }
    }

    /// @notice The Ethereum address, or false when `a` is not the canonical
    /// encoding of one. Never reverts: `a` may be anything.
    function tryEvm(FvmAddress memory a) internal pure returns (bool ok, address account) {
        bytes memory p = a.payload;
        if (a.addrType != DELEGATED) return (false, address(0));
        uint256 at;
        assembly ("memory-safe") {
            at := p
        }
        return _payloadAt(at);
    }

    /// @notice tryEvm of abi.encode(FvmAddress), whose words begin at `at` in
    /// memory.
    function evmAt(uint256 at) internal pure returns (bool ok, address account) {
        uint256 addrType;
        assembly ("memory-safe") {
            addrType := mload(at)
        }
        if (addrType != DELEGATED) return (false, address(0));
        return _payloadAt(at + 0x40);
    }

    /// @dev The address in a payload in memory, its length first.
    function _payloadAt(uint256 p) private pure returns (bool ok, address account) {
        assembly ("memory-safe") {
            let last := mload(add(p, 0xc0))
            account := shr(96, last)
            ok := and(
                and(eq(mload(add(p, 0x20)), 0x20), eq(mload(add(p, 0x40)), 10)),
                and(eq(mload(add(p, 0x60)), 20), eq(mload(add(p, 0x80)), 0x60))
            )
            // The 12 bytes of padding must be zero: one address, one encoding.
            ok := and(ok, and(eq(mload(add(p, 0xa0)), 20), iszero(shl(160, last))))
            ok := and(ok, eq(mload(p), PAYLOAD_LENGTH))
            account := mul(account, ok)
        }
    }

    /// @notice tryEvm of an address in calldata, which is not copied.
    function tryEvmIn(FvmAddress calldata a) internal pure returns (bool ok, address account) {
        bytes calldata p = a.payload;
        if (a.addrType != DELEGATED || p.length != PAYLOAD_LENGTH) return (false, address(0));
        assembly ("memory-safe") {
            let at := p.offset
            let last := calldataload(add(at, 0xa0))
            account := shr(96, last)
            ok := and(
                and(eq(calldataload(at), 0x20), eq(calldataload(add(at, 0x20)), 10)),
                and(eq(calldataload(add(at, 0x40)), 20), eq(calldataload(add(at, 0x60)), 0x60))
            )
            ok := and(ok, and(eq(calldataload(add(at, 0x80)), 20), iszero(shl(160, last))))
            account := mul(account, ok)
        }
    }

    /// @notice The Ethereum address; reverts NotDelegatedEvmAddress otherwise.
    function evm(FvmAddress memory a) internal pure returns (address account) {
        bool ok;
        (ok, account) = tryEvm(a);
        if (!ok) revert NotDelegatedEvmAddress();
    }

    /// @notice True for addresses that can never be a recipient: zero,
    /// precompiles and burn (below 2^16), masked ids (0xff + 11 zero bytes), the
    /// FVM's precompiles (0xfe + 11 zero bytes), and the predeployed gateway and
    /// registry of a subnet. Contracts add their own gateway.
    function isForbidden(address account) internal pure returns (bool) {
        uint160 a = uint160(account);
        if (a <= type(uint16).max) return true;
        uint160 prefix = a >> 64;
        if (prefix == uint160(0xff) << 88 || prefix == uint160(0xfe) << 88) return true;
        return account == 0x77Aa40B105843728088c0132e43FC44348881DA8
            || account == 0x74539671A1D2F1c8f200826bAbA665179F53a1b7;
    }
}
