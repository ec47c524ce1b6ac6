package approve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

const maxWait = 4 * time.Second

// reader reads the calls of one chain's gateway into the ledger.
type reader struct {
	s      *Signer
	chain  Chain
	routes common.Hash

	mu  sync.Mutex
	err error // what keeps everything of this chain from being signed
}

func newReader(s *Signer, c Chain) *reader {
	return &reader{s: s, chain: c, routes: s.cfg.Rules.routes(c.Name, c.Gateway)}
}

// routes names what decides which calls of a chain are kept. Under others it is
// read anew, since a call that was passed over then may count now.
func (r Rules) routes(chain string, g axelar.Gateway) common.Hash {
	direct := slices.DeleteFunc(slices.Clone(r.Direct), func(d Direct) bool { return d.From != chain })
	slices.SortFunc(direct, func(a, b Direct) int {
		if c := a.Sender.Cmp(b.Sender); c != 0 {
			return c
		}
		if c := a.Contract.Cmp(b.Contract); c != 0 {
			return c
		}
		return slices.Compare([]byte(a.To), []byte(b.To))
	})
	raw, err := json.Marshal([]any{chain, g.Address(), r.Hub.Address, r.Hub.Services, direct})
	if err != nil {
		panic("[BUG] encode routes: " + err.Error())
	}
	return crypto.Keccak256Hash(raw)
}

// unwell is why nothing that began on the chain is signed.
func (r *reader) unwell() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// trouble is why nothing is signed of the chain, or for it, for now.
func (r *reader) trouble() error {
	if r.chain.Trouble == nil {
		return nil
	}
	return r.chain.Trouble()
}

// calm says whether the endpoints of all chains that a proposal concerns are of one
// mind: while they are not, any of them may be the one that lies.
func (s *Signer) calm(to Chain, calls []Call) error {
	names := []string{to.Name}
	for _, c := range calls {
		names = append(names, c.Chain)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := s.byName[name].trouble(); err != nil {
			return later(ReasonChain, "%s: %v", name, err)
		}
	}
	return nil
}

