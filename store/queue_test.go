package store_test

import (
	"context"
	"fmt"
	"math/big"
	"net"
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

func fill(t *testing.T, db *store.DB, jobs ...store.NewJob) {
	t.Helper()
	n, _, err := db.Backfill(ctx, "root", jobs, nil)
	require.NoError(t, err)
	require.Equal(t, len(jobs), n)
}

func claim(t *testing.T, db *store.DB, most int) store.Lease {
	t.Helper()
	l, ok, err := db.Claim(ctx, "w", most)
	require.NoError(t, err)
	require.True(t, ok)
	return l
}

func noClaim(t *testing.T, db *store.DB) {
	t.Helper()
	l, ok, err := db.Claim(ctx, "w", 10)
	require.NoError(t, err)
	require.False(t, ok, "%v", l)
}

// loose is a job of one step in a loose lane.
func loose(n int) store.NewJob {
	j := job(n)
	j.Steps = []store.StepPlan{{Name: "pay", Lane: "pay", Key: fmt.Sprintf("pay/%d", n), Poll: time.Second, Next: map[store.Outcome]string{store.OK: "done"}}}
	return j
}

func TestACursorMovesOnlyFromWhereItIs(t *testing.T) {
	db, _ := open(t, redisFor(t))
	_, ok, err := db.Cursor(ctx, "root")
	require.NoError(t, err)
	require.False(t, ok)
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1)}, nil), store.ErrCursor, "before InitCursor")
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.NoError(t, db.InitCursor(ctx, "root", cursor(9)), "only if absent")

	other := cursor(1)
	other.Parent = hash(66) // same height, another block
	require.ErrorIs(t, db.Ingest(ctx, "root", other, cursor(2), []store.NewJob{job(1)}, nil), store.ErrCursor)
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{job(1)}, nil), store.ErrCursor)
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(3), cursor(2), nil, nil), store.ErrInvalid, "backwards")
	_, ok, err = db.Get(ctx, hash(1))
	require.NoError(t, err)
	require.False(t, ok, "nothing of a refused ingest is written")

	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1)}, nil))
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1)}, nil), store.ErrCursor, "twice")
	c, ok, err := db.Cursor(ctx, "root")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, cursor(2), c)
}

func TestAPartOfABlockGoesInWithoutMovingTheCursor(t *testing.T) {
	db, _ := open(t, storetest.StartRedis(t))
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	facts := []store.Fact{fact("send/1", store.OK, 1)}
	for range 2 { // told twice
		require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(1), []store.NewJob{job(1), job(2)}, facts))
		c, _, err := db.Cursor(ctx, "root")
		require.NoError(t, err)
		require.Equal(t, cursor(1), c)
		require.Equal(t, "await", get(t, db, 1).Step)
		require.Len(t, get(t, db, 1).History, 1)
	}
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(3)}, nil))
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(1), cursor(1), []store.NewJob{job(4)}, nil), store.ErrCursor, "by then another instance has read it whole")
	other := cursor(2)
	other.Parent = hash(3)
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(2), other, nil, nil), store.ErrInvalid, "another block at the same height")
}

func TestBigNumbersAreNotRounded(t *testing.T) {
	db, _ := open(t, redisFor(t))
	j := job(1)
	j.Transfer.Amount = tokens.MustUnits(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)))
	j.Transfer.Nonce = 1<<63 + 12345
	j.Transfer.Origin.Chain = 2443544983013266123
	j.Steps[0].Seq = 1<<53 - 1
	c := chains.Cursor{Chain: 2443544983013266123, Next: 1<<64 - 1, Parent: hash(1)}
	require.NoError(t, db.InitCursor(ctx, "root", c))
	f := fact("send/1", store.OK, 1)
	f.Height, f.At = 1<<64-1, 1<<63
	_, _, err := db.Backfill(ctx, "root", []store.NewJob{j}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1<<53-1, get(t, db, 1).Seq)
	_, _, err = db.Backfill(ctx, "root", nil, []store.Fact{f})
	require.NoError(t, err)
	got := get(t, db, 1)
	require.Equal(t, j.Transfer, got.Transfer)
	require.EqualValues(t, uint64(1<<64-1), got.History[0].Height)
	require.EqualValues(t, uint64(1<<63), got.History[0].At)
	read, _, err := db.Cursor(ctx, "root")
	require.NoError(t, err)
	require.Equal(t, c, read)

	j.Steps[0].Seq = 1<<53 + 1
	_, _, err = db.Backfill(ctx, "root", []store.NewJob{j}, nil)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, "2^53")
}

