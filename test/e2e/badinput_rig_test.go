package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// mode is how a gate behaves.
type mode int32

const (
	open       mode = iota
	refusing        // hangs up
	hanging         // never answers
	babbling        // answers with a page
	otherChain      // says that it is chain 666
)

// gate stands before a chain's endpoint.
type gate struct {
	server *httptest.Server
	target string
	mode   atomic.Int32
	ctx    context.Context
}

func newGate(t *testing.T, target string) *gate {
	g := &gate{target: target, ctx: t.Context()}
	g.server = httptest.NewServer(g)
	t.Cleanup(func() { g.server.CloseClientConnections(); g.server.Close() })
	return g
}

// set changes the mode; connections of before are cut, as a restart would.
func (g *gate) set(m mode) {
	g.mode.Store(int32(m))
	g.server.CloseClientConnections()
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m := mode(g.mode.Load())
	switch m {
	case refusing:
		panic(http.ErrAbortHandler)
	case hanging:
		select {
		case <-r.Context().Done():
		case <-g.ctx.Done():
		}
		return
	case babbling:
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, "<html>it works</html>")
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, g.target, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if m == otherChain {
		answer = lie(body, answer)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(answer)
}

// lie changes the answers to eth_chainId.
func lie(question, answer []byte) []byte {
	return edited(question, answer, "eth_chainId", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x29a"`) })
}

// edited changes the results of a method, in single calls and in batches.
func edited(question, answer []byte, method string, edit func(json.RawMessage) json.RawMessage) []byte {
	type message struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  string          `json:"method,omitempty"`
		Result  json.RawMessage `json:"result,omitempty"`
		Error   json.RawMessage `json:"error,omitempty"`
	}
	var one, said message
	if json.Unmarshal(question, &one) == nil {
		if one.Method != method || json.Unmarshal(answer, &said) != nil {
			return answer
		}
		said.Result = edit(said.Result)
		out, _ := json.Marshal(said)
		return out
	}
	var asked, told []message
	if json.Unmarshal(question, &asked) != nil || json.Unmarshal(answer, &told) != nil {
		return answer
	}
	for i := range told {
		for _, q := range asked {
			if q.Method == method && bytes.Equal(q.ID, told[i].ID) {
				told[i].Result = edit(told[i].Result)
			}
		}
	}
	out, _ := json.Marshal(told)
	return out
}

// receiver is somebody's webhook.
type receiver struct {
	server *httptest.Server
	mu     sync.Mutex
	got    []alerts.Alert
}

func newReceiver(t *testing.T) *receiver {
	h := &receiver{}
	h.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var a alerts.Alert
		if json.NewDecoder(r.Body).Decode(&a) == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.got = append(h.got, a)
		}
	}))
	t.Cleanup(h.server.Close)
	return h
}

func (h *receiver) find(name string, resolved bool) (alerts.Alert, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range slices.Backward(h.got) {
		if a.Name == name && a.Resolved == resolved {
			return a, true
		}
	}
	return alerts.Alert{}, false
}

func (h *receiver) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = nil
}

// child is a process of the program under test.
type child struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

func launch(t *testing.T, log string, args ...string) *child {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer f.Close()
	c := &child{cmd: exec.Command(binary, args...), log: log, done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = f, f
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, c.cmd.Start())
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	return c
}

func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// code waits for the end and returns the exit code.
func (c *child) code(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-c.done:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		<-c.done
		t.Fatalf("%v did not end within %s:\n%s", c.cmd.Args[1:], limit, tail(c.log, 20_000))
		return -1
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// world is a devnet in hostile surroundings: relayer and node see the chains
// through gates, the relayer's Redis can be broken, and a webhook listens.
type world struct {
	*rig
	redis       *storetest.Server
	root, child *gate
	hook        *receiver
	relayer     *child
	starts      int
	db          *store.DB // the test's own view of the journal

	bad   *stranger // on the root
	worse *stranger // in the subnet
	// bulk is how the transfers of a transaction must end, where it made
	// several: "route amount status" to a count.
	bulk map[common.Hash]map[string]int
	// forged are transactions with nothing but forged events in them.
	forged []common.Hash
	on     struct{ logger, puppet, refuser, burner, bomb common.Address }
	in     struct{ logger, puppet, refuser, burner, bomb, megabomb, refuseBomb common.Address }
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, devnet.Settings())
}

