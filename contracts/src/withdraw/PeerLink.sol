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
    /// @dev keccak256 of the words of IPCAddress(peer network, peer), and how many
    /// bytes these are.
    bytes32 private immutable PEER_HASH;
    uint256 private immutable PEER_SIZE;
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
        // Without the offset that abi.encode puts in front of a struct.
        bytes memory words = abi.encode(IPCAddress({subnetId: network, rawAddress: Fvm.from(peer)}));
        bytes32 hash;
        assembly ("memory-safe") {
            hash := keccak256(add(words, 0x40), sub(mload(words), 0x20))
        }
        PEER_HASH = hash;
        PEER_SIZE = words.length - 32;
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

    /// @dev Is it the peer, laid out as every encoder in use does?
    function _isPeer(IPCAddress calldata from) internal view returns (bool) {
        uint256 size = PEER_SIZE;
        bytes32 hash;
        assembly ("memory-safe") {
            let at := mload(0x40)
            calldatacopy(at, from, size)
            hash := keccak256(at, size)
        }
        return hash == PEER_HASH;
    }
}
