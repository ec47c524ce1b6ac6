// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {
    BootstrapAlreadyRecorded,
    BootstrapTooEarly,
    BootstrapWindowMissed,
    BootstrapWindowOpen,
    CollateralIsZero,
    DuplicatedGenesisValidator,
    InvalidFederationPayload,
    MethodNotAllowed,
    NoCollateralToWithdraw,
    NotAllValidatorsHaveLeft,
    NotEnoughBalance,
    NotEnoughCollateral,
    NotEnoughFunds,
    NotEnoughGenesisValidators,
    NotGateway,
    SubnetAlreadyBootstrapped,
    SubnetNotBootstrapped
} from "../ipc/Errors.sol";
import {Quorum} from "../ipc/Quorum.sol";
import {Asset, PermissionMode, SubnetID, SubnetParams, Validator} from "../ipc/Types.sol";
import {ActorBase} from "./ActorBase.sol";
import {Checkpoints} from "./Checkpoints.sol";

/// @title One subnet, as the root sees it
/// @notice Validators join here, checkpoints are submitted here, batches are
/// executed from here. Collateral and prefunded supply wait here until the
/// bootstrap and lie in the gateway afterwards. The owner sets the powers of a
/// federated subnet and has no other power.
contract SubnetActor is Checkpoints, Ownable2Step {
    struct GenesisSeat {
        address account;
        uint256 weight;
    }

    GenesisSeat[] private genesisSeats; // frozen at the bootstrap
    address[] private genesisAccounts;
    mapping(address account => uint256) private genesisBalance;
    /// @dev In genesisAccounts, from 1: anyone may lengthen that list, so nobody
    /// searches it.
    mapping(address account => uint256) private genesisPosition;
    /// @notice Supply that exists in the subnet from its first block.
    uint256 public override genesisCircSupply;
    /// @notice What signatures and rolling hashes of this deployment begin with;
    /// 0 until the bootstrap is recorded.
    bytes32 public override bootstrapSalt;

    constructor(SubnetParams memory params, address owner_) ActorBase(params) Ownable(owner_) {}

    /// @dev The gateway gives native collateral back.
    receive() external payable {
        if (msg.sender != address(GATEWAY)) revert NotGateway();
    }

    /// @notice Becomes a validator with `amount` of collateral. `metadata` is the
    /// caller's own 65-byte public key. A seat must be free, and `amount` at
    /// least the activation collateral divided by the number of seats.
    function join(bytes calldata metadata, uint256 amount) external payable nonReentrant {
        _requireCollateralMode();
        if (amount == 0) revert CollateralIsZero();
        if (seats[msg.sender].position != 0) revert MethodNotAllowed("already a validator");
        _requireEnough(amount);
        _seat(msg.sender, metadata);
        _gate(msg.sender, 0, amount);
        _take(COLLATERAL_TOKEN, amount);
        if (!bootstrapped) {
            _setNow(msg.sender, amount);
            _bootstrapIfReady();
            return;
        }
        _requestKey(msg.sender, metadata, MAX_PENDING);
        _request(msg.sender, amount, MAX_PENDING);
        _addStake(amount);
    }

    /// @notice Adds `amount` to the caller's collateral.
    function stake(uint256 amount) external payable nonReentrant {
        _requireCollateralMode();
        if (amount == 0) revert CollateralIsZero();
        uint256 old = _requireStaying();
        _gate(msg.sender, old, old + amount);
        _take(COLLATERAL_TOKEN, amount);
        if (!bootstrapped) {
            _setNow(msg.sender, old + amount);
            _bootstrapIfReady();
            return;
        }
        _request(msg.sender, old + amount, MAX_PENDING);
        _addStake(amount);
    }

    /// @notice Takes `amount` out of the caller's collateral: at once before the
    /// bootstrap, else claimable once the subnet confirms it.
    function unstake(uint256 amount) external nonReentrant {
        _requireCollateralMode();
        if (amount == 0) revert CollateralIsZero();
        uint256 old = _requireStaying();
        if (amount >= old) revert NotEnoughCollateral();
        _requireEnough(old - amount);
        _gate(msg.sender, old, old - amount);
        if (!bootstrapped) {
            _setNow(msg.sender, old - amount);
            _give(COLLATERAL_TOKEN, msg.sender, amount);
            return;
        }
        _request(msg.sender, old - amount, MAX_PENDING);
    }

    /// @notice Stops validating. The seat is free, and the collateral claimable,
    /// once the subnet confirms it; before the bootstrap both at once, and a
    /// prefunded balance of the caller comes back too. The last validator cannot
    /// leave, but may kill.
    function leave() external nonReentrant {
        _requireCollateralMode();
        uint256 old = _requireStaying();
        _gate(msg.sender, old, 0);
        if (bootstrapped) {
            _request(msg.sender, 0, MAX_PENDING + 1);
            return;
        }
        uint256 balance = genesisBalance[msg.sender];
        if (balance != 0) _removeGenesisBalance(msg.sender, balance);
        _setNow(msg.sender, 0);
        _give(COLLATERAL_TOKEN, msg.sender, old);
        if (balance != 0) _give(SUPPLY_TOKEN, msg.sender, balance);
    }

    /// @notice Pays out the caller's released collateral.
    function claim() external nonReentrant {
        uint256 amount = releasable[msg.sender];
        if (amount == 0) revert NoCollateralToWithdraw();
        releasable[msg.sender] = 0;
        emit CollateralClaimed(msg.sender, amount);
        GATEWAY.releaseStake(amount);
        _give(COLLATERAL_TOKEN, msg.sender, amount);
    }

    /// @notice Ends the subnet, if nothing circulates in it, every batch is
    /// executed, and no contract ever exchanged calls with it (see Gateway.kill):
    /// by the only validator who is not leaving, or by the owner of a federated
    /// subnet. All collateral becomes claimable.
    function kill() external nonReentrant {
        _requireNotKilled();
        if (!bootstrapped) revert SubnetNotBootstrapped();
        uint256 mine = seats[msg.sender].next;
        bool last = FEDERATED ? msg.sender == owner() : mine != 0 && mine == totalNext;
        if (!last || !_drained()) revert NotAllValidatorsHaveLeft();
        killed = true;
        for (uint256 i = 0; i < seated.length; i++) {
            Seat storage seat = seats[seated[i]];
            if (seat.locked != 0) _release(seat, seated[i], seat.locked);
        }
        GATEWAY.kill();
    }

    /// @notice Gives the caller `amount` in the subnet's genesis.
    function preFund(uint256 amount) external payable nonReentrant {
        _requireNotKilled();
        if (amount == 0) revert NotEnoughFunds();
        if (bootstrapped) revert SubnetAlreadyBootstrapped();
        _take(SUPPLY_TOKEN, amount);
        if (genesisBalance[msg.sender] == 0) {
            genesisAccounts.push(msg.sender);
            genesisPosition[msg.sender] = genesisAccounts.length;
        }
        genesisBalance[msg.sender] += amount;
        genesisCircSupply += amount;
    }

    /// @notice Takes a prefunded amount back, before the bootstrap.
    function preRelease(uint256 amount) external nonReentrant {
        if (amount == 0) revert NotEnoughFunds();
        if (bootstrapped) revert SubnetAlreadyBootstrapped();
        if (genesisBalance[msg.sender] < amount) revert NotEnoughBalance();
        _removeGenesisBalance(msg.sender, amount);
        _give(SUPPLY_TOKEN, msg.sender, amount);
    }

    /// @notice Sets powers of a federated subnet. The first call bootstraps it;
    /// later ones are requests the subnet has to confirm. Power 0 removes. Owner
    /// only.
    function setFederatedPower(
        address[] calldata validators,
        bytes[] calldata publicKeys,
        uint256[] calldata powers
    ) external onlyOwner nonReentrant {
        _requireNotKilled();
        if (!FEDERATED) revert MethodNotAllowed("not a federated subnet");
        if (validators.length != powers.length || validators.length != publicKeys.length) {
            revert InvalidFederationPayload();
        }
        if (!bootstrapped && validators.length < MIN_VALIDATORS) revert NotEnoughGenesisValidators();
        for (uint256 i = 0; i < validators.length; i++) {
            if (bootstrapped) _federateLater(validators[i], publicKeys[i], powers[i]);
            else _federateNow(validators[i], publicKeys[i], powers[i]);
        }
        if (!bootstrapped) _bootstrap();
    }

    /// @notice Records the hash of the bootstrap's block, in a later block within
    /// 256, and opens the gateway for messages. Anyone may call.
    function recordBootstrap() external nonReentrant {
        if (!bootstrapped) revert SubnetNotBootstrapped();
        if (recorded) revert BootstrapAlreadyRecorded();
        if (block.number <= bootstrapHeight) revert BootstrapTooEarly();
        bytes32 hash = blockhash(bootstrapHeight);
        if (hash == 0) revert BootstrapWindowMissed();
        bytes32 salt = keccak256(abi.encode(block.chainid, address(GATEWAY), address(this), hash));
        recorded = true;
        bootstrapSalt = salt;
        changeHash = salt;
        activeAt = uint64(block.timestamp);
        emit BootstrapRecorded(bootstrapHeight, hash, salt);
        GATEWAY.openTopDown(salt);
    }

    /// @notice Announces the bootstrap again when nobody recorded it in time; this
    /// block is the one to record then. Anyone may call.
    function reannounceBootstrap() external nonReentrant {
        if (!bootstrapped) revert SubnetNotBootstrapped();
        if (recorded) revert BootstrapAlreadyRecorded();
        if (block.number <= uint256(bootstrapHeight) + 256) revert BootstrapWindowOpen();
        bootstrapHeight = uint64(block.number);
        emit BootstrapReannounced(block.number);
        emit SubnetBootstrapped(genesisValidators());
    }

    /// @notice The validators of the subnet's first block; until the bootstrap,
    /// those so far.
    function genesisValidators() public view returns (Validator[] memory all) {
        if (!bootstrapped) return getValidators();
        all = new Validator[](genesisSeats.length);
        for (uint256 i = 0; i < all.length; i++) {
            address account = genesisSeats[i].account;
            all[i] = Validator({weight: genesisSeats[i].weight, addr: account, metadata: _keyOf(account)});
        }
    }

    /// @notice The accounts of the subnet's genesis and their balances.
    function genesisBalances() external view returns (address[] memory, uint256[] memory) {
        address[] memory accounts = genesisAccounts;
        uint256[] memory balances = new uint256[](accounts.length);
        for (uint256 i = 0; i < accounts.length; i++) {
            balances[i] = genesisBalance[accounts[i]];
        }
        return (accounts, balances);
    }

    function bottomUpCheckPeriod() external view returns (uint256) {
        return PERIOD;
    }

    function majorityPercentage() external view returns (uint8) {
        return MAJORITY;
    }

    function activeValidatorsLimit() external view returns (uint16) {
        return VALIDATOR_LIMIT;
    }

    function minActivationCollateral() external view returns (uint256) {
        return MIN_ACTIVATION;
    }

    function minValidators() external view returns (uint64) {
        return MIN_VALIDATORS;
    }

    function permissionMode() external view returns (PermissionMode) {
        return FEDERATED ? PermissionMode.Federated : PermissionMode.Collateral;
    }

    function powerScale() external view returns (int8) {
        return POWER_SCALE;
    }

    function supplySource() external view returns (Asset memory) {
        return _asset(SUPPLY_TOKEN);
    }

    function collateralSource() external view returns (Asset memory) {
        return _asset(COLLATERAL_TOKEN);
    }

    function getParent() external view returns (SubnetID memory) {
        return _parent();
    }

    function ipcGatewayAddr() external view returns (address) {
        return address(GATEWAY);
    }

    /// @notice The block of the bootstrap's announcement, 0 before it.
    function bootstrapBlock() external view returns (uint256) {
        return bootstrapHeight;
    }

    /// @notice Unix seconds of activation or of the last checkpoint.
    function lastActive() external view returns (uint256) {
        return activeAt;
    }

    function _requireCollateralMode() private view {
        _requireNotKilled();
        if (FEDERATED) revert MethodNotAllowed("federated subnet");
    }

    /// @dev What the caller has staked, if it is not leaving.
    function _requireStaying() private view returns (uint256 power) {
        power = seats[msg.sender].next;
        if (power == 0) revert Quorum.NotValidator(msg.sender);
    }

    /// @dev Seats are scarce: dust must not fill them.
    function _requireEnough(uint256 amount) private view {
        if (amount < MIN_ACTIVATION / VALIDATOR_LIMIT) revert NotEnoughCollateral();
    }

    function _addStake(uint256 amount) private {
        _allow(COLLATERAL_TOKEN, amount);
        // Part of a power that fits.
        // forge-lint: disable-next-line(unsafe-typecast)
        seats[msg.sender].locked += uint128(amount);
        GATEWAY.addStake{value: COLLATERAL_TOKEN == address(0) ? amount : 0}(amount);
    }

    function _removeGenesisBalance(address account, uint256 amount) private {
        uint256 left = genesisBalance[account] - amount;
        genesisBalance[account] = left;
        genesisCircSupply -= amount;
        if (left != 0) return;
        uint256 position = genesisPosition[account];
        address last = genesisAccounts[genesisAccounts.length - 1];
        genesisAccounts[position - 1] = last;
        genesisPosition[last] = position;
        genesisAccounts.pop();
    }

    function _federateNow(address account, bytes calldata key, uint256 power) private {
        if (power == 0) revert InvalidFederationPayload();
        if (seats[account].position != 0) revert DuplicatedGenesisValidator();
        _gate(account, 0, power);
        _seat(account, key);
        _setNow(account, power);
    }

    /// @dev The key comes before the power, in contrast to generation C: whatever
    /// number a checkpoint stops at, nobody has power here without a key in the
    /// subnet. Power 0 removes the key there, so it is announced anew afterwards.
    function _federateLater(address account, bytes calldata key, uint256 power) private {
        uint256 old = seats[account].next;
        if (old == 0 && power == 0) revert InvalidFederationPayload();
        _gate(account, old, power);
        if (seats[account].position == 0) _seat(account, key);
        else _requireKeyOf(account, key);
        if (old == 0) _requestKey(account, key, MAX_PENDING);
        _request(account, power, MAX_PENDING + 1);
    }

    function _bootstrapIfReady() private {
        if (totalPower >= MIN_ACTIVATION && seated.length >= MIN_VALIDATORS) _bootstrap();
    }

    function _bootstrap() private {
        Validator[] memory genesis = getValidators();
        for (uint256 i = 0; i < genesis.length; i++) {
            genesisSeats.push(GenesisSeat({account: genesis[i].addr, weight: genesis[i].weight}));
        }
        bootstrapped = true;
        bootstrapHeight = uint64(block.number);
        activeAt = uint64(block.timestamp);
        emit SubnetBootstrapped(genesis);

        uint256 collateral = FEDERATED ? 0 : totalPower;
        uint256 circ = genesisCircSupply;
        uint256 native =
            (SUPPLY_TOKEN == address(0) ? circ : 0) + (COLLATERAL_TOKEN == address(0) ? collateral : 0);
        if (SUPPLY_TOKEN == COLLATERAL_TOKEN) {
            _allow(SUPPLY_TOKEN, circ + collateral);
        } else {
            _allow(SUPPLY_TOKEN, circ);
            _allow(COLLATERAL_TOKEN, collateral);
        }
        GATEWAY.register{value: native}(circ, collateral);
    }
}
