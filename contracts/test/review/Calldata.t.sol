// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {
    CallMsg,
    FvmAddress,
    IPCAddress,
    Inclusion,
    IpcEnvelope,
    IpcMsgKind,
    SubnetID,
    Withdrawal
} from "../../src/ipc/Types.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {PeerLink} from "../../src/withdraw/PeerLink.sol";
import {Withdrawals} from "../../src/withdraw/Withdrawals.sol";
import {Base} from "../Base.sol";

/// @dev Calldata that no encoder writes, made of calldata that one did: words
/// replaced by what an attacker would put there, the end cut off or drawn out.
abstract contract Mutations is Base {
    /// @dev Up to `times` words of the arguments of a call.
    function mutate(bytes memory data, uint256 seed, uint256 times) internal pure returns (bytes memory) {
        uint256 words = (data.length - 4) / 32;
        for (uint256 i = 0; i < times; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 at = 0x24 + 32 * (seed % words);
            uint256 old;
            assembly {
                old := mload(add(data, at))
            }
            uint256 other;
            uint256 from = 0x24 + 32 * ((seed >> 16) % words);
            assembly {
                other := mload(add(data, from))
            }
            uint256 now_ = word(seed >> 32, old, other, data.length);
            assembly {
                mstore(add(data, at), now_)
            }
        }
        seed = uint256(keccak256(abi.encode(seed, "length")));
        if (seed % 8 == 0) {
            uint256 cut = 4 + (seed >> 8) % (data.length - 3);
            assembly {
                mstore(data, cut)
            }
        } else if (seed % 8 == 1) {
            data = abi.encodePacked(data, new bytes((seed >> 8) % 97), seed);
        }
        return data;
    }

    function word(uint256 seed, uint256 old, uint256 other, uint256 length) private pure returns (uint256) {
        uint256 how = seed % 12;
        seed >>= 8;
        unchecked {
            if (how == 0) return old + 32 * (seed % 8);
            if (how == 1) return old - 32 * (seed % 8);
            if (how == 2) return old + seed % 64;
            if (how == 3) return 32 * (seed % (length / 32 + 2)); // anywhere
            if (how == 4) return seed % (length + 64);
            if (how == 5) return 0 - seed % (length + 256); // backwards, beyond the start too
            if (how == 6) return old ^ 2 ** (seed % 256); // dirt
            if (how == 7) return other;
            if (how == 8) return type(uint256).max - seed % 64;
            if (how == 9) return (1 << 64) - 1 + seed % 2;
            if (how == 10) return 0;
            return (1 << 255) + old;
        }
    }

    function put(bytes memory data, bytes4 selector) internal pure {
        for (uint256 i = 0; i < 4; ++i) {
            data[i] = selector[i];
        }
    }

    function envelopeOf(uint256 seed) internal pure returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind(seed % 3);
        // forge-lint: disable-next-line(unsafe-typecast)
        (e.localNonce, e.originalNonce, e.value) = (uint64(seed >> 8), uint64(seed >> 72), seed >> 136);
        seed = uint256(keccak256(abi.encode(seed)));
        (e.to, e.from) = (side(seed >> 8), side(seed >> 128));
        e.message = noise(seed, seed % 100);
    }

    function side(uint256 seed) private pure returns (IPCAddress memory a) {
        // forge-lint: disable-next-line(unsafe-typecast)
        a.subnetId.root = uint64(seed);
        a.subnetId.route = new address[]((seed >> 64) % 5);
        for (uint256 i = 0; i < a.subnetId.route.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            a.subnetId.route[i] = address(uint160(uint256(keccak256(abi.encode(seed, i)))));
        }
        if (seed & 1 == 0) {
            // forge-lint: disable-next-line(unsafe-typecast)
            a.rawAddress = Fvm.from(address(uint160(seed)));
        } else {
            // forge-lint: disable-next-line(unsafe-typecast)
            a.rawAddress = FvmAddress(uint8(seed >> 8), noise(seed, (seed >> 16) % 70));
        }
    }

    function noise(uint256 seed, uint256 length) internal pure returns (bytes memory data) {
        data = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            data[i] = bytes1(uint8(uint256(keccak256(abi.encode(seed, i)))));
        }
    }
}

/// @dev Reads calldata in one of two ways. The selectors are the same, since
/// offsets may lead to them.
interface IReads {
    function one(IpcEnvelope calldata e) external view returns (bytes memory);
    function listed(IpcEnvelope[] calldata list) external view returns (bytes memory a, bytes memory b);
    function included(Inclusion[] calldata list) external view returns (bytes memory a);
    function call(bytes calldata message) external view;
    function account(FvmAddress calldata a) external view returns (bool ok, address to);
    function withdrawal(bytes calldata message) external view returns (bool ours, bytes32 id);
}

