package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains"
)

// The child of the kill tests is this test binary run again: a node on the home
// it is told, over a parent that every child makes up alike.
const (
	envHome  = "CAUSEWAY_NODE_TEST_HOME"
	envStart = "CAUSEWAY_NODE_TEST_START" // Unix milliseconds of the parent's first block
)

func TestMain(m *testing.M) {
	if home := os.Getenv(envHome); home != "" {
		if err := childNode(home); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// clockParent grows with the wall clock, a message in every second block, so
// that it is the same chain in every process.
type clockParent struct {
	*fakeParent
	started time.Time
}

const clockBlock = 400 * time.Millisecond

func newClockParent(started time.Time) *clockParent {
	return &clockParent{newFakeParent("main"), started}
}

func (p *clockParent) Head(ctx context.Context) (chains.Block, error) {
	for len(p.blocks) < bootstrapNumber+1+int(time.Since(p.started)/clockBlock) {
		if len(p.blocks)%2 == 0 {
			p.send(addrOf(testKey("alice")), int64(len(p.blocks)))
		}
		p.mine(1)
	}
	return p.fakeParent.Head(ctx)
}

// report is a line of the child.
type childReport struct {
	Height   uint64      `json:"height"`
	Hash     common.Hash `json:"hash"`
	Messages uint64      `json:"messages"` // of the newest statement with a quorum
	Log      string      `json:"log"`
}

func childNode(home string) error {
	ms, err := strconv.ParseInt(os.Getenv(envStart), 10, 64)
	if err != nil {
		return err
	}
	cfg := Default(home, newClockParent(time.UnixMilli(ms)))
	cfg.ParentPoll = 50 * time.Millisecond
	out := json.NewEncoder(os.Stdout)
	cfg.Log = slog.New(childLog{slog.DiscardHandler, out})
	n, err := Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	last := uint64(0)
	for {
		select {
		case err := <-n.failed:
			return err
		case <-time.After(5 * time.Millisecond):
		}
		s := n.app.current()
		if s.Height == last {
			continue
		}
		last = s.Height
		r := childReport{Height: s.Height, Hash: s.Hash}
		all, err := (&api{app: n.app}).ParentFinalities(context.Background(), 0, 100)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			r.Messages = all[len(all)-1].Statement.TopDownNonce
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// childLog passes the recovery line on, and every warning.
type childLog struct {
	slog.Handler
	out *json.Encoder
}

func (childLog) Enabled(context.Context, slog.Level) bool { return true }

func (l childLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "recover" && r.Level < slog.LevelWarn {
		return nil
	}
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { text += fmt.Sprintf(" %s=%s", a.Key, a.Value); return true })
	return l.out.Encode(childReport{Log: text})
}

// killer runs children on one home and remembers what each said.
type killer struct {
	t      *testing.T
	home   string
	start  time.Time
	hashes map[uint64]common.Hash
	top    uint64
	seen   uint64 // messages
	gaps   []uint64
}

func newKiller(t *testing.T) *killer {
	g := testGenesis(t, newFakeParent("main"), 4, testKey("validator 0"))
	k := &killer{t: t, home: t.TempDir(), start: time.Now(), hashes: map[uint64]common.Hash{}}
	require.NoError(t, InitHome(k.home, g, testKey("validator 0")))
	return k
}

// run starts a child and kills it after d, or lets it end by itself. It checks
// that nothing it had committed before was lost or changed, and returns what the
// child wrote to its standard error.
func (k *killer) run(d time.Duration, env ...string) string {
	k.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envHome+"="+k.home, fmt.Sprintf("%s=%d", envStart, k.start.UnixMilli()))
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, cmd.Start())
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	before, recovered := k.top, false
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		var r childReport
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // cut short by the kill
		}
		if r.Log != "" {
			var geth, derived, consensus uint64
			if n, _ := fmt.Sscanf(r.Log, "INFO recover geth=%d derived=%d consensus=%d", &geth, &derived, &consensus); n == 3 {
				recovered = true
				require.GreaterOrEqual(k.t, geth, before, "committed blocks are on disk")
				require.GreaterOrEqual(k.t, derived, geth)
				require.LessOrEqual(k.t, derived, geth+1)
				require.LessOrEqual(k.t, consensus, geth+1)
				k.gaps = append(k.gaps, consensus-geth)
				continue
			}
			k.t.Fatalf("child complains: %s", r.Log)
		}
		if have, ok := k.hashes[r.Height]; ok {
			require.Equal(k.t, have, r.Hash, "height %d changed", r.Height)
		}
		k.hashes[r.Height] = r.Hash
		k.top, k.seen = max(k.top, r.Height), max(k.seen, r.Messages)
	}
	timer.Stop()
	_ = cmd.Wait()
	require.True(k.t, recovered || before == 0 || d < 2*time.Second, "child never got as far as recovery")
	return stderr.String()
}

func TestKilledAtRandomMomentsNoBlockIsLostOrDoneTwice(t *testing.T) {
	t.Parallel()
	k := newKiller(t)
	require.Empty(t, k.run(4*time.Second))
	for range 10 {
		require.Empty(t, k.run(800*time.Millisecond+time.Duration(rand.IntN(2500))*time.Millisecond))
	}
	top, seen := k.top, k.seen
	require.Empty(t, k.run(6*time.Second))
	require.Greater(t, k.top, top, "the chain goes on")
	require.Greater(t, k.seen, seen, "statements go on")
	require.Greater(t, k.top, uint64(15))
	t.Logf("height %d, %d messages attested, blocks replayed per start %v", k.top, k.seen, k.gaps)

	// The whole chain is one chain, readable from genesis.
	p := newClockParent(k.start)
	cfg := Default(k.home, p)
	n, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Stop()) }()
	parent := n.evm.chain.Genesis().Hash()
	for h := uint64(1); h <= k.top; h++ {
		b := n.evm.chain.GetBlockByNumber(h)
		require.NotNil(t, b, "block %d", h)
		require.Equal(t, parent, b.ParentHash())
		parent = b.Hash()
		if want, ok := k.hashes[h]; ok {
			require.Equal(t, want, b.Hash())
		}
	}
}
