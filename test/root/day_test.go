package root_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	epochs = flag.Uint64("epochs", 200, "epochs of TestADay: 2880 are a day")
	seeds  = flag.Uint64("seeds", 1, "how many days TestADay lives through")
	first  = flag.Uint64("first", 0, "seed of the first")
)

// lag is how many epochs the reader may be behind before the root waits for it.
const lag = 15

// A day of the root, with null rounds, reorgs and two of three endpoints at fault
// in turn, is read without a transfer too many or too few.
func TestADay(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("again: go test ./test/root -run ADay -epochs %d -seeds 1 -first %d", *epochs, seed)
				}
			})
			aDay(t, seed)
		})
	}
}

// depthOf is the depth of finality for a seed: Filecoin's own for one in five of
// the days that are long enough.
func depthOf(seed uint64) uint64 {
	if seed%5 == 4 && *epochs > 2000 {
		return 905
	}
	return 32 + seed*7%40
}

func aDay(t *testing.T, seed uint64) {
	began := time.Now()
	w := newWorld(t, seed, depthOf(seed))
	require.NoError(t, w.root.Mine(t.Context(), int(w.depth)+5))
	w.follow()
	w.catchUp(0)

	f := &faults{w: w, begun: map[kind]int{}}
	reorgs, deepest := 0, uint64(0)
	top := w.root.Head()
	for end := top + *epochs; top < end; {
		n := 1 + w.rng.Uint64N(6)
		w.grow(&top, n)
		f.turn()
		depth := uint64(0)
		switch {
		case w.depth > 900 && deepest < 900 && top > end-*epochs/2:
			depth = 900
		case w.rng.IntN(12) == 0:
			depth = 1 + w.rng.Uint64N(30)
		}
		if depth > 0 {
			w.reorg(top, depth)
			reorgs, deepest = reorgs+1, max(deepest, depth)
		}
		w.keepUp(f)
	}

	f.endAll()
	w.quiet(&top)
	for i, u := range w.users {
		n, err := w.truth.NonceAt(t.Context(), u.address(), nil)
		require.NoError(t, err)
		require.Equal(t, u.nonce, n, "user %d: what was sent is mined", i)
	}
	transfers := w.prove()
	require.Greater(t, uint64(transfers), *epochs/2, "people were busy")
	require.Empty(t, f.unseen, "liars that nobody noticed")
	_, failures := w.read()
	t.Logf("seed %d: depth %d, head %d, %d transfers, %d reorgs up to %d, faults %v, reports %v, %d failed looks, %s",
		seed, w.depth, w.root.Head(), transfers, reorgs, deepest, f.begun, w.reports, failures, time.Since(began).Round(time.Millisecond))
}

// grow makes epochs, one in ten a null round, with what people do meanwhile.
func (w *world) grow(top *uint64, n uint64) {
	w.t.Helper()
	for range n {
		*top++
		if w.rng.IntN(10) == 0 {
			w.root.NullAt(*top)
		}
		switch x := w.rng.IntN(40); {
		case x == 0:
			for range 14 {
				w.act()
			}
		case x < 16:
			for range 1 + w.rng.IntN(3) {
				w.act()
			}
		}
		require.NoError(w.t, w.root.Mine(w.t.Context(), 1))
	}
}

// reorg replaces the newest epochs; one in ten of the others is null too.
func (w *world) reorg(top, depth uint64) {
	w.t.Helper()
	for e := top - depth + 1; e < top; e++ {
		if w.rng.IntN(10) == 0 {
			w.root.NullAt(e)
		}
	}
	require.NoError(w.t, w.root.Reorg(w.t.Context(), depth))
}

// keepUp waits until the reader is not far behind. While two of three endpoints
// are at fault it need not be able to: then it has at least looked.
func (w *world) keepUp(f *faults) {
	w.t.Helper()
	w.tend()
	if f.active() < mustAgree {
		w.catchUp(lag)
		return
	}
	before := w.looked()
	w.until("look again", func() bool {
		next, _ := w.read()
		return w.looked() > before+1 || w.near(next, lag)
	})
}

func (w *world) near(next, lag uint64) bool { return next+w.depth+lag+4 >= w.root.Head() }

func (w *world) catchUp(lag uint64) {
	w.t.Helper()
	w.until("keep up with the root", func() bool {
		next, _ := w.read()
		return w.near(next, lag)
	})
}

// quiet lets everything become final on honest endpoints, until the cursor is at
// the final head and no trouble stands.
func (w *world) quiet(top *uint64) {
	w.t.Helper()
	for end := *top + w.depth + 30; *top < end; {
		n := min(20, end-*top)
		require.NoError(w.t, w.root.Mine(w.t.Context(), int(n)))
		*top += n
		w.tend()
		w.catchUp(lag)
	}
	number, _ := w.final()
	w.until("reach the final head", func() bool {
		next, _ := w.read()
		return next == number+1
	})
	w.tends.Wait()
	for range 20 {
		w.sources.Tend(w.t.Context())
		if w.sources.Trouble() == nil {
			break
		}
	}
	require.NoError(w.t, w.sources.Trouble(), "%+v", w.sources.Status())
	for _, s := range w.sources.Status().Endpoints {
		require.Empty(w.t, s.Out, "%+v", s)
	}
}
