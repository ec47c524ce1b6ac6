package relayer

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// link is one subnet joined to its root: everything the flows need, as
// functions.
type link struct {
	sub     flow.Subnet
	limits  Chain // of the subnet: batch bounds into it
	up      Chain // of the root: batch bounds into it
	root    evm.Reader
	client  *subnet.Client
	record  *subnet.Root
	db      shelf
	toRoot  chains.Sender
	toChild chains.Sender
	outbox  *bindings.WithdrawalOutbox
	// treasury is what the subnet's gateway held at genesis, wei.
	treasury *big.Int
	caps     subnet.Capabilities
	// cross is how FLT crosses from Ethereum; nil where it does not.
	cross *crossLink
	// known is what flows listed.
	known []flow.Flow
}

// shelf is where a link reads transfers and keeps the events its polling net
// found.
type shelf interface {
	reader
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	Backfill(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int, err error)
}

// Describe makes the flows' description of a subnet from what deploy wrote.
func Describe(name string, d deploy.Deployment) (flow.Subnet, error) {
	profile, err := ipc.ProfileOf(ipc.GenerationC)
	if err != nil {
		return flow.Subnet{}, err
	}
	return flow.Subnet{
		Name: name, RootID: d.Root.ChainID, ID: d.Subnet.ChainID, IPC: d.Root.Subnet(), Actor: d.Root.Actor,
		Gateway: d.Root.Gateway, Controller: d.Root.Controller, FastWithdrawals: d.Root.FastWithdrawals,
		FLT: d.Root.Flt, USDC: d.Root.Usdc,
		SubnetGateway: d.Subnet.Gateway, Replica: d.Subnet.Replica, Outbox: d.Subnet.Outbox,
		Period: d.Settings.CheckPeriod, Profile: profile, FLTHandler: handlerOf(d),
	}, nil
}

func handlerOf(d deploy.Deployment) common.Address {
	if d.Crossing == nil {
		return common.Address{}
	}
	return d.Crossing.Handler
}

// flows lists the flows of the link.
func (l *link) flows() []flow.Flow {
	switch {
	case l.known != nil:
		return l.known
	case l.sub.Traits.Published():
		l.known = l.publishedFlows()
		return l.known
	}
	w := flow.WithdrawDeps{Search: l.search, Returned: l.returned, ResendTx: l.resendTx, Send: l.toChild.Send}
	l.known = []flow.Flow{
		flow.TopDown(l.sub, l.deliver(subnet.Messages)),
		flow.Power(l.sub, l.deliver(subnet.PowerChanges)),
		flow.Checkpoint(l.sub, l.checkpoint()),
		flow.USDCDeposit(l.sub, l.search),
		flow.FLTDeposit(l.sub, l.search),
		flow.USDCWithdraw(l.sub, w),
		flow.FLTWithdraw(l.sub, w),
	}
	if l.cross != nil {
		l.known = append(l.known, l.crossFlows()...)
	}
	return l.known
}

// publishedFlows lists those of a subnet of published contracts. USDC is there
// where a linked pair is.
func (l *link) publishedFlows() []flow.Flow {
	d := l.deliver(subnet.Messages)
	out := []flow.Flow{
		flow.TopDown(l.sub, d),
		flow.Checkpoint(l.sub, l.checkpoint()),
		flow.PublishedFLTDeposit(l.sub, d),
		flow.PublishedFLTWithdraw(l.sub, l.search),
	}
	if l.sub.Controller != (common.Address{}) {
		out = append(out, flow.PublishedUSDCDeposit(l.sub, d), flow.PublishedUSDCWithdraw(l.sub, l.search))
	}
	return out
}

func (l *link) search(ctx context.Context, q flow.Search) ([]chains.Event, error) {
	var r subnet.Reader = l.client
	switch q.Chain {
	case flow.Root:
		r = l.root
	case flow.Ethereum:
		r = proven{l.cross.l1.source, l.cross.l1.client}
	}
	events, err := subnet.Find(ctx, r, subnet.Search{
		Contract: q.Contract, Topics: q.Topics, Position: q.Position, Values: q.Values, Since: q.Since,
	})
	if err != nil || !q.Keep {
		return events, err
	}
	var facts []store.Fact
	for _, e := range events {
		f, err := watch.Facts(q.Chain, l.known, e)
		if err != nil {
			return nil, err
		}
		facts = append(facts, f...)
	}
	if _, _, err := l.db.Backfill(ctx, q.Chain, nil, facts); err != nil {
		return nil, fmt.Errorf("keep what was found: %w", err)
	}
	return events, nil
}

// final pins the subnet's final block.
func (l *link) final(ctx context.Context) (evm.BlockRef, error) {
	head, err := l.read(l.sub.Name, l.client.Head)(ctx)
	return evm.AtHash(head.Hash), err
}

