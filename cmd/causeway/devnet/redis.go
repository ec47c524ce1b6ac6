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
	"time"
)

// ErrNoRedis says that redis-server is not installed.
var ErrNoRedis = errors.New("redis-server is not installed: run `make demo` as root on Debian or Ubuntu, or install the package redis-server (7.0 or newer), or give --redis URL")

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
		proc, err := start(logs, "redis", program,
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
