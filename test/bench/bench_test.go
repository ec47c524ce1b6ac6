package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestAShortRunOfTheQueuePrintsOneStrictDocumentAndWritesTheSame(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "bench.json")
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-short", "-only", "queue", "-out", out}, &stdout, &stderr))
	file, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, stdout.String(), string(file))
	require.Contains(t, stderr.String(), "32 workers")

	var r Report
	dec := json.NewDecoder(&stdout)
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&r))
	require.False(t, dec.More())
	require.Equal(t, schema, r.Schema)
	require.Equal(t, "short", r.Mode)
	require.Regexp(t, "^([0-9a-f]{40}|unknown)$", r.Commit)
	require.Positive(t, r.Machine.Cores)
	require.NotEmpty(t, r.Machine.Go)
	require.Nil(t, r.Bridge)

	require.Equal(t, "always", r.Queue.AppendFsync)
	ordered(t, r.Queue.Fsync)
	require.Len(t, r.Queue.Runs, len(short.runs))
	for i, q := range r.Queue.Runs {
		require.Equal(t, short.runs[i], queueRun{q.Workers, q.Batch})
		require.Positive(t, q.Cycles)
		require.InEpsilon(t, float64(q.Cycles)/q.Seconds, q.CyclesPerSecond, 0.01)
		require.Equal(t, q.Cycles, q.Cycle.Samples)
		for _, d := range []Dist{q.Cycle, q.Ingest, q.Claim, q.Settle} {
			ordered(t, d)
		}
		require.GreaterOrEqual(t, q.Cycle.P50, q.Ingest.Min+q.Claim.Min+q.Settle.Min)
	}
}

func ordered(t *testing.T, d Dist) {
	t.Helper()
	require.Positive(t, d.Samples)
	require.Positive(t, d.Min)
	require.IsNonDecreasing(t, []float64{d.Min, d.P50, d.P99, d.Max})
}

func TestTheDocumentKeepsTheFieldsThatReadersOfItUse(t *testing.T) {
	raw, err := json.Marshal(Report{
		Queue:  &Queue{Runs: []QueueResult{{}}},
		Bridge: &Bridge{Broadcast: Broadcast{OneOff: within(nil), Burst: within(nil)}, Gas: Gas{Rows: []GasRow{{Published: &Published{}}}}},
	})
	require.NoError(t, err)
	var doc any
	require.NoError(t, json.Unmarshal(raw, &doc))
	paths := map[string]bool{}
	walk(doc, "", paths)
	for _, want := range []string{
		"schema", "mode", "commit", "modified", "machine.cores", "machine.memory_bytes", "machine.go", "machine.load_1m_before",
		"queue.runs.cycles_per_second", "queue.runs.cycle.p50_ms", "queue.runs.cycle.p99_ms", "queue.load_1m",
		"bridge.deposits.wall_clock.transfers_per_second", "bridge.deposits.block_time.transfers_per_second", "bridge.deposits.latency_of_first_ms",
		"bridge.withdrawals.wall_clock.transfers_per_second", "bridge.withdrawals.block_time.transfers_per_second", "bridge.withdrawals.latency.p99_ms",
		"bridge.broadcast.clocks", "bridge.broadcast.one_at_a_time.p50_ms", "bridge.broadcast.one_at_a_time.p99_ms", "bridge.broadcast.burst.waits_for",
		"bridge.gas.published", "bridge.gas.rows.batch", "bridge.gas.rows.gas_per_message", "bridge.gas.rows.published.gas_per_message", "bridge.sound",
	} {
		require.True(t, paths[want], "the document has no %s", want)
	}
}

func walk(v any, at string, seen map[string]bool) {
	seen[strings.TrimPrefix(at, ".")] = true
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			walk(inner, at+"."+k, seen)
		}
	case []any:
		for _, inner := range v {
			walk(inner, at, seen)
		}
	}
}

func TestPercentilesAreNearestRank(t *testing.T) {
	var samples []time.Duration
	for i := range 200 {
		samples = append(samples, time.Duration(200-i)*time.Millisecond)
	}
	require.Equal(t, Dist{200, 1, 100, 198, 200}, distOf(samples))
	require.Equal(t, Dist{1, 7, 7, 7, 7}, distOf([]time.Duration{7 * time.Millisecond}))
	require.Equal(t, Dist{}, distOf(nil))
}

func TestARateIsNullWhereAllTransfersEndInOneMoment(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	same := ratesOf(40, at, at.Add(8*time.Second), at.Add(8*time.Second))
	require.Nil(t, same.PerSecond)
	require.Equal(t, 5.0, *same.WholePerSecond)
	apart := ratesOf(41, at, at.Add(8*time.Second), at.Add(10*time.Second))
	require.Equal(t, 20.0, *apart.PerSecond)
	require.Equal(t, 4.1, *apart.WholePerSecond)
	require.Equal(t, 2.0, apart.FirstToLast)
}

