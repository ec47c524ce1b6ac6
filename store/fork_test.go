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
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// carried is a transfer that begins on the root in block at, is sent (a step
// that acts), awaited and refunded (steps that wait). Its sending relies on the
// subnet alone, the others on both chains.
func carried(n int, at uint64) store.NewJob {
	j := job(n)
	j.Chain, j.Transfer.Height = "root", at
	j.Steps[0].Chains = []string{"subnet"}
	j.Steps[1].Chains, j.Steps[2].Chains = []string{"root", "subnet"}, []string{"root", "subnet"}
	j.Steps[2].Wait = true
	return j
}

// at is a fact of the root's block height; fork makes other hashes.
func at(key string, o store.Outcome, height uint64, fork int) store.Fact {
	return store.Fact{Key: key, Outcome: o, Chain: "root", Height: height, BlockHash: hash(int(height) + 1000*fork), Tx: common.BytesToHash([]byte(key)), At: 1_700_000_000 + height, LogIndex: 1}
}

// block is the root's block of a height, before the fork.
func block(height uint64) chains.Block {
	return chains.Block{Number: height, Hash: hash(int(height)), Time: 1_700_000_000 + height}
}

func after(height uint64, fork int) chains.Cursor {
	return chains.Cursor{Chain: 1, Next: height + 1, Parent: hash(int(height) + 1000*fork)}
}

// forked is a store that has read the root up to block 100 and the subnet too.
func forked(t *testing.T, jobs []store.NewJob, facts []store.Fact) (*store.DB, *clock, *storetest.Server) {
	s := storetest.StartRedis(t)
	db, c := open(t, s)
	c.t = time.Unix(1_700_000_050, 0)
	for i, chain := range []string{"root", "subnet"} {
		require.NoError(t, db.InitCursor(ctx, chain, chains.Cursor{Chain: chains.ID(i + 1)}))
	}
	require.NoError(t, db.Ingest(ctx, "root", chains.Cursor{Chain: 1}, after(100, 0), jobs, facts))
	return db, c, s
}

func describe(t *testing.T, db *store.DB, n int) string {
	j := get(t, db, n)
	return fmt.Sprintf("%s %s", j.Status, j.Step)
}

