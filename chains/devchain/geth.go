package devchain

import (
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/eth/tracers"
	_ "github.com/ethereum/go-ethereum/eth/tracers/native" // callTracer, prestateTracer
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/rpc"
)

// This file is the only one that knows how geth is put together.

var rpcModules = []string{"eth", "net", "web3", "debug", "txpool", "dev"}

func startGeth(cfg Config, gen *core.Genesis, ctl *controls) (*node.Node, *eth.Ethereum, *filters.FilterSystem, error) {
	nc, err := nodeConfig(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	stack, err := node.New(nc)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("make geth node: %w", err)
	}
	backend, err := eth.New(stack, ethConfig(cfg, gen))
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("make geth backend: %w", err), stack.Close())
	}
	filter := filters.NewFilterSystem(backend.APIBackend, filters.Config{})
	stack.RegisterAPIs([]rpc.API{{Namespace: "eth", Service: filters.NewFilterAPI(filter)}})
	stack.RegisterAPIs(tracers.APIs(backend.APIBackend))
	stack.RegisterAPIs([]rpc.API{{Namespace: "dev", Service: ctl}})
	if err := stack.Start(); err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("start geth: %w", err), stack.Close())
	}
	backend.SetSynced()
	return stack, backend, filter, nil
}

func nodeConfig(cfg Config) (*node.Config, error) {
	nc := node.DefaultConfig
	nc.Name = "devchain"
	if cfg.DataDir != "" {
		nc.DataDir = filepath.Join(cfg.DataDir, "geth")
	} else {
		nc.DataDir = ""
	}
	nc.IPCPath = ""
	nc.P2P = p2p.Config{NoDiscovery: true, NoDial: true, MaxPeers: 0, ListenAddr: ""}
	nc.BatchRequestLimit = 5000

	if cfg.NoServer {
		nc.HTTPHost, nc.WSHost = "", ""
		return &nc, nil
	}
	var err error
	if nc.HTTPHost, nc.HTTPPort, err = splitAddr(cfg.HTTPAddr); err != nil {
		return nil, fmt.Errorf("http address: %w", err)
	}
	if nc.WSHost, nc.WSPort, err = splitAddr(cfg.WSAddr); err != nil {
		return nil, fmt.Errorf("websocket address: %w", err)
	}
	nc.HTTPModules, nc.WSModules = rpcModules, rpcModules
	return &nc, nil
}

func ethConfig(cfg Config, gen *core.Genesis) *ethconfig.Config {
	ec := ethconfig.Defaults
	ec.Genesis = gen
	ec.NetworkId = uint64(cfg.ChainID)
	ec.SyncMode = ethconfig.FullSync

	// Every state is written at every block. With the default scheme a killed
	// process comes back at height 0, its states having been in memory only.
	ec.NoPruning, ec.StateScheme = true, rawdb.HashScheme
	ec.SnapshotCache = 0
	ec.TransactionHistory, ec.LogNoHistory = 0, true
	ec.DatabaseCache, ec.TrieCleanCache, ec.TrieDirtyCache = 32, 16, 16

	ec.Miner.GasCeil = cfg.GasLimit
	ec.Miner.GasPrice = big.NewInt(1)
	ec.RPCGasCap = cfg.GasLimit
	ec.TxPool.NoLocals, ec.TxPool.Journal = true, ""
	ec.TxPool.PriceLimit = 1
	ec.TxPool.AccountSlots, ec.TxPool.GlobalSlots = 1024, 65536
	ec.TxPool.AccountQueue, ec.TxPool.GlobalQueue = 1024, 65536
	return &ec
}

// splitAddr reads host:port; an empty host is the loopback, never every
// interface: a dev chain has no authentication.
func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if host == "" {
		host = loopback
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: %w", text, err)
	}
	return host, int(n), nil
}

func trimScheme(url string) string {
	_, addr, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	return addr
}
