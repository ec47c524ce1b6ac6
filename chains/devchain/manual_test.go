package devchain_test

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestADraftIsBesideTheChainUntilItIsAdopted(t *testing.T) {
	k, addr := key("draft")
	_, to := key("to")
	c := start(t, devchain.Config{Alloc: map[common.Address]*big.Int{addr: ether(1)}, Manual: true, NoServer: true, GenesisTime: 1_700_000_000})
	genesis := c.Genesis()
	require.EqualValues(t, 1_700_000_000, genesis.Time)
	tx := transfer(t, k, 0, to, 5)
	draft := devchain.Draft{Parent: genesis.Hash, Time: genesis.Time + 30, Txs: []*types.Transaction{tx}}
	one, err := c.Build(t.Context(), draft)
	require.NoError(t, err)
	two, err := c.Build(t.Context(), draft)
	require.NoError(t, err)
	require.NotEqual(t, one.Hash(), two.Hash(), "two drafts alike are two blocks")
	require.Equal(t, genesis, c.Head())
	_, _, ok := c.Place(tx.Hash())
	require.False(t, ok)

	require.NoError(t, c.Adopt(one.Hash()))
	require.Equal(t, one.Hash(), c.Canonical(1))
	block, _, ok := c.Place(tx.Hash())
	require.True(t, ok)
	require.Equal(t, one.Hash(), block)
	require.NoError(t, c.Adopt(two.Hash()))
	block, _, ok = c.Place(tx.Hash())
	require.True(t, ok)
	require.Equal(t, two.Hash(), block)
	state, err := c.State(c.Header(two.Hash()))
	require.NoError(t, err)
	require.EqualValues(t, 5, state.GetBalance(to).Uint64())

	draft.Txs = []*types.Transaction{transfer(t, k, 7, to, 5)}
	_, err = c.Build(t.Context(), draft)
	require.Error(t, err, "a transaction that cannot stand where it does")
	require.ErrorIs(t, c.Adopt(common.Hash{1}), devchain.ErrNoBlock)
}
