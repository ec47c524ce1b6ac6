package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/ethereum/go-ethereum/common"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/ipc"
)

// The parent cache: what validators sign about the root, on disk. Keys below
// keyParent:
//
//	'h'           → parentHead
//	'm', nonce    → block, rolling hash after the message
//	'c', number   → block, rolling hash after the change
//	'b', height   → parentPoint
//	'a'           → anchor, of the newest recovery this cache began from
const (
	cacheHead    = "wh"
	cacheMessage = "wm"
	cacheChange  = "wc"
	cachePoint   = "wb"
	cacheAnchor  = "wa"

	maxAhead      = 200_000 // messages read beyond what the subnet has committed
	pointsKept    = 512
	foldEntrySize = 8 + 32
)

// parentHead is how far the parent was read and believed: everything below
// Next folds to these counts and hashes.
type parentHead struct {
	Next       uint64      `json:"next"`
	Hash       common.Hash `json:"hash"` // of block Next-1
	Messages   fold        `json:"messages"`
	Changes    fold        `json:"changes"`
	Checkpoint uint64      `json:"checkpoint"` // newest the root holds
}

// fold is a count with its rolling hash: for messages the next nonce, for
// power changes the highest number.
type fold struct {
	Count uint64      `json:"count"`
	Hash  common.Hash `json:"hash"`
}

// parentPoint is the parent at one height, believed at that very block hash.
type parentPoint struct {
	Height   uint64      `json:"height"`
	Hash     common.Hash `json:"hash"`
	Messages fold        `json:"messages"`
	Changes  fold        `json:"changes"`
}

// anchor is where a recovery executed on the root lets the subnet go on: the
// block of its execution and the prefix of both queues (PROTOCOL 10).
type anchor struct {
	Number   uint64      `json:"number"`
	Height   uint64      `json:"height"`
	Hash     common.Hash `json:"hash"`
	Messages fold        `json:"messages"`
	Changes  fold        `json:"changes"`
}

// statement is what the gateway will hold after the recovery.
func (a anchor) statement(config uint64) ipc.ParentFinality {
	return ipc.ParentFinality{
		SignerConfig: config, ParentHeight: a.Height, ParentHash: a.Hash,
		TopDownNonce: a.Messages.Count, TopDownHash: a.Messages.Hash,
		PowerChangeNonce: a.Changes.Count, PowerChangeHash: a.Changes.Hash,
	}
}

// lane is the rolling hashes of one queue. first is the fold before entries[0];
// entry i is the fold after item first.Count+i, so counts need no storage.
type lane struct {
	first   fold
	entries []foldEntry
}

type foldEntry struct {
	block uint64
	hash  common.Hash
}

func (l *lane) last() fold {
	if n := len(l.entries); n > 0 {
		return fold{l.first.Count + uint64(n), l.entries[n-1].hash}
	}
	return l.first
}

// at is the fold after count items; false if it was pruned or not read yet.
func (l *lane) at(count uint64) (fold, bool) {
	if count == l.first.Count {
		return l.first, true
	}
	if count < l.first.Count || count > l.first.Count+uint64(len(l.entries)) {
		return fold{}, false
	}
	return fold{count, l.entries[count-l.first.Count-1].hash}, true
}

// upTo is the fold at the end of a block.
func (l *lane) upTo(block uint64) fold {
	n := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].block > block })
	f, _ := l.at(l.first.Count + uint64(n))
	return f
}

// prune forgets the folds before count and returns how many entries went.
func (l *lane) prune(count uint64) int {
	f, ok := l.at(count)
	if !ok || count == l.first.Count {
		return 0
	}
	n := int(count - l.first.Count)
	l.entries = append([]foldEntry(nil), l.entries[n:]...)
	l.first = f
	return n
}

// parentCache is read by consensus and written by the watcher only.
type parentCache struct {
	store *store

	mu       sync.RWMutex
	head     parentHead
	messages lane
	changes  lane
	points   map[uint64]parentPoint
	loaded   bool
	anchor   *anchor // nil: the cache began from what the gateway had committed
	awaited  bool    // the gateway has not committed the anchor's recovery, as far as is known
	diverged error   // set: nothing about the parent is signed, and why
	reorged  error   // the same, for good: the cache itself is of another chain
}

