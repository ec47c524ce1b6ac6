package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func hash(n uint64) common.Hash { return common.BigToHash(new(big.Int).SetUint64(n)) }

const chainID = 5

var (
	contract = common.Address{0xc0}
	begins   = common.Hash{0xb0}
	decides  = common.Hash{0xd0}
)

// chain is a source with one event list; it answers for at most width blocks.
type chain struct {
	head   uint64
	width  uint64
	events []chains.Event
	fork   uint64 // part of every hash
	mu     sync.Mutex
	err    map[string]error
	last   func(from, to uint64) uint64 // what it claims to have read
	alter  func([]chains.Event) []chains.Event
	asked  int
	forkAt uint64 // blocks below it are as before
	probes int
}

func (c *chain) block(n uint64) chains.Block {
	return chains.Block{Number: n, Hash: hash(c.fork + n), Parent: hash(c.fork + n - 1), Time: 1000 + n}
}

// fails is what a call ends with; heal makes it well while a watcher runs.
func (c *chain) fails(call string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err[call]
}

func (c *chain) heal(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.err, call)
}

func (c *chain) Head(context.Context) (chains.Block, error) {
	c.asked++
	return c.block(c.top()), c.fails("head")
}

// grow is for a watcher that runs.
func (c *chain) grow(head uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = head
}

func (c *chain) top() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

func (c *chain) At(_ context.Context, n uint64) (chains.Block, error) {
	c.probes++
	if n > c.top() {
		return chains.Block{}, chains.ErrUnavailable
	}
	if c.forkAt > 0 && n < c.forkAt {
		return chains.Block{Number: n, Hash: hash(n), Time: 1000 + n}, c.fails("at")
	}
	return c.block(n), c.fails("at")
}

func (c *chain) Events(_ context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	if err := c.fails("events"); err != nil {
		return chains.Block{}, nil, err
	}
	if q.From.Parent != (common.Hash{}) && q.From.Parent != c.block(q.From.Next).Parent {
		return chains.Block{}, nil, chains.ErrReorg
	}
	to := q.To
	if c.width > 0 {
		to = min(to, q.From.Next+c.width-1)
	}
	if c.last != nil {
		to = c.last(q.From.Next, to)
	}
	var out []chains.Event
	for _, e := range c.events {
		if e.Block >= q.From.Next && e.Block <= to {
			e.BlockHash = c.block(e.Block).Hash
			out = append(out, e)
		}
	}
	if c.alter != nil {
		out = c.alter(out)
	}
	return c.block(to), out, nil
}

func event(block uint64, index int, topic common.Hash) chains.Event {
	return chains.Event{
		Chain: chainID, Block: block, BlockTime: 1000 + block, Tx: hash(block*1000 + uint64(index)), Index: uint(index), Address: contract, Topics: []common.Hash{topic},
	}
}

// journal is a store that refuses a wrong cursor and can die before or after a
// write.
type journal struct {
	cursor *chains.Cursor
	writes []string
	jobs   map[common.Hash]int
	facts  []store.Fact
	fail   func(n int) (before, after error)
	calls  int
	err    map[string]error
	trail  []chains.Block
	fork   *store.Fork
}

func (j *journal) Forked(context.Context, string) (store.Fork, bool, error) {
	if j.fork == nil {
		return store.Fork{}, false, j.err["forked"]
	}
	return *j.fork, true, j.err["forked"]
}

func (j *journal) Trail(_ context.Context, _ string, from, to uint64) (out []chains.Block, _ error) {
	for _, b := range j.trail {
		if b.Number >= from && b.Number <= to {
			out = append(out, b)
		}
	}
	return out, j.err["trail"]
}

func (j *journal) Quarantine(_ context.Context, chain string, compared chains.Cursor, good chains.Block, why string) (store.Fork, error) {
	if j.err["quarantine"] != nil {
		return store.Fork{}, j.err["quarantine"]
	}
	if compared != *j.cursor {
		return store.Fork{}, store.ErrCursor
	}
	j.fork = &store.Fork{Chain: chain, Good: good, Why: why, Facts: 2, Transfers: 3}
	if good != (chains.Block{}) {
		j.fork.From = good.Number + 1
	}
	return *j.fork, nil
}

