package watch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/stretchr/testify/require"
)

// read is a watcher that has read a chain up to 100, a block at a time.
func read(t *testing.T) (*bench, *watch.Watcher) {
	t.Helper()
	b := &bench{c: &chain{err: map[string]error{}}, j: newJournal(1)}
	w, err := watch.New(b.config())
	require.NoError(t, err)
	for b.c.head = 1; b.c.head <= 100; b.c.head++ {
		_, err := watch.Step(w, context.Background())
		require.NoError(t, err)
	}
	b.c.head = 100
	require.Len(t, b.j.trail, 100)
	return b, w
}

func TestAChangedFinalBlockSetsAsideWhatRestsOnIt(t *testing.T) {
	for name, c := range map[string]struct {
		forkAt, head uint64
		fails        string
		good         chains.Block
	}{
		"the last block":           {100, 130, "", chains.Block{Number: 99, Hash: hash(99), Time: 1099}},
		"five":                     {96, 130, "", chains.Block{Number: 95, Hash: hash(95), Time: 1095}},
		"thirty":                   {71, 130, "", chains.Block{Number: 70, Hash: hash(70), Time: 1070}},
		"all that was recorded":    {1, 130, "", chains.Block{}},
		"no new block":             {96, 100, "", chains.Block{Number: 95, Hash: hash(95), Time: 1095}},
		"a head behind the cursor": {71, 90, "", chains.Block{Number: 70, Hash: hash(70), Time: 1070}},
		"the client noticed first": {96, 100, "head", chains.Block{Number: 95, Hash: hash(95), Time: 1095}},
	} {
		b, w := read(t)
		b.c.fork, b.c.forkAt, b.c.head = 5000, c.forkAt, c.head
		if c.fails != "" {
			b.c.err[c.fails] = chains.ErrReorg
		}
		b.c.probes = 0
		_, err := watch.Step(w, context.Background())
		var fork *watch.ForkError
		require.ErrorAs(t, err, &fork, name)
		require.ErrorIs(t, err, store.ErrForked)
		require.Equal(t, c.good, fork.Good, name)
		require.ErrorContains(t, err, "2 facts and 3 transfers are set aside")
		require.ErrorContains(t, err, "causeway rescan --accept-fork root")
		require.LessOrEqual(t, b.c.probes, 8, "a handful of questions")

		// From then on it stands still, whatever the chain says.
		b.c.fork = 0
		writes := len(b.j.writes)
		_, again := watch.Step(w, context.Background())
		require.ErrorAs(t, again, &fork)
		require.Equal(t, chains.Cursor{Chain: chainID, Next: 101, Parent: hash(100)}, *b.j.cursor)
		require.Len(t, b.j.writes, writes)
		b.j.fork = nil
		_, err = watch.Step(w, context.Background())
		require.Equal(t, c.fails != "", err != nil, "%v", err)
	}
}

func TestAForkThatNobodyElseSeesIsNone(t *testing.T) {
	b, w := read(t)
	b.c.err["head"] = chains.ErrReorg
	_, err := watch.Step(w, context.Background())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotErrorIs(t, err, chains.ErrReorg)
	require.Nil(t, b.j.fork)
}

func TestNothingIsSetAsideOnHalfAnAnswer(t *testing.T) {
	gone := errors.New("gone")
	for _, at := range []string{"at", "trail", "quarantine", "forked"} {
		b, w := read(t)
		b.c.fork, b.c.forkAt, b.c.head = 5000, 90, 130
		b.c.err[at], b.j.err[at] = gone, gone
		_, err := watch.Step(w, context.Background())
		require.ErrorIs(t, err, gone, at)
		require.Nil(t, b.j.fork, at)
		delete(b.c.err, at)
		delete(b.j.err, at)
		_, err = watch.Step(w, context.Background())
		require.ErrorIs(t, err, store.ErrForked, "the next look finds it: %s", at)
		require.EqualValues(t, 90, b.j.fork.From)
	}
}

