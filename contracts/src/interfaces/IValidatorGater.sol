// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../ipc/Types.sol";

/// @title Decides who may validate, as generation C asks it
interface IValidatorGater {
    /// @notice Reverts to refuse the change.
    function interceptPowerDelta(SubnetID memory id, address validator, uint256 oldPower, uint256 newPower)
        external;
}
