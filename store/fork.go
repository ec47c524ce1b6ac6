package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
)

var (
	// ErrForked says that a final block of the chain has changed and that an
	// operator has not yet said what to do: nothing of it goes in.
	ErrForked = errors.New("a final block of the chain has changed: compare its endpoints, then run `causeway rescan --accept-fork`")
	// ErrNoFork says that nothing is known to have changed on the chain.
	ErrNoFork = errors.New("no changed block of this chain is recorded")
	// ErrHeld says that a transfer rests on a block that has changed.
	ErrHeld = errors.New("transfer rests on a block that has changed: `causeway rescan --accept-fork` first; one whose beginning is gone waits for it to come back, or for `causeway queue discard`")
)

// Fork is a chain whose final blocks have changed. From is the first height that
// has, as far as is known, Good the newest recorded block below it that has not;
// the zero Good says that none is known. While it is recorded every lane that
// relies on the chain stands still.
type Fork struct {
	Chain     string
	From      uint64
	Good      chains.Block
	Why       string
	At        time.Time
	Round     int // how often it was looked for: each time sets aside what was read since
	Facts     int // set aside so far
	Transfers int
}

// Quarantined is a fact that was set aside with its block.
type Quarantined struct {
	Fact
	Why string
	Set time.Time
}

// clockSlack is how far the clock of a chain may be ahead of Redis'.
const clockSlack = 600

type forkRecord struct {
	From      string `json:"from"`
	Since     string `json:"since"`
	Good      string `json:"good"`
	Why       string `json:"why"`
	At        string `json:"at"`
	Round     int    `json:"n"`
	Facts     int    `json:"facts"`
	Transfers int    `json:"transfers"`
}

func decodeFork(chain, text string) (Fork, error) {
	var r forkRecord
	f := Fork{Chain: chain}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return f, fmt.Errorf("read fork of %s: %w", chain, err)
	}
	if err := json.Unmarshal([]byte(r.Good), &f.Good); err != nil {
		return f, fmt.Errorf("read fork of %s: %w", chain, err)
	}
	f.From, f.Why, f.Round, f.Facts, f.Transfers = number(r.From), r.Why, r.Round, r.Facts, r.Transfers
	f.At = time.Unix(int64(number(r.At)), 0).UTC()
	return f, nil
}

// Forked reads the fork of a chain, if one is recorded.
func (db *DB) Forked(ctx context.Context, chain string) (Fork, bool, error) {
	var get *redis.StringCmd
	if err := db.read(ctx, func(p redis.Pipeliner) { get = p.HGet(ctx, db.k.of("forks"), chain) }); err != nil {
		return Fork{}, false, fmt.Errorf("read fork: %w", err)
	}
	if errors.Is(get.Err(), redis.Nil) {
		return Fork{}, false, nil
	}
	f, err := decodeFork(chain, get.Val())
	return f, err == nil, err
}

// Trail lists the final blocks of a chain that were recorded from a height up to
// another, in ascending order: the cursor's and those with events, at most some
// thousands, the older the fewer. Of a block only number and hash are kept. What
// a backfill brought may be above the cursor.
func (db *DB) Trail(ctx context.Context, chain string, from, to uint64) ([]chains.Block, error) {
	var rows *redis.StringSliceCmd
	err := db.read(ctx, func(p redis.Pipeliner) {
		rows = p.ZRangeByLex(ctx, db.k.of("trail"), &redis.ZRangeBy{Min: "[" + chain + "\n" + pad(from), Max: "(" + chain + "\n" + pad(to) + "\v"})
	})
	if err != nil {
		return nil, fmt.Errorf("read trail: %w", err)
	}
	out := make([]chains.Block, 0, len(rows.Val()))
	for _, row := range rows.Val() {
		f := strings.Split(row, "\n")
		if len(f) != 3 {
			return nil, errors.New("[BUG] trail row of another shape")
		}
		out = append(out, chains.Block{Number: number(f[1]), Hash: common.HexToHash(f[2])})
	}
	return out, nil
}

func trailRow(chain string, height uint64, hash common.Hash) string {
	return chain + "\n" + pad(height) + "\n" + hash.Hex()
}

