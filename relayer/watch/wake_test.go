package watch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/stretchr/testify/require"
)

// waking is a chain that says when there is something new.
type waking struct {
	*chain
	*chains.Bell
}

func TestASourceThatWakesIsLookedAtAtOnce(t *testing.T) {
	b := &bench{c: &chain{head: 8, err: map[string]error{}}, j: newJournal(3)}
	var bell chains.Bell
	b.change = func(c *watch.Config) { c.Source, c.Tick = waking{b.c, &bell}, time.Hour }
	b.run(t, 0, func() {
		for head := uint64(9); head < 12; head++ {
			b.c.grow(head)
			looks := len(b.heads)
			bell.Ring()
			synctest.Wait()
			require.Greater(t, len(b.heads), looks)
			require.Equal(t, head+1, b.j.cursor.Next)
		}
		// Where nothing wakes it looks by its tick, as ever.
		b.c.grow(12)
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		require.Equal(t, uint64(13), b.j.cursor.Next)
	})
}

func TestASourceThatFailsIsNotAskedMoreOftenBecauseItWakes(t *testing.T) {
	b := &bench{c: &chain{head: 8, err: map[string]error{"head": chains.ErrUnavailable}}, j: newJournal(3)}
	var bell chains.Bell
	b.change = func(c *watch.Config) { c.Source, c.Tick = waking{b.c, &bell}, time.Hour }
	b.run(t, 0, func() {
		failed := len(b.failed)
		for range 100 {
			bell.Ring()
			synctest.Wait()
		}
		require.LessOrEqual(t, len(b.failed), failed+1)
	})
}
