package root_test

import (
	"errors"
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// busyBlock mines fourteen deposits in one epoch, and lets them become final.
func (w *world) busyBlock() (epoch uint64) {
	w.t.Helper()
	for i := range int64(14) {
		w.depositUSDC(w.users[0], common.BigToAddress(ether(i+1)), 1_000+i)
	}
	require.NoError(w.t, w.root.Mine(w.t.Context(), 1))
	epoch = w.root.Head()
	require.NoError(w.t, w.root.Mine(w.t.Context(), int(w.depth)+3))
	return epoch
}

// reach waits until everything final is in the journal.
func (w *world) reach() {
	w.t.Helper()
	number, _ := w.final()
	w.until("reach the final head", func() bool {
		next, _ := w.read()
		return next == number+1
	})
}

// seen says whether anything was said against an endpoint since.
func (w *world) seen(i, before int) bool {
	return w.reported(i) > before || w.sources.Status().Endpoints[i].Out != ""
}

// One of three endpoints does each thing that the root's endpoints are known to do.
// Nothing is missed, nothing is made up, and whoever lies is found.
func TestOneEndpointOfThree(t *testing.T) {
	w := newWorld(t, 1, 12)
	require.NoError(t, w.root.Mine(t.Context(), 15))
	w.follow()
	w.reach()
	bad := w.root.Node(0)
	set := func(change func(*lotus.Switches)) func() { return func() { bad.Set(change) } }
	rows := []struct {
		name  string
		spoil func()
		quiet bool // it says nothing wrong, and for some time it may be behind
	}{
		{"leaves out fourteen events", set(func(s *lotus.Switches) { s.HideLogs = true }), false},
		{"leaves them out of receipts, too", set(func(s *lotus.Switches) { s.HideLogs, s.LieInReceipts = true, true }), false},
		{"leaves out one", set(func(s *lotus.Switches) { s.DropLog = 3 }), false},
		{"forges a log", set(func(s *lotus.Switches) { s.ForgeLog = true }), false},
		{"forges it in receipts, too", set(func(s *lotus.Switches) { s.ForgeLog, s.LieInReceipts = true, true }), false},
		{"tells of removed logs", set(func(s *lotus.Switches) { s.ShowRemoved = true }), true},
		{"has receipts late", set(func(s *lotus.Switches) { s.LateReceipts = 1 }), true},
		{"lags", set(func(s *lotus.Switches) { s.Lag = 30 }), true},
		{"freezes", func() { bad.Freeze(0) }, true},
		{"goes back", func() { bad.Freeze(20) }, true},
		{"jumps ahead", func() { require.NoError(t, bad.JumpAhead(t.Context(), 10)) }, true},
		{"is on another branch", func() { require.NoError(t, bad.Fork(t.Context(), 25)) }, true},
		{"turns into another chain", func() {
			bad.Set(func(s *lotus.Switches) { s.ChainID, s.WrongGenesis = 1, true })
			bad.DropConnections()
		}, false},
	}
	for _, b := range lotus.Bodies() {
		if b != lotus.BodyHonest && b != lotus.BodySlow {
			rows = append(rows, struct {
				name  string
				spoil func()
				quiet bool
			}{"answers " + string(b), set(func(s *lotus.Switches) { s.Body = b }), false})
		}
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			defer func(all testing.TB) { w.t = all }(w.t)
			w.t = t
			before := w.reported(0)
			row.spoil()
			w.busyBlock()
			w.reach()
			if !row.quiet {
				require.True(t, w.seen(0, before), "nobody was told: %+v", w.sources.Status())
			}
			bad.Reset()
			top := w.root.Head()
			w.quiet(&top)
		})
	}
	require.GreaterOrEqual(t, w.prove(), 2*14*len(rows))
}

// An endpoint whose own reader finds that its answers do not add up contradicts
// nobody and keeps up: it is shown as out until they do.
func TestAnEndpointThatItsOwnReaderRefusesIsShown(t *testing.T) {
	w := newWorld(t, 3, 12)
	require.NoError(t, w.root.Mine(t.Context(), 15))
	w.follow()
	w.reach()
	w.root.Node(0).Set(func(s *lotus.Switches) { s.DropLog = 3 })
	w.busyBlock()
	w.reach()
	out := w.sources.Status().Endpoints[0]
	require.Contains(t, out.Out, "its answers do not add up: root: the logs of epochs")
	require.NotNil(t, out.Since)
	for range 3 {
		require.NoError(t, w.root.Mine(t.Context(), 2))
		w.reach()
		w.sources.Tend(t.Context())
		still := w.sources.Status().Endpoints[0]
		require.Contains(t, still.Out, "do not add up")
		require.Equal(t, out.Since, still.Since, "since it began")
	}
	require.NoError(t, w.sources.Trouble())
	w.root.Node(0).Reset()
	w.sources.Tend(t.Context())
	for _, s := range w.sources.Status().Endpoints {
		require.Empty(t, s.Out)
	}
}

