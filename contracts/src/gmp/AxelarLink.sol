// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ShortString, ShortStrings} from "@openzeppelin/contracts/utils/ShortStrings.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {IAxelarExecutable, IAxelarGateway} from "../interfaces/IAxelar.sol";

/// @title A contract that talks to exactly one contract on one other chain, over
/// Axelar
/// @notice Gateway, chain and account are fixed at construction and immutable
/// (PROTOCOL 35). Works on gateways of both generations.
abstract contract AxelarLink is IAxelarExecutable {
    using ShortStrings for ShortString;
    using ShortStrings for string;

    error InvalidLink();
    error WrongSource(string chain, string account);

    address internal immutable AXELAR;
    ShortString private immutable FAR_CHAIN;
    bytes32 private immutable FAR_CHAIN_HASH;
    address internal immutable FAR_ACCOUNT;

    /// @param chain as Axelar calls it; case counts
    constructor(address axelarGateway_, string memory chain, address account) {
        bool complete = axelarGateway_.code.length != 0 && bytes(chain).length != 0 && account != address(0);
        if (!complete) revert InvalidLink();
        AXELAR = axelarGateway_;
        FAR_CHAIN = chain.toShortString();
        FAR_CHAIN_HASH = keccak256(bytes(chain));
        FAR_ACCOUNT = account;
    }

    /// @notice The gateway of Axelar, the chain we talk to as Axelar calls it, and
    /// the contract there.
    function axelarLink()
        external
        view
        returns (address axelarGateway, string memory chain, address account)
    {
        return (AXELAR, FAR_CHAIN.toString(), FAR_ACCOUNT);
    }

    /// @dev Uses up the approval of a call of our counterpart. Whether Axelar writes
    /// its address with a checksum or without, it is the same account.
    function _validate(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes calldata payload
    ) internal {
        (, address account) = Strings.tryParseAddress(sourceAddress); // 0 if it is none
        bool ours = account == FAR_ACCOUNT && keccak256(bytes(sourceChain)) == FAR_CHAIN_HASH;
        if (!ours) revert WrongSource(sourceChain, sourceAddress);
        bool approved = IAxelarGateway(AXELAR)
            .validateContractCall(commandId, sourceChain, sourceAddress, keccak256(payload));
        if (!approved) revert NotApprovedByGateway();
    }

    /// @dev Where calls go, as a gateway takes it.
    function _farAddress() internal view returns (string memory chain, string memory account) {
        return (FAR_CHAIN.toString(), Strings.toHexString(FAR_ACCOUNT));
    }

    function _callFar(bytes memory payload) internal {
        (string memory chain, string memory account) = _farAddress();
        IAxelarGateway(AXELAR).callContract(chain, account, payload);
    }
}
