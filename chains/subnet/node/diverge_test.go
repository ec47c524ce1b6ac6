package node

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// sample reads one metric of a running node, by the value of its only label.
func sample(t *testing.T, c prometheus.Collector, label string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	require.NoError(t, reg.Register(c))
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// TestAParentThatForksBelowTheCommittedHeight is PROTOCOL 10 on a whole node.
func TestAParentThatForksBelowTheCommittedHeightIsSignedNoMoreAndEverybodyHears(t *testing.T) {
	t.Parallel()
	r := startRig(t, 3)
	r.parent.send(addrOf(testKey("alice")), 1e15)
	r.parent.mine(3)
	f := r.finality("a statement with a message", func(f Finality) bool { return f.Statement.TopDownNonce == 1 })
	require.Equal(t, uint64(1), r.carry(f).Status)
	eventually(t, "readiness", 10*time.Second, func() bool { return r.node.Ready() == nil })
	require.False(t, call[Status](r, "status").Diverged)

	// A block is read, and is of another branch before consensus has asked about
	// it: it is in the cache, and would be signed next.
	r.parent.send(addrOf(testKey("alice")), 1e15)
	top := r.parent.mine(1)
	eventually(t, "the block to be read", 20*time.Second, func() bool { return call[Status](r, "status").ParentHeight == top })
	r.parent.fork(f.Statement.ParentHeight-1, 3)
	eventually(t, "the node to see it", 20*time.Second, func() bool { return call[Status](r, "status").Diverged })
	m := r.node.app.m
	topDown, checkpoints := sample(t, m.signed, "parent_finality"), sample(t, m.signed, "checkpoint")
	require.Positive(t, topDown)
	require.Error(t, r.node.Ready())
	require.Equal(t, 1.0, sample(t, m.diverged, ""))

	// Nothing about the parent any more, while the subnet and its checkpoints go
	// on.
	r.parent.send(addrOf(testKey("alice")), 1e15)
	r.parent.mine(2)
	r.reach(r.node.Height() + 6)
	eventually(t, "the committed block to be compared", 20*time.Second, func() bool {
		return strings.Contains(call[Status](r, "status").Reason, errDiverged.Error())
	})
	require.ErrorIs(t, r.node.Ready(), errDiverged)
	require.Equal(t, topDown, sample(t, m.signed, "parent_finality"))
	require.Greater(t, sample(t, m.signed, "checkpoint"), checkpoints)
	require.True(t, call[Status](r, "status").Diverged)
}
