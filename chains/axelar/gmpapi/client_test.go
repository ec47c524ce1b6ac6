package gmpapi

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func asFailure(t testing.TB, err error) *Failure {
	t.Helper()
	var f *Failure
	require.ErrorAs(t, err, &f)
	require.NotContains(t, err.Error(), "127.0.0.1:", "the URL stays out of errors")
	require.NotContains(t, err.Error(), "\n")
	return f
}

// askTasks is a call that answers as h does.
func askTasks(t testing.TB, h http.HandlerFunc, change ...func(*Config)) error {
	_, err := clientOf(t, h, change...).Tasks(t.Context(), uuid.Nil, 5)
	return err
}

func TestPayloadsAreKnownByTheirHash(t *testing.T) {
	s, c := serve(t)
	payload := []byte("some payload")
	hash, err := c.StorePayload(t.Context(), payload)
	require.NoError(t, err)
	require.Equal(t, crypto.Keccak256Hash(payload), hash)
	got, err := c.Payload(t.Context(), hash)
	require.NoError(t, err)
	require.Equal(t, payload, got)
	s.Forget(hash)
	_, err = c.Payload(t.Context(), hash)
	require.ErrorIs(t, err, ErrNotFound)
	require.Contains(t, err.Error(), "for a while only")
	require.NotEmpty(t, asFailure(t, err).RequestID)

	liar := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte("another payload"))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"keccak256":%q}`, common.Hash{1}.Hex())
	}))
	_, err = liar.Payload(t.Context(), hash)
	require.ErrorIs(t, err, ErrAnswer)
	_, err = liar.StorePayload(t.Context(), payload)
	require.ErrorIs(t, err, ErrAnswer)
	_, err = c.StorePayload(t.Context(), make([]byte, Default().MaxBytes+1))
	require.ErrorIs(t, err, ErrTooLarge)
}

const onAxelar = "axelar1pnynr6wnmchutkv6490mdqqxkz54fnrtmq8krqhvglhsqhmu7wzsnc86sy"

func TestBroadcastsAreFollowedByTheirID(t *testing.T) {
	s, c := serve(t)
	message := json.RawMessage(`{"verify_messages":[]}`)
	id, err := c.Broadcast(t.Context(), onAxelar, message)
	require.NoError(t, err)
	b, err := c.BroadcastStatus(t.Context(), onAxelar, id)
	require.NoError(t, err)
	require.Equal(t, BroadcastReceived, b.State)
	require.True(t, b.Completed.IsZero())
	s.Finish(id, "ABCD", "")
	b, err = c.BroadcastStatus(t.Context(), onAxelar, id)
	require.NoError(t, err)
	require.Equal(t, BroadcastSuccess, b.State)
	require.Equal(t, "ABCD", b.TxHash)
	require.False(t, b.Completed.IsZero())
	require.JSONEq(t, "[]", string(b.Events))
	failed, err := c.Broadcast(t.Context(), onAxelar, message)
	require.NoError(t, err)
	s.Finish(failed, "", "out of gas")
	b, err = c.BroadcastStatus(t.Context(), onAxelar, failed)
	require.NoError(t, err)
	require.Equal(t, Broadcast{State: BroadcastError, Received: b.Received, Completed: b.Completed, Error: "out of gas"}, b)
	require.Len(t, s.Broadcasts(onAxelar), 2)
	_, err = c.BroadcastStatus(t.Context(), onAxelar, uuid.New())
	require.ErrorIs(t, err, ErrNotFound)

	_, err = c.Query(t.Context(), onAxelar, message)
	require.ErrorIs(t, err, ErrNotFound)
	s.Answer = func(contract string, question any) any { return map[string]any{"of": contract, "asked": question} }
	answer, err := c.Query(t.Context(), onAxelar, message)
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"of":%q,"asked":%s}`, onAxelar, message), string(answer))
	s.Answer = func(string, any) any { return []any{} }
	_, err = c.Query(t.Context(), onAxelar, message)
	require.ErrorIs(t, err, ErrAnswer)

	before := s.Requests()
	for _, contract := range []string{"", "axelar1", strings.ToUpper(onAxelar), onAxelar + "a", "../" + onAxelar, onAxelar[:64] + "b"} {
		_, err := c.Broadcast(t.Context(), contract, message)
		require.ErrorIs(t, err, ErrContract, contract)
		_, err = c.BroadcastStatus(t.Context(), contract, id)
		require.ErrorIs(t, err, ErrContract, contract)
		_, err = c.Query(t.Context(), contract, message)
		require.ErrorIs(t, err, ErrContract, contract)
	}
	_, err = c.Broadcast(t.Context(), onAxelar, json.RawMessage(`{`))
	require.ErrorIs(t, err, ErrRefused)
	require.Equal(t, before, s.Requests())

	for what, bad := range map[string]string{
		"another state": `{"status":"DONE","receivedAt":"2026-01-01T00:00:00Z"}`, "no state": `{"receivedAt":"2026-01-01T00:00:00Z"}`,
		"no time": `{"status":"SUCCESS"}`, "an end that is none": `{"status":"SUCCESS","receivedAt":"2026-01-01T00:00:00Z","completedAt":"soon"}`,
	} {
		_, err := decodeBroadcast([]byte(bad))
		require.ErrorIs(t, err, ErrAnswer, what)
	}
}

