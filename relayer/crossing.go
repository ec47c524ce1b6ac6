package relayer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
)

// mainnet is Ethereum as this instance reads and writes it.
type mainnet struct {
	client    evm.Reader
	witnesses []evm.Reader
	source    *ethereum.Source
	sender    chains.Sender
}

func (m *mainnet) close() {
	if m == nil {
		return
	}
	m.client.Close()
	for _, w := range m.witnesses {
		w.Close()
	}
}

// openEthereum connects to the L1 and its witnesses; nil where none is configured.
func (s *shared) openEthereum(ctx context.Context) (_ *mainnet, err error) {
	c := s.cfg.Ethereum
	if c == nil {
		return nil, nil
	}
	m := &mainnet{sender: noSender{}}
	if m.client, err = s.dial(ctx, flow.Ethereum, c.Chain); err != nil {
		return nil, err
	}
	for i, url := range c.Witnesses {
		w := c.Chain
		w.URL, w.URLFile, w.Also, w.Agree = url, "", nil, 0
		client, err := s.dial(ctx, fmt.Sprintf("%s-witness-%d", flow.Ethereum, i+1), w)
		if err != nil {
			m.close()
			return nil, err
		}
		m.witnesses = append(m.witnesses, client)
	}
	if m.source, err = ethereum.New(m.client, m.witnesses...); err != nil {
		m.close()
		return nil, err
	}
	s.sources.witnessed.Store(m.source)
	return m, nil
}

// crossLink is how FLT crosses between Ethereum and one subnet's root.
type crossLink struct {
	flow.Crossing
	l1                       *mainnet
	service, l1ITS           axelar.Service
	in, out                  *approve.Quorum           // at the root's gateway, and at Ethereum's; nil where Axelar approves
	network                  map[string]*netEnd        // by the chain's name at Axelar; none before they are made
	gas                      map[string]common.Address // gas services, the same way
	rootExecutor, l1Executor executor
	contracts, onL1          map[string]common.Address
	starts                   [2]uint64 // of FLT on Ethereum and on the root

	mu     sync.Mutex
	onward map[chains.EventID]flow.Onward
	// approved are events of gateways that were read before.
	approved map[chains.EventID]*axelar.Approved
}

// maxOnward bounds what is remembered of messages on their way to Ethereum.
const maxOnward = 4096

// cross asks the contracts of a crossing what they are. An endpoint that does not
// answer is waited for; contracts that are not the described ones end the start.
func (s *shared) cross(ctx context.Context, name string, d deploy.Deployment, root evm.Reader, l1 *mainnet) (*crossLink, error) {
	if d.Crossing == nil {
		return nil, nil
	}
	if l1 == nil {
		return nil, fmt.Errorf("%w: ethereum: FLT of subnet %s crosses from there: give its endpoint and account", ErrConfig, name)
	}
	if l1.client.ChainID() != d.Crossing.L1.ChainID {
		return nil, fmt.Errorf("subnet %s: its FLT crosses from chain %d, ethereum is configured as %d: %w", name, d.Crossing.L1.ChainID, l1.client.ChainID(), chains.ErrWrongChain)
	}
	part := "crossing/" + name
	var x *crossLink
	err := backoff.RetryNotify(func() error {
		var err error
		x, err = s.probeCrossing(ctx, *d.Crossing, root, l1)
		s.health.set(part, err)
		if err != nil && !errors.Is(err, chains.ErrUnavailable) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(10*time.Second)), ctx),
		func(err error, _ time.Duration) {
			s.Log.Warn("the contracts of the crossing cannot be asked: will retry", "subnet", name, "err", err)
		})
	if err != nil {
		return nil, fmt.Errorf("crossing of %s: %w", name, err)
	}
	return x, nil
}

