// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    BootstrapNotRecorded,
    CannotConfirmFutureChanges,
    InvalidPublicKey,
    InvalidPublicKeyLength,
    NotEnoughCollateral,
    NotOwnerOfPublicKey,
    PowerTooLarge,
    TooManyUnconfirmedChanges,
    TooManyValidators
} from "../ipc/Errors.sol";
import {Envelopes} from "../ipc/Envelopes.sol";
import {Quorum} from "../ipc/Quorum.sol";
import {Secp256k1} from "../ipc/Secp256k1.sol";
import {PowerChange, PowerChangeRequest, PowerOperation, Validator} from "../ipc/Types.sol";
import {IValidatorGater} from "../interfaces/IValidatorGater.sol";
import {ActorBase} from "./ActorBase.sol";

/// @title The validators of a subnet: confirmed power, and the queue of changes
/// the subnet has yet to apply
/// @notice A change is published at once, counts once a checkpoint confirms its
/// number, and only then lets collateral go. Everyone with power or an
/// unconfirmed change holds a seat; there are no waiting validators
/// (PROTOCOL 19).
abstract contract Validators is ActorBase {
    struct Seat {
        uint128 power; // confirmed
        uint128 next; // with every requested change
        bytes32 x; // public key
        bytes32 y;
        uint16 position; // in `seated`, from 1; 0: no seat
        uint8 pending; // unconfirmed changes
        uint128 locked; // collateral not released: confirmed power and pending increases
    }

    /// @dev One slot: a confirmation clears hundreds of these.
    struct Change {
        address validator;
        uint96 power; // KEY_ONLY: not a change of power
    }

    /// @dev Unconfirmed changes one validator may have; leaving is one more. The
    /// sum over all seats bounds the work of one checkpoint.
    uint8 internal constant MAX_PENDING = 4;
    uint96 private constant KEY_ONLY = type(uint96).max;

    mapping(address account => Seat) internal seats;
    address[] internal seated;
    uint256 internal totalPower; // confirmed
    uint256 internal totalNext;
    mapping(uint64 number => Change) private changes;
    uint64 internal nextNumber = 1;
    uint64 internal startNumber = 1; // lowest unconfirmed
    bytes32 internal changeHash; // rolling, from the salt
    mapping(address account => uint256) internal releasable;

    /// @dev Takes `account` in with its key, or reverts: 65 bytes, prefix 0x04, a
    /// point of the curve, and the key of exactly this address – which also makes
    /// it unique (PROTOCOL 18).
    function _seat(address account, bytes calldata key) internal {
        _requireKeyOf(account, key);
        if (seated.length >= VALIDATOR_LIMIT) revert TooManyValidators();
        Seat storage seat = seats[account];
        seat.x = bytes32(key[1:33]);
        seat.y = bytes32(key[33:65]);
        seated.push(account);
        seat.position = uint16(seated.length);
    }

    function _requireKeyOf(address account, bytes calldata key) internal pure {
        if (key.length != Secp256k1.KEY_LENGTH) revert InvalidPublicKeyLength();
        address owner = Secp256k1.tryAddress(key);
        if (owner == address(0)) revert InvalidPublicKey();
        if (owner != account) revert NotOwnerOfPublicKey();
    }

    /// @dev Frees the seat; the key is kept, genesis may name it.
    function _unseat(address account) internal {
        uint256 hole = seats[account].position - 1;
        address last = seated[seated.length - 1];
        seated[hole] = last;
        // At most MAX_VALIDATORS.
        // forge-lint: disable-next-line(unsafe-typecast)
        seats[last].position = uint16(hole + 1);
        seated.pop();
        seats[account].position = 0;
    }

    /// @dev Sets power at once, before the bootstrap.
    function _setNow(address account, uint256 power) internal {
        Seat storage seat = seats[account];
        _countNext(seat, power);
        totalPower = totalPower - seat.power + power;
        // Checked by _countNext.
        // forge-lint: disable-next-line(unsafe-typecast)
        seat.power = uint128(power);
        // Checked by _countNext.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (!FEDERATED) seat.locked = uint128(power);
        if (power == 0) _unseat(account);
    }

    /// @dev Requests a power; it counts once confirmed.
    function _request(address account, uint256 power, uint8 limit) internal {
        Seat storage seat = seats[account];
        _countNext(seat, power);
        // The subnet cannot apply a change that leaves nobody (PROTOCOL 18), so
        // none is ever asked for: the last one kills the subnet instead.
        if (totalNext == 0) revert NotEnoughCollateral();
        uint64 number = _publish(seat, account, PowerOperation.SetPower, abi.encode(power), limit);
        // Checked by _countNext.
        // forge-lint: disable-next-line(unsafe-typecast)
        changes[number] = Change({validator: account, power: uint96(power)});
    }

    /// @dev Announces the key of a validator that takes part from now on.
    function _requestKey(address account, bytes calldata key, uint8 limit) internal {
        uint64 number = _publish(seats[account], account, PowerOperation.SetMetadata, key, limit);
        changes[number] = Change({validator: account, power: KEY_ONLY});
    }

    function _countNext(Seat storage seat, uint256 power) private {
        if (power >= KEY_ONLY) revert PowerTooLarge();
        uint256 total = totalNext - seat.next + power;
        // Every validator's power is rounded up to a unit.
        if (total / POWER_UNIT + VALIDATOR_LIMIT > MAX_TOTAL_POWER) revert PowerTooLarge();
        totalNext = total;
        // Checked above.
        // forge-lint: disable-next-line(unsafe-typecast)
        seat.next = uint128(power);
    }

    function _publish(
        Seat storage seat,
        address account,
        PowerOperation op,
        bytes memory payload,
        uint8 limit
    ) private returns (uint64 number) {
        if (!recorded) revert BootstrapNotRecorded();
        if (seat.pending >= limit) revert TooManyUnconfirmedChanges();
        seat.pending++;
        number = nextNumber++;
        PowerChangeRequest memory request = PowerChangeRequest({
            change: PowerChange({op: op, payload: payload, validator: account}), configurationNumber: number
        });
        changeHash = Envelopes.fold(changeHash, Envelopes.changeHash(request));
        emit NewPowerChangeRequest(op, account, payload, number);
    }

    /// @dev The subnet runs with every change up to `number`. 0 and confirmed
    /// numbers change nothing. Moves no money: collateral becomes claimable.
    function _confirm(uint64 number) internal {
        if (number >= nextNumber) revert CannotConfirmFutureChanges();
        uint64 n = startNumber;
        if (number < n) return;
        uint256 total = totalPower;
        for (; n <= number; n++) {
            Change memory change = changes[n];
            address account = change.validator;
            Seat storage seat = seats[account];
            seat.pending--;
            if (change.power != KEY_ONLY) {
                uint256 old = seat.power;
                uint256 power = change.power;
                seat.power = change.power;
                total = total - old + power;
                if (power < old && !FEDERATED) _release(seat, account, old - power);
            }
            if (seat.pending == 0 && seat.power == 0 && seat.next == 0) _unseat(account);
            delete changes[n];
        }
        totalPower = total;
        startNumber = n;
        emit ConfigurationNumberConfirmed(number);
    }

    function _release(Seat storage seat, address account, uint256 amount) internal {
        // Never more than is locked.
        // forge-lint: disable-next-line(unsafe-typecast)
        seat.locked -= uint128(amount);
        releasable[account] += amount;
        emit NewCollateralRelease(account, amount, block.number);
    }

    function _gate(address account, uint256 oldPower, uint256 newPower) internal {
        if (validatorGater != address(0)) {
            IValidatorGater(validatorGater).interceptPowerDelta(_id(), account, oldPower, newPower);
        }
    }

    /// @dev Every signatory has confirmed power, every signature is theirs, and
    /// together they are a quorum.
    function _requireQuorum(bytes32 digest, address[] calldata signatories, bytes[] calldata signatures)
        internal
        view
    {
        Quorum.requireSorted(signatories, signatures);
        uint256 weight;
        for (uint256 i = 0; i < signatories.length; i++) {
            uint256 power = seats[signatories[i]].power;
            if (power == 0) revert Quorum.NotValidator(signatories[i]);
            weight += power;
        }
        for (uint256 i = 0; i < signatories.length; i++) {
            Quorum.requireSignature(digest, signatories[i], signatures[i]);
        }
        Quorum.requireWeight(weight, totalPower, MAJORITY);
    }

    function _keyOf(address account) internal view returns (bytes memory) {
        return abi.encodePacked(uint8(4), seats[account].x, seats[account].y);
    }

    /// @notice Everyone with a seat, by confirmed power, which is 0 for those who
    /// are not confirmed yet.
    function getValidators() public view returns (Validator[] memory all) {
        all = new Validator[](seated.length);
        for (uint256 i = 0; i < all.length; i++) {
            address account = seated[i];
            all[i] = Validator({weight: seats[account].power, addr: account, metadata: _keyOf(account)});
        }
    }

    /// @notice Those with confirmed power, who sign checkpoints. In no order.
    function getActiveValidators() external view returns (address[] memory active) {
        active = new address[](seated.length);
        uint256 count;
        for (uint256 i = 0; i < active.length; i++) {
            if (seats[seated[i]].power != 0) active[count++] = seated[i];
        }
        assembly ("memory-safe") {
            mstore(active, count)
        }
    }

    /// @notice A validator's confirmed power, its power with every requested
    /// change, and its collateral that is not released; root units.
    function powerOf(address account)
        external
        view
        returns (uint256 confirmed, uint256 requested, uint256 locked)
    {
        Seat storage seat = seats[account];
        return (seat.power, seat.next, seat.locked);
    }

    /// @notice Sum of confirmed power, root units.
    function getTotalPower() external view returns (uint256) {
        return totalPower;
    }

    /// @notice (number the next change gets, lowest unconfirmed number).
    function getConfigurationNumbers() external view returns (uint64 next, uint64 start) {
        return (nextNumber, startNumber);
    }

    /// @notice Highest change requested, 0 if none, and the rolling hash after it.
    function powerChangeHash() external view returns (uint64 number, bytes32 hash) {
        return (nextNumber - 1, changeHash);
    }

    /// @notice Collateral `account` may claim.
    function claimable(address account) external view returns (uint256) {
        return releasable[account];
    }
}
