// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../ipc/Types.sol";

/// @title What a contract implements to receive IPC messages
interface IIpcHandler {
    error CallerIsNotGateway();
    error UnsupportedMsgKind();
    error UnrecognizedResult();

    function handleIpcMessage(IpcEnvelope calldata envelope) external payable returns (bytes memory ret);
}