func (s *shared) probeCrossing(ctx context.Context, d deploy.Crossing, root evm.Reader, l1 *mainnet) (*crossLink, error) {
	x := &crossLink{
		l1: l1, onward: map[chains.EventID]flow.Onward{}, approved: map[chains.EventID]*axelar.Approved{},
		starts: [2]uint64{d.L1.StartBlock, d.Root.StartBlock},
		Crossing: flow.Crossing{
			L1: l1.client.ChainID(), TokenID: d.TokenID, Sender: d.Sender, Handler: d.Handler, Portal: d.Portal, Foreign: s.cfg.Axelar.Foreign,
		},
	}
	e, err := probeEnds(ctx, d, root, l1.client)
	if err != nil {
		return nil, err
	}
	x.L1Gateway, x.l1ITS, x.RootGateway, x.service = e.l1Gateway, e.l1ITS, e.rootGateway, e.rootITS
	x.L1Name, x.RootName = x.l1ITS.Chain, x.service.Chain
	x.Hub = axelar.Hub{Address: x.service.Hub, Services: map[string]common.Address{x.L1Name: x.l1ITS.Address, x.RootName: x.service.Address}}
	x.contracts = map[string]common.Address{"Axelar gateway": d.Root.Gateway, "token service": d.Root.Service, "FltHandler": d.Handler}
	x.onL1 = map[string]common.Address{"Axelar gateway": d.L1.Gateway, "token service": d.L1.Service, "FltSender": d.Sender, "FLT": d.L1Flt}
	x.gas = map[string]common.Address{x.L1Name: d.L1.GasService, x.RootName: d.Root.GasService}
	if x.Gmp, err = probeGmp(ctx, d, x.Crossing, root, l1.client); err != nil {
		return nil, err
	}
	x.contracts["GmpRouter"], x.onL1["GmpPort"] = d.GmpRouter, d.GmpPort
	if s.cfg.Axelar.Approvals == ApprovalsNetwork {
		return x, nil
	}
	if err := x.probeExecutors(ctx, d.RootExecutor, d.L1Executor, root); err != nil {
		return nil, err
	}
	sets := s.signerSets(d)
	proposals := s.Proposals
	if proposals == nil {
		proposals = noProposals{}
	}
	quorum := func(to string, g axelar.Gateway, client evm.Reader, head func(context.Context) (chains.Block, error)) (*approve.Quorum, error) {
		return approve.NewQuorum(approve.QuorumConfig{
			To: to, Gateway: g, Sets: sets, MaxBatch: s.cfg.Axelar.MaxBatch, Store: proposals, Log: s.Log,
			Final: func(ctx context.Context, calls []axelar.Call) ([][]byte, error) {
				at, err := head(ctx)
				if err != nil {
					return nil, err
				}
				return answers(ctx, client, calls, evm.AtHash(at.Hash))
			},
		})
	}
	if x.in, err = quorum(x.RootName, x.RootGateway, root, root.Head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if x.out, err = quorum(x.L1Name, x.L1Gateway, l1.client, l1.source.Head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	x.contracts["Executor"], x.onL1["Executor"] = x.rootExecutor.at, x.l1Executor.at
	return x, nil
}

// ends are Axelar's contracts at both ends of a crossing, as they said themselves.
type ends struct {
	l1Gateway, rootGateway axelar.Gateway
	l1ITS, rootITS         axelar.Service
}

func probeEnds(ctx context.Context, d deploy.Crossing, root, l1 evm.Reader) (e ends, err error) {
	if e.l1Gateway, e.l1ITS, err = probeEnd(ctx, l1, d.L1); err != nil {
		return e, err
	}
	if e.rootGateway, e.rootITS, err = probeEnd(ctx, root, d.Root); err != nil {
		return e, err
	}
	if e.l1ITS.Hub != e.rootITS.Hub {
		return e, fmt.Errorf("%w: the token services know two hubs, %q and %q", ErrConfig, e.l1ITS.Hub, e.rootITS.Hub)
	}
	return e, nil
}

func probeEnd(ctx context.Context, client evm.Reader, set deploy.AxelarSet) (axelar.Gateway, axelar.Service, error) {
	at := view{client, evm.AtLatest}
	gateway, err := axelar.Probe(ctx, at, client.ChainID(), set.Gateway)
	if err != nil {
		return nil, axelar.Service{}, err
	}
	service, err := axelar.ProbeService(ctx, at, set.Service)
	if err != nil {
		return nil, axelar.Service{}, err
	}
	if service.Gateway != set.Gateway || service.Chain != set.Chain {
		return nil, axelar.Service{}, fmt.Errorf("%w: the token service of %s speaks through gateway %s as %q, its deployment says %s and %q",
			ErrConfig, client.Name(), service.Gateway, service.Chain, set.Gateway, set.Chain)
	}
	return gateway, service, nil
}

// AuditCrossing is what an auditor reads of a crossing, through endpoints of its
// caller's.
func AuditCrossing(ctx context.Context, d deploy.Deployment, root, l1 evm.Reader) (*audit.Crossing, error) {
	c := d.Crossing
	e, err := probeEnds(ctx, *c, root, l1)
	if err != nil {
		return nil, err
	}
	return &audit.Crossing{
		L1: l1, L1Gateway: e.l1Gateway, RootGateway: e.rootGateway, L1Service: e.l1ITS, RootService: e.rootITS,
		TokenID: c.TokenID, L1Token: c.L1Flt, L1Manager: c.L1Manager, RootToken: d.Root.Flt,
		Sender: c.Sender, Handler: c.Handler, Portal: c.Portal, GmpPort: c.GmpPort, GmpRouter: c.GmpRouter,
		L1Start: c.L1.StartBlock, RootStart: c.Root.StartBlock,
	}, nil
}

// rootFilter, l1Filter and subnetFilter are what the watchers read for a crossing.
func (x *crossLink) rootFilter() chains.Filter {
	f := x.RootGateway.Filter()
	f.Placed = []common.Address{x.RootGateway.Address()}
	return both(joined(f, []common.Address{x.Handler}, flow.CrossRootTopics()), x.gmpFilter(x.Gmp.Router, flow.GmpRootTopics()))
}

func (x *crossLink) l1Filter() chains.Filter {
	return both(joined(x.L1Gateway.Filter(), []common.Address{x.Sender}, flow.CrossL1Topics()), x.gmpFilter(x.Gmp.Port, flow.GmpL1Topics()))
}

func (x *crossLink) subnetFilter() chains.Filter {
	f := chains.Filter{Addresses: []common.Address{x.Portal}, Topics: flow.CrossSubnetTopics()}
	return both(f, x.gmpFilter(x.Gmp.SubnetPort, flow.GmpSubnetTopics()))
}

// flows are those of the crossing of a link.
func (l *link) crossFlows() []flow.Flow {
	x := l.cross
	d := flow.CrossDeps{
		Search: l.search, Credits: l.credits, Returned: l.returnedToL1, Onward: l.onward,
		Decide:   l.decide,
		ResendTx: l.resendToL1Tx,
		Now: func(ctx context.Context) (uint64, error) {
			b, err := l.root.Latest(ctx)
			return b.Time, err
		},
		SendRoot: l.toRoot.Send, SendSubnet: l.toChild.Send,
	}
	var legs []flow.Flow
	if x.in == nil {
		d.Approvals, legs = l.approvals(flow.Ethereum, x.L1Gateway, x.l1.client), l.awaitedLegs()
	} else {
		legs = []flow.Flow{
			flow.LegIn(l.sub, x.Crossing, l.leg(x.RootGateway, x.service, x.rootExecutor, l.root, l.read(flow.Root, l.root.Head), x.in.Approve, l.toRoot)),
			flow.LegOut(l.sub, x.Crossing, l.leg(x.L1Gateway, x.l1ITS, x.l1Executor, x.l1.client, l.read(flow.Ethereum, x.l1.source.Head), x.out.Approve, x.l1.sender)),
		}
	}
	return slices.Concat(legs, []flow.Flow{flow.FLTL1Deposit(l.sub, x.Crossing, d), flow.FLTL1Withdraw(l.sub, x.Crossing, d)}, l.gmpFlows())
}

// leg is what carrying messages to one chain needs of it.
func (l *link) leg(gateway axelar.Gateway, service axelar.Service, x executor, client evm.Reader, head func(context.Context) (chains.Block, error), approve flow.ApproveFunc, send chains.Sender) flow.LegDeps {
	return flow.LegDeps{
		StatesFinal:  l.states(gateway, client, head),
		StatesLatest: l.states(gateway, client, client.Latest),
		Approve:      approve,
		ExecuteTx: func(m axelar.Message, payload []byte) (chains.Tx, error) {
			if m.SourceChain != axelar.HubChain {
				data, err := axelar.DirectCalldata(gateway.CommandID(m), m, payload)
				return chains.Tx{To: m.Contract, Data: data}, err
			}
			data, err := service.ExecuteCalldata(gateway.CommandID(m), m, payload)
			return chains.Tx{To: service.Address, Data: data}, err
		},
		Together: x.together(gateway, service, client),
		Circumstances: func(ctx context.Context, m axelar.Message, t *axelar.Transfer) (axelar.Circumstances, uint64, error) {
			return circumstances(ctx, gateway.State(m), service, client, t)
		},
		Send: send.Send,
	}
}

// circumstances asks at the newest block, where the failed call was simulated.
func circumstances(ctx context.Context, state axelar.Question[axelar.State], service axelar.Service, client evm.Reader, t *axelar.Transfer) (axelar.Circumstances, uint64, error) {
	c := axelar.Circumstances{Transfer: t}
	now, err := client.Latest(ctx)
	if err != nil {
		return c, 0, err
	}
	at := evm.AtHash(now.Hash)
	if c.State, err = axelar.Ask(ctx, view{client, at}, state); err != nil {
		return c, 0, err
	}
	if t == nil { // without the hub: there is no token, and no limit of one
		return c, now.Time, nil
	}
	if len(t.Destination) == common.AddressLength {
		code, err := client.CodeAt(ctx, common.BytesToAddress(t.Destination), at)
		if err != nil {
			return c, 0, err
		}
		c.NoCode = len(code) == 0
	}
	counted, err := axelar.Ask(ctx, view{client, at}, service.Flow(t.TokenID))
	switch {
	case err == nil:
		c.Limit = counted.Limit
	case !errors.Is(err, chains.ErrReverted): // a token without a manager has no limit
		return c, 0, err
	}
	return c, now.Time, nil
}

// states asks a gateway for many messages at one block.
func (l *link) states(gateway axelar.Gateway, client evm.Reader, head func(context.Context) (chains.Block, error)) func(context.Context, []axelar.Message) ([]axelar.State, error) {
	return statesBy(gateway.State, client, head)
}

// statesBy puts one question for each at one block.
func statesBy[T any](question func(T) axelar.Question[axelar.State], client evm.Reader, head func(context.Context) (chains.Block, error)) func(context.Context, []T) ([]axelar.State, error) {
	return func(ctx context.Context, of []T) ([]axelar.State, error) {
		at, err := head(ctx)
		if err != nil {
			return nil, err
		}
		questions := make([]axelar.Question[axelar.State], len(of))
		for i, m := range of {
			questions[i] = question(m)
		}
		return asked(ctx, client, axelar.All(questions), evm.AtHash(at.Hash))
	}
}

// asked puts a question in one batch, at one block.
func asked[T any](ctx context.Context, client evm.Reader, q axelar.Question[T], at evm.BlockRef) (T, error) {
	got, err := answers(ctx, client, q.Calls, at)
	if err != nil {
		var none T
		return none, err
	}
	return q.Read(got)
}

func answers(ctx context.Context, client evm.Reader, calls []axelar.Call, at evm.BlockRef) ([][]byte, error) {
	args := make([]evm.CallArg, len(calls))
	for i, c := range calls {
		args[i] = evm.CallArg{To: c.To, Data: c.Data}
	}
	results, err := client.BatchCall(ctx, args, at)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(results))
	for i, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		out[i] = r.Data
	}
	return out, nil
}

