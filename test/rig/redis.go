package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"
)

// Redis is a redis-server of one's own, kept as the relayer wants it, and what
// may happen to it. It is a child process like the others.
type Redis struct {
	dir, log string
	port     int
	proc     *Process
}

// newRedis names a server; Start runs it.
func newRedis(dir, log string) (*Redis, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make redis folder: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	defer l.Close()
	return &Redis{dir: dir, log: log, port: l.Addr().(*net.TCPAddr).Port}, nil
}

// Addr is host:port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// URL names database 0.
func (r *Redis) URL() string { return "redis://" + r.Addr() + "/0" }

// Start runs the server where its data is and waits until it answers. SIGXFSZ
// is ignored, so that a full disk is an error of write(2), as it is on a real
// one.
func (r *Redis) Start(ctx context.Context) error {
	if r.proc != nil && r.proc.Running() {
		return errors.New("redis runs")
	}
	var err error
	r.proc, err = launch(r.log, "/bin/sh", nil, "-c", `trap "" XFSZ; exec redis-server "$@"`, "redis",
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes", "--no-appendfsync-on-rewrite", "no",
		"--maxmemory-policy", "noeviction", "--enable-debug-command", "local", "--daemonize", "no")
	if err != nil {
		return err
	}
	c := r.Client()
	defer c.Close()
	return Until(ctx, 30*time.Second, "redis answers", func() bool {
		cn, err := net.DialTimeout("tcp", r.Addr(), time.Second)
		if err != nil {
			return false
		}
		_ = cn.Close()
		info, err := c.Info(ctx, "server", "persistence").Result()
		return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r", r.proc.Pid())) && strings.Contains(info, "loading:0")
	})
}

// Kill is kill -9; nothing happens to one that is down.
func (r *Redis) Kill() {
	if r.proc != nil {
		r.proc.Kill()
	}
}

// Client is a plain connection to the server itself; the caller closes it.
func (r *Redis) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Addr(), Protocol: 2, DisableIdentity: true, PoolSize: 4, MaxRetries: -1, DialerRetries: 1})
}

// newest is the append-only file that is written now.
func (r *Redis) newest() (string, int64, error) {
	files, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return "", 0, errors.New("redis has no append-only file")
	}
	number := func(path string) int {
		f := strings.Split(filepath.Base(path), ".")
		n, _ := strconv.Atoi(f[len(f)-3])
		return n
	}
	sort.Slice(files, func(i, j int) bool { return number(files[i]) < number(files[j]) })
	path := files[len(files)-1]
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, fmt.Errorf("append-only file: %w", err)
	}
	return path, info.Size(), nil
}

// Written is the length of the append-only file that is written now.
func (r *Redis) Written() (int64, error) {
	_, size, err := r.newest()
	return size, err
}

// Running says whether the server's process lives.
func (r *Redis) Running() bool { return r.proc != nil && r.proc.Running() }

// Tear cuts n bytes off the end of the file, as a power cut does on a disk that
// lies. The server must be down.
func (r *Redis) Tear(n int64) error {
	path, size, err := r.newest()
	if err != nil {
		return err
	}
	return os.Truncate(path, max(0, size-n))
}

// Snapshot copies the data as it is, the end of the last file torn or not. A
// copy during which the set of files changed is made again.
func (r *Redis) Snapshot(to string) error {
	manifest := func() string {
		files, _ := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.manifest"))
		if len(files) == 0 {
			return ""
		}
		raw, _ := os.ReadFile(files[0])
		return string(raw)
	}
	for range 20 {
		if err := os.RemoveAll(to); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		before := manifest()
		err := copyDir(filepath.Join(r.dir, "appendonlydir"), to)
		if err == nil && before != "" && before == manifest() {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("snapshot: the files do not stand still")
}

// FillDisk lets the files of the running server grow no further.
func (r *Redis) FillDisk() error {
	_, size, err := r.newest()
	if err != nil {
		return err
	}
	full := &unix.Rlimit{Cur: uint64(size), Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(r.proc.Pid(), unix.RLIMIT_FSIZE, full, nil); err != nil {
		return fmt.Errorf("bound its files: %w", err)
	}
	return nil
}

// Restore puts a snapshot back. The server must be down.
func (r *Redis) Restore(from string) error {
	at := filepath.Join(r.dir, "appendonlydir")
	if err := os.RemoveAll(at); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return copyDir(from, at)
}

func copyDir(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), raw, 0o600); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	return nil
}