func TestAForkSetsAsideWhatRestsOnItAndStopsItsLanes(t *testing.T) {
	db, _, _ := forked(t,
		[]store.NewJob{carried(1, 10), carried(2, 10), carried(3, 95), carried(4, 10), carried(5, 10), carried(6, 10)},
		[]store.Fact{at("send/1", store.OK, 89, 0), at("send/2", store.OK, 90, 0), at("await/4", store.OK, 99, 0), at("nobody", store.OK, 95, 0), at("send/5", store.OK, 12, 0)})
	// 6 is looked at by a worker, who asked before the fork was found.
	l := claim(t, db, 10)
	require.Equal(t, []int{3, 6}, ids(l.Jobs))

	_, err := db.Quarantine(ctx, "root", after(99, 0), block(89), "endpoints disagree")
	require.ErrorIs(t, err, store.ErrCursor, "another instance has read on")
	f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "endpoints disagree")
	require.NoError(t, err)
	require.Equal(t, store.Fork{Chain: "root", From: 90, Good: block(89), Why: "endpoints disagree", At: time.Unix(1_700_000_050, 0).UTC(), Round: 1, Facts: 3, Transfers: 3}, f)
	got, ok, err := db.Forked(ctx, "root")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, f, got)

	for n, want := range map[int]string{1: "pending await", 2: "parked await", 3: "parked send", 4: "parked await", 5: "pending await", 6: "pending send"} {
		require.Equal(t, want, describe(t, db, n), "%d", n)
	}
	j := get(t, db, 4)
	require.Equal(t, "finality_regress", j.Reason)
	require.Equal(t, "root has changed from height 90 on", j.Err)
	require.Equal(t, store.OK, j.History[0].Outcome, "what it was is not forgotten")
	require.ErrorIs(t, db.Retry(ctx, hash(4), "ann"), store.ErrHeld)
	require.ErrorIs(t, db.Discard(ctx, hash(4), "ann", ""), store.ErrHeld)
	aside, err := db.QuarantinedFacts(ctx, 10)
	require.NoError(t, err)
	var keys []string
	for _, q := range aside {
		keys = append(keys, q.Key)
		require.Equal(t, "endpoints disagree", q.Why)
		require.Equal(t, f.At, q.Set)
	}
	require.ElementsMatch(t, []string{"send/2", "await/4", "nobody"}, keys)

	// No nonce any more, and no outcome, for who asked before; but where the lane
	// relies on the other chain alone, work goes on.
	_, _, err = db.Reserve(ctx, 1, common.Address{1}, chains.Tx{Key: "bare"}, 0, 10)
	require.ErrorIs(t, err, chains.ErrBusy, "nothing is sent to the chain")
	_, _, err = db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "k", Members: []common.Hash{hash(6)}, Fence: l.Fence}, 0, 10)
	require.NoError(t, err)
	_, _, err = db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "k3", Members: []common.Hash{hash(3)}, Fence: l.Fence}, 0, 10)
	require.ErrorIs(t, err, chains.ErrStale, "it is no longer at its step")
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(6), Step: "send", Advance: store.OK}}))
	require.Equal(t, "pending await", describe(t, db, 6))
	noClaim(t, db)
	lanes, err := db.Lanes(ctx)
	require.NoError(t, err)
	for _, lane := range lanes {
		require.Equal(t, "root", lane.Forked, lane.Name)
		require.Zero(t, lane.NotBefore)
	}

	// Nothing of the chain goes in, of the other one it does.
	require.ErrorIs(t, db.Ingest(ctx, "root", after(100, 0), after(101, 0), nil, nil), store.ErrForked)
	_, _, err = db.Backfill(ctx, "root", nil, []store.Fact{at("await/1", store.OK, 91, 1)})
	require.ErrorIs(t, err, store.ErrForked)
	other := at("await/5", store.Failed, 5, 0)
	other.Chain = "subnet"
	require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2}, chains.Cursor{Chain: 2, Next: 6}, nil, []store.Fact{other}))
	require.Equal(t, "pending refund", describe(t, db, 5))
	noClaim(t, db)

	// Done again it changes nothing.
	again, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "again")
	require.NoError(t, err)
	require.Equal(t, 3, again.Facts)
	require.Equal(t, 3, again.Transfers)
	n, err := db.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	_, _, err = db.Reread(ctx, "subnet", nil, []store.Fact{other})
	require.ErrorIs(t, err, store.ErrNoFork)
}

func TestALookOfALaneThatWasStoppedDecidesNothing(t *testing.T) {
	db, c, _ := forked(t, []store.NewJob{carried(1, 10)}, []store.Fact{at("send/1", store.OK, 12, 0)})
	c.advance(time.Hour)
	l := claim(t, db, 1)
	require.Equal(t, "await", l.Step)
	_, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	_, _, err = db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "k", Members: []common.Hash{hash(1)}, Fence: l.Fence}, 0, 10)
	require.ErrorIs(t, err, chains.ErrBusy)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "await", Advance: store.OK}}))
	require.Equal(t, "pending await", describe(t, db, 1))
	require.Equal(t, c.now().Add(time.Minute).UTC(), get(t, db, 1).NotBefore)
}

// reread reads the root again from block 90 on and accepts, dying at every
// point once if told to.
func reread(t *testing.T, db *store.DB, jobs []store.NewJob, facts []store.Fact) store.Accepted {
	t.Helper()
	f, ok, err := db.Forked(ctx, "root")
	require.NoError(t, err)
	require.True(t, ok)
	for i := range facts { // dies halfway
		_, _, err = db.Reread(ctx, "root", nil, facts[:i])
		require.NoError(t, err)
	}
	old := f
	f, err = db.Quarantine(ctx, "root", after(100, 0), f.Good, "begin again")
	require.NoError(t, err)
	for range 2 {
		_, _, err = db.Reread(ctx, "root", jobs, facts)
		require.NoError(t, err)
	}
	other := f
	other.From++
	for _, wrong := range []store.Fork{old, other} {
		_, err = db.AcceptFork(ctx, wrong, after(110, 1), "ann")
		require.ErrorIs(t, err, store.ErrCursor)
	}
	got, err := db.AcceptFork(ctx, f, after(110, 1), "ann")
	require.NoError(t, err)
	_, err = db.AcceptFork(ctx, f, after(110, 1), "ann")
	require.ErrorIs(t, err, store.ErrNoFork)
	cur, _, err := db.Cursor(ctx, "root")
	require.NoError(t, err)
	require.Equal(t, after(110, 1), cur)
	n, err := db.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	trail, err := db.Trail(ctx, "root", 0, 1000)
	require.NoError(t, err)
	for _, b := range trail {
		require.True(t, b.Number < 90 || b.Hash == hash(1110), "%v", b)
	}
	return got
}

