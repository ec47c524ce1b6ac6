// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISubnetGateway} from "../interfaces/ISubnetGateway.sol";
import {Fvm} from "../ipc/Fvm.sol";
import {GatewayBase} from "./GatewayBase.sol";

/// @title The money of the subnet gateway: treasury, pot and credits
/// @notice The balance holds three things: the treasury of coin not in
/// circulation, the pot of exit fees, and credits. All terms are monotone
/// counters (PROTOCOL 29); the balance itself only ever serves as an upper
/// bound, so coin forced into the contract is a harmless donation.
abstract contract Ledger is GatewayBase {
    error ForbiddenRecipient(address account);
    error NothingToWithdraw();
    error PaymentFailed(address to);

    /// @dev A plain transfer's gas on top of the 2,300 the EVM gives along.
    uint256 internal constant PLAIN_STIPEND = 10_000;
    /// @dev Return data that is looked at; a returndata bomb costs its author.
    uint256 private constant MAX_RET = 128;

    /// @dev The root's circulating supply of this subnet as seen from here:
    /// preFunded + value come down - value gone up (PROTOCOL 31).
    uint128 internal circulating;
    uint64 internal nextBottomUp;
    /// @dev Exit fees taken; all are EXIT_FEE.
    uint64 private fees;

    uint128 internal released;
    uint128 internal returned;

    uint128 internal feesOut;

    uint128 internal credited;
    uint128 internal creditsPaid;

    uint256 internal bounced;

    mapping(address account => uint256) private credits;

    constructor(Genesis memory g) {
        // Safe: checked by GatewayBase.
        // forge-lint: disable-next-line(unsafe-typecast)
        circulating = uint128(g.circSupply);
    }

    /// @inheritdoc ISubnetGateway
    function getCounters() external view returns (Counters memory) {
        return Counters({
            preFunded: PREFUNDED,
            released: released,
            returned: returned,
            bounced: bounced,
            feesIn: _feesIn(),
            feesOut: feesOut,
            credited: credited,
            creditsPaid: creditsPaid
        });
    }

    /// @notice The root's circulating supply as far as it was applied here, wei.
    function circSupply() external view returns (uint256) {
        return circulating;
    }

    /// @inheritdoc ISubnetGateway
    function creditOf(address account) external view returns (uint256) {
        return credits[account];
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Pays the caller's own credit to any address.
    function withdrawCredit(address to) external nonReentrant returns (uint256 amount) {
        return _payCredit(msg.sender, to);
    }

    /// @inheritdoc ISubnetGateway
    /// @notice Permissionless: tries to pay a credit to its account again.
    function pushCredit(address account) external nonReentrant returns (uint256 amount) {
        return _payCredit(account, account);
    }

    function _payCredit(address account, address to) private returns (uint256 amount) {
        amount = credits[account];
        if (amount == 0) revert NothingToWithdraw();
        if (to == address(0) || to == address(this)) revert ForbiddenRecipient(to);
        credits[account] = 0;
        // Safe: `amount` was added to `credited` before.
        // forge-lint: disable-next-line(unsafe-typecast)
        creditsPaid += uint128(amount);
        emit CreditWithdrawn(account, to, amount);
        (bool ok,) = _call(to, amount, gasleft(), "");
        if (!ok) revert PaymentFailed(to);
    }

    /// @dev Coin neither in the pot nor owed to credits.
    function _treasury() internal view returns (uint256) {
        uint256 owed = _feesIn() - feesOut + uint256(credited - creditsPaid);
        uint256 held = address(this).balance;
        return held > owed ? held - owed : 0;
    }

    /// @dev Books value that came down; false if it cannot be FLT.
    function _takeIn(uint256 value) internal returns (bool) {
        if (value > type(uint128).max - circulating) return false;
        // forge-lint: disable-next-line(unsafe-typecast)
        circulating += uint128(value);
        return true;
    }

    /// @dev The value of everything that ever came down.
    function _received() internal view returns (uint256) {
        return uint256(circulating) + returned + bounced - PREFUNDED;
    }

    /// @dev May `value` leave the treasury? Never more than circulates on the
    /// root, whatever else went wrong (PROTOCOL 31).
    function _releasable(uint256 value) internal view returns (bool) {
        if (value == 0) return true;
        return value <= _treasury() && PREFUNDED + released + value <= uint256(circulating) + returned;
    }

    /// @dev Value goes up with a message of a user.
    function _takeBack(uint256 value) internal {
        if (value > circulating) revert NotEnoughSubnetCircSupply();
        // forge-lint: disable-next-line(unsafe-typecast)
        circulating -= uint128(value);
        // forge-lint: disable-next-line(unsafe-typecast)
        returned += uint128(value);
    }

    function _credit(uint64 nonce, address account, uint256 amount) internal {
        credits[account] += amount;
        // Safe: `_takeIn` bounds it.
        // forge-lint: disable-next-line(unsafe-typecast)
        credited += uint128(amount);
        emit Credited(nonce, account, amount);
    }

    function _chargeFee() internal {
        ++fees;
    }

    function _feesIn() private view returns (uint256) {
        return fees * EXIT_FEE;
    }

    /// @dev Pays `units` rewards to the caller, or what the pot still has. The
    /// call carries 2,300 gas at most: it can neither do harm nor make the
    /// delivery fail; unpaid, the money stays in the pot.
    function _reward(uint256 units) internal {
        uint256 amount = REWARD * units;
        uint256 left = _feesIn() - feesOut;
        if (amount > left) amount = left;
        if (amount == 0) return;
        (bool ok,) = _call(msg.sender, amount, 0, "");
        // forge-lint: disable-next-line(unsafe-typecast)
        if (ok) feesOut += uint128(amount);
    }

    /// @dev A call that cannot hurt its caller: fixed gas, at most 128 bytes of
    /// return data copied.
    function _call(address to, uint256 value, uint256 gasLimit, bytes memory data)
        internal
        returns (bool ok, bytes memory ret)
    {
        uint256 max = MAX_RET;
        assembly ("memory-safe") {
            ok := call(gasLimit, to, value, add(data, 0x20), mload(data), 0, 0)
            let n := returndatasize()
            if gt(n, max) { n := max }
            ret := mload(0x40)
            mstore(0x40, add(ret, add(0x20, and(add(n, 0x1f), not(0x1f)))))
            mstore(ret, n)
            returndatacopy(add(ret, 0x20), 0, n)
        }
    }

    /// @dev Addresses that never receive, on either side (PROTOCOL 16).
    function _isForbidden(address account) internal view returns (bool) {
        return Fvm.isForbidden(account) || account == address(this);
    }
}
