package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// queueRun is how many workers cycle at once, and how many transfers each
// cycle moves.
type queueRun struct{ workers, batch int }

const payloadBytes = 256

func measureQueue(ctx context.Context, s size, say progress) (*Queue, error) {
	q := &Queue{
		Cycle: "ingest a new transfer with its cursor, claim one, settle it as done: three scripts, each fsynced before its reply; " +
			"every worker reads a chain of its own into a lane of its own and claims whichever lane has waited longest",
		AppendFsync: "always", PayloadBytes: payloadBytes, Load: [2]float64{load()},
	}
	var err error
	if q.Fsync, err = measureFsync(); err != nil {
		return nil, err
	}
	for _, r := range s.runs {
		res, err := cycles(ctx, r, s.queue)
		if err != nil {
			return nil, fmt.Errorf("%d workers, batch %d: %w", r.workers, r.batch, err)
		}
		say("queue: %2d workers, batch %2d: %6.0f cycles/s, p50 %.2f ms, p99 %.2f ms", r.workers, r.batch, res.CyclesPerSecond, res.Cycle.P50, res.Cycle.P99)
		q.Runs = append(q.Runs, res)
	}
	q.Load[1] = load()
	return q, nil
}

// measureFsync is what one durable write costs on the disk that Redis uses.
func measureFsync() (_ Dist, err error) {
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return Dist{}, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return Dist{}, err
	}
	defer f.Close()
	var took []time.Duration
	page := make([]byte, 4096)
	for range 100 {
		at := time.Now()
		if _, err := f.Write(page); err != nil {
			return Dist{}, err
		}
		if err := f.Sync(); err != nil {
			return Dist{}, err
		}
		took = append(took, time.Since(at))
	}
	return distOf(took), nil
}

// laps are the times of one worker, or of all.
type laps struct{ cycle, ingest, claim, settle []time.Duration }

func (l *laps) add(o laps) {
	l.cycle, l.ingest = append(l.cycle, o.cycle...), append(l.ingest, o.ingest...)
	l.claim, l.settle = append(l.claim, o.claim...), append(l.settle, o.settle...)
}

// cycles runs one configuration against a Redis of its own.
func cycles(ctx context.Context, r queueRun, length time.Duration) (res QueueResult, err error) {
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return res, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := storetest.Start(dir)
	if err != nil {
		return res, err
	}
	defer server.Kill()
	// The start-up gate refuses a server without appendfsync always.
	db, err := store.Open(ctx, store.Options{URL: server.URL(), Namespace: "bench"})
	if err != nil {
		return res, err
	}
	defer db.Close()

	ctx, cancel := context.WithTimeout(ctx, length+time.Minute)
	defer cancel()
	var mu sync.Mutex
	var all laps
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for w := range r.workers {
		wg.Go(func() {
			mine, err := worker(ctx, db, w, r.batch, began.Add(length))
			mu.Lock()
			defer mu.Unlock()
			all.add(mine)
			if err != nil {
				failed = errors.Join(failed, err)
				cancel()
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	if failed != nil {
		return res, failed
	}
	n := len(all.cycle)
	stats, err := db.Stats(ctx)
	if err != nil {
		return res, err
	}
	if stats.Pending != 0 || stats.Parked != 0 {
		return res, fmt.Errorf("[BUG] %d transfers pending and %d parked after the last cycle", stats.Pending, stats.Parked)
	}
	return QueueResult{
		Workers: r.workers, Batch: r.batch, Cycles: n, Seconds: round(took, 3),
		CyclesPerSecond: round(float64(n)/took, 1), TransfersPerSec: round(float64(n*r.batch)/took, 1),
		Cycle: distOf(all.cycle), Ingest: distOf(all.ingest), Claim: distOf(all.claim), Settle: distOf(all.settle),
	}, nil
}

// worker cycles until the end. What it ingests it also claims, or as much of
// another worker's: transfers in and out are equal, so nobody waits for ever.
func worker(ctx context.Context, db *store.DB, w, batch int, end time.Time) (l laps, err error) {
	chain, lane := fmt.Sprintf("chain%d", w), fmt.Sprintf("lane%d", w)
	at := func(n int) chains.Cursor { return chains.Cursor{Chain: 1, Next: uint64(n)} }
	if err := db.InitCursor(ctx, chain, at(0)); err != nil {
		return l, err
	}
	owed := 0
	for round := 0; time.Now().Before(end); round++ {
		began := time.Now()
		if err := db.Ingest(ctx, chain, at(round), at(round+1), jobs(w, round, batch, lane), nil); err != nil {
			return l, fmt.Errorf("ingest: %w", err)
		}
		ingested := time.Now()
		for owed += batch; owed > 0; {
			lookedAt := time.Now()
			lease, ok, err := db.Claim(ctx, lane, owed)
			if err != nil {
				return l, fmt.Errorf("claim: %w", err)
			}
			if !ok {
				runtime.Gosched()
				continue // every lane is held for a moment
			}
			claimed := time.Now()
			verdicts := make([]store.Verdict, len(lease.Jobs))
			for i, j := range lease.Jobs {
				verdicts[i] = store.Verdict{ID: j.Transfer.ID, Step: lease.Step, Advance: store.OK}
			}
			if err := db.Settle(ctx, lease, verdicts); err != nil {
				return l, fmt.Errorf("settle: %w", err)
			}
			owed -= len(lease.Jobs)
			l.claim = append(l.claim, claimed.Sub(lookedAt))
			l.settle = append(l.settle, time.Since(claimed))
		}
		l.cycle = append(l.cycle, time.Since(began))
		l.ingest = append(l.ingest, ingested.Sub(began))
	}
	return l, nil
}

func jobs(w, round, batch int, lane string) []store.NewJob {
	out := make([]store.NewJob, batch)
	for i := range out {
		var id common.Hash
		binary.BigEndian.PutUint64(id[:], uint64(w))
		binary.BigEndian.PutUint64(id[8:], uint64(round))
		binary.BigEndian.PutUint64(id[16:], uint64(i))
		out[i] = store.NewJob{
			Transfer: tokens.Transfer{
				ID: id, Route: "usdc_deposit", Sender: common.Address(id[:20]), Recipient: common.Address{9}, At: 1_700_000_000,
				Origin: chains.EventID{Tx: id}, Payload: make([]byte, payloadBytes),
			},
			Steps: []store.StepPlan{{
				Name: "pay", Lane: lane, Key: "pay/" + id.Hex(), Poll: time.Second,
				Next: map[store.Outcome]string{store.OK: string(tokens.Done)},
			}},
		}
	}
	return out
}
