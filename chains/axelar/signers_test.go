package axelar

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func max128() *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)) }

func TestSetsThatAGatewayRefusesAreRefused(t *testing.T) {
	good := func() WeightedSigners { return newTeam(t, 2, 1, 2, 3).set }
	require.NoError(t, good().check(amplifierWeightBits))
	for name, change := range map[string]func(*WeightedSigners){
		"nobody":           func(s *WeightedSigners) { s.Signers = nil },
		"zero":             func(s *WeightedSigners) { s.Signers[0].Signer = common.Address{} },
		"descending":       func(s *WeightedSigners) { s.Signers[0], s.Signers[1] = s.Signers[1], s.Signers[0] },
		"twice":            func(s *WeightedSigners) { s.Signers[1].Signer = s.Signers[0].Signer },
		"last out":         func(s *WeightedSigners) { s.Signers[1], s.Signers[2] = s.Signers[2], s.Signers[1] },
		"no weight":        func(s *WeightedSigners) { s.Signers[1].Weight = new(big.Int) },
		"nil weight":       func(s *WeightedSigners) { s.Signers[1].Weight = nil },
		"negative weight":  func(s *WeightedSigners) { s.Signers[1].Weight = big.NewInt(-1) },
		"wide weight":      func(s *WeightedSigners) { s.Signers[1].Weight = new(big.Int).Lsh(big.NewInt(1), 128) },
		"wide sum":         func(s *WeightedSigners) { s.Signers[1].Weight = max128() },
		"no threshold":     func(s *WeightedSigners) { s.Threshold = new(big.Int) },
		"nil threshold":    func(s *WeightedSigners) { s.Threshold = nil },
		"threshold beyond": func(s *WeightedSigners) { s.Threshold = big.NewInt(7) },
		"wide threshold":   func(s *WeightedSigners) { s.Threshold = new(big.Int).Lsh(big.NewInt(1), 128) },
		"minus threshold":  func(s *WeightedSigners) { s.Threshold = big.NewInt(-2) },
	} {
		s := good()
		change(&s)
		_, err := EncodeSigners(s)
		require.ErrorIs(t, err, ErrSignerSet, name)
		_, err = SignersHash(s)
		require.ErrorIs(t, err, ErrSignerSet, name)
		_, err = RotateHash(s)
		require.ErrorIs(t, err, ErrSignerSet, name)
		if name != "wide weight" && name != "wide sum" {
			_, err = EncodeOperators(s)
			require.ErrorIs(t, err, ErrSignerSet, name)
			_, err = OperatorsHash(s)
			require.ErrorIs(t, err, ErrSignerSet, name)
		}
	}
	for _, threshold := range []int64{1, 6} {
		s := good()
		s.Threshold = big.NewInt(threshold)
		require.NoError(t, s.check(amplifierWeightBits))
	}
	// The widest sum that is one, and one more.
	s := newTeam(t, 1, 1, 1).set
	s.Signers[0].Weight = new(big.Int).Sub(max128(), big.NewInt(1))
	s.Threshold = max128()
	require.NoError(t, s.check(amplifierWeightBits))
	s.Signers[0].Weight = max128()
	require.ErrorIs(t, s.check(amplifierWeightBits), ErrSignerSet)
	require.NoError(t, s.check(legacyWeightBits))
}

