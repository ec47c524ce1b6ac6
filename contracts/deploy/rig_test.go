package deploy_test

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const (
	rootChainID = 31416
	blockTime   = 25 * time.Millisecond
)

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

// key is a throw-away key made from words.
func key(words ...string) *ecdsa.PrivateKey {
	var raw []byte
	for _, w := range words {
		raw = append(raw, w...)
	}
	return crypto.ToECDSAUnsafe(crypto.Keccak256(raw))
}

// rig is a quick root chain and the people of one deployment.
type rig struct {
	chain      *devchain.Chain
	client     *ethclient.Client
	deployer   deploy.Signer
	validators []*ecdsa.PrivateKey
	funders    []*ecdsa.PrivateKey
	settings   deploy.Settings
}

func newRig(t *testing.T, finality uint64) *rig {
	t.Helper()
	r := &rig{settings: deploy.Default()}
	alloc := make(map[common.Address]*big.Int)
	person := func(words ...string) *ecdsa.PrivateKey {
		k := key(append(words, t.Name())...)
		alloc[crypto.PubkeyToAddress(k.PublicKey)] = ether(1_000_000)
		return k
	}
	r.deployer = deploy.KeySigner(person("deployer"))
	for _, name := range []string{"a", "b", "c", "d"} {
		r.validators = append(r.validators, person("validator", name))
	}
	r.funders = append(r.funders, person("relayer"), person("alice"))
	r.settings.MinValidators = uint64(len(r.validators))
	r.settings.MinActivationCollateral = deploy.NewUnits(ether(40))

	r.chain, r.client = startChain(t, rootChainID, finality, alloc)
	return r
}

func startChain(t *testing.T, id chains.ID, finality uint64, alloc map[common.Address]*big.Int) (*devchain.Chain, *ethclient.Client) {
	t.Helper()
	chain, err := devchain.Start(t.Context(), devchain.Config{ChainID: id, Alloc: alloc, Period: blockTime, FinalityDepth: finality})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, chain.Close()) })
	client := ethclient.NewClient(chain.RPC())
	t.Cleanup(client.Close)
	return chain, client
}

func (r *rig) env(t *testing.T) deploy.Env { return envOf(t, r.client) }

func envOf(t *testing.T, b deploy.Backend) deploy.Env {
	t.Helper()
	return deploy.Env{Backend: b, StateFile: filepath.Join(t.TempDir(), "deploy.state"), Poll: 5 * time.Millisecond}
}

func (r *rig) rootParams() deploy.RootParams { return deploy.RootParams{Settings: r.settings} }

func (r *rig) bootstrapParams() deploy.BootstrapParams {
	var p deploy.BootstrapParams
	for i, k := range r.validators {
		p.Joiners = append(p.Joiners, deploy.Joiner{
			Signer: deploy.KeySigner(k), PublicKey: crypto.FromECDSAPub(&k.PublicKey), Collateral: ether(int64(10 + i)),
		})
	}
	for i, k := range r.funders {
		p.PreFund = append(p.PreFund, deploy.PreFunder{Signer: deploy.KeySigner(k), Amount: ether(int64(100 * (i + 1)))})
	}
	return p
}

func (r *rig) grants(set deploy.RootSet) []deploy.Grant {
	var grants []deploy.Grant
	for _, k := range r.funders {
		grants = append(grants, deploy.Grant{Token: set.Flt, To: crypto.PubkeyToAddress(k.PublicKey), Amount: ether(1000)})
	}
	return grants
}

// all runs the whole deployment.
func (r *rig) all(t *testing.T, env deploy.Env) (deploy.GenesisParams, error) {
	t.Helper()
	return r.allIn(t.Context(), env)
}

func (r *rig) allIn(ctx context.Context, env deploy.Env) (deploy.GenesisParams, error) {
	set, err := deploy.Root(ctx, env, r.deployer, r.rootParams())
	if err != nil {
		return deploy.GenesisParams{}, err
	}
	if err := deploy.Mint(ctx, env, r.deployer, r.grants(set)); err != nil {
		return deploy.GenesisParams{}, err
	}
	boot, err := deploy.Bootstrap(ctx, env, set, r.deployer, r.bootstrapParams())
	if err != nil {
		return deploy.GenesisParams{}, err
	}
	return deploy.GenesisParams{Root: set, Bootstrap: boot, Settings: r.settings}, nil
}
