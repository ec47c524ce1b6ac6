package ipc

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Kinds of an envelope.
const (
	KindTransfer uint8 = 0
	KindCall     uint8 = 1
	KindResult   uint8 = 2
)

const (
	// MaxEnvelopeBytes is the largest abi.encode(envelope) that our own
	// gateways commit (PROTOCOL 15).
	MaxEnvelopeBytes = 4096
	// maxForeignBytes bounds what decoders read at all. Published gateways
	// have no limit of their own, and a watcher must not halt on what they
	// let in, so this is the size of a transaction, not MaxEnvelopeBytes.
	maxForeignBytes = 128 << 10
	// AskResult is the bit of originalNonce by which a sender asks for an Ok
	// Result (PROTOCOL 58).
	AskResult uint64 = 1 << 63
)

// IpcEnvelope is one cross-network message, in the field order of generations
// B2 to D. Value is in atto units of the subnet's supply coin. LocalNonce
// orders the message within its lane.
type IpcEnvelope struct {
	Kind          uint8
	LocalNonce    uint64
	OriginalNonce uint64
	Value         *big.Int
	To            IPCAddress
	From          IPCAddress
	Message       []byte
}

// Check says whether the envelope can be encoded.
func (e IpcEnvelope) Check() error {
	if e.Kind > KindResult {
		return fmt.Errorf("envelope kind %d: %w", e.Kind, ErrMalformed)
	}
	return checkUint256("envelope value", e.Value)
}

// Equal compares every field.
func (e IpcEnvelope) Equal(o IpcEnvelope) bool {
	return e.Kind == o.Kind && e.LocalNonce == o.LocalNonce && e.OriginalNonce == o.OriginalNonce &&
		bigOrZero(e.Value).Cmp(bigOrZero(o.Value)) == 0 &&
		e.To.Equal(o.To) && e.From.Equal(o.From) && bytes.Equal(e.Message, o.Message)
}

// AsksResult says whether the sender asked for a Result even on success.
func (e IpcEnvelope) AsksResult() bool { return e.OriginalNonce&AskResult != 0 }

// IsEmpty says whether the envelope carries nothing: a Transfer without value
// or another kind without message. No Result answers it.
func (e IpcEnvelope) IsEmpty() bool {
	if e.Kind == KindTransfer {
		return bigOrZero(e.Value).Sign() == 0
	}
	return len(e.Message) == 0
}

// Hash is keccak256(abi.encode(envelope)) (upstream toHash): the leaf of the
// top-down rolling hash.
func (e IpcEnvelope) Hash() common.Hash {
	b := make([]byte, 0, wordLen+e.size())
	b = appendSize(b, wordLen)
	return keccak(e.append(b))
}

// TracingID is the message id of generations B2 to D (upstream toTracingId):
// kind, to, from, value, message and originalNonce, without localNonce. Two
// messages of a foreign parent may share it; ours never do.
func (e IpcEnvelope) TracingID() common.Hash {
	head := 6 * wordLen
	b := make([]byte, 0, head+e.To.size()+e.From.size()+sizeBytes(e.Message))
	b = appendUint64(b, uint64(e.Kind))
	b = appendSize(b, head)
	b = appendSize(b, head+e.To.size())
	b = appendBig(b, e.Value)
	b = appendSize(b, head+e.To.size()+e.From.size())
	b = appendUint64(b, e.OriginalNonce)
	b = e.To.append(b)
	b = e.From.append(b)
	b = appendBytes(b, e.Message)
	return keccak(b)
}

