package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// trace is what happened, with the time since the beginning. Lines are written
// only when somebody reads them.
type trace struct {
	mu    sync.Mutex
	lines []func() string
	// onAlert is told of every alert.
	onAlert func(name, key, summary string)
}

// maxLines bounds a trace; its beginning and end tell the most.
const maxLines = 6000

func (t *trace) add(line func() string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) < maxLines {
		t.lines = append(t.lines, line)
	}
}

func (t *trace) note(who string) func(format string, args ...any) {
	return func(format string, args ...any) {
		at := time.Since(began)
		text := fmt.Sprintf(format, args...)
		t.add(func() string { return fmt.Sprintf("%9.3fs %-8s %s", at.Seconds(), who, text) })
	}
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines {
		b.WriteString(l())
		b.WriteByte('\n')
	}
	return b.String()
}

// logger is an instance's log, as part of the trace.
func (t *trace) logger(who string) *slog.Logger { return slog.New(&handler{trace: t, who: who}) }

type handler struct {
	trace *trace
	who   string
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "alert" && h.trace.onAlert != nil {
		var name, key, summary string
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "alert":
				name = a.Value.String()
			case "key":
				key = a.Value.String()
			case "summary":
				summary = a.Value.String()
			}
			return true
		})
		h.trace.onAlert(name, key, summary)
	}
	at, r := time.Since(began), r.Clone()
	h.trace.add(func() string {
		var b strings.Builder
		fmt.Fprintf(&b, "%9.3fs %-8s %-5s %s", at.Seconds(), h.who, r.Level, r.Message)
		write := func(a slog.Attr) bool {
			text := a.Value.String()
			fmt.Fprintf(&b, " %s=%s", a.Key, text[:min(len(text), 240)])
			return true
		}
		for _, a := range h.attrs {
			write(a)
		}
		r.Attrs(write)
		return b.String()
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.attrs = append(append([]slog.Attr(nil), h.attrs...), attrs...)
	return &n
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(string) slog.Handler { return h }
