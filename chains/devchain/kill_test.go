package devchain_test

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

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

const childDir = "CAUSEWAY_TEST_DEVCHAIN_DIR"

// TestMain runs the chain instead of the tests in the child process that the
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
	_, addr := key("kill")
	c, err := devchain.Start(context.Background(), devchain.Config{
		DataDir: dir, ChainID: chainID, Alloc: map[common.Address]*big.Int{addr: ether(1)},
		Period: 50 * time.Millisecond, FinalityDepth: 2,
	})
	if err != nil {
		return err
	}
	fmt.Println("up", c.HTTP())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent goes away
	return c.Close()
}

func spawn(t *testing.T, dir string) (*exec.Cmd, *ethclient.Client) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "up ")
	require.True(t, ok, line)
	return cmd, dial(t, url)
}

func TestAKilledChainKeepsEveryBlockThatWasFinal(t *testing.T) {
	dir := t.TempDir()
	k, addr := key("kill")
	_, to := key("to")
	var genesis common.Hash
	var final *types.Header
	for round := range 4 {
		child, cl := spawn(t, dir)
		first, err := cl.HeaderByNumber(t.Context(), common.Big0)
		require.NoError(t, err)
		if round == 0 {
			genesis = first.Hash()
		}
		require.Equal(t, genesis, first.Hash())
		if final != nil {
			kept, err := cl.HeaderByNumber(t.Context(), final.Number)
			require.NoError(t, err, "block %d was final before the kill", final.Number)
			require.Equal(t, final.Hash(), kept.Hash())
			paid, err := cl.BalanceAt(t.Context(), to, final.Number)
			require.NoError(t, err, "its state is there too")
			require.EqualValues(t, round, paid.Int64())
		}
		nonce, err := cl.NonceAt(t.Context(), addr, nil)
		require.NoError(t, err)
		tx := transfer(t, k, nonce, to, 1)
		require.NoError(t, cl.SendTransaction(t.Context(), tx))
		await(t, func() bool {
			receipt, err := cl.TransactionReceipt(t.Context(), tx.Hash())
			if err != nil {
				return false
			}
			final, err = cl.HeaderByNumber(t.Context(), big.NewInt(int64(rpc.FinalizedBlockNumber)))
			return err == nil && final.Number.Cmp(receipt.BlockNumber) >= 0
		})
		require.NoError(t, child.Process.Signal(syscall.SIGKILL))
		require.Error(t, child.Wait())
	}
}

func TestADataDirectoryServesOneChainOnly(t *testing.T) {
	dir := t.TempDir()
	_, addr := key("dir")
	cfg := devchain.Config{DataDir: dir, ChainID: chainID, Period: time.Hour}
	c := start(t, cfg)
	require.NoError(t, c.Mine(t.Context(), 3))
	_, err := devchain.Start(t.Context(), cfg)
	require.Error(t, err, "a second process may not open it")
	head := c.Head()
	require.NoError(t, c.Close())

	other := cfg
	other.ChainID++
	_, err = devchain.Start(t.Context(), other)
	require.ErrorIs(t, err, devchain.ErrOtherChain)
	other = cfg
	other.Alloc = map[common.Address]*big.Int{addr: ether(1)}
	_, err = devchain.Start(t.Context(), other)
	require.ErrorIs(t, err, devchain.ErrOtherChain)

	require.Equal(t, head, start(t, cfg).Head())
}
