package evm

import (
	"context"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/sync/errgroup"
)

// remember is how many nonces below the final one stay in the intents file. A
// journal that lost its last minutes gets those back too: what is mined without
// an intent looks like a stolen key.
const remember = 256

// recover puts what the intents file knows and the journal lacks back into the
// journal, once per process and before any nonce is reserved: a journal that
// lost its last second would otherwise give the same nonce to another payload.
// What was decided meanwhile is decided again from the chain.
func (m *TxManager) recover(ctx context.Context) error {
	if err := m.recoverTurn.take(ctx); err != nil {
		return err
	}
	defer m.recoverTurn.give()
	if m.recovered.Load() {
		return nil
	}
	if m.file == nil || m.file.size() == 0 {
		m.recovered.Store(true)
		return nil
	}
	final, err := m.finalNonces(ctx)
	if err != nil {
		return err
	}
	// Rows of different nonces have nothing to do with each other; two of one
	// nonce go one after the other.
	rows := map[slot][]chains.Intent{}
	for _, in := range m.file.intents() {
		nonce, ours := final[in.Account]
		if in.Chain != m.client.ChainID() || !ours || in.Nonce+remember < nonce {
			continue
		}
		if in.Nonce < nonce {
			in = past(in)
		}
		at := slot{in.Account, in.Nonce}
		rows[at] = append(rows[at], in)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(journalWrites)
	for _, of := range rows {
		group.Go(func() error {
			for _, in := range of {
				if err := m.replay(ctx, in); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := m.compact(final); err != nil {
		return err
	}
	m.recovered.Store(true)
	return nil
}

// past leaves out what is only needed until a nonce is used in a final block: the
// payload and the signed bytes, which a journal drops of what is decided. Most
// of a long file is past, and what it carries is a hundred times the rest.
func past(in chains.Intent) chains.Intent {
	in.Data = nil
	in.Attempts = slices.Clone(in.Attempts)
	for i := range in.Attempts {
		in.Attempts[i].Raw = nil
	}
	return in
}

// slot is one nonce of one account.
type slot struct {
	account common.Address
	nonce   uint64
}

// journalWrites is how many writes go to the journal at once, where their order
// does not matter: those that wait together share an fsync.
const journalWrites = 16

// Restored says whether the journal has all that the intents file knows; before
// that nothing is sent.
func (m *TxManager) Restored() bool { return m.recovered.Load() }

// replay restores one intent, or the attempts that the journal's copy of it
// lacks.
func (m *TxManager) replay(ctx context.Context, in chains.Intent) error {
	stored, ok, err := m.journal.Intent(ctx, in.Chain, in.Account, in.Nonce)
	if err != nil {
		return fmt.Errorf("read intent %d: %w", in.Nonce, err)
	}
	if !ok {
		m.log.WarnContext(ctx, "journal forgot an intent, restored from the local file", "account", in.Account, "nonce", in.Nonce, "key", in.Key)
		if err := m.journal.Replay(ctx, in); err != nil {
			return fmt.Errorf("replay intent %d: %w", in.Nonce, err)
		}
		return nil
	}
	if stored.Key != in.Key {
		// Both payloads may be in the pool; one will land and the journal's
		// intent will see itself succeed or the nonce used by a stranger.
		m.log.ErrorContext(ctx, "journal holds another payload for a nonce signed here", "account", in.Account, "nonce", in.Nonce, "key", in.Key, "journal_key", stored.Key)
		return nil
	}
	if stored.State.Decided() {
		return nil
	}
	known := map[common.Hash]bool{}
	for _, a := range stored.Attempts {
		known[a.Hash] = true
	}
	for _, a := range in.Attempts {
		if known[a.Hash] {
			continue
		}
		if err := m.journal.SaveAttempt(ctx, stored, a); err != nil {
			return fmt.Errorf("restore an attempt of intent %d: %w", in.Nonce, err)
		}
	}
	return nil
}

// finalNonces reads the accounts' nonces at the final head.
func (m *TxManager) finalNonces(ctx context.Context) (map[common.Address]uint64, error) {
	head, err := m.client.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("final head: %w", err)
	}
	out := make(map[common.Address]uint64, len(m.accounts))
	for _, a := range m.accounts {
		nonce, err := m.client.NonceAt(ctx, a.address, AtHash(head.Hash))
		if err != nil {
			return nil, fmt.Errorf("nonce at block %d: %w", head.Number, err)
		}
		out[a.address] = nonce
	}
	return out, nil
}

// compact drops lines of nonces that a final block has used long ago. Lines of
// accounts that are not configured now are kept.
func (m *TxManager) compact(final map[common.Address]uint64) error {
	return m.file.compact(func(in chains.Intent) bool {
		nonce, ours := final[in.Account]
		return in.Chain != m.client.ChainID() || !ours || in.Nonce+remember >= nonce
	})
}
