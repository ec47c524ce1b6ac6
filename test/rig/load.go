package rig

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Route names a movement: "deposit" or "withdraw" of an asset.
func Route(a tokens.Asset, verb string) string {
	if a == tokens.USDC {
		return "usdc_" + verb
	}
	return "flt_" + verb
}

// Load sends transfers over all routes until stopped.
type Load struct {
	w      *World
	cancel context.CancelFunc // of the sending
	abort  context.CancelFunc // of everything
	wait   sync.WaitGroup

	mu   sync.Mutex
	sent int
	err  error
}

// every20th FLT transfer is bound to fail at its destination: it must come back
// or become a credit, exactly once as well.
const every20th = 20

// Load begins to send 5 transfers a second from the root and from the subnet, one
// from Ethereum where there is one. A chain that is
// away is tried again.
func (w *World) Load(ctx context.Context, seed uint64) *Load {
	// The wait for receipts outlives ctx: what was broadcast may be mined.
	all, abort := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{w: w, cancel: cancel, abort: abort}
	const often, seldom = 200 * time.Millisecond, time.Second
	l.wait.Go(func() { l.from(ctx, all, w.Bridge.Root, often, seed) })
	l.wait.Go(func() { l.from(ctx, all, w.Bridge.Subnet, often, seed+1) })
	if w.Bridge.L1 != nil {
		l.wait.Go(func() { l.from(ctx, all, w.Bridge.L1, seldom, seed+2) })
	}
	return l
}

// Stop ends the sending and waits for receipts; it returns how many were sent.
func (l *Load) Stop() (int, error) {
	l.cancel()
	l.wait.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.err
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

func (l *Load) from(ctx, all context.Context, account *wallet.Account, every time.Duration, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(time.Now().UnixNano()))) // recipients must be new in a resumed run
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := int64(0); ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tx, want, err := l.send(ctx, account, rng, i)
		if tx != (common.Hash{}) {
			// From now on: a relayer may know of it before we have a receipt.
			l.w.Ledger.Perhaps(tx, want)
		}
		if err != nil {
			if errors.Is(err, chains.ErrReverted) && ctx.Err() == nil {
				l.fail(fmt.Errorf("%s: %w", want.Route, err))
				return
			}
			continue // the chain is away
		}
		l.wait.Go(func() {
			wait, cancel := context.WithTimeout(all, time.Minute)
			defer cancel()
			if _, err := account.Wait(wait, tx); err != nil {
				// A node that was killed forgets its pool, and the wallet may have
				// given the nonce to another transaction since: then this one is never
				// mined, and no money has moved. It stays in the ledger as one that may
				// be.
				if errors.Is(err, chains.ErrReverted) {
					l.fail(fmt.Errorf("%s: %w", want.Route, err))
				}
				return
			}
			l.w.Ledger.Note(tx, want)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.sent++
		})
	}
}

func (l *Load) send(ctx context.Context, account *wallet.Account, rng *rand.Rand, i int64) (common.Hash, Want, error) {
	b := l.w.Bridge
	asset, amount := tokens.USDC, big.NewInt(1_000+i)
	if rng.IntN(2) == 0 {
		asset, amount = tokens.FLT, new(big.Int).Add(big.NewInt(1_000_000_000_000_000), big.NewInt(i))
	}
	var salt [16]byte
	binary.BigEndian.PutUint64(salt[:], rng.Uint64())
	binary.BigEndian.PutUint64(salt[8:], rng.Uint64())
	to := common.BytesToAddress(crypto.Keccak256(salt[:])[12:])
	want := Want{Amount: amount, Status: tokens.Done, To: to}
	failing := asset == tokens.FLT && rng.IntN(every20th) == 0
	if account == b.L1 {
		want.Amount, want.Route = new(big.Int).Add(big.NewInt(1_000_000_000_000_000), big.NewInt(i)), "flt_l1_deposit"
		if failing {
			to, want.To, want.Status = l.w.Sub.Replica, common.Address{}, tokens.Refunded
		}
		tx, err := b.CrossIn(ctx, to, want.Amount)
		return tx, want, err
	}
	if account == b.Subnet && b.L1 != nil && asset == tokens.FLT && !failing && i%4 == 0 {
		want.Route = "flt_l1_withdraw"
		tx, err := b.CrossOut(ctx, to, common.Address{}, amount)
		return tx, want, err
	}
	if account == b.Root {
		want.Route = Route(asset, "deposit")
		if failing {
			to, want.To, want.Status = l.w.Sub.Replica, common.Address{}, tokens.Refunded // a contract without receive
		}
		tx, err := b.Deposit(ctx, asset, to, amount)
		return tx, want, err
	}
	want.Route = Route(asset, "withdraw")
	if failing {
		to, want.To, want.Status = l.w.Sub.Controller, common.Address{}, tokens.Credited // refused there
	}
	tx, err := b.Withdraw(ctx, asset, to, b.Root.Address, amount)
	return tx, want, err
}

// Err is what went wrong so far.
func (l *Load) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Abort is Stop without waiting for receipts.
func (l *Load) Abort() (int, error) {
	l.abort()
	return l.Stop()
}
