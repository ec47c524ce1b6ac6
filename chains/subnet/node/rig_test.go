package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
)

const (
	rootID   chains.ID = 31337
	subnetID chains.ID = 424242
)

var (
	rootGateway = common.HexToAddress("0x6a7e000000000000000000000000000000000001")
	actorAddr   = common.HexToAddress("0xac70000000000000000000000000000000000002")
	fastAddr    = common.HexToAddress("0xfa57000000000000000000000000000000000003")
)

// testKey makes the same key for the same name in every process.
func testKey(name string) *ecdsa.PrivateKey {
	k, err := crypto.ToECDSA(crypto.Keccak256([]byte("causeway node test " + name)))
	if err != nil {
		panic(err)
	}
	return k
}

func addrOf(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

// fakeParent is a root chain with one subnet, as a node sees it through RPC.
// It can lie, lag and reorganise.
type fakeParent struct {
	mu     sync.Mutex
	blocks []fakeBlock // index = number
	salt   common.Hash
	events []chains.Event

	nonce      uint64 // next
	rolling    common.Hash
	number     uint64
	changeHash common.Hash
	checkpoint uint64

	hideLogs   bool // answers with no logs at all
	forgeValue bool // answers with another value in each message
	noState    map[common.Hash]bool
	null       map[uint64]bool // heights without a block
	down       bool
	calls      int
	sent       []ipc.IpcEnvelope
	changed    []ipc.PowerChangeRequest
	recoveries bindings.Recoveries
}

type fakeBlock struct {
	chains.Block
	messages, changes fold
	checkpoint        uint64
	recoveries        bindings.Recoveries
}

const bootstrapNumber = 3

func newFakeParent(seed string) *fakeParent {
	p := &fakeParent{noState: map[common.Hash]bool{}}
	for range bootstrapNumber + 1 {
		p.grow(seed)
	}
	p.salt = ipc.Salt(uint64(rootID), rootGateway, actorAddr, p.blocks[bootstrapNumber].Hash)
	p.rolling, p.changeHash = p.salt, p.salt
	for i := range p.blocks {
		p.blocks[i].messages.Hash, p.blocks[i].changes.Hash = p.salt, p.salt
	}
	return p
}

// grow adds a block that holds the events since the last one.
func (p *fakeParent) grow(seed string) {
	n := uint64(len(p.blocks))
	b := fakeBlock{Block: chains.Block{Number: n, Time: 1_700_000_000 + n}}
	b.Hash = crypto.Keccak256Hash([]byte(fmt.Sprintf("%s %d", seed, n)))
	if n > 0 {
		b.Parent = p.blocks[n-1].Hash
	}
	b.messages, b.changes = fold{p.nonce, p.rolling}, fold{p.number, p.changeHash}
	b.checkpoint, b.recoveries = p.checkpoint, p.recoveries
	for i := range p.events {
		if p.events[i].Block == 0 {
			p.events[i].Block, p.events[i].BlockHash = n, b.Hash
		}
	}
	p.blocks = append(p.blocks, b)
}

func (p *fakeParent) mine(blocks int) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range blocks {
		p.grow("main")
	}
	return uint64(len(p.blocks) - 1)
}

// send queues a transfer of value to an address; the next block holds it.
func (p *fakeParent) send(to common.Address, value int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	network := ipc.NewSubnetID(uint64(rootID))
	msg := ipc.IpcEnvelope{
		Kind: ipc.KindTransfer, LocalNonce: p.nonce, OriginalNonce: p.nonce, Value: big.NewInt(value),
		To: ipc.NewAddress(network.Child(actorAddr), to), From: ipc.NewAddress(network, addrOf(testKey("root user"))),
		Message: []byte{},
	}
	data, err := ipc.EncodeEnvelope(msg)
	if err != nil {
		panic(err)
	}
	id := msg.TracingID()
	p.events = append(p.events, chains.Event{
		Chain: rootID, Address: rootGateway, Data: data, Index: uint(len(p.events)),
		Topics: []common.Hash{ipc.TopicNewTopDownMessage, common.BytesToHash(actorAddr[:]), id},
	})
	p.rolling = ipc.Roll(p.rolling, msg.Hash())
	p.nonce++
	p.sent = append(p.sent, msg)
}

// change queues a power change.
func (p *fakeParent) change(validator common.Address, weight *big.Int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queueChange(ipc.SetPower(p.number+1, validator, weight))
}

