package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// FactsPerKey is how many facts of a key that is not shared are kept: the first ones
// decide, and whoever can make such events as often as he likes fills nothing.
const FactsPerKey = 8

// factPage is how many facts are read at once.
const factPage = 500

// EachFact tells every fact that is kept of a chain's blocks from a height up to
// another, in the order of heights. A fact that was set aside is not among them.
func (db *DB) EachFact(ctx context.Context, chain string, from, to uint64, f func(Fact)) error {
	if err := word("chain", chain, false); err != nil {
		return err
	}
	rows := &redis.ZRangeBy{Min: "[" + chain + "\nf\n" + pad(from), Max: "(" + chain + "\nf\n" + pad(to) + "\v", Count: factPage}
	for {
		var page *redis.StringSliceCmd
		if err := db.read(ctx, func(p redis.Pipeliner) { page = p.ZRangeByLex(ctx, db.k.of("evidence"), rows) }); err != nil {
			return fmt.Errorf("read facts: %w", err)
		}
		if err := db.factsOf(ctx, page.Val(), f); err != nil {
			return err
		}
		if len(page.Val()) < factPage {
			return nil
		}
		rows.Min = "(" + page.Val()[factPage-1]
	}
}

// factsOf reads the facts that rows of evidence name: chain, kind, height, key
// and id. One is in the list of its key or, of a shared key, among those offered.
func (db *DB) factsOf(ctx context.Context, rows []string, f func(Fact)) error {
	keys, ids := make([]string, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		parts := strings.Split(row, "\n")
		if len(parts) != 5 {
			return fmt.Errorf("[BUG] evidence row of another shape: %q", row)
		}
		keys[i], ids[i] = parts[3], parts[4]
	}
	if len(rows) == 0 {
		return nil
	}
	var lists, offered *redis.SliceCmd
	err := db.read(ctx, func(p redis.Pipeliner) {
		lists = p.HMGet(ctx, db.k.of("facts"), keys...)
		offered = p.HMGet(ctx, db.k.of("offered"), ids...)
	})
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	for i := range rows {
		list, _ := lists.Val()[i].(string)
		offer, _ := offered.Val()[i].(string)
		fact, ok, err := pick(ids[i], list, offer)
		if err != nil {
			return fmt.Errorf("read fact %s: %w", ids[i], err)
		}
		if ok {
			f(fact)
		}
	}
	return nil
}

// pick finds a fact by its id.
func pick(id, list, offer string) (Fact, bool, error) {
	var raws []string
	if list != "" {
		if err := json.Unmarshal([]byte(list), &raws); err != nil {
			return Fact{}, false, err
		}
	}
	for i, raw := range raws { // behind its padded arrival number
		raws[i] = raw[min(16, len(raw)):]
	}
	if _, raw, ok := strings.Cut(offer, "\n"); ok { // behind who took it
		raws = append(raws, raw)
	}
	for _, raw := range raws {
		var s storedFact
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			return Fact{}, false, err
		}
		if s.ID == id {
			return s.Fact, true, nil
		}
	}
	return Fact{}, false, nil
}
