package audit

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
)

// rootState is what the root's contracts say at one final block.
type rootState struct {
	block          chains.Block
	gateway        bindings.IGatewayCounters
	downNext       uint64 // next top-down nonce
	downHash       common.Hash
	upApplied      uint64 // next bottom-up nonce to apply
	controller     bindings.ILinkedTokenControllerCounters
	received, paid *big.Int // FLT counters of FastWithdrawals
	stake          *big.Int // collateral in FLT, 0 when it is another asset
	others         *big.Int // FLT owed to other subnets of the gateway
	lastCheckpoint *big.Int
	// Balances.
	gatewayFLT, payoutsFLT, controllerUSDC *big.Int
}

// childState is what the subnet's contracts say at one final block.
type childState struct {
	block       chains.Block
	gateway     bindings.ISubnetGatewayCounters
	circulating *big.Int
	downApplied uint64 // next top-down nonce to apply
	downHash    common.Hash
	upNext      uint64 // next bottom-up nonce
	supply      *big.Int
	minted      *big.Int
	burnt       *big.Int // USDC
	heldFLT     *big.Int
	baseFee     *big.Int // burnt, by the node's count; nil where it does not say
	// Balances of coin.
	gatewayFLT, outboxFLT *big.Int
}

// query is one call and what takes its answer.
type query struct {
	to   common.Address
	data []byte
	take func([]byte) error
}

// ask adapts an unpacker of the bindings.
func ask[T any](to common.Address, data []byte, unpack func([]byte) (T, error), set func(T)) query {
	return query{to, data, func(b []byte) error {
		v, err := unpack(b)
		if err == nil {
			set(v)
		}
		return err
	}}
}

func into[T any](p *T) func(T) { return func(v T) { *p = v } }

// run asks many things of one block, pinned by its hash: an endpoint that does
// not know it answers with an error, never with another block's state.
func run(ctx context.Context, c Reader, at chains.Block, queries []query) error {
	const size = 50
	for len(queries) > 0 {
		part := queries[:min(size, len(queries))]
		queries = queries[len(part):]
		args := make([]evm.CallArg, len(part))
		for i, q := range part {
			args[i] = evm.CallArg{To: q.to, Data: q.data}
		}
		results, err := c.BatchCall(ctx, args, evm.AtHash(at.Hash))
		if err != nil {
			return err
		}
		if len(results) != len(part) {
			return fmt.Errorf("%d answers to %d calls: %w", len(results), len(part), chains.ErrUnavailable)
		}
		for i, q := range part {
			err := results[i].Err
			if err == nil {
				err = guard(func() error { return q.take(results[i].Data) })
				if err != nil {
					err = fmt.Errorf("%w: %w", err, chains.ErrUnavailable)
				}
			}
			if err != nil {
				return fmt.Errorf("call %s %x: %w", q.to.Hex(), q.data[:4], err)
			}
		}
	}
	return nil
}

// guard turns a panic of an unpacker over foreign bytes into an error.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unpack: %v", r)
		}
	}()
	return f()
}

func (a *Auditor) subnetID() bindings.SubnetID {
	return bindings.SubnetID{Root: a.src.Sub.IPC.Root, Route: a.src.Sub.IPC.Route}
}

