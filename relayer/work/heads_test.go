package work_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestAHeadWakesWhatWaitsForAChain(t *testing.T) {
	notYet := fmt.Errorf("%w: no statement", flow.ErrNotYet)
	for name, c := range map[string]struct {
		strict bool
		kind   flow.Kind
		err    error
		woken  []common.Hash
	}{
		"a strict lane that waits":       {true, flow.Pending, notYet, []common.Hash{hash(1)}},
		"one that has sent has an event": {true, flow.Pending, nil, nil},
		"one that is busy":               {true, flow.Pending, chains.ErrBusy, []common.Hash{hash(1)}},
		"one that fails backs off":       {true, flow.Pending, chains.ErrUnavailable, nil},
		"one that is through":            {true, flow.Ok, nil, nil},
		"a loose lane has its own pause": {false, flow.Pending, notYet, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{q: &queue{leases: []store.Lease{lease(c.strict, 0, 3)}}, h: &handler{done: says(c.kind), do: does(c.err)}}
			r.until(t, func(context.CancelFunc) {
				require.Empty(t, r.q.woken)
				r.pool.Head()
				synctest.Wait()
				require.Equal(t, c.woken, r.q.woken)
				r.pool.Head()
				synctest.Wait()
				require.Equal(t, c.woken, r.q.woken, "once: the next look says whether it waits on")
			})
		})
	}
}

func TestAHeadThatComesDuringALookIsNotMissed(t *testing.T) {
	r := &run{q: &queue{leases: []store.Lease{lease(true, 0, 2)}}}
	r.h = &handler{done: func(context.Context, []tokens.Transfer) ([]flow.Outcome, error) {
		time.Sleep(time.Second)
		return []flow.Outcome{{Kind: flow.Pending}, {Kind: flow.Pending}}, nil
	}, do: does(flow.ErrNotYet)}
	r.until(t, func(context.CancelFunc) {
		r.pool.Head()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, []common.Hash{hash(1)}, r.q.woken)
	})
}

func TestAHeadMakesAnIdleWorkerClaimAtOnce(t *testing.T) {
	r := &run{q: &queue{leases: []store.Lease{lease(true, 0, 1)}}, h: &handler{done: says(flow.Pending), do: does(flow.ErrNotYet)}}
	r.until(t, func(context.CancelFunc) {
		before := r.q.claims
		r.pool.Head()
		synctest.Wait()
		require.Greater(t, r.q.claims, before)
	})
}

// Of a strict lane only the head says when to look again, wherever it stands
// among the verdicts.
func TestOnlyTheHeadOfAStrictLaneSaysWhen(t *testing.T) {
	h := &handler{done: says(flow.Ok, flow.Pending, flow.Pending, flow.Pending), do: func(_ context.Context, b flow.Batch) ([]error, error) {
		return []error{nil, chains.ErrUnavailable, chains.ErrUnavailable}, nil
	}}
	strict := (&run{h: h}).one(t, lease(true, 0, 4))
	require.Equal(t, []store.Verdict{{ID: hash(1), Step: "step", Advance: store.OK}, {ID: hash(2), Step: "step", RetryAt: poll}}, strict)
	loose := (&run{h: h}).one(t, lease(false, 0, 4))
	require.Len(t, loose, 4)
}
