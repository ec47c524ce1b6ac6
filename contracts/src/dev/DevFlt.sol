// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title FLT of a development chain: 18 decimals, permit, minted by its owner
/// @notice On Ethereum it is what crosses; on a root without Ethereum it stands in
/// for the interchain token.
contract DevFlt is ERC20, ERC20Permit, Ownable {
    constructor(address owner_) ERC20("Fluence", "FLT") ERC20Permit("Fluence") Ownable(owner_) {}

    /// @notice Owner only.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }
}
