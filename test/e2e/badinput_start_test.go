package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store/storetest"
	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/stretchr/testify/require"
)

// refusedAtStart starts the program against surroundings that must not be
// trusted: each start ends, with a code that is not 0 and words that help.
func (w *world) refusedAtStart(*testing.T) {
	redis := func(settings ...string) func(*testing.T, *relayer.Config) {
		return func(t *testing.T, cfg *relayer.Config) { cfg.Redis.URL = storetest.StartRedis(t, settings...).URL() }
	}
	account := func(change func(t *testing.T, dir string, a *relayer.Account)) func(*testing.T, *relayer.Config) {
		return func(t *testing.T, cfg *relayer.Config) {
			dir, a := t.TempDir(), &cfg.Subnets[0].Accounts[0]
			copyFile(t, a.Keystore, filepath.Join(dir, "key.json"))
			copyFile(t, a.PasswordFile, filepath.Join(dir, "password"))
			*a = relayer.Account{Keystore: filepath.Join(dir, "key.json"), PasswordFile: filepath.Join(dir, "password")}
			change(t, dir, a)
		}
	}
	direct := w.root.target
	cases := []struct {
		name   string
		change func(*testing.T, *relayer.Config)
		code   int
		says   []string
	}{
		// Chains.
		{"the subnet behind the root's URL", func(_ *testing.T, c *relayer.Config) { c.Root.URL = w.child.target }, 1,
			[]string{"root", fmt.Sprint("want ", w.net.Dep.Root.ChainID)}},
		{"the root behind the subnet's URL", func(_ *testing.T, c *relayer.Config) { c.Subnets[0].URL = direct }, 1,
			[]string{"subnet", fmt.Sprint("want ", w.net.Dep.Subnet.ChainID)}},
		{"a chain id that is not the deployment's", func(_ *testing.T, c *relayer.Config) { c.Root.ChainID++ }, 1,
			[]string{fmt.Sprint(w.net.Dep.Root.ChainID + 1)}},

		// Redis.
		{"appendfsync everysec", redis("--appendfsync", "everysec"), 1, []string{"appendfsync is everysec", "set `appendfsync always`"}},
		{"no append-only file", redis("--appendonly", "no"), 1, []string{"appendonly is off", "set `appendonly yes`"}},
		{"a policy that evicts", redis("--maxmemory-policy", "allkeys-lru"), 1, []string{"maxmemory-policy is allkeys-lru", "noeviction"}},
		{"a read-only replica", redis("--replicaof", "127.0.0.1 1"), 1, []string{"read-only replica", "point the URL at the primary"}},
		{"a Redis that wants a password", func(t *testing.T, c *relayer.Config) {
			s := storetest.StartRedis(t)
			rdb := s.Client()
			defer rdb.Close()
			require.NoError(t, rdb.ConfigSet(t.Context(), "requirepass", "hunter2").Err())
			c.Redis.URL = s.URL()
		}, 1, []string{"not fit", "NOAUTH"}},
		{"Redis 6.2", func(t *testing.T, c *relayer.Config) { c.Redis.URL = oldRedis(t) }, 1, []string{"redis_version is 6.2.14", "run Redis 7.0 or newer"}},
		{"another version's data", func(t *testing.T, c *relayer.Config) {
			s := storetest.StartRedis(t)
			rdb := s.Client()
			defer rdb.Close()
			require.NoError(t, rdb.Set(t.Context(), "{variant}:schema", "99", 0).Err())
			c.Redis.URL = s.URL()
		}, 1, []string{`version "99"`, "matching release, or another namespace"}},
		{"a key of the namespace that is something else", func(t *testing.T, c *relayer.Config) {
			s := storetest.StartRedis(t)
			rdb := s.Client()
			defer rdb.Close()
			require.NoError(t, rdb.LPush(t.Context(), "{variant}:epoch", "mine").Err())
			c.Redis.URL = s.URL()
		}, 1, []string{"schema"}},
		{"a URL that is none", func(_ *testing.T, c *relayer.Config) { c.Redis.URL = "http://user:hunter2@x" }, 2, []string{"redis://host:port/db"}},

		// Keys and files.
		{"a keystore that others can read", account(func(t *testing.T, _ string, a *relayer.Account) { require.NoError(t, os.Chmod(a.Keystore, 0o640)) }), 2,
			[]string{"account of subnet", "chmod 600"}},
		{"a password that others can read", account(func(t *testing.T, _ string, a *relayer.Account) { require.NoError(t, os.Chmod(a.PasswordFile, 0o604)) }), 2,
			[]string{"chmod 600"}},
		{"a wrong password", account(func(t *testing.T, _ string, a *relayer.Account) {
			require.NoError(t, os.WriteFile(a.PasswordFile, []byte("hunter2"), 0o600))
		}), 2, []string{"account of subnet", "key.json", "could not decrypt key with given password"}},
		{"no keystore", account(func(t *testing.T, _ string, a *relayer.Account) { require.NoError(t, os.Remove(a.Keystore)) }), 2, []string{"key.json", "no such file"}},
		{"a keystore of junk", account(func(t *testing.T, _ string, a *relayer.Account) {
			require.NoError(t, os.WriteFile(a.Keystore, []byte("{}"), 0o600))
		}), 2, []string{"account of subnet", "key.json"}},
		{"a deployment of junk", func(t *testing.T, c *relayer.Config) {
			c.Subnets[0].Deployment = filepath.Join(t.TempDir(), "deployment.json")
			require.NoError(t, os.WriteFile(c.Subnets[0].Deployment, []byte(`{"root": 7}`), 0o600))
		}, 2, []string{"deployment"}},
		{"no webhook file", func(t *testing.T, c *relayer.Config) { c.Alerts.WebhookFile = filepath.Join(t.TempDir(), "gone") }, 2, []string{"webhook"}},
		{"a webhook that is none", func(t *testing.T, c *relayer.Config) {
			c.Alerts.WebhookFile = filepath.Join(t.TempDir(), "hook")
			require.NoError(t, os.WriteFile(c.Alerts.WebhookFile, []byte("file:///hunter2"), 0o600))
		}, 2, []string{"webhook", "http or https"}},
		{"a listener that is taken", func(_ *testing.T, c *relayer.Config) { c.API.Listen = strings.TrimPrefix(w.net.Info.API, "http://") }, 1, []string{"address already in use"}},
	}
	w.t.Run("all", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				path := w.variant(t, func(cfg *relayer.Config) {
					cfg.Root.URL, cfg.Subnets[0].URL = direct, w.child.target
					c.change(t, cfg)
				})
				out, code := attempt(t, 40*time.Second, "run", "--config", path)
				require.Equal(t, c.code, code, out)
				for _, words := range c.says {
					require.Contains(t, out, words)
				}
				require.NotContains(t, out, "hunter2", "a secret is shown")
				require.NotContains(t, out, "goroutine ")
			})
		}
		t.Run("a node whose parent is another chain", func(t *testing.T) {
			t.Parallel()
			cfg, err := home.ReadNode(w.dir.NodeConfig())
			require.NoError(t, err)
			cfg.Parent.URL, cfg.Home, cfg.Metrics = w.child.target, t.TempDir(), "127.0.0.1:0"
			path := filepath.Join(t.TempDir(), "node.yaml")
			require.NoError(t, home.WriteYAML(path, cfg))
			out, code := attempt(t, 20*time.Second, "node", "--config", path)
			require.Equal(t, 1, code, out)
			require.Contains(t, out, fmt.Sprint("want ", w.net.Dep.Root.ChainID))
		})
		t.Run("a configuration with unknown keys", func(t *testing.T) {
			t.Parallel()
			whole, err := os.ReadFile(w.dir.Config())
			require.NoError(t, err)
			node, err := os.ReadFile(w.dir.NodeConfig())
			require.NoError(t, err)
			sub := strings.Replace(string(whole), "    deployment:", "    colour: red\n    deployment:", 1)
			require.NotEqual(t, string(whole), sub)
			for _, c := range []struct{ verb, text, says string }{
				{"run", string(whole) + "\ncolour: red\n", "colour"},
				{"run", sub, "colour"},
				{"run", string(whole) + "\nroot:\n  colour: red\n", "root"}, // said twice
				{"run", strings.Replace(string(whole), "root:", "root:\n  colour: red", 1), "colour"},
				{"run", "", "configuration"},
				{"run", "\x00\xff", "configuration"},
				{"run", "[]", "configuration"},
				{"node", string(node) + "\ncolour: red\n", "colour"},
				{"node", "", "node configuration"},
			} {
				path := filepath.Join(t.TempDir(), "some.yaml")
				require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
				out, code := attempt(t, 20*time.Second, c.verb, "--config", path)
				require.Equal(t, 2, code, out)
				require.Contains(t, out, c.says)
			}
		})
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, raw, 0o600))
}

