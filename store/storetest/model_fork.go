package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// modelFork is the record of a forked chain; looks since a time are shaky.
type modelFork struct {
	store.Fork
	since uint64
}

// modelHold is how a transfer was before it was set aside.
type modelHold struct {
	prior    *modelJob
	place    string
	chains   map[string]bool // whose forks it waits for
	gone     map[string]bool // on which its beginning is gone
	low      int             // first step that is open again; -1: none
	conflict bool
	again    []standIn
}

// standIn is a fact that stands for the end of a step now.
type standIn struct {
	step string
	fact store.Fact
}

// spot is a row of evidence: what rests on which height (or, for looks, time)
// of a chain.
type spot struct {
	chain, kind string
	at          uint64
	id          common.Hash
	fact        string
}

func place(height uint64, index uint) string { return fmt.Sprintf("%020d%010d", height, index) }

func (j *modelJob) place() string { return place(j.Transfer.Height, j.Transfer.Origin.Index) }

func (j *modelJob) origin() spot {
	return spot{chain: j.chain, kind: "b", at: j.Transfer.Height, id: j.Transfer.ID}
}

func (j *modelJob) clone() *modelJob {
	k := *j
	k.History, k.facts, k.void = slices.Clone(j.History), slices.Clone(j.facts), maps.Clone(j.void)
	return &k
}

// index is the place of a step in the plan.
func (j *modelJob) index(step string) int {
	return slices.IndexFunc(j.plan, func(s store.StepPlan) bool { return s.Name == step })
}

func rests(j *modelJob, step store.StepPlan, f *store.Fact, at uint64) (out []spot) {
	if f != nil {
		return []spot{{chain: f.Chain, kind: "a", at: f.Height, id: j.Transfer.ID}}
	}
	for _, c := range step.Chains {
		out = append(out, spot{chain: c, kind: "v", at: at, id: j.Transfer.ID})
	}
	return out
}

// restson lists what the ends of a transfer's steps rest on.
func restson(j *modelJob) (out []spot) {
	for i, e := range j.History {
		if (e.Outcome != "" || j.facts[i] != nil) && !j.void[i] {
			out = append(out, rests(j, j.plan[j.index(e.Step)], j.facts[i], e.At)...)
		}
	}
	return out
}

// stopped is the chain whose fork stops a lane.
func (m *Model) stopped(lane string) string {
	for _, c := range m.modes[lane].chains {
		if m.forks[c] != nil {
			return c
		}
	}
	return ""
}

// keepFact takes note of a fact that is new.
func (m *Model) keepFact(f store.Fact) {
	m.evidence[spot{chain: f.Chain, kind: "f", at: f.Height, fact: f.Key + "\n" + factID(f)}] = true
	if m.forks[f.Chain] == nil {
		return
	}
	for i, q := range m.quarantine[f.Key] {
		if q.Chain == f.Chain && q.Outcome == f.Outcome {
			m.quarantine[f.Key] = slices.Delete(m.quarantine[f.Key], i, i+1)
			return
		}
	}
}

// Forked is store.DB's.
func (m *Model) Forked(_ context.Context, chain string) (store.Fork, bool, error) {
	if f := m.forks[chain]; f != nil {
		return f.Fork, true, nil
	}
	return store.Fork{}, false, nil
}

// QuarantinedFacts is store.DB's.
func (m *Model) QuarantinedFacts(_ context.Context, most int) (out []store.Quarantined, _ error) {
	for _, list := range m.quarantine {
		out = append(out, list...)
	}
	return out[:min(len(out), most)], nil
}

// resting lists the evidence of one kind from a height or time on, in order.
func (m *Model) resting(chain, kind string, at uint64) (out []spot) {
	for s := range m.evidence {
		if s.chain == chain && s.kind == kind && s.at >= at {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.at, b.at), a.id.Cmp(b.id), cmp.Compare(a.fact, b.fact))
	})
	return out
}

// record adds a block to the trail, which gets sparser where it is long.
func (m *Model) record(chain string, height uint64, hash common.Hash) {
	b, order := chains.Block{Number: height, Hash: hash}, func(a, b chains.Block) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), a.Hash.Cmp(b.Hash))
	}
	at, known := slices.BinarySearchFunc(m.trail[chain], b, order)
	if hash == (common.Hash{}) || known {
		return
	}
	t := slices.Insert(m.trail[chain], at, b)
	if len(t) > 2048 {
		old := t[:1024]
		t = append([]chains.Block{}, t[1024:]...)
		for i := len(old) - 2; i >= 0; i -= 2 {
			t = slices.Insert(t, 0, old[i])
		}
	}
	m.trail[chain] = t
}

