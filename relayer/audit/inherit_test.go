package audit

import (
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// An instance that opens its journal again makes new auditors: what the old ones
// have read of the chains is not read again, and counts.
func TestWhatAnAuditorHasReadIsInherited(t *testing.T) {
	w := busy()
	w.root.page, w.child.page = 3, 3
	first := auditorOf(t, w)
	at := check(t, first)
	reads := w.root.reads + w.child.reads
	s := kept(w)
	heir := auditorOf(t, w, func(src *Source) { src.Journal = s })
	heir.Inherit(first)
	r, err := heir.Reconcile(ctx, s)
	require.NoError(t, err)
	require.True(t, r.OK, "%+v", r)
	require.Equal(t, at.RootBlock, r.Audit.RootBlock)
	require.Equal(t, reads, w.root.reads+w.child.reads, "nothing new, nothing read")

	// It goes on from there.
	w.fund(11)
	drifts(t, check(t, heir), nil)
	require.Less(t, w.root.reads+w.child.reads, reads+5)

	// Another subnet's is not taken.
	other := auditorOf(t, w, func(src *Source) { src.Sub.Name = "another" })
	other.Inherit(first)
	require.False(t, other.root.read)
	other.Inherit(nil)
}

// What was read before the chain changed is not gone on from.
func TestWhatIsInheritedMustStillBeTheChain(t *testing.T) {
	w := busy()
	first := auditorOf(t, w)
	check(t, first)
	w.root.blocks[len(w.root.blocks)-1].header.Extra = []byte{99}
	w.rootBlock(func(*rootBooks, *emitter) {})
	heir := auditorOf(t, w)
	heir.Inherit(first)
	_, err := heir.Check(ctx)
	require.ErrorIs(t, err, chains.ErrReorg)
	drifts(t, check(t, heir), nil)
}

// A journal that differs from what was read earlier is not accused before all of
// it is read again; one that has lost what an earlier look found is.
func TestAReconciliationThatFindsSomethingReadsTheChainsAnew(t *testing.T) {
	w := busy()
	s := kept(w)
	a := auditorOf(t, w, func(src *Source) { src.Journal = s })
	clock := time.Unix(1_700_000_000, 0)
	a.now = func() time.Time { return clock }
	// One answer, once, lacks the end of a deposit.
	var hidden *chains.Event
	w.child.drop = func(e chains.Event) bool {
		if hidden == nil && isEvent(e, a.abis.topics["child.TopDownMessageApplied"]) {
			hidden = &e
		}
		return hidden != nil && e.Block == hidden.Block && e.Index == hidden.Index
	}
	_, err := a.Check(ctx)
	require.NoError(t, err)
	require.NotNil(t, hidden)
	w.child.drop = nil
	a.rescanned = clock // no second look by the invariants
	r, err := a.Reconcile(ctx, s)
	require.NoError(t, err)
	require.True(t, r.OK, "%+v", r)

	// The journal forgets what an earlier look has seen in it.
	drifts(t, check(t, a), nil)
	s.without("usdc_deposit")
	r, err = a.Reconcile(ctx, s)
	require.NoError(t, err)
	require.Equal(t, map[string]int{Missing: 1}, r.Counts)
	s.status[idOf("flt_deposit", 0)] = tokens.Pending
	r, err = a.Reconcile(ctx, s)
	require.NoError(t, err)
	require.Equal(t, map[string]int{Missing: 1, Behind: 1}, r.Counts)
}

// An intent that an earlier look has found, and that the journal has lost since, is
// missed.
func TestAReconciliationLooksUpEveryIntentAgain(t *testing.T) {
	w := busy()
	account := addr(70)
	w.root.tip().state.nonces[account] = 3
	s := kept(w)
	own := map[uint64]chains.Intent{}
	for n := range uint64(3) {
		own[n] = chains.Intent{Chain: rootChain, Account: account, Nonce: n, State: chains.IntentSucceeded}
	}
	s.intents = map[common.Address]map[uint64]chains.Intent{account: own}
	a := auditorOf(t, w, func(src *Source) { src.Journal, src.RootAccounts = s, []common.Address{account} })
	a.now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	a.rescanned = a.now()
	drifts(t, check(t, a), nil)
	delete(own, 1)
	drifts(t, check(t, a), nil)              // what was found is not looked up each time
	a.root.read, a.child.read = false, false // the first of the two readings alone
	r, err := a.Reconcile(ctx, s)
	require.NoError(t, err)
	require.False(t, r.OK)
	drifts(t, r.Audit, map[string]string{"I6": "1"})
}

// An auditor in a hurry does not rest.
func TestAnAuditorInAHurryDoesNotRest(t *testing.T) {
	w := newWorld(1 << 40)
	for range 120 {
		w.rootBlock(func(*rootBooks, *emitter) {})
	}
	a := auditorOf(t, w, func(s *Source) { s.Rest = 1 })
	require.True(t, check(t, a).OK)
	rested := w.root.reads
	require.Greater(t, rested, 3)
	a.reset()
	w.root.reads = 0
	a.Hurry(true)
	require.True(t, check(t, a).OK)
	require.LessOrEqual(t, w.root.reads, 2)
	a.Hurry(false)
	a.reset()
	w.root.reads = 0
	require.True(t, check(t, a).OK)
	require.Equal(t, rested, w.root.reads)
}
