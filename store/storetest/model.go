package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Store is what the relayer uses of a store. The real one and the model both
// are one, so that a simulation in one process can run on the model, which a
// test compares with the scripts operation by operation.
type Store interface {
	Epoch() uint64
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	InitCursor(ctx context.Context, chain string, c chains.Cursor) error
	Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error
	Backfill(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int, err error)
	Claim(ctx context.Context, worker string, max int) (store.Lease, bool, error)
	Extend(ctx context.Context, l store.Lease) (store.Lease, error)
	Settle(ctx context.Context, l store.Lease, verdicts []store.Verdict) error
	Wake(ctx context.Context, id common.Hash) error
	Reap(ctx context.Context) (int, error)
	Retry(ctx context.Context, id common.Hash, who string) error
	Discard(ctx context.Context, id common.Hash, who, why string) error
	PauseLane(ctx context.Context, lane, who string) error
	ResumeLane(ctx context.Context, lane, who string) error
	Lanes(ctx context.Context) ([]store.LaneInfo, error)
	Get(ctx context.Context, id common.Hash) (store.Job, bool, error)
	List(ctx context.Context, f store.Filter) (jobs []store.Job, next string, err error)
	LaneJobs(ctx context.Context, lane string, fromSeq uint64, max int) ([]store.Job, error)
	Stats(ctx context.Context) (store.Stats, error)
	Audit(ctx context.Context) (repairs int, err error)
	Reserve(ctx context.Context, chain chains.ID, account common.Address, tx chains.Tx, chainNonce uint64, maxInFlight int) (chains.Intent, bool, error)
	SaveAttempt(ctx context.Context, in chains.Intent, a chains.Attempt) error
	Update(ctx context.Context, in chains.Intent) error
	Live(ctx context.Context, chain chains.ID, account common.Address) ([]chains.Intent, error)
	Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error)
	Replay(ctx context.Context, in chains.Intent) error
	Forked(ctx context.Context, chain string) (store.Fork, bool, error)
	Trail(ctx context.Context, chain string, from, to uint64) ([]chains.Block, error)
	Quarantine(ctx context.Context, chain string, compared chains.Cursor, good chains.Block, why string) (store.Fork, error)
	Reread(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int, err error)
	AcceptFork(ctx context.Context, f store.Fork, to chains.Cursor, who string) (store.Accepted, error)
	QuarantinedFacts(ctx context.Context, max int) ([]store.Quarantined, error)
	Recovering(ctx context.Context) (store.Recovery, bool, error)
	Recovered(ctx context.Context, r store.Recovery, who, why string) error
}

var (
	_ Store = (*store.DB)(nil)
	_ Store = (*Model)(nil)
)

// Model is the store in plain Go: the meaning of the scripts without Redis. It
// is for one goroutine at a time and checks no arguments.
type Model struct {
	LeaseTime time.Duration
	Now       func() time.Time

	epoch, fence uint64
	cursors      map[string]chains.Cursor
	jobs         map[common.Hash]*modelJob
	facts        map[string][]modelFact
	arrivals     int
	offers       map[string]*offer    // facts of shared keys, by id
	modes        map[string]modelLane // while it has jobs or is held
	leases       map[string]*modelLease
	paused       map[string]string
	intents      map[slot]*modelIntent
	forks        map[string]*modelFork
	trail        map[string][]chains.Block // ascending
	evidence     map[spot]bool
	quarantine   map[string][]store.Quarantined // by key, in order
	held         map[common.Hash]*modelHold
	lost         *store.Recovery
}

type modelJob struct {
	store.Job
	plan  []store.StepPlan
	chain string        // it began on
	facts []*store.Fact // behind each line of History, if there is one
	void  map[int]bool  // lines that a fork has undone
}

// told says whether a fact is behind a line that counts.
func (j *modelJob) told(f store.Fact) bool {
	for i, g := range j.facts {
		if g != nil && !j.void[i] && factID(*g) == factID(f) {
			return true
		}
	}
	return false
}