func TestABlockAboveTheCursorThatChangedIsFoundWhenItIsReached(t *testing.T) {
	recorded := func(n uint64, fork uint64) chains.Block { return chains.Block{Number: n, Hash: hash(n + fork)} }
	for name, c := range map[string]struct {
		recorded []chains.Block
		head     uint64
		changed  bool
	}{
		"as it was, with an event":    {[]chains.Block{recorded(105, 0)}, 110, false},
		"as it was, without":          {[]chains.Block{recorded(104, 0), recorded(110, 0)}, 110, false},
		"another one":                 {[]chains.Block{recorded(104, 0), recorded(105, 5000)}, 110, true},
		"another one below a new one": {[]chains.Block{recorded(103, 5000), recorded(105, 0), recorded(110, 0)}, 110, true},
		"the next one":                {[]chains.Block{recorded(101, 5000)}, 110, true},
		"not reached yet":             {[]chains.Block{recorded(111, 5000)}, 110, false},
	} {
		b, w := read(t)
		b.c.events = []chains.Event{event(105, 0, decides)}
		b.j.trail, b.c.head = append(b.j.trail, c.recorded...), c.head
		_, err := watch.Step(w, context.Background())
		if !c.changed {
			require.NoError(t, err, name)
			require.EqualValues(t, 111, b.j.cursor.Next)
			continue
		}
		require.ErrorIs(t, err, store.ErrForked, name)
		require.Equal(t, b.c.block(100), b.j.fork.Good, "all above the cursor is set aside")
		require.EqualValues(t, 101, b.j.cursor.Next)
		require.Empty(t, b.j.facts)
	}
}

func TestNothingIsReadPastABlockThatCannotBeCompared(t *testing.T) {
	b, w := read(t)
	b.j.trail, b.c.head = append(b.j.trail, chains.Block{Number: 104, Hash: hash(9104)}), 110
	b.c.err["at"] = chains.ErrUnavailable
	_, err := watch.Step(w, context.Background())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotErrorIs(t, err, store.ErrForked)
	require.EqualValues(t, 101, b.j.cursor.Next)
}

func TestAForkFoundWhileAnotherInstanceReadsOnIsLookedAtAgain(t *testing.T) {
	b, w := read(t)
	b.c.fork, b.c.forkAt, b.c.head = 5000, 90, 130
	b.j.err["quarantine"] = store.ErrCursor
	_, err := watch.Step(w, context.Background())
	require.ErrorIs(t, err, store.ErrCursor)
}

func TestAHeadThatLagsIsNoFork(t *testing.T) {
	b, w := read(t)
	for _, head := range []uint64{100, 99, 50, 1, 0} {
		b.c.head = head
		_, err := watch.Step(w, context.Background())
		require.NoError(t, err)
	}
	require.Nil(t, b.j.fork)
}

func TestAForkIsFoundAgainWhereverItIsByThen(t *testing.T) {
	b, w := read(t)
	b.c.fork, b.c.forkAt, b.c.head = 5000, 90, 130
	_, err := watch.Step(w, context.Background())
	require.ErrorIs(t, err, store.ErrForked)
	same, err := watch.Refork(context.Background(), b.c, b.j, *b.j.fork)
	require.NoError(t, err)
	require.EqualValues(t, 90, same.From)
	b.c.fork, b.c.forkAt = 9000, 60
	deeper, err := watch.Refork(context.Background(), b.c, b.j, same)
	require.NoError(t, err)
	require.EqualValues(t, 60, deeper.From)
	b.c.forkAt = 1
	all, err := watch.Refork(context.Background(), b.c, b.j, deeper)
	require.NoError(t, err)
	require.Zero(t, all.From)
	b.c.err["at"] = chains.ErrUnavailable
	_, err = watch.Refork(context.Background(), b.c, b.j, same)
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

func TestAForkedChainIsToldOnceAndKeepsTrying(t *testing.T) {
	b, _ := read(t)
	b.c.fork, b.c.forkAt, b.c.head = 5000, 90, 130
	b.run(t, time.Minute, nil)
	require.ErrorIs(t, b.failed[0], store.ErrForked)
	require.Greater(t, len(b.failed), 5)
	require.EqualValues(t, 101, b.j.cursor.Next)
}
