package home

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"go.yaml.in/yaml/v3"
)

// NodeConfig is what `causeway node` is told. Paths are relative to the file.
type NodeConfig struct {
	Home     string           `yaml:"home"` // as made by `causeway deploy`
	HTTP     string           `yaml:"http"` // JSON-RPC
	WS       string           `yaml:"ws"`
	P2P      string           `yaml:"p2p"`
	Metrics  string           `yaml:"metrics"` // metrics and health; "" = off
	Interval relayer.Duration `yaml:"block_interval"`
	Parent   Parent           `yaml:"parent"`
	Signer   Signer           `yaml:"signer"`
}

// Signer is another process that signs for the validator (`causeway signer`).
// Without it the key in Home does.
type Signer struct {
	Address   string         `yaml:"address"`   // unix:///path or https://host:port
	Validator common.Address `yaml:"validator"` // whose it must be
	CAFile    string         `yaml:"ca_file"`   // of both sides' certificates, for https
	CertFile  string         `yaml:"cert_file"` // this side's
	KeyFile   string         `yaml:"key_file"`
	// Consensus is a socket, unix:///path, on which the node waits for the signer
	// of CometBFT's own votes; "" = the key in Home signs those.
	Consensus string `yaml:"consensus"`
}

// TLS are the files for an https address.
func (s Signer) TLS() node.TLSFiles {
	return node.TLSFiles{CA: s.CAFile, Cert: s.CertFile, Key: s.KeyFile}
}

func (s Signer) check() error {
	var errs []error
	if s.Address != "" {
		errs = append(errs, node.CheckSignerAddress(s.Address, s.TLS()))
		if s.Validator == (common.Address{}) {
			errs = append(errs, errors.New("signer.validator: whose signer it must be"))
		}
	} else if s.Validator != (common.Address{}) || !s.TLS().Empty() {
		errs = append(errs, errors.New("signer.address: unix:///path/of.sock or https://host:port"))
	}
	if s.Consensus != "" {
		errs = append(errs, node.CheckSocket(s.Consensus))
	}
	return errors.Join(errs...)
}

// Parent is the root as the node reads it.
type Parent struct {
	URL     string         `yaml:"url"`
	URLFile string         `yaml:"url_file"`
	Also    []string       `yaml:"also,omitempty"`  // further endpoints: URLs, or files with one each
	Agree   int            `yaml:"agree,omitempty"` // endpoints that must agree; 0: two where there are as many
	Lotus   *relayer.Lotus `yaml:"lotus,omitempty"` // the endpoints are Lotus nodes
	// SingleSource admits that this validator signs on the word of one endpoint.
	SingleSource bool             `yaml:"single_source,omitempty"`
	ChainID      chains.ID        `yaml:"chain_id"`
	GenesisHash  common.Hash      `yaml:"genesis_hash"`
	Finality     string           `yaml:"finality,omitempty"` // empty beside a lotus block, which says it
	Poll         relayer.Duration `yaml:"poll"`
}

// DefaultNode listens on the usual ports of loopback.
func DefaultNode() NodeConfig {
	return NodeConfig{
		Home: "node", HTTP: "127.0.0.1:8545", WS: "127.0.0.1:8546", P2P: "127.0.0.1:26656", Metrics: "127.0.0.1:8482", Interval: relayer.Duration(time.Second),
		Parent: Parent{Finality: "finalized", Poll: relayer.Duration(time.Second)},
	}
}

// ReadNode reads a YAML file over DefaultNode, then the changes of a command line; an
// unknown key is an error.
func ReadNode(path string, changes ...func(*NodeConfig)) (NodeConfig, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return NodeConfig{}, fmt.Errorf("read node configuration: %w", err)
	}
	cfg := DefaultNode()
	cfg.Parent.Finality = "" // whether it is written is seen afterwards
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&cfg); err != nil {
		return NodeConfig{}, fmt.Errorf("read node configuration %s: %w", filepath.Base(path), err)
	}
	if cfg.Parent.Finality == "" && cfg.Parent.Lotus == nil {
		cfg.Parent.Finality = DefaultNode().Parent.Finality
	}
	for _, p := range []*string{&cfg.Home, &cfg.Parent.URLFile, &cfg.Signer.CAFile, &cfg.Signer.CertFile, &cfg.Signer.KeyFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	for i, also := range cfg.Parent.Also {
		if !strings.Contains(also, "://") && !filepath.IsAbs(also) {
			cfg.Parent.Also[i] = filepath.Join(filepath.Dir(path), also)
		}
	}
	for _, change := range changes {
		change(&cfg)
	}
	return cfg, cfg.Check()
}

// Check lists everything that is wrong.
func (c NodeConfig) Check() error {
	var errs []error
	if c.Home == "" {
		errs = append(errs, errors.New("home: the node's folder"))
	}
	for name, addr := range map[string]string{"http": c.HTTP, "ws": c.WS, "p2p": c.P2P, "metrics": c.Metrics} {
		if name == "metrics" && addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("%s: host:port, port 0 for any free one", name))
		}
	}
	if (c.Parent.URL == "") == (c.Parent.URLFile == "") {
		errs = append(errs, errors.New("parent: give either url or url_file"))
	}
	if c.Parent.Agree < 0 || c.Parent.Agree > 1+len(c.Parent.Also) {
		errs = append(errs, errors.New("parent.agree: how many of the endpoints (url and also) must agree, at most as many as there are"))
	}
	if relayer.MustAgree(c.Parent.Agree, 1+len(c.Parent.Also)) < 2 && !c.Parent.SingleSource {
		errs = append(errs, errors.New("parent.single_source: this validator would sign on the word of one endpoint: name others under also, or say true (or --single-source) to accept that"))
	}
	if c.Parent.Lotus != nil {
		c.Parent.Lotus.Check("parent", func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) })
		if c.Parent.Finality != "" {
			errs = append(errs, errors.New("parent.finality: beside lotus it would count for nothing: lotus.depth says what is final; leave it out"))
		}
		if len(c.Parent.Lotus.Floors) > 0 {
			errs = append(errs, errors.New("parent.lotus.floors: the relayer keeps them; a node signs by depth alone"))
		}
	}
	if c.Parent.ChainID == 0 {
		errs = append(errs, errors.New("parent.chain_id: the root's chain id"))
	}
	if time.Duration(c.Interval) < time.Second || c.Parent.Poll <= 0 {
		errs = append(errs, errors.New("block_interval: at least 1s; parent.poll: positive"))
	}
	return errors.Join(append(errs, c.Signer.check())...)
}

// WriteYAML writes a configuration.
func WriteYAML(path string, v any) error {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(v), enc.Close()); err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	return WriteFile(path, b.Bytes())
}