func TestWhatCannotBeStoredIsRefusedWhole(t *testing.T) {
	db, _ := open(t, redisFor(t))
	for name, change := range map[string]func(*store.NewJob){
		"no steps":        func(j *store.NewJob) { j.Steps = nil },
		"no lane":         func(j *store.NewJob) { j.Steps[0].Lane = "" },
		"newline in lane": func(j *store.NewJob) { j.Steps[0].Lane = "a\nb" },
		"newline in key":  func(j *store.NewJob) { j.Steps[0].Key = "a\nb" },
		"no route":        func(j *store.NewJob) { j.Transfer.Route = "" },
		"name twice":      func(j *store.NewJob) { j.Steps[1].Name = "send" },
		"backwards":       func(j *store.NewJob) { j.Steps[1].Next = map[store.Outcome]string{store.OK: "send"} },
		"to itself":       func(j *store.NewJob) { j.Steps[1].Next = map[store.Outcome]string{store.OK: "await"} },
		"nowhere":         func(j *store.NewJob) { j.Steps[1].Next = map[store.Outcome]string{store.OK: "home"} },
		"shares no key":   func(j *store.NewJob) { j.Steps[0].Key, j.Steps[0].Shared = "", true },
		"shared and not":  func(j *store.NewJob) { j.Steps[1].Key, j.Steps[1].Shared = j.Steps[0].Key, true },
		"odd chain":       func(j *store.NewJob) { j.Chain = "a\nb" },
		"called parked":   func(j *store.NewJob) { j.Steps[2].Name = "parked" },
	} {
		j := job(2)
		change(&j)
		_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1), j}, nil)
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
	for name, f := range map[string]store.Fact{
		"no key": {Outcome: store.OK, Chain: "root"}, "no outcome": {Key: "k", Chain: "root"}, "odd outcome": {Key: "k", Outcome: "maybe"},
	} {
		_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1)}, []store.Fact{f})
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
	_, ok, err := db.Get(ctx, hash(1))
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(1), cursor(2), make([]store.NewJob, 10_001), nil), store.ErrBatch)
}

func TestAFactWaitsForItsTransfers(t *testing.T) {
	db, _ := open(t, redisFor(t))
	_, advanced, err := db.Backfill(ctx, "subnet", nil, []store.Fact{fact("await/1", store.Failed, 1), fact("send/1", store.OK, 2)})
	require.NoError(t, err)
	require.Zero(t, advanced)
	fill(t, db, job(1), job(2))
	// the later step came first and takes the transfer past the earlier one
	require.Equal(t, "refund", get(t, db, 1).Step)
	require.Len(t, get(t, db, 1).History, 1)
	require.Equal(t, "send", get(t, db, 2).Step)

	// one event can decide many, also those that come after it
	a, b := job(3), job(4)
	a.Steps[0].Key, b.Steps[0].Key = "height/10", "height/10"
	fill(t, db, a)
	_, advanced, err = db.Backfill(ctx, "subnet", nil, []store.Fact{fact("height/10", store.Superseded, 3)})
	require.NoError(t, err)
	require.Equal(t, 1, advanced)
	fill(t, db, b)
	require.Equal(t, "await", get(t, db, 3).Step)
	require.Equal(t, "await", get(t, db, 4).Step)

	// told again it does nothing
	_, advanced, err = db.Backfill(ctx, "subnet", nil, []store.Fact{fact("height/10", store.Superseded, 3)})
	require.NoError(t, err)
	require.Zero(t, advanced)
}

