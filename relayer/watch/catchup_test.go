package watch_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// long is a chain that a watcher is far behind of, and its journal.
type long struct {
	t       *testing.T
	n       *fake.Node
	db      *store.DB
	began   int
	change  func(*watch.Config)
	journal watch.Journal

	mu     sync.Mutex
	failed []error
	told   []watch.Progress
}

const stretchOf = 70 // more than a source reads header by header

func newLong(t *testing.T) *long {
	l := &long{t: t, n: fake.NewNode(t, chainID)}
	var err error
	l.db, err = store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "long"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.db.Close() })
	l.journal = l.db
	l.n.SetFinal(0)
	return l
}

// begin mines a block in which the next transfer begins.
func (l *long) begin() uint64 {
	h := l.n.MineLogs(numbered(begins, uint64(l.began)))
	l.began++
	return h
}

func numbered(topic common.Hash, n uint64) *types.Log {
	return fake.Log(contract, topic, binary.BigEndian.AppendUint64(nil, n))
}

// mine adds blocks; a transfer begins in every tenth, and some heights have none.
func (l *long) mine(blocks int) {
	for i := range blocks {
		switch {
		case i%10 == 3:
			l.begin()
		case i%stretchOf == 0 || i%stretchOf == 1 || i%23 == 0:
			l.n.MineNull()
		default:
			l.n.Mine()
		}
	}
	l.n.Mine()
}

func (l *long) dial() *evm.Client {
	c, err := evm.Dial(l.t.Context(), evm.Config{Name: "root", URL: l.n.URL(), ChainID: chainID, Timeout: time.Minute, MaxRange: stretchOf}, slog.New(slog.DiscardHandler))
	require.NoError(l.t, err)
	l.t.Cleanup(c.Close)
	return c
}

func (l *long) watcher(src watch.Chain) *watch.Watcher {
	cfg := watch.Config{
		Chain: "root", Source: src, Filter: chains.Filter{Addresses: []common.Address{contract}, Topics: []common.Hash{begins, decides}},
		Flows: []flow.Flow{counted()}, Start: chains.Cursor{Chain: chainID, Next: 1}, Journal: l.journal, Tick: time.Millisecond,
		Log: slog.New(slog.DiscardHandler), Stretch: stretchOf, Ahead: 3,
		Failed: func(err error) { l.mu.Lock(); l.failed = append(l.failed, err); l.mu.Unlock() },
		Progress: func(p *watch.Progress) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if p == nil {
				p = &watch.Progress{}
			}
			l.told = append(l.told, *p)
		},
	}
	if l.change != nil {
		l.change(&cfg)
	}
	w, err := watch.New(cfg)
	require.NoError(l.t, err)
	return w
}

// run lets a watcher run until something is so.
func (l *long) run(src watch.Chain, until func() bool) {
	l.t.Helper()
	w := l.watcher(src)
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	defer func() { cancel(); <-done }()
	require.Eventually(l.t, until, time.Minute, time.Millisecond)
}

func (l *long) cursor() chains.Cursor {
	c, _, err := l.db.Cursor(l.t.Context(), "root")
	require.NoError(l.t, err)
	return c
}

func (l *long) caughtUp() bool { return l.cursor().Next > l.n.Height() }

// whole says that every transfer is in the journal, once, and that nothing is
// wrong with it.
func (l *long) whole() {
	l.t.Helper()
	require.Equal(l.t, l.n.Hash(l.n.Height()), l.cursor().Parent)
	stats, err := l.db.Stats(l.t.Context())
	require.NoError(l.t, err)
	n := 0
	for _, c := range stats.Counts {
		n += c.N
	}
	require.Equal(l.t, l.began, n)
	for i := range l.began {
		require.True(l.t, l.has(i), "transfer %d", i)
	}
	repairs, err := l.db.Audit(l.t.Context())
	require.NoError(l.t, err)
	require.Zero(l.t, repairs)
}

func (l *long) has(n int) bool {
	_, ok, err := l.db.Get(l.t.Context(), hash(1+uint64(n)))
	require.NoError(l.t, err)
	return ok
}

func (l *long) failures() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.failed...)
}

// altered is a source that a test looks into, or lies through.
type altered struct {
	watch.Chain
	events func(ctx context.Context, q chains.Query) error
	at     func(chains.Block) chains.Block
}

func (a altered) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	if a.events != nil {
		if err := a.events(ctx, q); err != nil {
			return chains.Block{}, nil, err
		}
	}
	return a.Chain.Events(ctx, q)
}

func (a altered) At(ctx context.Context, n uint64) (chains.Block, error) {
	b, err := a.Chain.At(ctx, n)
	if a.at != nil {
		b = a.at(b)
	}
	return b, err
}

