package relayer

import (
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/causeway-bridge/causeway/relayer/api"
)

// stopper is a stack of named cleanups, run last in, first out.
type stopper struct{ names []named }

type named struct {
	name string
	do   func() error
}

func (s *stopper) add(name string, do func() error) { s.names = append(s.names, named{name, do}) }

func (s *stopper) run(log *slog.Logger) {
	for i := len(s.names) - 1; i >= 0; i-- {
		if err := s.names[i].do(); err != nil {
			log.Warn("stop", "part", s.names[i].name, "err", err)
		}
	}
	s.names = nil
}

// late is a handler that is known later than its listener: until then the
// service is starting.
type late struct{ h atomic.Pointer[http.Handler] }

func (l *late) set(h http.Handler) { l.h.Store(&h) }

// ServeHTTP implements http.Handler.
func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := l.h.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	api.Starting(w, r)
}
