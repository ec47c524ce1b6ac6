package lotus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/filecoin-project/go-jsonrpc"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// maxFeeds is how many filters and subscriptions a node has at once.
const maxFeeds = 100

// feed is what somebody has yet to be told: of blocks, or of logs if there is a
// spec.
type feed struct {
	spec *ethtypes.EthFilterSpec

	mu   sync.Mutex
	seen view // of which the follower knows
	end  context.CancelFunc
}

// settled is the part of a view that is executed.
func settled(v view) view { return v[:max(1, len(v)-1)] }

// news are the items since the last time: logs of tipsets that went as removed,
// then what came. A block's item is itself, or its hash alone.
func (n *Node) news(ctx context.Context, f *feed, whole bool) ([]json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := n.view()
	now := settled(v)
	gone, came := changes(f.seen, now)
	var out []json.RawMessage
	if f.spec != nil {
		addresses, topics := n.selected(f.spec)
		for _, t := range append(append(view{}, gone...), came...) {
			logs, err := n.root.chain.LogsOf(ctx, t.block, addresses, topics)
			if err != nil {
				return nil, fmt.Errorf("failed to get events for filter: %w", err)
			}
			for _, l := range logs {
				out = append(out, appendEvent(nil, event{Log: l, at: t, removed: !now.holds(t)}))
			}
		}
		f.seen = now
		return out, nil
	}
	for _, t := range came {
		if !whole {
			out = append(out, appendHex(nil, t.hash[:]))
			continue
		}
		b, err := n.blockOf(t, false)
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	f.seen = now
	return out, nil
}

// install keeps a feed under a new id.
func (n *Node) install(f *feed) (string, error) {
	var id [32]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	name := "0x" + hex.EncodeToString(id[:])
	f.seen = settled(n.view())
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.feeds) >= maxFeeds {
		return "", errors.New("maximum number of filters registered")
	}
	n.feeds[name] = f
	return name, nil
}

func (n *Node) feed(id string) (*feed, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.feeds[id]
	if f == nil {
		return nil, errors.New("filter not found")
	}
	return f, nil
}

// uninstall forgets a feed and ends its subscription.
func (n *Node) uninstall(id string) bool {
	n.mu.Lock()
	f := n.feeds[id]
	delete(n.feeds, id)
	n.mu.Unlock()
	if f != nil && f.end != nil {
		f.end()
	}
	return f != nil
}

// EthNewFilter follows logs.
func (h *handler) EthNewFilter(_ context.Context, spec ethtypes.EthFilterSpec) (string, error) {
	return h.n.install(&feed{spec: &spec})
}

// EthNewBlockFilter follows block hashes.
func (h *handler) EthNewBlockFilter(context.Context) (string, error) { return h.n.install(&feed{}) }

// EthGetFilterChanges is what came since the last time.
func (h *handler) EthGetFilterChanges(ctx context.Context, id string) ([]json.RawMessage, error) {
	f, err := h.n.feed(id)
	if err != nil {
		return nil, err
	}
	out, err := h.n.news(ctx, f, false)
	if out == nil {
		out = []json.RawMessage{}
	}
	return out, err
}

// EthGetFilterLogs are all logs of a filter.
func (h *handler) EthGetFilterLogs(ctx context.Context, id string) (json.RawMessage, error) {
	f, err := h.n.feed(id)
	if err != nil {
		return nil, err
	}
	if f.spec == nil {
		return nil, errors.New("wrong filter type")
	}
	events, err := h.n.logs(ctx, f.spec)
	if err != nil {
		return nil, err
	}
	return encodeEvents(h.n.twist(events, f.spec)), nil
}

// EthUninstallFilter ends a filter.
func (h *handler) EthUninstallFilter(_ context.Context, id string) (bool, error) {
	return h.n.uninstall(id), nil
}

// EthSubscribe sends heads or logs as they come: websockets only.
func (h *handler) EthSubscribe(ctx context.Context, p rawParams) (string, error) {
	params, err := jsonrpc.DecodeParams[ethtypes.EthSubscribeParams](p)
	if err != nil {
		return "", fmt.Errorf("decoding params: %w", err)
	}
	send, ok := jsonrpc.ExtractReverseClient[api.EthSubscriberMethods](ctx)
	if !ok {
		return "", errors.New("connection doesn't support callbacks")
	}
	f := &feed{}
	switch params.EventType {
	case "newHeads":
	case "logs":
		f.spec = &ethtypes.EthFilterSpec{}
		if params.Params != nil {
			f.spec.Address, f.spec.Topics = params.Params.Address, params.Params.Topics
		}
	default:
		return "", fmt.Errorf("unsupported event type: %s", params.EventType)
	}
	// The request's context ends with the request; the subscription with the
	// node, or when nobody takes what it sends.
	quit, end := context.WithCancel(h.n.quit)
	f.end = end
	id, err := h.n.install(f)
	if err != nil {
		end()
		return "", err
	}
	if !h.n.background(func() { h.n.deliver(quit, id, f, send) }) {
		return "", ErrClosed
	}
	return id, nil
}

// EthUnsubscribe ends a subscription.
func (h *handler) EthUnsubscribe(_ context.Context, id string) (bool, error) {
	return h.n.uninstall(id), nil
}

// deliver sends a subscription's items until it ends.
func (n *Node) deliver(quit context.Context, id string, f *feed, send api.EthSubscriberMethods) {
	rings, done := n.waker()
	defer done()
	defer n.uninstall(id)
	for {
		select {
		case <-rings:
		case <-quit.Done():
			return
		}
		items, err := n.news(quit, f, true)
		if err != nil {
			n.root.log.Warn("read for a subscription, ends it", "err", err)
			return
		}
		for _, item := range items {
			raw, err := json.Marshal(map[string]any{"subscription": id, "result": item})
			if err != nil || send.EthSubscription(quit, raw) != nil {
				return // the connection is gone
			}
		}
	}
}
