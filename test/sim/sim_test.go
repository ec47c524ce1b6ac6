package sim

import (
	"flag"
	"testing"
	"time"
)

var (
	one  = flag.Uint64("seed", 0, "run this seed alone")
	many = flag.Int("seeds", 20, "run this many seeds")
)

func TestSeeds(t *testing.T) {
	from, to := uint64(1), uint64(*many)
	if *one > 0 {
		from, to = *one, *one
	}
	began := time.Now()
	var calls int64
	var virtual time.Duration
	for seed := from; seed <= to; seed++ {
		res := Run(t, seed)
		calls += res.Calls
		virtual += res.Virtual
		if len(res.Violations) > 0 {
			t.Errorf("seed %d:\n%q", seed, res.Violations)
			if *one > 0 {
				t.Log(res.Trace)
			}
		}
	}
	n := time.Duration(to - from + 1)
	t.Logf("%d seeds, %s each, %d calls each, %s virtual each", n, time.Since(began)/n, calls/int64(n), virtual/n)
}