func TestWhatComesBackIsAsItWas(t *testing.T) {
	jobs := []store.NewJob{carried(1, 10), carried(2, 95), carried(3, 10), carried(4, 95)}
	facts := []store.Fact{at("send/1", store.OK, 90, 0), at("await/1", store.OK, 95, 0), at("send/2", store.OK, 96, 0), at("await/3", store.Failed, 97, 0)}
	for _, moved := range []bool{false, true} {
		db, c, _ := forked(t, jobs, facts)
		before := map[int]string{}
		for n := 1; n <= 4; n++ {
			before[n] = describe(t, db, n)
		}
		require.Equal(t, map[int]string{1: "done await", 2: "pending await", 3: "pending refund", 4: "pending send"}, before)
		f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
		require.NoError(t, err)
		require.Equal(t, 4, f.Facts)
		require.Equal(t, 4, f.Transfers)
		now, later := slices.Clone(jobs), slices.Clone(facts)
		if moved { // the same events in other blocks, at other places in them
			for i := range later {
				later[i].Height, later[i].BlockHash, later[i].LogIndex = later[i].Height+5, hash(int(later[i].Height)+1005), 7
			}
			for _, n := range []int{1, 3} {
				now[n].Transfer.Height, now[n].Transfer.Origin.Tx, now[n].Transfer.At = 99, hash(4000+n), now[n].Transfer.At+5
			}
		}
		require.Equal(t, store.Accepted{Kept: 4}, reread(t, db, []store.NewJob{now[1], now[3]}, later))
		for n := 1; n <= 4; n++ {
			require.Equal(t, before[n], describe(t, db, n), "moved %v, %d", moved, n)
			require.Equal(t, now[n-1].Transfer, get(t, db, n).Transfer)
		}
		aside, err := db.QuarantinedFacts(ctx, 10)
		require.NoError(t, err)
		require.Empty(t, aside)
		if moved {
			found, err := db.Lookup(ctx, hash(4001).Hex())
			require.NoError(t, err)
			require.Equal(t, []common.Hash{hash(2)}, found)
			list, _, err := db.List(ctx, store.Filter{Address: now[1].Transfer.Sender.Hex()})
			require.NoError(t, err)
			require.Len(t, list, 1, "once")
		}
		// Work goes on, with what comes next.
		c.advance(time.Hour)
		require.Equal(t, []int{4}, ids(claim(t, db, 10).Jobs))
		require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), nil, []store.Fact{at("await/2", store.OK, 111, 1), at("refund/3", store.OK, 111, 1)}))
		require.Equal(t, "done await", describe(t, db, 2))
		require.Equal(t, "refunded refund", describe(t, db, 3))
	}
}

