package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/stretchr/testify/require"
)

// TestWhatMustBeAloneInAFolderIs starts the second of each over a running
// devnet; and a devnet that was killed leaves no lock, and says that it ended.
func TestWhatMustBeAloneInAFolderIs(t *testing.T) {
	t.Parallel()
	dir := home.Dir(t.TempDir())
	log, err := os.Create(filepath.Join(t.TempDir(), "devnet.log"))
	require.NoError(t, err)
	defer log.Close()
	first := exec.Command(binary, "devnet", "--home", string(dir))
	first.Stdout, first.Stderr = log, log
	require.NoError(t, first.Start())
	done := make(chan struct{})
	go func() { _ = first.Wait(); close(done) }()
	defer func() { _ = first.Process.Kill(); <-done }()
	var info devnet.Info
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(dir.Devnet())
		return err == nil && json.Unmarshal(raw, &info) == nil
	}, 3*time.Minute, 100*time.Millisecond, "%s", tail(log.Name(), 2000))

	run := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, args...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.True(t, err == nil || errors.As(err, &exit), "%v", err)
		return string(out), cmd.ProcessState.ExitCode()
	}
	operator := home.Dir(t.TempDir())
	require.NoError(t, operator.Make())
	_, err = operator.Key("deployer", home.Light)
	require.NoError(t, err)
	a := operator.Account("deployer")
	for holder, args := range map[string][]string{
		fmt.Sprintf("a devnet (pid %d) runs in %s: stop it", first.Process.Pid, dir):         {"devnet", "--once"},
		fmt.Sprintf("a devnet (pid %d) runs in %s: stop", first.Process.Pid, dir):            {"deploy", "--root-url", info.RootURL, "--keystore", a.Keystore, "--password-file", a.PasswordFile},
		fmt.Sprintf("a node (pid %d) runs in %s", info.Pids["node"], dir.Node()):             {"node"},
		fmt.Sprintf("a relayer (pid %d) runs in %s", info.Pids["relayer"], dir.Sub("state")): {"run"},
	} {
		out, code := run(append(args, "--home", string(dir))...)
		require.Equal(t, 1, code, "%v: %s", args, out)
		require.Contains(t, out, holder)
	}
	out, code := run("status", "--home", string(dir))
	require.Zero(t, code, "the first one is well: %s", out)
	servers, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	count := 0
	for _, s := range servers {
		raw, _ := os.ReadFile(s)
		if strings.Contains(string(raw), "redis-server") && strings.Contains(string(raw), fmt.Sprint(portOf(info.RedisURL))) {
			count++
		}
	}
	require.Equal(t, 1, count, "one Redis")

	require.NoError(t, first.Process.Kill())
	<-done
	for _, args := range [][]string{{"status"}, {"credits", "ls"}, {"transfer", "usdc", "--amount", "1"}} {
		out, code = run(append(args, "--home", string(dir))...)
		require.Equal(t, 3, code, "%v: %s", args, out)
		require.Contains(t, out, fmt.Sprintf("the devnet of %s has ended: start it again with `causeway devnet --home %s`", dir, dir))
	}
}

func portOf(url string) string {
	_, rest, _ := strings.Cut(url, "127.0.0.1:")
	port, _, _ := strings.Cut(rest, "/")
	return port
}
