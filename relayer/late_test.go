package relayer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// waiting is a journal of legs, two to a page.
type waiting struct {
	Journal
	jobs []store.Job
	err  error
}

func (w *waiting) List(_ context.Context, f store.Filter) (out []store.Job, next string, err error) {
	if !f.Hidden || f.Status != tokens.Pending {
		return nil, "", errors.New("not what is asked for")
	}
	from := len(f.Cursor)
	for i := from; i < len(w.jobs) && len(out) < 2; i++ {
		if w.jobs[i].Transfer.Route == f.Route {
			out = append(out, w.jobs[i])
		}
		next = string(make([]byte, i+1))
	}
	if len(next) >= len(w.jobs) {
		next = ""
	}
	return out, next, w.err
}

func TestAMessageThatNobodyApprovesIsPagedForUntilSomebodyDoes(t *testing.T) {
	manager := alerts.New(slog.New(slog.DiscardHandler), time.Hour)
	now := time.Unix(1_800_000_000, 0)
	leg := func(route, step string, n byte, age time.Duration) store.Job {
		return store.Job{
			Transfer: tokens.Transfer{Route: route, Hidden: true, Nonce: uint64(n), Origin: chains.EventID{Tx: common.Hash{31: n}}},
			Step:     step, Status: tokens.Pending, CreatedAt: now.Add(-age),
		}
	}
	w := &waiting{}
	k := &keeper{shared: &shared{Parts: Parts{Alerts: manager, Journal: w}}}
	look := func() []alerts.Alert {
		for _, route := range legRoutes {
			k.late(t.Context(), route, now)
		}
		return manager.Open()
	}
	w.jobs = []store.Job{leg("leg_in", "approve", 1, approvalPatience), leg("leg_in", "execute", 2, 24*time.Hour)}
	require.Empty(t, look(), "one may still come, the other is approved")

	w.jobs = append(w.jobs, leg("leg_in", "approve", 3, time.Hour), leg("leg_in", "approve", 4, 2*time.Hour), leg("leg_in", "approve", 5, time.Hour))
	open := look()
	require.Len(t, open, 1)
	require.Equal(t, [3]string{alerts.ApprovalLate, "leg_in", string(alerts.Page)}, [3]string{open[0].Name, open[0].Key, string(open[0].Severity)})
	require.Contains(t, open[0].Summary, "3 messages of leg_in wait for their approval, 0x0000000000000000000000000000000000000000000000000000000000000004-4 for 2h0m0s")

	// A journal that does not answer has approved nothing.
	w.err = errors.New("away")
	require.Len(t, look(), 1)
	w.err, w.jobs = nil, []store.Job{leg("leg_out", "approve", 6, time.Hour)}
	open = look()
	require.Len(t, open, 1)
	require.Equal(t, "leg_out", open[0].Key)
	w.jobs = nil
	require.Empty(t, look())
}
