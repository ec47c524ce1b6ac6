package store_test

import (
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// fork records that the root has changed above a height.
func fork(t *testing.T, db *store.DB, good uint64) store.Fork {
	t.Helper()
	cur, _, err := db.Cursor(ctx, "root")
	require.NoError(t, err)
	f, err := db.Quarantine(ctx, "root", cur, block(good), "x")
	require.NoError(t, err)
	return f
}

// accept tells what is there now and ends a fork of the root.
func accept(t *testing.T, db *store.DB, f store.Fork, to chains.Cursor, jobs []store.NewJob, facts ...store.Fact) store.Accepted {
	t.Helper()
	_, _, err := db.Reread(ctx, "root", jobs, facts)
	require.NoError(t, err)
	got, err := db.AcceptFork(ctx, f, to, "ann")
	require.NoError(t, err)
	whole(t, db)
	return got
}

// whole checks that nothing is missing from the journal.
func whole(t *testing.T, db *store.DB) {
	t.Helper()
	n, err := db.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

// sharer is carried, with a refund that shares its key.
func sharer(n int, height uint64) store.NewJob {
	j := carried(n, height)
	j.Steps[2].Key, j.Steps[2].Shared = "refunds", true
	return j
}

func refund(n int, height uint64, fork int) store.Fact {
	f := at("refunds", store.OK, height, fork)
	f.Shared, f.Tx = true, hash(n)
	return f
}

func onSubnet(f store.Fact) store.Fact {
	f.Chain = "subnet"
	return f
}

func TestWhatWasSeenAgainAndIsGoneOnceMoreIsGone(t *testing.T) {
	// The await of 1 ended in block 91; after a fork in block 97; that one is gone
	// too, by a fork above 94, and block 91 was another's long before.
	for _, begins := range []uint64{10, 92} { // 92: it began there too, and begins again late
		db, _, _ := forked(t, []store.NewJob{carried(1, begins)}, []store.Fact{at("send/1", store.OK, 12, 0), at("await/1", store.OK, 91, 0)})
		require.Equal(t, "done await", describe(t, db, 1))
		got := accept(t, db, fork(t, db, 89), after(110, 1), nil, at("await/1", store.OK, 97, 1))
		if begins == 10 {
			require.Equal(t, store.Accepted{Kept: 1}, got)
			require.Equal(t, "done await", describe(t, db, 1))
			require.Equal(t, store.Accepted{Reopened: 1}, accept(t, db, fork(t, db, 94), after(120, 2), nil))
		} else {
			require.Equal(t, store.Accepted{Parked: 1}, got)
			require.Equal(t, store.Accepted{Parked: 1}, accept(t, db, fork(t, db, 94), after(120, 2), nil))
			require.NoError(t, db.Ingest(ctx, "root", after(120, 2), after(121, 2), []store.NewJob{carried(1, 121)}, nil))
		}
		require.Equal(t, "pending await", describe(t, db, 1), "%d", begins)
		whole(t, db)
	}
}

func TestALookFromBeforeAForkOfWhatStoodForItIsNotAskedAgain(t *testing.T) {
	// What a look saw was seen again as an event, which stays: a fork above it
	// changes nothing, though the look was later.
	db, c, _ := forked(t, []store.NewJob{carried(1, 10)}, []store.Fact{at("send/1", store.OK, 12, 0)})
	c.t = time.Unix(1_700_000_200, 0)
	l := claim(t, db, 1)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "await", Advance: store.OK}}))
	require.Equal(t, store.Accepted{Kept: 1}, accept(t, db, fork(t, db, 89), after(110, 1), nil, at("await/1", store.OK, 97, 1)))
	f := fork(t, db, 99)
	require.Zero(t, f.Transfers)
	require.Equal(t, "done await", describe(t, db, 1))
}

