package work_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/work"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func hash(n int) common.Hash { return common.BigToHash(big.NewInt(int64(n))) }

// queue is a store of one lane at a time: leases are given in order, verdicts
// are kept.
type queue struct {
	mu       sync.Mutex
	leases   []store.Lease
	life     time.Duration
	settled  [][]store.Verdict
	handed   int // given back without a verdict
	extended int
	claimErr error
	extend   func(n int) error
	settle   func() error
	claims   int
	woken    []common.Hash
}

func (q *queue) Claim(_ context.Context, worker string, max int) (store.Lease, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	if q.claimErr != nil {
		return store.Lease{}, false, q.claimErr
	}
	if len(q.leases) == 0 {
		return store.Lease{}, false, nil
	}
	l := q.leases[0]
	q.leases = q.leases[1:]
	l.Worker, l.Until = worker, time.Now().Add(q.life)
	l.Jobs = l.Jobs[:min(max, len(l.Jobs))]
	return l, true, nil
}

func (q *queue) Extend(_ context.Context, l store.Lease) (store.Lease, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.extended++
	if q.extend != nil {
		if err := q.extend(q.extended); err != nil {
			return l, err
		}
	}
	l.Until = time.Now().Add(q.life)
	return l, nil
}

func (q *queue) Wake(_ context.Context, id common.Hash) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.woken = append(q.woken, id)
	return nil
}

func (q *queue) Settle(_ context.Context, l store.Lease, v []store.Verdict) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settle != nil {
		if err := q.settle(); err != nil {
			return err
		}
	}
	if v == nil && len(l.Jobs) > 0 {
		q.handed++
		return nil
	}
	q.settled = append(q.settled, v)
	return nil
}

// handler is the one step of the one flow of a test.
type handler struct {
	done func(ctx context.Context, ts []tokens.Transfer) ([]flow.Outcome, error)
	do   func(ctx context.Context, b flow.Batch) ([]error, error)
	did  [][]common.Hash
}

const poll = 7 * time.Second

func (h *handler) flow() flow.Flow {
	step := flow.Step{
		Name: "step", Key: func(tokens.Transfer) flow.Key { return "k" },
		Effect: func(chains.Event) (flow.Key, flow.Outcome, bool) { return "", flow.Outcome{}, false },
		Done:   h.done, Next: map[flow.Kind]string{flow.Ok: "done", flow.Failed: "credited"},
		Lane: func(tokens.Transfer) flow.Lane { return flow.Lane{Name: "lane"} }, Poll: poll,
	}
	if h.do != nil {
		step.Do = func(ctx context.Context, b flow.Batch) ([]error, error) {
			var ids []common.Hash
			for _, t := range b.Transfers {
				ids = append(ids, t.ID)
			}
			h.did = append(h.did, ids)
			return h.do(ctx, b)
		}
	}
	return flow.Flow{
		Name: "flow", Chain: "root", Chains: []string{"root"}, Steps: []flow.Step{step},
		Decode: func(chains.Event) (tokens.Transfer, bool, error) { return tokens.Transfer{}, false, nil },
	}
}

func says(kinds ...flow.Kind) func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) {
	return func(_ context.Context, ts []tokens.Transfer) (out []flow.Outcome, err error) {
		for i := range ts {
			out = append(out, flow.Outcome{Kind: kinds[i%len(kinds)]})
		}
		return out, nil
	}
}

func does(err error) func(context.Context, flow.Batch) ([]error, error) {
	return func(_ context.Context, b flow.Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		for i := range out {
			out[i] = err
		}
		return out, nil
	}
}

func lease(strict bool, attempts int, n int) store.Lease {
	l := store.Lease{Fence: chains.Fence{Lane: "lane", Epoch: 3, Counter: 4}, Step: "step"}
	for i := range n {
		l.Jobs = append(l.Jobs, store.Job{
			Transfer: tokens.Transfer{ID: hash(i + 1), Route: "flow", Nonce: uint64(i)}, Step: "step", Lane: "lane",
			Strict: strict, Seq: uint64(i), Attempts: attempts, Status: tokens.Pending,
		})
	}
	return l
}

type run struct {
	q        *queue
	h        *handler
	log      bytes.Buffer
	troubles []work.Trouble
	looked   int
	workers  int
	pool     *work.Pool
}

