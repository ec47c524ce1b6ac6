package relayer

import (
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// ApproverConfig is everything one signer of the local quorum is told. Paths are
// relative to the file it was read from. Its endpoints, its folder and its key
// should be its own: that no two signers share them is what a quorum is worth.
type ApproverConfig struct {
	// State is a folder for the ledger of what was seen and signed. A signer that
	// lost it must not go on with another one: rotate to a set without it.
	State  string  `yaml:"state"`
	Redis  Redis   `yaml:"redis"`
	Admin  string  `yaml:"admin"` // listener of metrics and health, not to be reached from outside
	Alerts Alerts  `yaml:"alerts"`
	Signer Account `yaml:"signer"`
	// Tick is the time between two looks at what is up for signatures.
	Tick Duration `yaml:"tick"`

	Chains []ApproverChain `yaml:"chains"`
	// Hub is the address of the hub of ITS on Axelar, as the token services know it.
	Hub string `yaml:"hub"`
	// Trusted and Frozen chains, by their names at Axelar: nothing from or to a
	// chain that is not trusted, or is frozen, is signed. No trusted ones: all.
	Trusted []string         `yaml:"trusted"`
	Frozen  []string         `yaml:"frozen"`
	Tokens  []ApproverToken  `yaml:"tokens"`
	Direct  []ApproverDirect `yaml:"direct"`
	// SignerSets are those in force now or not long ago. NextSet is the only one
	// that this signer helps to install.
	SignerSets []SignerSet `yaml:"signer_sets"`
	NextSet    *SignerSet  `yaml:"next_set"`

	// SingleSource admits that of some chains one endpoint alone is believed.
	SingleSource bool `yaml:"single_source"`

	// DialLotus reaches an endpoint of a chain with a lotus block; whoever reads the
	// configuration gives it, since this package knows no Lotus.
	DialLotus Dialer `yaml:"-"`
}

// ApproverChain is a chain with a gateway.
type ApproverChain struct {
	Name    string   `yaml:"name"` // at Axelar; case counts
	URL     string   `yaml:"url"`
	URLFile string   `yaml:"url_file"`
	Also    []string `yaml:"also"`  // further endpoints: URLs, or files with one each
	Agree   int      `yaml:"agree"` // endpoints that must agree; 0: two where there are as many
	Lotus   *Lotus   `yaml:"lotus,omitempty"`
	// Witnesses are asked for headers only, and for what the contracts say of
	// themselves: with ProofsHeaders alone.
	Witnesses    []string `yaml:"witnesses"`
	WitnessFiles []string `yaml:"witness_files"` // files with one URL each

	// Proofs is what an event is believed on besides: ProofsHeaders, or nothing,
	// ProofsEndpoints, for chains whose headers commit to nothing that can be
	// computed anew, as Filecoin's do not.
	Proofs string `yaml:"proofs"`

	ChainID    chains.ID `yaml:"chain_id"`
	Finality   string    `yaml:"finality"`    // with a lotus block that says it, and this is empty
	StartBlock uint64    `yaml:"start_block"` // at or below the gateway's first
	MaxRange   uint64    `yaml:"max_range"`
	Tick       Duration  `yaml:"tick"`

	Gateway      common.Address `yaml:"gateway"`
	TokenService common.Address `yaml:"token_service"` // zero: only direct calls
}

// ApproverToken is a token of ITS that may travel.
type ApproverToken struct {
	ID       common.Hash `yaml:"id"`
	Home     string      `yaml:"home"` // the chain where it is locked
	Decimals uint8       `yaml:"decimals"`
}

// ApproverDirect lets a contract of one chain call a contract of another without
// the hub.
type ApproverDirect struct {
	From     string         `yaml:"from"`
	Sender   common.Address `yaml:"sender"`
	To       string         `yaml:"to"`
	Contract common.Address `yaml:"contract"`
}

// SignerSet is a weighted signer set, in any order. Legacy gateways have no nonces:
// for them it is left out.
type SignerSet struct {
	Signers   []SetMember `yaml:"signers"`
	Threshold uint64      `yaml:"threshold"`
	Nonce     common.Hash `yaml:"nonce"`
}

// SetMember is one signer of a set.
type SetMember struct {
	Address common.Address `yaml:"address"`
	Weight  uint64         `yaml:"weight"`
}

// Set is the set as gateways want it: ascending by address.
func (s SignerSet) Set() axelar.WeightedSigners {
	out := axelar.WeightedSigners{Threshold: new(big.Int).SetUint64(s.Threshold), Nonce: s.Nonce}
	for _, m := range s.Signers {
		out.Signers = append(out.Signers, axelar.WeightedSigner{Signer: m.Address, Weight: new(big.Int).SetUint64(m.Weight)})
	}
	slices.SortFunc(out.Signers, func(a, b axelar.WeightedSigner) int { return a.Signer.Cmp(b.Signer) })
	return out
}

// DefaultApprover is the configuration of an ordinary signer, without chains.
func DefaultApprover() ApproverConfig {
	return ApproverConfig{
		State: "approver", Redis: Default().Redis, Admin: "127.0.0.1:8483", Alerts: Default().Alerts,
		Tick: Duration(500 * time.Millisecond),
	}
}

// What an event is believed on, besides that as many endpoints as must agree tell it
// alike: that its block's header commits to it, or nothing.
const (
	ProofsHeaders   = "headers"
	ProofsEndpoints = "endpoints"
)

const (
	approverFinality = "finalized"
	approverTick     = Duration(2 * time.Second)
)

// ReadApprover reads a YAML file over DefaultApprover. An unknown key is an error.
func ReadApprover(path string) (ApproverConfig, error) {
	cfg := DefaultApprover()
	dir, err := readStrict(path, &cfg)
	if err != nil {
		return ApproverConfig{}, err
	}
	cfg.Redis.yield()
	abs := absolute(dir)
	for _, p := range []*string{&cfg.State, &cfg.Redis.URLFile, &cfg.Alerts.WebhookFile, &cfg.Signer.Keystore, &cfg.Signer.PasswordFile} {
		abs(p)
	}
	for i := range cfg.Chains {
		c := &cfg.Chains[i]
		abs(&c.URLFile)
		for j := range c.WitnessFiles {
			abs(&c.WitnessFiles[j])
		}
		for j, also := range c.Also {
			if !isEndpoint(also) {
				abs(&c.Also[j])
			}
		}
		if c.Finality == "" && c.Lotus == nil {
			c.Finality = approverFinality
		}
		if c.Proofs == "" {
			c.Proofs = ProofsHeaders
		}
		if c.Tick == 0 {
			c.Tick = approverTick
		}
		if c.MaxRange == 0 {
			c.MaxRange = DefaultChain().MaxRange
		}
	}
	return cfg, nil
}

// Check lists everything that is wrong, not only the first thing.
func (c ApproverConfig) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.State == "" {
		bad("state: give a folder for the ledger")
	}
	if err := c.Redis.Check(); err != nil {
		errs = append(errs, err)
	}
	if _, _, err := net.SplitHostPort(c.Admin); err != nil {
		bad("admin: host:port, port 0 for any free one")
	}
	if c.Alerts.Repeat <= 0 {
		bad("alerts.repeat: a positive duration")
	}
	if c.Signer.Keystore == "" || c.Signer.PasswordFile == "" {
		bad("signer: keystore and password_file")
	}
	if c.Tick <= 0 {
		bad("tick: a positive duration")
	}
	if len(c.Chains) < 2 {
		bad("chains: at least two, each with its gateway")
	}
	names := map[string]bool{}
	for i, ch := range c.Chains {
		at := fmt.Sprintf("chains[%d]", i)
		if names[ch.Name] || !plainName.MatchString(ch.Name) || strings.Contains(ch.Name, "_") {
			bad("%s.name: its name at Axelar, of letters, digits, '.' or '-', and no other's", at)
		}
		names[ch.Name] = true
		ch.check(at, bad)
	}
	if single := c.Single(); len(single) > 0 && !c.SingleSource {
		bad("single_source: %s: one endpoint alone is believed; name others under also, or say true (or --single-source) to accept that", strings.Join(single, ", "))
	}
	for _, list := range []struct {
		name  string
		names []string
	}{{"trusted", c.Trusted}, {"frozen", c.Frozen}} {
		for _, name := range list.names {
			if !names[name] {
				bad("%s: %q is none of the chains", list.name, name)
			}
		}
	}
	for i, d := range c.Direct {
		if !names[d.From] || !names[d.To] {
			bad("direct[%d]: from and to are names of chains", i)
		}
	}
	if err := c.rules().Check(); err != nil {
		errs = append(errs, err)
	}
	if len(c.SignerSets) == 0 {
		bad("signer_sets: at least the one in force")
	}
	for i, s := range c.SignerSets {
		s.check(fmt.Sprintf("signer_sets[%d]", i), bad)
	}
	if c.NextSet != nil {
		c.NextSet.check("next_set", bad)
	}
	return errors.Join(errs...)
}

