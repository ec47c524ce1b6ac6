package watch

import "context"

// Step is one look, for tests that want to be between two.
func Step(w *Watcher, ctx context.Context) (bool, error) { return w.step(ctx) }
