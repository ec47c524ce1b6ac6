package node

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/ethereum/go-ethereum/common"
)

// Keys of the node's own database. Numbers are big-endian, so that a prefix
// iterates in order.
const (
	keyState      = 's' // height → chainState
	keyCheckpoint = 'c' // height → checkpointRecord
	keyFinality   = 'p' // parent height, digest → finalityRecord
	keyStatement  = 'q' // parent height, digest → statement, once resolved
	keyRoot       = 'o' // height → rootRecord
	keyRecovery   = 'r' // recovery number, digest → recoveryRecord
	keySigned     = 'h' // → highest parent height this node ever signed about, big-endian
	keySet        = 'v' // configuration → ipc.ValidatorSet
	keyBurnt      = 'b' // height → cumulative burnt wei, big-endian
	keySignSeq    = 'g' // → sequence of the signing state at the last commit
	keyUndo       = 'u' // height → what the block's writes replaced
	keyParent     = 'w' // the parent cache; see parentcache.go
)

// statesKept bounds how far a node may come back behind its newest state.
const statesKept = 512

func numKey(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func hashKey(kind byte, n uint64, h common.Hash) []byte {
	return append(numKey(kind, n), h[:]...)
}

// recordReader reads records; a draft reads through its own writes.
type recordReader interface {
	get(key []byte) ([]byte, error) // nil = absent
	// scan visits keys in [from, to) in order until f returns false.
	scan(from, to []byte, f func(key, value []byte) bool) error
}

// load decodes a record; false if absent.
func load[T any](r recordReader, key []byte) (*T, bool, error) {
	text, err := r.get(key)
	if err != nil || text == nil {
		return nil, false, err
	}
	v := new(T)
	if err := json.Unmarshal(text, v); err != nil {
		return nil, false, fmt.Errorf("decode record %q: %w", key[:1], err)
	}
	return v, true, nil
}

// store is the node's own database: derived state and the parent cache.
type store struct{ db dbm.DB }

func openStore(dir string) (*store, error) {
	db, err := dbm.NewGoLevelDB("causeway", dir)
	if err != nil {
		return nil, fmt.Errorf("open state database: %w", err)
	}
	return &store{db: db}, nil
}

func (s *store) get(key []byte) ([]byte, error) {
	v, err := s.db.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", key[:1], err)
	}
	return v, nil
}

func (s *store) scan(from, to []byte, f func(key, value []byte) bool) error {
	it, err := s.db.Iterator(from, to)
	if err != nil {
		return fmt.Errorf("scan %q: %w", from[:1], err)
	}
	for ; it.Valid(); it.Next() {
		if !f(append([]byte(nil), it.Key()...), append([]byte(nil), it.Value()...)) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// write applies puts and deletes in one batch with fsync. A nil value deletes.
func (s *store) write(changes map[string][]byte) error {
	b := s.db.NewBatch()
	defer b.Close()
	for k, v := range changes {
		var err error
		if v == nil {
			err = b.Delete([]byte(k))
		} else {
			err = b.Set([]byte(k), v)
		}
		if err != nil {
			return fmt.Errorf("write batch: %w", err)
		}
	}
	if err := b.WriteSync(); err != nil {
		return fmt.Errorf("write batch: %w", err)
	}
	return nil
}

func (s *store) close() error { return s.db.Close() }

// draft holds the writes of one block until Commit.
type draft struct {
	under   *store
	changes map[string][]byte
}

func newDraft(s *store) *draft { return &draft{under: s, changes: map[string][]byte{}} }

func (d *draft) get(key []byte) ([]byte, error) {
	if v, ok := d.changes[string(key)]; ok {
		return v, nil
	}
	return d.under.get(key)
}

// scan sees the store with the draft's own values over it. Keys that exist
// only in the draft come last; no caller depends on their order.
func (d *draft) scan(from, to []byte, f func(key, value []byte) bool) error {
	seen, stopped := map[string]bool{}, false
	err := d.under.scan(from, to, func(k, v []byte) bool {
		if own, ok := d.changes[string(k)]; ok {
			seen[string(k)] = true
			if own == nil {
				return true
			}
			v = own
		}
		stopped = !f(k, v)
		return !stopped
	})
	if err != nil || stopped {
		return err
	}
	for k, v := range d.changes {
		if v != nil && !seen[k] && k >= string(from) && k < string(to) && !f([]byte(k), v) {
			return nil
		}
	}
	return nil
}

// undo lists what the draft replaces: applied in reverse order of height it
// takes blocks back exactly.
func (d *draft) undo() (map[string][]byte, error) {
	old := make(map[string][]byte, len(d.changes))
	for k := range d.changes {
		v, err := d.under.get([]byte(k))
		if err != nil {
			return nil, err
		}
		old[k] = v
	}
	return old, nil
}

// commit writes the draft of a block, how to take it back, and the sequence of
// the signing state (which is never taken back) in one batch.
func (d *draft) commit(height, signSeq uint64) error {
	old, err := d.undo()
	if err != nil {
		return err
	}
	list := make([]replaced, 0, len(old))
	for k, v := range old {
		list = append(list, replaced{[]byte(k), v})
	}
	d.changes[string(numKey(keyUndo, height))] = encodeJSON(list)
	if height > statesKept {
		d.changes[string(numKey(keyUndo, height-statesKept))] = nil
	}
	d.changes[string([]byte{keySignSeq})] = binary.BigEndian.AppendUint64(nil, signSeq)
	return d.under.write(d.changes)
}

// replaced is a value a block's write replaced; nil = there was none.
type replaced struct {
	Key   []byte `json:"k"`
	Value []byte `json:"v"`
}

// newestState is the highest height with a state; false in an empty store.
func (s *store) newestState() (uint64, bool, error) {
	it, err := s.db.ReverseIterator([]byte{keyState}, []byte{keyState + 1})
	if err != nil {
		return 0, false, fmt.Errorf("find newest state: %w", err)
	}
	if !it.Valid() {
		return 0, false, errors.Join(it.Error(), it.Close())
	}
	height := binary.BigEndian.Uint64(it.Key()[1:])
	return height, true, errors.Join(it.Error(), it.Close())
}

// rewind takes back the writes of the blocks above height, newest first, each
// in one batch: a crash in between is continued by the next start.
func (s *store) rewind(height uint64) error {
	for {
		newest, ok, err := s.newestState()
		if err != nil || !ok || newest <= height {
			return err
		}
		list, ok, err := load[[]replaced](s, numKey(keyUndo, newest))
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("rewind state to %d: block %d cannot be taken back any more", height, newest)
		}
		changes := map[string][]byte{string(numKey(keyUndo, newest)): nil}
		for _, r := range *list {
			changes[string(r.Key)] = r.Value
		}
		if err := s.write(changes); err != nil {
			return fmt.Errorf("rewind state: %w", err)
		}
	}
}

func (d *draft) put(key []byte, v any) { d.changes[string(key)] = encodeJSON(v) }
func (d *draft) raw(key, v []byte)     { d.changes[string(key)] = v }
func (d *draft) remove(key []byte)     { d.changes[string(key)] = nil }
