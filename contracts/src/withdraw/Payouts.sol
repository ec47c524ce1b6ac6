// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Paying a token out with bounded gas and without reverting
library Payouts {
    /// @dev Less gas than promised reached a handler: it reverts instead of
    /// taking a starved transfer for a refused one (PROTOCOL 14).
    error NotEnoughGas();

    /// @notice Requires that a call with `stipend` gas gets all of it and that
    /// `rest` remains for the books afterwards.
    function requireGas(uint256 stipend, uint256 rest) internal view {
        if (gasleft() - gasleft() / 64 < stipend + rest) revert NotEnoughGas();
    }

    /// @notice The token's balance of `account`, or `otherwise` when it does not
    /// answer.
    function balanceOr(address token, address account, uint256 stipend, uint256 otherwise)
        internal
        view
        returns (uint256 held)
    {
        bytes4 selector = 0x70a08231; // balanceOf(address)
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, selector)
            mstore(add(p, 0x04), and(account, 0xffffffffffffffffffffffffffffffffffffffff))
            let success := staticcall(stipend, token, p, 0x24, 0x00, 0x20)
            held := otherwise
            if and(success, gt(returndatasize(), 0x1f)) { held := mload(0x00) }
        }
    }
}