// signerSets are those of the deployment and those that the configuration names.
func (s *shared) signerSets(d deploy.Crossing) (out []axelar.WeightedSigners) {
	for _, one := range d.Signers {
		set := SignerSet{Threshold: one.Threshold, Nonce: one.Nonce}
		for _, w := range one.Signers {
			set.Signers = append(set.Signers, SetMember(w))
		}
		out = append(out, set.Set())
	}
	for _, one := range s.cfg.Axelar.SignerSets {
		out = append(out, one.Set())
	}
	return out
}

// noProposals stands in where nothing may be sent, as in a rescan.
type noProposals struct{ standIn }

type standIn = approve.Proposals

// tidyEvery is how many looks at rotations there are to one at everything that is
// proposed.
const tidyEvery = 15

// rotations carries what signers have agreed on about themselves, and takes away
// proposals that are of no more use. It promises nothing: whatever it leaves, the
// next look finds.
func (s *shared) rotations(ctx context.Context, l *link) error {
	sides := []struct {
		quorum *approve.Quorum
		chain  string
		send   chains.Sender
	}{{l.cross.in, flow.Root, l.toRoot}, {l.cross.out, flow.Ethereum, l.cross.l1.sender}}
	looks := 0
	return every(ctx, keepEvery, func() error {
		looks++
		for _, side := range sides {
			signed, err := side.quorum.Rotations(ctx)
			for _, r := range signed {
				tx := r.Tx
				tx.Key, tx.Group = r.Key, "into/"+side.chain
				if sent := side.send.Send(ctx, tx); sent != nil && !errors.Is(sent, chains.ErrBusy) {
					err = errors.Join(err, fmt.Errorf("rotate the signers of %s: %w", side.chain, sent))
				}
			}
			if looks%tidyEvery == 0 {
				_, tidied := side.quorum.Tidy(ctx)
				err = errors.Join(err, tidied)
			}
			if err != nil && ctx.Err() == nil {
				s.Log.Warn("look after the proposals: will retry", "chain", side.chain, "err", err)
			}
		}
		return nil
	})
}

