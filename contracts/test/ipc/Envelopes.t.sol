// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {CallMsg, FvmAddress, IpcEnvelope, IpcMsgKind, SubnetID} from "../../src/ipc/Types.sol";
import {Base} from "../Base.sol";

/// @dev What reads an envelope from calldata.
contract Reader {
    function encode(IpcEnvelope calldata e) external pure returns (bytes memory) {
        return Envelopes.encode(e);
    }

    function compilersEncode(IpcEnvelope calldata e) external pure returns (bytes memory) {
        return abi.encode(e);
    }

    /// @dev Memory that is not fresh, as in the middle of a batch.
    function encodeOverDirt(IpcEnvelope calldata e) external pure returns (bytes memory) {
        assembly {
            for { let at := mload(0x40) } lt(at, 0x4000) { at := add(at, 0x20) } { mstore(at, not(0)) }
        }
        return Envelopes.encode(e);
    }

    function tracingId(IpcEnvelope calldata e) external pure returns (bytes32 id, bytes memory encoded) {
        encoded = abi.encode(e);
        id = Envelopes.tracingIdOf(encoded);
    }

    function requireCall(bytes calldata message) external pure {
        Envelopes.requireCall(message);
    }

    function decodeCall(bytes calldata message) external pure returns (CallMsg memory) {
        return abi.decode(message, (CallMsg));
    }

    function evmIn(FvmAddress calldata a) external pure returns (bool ok, address account) {
        return Fvm.tryEvmIn(a);
    }
}

