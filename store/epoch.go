package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// epoch counts the openings of one history of a namespace. The lineage is a
// random name given to a history when it begins, so that a fresh Redis with a
// high counter is not taken for the old one. The mark counts what was done under
// it: it tells an earlier state of one opening from a later one.
type epoch struct {
	counter uint64
	lineage string
	mark    uint64
}

// String is a line of the epoch file; Redis keeps the mark apart.
func (e epoch) String() string { return fmt.Sprintf("%d %s %d", e.counter, e.lineage, e.mark) }

func parseEpoch(s string) (epoch, bool) {
	f := strings.Fields(s)
	if len(f) == 2 {
		f = append(f, "0")
	}
	if len(f) != 3 || strings.Trim(f[1], "0123456789abcdef") != "" {
		return epoch{}, false
	}
	counter, err1 := strconv.ParseUint(f[0], 10, 53)
	mark, err2 := strconv.ParseUint(f[2], 10, 53)
	return epoch{counter, f[1], mark}, err1 == nil && err2 == nil
}

// takeEpoch checks schema and history and counts one opening. A death between
// the script and the file leaves the file behind Redis, which is harmless; the
// other order would lock the instance out.
func (db *DB) takeEpoch(ctx context.Context) error {
	seen, known, err := readEpoch(db.opt.EpochFile)
	if err != nil {
		return err
	}
	// What this process has seen counts as well as what the disk remembers.
	if l := db.lineage.Load(); l != nil && (!known || seen.lineage == *l) {
		seen, known = epoch{max(seen.counter, db.epoch.Load()), *l, max(seen.mark, db.mark.Load())}, true
	}
	args := []any{schema, token(), "", "0", "0", "0", short(db.opt.Instance), db.clock()}
	if known {
		args[2], args[3], args[4] = seen.lineage, seen.counter, seen.mark
	}
	if db.opt.AcceptForgotten {
		args[5] = "1"
	}
	var reply []string
	if err := db.retry(ctx, func() error {
		var err error
		reply, err = scriptOpen.s.Run(ctx, db.rdb, db.k.all(scriptOpen.keys), args...).StringSlice()
		return err
	}); err != nil {
		return err
	}
	switch reply[0] {
	case "SCHEMA":
		return fmt.Errorf("%w: it is version %q, this program reads %d: use the matching release, or another namespace", ErrSchema, reply[1], schema)
	case "FORGOT":
		return fmt.Errorf("%w, and has nothing of that history (the epoch file says %q, redis says %q): find the right Redis; if this is it and it lost everything, run `causeway rescan --accept-forgotten`", ErrForgot, seen, reply[1])
	}
	now, ok := parseEpoch(strings.Join(reply[1:], " "))
	if !ok {
		return fmt.Errorf("%w: unreadable epoch %q", ErrSchema, reply[1:])
	}
	if err := writeEpoch(db.opt.EpochFile, now); err != nil {
		return err
	}
	db.opt.AcceptForgotten = false // said once, meant once
	db.lineage.Store(&now.lineage)
	db.epoch.Store(now.counter)
	db.mark.Store(now.mark)
	db.kept = now
	return nil
}

// marked takes note of a mark that a script gave.
func (db *DB) marked(text string) {
	n := number(text)
	for {
		seen := db.mark.Load()
		if n <= seen || db.mark.CompareAndSwap(seen, n) {
			return
		}
	}
}

// keep writes what was seen so far to the epoch file, for the next process; not
// of a server that is no longer the one opened.
func (db *DB) keep() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	l := db.lineage.Load()
	if l == nil || db.usable() != nil {
		return nil
	}
	now := epoch{db.epoch.Load(), *l, db.mark.Load()}
	if now == db.kept {
		return nil
	}
	if err := writeEpoch(db.opt.EpochFile, now); err != nil {
		return err
	}
	db.kept = now
	return nil
}

func readEpoch(path string) (epoch, bool, error) {
	if path == "" {
		return epoch{}, false, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return epoch{}, false, nil
	}
	if err != nil {
		return epoch{}, false, fmt.Errorf("read epoch file: %w", err)
	}
	e, ok := parseEpoch(string(b))
	if !ok {
		// Not treated as absent: an unreadable guard is a guard.
		return epoch{}, false, fmt.Errorf("read epoch file: %q is not an epoch: restore it or, after a rescan, delete it", b[:min(len(b), 40)])
	}
	return e, true, nil
}

// writeEpoch replaces the file whole: new file, fsync, rename, fsync of the
// directory.
func writeEpoch(path string, e epoch) error {
	if path == "" {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("write epoch file: %w", err) }
	f, err := os.CreateTemp(filepath.Dir(path), ".epoch-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.WriteString(e.String() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fail(err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fail(err)
	}
	return nil
}