// proven searches Ethereum through the source that proves what it gives.
type proven struct {
	*ethereum.Source
	evm.Reader
}

// Head and Events are the source's: what they give is proven.
func (p proven) Head(ctx context.Context) (chains.Block, error) { return p.Source.Head(ctx) }

// Events implements chains.Source.
func (p proven) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	return p.Source.Events(ctx, q)
}

// decide journals a fact that a search has found. Whoever waits for it goes on in
// the same script; another search that finds it again changes nothing.
func (l *link) decide(ctx context.Context, chain string, key flow.Key, out flow.Outcome, e chains.Event) error {
	_, _, err := l.db.Backfill(ctx, chain, nil, []store.Fact{{
		Key: string(key), Outcome: store.Outcome(out.Kind.String()), Reason: string(out.Reason),
		Chain: chain, Height: e.Block, BlockHash: e.BlockHash, Tx: e.Tx, At: e.BlockTime, LogIndex: e.Index,
	}})
	if err != nil {
		return fmt.Errorf("keep what was found: %w", err)
	}
	return nil
}

// credits asks FltHandler at one final root block.
func (l *link) credits(ctx context.Context, ids []common.Hash) ([]axelar.FltCredit, error) {
	at, err := l.read(flow.Root, l.root.Head)(ctx)
	if err != nil {
		return nil, err
	}
	questions := make([]axelar.Question[axelar.FltCredit], len(ids))
	for i, id := range ids {
		questions[i] = axelar.FltCreditOf(l.cross.Handler, id)
	}
	return asked(ctx, l.root, axelar.All(questions), evm.AtHash(at.Hash))
}

