package rig

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Line is a TCP connection to a server that can be made bad. Its address stays;
// what it leads to may change, as behind a name that a failover repoints.
type Line struct {
	listener net.Listener
	target   atomic.Pointer[string]
	state    atomic.Int32
	lost     atomic.Int64 // replies that were swallowed

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

// LineState is how a line behaves.
type LineState int32

// What a line may do to its connections.
const (
	Open    LineState = iota
	Cut               // hangs up on whoever calls
	Hole              // takes everything and passes nothing on, either way
	Swallow           // passes requests on; at the first byte of an answer the caller's end is closed
)

// NewLine listens on loopback.
func NewLine(target string) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a line: %w", err)
	}
	line := &Line{listener: l, conns: map[net.Conn]bool{}}
	line.target.Store(&target)
	line.done.Go(line.serve)
	return line, nil
}

// Addr is host:port.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Lead repoints the line; connections of before are closed.
func (l *Line) Lead(target string) {
	l.target.Store(&target)
	l.drop()
}

// Set changes how the line behaves. Open connections end, but for a line that
// turns into a hole: there they stay and hear nothing.
func (l *Line) Set(s LineState) {
	was := LineState(l.state.Swap(int32(s)))
	if s == Cut || was == Hole || was == Swallow {
		l.drop()
	}
}

// Lost counts the replies that never arrived.
func (l *Line) Lost() int64 { return l.lost.Load() }

// Close ends everything.
func (l *Line) Close() {
	_ = l.listener.Close()
	l.drop()
	l.done.Wait()
}

func (l *Line) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *Line) serve() {
	for {
		c, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		l.done.Go(func() { l.carry(c) })
	}
}

func (l *Line) keep(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
}

func (l *Line) end(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Line) carry(near net.Conn) {
	l.keep(near)
	defer l.end(near)
	if LineState(l.state.Load()) == Cut {
		return
	}
	far, err := net.DialTimeout("tcp", *l.target.Load(), 3*time.Second)
	if err != nil {
		return
	}
	l.keep(far)
	defer l.end(far)
	var both sync.WaitGroup
	both.Go(func() { l.copy(far, near, false); _ = far.Close(); _ = near.Close() })
	both.Go(func() { l.copy(near, far, true); _ = far.Close(); _ = near.Close() })
	both.Wait()
}

func (l *Line) copy(to io.Writer, from io.Reader, down bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		switch s := LineState(l.state.Load()); {
		case n > 0 && s == Hole:
			// gone
		case n > 0 && s == Swallow && down:
			// The answer is here, so the script has run.
			l.lost.Add(1)
			return
		case n > 0:
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
