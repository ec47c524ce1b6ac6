package subnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
)

// Reader is a chain that can be searched.
type Reader interface {
	chains.Source
	ChainID() chains.ID
	StartBlock() uint64
	BlockByNumber(context.Context, uint64) (chains.Block, error)
}

// Search names final events by contract, first topics and the value of a later
// topic, in blocks not older than Since (Unix seconds).
type Search struct {
	Contract common.Address
	Placed   bool // with their positions in their receipts
	Topics   []common.Hash
	Position int
	Values   []common.Hash
	Since    uint64
}

// slackSeconds is how far two chains' clocks may differ.
const slackSeconds = 600

// Find runs a search up to the final head.
func Find(ctx context.Context, r Reader, s Search) ([]chains.Event, error) {
	head, err := r.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	from, err := firstSince(ctx, r, head, s.Since)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	var found []chains.Event
	for values := range slices.Chunk(s.Values, maxValues) {
		part, err := s.find(ctx, r, from, head.Number, values)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
	}
	if len(s.Values) > maxValues {
		slices.SortStableFunc(found, func(a, b chains.Event) int {
			return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.Index, b.Index))
		})
	}
	return found, nil
}

// maxValues is how many values one question names.
const maxValues = 256

func (s Search) find(ctx context.Context, r Reader, from, to uint64, values []common.Hash) ([]chains.Event, error) {
	f := chains.Filter{Addresses: []common.Address{s.Contract}, Topics: s.Topics, Later: make([][]common.Hash, s.Position)}
	f.Later[s.Position-1] = values
	if s.Placed {
		f.Placed = f.Addresses
	}
	var found []chains.Event
	cur := chains.Cursor{Chain: r.ChainID(), Next: from}
	for cur.Next <= to {
		last, events, err := r.Events(ctx, chains.Query{From: cur, To: to, Filter: f})
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		if last.Number < cur.Next || last.Number > to {
			return nil, fmt.Errorf("search: answered up to %d from %d: %w", last.Number, cur.Next, chains.ErrUnavailable)
		}
		for _, e := range events {
			if len(e.Topics) > s.Position && slices.Contains(values, e.Topics[s.Position]) {
				found = append(found, e)
			}
		}
		cur = chains.Cursor{Chain: cur.Chain, Next: last.Number + 1, Parent: last.Hash}
	}
	return found, nil
}

// firstSince is a height at or before the first block not older than since:
// binary search over headers.
func firstSince(ctx context.Context, r Reader, head chains.Block, since uint64) (uint64, error) {
	lo, hi := r.StartBlock(), head.Number
	if since <= slackSeconds {
		return lo, nil
	}
	since -= slackSeconds
	for lo < hi {
		mid := lo + (hi-lo)/2
		at := mid
		b, err := r.BlockByNumber(ctx, at)
		for errors.Is(err, evm.ErrNullRound) && at > lo {
			at--
			b, err = r.BlockByNumber(ctx, at)
		}
		switch {
		case errors.Is(err, evm.ErrNullRound):
			lo = mid + 1 // no block from lo to here
		case err != nil:
			return 0, err
		case b.Time < since:
			lo = mid + 1
		default:
			hi = at
		}
	}
	return lo, nil
}
