package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
)

// DeployOptions of a bridge.
type DeployOptions struct {
	RootURL string
	// RootAlso are further endpoints of the root, for the configurations.
	RootAlso []string
	// Lotus says that the root's endpoints are Lotus nodes.
	Lotus    *relayer.Lotus
	Deployer deploy.Signer
	// FLT and USDC on the root; zero: dev tokens are deployed and minted.
	FLT, USDC common.Address
	Settings  deploy.Settings
	// Grants are minted of the dev tokens; PreFund is brought into the subnet's
	// genesis by its owners.
	Grants  func(deploy.RootSet) []deploy.Grant
	PreFund []deploy.PreFunder
	// Crossing brings FLT from an Ethereum for development, Standing from one where
	// Axelar's contracts stand already; neither: the root has an FLT of its own.
	Crossing *CrossOptions
	Standing *StandingOptions
	Finality string // of the root, as in the configuration
	Strength Strength
	Redis    relayer.Redis
	Log      *slog.Logger
	// Step is told each stage that may take longer than a second.
	Step func(string)
	// Genesis may change the node's genesis before it is written: a test plants
	// an error there, to see that the invariants find it. nil: nothing.
	Genesis func(*node.Genesis)
}

// Deploy puts the contracts on the root, creates and bootstraps the subnet, and
// fills the home. Killed anywhere and run again it goes on: the deployment
// keeps its own record of transactions, and files are written whole.
func Deploy(ctx context.Context, d Dir, o DeployOptions) (deploy.Deployment, error) {
	var none deploy.Deployment
	if err := d.Make(); err != nil {
		return none, err
	}
	validator, err := d.Key("validator", o.Strength)
	if err != nil {
		return none, err
	}
	carrier, err := d.Key("relayer", o.Strength)
	if err != nil {
		return none, err
	}
	client, err := ethclient.DialContext(ctx, o.RootURL)
	if err != nil {
		return none, errors.New("connect to the root: the URL is not usable")
	}
	defer client.Close()
	env := deploy.Env{Backend: client, StateFile: d.path("deploy-state.json"), Log: o.Log}

	// A coin pays for the validator's own calls, ten for the relayer's first
	// weeks.
	needs := []need{
		{"deployer", o.Deployer.Address(), Ether(1)},
		{"validator", crypto.PubkeyToAddress(validator.PublicKey), new(big.Int).Add(o.Settings.MinActivationCollateral.Int(), Ether(1))},
		{"relayer", crypto.PubkeyToAddress(carrier.PublicKey), Ether(10)},
	}
	var brought *standing
	if o.Standing != nil {
		if brought, err = d.openStanding(ctx, o, env); err != nil {
			return none, err
		}
		defer brought.close()
		o.FLT = brought.plan.Found.RootFlt
	}
	if !exists(env.StateFile) {
		if err := fund(ctx, client, o.Deployer, needs); err != nil {
			return none, err
		}
	}
	var x *crossing
	if o.Crossing != nil {
		l1, err := o.Crossing.dialL1(ctx)
		if err != nil {
			return none, err
		}
		defer l1.Close()
		if x, o.FLT, err = d.bring(ctx, o, env, l1); err != nil {
			return none, fmt.Errorf("bring FLT from Ethereum: %w", err)
		}
	}
	if brought != nil {
		x = brought.crossing()
		if err := brought.begin(ctx); err != nil {
			return none, fmt.Errorf("bring FLT from Ethereum: %w", err)
		}
	}
	o.Step("deploying the contracts on the root")
	set, err := deploy.Root(ctx, env, o.Deployer, deploy.RootParams{Flt: o.FLT, Usdc: o.USDC, Settings: o.Settings})
	if err != nil {
		return none, fmt.Errorf("deploy on the root: %w", err)
	}
	if o.Grants != nil && (x != nil || o.FLT == (common.Address{})) && o.USDC == (common.Address{}) {
		o.Step("minting dev tokens")
		if err := deploy.Mint(ctx, env, o.Deployer, o.Grants(set)); err != nil {
			return none, fmt.Errorf("mint dev tokens: %w", err)
		}
	}

	if brought != nil {
		if err := brought.arrived(ctx); err != nil {
			return none, fmt.Errorf("bring FLT from Ethereum: %w", err)
		}
	}
	o.Step("bootstrapping the subnet: preFund, join, recordBootstrap")
	collateral := o.Settings.MinActivationCollateral.Int()
	boot, err := deploy.Bootstrap(ctx, env, set, o.Deployer, deploy.BootstrapParams{
		PreFund: o.PreFund,
		Joiners: []deploy.Joiner{{
			Signer: deploy.KeySigner(validator), PublicKey: crypto.FromECDSAPub(&validator.PublicKey), Collateral: collateral,
		}},
	})
	if err != nil {
		return none, fmt.Errorf("bootstrap the subnet: %w", err)
	}

	var between *deploy.Crossing
	if x != nil {
		o.Step("deploying what carries FLT and calls between Ethereum and the subnet")
		if between, err = x.cross(ctx, set, o.Settings); err != nil {
			return none, err
		}
	}
	o.Step("writing genesis and configuration")
	dep, err := deploy.NewDeployment(deploy.GenesisParams{Root: set, Bootstrap: boot, Settings: o.Settings, Crossing: between})
	if err != nil {
		return none, fmt.Errorf("make the subnet's genesis: %w", err)
	}
	// The subnet is the chain that the node begins, whatever made its genesis.
	genesis, err := d.initNode(dep, o)
	if err != nil {
		return none, err
	}
	dep.Subnet.GenesisHash = genesis.Hash()
	if err := d.writeConfigs(dep, o, x); err != nil {
		return none, err
	}
	if brought != nil {
		if at, poor := brought.penniless(ctx, carrier); poor {
			o.Step(fmt.Sprintf("the relayer's account %s has no coins on Ethereum: send it some, it pays for what is executed there", at.Hex()))
		}
	}
	// The deployment file is last: where it stands, the home is complete.
	return dep, deploy.WriteDeployment(d.Deployment(), dep)
}

