// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Fvm} from "../ipc/Fvm.sol";
import {IPCAddress, SubnetID} from "../ipc/Types.sol";
import {IIpcHandler} from "../interfaces/IIpcHandler.sol";

/// @title A contract that talks to exactly one contract on the other side
/// @notice Gateway and peer are fixed at construction and immutable
/// (PROTOCOL 35). Nothing here depends on address(this), so the runtime code may
/// be placed in a genesis.
abstract contract PeerLink is IIpcHandler {
    error InvalidPeer();

    address internal immutable GATEWAY;
    address internal immutable PEER;
    /// @dev keccak256(abi.encode(IPCAddress(peer network, peer))).
    bytes32 internal immutable PEER_HASH;
    // A route has at most two parts (PROTOCOL 15), so it fits into immutables.
    uint64 private immutable PEER_ROOT;
    uint256 private immutable PEER_DEPTH;
    address private immutable PEER_PART_0;
    address private immutable PEER_PART_1;

    constructor(address gateway_, SubnetID memory network, address peer) {
        uint256 depth = network.route.length;
        if (gateway_ == address(0) || peer == address(0) || depth > 2) revert InvalidPeer();
        GATEWAY = gateway_;
        PEER = peer;
        PEER_HASH = keccak256(abi.encode(IPCAddress({subnetId: network, rawAddress: Fvm.from(peer)})));
        PEER_ROOT = network.root;
        PEER_DEPTH = depth;
        PEER_PART_0 = depth > 0 ? network.route[0] : address(0);
        PEER_PART_1 = depth > 1 ? network.route[1] : address(0);
    }

    modifier onlyGateway() {
        _onlyGateway();
        _;
    }

    /// @notice The gateway this contract sends through and hears from.
    function gateway() external view returns (address) {
        return GATEWAY;
    }

    /// @notice The contract on the other side.
    function peerAddress() public view returns (IPCAddress memory) {
        address[] memory route = new address[](PEER_DEPTH);
        if (PEER_DEPTH > 0) route[0] = PEER_PART_0;
        if (PEER_DEPTH > 1) route[1] = PEER_PART_1;
        return IPCAddress({subnetId: SubnetID({root: PEER_ROOT, route: route}), rawAddress: Fvm.from(PEER)});
    }

    function _onlyGateway() private view {
        if (msg.sender != GATEWAY) revert CallerIsNotGateway();
    }

    function _isPeer(IPCAddress calldata from) internal view returns (bool) {
        return keccak256(abi.encode(from)) == PEER_HASH;
    }
}
