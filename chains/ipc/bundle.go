package ipc

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// QuorumInfo is what a published subnet gateway records about the signatures on
// a checkpoint. Weights are its own scaled powers: that it calls a quorum
// reached does not say that the root does.
type QuorumInfo struct {
	Hash          [32]byte
	RootHash      [32]byte
	Threshold     *big.Int
	CurrentWeight *big.Int
	Reached       bool
}

// Bundle is a checkpoint with its signatures, in the order in which they came.
type Bundle struct {
	Checkpoint  BottomUpCheckpoint
	Info        QuorumInfo
	Signatories []common.Address
	Signatures  [][]byte
}

const bundleHead = 8 * wordLen

// DecodeBundle reads the return data of getCheckpointSignatureBundle (published
// subnet gateways, generations B1 to C).
func DecodeBundle(data []byte) (Bundle, error) {
	r, err := newReader(data, maxForeignBytes)
	if err != nil {
		return Bundle{}, fmt.Errorf("decode bundle: %w", err)
	}
	var b Bundle
	offCheckpoint := r.offset()
	b.Info.Hash, b.Info.RootHash = r.hash(), r.hash()
	b.Info.Threshold, b.Info.CurrentWeight = r.big(), r.big()
	b.Info.Reached = r.uint(1) == 1
	offSignatories, offSignatures := r.offset(), r.offset()
	r.at(0, offCheckpoint)
	b.Checkpoint = readCheckpoint(r)
	r.at(0, offSignatories)
	b.Signatories = make([]common.Address, r.count(1))
	for i := range b.Signatories {
		b.Signatories[i] = r.address()
	}
	r.at(0, offSignatures)
	b.Signatures = readList(r, 1, r.bytes)
	if err := r.done(); err != nil {
		return Bundle{}, fmt.Errorf("decode bundle: %w", err)
	}
	return b, nil
}

// EncodeBundle is the return data of getCheckpointSignatureBundle.
func EncodeBundle(b Bundle) ([]byte, error) {
	if err := b.Checkpoint.Check(); err != nil {
		return nil, fmt.Errorf("encode bundle: %w", err)
	}
	for name, v := range map[string]*big.Int{"threshold": b.Info.Threshold, "weight": b.Info.CurrentWeight} {
		if err := checkUint256(name, v); err != nil {
			return nil, fmt.Errorf("encode bundle: %w", err)
		}
	}
	out := appendSize(nil, bundleHead)
	out = append(out, b.Info.Hash[:]...)
	out = append(out, b.Info.RootHash[:]...)
	out = appendBig(out, b.Info.Threshold)
	out = appendBig(out, b.Info.CurrentWeight)
	reached := uint64(0)
	if b.Info.Reached {
		reached = 1
	}
	out = appendUint64(out, reached)
	tail := bundleHead + b.Checkpoint.size()
	out = appendSize(out, tail)
	out = appendSize(out, tail+wordLen*(1+len(b.Signatories)))
	out = b.Checkpoint.append(out)
	out = appendRoute(out, b.Signatories)
	out = appendSize(out, len(b.Signatures))
	sizes := make([]int, len(b.Signatures))
	for i, s := range b.Signatures {
		sizes[i] = sizeBytes(s)
	}
	out = listOffsets(out, sizes)
	for _, s := range b.Signatures {
		out = appendBytes(out, s)
	}
	return out, nil
}

// Batch is what a published subnet gateway keeps of the messages of one epoch.
type Batch struct {
	SubnetID SubnetID
	Height   *big.Int
	Messages []IpcEnvelope
}

// DecodeBatch reads the return data of bottomUpMsgBatch (published subnet
// gateways). An epoch without messages has height 0.
func DecodeBatch(data []byte) (Batch, error) {
	r, err := newReader(data, maxBatchBytes)
	if err != nil {
		return Batch{}, fmt.Errorf("decode batch: %w", err)
	}
	r.lead()
	start := r.pos
	var b Batch
	offSubnet := r.offset()
	b.Height = r.big()
	offMessages := r.offset()
	r.at(start, offSubnet)
	b.SubnetID = readSubnetID(r)
	r.at(start, offMessages)
	b.Messages = readList(r, minEnvelopeWords, func() IpcEnvelope { return readEnvelope(r) })
	if err := r.done(); err != nil {
		return Batch{}, fmt.Errorf("decode batch: %w", err)
	}
	return b, nil
}

// EncodeBatch is the return data of bottomUpMsgBatch.
func EncodeBatch(b Batch) ([]byte, error) {
	if err := checkUint256("batch height", b.Height); err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	for i, m := range b.Messages {
		if err := m.Check(); err != nil {
			return nil, fmt.Errorf("encode batch: message %d: %w", i, err)
		}
	}
	head := 3 * wordLen
	out := appendSize(nil, wordLen)
	out = appendSize(out, head)
	out = appendBig(out, b.Height)
	out = appendSize(out, head+b.SubnetID.size())
	out = b.SubnetID.append(out)
	return appendEnvelopes(out, b.Messages, IpcEnvelope.size, IpcEnvelope.append), nil
}

// EncodeBottomUpMessage is our gateway's BottomUpMessage of one message, as
// topics and data: what DecodeBottomUpMessage reads.
func EncodeBottomUpMessage(epoch uint64, m IpcEnvelope) (topics []common.Hash, data []byte, err error) {
	if data, err = EncodeEnvelope(m); err != nil {
		return nil, nil, err
	}
	word := func(n uint64) common.Hash { return common.BigToHash(new(big.Int).SetUint64(n)) }
	return []common.Hash{TopicBottomUpMessage, word(epoch), word(m.LocalNonce)}, data, nil
}
