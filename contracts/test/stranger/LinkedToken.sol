// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import "../../src/ipc/Types.sol";

interface IAnyGateway {
    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory);
}

/// @title Either half of a linked token as somebody else deployed it
/// @notice Files what is on its way under the message's hash while answers carry
/// its id, so every answer reverts and nothing is refunded: as published.
abstract contract LinkedToken is IIpcHandler {
    using Envelopes for IpcEnvelope;
    using Envelopes for SubnetID;

    error InvalidOriginContract();
    error InvalidOriginSubnet();
    error InvalidEnvelope(string reason);

    event LinkedTokensSent(
        address indexed underlying,
        address indexed sender,
        address indexed recipient,
        bytes32 id,
        uint64 nonce,
        uint256 value
    );
    event LinkedTokenReceived(address indexed recipient, uint256 amount);

    address public immutable gateway;
    address public immutable underlying;
    SubnetID private linkedSubnet;
    address private linkedContract;
    mapping(bytes32 => uint256) private unconfirmed;

    constructor(address gateway_, address underlying_, SubnetID memory linkedSubnet_) {
        gateway = gateway_;
        underlying = underlying_;
        linkedSubnet = linkedSubnet_;
    }

    function setLinkedContract(address linked) external {
        require(linkedContract == address(0), "linked already");
        linkedContract = linked;
    }

    function linkedTransfer(address receiver, uint256 amount)
        external
        returns (IpcEnvelope memory committed)
    {
        require(linkedContract != address(0), "linked token not initialized");
        _capture(msg.sender, amount);
        IpcEnvelope memory m;
        m.kind = IpcMsgKind.Call;
        m.to = IPCAddress(linkedSubnet, Fvm.from(linkedContract));
        m.message = abi.encode(
            CallMsg(abi.encodePacked(bytes4(0xdfb85dac)), abi.encode(receiver, amount)) // receiveLinked
        );
        committed = IAnyGateway(gateway).sendContractXnetMessage(m);
        bytes32 id = committed.toHash();
        unconfirmed[id] = amount;
        emit LinkedTokensSent(underlying, msg.sender, receiver, id, committed.localNonce, amount);
    }

    function handleIpcMessage(IpcEnvelope calldata envelope) external payable returns (bytes memory) {
        if (msg.sender != gateway) revert CallerIsNotGateway();
        if (envelope.kind == IpcMsgKind.Result) {
            ResultMsg memory result = abi.decode(envelope.message, (ResultMsg));
            if (unconfirmed[result.id] == 0) revert UnrecognizedResult();
            delete unconfirmed[result.id];
            return "";
        }
        if (envelope.kind != IpcMsgKind.Call) revert UnsupportedMsgKind();
        if (envelope.from.subnetId.subnetHash() != linkedSubnet.subnetHash()) revert InvalidOriginSubnet();
        if (Fvm.evm(envelope.from.rawAddress) != linkedContract) revert InvalidOriginContract();
        CallMsg memory call = abi.decode(envelope.message, (CallMsg));
        if (bytes4(call.method) != bytes4(0xdfb85dac)) revert InvalidEnvelope("method");
        (address receiver, uint256 amount) = abi.decode(call.params, (address, uint256));
        if (receiver == address(0)) revert InvalidEnvelope("receiver");
        _release(receiver, amount);
        emit LinkedTokenReceived(receiver, amount);
        return "";
    }

    function _capture(address holder, uint256 amount) internal virtual;
    function _release(address receiver, uint256 amount) internal virtual;
}

/// @title The half on the root: locks and unlocks
contract Controller is LinkedToken {
    using SafeERC20 for IERC20;

    constructor(address gateway_, address underlying_, SubnetID memory linkedSubnet_)
        LinkedToken(gateway_, underlying_, linkedSubnet_)
    {}

    function _capture(address holder, uint256 amount) internal override {
        IERC20(underlying).safeTransferFrom(holder, address(this), amount);
    }

    function _release(address receiver, uint256 amount) internal override {
        IERC20(underlying).safeTransfer(receiver, amount);
    }
}

/// @title The half in the subnet: mints and burns
contract Replica is LinkedToken, ERC20 {
    constructor(address gateway_, address underlying_, SubnetID memory linkedSubnet_)
        LinkedToken(gateway_, underlying_, linkedSubnet_)
        ERC20("USD Coin", "USDC")
    {}

    function _capture(address holder, uint256 amount) internal override {
        _burn(holder, amount);
    }

    function _release(address receiver, uint256 amount) internal override {
        _mint(receiver, amount);
    }
}
