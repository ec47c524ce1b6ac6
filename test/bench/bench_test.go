package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
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
		Queue:   &Queue{Runs: []QueueResult{{}}},
		Bridge:  &Bridge{Broadcast: Broadcast{OneOff: within(nil), Burst: within(nil), Steady: Steady{Spells: within(nil)}}, Gas: Gas{Rows: []GasRow{{Published: &Published{}}}}},
		Catchup: &Catchup{}, Backlog: &Backlog{}, Node: &Node{}, Idle: &Idle{}, History: &History{}, Checkpoints: &Checkpoints{},
		Crossing: &Crossing{Gas: []LegGas{{Rows: []GasRow{{}}}}},
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
		"bridge.broadcast.steady.spells.p99_ms", "bridge.broadcast.steady.transfers_per_second",
		"catchup.root.blocks_per_second", "catchup.subnet.hashes_confirmed", "backlog.root_to_subnet.block_time.transfers_per_second",
		"backlog.subnet_to_root.wall_clock.transfers_per_second", "backlog.subnet_to_root.latency_of_first_ms", "backlog.redis_bytes_per_transfer",
		"node.transfers_per_second", "node.mean_block_interval_seconds", "idle.relayer.cpu_percent_of_a_core", "idle.relayer.rss_bytes",
		"history.finished_transfers", "history.relayer.rss_bytes", "history.redis_bytes_per_transfer", "checkpoints.seconds",
		"crossing.ethereum_to_root.block_time.transfers_per_second", "crossing.root_to_ethereum.most_messages_executed_in_one", "crossing.sound",
		"crossing.ethereum_final_to_credit.apart_from_blocks.p99_ms", "crossing.ethereum_final_to_credit.total.p50_ms", "crossing.gas.rows.gas_per_message", "crossing.gas.gateway",
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
	for _, args := range [][]string{{"-only", "gas"}, {"-only", "queue,"}, {"extra"}, {"-nothing"}, {"-page", "nowhere.json"}} {
		var stdout, stderr bytes.Buffer
		require.Error(t, run(t.Context(), args, &stdout, &stderr), fmt.Sprint(args))
		require.Empty(t, stdout.String())
	}
}

func TestPartsAreMeasuredInTheirOrderWhateverTheOrderOfTheNames(t *testing.T) {
	all, err := chosen("")
	require.NoError(t, err)
	require.Len(t, all, len(parts))
	some, err := chosen("history,queue,idle")
	require.NoError(t, err)
	require.Len(t, some, 3)
	for i, name := range []string{"queue", "idle", "history"} {
		require.Equal(t, name, some[i].name)
	}
	// What fills the shared journal comes last of those that share it.
	names := partNames()
	require.Greater(t, slices.Index(names, "history"), slices.Index(names, "idle"))
}

func TestAShortCatchUpReadsEveryDepositAndConfirmsItsHashes(t *testing.T) {
	small := short
	small.blocks = 300
	c, err := measureCatchup(t.Context(), small, func(string, ...any) {})
	require.NoError(t, err)
	require.Greater(t, c.Root.Blocks, small.blocks)
	require.Equal(t, 2*2*small.blocks/eventEvery, c.Root.Transfers)
	require.GreaterOrEqual(t, c.Subnet.Transfers, small.blocks/10)
	for _, one := range []Caught{c.Root, c.Subnet} {
		require.Positive(t, one.BlocksPerSecond)
		require.Positive(t, one.Linked)
		require.Positive(t, one.EventBlocks)
	}
}