contract Ours is IReads {
    function one(IpcEnvelope calldata e) external pure returns (bytes memory) {
        return Envelopes.encode(e);
    }

    function listed(IpcEnvelope[] calldata list) external pure returns (bytes memory a, bytes memory b) {
        if (list.length > 0) a = Envelopes.encode(list[0]);
        if (list.length > 1) b = Envelopes.encode(list[1]);
    }

    function included(Inclusion[] calldata list) external pure returns (bytes memory a) {
        if (list.length > 0) a = Envelopes.encode(list[0].msg);
    }

    function call(bytes calldata message) external pure {
        Envelopes.requireCall(message);
    }

    function account(FvmAddress calldata a) external pure returns (bool ok, address to) {
        return Fvm.tryEvmIn(a);
    }

    function withdrawal(bytes calldata message) external pure returns (bool ours, bytes32 id) {
        Withdrawal calldata w;
        (ours, w) = Withdrawals.parse(message);
        if (ours) id = Withdrawals.idOfIn(7, address(8), w);
    }
}

contract Compilers is IReads {
    function one(IpcEnvelope calldata e) external pure returns (bytes memory) {
        return abi.encode(e);
    }

    function listed(IpcEnvelope[] calldata list) external pure returns (bytes memory a, bytes memory b) {
        if (list.length > 0) a = abi.encode(list[0]);
        if (list.length > 1) b = abi.encode(list[1]);
    }

    function included(Inclusion[] calldata list) external pure returns (bytes memory a) {
        if (list.length > 0) a = abi.encode(list[0].msg);
    }

    function call(bytes calldata message) external pure {
        abi.decode(message, (CallMsg));
    }

    function account(FvmAddress calldata a) external pure returns (bool ok, address to) {
        return Fvm.tryEvm(FvmAddress({addrType: a.addrType, payload: a.payload}));
    }

    /// @dev The definition: a CallMsg of the method with one withdrawal, in the
    /// one encoding that abi.encode gives it.
    function withdrawal(bytes calldata message) external pure returns (bool ours, bytes32 id) {
        CallMsg memory call_ = abi.decode(message, (CallMsg));
        Withdrawal memory w = abi.decode(call_.params, (Withdrawal));
        bytes memory plain = abi.encode(CallMsg(abi.encodePacked(Withdrawals.SETTLE), abi.encode(w)));
        ours = keccak256(plain) == keccak256(message);
        if (ours) id = keccak256(abi.encode("FW1", uint256(7), address(8), w));
    }
}

/// @dev Hears its peer: told by the hash of the words, or by what they mean.
contract Listener is PeerLink {
    bool private immutable BY_MEANING;

    constructor(SubnetID memory network, address peer, bool byMeaning) PeerLink(address(1), network, peer) {
        BY_MEANING = byMeaning;
    }

    function isPeer(IPCAddress calldata from) external view returns (bool) {
        if (!BY_MEANING) return _isPeer(from);
        return keccak256(abi.encode(from)) == keccak256(abi.encode(peerAddress()));
    }

    function handleIpcMessage(IpcEnvelope calldata) external payable returns (bytes memory) {
        revert IIpcHandler.UnsupportedMsgKind();
    }
}

