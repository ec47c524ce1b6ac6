package ipc

import (
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

// maxBatchBytes bounds the data of an event or checkpoint that lists messages:
// more than any block can hold.
const maxBatchBytes = 32 << 20

// BottomUpMessageEvent is our gateway's BottomUpMessage: one message as it
// joined the batch of Epoch.
type BottomUpMessageEvent struct {
	Epoch   uint64
	Nonce   uint64
	Message IpcEnvelope
}

// DecodeBottomUpMessage reads BottomUpMessage(epoch indexed, nonce indexed,
// envelope); the indexed nonce must be the envelope's.
func DecodeBottomUpMessage(topics []common.Hash, data []byte) (BottomUpMessageEvent, error) {
	if len(topics) != 3 || topics[0] != TopicBottomUpMessage {
		return BottomUpMessageEvent{}, fmt.Errorf("decode bottom-up event: topics: %w", ErrMalformed)
	}
	r := &reader{buf: append(topics[1].Bytes(), topics[2][:]...)}
	ev := BottomUpMessageEvent{Epoch: r.uint64(), Nonce: r.uint64()}
	if err := r.done(); err != nil {
		return BottomUpMessageEvent{}, fmt.Errorf("decode bottom-up event: topics: %w", err)
	}
	var err error
	if ev.Message, err = DecodeEnvelope(data); err != nil {
		return BottomUpMessageEvent{}, fmt.Errorf("decode bottom-up event: %w", err)
	}
	if ev.Message.LocalNonce != ev.Nonce {
		return BottomUpMessageEvent{}, fmt.Errorf("decode bottom-up event: nonce %d is not the envelope's %d: %w",
			ev.Nonce, ev.Message.LocalNonce, ErrMalformed)
	}
	return ev, nil
}

// DecodeBottomUpBatch reads the data of BottomUpBatchRecorded (published
// gateways, generation C): the checkpoint height and its messages.
func DecodeBottomUpBatch(data []byte) (height uint64, msgs []IpcEnvelope, err error) {
	r, err := newReader(data, maxBatchBytes)
	if err != nil {
		return 0, nil, fmt.Errorf("decode batch event: %w", err)
	}
	height = r.uint64()
	off := r.offset()
	r.at(0, off)
	msgs = readList(r, minEnvelopeWords, func() IpcEnvelope { return readEnvelope(r) })
	if err := r.done(); err != nil {
		return 0, nil, fmt.Errorf("decode batch event: %w", err)
	}
	return height, msgs, nil
}

// EncodeBottomUpBatch is the data of BottomUpBatchRecorded.
func EncodeBottomUpBatch(height uint64, msgs []IpcEnvelope) ([]byte, error) {
	for i, m := range msgs {
		if err := m.Check(); err != nil {
			return nil, fmt.Errorf("encode batch event: message %d: %w", i, err)
		}
	}
	b := appendUint64(nil, height)
	b = appendSize(b, 2*wordLen)
	return appendEnvelopes(b, msgs, IpcEnvelope.size, IpcEnvelope.append), nil
}

// DecodeActivity reads the data of ActivityRollupRecorded: the checkpoint
// height and its activity with rows.
func DecodeActivity(data []byte) (height uint64, activity FullActivityRollup, err error) {
	r, err := newReader(data, maxBatchBytes)
	if err != nil {
		return 0, activity, fmt.Errorf("decode activity event: %w", err)
	}
	height = r.uint64()
	off := r.offset()
	r.at(0, off)
	r.lead() // the rollup holds one dynamic field, the summary
	start := r.pos
	s := &activity.Consensus
	s.Stats.TotalActiveValidators = r.uint64()
	s.Stats.TotalNumBlocksCommitted = r.uint64()
	off = r.offset()
	r.at(start, off)
	s.Data = make([]ValidatorData, r.count(2))
	for i := range s.Data {
		s.Data[i] = ValidatorData{Validator: r.address(), BlocksCommitted: r.uint64()}
	}
	if err := r.done(); err != nil {
		return 0, FullActivityRollup{}, fmt.Errorf("decode activity event: %w", err)
	}
	return height, activity, nil
}
