package agree

import (
	"context"
	"fmt"

	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
)

// SendRaw hands a signed transaction to all that do well; one that takes it is
// enough.
func (c *Client) SendRaw(ctx context.Context, raw []byte) error {
	do := func(ctx context.Context, e *endpoint) (struct{}, error) {
		return struct{}{}, e.reader.SendRaw(ctx, raw)
	}
	said := gather(ctx, c, c.asked(), do, func(said []answer[struct{}]) bool {
		return taken(said) == nil
	})
	if ctx.Err() == nil {
		for _, a := range said {
			if a.err != nil {
				c.failed(a.from, a.err)
			}
		}
	}
	return taken(said)
}

// taken is nil where one took the transaction, else what says most about it: that a
// pool holds it, or another answer before silence.
func taken(said []answer[struct{}]) (err error) {
	rank := 0
	for _, a := range said {
		r := 1
		switch evm.ClassOf(a.err) {
		case "":
			return nil
		case evm.ClassAlreadyKnown:
			r = 3
		case evm.ClassNonceLow, evm.ClassNonceHigh, evm.ClassUnderpriced, evm.ClassFees, evm.ClassFunds, evm.ClassGas, evm.ClassPool, evm.ClassInvalidTx:
			r = 2
		}
		if r > rank {
			rank, err = r, a.err
		}
	}
	return err
}

// TransactionKnown says whether a transaction is known to two endpoints, where two
// answer: one that took it and dropped it is not the only one asked.
func (c *Client) TransactionKnown(ctx context.Context, hash common.Hash) (known, mined bool, err error) {
	type sight struct{ known, mined bool }
	said := gather(ctx, c, c.asked(), func(ctx context.Context, e *endpoint) (s sight, err error) {
		s.known, s.mined, err = e.reader.TransactionKnown(ctx, hash)
		return s, err
	}, func(said []answer[sight]) bool {
		n := 0
		for _, a := range said {
			if a.err == nil {
				n++
			}
		}
		return n >= min(2, len(c.endpoints))
	})
	answered, sure := 0, 0
	for _, a := range said {
		if a.err != nil {
			if ctx.Err() == nil {
				c.failed(a.from, a.err)
			}
			err = fmt.Errorf("endpoint %s: %w", a.from.name, a.err)
			continue
		}
		answered++
		mined = mined || a.value.mined
		if a.value.known {
			sure++
		}
	}
	if answered == 0 {
		return false, false, err
	}
	return mined || sure >= min(2, answered), mined, nil
}

// Receipt reads one receipt; ok is false when there is none for this hash.
func (c *Client) Receipt(ctx context.Context, hash common.Hash) (r evm.Receipt, ok bool, err error) {
	all, err := c.Receipts(ctx, []common.Hash{hash})
	if err != nil || all[0] == nil {
		return evm.Receipt{}, false, err
	}
	return *all[0], true, nil
}

// Receipts reads many, in the order asked; nil where K say that there is none. One
// in a final block is what K say. Of a block that is not final yet, which decides
// nothing, one's word is passed on.
func (c *Client) Receipts(ctx context.Context, hashes []common.Hash) ([]*evm.Receipt, error) {
	final := c.final().Number
	do := func(ctx context.Context, e *endpoint) ([]*evm.Receipt, error) {
		out, err := e.reader.Receipts(ctx, hashes)
		if err == nil && len(out) != len(hashes) {
			err = c.unavailable("%d receipts for %d transactions", len(out), len(hashes))
		}
		return out, err
	}
	said := gather(ctx, c, c.asked(), do, func(said []answer[[]*evm.Receipt]) bool {
		n := 0
		for _, a := range said {
			if a.err == nil {
				n++
			}
		}
		return n >= c.cfg.K
	})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: receipts: %w", c.cfg.Name, ctx.Err())
	}
	out := make([]*evm.Receipt, len(hashes))
	for i, hash := range hashes {
		q := question[*evm.Receipt]{what: "receipt of " + hash.Hex(), same: sameReceipt, tell: tellReceipt, based: basedReceipt}
		q.do = func(ctx context.Context, e *endpoint) (*evm.Receipt, error) {
			all, err := e.reader.Receipts(ctx, []common.Hash{hash})
			if err != nil || len(all) != 1 {
				return nil, c.unavailable("receipt of %s: %v", hash, err)
			}
			return all[0], nil
		}
		var each []answer[*evm.Receipt]
		var fresh *evm.Receipt // of a block that is not final
		for _, a := range said {
			one := answer[*evm.Receipt]{from: a.from, err: a.err}
			if a.err == nil {
				one.value = a.value[i]
				if one.value != nil && one.value.Block > final && fresh == nil {
					fresh = one.value
				}
			}
			each = append(each, one)
		}
		groups, most := largest(q, each)
		if fresh != nil && (most < c.cfg.K || len(groups) > 1) {
			out[i] = fresh
			continue
		}
		r, err := settle(ctx, c, q, each)
		if err != nil {
			return nil, err
		}
		out[i] = r
	}
	return out, nil
}

func sameReceipt(a, b *evm.Receipt) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func basedReceipt(r *evm.Receipt) uint64 {
	if r == nil {
		return 0
	}
	return r.Block
}

func tellReceipt(r *evm.Receipt) string {
	if r == nil {
		return "no receipt"
	}
	return fmt.Sprintf("in block %d (%s), ok %v, %d gas", r.Block, r.BlockHash, r.OK, r.GasUsed)
}
