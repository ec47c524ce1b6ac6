package main

import (
	"cmp"
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
	"of a subnet that the relayer no longer serves; put in by the store's own scripts, facts and transfers of %d at a time, while the relayer is stopped; then the relayer is started, " +
	"left alone for %s and watched through /proc"

const (
	loadBatch = 500
	loaders   = 4
)

func measureHistory(ctx context.Context, r *rig, s size) (*History, error) {
	h := &History{
		Conditions: fmt.Sprintf(historyConditions, s.finished, loadBatch, s.idle), Finished: s.finished,
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
	if err := p.load(ctx, r.db, s.finished, r.say); err != nil {
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
			BlockHash: crypto.Keccak256Hash([]byte("block"), seed[:7]), Tx: effect, At: p.end.At, LogIndex: uint(i % 200),
		})
	}
	return jobs, facts
}

// load puts n of them into the journal.
func (p pattern) load(ctx context.Context, db *store.DB, n int, say progress) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loaders)
	told := time.Now()
	for from := compared; from < n; from += loadBatch {
		if time.Since(told) > 30*time.Second {
			told = time.Now()
			say("history: %d of %d are in", from, n)
		}
		g.Go(func() error {
			jobs, facts := p.copies(from, min(loadBatch, n-from))
			created, _, err := db.Backfill(ctx, flow.Root, jobs, facts)
			if err == nil && created != len(jobs) {
				err = fmt.Errorf("[BUG] %d of %d transfers were new", created, len(jobs))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("fill the journal: %w", err)
	}
	return nil
}

// compared is how many copies go in first, to be compared with the pattern.
const compared = 4

// compare puts a few copies in and says what the journal keeps of one, if that
// is of the same shape as what it keeps of the pattern; else it fails.
func (p pattern) compare(ctx context.Context, db *store.DB, rdb *redis.Client, namespace string) (string, error) {
	jobs, facts := p.copies(0, compared)
	if _, _, err := db.Backfill(ctx, flow.Root, jobs, facts); err != nil {
		return "", fmt.Errorf("put copies in: %w", err)
	}
	var said string
	for i, of := range []common.Hash{p.deposit.ID, p.message.ID} {
		want, err := shapeOf(ctx, rdb, namespace, of)
		if err != nil {
			return "", err
		}
		if want == "" {
			return "", fmt.Errorf("[BUG] the journal keeps nothing of %s", of)
		}
		for k := i; k < len(jobs); k += 2 {
			got, err := shapeOf(ctx, rdb, namespace, jobs[k].Transfer.ID)
			if err != nil {
				return "", err
			}
			if got != want {
				return "", fmt.Errorf("a copy of %s is of another shape:\n%s\nnot\n%s", of, got, want)
			}
		}
		said += cmp.Or(map[int]string{0: "deposit: "}[i], "; message: ") + want
	}
	return said, nil
}

// shapeOf describes everything the journal keeps under a transfer's id: of hashes
// the form of the JSON, of ordered sets how many rows of which kind. The stream
// for people and the replies of operations are left out: they age by themselves.
func shapeOf(ctx context.Context, rdb *redis.Client, namespace string, id common.Hash) (string, error) {
	prefix := "{" + namespace + "}:"
	names, err := rdb.Keys(ctx, prefix+"*").Result()
	if err != nil {
		return "", fmt.Errorf("list keys: %w", err)
	}
	var out []string
	for _, key := range slices.Sorted(slices.Values(names)) {
		kind, err := rdb.Type(ctx, key).Result()
		if err != nil {
			return "", fmt.Errorf("look at %s: %w", key, err)
		}
		name := strings.TrimPrefix(key, prefix)
		switch kind {
		case "hash":
			value, err := rdb.HGet(ctx, key, id.Hex()).Result()
			if errors.Is(err, redis.Nil) {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("look at %s: %w", key, err)
			}
			out = append(out, name+" "+formsOf(value))
		case "zset":
			rows := map[string]int{}
			for it := rdb.ZScan(ctx, key, 0, "*"+id.Hex()+"*", 10_000).Iterator(); ; {
				if !it.Next(ctx) {
					if err := it.Err(); err != nil {
						return "", fmt.Errorf("look at %s: %w", key, err)
					}
					break
				}
				row := it.Val()
				it.Next(ctx) // its score
				rows[kindOf(row)]++
			}
			for _, k := range slices.Sorted(maps.Keys(rows)) {
				out = append(out, fmt.Sprintf("%s %s×%d", name, k, rows[k]))
			}
		}
	}
	return strings.Join(out, ", "), nil
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