// offer is a fact of a shared key.
type offer struct {
	store.Fact
	taker common.Hash // zero: nobody yet
}

type modelLane struct {
	strict bool
	chains []string
	turn   time.Time // when it was last given back
}

type modelFact struct {
	store.Fact
	arrival int
}

type modelLease struct {
	fence  chains.Fence
	worker string
	route  string
	step   string
	ids    []common.Hash
	until  time.Time
}

// slot is a nonce of an account.
type slot struct {
	chain   chains.ID
	account common.Address
	nonce   uint64
}

type modelIntent struct{ chains.Intent }

// NewModel makes an empty store at the given epoch.
func NewModel(epoch uint64, now func() time.Time) *Model {
	return &Model{
		LeaseTime: 30 * time.Second, Now: now, epoch: epoch,
		cursors: map[string]chains.Cursor{}, jobs: map[common.Hash]*modelJob{}, facts: map[string][]modelFact{}, offers: map[string]*offer{},
		modes: map[string]modelLane{}, leases: map[string]*modelLease{}, paused: map[string]string{}, intents: map[slot]*modelIntent{},
		forks: map[string]*modelFork{}, trail: map[string][]chains.Block{}, evidence: map[spot]bool{}, quarantine: map[string][]store.Quarantined{}, held: map[common.Hash]*modelHold{},
	}
}

// Clone is an independent copy, to come back to when Redis loses its end.
func (m *Model) Clone() *Model {
	c := *m
	c.cursors, c.modes, c.paused = maps.Clone(m.cursors), maps.Clone(m.modes), maps.Clone(m.paused)
	c.jobs, c.facts = map[common.Hash]*modelJob{}, map[string][]modelFact{}
	c.leases, c.intents = map[string]*modelLease{}, map[slot]*modelIntent{}
	for id, j := range m.jobs {
		c.jobs[id] = j.clone()
	}
	c.evidence, c.forks, c.held = maps.Clone(m.evidence), map[string]*modelFork{}, map[common.Hash]*modelHold{}
	for k, f := range m.forks {
		n := *f
		c.forks[k] = &n
	}
	for k, h := range m.held {
		n := *h
		n.prior, n.chains, n.gone, n.again = h.prior.clone(), maps.Clone(h.chains), maps.Clone(h.gone), slices.Clone(h.again)
		c.held[k] = &n
	}
	c.trail = map[string][]chains.Block{}
	for k, b := range m.trail {
		c.trail[k] = slices.Clone(b)
	}
	c.quarantine = map[string][]store.Quarantined{}
	for k, q := range m.quarantine {
		c.quarantine[k] = slices.Clone(q)
	}
	for k, f := range m.facts {
		c.facts[k] = slices.Clone(f)
	}
	c.offers = map[string]*offer{}
	for k, o := range m.offers {
		n := *o
		c.offers[k] = &n
	}
	for k, l := range m.leases {
		n := *l
		c.leases[k] = &n
	}
	for k, in := range m.intents {
		n := *in
		n.Attempts = slices.Clone(in.Attempts)
		c.intents[k] = &n
	}
	return &c
}

// Epoch is the first half of the fences given out.
func (m *Model) Epoch() uint64 { return m.epoch }

// Mark is the newest of those given out with leases, nonces and ingests.
func (m *Model) Mark() uint64 { return m.fence }

// Open is what another opening does, by somebody who has seen an epoch and a mark
// of this history, or of another one.
func (m *Model) Open(who string, epoch, mark uint64, another bool) {
	at, marked := m.epoch, m.fence
	m.epoch = max(at, epoch) + 1
	if !another && at >= epoch && marked >= mark {
		return
	}
	r := store.Recovery{Token: fmt.Sprint(m.epoch), Since: m.now().Truncate(time.Second), Why: who + " has seen another history"}
	if !another {
		m.fence = max(marked, mark)
		r.Why = fmt.Sprintf("redis is back at epoch %d, mark %d; %s has seen %d, %d", at, marked, who, epoch, mark)
	}
	if m.lost != nil {
		r.Since = m.lost.Since
	}
	m.lost = &r
}

