// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGmpCallee} from "../../src/interfaces/IGmp.sol";
import "../../src/ipc/Types.sol";
import {GasMeter} from "../Base.sol";
import {GmpWorld} from "./GmpWorld.sol";

/// @dev A target that costs next to nothing.
contract Echo is IGmpCallee {
    function onGmpCall(bytes32, uint256, address, bytes calldata data) external pure returns (bytes memory) {
        return data;
    }
}

/// @dev What each leg of a call with 100 bytes of data costs over legacy gateways,
/// which are what is deployed, with a target that costs nothing and a sender
/// without code. Every call is a transaction of its own (isolate); its gas includes
/// the intrinsic cost with the calldata, the refund is not subtracted.
/// forge-config: default.isolate = true
contract GmpGasTest is GmpWorld {
    event Measured(string what, uint256 gas);

    bytes private data = new bytes(100);
    address private echo;

    function legacy() internal pure override returns (bool) {
        return true;
    }

    function setUp() public override {
        super.setUp();
        echo = address(new Echo());
        // Nobody measures the first of anything.
        for (uint256 i = 0; i < 2; ++i) {
            callDown(alice, echo, data, 0);
            callUp(bob, echo, data, 0);
        }
        carryDownAndBack();
        carryUpAndBack();
    }

    function transaction(address from, address to, uint256 value, bytes memory call_)
        private
        returns (uint256 used)
    {
        vm.prank(from);
        (bool ok,) = to.call{value: value}(call_);
        GasMeter.Gas memory g = GasMeter(address(vm)).lastCallGas();
        vm.assertTrue(ok);
        uint256 refund = g.gasRefunded > 0 ? uint256(int256(g.gasRefunded)) : 0;
        used = g.gasTotalUsed;
        used += refund < used / 4 ? refund : used / 4; // a fifth at most
    }

    function measured(string memory what, uint256 used, uint256 aim) private {
        emit Measured(what, used);
        vm.assertLe(used, aim);
    }

    function _execute(string memory what, uint256 aim) private {
        uint256 i = approveAll();
        bytes memory call_ = executeCall(i, hops[i].payload);
        address to = hops[i].a.to;
        vm.chainId(siteOf(i).chainId);
        uint256 used = transaction(relayer, to, 0, call_);
        toRoot();
        collect();
        measured(what, used, aim);
    }

    function _exec(string memory what, uint256 aim) private {
        (uint256 height, Inclusion[] memory inclusions) = submit();
        vm.assertEq(inclusions.length, 10);
        bytes memory call_ = abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions));
        uint256 used = transaction(relayer, address(actor), 0, call_);
        executed += inclusions.length;
        collect();
        measured(what, used / 10, aim);
    }

    function _deliver(string memory what, uint256 aim) private {
        collect();
        attest();
        (uint64 nonce,) = subnet.appliedTopDown();
        IpcEnvelope[] memory messages = new IpcEnvelope[](10);
        for (uint256 i = 0; i < 10; ++i) {
            messages[i] = abi.decode(down[nonce + i], (IpcEnvelope));
        }
        bytes memory call_ = abi.encodeCall(subnet.deliver, (messages, new bytes32[](0)));
        uint256 used = transaction(relayer, GATEWAY_AT, 0, call_);
        collect();
        measured(what, used / 10, aim);
    }

    function test_gas_everyLegOfACallIntoTheSubnet() public {
        toL1();
        uint256 used =
            transaction(alice, address(port), 0, abi.encodeCall(port.call, (echo, data, uint64(0))));
        toRoot();
        measured("call", used, 100_000);
        for (uint256 i = 1; i < 10; ++i) {
            callDown(alice, echo, data, 0);
        }
        uint256 last = approveAll();
        for (uint256 i = 1; i < 10; ++i) {
            execute(last - i);
        }
        _execute("execute a call on the root", 190_000);
        _deliver("deliver, each of 10", 90_000);
        _exec("exec, a result sent on, each of 10", 85_000);
        _execute("execute a result on Ethereum", 85_000);
    }

    function test_gas_everyLegOfACallToEthereum() public {
        vm.roll(block.number + PERIOD);
        vm.deal(bob, 20 * FEE);
        bytes memory call_ = abi.encodeCall(far.call, (echo, data, uint64(0)));
        uint256 first = transaction(bob, GMP_AT, FEE, call_);
        uint256 later = transaction(bob, GMP_AT, FEE, call_);
        measured("call in the subnet, first of its period", first, 195_000);
        measured("call in the subnet, later", later, 160_000);
        for (uint256 i = 2; i < 10; ++i) {
            callUp(bob, echo, data, 0);
        }
        _exec("exec, a call sent on, each of 10", 100_000);
        uint256 last = approveAll();
        for (uint256 i = 1; i < 10; ++i) {
            execute(last - i);
        }
        _execute("execute a call on Ethereum", 150_000);
        last = approveAll();
        for (uint256 i = 1; i < 10; ++i) {
            execute(last - i);
        }
        _execute("execute a result on the root", 145_000);
        _deliver("deliver a result, each of 10", 60_000);
    }
}
