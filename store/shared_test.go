package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/stretchr/testify/require"
)

// twin is a transfer that shares its key with the others: it began in block
// 100·n.
func twin(n int) store.NewJob {
	j := loose(n)
	j.Transfer.Height = uint64(100 * n)
	j.Steps[0].Key, j.Steps[0].Shared, j.Steps[0].Wait = "twin", true, true
	j.Steps[0].Next = map[store.Outcome]string{store.OK: "done", store.Failed: "credited"}
	return j
}

// answer is the n-th event of the twins' key, in block 1000 + n.
func answer(n int, o store.Outcome) store.Fact {
	f := fact("twin", o, 1000+n)
	f.Shared = true
	return f
}

// took says which events a transfer has, by their number.
func took(j store.Job) (out []int) {
	for _, e := range j.History {
		if e.By == "event" {
			out = append(out, int(e.Height)-1000)
		}
	}
	return out
}

// permutations of 0…n-1 that keep what ok says.
func permutations(n int, ok func([]int) bool) (out [][]int) {
	var walk func(head []int)
	walk = func(head []int) {
		if len(head) == n {
			if ok(head) {
				out = append(out, slices.Clone(head))
			}
			return
		}
		for i := range n {
			if !slices.Contains(head, i) {
				walk(append(head, i))
			}
		}
	}
	walk(nil)
	return out
}

// TestTwinsAreAnsweredInTheirOrder runs every order in which three transfers
// and three events can come. Where each chain's own order is kept, as a cursor
// keeps it, the n-th event is the n-th transfer's; whatever comes first, each
// event is used once and each transfer ends once. Everything is told twice.
func TestTwinsAreAnsweredInTheirOrder(t *testing.T) {
	s := storetest.StartRedis(t, "--appendonly", "no") // thousands of writes, none of which must last
	outcomes := []store.Outcome{store.OK, store.Failed, store.OK}
	ordered := 0
	for i, order := range permutations(6, func([]int) bool { return true }) {
		db, _ := open(t, s, func(o *store.Options) { o.Namespace, o.AllowUnsafe = fmt.Sprint("p", i), true })
		var jobs, facts []int
		var came []store.NewJob
		var seen []store.Fact
		for _, what := range order {
			if what < 3 {
				jobs, came = append(jobs, what), append(came, twin(what+1))
				_, _, err := db.Backfill(ctx, "root", came[len(came)-1:], nil)
				require.NoError(t, err)
			} else {
				facts, seen = append(facts, what), append(seen, answer(what-3, outcomes[what-3]))
				_, _, err := db.Backfill(ctx, "root", nil, seen[len(seen)-1:])
				require.NoError(t, err)
			}
			// All of it is told again, as a rescan would.
			c, n, err := db.Backfill(ctx, "root", came, seen)
			require.NoError(t, err)
			require.Zero(t, c+n)
			ended := 0
			for _, j := range jobs {
				ended += len(took(get(t, db, j+1)))
			}
			require.Equal(t, min(len(jobs), len(facts)), ended, "%v", order)
		}
		used := map[int]bool{}
		for n := range 3 {
			j := get(t, db, n+1)
			mine := took(j)
			require.Len(t, mine, 1, "%v", order)
			require.False(t, used[mine[0]], "%v: one event for two", order)
			used[mine[0]] = true
			require.Equal(t, map[store.Outcome]tokens.Status{store.OK: tokens.Done, store.Failed: tokens.Credited}[outcomes[mine[0]]], j.Status)
			if slices.IsSorted(jobs) && slices.IsSorted(facts) {
				require.Equal(t, n, mine[0], "%v", order)
			}
		}
		if slices.IsSorted(jobs) && slices.IsSorted(facts) {
			ordered++
		}
		repairs, err := db.Audit(ctx)
		require.NoError(t, err)
		require.Zero(t, repairs)
		require.NoError(t, db.Close())
	}
	require.Equal(t, 20, ordered)
}

