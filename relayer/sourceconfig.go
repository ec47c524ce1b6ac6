package relayer

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
)

// Lotus says that a chain's endpoints are Lotus nodes, and how deep a block must be.
type Lotus struct {
	Depth  uint64  `yaml:"depth"`  // epochs behind the head after which a block is final by itself
	Behind uint64  `yaml:"behind"` // epochs that are never read, whatever is final
	Floors []Floor `yaml:"floors"` // what large amounts wait for besides
	// What may make a block final before its depth, with at least Floor epochs above
	// it: certificates of F3, and what the nodes call finalized where their version
	// knows more of it than a depth.
	F3             *F3    `yaml:"f3,omitempty"`
	TrustFinalized bool   `yaml:"trust_finalized,omitempty"`
	Floor          uint64 `yaml:"floor,omitempty"`
}

// F3 is where trust in certificates of finality begins.
type F3 struct {
	Network    string `yaml:"network"`        // that the committee signs for: "filecoin"
	First      uint64 `yaml:"first_instance"` // read first
	PowerTable string `yaml:"power_table"`    // CID of its committee
}

// sooner lists what is wrong with what may be final before its depth.
func (l Lotus) sooner(at string, bad func(string, ...any)) {
	on := l.F3 != nil || l.TrustFinalized
	if on && l.Floor < 1 || l.Floor > l.Depth {
		bad("%s.lotus.floor: with f3 or trust_finalized 1 to depth epochs that a final block has above it", at)
	}
	if !on && l.Floor > 0 {
		bad("%s.lotus.floor: it bounds f3 and trust_finalized, which are off", at)
	}
	if l.F3 == nil {
		return
	}
	if l.F3.Network == "" {
		bad("%s.lotus.f3.network: the name that the committee signs for", at)
	}
	if !isCID(l.F3.PowerTable) {
		bad("%s.lotus.f3.power_table: the CID of the committee of first_instance, as in bafy…", at)
	}
}

