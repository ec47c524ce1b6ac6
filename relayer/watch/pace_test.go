package watch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// follow looks at a chain that makes a block each time in a list, and says how
// late each was seen on average and how many looks that took.
func follow(tick time.Duration, blocks []time.Time, until time.Time) (late time.Duration, looks int) {
	p := pace{tick: tick}
	seen := 0
	for now := blocks[0]; now.Before(until); now = now.Add(p.pause(now)) {
		looks++
		head := 0
		for head < len(blocks) && !blocks[head].After(now) {
			head++
		}
		for ; seen < head; seen++ {
			late += now.Sub(blocks[seen])
		}
		p.saw(uint64(head), now)
	}
	return late / time.Duration(seen), looks
}

func steady(n int, every time.Duration) (out []time.Time) {
	at := time.Unix(1_700_000_000, 0).Add(137 * time.Millisecond)
	for range n {
		out = append(out, at)
		at = at.Add(every)
	}
	return out
}

func TestAHeadOfASteadyChainIsSeenSoonAndWithFewerLooks(t *testing.T) {
	const tick, n = 250 * time.Millisecond, 200
	for _, every := range []time.Duration{time.Second, 1300 * time.Millisecond, 2 * time.Second} {
		blocks := steady(n, every)
		end := blocks[n-1].Add(every)
		late, looks := follow(tick, blocks, end)
		require.Less(t, late, tick/closeLooks, "at blocks of %s", every)
		require.Less(t, looks, int(end.Sub(blocks[0])/tick), "at blocks of %s", every)
	}
}

func TestAChainThatStopsOrHurriesIsStillLookedAtEveryFewTicks(t *testing.T) {
	const tick = 250 * time.Millisecond
	blocks := steady(20, time.Second)
	_, before := follow(tick, blocks, blocks[19].Add(time.Second))
	_, after := follow(tick, blocks, blocks[19].Add(101*time.Second))
	require.InDelta(t, 400, after-before, 10, "nothing came: one look a tick")

	p := pace{tick: tick}
	now := time.Unix(1_700_000_000, 0)
	p.saw(1, now)
	require.Equal(t, tick, p.pause(now), "nothing is known yet")
	p.saw(2, now.Add(time.Hour))
	require.Equal(t, longest*tick, p.pause(now.Add(time.Hour)), "however far the next one is")
	p.saw(2, now.Add(2*time.Hour))
	require.Equal(t, time.Hour, p.every, "the same head again says nothing")

	quick := pace{tick: tick}
	quick.saw(1, now)
	quick.saw(2, now.Add(tick/2))
	require.Equal(t, tick, quick.pause(now.Add(tick/2)))
}

func TestHeadsThatComeUnevenlyAreSeenWithinATick(t *testing.T) {
	const tick = 250 * time.Millisecond
	blocks := steady(300, time.Second)
	for i := range blocks {
		blocks[i] = blocks[i].Add(time.Duration(i*7919%400) * time.Millisecond) // up to 0.4 s late each
	}
	late, _ := follow(tick, blocks, blocks[len(blocks)-1].Add(time.Second))
	require.Less(t, late, tick)
}
