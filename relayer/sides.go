package relayer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/relayer/work"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// side is one chain as it is read.
type side struct {
	name   string
	source watch.Chain
	id     chains.ID
	start  uint64
	tick   Duration
	filter chains.Filter
}

// sides lists the chains: the root's and Ethereum's are read for all subnets.
func (s *shared) sides(root evm.Reader, l1 *mainnet, links []*link) []side {
	first := side{name: flow.Root, source: root, id: root.ChainID(), start: s.cfg.Root.StartBlock, tick: s.cfg.Root.Tick}
	var second side
	if l1 != nil {
		second = side{name: flow.Ethereum, source: l1.source, id: l1.client.ChainID(), start: s.cfg.Ethereum.StartBlock, tick: s.cfg.Ethereum.Tick}
	}
	var rest []side
	for i, l := range links {
		own := chains.Filter{Addresses: l.sub.SubnetContracts(), Topics: l.sub.SubnetTopics()}
		first.filter = joined(first.filter, l.sub.RootContracts(), l.sub.RootTopics())
		if l.cross != nil {
			first.filter = both(first.filter, l.cross.rootFilter())
			second.filter = both(second.filter, l.cross.l1Filter())
			own = both(own, l.cross.subnetFilter())
		}
		c := s.cfg.Subnets[i]
		rest = append(rest, side{l.sub.Name, l.client, l.sub.ID, c.StartBlock, c.Tick, own})
	}
	out := []side{first}
	if l1 != nil && len(second.filter.Addresses) > 0 {
		out = append(out, second)
	}
	return append(out, rest...)
}

// newWatchers makes one watcher per chain.
func (s *shared) newWatchers(sides []side, flows []flow.Flow, pool *work.Pool) ([]*watch.Watcher, error) {
	var out []*watch.Watcher
	for _, c := range sides {
		var newest common.Hash
		w, err := watch.New(watch.Config{
			Chain: c.name, Source: c.source, Filter: c.filter, Flows: flows,
			Start:   chains.Cursor{Chain: c.id, Next: c.start},
			Journal: s.Journal, Tick: time.Duration(c.tick), Log: s.Log,
			Ingested: func(jobs, facts int, last chains.Block) {
				s.metrics.ingested(c.name, jobs, facts, last)
				if jobs+facts > 0 {
					pool.Wake()
				}
			},
			Head: func(b chains.Block) {
				s.metrics.head(c.name, b)
				if b.Hash != newest {
					newest = b.Hash
					pool.Head()
				}
			},
			Failed: watchFailed(c.name, s.health, s.Alerts),
			Progress: func(p *watch.Progress) {
				s.metrics.caughtUp(c.name, p)
				s.status.catching(c.name, p)
			},
			Brought: func(int, int) { pool.Wake() },
		})
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// both joins two filters.
func both(f, g chains.Filter) chains.Filter {
	f = joined(f, g.Addresses, g.Topics)
	for _, c := range g.Placed {
		if !slices.Contains(f.Placed, c) {
			f.Placed = append(f.Placed, c)
		}
	}
	return f
}

// joined adds contracts and topics to a filter, each once.
func joined(f chains.Filter, contracts []common.Address, topics []common.Hash) chains.Filter {
	for _, c := range contracts {
		if !slices.Contains(f.Addresses, c) {
			f.Addresses = append(f.Addresses, c)
		}
	}
	for _, t := range topics {
		if !slices.Contains(f.Topics, t) {
			f.Topics = append(f.Topics, t)
		}
	}
	return f
}

// watchFailed turns a watcher's state into health and, where a person is
// needed, into an alert.
func watchFailed(chain string, h *health, a *alerts.Manager) func(error) {
	var since time.Time // nothing was read; zero while something is
	return func(err error) {
		h.set("watch/"+chain, err)
		silent := chain + "/all"
		switch {
		case err == nil || errors.Is(err, store.ErrCursor):
			since = time.Time{}
			a.Resolve(alerts.SourceOut, silent)
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= sourceAway:
			a.Raise(alerts.Alert{
				Name: alerts.SourceOut, Key: silent, Severity: alerts.Page, Fields: map[string]string{"chain": chain, "what": err.Error(), "since": since.UTC().Format(time.RFC3339)},
				Summary: fmt.Sprintf("%s has not been read for %s: %v", chain, time.Since(since).Truncate(time.Second), err),
			})
		}
		var fork *watch.ForkError
		switch {
		case err == nil:
			a.Resolve(alerts.WatcherHalted, chain)
			a.Resolve(alerts.FinalityRegress, chain)
		case errors.Is(err, watch.ErrHalted):
			a.Raise(alerts.Alert{Name: alerts.WatcherHalted, Key: chain, Severity: alerts.Page, Summary: err.Error()})
		case errors.As(err, &fork):
			a.Raise(alerts.Alert{
				Name: alerts.FinalityRegress, Key: chain, Severity: alerts.Page, Summary: err.Error(),
				Fields: map[string]string{
					"chain": chain, "from": fmt.Sprint(fork.From), "good": fork.Good.Hash.Hex(),
					"facts": fmt.Sprint(fork.Facts), "transfers": fmt.Sprint(fork.Transfers),
				},
			})
		case errors.Is(err, chains.ErrReorg):
			a.Raise(alerts.Alert{Name: alerts.FinalityRegress, Key: chain, Severity: alerts.Page, Summary: err.Error()})
		}
	}
}

func troubles(a *alerts.Manager) func(work.Trouble) {
	return func(t work.Trouble) {
		name, key, severity := alerts.LaneStuck, t.Lane, alerts.Page
		if t.Parked {
			name, key, severity = alerts.TransferParked, t.Transfer.Hex(), alerts.Ticket
		}
		a.Raise(alerts.Alert{
			Name: name, Key: key, Severity: severity, Summary: fmt.Sprintf("%s/%s: %v", t.Flow, t.Step, t.Err),
			Fields: map[string]string{"flow": t.Flow, "step": t.Step, "lane": t.Lane, "transfer": t.Transfer.Hex(), "reason": string(t.Reason)},
		})
	}
}
