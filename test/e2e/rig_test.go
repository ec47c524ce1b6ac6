// Package e2e runs the real programs against each other: root, node, Redis and
// relayer as processes, and money both ways. What kills them is in test/chaos.
package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	shared "github.com/causeway-bridge/causeway/test/rig"
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
	if binary, err = shared.Build(context.Background(), dir, "causeway"); err != nil {
		fmt.Fprintln(os.Stderr, err)
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

func start(t *testing.T) *rig { return startWith(t, "") }

// startWith also has an Ethereum, with gateways of a generation; "" has none.
func startWith(t *testing.T, axelar string) *rig {
	t.Helper()
	dir := home.Dir(t.TempDir())
	net, err := devnet.Start(t.Context(), devnet.Options{
		Home: dir, Program: binary, Settings: devnet.Settings(), LogLevel: "info", Log: slog.New(slog.DiscardHandler), Axelar: axelar, Root: devnet.RootLotus,
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		net.Stop()
		if t.Failed() {
			for _, name := range []string{"relayer", "node", "root", "redis", "ethereum", "signer-1", "signer-2"} {
				t.Logf("end of %s.log:\n%s", name, tail(filepath.Join(dir.Logs(), name+".log"), 6000))
			}
		}
	})
	b, err := net.Bridge(t.Context())
	require.NoError(t, err)
	t.Cleanup(b.Close)
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
	verified, err := r.net.Verify(r.t.Context())
	require.NoError(r.t, err, "%+v", verified)
	require.NotEmpty(r.t, verified)
}

func callMsg(to common.Address, data []byte) ethereum.CallMsg {
	return ethereum.CallMsg{To: &to, Data: data}
}
