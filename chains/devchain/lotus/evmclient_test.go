package lotus_test

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func reader(t *testing.T, n *lotus.Node, finality string) *evm.Client {
	t.Helper()
	c, err := evm.Dial(t.Context(), evm.Config{
		Name: "root", URL: n.HTTP(), ChainID: chainID, Finality: finality, MaxRange: 2000, NoBloom: true,
	}, nil)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestTheRelayersClientReadsEventsOverNullRounds(t *testing.T) {
	r := start(t, lotus.Config{NullRate: 0.2})
	cl := dial(t, r.Node(0).HTTP())
	contract := deploy(t, r, cl)
	for i := range uint64(10) {
		send(t, cl, i+1, &contract, nil)
		mine(t, r, 5)
	}
	mine(t, r, 20)
	c := reader(t, r.Node(0), "depth:5")
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	filter := chains.Filter{Addresses: []common.Address{contract}, Topics: []common.Hash{common.BigToHash(big.NewInt(7))}}
	var found []chains.Event
	for from := (chains.Cursor{Chain: chainID}); from.Next <= head.Number; {
		last, events, err := c.Events(t.Context(), chains.Query{From: from, To: head.Number, Filter: filter})
		require.NoError(t, err)
		found = append(found, events...)
		from = chains.Cursor{Chain: chainID, Next: last.Number + 1, Parent: last.Hash}
	}
	require.Len(t, found, 10)
}
