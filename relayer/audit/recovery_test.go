package audit

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// vanish has the subnet apply messages of a branch of the root that is gone, one
// of which bounced, and recover to what the root has.
func (w *world) vanish(number uint64, value, bounced int64) {
	prefix, hash := w.child.tip().state.applied, w.child.tip().state.appliedHash
	w.childBlock(func(s *childBooks, e *emitter) {
		s.circulating += value
		s.released += value
		s.gatewayFLT -= value
		e.emit("child", sub.SubnetGateway, "TopDownMessageApplied", prefix, [32]byte{7}, uint8(ipc.OutcomeOk), executed, []byte{})
		s.bounced += bounced
		gone := ipc.IpcEnvelope{Kind: ipc.KindTransfer, Value: big64(bounced), To: onChild(addr(60)), From: onRoot(addr(61))}
		e.emit("child", sub.SubnetGateway, "TopDownMessageApplied", prefix+1, [32]byte(gone.TracingID()), uint8(ipc.OutcomeActorErr), returned, []byte{})
		w.sendUp(s, e, ipc.ResultOf(gone, gone.TracingID(), ipc.OutcomeActorErr, nil))
	})
	w.childBlock(func(s *childBooks, e *emitter) {
		s.applied, s.appliedHash = prefix, hash
		received := s.circulating + s.returned + s.bounced - s.preFunded
		e.emit("child", sub.SubnetGateway, "ParentRecovered", number, uint64(9), prefix, prefix+2, big64(received))
	})
}

func (w *world) cover(value int64) {
	w.rootBlock(func(s *rootBooks, _ *emitter) {
		s.covered += value
		s.gatewayFLT += value
	})
}

func TestWhatAForkLeftUnbackedIsTheDriftByNameUntilItIsCovered(t *testing.T) {
	w := busy()
	w.deliver(len(w.down), alwaysGood)
	drifts(t, check(t, auditorOf(t, w)), nil)
	w.vanish(1, 70, 8)
	// The root sends on in place of what is gone.
	w.fund(5)
	w.deliver(1, alwaysGood)
	w.fund(6)

	terms := func(drift, unbacked, covered, shortfall, surplus string) {
		t.Helper()
		r := check(t, auditorOf(t, w))
		i := find(t, r, "I1", "FLT")
		require.Equal(t, drift, i.Drift, "%s %v", i.Detail, i.Terms)
		require.Equal(t, drift == "0", i.OK, i.Detail)
		require.Equal(t, []string{unbacked, covered, shortfall, surplus},
			[]string{i.Terms["unbacked"], i.Terms["covered"], i.Terms["shortfall"], i.Terms["cover_surplus"]})
		if drift != "0" {
			require.Contains(t, i.Detail, "recovery 1")
			require.Contains(t, i.Detail, "`causeway recovery cover`")
			require.NotContains(t, i.Detail, "counted", "nothing is unexplained")
		}
	}
	terms("-78", "78", "0", "78", "0")
	w.cover(70)
	terms("-8", "78", "70", "8", "0")
	w.cover(8)
	terms("0", "78", "78", "0", "0")
	w.cover(3)
	terms("0", "78", "81", "0", "3")

	// A second one counts what the first left, too.
	w.deliver(1, alwaysGood)
	w.vanish(2, 10, 0)
	r := check(t, auditorOf(t, w))
	require.Equal(t, "-7", find(t, r, "I1", "FLT").Drift)
	require.Equal(t, "88", find(t, r, "I1", "FLT").Terms["unbacked"])
	require.Contains(t, find(t, r, "I1", "FLT").Detail, "recovery 2")

	// A unit that is gone besides is not hidden behind the shortfall.
	w.rootBlock(func(s *rootBooks, _ *emitter) { s.gatewayFLT -= 1000 })
	require.NotEqual(t, "-7", find(t, check(t, auditorOf(t, w)), "I1", "FLT").Drift)
}

func TestWithNothingAppliedOfTheBranchThatIsGoneARecoveryLeavesNoTrace(t *testing.T) {
	w := busy()
	w.deliver(len(w.down), alwaysGood)
	at := w.child.tip().state
	w.childBlock(func(s *childBooks, e *emitter) {
		e.emit("child", sub.SubnetGateway, "ParentRecovered", uint64(1), uint64(9), s.applied, s.applied, big64(at.circulating+at.returned+at.bounced-at.preFunded))
	})
	w.fund(9)
	w.deliver(1, alwaysGood)
	r := check(t, auditorOf(t, w))
	drifts(t, r, nil)
	require.Equal(t, "0", find(t, r, "I1", "FLT").Terms["unbacked"])
	require.NotEqual(t, common.Hash{}, r.RootBlock.Hash)
}
