// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../interfaces/IIpcHandler.sol";

/// @title Calls into code we do not trust
library Calls {
    /// @dev Return data kept, as in generation C.
    uint256 internal constant MAX_RET = 128;

    /// @notice Calls `to` with at most `gasLimit` gas and copies at most 128
    /// bytes of what it returns, so that returned data cannot be used to burn the
    /// caller's gas. Callers make sure beforehand that 63/64 of their gas covers
    /// `gasLimit`: the EVM silently gives less otherwise (PROTOCOL 14).
    function bounded(address to, uint256 value, uint256 gasLimit, bytes memory data)
        internal
        returns (bool ok, bytes memory ret)
    {
        uint256 start;
        assembly ("memory-safe") {
            start := add(data, 0x20)
        }
        return _call(to, value, gasLimit, start, data.length);
    }

    /// @notice `bounded` without value and with at most `max` bytes copied; `size`
    /// says how many it returned.
    function capped(address to, uint256 gasLimit, bytes memory data, uint256 max)
        internal
        returns (bool ok, uint256 size, bytes memory ret)
    {
        assembly ("memory-safe") {
            ok := call(gasLimit, to, 0, add(data, 0x20), mload(data), 0, 0)
            size := returndatasize()
            let kept := size
            if gt(kept, max) { kept := max }
            ret := mload(0x40)
            // Whole words are reserved, and the last one zeroed before the copy.
            let end := add(add(ret, 0x20), and(add(kept, 0x1f), not(0x1f)))
            mstore(sub(end, 0x20), 0)
            mstore(ret, kept)
            returndatacopy(add(ret, 0x20), 0, kept)
            mstore(0x40, end)
        }
    }

    /// @notice `bounded` of handleIpcMessage with the envelope whose abi.encode is
    /// `encoded`: the call's data is that encoding with the selector in front,
    /// which stands in for its length while the call runs.
    function handle(address to, uint256 value, uint256 gasLimit, bytes memory encoded)
        internal
        returns (bool ok, bytes memory ret)
    {
        uint256 size = encoded.length;
        uint256 selector = uint32(IIpcHandler.handleIpcMessage.selector);
        uint256 start;
        assembly ("memory-safe") {
            mstore(encoded, selector)
            start := add(encoded, 0x1c)
        }
        (ok, ret) = _call(to, value, gasLimit, start, size + 4);
        assembly ("memory-safe") {
            mstore(encoded, size)
        }
    }

    /// @notice `bounded` of payAndCall(token, to, envelope) of `self`, likewise. Its
    /// head lies over the first two words of the encoding and two words in front of
    /// it, which the caller has left free: see `room`.
    function payAndHandle(
        address self,
        uint256 gasLimit,
        bytes4 selector,
        address token,
        address to,
        bytes memory encoded
    ) internal returns (bool ok, bytes memory ret) {
        uint256 size = encoded.length;
        uint256 start;
        assembly ("memory-safe") {
            mstore(sub(encoded, 0x40), shr(224, selector))
            mstore(sub(encoded, 0x20), token)
            mstore(encoded, to)
            mstore(add(encoded, 0x20), 0x60)
            start := sub(encoded, 0x24)
        }
        (ok, ret) = _call(self, 0, gasLimit, start, size + 0x44);
        assembly ("memory-safe") {
            mstore(encoded, size)
            mstore(add(encoded, 0x20), 0x20)
        }
    }

    /// @notice Leaves two words of memory in front of what is allocated next.
    function room() internal pure {
        assembly ("memory-safe") {
            mstore(0x40, add(mload(0x40), 0x40))
        }
    }

    /// @dev Calls with the `size` bytes of memory from `start` on.
    function _call(address to, uint256 value, uint256 gasLimit, uint256 start, uint256 size)
        private
        returns (bool ok, bytes memory ret)
    {
        assembly ("memory-safe") {
            ok := call(gasLimit, to, value, start, size, 0, 0)
            size := returndatasize()
            if gt(size, MAX_RET) { size := MAX_RET }
            ret := mload(0x40)
            mstore(ret, size)
            // Whole words are reserved, and zeroed before the copy.
            mstore(add(ret, 0x20), 0)
            mstore(add(ret, 0x40), 0)
            mstore(add(ret, 0x60), 0)
            mstore(add(ret, 0x80), 0)
            returndatacopy(add(ret, 0x20), 0, size)
            mstore(0x40, add(ret, 0xa0))
        }
    }

    /// @notice Tries to move `amount` of `token` (zero: the native coin) to `to`
    /// with at most `gasLimit` gas. Never reverts; false when nothing moved.
    function tryPay(address token, address to, uint256 amount, uint256 gasLimit) internal returns (bool ok) {
        if (token != address(0)) return tryTransfer(token, to, amount, gasLimit);
        (ok,) = bounded(to, amount, gasLimit, "");
    }

    /// @notice ERC-20 transfer with at most `gasLimit` gas. False when the token
    /// reverts, returns false, answers nothing readable, or has no code; copies at
    /// most one word of what it returns.
    /// @dev Relies on a token that does not return true, or nothing, having moved
    /// nothing.
    function tryTransfer(address token, address to, uint256 amount, uint256 gasLimit)
        internal
        returns (bool ok)
    {
        bytes4 selector = 0xa9059cbb; // transfer(address,uint256)
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, selector)
            mstore(add(p, 0x04), and(to, 0xffffffffffffffffffffffffffffffffffffffff))
            mstore(add(p, 0x24), amount)
            mstore(0x00, 0)
            let success := call(gasLimit, token, 0, p, 0x44, 0x00, 0x20)
            switch returndatasize()
            case 0 { ok := and(success, iszero(iszero(extcodesize(token)))) }
            default { ok := and(success, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
        }
    }
}