func TestLookingForAForkTakesNoEvent(t *testing.T) {
	// That 1 failed only a look saw, and its refund is in the fork; another one,
	// from before, is on offer. Whose it is, is decided once, at the end.
	db, c, _ := forked(t, []store.NewJob{sharer(1, 10), sharer(2, 11)}, []store.Fact{at("send/1", store.OK, 12, 0), refund(1, 95, 0)})
	c.t = time.Unix(1_700_000_200, 0)
	for l := claim(t, db, 1); ; l = claim(t, db, 1) {
		if l.Step == "await" {
			require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "await", Advance: store.Failed}}))
			break
		}
	}
	require.Equal(t, "refunded refund", describe(t, db, 1))
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{refund(2, 80, 0)})
	require.NoError(t, err)
	f := fork(t, db, 89)
	require.Equal(t, []int{1, 1}, []int{f.Facts, f.Transfers})
	f = fork(t, db, 89) // as often as one likes
	require.Equal(t, store.Accepted{Kept: 1}, accept(t, db, f, after(110, 1), nil, at("await/1", store.Failed, 96, 1), refund(1, 97, 1)))
	require.Equal(t, "refunded refund", describe(t, db, 1))
	require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), nil, []store.Fact{at("send/2", store.Failed, 111, 1)}))
	require.Equal(t, "refunded refund", describe(t, db, 2), "two refunds, two who are refunded")
}

func TestAnEventStandsForOneStepThoughTheOtherIsNotInTheFork(t *testing.T) {
	two := carried(1, 10)
	two.Steps[1].Key = two.Steps[0].Key
	second := at("send/1", store.OK, 96, 0)
	second.Tx = hash(2)
	db, _, _ := forked(t, []store.NewJob{two}, []store.Fact{at("send/1", store.OK, 12, 0), second})
	require.Equal(t, "done await", describe(t, db, 1))
	require.Equal(t, store.Accepted{Reopened: 1}, accept(t, db, fork(t, db, 89), after(110, 1), nil))
	require.Equal(t, "pending await", describe(t, db, 1), "the first event is the first step's")
}

func TestWhoGoesTheWayAgainFindsItsEventsOfSharedKeysAgain(t *testing.T) {
	// The failure that led to the refund is gone; the refund is not. Then it fails
	// again.
	for _, moved := range []bool{false, true} { // the refund was in the fork too, and comes back
		height := uint64(80)
		if moved {
			height = 96
		}
		db, _, _ := forked(t, []store.NewJob{sharer(1, 10)}, []store.Fact{at("send/1", store.OK, 12, 0), at("await/1", store.Failed, 95, 0), refund(1, height, 0)})
		require.Equal(t, "refunded refund", describe(t, db, 1))
		var back []store.Fact
		if moved {
			back = append(back, refund(1, 97, 1))
		}
		require.Equal(t, store.Accepted{Reopened: 1}, accept(t, db, fork(t, db, 89), after(110, 1), nil, back...))
		require.Equal(t, "pending await", describe(t, db, 1))
		require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), nil, []store.Fact{at("await/1", store.Failed, 111, 1)}))
		require.Equal(t, "refunded refund", describe(t, db, 1), "moved %v", moved)
		whole(t, db)
	}
}

func TestTwoWhoAcceptAForkAtOnceDoNotSpoilEachOther(t *testing.T) {
	db, _, _ := forked(t, []store.NewJob{carried(1, 10)}, []store.Fact{at("send/1", store.OK, 95, 0)})
	mine := fork(t, db, 89)
	_, _, err := db.Reread(ctx, "root", nil, []store.Fact{at("send/1", store.OK, 96, 1)})
	require.NoError(t, err)
	// Another one begins, which sets aside what the first has read.
	other := fork(t, db, 89)
	require.Equal(t, mine.From, other.From)
	_, err = db.AcceptFork(ctx, mine, after(110, 1), "ann")
	require.ErrorIs(t, err, store.ErrCursor)
	require.Equal(t, "parked await", describe(t, db, 1))
	require.Equal(t, store.Accepted{Kept: 1}, accept(t, db, other, after(110, 1), nil, at("send/1", store.OK, 96, 1)))
	require.Equal(t, "pending await", describe(t, db, 1))
}

