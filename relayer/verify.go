package relayer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/verify"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrVerify says that the journal is not what a second reading found.
var ErrVerify = errors.New("the journal is not what the chain's receipts say")

// VerifyOptions of a second reading.
type VerifyOptions struct {
	Chains []string          // by name; none: all
	From   map[string]uint64 // first height per chain name; absent: the configured start
	To     map[string]uint64 // last height per chain name; absent, or above it: the last one that a watcher has recorded and the endpoint knows as final
	URLs   map[string]string // endpoint per chain name; absent: the configured one
	// Progress is told after each range.
	Progress func(chain string, at, to uint64)
}

// Kinds of Difference.
const (
	VerifyMissing   = "missing"   // the chain has it, the journal does not
	VerifyExtra     = "extra"     // the journal has it, the chain does not
	VerifyDifferent = "different" // both have it, otherwise
)

// Difference is one row in which journal and chain are not the same.
type Difference struct {
	Kind   string      `json:"kind"`
	What   string      `json:"what"` // "transfer" or "fact"
	ID     string      `json:"id"`   // of the transfer, or the fact's key
	Tx     common.Hash `json:"tx"`
	Height uint64      `json:"height"`
	Fields []string    `json:"fields,omitempty"` // that differ
}

// maxDifferences bounds what is listed of a chain; all are counted.
const maxDifferences = 1000

// Verified is what a second reading of one chain found.
type Verified struct {
	Chain string `json:"chain"`
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
	// Configured says that it was read through the relayer's own endpoint, whose lies
	// the two readings may share.
	Configured bool `json:"configured_endpoint"`
	Transfers  int  `json:"transfers"` // that began in the range, by the chain
	Facts      int  `json:"facts"`
	// Searched is how many facts rest on an event that does not name what it decides.
	// They were found by a search: the event itself was found again.
	Searched int `json:"searched"`
	// Renamed is how many facts were journaled under a key that this configuration does
	// not give them, such as that of another kind of approvers: the same event decides a
	// step of the same route in the same way.
	Renamed     int            `json:"renamed"`
	Counts      map[string]int `json:"counts"` // by kind
	Differences []Difference   `json:"differences"`
}

// Verify reads ranges of the chains from receipts alone and compares what began
// there, and what decides steps, with the journal. It writes nothing and may run
// beside a relayer. ErrVerify comes with the results when they are not the same.
func Verify(ctx context.Context, cfg Config, o VerifyOptions, log *slog.Logger) ([]Verified, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	db, err := OpenStore(ctx, cfg, false, log)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer db.Close()
	return verifyParts(ctx, cfg, o, db, Parts{
		Journal: db, Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: alerts.New(log, 1), Log: log,
	})
}

// recorded is what of the journal is compared.
type recorded interface {
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	List(ctx context.Context, f store.Filter) (jobs []store.Job, next string, err error)
	EachFact(ctx context.Context, chain string, from, to uint64, f func(store.Fact)) error
}

func verifyParts(ctx context.Context, cfg Config, o VerifyOptions, db recorded, p Parts) ([]Verified, error) {
	cfg = readThrough(cfg, o.URLs)
	dial, lotus := p.Dial, cfg.DialLotus
	p.Dial = func(ctx context.Context, c evm.Config, log *slog.Logger) (evm.Reader, error) {
		return byReceipts(dial(ctx, c, log))
	}
	if lotus != nil {
		cfg.DialLotus = func(ctx context.Context, e Endpoint, log *slog.Logger) (evm.Reader, error) {
			return byReceipts(lotus(ctx, e, log))
		}
	}
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
		flows, links = append(flows, l.flows()...), append(links, l)
	}

	var out []Verified
	var differ error
	for _, c := range s.sides(root, l1, links) {
		if len(o.Chains) > 0 && !slices.Contains(o.Chains, c.name) {
			continue
		}
		v, err := verifySide(ctx, c, flows, db, o)
		if err != nil {
			return out, err
		}
		if out = append(out, v); len(v.Counts) > 0 {
			differ = ErrVerify
		}
	}
	return out, differ
}

// readThrough is a configuration whose chains are read through the endpoints given, each
// of them alone.
func readThrough(cfg Config, urls map[string]string) Config {
	instead := func(name string, c Chain) Chain {
		if url, ok := urls[name]; ok {
			c.URL, c.URLFile, c.Also, c.Agree = url, "", nil, 1
		}
		return c
	}
	cfg.Root = instead(flow.Root, cfg.Root)
	if cfg.Ethereum != nil {
		l1 := *cfg.Ethereum
		l1.Chain = instead(flow.Ethereum, l1.Chain)
		cfg.Ethereum = &l1
	}
	cfg.Subnets = slices.Clone(cfg.Subnets)
	for i, s := range cfg.Subnets {
		cfg.Subnets[i].Chain = instead(s.Name, s.Chain)
	}
	return cfg
}

