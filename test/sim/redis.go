package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
)

// redis is the shared journal: the store's model, and what can happen to a
// server.
type redis struct {
	mu      sync.Mutex
	model   *storetest.Model
	run     int // the server process
	lineage int // changes when everything is lost
	away    time.Time
	full    time.Time
	past    []snapshot // to come back to after a power cut
	lose    float64    // of the replies
	forgot  bool       // something, ever
	watch   *ledger
}

type snapshot struct {
	at    time.Time
	model *storetest.Model
}

const leaseTime = 5 * time.Second

func newRedis(w *ledger) *redis {
	r := &redis{watch: w}
	r.begin()
	return r
}

func (r *redis) begin() {
	r.model = storetest.NewModel(0, time.Now)
	r.model.LeaseTime = leaseTime
	r.past = nil
	r.lineage++
	r.run++
}

// remember keeps a state to come back to.
func (r *redis) remember() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = append(r.past, snapshot{time.Now(), r.model.Clone()})
	if len(r.past) > 12 {
		r.past = r.past[1:]
	}
}

// restart starts the server again; it may have lost its last moments.
func (r *redis) restart(lost time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run++
	if lost <= 0 {
		return 0
	}
	cut := time.Now().Add(-lost)
	for i := len(r.past) - 1; i >= 0; i-- {
		if s := r.past[i]; !s.at.After(cut) || i == 0 {
			// An opening that was lost is seen by whoever opened then.
			r.forgot = true
			r.watch.rolledBack(s.model, s.model.Epoch() < r.model.Epoch())
			r.model = s.model
			r.past = r.past[:i]
			return time.Since(s.at)
		}
	}
	return 0
}

// flush loses everything.
func (r *redis) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgot = true
	r.begin()
	r.watch.rolledBack(r.model, true)
}

// seen is what a machine remembers of the journal: its epoch file.
type seen struct {
	lineage     int // 0: nothing
	epoch, mark uint64
}

// session is the journal of one process.
type session struct {
	*redis
	name   string
	life   *life
	dice   *dice
	opened sync.Mutex
	server int // the process that was opened
	mark   uint64
	seen   *seen
}

var _ relayer.Journal = (*session)(nil)

// open is store.Open: accept is AcceptForgotten.
func (r *redis) open(name string, l *life, d *dice, file *seen, accept bool) (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &session{redis: r, name: name, life: l, dice: d, seen: file}
	return s, s.take(accept)
}

// take counts an opening, as lua/open.lua does.
func (s *session) take(accept bool) error {
	another := s.seen.lineage != 0 && s.seen.lineage != s.lineage
	if another && !accept {
		return store.ErrForgot
	}
	mark := s.seen.mark
	if !another {
		mark = max(mark, s.mark)
	}
	s.model.Open(s.name, s.seen.epoch, mark, another)
	s.mark = s.model.Mark()
	*s.seen = seen{s.lineage, s.model.Epoch(), s.mark}
	s.server = s.run
	if r, on, _ := s.model.Recovering(context.Background()); on {
		s.watch.loses(s.name, r)
	}
	return nil
}

// do is one call: f has the model for itself.
func (s *session) do(ctx context.Context, k kind, f func(*storetest.Model) error) error {
	strike, err := s.life.enter(k)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrDown, err)
	}
	if err := s.present(ctx); err != nil {
		return err
	}
	s.redis.mu.Lock()
	err = s.usable()
	if err == nil {
		err = f(s.model)
	}
	// A mark comes with the reply to what has one; the keeper looks at it too.
	if err == nil && (k == ingest || k == claim || k == reserve) {
		s.mark = s.model.Mark()
	}
	lose := s.lose
	s.redis.mu.Unlock()
	if err := s.life.leave(k, strike); err != nil {
		return fmt.Errorf("%w: %w", store.ErrDown, err)
	}
	if lose > 0 && k != readRedis && s.dice.chance(lose) {
		return fmt.Errorf("%w: the reply to %s was lost", store.ErrDown, k)
	}
	return err
}

// present waits for a server that is away, as the store does.
func (s *session) present(ctx context.Context) error {
	s.redis.mu.Lock()
	away := time.Until(s.away)
	s.redis.mu.Unlock()
	if away <= 0 {
		return nil
	}
	const patience = 20 * time.Second
	t := time.NewTimer(min(away, patience))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrDown, ctx.Err())
	case <-t.C:
	}
	if away > patience {
		return store.ErrDown
	}
	return nil
}

// usable says whether the server is the one that was opened.
func (s *session) usable() error {
	s.opened.Lock()
	defer s.opened.Unlock()
	if s.server != s.run {
		return store.ErrRestarted
	}
	return nil
}

func (s *session) Reopen(ctx context.Context) error {
	if err := s.present(ctx); err != nil {
		return err
	}
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	s.opened.Lock()
	defer s.opened.Unlock()
	return s.take(false)
}

func (s *session) Durable(ctx context.Context) error {
	return s.do(ctx, readRedis, func(m *storetest.Model) error {
		s.mark = m.Mark()
		s.seen.mark = s.mark
		return nil
	})
}

// MayForget implements relayer.Journal: what the journal forgets, a fault says.
func (s *session) MayForget() error { return nil }

func (s *session) Full() bool {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	return time.Now().Before(s.full)
}

func (s *session) Cursor(ctx context.Context, chain string) (c chains.Cursor, ok bool, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { c, ok, err = m.Cursor(ctx, chain); return err })
	return c, ok, err
}

func (s *session) InitCursor(ctx context.Context, chain string, c chains.Cursor) error {
	return s.do(ctx, ingest, func(m *storetest.Model) error { return m.InitCursor(ctx, chain, c) })
}

