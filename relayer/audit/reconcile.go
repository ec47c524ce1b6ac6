package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Standing is one journaled transfer and what the journal says of it.
type Standing struct {
	Entry
	Status tokens.Status
	Step   string // that it waits at
	// Gone says that a fork took away what it rests on, as the journal knows: it
	// may have begun nowhere.
	Gone bool
}

// Ledger is the whole journal as Reconcile compares it with the chains.
type Ledger interface {
	Journal
	// Each calls f with every transfer of a subnet (by its actor) that the
	// journal keeps, in no order; one may come twice.
	Each(ctx context.Context, subnet common.Address, f func(Standing)) error
}

// Kinds of a Difference.
const (
	// Missing: it began in a final block below the cursor, the journal does not
	// know it. A rescan puts it there.
	Missing = "missing"
	// Behind: final blocks below the cursors decided it, the journal waits. A
	// rescan brings the events.
	Behind = "behind"
	// Ahead: the journal says it has ended, no final block does.
	Ahead = "ahead"
	// Otherwise: both say it has ended, and not how.
	Otherwise = "otherwise"
	// Unfounded: the journal knows it, nothing began on the chains.
	Unfounded = "unfounded"
)

// fixes says what to do about each kind.
var fixes = map[string]string{
	Missing:   "causeway rescan",
	Behind:    "causeway rescan",
	Ahead:     "stop the relayer and compare the endpoints: a final block has changed, or somebody wrote into the journal",
	Otherwise: "stop the relayer and compare the endpoints: a final block has changed, or somebody wrote into the journal",
	Unfounded: "stop the relayer and compare the endpoints: a final block has changed, or somebody wrote into the journal",
}

// Difference is one transfer of which journal and chains say two things.
type Difference struct {
	ID      common.Hash   `json:"id"`
	Route   string        `json:"route"`
	Kind    string        `json:"kind"`
	Journal tokens.Status `json:"journal,omitempty"` // "" where it does not know the transfer
	Chains  tokens.Status `json:"chains,omitempty"`  // "" where nothing began
	Fix     string        `json:"fix"`
}

// maxDifferences bounds how many are listed; all are counted.
const maxDifferences = 1000

// Reconciliation compares every transfer of the journal with what both chains
// say of it at a pinned pair of final blocks, besides the invariants. OK says
// that nothing differs and every invariant holds.
type Reconciliation struct {
	OK     bool   `json:"ok"`
	Subnet string `json:"subnet"`
	// Transfers counts those the chains know below the cursors, Compared those of
	// the journal that were judged.
	Transfers int `json:"transfers"`
	Compared  int `json:"compared"`
	// Counts are all differences by kind; Differences the first of them.
	Counts      map[string]int `json:"counts"`
	Differences []Difference   `json:"differences"`
	// Parked transfers whose end a final block knows: `causeway queue retry`
	// brings them there. They break nothing.
	Parked int    `json:"parked"`
	Audit  Report `json:"audit"`
}

// Findings are the first of what keeps a Reconciliation from being OK, for a
// person; the last one says how many more there are.
func (r Reconciliation) Findings(most int) []string {
	var all []string
	for _, d := range r.Differences {
		all = append(all, fmt.Sprintf("%s %s %s: journal %q, chains %q: %s", d.Kind, d.Route, d.ID.Hex(), d.Journal, d.Chains, d.Fix))
	}
	for _, inv := range r.Audit.Invariants {
		if !inv.OK {
			all = append(all, fmt.Sprintf("%s %s is off by %s: %s", inv.ID, inv.Token, inv.Drift, inv.Detail))
		}
	}
	for _, s := range r.Audit.Skipped {
		all = append(all, "not judged: "+s)
	}
	if len(all) > most {
		shown := max(0, most-1)
		all = append(all[:shown], fmt.Sprintf("and %d more: `causeway reconcile --json` lists them", len(all)-shown))
	}
	return all
}

// fate is what the chains say of a transfer: its status, and up to which blocks
// the events go that say so. Where events do not decide the end itself, decided are
// the steps that they do, and up to which blocks.
type fate struct {
	status  tokens.Status
	at      heights
	decided map[string]heights
}

// Reconcile audits (see Check) and compares every transfer that ledger keeps.
// Cursors are read first, the chains next and the journal's rows last, so each
// is at least as new as the one before: what was decided below a cursor must be
// in the rows, and for what only the rows know the chains are read once more.
//
// Of the chains, what earlier looks have read counts, of the journal nothing does:
// it may have lost what it had. But where the two differ, all of the chains is read
// anew before that is said.
func (a *Auditor) Reconcile(ctx context.Context, ledger Ledger) (Reconciliation, error) {
	cached := a.root.read || a.child.read
	r, err := a.reconcile(ctx, ledger)
	if err != nil || r.OK || !cached {
		return r, err
	}
	a.reset()
	return a.reconcile(ctx, ledger)
}

