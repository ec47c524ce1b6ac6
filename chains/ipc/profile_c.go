package ipc

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// profileC is generation C, and our own contracts.
type profileC struct{}

func (profileC) Generation() Generation                       { return GenerationC }
func (profileC) EncodeEnvelope(e IpcEnvelope) ([]byte, error) { return EncodeEnvelope(e) }
func (profileC) DecodeEnvelope(b []byte) (IpcEnvelope, error) { return DecodeEnvelope(b) }
func (profileC) EnvelopeHash(e IpcEnvelope) common.Hash       { return e.Hash() }
func (profileC) MessageID(e IpcEnvelope) common.Hash          { return e.TracingID() }
func (profileC) CheckpointHash(c Checkpoint) common.Hash      { return c.Hash() }
func (profileC) TopDownTopic() common.Hash                    { return TopicNewTopDownMessage }
func (profileC) PowerChangeTopic() common.Hash                { return TopicNewPowerChangeRequest }
func (profileC) EncodeCheckpoint(c Checkpoint) ([]byte, error) {
	return EncodeCheckpoint(c.BottomUpCheckpoint)
}

func (profileC) DecodeCheckpoint(b []byte) (Checkpoint, error) {
	c, err := DecodeCheckpoint(b)
	return Checkpoint{BottomUpCheckpoint: c}, err
}

func (profileC) SubmitCalldata(c Checkpoint, sigs []Signed) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("encode submit: %w", err)
	}
	b, err := submitCalldata(SelSubmitCheckpointC, c.size(), c.append, sigs)
	if err != nil {
		return nil, fmt.Errorf("encode submit: %w", err)
	}
	return b, nil
}

func (profileC) ExecCalldata(height *big.Int, inclusions []Inclusion) ([]byte, error) {
	if err := checkUint256("height", height); err != nil {
		return nil, fmt.Errorf("encode exec: %w", err)
	}
	sizes := make([]int, len(inclusions))
	for i, in := range inclusions {
		if err := in.Msg.Check(); err != nil {
			return nil, fmt.Errorf("encode exec: message %d: %w", i, err)
		}
		sizes[i] = in.size()
	}
	b := SelExecBatchC.Bytes()
	b = appendBig(b, height)
	b = appendSize(b, 2*wordLen)
	b = appendSize(b, len(inclusions))
	b = listOffsets(b, sizes)
	for _, in := range inclusions {
		b = in.append(b)
	}
	return b, nil
}

// EncodedLen is what one inclusion adds to the call of execBottomUpMsgBatch,
// to cut chunks by bytes.
func (in Inclusion) EncodedLen() int { return wordLen + in.size() }

func (in Inclusion) size() int {
	return 2*wordLen + in.Msg.size() + wordLen*(1+len(in.Proof))
}

func (in Inclusion) append(b []byte) []byte {
	b = appendSize(b, 2*wordLen)
	b = appendSize(b, 2*wordLen+in.Msg.size())
	b = in.Msg.append(b)
	b = appendSize(b, len(in.Proof))
	for _, p := range in.Proof {
		b = append(b, p[:]...)
	}
	return b
}

// DecodeTopDown reads NewTopDownMessage(subnet indexed, envelope, id indexed).
// The id in the log must be that of the envelope.
func (profileC) DecodeTopDown(topics []common.Hash, data []byte) (TopDownEvent, error) {
	if len(topics) != 3 || topics[0] != TopicNewTopDownMessage {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: topics: %w", ErrMalformed)
	}
	subnet, err := topicAddress(topics[1])
	if err != nil {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: subnet: %w", err)
	}
	e, err := DecodeEnvelope(data)
	if err != nil {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: %w", err)
	}
	if id := e.TracingID(); id != topics[2] {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: id %s is not the envelope's %s: %w", topics[2], id, ErrMalformed)
	}
	return TopDownEvent{Subnet: subnet, Message: e, ID: topics[2]}, nil
}

func (profileC) DecodePowerChange(topics []common.Hash, data []byte) (PowerEvent, error) {
	e, err := powerEvent(topics, TopicNewPowerChangeRequest, data)
	if err != nil {
		return PowerEvent{}, err
	}
	switch e.Request.Change.Op {
	case OpSetPower:
		e.Kind, e.Amount = PowerSet, amountOf(e.Request.Change.Payload)
	case OpSetMetadata:
		e.Kind = PowerMetadata
	default:
		return PowerEvent{}, fmt.Errorf("decode power change event: operation %d: %w", e.Request.Change.Op, ErrMalformed)
	}
	return e, nil
}
