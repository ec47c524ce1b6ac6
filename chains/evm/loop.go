package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/sync/errgroup"
)

// Run sees intents through until ctx ends: it looks at every account each Tick
// (each Idle when nothing is undecided) and after each Send. A look that fails
// is logged and repeated; Run returns only when ctx ends.
func (m *TxManager) Run(ctx context.Context) error {
	ticker := time.NewTicker(m.cfg.Tick)
	defer ticker.Stop()
	for {
		m.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-m.kick:
		}
	}
}

// look is one pass over all accounts.
func (m *TxManager) look(ctx context.Context) {
	pending := 0
	var poorest *big.Int
	for _, a := range m.accounts {
		err := m.recover(ctx)
		if err == nil {
			err = m.step(ctx, a)
		}
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		if err != nil {
			// Return or log: here it is swallowed.
			if a.status.Err == "" {
				m.log.WarnContext(ctx, "look at account failed; will retry", "account", a.address, "error", err)
			}
			a.status.Err = err.Error()
		} else {
			a.status.Err = ""
		}
		pending += a.status.Pending
		if b := a.status.BalanceWei; b != nil && (poorest == nil || b.Cmp(poorest) < 0) {
			poorest = b
		}
		a.mu.Unlock()
	}
	name := m.client.Name()
	m.cfg.Metrics.Pending.WithLabelValues(name).Set(float64(pending))
	if poorest != nil {
		f, _ := new(big.Float).SetInt(poorest).Float64()
		m.cfg.Metrics.Balance.WithLabelValues(name).Set(f)
	}
}

// view is what one look read about an account.
type view struct {
	head      chains.Block
	latest    uint64
	final     uint64
	receipts  map[common.Hash]*Receipt
	canonical map[uint64]common.Hash
	fees      *Fees
}

