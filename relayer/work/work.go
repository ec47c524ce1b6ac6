// Package work takes one look at one step of a batch of transfers and records
// what it saw. It promises that a step advances only on what a final block
// says, that Do runs only after a definite "not yet", and that what it saw is
// recorded under the fence of its lease or not at all.
package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/alerts/log"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Queue is what a worker needs of the store.
type Queue interface {
	Claim(ctx context.Context, worker string, max int) (store.Lease, bool, error)
	Extend(ctx context.Context, l store.Lease) (store.Lease, error)
	Settle(ctx context.Context, l store.Lease, verdicts []store.Verdict) error
	Wake(ctx context.Context, transfer common.Hash) error
}

// Config is a pool of workers.
type Config struct {
	Queue    Queue
	Flows    []flow.Flow
	Instance string // unique per process
	Workers  int
	Batch    int           // transfers per look
	Idle     time.Duration // pause while nothing is due
	LookTime time.Duration // bound of one look
	Log      *slog.Logger
	// Looked is told each finished look.
	Looked func(flowName, step string, verdicts []store.Verdict, took time.Duration)
	// Trouble is told of a strict lane whose head fails, and of every parked
	// transfer.
	Trouble func(Trouble)
}

// Trouble is something a person should hear about.
type Trouble struct {
	Flow     string
	Step     string
	Lane     string
	Transfer common.Hash
	Parked   bool
	Attempts int
	Reason   flow.Reason
	Err      error
}

// Pool runs the workers.
type Pool struct {
	cfg   Config
	flows map[route]flow.Flow
	wake  chan struct{}
	heads chan struct{}
	asks  chan struct{} // held by the worker that asks for all that rest

	mu sync.Mutex
	// waiting is the head of each strict lane that waits for a chain to go on, as
	// far as looks of this process know.
	waiting   map[string]common.Hash
	headsSeen atomic.Uint64
}

// route names a flow: those of two subnets share a name.
type route struct {
	name   string
	subnet common.Address
}

// New checks the configuration.
func New(cfg Config) (*Pool, error) {
	p := &Pool{cfg: cfg, flows: map[route]flow.Flow{}, wake: make(chan struct{}, 1), heads: make(chan struct{}, 1), asks: make(chan struct{}, 1), waiting: map[string]common.Hash{}}
	if cfg.Queue == nil || cfg.Log == nil || cfg.Workers < 1 || cfg.Batch < 1 || cfg.Idle <= 0 || cfg.LookTime <= 0 {
		return nil, errors.New("workers: queue, log and positive workers, batch, idle and look time are required")
	}
	for _, f := range cfg.Flows {
		if err := f.Check(); err != nil {
			return nil, err
		}
		r := route{f.Name, f.Subnet}
		if _, dup := p.flows[r]; dup {
			return nil, fmt.Errorf("flow %s of %s twice", f.Name, f.Subnet)
		}
		p.flows[r] = f
	}
	return p, nil
}

// Wake makes an idle worker look at once; correctness never depends on it.
func (p *Pool) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends and every worker has returned.
func (p *Pool) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i := range p.cfg.Workers {
		wg.Go(func() { p.loop(ctx, fmt.Sprintf("%s/%d", p.cfg.Instance, i)) })
	}
	wg.Go(func() { p.follow(ctx) })
	wg.Wait()
	return nil
}

func (p *Pool) loop(ctx context.Context, name string) {
	failures := 0
	for ctx.Err() == nil {
		worked, err := p.step(ctx, name)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			p.cfg.Log.WarnContext(ctx, "work: will retry", "worker", name, "err", err)
			sleep(ctx, nil, delay(failures))
		case worked:
			failures = 0
			p.Wake() // there may be more: let an idle worker share it
		default:
			failures = 0
			p.rest(ctx)
		}
	}
}

// rest pauses a worker for which nothing is due. One of them asks often, for all:
// when it finds something it wakes the next.
func (p *Pool) rest(ctx context.Context) {
	select {
	case p.asks <- struct{}{}:
		defer func() { <-p.asks }()
		sleep(ctx, p.wake, p.cfg.Idle)
	default:
		sleep(ctx, p.wake, seldom*p.cfg.Idle)
	}
}

// seldom is how much longer the others pause. They would be woken anyway.
const seldom = 10

func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}