// fork replaces the blocks from a height on, and adds some.
func (p *fakeParent) fork(from uint64, more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := len(p.blocks) + more
	p.blocks = p.blocks[:from]
	for len(p.blocks) < until {
		p.grow("fork")
	}
}

// revert takes the blocks from a height on back, with all that they held. The
// blocks after are of another branch.
func (p *fakeParent) revert(from uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocks = p.blocks[:from]
	top := p.blocks[from-1]
	p.nonce, p.rolling = top.messages.Count, top.messages.Hash
	p.number, p.changeHash = top.changes.Count, top.changes.Hash
	p.recoveries, p.sent, p.changed = top.recoveries, p.sent[:p.nonce], p.changed[:p.number]
	p.events = slices.DeleteFunc(p.events, func(e chains.Event) bool { return e.Block == 0 || e.Block >= from })
}

// branch adds blocks of the other branch and returns the height.
func (p *fakeParent) branch(blocks int) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range blocks {
		p.grow("fork")
	}
	return uint64(len(p.blocks) - 1)
}

// recover executes a recovery in the next block of the other branch, and adds
// some. The prefix is this chain's own.
func (p *fakeParent) recover(number, messages uint64) ipc.Recovery {
	p.mu.Lock()
	r := ipc.Recovery{Number: number, TopDownNonce: messages, TopDownHash: p.salt, PowerChangeNonce: p.number, PowerChangeHash: p.changeHash}
	for _, m := range p.sent[:messages] {
		r.TopDownHash = ipc.Roll(r.TopDownHash, m.Hash())
	}
	p.mu.Unlock()
	p.execute(r)
	return r
}

func (p *fakeParent) execute(r ipc.Recovery) {
	p.mu.Lock()
	p.recoveries.Last, p.recoveries.Executed, p.recoveries.ExecutedBlock = r.Number, bindings.Recovery(r), uint64(len(p.blocks))
	p.mu.Unlock()
	p.branch(3)
}

func (p *fakeParent) queueChange(c ipc.PowerChangeRequest) {
	spec := bindings.NewSubnetActor().GetABI()
	data, err := spec.Events["NewPowerChangeRequest"].Inputs.NonIndexed().Pack(c.Change.Op, c.Change.Validator, c.Change.Payload, c.ConfigurationNumber)
	if err != nil {
		panic(err)
	}
	p.events = append(p.events, chains.Event{
		Chain: rootID, Address: actorAddr, Data: data, Index: uint(len(p.events)),
		Topics: []common.Hash{ipc.TopicNewPowerChangeRequest},
	})
	p.number++
	p.changeHash = ipc.Roll(p.changeHash, c.Hash())
	p.changed = append(p.changed, c)
}

var errDown = errors.New("connection refused")

func (p *fakeParent) Head(context.Context) (chains.Block, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return chains.Block{}, errDown
	}
	return p.blocks[len(p.blocks)-1].Block, nil
}

func (p *fakeParent) Events(_ context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return chains.Block{}, nil, errDown
	}
	if q.From.Next >= uint64(len(p.blocks)) {
		return chains.Block{}, nil, errors.New("beyond the head")
	}
	if q.From.Parent != (common.Hash{}) && p.blocks[q.From.Next].Parent != q.From.Parent {
		return chains.Block{}, nil, chains.ErrReorg
	}
	last := p.blocks[min(q.To, q.From.Next+20, uint64(len(p.blocks)-1))]
	var out []chains.Event
	for _, e := range p.events {
		if p.hideLogs || e.Block < q.From.Next || e.Block > last.Number {
			continue
		}
		if p.forgeValue && e.Address == rootGateway {
			msg, _ := ipc.DecodeEnvelope(e.Data)
			msg.Value = new(big.Int).Add(msg.Value, big.NewInt(1))
			e.Data, _ = ipc.EncodeEnvelope(msg)
		}
		out = append(out, e)
	}
	return last.Block, out, nil
}

func (p *fakeParent) BlockByNumber(_ context.Context, n uint64) (chains.Block, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || n >= uint64(len(p.blocks)) {
		return chains.Block{}, errDown
	}
	if p.null[n] {
		return chains.Block{}, errors.New("null round")
	}
	return p.blocks[n].Block, nil
}

func (p *fakeParent) At(ctx context.Context, n uint64) (chains.Block, error) {
	for p.null[n] {
		n--
	}
	return p.BlockByNumber(ctx, n)
}

