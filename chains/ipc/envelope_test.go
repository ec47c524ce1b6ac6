package ipc

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestDecodersRefuseWhateverIsNotCanonical(t *testing.T) {
	good, err := EncodeEnvelope(goldenEnvelope(7))
	require.NoError(t, err)
	_, err = DecodeEnvelope(good)
	require.NoError(t, err)

	_, err = DecodeEnvelope(append(bytes.Clone(good), make([]byte, 32)...))
	require.ErrorIs(t, err, ErrMalformed, "trailing word")
	for n := range len(good) {
		_, err := DecodeEnvelope(good[:n])
		require.ErrorIs(t, err, ErrMalformed, "cut to %d bytes", n)
	}
	// A changed byte gives either another envelope with exactly these bytes, or
	// an error: never a second reading of the same envelope.
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x40
		e, err := DecodeEnvelope(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			continue
		}
		again, err := EncodeEnvelope(e)
		require.NoError(t, err)
		require.Equal(t, b, again, "byte %d", i)
	}
}

func TestAnArrayThatPointsAtOneElementManyTimesIsRefused(t *testing.T) {
	// Lenient decoders expand this to thousands of copies.
	e := goldenEnvelope(7)
	const n = 1000
	b := appendUint64(nil, 300)
	b = appendSize(b, 2*wordLen)
	b = appendSize(b, n)
	for range n {
		b = appendSize(b, n*wordLen)
	}
	b = e.append(b)
	_, _, err := DecodeBottomUpBatch(b)
	require.ErrorIs(t, err, ErrMalformed)
}