// keptStates is how many blocks back a node is asked for its state: the least
// that nodes keep is 128.
const keptStates = 64

// read is the final block that a step is asked at: the newest one that the
// chain's watcher has read, so that a step never rests on a block whose change
// nobody would notice (PROTOCOL 52). A head behind that, or another block than
// was read, says nothing (PROTOCOL 51). Where the watcher is far behind, its
// block's state may be gone and the head itself is asked.
func (l *link) read(chain string, head func(context.Context) (chains.Block, error)) func(context.Context) (chains.Block, error) {
	return func(ctx context.Context) (chains.Block, error) {
		b, err := head(ctx)
		if err != nil {
			return chains.Block{}, fmt.Errorf("final block of %s: %w", chain, err)
		}
		cur, ok, err := l.db.Cursor(ctx, chain)
		switch {
		case err != nil:
			return chains.Block{}, err
		case ok && b.Number+1 < cur.Next:
			return chains.Block{}, fmt.Errorf("final block %d of %s is behind the cursor at %d: %w", b.Number, chain, cur.Next, chains.ErrUnavailable)
		case ok && b.Number+1 == cur.Next && b.Hash != cur.Parent && cur.Parent != (common.Hash{}):
			return chains.Block{}, fmt.Errorf("final block %d of %s is not the one that was read: %w", b.Number, chain, chains.ErrUnavailable)
		case ok && cur.Next > 0 && cur.Parent != (common.Hash{}) && b.Number+1-cur.Next <= keptStates:
			return chains.Block{Number: cur.Next - 1, Hash: cur.Parent}, nil
		}
		return b, nil
	}
}

func (l *link) deliver(q subnet.Queue) flow.DeliverDeps {
	applied := func(ctx context.Context, at evm.BlockRef) (flow.Applied, error) {
		nonce, hash, err := l.client.Applied(ctx, q, at)
		return flow.Applied{Nonce: nonce, Hash: hash}, err
	}
	return flow.DeliverDeps{
		AppliedFinal: func(ctx context.Context) (flow.Applied, error) {
			at, err := l.final(ctx)
			if err != nil {
				return flow.Applied{}, err
			}
			return applied(ctx, at)
		},
		AppliedLatest: func(ctx context.Context) (flow.Applied, error) { return applied(ctx, evm.AtLatest) },
		CommittedAt: func(ctx context.Context, nonce uint64) (flow.Pair, error) {
			n, hash, err := l.client.CommittedAt(ctx, q, nonce, evm.AtLatest)
			return flow.Pair{Nonce: n, Hash: hash}, err
		},
		LatestStatement: func(ctx context.Context) (uint64, error) { return l.client.LatestStatement(ctx, evm.AtLatest) },
		Statements:      l.statements,
		Bodies:          l.bodies,
		DeliverTx: func(bodies [][]byte, tail []common.Hash) (chains.Tx, error) {
			data, err := l.client.DeliverCalldata(q, bodies, tail)
			return chains.Tx{To: l.sub.SubnetGateway, Data: data}, err
		},
		Send:     l.toChild.Send,
		MaxBytes: l.limits.MaxBytes, MaxCount: l.limits.MaxCount,
	}
}

func (l *link) statements(ctx context.Context, after uint64) ([]flow.Statement, error) {
	signed, err := l.client.Statements(ctx, after)
	if err != nil {
		return nil, err
	}
	out := make([]flow.Statement, len(signed))
	for i, s := range signed {
		out[i] = flow.Statement{
			ParentHeight: s.Statement.ParentHeight, TopDownNonce: s.Statement.TopDownNonce,
			PowerChangeNonce: s.Statement.PowerChangeNonce,
			Commit: func() (chains.Tx, error) {
				data, err := l.client.CommitCalldata(s)
				return chains.Tx{To: l.sub.SubnetGateway, Data: data}, err
			},
		}
	}
	return out, nil
}

// bodies reads a lane's payloads from the journal: the lane holds every message
// until it is delivered.
func (l *link) bodies(ctx context.Context, lane string, from, to uint64) ([][]byte, error) {
	return consecutive(from, to, func(from uint64, max int) ([]store.Job, error) { return l.db.LaneJobs(ctx, lane, from, max) })
}

// bodiesPage is how many jobs the store gives at once.
const bodiesPage = 1000

// consecutive reads the payloads [from, to) page by page, up to the first gap.
func consecutive(from, to uint64, page func(from uint64, max int) ([]store.Job, error)) ([][]byte, error) {
	var out [][]byte
	for next := from; next < to; {
		jobs, err := page(next, int(min(to-next, bodiesPage)))
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if j.Seq != next || next == to {
				return out, nil
			}
			out, next = append(out, j.Transfer.Payload), next+1
		}
		if len(jobs) == 0 {
			break
		}
	}
	return out, nil
}

