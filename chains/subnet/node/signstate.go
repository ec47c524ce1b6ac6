package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/ipc"
)

// The signing state is an append-only file of fixed records:
// sequence | kind | scope | key | digest | crc32. A record of kind|0x80 is a
// floor: nothing of that kind at or below its key is signed any more unless
// its own record is still there. Compaction rewrites the file and goes on
// counting.
const (
	signRecordLen  = 8 + 1 + 8 + 8 + 32 + 4
	signFloor      = 0x80
	signCompactAt  = 200_000 // records
	signKeepOnTrim = 50_000  // newest names kept, per kind
)

type signState struct {
	mu     sync.Mutex
	file   *os.File
	path   string
	seq    uint64
	count  int
	signed map[SignName]common.Hash
	floor  map[ipc.ItemKind]uint64
	broken error // an append failed: the file's tail is unknown, so no more signing
}

// openSignState reads the file, or makes an empty one. A torn record at the
// end was never answered for and is cut off; damage anywhere else is an error.
func openSignState(path string) (*signState, error) {
	s := &signState{path: path, signed: map[SignName]common.Hash{}, floor: map[ipc.ItemKind]uint64{}}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open signing state: %w", err)
	}
	text, err := io.ReadAll(f)
	if err == nil {
		err = s.load(text)
	}
	good := int64(s.count) * signRecordLen
	if err == nil && int64(len(text)) != good {
		if err = f.Truncate(good); err == nil {
			err = f.Sync()
		}
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read signing state: %w", err), f.Close())
	}
	s.file = f
	return s, nil
}

func (s *signState) load(text []byte) error {
	for off := 0; off < len(text); off += signRecordLen {
		if len(text)-off < signRecordLen {
			return nil
		}
		r := text[off : off+signRecordLen]
		seq := binary.BigEndian.Uint64(r)
		if crc32.ChecksumIEEE(r[:signRecordLen-4]) != binary.BigEndian.Uint32(r[signRecordLen-4:]) {
			if off+signRecordLen == len(text) {
				return nil
			}
			return fmt.Errorf("record %d is damaged", s.count)
		}
		if s.count > 0 && seq != s.seq+1 {
			return fmt.Errorf("record %d is out of sequence", s.count)
		}
		name := SignName{Kind: ipc.ItemKind(r[8] &^ signFloor), Scope: binary.BigEndian.Uint64(r[9:]), Key: binary.BigEndian.Uint64(r[17:])}
		if r[8]&signFloor != 0 {
			s.floor[name.Kind] = name.Key
		} else {
			s.signed[name] = common.BytesToHash(r[25:57])
		}
		s.seq, s.count = seq, s.count+1
	}
	return nil
}

// record makes it durable that digest is the one signed under name. It returns
// nil again for the same digest.
func (s *signState) record(name SignName, digest common.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return fmt.Errorf("record signature: %w", s.broken)
	}
	if have, ok := s.signed[name]; ok {
		if have != digest {
			return fmt.Errorf("sign %s %d: %w", name.Kind, name.Key, ErrConflict)
		}
		return nil
	}
	if name.Key <= s.floor[name.Kind] {
		return fmt.Errorf("sign %s %d, floor %d: %w", name.Kind, name.Key, s.floor[name.Kind], ErrRolledBack)
	}
	if s.count >= signCompactAt {
		if err := s.compact(); err != nil {
			return fmt.Errorf("compact signing state: %w", err)
		}
	}
	crash.At("node.before_item_sign")
	if err := s.append(s.file, byte(name.Kind), name, digest); err != nil {
		s.broken = err
		return fmt.Errorf("record signature: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		s.broken = err
		return fmt.Errorf("record signature: %w", err)
	}
	crash.At("node.after_item_persist")
	s.signed[name] = digest
	return nil
}

func (s *signState) append(f *os.File, kind byte, name SignName, digest common.Hash) error {
	r := make([]byte, 0, signRecordLen)
	r = binary.BigEndian.AppendUint64(r, s.seq+1)
	r = append(r, kind)
	r = binary.BigEndian.AppendUint64(r, name.Scope)
	r = binary.BigEndian.AppendUint64(r, name.Key)
	r = append(r, digest[:]...)
	r = binary.BigEndian.AppendUint32(r, crc32.ChecksumIEEE(r))
	if _, err := f.Write(r); err != nil {
		return err
	}
	s.seq++
	s.count++
	return nil
}

// compact rewrites the file with the newest names of each kind and floors
// below them. The old file stays until the new one is complete and durable.
func (s *signState) compact() error {
	byKind := map[ipc.ItemKind][]SignName{}
	for n := range s.signed {
		byKind[n.Kind] = append(byKind[n.Kind], n)
	}
	tmp := s.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	old := s.file
	s.count = 0
	for kind, names := range byKind {
		slices.SortFunc(names, func(a, b SignName) int {
			if a.Key != b.Key {
				return compareUint64(a.Key, b.Key)
			}
			return compareUint64(a.Scope, b.Scope)
		})
		cut := max(0, len(names)-signKeepOnTrim)
		for _, n := range names[:cut] {
			s.floor[kind] = max(s.floor[kind], n.Key)
			delete(s.signed, n)
		}
		if floor := s.floor[kind]; floor > 0 {
			err = errors.Join(err, s.append(f, byte(kind)|signFloor, SignName{Kind: kind, Key: floor}, common.Hash{}))
		}
		for _, n := range names[cut:] {
			err = errors.Join(err, s.append(f, byte(kind), n, s.signed[n]))
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, s.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(s.path))
	}
	if err != nil {
		s.broken = err
		return errors.Join(err, f.Close())
	}
	s.file = f
	return old.Close()
}

// sequence counts every record ever written: it only grows.
func (s *signState) sequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

func (s *signState) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = os.ErrClosed
	}
	return s.file.Close()
}

// compareUint64 orders ascending.
func compareUint64(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
