package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

var (
	// errIncomplete says that the logs of a range are not what the parent's own
	// counters and hashes say they must be: empty, cut short, or forged.
	errIncomplete = errors.New("parent logs do not fold to the parent's own hashes")
	// errDiverged says that the parent's final chain is not the one the subnet
	// has committed: nothing about it is signed until a person has looked.
	errDiverged = errors.New("final parent chain differs from the committed one")
	// errNotCompared says that this process has not looked yet: what an earlier
	// one left in the cache may be of a chain that is gone.
	errNotCompared = errors.New("parent not compared with the committed one yet")
	// errReading says that a recovery was executed and the parent is being read
	// anew from it.
	errReading = errors.New("parent is being read anew from an executed recovery")
	// errUnmendable says that a recovery was executed that this subnet cannot go
	// on from.
	errUnmendable = errors.New("executed recovery does not fit what the subnet holds")
)

const (
	maxHeldMessages = 200_000 // read but not yet believed
	parentTimeout   = 30 * time.Second
	maxParentPause  = 30 * time.Second
)

// watcher reads the parent into the cache. It is the only part of the node
// that talks to the parent; consensus reads the cache.
type watcher struct {
	g      Genesis
	parent Parent
	cache  *parentCache
	chain  subnetView
	log    *slog.Logger
	m      *metrics

	gateway *bindings.Gateway
	actor   *bindings.SubnetActor
}

// subnetView is what the watcher asks of the subnet: what the gateway holds of
// the parent, and the parent heights that wait for a look.
type subnetView interface {
	committed() (holding, error)
	wanted() []uint64
}

// holding is what the gateway holds of the parent.
type holding struct {
	ipc.ParentFinality        // the newest statement
	Recovered          uint64 // the newest recovery
	// What was applied of the queues, not only committed.
	Messages, Changes fold
	Signed            uint64 // highest parent height this validator ever signed about
}

func newWatcher(g Genesis, p Parent, c *parentCache, v subnetView, log *slog.Logger, m *metrics) *watcher {
	return &watcher{
		g: g, parent: p, cache: c, chain: v, log: log, m: m,
		gateway: bindings.NewGateway(), actor: bindings.NewSubnetActor(),
	}
}

// run looks at the parent until ctx ends. Trouble is retried for ever, ever
// slower: without the parent the subnet goes on, only nothing comes down.
func (w *watcher) run(ctx context.Context, every time.Duration) {
	pause := every
	for {
		news := chains.WakeOf(w.parent) // what comes during the look is news, too
		looked, cancel := context.WithTimeout(ctx, parentTimeout)
		err := w.step(looked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			pause = every
		default:
			w.m.parentErrors.WithLabelValues(reasonOf(err)).Inc()
			level := slog.LevelWarn
			if reasonOf(err) == "diverged" {
				level = slog.LevelError
			}
			w.log.Log(ctx, level, "look at the parent, will retry", "error", err)
			pause, news = min(2*pause, maxParentPause), nil
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-time.After(pause):
		}
	}
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, errDiverged), errors.Is(err, chains.ErrReorg), errors.Is(err, errUnmendable):
		return "diverged"
	case errors.Is(err, errIncomplete):
		return "incomplete"
	}
	return "unavailable"
}

// step is one look: read what is new, compare what is committed, visit the
// heights consensus asks for. After a fork below what is committed it looks for
// a recovery instead (PROTOCOL 10).
func (w *watcher) step(ctx context.Context) error {
	held, err := w.chain.committed()
	if err != nil {
		return err
	}
	err = w.look(ctx, held)
	if w.cache.astray() {
		if found, rerr := w.reanchor(ctx, held); rerr != nil || found {
			return rerr
		}
	}
	return err
}

func (w *watcher) look(ctx context.Context, held holding) error {
	// While a recovery waits to be committed, it is what counts.
	committed := held.ParentFinality
	if a, waits := w.cache.recovered(held.Recovered); waits {
		committed = a.statement(0)
	}
	if !w.cache.loaded {
		if err := w.begin(ctx, committed, committed, nil); err != nil {
			return fmt.Errorf("find the starting point: %w", err)
		}
	}
	if err := w.compare(ctx, committed); err != nil {
		return err
	}
	if err := w.readOn(ctx, committed); err != nil {
		return err
	}
	if err := w.visit(ctx, committed.ParentHeight); err != nil {
		return err
	}
	return w.cache.prune(committed)
}

