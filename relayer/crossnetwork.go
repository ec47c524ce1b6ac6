package relayer

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/network"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// awaitedLegs are the legs of a crossing where Axelar approves.
func (l *link) awaitedLegs() []flow.Flow {
	x := l.cross
	return []flow.Flow{
		flow.NetworkLegIn(l.sub, x.Crossing, l.awaited(x.RootName, flow.Root, x.RootGateway, x.service, l.root, l.read(flow.Root, l.root.Head), l.toRoot)),
		flow.NetworkLegOut(l.sub, x.Crossing, l.awaited(x.L1Name, flow.Ethereum, x.L1Gateway, x.l1ITS, x.l1.client, l.read(flow.Ethereum, x.l1.source.Head), x.l1.sender)),
	}
}

// awaited is what carrying messages to one chain needs of it; name is the chain's
// at Axelar, chain our own.
func (l *link) awaited(name, chain string, gateway axelar.Gateway, service axelar.Service, client evm.Reader, head func(context.Context) (chains.Block, error), send chains.Sender) flow.NetworkDeps {
	d := flow.NetworkDeps{
		Search:       l.search,
		Approvals:    l.approvals(chain, gateway, client),
		StatesFinal:  statesBy(gateway.StateOf, client, head),
		StatesLatest: statesBy(gateway.StateOf, client, client.Latest),
		ExecuteTx: func(a axelar.Approved, payload []byte) (chains.Tx, error) {
			if a.Message.SourceChain != axelar.HubChain {
				data, err := axelar.DirectCalldata(a.CommandID, a.Message, payload)
				return chains.Tx{To: a.Message.Contract, Data: data}, err
			}
			data, err := service.ExecuteCalldata(a.CommandID, a.Message, payload)
			return chains.Tx{To: service.Address, Data: data}, err
		},
		Circumstances: func(ctx context.Context, a axelar.Approved, t *axelar.Transfer) (axelar.Circumstances, uint64, error) {
			return circumstances(ctx, gateway.StateOf(a), service, client, t)
		},
		Send: send.Send, Decide: l.decide,
	}
	if n := l.cross.network[name]; n != nil && n.gmp != nil {
		d.Reported = n.reported
		d.Report = func(ctx context.Context, legs []tokens.Transfer) ([]error, error) {
			return n.report(ctx, l, d.Approvals, legs)
		}
	}
	return d
}

