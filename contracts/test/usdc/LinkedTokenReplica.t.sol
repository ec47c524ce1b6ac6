// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {CallMsg, IpcEnvelope, IpcMsgKind, OutcomeType} from "../../src/ipc/Types.sol";
import {LinkedTokenReplica} from "../../src/usdc/LinkedTokenReplica.sol";
import {World} from "../withdraw/World.sol";

contract LinkedTokenReplicaTest is World {
    function mintMessage(address to, uint256 amount) private view returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.from.subnetId = rootId();
        e.from.rawAddress = Fvm.from(address(controller));
        e.to.subnetId = subnetId();
        e.to.rawAddress = Fvm.from(address(replica));
        e.message = abi.encode(CallMsg({method: hex"dfb85dac", params: abi.encode(to, amount)}));
    }

    function refused(IpcEnvelope memory e, bytes4 selector) private {
        vm.assertTrue(subnetGateway.execute(e) == OutcomeType.ActorErr);
        vm.assertEq(bytes32(bytes4(subnetGateway.lastError())), bytes32(selector));
        vm.assertEq(replica.totalSupply(), 0);
    }

    function test_aMessageOfTheControllerMints() public {
        vm.assertTrue(subnetGateway.execute(mintMessage(bob, 3e6)) == OutcomeType.Ok);
        vm.assertEq(replica.balanceOf(bob), 3e6);
        vm.assertEq(replica.minted(), 3e6);
        vm.assertEq(uint256(replica.decimals()), 6);
        vm.assertEq(replica.name(), "USD Coin");
        vm.assertEq(replica.symbol(), "USDC");
        vm.assertEq(replica.outbox(), address(outbox));
    }

    function test_itHearsOnlyItsGateway() public {
        IpcEnvelope memory e = mintMessage(bob, 3e6);
        vm.expectRevert(IIpcHandler.CallerIsNotGateway.selector);
        replica.handleIpcMessage(e);
    }

    function test_everyOtherMessageIsRefused() public {
        IpcEnvelope memory e = mintMessage(bob, 3e6);
        e.kind = IpcMsgKind.Result;
        refused(e, IIpcHandler.UnsupportedMsgKind.selector);
        e.kind = IpcMsgKind.Transfer;
        refused(e, IIpcHandler.UnsupportedMsgKind.selector);

        e = mintMessage(bob, 3e6);
        e.from.rawAddress = Fvm.from(address(fast));
        refused(e, LinkedTokenReplica.InvalidOrigin.selector);
        e = mintMessage(bob, 3e6);
        e.from.subnetId = subnetId(); // the controller's address, inside the subnet
        refused(e, LinkedTokenReplica.InvalidOrigin.selector);

        e = mintMessage(bob, 3e6);
        e.value = 1;
        refused(e, LinkedTokenReplica.UnexpectedValue.selector);

        e = mintMessage(bob, 3e6);
        e.message = abi.encode(CallMsg({method: hex"dfb85dad", params: abi.encode(bob, 3e6)}));
        refused(e, LinkedTokenReplica.UnknownMethod.selector);
        e.message = abi.encode(CallMsg({method: hex"dfb85dac00", params: abi.encode(bob, 3e6)}));
        refused(e, LinkedTokenReplica.UnknownMethod.selector);
        e.message = hex"00";
        refused(e, bytes4(0));
    }

    function test_zeroAndMoreThanTheCapAreRefused() public {
        refused(mintMessage(bob, 0), LinkedTokenReplica.InvalidAmount.selector);
        refused(mintMessage(bob, USDC_MAX + 1), LinkedTokenReplica.InvalidAmount.selector);
        vm.assertEq(replica.mintCap(), USDC_MAX);
        vm.assertTrue(subnetGateway.execute(mintMessage(bob, USDC_MAX)) == OutcomeType.Ok);
    }

    function test_recipientsThatCannotSpendAreRefused() public {
        address[6] memory to = [
            address(0),
            address(replica),
            address(outbox),
            address(subnetGateway),
            0xff00000000000000000000000000000000000001,
            address(99)
        ];
        for (uint256 i = 0; i < to.length; i++) {
            refused(mintMessage(to[i], 3e6), LinkedTokenReplica.InvalidRecipient.selector);
        }
    }

    function test_onlyTheOutboxBurns() public {
        vm.assertTrue(subnetGateway.execute(mintMessage(bob, 3e6)) == OutcomeType.Ok);
        vm.prank(bob);
        vm.expectRevert(LinkedTokenReplica.NotOutbox.selector);
        replica.burnForWithdrawal(bob, 1e6);
        vm.startPrank(address(outbox));
        replica.burnForWithdrawal(bob, 1e6);
        vm.expectRevert();
        replica.burnForWithdrawal(bob, 3e6);
        vm.stopPrank();
        vm.assertEq(replica.burnt(), 1e6);
        vm.assertEq(replica.totalSupply(), replica.minted() - replica.burnt());
    }

    function test_permitsWorkAlsoWhereTheGenesisPutsTheCode() public {
        address predeploy = 0x77aA40B105843728088C0132e43fC44348881D01;
        vm.etch(predeploy, address(replica).code);
        LinkedTokenReplica moved = LinkedTokenReplica(predeploy);
        vm.assertNotEq(moved.DOMAIN_SEPARATOR(), replica.DOMAIN_SEPARATOR());
        (address owner, uint256 key) = makeAddrAndKey("owner");
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 item = keccak256(abi.encode(typeHash, owner, bob, uint256(5), uint256(0), uint256(1000)));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("USD Coin"),
                keccak256("1"),
                block.chainid,
                predeploy
            )
        );
        vm.assertEq(moved.DOMAIN_SEPARATOR(), domain);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, item)));
        moved.permit(owner, bob, 5, 1000, v, r, s);
        vm.assertEq(moved.allowance(owner, bob), 5);
    }

    function testFuzz_noOtherBytesMint(bytes memory message) public {
        IpcEnvelope memory e = mintMessage(bob, 1);
        e.message = message;
        subnetGateway.execute(e);
        vm.assertEq(replica.totalSupply(), 0);
    }
}