func (a *Auditor) readRoot(ctx context.Context) (rootState, error) {
	s, c := a.src.Sub, a.abis
	id := a.subnetID()
	r := rootState{stake: new(big.Int), others: new(big.Int)}
	var err error
	if r.block, err = a.src.Root.Head(ctx); err != nil {
		return r, fmt.Errorf("root head: %w", err)
	}
	var record bindings.Subnet
	var collateral, supply bindings.Asset
	err = run(ctx, a.src.Root, r.block, []query{
		ask(s.Gateway, c.gateway.PackGetCounters(id), c.gateway.UnpackGetCounters, into(&r.gateway)),
		ask(s.Gateway, c.gateway.PackGetTopDownHash(id), c.gateway.UnpackGetTopDownHash, func(o bindings.GatewayGetTopDownHashOutput) {
			r.downNext, r.downHash = o.Nonce, o.Hash
		}),
		ask(s.Gateway, c.gateway.PackGetAppliedBottomUpNonce(id), c.gateway.UnpackGetAppliedBottomUpNonce,
			func(o bindings.GatewayGetAppliedBottomUpNonceOutput) { r.upApplied = o.Arg1 }),
		ask(s.Gateway, c.gateway.PackGetSubnet(id), c.gateway.UnpackGetSubnet, func(o bindings.GatewayGetSubnetOutput) { record = o.Arg1 }),
		ask(s.Controller, c.controller.PackGetCounters(), c.controller.UnpackGetCounters, into(&r.controller)),
		ask(s.FastWithdrawals, c.payouts.PackFltReceived(), c.payouts.UnpackFltReceived, into(&r.received)),
		ask(s.FastWithdrawals, c.payouts.PackFltPaid(), c.payouts.UnpackFltPaid, into(&r.paid)),
		ask(s.FLT, c.replica.PackBalanceOf(s.Gateway), c.replica.UnpackBalanceOf, into(&r.gatewayFLT)),
		ask(s.FLT, c.replica.PackBalanceOf(s.FastWithdrawals), c.replica.UnpackBalanceOf, into(&r.payoutsFLT)),
		ask(s.USDC, c.replica.PackBalanceOf(s.Controller), c.replica.UnpackBalanceOf, into(&r.controllerUSDC)),
		ask(s.Actor, c.actor.PackLastBottomUpCheckpointHeight(), c.actor.UnpackLastBottomUpCheckpointHeight, into(&r.lastCheckpoint)),
		ask(s.Actor, c.actor.PackCollateralSource(), c.actor.UnpackCollateralSource, into(&collateral)),
		ask(s.Actor, c.actor.PackSupplySource(), c.actor.UnpackSupplySource, into(&supply)),
	})
	if err != nil {
		return r, fmt.Errorf("read root at %d: %w", r.block.Number, err)
	}
	if supply.TokenAddress != s.FLT {
		return r, fmt.Errorf("the subnet's supply token is %s, not %s", supply.TokenAddress.Hex(), s.FLT.Hex())
	}
	if collateral.TokenAddress == s.FLT {
		r.stake = record.Stake
	}
	return r, nil
}

func (a *Auditor) readChild(ctx context.Context) (childState, error) {
	s, c := a.src.Sub, a.abis
	var r childState
	var err error
	if r.block, err = a.src.Child.Head(ctx); err != nil {
		return r, fmt.Errorf("subnet head: %w", err)
	}
	err = run(ctx, a.src.Child, r.block, []query{
		ask(s.SubnetGateway, c.child.PackGetCounters(), c.child.UnpackGetCounters, into(&r.gateway)),
		ask(s.SubnetGateway, c.child.PackCircSupply(), c.child.UnpackCircSupply, into(&r.circulating)),
		ask(s.SubnetGateway, c.child.PackAppliedTopDown(), c.child.UnpackAppliedTopDown, func(o bindings.SubnetGatewayAppliedTopDownOutput) {
			r.downApplied, r.downHash = o.Nonce, o.Hash
		}),
		ask(s.SubnetGateway, c.child.PackBottomUpNonce(), c.child.UnpackBottomUpNonce, into(&r.upNext)),
		ask(s.Replica, c.replica.PackTotalSupply(), c.replica.UnpackTotalSupply, into(&r.supply)),
		ask(s.Replica, c.replica.PackMinted(), c.replica.UnpackMinted, into(&r.minted)),
		ask(s.Replica, c.replica.PackBurnt(), c.replica.UnpackBurnt, into(&r.burnt)),
		ask(s.Outbox, c.outbox.PackHeldFlt(), c.outbox.UnpackHeldFlt, into(&r.heldFLT)),
	})
	if err != nil {
		return r, fmt.Errorf("read subnet at %d: %w", r.block.Number, err)
	}
	at := evm.AtHash(r.block.Hash)
	if r.gatewayFLT, err = a.src.Child.Balance(ctx, s.SubnetGateway, at); err != nil {
		return r, fmt.Errorf("balance of the treasury: %w", err)
	}
	if r.outboxFLT, err = a.src.Child.Balance(ctx, s.Outbox, at); err != nil {
		return r, fmt.Errorf("balance of the outbox: %w", err)
	}
	r.baseFee, err = a.src.Child.Burnt(ctx, r.block.Number)
	if errors.Is(err, subnet.ErrForeignNode) {
		r.baseFee, err = nil, nil
	}
	if err != nil {
		return r, fmt.Errorf("read burnt base fee: %w", err)
	}
	return r, nil
}