func (a *Auditor) reconcile(ctx context.Context, ledger Ledger) (Reconciliation, error) {
	fail := func(what string, err error) (Reconciliation, error) {
		return Reconciliation{}, fmt.Errorf("reconcile: %s: %w", what, err)
	}
	cursors := map[string]uint64{}
	for _, name := range a.names() {
		c, _, err := ledger.Cursor(ctx, name)
		if err != nil {
			return fail("read cursor", err)
		}
		cursors[name] = c.Next
	}
	a.journal, a.allNonces = newJournalMemory(), true
	defer func() { a.allNonces = false }()
	report, err := a.Check(ctx)
	if err != nil {
		return Reconciliation{}, err
	}
	under := a.under(cursors, report)

	rows := map[common.Hash]Standing{}
	if err := ledger.Each(ctx, a.src.Sub.Actor, func(s Standing) { rows[s.ID] = s }); err != nil {
		return fail("read journal", err)
	}

	out := Reconciliation{Subnet: a.src.Sub.Name, Counts: map[string]int{}, Differences: []Difference{}}
	ends := a.hist.ends()
	want := a.begun(under)
	out.Transfers = len(want)
	expected := make(map[common.Hash]fate, len(want))
	for _, e := range want {
		f := a.fate(ends, e)
		expected[e.id] = f
		// Rows that ended long ago are pruned.
		if _, ok := rows[e.id]; !ok && e.at+retentionSeconds > report.SubnetBlock.Time {
			out.differ(e.id, e.route, Missing, "", f.status)
		}
	}
	var later []Standing // to be judged by newer blocks
	for _, s := range rows {
		if !a.judges(s.Route) {
			continue
		}
		out.Compared++
		f, known := expected[s.ID]
		switch {
		case !known && a.due(s.Entry):
			f = ends.checkpoint(s.Height)
		case !known:
			later = append(later, s)
			continue
		}
		switch kind := judge(s, f, under); kind {
		case "":
		case Ahead:
			later = append(later, s)
		default:
			out.differ(s.ID, s.Route, kind, s.Status, f.status)
		}
		if s.Status == tokens.Parked && f.status.Terminal() {
			out.Parked++
		}
	}
	if len(later) > 0 {
		if report, err = a.Check(ctx); err != nil {
			return Reconciliation{}, err
		}
		a.judgeLater(&out, report, later)
	}
	out.Audit = report
	out.OK = report.OK && len(out.Counts) == 0 && len(report.Skipped) == 0
	return out, nil
}

// names are the chains whose cursors count.
func (a *Auditor) names() []string {
	out := []string{flow.Root, a.src.Sub.Name}
	if a.src.Crossing != nil {
		out = append(out, flow.Ethereum)
	}
	return out
}

// under is up to where both the journal and the report have read.
func (a *Auditor) under(cursors map[string]uint64, r Report) heights {
	h := heights{root: min(cursors[flow.Root], r.RootBlock.Number+1), child: min(cursors[a.src.Sub.Name], r.SubnetBlock.Number+1)}
	if r.EthereumBlock != nil {
		h.l1 = min(cursors[flow.Ethereum], r.EthereumBlock.Number+1)
	}
	return h
}

// fate is what the chains say of a transfer that has begun.
func (a *Auditor) fate(e ends, x expected) fate {
	if a.across(x.route) {
		return a.fateAcross(e, x)
	}
	return e.fate(x)
}

// Unjudged is the result for a subnet of which nothing can be said, and so not
// that all is well.
func Unjudged(subnet, why string) Reconciliation {
	return Reconciliation{
		Subnet: subnet, Counts: map[string]int{}, Differences: []Difference{},
		Audit: Report{Invariants: []Invariant{}, Skipped: []string{"everything: " + why}},
	}
}

// judgeLater judges the rows that knew more than the chains a moment ago.
func (a *Auditor) judgeLater(out *Reconciliation, report Report, later []Standing) {
	ends := a.hist.ends()
	expected := map[common.Hash]fate{}
	all := map[string]uint64{}
	for _, name := range a.names() {
		all[name] = ^uint64(0)
	}
	pinned := a.under(all, report)
	for _, e := range a.begun(pinned) {
		expected[e.id] = a.fate(ends, e)
	}
	for _, s := range later {
		f, known := expected[s.ID]
		if !known && a.due(s.Entry) {
			f, known = ends.checkpoint(s.Height), true
		}
		switch {
		case !known && (s.Gone || s.Height >= a.below(s.Entry, pinned)):
			// Known to be so, or an endpoint that has fallen behind: nothing can be
			// said.
		case !known:
			out.differ(s.ID, s.Route, Unfounded, s.Status, "")
		default:
			if kind := judge(s, f, heights{}); kind != "" {
				out.differ(s.ID, s.Route, kind, s.Status, f.status)
			}
		}
	}
}

