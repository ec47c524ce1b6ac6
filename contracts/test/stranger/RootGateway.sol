// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Applier} from "./Applier.sol";

interface ISupplied {
    function supplySource() external view returns (Asset memory);
}

/// @title A root gateway as somebody else deployed it
contract RootGateway is Applier {
    using Envelopes for IpcEnvelope;
    using Envelopes for SubnetID;
    using SafeERC20 for IERC20;

    error NotRegisteredSubnet();
    error SubnetNotFound();
    error InvalidSubnet();
    error InvalidCheckpointSource();
    error NotEnoughSubnetCircSupply();
    error NotAuthorized(address who);
    error NotOwner();

    event NewTopDownMessage(address indexed subnet, IpcEnvelope message, bytes32 indexed id);
    event CheckpointCommitted(address indexed subnet, uint256 subnetHeight);

    struct Book {
        Subnet subnet;
        Asset supply;
        bool known;
    }

    address private owner;
    mapping(address => bool) private approved;
    mapping(bytes32 => Book) private books;
    // Full envelopes are kept, as published gateways keep them.
    mapping(bytes32 => IpcEnvelope[]) private sent;
    bytes32 private applying; // the subnet whose messages are being applied

    function init(address owner_) external {
        owner = owner_;
    }

    function approveSubnet(address actor) external {
        if (msg.sender != owner) revert NotOwner();
        approved[actor] = true;
    }

    function register(uint256 genesisCircSupply, uint256 collateral) external payable {
        if (!approved[msg.sender]) revert NotAuthorized(msg.sender);
        SubnetID memory id = _child(msg.sender);
        Book storage book = books[id.subnetHash()];
        book.known = true;
        book.supply = ISupplied(msg.sender).supplySource();
        book.subnet.id = id;
        book.subnet.stake = collateral;
        book.subnet.genesisEpoch = block.number;
        book.subnet.circSupply = genesisCircSupply;
    }

    function fund(SubnetID calldata subnetId, FvmAddress calldata to) external payable {
        if (msg.value == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        Book storage book = _book(subnetId);
        require(book.supply.kind == AssetKind.Native, "Unexpected asset");
        _commit(book, _transfer(subnetId, to, msg.value));
    }

    function fundWithToken(SubnetID calldata subnetId, FvmAddress calldata to, uint256 amount) external {
        if (amount == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Value);
        Book storage book = _book(subnetId);
        require(book.supply.kind == AssetKind.ERC20, "Unexpected asset");
        _commit(book, _transfer(subnetId, to, _lock(book.supply, amount)));
    }

    function sendContractXnetMessage(IpcEnvelope calldata envelope)
        external
        payable
        returns (IpcEnvelope memory committed)
    {
        if (msg.sender.code.length == 0) revert InvalidXnetMessage(InvalidXnetMessageReason.Sender);
        abi.decode(envelope.message, (CallMsg));
        Book storage book = _book(envelope.to.subnetId);
        committed = envelope;
        committed.kind = IpcMsgKind.Call;
        committed.from = IPCAddress(_here(), Fvm.from(msg.sender));
        committed.originalNonce = 0;
        _lock(book.supply, envelope.value);
        committed = _commit(book, committed);
    }

    function commitCheckpoint(BottomUpCheckpoint calldata checkpoint) external {
        if (checkpoint.subnetID.route.length == 0) revert InvalidSubnet();
        if (checkpoint.subnetID.route[checkpoint.subnetID.route.length - 1] != msg.sender) {
            revert InvalidCheckpointSource();
        }
        if (!books[_child(msg.sender).subnetHash()].known) revert SubnetNotFound();
        emit CheckpointCommitted(msg.sender, checkpoint.blockHeight);
    }

    function execBottomUpMsgBatch(IpcEnvelope[] calldata msgs) external {
        bytes32 key = _child(msg.sender).subnetHash();
        Book storage book = books[key];
        if (!book.known) revert SubnetNotFound();
        uint256 total = 0;
        for (uint256 i = 0; i < msgs.length; i++) {
            total += msgs[i].value;
        }
        if (total > book.subnet.circSupply) revert NotEnoughSubnetCircSupply();
        book.subnet.circSupply -= total;
        applying = key;
        for (uint256 i = 0; i < msgs.length; i++) {
            uint64 expected = book.subnet.appliedBottomUpNonce;
            if (msgs[i].localNonce == expected) book.subnet.appliedBottomUpNonce = expected + 1;
            _apply(msgs[i], expected, book.supply);
        }
    }

    function propagateAll() external {}

    function getSubnet(SubnetID calldata id) external view returns (bool, Subnet memory) {
        Book storage book = books[id.subnetHash()];
        return (book.known, book.subnet);
    }

    function getTopDownNonce(SubnetID calldata id) external view returns (bool, uint64) {
        Book storage book = books[id.subnetHash()];
        return (book.known, book.subnet.topDownNonce);
    }

    function getAppliedBottomUpNonce(SubnetID calldata id) external view returns (bool, uint64) {
        Book storage book = books[id.subnetHash()];
        return (book.known, book.subnet.appliedBottomUpNonce);
    }

    function getNetworkName() external view returns (SubnetID memory) {
        return _here();
    }

    function _answer(IpcEnvelope memory result) internal override {
        _commit(books[applying], result);
    }

    /// @dev The quirk of the published one: originalNonce is set only for
    /// messages that come from the child itself, so here it stays 0.
    function _commit(Book storage book, IpcEnvelope memory m) private returns (IpcEnvelope memory) {
        m.localNonce = book.subnet.topDownNonce;
        book.subnet.topDownNonce = m.localNonce + 1;
        book.subnet.circSupply += m.value;
        bytes32 key = Envelopes.subnetHash(book.subnet.id);
        sent[key].push(m);
        address actor = book.subnet.id.route[book.subnet.id.route.length - 1];
        emit NewTopDownMessage(actor, m, m.tracingId());
        return m;
    }

    function _lock(Asset memory supply, uint256 value) private returns (uint256) {
        if (supply.kind == AssetKind.Native) {
            require(msg.value >= value, "not enough value");
            return value;
        }
        IERC20 token = IERC20(supply.tokenAddress);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), value);
        uint256 got = token.balanceOf(address(this)) - before;
        require(got > 0, "No balance increase");
        return got;
    }

    function _transfer(SubnetID calldata subnetId, FvmAddress calldata to, uint256 value)
        private
        view
        returns (IpcEnvelope memory m)
    {
        m.kind = IpcMsgKind.Transfer;
        m.value = value;
        m.from = IPCAddress(_here(), Fvm.from(msg.sender));
        m.to = IPCAddress(subnetId, to);
    }

    function _book(SubnetID calldata id) private view returns (Book storage book) {
        book = books[id.subnetHash()];
        if (!book.known) revert NotRegisteredSubnet();
    }

    function _here() private view returns (SubnetID memory) {
        return SubnetID(uint64(block.chainid), new address[](0));
    }

    function _child(address actor) private view returns (SubnetID memory) {
        address[] memory route = new address[](1);
        route[0] = actor;
        return SubnetID(uint64(block.chainid), route);
    }
}
