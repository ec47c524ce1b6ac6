package evm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"os"
	"strconv"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/core/types"
)

// intentsFile is the local copy of what this process signed: one line per
// attempt, "crc32 json", safe on its disk before the attempt is broadcast. It
// lets a process whose journal has forgotten know which of its nonces carry
// which bytes. Each line is a chains.Intent with exactly one attempt.
type intentsFile struct {
	mu    sync.Mutex
	disk  Disk // nil once closed
	lines []chains.Intent
}

// errDamaged says that the file is broken other than by a torn last line.
var errDamaged = errors.New("intents file is damaged: find out which transactions of its accounts are pending before you move it away")

// newIntentsFile reads what the disk holds and cuts off a torn last line: those
// bytes were never broadcast, since they are made safe first.
func newIntentsFile(disk Disk) (*intentsFile, error) {
	f := &intentsFile{disk: disk}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *intentsFile) load() error {
	all, err := f.disk.Load()
	if err != nil {
		return err
	}
	for rest := all; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			// No line end: torn.
			return f.disk.Replace(all[:len(all)-len(rest)])
		}
		in, err := parseLine(rest[:end])
		if err != nil {
			if end == len(rest) {
				return f.disk.Replace(all[:len(all)-len(rest)])
			}
			return fmt.Errorf("line %d: %w", len(f.lines)+1, errDamaged)
		}
		f.lines, rest = append(f.lines, in), rest[end:]
	}
	return nil
}

func formatLine(in chains.Intent) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(body), body), nil
}

// parseLine reads one line and checks that its bytes are the transaction it
// says: of this chain, account and nonce.
func parseLine(line []byte) (chains.Intent, error) {
	var in chains.Intent
	line = bytes.TrimSuffix(line, []byte("\n"))
	sum, body, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return in, errDamaged
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != crc32.ChecksumIEEE(body) {
		return in, errDamaged
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Attempts) != 1 {
		return in, errDamaged
	}
	if err := checkAttempt(in, in.Attempts[0]); err != nil {
		return in, err
	}
	return in, nil
}

// checkAttempt says whether stored bytes are a transaction of the intent's
// account, chain and nonce.
func checkAttempt(in chains.Intent, a chains.Attempt) error {
	var tx types.Transaction
	if err := tx.UnmarshalBinary(a.Raw); err != nil {
		return fmt.Errorf("attempt does not decode: %w", errDamaged)
	}
	from, err := types.Sender(types.LatestSignerForChainID(new(big.Int).SetUint64(uint64(in.Chain))), &tx)
	if err != nil || from != in.Account || tx.Nonce() != in.Nonce || tx.Hash() != a.Hash {
		return fmt.Errorf("attempt is another transaction: %w", errDamaged)
	}
	return nil
}

// append adds one attempt and returns after it is safe.
func (f *intentsFile) append(in chains.Intent, a chains.Attempt) error {
	in.Attempts = []chains.Attempt{a}
	in.State = chains.IntentSigned
	line, err := formatLine(in)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil {
		return os.ErrClosed
	}
	if err := f.disk.Append(line); err != nil {
		return err
	}
	f.lines = append(f.lines, in)
	return nil
}

// intents are the lines joined by chain, account and nonce, attempts in order.
// Two lines of one nonce with different keys stay apart.
func (f *intentsFile) intents() []chains.Intent {
	f.mu.Lock()
	defer f.mu.Unlock()
	type id struct {
		chain chains.ID
		who   string
		nonce uint64
		key   string
	}
	at := map[id]int{}
	var out []chains.Intent
	for _, in := range f.lines {
		k := id{in.Chain, in.Account.Hex(), in.Nonce, in.Key}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			in.Attempts = append([]chains.Attempt(nil), in.Attempts...)
			out = append(out, in)
			continue
		}
		out[i].Abandoned = out[i].Abandoned || in.Abandoned
		out[i].Attempts = append(out[i].Attempts, in.Attempts...)
	}
	return out
}

func (f *intentsFile) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lines)
}

// compact keeps the wanted lines only.
func (f *intentsFile) compact(keep func(chains.Intent) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil {
		return os.ErrClosed
	}
	var lines []chains.Intent
	var buf bytes.Buffer
	for _, in := range f.lines {
		if !keep(in) {
			continue
		}
		line, err := formatLine(in)
		if err != nil {
			return err
		}
		lines = append(lines, in)
		buf.Write(line)
	}
	if len(lines) == len(f.lines) {
		return nil
	}
	if err := f.disk.Replace(buf.Bytes()); err != nil {
		return err
	}
	f.lines = lines
	return nil
}

func (f *intentsFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil {
		return nil
	}
	err := f.disk.Close()
	f.disk = nil
	return err
}