// returnedToL1 asks FltPortal at one final subnet block.
func (l *link) returnedToL1(ctx context.Context, ids []common.Hash) ([]bool, error) {
	at, err := l.final(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(ids))
	for i, id := range ids {
		held, err := asked(ctx, l.client.Reader, axelar.FltReturnedOf(l.cross.Portal, id), at)
		if err != nil {
			return nil, err
		}
		out[i] = held.Sign() > 0
	}
	return out, nil
}

func (l *link) resendToL1Tx(ctx context.Context, w axelar.FltWithdrawal) (chains.Tx, error) {
	fee, err := l.client.ExitFee(ctx)
	if err != nil {
		return chains.Tx{}, err
	}
	return chains.Tx{To: l.cross.Portal, Data: axelar.ResendCalldata(w), Value: fee}, nil
}

// onward reads the call of the gateway that each event of FltHandler follows.
func (l *link) onward(ctx context.Context, events []chains.Event) ([]flow.Onward, error) {
	x := l.cross
	out := make([]flow.Onward, len(events))
	for i, e := range events {
		x.mu.Lock()
		m, known := x.onward[e.ID()]
		x.mu.Unlock()
		if !known {
			var err error
			if m, err = l.before(ctx, e); err != nil {
				return nil, err
			}
			x.mu.Lock()
			if len(x.onward) >= maxOnward {
				clear(x.onward)
			}
			x.onward[e.ID()] = m
			x.mu.Unlock()
		}
		out[i] = m
	}
	return out, nil
}

