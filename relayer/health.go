package relayer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// errStarting keeps /readyz amber until the chains are connected.
var errStarting = errors.New("starting")

// health is the state of each part: nil is well. A remark is what an operator
// should know of a part that is well.
type health struct {
	mu      sync.Mutex
	parts   map[string]error
	remarks map[string]string
}

func newHealth() *health {
	return &health{parts: map[string]error{"chains": errStarting}, remarks: map[string]string{}}
}

func (h *health) set(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts[part] = err
}

// remark sets the remark on a part; "" takes it back.
func (h *health) remark(part, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.remarks, part)
	if text != "" {
		h.remarks[part] = text
	}
}

// Remarks is a copy of the remarks by part.
func (h *health) Remarks() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.remarks)
}

// Ready joins what is not well; it can go false again at any time.
func (h *health) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, part := range slices.Sorted(maps.Keys(h.parts)) {
		if err := h.parts[part]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part, err))
		}
	}
	return errors.Join(errs...)
}

// snapshot is the text of each part, "" where it is well.
func (h *health) snapshot() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for part, err := range h.parts {
		out[part] = ""
		if err != nil {
			out[part] = err.Error()
		}
	}
	return out
}
