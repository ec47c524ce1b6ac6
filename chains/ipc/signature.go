package ipc

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// SignatureLen is the length of every signature here: r ‖ s ‖ v, v 27 or 28.
const SignatureLen = crypto.SignatureLength

// Why a signature is refused. The contracts refuse the same.
var (
	ErrSignatureLength = errors.New("signature is not 65 bytes")
	ErrSignatureV      = errors.New("signature v is neither 27 nor 28")
	ErrSignatureHighS  = errors.New("signature s is in the upper half")
	ErrSignature       = errors.New("signature recovers no key")
	// ErrDuplicateSigner says when one signer appears twice in a bundle.
	ErrDuplicateSigner = errors.New("signer appears twice")
	// ErrUnsorted says when signatories are not strictly ascending.
	ErrUnsorted = errors.New("signatories are not strictly ascending")
)

// Signed is one validator's signature over a digest known from context.
type Signed struct {
	Signer    common.Address
	Signature []byte
}

// Sign signs a 32-byte digest with a key in memory: 65 bytes, low s.
func Sign(key *ecdsa.PrivateKey, digest common.Hash) ([]byte, error) {
	sig, err := crypto.Sign(digest[:], key)
	if err != nil {
		return nil, fmt.Errorf("sign digest: %w", err)
	}
	sig[64] += 27
	return sig, nil
}

// Recover returns who signed digest. It takes exactly the form the contracts
// take: anything else is one of the ErrSignature errors.
func Recover(digest common.Hash, sig []byte) (common.Address, error) {
	if len(sig) != SignatureLen {
		return common.Address{}, ErrSignatureLength
	}
	if sig[64] != 27 && sig[64] != 28 {
		return common.Address{}, ErrSignatureV
	}
	v := sig[64] - 27
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:64])
	if !crypto.ValidateSignatureValues(v, r, s, true) {
		if crypto.ValidateSignatureValues(v, r, s, false) {
			return common.Address{}, ErrSignatureHighS
		}
		return common.Address{}, ErrSignature
	}
	raw := append(bytes.Clone(sig[:64]), v)
	pub, err := crypto.SigToPub(digest[:], raw)
	if err != nil {
		return common.Address{}, ErrSignature
	}
	return crypto.PubkeyToAddress(*pub), nil
}

// SortSignatures returns the bundle in strictly ascending order of signers, as
// the contracts demand; ErrDuplicateSigner if one appears twice.
func SortSignatures(sigs []Signed) ([]Signed, error) {
	out := slices.Clone(sigs)
	slices.SortStableFunc(out, func(a, b Signed) int { return a.Signer.Cmp(b.Signer) })
	for i := 1; i < len(out); i++ {
		if out[i].Signer == out[i-1].Signer {
			return nil, fmt.Errorf("sort signatures: %s: %w", out[i].Signer, ErrDuplicateSigner)
		}
	}
	return out, nil
}

// Split is a sorted bundle as the two arrays contracts take; ErrUnsorted if it
// is not strictly ascending.
func Split(sigs []Signed) (signatories []common.Address, signatures [][]byte, err error) {
	signatories = make([]common.Address, len(sigs))
	signatures = make([][]byte, len(sigs))
	for i, s := range sigs {
		if i > 0 && s.Signer.Cmp(sigs[i-1].Signer) <= 0 {
			return nil, nil, fmt.Errorf("split signatures: %s: %w", s.Signer, ErrUnsorted)
		}
		signatories[i], signatures[i] = s.Signer, s.Signature
	}
	return signatories, signatures, nil
}

// Quorum says whether weight is more than two thirds of total: 3·w > 2·t. An
// empty total never has one.
func Quorum(weight, total *big.Int) bool {
	if weight == nil || total == nil || weight.Sign() <= 0 || total.Sign() <= 0 {
		return false
	}
	w := new(big.Int).Mul(weight, big.NewInt(3))
	t := new(big.Int).Lsh(total, 1)
	return w.Cmp(t) > 0
}

// MajorityReached says whether a contract of ours accepts weight: the subnet's
// own percentage with the published floor, and a Quorum besides (PROTOCOL 22).
func MajorityReached(weight, total *big.Int, percent uint8) bool {
	if !Quorum(weight, total) || percent > 100 {
		return false
	}
	threshold := new(big.Int).Mul(total, big.NewInt(int64(percent)))
	threshold.Div(threshold, big.NewInt(100))
	return weight.Cmp(threshold) >= 0
}