// judge compares one row with its fate; below are the cursors below which the
// journal must know everything.
func judge(s Standing, f fate, below heights) string {
	switch {
	case f.status == "" || s.Status == tokens.Parked:
		return "" // the chains do not say, or a person decides
	case !s.Status.Terminal() && f.waited(s.Step, below):
		return Behind
	case s.Status == f.status || !s.Status.Terminal():
		return "" // or decided above the cursor, or found by a search yet to be made
	case !f.status.Terminal():
		return Ahead
	}
	return Otherwise
}

// waited says whether events below these heights have decided what a transfer
// still waits for.
func (f fate) waited(step string, below heights) bool {
	if f.decided == nil {
		return f.status.Terminal() && f.at.root < below.root && f.at.child < below.child
	}
	at, decided := f.decided[step]
	return decided && at.under(below)
}

func (r *Reconciliation) differ(id common.Hash, route, kind string, journal, chains tokens.Status) {
	r.Counts[kind]++
	if len(r.Differences) < maxDifferences {
		r.Differences = append(r.Differences, Difference{id, route, kind, journal, chains, fixes[kind]})
	}
}

// ends are the events that end transfers, by what names them.
type ends struct {
	*history
	withdrawals map[uint64]common.Hash // by nonce of the outbox
	settled     map[common.Hash]settlement
	lastUp      map[uint64]uint64 // last message by epoch
	accepted    map[uint64]bool   // checkpoints by height
}

func (h *history) ends() ends {
	e := ends{
		history: h, withdrawals: map[uint64]common.Hash{}, settled: map[common.Hash]settlement{},
		lastUp: map[uint64]uint64{}, accepted: map[uint64]bool{},
	}
	for _, w := range h.sent {
		e.withdrawals[w.Nonce] = w.id
	}
	for _, s := range h.settled {
		if _, twice := e.settled[s.id]; !twice {
			e.settled[s.id] = s
		}
	}
	for n, m := range h.up {
		e.lastUp[m.epoch] = max(e.lastUp[m.epoch], n)
	}
	for _, height := range h.checkpoints {
		e.accepted[height] = true
	}
	return e
}

// fate is what the chains say of a transfer that has begun. Its status is empty
// where they do not say: a power change is decided by a counter.
func (e ends) fate(x expected) fate {
	switch x.route {
	case "topdown":
		if to, ok := e.downApplied[x.nonce]; ok {
			return fate{status: tokens.Done, at: heights{child: to.block}}
		}
		return fate{status: tokens.Pending}
	case "flt_deposit", "usdc_deposit":
		return e.depositFate(x)
	case "flt_withdraw", "usdc_withdraw":
		switch s, ok := e.settled[e.withdrawals[x.nonce]]; {
		case !ok:
			return fate{status: tokens.Pending}
		case s.paid:
			return fate{status: tokens.Done, at: heights{root: s.block}}
		default:
			return fate{status: tokens.Credited, at: heights{root: s.block}}
		}
	}
	return fate{}
}

// depositFate: delivered, or refunded on the root after a failure, or credited
// where the refund was refused.
func (e ends) depositFate(x expected) fate {
	to, ok := e.downApplied[x.nonce]
	switch {
	case !ok:
		return fate{status: tokens.Pending}
	case to.outcome == ipc.OutcomeOk:
		return fate{status: tokens.Done, at: heights{child: to.block}}
	}
	if x.route == "usdc_deposit" {
		if back := e.refunds[to.id]; len(back) > 0 {
			return fate{status: refundStatus(back[0].paid), at: heights{root: back[0].block, child: to.block}}
		}
		return fate{status: tokens.Pending}
	}
	if back := e.rootResults[to.id]; len(back) > 0 {
		return fate{status: refundStatus(back[0].disposition == executed), at: heights{root: back[0].block, child: to.block}}
	}
	return fate{status: tokens.Pending}
}

func refundStatus(paid bool) tokens.Status {
	if paid {
		return tokens.Refunded
	}
	return tokens.Credited
}

// checkpoint is the fate of the one due at a height: done once the root has
// accepted it and applied all its messages. When is not kept, so a journal that
// waits is never called behind.
func (e ends) checkpoint(height uint64) fate {
	last, any := e.lastUp[height]
	if _, applied := e.upApplied[last]; e.accepted[height] && (!any || applied) {
		return fate{status: tokens.Done, at: heights{root: ^uint64(0)}}
	}
	return fate{status: tokens.Pending}
}

// ErrDiffers says that journal and chains do not agree.
var ErrDiffers = errors.New("the journal and the chains do not agree")
