package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
)

func afterSpace(s string) string {
	_, rest, _ := strings.Cut(s, " ")
	return rest
}

// Get reads one transfer with its whole history.
func (db *DB) Get(ctx context.Context, id common.Hash) (Job, bool, error) {
	var ledger *redis.StringCmd
	jobs, err := db.load(ctx, []string{id.Hex()}, func(p redis.Pipeliner) {
		ledger = p.HGet(ctx, db.k.of("ledger"), id.Hex())
	})
	if err != nil || len(jobs) == 0 {
		return Job{}, false, err
	}
	j := jobs[0]
	j.History, err = decodeLedger(ledger.Val())
	return j, err == nil, err
}

// load reads jobs in the order of their ids and leaves out those that are not
// stored.
func (db *DB) load(ctx context.Context, ids []string, more func(redis.Pipeliner)) ([]Job, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var states, transfers, riding *redis.SliceCmd
	err := db.read(ctx, func(p redis.Pipeliner) {
		states = p.HMGet(ctx, db.k.of("jobs"), ids...)
		transfers = p.HMGet(ctx, db.k.of("transfers"), ids...)
		riding = p.HMGet(ctx, db.k.of("riding"), ids...)
		if more != nil {
			more(p)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read transfers: %w", err)
	}
	out := make([]Job, 0, len(ids))
	for i := range ids {
		s, ok1 := states.Val()[i].(string)
		t, ok2 := transfers.Val()[i].(string)
		if !ok1 || !ok2 {
			continue
		}
		ride, _ := riding.Val()[i].(string)
		j, err := decodeJob(s, t, ride)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ids[i], err)
		}
		out = append(out, j)
	}
	return out, nil
}

// Lookup finds transfers by their id, a transaction hash (of the origin or of
// a step), a protocol reference, or an address. At most 100, newest first for
// an address.
func (db *DB) Lookup(ctx context.Context, text string) ([]common.Hash, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if word("text", text, false) != nil {
		return nil, nil
	}
	var exists *redis.BoolCmd
	var byText, byAddress *redis.StringSliceCmd
	err := db.read(ctx, func(p redis.Pipeliner) {
		exists = p.HExists(ctx, db.k.of("jobs"), text)
		byText = p.ZRangeByLex(ctx, db.k.of("index"), within("t\n"+text, 100))
		byAddress = p.ZRevRangeByLex(ctx, db.k.of("index"), within("a\n"+text, 100))
	})
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	var out []common.Hash
	if exists.Val() {
		out = append(out, common.HexToHash(text))
	}
	for _, row := range append(byText.Val(), byAddress.Val()...) {
		if id := common.HexToHash(rowID(row)); !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out, nil
}

// within is the range of all rows that begin with the fields of prefix.
func within(prefix string, count int) *redis.ZRangeBy {
	return &redis.ZRangeBy{Min: "[" + prefix + "\n", Max: "(" + prefix + "\v", Count: int64(count)}
}

func rowID(row string) string { return row[strings.LastIndexByte(row, '\n')+1:] }

// LaneJobs reads the jobs of a lane from a sequence number on: in order of the
// lane, at most max (and 1,000).
func (db *DB) LaneJobs(ctx context.Context, lane string, fromSeq uint64, max int) ([]Job, error) {
	max = min(max, 1000)
	strict, err := db.laneStrict(ctx, lane)
	if err != nil {
		return nil, err
	}
	lower := "[" + lane + "\n"
	if strict {
		lower += pad(fromSeq)
	}
	var out []Job
	for len(out) < max {
		var page *redis.StringSliceCmd
		if err := db.read(ctx, func(p redis.Pipeliner) {
			page = p.ZRangeByLex(ctx, db.k.of("queue"), &redis.ZRangeBy{Min: lower, Max: "(" + lane + "\v", Count: 200})
		}); err != nil {
			return nil, fmt.Errorf("read lane: %w", err)
		}
		rows := page.Val()
		if len(rows) == 0 {
			break
		}
		lower = "(" + rows[len(rows)-1]
		ids := make([]string, len(rows))
		for i, r := range rows {
			ids[i] = rowID(r)
		}
		jobs, err := db.load(ctx, ids, nil)
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if j.Seq >= fromSeq && len(out) < max {
				out = append(out, j)
			}
		}
	}
	return out, nil
}

