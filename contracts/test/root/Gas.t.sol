// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Fvm} from "../../src/ipc/Fvm.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import "../../src/ipc/Types.sol";
import {Handler} from "./Recipients.sol";
import {RootFixture} from "./RootFixture.sol";

/// @dev Costs of whole transactions: execution with cold storage, plus the 21,000
/// of a transaction and its calldata. Refunds are not subtracted.
contract RootGasTest is RootFixture {
    function setUp() public override {
        super.setUp();
        _fund(bob, 1000 ether); // not the first
        _deliver(transferUp(bob, 1 ether));
    }

    /// @dev The gas of a transaction with this call.
    function _transaction(address sender, address to, bytes memory data) private returns (uint256 used) {
        used = 21000;
        for (uint256 i = 0; i < data.length; i++) {
            used += data[i] == 0 ? 4 : 16;
        }
        vm.cool(address(gateway));
        vm.cool(address(actor));
        vm.cool(address(flt));
        vm.prank(sender);
        uint256 before = gasleft();
        (bool ok,) = to.call(data);
        used += before - gasleft();
        vm.assertTrue(ok);
    }

    function test_gas_fundWithToken() public {
        bytes memory data = abi.encodeCall(gateway.fundWithToken, (subnetId(), Fvm.from(bob), 5 ether));
        uint256 used = _transaction(alice, address(gateway), data);
        emit Measured("fundWithToken", used);
        vm.assertLe(used, 120_000);
    }

    event Measured(string what, uint256 gasUsed);

    function _submitCost(uint256 messages) private returns (uint256) {
        for (uint256 i = 0; i < messages; i++) {
            // forge-lint: disable-next-line(unsafe-typecast)
            _push(transferUp(address(uint160(0x10000000 + i)), 1 ether));
        }
        BottomUpCheckpoint memory c = checkpointAt(height + PERIOD, 0);
        uint256[] memory three = new uint256[](3);
        uint256 at;
        for (uint256 i = 0; i < 4; i++) {
            if (weightOf[vm.addr(keys[i])] != 10 ether) three[at++] = keys[i];
        }
        (address[] memory accounts, bytes[] memory signatures) = signedBy(three, Envelopes.checkpointHash(c));
        bytes memory data = abi.encodeCall(actor.submitCheckpoint, (c, accounts, signatures));
        height += PERIOD;
        return _transaction(anyone, address(actor), data);
    }

    function test_gas_submitCheckpointEmpty() public {
        uint256 used = _submitCost(0);
        emit Measured("submitCheckpoint, empty, 3 signatures", used);
        vm.assertLe(used, 250_000);
    }

    function test_gas_submitCheckpointWithMessages() public {
        uint256 used = _submitCost(10);
        emit Measured("submitCheckpoint, 10 messages, 3 signatures", used);
        vm.assertLe(used, 250_000);
    }

    function _execCost(uint256 messages) private returns (uint256) {
        _submitCost(messages);
        bytes memory data =
            abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions(height, 0, messages)));
        return _transaction(anyone, address(actor), data) / messages;
    }

    function test_gas_execOneTransfer() public {
        emit Measured("exec, 1 transfer", _execCost(1));
    }

    function test_gas_execTenTransfers() public {
        uint256 each = _execCost(10);
        emit Measured("exec, per transfer of 10", each);
        vm.assertLe(each, 110_000);
    }

    function test_gas_execFiftyTransfers() public {
        uint256 each = _execCost(50);
        emit Measured("exec, per transfer of 50", each);
        vm.assertLe(each, 100_000);
    }

    function test_gas_execTenCalls() public {
        Handler handler = new Handler();
        for (uint256 i = 0; i < 10; i++) {
            _push(callUp(address(handler), 1 ether));
        }
        uint256 each = _execPushed(10);
        emit Measured("exec, per call of 10, value 1, handler that stores", each);
        vm.assertLe(each, 110_000);
    }

    function test_gas_execTenResultsToAccounts() public {
        for (uint256 i = 0; i < 10; i++) {
            _push(resultUp(bob, 0));
        }
        uint256 each = _execPushed(10);
        emit Measured("exec, per Result of 10", each);
        vm.assertLe(each, 110_000);
    }

    function test_gas_execFiveFailedCalls() public {
        Handler handler = new Handler();
        handler.fail(true);
        for (uint256 i = 0; i < 5; i++) {
            _push(callUp(address(handler), 1 ether));
        }
        uint256 each = _execPushed(5);
        emit Measured("exec, per failed call of 5", each);
        vm.assertLe(each, 160_000);
    }

    function _execPushed(uint256 messages) private returns (uint256) {
        _submit(0);
        bytes memory data =
            abi.encodeCall(actor.execBottomUpMsgBatch, (height, inclusions(height, 0, messages)));
        return _transaction(anyone, address(actor), data) / messages;
    }
}
