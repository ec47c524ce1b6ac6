// Package devnet is the whole bridge on one machine: a root chain, a subnet
// node, Redis and a relayer as child processes, and a tour that moves money
// every way. It promises to leave no process behind and to end with an error
// when an invariant is off by one unit.
package devnet

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Options of a devnet.
type Options struct {
	Home     home.Dir
	Program  string // path of this binary, for the children
	Redis    string // URL; "" starts a private one
	Volatile bool   // start one in memory instead of redis-server
	Settings deploy.Settings
	// Axelar is the generation of the gateways between an Ethereum and the root, from
	// where FLT then comes: deploy.GatewayLegacy or GatewayAmplifier; "" leaves
	// Ethereum out, and the root has an FLT of its own.
	Axelar string
	// Root is what the root is: RootLotus, or RootEVM for a plain chain of one
	// endpoint.
	Root string
	// Artifacts is the folder of the published Axelar contracts; "" looks for it.
	Artifacts string
	LogLevel  string
	// Plant puts an error of one unit into the bridge, to see that the
	// invariants find it; "" for an honest one.
	Plant Plant
	// Env is added to the environment of a child at each of its starts; nil
	// adds nothing. Tests arm crash points with it.
	Env func(child string) []string
	// Say is told what happens, line by line.
	Say func(format string, args ...any)
	Log *slog.Logger
}

// What the root of a devnet is.
const (
	RootLotus = "lotus" // a Filecoin: two Lotus nodes, tipsets, null rounds
	RootEVM   = "evm"
)

// On the root that speaks Lotus a block is final so many epochs below the head: the
// tour's reorganization stays above that. A tenth of the epochs are null rounds.
const (
	lotusFinality = 6
	lotusNodes    = 2
	nullRounds    = 0.1
	reorgDepth    = 5
	// lotusLead is what a new chain makes up for while the contracts are deployed.
	lotusLead = 2 * time.Minute
)

// RootChainID is the chain id of the dev root, EthereumChainID of the dev L1.
const (
	RootChainID     = 31415926
	EthereumChainID = 11155911
)

// Info says where a running devnet is; devnet.json in its home.
type Info struct {
	RootURL       string         `json:"root_url"`
	RootAlso      []string       `json:"root_also,omitempty"` // its other endpoints
	RootChainID   uint64         `json:"root_chain_id"`
	EthereumURL   string         `json:"ethereum_url,omitempty"`
	SubnetURL     string         `json:"subnet_url"`
	SubnetWS      string         `json:"subnet_ws"`
	SubnetChainID uint64         `json:"subnet_chain_id"`
	NodeMetrics   string         `json:"node_metrics_url"` // and /livez, /readyz
	API           string         `json:"api_url"`
	Admin         string         `json:"admin_url"`
	Redis         string         `json:"redis"` // "redis-server 7.0.15", "volatile" or "external"
	RedisURL      string         `json:"redis_url"`
	Config        string         `json:"config"`
	Deployment    string         `json:"deployment"`
	User          common.Address `json:"user"`
	UserKeystore  string         `json:"user_keystore"`
	UserPassword  string         `json:"user_password_file"`
	Pids          map[string]int `json:"pids"`
}

// Net is a running devnet.
type Net struct {
	Info Info
	Dep  deploy.Deployment

	opt      Options
	family   family
	keys     keys
	dropped  common.Hash // a message that the audit is not shown
	rootAddr []string
	l1Addr   []string
	signerAt [home.Signers]string // admin listeners of the approvers
	nodeHTTP string
	nodeWS   string
	nodeInfo string
	redisAt  int
	reorgs   int // of the root, in the tour
}

// keys of the people of a devnet.
type keys struct{ deployer, l1, relayer, validator, user *ecdsa.PrivateKey }

