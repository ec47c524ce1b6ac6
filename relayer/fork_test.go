package relayer

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

const forkChain = 31337

var (
	forkContract                = common.Address{0xc0}
	beginTopic, sent, topicHere = common.Hash{1}, common.Hash{2}, common.Hash{3}
)

// carriage is a flow on one chain: an event begins a transfer, which is sent (a
// step that acts) and then awaited. An event's data is the transfer's number.
func carriage() flow.Flow {
	number := func(e chains.Event) uint64 { return binary.BigEndian.Uint64(e.Data) }
	effect := func(topic common.Hash) func(chains.Event) (flow.Key, flow.Outcome, bool) {
		return func(e chains.Event) (flow.Key, flow.Outcome, bool) {
			return flow.Key(fmt.Sprintf("%x/%d", topic[:1], number(e))), flow.Outcome{Kind: flow.Ok}, e.Topics[0] == topic
		}
	}
	step := func(name string, topic common.Hash) flow.Step {
		return flow.Step{
			Name: name, Effect: effect(topic), Poll: time.Minute,
			Key:  func(t tokens.Transfer) flow.Key { return flow.Key(fmt.Sprintf("%x/%d", topic[:1], t.Nonce)) },
			Done: func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) { return nil, nil },
			Lane: func(tokens.Transfer) flow.Lane { return flow.Lane{Name: name} },
		}
	}
	send, await := step("send", sent), step("await", topicHere)
	send.Next, await.Next = map[flow.Kind]string{flow.Ok: "await"}, map[flow.Kind]string{flow.Ok: "done"}
	send.Do = func(context.Context, flow.Batch) ([]error, error) { return nil, nil }
	return flow.Flow{
		Name: "carriage", Chain: flow.Root, Chains: []string{flow.Root}, Steps: []flow.Step{send, await},
		Decode: func(e chains.Event) (tokens.Transfer, bool, error) {
			n := number(e)
			return tokens.Transfer{ID: idOf(n), Route: "carriage", Nonce: n, Origin: e.ID(), Height: e.Block, At: e.BlockTime}, e.Topics[0] == beginTopic, nil
		},
	}
}

func idOf(n uint64) common.Hash { return common.BigToHash(new(big.Int).SetUint64(n)) }

// forkBridge is a chain, a store and the watcher between them.
type forkBridge struct {
	t       *testing.T
	n       *fake.Node
	db      *store.DB
	scan    scanner
	watcher *watch.Watcher
	alerts  *alerts.Manager
}

func note(topic common.Hash, numbers ...uint64) (out []*types.Log) {
	for _, n := range numbers {
		out = append(out, fake.Log(forkContract, topic, binary.BigEndian.AppendUint64(nil, n)))
	}
	return out
}

// connect is what a process does when it starts.
func (b *forkBridge) connect() {
	client, err := evm.Dial(b.t.Context(), evm.Config{Name: flow.Root, URL: b.n.URL(), ChainID: forkChain, Timeout: time.Minute}, slog.New(slog.DiscardHandler))
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	filter := chains.Filter{Addresses: []common.Address{forkContract}, Topics: []common.Hash{beginTopic, sent, topicHere}}
	b.scan = scanner{side: side{name: flow.Root, source: client, id: forkChain, start: 1, filter: filter}, flows: []flow.Flow{carriage()}}
	b.watcher, err = watch.New(watch.Config{
		Chain: flow.Root, Source: client, Filter: filter, Flows: b.scan.flows, Start: chains.Cursor{Chain: forkChain, Next: 1},
		Journal: b.db, Tick: time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Failed: watchFailed(flow.Root, newHealth(), b.alerts),
	})
	require.NoError(b.t, err)
}

// follow lets the watcher run until the cursor is behind a height.
func (b *forkBridge) follow(to uint64) {
	b.t.Helper()
	b.run(func() bool {
		cur, _, err := b.db.Cursor(b.t.Context(), flow.Root)
		return err == nil && cur.Next > to
	})
}

