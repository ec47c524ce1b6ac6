package audit

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// flown is a direction with what was sent and received, in their orders, as
// id/content/amount/block.
func flown(sent, received [][4]int64) crossed {
	d := newCrossed()
	put := func(into map[common.Hash]amount, rows [][4]int64) {
		for i, r := range rows {
			into[common.BigToHash(big.NewInt(r[0]))] = amount{
				n: big.NewInt(r[2]), message: fmt.Sprint(r[0]), block: uint64(r[3]), content: common.BigToHash(big.NewInt(r[1])), seq: i,
			}
		}
	}
	put(d.sent, sent)
	put(d.received, received)
	return d
}

func TestWhatAxelarNamesIsMatchedByItsContent(t *testing.T) {
	const a, b = 0xa, 0xb
	at := func(n uint64) *uint64 { return &n }
	for name, c := range map[string]struct {
		sent, received [][4]int64
		sentUpTo       *uint64
		receivedUpTo   *uint64
		waits, early   int64
		messages       []string
		unknown        int
	}{
		"by ids":             {sent: [][4]int64{{1, a, 5, 1}, {2, a, 5, 2}}, received: [][4]int64{{2, a, 5, 9}}, waits: 5, messages: []string{"1"}},
		"by content":         {sent: [][4]int64{{1, a, 5, 1}, {2, b, 7, 2}}, received: [][4]int64{{91, b, 7, 9}}, waits: 5, messages: []string{"1"}},
		"the oldest first":   {sent: [][4]int64{{1, a, 5, 1}, {2, a, 5, 2}}, received: [][4]int64{{91, a, 5, 9}}, waits: 5, messages: []string{"2"}},
		"ids before content": {sent: [][4]int64{{1, a, 5, 1}, {2, a, 5, 2}}, received: [][4]int64{{91, a, 5, 8}, {1, a, 5, 9}}},
		"one too many":       {sent: [][4]int64{{1, a, 5, 1}}, received: [][4]int64{{91, a, 5, 8}, {92, a, 5, 9}}, unknown: 1},
		"never sent":         {sent: [][4]int64{{1, a, 5, 1}}, received: [][4]int64{{91, b, 5, 8}}, waits: 5, messages: []string{"1"}, unknown: 1},
		"received too late":  {sent: [][4]int64{{1, a, 5, 1}}, received: [][4]int64{{91, a, 5, 8}}, receivedUpTo: at(7), waits: 5, messages: []string{"1"}},
		"sent too late":      {sent: [][4]int64{{1, a, 5, 3}}, received: [][4]int64{{91, a, 5, 8}}, sentUpTo: at(2), early: 5},
		"the second too late": {
			sent: [][4]int64{{1, a, 5, 1}, {2, a, 5, 1}}, received: [][4]int64{{91, a, 5, 8}, {92, a, 5, 9}}, receivedUpTo: at(8), waits: 5, messages: []string{"2"},
		},
	} {
		d := flown(c.sent, c.received)
		d.rename()
		d.rename()
		waits, early := d.between(c.sentUpTo, c.receivedUpTo)
		require.Equal(t, c.waits, waits.n.Int64(), name)
		require.Equal(t, c.early, early.Int64(), name)
		require.Equal(t, c.messages, waits.messages, name)
		require.Len(t, waits.unknown, c.unknown, name)
	}
}

func TestContentIsAllThatMoneyDependsOn(t *testing.T) {
	x, y := []byte{1}, []byte{2}
	one := contentOf("Ethereum", x, y, big.NewInt(5), dataHash([]byte{7}))
	for what, other := range map[string]common.Hash{
		"chain":       contentOf("filecoin", x, y, big.NewInt(5), dataHash([]byte{7})),
		"source":      contentOf("Ethereum", y, y, big.NewInt(5), dataHash([]byte{7})),
		"destination": contentOf("Ethereum", x, x, big.NewInt(5), dataHash([]byte{7})),
		"amount":      contentOf("Ethereum", x, y, big.NewInt(6), dataHash([]byte{7})),
		"data":        contentOf("Ethereum", x, y, big.NewInt(5), dataHash(nil)),
	} {
		require.NotEqual(t, one, other, what)
	}
	require.Equal(t, common.Hash{}, dataHash(nil))
}