// openParentCache reads the cache back; loaded stays false if there is none.
func openParentCache(s *store) (*parentCache, error) {
	c := &parentCache{store: s, points: map[uint64]parentPoint{}, diverged: errNotCompared}
	head, ok, err := load[parentHead](s, []byte(cacheHead))
	if err != nil || !ok {
		return c, err
	}
	c.head, c.loaded = *head, true
	if c.anchor, c.awaited, err = load[anchor](s, []byte(cacheAnchor)); err != nil {
		return nil, err
	}
	if c.messages, err = c.loadLane(cacheMessage, head.Messages); err != nil {
		return nil, err
	}
	if c.changes, err = c.loadLane(cacheChange, head.Changes); err != nil {
		return nil, err
	}
	err = s.scan([]byte(cachePoint), after(cachePoint), func(_, v []byte) bool {
		if p, ok, e := load[parentPoint](rawReader(v), nil); e == nil && ok {
			c.points[p.Height] = *p
		}
		return true
	})
	return c, err
}

// loadLane reads a queue's entries and checks that they end in the head. The
// entry before the first kept one carries the first fold.
func (c *parentCache) loadLane(prefix string, head fold) (lane, error) {
	var l lane
	started, bad := false, false
	err := c.store.scan([]byte(prefix), after(prefix), func(k, v []byte) bool {
		count := binary.BigEndian.Uint64(k[len(prefix):])
		if len(v) != foldEntrySize {
			bad = true
			return false
		}
		e := foldEntry{block: binary.BigEndian.Uint64(v), hash: common.BytesToHash(v[8:])}
		switch {
		case !started:
			l.first, started = fold{count, e.hash}, true
		case count != l.first.Count+uint64(len(l.entries))+1:
			bad = true
			return false
		default:
			l.entries = append(l.entries, e)
		}
		return true
	})
	if err == nil && (bad || !started || l.last() != head) {
		err = errors.New("parent cache is damaged")
	}
	return l, err
}

func after(prefix string) []byte {
	b := []byte(prefix)
	b[len(b)-1]++
	return b
}

func cacheKey(prefix string, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), n)
}

func (e foldEntry) encode() []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, foldEntrySize), e.block), e.hash[:]...)
}

