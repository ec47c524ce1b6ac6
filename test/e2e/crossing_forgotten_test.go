package e2e

import (
	"log/slog"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var crossRoutes = []string{"flt_l1_deposit", "flt_l1_withdraw", "leg_in", "leg_out"}

// journal is every transfer that Redis keeps between Ethereum and the subnet, the
// hidden messages that carry them too.
func (r *rig) journal() map[common.Hash]store.Job {
	r.t.Helper()
	cfg, err := relayer.Read(r.dir.Config())
	require.NoError(r.t, err)
	db, err := relayer.OpenStore(r.t.Context(), cfg, false, slog.New(slog.DiscardHandler))
	require.NoError(r.t, err)
	defer func() { require.NoError(r.t, db.Close()) }()
	out := map[common.Hash]store.Job{}
	for f := (store.Filter{Hidden: true, Limit: 500}); ; {
		jobs, next, err := db.List(r.t.Context(), f)
		require.NoError(r.t, err)
		for _, j := range jobs {
			if slices.Contains(crossRoutes, j.Transfer.Route) {
				out[j.Transfer.ID] = j
			}
		}
		if f.Cursor = next; next == "" {
			return out
		}
	}
}

// count is how many of a route have a status.
func count(of map[common.Hash]store.Job, route string, s tokens.Status) (n int) {
	for _, j := range of {
		if j.Transfer.Route == route && j.Status == s {
			n++
		}
	}
	return n
}

// TestWhatCrossesIsFoundAgainOnEthereumWhenRedisHasLostEverything: what was done is
// known to be done, what was under way goes on, and nothing arrives twice.
func TestWhatCrossesIsFoundAgainOnEthereumWhenRedisHasLostEverything(t *testing.T) {
	t.Parallel()
	r := startWith(t, deploy.GatewayLegacy)
	ctx, user := t.Context(), r.b.L1.Address
	before := r.onL1()
	in := func(units int64) {
		_, err := r.b.CrossIn(ctx, user, new(big.Int).Add(milli(1000), big.NewInt(units)))
		require.NoError(t, err)
	}
	out := func(units int64) {
		_, err := r.b.CrossOut(ctx, user, common.Address{}, new(big.Int).Add(milli(500), big.NewInt(units)))
		require.NoError(t, err)
	}
	eventually := func(what string, is func(map[common.Hash]store.Job) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return is(r.journal()) }, 4*time.Minute, 500*time.Millisecond, what)
	}

	for n := range int64(2) {
		in(n)
		out(n)
	}
	eventually("the first ones are through", func(j map[common.Hash]store.Job) bool {
		return count(j, "flt_l1_deposit", tokens.Done) == 2 && count(j, "flt_l1_withdraw", tokens.Done) == 2
	})
	// With nobody to sign, what begins now stays under way on both sides.
	for n := range home.Signers {
		r.net.Kill(home.SignerName(n + 1))
	}
	for n := range int64(2) {
		in(10 + n)
		out(10 + n)
	}
	eventually("the others are under way", func(j map[common.Hash]store.Job) bool {
		return count(j, "leg_in", tokens.Pending) == 2 && count(j, "leg_out", tokens.Pending) == 2
	})
	r.net.Quit("relayer")
	known := r.journal()
	require.Len(t, known, 16)

	opt, err := redis.ParseURL(r.net.Info.RedisURL)
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	defer rdb.Close()
	require.NoError(t, rdb.FlushAll(ctx).Err())

	var scanned []relayer.RescanResult
	r.ok(&scanned, "rescan", "--accept-forgotten")
	require.Len(t, scanned, 3)
	found := r.journal()
	for id, was := range known {
		is, ok := found[id]
		require.True(t, ok, "%s %s is gone", was.Transfer.Route, id)
		require.Equal(t, was.Transfer, is.Transfer)
		switch {
		case was.Transfer.Hidden:
			require.Equal(t, [2]string{string(was.Status), was.Step}, [2]string{string(is.Status), is.Step}, "%s %s", was.Transfer.Route, id)
		case was.Status == tokens.Done:
			// The end of these no event names: the relayer looks for it.
			last := map[string]string{"flt_l1_deposit": "deliver", "flt_l1_withdraw": "unlock"}[was.Transfer.Route]
			require.Equal(t, last, is.Step, "%s %s", was.Transfer.Route, id)
		default:
			require.Equal(t, was.Step, is.Step, "%s %s", was.Transfer.Route, id)
		}
	}
	require.Len(t, found, len(known))
	var compared []audit.Reconciliation
	r.ok(&compared, "reconcile")
	require.Empty(t, compared[0].Counts)
	require.NotNil(t, compared[0].Audit.EthereumBlock)

	require.NoError(t, r.net.StartRelayer(ctx))
	for n := range home.Signers {
		require.NoError(t, r.net.StartSigner(ctx, n+1))
	}
	eventually("everything is through", func(j map[common.Hash]store.Job) bool {
		return count(j, "flt_l1_deposit", tokens.Done) == 4 && count(j, "flt_l1_withdraw", tokens.Done) == 4
	})
	want := new(big.Int).Set(before)
	for _, j := range r.journal() {
		switch j.Transfer.Route {
		case "flt_l1_deposit":
			want.Sub(want, j.Transfer.Amount.Big())
		case "flt_l1_withdraw":
			want.Add(want, j.Transfer.Amount.Big())
		}
	}
	require.Equal(t, want.String(), r.onL1().String())
	require.Equal(t, "0", r.settledAcross().Drift)
	r.sound()
}
