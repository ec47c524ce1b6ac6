package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// LaneJobs is store.DB's.
func (m *Model) LaneJobs(_ context.Context, lane string, fromSeq uint64, most int) ([]store.Job, error) {
	var out []store.Job
	for _, j := range m.order(lane) {
		if j.Seq >= fromSeq && len(out) < min(most, 1000) {
			out = append(out, m.show(j))
		}
	}
	return out, nil
}

// List is store.DB's, which looks at a thousand rows at most.
func (m *Model) List(_ context.Context, f store.Filter) (jobs []store.Job, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	a := common.HexToAddress(f.Address)
	var found []*modelJob
	for _, j := range m.jobs {
		t := j.Transfer
		_, users := tokens.RouteByName(t.Route)
		ours := f.Hidden || !t.Hidden && (users || f.Address != "")
		ours = ours && (f.Route == "" || t.Route == f.Route) && (f.Status == "" || j.Status == f.Status)
		ours = ours && (f.Address == "" || a != (common.Address{}) && (t.Sender == a || t.Recipient == a))
		if ours && (f.Cursor == "" || tail(t) < f.Cursor) {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *modelJob) int { return cmp.Compare(tail(b.Transfer), tail(a.Transfer)) })
	for _, j := range found[:min(len(found), f.Limit)] {
		jobs = append(jobs, m.show(j))
	}
	if len(found) > f.Limit {
		next = tail(found[f.Limit-1].Transfer)
	}
	return jobs, next, nil
}

// tail orders transfers by the time of their origin.
func tail(t tokens.Transfer) string { return fmt.Sprintf("%012d-%s", t.At, t.ID.Hex()) }

// Stats is store.DB's, without what only Redis has: memory and the journal.
func (m *Model) Stats(context.Context) (store.Stats, error) {
	type group struct {
		route     string
		status    tokens.Status
		step      string
		discarded bool
	}
	counts := map[group]*store.Count{}
	s := store.Stats{Undecided: len(m.live(nil))}
	var oldest uint64
	for _, j := range m.jobs {
		g := group{route: j.Transfer.Route, status: j.Status}
		switch {
		case j.Discarded:
			g.discarded = true
			s.Discarded++
		case j.Status == tokens.Parked:
			g.step = j.Step
			s.Parked++
		case j.Status == tokens.Pending:
			g.step = j.Step
			s.Pending++
			if oldest == 0 || j.Transfer.At < oldest {
				oldest = j.Transfer.At
			}
		}
		c := counts[g]
		if c == nil {
			c = &store.Count{Route: g.route, Status: g.status, Step: g.step, Discarded: g.discarded, Oldest: j.Transfer.At}
			counts[g] = c
		}
		c.N++
		c.Oldest = min(c.Oldest, j.Transfer.At)
	}
	if oldest > 0 {
		s.OldestPending = time.Unix(int64(oldest), 0).UTC()
	}
	for _, c := range counts {
		s.Counts = append(s.Counts, *c)
	}
	name := func(c store.Count) string {
		step := c.Step
		if c.Discarded {
			step = "~discarded"
		}
		return strings.Join([]string{c.Route, string(c.Status), step, ""}, "\n")
	}
	slices.SortFunc(s.Counts, func(a, b store.Count) int { return cmp.Compare(name(a), name(b)) })
	return s, nil
}

// Audit is store.DB's: rows that are Go values have nothing to repair.
func (m *Model) Audit(context.Context) (int, error) { return 0, nil }
