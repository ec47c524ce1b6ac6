package relayer

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
)

// statusBoard answers /status of operators and /v1/status of users.
type statusBoard struct {
	instance, version string
	single            []string // chains of which one endpoint alone is believed
	health            *health
	from              *sources
	alerts            *alerts.Manager

	mu      sync.Mutex
	db      shown
	chains  []chainView // the root first
	behind  map[string]CatchUp
	senders map[string]*evm.TxManager
	lost    string // token of what recovery is about
	loss    *RecoveryStatus
}

// recovers edits what is shown of a recovery; another loss is shown anew.
func (b *statusBoard) recovers(of store.Recovery, edit func(*RecoveryStatus)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := RecoveryStatus{Since: of.Since, Why: of.Why, WaitsFor: "the chains to be connected"}
	if b.loss != nil && b.lost == of.Token {
		next = *b.loss
	}
	edit(&next)
	b.lost, b.loss = of.Token, &next
}

// recovered ends what is shown of a recovery.
func (b *statusBoard) recovered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost, b.loss = "", nil
}

// catching shows how a catch-up does; nil when it has ended.
func (b *statusBoard) catching(chain string, p *watch.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p == nil {
		delete(b.behind, chain)
		return
	}
	if b.behind == nil {
		b.behind = map[string]CatchUp{}
	}
	b.behind[chain] = CatchUp{
		From: p.From, To: p.To, BlocksLeft: p.To - min(p.At, p.To), BlocksPerSecond: math.Round(p.Rate), EtaSeconds: p.Left.Seconds(),
	}
}

// shown is what of the journal the status shows.
type shown interface {
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	Stats(ctx context.Context) (store.Stats, error)
	Lanes(ctx context.Context) ([]store.LaneInfo, error)
}

type chainView struct {
	name   string
	id     chains.ID
	source chains.Source
}

func (b *statusBoard) set(db shown, sides []side, senders map[string]*evm.TxManager) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.db, b.senders = db, senders
	b.chains = nil
	for _, s := range sides {
		b.chains = append(b.chains, chainView{s.name, s.id, s.source})
	}
}

// Status is the body of /status on the admin listener.
type Status struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	Ready    bool   `json:"ready"`
	// Sources is "quorum", or "single-source" and the chains of which one endpoint
	// alone is believed.
	Sources string            `json:"sources"`
	Parts   map[string]string `json:"parts"` // "" is well
	// Remarks is what an operator should know of parts that are well: that the
	// journal's Redis may forget.
	Remarks map[string]string `json:"remarks,omitempty"`
	// Recovery is there while nothing is sent because Redis forgot.
	Recovery *RecoveryStatus `json:"recovery,omitempty"`
	Chains   []ChainStatus   `json:"chains"`
	Counts   []CountStatus   `json:"counts"`
	Lanes    []LaneStatus    `json:"lanes"`
	Alerts   []alerts.Alert  `json:"alerts"`
}

// RecoveryStatus is how far an instance is in bringing back what Redis lost.
type RecoveryStatus struct {
	Since    time.Time `json:"since"`
	Why      string    `json:"why"`
	WaitsFor string    `json:"waits_for"`
	// Findings are why the journal does not agree with the chains, the first of them.
	Findings []string `json:"findings,omitempty"`
}

// PublicStatus is the body of /v1/status: what users need. Which machine,
// accounts and troubles there are is for operators.
type PublicStatus struct {
	Version string        `json:"version"`
	Ready   bool          `json:"ready"`
	Sources string        `json:"sources"`
	Chains  []PublicChain `json:"chains"`
	Counts  []CountStatus `json:"counts"` // of users' transfers
}

// PublicChain is how far a chain is read.
type PublicChain struct {
	Name      string    `json:"name"`
	ChainID   chains.ID `json:"chain_id"`
	Height    uint64    `json:"height"` // final; 0: not known now
	Cursor    uint64    `json:"cursor"` // last height recorded
	LagBlocks uint64    `json:"lag_blocks"`
	// CatchUp is there while older blocks are caught up with; new transfers are
	// read beside it.
	CatchUp *CatchUp `json:"catch_up,omitempty"`
}

// CatchUp is how far the reading of older blocks is.
type CatchUp struct {
	From            uint64  `json:"from"`
	To              uint64  `json:"to"`
	BlocksLeft      uint64  `json:"blocks_left"`
	BlocksPerSecond float64 `json:"blocks_per_second"` // 0: not known yet
	EtaSeconds      float64 `json:"eta_seconds"`
}

// ChainStatus is one chain as read by this instance.
type ChainStatus struct {
	PublicChain
	Accounts []Sending `json:"accounts"`
	// Sources is how the endpoints do that the chain is read through.
	Sources *agree.Status `json:"sources,omitempty"`
}

// Sending is an account of the relayer. BalanceWei is a decimal string.
type Sending struct {
	Address    string `json:"address"`
	BalanceWei string `json:"balance_wei"`
	Pending    int    `json:"pending"`
	NextNonce  uint64 `json:"next_nonce"`
}