// run lets the watcher run until something is so.
func (b *forkBridge) run(until func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.watcher.Run(ctx) }()
	defer func() { cancel(); <-done }()
	require.Eventually(b.t, until, time.Minute, time.Millisecond)
}

func (b *forkBridge) states() map[uint64]string {
	out := map[uint64]string{}
	for n := uint64(1); n <= 6; n++ {
		if j, ok, err := b.db.Get(b.t.Context(), idOf(n)); ok {
			require.NoError(b.t, err)
			out[n] = string(j.Status) + " " + j.Step
		}
	}
	return out
}

func (b *forkBridge) openAlert() *alerts.Alert {
	for _, a := range b.alerts.Open() {
		if a.Name == alerts.FinalityRegress {
			return &a
		}
	}
	return nil
}

func TestAForkBelowTheCursor(t *testing.T) {
	const base = 35
	s := storetest.StartRedis(t)
	for _, depth := range []int{1, 5, 30} {
		for _, seen := range []string{"by the same process", "by another, at the same height", "by another, lower", "by another, higher"} {
			for _, comes := range []string{"the same", "changed"} {
				t.Run(fmt.Sprintf("depth %d, noticed %s, comes back %s", depth, seen, comes), func(t *testing.T) {
					ctx := t.Context()
					b := &forkBridge{t: t, n: fake.NewNode(t, forkChain), alerts: alerts.New(slog.New(slog.DiscardHandler), time.Hour)}
					var err error
					b.db, err = store.Open(ctx, store.Options{URL: s.URL(), Namespace: fmt.Sprintf("f%d-%d-%s", depth, len(seen), comes[4:])})
					require.NoError(t, err)
					t.Cleanup(func() { _ = b.db.Close() })

					// 1 and 2 are sent, 3 and 4 begin and 1, 2 and 5 go on where the fork
					// will be; every block is recorded as it becomes final.
					b.n.MineN(9)
					b.n.MineLogs(append(note(beginTopic, 1, 2, 5), note(sent, 1, 2)...)...)
					b.n.MineN(base - 10)
					b.n.MineLogs(append(note(beginTopic, 3, 4), append(note(topicHere, 1, 2), note(sent, 5)...)...)...)
					b.n.MineN(depth - 1)
					top := uint64(base + depth)
					b.n.PinFinal(1)
					b.connect()
					for h := uint64(1); h <= top; h++ {
						b.n.PinFinal(h)
						b.follow(h)
					}
					before := map[uint64]string{1: "done await", 2: "done await", 3: "pending send", 4: "pending send", 5: "pending await"}
					require.Equal(t, before, b.states())

					// The chain changes.
					old := b.n.Branch()
					b.n.Reorg(depth, true)
					switch seen {
					case "by another, at the same height":
						b.connect()
					case "by another, lower":
						b.n.PinFinal(top - uint64(depth)/2)
						b.connect()
					case "by another, higher":
						b.n.Mine()
						b.n.PinFinal(top + 1)
						b.connect()
					}
					b.run(func() bool { return b.openAlert() != nil })
					require.Equal(t, map[string]string{
						"chain": "root", "from": fmt.Sprint(base + 1), "good": b.n.Hash(base).Hex(), "facts": "3", "transfers": "5",
					}, b.openAlert().Fields)
					f, ok, err := b.db.Forked(ctx, flow.Root)
					require.NoError(t, err)
					require.True(t, ok)
					require.Equal(t, uint64(base+1), f.From)
					require.Equal(t, b.n.Hash(base), f.Good.Hash)
					require.Equal(t, 3, f.Facts)
					require.Equal(t, 5, f.Transfers)
					for n, state := range b.states() {
						require.Contains(t, state, "parked", "%d", n)
					}
					_, ok, err = b.db.Claim(ctx, "w", 9)
					require.NoError(t, err)
					require.False(t, ok, "nothing is worked on")

					// It stays so, whoever starts, until the operator says otherwise.
					b.alerts.Resolve(alerts.FinalityRegress, flow.Root)
					b.connect()
					b.run(func() bool { return b.openAlert() != nil })
					cur, _, err := b.db.Cursor(ctx, flow.Root)
					require.NoError(t, err)
					require.Equal(t, top+1, cur.Next)

					want := before
					if comes == "the same" {
						b.n.Restore(old)
					} else {
						// 3 begins, and 1 and 5 go on, in other blocks; 4 and 2 do not.
						b.n.Mine()
						b.n.MineLogs(append(note(sent, 5), append(note(beginTopic, 3), note(topicHere, 1)...)...)...)
						want = map[uint64]string{1: "done await", 2: "pending await", 3: "pending send", 4: "parked send", 5: "pending await"}
					}
					b.n.SetFinal(0)
					b.connect()
					require.NoError(t, b.scan.acceptFork(ctx, b.db))
					require.Equal(t, want, b.states())
					if comes == "the same" {
						require.Equal(t, []int{5, 0, 0}, []int{b.scan.result.Kept, b.scan.result.Reopened, b.scan.result.Parked})
					} else {
						require.Equal(t, []int{3, 1, 1}, []int{b.scan.result.Kept, b.scan.result.Reopened, b.scan.result.Parked})
					}
					require.ErrorIs(t, b.scan.acceptFork(ctx, b.db), store.ErrNoFork)

					// Work and reading go on.
					_, ok, err = b.db.Claim(ctx, "w", 9)
					require.NoError(t, err)
					require.True(t, ok)
					b.n.MineLogs(append(note(topicHere, 2, 5), note(beginTopic, 4, 6)...)...)
					b.follow(b.n.Height())
					b.run(func() bool { return b.openAlert() == nil })
					want[2], want[5], want[6] = "done await", "done await", "pending send"
					if comes != "the same" {
						want[4] = "pending send" // it begins after all
					}
					require.Equal(t, want, b.states())
					n, err := b.db.Audit(ctx)
					require.NoError(t, err)
					require.Zero(t, n)
				})
			}
		}
	}
}