// byReceipts is an endpoint whose events are read from its receipts.
func byReceipts(r evm.Reader, err error) (evm.Reader, error) {
	if err != nil {
		return nil, err
	}
	return verify.Reader{Reader: r}, nil
}

// VerifyChain is Verify for one chain from a block on, through a reader that its
// watcher does not ask.
func VerifyChain(ctx context.Context, chain string, r evm.Reader, f chains.Filter, flows []flow.Flow, db *store.DB) (Verified, error) {
	c := side{name: chain, id: r.ChainID(), start: r.StartBlock(), filter: f, source: verify.Reader{Reader: r}}
	v, err := verifySide(ctx, c, flows, db, VerifyOptions{URLs: map[string]string{chain: ""}})
	if err == nil && len(v.Counts) > 0 {
		err = ErrVerify
	}
	return v, err
}

// verifySide compares one chain.
func verifySide(ctx context.Context, c side, flows []flow.Flow, db recorded, o VerifyOptions) (Verified, error) {
	_, other := o.URLs[c.name]
	v := Verified{Chain: c.name, Configured: !other, Counts: map[string]int{}, Differences: []Difference{}}
	err := v.bounds(ctx, c, db, o)
	if err != nil {
		return v, err
	}
	found, err := v.read(ctx, c, flows, o.Progress)
	if err != nil {
		return v, err
	}
	v.Transfers, v.Facts = len(found.begun), len(found.facts)
	if err := v.transfers(ctx, c, db, found.begun); err != nil {
		return v, err
	}
	if err := v.facts(ctx, db, found, flows); err != nil {
		return v, err
	}
	slices.SortFunc(v.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.What, b.What), strings.Compare(a.ID, b.ID), a.Tx.Cmp(b.Tx))
	})
	return v, nil
}

// bounds are the heights that are compared: nothing beyond what a watcher has
// recorded, which the journal need not have, nor what is not final here yet.
func (v *Verified) bounds(ctx context.Context, c side, db recorded, o VerifyOptions) error {
	cur, ok, err := db.Cursor(ctx, c.name)
	if err != nil {
		return err
	}
	if !ok || cur.Next <= c.start {
		return fmt.Errorf("verify %s: nothing of it has been recorded yet: %w", c.name, chains.ErrUnavailable)
	}
	head, err := c.source.Head(ctx)
	if err != nil {
		return fmt.Errorf("verify %s: final head: %w", c.name, err)
	}
	v.From, v.To = c.start, min(cur.Next-1, head.Number)
	if from, ok := o.From[c.name]; ok {
		v.From = from
	}
	if to, ok := o.To[c.name]; ok {
		v.To = min(v.To, to)
	}
	if v.To < v.From {
		return fmt.Errorf("verify %s: heights %d to %d: nothing is recorded there: %w", c.name, v.From, v.To, chains.ErrUnavailable)
	}
	return nil
}

// reading is what receipts hold of a range.
type reading struct {
	begun map[common.Hash]tokens.Transfer
	facts map[factName]store.Fact
	// events are of each the block, by transaction and index.
	events map[place]chains.Block
}

type place struct {
	tx    common.Hash
	index uint
}

// read is what the range holds, as the receipts say.
func (v *Verified) read(ctx context.Context, c side, flows []flow.Flow, progress func(string, uint64, uint64)) (*reading, error) {
	out := &reading{map[common.Hash]tokens.Transfer{}, map[factName]store.Fact{}, map[place]chains.Block{}}
	end, err := c.source.At(ctx, v.To)
	if err != nil {
		return nil, fmt.Errorf("verify %s: block %d: %w", c.name, v.To, err)
	}
	for cur := (chains.Cursor{Chain: c.id, Next: v.From}); cur.Next <= end.Number; {
		last, events, err := c.source.Events(ctx, chains.Query{From: cur, To: end.Number, Filter: c.filter})
		if err != nil {
			return nil, fmt.Errorf("verify %s from %d: %w", c.name, cur.Next, err)
		}
		if last.Number < cur.Next || last.Number > end.Number {
			return nil, fmt.Errorf("[BUG] verify %s: answered up to %d for [%d, %d]", c.name, last.Number, cur.Next, end.Number)
		}
		jobs, fs, err := watch.Translate(c.name, flows, events)
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			out.begun[j.Transfer.ID] = j.Transfer
		}
		for _, f := range fs {
			out.facts[nameOf(f)] = f
		}
		for _, e := range events {
			out.events[place{e.Tx, e.Index}] = chains.Block{Number: e.Block, Hash: e.BlockHash, Time: e.BlockTime}
		}
		cur = chains.Cursor{Chain: c.id, Next: last.Number + 1, Parent: last.Hash}
		if progress != nil {
			progress(c.name, last.Number, v.To)
		}
	}
	return out, nil
}

