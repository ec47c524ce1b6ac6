package lotus_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/stretchr/testify/require"
)

const childDir = "CAUSEWAY_TEST_LOTUS_DIR"

// TestMain runs the root instead of the tests in the child process that the
// kill test starts and kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(dir string) error {
	_, rich := key("rich")
	r, err := lotus.Start(context.Background(), lotus.Config{
		DataDir: dir, ChainID: chainID, Alloc: map[common.Address]*big.Int{rich: ether(1000)},
		Period: 20 * time.Millisecond, NullRate: 0.2, F3: true,
	})
	if err != nil {
		return err
	}
	fmt.Println("up", r.Node(0).Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent goes away
	return r.Close()
}

func spawn(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "up ")
	require.True(t, ok, line)
	return cmd, "http://" + addr
}

func TestATipsetThatWasServedIsThereAfterAKill(t *testing.T) {
	dir := t.TempDir()
	var known []*types.TipSet
	var certified []byte
	for range 3 {
		child, url := spawn(t, dir)
		full, cl := lotusClient(t, url), dial(t, url)
		for _, ts := range known {
			kept, err := full.ChainGetTipSet(t.Context(), ts.Key())
			require.NoError(t, err)
			require.Equal(t, ts.Key(), kept.Key())
		}
		if len(known) > 1 {
			again, err := full.ChainGetTipSetByHeight(t.Context(), known[1].Height(), types.EmptyTSK)
			require.NoError(t, err)
			require.Equal(t, known[1].Key(), again.Key(), "on the chain, but for what the reorg took")
		}
		if certified != nil {
			c, err := full.F3GetCertificate(t.Context(), 3)
			require.NoError(t, err)
			require.Equal(t, certified, c.Signature)
		}
		from, err := full.ChainHead(t.Context())
		require.NoError(t, err)
		var head *types.TipSet
		require.Eventually(t, func() bool {
			head, err = full.ChainHead(t.Context())
			return err == nil && head.Height() > from.Height()+20
		}, 30*time.Second, 10*time.Millisecond)
		c, err := full.F3GetCertificate(t.Context(), 3)
		require.NoError(t, err)
		certified = c.Signature
		require.NoError(t, cl.Client().CallContext(t.Context(), nil, "dev_pause"))
		require.NoError(t, cl.Client().CallContext(t.Context(), nil, "dev_reorg", "0x3"))
		head, err = full.ChainHead(t.Context())
		require.NoError(t, err)
		middle, err := full.ChainGetTipSetByHeight(t.Context(), head.Height()-10, types.EmptyTSK)
		require.NoError(t, err)
		known = []*types.TipSet{head, middle, head}
		require.NoError(t, child.Process.Signal(syscall.SIGKILL))
		require.Error(t, child.Wait())
	}
}
