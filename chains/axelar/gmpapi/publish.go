package gmpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
)

// MaxEvents is how many events one call publishes at most.
const MaxEvents = 100

// Result is what became of one event: accepted, or not and why. One that is
// Retriable may be accepted later as it is.
type Result struct {
	Accepted  bool
	Error     string
	Retriable bool
}

// Publish tells the service of 1 to MaxEvents events and gives what became of
// each, in their order. After an error it is not known which were accepted: they
// are published again, under the same ids, by which the service knows them.
// ErrEvent where one cannot be published at all, ErrTooLarge where all of them
// are too much at once.
func (c *Client) Publish(ctx context.Context, events []Event) ([]Result, error) {
	const op = "publish events"
	if len(events) == 0 || len(events) > MaxEvents {
		return nil, fmt.Errorf("%s: %d at once, must be 1 to %d: %w", op, len(events), MaxEvents, ErrEvent)
	}
	body := bytes.NewBufferString(`{"events":[`)
	for i, e := range events {
		raw, err := EncodeEvent(e)
		if err != nil {
			return nil, fmt.Errorf("%s: event %d: %w", op, i, err)
		}
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(raw)
	}
	body.WriteString(`]}`)
	q := query{op: op, method: http.MethodPost, path: []string{"chains", c.cfg.Chain, "events"}, body: body.Bytes(), sends: typeJSON, gets: typeJSON,
		missing: noChain}
	answer, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	results, err := decodeResults(answer, len(events))
	if err != nil {
		return nil, unusable(q, err)
	}
	return results, nil
}

// noChain is what to do when the service does not know the chain.
const noChain = "it does not know the chain: its name must be exactly the one at Axelar, and the URL that of the network"

// decodeResults reads one result for each of n events, by their index.
func decodeResults(answer []byte, n int) ([]Result, error) {
	o := readObject("answer", answer)
	items := o.list("results")
	out := make([]Result, n)
	known := make([]bool, n)
	for i, raw := range items {
		item := o.enter(fmt.Sprintf("results[%d]", i), raw)
		at := item.count("index")
		status := item.text("status")
		if *o.err != nil {
			break
		}
		if at >= uint64(n) || known[at] {
			item.fail("is about event %d of %d, or says it twice", at, n)
			break
		}
		known[at] = true
		switch status {
		case "ACCEPTED":
			out[at] = Result{Accepted: true}
		case "ERROR":
			out[at].Retriable = item.boolean("retriable")
			if item.has("error") {
				out[at].Error = printable(item.anyText("error"))
			}
		default:
			item.failAt("status", "is %.100q", status)
		}
	}
	for i, ok := range known {
		if !ok {
			o.failAt("results", "lack event %d", i)
		}
	}
	return out, *o.err
}
