package node

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// After the root forked below what the subnet had committed, nothing is signed
// about it. A recovery that a quorum of the root's own set proposed there, and
// that was executed after its timelock, ends that (PROTOCOL 10): the parent
// cache begins anew from it, and once what this node reads folds to its prefix,
// it signs going on from there. It signs nothing else about the root until the
// gateway has committed that.

// reanchor looks for an executed recovery, final in this node's own view, and
// begins the cache anew from it; or from what the gateway holds, where it has
// committed one that this cache is from before.
func (w *watcher) reanchor(ctx context.Context, held holding) (bool, error) {
	if held.Recovered > w.cache.began() {
		a := anchor{
			Number: held.Recovered, Height: held.ParentHeight, Hash: held.ParentHash,
			Messages: fold{held.TopDownNonce, held.TopDownHash}, Changes: fold{held.PowerChangeNonce, held.PowerChangeHash},
		}
		return true, w.beginFrom(ctx, a, held.ParentFinality)
	}
	a, ok, err := w.executed(ctx)
	if err != nil || !ok || a.Number <= held.Recovered {
		return false, err
	}
	if at, waits := w.cache.recovered(held.Recovered); waits && a == at {
		return false, nil // begun from it before, and the root forked again
	}
	pair, err := startOf(a, held)
	if err != nil {
		return false, w.diverge(fmt.Errorf("%w: %w", errDiverged, err))
	}
	return true, w.beginFrom(ctx, a, pair)
}

func (w *watcher) beginFrom(ctx context.Context, a anchor, pair ipc.ParentFinality) error {
	if err := w.begin(ctx, a.statement(0), pair, &a); err != nil {
		return fmt.Errorf("begin from recovery %d: %w", a.Number, err)
	}
	w.log.Warn("reading the parent anew from a recovery", "number", a.Number, "height", a.Height, "messages", a.Messages.Count)
	return nil
}

// executed is the newest executed recovery at the parent's final head.
func (w *watcher) executed(ctx context.Context) (anchor, bool, error) {
	top, err := w.parent.Head(ctx)
	if err != nil {
		return anchor{}, false, fmt.Errorf("read parent head: %w", err)
	}
	out, err := w.parent.Call(ctx, w.g.RootGateway, w.gateway.PackGetRecoveries(w.subnetID()), top.Hash)
	if err != nil {
		return anchor{}, false, fmt.Errorf("call getRecoveries: %w", err)
	}
	r, err := w.gateway.UnpackGetRecoveries(out)
	if err != nil {
		return anchor{}, false, fmt.Errorf("unpack getRecoveries: %w", err)
	}
	if r.Executed.Number == 0 || r.ExecutedBlock > top.Number {
		return anchor{}, false, nil
	}
	block, err := w.parent.BlockByNumber(ctx, r.ExecutedBlock)
	if err != nil {
		return anchor{}, false, fmt.Errorf("read block %d: %w", r.ExecutedBlock, err)
	}
	return anchor{
		Number: r.Executed.Number, Height: block.Number, Hash: block.Hash,
		Messages: fold{r.Executed.TopDownNonce, r.Executed.TopDownHash},
		Changes:  fold{r.Executed.PowerChangeNonce, r.Executed.PowerChangeHash},
	}, true, nil
}

// startOf is the pair from which the parent is read anew: the recovery's prefix,
// or what the subnet has applied where that is less, so that both are proven to
// lie on this parent. It fails with errUnmendable where the gateway would refuse
// the recovery.
func startOf(a anchor, held holding) (ipc.ParentFinality, error) {
	start := a.statement(0)
	switch {
	case a.Changes != held.Changes:
		return start, fmt.Errorf("recovery %d keeps power changes up to %d (%x), the subnet holds %d (%x): %w",
			a.Number, a.Changes.Count, a.Changes.Hash, held.Changes.Count, held.Changes.Hash, errUnmendable)
	case a.Messages.Count == held.Messages.Count && a.Messages.Hash != held.Messages.Hash:
		return start, fmt.Errorf("recovery %d ends at message %d with another hash than what was applied: %w", a.Number, a.Messages.Count, errUnmendable)
	case a.Height <= max(held.ParentHeight, held.Signed):
		// What was signed above could be carried after the recovery.
		return start, fmt.Errorf("recovery %d was executed at parent height %d, committed are %d and signed %d: propose another: %w",
			a.Number, a.Height, held.ParentHeight, held.Signed, errUnmendable)
	case held.Messages.Count < a.Messages.Count:
		start.TopDownNonce, start.TopDownHash = held.Messages.Count, held.Messages.Hash
	}
	return start, nil
}

// recoveryToSign is the recovery this validator signs now, if there is one. A
// validator that has signed about a higher parent block does not: its signature
// there could still be carried on top of the recovery.
func (a *app) recoveryToSign(s *chainState) (ipc.ParentRecovery, bool) {
	at, ok := a.cache.recovery()
	if !ok || at.Number <= s.Recovered {
		return ipc.ParentRecovery{}, false
	}
	if highest, err := a.highestSigned(); err != nil || at.Height <= highest {
		return ipc.ParentRecovery{}, false
	}
	return ipc.ParentRecovery{Number: at.Number, Anchor: at.statement(s.Asked.Config)}, true
}

// highestSigned is the highest parent height this node ever signed about.
func (a *app) highestSigned() (uint64, error) {
	v, err := a.store.get([]byte{keySigned})
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

// noteSigned remembers, before it is signed, that something is about a parent
// height.
func (a *app) noteSigned(height uint64) error {
	highest, err := a.highestSigned()
	if err != nil || height <= highest {
		return err
	}
	return a.store.write(map[string][]byte{string([]byte{keySigned}): binary.BigEndian.AppendUint64(nil, height)})
}

// Recovery is a recovery with the signatures that let the gateway go on.
type Recovery struct {
	Number uint64    `json:"number"`
	Anchor Statement `json:"anchor"`
	Bundle
}

// ParentRecovery answers causeway_parentRecovery: the recovery that the gateway
// has yet to commit, with a quorum under the configuration it counts now; null
// while there is none, or this node does not vouch for it itself.
func (s *api) ParentRecovery(context.Context) (*Recovery, error) {
	at, ok := s.app.cache.recovery()
	now := s.app.current()
	if !ok || at.Number <= now.Recovered {
		return nil, nil
	}
	st := ipc.ParentRecovery{Number: at.Number, Anchor: at.statement(now.Now.Config)}
	rec, ok, err := load[recoveryRecord](s.app.store, hashKey(keyRecovery, at.Number, st.Digest(s.app.rules.parent)))
	if err != nil || !ok || rec.Quorum == 0 {
		return nil, err
	}
	b, err := s.bundle(&rec.pool)
	if err != nil {
		return nil, err
	}
	return &Recovery{Number: at.Number, Anchor: statementOf(st.Anchor), Bundle: b}, nil
}

func statementOf(p ipc.ParentFinality) Statement {
	return Statement{
		p.SignerConfig, p.ParentHeight, p.ParentHash, p.TopDownNonce, p.TopDownHash, p.PowerChangeNonce, p.PowerChangeHash,
	}
}
