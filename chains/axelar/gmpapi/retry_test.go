package gmpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// scripted answers with the next of its answers each time, the last for ever,
// and notes when it was asked.
type scripted struct {
	answers []*http.Response
	asked   []time.Time
}

func (s *scripted) RoundTrip(*http.Request) (*http.Response, error) {
	a := s.answers[min(len(s.asked), len(s.answers)-1)]
	s.asked = append(s.asked, time.Now())
	if a == nil {
		return nil, errors.New("connection reset")
	}
	copied := *a
	copied.Body = io.NopCloser(strings.NewReader(a.Status))
	return &copied, nil
}

func status(code int, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Status: `{"error":"not now"}`}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func fine() *http.Response {
	r := status(200, "Content-Type", "application/json")
	r.Status = `{"tasks":[]}`
	return r
}

// ran is how a call went: the pauses between its attempts, how long all of it
// took, and its end.
type ran struct {
	pauses []time.Duration
	took   time.Duration
	err    error
}

// run makes one call on a clock of its own.
func run(t *testing.T, retryFor time.Duration, answers ...*http.Response) (out ran) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: answers}
		c, err := New(Config{URL: "https://api.example", Chain: chainName, Transport: s, RetryFor: retryFor})
		require.NoError(t, err)
		began := time.Now()
		_, out.err = c.Tasks(t.Context(), uuid.Nil, 1)
		out.took = time.Since(began)
		for i := 1; i < len(s.asked); i++ {
			out.pauses = append(out.pauses, s.asked[i].Sub(s.asked[i-1]))
		}
	})
	return out
}

func TestPausesGrowAndEnd(t *testing.T) {
	r := run(t, 2*time.Minute, status(503))
	require.ErrorIs(t, r.err, chains.ErrUnavailable)
	require.LessOrEqual(t, r.took, 2*time.Minute)
	require.Greater(t, r.took, time.Minute)
	require.Greater(t, len(r.pauses), 5)
	require.Less(t, len(r.pauses), 40)
	for i, p := range r.pauses {
		// Each is within half of what it grows by, from half a second to 30 s.
		middle := 500 * time.Millisecond
		for range i {
			middle = min(middle*3/2, 30*time.Second)
		}
		require.GreaterOrEqual(t, p, middle/2-time.Millisecond, "pause %d", i)
		require.LessOrEqual(t, p, middle*3/2+time.Millisecond, "pause %d", i)
	}
	require.ErrorContains(t, r.err, "503")
	require.ErrorContains(t, r.err, "not now")
}

// Two clients that fail at the same moment do not come back at the same one.
func TestPausesAreNotTheSameForAll(t *testing.T) {
	own, asked := map[time.Duration]bool{}, map[time.Duration]bool{}
	for range 20 {
		own[run(t, time.Minute, status(503), fine()).pauses[0]] = true
		asked[run(t, time.Hour, status(429, "Retry-After", "60"), fine()).pauses[0]] = true
	}
	require.Greater(t, len(own), 10)
	require.Greater(t, len(asked), 10)
}

func TestTheServiceIsLeftAloneAsLongAsItAsks(t *testing.T) {
	for what, header := range map[string]string{"seconds": "90", "a date": "Sat, 01 Jan 2000 00:01:30 GMT"} { // a bubble's clock begins at 2000
		for _, code := range []int{429, 503} {
			r := run(t, time.Hour, status(code, "Retry-After", header), fine())
			require.NoError(t, r.err, what)
			require.Len(t, r.pauses, 1)
			require.GreaterOrEqual(t, r.pauses[0], 90*time.Second, what)
			require.LessOrEqual(t, r.pauses[0], 100*time.Second, what)
		}
	}
	// It asked for more than a call has: the call ends at once and says so.
	r := run(t, time.Minute, status(429, "Retry-After", "61"), fine())
	require.Zero(t, r.took)
	require.ErrorIs(t, r.err, chains.ErrUnavailable)
	require.Equal(t, 61*time.Second, asFailure(t, r.err).After)

	// A storm of refusals: asked for each time, and only the last pause counts.
	r = run(t, time.Hour, status(429, "Retry-After", "10"), status(429, "Retry-After", "20"), status(429), fine())
	require.NoError(t, r.err)
	require.Len(t, r.pauses, 3)
	require.GreaterOrEqual(t, r.pauses[0], 10*time.Second)
	require.GreaterOrEqual(t, r.pauses[1], 20*time.Second)
	require.Less(t, r.pauses[2], 5*time.Second)

	for _, odd := range []string{"", "soon", "-5", "1e9", "Fri, 31 Dec 1999 23:59:59 GMT", "99999999999999999999"} {
		r := run(t, time.Minute, status(429, "Retry-After", odd), fine())
		require.NoError(t, r.err, odd)
		require.Less(t, r.pauses[0], 2*time.Second, odd)
	}
	require.Equal(t, maxAfter, retryAfter("4000000000", time.Now()))
}

func TestWhatComesBackIsTriedAgainAndWhatIsRefusedIsNot(t *testing.T) {
	for code := 300; code < 600; code++ {
		r := run(t, time.Minute, status(code), fine())
		if code == 429 || code >= 500 {
			require.NoError(t, r.err, code)
			require.Len(t, r.pauses, 1, code)
			continue
		}
		require.ErrorIs(t, r.err, ErrRefused, code)
		require.Zero(t, r.took, code)
	}
	require.NoError(t, run(t, time.Minute, nil, nil, fine()).err)
	r := run(t, time.Minute, nil)
	require.ErrorIs(t, r.err, chains.ErrUnavailable)
	require.ErrorContains(t, r.err, "connection reset")
	require.NotContains(t, r.err.Error(), "api.example")
}
