package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/spf13/cobra"
)

func newDeploy(g *globals) *cobra.Command {
	var rootURL, keystore, password, flt, usdc, redis, settingsFile, preFund string
	var x crossFlags
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Put the contracts on a root chain and create the subnet",
		Long: "Deploy the contract set on a root chain, create and bootstrap the subnet (join, preFund, recordBootstrap) and fill --home:\n" +
			"keys, genesis, a validator's home, node.yaml and causeway.yaml. After that `causeway node --home` and `causeway run --home` start from it alone.\n" +
			"Killed anywhere and run again it goes on. The deployer pays: it also sends the new validator its collateral and both accounts coins for gas.\n" +
			"Without --flt and --usdc dev tokens are deployed, owned by the deployer; with --flt the relayer's account must hold the --prefund first.\n" +
			"With --crossing FLT comes from Ethereum, by Axelar's contracts as they stand there and on the root: all of them are asked what they are before\n" +
			"anything is sent, the --prefund is brought from Ethereum, and its approval by Axelar, or by signers of your own, is waited for.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if rootURL == "" || keystore == "" || password == "" {
				return usage("--root-url, --keystore and --password-file are required")
			}
			if x.file != "" && flt != "" {
				return usage("--flt and --crossing exclude each other: with a crossing, FLT on the root is the token of the root's token service")
			}
			standing, err := x.options(relayer.Account{Keystore: keystore, PasswordFile: password})
			if err != nil {
				return err
			}
			o, err := deployOptions(c.Context(), g, rootURL, relayer.Account{Keystore: keystore, PasswordFile: password})
			if err != nil {
				return err
			}
			for _, t := range []struct {
				name, text string
				to         *common.Address
			}{{"--flt", flt, &o.FLT}, {"--usdc", usdc, &o.USDC}} {
				if t.text == "" {
					continue
				}
				if *t.to, err = parseAddress(t.name, t.text); err != nil {
					return err
				}
			}
			if settingsFile != "" {
				if o.Settings, err = readSettings(settingsFile); err != nil {
					return err
				}
			}
			if redis != "" {
				o.Redis.URL = redis
			}
			o.Standing = standing
			release, err := g.dir().Lock("a deployment")
			if err != nil {
				return err
			}
			defer func() { _ = release() }()
			if err := addPreFund(g, &o, preFund); err != nil {
				return err
			}
			o.Step = func(what string) { fmt.Fprintln(c.ErrOrStderr(), what) }
			dep, err := home.Deploy(c.Context(), g.dir(), o)
			if err != nil {
				return err
			}
			return g.print(c, dep, fmt.Sprintf("subnet %s with chain id %d\nrun `causeway node --home %s` and `causeway run --home %s`",
				dep.Subnet.ID, dep.Subnet.ChainID, g.home, g.home))
		},
	}
	f := c.Flags()
	f.StringVar(&rootURL, "root-url", "", "JSON-RPC of the root chain")
	f.StringVar(&keystore, "keystore", "", "the deployer's keystore file")
	f.StringVar(&password, "password-file", "", "the deployer's password file")
	f.StringVar(&flt, "flt", "", "FLT on the root (default: deploy a dev token)")
	f.StringVar(&usdc, "usdc", "", "USDC on the root (default: deploy a dev token)")
	f.StringVar(&redis, "redis", "", "Redis URL to put into causeway.yaml")
	f.StringVar(&settingsFile, "settings", "", "JSON file with contract settings (default: the devnet's)")
	f.StringVar(&preFund, "prefund", "1000", "whole FLT brought into the subnet for the relayer's account")
	f.StringVar(&x.file, "crossing", "", "file that says where Axelar's contracts and FLT stand on Ethereum and on the root")
	f.StringVar(&x.keystore, "ethereum-keystore", "", "keystore file of the deployer on Ethereum, who has the FLT that is brought (default: --keystore)")
	f.StringVar(&x.password, "ethereum-password-file", "", "its password file")
	f.StringVar(&x.artifacts, "axelar-artifacts", "", "folder of the published Axelar contracts (default: contracts/node_modules/@axelar-network of the repository)")
	return c
}

// crossFlags say how FLT comes from Ethereum.
type crossFlags struct{ file, keystore, password, artifacts string }

// options reads the file and opens the key; nil without a file.
func (f crossFlags) options(deployer relayer.Account) (*home.StandingOptions, error) {
	if f.file == "" {
		if f.keystore != "" || f.password != "" || f.artifacts != "" {
			return nil, usage("--ethereum-keystore, --ethereum-password-file and --axelar-artifacts go with --crossing")
		}
		return nil, nil
	}
	if (f.keystore == "") != (f.password == "") {
		return nil, usage("--ethereum-keystore and --ethereum-password-file go together")
	}
	if f.keystore != "" {
		deployer = relayer.Account{Keystore: f.keystore, PasswordFile: f.password}
	}
	s, err := home.ReadStanding(f.file)
	if err != nil {
		return nil, usage("--crossing: %w", err)
	}
	key, err := relayer.LoadKey(deployer)
	if err != nil {
		return nil, usageError{err}
	}
	return &home.StandingOptions{Standing: s, L1Deployer: deploy.KeySigner(key), Artifacts: f.artifacts}, nil
}

func deployOptions(ctx context.Context, g *globals, url string, a relayer.Account) (home.DeployOptions, error) {
	key, err := relayer.LoadKey(a)
	if err != nil {
		return home.DeployOptions{}, usageError{err}
	}
	client, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return home.DeployOptions{}, usage("--root-url is not usable")
	}
	defer client.Close()
	log, err := g.logger(os.Stderr)
	if err != nil {
		return home.DeployOptions{}, err
	}
	return home.DeployOptions{
		RootURL: url, Deployer: deploy.KeySigner(key), Settings: deploy.Default(), Strength: home.Standard,
		Redis: relayer.Default().Redis, Log: log,
	}, nil
}

// addPreFund brings FLT into the subnet for the relayer, who pays gas there.
// With dev tokens the FLT is minted first; with real ones the relayer's account
// must hold it, unless it is brought from Ethereum.
func addPreFund(g *globals, o *home.DeployOptions, amount string) error {
	whole, err := strconv.ParseInt(amount, 10, 64)
	if err != nil || whole < 1 {
		return usage("--prefund: a whole number of FLT, at least 1")
	}
	if err := g.dir().Make(); err != nil {
		return err
	}
	key, err := g.dir().Key("relayer", o.Strength)
	if err != nil {
		return err
	}
	signer := deploy.KeySigner(key)
	o.PreFund = []deploy.PreFunder{{Signer: signer, Amount: home.Ether(whole)}}
	if o.Standing != nil {
		return nil // it is brought from Ethereum
	}
	o.Grants = func(set deploy.RootSet) []deploy.Grant {
		return []deploy.Grant{{Token: set.Flt, To: signer.Address(), Amount: home.Ether(whole)}}
	}
	return nil
}

func readSettings(path string) (deploy.Settings, error) {
	s := deploy.Default()
	f, err := os.Open(path)
	if err != nil {
		return s, usage("read settings: %w", err)
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, usage("read settings %s: %w", filepath.Base(path), err)
	}
	if err := s.Check(); err != nil {
		return s, usageError{errors.Join(errors.New("settings are wrong"), err)}
	}
	return s, nil
}
