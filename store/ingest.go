package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
)

// maxBatch bounds what one script takes, so that no ingest holds Redis for
// seconds; a watcher that meets it reads a shorter range.
const maxBatch = 10_000

// ErrBatch says that one call brought more than 10,000 jobs and facts.
var ErrBatch = errors.New("too many jobs and facts for one write: read a shorter range")

func encodeCursor(c chains.Cursor) string {
	return fmt.Sprintf("%d %d %s", uint64(c.Chain), c.Next, c.Parent.Hex())
}

func decodeCursor(s string) (chains.Cursor, error) {
	f := strings.Fields(s)
	if len(f) != 3 {
		return chains.Cursor{}, fmt.Errorf("%w: unreadable cursor %q", ErrSchema, s)
	}
	id, err1 := strconv.ParseUint(f[0], 10, 64)
	next, err2 := strconv.ParseUint(f[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return chains.Cursor{}, fmt.Errorf("%w: unreadable cursor: %w", ErrSchema, err)
	}
	return chains.Cursor{Chain: chains.ID(id), Next: next, Parent: common.HexToHash(f[2])}, nil
}

// Cursor says how far a chain has been read; false before InitCursor.
func (db *DB) Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error) {
	var get *redis.StringCmd
	if err := db.read(ctx, func(p redis.Pipeliner) { get = p.HGet(ctx, db.k.of("cursors"), chain) }); err != nil {
		return chains.Cursor{}, false, fmt.Errorf("read cursor: %w", err)
	}
	if errors.Is(get.Err(), redis.Nil) {
		return chains.Cursor{}, false, nil
	}
	c, err := decodeCursor(get.Val())
	return c, err == nil, err
}

// InitCursor sets the cursor of a chain that has none and leaves others alone.
func (db *DB) InitCursor(ctx context.Context, chain string, c chains.Cursor) error {
	if err := word("chain", chain, false); err != nil {
		return err
	}
	err := db.retry(ctx, func() error {
		if err := db.usable(); err != nil {
			return err
		}
		return db.rdb.HSetNX(ctx, db.k.of("cursors"), chain, encodeCursor(c)).Err()
	})
	if err != nil {
		return fmt.Errorf("set first cursor: %w", err)
	}
	return nil
}

// Ingest writes what a range of final blocks held and moves the chain's cursor
// past it: all of it or nothing. It returns ErrCursor when the stored cursor is
// not from, so that a range can be neither skipped nor counted twice, and
// ErrFull when there is no room. Jobs that exist are left alone; facts are kept,
// and decide whoever waits for them, now or later.
//
// With to equal to from the cursor stays and only what is brought goes in: a
// part of a block too large for one call. The next part, or the same one again,
// may follow at any time.
func (db *DB) Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []NewJob, facts []Fact) error {
	if err := word("chain", chain, false); err != nil {
		return err
	}
	if to.Chain != from.Chain || to.Next < from.Next || to.Next == from.Next && to.Parent != from.Parent {
		return fmt.Errorf("%w: cursor from %d on chain %s to %d on chain %s", ErrInvalid, from.Next, from.Chain, to.Next, to.Chain)
	}
	if len(jobs)+len(facts) > maxBatch {
		return ErrBatch
	}
	crash.At("store.before_ingest")
	_, _, err := db.ingest(ctx, chain, encodeCursor(from), encodeCursor(to), trail(chain, from, to, jobs, facts), jobs, facts)
	crash.At("store.after_ingest")
	return err
}

// Backfill is Ingest for rescans: it never touches a cursor. It says how many
// transfers it made and how many it moved on. It may be split over several
// writes; doing it again changes nothing.
func (db *DB) Backfill(ctx context.Context, chain string, jobs []NewJob, facts []Fact) (created, advanced int, err error) {
	return db.fill(ctx, chain, "", jobs, facts)
}

func (db *DB) fill(ctx context.Context, chain, mode string, jobs []NewJob, facts []Fact) (created, advanced int, err error) {
	if err := word("chain", chain, false); err != nil {
		return 0, 0, err
	}
	for len(jobs)+len(facts) > 0 {
		f := facts[:min(len(facts), maxBatch)]
		j := jobs[:min(len(jobs), maxBatch-len(f))]
		var recorded []string
		if mode == "" { // a fork is read again from its beginning, whatever happens
			recorded = trail(chain, chains.Cursor{}, chains.Cursor{}, j, f)
		}
		c, a, err := db.ingest(ctx, chain, mode, "", recorded, j, f)
		created, advanced = created+c, advanced+a
		if err != nil {
			return created, advanced, err
		}
		facts, jobs = facts[len(f):], jobs[len(j):]
	}
	return created, advanced, nil
}

// trail lists the blocks of an ingest that a fork can be found by.
func trail(chain string, from, to chains.Cursor, jobs []NewJob, facts []Fact) []string {
	seen := map[string]bool{}
	var out []string
	add := func(height uint64, hash common.Hash) {
		if row := trailRow(chain, height, hash); hash != (common.Hash{}) && !seen[row] {
			seen[row], out = true, append(out, row)
		}
	}
	for _, j := range jobs {
		if j.Chain == "" || j.Chain == chain {
			add(j.Transfer.Height, j.BlockHash)
		}
	}
	for _, f := range facts {
		if f.Chain == chain {
			add(f.Height, f.BlockHash)
		}
	}
	if to.Next > from.Next {
		add(to.Next-1, to.Parent)
	}
	return out
}

// ingest moves no cursor when given none: from is "" then, or "fork".
func (db *DB) ingest(ctx context.Context, chain, from, to string, trail []string, jobs []NewJob, facts []Fact) (int, int, error) {
	// Nearly full: what is left is for settling. An empty range may still move
	// the cursor, it takes no room.
	if db.full.Load() && len(jobs)+len(facts) > 0 {
		return 0, 0, ErrFull
	}
	args := make([]any, 0, 5+len(facts)+10*len(jobs))
	args = append(args, chain, from, to, len(facts), len(jobs), len(trail))
	for _, row := range trail {
		args = append(args, row)
	}
	for _, f := range facts {
		raw, err := f.encode()
		if err != nil {
			return 0, 0, err
		}
		args = append(args, raw)
	}
	for _, j := range jobs {
		if j.Chain == "" {
			j.Chain = chain
		}
		transfer, plan, err := j.encode()
		if err != nil {
			return 0, 0, err
		}
		r := rows(j.Transfer)
		args = append(args, j.Transfer.ID.Hex(), transfer, plan, j.Transfer.Route, stamp(j.Transfer), place(j.Transfer.Height, j.Transfer.Origin.Index), len(r))
		for _, row := range r {
			args = append(args, row)
		}
	}
	reply, err := db.run(ctx, scriptIngest, args...)
	if err != nil {
		return 0, 0, err
	}
	switch reply[0] {
	case "CURSOR":
		return 0, 0, fmt.Errorf("%w: stored %q, read from %q", ErrCursor, reply[1], from)
	case "FORKED":
		return 0, 0, fmt.Errorf("%s: %w", chain, ErrForked)
	case "NOFORK":
		return 0, 0, fmt.Errorf("%s: %w", chain, ErrNoFork)
	}
	db.marked(reply[3])
	return atoi(reply[1]), atoi(reply[2]), nil
}

// number reads a whole number that was padded by pad.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// atoi reads a count that a script of ours wrote.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