func newJournal(at uint64) *journal {
	c := chains.Cursor{Chain: chainID, Next: at}
	return &journal{cursor: &c, jobs: map[common.Hash]int{}, err: map[string]error{}}
}

func (j *journal) Cursor(context.Context, string) (chains.Cursor, bool, error) {
	if j.cursor == nil {
		return chains.Cursor{}, false, j.err["cursor"]
	}
	return *j.cursor, true, j.err["cursor"]
}

func (j *journal) InitCursor(_ context.Context, _ string, c chains.Cursor) error {
	if j.cursor == nil && j.err["init"] == nil {
		j.cursor = &c
	}
	return j.err["init"]
}

func (j *journal) Ingest(_ context.Context, _ string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	j.calls++
	var before, after error
	if j.fail != nil {
		before, after = j.fail(j.calls)
	}
	if before != nil {
		return before
	}
	if from != *j.cursor {
		return store.ErrCursor
	}
	j.cursor = &to
	if to.Next > from.Next {
		j.trail = append(j.trail, chains.Block{Number: to.Next - 1, Hash: to.Parent})
	}
	// As the store does: what is brought again is known by its id.
	for _, n := range jobs {
		j.jobs[n.Transfer.ID] = 1
	}
	j.facts = append(j.facts, facts...)
	j.writes = append(j.writes, fmt.Sprintf("%d-%d: %d jobs, %d facts", from.Next, to.Next-1, len(jobs), len(facts)))
	return after
}

func (j *journal) Backfill(context.Context, string, []store.NewJob, []store.Fact) (int, int, error) {
	return 0, 0, errors.New("[BUG] nothing is brought where nothing is caught up with")
}

// plain is a flow of one step: an event begins a transfer, another decides it.
func plain(name string) flow.Flow {
	return flow.Flow{
		Name: name, Chain: "root", Chains: []string{"root", "subnet"},
		Decode: func(e chains.Event) (tokens.Transfer, bool, error) {
			if e.Topics[0] != begins {
				return tokens.Transfer{}, false, nil
			}
			if len(e.Data) > 0 {
				return tokens.Transfer{}, false, errors.New("cannot be read")
			}
			return tokens.Transfer{ID: e.Tx, Route: name, Origin: e.ID()}, true, nil
		},
		Steps: []flow.Step{{
			Name: "step", Key: func(t tokens.Transfer) flow.Key { return flow.Key(t.ID.Hex()) },
			Effect: func(e chains.Event) (flow.Key, flow.Outcome, bool) {
				return flow.Key(fmt.Sprint(e.Block)), flow.Outcome{Kind: flow.Failed, Reason: flow.ReasonReturned}, e.Topics[0] == decides
			},
			Done: func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) { return nil, nil },
			Next: map[flow.Kind]string{flow.Ok: "done", flow.Failed: "credited"},
			Lane: func(t tokens.Transfer) flow.Lane { return flow.Lane{Name: "lane", Strict: true, Seq: 9} }, Poll: time.Minute,
		}},
	}
}

type bench struct {
	c      *chain
	j      *journal
	log    bytes.Buffer
	failed []error
	heads  []uint64
	told   []string
	change func(*watch.Config)
}

// A large amount that waits for its depth is no failure of the chain.
func TestAnEventThatMustLieDeeperIsWaitedForInPeace(t *testing.T) {
	b := &bench{c: &chain{head: 10, err: map[string]error{"events": fmt.Errorf("it waits: %w: %w", chains.ErrShallow, chains.ErrUnavailable)}}, j: newJournal(3)}
	b.run(t, time.Minute, nil)
	require.NotEmpty(t, b.failed)
	for _, err := range b.failed {
		require.NoError(t, err)
	}
	require.Equal(t, uint64(3), b.j.cursor.Next, "and nothing behind it is counted")
}

