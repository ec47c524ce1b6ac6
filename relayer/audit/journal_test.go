package audit

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// book is a journal in memory.
type book struct {
	cursors map[string]uint64
	rows    []Entry
	intents map[common.Address]map[uint64]chains.Intent
	broken  error
}

func (b *book) Cursor(_ context.Context, chain string) (chains.Cursor, bool, error) {
	n, ok := b.cursors[chain]
	return chains.Cursor{Next: n}, ok, b.broken
}

func (b *book) Missing(_ context.Context, ids []common.Hash) (out []common.Hash, err error) {
	for _, id := range ids {
		if !slices.ContainsFunc(b.rows, func(e Entry) bool { return e.ID == id }) {
			out = append(out, id)
		}
	}
	return out, b.broken
}

func (b *book) Newest(_ context.Context, _ common.Address, max int) ([]Entry, error) {
	return b.rows[max0(len(b.rows)-max):], b.broken
}

func max0(n int) int { return max(n, 0) }

func (b *book) Intent(_ context.Context, _ chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error) {
	in, ok := b.intents[account][nonce]
	return in, ok, b.broken
}

// journaled is the journal of a world that was read up to both tips, its ids
// made by the flows' own function.
func journaled(w *world) *book {
	b := &book{cursors: map[string]uint64{flow.Root: uint64(len(w.root.blocks)), "subnet": uint64(len(w.child.blocks))}}
	row := func(route string, chain chains.ID, contract common.Address, nonce, height uint64) {
		b.rows = append(b.rows, Entry{flow.TransferID(route, chain, contract, sub.Actor, nonce), route, chain, height})
	}
	abis := w.abis
	for _, blk := range w.root.blocks {
		for _, e := range blk.events {
			if isEvent(e, abis["gateway"].Events["NewTopDownMessage"].ID) {
				nonce := uint64(len(b.nth("topdown")))
				row("topdown", rootChain, sub.Gateway, nonce, e.Block)
				if w.down[nonce].Kind == 0 {
					row("flt_deposit", rootChain, sub.Gateway, nonce, e.Block)
				}
				if w.deposits[w.down[nonce].TracingID()] != nil {
					row("usdc_deposit", rootChain, sub.Controller, nonce, e.Block)
				}
			}
		}
	}
	for _, blk := range w.child.blocks {
		n := blk.header.Number.Uint64()
		for _, e := range blk.events {
			if isEvent(e, abis["outbox"].Events["WithdrawalSent"].ID) {
				nonce := e.Topics[2].Big().Uint64()
				route := "usdc_withdraw"
				if common.BytesToAddress(e.Data[32*4:32*5]) == sub.FLT {
					route = "flt_withdraw"
				}
				row(route, childChain, sub.Outbox, nonce, n)
			}
		}
		if n > 0 && n%modelPeriod == 0 {
			row("checkpoint", childChain, sub.SubnetGateway, n, n)
		}
	}
	return b
}

func (b *book) nth(route string) (out []Entry) {
	for _, e := range b.rows {
		if e.Route == route {
			out = append(out, e)
		}
	}
	return out
}

func (b *book) without(route string) {
	for i, e := range b.rows {
		if e.Route == route {
			b.rows = slices.Delete(b.rows, i, i+1)
			return
		}
	}
	panic(route)
}

func TestTheJournalHoldsWhatTheChainsSay(t *testing.T) {
	w := busy()
	b := journaled(w)
	a := auditorOf(t, w, func(s *Source) { s.Journal = b })
	r := check(t, a)
	drifts(t, r, nil)
	i4 := find(t, r, "I4", "")
	require.Equal(t, "14", i4.Terms["transfers"])
	require.Len(t, b.rows, 14)

	for _, route := range routes {
		if route == "power" {
			continue // the model has no validators
		}
		t.Run("without a "+route, func(t *testing.T) {
			b := journaled(w)
			a := auditorOf(t, w, func(s *Source) { s.Journal = b })
			drifts(t, check(t, a), nil)
			b.without(route)
			drifts(t, check(t, a), map[string]string{"I4": "1"})
			// Found again, it is forgiven.
			b.rows = journaled(w).rows
			drifts(t, check(t, a), nil)
		})
	}
}

