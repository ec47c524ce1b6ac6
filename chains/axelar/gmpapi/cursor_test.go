package gmpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// journal is a durable position and what was journaled, by id. It crashes where
// it is told: the error is the last thing that the run sees.
type journal struct {
	at     uuid.UUID
	kept   map[uuid.UUID]Content
	order  []uuid.UUID
	saves  int
	broken map[string]bool
}

var errCrash = errors.New("crashed")

func (j *journal) Load(context.Context) (uuid.UUID, error) {
	if j.broken["load"] {
		return uuid.Nil, errCrash
	}
	return j.at, nil
}

func (j *journal) Save(_ context.Context, id uuid.UUID) error {
	if j.broken["before save"] {
		return errCrash
	}
	j.at = id
	j.saves++
	if j.broken["after save"] {
		return errCrash
	}
	return nil
}

func (j *journal) keep(_ context.Context, tasks []Task) error {
	if j.kept == nil {
		j.kept = map[uuid.UUID]Content{}
	}
	for i, t := range tasks {
		if j.broken["while journaling"] && i == len(tasks)/2 {
			return errCrash
		}
		if _, again := j.kept[t.ID]; !again {
			j.order = append(j.order, t.ID)
		}
		j.kept[t.ID] = t.Content
	}
	if j.broken["after journaling"] {
		return errCrash
	}
	return nil
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	require.TestingT
	Helper()
	Fatal(...any)
}

func cursor(t tester, c *Client, p Position, limit int) *Cursor {
	out, err := NewCursor(c, p, limit)
	require.NoError(t, err)
	return out
}

// drain steps until there is no more.
func drain(t tester, c *Cursor, j *journal) {
	t.Helper()
	for range 1000 {
		more, err := c.Step(context.Background(), j.keep)
		require.NoError(t, err)
		if !more {
			return
		}
	}
	t.Fatal("there is always more")
}

func TestTheCursorGivesEveryTaskOnceWhereNothingFails(t *testing.T) {
	s, c := serve(t)
	j := &journal{}
	cur := cursor(t, c, j, 3)
	drain(t, cur, j)
	require.Zero(t, j.saves, "nothing to save")
	var ids []uuid.UUID
	for i := range 10 {
		ids = append(ids, s.Give(chainName, "NEW", nil, i))
	}
	drain(t, cur, j)
	require.Equal(t, ids, j.order)
	require.Equal(t, ids[9], j.at)
	require.Equal(t, 4, j.saves)
	drain(t, cur, j)
	require.Equal(t, 4, j.saves)
	ids = append(ids, s.Give(chainName, "NEW", nil, 10))
	drain(t, cursor(t, c, j, 1), j)
	require.Equal(t, ids, j.order)
	for _, limit := range []int{0, MaxTasks + 1} {
		_, err := NewCursor(c, j, limit)
		require.ErrorIs(t, err, ErrRefused)
	}
}

// Whatever crashes, whatever comes twice and in whatever order: no task is left
// out, and the position is never before what is journaled.
func TestNoTaskIsLostWhateverFails(t *testing.T) {
	s, c := serve(t)
	var last uuid.UUID
	rapid.Check(t, func(rt *rapid.T) {
		// Each round has tasks of its own behind those of the rounds before.
		j := &journal{at: last}
		var ids []uuid.UUID
		for i := range rapid.IntRange(1, 7).Draw(rt, "tasks") {
			last = s.Give(chainName, "NEW", nil, i)
			ids = append(ids, last)
		}
		limit := rapid.IntRange(1, 4).Draw(rt, "limit")
		for _, what := range rapid.SliceOfN(rapid.SampledFrom([]string{"load", "while journaling", "after journaling", "before save", "after save", "service"}), 0, 5).Draw(rt, "crashes") {
			j.broken = map[string]bool{what: true}
			s.Before = nil
			if what == "service" {
				s.Before = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
			}
			at := j.at
			_, err := cursor(rt, c, j, limit).Step(context.Background(), j.keep)
			require.True(rt, err == nil || errors.Is(err, errCrash) || errors.Is(err, chains.ErrUnavailable), "%v", err)
			if j.at != at {
				_, journaled := j.kept[j.at]
				require.True(rt, journaled, "the position is at a task that is not journaled")
			}
		}
		j.broken, s.Before = nil, nil
		drain(rt, cursor(rt, c, j, limit), j)
		require.Equal(rt, ids, j.order)
	})
}

func TestThePositionMovesOnlyWhenTheJournalIsSafe(t *testing.T) {
	s, c := serve(t)
	first := s.Give(chainName, "NEW", nil, 1)
	for _, what := range []string{"load", "while journaling", "after journaling", "before save"} {
		j := &journal{broken: map[string]bool{what: true}}
		_, err := cursor(t, c, j, 5).Step(t.Context(), j.keep)
		require.ErrorIs(t, err, errCrash, what)
		require.Equal(t, uuid.Nil, j.at, what)
		j.broken = nil
		drain(t, cursor(t, c, j, 5), j)
		require.Equal(t, first, j.at)
		require.Equal(t, []uuid.UUID{first}, j.order)
	}
}