// step is one look at one account: read everything, then decide intent by
// intent. Nothing is decided from a look that could not be completed.
func (m *TxManager) step(ctx context.Context, a *account) error {
	live, err := m.journal.Live(ctx, m.client.ChainID(), a.address)
	if err != nil {
		return fmt.Errorf("read live intents: %w", err)
	}
	a.mu.Lock()
	early := len(live) == 0 && m.now().Before(a.nextLook)
	a.status.Pending, a.status.Oldest = len(live), oldest(live)
	a.mu.Unlock()
	if early {
		return nil
	}

	v, err := m.observe(ctx, a, live)
	if err != nil {
		return err
	}
	var errs []error
	var outcomes []func() error
	ceiling := false
	for _, in := range live {
		o, err := m.observation(ctx, a, in, v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		act := decide(in, o, m.policy)
		ceiling = ceiling || act.why == whyCeiling || act.why == whyCeilingNoOp
		if act.verb == doInclude || act.verb == doDecide {
			// Only the journal is written, and one nonce says nothing of another.
			outcomes = append(outcomes, func() error { return m.applied(ctx, a, in, act) })
			continue
		}
		errs = append(errs, m.applied(ctx, a, in, act))
	}
	errs = append(errs, together(outcomes)...)
	if err := m.fillHole(ctx, a, live, v); err != nil {
		errs = append(errs, fmt.Errorf("fill a hole: %w", err))
	}
	if err := m.watchForeign(ctx, a, v.final); err != nil {
		errs = append(errs, fmt.Errorf("look for foreign use: %w", err))
	}
	m.tidy(ctx, a, live, v, ceiling)
	return errors.Join(errs...)
}

// observe reads the chain for one account. The nonce at the final head is read
// by that block's hash, so that it cannot come from another block.
func (m *TxManager) observe(ctx context.Context, a *account, live []chains.Intent) (view, error) {
	v := view{receipts: map[common.Hash]*Receipt{}, canonical: map[uint64]common.Hash{}}
	var err error
	if v.head, err = m.client.Head(ctx); err != nil {
		return v, fmt.Errorf("final head: %w", err)
	}
	if v.final, err = m.client.NonceAt(ctx, a.address, AtHash(v.head.Hash)); err != nil {
		return v, fmt.Errorf("nonce at block %d: %w", v.head.Number, err)
	}
	if v.latest, err = m.client.NonceAt(ctx, a.address, AtLatest); err != nil {
		return v, fmt.Errorf("nonce: %w", err)
	}
	balance, err := m.client.Balance(ctx, a.address, AtLatest)
	if err != nil {
		return v, fmt.Errorf("balance: %w", err)
	}
	now := m.now()
	a.mu.Lock()
	if v.latest != a.latest || a.headSince.IsZero() {
		a.latest, a.headSince = v.latest, now
	}
	a.nonce, a.nonceAt, a.balance, a.balanceAt = v.latest, now, balance, now
	a.status.BalanceWei, a.status.LatestNonce, a.status.FinalNonce = new(big.Int).Set(balance), v.latest, v.final
	a.mu.Unlock()
	if len(live) == 0 {
		return v, nil
	}

	still, err := m.stillIncluded(ctx, live, v.head.Number)
	if err != nil {
		return v, err
	}
	var hashes []common.Hash
	for _, in := range live {
		if still[in.Nonce] {
			v.receipts[in.TxHash] = &Receipt{TxHash: in.TxHash, Block: in.Block, BlockHash: in.BlockHash, GasUsed: in.GasUsed}
			continue
		}
		for _, at := range in.Attempts {
			hashes = append(hashes, at.Hash)
		}
	}
	if len(hashes) > 0 {
		receipts, err := m.client.Receipts(ctx, hashes)
		if err != nil {
			return v, fmt.Errorf("receipts: %w", err)
		}
		for i, r := range receipts {
			v.receipts[hashes[i]] = r
			if r == nil || r.Block > v.head.Number {
				continue
			}
			if _, ok := v.canonical[r.Block]; ok {
				continue
			}
			b, err := m.client.BlockByNumber(ctx, r.Block)
			if err != nil {
				return v, fmt.Errorf("block of a receipt: %w", err)
			}
			v.canonical[r.Block] = b.Hash
		}
	}
	if fees, err := m.currentFees(ctx); err == nil {
		v.fees = &fees
	} else {
		m.log.DebugContext(ctx, "fees unknown", "error", err)
	}
	return v, nil
}

// stillIncluded lists the nonces of intents whose receipt was seen in a block that
// is not final yet and that is the chain's as before: a header says so, where
// their receipts, with the logs of all they carried, are a hundred times its size.
// Once the block is final the receipt itself is asked again, and that decides.
func (m *TxManager) stillIncluded(ctx context.Context, live []chains.Intent, final uint64) (map[uint64]bool, error) {
	blocks, still := map[uint64]common.Hash{}, map[uint64]bool{}
	for _, in := range live {
		if in.State != chains.IntentIncluded || in.Block <= final {
			continue
		}
		hash, asked := blocks[in.Block]
		if !asked {
			b, err := m.client.BlockByNumber(ctx, in.Block)
			if err != nil && !errors.Is(err, chains.ErrUnavailable) && !errors.Is(err, ErrNullRound) {
				return nil, fmt.Errorf("block of a receipt: %w", err)
			}
			hash = b.Hash // zero where there is none
			blocks[in.Block] = hash
		}
		still[in.Nonce] = hash == in.BlockHash
	}
	return still, nil
}

// observation narrows a look to one intent.
func (m *TxManager) observation(ctx context.Context, a *account, in chains.Intent, v view) (observation, error) {
	o := observation{
		now: m.now(), receipts: v.receipts, canonical: v.canonical, finalHead: v.head.Number,
		latestNonce: v.latest, finalNonce: v.final, finalKnown: true, fees: v.fees,
	}
	a.mu.Lock()
	memo := a.memo(in.Nonce)
	receipt, _, _ := receiptOf(in, o)
	if v.final > in.Nonce && (receipt == nil || v.canonical[receipt.Block] != receipt.BlockHash) {
		memo.misses++
	} else {
		memo.misses = 0
	}
	o.misses, o.lastSent, o.underpriced, o.headSince = memo.misses, memo.lastSent, memo.underpriced, a.headSince
	a.mu.Unlock()

	// Before a nonce is called foreign, the node is asked another way.
	if o.misses >= m.policy.foreignLooks {
		for _, at := range in.Attempts {
			_, mined, err := m.client.TransactionKnown(ctx, at.Hash)
			if err != nil {
				return o, fmt.Errorf("look for %s: %w", at.Hash, err)
			}
			o.minedHashes = o.minedHashes || mined
		}
	}
	return o, nil
}

// together runs writes whose order does not matter and says how each ended. A
// few are not worth it; after a loss there are hundreds.
func together(writes []func() error) []error {
	errs := make([]error, len(writes))
	var group errgroup.Group
	group.SetLimit(journalWrites)
	for i, write := range writes {
		if len(writes) < journalWrites {
			errs[i] = write()
			continue
		}
		group.Go(func() error { errs[i] = write(); return nil })
	}
	_ = group.Wait() // nobody returns one
	return errs
}

// applied is apply with a word on what failed.
func (m *TxManager) applied(ctx context.Context, a *account, in chains.Intent, act action) error {
	if err := m.apply(ctx, a, in, act); err != nil {
		return fmt.Errorf("%s intent %d: %w", act.verb, in.Nonce, err)
	}
	return nil
}

// apply carries out one action.
func (m *TxManager) apply(ctx context.Context, a *account, in chains.Intent, act action) error {
	m.warn(ctx, a, in, act.why)
	switch act.verb {
	case doSign:
		// Nothing of it was sent yet: it is as new as any.
		if err := m.closed(); err != nil {
			return err
		}
		return m.signAgain(ctx, a, in, act)
	case doNoOp, doBump:
		return m.signAgain(ctx, a, in, act)
	case doRebroadcast:
		whole, ok, err := m.journal.Intent(ctx, in.Chain, in.Account, in.Nonce)
		if err != nil {
			return err
		}
		if last := lastAttempt(whole); ok && last != nil && !whole.State.Decided() {
			m.broadcast(ctx, a, in.Nonce, *last)
		}
		return nil
	case doAbandon:
		return m.abandon(ctx, in)
	case doInclude:
		err := m.change(ctx, in, func(in *chains.Intent) {
			in.State = chains.IntentIncluded
			in.Block, in.BlockHash, in.TxHash, in.GasUsed = act.receipt.Block, act.receipt.BlockHash, act.receipt.TxHash, act.receipt.GasUsed
		})
		if err != nil {
			return err
		}
		crash.At("txm.after_included")
		return nil
	case doReopen:
		a.mu.Lock()
		a.memo(in.Nonce).lastSent = time.Time{}
		a.mu.Unlock()
		return m.change(ctx, in, func(in *chains.Intent) {
			in.State = chains.IntentSigned
			in.Block, in.BlockHash, in.TxHash, in.GasUsed = 0, common.Hash{}, common.Hash{}, 0
		})
	case doDecide:
		return m.settle(ctx, a, in, act)
	}
	return nil
}

// change edits an undecided intent as the journal holds it now, so that what
// another hand has written since the look (Abandoned, say) stays.
func (m *TxManager) change(ctx context.Context, seen chains.Intent, edit func(*chains.Intent)) error {
	in, ok, err := m.journal.Intent(ctx, seen.Chain, seen.Account, seen.Nonce)
	if err != nil || !ok || in.State.Decided() {
		return err
	}
	edit(&in)
	return m.journal.Update(ctx, in)
}

// settle writes how an intent ended.
func (m *TxManager) settle(ctx context.Context, a *account, in chains.Intent, act action) error {
	in.State = act.state
	if act.receipt != nil {
		in.Block, in.BlockHash, in.TxHash, in.GasUsed = act.receipt.Block, act.receipt.BlockHash, act.receipt.TxHash, act.receipt.GasUsed
	}
	if err := m.journal.Update(ctx, in); err != nil {
		return err
	}
	// A crash here loses nothing: the journal holds the decision.
	crash.At("txm.after_decided")
	m.cfg.Metrics.Tx.WithLabelValues(m.client.Name(), string(in.State)).Inc()
	if in.State == chains.IntentForeign {
		m.foreign(ctx, a, in.Nonce)
	}
	m.log.DebugContext(ctx, "intent decided", "account", a.address, "nonce", in.Nonce, "key", in.Key, "state", in.State, "tx", in.TxHash)
	return nil
}

// signAgain signs for an intent that exists: a payload nobody signed, a bump,
// or a no-op. It reads the intent again under the send lock, since Send or
// another instance may have been faster.
func (m *TxManager) signAgain(ctx context.Context, a *account, seen chains.Intent, act action) error {
	if err := a.send.take(ctx); err != nil {
		return err
	}
	defer a.send.give()
	in, ok, err := m.journal.Intent(ctx, seen.Chain, seen.Account, seen.Nonce)
	if err != nil {
		return err
	}
	if !ok || in.State.Decided() || len(in.Attempts) != len(seen.Attempts) || in.Abandoned != seen.Abandoned {
		return nil
	}
	if act.verb == doSign {
		// The world has moved on since the reservation: simulate again, and fill
		// the nonce with nothing if the payload has become pointless.
		_, err := m.client.EstimateGas(ctx, CallArg{From: in.Account, To: in.To, Data: in.Data, Value: in.Value}, AtPending)
		if errors.Is(err, chains.ErrReverted) {
			return m.abandon(ctx, in)
		}
		if err != nil {
			return fmt.Errorf("simulate: %w", err)
		}
	}
	if !in.Abandoned && payloadLost(in) {
		return m.abandon(ctx, in)
	}
	if act.verb == doBump {
		m.cfg.Metrics.Bumps.WithLabelValues(m.client.Name()).Inc()
		m.log.InfoContext(ctx, "fees raised", "account", a.address, "nonce", in.Nonce, "attempt", len(in.Attempts)+1, "tip_wei", act.fees.tip, "fee_cap_wei", act.fees.feeCap)
	}
	return m.attempt(ctx, a, in, act.fees, in.Abandoned)
}

// payloadLost says that nothing is left of what was signed but its hash: after a
// loss, what a final block had used came back bare, and then that block went
// away, or was never there. Signed again it would be another call, so the nonce
// goes to a no-op, unless the first one lands.
func payloadLost(in chains.Intent) bool {
	return len(in.Attempts) > 0 && len(in.Data) == 0 && !slices.ContainsFunc(in.Attempts, func(a chains.Attempt) bool { return len(a.Raw) > 0 })
}

func (m *TxManager) abandon(ctx context.Context, in chains.Intent) error {
	if err := m.change(ctx, in, func(in *chains.Intent) { in.Abandoned = true }); err != nil {
		return err
	}
	m.log.WarnContext(ctx, "payload abandoned, its nonce will be filled by a no-op", "account", in.Account, "nonce", in.Nonce, "key", in.Key)
	m.wake()
	return nil
}

// Abandon gives up the payload of the live intent with a key: its nonce is
// filled by a no-op, unless the payload lands first. It says whether there was
// such an intent.
func (m *TxManager) Abandon(ctx context.Context, key string) (bool, error) {
	for _, a := range m.accounts {
		live, err := m.journal.Live(ctx, m.client.ChainID(), a.address)
		if err != nil {
			return false, fmt.Errorf("read live intents: %w", err)
		}
		for _, in := range live {
			if in.Key == key {
				return true, m.abandon(ctx, in)
			}
		}
	}
	return false, nil
}

// warn logs what a person should know about an intent, once per cause.
func (m *TxManager) warn(ctx context.Context, a *account, in chains.Intent, why string) {
	a.mu.Lock()
	memo := a.memo(in.Nonce)
	fresh := why != "" && memo.warned != why
	memo.warned = why
	a.mu.Unlock()
	if fresh {
		m.log.WarnContext(ctx, "transaction needs attention", "account", a.address, "nonce", in.Nonce, "key", in.Key, "cause", why)
	}
}
