package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

// journal opens the store of the configuration for an operator's verb.
func (g *globals) journal(ctx context.Context, config string) (*store.DB, error) {
	cfg, err := g.config(config)
	if err != nil {
		return nil, err
	}
	log, err := g.logger(os.Stderr)
	if err != nil {
		return nil, err
	}
	return relayer.OpenStore(ctx, cfg, false, log)
}

// who is the person at the terminal, for the journal.
func who() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "operator"
}

// row is a transfer as operators see it.
type row struct {
	api.Transfer
	Lane      string `json:"lane"`
	Strict    bool   `json:"strict"`
	Seq       uint64 `json:"seq"`
	Crashes   int    `json:"crashes"`
	Intent    string `json:"intent,omitempty"`
	Hidden    bool   `json:"hidden"`
	Discarded bool   `json:"discarded"`
}

func rowOf(j store.Job) row {
	return row{Transfer: api.View(j), Lane: j.Lane, Strict: j.Strict, Seq: j.Seq, Crashes: j.Crashes, Intent: j.Intent, Hidden: j.Transfer.Hidden, Discarded: j.Discarded}
}

func newQueue(g *globals) *cobra.Command {
	var config string
	c := &cobra.Command{Use: "queue", Short: "Look at transfers in the journal; retry or discard parked ones"}
	c.PersistentFlags().StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")

	var status, route string
	var limit int
	var all bool
	ls := &cobra.Command{
		Use: "ls", Short: "List transfers, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			st := tokens.Status(status)
			if st != "" && st != tokens.Pending && !st.Terminal() {
				return usage("--status: pending, done, refunded, credited or parked")
			}
			if limit < 1 {
				return usage("--limit: at least 1")
			}
			hidden, err := ownRoute(route)
			if err != nil {
				return err
			}
			// What waits for a person is his, whoever began it.
			hidden = hidden || all || st == tokens.Parked
			db, err := g.journal(c.Context(), config)
			if err != nil {
				return err
			}
			defer db.Close()
			rows, text, cursor := []row{}, "", ""
			for len(rows) < limit {
				jobs, next, err := db.List(c.Context(), store.Filter{Status: st, Route: route, Hidden: hidden, Limit: min(limit-len(rows), 200), Cursor: cursor})
				if err != nil {
					return err
				}
				for _, j := range jobs {
					r := rowOf(j)
					rows = append(rows, r)
					text += fmt.Sprintf("%s %-14s %-9s %-8s %s %s\n", r.ID, r.Route, r.Status, r.Step, r.Reason, r.Error)
				}
				if next == "" {
					break
				}
				cursor = next
			}
			if len(rows) == 0 {
				text = "no transfers"
			}
			return g.print(c, rows, text)
		},
	}
	ls.Flags().StringVar(&status, "status", "", "only this status")
	ls.Flags().StringVar(&route, "route", "", "only this route or flow")
	ls.Flags().IntVar(&limit, "limit", 50, "how many at most")
	ls.Flags().BoolVar(&all, "all", false, "the relayer's own transfers too (checkpoints, deliveries); of what is parked, they are always there")

	show := &cobra.Command{
		Use: "show ID", Short: "Show one transfer by its id, message id or a transaction hash", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			db, err := g.journal(c.Context(), config)
			if err != nil {
				return err
			}
			defer db.Close()
			jobs, err := lookup(c.Context(), db, args[0])
			if err != nil {
				return err
			}
			rows, text := []row{}, ""
			for _, j := range jobs {
				r := rowOf(j)
				rows = append(rows, r)
				text += describe(r.Transfer) + fmt.Sprintf("lane %s (seq %d), attempts %d, crashes %d", r.Lane, r.Seq, r.Attempts, r.Crashes)
				if r.Intent != "" {
					text += ", rides in " + r.Intent
				}
				text += "\n"
			}
			return g.print(c, rows, text)
		},
	}

	aside := &cobra.Command{
		Use: "quarantine", Short: "List the facts that were set aside because their blocks have changed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 {
				return usage("--limit: at least 1")
			}
			db, err := g.journal(c.Context(), config)
			if err != nil {
				return err
			}
			defer db.Close()
			facts, err := db.QuarantinedFacts(c.Context(), limit)
			if err != nil {
				return err
			}
			type fact struct {
				store.Fact
				Why string    `json:"why"`
				Set time.Time `json:"set_aside_at"`
			}
			out, text := []fact{}, ""
			for _, q := range facts {
				out = append(out, fact{q.Fact, q.Why, q.Set})
				text += fmt.Sprintf("%s %d %s %s %s tx %s, set aside %s: %s\n", q.Chain, q.Height, q.BlockHash, q.Key, q.Outcome, q.Tx, q.Set.Format(time.RFC3339), q.Why)
			}
			if len(out) == 0 {
				text = "nothing is set aside"
			}
			return g.print(c, out, text)
		},
	}
	aside.Flags().IntVar(&limit, "limit", 50, "how many at most")

	retry := &cobra.Command{
		Use: "retry ID", Short: "Put a parked transfer back to work", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.act(c, config, args[0], "retried", func(ctx context.Context, db *store.DB, id common.Hash) error { return db.Retry(ctx, id, who()) })
		},
	}
	var why string
	discard := &cobra.Command{
		Use: "discard ID", Short: "Stop asking about a parked transfer; its row stays, and retry undoes it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usage("--why is required: it goes into the journal")
			}
			return g.act(c, config, args[0], "discarded", func(ctx context.Context, db *store.DB, id common.Hash) error {
				return db.Discard(ctx, id, who(), why)
			})
		},
	}
	discard.Flags().StringVar(&why, "why", "", "reason, for the journal")
	c.AddCommand(ls, show, aside, retry, discard)
	return c
}

