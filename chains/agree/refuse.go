package agree

import (
	"context"
	"errors"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
)

// refusal is an answer of an endpoint that its own reader does not believe: a receipt
// without the log that was told, a tipset that is not what its key says. It answers,
// and its head moves on, so that nothing else shows that it is of no use.
type refusal struct {
	what  string // the question
	why   string // in the reader's words
	since time.Time
	again func(context.Context) error // asks once more
}

// refused says whether a reader found by itself that an endpoint's answers do not add
// up. To wait for more depth is no fault, nor is to have forgotten what is old; what
// the endpoint or the network said has a class of its own.
func refused(err error) bool {
	var said *evm.Error
	return errors.Is(err, chains.ErrUnavailable) && !errors.As(err, &said) &&
		!errors.Is(err, chains.ErrShallow) && !errors.Is(err, chains.ErrPruned) && !errors.Is(err, chains.ErrWrongChain) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// weigh remembers the first question to which an endpoint's answer was refused, until
// it answers that one well. Who has not passed the height has no answer yet.
func (c *Client) weigh(e *endpoint, what string, height uint64, err error, again func(context.Context) error) {
	if !refused(err) {
		c.settled(e, what, err)
		return
	}
	if !e.passed(height) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.refused == nil:
		e.refused = &refusal{what: what, why: err.Error(), since: c.now(), again: again}
		c.log.Warn("endpoint's answers do not add up", "endpoint", e.name, "about", what, "why", err)
	case e.refused.what == what:
		e.refused.why = err.Error()
	}
}

// settled forgets a refusal once the same question is answered, or cannot be any more.
func (c *Client) settled(e *endpoint, what string, err error) {
	if !statement(err) && !errors.Is(err, chains.ErrPruned) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused != nil && e.refused.what == what {
		c.log.Info("endpoint's answers add up again", "endpoint", e.name, "about", what)
		e.refused = nil
	}
}

// refusals are those to be asked about again.
func (c *Client) refusals() (out []func(context.Context)) {
	for _, e := range c.connected() {
		e.mu.Lock()
		if r := e.refused; r != nil {
			out = append(out, func(ctx context.Context) {
				if err := r.again(ctx); ctx.Err() == nil {
					c.weigh(e, r.what, 0, err, r.again)
				}
			})
		}
		e.mu.Unlock()
	}
	return out
}