// emptied loses the whole journal right before a cursor is set, or moved.
type emptied struct {
	Journal
	first, then func()
}

func (l emptied) InitCursor(ctx context.Context, chain string, c chains.Cursor) error {
	l.first()
	return l.Journal.InitCursor(ctx, chain, c)
}

func (l emptied) Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	l.then()
	return l.Journal.Ingest(ctx, chain, from, to, jobs, facts)
}

func TestARescanOfAChainThatNobodyHasReadLeavesItsCursorBehindIt(t *testing.T) {
	const height = 20
	own := func(next uint64) *chains.Cursor { return &chains.Cursor{Chain: forkChain, Next: next} }
	for name, c := range map[string]struct {
		there   *chains.Cursor // before it
		options RescanOptions
		lost    string
		want    uint64 // next block; 0: no cursor
	}{
		"from the beginning":        {want: height + 1},
		"where a watcher has begun": {there: own(7), want: 7},
		"a part":                    {options: RescanOptions{From: map[string]uint64{flow.Root: 5}}},
		"not to the end":            {options: RescanOptions{To: map[string]uint64{flow.Root: 12}}},
		"after a death on the way":  {there: own(1), want: 1},
		"lost before it is set":     {lost: "first"},
		"lost before it is moved":   {lost: "then"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			server := storetest.StartRedis(t)
			b := &forkBridge{t: t, n: fake.NewNode(t, forkChain), alerts: alerts.New(slog.New(slog.DiscardHandler), time.Hour)}
			var err error
			b.db, err = store.Open(ctx, store.Options{URL: server.URL(), Namespace: "rescan"})
			require.NoError(t, err)
			t.Cleanup(func() { _ = b.db.Close() })
			b.n.MineN(9)
			b.n.MineLogs(note(beginTopic, 1)...)
			b.n.MineN(height)
			b.n.PinFinal(height)
			b.connect()
			if c.there != nil {
				require.NoError(t, b.db.InitCursor(ctx, flow.Root, *c.there))
			}
			lose := func(when string) func() {
				return func() {
					if c.lost == when {
						r := server.Client()
						defer r.Close()
						require.NoError(t, r.FlushAll(ctx).Err())
					}
				}
			}
			err = b.scan.all(ctx, emptied{b.db, lose("first"), lose("then")}, c.options)
			if c.lost != "" {
				require.ErrorIs(t, err, store.ErrForgot)
				db, err := store.Open(ctx, store.Options{URL: server.URL(), Namespace: "rescan"})
				require.NoError(t, err)
				defer db.Close()
				cur, _, err := db.Cursor(ctx, flow.Root)
				require.NoError(t, err)
				require.LessOrEqual(t, cur.Next, uint64(1), "an emptied journal is read from the beginning")
				return
			}
			require.NoError(t, err)
			cur, ok, err := b.db.Cursor(ctx, flow.Root)
			require.NoError(t, err)
			require.Equal(t, c.want > 0, ok)
			require.Equal(t, c.want, cur.Next)
			if c.want == height+1 {
				require.Equal(t, b.n.Hash(height), cur.Parent)
				require.Equal(t, map[uint64]string{1: "pending send"}, b.states())
				b.n.MineLogs(note(sent, 1)...)
				b.n.SetFinal(0)
				b.follow(b.n.Height())
				require.Equal(t, map[uint64]string{1: "pending await"}, b.states(), "the watcher goes on from there")
			}
		})
	}
}