/// @dev What is written by hand equals what the compiler writes.
contract EnvelopesTest is Base {
    Reader private reader;

    function setUp() public {
        reader = new Reader();
    }

    struct Shape {
        uint8 kind;
        uint64 localNonce;
        uint64 originalNonce;
        uint256 value;
        uint64[2] roots;
        uint8[2] depths;
        uint8[2] types;
        address[2] accounts;
        bytes[2] payloads;
        bool[2] evm;
        bytes message;
    }

    function envelopeOf(Shape memory s) private pure returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind(s.kind % 3);
        e.localNonce = s.localNonce;
        e.originalNonce = s.originalNonce;
        e.value = s.value;
        e.to.subnetId = network(s.roots[0], s.depths[0] % 4);
        e.from.subnetId = network(s.roots[1], s.depths[1] % 4);
        e.to.rawAddress = s.evm[0] ? Fvm.from(s.accounts[0]) : FvmAddress(s.types[0], s.payloads[0]);
        e.from.rawAddress = s.evm[1] ? Fvm.from(s.accounts[1]) : FvmAddress(s.types[1], s.payloads[1]);
        e.message = s.message;
    }

    function network(uint64 root, uint256 depth) private pure returns (SubnetID memory id) {
        id.root = root;
        id.route = new address[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            id.route[i] = address(uint160(uint256(keccak256(abi.encode(root, i)))));
        }
    }

    function testFuzz_anEncodingFromCalldataIsTheCompilers(Shape memory s) public view {
        IpcEnvelope memory e = envelopeOf(s);
        vm.assertEq(reader.encode(e), abi.encode(e));
        vm.assertEq(reader.encodeOverDirt(e), abi.encode(e));
    }

    /// @dev One bit of the calldata is wrong: it is refused, or means what the
    /// compiler says.
    function testFuzz_anyOtherCalldataIsReadAsTheCompilerReadsIt(Shape memory s, uint256 bit) public view {
        bytes memory data = abi.encodeCall(reader.encode, (envelopeOf(s)));
        flip(data, bound(bit, 32, data.length * 8 - 1));
        (bool ok, bytes memory ret) = address(reader).staticcall(data);
        bytes4 selector = reader.compilersEncode.selector;
        for (uint256 i = 0; i < 4; ++i) {
            data[i] = selector[i];
        }
        (bool readable, bytes memory want) = address(reader).staticcall(data);
        vm.assertEq(ok, readable);
        vm.assertEq(ret, want);
    }

    function flip(bytes memory data, uint256 bit) private pure {
        data[bit / 8] ^= bytes1(0x80) >> (bit % 8);
    }

    /// @dev Gaps, repeats and padding that decode, and are no plain encoding.
    function test_looseCalldataIsEncodedAnew() public view {
        IpcEnvelope memory e;
        e.to.rawAddress = Fvm.from(address(0x1111));
        e.from.rawAddress = Fvm.from(address(0x2222));
        e.message = hex"010203";
        bytes memory plain = abi.encode(e);
        // One word more in front of all tails.
        bytes memory gap = abi.encodePacked(Reader.encode.selector, plain);
        bytes memory wide = new bytes(gap.length + 32);
        for (uint256 i = 0; i < gap.length; ++i) {
            wide[i < 4 + 8 * 32 ? i : i + 32] = gap[i];
        }
        for (uint256 word = 5; word <= 7; ++word) {
            uint256 at = 4 + word * 32 + 30;
            uint256 offset = uint256(uint8(wide[at])) * 256 + uint8(wide[at + 1]) + 32;
            // forge-lint: disable-next-line(unsafe-typecast)
            (wide[at], wide[at + 1]) = (bytes1(uint8(offset >> 8)), bytes1(uint8(offset)));
        }
        wide[4 + 8 * 32] = 0xff; // in the gap
        (bool ok, bytes memory ret) = address(reader).staticcall(wide);
        vm.assertTrue(ok);
        vm.assertEq(abi.decode(ret, (bytes)), plain);
        // Something behind the last byte of the message.
        bytes memory dirty = abi.encodePacked(Reader.encode.selector, plain);
        dirty[dirty.length - 1] = 0x01;
        (ok, ret) = address(reader).staticcall(dirty);
        vm.assertTrue(ok);
        vm.assertEq(abi.decode(ret, (bytes)), plain);
    }

    function testFuzz_theIdOfAnEncodingIsThatOfTheEnvelope(Shape memory s) public view {
        IpcEnvelope memory e = envelopeOf(s);
        (bytes32 id, bytes memory encoded) = reader.tracingId(e);
        vm.assertEq(id, Envelopes.tracingId(e));
        vm.assertEq(encoded, abi.encode(e), "put back");
    }

    function testFuzz_aComposedEnvelopeIsTheEncodedOne(Shape memory s, bool[2] memory parts, bool dirt)
        public
        pure
    {
        bytes memory message = s.message;
        Envelopes.Head memory h;
        h.kind = IpcMsgKind(s.kind % 3);
        (h.localNonce, h.originalNonce, h.value) = (s.localNonce, s.originalNonce, s.value);
        (h.toRoot, h.fromRoot) = (s.roots[0], s.roots[1]);
        (h.to, h.from) = (s.accounts[0], s.accounts[1]);
        // forge-lint: disable-next-line(unsafe-typecast)
        if (parts[0]) h.toPart = address(uint160(1 + s.value % type(uint128).max));
        // forge-lint: disable-next-line(unsafe-typecast)
        if (parts[1]) h.fromPart = address(uint160(type(uint128).max - s.value % type(uint128).max));
        IpcEnvelope memory e;
        e.kind = h.kind;
        e.localNonce = h.localNonce;
        e.originalNonce = h.originalNonce;
        e.value = h.value;
        e.to.subnetId = part(h.toRoot, h.toPart);
        e.from.subnetId = part(h.fromRoot, h.fromPart);
        e.to.rawAddress = Fvm.from(h.to);
        e.from.rawAddress = Fvm.from(h.from);
        e.message = message;
        bytes memory want = abi.encode(e);
        if (dirt) {
            assembly {
                let end := add(mload(0x40), 0x8000)
                for { let at := mload(0x40) } lt(at, end) { at := add(at, 0x20) } { mstore(at, not(0)) }
            }
        }
        (bytes memory encoded, uint256 at_) = Envelopes.compose(h, message.length);
        assembly {
            mcopy(at_, add(message, 0x20), mload(message))
        }
        vm.assertEq(encoded, want);
        sides(encoded, h);
    }

    function sides(bytes memory encoded, Envelopes.Head memory h) private pure {
        (bool ok, address account) = Envelopes.accountOf(encoded, Envelopes.TO);
        vm.assertTrue(ok);
        vm.assertEq(account, h.to);
        (ok, account) = Envelopes.accountOf(encoded, Envelopes.FROM);
        vm.assertTrue(ok);
        vm.assertEq(account, h.from);
        uint256 depth = h.toPart == address(0) ? 0 : 1;
        vm.assertTrue(goesTo(encoded, h.toRoot, depth, h.toPart, h.toPart));
        vm.assertFalse(goesTo(encoded, h.toRoot, 1 - depth, h.toPart, h.toPart));
        vm.assertFalse(goesTo(encoded, uint256(h.toRoot) + 1, depth, h.toPart, h.toPart));
        if (depth == 0) return;
        address foreign = address(uint160(h.toPart) ^ 1);
        vm.assertFalse(goesTo(encoded, h.toRoot, 1, foreign, h.toPart));
        vm.assertFalse(goesTo(encoded, h.toRoot, 1, h.toPart, foreign));
    }

    function goesTo(bytes memory encoded, uint256 root, uint256 depth, address first, address last)
        private
        pure
        returns (bool)
    {
        return Envelopes.isNetwork(encoded, Envelopes.TO, root, depth, first, last);
    }

    function part(uint64 root, address p) private pure returns (SubnetID memory id) {
        id.root = root;
        id.route = new address[](p == address(0) ? 0 : 1);
        if (p != address(0)) id.route[0] = p;
    }

    /// @dev A message is a Call exactly when the compiler decodes it.
    function testFuzz_aCallIsWhatDecodes(bytes memory method, bytes memory params, uint256 bit, uint256 cut)
        public
        view
    {
        bytes memory message = abi.encode(CallMsg(method, params));
        reader.requireCall(message);
        flip(message, bound(bit, 0, message.length * 8 - 1));
        sameVerdict(message);
        cut = bound(cut, 0, message.length);
        assembly {
            mstore(message, cut)
        }
        sameVerdict(message);
    }

    function testFuzz_noiseIsACallWhenItDecodes(bytes memory noise, uint8 a, uint8 b, uint8 c) public view {
        sameVerdict(noise);
        sameVerdict(abi.encodePacked(uint256(a), uint256(b), uint256(c), noise));
        sameVerdict(abi.encodePacked(uint256(32), uint256(a), uint256(b), uint256(c), noise));
    }

    function sameVerdict(bytes memory message) private view {
        (bool ok,) = address(reader).staticcall(abi.encodeCall(reader.requireCall, (message)));
        (bool decodes,) = address(reader).staticcall(abi.encodeCall(reader.decodeCall, (message)));
        vm.assertEq(ok, decodes);
    }

    function testFuzz_anAddressInCalldataReadsAsOneInMemory(
        uint8 addrType,
        address account,
        uint256 bit,
        bytes memory noise
    ) public view {
        sameAddress(FvmAddress(addrType, noise));
        sameAddress(Fvm.from(account));
        FvmAddress memory a = Fvm.from(account);
        a.addrType = addrType;
        sameAddress(a);
        a.addrType = Fvm.DELEGATED;
        flip(a.payload, bound(bit, 0, 192 * 8 - 1));
        sameAddress(a);
    }

    function sameAddress(FvmAddress memory a) private view {
        (bool want, address account) = Fvm.tryEvm(a);
        (bool ok, address read) = reader.evmIn(a);
        vm.assertEq(ok, want);
        vm.assertEq(read, account);
        IpcEnvelope memory e;
        e.to.rawAddress = a;
        (ok, read) = Envelopes.accountOf(abi.encode(e), Envelopes.TO);
        vm.assertEq(ok, want);
        vm.assertEq(read, account);
    }
}