func (c ApproverChain) check(at string, bad func(string, ...any)) {
	if (c.URL == "") == (c.URLFile == "") {
		bad("%s: give either url or url_file", at)
	}
	for _, u := range append([]string{c.URL}, c.Witnesses...) {
		if u != "" && !isEndpoint(u) {
			bad("%s: an endpoint is an http, https, ws or wss URL", at)
		}
	}
	if c.ChainID == 0 {
		bad("%s.chain_id: the chain's id, to refuse an endpoint of another chain", at)
	}
	c.checkSources(at, bad)
	if c.Proofs != ProofsHeaders && c.Proofs != ProofsEndpoints {
		bad("%s.proofs: headers, or endpoints where headers commit to nothing that can be computed anew", at)
	}
	if c.Tick <= 0 || c.MaxRange == 0 {
		bad("%s: tick and max_range positive", at)
	}
	if c.Gateway == (common.Address{}) {
		bad("%s.gateway: the address of the chain's Axelar gateway", at)
	}
}

// check judges what both generations of gateways demand; which one it is shows the
// chain.
func (s SignerSet) check(at string, bad func(string, ...any)) {
	if err := axelar.NewAmplifier(common.Address{1}, common.Hash{1}).CheckSigners(s.Set()); err != nil {
		bad("%s: %w", at, err)
	}
	if len(s.Signers) > store.MaxProposalSigners {
		bad("%s: at most %d signers", at, store.MaxProposalSigners)
	}
}

// rules are what may be approved.
func (c ApproverConfig) rules() approve.Rules {
	r := approve.Rules{Hub: axelar.Hub{Address: c.Hub, Services: map[string]common.Address{}}, Trusted: c.Trusted, Frozen: c.Frozen}
	for _, ch := range c.Chains {
		if ch.TokenService != (common.Address{}) {
			r.Hub.Services[ch.Name] = ch.TokenService
		}
		if len(c.Trusted) == 0 {
			r.Trusted = append(r.Trusted, ch.Name)
		}
	}
	for _, t := range c.Tokens {
		r.Tokens = append(r.Tokens, approve.Token(t))
	}
	for _, d := range c.Direct {
		r.Direct = append(r.Direct, approve.Direct(d))
	}
	return r
}

// sets are the signer sets as gateways want them.
func (c ApproverConfig) sets() []axelar.WeightedSigners {
	out := make([]axelar.WeightedSigners, len(c.SignerSets))
	for i, s := range c.SignerSets {
		out[i] = s.Set()
	}
	return out
}
