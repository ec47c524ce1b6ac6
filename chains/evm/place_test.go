package evm

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// placing is a node with two blocks of logs, and a filter that wants to know where
// ours stand in their receipts.
func placing(t *testing.T) (*fake.Node, *Client, chains.Query) {
	n := fake.NewNode(t, testChain)
	n.MineN(2)
	n.MineLogs(fake.Log(other, topic, []byte{9}), fake.Log(ours, topic, []byte{1}), fake.Log(ours, foreign, []byte{9}), fake.Log(ours, topic, []byte{2}))
	n.MineLogs(fake.Log(other, topic, []byte{4}), fake.Log(other, topic, []byte{5}), fake.Log(ours, topic, []byte{3}))
	n.MineN(1)
	c := dial(t, config(n))
	_, err := c.Head(t.Context())
	require.NoError(t, err)
	q := chains.Query{From: chains.Cursor{Chain: testChain, Next: 1, Parent: n.Hash(0)}, To: 5, Filter: filter}
	q.Filter.Placed = []common.Address{ours}
	return n, c, q
}

func TestEventsOfPlacedContractsComeWithTheirPositions(t *testing.T) {
	n, c, q := placing(t)
	last, events, err := c.Events(t.Context(), q)
	require.NoError(t, err)
	require.EqualValues(t, 5, last.Number)
	var positions []uint
	for i, e := range events {
		require.Equal(t, []byte{byte(i + 1)}, e.Data)
		positions = append(positions, e.Position)
	}
	require.Equal(t, []uint{1, 3, 2}, positions)
	require.Positive(t, n.Calls("eth_getTransactionReceipt"))

	// Of other contracts nobody asks.
	asked := n.Calls("eth_getTransactionReceipt")
	q.Filter.Placed = []common.Address{{7}}
	_, events, err = c.Events(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, events, 3)
	require.Zero(t, events[0].Position)
	require.Equal(t, asked, n.Calls("eth_getTransactionReceipt"))
}

// editReceipt changes the logs of each receipt.
func editReceipt(edit func(logs []any) []any) fake.Fault {
	return fake.Edit(func(m map[string]any) { m["logs"] = edit(m["logs"].([]any)) })
}

// eachLog changes each log.
func eachLog(edit func(l map[string]any)) fake.Fault {
	return editReceipt(func(logs []any) []any {
		for _, l := range logs {
			edit(l.(map[string]any))
		}
		return logs
	})
}

// TestAReceiptThatDoesNotPlaceItsEventsIsNotBelieved: a wrong position would be a
// wrong message id.
func TestAReceiptThatDoesNotPlaceItsEventsIsNotBelieved(t *testing.T) {
	for what, fault := range map[string]fake.Fault{
		"no receipt":          func(c *fake.Call, _ func()) { c.Result = nil },
		"no logs":             editReceipt(func([]any) []any { return []any{} }),
		"a log left out":      editReceipt(func(l []any) []any { return append(l[:1:1], l[2:]...) }),
		"the last log twice":  editReceipt(func(l []any) []any { return append(l, l[len(l)-1]) }),
		"out of order":        editReceipt(func(l []any) []any { l[0], l[1] = l[1], l[0]; return l }),
		"another transaction": fake.Edit(func(m map[string]any) { m["transactionHash"] = common.Hash{5} }),
		"another block":       eachLog(func(l map[string]any) { l["blockHash"] = common.Hash{5} }),
		"two blocks":          editReceipt(func(l []any) []any { l[0].(map[string]any)["blockHash"] = common.Hash{5}; return l }),
		"another contract":    eachLog(func(l map[string]any) { l["address"] = other }),
		"no index":            eachLog(func(l map[string]any) { delete(l, "logIndex") }),
		"no block":            eachLog(func(l map[string]any) { delete(l, "blockHash") }),
		"no address":          eachLog(func(l map[string]any) { delete(l, "address") }),
		"a log that is null":  editReceipt(func(l []any) []any { l[0] = nil; return l }),
		"something else":      fake.Answer("0x1"),
		"an error":            fake.Fail(-32000, "busy", nil),
	} {
		t.Run(what, func(t *testing.T) {
			n, c, q := placing(t)
			n.On("eth_getTransactionReceipt", fault)
			_, events, err := c.Events(t.Context(), q)
			require.Error(t, err)
			require.ErrorIs(t, err, chains.ErrUnavailable)
			require.Empty(t, events)
			n.Clear()
			_, events, err = c.Events(t.Context(), q)
			require.NoError(t, err)
			require.Len(t, events, 3)
		})
	}
}

func TestATransactionHasAllOfItsEventsInOrder(t *testing.T) {
	n, c, q := placing(t)
	_, events, err := c.Events(t.Context(), q)
	require.NoError(t, err)
	all, err := c.TransactionEvents(t.Context(), events[0].Tx)
	require.NoError(t, err)
	require.Len(t, all, 4)
	for i, e := range all {
		require.EqualValues(t, i, e.Position)
		require.Equal(t, events[0].Tx, e.Tx)
		require.Equal(t, events[0].BlockHash, e.BlockHash)
		require.Equal(t, events[0].Block, e.Block)
		require.EqualValues(t, testChain, e.Chain)
		require.Zero(t, e.BlockTime)
	}
	require.Equal(t, []byte{9}, all[0].Data)
	require.Equal(t, foreign, all[2].Topics[0])
	same := all[3]
	same.BlockTime = events[1].BlockTime
	require.Equal(t, events[1], same, "as a source tells it")

	for what, fault := range map[string]fake.Fault{
		"no receipt":          func(c *fake.Call, _ func()) { c.Result = nil },
		"another transaction": fake.Edit(func(m map[string]any) { m["transactionHash"] = common.Hash{5} }),
		"a log left out":      editReceipt(func(l []any) []any { return append(l[:1:1], l[2:]...) }),
		"five topics":         eachLog(func(l map[string]any) { l["topics"] = make([]common.Hash, 5) }),
		"a removed log":       eachLog(func(l map[string]any) { l["removed"] = true }),
		"no data":             eachLog(func(l map[string]any) { delete(l, "data") }),
		"no height":           eachLog(func(l map[string]any) { delete(l, "blockNumber") }),
		"topics of no kind":   eachLog(func(l map[string]any) { l["topics"] = 7 }),
		"an error":            fake.Fail(-32000, "busy", nil),
	} {
		n.On("eth_getTransactionReceipt", fault)
		_, err := c.TransactionEvents(t.Context(), events[0].Tx)
		require.ErrorIs(t, err, chains.ErrUnavailable, what)
		n.Clear()
	}
	_, err = c.TransactionEvents(t.Context(), common.Hash{8})
	require.ErrorIs(t, err, chains.ErrUnavailable)
}