// step claims one lane, looks once and settles.
func (p *Pool) step(ctx context.Context, name string) (bool, error) {
	lease, ok, err := p.cfg.Queue.Claim(ctx, name, p.cfg.Batch)
	if err != nil {
		return false, fmt.Errorf("claim: %w", err)
	}
	if !ok {
		return false, nil
	}
	crash.At("work.after_claim")

	start, seen := time.Now(), p.headsSeen.Load()
	verdicts := leading(lease, p.look(ctx, lease))
	if ctx.Err() != nil {
		// We are stopping: hand the lease back unchanged, on a context that
		// outlives the stop for a moment.
		hand, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := p.cfg.Queue.Settle(hand, lease, nil); err != nil && !errors.Is(err, chains.ErrStale) {
			return false, fmt.Errorf("hand back %s: %w", lease.Fence.Lane, err)
		}
		return true, nil
	}
	crash.At("work.before_settle")
	// A stale fence means that the lease ran out under us and someone else
	// looks after the lane: what we saw is dropped, they will see it too.
	if err := p.cfg.Queue.Settle(ctx, lease, verdicts); err != nil {
		return false, fmt.Errorf("settle %s: %w", lease.Fence.Lane, err)
	}
	crash.At("work.after_settle")
	p.wait(lease, verdicts, seen)
	if p.cfg.Looked != nil && len(lease.Jobs) > 0 {
		p.cfg.Looked(lease.Jobs[0].Transfer.Route, lease.Step, verdicts, time.Since(start))
	}
	return true, nil
}

// look takes one look at the jobs of a lease, which is kept alive meanwhile.
func (p *Pool) look(ctx context.Context, lease store.Lease) []store.Verdict {
	if len(lease.Jobs) == 0 {
		return nil
	}
	t := lease.Jobs[0].Transfer
	step, ok := p.find(route{t.Route, t.Subnet}, lease.Step)
	if !ok {
		return p.unknownStep(lease, t.Route)
	}
	ctx = log.With(ctx, "flow", t.Route, "step", step.Name, "lane", lease.Fence.Lane)
	ctx, cancel := context.WithTimeout(ctx, p.cfg.LookTime)
	defer cancel()
	stop := p.keepAlive(ctx, cancel, lease)
	defer stop()

	verdicts, err := p.try(ctx, lease, step)
	switch {
	case err == nil:
		return verdicts
	case len(lease.Jobs) > 1 && !lease.Jobs[0].Strict:
		// One of them makes the handler panic: each alone, so that it takes no
		// other along. Do may be called again, so a second time does no harm.
		return p.alone(ctx, lease, step)
	}
	return p.failAll(lease, step, err)
}

// alone looks at each job of a loose lane by itself.
func (p *Pool) alone(ctx context.Context, lease store.Lease, step flow.Step) []store.Verdict {
	var all []store.Verdict
	jobs := lease.Jobs
	for i := range jobs {
		lease.Jobs = jobs[i : i+1]
		verdicts, err := p.try(ctx, lease, step)
		if err != nil {
			verdicts = p.failAll(lease, step, err)
		}
		all = append(all, verdicts...)
	}
	return all
}

// ErrPanic says that a flow panicked: a bug, and no reason to end the process,
// which carries other lanes too.
var ErrPanic = errors.New("[BUG] handler panicked")

// try asks and does, and turns a panic into ErrPanic; it has no other error.
func (p *Pool) try(ctx context.Context, lease store.Lease, step flow.Step) (verdicts []store.Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.cfg.Log.ErrorContext(ctx, "work: handler panicked", "panic", fmt.Sprint(r), "jobs", len(lease.Jobs), "stack", string(debug.Stack()))
			verdicts, err = nil, fmt.Errorf("%w: %v", ErrPanic, r)
		}
	}()
	return p.ask(ctx, lease, step), nil
}

