package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
)

// ledger sees every write to the journal and every broadcast, and says at once
// what must never be. It keeps books of its own: what a guard of the store
// lets through is found here.
type ledger struct {
	mu         sync.Mutex
	violations []string
	note       func(format string, args ...any)

	cursors map[string]chains.Cursor
	fences  map[string]chains.Fence // newest given out
	owners  map[string]owner
	riding  map[slot][]common.Hash // members of undecided intents
	stored  map[common.Hash]bool   // attempts that the journal took, ever
	onDisk  map[common.Hash]bool   // attempts on some disk, ever
	sent    map[common.Hash]bool

	lost store.Recovery // what the journal is known to lack; zero: nothing
	ends []string       // who ended recoveries
}

type owner struct {
	fence chains.Fence
	until time.Time
}

type slot struct {
	chain   chains.ID
	account common.Address
	nonce   uint64
}

func newLedger(note func(string, ...any)) *ledger {
	return &ledger{
		note: note, cursors: map[string]chains.Cursor{}, fences: map[string]chains.Fence{}, owners: map[string]owner{},
		riding: map[slot][]common.Hash{}, stored: map[common.Hash]bool{}, onDisk: map[common.Hash]bool{}, sent: map[common.Hash]bool{},
	}
}

func (l *ledger) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.note("VIOLATION %s", text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.violations) < 20 {
		l.violations = append(l.violations, text)
	}
}

func (l *ledger) found() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.violations)
}

// rolledBack begins the books of a server that forgot from what it knows. Where
// it forgot openings, fences begin anew: whoever holds one of those writes
// nothing before it has opened the journal again.
func (l *ledger) rolledBack(m *storetest.Model, openings bool) {
	if openings {
		clear(l.fences)
	}
	ctx := context.Background()
	for chain := range l.cursors {
		if c, ok, _ := m.Cursor(ctx, chain); ok {
			l.cursors[chain] = c
		} else {
			delete(l.cursors, chain)
		}
	}
	clear(l.owners)
	l.lost, _, _ = m.Recovering(ctx)
	known := l.riding
	l.riding = map[slot][]common.Hash{}
	for s := range known {
		if in, ok, _ := m.Intent(ctx, s.chain, s.account, s.nonce); ok && !in.State.Decided() {
			l.riding[s] = in.Members
		}
	}
}

// loses: from the opening that finds a loss nothing is given out.
func (l *ledger) loses(who string, r store.Recovery) {
	if l.lost.Token != r.Token {
		l.note("%s opens a redis that forgot: %s", who, r.Why)
	}
	l.lost = r
}

func (l *ledger) recovered(m *storetest.Model, r store.Recovery, who, why string) error {
	err := m.Recovered(context.Background(), r, who, why)
	if err == nil && l.lost != (store.Recovery{}) {
		l.note("%s ends the recovery: %s", who, why)
		l.ends = append(l.ends, who)
		l.lost = store.Recovery{}
	}
	return err
}

// wholly: I10, nothing is begun on a journal that is known to lack its end.
func (l *ledger) wholly(what string) {
	if l.lost != (store.Recovery{}) {
		l.violate("I10: %s was given out while the journal lacks its end (%s)", what, l.lost.Why)
	}
}

// ingest: I4, no block is skipped and none is read twice.
func (l *ledger) ingest(m *storetest.Model, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	err := m.Ingest(context.Background(), chain, from, to, jobs, facts)
	if err != nil {
		return err
	}
	if at, ok := l.cursors[chain]; ok && at != from {
		l.violate("I4: %s was read from %d on, the cursor stood at %d", chain, from.Next, at.Next)
	}
	l.cursors[chain] = to
	return nil
}

// claim: I9, fences rise.
func (l *ledger) claim(m *storetest.Model, worker string, max int) (store.Lease, bool, error) {
	lease, ok, err := m.Claim(context.Background(), worker, max)
	if err != nil || !ok {
		return lease, ok, err
	}
	f, last := lease.Fence, l.fences[lease.Fence.Lane]
	if f.Epoch < last.Epoch || f.Epoch == last.Epoch && f.Counter <= last.Counter {
		l.violate("I9: fence %v of %s was given out after %v", f, f.Lane, last)
	}
	if o, held := l.owners[f.Lane]; held && o.until.After(time.Now()) {
		l.violate("I9: lane %s was given to %s while %v had it", f.Lane, worker, o.fence)
	}
	l.wholly("lane " + f.Lane)
	l.fences[f.Lane], l.owners[f.Lane] = f, owner{f, lease.Until}
	return lease, ok, nil
}

