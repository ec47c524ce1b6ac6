package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
)

// IdleCalls are the RPC calls of a watcher while no event comes. A request with
// several calls in it counts each.
type IdleCalls struct {
	FinalBlocks   int            `json:"final_blocks"`
	CallsPerBlock float64        `json:"calls_per_final_block"`
	ByMethod      map[string]int `json:"calls_by_method"`
	HTTPPerBlock  float64        `json:"http_requests_per_final_block"`
}

// idleCalls counts what a watcher asks of k nodes while epochs come in which nothing
// of a subnet happens.
func idleCalls(ctx context.Context, sub flow.Subnet, k, epochs int) (c IdleCalls, err error) {
	r := &filRoot{sub: sub}
	r.root, err = startRoot(ctx, lotus.Config{Period: idleEpoch, GenesisTime: uint64(time.Now().Add(-(3*lotusDepth + 1) * idleEpoch).Unix())})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.root.Close()) }()
	counter := &counting{by: map[string]int{}}
	if err := r.root.Mine(ctx, 3*lotusDepth); err != nil {
		return c, err
	}
	source, err := r.reader(ctx, k, counter)
	if err != nil {
		return c, err
	}
	defer source.Close()
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return c, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := storetest.Start(dir)
	if err != nil {
		return c, err
	}
	defer server.Kill()
	db, err := store.Open(ctx, store.Options{URL: server.URL(), Namespace: "bench"})
	if err != nil {
		return c, err
	}
	defer db.Close()
	seen := 0
	err = r.follow(ctx, db, source, idleTick, func(chains.Block) bool {
		seen++
		if seen == settling {
			counter.begin()
		}
		return seen == settling+epochs
	})
	if err != nil {
		return c, err
	}
	calls, requests := counter.counts()
	total := 0
	for _, n := range calls {
		total += n
	}
	return IdleCalls{
		FinalBlocks: epochs, CallsPerBlock: round(float64(total)/float64(epochs), 1), ByMethod: calls, HTTPPerBlock: round(float64(requests)/float64(epochs), 1),
	}, nil
}

// settling is how many final blocks pass before calls are counted: by then the
// watcher knows the chain's pace.
const settling = 4

// counting passes requests on and counts the calls in them.
type counting struct {
	mu       sync.Mutex
	on       bool
	by       map[string]int
	requests int
}

func (c *counting) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
}

func (c *counting) counts() (map[string]int, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by, c.requests
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	type called struct {
		Method string `json:"method"`
	}
	var many []called
	if json.Unmarshal(raw, &many) != nil {
		many = make([]called, 1)
		if err := json.Unmarshal(raw, &many[0]); err != nil {
			return nil, fmt.Errorf("[BUG] a request of another shape: %w", err)
		}
	}
	c.mu.Lock()
	if c.on {
		c.requests++
		for _, m := range many {
			c.by[m.Method]++
		}
	}
	c.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}
