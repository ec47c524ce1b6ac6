package audit

import (
	"context"
	"errors"
	"testing"

	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// shelf is a whole journal: a book whose rows have a status.
type shelf struct {
	*book
	status map[common.Hash]tokens.Status
	step   map[common.Hash]string
	gone   map[common.Hash]bool
	before func() // runs ahead of Each
	fails  error
}

func (s *shelf) Each(_ context.Context, subnet common.Address, f func(Standing)) error {
	if s.before != nil {
		s.before()
	}
	if subnet != sub.Actor {
		return errors.New("another subnet")
	}
	for _, e := range s.rows {
		f(Standing{e, s.status[e.ID], s.step[e.ID], s.gone[e.ID]})
	}
	return s.fails
}

// kept is the journal of the busy world, as a person reads it from the story.
func kept(w *world) *shelf {
	s := &shelf{book: journaled(w), status: map[common.Hash]tokens.Status{}}
	for _, e := range s.rows {
		s.status[e.ID] = tokens.Pending
	}
	for _, e := range []struct {
		id     common.Hash
		status tokens.Status
	}{
		{idOf("topdown", 0), tokens.Done}, {idOf("topdown", 1), tokens.Done},
		{idOf("flt_deposit", 0), tokens.Done}, {idOf("usdc_deposit", 1), tokens.Done},
		{idOf("usdc_withdraw", 0), tokens.Done}, {idOf("flt_withdraw", 1), tokens.Credited},
		{idOf("checkpoint", 10), tokens.Done}, // 5 waits for its third message
	} {
		if _, ok := s.status[e.id]; !ok {
			panic("no such row")
		}
		s.status[e.id] = e.status
	}
	return s
}

func idOf(route string, nonce uint64) common.Hash {
	switch route {
	case "usdc_deposit":
		return flow.TransferID(route, rootChain, sub.Controller, sub.Actor, nonce)
	case "usdc_withdraw", "flt_withdraw":
		return flow.TransferID(route, childChain, sub.Outbox, sub.Actor, nonce)
	case "checkpoint":
		return flow.TransferID(route, childChain, sub.SubnetGateway, sub.Actor, nonce)
	}
	return flow.TransferID(route, rootChain, sub.Gateway, sub.Actor, nonce)
}

func reconcile(t *testing.T, w *world, s *shelf) Reconciliation {
	t.Helper()
	r, err := auditorOf(t, w, func(src *Source) { src.Journal = s }).Reconcile(ctx, s)
	require.NoError(t, err)
	return r
}

func TestAJournalThatSaysWhatTheChainsSayIsReconciled(t *testing.T) {
	w := busy()
	r := reconcile(t, w, kept(w))
	require.Empty(t, r.Differences)
	require.True(t, r.OK, "%+v", r)
	require.Equal(t, 12, r.Transfers) // checkpoints are due without an event
	require.Equal(t, 14, r.Compared)
}

func TestWhatAForkTookAwayIsNotUnfounded(t *testing.T) {
	w := busy()
	s := kept(w)
	// One whose beginning is gone, and one that is there again.
	s.rows = append(s.rows, Entry{ID: idOf("flt_deposit", 77), Route: "flt_deposit", Chain: rootChain, Height: 1})
	s.gone = map[common.Hash]bool{idOf("flt_deposit", 77): true, idOf("flt_deposit", 0): true}
	s.status[idOf("flt_deposit", 77)], s.status[idOf("flt_deposit", 0)] = tokens.Parked, tokens.Parked
	r := reconcile(t, w, s)
	require.Empty(t, r.Counts, "%+v", r.Differences)
	require.Equal(t, 1, r.Parked, "what ended all the same")
	s.gone = nil
	require.Equal(t, map[string]int{Unfounded: 1}, reconcile(t, w, s).Counts)
}

func TestEachWayOfDisagreeingIsNamedOnce(t *testing.T) {
	row := func(route string, chain uint64, nonce, height uint64) Entry {
		return Entry{ID: idOf(route, nonce), Route: route, Chain: rootChain, Height: height}
	}
	for name, c := range map[string]struct {
		spoil func(*world, *shelf)
		id    common.Hash
		kind  string
		fix   string
	}{
		"a deposit the journal has lost":    {func(_ *world, s *shelf) { s.without("usdc_deposit") }, idOf("usdc_deposit", 1), Missing, "causeway rescan"},
		"a delivery that was overheard":     {func(_ *world, s *shelf) { s.status[idOf("flt_deposit", 0)] = tokens.Pending }, idOf("flt_deposit", 0), Behind, "causeway rescan"},
		"a payout that was overheard":       {func(_ *world, s *shelf) { s.status[idOf("usdc_withdraw", 0)] = tokens.Pending }, idOf("usdc_withdraw", 0), Behind, "causeway rescan"},
		"a message that was overheard":      {func(_ *world, s *shelf) { s.status[idOf("topdown", 1)] = tokens.Pending }, idOf("topdown", 1), Behind, "causeway rescan"},
		"a deposit that never landed":       {func(_ *world, s *shelf) { s.status[idOf("usdc_deposit", 2)] = tokens.Done }, idOf("usdc_deposit", 2), Ahead, ""},
		"a refund nobody paid":              {func(_ *world, s *shelf) { s.status[idOf("flt_deposit", 3)] = tokens.Refunded }, idOf("flt_deposit", 3), Ahead, ""},
		"a payout nobody made":              {func(_ *world, s *shelf) { s.status[idOf("usdc_withdraw", 2)] = tokens.Done }, idOf("usdc_withdraw", 2), Ahead, ""},
		"a checkpoint with messages left":   {func(_ *world, s *shelf) { s.status[idOf("checkpoint", 5)] = tokens.Done }, idOf("checkpoint", 5), Ahead, ""},
		"a credit taken for a payment":      {func(_ *world, s *shelf) { s.status[idOf("flt_withdraw", 1)] = tokens.Done }, idOf("flt_withdraw", 1), Otherwise, ""},
		"a payment taken for a credit":      {func(_ *world, s *shelf) { s.status[idOf("usdc_withdraw", 0)] = tokens.Credited }, idOf("usdc_withdraw", 0), Otherwise, ""},
		"a delivery taken for a refund":     {func(_ *world, s *shelf) { s.status[idOf("usdc_deposit", 1)] = tokens.Refunded }, idOf("usdc_deposit", 1), Otherwise, ""},
		"a transfer that nobody ever began": {func(_ *world, s *shelf) { s.rows = append(s.rows, row("flt_deposit", rootChain, 77, 1)) }, idOf("flt_deposit", 77), Unfounded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			s := kept(w)
			c.spoil(w, s)
			r := reconcile(t, w, s)
			require.False(t, r.OK)
			require.Equal(t, map[string]int{c.kind: 1}, r.Counts, "%+v", r.Differences)
			require.Equal(t, c.id, r.Differences[0].ID)
			require.Equal(t, c.kind, r.Differences[0].Kind)
			require.NotEmpty(t, r.Differences[0].Fix)
			if c.fix != "" {
				require.Equal(t, c.fix, r.Differences[0].Fix)
			}
		})
	}
}

