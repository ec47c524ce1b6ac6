// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import "../../src/ipc/Types.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {Recipient} from "./Recipients.sol";
import {SubnetFixture} from "./SubnetFixture.sol";

/// @dev What transactions cost: 21,000, calldata, and execution from cold state
/// without refunds. What came before happens in setUp, a transaction of its own.
abstract contract GasMeter is SubnetFixture {
    event Gas(string what, uint256 used);

    function _measure(string memory what, address to, uint256 value, bytes memory data)
        internal
        returns (uint256 used)
    {
        uint256 intrinsic = 21_000 + _calldata(data);
        vm.cool(AT);
        uint256 before = gasleft();
        (bool ok,) = to.call{value: value}(data);
        uint256 rest = gasleft();
        used = before - rest + intrinsic;
        require(ok, what);
        // The call from here paid for things that a transaction does not.
        used -= value == 0 ? 2_600 : 11_600;
        emit Gas(what, used);
    }

    function _calldata(bytes memory data) private pure returns (uint256 cost) {
        for (uint256 i = 0; i < data.length; ++i) {
            cost += data[i] == 0 ? 4 : 16;
        }
    }
}

contract DeliverGasTest is GasMeter {
    IpcEnvelope[] private list;
    Recipient private recipient;

    function setUp() public override {
        super.setUp();
        recipient = new Recipient(gateway);
        // Not the first messages ever.
        _arrive(_transfer(BOB, 1 ether));
        _deliverOneResult();
        gateway.release{value: 1 ether + FEE}(Fvm.from(REMOTE));
        vm.deal(RELAYER, 1 ether);
        vm.deal(address(this), 1 ether);
        uint256 first = topLeaves.length;
        for (uint256 i = 0; i < 50; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            list.push(_transfer(address(uint160(0xABC0000000) + uint160(first + i)), 1 ether));
        }
        _attestAll();
    }

    function _deliverOneResult() private {
        recipient.set(Recipient.Mode.Refuse);
        _arrive(_callTo(address(recipient), 0, false));
    }

    function _batch(uint256 n) private view returns (bytes memory) {
        IpcEnvelope[] memory some = new IpcEnvelope[](n);
        for (uint256 i = 0; i < n; ++i) {
            some[i] = list[i];
        }
        return abi.encodeCall(ISubnetGateway.deliver, (some, _tail(some[n - 1].localNonce)));
    }

    function test_gas_deliverOneTransferToAFreshAccount() public {
        uint256 used = _measure("deliver 1", AT, 0, _batch(1));
        vm.assertLe(used, 165_000);
    }

    function test_gas_deliverTenTransfersToFreshAccounts() public {
        uint256 used = _measure("deliver 10", AT, 0, _batch(10));
        vm.assertLe(used / 10, 76_000);
    }

    function test_gas_deliverFiftyTransfersToFreshAccounts() public {
        uint256 used = _measure("deliver 50", AT, 0, _batch(50));
        vm.assertLe(used / 50, 70_000);
    }
}

contract FailureGasTest is GasMeter {
    IpcEnvelope private failing;
    Recipient private recipient;

    function setUp() public override {
        super.setUp();
        recipient = new Recipient(gateway);
        recipient.set(Recipient.Mode.Refuse);
        _arrive(_transfer(BOB, 1 ether));
        failing = _callTo(address(recipient), 1 ether, false);
        _attestAll();
    }

    function test_gas_deliverOneCallThatFails() public {
        bytes memory data = abi.encodeCall(ISubnetGateway.deliver, (_one(failing), _tail(failing.localNonce)));
        vm.assertLe(_measure("deliver 1 failing call", AT, 0, data), 300_000);
    }
}

contract SendGasTest is GasMeter {
    Recipient private sender;

    function setUp() public override {
        super.setUp();
        sender = new Recipient(gateway);
        gateway.release{value: 1 ether + FEE}(Fvm.from(REMOTE));
    }

    function _message() private view returns (bytes memory) {
        IpcEnvelope memory e;
        e.to = _atRoot(REMOTE);
        // As large as a withdrawal: selector and 14 words.
        e.message = abi.encode(CallMsg(hex"01020304", new bytes(448)));
        return abi.encodeCall(sender.send, (e));
    }

    function test_gas_releaseLaterInAPeriod() public {
        bytes memory data = abi.encodeCall(ISubnetGateway.release, (Fvm.from(REMOTE)));
        vm.assertLe(_measure("release, later", AT, 1 ether + FEE, data), 63_000);
    }

    function test_gas_releaseFirstOfAPeriod() public {
        vm.roll(PERIOD);
        bytes memory data = abi.encodeCall(ISubnetGateway.release, (Fvm.from(REMOTE)));
        vm.assertLe(_measure("release, first", AT, 1 ether + FEE, data), 97_000);
    }

    function test_gas_sendLaterInAPeriod() public {
        vm.assertLe(_measure("send, later", address(sender), FEE, _message()), 92_000);
    }

    function test_gas_sendFirstOfAPeriod() public {
        vm.roll(PERIOD);
        vm.assertLe(_measure("send, first", address(sender), FEE, _message()), 126_000);
    }
}

contract StatementGasTest is GasMeter {
    ParentFinality private statement;

    function setUp() public override {
        super.setUp();
        _transfer(BOB, 1 ether);
        _attestAll();
        _transfer(BOB, 1 ether);
        statement = _statement(2, 0);
    }

    function test_gas_commitParentFinality() public {
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(statement), 14);
        bytes memory data = abi.encodeCall(ISubnetGateway.commitParentFinality, (statement, who, sigs));
        vm.assertLe(_measure("commitParentFinality, 3 signatures", AT, 0, data), 163_000);
    }
}

/// @dev 100 validators of whom 50 are replaced: the dearest part of a
/// configuration must fit one transaction (EIP-7825).
contract ConfigurationGasTest is GasMeter {
    uint256 private constant TX_GAS = 16_777_216;

    function _validators() internal pure override returns (uint256) {
        return 70;
    }

    function setUp() public override {
        super.setUp();
        PowerChangeRequest[] memory list = new PowerChangeRequest[](60);
        for (uint256 i = 0; i < 30; ++i) {
            (address v, uint256 key) = makeAddrAndKey(string.concat("joiner ", vm.toString(i)));
            list[2 * i] = _setKey(v, publicKey(key));
            list[2 * i + 1] = _setPower(v, 1 ether);
        }
        _attestAll();
        vm.deal(AT, TREASURY);
        gateway.deliverPowerChanges(list, new bytes32[](0));
    }

    function test_gas_applyConfigurationWithThirtyJoiners() public {
        BottomUpCheckpoint memory c = _checkpoint(60);
        (address[] memory who, bytes[] memory sigs) = _sign(keccak256(abi.encode(c)), type(uint256).max);
        bytes memory data = abi.encodeCall(ISubnetGateway.applyConfiguration, (c, who, sigs));
        vm.assertLe(_measure("applyConfiguration, 60 changes", AT, 0, data), TX_GAS / 2);
        vm.assertEq(gateway.getCurrentMembership().validators.length, 100);
    }
}