func (l *ledger) extend(m *storetest.Model, lease store.Lease) (store.Lease, error) {
	out, err := m.Extend(context.Background(), lease)
	if err == nil {
		l.own("extended", lease.Fence)
		l.owners[lease.Fence.Lane] = owner{lease.Fence, out.Until}
	}
	return out, err
}

// own: I9, nobody writes for a lane that is another's.
func (l *ledger) own(what string, f chains.Fence) {
	if o, ok := l.owners[f.Lane]; !ok || o.fence != f {
		l.violate("I9: lane %s was %s under %v, which is stale; %v has it", f.Lane, what, f, o.fence)
	}
}

func (l *ledger) settle(m *storetest.Model, lease store.Lease, verdicts []store.Verdict) error {
	err := m.Settle(context.Background(), lease, verdicts)
	if err == nil {
		l.own("settled", lease.Fence)
		delete(l.owners, lease.Fence.Lane)
	}
	return err
}

func (l *ledger) reap(m *storetest.Model) (int, error) {
	for lane, o := range l.owners {
		if !o.until.After(time.UnixMilli(time.Now().UnixMilli())) {
			delete(l.owners, lane)
		}
	}
	return m.Reap(context.Background())
}

// reserve: a transfer rides in one undecided transaction, and a nonce belongs
// to one intent.
func (l *ledger) reserve(m *storetest.Model, chain chains.ID, account common.Address, tx chains.Tx, nonce uint64, max int) (chains.Intent, bool, error) {
	in, existing, err := m.Reserve(context.Background(), chain, account, tx, nonce, max)
	if err != nil || existing {
		return in, existing, err
	}
	if tx.Fence.Lane != "" {
		l.own("reserved for", tx.Fence)
	}
	l.wholly("a nonce for " + tx.Key)
	for s, members := range l.riding {
		for _, id := range tx.Members {
			if slices.Contains(members, id) {
				l.violate("members: %s rides in nonce %d of %d and in nonce %d of %d", id, s.nonce, s.chain, in.Nonce, chain)
			}
		}
	}
	s := slot{chain, account, in.Nonce}
	if _, taken := l.riding[s]; taken {
		l.violate("I6: nonce %d of %s on %d was reserved twice", in.Nonce, account, chain)
	}
	l.riding[s] = tx.Members
	return in, existing, nil
}

func (l *ledger) save(m *storetest.Model, in chains.Intent, a chains.Attempt) error {
	err := m.SaveAttempt(context.Background(), in, a)
	if err == nil {
		l.took(a)
	}
	return err
}

func (l *ledger) took(a chains.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored[a.Hash] = true
}

func (l *ledger) update(m *storetest.Model, in chains.Intent) error {
	err := m.Update(context.Background(), in)
	if err == nil && in.State.Decided() {
		delete(l.riding, slot{in.Chain, in.Account, in.Nonce})
	}
	return err
}

func (l *ledger) replay(m *storetest.Model, in chains.Intent) error {
	err := m.Replay(context.Background(), in)
	if err != nil {
		return err
	}
	for _, a := range in.Attempts {
		l.took(a)
	}
	if now, ok, _ := m.Intent(context.Background(), in.Chain, in.Account, in.Nonce); ok && !now.State.Decided() {
		l.riding[slot{in.Chain, in.Account, in.Nonce}] = now.Members
	}
	return nil
}

// appended reads a line that a disk has taken.
func (l *ledger) appended(line []byte) {
	_, body, _ := bytes.Cut(line, []byte(" "))
	var in chains.Intent
	if err := json.Unmarshal(body, &in); err != nil {
		l.violate("a line of the intents file does not decode: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range in.Attempts {
		l.onDisk[a.Hash] = true
	}
}

// broadcast: I8, what is sent is in the journal and on a disk.
func (l *ledger) broadcast(h common.Hash) {
	l.mu.Lock()
	stored, kept := l.stored[h], l.onDisk[h]
	l.sent[h] = true
	l.mu.Unlock()
	if !stored || !kept {
		l.violate("I8: transaction %s was broadcast; stored=%v, on disk=%v", h, stored, kept)
	}
}

// knows says whether a transaction was journaled before it was sent.
func (l *ledger) knows(h common.Hash) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored[h]
}
