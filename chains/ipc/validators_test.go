package ipc

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type member struct {
	addr common.Address
	key  []byte
}

// members are validators with fixed keys, so that failures repeat.
func members(n int) []member {
	out := make([]member, n)
	for i := range out {
		key, err := crypto.ToECDSA(crypto.Keccak256([]byte{byte(i)}))
		if err != nil {
			panic(err)
		}
		out[i] = member{crypto.PubkeyToAddress(key.PublicKey), crypto.FromECDSAPub(&key.PublicKey)}
	}
	return out
}

func flt(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

func setOf(t require.TestingT, ms []member, weight int64) ValidatorSet {
	return scaledSetOf(t, ms, weight, 0)
}

func scaledSetOf(t require.TestingT, ms []member, weight int64, scale int8) ValidatorSet {
	var vs []Validator
	for _, m := range ms {
		vs = append(vs, Validator{Weight: flt(weight), Addr: m.addr, Metadata: m.key})
	}
	set := NewValidatorSet(vs, scale)
	require.Len(t, set.Entries, len(ms))
	return set
}

func TestPowerIsTheWeightRoundedUpToItsScale(t *testing.T) {
	m := members(1)[0]
	for _, c := range []struct {
		weight string
		scale  int8
		want   int64
	}{
		{"1000000000000000000", 0, 1},
		{"1000000000000000001", 0, 2},
		{"1", 0, 1},
		{"0", 0, 0},
		{"1000000000000000000", 3, 1000},
		{"1000000000000000001", 3, 1001},
		{"5", 18, 5},
		{"5", 127, 5}, // a scale beyond 18 is 18
		{"5", -128, 1},
		{"115792089237316195423570985008687907853269984665640564039457584007913129639935", 18, MaxTotalPower},
	} {
		w, _ := new(big.Int).SetString(c.weight, 10)
		set := NewValidatorSet([]Validator{{Weight: w, Addr: m.addr, Metadata: m.key}}, c.scale)
		require.Equal(t, c.want, set.TotalPower(), "%+v", c)
	}
	require.Equal(t, int64(math.MaxInt64/8), MaxTotalPower)
}

func TestOnlyAValidatorsOwnKeyGivesItPower(t *testing.T) {
	ms := members(2)
	compressed := append([]byte{0x02}, ms[0].key[1:]...)
	offCurve := bytes.Clone(ms[0].key)
	offCurve[64] ^= 1
	for name, key := range map[string][]byte{
		"none": nil, "short": ms[0].key[:64], "long": append(bytes.Clone(ms[0].key), 0), "prefix": compressed,
		"off the curve": offCurve, "another's": ms[1].key, "zero": append([]byte{4}, make([]byte, 64)...),
		"beyond the field": append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...),
	} {
		set := NewValidatorSet([]Validator{
			{Weight: flt(5), Addr: ms[0].addr, Metadata: key},
			{Weight: flt(1), Addr: ms[1].addr, Metadata: ms[1].key},
		}, 0)
		e, ok := set.Find(ms[0].addr)
		require.True(t, ok, "the entry is kept: %s", name)
		require.Zero(t, e.Power, name)
		require.Equal(t, flt(5), e.Weight)
		require.Zero(t, e.Counted.Sign())
		require.Equal(t, flt(1), set.TotalWeight())
		require.Equal(t, int64(1), set.TotalPower())

		// The right key later brings its weight to life.
		set = ApplyPowerChanges(set, []PowerChangeRequest{SetMetadata(1, ms[0].addr, ms[0].key)}, 0)
		require.Equal(t, int64(6), set.TotalPower())
		require.Equal(t, flt(6), set.TotalWeight())
	}
}

func TestMetadataAndPowerMayComeInEitherOrder(t *testing.T) {
	ms := members(2)
	base := setOf(t, ms[:1], 1)
	power, meta := SetPower(1, ms[1].addr, flt(3)), SetMetadata(2, ms[1].addr, ms[1].key)
	a := ApplyPowerChanges(base, []PowerChangeRequest{power, meta}, 0)
	b := ApplyPowerChanges(base, []PowerChangeRequest{meta, power}, 0)
	require.Equal(t, a, b)
	require.Equal(t, int64(4), a.TotalPower())

	gone := ApplyPowerChanges(a, []PowerChangeRequest{SetPower(3, ms[1].addr, new(big.Int))}, 0)
	require.Equal(t, base, gone)
	_, ok := gone.Find(ms[1].addr)
	require.False(t, ok)
	require.Equal(t, base, ApplyPowerChanges(base, []PowerChangeRequest{SetPower(4, ms[1].addr, new(big.Int))}, 0))
}

