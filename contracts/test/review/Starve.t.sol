// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {IFastWithdrawals} from "../../src/interfaces/IWithdrawals.sol";
import "../../src/ipc/Types.sol";
import "../../src/ipc/Errors.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {TwoChains} from "../e2e/TwoChains.sol";
import {RootFixture} from "../root/RootFixture.sol";

/// @dev Whoever carries chooses the gas. With the real handlers behind the real
/// gateways: all that should be paid is paid, or the transaction reverts.
contract StarveTest is TwoChains {
    /// @dev A batch of everything that carries money up: a USDC and an FLT
    /// withdrawal, a raw release, and the refund of a failed deposit.
    function _batch() private returns (uint256 height, Inclusion[] memory list, Withdrawal[2] memory w) {
        depositUsdc(bob, 100e6);
        depositFlt(bob, 50 ether);
        depositUsdc(bob, MINT_CAP + 1);
        carryDown();
        w[0] = withdraw(bob, address(usdc), 60e6, carol);
        w[1] = withdraw(bob, address(flt), 20 ether, carol);
        vm.prank(bob);
        subnet.release{value: 5 ether + FEE}(_to(carol));
        (height, list) = submit();
        vm.assertEq(list.length, 4);
    }

    function _to(address a) private pure returns (FvmAddress memory) {
        return FvmAddress(4, abi.encode(DelegatedAddress(10, 20, abi.encodePacked(a))));
    }

    function test_rule14_noGasLimitTurnsAPayoutIntoAnythingElse() public {
        (uint256 height, Inclusion[] memory list, Withdrawal[2] memory w) = _batch();
        uint256 served;
        for (uint256 g = 100_000; g < 4_000_000; g += 13_337) {
            uint256 id = vm.snapshotState();
            vm.prank(relayer);
            (bool ok,) =
                address(actor).call{gas: g}(abi.encodeCall(actor.execBottomUpMsgBatch, (height, list)));
            if (ok) {
                served++;
                vm.assertEq(usdc.balanceOf(carol), 60e6);
                vm.assertEq(flt.balanceOf(carol), 25 ether);
                vm.assertEq(usdc.balanceOf(alice), MINT_CAP + 1);
                vm.assertEq(fast.creditOf(fast.withdrawalId(w[0])), 0);
                vm.assertEq(fast.creditOf(fast.withdrawalId(w[1])), 0);
                IGateway.Counters memory c = gateway.getCounters(subnetId());
                vm.assertEq(c.credited + c.quarantined + c.relocked, 0);
            } else {
                vm.assertEq(usdc.balanceOf(carol) + flt.balanceOf(carol), 0);
            }
            vm.revertToState(id);
        }
        vm.assertGt(served, 50);
    }

    function test_rule14_norADepositIntoAFailure() public {
        depositUsdc(bob, 100e6);
        depositFlt(bob, 50 ether);
        collect();
        attest();
        IpcEnvelope[] memory list = new IpcEnvelope[](2);
        (list[0], list[1]) = (abi.decode(down[0], (IpcEnvelope)), abi.decode(down[1], (IpcEnvelope)));
        uint256 served;
        for (uint256 g = 50_000; g < 2_000_000; g += 7_331) {
            uint256 id = vm.snapshotState();
            vm.prank(relayer);
            (bool ok,) =
                address(subnet).call{gas: g}(abi.encodeCall(subnet.deliver, (list, new bytes32[](0))));
            if (ok) {
                served++;
                vm.assertEq(replica.balanceOf(bob), 100e6);
                vm.assertEq(bob.balance, 50 ether);
            } else {
                vm.assertEq(subnet.appliedTopDownNonce(), 0);
            }
            vm.assertEq(subnet.bottomUpNonce(), 0); // no failure Result
            vm.revertToState(id);
        }
        vm.assertGt(served, 50);
    }
}

/// @dev Looks at its gas, and gives up at once, cheaply, when it is too little.
contract Picky {
    uint256 public need;

    function demand(uint256 gas_) external {
        need = gas_;
    }

    receive() external payable {
        uint256 left = gasleft();
        require(left >= need, "starved");
    }
}

/// @dev The smallest promise a gateway may make is kept too.
contract SmallPromiseTest is RootFixture {
    uint256 internal constant SMALL = 200_000;

    function test_rule14_aPromiseTooSmallToKeepIsRefused() public {
        vm.expectRevert(
            abi.encodeWithSelector(AmountOutOfBounds.selector, SMALL - 1, SMALL, type(uint256).max)
        );
        new Gateway(rootId(), SMALL - 1, FUND_MIN, FUND_MAX, MAX_SILENCE, RECOVERY_DELAY);
    }

    function test_rule14_theSmallestPromiseIsKept() public {
        gateway = new Gateway(rootId(), SMALL, FUND_MIN, FUND_MAX, MAX_SILENCE, RECOVERY_DELAY);
        _start(_params(PermissionMode.Collateral, address(0), address(0)));
        vm.deal(alice, 10 ether);
        vm.prank(alice);
        gateway.fund{value: 10 ether}(subnetId(), FvmAddress(4, _payload(alice)));
        Picky recipient = new Picky();
        address picky = address(recipient);
        // A credit it has already makes another one cheap to book.
        recipient.demand(type(uint256).max);
        _deliver(transferUp(picky, 1 ether));
        vm.assertEq(credit(picky), 1 ether);
        recipient.demand(SMALL);
        _push(transferUp(picky, 2 ether));
        _submit(0);
        Inclusion[] memory list = inclusions(height, 0, 1);
        uint256 served;
        for (uint256 g = SMALL; g < 600_000; g += 101) {
            uint256 id = vm.snapshotState();
            vm.cool(address(gateway));
            vm.cool(address(actor));
            vm.cool(picky);
            (bool ok,) =
                address(actor).call{gas: g}(abi.encodeCall(actor.execBottomUpMsgBatch, (height, list)));
            if (ok) {
                served++;
                vm.assertEq(picky.balance, 2 ether);
                vm.assertEq(credit(picky), 1 ether);
            }
            vm.revertToState(id);
        }
        vm.assertGt(served, 50);
    }

    function _payload(address a) private pure returns (bytes memory) {
        return abi.encode(DelegatedAddress(10, 20, abi.encodePacked(a)));
    }
}
