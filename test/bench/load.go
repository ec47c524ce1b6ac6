package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
)

var (
	gatewayABI    = bindings.NewGateway()
	controllerABI = bindings.NewLinkedTokenController()
	outboxABI     = bindings.NewWithdrawalOutbox()
	subnetABI     = bindings.NewSubnetGateway()
	actorABI      = bindings.NewSubnetActor()
	fastABI       = bindings.NewFastWithdrawals()
)

// amounts of one transfer, base units.
var (
	someFLT  = big.NewInt(2_000_000_000_000_000)
	someUSDC = big.NewInt(10_000)
)

// deposit is a call on the root to a recipient nobody has seen.
func (r *rig) deposit(asset tokens.Asset) call { return depositOf(r.net.Dep, asset, r.nobody()) }

func depositOf(dep deploy.Deployment, asset tokens.Asset, to common.Address) call {
	if asset == tokens.FLT {
		id, at := dep.Root.Subnet(), ipc.FromEVM(to)
		data := gatewayABI.PackFundWithToken(bindings.SubnetID{Root: id.Root, Route: id.Route}, bindings.FvmAddress(at), someFLT)
		return call{dep.Root.Gateway, data, new(big.Int)}
	}
	return call{dep.Root.Controller, controllerABI.PackLinkedTransfer(to, someUSDC), new(big.Int)}
}

// withdraw is a call in the subnet, likewise.
func (r *rig) withdraw(asset tokens.Asset) call {
	token, amount, value := r.net.Dep.Root.Usdc, someUSDC, r.net.Dep.Settings.ExitFee.Int()
	if asset == tokens.FLT {
		token, amount = r.net.Dep.Root.Flt, someFLT
		value.Add(value, amount)
	}
	to := r.nobody()
	data := outboxABI.PackWithdraw(bindings.WithdrawalRequest{
		Token: token, Amount: amount, Recipient: to, FallbackRecipient: r.subnet.address(), MinOut: new(big.Int),
	})
	return call{r.net.Dep.Subnet.Outbox, data, value}
}

// release is a plain Transfer out, without the outbox.
func (r *rig) release() call {
	to := ipc.FromEVM(r.nobody())
	return call{r.net.Dep.Subnet.Gateway, subnetABI.PackRelease(bindings.FvmAddress(to)), new(big.Int).Add(r.net.Dep.Settings.ExitFee.Int(), someFLT)}
}

// alternating makes n calls, FLT and USDC in turn.
func alternating(n int, of func(tokens.Asset) call) []call {
	out := make([]call, n)
	for i := range out {
		out[i] = of([]tokens.Asset{tokens.FLT, tokens.USDC}[i%2])
	}
	return out
}

func same(n int, asset tokens.Asset, of func(tokens.Asset) call) []call {
	out := make([]call, n)
	for i := range out {
		out[i] = of(asset)
	}
	return out
}

// burst is what one direction was sent.
type burst struct {
	began time.Time
	ended time.Time
	txs   []sent
}

// burst sends many transfers at once; end waits until the last has ended.
func (r *rig) burst(ctx context.Context, s *side, calls []call) (*burst, error) {
	began, txs, err := s.send(ctx, calls)
	r.want += len(calls)
	return &burst{began: began, txs: txs}, err
}

func (r *rig) end(ctx context.Context, b *burst) error {
	err := r.settle(ctx, 10*time.Minute)
	b.ended = time.Now()
	return err
}

// span is a stretch of time.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

func (b *burst) span() span { return span{b.began, b.ended} }

// trickleEvery is the pause between two transfers of a direction. It keeps no
// step with the blocks.
const trickleEvery = 1370 * time.Millisecond

// trickle sends n transfers each way, one at a time, and waits until the last
// has ended.
func (r *rig) trickle(ctx context.Context, n int) (in, out *burst, err error) {
	in, out = &burst{began: time.Now()}, &burst{began: time.Now()}
	tick := time.NewTicker(trickleEvery)
	defer tick.Stop()
	for i := range n {
		asset := []tokens.Asset{tokens.FLT, tokens.USDC}[i%2]
		_, down, err := r.root.send(ctx, []call{r.deposit(asset)})
		if err != nil {
			return in, out, fmt.Errorf("deposit: %w", err)
		}
		_, up, err := r.subnet.send(ctx, []call{r.withdraw(asset)})
		if err != nil {
			return in, out, fmt.Errorf("withdraw: %w", err)
		}
		in.txs, out.txs = append(in.txs, down...), append(out.txs, up...)
		r.want += 2
		select {
		case <-ctx.Done():
			return in, out, ctx.Err()
		case <-tick.C:
		}
	}
	return in, out, errors.Join(r.end(ctx, in), r.end(ctx, out))
}

