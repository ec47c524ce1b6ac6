package work

import (
	"context"

	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// Head says that a chain has a new final block. What strict lanes wait for, a
// statement, signatures, a transaction ahead, comes with a block: their heads
// are looked at again now and not when their pause is over. Correctness never
// depends on it.
func (p *Pool) Head() {
	p.headsSeen.Add(1)
	select {
	case p.heads <- struct{}{}:
	default:
	}
}

// follow wakes what waits at each head.
func (p *Pool) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.heads:
		}
		p.mu.Lock()
		due := p.waiting
		p.waiting = map[string]common.Hash{}
		p.mu.Unlock()
		for lane, id := range due {
			// Where this fails the pause ends by itself.
			if err := p.cfg.Queue.Wake(ctx, id); err != nil && ctx.Err() == nil {
				p.cfg.Log.DebugContext(ctx, "work: lane not woken", "lane", lane, "err", err)
			}
		}
		if len(due) > 0 {
			p.Wake()
		}
	}
}

// wait takes note of a strict lane whose head only waits. seen is how many heads
// there were before the look: what came since may be what it waits for.
func (p *Pool) wait(lease store.Lease, verdicts []store.Verdict, seen uint64) {
	if len(lease.Jobs) == 0 || !lease.Jobs[0].Strict {
		return
	}
	lane := lease.Fence.Lane
	p.mu.Lock()
	delete(p.waiting, lane)
	for _, v := range verdicts {
		// One that fails backs off, whatever its chain does, and what is sent is
		// moved on by its own event.
		if !decides(v) && !v.CountAttempt && v.Cause != "" {
			p.waiting[lane] = v.ID
		}
	}
	late := len(p.waiting) > 0 && p.headsSeen.Load() != seen
	p.mu.Unlock()
	if late {
		select {
		case p.heads <- struct{}{}:
		default:
		}
	}
}

// leading leaves out what says nothing: of a strict lane nobody moves before its
// head, so when to look at those behind it again is the head's matter. They go
// back as they came.
func leading(lease store.Lease, verdicts []store.Verdict) []store.Verdict {
	if len(lease.Jobs) == 0 || !lease.Jobs[0].Strict {
		return verdicts
	}
	place := make(map[common.Hash]int, len(lease.Jobs))
	for i, j := range lease.Jobs {
		place[j.Transfer.ID] = i
	}
	out, head := verdicts[:0:0], -1
	for i, v := range verdicts {
		switch {
		case decides(v):
			out = append(out, v)
		case head < 0 || place[v.ID] < place[verdicts[head].ID]:
			head = i
		}
	}
	if head >= 0 {
		out = append(out, verdicts[head])
	}
	return out
}

// decides says whether a verdict moves its transfer.
func decides(v store.Verdict) bool { return v.Advance != "" || v.Park }
