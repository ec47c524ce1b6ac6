// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Calls} from "../ipc/Calls.sol";
import {Payouts} from "../withdraw/Payouts.sol";

/// @notice An approved message of Axelar, as execute() of a contract takes it.
struct Execution {
    bytes32 commandId;
    string sourceChain;
    string sourceAddress;
    bytes payload;
}

/// @title Many approved messages in one transaction
/// @notice execute() of an Axelar executable does not ask who calls, so anybody may
/// gather messages here. One that fails takes nothing from the others: it stays
/// approved and may be executed again. Holds nothing, owns nothing, keeps nothing;
/// give it no token and no allowance, it calls whatever it is told to.
contract Executor {
    error NothingExecuted();

    bytes4 private constant EXECUTE = bytes4(keccak256("execute(bytes32,string,string,bytes)"));

    /// @notice Executes `messages` at `target` in order, each with exactly `gasEach`.
    /// Reverts when none succeeds, and when one would have less than `gasEach`: what
    /// is given too little must not look like what fails (PROTOCOL 14).
    /// @return executed how many succeeded
    function executeAll(address target, uint256 gasEach, Execution[] calldata messages)
        external
        returns (uint256 executed)
    {
        for (uint256 i = 0; i < messages.length; ++i) {
            Execution calldata m = messages[i];
            bytes memory call_ =
                abi.encodeWithSelector(EXECUTE, m.commandId, m.sourceChain, m.sourceAddress, m.payload);
            // What the call itself costs differs from chain to chain: a sixteenth.
            Payouts.requireGas(gasEach, gasEach / 16);
            (bool ok,) = Calls.bounded(target, 0, gasEach, call_);
            if (ok) ++executed;
        }
        if (executed == 0) revert NothingExecuted();
    }
}
