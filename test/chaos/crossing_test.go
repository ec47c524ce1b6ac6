package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

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

	u.step("every crash point of an approval kills the process that passes it", u.approvals)
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

// approvals meets the points of a signer and of the relayer's side. With one of
// three signers dead the others' quorum goes on.
func (u *under) approvals(t *testing.T, rng *rand.Rand) {
	for range rounds() {
		group, ctx := errgroup.WithContext(t.Context())
		group.Go(func() error {
			return u.CrashSigner(ctx, 1+rng.IntN(home.Signers),
				rig.Passing{Point: "approve.after_ledger", Nth: 1}, rig.Passing{Point: "approve.before_sign", Nth: 2}, rig.Passing{Point: "approve.after_sign", Nth: 2})
		})
		group.Go(func() error { return u.CrashRelayer(ctx, rig.Passing{Point: "approve.after_propose", Nth: 1}) })
		require.NoError(t, group.Wait())
	}
	u.sound(t, rng)
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
