package relayer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/stretchr/testify/require"
)

func TestANodeWhoseRootDivergedIsPagedForUntilItAgreesAgain(t *testing.T) {
	manager := alerts.New(slog.New(slog.DiscardHandler), time.Hour)
	k := &keeper{shared: &shared{Parts: Parts{Alerts: manager}}, nodes: map[string]nodeStatus{}}
	answer, err := subnet.Status{}, error(nil)
	k.nodes["subnet"] = func(context.Context) (subnet.Status, error) { return answer, err }
	k.nodes["other"] = func(context.Context) (subnet.Status, error) { return subnet.Status{}, subnet.ErrForeignNode }
	look := func() []alerts.Alert {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // one look, then the end
		require.NoError(t, k.parents(ctx))
		return manager.Open()
	}
	require.Empty(t, look())

	answer = subnet.Status{Diverged: true, DivergedReason: "height 7 differs"}
	open := look()
	require.Len(t, open, 1)
	require.Equal(t, alerts.ParentDiverged, open[0].Name)
	require.Equal(t, "subnet", open[0].Key)
	require.Equal(t, alerts.Page, open[0].Severity)
	require.Contains(t, open[0].Summary, "height 7 differs")
	require.Contains(t, open[0].Summary, "`causeway recovery show --subnet subnet`")

	// A node that is silent has not agreed.
	answer, err = subnet.Status{}, errors.New("away")
	require.Len(t, look(), 1)
	err = nil
	require.Empty(t, look())
}