// Start brings everything up. What it started is stopped again when it fails.
func Start(ctx context.Context, o Options) (_ *Net, err error) {
	// A home that has its bridge keeps it.
	if dep, err := deploy.ReadDeployment(o.Home.Deployment()); err == nil {
		o.Axelar = ""
		if dep.Crossing != nil {
			o.Axelar = dep.Crossing.L1.Generation
		}
	}
	n := &Net{opt: o}
	defer func() {
		if err != nil {
			n.family.stop()
		}
	}()
	if err := o.Home.Make(); err != nil {
		return nil, err
	}
	if err := n.makeKeys(); err != nil {
		return nil, err
	}
	forgot, err := n.usedVolatile()
	if err != nil {
		return nil, err
	}
	if err := n.startRedis(ctx); err != nil {
		return nil, err
	}
	if err := n.StartRoot(ctx); err != nil {
		return nil, err
	}
	if o.Axelar != "" {
		if err := n.StartEthereum(ctx); err != nil {
			return nil, err
		}
	}
	if n.Dep, err = n.deploy(ctx); err != nil {
		return nil, err
	}
	if err := n.StartNode(ctx); err != nil {
		return nil, err
	}
	if err := n.configure(); err != nil {
		return nil, err
	}
	if forgot || n.Info.Redis == Volatile {
		if err := n.remember(ctx); err != nil {
			return nil, err
		}
	}
	if o.Axelar != "" {
		for i := range home.Signers {
			at := home.SignerEndpoints{L1: n.Info.EthereumURL, Root: n.Info.RootURL, RootAlso: n.Info.RootAlso, Lotus: n.lotus()}
			if err := o.Home.WriteSigner(i+1, n.Dep, n.redis(), at); err != nil {
				return nil, err
			}
			if err := n.StartSigner(ctx, i+1); err != nil {
				return nil, err
			}
		}
	}
	if err := n.StartRelayer(ctx); err != nil {
		return nil, err
	}
	return n, n.writeInfo()
}

// Stop ends every child, the relayer first.
func (n *Net) Stop() {
	n.family.stop()
	_ = os.Remove(n.opt.Home.Devnet())
}

// Failed is the child that ended by itself, if one did: not one that was told to
// by Quit or Kill.
func (n *Net) Failed() error { return n.family.failed() }

// Pid is the process that a child has now: Info.Pids are those of the start.
func (n *Net) Pid(name string) int { return n.family.get(name).cmd.Process.Pid }

// Kill is kill -9 of a child: "relayer", "node", "redis", "root", "ethereum" or
// "signer-1" to "signer-3".
func (n *Net) Kill(name string) { n.family.get(name).kill() }