// recordAll adds the blocks of what is brought.
func (m *Model) recordAll(chain string, jobs []store.NewJob, facts []store.Fact) {
	for _, j := range jobs {
		if cmp.Or(j.Chain, chain) == chain {
			m.record(chain, j.Transfer.Height, j.BlockHash)
		}
	}
	for _, f := range facts {
		if f.Chain == chain {
			m.record(chain, f.Height, f.BlockHash)
		}
	}
}

// Trail is store.DB's.
func (m *Model) Trail(_ context.Context, chain string, from, to uint64) (out []chains.Block, _ error) {
	for _, b := range m.trail[chain] {
		if b.Number >= from && b.Number <= to {
			out = append(out, b)
		}
	}
	return out, nil
}

// Quarantine is store.DB's.
func (m *Model) Quarantine(_ context.Context, chain string, compared chains.Cursor, good chains.Block, why string) (store.Fork, error) {
	if m.cursors[chain] != compared {
		return store.Fork{}, store.ErrCursor
	}
	f := &modelFork{Fork: store.Fork{Chain: chain, Good: good, Why: why, At: m.now().Truncate(1e9)}}
	if good != (chains.Block{}) {
		f.From, f.since = good.Number+1, good.Time-min(good.Time, 600)
	}
	if old := m.forks[chain]; old != nil {
		if old.From < f.From {
			return old.Fork, nil
		}
		f.Round, f.Facts, f.Transfers = old.Round, old.Facts, old.Transfers
	}
	f.Round++
	for _, s := range m.resting(chain, "f", f.From) {
		delete(m.evidence, s)
		key, id, _ := strings.Cut(s.fact, "\n")
		var fact *store.Fact
		if o := m.offers[id]; o != nil {
			fact = &o.Fact
			delete(m.offers, id)
		}
		m.facts[key] = slices.DeleteFunc(m.facts[key], func(o modelFact) bool {
			if factID(o.Fact) == id {
				fact = &o.Fact
				return true
			}
			return false
		})
		f.Facts++
		m.quarantine[key] = append(m.quarantine[key], store.Quarantined{Fact: *fact, Why: why, Set: f.At})
	}
	hold := func(s spot, gone bool) {
		if m.hold(s.id, chain, gone, fmt.Sprintf("%s has changed from height %d on", chain, f.From)) {
			f.Transfers++
		}
	}
	for _, s := range m.resting(chain, "b", f.From) {
		hold(s, true)
	}
	for _, s := range m.resting(chain, "a", f.From) {
		hold(s, false)
	}
	for _, s := range m.resting(chain, "v", f.since) {
		j, again := m.jobs[s.id], []standIn(nil)
		if h := m.held[s.id]; h != nil {
			j, again = m.before(h), h.again
		}
		if j != nil && m.shaky(j, f, again).low >= 0 {
			hold(s, false)
		}
	}
	m.forks[chain] = f
	m.tidy()
	return f.Fork, nil
}

func (m *Model) hold(id common.Hash, chain string, gone bool, note string) bool {
	j := m.jobs[id]
	h, again := m.held[id]
	if !again {
		h = &modelHold{prior: j.clone(), place: j.place(), chains: map[string]bool{}, gone: map[string]bool{}, low: -1}
		m.held[id] = h
	}
	h.chains[chain] = true
	if gone {
		h.gone[chain] = true
	}
	if again {
		return false
	}
	m.write(j, store.Entry{Step: j.Step, Reason: "finality_regress", Note: note, By: "watcher"}, nil)
	j.Status, j.Discarded, j.Reason, j.Err, j.UpdatedAt = tokens.Parked, false, "finality_regress", note, m.now()
	return true
}

// end is what stands for the end of a step.
type end struct {
	step    int
	outcome store.Outcome
	fact    *store.Fact // nil: a look, at
	at      uint64
}

// ends lists them: of each step the last that counts, or what was seen again in
// its place.
func (j *modelJob) ends(again []standIn) (out []*end) {
	of := map[int]*end{}
	for i, e := range j.History {
		n := j.index(e.Step)
		switch {
		case j.void[i]:
		case e.Outcome != "":
			if of[n] == nil {
				of[n] = &end{step: n}
				out = append(out, of[n])
			}
			of[n].outcome, of[n].fact, of[n].at = e.Outcome, j.facts[i], e.At
		case j.facts[i] != nil && of[n] != nil:
			of[n].fact = j.facts[i]
		}
	}
	for _, a := range again {
		if e := of[j.index(a.step)]; e != nil {
			e.fact = &a.fact
		}
	}
	return out
}

// unsure is the first step whose end rests on what a fork has changed and was
// not seen again, -1 if there is none, and what stands for the others.
type unsure struct {
	low   int
	found []standIn
}

