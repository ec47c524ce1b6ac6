package ipc

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// profileA is generation A. Its envelope has one nonce, held in LocalNonce;
// OriginalNonce is not on the wire and reads as zero.
type profileA struct{}

func (profileA) Generation() Generation                 { return GenerationA }
func (profileA) MessageID(e IpcEnvelope) common.Hash    { return hashEnvelopeA(e) }
func (profileA) EnvelopeHash(e IpcEnvelope) common.Hash { return hashEnvelopeA(e) }
func (profileA) TopDownTopic() common.Hash              { return TopicNewTopDownMessageA }
func (profileA) PowerChangeTopic() common.Hash          { return TopicNewStakingChangeRequest }

func (profileA) EncodeEnvelope(e IpcEnvelope) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	n := wordLen + sizeEnvelopeA(e)
	if n > maxForeignBytes {
		return nil, fmt.Errorf("encode envelope: %d bytes: %w", n, ErrTooLarge)
	}
	return appendEnvelopeA(e, appendSize(make([]byte, 0, n), wordLen)), nil
}

func (profileA) DecodeEnvelope(b []byte) (IpcEnvelope, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return IpcEnvelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	r.lead()
	e := readEnvelopeA(r)
	if err := r.done(); err != nil {
		return IpcEnvelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	return e, nil
}

func (profileA) EncodeCheckpoint(c Checkpoint) ([]byte, error) {
	if err := checkA(c); err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return appendCheckpointA(c, appendSize(nil, wordLen)), nil
}

func (profileA) CheckpointHash(c Checkpoint) common.Hash {
	return keccak(appendCheckpointA(c, appendSize(nil, wordLen)))
}

func (profileA) DecodeCheckpoint(b []byte) (Checkpoint, error) {
	r, err := newReader(b, maxBatchBytes)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("decode checkpoint: %w", err)
	}
	r.lead()
	start := r.pos
	var c Checkpoint
	offSubnet := r.offset()
	c.BlockHeight = r.big()
	c.BlockHash = r.hash()
	c.NextConfigurationNumber = r.uint64()
	offMsgs := r.offset()
	r.at(start, offSubnet)
	c.SubnetID = readSubnetID(r)
	r.at(start, offMsgs)
	c.Messages = readList(r, minEnvelopeWords, func() IpcEnvelope { return readEnvelopeA(r) })
	if err := r.done(); err != nil {
		return Checkpoint{}, fmt.Errorf("decode checkpoint: %w", err)
	}
	return c, nil
}

func (profileA) SubmitCalldata(c Checkpoint, sigs []Signed) ([]byte, error) {
	if err := checkA(c); err != nil {
		return nil, fmt.Errorf("encode submit: %w", err)
	}
	put := func(b []byte) []byte { return appendCheckpointA(c, b) }
	b, err := submitCalldata(SelSubmitCheckpointA, sizeCheckpointA(c), put, sigs)
	if err != nil {
		return nil, fmt.Errorf("encode submit: %w", err)
	}
	return b, nil
}

func (profileA) ExecCalldata(*big.Int, []Inclusion) ([]byte, error) { return nil, ErrNoExecPhase }

// DecodeTopDown reads NewTopDownMessage(subnet indexed, envelope).
func (profileA) DecodeTopDown(topics []common.Hash, data []byte) (TopDownEvent, error) {
	if len(topics) != 2 || topics[0] != TopicNewTopDownMessageA {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: topics: %w", ErrMalformed)
	}
	subnet, err := topicAddress(topics[1])
	if err != nil {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: subnet: %w", err)
	}
	e, err := profileA{}.DecodeEnvelope(data)
	if err != nil {
		return TopDownEvent{}, fmt.Errorf("decode top-down event: %w", err)
	}
	return TopDownEvent{Subnet: subnet, Message: e, ID: hashEnvelopeA(e)}, nil
}

// DecodePowerChange reads NewStakingChangeRequest: deposits and withdrawals of
// stake are differences, federated power is absolute.
func (profileA) DecodePowerChange(topics []common.Hash, data []byte) (PowerEvent, error) {
	e, err := powerEvent(topics, TopicNewStakingChangeRequest, data)
	if err != nil {
		return PowerEvent{}, err
	}
	e.Amount = amountOf(e.Request.Change.Payload)
	switch e.Request.Change.Op {
	case 0:
		e.Kind = PowerAdd
	case 1:
		e.Kind = PowerSub
	case 2:
		e.Kind, e.Amount = PowerMetadata, nil
	case 3:
		e.Kind = PowerSet
	default:
		return PowerEvent{}, fmt.Errorf("decode power change event: operation %d: %w", e.Request.Change.Op, ErrMalformed)
	}
	return e, nil
}

const (
	envelopeHeadA   = 6 * wordLen
	checkpointHeadA = 5 * wordLen
)

func hashEnvelopeA(e IpcEnvelope) common.Hash {
	return keccak(appendEnvelopeA(e, appendSize(nil, wordLen)))
}

func sizeEnvelopeA(e IpcEnvelope) int { return e.size() - envelopeHead + envelopeHeadA }

func appendEnvelopeA(e IpcEnvelope, b []byte) []byte {
	b = appendUint64(b, uint64(e.Kind))
	b = appendSize(b, envelopeHeadA)
	b = appendSize(b, envelopeHeadA+e.To.size())
	b = appendUint64(b, e.LocalNonce)
	b = appendBig(b, e.Value)
	b = appendSize(b, envelopeHeadA+e.To.size()+e.From.size())
	b = e.To.append(b)
	b = e.From.append(b)
	return appendBytes(b, e.Message)
}

func readEnvelopeA(r *reader) (e IpcEnvelope) {
	start := r.pos
	e.Kind = readKind(r)
	offTo, offFrom := r.offset(), r.offset()
	e.LocalNonce = r.uint64()
	e.Value = r.big()
	offMessage := r.offset()
	r.at(start, offTo)
	e.To = readIPCAddress(r)
	r.at(start, offFrom)
	e.From = readIPCAddress(r)
	r.at(start, offMessage)
	e.Message = r.bytes()
	return e
}

func checkA(c Checkpoint) error {
	for i, m := range c.Messages {
		if err := m.Check(); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return c.Check()
}

func sizeCheckpointA(c Checkpoint) int {
	return checkpointHeadA + c.SubnetID.size() + sizeEnvelopes(c.Messages, sizeEnvelopeA)
}

func appendCheckpointA(c Checkpoint, b []byte) []byte {
	b = appendSize(b, checkpointHeadA)
	b = appendBig(b, c.BlockHeight)
	b = append(b, c.BlockHash[:]...)
	b = appendUint64(b, c.NextConfigurationNumber)
	b = appendSize(b, checkpointHeadA+c.SubnetID.size())
	b = c.SubnetID.append(b)
	return appendEnvelopes(b, c.Messages, sizeEnvelopeA, appendEnvelopeA)
}