// initNode makes the validator's home, once.
func (d Dir) initNode(dep deploy.Deployment, o DeployOptions) (node.Genesis, error) {
	if genesis, err := node.LoadGenesis(d.Node()); err == nil {
		return genesis, nil
	}
	genesis, err := NodeGenesis(dep)
	if err != nil {
		return genesis, err
	}
	if o.Genesis != nil {
		o.Genesis(&genesis)
	}
	key, err := d.Key("validator", o.Strength)
	if err != nil {
		return genesis, err
	}
	if err := node.InitHome(d.Node(), genesis, key); err != nil {
		return genesis, fmt.Errorf("make the node's home: %w", err)
	}
	return genesis, nil
}

// NodeGenesis is the node's genesis of a deployment.
func NodeGenesis(dep deploy.Deployment) (node.Genesis, error) {
	evmGenesis, err := deploy.SubnetGenesis(dep.GenesisParams())
	if err != nil {
		return node.Genesis{}, fmt.Errorf("make the subnet's genesis: %w", err)
	}
	g := node.Genesis{
		ChainID: dep.Subnet.ChainID, EVM: evmGenesis,
		SubnetID:    node.Subnet{Root: uint64(dep.Root.ChainID), Route: []common.Address{dep.Root.Actor}},
		RootChainID: dep.Root.ChainID, RootGateway: dep.Root.Gateway, SubnetActor: dep.Root.Actor,
		BootstrapBlock: dep.Bootstrap.BlockNumber, BootstrapHash: dep.Bootstrap.BlockHash, Salt: dep.Bootstrap.Salt,
		ParentStart: max(dep.Root.StartBlock, 1),
		Period:      dep.Settings.CheckPeriod, PowerScale: dep.Settings.PowerScale, MajorityPercentage: dep.Settings.Majority,
		Gateway: dep.Subnet.Gateway, Outbox: dep.Subnet.Outbox, FastWithdrawals: dep.Root.FastWithdrawals,
	}
	for _, v := range dep.Bootstrap.Validators {
		g.Validators = append(g.Validators, node.Validator{Address: v.Address, PubKey: v.PublicKey, Weight: v.Weight.String()})
	}
	return g, nil
}

// writeConfigs writes node.yaml and causeway.yaml where they are not there yet:
// an operator's changes stay.
func (d Dir) writeConfigs(dep deploy.Deployment, o DeployOptions, x *crossing) error {
	n := DefaultNode()
	n.Parent.Also, n.Parent.SingleSource = o.RootAlso, len(o.RootAlso) == 0
	n.Parent.URL, n.Parent.ChainID, n.Parent.GenesisHash = o.RootURL, dep.Root.ChainID, dep.Root.GenesisHash
	if o.Finality != "" {
		n.Parent.Finality = o.Finality
	}
	c := relayer.Default()
	c.SingleSource, c.Redis = true, o.Redis
	account := relayer.Account{Keystore: "keys/relayer.json", PasswordFile: "keys/relayer.password"}
	c.Root.URL, c.Root.ChainID, c.Root.StartBlock = o.RootURL, dep.Root.ChainID, dep.Root.StartBlock
	c.Root.Also = append(c.Root.Also, o.RootAlso...)
	c.Root.Accounts = []relayer.Account{account}
	if o.Finality != "" {
		c.Root.Finality = o.Finality
	}
	if n.Parent.Lotus, c.Root.Lotus = o.Lotus, o.Lotus; o.Lotus != nil {
		n.Parent.Finality, c.Root.Finality = "", "" // the lotus block says it
	}
	sub := relayer.Subnet{Name: "subnet", Deployment: "deployment.json", Chain: relayer.DefaultChain()}
	sub.URL, sub.ChainID, sub.Accounts = "http://"+n.HTTP, dep.Subnet.ChainID, []relayer.Account{account}
	c.Subnets = []relayer.Subnet{sub}
	if dep.Crossing != nil {
		l1 := relayer.DefaultEthereum()
		l1.URL, l1.URLFile, l1.Witnesses = x.at.url, x.at.urlFile, x.at.witnesses
		l1.ChainID, l1.StartBlock = dep.Crossing.L1.ChainID, x.at.from
		l1.Accounts = []relayer.Account{account}
		if o.Finality != "" {
			l1.Finality = o.Finality
		}
		c.Ethereum = &l1
		if len(dep.Crossing.Signers) == 0 {
			c.Axelar.Approvals = relayer.ApprovalsNetwork // nobody named signers
		}
	}
	for path, v := range map[string]any{d.NodeConfig(): n, d.Config(): c} {
		if exists(path) {
			continue
		}
		if err := WriteYAML(path, v); err != nil {
			return err
		}
	}
	return nil
}

// Ether is n whole coins of 18 decimals.
func Ether(n int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000_000))
}
