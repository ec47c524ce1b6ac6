package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
	"github.com/google/uuid"
)

// maxFile bounds what is read back of a file of ours.
const maxFile = 4 << 20

// file keeps the position in the tasks of a chain, and which of them wait for an
// execution. Where it is lost the tasks come again from the first, which changes
// nothing.
type file struct {
	path string

	mu   sync.Mutex
	kept kept
}

type kept struct {
	After uuid.UUID `json:"after"`
	// Waits are executions that the service has asked for, oldest first.
	Waits []execution `json:"waits"`
}

type execution struct {
	SourceChain string    `json:"source_chain"`
	MessageID   string    `json:"message_id"`
	Task        uuid.UUID `json:"task"`
}

func openFile(path string) (*file, error) {
	f := &file{path: path}
	if err := readJSON(path, &f.kept); err != nil {
		return nil, err
	}
	return f, nil
}

// Load implements gmpapi.Position.
func (f *file) Load(context.Context) (uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept.After, nil
}

// Save implements gmpapi.Position: what waits by then is written with it.
func (f *file) Save(_ context.Context, after uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.kept
	next.After = after
	if err := writeJSON(f.path, next); err != nil {
		return err
	}
	f.kept = next
	return nil
}

// wait notes an execution that the service asks for; the next Save writes it.
func (f *file) wait(m gmpapi.CrossChainID, task uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.without(m)
	if len(rest) >= maxKept {
		rest = rest[1:]
	}
	f.kept.Waits = append(rest, execution{m.SourceChain, m.MessageID, task})
}

// waits is the task that asked for the execution of a message.
func (f *file) waits(m gmpapi.CrossChainID) (uuid.UUID, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.kept.Waits {
		if x.SourceChain == m.SourceChain && x.MessageID == m.MessageID {
			return x.Task, true
		}
	}
	return uuid.Nil, false
}

// done forgets an execution that the service knows of.
func (f *file) done(m gmpapi.CrossChainID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.kept
	if next.Waits = f.without(m); len(next.Waits) == len(f.kept.Waits) {
		return nil
	}
	if err := writeJSON(f.path, next); err != nil {
		return err
	}
	f.kept = next
	return nil
}

func (f *file) without(m gmpapi.CrossChainID) []execution {
	var out []execution
	for _, x := range f.kept.Waits {
		if x.SourceChain != m.SourceChain || x.MessageID != m.MessageID {
			out = append(out, x)
		}
	}
	return out
}

// readJSON reads what writeJSON wrote; a file that is not there leaves v alone,
// and one that is damaged is an error: what it kept is not guessed.
func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil || len(raw) > maxFile || dec.More() {
		return fmt.Errorf("read %s: it is damaged; put it back from a copy, or remove it and read what that means in the README: %w", path, errors.Join(err, errDamaged))
	}
	return nil
}

var errDamaged = errors.New("not a file of this relayer")

// writeJSON replaces a file as a whole, and what it says is on disk when it
// returns.
func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := replace(path, raw); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func replace(path string, raw []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(raw)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