// pin finds a pair of final blocks of which neither has applied what the other
// has not sent. A subnet block that the root has yet to catch up with is kept,
// over several Checks if need be: a newer one would only be further ahead.
func (a *Auditor) pin(ctx context.Context) (r rootState, s childState, err error) {
	if a.waiting != nil {
		s = *a.waiting
	} else if s, err = a.readChild(ctx); err != nil {
		return r, s, err
	}
	if r, err = a.readRoot(ctx); err != nil {
		return r, s, err
	}
	for range pinTries {
		rootBehind, childBehind := s.downApplied > r.downNext, r.upApplied > s.upNext
		if !rootBehind && !childBehind {
			a.waiting = nil
			return r, s, nil
		}
		if !rootBehind {
			s, err = a.readChild(ctx)
		} else {
			keep := s
			a.waiting = &keep
			if err = pause(ctx, a.wait); err == nil {
				r, err = a.readRoot(ctx)
			}
		}
		if err != nil {
			return r, s, err
		}
		if !rootBehind && r.upApplied > s.upNext {
			if err = pause(ctx, a.wait); err != nil {
				return r, s, err
			}
		}
	}
	return r, s, fmt.Errorf("final blocks %d (root: %d sent down, %d applied up) and %d (subnet: %d applied down, %d sent up) do not fit: %w",
		r.block.Number, r.downNext, r.upApplied, s.block.Number, s.downApplied, s.upNext, chains.ErrUnavailable)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// readOthers sums what the gateway owes in FLT to other subnets, as far as
// their approvals were seen: the gateway's balance stands for all of them. A
// subnet that cannot be read adds nothing, which can only hide a shortage of
// its own.
func (a *Auditor) readOthers(ctx context.Context, r rootState) error {
	c := a.abis
	for _, actor := range a.hist.approved {
		if actor == a.src.Sub.Actor {
			continue
		}
		id := bindings.SubnetID{Root: a.src.Sub.IPC.Root, Route: append(append([]common.Address{},
			a.src.Sub.IPC.Route[:len(a.src.Sub.IPC.Route)-1]...), actor)}
		var counters bindings.IGatewayCounters
		var record bindings.Subnet
		var supply, collateral bindings.Asset
		err := run(ctx, a.src.Root, r.block, []query{
			ask(a.src.Sub.Gateway, c.gateway.PackGetCounters(id), c.gateway.UnpackGetCounters, into(&counters)),
			ask(a.src.Sub.Gateway, c.gateway.PackGetSubnet(id), c.gateway.UnpackGetSubnet, func(o bindings.GatewayGetSubnetOutput) { record = o.Arg1 }),
			ask(actor, c.actor.PackSupplySource(), c.actor.UnpackSupplySource, into(&supply)),
			ask(actor, c.actor.PackCollateralSource(), c.actor.UnpackCollateralSource, into(&collateral)),
		})
		if errors.Is(err, chains.ErrReverted) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read subnet %s: %w", actor.Hex(), err)
		}
		if supply.TokenAddress == a.src.Sub.FLT {
			r.others.Add(r.others, liabilities(counters))
		}
		if collateral.TokenAddress == a.src.Sub.FLT {
			r.others.Add(r.others, record.Stake)
		}
	}
	return nil
}

// liabilities is what the gateway must hold for one subnet: what circulates
// there and credits that were not pulled.
func liabilities(c bindings.IGatewayCounters) *big.Int {
	return sum(c.PreFunded, c.Locked, c.Relocked, c.Covered, neg(c.Unlocked), c.Credited, neg(c.CreditsPaid))
}
