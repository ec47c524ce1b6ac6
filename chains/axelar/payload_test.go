package axelar

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func genBytes(max int) *rapid.Generator[[]byte] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, max), func(b []byte) []byte { return append([]byte{}, b...) })
}

func genHash() *rapid.Generator[common.Hash] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 32, 32), common.BytesToHash)
}

func genUint(bits int) *rapid.Generator[*big.Int] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, bits/8), func(b []byte) *big.Int { return new(big.Int).SetBytes(b) })
}

func genPayload() *rapid.Generator[Payload] {
	text := rapid.Map(genBytes(70), func(b []byte) string { return string(b) })
	return rapid.Custom(func(t *rapid.T) Payload {
		id, a, b, c := genHash().Draw(t, "id"), genBytes(70).Draw(t, "a"), genBytes(70).Draw(t, "b"), genBytes(70).Draw(t, "c")
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return Transfer{TokenID: id, Source: a, Destination: b, Amount: genUint(256).Draw(t, "amount"), Data: c}
		case 1:
			return DeployToken{TokenID: id, Name: text.Draw(t, "name"), Symbol: text.Draw(t, "symbol"), Decimals: rapid.Uint8().Draw(t, "decimals"), Minter: a}
		case 2:
			return SendToHub{Chain: text.Draw(t, "chain"), Inner: a}
		case 3:
			return ReceiveFromHub{Chain: text.Draw(t, "chain"), Inner: a}
		case 4:
			return LinkToken{TokenID: id, Manager: ManagerType(rapid.IntRange(0, 4).Draw(t, "manager")), Source: a, Destination: b, Params: c}
		}
		return RegisterMetadata{Token: a, Decimals: rapid.Uint8().Draw(t, "decimals")}
	})
}

func TestPayloadsComeBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPayload().Draw(t, "payload")
		b, err := EncodePayload(p)
		require.NoError(t, err)
		typ, err := TypeOf(b)
		require.NoError(t, err)
		require.Equal(t, p.Type(), typ)
		back, err := DecodePayload(b)
		require.NoError(t, err)
		if x, ok := p.(Transfer); ok {
			y := back.(Transfer)
			require.Zero(t, x.Amount.Cmp(y.Amount))
			y.Amount = x.Amount
			back = y
		}
		require.Equal(t, p, back)
	})
}

// One word of a canonical encoding changed is another value or no encoding, but
// never the same value.
func TestNoTwoEncodingsAreOnePayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPayload().Draw(t, "payload")
		b, err := EncodePayload(p)
		require.NoError(t, err)
		other := bytes.Clone(b)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		other[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		q, err := DecodePayload(other)
		if err != nil {
			return
		}
		again, err := EncodePayload(q)
		require.NoError(t, err)
		require.Equal(t, other, again)
	})
}

func TestDecodedBytesAreCopies(t *testing.T) {
	b, err := EncodePayload(SendToHub{Chain: "x", Inner: []byte{1, 2, 3}})
	require.NoError(t, err)
	p, err := DecodePayload(b)
	require.NoError(t, err)
	for i := range b {
		b[i] = 0xff
	}
	require.Equal(t, []byte{1, 2, 3}, p.(SendToHub).Inner)
}