func TestOversizedInputIsRefusedBeforeItIsRead(t *testing.T) {
	_, err := DecodeEnvelope(make([]byte, maxForeignBytes+1))
	require.ErrorIs(t, err, ErrTooLarge)
	e := goldenEnvelope(1)
	e.Kind, e.Message = KindCall, make([]byte, maxForeignBytes)
	_, err = EncodeEnvelope(e)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = profileA{}.EncodeEnvelope(e)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestAmountsThatAreNoUint256AreNeverEncoded(t *testing.T) {
	for _, v := range []*big.Int{big.NewInt(-1), new(big.Int).Lsh(big.NewInt(1), 256)} {
		e := goldenEnvelope(1)
		e.Value = v
		require.ErrorIs(t, e.Check(), ErrNotUint256)
		_, err := EncodeEnvelope(e)
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = profileA{}.EncodeEnvelope(e)
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = EncodeBottomUpBatch(1, []IpcEnvelope{e})
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = profileC{}.ExecCalldata(big.NewInt(1), []Inclusion{{Msg: e}})
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = profileC{}.ExecCalldata(v, nil)
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = profileA{}.EncodeCheckpoint(Checkpoint{Messages: []IpcEnvelope{e}})
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = EncodeCheckpoint(BottomUpCheckpoint{BlockHeight: v})
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = profileC{}.SubmitCalldata(Checkpoint{BottomUpCheckpoint: BottomUpCheckpoint{BlockHeight: v}}, nil)
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = EncodeWithdrawal(Withdrawal{Gross: v})
		require.ErrorIs(t, err, ErrNotUint256)
		_, err = WithdrawalCall(Withdrawal{MinOut: v})
		require.ErrorIs(t, err, ErrNotUint256)
		require.ErrorIs(t, OutboxRoot{Price: v}.Check(), ErrNotUint256)
		require.Panics(t, func() { e.Hash() })
	}
	e := goldenEnvelope(1)
	e.Kind = 3
	require.ErrorIs(t, e.Check(), ErrMalformed)
}

func TestNilAmountsAreZero(t *testing.T) {
	e := goldenEnvelope(1)
	e.Value = nil
	b, err := EncodeEnvelope(e)
	require.NoError(t, err)
	back, err := DecodeEnvelope(b)
	require.NoError(t, err)
	require.Zero(t, back.Value.Sign())
	require.True(t, e.Equal(back))
	require.True(t, e.IsEmpty())
}

func TestAResultGoesBackWithItsValueUnlessAllIsWell(t *testing.T) {
	e := goldenEnvelope(7)
	require.False(t, e.IsEmpty())
	require.False(t, e.AsksResult())
	for outcome, value := range map[uint8]int64{OutcomeOk: 0, OutcomeSystemErr: 1e18, OutcomeActorErr: 1e18} {
		r := ResultOf(e, e.TracingID(), outcome, []byte{9})
		require.Equal(t, KindResult, r.Kind)
		require.True(t, r.To.Equal(e.From))
		require.True(t, r.From.Equal(e.To))
		require.Equal(t, value, r.Value.Int64())
		m, err := DecodeResult(r.Message)
		require.NoError(t, err)
		require.Equal(t, ResultMsg{Id: e.TracingID(), Outcome: outcome, Ret: []byte{9}}, m)
	}
	e.OriginalNonce |= AskResult
	require.True(t, e.AsksResult())
	require.True(t, IpcEnvelope{Kind: KindCall}.IsEmpty())
}

func TestEventsMustAgreeWithTheEnvelopeTheyCarry(t *testing.T) {
	e := goldenEnvelope(7)
	data, err := EncodeEnvelope(e)
	require.NoError(t, err)
	actor := common.BytesToHash(e.From.SubnetId.Actor().Bytes())
	wide := actor
	wide[0] = 1
	word := func(v uint64) common.Hash { return common.BytesToHash(appendUint64(nil, v)) }

	p := profileC{}
	_, err = p.DecodeTopDown([]common.Hash{TopicNewTopDownMessage, actor, e.TracingID()}, data)
	require.NoError(t, err)
	for name, topics := range map[string][]common.Hash{
		"no topics":      nil,
		"other event":    {TopicQueuedBottomUpMessage, actor, e.TracingID()},
		"no address":     {TopicNewTopDownMessage, wide, e.TracingID()},
		"another id":     {TopicNewTopDownMessage, actor, e.Hash()},
		"a topic short":  {TopicNewTopDownMessage, actor},
		"generation A's": {TopicNewTopDownMessageA, actor},
	} {
		_, err = p.DecodeTopDown(topics, data)
		require.ErrorIs(t, err, ErrMalformed, name)
	}

	ev, err := DecodeBottomUpMessage([]common.Hash{TopicBottomUpMessage, word(10), word(7)}, data)
	require.NoError(t, err)
	require.Equal(t, uint64(10), ev.Epoch)
	require.Equal(t, uint64(7), ev.Nonce)
	for _, topics := range [][]common.Hash{
		{TopicBottomUpMessage, word(10), word(8)},
		{TopicBottomUpMessage, word(10)},
		{TopicBottomUpMessage, actor, word(7)},
		{TopicNewTopDownMessage, word(10), word(7)},
	} {
		_, err = DecodeBottomUpMessage(topics, data)
		require.ErrorIs(t, err, ErrMalformed)
	}
	_, err = DecodeBottomUpMessage([]common.Hash{TopicBottomUpMessage, word(10), word(7)}, data[1:])
	require.ErrorIs(t, err, ErrMalformed)
}

func TestPowerEventsMeanTheSameInEveryGeneration(t *testing.T) {
	args := oracle(t, plain("op", "uint8"), plain("validator", "address"), plain("payload", "bytes"), plain("number", "uint64"))
	validator := common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	amount := appendUint64(nil, 500)
	decode := func(g Generation, op uint8, payload []byte) (PowerEvent, error) {
		p, err := ProfileOf(g)
		require.NoError(t, err)
		return p.DecodePowerChange([]common.Hash{p.PowerChangeTopic()}, pack(t, args, op, validator, payload, uint64(3)))
	}
	kinds := map[Generation][]PowerKind{
		GenerationC: {PowerSet, PowerMetadata},
		GenerationA: {PowerAdd, PowerSub, PowerMetadata, PowerSet},
	}
	for g, want := range kinds {
		for op, kind := range want {
			e, err := decode(g, uint8(op), amount)
			require.NoError(t, err)
			require.Equal(t, kind, e.Kind)
			require.Equal(t, PowerChangeRequest{Change: PowerChange{Op: uint8(op), Payload: amount, Validator: validator}, ConfigurationNumber: 3}, e.Request)
			if kind == PowerMetadata {
				require.Nil(t, e.Amount)
			} else {
				require.Equal(t, int64(500), e.Amount.Int64())
			}
			e, err = decode(g, uint8(op), []byte{1})
			require.NoError(t, err, "a payload is never a reason to halt")
			require.Nil(t, e.Amount)
		}
		_, err := decode(g, uint8(len(want)), amount)
		require.ErrorIs(t, err, ErrMalformed)
		p, err := ProfileOf(g)
		require.NoError(t, err)
		_, err = p.DecodePowerChange(nil, nil)
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func TestTheWithdrawalMessageIsACallOfSettle(t *testing.T) {
	w := rapidExample(genWithdrawal())
	call, err := WithdrawalCall(w)
	require.NoError(t, err)
	back, err := DecodeWithdrawalCall(EncodeCall(call))
	require.NoError(t, err)
	require.Equal(t, WithdrawalID(1, common.Address{}, w), WithdrawalID(1, common.Address{}, back))

	_, err = DecodeWithdrawalCall(EncodeCall(CallMsg{Method: SelReceiveLinked.Bytes(), Params: call.Params}))
	require.ErrorIs(t, err, ErrMalformed)
	_, err = DecodeWithdrawalCall(EncodeCall(CallMsg{Method: call.Method, Params: call.Params[:100]}))
	require.ErrorIs(t, err, ErrMalformed)
	_, err = DecodeWithdrawalCall(nil)
	require.ErrorIs(t, err, ErrMalformed)
}

func TestEveryFieldOfAWithdrawalIsInItsId(t *testing.T) {
	w := rapidExample(genWithdrawal())
	b, err := EncodeWithdrawal(w)
	require.NoError(t, err)
	id := WithdrawalID(31337, common.Address{1}, w)
	require.NotEqual(t, id, WithdrawalID(31338, common.Address{1}, w))
	require.NotEqual(t, id, WithdrawalID(31337, common.Address{2}, w))
	for word := range 14 {
		c := bytes.Clone(b)
		c[word*32+31] ^= 1
		other, err := DecodeWithdrawal(c)
		require.NoError(t, err)
		require.NotEqual(t, id, WithdrawalID(31337, common.Address{1}, other), "word %d", word)
	}
}
