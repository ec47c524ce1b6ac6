package relayer

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/stretchr/testify/require"
)

// Endpoints that contradict themselves, or each other, leave the chain unread:
// whatever the reason, a person is told once that has lasted.
func TestAChainThatIsNotReadForAMinuteIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := alerts.New(slog.New(slog.DiscardHandler), time.Hour)
		failed := watchFailed("root", newHealth(), a)
		failed(chains.ErrUnavailable)
		time.Sleep(sourceAway - time.Second)
		failed(chains.ErrUnavailable)
		require.Empty(t, a.Open())
		time.Sleep(2 * time.Second)
		failed(chains.ErrUnavailable)
		require.Len(t, a.Open(), 1)
		require.Equal(t, alerts.SourceOut, a.Open()[0].Name)
		require.Contains(t, a.Open()[0].Summary, "root has not been read for 1m1s: endpoint unavailable")
		failed(nil)
		require.Empty(t, a.Open())

		// Another instance that is quicker reads the chain as well as we do.
		failed(chains.ErrUnavailable)
		time.Sleep(sourceAway)
		failed(store.ErrCursor)
		failed(chains.ErrUnavailable)
		require.Empty(t, a.Open())
	})
}