func TestWhatDoesNotComeBackIsOpenAgainOrLeftToAPerson(t *testing.T) {
	db, c, _ := forked(t,
		[]store.NewJob{carried(1, 10), carried(2, 10), carried(3, 10), carried(4, 95), carried(5, 95), carried(6, 10)},
		[]store.Fact{
			at("send/1", store.OK, 12, 0), at("await/1", store.OK, 95, 0), // what is awaited is gone: nothing was sent because of it
			at("send/2", store.OK, 95, 0), at("await/2", store.OK, 96, 0), // the sending is gone
			at("send/3", store.OK, 12, 0), at("await/3", store.OK, 95, 0), // ends the other way
			at("send/5", store.OK, 96, 0),
		})
	require.Equal(t, "pending send", describe(t, db, 6))
	_, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{Reopened: 2, Parked: 3}, reread(t, db, nil, []store.Fact{at("await/3", store.Failed, 99, 1), at("await/2", store.OK, 97, 1)}))
	require.Equal(t, "pending await", describe(t, db, 1))
	require.Equal(t, "parked send", describe(t, db, 2), "what was sent is not sent again unasked")
	require.Equal(t, "finality_regress", get(t, db, 2).Reason)
	require.Equal(t, "pending refund", describe(t, db, 3))
	require.Equal(t, "parked send", describe(t, db, 4), "it never began")
	require.Equal(t, "parked await", describe(t, db, 5), "nor did this")
	aside, err := db.QuarantinedFacts(ctx, 10)
	require.NoError(t, err)
	require.Len(t, aside, 4, "kept, for whoever looks")

	// What comes later does what it always does.
	require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), nil, []store.Fact{at("await/1", store.OK, 111, 1)}))
	require.Equal(t, "done await", describe(t, db, 1))
	require.NoError(t, db.Retry(ctx, hash(2), "ann"))
	require.Equal(t, "done await", describe(t, db, 2), "the chain says how far it is")
	// Who never began waits for its beginning, whoever asks.
	require.ErrorIs(t, db.Retry(ctx, hash(4), "ann"), store.ErrHeld)
	// Unless somebody gives it up: then nobody is asked about it any more, and its
	// beginning counts all the same.
	require.NoError(t, db.Discard(ctx, hash(4), "ann", "spent otherwise"))
	require.True(t, get(t, db, 4).Discarded)
	require.Equal(t, "finality_regress", get(t, db, 4).Reason, "that its beginning is gone is still known")
	require.ErrorIs(t, db.Retry(ctx, hash(4), "ann"), store.ErrHeld)
	late := carried(4, 112)
	late.Transfer.Origin.Tx = hash(777)
	require.NoError(t, db.Ingest(ctx, "root", after(111, 1), after(112, 1), []store.NewJob{late, carried(5, 112)}, nil))
	require.Equal(t, "pending send", describe(t, db, 4))
	require.False(t, get(t, db, 4).Discarded)
	require.Equal(t, late.Transfer, get(t, db, 4).Transfer)
	require.Equal(t, "parked send", describe(t, db, 5), "something was sent for it")
	require.NoError(t, db.Retry(ctx, hash(5), "ann"))
	c.advance(time.Hour)
	require.Equal(t, []int{4, 5, 6}, ids(claim(t, db, 10).Jobs))
	n, err := db.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestWhatGoesOnAgainAndIsParkedByWhatIsThereIsCountedAsParked(t *testing.T) {
	db, c := open(t, storetest.StartRedis(t))
	for _, s := range []storetest.Store{db, storetest.NewModel(1, c.now)} {
		require.NoError(t, s.InitCursor(ctx, "root", chains.Cursor{Chain: 1}))
		require.NoError(t, s.Ingest(ctx, "root", chains.Cursor{Chain: 1}, after(100, 0), []store.NewJob{carried(1, 10), carried(2, 10)}, []store.Fact{
			at("send/1", store.OK, 12, 0), at("await/1", store.OK, 95, 0),
			at("send/2", store.OK, 12, 0), at("await/2", store.OK, 95, 0),
		}))
		f, err := s.Quarantine(ctx, "root", after(100, 0), block(89), "x")
		require.NoError(t, err)
		// 1 ends in a way that its plan does not know, 2 not at all.
		_, _, err = s.Reread(ctx, "root", nil, []store.Fact{at("await/1", store.Superseded, 97, 1)})
		require.NoError(t, err)
		got, err := s.AcceptFork(ctx, f, after(110, 1), "ann")
		require.NoError(t, err)
		require.Equal(t, store.Accepted{Reopened: 1, Parked: 1}, got)
		for n, want := range map[int]tokens.Status{1: tokens.Parked, 2: tokens.Pending} {
			j, _, err := s.Get(ctx, hash(n))
			require.NoError(t, err)
			require.Equal(t, want, j.Status)
			require.Equal(t, "await", j.Step)
		}
	}
}

