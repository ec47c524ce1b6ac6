// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGmpCallee, IGmpCaller, IGmpPort} from "../interfaces/IGmp.sol";

/// @title A contract of the devnet that calls its like on the other chain
/// @notice Stands on either chain and says in events what it hears.
contract DevGmp is IGmpCallee, IGmpCaller {
    /// @dev The port alone says truly who called.
    error NotPort(address caller);
    /// @dev The data was to be refused: its first byte is 0xff.
    error Refused(bytes data);

    event Called(bytes32 indexed id, uint256 sourceChainId, address indexed sender, bytes data);
    event Told(bytes32 indexed id, bool ok, bytes ret);

    IGmpPort public immutable PORT;

    /// @param port of the chain it stands on; those of either have the same `call`
    constructor(address port) {
        PORT = IGmpPort(port);
    }

    modifier onlyPort() {
        if (msg.sender != address(PORT)) revert NotPort(msg.sender);
        _;
    }

    /// @notice Has `target` on the other chain called with `data`; msg.value is what
    /// the port asks for.
    function call(address target, bytes calldata data, uint64 gas) external payable returns (bytes32 id) {
        return PORT.call{value: msg.value}(target, data, gas);
    }

    /// @inheritdoc IGmpCallee
    /// @dev Returns the data.
    function onGmpCall(bytes32 id, uint256 sourceChainId, address sender, bytes calldata data)
        external
        onlyPort
        returns (bytes memory ret)
    {
        if (data.length != 0 && data[0] == 0xff) revert Refused(data);
        emit Called(id, sourceChainId, sender, data);
        return data;
    }

    /// @inheritdoc IGmpCaller
    function onGmpResult(bytes32 id, bool ok, bytes calldata ret) external onlyPort returns (bytes4) {
        emit Told(id, ok, ret);
        return IGmpCaller.onGmpResult.selector;
    }
}