func newWorldOf(t *testing.T, settings deploy.Settings) *world {
	t.Helper()
	w := &world{redis: storetest.StartRedis(t), bulk: map[common.Hash]map[string]int{}}
	dir := home.Dir(t.TempDir())
	net, err := devnet.Start(t.Context(), devnet.Options{
		Home: dir, Program: binary, Redis: w.redis.URL(), Settings: settings, LogLevel: "info", Log: slog.New(slog.DiscardHandler),
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	})
	require.NoError(t, err)
	t.Cleanup(net.Stop)
	w.rig = &rig{t: t, net: net, dir: dir, sent: map[common.Hash]want{}}
	t.Cleanup(func() {
		w.close()
		if w.relayer != nil {
			w.relayer.kill()
		}
		if t.Failed() {
			for _, name := range []string{"relayer", "node", "root"} {
				t.Logf("end of %s.log:\n%s", name, tail(filepath.Join(dir.Logs(), name+".log"), 12_000))
			}
		}
	})
	w.b, err = net.Bridge(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { w.b.Root.Close(); w.b.Subnet.Close() })

	// Gates and a webhook, and an alarm that no balance satisfies.
	w.root, w.child, w.hook = newGate(t, net.Info.RootURL), newGate(t, net.Info.SubnetURL), newReceiver(t)
	hook := dir.Sub("webhook")
	require.NoError(t, home.WriteFile(hook, []byte(w.hook.server.URL+"/T0KEN\n")))
	cfg, err := relayer.Read(dir.Config())
	require.NoError(t, err)
	cfg.Root.URL, cfg.Subnets[0].URL, cfg.Alerts.WebhookFile = w.root.server.URL, w.child.server.URL, hook
	cfg.Root.Fees.LowGasWei = relayer.Wei{Int: new(big.Int).Lsh(big.NewInt(1), 200)}
	require.NoError(t, home.WriteYAML(dir.Config(), cfg))
	net.Kill("relayer")
	net.Kill("node")
	net.Info.RootURL = w.root.server.URL
	require.NoError(t, net.StartNode(t.Context()))
	w.startRelayer()
	return w
}

// startRelayer starts `causeway run` and waits until it is ready.
func (w *world) startRelayer() {
	w.t.Helper()
	w.launchRelayer()
	w.eventually(40*time.Second, "the relayer is ready", func() bool { code, _ := w.ready(); return code == http.StatusOK })
}

func (w *world) launchRelayer() {
	w.t.Helper()
	w.starts++
	w.relayer = launch(w.t, filepath.Join(w.dir.Logs(), "relayer.log"), "run", "--home", string(w.dir))
}

// stopRelayer is SIGTERM; it must end well and soon.
func (w *world) stopRelayer() {
	w.t.Helper()
	require.NoError(w.t, w.relayer.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(w.t, w.relayer.code(w.t, 15*time.Second), "%s", tail(w.relayer.log, 3000))
}

// ready is the status and text of /readyz; 0 where nobody answers.
func (w *world) ready() (int, string) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.net.Info.Admin+"/readyz", nil)
	require.NoError(w.t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// amber waits until /readyz says no, with these words, while the relayer lives.
func (w *world) amber(words string, limit time.Duration) {
	w.t.Helper()
	last := ""
	w.eventually(limit, "readyz says "+words, func() bool {
		code, body := w.ready()
		last = fmt.Sprint(code, " ", body)
		return code == http.StatusServiceUnavailable && strings.Contains(body, words)
	}, &last)
	require.True(w.t, w.relayer.running())
}

func (w *world) green(limit time.Duration) {
	w.t.Helper()
	last := ""
	w.eventually(limit, "readyz is green again", func() bool {
		code, body := w.ready()
		last = fmt.Sprint(code, " ", body)
		return code == http.StatusOK
	}, &last)
}

// told waits until the webhook has heard of an alert.
func (w *world) told(name string, resolved bool, limit time.Duration) alerts.Alert {
	w.t.Helper()
	var a alerts.Alert
	w.eventually(limit, fmt.Sprintf("the webhook hears of %s (resolved %v)", name, resolved), func() bool {
		var ok bool
		a, ok = w.hook.find(name, resolved)
		return ok
	})
	return a
}

func (w *world) eventually(limit time.Duration, what string, ok func() bool, notes ...*string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			for _, n := range notes {
				what += ": last " + *n
			}
			w.t.Fatalf("not after %s: %s", limit, what)
		}
		shared.Pause(ctx, 100*time.Millisecond)
	}
}