func TestAnotherMessageOfTheSameNumberBeginsAnew(t *testing.T) {
	db, _, _ := forked(t, []store.NewJob{carried(1, 95), carried(2, 95), carried(3, 95)}, []store.Fact{at("send/2", store.OK, 96, 0)})
	l := claim(t, db, 10)
	_, _, err := db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "k", Members: []common.Hash{hash(3)}, Fence: l.Fence}, 0, 10)
	require.NoError(t, err)
	require.NoError(t, db.Settle(ctx, l, nil))
	_, err = db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	var others []store.NewJob
	for n := 1; n <= 3; n++ {
		o := carried(n, 96)
		o.Transfer.Recipient, o.Transfer.Payload = common.Address{byte(n)}, []byte{1}
		others = append(others, o)
	}
	require.Equal(t, store.Accepted{Kept: 1, Parked: 2}, reread(t, db, others, []store.Fact{at("send/2", store.OK, 97, 1)}))
	require.Equal(t, "pending send", describe(t, db, 1))
	for n := 1; n <= 3; n++ {
		require.Equal(t, others[n-1].Transfer, get(t, db, n).Transfer, "no event is lost")
	}
	require.Equal(t, "parked send", describe(t, db, 2), "the old one was delivered under its number")
	require.Equal(t, "parked send", describe(t, db, 3), "the old one may be on its way")
	found, err := db.Lookup(ctx, job(1).Transfer.Recipient.Hex())
	require.NoError(t, err)
	require.Empty(t, found)
	require.NoError(t, db.Retry(ctx, hash(2), "ann"))
	require.Equal(t, "pending await", describe(t, db, 2), "the event that is there counts")
}

func TestWhatOnlyALookSawIsShakyToo(t *testing.T) {
	look := func(t *testing.T, db *store.DB, step string, n ...int) {
		l := claim(t, db, 10)
		require.Equal(t, step, l.Step)
		var v []store.Verdict
		for _, j := range l.Jobs {
			if slices.Contains(n, int(j.Transfer.Nonce)) {
				v = append(v, store.Verdict{ID: j.Transfer.ID, Step: step, Advance: store.OK})
			}
		}
		require.NoError(t, db.Settle(ctx, l, v))
	}
	db, c, _ := forked(t, []store.NewJob{carried(1, 10), carried(2, 10), carried(3, 10)},
		[]store.Fact{at("send/1", store.OK, 12, 0), at("send/2", store.OK, 12, 0), at("send/3", store.OK, 12, 0)})
	c.advance(2 * time.Minute)
	look(t, db, "await", 1)
	c.t = time.Unix(1_700_000_089+3600, 0)
	look(t, db, "await", 2, 3)
	// For 3 the event is there too, further down.
	other := at("await/3", store.OK, 5, 0)
	other.Chain = "subnet"
	require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2}, chains.Cursor{Chain: 2, Next: 6}, nil, []store.Fact{other}))
	good := block(89)
	good.Time += 1200 // 1 was looked at before this block was made
	f, err := db.Quarantine(ctx, "root", after(100, 0), good, "x")
	require.NoError(t, err)
	require.Equal(t, 1, f.Transfers)
	require.Equal(t, "done await", describe(t, db, 1))
	require.Equal(t, "parked await", describe(t, db, 2))
	require.Equal(t, "done await", describe(t, db, 3))
	require.Equal(t, store.Accepted{Reopened: 1}, reread(t, db, nil, nil))
	require.Equal(t, "pending await", describe(t, db, 2))
}

func TestADeeperForkTakesInMore(t *testing.T) {
	db, _, _ := forked(t, []store.NewJob{carried(1, 60), carried(2, 95)}, []store.Fact{at("send/1", store.OK, 70, 0)})
	f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	require.Equal(t, 1, f.Transfers)
	f, err = db.Quarantine(ctx, "root", after(100, 0), block(65), "deeper")
	require.NoError(t, err)
	require.Equal(t, []int{66, 1, 2}, []int{int(f.From), f.Facts, f.Transfers})
	f, err = db.Quarantine(ctx, "root", after(100, 0), block(80), "not so deep")
	require.NoError(t, err)
	require.EqualValues(t, 66, f.From)
	f, err = db.Quarantine(ctx, "root", after(100, 0), chains.Block{}, "nothing is as it was")
	require.NoError(t, err)
	require.Zero(t, f.From)
	require.Equal(t, chains.Block{}, f.Good)
	require.Equal(t, "parked await", describe(t, db, 1))
	got, err := db.AcceptFork(ctx, f, after(110, 1), "ann")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{Parked: 2}, got)
}

