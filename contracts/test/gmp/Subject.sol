// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IGmpCallee, IGmpCaller} from "../../src/interfaces/IGmp.sol";

/// @dev What a subject does when it is called: the first byte of the data.
enum Does {
    Echo, // returns the rest
    Fail, // reverts with the rest, after all it has written
    Act, // calls as the rest says: (address, value, data)
    Burn, // everything, then runs out of gas
    BurnAll, // all but a little, and returns as many bytes as the rest says
    Bomb, // returns 1 MB
    FailBomb, // reverts with 1 MB
    Nothing, // returns no data
    OddOffset, // an encoding nobody makes
    Overlong, // claims more bytes than it returns
    Need // reverts with less gas than the rest says, and costs nothing
}

/// @dev What a subject does when it is told a result.
enum Hears {
    Take,
    Deny, // another magic value
    Fail, // reverts with the magic value
    Burn,
    Bomb,
    Nothing
}

/// @dev A contract that calls and is called, and remembers.
contract Subject is IGmpCallee, IGmpCaller {
    struct Seen {
        uint32 times;
        uint64 gas; // it had
        address sender;
        bytes32 dataHash;
        uint96 chainId;
        address by; // msg.sender
    }

    struct Told {
        uint32 times;
        uint64 gas;
        address by;
        bool ok;
        bytes32 retHash;
    }

    Hears public hears;
    uint256 public touched; // by others
    mapping(bytes32 id => Seen) private _seen;
    mapping(bytes32 id => Told) private _told;

    receive() external payable {}

    function hear(Hears hears_) external {
        hears = hears_;
    }

    function touch() external {
        ++touched;
    }

    function seen(bytes32 id) external view returns (Seen memory) {
        return _seen[id];
    }

    function told(bytes32 id) external view returns (Told memory) {
        return _told[id];
    }

    function onGmpCall(bytes32 id, uint256 sourceChainId, address sender, bytes calldata data)
        external
        returns (bytes memory)
    {
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 had = uint64(gasleft());
        if (data.length == 33 && data[0] == bytes1(uint8(Does.Need))) {
            require(had >= abi.decode(data[1:], (uint256)), "hungry");
        }
        Seen storage s = _seen[id];
        ++s.times;
        (s.gas, s.sender, s.dataHash) = (had, sender, keccak256(data));
        // forge-lint: disable-next-line(unsafe-typecast)
        (s.chainId, s.by) = (uint96(sourceChainId), msg.sender);
        if (data.length == 0) return "";
        Does does = Does(uint8(data[0]));
        bytes calldata rest = data[1:];
        if (does == Does.Echo) return rest;
        if (does == Does.Act) return _act(rest);
        if (does == Does.BurnAll) {
            bytes memory ret = new bytes(abi.decode(rest, (uint256)));
            while (gasleft() > 3_000) {}
            return ret;
        }
        _raw(does, rest);
        return "";
    }

    function _act(bytes calldata rest) private returns (bytes memory) {
        (address to, uint256 value, bytes memory data) = abi.decode(rest, (address, uint256, bytes));
        (bool ok, bytes memory ret) = to.call{value: value}(data);
        if (ok) return "acted";
        assembly ("memory-safe") {
            revert(add(ret, 0x20), mload(ret))
        }
    }

    function _raw(Does does, bytes memory rest) private pure {
        if (does == Does.Burn) while (true) {}
        uint256 kind = uint256(does);
        assembly ("memory-safe") {
            let p := mload(0x40)
            switch kind
            case 1 { revert(add(rest, 0x20), mload(rest)) }
            case 5 { return(p, 1000000) }
            case 6 { revert(p, 1000000) }
            case 7 { return(0, 0) }
            case 8 {
                mstore(p, 0x40)
                mstore(add(p, 0x20), 0)
                mstore(add(p, 0x40), 1)
                mstore(add(p, 0x60), not(0))
                return(p, 0x80)
            }
            case 9 {
                mstore(p, 0x20)
                mstore(add(p, 0x20), 33)
                mstore(add(p, 0x40), 1)
                return(p, 0x60)
            }
        }
    }

    function onGmpResult(bytes32 id, bool ok, bytes calldata ret) external returns (bytes4) {
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 had = uint64(gasleft());
        Told storage t = _told[id];
        ++t.times;
        (t.gas, t.by, t.ok, t.retHash) = (had, msg.sender, ok, keccak256(ret));
        if (hears == Hears.Take) return IGmpCaller.onGmpResult.selector;
        if (hears == Hears.Deny) return 0x12345678;
        if (hears == Hears.Burn) while (true) {}
        uint256 kind = uint256(hears);
        bytes4 magic = IGmpCaller.onGmpResult.selector;
        assembly ("memory-safe") {
            let p := mload(0x40)
            switch kind
            case 2 {
                mstore(p, magic)
                revert(p, 0x20)
            }
            case 4 { return(p, 100000) }
            case 5 { return(0, 0) }
        }
        return 0;
    }
}

/// @dev A gateway of Axelar's that takes a call only with gas to spare.
contract PickyGateway {
    function callContract(string calldata, string calldata, bytes calldata) external view {
        require(gasleft() >= 300_000, "hungry");
    }
}

/// @dev Takes any call, as wrapped coin does.
contract Swallower {
    uint256 public swallowed;

    fallback() external {
        ++swallowed;
    }
}
