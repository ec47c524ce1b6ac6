package storetest

import (
	"bytes"
	"cmp"
	"context"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// ride is the undecided intent that has a transfer among its members. Where a
// replay brought a second one, the first keeps it.
func (m *Model) ride(id common.Hash) *modelIntent {
	for _, in := range m.live(nil) {
		if slices.Contains(in.Members, id) {
			return in
		}
	}
	return nil
}

// live lists undecided intents, nonces ascending; nil = of all accounts.
func (m *Model) live(of *slot) []*modelIntent {
	var out []*modelIntent
	for s, in := range m.intents {
		if !in.State.Decided() && (of == nil || s.chain == of.chain && s.account == of.account) {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(a, b *modelIntent) int {
		return cmp.Or(cmp.Compare(a.Chain, b.Chain), a.Account.Cmp(b.Account), cmp.Compare(a.Nonce, b.Nonce))
	})
	return out
}

// Reserve is store.DB's.
func (m *Model) Reserve(_ context.Context, chain chains.ID, account common.Address, tx chains.Tx, chainNonce uint64, maxInFlight int) (chains.Intent, bool, error) {
	for _, in := range m.live(nil) {
		if in.Chain == chain && in.Key == tx.Key {
			return in.copy(), true, nil
		}
	}
	if m.lost != nil {
		return chains.Intent{}, false, chains.ErrBusy
	}
	for name := range m.forks {
		if m.cursors[name].Chain == chain {
			return chains.Intent{}, false, chains.ErrBusy
		}
	}
	if tx.Fence.Lane != "" && m.stopped(tx.Fence.Lane) != "" {
		return chains.Intent{}, false, chains.ErrBusy
	}
	if tx.Fence.Lane != "" {
		l := m.owner(tx.Fence)
		if l == nil {
			return chains.Intent{}, false, store.ErrStale
		}
		for _, id := range tx.Members {
			j := m.jobs[id]
			if slices.Contains(l.ids, id) && (j.Status != tokens.Pending || j.Step != l.step || j.Lane != l.fence.Lane) {
				return chains.Intent{}, false, store.ErrStale
			}
			if m.ride(id) != nil {
				return chains.Intent{}, false, chains.ErrBusy
			}
		}
	}
	of := slot{chain: chain, account: account}
	if maxInFlight > 0 && len(m.live(&of)) >= maxInFlight {
		return chains.Intent{}, false, chains.ErrBusy
	}
	nonce := chainNonce
	for s := range m.intents {
		if s.chain == chain && s.account == account {
			nonce = max(nonce, s.nonce+1)
		}
	}
	in := &modelIntent{chains.Intent{
		Chain: chain, Account: account, Nonce: nonce, Key: tx.Key, To: tx.To, Data: tx.Data, Value: tx.Value, Gas: tx.Gas,
		Members: tx.Members, Fence: tx.Fence, State: chains.IntentReserved, CreatedAt: m.Now().UTC(),
	}}
	m.intents[slot{chain, account, nonce}] = in
	m.fence++
	return in.copy(), false, nil
}

// copy is the intent as readers get it.
func (in *modelIntent) copy() chains.Intent {
	out := in.Intent
	if out.Value == nil {
		out.Value = new(big.Int)
	}
	out.Attempts = slices.Clone(in.Attempts)
	if out.State.Decided() {
		out.Data = nil
		for i := range out.Attempts {
			out.Attempts[i].Raw = nil
		}
	}
	return out
}

func (m *Model) find(in chains.Intent) *modelIntent {
	return m.intents[slot{in.Chain, in.Account, in.Nonce}]
}

func (in *modelIntent) keep(a chains.Attempt) {
	for i := range in.Attempts {
		if in.Attempts[i].Hash == a.Hash {
			in.Attempts[i] = a
			return
		}
	}
	in.Attempts = append(in.Attempts, a)
}

// SaveAttempt is store.DB's.
func (m *Model) SaveAttempt(_ context.Context, in chains.Intent, a chains.Attempt) error {
	mine := m.find(in)
	if mine == nil {
		return store.ErrUnknown
	}
	if mine.State.Decided() {
		return store.ErrDecided
	}
	mine.keep(a)
	if mine.State == chains.IntentReserved {
		mine.State = chains.IntentSigned
	}
	return nil
}

// Update is store.DB's.
func (m *Model) Update(_ context.Context, in chains.Intent) error {
	mine := m.find(in)
	if mine == nil {
		return store.ErrUnknown
	}
	if mine.State.Decided() {
		if mine.State == in.State {
			return nil
		}
		return store.ErrDecided
	}
	if m.lost != nil && in.State == chains.IntentForeign {
		return chains.ErrBusy
	}
	if in.State != chains.IntentReserved {
		mine.State = in.State
	}
	mine.Block, mine.BlockHash, mine.TxHash, mine.GasUsed, mine.Abandoned = in.Block, in.BlockHash, in.TxHash, in.GasUsed, in.Abandoned
	return nil
}

// Live is store.DB's.
func (m *Model) Live(_ context.Context, chain chains.ID, account common.Address) ([]chains.Intent, error) {
	var out []chains.Intent
	for _, in := range m.live(&slot{chain: chain, account: account}) {
		short := in.copy()
		if len(short.Attempts) > 0 {
			short.Data = nil
		}
		for i := range short.Attempts {
			short.Attempts[i].Raw = nil
		}
		out = append(out, short)
	}
	return out, nil
}

// Intent is store.DB's.
func (m *Model) Intent(_ context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error) {
	in := m.intents[slot{chain, account, nonce}]
	if in == nil {
		return chains.Intent{}, false, nil
	}
	return in.copy(), true, nil
}

// Replay is store.DB's.
func (m *Model) Replay(_ context.Context, in chains.Intent) error {
	mine := m.find(in)
	switch {
	case m.lost != nil && len(in.Attempts) == 0:
		return chains.ErrBusy
	case mine == nil:
		mine = &modelIntent{in}
		mine.Attempts = nil
		if mine.State == "" {
			mine.State = chains.IntentReserved
		}
		m.intents[slot{in.Chain, in.Account, in.Nonce}] = mine
	case mine.Key != in.Key || mine.To != in.To || !mine.State.Decided() && !bytes.Equal(mine.Data, in.Data):
		return store.ErrConflict
	}
	for _, a := range in.Attempts {
		mine.keep(a)
	}
	if len(in.Attempts) > 0 && mine.State == chains.IntentReserved {
		mine.State = chains.IntentSigned
	}
	return nil
}
