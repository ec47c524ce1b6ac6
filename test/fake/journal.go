package fake

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Journal is an in-memory journal of intents with the semantics of the durable
// one. Its hooks let a test lose replies and crash between writes.
type Journal struct {
	mu      sync.Mutex
	intents map[slot]*chains.Intent
	fences  map[string]chains.Fence
	now     func() time.Time

	// Before and After run round each write ("reserve", "save_attempt",
	// "update", "replay"); an error is returned to the caller, from After with
	// the write done.
	Before, After func(op string, in chains.Intent) error
}

type slot struct {
	chain   chains.ID
	account common.Address
	nonce   uint64
}

// NewJournal is an empty journal.
func NewJournal() *Journal {
	return &Journal{intents: map[slot]*chains.Intent{}, fences: map[string]chains.Fence{}, now: time.Now}
}

// Clock sets the time of new intents.
func (j *Journal) Clock(now func() time.Time) { j.now = now }

// Grant makes a fence the owner of its lane.
func (j *Journal) Grant(f chains.Fence) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fences[f.Lane] = f
}

// Forget drops one intent, as a store that lost its last second would.
func (j *Journal) Forget(chain chains.ID, account common.Address, nonce uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.intents, slot{chain, account, nonce})
}

// All lists every intent of an account, ascending by nonce.
func (j *Journal) All(chain chains.ID, account common.Address) []chains.Intent {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.list(chain, account, func(chains.Intent) bool { return true })
}

func (j *Journal) list(chain chains.ID, account common.Address, want func(chains.Intent) bool) []chains.Intent {
	var out []chains.Intent
	for s, in := range j.intents {
		if s.chain == chain && s.account == account && want(*in) {
			out = append(out, clone(*in))
		}
	}
	sort.Slice(out, func(i, k int) bool { return out[i].Nonce < out[k].Nonce })
	return out
}

func clone(in chains.Intent) chains.Intent {
	in.Attempts = append([]chains.Attempt(nil), in.Attempts...)
	in.Members = append([]common.Hash(nil), in.Members...)
	return in
}

func (j *Journal) write(op string, in chains.Intent, f func() error) error {
	if j.Before != nil {
		if err := j.Before(op, in); err != nil {
			return err
		}
	}
	j.mu.Lock()
	err := f()
	j.mu.Unlock()
	if err == nil && j.After != nil {
		err = j.After(op, in)
	}
	return err
}

// Reserve implements the journal.
func (j *Journal) Reserve(_ context.Context, chain chains.ID, account common.Address, tx chains.Tx, chainNonce uint64, maxInFlight int) (in chains.Intent, existing bool, err error) {
	err = j.write("reserve", chains.Intent{Key: tx.Key}, func() error {
		if tx.Fence.Lane != "" {
			if owner, ok := j.fences[tx.Fence.Lane]; ok && owner != tx.Fence {
				return chains.ErrStale
			}
		}
		live, nonce := 0, chainNonce
		for s, old := range j.intents {
			if s.chain != chain {
				continue
			}
			mine := s.account == account
			if mine && s.nonce+1 > nonce {
				nonce = s.nonce + 1
			}
			if old.State.Decided() {
				continue
			}
			if old.Key == tx.Key {
				in, existing = clone(*old), true
				return nil
			}
			if mine {
				live++
			}
			for _, a := range old.Members {
				for _, b := range tx.Members {
					if a == b {
						return chains.ErrBusy
					}
				}
			}
		}
		if live >= maxInFlight {
			return chains.ErrBusy
		}
		in = chains.Intent{Chain: chain, Account: account, Nonce: nonce, Key: tx.Key, To: tx.To, Data: tx.Data, Value: tx.Value,
			Gas: tx.Gas, Members: tx.Members, Fence: tx.Fence, State: chains.IntentReserved, CreatedAt: j.now()}
		stored := clone(in)
		j.intents[slot{chain, account, nonce}] = &stored
		return nil
	})
	return in, existing, err
}

// SaveAttempt implements the journal.
func (j *Journal) SaveAttempt(_ context.Context, in chains.Intent, a chains.Attempt) error {
	return j.write("save_attempt", in, func() error {
		old := j.intents[slot{in.Chain, in.Account, in.Nonce}]
		if old == nil || old.Key != in.Key {
			return fmt.Errorf("fake: no intent %d of key %q", in.Nonce, in.Key)
		}
		if old.State.Decided() {
			return fmt.Errorf("fake: intent %d is decided as %s", in.Nonce, old.State)
		}
		for _, known := range old.Attempts {
			if known.Hash == a.Hash {
				return nil
			}
		}
		old.Attempts = append(old.Attempts, a)
		if old.State == chains.IntentReserved {
			old.State = chains.IntentSigned
		}
		return nil
	})
}

// Update implements the journal.
func (j *Journal) Update(_ context.Context, in chains.Intent) error {
	return j.write("update", in, func() error {
		old := j.intents[slot{in.Chain, in.Account, in.Nonce}]
		if old == nil {
			return fmt.Errorf("fake: no intent %d", in.Nonce)
		}
		if old.State.Decided() {
			if old.State == in.State {
				return nil
			}
			return fmt.Errorf("fake: intent %d is decided as %s, not %s", in.Nonce, old.State, in.State)
		}
		// A manager that read the intent before its first attempt was stored must
		// not make it look unsigned.
		if in.State != chains.IntentReserved {
			old.State = in.State
		}
		old.Block, old.BlockHash, old.TxHash = in.Block, in.BlockHash, in.TxHash
		old.GasUsed, old.Abandoned = in.GasUsed, in.Abandoned
		if old.State.Decided() {
			old.Data = nil
			old.Attempts = append([]chains.Attempt(nil), old.Attempts...)
			for i := range old.Attempts {
				old.Attempts[i].Raw = nil
			}
		}
		return nil
	})
}

// Live implements the journal. It leaves out all that it may.
func (j *Journal) Live(_ context.Context, chain chains.ID, account common.Address) ([]chains.Intent, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	live := j.list(chain, account, func(in chains.Intent) bool { return !in.State.Decided() })
	for i := range live {
		if len(live[i].Attempts) > 0 {
			live[i].Data = nil
		}
		for n := range live[i].Attempts {
			live[i].Attempts[n].Raw = nil
		}
	}
	return live, nil
}

// Intent implements the journal.
func (j *Journal) Intent(_ context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	in := j.intents[slot{chain, account, nonce}]
	if in == nil {
		return chains.Intent{}, false, nil
	}
	return clone(*in), true, nil
}

// Replay implements the journal.
func (j *Journal) Replay(_ context.Context, in chains.Intent) error {
	return j.write("replay", in, func() error {
		s := slot{in.Chain, in.Account, in.Nonce}
		if j.intents[s] != nil {
			return nil
		}
		stored := clone(in)
		if stored.State == "" {
			stored.State = chains.IntentSigned
		}
		j.intents[s] = &stored
		return nil
	})
}
