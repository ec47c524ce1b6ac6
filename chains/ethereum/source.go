// Package ethereum is Ethereum as the bridge sees it: a chains.Source over a reader
// that is asked for data (one endpoint, or several that agree) and endpoints that are
// asked for headers only.
//
// What it promises. A block is final when every endpoint's finalized tag has
// passed it and all of them give it the same hash. An event is one that a
// recomputed receipts root proves to be in such a block, and the transaction it
// is said to come from is the one that a recomputed transactions root proves: the
// endpoint that served the data can leave us without an answer, but not with a
// wrong one. What it cannot promise is that no event was left out of a block
// that was answered as empty; headers' blooms catch that in ranges that follow
// the head (see evm.Client.Events).
package ethereum

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
)

// Source reads the final blocks of an Ethereum chain.
type Source struct {
	data      evm.Reader
	witnesses []evm.Reader

	mu      sync.Mutex
	head    chains.Block // the newest block that all agreed on
	trouble error        // a *DisagreementError since then
}

// New makes a source of the endpoint that is asked for events, and of those that
// only confirm its headers. With no witness the headers rest on one endpoint
// alone.
func New(data evm.Reader, witnesses ...evm.Reader) (*Source, error) {
	for _, w := range witnesses {
		if w.ChainID() != data.ChainID() {
			return nil, fmt.Errorf("witness of chain %d for chain %d: %w", w.ChainID(), data.ChainID(), chains.ErrWrongChain)
		}
	}
	return &Source{data: data, witnesses: witnesses}, nil
}

// DisagreementError says that two endpoints give one final height different
// blocks: one of them lies, or finality has failed. Nothing is read until they
// agree.
type DisagreementError struct {
	Chain   string
	Height  uint64
	Data    common.Hash // what the endpoint of the data says
	Witness common.Hash // what a witness says
	Which   int         // which witness, from 1
}

func (e *DisagreementError) Error() string {
	return fmt.Sprintf("%s: final block %d is %s by the first endpoint and %s by witness %d: compare both with a third, then replace the one that is wrong",
		e.Chain, e.Height, e.Data, e.Witness, e.Which)
}

// Unwrap makes errors.Is(err, chains.ErrUnavailable) true: nothing is known.
func (e *DisagreementError) Unwrap() error { return chains.ErrUnavailable }

// Head is the newest block that is final for all endpoints and the same for all.
func (s *Source) Head(ctx context.Context) (chains.Block, error) {
	b, err := s.data.Head(ctx)
	if err != nil {
		return chains.Block{}, err
	}
	low := b
	for i, w := range s.witnesses {
		theirs, err := w.Head(ctx)
		if err != nil {
			return chains.Block{}, fmt.Errorf("witness %d: %w", i+1, err)
		}
		if theirs.Number < low.Number {
			low = theirs
		}
	}
	if low.Number < b.Number {
		if b, err = s.data.BlockByNumber(ctx, low.Number); err != nil {
			return chains.Block{}, err
		}
	}
	if err := s.agreed(ctx, b); err != nil {
		return chains.Block{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A witness that fell behind does not take back what was final.
	if b.Number < s.head.Number {
		return chains.Block{}, fmt.Errorf("%s: final block went back from %d to %d: %w", s.data.Name(), s.head.Number, b.Number, chains.ErrUnavailable)
	}
	s.head, s.trouble = b, nil
	return b, nil
}

// agreed asks every witness for the block at a final height.
func (s *Source) agreed(ctx context.Context, b chains.Block) error {
	for i, w := range s.witnesses {
		theirs, err := w.BlockByNumber(ctx, b.Number)
		if err != nil {
			return fmt.Errorf("witness %d: %w", i+1, err)
		}
		if theirs.Hash != b.Hash {
			err := &DisagreementError{Chain: s.data.Name(), Height: b.Number, Data: b.Hash, Witness: theirs.Hash, Which: i + 1}
			s.mu.Lock()
			s.trouble = err
			s.mu.Unlock()
			return err
		}
	}
	return nil
}

// Trouble is a *DisagreementError from when two endpoints differed about a final
// block until all agree about a newer head: no new transaction is to be sent then.
func (s *Source) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// At is the block at a height or, where there is none, the next below; all agree
// on it.
func (s *Source) At(ctx context.Context, height uint64) (chains.Block, error) {
	b, err := s.data.At(ctx, height)
	if err != nil {
		return chains.Block{}, err
	}
	return b, s.agreed(ctx, b)
}

// Events implements chains.Source, with Position set. It covers nothing above
// the newest block that Head has given.
func (s *Source) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	fail := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	s.mu.Lock()
	head := s.head
	s.mu.Unlock()
	if q.To > head.Number {
		var err error
		if head, err = s.Head(ctx); err != nil {
			return fail(fmt.Errorf("final head: %w", err))
		}
		q.To = min(q.To, head.Number)
	}
	if q.To < q.From.Next {
		return fail(fmt.Errorf("%s: final block %d is behind height %d: %w", s.data.Name(), head.Number, q.From.Next, chains.ErrUnavailable))
	}
	filter := q.Filter
	q.Filter.Placed = nil // proven below
	last, events, err := s.data.Events(ctx, q)
	if err != nil {
		return fail(err)
	}
	// The cursor moves to last: the others must know it too.
	if err := s.agreed(ctx, last); err != nil {
		return fail(err)
	}
	var out []chains.Event
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Block == events[0].Block {
			n++
		}
		proven, err := s.prove(ctx, filter, events[:n])
		if err != nil {
			return fail(err)
		}
		out, events = append(out, proven...), events[n:]
	}
	return last, out, nil
}

// prove replaces what was said of one block's events by what its header commits
// to. The two must be the same.
func (s *Source) prove(ctx context.Context, f chains.Filter, said []chains.Event) ([]chains.Event, error) {
	number, hash := said[0].Block, said[0].BlockHash
	if err := s.agreed(ctx, chains.Block{Number: number, Hash: hash}); err != nil {
		return nil, err
	}
	block, err := s.block(ctx, number, hash)
	if err != nil {
		return nil, err
	}
	proven := block.events(s.data.ChainID(), f)
	if err := same(said, proven); err != nil {
		return nil, fmt.Errorf("%s: block %d: %w: %w", s.data.Name(), number, err, chains.ErrUnavailable)
	}
	return proven, nil
}

// ErrForged says that an endpoint served what the header of the block does not
// commit to.
var ErrForged = errors.New("the endpoint's data is not what the block's header commits to")
