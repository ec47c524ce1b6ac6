package sim

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

const (
	rootID = 31415
	// period is the number of subnet blocks between checkpoints.
	period = 10
	// users have FLT and USDC on the root and FLT in the subnet.
	users = 4
	// rootDepth is how many root blocks are not final.
	rootDepth = 2
)

// began is when the clock of a bubble begins.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// key is a person's key, the same in each run.
func key(name string) *ecdsa.PrivateKey {
	return crypto.ToECDSAUnsafe(crypto.Keccak256([]byte("sim/" + name)))
}

func addressOf(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

func user(i int) string { return fmt.Sprintf("user%d", i) }

// relayerAt is the account of all instances, on both chains.
var relayerAt = addressOf(key("relayer"))

// Accounts that are code and nothing else.
var (
	// refuser reverts whatever comes: a recipient that fails.
	refuser = common.HexToAddress("0x00000000000000000000000000000000deadbeef")
	// echoes emit the event they are told to, with 2, 3 or 4 topics.
	echoes = map[int]common.Address{
		2: common.HexToAddress("0x000000000000000000000000000000000ec40002"),
		3: common.HexToAddress("0x000000000000000000000000000000000ec40003"),
		4: common.HexToAddress("0x000000000000000000000000000000000ec40004"),
	}
)

// echo is a contract that emits its call data as an event: topics first.
func echo(topics byte) []byte {
	code := []byte{0x60, 32 * topics, 0x36, 0x03, 0x80, 0x60, 32 * topics, 0x5f, 0x37} // size = calldatasize − 32n; calldatacopy(0, 32n, size)
	for i := int(topics) - 1; i >= 0; i-- {
		code = append(code, 0x60, 32*byte(i), 0x35)
	}
	return append(code, 0x7f+topics+1, 0x5f, 0xa0+topics, 0x00) // dup(n+1); log(0, size, topics…)
}

// template is both chains right after the deployment, and what was deployed.
type template struct {
	deployment  deploy.Deployment
	root, child *chain
}

// fresh is the state of the world before anybody did anything, made once per
// process.
var fresh = sync.OnceValues(newTemplate)

func newTemplate() (*template, error) {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		return nil, err
	}
	people := []string{"deployer", "validator", "relayer", "stranger"}
	for i := range users {
		people = append(people, user(i))
	}
	for _, p := range people {
		db.AddBalance(addressOf(key(p)), uint256.MustFromBig(ether(1_000_000)), tracing.BalanceChangeUnspecified)
	}
	for n, at := range echoes {
		db.SetCode(at, echo(byte(n)), tracing.CodeChangeUnspecified)
	}
	config := *params.AllDevChainProtocolChanges
	config.ChainID = big.NewInt(rootID)
	config.OsakaTime, config.BPO1Time, config.BPO2Time, config.BPO3Time, config.BPO4Time, config.BPO5Time = nil, nil, nil, nil, nil, nil
	config.AmsterdamTime, config.BogotaTime, config.UBTTime = nil, nil, nil
	root := newChain("root", &config, db, uint64(began.Unix())-1000)

	d, genesis, err := deployAll(root)
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	root.depth = rootDepth
	child, err := newSubnet(genesis)
	if err != nil {
		return nil, fmt.Errorf("subnet: %w", err)
	}
	return &template{deployment: d, root: root, child: child}, nil
}

// deployAll is what `causeway deploy` does, and gifts for the users.
func deployAll(root *chain) (deploy.Deployment, *core.Genesis, error) {
	ctx := context.Background()
	env := deploy.Env{Backend: &backend{chain: root}, Poll: time.Microsecond, Log: slog.New(slog.DiscardHandler)}
	deployer := deploy.KeySigner(key("deployer"))
	settings := deploy.Default()
	settings.CheckPeriod = period
	set, err := deploy.Root(ctx, env, deployer, deploy.RootParams{Settings: settings})
	if err != nil {
		return deploy.Deployment{}, nil, err
	}
	boot := deploy.BootstrapParams{Joiners: []deploy.Joiner{{
		Signer: deploy.KeySigner(key("validator")), PublicKey: crypto.FromECDSAPub(&key("validator").PublicKey), Collateral: ether(10),
	}}}
	var grants []deploy.Grant
	owners := []string{"relayer", "stranger"}
	for i := range users {
		owners = append(owners, user(i))
	}
	for _, p := range owners {
		k := key(p)
		grants = append(grants,
			deploy.Grant{Token: set.Flt, To: addressOf(k), Amount: ether(100_000)},
			deploy.Grant{Token: set.Usdc, To: addressOf(k), Amount: big.NewInt(9e12)})
		boot.PreFund = append(boot.PreFund, deploy.PreFunder{Signer: deploy.KeySigner(k), Amount: ether(1000)})
	}
	if err := deploy.Mint(ctx, env, deployer, grants); err != nil {
		return deploy.Deployment{}, nil, err
	}
	b, err := deploy.Bootstrap(ctx, env, set, deployer, boot)
	if err != nil {
		return deploy.Deployment{}, nil, err
	}
	token := bindings.NewDevUsdc()
	for i := range users {
		for spender, asset := range map[common.Address]common.Address{set.Controller: set.Usdc, set.Gateway: set.Flt} {
			if err := root.do(key(user(i)), asset, token.PackApprove(spender, ether(1_000_000)), nil, plenty); err != nil {
				return deploy.Deployment{}, nil, err
			}
			root.mine(root.top().time + 1)
		}
	}
	p := deploy.GenesisParams{Root: set, Bootstrap: b, Settings: settings}
	d, err := deploy.NewDeployment(p)
	if err != nil {
		return deploy.Deployment{}, nil, err
	}
	genesis, err := deploy.SubnetGenesis(p)
	return d, genesis, err
}

