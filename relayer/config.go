package relayer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"go.yaml.in/yaml/v3"
)

// ErrConfig says that the configuration, or a file it names, must be changed.
var ErrConfig = errors.New("configuration")

// Config is everything one instance of the relayer is told. Paths are relative
// to the file it was read from. Secrets are never in it: only paths of files.
type Config struct {
	// Instance names this process in leases and logs; empty: host and pid.
	Instance string `yaml:"instance"`
	// State is a folder for what must survive on local disk: the last seen Redis
	// epoch and the journal of signed transactions.
	State string `yaml:"state"`

	Redis   Redis    `yaml:"redis"`
	Root    Chain    `yaml:"root"`
	Subnets []Subnet `yaml:"subnets"`
	// Ethereum is needed where a deployment says how FLT crosses from there.
	Ethereum *Ethereum `yaml:"ethereum,omitempty"`
	Axelar   Axelar    `yaml:"axelar"`
	API      API       `yaml:"api"`
	Alerts   Alerts    `yaml:"alerts"`
	Work     Work      `yaml:"work"`

	// SingleSource admits that some chains are read through one endpoint.
	SingleSource bool `yaml:"single_source"`

	// DialLotus reaches an endpoint of a chain with a lotus block; whoever reads the
	// configuration gives it, since this package knows no Lotus.
	DialLotus Dialer `yaml:"-"`
}

// Redis says where the journal lives.
type Redis struct {
	URL       string `yaml:"url"`
	URLFile   string `yaml:"url_file"` // a file with the URL, when it carries a password
	Namespace string `yaml:"namespace"`
	// AllowVolatile lets the relayer start on a Redis that may forget.
	AllowVolatile bool `yaml:"allow_volatile"`
}

// Chain is its endpoints and the accounts that write to it.
type Chain struct {
	URL        string    `yaml:"url"`
	URLFile    string    `yaml:"url_file"`
	Also       []string  `yaml:"also"`  // further endpoints: URLs, or files with one each
	Agree      int       `yaml:"agree"` // endpoints that must agree; 0: two where there are as many
	Lotus      *Lotus    `yaml:"lotus,omitempty"`
	ChainID    chains.ID `yaml:"chain_id"`
	Finality   string    `yaml:"finality,omitempty"` // "finalized" or "depth:N"; empty beside a lotus block, which says it
	StartBlock uint64    `yaml:"start_block"`
	MaxRange   uint64    `yaml:"max_range"` // blocks per log query
	Tick       Duration  `yaml:"tick"`      // time between two looks at the head and at undecided transactions
	Accounts   []Account `yaml:"accounts"`
	Fees       Fees      `yaml:"fees"`
	// MaxBytes and MaxCount bound one batch of messages written to this chain.
	MaxBytes int `yaml:"max_bytes"`
	MaxCount int `yaml:"max_count"`
}

// Account is a keystore file and the file with its password.
type Account struct {
	Keystore     string `yaml:"keystore"`
	PasswordFile string `yaml:"password_file"`
}

// Fees are the ceilings of what a transaction may pay.
type Fees struct {
	MaxFeeWei  Wei      `yaml:"max_fee_wei"` // per gas
	MaxTipWei  Wei      `yaml:"max_tip_wei"` // per gas
	BumpAfter  Duration `yaml:"bump_after"`
	LowGasWei  Wei      `yaml:"low_gas_wei"` // alert below this balance
	MaxPending int      `yaml:"max_pending"` // undecided transactions per account, at most evm.MaxInFlight
}

// Subnet is one subnet: its endpoint, and its contracts as deployed.
type Subnet struct {
	Name       string `yaml:"name"`
	Deployment string `yaml:"deployment"` // the deployment.json that `causeway deploy` wrote
	Chain      `yaml:",inline"`
}

// Ethereum is the L1: its endpoint, and others that are asked for headers only.
type Ethereum struct {
	Chain     `yaml:",inline"`
	Witnesses []string `yaml:"witnesses"`
}

// Axelar says who approves what crosses between Ethereum and the root.
type Axelar struct {
	// Approvals is quorum for the signers of this bridge's own gateways, network for
	// Axelar itself.
	Approvals string `yaml:"approvals"`
	MaxBatch  int    `yaml:"max_batch"` // messages approved at once
	// Foreign carries also what others send of the token through the token service.
	Foreign bool `yaml:"foreign"`
	// SignerSets are those that followed the ones in the deployment, or will.
	SignerSets []SignerSet `yaml:"signer_sets"`
	Network    Network     `yaml:"network"`
}

