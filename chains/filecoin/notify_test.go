package filecoin_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// woken waits for a wake-up.
func woken(t *testing.T, wake <-chan struct{}) {
	t.Helper()
	select {
	case <-wake:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing wakes")
	}
}

// seen mines until a new block wakes: the subscription may not be there yet.
func (w *world) seen(c *filecoin.Client) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		wake := c.Wake()
		w.mine(1)
		select {
		case <-wake:
			return
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			w.t.Fatal("no block wakes")
		}
	}
}

func TestABlockWakesWhereTheNodeIsReachedByAWebsocket(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(20)
	c := w.dialed(nil)
	w.seen(c)
	w.seen(c)

	// The connection goes and none is taken: reading goes on without.
	w.lie(func(s *lotus.Switches) { s.NoWS = true })
	w.root.Node(0).DropConnections() // those of HTTP, too: what is under way fails
	require.Eventually(t, func() bool { _, err := c.Head(t.Context()); return err == nil }, time.Minute, time.Millisecond)
	for range 3 {
		w.mine(1)
		require.Equal(t, w.root.Head()-depth, w.head(c).Number)
	}
	w.root.Node(0).Reset()
	w.seen(c)
}

func TestOverHTTPNothingWakes(t *testing.T) {
	w := newWorld(t, 0)
	c := w.dialed(func(cfg *filecoin.Config) { cfg.URL = w.root.Node(0).HTTP() })
	wake := c.Wake()
	w.mine(3)
	w.head(c)
	select {
	case <-wake:
		t.Fatal("it woke")
	default:
	}
}

// herald is a node whose notices are those that a test sends.
type herald struct {
	url  string
	came chan *websocket.Conn

	mu   sync.Mutex
	auth string
	said string
}

func (w *world) herald() *herald {
	h := &herald{came: make(chan *websocket.Conn, 16)}
	target := w.root.Node(0).HTTP()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !websocket.IsWebSocketUpgrade(r) {
			res, err := http.Post(target, "application/json", r.Body)
			if err != nil {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			rw.Header().Set("Content-Type", "application/json")
			var body bytes.Buffer
			_, _ = body.ReadFrom(res.Body)
			_, _ = rw.Write(body.Bytes())
			return
		}
		conn, err := (&websocket.Upgrader{}).Upgrade(rw, r, nil)
		if err != nil {
			return
		}
		_, said, err := conn.ReadMessage()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.auth, h.said = r.Header.Get("Authorization"), string(said)
		h.mu.Unlock()
		h.came <- conn
	}))
	w.t.Cleanup(s.Close)
	h.url = strings.Replace(s.URL, "http://", "ws://user:secret@", 1)
	return h
}

func (h *herald) next(t *testing.T) *websocket.Conn {
	t.Helper()
	select {
	case conn := <-h.came:
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	case <-time.After(20 * time.Second):
		t.Fatal("it does not subscribe")
	}
	return nil
}

// Whatever a notice says, it wakes and nothing else; one without end is not read to
// the end.
func TestANoticeIsNotBelieved(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(20)
	h := w.herald()
	var log bytes.Buffer
	cfg := w.config()
	cfg.URL = h.url
	c, err := filecoin.Dial(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})))
	require.NoError(t, err)
	conn := h.next(t)
	h.mu.Lock()
	require.Contains(t, h.said, "Filecoin.ChainNotify")
	require.True(t, strings.HasPrefix(h.auth, "Basic "))
	h.mu.Unlock()
	before := w.head(c)
	for _, notice := range []string{``, `null`, `[`, `{"jsonrpc":"2.0","method":"xrpc.ch.val","params":[1,[{"Type":"apply","Val":{"Height":99999}}]]}`, strings.Repeat("[", 10_000)} {
		wake := c.Wake()
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(notice)))
		woken(t, wake)
		require.Equal(t, before, w.head(c))
	}
	_ = conn.WriteMessage(websocket.TextMessage, make([]byte, 64<<20)) // it hangs up meanwhile
	again := h.next(t)
	wake := c.Wake()
	require.NoError(t, again.WriteMessage(websocket.TextMessage, []byte(`{}`)))
	woken(t, wake)
	c.Close()
	_, _, err = again.ReadMessage()
	require.Error(t, err, "it hangs up when it is closed")
	require.Empty(t, log.String(), "a connection that comes and goes is no news")
}
