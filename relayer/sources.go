package relayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/flow"
)

// sources are the endpoints of every chain as this instance reads them now.
type sources struct {
	mu     sync.Mutex
	chains map[string]*agree.Client
	flows  atomic.Pointer[[]flow.Flow] // what events begin; nil before the subnets are known
	// witnessed is Ethereum with those that only confirm its headers.
	witnessed atomic.Pointer[ethereum.Source]
}

func newSources() *sources { return &sources{chains: map[string]*agree.Client{}} }

func (s *sources) set(name string, c *agree.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chains[name] = c
}

func (s *sources) all() map[string]*agree.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.chains)
}

// status is how the endpoints of a chain do; nil where it is not connected.
func (s *sources) status(name string) *agree.Status {
	c := s.all()[name]
	if c == nil {
		return nil
	}
	out := c.Status()
	for i := range out.Endpoints {
		e := &out.Endpoints[i]
		e.Out = api.Scrub(e.Out)
		for j := range e.Differs {
			e.Differs[j].Said, e.Differs[j].Others = api.Scrub(e.Differs[j].Said), api.Scrub(e.Differs[j].Others)
		}
	}
	return &out
}

// reach dials the endpoints of a chain as one reader of it.
func (s *shared) reach(ctx context.Context, c Chain, base evm.Config, log *slog.Logger) (*agree.Client, error) {
	list, err := c.sources()
	if err != nil {
		return nil, err
	}
	if c.Lotus != nil && s.cfg.DialLotus == nil {
		return nil, fmt.Errorf("%w: %s.lotus: this program speaks to no Lotus node", ErrConfig, base.Name)
	}
	var endpoints []agree.Endpoint
	for _, source := range list {
		one := base
		one.URL = source.URL
		dial := func(ctx context.Context) (evm.Reader, error) { return s.Dial(ctx, one, log) }
		if c.Lotus != nil {
			dial = func(ctx context.Context) (evm.Reader, error) {
				return s.cfg.DialLotus(ctx, Endpoint{Config: one, Lotus: c.Lotus, Deep: s.deep(*c.Lotus)}, log)
			}
		}
		endpoints = append(endpoints, agree.Endpoint{Name: source.Name, Dial: dial})
	}
	client, err := agree.Dial(ctx, agree.Config{
		Name: base.Name, ChainID: base.ChainID, StartBlock: base.StartBlock, K: c.agree(), MaxRange: base.MaxRange,
	}, endpoints, log)
	if err != nil {
		return nil, err
	}
	s.sources.set(base.Name, client)
	return client, nil
}

// deep asks the flows what an event begins, once they are known.
func (s *shared) deep(l Lotus) func(chains.Event) uint64 {
	return func(e chains.Event) uint64 {
		if flows := s.sources.flows.Load(); flows != nil {
			return l.deep(*flows, e)
		}
		return 0
	}
}

const (
	sourcesEvery = time.Second
	// sourceAway is how long an endpoint may be out before a person is told.
	sourceAway = time.Minute
)

// watchSources tells how the endpoints do.
func (s *shared) watchSources(ctx context.Context) error {
	return every(ctx, sourcesEvery, func() error {
		s.tellSources(time.Now())
		return nil
	})
}

func (s *shared) tellSources(now time.Time) {
	clients := s.sources.all()
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		s.health.set("sources/"+name, s.sources.trouble(name))
		for _, e := range s.sources.status(name).Endpoints {
			s.tellSource(name, e, now)
		}
	}
	s.tellWitnesses()
}

// tellWitnesses tells of a witness that knows another block.
func (s *shared) tellWitnesses() {
	w := s.sources.witnessed.Load()
	if w == nil {
		return
	}
	var split *ethereum.DisagreementError
	if !errors.As(w.Trouble(), &split) {
		s.Alerts.Resolve(alerts.SourcesDisagree, flow.Ethereum+"/witnesses")
		return
	}
	s.Alerts.Raise(alerts.Alert{
		Name: alerts.SourcesDisagree, Key: flow.Ethereum + "/witnesses", Severity: alerts.Page, Summary: split.Error(),
		Fields: map[string]string{
			"chain": flow.Ethereum, "source": fmt.Sprintf("witness %d", split.Which), "what": fmt.Sprintf("block %d", split.Height),
			"height": fmt.Sprint(split.Height), "said": split.Witness.Hex(), "others": split.Data.Hex(),
		},
	})
}

func (s *shared) tellSource(chain string, e agree.EndpointStatus, now time.Time) {
	s.metrics.source(chain, e)
	key := chain + "/" + e.Name
	if len(e.Differs) > 0 {
		d := e.Differs[0]
		s.Alerts.Raise(alerts.Alert{
			Name: alerts.SourcesDisagree, Key: key, Severity: alerts.Page,
			Summary: fmt.Sprintf("%s: endpoint %s differs about %s: it says %s; others say %s; no new transaction is sent there: compare it with another, then replace the one that is wrong", chain, e.Name, d.What, d.Said, d.Others),
			Fields:  map[string]string{"chain": chain, "source": e.Name, "what": d.What, "height": fmt.Sprint(d.Height), "said": d.Said, "others": d.Others, "questions": fmt.Sprint(len(e.Differs))},
		})
	} else {
		s.Alerts.Resolve(alerts.SourcesDisagree, key)
	}
	if e.Out != "" && now.Sub(*e.Since) >= sourceAway {
		s.Alerts.Raise(alerts.Alert{
			Name: alerts.SourceOut, Key: key, Severity: alerts.Ticket,
			Summary: fmt.Sprintf("%s: endpoint %s is out: %s", chain, e.Name, e.Out),
			Fields:  map[string]string{"chain": chain, "source": e.Name, "what": e.Out, "height": fmt.Sprint(e.Height), "since": e.Since.UTC().Format(time.RFC3339)},
		})
	} else if e.Out == "" {
		s.Alerts.Resolve(alerts.SourceOut, key)
	}
}

// trouble says why no new transaction may be sent on a chain: its endpoints disagree
// about what is final, and until that is cleared up either may be the one that lies.
func (s *sources) trouble(name string) error {
	if c := s.all()[name]; c != nil {
		if err := c.Trouble(); err != nil {
			return err
		}
	}
	if w := s.witnessed.Load(); w != nil && name == flow.Ethereum {
		return w.Trouble()
	}
	return nil
}

// believed says how the chains are read, for every status.
func believed(single []string) string {
	if len(single) == 0 {
		return "quorum"
	}
	return "single-source (" + strings.Join(single, ", ") + ")"
}