func TestATransferNeverGoesBack(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1))
	_, n, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("refund/1", store.OK, 1)})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, tokens.Refunded, get(t, db, 1).Status)
	for i, key := range []string{"send/1", "await/1", "refund/1"} {
		_, n, err = db.Backfill(ctx, "root", nil, []store.Fact{fact(key, store.OK, 5+i)})
		require.NoError(t, err)
		require.Zero(t, n)
	}
	require.Equal(t, tokens.Refunded, get(t, db, 1).Status)
	noClaim(t, db)
}

func TestEightFactsAreKeptPerKey(t *testing.T) {
	db, _ := open(t, redisFor(t))
	var facts []store.Fact
	for n := range 20 {
		facts = append(facts, fact("send/1", store.OK, n))
	}
	_, _, err := db.Backfill(ctx, "root", nil, facts)
	require.NoError(t, err)
	fill(t, db, job(1))
	require.EqualValues(t, hash(6000), get(t, db, 1).History[0].Tx, "the first")
}

func TestAStrictLaneGoesInOrderAndItsHeadBlocks(t *testing.T) {
	db, c := open(t, redisFor(t))
	fill(t, db, job(3), job(1), job(2), job(10))
	l := claim(t, db, 1)
	require.Equal(t, []int{1, 2, 3, 10}, ids(l.Jobs), "four times as many as of a loose lane")
	// 1 and 3 go on, 2 stays: nobody passes it
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{
		{ID: hash(1), Step: "send", Advance: store.OK},
		{ID: hash(2), Step: "send", RetryAt: time.Minute, Cause: "reverted", CountAttempt: true},
		{ID: hash(3), Step: "send", Advance: store.OK},
	}))
	noClaim(t, db)
	require.NoError(t, db.Wake(ctx, hash(10)))
	noClaim(t, db)
	lanes, err := db.Lanes(ctx)
	require.NoError(t, err)
	for _, lane := range lanes {
		if lane.Name == "root:send" {
			require.Equal(t, store.LaneInfo{Name: "root:send", Strict: true, Depth: 2, HeadSeq: 2, NotBefore: c.now().Add(time.Minute).UTC(), LastErr: "reverted"}, lane)
		}
	}
	jobs, err := db.LaneJobs(ctx, "root:send", 3, 10)
	require.NoError(t, err)
	require.Equal(t, []int{10}, ids(jobs))

	// a park verdict does not move a strict head: those behind it would be refused by the chain
	require.NoError(t, db.Wake(ctx, hash(2)))
	l = claim(t, db, 10)
	require.Equal(t, []int{2, 10}, ids(l.Jobs))
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(2), Step: "send", Park: true, Reason: "rejected", RetryAt: time.Second}}))
	require.Equal(t, tokens.Pending, get(t, db, 2).Status)
	noClaim(t, db)
	c.advance(time.Second)
	require.Equal(t, []int{2, 10}, ids(claim(t, db, 10).Jobs))
}

func TestABatchIsOfOneRouteAndStep(t *testing.T) {
	db, _ := open(t, redisFor(t))
	a, b, c := job(1), job(2), job(3)
	b.Transfer.Route = "usdc_withdraw"
	fill(t, db, a, b, c)
	l := claim(t, db, 10)
	require.Equal(t, []int{1}, ids(l.Jobs), "strict: those behind wait")
	require.NoError(t, db.Settle(ctx, l, nil))

	x, y, z := loose(4), loose(5), loose(6)
	y.Transfer.Route = "usdc_withdraw"
	fill(t, db, x, y, z)
	for _, j := range []int{1, 2, 3} {
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact(fmt.Sprintf("refund/%d", j), store.OK, j)})
		require.NoError(t, err)
	}
	require.Equal(t, []int{4, 6}, ids(claim(t, db, 10).Jobs), "loose: others are stepped round")
}

func TestALooseLaneStepsRoundWhoIsNotDue(t *testing.T) {
	db, c := open(t, redisFor(t))
	fill(t, db, loose(1), loose(2))
	l := claim(t, db, 10)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "pay", RetryAt: time.Minute}}))
	require.Equal(t, []int{2}, ids(claim(t, db, 10).Jobs))
	noClaim(t, db)
	c.advance(time.Hour)
	noClaim(t, db) // leased still: only a reap takes it
}