// Quarantine records that a chain has changed above good (everywhere, with the
// zero Block) and sets aside, in the same script, every fact from there, every
// transfer that began or went on by one, and stops every lane that relies on the
// chain. ErrCursor when the cursor is no longer the one that was compared. Done
// again it takes in what has come since; an earlier, deeper fork stays.
func (db *DB) Quarantine(ctx context.Context, chain string, compared chains.Cursor, good chains.Block, why string) (Fork, error) {
	if err := word("chain", chain, false); err != nil {
		return Fork{}, err
	}
	from, since := uint64(0), uint64(0)
	if good != (chains.Block{}) {
		from, since = good.Number+1, good.Time-min(good.Time, clockSlack)
	}
	body, err := json.Marshal(good)
	if err != nil {
		return Fork{}, fmt.Errorf("[BUG] encode block: %w", err)
	}
	reply, err := db.run(ctx, scriptQuarantine, chain, encodeCursor(compared), pad(from), pad(since), body, short(why))
	if err != nil {
		return Fork{}, err
	}
	if reply[0] == "CURSOR" {
		return Fork{}, fmt.Errorf("%w: stored %q, compared %q", ErrCursor, reply[1], encodeCursor(compared))
	}
	return decodeFork(chain, reply[1])
}

// Reread is Backfill of a forked chain, for what its new blocks hold from the
// fork on. ErrNoFork when there is none.
func (db *DB) Reread(ctx context.Context, chain string, jobs []NewJob, facts []Fact) (created, advanced int, err error) {
	return db.fill(ctx, chain, "fork", jobs, facts)
}

// Accepted counts what became of transfers that were set aside.
type Accepted struct {
	Kept     int // all they rest on was seen again
	Reopened int // at work again on a step whose end is gone
	Parked   int // left to a person
}

// acceptPage bounds the transfers of one script.
const acceptPage = 500

// AcceptFork ends a fork: it lets go of what was set aside, then moves the cursor
// to where the chain was read again, in the script that lets the lanes run. It
// may be repeated after any failure. ErrNoFork, or ErrCursor when the fork was
// looked for once more since f was: what was read before is set aside again then.
func (db *DB) AcceptFork(ctx context.Context, f Fork, to chains.Cursor, who string) (Accepted, error) {
	var sum Accepted
	row := ""
	if to.Next > 0 && to.Parent != (common.Hash{}) {
		row = trailRow(f.Chain, to.Next-1, to.Parent)
	}
	for {
		reply, err := db.run(ctx, scriptAccept, f.Chain, pad(f.From), encodeCursor(to), row, short(who), acceptPage, f.At.Unix(), f.Round)
		if err != nil {
			return sum, err
		}
		switch reply[0] {
		case "NOFORK":
			return sum, fmt.Errorf("accept fork of %s: %w", f.Chain, ErrNoFork)
		case "CURSOR":
			return sum, fmt.Errorf("accept fork of %s: %w: it was looked for again meanwhile, and begins at %d", f.Chain, ErrCursor, number(reply[1]))
		}
		sum.Kept, sum.Reopened, sum.Parked = sum.Kept+atoi(reply[2]), sum.Reopened+atoi(reply[3]), sum.Parked+atoi(reply[4])
		if reply[1] == "0" {
			return sum, nil
		}
	}
}

// QuarantinedFacts lists what was set aside, at most max facts, in no order.
func (db *DB) QuarantinedFacts(ctx context.Context, max int) ([]Quarantined, error) {
	var out []Quarantined
	err := db.scanHash(ctx, "quarantine", func(_, lists []string) error {
		for _, text := range lists {
			var list []struct {
				Fact string `json:"fact"`
				Why  string `json:"why"`
				At   string `json:"at"`
			}
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				return fmt.Errorf("read quarantine: %w", err)
			}
			for _, q := range list {
				var f Fact
				if err := json.Unmarshal([]byte(q.Fact), &f); err != nil {
					return fmt.Errorf("read quarantine: %w", err)
				}
				if len(out) < max {
					out = append(out, Quarantined{Fact: f, Why: q.Why, Set: time.Unix(int64(number(q.At)), 0).UTC()})
				}
			}
		}
		return nil
	})
	return out, err
}
