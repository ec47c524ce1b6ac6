package axelar

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Prefixes of the derivations below (InterchainTokenService.sol and
// InterchainTokenFactory.sol).
var (
	prefixTokenID       = keccak([]byte("its-interchain-token-id"))
	prefixTokenSalt     = keccak([]byte("its-interchain-token-salt"))
	prefixCanonicalSalt = keccak([]byte("canonical-token-salt"))
	prefixFactorySalt   = keccak([]byte("interchain-token-salt"))
	prefixCustomSalt    = keccak([]byte("custom-token-salt"))
)

// createDeployHash is the hash of the creation code of the contract that ITS
// deploys through (CREATE_DEPLOY_BYTECODE of Create3AddressFixed.sol, the same
// in 2.1.1 and 2.2.0).
var createDeployHash = common.HexToHash("0xdb4bab1640a2602c9f66f33765d12be4af115accf74b24515702961e82a71327")

func chainNameHash(chain string) common.Hash { return keccak([]byte(chain)) }

func word(a common.Address) []byte { return common.LeftPadBytes(a[:], 32) }

// CanonicalSalt is the deploy salt of a token that exists on chain and is
// registered as it is. The name counts to the letter: Ethereum and ethereum
// give different ids.
func CanonicalSalt(chain string, token common.Address) common.Hash {
	name := chainNameHash(chain)
	return keccak(prefixCanonicalSalt[:], name[:], word(token))
}

// FactorySalt is the deploy salt of a token that the factory makes for
// deployer.
func FactorySalt(chain string, deployer common.Address, salt common.Hash) common.Hash {
	name := chainNameHash(chain)
	return keccak(prefixFactorySalt[:], name[:], word(deployer), salt[:])
}

// LinkedSalt is the deploy salt of a token that deployer links with others.
func LinkedSalt(chain string, deployer common.Address, salt common.Hash) common.Hash {
	name := chainNameHash(chain)
	return keccak(prefixCustomSalt[:], name[:], word(deployer), salt[:])
}

// TokenID is ITS.interchainTokenId(sender, salt); the sender is the zero
// address for everything that went through the factory.
func TokenID(sender common.Address, salt common.Hash) common.Hash {
	return keccak(prefixTokenID[:], word(sender), salt[:])
}

// CanonicalTokenID is the id of a token that was registered as it is on chain.
func CanonicalTokenID(chain string, token common.Address) common.Hash {
	return TokenID(common.Address{}, CanonicalSalt(chain, token))
}

// TokenManager is where the ITS at its keeps the manager of a token, deployed
// or not.
func TokenManager(its common.Address, tokenID common.Hash) common.Address {
	return create3(its, tokenID)
}

// InterchainToken is where the ITS at its deploys a token of its own.
func InterchainToken(its common.Address, tokenID common.Hash) common.Address {
	return create3(its, keccak(prefixTokenSalt[:], tokenID[:]))
}

// create3 is the first contract of a contract made by CREATE2.
func create3(from common.Address, salt common.Hash) common.Address {
	return crypto.CreateAddress(crypto.CreateAddress2(from, salt, createDeployHash[:]), 1)
}