// A broadcast is another transaction each time: it is repeated only where it was
// surely not taken.
func TestABroadcastIsNotRepeatedWhereItMayHaveBeenTaken(t *testing.T) {
	for status, attempts := range map[int]int64{http.StatusBadGateway: 1, http.StatusInternalServerError: 1, http.StatusTooManyRequests: 2, 0: 1} {
		var n atomic.Int64
		c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1) > 1 {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"broadcastID":%q}`, uuid.New())
				return
			}
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
		}), func(cfg *Config) { cfg.RetryFor = 10 * time.Second })
		_, err := c.Broadcast(t.Context(), onAxelar, json.RawMessage(`{}`))
		require.Equal(t, attempts, n.Load(), status)
		if attempts == 1 {
			require.ErrorIs(t, err, chains.ErrUnavailable, status)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestWhatTheServiceRefusesSaysWhatToDo(t *testing.T) {
	for status, words := range map[int]string{
		301: "redirects", 302: "redirects", 307: "redirects", 308: "redirects", 400: "schema", 401: "client certificate", 403: "client certificate",
		404: "does not know the chain", 405: "refuses", 409: "refuses", 413: "send less", 422: "refuses", 499: "refuses",
	} {
		var n atomic.Int64
		err := askTasks(t, func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":"because\n\u001b[31m of this","requestID":"r-1"}`)
		}, func(cfg *Config) { cfg.RetryFor = 10 * time.Second })
		require.ErrorIs(t, err, ErrRefused, status)
		require.NotErrorIs(t, err, chains.ErrUnavailable)
		f := asFailure(t, err)
		require.Equal(t, status, f.Status)
		require.Equal(t, "because  [31m of this", f.Reason)
		require.Equal(t, "r-1", f.RequestID)
		require.Contains(t, err.Error(), words, status)
		require.Contains(t, err.Error(), "get tasks")
		require.Equal(t, int64(1), n.Load(), "%d is not tried again", status)
	}
	err := askTasks(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) })
	require.ErrorIs(t, err, ErrTooLarge)
	// What is not the service's own words is not repeated.
	for _, body := range []string{"<html>secret</html>", `{"error":5}`, `{"message":"secret"}`, strings.Repeat("x", 1<<20), ""} {
		err := askTasks(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, body)
		})
		require.Empty(t, asFailure(t, err).Reason)
	}
	err = askTasks(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, strings.Repeat("é", 5000))
	})
	require.Less(t, len(asFailure(t, err).Reason), 1000)
}

func TestAnAnswerThatCannotBeUsedIsNoAnswer(t *testing.T) {
	plain := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
		}
	}
	const good = `{"tasks":[]}`
	for what, c := range map[string]struct {
		h    http.HandlerFunc
		kind error
	}{
		"HTML": {plain("text/html", good), ErrAnswer},
		"no type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, good)
		}, ErrAnswer},
		"a broken type":  {plain("application/json; =", good), ErrAnswer},
		"no JSON":        {plain("application/json", `{"tasks":[}`), ErrAnswer},
		"two values":     {plain("application/json", good+good), ErrAnswer},
		"nothing":        {plain("application/json", ``), ErrAnswer},
		"not UTF-8":      {plain("application/json", "{\"tasks\":[],\"x\":\"\xff\"}"), ErrAnswer},
		"another answer": {plain("application/json", `{"results":[]}`), ErrAnswer},
		"too deep":       {plain("application/json", `{"tasks":[],"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`), ErrTooLarge},
		"giant":          {plain("application/json", good+strings.Repeat(" ", 1<<20)), ErrTooLarge},
		"giant, in parts": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for i := 0; i < 1<<12 && r.Context().Err() == nil; i++ {
				if _, err := w.Write(make([]byte, 1<<12)); err != nil {
					return
				}
			}
		}, ErrTooLarge},
		"a small parcel of much": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(strings.Repeat(" ", 1<<22) + good))
			_ = z.Close()
		}, ErrTooLarge},
	} {
		t.Run(what, func(t *testing.T) {
			err := askTasks(t, c.h, func(cfg *Config) { cfg.MaxBytes, cfg.RetryFor = 64<<10, 10*time.Second })
			require.ErrorIs(t, err, c.kind)
			require.NotErrorIs(t, err, chains.ErrUnavailable)
			asFailure(t, err)
		})
	}
	require.NoError(t, askTasks(t, plain("application/json; charset=utf-8", good)))
	deep := `{"tasks":[],"x":"` + strings.Repeat("[", 40) + `","y":"\"` + strings.Repeat("{", 40) + `"}`
	require.NoError(t, askTasks(t, plain("application/json", deep)), "brackets in texts are no depth")
}

