package axelar

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

var (
	// ErrSignerSet says when a gateway would refuse a signer set.
	ErrSignerSet = errors.New("not a signer set")
	// ErrNotSigner says when a signature is by nobody in the set.
	ErrNotSigner = errors.New("signed by nobody in the set")
	// ErrQuorum says when the signatures do not weigh as much as the threshold.
	ErrQuorum = errors.New("signatures weigh less than the threshold")
)

// WeightedSigner is one signer of a set.
type WeightedSigner struct {
	Signer common.Address
	Weight *big.Int
}

// WeightedSigners is who signs for a gateway, strictly ascending by address.
// Nonce makes two equal sets differ (networks take the time of creation);
// legacy gateways have none, so it is zero there.
type WeightedSigners struct {
	Signers   []WeightedSigner
	Threshold *big.Int
	Nonce     common.Hash
}

// Proof is what approveMessages and rotateSigners take besides their data.
type Proof struct {
	Signers    WeightedSigners
	Signatures [][]byte
}

// Weights have 128 bits at Amplifier gateways, 256 at legacy ones.
const (
	amplifierWeightBits = 128
	legacyWeightBits    = 256
)

// check demands what gateways demand: at least one signer, none zero, strictly
// ascending, weights and threshold above zero, the threshold within the sum,
// and the sum within the bits of a weight. The last is the network's own rule:
// an Amplifier gateway sums in 256 bits, the contracts on Axelar in 128.
func (s WeightedSigners) check(bits int) error {
	if len(s.Signers) == 0 {
		return fmt.Errorf("%w: no signers", ErrSignerSet)
	}
	var before common.Address
	sum := new(big.Int)
	for i, w := range s.Signers {
		if w.Signer.Cmp(before) <= 0 {
			return fmt.Errorf("%w: signer %d (%s) is zero or not above the one before", ErrSignerSet, i, w.Signer)
		}
		before = w.Signer
		if err := checkUint("weight", w.Weight, bits); err != nil {
			return fmt.Errorf("%w: signer %d: %w", ErrSignerSet, i, err)
		}
		if w.Weight.Sign() == 0 {
			return fmt.Errorf("%w: signer %d has no weight", ErrSignerSet, i)
		}
		sum.Add(sum, w.Weight)
	}
	if err := checkUint("sum of weights", sum, bits); err != nil {
		return fmt.Errorf("%w: %w", ErrSignerSet, err)
	}
	if err := checkUint("threshold", s.Threshold, bits); err != nil {
		return fmt.Errorf("%w: %w", ErrSignerSet, err)
	}
	if s.Threshold.Sign() == 0 || s.Threshold.Cmp(sum) > 0 {
		return fmt.Errorf("%w: threshold %s of %s", ErrSignerSet, s.Threshold, sum)
	}
	return nil
}

// Equal compares every field.
func (s WeightedSigners) Equal(o WeightedSigners) bool {
	if len(s.Signers) != len(o.Signers) || s.Nonce != o.Nonce || !sameInt(s.Threshold, o.Threshold) {
		return false
	}
	for i, w := range s.Signers {
		if w.Signer != o.Signers[i].Signer || !sameInt(w.Weight, o.Signers[i].Weight) {
			return false
		}
	}
	return true
}

func sameInt(a, b *big.Int) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Cmp(b) == 0
}

