package relayer

import (
	"context"
	"errors"
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
	// AcceptFork names a chain whose final blocks have changed: an operator has
	// looked, and what it says now counts. Only that chain is read, from the fork
	// on; From and To are not looked at.
	AcceptFork string
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
	// Of an accepted fork: what became of the transfers that were set aside.
	Kept     int `json:"kept,omitempty"`
	Reopened int `json:"reopened,omitempty"`
	Parked   int `json:"parked,omitempty"`
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
// named by its event, and a live cursor is left alone. A chain that has none gets
// one where it was read whole.
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
		Journal: db, Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: alerts.New(log, 1), Log: log,
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
	l1, err := s.openEthereum(ctx)
	if err != nil {
		return nil, err
	}
	defer l1.close()
	var flows []flow.Flow
	var links []*link
	for _, c := range cfg.Subnets {
		l, err := s.openSubnet(ctx, c, root, l1)
		if err != nil {
			return nil, err
		}
		defer l.client.Close()
		if err := l.standing(ctx); err != nil {
			return nil, err
		}
		flows, links = append(flows, l.flows()...), append(links, l)
	}

	var out []RescanResult
	for _, c := range s.sides(root, l1, links) {
		if o.AcceptFork != "" && o.AcceptFork != c.name {
			continue
		}
		scan := scanner{side: c, flows: flows, progress: o.Progress}
		var err error
		if o.AcceptFork != "" {
			err = scan.acceptFork(ctx, s.Journal)
		} else {
			err = scan.all(ctx, s.Journal, o)
		}
		out = append(out, scan.result)
		if err != nil {
			return out, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no chain %q", o.AcceptFork)
	}
	return out, nil
}

// scanner reads a side again.
type scanner struct {
	side
	flows    []flow.Flow
	progress func(chain string, at, to uint64, created, advanced int)
	result   RescanResult
}

// put stores what a range held.
type put func(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int, err error)

func (s *scanner) all(ctx context.Context, db Journal, o RescanOptions) error {
	head, err := s.source.Head(ctx)
	if err != nil {
		return fmt.Errorf("final head of %s: %w", s.name, err)
	}
	from, to := s.start, head.Number
	if v, ok := o.From[s.name]; ok {
		from = v
	}
	if v, ok := o.To[s.name]; ok {
		to = min(v, head.Number)
	}
	cur, err := s.read(ctx, chains.Cursor{Chain: s.id, Next: from}, to, db.Backfill)
	if err != nil || from != s.start || to != head.Number {
		return err
	}
	// Everything up to here is in the journal. Where nobody has read this chain
	// yet, after a loss, a watcher goes on from here and need not read it again.
	// Should the journal be lost once more meanwhile, its script refuses the move.
	first := chains.Cursor{Chain: s.id, Next: s.start}
	if _, ok, err := db.Cursor(ctx, s.name); err != nil || ok {
		return err
	}
	if err := db.InitCursor(ctx, s.name, first); err != nil {
		return err
	}
	if err := db.Ingest(ctx, s.name, first, cur, nil, nil); !errors.Is(err, store.ErrCursor) {
		return err
	}
	return nil // a watcher was quicker
}

// acceptFork reads a forked chain from the fork on and lets go of what was set
// aside. Until its last script the chain stays as it is: after a death, or when
// the chain changes once more meanwhile, it is run again from the beginning.
func (s *scanner) acceptFork(ctx context.Context, db Journal) error {
	fork, ok, err := db.Forked(ctx, s.name)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s: %w", s.name, store.ErrNoFork)
	}
	if fork, err = watch.Refork(ctx, s.source, db, fork); err != nil {
		return err
	}
	head, err := s.source.Head(ctx)
	if err != nil {
		return fmt.Errorf("final head of %s: %w", s.name, err)
	}
	cur := chains.Cursor{Chain: s.id, Next: max(fork.From, s.start)}
	if fork.From > 0 {
		cur = chains.Cursor{Chain: s.id, Next: fork.From, Parent: fork.Good.Hash}
	}
	if cur, err = s.read(ctx, cur, head.Number, db.Reread); err != nil {
		return err
	}
	done, err := db.AcceptFork(ctx, fork, cur, "rescan")
	s.result.Kept, s.result.Reopened, s.result.Parked = done.Kept, done.Reopened, done.Parked
	if err != nil {
		return fmt.Errorf("accept the fork of %s (run it again): %w", s.name, err)
	}
	return nil
}

// read puts the events up to a height into the journal and says where it ended.
func (s *scanner) read(ctx context.Context, cur chains.Cursor, to uint64, into put) (chains.Cursor, error) {
	r := &s.result
	r.Chain, r.From, r.To = s.name, cur.Next, to
	for cur.Next <= to {
		last, events, err := s.source.Events(ctx, chains.Query{From: cur, To: to, Filter: s.filter})
		if err != nil {
			return cur, fmt.Errorf("rescan %s from %d: %w", s.name, cur.Next, err)
		}
		if last.Number < cur.Next || last.Number > to {
			return cur, fmt.Errorf("rescan %s: answered up to %d from %d: %w", s.name, last.Number, cur.Next, chains.ErrUnavailable)
		}
		jobs, facts, err := watch.Translate(s.name, s.flows, events)
		if err != nil {
			return cur, err
		}
		created, advanced, err := into(ctx, s.name, jobs, facts)
		if err != nil {
			return cur, fmt.Errorf("rescan %s from %d: %w", s.name, cur.Next, err)
		}
		r.Events, r.Created, r.Advanced = r.Events+len(events), r.Created+created, r.Advanced+advanced
		cur = chains.Cursor{Chain: s.id, Next: last.Number + 1, Parent: last.Hash}
		if s.progress != nil {
			s.progress(s.name, last.Number, to, r.Created, r.Advanced)
		}
	}
	return cur, nil
}
