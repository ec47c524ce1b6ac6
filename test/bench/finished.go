package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// History is what a long past costs.
type History struct {
	Conditions string `json:"conditions"`
	// Finished transfers that were put in, and what the journal keeps of each.
	Finished    int     `json:"finished_transfers"`
	Shape       string  `json:"shape"` // that of one from the real path, compared before the rest went in
	LoadSeconds float64 `json:"load_seconds"`
	RedisBytes  int64   `json:"redis_bytes"` // all of its data after it
	RedisEach   int64   `json:"redis_bytes_per_transfer"`
	// Relayer is the process started over it, watched once it has been at work for
	// a while.
	ReadySeconds float64    `json:"ready_seconds"` // from its start until it says that it is ready
	Seconds      float64    `json:"seconds"`
	Relayer      Usage      `json:"relayer"`
	Load         [2]float64 `json:"load_1m"`
}

const historyConditions = "the shared devnet's journal with %d more transfers in it, all done: deposits of USDC, each with its message of the relayer's own, so two entries each, " +
	"of a subnet that the relayer no longer serves; %d were made by the store's own scripts and compared with one of the real path, the rest are copies of one of those, row by row, " +
	"under other ids, hashes, addresses and numbers; the relayer is stopped meanwhile, then started, left alone for %s and watched through /proc; the chains know nothing of these transfers, so the audit keeps no books of them"

const (
	loadBatch = 500
	loaders   = 4
)

func measureHistory(ctx context.Context, r *rig, s size) (*History, error) {
	h := &History{
		Conditions: fmt.Sprintf(historyConditions, s.finished, compared, s.idle), Finished: s.finished,
		Seconds: s.idle.Seconds(), Load: [2]float64{load()},
	}
	if err := r.settle(ctx, time.Minute); err != nil {
		return nil, err
	}
	r.net.Quit("relayer")
	rdb, err := r.redis()
	if err != nil {
		return nil, err
	}
	defer rdb.Close()
	// Writing its file anew while it is filled would only measure that.
	if err := rdb.ConfigSet(ctx, "auto-aof-rewrite-percentage", "0").Err(); err != nil {
		return nil, fmt.Errorf("configure Redis: %w", err)
	}
	before, err := usedMemory(ctx, rdb)
	if err != nil {
		return nil, err
	}
	p, err := r.pattern(ctx)
	if err != nil {
		return nil, fmt.Errorf("find a finished deposit: %w", err)
	}
	if h.Shape, err = p.compare(ctx, r.db, rdb, "causeway"); err != nil {
		return nil, err
	}
	r.say("history: putting %d finished transfers into the journal", s.finished)
	began := time.Now()
	if err := p.load(ctx, r.db, rdb, "causeway", s.finished, r.say); err != nil {
		return nil, err
	}
	h.LoadSeconds = round(time.Since(began).Seconds(), 1)
	if h.RedisBytes, err = usedMemory(ctx, rdb); err != nil {
		return nil, err
	}
	h.RedisEach = (h.RedisBytes - before) / int64(s.finished)
	r.say("history: %.0f/s, Redis has %s, %d bytes each", float64(s.finished)/h.LoadSeconds, mib(h.RedisBytes), h.RedisEach)

	began = time.Now()
	if err := r.net.StartRelayer(ctx); err != nil {
		return nil, err
	}
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	h.ReadySeconds = round(time.Since(began).Seconds(), 1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.idle):
	}
	if h.Relayer, err = usage(ctx, r.net.Pid("relayer"), s.idle); err != nil {
		return nil, err
	}
	h.Load[1] = load()
	r.say("history: relayer RSS %s, %.1f %% of a core", mib(h.Relayer.RSSBytes), h.Relayer.CPUPercent)
	return h, nil
}

// pattern is a finished deposit of USDC as the real path left it.
type pattern struct {
	sub      flow.Subnet // that the copies are of
	deposit  tokens.Transfer
	message  tokens.Transfer // that carried it
	depositF flow.Flow
	messageF flow.Flow
	end      store.Entry // what decided both
}