func TestBrokenAndUnknownTasksAreJournaledAndPassed(t *testing.T) {
	s, c := serve(t)
	good, id := item(t)
	s.GiveRaw(chainName, id, []byte(strings.Replace(good, `"100"`, `"lots"`, 1)))
	last := s.Give(chainName, "NEW", nil, 1)
	j := &journal{}
	drain(t, cursor(t, c, j, 1), j)
	require.Equal(t, []uuid.UUID{id, last}, j.order)
	require.IsType(t, Broken{}, j.kept[id])
	require.IsType(t, Unknown{}, j.kept[last])
}

func TestTheServicesOrderIsTheLastWord(t *testing.T) {
	s, c := serve(t)
	var ids []uuid.UUID
	for i := range 6 {
		ids = append(ids, s.Give(chainName, "NEW", nil, i))
	}
	// Ids do not ascend: the greatest comes first.
	s.Reorder(chainName, 5, 0, 3, 1, 4, 2)
	j := &journal{}
	drain(t, cursor(t, c, j, 2), j)
	require.Equal(t, []uuid.UUID{ids[5], ids[0], ids[3], ids[1], ids[4], ids[2]}, j.order)
	require.Equal(t, ids[2], j.at)
}

// pages answers task requests with the items that f picks.
func pages(t *testing.T, f func(after string) []string) *Client {
	return clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"tasks":[%s]}`, strings.Join(f(r.URL.Query().Get("after")), ","))
	}))
}

func numbered(n int) (string, uuid.UUID) {
	id := uuid.UUID{0: 1, 15: byte(n)}
	return fmt.Sprintf(`{"id":%q,"chain":"filecoin","timestamp":"2026-01-01T00:00:00Z","type":"NEW","task":%d}`, id, n), id
}

func TestAServiceThatRepeatsItselfIsNotFollowedForEver(t *testing.T) {
	a, idA := numbered(1)
	b, idB := numbered(2)
	// The task at the position comes again: it is left out.
	after := map[string][]string{"": {a}, idA.String(): {a, b}, idB.String(): {b}}
	again := pages(t, func(at string) []string { return after[at] })
	j := &journal{}
	for _, at := range []uuid.UUID{idA, idB, idB} {
		drain(t, cursor(t, again, j, 2), j)
		require.Equal(t, at, j.at)
	}
	require.Equal(t, []uuid.UUID{idA, idB}, j.order)
	require.Equal(t, 2, j.saves)
	// One at a time, such a service gives nothing new for ever: that is said.
	j = &journal{}
	more, err := cursor(t, again, j, 1).Step(t.Context(), j.keep)
	require.NoError(t, err)
	require.True(t, more)
	one := pages(t, func(string) []string { return []string{a} })
	_, err = cursor(t, one, j, 1).Step(t.Context(), j.keep)
	require.ErrorIs(t, err, ErrAnswer)

	// The same full page whatever is asked for.
	j = &journal{}
	deaf := pages(t, func(string) []string { return []string{a, b} })
	cur := cursor(t, deaf, j, 2)
	more, err = cur.Step(t.Context(), j.keep)
	require.NoError(t, err)
	require.True(t, more)
	at := j.at
	for range 2 {
		_, err = cur.Step(t.Context(), j.keep)
		require.ErrorIs(t, err, ErrAnswer)
		require.Equal(t, at, j.at)
	}
	// Nor after a restart, when nobody remembers the page before.
	cur = cursor(t, deaf, j, 2)
	for range 5 {
		if _, err = cur.Step(t.Context(), j.keep); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrAnswer)

	// A page that is not full may repeat: it ends by itself.
	j = &journal{}
	cur = cursor(t, pages(t, func(string) []string { return []string{b, a} }), j, 5)
	for range 3 {
		more, err := cur.Step(t.Context(), j.keep)
		require.NoError(t, err)
		require.False(t, more)
	}
	require.Equal(t, []uuid.UUID{idB, idA}, j.order)
}

func TestAPageThatIsTooLargeIsAskedForInSmallerOnes(t *testing.T) {
	s, c := serve(t, func(cfg *Config) { cfg.MaxBytes = 8 << 10 })
	var ids []uuid.UUID
	for range 5 {
		ids = append(ids, s.Give(chainName, "NEW", nil, strings.Repeat("x", 3000)))
	}
	j := &journal{}
	drain(t, cursor(t, c, j, 8), j)
	require.Equal(t, ids, j.order)

	s.Give(chainName, "NEW", nil, strings.Repeat("x", 9000))
	_, err := cursor(t, c, j, 8).Step(t.Context(), j.keep)
	require.ErrorIs(t, err, ErrTooLarge, "one that is too large by itself")
	require.Equal(t, ids[4], j.at)
}
