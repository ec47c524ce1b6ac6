package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/test/rig"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// TestACrossingThatIsKilledEverywhereLosesAndDoublesNothing sends FLT between
// Ethereum and the subnet, besides what goes over the other routes, while the
// relayer and the signers die at the crash points of an approval and at random.
//
// It takes minutes, so only `make chaos` runs it; what it meets is met in short by
// the signers' own crash points and by the tour with a signer down.
func TestACrossingThatIsKilledEverywhereLosesAndDoublesNothing(t *testing.T) {
	if os.Getenv("CAUSEWAY_KILLS") == "" {
		t.Skip("make chaos runs it")
	}
	seed := testSeed()
	t.Logf("seed %d (CAUSEWAY_SEED repeats it)", seed)
	dir := t.TempDir()
	program, err := rig.Build(t.Context(), dir, "causeway")
	require.NoError(t, err)
	w, err := newWorldWith(t.Context(), rig.Options{
		Dir: filepath.Join(dir, "world"), Program: program, Period: period, Axelar: deploy.GatewayLegacy, Say: t.Logf,
	}, &variants{dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = w.load.Abort()
		w.Stop()
		if t.Failed() {
			for _, name := range []string{"relayer-1", "signer-1", "signer-2", "signer-3", "ethereum", "node", "root", "redis"} {
				t.Logf("end of %s.log:\n%s", name, rig.Tail(w.LogFile(name), 5000))
			}
		}
	})
	w.load = w.Load(t.Context(), seed)
	from, err := w.Heights(t.Context())
	require.NoError(t, err)
	u := &under{world: w, t: t, seed: seed, from: from}

	u.step("every crash point of a crossing kills the process that passes it", u.approvals)
	u.step("relayer and signers die at random", u.signers)
	u.step("at the end everything is as it must be", u.sound)
	require.NoError(t, w.end(t.Context()))
	across := 0
	for _, e := range w.Ledger.Endings() {
		if e.Route == "flt_l1_deposit" || e.Route == "flt_l1_withdraw" {
			across++
		}
	}
	t.Logf("%d transfers crossed right, once", across)
	require.Greater(t, across, 40)
}

// passedBy is the process that passes a crash point on the way between Ethereum and
// the subnet; those of a node and of a deployment are met elsewhere.
func passedBy(point string) string {
	switch process, _, _ := strings.Cut(point, "."); {
	case process == "node", process == "deploy", process == "network":
		return process
	case process == "approve" && point != "approve.after_propose":
		return "signer"
	}
	return "relayer"
}

// pointsOf are the passings of all points of a process, in a random order: deaths
// with a lease in hand are apart from each other, since six in a row park what was
// looked at.
func pointsOf(process string, rng *rand.Rand) (out []rig.Passing) {
	for _, point := range crash.Points() {
		if passedBy(point) == process {
			out = append(out, rig.Passing{Point: point, Nth: nth(point, rng)})
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// approvals meets every point that the two flows pass: those of a signer, while the
// relayer dies with a batch put up, then the relayer's. With one of three signers
// dead the others' quorum goes on.
func (u *under) approvals(t *testing.T, rng *rand.Rand) {
	for range rounds() {
		relayer, signer := pointsOf("relayer", rng), pointsOf("signer", rng)
		proposes := slices.IndexFunc(relayer, func(p rig.Passing) bool { return p.Point == "approve.after_propose" })
		group, ctx := errgroup.WithContext(t.Context())
		n := 1 + rng.IntN(home.Signers)
		group.Go(func() error { return u.CrashSigner(ctx, n, signer...) })
		group.Go(func() error { return u.CrashRelayer(ctx, relayer[proposes]) })
		require.NoError(t, group.Wait())
		require.NoError(t, u.CrashRelayer(t.Context(), slices.Delete(relayer, proposes, proposes+1)...))
	}
	u.sound(t, rng)
}

// TestEveryCrashPointOfACrossingIsMet: each named point is one process's, and all of
// the relayer and of a signer are met; CrashRelayer and CrashSigner see to it that
// the process did die there.
func TestEveryCrashPointOfACrossingIsMet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	met := map[string]string{}
	for _, process := range []string{"relayer", "signer"} {
		for _, p := range pointsOf(process, rng) {
			require.Empty(t, met[p.Point], "%s twice", p.Point)
			require.Positive(t, p.Nth)
			met[p.Point] = process
		}
	}
	for _, point := range crash.Points() {
		family, _, _ := strings.Cut(point, ".")
		switch family {
		case "node", "deploy", "network":
			require.Empty(t, met[point], point)
		case "watch", "work", "store", "txm":
			require.Equal(t, "relayer", met[point], point)
		case "approve":
			require.NotEmpty(t, met[point], point)
		default:
			require.Fail(t, "a point of a new family: which process passes it?", point)
		}
	}
	require.Equal(t, "relayer", met["approve.after_propose"])
	for _, point := range []string{"approve.after_ledger", "approve.before_sign", "approve.after_sign"} {
		require.Equal(t, "signer", met[point])
	}
}

// signers lets the relayer and every signer die in its own time, so that at times
// too few are left to sign.
func (u *under) signers(t *testing.T, rng *rand.Rand) {
	group, ctx := errgroup.WithContext(t.Context())
	again := func(own *rand.Rand, f func(context.Context, *rand.Rand) error) {
		group.Go(func() error {
			for range kills() {
				if err := f(ctx, own); err != nil {
					return err
				}
				rig.Pause(ctx, between(own, 500*time.Millisecond, 1500*time.Millisecond))
			}
			return nil
		})
	}
	again(rand.New(rand.NewPCG(rng.Uint64(), 1)), func(ctx context.Context, own *rand.Rand) error {
		_, err := killRelayer(ctx, u.world, own)
		return err
	})
	for n := range home.Signers {
		again(rand.New(rand.NewPCG(rng.Uint64(), uint64(n+2))), func(ctx context.Context, own *rand.Rand) error {
			return u.WithSigner(n+1, func() error {
				u.Net.Kill(home.SignerName(n + 1))
				rig.Pause(ctx, between(own, 0, 800*time.Millisecond))
				return u.StartSigner(ctx, n+1)
			})
		})
	}
	require.NoError(t, group.Wait())
}