// begin sets the cache to a pair of each queue that the parent had at or before
// the committed height: that of the subnet's own state, or of a recovery's
// prefix. Messages up to that height beyond the pair are found again by going
// back from it.
func (w *watcher) begin(ctx context.Context, committed, pair ipc.ParentFinality, a *anchor) error {
	head := parentHead{
		Next:     w.g.ParentStart,
		Messages: fold{Hash: w.g.Salt}, Changes: fold{Hash: w.g.Salt},
	}
	if committed.ParentHeight == 0 {
		return w.cache.reset(head, a)
	}
	head.Messages = fold{pair.TopDownNonce, pair.TopDownHash}
	head.Changes = fold{pair.PowerChangeNonce, pair.PowerChangeHash}
	block, err := w.parent.BlockByNumber(ctx, committed.ParentHeight)
	if err != nil {
		return fmt.Errorf("read block %d: %w", committed.ParentHeight, err)
	}
	if block.Hash != committed.ParentHash {
		return w.diverge(fmt.Errorf("height %d, here %s, committed %x: %w", committed.ParentHeight, block.Hash, committed.ParentHash, errDiverged))
	}
	for span := uint64(0); ; span = max(1000, 4*span) {
		from := w.g.ParentStart
		if committed.ParentHeight+1 > w.g.ParentStart+span {
			from = committed.ParentHeight + 1 - span
		}
		start, err := w.startsBefore(ctx, from, head)
		if err != nil {
			return err
		}
		if start || from == w.g.ParentStart {
			head.Next = from
			if from > w.g.ParentStart {
				before, err := w.parent.At(ctx, from-1)
				if err != nil {
					return fmt.Errorf("read block %d: %w", from-1, err)
				}
				head.Hash = before.Hash
			}
			return w.cache.reset(head, a)
		}
	}
}

// startsBefore says whether, before height from, the parent had sent no more
// than the pair covers: then reading from there misses nothing. Where it had
// sent just as much, the hashes must agree.
func (w *watcher) startsBefore(ctx context.Context, from uint64, head parentHead) (bool, error) {
	if from <= w.g.ParentStart {
		return true, nil
	}
	block, err := w.parent.At(ctx, from-1)
	if err != nil {
		return false, fmt.Errorf("read block %d: %w", from-1, err)
	}
	messages, changes, err := w.counters(ctx, block.Hash)
	if err != nil {
		// No state that far back: the pair lies in the part that is kept, or
		// the beginning is.
		w.log.Debug("parent has no state there", "height", from-1, "error", err)
		return false, nil
	}
	for _, of := range [][2]fold{{messages, head.Messages}, {changes, head.Changes}} {
		if of[0].Count == of[1].Count && of[0].Hash != of[1].Hash {
			return false, fmt.Errorf("height %d, count %d: %w", from-1, of[0].Count, errIncomplete)
		}
	}
	return messages.Count <= head.Messages.Count && changes.Count <= head.Changes.Count, nil
}

// counters are the parent's own rolling hashes at a block.
func (w *watcher) counters(ctx context.Context, at common.Hash) (messages, changes fold, err error) {
	out, err := w.parent.Call(ctx, w.g.RootGateway, w.gateway.PackGetTopDownHash(w.subnetID()), at)
	if err != nil {
		return fold{}, fold{}, fmt.Errorf("call getTopDownHash: %w", err)
	}
	m, err := w.gateway.UnpackGetTopDownHash(out)
	if err != nil {
		return fold{}, fold{}, fmt.Errorf("unpack getTopDownHash: %w", err)
	}
	if out, err = w.parent.Call(ctx, w.g.SubnetActor, w.actor.PackPowerChangeHash(), at); err != nil {
		return fold{}, fold{}, fmt.Errorf("call powerChangeHash: %w", err)
	}
	c, err := w.actor.UnpackPowerChangeHash(out)
	if err != nil {
		return fold{}, fold{}, fmt.Errorf("unpack powerChangeHash: %w", err)
	}
	return fold{m.Nonce, m.Hash}, fold{c.Number, c.Hash}, nil
}

// checkpointAt is the newest checkpoint the root holds at a block.
func (w *watcher) checkpointAt(ctx context.Context, at common.Hash) (uint64, error) {
	out, err := w.parent.Call(ctx, w.g.SubnetActor, w.actor.PackLastBottomUpCheckpointHeight(), at)
	if err != nil {
		return 0, fmt.Errorf("call lastBottomUpCheckpointHeight: %w", err)
	}
	h, err := w.actor.UnpackLastBottomUpCheckpointHeight(out)
	if err != nil || !h.IsUint64() {
		return 0, fmt.Errorf("unpack lastBottomUpCheckpointHeight: %w", errors.Join(err, errIncomplete))
	}
	return h.Uint64(), nil
}

func (w *watcher) subnetID() bindings.SubnetID {
	return bindings.SubnetID{Root: w.g.SubnetID.Root, Route: w.g.SubnetID.Route}
}