// approvals reads which events decided the approvals of legs to a chain: which
// they were is in the journal, what they say on the chain.
func (l *link) approvals(chain string, gateway axelar.Gateway, client evm.Reader) func(context.Context, []common.Hash) ([]*axelar.Approved, error) {
	return func(ctx context.Context, legs []common.Hash) ([]*axelar.Approved, error) {
		out := make([]*axelar.Approved, len(legs))
		for i, id := range legs {
			j, ok, err := l.db.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			at, decided := approvedBy(j, chain)
			if !ok || !decided {
				continue
			}
			if out[i], err = l.approvedAt(ctx, gateway, client, at); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

// approvedBy is the event that decided the approval of a leg, the newest where a
// fork took one back.
func approvedBy(j store.Job, chain string) (at chains.EventID, ok bool) {
	for _, e := range slices.Backward(j.History) {
		if e.Step == "approve" && e.Chain == chain && e.Tx != (common.Hash{}) {
			return chains.EventID{Tx: e.Tx, Index: e.Index}, true
		}
	}
	return at, false
}

// approvedAt reads an event of a gateway; chains.ErrUnavailable where it is not
// there.
func (l *link) approvedAt(ctx context.Context, gateway axelar.Gateway, client evm.Reader, at chains.EventID) (*axelar.Approved, error) {
	x := l.cross
	at.Chain = client.ChainID()
	x.mu.Lock()
	known := x.approved[at]
	x.mu.Unlock()
	if known != nil {
		return known, nil
	}
	e, err := eventAt(ctx, client, at)
	if err != nil {
		return nil, err
	}
	said, _, err := gateway.Decode(e)
	a, isApproved := said.(axelar.Approved)
	if err != nil || !isApproved {
		return nil, fmt.Errorf("%s: log %d of %s is no approval any more: %w", client.Name(), at.Index, at.Tx, chains.ErrUnavailable)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.approved) >= maxOnward {
		clear(x.approved)
	}
	x.approved[at] = &a
	return &a, nil
}

// eventAt reads one event with its position in its receipt.
func eventAt(ctx context.Context, client evm.Reader, at chains.EventID) (chains.Event, error) {
	all, err := client.TransactionEvents(ctx, at.Tx)
	if err != nil {
		return chains.Event{}, err
	}
	for _, e := range all {
		if e.Index == at.Index {
			return e, nil
		}
	}
	return chains.Event{}, fmt.Errorf("%s: the receipt of %s has no log %d: %w", client.Name(), at.Tx, at.Index, chains.ErrUnavailable)
}

// netEnd is one chain of crossings as Axelar knows it: what begins there is told
// of and paid for, what Axelar signs for it is carried there.
type netEnd struct {
	*shared
	name    string // at Axelar
	chain   string // our own
	gateway axelar.Gateway
	gas     axelar.GasService
	client  evm.Reader
	own     []common.Address // accounts of ours there
	gmp     *network.Chain   // nil: the chain is not behind the GMP API, or nobody wants it
	api     *gmpapi.Client
	topUp   *network.TopUp // nil: nothing is paid
	legs    []netLeg

	mu   sync.Mutex
	told map[common.Hash]bool // legs whose call, or whose execution, the service knows
}

// netLeg is a leg that begins or ends at a chain.
type netLeg struct {
	link   *link
	name   string // of the flow
	begins bool
	to     string // where it goes, at Axelar
}

// lane is where legs wait for their approval, as their flow names it.
func (n netLeg) lane() string {
	for _, f := range n.link.flows() {
		if f.Name == n.name {
			return f.Steps[0].Lane(tokens.Transfer{}).Name
		}
	}
	return ""
}

const (
	networkEvery = 2 * time.Second
	// maxWaiting bounds the legs that one look is about.
	maxWaiting = 1000
	maxPages   = 20
	maxTold    = 100_000
)

// network makes the ends of all crossings that Axelar approves.
func (s *shared) network(links []*link, senders map[string]*evm.TxManager) ([]*netEnd, error) {
	var ends []*netEnd
	by := map[string]*netEnd{}
	end := func(l *link, name, chain string, gateway axelar.Gateway, client evm.Reader) (*netEnd, error) {
		if n := by[name]; n != nil {
			if n.gateway.Address() != gateway.Address() || n.gas.Address != l.cross.gas[name] {
				return nil, fmt.Errorf("%w: the deployments know two gateways or gas services of %s", ErrConfig, name)
			}
			return n, nil
		}
		n := &netEnd{
			shared: s, name: name, chain: chain, gateway: gateway, gas: axelar.GasService{Address: l.cross.gas[name]}, client: client,
			own: addresses(senders[chain]), told: map[common.Hash]bool{},
		}
		by[name], ends = n, append(ends, n)
		return n, nil
	}
	for _, l := range links {
		x := l.cross
		if x == nil || x.in != nil {
			continue
		}
		l1, err := end(l, x.L1Name, flow.Ethereum, x.L1Gateway, x.l1.client)
		if err != nil {
			return nil, err
		}
		root, err := end(l, x.RootName, flow.Root, x.RootGateway, l.root)
		if err != nil {
			return nil, err
		}
		l1.legs = append(l1.legs, netLeg{l, "leg_in", true, x.RootName}, netLeg{l, "leg_out", false, x.L1Name})
		root.legs = append(root.legs, netLeg{l, "leg_out", true, x.L1Name}, netLeg{l, "leg_in", false, x.RootName})
		x.network = by
	}
	for _, c := range s.cfg.Axelar.Network.Chains {
		n := by[c.Name]
		if n == nil {
			return nil, fmt.Errorf("%w: axelar.network.chains: no crossing has an end that Axelar calls %q", ErrConfig, c.Name)
		}
		if err := n.equip(c, senders[n.chain]); err != nil {
			return nil, fmt.Errorf("%w: axelar.network.chains: %s: %w", ErrConfig, c.Name, err)
		}
	}
	return ends, nil
}

// equip gives an end what the configuration says of it.
func (n *netEnd) equip(c NetworkChain, send chains.Sender) error {
	if c.GMP != nil {
		cfg, err := c.GMP.client(c.Name)
		if err != nil {
			return err
		}
		cfg.Retrying = func(op string, err error, _ time.Duration) {
			n.Log.Info("the GMP API is asked again", "chain", n.name, "op", op, "err", err)
		}
		if n.api, err = gmpapi.New(cfg); err != nil {
			return err
		}
		n.gmp, err = network.New(network.Config{
			Gateway: n.gateway, Client: n.api, File: n.file("gmp"), Mine: n.mine, Log: n.Log, Send: send.Send,
			States: statesBy(n.gateway.State, n.client, n.client.Latest),
			Standing: func(ctx context.Context, set axelar.WeightedSigners) (axelar.Standing, error) {
				return asked(ctx, n.client, n.gateway.Standing(set), evm.AtLatest)
			},
		})
		if err != nil {
			n.api.Close()
			return err
		}
	}
	if c.TopUp == nil {
		return nil
	}
	if len(n.own) == 0 {
		return errors.New("top_up: no account pays")
	}
	var err error
	n.topUp, err = network.NewTopUp(network.TopUpConfig{
		Service: n.gas, RefundTo: n.own[0], After: time.Duration(c.TopUp.After), Wei: c.TopUp.Wei.Int, DailyWei: c.TopUp.DailyWei.Int,
		File: n.file("gas"), Paid: n.paid, Send: send.Send,
	})
	return err
}

// file is a file of this end in the state folder. A name at Axelar may hold
// anything.
func (n *netEnd) file(what string) string {
	return filepath.Join(n.cfg.State, fmt.Sprintf("%s-%s.json", what, n.chain))
}

func (n *netEnd) close() error {
	if n.api != nil {
		n.api.Close()
	}
	return nil
}

// mine says whether a message approved here is carried by one of the crossings.
func (n *netEnd) mine(m axelar.Message, payload []byte) bool {
	return slices.ContainsFunc(n.legs, func(l netLeg) bool {
		return !l.begins && flow.MineOf(l.link.sub, l.link.cross.Crossing, n.chain == flow.Root)(m, payload)
	})
}

// run looks after the end until ctx ends. It decides nothing of any transfer: what
// it leaves undone the next look finds.
func (n *netEnd) run(ctx context.Context) error {
	part := "axelar/" + n.name
	return every(ctx, networkEvery, func() error {
		err := errors.Join(n.tasks(ctx), n.waiting(ctx), n.parked(ctx))
		if ctx.Err() != nil {
			return nil
		}
		n.health.set(part, err)
		if err != nil {
			n.Log.Warn("look after what Axelar approves: will retry", "chain", n.name, "err", err)
		}
		return nil
	})
}

// tasks works through what the service has for the chain.
func (n *netEnd) tasks(ctx context.Context) error {
	if n.gmp == nil {
		return nil
	}
	for range maxPages {
		more, err := n.gmp.Work(ctx)
		switch {
		case errors.Is(err, flow.ErrNotYet):
			return nil
		case err != nil || !more:
			return err
		}
	}
	return nil
}

// waiting tells of what began here and waits, pays for it where it waits long, and
// tells a person where it waits too long.
func (n *netEnd) waiting(ctx context.Context) error {
	var errs []error
	for _, leg := range n.legs {
		if !leg.begins {
			continue
		}
		jobs, err := n.Journal.LaneJobs(ctx, leg.lane(), 0, maxWaiting)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		oldest, late := time.Now(), 0
		for _, j := range jobs {
			began := time.Unix(int64(j.Transfer.At), 0)
			if time.Since(began) > time.Duration(n.cfg.Axelar.Network.Patience) {
				late++
			}
			if began.Before(oldest) {
				oldest = began
			}
			errs = append(errs, n.tell(ctx, j.Transfer), n.pay(ctx, j.Transfer, began))
		}
		n.complain(leg, late, oldest)
	}
	return errors.Join(errs...)
}

// complain raises or resolves the alert about one direction.
func (n *netEnd) complain(leg netLeg, late int, oldest time.Time) {
	key := leg.link.sub.Name + "/" + leg.name
	if late == 0 {
		n.Alerts.Resolve(alerts.ApprovalLate, key)
		return
	}
	n.Alerts.Raise(alerts.Alert{
		Name: alerts.ApprovalLate, Key: key, Severity: alerts.Ticket,
		Summary: fmt.Sprintf("%d messages from %s to %s wait for Axelar's approval, the oldest since %s: look for them at Axelar by their transactions, which /v1/crossings?route=%s lists, and add gas where it says so",
			late, n.name, leg.to, oldest.UTC().Format(time.RFC3339), leg.name),
	})
}

// tell gives the service the call that a leg begins with.
func (n *netEnd) tell(ctx context.Context, t tokens.Transfer) error {
	if n.gmp == nil || n.knows(t.ID) {
		return nil
	}
	events, err := n.client.TransactionEvents(ctx, t.Origin.Tx)
	if err != nil {
		return err
	}
	for i := range events {
		events[i].BlockTime = t.At
	}
	if err := n.gmp.Called(ctx, n.gas, events, t.Origin.Index); err != nil {
		return fmt.Errorf("tell Axelar of %s: %w", t, err)
	}
	n.know(t.ID)
	return nil
}

func (n *netEnd) pay(ctx context.Context, t tokens.Transfer, began time.Time) error {
	if n.topUp == nil {
		return nil
	}
	err := n.topUp.Pay(ctx, axelar.MessageID{Tx: t.Origin.Tx, Index: t.Nonce}, t.Height, began)
	if errors.Is(err, network.ErrBudget) {
		// What it waits for is told by the alert about late approvals.
		n.Log.Info("a message is not paid for: will retry", "chain", n.name, "transfer", t.ID, "err", err)
		return nil
	}
	return err
}

// paid is what was added for a message with a refund to us, in any block there is:
// a payment that was just made is not final yet.
func (n *netEnd) paid(ctx context.Context, id axelar.MessageID, from uint64) (*big.Int, error) {
	sum := new(big.Int)
	latest, err := n.client.Latest(ctx)
	if err != nil {
		return nil, err
	}
	f := n.gas.Filter()
	f.Later = [][]common.Hash{{id.Tx}}
	for at := from; at <= latest.Number; at += paidSpan {
		events, err := n.client.Logs(ctx, f, at, min(at+paidSpan-1, latest.Number))
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			said, _, err := n.gas.Decode(e)
			if err != nil {
				return nil, err
			}
			added, isAdded := said.(axelar.GasAdded)
			if !isAdded || added.Token != (common.Address{}) || added.RefundTo != n.own[0] {
				continue
			}
			if of, ok := added.For(); ok && of == id {
				sum.Add(sum, added.Amount)
			}
		}
	}
	return sum, nil
}

// paidSpan is how many blocks are searched at once: what endpoints give.
const paidSpan = 1000

// parked tells the service of messages that it wants executed and that a person
// has to look at first.
func (n *netEnd) parked(ctx context.Context) error {
	if n.gmp == nil {
		return nil
	}
	var errs []error
	for _, leg := range n.legs {
		if leg.begins {
			continue
		}
		jobs, err := n.all(ctx, store.Filter{Route: leg.name, Status: tokens.Parked, Hidden: true, Limit: 500})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.Transfer.Subnet != leg.link.sub.Actor || j.Step != "execute" || n.knows(failed(j.Transfer)) {
				continue
			}
			approved, err := leg.link.approvals(n.chain, n.gateway, n.client)(ctx, []common.Hash{j.Transfer.ID})
			if err == nil && approved[0] != nil {
				err = n.gmp.Failed(ctx, approved[0].Message, strings.TrimSpace(j.Reason+" "+j.Err))
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			n.know(failed(j.Transfer))
		}
	}
	return errors.Join(errs...)
}

// all lists the newest transfers of a filter, page by page.
func (n *netEnd) all(ctx context.Context, f store.Filter) (out []store.Job, err error) {
	for range maxPages {
		jobs, next, err := n.Journal.List(ctx, f)
		if err != nil {
			return nil, err
		}
		out = append(out, jobs...)
		if f.Cursor = next; next == "" {
			break
		}
	}
	return out, nil
}

// failed is what a leg that cannot be executed is remembered by, apart from its
// call and its execution.
func failed(t tokens.Transfer) common.Hash { return crypto.Keccak256Hash([]byte("failed"), t.ID[:]) }

func (n *netEnd) knows(what common.Hash) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told[what]
}

func (n *netEnd) know(what common.Hash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.told) >= maxTold {
		clear(n.told)
	}
	n.told[what] = true
}