// Recovering is store.DB's.
func (m *Model) Recovering(context.Context) (store.Recovery, bool, error) {
	if m.lost == nil {
		return store.Recovery{}, false, nil
	}
	return *m.lost, true, nil
}

// Recovered is store.DB's.
func (m *Model) Recovered(_ context.Context, r store.Recovery, _, _ string) error {
	if m.lost != nil && m.lost.Token != r.Token {
		return store.ErrOtherLoss
	}
	m.lost = nil
	return nil
}

// now has the resolution of the scripts' clock.
func (m *Model) now() time.Time { return time.UnixMilli(m.Now().UnixMilli()).UTC() }

// Cursor is store.DB's.
func (m *Model) Cursor(_ context.Context, chain string) (chains.Cursor, bool, error) {
	c, ok := m.cursors[chain]
	return c, ok, nil
}

// InitCursor is store.DB's.
func (m *Model) InitCursor(_ context.Context, chain string, c chains.Cursor) error {
	if _, ok := m.cursors[chain]; !ok {
		m.cursors[chain] = c
	}
	return nil
}

// Ingest is store.DB's.
func (m *Model) Ingest(_ context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	if m.forks[chain] != nil {
		return store.ErrForked
	}
	if c, ok := m.cursors[chain]; !ok || c != from {
		return store.ErrCursor
	}
	m.cursors[chain] = to
	m.recordAll(chain, jobs, facts)
	if to.Next > from.Next {
		m.record(chain, to.Next-1, to.Parent)
	}
	m.bring(chain, jobs, facts)
	m.fence++
	return nil
}

