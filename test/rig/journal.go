package rig

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/redis/go-redis/v9"
)

// journal is the rig's own view of the relayers' store.
type journal struct {
	mu sync.Mutex
	db *store.DB

	// What the stream said so far.
	last  string
	known map[string]bool
	ended map[string]string
	lossy bool // Redis has lost something since the last look
	lines Lines
}

func (j *journal) drop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db != nil {
		_ = j.db.Close()
	}
	j.db = nil
}

// DB opens the journal directly, past every line. Opening it counts as one more
// opening, which changes nothing for the relayers.
func (w *World) DB(ctx context.Context) (*store.DB, error) {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	if w.db.db == nil {
		db, err := store.Open(ctx, store.Options{URL: w.redis.URL(), Namespace: "causeway", Instance: "rig", RetryFor: 2 * time.Second})
		if err != nil {
			return nil, err
		}
		w.db.db = db
	}
	return w.db.db, nil
}

// Lines counts lines of the journal's stream by kind.
type Lines map[string]int

// Stream reads the journal's stream on and checks it: a transfer begins once and
// ends once, and no fact is dropped. Where Redis lost something, Forget comes
// first: then a transfer may begin anew.
func (w *World) Stream(ctx context.Context) (Lines, error) {
	c := w.redis.Client()
	defer c.Close()
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	j := &w.db
	if j.ended == nil {
		j.known, j.ended, j.last = map[string]bool{}, map[string]string{}, "-"
	}
	if j.lines == nil {
		j.lines = Lines{}
	}
	defer func() { j.lossy = false }()
	fresh := Lines{}
	for {
		page, err := c.XRangeN(ctx, "{causeway}:journal", j.last, "+", 1000).Result()
		if err != nil {
			return fresh, fmt.Errorf("read the journal: %w", err)
		}
		for _, m := range page {
			if err := j.line(m, fresh); err != nil {
				return fresh, err
			}
			j.last = "(" + m.ID
		}
		if len(page) < 1000 {
			return fresh, nil
		}
	}
}

func (j *journal) line(m redis.XMessage, fresh Lines) error {
	text := func(k string) string { s, _ := m.Values[k].(string); return s }
	kind, id, to := text("k"), text("id"), text("to")
	fresh[kind]++
	j.lines[kind]++
	switch {
	case kind == "fact_dropped":
		return violation("a fact was dropped: %s", id)
	case kind == "new" && j.known[id] && !j.lossy:
		return violation("transfer %s began twice in the journal", id)
	case kind == "new":
		j.known[id] = true
		delete(j.ended, id)
	case kind == "step" && (to == "done" || to == "refunded" || to == "credited"):
		if before, twice := j.ended[id]; twice {
			return violation("transfer %s ended twice in the journal: %s and %s", id, before, to)
		}
		j.ended[id] = to
	}
	return nil
}

// Forget makes Stream begin anew: Redis was rolled back, was emptied, or lost a
// key.
func (w *World) Forget() {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	w.db.ended, w.db.last, w.db.lossy = nil, "", true
}

// Parked counts transfers that wait for a person.
func (w *World) Parked(ctx context.Context) (int, error) {
	db, err := w.DB(ctx)
	if err != nil {
		return 0, err
	}
	s, err := db.Stats(ctx)
	if err != nil {
		w.db.drop()
		return 0, err
	}
	return s.Parked, nil
}

// Undecided counts transactions that are neither final nor given up.
func (r *Redis) Undecided(ctx context.Context) int {
	c := r.Client()
	defer c.Close()
	return int(c.ZCard(ctx, "{causeway}:live").Val())
}

// Grant is one lease as it was written.
type Grant struct {
	Lane           string
	Epoch, Counter uint64
	Worker         string
	At             time.Time
}

// Instance is the process that got it.
func (g Grant) Instance() string { name, _, _ := strings.Cut(g.Worker, "/"); return name }

func (g Grant) less(h Grant) bool {
	return g.Epoch < h.Epoch || g.Epoch == h.Epoch && g.Counter < h.Counter
}

func number(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n }

// Lines counts all that Stream has read.
func (w *World) Lines() Lines {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	return maps.Clone(w.db.lines)
}
