// Package e2e runs the real programs against each other: root, node, Redis and
// relayer as processes, money both ways, and kill -9 in the middle of it.
package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// binary is the program under test, built once with its crash points in.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "causeway-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "causeway")
	build := exec.Command("go", "build", "-tags", "crash", "-o", binary, "../../cmd/causeway")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// rig is a devnet and a user who sends.
type rig struct {
	t   *testing.T
	net *devnet.Net
	b   *wallet.Bridge
	dir home.Dir

	mu   sync.Mutex
	sent map[common.Hash]want
}

// want is how a transfer must end.
type want struct {
	route  string
	amount *big.Int
	status tokens.Status
}

func start(t *testing.T) *rig {
	t.Helper()
	dir := home.Dir(t.TempDir())
	net, err := devnet.Start(t.Context(), devnet.Options{
		Home: dir, Program: binary, Settings: deploy.Default(), LogLevel: "info", Log: slog.New(slog.DiscardHandler),
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		net.Stop()
		if t.Failed() {
			for _, name := range []string{"relayer", "node", "root", "redis"} {
				t.Logf("end of %s.log:\n%s", name, tail(filepath.Join(dir.Logs(), name+".log"), 6000))
			}
		}
	})
	b, err := net.Bridge(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { b.Root.Close(); b.Subnet.Close() })
	return &rig{t: t, net: net, b: b, dir: dir, sent: map[common.Hash]want{}}
}

func tail(path string, n int) string {
	raw, _ := os.ReadFile(path)
	return string(raw[max(0, len(raw)-n):])
}

func (r *rig) note(tx common.Hash, w want) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[tx] = w
}

// settled waits until every transfer sent has ended, and checks how: each in
// its right terminal state, each exactly once, nothing besides.
func (r *rig) settled(limit time.Duration) []api.Transfer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	var found []api.Transfer
	last := ""
	for {
		all, err := r.net.Transfers(ctx)
		pending := 0
		if err == nil {
			found = all
			for _, t := range all {
				if !t.Status.Terminal() {
					pending++
				}
			}
			if pending == 0 && len(all) >= len(r.sent) {
				break
			}
		}
		if line := fmt.Sprintf("%d sent, %d seen, %d pending (%v)", len(r.sent), len(found), pending, err); line != last {
			last = line
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("not settled after %s: %s", limit, last)
		case <-time.After(300 * time.Millisecond):
		}
	}
	seen := map[common.Hash]bool{}
	for _, t := range found {
		tx := t.Steps[0].Tx
		w, ours := r.sent[tx]
		require.True(r.t, ours, "transfer %s comes from %s, which nobody sent", t.ID, tx)
		require.False(r.t, seen[tx], "transaction %s made two transfers", tx)
		seen[tx] = true
		require.Equal(r.t, w.route, t.Route)
		require.Equal(r.t, w.amount.String(), t.Amount.String(), "%s of %s", t.Route, tx)
		require.Equal(r.t, w.status, t.Status, "%s of %s: %s %s", t.Route, tx, t.Reason, t.Error)
	}
	require.Len(r.t, seen, len(r.sent))
	return found
}

// sound checks every invariant from the chains alone.
func (r *rig) sound() {
	r.t.Helper()
	report, err := r.net.Audit(r.t.Context())
	require.NoError(r.t, err)
	require.NotEmpty(r.t, report.Invariants)
	for _, i := range report.Invariants {
		require.True(r.t, i.OK, "%s %s drift %s: %s %v", i.ID, i.Token, i.Drift, i.Detail, i.Terms)
	}
	require.True(r.t, report.OK)
}

func callMsg(to common.Address, data []byte) ethereum.CallMsg {
	return ethereum.CallMsg{To: &to, Data: data}
}