func TestAnAnswerThatDoesNotComeWholeIsTriedAgain(t *testing.T) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	good := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"tasks":[]}`)
	}
	for what, first := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"tasks":[`)
		},
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		},
		"slow": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, " "); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(10 * time.Millisecond):
				case <-stop:
					return
				}
			}
		},
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
	} {
		t.Run(what, func(t *testing.T) {
			var n atomic.Int64
			var told atomic.Int64
			err := askTasks(t, func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					first(w, r)
					return
				}
				good(w)
			}, func(cfg *Config) {
				cfg.Timeout, cfg.RetryFor = 2*time.Second, time.Minute
				cfg.Retrying = func(op string, err error, pause time.Duration) {
					told.Add(1)
					require.Equal(t, "get tasks", op)
					require.ErrorIs(t, err, chains.ErrUnavailable)
					require.Positive(t, pause)
				}
			})
			require.NoError(t, err)
			require.GreaterOrEqual(t, n.Load(), int64(2))
			require.Equal(t, n.Load()-1, told.Load())
		})
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}), func(cfg *Config) { cfg.RetryFor = time.Hour })
	_, err := c.Tasks(ctx, uuid.Nil, 1)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, chains.ErrUnavailable)

	// Also while it pauses.
	ctx, cancel = context.WithCancel(t.Context())
	c = clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(429)
	}), func(cfg *Config) {
		cfg.RetryFor = time.Hour
		cfg.Retrying = func(string, error, time.Duration) { cancel() }
	})
	_, err = c.Tasks(ctx, uuid.Nil, 1)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 600*time.Second, asFailure(t, err).After)
}

func TestTheConfigurationSaysEverythingThatIsWrong(t *testing.T) {
	good := Config{URL: "https://api.example/v1", Chain: "filecoin", Cert: "c", Key: "k"}
	require.NoError(t, good.Check())
	for what, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no url":                 {func(c *Config) { c.URL = "" }, "url"},
		"no host":                {func(c *Config) { c.URL = "https://" }, "url"},
		"no url at all":          {func(c *Config) { c.URL = ":" }, "url"},
		"a query":                {func(c *Config) { c.URL += "?key=secret" }, "url"},
		"a fragment":             {func(c *Config) { c.URL += "#x" }, "url"},
		"a password":             {func(c *Config) { c.URL = "https://me:secret@api.example" }, "password"},
		"another scheme":         {func(c *Config) { c.URL = "ftp://api.example" }, "https"},
		"plain, to the world":    {func(c *Config) { c.URL = "http://api.example" }, "this machine"},
		"no certificate":         {func(c *Config) { c.Cert, c.Key = "", "" }, "client certificate"},
		"a certificate, no key":  {func(c *Config) { c.Key = "" }, "both"},
		"no chain":               {func(c *Config) { c.Chain = "" }, "chain"},
		"a negative timeout":     {func(c *Config) { c.Timeout = -1 }, "negative"},
		"negative retries":       {func(c *Config) { c.RetryFor = -1 }, "negative"},
		"a negative bound":       {func(c *Config) { c.MaxBytes = -1 }, "negative"},
		"a negative depth":       {func(c *Config) { c.MaxDepth = -1 }, "negative"},
		"plain, key alone, here": {func(c *Config) { c.URL, c.Cert = "http://localhost:1", "" }, "both"},
	} {
		cfg := good
		c.change(&cfg)
		err := cfg.Check()
		require.ErrorContains(t, err, c.says, what)
		require.NotContains(t, err.Error(), "secret", what)
		_, err = New(cfg)
		require.Error(t, err, what)
	}
	for _, here := range []string{"http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1/base"} {
		cfg := Config{URL: here, Chain: "filecoin"}
		require.NoError(t, cfg.Check())
	}
	require.Len(t, strings.Split(Config{URL: "ftp://x", MaxDepth: -1}.Check().Error(), "\n"), 3)
}

func TestPathsAreThoseOfTheSchema(t *testing.T) {
	var got atomic.Value
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Method + " " + r.URL.EscapedPath() + "?" + r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"tasks":[]}`)
	}), func(cfg *Config) { cfg.URL += "/base/"; cfg.Chain = "a/b c" })
	id := uuid.MustParse("01924dc4-698e-7ad2-9f9b-0bad962771ef")
	_, err := c.Tasks(t.Context(), id, 7)
	require.NoError(t, err)
	require.Equal(t, "GET /base/chains/a%2Fb%20c/tasks?after="+id.String()+"&limit=7", got.Load())
	_, err = c.Tasks(t.Context(), uuid.Nil, 7)
	require.NoError(t, err)
	require.Equal(t, "GET /base/chains/a%2Fb%20c/tasks?limit=7", got.Load(), "from the first")
	require.NoError(t, c.Health(t.Context()))
	require.Equal(t, "GET /base/health?", got.Load())
	require.Equal(t, "a/b c", c.Chain())
	_, unknown := serve(t, func(cfg *Config) { cfg.Chain = "elsewhere" })
	_, err = unknown.Tasks(t.Context(), uuid.Nil, 1)
	require.ErrorIs(t, err, ErrNotFound)
	_, err = unknown.Publish(t.Context(), samples()[:1])
	require.ErrorIs(t, err, ErrNotFound)
	require.Contains(t, err.Error(), "does not know the chain")
}