// Verify returns the place in the set of who made a signature over digest. It
// takes the form that gateways take (65 bytes r ‖ s ‖ v, v 27 or 28, s in the
// lower half): else one of ipc.ErrSignature…, or ErrNotSigner.
func (s WeightedSigners) Verify(digest common.Hash, signature []byte) (int, error) {
	who, err := ipc.Recover(digest, signature)
	if err != nil {
		return 0, err
	}
	for i, w := range s.Signers {
		if w.Signer == who {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", who, ErrNotSigner)
}

// Collect picks from signatures in any order those that a gateway takes: in
// the order of the signers, up to the very one that reaches the threshold (one
// more would revert). What does not verify, is by a stranger or comes twice is
// left out, so that nobody can spoil a proof; ErrQuorum where the rest is too
// light. The set has passed its check.
func (s WeightedSigners) Collect(digest common.Hash, signatures [][]byte) ([][]byte, error) {
	by := make([][]byte, len(s.Signers))
	for _, sig := range signatures {
		if i, err := s.Verify(digest, sig); err == nil {
			by[i] = sig
		}
	}
	var out [][]byte
	weight := new(big.Int)
	for i, sig := range by {
		if sig == nil {
			continue
		}
		out = append(out, sig)
		weight.Add(weight, s.Signers[i].Weight)
		if weight.Cmp(s.Threshold) >= 0 {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%d of %d signatures count, weight %s of %s: %w",
		len(out), len(signatures), weight, s.Threshold, ErrQuorum)
}

var (
	signersFields = []abi.ArgumentMarshaling{
		{Name: "signers", Type: "tuple[]", Components: []abi.ArgumentMarshaling{field("signer", "address"), field("weight", "uint128")}},
		field("threshold", "uint128"), field("nonce", "bytes32"),
	}
	typeSigners = typed("tuple", signersFields...)
	typeProof   = typed("tuple", abi.ArgumentMarshaling{Name: "signers", Type: "tuple", Components: signersFields},
		field("signatures", "bytes[]"))

	signersLayout  = abi.Arguments{typeSigners}
	rotatePreimage = abi.Arguments{typed("uint8"), typeSigners}
	operatorsTypes = list("address[]", "uint256[]", "uint256")
)

// EncodeSigners is abi.encode(signers), as SignersRotated carries it.
func EncodeSigners(s WeightedSigners) ([]byte, error) {
	if err := s.check(amplifierWeightBits); err != nil {
		return nil, fmt.Errorf("encode signers: %w", err)
	}
	return encode(signersLayout, s), nil
}

// DecodeSigners reads what EncodeSigners writes. What a chain has accepted is
// not judged again: only numbers that are no uint128 are refused.
func DecodeSigners(b []byte) (WeightedSigners, error) {
	v, err := decode(signersLayout, b, maxSetBytes)
	if err != nil {
		return WeightedSigners{}, fmt.Errorf("decode signers: %w", err)
	}
	s := *abi.ConvertType(v[0], new(WeightedSigners)).(*WeightedSigners)
	for _, w := range s.Signers {
		if err := checkUint("weight", w.Weight, amplifierWeightBits); err != nil {
			return WeightedSigners{}, fmt.Errorf("decode signers: %w: %w", ErrMalformed, err)
		}
	}
	if err := checkUint("threshold", s.Threshold, amplifierWeightBits); err != nil {
		return WeightedSigners{}, fmt.Errorf("decode signers: %w: %w", ErrMalformed, err)
	}
	return s, nil
}

// SignersHash is what an Amplifier gateway knows a set by:
// keccak256(abi.encode(signers)).
func SignersHash(s WeightedSigners) (common.Hash, error) {
	b, err := EncodeSigners(s)
	if err != nil {
		return common.Hash{}, err
	}
	return keccak(b), nil
}

// RotateHash is the data hash of a rotation to next at Amplifier gateways.
func RotateHash(next WeightedSigners) (common.Hash, error) {
	if err := next.check(amplifierWeightBits); err != nil {
		return common.Hash{}, err
	}
	return keccak(encode(rotatePreimage, commandRotate, next)), nil
}

// operators are a set as the three arrays of legacy gateways.
func (s WeightedSigners) operators() (signers []common.Address, weights []*big.Int, threshold *big.Int) {
	for _, w := range s.Signers {
		signers, weights = append(signers, w.Signer), append(weights, w.Weight)
	}
	return signers, weights, s.Threshold
}

func (s WeightedSigners) checkLegacy() error {
	if s.Nonce != (common.Hash{}) {
		return fmt.Errorf("%w: a legacy gateway has no nonces", ErrSignerSet)
	}
	return s.check(legacyWeightBits)
}

// EncodeOperators is abi.encode(operators, weights, threshold): the parameters
// of transferOperatorship at legacy gateways.
func EncodeOperators(s WeightedSigners) ([]byte, error) {
	if err := s.checkLegacy(); err != nil {
		return nil, fmt.Errorf("encode operators: %w", err)
	}
	signers, weights, threshold := s.operators()
	return encode(operatorsTypes, signers, weights, threshold), nil
}

// DecodeOperators reads what EncodeOperators writes, as
// OperatorshipTransferred carries it. The set is not judged.
func DecodeOperators(b []byte) (WeightedSigners, error) {
	v, err := decode(operatorsTypes, b, maxSetBytes)
	if err != nil {
		return WeightedSigners{}, fmt.Errorf("decode operators: %w", err)
	}
	signers, weights := v[0].([]common.Address), v[1].([]*big.Int)
	if len(signers) != len(weights) {
		return WeightedSigners{}, fmt.Errorf("decode operators: %d with %d weights: %w", len(signers), len(weights), ErrMalformed)
	}
	s := WeightedSigners{Signers: make([]WeightedSigner, len(signers)), Threshold: v[2].(*big.Int)}
	for i := range signers {
		s.Signers[i] = WeightedSigner{Signer: signers[i], Weight: weights[i]}
	}
	return s, nil
}

// OperatorsHash is what a legacy gateway's auth module knows a set by.
func OperatorsHash(s WeightedSigners) (common.Hash, error) {
	b, err := EncodeOperators(s)
	if err != nil {
		return common.Hash{}, err
	}
	return keccak(b), nil
}

// DomainSeparator is that of an Amplifier gateway: the Axelar name of its
// chain, the router's address and the id of the Axelar network. Amplifier
// gateways tell theirs; this is to check one or to deploy it.
func DomainSeparator(chain, router, network string) common.Hash {
	return keccak([]byte(chain), []byte(router), []byte(network))
}
