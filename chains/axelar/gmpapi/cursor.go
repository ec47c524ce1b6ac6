package gmpapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Position keeps, durably, the last task of a chain that is safely journaled;
// uuid.Nil: none is.
type Position interface {
	Load(context.Context) (uuid.UUID, error)
	Save(context.Context, uuid.UUID) error
}

// Page is what comes after a position. Last is the position after it; More says
// that the page was full.
type Page struct {
	Tasks []Task
	Last  uuid.UUID
	More  bool
}

// Cursor works through the tasks of a chain in the service's order. Every task
// is journaled at least once: after a crash, or when the service repeats
// itself, some come again. It is for one goroutine.
type Cursor struct {
	client   *Client
	position Position
	limit    int
	before   map[uuid.UUID]bool // the page that was handed on last, and where it began
}

// NewCursor asks for limit tasks (1 to MaxTasks) at a time.
func NewCursor(c *Client, p Position, limit int) (*Cursor, error) {
	if limit < 1 || limit > MaxTasks {
		return nil, fmt.Errorf("cursor: limit of %d, must be 1 to %d: %w", limit, MaxTasks, ErrRefused)
	}
	return &Cursor{client: c, position: p, limit: limit}, nil
}

// Next reads the page after a position and moves nothing. The task at the
// position itself is left out where the service gives it again. The service's
// order is the last word: the new position is the last task it gave, whatever
// the ids say. Tasks too large to come together are asked for in smaller pages.
func (c *Cursor) Next(ctx context.Context, after uuid.UUID) (Page, error) {
	for limit := c.limit; ; limit /= 2 {
		tasks, err := c.client.Tasks(ctx, after, limit)
		if errors.Is(err, ErrTooLarge) && limit > 1 {
			continue
		}
		if err != nil {
			return Page{}, err
		}
		p := Page{Last: after, More: len(tasks) >= limit}
		for _, t := range tasks {
			if t.ID != after {
				p.Tasks, p.Last = append(p.Tasks, t), t.ID
			}
		}
		return p, nil
	}
}

// Step reads the page after the saved position, gives it to journal and, only
// once that says that all of it is safe (nil), saves the new position. more
// says that there are further tasks. journal gets tasks again that it has: it
// knows them by their ids. Whatever comes as Broken or Unknown is journaled
// too, for a person to see.
func (c *Cursor) Step(ctx context.Context, journal func(context.Context, []Task) error) (more bool, err error) {
	after, err := c.position.Load(ctx)
	if err != nil {
		return false, fmt.Errorf("load position: %w", err)
	}
	page, err := c.Next(ctx, after)
	if err != nil {
		return false, err
	}
	if page.More && c.repeats(page) {
		return false, fmt.Errorf("get tasks: after %s come the tasks that came before it, which would go on for ever: %w", after, ErrAnswer)
	}
	if len(page.Tasks) == 0 {
		return false, nil
	}
	if err := journal(ctx, page.Tasks); err != nil {
		return false, fmt.Errorf("journal tasks: %w", err)
	}
	if err := c.position.Save(ctx, page.Last); err != nil {
		return false, fmt.Errorf("save position: %w", err)
	}
	c.before = map[uuid.UUID]bool{after: true}
	for _, t := range page.Tasks {
		c.before[t.ID] = true
	}
	return page.More, nil
}

// repeats says that a page has nothing that the page before it had not: where
// such a page is full, the service does not know where we are.
func (c *Cursor) repeats(p Page) bool {
	for _, t := range p.Tasks {
		if !c.before[t.ID] {
			return false
		}
	}
	return true
}
