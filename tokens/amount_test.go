package tokens_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/tokens"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var max256 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

// any256 draws from all lengths of a uint256.
func any256(t *rapid.T) *big.Int {
	b := rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "bytes")
	return new(big.Int).SetBytes(b)
}

func TestAnAmountSurvivesEveryWayOfWritingIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := any256(t)
		a, err := tokens.Units(n)
		require.NoError(t, err)
		require.Equal(t, n.String(), a.String())

		b, err := tokens.ParseUnits(a.String())
		require.NoError(t, err)
		require.Zero(t, a.Cmp(b))

		raw, err := json.Marshal(a)
		require.NoError(t, err)
		require.Equal(t, `"`+n.String()+`"`, string(raw))
		var c tokens.Amount
		require.NoError(t, json.Unmarshal(raw, &c))
		require.Zero(t, a.Cmp(c))

		decimals := uint8(rapid.IntRange(0, 30).Draw(t, "decimals"))
		text := a.Decimal(decimals)
		d, err := tokens.ParseDecimal(text, decimals)
		require.NoError(t, err, text)
		require.Zero(t, a.Cmp(d))
		require.False(t, strings.HasSuffix(text, "."))
		require.False(t, strings.Contains(text, ".") && strings.HasSuffix(text, "0"))
	})
}

func TestAnAmountIsNotChangedFromOutside(t *testing.T) {
	n := big.NewInt(5)
	a := tokens.MustUnits(n)
	n.SetInt64(6)
	a.Big().SetInt64(7)
	require.Equal(t, "5", a.String())
}

func TestTheZeroAmountIsZero(t *testing.T) {
	var a tokens.Amount
	require.True(t, a.IsZero())
	require.Equal(t, "0", a.String())
	require.Equal(t, "0", a.Decimal(18))
	none, err := tokens.Units(nil)
	require.NoError(t, err)
	require.True(t, none.IsZero())
	require.True(t, tokens.MustUnits(new(big.Int)).IsZero())
	require.Zero(t, a.Cmp(none))
	require.Negative(t, a.Cmp(tokens.MustUnits(big.NewInt(1))))
}

func TestOnlyAUint256IsAnAmount(t *testing.T) {
	top, err := tokens.ParseUnits(max256.String())
	require.NoError(t, err)
	require.Equal(t, max256, top.Big())
	above := new(big.Int).Add(max256, big.NewInt(1))
	for _, s := range []string{
		"", " ", "1 ", "+1", "-1", "0x1", "1e3", "1_000", "1.0", "١", "1\n", above.String(), strings.Repeat("9", 78), strings.Repeat("0", 79),
	} {
		_, err := tokens.ParseUnits(s)
		require.ErrorIs(t, err, tokens.ErrAmount, "%q", s)
	}
	for _, n := range []*big.Int{big.NewInt(-1), above} {
		_, err := tokens.Units(n)
		require.ErrorIs(t, err, tokens.ErrAmount)
		require.Panics(t, func() { tokens.MustUnits(n) })
	}
}

func TestJSONTakesDecimalStringsOnly(t *testing.T) {
	for _, raw := range []string{`1`, `1.5`, `null`, `""`, `"1.5"`, `"0x1"`, `[]`, `{}`, `true`, `" 1"`} {
		var a tokens.Amount
		require.ErrorIs(t, json.Unmarshal([]byte(raw), &a), tokens.ErrAmount, raw)
	}
}

func TestHumanAmounts(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1000000", "1.5": "1500000", "0.000001": "1", ".5": "500000", "1.": "1000000", "0": "0", "0.0": "0", "007.10": "7100000", "000000000000000000000000000000000000000000000000000000000000000000000000000000000000001": "1000000",
	} {
		a, err := tokens.ParseDecimal(text, 6)
		require.NoError(t, err, text)
		require.Equal(t, want, a.String(), text)
	}
	for _, text := range []string{"", ".", "-1", "+1", "1.0000001", "1.5.2", "1,5", "1e3", "0x1", " 1", "1 ", "a", "1.a", ".-5", max256.String(), "٣"} {
		_, err := tokens.ParseDecimal(text, 6)
		require.Error(t, err, "%q", text)
	}
	a, err := tokens.ParseDecimal("5", 0)
	require.NoError(t, err)
	require.Equal(t, "5", a.Decimal(0))
	_, err = tokens.ParseDecimal("5.1", 0)
	require.ErrorContains(t, err, "more than 0 decimal places")
	require.Equal(t, "0.000000000000000001", tokens.MustUnits(big.NewInt(1)).Decimal(18))
	require.Equal(t, "1.5", tokens.MustUnits(big.NewInt(1_500_000)).Decimal(6))
}

func TestALongRubbishAmountIsNotRepeatedWhole(t *testing.T) {
	_, err := tokens.ParseUnits(strings.Repeat("x", 100_000))
	require.Less(t, len(err.Error()), 300)
	_, err = tokens.ParseDecimal(strings.Repeat("x", 100_000), 6)
	require.Less(t, len(err.Error()), 300)
}

func FuzzParsingNeverPanicsAndTakesOnlyWhatItCanWrite(f *testing.F) {
	for _, s := range []string{"", "0", "1.5", ".", "1.", ".1", "1e9", "-1", max256.String(), strings.Repeat("9", 90), "0.000000000000000001", "1_0", "\x00", "1\n"} {
		f.Add(s, uint8(6))
		f.Add(s, uint8(18))
	}
	f.Fuzz(func(t *testing.T, s string, decimals uint8) {
		if a, err := tokens.ParseUnits(s); err == nil {
			require.Equal(t, strings.TrimLeft(s, "0"), strings.TrimLeft(a.String(), "0"))
			require.LessOrEqual(t, a.Big().BitLen(), 256)
		}
		if a, err := tokens.ParseDecimal(s, decimals); err == nil {
			again, err := tokens.ParseDecimal(a.Decimal(decimals), decimals)
			require.NoError(t, err)
			require.Zero(t, a.Cmp(again))
		}
	})
}

func TestRoutesArePairsOfTheTwoAssetsOrOfCalls(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range tokens.Routes() {
		require.False(t, seen[r.Name])
		seen[r.Name] = true
		require.NotEqual(t, r.From, r.To)
		got, ok := tokens.RouteByName(r.Name)
		require.True(t, ok)
		require.Equal(t, r, got)
	}
	require.Len(t, seen, 8)
	tokens.Routes()[0].Name = "changed"
	require.NotEqual(t, "changed", tokens.Routes()[0].Name)
	_, ok := tokens.RouteByName("topdown")
	require.False(t, ok, "the relayer's own flows are no routes")
	for s, terminal := range map[tokens.Status]bool{"pending": false, "done": true, "refunded": true, "credited": true, "parked": true, "": false, "x": false} {
		require.Equal(t, terminal, s.Terminal(), s)
	}
}
