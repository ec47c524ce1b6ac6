package lotus

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/ipfs/go-cid"
)

// handler is what a node answers; its methods are JSON-RPC methods of the same
// name under "Filecoin.", those that begin with Eth also under "eth_".
type handler struct{ n *Node }

// maxChanges to one notification.
const maxChanges = 100

// Version says which Lotus this is.
func (h *handler) Version(context.Context) (api.APIVersion, error) {
	return api.APIVersion{
		Version: h.n.Switches().Version, APIVersion: api.FullAPIVersion1,
		BlockDelay: h.n.root.cfg.delay(), Agent: "lotus",
	}, nil
}

// StateNetworkName is the name of the network.
func (h *handler) StateNetworkName(context.Context) (string, error) {
	return h.n.root.cfg.NetworkName, nil
}

// ChainHead is the heaviest tipset.
func (h *handler) ChainHead(context.Context) (*types.TipSet, error) {
	return h.n.root.tipset(h.n.view().head())
}

// ChainGetGenesis is the tipset of epoch 0.
func (h *handler) ChainGetGenesis(context.Context) (*types.TipSet, error) {
	v := h.n.view()
	if h.n.Switches().WrongGenesis {
		t, err := h.n.otherGenesis(v)
		if err != nil {
			return nil, err
		}
		return h.n.root.tipset(t)
	}
	return h.n.root.tipset(v[0])
}

// ChainGetTipSet is a tipset of any branch by its key; the empty key is the
// head's.
func (h *handler) ChainGetTipSet(_ context.Context, key types.TipSetKey) (*types.TipSet, error) {
	t, err := h.n.keyed(key)
	if err != nil {
		return nil, err
	}
	if err := h.n.reach(t.epoch); err != nil {
		return nil, err
	}
	return h.n.root.tipset(t)
}

// ChainGetTipSetByHeight is the tipset at an epoch, or the newest below it when
// that was a null round, in the chain that ends at key.
func (h *handler) ChainGetTipSetByHeight(_ context.Context, epoch abi.ChainEpoch, key types.TipSetKey) (*types.TipSet, error) {
	v, err := h.n.upTo(epoch, key)
	if err != nil {
		return nil, err
	}
	return h.n.root.tipset(v.at(uint64(epoch)))
}

// ChainGetTipSetAfterHeight is the tipset at an epoch, or the oldest above it.
func (h *handler) ChainGetTipSetAfterHeight(_ context.Context, epoch abi.ChainEpoch, key types.TipSetKey) (*types.TipSet, error) {
	v, err := h.n.upTo(epoch, key)
	if err != nil {
		return nil, err
	}
	i := v.index(uint64(epoch))
	if v[i].epoch < uint64(epoch) {
		i++
	}
	return h.n.root.tipset(v[i])
}

// ChainGetFinalizedTipSet is what the node calls final.
func (h *handler) ChainGetFinalizedTipSet(context.Context) (*types.TipSet, error) {
	return h.n.root.tipset(h.n.finalized(h.n.view()))
}

// ChainGetBlock is the header of one block by its CID.
func (h *handler) ChainGetBlock(_ context.Context, id cid.Cid) (*types.BlockHeader, error) {
	v := h.n.view()
	for i := len(v) - 1; i >= 0; i-- {
		for _, c := range v[i].key.Cids() {
			if !c.Equals(id) {
				continue
			}
			ts, err := h.n.root.tipset(v[i])
			if err != nil {
				return nil, err
			}
			for _, b := range ts.Blocks() {
				if b.Cid().Equals(id) {
					return b, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("ipld: could not find %s", id)
}

// ChainNotify sends the head, and then each change of it: websockets only.
func (h *handler) ChainNotify(ctx context.Context) (<-chan []*api.HeadChange, error) {
	seen := h.n.view()
	current, err := h.n.root.tipset(seen.head())
	if err != nil {
		return nil, err
	}
	out := make(chan []*api.HeadChange)
	first := []*api.HeadChange{{Type: "current", Val: current}}
	if !h.n.background(func() { h.n.notify(ctx, seen, first, out) }) {
		return nil, ErrClosed
	}
	return out, nil
}

// notify sends what it is given and then each change since seen, until the
// connection or the node ends.
func (n *Node) notify(ctx context.Context, seen view, next []*api.HeadChange, out chan<- []*api.HeadChange) {
	rings, done := n.waker()
	defer close(out)
	defer done()
	for {
		for len(next) > 0 {
			part := next[:min(len(next), maxChanges)]
			select {
			case out <- part:
				next = next[len(part):]
			case <-ctx.Done():
				return
			case <-n.quit.Done():
				return
			}
		}
		now := n.view()
		next = n.headChanges(seen, now)
		seen = now
		if len(next) > 0 {
			continue
		}
		select {
		case <-rings:
		case <-ctx.Done():
			return
		case <-n.quit.Done():
			return
		}
	}
}

// headChanges tells how one view became another.
func (n *Node) headChanges(old, now view) (out []*api.HeadChange) {
	gone, came := changes(old, now)
	list := func(kind string, tips view) {
		for _, t := range tips {
			ts, err := n.root.tipset(t)
			if err != nil {
				n.root.log.Warn("notify of tipset", "err", err)
				continue
			}
			out = append(out, &api.HeadChange{Type: kind, Val: ts})
		}
	}
	list("revert", gone)
	list("apply", came)
	return out
}

// keyed is the tip that a key names.
func (n *Node) keyed(key types.TipSetKey) (*tip, error) {
	if key.IsEmpty() {
		return n.view().head(), nil
	}
	hash, err := hashOf(key)
	if err != nil {
		return nil, err
	}
	t := n.root.find(hash)
	if t == nil {
		return nil, fmt.Errorf("loading tipset %s: ipld: could not find %s", key, key.Cids()[0])
	}
	return t, nil
}

// upTo is the chain that ends at key, if it reaches an epoch.
func (n *Node) upTo(epoch abi.ChainEpoch, key types.TipSetKey) (view, error) {
	if epoch < 0 {
		return nil, errors.New("bad tipset height: negative height")
	}
	v := n.view()
	if !key.IsEmpty() {
		t, err := n.keyed(key)
		if err != nil {
			return nil, fmt.Errorf("loading tipset %s: %w", key, err)
		}
		v = chainOf(v, t)
	}
	if uint64(epoch) > v.head().epoch {
		return nil, errors.New("looking for tipset with height greater than start point")
	}
	return v, n.reach(uint64(epoch))
}

// chainOf is the chain that ends at a tip: a part of v, or another branch.
func chainOf(v view, t *tip) view {
	if v.holds(t) {
		return v[:v.index(t.epoch)+1]
	}
	var own view
	for at := t; at != nil; at = at.parent {
		own = append(own, at)
	}
	for i, j := 0, len(own)-1; i < j; i, j = i+1, j-1 {
		own[i], own[j] = own[j], own[i]
	}
	return own
}

// reach refuses what lies below the node's look-back.
func (n *Node) reach(epoch uint64) error {
	back := n.Switches().Lookback
	if head := n.view().head().epoch; back > 0 && epoch+back < head {
		return fmt.Errorf("bad tipset height: lookbacks of more than %s are disallowed", n.root.span(back))
	}
	return nil
}
