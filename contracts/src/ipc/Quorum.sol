// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title The signature rules every quorum of ours obeys
/// @notice Signatories strictly ascending, 65-byte low-s signatures over a raw
/// digest, and a weight above 2/3 *and* at the subnet's own majority
/// (PROTOCOL 22). Errors and codes are those of generation C.
library Quorum {
    error SignatureAddressesNotSorted();
    error DuplicateValidatorSignaturesFound();
    error NotValidator(address account);
    error InvalidSignatureErr(uint8 code);

    uint8 internal constant INVALID_ARRAY_LENGTH = 1;
    uint8 internal constant EMPTY_SIGNATURES = 2;
    uint8 internal constant INVALID_SIGNATORY = 3;
    uint8 internal constant INVALID_SIGNATURE = 4;
    uint8 internal constant WEIGHT_BELOW_THRESHOLD = 5;

    /// @notice Checks shape, order and every signature; weighs nothing. Callers
    /// sum the weights, reverting NotValidator for a signatory without one, and
    /// call `requireWeight`.
    function requireSigned(bytes32 digest, address[] calldata signatories, bytes[] calldata signatures)
        internal
        pure
    {
        requireSorted(signatories, signatures);
        for (uint256 i = 0; i < signatories.length; i++) {
            requireSignature(digest, signatories[i], signatures[i]);
        }
    }

    /// @notice Strictly ascending addresses, one signature each.
    function requireSorted(address[] calldata signatories, bytes[] calldata signatures) internal pure {
        if (signatures.length == 0) revert InvalidSignatureErr(EMPTY_SIGNATURES);
        if (signatories.length != signatures.length) revert InvalidSignatureErr(INVALID_ARRAY_LENGTH);
        for (uint256 i = 1; i < signatories.length; i++) {
            if (signatories[i] == signatories[i - 1]) revert DuplicateValidatorSignaturesFound();
            if (signatories[i] < signatories[i - 1]) revert SignatureAddressesNotSorted();
        }
    }

    /// @notice `signature` over `digest` recovers to `signatory`.
    function requireSignature(bytes32 digest, address signatory, bytes calldata signature) internal pure {
        (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err != ECDSA.RecoverError.NoError) revert InvalidSignatureErr(INVALID_SIGNATURE);
        if (recovered != signatory) revert InvalidSignatureErr(INVALID_SIGNATORY);
    }

    /// @notice 3·weight > 2·total and weight ≥ total·majority/100.
    function reached(uint256 weight, uint256 total, uint8 majority) internal pure returns (bool) {
        return total != 0 && 3 * weight > 2 * total && weight >= total * majority / 100;
    }

    /// @notice Reverts InvalidSignatureErr(5) below the quorum.
    function requireWeight(uint256 weight, uint256 total, uint8 majority) internal pure {
        if (!reached(weight, total, majority)) revert InvalidSignatureErr(WEIGHT_BELOW_THRESHOLD);
    }
}
