package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"golang.org/x/sync/errgroup"
)

// What a catch-up reads at once, where the configuration says nothing: so many
// stretches of so many blocks.
const (
	defaultStretch = 2000
	defaultAhead   = 4
)

// A stretch with more events than heavyStretch is followed by shorter ones; one
// that holds fullStretch is handed over as it is. So what waits to be written is
// bounded by the stretches ahead, whatever their blocks hold.
const (
	heavyStretch = 2048
	fullStretch  = 4 * heavyStretch
	leastStretch = 128
)

// far says that a watcher is so far behind that it catches up.
func (w *Watcher) far(cur chains.Cursor, head chains.Block) bool {
	return head.Number-cur.Next >= 2*w.cfg.Stretch
}

// catchUp reads up to a head. Beside it the newest blocks are followed, so that
// what happens now does not wait for what happened long ago; a fork that either
// finds stops both.
func (w *Watcher) catchUp(ctx context.Context, cur chains.Cursor, head chains.Block) error {
	group, both := errgroup.WithContext(ctx)
	lane, stop := context.WithCancel(both)
	group.Go(func() error { defer stop(); return w.backfill(both, cur, head) })
	group.Go(func() error { return w.live(lane, head) })
	err := group.Wait()
	var changed *changedError
	if !errors.As(err, &changed) {
		return err
	}

	// The lane that found it never knows the journal's cursor; both have ended now.
	cur, _, err = w.cfg.Journal.Cursor(ctx, w.cfg.Chain)
	if err != nil {
		return fmt.Errorf("%w; read cursor: %w", changed, err)
	}
	if err := w.ahead(ctx, cur, chains.Block{Number: changed.top}, nil); err != nil {
		return err
	}
	return fmt.Errorf("%v, and every recorded block is as it was: %w", changed, chains.ErrUnavailable)
}

// stretch is a range that is read before its turn.
type stretch struct {
	from chains.Cursor // where it is not the first: only the height
	to   uint64
	read chan struct{} // closed when the rest is there

	pages []page
	held  int // events
	err   error
}

// page is one answer of the source.
type page struct {
	from   chains.Cursor
	last   chains.Block
	events []chains.Event
}

// backfill reads stretches at once and writes them one by one, in order. Each
// begins with the hash of the block before it, as the chain says; what goes in
// is only what begins with the very cursor of the journal.
func (w *Watcher) backfill(ctx context.Context, cur chains.Cursor, head chains.Block) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	progress := w.begin(cur.Next, head.Number)
	defer progress.end()

	var ahead []*stretch
	size, from := w.cfg.Stretch, cur
	for cur.Next <= head.Number {
		for len(ahead) < w.cfg.Ahead && from.Next <= head.Number {
			s := &stretch{from: from, to: min(from.Next+size-1, head.Number), read: make(chan struct{})}
			ahead, from = append(ahead, s), chains.Cursor{Chain: cur.Chain, Next: s.to + 1}
			first := len(ahead) == 1 && s.from == cur
			readers.Go(func() { defer close(s.read); w.fetch(ctx, s, first, head.Number) })
		}
		s := ahead[0]
		ahead = ahead[1:]
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.read:
		}
		size = w.resized(size, s)
		var err error
		if cur, err = w.take(ctx, cur, s, head.Number); err != nil {
			return err
		}
		progress.reached(ctx, cur.Next)
		if w.cfg.Failed != nil {
			w.cfg.Failed(nil)
		}
	}
	return nil
}

// resized is how long the next stretches are, after one.
func (w *Watcher) resized(size uint64, s *stretch) uint64 {
	switch {
	case s.err != nil, s.held > heavyStretch:
		return max(size/2, min(leastStretch, w.cfg.Stretch))
	case s.held < heavyStretch/4:
		return min(size+size/4+1, w.cfg.Stretch)
	}
	return size
}

// fetch reads a stretch without a look at the journal. Where it begins and ends
// is what blocks there are: around null rounds the one that follows begins where
// it ends.
func (w *Watcher) fetch(ctx context.Context, s *stretch, first bool, head uint64) {
	cur := s.from
	if !first {
		before, err := w.cfg.Source.At(ctx, cur.Next-1)
		if err != nil {
			s.err = fmt.Errorf("read block %d: %w", cur.Next-1, err)
			return
		}
		cur.Next, cur.Parent = before.Number+1, before.Hash
	}
	if s.to < head {
		end, err := w.cfg.Source.At(ctx, s.to)
		if err != nil {
			s.err = fmt.Errorf("read block %d: %w", s.to, err)
			return
		}
		s.to = end.Number
	}
	for cur.Next <= s.to && s.held < fullStretch {
		p, err := w.page(ctx, cur, s.to, head)
		if err != nil {
			s.err = err
			return
		}
		s.pages, s.held = append(s.pages, p), s.held+len(p.events)
		cur = after(p)
	}
}

// page asks for what follows a cursor, up to a height.
func (w *Watcher) page(ctx context.Context, cur chains.Cursor, to, head uint64) (page, error) {
	last, events, err := w.cfg.Source.Events(ctx, chains.Query{From: cur, To: to, Filter: w.cfg.Filter})
	if err != nil {
		return page{}, fmt.Errorf("read events: %w", err)
	}
	if last.Number < cur.Next || last.Number > head {
		return page{}, fmt.Errorf("[BUG] source answered up to %d for [%d, %d]", last.Number, cur.Next, to)
	}
	return page{cur, last, events}, inOrder(cur, last, events)
}

// after is the cursor behind a page.
func after(p page) chains.Cursor {
	return chains.Cursor{Chain: p.from.Chain, Next: p.last.Number + 1, Parent: p.last.Hash}
}

// take writes a stretch. What does not follow the cursor, or could not be read
// before its turn, is read now: then the source compares the cursor's block
// with the chain, and says whether it has changed.
func (w *Watcher) take(ctx context.Context, cur chains.Cursor, s *stretch, head uint64) (chains.Cursor, error) {
	for _, p := range s.pages {
		if p.from != cur {
			break
		}
		if err := w.put(ctx, p); err != nil {
			return cur, err
		}
		cur = after(p)
	}
	for cur.Next <= s.to {
		next, err := w.advance(ctx, cur, s.to, head)
		if err != nil {
			return cur, err
		}
		cur = next
	}
	return cur, nil
}

// advance reads what follows the cursor, up to a height, and writes it.
func (w *Watcher) advance(ctx context.Context, cur chains.Cursor, to, head uint64) (chains.Cursor, error) {
	p, err := w.page(ctx, cur, to, head)
	switch {
	case errors.Is(err, chains.ErrReorg):
		return cur, w.regress(ctx, cur, max(cur.Next, 1)-1, err)
	case errors.Is(err, chains.ErrPruned):
		return cur, fmt.Errorf("%w: %s is to be read from block %d on, which its endpoint no longer keeps: give it one with the whole history (an archive node), nothing is skipped: %w",
			ErrHalted, w.cfg.Chain, cur.Next, err)
	case err != nil:
		return cur, err
	}
	return after(p), w.put(ctx, p)
}

// put writes a page that follows the cursor.
func (w *Watcher) put(ctx context.Context, p page) error {
	if err := w.ahead(ctx, p.from, p.last, p.events); err != nil {
		return err
	}
	return w.ingest(ctx, p.from, p.last, p.events)
}
