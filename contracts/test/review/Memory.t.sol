// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {Calls} from "../../src/ipc/Calls.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {IpcEnvelope} from "../../src/ipc/Types.sol";
import {Mmr} from "../../src/ipc/Mmr.sol";
import {Base} from "../Base.sol";
import {Mutations} from "./Calldata.t.sol";

interface IPays {
    function payAndCall(address token, address to, IpcEnvelope calldata envelope) external;
}

/// @dev Keeps the hash of what it was called with, and answers as it is told.
contract Witness {
    bytes32 public heard;
    bytes private answer;

    function set(bytes calldata answer_) external {
        answer = answer_;
    }

    fallback() external {
        heard = keccak256(msg.data);
        bytes memory a = answer;
        assembly {
            return(add(a, 0x20), mload(a))
        }
    }
}

/// @dev Does with an envelope what the gateway does, between two things that lie
/// in memory beside it.
contract Neighbour {
    function run(IpcEnvelope calldata e, Witness witness, bytes calldata before, bytes calldata behind)
        external
        returns (bytes memory ret)
    {
        bytes memory low = before;
        Calls.room();
        bytes memory encoded = Envelopes.encode(e);
        bytes memory high = behind;
        bytes memory plain = abi.encode(e);

        require(Envelopes.tracingIdOf(encoded) == Envelopes.tracingId(e), "id");
        require(keccak256(encoded) == keccak256(plain), "encoding after id");
        bool ok;
        (ok, ret) = Calls.handle(address(witness), 0, gasleft(), encoded);
        require(ok, "handle");
        bytes32 want = keccak256(abi.encodeCall(IIpcHandler.handleIpcMessage, (e)));
        require(witness.heard() == want, "handle's data");
        require(keccak256(encoded) == keccak256(plain), "encoding after handle");
        (ok, ret) = Calls.payAndHandle(
            address(witness), gasleft(), IPays.payAndCall.selector, address(1), address(2), encoded
        );
        require(ok, "pay");
        want = keccak256(abi.encodeCall(IPays.payAndCall, (address(1), address(2), e)));
        require(witness.heard() == want, "pay's data");
        require(keccak256(encoded) == keccak256(plain), "encoding after pay");

        require(keccak256(low) == keccak256(before), "in front");
        require(keccak256(high) == keccak256(behind), "behind");
    }
}

/// @dev What is written by hand into memory stays where it belongs, whatever the
/// layout of the calldata it comes from.
contract MemoryTest is Mutations {
    function testFuzz_noNeighbourIsTouched(
        uint256 seed,
        uint256 how,
        uint8 times,
        bytes memory before,
        bytes memory behind,
        bytes memory answer
    ) public {
        Neighbour neighbour = new Neighbour();
        Witness witness = new Witness();
        witness.set(answer);
        IpcEnvelope memory e = envelopeOf(seed);
        bytes memory data = abi.encodeCall(neighbour.run, (e, witness, before, behind));
        uint256 words = abi.encode(e).length / 32 - 1;
        // Only words of the envelope, which begins behind four arguments.
        bytes memory part = new bytes(4 + 32 * words);
        mcopy(data, 4 + 128, part, 4, 32 * words);
        part = mutate(part, how | 7 << 128, times % 4);
        uint256 size = part.length - 4 < 32 * words ? part.length - 4 : 32 * words;
        mcopy(part, 4, data, 4 + 128, size);
        (bool ok, bytes memory ret) = address(neighbour).call(data);
        if (!ok) {
            // Not readable at all: nothing of ours has spoken.
            // forge-lint: disable-next-line(unsafe-typecast) of an error, its selector
            vm.assertTrue(ret.length < 4 || bytes4(ret) == 0x4e487b71);
            vm.assertTrue(times % 4 != 0);
            return;
        }
        ret = abi.decode(ret, (bytes));
        vm.assertEq(ret.length, answer.length < 128 ? answer.length : 128);
        for (uint256 i = 0; i < ret.length; ++i) {
            vm.assertTrue(ret[i] == answer[i]);
        }
    }

    function mcopy(bytes memory from, uint256 at, bytes memory to, uint256 there, uint256 size) private pure {
        assembly {
            mcopy(add(add(to, 0x20), there), add(add(from, 0x20), at), size)
        }
    }
}

/// @dev The accumulator where carries are as long as they can be.
contract CarriesTest is Base {
    using Mmr for Mmr.Tree;

    Mmr.Tree private tree;

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_theRootIsPlainAtEveryMoment(uint64 start, uint8 ones, bytes32 seed, bool prepared)
        public
    {
        uint256 low = bound(ones, 0, 62);
        // forge-lint: disable-next-line(unsafe-typecast)
        start = uint64(start >> 1 | (uint64(1) << low) - 1);
        start -= start % 64 < 40 ? start % 64 : 40; // so that the long carry comes in between
        if (prepared) tree.prepare();
        tree.count = start;
        bytes32[64] memory plain;
        for (uint256 h = 0; h < 64; ++h) {
            plain[h] = keccak256(abi.encode(seed, h));
            tree.peaks[h] = plain[h];
        }
        for (uint256 i = 0; i < 150; ++i) {
            bytes32 id = keccak256(abi.encode(seed, "id", i));
            // forge-lint: disable-next-line(unsafe-typecast)
            uint64 index = start + uint64(i);
            bytes32 acc = Mmr.leafOf(id);
            uint256 h = 0;
            for (; (index >> h) & 1 == 1; ++h) {
                acc = Mmr.nodeOf(plain[h], acc);
            }
            plain[h] = acc;
            vm.assertEq(uint256(tree.append(id)), index);
            vm.assertEq(tree.root(), bagged(plain, index + 1));
        }
    }

    function bagged(bytes32[64] memory peaks, uint64 count) private pure returns (bytes32 acc) {
        for (uint256 h = 0; h < 64; ++h) {
            if ((count >> h) & 1 == 0) continue;
            acc = acc == 0 ? peaks[h] : Mmr.nodeOf(peaks[h], acc);
        }
        return keccak256(abi.encodePacked(uint8(2), count, acc));
    }

    function test_aFullAccumulatorTakesNoMore() public {
        tree.count = type(uint64).max;
        (bool ok,) = address(this).call(abi.encodeCall(this.append, ()));
        vm.assertFalse(ok);
        vm.assertEq(uint256(tree.count), type(uint64).max);
    }

    function append() external {
        tree.append(bytes32(uint256(1)));
    }
}
