// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title The shell that published contracts live in
/// @notice Forwards each listed selector to one facet and refuses every other.
/// It has the loupe's question `facetAddress` and nothing else of its own.
contract Diamond {
    error FunctionNotFound(bytes4 selector);

    // ERC-7201-like place, away from the facet's own storage.
    bytes32 private constant FACETS = keccak256("stranger.diamond.facets");

    constructor(address facet, bytes4[] memory selectors, bytes memory setUp) payable {
        mapping(bytes4 => address) storage facets = _facets();
        for (uint256 i = 0; i < selectors.length; i++) {
            facets[selectors[i]] = facet;
        }
        facets[this.facetAddress.selector] = address(this);
        (bool ok, bytes memory why) = facet.delegatecall(setUp);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(why, 0x20), mload(why))
            }
        }
    }

    /// @notice Which facet has a function; zero for none.
    function facetAddress(bytes4 selector) external view returns (address) {
        return _facets()[selector];
    }

    receive() external payable {}

    fallback() external payable {
        address facet = _facets()[msg.sig];
        if (facet == address(0)) revert FunctionNotFound(msg.sig);
        assembly ("memory-safe") {
            let p := mload(0x40)
            calldatacopy(p, 0, calldatasize())
            let ok := delegatecall(gas(), facet, p, calldatasize(), 0, 0)
            returndatacopy(p, 0, returndatasize())
            switch ok
            case 0 { revert(p, returndatasize()) }
            default { return(p, returndatasize()) }
        }
    }

    function _facets() private pure returns (mapping(bytes4 => address) storage facets) {
        bytes32 at = FACETS;
        assembly ("memory-safe") {
            facets.slot := at
        }
    }
}
