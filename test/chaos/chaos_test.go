package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/test/rig"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// kills is how often each of relayer, node and Redis dies, and rounds how often
// each crash point is met; CAUSEWAY_KILLS and CAUSEWAY_ROUNDS make it more.
func kills() int  { return several("CAUSEWAY_KILLS", 10) }
func rounds() int { return several("CAUSEWAY_ROUNDS", 1) }

func several(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

func testSeed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("CAUSEWAY_SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}

// under is a world of a test.
type under struct {
	*world
	t    *testing.T
	seed uint64
	from rig.Heights
}

// step is a part of the test that shares the world; what follows a failed one
// would only repeat it.
func (u *under) step(name string, do func(t *testing.T, rng *rand.Rand)) {
	began := time.Now()
	ok := u.t.Run(name, func(t *testing.T) { do(t, rand.New(rand.NewPCG(u.seed, uint64(len(name))))) })
	u.t.Logf("%-70s %5.1fs", name, time.Since(began).Seconds())
	if !ok {
		u.t.FailNow()
	}
}

// TestABridgeThatIsKilledEverywhereLosesAndDoublesNothing sends 10 transfers a
// second over all four routes while every named crash point kills the process
// that passes it, while relayer, node and Redis die at random moments, also
// together, and while several instances share the work.
func TestABridgeThatIsKilledEverywhereLosesAndDoublesNothing(t *testing.T) {
	seed := testSeed()
	t.Logf("seed %d (CAUSEWAY_SEED repeats it)", seed)
	dir := t.TempDir()
	program, err := rig.Build(t.Context(), dir, "causeway")
	require.NoError(t, err)
	w, err := newWorld(t.Context(), filepath.Join(dir, "world"), program, &variants{dir: dir}, t.Logf)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = w.load.Abort()
		w.Stop()
		if t.Failed() {
			for _, name := range []string{"relayer-1", "relayer-2", "relayer-3", "node", "root", "redis"} {
				t.Logf("end of %s.log:\n%s", name, rig.Tail(w.LogFile(name), 5000))
			}
		}
	})
	w.load = w.Load(t.Context(), seed)
	from, err := w.Heights(t.Context())
	require.NoError(t, err)
	u := &under{world: w, t: t, seed: seed, from: from}

	u.step("every crash point kills the process that passes it", u.crashes)
	u.step("relayer, node and Redis die at random", u.kills)
	u.step("three instances share the work, and one that was stopped is fenced off", u.fenced)
	u.step("a journal of another schema is refused", u.schema)
	u.step("at the end everything is as it must be", u.sound)
	require.NoError(t, w.end(t.Context()))
	_, ended := w.Ledger.Counts()
	t.Logf("%d transfers ended right, once; %d were put back by an operator", ended, w.Retried())
	require.Greater(t, ended, 200)
}

// crashes meets all points: those of the relayer one after the other, those of
// the node and of a deployment beside them.
func (u *under) crashes(t *testing.T, rng *rand.Rand) {
	for range rounds() {
		u.round(t, rng)
	}
	u.sound(t, rng)
}