// before is the call of the gateway right before another event.
func (l *link) before(ctx context.Context, e chains.Event) (flow.Onward, error) {
	all, err := l.root.TransactionEvents(ctx, e.Tx)
	if err != nil {
		return flow.Onward{}, err
	}
	for i, own := range all {
		if own.Index != e.Index || i == 0 {
			continue
		}
		if own.BlockHash != e.BlockHash || own.Address != e.Address {
			break
		}
		said, ok, err := l.cross.RootGateway.Decode(all[i-1])
		called, isCall := said.(axelar.Called)
		if err != nil || !ok || !isCall {
			return flow.Onward{}, fmt.Errorf("[BUG] the event before log %d of %s is no call of the gateway", e.Index, e.Tx)
		}
		call := axelar.MessageID{Tx: e.Tx, Index: uint64(i - 1)}
		r, err := l.cross.Hub.Route(l.cross.RootName, call, called)
		if err != nil {
			return flow.Onward{}, err
		}
		return flow.Onward{Call: call, Message: r.Message}, nil
	}
	return flow.Onward{}, fmt.Errorf("root: the receipt of %s has no log %d of block %s: %w", e.Tx, e.Index, e.BlockHash, chains.ErrUnavailable)
}

// auditCrossing is what the audit reads of it, with the relayer's own accounts on
// Ethereum; nil without a crossing. Each auditor has its own.
func (l *link) auditCrossing(accounts []common.Address) *audit.Crossing {
	if l.cross == nil {
		return nil
	}
	x := l.cross
	return &audit.Crossing{
		L1: x.l1.client, L1Gateway: x.L1Gateway, RootGateway: x.RootGateway, L1Service: x.l1ITS, RootService: x.service,
		TokenID: x.TokenID, L1Token: x.onL1["FLT"], L1Manager: x.l1ITS.TokenManager(x.TokenID), RootToken: l.sub.FLT,
		Sender: x.Sender, Handler: x.Handler, Portal: x.Portal, GmpPort: x.Gmp.Port, GmpRouter: x.Gmp.Router, Foreign: x.Foreign, Accounts: accounts,
		L1Start: x.starts[0], RootStart: x.starts[1],
	}
}
