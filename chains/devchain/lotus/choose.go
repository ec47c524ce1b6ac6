package lotus

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/core/types"
)

// choose is a chooser: the messages whose turn it is and that pay the base fee,
// in the order in which they came.
func (p *pool) choose(parent *types.Header, baseFee *big.Int) ([]*types.Transaction, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byHash) == 0 {
		return nil, nil
	}
	state, err := p.root.chain.State(parent)
	if err != nil {
		return nil, err
	}
	least := new(big.Int).Add(baseFee, p.premium)
	var due []turn
	for from, lane := range p.bySender {
		order := uint64(0)
		money := state.GetBalance(from).ToBig()
		for nonce := state.GetNonce(from); lane[nonce] != nil; nonce++ {
			tx := lane[nonce].tx
			money = new(big.Int).Sub(money, tx.Cost())
			if tx.GasFeeCapIntCmp(least) < 0 || tx.GasTipCapIntCmp(p.premium) < 0 || money.Sign() < 0 {
				break
			}
			order = max(order, lane[nonce].arrived)
			due = append(due, turn{tx, order})
		}
	}
	slices.SortFunc(due, func(a, b turn) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.tx.Nonce(), b.tx.Nonce()))
	})
	return fitting(due), nil
}

// turn is a message and when it became due: not before those of its sender that
// go first.
type turn struct {
	tx    *types.Transaction
	order uint64
}

// fitting cuts a list where the block's gas ends.
func fitting(due []turn) []*types.Transaction {
	var out []*types.Transaction
	gas := uint64(0)
	for _, d := range due {
		if gas+d.tx.Gas() > blockGas {
			break
		}
		gas += d.tx.Gas()
		out = append(out, d.tx)
	}
	return out
}