func (r *reader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// serious errors are those of a chain that is another than the ledger's: they stay
// until this signer is started again.
func serious(err error) bool {
	return errors.Is(err, chains.ErrReorg) || errors.Is(err, ErrContradiction) || errors.Is(err, ErrEvent)
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(r.chain.Tick), backoff.WithMaxInterval(maxWait),
		backoff.WithRandomizationFactor(1), backoff.WithMaxElapsedTime(0))
	for {
		progress, err := r.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		told := err
		if told == nil {
			told = r.unwell()
		}
		if told == nil {
			told = r.trouble()
		}
		if r.s.cfg.Tell.Failed != nil {
			r.s.cfg.Tell.Failed("chain/"+r.chain.Name, told)
		}
		var pause time.Duration
		switch {
		case err != nil:
			r.s.cfg.Log.WarnContext(ctx, "approver: chain: will retry", "chain", r.chain.Name, "err", err)
			pause = wait.NextBackOff()
		case progress:
			wait.Reset()
		default:
			wait.Reset()
			pause = r.chain.Tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// step reads one range; progress says that there may be more at once. After a
// serious error nothing of the chain is signed.
func (r *reader) step(ctx context.Context) (progress bool, err error) {
	progress, err = r.read(ctx)
	if serious(err) {
		r.fail(err)
	}
	return progress, err
}

func (r *reader) read(ctx context.Context) (progress bool, err error) {
	ledger, name := r.s.cfg.Ledger, r.chain.Name
	from, ok := ledger.Cursor(name, r.routes)
	if !ok {
		from = chains.Cursor{Chain: r.chain.ID, Next: r.chain.Start}
	}
	if from.Chain != r.chain.ID {
		return false, fmt.Errorf("%s was chain %s and is chain %s: %w", name, from.Chain, r.chain.ID, chains.ErrWrongChain)
	}
	head, err := r.chain.Source.Head(ctx)
	if err != nil {
		return false, fmt.Errorf("read head of %s: %w", name, err)
	}
	if r.s.cfg.Tell.Head != nil {
		r.s.cfg.Tell.Head(name, head)
	}
	if head.Number < from.Next {
		if head.Number+1 == from.Next && from.Parent != (common.Hash{}) && head.Hash != from.Parent {
			return false, fmt.Errorf("%s: final block %d was %s and is %s: %w", name, head.Number, from.Parent, head.Hash, chains.ErrReorg)
		}
		return false, nil
	}
	last, events, err := r.chain.Source.Events(ctx, chains.Query{From: from, To: head.Number, Filter: r.filter()})
	if err != nil {
		return false, fmt.Errorf("read events of %s: %w", name, err)
	}
	if last.Number < from.Next || last.Number > head.Number {
		return false, fmt.Errorf("[BUG] source of %s answered up to %d for [%d, %d]", name, last.Number, from.Next, head.Number)
	}
	calls, err := r.calls(ctx, from, last, events)
	if err != nil {
		return false, err
	}

	// What is read is safe before the cursor moves past it, and before it counts.
	fresh, err := r.record(calls)
	if err != nil {
		return false, err
	}
	to := chains.Cursor{Chain: r.chain.ID, Next: last.Number + 1, Parent: last.Hash}
	if err := ledger.Move(name, to, r.routes); err != nil {
		return false, err
	}
	if r.s.cfg.Tell.Read != nil {
		r.s.cfg.Tell.Read(name, to.Next, fresh)
	}
	return last.Number < head.Number, nil
}

// filter selects the calls of the gateway, with the positions that are part of their
// names.
func (r *reader) filter() chains.Filter {
	f := axelar.Calls(r.chain.Gateway)
	f.Placed = f.Addresses
	return f
}

// record keeps calls and counts those that are new.
func (r *reader) record(calls []Call) (fresh int, err error) {
	r.s.mu.Lock()
	added, err := r.s.cfg.Ledger.Record(calls)
	for _, c := range added {
		r.s.books.seen(c)
	}
	r.s.mu.Unlock()
	if err != nil {
		return 0, fmt.Errorf("record calls of %s: %w", r.chain.Name, err)
	}
	if len(added) > 0 {
		crash.At("approve.after_ledger")
	}
	return len(added), nil
}

// again reads the block of a transaction once more, alone, if it was read already:
// of a single block an endpoint cannot leave out anything unnoticed.
func (r *reader) again(ctx context.Context, tx common.Hash) (fresh int, err error) {
	height, ok, err := r.chain.Locate(ctx, tx)
	if err != nil || !ok {
		return 0, err
	}
	read, ok := r.s.cfg.Ledger.Cursor(r.chain.Name, r.routes)
	if !ok || height < r.chain.Start || height >= read.Next {
		return 0, nil
	}
	from := chains.Cursor{Chain: r.chain.ID, Next: height}
	last, events, err := r.chain.Source.Events(ctx, chains.Query{From: from, To: height, Filter: r.filter()})
	if err != nil {
		return 0, fmt.Errorf("read block %d of %s again: %w", height, r.chain.Name, err)
	}
	calls, err := r.calls(ctx, from, last, events)
	if err == nil {
		fresh, err = r.record(calls)
	}
	if serious(err) {
		r.fail(err)
	}
	return fresh, err
}

// calls are those of the events that may ever be signed for.
func (r *reader) calls(ctx context.Context, from chains.Cursor, last chains.Block, events []chains.Event) ([]Call, error) {
	var out []Call
	for _, e := range events {
		if e.Chain != r.chain.ID || e.Block < from.Next || e.Block > last.Number {
			return nil, fmt.Errorf("[BUG] source of %s gave an event of chain %s, block %d, for [%d, %d]", r.chain.Name, e.Chain, e.Block, from.Next, last.Number)
		}
		c, ok, refused, err := r.s.cfg.Rules.Read(r.chain.Name, r.chain.Gateway, e)
		if err != nil {
			return nil, err
		}
		if refused != nil {
			r.s.cfg.Log.WarnContext(ctx, "approver: the hub would not route a call: what its source took stays there", "chain", r.chain.Name, "why", refused)
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}
