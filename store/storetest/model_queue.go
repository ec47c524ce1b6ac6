package storetest

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Claim is store.DB's.
func (m *Model) Claim(_ context.Context, worker string, most int) (store.Lease, bool, error) {
	if m.lost != nil {
		return store.Lease{}, false, nil
	}
	var best []*modelJob
	var since time.Time
	for lane := range m.modes {
		q := m.order(lane)
		if len(q) == 0 || m.leases[lane] != nil || m.paused[lane] != "" || m.stopped(lane) != "" || m.ready(q).After(m.now()) {
			continue
		}
		if at := m.ready(q); best == nil || cmp.Or(at.Compare(since), strings.Compare(lane, best[0].Lane)) < 0 {
			best, since = q, at
		}
	}
	if best == nil {
		return store.Lease{}, false, nil
	}
	head, strict := best[0], m.modes[best[0].Lane].strict
	rows := 4 * most
	if strict {
		most = rows
	}
	jobs := []store.Job{m.show(head)}
	if head.Crashes == 0 {
		for _, j := range best[1:min(len(best), rows)] {
			if len(jobs) >= most || j.NotBefore.After(m.now()) {
				break
			}
			if j.Transfer.Route == head.Transfer.Route && j.Step == head.Step && j.Crashes == 0 {
				jobs = append(jobs, m.show(j))
			} else if strict {
				break
			}
		}
	}
	m.fence++
	l := &modelLease{
		fence:  chains.Fence{Lane: head.Lane, Epoch: m.epoch, Counter: m.fence},
		worker: worker, route: head.Transfer.Route, step: head.Step, until: m.now().Add(m.LeaseTime),
	}
	for _, j := range jobs {
		l.ids = append(l.ids, j.Transfer.ID)
	}
	m.leases[head.Lane] = l
	return store.Lease{Fence: l.fence, Step: l.step, Jobs: jobs, Until: l.until, Worker: worker}, true, nil
}

// owner is the lease a fence belongs to.
func (m *Model) owner(f chains.Fence) *modelLease {
	if l := m.leases[f.Lane]; l != nil && l.fence == f {
		return l
	}
	return nil
}

// Extend is store.DB's.
func (m *Model) Extend(_ context.Context, l store.Lease) (store.Lease, error) {
	h := m.owner(l.Fence)
	if h == nil {
		return l, store.ErrStale
	}
	h.until = m.now().Add(m.LeaseTime)
	l.Until = h.until
	return l, nil
}

// Settle is store.DB's.
func (m *Model) Settle(_ context.Context, l store.Lease, verdicts []store.Verdict) error {
	h := m.owner(l.Fence)
	if h == nil {
		return store.ErrStale
	}
	for _, v := range verdicts {
		j := m.jobs[v.ID]
		if j == nil || j.Status != tokens.Pending || j.Step != v.Step || j.Lane != l.Fence.Lane {
			continue
		}
		switch {
		case v.Advance != "" && (j.waits() != "" || m.stopped(j.Lane) != ""):
			j.NotBefore, j.UpdatedAt = m.now().Add(j.plan[j.StepIndex].Poll), m.now()
		case v.Advance != "":
			m.advance(j, j.StepIndex, v.Advance, v.Reason, v.Cause, h.worker, v.Fact)
		case v.Park && !j.Strict:
			m.park(j, v.Reason, v.Cause, h.worker)
		default:
			if v.CountAttempt {
				j.Attempts++
			}
			j.Err, j.Reason, j.Crashes = v.Cause, v.Reason, 0
			j.NotBefore, j.UpdatedAt = m.now().Add(v.RetryAt), m.now()
		}
	}
	m.release(l.Fence.Lane)
	m.deal()
	m.tidy()
	return nil
}

func (m *Model) park(j *modelJob, reason, note, by string) {
	m.write(j, store.Entry{Step: j.Step, Reason: reason, Note: note, By: by}, nil)
	j.Status, j.Reason, j.Err, j.UpdatedAt = tokens.Parked, reason, note, m.now()
}

// Reap is store.DB's.
func (m *Model) Reap(context.Context) (int, error) {
	n := 0
	for lane, l := range m.leases {
		if l.until.After(m.now()) {
			continue
		}
		n++
		for _, id := range l.ids {
			j := m.jobs[id]
			if j == nil || j.Status != tokens.Pending || j.Step != l.step || j.Lane != lane {
				continue
			}
			j.Crashes++
			cause := "lease of " + l.worker + " ran out"
			if j.Crashes >= 6 && !j.Strict {
				m.park(j, "poison", cause, l.worker)
			} else {
				wait := min(time.Minute, time.Second<<min(j.Crashes-1, 10))
				j.Err, j.NotBefore, j.UpdatedAt = cause, m.now().Add(wait), m.now()
			}
			if j.Strict {
				break
			}
		}
		m.release(lane)
	}
	m.tidy()
	return n, nil
}

// Wake is store.DB's.
func (m *Model) Wake(_ context.Context, id common.Hash) error {
	j := m.jobs[id]
	if j == nil {
		return store.ErrUnknown
	}
	if j.Status == tokens.Pending && j.NotBefore.After(m.now()) {
		j.NotBefore, j.UpdatedAt = m.now(), m.now()
	}
	return nil
}

func (m *Model) parked(id common.Hash) (*modelJob, error) {
	j := m.jobs[id]
	if j == nil {
		return nil, store.ErrUnknown
	}
	if j.Status != tokens.Parked {
		return nil, store.ErrNotParked
	}
	return j, nil
}

// Retry is store.DB's.
func (m *Model) Retry(_ context.Context, id common.Hash, who string) error {
	j, err := m.parked(id)
	if err != nil {
		return err
	}
	if m.held[id] != nil {
		return store.ErrHeld
	}
	j.Status, j.Discarded, j.Reason, j.Err, j.Attempts, j.Crashes = tokens.Pending, false, "", "", 0, 0
	m.enter(j, j.StepIndex)
	j.NotBefore = m.now()
	m.write(j, store.Entry{Step: j.Step, Reason: "retried", By: who}, nil)
	m.consume(j)
	m.deal()
	m.tidy()
	return nil
}

// Discard is store.DB's.
func (m *Model) Discard(_ context.Context, id common.Hash, who, why string) error {
	j, err := m.parked(id)
	if err != nil {
		return err
	}
	h := m.held[id]
	if h != nil && len(h.chains) > 0 {
		return store.ErrHeld
	}
	if h == nil {
		j.Reason = "operator"
	}
	j.Discarded, j.Err, j.UpdatedAt = true, why, m.now()
	m.write(j, store.Entry{Step: j.Step, Reason: "operator", Note: why, By: who}, nil)
	return nil
}
