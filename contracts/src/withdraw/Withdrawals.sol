// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {CallMsg, SubnetID, Withdrawal} from "../ipc/Types.sol";

/// @title What a withdrawal is called and how it travels, on both sides
library Withdrawals {
    /// @dev Method of the one message the outbox sends.
    bytes4 internal constant SETTLE = bytes4(
        keccak256(
            "settle((bytes32,address,uint64,address,address,address,address,uint256,uint256,uint64,uint64,address,uint64,uint16))"
        )
    );
    /// @dev The struct is static: 14 words, nothing less or more.
    uint256 internal constant PARAMS_LENGTH = 14 * 32;

    /// @notice The id: every payout field, the root chain and the paying
    /// contract are in it, so nothing can be paid elsewhere or twice.
    function idOf(uint256 rootChainId, address fastWithdrawals, Withdrawal memory w)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode("FW1", rootChainId, fastWithdrawals, w));
    }

    /// @notice keccak256(abi.encode(subnet)).
    function subnetKey(SubnetID memory subnet) internal pure returns (bytes32) {
        return keccak256(abi.encode(subnet));
    }

    /// @notice The envelope's message: abi.encode(CallMsg(SETTLE, abi.encode(w))).
    function encode(Withdrawal memory w) internal pure returns (bytes memory) {
        return abi.encode(CallMsg({method: abi.encodePacked(SETTLE), params: abi.encode(w)}));
    }

    /// @notice The inverse of encode; reverts on anything else.
    function decode(bytes calldata message) internal pure returns (bool ours, Withdrawal memory w) {
        CallMsg memory call_ = abi.decode(message, (CallMsg));
        if (call_.method.length != 4 || call_.params.length != PARAMS_LENGTH) return (false, w);
        if (bytes4(call_.method) != SETTLE) return (false, w);
        return (true, abi.decode(call_.params, (Withdrawal)));
    }
}