func (m *Model) shaky(j *modelJob, f *modelFork, again []standIn) unsure {
	out, used := unsure{low: -1}, map[string]bool{}
	var open []*end
	for _, e := range j.ends(again) {
		switch {
		case e.fact != nil && e.fact.Chain == f.Chain && e.fact.Height >= f.From,
			e.fact == nil && e.at >= f.since && slices.Contains(j.plan[e.step].Chains, f.Chain):
			open = append(open, e)
		case e.fact != nil:
			used[factID(*e.fact)] = true
		}
	}
	for _, e := range open {
		if c := m.seenAgain(j, e, used); c != nil {
			used[factID(*c)] = true
			out.found = append(out.found, standIn{j.plan[e.step].Name, *c})
		} else if out.low < 0 || e.step < out.low {
			out.low = e.step
		}
	}
	return out
}

// seenAgain is a fact that is there now and says what ended a step.
func (m *Model) seenAgain(j *modelJob, e *end, used map[string]bool) (found *store.Fact) {
	step := j.plan[e.step]
	if !step.Shared {
		for _, c := range m.facts[step.Key] {
			if step.Key != "" && c.Outcome == e.outcome && !used[factID(c.Fact)] {
				return &c.Fact
			}
		}
		return nil
	}
	at := func(f *store.Fact) string { return place(f.Height, f.LogIndex) + factID(*f) }
	for id, c := range m.offers {
		if c.Key == step.Key && c.taker == (common.Hash{}) && c.Outcome == e.outcome && !used[id] &&
			(c.Chain != j.chain || place(c.Height, c.LogIndex) >= j.place()) && (found == nil || at(&c.Fact) < at(found)) {
			found = &c.Fact
		}
	}
	return found
}

// stand adds facts that were seen again to what a held transfer rests on.
func (m *Model) stand(h *modelHold, found []standIn) {
	j := m.before(h)
	for _, a := range found {
		step := j.plan[j.index(a.step)]
		if step.Shared {
			m.offers[factID(a.fact)].taker = j.Transfer.ID
		}
		for _, s := range rests(j, step, &a.fact, 0) {
			m.evidence[s] = true
		}
		if i := slices.IndexFunc(h.again, func(o standIn) bool { return o.step == a.step }); i >= 0 {
			h.again[i] = a
		} else {
			h.again = append(h.again, a)
		}
	}
}

// giveBack offers a fact of a shared key again.
func (m *Model) giveBack(id common.Hash, f store.Fact) {
	if o := m.offers[factID(f)]; o != nil && o.taker == id {
		o.taker = common.Hash{}
	}
}