func TestASharedKeyDecidesNobodyWhoIsNotThereYet(t *testing.T) {
	db, _ := open(t, storetest.StartRedis(t))
	deposit := func(n int) store.NewJob {
		j := job(n)
		j.Steps[2].Key, j.Steps[2].Shared = "twin", true
		return j
	}
	fill(t, db, deposit(1), deposit(2), deposit(3))
	bring := func(f ...store.Fact) int {
		_, n, err := db.Backfill(ctx, "subnet", nil, f)
		require.NoError(t, err)
		return n
	}
	// The refund of one of them is seen before it is known which one failed.
	require.Zero(t, bring(answer(1, store.OK)))
	require.Equal(t, 1, bring(fact("await/1", store.OK, 1)))
	require.Equal(t, 2, bring(fact("await/2", store.Failed, 2)), "it fails, and its refund is there")
	require.Equal(t, tokens.Done, get(t, db, 1).Status)
	require.Equal(t, tokens.Refunded, get(t, db, 2).Status)
	require.Equal(t, 1, bring(fact("await/3", store.Failed, 3)))
	require.Equal(t, "refund", get(t, db, 3).Step, "the event is used")
	require.Equal(t, 1, bring(answer(1, store.OK), answer(2, store.OK)))
	require.Equal(t, tokens.Refunded, get(t, db, 3).Status)
}

func TestALookNeverDecidesAStepOfASharedKey(t *testing.T) {
	db, c := open(t, storetest.StartRedis(t))
	fill(t, db, twin(1), twin(2))
	c.advance(time.Hour)
	l := claim(t, db, 10)
	f := answer(1, store.OK)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "pay", Advance: store.OK}, {ID: hash(2), Step: "pay", Advance: store.OK, Fact: &f}}))
	for n := 1; n <= 2; n++ {
		j := get(t, db, n)
		require.Equal(t, tokens.Pending, j.Status)
		require.Equal(t, c.now().Add(time.Second).UTC(), j.NotBefore)
	}
}

func TestAnEventIsNoAnswerToWhatBeganAfterIt(t *testing.T) {
	db, _ := open(t, storetest.StartRedis(t))
	old := answer(0, store.OK)
	old.Height = 250
	elsewhere := twin(3)
	elsewhere.Chain = "subnet"
	fill(t, db, twin(4))
	_, n, err := db.Backfill(ctx, "root", nil, []store.Fact{old})
	require.NoError(t, err)
	require.Zero(t, n, "it began in block 400")
	_, n, err = db.Backfill(ctx, "root", nil, []store.Fact{answer(1, store.OK)})
	require.NoError(t, err)
	require.Equal(t, 1, n, "what does not fit keeps nobody up")
	fill(t, db, elsewhere)
	require.Equal(t, tokens.Done, get(t, db, 3).Status, "heights of two chains do not compare")
	require.Equal(t, []int{-750}, took(get(t, db, 3)))
}

func TestAnEventThatIsNoAnswerToTheOldestIsTheNextOnes(t *testing.T) {
	// The first began in block 400 of the root, the second later in the subnet: an
	// event from block 250 of the root answers the second alone, whatever comes
	// with it, and no later event takes its place.
	old := answer(0, store.OK)
	old.Height = 250
	elsewhere := twin(5)
	elsewhere.Chain = "subnet"
	for _, more := range [][]store.Fact{{answer(1, store.Failed)}, {answer(1, store.Failed), answer(6, store.Failed)}} {
		for _, backwards := range []bool{false, true} {
			db, _ := open(t, storetest.StartRedis(t))
			fill(t, db, twin(4), elsewhere)
			facts := append([]store.Fact{old}, more...)
			if backwards {
				slices.Reverse(facts)
			}
			_, n, err := db.Backfill(ctx, "root", nil, facts)
			require.NoError(t, err)
			require.Equal(t, 2, n)
			require.Equal(t, []int{1}, took(get(t, db, 4)))
			require.Equal(t, []int{-750}, took(get(t, db, 5)))
			_, n, err = db.Backfill(ctx, "root", nil, facts)
			require.NoError(t, err)
			require.Zero(t, n, "nothing was left over")
		}
	}
}

func TestAParkedTwinLeavesItsPlaceToTheNext(t *testing.T) {
	db, _ := open(t, storetest.StartRedis(t))
	fill(t, db, twin(1), twin(2), twin(3))
	bring := func(n int, o store.Outcome) {
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{answer(n, o)})
		require.NoError(t, err)
	}
	bring(1, store.Superseded) // there is no way on from that
	require.Equal(t, tokens.Parked, get(t, db, 1).Status)
	bring(2, store.OK)
	require.Equal(t, tokens.Done, get(t, db, 2).Status)
	require.NoError(t, db.Retry(ctx, hash(1), "ann"))
	require.Equal(t, tokens.Pending, get(t, db, 1).Status, "the event that parked it is used")
	bring(3, store.Failed)
	require.Equal(t, tokens.Credited, get(t, db, 1).Status)
	require.Equal(t, tokens.Pending, get(t, db, 3).Status)
	bring(4, store.OK)
	require.Equal(t, []int{4}, took(get(t, db, 3)))
}

