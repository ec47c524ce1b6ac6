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
	if c := s.all()[name]; c != nil {
		return SourcesStatus(c)
	}
	return nil
}

// SourcesStatus is how the endpoints of a chain do, without their secrets.
func SourcesStatus(c *agree.Client) *agree.Status {
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

// several are the endpoints of one chain and how they are believed.
type several struct {
	List      []Source
	K         int    // of them must agree
	Lotus     *Lotus // nil: they speak only eth_*
	Deep      func(chains.Event) uint64
	Dial      func(context.Context, evm.Config, *slog.Logger) (evm.Reader, error)
	DialLotus Dialer
}

// reach dials them as one reader of the chain.
func (v several) reach(ctx context.Context, base evm.Config, log *slog.Logger) (*agree.Client, error) {
	if v.Lotus != nil && v.DialLotus == nil {
		return nil, fmt.Errorf("%w: %s.lotus: this program speaks to no Lotus node", ErrConfig, base.Name)
	}
	var endpoints []agree.Endpoint
	for _, source := range v.List {
		one := base
		one.URL = source.URL
		dial := func(ctx context.Context) (evm.Reader, error) { return v.Dial(ctx, one, log) }
		if v.Lotus != nil {
			dial = func(ctx context.Context) (evm.Reader, error) {
				return v.DialLotus(ctx, Endpoint{Config: one, Lotus: v.Lotus, Deep: v.Deep}, log)
			}
		}
		endpoints = append(endpoints, agree.Endpoint{Name: source.Name, Dial: dial})
	}
	return agree.Dial(ctx, agree.Config{
		Name: base.Name, ChainID: base.ChainID, StartBlock: base.StartBlock, K: v.K, MaxRange: base.MaxRange,
	}, endpoints, log)
}

// reach dials the endpoints of a chain as one reader of it.
func (s *shared) reach(ctx context.Context, c Chain, base evm.Config, log *slog.Logger) (*agree.Client, error) {
	list, err := c.sources()
	if err != nil {
		return nil, err
	}
	all := several{List: list, K: c.agree(), Lotus: c.Lotus, Dial: s.Dial, DialLotus: s.cfg.DialLotus}
	if c.Lotus != nil {
		all.Deep = s.deep(*c.Lotus)
	}
	client, err := all.reach(ctx, base, log)
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
	tell := sourceTeller{s.metrics.sources, s.Alerts, "no new transaction is sent there"}
	for _, name := range slices.Sorted(maps.Keys(s.sources.all())) {
		s.health.set("sources/"+name, s.sources.trouble(name))
		for _, e := range s.sources.status(name).Endpoints {
			tell.source(name, e, now)
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
	key := flow.Ethereum + "/witnesses"
	if !errors.As(w.Trouble(), &split) {
		s.Alerts.Resolve(alerts.SourcesDisagree, key)
		return
	}
	s.Alerts.Raise(witnessAlert(flow.Ethereum, key, split))
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

// Believed says how chains are read of which single are believed on the word of one
// endpoint: for every status.
func Believed(single []string) string {
	if len(single) == 0 {
		return "quorum"
	}
	return "single-source (" + strings.Join(single, ", ") + ")"
}
