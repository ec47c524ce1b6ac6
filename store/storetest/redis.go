// Package storetest is what tests of the store and of those who use it share:
// a private redis-server that can be killed and robbed of the end of its file,
// a connection that loses replies, and a model of the store in plain Go.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Server is a redis-server of one's own, listening on loopback.
type Server struct {
	dir, addr string
	conf      []string

	mu  sync.Mutex
	cmd *exec.Cmd
	end chan struct{}
	out *bytes.Buffer
}

// Start runs redis-server in dir, which it fills with its data, on a port the
// kernel chooses, with appendfsync always. More settings, as on the command
// line ("--maxmemory", "10mb"), come after the usual ones.
func Start(dir string, settings ...string) (*Server, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errors.New("redis-server is not installed: install Redis 7.0 or newer")
	}
	var last error
	for range 5 { // somebody may take the port between the look and the start
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{dir: dir, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
		s.conf = append([]string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes",
			"--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice",
		}, settings...)
		if last = s.Restart(); last == nil {
			return s, nil
		}
	}
	return nil, last
}

// StartRedis is Start for a test, which it stops the server with.
func StartRedis(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Start(t.TempDir(), settings...)
	require.NoError(t, err)
	t.Cleanup(s.Kill)
	return s
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// URL is where it listens.
func (s *Server) URL() string { return "redis://" + s.addr + "/0" }

// Restart starts the server again where its data is; it returns once the
// server answers. The server must be down.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("redis-server is running")
	}
	cmd := exec.Command("redis-server", s.conf...)
	s.out = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	end := make(chan struct{})
	go func() { _ = cmd.Wait(); close(end) }()

	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 1, Protocol: 2, DisableIdentity: true})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// the process id tells our server from another one on the port
		if info, err := answer(ctx, c, s.addr); err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r", cmd.Process.Pid)) && c.Ping(ctx).Err() == nil {
			s.cmd, s.end = cmd, end
			return nil
		}
		select {
		case <-end:
			return fmt.Errorf("redis-server ended: %s", s.out.String())
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-end
			return fmt.Errorf("redis-server does not answer: %s", s.out.String())
		case <-tick.C:
		}
	}
}

// answer knocks first: go-redis complains to stderr about closed doors.
func answer(ctx context.Context, c *redis.Client, addr string) (string, error) {
	cn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	_ = cn.Close()
	return c.Info(ctx, "server").Result()
}

// Kill ends the server as kill -9 does; nothing happens when it is down.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.end
	s.cmd = nil
}

// Stop ends the server in good order.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stop redis-server: %w", err)
	}
	<-s.end
	s.cmd = nil
	return nil
}

// Truncate cuts the last n bytes off the append-only file, as a power cut on a
// disk that lies does. The server must be down.
func (s *Server) Truncate(n int64) error {
	path, size, err := s.aof()
	if err != nil {
		return err
	}
	return os.Truncate(path, max(0, size-n))
}

// AOFSize is the length of the append-only file.
func (s *Server) AOFSize() (int64, error) {
	_, size, err := s.aof()
	return size, err
}

func (s *Server) aof() (string, int64, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return "", 0, errors.New("no append-only file")
	}
	sort.Strings(files)
	last := files[len(files)-1]
	info, err := os.Stat(last)
	if err != nil {
		return "", 0, fmt.Errorf("append-only file: %w", err)
	}
	return last, info.Size(), nil
}

// Client is a plain connection for tests that break things; the caller closes
// it.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.addr, Protocol: 2, DisableIdentity: true, PoolSize: 4})
}