// CountStatus counts transfers.
type CountStatus struct {
	Route  string `json:"route"`
	Status string `json:"status"`
	Step   string `json:"step,omitempty"`
	Count  int    `json:"count"`
}

// LaneStatus is one ordered lane.
type LaneStatus struct {
	Name   string `json:"name"`
	Depth  int    `json:"depth"`
	Head   uint64 `json:"head"`
	Paused string `json:"paused,omitempty"`
	Forked string `json:"forked,omitempty"` // the chain whose changed blocks stop it
	Error  string `json:"error,omitempty"`
}

// lookFor bounds the questions behind one status.
const lookFor = 5 * time.Second

// read is what operators see; what does not answer in time is left out.
func (b *statusBoard) read(ctx context.Context) any {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	b.mu.Lock()
	db, senders := b.db, b.senders
	var loss *RecoveryStatus
	if b.loss != nil {
		loss = &RecoveryStatus{Since: b.loss.Since, Why: api.Scrub(b.loss.Why), WaitsFor: api.Scrub(b.loss.WaitsFor)}
		for _, f := range b.loss.Findings {
			loss.Findings = append(loss.Findings, api.Scrub(f))
		}
	}
	b.mu.Unlock()
	out := Status{
		Instance: b.instance, Version: b.version, Ready: b.health.Ready() == nil, Sources: b.sources(),
		Parts: b.health.snapshot(), Remarks: b.health.Remarks(), Recovery: loss, Alerts: b.alerts.Open(), Chains: []ChainStatus{}, Counts: b.counts(ctx), Lanes: []LaneStatus{},
	}
	if out.Alerts == nil {
		out.Alerts = []alerts.Alert{}
	}
	for part, text := range out.Parts {
		out.Parts[part] = api.Scrub(text)
	}
	for part, text := range out.Remarks {
		out.Remarks[part] = api.Scrub(text)
	}
	for i := range out.Alerts {
		out.Alerts[i].Summary = api.Scrub(out.Alerts[i].Summary)
	}
	for _, c := range b.howFar(ctx) {
		full := ChainStatus{PublicChain: c, Sources: b.from.status(c.Name)}
		if tx := senders[c.Name]; tx != nil {
			for _, a := range tx.Status() {
				s := Sending{Address: a.Address.Hex(), Pending: a.Pending, NextNonce: a.NextNonce}
				if a.BalanceWei != nil {
					s.BalanceWei = a.BalanceWei.String()
				}
				full.Accounts = append(full.Accounts, s)
			}
		}
		out.Chains = append(out.Chains, full)
	}
	if db == nil {
		return out
	}
	if lanes, err := db.Lanes(ctx); err == nil {
		slices.SortFunc(lanes, func(a, b store.LaneInfo) int { return strings.Compare(a.Name, b.Name) })
		for _, l := range lanes {
			if l.Strict {
				out.Lanes = append(out.Lanes, LaneStatus{l.Name, l.Depth, l.HeadSeq, l.Paused, l.Forked, api.Scrub(l.LastErr)})
			}
		}
	}
	return out
}

// public is what users see.
func (b *statusBoard) public(ctx context.Context) any {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	out := PublicStatus{
		Version: b.version, Ready: b.health.Ready() == nil, Sources: b.sources(), Chains: b.howFar(ctx), Counts: []CountStatus{},
	}
	for _, c := range b.counts(ctx) {
		if _, users := tokens.RouteByName(c.Route); users {
			out.Counts = append(out.Counts, c)
		}
	}
	return out
}

func (b *statusBoard) sources() string { return Believed(b.single) }

// howFar asks how far each chain is, in the order of the configuration.
func (b *statusBoard) howFar(ctx context.Context) []PublicChain {
	b.mu.Lock()
	db, views, behind := b.db, b.chains, maps.Clone(b.behind)
	b.mu.Unlock()
	out := []PublicChain{}
	for _, v := range views {
		c := PublicChain{Name: v.name, ChainID: v.id}
		if head, err := v.source.Head(ctx); err == nil {
			c.Height = head.Number
		}
		if cur, ok, err := db.Cursor(ctx, v.name); err == nil && ok && cur.Next > 0 {
			c.Cursor = cur.Next - 1
		}
		if c.Height > c.Cursor {
			c.LagBlocks = c.Height - c.Cursor
		}
		if p, ok := behind[v.name]; ok {
			c.CatchUp = &p
		}
		out = append(out, c)
	}
	return out
}

func (b *statusBoard) counts(ctx context.Context) []CountStatus {
	b.mu.Lock()
	db := b.db
	b.mu.Unlock()
	out := []CountStatus{}
	if db == nil {
		return out
	}
	if stats, err := db.Stats(ctx); err == nil {
		for _, c := range stats.Counts {
			out = append(out, CountStatus{c.Route, string(c.Status), c.Step, c.N})
		}
	}
	return out
}
