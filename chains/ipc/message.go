package ipc

import (
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

// Outcomes of an applied message.
const (
	OutcomeOk        uint8 = 0
	OutcomeSystemErr uint8 = 1
	OutcomeActorErr  uint8 = 2
)

// CallMsg is the message of a Call. Method is 4 raw bytes for EVM contracts.
type CallMsg struct {
	Method []byte
	Params []byte
}

// ResultMsg is the message of a Result. Id is the id of the message it answers.
type ResultMsg struct {
	Id      [32]byte
	Outcome uint8
	Ret     []byte
}

// EncodeCall is abi.encode(CallMsg).
func EncodeCall(m CallMsg) []byte {
	head := 2 * wordLen
	b := make([]byte, 0, wordLen+head+sizeBytes(m.Method)+sizeBytes(m.Params))
	b = appendSize(b, wordLen)
	b = appendSize(b, head)
	b = appendSize(b, head+sizeBytes(m.Method))
	b = appendBytes(b, m.Method)
	return appendBytes(b, m.Params)
}

// DecodeCall reads abi.encode(CallMsg). The bytes are an attacker's choice: an
// error here is a fact about the payload, never a reason to halt a lane.
func DecodeCall(b []byte) (CallMsg, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return CallMsg{}, fmt.Errorf("decode call: %w", err)
	}
	r.lead()
	start := r.pos
	var m CallMsg
	offMethod, offParams := r.offset(), r.offset()
	r.at(start, offMethod)
	m.Method = r.bytes()
	r.at(start, offParams)
	m.Params = r.bytes()
	if err := r.done(); err != nil {
		return CallMsg{}, fmt.Errorf("decode call: %w", err)
	}
	return m, nil
}

// EncodeResult is abi.encode(ResultMsg).
func EncodeResult(m ResultMsg) []byte {
	b := make([]byte, 0, 4*wordLen+sizeBytes(m.Ret))
	b = appendSize(b, wordLen)
	b = append(b, m.Id[:]...)
	b = appendUint64(b, uint64(m.Outcome))
	b = appendSize(b, 3*wordLen)
	return appendBytes(b, m.Ret)
}

// DecodeResult reads abi.encode(ResultMsg).
func DecodeResult(b []byte) (ResultMsg, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return ResultMsg{}, fmt.Errorf("decode result: %w", err)
	}
	r.lead()
	start := r.pos
	var m ResultMsg
	m.Id = r.hash()
	m.Outcome = uint8(r.uint(8))
	if m.Outcome > OutcomeActorErr {
		r.fail("outcome")
	}
	off := r.offset()
	r.at(start, off)
	m.Ret = r.bytes()
	if err := r.done(); err != nil {
		return ResultMsg{}, fmt.Errorf("decode result: %w", err)
	}
	return m, nil
}

// ResultOf is the Result envelope that answers e, with fresh nonces left zero:
// back to its sender, with its value unless the outcome is Ok (PROTOCOL 25 and
// 58 say when one travels at all).
func ResultOf(e IpcEnvelope, id common.Hash, outcome uint8, ret []byte) IpcEnvelope {
	value := bigOrZero(nil)
	if outcome != OutcomeOk {
		value.Set(bigOrZero(e.Value))
	}
	return IpcEnvelope{
		Kind:    KindResult,
		Value:   value,
		To:      e.From,
		From:    e.To,
		Message: EncodeResult(ResultMsg{Id: id, Outcome: outcome, Ret: ret}),
	}
}