// oldRedis says that it is Redis 6.2 and knows nothing newer.
func oldRedis(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		line := func() (string, error) {
			s, err := r.ReadString('\n')
			return strings.TrimRight(s, "\r\n"), err
		}
		for {
			head, err := line()
			if err != nil || !strings.HasPrefix(head, "*") {
				return
			}
			n, _ := strconv.Atoi(head[1:])
			var words []string
			for range n {
				if _, err := line(); err != nil {
					return
				}
				word, err := line()
				if err != nil {
					return
				}
				words = append(words, strings.ToUpper(word))
			}
			reply := "+OK\r\n"
			switch words[0] {
			case "INFO":
				info := "# Server\r\nredis_version:6.2.14\r\nrun_id:0123\r\nrole:master\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\nmaxmemory_policy:noeviction\r\n"
				reply = fmt.Sprintf("$%d\r\n%s\r\n", len(info), info)
			case "CONFIG":
				reply = "*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n"
			case "PING":
				reply = "+PONG\r\n"
			case "GET":
				reply = "$-1\r\n"
			case "HELLO", "EVAL", "EVALSHA", "FUNCTION":
				reply = "-ERR unknown command\r\n"
			}
			if _, err := c.Write([]byte(reply)); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "redis://" + l.Addr().String() + "/0"
}

// TestCtrlCInADevnetLeavesNoProcessBehind interrupts a devnet in its tour, in
// order and at once, and one that is still coming up.
func TestCtrlCInADevnetLeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, at string
		signals  int
		code     int
	}{
		{"in its tour", "tour:", 1, 1},
		{"while it comes up, twice", "starting the subnet's node", 2, 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "devnet.log")
			p := launch(t, log, "devnet", "--home", t.TempDir())
			t.Cleanup(p.kill)
			pid := p.cmd.Process.Pid
			children := map[int]bool{}
			deadline := time.Now().Add(120 * time.Second)
			for !strings.Contains(tail(log, 100_000), c.at) || len(children) < 2 {
				require.True(t, p.running() && time.Now().Before(deadline), tail(log, 4000))
				for _, child := range childrenOf(t, pid) {
					children[child] = true
				}
				shared.Pause(t.Context(), 50*time.Millisecond)
			}
			for _, child := range childrenOf(t, pid) {
				children[child] = true
			}
			for range c.signals {
				_ = p.cmd.Process.Signal(syscall.SIGINT)
				shared.Pause(t.Context(), 20*time.Millisecond)
			}
			code := p.code(t, 20*time.Second)
			require.Equal(t, c.code, code, tail(log, 4000))
			require.GreaterOrEqual(t, len(children), 2)
			for child := range children {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				for alive(child) && ctx.Err() == nil {
					shared.Pause(ctx, 50*time.Millisecond)
				}
				cancel()
				require.False(t, alive(child), "process %d lives on", child)
			}
		})
	}
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(t *testing.T, pid int) (out []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			out = append(out, child)
		}
	}
	return out
}

// alive says whether a process runs; one that has ended and waits to be read
// does not.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