func TestTheJournalHoldsNothingElse(t *testing.T) {
	w := busy()
	b := journaled(w)
	b.rows = append(b.rows,
		Entry{common.Hash{1}, "flt_deposit", rootChain, 1},
		Entry{common.Hash{2}, "checkpoint", childChain, 7},
		Entry{common.Hash{3}, "its_transfer", rootChain, 1},        // not ours to judge
		Entry{common.Hash{4}, "flt_deposit", rootChain, 1_000_000}, // newer than what was read
	)
	drifts(t, check(t, auditorOf(t, w, func(s *Source) { s.Journal = b })), map[string]string{"I4": "2"})
}

func TestWhatIsAboveTheCursorIsNotJudged(t *testing.T) {
	w := busy()
	b := &book{}
	drifts(t, check(t, auditorOf(t, w, func(s *Source) { s.Journal = b })), nil)
	b = &book{cursors: map[string]uint64{flow.Root: 2}} // block 1 holds a deposit of FLT
	drifts(t, check(t, auditorOf(t, w, func(s *Source) { s.Journal = b })), map[string]string{"I4": "2"})
}

func TestAJournalThatCannotBeReadHidesNoMoney(t *testing.T) {
	w := busy()
	tamper(w, nil, func(s *childBooks) { s.supply++ })
	b := journaled(w)
	b.broken = errors.New("gone")
	w.root.tip().state.nonces[addr(70)] = 1
	r := check(t, auditorOf(t, w, func(s *Source) { s.Journal, s.RootAccounts = b, []common.Address{addr(70)} }))
	drifts(t, r, map[string]string{"I1/USDC": "-1"})
	require.Len(t, r.Skipped, 2)
	require.Contains(t, r.Skipped[0], "I4")
	require.Contains(t, r.Skipped[1], "I6")
}

func TestEveryMinedNonceHasItsIntent(t *testing.T) {
	account := addr(70)
	intents := func(from, to uint64) map[uint64]chains.Intent {
		m := map[uint64]chains.Intent{}
		for n := from; n < to; n++ {
			m[n] = chains.Intent{Chain: rootChain, Account: account, Nonce: n, State: chains.IntentSucceeded}
		}
		return m
	}
	for name, c := range map[string]struct {
		intents map[uint64]chains.Intent
		edit    func(map[uint64]chains.Intent)
		want    map[string]string
	}{
		"all of them":        {intents(0, 9), nil, nil},
		"some in flight":     {intents(0, 12), nil, nil},
		"an older account":   {intents(4, 9), nil, nil},
		"one is lost":        {intents(0, 9), func(m map[uint64]chains.Intent) { delete(m, 5) }, map[string]string{"I6": "1"}},
		"the newest is lost": {intents(0, 9), func(m map[uint64]chains.Intent) { delete(m, 7); delete(m, 8) }, map[string]string{"I6": "2"}},
		"one is foreign": {intents(0, 9), func(m map[uint64]chains.Intent) {
			in := m[3]
			in.State = chains.IntentForeign
			m[3] = in
		}, map[string]string{"I6": "1"}},
		"one is another's": {intents(0, 9), func(m map[uint64]chains.Intent) { m[3] = m[4] }, map[string]string{"I6": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			w.root.tip().state.nonces[account] = 9
			b := journaled(w)
			b.intents = map[common.Address]map[uint64]chains.Intent{account: c.intents}
			if c.edit != nil {
				c.edit(c.intents)
			}
			a := auditorOf(t, w, func(s *Source) { s.Journal, s.RootAccounts = b, []common.Address{account} })
			drifts(t, check(t, a), c.want)
			drifts(t, check(t, a), c.want)
			// Restored, it is forgiven.
			for n, in := range intents(0, 9) {
				c.intents[n] = in
			}
			drifts(t, check(t, a), nil)
		})
	}
}
