package sim

import (
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/stretchr/testify/require"
)

// TestARedisThatGoesBackIsRecoveredByTheRelayersThemselves: with transfers under
// way, once under running relayers, once while one dies and knows of the loss by
// its disk alone. No operator is there.
func TestARedisThatGoesBackIsRecoveredByTheRelayersThemselves(t *testing.T) {
	world, err := fresh()
	require.NoError(t, err)
	for what, c := range map[string]struct {
		instances int
		dies      bool
	}{
		"under two that run":  {2, false},
		"and the one dies":    {1, true},
		"and one of two dies": {2, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(world, 7)
				s := &scenario{instances: c.instances, quiet: 10 * time.Second}
				for i := range 6 {
					at := time.Duration(1+i) * time.Second
					s.add(at, func(r *run) {
						r.depositUSDC(key(user(0)), addressOf(key("sink0")), big.NewInt(5))
						r.withdraw(key(user(1)), r.deployment.Root.Flt, addressOf(key("sink1")), big.NewInt(1e15))
					}, "a deposit and a withdrawal")
				}
				s.add(7*time.Second+500*time.Millisecond, func(r *run) {
					if c.dies {
						r.instances[0].current().die("as redis goes")
					}
					require.Greater(t, r.redis.restart(4*time.Second), 3*time.Second)
				}, "redis goes back")
				r.play(s)
				require.Empty(t, r.watch.found())
				require.NotEmpty(t, r.watch.ends)
				require.NotContains(t, r.watch.ends, "operator")
				require.Equal(t, store.Recovery{}, r.watch.lost)
			})
		})
	}
}
