// Package volatile is a stand-in for Redis in memory, for a devnet on a machine
// without redis-server. It forgets everything when it ends and says so: INFO and
// CONFIG answer that nothing is written to disk, so that the start-up gate of
// package store refuses it like any other Redis that forgets, unless the
// configuration says `redis.allow_volatile: true`.
//
// It is miniredis with three differences. INFO answers what the gate asks for;
// miniredis knows two sections of counters. CONFIG GET exists. And a script may
// begin with "#!lua flags=…", which Redis reads and miniredis takes for a syntax
// error: the line is left out here, and with it what the flags promise, which a
// server without a memory limit and without replicas has no use for (allow-oom)
// or only redis-server enforces (no-writes).
package volatile

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// version is the Redis whose commands and scripts are imitated.
const version = "7.0.0"

// Server is a running stand-in.
type Server struct {
	mini  *miniredis.Miniredis
	srv   *server.Server
	addr  *net.TCPAddr
	runID string

	mu    sync.Mutex
	short map[string]string // SHA-1 of a script with its first line → without
}

// Start listens on loopback alone, on a port the kernel chooses if it is 0. The
// server is empty and has a run id of its own, like a Redis that lost its disk.
func Start(port int) (*Server, error) {
	var id [20]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	s := &Server{mini: miniredis.NewMiniRedis(), runID: hex.EncodeToString(id[:]), short: map[string]string{}}
	if err := s.mini.StartAddr("127.0.0.1:" + strconv.Itoa(port)); err != nil {
		return nil, fmt.Errorf("start the in-memory redis: %w", err)
	}
	s.srv = s.mini.Server()
	s.addr = s.srv.Addr()
	if err := s.srv.Register("CONFIG", s.config); err != nil {
		s.Close()
		return nil, fmt.Errorf("[BUG] start the in-memory redis: %w", err)
	}
	s.srv.SetPreHook(s.before)
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.addr.String() }

// Port is the port of Addr.
func (s *Server) Port() int { return s.addr.Port }

// URL is what a configuration names.
func (s *Server) URL() string { return "redis://" + s.Addr() + "/0" }

// Close ends every connection and forgets everything.
func (s *Server) Close() { s.mini.Close() }

// before sees each command first, those of scripts too; true means answered.
func (s *Server) before(c *server.Peer, cmd string, args ...string) bool {
	switch {
	case cmd == "INFO":
		c.WriteBulk(s.info(args))
		return true
	case cmd == "EVAL" && len(args) > 0 && strings.HasPrefix(args[0], "#!lua"):
		// The line goes, its end stays: errors name the right line.
		_, rest, _ := strings.Cut(args[0], "\n")
		text := "\n" + rest
		s.mu.Lock()
		s.short[sum(args[0])] = sum(text)
		s.mu.Unlock()
		s.srv.Dispatch(c, append([]string{cmd, text}, args[1:]...))
		return true
	case cmd == "EVALSHA" && len(args) > 0:
		s.mu.Lock()
		id, ok := s.short[strings.ToLower(args[0])]
		s.mu.Unlock()
		if ok {
			s.srv.Dispatch(c, append([]string{cmd, id}, args[1:]...))
		}
		return ok
	}
	return false
}

func sum(script string) string {
	h := sha1.Sum([]byte(script))
	return hex.EncodeToString(h[:])
}

// info lists the sections asked for, all without arguments.
func (s *Server) info(wanted []string) string {
	var b strings.Builder
	for _, section := range []struct{ name, lines string }{
		{"Server", "redis_version:" + version + "\nserver_name:causeway-volatile\nredis_mode:standalone\nrun_id:" + s.runID +
			"\nprocess_id:" + strconv.Itoa(os.Getpid()) + "\ntcp_port:" + strconv.Itoa(s.Port())},
		{"Memory", "maxmemory:0\nmaxmemory_policy:noeviction"},
		{"Persistence", "loading:0\nrdb_last_save_time:0\naof_enabled:0\naof_rewrite_in_progress:0\naof_rewrite_scheduled:0"},
		{"Replication", "role:master\nconnected_slaves:0"},
	} {
		if len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool {
			return slices.Contains([]string{"all", "everything", "default", strings.ToLower(section.name)}, strings.ToLower(w))
		}) {
			b.WriteString("# " + section.name + "\r\n" + strings.ReplaceAll(section.lines, "\n", "\r\n") + "\r\n\r\n")
		}
	}
	return b.String()
}

// settings are what CONFIG GET knows; nothing can be set.
var settings = [][2]string{
	{"appendfsync", "no"}, {"appendonly", "no"}, {"maxmemory", "0"}, {"maxmemory-policy", "noeviction"}, {"save", ""},
}

func (s *Server) config(c *server.Peer, _ string, args []string) {
	if len(args) < 2 || !strings.EqualFold(args[0], "GET") {
		c.WriteError("ERR the in-memory stand-in knows CONFIG GET only")
		return
	}
	var out []string
	for _, kv := range settings {
		if slices.ContainsFunc(args[1:], func(p string) bool {
			ok, err := path.Match(strings.ToLower(p), kv[0])
			return ok && err == nil
		}) {
			out = append(out, kv[0], kv[1])
		}
	}
	c.WriteMapLen(len(out) / 2)
	for _, v := range out {
		c.WriteBulk(v)
	}
}
