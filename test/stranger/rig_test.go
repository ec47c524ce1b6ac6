// Package stranger puts the relayer before contracts that somebody else
// deployed: the published ABI and nothing besides, nodes that deliver by
// themselves, signatures that the subnet's gateway collects, and a root that
// burns what comes out of turn. The contracts are contracts/test/stranger,
// written from the description of the published ones; the relayer is told their
// addresses and nothing else.
package stranger

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const (
	rootID   = 31337
	period   = 8
	majority = 66
)

// artifact is a compiled contract.
type artifact struct {
	abi abi.ABI
	bin []byte
}

// artifacts reads what build.js made of contracts/test/stranger.
func artifacts(t *testing.T) map[string]artifact {
	t.Helper()
	raw, err := os.ReadFile("testdata/contracts.json")
	require.NoError(t, err)
	var file struct {
		Contracts map[string]struct {
			ABI abi.ABI `json:"abi"`
			Bin string  `json:"bin"`
		} `json:"contracts"`
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	out := map[string]artifact{}
	for key, c := range file.Contracts {
		_, name, _ := strings.Cut(key, ":")
		out[name] = artifact{c.ABI, common.FromHex(c.Bin)}
	}
	return out
}

// chain is one dev chain and who sends on it.
type chain struct {
	t    *testing.T
	net  *devchain.Chain
	c    *ethclient.Client
	made map[string]artifact
	mu   sync.Mutex // one transaction at a time: nonces need no book-keeping
}

func newChain(t *testing.T, id chains.ID, depth uint64, made map[string]artifact, rich ...*ecdsa.PrivateKey) *chain {
	t.Helper()
	alloc := map[common.Address]*big.Int{}
	for _, k := range rich {
		alloc[crypto.PubkeyToAddress(k.PublicKey)] = new(big.Int).Lsh(common.Big1, 100)
	}
	net, err := devchain.Start(t.Context(), devchain.Config{ChainID: id, Alloc: alloc, Period: 500 * time.Millisecond, FinalityDepth: depth})
	require.NoError(t, err)
	t.Cleanup(func() { _ = net.Close() })
	c, err := ethclient.DialContext(t.Context(), net.HTTP())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return &chain{t: t, net: net, c: c, made: made}
}

// try sends and waits for the receipt, whatever it says, and for the head that
// holds it: a node tells a receipt a moment before its newest state is that of the
// receipt's block, and the next nonce is read there. Estimation is skipped where
// gas is given.
func (c *chain) try(ctx context.Context, key *ecdsa.PrivateKey, to *common.Address, value *big.Int, gas uint64, data []byte) (*types.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := crypto.PubkeyToAddress(key.PublicKey)
	if value == nil {
		value = new(big.Int)
	}
	nonce, err := c.c.NonceAt(ctx, from, nil)
	if err != nil {
		return nil, err
	}
	if gas == 0 {
		if gas, err = c.c.EstimateGas(ctx, ethereum.CallMsg{From: from, To: to, Value: value, Data: data}); err != nil {
			return nil, err
		}
		gas += gas / 4
	}
	id := new(big.Int).SetUint64(uint64(c.net.ChainID()))
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: to, Value: value, Data: data, Gas: gas,
		GasTipCap: big.NewInt(2e9), GasFeeCap: big.NewInt(100e9),
	})
	if err != nil {
		return nil, err
	}
	if err := c.c.SendTransaction(ctx, tx); err != nil {
		return nil, err
	}
	for {
		receipt, err := c.c.TransactionReceipt(ctx, tx.Hash())
		if err == nil {
			var head uint64
			if head, err = c.c.BlockNumber(ctx); err == nil && head >= receipt.BlockNumber.Uint64() {
				return receipt, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *chain) send(key *ecdsa.PrivateKey, to common.Address, value *big.Int, data []byte) *types.Receipt {
	c.t.Helper()
	r, err := c.try(c.t.Context(), key, &to, value, 0, data)
	require.NoError(c.t, err)
	require.Equal(c.t, types.ReceiptStatusSuccessful, r.Status)
	return r
}

func (c *chain) create(key *ecdsa.PrivateKey, value *big.Int, code []byte) common.Address {
	c.t.Helper()
	r, err := c.try(c.t.Context(), key, nil, value, 0, code)
	require.NoError(c.t, err)
	require.Equal(c.t, types.ReceiptStatusSuccessful, r.Status)
	return r.ContractAddress
}

// diamond deploys a facet behind a diamond that has its functions, but for
// those that only the test needs.
func (c *chain) diamond(key *ecdsa.PrivateKey, name string, value *big.Int, args ...any) common.Address {
	c.t.Helper()
	facet := c.made[name]
	at := c.create(key, nil, facet.bin)
	var selectors [][4]byte
	for _, m := range facet.abi.Methods {
		if m.Name != "init" && m.Name != "execute" {
			selectors = append(selectors, [4]byte(m.ID))
		}
	}
	setUp, err := facet.abi.Pack("init", args...)
	require.NoError(c.t, err)
	packed, err := c.made["Diamond"].abi.Pack("", at, selectors, setUp)
	require.NoError(c.t, err)
	return c.create(key, value, append(slices.Clone(c.made["Diamond"].bin), packed...))
}

// plain deploys a contract with a constructor.
func (c *chain) plain(key *ecdsa.PrivateKey, name string, args ...any) common.Address {
	c.t.Helper()
	packed, err := c.made[name].abi.Pack("", args...)
	require.NoError(c.t, err)
	return c.create(key, nil, append(slices.Clone(c.made[name].bin), packed...))
}

func (c *chain) pack(contract, method string, args ...any) []byte {
	c.t.Helper()
	data, err := c.made[contract].abi.Pack(method, args...)
	require.NoError(c.t, err, method)
	return data
}

// ask reads a view; it may be called from any goroutine.
func (c *chain) ask(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return c.c.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
}

// number reads the last word of a view's answer.
func (c *chain) number(to common.Address, data []byte) *big.Int {
	c.t.Helper()
	raw, err := c.ask(c.t.Context(), to, data)
	require.NoError(c.t, err)
	require.GreaterOrEqual(c.t, len(raw), 32)
	return new(big.Int).SetBytes(raw[len(raw)-32:])
}

func (c *chain) balance(who common.Address) *big.Int {
	c.t.Helper()
	n, err := c.c.BalanceAt(c.t.Context(), who, nil)
	require.NoError(c.t, err)
	return n
}

// subnet is one subnet with its nodes.
type subnet struct {
	rig    *rig
	name   string
	chain  *chain
	id     ipc.SubnetID
	actor  common.Address
	inner  common.Address // its gateway
	policy func(height uint64) [][]int

	mu      sync.Mutex
	applied uint64 // next top-down nonce to apply
	created uint64 // last checkpoint made
	// held counts checkpoints signed in more than one group, early those that the
	// root had before the last of them.
	held, early int
}

// rig is a root, two subnets on it, their nodes, Redis and a relayer.
//
// The published linked token cannot deposit into a subnet whose supply is an
// ERC-20 (its messages carry no value, and the gateway wants some), so USDC goes
// to a subnet of native supply and FLT to another.
type rig struct {
	t       *testing.T
	made    map[string]artifact
	root    *chain
	flt     *subnet
	usdc    *subnet
	user    *ecdsa.PrivateKey
	relayer *ecdsa.PrivateKey
	system  *ecdsa.PrivateKey
	set     []*ecdsa.PrivateKey // validators, by power 10, 20, 30, 40

	gateway, fltToken, usdcToken, controller, replica common.Address

	cfg        relayer.Config
	url, admin string
	stop       func()
	sent       map[common.Hash]want
}

type want struct {
	route  string
	amount *big.Int
	status tokens.Status
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := crypto.GenerateKey()
	require.NoError(t, err)
	return k
}

func addressOf(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

func eth(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, made: artifacts(t), user: newKey(t), system: newKey(t), sent: map[common.Hash]want{}}
	dir := home.Dir(t.TempDir())
	require.NoError(t, dir.Make())
	var err error
	r.relayer, err = dir.Key("relayer", home.Light)
	require.NoError(t, err)
	for range 4 {
		r.set = append(r.set, newKey(t))
	}
	rich := append([]*ecdsa.PrivateKey{r.user, r.relayer, r.system}, r.set...)
	r.root = newChain(t, rootID, 2, r.made, rich...)

	// The root: two tokens, one gateway for both subnets.
	flt, usdc := bindings.NewDevFlt(), bindings.NewDevUsdc()
	r.fltToken = r.root.create(r.user, nil, append(common.FromHex(bindings.DevFltMetaData.Bin), flt.PackConstructor(addressOf(r.user))...))
	r.usdcToken = r.root.create(r.user, nil, append(common.FromHex(bindings.DevUsdcMetaData.Bin), usdc.PackConstructor(addressOf(r.user))...))
	r.root.send(r.user, r.fltToken, nil, flt.PackMint(addressOf(r.user), eth(1_000_000)))
	r.root.send(r.user, r.usdcToken, nil, usdc.PackMint(addressOf(r.user), big.NewInt(1e15)))
	r.gateway = r.root.diamond(r.user, "RootGateway", nil, addressOf(r.user))
	r.root.send(r.user, r.fltToken, nil, flt.PackApprove(r.gateway, eth(1_000_000)))

	r.flt = r.newSubnet("flt", 41001, asset{1, r.fltToken}, rich)
	r.usdc = r.newSubnet("usdc", 41002, asset{}, rich)

	// The linked pair of the second.
	r.controller = r.root.plain(r.user, "Controller", r.gateway, r.usdcToken, r.usdc.id)
	r.replica = r.usdc.chain.plain(r.user, "Replica", r.usdc.inner, r.usdcToken, ipc.NewSubnetID(rootID))
	r.root.send(r.user, r.controller, nil, r.root.pack("Controller", "setLinkedContract", r.replica))
	r.usdc.chain.send(r.user, r.replica, nil, r.usdc.chain.pack("Replica", "setLinkedContract", r.controller))
	r.root.send(r.user, r.usdcToken, nil, usdc.PackApprove(r.controller, big.NewInt(1e15)))

	r.configure(dir)
	return r
}

// asset is an actor's supply: kind 1 is an ERC-20.
type asset struct {
	Kind         uint8
	TokenAddress common.Address
}

type setting struct {
	Gateway    common.Address
	Period     uint64
	Majority   uint8
	Supply     asset
	Validators []common.Address
	Powers     []*big.Int
}

func (r *rig) newSubnet(name string, id chains.ID, supply asset, rich []*ecdsa.PrivateKey) *subnet {
	r.t.Helper()
	s := &subnet{rig: r, name: name, policy: func(uint64) [][]int { return [][]int{{3, 1, 2}} }}
	cfg := setting{Gateway: r.gateway, Period: period, Majority: majority, Supply: supply}
	for i, v := range r.set {
		cfg.Validators = append(cfg.Validators, addressOf(v))
		cfg.Powers = append(cfg.Powers, eth(int64(10*(i+1))))
	}
	s.actor = r.root.diamond(r.user, "Actor", nil, cfg)
	s.id = ipc.NewSubnetID(rootID, s.actor)
	r.root.send(r.user, r.gateway, nil, r.root.pack("RootGateway", "approveSubnet", s.actor))
	r.root.send(r.user, s.actor, nil, r.root.pack("Actor", "join", []byte{}, new(big.Int)))

	s.chain = newChain(r.t, id, 1, r.made, rich...)
	// What nodes would mint is there from the start.
	s.inner = s.chain.diamond(r.user, "ChildGateway", eth(10_000_000), addressOf(r.system), big.NewInt(period), uint8(majority), s.id)
	r.nodes(s)
	return s
}

// configure writes what an operator gives the relayer: addresses.
func (r *rig) configure(dir home.Dir) {
	r.t.Helper()
	redis := storetest.StartRedis(r.t)
	r.cfg = relayer.Default()
	r.cfg.State, r.cfg.SingleSource = dir.Sub("state"), true
	r.cfg.Redis.URL = redis.URL()
	r.cfg.API.Listen, r.cfg.API.Admin = "127.0.0.1:0", "127.0.0.1:0"
	link := func(c *chain) relayer.Chain {
		l := relayer.DefaultChain()
		l.URL, l.ChainID, l.Accounts = c.net.HTTP(), c.net.ChainID(), []relayer.Account{dir.Account("relayer")}
		l.Fees.LowGasWei = relayer.Wei{Int: big.NewInt(1)}
		return l
	}
	r.cfg.Root = link(r.root)
	for _, s := range []*subnet{r.flt, r.usdc} {
		root := map[string]any{"chain_id": rootID, "gateway": r.gateway, "subnet_actor": s.actor}
		inside := map[string]any{"chain_id": s.chain.net.ChainID(), "gateway": s.inner}
		if s == r.usdc {
			root["usdc"], root["linked_token_controller"] = r.usdcToken, r.controller
			inside["linked_token_replica"] = r.replica
		}
		raw, err := json.Marshal(map[string]any{
			"version": deploy.DeploymentVersion, "abi_generation": deploy.GenerationC, "root": root, "subnet": inside,
		})
		require.NoError(r.t, err)
		path := dir.Sub(s.name + ".json")
		require.NoError(r.t, os.WriteFile(path, raw, 0o600))
		r.cfg.Subnets = append(r.cfg.Subnets, relayer.Subnet{Name: s.name, Deployment: path, Chain: link(s.chain)})
	}
}

// run starts the relayer; r.stop ends it and waits.
func (r *rig) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ready, done := make(chan relayer.Ready, 1), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(testWriter{r.t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	go func() {
		done <- relayer.Run(ctx, r.cfg, "test", log, func(at relayer.Ready) { ready <- at })
	}()
	select {
	case at := <-ready:
		r.url, r.admin = "http://"+at.API, "http://"+at.Admin
	case err := <-done:
		cancel()
		require.NoError(r.t, err, "the relayer ended")
	}
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("the relayer ended with %v", err)
			}
		})
	}
	r.t.Cleanup(r.stop)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// nodes plays the subnet's nodes until the test ends: they apply what the root
