package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cmtcfg "github.com/cometbft/cometbft/config"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	cmtstore "github.com/cometbft/cometbft/store"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/common"
)

// ErrConsensus says that consensus stopped and the process must be restarted.
var ErrConsensus = errors.New("consensus has stopped")

// Node is a running subnet node.
type Node struct {
	cfg     Config
	app     *app
	evm     *evm
	server  *server
	store   *store
	signer  *FileSigner // nil where another process signs
	comet   *cmtnode.Node
	log     *slog.Logger
	cancel  context.CancelFunc
	watched sync.WaitGroup
	failed  chan error

	stopOnce sync.Once
	stopErr  error
	stopped  chan struct{}
}

// Addrs are the addresses a node answers on, as URLs where they are.
type Addrs struct {
	HTTP     string // http://host:port, "" = off
	WS       string // ws://host:port, "" = off
	P2P      string // id@host:port, as configured
	EVMP2P   string // enode URL, "" = off
	CometRPC string // host:port, as configured
}

// Start opens the home, brings its parts to one height, replays what CometBFT
// has beyond it, and joins consensus. ctx bounds the start only. It fails with
// ErrRolledBack when the signing state is older than the chain.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("check node config: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g, err := LoadGenesis(cfg.Home)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{cfg: cfg, log: cfg.Log, cancel: cancel, failed: make(chan error, 1), stopped: make(chan struct{})}
	if err := n.open(ctx, life, g, m); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

func (n *Node) open(ctx, life context.Context, g Genesis, m *metrics) error {
	var err error
	if n.evm, err = openEVM(n.cfg, g); err != nil {
		return err
	}
	if n.store, err = openStore(filepath.Join(n.cfg.Home, stateDir)); err != nil {
		return err
	}
	signer := n.cfg.Signer
	if signer == nil {
		if n.signer, err = OpenFileSigner(n.cfg.Home); err != nil {
			return err
		}
		signer = n.signer
	}
	if err := checkSignState(n.store, signer); err != nil {
		return err
	}
	sets, err := newSetCache(n.store, g)
	if err != nil {
		return err
	}
	cc := n.cometConfig()
	blocks, err := openCometDB(&cmtcfg.DBContext{ID: "blockstore", Config: cc})
	if err != nil {
		return fmt.Errorf("open block store: %w", err)
	}
	r := newRules(g, newPredeploys(n.evm, g), sets, n.log)
	state, err := align(n.evm, n.store, r, uint64(cmtstore.NewBlockStore(blocks).Height()), n.log)
	if err != nil {
		return errors.Join(fmt.Errorf("recover: %w", err), blocks.Close())
	}
	cache, err := openParentCache(n.store)
	if err != nil {
		return errors.Join(err, blocks.Close())
	}
	n.app = &app{
		ctx: life, g: g, interval: n.cfg.BlockInterval, evm: n.evm, store: n.store, rules: r, cache: cache,
		signer: signer, log: n.log, m: m, state: state, failed: n.failed,
	}
	if n.server, err = newServer(n.evm, &api{app: n.app, catchingUp: n.catchingUp}); err != nil {
		return errors.Join(err, blocks.Close())
	}

	// Consensus: replay happens inside NewNode.
	if err := n.openComet(ctx, g, cc, blocks); err != nil {
		return err
	}
	if err := n.evm.start(); err != nil {
		return err
	}
	w := newWatcher(g, n.cfg.Parent, cache, parentView{n.app}, n.log, m)
	n.watched.Add(1)
	go func() {
		defer n.watched.Done()
		w.run(life, n.cfg.ParentPoll)
	}()
	if err := n.comet.Start(); err != nil {
		return fmt.Errorf("start consensus: %w", err)
	}
	return n.server.start(n.cfg, n.failed)
}

// parentView is what the watcher sees of the app.
type parentView struct{ a *app }

func (v parentView) committed() (holding, error) { return v.a.committedParent() }
func (v parentView) wanted() []uint64            { return v.a.wantedParents() }

func (n *Node) cometConfig() *cmtcfg.Config {
	cc := cmtcfg.DefaultConfig()
	cc.SetRoot(filepath.Join(n.cfg.Home, cometDir))
	cc.Moniker = "causeway"
	cc.Mempool.Type = cmtcfg.MempoolTypeNop
	cc.TxIndex.Indexer = "null"
	cc.P2P.ListenAddress = "tcp://" + n.cfg.P2PAddr
	cc.P2P.AddrBookStrict, cc.P2P.AllowDuplicateIP, cc.P2P.PexReactor = false, true, false
	cc.P2P.PersistentPeers = strings.Join(n.cfg.Peers, ",")
	cc.P2P.SendRate, cc.P2P.RecvRate = 50<<20, 50<<20
	cc.P2P.FlushThrottleTimeout = 10 * time.Millisecond
	cc.RPC.ListenAddress = ""
	if n.cfg.CometRPCAddr != "" {
		cc.RPC.ListenAddress = "tcp://" + n.cfg.CometRPCAddr
	}
	// The pace is kept by the proposer, so a commit is followed at once.
	cc.Consensus.TimeoutCommit, cc.Consensus.SkipTimeoutCommit = 0, true
	cc.Consensus.TimeoutPropose = n.cfg.BlockInterval + time.Second
	cc.Consensus.TimeoutPrevote, cc.Consensus.TimeoutPrecommit = 500*time.Millisecond, 500*time.Millisecond
	cc.Consensus.PeerGossipSleepDuration = 20 * time.Millisecond
	return cc
}