func TestPoisonIsParkedAloneInALooseLane(t *testing.T) {
	db, c := open(t, redisFor(t))
	fill(t, db, loose(1), loose(2))
	die := func(want ...int) {
		require.ElementsMatch(t, want, ids(claim(t, db, 10).Jobs))
		c.advance(time.Hour)
		n, err := db.Reap(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		c.advance(time.Hour)
	}
	die(1, 2)
	require.Equal(t, 1, get(t, db, 1).Crashes)
	require.Equal(t, 1, get(t, db, 2).Crashes)
	l := claim(t, db, 10) // after a crash each comes alone
	require.Equal(t, []int{1}, ids(l.Jobs))
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "pay", RetryAt: 24 * time.Hour}}))
	require.Zero(t, get(t, db, 1).Crashes, "in a row")
	for range 4 {
		die(2)
	}
	require.Equal(t, tokens.Pending, get(t, db, 2).Status, "five deaths may be bad luck")
	die(2)
	j := get(t, db, 2)
	require.Equal(t, tokens.Parked, j.Status)
	require.Equal(t, "poison", j.Reason)
	require.Equal(t, 0, j.Attempts, "a crash is not an attempt")
	require.Equal(t, tokens.Pending, get(t, db, 1).Status)
}

func TestNobodyPassesWhoWaitsInTheMiddleOfAStrictLane(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1), job(2), job(3))
	l := claim(t, db, 10)
	require.Equal(t, []int{1, 2, 3}, ids(l.Jobs))
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(2), Step: l.Step, RetryAt: time.Hour}}))
	require.Equal(t, []int{1}, ids(claim(t, db, 10).Jobs))
}

func TestAStrictHeadBacksOffAndIsNeverParked(t *testing.T) {
	db, c := open(t, redisFor(t))
	fill(t, db, job(1), job(2))
	for n := 1; n <= 10; n++ {
		l := claim(t, db, 10)
		require.Equal(t, 1, ids(l.Jobs)[0])
		if n > 1 {
			require.Len(t, l.Jobs, 1)
		}
		c.advance(30 * time.Second)
		_, err := db.Reap(ctx)
		require.NoError(t, err)
		require.Equal(t, n, get(t, db, 1).Crashes)
		require.Equal(t, min(time.Minute, time.Second<<(n-1)), get(t, db, 1).NotBefore.Sub(c.now()))
		c.advance(time.Minute)
	}
	require.Equal(t, tokens.Pending, get(t, db, 1).Status)
	require.Zero(t, get(t, db, 2).Crashes)
}

func TestFencesRiseThoughTheirCounterIsLost(t *testing.T) {
	s := storetest.StartRedis(t)
	db, c := open(t, s)
	r := s.Client()
	defer r.Close()
	fill(t, db, job(1))
	var last uint64
	for range 3 {
		l := claim(t, db, 1)
		require.Greater(t, l.Fence.Counter, last)
		last = l.Fence.Counter
		require.NoError(t, db.Settle(ctx, l, nil))
		require.NoError(t, r.Del(ctx, "{test}:fence").Err())
		c.advance(time.Second)
	}
}