// sent, in order, from final blocks; make a checkpoint at each height that is
// due; and sign it as the policy says, one group after another.
func (r *rig) nodes(s *subnet) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	r.t.Cleanup(func() { cancel(); wg.Wait() })
	for _, play := range []func(context.Context) error{s.deliver, s.checkpoint} {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := play(ctx); err != nil && ctx.Err() == nil {
					r.t.Logf("nodes of %s: %v", s.name, err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
}

// deliver applies what is final on the root and not applied.
func (s *subnet) deliver(ctx context.Context) error {
	msgs, err := s.topDown(ctx, true)
	if err != nil || uint64(len(msgs)) <= s.applied {
		return err
	}
	data, err := s.chain.made["ChildGateway"].abi.Pack("applyCrossMessages", msgs[s.applied:])
	if err != nil {
		return err
	}
	receipt, err := s.chain.try(ctx, s.rig.system, &s.inner, nil, 0, data)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if receipt.Status != types.ReceiptStatusSuccessful {
		return errors.New("apply reverted")
	}
	s.mu.Lock()
	s.applied = uint64(len(msgs))
	s.mu.Unlock()
	return nil
}

// topDown reads every message that the root has for this subnet, by nonce.
func (s *subnet) topDown(ctx context.Context, final bool) ([]ipc.IpcEnvelope, error) {
	q := ethereum.FilterQuery{
		FromBlock: new(big.Int), Addresses: []common.Address{s.rig.gateway},
		Topics: [][]common.Hash{{ipc.TopicNewTopDownMessage}, {common.BytesToHash(s.actor[:])}},
	}
	if final {
		q.ToBlock = new(big.Int).SetUint64(s.rig.root.net.Finalized().Number)
	}
	logs, err := s.rig.root.c.FilterLogs(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read the root: %w", err)
	}
	out := make([]ipc.IpcEnvelope, len(logs))
	for i, l := range logs {
		if out[i], err = ipc.DecodeEnvelope(l.Data); err != nil {
			return nil, err
		}
		if out[i].LocalNonce != uint64(i) {
			return nil, fmt.Errorf("message %d has nonce %d", i, out[i].LocalNonce)
		}
	}
	return out, nil
}

// checkpoint makes and signs the next checkpoint once its batch is closed.
func (s *subnet) checkpoint(ctx context.Context) error {
	height := s.created + period
	if s.chain.net.Head().Number < height {
		return nil
	}
	block, err := s.chain.c.HeaderByNumber(ctx, new(big.Int).SetUint64(height))
	if err != nil {
		return err
	}
	raw, err := s.chain.ask(ctx, s.inner, append(ipc.SelBottomUpBatch.Bytes(), common.BigToHash(block.Number).Bytes()...))
	if err != nil {
		return err
	}
	batch, err := ipc.DecodeBatch(raw)
	if err != nil {
		return err
	}
	full := ipc.FullActivityRollup{}
	full.Consensus.Stats = ipc.AggregatedStats{TotalActiveValidators: 4, TotalNumBlocksCommitted: period}
	full.Consensus.Data = []ipc.ValidatorData{{Validator: addressOf(s.rig.set[0]), BlocksCommitted: period}}
	cp := ipc.BottomUpCheckpoint{
		SubnetID: s.id, BlockHeight: block.Number, BlockHash: block.Hash(), Msgs: ipc.Commit(batch.Messages), Activity: full.Compress(),
	}
	// The subnet's own powers are scaled until all are 1: its quorum is not the
	// root's.
	var members []ipc.Member
	for _, v := range s.rig.set {
		members = append(members, ipc.Member{Addr: addressOf(v), Power: common.Big1})
	}
	tree := ipc.MembershipTree(members)
	abi := s.chain.made["ChildGateway"].abi
	data, err := abi.Pack("createBottomUpCheckpoint", cp, [32]byte(tree.Root()), big.NewInt(4), batch.Messages, full)
	if err != nil {
		return err
	}
	if _, err := s.chain.try(ctx, s.rig.system, &s.inner, nil, 0, data); err != nil {
		return fmt.Errorf("make checkpoint %d: %w", height, err)
	}
	s.created = height
	for i, group := range s.policy(height) {
		if i > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(3 * time.Second):
			}
			last, err := s.rig.root.ask(ctx, s.actor, ipc.SelLastHeight.Bytes())
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.held++
			if new(big.Int).SetBytes(last).Uint64() >= height {
				s.early++
			}
			s.mu.Unlock()
		}
		for _, who := range group {
			sig, err := ipc.Sign(s.rig.set[who], cp.Hash())
			if err != nil {
				return err
			}
			proof, err := tree.Proof(who)
			if err != nil {
				return err
			}
			data, err := abi.Pack("addCheckpointSignature", block.Number, proof, common.Big1, sig)
			if err != nil {
				return err
			}
			if _, err := s.chain.try(ctx, s.rig.set[who], &s.inner, nil, 0, data); err != nil {
				return fmt.Errorf("sign checkpoint %d: %w", height, err)
			}
		}
	}
	return nil
}