// ApprovalsQuorum is the local quorum of approvers.
const ApprovalsQuorum = "quorum"

// DefaultEthereum is Ethereum with the fee policy of its package.
func DefaultEthereum() Ethereum {
	c, tx := DefaultChain(), ethereum.Tx()
	c.Fees.MaxFeeWei, c.Fees.MaxTipWei, c.Fees.BumpAfter = Wei{tx.MaxFeeCapWei}, Wei{tx.MaxTipWei}, Duration(tx.BumpAfter)
	c.Tick = Duration(4 * time.Second)
	return Ethereum{Chain: c}
}

// API says where to listen. The admin listener has metrics and health and must
// not be reachable from outside.
type API struct {
	Listen string `yaml:"listen"`
	Admin  string `yaml:"admin"`
}

// Alerts says who is told.
type Alerts struct {
	WebhookFile string   `yaml:"webhook_file"` // a file with the URL
	Repeat      Duration `yaml:"repeat"`
}

// Work sizes the pool.
type Work struct {
	Workers int      `yaml:"workers"`
	Batch   int      `yaml:"batch"` // transfers per look; four times as many of a strict lane
	Idle    Duration `yaml:"idle"`
	Lease   Duration `yaml:"lease"`
}

// Default is the configuration of an ordinary instance, without chains.
func Default() Config {
	return Config{
		State: "state",
		Redis: Redis{URL: "redis://127.0.0.1:6379/0", Namespace: "causeway"},
		Root:  DefaultChain(),
		Axelar: Axelar{
			Approvals: ApprovalsQuorum, MaxBatch: 20, SignerSets: []SignerSet{},
			Network: Network{Patience: Duration(2 * time.Hour), Chains: []NetworkChain{}},
		},
		API: API{Listen: "127.0.0.1:8480", Admin: "127.0.0.1:8481"},
		Alerts: Alerts{
			Repeat: Duration(time.Hour),
		},
		Work: Work{Workers: 4, Batch: 512, Idle: Duration(200 * time.Millisecond), Lease: Duration(30 * time.Second)},
	}
}

// DefaultChain is an ordinary EVM chain of one-second blocks.
func DefaultChain() Chain {
	return Chain{
		Also: []string{}, Finality: "finalized", MaxRange: 2000, Tick: Duration(500 * time.Millisecond),
		Fees: Fees{
			MaxFeeWei: weiOf(1_000_000_000_000), MaxTipWei: weiOf(100_000_000_000),
			BumpAfter: Duration(15 * time.Second), LowGasWei: weiOf(1_000_000_000_000_000_000), MaxPending: 64,
		},
		MaxBytes: 100 << 10, MaxCount: 100,
	}
}

// UnmarshalYAML starts a subnet from DefaultChain.
func (s *Subnet) UnmarshalYAML(n *yaml.Node) error {
	type plain Subnet
	p := plain{Chain: DefaultChain()}
	if err := strictly(n, &p); err != nil {
		return err
	}
	*s = Subnet(p)
	return nil
}

// UnmarshalYAML starts from DefaultEthereum.
func (e *Ethereum) UnmarshalYAML(n *yaml.Node) error {
	type plain Ethereum
	p := plain(DefaultEthereum())
	if err := strictly(n, &p); err != nil {
		return err
	}
	*e = Ethereum(p)
	return nil
}

// strictly decodes a node whose unknown keys are errors: Node.Decode forgets that
// the decoder was strict, so the node is read again.
func strictly(n *yaml.Node, into any) error {
	raw, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	return dec.Decode(into)
}

// maxConfig bounds the file.
const maxConfig = 1 << 20

// Read reads a YAML file over Default. An unknown key is an error; paths become
// absolute, from the file's folder.
func Read(path string) (Config, error) {
	cfg := Default()
	cfg.Root.Finality = "" // whether it is written is seen afterwards
	dir, err := readStrict(path, &cfg)
	if err != nil {
		return Config{}, err
	}
	if cfg.Root.Finality == "" && cfg.Root.Lotus == nil {
		cfg.Root.Finality = DefaultChain().Finality
	}
	cfg.Redis.yield()
	cfg.resolve(dir)
	return cfg, nil
}

