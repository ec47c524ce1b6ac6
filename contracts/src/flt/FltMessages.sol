// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {FltDeposit, FltWithdrawal} from "../interfaces/IFlt.sol";
import {CallMsg} from "../ipc/Types.sol";

/// @title What FLT crossing between Ethereum and the subnet is called and how it
/// travels, on all three chains
library FltMessages {
    /// @dev Method of the one message a portal sends.
    bytes4 internal constant SEND_TO_L1 =
        bytes4(keccak256("sendToL1((bytes32,address,uint64,address,address,address,uint256))"));

    uint256 private constant DEPOSIT_LENGTH = 5 * 32;
    /// @dev abi.encode(CallMsg): two offsets and the tuple's own, both lengths, the
    /// method padded; then the seven words.
    uint256 private constant WITHDRAWAL_AT = 6 * 32;
    uint256 private constant WITHDRAWAL_LENGTH = 13 * 32;

    /// @notice Known on Ethereum at once, and nothing but this deposit has it.
    function idOf(uint256 chainId, address sender, FltDeposit memory d) internal pure returns (bytes32) {
        return keccak256(abi.encode("FLTD1", chainId, sender, d));
    }

    function idOf(uint256 rootChainId, address handler, FltWithdrawal memory w)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode("FLTW1", rootChainId, handler, w));
    }

    /// @notice The deposit in `data`. `ok` is false unless that is exactly what
    /// abi.encode makes of one. Never reverts.
    function parseDeposit(bytes calldata data) internal pure returns (bool ok, FltDeposit memory d) {
        if (data.length != DEPOSIT_LENGTH) return (false, d);
        uint256[5] memory words = abi.decode(data, (uint256[5]));
        if ((words[0] | words[1]) >> 160 != 0 || words[3] >> 64 != 0) return (false, d);
        return (true, abi.decode(data, (FltDeposit)));
    }

    /// @notice Who is owed a deposit that cannot be read: the first word names its
    /// owner in whatever form data may ever take. 0 if it does not.
    function ownerIn(bytes calldata data) internal pure returns (address) {
        if (data.length < 32) return address(0);
        uint256 word = abi.decode(data[:32], (uint256));
        // forge-lint: disable-next-line(unsafe-typecast) no more than an address
        return word >> 160 == 0 ? address(uint160(word)) : address(0);
    }

    /// @notice The envelope's message: abi.encode(CallMsg(SEND_TO_L1, params)).
    function encode(FltWithdrawal memory w) internal pure returns (bytes memory) {
        return abi.encode(CallMsg({method: abi.encodePacked(SEND_TO_L1), params: abi.encode(w)}));
    }

    /// @notice The withdrawal in a message. `ok` is false unless that is exactly
    /// what `encode` makes of one. Never reverts.
    function parseWithdrawal(bytes calldata message) internal pure returns (bool ok, FltWithdrawal memory w) {
        if (message.length != WITHDRAWAL_LENGTH) return (false, w);
        bytes calldata params = message[WITHDRAWAL_AT:];
        uint256[7] memory words = abi.decode(params, (uint256[7]));
        if ((words[1] | words[3] | words[4] | words[5]) >> 160 != 0 || words[2] >> 64 != 0) {
            return (false, w);
        }
        w = abi.decode(params, (FltWithdrawal));
        ok = keccak256(message) == keccak256(encode(w));
    }
}