func (p *fakeParent) Call(_ context.Context, to common.Address, data []byte, at common.Hash) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.down || p.noState[at] {
		return nil, errDown
	}
	for _, b := range p.blocks {
		if b.Hash != at {
			continue
		}
		gateway, actor := bindings.NewGateway().GetABI(), bindings.NewSubnetActor().GetABI()
		is := func(m abi.Method) bool { return bytes.HasPrefix(data, m.ID) }
		switch {
		case to == rootGateway && is(gateway.Methods["getTopDownHash"]):
			return gateway.Methods["getTopDownHash"].Outputs.Pack(b.messages.Count, b.messages.Hash)
		case to == rootGateway && is(gateway.Methods["getRecoveries"]):
			return gateway.Methods["getRecoveries"].Outputs.Pack(b.recoveries)
		case to == actorAddr && is(actor.Methods["powerChangeHash"]):
			return actor.Methods["powerChangeHash"].Outputs.Pack(b.changes.Count, b.changes.Hash)
		case to == actorAddr && is(actor.Methods["lastBottomUpCheckpointHeight"]):
			return actor.Methods["lastBottomUpCheckpointHeight"].Outputs.Pack(new(big.Int).SetUint64(b.checkpoint))
		}
		return nil, fmt.Errorf("unexpected call %x to %s", data[:4], to)
	}
	return nil, errors.New("unknown block")
}

// testGenesis is a subnet of the given validators over a fake parent, with the
// real contracts.
func testGenesis(t testing.TB, p *fakeParent, period uint64, keys ...*ecdsa.PrivateKey) Genesis {
	t.Helper()
	s := deploy.Default()
	s.CheckPeriod = period
	coin := new(big.Int).Exp(big.NewInt(10), big.NewInt(21), nil)
	boot := deploy.Bootstrapped{
		Salt: p.salt, BlockNumber: bootstrapNumber, BlockHash: p.blocks[bootstrapNumber].Hash, Time: 1_700_000_000,
		Balances:   []deploy.Balance{{Account: addrOf(testKey("relayer")), Amount: deploy.NewUnits(coin)}},
		CircSupply: deploy.NewUnits(coin),
	}
	g := Genesis{
		ChainID: subnetID, SubnetID: Subnet{Root: uint64(rootID), Route: []common.Address{actorAddr}},
		RootChainID: rootID, RootGateway: rootGateway, SubnetActor: actorAddr,
		BootstrapBlock: boot.BlockNumber, BootstrapHash: boot.BlockHash, Salt: boot.Salt, ParentStart: boot.BlockNumber,
		Period: period, PowerScale: s.PowerScale, MajorityPercentage: s.Majority,
		Gateway: ipc.GatewayAddress, Outbox: deploy.OutboxAddress, FastWithdrawals: fastAddr,
	}
	for _, k := range keys {
		weight := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
		pub := crypto.FromECDSAPub(&k.PublicKey)
		boot.Validators = append(boot.Validators, deploy.Validator{Address: addrOf(k), Weight: deploy.NewUnits(weight), PublicKey: pub})
		g.Validators = append(g.Validators, Validator{Address: addrOf(k), PubKey: pub, Weight: weight.String()})
	}
	root := deploy.RootSet{ChainID: rootID, GenesisHash: common.Hash{1}, Gateway: rootGateway, Actor: actorAddr,
		Flt: common.Address{1}, Usdc: common.Address{2}, Registry: common.Address{3}, Controller: common.Address{4}, FastWithdrawals: fastAddr}
	gen, err := deploy.SubnetGenesis(deploy.GenesisParams{Root: root, Bootstrap: boot, Settings: s, ChainID: subnetID})
	require.NoError(t, err)
	g.EVM = gen
	require.NoError(t, g.Check())
	require.Equal(t, gen.ToBlock().Hash(), g.Hash(), "the deployment's genesis is the node's")
	return g
}