func TestWhatIsDecidedAboveTheCursorsIsNotYetBehind(t *testing.T) {
	w := busy()
	s := kept(w)
	// Everything the journal has read of the subnet is its first block, so it
	// cannot know of deliveries, and of the root it has read nothing decisive.
	s.cursors["subnet"], s.cursors[flow.Root] = 1, 4
	for id := range s.status {
		s.status[id] = tokens.Pending
	}
	s.rows = s.nth("topdown")[:3]
	r := reconcile(t, w, s)
	require.Zero(t, r.Counts[Behind], "%+v", r.Differences)
}

func TestAJournalThatIsAMomentAheadOfTheFirstLookIsNotAccused(t *testing.T) {
	w := busy()
	s := kept(w)
	// The third message and a new deposit arrive between the two looks.
	s.before = func() {
		w.deliver(1, alwaysGood)
		w.fund(5)
		s.before = nil
		s.status[idOf("topdown", 2)], s.status[idOf("usdc_deposit", 2)] = tokens.Done, tokens.Done
		for _, route := range []string{"topdown", "flt_deposit"} {
			e := Entry{ID: idOf(route, 4), Route: route, Chain: rootChain, Height: uint64(len(w.root.blocks) - 1)}
			s.rows = append(s.rows, e)
			s.status[e.ID] = tokens.Pending
		}
	}
	r := reconcile(t, w, s)
	require.Empty(t, r.Differences)
	require.True(t, r.OK)
}

func TestAParkedTransferWhoseEndIsKnownIsCountedAndBreaksNothing(t *testing.T) {
	w := busy()
	s := kept(w)
	s.status[idOf("flt_deposit", 0)] = tokens.Parked // delivered on the chain
	s.status[idOf("usdc_withdraw", 2)] = tokens.Parked
	r := reconcile(t, w, s)
	require.True(t, r.OK)
	require.Equal(t, 1, r.Parked)
}

func TestRowsThatWerePrunedAreNotMissed(t *testing.T) {
	for later, missing := range map[uint64]int{0: 1, retentionSeconds + 1000: 0} {
		w := busy()
		s := kept(w)
		s.without("usdc_deposit")
		w.childBlock(func(*childBooks, *emitter) {})
		w.child.tip().header.Time += later
		r, err := auditorOf(t, w).Reconcile(ctx, s)
		require.NoError(t, err)
		require.Equal(t, missing, r.Counts[Missing])
	}
}

func TestAJournalThatCannotBeReadIsAnErrorAndNoVerdict(t *testing.T) {
	w := busy()
	s := kept(w)
	s.fails = errors.New("gone")
	_, err := auditorOf(t, w, func(src *Source) { src.Journal = s }).Reconcile(ctx, s)
	require.ErrorContains(t, err, "gone")
	s = kept(w)
	s.broken = errors.New("gone")
	_, err = auditorOf(t, w).Reconcile(ctx, s)
	require.ErrorContains(t, err, "gone")
}

func TestRefundsAndCreditsOfDepositsAreWhatTheRootSays(t *testing.T) {
	for name, c := range map[string]struct {
		pick choices
		want tokens.Status
	}{"refunded": {alwaysGood, tokens.Refunded}, "refused": {badAt(3), tokens.Credited}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1000)
			w.deposit(100, addr(40))
			w.deliver(1, badAt(4))
			for w.child.tip().header.Number.Uint64() < modelPeriod {
				w.childBlock(func(*childBooks, *emitter) {})
			}
			a := auditorOf(t, w)
			check(t, a)
			x := a.hist.transferID("usdc_deposit", sub.RootID, sub.Controller, 0)
			require.Equal(t, tokens.Pending, a.hist.ends().fate(x).status)
			w.checkpoint()
			w.exec(1, c.pick)
			check(t, a)
			f := a.hist.ends().fate(x)
			require.Equal(t, c.want, f.status)
			require.NotZero(t, f.at.root)
			require.NotZero(t, f.at.child)
		})
	}
}
