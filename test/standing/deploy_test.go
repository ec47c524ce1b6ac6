package standing

import (
	"bytes"
	"encoding/json"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// command is `causeway deploy` onto the world, with a home of its own.
func (w *world) command(dir home.Dir, file string, more ...string) []string {
	root, l1 := w.operator.Account("deployer"), w.operator.Account("ethereum")
	return append([]string{
		"deploy", "--root-url", w.root.chain.HTTP(), "--keystore", root.Keystore, "--password-file", root.PasswordFile,
		"--ethereum-keystore", l1.Keystore, "--ethereum-password-file", l1.PasswordFile, "--crossing", file, "--prefund", "7",
		"--home", string(dir), "--log-level", "warn",
	}, more...)
}

// output is what a process writes, as it writes it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// run runs the program to its end, with a crash point or "".
func run(t *testing.T, at string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "CAUSEWAY_CRASH_AT="+at)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// dies runs it until a crash point.
func dies(t *testing.T, at string, args ...string) {
	t.Helper()
	out, err := run(t, at, args...)
	require.ErrorContains(t, err, "killed", "it was to die at %s: %s", at, out)
	name, _, _ := strings.Cut(at, ":")
	require.True(t, strings.HasSuffix(strings.TrimSpace(out), crash.Mark+name), "%s: %s", at, out)
}

// diesSaying starts it and kills it once it says something.
func diesSaying(t *testing.T, what string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return strings.Contains(out.String(), what) }, 3*time.Minute, 20*time.Millisecond, "%s", &out)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
}

// TestADeploymentOntoAnAxelarThatStandsIsKilledAnywhereAndMakesOneSet brings FLT
// from an Ethereum that approves in its own time, dies at each of its crash points
// and while it waits, and ends as if it had never died.
func TestADeploymentOntoAnAxelarThatStandsIsKilledAnywhereAndMakesOneSet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		generation string
		executes   bool // the network, before the deployment can
	}{{deploy.GatewayLegacy, false}, {deploy.GatewayAmplifier, true}} {
		t.Run(c.generation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.generation)
			const someone = "0x00000000000000000000000000000000000a11ce"
			user := common.HexToAddress(someone)
			d := w.described()
			d.GasWei, d.Bring = 1_000_000, "bring:\n  - {to: \""+someone+"\", amount: \"12.5\"}\n"
			file, dir := d.write(t), home.Dir(filepath.Join(t.TempDir(), "bridge"))
			args := w.command(dir, file)
			before, had := w.sent(), w.balance(w.l1, w.token.Token, addr(w.l1Key))

			dies(t, "deploy.after_bring", args...)
			diesSaying(t, "waiting for Axelar to approve", args...)
			w.network(c.executes)
			for _, at := range []string{"deploy.after_contract:2", "deploy.after_arrival", "deploy.after_join", "deploy.after_contract:7"} {
				dies(t, at, args...)
			}
			out, err := run(t, "", args...)
			require.NoError(t, err, "%s", out)
			dep, err := deploy.ReadDeployment(dir.Deployment())
			require.NoError(t, err)

			// One of each, of what stands and of ours.
			x := dep.Crossing
			require.NotNil(t, x)
			for _, side := range []struct{ got, want deploy.AxelarSet }{{x.L1, w.l1.set}, {x.Root, w.root.set}} {
				require.Positive(t, side.got.StartBlock)
				require.Equal(t, common.Address{}, side.got.Create3, "nobody said where it is")
				side.want.StartBlock, side.want.Create3 = side.got.StartBlock, common.Address{}
				require.Equal(t, side.want, side.got)
			}
			require.Equal(t, w.token.ID, x.TokenID)
			require.Equal(t, w.token.Manager, x.L1Manager)
			require.Equal(t, [2]common.Address{w.token.Token, dep.Root.Flt}, [2]common.Address{x.L1Flt, w.interchainToken()})
			require.Empty(t, x.Signers, "the network approves")
			var state struct {
				Txs []struct{ Name string } `json:"txs"`
			}
			raw, err := os.ReadFile(filepath.Join(string(dir), "deploy-state-ethereum.json"))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, &state))
			after := w.sent()
			require.EqualValues(t, len(state.Txs), after[0]-before[0], "each step on Ethereum once: %v", state.Txs)

			// The money is where it was to go, and nowhere else.
			half := new(big.Int).Quo(ether(25), big.NewInt(2))
			carrier, err := dir.Key("relayer", home.Standard)
			require.NoError(t, err)
			spent := new(big.Int).Add(ether(7), half)
			require.Equal(t, spent, new(big.Int).Sub(had, w.balance(w.l1, w.token.Token, addr(w.l1Key))))
			require.Equal(t, spent, w.balance(w.l1, w.token.Token, w.token.Manager))
			require.Equal(t, half, w.balance(w.root, dep.Root.Flt, user))
			require.Zero(t, w.balance(w.root, dep.Root.Flt, addr(carrier)).Sign(), "it is in the subnet")
			require.Equal(t, []deploy.Balance{{Account: addr(carrier), Amount: deploy.NewUnits(ether(7))}}, dep.Bootstrap.Balances)
			paid, err := w.l1.client.BalanceAt(t.Context(), w.l1.set.GasService, nil)
			require.NoError(t, err)
			require.EqualValues(t, 2_000_000, paid.Int64())

			cfg, err := relayer.Read(dir.Config())
			require.NoError(t, err)
			require.Equal(t, w.l1.chain.HTTP(), cfg.Ethereum.URL)
			require.EqualValues(t, l1ID, cfg.Ethereum.ChainID)
			require.GreaterOrEqual(t, cfg.Ethereum.StartBlock, x.L1.StartBlock)
			require.Equal(t, "network", cfg.Axelar.Approvals)

			out, err = run(t, "", args...)
			require.NoError(t, err, "a second run changes nothing: %s", out)
			again, err := deploy.ReadDeployment(dir.Deployment())
			require.NoError(t, err)
			require.Equal(t, dep, again)
			require.Equal(t, after, w.sent())
			for name, args := range map[string][]string{
				"another gas":     w.command(dir, func() string { d := d; d.GasWei++; return d.write(t) }()),
				"another amount":  w.command(dir, file, "--prefund", "8"),
				"another account": w.command(dir, func() string { d := d; d.Bring = strings.Replace(d.Bring, "a11ce", "a11cf", 1); return d.write(t) }()),
			} {
				out, err := run(t, "", args...)
				require.ErrorContains(t, err, "exit status 2", name)
				require.Contains(t, out, "this deployment was begun with something else", name)
			}
			require.Equal(t, after, w.sent())
		})
	}
}

