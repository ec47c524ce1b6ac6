package store_test

import (
	"context"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a hand-driven one.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func open(t *testing.T, s server, change ...func(*store.Options)) (*store.DB, *clock) {
	t.Helper()
	c := &clock{time.Unix(1_760_000_000, 0)}
	o := store.Options{URL: s.URL(), Namespace: "test", Instance: "a", Clock: c.now, RetryFor: 5 * time.Second, AllowUnsafe: forgets(s)}
	for _, f := range change {
		f(&o)
	}
	db, err := store.Open(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db, c
}

func hash(n int) common.Hash { return common.BigToHash(big.NewInt(int64(n))) }

// job is a transfer of three steps: sent in a strict lane, awaited and paid in
// a loose one.
func job(n int) store.NewJob {
	return store.NewJob{
		Transfer: tokens.Transfer{
			ID: hash(n), Route: "usdc_deposit", Sender: common.BigToAddress(big.NewInt(int64(n))), Recipient: common.HexToAddress("0xabc"),
			Amount: tokens.MustUnits(big.NewInt(int64(n))), Nonce: uint64(n), Ref: hash(1000 + n), At: uint64(1_700_000_000 + n),
			Origin: chains.EventID{Chain: 1, Tx: hash(2000 + n)},
		},
		Steps: []store.StepPlan{
			{Name: "send", Lane: "root:send", Strict: true, Seq: uint64(n), Key: fmt.Sprintf("send/%d", n), Poll: time.Second,
				Next: map[store.Outcome]string{store.OK: "await", store.Superseded: "await", store.Failed: "refund"}},
			{Name: "await", Lane: "poll", Key: fmt.Sprintf("await/%d", n), Wait: true, Poll: time.Minute,
				Next: map[store.Outcome]string{store.OK: "done", store.Failed: "refund"}},
			{Name: "refund", Lane: "refunds", Key: fmt.Sprintf("refund/%d", n), Poll: time.Second,
				Next: map[store.Outcome]string{store.OK: "refunded", store.Failed: "parked"}},
		},
	}
}

func fact(key string, o store.Outcome, n int) store.Fact {
	return store.Fact{Key: key, Outcome: o, Chain: "root", Height: uint64(n), BlockHash: hash(5000 + n), Tx: hash(6000 + n), At: uint64(1_700_000_000 + n), LogIndex: 1}
}

func ids(jobs []store.Job) []int {
	out := []int{}
	for _, j := range jobs {
		out = append(out, int(j.Transfer.Nonce))
	}
	return out
}

func cursor(next int) chains.Cursor {
	return chains.Cursor{Chain: 1, Next: uint64(next), Parent: hash(9000 + next)}
}

func get(t *testing.T, db *store.DB, n int) store.Job {
	t.Helper()
	j, ok, err := db.Get(context.Background(), hash(n))
	require.NoError(t, err)
	require.True(t, ok)
	return j
}

func TestATransferWalksItsStepsToTheEnd(t *testing.T) {
	db, c := open(t, redisFor(t))
	ctx := context.Background()
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(5), []store.NewJob{job(1), job(2)}, nil))

	l, ok, err := db.Claim(ctx, "w", 10)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []int{1, 2}, ids(l.Jobs))
	require.Equal(t, "send", l.Step)
	require.Equal(t, "root:send", l.Fence.Lane)
	_, ok, err = db.Claim(ctx, "w", 10)
	require.NoError(t, err)
	require.False(t, ok)
	f := fact("send/1", store.OK, 3)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{
		{ID: hash(1), Step: "send", Advance: store.OK, Fact: &f},
		{ID: hash(2), Step: "send", RetryAt: time.Second, Cause: "not yet", CountAttempt: true},
	}))
	require.Equal(t, "await", get(t, db, 1).Step)
	require.Equal(t, 1, get(t, db, 2).Attempts)
	_, ok, _ = db.Claim(ctx, "w", 10)
	require.False(t, ok)
	c.advance(time.Second)
	l, ok, err = db.Claim(ctx, "w", 10)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []int{2}, ids(l.Jobs))
	require.NoError(t, db.Ingest(ctx, "root", cursor(5), cursor(6), nil, []store.Fact{fact("await/1", store.OK, 5), fact("await/2", store.Failed, 6)}))
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(2), Step: "send", Advance: store.OK}}))
	require.Equal(t, tokens.Done, get(t, db, 1).Status)
	j := get(t, db, 2)
	require.Equal(t, "refund", j.Step)
	require.Equal(t, tokens.Pending, j.Status)
}