// finished makes a deposit and its message in a store of its own by the way
// that the relayer takes: ingested, looked at, decided by an event.
func finished(t *testing.T) (*store.DB, *storetest.Server, flow.Subnet, tokens.Transfer, tokens.Transfer) {
	server := storetest.StartRedis(t)
	ctx := t.Context()
	db, err := store.Open(ctx, store.Options{URL: server.URL(), Namespace: "causeway"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	sub := flow.Subnet{Name: "subnet", RootID: 1, ID: 2, Actor: somebody(1), Gateway: somebody(2), Controller: somebody(3), USDC: somebody(4), SubnetGateway: somebody(5)}
	at := chains.EventID{Chain: 1, Tx: common.Hash{1}, Index: 3}
	d := tokens.Transfer{
		ID: flow.TransferID("usdc_deposit", 1, sub.Controller, sub.Actor, 7), Route: "usdc_deposit", Subnet: sub.Actor, Sender: somebody(6), Recipient: somebody(7),
		Amount: tokens.MustUnits(someUSDC), Nonce: 7, Ref: common.Hash{2}, Origin: at, Height: 10, At: 1_700_000_000,
	}
	m := tokens.Transfer{
		ID: flow.TransferID("topdown", 1, sub.Gateway, sub.Actor, 7), Route: "topdown", Subnet: sub.Actor, Nonce: 7, Ref: common.Hash{2},
		Origin: at, Height: 10, At: 1_700_000_000, Payload: make([]byte, 800), Hidden: true,
	}
	f := flow.TopDown(sub, flow.DeliverDeps{})
	require.NoError(t, db.InitCursor(ctx, "root", chains.Cursor{Chain: 1, Next: 10}))
	require.NoError(t, db.Ingest(ctx, "root", chains.Cursor{Chain: 1, Next: 10}, chains.Cursor{Chain: 1, Next: 11, Parent: common.Hash{9}},
		[]store.NewJob{watch.Plan(flow.USDCDeposit(sub, nil), d), watch.Plan(f, m)}, nil))
	lease, ok, err := db.Claim(ctx, "worker", 10)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, db.Settle(ctx, lease, []store.Verdict{{ID: m.ID, Step: "deliver", RetryAt: time.Second}}))
	require.NoError(t, db.InitCursor(ctx, "subnet", chains.Cursor{Chain: 2, Next: 5}))
	require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2, Next: 5}, chains.Cursor{Chain: 2, Next: 6, Parent: common.Hash{8}}, nil, []store.Fact{{
		Key: string(f.Steps[0].Key(m)), Outcome: store.OK, Chain: "subnet", Height: 5, BlockHash: common.Hash{8}, Tx: common.Hash{3}, At: 1_700_000_009,
	}}))
	return db, server, sub, d, m
}

func TestLoadedTransfersHaveTheShapeThatTheRealPathLeaves(t *testing.T) {
	db, server, sub, d, m := finished(t)
	ctx := t.Context()
	deposit, ok, err := db.Get(ctx, d.ID)
	require.NoError(t, err)
	require.True(t, ok)
	message, _, err := db.Get(ctx, m.ID)
	require.NoError(t, err)
	require.True(t, plain(deposit) && plain(message), "%+v", message)

	rdb := server.Client()
	defer rdb.Close()
	p := patternOf(sub, deposit, message)
	said, err := p.compare(ctx, db, rdb, "causeway")
	require.NoError(t, err)
	for _, part := range []string{"deposit: ", "message: ", "ledger {", "index w/5×1", "evidence root/3×1", "evidence subnet/3×1"} {
		require.Contains(t, said, part)
	}
	const n = 1200
	require.NoError(t, p.load(ctx, db, rdb, "causeway", n, func(string, ...any) {}))
	stats, err := db.Stats(ctx)
	require.NoError(t, err)
	require.Zero(t, stats.Pending)
	total := 0
	require.Greater(t, stats.Journal, int64(n), "lines for people too")
	for _, c := range stats.Counts {
		require.Equal(t, tokens.Done, c.Status)
		total += c.N
	}
	require.Equal(t, 2*(n+1), total)
	repairs, err := db.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, repairs, "a journal that the audit finds whole")

	// A copied row says of its transfer what a script would have.
	made, facts := p.copies(lowest+n, 1)
	_, _, err = db.Backfill(ctx, "root", made, facts)
	require.NoError(t, err)
	copied, _ := p.copies(lowest+n-1, 1)
	for i := range made {
		a, ok1, err1 := db.Get(ctx, made[i].Transfer.ID)
		b, ok2, err2 := db.Get(ctx, copied[i].Transfer.ID)
		require.NoError(t, errors.Join(err1, err2))
		require.True(t, ok1 && ok2)
		require.Equal(t, made[i].Transfer, a.Transfer)
		require.Equal(t, copied[i].Transfer, b.Transfer)
		if made[i].Transfer.Hidden {
			require.Equal(t, b.Seq+1, a.Seq, "the message's place in its lane")
		}
		a.Transfer, a.CreatedAt, a.UpdatedAt, a.NotBefore, a.Seq, a.History[0].Tx = b.Transfer, b.CreatedAt, b.UpdatedAt, b.NotBefore, b.Seq, b.History[0].Tx
		require.Equal(t, b, a)
	}

	// One of another shape is noticed: here a recipient who is the sender too.
	other := p
	other.sub.Actor = somebody(99)
	other.depositF, other.messageF = flow.USDCDeposit(other.sub, nil), flow.TopDown(other.sub, flow.DeliverDeps{})
	other.deposit.Payload = []byte{1}
	_, err = other.compare(ctx, db, rdb, "causeway")
	require.ErrorContains(t, err, "another shape")
}

