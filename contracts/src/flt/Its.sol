// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IFlowLimited, IInterchainTokenService} from "../interfaces/IInterchainTokenService.sol";

/// @title The Interchain Token Service, 2.1.1 or 2.2.0
library Its {
    /// @dev The service would refuse the destination.
    error UntrustedDestination(string chain);
    /// @dev More than may leave: ever, above `limit`; else only in this window.
    error OverFlowLimit(uint256 limit, uint256 room);

    /// @notice Does the service send to `chain`? Each version is asked its own
    /// way; of one that answers to neither we know nothing, and it decides itself.
    function isTrusted(address its, string memory chain) internal view returns (bool) {
        (bool ok, bytes memory ret) =
            its.staticcall(abi.encodeCall(IInterchainTokenService.isTrustedChain, (chain)));
        if (ok && ret.length == 32) return abi.decode(ret, (uint256)) != 0;
        (ok, ret) = its.staticcall(abi.encodeCall(IInterchainTokenService.trustedAddress, (chain)));
        if (!ok || ret.length < 64) return true;
        uint256 length; // of the string
        assembly ("memory-safe") {
            length := mload(add(ret, 0x40))
        }
        return length != 0;
    }

    function requireTrusted(address its, string memory chain) internal view {
        if (!isTrusted(its, chain)) revert UntrustedDestination(chain);
    }

    /// @notice How much more may leave through a token manager in this window.
    /// The limit bounds each amount and the difference of the two flows.
    function flowRoom(address manager) internal view returns (uint256 limit, uint256 room) {
        limit = IFlowLimited(manager).flowLimit();
        if (limit == 0) return (0, type(uint256).max);
        uint256 outgoing = IFlowLimited(manager).flowOutAmount();
        uint256 incoming = IFlowLimited(manager).flowInAmount();
        if (incoming >= outgoing) return (limit, limit);
        uint256 net = outgoing - incoming;
        return (limit, net >= limit ? 0 : limit - net);
    }

    function requireFlow(address manager, uint256 amount) internal view {
        (uint256 limit, uint256 room) = flowRoom(manager);
        if (amount > room) revert OverFlowLimit(limit, room);
    }

    /// @notice Sends `amount` of the caller's tokens to `to`, with `data` for it
    /// or none. The six-argument form is the one both versions know.
    function send(
        address its,
        bytes32 tokenId,
        string memory chain,
        address to,
        uint256 amount,
        bytes memory data
    ) internal {
        bytes memory metadata = data.length == 0 ? data : bytes.concat(bytes4(0), data);
        IInterchainTokenService(its).interchainTransfer{value: msg.value}(
            tokenId, chain, abi.encodePacked(to), amount, metadata, msg.value
        );
    }
}