func TestAZombieWritesNothing(t *testing.T) {
	s := redisFor(t)
	db, c := open(t, s)
	fill(t, db, job(1))
	old := claim(t, db, 1)
	c.advance(20 * time.Second)
	old, err := db.Extend(ctx, old)
	require.NoError(t, err)
	c.advance(20 * time.Second)
	n, err := db.Reap(ctx)
	require.NoError(t, err)
	require.Zero(t, n, "extended")
	c.advance(20 * time.Second)
	_, err = db.Reap(ctx)
	require.NoError(t, err)
	c.advance(time.Minute)
	now := claim(t, db, 1)
	require.Greater(t, now.Fence.Counter, old.Fence.Counter)

	_, err = db.Extend(ctx, old)
	require.ErrorIs(t, err, chains.ErrStale)
	require.ErrorIs(t, db.Settle(ctx, old, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.OK}}), chains.ErrStale)
	_, _, err = db.Reserve(ctx, 1, common.Address{1}, chains.Tx{Key: "k", Members: []common.Hash{hash(1)}, Fence: old.Fence}, 0, 10)
	require.ErrorIs(t, err, chains.ErrStale)
	require.Equal(t, "send", get(t, db, 1).Step)
	require.NoError(t, db.Settle(ctx, now, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.OK}}))
	require.Equal(t, "await", get(t, db, 1).Step)
	require.ErrorIs(t, db.Settle(ctx, now, nil), chains.ErrStale, "given back")

	forged := now
	forged.Fence.Epoch++
	require.ErrorIs(t, db.Settle(ctx, forged, nil), chains.ErrStale)

	// Each refusal of a write is a line of the journal.
	r := s.Client()
	defer r.Close()
	lines, err := r.XRange(ctx, "{test}:journal", "-", "+").Result()
	require.NoError(t, err)
	var refused []any
	for _, l := range lines {
		if l.Values["k"] == "stale" {
			refused = append(refused, l.Values["verb"])
		}
	}
	require.Equal(t, []any{"settle", "reserve", "settle", "settle"}, refused)
}

// Between a claim whose reply was lost and its repetition the lease may run out
// and the lane go to another.
func TestALaneThatWentToAnotherWhileAReplyWasLostIsTheOthers(t *testing.T) {
	s := redisFor(t)
	other, c := open(t, s)
	noClaim(t, other) // from here on the server knows the script
	fill(t, other, job(1))
	lossy, over := &storetest.Lossy{}, false
	var theirs store.Lease
	db, _ := open(t, s, func(o *store.Options) {
		o.Clock, o.Instance = c.now, "b"
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if lossy.Lost() > 0 && !over {
				over = true
				c.advance(time.Minute)
				if n, err := other.Reap(ctx); err != nil || n != 1 {
					return nil, fmt.Errorf("%d lanes were taken: %w", n, err)
				}
				c.advance(time.Minute)
				var err error
				if theirs, _, err = other.Claim(ctx, "other", 1); err != nil {
					return nil, err
				}
			}
			return lossy.Dial(ctx, network, addr)
		}
	})
	lossy.Lose(1)
	noClaim(t, db)
	require.Equal(t, "other", theirs.Worker)
	require.NoError(t, other.Settle(ctx, theirs, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.OK}}))
}

func TestAVerdictOnAStrangerIsRefused(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1))
	l := claim(t, db, 1)
	fill(t, db, loose(2))
	for _, v := range [][]store.Verdict{
		{{ID: hash(2), Step: "pay", Advance: store.OK}},
		{{ID: hash(1), Step: "send"}, {ID: hash(1), Step: "send"}},
		{{ID: hash(1), Step: "send", Advance: "maybe"}},
		{{ID: hash(1), Step: "send", Advance: store.OK, Park: true}},
	} {
		require.ErrorIs(t, db.Settle(ctx, l, v), store.ErrInvalid)
	}
	require.NoError(t, db.Settle(ctx, l, nil), "the lease is unharmed")
}

func TestLostRepliesChangeNothing(t *testing.T) {
	lossy := &storetest.Lossy{}
	db, _ := open(t, redisFor(t), func(o *store.Options) { o.Dial = lossy.Dial })
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	lossy.Lose(2)
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{loose(1), loose(2)}, []store.Fact{fact("x", store.OK, 1)}))
	lossy.Lose(2)
	l := claim(t, db, 1)
	require.Equal(t, []int{1}, ids(l.Jobs))
	require.EqualValues(t, 2, l.Fence.Counter, "ingested once, claimed once")
	tx := chains.Tx{Key: "k", Members: []common.Hash{hash(1)}, Fence: l.Fence}
	lossy.Lose(2)
	in, existing, err := db.Reserve(ctx, 1, common.Address{1}, tx, 7, 10)
	require.NoError(t, err)
	require.False(t, existing)
	require.EqualValues(t, 7, in.Nonce)
	lossy.Lose(2)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "pay", RetryAt: time.Hour, CountAttempt: true}}))
	require.Equal(t, 1, get(t, db, 1).Attempts)
	require.NoError(t, db.Settle(ctx, claim(t, db, 9), []store.Verdict{{ID: hash(2), Step: "pay", Park: true, Reason: "rejected"}}))
	lossy.Lose(2)
	require.NoError(t, db.Retry(ctx, hash(2), "ann"))
	require.Len(t, get(t, db, 2).History, 2)
	lossy.Lose(1)
	n, _, err := db.Backfill(ctx, "root", []store.NewJob{loose(3)}, nil)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the first answer, not a second one")
	require.Equal(t, 11, lossy.Lost())

}