/// @dev No calldata means one thing to us and another to the compiler.
contract CalldataTest is Mutations {
    IReads private ours;
    IReads private compilers;

    function setUp() public {
        ours = new Ours();
        compilers = new Compilers();
    }

    /// @dev The same bytes to both: the same verdict, and the same answer.
    function same(bytes memory data) private view returns (bool ok) {
        bytes memory ret;
        (ok, ret) = address(ours).staticcall(data);
        (bool readable, bytes memory want) = address(compilers).staticcall(data);
        vm.assertEq(ok, readable);
        if (ok) vm.assertEq(ret, want);
    }

    function testFuzz_anEnvelope(uint256 seed, uint256 how, uint8 times) public view {
        bytes memory data = abi.encodeCall(ours.one, (envelopeOf(seed)));
        same(mutate(data, how, times % 5));
    }

    function testFuzz_anEnvelopeOfAList(uint256 seed, uint256 how, uint8 times) public view {
        IpcEnvelope[] memory list = new IpcEnvelope[](2);
        (list[0], list[1]) = (envelopeOf(seed), envelopeOf(how));
        bytes memory data = abi.encodeCall(ours.listed, (list));
        same(mutate(data, how, times % 5));
    }

    function testFuzz_anEnvelopeOfAnInclusion(uint256 seed, uint256 how, uint8 times) public view {
        Inclusion[] memory list = new Inclusion[](1);
        list[0].msg = envelopeOf(seed);
        list[0].proof = new bytes32[](seed % 3);
        bytes memory data = abi.encodeCall(ours.included, (list));
        same(mutate(data, how, times % 5));
    }

    /// @dev An element's offset may lead to before the calldata: what lies there
    /// reads as zero, word by word, but would be copied as if all of it did.
    function testFuzz_anEnvelopeThatBeginsBeforeTheCalldata(uint256 seed, uint256 words) public view {
        IpcEnvelope memory e = envelopeOf(seed);
        (e.kind, e.localNonce, e.originalNonce) = (IpcMsgKind.Transfer, 0, 0);
        words = bound(words, 1, 3); // of kind and nonces, which are zero
        bytes memory plain = abi.encode(e);
        uint256 size = plain.length - 32;
        uint256 kept = size - 32 * words;
        // The word at 4 is a field of the envelope, and where the list lies.
        if (words == 3) e.value = kept;
        // forge-lint: disable-next-line(unsafe-typecast)
        else if (words == 2) e.originalNonce = uint64(kept);
        // forge-lint: disable-next-line(unsafe-typecast)
        else e.localNonce = uint64(kept);
        plain = abi.encode(e);
        bytes memory data = new bytes(4 + kept + 64);
        put(data, ours.listed.selector);
        uint256 begins;
        unchecked {
            begins = 0 - 32 * words - (kept + 32); // seen from the list's elements
        }
        assembly {
            mcopy(add(data, 0x24), add(plain, add(0x40, mul(32, words))), kept)
            mstore(add(add(data, 0x24), kept), 1)
            mstore(add(add(data, 0x44), kept), begins)
        }
        (bool ok, bytes memory ret) = address(compilers).staticcall(data);
        vm.assertTrue(ok);
        (bytes memory read,) = abi.decode(ret, (bytes, bytes));
        vm.assertEq(read, plain); // the compiler reads the envelope
        vm.assertTrue(same(data));
    }

    /// @dev A length may lead back to where the tail began: to, from and message are
    /// all there then, each where the one before it ends.
    function test_aLengthThatLeadsBackIsNotFollowed() public view {
        for (uint256 parts = 0; parts < 4; ++parts) {
            uint256 tail = 0xa0 + 32 * parts;
            bytes memory side = abi.encodePacked(uint256(0x40), tail, uint256(7), uint256(0x40), parts);
            side = abi.encodePacked(side, new bytes(32 * parts), uint256(4), uint256(0x40));
            bytes memory head = abi.encodePacked(uint256(0x20), new bytes(0x80));
            head = abi.encodePacked(ours.one.selector, head, uint256(0xe0), uint256(0xe0), uint256(0xe0));
            unchecked {
                vm.assertFalse(same(abi.encodePacked(head, side, 0 - tail - 0x60)));
            }
        }
    }

    function testFuzz_aCall(bytes memory method, bytes memory params, uint256 how, uint8 times) public view {
        bytes memory data = abi.encodeCall(ours.call, (abi.encode(CallMsg(method, params))));
        same(mutate(data, how, times % 5));
    }

    function testFuzz_anAccount(uint160 account, uint256 how, uint8 times) public view {
        bytes memory data = abi.encodeCall(ours.account, (Fvm.from(address(account))));
        same(mutate(data, how, times % 5));
    }

    /// @dev Unlike the others it never reverts for what does not decode.
    function testFuzz_aWithdrawal(Withdrawal memory w, uint256 how, uint8 times) public view {
        bytes memory message = Withdrawals.encode(w);
        bytes memory data = abi.encodePacked(bytes4(0), message);
        data = mutate(data, how, times % 4);
        assembly {
            let length := sub(mload(data), 4)
            message := add(data, 4)
            mstore(message, length)
        }
        (bool ours, bytes32 id) = ours.withdrawal(message);
        try compilers.withdrawal(message) returns (bool want, bytes32 wantId) {
            vm.assertEq(ours, want);
            vm.assertEq(id, wantId);
        } catch {
            vm.assertFalse(ours);
        }
        if (times % 4 == 0 && message.length == Withdrawals.MESSAGE_LENGTH) vm.assertTrue(ours);
    }

    /// @dev Whoever is taken for the peer is the peer; a peer in another layout may
    /// be refused.
    function testFuzz_thePeer(uint64 root, uint8 depth, address peer, uint256 how, uint8 times) public {
        vm.assume(peer != address(0));
        SubnetID memory network;
        network.root = root;
        network.route = new address[](depth % 3);
        Listener listener = new Listener(network, peer, false);
        bytes memory data = abi.encodeCall(listener.isPeer, (IPCAddress(network, Fvm.from(peer))));
        (bool ok, bytes memory ret) = address(listener).staticcall(data);
        vm.assertTrue(abi.decode(ret, (bool)));
        data = mutate(data, how, times % 4);
        (ok, ret) = address(listener).staticcall(data);
        if (!ok || !abi.decode(ret, (bool))) return;
        // Missing zeros at the end are zeros.
        data = abi.encodePacked(data, new bytes(64));
        (ok, ret) = address(new Listener(network, peer, true)).staticcall(data);
        vm.assertTrue(ok);
        vm.assertTrue(abi.decode(ret, (bool)));
    }
}