func (u *under) round(t *testing.T, rng *rand.Rand) {
	of := map[string][]rig.Passing{}
	for _, point := range crash.Points() {
		if elsewhere(point) {
			continue
		}
		process, _, _ := strings.Cut(point, ".")
		if process != "node" && process != "deploy" {
			process = "relayer"
		}
		of[process] = append(of[process], rig.Passing{Point: point, Nth: nth(point, rng)})
	}
	require.Len(t, of, 3)
	// Deaths with a lease in hand apart from each other: six in a row park what
	// was looked at.
	rng.Shuffle(len(of["relayer"]), func(i, j int) { of["relayer"][i], of["relayer"][j] = of["relayer"][j], of["relayer"][i] })
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error { return u.CrashRelayer(ctx, of["relayer"]...) })
	group.Go(func() error { return u.CrashNode(ctx, of["node"]...) })
	group.Go(func() error {
		for _, p := range of["deploy"] {
			if err := u.CrashAt(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, group.Wait())
}

// sound: what was sent until now ends as it must, and everything is checked.
func (u *under) sound(t *testing.T, _ *rand.Rand) {
	_, err := u.Settle(t.Context(), time.Now(), stuckAfter)
	require.NoError(t, err)
	require.NoError(t, u.check(t.Context(), u.from, new(trial)))
}

// kills lets the three die each in its own time, so that they also die
// together, while the validator's power changes.
func (u *under) kills(t *testing.T, rng *rand.Rand) {
	require.NoError(t, u.Stake(t.Context(), 4))
	group, ctx := errgroup.WithContext(t.Context())
	again := func(f func(context.Context, *world, *rand.Rand) (string, error)) {
		own := rand.New(rand.NewPCG(rng.Uint64(), 2))
		group.Go(func() error {
			for range kills() {
				if _, err := f(ctx, u.world, own); err != nil {
					return err
				}
				rig.Pause(ctx, between(own, 500*time.Millisecond, 1500*time.Millisecond))
			}
			return nil
		})
	}
	again(killRelayer)
	again(killRedis)
	again(func(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
		return "", w.WithNode(func() error {
			w.Net.Kill("node")
			rig.Pause(ctx, between(rng, 0, 800*time.Millisecond))
			return w.StartNode(ctx)
		})
	})
	require.NoError(t, group.Wait())
	require.NoError(t, u.Powerful(t.Context(), 1, 5))
}

// fenced stops one of three instances while it holds a lane, for longer than
// its lease: another takes the lane, and what the first one writes when it wakes
// up is refused.
func (u *under) fenced(t *testing.T, _ *rand.Rand) {
	ctx := t.Context()
	for _, name := range []string{"relayer-2", "relayer-3"} {
		i, err := u.Join(name, "")
		require.NoError(t, err)
		require.NoError(t, i.Start(ctx))
	}
	require.NoError(t, rig.Until(ctx, 30*time.Second, "all three had lanes", func() bool {
		grants, _, _ := u.Tap.Shares()
		return grants["relayer-1"] > 0 && grants["relayer-2"] > 0 && grants["relayer-3"] > 0
	}))
	second := u.Instances[1]
	for range 50 {
		require.NoError(t, rig.Until(ctx, 20*time.Second, "relayer-2 holds a lane", func() bool { return u.Tap.Holding("relayer-2") > 0 }))
		require.NoError(t, second.Signal(syscall.SIGSTOP))
		rig.Pause(ctx, 100*time.Millisecond)
		if u.Tap.Holding("relayer-2") > 0 {
			break
		}
		require.NoError(t, second.Signal(syscall.SIGCONT)) // it had given it back already
	}
	require.Positive(t, u.Tap.Holding("relayer-2"))
	_, err := u.Stream(ctx)
	require.NoError(t, err)
	before := u.Lines()["stale"]
	require.NoError(t, rig.Until(ctx, rig.Lease+10*time.Second, "others take the lanes of the stopped one", func() bool { return u.Tap.Holding("relayer-2") == 0 }))
	rig.Pause(ctx, time.Second)
	require.NoError(t, second.Signal(syscall.SIGCONT))
	require.NoError(t, rig.Until(ctx, 20*time.Second, "a write of the one that woke up is refused", func() bool {
		_, err := u.Stream(ctx)
		return err == nil && u.Lines()["stale"] > before
	}))
	for _, i := range u.Instances[1:] {
		require.NoError(t, i.Leave())
	}
	grants, settled, lanes := u.Tap.Shares()
	t.Logf("leases %v, settled %v, %d lanes were had by more than one instance", grants, settled, lanes)
	require.Positive(t, lanes)
}

func (u *under) schema(t *testing.T, _ *rand.Rand) {
	require.NoError(t, refuseNewer(t.Context(), u.world))
}

func TestATrialIsNamedByItsSeedAndNotMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s, err := openState(dir, 7)
	require.NoError(t, err)
	s.Trials = append(s.Trials, trial{Fault: "F1", Index: 3, Seed: seedOf(7, "F1", 3)})
	require.NoError(t, s.save())
	again, err := openState(dir, 8)
	require.NoError(t, err)
	require.Equal(t, uint64(7), again.Seed, "a run that goes on keeps its seed")
	require.True(t, again.has("F1", 3))
	require.False(t, again.has("F1", 4))
	require.False(t, again.has("F2", 3))
	require.NotEqual(t, seedOf(7, "F1", 3), seedOf(7, "F1", 4))
	require.NotEqual(t, seedOf(7, "F1", 3), seedOf(8, "F1", 3))
}

func TestTheReportCountsWhatTrialsCost(t *testing.T) {
	s := &state{Seed: 1, Trials: []trial{
		{Fault: "F0", Seconds: 10, Transfers: 100, Spent: rig.Spent{Txs: 10, Gas: 1000}},
		{Fault: "F8", Index: 0, Seconds: 14, Transfers: 100, Spent: rig.Spent{Txs: 12, Reverted: 1, NoOps: 1, Gas: 1500}},
		{Fault: "F8", Index: 1, Seconds: 9, Transfers: 50, Spent: rig.Spent{Gas: 400}},
		{Fault: "F8", Index: 2, Seed: 5, Failed: "lost"},
	}, Closings: []string{"", "drift"}}
	r := s.report()
	require.Equal(t, 2, r.failures())
	require.Len(t, r.Rows, 2)
	f8 := r.Rows[1]
	require.Equal(t, []any{3, 1, 150, 1, 1, uint64(1900), int64(400)}, []any{f8.Trials, f8.Failures, f8.Transfers, f8.Reverted, f8.NoOps, f8.Gas, f8.ExtraGas})
	require.Equal(t, []float64{0, 4}, []float64{f8.P50, f8.P99})
	require.Contains(t, r.text(), "FAILED F8 seed 5")
	require.Contains(t, r.text(), fmt.Sprintf("%q", "drift")[1:6])
}
