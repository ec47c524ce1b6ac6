package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/test/rig"
)

// trial is one injection of one fault and what came of it.
type trial struct {
	Fault  string `json:"fault"`
	Index  int    `json:"index"`
	Seed   uint64 `json:"seed"`
	Note   string `json:"note,omitempty"`
	Failed string `json:"failed,omitempty"`
	// Seconds from the moment the fault was over until the last transfer sent
	// before that had ended.
	Seconds    float64   `json:"seconds"`
	Took       float64   `json:"took"` // of the whole trial
	Transfers  int       `json:"transfers"`
	Invariants int       `json:"invariants"` // evaluations
	Spent      rig.Spent `json:"spent"`
	Stale      int       `json:"stale"` // writes refused for a stale fence
	// Retried are transfers parked as poison, since whoever worked on them was
	// killed six times in a row, and put back by an operator.
	Retried int `json:"retried"`
}

// seedOf gives each trial a seed of its own, so that it can be repeated alone.
func seedOf(seed uint64, id string, index int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%d", seed, id, index)
	return h.Sum64()
}

// stuckAfter is how long transfers may take to end once a fault is over.
const stuckAfter = 3 * time.Minute

// run injects a fault, waits until whatever was sent before it was over has
// ended, and checks everything.
func (w *world) run(ctx context.Context, f fault, index int, seed uint64) trial {
	t := trial{Fault: f.ID, Index: index, Seed: seed}
	began := time.Now()
	err := w.try(ctx, f, &t)
	t.Took = time.Since(began).Seconds()
	if err != nil {
		t.Failed = err.Error()
	}
	return t
}

func (w *world) try(ctx context.Context, f fault, t *trial) error {
	w.turn = t.Index
	rng := rand.New(rand.NewPCG(t.Seed, 1))
	from, err := w.Heights(ctx)
	if err != nil {
		return err
	}
	_, before := w.Ledger.Counts()
	retried := w.Retried()
	inject := f.inject
	if f.ID == "MIX" {
		inject = mix
	}
	if t.Note, err = inject(ctx, w, rng); err != nil {
		return fmt.Errorf("inject: %w", err)
	}
	t.Note = strings.TrimSpace(t.Note)

	cleared := time.Now()
	last, err := w.Settle(ctx, cleared, stuckAfter)
	if err != nil {
		return err
	}
	t.Seconds = max(0, last.Sub(cleared).Seconds())
	_, ended := w.Ledger.Counts()
	t.Transfers, t.Retried = ended-before, w.Retried()-retried
	if f.forgets {
		w.Forget()
		if err := w.AuditAnew(); err != nil {
			return err
		}
	}
	return w.check(ctx, from, t)
}

// check evaluates what must hold at any time.
func (w *world) check(ctx context.Context, from rig.Heights, t *trial) error {
	var errs []error
	lines, err := w.Stream(ctx)
	errs = append(errs, err, w.Tap.Check())
	t.Stale = lines["stale"]
	n, err := w.Sound(ctx)
	t.Invariants = n + 2 // and I9 and the journal's own
	errs = append(errs, err)
	if parked, err := w.Parked(ctx); err != nil {
		errs = append(errs, err)
	} else if parked > 0 {
		errs = append(errs, fmt.Errorf("%d transfers are parked", parked))
	}
	for _, i := range w.Instances {
		if i.Joined() && !i.Running() {
			errs = append(errs, fmt.Errorf("%s ended by itself", i.Name))
		}
	}
	errs = append(errs, w.load.Err())
	to, err := w.Heights(ctx)
	if err == nil {
		t.Spent, err = w.Spent(ctx, from, to)
	}
	return errors.Join(append(errs, err)...)
}

// end stops the load and compares everything with everything once more.
func (w *world) end(ctx context.Context) error {
	_, err := w.load.Stop()
	if err == nil {
		err = w.Reread(ctx)
	}
	if err == nil {
		if err = w.AuditAnew(); err == nil {
			_, err = w.Sound(ctx)
		}
	}
	return errors.Join(err, w.Secrets())
}
