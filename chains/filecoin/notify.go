package filecoin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/gorilla/websocket"
)

// Bounds of the subscription to the node's head.
const (
	maxNotice    = 4 << 20 // bytes of one message: some tipsets with their headers
	noticeGap    = 200 * time.Millisecond
	noticePing   = 30 * time.Second // a connection that has not answered for two of it is gone
	redialing    = time.Second
	maxRedialing = time.Minute
)

// subscribe is ChainNotify as go-jsonrpc speaks it.
const subscribe = `{"jsonrpc":"2.0","id":1,"method":"Filecoin.ChainNotify","params":[]}`

// Wake implements chains.Waker where the node is reached by a websocket: its channel
// is closed when the node says that its head has changed. What it says is not read.
func (c *Client) Wake() <-chan struct{} { return c.bell.Wake() }

// Close ends the subscription and all connections.
func (c *Client) Close() {
	c.quit()
	c.running.Wait()
	c.Client.Close()
}

func isWS(raw string) bool {
	return strings.HasPrefix(raw, "ws://") || strings.HasPrefix(raw, "wss://")
}

// listen rings at each notice until ctx ends. A connection that goes is dialed again,
// ever more slowly; meanwhile whoever polls goes on.
func (c *Client) listen(ctx context.Context, at string) {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(redialing), backoff.WithMaxInterval(maxRedialing), backoff.WithMaxElapsedTime(0))
	for {
		err := c.notices(ctx, at, wait.Reset)
		if ctx.Err() != nil {
			return
		}
		c.log.DebugContext(ctx, "the subscription to the head ended: will subscribe again", "chain", c.cfg.Name, "err", scrubbed(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// notices subscribes and rings at each message, until the connection goes. good is
// told of each, since a subscription that is accepted and says nothing is not one.
func (c *Client) notices(ctx context.Context, at string, good func()) error {
	dialer := websocket.Dialer{HandshakeTimeout: noticePing}
	clean, header, err := credentials(at)
	if err != nil {
		return err
	}
	conn, _, err := dialer.DialContext(ctx, clean, header)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(2 * noticePing)) }
	conn.SetReadLimit(maxNotice)
	conn.SetPongHandler(alive)
	if err := alive(""); err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(subscribe)); err != nil {
		return err
	}
	pings := make(chan struct{})
	defer close(pings)
	c.running.Go(func() { ping(conn, pings) })
	for {
		_, message, err := conn.NextReader()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, message); err != nil {
			return err
		}
		good()
		c.bell.Ring()
		// A node that says more than there is to say is read no faster.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(noticeGap):
		}
	}
}

// credentials moves those of a URL to a header, which is where a websocket takes them.
func credentials(raw string) (string, http.Header, error) {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw, nil, err
	}
	password, _ := u.User.Password()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(u.User.Username(), password)
	u.User = nil
	return u.String(), r.Header, nil
}

// ping keeps a connection alive until done is closed.
func ping(conn *websocket.Conn, done <-chan struct{}) {
	tick := time.NewTicker(noticePing)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(noticePing)) != nil {
				return // the reader finds out
			}
		}
	}
}

// scrubbed is an error of a connection without what it may tell of its address.
func scrubbed(err error) string {
	var closed *websocket.CloseError
	var address *url.Error
	switch {
	case errors.As(err, &closed):
		return "closed"
	case errors.As(err, &address), errors.Is(err, websocket.ErrBadHandshake):
		return "no websocket there"
	}
	return "the connection is gone"
}