type execKey = *ecdsa.PrivateKey

func mustPack(a abi.ABI, method string, args ...any) []byte {
	data, err := a.Pack(method, args...)
	if err != nil {
		panic(err)
	}
	return data
}

// What users do.

func (r *rig) note(receipt *types.Receipt, w want) common.Hash {
	r.sent[receipt.TxHash] = w
	return receipt.TxHash
}

func (r *rig) depositFLT(to common.Address, amount *big.Int) {
	r.t.Helper()
	data := r.root.pack("RootGateway", "fundWithToken", r.flt.id, ipc.FromEVM(to), amount)
	r.note(r.root.send(r.user, r.gateway, nil, data), want{"flt_deposit", amount, tokens.Done})
}

func (r *rig) withdrawFLT(to common.Address, amount *big.Int) {
	r.t.Helper()
	data := r.root.pack("ChildGateway", "release", ipc.FromEVM(to))
	receipt := r.flt.chain.send(r.user, r.flt.inner, amount, data)
	r.note(receipt, want{"flt_withdraw", amount, tokens.Done})
}

func (r *rig) depositUSDC(to common.Address, amount *big.Int) {
	r.t.Helper()
	data := r.root.pack("Controller", "linkedTransfer", to, amount)
	r.note(r.root.send(r.user, r.controller, nil, data), want{"usdc_deposit", amount, tokens.Done})
}