// until runs a pool in a bubble until the queue is empty and everything waits.
func (r *run) until(t *testing.T, more func(cancel context.CancelFunc)) {
	t.Helper()
	if r.q.life == 0 {
		r.q.life = 30 * time.Second
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := work.New(work.Config{
			Queue: r.q, Flows: []flow.Flow{r.h.flow()}, Instance: "me", Workers: max(1, r.workers), Batch: 256, Idle: time.Second, LookTime: 30 * time.Second,
			Log: slog.New(slog.NewTextHandler(&r.log, nil)), Looked: func(string, string, []store.Verdict, time.Duration) { r.looked++ },
			Trouble: func(x work.Trouble) { r.troubles = append(r.troubles, x) },
		})
		require.NoError(t, err)
		r.pool = p
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		if more != nil {
			more(cancel)
		}
		cancel()
		require.NoError(t, <-ended)
	})
}

// one is the verdicts of one look.
func (r *run) one(t *testing.T, l store.Lease) []store.Verdict {
	t.Helper()
	if r.q == nil {
		r.q = &queue{}
	}
	r.q.leases = []store.Lease{l}
	r.until(t, nil)
	require.Len(t, r.q.settled, 1)
	out := r.q.settled[0]
	slices.SortFunc(out, func(a, b store.Verdict) int { return a.ID.Cmp(b.ID) })
	return out
}

func TestWhatIsDecidedAdvancesAndNothingElseDoes(t *testing.T) {
	h := &handler{done: func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) {
		return []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Failed, Reason: flow.ReasonPayoutRefused}, {Kind: flow.Superseded}, {}, {Kind: flow.Kind(77)}}, nil
	}}
	v := (&run{h: h}).one(t, lease(false, 0, 5))
	require.Equal(t, []store.Verdict{
		{ID: hash(1), Step: "step", Advance: store.OK}, {ID: hash(2), Step: "step", Advance: store.Failed, Reason: "payout_refused"},
		{ID: hash(3), Step: "step", Advance: store.Superseded}, {ID: hash(4), Step: "step", RetryAt: poll}, {ID: hash(5), Step: "step", RetryAt: poll},
	}, v)
}

func TestDoRunsOnlyForADefiniteNotYet(t *testing.T) {
	kinds := []flow.Kind{flow.Ok, flow.Pending, flow.Unknown, flow.Pending, flow.Failed}
	for strict, did := range map[bool][]common.Hash{false: {hash(2), hash(4)}, true: {hash(2)}} {
		h := &handler{done: says(kinds...), do: does(nil)}
		v := (&run{h: h}).one(t, lease(strict, 0, 5))
		require.Equal(t, [][]common.Hash{did}, h.did, "in a strict lane nothing behind an unknown one moves")
		waits := []int{2, 3, 4}
		if strict {
			waits = waits[:1] // those behind it go back as they came
		}
		require.Len(t, v, len(waits)+2)
		for i, id := range waits {
			require.Equal(t, store.Verdict{ID: hash(id), Step: "step", RetryAt: poll}, v[i+1])
		}
	}
	h := &handler{done: says(flow.Unknown, flow.Pending), do: does(nil)}
	(&run{h: h}).one(t, lease(true, 0, 4))
	require.Empty(t, h.did)
}

func TestDoIsToldWhatRidesInWhichTransaction(t *testing.T) {
	var rides []string
	h := &handler{done: says(flow.Ok, flow.Pending, flow.Pending), do: func(_ context.Context, b flow.Batch) ([]error, error) {
		rides = b.Rides
		return make([]error, len(b.Transfers)), nil
	}}
	l := lease(false, 0, 3)
	l.Jobs[0].Intent, l.Jobs[2].Intent = "decided", "under way"
	(&run{h: h}).one(t, l)
	require.Equal(t, []string{"", "under way"}, rides)
}

func TestAChainThatDoesNotAnswerIsAskedAgainAndNothingIsDone(t *testing.T) {
	for name, done := range map[string]func(context.Context, []tokens.Transfer) ([]flow.Outcome, error){
		"an error":        func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) { return nil, chains.ErrUnavailable },
		"too few answers": func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) { return make([]flow.Outcome, 1), nil },
		"too many":        func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) { return make([]flow.Outcome, 9), nil },
	} {
		h := &handler{done: done, do: does(nil)}
		for _, v := range (&run{h: h}).one(t, lease(false, 0, 3)) {
			require.True(t, v.CountAttempt, name)
			require.Empty(t, v.Advance)
			require.False(t, v.Park)
			require.Contains(t, v.Cause, "ask the chain")
			require.Positive(t, v.RetryAt)
		}
		require.Empty(t, h.did)
	}
}

