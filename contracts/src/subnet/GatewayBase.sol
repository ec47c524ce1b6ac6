// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {InvalidXnetMessageReason, SubnetID} from "../ipc/Types.sol";
import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";

/// @title What every part of the subnet gateway shares: genesis constants, the
/// lock, the signing domain
/// @dev The contract is placed into the genesis state by running its
/// constructor elsewhere. Immutables hold genesis arguments only; nothing here
/// may depend on address(this) or block.chainid at construction.
abstract contract GatewayBase is ISubnetGateway {
    /// @dev Published errors.
    error InvalidXnetMessage(InvalidXnetMessageReason reason);
    error ParentFinalityAlreadyCommitted();
    error InvalidConfigurationNumber();
    error InvalidSubnet();
    error NotEnoughBalance();
    error NotEnoughSubnetCircSupply();

    /// @dev Ours.
    error BadGenesis();
    error Reentered();

    bytes32 internal constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    );

    uint64 internal immutable ROOT;
    address internal immutable ACTOR;
    address internal immutable ROOT_GATEWAY;
    uint256 internal immutable PERIOD;
    uint8 internal immutable MAJORITY;
    int8 internal immutable SCALE;
    bytes32 internal immutable SALT;
    uint256 internal immutable PREFUNDED;
    uint256 internal immutable EXIT_FEE;
    uint256 internal immutable REWARD;
    uint256 internal immutable MIN_RELEASE;
    uint64 internal immutable MAX_PER_PERIOD;
    uint256 internal immutable MESSAGE_GAS;

    bool private transient entered;

    /// @dev Not on sends: handlers may send while they are called
    /// (PROTOCOL 17).
    modifier nonReentrant() {
        if (entered) revert Reentered();
        entered = true;
        _;
        entered = false;
    }

    constructor(Genesis memory g) {
        // A child of the root network itself: its only peer has no route.
        if (g.networkName.root == 0 || g.networkName.route.length != 1) revert BadGenesis();
        if (g.networkName.route[0] == address(0) || g.rootGateway == address(0)) revert BadGenesis();
        if (g.bottomUpCheckPeriod == 0 || g.messageGas == 0) revert BadGenesis();
        if (g.majorityPercentage < 67 || g.majorityPercentage > 100) revert BadGenesis();
        // Within this range neither a unit of power nor a quorum overflows.
        if (g.powerScale > 18 || g.powerScale < -36) revert BadGenesis();
        if (g.circSupply > type(uint128).max) revert BadGenesis();
        if (g.exitFee > type(uint96).max || g.deliverReward > type(uint96).max) revert BadGenesis();

        ROOT = g.networkName.root;
        ACTOR = g.networkName.route[0];
        ROOT_GATEWAY = g.rootGateway;
        PERIOD = g.bottomUpCheckPeriod;
        MAJORITY = g.majorityPercentage;
        SCALE = g.powerScale;
        SALT = g.salt;
        PREFUNDED = g.circSupply;
        EXIT_FEE = g.exitFee;
        REWARD = g.deliverReward;
        MIN_RELEASE = g.minRelease;
        MAX_PER_PERIOD = g.maxMsgsPerPeriod;
        MESSAGE_GAS = g.messageGas;
    }

    /// @inheritdoc ISubnetGateway
    function getNetworkName() public view returns (SubnetID memory id) {
        id.root = ROOT;
        id.route = new address[](1);
        id.route[0] = ACTOR;
    }

    /// @notice The gateway on the root; it takes no messages for itself.
    function rootGateway() external view returns (address) {
        return ROOT_GATEWAY;
    }

    /// @inheritdoc ISubnetGateway
    function bottomUpCheckPeriod() external view returns (uint256) {
        return PERIOD;
    }

    /// @inheritdoc ISubnetGateway
    function majorityPercentage() external view returns (uint8) {
        return MAJORITY;
    }

    /// @inheritdoc ISubnetGateway
    function powerScale() external view returns (int8) {
        return SCALE;
    }

    /// @inheritdoc ISubnetGateway
    function salt() external view returns (bytes32) {
        return SALT;
    }

    /// @inheritdoc ISubnetGateway
    function exitFee() external view returns (uint256) {
        return EXIT_FEE;
    }

    /// @inheritdoc ISubnetGateway
    function messageGas() external view returns (uint256) {
        return MESSAGE_GAS;
    }

    /// @notice Paid from the pot per newly applied message, wei.
    function deliverReward() external view returns (uint256) {
        return REWARD;
    }

    /// @notice Least amount of one `release`, wei, fee excluded.
    function minRelease() external view returns (uint256) {
        return MIN_RELEASE;
    }

    /// @notice Most messages of users in one checkpoint period.
    function maxMsgsPerPeriod() external view returns (uint64) {
        return MAX_PER_PERIOD;
    }

    /// @inheritdoc ISubnetGateway
    /// @dev Computed per call: neither the address nor the chain id is known
    /// where the constructor runs.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPE, keccak256("Causeway"), keccak256("1"), block.chainid, address(this), SALT)
        );
    }
}