// step is a part of the test that shares the world; what follows a failed one
// would only repeat it.
func (w *world) step(name string, do func()) {
	outer := w.t
	began := time.Now()
	ok := outer.Run(name, func(t *testing.T) {
		w.t = t
		for _, s := range []*stranger{w.bad, w.worse} {
			if s != nil {
				s.t = t
			}
		}
		do()
	})
	w.t = outer
	outer.Logf("%-60s %5.1fs", name, time.Since(began).Seconds())
	if !ok {
		outer.FailNow()
	}
}

// all waits until every transfer has ended and compares each with what must
// have become of it; there must be none besides.
func (w *world) all(limit time.Duration) map[common.Hash]api.Transfer {
	w.t.Helper()
	expect := map[common.Hash]map[string]int{}
	total := 0
	for tx, s := range w.sent {
		expect[tx] = map[string]int{fmt.Sprint(s.route, " ", s.amount, " ", s.status): 1}
		total++
	}
	for tx, set := range w.bulk {
		expect[tx] = set
		for _, n := range set {
			total += n
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	last := ""
	for {
		found, err := w.transfers(ctx)
		pending := 0
		for _, t := range found {
			if !t.Status.Terminal() {
				pending++
			}
		}
		if err == nil && pending == 0 && len(found) >= total {
			got, rows := map[common.Hash]map[string]int{}, map[common.Hash]api.Transfer{}
			for _, t := range found {
				tx := t.Steps[0].Tx
				if got[tx] == nil {
					got[tx] = map[string]int{}
				}
				got[tx][fmt.Sprint(t.Route, " ", t.Amount, " ", t.Status)]++
				require.NotContains(w.t, rows, t.ID)
				rows[t.ID] = t
			}
			for _, tx := range slices.Collect(maps.Keys(got)) {
				require.Equal(w.t, expect[tx], got[tx], "transfers of transaction %s", tx)
			}
			require.Len(w.t, got, len(expect))
			return rows
		}
		if err == nil || last == "" {
			last = fmt.Sprintf("%d expected, %d seen, %d pending (%v)", total, len(found), pending, err)
		}
		if ctx.Err() != nil {
			w.t.Fatalf("not settled after %s: %s\n%s", limit, last, w.lanes())
		}
		shared.Pause(ctx, 300*time.Millisecond)
	}
}

func (w *world) lanes() string {
	res, err := http.Get(w.net.Info.Admin + "/status")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// attempt runs `causeway ARGS` to its end with a limit.
func attempt(t *testing.T, limit time.Duration, args ...string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	require.NoError(t, ctx.Err(), "causeway %v did not end within %s:\n%s", args, limit, out)
	return string(out), cmd.ProcessState.ExitCode()
}

// variant writes a changed copy of the relayer's configuration, with a state
// folder, listeners and a namespace of its own, and returns its path.
func (w *world) variant(t *testing.T, change func(*relayer.Config)) string {
	t.Helper()
	cfg, err := relayer.Read(w.dir.Config())
	require.NoError(t, err)
	dir := t.TempDir()
	cfg.State, cfg.Redis.Namespace = filepath.Join(dir, "state"), "variant"
	cfg.API = relayer.API{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	cfg.Alerts.WebhookFile = ""
	change(&cfg)
	path := filepath.Join(dir, "causeway.yaml")
	require.NoError(t, home.WriteYAML(path, cfg))
	return path
}

// journal opens the relayer's journal anew, as an operator's command does.
func (w *world) journal(ctx context.Context) (*store.DB, error) {
	return store.Open(ctx, store.Options{URL: w.redis.URL(), Namespace: "causeway", Instance: "test", RetryFor: time.Second})
}

// transfers reads all of them from the journal: the API counts questions.
func (w *world) transfers(ctx context.Context) ([]api.Transfer, error) {
	if w.db == nil {
		db, err := w.journal(ctx)
		if err != nil {
			return nil, err
		}
		w.db = db
	}
	var out []api.Transfer
	for cursor := ""; ; {
		jobs, next, err := w.db.List(ctx, store.Filter{Limit: 200, Cursor: cursor})
		if err != nil {
			w.close()
			return nil, err
		}
		for _, j := range jobs {
			out = append(out, api.View(j))
		}
		if next == "" {
			return out, nil
		}
		cursor = next
	}
}

func (w *world) close() {
	if w.db != nil {
		_ = w.db.Close()
	}
	w.db = nil
}