func (b *bench) config() watch.Config {
	cfg := watch.Config{
		Chain: "root", Source: b.c, Filter: chains.Filter{Addresses: []common.Address{contract}, Topics: []common.Hash{begins, decides}},
		Flows: []flow.Flow{plain("flow")}, Start: chains.Cursor{Chain: chainID, Next: 3}, Journal: b.j, Tick: time.Second,
		Log:    slog.New(slog.NewTextHandler(&b.log, nil)),
		Failed: func(err error) { b.failed = append(b.failed, err) },
		Head:   func(h chains.Block) { b.heads = append(b.heads, h.Number) },
		Ingested: func(jobs, facts int, last chains.Block) {
			b.told = append(b.told, fmt.Sprintf("%d %d up to %d %s", jobs, facts, last.Number, last.Hash.Hex()[60:]))
		},
	}
	if b.change != nil {
		b.change(&cfg)
	}
	return cfg
}

// run lets the watcher run for a while of made-up time.
func (b *bench) run(t *testing.T, d time.Duration, during func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, err := watch.New(b.config())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		if during != nil {
			during()
		}
		time.Sleep(d)
		synctest.Wait()
		cancel()
		require.NoError(t, <-ended, "it ends with its context, without an error")
	})
}

func TestTheCursorMovesWithEverythingReadBelowIt(t *testing.T) {
	b := &bench{c: &chain{head: 20, width: 7, events: []chains.Event{event(3, 0, begins), event(4, 0, decides), event(16, 1, begins), event(21, 0, begins)}}, j: newJournal(2)}
	b.run(t, 0, nil)
	require.Equal(t, []string{"2-8: 1 jobs, 1 facts", "9-15: 0 jobs, 0 facts", "16-20: 1 jobs, 0 facts"}, b.j.writes)
	require.Equal(t, chains.Cursor{Chain: chainID, Next: 21, Parent: hash(20)}, *b.j.cursor)
	require.Equal(t, []string{"1 1 up to 8 " + hash(8).Hex()[60:], "0 0 up to 15 " + hash(15).Hex()[60:], "1 0 up to 20 " + hash(20).Hex()[60:]}, b.told)
	require.Equal(t, []store.Fact{{
		Key: "4", Outcome: store.Failed, Reason: "returned", Chain: "root", Height: 4, BlockHash: hash(4), Tx: hash(4000), At: 1004,
	}}, b.j.facts)
	for _, err := range b.failed {
		require.NoError(t, err)
	}
}

func TestAChainNeverReadBeforeBeginsAtItsStart(t *testing.T) {
	b := &bench{c: &chain{head: 5}, j: &journal{jobs: map[common.Hash]int{}, err: map[string]error{}}}
	b.run(t, 0, nil)
	require.Equal(t, []string{"3-5: 0 jobs, 0 facts"}, b.j.writes)
}

func TestNothingIsReadWhileTheHeadIsBehindTheCursor(t *testing.T) {
	b := &bench{c: &chain{head: 8, err: map[string]error{}}, j: newJournal(9)}
	b.run(t, 10*time.Second, nil)
	require.Empty(t, b.j.writes)
	require.GreaterOrEqual(t, len(b.heads), 10)
	require.LessOrEqual(t, len(b.heads), 12, "one look per tick")
}

func TestManyEventsGoInInPartsOfWholeBlocksWhereTheyFit(t *testing.T) {
	b := &bench{c: &chain{head: 40}, j: newJournal(1)}
	for _, n := range []struct{ block, count int }{{2, 100}, {3, 200}, {4, 300}, {5, 1}, {9, 600}, {10, 1}} {
		for i := range n.count {
			b.c.events = append(b.c.events, event(uint64(n.block), i, begins))
		}
	}
	b.run(t, 0, nil)
	require.Equal(t, []string{
		"1-2: 100 jobs, 0 facts", "3-3: 200 jobs, 0 facts",
		"4-3: 256 jobs, 0 facts", "4-5: 45 jobs, 0 facts",
		"6-5: 256 jobs, 0 facts", "6-5: 256 jobs, 0 facts", "6-40: 89 jobs, 0 facts",
	}, b.j.writes, "the cursor moves past a block with the last part of it")
	require.Len(t, b.j.jobs, 1202)
}

