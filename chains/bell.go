package chains

import "sync"

// Waker is a source that may hear of something new before it is asked. What it hears
// is not believed: it is a reason to look sooner, and nothing rests on its coming.
type Waker interface {
	// Wake is a channel that is closed when there is a reason to look that was not
	// there at the call.
	Wake() <-chan struct{}
}

// Bell wakes any number of listeners. The zero value is ready, and safe for
// concurrent use.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

var _ Waker = (*Bell)(nil)

// Wake implements Waker.
func (b *Bell) Wake() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Ring wakes those that wait.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// WakeOf is the channel of a source that may wake, nil where it cannot.
func WakeOf(source any) <-chan struct{} {
	if w, ok := source.(Waker); ok {
		return w.Wake()
	}
	return nil
}