func TestAForkOfBothChainsHoldsUntilBothAreAccepted(t *testing.T) {
	db, _, _ := forked(t, []store.NewJob{carried(1, 95)}, nil)
	other := at("await/1", store.OK, 5, 0)
	other.Chain = "subnet"
	sub := chains.Cursor{Chain: 2, Next: 6, Parent: hash(5)}
	require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2}, sub, nil, []store.Fact{other}))
	require.Equal(t, "done await", describe(t, db, 1))
	f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	g, err := db.Quarantine(ctx, "subnet", sub, chains.Block{Number: 4, Hash: hash(4), Time: 1_700_000_000}, "y")
	require.NoError(t, err)
	require.Equal(t, 0, g.Transfers, "it is held already")
	_, _, err = db.Reread(ctx, "root", []store.NewJob{carried(1, 96)}, nil)
	require.NoError(t, err)
	got, err := db.AcceptFork(ctx, f, after(110, 1), "ann")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{}, got)
	require.Equal(t, "parked await", describe(t, db, 1))
	noClaim(t, db)
	got, err = db.AcceptFork(ctx, g, chains.Cursor{Chain: 2, Next: 6, Parent: hash(55)}, "ann")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{Reopened: 1}, got)
	require.Equal(t, "pending await", describe(t, db, 1))
}

func TestWhatALookSawOnBothChainsWaitsForBoth(t *testing.T) {
	db, c, _ := forked(t, []store.NewJob{carried(1, 95)}, nil)
	sub := chains.Cursor{Chain: 2, Next: 6, Parent: hash(5)}
	require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2}, sub, nil, nil))
	c.advance(time.Hour)
	l := claim(t, db, 1)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.OK}}))
	f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	_, err = db.Quarantine(ctx, "subnet", sub, chains.Block{Number: 4, Hash: hash(4), Time: 1_700_000_000}, "y")
	require.NoError(t, err)
	_, _, err = db.Reread(ctx, "root", []store.NewJob{carried(1, 96)}, nil)
	require.NoError(t, err)
	got, err := db.AcceptFork(ctx, f, after(110, 1), "ann")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{}, got)
	require.Equal(t, "parked await", describe(t, db, 1), "the look may have seen what is gone from the subnet")
}

func TestTwinsOfAForkGetTheirEventsBack(t *testing.T) {
	twins := []store.NewJob{}
	for n := 1; n <= 3; n++ {
		j := twin(n)
		j.Transfer.Height, j.Steps[0].Chains = uint64(n), []string{"root"}
		twins = append(twins, j)
	}
	ev := func(n int, height uint64, fork int) store.Fact {
		f := at("twin", store.OK, height, fork)
		f.Shared, f.Tx = true, hash(n)
		return f
	}
	db, _, _ := forked(t, twins, []store.Fact{ev(1, 50, 0), ev(2, 95, 0)})
	f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{f.Facts, f.Transfers})
	require.Equal(t, store.Accepted{Kept: 1}, reread(t, db, nil, []store.Fact{ev(2, 97, 1)}))
	require.Equal(t, tokens.Done, get(t, db, 2).Status)
	require.Equal(t, tokens.Pending, get(t, db, 3).Status, "it is not the third one's")

	// The second event is gone again, for good; a third one comes instead.
	f, err = db.Quarantine(ctx, "root", after(110, 1), block(89), "x")
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{f.Facts, f.Transfers})
	got, err := db.AcceptFork(ctx, f, after(120, 2), "ann")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{Reopened: 1}, got)
	require.NoError(t, db.Ingest(ctx, "root", after(120, 2), after(121, 2), nil, []store.Fact{ev(9, 121, 2)}))
	require.Equal(t, tokens.Done, get(t, db, 2).Status)
	require.Equal(t, tokens.Pending, get(t, db, 3).Status)
	require.NoError(t, db.Ingest(ctx, "root", after(121, 2), after(122, 2), nil, []store.Fact{ev(10, 122, 2)}))
	require.Equal(t, tokens.Done, get(t, db, 3).Status)
}

