package main

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/ethereum/go-ethereum/common"
)

// place is where the bridge is, for a user: from devnet.json in the home, else
// from the relayer's configuration.
type place struct {
	api, admin string
	root       relayer.Chain
	l1         *relayer.Chain // nil: none is known
	subnets    []relayer.Subnet
	account    relayer.Account
}

func (g *globals) place() (place, error) {
	info, err := devnet.ReadInfo(g.dir())
	switch {
	case err == nil:
		p := place{
			api: info.API, admin: info.Admin, root: relayer.Chain{URL: info.RootURL},
			subnets: []relayer.Subnet{{Name: "subnet", Deployment: info.Deployment, Chain: relayer.Chain{URL: info.SubnetURL}}},
			account: relayer.Account{Keystore: info.UserKeystore, PasswordFile: info.UserPassword},
		}
		if info.EthereumURL != "" {
			p.l1 = &relayer.Chain{URL: info.EthereumURL}
		}
		return p, nil
	case errors.Is(err, devnet.ErrEnded):
		return place{}, err
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, usageError{err}
	}
	cfg, err := g.config("")
	if errors.Is(err, fs.ErrNotExist) {
		return place{}, usage("%s holds neither a running devnet nor a configuration: give --home", g.home)
	}
	if err != nil {
		return place{}, err
	}
	p := place{api: "http://" + cfg.API.Listen, admin: "http://" + cfg.API.Admin, root: cfg.Root, subnets: cfg.Subnets}
	if cfg.Ethereum != nil {
		p.l1 = &cfg.Ethereum.Chain
	}
	return p, nil
}

// subnet is the one of this name; without a name the only one.
func (p place) subnet(name string) (relayer.Subnet, error) {
	var names []string
	for _, s := range p.subnets {
		if s.Name == name || name == "" && len(p.subnets) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if name == "" {
		return relayer.Subnet{}, usage("there are %d subnets: give --subnet %s", len(names), strings.Join(names, " or "))
	}
	return relayer.Subnet{}, usage("--subnet: there is no %q, but %s", name, strings.Join(names, " and "))
}

// sender is who sends, and in which subnet.
type sender struct {
	keystore, password, subnet string
	l1                         bool // Ethereum too
}

func (s *sender) add(f interface {
	StringVar(to *string, name, value, usage string)
}) {
	f.StringVar(&s.keystore, "keystore", "", "keystore file of the account (default: the devnet's user)")
	f.StringVar(&s.password, "password-file", "", "its password file")
	f.StringVar(&s.subnet, "subnet", "", "name of the subnet in the configuration (default: the only one)")
}

// bridge opens the user's wallet on both sides.
func (g *globals) bridge(ctx context.Context, s sender) (*wallet.Bridge, place, error) {
	p, err := g.place()
	if err != nil {
		return nil, p, err
	}
	sub, err := p.subnet(s.subnet)
	if err != nil {
		return nil, p, err
	}
	if s.keystore != "" || s.password != "" {
		p.account = relayer.Account{Keystore: s.keystore, PasswordFile: s.password}
	}
	if p.account.Keystore == "" || p.account.PasswordFile == "" {
		return nil, p, usage("give --keystore and --password-file of the account that sends")
	}
	key, err := relayer.LoadKey(p.account)
	if err != nil {
		return nil, p, usageError{err}
	}
	dep, err := deploy.ReadDeployment(sub.Deployment)
	if err != nil {
		return nil, p, usageError{err}
	}
	if dep.OnlyAddresses() {
		return nil, p, usage("the contracts of this home are somebody else's: send with a wallet of theirs, this program only carries")
	}
	rootURL, err := p.root.Endpoint()
	if err != nil {
		return nil, p, usageError{err}
	}
	subnetURL, err := sub.Endpoint()
	if err != nil {
		return nil, p, usageError{err}
	}
	root, err := wallet.Open(ctx, wallet.RootOf(dep, rootURL), key)
	if err != nil {
		return nil, p, err
	}
	child, err := wallet.Open(ctx, wallet.SubnetOf(dep, subnetURL), key)
	if err != nil {
		root.Close()
		return nil, p, err
	}
	b := &wallet.Bridge{Dep: dep, Root: root, Subnet: child}
	if !s.l1 {
		return b, p, nil
	}
	if b.L1, err = p.openL1(ctx, dep, key); err != nil {
		b.Close()
		return nil, p, err
	}
	return b, p, nil
}

// openL1 connects a key to the Ethereum that FLT of a deployment crosses from.
func (p place) openL1(ctx context.Context, dep deploy.Deployment, key *ecdsa.PrivateKey) (*wallet.Account, error) {
	if dep.Crossing == nil {
		return nil, usageError{wallet.ErrNoCrossing}
	}
	if p.l1 == nil {
		return nil, usage("the configuration names no ethereum: give its endpoint there")
	}
	url, err := p.l1.Endpoint()
	if err != nil {
		return nil, usageError{err}
	}
	return wallet.Open(ctx, wallet.L1Of(dep, url), key)
}

// errUnknown says that the relayer does not know a transfer (yet).
var errUnknown = errors.New("the relayer knows no such transfer; a new one shows up once its block is final")

// ask reads the relayer's API.
func ask(ctx context.Context, base, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return usage("the relayer's address is not usable")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the relayer's API does not answer (is `causeway run` up?): %w", chains.ErrUnavailable)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 32<<20))
	switch {
	case err != nil:
		return fmt.Errorf("read the relayer's answer: %w", chains.ErrUnavailable)
	case res.StatusCode == http.StatusNotFound:
		return errUnknown
	case res.StatusCode != http.StatusOK:
		var p struct {
			Detail string `json:"detail"`
		}
		_ = json.Unmarshal(raw, &p)
		if res.StatusCode >= 500 {
			return fmt.Errorf("the relayer answered %d: %s: %w", res.StatusCode, p.Detail, chains.ErrUnavailable)
		}
		return fmt.Errorf("the relayer answered %d: %s", res.StatusCode, p.Detail)
	}
	return json.Unmarshal(raw, out)
}

// transfersOf lists the transfers of an address with a status, all pages.
func transfersOf(ctx context.Context, base string, q url.Values) ([]api.Transfer, error) {
	var all []api.Transfer
	for {
		var page struct {
			Transfers []api.Transfer `json:"transfers"`
			Next      string         `json:"next"`
		}
		if err := ask(ctx, base, "/v1/transfers?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Transfers...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("cursor", page.Next)
	}
}

// parseAddress reads an address; one in mixed case carries a checksum, and a
// wrong one means a wrong letter.
func parseAddress(flag, s string) (common.Address, error) {
	if len(s) != 42 || !common.IsHexAddress(s) {
		return common.Address{}, usage("%s: an address is 0x and 40 hex digits", flag)
	}
	a, digits := common.HexToAddress(s), s[2:]
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && digits != a.Hex()[2:] {
		return a, usage("%s: %s has a wrong checksum: a letter is wrong, or its case (EIP-55); copy the address again", flag, s)
	}
	return a, nil
}

// parseHash reads an id or a transaction's hash.
func parseHash(s string) (common.Hash, error) {
	if len(s) != 66 || !strings.HasPrefix(s, "0x") || strings.Trim(strings.ToLower(s[2:]), "0123456789abcdef") != "" {
		return common.Hash{}, usage("%q is no id or transaction hash (0x and 64 hex digits)", s)
	}
	return common.HexToHash(s), nil
}