func TestCPUTimeIsReadBehindTheNameWhateverIsInIt(t *testing.T) {
	got, err := cpuTimeIn("42 (a) b) (c) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 1 2")
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, got)
	for _, bad := range []string{"", "42 no name", "42 (x) S 1 2", "42 (x) S 1 42 42 0 -1 4194560 900 0 0 0 a b 0 0"} {
		_, err := cpuTimeIn(bad)
		require.Error(t, err, bad)
	}
	u, err := usage(t.Context(), os.Getpid(), 10*time.Millisecond)
	require.NoError(t, err)
	require.Greater(t, u.RSSBytes, int64(1<<20))
	require.GreaterOrEqual(t, u.PeakBytes, u.RSSBytes)
}

func TestABacklogsRateLeavesTheFirstLatencyOut(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	b, jobs := &burst{began: began}, map[common.Hash]store.Job{}
	for i := range 6 {
		tx := common.Hash{byte(i + 1)}
		b.txs = append(b.txs, sent{hash: tx})
		if i == 5 {
			break
		}
		end := uint64(began.Unix()) + 10 + uint64(i/2)
		jobs[tx] = store.Job{
			Status: tokens.Done, UpdatedAt: time.Unix(int64(end), 0),
			History: []store.Entry{{Outcome: store.OK, Tx: tx, Height: end, At: end}, {Step: "deliver", By: "operator"}},
		}
	}
	w := waitedOf(b, jobs)
	require.Equal(t, map[string]int{"done": 5, "unseen": 1}, w.Statuses)
	require.Equal(t, 10_000.0, w.First)
	require.Equal(t, 2.0, *w.Block.PerSecond, "four behind the first in two seconds")
	require.Equal(t, 3, w.Blocks)
	require.Equal(t, 2, w.LargestBlock)
}

func TestACarriedMessageCountsByItsTwoEvents(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	at := uint64(began.Unix())
	var legs []store.Job
	for i := range 7 {
		legs = append(legs, store.Job{History: []store.Entry{
			{Step: "approve", Outcome: store.OK, Tx: common.Hash{1}, At: at + 2},
			{Step: "execute", Note: "looked at by hand"},
			{Step: "execute", Outcome: store.OK, Tx: common.Hash{byte(10 + i/4)}, At: at + 4 + 3*uint64(i/4)},
		}})
	}
	legs = append(legs, store.Job{History: legs[0].History[:2]}) // not through
	w := carriedOf(began, legs)
	require.Equal(t, []int{7, 1, 2, 4}, []int{w.Messages, w.Approvals, w.Executions, w.Largest})
	require.Equal(t, 2.0, *w.Executed.PerSecond, "six behind the first in three seconds")
	require.Equal(t, 1.4, *w.Executed.WholePerSecond, "seven from the approval on")
	require.Equal(t, []float64{4000, 7000}, []float64{w.First, w.Last})
	require.Equal(t, Carried{}, carriedOf(began, nil))
}

func TestALandingLeavesBlocksOut(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(ms) * time.Millisecond) }
	w := way{final: at(0), approve: at(100), approved: at(3000), execute: at(3050), ready: at(7000), deliver: at(7020), credited: at(8000), ok: true}
	ahead := w
	ahead.deliver = at(6900) // sent behind a statement that was not in a block yet
	got := landingOf([]way{w, ahead, {}})
	require.Equal(t, 1, got.Unseen)
	require.Equal(t, Dist{2, 8000, 8000, 8000, 8000}, got.Total)
	require.Equal(t, Dist{2, 150, 150, 170, 170}, got.Own)
	require.Equal(t, 0.0, got.Deliver.Min)
	require.Equal(t, 20.0, got.Deliver.Max)
}

