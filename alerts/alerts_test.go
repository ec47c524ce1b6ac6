package alerts

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type sink struct {
	mu   sync.Mutex
	got  []Alert
	fail int
}

func (s *sink) Send(_ context.Context, a Alert) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("down")
	}
	s.got = append(s.got, a)
	return nil
}

func (s *sink) all() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Alert(nil), s.got...)
}

func run(t *testing.T, sinks ...Sink) *Manager {
	m := New(slog.New(slog.NewTextHandler(io.Discard, nil)), time.Hour, sinks...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

func TestOneConditionIsToldOnceAndAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		m := run(t, s)
		for range 5 {
			m.Raise(Alert{Name: GasLow, Key: "a", Severity: Page, Summary: "low"})
			synctest.Wait()
		}
		require.Len(t, s.all(), 1)
		time.Sleep(time.Hour + 10*time.Second)
		synctest.Wait()
		require.Len(t, s.all(), 2)
		require.Equal(t, 1, m.Raised()[GasLow])
	})
}

func TestAResolvedConditionIsToldOnlyWhereItWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		m := run(t, s)
		m.Resolve(GasLow, "a")
		m.Raise(Alert{Name: GasLow, Key: "a"})
		synctest.Wait()
		m.Resolve(GasLow, "a")
		synctest.Wait()
		got := s.all()
		require.Len(t, got, 2)
		require.True(t, got[1].Resolved)
		require.Empty(t, m.Open())
	})
}

func TestASinkThatIsDownIsTriedAgainAndDoesNotHoldBackTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, up := &sink{fail: 3}, &sink{}
		m := run(t, down, up)
		m.Raise(Alert{Name: LaneStuck, Key: "x"})
		synctest.Wait()
		require.Empty(t, down.all())
		require.Len(t, up.all(), 1)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Len(t, down.all(), 1)
		require.Len(t, up.all(), 1)
	})
}

func TestWhatIsRaisedAtTheVeryEndIsStillTold(t *testing.T) {
	s := &sink{}
	m := New(slog.New(slog.DiscardHandler), time.Hour, s)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	m.Raise(Alert{Name: RedisForgot, Key: "redis"})
	require.NoError(t, m.Run(ctx), "stopped before it delivers")
	m.Flush(t.Context())
	got := s.all()
	require.NotEmpty(t, got)
	require.Equal(t, RedisForgot, got[len(got)-1].Name)
	m.Flush(t.Context())
	require.Len(t, s.all(), len(got), "what was told is not told again")
}
