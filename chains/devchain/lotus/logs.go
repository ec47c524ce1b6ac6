package lotus

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

var errTooMany = errors.New("filter matches too many events, try a more restricted filter")

// event is a log and the tip that has it.
type event struct {
	*types.Log
	at      *tip
	removed bool
}

// EthGetLogs are the logs of a range of epochs, or of one tipset by its hash.
func (h *handler) EthGetLogs(ctx context.Context, p rawParams) (json.RawMessage, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	var spec ethtypes.EthFilterSpec
	if err := required(args, 0, &spec); err != nil {
		return nil, err
	}
	events, err := h.n.logs(ctx, &spec)
	if err != nil {
		return nil, err
	}
	return encodeEvents(h.n.twist(events, &spec)), nil
}

// logs answers a filter, within the node's limits.
func (n *Node) logs(ctx context.Context, spec *ethtypes.EthFilterSpec) ([]event, error) {
	v, set := n.view(), n.Switches()
	addresses, topics := n.selected(spec)
	if spec.BlockHash != nil {
		if spec.FromBlock != nil || spec.ToBlock != nil {
			return nil, errors.New("failed to parse eth filter spec: must not specify block hash and from/to block")
		}
		return n.logsOf(ctx, v, common.Hash(*spec.BlockHash), addresses, topics)
	}
	from, to, err := n.rangeOf(v, spec, set.MaxRange)
	if err != nil {
		return nil, err
	}
	first, last := v.index(from), v.index(to)
	if v[first].epoch < from {
		first++
	}
	var out []event
	if first <= last {
		if out, err = n.between(ctx, v, v[first], v[last], addresses, topics); err != nil {
			return nil, err
		}
	}
	if set.MaxResults > 0 && len(out) > set.MaxResults {
		return nil, fmt.Errorf("failed to get events for filter from chain indexer: %w", errTooMany)
	}
	return out, nil
}