// transfers compares what began in the range. What an accepted fork has set aside
// is known to be gone.
func (v *Verified) transfers(ctx context.Context, c side, db recorded, begun map[common.Hash]tokens.Transfer) error {
	left := maps.Clone(begun)
	for f := (store.Filter{Hidden: true, Limit: 500}); ; {
		jobs, next, err := db.List(ctx, f)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			t := j.Transfer
			want, there := begun[t.ID]
			delete(left, t.ID)
			switch {
			case there:
				if fields := unlike(want, t); len(fields) > 0 {
					v.add(Difference{VerifyDifferent, "transfer", t.ID.Hex(), want.Origin.Tx, want.Height, fields})
				}
			case t.Origin.Chain == c.id && t.Height >= v.From && t.Height <= v.To && !regressed(j):
				v.add(Difference{VerifyExtra, "transfer", t.ID.Hex(), t.Origin.Tx, t.Height, nil})
			}
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	for id, t := range left {
		v.add(Difference{VerifyMissing, "transfer", id.Hex(), t.Origin.Tx, t.Height, nil})
	}
	return nil
}

// factName is what a fact is known again by.
type factName struct {
	key   string
	tx    common.Hash
	index uint
}

func nameOf(f store.Fact) factName { return factName{f.Key, f.Tx, f.LogIndex} }

// facts compares what decides steps. What a search has journaled is in no event by
// itself, but the event that it names must be there.
func (v *Verified) facts(ctx context.Context, db recorded, seen *reading, flows []flow.Flow) error {
	left, search := maps.Clone(seen.facts), searches(flows)
	var unknown []store.Fact
	err := db.EachFact(ctx, v.Chain, v.From, v.To, func(f store.Fact) {
		want, there := seen.facts[nameOf(f)]
		delete(left, nameOf(f))
		at := chains.Block{Number: f.Height, Hash: f.BlockHash, Time: f.At}
		if !there && search(f.Key) && seen.events[place{f.Tx, f.LogIndex}] == at {
			v.Searched++
		} else if !there {
			unknown = append(unknown, f)
		} else if fields := unlike(want, f); len(fields) > 0 {
			v.add(Difference{VerifyDifferent, "fact", f.Key, f.Tx, want.Height, fields})
		}
	})
	if err != nil {
		return err
	}
	for _, f := range unknown {
		if !v.rename(left, f) {
			v.add(Difference{VerifyExtra, "fact", f.Key, f.Tx, f.Height, nil})
		}
	}
	if len(left) == 0 {
		return nil
	}
	// Of heights outside the range too: the first facts of a key are those that are kept.
	kept := map[string]int{}
	if err := db.EachFact(ctx, v.Chain, 0, math.MaxInt64, func(f store.Fact) { kept[f.Key]++ }); err != nil {
		return err
	}
	for _, f := range left {
		if !f.Shared && kept[f.Key] >= store.FactsPerKey {
			continue // the journal keeps no more of this key
		}
		v.add(Difference{VerifyMissing, "fact", f.Key, f.Tx, f.Height, nil})
	}
	return nil
}

// rename looks for what is missing under another key of the same route and event.
func (v *Verified) rename(missing map[factName]store.Fact, f store.Fact) bool {
	route, _, _ := strings.Cut(f.Key, "/")
	for name, want := range missing {
		if r, _, _ := strings.Cut(name.key, "/"); r != route || name.tx != f.Tx || name.index != f.LogIndex {
			continue
		}
		want.Key, want.Shared = f.Key, f.Shared
		if len(unlike(want, f)) == 0 {
			delete(missing, name)
			v.Renamed++
			return true
		}
	}
	return false
}

// searches tells the keys of steps that a search may decide.
func searches(flows []flow.Flow) func(key string) bool {
	steps := map[string]bool{}
	for _, f := range flows {
		for _, s := range f.Steps {
			if s.Searched {
				steps[f.Name+"/"+s.Name] = true
			}
		}
	}
	return func(key string) bool {
		route, rest, _ := strings.Cut(key, "/")
		step, _, _ := strings.Cut(rest, "/")
		return steps[route+"/"+step]
	}
}

func (v *Verified) add(d Difference) {
	v.Counts[d.Kind]++
	if len(v.Differences) < maxDifferences {
		v.Differences = append(v.Differences, d)
	}
}

// unlike names the fields, as in JSON, in which two values differ.
func unlike[T any](a, b T) []string {
	fields := func(v T) (out map[string]json.RawMessage) {
		raw, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(raw, &out)
		}
		if err != nil {
			return map[string]json.RawMessage{"[BUG] unreadable": raw}
		}
		return out
	}
	x, y := fields(a), fields(b)
	var out []string
	for name := range x {
		if !bytes.Equal(x[name], y[name]) {
			out = append(out, name)
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