func TestTheTrailIsBoundedAndGoesBackFar(t *testing.T) {
	s := storetest.StartRedis(t, "--appendonly", "no")
	db, _ := open(t, s, func(o *store.Options) { o.AllowUnsafe = true })
	require.NoError(t, db.InitCursor(ctx, "root", chains.Cursor{Chain: 1}))
	cur := chains.Cursor{Chain: 1}
	const top = 9000
	for n := uint64(1); n <= top; n++ {
		to := after(n, 0)
		require.NoError(t, db.Ingest(ctx, "root", cur, to, nil, nil))
		cur = to
	}
	trail, err := db.Trail(ctx, "root", 0, top)
	require.NoError(t, err)
	require.LessOrEqual(t, len(trail), 2048)
	require.Less(t, trail[0].Number, uint64(100))
	for i, b := range trail {
		require.Equal(t, hash(int(b.Number)), b.Hash)
		require.True(t, i == 0 || b.Number > trail[i-1].Number)
		if i >= len(trail)-1000 {
			require.Equal(t, uint64(top-len(trail)+1+i), b.Number, "the newest are all there")
		}
	}
	part, err := db.Trail(ctx, "root", 2000, 4500)
	require.NoError(t, err)
	require.GreaterOrEqual(t, part[0].Number, uint64(2000))
	require.LessOrEqual(t, part[len(part)-1].Number, uint64(4500))
}

func TestOneEventThatIsSeenAgainStandsForOne(t *testing.T) {
	for _, place := range []uint{1, 7} {
		oneEventSeenAgain(t, place)
	}
}

func oneEventSeenAgain(t *testing.T, place uint) {
	again := at("send/1", store.OK, 97, 1)
	again.LogIndex = place
	two := carried(1, 10) // two of its steps wait for two events of one key
	two.Steps[1].Key = two.Steps[0].Key
	two.Steps[0].Wait = true
	first, second := at("send/1", store.OK, 95, 0), at("send/1", store.OK, 96, 0)
	second.Tx = hash(2)
	db, _, _ := forked(t, []store.NewJob{two}, []store.Fact{first, second})
	require.Equal(t, "done await", describe(t, db, 1))
	f, err := db.Quarantine(ctx, "root", after(100, 0), block(89), "x")
	require.NoError(t, err)
	require.Equal(t, 2, f.Facts)
	require.Equal(t, store.Accepted{Reopened: 1}, reread(t, db, nil, []store.Fact{again}))
	require.Equal(t, "pending await", describe(t, db, 1), "%d", place)
	h := get(t, db, 1).History
	require.Equal(t, store.Entry{Step: "send", Reason: "confirmed", Tx: again.Tx, Chain: "root", Height: 97, Index: again.LogIndex, At: again.At, By: "ann"}, h[len(h)-2])
	aside, err := db.QuarantinedFacts(ctx, 10)
	require.NoError(t, err)
	require.Len(t, aside, 1, "the other one is still missing")
	require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), nil, []store.Fact{again}))
	require.Equal(t, "pending await", describe(t, db, 1), "told again it is no other event")
	second.Height = 111
	require.NoError(t, db.Ingest(ctx, "root", after(111, 1), after(112, 1), nil, []store.Fact{second}))
	require.Equal(t, "done await", describe(t, db, 1))
}

func TestALookFromBeforeTheForkStands(t *testing.T) {
	j := carried(1, 10)
	j.Steps[0].Chains = []string{"root"}
	db, c, _ := forked(t, []store.NewJob{j}, nil)
	look := func(step string) {
		l := claim(t, db, 1)
		require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: step, Advance: store.OK}}))
	}
	look("send")
	c.t = time.Unix(1_700_000_089+3600, 0)
	look("await")
	good := block(89)
	good.Time += 1200
	_, err := db.Quarantine(ctx, "root", after(100, 0), good, "x")
	require.NoError(t, err)
	require.Equal(t, store.Accepted{Reopened: 1}, reread(t, db, nil, nil))
	require.Equal(t, "pending await", describe(t, db, 1))
}
