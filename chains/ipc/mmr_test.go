package ipc

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheAccumulatorHashesAsSpecified(t *testing.T) {
	id := func(n byte) common.Hash { return common.Hash{n} }
	leaf := func(n byte) common.Hash { return keccak([]byte{0}, id(n).Bytes()) }
	node := func(l, r common.Hash) common.Hash { return keccak([]byte{1}, l[:], r[:]) }
	root := func(count byte, bag common.Hash) common.Hash {
		return keccak([]byte{2, 0, 0, 0, 0, 0, 0, 0, count}, bag[:])
	}
	var m MMR
	require.Equal(t, common.Hash{}, m.Root())
	want := []common.Hash{
		root(1, leaf(1)),
		root(2, node(leaf(1), leaf(2))),
		root(3, node(node(leaf(1), leaf(2)), leaf(3))),
		root(4, node(node(leaf(1), leaf(2)), node(leaf(3), leaf(4)))),
		root(5, node(node(node(leaf(1), leaf(2)), node(leaf(3), leaf(4))), leaf(5))),
		root(6, node(node(node(leaf(1), leaf(2)), node(leaf(3), leaf(4))), node(leaf(5), leaf(6)))),
		// Three peaks: the lowest is innermost.
		root(7, node(node(node(leaf(1), leaf(2)), node(leaf(3), leaf(4))), node(node(leaf(5), leaf(6)), leaf(7)))),
	}
	for i, w := range want {
		m.Append(id(byte(i + 1)))
		require.Equal(t, uint64(i+1), m.Count())
		require.Equal(t, w, m.Root(), "%d leaves", i+1)
	}
}

func TestEveryLeafOfTheAccumulatorIsProvenInItsPlaceOnly(t *testing.T) {
	var m MMR
	var ids []common.Hash
	for n := range 70 {
		ids = append(ids, keccak([]byte{byte(n)}))
		m.Append(ids[n])
		count := uint64(len(ids))
		for i := range count {
			proof, err := ProveLeaf(ids, i)
			require.NoError(t, err)
			require.True(t, VerifyLeaf(m.Root(), count, i, ids[i], proof), "%d of %d", i, count)
			require.False(t, VerifyLeaf(m.Root(), count, (i+1)%count, ids[i], proof) && count > 1)
			require.False(t, VerifyLeaf(m.Root(), count+1, i, ids[i], proof))
			require.False(t, VerifyLeaf(m.Root(), count, i, common.Hash{}, proof))
			require.False(t, VerifyLeaf(m.Root(), count, i, ids[i], append(slices.Clone(proof), [32]byte{})))
			if len(proof) > 0 {
				require.False(t, VerifyLeaf(m.Root(), count, i, ids[i], proof[1:]))
			}
		}
		_, err := ProveLeaf(ids, count)
		require.ErrorIs(t, err, ErrNoLeaf)
		require.False(t, VerifyLeaf(m.Root(), count, count, ids[0], nil))
	}
}

func TestTheAccumulatorAndTheIdAgreeWithSolidity(t *testing.T) {
	raw, err := os.ReadFile("testdata/withdrawal.json") // the constants of the forge tests
	require.NoError(t, err)
	var v struct {
		Mmr struct {
			Ids, Roots []common.Hash
		}
		Withdrawal struct {
			FastWithdrawals common.Address
			RootChainID     uint64 `json:"rootChainId,string"`
			Fields          struct {
				SubnetKey                                                   common.Hash
				Outbox, Token, Sender, Recipient                            common.Address
				FallbackRecipient, ExclusiveFiller                          common.Address
				Gross, MinOut                                               number
				Nonce, Height, FillDeadline, ExclusivityDeadline, MaxFeeBps number
			}
			ID      common.Hash
			Message hexutil.Bytes
			Subnet  struct {
				Root  uint64 `json:",string"`
				Route []common.Address
			}
		}
	}
	require.NoError(t, json.Unmarshal(raw, &v))
	var m MMR
	require.Len(t, v.Mmr.Roots, 9)
	for i, root := range v.Mmr.Roots {
		require.Equal(t, keccak(appendUint64(nil, uint64(i))), v.Mmr.Ids[i])
		m.Append(v.Mmr.Ids[i])
		require.Equal(t, root, m.Root())
	}

	f := v.Withdrawal.Fields
	w := Withdrawal{SubnetKey: f.SubnetKey, Outbox: f.Outbox, Nonce: f.Nonce.u64(), Token: f.Token, Sender: f.Sender,
		Recipient: f.Recipient, FallbackRecipient: f.FallbackRecipient, Gross: f.Gross.Int, MinOut: f.MinOut.Int,
		Height: f.Height.u64(), FillDeadline: f.FillDeadline.u64(), ExclusiveFiller: f.ExclusiveFiller,
		ExclusivityDeadline: f.ExclusivityDeadline.u64(), MaxFeeBps: uint16(f.MaxFeeBps.u64())}
	require.Equal(t, v.Withdrawal.ID, WithdrawalID(v.Withdrawal.RootChainID, v.Withdrawal.FastWithdrawals, w))
	require.Equal(t, f.SubnetKey, NewSubnetID(v.Withdrawal.Subnet.Root, v.Withdrawal.Subnet.Route...).Hash())
	call, err := WithdrawalCall(w)
	require.NoError(t, err)
	require.Equal(t, []byte(v.Withdrawal.Message), EncodeCall(call))
	require.Equal(t, "0x128379ba", SelSettle.String())
	back, err := DecodeWithdrawalCall(v.Withdrawal.Message)
	require.NoError(t, err)
	require.Equal(t, w, back)
}

func TestNoForgedProofPasses(t *testing.T) {
	var m MMR
	var ids []common.Hash
	for n := range 23 {
		ids = append(ids, keccak([]byte{byte(n)}))
		m.Append(ids[n])
	}
	rapid.Check(t, func(t *rapid.T) {
		id := genHash().Draw(t, "id")
		count, index := rapid.Uint64().Draw(t, "count"), rapid.Uint64().Draw(t, "index")
		var proof [][32]byte
		for _, h := range rapid.SliceOfN(genHash(), 0, 70).Draw(t, "proof") {
			proof = append(proof, h)
		}
		require.False(t, VerifyLeaf(m.Root(), count, index, id, proof))
	})
}