func TestALookFromBeforeAForkDecidesNothingAfterIt(t *testing.T) {
	db, c, _ := forked(t, []store.NewJob{carried(1, 10), carried(2, 10)}, []store.Fact{at("send/1", store.OK, 12, 0)})
	c.advance(time.Hour)
	send, await := claim(t, db, 1), claim(t, db, 1)
	require.Equal(t, []string{"send", "await"}, []string{send.Step, await.Step})
	accept(t, db, fork(t, db, 89), after(110, 1), nil)
	seen := func(l store.Lease) error {
		return db.Settle(ctx, l, []store.Verdict{{ID: l.Jobs[0].Transfer.ID, Step: l.Step, Advance: store.OK}})
	}
	require.ErrorIs(t, seen(await), chains.ErrStale)
	require.Equal(t, "pending await", describe(t, db, 1))
	_, _, err := db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "k", Members: []common.Hash{hash(1)}, Fence: await.Fence}, 0, 10)
	require.ErrorIs(t, err, chains.ErrStale)
	require.NoError(t, seen(send), "its lane does not rely on the root")
	require.Equal(t, "pending await", describe(t, db, 2))
	c.advance(time.Hour)
	require.Equal(t, []int{1, 2}, ids(claim(t, db, 10).Jobs), "and the lane is free")
}

// another is a message of the same number as carried's, which waits for events
// of its own.
func another(n int, height uint64) store.NewJob {
	j := carried(n, height)
	j.Transfer.Recipient = common.Address{byte(n)}
	j.Steps[1].Key += "/other"
	return j
}

func TestAnotherMessageWaitsForEventsOfItsOwn(t *testing.T) {
	for _, late := range []bool{false, true} {
		db, _, _ := forked(t, []store.NewJob{carried(1, 95)}, nil)
		f := fork(t, db, 89)
		if late {
			require.Equal(t, store.Accepted{Parked: 1}, accept(t, db, f, after(110, 1), nil))
			require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), []store.NewJob{another(1, 111)}, nil))
		} else {
			require.Equal(t, store.Accepted{Kept: 1}, accept(t, db, f, after(111, 1), []store.NewJob{another(1, 96)}))
		}
		require.Equal(t, "pending send", describe(t, db, 1))
		whole(t, db)
		require.NoError(t, db.Ingest(ctx, "root", after(111, 1), after(112, 1), nil, []store.Fact{at("await/1", store.OK, 112, 1)}))
		require.Equal(t, "pending send", describe(t, db, 1), "that was the old one's")
		require.NoError(t, db.Ingest(ctx, "root", after(112, 1), after(113, 1), nil, []store.Fact{at("await/1/other", store.OK, 113, 1)}))
		require.Equal(t, "done await", describe(t, db, 1))
	}
}

func TestAnotherMessageIsNotTakenForDeliveredByTheOldOnesEvent(t *testing.T) {
	// The old message is delivered in the subnet while the fork of the root is
	// being looked at: nothing is known of its sending but that event.
	for _, same := range []bool{true, false} {
		db, _, _ := forked(t, []store.NewJob{carried(1, 95)}, nil)
		f := fork(t, db, 89)
		done := onSubnet(at("send/1", store.OK, 5, 0))
		require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2}, chains.Cursor{Chain: 2, Next: 6}, nil, []store.Fact{done}))
		now := carried(1, 96)
		if !same {
			now = another(1, 96)
		}
		got := accept(t, db, f, after(110, 1), []store.NewJob{now})
		if same {
			require.Equal(t, store.Accepted{Kept: 1}, got)
			require.Equal(t, "pending await", describe(t, db, 1))
			continue
		}
		require.Equal(t, store.Accepted{Parked: 1}, got)
		require.Equal(t, "parked send", describe(t, db, 1))
		require.Equal(t, "finality_regress", get(t, db, 1).Reason)
	}
}

