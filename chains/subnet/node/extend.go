package node

import (
	"context"
	"errors"
	"slices"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/ethereum/go-ethereum/common"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// ExtendVote attaches the report and the unfinished items to a precommit. It
// reads the block voted on, what Commit left behind, and the parent cache;
// trouble with one item costs that item, never the vote.
func (a *app) ExtendVote(ctx context.Context, r *abci.RequestExtendVote) (*abci.ResponseExtendVote, error) {
	var ext ipc.Extension
	ext.Report, _, _ = a.cache.newest()
	ext.Items = a.sign(ctx, a.unfinished(r))
	text, err := ipc.EncodeExtension(ext)
	if err != nil {
		a.log.Error("encode vote extension", "error", err)
		text = nil
	}
	return &abci.ResponseExtendVote{VoteExtension: text}, nil
}

// signTime bounds what all items of one vote together wait for a signer in
// another process: consensus goes on without it, and the next vote asks again.
const signTime = 500 * time.Millisecond

// sign collects the signatures that can be had now.
func (a *app) sign(ctx context.Context, wanted []toSign) (items []ipc.Item) {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	var failed error
	for _, want := range wanted {
		var sig [ipc.SignatureLen]byte
		var err error
		if want.name.Kind == ipc.ItemParentFinality {
			err = a.noteSigned(want.name.Key)
		}
		if err == nil {
			sig, err = a.signer.Sign(ctx, want.name, want.digest)
		}
		if err != nil {
			failed = err
			a.m.signErrors.WithLabelValues(signReason(err)).Inc()
			if errors.Is(err, ErrSignerUnavailable) {
				a.log.Warn("sign items: will retry", "error", err)
				break // the others would wait as long
			}
			a.log.Error("sign item", "kind", want.name.Kind, "key", want.name.Key, "error", err)
			continue
		}
		items = append(items, ipc.Item{Kind: want.name.Kind, Key: want.name.Key, Digest: want.digest, Signature: sig})
		a.m.signed.WithLabelValues(want.name.Kind.String()).Inc()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsigned = failed
	return items
}

// signReason labels why there is no signature.
func signReason(err error) string {
	switch {
	case errors.Is(err, ErrConflict):
		return "conflict"
	case errors.Is(err, ErrRolledBack):
		return "rolled_back"
	case errors.Is(err, ErrSignerLies):
		return "wrong_answer"
	case errors.Is(err, ErrSignerUnavailable):
		return "unavailable"
	}
	return "failed"
}

// VerifyVoteExtension looks at the size only: whether an item is any good is
// decided when it is pooled, and by every node alike (PROTOCOL 4).
func (a *app) VerifyVoteExtension(_ context.Context, r *abci.RequestVerifyVoteExtension) (*abci.ResponseVerifyVoteExtension, error) {
	status := abci.ResponseVerifyVoteExtension_ACCEPT
	if len(r.VoteExtension) > maxExtension {
		status = abci.ResponseVerifyVoteExtension_REJECT
	}
	return &abci.ResponseVerifyVoteExtension{Status: status}, nil
}

type toSign struct {
	name   SignName
	digest common.Hash
}

// unfinished lists what this validator signs now, most wanted first. What it
// says about the subnet is at or below the committed height (PROTOCOL 8).
func (a *app) unfinished(r *abci.RequestExtendVote) []toSign {
	committed := a.current()
	s, d := committed.clone(), newDraft(a.store)
	s.Height = uint64(r.Height)
	p, err := decodeProposal(r.Txs)
	if err == nil && s.Height == committed.Height+1 {
		err = a.rules.ask(committed, s, p.Votes, d)
	}
	if err != nil || s.Height != committed.Height+1 {
		a.log.Error("read the block voted on", "height", r.Height, "error", err)
		return nil
	}
	var out []toSign
	add := func(name SignName, p *pool) {
		if len(out) < ipc.MaxExtensionItems && a.counts(p.Config) && !(p.Done && p.has(a.signer.Address())) {
			out = append(out, toSign{name, p.Digest})
		}
	}

	// A recovery goes first: nothing comes down before it is committed.
	if r, ok := a.recoveryToSign(s); ok {
		p := &pool{Digest: r.Digest(a.rules.parent), Config: r.Anchor.SignerConfig}
		if rec, ok, err := load[recoveryRecord](d, hashKey(keyRecovery, r.Number, p.Digest)); err == nil && ok {
			p = &rec.pool
		}
		add(SignName{Kind: ipc.ItemParentRecovery, Scope: r.Anchor.SignerConfig, Key: r.Number}, p)
	}

	// The candidate, from this node's own view of the parent.
	if t := s.Asked; t.Candidate != 0 {
		if st, ok := a.statement(d, t); ok {
			name := SignName{Kind: ipc.ItemParentFinality, Scope: t.Config, Key: t.Candidate}
			rec, ok, err := load[finalityRecord](d, hashKey(keyFinality, t.Candidate, st.Digest(a.rules.parent)))
			if err == nil && ok {
				add(name, &rec.pool)
			} else {
				add(name, &pool{Digest: st.Digest(a.rules.parent), Config: t.Config})
			}
		}
	}

	// Checkpoints: the lowest the root lacks, the lowest no block has carried a
	// quorum for, and the newest.
	for _, h := range a.dueCheckpoints(committed) {
		rec, ok, err := load[checkpointRecord](d, numKey(keyCheckpoint, h))
		if err == nil && ok {
			add(SignName{Kind: ipc.ItemCheckpoint, Key: h}, &rec.pool)
		}
	}
	for _, h := range s.OpenRoots {
		rec, ok, err := load[rootRecord](d, numKey(keyRoot, h))
		if err == nil && ok {
			add(SignName{Kind: ipc.ItemOutboxRoot, Key: h}, &rec.pool)
		}
	}
	return out
}

// dueCheckpoints are heights at or below the committed one (PROTOCOL 8, 21).
func (a *app) dueCheckpoints(s *chainState) []uint64 {
	period := a.g.Period
	newest := s.Height / period * period
	due := []uint64{s.NextQuorum, newest}
	if _, hash, confirmed := a.cache.newest(); hash != (common.Hash{}) {
		due = append(due, confirmed/period*period+period)
	}
	due = slices.DeleteFunc(due, func(h uint64) bool { return h == 0 || h > newest })
	slices.Sort(due)
	return slices.Compact(due)
}

// counts says whether this validator weighs anything in a configuration.
func (a *app) counts(config uint64) bool {
	set, err := a.rules.sets.set(config)
	if err != nil {
		return false
	}
	e, ok := set.Find(a.signer.Address())
	return ok && e.QuorumWeight().Sign() > 0
}

// statement is what this node would sign about the parent.
func (a *app) statement(rd recordReader, t topic) (ipc.ParentFinality, bool) {
	nonce, number := t.Base.Nonce, t.Base.Number
	if t.Base.Digest != (common.Hash{}) {
		// A base with a quorum in a block follows from the parent and the base
		// before it; its digest proves that both are what they were.
		st, ok := a.resolve(rd, t.Base.Parent, t.Base.Digest)
		if !ok {
			return ipc.ParentFinality{}, false
		}
		nonce, number = st.TopDownNonce, st.PowerChangeNonce
	}
	return a.cache.statement(t.Config, t.Candidate, nonce, number)
}

// resolve finds the statement behind a pooled digest and keeps it. False while
// this node's view of the parent does not reach that far.
func (a *app) resolve(rd recordReader, height uint64, digest common.Hash) (ipc.ParentFinality, bool) {
	type hop struct {
		height uint64
		digest common.Hash
	}
	// Walk down to a base whose nonces are known, then up again. Each step goes
	// to a lower parent height, so the walk ends.
	path := []hop{{height, digest}}
	var nonce, number uint64
	for {
		at := path[len(path)-1]
		if st, ok, err := load[ipc.ParentFinality](rd, hashKey(keyStatement, at.height, at.digest)); err == nil && ok {
			if path = path[:len(path)-1]; len(path) == 0 {
				return *st, true
			}
			nonce, number = st.TopDownNonce, st.PowerChangeNonce
			break
		}
		rec, ok, err := load[finalityRecord](rd, hashKey(keyFinality, at.height, at.digest))
		if err != nil || !ok {
			return ipc.ParentFinality{}, false
		}
		if rec.Base.Digest == (common.Hash{}) {
			nonce, number = rec.Base.Nonce, rec.Base.Number
			break
		}
		path = append(path, hop{rec.Base.Parent, rec.Base.Digest})
	}
	for _, at := range slices.Backward(path) {
		rec, ok, err := load[finalityRecord](rd, hashKey(keyFinality, at.height, at.digest))
		if err != nil || !ok {
			return ipc.ParentFinality{}, false
		}
		st, ok := a.cache.statement(rec.Config, at.height, nonce, number)
		if !ok || st.Digest(a.rules.parent) != at.digest {
			return ipc.ParentFinality{}, false
		}
		key := hashKey(keyStatement, at.height, at.digest)
		if err := a.store.write(map[string][]byte{string(key): encodeJSON(st)}); err != nil {
			a.log.Error("keep statement", "error", err)
			return ipc.ParentFinality{}, false
		}
		nonce, number = st.TopDownNonce, st.PowerChangeNonce
		if at.height == height {
			return st, true
		}
	}
	return ipc.ParentFinality{}, false
}

// wantedParents are the parent heights that this node needs to know exactly:
// the candidate's, those that may become it, and those of statements it cannot
// read yet.
func (a *app) wantedParents() []uint64 {
	s := a.current()
	var out []uint64
	if s.Now.Candidate != 0 {
		out = append(out, s.Now.Candidate)
	}
	for _, rep := range s.Reports {
		if rep.Parent > s.Latest.Parent {
			out = append(out, rep.Parent)
		}
	}
	_ = a.store.scan(numKey(keyFinality, 0), []byte{keyFinality + 1}, func(k, v []byte) bool {
		rec, ok, err := load[finalityRecord](rawReader(v), nil)
		if err == nil && ok && rec.Quorum != 0 {
			if have, err := a.store.get(append([]byte{keyStatement}, k[1:]...)); err == nil && have == nil {
				out = append(out, rec.Parent)
			}
		}
		return len(out) < 2*maxValidators
	})
	return out
}
