// Package gmp is a stand-in for Axelar's Amplifier GMP API, for tests: it checks
// what it is sent against the published schema, keeps events, tasks, payloads
// and broadcasts in memory, and misbehaves as it is told. It shares no code with
// the client, so that both are held against the schema and not against each
// other.
package gmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
)

const maxBody = 32 << 20

// Server is one network's service. Its zero value serves no chain.
type Server struct {
	// Before, where set, sees each request first and may answer it: true says that
	// it has.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// Refuse, where set, gives the error of an event that is not accepted, and
	// whether it may be later; an empty error accepts it.
	Refuse func(event map[string]any) (reason string, retriable bool)
	// Answer, where set, answers queries of contracts.
	Answer func(contract string, question any) any

	mu         sync.Mutex
	chains     map[string]*chain
	payloads   map[common.Hash][]byte
	broadcasts map[string]*broadcast
	requests   int
}

type chain struct {
	events []map[string]any
	ids    map[string]bool
	tasks  []task
}

type task struct {
	id  string
	raw json.RawMessage
}

type broadcast struct {
	contract string
	message  any
	status   map[string]any
}

// New serves these chains.
func New(chains ...string) *Server {
	s := &Server{chains: map[string]*chain{}, payloads: map[common.Hash][]byte{}, broadcasts: map[string]*broadcast{}}
	for _, name := range chains {
		s.chains[name] = &chain{ids: map[string]bool{}}
	}
	return s
}

// Give appends a task to a chain's, with an id that ascends with time. It
// panics where content is not what the schema has for its type; types that are
// not in the schema have any content.
func (s *Server) Give(chain, kind string, meta, content any) uuid.UUID {
	raw, err := json.Marshal(content)
	if err != nil {
		panic(err)
	}
	if _, known := tasks[kind]; known {
		if err := CheckTask(kind, decoded(raw)); err != nil {
			panic(err)
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		panic(err)
	}
	item := map[string]any{"id": id, "chain": chain, "timestamp": time.Now().UTC(), "type": kind, "meta": meta, "task": json.RawMessage(raw)}
	if raw, err = json.Marshal(item); err != nil {
		panic(err)
	}
	s.GiveRaw(chain, id, raw)
	return id
}

// GiveRaw appends a task as it is, which the server knows by id.
func (s *Server) GiveRaw(chain string, id uuid.UUID, raw json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[chain]
	c.tasks = append(c.tasks, task{id.String(), raw})
}

// Reorder changes the order in which a chain's tasks are given.
func (s *Server) Reorder(chain string, order ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[chain]
	was := slices.Clone(c.tasks)
	for i, from := range order {
		c.tasks[i] = was[from]
	}
}

// Events are those of a chain that were accepted, each once.
func (s *Server) Events(chain string) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.chains[chain].events)
}

// Requests is how many requests came, those that Before answered too.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Forget drops a payload, as the service does after a while.
func (s *Server) Forget(hash common.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.payloads, hash)
}

// Broadcasts are the messages that were sent to a contract, in no order.
func (s *Server) Broadcasts(contract string) (out []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.broadcasts {
		if b.contract == contract {
			out = append(out, b.message)
		}
	}
	return out
}

// Finish ends a broadcast, with a transaction or an error.
func (s *Server) Finish(id uuid.UUID, tx, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.broadcasts[id.String()].status
	st["completedAt"] = time.Now().UTC()
	if reason != "" {
		st["status"], st["error"] = "ERROR", reason
		return
	}
	st["status"], st["txHash"], st["txEvents"] = "SUCCESS", tx, []any{}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	if s.Before != nil && s.Before(w, r) {
		return
	}
	s.routes().ServeHTTP(w, r)
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /chains/{chain}/events", s.publish)
	mux.HandleFunc("GET /chains/{chain}/tasks", s.getTasks)
	mux.HandleFunc("GET /chains/{chain}/tasks/{id}", s.getTask)
	mux.HandleFunc("POST /payloads", s.storePayload)
	mux.HandleFunc("GET /payloads/{hash}", s.getPayload)
	mux.HandleFunc("POST /contracts/{contract}/broadcasts", s.broadcast)
	mux.HandleFunc("GET /contracts/{contract}/broadcasts/{id}", s.getBroadcast)
	mux.HandleFunc("POST /contracts/{contract}/queries", s.query)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusNotFound, errors.New("no such path")) })
	return mux
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	v, ok := body(w, r)
	if !ok {
		return
	}
	if err := object(must("events", list(1, 100, func(_ string, v any) error { return CheckEvent(v) })))("request", v); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.chains[r.PathValue("chain")]
	if !known {
		fail(w, http.StatusNotFound, errors.New("chain not found"))
		return
	}
	results := []map[string]any{}
	for i, item := range v.(map[string]any)["events"].([]any) {
		e := item.(map[string]any)
		if s.Refuse != nil {
			if reason, retriable := s.Refuse(e); reason != "" {
				results = append(results, map[string]any{"status": "ERROR", "index": i, "error": reason, "retriable": retriable})
				continue
			}
		}
		if id := e["eventID"].(string); !c.ids[id] {
			c.ids[id] = true
			c.events = append(c.events, e)
		}
		results = append(results, map[string]any{"status": "ACCEPTED", "index": i})
	}
	answer(w, map[string]any{"results": results})
}