// steadyRate is how many transfers a second are sent, both directions together.
const steadyRate = 50

// steadyEvery is how often some of them are sent: often enough that each block
// has its share, seldom enough that sending costs little.
const steadyEvery = 200 * time.Millisecond

// steady sends at a steady rate and waits until the last has ended. What it
// gives is the time from when the first blocks are full to when sending ended.
func (r *rig) steady(ctx context.Context, length time.Duration) (s span, err error) {
	each := int(steadyRate * steadyEvery / time.Second / 2)
	tick := time.NewTicker(steadyEvery)
	defer tick.Stop()
	s.from = time.Now()
	for time.Since(s.from) < length {
		if _, _, err := r.root.send(ctx, alternating(each, r.deposit)); err != nil {
			return s, fmt.Errorf("deposit: %w", err)
		}
		if _, _, err := r.subnet.send(ctx, alternating(each, r.withdraw)); err != nil {
			return s, fmt.Errorf("withdraw: %w", err)
		}
		r.want += 2 * each
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
	if err := r.settle(ctx, 5*time.Minute); err != nil {
		return s, err
	}
	s.to = time.Now()
	return s, nil
}

// gasPhase sends batches of each size and kind so that each rides in one
// transaction: deposits of one root block, withdrawals of one checkpoint
// period. What came out otherwise is grouped as it came out.
func (r *rig) gasPhase(ctx context.Context, s size, used *uint64) error {
	for _, n := range s.batches {
		for _, asset := range []tokens.Asset{tokens.FLT, tokens.USDC} {
			r.say("gas: %d deposits and %d withdrawals of %s", n, n, asset.Symbol)
			if err := r.newPeriod(ctx, used); err != nil {
				return err
			}
			if _, _, err := r.subnet.send(ctx, same(n, asset, r.withdraw)); err != nil {
				return fmt.Errorf("withdraw: %w", err)
			}
			if err := r.root.until(ctx, func(uint64) bool { return true }); err != nil {
				return err
			}
			if _, _, err := r.root.send(ctx, same(n, asset, r.deposit)); err != nil {
				return fmt.Errorf("deposit: %w", err)
			}
			r.want += 2 * n
		}
		if !s.releases {
			continue
		}
		r.say("gas: %d releases", n)
		if err := r.newPeriod(ctx, used); err != nil {
			return err
		}
		calls := make([]call, n)
		for i := range calls {
			calls[i] = r.release()
		}
		_, txs, err := r.subnet.send(ctx, calls)
		if err != nil {
			return fmt.Errorf("release: %w", err)
		}
		r.released = append(r.released, txs...)
	}
	if err := r.settle(ctx, 5*time.Minute); err != nil {
		return err
	}
	return r.executed(ctx)
}

// newPeriod waits for a head early in a checkpoint period that was not used
// yet, so that all of a batch is in that one: what is sent now enters the next
// block.
func (r *rig) newPeriod(ctx context.Context, used *uint64) error {
	period := r.net.Dep.Settings.CheckPeriod
	return r.subnet.until(ctx, func(h uint64) bool {
		if h%period >= period/3 || h/period == *used {
			return false
		}
		*used = h / period
		return true
	})
}

// executed waits until the root has executed every message that the subnet's
// gateway has sent: releases are no transfers of a route, so settle does not
// see them.
func (r *rig) executed(ctx context.Context) error {
	if len(r.released) == 0 {
		return nil
	}
	id := r.net.Dep.Root.Subnet()
	for {
		queued, err := r.read(ctx, r.subnet, r.net.Dep.Subnet.Gateway, subnetABI.PackBottomUpNonce())
		if err != nil {
			return err
		}
		applied, err := r.read(ctx, r.root, r.net.Dep.Root.Gateway, gatewayABI.PackGetAppliedBottomUpNonce(bindings.SubnetID{Root: id.Root, Route: id.Route}))
		if err != nil {
			return err
		}
		if queued.Cmp(applied) == 0 {
			return nil
		}
		if err := r.root.until(ctx, func(uint64) bool { return true }); err != nil {
			return err
		}
	}
}

func (r *rig) read(ctx context.Context, s *side, to common.Address, data []byte) (*big.Int, error) {
	raw, err := s.eth.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
	if err != nil || len(raw) < 32 {
		return nil, fmt.Errorf("read a counter (%d bytes): %w", len(raw), err)
	}
	return new(big.Int).SetBytes(raw[len(raw)-32:]), nil // the last word: others are flags
}