func (w *world) interchainToken() common.Address {
	w.t.Helper()
	at, err := deploy.InterchainToken(w.t.Context(), w.root.client, w.artifacts, w.root.set, w.token.ID)
	require.NoError(w.t, err)
	return at
}

// spawn starts the program, ends it with the test, and waits until it listens.
func spawn(t *testing.T, args ...string) map[string]string {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command(binary, append(args, "--ready-file", ready)...)
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
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
		if t.Failed() {
			text := log.String()
			t.Logf("causeway %s:\n%s", args[0], text[max(0, len(text)-6000):])
		}
	})
	out := map[string]string{}
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(raw, &out) == nil
	}, 2*time.Minute, 20*time.Millisecond, "causeway %s does not come up", args[0])
	return out
}

// TestABridgeWithSignersOfItsOwnStartsOverAnAxelarThatStands has the signers of
// the bridge approve what the deployment brings, and then starts all of it: FLT
// crosses from Ethereum into the subnet and back.
func TestABridgeWithSignersOfItsOwnStartsOverAnAxelarThatStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deploy.GatewayAmplifier)
	redis := storetest.StartRedis(t)
	shared := relayer.Redis{URL: redis.URL(), Namespace: relayer.Default().Redis.Namespace}
	// Signers need nothing of a bridge, which is not there yet.
	bare := deploy.Deployment{Crossing: &deploy.Crossing{L1: w.l1.set, Root: w.root.set, TokenID: w.token.ID, Signers: []deploy.SignerSet{w.first}}}
	for n := range needed {
		require.NoError(t, w.operator.WriteSigner(n+1, bare, shared, home.SignerEndpoints{L1: w.l1.chain.HTTP(), Root: w.root.chain.HTTP()}))
		spawn(t, "approver", "--config", w.operator.SignerConfig(n+1))
	}
	d := w.described()
	d.Signers = []deploy.SignerSet{{Signers: []deploy.Weighted{{Address: common.Address{19: 1}, Weight: 1}}, Threshold: 1}, w.first}
	dir := home.Dir(filepath.Join(t.TempDir(), "bridge"))
	out, err := run(t, "", w.command(dir, d.write(t), "--redis", redis.URL())...)
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "has no coins on Ethereum: send it some")
	dep, err := deploy.ReadDeployment(dir.Deployment())
	require.NoError(t, err)
	require.Equal(t, d.Signers, dep.Crossing.Signers)

	carrier, err := dir.Key("relayer", home.Standard)
	require.NoError(t, err)
	w.transact(w.l1, w.axelar, addr(carrier), ether(100), nil)
	n, err := home.ReadNode(dir.NodeConfig())
	require.NoError(t, err)
	n.HTTP, n.WS, n.P2P, n.Metrics = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	require.NoError(t, home.WriteYAML(dir.NodeConfig(), n))
	node := spawn(t, "node", "--home", string(dir))
	c, err := relayer.Read(dir.Config())
	require.NoError(t, err)
	c.Subnets[0].URL = node["http"]
	c.API = relayer.API{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	require.NoError(t, home.WriteYAML(dir.Config(), c))
	up := spawn(t, "run", "--home", string(dir))
	c.API = relayer.API{Listen: up["API"], Admin: up["Admin"]}
	require.NoError(t, home.WriteYAML(dir.Config(), c))

	account := w.operator.Account("ethereum")
	transfer := func(from, to, amount string) {
		out, err := run(t, "", "transfer", "flt", "--from", from, "--to", to, "--amount", amount, "--watch", "--timeout", "4m",
			"--keystore", account.Keystore, "--password-file", account.PasswordFile, "--home", string(dir))
		require.NoError(t, err, "%s", out)
	}
	before := w.balance(w.l1, w.token.Token, addr(w.l1Key))
	transfer("ethereum", "subnet", "5")
	transfer("subnet", "ethereum", "2")
	require.Equal(t, ether(3), new(big.Int).Sub(before, w.balance(w.l1, w.token.Token, addr(w.l1Key))))
	out, err = run(t, "", "reconcile", "--home", string(dir))
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "agrees with the chains")
}