func testLog(t testing.TB) *slog.Logger {
	if os.Getenv("NODE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// rig is one running node with its clients.
type rig struct {
	t      testing.TB
	g      Genesis
	parent *fakeParent
	node   *Node
	rpc    *rpc.Client
	eth    *ethclient.Client
	home   string

	signer    *RemoteSigner // nil = the home's key
	consensus string        // socket of CometBFT's signer, "" = the home's key

	p2p             string // "" = any
	peers, evmPeers []string
	gossip          bool
}

func startRig(t testing.TB, period uint64) *rig {
	p := newFakeParent("main")
	g := testGenesis(t, p, period, testKey("validator 0"))
	r := &rig{t: t, g: g, parent: p, home: t.TempDir()}
	require.NoError(t, InitHome(r.home, g, testKey("validator 0")))
	r.start()
	t.Cleanup(func() { require.NoError(t, r.node.Stop()) })
	return r
}

func (r *rig) config() Config {
	cfg := Default(r.home, r.parent)
	cfg.ParentPoll = 50 * time.Millisecond
	cfg.Log = testLog(r.t)
	cfg.ConsensusSigner = r.consensus
	if r.signer != nil {
		cfg.Signer = r.signer
	}
	if r.gossip {
		cfg.P2PAddr, cfg.Peers = r.p2p, r.peers
		cfg.EVMP2PAddr, cfg.EVMPeers = "127.0.0.1:0", r.evmPeers
	}
	return cfg
}

func (r *rig) start() {
	var err error
	r.node, err = Start(context.Background(), r.config())
	require.NoError(r.t, err)
	r.rpc, err = rpc.Dial(r.node.Addrs().WS)
	require.NoError(r.t, err)
	r.eth = ethclient.NewClient(r.rpc)
}

func (r *rig) restart() {
	r.rpc.Close()
	require.NoError(r.t, r.node.Stop())
	r.start()
}

// eventually waits for a condition; it never sleeps without one.
func eventually(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *rig) reach(height uint64) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("height %d", height), 60*time.Second, func() bool { return r.node.Height() >= height })
}

func call[T any](r *rig, method string, args ...any) T {
	r.t.Helper()
	var out T
	require.NoError(r.t, r.rpc.CallContext(context.Background(), &out, "causeway_"+method, args...))
	return out
}

// transact sends a relayer transaction and waits for its receipt.
func (r *rig) transact(to common.Address, data []byte, value *big.Int) *types.Receipt {
	r.t.Helper()
	ctx, key := context.Background(), testKey("relayer")
	nonce, err := r.eth.PendingNonceAt(ctx, addrOf(key))
	require.NoError(r.t, err)
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(big.NewInt(int64(subnetID))), &types.DynamicFeeTx{
		ChainID: big.NewInt(int64(subnetID)), Nonce: nonce, To: &to, Data: data, Value: value, Gas: 10_000_000,
		GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1e10),
	})
	require.NoError(r.t, r.eth.SendTransaction(ctx, tx))
	var receipt *types.Receipt
	eventually(r.t, "a receipt", 30*time.Second, func() bool {
		receipt, err = r.eth.TransactionReceipt(ctx, tx.Hash())
		return err == nil
	})
	if receipt.Status == 0 {
		_, why := r.eth.CallContract(ctx, ethereum.CallMsg{From: addrOf(key), To: &to, Data: data, Value: value}, receipt.BlockNumber)
		r.t.Logf("transaction %d reverted in block %d with %d of %d gas: %v", nonce, receipt.BlockNumber, receipt.GasUsed, tx.Gas(), why)
	}
	return receipt
}

// finality waits for a statement that satisfies want.
func (r *rig) finality(what string, want func(Finality) bool) Finality {
	r.t.Helper()
	var found Finality
	eventually(r.t, what, 40*time.Second, func() bool {
		for _, f := range call[[]Finality](r, "parentFinalities", 0, 100) {
			if want(f) {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

func raw(sigs [][]byte, from []hexBytes) [][]byte {
	for _, s := range from {
		sigs = append(sigs, s)
	}
	return sigs
}

// carry commits a statement on the gateway, as the relayer does.
func (r *rig) carry(f Finality) *types.Receipt {
	r.t.Helper()
	st := bindings.ParentFinality{
		SignerConfig: f.Statement.SignerConfig, ParentHeight: f.Statement.ParentHeight, ParentHash: f.Statement.ParentHash,
		TopDownNonce: f.Statement.TopDownNonce, TopDownHash: f.Statement.TopDownHash,
		PowerChangeNonce: f.Statement.PowerChangeNonce, PowerChangeHash: f.Statement.PowerChangeHash,
	}
	return r.transact(ipc.GatewayAddress, bindings.NewSubnetGateway().PackCommitParentFinality(st, f.Signatories, raw(nil, f.Signatures)), nil)
}
