package relayer

import (
	"context"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
)

// statusBoard answers /v1/status.
type statusBoard struct {
	instance, version string
	singleSource      bool
	health            *health
	alerts            *alerts.Manager

	mu      sync.Mutex
	db      shown
	chains  map[string]*chainView
	senders map[string]*evm.TxManager
}

// shown is what of the journal the status shows.
type shown interface {
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	Stats(ctx context.Context) (store.Stats, error)
	Lanes(ctx context.Context) ([]store.LaneInfo, error)
}

type chainView struct {
	id     chains.ID
	source chains.Source
}

func (b *statusBoard) set(db shown, links []*link, root *evm.Client, senders map[string]*evm.TxManager) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.db, b.senders = db, senders
	b.chains = map[string]*chainView{flow.Root: {root.ChainID(), root}}
	for _, l := range links {
		b.chains[l.sub.Name] = &chainView{l.sub.ID, l.client}
	}
}

// Status is the body of /v1/status.
type Status struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	Ready    bool   `json:"ready"`
	// Sources is "single-source" while each chain is read through one endpoint.
	Sources string            `json:"sources"`
	Parts   map[string]string `json:"parts"` // "" is well
	// Remarks is what an operator should know of parts that are well: that the
	// journal's Redis may forget.
	Remarks map[string]string `json:"remarks,omitempty"`
	Chains  []ChainStatus     `json:"chains"`
	Counts  []CountStatus     `json:"counts"`
	Lanes   []LaneStatus      `json:"lanes"`
	Alerts  []alerts.Alert    `json:"alerts"`
}

// ChainStatus is one chain as read by this instance.
type ChainStatus struct {
	Name     string    `json:"name"`
	ChainID  chains.ID `json:"chain_id"`
	Height   uint64    `json:"height"` // final
	Cursor   uint64    `json:"cursor"` // last height recorded
	Accounts []Sending `json:"accounts"`
}

// Sending is an account of the relayer. BalanceWei is a decimal string.
type Sending struct {
	Address    string `json:"address"`
	BalanceWei string `json:"balance_wei"`
	Pending    int    `json:"pending"`
	NextNonce  uint64 `json:"next_nonce"`
}

// CountStatus counts users' transfers.
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
	Error  string `json:"error,omitempty"`
}

// read is bounded in time by its caller; what does not answer is left out.
func (b *statusBoard) read(ctx context.Context) any {
	b.mu.Lock()
	db, views, senders := b.db, b.chains, b.senders
	b.mu.Unlock()
	out := Status{
		Instance: b.instance, Version: b.version, Ready: b.health.Ready() == nil, Sources: "single-source",
		Parts: b.health.snapshot(), Remarks: b.health.Remarks(), Alerts: b.alerts.Open(), Chains: []ChainStatus{}, Counts: []CountStatus{}, Lanes: []LaneStatus{},
	}
	if !b.singleSource {
		out.Sources = "quorum"
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
	if db == nil {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for name, v := range views {
		c := ChainStatus{Name: name, ChainID: v.id}
		if head, err := v.source.Head(ctx); err == nil {
			c.Height = head.Number
		}
		if cur, ok, err := db.Cursor(ctx, name); err == nil && ok && cur.Next > 0 {
			c.Cursor = cur.Next - 1
		}
		if tx := senders[name]; tx != nil {
			for _, a := range tx.Status() {
				s := Sending{Address: a.Address.Hex(), Pending: a.Pending, NextNonce: a.NextNonce}
				if a.BalanceWei != nil {
					s.BalanceWei = a.BalanceWei.String()
				}
				c.Accounts = append(c.Accounts, s)
			}
		}
		out.Chains = append(out.Chains, c)
	}
	if stats, err := db.Stats(ctx); err == nil {
		for _, c := range stats.Counts {
			out.Counts = append(out.Counts, CountStatus{c.Route, string(c.Status), c.Step, c.N})
		}
	}
	if lanes, err := db.Lanes(ctx); err == nil {
		for _, l := range lanes {
			if l.Strict {
				out.Lanes = append(out.Lanes, LaneStatus{l.Name, l.Depth, l.HeadSeq, l.Paused, api.Scrub(l.LastErr)})
			}
		}
	}
	return out
}