func TestAWrongNumberOfResultsIsABugForEach(t *testing.T) {
	h := &handler{done: says(flow.Pending), do: func(context.Context, flow.Batch) ([]error, error) { return make([]error, 1), nil }}
	for _, v := range (&run{h: h}).one(t, lease(false, 0, 3)) {
		require.Contains(t, v.Cause, "[BUG] 1 results for 3 transfers")
		require.True(t, v.CountAttempt)
	}
}

func TestWhatAnErrorOfDoMeans(t *testing.T) {
	revert := &chains.RevertError{Data: []byte{1, 2, 3, 4}}
	park := flow.Park(flow.ReasonBatchMismatch, errors.New("roots differ"))
	for name, c := range map[string]struct {
		err            error
		attempts       int
		counts         bool
		parks, troubls bool // in a loose lane
		calls          bool // trouble in a strict one
		reason         string
	}{
		"nothing":              {nil, 9, false, false, false, false, ""},
		"not yet":              {fmt.Errorf("x: %w", flow.ErrNotYet), 9, false, false, false, false, ""},
		"busy":                 {chains.ErrBusy, 9, false, false, false, false, ""},
		"stale":                {chains.ErrStale, 9, false, false, false, false, ""},
		"passing":              {chains.ErrUnavailable, 0, true, false, false, false, ""},
		"passing for long":     {chains.ErrUnavailable, 99, true, false, false, true, ""},
		"a revert":             {revert, 0, true, false, false, false, ""},
		"the fourth revert":    {revert, 3, true, false, false, false, ""},
		"the fifth revert":     {revert, 4, true, true, true, true, "rejected"},
		"what no retry mends":  {park, 0, true, true, true, false, "batch_mismatch"},
		"the same, for long":   {park, 9, true, true, true, true, "batch_mismatch"},
		"no money for gas":     {fmt.Errorf("send: %w", chains.ErrFunds), 0, true, false, false, false, "insufficient_fund"},
		"none for long":        {fmt.Errorf("send: %w", chains.ErrFunds), 9, true, false, false, true, "insufficient_fund"},
		"a revert not yet one": {fmt.Errorf("%w: %w", flow.ErrNotYet, revert), 9, false, false, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			loose := &run{h: &handler{done: says(flow.Pending), do: does(c.err)}}
			v := loose.one(t, lease(false, c.attempts, 1))[0]
			require.Equal(t, c.parks, v.Park)
			require.Equal(t, c.counts && !c.parks, v.CountAttempt)
			require.Equal(t, c.reason, v.Reason)
			require.Equal(t, c.troubls, len(loose.troubles) == 1)
			require.Empty(t, v.Advance)

			strict := &run{h: &handler{done: says(flow.Pending), do: does(c.err)}}
			v = strict.one(t, lease(true, c.attempts, 1))[0]
			require.False(t, v.Park, "an ordered lane never parks its head")
			require.Equal(t, c.reason, v.Reason, "it shows what it waits for")
			require.Equal(t, c.counts, v.CountAttempt)
			require.Positive(t, v.RetryAt)
			require.Equal(t, c.calls, len(strict.troubles) == 1)
			if !c.counts {
				require.LessOrEqual(t, v.RetryAt, poll)
			}
			if c.calls {
				x := strict.troubles[0]
				require.Equal(t, []any{"flow", "step", "lane", hash(1), false, c.attempts + 1}, []any{x.Flow, x.Step, x.Lane, x.Transfer, x.Parked, x.Attempts})
				require.ErrorIs(t, x.Err, c.err)
			}
		})
	}
}

func TestPausesGrowWithFullJitterUpToAMinute(t *testing.T) {
	r := &run{q: &queue{}, h: &handler{done: says(flow.Pending), do: does(errors.New("no"))}}
	for attempts := range 20 {
		for range 40 {
			r.q.leases = append(r.q.leases, lease(true, attempts, 1))
		}
	}
	r.until(t, nil)
	require.Len(t, r.q.settled, 800)
	for attempts := range 20 {
		bound := min(time.Minute, time.Second<<min(attempts, 10))
		low, high := false, false
		for _, v := range r.q.settled[attempts*40 : attempts*40+40] {
			at := v[0].RetryAt
			require.GreaterOrEqual(t, at, 10*time.Millisecond)
			require.LessOrEqual(t, at, bound+time.Millisecond, "attempt %d", attempts)
			low, high = low || at < bound*2/3, high || at > bound/3
		}
		require.True(t, low && high, "attempt %d: the pauses are spread over all of it", attempts)
	}
}