// pattern looks for a deposit to somebody else that an event decided, as almost
// all are.
func (r *rig) pattern(ctx context.Context) (pattern, error) {
	list, _, err := r.db.List(ctx, store.Filter{Route: "usdc_deposit", Status: tokens.Done, Limit: 100})
	if err != nil {
		return pattern{}, err
	}
	for _, j := range list {
		id := flow.TransferID("topdown", r.sub.RootID, r.sub.Gateway, r.sub.Actor, j.Transfer.Nonce)
		deposit, ok1, err1 := r.db.Get(ctx, j.Transfer.ID)
		message, ok2, err2 := r.db.Get(ctx, id)
		if err := errors.Join(err1, err2); err != nil {
			return pattern{}, err
		}
		if ok1 && ok2 && plain(deposit) && plain(message) && deposit.Transfer.Sender != deposit.Transfer.Recipient {
			return patternOf(r.sub, deposit, message), nil
		}
	}
	return pattern{}, fmt.Errorf("none of %d is to somebody else and was decided by an event alone", len(list))
}

// plain says that a transfer is done by one event, and by nothing before it.
func plain(j store.Job) bool {
	return j.Status == tokens.Done && len(j.History) == 1 && j.History[0].By == "event" && j.History[0].Tx != (common.Hash{})
}

// patternOf makes a pattern whose copies are of another subnet, which no flow of
// the relayer looks at.
func patternOf(sub flow.Subnet, deposit, message store.Job) pattern {
	sub.Actor = common.BytesToAddress(crypto.Keccak256([]byte("bench: a subnet of the past"))[12:])
	return pattern{
		sub: sub, deposit: deposit.Transfer, message: message.Transfer, end: deposit.History[0],
		depositF: flow.USDCDeposit(sub, nil), messageF: flow.TopDown(sub, flow.DeliverDeps{}),
	}
}

// copies are finished deposits with the numbers [from, from+n): their transfers
// and the facts that decide them.
func (p pattern) copies(from, n int) (jobs []store.NewJob, facts []store.Fact) {
	for i := from; i < from+n; i++ {
		d, m := p.deposit, p.message
		var seed [8]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i))
		tx, effect := crypto.Keccak256Hash([]byte("origin"), seed[:]), crypto.Keccak256Hash([]byte("effect"), seed[:])
		for _, t := range []*tokens.Transfer{&d, &m} {
			t.Subnet, t.Nonce, t.Ref, t.Origin.Tx = p.sub.Actor, uint64(i), crypto.Keccak256Hash([]byte("message"), seed[:]), tx
		}
		d.ID = flow.TransferID(d.Route, p.sub.RootID, p.sub.Controller, p.sub.Actor, d.Nonce)
		m.ID = flow.TransferID(m.Route, p.sub.RootID, p.sub.Gateway, p.sub.Actor, m.Nonce)
		d.Recipient = somebody(uint64(i))
		jobs = append(jobs, watch.Plan(p.depositF, d), watch.Plan(p.messageF, m))
		facts = append(facts, store.Fact{
			Key: string(p.messageF.Steps[0].Key(m)), Outcome: store.OK, Chain: p.end.Chain, Height: p.end.Height,
			BlockHash: crypto.Keccak256Hash([]byte("block")), Tx: effect, At: p.end.At,
		})
	}
	return jobs, facts
}

// compared is how many copies the scripts make, to be compared with the pattern.
const compared = 4

// compare makes a few copies by the store's scripts and says what the journal
// keeps of one, if that is of the same shape as what it keeps of the pattern;
// else it fails.
func (p pattern) compare(ctx context.Context, db *store.DB, rdb *redis.Client, namespace string) (string, error) {
	jobs, facts := p.copies(lowest, compared)
	if _, _, err := db.Backfill(ctx, flow.Root, jobs, facts); err != nil {
		return "", fmt.Errorf("put copies in: %w", err)
	}
	var said []string
	for i, of := range []common.Hash{p.deposit.ID, p.message.ID} {
		want, err := shapeOf(ctx, rdb, namespace, of)
		if err != nil {
			return "", err
		}
		if want == "" {
			return "", fmt.Errorf("[BUG] the journal keeps nothing of %s", of)
		}
		for k := i; k < len(jobs); k += 2 {
			if err := sameShape(ctx, rdb, namespace, jobs[k].Transfer.ID, want); err != nil {
				return "", err
			}
		}
		said = append(said, []string{"deposit: ", "message: "}[i]+want)
	}
	return strings.Join(said, "; "), nil
}

func sameShape(ctx context.Context, rdb *redis.Client, namespace string, id common.Hash, want string) error {
	got, err := shapeOf(ctx, rdb, namespace, id)
	if err == nil && got != want {
		err = fmt.Errorf("%s is of another shape:\n%s\nnot\n%s", id, got, want)
	}
	return err
}

// lowest is the number of the first copy: all have nine digits, so that one
// number takes another's place in any text without moving what follows.
const lowest = 100_000_000