// reported implements flow.NetworkDeps: which executions the service knows of.
func (n *netEnd) reported(legs []common.Hash) []bool {
	out := make([]bool, len(legs))
	for i, id := range legs {
		out[i] = n.knows(id)
	}
	return out
}

// report tells the service of legs that were executed here.
func (n *netEnd) report(ctx context.Context, l *link, approvals func(context.Context, []common.Hash) ([]*axelar.Approved, error), legs []tokens.Transfer) ([]error, error) {
	out := make([]error, len(legs))
	ids := make([]common.Hash, len(legs))
	for i, t := range legs {
		ids[i] = t.ID
	}
	approved, err := approvals(ctx, ids)
	if err != nil {
		return nil, err
	}
	q := flow.Search{Chain: n.chain, Contract: n.gateway.Address(), Topics: n.gateway.Filter().Topics, Position: 1}
	at := map[common.Hash]int{}
	for i, a := range approved {
		out[i] = fmt.Errorf("%w: its execution is not found", flow.ErrNotYet)
		if a == nil {
			continue
		}
		at[a.CommandID], q.Values = i, append(q.Values, a.CommandID)
		if len(q.Values) == 1 || legs[i].At < q.Since {
			q.Since = legs[i].At
		}
	}
	if len(q.Values) == 0 {
		return out, nil
	}
	events, err := l.search(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		said, _, err := n.gateway.Decode(e)
		x, isExecuted := said.(axelar.Executed)
		i, ours := at[x.CommandID]
		if err != nil || !isExecuted || !ours {
			continue
		}
		out[i] = n.executed(ctx, e, *approved[i])
		if out[i] == nil {
			n.know(legs[i].ID)
		}
	}
	return out, nil
}