func TestMalformedChangesAreIgnored(t *testing.T) {
	ms := members(2)
	base := setOf(t, ms, 1)
	for _, c := range []PowerChange{
		{Op: OpSetPower, Validator: ms[0].addr},
		{Op: OpSetPower, Validator: ms[0].addr, Payload: make([]byte, 31)},
		{Op: OpSetPower, Validator: ms[0].addr, Payload: make([]byte, 64)},
		{Op: 2, Validator: ms[0].addr, Payload: make([]byte, 32)},
		{Op: 255, Validator: ms[0].addr, Payload: ms[1].key},
	} {
		require.Equal(t, base, ApplyPowerChanges(base, []PowerChangeRequest{{Change: c}}, 0))
	}
}

func TestTheLastPowerLeavesOnlyWhenOthersHaveSome(t *testing.T) {
	ms := members(2)
	set := setOf(t, ms[:1], 1)
	leave := SetPower(1, ms[0].addr, new(big.Int))

	set = ApplyPowerChanges(set, []PowerChangeRequest{leave}, 0)
	require.Equal(t, int64(1), set.TotalPower())
	require.Equal(t, []PowerChangeRequest{leave}, set.Deferred)

	// Deferred changes come first and are tried at each call.
	join := []PowerChangeRequest{SetMetadata(2, ms[1].addr, ms[1].key), SetPower(3, ms[1].addr, flt(2))}
	set = ApplyPowerChanges(set, join, 0)
	require.Equal(t, int64(3), set.TotalPower())
	require.Equal(t, []PowerChangeRequest{leave}, set.Deferred)

	set = ApplyPowerChanges(set, nil, 0)
	require.Empty(t, set.Deferred)
	require.Equal(t, int64(2), set.TotalPower())
	_, ok := set.Find(ms[0].addr)
	require.False(t, ok)
}

func TestALaterChangeReplacesADeferredOne(t *testing.T) {
	ms := members(2)
	set := setOf(t, ms[:1], 1)
	set = ApplyPowerChanges(set, []PowerChangeRequest{SetPower(1, ms[0].addr, new(big.Int))}, 0)
	require.Len(t, set.Deferred, 1)
	// It came back: the old leave must not throw it out later.
	set = ApplyPowerChanges(set, []PowerChangeRequest{SetPower(2, ms[0].addr, flt(7)),
		SetMetadata(3, ms[1].addr, ms[1].key), SetPower(4, ms[1].addr, flt(1))}, 0)
	require.Empty(t, set.Deferred)
	require.Equal(t, int64(8), ApplyPowerChanges(set, nil, 0).TotalPower())
}

func TestABadKeyOfTheOnlyValidatorIsDeferred(t *testing.T) {
	ms := members(1)
	set := setOf(t, ms, 1)
	bad := SetMetadata(1, ms[0].addr, []byte{1, 2, 3})
	set = ApplyPowerChanges(set, []PowerChangeRequest{bad}, 0)
	require.Equal(t, int64(1), set.TotalPower())
	require.Equal(t, []PowerChangeRequest{bad}, set.Deferred)
}

func TestPowerIsClampedToTheRoomLeft(t *testing.T) {
	ms := members(3)
	huge := new(big.Int).Lsh(big.NewInt(1), 255)
	set := setOf(t, ms[:1], 10)
	set = ApplyPowerChanges(set, []PowerChangeRequest{
		SetMetadata(1, ms[1].addr, ms[1].key), SetPower(2, ms[1].addr, huge),
		SetMetadata(3, ms[2].addr, ms[2].key), SetPower(4, ms[2].addr, flt(1)),
	}, 0)
	require.Equal(t, MaxTotalPower, set.TotalPower())
	e, _ := set.Find(ms[1].addr)
	require.Equal(t, MaxTotalPower-10, e.Power)
	require.Equal(t, huge, e.Weight, "the weight is what the root says")
	e, _ = set.Find(ms[2].addr)
	require.Zero(t, e.Power)
	require.Zero(t, e.Counted.Sign(), "no power, no say")
	require.Equal(t, flt(MaxTotalPower), set.TotalWeight())
}

func TestSignersWeighOnceAndStrangersNothing(t *testing.T) {
	ms := members(3)
	set := setOf(t, ms[:2], 4)
	require.Equal(t, flt(8), set.WeightOf([]common.Address{ms[0].addr, ms[1].addr}))
	require.Equal(t, flt(4), set.WeightOf([]common.Address{ms[0].addr, ms[0].addr, ms[2].addr}))
	require.Zero(t, set.WeightOf(nil).Sign())
}