// Signal sends a signal to a child that runs.
func (n *Net) Signal(name string, s os.Signal) error {
	if err := n.family.get(name).cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// Quit ends a child in good order; it may be started again.
func (n *Net) Quit(name string) { n.family.get(name).stop() }

// Ended waits until a child has ended and says how.
func (n *Net) Ended(ctx context.Context, name string) (*os.ProcessState, error) {
	p := n.family.get(name)
	select {
	case <-p.done:
		return p.cmd.ProcessState, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the end of %s: %w", name, ctx.Err())
	}
}

// User is the funded user's key.
func (n *Net) User() *ecdsa.PrivateKey { return n.keys.user }

func (n *Net) makeKeys() error {
	for name, to := range map[string]**ecdsa.PrivateKey{
		"deployer": &n.keys.deployer, "ethereum-deployer": &n.keys.l1, "relayer": &n.keys.relayer, "validator": &n.keys.validator, "user": &n.keys.user,
	} {
		key, err := n.opt.Home.Key(name, home.Light)
		if err != nil {
			return err
		}
		*to = key
	}
	return nil
}

func addr(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

type listeners struct {
	HTTP    string `json:"http"`
	WS      string `json:"ws"`
	Metrics string `json:"metrics"`
	API     string `json:"API"`
	Admin   string `json:"Admin"`
	Redis   string `json:"redis"`
	Port    int    `json:"port"` // of Redis
	// Nodes are host:port of each endpoint of a chain with several.
	Nodes []string `json:"nodes"`
}

// child starts this program with a verb and waits until it listens.
func (n *Net) child(ctx context.Context, name string, args ...string) (listeners, error) {
	var out listeners
	ready := n.opt.Home.Sub(name + ".ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return out, fmt.Errorf("remove ready file: %w", err)
	}
	args = append(args, "--home", string(n.opt.Home), "--log-level", n.opt.LogLevel, "--ready-file", ready)
	var env []string
	if n.opt.Env != nil {
		env = n.opt.Env(name)
	}
	p, err := start(n.opt.Home.Logs(), name, n.opt.Program, env, args...)
	if err != nil {
		return out, err
	}
	n.family.add(p)
	return out, await(ctx, p, ready, &out)
}

// StartRoot starts the root chain, again on the same port after a Kill.
func (n *Net) StartRoot(ctx context.Context) error {
	n.opt.Say("starting the root chain")
	var how []string
	if n.opt.Root == RootLotus {
		how = []string{"--lotus", "--null-rounds", fmt.Sprint(nullRounds), "--finality", fmt.Sprint(lotusFinality), "--lead", lotusLead.String()}
		for len(n.rootAddr) < lotusNodes {
			n.rootAddr = append(n.rootAddr, anyPort)
		}
	}
	if err := n.chain(ctx, "root", RootChainID, &n.rootAddr, how, n.keys.deployer, n.keys.relayer, n.keys.validator, n.keys.user); err != nil {
		return err
	}
	n.Info.RootURL, n.Info.RootAlso, n.Info.RootChainID = "http://"+n.rootAddr[0], nil, RootChainID
	for _, at := range n.rootAddr[1:] {
		n.Info.RootAlso = append(n.Info.RootAlso, "http://"+at)
	}
	return nil
}

// StartEthereum starts the L1, again on the same port after a Kill.
func (n *Net) StartEthereum(ctx context.Context) error {
	n.opt.Say("starting Ethereum")
	if err := n.chain(ctx, "ethereum", EthereumChainID, &n.l1Addr, nil, n.keys.l1, n.keys.relayer, n.keys.user); err != nil {
		return err
	}
	n.Info.EthereumURL = "http://" + n.l1Addr[0]
	return nil
}

const anyPort = "127.0.0.1:0"

// chain starts a dev chain whose coins some keys have; at is where it listens.
func (n *Net) chain(ctx context.Context, name string, id uint64, at *[]string, how []string, rich ...*ecdsa.PrivateKey) error {
	alloc := map[common.Address]string{}
	for _, k := range rich {
		alloc[addr(k)] = home.Ether(1_000_000).String()
	}
	raw, err := json.Marshal(alloc)
	if err != nil {
		return err
	}
	path := n.opt.Home.Sub("alloc-" + name + ".json")
	if err := home.WriteFile(path, raw); err != nil {
		return err
	}
	if len(*at) == 0 {
		*at = []string{anyPort}
	}
	args := append([]string{"devroot", "--data", n.opt.Home.Sub(name), "--alloc", path, "--http", strings.Join(*at, ","), "--chain-id", fmt.Sprint(id)}, how...)
	l, err := n.child(ctx, name, args...)
	if err != nil {
		return err
	}
	if *at = l.Nodes; len(*at) == 0 {
		*at = []string{hostPort(l.HTTP)}
	}
	return nil
}

// StartSigner starts an approver, from 1, again after a Kill.
func (n *Net) StartSigner(ctx context.Context, i int) error {
	name := home.SignerName(i)
	n.opt.Say("starting %s", name)
	at, err := n.child(ctx, name, "approver", "--config", n.opt.Home.SignerConfig(i))
	if err != nil {
		return err
	}
	n.signerAt[i-1] = at.Admin
	return nil
}

// lotus is how the root's nodes are read; nil where it has none.
func (n *Net) lotus() *relayer.Lotus {
	if n.opt.Root != RootLotus {
		return nil
	}
	return &relayer.Lotus{Depth: lotusFinality, Behind: 1}
}

func (n *Net) deploy(ctx context.Context) (deploy.Deployment, error) {
	s := n.opt.Settings
	preFund := []deploy.PreFunder{
		{Signer: deploy.KeySigner(n.keys.relayer), Amount: home.Ether(1_000)},
		{Signer: deploy.KeySigner(n.keys.user), Amount: home.Ether(1_000)},
	}
	var x *home.CrossOptions
	if n.opt.Axelar != "" {
		x = &home.CrossOptions{
			L1URL: n.Info.EthereumURL, L1Deployer: deploy.KeySigner(n.keys.l1), Generation: n.opt.Axelar, Artifacts: n.opt.Artifacts,
			Root: []home.Holding{{To: addr(n.keys.relayer), Amount: home.Ether(1_000)}, {To: addr(n.keys.user), Amount: home.Ether(1_000_000)}},
			L1:   []home.Holding{{To: addr(n.keys.user), Amount: home.Ether(1_000_000)}},
		}
	}
	return home.Deploy(ctx, n.opt.Home, home.DeployOptions{
		Crossing: x,
		RootURL:  n.Info.RootURL, RootAlso: n.Info.RootAlso, Lotus: n.lotus(), Deployer: deploy.KeySigner(n.keys.deployer), Settings: s, PreFund: preFund,
		Grants: func(set deploy.RootSet) []deploy.Grant {
			usdc := deploy.Grant{Token: set.Usdc, To: addr(n.keys.user), Amount: big.NewInt(10_000_000_000_000)}
			if x != nil {
				return []deploy.Grant{usdc} // FLT was brought from Ethereum
			}
			return []deploy.Grant{
				{Token: set.Flt, To: addr(n.keys.relayer), Amount: home.Ether(1_000)},
				{Token: set.Flt, To: addr(n.keys.user), Amount: home.Ether(1_000_000)}, usdc,
			}
		},
		Strength: home.Light, Redis: n.redis(), Log: n.opt.Log,
		Step: func(what string) { n.opt.Say("%s", what) }, Genesis: n.opt.Plant.genesis(addr(n.keys.user)),
	})
}

// noticing is the root's first endpoint as those are given it who look at it all the
// time: a Lotus node tells them of each new tipset.
func (n *Net) noticing() string {
	if rest, ok := strings.CutPrefix(n.Info.RootURL, "http://"); ok && n.opt.Root == RootLotus {
		return "ws://" + rest
	}
	return n.Info.RootURL
}

// StartNode starts the subnet's node, again on the same ports after a Kill.
func (n *Net) StartNode(ctx context.Context) error {
	n.opt.Say("starting the subnet's node")
	if n.nodeHTTP == "" {
		n.nodeHTTP, n.nodeWS, n.nodeInfo = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	}
	cfg, err := home.ReadNode(n.opt.Home.NodeConfig())
	if err != nil {
		return err
	}
	cfg.Home, cfg.P2P, cfg.Parent.URL = n.opt.Home.Node(), "127.0.0.1:0", n.noticing()
	cfg.Parent.Also, cfg.Parent.SingleSource = n.Info.RootAlso, len(n.Info.RootAlso) == 0
	cfg.Parent.Poll = relayer.Duration(300 * time.Millisecond)
	if err := home.WriteYAML(n.opt.Home.NodeConfig(), cfg); err != nil {
		return err
	}
	at, err := n.child(ctx, "node", "node", "--http", n.nodeHTTP, "--ws", n.nodeWS, "--metrics", n.nodeInfo)
	if err != nil {
		return err
	}
	n.nodeHTTP, n.nodeWS, n.nodeInfo = hostPort(at.HTTP), hostPort(at.WS), at.Metrics
	n.Info.SubnetURL, n.Info.SubnetWS = "http://"+n.nodeHTTP, "ws://"+n.nodeWS
	n.Info.NodeMetrics = "http://" + n.nodeInfo + "/metrics"
	return nil
}

// configure writes where everything turned out to listen.
func (n *Net) configure() error {
	cfg, err := relayer.Read(n.opt.Home.Config())
	if err != nil {
		return err
	}
	cfg.Redis = n.redis()
	cfg.Root.URL, cfg.Subnets[0].URL = n.noticing(), n.Info.SubnetURL
	cfg.Root.Also = append([]string{}, n.Info.RootAlso...)
	cfg.API = relayer.API{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	cfg.Work.Lease = relayer.Duration(10 * time.Second) // a killed relayer holds its lanes that long
	cfg.Root.Tick, cfg.Subnets[0].Tick = relayer.Duration(250*time.Millisecond), relayer.Duration(250*time.Millisecond)
	if cfg.Ethereum != nil {
		cfg.Ethereum.URL, cfg.Ethereum.Tick = n.Info.EthereumURL, relayer.Duration(250*time.Millisecond)
	}
	return home.WriteYAML(n.opt.Home.Config(), cfg)
}

// StartRelayer starts the relayer, again after a Kill.
func (n *Net) StartRelayer(ctx context.Context) error {
	n.opt.Say("starting the relayer")
	at, err := n.child(ctx, "relayer", "run")
	if err != nil {
		return err
	}
	if n.Info.API == "" {
		// From now on the same ports, so that whoever knows them may go on.
		cfg, err := relayer.Read(n.opt.Home.Config())
		if err != nil {
			return err
		}
		cfg.API = relayer.API{Listen: at.API, Admin: at.Admin}
		if err := home.WriteYAML(n.opt.Home.Config(), cfg); err != nil {
			return err
		}
	}
	n.Info.API, n.Info.Admin = "http://"+at.API, "http://"+at.Admin
	return nil
}

func (n *Net) writeInfo() error {
	a := n.opt.Home.Account("user")
	n.Info.SubnetChainID = uint64(n.Dep.Subnet.ChainID)
	n.Info.Config, n.Info.Deployment = n.opt.Home.Config(), n.opt.Home.Deployment()
	n.Info.User, n.Info.UserKeystore, n.Info.UserPassword = addr(n.keys.user), a.Keystore, a.PasswordFile
	n.Info.Pids = n.family.pids()
	n.Info.Pids["devnet"] = os.Getpid()
	raw, err := json.MarshalIndent(n.Info, "", "  ")
	if err != nil {
		return err
	}
	return home.WriteFile(n.opt.Home.Devnet(), append(raw, '\n'))
}

// ErrEnded says that a devnet left its file behind: it was killed.
var ErrEnded = errors.New("the devnet has ended")

// ReadInfo reads devnet.json of a running devnet: fs.ErrNotExist where there is
// none, ErrEnded where it no longer runs.
func ReadInfo(d home.Dir) (Info, error) {
	var i Info
	raw, err := os.ReadFile(d.Devnet())
	if err != nil {
		return i, fmt.Errorf("read %s: %w", filepath.Base(d.Devnet()), err)
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		return i, fmt.Errorf("read %s: %w", filepath.Base(d.Devnet()), err)
	}
	if pid := i.Pids["devnet"]; !alive(pid) {
		return i, ended{d, pid}
	}
	return i, nil
}

type ended struct {
	dir home.Dir
	pid int
}

func (e ended) Error() string {
	return fmt.Sprintf("the devnet of %s has ended: start it again with `causeway devnet --home %s` (its process %d is gone)", e.dir, e.dir, e.pid)
}

func (e ended) Unwrap() error { return ErrEnded }

// alive says whether there is such a process, whoever owns it.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// hostPort strips a scheme.
func hostPort(s string) string {
	for _, scheme := range []string{"http://", "ws://"} {
		if len(s) > len(scheme) && s[:len(scheme)] == scheme {
			return s[len(scheme):]
		}
	}
	return s
}