func (l *link) checkpoint() flow.CheckpointDeps {
	flowState := func(s subnet.RootState, err error) (flow.RootState, error) {
		if err != nil {
			return flow.RootState{}, err
		}
		out := flow.RootState{LastHeight: s.LastHeight, Applied: s.Applied}
		for _, p := range s.Pending {
			out.Pending = append(out.Pending, flow.PendingBatch(p))
		}
		return out, nil
	}
	state := func(ctx context.Context, head func(context.Context) (chains.Block, error)) (flow.RootState, error) {
		b, err := head(ctx)
		if err != nil {
			return flow.RootState{}, err
		}
		return flowState(l.record.State(ctx, b))
	}
	d := flow.CheckpointDeps{
		StateFinal:   func(ctx context.Context) (flow.RootState, error) { return state(ctx, l.read(flow.Root, l.root.Head)) },
		StateLatest:  func(ctx context.Context) (flow.RootState, error) { return state(ctx, l.root.Latest) },
		StatePending: func(ctx context.Context) (flow.RootState, error) { return flowState(l.record.Pending(ctx)) },
		Bundle:       l.bundle,
		Batch:        l.client.Batch,
		SubmitTx: func(b flow.Bundle) (chains.Tx, error) {
			data, err := l.record.SubmitCalldata(subnet.SignedCheckpoint(b))
			return chains.Tx{To: l.sub.Actor, Data: data}, err
		},
		ConfigureTx: func(b flow.Bundle) (chains.Tx, error) {
			data, err := l.client.ConfigureCalldata(b.Checkpoint, b.Signatories, b.Signatures)
			return chains.Tx{To: l.sub.SubnetGateway, Data: data}, err
		},
		ExecuteTx: func(height uint64, in []ipc.Inclusion) (chains.Tx, error) {
			data, err := l.record.ExecuteCalldata(height, in)
			return chains.Tx{To: l.sub.Actor, Data: data}, err
		},
		SendRoot: l.toRoot.Send, SendSubnet: l.toChild.Send,
		MaxBytes: l.up.MaxBytes, MaxCount: min(l.up.MaxCount, 50), MaxSend: max(1, l.up.Fees.MaxPending*3/4),
		Learns: l.up.Lotus != nil,
	}
	if l.caps.Configures {
		d.Configuration = func(ctx context.Context) (uint64, error) { return l.client.Configuration(ctx, evm.AtLatest) }
	}
	return d
}

// bundle is a checkpoint whose signatures the root's own set accepts: the
// subnet's count alone proves nothing (PROTOCOL 22).
func (l *link) bundle(ctx context.Context, height uint64) (flow.Bundle, error) {
	signed, err := l.client.Checkpoint(ctx, height)
	if errors.Is(err, subnet.ErrNoQuorum) {
		return flow.Bundle{}, fmt.Errorf("%w: %w", flow.ErrNotYet, err)
	}
	if err != nil {
		return flow.Bundle{}, err
	}
	if !signed.Checkpoint.SubnetID.Equal(l.sub.IPC) {
		return flow.Bundle{}, fmt.Errorf("checkpoint %d is of subnet %s: %w", height, signed.Checkpoint.SubnetID, chains.ErrWrongChain)
	}
	at, err := l.root.Latest(ctx)
	if err != nil {
		return flow.Bundle{}, err
	}
	signed, ok, err := l.record.Accepts(ctx, at, signed)
	if err != nil {
		return flow.Bundle{}, err
	}
	if !ok {
		return flow.Bundle{}, fmt.Errorf("%w: checkpoint %d lacks weight in the root's set", flow.ErrNotYet, height)
	}
	return flow.Bundle(signed), nil
}

// returned reads the outbox at one final block.
func (l *link) returned(ctx context.Context, ids []common.Hash) ([]bool, error) {
	at, err := l.final(ctx)
	if err != nil {
		return nil, err
	}
	calls := make([]evm.CallArg, len(ids))
	for i, id := range ids {
		calls[i] = evm.CallArg{To: l.sub.Outbox, Data: l.outbox.PackStateOf(id)}
	}
	results, err := l.client.BatchCall(ctx, calls, at)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(ids))
	for i, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		state, err := l.outbox.UnpackStateOf(r.Data)
		if err != nil {
			return nil, fmt.Errorf("unpack stateOf: %w", chains.ErrUnavailable)
		}
		out[i] = state == outboxReturned
	}
	return out, nil
}

// outboxReturned is WithdrawalOutbox.stateOf of a returned withdrawal.
const outboxReturned = 1

func (l *link) resendTx(ctx context.Context, w ipc.Withdrawal) (chains.Tx, error) {
	fee, err := l.client.ExitFee(ctx)
	if err != nil {
		return chains.Tx{}, err
	}
	return chains.Tx{
		To: l.sub.Outbox, Data: l.outbox.PackResend(bindings.Withdrawal(w)), Value: new(big.Int).Set(fee),
	}, nil
}
