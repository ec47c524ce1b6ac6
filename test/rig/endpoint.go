package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// Endpoint is a JSON-RPC endpoint before a chain's own that can be made bad.
type Endpoint struct {
	server   *http.Server
	addr     string
	target   atomic.Pointer[string]
	client   *http.Client
	away     atomic.Bool
	dropping atomic.Bool
	dropped  atomic.Int64
}

// NewEndpoint listens on loopback.
func NewEndpoint(target string) (*Endpoint, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open an endpoint: %w", err)
	}
	e := &Endpoint{addr: "http://" + l.Addr().String(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}}
	e.target.Store(&target)
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(l) }()
	return e, nil
}

// URL is where it listens.
func (e *Endpoint) URL() string { return e.addr }

// Away makes the endpoint hang up on everybody, or not any more.
func (e *Endpoint) Away(yes bool) { e.away.Store(yes) }

// Drop makes the endpoint answer broadcasts with their hash and forget them, or
// not any more.
func (e *Endpoint) Drop(yes bool) { e.dropping.Store(yes) }

// Dropped counts forgotten broadcasts.
func (e *Endpoint) Dropped() int64 { return e.dropped.Load() }

// Close ends the endpoint.
func (e *Endpoint) Close() {
	_ = e.server.Close()
	e.client.CloseIdleConnections()
}

type call struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params []string        `json:"params"`
}

// ServeHTTP implements http.Handler.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.away.Load() {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if e.dropping.Load() && bytes.Contains(body, []byte("eth_sendRawTransaction")) {
		if answer, ok := forget(body); ok {
			e.dropped.Add(1)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
			return
		}
	}
	status, answer, err := e.ask(r.Context(), body)
	if err != nil || e.away.Load() {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func (e *Endpoint) ask(ctx context.Context, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, *e.target.Load(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := e.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// forget answers one broadcast, or a batch of nothing else, as if it had been
// taken.
func forget(body []byte) ([]byte, bool) {
	var one call
	if json.Unmarshal(body, &one) == nil {
		answer, err := taken(one)
		return answer, err == nil
	}
	var many []call
	if json.Unmarshal(body, &many) != nil || len(many) == 0 {
		return nil, false
	}
	all := make([]json.RawMessage, len(many))
	for i, c := range many {
		answer, err := taken(c)
		if err != nil {
			return nil, false
		}
		all[i] = answer
	}
	out, err := json.Marshal(all)
	return out, err == nil
}

func taken(c call) ([]byte, error) {
	if c.Method != "eth_sendRawTransaction" || len(c.Params) != 1 {
		return nil, errors.New("another method")
	}
	raw, err := hexutil.Decode(c.Params[0])
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.ID, "result": crypto.Keccak256Hash(raw)})
}
