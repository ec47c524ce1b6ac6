package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// dice are random numbers of one use: who throws others' dice does not change
// one's own.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64, use string) *dice {
	h := crypto.Keccak256([]byte(use))
	return &dice{r: rand.New(rand.NewPCG(seed, uint64(h[0])|uint64(h[1])<<8|uint64(h[2])<<16|uint64(h[3])<<24|uint64(h[4])<<32))}
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) chance(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}

// between is a duration in [a, b).
func (d *dice) between(a, b time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return a + time.Duration(d.r.Int64N(int64(b-a)))
}

// weather is what is wrong with the way to a node for a while.
type weather struct {
	from, to time.Time
	instance int // -1: everybody's
	down     bool
	hangs    bool
	slow     time.Duration // at most, per request
	errors   float64       // of the requests are refused
	replies  float64       // of the replies are lost
	view     view
}

// network joins the instances to the nodes of both chains.
type network struct {
	mu      sync.Mutex
	weather map[string][]weather // by chain
}

func (n *network) now(chain string, instance int) (w weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for _, x := range n.weather[chain] {
		if now.Before(x.from) || !now.Before(x.to) || x.instance >= 0 && x.instance != instance {
			continue
		}
		w.down, w.hangs, w.slow = w.down || x.down, w.hangs || x.hangs, max(w.slow, x.slow)
		w.errors, w.replies = max(w.errors, x.errors), max(w.replies, x.replies)
		w.view.lag, w.view.unfiltered = max(w.view.lag, x.view.lag), w.view.unfiltered || x.view.unfiltered
	}
	return w
}

// wire is one process's way to one chain: an http.RoundTripper without a
// network.
type wire struct {
	run      *run
	chain    *chain
	life     *life
	instance int
	dice     *dice
}

var errReset = errors.New("sim: connection reset")

type call struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	many := len(body) > 0 && body[0] == '['
	var calls []call
	if many {
		err = json.Unmarshal(body, &calls)
	} else {
		calls = make([]call, 1)
		err = json.Unmarshal(body, &calls[0])
	}
	if err != nil {
		return nil, err
	}
	k := readCall
	if calls[0].Method == "eth_sendRawTransaction" {
		k = sendCall
	}
	strike, err := w.life.enter(k)
	if err != nil {
		return nil, err
	}

	// The way there.
	ctx := req.Context()
	now := w.run.network.now(w.chain.name, w.instance)
	t := time.NewTimer(w.dice.between(time.Millisecond, 12*time.Millisecond+now.slow))
	select {
	case <-ctx.Done():
		t.Stop()
		return nil, ctx.Err()
	case <-t.C:
	}
	now = w.run.network.now(w.chain.name, w.instance)
	switch {
	case now.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case now.down, now.errors > 0 && w.dice.chance(now.errors):
		return nil, errReset
	}

	var out bytes.Buffer
	if many {
		out.WriteByte('[')
	}
	// Only the audit asks for headers one by one, and hashes them.
	now.view.brief = many
	for i, c := range calls {
		if i > 0 {
			out.WriteByte(',')
		}
		w.answer(&out, now.view, c)
	}
	if many {
		out.WriteByte(']')
	}

	// The way back.
	if err := w.life.leave(k, strike); err != nil {
		return nil, err
	}
	if now.replies > 0 && w.dice.chance(now.replies) {
		return nil, errReset
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": []string{"application/json"}},
		Body: io.NopCloser(&out), ContentLength: int64(out.Len()), Request: req,
	}, nil
}

func (w *wire) answer(out *bytes.Buffer, v view, c call) {
	var result []byte
	var err error
	switch {
	case strings.HasPrefix(c.Method, "causeway_") && w.chain == w.run.child:
		result, err = w.run.validators.serve(v, c.Method, c.Params)
	default:
		if c.Method == "eth_sendRawTransaction" {
			w.run.broadcast(w, c)
		}
		result, err = w.chain.serve(v, c.Method, c.Params)
	}
	w.run.calls.Add(1)
	out.WriteString(`{"jsonrpc":"2.0","id":`)
	out.Write(c.ID)
	if err == nil {
		out.WriteString(`,"result":`)
		out.Write(result)
	} else {
		var e *rpcError
		if !errors.As(err, &e) {
			e = fault(err.Error())
		}
		raw, _ := json.Marshal(e)
		out.WriteString(`,"error":`)
		out.Write(raw)
	}
	out.WriteByte('}')
}

// rawHash is the hash of a raw transaction in a request.
func rawHash(c call) (raw hexutil.Bytes, ok bool) {
	raw, err := argument[hexutil.Bytes](c.Params, 0)
	return raw, err == nil
}