func TestAParkedTransferStaysUntilSomebodySaysOtherwise(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1))
	require.ErrorIs(t, db.Retry(ctx, hash(1), "ann"), store.ErrNotParked)
	require.ErrorIs(t, db.Discard(ctx, hash(1), "ann", "x"), store.ErrNotParked)
	require.ErrorIs(t, db.Retry(ctx, hash(9), "ann"), store.ErrUnknown)
	require.ErrorIs(t, db.Wake(ctx, hash(9)), store.ErrUnknown)

	bad := fact("refund/1", store.Failed, 1)
	bad.Reason = "refund_refused"
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{bad})
	require.NoError(t, err)
	j := get(t, db, 1)
	require.Equal(t, tokens.Parked, j.Status)
	require.Equal(t, "refund_refused", j.Reason)
	require.Equal(t, "refund", j.Step)
	noClaim(t, db)

	require.NoError(t, db.Discard(ctx, hash(1), "ann", "paid by hand"))
	j = get(t, db, 1)
	require.True(t, j.Discarded)
	require.Equal(t, "operator", j.Reason)
	require.NoError(t, db.Retry(ctx, hash(1), "bob"))
	j = get(t, db, 1)
	require.Equal(t, tokens.Pending, j.Status, "the fact that parked it does not park it again")
	require.False(t, j.Discarded)
	require.Equal(t, "bob", j.History[2].By)
	require.Equal(t, store.Entry{Step: "refund", Reason: "operator", Note: "paid by hand", By: "ann", At: j.History[1].At}, j.History[1])

	// a fact that arrives while it is parked counts once it is retried
	_, _, err = db.Backfill(ctx, "root", nil, []store.Fact{fact("refund/1", store.Failed, 2)})
	require.NoError(t, err)
	_, n, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("refund/1", store.OK, 3)})
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, db.Retry(ctx, hash(1), "bob"))
	require.Equal(t, tokens.Refunded, get(t, db, 1).Status)
}

func TestAPausedLaneIsNotClaimed(t *testing.T) {
	db, c := open(t, redisFor(t))
	fill(t, db, job(1))
	require.NoError(t, db.PauseLane(ctx, "root:send", "ann"))
	noClaim(t, db)
	require.NoError(t, db.PauseLane(ctx, "empty", "ann"))
	lanes, err := db.Lanes(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []store.LaneInfo{
		{Name: "root:send", Strict: true, Depth: 1, HeadSeq: 1, Paused: "ann"}, {Name: "empty", Paused: "ann"},
	}, lanes)
	fill(t, db, job(2)) // new work does not wake it
	noClaim(t, db)
	require.NoError(t, db.ResumeLane(ctx, "root:send", "ann"))
	l := claim(t, db, 1)

	// paused while leased: the lease ends as usual, the next one waits
	require.NoError(t, db.PauseLane(ctx, "root:send", "ann"))
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "send", RetryAt: time.Second}}))
	c.advance(time.Minute)
	noClaim(t, db)
	require.NoError(t, db.ResumeLane(ctx, "root:send", "ann"))
	claim(t, db, 1)
}

