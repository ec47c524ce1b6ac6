package evm

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// twins are two endpoints of one chain and a source of both.
func twins(t *testing.T) (*fake.Node, *fake.Node, *Agreed) {
	t.Helper()
	var nodes []*fake.Node
	var clients []*Client
	for range 2 {
		n := fake.NewNode(t, testChain)
		n.MineN(3)
		n.MineLogs(fake.Log(other, topic, []byte{9}), fake.Log(ours, topic, []byte{1}), fake.Log(ours, foreign, []byte{9}), fake.Log(ours, topic, []byte{2}))
		n.MineNull()
		n.MineN(5)
		n.MineLogs(fake.Log(ours, topic, []byte{3}))
		n.SetFinal(1)
		n.MineN(1)
		nodes, clients = append(nodes, n), append(clients, dial(t, config(n)))
	}
	require.Equal(t, nodes[0].Hash(4), nodes[1].Hash(4))
	a, err := NewAgreed(clients[0], clients[1])
	require.NoError(t, err)
	return nodes[0], nodes[1], a
}

func query(n *fake.Node) chains.Query {
	return chains.Query{From: chains.Cursor{Chain: testChain, Next: 1, Parent: n.Hash(0)}, To: 1000, Filter: filter}
}

func TestEventsThatAllEndpointsTellAlikeComeWithTheirPositions(t *testing.T) {
	one, _, a := twins(t)
	head, err := a.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 11, head.Number)
	last, events, err := a.Events(t.Context(), query(one))
	require.NoError(t, err)
	require.Equal(t, head.Hash, last.Hash)
	require.Len(t, events, 3)
	require.Equal(t, []uint{1, 3, 0}, []uint{events[0].Position, events[1].Position, events[2].Position})
	for i, e := range events {
		require.Equal(t, []byte{byte(i + 1)}, e.Data)
	}
	// An empty filter asks for the block alone.
	last, events, err = a.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: testChain, Next: 4}, To: 4})
	require.NoError(t, err)
	require.Empty(t, events)
	require.Equal(t, one.Hash(4), last.Hash)
	// One that answers in parts is read in parts.
	_, two, a := twins(t)
	two.LimitLogs(2, 0)
	_, events, err = a.Events(t.Context(), query(two))
	require.NoError(t, err)
	require.Len(t, events, 3)
}

func TestOneEndpointThatLiesLeavesNoAnswer(t *testing.T) {
	receipt := func(edit func([]any) []any) fake.Fault {
		return fake.Edit(func(m map[string]any) { m["logs"] = edit(m["logs"].([]any)) })
	}
	for what, method := range map[string]struct {
		method string
		fault  fake.Fault
	}{
		"a log left out": {"eth_getLogs", fake.EditList(func(l []any) []any { return l[:max(len(l), 1)-1] })},
		"no logs":        {"eth_getLogs", fake.EditList(func([]any) []any { return []any{} })},
		"other data": {"eth_getLogs", fake.EditList(func(l []any) []any {
			for _, x := range l {
				x.(map[string]any)["data"] = "0x77"
			}
			return l
		})},
		"a receipt without its first log": {"eth_getTransactionReceipt", receipt(func(l []any) []any {
			if len(l) == 1 {
				return l
			}
			return l[1:]
		})},
		"a receipt without logs": {"eth_getTransactionReceipt", receipt(func([]any) []any { return []any{} })},
		"a receipt out of order": {"eth_getTransactionReceipt", receipt(func(l []any) []any {
			l[0], l[len(l)-1] = l[len(l)-1], l[0]
			return l
		})},
		"a receipt of other data": {"eth_getTransactionReceipt", receipt(func(l []any) []any {
			for _, x := range l {
				x.(map[string]any)["data"] = "0x77"
			}
			return l
		})},
		"a receipt of another block": {"eth_getTransactionReceipt", fake.Edit(func(m map[string]any) { m["blockHash"] = common.Hash{5} })},
		"no receipt":                 {"eth_getTransactionReceipt", func(c *fake.Call, _ func()) { c.Result = nil }},
	} {
		for liar := range 2 {
			one, two, a := twins(t)
			[]*fake.Node{one, two}[liar].On(method.method, method.fault)
			_, events, err := a.Events(t.Context(), query(one))
			require.ErrorIs(t, err, chains.ErrUnavailable, "%s by endpoint %d", what, liar+1)
			require.Empty(t, events)
			one.Clear()
			two.Clear()
			_, events, err = a.Events(t.Context(), query(one))
			require.NoError(t, err, "%s: told the truth again", what)
			require.Len(t, events, 3)
		}
	}
}

func TestABlockIsFinalWhenAllEndpointsAgreeOnIt(t *testing.T) {
	one, two, a := twins(t)
	two.PinFinal(6)
	head, err := a.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, head.Number, "the one that lags decides")
	last, events, err := a.Events(t.Context(), query(one))
	require.NoError(t, err)
	require.EqualValues(t, 6, last.Number)
	require.Len(t, events, 2)

	// Another branch is nobody's.
	_, two, a = twins(t)
	two.Reorg(4, false)
	_, err = a.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotErrorIs(t, err, chains.ErrReorg)
	_, _, err = a.Events(t.Context(), query(one))
	require.ErrorIs(t, err, chains.ErrUnavailable)

	stranger := fake.NewNode(t, testChain)
	stranger.SetChainID(5)
	cfg := config(stranger)
	cfg.ChainID = 5
	_, err = NewAgreed(a.clients[0], dial(t, cfg))
	require.ErrorIs(t, err, chains.ErrWrongChain)
	require.NotEqual(t, common.Hash{}, one.Hash(1))
}