// Two that tell different lies leave nothing that two agree on: then nothing is read,
// and all is when they are well.
func TestTwoThatLieDifferentlyAreNotBelieved(t *testing.T) {
	w := newWorld(t, 2, 12)
	require.NoError(t, w.root.Mine(t.Context(), 15))
	w.follow()
	w.reach()
	w.root.Node(0).Set(func(s *lotus.Switches) { s.HideLogs, s.LieInReceipts = true, true })
	w.root.Node(1).Set(func(s *lotus.Switches) { s.ForgeLog, s.LieInReceipts = true, true })
	epoch := w.busyBlock()
	_, before := w.read()
	w.until("look in vain", func() bool { _, n := w.read(); return n > before+3 })
	next, _ := w.read()
	require.LessOrEqual(t, next, epoch, "the busy block was read while two lied about it")
	require.True(t, w.seen(0, 0) || w.seen(1, 0))
	w.root.Node(0).Reset()
	w.root.Node(1).Reset()
	top := w.root.Head()
	w.quiet(&top)
	require.GreaterOrEqual(t, w.prove(), 2*14)
}

func TestNullRoundsAtTheFirstLastAndOnlyHeightOfARange(t *testing.T) {
	w := newWorld(t, 3, 12)
	require.NoError(t, w.root.Mine(t.Context(), 15))
	w.follow()
	w.reach()
	for range 4 {
		h := w.root.Head()
		// One epoch at a time: each range is what became final with it.
		w.root.NullAt(h+2, h+5, h+6, h+9)
		for i := range 12 {
			w.depositFLT(w.users[1], common.BigToAddress(ether(1)), int64(i))
			require.NoError(t, w.root.Mine(t.Context(), 1))
			w.reach()
		}
	}
	top := w.root.Head()
	w.quiet(&top)
	require.GreaterOrEqual(t, w.prove(), 2*48)
}

func TestReorganizationsOfWhatIsNotFinalMoveNoTransferTwice(t *testing.T) {
	for _, depth := range []uint64{1, 5, 30, 900} {
		w := newWorld(t, depth, max(depth+2, 12))
		require.NoError(t, w.root.Mine(t.Context(), int(w.depth)+3))
		w.follow()
		w.reach()
		for i := range int64(14) {
			w.depositUSDC(w.users[0], common.BigToAddress(ether(i+1)), 1_000+i)
			require.NoError(t, w.root.Mine(t.Context(), 1))
		}
		w.reach()
		require.NoError(t, w.root.Reorg(t.Context(), depth))
		w.reach()
		top := w.root.Head()
		w.quiet(&top)
		require.GreaterOrEqual(t, w.prove(), 2*14, "depth %d", depth)
	}
}

// away is how long the relayer did not run: twenty hours, where gateways look back
// for sixteen and two thirds.
const away, lookback = 2400, 2000

// A relayer that was away for longer than an endpoint looks back goes on through the
// others.
func TestWhatOneEndpointNoLongerKeepsIsReadThroughTheOthers(t *testing.T) {
	w := newWorld(t, 5, 12)
	w.busyBlock()
	require.NoError(t, w.root.Mine(t.Context(), away))
	w.root.Node(0).Set(func(s *lotus.Switches) { s.Lookback = lookback })
	w.follow()
	w.reach()
	top := w.root.Head()
	w.quiet(&top)
	require.GreaterOrEqual(t, w.prove(), 2*14)
}

// Where too few are left that keep it, the chain stops with an error that says so,
// and goes on once one of them does.
func TestWhatTooFewEndpointsKeepStopsTheChainAndIsSaid(t *testing.T) {
	w := newWorld(t, 6, 12)
	epoch := w.busyBlock()
	require.NoError(t, w.root.Mine(t.Context(), away))
	for i := range mustAgree {
		w.root.Node(i).Set(func(s *lotus.Switches) { s.Lookback = lookback })
	}
	w.follow()
	var said error
	w.until("say that it stops", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		said = w.last
		return errors.Is(said, watch.ErrHalted)
	})
	require.ErrorContains(t, said, "which its endpoint no longer keeps")
	require.ErrorContains(t, said, "archive node")
	next, _ := w.read()
	require.Less(t, next, epoch, "what nobody vouches for is not skipped")

	w.root.Node(0).Reset()
	w.reach()
	top := w.root.Head()
	w.quiet(&top)
	require.GreaterOrEqual(t, w.prove(), 2*14)
}