// strictly is a journal that no gap and no step back passes through.
type strictly struct {
	*store.DB
	next *atomic.Uint64
}

func (s strictly) Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	if n := s.next.Load(); n != 0 && n != from.Next {
		return fmt.Errorf("[BUG] written from %d on, after %d", from.Next, n)
	}
	s.next.Store(to.Next)
	return s.DB.Ingest(ctx, chain, from, to, jobs, facts)
}

func TestFarBehindStretchesAreReadAtOnceAndWrittenInOrder(t *testing.T) {
	l := newLong(t)
	l.mine(12 * stretchOf)
	l.journal = strictly{l.db, new(atomic.Uint64)}
	// The first stretch is answered only when another one is asked for too.
	var once sync.Once
	second := make(chan struct{})
	src := altered{Chain: l.dial(), events: func(ctx context.Context, q chains.Query) error {
		switch {
		case q.From.Next > 1 && q.From.Next < 5*stretchOf:
			once.Do(func() { close(second) })
		case q.From.Next == 1:
			select {
			case <-second:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	l.run(src, l.caughtUp)
	l.whole()
	for _, err := range l.failures() {
		require.NoError(t, err)
	}
	require.Greater(t, len(l.told), 5)
	require.Equal(t, watch.Progress{From: 1, To: l.told[0].To}, l.told[0])
	require.Zero(t, l.told[len(l.told)-1], "its end is told")
	last := l.told[len(l.told)-2]
	require.Equal(t, l.told[0].To, last.At)
	require.Zero(t, last.Left)
	require.Positive(t, last.Rate)
}

func TestANewTransferDoesNotWaitForTheBackfill(t *testing.T) {
	l := newLong(t)
	l.mine(6 * stretchOf)
	top := l.n.Height()
	held := make(chan struct{})
	src := altered{Chain: l.dial(), events: func(ctx context.Context, q chains.Query) error {
		if q.From.Next <= top-stretchOf-2 {
			select {
			case <-held:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	var brought atomic.Int64
	l.change = func(c *watch.Config) { c.Brought = func(created, _ int) { brought.Add(int64(created)) } }
	newest := l.began
	mined := false
	l.run(src, func() bool {
		if !mined {
			// One that was there, then one that comes meanwhile.
			if mined = l.has(newest - 1); mined {
				l.begin()
				l.n.MineLogs(numbered(decides, uint64(newest)))
			}
			return false
		}
		j, ok, err := l.db.Get(t.Context(), hash(1+uint64(newest)))
		return err == nil && ok && j.Status == tokens.Done
	})
	require.Equal(t, uint64(1), l.cursor().Next, "the cursor waits for the backfill")
	require.False(t, l.has(0))
	require.Positive(t, brought.Load())
	close(held)
	l.run(l.dial(), l.caughtUp)
	l.whole()
}

// Shared keys give the oldest fact to the oldest transfer: who came before must
// be known first.
func TestWhatSharesAKeyIsLeftToTheBackfill(t *testing.T) {
	for _, shared := range []bool{false, true} {
		l := newLong(t)
		l.mine(6 * stretchOf)
		l.n.MineLogs(numbered(decides, 0))
		top := l.n.Height()
		src := altered{Chain: l.dial(), events: func(ctx context.Context, q chains.Query) error {
			if q.From.Next <= top-stretchOf-2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		seen := &seeing{DB: l.db}
		l.journal = seen
		l.change = func(c *watch.Config) { c.Flows[0].Steps[0].Shared = shared }
		l.run(src, func() bool { return seen.calls.Load() > 1 })
		require.Equal(t, shared, seen.jobs.Load() == 0)
		require.Equal(t, shared, seen.facts.Load() == 0)
	}
}

// seeing counts what is brought.
type seeing struct {
	*store.DB
	calls, jobs, facts atomic.Int64
}

func (s *seeing) Backfill(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (int, int, error) {
	s.jobs.Add(int64(len(jobs)))
	s.facts.Add(int64(len(facts)))
	defer s.calls.Add(1)
	return s.DB.Backfill(ctx, chain, jobs, facts)
}

func TestADeathInTheMiddleOfACatchUpLosesAndRepeatsNothing(t *testing.T) {
	l := newLong(t)
	l.mine(10 * stretchOf)
	for lives := 0; !l.caughtUp(); lives++ {
		require.Less(t, lives, 100)
		j := &dying{DB: l.db, left: 1 + lives%3}
		l.journal = j
		w := l.watcher(l.dial())
		var err error
		for range 10 {
			if _, err = watch.Step(w, t.Context()); err != nil {
				break
			}
		}
		if err != nil {
			require.ErrorIs(t, err, store.ErrDown)
		}
	}
	l.whole()
}

func TestAStretchThatDoesNotFollowTheCursorIsReadAgain(t *testing.T) {
	l := newLong(t)
	l.mine(8 * stretchOf)
	var lies, wrong atomic.Int64
	src := altered{Chain: l.dial(), at: func(b chains.Block) chains.Block {
		if lies.Add(1)%3 == 0 {
			wrong.Add(1)
			b.Number, b.Hash = b.Number-min(b.Number, 1), common.Hash{9}
		}
		return b
	}}
	l.journal = strictly{l.db, new(atomic.Uint64)}
	l.run(src, l.caughtUp)
	l.whole()
	require.Positive(t, wrong.Load())
	for _, err := range l.failed {
		require.NoError(t, err, "a block that nobody has recorded says nothing of the chain, in either lane")
	}
}

func TestAForkThatEitherLaneFindsStopsBoth(t *testing.T) {
	for _, finder := range []string{"backfill", "live"} {
		t.Run(finder, func(t *testing.T) {
			l := newLong(t)
			l.mine(8 * stretchOf)
			top := l.n.Height()
			var moved atomic.Bool
			// The chain changes when the cursor has come some way, and where the live
			// lane is to find it, no older block is read any more.
			src := altered{Chain: l.dial(), events: func(ctx context.Context, q chains.Query) error {
				old := q.From.Next > 3*stretchOf && q.From.Next < top-stretchOf-2
				if finder == "live" && old {
					<-ctx.Done()
					return ctx.Err()
				}
				if finder == "backfill" && old {
					for !moved.Load() && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
				}
				return nil
			}}
			w := l.watcher(src)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				var fork *watch.ForkError
				for ctx.Err() == nil {
					// While the chain changes its answers contradict each other.
					if _, err := watch.Step(w, ctx); errors.As(err, &fork) {
						ended <- err
						return
					}
				}
			}()
			// Its first stretches are written, and the newest transfer is known.
			require.Eventually(t, func() bool { return l.cursor().Next > stretchOf && l.has(l.began-1) }, time.Minute, time.Millisecond)
			depth := stretchOf / 2
			if finder == "backfill" {
				depth = int(top - stretchOf/2) // below the cursor
			}
			l.n.Reorg(depth, true)
			for range depth + 5 {
				l.n.Mine()
			}
			moved.Store(true)
			var fork *watch.ForkError
			require.ErrorAs(t, <-ended, &fork)
			recorded, ok, err := l.db.Forked(t.Context(), "root")
			require.NoError(t, err)
			require.True(t, ok)
			require.LessOrEqual(t, recorded.From, l.cursor().Next, "no block is left out when it is read again")
			require.Positive(t, recorded.Transfers)
		})
	}
}

func TestBeyondWhatTheEndpointKeepsTheWatcherHaltsAndSaysWhatToDo(t *testing.T) {
	for _, blocks := range []int{20, 6 * stretchOf} {
		l := newLong(t)
		l.mine(blocks)
		src := altered{Chain: l.dial(), events: func(_ context.Context, q chains.Query) error {
			if q.From.Next < 15 {
				return fmt.Errorf("root eth_getLogs: %w: %w", chains.ErrPruned, chains.ErrUnavailable)
			}
			return nil
		}}
		var err error
		l.run(src, func() bool {
			err = errors.Join(l.failures()...)
			return err != nil
		})
		require.ErrorIs(t, err, watch.ErrHalted)
		require.ErrorIs(t, err, chains.ErrPruned)
		require.ErrorContains(t, err, "root is to be read from block 1 on, which its endpoint no longer keeps: give it one with the whole history")
		require.Equal(t, uint64(1), l.cursor().Next, "nothing is skipped")
		l.run(l.dial(), l.caughtUp)
		l.whole()
	}
}

func TestStretchesGetShorterWhereTheyHoldMuchAndLongerAgain(t *testing.T) {
	w := newLong(t).watcher(&chain{})
	require.Equal(t, uint64(stretchOf), watch.Resized(w, stretchOf, 0, nil), "never longer than what is configured")
	require.Equal(t, uint64(stretchOf), watch.Resized(w, stretchOf, 1_000_000, nil), "never shorter than the least")
	l := newLong(t)
	l.change = func(c *watch.Config) { c.Stretch = 2000 }
	w = l.watcher(&chain{})
	require.Equal(t, uint64(1000), watch.Resized(w, 2000, 3000, nil))
	require.Equal(t, uint64(500), watch.Resized(w, 1000, 0, chains.ErrUnavailable))
	require.Equal(t, uint64(128), watch.Resized(w, 130, 0, chains.ErrUnavailable))
	require.Equal(t, uint64(626), watch.Resized(w, 500, 10, nil))
	require.Equal(t, uint64(500), watch.Resized(w, 500, 1000, nil))
}
