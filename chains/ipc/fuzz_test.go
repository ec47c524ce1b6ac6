package ipc

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// Every decoder either refuses its input or reads it in the one way that
// encodes back to the same bytes. The seeds run in every plain go test.

func roundTrip[T any](t *testing.T, in []byte, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	v, err := decode(in)
	if err != nil {
		return
	}
	out, err := encode(v)
	require.NoError(t, err)
	require.Equal(t, in, out)
}

func plainEncode[T any](f func(T) []byte) func(T) ([]byte, error) {
	return func(v T) ([]byte, error) { return f(v), nil }
}

func seed(f *testing.F, bs ...[]byte) {
	for _, b := range bs {
		f.Add(b)
		if len(b) > 1 {
			f.Add(b[:len(b)-1])
			f.Add(b[:len(b)/2])
			f.Add(append([]byte{}, b[1:]...))
		}
	}
	f.Add([]byte{})
	f.Add(make([]byte, 32))
	f.Add(make([]byte, 1024))
	all := make([]byte, 512)
	for i := range all {
		all[i] = 0xff
	}
	f.Add(all)
}

func seedEnvelopes(f *testing.F, p Profile) {
	v := vectors(f)
	for _, m := range append(v.GenC.TopDown, v.GenA.TopDown...) {
		seed(f, m.AbiEncoded)
	}
	b, err := p.EncodeEnvelope(goldenEnvelope(7))
	require.NoError(f, err)
	seed(f, b)
}

func FuzzDecodeEnvelope(f *testing.F) {
	seedEnvelopes(f, profileC{})
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, DecodeEnvelope, EncodeEnvelope)
		if e, err := DecodeEnvelope(b); err == nil {
			e.Hash()
			e.TracingID()
			e.Leaf()
			_, _ = e.To.RawAddress.EVM()
			_, _ = DecodeWithdrawalCall(e.Message)
		}
	})
}

func FuzzDecodeEnvelopeA(f *testing.F) {
	seedEnvelopes(f, profileA{})
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, profileA{}.DecodeEnvelope, profileA{}.EncodeEnvelope)
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	for _, c := range vectors(f).GenC.Checkpoints {
		seed(f, c.AbiEncoded)
	}
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, DecodeCheckpoint, EncodeCheckpoint) })
}

func FuzzDecodeCheckpointA(f *testing.F) {
	for _, c := range vectors(f).GenA.Checkpoints {
		seed(f, c.AbiEncoded)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, profileA{}.DecodeCheckpoint, profileA{}.EncodeCheckpoint)
	})
}

func FuzzDecodeBatch(f *testing.F) {
	for _, c := range vectors(f).GenC.Checkpoints {
		seed(f, c.CreateLogs[0].Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		type batch struct {
			height uint64
			msgs   []IpcEnvelope
		}
		roundTrip(t, b, func(b []byte) (v batch, err error) {
			v.height, v.msgs, err = DecodeBottomUpBatch(b)
			return v, err
		}, func(v batch) ([]byte, error) { return EncodeBottomUpBatch(v.height, v.msgs) })
	})
}

func FuzzDecodeActivity(f *testing.F) {
	for _, c := range vectors(f).GenC.Checkpoints {
		seed(f, c.CreateLogs[1].Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, a, err := DecodeActivity(b)
		if err == nil {
			require.LessOrEqual(t, len(a.Consensus.Data)*64, len(b))
			a.Compress()
		}
	})
}

func FuzzDecodeMessages(f *testing.F) {
	seed(f, EncodeCall(CallMsg{Method: SelSettle.Bytes(), Params: []byte{1, 2, 3}}),
		EncodeResult(ResultMsg{Id: [32]byte{1}, Outcome: OutcomeActorErr, Ret: []byte("no")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, DecodeCall, plainEncode(EncodeCall))
		roundTrip(t, b, DecodeResult, plainEncode(EncodeResult))
	})
}

func FuzzDecodeWithdrawal(f *testing.F) {
	b, err := EncodeWithdrawal(rapidExample(genWithdrawal()))
	require.NoError(f, err)
	call, err := WithdrawalCall(Withdrawal{Gross: big.NewInt(1)})
	require.NoError(f, err)
	seed(f, b, EncodeCall(call))
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, DecodeWithdrawal, EncodeWithdrawal)
		_, _ = DecodeWithdrawalCall(b)
	})
}