// load puts n of them into the journal, those of compare among them: rows of one
// of those under other names. The scripts take half a millisecond for a transfer,
// and a million would take ten minutes.
func (p pattern) load(ctx context.Context, db *store.DB, rdb *redis.Client, namespace string, n int, say progress) error {
	rows, err := p.rowsOf(ctx, rdb, namespace)
	if err != nil {
		return err
	}
	g, inside := errgroup.WithContext(ctx)
	g.SetLimit(loaders)
	told := time.Now()
	for from := compared; from < n; from += loadBatch {
		if time.Since(told) > 30*time.Second {
			told = time.Now()
			say("history: %d of %d are in", from, n)
		}
		g.Go(func() error { return p.write(inside, rdb, rows, lowest+from, min(loadBatch, n-from)) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("fill the journal: %w", err)
	}
	// The last copy is as good as the first.
	first, _ := p.copies(lowest, 1)
	last, _ := p.copies(lowest+n-1, 1)
	for i := range first {
		want, err := shapeOf(ctx, rdb, namespace, first[i].Transfer.ID)
		if err != nil {
			return err
		}
		if err := sameShape(ctx, rdb, namespace, last[i].Transfer.ID, want); err != nil {
			return err
		}
		if j, ok, err := db.Get(ctx, last[i].Transfer.ID); err != nil || !ok || !plain(j) || j.Transfer.Nonce != uint64(lowest+n-1) {
			return fmt.Errorf("[BUG] the last copy reads as %+v: %w", j, err)
		}
	}
	return nil
}

// rows are all that the journal keeps of the first copy, by key.
type rows struct {
	hashes  map[string][][2]form // field and value
	sets    map[string][]form
	stream  string
	entries [][]form
}

// form is a text with places for the names of a copy: text, name, text, …
type form struct {
	text  []string // one more than names
	names []int
}

// formFor finds the names in a text.
func formFor(text string, names []string) (f form) {
	for {
		at, which := -1, 0
		for k, name := range names {
			if i := strings.Index(text, name); i >= 0 && (at < 0 || i < at) {
				at, which = i, k
			}
		}
		if at < 0 {
			f.text = append(f.text, text)
			return f
		}
		f.text, f.names = append(f.text, text[:at]), append(f.names, which)
		text = text[at+len(names[which]):]
	}
}

// with puts another copy's names in.
func (f form) with(names []string) string {
	var b strings.Builder
	for i, text := range f.text {
		b.WriteString(text)
		if i < len(f.names) {
			b.WriteString(names[f.names[i]])
		}
	}
	return b.String()
}

// rowsOf reads them. A fact is kept under its own key.
func (p pattern) rowsOf(ctx context.Context, rdb *redis.Client, namespace string) (rows, error) {
	out := rows{hashes: map[string][][2]form{}, sets: map[string][]form{}, stream: "{" + namespace + "}:journal"}
	jobs, facts := p.copies(lowest, 1)
	names := p.names(lowest)
	keep := func(key string, found []string) {
		for _, row := range found {
			out.sets[key] = append(out.sets[key], formFor(row, names))
		}
	}
	fields := []string{jobs[0].Transfer.ID.Hex(), jobs[1].Transfer.ID.Hex(), facts[0].Key}
	err := eachKey(ctx, rdb, namespace, func(key, kind string) error {
		switch kind {
		case "hash":
			for _, f := range fields {
				value, err := rdb.HGet(ctx, key, f).Result()
				if errors.Is(err, redis.Nil) {
					continue
				}
				if err != nil {
					return err
				}
				out.hashes[key] = append(out.hashes[key], [2]form{formFor(f, names), formFor(value, names)})
			}
		case "zset":
			for _, f := range fields[:2] {
				found, err := rowsWith(ctx, rdb, key, f)
				if err != nil {
					return err
				}
				keep(key, found)
			}
			// The evidence of a fact names its key, and no transfer.
			found, err := rowsWith(ctx, rdb, key, facts[0].Key+"\n")
			if err != nil {
				return err
			}
			keep(key, found)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	entries, err := rdb.XRevRangeN(ctx, out.stream, "+", "-", 100).Result()
	if err != nil {
		return out, fmt.Errorf("read the stream: %w", err)
	}
	for _, e := range slices.Backward(entries) {
		if id, _ := e.Values["id"].(string); slices.Contains(fields, id) {
			var values []form
			for _, k := range slices.Sorted(maps.Keys(e.Values)) {
				values = append(values, formFor(k, names), formFor(fmt.Sprint(e.Values[k]), names))
			}
			out.entries = append(out.entries, values)
		}
	}
	return out, nil
}

// write puts copies of the rows in.
func (p pattern) write(ctx context.Context, rdb *redis.Client, r rows, from, n int) error {
	hashes, sets := map[string][]any{}, map[string][]redis.Z{}
	var entries []*redis.XAddArgs
	for i := from; i < from+n; i++ {
		names := p.names(i)
		for key, fields := range r.hashes {
			for _, f := range fields {
				hashes[key] = append(hashes[key], f[0].with(names), f[1].with(names))
			}
		}
		for key, members := range r.sets {
			for _, m := range members {
				sets[key] = append(sets[key], redis.Z{Member: m.with(names)})
			}
		}
		for _, values := range r.entries {
			copied := make([]string, len(values))
			for k, v := range values {
				copied[k] = v.with(names)
			}
			entries = append(entries, &redis.XAddArgs{Stream: r.stream, Values: copied})
		}
	}
	_, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for key, values := range hashes {
			pipe.HSet(ctx, key, values...)
		}
		for key, members := range sets {
			pipe.ZAdd(ctx, key, members...)
		}
		for _, e := range entries {
			pipe.XAdd(ctx, e)
		}
		return nil
	})
	return err
}

// names are what tells a copy from another one: ids, hashes, the recipient and
// the number, in one order for all.
func (p pattern) names(i int) []string {
	jobs, facts := p.copies(i, 1)
	d := jobs[0].Transfer
	return []string{
		d.ID.Hex(), jobs[1].Transfer.ID.Hex(), d.Ref.Hex(), d.Origin.Tx.Hex(), facts[0].Tx.Hex(), strings.ToLower(d.Recipient.Hex()), fmt.Sprint(i),
	}
}

// shapeOf describes everything the journal keeps under a transfer's id: of hashes
// the form of the JSON, of ordered sets how many rows of which kind. The stream
// for people and the replies of operations are left out: they age by themselves.
func shapeOf(ctx context.Context, rdb *redis.Client, namespace string, id common.Hash) (string, error) {
	var out []string
	err := eachKey(ctx, rdb, namespace, func(key, kind string) error {
		_, name, _ := strings.Cut(key, ":")
		switch kind {
		case "hash":
			value, err := rdb.HGet(ctx, key, id.Hex()).Result()
			if errors.Is(err, redis.Nil) {
				return nil
			}
			if err != nil {
				return err
			}
			out = append(out, name+" "+formsOf(value))
		case "zset":
			found, err := rowsWith(ctx, rdb, key, id.Hex())
			if err != nil {
				return err
			}
			kinds := map[string]int{}
			for _, row := range found {
				kinds[kindOf(row)]++
			}
			for _, k := range slices.Sorted(maps.Keys(kinds)) {
				out = append(out, fmt.Sprintf("%s %s×%d", name, k, kinds[k]))
			}
		}
		return nil
	})
	return strings.Join(out, ", "), err
}

// eachKey visits the keys of a namespace in order.
func eachKey(ctx context.Context, rdb *redis.Client, namespace string, visit func(key, kind string) error) error {
	names, err := rdb.Keys(ctx, "{"+namespace+"}:*").Result()
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for _, key := range slices.Sorted(slices.Values(names)) {
		kind, err := rdb.Type(ctx, key).Result()
		if err == nil {
			err = visit(key, kind)
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", key, err)
		}
	}
	return nil
}

// rowsWith are the members of an ordered set that contain a text. In a big one
// the search takes as long as Redis takes to walk it.
func rowsWith(ctx context.Context, rdb *redis.Client, key, text string) (out []string, err error) {
	it := rdb.ZScan(ctx, key, 0, "*"+text+"*", 10_000).Iterator()
	for it.Next(ctx) {
		out = append(out, it.Val())
		it.Next(ctx) // its score
	}
	return out, it.Err()
}

// kindOf is the first field of a row, and how many follow.
func kindOf(row string) string {
	first, _, _ := strings.Cut(row, "\n")
	return fmt.Sprintf("%s/%d", first, strings.Count(row, "\n"))
}

// formsOf are the forms of each JSON document of a text.
func formsOf(text string) string {
	var out []string
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return strings.Join(out, "")
		} else if err != nil {
			return "no JSON"
		}
		out = append(out, formOf(v))
	}
}

// formOf is a value with its names and without its texts and numbers.
func formOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+":"+formOf(v[k]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		var parts []string
		for _, one := range v {
			parts = append(parts, formOf(one))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case string:
		return "s"
	case bool:
		return fmt.Sprint(v)
	}
	return "n"
}
