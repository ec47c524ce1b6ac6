// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

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
        assembly ("memory-safe") {
            ok := call(gasLimit, to, value, add(data, 0x20), mload(data), 0, 0)
            let size := returndatasize()
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
        bytes memory ret;
        if (token == address(0)) {
            (ok,) = bounded(to, amount, gasLimit, "");
            return ok;
        }
        // transfer(address,uint256); tokens may answer nothing or true.
        (ok, ret) = bounded(token, 0, gasLimit, abi.encodeWithSelector(0xa9059cbb, to, amount));
        if (!ok) return false;
        if (ret.length == 0) return token.code.length != 0;
        // The first word is what is meant.
        // forge-lint: disable-next-line(unsafe-typecast)
        return ret.length >= 32 && uint256(bytes32(ret)) == 1;
    }
}
