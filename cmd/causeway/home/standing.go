package home

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"go.yaml.in/yaml/v3"
)

// Standing is how FLT comes from an Ethereum where Axelar's contracts and FLT
// stand already, as an operator says it in a file of YAML or JSON. Nothing of it
// is believed: see the checks in look.
type Standing struct {
	Ethereum StandingL1  `yaml:"ethereum"`
	Root     StandingSet `yaml:"root"`
	Flt      address     `yaml:"flt"` // on Ethereum
	// TokenID is FLT's at both token services; left out, that of a canonical token.
	TokenID common.Hash `yaml:"token_id"`
	// SignerSets are those that approve at both gateways, where the bridge has
	// signers of its own; left out, the Axelar network approves.
	SignerSets []relayer.SignerSet `yaml:"signer_sets"`
	// GasWei is paid to the gas service with each message that a deployment sends.
	GasWei relayer.Wei `yaml:"gas_wei"`
	// Bring is sent to the root besides what is brought into the subnet.
	Bring []Bringing `yaml:"bring"`
}

// StandingL1 is Ethereum. A file with the URL keeps a secret out of this one.
type StandingL1 struct {
	URL         string   `yaml:"url"`
	URLFile     string   `yaml:"url_file"`
	Witnesses   []string `yaml:"witnesses"`
	StandingSet `yaml:",inline"`
}

// StandingSet is Axelar's contracts on one chain.
type StandingSet struct {
	Chain        string  `yaml:"chain"` // its name at Axelar; case counts
	Gateway      address `yaml:"gateway"`
	TokenService address `yaml:"token_service"`
	GasService   address `yaml:"gas_service"`
	// StartBlock is at or below the block in which FLT was registered here.
	StartBlock uint64 `yaml:"start_block"`
}

// Bringing is FLT for an account on the root: a decimal number of whole FLT.
type Bringing struct {
	To     address `yaml:"to"`
	Amount string  `yaml:"amount"`
}

// address is one whose checksum, where it has one, is right.
type address struct{ common.Address }

// UnmarshalYAML refuses a letter that is wrong, or in the wrong case (EIP-55).
func (a *address) UnmarshalYAML(n *yaml.Node) error {
	text := n.Value
	if len(text) != 42 || !common.IsHexAddress(text) {
		return fmt.Errorf("line %d: %.60q is no address: 0x and 40 hex digits", n.Line, text)
	}
	a.Address = common.HexToAddress(text)
	if digits := text[2:]; digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && digits != a.Hex()[2:] {
		return fmt.Errorf("line %d: %s has a wrong checksum (EIP-55): copy the address again", n.Line, text)
	}
	return nil
}

// maxStanding bounds the file.
const maxStanding = 1 << 20

// ReadStanding reads and checks the file; an unknown key is an error, a relative
// url_file is beside it.
func ReadStanding(path string) (Standing, error) {
	f, err := os.Open(path)
	if err != nil {
		return Standing{}, fmt.Errorf("read the crossing: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxStanding))
	if err != nil {
		return Standing{}, fmt.Errorf("read the crossing: %w", err)
	}
	var s Standing
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read the crossing %s: %w", filepath.Base(path), err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("read the crossing %s: one document per file; there is more behind ---", filepath.Base(path))
	}
	if p := &s.Ethereum.URLFile; *p != "" && !filepath.IsAbs(*p) {
		*p = filepath.Join(filepath.Dir(path), *p)
	}
	if err := s.Check(); err != nil {
		return s, fmt.Errorf("the crossing %s:\n%w", filepath.Base(path), err)
	}
	return s, nil
}

// Check lists everything that no chain need be asked for.
func (s Standing) Check() error {
	var errs []error
	must := func(ok bool, complaint string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(complaint, args...))
		}
	}
	must((s.Ethereum.URL == "") != (s.Ethereum.URLFile == ""), "ethereum: give either url or url_file")
	for _, side := range []struct {
		name string
		set  StandingSet
	}{{"ethereum", s.Ethereum.StandingSet}, {"root", s.Root}} {
		must(side.set.Chain != "", "%s.chain: its name at Axelar, such as Ethereum or filecoin", side.name)
		for part, at := range map[string]address{"gateway": side.set.Gateway, "token_service": side.set.TokenService, "gas_service": side.set.GasService} {
			must(at.Address != common.Address{}, "%s.%s: the address of Axelar's contract", side.name, part)
		}
	}
	must(s.Flt.Address != common.Address{}, "flt: the address of FLT on Ethereum")
	for i, set := range s.SignerSets {
		if err := signersOf(set).Check(); err != nil {
			errs = append(errs, fmt.Errorf("signer_sets[%d]: %w", i, err))
		}
	}
	seen := map[common.Address]bool{}
	for i, b := range s.Bring {
		amount, err := tokens.ParseDecimal(b.Amount, tokens.FLT.Decimals)
		must(err == nil && amount.Big().Sign() > 0, "bring[%d].amount: a number of FLT above 0, such as 12.5", i)
		must(b.To.Address != common.Address{}, "bring[%d].to: an account on the root", i)
		must(!seen[b.To.Address], "bring[%d].to: %s is there twice", i, b.To.Hex())
		seen[b.To.Address] = true
	}
	return errors.Join(errs...)
}

// gas is what is paid with a message.
func (s Standing) gas() *big.Int {
	if s.GasWei.Int == nil {
		return new(big.Int)
	}
	return s.GasWei.Int
}

// signersOf is a set of a configuration as a deployment keeps it.
func signersOf(s relayer.SignerSet) deploy.SignerSet {
	out := deploy.SignerSet{Threshold: s.Threshold, Nonce: s.Nonce}
	for _, w := range s.Signers {
		out.Signers = append(out.Signers, deploy.Weighted(w))
	}
	sortSigners(&out)
	return out
}
