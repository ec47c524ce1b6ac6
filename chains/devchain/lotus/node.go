package lotus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/go-jsonrpc"
	"github.com/filecoin-project/lotus/api"
	logging "github.com/ipfs/go-log/v2"
)

// Node is one endpoint: its own port, its own view of the root's chain.
type Node struct {
	root   *Root
	index  int
	addr   string
	server *http.Server
	served chan struct{}

	// quit ends what waits for the node: notifications, bodies that hang.
	quit context.Context
	end  context.CancelFunc

	mu     sync.Mutex
	set    Switches
	fixed  view // what a frozen or forked node holds on to; nil follows the root
	asked  map[common.Hash]int
	wakers map[chan struct{}]struct{}
	conns  map[net.Conn]struct{}
	feeds  map[string]*feed
	subs   sync.WaitGroup
}

func startNode(r *Root, index int, addr string) (*Node, error) {
	if addr == "" {
		addr = ":0"
	}
	// An empty host is the loopback, never every interface: there is no
	// authentication.
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n := &Node{
		root: r, index: index, addr: ln.Addr().String(), served: make(chan struct{}), set: defaultSwitches(),
		asked: map[common.Hash]int{}, wakers: map[chan struct{}]struct{}{}, conns: map[net.Conn]struct{}{}, feeds: map[string]*feed{},
	}
	// go-jsonrpc logs each refusal and each closed connection as an error.
	if err := logging.SetLogLevel("rpc", "fatal"); err != nil {
		return nil, errors.Join(fmt.Errorf("quieten the rpc server: %w", err), ln.Close())
	}
	n.quit, n.end = context.WithCancel(context.Background()) // ended by close
	srv := jsonrpc.NewServer(
		jsonrpc.WithServerErrors(api.RPCErrors),
		jsonrpc.WithReverseClient[api.EthSubscriberMethods]("Filecoin"))
	srv.Register("Filecoin", &handler{n})
	api.CreateEthRPCAliases(srv)
	aliasDev(srv)
	n.server = &http.Server{
		Handler: n.faults(srv), ReadHeaderTimeout: 10 * time.Second, ConnState: n.track,
		BaseContext: func(net.Listener) context.Context { return n.quit },
	}
	go func() {
		defer close(n.served)
		if err := n.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			r.log.Warn("node stopped serving", "node", index, "err", err)
		}
	}()
	return n, nil
}

// close ends the node at once: what is asked at that moment is not answered.
func (n *Node) close() error {
	n.end()
	err := n.server.Close()
	n.DropConnections()
	<-n.served
	n.subs.Wait()
	return err
}

// Addr is host:port.
func (n *Node) Addr() string { return n.addr }

// HTTP is the URL for both eth_* and Filecoin.*.
func (n *Node) HTTP() string { return "http://" + n.addr + "/rpc/v1" }

// WS is the same for websockets.
func (n *Node) WS() string { return "ws://" + n.addr + "/rpc/v1" }

// track keeps the websockets, which the server no longer knows once they are
// upgraded.
func (n *Node) track(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch state {
	case http.StateNew, http.StateHijacked:
		n.conns[c] = struct{}{}
	case http.StateClosed:
		delete(n.conns, c)
	}
}

// DropConnections cuts every connection, websockets too. New ones are taken.
func (n *Node) DropConnections() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close() // it may have gone by itself
	}
	clear(n.conns)
}

// background runs f until the node ends, if it has not: close waits for it.
func (n *Node) background(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.quit.Err() != nil {
		return false
	}
	n.subs.Go(f)
	return true
}

// view is the chain as this node sees it now.
func (n *Node) view() view {
	n.mu.Lock()
	defer n.mu.Unlock()
	v := n.fixed
	if v == nil {
		v = n.root.view()
	}
	lag := min(n.set.Lag, v.head().epoch)
	if lag > 0 {
		v = v[:v.index(v.head().epoch-lag)+1]
	}
	return v
}

// follow tells those who wait that the node's view may be another.
func (n *Node) follow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w := range n.wakers {
		select {
		case w <- struct{}{}:
		default: // already told
		}
	}
}

// waker is a channel that follow rings, until done is called.
func (n *Node) waker() (rings chan struct{}, done func()) {
	rings = make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wakers[rings] = struct{}{}
	return rings, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.wakers, rings)
	}
}

// changes is how one view became another: the tips that went, newest first,
// and those that came, oldest first.
func changes(old, now view) (gone, came view) {
	same := min(len(old), len(now))
	for same > 0 && old[same-1] != now[same-1] {
		same--
	}
	for i := len(old) - 1; i >= same; i-- {
		gone = append(gone, old[i])
	}
	return gone, now[same:]
}