// ownRoute says whether a route is one of the relayer's own, and refuses one
// that is none.
func ownRoute(name string) (bool, error) {
	if _, ok := tokens.RouteByName(name); ok || name == "" {
		return false, nil
	}
	if slices.Contains(flow.Own(), name) {
		return true, nil
	}
	var names []string
	for _, r := range tokens.Routes() {
		names = append(names, r.Name)
	}
	return false, usage("--route: there is no %q, but %s", name, strings.Join(append(names, flow.Own()...), ", "))
}

// act finds one transfer and does an operator's verb to it.
func (g *globals) act(c *cobra.Command, config, text, done string, verb func(context.Context, *store.DB, common.Hash) error) error {
	db, err := g.journal(c.Context(), config)
	if err != nil {
		return err
	}
	defer db.Close()
	jobs, err := lookup(c.Context(), db, text)
	if err != nil {
		return err
	}
	if len(jobs) > 1 {
		return usage("%s names %d transfers: give the id of one", text, len(jobs))
	}
	id := jobs[0].Transfer.ID
	if err := verb(c.Context(), db, id); err != nil {
		return err
	}
	return g.print(c, map[string]any{"transfer": id, "done": done}, id.Hex()+" "+done)
}

func lookup(ctx context.Context, db *store.DB, text string) ([]store.Job, error) {
	hash, err := parseHash(text)
	if err != nil {
		return nil, err
	}
	if j, ok, err := db.Get(ctx, hash); err != nil || ok {
		return []store.Job{j}, err
	}
	ids, err := db.Lookup(ctx, text)
	if err != nil {
		return nil, err
	}
	var jobs []store.Job
	for _, id := range ids {
		j, ok, err := db.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			jobs = append(jobs, j)
		}
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("no transfer in the journal has %s", text)
	}
	return jobs, nil
}

