// Package log puts fields into a context and a slog handler that writes them
// out again, so that a line logged deep in a call carries the transfer, lane
// and chain it is about.
package log

import (
	"context"
	"log/slog"
)

type key struct{}

// With returns ctx with more fields (alternating keys and values, as in slog).
func With(ctx context.Context, args ...any) context.Context {
	old, _ := ctx.Value(key{}).([]any)
	return context.WithValue(ctx, key{}, append(old[:len(old):len(old)], args...))
}

// Handler adds the fields of the context to each record.
type Handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h Handler) Handle(ctx context.Context, r slog.Record) error {
	if args, ok := ctx.Value(key{}).([]any); ok {
		r = r.Clone()
		r.Add(args...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapper.
func (h Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return Handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapper.
func (h Handler) WithGroup(name string) slog.Handler { return Handler{h.Handler.WithGroup(name)} }
