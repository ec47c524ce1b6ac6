package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/tracers"
	gethnode "github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	maxRPCBody      = 5 << 20
	maxBatch        = 1000
	maxBatchAnswer  = 25_000_000
	rpcStopPatience = 3 * time.Second
)

// server is the node's JSON-RPC. It is geth's own server and services, chosen
// one by one: whole namespaces would hand every client debug_setHead, which
// rewinds the chain, and profilers that write files.
type server struct {
	rpc       *rpc.Server
	listeners []net.Listener
	https     []*http.Server
	http, ws  string // URLs, "" = off
	failed    chan error
}

// newServer registers eth, net, web3, txpool, the tracers of debug, and causeway.
func newServer(e *evm, own *api) (*server, error) {
	s := &server{rpc: rpc.NewServer()}
	s.rpc.SetBatchLimits(maxBatch, maxBatchAnswer)
	s.rpc.SetHTTPBodyLimit(maxRPCBody)
	s.rpc.SetWebsocketReadLimit(maxRPCBody)
	services := []rpc.API{
		{Namespace: "web3", Service: web3{}},
		{Namespace: "eth", Service: e.filters},
		{Namespace: "causeway", Service: own},
	}
	services = append(services, tracers.APIs(e.eth.APIBackend)...)
	for _, a := range e.eth.APIs() {
		switch a.Namespace {
		case "eth", "net", "txpool":
			services = append(services, a)
		}
	}
	for _, a := range services {
		if err := s.rpc.RegisterName(a.Namespace, a.Service); err != nil {
			return nil, fmt.Errorf("register rpc %s: %w", a.Namespace, err)
		}
	}
	return s, nil
}

// start opens the listeners.
func (s *server) start(cfg Config, failed chan error) error {
	s.failed = failed
	var err error
	if cfg.HTTPAddr != "" {
		handler := gethnode.NewHTTPHandlerStack(s.rpc, nil, []string{"localhost"}, nil, false)
		if s.http, err = s.listen("http", cfg.HTTPAddr, handler); err != nil {
			return err
		}
	}
	if cfg.WSAddr != "" {
		if s.ws, err = s.listen("ws", cfg.WSAddr, s.rpc.WebsocketHandler(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) listen(scheme, addr string, handler http.Handler) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", scheme, err)
	}
	h := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10,
	}
	s.listeners, s.https = append(s.listeners, l), append(s.https, h)
	go func() {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case s.failed <- fmt.Errorf("serve %s: %w", scheme, err):
			default:
			}
		}
	}()
	return scheme + "://" + l.Addr().String(), nil
}

// stop ends subscriptions and open requests.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), rpcStopPatience)
	defer cancel()
	s.rpc.Stop()
	var errs []error
	for _, h := range s.https {
		if err := h.Shutdown(ctx); err != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

// web3 is the namespace of that name.
type web3 struct{}

// ClientVersion answers web3_clientVersion.
func (web3) ClientVersion() string { return "causeway/subnet" }

// Sha3 answers web3_sha3: keccak256.
func (web3) Sha3(input hexutil.Bytes) hexutil.Bytes { return crypto.Keccak256(input) }