func TestADeathBetweenOrAfterPartsLosesAndRepeatsNothing(t *testing.T) {
	for after := range 10 {
		for _, lost := range []bool{false, true} {
			b := &bench{c: &chain{head: 40}, j: newJournal(1)}
			// The third block takes four parts.
			for block, count := range []int{256, 256, 900, 256, 256} {
				for i := range count {
					b.c.events = append(b.c.events, event(uint64(block+2), i, begins))
				}
			}
			b.j.fail = func(n int) (error, error) {
				switch {
				case n != after:
					return nil, nil
				case lost:
					return nil, store.ErrDown // written, the reply lost
				}
				return store.ErrDown, nil
			}
			b.run(t, time.Minute, nil)
			require.Len(t, b.j.jobs, 4*256+900)
			require.Equal(t, uint64(41), b.j.cursor.Next)
		}
	}
}

func TestACursorMovedByAnotherInstanceIsReadAgain(t *testing.T) {
	b := &bench{c: &chain{head: 20, events: []chains.Event{event(5, 0, begins), event(15, 0, begins)}}, j: newJournal(1)}
	b.j.fail = func(n int) (error, error) {
		if n == 1 {
			b.j.cursor = &chains.Cursor{Chain: chainID, Next: 10, Parent: hash(9)} // it was faster
		}
		return nil, nil
	}
	b.run(t, time.Minute, nil)
	require.Equal(t, []string{"10-20: 1 jobs, 0 facts"}, b.j.writes)
	require.ErrorIs(t, b.failed[0], store.ErrCursor)
	require.NoError(t, b.failed[len(b.failed)-1])
}

func TestAnEventThatCannotBeReadHoldsTheCursorWhereItIs(t *testing.T) {
	bad := event(9, 0, begins)
	bad.Data = []byte{1}
	b := &bench{c: &chain{head: 20, width: 5, events: []chains.Event{event(2, 0, begins), event(8, 0, begins), bad}}, j: newJournal(1)}
	b.run(t, 5*time.Minute, nil)
	require.Equal(t, uint64(6), b.j.cursor.Next, "nothing of its range is written")
	require.Equal(t, []string{"1-5: 1 jobs, 0 facts"}, b.j.writes)
	last := b.failed[len(b.failed)-1]
	require.ErrorIs(t, last, watch.ErrHalted)
	require.ErrorContains(t, last, "flow flow, block 9, log 0: cannot be read")
	require.Greater(t, len(b.failed), 10, "it is tried again: an upgrade mends it")
	require.Less(t, len(b.failed), 300, "with growing pauses")

	b.c.events[2].Data = nil
	b.failed = nil
	b.run(t, 0, nil)
	require.Equal(t, uint64(21), b.j.cursor.Next)
	require.NoError(t, b.failed[len(b.failed)-1])
}

func TestADecoderThatPanicsHaltsItsChainOnly(t *testing.T) {
	b := &bench{c: &chain{head: 20, events: []chains.Event{event(2, 7, begins)}}, j: newJournal(1), change: func(c *watch.Config) {
		c.Flows[0].Decode = func(e chains.Event) (tokens.Transfer, bool, error) { return tokens.Transfer{}, e.Data[3] == 1, nil }
	}}
	b.run(t, time.Second, nil)
	require.ErrorIs(t, b.failed[0], watch.ErrHalted)
	require.ErrorContains(t, b.failed[0], "[BUG] block 2, log 7: runtime error: index out of range")
	require.Empty(t, b.j.writes)
}