func TestAChainThatWasAwayIsAskedAgainWithinSeconds(t *testing.T) {
	r := &run{q: &queue{}, h: &handler{done: says(flow.Pending), do: does(chains.ErrUnavailable)}}
	for range 200 {
		r.q.leases = append(r.q.leases, lease(true, 1000, 1))
	}
	r.until(t, nil)
	require.Len(t, r.q.settled, 200)
	for _, v := range r.q.settled {
		require.LessOrEqual(t, v[0].RetryAt, 4*time.Second)
	}
}

func TestAPanicEndsNeitherTheProcessNorTheOthersWork(t *testing.T) {
	poison := func(b []tokens.Transfer) {
		for _, x := range b {
			if x.ID == hash(2) {
				panic("assignment to entry in nil map")
			}
		}
	}
	for name, h := range map[string]*handler{
		"asking": {done: func(c context.Context, ts []tokens.Transfer) ([]flow.Outcome, error) {
			poison(ts)
			return says(flow.Ok)(c, ts)
		}},
		"doing": {done: says(flow.Pending), do: func(c context.Context, b flow.Batch) ([]error, error) {
			poison(b.Transfers)
			return does(nil)(c, b)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			loose := &run{h: h}
			v := loose.one(t, lease(false, 0, 3))
			require.Len(t, v, 3)
			require.Contains(t, v[1].Cause, "[BUG] handler panicked: assignment to entry in nil map")
			require.True(t, v[1].CountAttempt)
			require.False(t, v[1].Park)
			for _, i := range []int{0, 2} {
				require.Empty(t, v[i].Cause, "its neighbours go on")
			}
			require.Contains(t, loose.log.String(), "level=ERROR")
			require.Contains(t, loose.log.String(), "work_test.go", "with the stack")

			third := &run{h: h}
			v = third.one(t, lease(false, 2, 3))
			require.True(t, v[1].Park)
			require.Equal(t, "poison", v[1].Reason)
			require.Len(t, third.troubles, 1)

			strict := &run{h: h}
			v = strict.one(t, lease(true, 7, 3))
			for _, x := range v {
				require.False(t, x.Park)
				require.True(t, x.CountAttempt)
				require.Positive(t, x.RetryAt)
			}
			first := &run{h: h}
			first.one(t, lease(true, 0, 3))
			require.NotEmpty(t, first.troubles, "a person is called at once")
			require.ErrorIs(t, first.troubles[0].Err, work.ErrPanic)
		})
	}
}

func TestAStepOfANewerVersionWaits(t *testing.T) {
	for _, change := range []func(*store.Lease){
		func(l *store.Lease) { l.Step = "later" },
		func(l *store.Lease) { l.Jobs[0].Transfer.Route = "other" },
		func(l *store.Lease) { l.Jobs[0].Transfer.Subnet = common.Address{1} },
	} {
		h := &handler{done: says(flow.Pending), do: does(nil)}
		l := lease(true, 3, 2)
		change(&l)
		for _, v := range (&run{h: h}).one(t, l) {
			require.Equal(t, l.Step, v.Step)
			require.Equal(t, time.Minute, v.RetryAt)
			require.False(t, v.CountAttempt || v.Park)
			require.Contains(t, v.Cause, "this version knows no step")
		}
		require.Empty(t, h.did)
	}
}

func TestALongLookKeepsItsLease(t *testing.T) {
	h := &handler{done: func(ctx context.Context, ts []tokens.Transfer) ([]flow.Outcome, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Second):
		}
		return says(flow.Ok)(ctx, ts)
	}}
	r := &run{q: &queue{leases: []store.Lease{lease(false, 0, 1)}, life: 6 * time.Second, extend: func(n int) error {
		if n == 3 {
			return chains.ErrUnavailable // one that fails is tried again
		}
		return nil
	}}, h: h}
	r.until(t, func(context.CancelFunc) { time.Sleep(21 * time.Second); synctest.Wait() })
	require.Equal(t, []store.Verdict{{ID: hash(1), Step: "step", Advance: store.OK}}, r.q.settled[0])
	require.GreaterOrEqual(t, r.q.extended, 9)
	require.Equal(t, 1, r.looked)
}

