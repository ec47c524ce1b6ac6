// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";

/// @dev A handler that behaves, or not, as told.
contract Recipient is IIpcHandler {
    enum Mode {
        Accept,
        Refuse,
        Bomb, // returns a megabyte
        RevertBomb, // reverts with a megabyte
        BurnGas,
        Reenter, // calls everything locked
        Send, // sends a Call with half of the value
        Release, // releases all it has
        Work // needs 7.4 million gas, then accepts
    }

    ISubnetGateway private immutable GATEWAY;
    Mode public mode;
    bool public acceptsPlain = true;
    uint256 public handled;
    uint256 public gasSeen;
    uint256 public valueSeen;
    uint256 public reentered;
    bytes32 public lastHash;
    bytes public attack;

    constructor(ISubnetGateway gateway) {
        GATEWAY = gateway;
    }

    function set(Mode to) external {
        mode = to;
    }

    function setPlain(bool accepts) external {
        acceptsPlain = accepts;
    }

    function setAttack(bytes calldata data) external {
        attack = data;
    }

    function handleIpcMessage(IpcEnvelope calldata envelope) external payable returns (bytes memory) {
        gasSeen = gasleft();
        valueSeen = msg.value;
        lastHash = keccak256(abi.encode(envelope));
        ++handled;
        _behave();
        return hex"c0ffee";
    }

    receive() external payable {
        require(acceptsPlain, "no thanks");
        if (gasleft() < 20_000) return;
        gasSeen = gasleft();
        _behave();
    }

    function send(IpcEnvelope calldata e) external payable returns (IpcEnvelope memory) {
        return GATEWAY.sendContractXnetMessage{value: msg.value}(e);
    }

    function pull(address to) external returns (uint256) {
        return GATEWAY.withdrawCredit(to);
    }

    function _behave() private {
        if (mode == Mode.Refuse) revert("refused");
        if (mode == Mode.Bomb) {
            assembly {
                return(0, 1000000)
            }
        }
        if (mode == Mode.RevertBomb) {
            assembly {
                revert(0, 200000)
            }
        }
        if (mode == Mode.BurnGas) {
            assembly {
                invalid()
            }
        }
        if (mode == Mode.Work) {
            uint256 start = gasleft();
            while (start - gasleft() < 7_400_000) {}
        }
        if (mode == Mode.Reenter) {
            (bool ok,) = address(GATEWAY).call(attack);
            if (ok) ++reentered;
        }
        if (mode == Mode.Send) {
            IpcEnvelope memory e;
            uint256 fee = GATEWAY.exitFee();
            e.value = msg.value / 2;
            e.to = IPCAddress(
                SubnetID(GATEWAY.getNetworkName().root, new address[](0)),
                FvmAddress(4, abi.encode(DelegatedAddress(10, 20, abi.encodePacked(address(0xDADA0003)))))
            );
            e.message = abi.encode(CallMsg(hex"01020304", ""));
            GATEWAY.sendContractXnetMessage{value: e.value + fee}(e);
        }
        if (mode == Mode.Release) {
            GATEWAY.release{value: address(this).balance}(
                FvmAddress(4, abi.encode(DelegatedAddress(10, 20, abi.encodePacked(address(0xDADA0003)))))
            );
        }
    }
}

/// @dev Takes nothing at all.
contract Stone {}

/// @dev Relays its calls with the gas it is told to.
contract Starver {
    function run(address to, uint256 gasLimit, bytes calldata data)
        external
        returns (bool ok, bytes memory ret)
    {
        (ok, ret) = to.call{gas: gasLimit}(data);
    }

    receive() external payable {
        revert("keeps no reward");
    }
}