func TestASourceThatAnswersNonsenseIsNotBelieved(t *testing.T) {
	two := []chains.Event{event(5, 0, begins), event(6, 0, begins)}
	for name, break_ := range map[string]func(*chain){
		"behind the cursor": func(c *chain) { c.last = func(from, _ uint64) uint64 { return from - 1 } },
		"past the head":     func(c *chain) { c.last = func(_, to uint64) uint64 { return to + 1 } },
		"out of order": func(c *chain) {
			c.alter = func(e []chains.Event) []chains.Event { return []chains.Event{e[1], e[0]} }
		},
		"before the range": func(c *chain) {
			c.alter = func(e []chains.Event) []chains.Event { return append([]chains.Event{event(1, 0, begins)}, e...) }
		},
		"behind the range": func(c *chain) {
			c.alter = func(e []chains.Event) []chains.Event { return append(e, event(99, 0, begins)) }
		},
		"of another chain": func(c *chain) {
			c.alter = func(e []chains.Event) []chains.Event { e[0].Chain = 6; return e }
		},
	} {
		b := &bench{c: &chain{head: 20, events: two}, j: newJournal(4)}
		break_(b.c)
		b.run(t, 10*time.Second, nil)
		require.Empty(t, b.j.writes, name)
		require.ErrorContains(t, b.failed[0], "[BUG]", name)
	}
}

func TestFailuresAreToldOnceEachAndRetriedWithPauses(t *testing.T) {
	for _, at := range []string{"head", "events", "cursor", "init"} {
		b := &bench{c: &chain{head: 20, err: map[string]error{}}, j: newJournal(1)}
		if at == "init" {
			b.j.cursor = nil
		}
		b.c.err[at], b.j.err[at] = chains.ErrUnavailable, chains.ErrUnavailable
		b.run(t, 10*time.Minute, nil)
		require.Empty(t, b.j.writes)
		require.ErrorIs(t, b.failed[0], chains.ErrUnavailable)
		require.Greater(t, len(b.failed), 15, at)
		require.Less(t, len(b.failed), 250, "%s: pauses grow to half a minute or so", at)
		require.Equal(t, len(b.failed), strings.Count(b.log.String(), "will retry"))
	}
}

func TestAfterAFailureTheWatcherCatchesUp(t *testing.T) {
	b := &bench{c: &chain{head: 20, err: map[string]error{"head": chains.ErrUnavailable}, events: []chains.Event{event(5, 0, begins)}}, j: newJournal(1)}
	b.run(t, time.Minute, func() {
		time.Sleep(time.Minute)
		synctest.Wait()
		b.c.heal("head")
	})
	require.Len(t, b.j.jobs, 1)
	require.NoError(t, b.failed[len(b.failed)-1])
}

func TestWhateverHappensEveryEventGoesInExactlyOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &chain{width: rapid.Uint64Range(1, 9).Draw(rt, "width"), err: map[string]error{}}
		j := newJournal(1)
		top := rapid.Uint64Range(1, 60).Draw(rt, "top")
		for n := uint64(1); n <= top; n++ {
			count := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 300}).Draw(rt, "events")
			for i := range count {
				c.events = append(c.events, event(n, i, begins))
			}
		}
		trouble := func(name string) error {
			return rapid.SampledFrom([]error{nil, nil, nil, chains.ErrUnavailable}).Draw(rt, name)
		}
		quiet := false
		j.fail = func(int) (error, error) {
			if quiet {
				return nil, nil
			}
			return trouble("before"), trouble("after")
		}
		b := &bench{c: c, j: j}
		w, err := watch.New(b.config())
		require.NoError(rt, err)
		for range rapid.IntRange(1, 12).Draw(rt, "looks") {
			c.head = max(c.head, rapid.Uint64Range(0, top).Draw(rt, "head"))
			c.err["head"], c.err["events"] = trouble("head fails"), trouble("events fail")
			_, _ = watch.Step(w, context.Background())
		}
		quiet, c.head, c.err = true, top, map[string]error{}
		for more := true; more; {
			more, err = watch.Step(w, context.Background())
			require.NoError(rt, err)
		}
		require.Len(rt, j.jobs, len(c.events))
		for _, n := range j.jobs {
			require.Equal(rt, 1, n)
		}
	})
}

