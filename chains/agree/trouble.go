package agree

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
)

// Difference is a question that an endpoint answered otherwise than the others.
type Difference struct {
	What   string    `json:"what"`
	Height uint64    `json:"height,omitempty"` // of the block it is about; 0: pinned by a hash
	Said   string    `json:"said"`
	Others string    `json:"others"`
	Since  time.Time `json:"since"`
}

type difference struct {
	Difference
	told  int // how often
	again func(context.Context)
}

// maxDiffers bounds what is remembered of one endpoint that answers everything
// otherwise.
const maxDiffers = 32

// DisagreementError says that endpoints differ about what is final.
type DisagreementError struct {
	Chain  string
	What   string
	Height uint64
	Said   []string // "name: what it says"
}

func (e *DisagreementError) Error() string {
	return fmt.Sprintf("%s: endpoints disagree about %s (%s): compare them with another, then replace the one that is wrong", e.Chain, e.What, strings.Join(e.Said, "; "))
}

// Unwrap makes errors.Is(err, chains.ErrUnavailable) true: nothing is known.
func (e *DisagreementError) Unwrap() error { return chains.ErrUnavailable }

func disagreement[T any](c *Client, q question[T], groups [][]answer[T]) error {
	e := &DisagreementError{Chain: c.cfg.Name, What: q.what, Height: q.height}
	for i, g := range groups {
		for _, a := range g {
			e.Said = append(e.Said, a.from.name+": "+words(q, a, groups[(i+1)%len(groups)][0]))
		}
	}
	return e
}

// words are an answer in words, where it differs from another.
func words[T any](q question[T], a, other answer[T]) string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case q.part != nil && other.err == nil:
		return q.part(a.value, other.value)
	case q.tell != nil:
		return q.tell(a.value)
	}
	return "another answer"
}

// note remembers who differs from the winners, or that all differ (winner < 0), and
// forgets it of those who agree. Who has not passed the height may yet change its
// mind.
func note[T any](c *Client, q question[T], groups [][]answer[T], winner int) {
	again := q.again
	if again == nil {
		again = func(ctx context.Context) { _, _ = ask(ctx, c, q) }
	}
	for i, g := range groups {
		other := groups[(i+1)%len(groups)][0]
		if winner >= 0 {
			other = groups[winner][0]
		}
		for _, a := range g {
			if i == winner {
				c.agrees(a.from, q.what)
				continue
			}
			if !a.from.passed(q.height) || q.lacks != nil && a.err == nil && q.lacks(a.value) {
				continue
			}
			c.disagrees(a.from, difference{
				Difference: Difference{What: q.what, Height: q.height, Said: words(q, a, other), Others: words(q, other, a), Since: c.now()},
				again:      again,
			})
		}
	}
}

func (c *Client) agrees(e *endpoint, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.differs[what]; there {
		delete(e.differs, what)
		c.log.Info("endpoint agrees again", "endpoint", e.name, "about", what)
	}
}

func (c *Client) disagrees(e *endpoint, d difference) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, there := e.differs[d.What]; there {
		d.Since, d.told = old.Since, old.told+1
		e.differs[d.What] = d
		return
	}
	if len(e.differs) >= maxDiffers {
		return
	}
	e.differs[d.What] = d
	c.log.Warn("endpoint differs", "endpoint", e.name, "about", d.What, "height", d.Height, "said", d.Said, "others", d.Others)
}

// told counts how often endpoints differed about a question; there says whether any
// still does.
func (c *Client) told(what string) (n int, there bool) {
	for _, e := range c.endpoints {
		e.mu.Lock()
		if d, ok := e.differs[what]; ok {
			n, there = n+1+d.told, true
		}
		e.mu.Unlock()
	}
	return n, there
}

// doubts are the questions to be asked again, each once.
func (c *Client) doubts() []func(context.Context) {
	all := map[string]func(context.Context){}
	for _, e := range c.endpoints {
		e.mu.Lock()
		for what, d := range e.differs {
			all[what] = d.again
		}
		e.mu.Unlock()
	}
	var out []func(context.Context)
	for _, again := range all {
		out = append(out, again)
	}
	return out
}

// Trouble is a *DisagreementError while two endpoints differ about what is final:
// no new transaction is to be sent then.
func (c *Client) Trouble() error {
	for _, e := range c.Status().Endpoints {
		if len(e.Differs) > 0 {
			d := e.Differs[0]
			return &DisagreementError{Chain: c.cfg.Name, What: d.What, Height: d.Height, Said: []string{e.Name + ": " + d.Said, "others: " + d.Others}}
		}
	}
	return nil
}

// Status is how the endpoints do.
type Status struct {
	K         int              `json:"agree"` // of the endpoints must agree
	Height    uint64           `json:"height"`
	Endpoints []EndpointStatus `json:"endpoints"`
}

// EndpointStatus is how one does. Out is why it is not asked, or why its own reader
// does not believe it; "" where it is well.
type EndpointStatus struct {
	Name    string       `json:"name"`
	Height  uint64       `json:"height"` // the newest final block it has told
	Out     string       `json:"out,omitempty"`
	Since   *time.Time   `json:"since,omitempty"`   // it is out
	Differs []Difference `json:"differs,omitempty"` // the oldest first
}

// Status tells how each endpoint does.
func (c *Client) Status() Status {
	c.mu.Lock()
	out := Status{K: c.cfg.K, Height: c.head.Number}
	c.mu.Unlock()
	for _, e := range c.endpoints {
		e.mu.Lock()
		s := EndpointStatus{Name: e.name, Height: e.head.Number, Out: e.why}
		if e.why != "" {
			since := e.since
			s.Since = &since
		} else if r := e.refused; r != nil {
			s.Out, s.Since = "its answers do not add up: "+r.why, &r.since
		}
		for _, d := range e.differs {
			s.Differs = append(s.Differs, d.Difference)
		}
		e.mu.Unlock()
		slices.SortFunc(s.Differs, func(a, b Difference) int {
			if n := a.Since.Compare(b.Since); n != 0 {
				return n
			}
			return strings.Compare(a.What, b.What)
		})
		out.Endpoints = append(out.Endpoints, s)
	}
	return out
}
