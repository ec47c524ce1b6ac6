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
	require.Equal(t, 15*time.Minute, p.pause(now.Add(time.Hour)), "a slow chain is looked at four times a block")
	p.saw(2, now.Add(2*time.Hour))
	require.Equal(t, time.Hour, p.every, "the same head again says nothing")

	fair := pace{tick: tick}
	fair.saw(1, now)
	fair.saw(2, now.Add(slowTicks*tick-1))
	require.Equal(t, longest*tick, fair.pause(now.Add(slowTicks*tick-1)), "however far the next one is")

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

// Filecoin's epochs, of which a tenth or, for a night, half are null rounds.
func TestASlowChainIsLookedAtAFewTimesAnEpochOverNullRoundsToo(t *testing.T) {
	const tick, n, every = 500 * time.Millisecond, 2000, 30 * time.Second
	for _, nulls := range []int{0, 10, 50} {
		var blocks []time.Time
		for i, at := range steady(n, every) {
			if i < 2 || i*7919%100 >= nulls {
				blocks = append(blocks, at)
			}
		}
		late, looks := follow(tick, blocks, blocks[len(blocks)-1].Add(every))
		require.Less(t, late, tick/closeLooks, "%d %% null rounds", nulls)
		require.Less(t, looks, 20*n, "%d %% null rounds", nulls)
	}
}

// What comes at another time than it was due is seen within a quarter of the pace.
func TestAHeadOfASlowChainThatIsEarlyOrLateWaitsForAQuarterOfItsPaceAtMost(t *testing.T) {
	const tick, every = 500 * time.Millisecond, 30 * time.Second
	at := time.Unix(1_700_000_000, 0)
	for off := range 60 {
		p := pace{tick: tick}
		for i := range uint64(20) {
			p.saw(i+1, at.Add(time.Duration(i)*every))
		}
		now, due := at.Add(19*every), at.Add(19*every).Add(time.Duration(off+1)*time.Second)
		for now.Before(due) {
			now = now.Add(p.pause(now))
		}
		require.LessOrEqual(t, now.Sub(due), every/4+tick, "%d s after the one before", off+1)
	}
}