// isCID says whether a text looks like a CID of version 1 in base32. What it names is
// found out when the nodes are reached.
func isCID(s string) bool {
	body, ok := strings.CutPrefix(s, "b")
	return ok && len(body) >= 32 && len(body) <= 128 && strings.Trim(body, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// tx is how transactions are sent to a Filecoin: what replaces another must pay a
// quarter more premium, the base fee may rise by an eighth an epoch, and a block holds
// ten billion of its finer gas.
func (l Lotus) tx() evm.TxConfig {
	return evm.TxConfig{
		RebroadcastAfter: 5 * time.Second, BumpPermille: 250, BaseFeeFactor: 300, GasMargin: 25, MaxGas: 10_000_000_000,
	}
}

// Floor is a depth for deposits of an amount or more.
type Floor struct {
	USDC  string `yaml:"usdc,omitempty"` // as people write it: "250000.5"
	FLT   string `yaml:"flt,omitempty"`  // one of the two
	Depth uint64 `yaml:"depth"`          // epochs
}

// maxLotusDepth bounds the depths: ten times that after which no chain of Filecoin's
// was ever replaced.
const maxLotusDepth = 9000

// amount is the asset of a floor, and how much of it.
func (f Floor) amount() (tokens.Asset, tokens.Amount, error) {
	asset, text := tokens.USDC, f.USDC
	if f.USDC == "" {
		asset, text = tokens.FLT, f.FLT
	}
	if (f.USDC == "") == (f.FLT == "") {
		return asset, tokens.Amount{}, fmt.Errorf("give either usdc or flt")
	}
	n, err := tokens.ParseDecimal(text, asset.Decimals)
	return asset, n, err
}

// Check lists everything that is wrong, at a place in a configuration.
func (l Lotus) Check(at string, bad func(string, ...any)) {
	if l.Depth < 1 || l.Depth > maxLotusDepth || l.Behind > l.Depth {
		bad("%s.lotus: depth 1–%d epochs, behind at most as many", at, maxLotusDepth)
	}
	l.sooner(at, bad)
	for i, f := range l.Floors {
		if _, _, err := f.amount(); err != nil {
			bad("%s.lotus.floors[%d]: %v", at, i, err)
		}
		if f.Depth < 1 || f.Depth > maxLotusDepth {
			bad("%s.lotus.floors[%d].depth: 1–%d epochs", at, i, maxLotusDepth)
		}
	}
}

// Endpoint is one endpoint of a chain, for a dialer. Lotus is nil where it speaks
// only eth_*. Deep is how deep the block of an event must be; nil or 0: as deep as
// any.
type Endpoint struct {
	evm.Config
	Lotus *Lotus
	Deep  func(chains.Event) uint64
}

// Dialer connects to one endpoint, as evm.Dial does.
type Dialer func(context.Context, Endpoint, *slog.Logger) (evm.Reader, error)

// deep is the floor of a transfer that an event begins.
func (l Lotus) deep(flows []flow.Flow, e chains.Event) (depth uint64) {
	for _, f := range flows {
		if f.Chain != flow.Root {
			continue
		}
		t, mine, err := f.Decode(e)
		if err != nil || !mine {
			continue
		}
		route, known := tokens.RouteByName(t.Route)
		for _, floor := range l.Floors {
			asset, least, err := floor.amount()
			if err == nil && known && route.Asset == asset && t.Amount.Cmp(least) >= 0 {
				depth = max(depth, floor.Depth)
			}
		}
	}
	return depth
}

// Source is an endpoint with the name that logs, alerts and status call it by.
type Source struct {
	Name, URL string
}

// Sources lists the endpoints of a chain. They are named after their hosts, or
// their files: a URL may carry a key. The second of a name is name#2.
func Sources(first, file string, also []string) ([]Source, error) {
	var out []Source
	add := func(raw, file string) error {
		value, err := secretOf(raw, file)
		if err != nil {
			return err
		}
		name := filepath.Base(file)
		if file == "" {
			name = "?"
			if u, err := url.Parse(value); err == nil {
				name = u.Hostname()
			}
		}
		for base, n := name, 2; slices.ContainsFunc(out, func(s Source) bool { return s.Name == name }); n++ {
			name = fmt.Sprintf("%s#%d", base, n)
		}
		out = append(out, Source{name, value})
		return nil
	}
	if err := add(first, file); err != nil {
		return nil, err
	}
	for _, a := range also {
		var err error
		if isEndpoint(a) {
			err = add(a, "")
		} else {
			err = add("", a)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// MustAgree is how many of n endpoints must agree where k is configured.
func MustAgree(k, n int) int {
	if k == 0 {
		return min(2, n)
	}
	return k
}

func (c Chain) sources() ([]Source, error) { return Sources(c.URL, c.URLFile, c.Also) }

// agree is how many of the chain's endpoints must agree.
func (c Chain) agree() int { return MustAgree(c.Agree, 1+len(c.Also)) }

// Single lists the chains of which one endpoint alone is believed.
func (c Config) Single() (names []string) {
	if c.Root.agree() < 2 {
		names = append(names, flow.Root)
	}
	if c.Ethereum != nil && c.Ethereum.agree() < 2 && len(c.Ethereum.Witnesses) == 0 {
		names = append(names, flow.Ethereum)
	}
	for _, s := range c.Subnets {
		if s.agree() < 2 {
			names = append(names, s.Name)
		}
	}
	return names
}

func (c Chain) checkSources(at string, bad func(string, ...any)) {
	if c.Agree < 0 || c.Agree > 1+len(c.Also) {
		bad("%s.agree: how many of the endpoints (url and also) must agree, at most as many as there are", at)
	}
	if len(c.Also) > 15 {
		bad("%s.also: at most 15 further endpoints", at)
	}
	seen := map[string]bool{c.URL: c.URL != "", c.URLFile: c.URLFile != ""}
	for i, a := range c.Also {
		if a == "" || seen[a] {
			bad("%s.also[%d]: another endpoint, an http, https, ws or wss URL or a file with one", at, i)
		}
		seen[a] = true
	}
	if c.Lotus == nil {
		if !finality.MatchString(c.Finality) {
			bad("%s.finality: finalized, or depth:N for N blocks below the newest", at)
		}
		return
	}
	c.Lotus.Check(at, bad)
	if c.Finality != "" {
		bad("%s.finality: beside lotus it would count for nothing: lotus.depth says what is final; leave it out", at)
	}
}