func TestOneEventIsOneFactPerKey(t *testing.T) {
	jobs, facts, err := watch.Translate("root", []flow.Flow{plain("a"), plain("b")}, []chains.Event{event(4, 0, decides), event(4, 1, decides), event(5, 0, begins)})
	require.NoError(t, err)
	require.Len(t, facts, 2, "two flows with one key share the fact; two events are two")
	require.Len(t, jobs, 2)

	shared := plain("b")
	shared.Steps[0].Shared = true
	_, facts, err = watch.Translate("root", []flow.Flow{shared}, []chains.Event{event(4, 0, decides)})
	require.NoError(t, err)
	require.True(t, facts[0].Shared)
	_, _, err = watch.Translate("root", []flow.Flow{plain("a"), shared}, []chains.Event{event(4, 0, decides)})
	require.ErrorContains(t, err, "in two ways", "a key is shared or it is not")

	other := plain("b")
	other.Steps[0].Effect = func(e chains.Event) (flow.Key, flow.Outcome, bool) {
		return flow.Key(fmt.Sprint(e.Block)), flow.Outcome{Kind: flow.Ok}, e.Topics[0] == decides
	}
	_, _, err = watch.Translate("root", []flow.Flow{plain("a"), other}, []chains.Event{event(4, 0, decides)})
	require.ErrorIs(t, err, watch.ErrHalted)
	require.ErrorContains(t, err, "[BUG] block 4, log 0 decides 4 in two ways")
}

func TestOnlyTheFlowsOwnChainBeginsATransferAnyDecides(t *testing.T) {
	jobs, facts, err := watch.Translate("subnet", []flow.Flow{plain("a")}, []chains.Event{event(4, 0, decides), event(5, 0, begins)})
	require.NoError(t, err)
	require.Empty(t, jobs)
	require.Len(t, facts, 1)
	require.Equal(t, "subnet", facts[0].Chain)
}

func TestAPlanIsTheFlowAsData(t *testing.T) {
	f := plain("a")
	f.Steps = append(f.Steps, f.Steps[0])
	f.Steps[1].Name = "two"
	f.Steps[1].Do = func(context.Context, flow.Batch) ([]error, error) { return nil, nil }
	f.Steps[0].Next = map[flow.Kind]string{flow.Ok: "two", flow.Superseded: "refunded"}
	x := tokens.Transfer{ID: hash(3)}
	f.Steps[0].Shared = true
	require.Equal(t, store.NewJob{Transfer: x, Chain: "root", Steps: []store.StepPlan{
		{Name: "step", Lane: "lane", Strict: true, Seq: 9, Key: hash(3).Hex(), Poll: time.Minute, Wait: true, Shared: true, Chains: []string{"root", "subnet"}, Next: map[store.Outcome]string{store.OK: "two", store.Superseded: "refunded"}},
		{Name: "two", Lane: "lane", Strict: true, Seq: 9, Key: hash(3).Hex(), Poll: time.Minute, Chains: []string{"root", "subnet"}, Next: map[store.Outcome]string{store.OK: "done", store.Failed: "credited"}},
	}}, watch.Plan(f, x))
}

func TestAWatcherWithoutPartsIsRefused(t *testing.T) {
	for name, change := range map[string]func(*watch.Config){
		"chain": func(c *watch.Config) { c.Chain = "" }, "source": func(c *watch.Config) { c.Source = nil },
		"journal": func(c *watch.Config) { c.Journal = nil }, "log": func(c *watch.Config) { c.Log = nil },
		"addresses": func(c *watch.Config) { c.Filter.Addresses = nil }, "topics": func(c *watch.Config) { c.Filter.Topics = nil },
		"tick": func(c *watch.Config) { c.Tick = 0 }, "flow": func(c *watch.Config) { c.Flows[0].Steps[0].Done = nil },
	} {
		b := &bench{c: &chain{}, j: newJournal(1), change: change}
		_, err := watch.New(b.config())
		require.Error(t, err, name)
	}
}
