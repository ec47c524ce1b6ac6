package storetest

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
)

// Lossy is a network that loses replies: the server runs the script, the
// caller sees the connection end. Its Dial goes into store.Options.
type Lossy struct {
	left atomic.Int64
	lost atomic.Int64
}

// Lose makes the next n replies to scripts vanish.
func (l *Lossy) Lose(n int) { l.left.Store(int64(n)) }

// Lost counts the replies that vanished.
func (l *Lossy) Lost() int { return int(l.lost.Load()) }

// Dial connects.
func (l *Lossy) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &lossyConn{Conn: c, from: l}, nil
}

type lossyConn struct {
	net.Conn
	from   *Lossy
	script atomic.Bool // a script was sent and not yet answered
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if bytes.Contains(b[:min(len(b), 32)], []byte("eval")) {
		c.script.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.script.Swap(false) && c.from.left.Add(-1) >= 0 {
		// the reply is here, so the script has run
		c.from.lost.Add(1)
		_ = c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}