func TestAuditPutsBackWhoWaitsForAFork(t *testing.T) {
	db, _, s := forked(t, []store.NewJob{carried(1, 10)}, []store.Fact{at("send/1", store.OK, 95, 0)})
	r := s.Client()
	defer r.Close()
	f := fork(t, db, 89)
	require.NoError(t, r.Del(ctx, "{test}:heldby").Err())
	n, err := db.Audit(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, store.Accepted{Kept: 1}, accept(t, db, f, after(110, 1), nil, at("send/1", store.OK, 96, 1)))
	require.Equal(t, tokens.Pending, get(t, db, 1).Status)
}

func TestAForkLeavesNoEvidenceBehind(t *testing.T) {
	db, c, s := forked(t, []store.NewJob{sharer(1, 10), sharer(2, 95), carried(3, 10)}, []store.Fact{
		at("send/1", store.OK, 12, 0), at("await/1", store.Failed, 95, 0), refund(1, 96, 0), at("send/3", store.Failed, 12, 0),
	})
	accept(t, db, fork(t, db, 89), after(110, 1), []store.NewJob{sharer(2, 97)}, refund(1, 97, 1))
	accept(t, db, fork(t, db, 89), after(110, 1), []store.NewJob{sharer(2, 98)}, at("await/1", store.Failed, 99, 1), refund(1, 100, 1))
	require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 1), nil, []store.Fact{
		at("send/2", store.Failed, 111, 1), refund(2, 111, 1), at("refund/3", store.OK, 111, 1),
	}))
	for n := 1; n <= 3; n++ {
		require.Equal(t, "refunded refund", describe(t, db, n))
	}
	c.advance(2 * store.Keep)
	for range 2 {
		_, err := db.Prune(ctx, store.Keep)
		require.NoError(t, err)
	}
	r := s.Client()
	defer r.Close()
	for _, key := range []string{"evidence", "facts", "offered", "offers", "waits", "bind", "held", "heldby", "jobs"} {
		require.Zero(t, r.Exists(ctx, "{test}:"+key).Val(), key)
	}
}

func TestABatchWithMembersFromBothSidesOfAFork(t *testing.T) {
	db, c, _ := forked(t, []store.NewJob{carried(1, 10), carried(2, 95)}, nil)
	l := claim(t, db, 10)
	in, _, err := db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "both", Members: []common.Hash{hash(1), hash(2)}, Fence: l.Fence}, 0, 10)
	require.NoError(t, err)
	require.NoError(t, db.Settle(ctx, l, nil))
	f := fork(t, db, 89)
	require.Equal(t, "pending send", describe(t, db, 1))
	require.Equal(t, "parked send", describe(t, db, 2))

	// It is on its way, and neither member goes into another one meanwhile.
	c.advance(time.Hour)
	l = claim(t, db, 10)
	require.Equal(t, []int{1}, ids(l.Jobs))
	for n := 1; n <= 2; n++ {
		_, _, err = db.Reserve(ctx, 2, common.Address{1}, chains.Tx{Key: "again", Members: []common.Hash{hash(n)}, Fence: l.Fence}, 0, 10)
		require.ErrorIs(t, err, chains.ErrBusy)
	}
	in.State, in.Block = chains.IntentSucceeded, 5
	require.NoError(t, db.Update(ctx, in))
	require.NoError(t, db.Settle(ctx, l, nil))
	require.NoError(t, db.Ingest(ctx, "subnet", chains.Cursor{Chain: 2}, chains.Cursor{Chain: 2, Next: 6}, nil,
		[]store.Fact{onSubnet(at("send/1", store.OK, 5, 0)), onSubnet(at("send/2", store.OK, 5, 0))}))
	require.Equal(t, "pending await", describe(t, db, 1))
	require.Equal(t, "parked send", describe(t, db, 2), "its beginning is gone")
	require.Equal(t, store.Accepted{Kept: 1}, accept(t, db, f, after(110, 1), []store.NewJob{carried(2, 97)}))
	require.Equal(t, "pending await", describe(t, db, 2), "it was paid, and is not paid again")
}