// reset starts the cache anew from a believed head; a is the recovery that it
// begins from, nil where that is what the gateway holds.
func (c *parentCache) reset(head parentHead, a *anchor) error {
	changes := map[string][]byte{}
	err := c.store.scan([]byte{keyParent}, []byte{keyParent + 1}, func(k, _ []byte) bool {
		changes[string(k)] = nil
		return true
	})
	if err != nil {
		return err
	}
	changes[cacheHead] = encodeJSON(head)
	if a != nil {
		changes[cacheAnchor] = encodeJSON(a)
	}
	changes[string(cacheKey(cacheMessage, head.Messages.Count))] = foldEntry{hash: head.Messages.Hash}.encode()
	changes[string(cacheKey(cacheChange, head.Changes.Count))] = foldEntry{hash: head.Changes.Hash}.encode()
	if err := c.store.write(changes); err != nil {
		return fmt.Errorf("reset parent cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.loaded = head, true
	c.anchor, c.awaited = a, a != nil
	if a != nil {
		c.reorged, c.diverged = nil, errReading
	}
	c.messages, c.changes = lane{first: head.Messages}, lane{first: head.Changes}
	c.points = map[uint64]parentPoint{}
	return nil
}

// extend appends what a range of blocks brought, once it is believed. Memory
// changes after the disk: consensus never signs what a crash could forget.
func (c *parentCache) extend(head parentHead, messages, changes []foldEntry) error {
	puts := map[string][]byte{cacheHead: encodeJSON(head)}
	c.mu.RLock()
	m, n := c.messages.last().Count, c.changes.last().Count
	c.mu.RUnlock()
	for i, e := range messages {
		puts[string(cacheKey(cacheMessage, m+uint64(i)+1))] = e.encode()
	}
	for i, e := range changes {
		puts[string(cacheKey(cacheChange, n+uint64(i)+1))] = e.encode()
	}
	point := parentPoint{Height: head.Next - 1, Hash: head.Hash, Messages: head.Messages, Changes: head.Changes}
	puts[string(cacheKey(cachePoint, point.Height))] = encodeJSON(point)
	if err := c.store.write(puts); err != nil {
		return fmt.Errorf("extend parent cache: %w", err)
	}
	crash.At("node.after_cache_write")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = head
	c.messages.entries = append(c.messages.entries, messages...)
	c.changes.entries = append(c.changes.entries, changes...)
	c.points[point.Height] = point
	return nil
}

// addPoint records a height between two reads.
func (c *parentCache) addPoint(p parentPoint) error {
	if err := c.store.write(map[string][]byte{string(cacheKey(cachePoint, p.Height)): encodeJSON(p)}); err != nil {
		return fmt.Errorf("write parent point: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points[p.Height] = p
	return nil
}

// prune drops what the subnet has committed: folds before the committed
// counts, points below the committed height, and the oldest of too many.
func (c *parentCache) prune(committed ipc.ParentFinality) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := map[string][]byte{}
	drop := func(prefix string, l *lane, count uint64) {
		from := l.first.Count
		for i := range l.prune(count) {
			changes[string(cacheKey(prefix, from+uint64(i)))] = nil
		}
	}
	drop(cacheMessage, &c.messages, committed.TopDownNonce)
	drop(cacheChange, &c.changes, committed.PowerChangeNonce)
	heights := make([]uint64, 0, len(c.points))
	for h := range c.points {
		heights = append(heights, h)
	}
	sort.Slice(heights, func(i, j int) bool { return heights[i] < heights[j] })
	for i, h := range heights {
		if h < committed.ParentHeight || i < len(heights)-pointsKept {
			delete(c.points, h)
			changes[string(cacheKey(cachePoint, h))] = nil
		}
	}
	if len(changes) == 0 {
		return nil
	}
	if err := c.store.write(changes); err != nil {
		return fmt.Errorf("prune parent cache: %w", err)
	}
	return nil
}

// statement is what this node would sign: the parent at a height, moved on
// from base by no more than a statement may. False if the cache does not hold
// the height, or holds less than base.
func (c *parentCache) statement(config, height uint64, nonce, number uint64) (ipc.ParentFinality, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.points[height]
	if !ok || c.awaited || c.diverged != nil || c.reorged != nil || p.Messages.Count < nonce || p.Changes.Count < number {
		return ipc.ParentFinality{}, false
	}
	m, ok1 := c.messages.at(min(p.Messages.Count, nonce+maxNewMessages))
	n, ok2 := c.changes.at(min(p.Changes.Count, number+maxNewChanges))
	if !ok1 || !ok2 {
		return ipc.ParentFinality{}, false
	}
	return ipc.ParentFinality{
		SignerConfig: config, ParentHeight: height, ParentHash: p.Hash,
		TopDownNonce: m.Count, TopDownHash: m.Hash, PowerChangeNonce: n.Count, PowerChangeHash: n.Hash,
	}, true
}

// recovered tells which recovery the gateway has committed, and returns the
// anchor that still waits for it, if one does.
func (c *parentCache) recovered(number uint64) (anchor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = c.anchor != nil && c.anchor.Number > number
	if !c.awaited {
		return anchor{}, false
	}
	return *c.anchor, true
}

// began is the recovery that this cache began from, 0 where it was none.
func (c *parentCache) began() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.anchor == nil {
		return 0
	}
	return c.anchor.Number
}

// recovery is the anchor that this node vouches for: the gateway has yet to
// commit it, and the parent was read past it and folds to its prefix.
func (c *parentCache) recovery() (anchor, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.awaited || c.diverged != nil || c.reorged != nil || c.head.Next <= c.anchor.Height {
		return anchor{}, false
	}
	return *c.anchor, true
}

// newest is the newest believed parent block; zero before the first.
func (c *parentCache) newest() (height uint64, hash common.Hash, checkpoint uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.loaded || c.head.Hash == (common.Hash{}) {
		return 0, common.Hash{}, 0
	}
	return c.head.Next - 1, c.head.Hash, c.head.Checkpoint
}

func (c *parentCache) has(height uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.points[height]
	return ok
}

// setDiverged stops signing about the parent.
func (c *parentCache) setDiverged(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, chains.ErrReorg) {
		c.reorged = err
	} else {
		c.diverged = err
	}
}

// clearDiverged takes it back, but for a cache that is of another chain.
func (c *parentCache) clearDiverged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.diverged = nil
}

// astray says that the parent is not the one the subnet has committed, or not
// the one in the cache.
func (c *parentCache) astray() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reorged != nil || errors.Is(c.diverged, errDiverged)
}

// reading says that the parent has yet to be read anew up to a height, from a
// recovery that it folds to or not.
func (c *parentCache) reading(height uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.awaited && c.anchor.Height == height && c.head.Next <= height
}

// standing is nil while the parent's final chain is the one the subnet has
// committed, errNotCompared before the first look of this process, else what
// differs.
func (c *parentCache) standing() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return errors.Join(c.reorged, c.diverged)
}