func (s *session) Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	return s.do(ctx, ingest, func(m *storetest.Model) error {
		if time.Now().Before(s.full) && len(jobs)+len(facts) > 0 {
			return store.ErrFull
		}
		return s.watch.ingest(m, chain, from, to, jobs, facts)
	})
}

func (s *session) Backfill(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (c, a int, err error) {
	err = s.do(ctx, ingest, func(m *storetest.Model) (err error) { c, a, err = m.Backfill(ctx, chain, jobs, facts); return err })
	return c, a, err
}

func (s *session) Forked(ctx context.Context, chain string) (f store.Fork, ok bool, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { f, ok, err = m.Forked(ctx, chain); return err })
	return f, ok, err
}

func (s *session) Trail(ctx context.Context, chain string, from, to uint64) (out []chains.Block, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { out, err = m.Trail(ctx, chain, from, to); return err })
	return out, err
}

func (s *session) Quarantine(ctx context.Context, chain string, compared chains.Cursor, good chains.Block, why string) (f store.Fork, err error) {
	err = s.do(ctx, ingest, func(m *storetest.Model) (err error) {
		f, err = m.Quarantine(ctx, chain, compared, good, why)
		return err
	})
	return f, err
}

func (s *session) Reread(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (c, a int, err error) {
	err = s.do(ctx, ingest, func(m *storetest.Model) (err error) { c, a, err = m.Reread(ctx, chain, jobs, facts); return err })
	return c, a, err
}

func (s *session) AcceptFork(ctx context.Context, f store.Fork, to chains.Cursor, who string) (n store.Accepted, err error) {
	err = s.do(ctx, ingest, func(m *storetest.Model) (err error) {
		if n, err = m.AcceptFork(ctx, f, to, who); err == nil {
			s.watch.cursors[f.Chain] = to
		}
		return err
	})
	return n, err
}

func (s *session) Claim(ctx context.Context, worker string, max int) (l store.Lease, ok bool, err error) {
	err = s.do(ctx, claim, func(m *storetest.Model) (err error) { l, ok, err = s.watch.claim(m, worker, max); return err })
	return l, ok, err
}

func (s *session) Wake(ctx context.Context, id common.Hash) error {
	return s.do(ctx, claim, func(m *storetest.Model) error { return m.Wake(ctx, id) })
}

func (s *session) Extend(ctx context.Context, l store.Lease) (out store.Lease, err error) {
	out = l
	err = s.do(ctx, claim, func(m *storetest.Model) (err error) { out, err = s.watch.extend(m, l); return err })
	return out, err
}

func (s *session) Settle(ctx context.Context, l store.Lease, verdicts []store.Verdict) error {
	return s.do(ctx, settle, func(m *storetest.Model) error { return s.watch.settle(m, l, verdicts) })
}

func (s *session) Reap(ctx context.Context) (n int, err error) {
	err = s.do(ctx, settle, func(m *storetest.Model) (err error) { n, err = s.watch.reap(m); return err })
	return n, err
}

func (s *session) Audit(ctx context.Context) (n int, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { n, err = m.Audit(ctx); return err })
	return n, err
}

func (s *session) Lanes(ctx context.Context) (out []store.LaneInfo, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { out, err = m.Lanes(ctx); return err })
	return out, err
}

func (s *session) Stats(ctx context.Context) (out store.Stats, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { out, err = m.Stats(ctx); return err })
	return out, err
}

func (s *session) Get(ctx context.Context, id common.Hash) (j store.Job, ok bool, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { j, ok, err = m.Get(ctx, id); return err })
	return j, ok, err
}

func (s *session) List(ctx context.Context, f store.Filter) (jobs []store.Job, next string, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { jobs, next, err = m.List(ctx, f); return err })
	return jobs, next, err
}

func (s *session) LaneJobs(ctx context.Context, lane string, from uint64, max int) (out []store.Job, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { out, err = m.LaneJobs(ctx, lane, from, max); return err })
	return out, err
}

func (s *session) Reserve(ctx context.Context, chain chains.ID, account common.Address, tx chains.Tx, nonce uint64, max int) (in chains.Intent, existing bool, err error) {
	err = s.do(ctx, reserve, func(m *storetest.Model) (err error) {
		in, existing, err = s.watch.reserve(m, chain, account, tx, nonce, max)
		return err
	})
	return in, existing, err
}

func (s *session) SaveAttempt(ctx context.Context, in chains.Intent, a chains.Attempt) error {
	return s.do(ctx, save, func(m *storetest.Model) error { return s.watch.save(m, in, a) })
}

func (s *session) Update(ctx context.Context, in chains.Intent) error {
	return s.do(ctx, update, func(m *storetest.Model) error { return s.watch.update(m, in) })
}

func (s *session) Live(ctx context.Context, chain chains.ID, account common.Address) (out []chains.Intent, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { out, err = m.Live(ctx, chain, account); return err })
	return out, err
}

func (s *session) Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (in chains.Intent, ok bool, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { in, ok, err = m.Intent(ctx, chain, account, nonce); return err })
	return in, ok, err
}

func (s *session) Recovering(ctx context.Context) (r store.Recovery, on bool, err error) {
	err = s.do(ctx, readRedis, func(m *storetest.Model) (err error) { r, on, err = m.Recovering(ctx); return err })
	return r, on, err
}

func (s *session) Recovered(ctx context.Context, r store.Recovery, who, why string) error {
	return s.do(ctx, settle, func(m *storetest.Model) error { return s.watch.recovered(m, r, who, why) })
}

func (s *session) Replay(ctx context.Context, in chains.Intent) error {
	return s.do(ctx, save, func(m *storetest.Model) error { return s.watch.replay(m, in) })
}
