package relayer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/store/volatile"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestReadinessGoesBothWays(t *testing.T) {
	h := newHealth()
	require.ErrorIs(t, h.Ready(), errStarting, "a relayer starts unready")
	h.set("chains", nil)
	require.NoError(t, h.Ready())
	gone := errors.New("gone")
	h.set("watch/root", gone)
	h.set("journal", errors.New("full"))
	err := h.Ready()
	require.ErrorIs(t, err, gone)
	require.EqualError(t, err, "journal: full\nwatch/root: gone")
	require.Equal(t, map[string]string{"chains": "", "journal": "full", "watch/root": "gone"}, h.snapshot())
	h.set("watch/root", nil)
	h.set("journal", nil)
	require.NoError(t, h.Ready())
	h.set("journal", gone)
	require.Error(t, h.Ready(), "again")
}

// instance is what a keeper of this journal looks after.
func instance(db *store.DB, reg *prometheus.Registry) *shared {
	a := alerts.New(slog.New(slog.DiscardHandler), 1)
	return &shared{Parts: Parts{Journal: db, Alerts: a}, tools: newTools(Config{}, reg, a, "")}
}

// durability is the gauge causeway_redis_durability_ok.
func durability(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "causeway_redis_durability_ok" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such gauge")
	return 0
}

func TestARelayerOnARedisThatForgetsIsReadyAndSaysSo(t *testing.T) {
	redis, err := volatile.Start(0)
	require.NoError(t, err)
	defer redis.Close()
	open := func(allow bool) (*store.DB, error) {
		return OpenStore(t.Context(), Config{Redis: Redis{URL: redis.URL(), Namespace: "test", AllowVolatile: allow}}, false, slog.New(slog.DiscardHandler))
	}
	_, err = open(false)
	require.ErrorIs(t, err, store.ErrUnfit, "never by itself")
	db, err := open(true)
	require.NoError(t, err)
	defer db.Close()

	reg := prometheus.NewRegistry()
	s := instance(db, reg)
	s.health.set("chains", nil)
	require.NoError(t, (&keeper{shared: s}).journal(t.Context()))
	require.NoError(t, s.health.Ready())
	require.Contains(t, s.health.Remarks()["journal"], "appendonly is off")
	require.Empty(t, s.Alerts.Open(), "it was allowed")
	require.Contains(t, s.status.read(t.Context()).(Status).Remarks["journal"], "appendonly is off")
	require.Zero(t, durability(t, reg))
}

func TestARelayerOnARedisThatKeepsHasNoRemark(t *testing.T) {
	redis := storetest.StartRedis(t)
	db, err := OpenStore(t.Context(), Config{Redis: Redis{URL: redis.URL(), Namespace: "test", AllowVolatile: true}}, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer db.Close()
	reg := prometheus.NewRegistry()
	s := instance(db, reg)
	s.health.remark("journal", "an old one")
	require.NoError(t, (&keeper{shared: s}).journal(t.Context()))
	require.Empty(t, s.health.Remarks())
	require.EqualValues(t, 1, durability(t, reg))

	// Where it was not allowed it is an error, and no remark.
	strict, err := OpenStore(t.Context(), Config{Redis: Redis{URL: redis.URL(), Namespace: "test"}}, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer strict.Close()
	client := redis.Client()
	defer client.Close()
	require.NoError(t, client.ConfigSet(t.Context(), "appendfsync", "everysec").Err())
	reg = prometheus.NewRegistry()
	s = instance(strict, reg)
	require.NoError(t, (&keeper{shared: s}).journal(t.Context()))
	require.ErrorContains(t, s.health.Ready(), "appendfsync is everysec")
	require.Empty(t, s.health.Remarks())
	require.Zero(t, durability(t, reg))
	require.Len(t, s.Alerts.Open(), 1)
}

func TestStoppingGoesBackwardsAndStopsEverything(t *testing.T) {
	var order []string
	var log bytes.Buffer
	var s stopper
	for _, name := range []string{"a", "b", "c"} {
		s.add(name, func() error {
			order = append(order, name)
			if name == "b" {
				return errors.New("stuck")
			}
			return nil
		})
	}
	s.run(slog.New(slog.NewTextHandler(&log, nil)))
	require.Equal(t, []string{"c", "b", "a"}, order)
	require.Contains(t, log.String(), "part=b err=stuck")
	s.run(slog.New(slog.DiscardHandler))
	require.Len(t, order, 3, "once each")
}

func TestTheListenerAnswersWhileTheServiceStarts(t *testing.T) {
	l := &late{}
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest("GET", "/v1/transfers", nil))
		return w
	}
	w := ask()
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	l.set(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	require.Equal(t, http.StatusTeapot, ask().Code)
}

func TestTheTailOfALongStatementIsReadPageByPageUpToAGap(t *testing.T) {
	lane := map[uint64]bool{}
	for n := uint64(5); n < 2500; n++ {
		lane[n] = true
	}
	page := func(from uint64, max int) (out []store.Job, err error) {
		require.LessOrEqual(t, max, bodiesPage)
		for n := from; n < 3000 && len(out) < max; n++ {
			if lane[n] {
				out = append(out, store.Job{Seq: n, Transfer: tokens.Transfer{Payload: []byte(fmt.Sprint(n))}})
			}
		}
		return out, nil
	}
	for _, c := range []struct{ from, to, want uint64 }{
		{5, 6, 1}, {5, 5, 0}, {5, 1029, 1024}, {100, 2400, 2300}, {2490, 2600, 10}, {2500, 2600, 0}, {0, 10, 0}, {7, 3, 0}, {5, 1 << 62, 2495},
	} {
		got, err := consecutive(c.from, c.to, page)
		require.NoError(t, err)
		require.Len(t, got, int(c.want), "[%d, %d)", c.from, c.to)
		for i, body := range got {
			require.Equal(t, fmt.Sprint(c.from+uint64(i)), string(body))
		}
	}
	delete(lane, 1500)
	got, err := consecutive(5, 2400, page)
	require.NoError(t, err)
	require.Len(t, got, 1495, "never past a gap")
	_, err = consecutive(5, 9, func(uint64, int) ([]store.Job, error) { return nil, store.ErrDown })
	require.ErrorIs(t, err, store.ErrDown)
}
