// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import "../../src/ipc/Types.sol";

/// @title What both published gateways do with a message
/// @notice Behaves as `facts` describe the published contracts, holes included:
/// a message of a wrong nonce is swallowed and answered with SystemErr, a Result
/// answers everything that is not one, and value that returns to an account
/// without code stays in the gateway.
abstract contract Applier {
    using Envelopes for IpcEnvelope;
    using SafeERC20 for IERC20;

    error InvalidXnetMessage(InvalidXnetMessageReason reason);
    error InvalidSubnetActor();

    // The facet itself: what may fail runs in a frame of its own, as upstream's
    // linked library does, so that a recipient's failure undoes only itself.
    address private immutable facet = address(this);

    /// @dev Keeps the answer of an applied message for the other side.
    function _answer(IpcEnvelope memory result) internal virtual;

    /// @dev Applies one message whose turn is `expected`; true when it was its
    /// turn. Never reverts.
    function _apply(IpcEnvelope memory m, uint64 expected, Asset memory supply) internal returns (bool turn) {
        if (m.isEmpty()) return m.localNonce == expected;
        if (m.localNonce != expected) {
            _reply(m, OutcomeType.SystemErr, abi.encode(InvalidXnetMessageReason.Nonce));
            return false;
        }
        (bool ok, bytes memory ret) = facet.delegatecall(abi.encodeCall(this.execute, (m, supply)));
        _reply(m, ok ? OutcomeType.Ok : OutcomeType.ActorErr, ok ? abi.decode(ret, (bytes)) : ret);
        return true;
    }

    /// @notice Pays or calls the recipient; reverts when it refuses. Not among the
    /// selectors of the diamond.
    function execute(IpcEnvelope memory m, Asset memory supply) external returns (bytes memory) {
        address to = Fvm.evm(m.to.rawAddress);
        if (m.kind == IpcMsgKind.Transfer) {
            _pay(supply, to, m.value);
            return "";
        }
        if (to.code.length == 0) revert InvalidSubnetActor();
        if (supply.kind == AssetKind.ERC20 && m.value > 0) {
            _pay(supply, to, m.value);
            return IIpcHandler(to).handleIpcMessage(m);
        }
        return IIpcHandler(to).handleIpcMessage{value: m.value}(m);
    }

    function _pay(Asset memory supply, address to, uint256 value) private {
        if (supply.kind == AssetKind.ERC20) {
            IERC20(supply.tokenAddress).safeTransfer(to, value);
            return;
        }
        (bool ok,) = to.call{value: value}("");
        require(ok, "transfer failed");
    }

    function _reply(IpcEnvelope memory m, OutcomeType outcome, bytes memory ret) private {
        if (m.kind == IpcMsgKind.Result) return; // nobody answers an answer
        if (ret.length > Envelopes.MAX_RET) {
            assembly ("memory-safe") {
                mstore(ret, 128)
            }
        }
        _answer(m.resultFor(outcome, ret));
    }
}
