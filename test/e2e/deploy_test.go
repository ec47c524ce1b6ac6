package e2e

import (
	"context"
	"encoding/json"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

// spawn starts the program and ends it with the test; with a ready file it
// waits until the child listens.
func spawn(t *testing.T, ready string, args ...string) map[string]string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "child.log")
	f, err := os.Create(log)
	require.NoError(t, err)
	cmd := exec.Command(binary, append(args, "--ready-file", ready)...)
	cmd.Stdout, cmd.Stderr = f, f
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
			t.Errorf("causeway %s did not stop", args[0])
		}
		_ = f.Close()
		if t.Failed() {
			t.Logf("causeway %s:\n%s", args[0], tail(log, 4000))
		}
	})
	out := map[string]string{}
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(raw, &out) == nil
	}, time.Minute, 20*time.Millisecond, "causeway %s does not come up: %s", args[0], tail(log, 2000))
	return out
}

// TestDeployKilledInTheMiddleFillsAHomeThatStartsABridge deploys on an empty
// root, dies in the middle, goes on, and starts a node and a relayer from the
// home alone: the first checkpoint reaches the root.
func TestDeployKilledInTheMiddleFillsAHomeThatStartsABridge(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	operator := home.Dir(filepath.Join(tmp, "operator"))
	require.NoError(t, operator.Make())
	key, err := operator.Key("deployer", home.Light)
	require.NoError(t, err)
	alloc := filepath.Join(tmp, "alloc.json")
	raw, err := json.Marshal(map[common.Address]string{crypto.PubkeyToAddress(key.PublicKey): home.Ether(1000).String()})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(alloc, raw, 0o600))
	root := spawn(t, filepath.Join(tmp, "root.ready"), "devroot", "--alloc", alloc, "--http", "127.0.0.1:0")["http"]

	dir := home.Dir(filepath.Join(tmp, "bridge"))
	a := operator.Account("deployer")
	args := []string{"deploy", "--root-url", root, "--keystore", a.Keystore, "--password-file", a.PasswordFile, "--home", string(dir), "--log-level", "warn"}
	for _, at := range []string{"deploy.after_contract:4", "deploy.after_join"} {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = append(os.Environ(), "CAUSEWAY_CRASH_AT="+at)
		out, err := cmd.CombinedOutput()
		require.Error(t, err, "it was to die at %s: %s", at, out)
		require.True(t, strings.Contains(err.Error(), "killed"), "%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	dep, err := deploy.ReadDeployment(dir.Deployment())
	require.NoError(t, err)
	out, err = exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	require.NoError(t, err, "a second run changes nothing: %s", out)
	again, err := deploy.ReadDeployment(dir.Deployment())
	require.NoError(t, err)
	require.Equal(t, dep, again)

	// Only the ports and Redis are the operator's own.
	redis := storetest.StartRedis(t)
	n, err := home.ReadNode(dir.NodeConfig())
	require.NoError(t, err)
	n.HTTP, n.WS, n.P2P, n.Metrics = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	require.NoError(t, home.WriteYAML(dir.NodeConfig(), n))
	node := spawn(t, filepath.Join(tmp, "node.ready"), "node", "--home", string(dir))
	c, err := relayer.Read(dir.Config())
	require.NoError(t, err)
	c.Redis.URL, c.Subnets[0].URL = redis.URL(), node["http"]
	c.API = relayer.API{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	require.NoError(t, home.WriteYAML(dir.Config(), c))
	spawn(t, filepath.Join(tmp, "relayer.ready"), "run", "--home", string(dir))

	client, err := ethclient.DialContext(t.Context(), root)
	require.NoError(t, err)
	defer client.Close()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		raw, err := client.CallContract(ctx, callMsg(dep.Root.Actor, bindings.NewSubnetActor().PackLastBottomUpCheckpointHeight()), nil)
		return err == nil && new(big.Int).SetBytes(raw).Sign() > 0
	}, 90*time.Second, 500*time.Millisecond, "no checkpoint reached the root")
}