// newSubnet makes the subnet's chain of its genesis, with a contract that
// refuses everything beside.
func newSubnet(g *core.Genesis) (*chain, error) {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		return nil, err
	}
	for a, account := range g.Alloc {
		if account.Balance != nil {
			db.SetBalance(a, uint256.MustFromBig(account.Balance), tracing.BalanceChangeUnspecified)
		}
		db.SetNonce(a, account.Nonce, tracing.NonceChangeUnspecified)
		if len(account.Code) > 0 {
			db.SetCode(a, account.Code, tracing.CodeChangeUnspecified)
		}
		for k, v := range account.Storage {
			db.SetState(a, k, v)
		}
	}
	db.SetCode(refuser, refusing, tracing.CodeChangeUnspecified)
	db.SetCode(hungry, appetite, tracing.CodeChangeUnspecified)
	for n, at := range echoes {
		db.SetCode(at, echo(byte(n)), tracing.CodeChangeUnspecified)
	}
	db.Finalise(g.Config.Rules(new(big.Int), true, g.Timestamp))
	return newChain("subnet", g.Config, db, uint64(began.Unix())-1), nil
}

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

// plenty is gas for whatever a person does.
const plenty = 5_000_000

// do puts a transaction of a person into the pool, behind what is there of
// theirs. It pays more than a relayer would.
func (c *chain) do(k *ecdsa.PrivateKey, to common.Address, data []byte, value *big.Int, gas uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := addressOf(k)
	nonce := c.top().state.GetNonce(from)
	for c.pool[from][nonce] != nil {
		nonce++
	}
	return c.doAt(k, nonce, to, data, value, gas)
}

func (c *chain) doAt(k *ecdsa.PrivateKey, nonce uint64, to common.Address, data []byte, value *big.Int, gas uint64) error {
	if value == nil {
		value = new(big.Int)
	}
	tx, err := types.SignNewTx(k, c.signer, &types.DynamicFeeTx{
		ChainID: c.config.ChainID, Nonce: nonce, To: &to, Data: data, Value: value, Gas: gas,
		GasTipCap: big.NewInt(2_000_000_000), GasFeeCap: big.NewInt(2_000_000_000_000),
	})
	if err != nil {
		return err
	}
	return c.accept(tx)
}

// backend is the root as package deploy needs it: whoever looks at its head
// finds a new block.
type backend struct{ chain *chain }

var _ deploy.Backend = (*backend)(nil)

func (b *backend) header(h *block) *types.Header {
	return &types.Header{
		Number: new(big.Int).SetUint64(h.number), ParentHash: h.parent, Time: h.time, BaseFee: h.baseFee, GasLimit: blockGas, Difficulty: new(big.Int),
	}
}

func (b *backend) ChainID(context.Context) (*big.Int, error) { return b.chain.config.ChainID, nil }

func (b *backend) HeaderByNumber(_ context.Context, n *big.Int) (*types.Header, error) {
	switch {
	case n == nil:
		return b.header(b.chain.mine(b.chain.top().time + 1)), nil
	case n.Sign() < 0:
		return b.header(b.chain.top()), nil
	case n.Uint64() < uint64(len(b.chain.blocks)):
		return b.header(b.chain.blocks[n.Uint64()]), nil
	}
	return nil, ethereum.NotFound
}

func (b *backend) CodeAt(_ context.Context, a common.Address, _ *big.Int) ([]byte, error) {
	return b.chain.top().state.GetCode(a), nil
}

func (b *backend) message(m ethereum.CallMsg) message {
	out := message{from: m.From, data: m.Data, value: new(uint256.Int)}
	if m.To != nil {
		out.to = *m.To
	}
	if m.Value != nil {
		out.value = uint256.MustFromBig(m.Value)
	}
	return out
}

func (b *backend) CallContract(_ context.Context, m ethereum.CallMsg, _ *big.Int) ([]byte, error) {
	return b.chain.call(b.chain.top(), b.message(m))
}

func (b *backend) FilterLogs(_ context.Context, q ethereum.FilterQuery) (out []types.Log, _ error) {
	for _, block := range b.chain.blocks {
		for _, l := range block.logs {
			if l.Address == q.Addresses[0] && l.Topics[0] == q.Topics[0][0] {
				out = append(out, *l)
			}
		}
	}
	return out, nil
}

func (b *backend) NonceAt(_ context.Context, a common.Address, _ *big.Int) (uint64, error) {
	return b.chain.top().state.GetNonce(a), nil
}

func (b *backend) PendingNonceAt(_ context.Context, a common.Address) (uint64, error) {
	nonce := b.chain.top().state.GetNonce(a)
	for b.chain.pool[a][nonce] != nil {
		nonce++
	}
	return nonce, nil
}

func (b *backend) SuggestGasTipCap(context.Context) (*big.Int, error) { return b.chain.tip, nil }

// EstimateGas knows no creations: those get plenty.
func (b *backend) EstimateGas(_ context.Context, m ethereum.CallMsg) (uint64, error) {
	if m.To == nil {
		return 15_000_000, nil
	}
	return b.chain.estimate(b.message(m))
}

func (b *backend) SendTransaction(_ context.Context, tx *types.Transaction) error {
	return b.chain.submit(tx)
}

func (b *backend) TransactionReceipt(_ context.Context, h common.Hash) (*types.Receipt, error) {
	at, ok := b.chain.mined[h]
	if !ok {
		if len(b.chain.pool) == 0 {
			return nil, ethereum.NotFound
		}
		b.chain.mine(b.chain.top().time + 1)
		if at, ok = b.chain.mined[h]; !ok {
			return nil, errors.Join(ethereum.NotFound, fmt.Errorf("not minable: %s", h))
		}
	}
	return at.block.receipts[at.index], nil
}