func TestThePageHasEveryFigureOfADocumentAndSaysWhatIsNotMeasured(t *testing.T) {
	full := Report{
		Schema: schema, Mode: "full", Commit: "0123456789abcdef", Seconds: 900, Machine: Machine{CPU: "a CPU", Cores: 2, Redis: "7.0.15"},
		Queue:   &Queue{Runs: []QueueResult{{Workers: 32, Batch: 1, CyclesPerSecond: 5123}, {Workers: 1, Batch: 1}, {Workers: 32, Batch: 16}}, Load: [2]float64{0.5, 0.25}},
		Bridge:  &Bridge{Broadcast: Broadcast{Steady: Steady{Spells: within(nil)}}, Gas: Gas{Rows: []GasRow{{Operation: "deposit", Batch: 1, PerMessage: 77, Published: &Published{88, "fund"}}}}},
		Catchup: &Catchup{}, Backlog: &Backlog{}, Node: &Node{}, Idle: &Idle{Relayer: Usage{RSSBytes: 93_000_000}}, History: &History{}, Checkpoints: &Checkpoints{},
	}
	path := filepath.Join(t.TempDir(), "bench.json")
	raw, err := json.Marshal(full)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-page", path}, &stdout, &stderr))
	text := stdout.String()
	require.Contains(t, text, "Commit 0123456789ab,")
	require.Contains(t, text, "| 5123 cycles/s, p99 0.0 ms | 5,000 cycles/s | 0.2–0.5 |")
	require.Contains(t, text, "93 MB")
	require.Contains(t, text, "| deposit |  | 1 | 77 | 88 (fund) |")
	require.NotContains(t, text, unmeasured)
	for _, l := range pageLines() {
		require.NotEmpty(t, l.limits)
		require.Contains(t, text, "| "+l.figure+" |")
	}
	require.Equal(t, len(pageLines()), strings.Count(page(Report{}), unmeasured))
	require.NotContains(t, text, "Ethereum")

	// The crossing may be measured by itself.
	alone := page(Report{Crossing: &Crossing{
		Latency: Landing{Own: Dist{P50: 41}}, Gas: []LegGas{{"legacy", []GasRow{{Operation: "execute on the root", Batch: 20, PerMessage: 77, Published: &Published{88, "execute"}}}}},
	}})
	require.NotContains(t, alone, unmeasured)
	require.Contains(t, alone, "p50 41 ms")
	require.Contains(t, alone, "| execute on the root | legacy | 20 | 77 | 88 (execute) |")
	for _, l := range crossingLines() {
		require.NotEmpty(t, l.limits)
		require.Contains(t, alone, "| "+l.figure+" |")
	}
	require.Contains(t, page(Report{Crossing: &Crossing{}, Idle: &Idle{}}), unmeasured, "beside other parts those left out are named")

	require.NoError(t, os.WriteFile(path, []byte(`{"schema": 1}`), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{"-page", path}, &stdout, &stderr), "schema 1")
}

// The README's page is that of some run; its rows, aims and limits are this
// program's.
func TestTheReadmesPageIsOneThatThisProgramPrints(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(raw), "<!-- bench -->\n")
	require.True(t, ok)
	text, _, ok := strings.Cut(rest, "<!-- /bench -->")
	require.True(t, ok)
	require.Regexp(t, `^Commit [0-9a-f]{12}( with changes)?, \d{4}-\d\d-\d\d, a (full|short) run of \d+ minutes: .+, \d+ cores, `, text)
	rows := map[string]string{}
	for row := range strings.Lines(text) {
		if cells := strings.Split(row, " | "); len(cells) == 5 {
			rows[strings.TrimPrefix(cells[0], "| ")] = cells[2] + " | " + strings.TrimSuffix(strings.TrimSpace(cells[4]), " |")
		}
	}
	for _, l := range append(pageLines(), crossingLines()...) {
		require.Equal(t, l.aim+" | "+l.limits, rows[l.figure], "the page is old: go run ./test/bench -page bench/bench.json, row %s", l.figure)
	}
}
