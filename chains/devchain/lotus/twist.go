package lotus

import (
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// forgedTx is what the hash of a forged log's transaction is of.
const forgedTx = "causeway forge"

// twist makes of the true logs what the switches say.
func (n *Node) twist(events []event, spec *ethtypes.EthFilterSpec) []event {
	set := n.Switches()
	if set.ShowRemoved && spec.BlockHash == nil {
		events = append(n.removed(spec), events...)
	}
	events = slices.DeleteFunc(events, func(e event) bool { return set.hides(e.at.epoch) })
	if i := set.DropLog - 1; i >= 0 && i < len(events) {
		events = slices.Delete(events, i, i+1)
	}
	if set.ForgeLog {
		events = n.forge(events, spec)
	}
	return events
}

// forge adds a log as the filter would have it, in the newest tipset it spans.
func (n *Node) forge(events []event, spec *ethtypes.EthFilterSpec) []event {
	v := n.view()
	t := v.latest()
	if spec.BlockHash != nil {
		if t = n.root.find(common.Hash(*spec.BlockHash)); t == nil {
			return events
		}
	} else if _, to, err := n.rangeOf(v, spec, 0); err == nil {
		t = v.at(to)
	}
	addresses, topics := n.selected(spec)
	l := &types.Log{Data: crypto.Keccak256([]byte(forgedTx)), TxHash: crypto.Keccak256Hash([]byte(forgedTx)), Index: 1 << 20}
	if len(addresses) > 0 {
		l.Address = addresses[0]
	}
	for _, values := range topics {
		if len(values) == 0 {
			values = []common.Hash{{}}
		}
		l.Topics = append(l.Topics, values[0])
	}
	return append(events, event{Log: l, at: t})
}

// removed are the logs, in the filter's range, of tipsets that are no more.
func (n *Node) removed(spec *ethtypes.EthFilterSpec) (out []event) {
	v := n.view()
	from, to, err := n.rangeOf(v, spec, 0)
	if err != nil {
		return nil
	}
	addresses, topics := n.selected(spec)
	for _, t := range n.root.orphans(v, from, to) {
		found, err := n.root.chain.LogsOf(n.quit, t.block, addresses, topics)
		if err != nil {
			continue // the block has been pruned
		}
		for _, l := range found {
			out = append(out, event{Log: l, at: t, removed: true})
		}
	}
	return out
}

// orphans are the tips of other branches in a range of epochs, oldest first.
func (r *Root) orphans(v view, from, to uint64) (out view) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range r.byHash {
		if t.epoch >= from && t.epoch <= to && !v.holds(t) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *tip) int { return int(a.epoch) - int(b.epoch) })
	return out
}