func (db *DB) laneStrict(ctx context.Context, lane string) (bool, error) {
	var mode *redis.StringCmd
	if err := db.read(ctx, func(p redis.Pipeliner) { mode = p.HGet(ctx, db.k.of("lanes"), lane) }); err != nil {
		return false, fmt.Errorf("read lane: %w", err)
	}
	return strings.HasPrefix(mode.Val(), "s"), nil
}

// Filter selects transfers for List; empty fields select all.
type Filter struct {
	Status  tokens.Status
	Route   string
	Address string // of sender or recipient
	Hidden  bool   // the relayer's own transfers too
	Limit   int    // at most 500; 0 = 50
	Cursor  string // next of the page before
}

// listRows bounds how many rows one List looks at.
const listRows = 1000

// List reads transfers, newest origin first, in full pages: next is "" where
// none follows. Only where a thousand rows that the filter leaves out lie in
// between may a page be short, even empty, before it.
func (db *DB) List(ctx context.Context, f Filter) (jobs []Job, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	prefixes, err := db.listed(ctx, f)
	if err != nil {
		return nil, "", err
	}
	// One more than the page says whether another one follows.
	page, last := max(f.Limit+1, 64), f.Cursor
	for looked := 0; looked < listRows; {
		tails, err := db.newest(ctx, prefixes, last, page)
		if err != nil {
			return nil, "", err
		}
		ids := make([]string, len(tails))
		for i, t := range tails {
			ids[i] = rowID(t)
		}
		loaded, err := db.load(ctx, ids, nil)
		if err != nil {
			return nil, "", err
		}
		at := make(map[string]string, len(tails)) // id → cursor
		for i, t := range tails {
			at[ids[i]] = strings.ReplaceAll(t, "\n", "-")
		}
		for _, j := range loaded {
			if !f.matches(j) {
				continue
			}
			if len(jobs) == f.Limit {
				return jobs, next, nil
			}
			jobs, next = append(jobs, j), at[j.Transfer.ID.Hex()]
		}
		if len(tails) < page {
			return jobs, "", nil
		}
		looked += len(tails)
		last = at[ids[len(ids)-1]]
	}
	if len(jobs) < f.Limit {
		next = last
	}
	return jobs, next, nil
}

