package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
)

const (
	// holeLooks is how many looks in a row must find a hole before it is filled.
	holeLooks = 5
	// foreignBatch bounds the nonces checked per look.
	foreignBatch = 64
	// compactAbove is the size in lines at which the intents file is rewritten.
	compactAbove = 1024
)

// fillHole looks for a nonce that no intent covers below one that an intent
// does: nothing above it can ever be mined. It can only come from a journal
// that forgot. The hole gets an abandoned intent, whose no-op the next look
// signs; where the journal does know the nonce as decided, the chain was
// reorganised below its final block, and the decided bytes are sent again.
func (m *TxManager) fillHole(ctx context.Context, a *account, live []chains.Intent, v view) error {
	hole := len(live) > 0 && live[0].Nonce > v.latest
	a.mu.Lock()
	if hole {
		a.holeLooks++
	} else {
		a.holeLooks = 0
	}
	looks := a.holeLooks
	a.mu.Unlock()
	if looks < holeLooks {
		return nil
	}

	old, ok, err := m.journal.Intent(ctx, m.client.ChainID(), a.address, v.latest)
	if err != nil {
		return err
	}
	if ok {
		// A journal drops the bytes of what it has decided; then only a person can
		// help, and the status shows the nonce standing still.
		if last := lastAttempt(old); last != nil && len(last.Raw) > 0 {
			m.broadcast(ctx, a, old.Nonce, *last)
		}
		return nil
	}
	m.log.ErrorContext(ctx, "nonce below pending ones has no intent, filling it with a no-op", "account", a.address, "nonce", v.latest)
	return m.journal.Replay(ctx, chains.Intent{
		Chain: m.client.ChainID(), Account: a.address, Nonce: v.latest, Key: fmt.Sprintf("hole/%s/%d", a.address, v.latest),
		To: a.address, State: chains.IntentReserved, CreatedAt: m.now(), Abandoned: true,
	})
}

// watchForeign reports nonces that final blocks have used since the last look
// and that the journal does not know: somebody else holds the key.
func (m *TxManager) watchForeign(ctx context.Context, a *account, final uint64) error {
	a.mu.Lock()
	from, seen := a.final, a.finalSeen
	a.mu.Unlock()
	if !seen {
		// What happened before the first look is not judged.
		from = final
	}
	to := min(final, from+foreignBatch)
	for n := from; n < to; n++ {
		_, ok, err := m.journal.Intent(ctx, m.client.ChainID(), a.address, n)
		if err != nil {
			return err
		}
		if !ok {
			m.foreign(ctx, a, n)
		}
		a.mu.Lock()
		a.final = n + 1
		a.mu.Unlock()
	}
	a.mu.Lock()
	a.finalSeen, a.final = true, max(to, a.final)
	a.mu.Unlock()
	return nil
}

func (m *TxManager) foreign(ctx context.Context, a *account, nonce uint64) {
	a.note(func(s *AccountStatus) { s.ForeignNonces++ })
	m.cfg.Metrics.Foreign.WithLabelValues(m.client.Name()).Inc()
	m.log.ErrorContext(ctx, "nonce used by a transaction that is not ours", "account", a.address, "nonce", nonce)
}

// tidy ends a complete look: status, memory of nonces that are past, and the
// intents file.
func (m *TxManager) tidy(ctx context.Context, a *account, live []chains.Intent, v view, ceiling bool) {
	keep := map[uint64]bool{}
	next := v.latest
	for _, in := range live {
		keep[in.Nonce] = true
		next = max(next, in.Nonce+1)
	}
	a.mu.Lock()
	for n := range a.memos {
		if !keep[n] && n < v.final {
			delete(a.memos, n)
		}
	}
	a.nextLook = m.now().Add(m.cfg.Idle)
	s := &a.status
	s.NextNonce, s.AtCeiling, s.LastLook = next, ceiling, m.now()
	s.Oldest = oldest(live)
	a.mu.Unlock()

	if m.file != nil && m.file.size() > compactAbove {
		final, err := m.finalNonces(ctx)
		if err == nil {
			err = m.compact(final)
		}
		if err != nil {
			m.log.WarnContext(ctx, "intents file not compacted; will retry", "error", err)
		}
	}
}

// oldest is when the first of the undecided intents was made; zero if none is.
func oldest(live []chains.Intent) time.Time {
	if len(live) == 0 {
		return time.Time{}
	}
	return live[0].CreatedAt
}
