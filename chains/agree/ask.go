package agree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
)

// question is one whose answers do not depend on who is asked.
type question[T any] struct {
	what   string // names it, each its own
	height uint64 // of the block that the answers rest on: who has not passed it may differ; 0: none may
	do     func(context.Context, *endpoint) (T, error)
	same   func(a, b T) bool
	tell   func(T) string        // an answer in words; nil: none
	who    []*endpoint           // nil: those who do well
	quiet  bool                  // nothing is said where no K agree
	part   func(T, T) string     // where two differ, in words; nil: both told
	based  func(T) uint64        // the height, where only the answer says it; nil: height
	again  func(context.Context) // asks once more; nil: as it was asked
	lacks  func(T) bool          // an answer with a hole in it differs from nothing; nil: none has
}

// answer is what one endpoint says.
type answer[T any] struct {
	from  *endpoint
	value T
	err   error
}

// statement says that an error is something that an endpoint says of the chain, and
// not that it says nothing.
func statement(err error) bool {
	return err == nil || errors.Is(err, chains.ErrReverted) || errors.Is(err, chains.ErrReorg) || errors.Is(err, evm.ErrNullRound)
}

func sameError(a, b error) bool {
	var x, y *chains.RevertError
	if errors.As(a, &x) && errors.As(b, &y) {
		return bytes.Equal(x.Data, y.Data)
	}
	return errors.Is(a, chains.ErrReorg) == errors.Is(b, chains.ErrReorg) &&
		errors.Is(a, evm.ErrNullRound) == errors.Is(b, evm.ErrNullRound) &&
		errors.Is(a, chains.ErrReverted) == errors.Is(b, chains.ErrReverted)
}

// gather asks at once. When enough is said the others have a moment left; who has
// not answered then is out.
func gather[T any](ctx context.Context, c *Client, who []*endpoint, do func(context.Context, *endpoint) (T, error), enough func([]answer[T]) bool) []answer[T] {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if len(who) == 1 {
		v, err := do(ctx, who[0])
		return []answer[T]{{who[0], v, err}}
	}
	said := make(chan answer[T], len(who))
	silent := map[*endpoint]bool{}
	for _, e := range who {
		silent[e] = true
		c.running.Add(1)
		go func() {
			defer c.running.Done()
			v, err := do(ctx, e)
			said <- answer[T]{e, v, err}
		}()
	}
	var out []answer[T]
	var grace <-chan time.Time
	for len(out) < len(who) {
		select {
		case a := <-said:
			out = append(out, a)
			delete(silent, a.from)
		case <-grace:
			for e := range silent {
				c.out(e, fmt.Sprintf("no answer %s after the others", c.cfg.Grace))
			}
			return out
		case <-ctx.Done():
			// A reader that does not heed its context holds up nobody.
			for e := range silent {
				out = append(out, answer[T]{from: e, err: ctx.Err()})
			}
			return out
		}
		if grace == nil && enough(out) {
			timer := time.NewTimer(c.cfg.Grace)
			defer timer.Stop()
			grace = timer.C
		}
	}
	return out
}

// ask puts a question to the endpoints and returns what K of them say alike.
func ask[T any](ctx context.Context, c *Client, q question[T]) (T, error) {
	who := q.who
	if who == nil {
		who = c.asked()
	}
	said := gather(ctx, c, who, q.do, func(said []answer[T]) bool {
		_, most := largest(q, said)
		return most >= c.cfg.K
	})
	return settle(ctx, c, q, said)
}

// settle finds what K say and notes who says otherwise.
func settle[T any](ctx context.Context, c *Client, q question[T], said []answer[T]) (none T, err error) {
	if ctx.Err() != nil {
		return none, fmt.Errorf("%s: %s: %w", c.cfg.Name, q.what, ctx.Err())
	}
	var first, forgot error
	forgotten := 0
	for _, a := range said {
		if errors.Is(a.err, chains.ErrPruned) {
			// Only where too few are left that may have it, it is not to be had.
			forgot, forgotten = fmt.Errorf("endpoint %s: %w", a.from.name, a.err), forgotten+1
			continue
		}
		if !statement(a.err) {
			// One that waits for more depth does well; how much it has yet is not the
			// same everywhere.
			if !errors.Is(a.err, chains.ErrShallow) {
				c.failed(a.from, a.err)
			}
			if first == nil {
				first = fmt.Errorf("endpoint %s: %w", a.from.name, a.err)
			}
		}
	}
	for _, a := range said {
		if q.based != nil && a.err == nil {
			q.height = max(q.height, q.based(a.value))
		}
	}
	for _, a := range said {
		c.weigh(a.from, q.what, q.height, a.err, func(ctx context.Context) error {
			_, err := q.do(ctx, a.from)
			return err
		})
	}
	groups, most := largest(q, said)
	if most >= c.cfg.K {
		winner, ties := 0, 0
		for i, g := range groups {
			if len(g) == most {
				winner, ties = i, ties+1
			}
		}
		if ties == 1 {
			note(c, q, groups, winner)
			return groups[winner][0].value, groups[winner][0].err
		}
	}
	switch {
	case len(c.endpoints) == 1 && first != nil: // as the endpoint says it
		return none, first
	case len(groups) > 1:
		if !q.quiet {
			note(c, q, groups, -1)
		}
		return none, disagreement(c, q, groups)
	case forgotten > len(c.endpoints)-c.cfg.K:
		return none, fmt.Errorf("%s: %s: %d of %d endpoints have forgotten it, %d must agree: %w", c.cfg.Name, q.what, forgotten, len(c.endpoints), c.cfg.K, forgot)
	case errors.Is(first, chains.ErrUnavailable) && !errors.Is(first, chains.ErrWrongChain):
		return none, fmt.Errorf("%s: %s: %d of %d endpoints answer, %d must agree: %w", c.cfg.Name, q.what, most, len(c.endpoints), c.cfg.K, first)
	}
	return none, c.unavailable("%s: %d of %d endpoints answer, %d must agree: %v", q.what, most, len(c.endpoints), c.cfg.K, errors.Join(first, forgot))
}

// largest groups equal answers and counts the largest group.
func largest[T any](q question[T], said []answer[T]) (groups [][]answer[T], most int) {
	for _, a := range said {
		if !statement(a.err) {
			continue
		}
		at := -1
		for i, g := range groups {
			if (g[0].err == nil) != (a.err == nil) {
				continue
			}
			if a.err == nil && q.same(g[0].value, a.value) || a.err != nil && sameError(g[0].err, a.err) {
				at = i
				break
			}
		}
		if at < 0 {
			groups, at = append(groups, nil), len(groups)
		}
		groups[at] = append(groups[at], a)
		most = max(most, len(groups[at]))
	}
	return groups, most
}

// first asks the endpoints one by one until one says something: for what differs
// from one to the next by its nature.
func first[T any](ctx context.Context, c *Client, do func(context.Context, evm.Reader) (T, error)) (none T, err error) {
	var failure error
	for _, e := range c.best() {
		v, err := one(ctx, c, e, do)
		if err == nil || statement(err) || ctx.Err() != nil {
			return v, err
		}
		c.failed(e, err)
		if failure == nil {
			failure = fmt.Errorf("endpoint %s: %w", e.name, err)
		}
	}
	return none, failure
}

func one[T any](ctx context.Context, c *Client, e *endpoint, do func(context.Context, evm.Reader) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	return do(ctx, e.reader)
}