// listed is which rows of the index a list walks. The relayer's own transfers,
// of which there are many more than users', are of no route in the table: their
// groups are left out, rather than read and thrown away.
func (db *DB) listed(ctx context.Context, f Filter) ([]string, error) {
	if f.Address != "" {
		return []string{"a\n" + strings.ToLower(f.Address)}, nil
	}
	groups, err := db.groups(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, g := range groups {
		_, users := tokens.RouteByName(g.Route)
		if (f.Route == "" || g.Route == f.Route) && (f.Status == "" || g.Status == f.Status) && (f.Hidden || users) {
			out = append(out, g.prefix())
		}
	}
	return out, nil
}

func (f Filter) matches(j Job) bool {
	return (f.Route == "" || j.Transfer.Route == f.Route) && (f.Status == "" || j.Status == f.Status) && (f.Hidden || !j.Transfer.Hidden)
}

// newest merges the newest rows below a cursor of several groups; what is
// compared, and returned, is a row's `time, id`.
func (db *DB) newest(ctx context.Context, prefixes []string, cursor string, limit int) ([]string, error) {
	if len(prefixes) == 0 {
		return nil, nil
	}
	cursor = strings.ReplaceAll(cursor, "-", "\n")
	pages := make([]*redis.StringSliceCmd, len(prefixes))
	err := db.read(ctx, func(p redis.Pipeliner) {
		for i, prefix := range prefixes {
			r := within(prefix, limit)
			if cursor != "" {
				r.Max = "(" + prefix + "\n" + cursor
			}
			pages[i] = p.ZRevRangeByLex(ctx, db.k.of("index"), r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list transfers: %w", err)
	}
	var tails []string
	for i, page := range pages {
		for _, row := range page.Val() {
			tails = append(tails, row[len(prefixes[i])+1:])
		}
	}
	slices.Sort(tails)
	slices.Reverse(tails)
	tails = slices.Compact(tails)
	return tails[:min(len(tails), limit)], nil
}

// Count is how many transfers of a route stand at a step. Step is "" for what
// has ended well.
type Count struct {
	Route     string
	Status    tokens.Status
	Step      string
	Discarded bool
	N         int
	Oldest    uint64 // origin time of the oldest, Unix seconds
}

func (c Count) prefix() string {
	step := c.Step
	if c.Discarded {
		step = "~discarded"
	}
	return "w\n" + c.Route + "\n" + string(c.Status) + "\n" + step
}

// Stats is what the gauges show.
type Stats struct {
	Counts        []Count
	Pending       int
	Parked        int // without the discarded ones
	Discarded     int
	OldestPending time.Time // origin of the oldest; zero = none
	MemoryRatio   float64   // of maxmemory; 0 = unlimited
	Undecided     int       // transaction intents
	Journal       int64     // lines
}

// Stats counts. Its numbers are read one after the other.
func (db *DB) Stats(ctx context.Context) (Stats, error) {
	groups, err := db.groups(ctx)
	if err != nil {
		return Stats{}, err
	}
	counts := make([]*redis.IntCmd, len(groups))
	var live, journal *redis.IntCmd
	err = db.read(ctx, func(p redis.Pipeliner) {
		for i, g := range groups {
			counts[i] = p.ZLexCount(ctx, db.k.of("index"), "["+g.prefix()+"\n", "("+g.prefix()+"\v")
		}
		live, journal = p.ZCard(ctx, db.k.of("live")), p.XLen(ctx, db.k.of("journal"))
	})
	if err != nil {
		return Stats{}, fmt.Errorf("count transfers: %w", err)
	}
	s := Stats{Undecided: int(live.Val()), Journal: journal.Val()}
	var oldest uint64
	for i, g := range groups {
		g.N = int(counts[i].Val())
		s.Counts = append(s.Counts, g)
		switch {
		case g.Discarded:
			s.Discarded += g.N
		case g.Status == tokens.Parked:
			s.Parked += g.N
		case g.Status == tokens.Pending:
			s.Pending += g.N
			if oldest == 0 || g.Oldest < oldest {
				oldest = g.Oldest
			}
		}
	}
	if oldest > 0 {
		s.OldestPending = time.Unix(int64(oldest), 0).UTC()
	}
	var info server
	if err := db.retry(ctx, func() error {
		var err error
		info, err = db.inspect(ctx)
		return err
	}); err != nil {
		return Stats{}, fmt.Errorf("read memory: %w", err)
	}
	s.MemoryRatio = info.memoryRatio()
	return s, nil
}

// groups finds which (route, status, step) exist, by jumping from the first
// row of one to the first row after it.
func (db *DB) groups(ctx context.Context) ([]Count, error) {
	var out []Count
	lower := "[w\n"
	for range 10_000 {
		var row *redis.StringSliceCmd
		if err := db.read(ctx, func(p redis.Pipeliner) {
			row = p.ZRangeByLex(ctx, db.k.of("index"), &redis.ZRangeBy{Min: lower, Max: "(w\v", Count: 1})
		}); err != nil {
			return nil, fmt.Errorf("find groups: %w", err)
		}
		if len(row.Val()) == 0 {
			return out, nil
		}
		f := strings.Split(row.Val()[0], "\n")
		if len(f) != 6 {
			return nil, errors.New("[BUG] index row of another shape")
		}
		c := Count{Route: f[1], Status: tokens.Status(f[2]), Step: f[3], Discarded: f[3] == "~discarded"}
		if c.Discarded {
			c.Step = ""
		}
		c.Oldest = uint64(atoi(strings.TrimLeft(f[4], "0")))
		out = append(out, c)
		lower = "(" + c.prefix() + "\v"
	}
	return out, nil
}
