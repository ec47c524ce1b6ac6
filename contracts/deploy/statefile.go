package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

const (
	journalVersion = 1
	maxStateFile   = 64 << 20
)

// record is one transaction, written before it is sent.
type record struct {
	Name  string         `json:"name"`
	From  common.Address `json:"from"`
	Nonce uint64         `json:"nonce"`
	Hash  common.Hash    `json:"hash"`
	Raw   hexutil.Bytes  `json:"raw"`
}

type journalFile struct {
	Version    int         `json:"version"`
	ChainID    uint64      `json:"chain_id"`
	Genesis    common.Hash `json:"genesis_hash"`
	StartBlock uint64      `json:"start_block"`
	Txs        []record    `json:"txs"`
}

func (j *journal) load() error {
	info, err := os.Stat(j.env.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read state file: %w", err)
	}
	if info.Size() > maxStateFile {
		return fmt.Errorf("state file of %d bytes is no state file", info.Size())
	}
	raw, err := os.ReadFile(j.env.StateFile)
	if err != nil {
		return fmt.Errorf("read state file: %w", err)
	}
	var got journalFile
	if err := decodeStrict(raw, &got); err != nil {
		return fmt.Errorf("decode state file: %w", err)
	}
	if got.Version != journalVersion {
		return fmt.Errorf("state file has version %d, this program writes %d", got.Version, journalVersion)
	}
	if got.ChainID != j.file.ChainID || got.Genesis != j.file.Genesis {
		return fmt.Errorf("%w: it was written for chain %d with another genesis block", ErrOtherState, got.ChainID)
	}
	for _, r := range got.Txs {
		tx, err := r.tx()
		if err != nil {
			return fmt.Errorf("state file, step %s: %w", r.Name, err)
		}
		from, err := types.Sender(types.LatestSignerForChainID(j.chainID), tx)
		if err != nil || tx.Hash() != r.Hash || tx.Nonce() != r.Nonce || from != r.From {
			return fmt.Errorf("state file, step %s: its bytes are another transaction", r.Name)
		}
	}
	j.file, j.saved = got, len(got.Txs)
	return nil
}

func (r record) tx() (*types.Transaction, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(r.Raw); err != nil {
		return nil, fmt.Errorf("decode transaction: %w", err)
	}
	return tx, nil
}

func (j *journal) save() error {
	if j.env.StateFile != "" {
		if err := writeJSON(j.env.StateFile, j.file); err != nil {
			return err
		}
	}
	j.saved = len(j.file.Txs)
	return nil
}

// writeJSON replaces a file as a whole: after a kill it is the old one or the
// new one.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // no longer there once renamed
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// decodeStrict refuses unknown fields and trailing bytes.
func decodeStrict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more than one value")
	}
	return nil
}
