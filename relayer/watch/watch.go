// Package watch turns final events into jobs: one loop per chain. It promises
// that the cursor moves only together with everything read below it, so that
// no event is skipped, and that an event read twice changes nothing.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
)

// maxIngest bounds the events of one script. A block with more of ours goes in
// in parts; the cursor moves with the last of them, since it stands only
// between blocks.
const maxIngest = 256

// maxWait bounds the pause after an error: with full jitter, twice as long.
const maxWait = 4 * time.Second

// ErrHalted says that an event of our own contract cannot be read, or that the
// endpoint no longer has the blocks that come next. The watcher stays where it
// is, since going on would lose a transfer.
var ErrHalted = errors.New("watcher halted")

// Journal is what a watcher needs of the store.
type Journal interface {
	Forks
	Forked(ctx context.Context, chain string) (store.Fork, bool, error)
	InitCursor(ctx context.Context, chain string, c chains.Cursor) error
	Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error
	Backfill(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int, err error)
}

// Config is one watcher.
type Config struct {
	Chain   string // "root", "subnet"
	Source  Chain
	Filter  chains.Filter
	Flows   []flow.Flow
	Start   chains.Cursor // where a chain never read before begins
	Journal Journal
	// Tick is the time between two looks at the head. Once the chain's pace is
	// known the next head is looked for around the time it is due instead, a fifth
	// of a tick apart. A source that wakes (chains.Waker) is looked at at once besides.
	Tick time.Duration
	Log  *slog.Logger
	// Far behind, at least two stretches of blocks, Ahead of them are read at once;
	// 0: 2,000 blocks, 4 stretches.
	Stretch uint64
	Ahead   int
	// Ingested is told how many jobs and facts went in, and up to which block.
	Ingested func(jobs, facts int, last chains.Block)
	// Head is told every final head seen.
	Head func(chains.Block)
	// Failed is told what stops the loop for now; nil after a good step.
	Failed func(error)
	// Progress is told how a catch-up does; nil when it ends.
	Progress func(*Progress)
	// Brought is told what of the newest blocks came in beside a catch-up, from
	// another goroutine than the others.
	Brought func(created, advanced int)
}

// Watcher reads one chain.
type Watcher struct {
	cfg  Config
	pace pace
}

// New checks the configuration.
func New(cfg Config) (*Watcher, error) {
	var errs []error
	if cfg.Chain == "" || cfg.Source == nil || cfg.Journal == nil || cfg.Log == nil {
		errs = append(errs, errors.New("chain, source, journal and log are required"))
	}
	if len(cfg.Filter.Addresses) == 0 || len(cfg.Filter.Topics) == 0 {
		errs = append(errs, errors.New("an empty filter selects nothing"))
	}
	if cfg.Tick <= 0 {
		errs = append(errs, errors.New("tick must be positive"))
	}
	for _, f := range cfg.Flows {
		errs = append(errs, f.Check())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("watcher %s: %w", cfg.Chain, err)
	}
	if cfg.Stretch == 0 {
		cfg.Stretch = defaultStretch
	}
	if cfg.Ahead <= 0 {
		cfg.Ahead = defaultAhead
	}
	return &Watcher{cfg: cfg, pace: pace{tick: cfg.Tick}}, nil
}

// Run reads until ctx ends. Errors are logged once each and retried with
// backoff; nothing is skipped.
func (w *Watcher) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(w.cfg.Tick), backoff.WithMaxInterval(maxWait),
		backoff.WithRandomizationFactor(1), backoff.WithMaxElapsedTime(0))
	for {
		news := chains.WakeOf(w.cfg.Source) // what comes during the step is news, too
		progress, err := w.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if w.cfg.Failed != nil {
			w.cfg.Failed(err)
		}

		var pause time.Duration
		switch {
		case errors.Is(err, store.ErrCursor):
			// Another instance was quicker: what it wrote is what we would have
			// written, so only the next cursor is of interest.
			w.cfg.Log.DebugContext(ctx, "watch: another instance moved the cursor", "chain", w.cfg.Chain)
			pause = wait.NextBackOff()
		case err != nil:
			w.cfg.Log.WarnContext(ctx, "watch: will retry", "chain", w.cfg.Chain, "err", err)
			pause = wait.NextBackOff()
		case progress:
			wait.Reset()
		default:
			wait.Reset()
			pause = w.pace.pause(time.Now())
		}
		if err != nil {
			news = nil // no reason to be less patient
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-time.After(pause):
		}
	}
}