// Reread is store.DB's.
func (m *Model) Reread(_ context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (int, int, error) {
	if len(jobs)+len(facts) == 0 {
		return 0, 0, nil
	}
	if m.forks[chain] == nil {
		return 0, 0, store.ErrNoFork
	}
	c, a := m.fill(chain, jobs, facts)
	return c, a, nil
}

// AcceptFork is store.DB's.
func (m *Model) AcceptFork(_ context.Context, f store.Fork, to chains.Cursor, who string) (store.Accepted, error) {
	var sum store.Accepted
	fork := m.forks[f.Chain]
	switch {
	case fork == nil:
		return sum, store.ErrNoFork
	case fork.From != f.From || !fork.At.Equal(f.At) || fork.Round != f.Round:
		return sum, store.ErrCursor
	}
	var mine []*modelHold
	for _, h := range m.held {
		if h.chains[f.Chain] {
			mine = append(mine, h)
		}
	}
	slices.SortFunc(mine, func(a, b *modelHold) int {
		return cmp.Or(cmp.Compare(a.place, b.place), a.prior.Transfer.ID.Cmp(b.prior.Transfer.ID))
	})
	for _, h := range mine {
		delete(h.chains, f.Chain)
		u := m.shaky(m.before(h), fork, h.again)
		m.stand(h, u.found)
		if u.low >= 0 && (h.low < 0 || u.low < h.low) {
			h.low = u.low
		}
		switch {
		case len(h.chains)+len(h.gone) == 0:
			m.letgo(h, who, &sum)
		case len(h.chains) == 0:
			sum.Parked++
		}
	}
	m.cursors[f.Chain] = to
	m.trail[f.Chain] = slices.DeleteFunc(m.trail[f.Chain], func(b chains.Block) bool { return b.Number >= fork.From })
	if to.Next > 0 {
		m.record(f.Chain, to.Next-1, to.Parent)
	}
	for lane := range m.leases {
		if slices.Contains(m.modes[lane].chains, f.Chain) {
			m.release(lane)
		}
	}
	delete(m.forks, f.Chain)
	m.deal()
	m.tidy()
	return sum, nil
}

// before is a held transfer as it was, with the ledger it has now.
func (m *Model) before(h *modelHold) *modelJob {
	j, now := h.prior.clone(), m.jobs[h.prior.Transfer.ID]
	j.Transfer, j.plan, j.History, j.facts = now.Transfer, now.plan, slices.Clone(now.History), slices.Clone(now.facts)
	return j
}

// letgo ends a hold.
func (m *Model) letgo(h *modelHold, who string, sum *store.Accepted) {
	j := m.before(h)
	id := j.Transfer.ID
	delete(m.held, id)
	m.jobs[id] = j
	for _, s := range h.again {
		if h.low < 0 || j.index(s.step) < h.low {
			m.write(j, store.Entry{Step: s.step, Reason: "confirmed", By: who}, &s.fact)
			continue
		}
		m.giveBack(id, s.fact)
		for _, r := range rests(j, j.plan[j.index(s.step)], &s.fact, 0) {
			delete(m.evidence, r)
		}
	}
	if h.low < 0 {
		sum.Kept++
		if len(h.again) == 0 {
			m.write(j, store.Entry{Step: j.Step, Reason: "confirmed", By: who}, nil)
		}
		j.UpdatedAt = m.now()
		if j.Status == tokens.Pending {
			at := j.NotBefore
			m.enter(j, j.StepIndex)
			j.NotBefore = at
			m.consume(j)
		}
		return
	}
	sent := h.conflict || j.Status == tokens.Parked
	for i := h.low; i <= j.StepIndex; i++ {
		sent = sent || !j.plan[i].Wait
	}
	for _, s := range restson(j) {
		delete(m.evidence, s)
	}
	for i, e := range j.History {
		if (e.Outcome != "" || j.facts[i] != nil) && j.index(e.Step) >= h.low && !j.void[i] {
			j.void[i] = true
			if j.facts[i] != nil {
				m.giveBack(id, *j.facts[i])
			}
		}
	}
	for _, s := range restson(j) {
		m.evidence[s] = true
	}
	s := j.plan[h.low]
	j.StepIndex, j.Step, j.Lane, j.Seq, j.Attempts, j.Crashes, j.Discarded = h.low, s.Name, s.Lane, s.Seq, 0, 0, false
	m.write(j, store.Entry{Step: s.Name, Reason: "finality_regress", Note: "its end is open again", By: who}, nil)
	if sent {
		j.Status, j.Reason, j.Err = tokens.Parked, "finality_regress", "what ended this step is gone from the chain"
	} else {
		j.Status, j.Reason, j.Err = tokens.Pending, "", ""
		m.enter(j, h.low)
	}
	j.NotBefore, j.UpdatedAt = m.now(), m.now()
	if !sent {
		m.consume(j)
	}
	// What is there now may park it too.
	if j.Status == tokens.Parked {
		sum.Parked++
	} else {
		sum.Reopened++
	}
}

// rebegin takes note of a beginning that was gone.
func (m *Model) rebegin(chain string, n store.NewJob) {
	h := m.held[n.Transfer.ID]
	if h == nil || !h.gone[chain] {
		return
	}
	j := m.jobs[n.Transfer.ID]
	body := func(t tokens.Transfer) string {
		t.Height, t.At, t.Origin = 0, 0, chains.EventID{}
		type all tokens.Transfer // without its String
		return fmt.Sprintf("%+v", all(t))
	}
	if body(j.Transfer) != body(n.Transfer) {
		m.write(j, store.Entry{Step: j.Step, Reason: "finality_regress", Note: "another message has its number now", By: "watcher"}, nil)
		if h.prior.StepIndex > 0 || h.prior.Status != tokens.Pending || m.ride(n.Transfer.ID) != nil || m.delivered(j.plan, chain, n.Transfer) {
			h.conflict, h.low = true, 0
		}
	}
	delete(m.evidence, j.origin())
	j.Transfer, j.plan, j.UpdatedAt = n.Transfer, n.Steps, m.now()
	m.evidence[j.origin()] = true
	delete(h.gone, chain)
	if len(h.chains)+len(h.gone) == 0 {
		m.letgo(h, "watcher", &store.Accepted{})
	}
}

// delivered says whether something that a transfer's steps wait for was there
// before a place where a transfer begins again.
func (m *Model) delivered(plan []store.StepPlan, chain string, t tokens.Transfer) bool {
	return slices.ContainsFunc(plan, func(s store.StepPlan) bool {
		return s.Key != "" && !s.Shared && slices.ContainsFunc(m.facts[s.Key], func(f modelFact) bool {
			return f.Chain != chain || place(f.Height, f.LogIndex) < place(t.Height, t.Origin.Index)
		})
	})
}
