package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-bridge/causeway/chains"
)

// Limits that all nodes share.
const (
	maxValidators  = 100
	maxBlockBytes  = 21 << 20 // of a consensus block
	maxProposal    = 20 << 20 // of its one transaction
	maxExtension   = 4 << 10
	extraData      = "causeway"
	reportWindow   = 20 // blocks a report counts (PROTOCOL 3)
	candidateLife  = 20 // blocks a candidate may stay without a quorum
	maxNewMessages = 1024
	maxNewChanges  = 256
)

// Parent is the root chain as the node reads it. Events and Head answer for
// final blocks only (chains.Source); Call runs at the given block hash.
type Parent interface {
	chains.Source
	Call(ctx context.Context, to common.Address, data []byte, blockHash common.Hash) ([]byte, error)
	BlockByNumber(ctx context.Context, number uint64) (chains.Block, error)
	// At is the block at a height or, where there is none, the next below: Filecoin
	// has null rounds.
	At(ctx context.Context, height uint64) (chains.Block, error)
}

// Config is one node's own settings; what all nodes share is in Genesis.
type Config struct {
	Home string // as written by InitHome

	HTTPAddr string // JSON-RPC over HTTP, host:port, port 0 = any free one, "" = off
	WSAddr   string // JSON-RPC over WebSocket, same form

	P2PAddr      string   // CometBFT, host:port
	Peers        []string // CometBFT peers, id@host:port
	EVMP2PAddr   string   // geth's transaction gossip, "" = off
	EVMPeers     []string // enode URLs
	CometRPCAddr string   // CometBFT's own RPC, host:port, "" = off

	BlockInterval time.Duration // at least a second: the EVM clock counts seconds
	Parent        Parent
	ParentPoll    time.Duration // pause between looks at the parent

	// Signer signs items; nil = with the key in Home. It is the caller's to
	// close, after the node has stopped.
	Signer Signer
	// ConsensusSigner is a Unix socket (unix:///path) on which CometBFT waits
	// for whoever signs its own votes; "" = the key in Home does.
	ConsensusSigner string

	Log     *slog.Logger          // nil = discard
	Metrics prometheus.Registerer // nil = none
}

// Default is a single validator on loopback.
func Default(home string, parent Parent) Config {
	return Config{
		Home: home, HTTPAddr: "127.0.0.1:0", WSAddr: "127.0.0.1:0", P2PAddr: "127.0.0.1:0",
		BlockInterval: time.Second, ParentPoll: time.Second, Parent: parent,
	}
}

// Check joins every complaint.
func (c Config) Check() error {
	var errs []error
	if c.Home == "" {
		errs = append(errs, errors.New("home is empty"))
	}
	if c.Parent == nil {
		errs = append(errs, errors.New("parent is missing"))
	}
	if c.BlockInterval < time.Second {
		errs = append(errs, fmt.Errorf("block_interval %s is below 1s: the EVM clock counts seconds", c.BlockInterval))
	}
	if c.ParentPoll < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("parent_poll %s is below 10ms", c.ParentPoll))
	}
	for _, a := range []struct {
		name, addr string
		optional   bool
	}{
		{"http_addr", c.HTTPAddr, true}, {"ws_addr", c.WSAddr, true}, {"p2p_addr", c.P2PAddr, false},
		{"evm_p2p_addr", c.EVMP2PAddr, true}, {"comet_rpc_addr", c.CometRPCAddr, true},
	} {
		if a.addr == "" && a.optional {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.name, err))
		}
	}
	if c.ConsensusSigner != "" {
		if err := CheckSocket(c.ConsensusSigner); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