func TestADirectionCountsWhatDidNotEndWell(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	h := &history{byTx: map[common.Hash]store.Job{}}
	b := &burst{began: began}
	for i := range 5 {
		tx := common.Hash{byte(i + 1)}
		b.txs = append(b.txs, sent{tx, began.Add(time.Millisecond)})
		if i == 4 {
			break // the relayer never saw this one
		}
		j := store.Job{Status: tokens.Done, UpdatedAt: began.Add(time.Duration(5+i) * time.Second)}
		j.Transfer = tokens.Transfer{Route: "flt_deposit", At: uint64(began.Unix()), Height: uint64(7 + i%2)}
		j.History = []store.Entry{{Outcome: store.OK, Tx: tx, At: uint64(began.Unix()) + 4 + uint64(i)}}
		if i == 3 {
			j.Status, j.Reason = tokens.Refunded, "refused"
		}
		h.byTx[tx] = j
	}
	require.False(t, allDone(h))
	d := directionOf(h, b)
	require.Equal(t, map[string]int{"done": 3, "refunded": 1, "unseen": 1}, d.Statuses)
	require.Len(t, d.Failed, 2)
	require.Equal(t, 2, d.OriginBlocks)
	require.Equal(t, 5000.0, d.First)
	require.Equal(t, 2.0, d.Wall.FirstToLast)
	require.Equal(t, 1.0, *d.Wall.PerSecond)
	require.Equal(t, 6.0, d.Block.SentToLast)
	require.Equal(t, 3, d.Latency.Samples)
}

func TestABroadcastCountsInItsOwnPhaseAndAnUnseenOneIsNotASample(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	phase := span{at, at.Add(time.Minute)}
	got := within([]timed{
		{spellExec, at.Add(-time.Second), at.Add(time.Second), true},
		{spellExec, at.Add(time.Second), at.Add(2 * time.Minute), true},   // another phase
		{spellExec, at.Add(time.Second), time.Time{}, false},              // its pool entry was missed
		{spellSubmit, at.Add(time.Second), at.Add(3 * time.Second), true}, // another kind
	}, phase)
	require.Equal(t, Dist{1, 2000, 2000, 2000, 2000}, got[spellExec].Dist)
	require.Equal(t, 1, got[spellExec].Unseen)
	require.Equal(t, 1, got[spellSubmit].Samples)
	for _, s := range got {
		require.NotEmpty(t, s.Transaction)
		require.NotEmpty(t, s.From)
		require.NotEmpty(t, s.To)
		require.NotEmpty(t, s.Waits)
	}
	require.Zero(t, described[spellExec].Samples, "the descriptions are shared")
}

func TestGasIsPerMessageTheMedianOfEachBatchSize(t *testing.T) {
	g := gasRows{}
	for _, used := range []uint64{1200, 1000, 1100} {
		g.add(row{"deliver", "FLT", 10}, &types.Receipt{Status: 1, GasUsed: used})
	}
	g.add(row{"deliver", "FLT", 10}, &types.Receipt{Status: 0, GasUsed: 1})
	g.add(row{"deliver", "FLT", 37}, &types.Receipt{Status: 1, GasUsed: 3700})
	g.add(row{"deliver", "FLT", 11}, &types.Receipt{Status: 1, GasUsed: 1})
	g.add(row{"deposit", "FLT", 1}, &types.Receipt{Status: 1, GasUsed: 50})
	rows := g.table([]int{1, 10})
	require.Len(t, rows, 3)
	require.Equal(t, "deposit", rows[0].Operation)
	require.Equal(t, GasRow{"deliver", "FLT", 10, 3, 1100, 110, 100, 120, rows[1].Published}, rows[1])
	require.Equal(t, uint64(738_635), rows[1].Published.PerMessage)
	require.Equal(t, 37, rows[2].Batch)
	require.Nil(t, rows[2].Published)
}

func TestABatchCutALittleShorterStandsBesideTheOneAskedFor(t *testing.T) {
	p, ok := beside(row{"exec", "FLT", 47}, full.batches)
	require.True(t, ok)
	require.Equal(t, published[row{"exec", "FLT", 50}], p)
	for _, n := range []int{2, 9, 11, 44, 51} {
		p, ok := beside(row{"exec", "FLT", n}, full.batches)
		require.Equal(t, n == 9, ok, "%d: %v", n, p)
	}
}

func TestEveryPublishedFigureStandsBesideARowOfAFullRun(t *testing.T) {
	for k, p := range published {
		require.GreaterOrEqual(t, order(k.operation), 0, "%s is no operation of the table", k.operation)
		require.True(t, slices.Contains(full.batches, k.batch), "%v is a batch size that no run has", k)
		require.Positive(t, p.PerMessage)
		require.NotEmpty(t, p.Operation)
	}
}

func TestTheFirstStatementAboveAMessageCoversIt(t *testing.T) {
	list := []statement{{block: 3, nonce: 2}, {block: 5, nonce: 9}}
	for nonce, block := range map[uint64]uint64{0: 3, 1: 3, 2: 5, 8: 5} {
		s, ok := covering(list, nonce)
		require.True(t, ok)
		require.Equal(t, block, s.block, "message %d", nonce)
	}
	_, ok := covering(list, 9)
	require.False(t, ok)
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-only", "gas"}, {"extra"}, {"-nothing"}} {
		var stdout, stderr bytes.Buffer
		require.Error(t, run(t.Context(), args, &stdout, &stderr), fmt.Sprint(args))
		require.Empty(t, stdout.String())
	}
}
