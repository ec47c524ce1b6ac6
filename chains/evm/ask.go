package evm

import (
	"context"
	"encoding/json"
)

// Ask is one request of a batch and what came of it. The result is as the endpoint
// sent it, within the bounds of bytes and depth of every answer.
type Ask struct {
	Method string
	Args   []any
	Result json.RawMessage
	Err    error // an *Error
}

// AskAll sends requests of any method in as many batches as it takes: one whose
// answer is larger than an answer may be goes in halves, down to a single request,
// whose own error it is then. The error is for a batch as a whole; each request has
// its own.
func (c *Client) AskAll(ctx context.Context, asks []*Ask) error {
	err := c.askAll(ctx, asks)
	if ClassOf(err) != ClassOversize || ctx.Err() != nil {
		return err
	}
	half := len(asks) / 2
	if half == 0 {
		asks[0].Err = err
		return nil
	}
	if err := c.AskAll(ctx, asks[:half]); err != nil {
		return err
	}
	return c.AskAll(ctx, asks[half:])
}

func (c *Client) askAll(ctx context.Context, asks []*Ask) error {
	reqs := make([]*request, len(asks))
	for i, a := range asks {
		reqs[i] = &request{method: a.Method, args: a.Args}
	}
	if err := c.batch(ctx, reqs); err != nil {
		return err
	}
	for i, r := range reqs {
		asks[i].Result, asks[i].Err = r.result, r.err
	}
	return nil
}
