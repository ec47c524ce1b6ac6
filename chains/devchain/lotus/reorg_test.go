package lotus_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/stretchr/testify/require"
)

func TestAReorgReplacesTipsetsAndGivesMessagesBack(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).HTTP())
	contract := deploy(t, r, cl)
	tx := send(t, cl, 1, &contract, nil)
	mine(t, r, 4)
	before, err := cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.EqualValues(t, 3, before.BlockNumber.Uint64())

	full := lotusClient(t, r.Node(0).WS())
	old, err := full.ChainGetTipSetByHeight(t.Context(), 3, types.EmptyTSK)
	require.NoError(t, err)
	changes, err := full.ChainNotify(t.Context())
	require.NoError(t, err)
	<-changes
	r.NullAt(4)
	require.NoError(t, r.Reorg(t.Context(), 4))
	var told []string
	for len(told) < 7 {
		for _, c := range <-changes {
			told = append(told, c.Type)
		}
	}
	require.Equal(t, []string{"revert", "revert", "revert", "revert", "apply", "apply", "apply"}, told)

	now, err := full.ChainGetTipSetByHeight(t.Context(), 3, types.EmptyTSK)
	require.NoError(t, err)
	require.NotEqual(t, old.Key(), now.Key())
	four, err := full.ChainGetTipSetByHeight(t.Context(), 4, types.EmptyTSK)
	require.NoError(t, err)
	require.EqualValues(t, 3, four.Height(), "epoch 4 has become a null round")
	orphan, err := full.ChainGetTipSet(t.Context(), old.Key())
	require.NoError(t, err)
	require.Equal(t, old.Key(), orphan.Key(), "the old tipset is still known by its key")

	_, err = cl.TransactionReceipt(t.Context(), tx.Hash())
	require.ErrorIs(t, err, ethereum.NotFound)
	_, pending, err := cl.TransactionByHash(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.True(t, pending)
	logs, err := cl.FilterLogs(t.Context(), ethereum.FilterQuery{BlockHash: &before.BlockHash, Addresses: []common.Address{contract}})
	require.NoError(t, err)
	require.Len(t, logs, 1)
	require.True(t, logs[0].Removed, "by its hash, the reverted log is told of as removed")
	mine(t, r, 2)
	after, err := cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.NotEqual(t, before.BlockHash, after.BlockHash)
	require.Error(t, r.Reorg(t.Context(), 1000))
}

func TestANodeFreezesForksAndRunsAheadWhileTheOthersGoOn(t *testing.T) {
	r := start(t, lotus.Config{Addrs: []string{"", ""}})
	cl, other := dial(t, r.Node(0).HTTP()), dial(t, r.Node(1).HTTP())
	mine(t, r, 10)
	number := func() uint64 {
		n, err := cl.BlockNumber(t.Context())
		require.NoError(t, err)
		return n
	}
	hash := func(at uint64, of int) (h struct{ Hash common.Hash }) {
		c := cl
		if of == 1 {
			c = other
		}
		require.NoError(t, c.Client().CallContext(t.Context(), &h, "eth_getBlockByNumber", common.BigToHash(common.Big0).Hex()[:2]+string("0123456789abcdef"[at]), false))
		return h
	}
	n := r.Node(0)
	require.EqualValues(t, 9, number())
	n.Set(func(s *lotus.Switches) { s.Lag = 4 })
	require.EqualValues(t, 5, number())
	n.Reset()
	n.Freeze(0)
	mine(t, r, 3)
	require.EqualValues(t, 9, number())
	n.Freeze(2)
	require.EqualValues(t, 7, number())
	n.Follow()
	require.EqualValues(t, 12, number())

	require.NoError(t, n.Fork(t.Context(), 3))
	require.EqualValues(t, 12, number())
	require.Equal(t, hash(10, 0), hash(10, 1))
	require.NotEqual(t, hash(11, 0), hash(11, 1))
	require.NotEqual(t, hash(12, 0), hash(12, 1))

	require.NoError(t, n.JumpAhead(t.Context(), 5000))
	require.EqualValues(t, 13+5000-1, number())
	n.Reset()
	require.Equal(t, hash(12, 0), hash(12, 1))
}

func TestAFrozenNodeTellsTheLogsOfTheBranchItHolds(t *testing.T) {
	r, cl, contract, txs := told(t)
	query := ethereum.FilterQuery{FromBlock: common.Big0, Addresses: []common.Address{contract}}
	before, err := cl.FilterLogs(t.Context(), query)
	require.NoError(t, err)
	require.Len(t, before, len(txs))
	r.Node(0).Freeze(0)
	require.NoError(t, r.Reorg(t.Context(), 8))
	frozen, err := cl.FilterLogs(t.Context(), query)
	require.NoError(t, err)
	require.Equal(t, before, frozen)
	moved, err := dial(t, r.Node(1).HTTP()).FilterLogs(t.Context(), query)
	require.NoError(t, err)
	require.Equal(t, before[:1], moved)
}
