package ipc

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Generation is a wire version of the published contracts.
type Generation uint8

// The generations, oldest first. B2 stands for B2 and B3, whose wire is one.
const (
	GenerationUnknown Generation = iota
	GenerationA                  // multisig checkpoint with its messages inside
	GenerationB1                 // A with activity
	GenerationB2                 // B1 with the reordered envelope
	GenerationC                  // multisig checkpoint with a batch commitment
	GenerationD                  // CometBFT light client
)

// String is the letter of the generation.
func (g Generation) String() string {
	switch g {
	case GenerationA:
		return "A"
	case GenerationB1:
		return "B1"
	case GenerationB2:
		return "B2"
	case GenerationC:
		return "C"
	case GenerationD:
		return "D"
	}
	return "unknown"
}

var (
	// ErrUnsupportedGeneration says when no profile exists for a generation.
	ErrUnsupportedGeneration = errors.New("no profile for this generation of the contracts")
	// ErrNoExecPhase says when messages execute with their checkpoint, so that
	// there is nothing to execute by itself.
	ErrNoExecPhase = errors.New("this generation executes messages with the checkpoint")
)

// Checkpoint is a checkpoint of any generation. In A its messages travel inside
// (Messages), while Msgs and Activity do not exist; in C it is the embedded
// struct alone and Messages stays nil.
type Checkpoint struct {
	BottomUpCheckpoint
	Messages []IpcEnvelope
}

// PowerKind is what a power change does in terms every generation shares.
type PowerKind uint8

// Kinds of power changes.
const (
	PowerSet      PowerKind = iota // the weight becomes Amount
	PowerMetadata                  // the key becomes Payload
	PowerAdd                       // the weight grows by Amount (A)
	PowerSub                       // the weight shrinks by Amount (A)
)

// PowerEvent is a decoded change. Request holds what the contracts pass on,
// its Op in the numbering of its generation. Amount is nil for PowerMetadata
// and for a payload that is no amount.
type PowerEvent struct {
	Kind    PowerKind
	Request PowerChangeRequest
	Amount  *big.Int
}

// TopDownEvent is a decoded NewTopDownMessage: Subnet is the subnet actor, ID
// the message id of the generation.
type TopDownEvent struct {
	Subnet  common.Address
	Message IpcEnvelope
	ID      common.Hash
}

// Profile is everything that differs between generations.
type Profile interface {
	Generation() Generation

	// EncodeEnvelope and DecodeEnvelope are abi.encode and its inverse.
	EncodeEnvelope(IpcEnvelope) ([]byte, error)
	DecodeEnvelope([]byte) (IpcEnvelope, error)
	// EnvelopeHash is keccak256(abi.encode(envelope)); MessageID what Results
	// carry as id.
	EnvelopeHash(IpcEnvelope) common.Hash
	MessageID(IpcEnvelope) common.Hash

	// EncodeCheckpoint and DecodeCheckpoint are abi.encode and its inverse;
	// CheckpointHash is what validators sign.
	EncodeCheckpoint(Checkpoint) ([]byte, error)
	DecodeCheckpoint([]byte) (Checkpoint, error)
	CheckpointHash(Checkpoint) common.Hash

	// SubmitCalldata is the call of submitCheckpoint on the subnet actor; the
	// signatures must be strictly ascending (ErrUnsorted).
	SubmitCalldata(Checkpoint, []Signed) ([]byte, error)
	// ExecCalldata is the call of execBottomUpMsgBatch on the subnet actor;
	// ErrNoExecPhase where there is none.
	ExecCalldata(height *big.Int, inclusions []Inclusion) ([]byte, error)

	// TopDownTopic and PowerChangeTopic are topic0 of the two parent events.
	TopDownTopic() common.Hash
	PowerChangeTopic() common.Hash
	DecodeTopDown(topics []common.Hash, data []byte) (TopDownEvent, error)
	DecodePowerChange(topics []common.Hash, data []byte) (PowerEvent, error)
}

// ProfileOf returns the profile of a generation: A or C so far.
func ProfileOf(g Generation) (Profile, error) {
	switch g {
	case GenerationA:
		return profileA{}, nil
	case GenerationC:
		return profileC{}, nil
	}
	return nil, fmt.Errorf("generation %s: %w", g, ErrUnsupportedGeneration)
}

// SubmitSelectors maps the submit selectors of a subnet actor to generations.
// A diamond tells which it has by facetAddress(bytes4).
func SubmitSelectors() map[[4]byte]Generation {
	return map[[4]byte]Generation{
		SelSubmitCheckpointA:  GenerationA,
		SelSubmitCheckpointB1: GenerationB1,
		SelSubmitCheckpointB2: GenerationB2,
		SelSubmitCheckpointC:  GenerationC,
		SelSubmitCheckpointD:  GenerationD,
	}
}

// submitCalldata is selector, checkpoint, address[] and bytes[], where put
// writes the checkpoint's tuple of the given size.
func submitCalldata(sel Selector, size int, put func([]byte) []byte, sigs []Signed) ([]byte, error) {
	signatories, signatures, err := Split(sigs)
	if err != nil {
		return nil, err
	}
	head := 3 * wordLen
	b := sel.Bytes()
	b = appendSize(b, head)
	b = appendSize(b, head+size)
	b = appendSize(b, head+size+wordLen*(1+len(signatories)))
	b = put(b)
	b = appendRoute(b, signatories)

	b = appendSize(b, len(signatures))
	sizes := make([]int, len(signatures))
	for i, s := range signatures {
		sizes[i] = sizeBytes(s)
	}
	b = listOffsets(b, sizes)
	for _, s := range signatures {
		b = appendBytes(b, s)
	}
	return b, nil
}

// powerEvent reads (uint8 op, address validator, bytes payload, uint64 number).
func powerEvent(topics []common.Hash, want common.Hash, data []byte) (PowerEvent, error) {
	if len(topics) != 1 || topics[0] != want {
		return PowerEvent{}, fmt.Errorf("decode power change event: topics: %w", ErrMalformed)
	}
	r, err := newReader(data, maxForeignBytes)
	if err != nil {
		return PowerEvent{}, fmt.Errorf("decode power change event: %w", err)
	}
	var e PowerEvent
	e.Request.Change.Op = uint8(r.uint(8))
	e.Request.Change.Validator = r.address()
	off := r.offset()
	e.Request.ConfigurationNumber = r.uint64()
	r.at(0, off)
	e.Request.Change.Payload = r.bytes()
	if err := r.done(); err != nil {
		return PowerEvent{}, fmt.Errorf("decode power change event: %w", err)
	}
	return e, nil
}

// amountOf reads a payload of one uint256; nil for any other payload.
func amountOf(payload []byte) *big.Int {
	if len(payload) != wordLen {
		return nil
	}
	return new(big.Int).SetBytes(payload)
}

func topicAddress(t common.Hash) (common.Address, error) {
	r := &reader{buf: t[:]}
	a := r.address()
	return a, r.done()
}
