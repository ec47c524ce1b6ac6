package devnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
)

// ErrNoRedis says that redis-server is not installed, and what to do.
var ErrNoRedis = errors.New("redis-server is not installed: run `make demo` as root on Debian or Ubuntu, or install the package redis-server (7.0 or newer), or give --redis URL")

// RedisServer names the redis-server of this machine, such as "redis-server
// 7.0.15"; ErrNoRedis without one.
func RedisServer(ctx context.Context) (string, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", ErrNoRedis
	}
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("redis-server --version: %w", err)
	}
	for _, word := range strings.Fields(string(out)) {
		if v, ok := strings.CutPrefix(word, "v="); ok {
			return "redis-server " + v, nil
		}
	}
	return "redis-server", nil
}

// The names of the other kinds of Redis in a report.
const (
	External = "external" // the caller's, through a URL
	Volatile = "volatile" // in memory: it forgets everything when it stops
)

// startRedis starts the Redis that the options ask for.
func (n *Net) startRedis(ctx context.Context) error {
	if n.opt.Redis != "" {
		n.Info.RedisURL, n.Info.Redis = n.opt.Redis, External
		return nil
	}
	if n.opt.Volatile {
		n.opt.Say("starting redis (in memory: it forgets everything when it stops)")
		at, err := n.child(ctx, "redis", "devredis", "--port", strconv.Itoa(n.redisAt))
		if err != nil {
			return err
		}
		n.Info.RedisURL, n.Info.Redis, n.redisAt = at.Redis, Volatile, at.Port
		return nil
	}
	name, err := RedisServer(ctx)
	if err != nil {
		return err
	}
	n.opt.Say("starting redis (appendfsync always)")
	p, url, port, err := startRedis(ctx, n.opt.Home.Sub("redis"), n.opt.Home.Logs(), n.redisAt)
	if err != nil {
		return err
	}
	n.family.add(p)
	n.Info.RedisURL, n.Info.Redis, n.redisAt = url, name, port
	return nil
}

// StartRedis starts Redis again after a Kill, on the same port. A redis-server
// finds its data again, in the same folder; the one in memory has none.
func (n *Net) StartRedis(ctx context.Context) error { return n.startRedis(ctx) }

// redis is what the relayer's configuration says of it.
func (n *Net) redis() relayer.Redis {
	return relayer.Redis{URL: n.Info.RedisURL, Namespace: "causeway", AllowVolatile: n.Info.Redis == Volatile}
}

// usedVolatile says whether the last devnet in this home had the Redis in
// memory, whose journal nobody has any more.
func (n *Net) usedVolatile() (bool, error) {
	cfg, err := relayer.Read(n.opt.Home.Config())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return cfg.Redis.AllowVolatile, err
}

// remember reads the chains again where a relayer has run in this home whose
// journal is gone. It does what the relayer's refusal would tell an operator to
// do.
func (n *Net) remember(ctx context.Context) error {
	cfg, err := relayer.Read(n.opt.Home.Config())
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.State, "epoch.json")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	n.opt.Say("redis has forgotten the last devnet in this home: reading the chains again")
	cfg.DialLotus = home.DialLotus
	_, err = relayer.Rescan(ctx, cfg, relayer.RescanOptions{AcceptForgotten: true}, n.opt.Log)
	return err
}

// startRedis runs a private redis-server that keeps what it acknowledges, in a
// folder of its own, reachable from this machine alone.
func startRedis(ctx context.Context, dir, logs string, port int) (*process, string, int, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, "", 0, ErrNoRedis
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", 0, fmt.Errorf("make redis folder: %w", err)
	}
	// A free port may be taken by someone else before redis gets it, so try a
	// few.
	for range 5 {
		p := port
		if p == 0 {
			if p, err = freePort(); err != nil {
				return nil, "", 0, err
			}
		}
		proc, err := start(logs, "redis", program, nil,
			"--port", strconv.Itoa(p), "--bind", "127.0.0.1", "--protected-mode", "yes", "--dir", dir,
			"--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no", "--aof-load-truncated", "yes",
			"--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no", "--pidfile", filepath.Join(dir, "redis.pid"))
		if err != nil {
			return nil, "", 0, err
		}
		if err = awaitPort(ctx, proc, p); err == nil {
			return proc, fmt.Sprintf("redis://127.0.0.1:%d/0", p), p, nil
		}
		proc.stop()
		if port != 0 || ctx.Err() != nil {
			return nil, "", 0, err
		}
	}
	return nil, "", 0, errors.New("redis-server found no free port")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// awaitPort waits until the child answers on its port. A child that lost the
// port to another process ends by itself.
func awaitPort(ctx context.Context, p *process, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if err := p.exited(); err != nil {
			return err
		}
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			_, err = c.Write([]byte("PING\r\n"))
			reply := make([]byte, 16)
			if err == nil {
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				_, err = c.Read(reply)
			}
			_ = c.Close()
			if err == nil && reply[0] == '+' {
				return p.exited()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis does not answer: %w", ctx.Err())
		case <-p.done:
			return p.exited()
		case <-time.After(30 * time.Millisecond):
		}
	}
}
