package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"

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
	rootURL, subnetURL, api, deployment string
	account                             relayer.Account
}

func (g *globals) place() (place, error) {
	info, err := devnet.ReadInfo(g.dir())
	if err == nil {
		return place{
			rootURL: info.RootURL, subnetURL: info.SubnetURL, api: info.API, deployment: info.Deployment,
			account: relayer.Account{Keystore: info.UserKeystore, PasswordFile: info.UserPassword},
		}, nil
	}
	cfg, err := g.config("")
	if errors.Is(err, fs.ErrNotExist) {
		return place{}, usage("%s holds neither a running devnet nor a configuration: give --home", g.home)
	}
	if err != nil {
		return place{}, err
	}
	if len(cfg.Subnets) != 1 {
		return place{}, usage("the configuration has %d subnets; this command needs one", len(cfg.Subnets))
	}
	p := place{api: "http://" + cfg.API.Listen, deployment: cfg.Subnets[0].Deployment}
	if p.rootURL, err = cfg.Root.Endpoint(); err == nil {
		p.subnetURL, err = cfg.Subnets[0].Endpoint()
	}
	if err != nil {
		return place{}, usageError{err}
	}
	return p, nil
}

// bridge opens the user's wallet on both sides.
func (g *globals) bridge(ctx context.Context, keystore, password string) (*wallet.Bridge, place, error) {
	p, err := g.place()
	if err != nil {
		return nil, p, err
	}
	if keystore != "" || password != "" {
		p.account = relayer.Account{Keystore: keystore, PasswordFile: password}
	}
	if p.account.Keystore == "" || p.account.PasswordFile == "" {
		return nil, p, usage("give --keystore and --password-file of the account that sends")
	}
	key, err := relayer.LoadKey(p.account)
	if err != nil {
		return nil, p, usageError{err}
	}
	dep, err := deploy.ReadDeployment(p.deployment)
	if err != nil {
		return nil, p, usageError{err}
	}
	if dep.OnlyAddresses() {
		return nil, p, usage("the contracts of this home are somebody else's: send with a wallet of theirs, this program only carries")
	}
	root, err := wallet.Open(ctx, wallet.RootOf(dep, p.rootURL), key)
	if err != nil {
		return nil, p, err
	}
	sub, err := wallet.Open(ctx, wallet.SubnetOf(dep, p.subnetURL), key)
	if err != nil {
		root.Close()
		return nil, p, err
	}
	return &wallet.Bridge{Dep: dep, Root: root, Subnet: sub}, p, nil
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

func parseAddress(flag, s string) (common.Address, error) {
	if !common.IsHexAddress(s) {
		return common.Address{}, usage("%s: an address is 0x and 40 hex digits", flag)
	}
	return common.HexToAddress(s), nil
}
