package badinput

import (
	"crypto/ecdsa"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

var order = crypto.S256().Params().N

// twin is the other signature of the same key over the same digest.
func twin(sig []byte) []byte {
	out := slices.Clone(sig)
	new(big.Int).Sub(order, new(big.Int).SetBytes(sig[32:64])).FillBytes(out[32:64])
	out[64] = 55 - out[64]
	return out
}

func key(t *testing.T) *ecdsa.PrivateKey {
	k, err := crypto.GenerateKey()
	require.NoError(t, err)
	return k
}

func signatureRows() []row {
	return []row{
		{id: "B29", what: "a signer that uses one R twice", tries: []try{
			alone("10,000 digests have 10,000 R, and a digest has one signature", func(t *testing.T) {
				k, seen := key(t), map[[32]byte]bool{}
				for n := range uint64(10_000) {
					sig, err := ipc.Sign(k, hash(n))
					require.NoError(t, err)
					require.False(t, seen[[32]byte(sig[:32])])
					seen[[32]byte(sig[:32])] = true
					if n%100 == 0 {
						again, err := ipc.Sign(k, hash(n))
						require.NoError(t, err)
						require.Equal(t, sig, again)
					}
				}
			}),
		}},
		{id: "B30", what: "a transaction without a chain's id", tries: []try{
			alone("it is not sent, whoever signed it", func(t *testing.T) {
				r := newSender(t)
				r.stop()
				honest := r.signer.(keySigner)
				r.signer = oldSigner{honest}
				r.start()
				_ = r.m.Send(t.Context(), r.tx("a"))
				r.until("it is refused", func() bool { return strings.Contains(r.m.Status()[0].Err, "signed something else") })
				require.Empty(t, r.node.Pending(r.from))
				require.Empty(t, r.intent(0).Attempts)
				r.stop()
				r.signer = honest
				r.cfg.ResumeAfter = 1
				r.start()
				r.mineUntil("an honest signer signs it", func() bool { return r.intent(0).State == chains.IntentSucceeded })
				require.Equal(t, 1, r.node.Mined([]byte("a")))
			}),
		}},
		{id: "B31", what: "a signature in another form, of a signer twice, out of order", tries: []try{
			alone("only one form recovers", func(t *testing.T) {
				k := key(t)
				sig, err := ipc.Sign(k, hash(1))
				require.NoError(t, err)
				signer, err := ipc.Recover(hash(1), sig)
				require.NoError(t, err)
				require.Equal(t, crypto.PubkeyToAddress(k.PublicKey), signer)
				changed := func(f func([]byte) []byte) []byte { return f(slices.Clone(sig)) }
				for what, c := range map[string]struct {
					sig  []byte
					want error
				}{
					"high s":         {twin(sig), ipc.ErrSignatureHighS},
					"v of 0 or 1":    {changed(func(b []byte) []byte { b[64] -= 27; return b }), ipc.ErrSignatureV},
					"v of EIP-155":   {changed(func(b []byte) []byte { b[64] += 10; return b }), ipc.ErrSignatureV},
					"64 bytes":       {changed(func(b []byte) []byte { b[32] |= (b[64] - 27) << 7; return b[:64] }), ipc.ErrSignatureLength},
					"66 bytes":       {append(slices.Clone(sig), 0), ipc.ErrSignatureLength},
					"nothing":        {nil, ipc.ErrSignatureLength},
					"zero r":         {changed(func(b []byte) []byte { clear(b[:32]); return b }), ipc.ErrSignature},
					"zero s":         {changed(func(b []byte) []byte { clear(b[32:64]); return b }), ipc.ErrSignature},
					"r of the order": {changed(func(b []byte) []byte { order.FillBytes(b[:32]); return b }), ipc.ErrSignature},
				} {
					_, err := ipc.Recover(hash(1), c.sig)
					require.ErrorIs(t, err, c.want, what)
				}
			}),
			alone("a signer counts once, and in order", func(t *testing.T) {
				a, b := ipc.Signed{Signer: addr(1)}, ipc.Signed{Signer: addr(2)}
				_, err := ipc.SortSignatures([]ipc.Signed{b, a, b})
				require.ErrorIs(t, err, ipc.ErrDuplicateSigner)
				_, _, err = ipc.Split([]ipc.Signed{b, a})
				require.ErrorIs(t, err, ipc.ErrUnsorted)
				_, _, err = ipc.Split([]ipc.Signed{a, a})
				require.ErrorIs(t, err, ipc.ErrUnsorted)
				require.False(t, ipc.Quorum(big.NewInt(2), big.NewInt(3)), "two thirds are no quorum")
				require.False(t, ipc.Quorum(new(big.Int), new(big.Int)))
			}),
		}},
		{id: "B32", what: "typed data signed for another contract, chain or deployment, and what was used", tries: []try{
			alone("another domain or content is another signer", func(t *testing.T) {
				k := key(t)
				d := ipc.Domain{ChainID: subID, VerifyingContract: addr(7), Salt: hash(1)}
				p := ipc.ParentFinality{SignerConfig: 1, ParentHeight: 9, TopDownNonce: 3}
				sig, err := ipc.Sign(k, p.Digest(d))
				require.NoError(t, err)
				other := p
				other.TopDownNonce++
				for what, digest := range map[string]common.Hash{
					"contract":   p.Digest(ipc.Domain{ChainID: subID, VerifyingContract: addr(8), Salt: hash(1)}),
					"chain":      p.Digest(ipc.Domain{ChainID: rootID, VerifyingContract: addr(7), Salt: hash(1)}),
					"deployment": p.Digest(ipc.Domain{ChainID: subID, VerifyingContract: addr(7), Salt: hash(2)}),
					"content":    other.Digest(d),
					"item":       ipc.ParentRecovery{Number: 1, Anchor: p}.Digest(d),
				} {
					who, err := ipc.Recover(digest, sig)
					require.True(t, err != nil || who != crypto.PubkeyToAddress(k.PublicKey), what)
				}
			}),
			halted("a withdrawal of another subnet", "subnet", "hashes to", func() *types.Log {
				w := withdrawal(addr(6), 70)
				w.SubnetKey = hash(1)
				return with(withdrawalSent(w), func(l *types.Log) { l.Topics[1] = withdrawalID(withdrawal(addr(6), 70)) })
			}),
			bridged("a withdrawal that was paid is said to have come back: it is not sent again", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				id := withdrawalID(withdrawal(addr(6), 0))
				w.bridge.locked(func() { w.bridge.back = append(w.bridge.back, id) })
				w.sub.MineLogs(emit(outboxABI, "WithdrawalReturned", addr(9), id, big.NewInt(9)))
				w.read()
			}),
		}},
	}
}