func FuzzDecodeSubnetID(f *testing.F) {
	seed(f, EncodeSubnetID(goldenEnvelope(1).From.SubnetId), EncodeSubnetID(NewSubnetID(1)))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, DecodeSubnetID, plainEncode(EncodeSubnetID)) })
}

func FuzzParseSubnetID(f *testing.F) {
	id := goldenEnvelope(1).From.SubnetId
	for _, s := range []string{id.String(), id.FilString('f'), "/r1", "", "/r1/", "/r1/t410f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseSubnetID(s)
		if err != nil {
			return
		}
		back, err := ParseSubnetID(id.String())
		require.NoError(t, err)
		require.True(t, id.Equal(back))
	})
}

func FuzzDecodePowerChange(f *testing.F) {
	m := members(1)[0]
	seed(f, EncodePowerChange(SetPower(1, m.addr, big.NewInt(5))), EncodePowerChange(SetMetadata(2, m.addr, m.key)))
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, DecodePowerChange, plainEncode(EncodePowerChange))
	})
}

func FuzzPowerEvents(f *testing.F) {
	args := oracle(f, plain("op", "uint8"), plain("validator", "address"), plain("payload", "bytes"), plain("number", "uint64"))
	seed(f, pack(f, args, uint8(0), common.Address{1}, make([]byte, 32), uint64(1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []Profile{profileA{}, profileC{}} {
			_, _ = p.DecodePowerChange([]common.Hash{p.PowerChangeTopic()}, b)
			_, _ = p.DecodeTopDown([]common.Hash{p.TopDownTopic(), {}}, b)
		}
		_, _ = DecodeBottomUpMessage([]common.Hash{TopicBottomUpMessage, {}, {}}, b)
	})
}

func FuzzDecodeExtension(f *testing.F) {
	b, err := EncodeExtension(Extension{Report: 9, Items: make([]Item, 2)})
	require.NoError(f, err)
	seed(f, b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 {
			roundTrip(t, b, DecodeExtension, EncodeExtension)
		}
	})
}

func FuzzRecover(f *testing.F) {
	for _, c := range vectors(f).GenC.Checkpoints {
		f.Add(c.Hash[:], []byte(c.Signatures[0].Signature))
	}
	f.Add(make([]byte, 32), make([]byte, 65))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, digest, sig []byte) {
		a, err := Recover(common.BytesToHash(digest), sig)
		require.True(t, err == nil || a == common.Address{})
	})
}

func FuzzClassifyRevert(f *testing.F) {
	for _, r := range vectors(f).GenC.Reverts {
		seed(f, r.Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		name, class := ClassifyRevert(b)
		require.LessOrEqual(t, len(name), 300)
		require.LessOrEqual(t, class, ClassFatal)
	})
}

// FuzzApplyPowerChanges reads bytes as a set and two rounds of changes.
func FuzzApplyPowerChanges(f *testing.F) {
	ms := members(4)
	f.Add([]byte{}, int8(0))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, int8(3))
	f.Add([]byte("leave leave leave join join join power power power key key key"), int8(18))
	f.Add([]byte{0xff, 0xfe, 0xfd, 0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1, 0, 1, 2, 4, 8}, int8(-128))
	f.Fuzz(func(t *testing.T, b []byte, scale int8) {
		var changes []PowerChangeRequest
		for i := 0; i+2 <= len(b) && len(changes) < 64; i += 2 {
			m := ms[b[i]&3]
			switch b[i] >> 2 & 7 {
			case 0, 1:
				changes = append(changes, SetMetadata(1, m.addr, m.key))
			case 2, 3:
				changes = append(changes, SetPower(1, m.addr, new(big.Int).Lsh(big.NewInt(int64(b[i+1])), uint(b[i+1])%249)))
			case 4:
				changes = append(changes, SetPower(1, m.addr, new(big.Int)))
			case 5:
				changes = append(changes, SetMetadata(1, m.addr, b[i:]))
			default:
				changes = append(changes, PowerChangeRequest{Change: PowerChange{Op: b[i+1], Payload: b[i:], Validator: m.addr}})
			}
		}
		half := len(changes) / 2
		first := ApplyPowerChanges(ValidatorSet{}, changes[:half], scale)
		requireSound(t, first)
		second := ApplyPowerChanges(first, changes[half:], scale)
		requireSound(t, second)
		require.Equal(t, second, ApplyPowerChanges(first, changes[half:], scale))
		require.True(t, first.TotalPower() == 0 || second.TotalPower() > 0)
	})
}
