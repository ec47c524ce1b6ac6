package relayer

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/verify"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/stretchr/testify/require"
)

// newVerified is a chain that a watcher has read to its end.
func newVerified(t *testing.T) *forkBridge {
	b := &forkBridge{t: t, n: fake.NewNode(t, forkChain), alerts: alerts.New(slog.New(slog.DiscardHandler), time.Hour)}
	var err error
	b.db, err = store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "verify"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.db.Close() })
	b.n.SetFinal(0)
	b.n.MineN(4)
	b.n.MineLogs(note(beginTopic, 1, 2)...) // 5
	b.n.MineN(70)
	b.n.MineLogs(append(note(sent, 1), note(beginTopic, 3)...)...) // 76
	b.n.MineLogs(note(topicHere, 1)...)                            // 77
	b.n.MineN(3)
	b.connect()
	return b
}

func (b *forkBridge) verified(o VerifyOptions) Verified {
	b.t.Helper()
	s := b.scan.side
	s.source = verify.Reader{Reader: s.source.(*evm.Client)}
	v, err := verifySide(b.t.Context(), s, b.scan.flows, b.db, o)
	require.NoError(b.t, err)
	return v
}

func TestASecondReadingFindsWhatIsMissingExtraAndDifferent(t *testing.T) {
	ctx := t.Context()
	b := newVerified(t)
	_, err := verifySide(ctx, b.scan.side, b.scan.flows, b.db, VerifyOptions{})
	require.ErrorContains(t, err, "nothing of it has been recorded yet")

	// The watcher's endpoint hides block 76 and tells of a transfer that never was,
	// and of another amount.
	b.n.PinFinal(75)
	b.connect()
	b.follow(75)
	v := b.verified(VerifyOptions{})
	require.Empty(t, v.Counts)
	require.Equal(t, uint64(75), v.To, "what is not recorded is not missed")
	require.Equal(t, 2, v.Transfers)
	cur, _, err := b.db.Cursor(ctx, flow.Root)
	require.NoError(t, err)
	b.n.SetFinal(0)
	b.connect()
	last, events, err := b.scan.source.Events(ctx, chains.Query{From: chains.Cursor{Chain: forkChain, Next: 77}, To: b.n.Height(), Filter: b.scan.filter})
	require.NoError(t, err)
	ghost := events[0]
	ghost.Index, ghost.Topics = 9, b.scan.filter.Topics[:1]
	ghost.Data = note(beginTopic, 6)[0].Data
	here := events[0]
	here.BlockTime++
	jobs, facts, err := watch.Translate(flow.Root, b.scan.flows, []chains.Event{here, ghost})
	require.NoError(t, err)
	to := chains.Cursor{Chain: forkChain, Next: last.Number + 1, Parent: last.Hash}
	require.NoError(t, b.db.Ingest(ctx, flow.Root, cur, to, jobs, facts))

	v = b.verified(VerifyOptions{})
	require.Equal(t, map[string]int{VerifyMissing: 2, VerifyExtra: 1, VerifyDifferent: 1}, v.Counts)
	require.True(t, v.Configured)
	var seen []string
	for _, d := range v.Differences {
		seen = append(seen, d.Kind+" "+d.What)
	}
	require.Equal(t, []string{"missing fact", "missing transfer", "different fact", "extra transfer"}, seen)
	require.Equal(t, []string{"at"}, v.Differences[2].Fields)
	require.Equal(t, idOf(3).Hex(), v.Differences[1].ID)
	require.Equal(t, uint64(76), v.Differences[1].Height)

	// Of another range it says nothing.
	v = b.verified(VerifyOptions{From: map[string]uint64{flow.Root: 3}, To: map[string]uint64{flow.Root: 75}})
	require.Empty(t, v.Counts)
	v = b.verified(VerifyOptions{From: map[string]uint64{flow.Root: 77}, URLs: map[string]string{flow.Root: "other"}})
	require.Equal(t, map[string]int{VerifyExtra: 1, VerifyDifferent: 1}, v.Counts)
	require.False(t, v.Configured)

	// A rescan brings what is missing.
	require.NoError(t, b.scan.all(ctx, b.db, RescanOptions{}))
	require.Zero(t, b.verified(VerifyOptions{}).Counts[VerifyMissing])
}

