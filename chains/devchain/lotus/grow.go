package lotus

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// produce makes one epoch per period. Where the wall clock is ahead, as after
// a stop, the epochs between are null rounds.
func (r *Root) produce(ctx context.Context) {
	late := r.late()
	ticker := time.NewTicker(cmp.Or(late, r.cfg.Period))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if late > 0 && !r.behind() {
			late = 0
			ticker.Reset(r.cfg.Period)
			continue
		}
		if err := r.step(ctx, late > 0); err != nil && ctx.Err() == nil {
			r.log.Warn("make epoch, will retry", "err", err)
		}
	}
}

// late is the pace at which a chain with a lead makes up for what it is behind, 0
// for others: a new one so that what is deployed on it can follow, one that was
// stopped as fast as it can. Without a lead, a chain has null rounds where it stood
// still.
func (r *Root) late() time.Duration {
	r.grow.Lock()
	defer r.grow.Unlock()
	switch {
	case r.cfg.Lead == 0:
		return 0
	case r.tried == 0:
		return min(youngPeriod, r.cfg.Period)
	}
	return time.Millisecond
}

// behind says whether the next epoch is due already.
func (r *Root) behind() bool {
	r.grow.Lock()
	defer r.grow.Unlock()
	return r.timeOf(r.tried+1) < uint64(time.Now().Unix())
}

func (r *Root) step(ctx context.Context, late bool) error {
	r.grow.Lock()
	defer r.grow.Unlock()
	if r.stuck {
		return nil
	}
	next := r.tried + 1
	if now := uint64(time.Now().Unix()); !late && r.cfg.paced() && now > r.began {
		next = max(next, (now-r.began)/r.cfg.delay())
	}
	return r.epoch(ctx, next)
}

// Mine makes n epochs at once. Null rounds among them count.
func (r *Root) Mine(ctx context.Context, n int) error {
	r.grow.Lock()
	defer r.grow.Unlock()
	for range n {
		if err := r.epoch(ctx, r.tried+1); err != nil {
			return fmt.Errorf("mine: %w", err)
		}
	}
	return nil
}

// Pause stops the making of epochs. Mine still works.
func (r *Root) Pause() { r.setStuck(true) }

// Resume ends a Pause.
func (r *Root) Resume() { r.setStuck(false) }

func (r *Root) setStuck(stuck bool) {
	r.grow.Lock()
	defer r.grow.Unlock()
	r.stuck = stuck
}

// NullAt makes null rounds of epochs to come.
func (r *Root) NullAt(epochs ...uint64) {
	r.grow.Lock()
	defer r.grow.Unlock()
	for _, e := range epochs {
		r.nulls[e] = true
	}
}

// SetNullRate changes the share of null rounds, from 0 to below 1.
func (r *Root) SetNullRate(rate float64) {
	r.grow.Lock()
	defer r.grow.Unlock()
	r.rate = min(max(rate, 0), 0.99)
}

// SetBaseFee sets the least base fee, in attoFIL: messages with a smaller fee
// cap stay in the pool.
func (r *Root) SetBaseFee(least *big.Int) {
	r.grow.Lock()
	defer r.grow.Unlock()
	r.floor = new(big.Int).Set(least)
}

// null says whether an epoch has no tipset. The draw is the epoch's own, so
// that a chain with a rate looks the same each time it is made.
func (r *Root) null(epoch uint64) bool {
	if r.nulls[epoch] {
		delete(r.nulls, epoch)
		return true
	}
	if r.rate == 0 {
		return false
	}
	draw := crypto.Keccak256([]byte("null"), binary.BigEndian.AppendUint64(nil, epoch))
	return float64(binary.BigEndian.Uint32(draw))/(1<<32) < r.rate
}

// epoch gives one epoch its tipset, unless it is a null round. grow is held.
//
// The order makes a kill harmless: the block is on disk before the record of
// its tipset is, and that before anybody is shown the tipset.
func (r *Root) epoch(ctx context.Context, epoch uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.null(epoch) {
		r.tried = epoch
		return nil
	}
	parent := r.view().head()
	t, err := r.build(ctx, parent, epoch, r.pool.choose)
	if err != nil {
		return err
	}
	if err := r.chain.Adopt(t.block); err != nil {
		return err
	}
	r.mu.Lock()
	r.keep(t)
	r.mu.Unlock()
	grown := append(r.view(), t)
	final := r.f3.next(grown)
	if err := r.records.add(0, final, t); err != nil {
		return err
	}
	r.tried = epoch
	r.mu.Lock()
	r.tips = grown
	r.mu.Unlock()
	r.f3.certify(grown, final)
	r.pool.applied(t)
	r.announce()
	return nil
}

// chooser picks the messages of a block with the given base fee.
type chooser func(parent *types.Header, baseFee *big.Int) ([]*types.Transaction, error)

func noMessages(*types.Header, *big.Int) ([]*types.Transaction, error) { return nil, nil }

// build makes a tip on a parent, and its block below beside the chain. What a
// contract sees as block.number is the epoch: a null round between has an empty block
// below that no tipset names.
func (r *Root) build(ctx context.Context, parent *tip, epoch uint64, choose chooser) (*tip, error) {
	above, err := r.evmHeader(parent)
	if err != nil {
		return nil, err
	}
	for null := parent.epoch + 1; null < epoch; null++ {
		empty, err := r.chain.Build(ctx, devchain.Draft{Parent: above.Hash(), Time: r.timeOf(null)})
		if err != nil {
			return nil, err
		}
		above = empty.Header()
	}
	baseFee := r.chain.NextBaseFee(above)
	if baseFee.Cmp(r.floor) < 0 {
		baseFee = new(big.Int).Set(r.floor)
	}
	txs, err := choose(above, baseFee)
	if err != nil {
		return nil, fmt.Errorf("choose messages: %w", err)
	}
	draft := devchain.Draft{Parent: above.Hash(), Time: r.timeOf(epoch), Txs: txs}
	block, err := r.chain.Build(ctx, draft)
	if err != nil && len(txs) > 0 {
		// One of them cannot stand where it does. They go in one by one, in an
		// epoch each, and the pool is rid of the one that cannot.
		draft.Txs = txs[:1]
		block, err = r.chain.Build(ctx, draft)
		if err != nil {
			r.pool.drop(txs[0])
			draft.Txs = nil
			block, err = r.chain.Build(ctx, draft)
		}
	}
	if err != nil {
		return nil, err
	}
	hash := block.Hash()
	salt := binary.BigEndian.Uint64(hash[:])
	t := &tip{
		parent: parent, epoch: epoch, number: block.NumberU64(), block: hash,
		salt: salt, width: 1 + int(salt%3), baseFee: baseFee,
	}
	return t, r.name(t)
}

// announce tells the nodes that the chain is another.
func (r *Root) announce() {
	for _, n := range r.nodes {
		n.follow()
	}
}
