package ipc

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Operations of a power change.
const (
	OpSetPower    uint8 = 0 // payload: abi.encode(uint256 new weight), root units
	OpSetMetadata uint8 = 1 // payload: 65 bytes, the uncompressed public key
)

// PowerChange is one change of one validator.
type PowerChange struct {
	Op        uint8
	Payload   []byte
	Validator common.Address
}

// PowerChangeRequest is a numbered change; numbers start at 1 and have no gaps.
type PowerChangeRequest struct {
	Change              PowerChange
	ConfigurationNumber uint64
}

// Validator is a validator as contracts hold it: Weight in root units,
// Metadata the 65-byte public key.
type Validator struct {
	Weight   *big.Int
	Addr     common.Address
	Metadata []byte
}

// Membership is a set of validators and the number of the last change in it.
type Membership struct {
	Validators          []Validator
	ConfigurationNumber uint64
}

// Equal compares every field.
func (p PowerChangeRequest) Equal(o PowerChangeRequest) bool {
	return p.ConfigurationNumber == o.ConfigurationNumber && p.Change.Op == o.Change.Op &&
		p.Change.Validator == o.Change.Validator && bytes.Equal(p.Change.Payload, o.Change.Payload)
}

// Hash is keccak256(abi.encode(request)): the leaf of the rolling hash over
// power changes.
func (p PowerChangeRequest) Hash() common.Hash { return keccak(EncodePowerChange(p)) }

// EncodePowerChange is abi.encode(PowerChangeRequest).
func EncodePowerChange(p PowerChangeRequest) []byte {
	b := make([]byte, 0, 6*wordLen+sizeBytes(p.Change.Payload))
	b = appendSize(b, wordLen)
	b = appendSize(b, 2*wordLen)
	b = appendUint64(b, p.ConfigurationNumber)
	b = appendUint64(b, uint64(p.Change.Op))
	b = appendSize(b, 3*wordLen)
	b = appendAddress(b, p.Change.Validator)
	return appendBytes(b, p.Change.Payload)
}

// DecodePowerChange reads abi.encode(PowerChangeRequest). The operation and
// the payload are not judged: ApplyPowerChanges is total over them.
func DecodePowerChange(b []byte) (PowerChangeRequest, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return PowerChangeRequest{}, fmt.Errorf("decode power change: %w", err)
	}
	r.lead()
	var p PowerChangeRequest
	start := r.pos
	off := r.offset()
	p.ConfigurationNumber = r.uint64()
	r.at(start, off)
	inner := r.pos
	p.Change.Op = uint8(r.uint(8))
	off = r.offset()
	p.Change.Validator = r.address()
	r.at(inner, off)
	p.Change.Payload = r.bytes()
	if err := r.done(); err != nil {
		return PowerChangeRequest{}, fmt.Errorf("decode power change: %w", err)
	}
	return p, nil
}

// SetPower is the change that gives a validator a new weight.
func SetPower(number uint64, validator common.Address, weight *big.Int) PowerChangeRequest {
	return PowerChangeRequest{
		Change:              PowerChange{Op: OpSetPower, Payload: appendBig(nil, weight), Validator: validator},
		ConfigurationNumber: number,
	}
}

// SetMetadata is the change that gives a validator its public key.
func SetMetadata(number uint64, validator common.Address, pubkey []byte) PowerChangeRequest {
	return PowerChangeRequest{
		Change:              PowerChange{Op: OpSetMetadata, Payload: bytes.Clone(pubkey), Validator: validator},
		ConfigurationNumber: number,
	}
}