func TestATransferStoredOtherwiseIsToldByItsFields(t *testing.T) {
	b := newVerified(t)
	last, events, err := b.scan.source.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: forkChain, Next: 1}, To: 5, Filter: b.scan.filter})
	require.NoError(t, err)
	jobs, facts, err := watch.Translate(flow.Root, b.scan.flows, events)
	require.NoError(t, err)
	jobs[0].Transfer.Recipient[3]++
	jobs[0].Transfer.Nonce++
	first := chains.Cursor{Chain: forkChain, Next: 1}
	require.NoError(t, b.db.InitCursor(t.Context(), flow.Root, first))
	require.NoError(t, b.db.Ingest(t.Context(), flow.Root, first, chains.Cursor{Chain: forkChain, Next: last.Number + 1, Parent: last.Hash}, jobs, facts))
	v := b.verified(VerifyOptions{})
	require.Equal(t, map[string]int{VerifyDifferent: 1}, v.Counts)
	require.Equal(t, []string{"nonce", "recipient"}, v.Differences[0].Fields)
}

func TestRootAndSubnetAreVerifiedAfterARescan(t *testing.T) {
	b := newBridge(t, 1)
	db, err := store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "both"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	b.root.SetFinal(0)
	b.subs[0].SetFinal(0)
	b.root.MineLogs(b.funded(t, 0, 0, 5))
	b.root.MineN(3)
	b.subs[0].MineLogs(b.applied(t, 0, 0, 5))
	b.subs[0].MineN(25)
	quiet := slog.New(slog.DiscardHandler)
	parts := Parts{Journal: db, Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: alerts.New(quiet, 1), Log: quiet}
	_, err = RescanParts(t.Context(), b.cfg, RescanOptions{}, parts)
	require.NoError(t, err)

	out, err := verifyParts(t.Context(), b.cfg, VerifyOptions{}, db, parts)
	require.NoError(t, err)
	require.Len(t, out, 2)
	require.Positive(t, out[0].Transfers)
	require.Positive(t, out[1].Transfers, "checkpoints are due")
	require.Positive(t, out[1].Facts)

	// Another endpoint of the root, on which a deposit more was made.
	out, err = verifyParts(t.Context(), b.cfg, VerifyOptions{Chains: []string{flow.Root}, URLs: map[string]string{flow.Root: b.root.URL() + "/other"}}, db, parts)
	require.NoError(t, err)
	require.Len(t, out, 1)
	require.False(t, out[0].Configured)

	_, _, err = db.Backfill(t.Context(), flow.Root, nil, []store.Fact{{Key: "a/b", Outcome: store.OK, Chain: flow.Root, Height: 1, Tx: idOf(1)}})
	require.NoError(t, err)
	out, err = verifyParts(t.Context(), b.cfg, VerifyOptions{}, db, parts)
	require.ErrorIs(t, err, ErrVerify)
	require.Equal(t, map[string]int{VerifyExtra: 1}, out[0].Counts)
}

func TestAFactThatASearchHasFoundMustRestOnAnEventThatIsThere(t *testing.T) {
	b := newVerified(t)
	b.follow(76)
	b.scan.flows[0].Steps[0].Searched = true
	step := b.scan.flows[0].Steps[0].Name
	_, events, err := b.scan.source.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: forkChain, Next: 76}, To: 76, Filter: b.scan.filter})
	require.NoError(t, err)
	e := events[0]
	found := func(change func(*store.Fact)) store.Fact {
		f := store.Fact{
			Key: "carriage/" + step + "/0x9", Outcome: store.OK, Chain: flow.Root, Height: e.Block, BlockHash: e.BlockHash, Tx: e.Tx, At: e.BlockTime, LogIndex: e.Index,
		}
		change(&f)
		return f
	}
	put := func(f store.Fact) {
		t.Helper()
		_, _, err := b.db.Backfill(t.Context(), flow.Root, nil, []store.Fact{f})
		require.NoError(t, err)
	}
	put(found(func(*store.Fact) {}))
	v := b.verified(VerifyOptions{})
	require.Empty(t, v.Counts)
	require.Equal(t, 1, v.Searched)
	for i, change := range []func(*store.Fact){
		func(f *store.Fact) { f.Key = "carriage/await/0x9" }, // nobody searches for that
		func(f *store.Fact) { f.Key = "other/" + step + "/0x9" },
		func(f *store.Fact) { f.LogIndex += 50 },
		func(f *store.Fact) { f.Tx[0]++ },
		func(f *store.Fact) { f.Height-- },
		func(f *store.Fact) { f.At++ },
		func(f *store.Fact) { f.BlockHash[0]++ },
	} {
		f := found(change)
		if f.Key == "carriage/"+step+"/0x9" {
			f.Key += string(rune('a' + i))
		}
		put(f)
		v := b.verified(VerifyOptions{})
		require.Equal(t, map[string]int{VerifyExtra: i + 1}, v.Counts)
		require.Equal(t, 1, v.Searched)
	}
}

