// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {
    EmptyAddress,
    GatewayCannotBeZero,
    InvalidActiveValidatorsLimit,
    InvalidCollateral,
    InvalidMajorityPercentage,
    InvalidPowerScale,
    InvalidSubmissionPeriod,
    InvalidSubnet,
    MethodNotAllowed,
    MissingGenesisSubnetIpcContractsOwner,
    NotEnoughBalance,
    NotEnoughFunds,
    ReentrancyError,
    SubnetAlreadyKilled
} from "../ipc/Errors.sol";
import {Calls} from "../ipc/Calls.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Asset, AssetKind, PermissionMode, SubnetID, SubnetParams} from "../ipc/Types.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {ISubnetActor} from "../interfaces/ISubnetActor.sol";

/// @title What a subnet actor was created from
/// @notice Parameters never change (PROTOCOL 35).
abstract contract ActorBase is ISubnetActor {
    using SafeERC20 for IERC20;

    /// @dev CometBFT's bound on the sum of voting power (PROTOCOL 18).
    uint256 internal constant MAX_TOTAL_POWER = uint256(uint64(type(int64).max)) / 8;
    uint16 internal constant MAX_VALIDATORS = 100;
    uint8 internal constant MIN_MAJORITY = 67;

    IGateway internal immutable GATEWAY;
    uint256 internal immutable MIN_ACTIVATION;
    uint64 internal immutable MIN_VALIDATORS;
    uint64 internal immutable PERIOD;
    uint16 internal immutable VALIDATOR_LIMIT;
    uint8 internal immutable MAJORITY;
    int8 internal immutable POWER_SCALE;
    /// @dev Atto units of collateral in one unit of voting power.
    uint256 internal immutable POWER_UNIT;
    bool internal immutable FEDERATED;
    /// @dev Zero: the native coin.
    address internal immutable SUPPLY_TOKEN;
    address internal immutable COLLATERAL_TOKEN;
    uint64 internal immutable PARENT_ROOT;
    uint256 internal immutable PARENT_DEPTH;
    address internal immutable PARENT_PART;
    /// @notice Asked before any change of power; zero: nobody.
    address public immutable validatorGater;
    /// @notice Recorded for the genesis of the subnet.
    address public immutable genesisSubnetIpcContractsOwner;

    bool public override bootstrapped;
    bool public override killed;
    /// @dev The bootstrap is recorded: power changes and checkpoints may come.
    bool internal recorded;
    uint64 internal bootstrapHeight;
    uint64 internal lastHeight; // of checkpoints
    uint64 internal activeAt; // unix seconds of activation or last checkpoint

    bool private transient entered;

    constructor(SubnetParams memory p) {
        if (p.ipcGatewayAddr == address(0)) revert GatewayCannotBeZero();
        if (p.minActivationCollateral == 0) revert InvalidCollateral();
        // Above 32 bits no height would stay within 64.
        if (p.bottomUpCheckPeriod == 0 || p.bottomUpCheckPeriod > type(uint32).max) {
            revert InvalidSubmissionPeriod();
        }
        if (p.majorityPercentage < MIN_MAJORITY || p.majorityPercentage > 100) {
            revert InvalidMajorityPercentage();
        }
        if (p.powerScale < 0 || p.powerScale > 18) revert InvalidPowerScale();
        if (p.activeValidatorsLimit == 0 || p.activeValidatorsLimit > MAX_VALIDATORS) {
            revert InvalidActiveValidatorsLimit();
        }
        if (p.minValidators == 0 || p.minValidators > p.activeValidatorsLimit) {
            revert InvalidActiveValidatorsLimit();
        }
        if (p.genesisSubnetIpcContractsOwner == address(0)) revert MissingGenesisSubnetIpcContractsOwner();
        if (p.permissionMode == PermissionMode.Static) revert MethodNotAllowed("static membership");
        if (p.validatorRewarder != address(0)) revert MethodNotAllowed("validator rewards");
        GATEWAY = IGateway(p.ipcGatewayAddr);
        if (!Envelopes.same(p.parentId, GATEWAY.getNetworkName())) revert InvalidSubnet();
        MIN_ACTIVATION = p.minActivationCollateral;
        MIN_VALIDATORS = p.minValidators;
        PERIOD = p.bottomUpCheckPeriod;
        VALIDATOR_LIMIT = p.activeValidatorsLimit;
        MAJORITY = p.majorityPercentage;
        POWER_SCALE = p.powerScale;
        POWER_UNIT = 10 ** (18 - uint8(p.powerScale));
        FEDERATED = p.permissionMode == PermissionMode.Federated;
        SUPPLY_TOKEN = _tokenOf(p.supplySource);
        COLLATERAL_TOKEN = _tokenOf(p.collateralSource);
        PARENT_ROOT = p.parentId.root;
        PARENT_DEPTH = p.parentId.route.length;
        PARENT_PART = p.parentId.route.length == 1 ? p.parentId.route[0] : address(0);
        validatorGater = p.validatorGater;
        genesisSubnetIpcContractsOwner = p.genesisSubnetIpcContractsOwner;
    }

    modifier nonReentrant() {
        _enter();
        _;
        entered = false;
    }

    function _enter() private {
        if (entered) revert ReentrancyError();
        entered = true;
    }

    function _requireNotKilled() internal view {
        if (killed) revert SubnetAlreadyKilled();
    }

    function _tokenOf(Asset memory asset) private view returns (address) {
        if (asset.kind == AssetKind.Native) return address(0);
        if (asset.tokenAddress.code.length == 0) revert EmptyAddress();
        return asset.tokenAddress;
    }

    function _asset(address token) internal pure returns (Asset memory) {
        return Asset({kind: token == address(0) ? AssetKind.Native : AssetKind.ERC20, tokenAddress: token});
    }

    /// @dev Takes exactly `amount` from the caller: msg.value, or pulled tokens.
    /// Tokens that keep a part of a transfer are refused here.
    function _take(address token, uint256 amount) internal {
        if (msg.value != (token == address(0) ? amount : 0)) revert NotEnoughFunds();
        if (token == address(0)) return;
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        if (IERC20(token).balanceOf(address(this)) != before + amount) revert NotEnoughFunds();
    }

    /// @dev Pays `amount` out of our own holdings, or reverts.
    function _give(address token, address to, uint256 amount) internal {
        if (!Calls.tryPay(token, to, amount, gasleft())) revert NotEnoughBalance();
    }

    /// @dev Lets the gateway pull `amount` of `token` from us.
    function _allow(address token, uint256 amount) internal {
        if (token != address(0) && amount != 0) IERC20(token).forceApprove(address(GATEWAY), amount);
    }

    function _parent() internal view returns (SubnetID memory id) {
        id.root = PARENT_ROOT;
        id.route = new address[](PARENT_DEPTH);
        if (PARENT_DEPTH == 1) id.route[0] = PARENT_PART;
    }

    function _id() internal view returns (SubnetID memory id) {
        id.root = PARENT_ROOT;
        id.route = new address[](PARENT_DEPTH + 1);
        if (PARENT_DEPTH == 1) id.route[0] = PARENT_PART;
        id.route[PARENT_DEPTH] = address(this);
    }
}