// Leaf is the message's leaf in the bottom-up batch tree: the double keccak of
// its 13 flattened fields.
func (e IpcEnvelope) Leaf() common.Hash {
	head := 13 * wordLen
	b := make([]byte, 0, head+e.To.size()+e.From.size()+sizeBytes(e.Message))
	off := head
	tail := func(n int) { b = appendSize(b, off); off += n }

	b = appendUint64(b, uint64(e.Kind))
	b = appendUint64(b, e.LocalNonce)
	b = appendUint64(b, e.OriginalNonce)
	b = appendBig(b, e.Value)
	for _, a := range []IPCAddress{e.To, e.From} {
		b = appendUint64(b, a.SubnetId.Root)
		tail(wordLen * (1 + len(a.SubnetId.Route)))
		b = appendUint64(b, uint64(a.RawAddress.AddrType))
		tail(sizeBytes(a.RawAddress.Payload))
	}
	tail(sizeBytes(e.Message))
	for _, a := range []IPCAddress{e.To, e.From} {
		b = appendRoute(b, a.SubnetId.Route)
		b = appendBytes(b, a.RawAddress.Payload)
	}
	b = appendBytes(b, e.Message)
	inner := keccak(b)
	return keccak(inner[:])
}

// EncodeEnvelope is abi.encode(envelope).
func EncodeEnvelope(e IpcEnvelope) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	n := wordLen + e.size()
	if n > maxForeignBytes {
		return nil, fmt.Errorf("encode envelope: %d bytes: %w", n, ErrTooLarge)
	}
	return e.append(appendSize(make([]byte, 0, n), wordLen)), nil
}

// DecodeEnvelope reads abi.encode(envelope), canonical and at most 128 KiB.
func DecodeEnvelope(b []byte) (IpcEnvelope, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return IpcEnvelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	r.lead()
	e := readEnvelope(r)
	if err := r.done(); err != nil {
		return IpcEnvelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	return e, nil
}

// EncodedLen is the length of abi.encode(envelope), to compare with
// MaxEnvelopeBytes and to cut chunks.
func (e IpcEnvelope) EncodedLen() int { return wordLen + e.size() }

const envelopeHead = 7 * wordLen

func (e IpcEnvelope) size() int {
	return envelopeHead + e.To.size() + e.From.size() + sizeBytes(e.Message)
}

func (e IpcEnvelope) append(b []byte) []byte {
	b = appendUint64(b, uint64(e.Kind))
	b = appendUint64(b, e.LocalNonce)
	b = appendUint64(b, e.OriginalNonce)
	b = appendBig(b, e.Value)
	b = appendSize(b, envelopeHead)
	b = appendSize(b, envelopeHead+e.To.size())
	b = appendSize(b, envelopeHead+e.To.size()+e.From.size())
	b = e.To.append(b)
	b = e.From.append(b)
	return appendBytes(b, e.Message)
}

func readEnvelope(r *reader) (e IpcEnvelope) {
	start := r.pos
	e.Kind = readKind(r)
	e.LocalNonce = r.uint64()
	e.OriginalNonce = r.uint64()
	e.Value = r.big()
	offTo, offFrom, offMessage := r.offset(), r.offset(), r.offset()
	r.at(start, offTo)
	e.To = readIPCAddress(r)
	r.at(start, offFrom)
	e.From = readIPCAddress(r)
	r.at(start, offMessage)
	e.Message = r.bytes()
	return e
}

func readKind(r *reader) uint8 {
	k := uint8(r.uint(8))
	if k > KindResult {
		r.fail("message kind")
	}
	return k
}

// minEnvelopeWords is the fewest words an envelope takes: heads, two empty
// addresses and an empty message.
const minEnvelopeWords = 6 + 2*8 + 1

func sizeEnvelopes(es []IpcEnvelope, size func(IpcEnvelope) int) int {
	n := wordLen
	for _, e := range es {
		n += wordLen + size(e)
	}
	return n
}

func appendEnvelopes(b []byte, es []IpcEnvelope, size func(IpcEnvelope) int, put func(IpcEnvelope, []byte) []byte) []byte {
	b = appendSize(b, len(es))
	sizes := make([]int, len(es))
	for i, e := range es {
		sizes[i] = size(e)
	}
	b = listOffsets(b, sizes)
	for _, e := range es {
		b = put(e, b)
	}
	return b
}

func bigOrZero(v *big.Int) *big.Int {
	if v == nil {
		return new(big.Int)
	}
	return v
}