// compare checks the committed statement against this node's own view
// (PROTOCOL 10): the block hash, and the content where it is known.
func (w *watcher) compare(ctx context.Context, committed ipc.ParentFinality) error {
	height := committed.ParentHeight
	if height == 0 || height < w.g.ParentStart {
		w.agree()
		return nil
	}
	block, err := w.parent.BlockByNumber(ctx, height)
	if err != nil {
		return fmt.Errorf("read block %d: %w", height, err)
	}
	diverged := block.Hash != committed.ParentHash
	if !diverged && w.cache.reading(height) {
		return nil // nothing to compare with before the parent was read that far
	}
	w.cache.mu.RLock()
	m, known := w.cache.messages.at(committed.TopDownNonce)
	diverged = diverged || known && m.Hash != committed.TopDownHash
	c, known := w.cache.changes.at(committed.PowerChangeNonce)
	diverged = diverged || known && c.Hash != committed.PowerChangeHash
	w.cache.mu.RUnlock()
	if diverged {
		return w.diverge(fmt.Errorf("height %d, here %s, committed %x: %w", height, block.Hash, committed.ParentHash, errDiverged))
	}
	w.agree()
	return nil
}

// diverge stops top-down signing and raises what status, metric and readiness
// show.
func (w *watcher) diverge(err error) error {
	w.cache.setDiverged(err)
	w.m.diverged.Set(1)
	return err
}

// agree takes it back: an endpoint that was on a fork for a while may come
// back. A reorg below the cursor does not heal: the cache itself is then of
// another chain.
func (w *watcher) agree() {
	w.cache.clearDiverged()
	if w.cache.standing() == nil {
		w.m.diverged.Set(0)
	}
}

// readOn reads from the cache's head to the parent's, in ranges. A range is
// believed when it folds to the parent's hashes at its last block; where the
// parent no longer has that state, the next ranges are read on top of it and
// believed together.
func (w *watcher) readOn(ctx context.Context, committed ipc.ParentFinality) error {
	top, err := w.parent.Head(ctx)
	if err != nil {
		return fmt.Errorf("read parent head: %w", w.noteReorg(err))
	}
	w.cache.mu.RLock()
	next := w.cache.head
	next.Messages, next.Changes = w.cache.messages.last(), w.cache.changes.last()
	w.cache.mu.RUnlock()
	if top.Number < next.Next {
		return nil
	}
	if next.Messages.Count > committed.TopDownNonce+maxAhead {
		w.log.Debug("parent is far ahead of the subnet, waiting")
		return nil
	}
	var messages, changes []foldEntry
	for next.Next <= top.Number {
		last, events, err := w.parent.Events(ctx, chains.Query{
			From:   chains.Cursor{Chain: w.g.RootChainID, Next: next.Next, Parent: next.Hash},
			To:     top.Number,
			Filter: w.filter(),
		})
		if err != nil {
			return fmt.Errorf("read events from %d: %w", next.Next, w.noteReorg(err))
		}
		if last.Number < next.Next || last.Number > top.Number || last.Hash == (common.Hash{}) {
			return fmt.Errorf("read events from %d: answer ends at %d: %w", next.Next, last.Number, errIncomplete)
		}
		held := next
		if held, messages, changes, err = w.fold(held, events, last, committed, messages, changes); err != nil {
			return err
		}
		held.Next, held.Hash = last.Number+1, last.Hash
		next = held

		m, c, err := w.counters(ctx, last.Hash)
		if err == nil && last.Number < committed.ParentHeight && (m.Count < next.Messages.Count || c.Count < next.Changes.Count) {
			// The pair that was begun from lies ahead.
			err = fmt.Errorf("block %d is before the pair begun from: %w", last.Number, errIncomplete)
		}
		if err != nil {
			if last.Number < top.Number && len(messages)+len(changes) < maxHeldMessages && ctx.Err() == nil {
				w.log.Debug("nothing to compare with there", "height", last.Number, "error", err)
				continue
			}
			return err
		}
		if m != next.Messages || c != next.Changes {
			return fmt.Errorf("block %d: %d messages and %d changes, parent counts %d and %d: %w",
				last.Number, next.Messages.Count, next.Changes.Count, m.Count, c.Count, errIncomplete)
		}
		if next.Checkpoint, err = w.checkpointAt(ctx, last.Hash); err != nil {
			return err
		}
		if err := w.cache.extend(next, messages, changes); err != nil {
			return err
		}
		messages, changes = nil, nil
		w.m.parentHeight.Set(float64(last.Number))
	}
	return nil
}

