// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Calls} from "../../src/ipc/Calls.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {Quorum} from "../../src/ipc/Quorum.sol";
import {Secp256k1} from "../../src/ipc/Secp256k1.sol";
import "../../src/ipc/Types.sol";
import {CodeStore} from "../../src/root/CodeStore.sol";
import {Inclusions} from "../../src/root/Inclusions.sol";
import {Base} from "../Base.sol";
import {Bomb} from "./Recipients.sol";

contract LibrariesTest is Base {
    address private constant SA = 0x2a3eF0F414c626e51AFA2F29f3F7Be7a45C6DB09;
    address private constant ALICE = 0x6B505cdCCCA34aE8eea5D382aBaD40d2AfEa74ad;

    function _child() private pure returns (SubnetID memory id) {
        id.root = 314159;
        id.route = new address[](1);
        id.route[0] = SA;
    }

    function _root() private pure returns (SubnetID memory id) {
        id.root = 314159;
    }

    function _envelope(uint64 nonce) private pure returns (IpcEnvelope memory e) {
        e.localNonce = nonce;
        e.originalNonce = nonce;
        e.value = 1 ether;
        e.to = IPCAddress({subnetId: _root(), rawAddress: Fvm.from(ALICE)});
        e.from = IPCAddress({subnetId: _child(), rawAddress: Fvm.from(ALICE)});
    }

    function test_hashesAndIdsEqualThePublishedOnes() public pure {
        vm.assertEq(
            Envelopes.subnetHash(_child()), 0xb5f0f094cf19889a9e3d81bf05eee681ceca61b29eb46525b2b71c51d66db294
        );
        vm.assertEq(
            Envelopes.subnetHash(_root()), 0xc5de9a4ddb2b64b30d6f758f4e12f3f41a498dc6d6aa884d2eb89bd717c5c57c
        );
        IpcEnvelope memory e = _envelope(7);
        vm.assertEq(Envelopes.toHash(e), 0x7449a6e7629346950fd1c382370e6046f72359f999f3130b0e25266ce73a6a50);
        vm.assertEq(
            Envelopes.tracingId(e), 0xa60594f797a57d37441e87c0328c0b0ae5d86a9cb9b63f5a124671cacb81d856
        );
        vm.assertEq(Envelopes.leaf(e), 0xbaffe668245f56b7125f10cb6f91c5acb20b070fa040c5783c2497e598c24619);
        vm.assertEq(
            Envelopes.leaf(_envelope(8)), 0xceb79d2adfa61e4156bcd6502fe9dfd859d0f13b6aca822b671b08ac9da103cc
        );
        vm.assertEq(
            Envelopes.leaf(_envelope(9)), 0x68a742970ba7d0d81bc358a18ebc9376c7cacc367eaf1736392346dbdc8ae3bc
        );

        BottomUpCheckpoint memory c;
        c.subnetID = _child();
        c.blockHeight = 300;
        c.blockHash = bytes32(uint256(0x1111111111111111111111111111111111111111111111111111111111111111));
        c.nextConfigurationNumber = 2;
        c.msgs = Commitment(3, 0x4d0e534c925c2f417b6f13d4657583044a9e10779480e5a4d2e8d0b8c34353da);
        c.activity.consensus.stats = AggregatedStats(1, 10);
        c.activity.consensus.dataRootCommitment =
            bytes32(uint256(0x2222222222222222222222222222222222222222222222222222222222222222));
        vm.assertEq(
            Envelopes.checkpointHash(c), 0xf938c90c8700992a0e688dacdb4db02c4c6c61491eb9259631818ebf5eb87e11
        );
    }

    // ---- Fvm

    function testFuzz_anEvmAddressSurvivesItsEncoding(address account) public pure {
        FvmAddress memory a = Fvm.from(account);
        vm.assertEq(a.payload, abi.encode(DelegatedAddress(10, 20, abi.encodePacked(account))));
        (bool ok, address back) = Fvm.tryEvm(a);
        vm.assertTrue(ok);
        vm.assertEq(back, account);
    }

    function testFuzz_onlyTheOneEncodingIsAnEvmAddress(uint8 addrType, bytes memory payload) public pure {
        (bool ok, address account) = Fvm.tryEvm(FvmAddress(addrType, payload));
        if (!ok) {
            vm.assertEq(account, address(0));
            return;
        }
        vm.assertEq(uint256(addrType), 4);
        vm.assertEq(payload, Fvm.from(account).payload);
    }

    function testFuzz_aFlippedBitNeverNamesTheSameAddress(address account, uint256 bit) public pure {
        FvmAddress memory a = Fvm.from(account);
        bit = bound(bit, 0, a.payload.length * 8 - 1);
        // forge-lint: disable-next-line(incorrect-shift)
        a.payload[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        (bool ok, address other) = Fvm.tryEvm(a);
        vm.assertTrue(!ok || other != account);
    }

    function test_rule16_refusedRecipients() public pure {
        vm.assertTrue(Fvm.isForbidden(address(0)));
        vm.assertTrue(Fvm.isForbidden(address(1)));
        vm.assertTrue(Fvm.isForbidden(address(99)));
        vm.assertTrue(Fvm.isForbidden(0xfF00000000000000000000000000000000000000));
        vm.assertTrue(Fvm.isForbidden(0xff00000000000000000000000000000000000064));
        vm.assertTrue(Fvm.isForbidden(0xFf0000000000000000000000FFfFFFFfFfFffFfF));
        vm.assertTrue(Fvm.isForbidden(0x77Aa40B105843728088c0132e43FC44348881DA8));
        vm.assertTrue(Fvm.isForbidden(0x74539671A1D2F1c8f200826bAbA665179F53a1b7));
        vm.assertFalse(Fvm.isForbidden(ALICE));
        vm.assertFalse(Fvm.isForbidden(0xFf00000000000000000000010000000000000000));
        vm.assertFalse(Fvm.isForbidden(0x77Aa40B105843728088C0132e43FC44348881D02));
    }

    // ---- Envelopes

    /// @dev An envelope's fields; a fuzzed enum would mostly be out of range.
    struct Fields {
        uint64 localNonce;
        uint64 originalNonce;
        uint256 value;
        IPCAddress to;
        IPCAddress from;
        bytes message;
    }

    function _of(Fields memory f, uint8 kind) private pure returns (IpcEnvelope memory) {
        return
            IpcEnvelope(IpcMsgKind(kind % 3), f.localNonce, f.originalNonce, f.value, f.to, f.from, f.message);
    }

    function testFuzz_aLeafFromTheEncodingIsTheLeaf(Fields memory f, uint8 kind) public pure {
        IpcEnvelope memory e = _of(f, kind);
        bytes memory encoded = abi.encode(e);
        vm.assertEq(Inclusions.leafOf(encoded), Envelopes.leaf(e));
        // ... and the encoding is untouched.
        vm.assertEq(encoded, abi.encode(e));
    }

    function testFuzz_theTracingIdIgnoresOnlyTheLocalNonce(Fields memory f, uint64 nonce) public pure {
        // forge-lint: disable-next-line(unsafe-typecast)
        IpcEnvelope memory e = _of(f, uint8(nonce % 3));
        bytes32 id = Envelopes.tracingId(e);
        e.localNonce = nonce;
        vm.assertEq(Envelopes.tracingId(e), id);
        unchecked {
            e.originalNonce++;
        }
        vm.assertNotEq(Envelopes.tracingId(e), id);
    }

    function test_emptyMessages() public pure {
        IpcEnvelope memory e = _envelope(0);
        vm.assertFalse(Envelopes.isEmpty(e));
        e.value = 0;
        vm.assertTrue(Envelopes.isEmpty(e));
        e.kind = IpcMsgKind.Call;
        vm.assertTrue(Envelopes.isEmpty(e));
        e.message = "x";
        vm.assertFalse(Envelopes.isEmpty(e));
    }

    // ---- Secp256k1

    function testFuzz_everyKeyIsOnTheCurveAndNamesItsAddress(uint256 key) public {
        key = bound(key, 1, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364140);
        bytes memory pub = publicKey(key);
        vm.assertEq(Secp256k1.tryAddress(pub), vm.addr(key));
    }

    function testFuzz_aNeighbourOfAKeyIsNone(uint256 key, uint256 bit) public {
        key = bound(key, 1, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364140);
        bytes memory pub = publicKey(key);
        bit = bound(bit, 8, 8 + 511);
        // forge-lint: disable-next-line(incorrect-shift)
        pub[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        // A changed coordinate leaves the curve (or, for Y, would be the mirror
        // image, which no single bit makes).
        vm.assertEq(Secp256k1.tryAddress(pub), address(0));
    }

    function test_rule18_keysThatAreNone() public {
        bytes memory good = publicKey(42);
        vm.assertEq(Secp256k1.tryAddress(good), vm.addr(42));
        bytes memory bad = bytes.concat(good);
        bad[0] = 0x03;
        vm.assertEq(Secp256k1.tryAddress(bad), address(0));
        bad = bytes.concat(good);
        bad[64] ^= 0x01;
        vm.assertEq(Secp256k1.tryAddress(bad), address(0));
        vm.assertEq(Secp256k1.tryAddress(bytes.concat(good, hex"00")), address(0));
        vm.assertEq(Secp256k1.tryAddress(""), address(0));
        vm.assertEq(Secp256k1.tryAddress(new bytes(65)), address(0));
        // Coordinates beyond the prime, congruent to a point, are refused.
        vm.assertFalse(
            Secp256k1.onCurve(
                Secp256k1.P + 1, 0x4218f20ae6c646b363db68605822fb14264ca8d2587fdd6fbc750d587e76a7ee
            )
        );
        vm.assertFalse(Secp256k1.onCurve(0, 0));
    }

    // ---- Quorum

    function testFuzz_rule22_bothThresholdsHold(uint128 weight, uint128 total, uint8 majority) public pure {
        majority = uint8(bound(majority, 67, 100));
        bool reached = Quorum.reached(weight, total, majority);
        if (!reached) return;
        vm.assertTrue(total != 0 && 3 * uint256(weight) > 2 * uint256(total));
        vm.assertTrue(weight >= uint256(total) * majority / 100);
    }

    function test_rule22_flooredThresholdsDoNotHelp() public pure {
        // 67 % of 3 is floored to 2, which is not more than two thirds.
        vm.assertFalse(Quorum.reached(2, 3, 67));
        vm.assertTrue(Quorum.reached(3, 3, 67));
        vm.assertFalse(Quorum.reached(0, 0, 67));
        vm.assertFalse(Quorum.reached(89, 100, 90));
        vm.assertTrue(Quorum.reached(90, 100, 90));
    }

    // ---- Calls

    function test_returnedDataIsBounded() public {
        Bomb good = new Bomb(false);
        Bomb bad = new Bomb(true);
        uint256 before = gasleft();
        (bool ok, bytes memory ret) = Calls.bounded(address(good), 0, 1_000_000, "");
        vm.assertTrue(ok);
        vm.assertEq(ret.length, 128);
        (ok, ret) = Calls.bounded(address(bad), 0, 1_000_000, hex"11");
        vm.assertFalse(ok);
        vm.assertEq(ret.length, 128);
        vm.assertLt(before - gasleft(), 400_000);
    }

    function test_aTokenWithoutCodeMovesNothing() public {
        vm.assertFalse(Calls.tryPay(address(0xdead0000), ALICE, 1, 100_000));
    }

    // ---- CodeStore

    function store(bytes memory code) external returns (address first, address second) {
        return CodeStore.store(code);
    }

    function testFuzz_storedCodeComesBack(bytes memory code) public {
        (address first, address second) = CodeStore.store(code);
        vm.assertEq(CodeStore.load(first, second), code);
    }

    function test_codeOfTwoChunksComesBack() public {
        for (uint256 size = 24574; size <= 49150; size += 12288) {
            bytes memory code = new bytes(size);
            code[0] = 0xef;
            code[size - 1] = 0xee;
            (address first, address second) = CodeStore.store(code);
            vm.assertEq(keccak256(CodeStore.load(first, second)), keccak256(code));
            vm.assertEq(second == address(0), size <= 24575);
        }
        vm.expectRevert(CodeStore.CodeNotStored.selector);
        this.store(new bytes(49151));
    }
}
