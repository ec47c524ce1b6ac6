// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import "../../src/ipc/Types.sol";

/// @dev Takes coin only when told to.
contract Wallet {
    bool public open;

    function set(bool open_) external {
        open = open_;
    }

    receive() external payable {
        require(open, "no coin");
    }
}

/// @dev A contract of the subnet that calls others on the root, and takes what
/// comes back.
contract Stranger is IIpcHandler {
    uint256 public returned;

    function send(ISubnetGateway gateway, IpcEnvelope calldata e) external payable {
        gateway.sendContractXnetMessage{value: msg.value}(e);
    }

    function handleIpcMessage(IpcEnvelope calldata) external payable returns (bytes memory) {
        returned += msg.value;
        return "";
    }
}