// noteReorg stops top-down signing when a final block of the parent changed.
func (w *watcher) noteReorg(err error) error {
	if errors.Is(err, chains.ErrReorg) {
		return w.diverge(err)
	}
	return err
}

func (w *watcher) filter() chains.Filter {
	return chains.Filter{
		Addresses: []common.Address{w.g.RootGateway, w.g.SubnetActor},
		Topics:    []common.Hash{ipc.TopicNewTopDownMessage, ipc.TopicNewPowerChangeRequest},
	}
}

// fold takes the events of a range. Numbers have no gaps; what the committed
// pair covers already is skipped, which happens only in the blocks begin went
// back to.
func (w *watcher) fold(at parentHead, events []chains.Event, last chains.Block, committed ipc.ParentFinality,
	messages, changes []foldEntry) (parentHead, []foldEntry, []foldEntry, error) {
	fail := func(e chains.Event, what string) error {
		return fmt.Errorf("block %d, log %d: %s: %w", e.Block, e.Index, what, errIncomplete)
	}
	for _, e := range events {
		if e.Block < at.Next || e.Block > last.Number || len(e.Topics) == 0 {
			return at, nil, nil, fail(e, "outside the range")
		}
		switch {
		case e.Address == w.g.RootGateway && e.Topics[0] == ipc.TopicNewTopDownMessage:
			if len(e.Topics) != 3 || common.BytesToAddress(e.Topics[1][:]) != w.g.SubnetActor {
				continue // another subnet's
			}
			msg, err := ipc.DecodeEnvelope(e.Data)
			if err != nil {
				return at, nil, nil, fmt.Errorf("block %d, log %d: %w", e.Block, e.Index, err)
			}
			if msg.LocalNonce < at.Messages.Count && e.Block <= committed.ParentHeight {
				continue
			}
			if msg.LocalNonce != at.Messages.Count {
				return at, nil, nil, fail(e, fmt.Sprintf("message %d, want %d", msg.LocalNonce, at.Messages.Count))
			}
			at.Messages = fold{at.Messages.Count + 1, ipc.Roll(at.Messages.Hash, msg.Hash())}
			messages = append(messages, foldEntry{e.Block, at.Messages.Hash})

		case e.Address == w.g.SubnetActor && e.Topics[0] == ipc.TopicNewPowerChangeRequest:
			ev, err := w.actor.UnpackNewPowerChangeRequestEvent(&types.Log{Address: e.Address, Topics: e.Topics, Data: e.Data})
			if err != nil {
				return at, nil, nil, fmt.Errorf("block %d, log %d: %w", e.Block, e.Index, err)
			}
			if ev.ConfigurationNumber <= at.Changes.Count && e.Block <= committed.ParentHeight {
				continue
			}
			if ev.ConfigurationNumber != at.Changes.Count+1 {
				return at, nil, nil, fail(e, fmt.Sprintf("change %d, want %d", ev.ConfigurationNumber, at.Changes.Count+1))
			}
			change := ipc.PowerChangeRequest{
				Change:              ipc.PowerChange{Op: ev.Op, Payload: ev.Payload, Validator: ev.Validator},
				ConfigurationNumber: ev.ConfigurationNumber,
			}
			at.Changes = fold{at.Changes.Count + 1, ipc.Roll(at.Changes.Hash, change.Hash())}
			changes = append(changes, foldEntry{e.Block, at.Changes.Hash})
		}
	}
	return at, messages, changes, nil
}

// visit looks at heights between two reads that consensus wants statements
// about, each believed at its own block hash. Those at or below what is
// committed will never be asked about.
func (w *watcher) visit(ctx context.Context, committed uint64) error {
	heights := w.chain.wanted()
	slices.Sort(heights)
	for _, h := range slices.Compact(heights) {
		w.cache.mu.RLock()
		ready := h > committed && h >= w.g.ParentStart && h < w.cache.head.Next
		m, c := w.cache.messages.upTo(h), w.cache.changes.upTo(h)
		ready = ready && m.Count >= w.cache.messages.first.Count
		w.cache.mu.RUnlock()
		if !ready || w.cache.has(h) {
			continue
		}
		block, err := w.parent.At(ctx, h)
		if err != nil {
			return fmt.Errorf("read block %d: %w", h, err)
		}
		if block.Number != h {
			continue // a null round: nobody honest names one, and it holds nothing up
		}
		rm, rc, err := w.counters(ctx, block.Hash)
		if err != nil {
			return err
		}
		if rm != m || rc != c {
			return fmt.Errorf("block %d: %w", h, errIncomplete)
		}
		if err := w.cache.addPoint(parentPoint{Height: h, Hash: block.Hash, Messages: m, Changes: c}); err != nil {
			return err
		}
	}
	return nil
}