func TestTheArgumentIsNeitherChangedNorShared(t *testing.T) {
	ms := members(2)
	set := setOf(t, ms, 4)
	before := setOf(t, ms, 4)
	next := ApplyPowerChanges(set, []PowerChangeRequest{SetPower(1, ms[0].addr, flt(9)), SetMetadata(2, ms[1].addr, nil)}, 0)
	require.Equal(t, before, set)
	for i := range next.Entries {
		next.Entries[i].Weight.SetInt64(77)
		next.Entries[i].Counted.SetInt64(77)
		for j := range next.Entries[i].Pubkey {
			next.Entries[i].Pubkey[j] = 0
		}
	}
	require.Equal(t, before, set)
}

func TestEntriesOfAnyOriginAreTidiedUp(t *testing.T) {
	ms := members(2)
	odd := ValidatorSet{Entries: []ValidatorEntry{
		{Addr: ms[1].addr, Pubkey: ms[1].key, Weight: nil, Power: -5},
		{Addr: ms[0].addr, Pubkey: ms[0].key, Weight: flt(1), Power: math.MaxInt64},
		{Addr: ms[0].addr, Pubkey: ms[0].key, Weight: flt(9), Power: 9},
		{Addr: common.Address{9}, Pubkey: []byte{1}, Weight: big.NewInt(-4), Power: 3},
	}}
	set := ApplyPowerChanges(odd, nil, 0)
	requireSound(t, set)
	require.Len(t, set.Entries, 3)
	require.Equal(t, int64(1), set.TotalPower(), "no more than its weight gives")
	require.Empty(t, NewValidatorSet([]Validator{{Addr: ms[0].addr, Weight: big.NewInt(-1), Metadata: ms[0].key}}, 0).Entries)
}

// requireSound holds for every set that ApplyPowerChanges returns.
func requireSound(t require.TestingT, set ValidatorSet) {
	var total int64
	for i, e := range set.Entries {
		require.True(t, i == 0 || set.Entries[i-1].Addr.Cmp(e.Addr) < 0, "sorted, one entry each")
		require.NotNil(t, e.Weight)
		require.GreaterOrEqual(t, e.Weight.Sign(), 0)
		require.GreaterOrEqual(t, e.Power, int64(0))
		require.True(t, e.Power == 0 || isKeyOf(e.Pubkey, e.Addr), "power needs a key")
		require.True(t, e.Power == 0 || e.Weight.Sign() > 0, "power needs weight")
		require.Equal(t, e.Power == 0, e.Counted.Sign() == 0, "power and say go together")
		require.LessOrEqual(t, e.Counted.Cmp(e.Weight), 0)
		require.LessOrEqual(t, e.Power, MaxTotalPower-total)
		total += e.Power
	}
	require.LessOrEqual(t, len(set.Deferred), 2*len(set.Entries))
}

func genChange(ms []member) *rapid.Generator[PowerChangeRequest] {
	return rapid.Custom(func(t *rapid.T) PowerChangeRequest {
		m := rapid.SampledFrom(ms).Draw(t, "validator")
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			return SetPower(1, m.addr, new(big.Int))
		case 1, 2:
			return SetPower(1, m.addr, genUint256().Draw(t, "weight"))
		case 3:
			return SetMetadata(1, m.addr, m.key)
		case 4:
			return SetMetadata(1, m.addr, rapid.SampledFrom(ms).Draw(t, "key").key)
		}
		return PowerChangeRequest{Change: PowerChange{Op: rapid.Byte().Draw(t, "op"), Validator: m.addr,
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "payload")}}
	})
}

func TestDerivationIsTotalBoundedAndTheSameEverywhere(t *testing.T) {
	ms := members(5)
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.Int8().Draw(t, "scale")
		set := scaledSetOf(t, ms[:rapid.IntRange(0, 5).Draw(t, "genesis")], 3, scale)
		for range 4 {
			changes := rapid.SliceOfN(genChange(ms), 0, 8).Draw(t, "changes")
			had := set.TotalPower() > 0
			next := ApplyPowerChanges(set, changes, scale)
			require.Equal(t, next, ApplyPowerChanges(set, changes, scale), "deterministic")
			requireSound(t, next)
			require.True(t, !had || next.TotalPower() > 0, "a set with power keeps some")

			// Change by change is the same as at once, without deferrals to retry.
			if len(set.Deferred) == 0 {
				step := set
				for _, c := range changes {
					step = ApplyPowerChanges(step, []PowerChangeRequest{c}, scale)
					if len(step.Deferred) > 0 {
						break
					}
				}
				if len(step.Deferred) == 0 {
					require.Equal(t, step, next)
				}
			}
			set = next
		}
	})
}

func TestTheSetDoesNotDependOnTheOrderOfItsGenesis(t *testing.T) {
	ms := members(6)
	want := setOf(t, ms, 2)
	slices.Reverse(ms)
	require.Equal(t, want, setOf(t, ms, 2))
}