func TestAForkAboveTheCursor(t *testing.T) {
	ctx := t.Context()
	b := &forkBridge{t: t, n: fake.NewNode(t, forkChain), alerts: alerts.New(slog.New(slog.DiscardHandler), time.Hour)}
	var err error
	b.db, err = store.Open(ctx, store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "above"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.db.Close() })

	// The watcher has read up to 20; a rescan beside it finds that 1 was sent in
	// block 40 and that 2 began there.
	b.n.MineN(9)
	b.n.MineLogs(note(beginTopic, 1)...)
	b.n.MineN(29)
	b.n.MineLogs(append(note(sent, 1), note(beginTopic, 2)...)...)
	b.n.PinFinal(20)
	b.connect()
	b.follow(20)
	b.n.PinFinal(40)
	b.connect()
	require.NoError(t, b.scan.all(ctx, b.db, RescanOptions{}))
	require.Equal(t, map[uint64]string{1: "pending await", 2: "pending send"}, b.states())

	// Both are gone before the watcher comes there.
	b.n.Reorg(1, true)
	b.n.MineN(5)
	b.n.SetFinal(0)
	b.connect()
	b.run(func() bool { return b.openAlert() != nil })
	f, ok, err := b.db.Forked(ctx, flow.Root)
	require.NoError(t, err)
	require.True(t, ok)
	cur, _, err := b.db.Cursor(ctx, flow.Root)
	require.NoError(t, err)
	require.LessOrEqual(t, f.From, cur.Next, "no block is left out when it is read again")
	require.Equal(t, map[uint64]string{1: "parked await", 2: "parked send"}, b.states())
	require.NoError(t, b.scan.acceptFork(ctx, b.db))
	require.Equal(t, map[uint64]string{1: "parked send", 2: "parked send"}, b.states())
	b.n.MineLogs(append(note(sent, 1), note(beginTopic, 2)...)...)
	b.follow(b.n.Height())
	require.NoError(t, b.db.Retry(ctx, idOf(1), "ann"))
	require.Equal(t, map[uint64]string{1: "pending await", 2: "pending send"}, b.states())
}
