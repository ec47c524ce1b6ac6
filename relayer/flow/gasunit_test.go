package flow_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/stretchr/testify/require"
)

// dearRoot is a root whose gas unit is far smaller than Ethereum's: a simulation,
// where there is one, gives this much.
func dearRoot(u *up, gas uint64) flow.CheckpointDeps {
	d := u.deps()
	d.Learns = true
	u.sendErr = func(_ string, tx chains.Tx) error {
		if gas > 0 && tx.Gas == 0 && tx.Estimated != nil {
			tx.Estimated(gas)
		}
		return nil
	}
	return d
}

// What stands behind another checkpoint gets what that one took, in the root's own
// unit: Ethereum's numbers would let it run out of gas.
func TestCheckpointsBehindTheFirstGetWhatTheFirstTook(t *testing.T) {
	u := newUp()
	u.bundles = map[uint64]uint64{10: 0, 20: 0, 30: 0}
	steps := flow.Checkpoint(sub(), dearRoot(u, 40_000_000)).Steps
	out, err := steps[0].Do(ctx, heights(10, 20, 30))
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out)
	require.Equal(t, []uint64{0, 80_000_000, 80_000_000}, gases(u))
}

// A first one that is known already is not simulated again: nothing is learned, so
// nothing is sent behind it.
func TestNothingStandsBehindACheckpointWhoseGasIsNotKnown(t *testing.T) {
	u := newUp()
	u.bundles = map[uint64]uint64{10: 0, 20: 0}
	steps := flow.Checkpoint(sub(), dearRoot(u, 0)).Steps
	out, err := steps[0].Do(ctx, heights(10, 20))
	require.NoError(t, err)
	require.NoError(t, out[0])
	requireNotYet(t, out[1], "is not known before the first is decided")
	require.Equal(t, []string{"submit 10"}, u.sent)
}

func TestExecutionsBehindTheFirstGetWhatTheFirstTook(t *testing.T) {
	u := newUp()
	u.accept(10, 0, 4)
	u.maxCount = 2
	steps := flow.Checkpoint(sub(), dearRoot(u, 200_000_000)).Steps
	_, err := steps[1].Do(ctx, heights(10))
	require.NoError(t, err)
	require.Len(t, u.sent, 2)
	require.Zero(t, u.txs[0].Gas)
	require.Greater(t, u.txs[1].Gas, uint64(200_000_000), "as many messages take as much")

	u.sent, u.txs = nil, nil
	out, err := flow.Checkpoint(sub(), dearRoot(u, 0)).Steps[1].Do(ctx, heights(10))
	require.NoError(t, err)
	requireNotYet(t, out[0], "is not known before the first batch is decided")
	require.Equal(t, []string{"execute 10 [0 1]"}, u.sent)
}

func gases(u *up) (out []uint64) {
	for _, tx := range u.txs {
		out = append(out, tx.Gas)
	}
	return out
}
