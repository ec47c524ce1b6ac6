package lotus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"
)

// recordsFile lists the tipsets, a line each, in the order they came to be.
const recordsFile = "tipsets.jsonl"

// record is what a tip is made from again. A record with Drop first takes that
// many tips off the chain: a reorg.
type record struct {
	Drop    int         `json:"drop,omitempty"`
	Epoch   uint64      `json:"epoch"`
	Block   common.Hash `json:"block"`
	Salt    uint64      `json:"salt"`
	Width   int         `json:"width"`
	BaseFee *big.Int    `json:"base_fee"`
	// Final is the epoch up to which F3 had certified by then.
	Final uint64 `json:"final,omitempty"`
}

// records is the file of tipsets; nil keeps none.
type records struct {
	file *os.File
	kept []record // what was there at the start
	// finals are the epochs at which F3's instances ended, in their order.
	finals []uint64
}

// openRecords reads the file. A torn last line was never served and is cut off.
func openRecords(dir string) (*records, error) {
	path := filepath.Join(dir, recordsFile)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read tipsets: %w", err)
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	kept, finals, err := readRecords(raw[:whole])
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open tipsets: %w", err)
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, errors.Join(fmt.Errorf("cut tipsets: %w", err), f.Close())
	}
	if _, err := f.Seek(int64(whole), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("seek tipsets: %w", err), f.Close())
	}
	return &records{file: f, kept: kept, finals: finals}, nil
}

// readRecords plays the records: what is left of the tips, and F3's instances,
// which no reorg undoes.
func readRecords(raw []byte) (kept []record, finals []uint64, err error) {
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		var rec record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			return nil, nil, fmt.Errorf("tipset record %d: %w", n, err)
		}
		if rec.Drop < 0 || rec.Drop > len(kept) || rec.Width < 1 || rec.Width > 3 || rec.BaseFee == nil || rec.BaseFee.Sign() < 0 {
			return nil, nil, fmt.Errorf("tipset record %d is out of bounds", n)
		}
		kept = append(kept[:len(kept)-rec.Drop], rec)
		if rec.Final > 0 && (len(finals) == 0 || rec.Final > finals[len(finals)-1]) {
			finals = append(finals, rec.Final)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, fmt.Errorf("read tipsets: %w", err)
	}
	return kept, finals, nil
}

// add writes tips, after taking drop off the chain, as a whole and to disk.
func (r *records) add(drop int, final uint64, tips ...*tip) error {
	if r == nil {
		return nil
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, t := range tips {
		rec := record{Drop: drop, Epoch: t.epoch, Block: t.block, Salt: t.salt, Width: t.width, BaseFee: t.baseFee, Final: final}
		drop = 0
		if err := enc.Encode(rec); err != nil {
			return fmt.Errorf("encode tipset: %w", err)
		}
	}
	if _, err := r.file.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("write tipset: %w", err)
	}
	if err := r.file.Sync(); err != nil {
		return fmt.Errorf("sync tipset: %w", err)
	}
	return nil
}

func (r *records) close() error { return r.file.Close() }