func TestAFactUnderAnotherKeyOfItsRouteIsTheSameFact(t *testing.T) {
	b := newVerified(t)
	b.n.PinFinal(75)
	b.connect()
	b.follow(75)
	b.n.SetFinal(0)
	b.connect()
	_, events, err := b.scan.source.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: forkChain, Next: 76}, To: 76, Filter: b.scan.filter})
	require.NoError(t, err)
	_, facts, err := watch.Translate(flow.Root, b.scan.flows, events)
	require.NoError(t, err)
	require.Len(t, facts, 1)
	f := facts[0]
	route, rest, _ := strings.Cut(f.Key, "/")
	put := func(change func(*store.Fact)) {
		g := f
		change(&g)
		_, _, err := b.db.Backfill(t.Context(), flow.Root, nil, []store.Fact{g})
		require.NoError(t, err)
	}
	// The cursor moves on without what is in the block.
	cur, _, err := b.db.Cursor(t.Context(), flow.Root)
	require.NoError(t, err)
	last, _, err := b.scan.source.Events(t.Context(), chains.Query{From: cur, To: 76, Filter: b.scan.filter})
	require.NoError(t, err)
	require.NoError(t, b.db.Ingest(t.Context(), flow.Root, cur, chains.Cursor{Chain: forkChain, Next: last.Number + 1, Parent: last.Hash}, nil, nil))

	put(func(g *store.Fact) { g.Key = "other/" + rest })
	put(func(g *store.Fact) { g.Key, g.Outcome = route+"/failed/"+rest, store.Failed })
	put(func(g *store.Fact) { g.Key, g.LogIndex = route+"/elsewhere/"+rest, g.LogIndex+1 })
	v := b.verified(VerifyOptions{})
	require.Zero(t, v.Renamed)
	require.Equal(t, map[string]int{VerifyMissing: 2, VerifyExtra: 3}, v.Counts, "a transfer is missing, too")
	put(func(g *store.Fact) { g.Key = route + "/renamed/" + rest })
	v = b.verified(VerifyOptions{})
	require.Equal(t, 1, v.Renamed, "%+v", v)
	require.Equal(t, map[string]int{VerifyMissing: 1, VerifyExtra: 3}, v.Counts)
}

// Whoever makes events of one key again and again makes the journal no less whole.
func TestFactsBeyondThoseThatAreKeptOfAKeyAreNotMissing(t *testing.T) {
	b := newVerified(t)
	b.n.MineLogs(note(sent, slices.Repeat([]uint64{2}, store.FactsPerKey+4)...)...)
	b.n.MineLogs(note(sent, slices.Repeat([]uint64{3}, store.FactsPerKey-1)...)...)
	b.n.MineN(3)
	b.connect()
	b.follow(82)
	v := b.verified(VerifyOptions{})
	require.Empty(t, v.Counts, "%+v", v.Differences)
	require.Greater(t, v.Facts, 2*store.FactsPerKey)

	// Nor in a range that holds only the last of them.
	b.n.MineLogs(note(sent, 2)...)
	b.n.MineN(2)
	top := b.n.Height()
	b.connect()
	b.follow(top)
	v = b.verified(VerifyOptions{From: map[string]uint64{flow.Root: 83}})
	require.Empty(t, v.Counts, "%+v", v.Differences)
	require.Positive(t, v.Facts)
}