// TestWorkersNeverShareALaneNorPassItsHead runs many workers, some of which
// die or sleep through their lease, on the server's own clock.
func TestWorkersNeverShareALaneNorPassItsHead(t *testing.T) {
	s := redisFor(t)
	real := func(o *store.Options) { o.Clock, o.LeaseTime = nil, 60*time.Millisecond }
	db, _ := open(t, s, real)
	const lanes, each = 5, 80
	var jobs []store.NewJob
	for lane := range lanes {
		for n := range each {
			j := job(1 + lane*each + n)
			j.Steps = []store.StepPlan{{Name: "go", Lane: fmt.Sprint("lane", lane), Strict: true, Seq: uint64(n), Poll: time.Second, Next: map[store.Outcome]string{store.OK: "done"}}}
			jobs = append(jobs, j)
		}
	}
	fill(t, db, jobs...)

	var mu sync.Mutex
	owner := map[string]chains.Fence{} // newest fence that settled
	next := map[string]int{}
	var done, stale atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				if _, err := db.Reap(ctx); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var workers sync.WaitGroup
	for w := range 12 {
		workers.Go(func() {
			for round := w; done.Load() < lanes*each; round++ {
				l, ok, err := db.Claim(ctx, fmt.Sprint("w", w), 1+round%3)
				if err != nil {
					t.Error(err)
					return
				}
				if !ok {
					<-time.After(5 * time.Millisecond)
					continue
				}
				if round%19 == 18 {
					continue // dies
				}
				if round%9 == 8 {
					<-time.After(100 * time.Millisecond) // sleeps through its lease
				}
				var v []store.Verdict
				for _, j := range l.Jobs {
					v = append(v, store.Verdict{ID: j.Transfer.ID, Step: l.Step, Advance: store.OK})
				}
				mu.Lock()
				err = db.Settle(ctx, l, v)
				if err == nil {
					if last, seen := owner[l.Fence.Lane]; seen && last.Counter >= l.Fence.Counter {
						t.Errorf("fence %v settled after %v", l.Fence, last)
					}
					owner[l.Fence.Lane] = l.Fence
					for _, j := range l.Jobs {
						if int(j.Seq) != next[l.Fence.Lane] {
							t.Errorf("%s: %d done, want %d", l.Fence.Lane, j.Seq, next[l.Fence.Lane])
						}
						next[l.Fence.Lane]++
						done.Add(1)
					}
				} else {
					stale.Add(1)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	close(stop)
	wg.Wait()
	require.EqualValues(t, lanes*each, done.Load())
	require.NotZero(t, stale.Load(), "some must have come late")
	for _, j := range jobs {
		got, _, err := db.Get(ctx, j.Transfer.ID)
		require.NoError(t, err)
		require.Equal(t, tokens.Done, got.Status)
		require.Len(t, got.History, 1)
	}
}

func TestABigBacklogDoesNotKeepOtherLanesFromTheirTurn(t *testing.T) {
	db, c := open(t, redisFor(t))
	for n := 1; n <= 20; n++ {
		fill(t, db, loose(n))
	}
	c.advance(time.Minute)
	fill(t, db, job(30)) // its lane is the younger one
	l := claim(t, db, 2)
	require.Equal(t, "pay", l.Step)
	c.advance(time.Second)
	require.NoError(t, db.Settle(ctx, l, nil))
	require.Equal(t, "send", claim(t, db, 2).Step)
}

func TestAFactToldTwiceIsOneFact(t *testing.T) {
	db, _ := open(t, redisFor(t))
	j := job(1)
	j.Steps[2].Key = j.Steps[0].Key // two steps wait for two different events of one key
	for range 9 {
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.Superseded, 1)})
		require.NoError(t, err)
	}
	fill(t, db, j)
	require.Equal(t, "await", get(t, db, 1).Step)
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.OK, 2)})
	require.NoError(t, err)
	require.Equal(t, tokens.Refunded, get(t, db, 1).Status)
}

func TestARunEndsBeforeWhoIsNotDue(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1), job(2), job(3))
	require.NoError(t, db.Settle(ctx, claim(t, db, 3), []store.Verdict{{ID: hash(2), Step: "send", RetryAt: time.Hour}}))
	require.Equal(t, []int{1}, ids(claim(t, db, 3).Jobs))
}
