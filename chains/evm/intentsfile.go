package evm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/gofrs/flock"
)

// intentsFile is the local copy of what this process signed: one line per
// attempt, "crc32 json", synced before the attempt is broadcast. It lets a
// process whose journal has forgotten know which of its nonces carry which
// bytes. Each line is a chains.Intent with exactly one attempt.
type intentsFile struct {
	path string
	lock *flock.Flock

	mu    sync.Mutex
	file  *os.File
	lines []chains.Intent
}

// errDamaged says that the file is broken other than by a torn last line.
var errDamaged = errors.New("intents file is damaged: find out which transactions of its accounts are pending before you move it away")

// openIntentsFile reads the file, cuts off a torn last line (those bytes were
// never broadcast, since the sync comes first) and locks it against other
// processes.
func openIntentsFile(path string) (*intentsFile, error) {
	f := &intentsFile{path: path, lock: flock.New(path + ".lock")}
	locked, err := f.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if !locked {
		return nil, errors.New("in use by another process")
	}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *intentsFile) load() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	f.file = file
	if err := syncDir(f.path); err != nil {
		return err
	}
	reader := bufio.NewReader(file)
	var good int64
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// No line end: torn, or empty.
			return f.cut(good)
		}
		if err != nil {
			return err
		}
		in, err := parseLine(line)
		if err != nil {
			if _, err := reader.Peek(1); errors.Is(err, io.EOF) {
				return f.cut(good)
			}
			return fmt.Errorf("line %d: %w", len(f.lines)+1, errDamaged)
		}
		f.lines = append(f.lines, in)
		good += int64(len(line))
	}
}

func (f *intentsFile) cut(to int64) error {
	if err := f.file.Truncate(to); err != nil {
		return err
	}
	return f.file.Sync()
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

// append adds one attempt and returns after it is on disk.
func (f *intentsFile) append(in chains.Intent, a chains.Attempt) error {
	in.Attempts = []chains.Attempt{a}
	in.State = chains.IntentSigned
	line, err := formatLine(in)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return os.ErrClosed
	}
	if _, err := f.file.Write(line); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
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

// compact keeps the wanted lines only. The new file is complete and synced
// before it takes the old one's name, so a crash leaves one or the other.
func (f *intentsFile) compact(keep func(chains.Intent) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
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
	next := f.path + ".new"
	file, err := os.OpenFile(next, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(buf.Bytes())
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(next, f.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	old := f.file
	f.file, f.lines = file, lines
	return errors.Join(old.Close(), syncDir(f.path))
}

func (f *intentsFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.file != nil {
		err = f.file.Close()
		f.file = nil
	}
	return errors.Join(err, f.lock.Unlock())
}

func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
