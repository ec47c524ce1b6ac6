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

// AskAll sends requests of any method in as many batches as it takes. The error is
// for a batch as a whole; each request has its own.
func (c *Client) AskAll(ctx context.Context, asks []*Ask) error {
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
