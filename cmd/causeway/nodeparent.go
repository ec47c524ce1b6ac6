package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
)

// rootSources are the endpoints of the root that a node reads it through, and how
// they do.
type rootSources struct {
	cfg     home.Parent
	metrics *relayer.SourceMetrics

	mu     sync.Mutex
	client *agree.Client // nil until enough of them answer
	err    error         // why they do not
}

func newRootSources(cfg home.Parent, reg prometheus.Registerer) *rootSources {
	return &rootSources{cfg: cfg, metrics: relayer.NewSourceMetrics(reg)}
}

// dial waits until as many endpoints of the root answer as must agree; one that is
// another chain ends the start.
func (r *rootSources) dial(ctx context.Context, log *slog.Logger) (*agree.Client, error) {
	p := r.cfg
	sources, err := relayer.Sources(p.URL, p.URLFile, p.Also)
	if err != nil {
		return nil, fmt.Errorf("read parent URL: %w", err)
	}
	var endpoints []agree.Endpoint
	for _, s := range sources {
		cfg := evm.Config{Name: flow.Root, URL: s.URL, ChainID: p.ChainID, GenesisHash: p.GenesisHash, Finality: p.Finality}
		endpoints = append(endpoints, agree.Endpoint{Name: s.Name, Dial: func(ctx context.Context) (evm.Reader, error) {
			if p.Lotus != nil {
				return home.DialLotus(ctx, relayer.Endpoint{Config: cfg, Lotus: p.Lotus}, log)
			}
			return evm.DialReader(ctx, cfg, log)
		}})
	}
	err = retry(ctx, func() error {
		client, err := agree.Dial(ctx, agree.Config{Name: flow.Root, ChainID: p.ChainID, K: relayer.MustAgree(p.Agree, len(endpoints))}, endpoints, log)
		r.mu.Lock()
		r.client, r.err = client, err
		r.mu.Unlock()
		if err != nil && !errors.Is(err, chains.ErrUnavailable) {
			return backoff.Permanent(err)
		}
		return err
	}, func(err error) { log.Warn("root is not reachable: will retry", "err", err) })
	if err != nil {
		return nil, fmt.Errorf("connect to the root: %w", err)
	}
	return r.client, nil
}

const rootSourcesEvery = time.Second

// watch keeps the metrics of the endpoints until ctx ends.
func (r *rootSources) watch(ctx context.Context) {
	tick := time.NewTicker(rootSourcesEvery)
	defer tick.Stop()
	for {
		r.tell()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *rootSources) tell() {
	if s := r.status(); s != nil {
		for _, e := range s.Endpoints {
			r.metrics.Tell(flow.Root, e)
		}
	}
}

func (r *rootSources) connected() (*agree.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client, r.err
}

// status is how the endpoints do; nil until enough of them answer.
func (r *rootSources) status() *agree.Status {
	client, _ := r.connected()
	if client == nil {
		return nil
	}
	return relayer.SourcesStatus(client)
}

// trouble is why the root cannot be read, or who disagrees about what is final there.
func (r *rootSources) trouble() error {
	client, err := r.connected()
	if client != nil {
		err = client.Trouble()
	}
	if err != nil {
		return fmt.Errorf("parent: %s", api.Scrub(err.Error()))
	}
	return nil
}

// remarks tell of endpoints that are out, which the others make up for.
func (r *rootSources) remarks() map[string]string {
	out := map[string]string{}
	if s := r.status(); s != nil {
		for _, e := range s.Endpoints {
			if e.Out != "" {
				out["root endpoint "+e.Name] = fmt.Sprintf("out since %s: %s", e.Since.UTC().Format(time.RFC3339), e.Out)
			}
		}
	}
	return out
}

// single names the root where one endpoint of it alone is believed.
func (r *rootSources) single() []string {
	if relayer.MustAgree(r.cfg.Agree, 1+len(r.cfg.Also)) < 2 {
		return []string{flow.Root}
	}
	return nil
}

// parentSource is the root as the node reads it.
type parentSource struct{ evm.Reader }

// Wake implements chains.Waker where the root's endpoints do.
func (p parentSource) Wake() <-chan struct{} { return chains.WakeOf(p.Reader) }

// Call runs a view at a block pinned by its hash.
func (p parentSource) Call(ctx context.Context, to common.Address, data []byte, block common.Hash) ([]byte, error) {
	return p.Reader.Call(ctx, to, data, evm.AtHash(block))
}
