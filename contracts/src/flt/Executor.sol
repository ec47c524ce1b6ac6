// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

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
/// approved and may be executed again. Holds nothing, owns nothing, keeps nothing.
contract Executor {
    /// @dev Less gas is left than the next message is promised: none of this
    /// transaction counts.
    error NotEnoughGas(uint256 index);
    error NothingExecuted();

    /// @dev What a call costs besides the gas it is given.
    uint256 private constant CALL_RESERVE = 20_000;

    bytes4 private constant EXECUTE = bytes4(keccak256("execute(bytes32,string,string,bytes)"));

    /// @notice Executes `messages` at `target`, each with `gasEach` at most, in order.
    /// Reverts when none succeeds, or when one would have less than `gasEach`: what
    /// is given too little must not look like what fails (PROTOCOL 14).
    /// @return executed how many succeeded
    function executeAll(address target, uint256 gasEach, Execution[] calldata messages)
        external
        returns (uint256 executed)
    {
        for (uint256 i = 0; i < messages.length; ++i) {
            Execution calldata m = messages[i];
            bytes memory data =
                abi.encodeWithSelector(EXECUTE, m.commandId, m.sourceChain, m.sourceAddress, m.payload);
            if (gasleft() < gasEach + gasEach / 63 + CALL_RESERVE) revert NotEnoughGas(i);
            bool ok;
            // Nothing of what it answers is copied: an answer of any length is free.
            assembly ("memory-safe") {
                ok := call(gasEach, target, 0, add(data, 0x20), mload(data), 0, 0)
            }
            if (ok) ++executed;
        }
        if (executed == 0) revert NothingExecuted();
    }
}