// readStrict decodes a file of one YAML document into a configuration with its
// defaults, and returns the folder that its paths are relative to.
func readStrict(path string, into any) (dir string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxConfig {
		return "", fmt.Errorf("read configuration: %s is larger than %d bytes", path, maxConfig)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	err = dec.Decode(into)
	switch {
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("read configuration %s: the file is empty", filepath.Base(path))
	case err != nil:
		return "", fmt.Errorf("read configuration %s: %w", filepath.Base(path), err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read configuration %s: one document per file; there is more behind ---", filepath.Base(path))
	}
	if dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	return dir, nil
}

// absolute makes a path that is not empty absolute, from a folder.
func absolute(dir string) func(*string) {
	return func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

func (c *Config) resolve(dir string) {
	abs := absolute(dir)
	abs(&c.State)
	abs(&c.Redis.URLFile)
	abs(&c.Alerts.WebhookFile)
	c.Root.resolve(abs)
	if c.Ethereum != nil {
		c.Ethereum.Chain.resolve(abs)
	}
	for i := range c.Axelar.Network.Chains {
		c.Axelar.Network.Chains[i].resolve(abs)
	}
	for i := range c.Subnets {
		abs(&c.Subnets[i].Deployment)
		c.Subnets[i].Chain.resolve(abs)
	}
}

func (c *Chain) resolve(abs func(*string)) {
	abs(&c.URLFile)
	for i, also := range c.Also {
		if !isEndpoint(also) {
			abs(&c.Also[i])
		}
	}
	for i := range c.Accounts {
		abs(&c.Accounts[i].Keystore)
		abs(&c.Accounts[i].PasswordFile)
	}
}

var (
	// plainName is part of file names, lanes and Redis keys.
	plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	finality  = regexp.MustCompile(`^(finalized|depth:[0-9]{1,9})$`)
)

// Endpoint is the URL of the chain, from its file where it has one.
func (c Chain) Endpoint() (string, error) { return secretOf(c.URL, c.URLFile) }

// Check lists everything that is wrong, not only the first thing.
func (c Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.State == "" {
		bad("state: give a folder for what must survive on local disk")
	}
	if err := c.Redis.Check(); err != nil {
		errs = append(errs, err)
	}
	c.Root.check("root", bad)
	if len(c.Subnets) == 0 {
		bad("subnets: at least one is needed")
	}
	if c.Ethereum != nil {
		c.Ethereum.check(bad)
	}
	c.Axelar.check(bad)
	names := map[string]bool{flow.Root: true, flow.Ethereum: true}
	for i, s := range c.Subnets {
		at := fmt.Sprintf("subnets[%d]", i)
		if names[s.Name] || !plainName.MatchString(s.Name) {
			bad("%s.name: a unique name other than root and ethereum, of letters, digits, '.', '_' or '-'", at)
		}
		names[s.Name] = true
		if s.Deployment == "" {
			bad("%s.deployment: the deployment.json that `causeway deploy` wrote", at)
		}
		s.Chain.check(at, bad)
		if s.Lotus != nil {
			bad("%s.lotus: only the root has Lotus nodes", at)
		}
	}
	for _, l := range []struct{ name, addr string }{{"api.listen", c.API.Listen}, {"api.admin", c.API.Admin}} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			bad("%s: host:port, port 0 for any free one", l.name)
		}
	}
	if c.Alerts.Repeat <= 0 {
		bad("alerts.repeat: a positive duration")
	}
	if c.Work.Workers < 1 || c.Work.Workers > 256 || c.Work.Batch < 1 || c.Work.Batch > 1024 || c.Work.Idle <= 0 || Duration(time.Second) > c.Work.Lease {
		bad("work: 1–256 workers, batch 1–1024, a positive idle and a lease of at least 1s")
	}
	if single := c.Single(); len(single) > 0 && !c.SingleSource {
		bad("single_source: %s: one endpoint alone is believed; name others under also, or say true (or --single-source) to accept that", strings.Join(single, ", "))
	}
	return errors.Join(errs...)
}

// yield lets the default URL give way to a file.
func (r *Redis) yield() {
	if r.URLFile != "" && r.URL == Default().Redis.URL {
		r.URL = ""
	}
}

// Check lists everything that is wrong with it.
func (r Redis) Check() error {
	var errs []error
	if (r.URL == "") == (r.URLFile == "") {
		errs = append(errs, errors.New("redis: give either url or url_file"))
	}
	if r.URL != "" && !store.IsURL(r.URL) {
		errs = append(errs, errors.New("redis.url: redis://host:port/db, rediss://host:port/db or unix://path"))
	}
	if !plainName.MatchString(r.Namespace) {
		errs = append(errs, errors.New("redis.namespace: 1 to 64 letters, digits, '.', '_' or '-'"))
	}
	return errors.Join(errs...)
}

func (e Ethereum) check(bad func(string, ...any)) {
	e.Chain.check("ethereum", bad)
	if e.Lotus != nil {
		bad("ethereum.lotus: only the root has Lotus nodes")
	}
	for i, w := range e.Witnesses {
		if !isEndpoint(w) {
			bad("ethereum.witnesses[%d]: an http, https, ws or wss URL", i)
		}
	}
}

func (a Axelar) check(bad func(string, ...any)) {
	switch a.Approvals {
	case ApprovalsQuorum:
		if len(a.Network.Chains) > 0 {
			bad("axelar.network.chains: they are for approvals: network")
		}
	case ApprovalsNetwork:
		a.checkNetwork(bad)
	default:
		bad("axelar.approvals: quorum or network")
	}
	for i, s := range a.SignerSets {
		s.check(fmt.Sprintf("axelar.signer_sets[%d]", i), bad)
	}
	if a.MaxBatch < 1 || a.MaxBatch > 100 {
		bad("axelar.max_batch: 1–100 messages")
	}
}

func (c Chain) check(at string, bad func(string, ...any)) {
	if (c.URL == "") == (c.URLFile == "") {
		bad("%s: give either url or url_file", at)
	}
	if c.URL != "" && !isEndpoint(c.URL) {
		bad("%s.url: an http, https, ws or wss URL", at)
	}
	c.checkSources(at, bad)
	if c.ChainID == 0 {
		bad("%s.chain_id: the chain's id, to refuse an endpoint of another chain", at)
	}
	if len(c.Accounts) == 0 {
		bad("%s.accounts: at least one keystore, to pay for transactions", at)
	}
	for i, a := range c.Accounts {
		if a.Keystore == "" || a.PasswordFile == "" {
			bad("%s.accounts[%d]: keystore and password_file", at, i)
		}
	}
	if c.Tick <= 0 || c.MaxRange == 0 || c.MaxBytes < 8<<10 || c.MaxBytes > 1<<20 || c.MaxCount < 1 || c.MaxCount > 1000 {
		bad("%s: tick and max_range positive, max_bytes 8 KiB–1 MiB, max_count 1–1000", at)
	}
	if c.Fees.MaxFeeWei.Sign() <= 0 || c.Fees.MaxTipWei.Sign() < 0 || c.Fees.BumpAfter <= 0 || c.Fees.MaxPending < 1 || c.Fees.MaxPending > evm.MaxInFlight {
		bad("%s.fees: max_fee_wei, bump_after and max_pending (1–%d) must be positive", at, evm.MaxInFlight)
	}
}

// isEndpoint says whether a URL can be that of a chain's endpoint.
func isEndpoint(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && strings.Contains(" http https ws wss ", " "+u.Scheme+" ")
}

// secretOf is the value, or the trimmed content of the file.
func secretOf(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// Duration is a time.Duration written as in Go ("1m30s").
type Duration time.Duration

// UnmarshalYAML reads the text form.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration such as 500ms or 1m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes the text form.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// Wei is a whole number of wei.
type Wei struct{ *big.Int }

func weiOf(n int64) Wei { return Wei{big.NewInt(n)} }

// UnmarshalYAML reads a decimal number.
func (w *Wei) UnmarshalYAML(n *yaml.Node) error {
	v, ok := new(big.Int).SetString(strings.ReplaceAll(n.Value, "_", ""), 10)
	if !ok || v.Sign() < 0 || v.BitLen() > 256 {
		return fmt.Errorf("line %d: %q is no number of wei", n.Line, n.Value)
	}
	w.Int = v
	return nil
}

// MarshalYAML writes a decimal number.
func (w Wei) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: w.String()}, nil
}

// Sign is 0 for the zero Wei.
func (w Wei) Sign() int {
	if w.Int == nil {
		return 0
	}
	return w.Int.Sign()
}