func newLane(g *globals) *cobra.Command {
	var config string
	c := &cobra.Command{Use: "lane", Short: "List, pause and resume lanes"}
	c.PersistentFlags().StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	ls := &cobra.Command{
		Use: "ls", Short: "List lanes with work in them, and paused ones", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			db, err := g.journal(c.Context(), config)
			if err != nil {
				return err
			}
			defer db.Close()
			lanes, err := db.Lanes(c.Context())
			if err != nil {
				return err
			}
			type lane struct {
				Name      string     `json:"name"`
				Strict    bool       `json:"strict"`
				Depth     int        `json:"depth"`
				Head      uint64     `json:"head"`
				NotBefore *time.Time `json:"not_before,omitempty"`
				Leased    string     `json:"leased,omitempty"`
				Paused    string     `json:"paused,omitempty"`
				Forked    string     `json:"forked,omitempty"`
				Error     string     `json:"error,omitempty"`
			}
			out, text := []lane{}, ""
			for _, l := range lanes {
				row := lane{l.Name, l.Strict, l.Depth, l.HeadSeq, nil, l.Leased, l.Paused, l.Forked, l.LastErr}
				if !l.NotBefore.IsZero() {
					row.NotBefore = &l.NotBefore
				}
				out = append(out, row)
				stop := l.Paused
				if l.Forked != "" {
					stop = strings.TrimSpace(stop + " stopped: final blocks of " + l.Forked + " have changed")
				}
				text += fmt.Sprintf("%-70s depth %-5d head %-8d %s %s\n", l.Name, l.Depth, l.HeadSeq, stop, l.LastErr)
			}
			if len(out) == 0 {
				text = "no lanes"
			}
			lost, on, err := db.Recovering(c.Context())
			if err != nil {
				return err
			}
			if on {
				text = fmt.Sprintf("redis forgot (%s): nobody gets a lane until the journal agrees with the chains\n", lost.Why) + text
			}
			return g.print(c, out, text)
		},
	}
	verb := func(use, short, done string, do func(*store.DB, context.Context, string, string) error) *cobra.Command {
		return &cobra.Command{
			Use: use + " LANE", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				if args[0] == "" {
					return usage("give the name of a lane: `causeway lane ls` lists them")
				}
				cfg, err := g.config(config)
				if err != nil {
					return err
				}
				db, err := g.journal(c.Context(), config)
				if err != nil {
					return err
				}
				defer db.Close()
				if err := laneIs(c.Context(), db, cfg, use, args[0]); err != nil {
					return err
				}
				if err := do(db, c.Context(), args[0], who()); err != nil {
					return err
				}
				return g.print(c, map[string]string{"lane": args[0], "done": done}, args[0]+" "+done)
			},
		}
	}
	c.AddCommand(ls,
		verb("pause", "Stop work in a lane; what is in flight goes on", "paused", (*store.DB).PauseLane),
		verb("resume", "Let a paused lane work again", "resumed", (*store.DB).ResumeLane))
	return c
}

// laneIs refuses the name of a lane that no transfer is in or can be in: who
// pauses it would believe that work has stopped.
func laneIs(ctx context.Context, db *store.DB, cfg relayer.Config, verb, name string) error {
	lanes, err := db.Lanes(ctx)
	if err != nil {
		return err
	}
	paused := verb == "resume" // only a paused lane is resumed
	known := func(l store.LaneInfo) bool { return l.Name == name && (!paused || l.Paused != "") }
	if slices.ContainsFunc(lanes, known) {
		return nil
	}
	possible, err := relayer.Lanes(cfg)
	if err != nil {
		return err
	}
	exists := slices.Contains(possible, name) || slices.ContainsFunc(lanes, func(l store.LaneInfo) bool { return l.Name == name })
	switch {
	case !exists:
		return usage("there is no lane %q: `causeway lane ls` lists those with work in them, the others are %s", name, strings.Join(possible, ", "))
	case paused:
		return fmt.Errorf("lane %s is not paused: `causeway lane ls` shows which are", name)
	}
	return nil
}
