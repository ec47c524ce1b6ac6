package store_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// BenchmarkCycle measures whole cycles: a transfer is ingested with its
// cursor, claimed and settled as done, each write fsynced before its reply.
// The unit is a transfer; batch is how many ride in one call.
func BenchmarkCycle(b *testing.B) {
	for _, c := range []struct{ workers, batch int }{{1, 1}, {1, 16}, {32, 1}, {32, 4}, {32, 16}, {32, 64}} {
		b.Run(fmt.Sprintf("workers=%d/batch=%d", c.workers, c.batch), func(b *testing.B) {
			s := storetest.StartRedis(b)
			db, err := store.Open(context.Background(), store.Options{URL: s.URL(), Namespace: "bench"})
			require.NoError(b, err)
			defer db.Close()
			var left, done atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			start := time.Now()
			var wg sync.WaitGroup
			for w := range c.workers {
				wg.Go(func() {
					for round := 0; left.Add(-int64(c.batch)) > -int64(c.batch); round++ {
						n, err := cycle(db, w, round, c.batch)
						if err != nil {
							b.Error(err)
							return
						}
						done.Add(int64(n))
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(done.Load())/time.Since(start).Seconds(), "cycles/s")
		})
	}
}

func cycle(db *store.DB, worker, round, batch int) (int, error) {
	ctx := context.Background()
	chain, lane := fmt.Sprintf("chain%d", worker), fmt.Sprintf("lane%d", worker)
	at := func(r int) chains.Cursor { return chains.Cursor{Chain: 1, Next: uint64(r)} }
	if round == 0 {
		if err := db.InitCursor(ctx, chain, at(0)); err != nil {
			return 0, err
		}
	}
	jobs := make([]store.NewJob, batch)
	for i := range jobs {
		var id common.Hash
		binary.BigEndian.PutUint64(id[:], uint64(worker))
		binary.BigEndian.PutUint64(id[8:], uint64(round))
		binary.BigEndian.PutUint64(id[16:], uint64(i))
		jobs[i] = store.NewJob{
			Transfer: tokens.Transfer{ID: id, Route: "usdc_deposit", Sender: common.Address(id[:20]), Recipient: common.Address{9}, At: 1_700_000_000,
				Origin: chains.EventID{Tx: id}, Payload: make([]byte, 256)},
			Steps: []store.StepPlan{{Name: "pay", Lane: lane, Key: "pay/" + id.Hex(), Poll: time.Second, Next: map[store.Outcome]string{store.OK: "done"}}},
		}
	}
	if err := db.Ingest(ctx, chain, at(round), at(round+1), jobs, nil); err != nil {
		return 0, err
	}
	l, ok, err := db.Claim(ctx, lane, batch)
	if err != nil || !ok {
		return 0, err
	}
	verdicts := make([]store.Verdict, len(l.Jobs))
	for i, j := range l.Jobs {
		verdicts[i] = store.Verdict{ID: j.Transfer.ID, Step: l.Step, Advance: store.OK}
	}
	return len(l.Jobs), db.Settle(ctx, l, verdicts)
}
