package lotus_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestSubscriptionsTellOfLogsAndOfTheirRemoval(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).WS())
	contract := deploy(t, r, cl)
	logs := make(chan types.Log, 8)
	sub, err := cl.SubscribeFilterLogs(t.Context(), ethereum.FilterQuery{Addresses: []common.Address{contract}}, logs)
	require.NoError(t, err)
	defer sub.Unsubscribe()
	var filter string
	require.NoError(t, cl.Client().CallContext(t.Context(), &filter, "eth_newFilter", map[string]any{"address": contract}))
	var heads string
	require.NoError(t, cl.Client().CallContext(t.Context(), &heads, "eth_newBlockFilter"))

	tx := send(t, cl, 1, &contract, nil)
	mine(t, r, 2)
	got := <-logs
	require.Equal(t, tx.Hash(), got.TxHash)
	require.False(t, got.Removed)
	require.NoError(t, r.Reorg(t.Context(), 3))
	got = <-logs
	require.Equal(t, tx.Hash(), got.TxHash)
	require.True(t, got.Removed)
	mine(t, r, 2)
	got = <-logs
	require.Equal(t, tx.Hash(), got.TxHash)
	require.False(t, got.Removed)

	var polled []types.Log
	require.NoError(t, cl.Client().CallContext(t.Context(), &polled, "eth_getFilterChanges", filter))
	require.Len(t, polled, 1, "between two looks, what came and went is not told of")
	var hashes []common.Hash
	require.NoError(t, cl.Client().CallContext(t.Context(), &hashes, "eth_getFilterChanges", heads))
	require.NotEmpty(t, hashes)
	var ok bool
	require.NoError(t, cl.Client().CallContext(t.Context(), &ok, "eth_uninstallFilter", filter))
	require.True(t, ok)
	require.ErrorContains(t, cl.Client().CallContext(t.Context(), &polled, "eth_getFilterChanges", filter), "filter not found")
}
