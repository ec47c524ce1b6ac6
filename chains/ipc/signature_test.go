package ipc

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestOnlyTheFormTheContractsTakeRecovers(t *testing.T) {
	key, err := crypto.ToECDSA(common.FromHex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"))
	require.NoError(t, err)
	digest := keccak([]byte("digest"))
	sig, err := Sign(key, digest)
	require.NoError(t, err)
	who, err := Recover(digest, sig)
	require.NoError(t, err)
	require.Equal(t, crypto.PubkeyToAddress(key.PublicKey), who)

	_, err = Recover(digest, sig[:64])
	require.ErrorIs(t, err, ErrSignatureLength)
	_, err = Recover(digest, append(bytes.Clone(sig), 0))
	require.ErrorIs(t, err, ErrSignatureLength)
	_, err = Recover(digest, nil)
	require.ErrorIs(t, err, ErrSignatureLength)

	for _, v := range []byte{0, 1, 26, 29, 255} {
		other := bytes.Clone(sig)
		other[64] = v
		_, err = Recover(digest, other)
		require.ErrorIs(t, err, ErrSignatureV)
	}

	// The mirrored signature recovers the same key and is refused for that.
	high := bytes.Clone(sig)
	s := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(sig[32:64]))
	s.FillBytes(high[32:64])
	high[64] = 27 + 28 - high[64]
	_, err = Recover(digest, high)
	require.ErrorIs(t, err, ErrSignatureHighS)

	zero := make([]byte, 65)
	zero[64] = 27
	_, err = Recover(digest, zero)
	require.ErrorIs(t, err, ErrSignature)
	big := bytes.Repeat([]byte{0xff}, 65)
	big[64] = 28
	_, err = Recover(digest, big)
	require.ErrorIs(t, err, ErrSignature)
	// r without a point on the curve.
	off := make([]byte, 65)
	off[31], off[63], off[64] = 5, 1, 27
	_, err = Recover(digest, off)
	require.ErrorIs(t, err, ErrSignature)

	other, err := Recover(keccak([]byte("another")), sig)
	require.NoError(t, err)
	require.NotEqual(t, who, other)
}

func TestBundlesAreSortedAndHoldEachSignerOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		signers := rapid.SliceOfNDistinct(genAddr(), 0, 10, func(a common.Address) common.Address { return a }).Draw(t, "signers")
		var sigs []Signed
		for _, a := range signers {
			sigs = append(sigs, Signed{Signer: a, Signature: a.Bytes()})
		}
		sorted, err := SortSignatures(sigs)
		require.NoError(t, err)
		addrs, raw, err := Split(sorted)
		require.NoError(t, err)
		require.Len(t, addrs, len(signers))
		for i := range addrs {
			require.Equal(t, addrs[i].Bytes(), raw[i])
			if i > 0 {
				require.Negative(t, addrs[i-1].Cmp(addrs[i]))
			}
		}
		if len(sigs) > 0 {
			twice := append(sigs, sigs[0])
			_, err = SortSignatures(twice)
			require.ErrorIs(t, err, ErrDuplicateSigner)
			_, _, err = Split([]Signed{sigs[0], sigs[0]})
			require.ErrorIs(t, err, ErrUnsorted)
		}
	})
}

func TestAQuorumIsMoreThanTwoThirds(t *testing.T) {
	for _, c := range []struct {
		weight, total int64
		percent       uint8
		quorum, major bool
	}{
		{0, 0, 67, false, false},
		{1, 0, 67, false, false},
		{0, 1, 67, false, false},
		{-3, 3, 67, false, false},
		{1, 1, 67, true, true},
		{2, 3, 66, false, false},
		{3, 3, 67, true, true},
		{200, 300, 66, false, false},
		{201, 300, 67, true, true},
		{670, 1000, 67, true, true},
		{669, 1000, 67, true, false}, // a quorum below the subnet's own majority
		{669, 1000, 66, true, true},
		{100, 100, 100, true, true},
		{99, 100, 100, true, false},
		{100, 100, 101, true, false},
		{1, 3, 33, false, false}, // floors never make a minority pass
	} {
		w, total := big.NewInt(c.weight), big.NewInt(c.total)
		require.Equal(t, c.quorum, Quorum(w, total), "%+v", c)
		require.Equal(t, c.major, MajorityReached(w, total, c.percent), "%+v", c)
	}
	require.False(t, Quorum(nil, big.NewInt(1)))
	require.False(t, Quorum(big.NewInt(1), nil))
}

func TestTwoQuorumsAlwaysShareAThird(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 1<<40).Draw(t, "total")
		a, b := rapid.Int64Range(0, total).Draw(t, "a"), rapid.Int64Range(0, total).Draw(t, "b")
		if Quorum(big.NewInt(a), big.NewInt(total)) && Quorum(big.NewInt(b), big.NewInt(total)) {
			require.Greater(t, 3*(a+b-total), total)
		}
	})
}

func TestARollingHashIsProvenByPrefixAndTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := genHash().Draw(t, "start")
		msgs := rapid.SliceOfN(genEnvelope(), 0, 6).Draw(t, "messages")
		leaves := EnvelopeLeaves(msgs)
		want := RollAll(start, leaves)
		cut := rapid.IntRange(0, len(leaves)).Draw(t, "cut")
		require.True(t, VerifyPrefix(start, leaves[:cut], leaves[cut:], want))
		require.Equal(t, want, RollAll(RollAll(start, leaves[:cut]), leaves[cut:]))
		if len(leaves) > 0 {
			require.False(t, VerifyPrefix(start, leaves[:cut], leaves[cut:], start))
			require.False(t, VerifyPrefix(start, leaves[1:], nil, want))
			require.Equal(t, keccak(start[:], leaves[0][:]), Roll(start, leaves[0]))
		}
	})
	changes := []PowerChangeRequest{SetPower(1, common.Address{1}, big.NewInt(5)), SetMetadata(2, common.Address{1}, []byte{4})}
	require.Equal(t, []common.Hash{changes[0].Hash(), changes[1].Hash()}, PowerChangeLeaves(changes))
}