func (r *rig) withdrawUSDC(to common.Address, amount *big.Int) {
	r.t.Helper()
	data := r.root.pack("Replica", "linkedTransfer", to, amount)
	r.note(r.usdc.chain.send(r.user, r.replica, nil, data), want{"usdc_withdraw", amount, tokens.Done})
}

// transfers asks the API.
func (r *rig) transfers(ctx context.Context) ([]api.Transfer, error) {
	var page struct {
		Transfers []api.Transfer `json:"transfers"`
	}
	err := r.get(ctx, "/v1/transfers?limit=100", &page)
	return page.Transfers, err
}

func (r *rig) get(ctx context.Context, path string, into any) error {
	return r.read(ctx, r.url+path, into)
}

func (r *rig) read(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(into)
}

// settled waits until n transfers are there and all have ended.
func (r *rig) settled(n int, limit time.Duration) []api.Transfer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	for {
		all, err := r.transfers(ctx)
		pending := 0
		for _, t := range all {
			if !t.Status.Terminal() {
				pending++
			}
		}
		if err == nil && pending == 0 && len(all) >= n {
			return all
		}
		select {
		case <-ctx.Done():
			for _, t := range all {
				r.t.Logf("%s %s %s at %s: %s", t.Route, t.Amount, t.Status, t.Step, t.Error)
			}
			r.t.Fatalf("after %s: %d of %d transfers, %d pending (%v)", limit, len(all), n, pending, err)
		case <-time.After(300 * time.Millisecond):
		}
	}
}
