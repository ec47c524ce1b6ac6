package audit

import "testing"

// BenchmarkCheck measures what one more Check costs over a long history of
// which nothing is new: 20,000 messages each way.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(1 << 40)
	for range 20 {
		w.rootBlock(func(s *rootBooks, e *emitter) {
			for range 1000 {
				w.depositIn(s, e, 100, addr(40))
			}
		})
		w.deliver(1000, alwaysGood)
		w.childBlock(func(s *childBooks, e *emitter) {
			for range 1000 {
				w.withdrawIn(s, e, sub.USDC, 100, addr(40))
			}
		})
	}
	for w.checkpoint() {
		w.exec(1<<20, alwaysGood)
	}
	a := auditorOf(b, w)
	drifts(b, check(b, a), nil)
	for b.Loop() {
		check(b, a)
	}
}