// Backfill is store.DB's.
func (m *Model) Backfill(_ context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (int, int, error) {
	if m.forks[chain] != nil && len(jobs)+len(facts) > 0 {
		return 0, 0, store.ErrForked
	}
	m.recordAll(chain, jobs, facts)
	c, a := m.fill(chain, jobs, facts)
	return c, a, nil
}

// fill is bring of what is not empty.
func (m *Model) fill(chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int) {
	if len(jobs)+len(facts) > 0 {
		created, advanced = m.bring(chain, jobs, facts)
		m.fence++
	}
	return created, advanced
}

func factID(f store.Fact) string {
	return fmt.Sprintf("%s:%s:%d:%s", f.Chain, f.Tx.Hex(), f.LogIndex, f.Key)
}

func (m *Model) bring(chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int) {
	defer m.tidy()
	for _, f := range facts {
		if f.Shared {
			if m.offers[factID(f)] == nil {
				m.offers[factID(f)] = &offer{Fact: f}
				m.keepFact(f)
			}
			continue
		}
		known := slices.ContainsFunc(m.facts[f.Key], func(o modelFact) bool { return factID(o.Fact) == factID(f) })
		fresh := !known && len(m.facts[f.Key]) < 8
		if fresh {
			m.arrivals++
			m.facts[f.Key] = append(m.facts[f.Key], modelFact{f, m.arrivals})
			m.keepFact(f)
		}
		for _, j := range m.jobs {
			if j.Status == tokens.Pending && (fresh || !j.told(f)) && m.decide(j, f) {
				advanced++
			}
		}
	}
	for _, n := range jobs {
		id := n.Transfer.ID
		m.rebegin(chain, n)
		if m.jobs[id] != nil {
			continue
		}
		created++
		j := &modelJob{plan: n.Steps, chain: cmp.Or(n.Chain, chain), void: map[int]bool{}}
		j.Transfer, j.Status, j.CreatedAt = n.Transfer, tokens.Pending, m.now()
		m.jobs[id] = j
		m.evidence[j.origin()] = true
		m.enter(j, 0)
		m.consume(j)
	}
	return created, advanced + m.deal()
}

// waits is the shared key that a job waits for, if it does.
func (j *modelJob) waits() string {
	if s := j.plan[j.StepIndex]; j.Status == tokens.Pending && s.Shared {
		return s.Key
	}
	return ""
}

// deal gives each fact of a shared key to one who waits for it: of the lowest
// such key, the oldest fact that fits to the oldest who waits.
func (m *Model) deal() int {
	for n := 0; ; n++ {
		type pair struct {
			key, fact, id string
			o             *offer
			j             *modelJob
		}
		var best *pair
		for _, o := range m.offers {
			var oldest *modelJob
			at := func(j *modelJob) string { return j.place() + j.Transfer.ID.Hex() }
			for _, j := range m.jobs {
				if j.waits() == o.Key && (oldest == nil || at(j) < at(oldest)) {
					oldest = j
				}
			}
			if f := m.forks[o.Chain]; o.taker != (common.Hash{}) || f != nil && o.Height >= f.From || oldest == nil || o.Chain == oldest.chain && place(o.Height, o.LogIndex) < at(oldest)[:30] {
				continue
			}
			p := &pair{o.Key, place(o.Height, o.LogIndex) + factID(o.Fact), at(oldest), o, oldest}
			if best == nil || cmp.Or(cmp.Compare(p.key, best.key), cmp.Compare(p.fact, best.fact), cmp.Compare(p.id, best.id)) < 0 {
				best = p
			}
		}
		if best == nil {
			return n
		}
		best.o.taker = best.j.Transfer.ID
		m.advance(best.j, best.j.StepIndex, best.o.Outcome, best.o.Reason, "", "event", &best.o.Fact)
	}
}

// enter puts a job at a step.
func (m *Model) enter(j *modelJob, i int) {
	s := j.plan[i]
	j.StepIndex, j.Step, j.Lane, j.Seq = i, s.Name, s.Lane, s.Seq
	if _, ok := m.modes[s.Lane]; !ok {
		m.modes[s.Lane] = modelLane{strict: s.Strict, chains: s.Chains}
	}
	j.Strict = m.modes[s.Lane].strict
	j.NotBefore, j.UpdatedAt = m.now(), m.now()
	if s.Wait {
		j.NotBefore = m.now().Add(s.Poll)
	}
}

// decide applies a fact to a pending job, if one of its steps waits for it.
func (m *Model) decide(j *modelJob, f store.Fact) bool {
	for i := j.StepIndex; i < len(j.plan); i++ {
		if j.plan[i].Key == f.Key {
			m.advance(j, i, f.Outcome, f.Reason, "", "event", &f)
			return true
		}
	}
	return false
}

// consume applies the kept facts that a job has not seen.
func (m *Model) consume(j *modelJob) {
	var found []modelFact
	keys := map[string]bool{}
	for _, s := range j.plan[j.StepIndex:] {
		if s.Key != "" && !s.Shared && !keys[s.Key] {
			keys[s.Key] = true
			found = append(found, m.facts[s.Key]...)
		}
	}
	slices.SortFunc(found, func(a, b modelFact) int { return cmp.Compare(a.arrival, b.arrival) })
	for _, f := range found {
		if j.Status == tokens.Pending && !j.told(f.Fact) {
			m.decide(j, f.Fact)
		}
	}
}

func (m *Model) advance(j *modelJob, i int, o store.Outcome, reason, note, by string, f *store.Fact) {
	ended := j.plan[i]
	to, ok := ended.Next[o]
	if !ok {
		to, note = string(tokens.Parked), fmt.Sprintf("step %s has no way on after %s", ended.Name, o)
		if reason == "" {
			reason = "rejected"
		}
	}
	m.write(j, store.Entry{Step: ended.Name, Outcome: o, Reason: reason, Note: note, By: by}, f)
	for _, s := range rests(j, ended, f, uint64(m.now().Unix())) {
		m.evidence[s] = true
	}
	j.Reason, j.Err, j.Attempts, j.Crashes, j.UpdatedAt = reason, note, 0, 0, m.now()
	if tokens.Status(to).Terminal() {
		j.StepIndex, j.Step, j.Status = i, ended.Name, tokens.Status(to)
		return
	}
	for k := i + 1; k < len(j.plan); k++ {
		if j.plan[k].Name == to {
			m.enter(j, k)
			return
		}
	}
}

func (m *Model) write(j *modelJob, e store.Entry, f *store.Fact) {
	e.At = uint64(m.now().Unix())
	if f != nil {
		e.Tx, e.Chain, e.Height, e.Index, e.At = f.Tx, f.Chain, f.Height, f.LogIndex, f.At
	}
	j.History, j.facts = append(j.History, e), append(j.facts, f)
}

// order is the queue of a lane.
func (m *Model) order(lane string) []*modelJob {
	var out []*modelJob
	for _, j := range m.jobs {
		if j.Status == tokens.Pending && j.Lane == lane {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *modelJob) int {
		first := a.NotBefore.Compare(b.NotBefore)
		if m.modes[lane].strict {
			first = cmp.Compare(a.Seq, b.Seq)
		}
		return cmp.Or(first, a.Transfer.ID.Cmp(b.Transfer.ID))
	})
	return out
}

// tidy forgets the mode of lanes nobody uses.
func (m *Model) tidy() {
	for lane := range m.modes {
		if m.leases[lane] == nil && m.paused[lane] == "" && len(m.order(lane)) == 0 {
			delete(m.modes, lane)
		}
	}
}

// ready is from when a lane with jobs may be claimed.
func (m *Model) ready(q []*modelJob) time.Time {
	if turn := m.modes[q[0].Lane].turn; turn.After(q[0].NotBefore) {
		return turn
	}
	return q[0].NotBefore
}

// release gives a lane back.
func (m *Model) release(lane string) {
	delete(m.leases, lane)
	if l, ok := m.modes[lane]; ok {
		l.turn = m.now()
		m.modes[lane] = l
	}
}

// PauseLane is store.DB's.
func (m *Model) PauseLane(_ context.Context, lane, who string) error {
	m.paused[lane] = who
	return nil
}

// ResumeLane is store.DB's.
func (m *Model) ResumeLane(_ context.Context, lane, _ string) error {
	delete(m.paused, lane)
	m.tidy()
	return nil
}

// Lanes is store.DB's.
func (m *Model) Lanes(context.Context) ([]store.LaneInfo, error) {
	var out []store.LaneInfo
	for lane, l := range m.modes {
		out = append(out, m.lane(lane, l.strict))
	}
	for lane := range m.paused {
		if _, ok := m.modes[lane]; !ok {
			out = append(out, m.lane(lane, false))
		}
	}
	return out, nil
}

func (m *Model) lane(lane string, strict bool) store.LaneInfo {
	q := m.order(lane)
	info := store.LaneInfo{Name: lane, Strict: strict, Depth: len(q), Paused: m.paused[lane], Forked: m.stopped(lane)}
	if len(q) > 0 {
		info.HeadSeq, info.LastErr = q[0].Seq, q[0].Err
		if m.leases[lane] == nil && info.Paused == "" && info.Forked == "" {
			info.NotBefore = m.ready(q)
		}
	}
	if l := m.leases[lane]; l != nil {
		info.Leased = l.worker
	}
	return info
}

// show is a job as readers get it, without its history.
func (m *Model) show(j *modelJob) store.Job {
	out := j.Job
	out.History = nil
	if in := m.ride(j.Transfer.ID); in != nil {
		out.Intent = in.Key
	}
	return out
}

// Get is store.DB's.
func (m *Model) Get(_ context.Context, id common.Hash) (store.Job, bool, error) {
	j := m.jobs[id]
	if j == nil {
		return store.Job{}, false, nil
	}
	out := m.show(j)
	out.History = slices.Clone(j.History)
	return out, true, nil
}