// step reads one range; progress says that there may be more at once.
func (w *Watcher) step(ctx context.Context) (progress bool, err error) {
	fork, forked, err := w.cfg.Journal.Forked(ctx, w.cfg.Chain)
	if err != nil {
		return false, err
	}
	if forked {
		return false, &ForkError{fork}
	}
	cur, ok, err := w.cfg.Journal.Cursor(ctx, w.cfg.Chain)
	if err != nil {
		return false, fmt.Errorf("read cursor: %w", err)
	}
	head, err := w.cfg.Source.Head(ctx)
	if err != nil {
		err = fmt.Errorf("read head: %w", err)
		if ok && cur.Next > 0 && errors.Is(err, chains.ErrReorg) {
			return false, w.regress(ctx, cur, cur.Next-1, err)
		}
		return false, err
	}
	w.pace.saw(head.Number, time.Now())
	if w.cfg.Head != nil {
		w.cfg.Head(head)
	}
	if !ok {
		if err := w.cfg.Journal.InitCursor(ctx, w.cfg.Chain, w.cfg.Start); err != nil {
			return false, fmt.Errorf("start cursor: %w", err)
		}
		return true, nil
	}
	if head.Number < cur.Next {
		return false, w.compare(ctx, cur, head)
	}

	if w.far(cur, head) {
		return w.shallow(ctx, true, w.catchUp(ctx, cur, head))
	}
	next, err := w.advance(ctx, cur, head.Number, head.Number)
	return w.shallow(ctx, next.Next <= head.Number, err)
}

// shallow is what a step comes to: an event that must lie deeper is no fault, and
// is asked for again in a while.
func (w *Watcher) shallow(ctx context.Context, progress bool, err error) (bool, error) {
	if !errors.Is(err, chains.ErrShallow) {
		return progress && err == nil, err
	}
	w.cfg.Log.DebugContext(ctx, "watch: a large amount waits for its depth", "chain", w.cfg.Chain, "err", err)
	return false, nil
}

// compare looks whether a head that brings nothing new is one that was recorded:
// a chain that changed may stay behind the cursor for long.
func (w *Watcher) compare(ctx context.Context, cur chains.Cursor, head chains.Block) error {
	if head.Number+1 == cur.Next && head.Hash == cur.Parent {
		return nil // the usual case
	}
	trail, err := trailOf(ctx, w.cfg.Journal, w.cfg.Chain, cur, head.Number)
	if err != nil {
		return err
	}
	if len(trail) == 0 || trail[len(trail)-1].Number != head.Number {
		return nil
	}
	for _, b := range trail {
		if b == (chains.Block{Number: head.Number, Hash: head.Hash}) {
			return nil
		}
	}
	cause := fmt.Errorf("%s: final block %d is %s, another one was recorded: %w", w.cfg.Chain, head.Number, head.Hash, chains.ErrReorg)
	return w.regress(ctx, cur, head.Number, cause)
}

// inOrder refuses events that a cursor could not stand between.
func inOrder(cur chains.Cursor, last chains.Block, events []chains.Event) error {
	at := cur.Next
	for _, e := range events {
		if e.Chain != cur.Chain || e.Block < at || e.Block > last.Number {
			return fmt.Errorf("[BUG] source gave an event of chain %s, block %d, after block %d of [%d, %d]", e.Chain, e.Block, at, cur.Next, last.Number)
		}
		at = e.Block
	}
	return nil
}

// ingest writes the events in parts of at most maxIngest. The cursor moves to
// the last block of which everything is written. A death between two parts is
// harmless: what is above the cursor is read again, and store.Ingest knows every
// job by its id and every fact by its event.
func (w *Watcher) ingest(ctx context.Context, cur chains.Cursor, last chains.Block, events []chains.Event) error {
	for len(events) > 0 {
		n := partEnd(events)
		part := events[:n]
		to := cur
		switch end := part[n-1]; {
		case n == len(events):
			to.Next, to.Parent = last.Number+1, last.Hash
		case events[n].Block != end.Block:
			to.Next, to.Parent = end.Block+1, end.BlockHash
		}
		if err := w.write(ctx, cur, to, part); err != nil {
			return err
		}
		cur, events = to, events[n:]
	}
	if cur.Next > last.Number {
		return nil
	}
	return w.write(ctx, cur, chains.Cursor{Chain: cur.Chain, Next: last.Number + 1, Parent: last.Hash}, nil)
}

// partEnd is the length of the first part: whole blocks where they fit.
func partEnd(events []chains.Event) int {
	if len(events) <= maxIngest {
		return len(events)
	}
	for n := maxIngest; n > 0; n-- {
		if events[n].Block != events[n-1].Block {
			return n
		}
	}
	return maxIngest
}

func (w *Watcher) write(ctx context.Context, from, to chains.Cursor, events []chains.Event) error {
	jobs, facts, err := Translate(w.cfg.Chain, w.cfg.Flows, events)
	if err != nil {
		return err
	}
	crash.At("watch.before_ingest")
	// store.Ingest compares the cursor, so a second run of this write, by us
	// after a crash or by another instance, is refused or changes nothing.
	if err := w.cfg.Journal.Ingest(ctx, w.cfg.Chain, from, to, jobs, facts); err != nil {
		return fmt.Errorf("ingest from %d on: %w", from.Next, err)
	}
	crash.At("watch.after_ingest")
	if w.cfg.Ingested != nil {
		w.cfg.Ingested(len(jobs), len(facts), chains.Block{Number: max(to.Next, 1) - 1, Hash: to.Parent})
	}
	return nil
}