func (s *Server) getTasks(w http.ResponseWriter, r *http.Request) {
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			fail(w, http.StatusBadRequest, errors.New("limit is no count"))
			return
		}
		limit = n
	}
	after := r.URL.Query().Get("after")
	if after != "" {
		if err := identifier("after", after); err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.chains[r.PathValue("chain")]
	if !known {
		fail(w, http.StatusNotFound, errors.New("chain not found"))
		return
	}
	from := 0
	if i := slices.IndexFunc(c.tasks, func(t task) bool { return t.id == after }); i >= 0 {
		from = i + 1
	}
	out := []json.RawMessage{}
	for _, t := range c.tasks[from:min(from+limit, len(c.tasks))] {
		out = append(out, t.raw)
	}
	answer(w, map[string]any{"tasks": out})
}

func (s *Server) getTask(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, known := s.chains[r.PathValue("chain")]; known {
		for _, t := range c.tasks {
			if t.id == r.PathValue("id") {
				answer(w, map[string]any{"task": t.raw})
				return
			}
		}
	}
	fail(w, http.StatusNotFound, errors.New("task not found"))
}

func (s *Server) storePayload(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/octet-stream" {
		fail(w, http.StatusBadRequest, errors.New("the payload is no octet stream"))
		return
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	h := crypto.Keccak256Hash(b)
	s.mu.Lock()
	s.payloads[h] = b
	s.mu.Unlock()
	answer(w, map[string]any{"keccak256": h.Hex()})
}

func (s *Server) getPayload(w http.ResponseWriter, r *http.Request) {
	if err := hash("hash", r.PathValue("hash")); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	b, known := s.payloads[common.HexToHash(r.PathValue("hash"))]
	s.mu.Unlock()
	if !known {
		fail(w, http.StatusNotFound, errors.New("payload not found"))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b)
}

// contractOf is the contract of the path, if it is one.
func contractOf(w http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.PathValue("contract")
	if err := contract("contract", name); err != nil {
		fail(w, http.StatusBadRequest, err)
		return "", false
	}
	return name, true
}

func (s *Server) broadcast(w http.ResponseWriter, r *http.Request) {
	at, ok := contractOf(w, r)
	if !ok {
		return
	}
	v, ok := body(w, r)
	if !ok {
		return
	}
	id := uuid.New()
	s.mu.Lock()
	s.broadcasts[id.String()] = &broadcast{contract: at, message: v,
		status: map[string]any{"status": "RECEIVED", "receivedAt": time.Now().UTC()}}
	s.mu.Unlock()
	answer(w, map[string]any{"broadcastID": id})
}

func (s *Server) getBroadcast(w http.ResponseWriter, r *http.Request) {
	at, ok := contractOf(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.broadcasts[r.PathValue("id")]
	if !known || b.contract != at {
		fail(w, http.StatusNotFound, errors.New("broadcast not found"))
		return
	}
	answer(w, b.status)
}

func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	at, ok := contractOf(w, r)
	if !ok {
		return
	}
	v, ok := body(w, r)
	if !ok {
		return
	}
	if s.Answer == nil {
		fail(w, http.StatusNotFound, errors.New("contract not found"))
		return
	}
	answer(w, s.Answer(at, v))
}

// body reads a request of JSON.
func body(w http.ResponseWriter, r *http.Request) (any, bool) {
	if r.Header.Get("Content-Type") != "application/json" {
		fail(w, http.StatusBadRequest, errors.New("the request is no JSON"))
		return nil, false
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil || !json.Valid(raw) {
		fail(w, http.StatusBadRequest, errors.New("the request is no JSON"))
		return nil, false
	}
	return decoded(raw), true
}

// decoded keeps numbers as they were written.
func decoded(raw []byte) (v any) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": err.Error(), "requestID": uuid.NewString()})
}