func TestAThousandTwinsAreAnswered(t *testing.T) {
	db, _ := open(t, storetest.StartRedis(t))
	var jobs []store.NewJob
	var facts []store.Fact
	for n := range 1000 {
		j := twin(n + 1)
		j.Transfer.Height = uint64(n)
		jobs, facts = append(jobs, j), append(facts, answer(n, store.OK))
	}
	slices.Reverse(jobs)
	slices.Reverse(facts)
	require.NoError(t, db.InitCursor(ctx, "root", chains.Cursor{Chain: 1}))
	require.NoError(t, db.Ingest(ctx, "root", chains.Cursor{Chain: 1}, cursor(5), jobs, facts))
	for n := range 1000 {
		require.Equal(t, []int{n}, took(get(t, db, n+1)))
	}
}

func TestFactsOfSharedKeysAreForgottenWithThoseWhoTookThem(t *testing.T) {
	s := storetest.StartRedis(t)
	db, c := open(t, s)
	r := s.Client()
	defer r.Close()
	c.t = time.Unix(1_700_000_000, 0)
	fill(t, db, twin(1), twin(2))
	lonely := answer(9, store.OK)
	lonely.Key = "nobody"
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{answer(1, store.OK), lonely})
	require.NoError(t, err)
	count := func() int64 { return r.HLen(ctx, "{test}:offered").Val() }
	require.EqualValues(t, 2, count())
	_, err = db.Prune(ctx, store.Keep)
	require.NoError(t, err)
	require.EqualValues(t, 2, count())
	c.advance(store.Keep + time.Hour)
	// Told again before anything is forgotten it is still known.
	_, n, err := db.Backfill(ctx, "root", nil, []store.Fact{answer(1, store.OK)})
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = db.Prune(ctx, store.Keep)
	require.NoError(t, err)
	require.EqualValues(t, 1, count(), "somebody still waits for the key")
	_, n, err = db.Backfill(ctx, "root", nil, []store.Fact{answer(2, store.OK)})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	c.advance(store.Keep + time.Hour)
	for range 2 {
		_, err = db.Prune(ctx, store.Keep)
		require.NoError(t, err)
	}
	require.Zero(t, count())
	require.Zero(t, r.ZCard(ctx, "{test}:offers").Val())
	require.Zero(t, r.ZCard(ctx, "{test}:waits").Val())
}

func TestAuditPutsBackWhatTwinsLost(t *testing.T) {
	for _, key := range []string{"waits", "offers", "jobs"} {
		s := storetest.StartRedis(t)
		db, _ := open(t, s)
		r := s.Client()
		defer r.Close()
		fill(t, db, twin(1), twin(2), job(3))
		spare := answer(7, store.OK)
		spare.Key = "later"
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{answer(1, store.OK), spare})
		require.NoError(t, err)
		require.NoError(t, r.Del(ctx, "{test}:"+key).Err())
		n, err := db.Audit(ctx)
		require.NoError(t, err)
		require.NotZero(t, n, key)
		n, err = db.Audit(ctx)
		require.NoError(t, err)
		require.Zero(t, n, "once is enough")
		require.Equal(t, tokens.Done, get(t, db, 1).Status, key)
		require.Equal(t, tokens.Pending, get(t, db, 2).Status, key)
		late := twin(4)
		late.Steps[0].Key = "later"
		fill(t, db, late)
		_, _, err = db.Backfill(ctx, "root", nil, []store.Fact{answer(2, store.OK)})
		require.NoError(t, err)
		require.Equal(t, tokens.Done, get(t, db, 2).Status, key)
		require.Equal(t, tokens.Done, get(t, db, 4).Status, key)
	}
}

func TestOneEventToldTwiceEndsOneStepOfTheSameKey(t *testing.T) {
	db, _ := open(t, storetest.StartRedis(t))
	j := job(1)
	j.Steps[1].Key = j.Steps[0].Key
	fill(t, db, j)
	for range 3 {
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.OK, 1)})
		require.NoError(t, err)
		require.Equal(t, "await", get(t, db, 1).Step)
		require.Equal(t, tokens.Pending, get(t, db, 1).Status)
	}
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.OK, 2)})
	require.NoError(t, err)
	require.Equal(t, tokens.Done, get(t, db, 1).Status)
}