// ask is Done, then Do for what is definitely pending.
func (p *Pool) ask(ctx context.Context, lease store.Lease, step flow.Step) []store.Verdict {
	transfers := make([]tokens.Transfer, len(lease.Jobs))
	for i, j := range lease.Jobs {
		transfers[i] = j.Transfer
	}
	outcomes, err := step.Done(ctx, transfers)
	if err == nil && len(outcomes) != len(transfers) {
		err = fmt.Errorf("[BUG] %d outcomes for %d transfers", len(outcomes), len(transfers))
	}
	if err != nil {
		return p.failAll(lease, step, fmt.Errorf("ask the chain: %w", err))
	}

	verdicts, todo := sortOutcomes(lease, step, outcomes)
	if len(todo) == 0 {
		return verdicts
	}
	batch := flow.Batch{Fence: lease.Fence, Transfers: make([]tokens.Transfer, len(todo)), Rides: make([]string, len(todo))}
	for i, n := range todo {
		batch.Transfers[i], batch.Rides[i] = transfers[n], lease.Jobs[n].Intent
	}
	results, err := step.Do(ctx, batch)
	if err == nil && len(results) != len(todo) {
		err = fmt.Errorf("[BUG] %d results for %d transfers", len(results), len(todo))
	}
	for i, n := range todo {
		cause := err
		if cause == nil {
			cause = results[i]
		}
		if i > 0 && lease.Jobs[n].Strict {
			p.behind(lease.Jobs[n], step, results, i)
			continue
		}
		verdicts = append(verdicts, p.verdict(lease.Jobs[n], step, cause))
	}
	return verdicts
}

// sortOutcomes turns decided outcomes into verdicts and lists the jobs that Do
// may run for. In a strict lane nothing behind an unknown one is done.
func sortOutcomes(lease store.Lease, step flow.Step, outcomes []flow.Outcome) (verdicts []store.Verdict, todo []int) {
	blocked := false
	for i, out := range outcomes {
		job := lease.Jobs[i]
		switch out.Kind {
		case flow.Ok, flow.Failed, flow.Superseded:
			verdicts = append(verdicts, store.Verdict{
				ID: job.Transfer.ID, Step: step.Name, Advance: store.Outcome(out.Kind.String()), Reason: string(out.Reason),
			})
		case flow.Pending:
			if step.Do != nil && !blocked {
				todo = append(todo, i)
				continue
			}
			verdicts = append(verdicts, later(job, step, step.Poll))
		default:
			blocked = blocked || job.Strict
			verdicts = append(verdicts, later(job, step, step.Poll))
		}
	}
	return verdicts, todo
}

func later(job store.Job, step flow.Step, d time.Duration) store.Verdict {
	return store.Verdict{ID: job.Transfer.ID, Step: step.Name, RetryAt: d}
}

func (p *Pool) find(r route, name string) (flow.Step, bool) {
	for _, s := range p.flows[r].Steps {
		if s.Name == name {
			return s, true
		}
	}
	return flow.Step{}, false
}

// unknownStep is a job of a newer version: it waits for an instance that knows
// it.
func (p *Pool) unknownStep(lease store.Lease, name string) []store.Verdict {
	err := fmt.Errorf("this version knows no step %q of flow %q", lease.Step, name)
	verdicts := make([]store.Verdict, 0, len(lease.Jobs))
	for _, j := range lease.Jobs {
		verdicts = append(verdicts, store.Verdict{ID: j.Transfer.ID, Step: lease.Step, RetryAt: time.Minute, Cause: err.Error()})
	}
	p.cfg.Log.Warn("work: will retry", "err", err)
	return verdicts
}

func (p *Pool) failAll(lease store.Lease, step flow.Step, err error) []store.Verdict {
	verdicts := make([]store.Verdict, 0, len(lease.Jobs))
	for _, j := range lease.Jobs {
		verdicts = append(verdicts, p.verdict(j, step, err))
		if j.Strict {
			break // the others wait for it
		}
	}
	return verdicts
}

// behind logs what went wrong with a transfer behind the head of a strict lane,
// once for all that came to the same end. It has no verdict: what ails it shows
// when it is the head.
func (p *Pool) behind(job store.Job, step flow.Step, results []error, i int) {
	if i >= len(results) || results[i] == nil || errors.Is(results[i-1], results[i]) || waits(results[i]) {
		return
	}
	p.cfg.Log.Info("work: not done yet behind the head of its lane", "flow", job.Transfer.Route, "step", step.Name,
		"transfer", job.Transfer.ID, "err", results[i])
}

// keepAlive extends the lease every third of its life; losing it ends the look.
func (p *Pool) keepAlive(ctx context.Context, cancel context.CancelFunc, lease store.Lease) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			pause := max(time.Until(lease.Until)/3, 50*time.Millisecond)
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			next, err := p.cfg.Queue.Extend(ctx, lease)
			switch {
			case errors.Is(err, chains.ErrStale):
				cancel()
				return
			case err == nil:
				lease = next
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
