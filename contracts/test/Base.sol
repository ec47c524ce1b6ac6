// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev The cheatcodes our tests use.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    struct Wallet {
        address addr;
        uint256 publicKeyX;
        uint256 publicKeyY;
        uint256 privateKey;
    }

    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function deal(address account, uint256 balance) external;
    function etch(address account, bytes calldata code) external;
    function store(address account, bytes32 slot, bytes32 value) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function roll(uint256 height) external;
    function warp(uint256 time) external;
    function fee(uint256 baseFee) external;
    function txGasPrice(uint256 price) external;
    function coinbase(address account) external;
    function chainId(uint256 id) external;
    function setBlockhash(uint256 height, bytes32 hash) external;
    function getBlockNumber() external view returns (uint256);
    function assume(bool condition) external pure;
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectEmit(bool t1, bool t2, bool t3, bool data) external;
    function expectEmit(bool t1, bool t2, bool t3, bool data, address emitter) external;
    function expectEmit(address emitter) external;
    function expectEmit() external;
    function expectCall(address callee, bytes calldata data) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function addr(uint256 privateKey) external pure returns (address);
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function createWallet(uint256 privateKey) external returns (Wallet memory);
    function label(address account, string calldata name) external;
    function snapshotState() external returns (uint256);
    function revertToState(uint256 id) external returns (bool);
    function mockCall(address callee, bytes calldata data, bytes calldata ret) external;
    function mockCallRevert(address callee, bytes calldata data, bytes calldata ret) external;
    function clearMockedCalls() external;
    function getCode(string calldata artifact) external view returns (bytes memory creation);
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function getNonce(address account) external view returns (uint64);
    function setNonce(address account, uint64 nonce) external;
    function toString(uint256 value) external pure returns (string memory);
    function toString(address value) external pure returns (string memory);
    function toString(bytes calldata value) external pure returns (string memory);
    function signDelegation(address implementation, uint256 privateKey) external;
    function signAndAttachDelegation(address implementation, uint256 privateKey) external;
    function cool(address account) external;
    function pauseGasMetering() external;
    function resumeGasMetering() external;
    function bound(uint256 x, uint256 min, uint256 max) external view returns (uint256);

    function assertTrue(bool condition) external pure;
    function assertTrue(bool condition, string calldata message) external pure;
    function assertFalse(bool condition) external pure;
    function assertFalse(bool condition, string calldata message) external pure;
    function assertEq(uint256 a, uint256 b) external pure;
    function assertEq(uint256 a, uint256 b, string calldata message) external pure;
    function assertEq(int256 a, int256 b) external pure;
    function assertEq(address a, address b) external pure;
    function assertEq(address a, address b, string calldata message) external pure;
    function assertEq(bytes32 a, bytes32 b) external pure;
    function assertEq(bytes32 a, bytes32 b, string calldata message) external pure;
    function assertEq(bool a, bool b) external pure;
    function assertEq(bool a, bool b, string calldata message) external pure;
    function assertEq(bytes calldata a, bytes calldata b) external pure;
    function assertEq(bytes calldata a, bytes calldata b, string calldata message) external pure;
    function assertEq(string calldata a, string calldata b) external pure;
    function assertNotEq(uint256 a, uint256 b) external pure;
    function assertNotEq(bytes32 a, bytes32 b) external pure;
    function assertNotEq(address a, address b) external pure;
    function assertLt(uint256 a, uint256 b) external pure;
    function assertLt(uint256 a, uint256 b, string calldata message) external pure;
    function assertLe(uint256 a, uint256 b) external pure;
    function assertLe(uint256 a, uint256 b, string calldata message) external pure;
    function assertGt(uint256 a, uint256 b) external pure;
    function assertGt(uint256 a, uint256 b, string calldata message) external pure;
    function assertGe(uint256 a, uint256 b) external pure;
    function assertGe(uint256 a, uint256 b, string calldata message) external pure;
}

/// @dev Gas of the last call, one transaction of its own in isolation.
interface GasMeter {
    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }

    function lastCallGas() external view returns (Gas memory);
}

/// @notice What every test contract inherits; forge 1.7.1 brings assertions as
/// cheatcodes.
abstract contract Base {
    /// @dev Tells forge that this is a test.
    // forge-lint: disable-next-line(screaming-snake-case-const)
    bool public constant IS_TEST = true;

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address[] private invariantTargets;

    /// @dev Registers a handler whose functions invariant runs call.
    function target(address handler) internal {
        invariantTargets.push(handler);
    }

    function targetContracts() public view returns (address[] memory) {
        return invariantTargets;
    }

    /// @dev Folds x into [min, max].
    function bound(uint256 x, uint256 min, uint256 max) internal pure returns (uint256) {
        if (x >= min && x <= max) return x;
        unchecked {
            uint256 span = max - min + 1;
            return span == 0 ? x : min + x % span;
        }
    }

    /// @dev A key and its address from a name.
    function makeAddrAndKey(string memory name) internal pure returns (address account, uint256 key) {
        key = uint256(keccak256(bytes(name))) >> 8;
        account = vm.addr(key);
    }

    function makeAddr(string memory name) internal pure returns (address account) {
        (account,) = makeAddrAndKey(name);
    }

    /// @dev The 65-byte signature r ‖ s ‖ v.
    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev The 65-byte uncompressed public key of `key`.
    function publicKey(uint256 key) internal returns (bytes memory) {
        Vm.Wallet memory wallet = vm.createWallet(key);
        return abi.encodePacked(uint8(4), wallet.publicKeyX, wallet.publicKeyY);
    }
}
