package watch

import "context"

// Step is one look, for tests that want to be between two.
func Step(w *Watcher, ctx context.Context) (bool, error) { return w.step(ctx) }

// Resized is how long stretches are after one with so many events, or an error.
func Resized(w *Watcher, size uint64, held int, err error) uint64 {
	return w.resized(size, &stretch{held: held, err: err})
}