func TestADeeperForkWhileTheFirstIsReadAgain(t *testing.T) {
	jobs := []store.NewJob{carried(1, 10), carried(2, 70), carried(3, 95)}
	db, _, _ := forked(t, jobs, []store.Fact{at("send/1", store.OK, 60, 0), at("send/2", store.OK, 91, 0), at("send/3", store.OK, 96, 0)})
	first := fork(t, db, 89)
	require.Equal(t, []int{2, 2}, []int{first.Facts, first.Transfers})
	_, _, err := db.Reread(ctx, "root", []store.NewJob{carried(3, 92)}, []store.Fact{at("send/2", store.OK, 93, 1), at("send/3", store.OK, 94, 1)})
	require.NoError(t, err)
	deeper := fork(t, db, 49)
	require.EqualValues(t, 50, deeper.From)
	require.Equal(t, 3, deeper.Transfers)
	for n := 1; n <= 3; n++ {
		require.Equal(t, tokens.Parked, get(t, db, n).Status)
	}
	// Of all that was read again nothing counts; 2 is sent in the newest chain, 3
	// begins there, and 1 is as it was, elsewhere.
	got := accept(t, db, deeper, after(110, 2), []store.NewJob{carried(2, 71), carried(3, 80)}, at("send/1", store.OK, 61, 2), at("send/2", store.OK, 81, 2))
	require.Equal(t, store.Accepted{Kept: 2, Parked: 1}, got)
	require.Equal(t, "pending await", describe(t, db, 1))
	require.Equal(t, "pending await", describe(t, db, 2))
	require.Equal(t, "parked send", describe(t, db, 3), "what was sent is not sent again unasked")
}

func TestManyAreLetGoInTheirOrder(t *testing.T) {
	const count = 1201 // three scripts
	var jobs []store.NewJob
	var facts, back []store.Fact
	for n := 1; n <= count; n++ {
		j := sharer(n, 10)
		j.Transfer.Origin.Index = uint(n)
		jobs = append(jobs, j)
		facts = append(facts, at(j.Steps[0].Key, store.OK, 12, 0), at(j.Steps[1].Key, store.Failed, 90, 0), refund(n, 91, 0))
		// Of every third the failure does not come back, though its refund does.
		if n%3 > 0 {
			back = append(back, at(j.Steps[1].Key, store.Failed, 95, 1))
		}
		back = append(back, refund(n, 96, 1))
	}
	for i := range facts {
		facts[i].LogIndex = uint(i)
	}
	for i := range back {
		back[i].LogIndex = uint(i)
	}
	db, _, _ := forked(t, jobs, facts)
	f := fork(t, db, 89)
	require.Equal(t, count, f.Transfers)
	require.Equal(t, store.Accepted{Kept: count - count/3, Reopened: count / 3}, accept(t, db, f, after(110, 1), nil, back...))
	for _, n := range []int{1, 3, 600, 601, 1200, 1201} {
		want := "refunded refund"
		if n%3 == 0 {
			want = "pending await"
		}
		require.Equal(t, want, describe(t, db, n), "%d", n)
	}
	var again []store.Fact
	for n := 3; n <= count; n += 3 {
		again = append(again, at(jobs[n-1].Steps[1].Key, store.Failed, 111, 2))
	}
	require.NoError(t, db.Ingest(ctx, "root", after(110, 1), after(111, 2), nil, again))
	for n := 3; n <= count; n += 3 {
		require.Equal(t, "refunded refund", describe(t, db, n), "each has a refund that nobody else has: %d", n)
	}
	whole(t, db)
}
