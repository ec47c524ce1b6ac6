package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// ForkError says that final blocks of a chain have changed. What rests on them is
// set aside, and the lanes that rely on the chain stand still, until an operator
// has compared the endpoints and accepted what the chain says now.
type ForkError struct{ store.Fork }

func (e *ForkError) Error() string {
	good := "no recorded block is as it was"
	if e.Good != (chains.Block{}) {
		good = fmt.Sprintf("block %d (%s) is the last that is as it was", e.Good.Number, e.Good.Hash)
	}
	return fmt.Sprintf("final blocks of %s have changed from height %d on: %s; %d facts and %d transfers are set aside, lanes that rely on %s stand still: compare its endpoints, then `causeway rescan --accept-fork %s` (%s)",
		e.Chain, e.From, good, e.Facts, e.Transfers, e.Chain, e.Chain, e.Why)
}

// Unwrap makes errors.Is(err, store.ErrForked) true.
func (e *ForkError) Unwrap() error { return store.ErrForked }

// Chain is what a watcher reads.
type Chain interface {
	chains.Source
	// At is the block at a height or, where there is none, the next below.
	At(ctx context.Context, height uint64) (chains.Block, error)
}

// Forks is what finding a fork needs of the store.
type Forks interface {
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	Trail(ctx context.Context, chain string, from, to uint64) ([]chains.Block, error)
	Quarantine(ctx context.Context, chain string, compared chains.Cursor, good chains.Block, why string) (store.Fork, error)
}

// regress is called when something recorded as final up to a height is no longer
// there. It compares the recorded blocks with the chain and sets aside what rests
// on those that changed. A death before the script leaves everything to the next
// look, one after it leaves a fork that every look finds.
func (w *Watcher) regress(ctx context.Context, cur chains.Cursor, top uint64, cause error) error {
	trail, err := trailOf(ctx, w.cfg.Journal, w.cfg.Chain, cur, top)
	if err != nil {
		return err
	}
	good, changed, err := lastGood(ctx, w.cfg.Source, trail)
	switch {
	case err != nil:
		return fmt.Errorf("%w; the height of the fork: %w", cause, err)
	case !changed:
		// One answer said so, and the next ones do not.
		return fmt.Errorf("%v, and every recorded block is as it was: %w", cause, chains.ErrUnavailable)
	}
	return w.aside(ctx, cur, good, cause)
}

// aside sets aside what rests on blocks above good.
func (w *Watcher) aside(ctx context.Context, cur chains.Cursor, good chains.Block, cause error) error {
	f, err := w.cfg.Journal.Quarantine(ctx, w.cfg.Chain, cur, good, cause.Error())
	if err != nil {
		return fmt.Errorf("%w; set aside what rests on it: %w", cause, err)
	}
	return &ForkError{f}
}

// ahead compares what the journal has of blocks that the cursor has not passed,
// the first parts of a big block and what a search or a rescan found, with what
// is read there now: no parent's hash tells when one of them has changed.
func (w *Watcher) ahead(ctx context.Context, cur chains.Cursor, last chains.Block, events []chains.Event) error {
	recorded, err := w.cfg.Journal.Trail(ctx, w.cfg.Chain, cur.Next, last.Number)
	if err != nil {
		return err
	}
	read := map[uint64]common.Hash{last.Number: last.Hash}
	for _, e := range events {
		read[e.Block] = e.BlockHash
	}
	for _, b := range recorded {
		if read[b.Number] == b.Hash {
			continue
		}
		now, err := w.cfg.Source.At(ctx, b.Number)
		if err != nil {
			return fmt.Errorf("read block %d again: %w", b.Number, err)
		}
		if now.Number == b.Number && now.Hash == b.Hash {
			continue
		}
		cause := fmt.Errorf("%s: final block %d was %s and is %s: %w", w.cfg.Chain, b.Number, b.Hash, now.Hash, chains.ErrReorg)
		var good chains.Block
		if cur.Next > 0 {
			if good, err = w.cfg.Source.At(ctx, cur.Next-1); err != nil {
				return fmt.Errorf("%w; the block before the cursor: %w", cause, err)
			}
		}
		if cur.Parent != (common.Hash{}) && good.Hash != cur.Parent {
			return w.regress(ctx, cur, max(cur.Next, 1)-1, cause)
		}
		return w.aside(ctx, cur, good, cause)
	}
	return nil
}

// Refork looks for a recorded fork again: the chain may have changed once more,
// further down, or after it was read again in part. Whatever rests on what is
// above the fork is set aside.
func Refork(ctx context.Context, src Chain, j Forks, f store.Fork) (store.Fork, error) {
	cur, ok, err := j.Cursor(ctx, f.Chain)
	if err != nil || !ok {
		return f, fmt.Errorf("read cursor of %s: %w", f.Chain, errors.Join(err, store.ErrUnknown))
	}
	var good chains.Block
	if f.From > 0 {
		trail, err := trailOf(ctx, j, f.Chain, chains.Cursor{Next: f.From, Parent: f.Good.Hash}, f.From-1)
		if err == nil {
			good, _, err = lastGood(ctx, src, trail)
		}
		if err != nil {
			return f, fmt.Errorf("find the fork of %s: %w", f.Chain, err)
		}
	}
	return j.Quarantine(ctx, f.Chain, cur, good, f.Why)
}

// trailOf is the trail up to a height, with the cursor's own block.
func trailOf(ctx context.Context, j Forks, chain string, cur chains.Cursor, top uint64) ([]chains.Block, error) {
	trail, err := j.Trail(ctx, chain, 0, top)
	if err != nil {
		return nil, err
	}
	if cur.Parent != (common.Hash{}) && cur.Next > 0 && cur.Next-1 <= top {
		trail = append(trail, chains.Block{Number: cur.Next - 1, Hash: cur.Parent})
	}
	slices.SortStableFunc(trail, func(a, b chains.Block) int {
		switch {
		case a.Number < b.Number:
			return -1
		case a.Number > b.Number:
			return 1
		}
		return a.Hash.Cmp(b.Hash)
	})
	return trail, nil
}

// lastGood is the newest block of a trail that the chain still has: one that it
// has stands on all it has below, so a handful of questions find it. changed
// says that there is one it no longer has; the zero Block, that it has none.
func lastGood(ctx context.Context, src Chain, trail []chains.Block) (good chains.Block, changed bool, err error) {
	byHeight := map[uint64][]common.Hash{}
	var heights []uint64
	for _, b := range trail {
		if len(byHeight[b.Number]) == 0 {
			heights = append(heights, b.Number)
		}
		byHeight[b.Number] = append(byHeight[b.Number], b.Hash)
	}
	bad := sort.Search(len(heights), func(i int) bool {
		if err != nil {
			return true
		}
		var b chains.Block
		if b, err = src.At(ctx, heights[i]); err != nil {
			return true
		}
		if b.Number == heights[i] && slices.Contains(byHeight[b.Number], b.Hash) {
			good = b
			return false
		}
		return true
	})
	if err != nil {
		return chains.Block{}, false, err
	}
	return good, bad < len(heights), nil
}