func TestOnlyTheCanonicalFormOfAPayloadIsRead(t *testing.T) {
	p := Transfer{TokenID: common.Hash{1}, Source: []byte{1}, Destination: []byte{2}, Amount: big.NewInt(3), Data: []byte{4}}
	b, err := EncodePayload(p)
	require.NoError(t, err)
	word := func(i int) []byte { return b[32*i : 32*i+32] }
	for name, change := range map[string]func(c []byte) []byte{
		"empty":              func([]byte) []byte { return nil },
		"a short type":       func(c []byte) []byte { return c[:31] },
		"type only":          func(c []byte) []byte { return c[:32] },
		"truncated":          func(c []byte) []byte { return c[:len(c)-1] },
		"trailing word":      func(c []byte) []byte { return append(c, make([]byte, 32)...) },
		"trailing byte":      func(c []byte) []byte { return append(c, 0) },
		"dirty padding":      func(c []byte) []byte { c[len(c)-1] = 1; return c },
		"retired type":       func(c []byte) []byte { c[31] = 2; return c },
		"unknown type":       func(c []byte) []byte { c[31] = 7; return c },
		"wide type":          func(c []byte) []byte { c[0] = 1; return c },
		"another type":       func(c []byte) []byte { c[31] = 3; return c },
		"shared tails":       func(c []byte) []byte { copy(c[32*3:], word(2)); return c },
		"tails out of order": func(c []byte) []byte { copy(c[32*2:], word(3)); copy(c[32*3:], word(2)); return c },
		"offset into head":   func(c []byte) []byte { c[32*2+31] = 0; return c },
		"offset beyond":      func(c []byte) []byte { c[32*2] = 0xff; return c },
		"length beyond":      func(c []byte) []byte { c[32*6+24] = 0x7f; return c },
	} {
		_, err := DecodePayload(change(bytes.Clone(b)))
		require.ErrorIs(t, err, ErrMalformed, name)
	}

	for _, typ := range []byte{2, 7} {
		_, err := TypeOf([]byte{31: typ})
		require.ErrorIs(t, err, ErrMalformed)
	}

	// Decimals wider than a byte, and a manager type that does not exist.
	d, err := EncodePayload(DeployToken{})
	require.NoError(t, err)
	d[32*4+30] = 1
	_, err = DecodePayload(d)
	require.ErrorIs(t, err, ErrMalformed)
	for _, manager := range []*big.Int{big.NewInt(5), new(big.Int).Lsh(big.NewInt(1), 64)} {
		l := encode(payloads[TypeLinkToken], big.NewInt(5), common.Hash{}, manager, []byte{}, []byte{}, []byte{})
		_, err = DecodePayload(l)
		require.ErrorIs(t, err, ErrMalformed)
	}
	_, err = EncodePayload(LinkToken{Manager: 5})
	require.ErrorIs(t, err, ErrMalformed)
}

func TestPayloadsAreBounded(t *testing.T) {
	most := MaxPayloadBytes - 32*4
	b, err := EncodePayload(SendToHub{Inner: make([]byte, most-32)})
	require.NoError(t, err)
	_, err = DecodePayload(b)
	require.NoError(t, err)
	_, err = EncodePayload(SendToHub{Inner: make([]byte, most)})
	require.ErrorIs(t, err, ErrTooLarge)
	over := encode(payloads[TypeSendToHub], big.NewInt(3), "", make([]byte, most))
	_, err = DecodePayload(over)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestAmountsThatAreNoUint256AreNotEncoded(t *testing.T) {
	for _, n := range []*big.Int{nil, big.NewInt(-1), new(big.Int).Lsh(big.NewInt(1), 256)} {
		_, err := EncodePayload(Transfer{Amount: n})
		require.ErrorIs(t, err, ErrNotUint256)
	}
	_, err := EncodePayload(Transfer{Amount: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))})
	require.NoError(t, err)
}

func TestMetadataIsEmptyOrOfVersionZero(t *testing.T) {
	require.Empty(t, EncodeMetadata(nil))
	require.Equal(t, []byte{0, 0, 0, 0, 7}, EncodeMetadata([]byte{7}))
	for _, data := range [][]byte{{}, {7}, bytes.Repeat([]byte{1}, 99)} {
		got, err := DecodeMetadata(EncodeMetadata(data))
		require.NoError(t, err)
		require.Equal(t, data, got)
	}
	got, err := DecodeMetadata(make([]byte, 4))
	require.NoError(t, err)
	require.Empty(t, got)
	for _, b := range [][]byte{{0, 0, 0, 1}, {0, 0, 0, 1, 5}, {0, 0, 0, 2}, {1, 0, 0, 0}} {
		_, err := DecodeMetadata(b)
		require.ErrorIs(t, err, ErrMetadataVersion)
	}
	for n := 1; n < 4; n++ {
		_, err := DecodeMetadata(make([]byte, n))
		require.ErrorIs(t, err, ErrMalformed)
	}
}
