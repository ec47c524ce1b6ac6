// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevGmp} from "../../src/dev/DevGmp.sol";
import {Vm} from "../Base.sol";
import {GmpWorld} from "./GmpWorld.sol";

contract DevGmpTest is GmpWorld {
    /// @dev What it said of an id, the last.
    mapping(bytes32 id => mapping(bytes32 topic => bytes data)) private said;

    function file(Vm.Log memory log) internal override {
        super.file(log);
        if (log.topics[0] == DevGmp.Called.selector || log.topics[0] == DevGmp.Told.selector) {
            said[log.topics[1]][log.topics[0]] = log.data;
        }
    }

    function test_itSaysWhatItHears() public {
        DevGmp above = new DevGmp(address(port));
        DevGmp below = new DevGmp(GMP_AT);
        toL1();
        bytes32 id = above.call(address(below), "hello", 0);
        toRoot();
        vm.deal(bob, FEE);
        vm.prank(bob);
        bytes32 refused = below.call{value: FEE}(address(above), hex"ff00", 0);
        carryDownAndBack();
        carryUpAndBack();
        vm.assertEq(said[id][DevGmp.Called.selector], abi.encode(L1_ID, bytes("hello")));
        vm.assertEq(said[id][DevGmp.Told.selector], abi.encode(true, bytes("hello")));
        bytes memory why = abi.encodeWithSelector(DevGmp.Refused.selector, hex"ff00");
        vm.assertEq(said[refused][DevGmp.Called.selector], "");
        vm.assertEq(said[refused][DevGmp.Told.selector], abi.encode(false, why));
        vm.assertTrue(heard[id].taken && heard[refused].taken);

        vm.expectRevert(abi.encodeWithSelector(DevGmp.NotPort.selector, address(this)));
        above.onGmpCall(id, L1_ID, bob, "");
        vm.expectRevert(abi.encodeWithSelector(DevGmp.NotPort.selector, address(this)));
        above.onGmpResult(id, true, "");
    }
}
