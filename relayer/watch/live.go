package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
)

// changedError says that the live lane found a final block that has changed, and
// how far it had read.
type changedError struct {
	top   uint64
	cause error
}

func (e *changedError) Error() string { return e.cause.Error() }
func (e *changedError) Unwrap() error { return e.cause }

// live puts what the newest final blocks hold into the journal while older ones
// are caught up with. It never moves the cursor: the backfill comes here too, and
// finds what is known. It ends with its context, or with a block that changed.
// Where it reads is its own: nothing of the watcher is written here.
func (w *Watcher) live(ctx context.Context, head chains.Block) error {
	var at chains.Cursor
	quiet := false
	for {
		next, err := w.follow(ctx, at, head)
		pause := w.cfg.Tick
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, chains.ErrReorg) && next != (chains.Cursor{}):
			return &changedError{max(next.Next, 1) - 1, err}
		case err != nil:
			if !quiet {
				w.cfg.Log.WarnContext(ctx, "watch: the newest blocks are not read beside the catch-up: will retry", "chain", w.cfg.Chain, "err", err)
			}
			quiet, pause = true, max(pause, maxWait)
		default:
			at, quiet = next, false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		newest, err := w.cfg.Source.Head(ctx)
		switch {
		case errors.Is(err, chains.ErrReorg):
			return &changedError{max(at.Next, 1) - 1, err}
		case err == nil:
			head = newest
			if w.cfg.Head != nil {
				w.cfg.Head(head)
			}
		}
	}
}

// follow reads from a cursor up to the head; the zero Cursor begins a stretch
// below it, and stays zero where nothing could be read: that what follows does not
// fit a block which nobody has recorded says nothing of the chain.
func (w *Watcher) follow(ctx context.Context, at chains.Cursor, head chains.Block) (chains.Cursor, error) {
	read := at
	if at == (chains.Cursor{}) {
		before, err := w.cfg.Source.At(ctx, head.Number-min(head.Number, w.cfg.Stretch))
		if err != nil {
			return read, fmt.Errorf("read a newer block: %w", err)
		}
		at = chains.Cursor{Chain: w.cfg.Start.Chain, Next: before.Number + 1, Parent: before.Hash}
	}
	for at.Next <= head.Number {
		p, err := w.page(ctx, at, head.Number, head.Number)
		if err != nil {
			return read, err
		}
		for events := range slices.Chunk(p.events, maxIngest) {
			if err := w.bring(ctx, events); err != nil {
				return read, err
			}
		}
		at = after(p)
		read = at
	}
	return at, nil
}

// bring writes events that the cursor has not come to. Facts of shared keys are
// left to the backfill, with the transfers that wait for one from their first
// step: each decides the oldest that waits, which may not be known yet.
func (w *Watcher) bring(ctx context.Context, events []chains.Event) error {
	jobs, facts, err := Translate(w.cfg.Chain, w.cfg.Flows, events)
	if err != nil {
		return err
	}
	jobs = slices.DeleteFunc(jobs, func(j store.NewJob) bool { return len(j.Steps) > 0 && j.Steps[0].Shared })
	facts = slices.DeleteFunc(facts, func(f store.Fact) bool { return f.Shared })
	created, advanced, err := w.cfg.Journal.Backfill(ctx, w.cfg.Chain, jobs, facts)
	if err != nil {
		return fmt.Errorf("bring newer events: %w", err)
	}
	if created+advanced > 0 && w.cfg.Brought != nil {
		w.cfg.Brought(created, advanced)
	}
	return nil
}
