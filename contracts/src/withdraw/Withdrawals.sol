// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SubnetID, Withdrawal} from "../ipc/Types.sol";

/// @title What a withdrawal is called and how it travels, on both sides
/// @notice A Withdrawal is static: 14 words in memory, in calldata and in its
/// encoding, so it is copied, never encoded field by field.
library Withdrawals {
    /// @dev Method of the one message the outbox sends.
    bytes4 internal constant SETTLE = bytes4(
        keccak256(
            "settle((bytes32,address,uint64,address,address,address,address,uint256,uint256,uint64,uint64,address,uint64,uint16))"
        )
    );
    /// @dev The struct is static: 14 words, nothing less or more.
    uint256 internal constant PARAMS_LENGTH = 14 * 32;
    /// @dev abi.encode(CallMsg(SETTLE, params)): two offsets of a tuple and its
    /// own, then both values with their lengths.
    uint256 internal constant MESSAGE_LENGTH = 6 * 32 + PARAMS_LENGTH;

    /// @notice The id: every payout field, the root chain and the paying
    /// contract are in it, so nothing can be paid elsewhere or twice. It is
    /// keccak256(abi.encode("FW1", rootChainId, fastWithdrawals, w)).
    function idOf(uint256 rootChainId, address fastWithdrawals, Withdrawal memory w)
        internal
        pure
        returns (bytes32 id)
    {
        uint256 length = PARAMS_LENGTH;
        assembly ("memory-safe") {
            // [offset of "FW1"][root chain][paying contract][withdrawal][3]["FW1"]
            let at := mload(0x40)
            mstore(at, add(length, 0x60))
            mstore(add(at, 0x20), rootChainId)
            mstore(add(at, 0x40), and(fastWithdrawals, 0xffffffffffffffffffffffffffffffffffffffff))
            mcopy(add(at, 0x60), w, length)
            mstore(add(at, add(length, 0x60)), 3)
            mstore(add(at, add(length, 0x80)), "FW1")
            id := keccak256(at, add(length, 0xa0))
        }
    }

    /// @notice idOf a withdrawal in calldata. Words beyond their types give the id
    /// of no withdrawal.
    function idOfIn(uint256 rootChainId, address fastWithdrawals, Withdrawal calldata w)
        internal
        pure
        returns (bytes32 id)
    {
        uint256 length = PARAMS_LENGTH;
        assembly ("memory-safe") {
            // [offset of "FW1"][root chain][paying contract][withdrawal][3]["FW1"]
            let at := mload(0x40)
            mstore(at, add(length, 0x60))
            mstore(add(at, 0x20), rootChainId)
            mstore(add(at, 0x40), and(fastWithdrawals, 0xffffffffffffffffffffffffffffffffffffffff))
            calldatacopy(add(at, 0x60), w, length)
            mstore(add(at, add(length, 0x60)), 3)
            mstore(add(at, add(length, 0x80)), "FW1")
            id := keccak256(at, add(length, 0xa0))
        }
    }

    /// @notice keccak256(abi.encode(subnet)).
    function subnetKey(SubnetID memory subnet) internal pure returns (bytes32) {
        return keccak256(abi.encode(subnet));
    }

    /// @notice The envelope's message: abi.encode(CallMsg(SETTLE, abi.encode(w))).
    function encode(Withdrawal memory w) internal pure returns (bytes memory message) {
        message = new bytes(MESSAGE_LENGTH);
        uint256 at;
        assembly ("memory-safe") {
            at := add(message, 0x20)
        }
        write(w, at);
    }

    /// @notice Writes encode(w) to `at` in memory, MESSAGE_LENGTH bytes.
    function write(Withdrawal memory w, uint256 at) internal pure {
        bytes32 method = SETTLE;
        uint256 length = PARAMS_LENGTH;
        assembly ("memory-safe") {
            mstore(at, 0x20)
            mstore(add(at, 0x20), 0x40)
            mstore(add(at, 0x40), 0x80)
            mstore(add(at, 0x60), 4)
            mstore(add(at, 0x80), method)
            mstore(add(at, 0xa0), length)
            mcopy(add(at, 0xc0), w, length)
        }
    }

    /// @notice The withdrawal inside a message, which is not copied. `ours` is
    /// false unless the message is exactly what `encode` makes of some withdrawal;
    /// `w` means nothing then. Never reverts.
    function parse(bytes calldata message) internal pure returns (bool ours, Withdrawal calldata w) {
        bytes32 method = SETTLE;
        uint256 length = PARAMS_LENGTH;
        uint256 bad = message.length ^ MESSAGE_LENGTH;
        assembly ("memory-safe") {
            let at := message.offset
            bad := or(bad, xor(calldataload(at), 0x20))
            bad := or(bad, xor(calldataload(add(at, 0x20)), 0x40))
            bad := or(bad, xor(calldataload(add(at, 0x40)), 0x80))
            bad := or(bad, xor(calldataload(add(at, 0x60)), 4))
            bad := or(bad, xor(calldataload(add(at, 0x80)), method))
            bad := or(bad, xor(calldataload(add(at, 0xa0)), length))
            w := add(at, 0xc0)
            // Within their types: outbox, token, sender, recipient,
            // fallbackRecipient and exclusiveFiller,
            let accounts := or(calldataload(add(w, 0x20)), calldataload(add(w, 0x60)))
            accounts := or(accounts, or(calldataload(add(w, 0x80)), calldataload(add(w, 0xa0))))
            accounts := or(accounts, or(calldataload(add(w, 0xc0)), calldataload(add(w, 0x160))))
            // nonce, height, fillDeadline and exclusivityDeadline,
            let numbers := or(calldataload(add(w, 0x40)), calldataload(add(w, 0x120)))
            numbers := or(numbers, or(calldataload(add(w, 0x140)), calldataload(add(w, 0x180))))
            bad := or(bad, or(shr(160, accounts), shr(64, numbers)))
            // and maxFeeBps.
            bad := or(bad, shr(16, calldataload(add(w, 0x1a0))))
            ours := iszero(bad)
        }
    }
}