// between are the logs from one tip of a view to another. The chain below is
// asked for the range as a whole while it has the last tip, before and after:
// in a reorg, or where the view is of another branch, it is tip by tip.
func (n *Node) between(ctx context.Context, v view, first, last *tip, addresses []common.Address, topics [][]common.Hash) ([]event, error) {
	var out []event
	if n.root.chain.Canonical(last.number) == last.block {
		found, err := n.root.chain.LogsBetween(ctx, first.number, last.number, addresses, topics)
		if err == nil && n.root.chain.Canonical(last.number) == last.block {
			return n.placed(v, found)
		}
	}
	for i := v.index(first.epoch); i < len(v) && v[i].epoch <= last.epoch; i++ {
		found, err := n.logsOf(ctx, v, v[i].hash, addresses, topics)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// placed says of which tip each log is.
func (n *Node) placed(v view, logs []*types.Log) ([]event, error) {
	out := make([]event, 0, len(logs))
	for _, l := range logs {
		t := n.root.above(l.BlockHash)
		if t == nil || !v.holds(t) {
			return nil, fmt.Errorf("[BUG] log of block %s, which is not in the chain", l.BlockHash)
		}
		out = append(out, event{Log: l, at: t})
	}
	return out, nil
}

// logsOf are the logs of one tipset of any branch: removed where it is not in
// the chain.
func (n *Node) logsOf(ctx context.Context, v view, hash common.Hash, addresses []common.Address, topics [][]common.Hash) ([]event, error) {
	t, err := n.hashed(v, hash)
	if err != nil {
		return nil, fmt.Errorf("failed to get tipset by cid: %w", err)
	}
	if t.epoch >= v.head().epoch && t.epoch > 0 {
		return nil, errors.New("cannot ask for events for a tipset at or greater than head")
	}
	found, err := n.root.chain.LogsOf(ctx, t.block, addresses, topics)
	if err != nil {
		return nil, fmt.Errorf("failed to get events for filter from chain indexer: %w", err)
	}
	out := make([]event, len(found))
	for i, l := range found {
		out[i] = event{Log: l, at: t, removed: !v.holds(t)}
	}
	return out, nil
}

// rangeOf is the range of epochs that a filter means, in Lotus' reading.
func (n *Node) rangeOf(v view, spec *ethtypes.EthFilterSpec, limit uint64) (from, to uint64, err error) {
	newest := max(v.head().epoch, 1) - 1
	from, to = newest, newest
	open := true // up to the newest, whichever that is
	if s := spec.FromBlock; s != nil && *s != "latest" && *s != "" {
		if from, err = epochOf(*s, "FromBlock"); err != nil {
			return 0, 0, err
		}
	}
	if s := spec.ToBlock; s != nil && *s != "latest" && *s != "" {
		open = false
		if to, err = epochOf(*s, "ToBlock"); err != nil {
			return 0, 0, err
		}
	}
	if limit == 0 {
		limit = math.MaxUint64
	}
	const parse = "failed to parse eth filter spec: invalid epoch range: "
	switch {
	case open && newest > from && newest-from > limit:
		return 0, 0, fmt.Errorf(parse+"from block is too far in the past (maximum: %d)", limit)
	case !open && from > to:
		return 0, 0, fmt.Errorf(parse+"to block (%d) must be after from block (%d)", from, to)
	case !open && to-from > limit:
		return 0, 0, n.tooWide(limit, to-from)
	case from >= v.head().epoch && v.head().epoch > 0, to >= v.head().epoch && v.head().epoch > 0:
		return 0, 0, errors.New("cannot ask for events for a tipset at or greater than head")
	}
	return from, to, n.reach(from)
}

// tooWide says so as the node's version does.
func (n *Node) tooWide(limit, got uint64) error {
	if n.Switches().since(35, 1) {
		return &coded{code: -32005, message: fmt.Sprintf("block range exceeds maximum of %d (got %d)", limit, got)}
	}
	return fmt.Errorf("failed to parse eth filter spec: invalid epoch range: range between to and from blocks is too large (maximum: %d)", limit)
}

func epochOf(s, name string) (uint64, error) {
	if s == "earliest" {
		return 0, nil
	}
	if !strings.HasPrefix(s, "0x") {
		return 0, fmt.Errorf("failed to parse eth filter spec: %s is not a hex", name)
	}
	e, err := ethtypes.EthUint64FromHex(s)
	if err != nil || e > math.MaxInt64 {
		return 0, errors.New("failed to parse eth filter spec: invalid epoch")
	}
	return uint64(e), nil
}

// selected are a filter's addresses and topics in the EVM's types.
func (n *Node) selected(spec *ethtypes.EthFilterSpec) (addresses []common.Address, topics [][]common.Hash) {
	for _, a := range spec.Address {
		addresses = append(addresses, n.root.ids.unmask(common.Address(a)))
	}
	for _, values := range spec.Topics {
		var alternatives []common.Hash
		for _, t := range values {
			alternatives = append(alternatives, common.Hash(t))
		}
		topics = append(topics, alternatives)
	}
	return addresses, topics
}

// encodeEvents writes a list of logs. By hand: with thousands of them the
// encoder would be most of the answer's time.
func encodeEvents(events []event) json.RawMessage {
	size := 2
	for _, e := range events {
		size += 520 + 2*len(e.Data) + 70*len(e.Topics)
	}
	b := append(make([]byte, 0, size), '[')
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, e)
	}
	return append(b, ']')
}

func appendEvent(b []byte, e event) []byte {
	b = appendHex(append(b, `{"address":`...), e.Address[:])
	b = appendHex(append(b, `,"data":`...), e.Data)
	b = append(b, `,"topics":[`...)
	for i := range e.Topics {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendHex(b, e.Topics[i][:])
	}
	b = strconv.AppendBool(append(b, `],"removed":`...), e.removed)
	b = appendNumber(append(b, `,"logIndex":`...), uint64(e.Index))
	b = appendNumber(append(b, `,"transactionIndex":`...), uint64(e.TxIndex))
	b = appendHex(append(b, `,"transactionHash":`...), e.TxHash[:])
	b = appendHex(append(b, `,"blockHash":`...), e.at.hash[:])
	b = appendNumber(append(b, `,"blockNumber":`...), e.at.epoch)
	return append(b, '}')
}

func appendHex(b, data []byte) []byte {
	b = hex.AppendEncode(append(b, `"0x`...), data)
	return append(b, '"')
}

func appendNumber(b []byte, n uint64) []byte {
	b = strconv.AppendUint(append(b, `"0x`...), n, 16)
	return append(b, '"')
}
