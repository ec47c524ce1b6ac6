package axelar

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// Every decoder either refuses its input or reads it in the one way that
// encodes back to the same bytes. The seeds run in every plain go test.

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

func FuzzDecodePayload(f *testing.F) {
	for _, s := range vectors(f).Steps {
		seed(f, s.Inner.Bytes, s.Source.Payload, s.Hub.Payload)
	}
	for _, p := range []Payload{LinkToken{Manager: ManagerMintBurn, Params: []byte{1}}, RegisterMetadata{Token: []byte{1}, Decimals: 18}} {
		b, err := EncodePayload(p)
		require.NoError(f, err)
		seed(f, b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePayload(b)
		if err != nil {
			return
		}
		again, err := EncodePayload(p)
		require.NoError(t, err)
		require.Equal(t, b, again)
		typ, err := TypeOf(b)
		require.NoError(t, err)
		require.Equal(t, typ, p.Type())
	})
}

func FuzzRewrap(f *testing.F) {
	for _, s := range vectors(f).Steps {
		seed(f, s.Source.Payload, s.Hub.Payload)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to, out, inner, err := Rewrap(b, "ethereum")
		if err == nil {
			from, same, err := Unwrap(out)
			require.NoError(t, err)
			require.Equal(t, "ethereum", from)
			require.Equal(t, inner, same)
			require.Equal(t, b, wrapped(t, to, inner))
		}
		_, _, _ = Unwrap(b)
	})
}

func FuzzDecodeMetadata(f *testing.F) {
	seed(f, EncodeMetadata([]byte{1}), []byte{0, 0, 0, 1}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		data, err := DecodeMetadata(b)
		if err == nil && len(data) > 0 {
			require.Equal(t, b, EncodeMetadata(data))
		}
	})
}

func FuzzParseMessageID(f *testing.F) {
	for _, s := range vectors(f).Steps {
		f.Add(s.Source.TxMessageID)
	}
	for _, s := range []string{"", "-", "0x-0", "0x00-00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseMessageID(s); err == nil {
			require.Equal(t, s, id.String())
		}
	})
}

func FuzzDecodeSigners(f *testing.F) {
	v := vectors(f)
	seed(f, v.Meta.Ethereum.SignersAbi, v.Meta.Filecoin.SignersAbi)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSigners(b)
		if err != nil {
			return
		}
		require.Equal(t, b, encode(signersLayout, s))
		if again, err := EncodeSigners(s); err == nil {
			require.Equal(t, b, again)
		}
	})
}

func FuzzDecodeOperators(f *testing.F) {
	b, err := EncodeOperators(newTeam(f, 2, 1, 2, 3).set)
	require.NoError(f, err)
	seed(f, b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeOperators(b)
		if err != nil {
			return
		}
		if again, err := EncodeOperators(s); err == nil {
			require.Equal(t, b, again)
		}
	})
}

// FuzzEvents gives each reader of events any data under topics of each event.
func FuzzEvents(f *testing.F) {
	at := common.Address{1}
	for _, d := range decoders(f, at) {
		for _, s := range d.samples {
			for i := range 4 {
				f.Add(append([]byte{}, s.event.Data...), uint8(i))
			}
		}
	}
	f.Add([]byte{}, uint8(0))
	f.Add(make([]byte, 512), uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		for _, d := range decoders(t, at) {
			e := d.samples[int(which)%len(d.samples)].event
			e.Data = b
			got, ok, err := d.decode(e)
			require.True(t, ok != (err != nil))
			require.Equal(t, ok, got != nil)
			// An event's payload and signers are bound by their hashes.
			e.Topics = append([]common.Hash{}, e.Topics...)
			for i := range e.Topics[1:] {
				e.Topics[i+1] = keccak(b)
			}
			_, _, _ = d.decode(e)
		}
	})
}

func FuzzClassifyRevert(f *testing.F) {
	v := vectors(f)
	for _, r := range append(v.Negatives, v.FailureCatalogue...) {
		seed(f, revertData(f, r.Revert), r.Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fail := ClassifyRevert(b, 1)
		require.LessOrEqual(t, len(fail.Name), 1000)
		require.LessOrEqual(t, fail.Class, ClassPermanent)
		for s := StateNone; s <= StateConflict; s++ {
			given := fail.Given(Circumstances{State: s, Transfer: &Transfer{Amount: common.Big1}, NoCode: true})
			require.NotContains(t, []Class{ClassUnknown, ClassState}, given.Class)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	seed(f, encode(list("bool"), true), encode(list("string"), "hub"), encode(list("address"), common.Address{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, q := range []Question[State]{
			NewAmplifier(common.Address{1}, common.Hash{1}).State(someMessage(1)),
			NewLegacy(chains.ID(1), common.Address{1}, common.Address{2}).State(someMessage(1)),
		} {
			answers := make([][]byte, len(q.Calls))
			for i := range answers {
				answers[i] = b
			}
			_, _ = q.Read(answers)
		}
		for _, v := range []Version{V211, V220} {
			s := Service{Version: v}
			_, _ = s.Trusts("x").Read([][]byte{b})
			_, _ = s.Flow(common.Hash{}).Read([][]byte{b, b, b})
		}
		for _, fn := range views {
			_, _ = fn.answer(b)
		}
	})
}

func FuzzDecodeCommand(f *testing.F) {
	v := vectors(f)
	for _, s := range v.Steps {
		seed(f, s.Approval.ApproveMessagesCalldata)
	}
	seed(f, v.Rotation.Calldata)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		require.Equal(t, len(c.Approve) == 0, c.Rotate != nil)
		for _, m := range c.Approve {
			require.NoError(t, m.Check())
		}
	})
}

func FuzzVerify(f *testing.F) {
	w := newTeam(f, 1, 1, 1)
	f.Add(common.Hash{1}.Bytes(), w.sign(f, 0, common.Hash{1}))
	f.Add([]byte{}, []byte{})
	f.Add(make([]byte, 32), make([]byte, 65))
	f.Fuzz(func(t *testing.T, digest, sig []byte) {
		d := common.BytesToHash(digest)
		i, err := w.set.Verify(d, sig)
		require.True(t, err == nil || i == 0)
		got, collectErr := w.set.Collect(d, [][]byte{sig})
		require.Equal(t, err == nil, collectErr == nil)
		require.Equal(t, err == nil, len(got) == 1)
	})
}
