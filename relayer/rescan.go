package relayer

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/prometheus/client_golang/prometheus"
)

// RescanOptions of a rescan.
type RescanOptions struct {
	From map[string]uint64 // first height per chain name; absent: the configured start
	To   map[string]uint64 // last height per chain name; absent: the final head
	// AcceptForgotten opens a Redis that knows less than this machine remembers.
	AcceptForgotten bool
	// Progress is told after each range.
	Progress func(chain string, at, to uint64, created, advanced int)
}

// RescanResult counts what a rescan put into the journal.
type RescanResult struct {
	Chain    string `json:"chain"`
	From     uint64 `json:"from"`
	To       uint64 `json:"to"`
	Events   int    `json:"events"`
	Created  int    `json:"created"`
	Advanced int    `json:"advanced"`
}

// OpenStore opens the journal that a configuration names.
func OpenStore(ctx context.Context, cfg Config, acceptForgotten bool, log *slog.Logger) (*store.DB, error) {
	url, err := secretOf(cfg.Redis.URL, cfg.Redis.URLFile)
	if err != nil {
		return nil, err
	}
	epoch := ""
	if acceptForgotten {
		epoch = filepath.Join(cfg.State, "epoch.json")
	}
	return store.Open(ctx, store.Options{
		URL: url, Namespace: cfg.Redis.Namespace, AllowUnsafe: cfg.Redis.AllowVolatile, Instance: "cli",
		EpochFile: epoch, AcceptForgotten: acceptForgotten, Log: log,
	})
}

// Rescan reads ranges of the chains again and puts what is missing into the
// journal. It may run beside a relayer and any number of times: every row is
// named by its event, and the live cursor is left alone.
func Rescan(ctx context.Context, cfg Config, o RescanOptions, log *slog.Logger) ([]RescanResult, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	db, err := OpenStore(ctx, cfg, o.AcceptForgotten, log)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer db.Close()
	return RescanParts(ctx, cfg, o, Parts{
		Journal: db, Dial: evm.Dial, Deployment: deploy.ReadDeployment, Alerts: alerts.New(log, 1), Log: log,
	})
}

// RescanParts is Rescan on given parts.
func RescanParts(ctx context.Context, cfg Config, o RescanOptions, p Parts) ([]RescanResult, error) {
	s := &shared{cfg: cfg, Parts: p, tools: newTools(cfg, prometheus.NewRegistry(), p.Alerts, "")}
	root, err := s.dial(ctx, flow.Root, cfg.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	type side struct {
		name   string
		source chains.Source
		id     chains.ID
		start  uint64
		filter chains.Filter
	}
	var flows []flow.Flow
	first := side{name: flow.Root, source: root, id: root.ChainID(), start: cfg.Root.StartBlock}
	var rest []side
	for _, c := range cfg.Subnets {
		l, err := s.openSubnet(ctx, c, root)
		if err != nil {
			return nil, err
		}
		defer l.client.Close()
		if err := l.standing(ctx); err != nil {
			return nil, err
		}
		flows = append(flows, l.flows()...)
		first.filter = joined(first.filter, l.sub.RootContracts(), l.sub.RootTopics())
		rest = append(rest, side{l.sub.Name, l.client, l.sub.ID, c.StartBlock, chains.Filter{Addresses: l.sub.SubnetContracts(), Topics: l.sub.SubnetTopics()}})
	}

	var out []RescanResult
	for _, c := range append([]side{first}, rest...) {
		head, err := c.source.Head(ctx)
		if err != nil {
			return out, fmt.Errorf("final head of %s: %w", c.name, err)
		}
		from, to := c.start, head.Number
		if v, ok := o.From[c.name]; ok {
			from = v
		}
		if v, ok := o.To[c.name]; ok {
			to = min(v, head.Number)
		}
		r := RescanResult{Chain: c.name, From: from, To: to}
		cur := chains.Cursor{Chain: c.id, Next: from}
		for cur.Next <= to {
			last, events, err := c.source.Events(ctx, chains.Query{From: cur, To: to, Filter: c.filter})
			if err != nil {
				return append(out, r), fmt.Errorf("rescan %s from %d: %w", c.name, cur.Next, err)
			}
			if last.Number < cur.Next || last.Number > to {
				return append(out, r), fmt.Errorf("rescan %s: answered up to %d from %d: %w", c.name, last.Number, cur.Next, chains.ErrUnavailable)
			}
			jobs, facts, err := watch.Translate(c.name, flows, events)
			if err != nil {
				return append(out, r), err
			}
			created, advanced, err := s.Journal.Backfill(ctx, c.name, jobs, facts)
			if err != nil {
				return append(out, r), fmt.Errorf("rescan %s from %d: %w", c.name, cur.Next, err)
			}
			r.Events, r.Created, r.Advanced = r.Events+len(events), r.Created+created, r.Advanced+advanced
			cur = chains.Cursor{Chain: c.id, Next: last.Number + 1, Parent: last.Hash}
			if o.Progress != nil {
				o.Progress(c.name, last.Number, to, r.Created, r.Advanced)
			}
		}
		out = append(out, r)
	}
	return out, nil
}
