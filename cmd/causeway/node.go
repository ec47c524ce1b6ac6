package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
)

// nodeReady is what a node announces.
type nodeReady struct {
	HTTP    string `json:"http"`
	WS      string `json:"ws"`
	Metrics string `json:"metrics,omitempty"` // host:port
	// Nodes are host:port of each endpoint of a chain with several.
	Nodes []string `json:"nodes,omitempty"`
}

func newNode(g *globals) *cobra.Command {
	var config, ready, http, ws, p2p, metrics string
	c := &cobra.Command{
		Use:   "node",
		Short: "Run the subnet's node",
		Long:  "Run the subnet's node (CometBFT and an EVM in one process) from HOME/node.yaml, as `causeway deploy` wrote it.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if config == "" {
				config = g.dir().NodeConfig()
			}
			cfg, err := home.ReadNode(config, func(c *home.NodeConfig) { c.Parent.SingleSource = c.Parent.SingleSource || g.single })
			if err != nil {
				return usageError{err}
			}
			for _, o := range []struct {
				flag string
				to   *string
			}{{http, &cfg.HTTP}, {ws, &cfg.WS}, {p2p, &cfg.P2P}, {metrics, &cfg.Metrics}} {
				if o.flag != "" {
					*o.to = o.flag
				}
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			return runNode(c.Context(), cfg, ready, log)
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "node configuration (default HOME/node.yaml)")
	f.StringVar(&ready, "ready-file", "", "write the listeners' addresses there once they are open")
	f.StringVar(&http, "http", "", "JSON-RPC over HTTP, host:port; port 0 takes any free one")
	f.StringVar(&ws, "ws", "", "JSON-RPC over WebSocket, host:port")
	f.StringVar(&p2p, "p2p", "", "CometBFT, host:port")
	f.StringVar(&metrics, "metrics", "", "metrics and health, host:port; port 0 takes any free one")
	return c
}

func runNode(ctx context.Context, cfg home.NodeConfig, ready string, log *slog.Logger) (err error) {
	release, err := relayer.Lock(cfg.Home, "a node")
	if errors.Is(err, fs.ErrNotExist) {
		return usage("there is no node's home at %s: `causeway deploy` makes one", cfg.Home)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	// The operators' listener answers from now on: alive, not ready.
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var running atomic.Pointer[node.Node]
	root := newRootSources(cfg.Parent, reg)
	health := nodeHealth{&running, root}
	metrics := ""
	if cfg.Metrics != "" {
		admin, err := api.Listen(cfg.Metrics, api.Admin(reg, health, func(context.Context) any { return health.status() }))
		if err != nil {
			return err
		}
		defer func() { _ = admin.Close() }()
		metrics = admin.Addr()
	}

	parent, err := root.dial(ctx, log)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); root.watch(watching) }()
	defer func() { stop(); <-watched; parent.Close() }()
	nc := node.Default(cfg.Home, parentSource{parent})
	nc.HTTPAddr, nc.WSAddr, nc.P2PAddr, nc.Log, nc.Metrics = cfg.HTTP, cfg.WS, cfg.P2P, log, reg
	nc.BlockInterval, nc.ParentPoll = time.Duration(cfg.Interval), time.Duration(cfg.Parent.Poll)
	nc.ConsensusSigner = cfg.Signer.Consensus
	if cfg.Signer.Address != "" {
		signer, err := dialSigner(ctx, cfg.Signer, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, signer.Close()) }()
		nc.Signer = signer
	}
	n, err := node.Start(ctx, nc)
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	running.Store(n)
	addrs := n.Addrs()
	if err := home.Announce(ready, nodeReady{HTTP: addrs.HTTP, WS: addrs.WS, Metrics: metrics}); err != nil {
		log.Warn("ready file", "err", err)
	}
	log.Info("node started", "http", addrs.HTTP, "ws", addrs.WS, "metrics", metrics)
	return n.Run(ctx)
}

// nodeHealth is what /readyz says of a node that may not run yet.
type nodeHealth struct {
	running *atomic.Pointer[node.Node]
	root    *rootSources
}

func (h nodeHealth) Ready() error {
	err := errNodeStarting
	if n := h.running.Load(); n != nil {
		err = n.Ready()
	}
	return errors.Join(err, h.root.trouble())
}

func (h nodeHealth) Remarks() map[string]string { return h.root.remarks() }

// nodeStatus is the body of /status on a node's operators' listener.
type nodeStatus struct {
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"` // it is not
	// Believed is "quorum", or that one endpoint of the root alone is believed.
	Believed string        `json:"believed"`
	Sources  *agree.Status `json:"sources,omitempty"` // the root's endpoints, once they are connected
}

func (h nodeHealth) status() nodeStatus {
	out := nodeStatus{Ready: true, Believed: relayer.Believed(h.root.single()), Sources: h.root.status()}
	if err := h.Ready(); err != nil {
		out.Ready, out.Why = false, err.Error()
	}
	return out
}

// errNodeStarting keeps /readyz amber until the node takes part.
var errNodeStarting = errors.New("starting")

// dialSigner waits for a signer that is down; one of another validator ends
// the start.
func dialSigner(ctx context.Context, s home.Signer, log *slog.Logger) (*node.RemoteSigner, error) {
	var signer *node.RemoteSigner
	err := retry(ctx, func() (err error) {
		signer, err = node.DialSigner(ctx, node.RemoteSignerConfig{Address: s.Address, TLS: s.TLS(), Validator: s.Validator})
		if err != nil && !errors.Is(err, node.ErrSignerUnavailable) {
			return backoff.Permanent(err)
		}
		return err
	}, func(err error) { log.Warn("signer is not reachable: will retry", "err", err) })
	return signer, err
}

// retry runs do until it succeeds or fails for good.
func retry(ctx context.Context, do func() error, failed func(error)) error {
	b := backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(10*time.Second))
	return backoff.RetryNotify(do, backoff.WithContext(b, ctx), func(err error, _ time.Duration) { failed(err) })
}