// openComet makes the consensus node; blocks is its block store's database.
func (n *Node) openComet(ctx context.Context, g Genesis, cc *cmtcfg.Config, blocks dbm.DB) (err error) {
	doc, err := g.cometGenesis()
	if err != nil {
		return errors.Join(err, blocks.Close())
	}
	pv, err := n.votes(cc)
	if err != nil {
		return errors.Join(err, blocks.Close())
	}
	nodeKey, err := p2p.LoadNodeKey(nodeKeyFile(n.cfg.Home))
	if err != nil {
		return errors.Join(fmt.Errorf("load node key: %w", err), blocks.Close())
	}
	provider := func(c *cmtcfg.DBContext) (dbm.DB, error) {
		if c.ID == "blockstore" {
			return blocks, nil
		}
		return openCometDB(c)
	}
	// CometBFT panics where it meets a state it cannot replay.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("replay consensus: %v", r)
		}
	}()
	n.comet, err = cmtnode.NewNodeWithContext(ctx, cc, pv, nodeKey, proxy.NewConnSyncLocalClientCreator(n.app),
		func() (*cmttypes.GenesisDoc, error) { return doc, nil }, provider,
		cmtnode.DefaultMetricsProvider(cc.Instrumentation), &cometLog{log: n.log, failed: n.failed})
	if err != nil {
		return fmt.Errorf("open consensus: %w", err)
	}
	return nil
}

// votes is what signs CometBFT's own votes. Where another process does, that is
// nil here: CometBFT opens the socket itself and waits some seconds for it.
func (n *Node) votes(cc *cmtcfg.Config) (cmttypes.PrivValidator, error) {
	if n.cfg.ConsensusSigner == "" {
		return loadPrivValidator(n.cfg.Home)
	}
	at, err := socketPath(n.cfg.ConsensusSigner)
	if err != nil {
		return nil, err
	}
	cc.PrivValidatorListenAddr = "unix://" + at
	return nil, removeSocket(at)
}

// loadPrivValidator reads key and last-signed state. CometBFT's own loader ends
// the process where a file is missing, so that is looked at first.
func loadPrivValidator(home string) (*privval.FilePV, error) {
	for _, f := range []string{keyFile(home), stateFile(home)} {
		if info, err := os.Stat(f); err != nil || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("look for %s: %w", filepath.Base(f), errors.Join(err, fs.ErrInvalid))
		}
	}
	return privval.LoadFilePV(keyFile(home), stateFile(home)), nil
}

func (n *Node) catchingUp() bool {
	return n.comet == nil || !n.comet.IsRunning() || n.comet.ConsensusReactor().WaitSync()
}

// Ready is nil while the node takes part in consensus and its parent is the one
// the subnet has committed; else what is not well. It can turn at any time.
func (n *Node) Ready() error {
	var errs []error
	if n.catchingUp() {
		errs = append(errs, errors.New("catching up with the subnet"))
	}
	if err := n.app.cache.standing(); err != nil {
		errs = append(errs, fmt.Errorf("parent: %w", err))
	}
	if err := n.app.signing(); err != nil {
		errs = append(errs, fmt.Errorf("signer: %w", err))
	}
	return errors.Join(errs...)
}

// Run waits until ctx ends or consensus fails, and stops the node. It returns
// nil after ctx ended, else an error that wraps ErrConsensus.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return n.Stop()
	case err := <-n.failed:
		return errors.Join(fmt.Errorf("%w: %w", ErrConsensus, err), n.Stop())
	case <-n.stopped:
		return n.stopErr
	}
}

// Stop ends RPC first, then consensus, the watcher, geth, and the files. It
// may be called more than once.
func (n *Node) Stop() error {
	n.stopOnce.Do(func() {
		defer close(n.stopped)
		n.cancel()
		var errs []error
		if n.server != nil {
			errs = append(errs, n.server.stop())
		}
		if n.comet != nil && n.comet.IsRunning() {
			if err := n.comet.Stop(); err != nil {
				errs = append(errs, fmt.Errorf("stop consensus: %w", err))
			}
			n.comet.Wait()
		}
		n.watched.Wait()
		if n.evm != nil {
			errs = append(errs, n.evm.close())
		}
		if n.signer != nil {
			errs = append(errs, n.signer.Close())
		}
		if n.store != nil {
			errs = append(errs, n.store.close())
		}
		n.stopErr = errors.Join(errs...)
	})
	return n.stopErr
}

// Addrs reports the addresses in use.
func (n *Node) Addrs() Addrs {
	a := Addrs{CometRPC: n.cfg.CometRPCAddr}
	a.HTTP, a.WS = n.server.http, n.server.ws
	if n.cfg.EVMP2PAddr != "" {
		a.EVMP2P = n.evm.stack.Server().Self().URLv4()
	}
	a.P2P = string(n.comet.NodeInfo().ID()) + "@" + n.cfg.P2PAddr
	return a
}

// Validator is this node's validator address.
func (n *Node) Validator() common.Address { return n.app.signer.Address() }

// Height is the height of the last Commit that returned.
func (n *Node) Height() uint64 { return n.app.current().Height }

// cometLog passes CometBFT's errors on and drops the rest. Its consensus
// routine dies by a panic that it only logs; that line is the signal.
type cometLog struct {
	log    *slog.Logger
	failed chan error
}

func (l *cometLog) Debug(string, ...any) {}
func (l *cometLog) Info(string, ...any)  {}

func (l *cometLog) Error(msg string, kv ...any) {
	l.log.Debug("comet: "+msg, kv...)
	if strings.Contains(msg, "CONSENSUS FAILURE") {
		select {
		case l.failed <- fmt.Errorf("comet: %s %v", msg, firstValue(kv)):
		default:
		}
	}
}

func (l *cometLog) With(...any) cmtlog.Logger { return l }

func firstValue(kv []any) any {
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == "err" {
			return kv[i+1]
		}
	}
	return ""
}