func (n *netEnd) executed(ctx context.Context, e chains.Event, a axelar.Approved) error {
	placed, err := eventAt(ctx, n.client, e.ID())
	if err != nil {
		return err
	}
	placed.BlockTime = e.BlockTime
	cost, err := n.cost(ctx, e.Tx)
	if err != nil {
		return err
	}
	return n.gmp.Executed(ctx, placed, a.Message, cost)
}

// cost is what a transaction of ours cost; nil for one that somebody else paid.
func (n *netEnd) cost(ctx context.Context, tx common.Hash) (*big.Int, error) {
	var r *struct {
		From  *common.Address `json:"from"`
		Gas   *hexutil.Uint64 `json:"gasUsed"`
		Price *hexutil.Big    `json:"effectiveGasPrice"`
	}
	if err := n.client.RPC(ctx, &r, "eth_getTransactionReceipt", tx); err != nil {
		return nil, err
	}
	if r == nil || r.From == nil || r.Gas == nil || r.Price == nil {
		return nil, fmt.Errorf("%s: the receipt of %s lacks what it cost: %w", n.client.Name(), tx, chains.ErrUnavailable)
	}
	if !slices.Contains(n.own, *r.From) {
		return nil, nil
	}
	return new(big.Int).Mul(r.Price.ToInt(), new(big.Int).SetUint64(uint64(*r.Gas))), nil
}
