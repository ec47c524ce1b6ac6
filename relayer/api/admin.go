package api

import (
	"context"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what /readyz tells.
type Health interface {
	// Ready says what is not well, nil for ready; it can turn false again.
	Ready() error
	// Remarks is what an operator should know of parts that are well.
	Remarks() map[string]string
}

// Admin is the operators' handler: metrics, health, the whole status, profiles.
// It belongs on a listener that users cannot reach. What status answers is
// encoded as JSON; without one there is no /status.
func Admin(reg *prometheus.Registry, h Health, status func(context.Context) any) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		text := "ok\n"
		if err := h.Ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = err.Error() + "\n"
		}
		remarks := h.Remarks()
		for _, part := range slices.Sorted(maps.Keys(remarks)) {
			text += "remark: " + part + ": " + remarks[part] + "\n"
		}
		_, _ = w.Write([]byte(text))
	})
	if status != nil {
		mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answer(w, status(r.Context())) })
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
