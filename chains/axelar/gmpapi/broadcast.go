package gmpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// ErrContract says when a string is no address of a contract on Axelar.
var ErrContract = errors.New("not a contract on Axelar")

// contractRE is what the schema takes for one.
var contractRE = regexp.MustCompile(`^axelar1[acdefghjklmnpqrstuvwxyz023456789]{58}$`)

// States of a broadcast.
const (
	BroadcastReceived = "RECEIVED"
	BroadcastSuccess  = "SUCCESS"
	BroadcastError    = "ERROR"
)

// Broadcast is what became of a transaction on Axelar. TxHash and Error are
// empty while there are none; Events are as they came.
type Broadcast struct {
	State     string
	Received  time.Time
	Completed time.Time
	TxHash    string
	Error     string
	Events    json.RawMessage
}

// Broadcast has the service send a message (JSON) to a contract on Axelar, in a
// transaction of its own, and gives the id to ask about it. Each call that
// arrives sends another transaction, so it is not repeated where that may have
// happened: after chains.ErrUnavailable the caller looks at what the contract
// says first.
func (c *Client) Broadcast(ctx context.Context, contract string, message json.RawMessage) (uuid.UUID, error) {
	q := query{op: "broadcast", method: http.MethodPost, path: []string{"contracts", contract, "broadcasts"}, body: message,
		sends: typeJSON, gets: typeJSON, once: true}
	answer, err := c.contract(ctx, contract, q)
	if err != nil {
		return uuid.Nil, err
	}
	o := readObject("answer", answer)
	id := o.uuid("broadcastID")
	if *o.err != nil {
		return uuid.Nil, unusable(q, *o.err)
	}
	return id, nil
}

// BroadcastStatus is where a broadcast stands; ErrNotFound where the service
// does not know it.
func (c *Client) BroadcastStatus(ctx context.Context, contract string, id uuid.UUID) (Broadcast, error) {
	q := query{op: "get broadcast", method: http.MethodGet, path: []string{"contracts", contract, "broadcasts", id.String()}, gets: typeJSON,
		missing: "it was not this contract's, or is kept no longer"}
	answer, err := c.contract(ctx, contract, q)
	if err != nil {
		return Broadcast{}, err
	}
	b, err := decodeBroadcast(answer)
	if err != nil {
		return Broadcast{}, unusable(q, err)
	}
	return b, nil
}

func decodeBroadcast(answer []byte) (Broadcast, error) {
	o := readObject("answer", answer)
	b := Broadcast{State: o.text("status"), Received: o.time("receivedAt"), TxHash: o.textOr("txHash"), Events: o.fields["txEvents"]}
	if o.has("completedAt") {
		b.Completed = o.time("completedAt")
	}
	if o.has("error") {
		b.Error = printable(o.anyText("error"))
	}
	if *o.err == nil && b.State != BroadcastReceived && b.State != BroadcastSuccess && b.State != BroadcastError {
		o.failAt("status", "is %.100q", b.State)
	}
	return b, *o.err
}

// Query reads the state of a contract on Axelar: a question in JSON, and an
// answer that is an object.
func (c *Client) Query(ctx context.Context, contract string, question json.RawMessage) (json.RawMessage, error) {
	q := query{op: "query contract", method: http.MethodPost, path: []string{"contracts", contract, "queries"}, body: question,
		sends: typeJSON, gets: typeJSON, missing: "it does not know the contract"}
	answer, err := c.contract(ctx, contract, q)
	if err != nil {
		return nil, err
	}
	if o := readObject("answer", answer); *o.err != nil {
		return nil, unusable(q, *o.err)
	}
	return answer, nil
}

// contract is a call about a contract, both of which can be refused here.
func (c *Client) contract(ctx context.Context, address string, q query) ([]byte, error) {
	if !contractRE.MatchString(address) {
		return nil, fmt.Errorf("%s: %.100q: %w", q.op, address, ErrContract)
	}
	if q.sends == typeJSON && !json.Valid(q.body) {
		return nil, fmt.Errorf("%s: the message is no JSON: %w", q.op, ErrRefused)
	}
	return c.ask(ctx, q)
}
