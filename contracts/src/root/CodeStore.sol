// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Creation code kept as the code of data contracts
/// @notice A factory that carries its product's creation code outgrows the code
/// limit (EIP-170). Two data contracts hold it instead: each is a STOP byte, so
/// that nobody can run it, and then data.
library CodeStore {
    error CodeNotStored();

    uint256 private constant CHUNK = 24575; // code limit less the STOP byte

    /// @notice Stores `code`, at most 49,150 bytes; `second` is zero when one
    /// contract is enough.
    function store(bytes memory code) internal returns (address first, address second) {
        if (code.length > 2 * CHUNK) revert CodeNotStored();
        uint256 head = code.length < CHUNK ? code.length : CHUNK;
        first = _store(code, 0, head);
        if (code.length > head) second = _store(code, head, code.length - head);
    }

    /// @notice Reads back what `store` stored.
    function load(address first, address second) internal view returns (bytes memory code) {
        uint256 head = first.code.length - 1;
        uint256 tail = second == address(0) ? 0 : second.code.length - 1;
        code = new bytes(head + tail);
        assembly ("memory-safe") {
            extcodecopy(first, add(code, 0x20), 1, head)
            extcodecopy(second, add(add(code, 0x20), head), 1, tail)
        }
    }

    function _store(bytes memory code, uint256 from, uint256 size) private returns (address stored) {
        // PUSH4 size+1, DUP1, PUSH1 12, PUSH0, CODECOPY, PUSH0, RETURN: returns all
        // that follows these twelve bytes, which is STOP and the data.
        bytes memory part = new bytes(size);
        assembly ("memory-safe") {
            mcopy(add(part, 0x20), add(add(code, 0x20), from), size)
        }
        // At most CHUNK.
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes memory init = abi.encodePacked(hex"63", uint32(size + 1), hex"80600c5f395ff300", part);
        assembly ("memory-safe") {
            stored := create(0, add(init, 0x20), mload(init))
        }
        if (stored == address(0) || stored.code.length != size + 1) revert CodeNotStored();
    }
}