func TestALookHasABound(t *testing.T) {
	h := &handler{done: func(ctx context.Context, _ []tokens.Transfer) ([]flow.Outcome, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	r := &run{q: &queue{leases: []store.Lease{lease(false, 0, 1)}}, h: h}
	r.until(t, func(context.CancelFunc) { time.Sleep(31 * time.Second); synctest.Wait() })
	require.Contains(t, r.q.settled[0][0].Cause, "deadline exceeded")
	require.True(t, r.q.settled[0][0].CountAttempt)
}

func TestALostLeaseEndsTheLookAndWhatItSawIsDropped(t *testing.T) {
	stopped := false
	h := &handler{done: says(flow.Pending), do: func(ctx context.Context, _ flow.Batch) ([]error, error) {
		<-ctx.Done()
		stopped = true
		return nil, ctx.Err()
	}}
	r := &run{q: &queue{
		leases: []store.Lease{lease(true, 0, 1)}, life: 3 * time.Second,
		extend: func(int) error { return chains.ErrStale }, settle: func() error { return chains.ErrStale },
	}, h: h}
	r.until(t, func(context.CancelFunc) {
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.True(t, stopped)
	})
	require.Empty(t, r.q.settled)
	require.Zero(t, r.looked)
	require.Contains(t, r.log.String(), "will retry")
	require.Greater(t, r.q.claims, 1, "the worker goes on")
}

func TestStoppingHandsTheLeaseBackUnchanged(t *testing.T) {
	h := &handler{done: says(flow.Pending), do: func(ctx context.Context, _ flow.Batch) ([]error, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	for name, settle := range map[string]func() error{"handed back": nil, "lost meanwhile": func() error { return chains.ErrStale }} {
		r := &run{q: &queue{leases: []store.Lease{lease(true, 0, 2)}, settle: settle}, h: h}
		r.until(t, func(cancel context.CancelFunc) { cancel(); synctest.Wait() })
		require.Empty(t, r.q.settled, name)
		if settle == nil {
			require.Equal(t, 1, r.q.handed)
		}
		require.Empty(t, r.troubles)
	}
}

func TestAStoreThatFailsIsAskedAgainWithPauses(t *testing.T) {
	r := &run{q: &queue{claimErr: store.ErrDown}, h: &handler{done: says(flow.Ok)}}
	r.until(t, func(context.CancelFunc) { time.Sleep(10 * time.Minute); synctest.Wait() })
	require.Greater(t, r.q.claims, 10)
	require.Less(t, r.q.claims, 200, "not a hot loop")
	require.Equal(t, r.q.claims, strings.Count(r.log.String(), "will retry"))
}

func TestAnIdlePoolLooksNowAndThen(t *testing.T) {
	r := &run{q: &queue{}, h: &handler{done: says(flow.Ok)}, workers: 3}
	r.until(t, func(context.CancelFunc) { time.Sleep(10*time.Second + time.Millisecond); synctest.Wait() })
	require.Equal(t, 11+2*2, r.q.claims, "one asks for all three")
}

func TestWakeMakesOneIdleWorkerLookAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		h := &handler{done: says(flow.Ok)}
		p, err := work.New(work.Config{Queue: q, Flows: []flow.Flow{h.flow()}, Workers: 1, Batch: 1, Idle: time.Hour, LookTime: time.Second, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, 1, q.claims)
		for range 5 {
			p.Wake() // never blocks
		}
		synctest.Wait()
		require.GreaterOrEqual(t, q.claims, 2)
		require.LessOrEqual(t, q.claims, 3, "wakes do not pile up")
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestAnEmptyLeaseIsGivenBack(t *testing.T) {
	r := &run{q: &queue{leases: []store.Lease{lease(false, 0, 0)}}, h: &handler{done: says(flow.Ok)}}
	r.until(t, nil)
	require.Len(t, r.q.settled, 1)
	require.Empty(t, r.q.settled[0])
}

func TestAPoolWithoutPartsIsRefused(t *testing.T) {
	h := &handler{done: says(flow.Ok)}
	good := work.Config{Queue: &queue{}, Flows: []flow.Flow{h.flow()}, Workers: 1, Batch: 1, Idle: 1, LookTime: 1, Log: slog.New(slog.DiscardHandler)}
	_, err := work.New(good)
	require.NoError(t, err)
	for name, change := range map[string]func(*work.Config){
		"queue": func(c *work.Config) { c.Queue = nil }, "log": func(c *work.Config) { c.Log = nil },
		"workers": func(c *work.Config) { c.Workers = 0 }, "batch": func(c *work.Config) { c.Batch = 0 },
		"idle": func(c *work.Config) { c.Idle = 0 }, "look time": func(c *work.Config) { c.LookTime = 0 },
		"a flow twice": func(c *work.Config) { c.Flows = append(c.Flows, h.flow()) },
		"a bad flow":   func(c *work.Config) { c.Flows = []flow.Flow{{Name: "x"}} },
	} {
		bad := good
		change(&bad)
		_, err := work.New(bad)
		require.Error(t, err, name)
	}
	other := h.flow()
	other.Subnet = common.Address{1}
	good.Flows = append(good.Flows, other)
	_, err = work.New(good)
	require.NoError(t, err, "flows of two subnets share a name")
}
