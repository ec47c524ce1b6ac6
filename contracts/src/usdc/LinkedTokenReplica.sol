// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {CallMsg, IpcEnvelope, IpcMsgKind, SubnetID} from "../ipc/Types.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";
import {ILinkedTokenReplica} from "../interfaces/IWithdrawals.sol";
import {PeerLink} from "../withdraw/PeerLink.sol";

/// @title USDC inside the subnet
/// @notice Minted only by a message of the root's controller, burnt only by the
/// outbox (PROTOCOL 33). Whatever it cannot mint it refuses, and the controller
/// refunds the depositor.
contract LinkedTokenReplica is ILinkedTokenReplica, PeerLink, ERC20, ERC20Permit {
    error InvalidOrigin();
    error UnexpectedValue();
    error UnknownMethod(bytes method);
    error InvalidAmount(uint256 amount);
    error InvalidRecipient(address recipient);
    error NotOutbox();

    /// @dev receiveLinked(address recipient, uint256 amount).
    bytes4 private constant RECEIVE_LINKED = 0xdfb85dac;

    address private immutable OUTBOX;
    uint256 private immutable MINT_CAP;

    /// @inheritdoc ILinkedTokenReplica
    uint256 public minted;
    /// @inheritdoc ILinkedTokenReplica
    uint256 public burnt;

    constructor(
        address gateway_,
        SubnetID memory rootNetwork,
        address controller,
        address outbox_,
        uint256 mintCap_,
        string memory name_,
        string memory symbol_
    ) PeerLink(gateway_, rootNetwork, controller) ERC20(name_, symbol_) ERC20Permit(name_) {
        if (outbox_ == address(0) || mintCap_ == 0) revert InvalidPeer();
        OUTBOX = outbox_;
        MINT_CAP = mintCap_;
    }

    /// @inheritdoc IIpcHandler
    /// @dev Its only method is receiveLinked(address,uint256), of value 0.
    function handleIpcMessage(IpcEnvelope calldata envelope)
        external
        payable
        onlyGateway
        returns (bytes memory)
    {
        if (envelope.kind != IpcMsgKind.Call) revert UnsupportedMsgKind();
        if (!_isPeer(envelope.from)) revert InvalidOrigin();
        if (msg.value != 0 || envelope.value != 0) revert UnexpectedValue();

        CallMsg memory call_ = abi.decode(envelope.message, (CallMsg));
        bool known = call_.method.length == 4 && bytes4(call_.method) == RECEIVE_LINKED;
        if (!known) revert UnknownMethod(call_.method);
        (address recipient, uint256 amount) = abi.decode(call_.params, (address, uint256));
        if (amount == 0 || amount > MINT_CAP) revert InvalidAmount(amount);
        if (_isRefused(recipient)) revert InvalidRecipient(recipient);

        minted += amount;
        _mint(recipient, amount);
        emit LinkedTokenReceived(recipient, amount);
        return "";
    }

    /// @inheritdoc ILinkedTokenReplica
    function burnForWithdrawal(address owner, uint256 amount) external {
        if (msg.sender != OUTBOX) revert NotOutbox();
        burnt += amount;
        _burn(owner, amount);
    }

    /// @inheritdoc ILinkedTokenReplica
    function mintCap() external view returns (uint256) {
        return MINT_CAP;
    }

    /// @notice The only contract that burns.
    function outbox() external view returns (address) {
        return OUTBOX;
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function _isRefused(address to) private view returns (bool) {
        return Fvm.isForbidden(to) || to == address(this) || to == OUTBOX || to == GATEWAY;
    }
}
