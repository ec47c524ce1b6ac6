// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import "../../src/ipc/Types.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {TwoChains} from "../e2e/TwoChains.sol";

/// @dev A contract that sends what it is told, on either side, and keeps what it
/// is answered.
contract Forger is IIpcHandler {
    uint256 public count;
    uint256 public lastValue;
    IpcMsgKind public lastKind;

    function send(address gateway, uint256 value, IpcEnvelope calldata e) external returns (bool ok) {
        (ok,) = gateway.call{value: value}(
            abi.encodeWithSignature(
                "sendContractXnetMessage((uint8,uint64,uint64,uint256,((uint64,address[]),(uint8,bytes)),((uint64,address[]),(uint8,bytes)),bytes))",
                e
            )
        );
    }

    function handleIpcMessage(IpcEnvelope calldata e) external payable returns (bytes memory) {
        count++;
        (lastValue, lastKind) = (e.value, e.kind);
        return "";
    }

    receive() external payable {}
}

/// @dev Messages of strangers to every contract of ours, in every guise: they are
/// answered with a failure, to the stranger, and move nothing.
contract OwnContractsTest is TwoChains {
    Forger internal forger;

    function setUp() public override {
        super.setUp();
        forger = new Forger();
        depositUsdc(bob, 100e6);
        depositFlt(bob, 50 ether);
        depositFlt(address(forger), 10 ether);
        carryDown();
        flt.mint(address(forger), 10 ether);
        vm.prank(address(forger));
        flt.approve(address(gateway), type(uint256).max);
    }

    function _ours() private view returns (address[7] memory) {
        return [
            address(gateway),
            address(actor),
            address(flt),
            address(usdc),
            address(controller),
            address(fast),
            0x000000000000000000000000000000000000000A
        ];
    }

    /// @dev What the forger says of itself: a Result, of the peer, with a value and
    /// nonces of its choice.
    function _lie(address peer) private view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Result;
        e.localNonce = 77;
        e.originalNonce = 1 << 63 | 5;
        e.from = IPCAddress({subnetId: subnetId(), rawAddress: Fvm.from(peer)});
    }

    function test_strangersMessagesUpMoveNothing() public {
        address[7] memory ours = _ours();
        for (uint256 i = 0; i < ours.length; i++) {
            for (uint256 how = 0; how < 4; how++) {
                uint256 id = vm.snapshotState();
                _up(ours[i], 1 ether, _message(how));
                vm.revertToState(id);
            }
        }
    }

    function _up(address to, uint256 value, bytes memory message) private {
        IpcEnvelope memory e = _lie(address(replica));
        e.to = IPCAddress({subnetId: rootId(), rawAddress: Fvm.from(to)});
        e.value = value;
        e.message = message;
        uint256 treasury = GATEWAY_AT.balance;
        forger.send(GATEWAY_AT, value + FEE, e);
        if (subnet.bottomUpNonce() == 0) {
            vm.assertTrue(Fvm.isForbidden(to) || to == address(actor) || to == address(gateway));
            return;
        }
        uint256 escrow = controller.lockedNow();
        uint256 held = flt.balanceOf(address(gateway));
        carryUp();
        vm.assertEq(controller.lockedNow(), escrow);
        vm.assertEq(fast.fltReceived(), 0);
        vm.assertEq(flt.balanceOf(address(gateway)), held);
        carryDown(); // the value comes back to the forger
        vm.assertEq(forger.count(), 1);
        vm.assertEq(forger.lastValue(), value);
        vm.assertEq(address(forger).balance, 10 ether - FEE);
        vm.assertEq(GATEWAY_AT.balance, treasury + FEE - FEE / 10 * 2); // fee and rewards
        books();
    }

    function test_strangersMessagesDownMoveNothing() public {
        address[4] memory theirs = [REPLICA_AT, OUTBOX_AT, GATEWAY_AT, makeAddr("no code")];
        for (uint256 i = 0; i < theirs.length; i++) {
            for (uint256 how = 0; how < 4; how++) {
                uint256 id = vm.snapshotState();
                _down(theirs[i], 1 ether, _message(how));
                vm.revertToState(id);
            }
        }
    }

    function _down(address to, uint256 value, bytes memory message) private {
        IpcEnvelope memory e = _lie(address(controller));
        e.from.subnetId = rootId();
        e.to = IPCAddress({subnetId: subnetId(), rawAddress: Fvm.from(to)});
        e.value = value;
        e.message = message;
        (, uint64 before) = gateway.getTopDownNonce(subnetId());
        forger.send(address(gateway), 0, e);
        (, uint64 afterwards) = gateway.getTopDownNonce(subnetId());
        if (afterwards == before) {
            vm.assertTrue(to == GATEWAY_AT);
            return;
        }
        carryDown();
        vm.assertEq(replica.totalSupply(), 100e6);
        vm.assertEq(OUTBOX_AT.balance + outbox.heldFlt(), 0);
        carryUp();
        vm.assertEq(forger.count(), 1);
        vm.assertTrue(forger.lastKind() == IpcMsgKind.Result);
        vm.assertEq(forger.lastValue(), value);
        vm.assertEq(flt.balanceOf(address(forger)), 10 ether);
        vm.assertEq(controller.lockedNow(), 100e6);
        books();
    }

    /// @dev Payloads that our handlers act on when they come from their peers.
    function _message(uint256 how) private view returns (bytes memory) {
        if (how == 0) {
            return abi.encode(
                CallMsg(abi.encodePacked(bytes4(0xdfb85dac)), abi.encode(address(forger), uint256(50e6)))
            );
        }
        Withdrawal memory w;
        w.subnetKey = keccak256(abi.encode(subnetId()));
        w.outbox = OUTBOX_AT;
        w.token = address(usdc);
        w.recipient = address(forger);
        w.gross = 50e6;
        if (how == 1) {
            return abi.encode(
                CallMsg(
                    abi.encodePacked(
                        bytes4(
                            keccak256(
                                "settle((bytes32,address,uint64,address,address,address,address,uint256,uint256,uint64,uint64,address,uint64,uint16))"
                            )
                        )
                    ),
                    abi.encode(w)
                )
            );
        }
        if (how == 2) {
            // Reads as a CallMsg and as a ResultMsg: id = 0x40.
            return abi.encode(CallMsg(abi.encode(uint256(1)), ""));
        }
        return
            abi.encode(
                CallMsg(abi.encodePacked(bytes4(0xa9059cbb)), abi.encode(address(forger), uint256(50e6)))
            );
    }
}
