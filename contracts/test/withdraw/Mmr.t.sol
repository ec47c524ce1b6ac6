// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Mmr} from "../../src/ipc/Mmr.sol";
import {SubnetID, Withdrawal} from "../../src/ipc/Types.sol";
import {Withdrawals} from "../../src/withdraw/Withdrawals.sol";
import {Base} from "../Base.sol";

/// @dev The constants are those of golden.json, computed outside Solidity.
contract MmrTest is Base {
    using Mmr for Mmr.Tree;

    Mmr.Tree private tree;

    function roots() private pure returns (bytes32[9] memory) {
        return [
            bytes32(0x53b9ed52190f4b42bc1f3a0714b6ae4692760323ff9c13f8267f8eb2dff04f46),
            0xc6f0ccd38faafbff24bd8b9c14ea10b3a64717b25bccb7270ffd2cea453b9d60,
            0xb1224a8cd848c4b59e9dbabd25ff09f5d947dc738b7e5736bf71aa67c497cfe2,
            0x81abdf4d1b75a32c04d324688830d2667be72760dd34ae97ee6b9501d4490a56,
            0x507a8aa9208a50594c430eff32523ef2d2b15d7f8fc17313b60361cd3fa8bfa9,
            0x7eec45a9f97063e81a65407a2f358aea56e33a6d4a932054856fa668dac45902,
            0xcd4892e7e1f27589883ab0b9fae91242a80b8728e63fa82ee875ef123b62fc46,
            0x0a267bc88f93e5683e69f859a954e3283162114682e4ac42b1e478d557da0068,
            0xcd189f37030174d1bad3c54df99e399d35d2e6b41bb6d9e8071d2b3d798b1a30
        ];
    }

    function test_rootsOfOneToNineIdsAreTheGoldenOnes() public {
        vm.assertEq(tree.root(), bytes32(0));
        for (uint256 i = 0; i < 9; i++) {
            vm.assertEq(uint256(tree.append(keccak256(abi.encode(i)))), i);
            vm.assertEq(tree.root(), roots()[i]);
        }
    }

    function test_theWithdrawalIdAndMessageAreTheGoldenOnes() public pure {
        SubnetID memory subnet;
        subnet.root = 31415926;
        subnet.route = new address[](1);
        subnet.route[0] = address(0xAc700001);
        Withdrawal memory w = Withdrawal({
            subnetKey: Withdrawals.subnetKey(subnet),
            outbox: 0x77Aa40B105843728088C0132e43FC44348881D02,
            nonce: 7,
            token: address(0xF1700001),
            sender: address(0x1111111111111111111111111111111111111111),
            recipient: address(0x2222222222222222222222222222222222222222),
            fallbackRecipient: address(0x3333333333333333333333333333333333333333),
            gross: 123456789012345678901,
            minOut: 123000000000000000000,
            height: 1234,
            fillDeadline: 1900000000,
            exclusiveFiller: address(0x4444444444444444444444444444444444444444),
            exclusivityDeadline: 1800000000,
            maxFeeBps: 25
        });
        vm.assertEq(w.subnetKey, 0x8d05f4975d8bb1a933bda06844231added9ec0e757fd11f2f987314fe5dd46da);
        vm.assertEq(
            Withdrawals.idOf(31415926, address(0xFa570001), w),
            0x8ef81bf11f5ef1f20b280f29b7401e8a0bad0f512b2f1ce3f4ec001aebdf36cd
        );
        vm.assertEq(bytes32(Withdrawals.SETTLE), bytes32(bytes4(0x128379ba)));
        vm.assertEq(
            keccak256(Withdrawals.encode(w)),
            0xa200332827a3a5445aee6a47474e6869da3b180317741ee8e2afc5f9772f0000
        );
    }

    /// @dev Prepared slots are no leaves.
    function test_aPreparedTreeIsEmpty() public {
        tree.prepare();
        vm.assertEq(tree.root(), bytes32(0));
        for (uint256 i = 0; i < 9; i++) {
            tree.append(keccak256(abi.encode(i)));
            vm.assertEq(tree.root(), roots()[i]);
        }
    }

    /// @dev Appends that carry far, at counts no test could reach one by one: the
    /// tree has any peaks, and the root is that of a plain counter.
    function testFuzz_aFarCarryGivesThePlainRootAtEveryMoment(uint64 start, uint8 ones, bytes32 seed) public {
        uint256 low = bound(ones, 0, 36);
        // forge-lint: disable-next-line(unsafe-typecast)
        start = uint64(bound(start, 0, 2 ** 40) | (2 ** low - 1));
        tree.count = start;
        bytes32[64] memory plain;
        for (uint256 h = 0; h < 64; ++h) {
            plain[h] = keccak256(abi.encode(seed, h));
            tree.peaks[h] = plain[h];
        }
        for (uint256 i = 0; i < 40; ++i) {
            bytes32 id = keccak256(abi.encode(seed, "id", i));
            // forge-lint: disable-next-line(unsafe-typecast)
            uint64 index = start + uint64(i);
            bytes32 acc = keccak256(abi.encodePacked(uint8(0), id));
            uint256 h = 0;
            for (; (index >> h) & 1 == 1; ++h) {
                acc = keccak256(abi.encodePacked(uint8(1), plain[h], acc));
            }
            plain[h] = acc;
            vm.assertEq(uint256(tree.append(id)), index);
            vm.assertEq(tree.root(), bagged(plain, index + 1));
        }
    }

    function bagged(bytes32[64] memory peaks, uint64 count) private pure returns (bytes32 acc) {
        bool first = true;
        for (uint256 h = 0; h < 64; ++h) {
            if ((count >> h) & 1 == 0) continue;
            acc = first ? peaks[h] : keccak256(abi.encodePacked(uint8(1), peaks[h], acc));
            first = false;
        }
        return keccak256(abi.encodePacked(uint8(2), count, acc));
    }

    /// @dev Merges, each a cold read: no append pays for a carry of 30 heights, nor
    /// do those that finish it.
    function test_noAppendMergesMoreThanTheBudget() public {
        tree.prepare();
        tree.count = uint64((1 << 30) - 1);
        uint256 dearest;
        for (uint256 i = 0; i < 40; ++i) {
            vm.cool(address(this));
            uint256 before = gasleft();
            tree.append(keccak256(abi.encode(i)));
            uint256 used = before - gasleft();
            if (used > dearest) dearest = used;
        }
        // Count, leaf, carry and its place: four slots; three merges.
        vm.assertLe(dearest, 4 * 5_000 + Mmr.BUDGET * 2_600 + 2_500);
        vm.assertEq(uint256(tree.carryHeight), 0);
    }

    /// @dev Against the definition: perfect trees from the left, bagged from the
    /// lowest.
    function testFuzz_theRootIsThatOfTheDefinition(uint8 count, bytes32 seed) public {
        uint256 n = bound(count, 1, 70);
        bytes32[] memory ids = new bytes32[](n);
        for (uint256 i = 0; i < n; i++) {
            ids[i] = keccak256(abi.encode(seed, i));
            tree.append(ids[i]);
        }
        uint256 end = n;
        bytes32 acc;
        bool first = true;
        for (uint256 h = 0; h < 8; h++) {
            if ((n >> h) & 1 == 0) continue;
            uint256 leaves = 2 ** h;
            bytes32 peak = perfect(ids, end - leaves, end);
            acc = first ? peak : keccak256(abi.encodePacked(uint8(1), peak, acc));
            first = false;
            end -= leaves;
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.assertEq(tree.root(), keccak256(abi.encodePacked(uint8(2), uint64(n), acc)));
    }

    function perfect(bytes32[] memory ids, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return keccak256(abi.encodePacked(uint8(0), ids[from]));
        uint256 mid = (from + to) / 2;
        return keccak256(abi.encodePacked(uint8(1), perfect(ids, from, mid), perfect(ids, mid, to)));
    }
}