func TestOnlyTheCanonicalFormOfASetIsRead(t *testing.T) {
	set := newTeam(t, 2, 1, 2, 3).nonce(9).set
	b, err := EncodeSigners(set)
	require.NoError(t, err)
	back, err := DecodeSigners(b)
	require.NoError(t, err)
	require.Equal(t, set, back)
	plain := newTeam(t, 2, 1, 2, 3).set
	o, err := EncodeOperators(plain)
	require.NoError(t, err)
	back, err = DecodeOperators(o)
	require.NoError(t, err)
	require.Equal(t, plain, back)

	for name, change := range map[string]func([]byte) []byte{
		"empty": func([]byte) []byte { return nil }, "truncated": func(c []byte) []byte { return c[:len(c)-32] },
		"trailing": func(c []byte) []byte { return append(c, make([]byte, 32)...) }, "lead": func(c []byte) []byte { c[31] ^= 0x40; return c },
	} {
		_, err := DecodeSigners(change(bytes.Clone(b)))
		require.ErrorIs(t, err, ErrMalformed, name)
		_, err = DecodeOperators(change(bytes.Clone(o)))
		require.ErrorIs(t, err, ErrMalformed, name)
	}
	// Words that are no address and no uint128.
	for _, at := range []int{32 * 5, 32*5 + 12 - 1, 32 * 6, 32*6 + 15, 32 * 2, 32*2 + 15} {
		c := bytes.Clone(b)
		c[at] = 1
		_, err := DecodeSigners(c)
		require.ErrorIs(t, err, ErrMalformed, at)
	}
	_, err = DecodeSigners(make([]byte, maxSetBytes+1))
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = DecodeOperators(make([]byte, maxSetBytes+1))
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestEqualComparesEveryField(t *testing.T) {
	set := func() WeightedSigners { return newTeam(t, 2, 1, 2).nonce(9).set }
	require.True(t, set().Equal(set()))
	require.True(t, WeightedSigners{}.Equal(WeightedSigners{}))
	for name, change := range map[string]func(*WeightedSigners){
		"signer": func(s *WeightedSigners) { s.Signers[1].Signer[3] ^= 1 }, "weight": func(s *WeightedSigners) { s.Signers[1].Weight = big.NewInt(9) },
		"nil weight": func(s *WeightedSigners) { s.Signers[1].Weight = nil }, "threshold": func(s *WeightedSigners) { s.Threshold = big.NewInt(1) },
		"nonce": func(s *WeightedSigners) { s.Nonce[0] = 1 }, "fewer": func(s *WeightedSigners) { s.Signers = s.Signers[:1] },
	} {
		s := set()
		change(&s)
		require.False(t, set().Equal(s), name)
		require.False(t, s.Equal(set()), name)
	}
}

func TestVerifyNamesTheSigner(t *testing.T) {
	w := newTeam(t, 2, 1, 1, 1)
	digest := common.Hash{7}
	for i := range w.set.Signers {
		got, err := w.set.Verify(digest, w.sign(t, i, digest))
		require.NoError(t, err)
		require.Equal(t, i, got)
	}
	sig := w.sign(t, 0, digest)
	_, err := w.set.Verify(common.Hash{8}, sig)
	require.ErrorIs(t, err, ErrNotSigner)
	bad := bytes.Clone(sig)
	bad[64] -= 27
	_, err = w.set.Verify(digest, bad)
	require.ErrorIs(t, err, ipc.ErrSignatureV)
	_, err = w.set.Verify(digest, sig[:64])
	require.ErrorIs(t, err, ipc.ErrSignatureLength)
}

// What Collect gives is in the order of the signers, without one signature
// that could be left out at the end, and reaches the threshold.
func TestCollectStopsExactlyAtTheThreshold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int64Range(1, 4), 1, 5).Draw(rt, "weights")
		var sum int64
		for _, n := range weights {
			sum += n
		}
		w := newTeam(t, rapid.Int64Range(1, sum).Draw(rt, "threshold"), weights...)
		digest := common.Hash{1}
		sigs := rapid.Permutation(w.all(t, digest)).Draw(rt, "order")
		got, err := w.set.Collect(digest, sigs)
		require.NoError(rt, err)
		weight, before := new(big.Int), -1
		for i, sig := range got {
			require.Negative(rt, weight.Cmp(w.set.Threshold), "signature %d is one too many", i)
			at, err := w.set.Verify(digest, sig)
			require.NoError(rt, err)
			require.Greater(rt, at, before)
			before = at
			weight.Add(weight, w.set.Signers[at].Weight)
		}
		require.GreaterOrEqual(rt, weight.Cmp(w.set.Threshold), 0)
	})
}
