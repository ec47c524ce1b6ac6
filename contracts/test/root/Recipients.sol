// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import "../../src/ipc/Types.sol";

/// @dev Remembers what it was given, and can be told to fail or to burn gas.
contract Handler is IIpcHandler {
    uint256 public calls;
    uint256 public value;
    uint256 public gasSeen;
    bytes32 public lastHash;
    bool public failing;
    uint256 public burn; // gas to use before it answers

    function fail(bool yes) external {
        failing = yes;
    }

    function burnGas(uint256 amount) external {
        burn = amount;
    }

    function handleIpcMessage(IpcEnvelope calldata e) external payable virtual returns (bytes memory) {
        uint256 left = gasleft();
        if (burn != 0) {
            while (left - gasleft() < burn) {}
        }
        require(!failing, "handler says no");
        calls++;
        value += msg.value;
        gasSeen = left;
        lastHash = keccak256(abi.encode(e));
        return "thanks";
    }

    /// @dev Sends a message as a contract does; the test gives it the money.
    function send(IGateway gateway, IpcEnvelope calldata e, address token)
        external
        payable
        returns (IpcEnvelope memory)
    {
        if (token != address(0)) IERC20(token).approve(address(gateway), type(uint256).max);
        return gateway.sendContractXnetMessage{value: msg.value}(e);
    }

    receive() external payable {
        require(!failing, "no coins");
    }
}

/// @dev Answers and fails with more data than anybody wants.
contract Bomb {
    bool public failing;

    constructor(bool failing_) {
        failing = failing_;
    }

    fallback() external payable {
        bool bad = failing;
        assembly {
            switch bad
            case 0 { return(0, 200000) }
            default { revert(0, 200000) }
        }
    }
}

/// @dev Has code, but neither handler nor receive.
contract Mute {
    uint256 public nothing;
}

/// @dev Calls back into the gateway and the actor from its handler.
contract Reenterer is IIpcHandler {
    Gateway public immutable gateway;
    SubnetActor public immutable actor;
    bytes public attempt;
    address public target;
    bool public succeeded;

    constructor(Gateway gateway_, SubnetActor actor_) {
        gateway = gateway_;
        actor = actor_;
    }

    function plan(address target_, bytes calldata attempt_) external {
        target = target_;
        attempt = attempt_;
    }

    function handleIpcMessage(IpcEnvelope calldata) external payable returns (bytes memory) {
        (succeeded,) = target.call(attempt);
        return "";
    }
}

/// @dev A token that keeps a fee, can be paused, and can call out in transfers.
contract OddToken is ERC20 {
    uint256 public feePercent;
    bool public paused;
    bool public lying; // returns false instead of reverting
    address public hook;
    bytes public hookCall;

    constructor() ERC20("Odd", "ODD") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function set(uint256 fee, bool paused_, bool lying_) external {
        (feePercent, paused, lying) = (fee, paused_, lying_);
    }

    function onTransferFrom(address hook_, bytes calldata call_) external {
        (hook, hookCall) = (hook_, call_);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        require(!paused, "paused");
        if (lying) return false;
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        require(!paused, "paused");
        if (hook != address(0)) {
            address target = hook;
            hook = address(0);
            (bool ok, bytes memory ret) = target.call(hookCall);
            if (!ok) {
                assembly {
                    revert(add(ret, 0x20), mload(ret))
                }
            }
        }
        _spendAllowance(from, msg.sender, amount);
        uint256 fee = amount * feePercent / 100;
        _transfer(from, to, amount - fee);
        if (fee != 0) _burn(from, fee);
        return true;
    }
}
