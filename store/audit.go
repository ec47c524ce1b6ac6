package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
)

// Keep is how long what has ended is kept at least: longer than any rescan
// looks back, so that a transfer seen again is known again.
const Keep = 30 * 24 * time.Hour

const page = 200

// Audit walks everything, puts back what a lost key took and says how many
// rows it mended: 0 in a healthy store. Each page is checked inside a script,
// so workers need not stop; it takes as long as Options.Rest makes it.
func (db *DB) Audit(ctx context.Context) (repairs int, err error) {
	add := func(s *script, args ...any) error {
		reply, err := db.run(ctx, s, args...)
		if err == nil {
			repairs += atoi(reply[1])
		}
		return err
	}

	// Transfers, from the key that is written once and never again.
	err = db.scanHash(ctx, "transfers", func(ids, values []string) error {
		args, err := db.withRows(ctx, ids, values, true)
		if err != nil || len(args) == 0 {
			return err
		}
		return add(scriptAudit, args...)
	})
	if err != nil {
		return repairs, err
	}

	// Rows that no transfer answers for.
	for _, name := range []string{"queue", "index"} {
		err := db.scanSet(ctx, name, func(rows []any) error {
			return add(scriptAuditRows, append([]any{name}, rows...)...)
		})
		if err != nil {
			return repairs, err
		}
	}

	err = db.scanHash(ctx, "facts", func(keys, _ []string) error { return add(scriptAuditFacts, anys(keys)...) })
	if err != nil {
		return repairs, err
	}
	err = db.scanHash(ctx, "offered", func(ids, _ []string) error { return add(scriptAuditOffers, anys(ids)...) })
	if err != nil {
		return repairs, err
	}

	// Lanes and their leases, then transactions.
	if err := add(scriptAuditLanes); err != nil {
		return repairs, err
	}
	err = db.scanHash(ctx, "intents", func(rows, _ []string) error { return add(scriptAuditIntents, anys(rows)...) })
	return repairs, err
}

// Prune forgets transfers and intents that ended longer ago than olderThan,
// which must be at least Keep. Parked transfers stay for ever.
func (db *DB) Prune(ctx context.Context, olderThan time.Duration) (int, error) {
	if olderThan < Keep {
		return 0, fmt.Errorf("%w: what ended is kept for %s at least", ErrInvalid, Keep)
	}
	now := db.now()
	if db.opt.Clock == nil {
		t, err := db.rdb.Time(ctx).Result()
		if err != nil {
			return 0, fmt.Errorf("read server time: %w", err)
		}
		now = t
	}
	cut, total := now.Add(-olderThan), 0
	add := func(s *script, args ...any) error {
		reply, err := db.run(ctx, s, args...)
		if err == nil {
			total += atoi(reply[1])
		}
		return err
	}
	err := db.scanHash(ctx, "transfers", func(ids, values []string) error {
		args, err := db.withRows(ctx, ids, values, false)
		if err != nil || len(args) == 0 {
			return err
		}
		return add(scriptPrune, append([]any{cut.UnixMilli()}, args...)...)
	})
	if err != nil {
		return total, err
	}
	err = db.scanHash(ctx, "intents", func(rows, _ []string) error {
		return add(scriptPruneIntents, append([]any{cut.Unix(), len(rows)}, anys(rows)...)...)
	})
	if err != nil {
		return total, err
	}
	err = db.scanHash(ctx, "facts", func(keys, _ []string) error {
		return add(scriptPruneIntents, append([]any{cut.Unix(), 0}, anys(keys)...)...)
	})
	if err != nil {
		return total, err
	}
	err = db.scanHash(ctx, "offered", func(ids, _ []string) error {
		return add(scriptPruneOffers, append([]any{cut.Unix()}, anys(ids)...)...)
	})
	return total, err
}

// withRows lists transfers with the rows of the index that are theirs: the
// fixed ones and one per transaction in the ledger.
func (db *DB) withRows(ctx context.Context, ids, transfers []string, head bool) ([]any, error) {
	var ledgers *redis.SliceCmd
	if err := db.read(ctx, func(p redis.Pipeliner) { ledgers = p.HMGet(ctx, db.k.of("ledger"), ids...) }); err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	var args []any
	for i, id := range ids {
		var t tokens.Transfer
		if err := json.Unmarshal([]byte(transfers[i]), &t); err != nil {
			return nil, fmt.Errorf("read transfer %s: %w", id, err)
		}
		text, _ := ledgers.Val()[i].(string)
		entries, err := decodeLedger(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		all := rows(t)
		for _, e := range entries {
			if e.Tx != (common.Hash{}) {
				all = append(all, "t\n"+e.Tx.Hex()+"\n"+id)
			}
		}
		args = append(args, id)
		if head {
			args = append(args, t.Route, stamp(t), place(t.Height, t.Origin.Index))
		}
		args = append(args, len(all))
		args = append(args, anys(all)...)
	}
	return args, nil
}

func anys(s []string) []any {
	out := make([]any, len(s))
	for i, v := range s {
		out[i] = v
	}
	return out
}

// scanHash visits a hash in pages; what changes meanwhile may or may not be
// seen, or seen twice.
func (db *DB) scanHash(ctx context.Context, name string, visit func(fields, values []string) error) error {
	return db.scan(ctx, func(cursor uint64) ([]string, uint64, error) {
		return db.rdb.HScan(ctx, db.k.of(name), cursor, "", page).Result()
	}, func(kv []string) error {
		fields, values := make([]string, 0, len(kv)/2), make([]string, 0, len(kv)/2)
		for i := 0; i+1 < len(kv); i += 2 {
			fields, values = append(fields, kv[i]), append(values, kv[i+1])
		}
		return visit(fields, values)
	})
}

// scanSet visits the members of a sorted set in pages.
func (db *DB) scanSet(ctx context.Context, name string, visit func(rows []any) error) error {
	return db.scan(ctx, func(cursor uint64) ([]string, uint64, error) {
		return db.rdb.ZScan(ctx, db.k.of(name), cursor, "", page).Result()
	}, func(kv []string) error {
		rows := make([]any, 0, len(kv)/2)
		for i := 0; i+1 < len(kv); i += 2 {
			rows = append(rows, kv[i])
		}
		return visit(rows)
	})
}

func (db *DB) scan(ctx context.Context, next func(uint64) ([]string, uint64, error), visit func([]string) error) error {
	var cursor uint64
	for {
		began := time.Now()
		var items []string
		err := db.retry(ctx, func() error {
			if err := db.usable(); err != nil {
				return err
			}
			var err error
			var c uint64
			if items, c, err = next(cursor); err == nil {
				cursor = c
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		if len(items) > 0 {
			if err := visit(items); err != nil {
				return err
			}
		}
		if cursor == 0 {
			return nil
		}
		if err := rest(ctx, time.Duration(db.opt.Rest)*time.Since(began)); err != nil {
			return fmt.Errorf("rest between two pages: %w", err)
		}
	}
}

func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
