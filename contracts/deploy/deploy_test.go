package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm/runtime"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/triedb"
	"github.com/stretchr/testify/require"
)

// born is a subnet's state as of its genesis block.
type born struct {
	t     *testing.T
	state *state.StateDB
	gen   *core.Genesis
}

func bear(t *testing.T, gen *core.Genesis) born {
	t.Helper()
	db := rawdb.NewMemoryDatabase()
	trie := triedb.NewDatabase(db, nil)
	t.Cleanup(func() { require.NoError(t, trie.Close()) })
	block, err := gen.Commit(db, trie, nil)
	require.NoError(t, err)
	st, err := state.New(block.Root(), state.NewDatabase(trie, state.NewCodeDB(db)))
	require.NoError(t, err)
	return born{t: t, state: st, gen: gen}
}

func view[T any](b born, to common.Address, data []byte, unpack func([]byte) (T, error)) T {
	b.t.Helper()
	raw, _, err := runtime.Call(to, data, &runtime.Config{State: b.state.Copy(), ChainConfig: b.gen.Config, BlockNumber: common.Big1, GasLimit: 10_000_000})
	require.NoError(b.t, err)
	out, err := unpack(raw)
	require.NoError(b.t, err)
	return out
}

func rootView[T any](t *testing.T, r *rig, to common.Address, data []byte, unpack func([]byte) (T, error)) T {
	t.Helper()
	raw, err := r.client.CallContract(t.Context(), ethereum.CallMsg{To: &to, Data: data}, nil)
	require.NoError(t, err)
	out, err := unpack(raw)
	require.NoError(t, err)
	return out
}

func TestADeploymentEndsWithTwoSidesThatAgree(t *testing.T) {
	r := newRig(t, 2)
	p, err := r.all(t, r.env(t))
	require.NoError(t, err)
	gen, err := deploy.SubnetGenesis(p)
	require.NoError(t, err)
	b := bear(t, gen)
	set, subnet := p.Root, bindings.SubnetID(p.Root.Subnet())

	// The subnet gateway begins where the root's queue begins.
	sg, rg := bindings.NewSubnetGateway(), bindings.NewGateway()
	head := view(b, ipc.GatewayAddress, sg.PackAppliedTopDown(), sg.UnpackAppliedTopDown)
	require.Zero(t, head.Nonce)
	require.Equal(t, p.Bootstrap.Salt, common.Hash(head.Hash))
	queue := rootView(t, r, set.Gateway, rg.PackGetTopDownHash(subnet), rg.UnpackGetTopDownHash)
	require.Equal(t, head.Nonce, queue.Nonce)
	require.Equal(t, head.Hash, queue.Hash)
	changes := view(b, ipc.GatewayAddress, sg.PackAppliedPowerChanges(), sg.UnpackAppliedPowerChanges)
	wanted := rootView(t, r, set.Gateway, rg.PackGetPowerChangeHash(subnet), rg.UnpackGetPowerChangeHash)
	require.Equal(t, wanted.Number, changes.Number)
	require.Equal(t, wanted.Hash, changes.Hash)
	require.Equal(t, subnet, view(b, ipc.GatewayAddress, sg.PackGetNetworkName(), sg.UnpackGetNetworkName))
	domain := ipc.Domain{ChainID: gen.Config.ChainID.Uint64(), VerifyingContract: ipc.GatewayAddress, Salt: p.Bootstrap.Salt}
	require.Equal(t, domain.Separator(), common.Hash(view(b, ipc.GatewayAddress, sg.PackDomainSeparator(), sg.UnpackDomainSeparator)))

	// Both know the same validators with the same weights.
	members := view(b, ipc.GatewayAddress, sg.PackGetCurrentMembership(), sg.UnpackGetCurrentMembership)
	require.Len(t, members.Validators, len(r.validators))
	total := new(big.Int)
	for _, m := range members.Validators {
		total.Add(total, m.Weight)
	}
	sa := bindings.NewSubnetActor()
	require.Equal(t, rootView(t, r, set.Actor, sa.PackGetTotalPower(), sa.UnpackGetTotalPower), total)

	// What is locked on the root exists in the subnet, beside the treasury.
	supply := ether(300)
	require.Equal(t, supply, p.Bootstrap.CircSupply.Int())
	require.Equal(t, supply, rootView(t, r, set.Gateway, rg.PackGetCounters(subnet), rg.UnpackGetCounters).PreFunded)
	require.Equal(t, supply, view(b, ipc.GatewayAddress, sg.PackGetCounters(), sg.UnpackGetCounters).PreFunded)
	require.Equal(t, set.Gateway, view(b, ipc.GatewayAddress, sg.PackRootGateway(), sg.UnpackRootGateway))
	flt := bindings.NewDevFlt()
	require.Equal(t, supply, rootView(t, r, set.Flt, flt.PackBalanceOf(set.Gateway), flt.UnpackBalanceOf))
	outside := new(big.Int)
	for addr, account := range gen.Alloc {
		if addr != ipc.GatewayAddress {
			outside.Add(outside, account.Balance)
		}
	}
	require.Equal(t, supply, outside)
	require.Equal(t, new(big.Int).Lsh(common.Big1, 100), b.state.GetBalance(ipc.GatewayAddress).ToBig())

	// USDC.
	lr := bindings.NewLinkedTokenReplica()
	require.EqualValues(t, 6, view(b, deploy.ReplicaAddress, lr.PackDecimals(), lr.UnpackDecimals))
	require.Equal(t, "USDC", view(b, deploy.ReplicaAddress, lr.PackSymbol(), lr.UnpackSymbol))
	require.Equal(t, big.NewInt(1e12), view(b, deploy.ReplicaAddress, lr.PackMintCap(), lr.UnpackMintCap))

	// A withdrawal has one id on both sides and in Go.
	ob, fw := bindings.NewWithdrawalOutbox(), bindings.NewFastWithdrawals()
	w := bindings.Withdrawal{
		SubnetKey: p.Root.Subnet().Hash(), Outbox: deploy.OutboxAddress, Nonce: 7, Token: set.Usdc,
		Sender: common.Address{1}, Recipient: common.Address{2}, FallbackRecipient: common.Address{3},
		Gross: big.NewInt(1_000_000), MinOut: new(big.Int), Height: 12,
	}
	id := view(b, deploy.OutboxAddress, ob.PackWithdrawalId(w), ob.UnpackWithdrawalId)
	require.Equal(t, id, rootView(t, r, set.FastWithdrawals, fw.PackWithdrawalId(w), fw.UnpackWithdrawalId))
	require.Equal(t, common.Hash(id), ipc.WithdrawalID(rootChainID, set.FastWithdrawals, ipc.Withdrawal(w)))
	for token, want := range map[common.Address][2]*big.Int{
		set.Flt: {big.NewInt(1e15), ether(1_000_000)}, set.Usdc: {big.NewInt(1), big.NewInt(1e12)},
	} {
		limits := view(b, deploy.OutboxAddress, ob.PackLimits(token), ob.UnpackLimits)
		require.Equal(t, want, [2]*big.Int{limits.Min, limits.Max})
	}

	// It knows by name whom the root would not pay.
	for _, to := range []common.Address{set.Gateway, set.Controller, set.FastWithdrawals, set.Flt, set.Usdc, set.Actor} {
		call := ob.PackWithdraw(bindings.WithdrawalRequest{
			Token: set.Usdc, Amount: big.NewInt(1), Recipient: common.Address{3}, FallbackRecipient: to, MinOut: new(big.Int),
		})
		raw, _, err := runtime.Call(deploy.OutboxAddress, call, &runtime.Config{State: b.state.Copy(), ChainConfig: gen.Config, BlockNumber: common.Big1, GasLimit: 10_000_000})
		require.Error(t, err)
		refused, err := ob.UnpackError(raw)
		require.NoError(t, err)
		require.Equal(t, &bindings.WithdrawalOutboxInvalidRecipient{Recipient: to}, refused)
	}
}

func TestTheSameInputsGiveTheSameGenesisAndTheFileKeepsThem(t *testing.T) {
	r := newRig(t, 2)
	p, err := r.all(t, r.env(t))
	require.NoError(t, err)
	bytesOf := func(p deploy.GenesisParams) string {
		gen, err := deploy.SubnetGenesis(p)
		require.NoError(t, err)
		raw, err := json.Marshal(gen)
		require.NoError(t, err)
		return string(raw)
	}
	first := bytesOf(p)
	require.Equal(t, first, bytesOf(p))

	d, err := deploy.NewDeployment(p)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "deployment.json")
	require.NoError(t, deploy.WriteDeployment(path, d))
	back, err := deploy.ReadDeployment(path)
	require.NoError(t, err)
	require.Equal(t, first, bytesOf(back.GenesisParams()))
	require.Equal(t, d.Subnet, back.Subnet)

	t.Run("a file that was changed is refused", func(t *testing.T) {
		for name, change := range map[string]func(*deploy.Deployment){
			"version":     func(d *deploy.Deployment) { d.Version++ },
			"generation":  func(d *deploy.Deployment) { d.Generation = "Z" },
			"salt":        func(d *deploy.Deployment) { d.Bootstrap.Salt[0] ^= 1 },
			"block":       func(d *deploy.Deployment) { d.Bootstrap.BlockHash[0] ^= 1 },
			"gateway":     func(d *deploy.Deployment) { d.Root.Gateway[0] ^= 1 },
			"actor":       func(d *deploy.Deployment) { d.Root.Actor[0] ^= 1 },
			"token":       func(d *deploy.Deployment) { d.Root.Usdc = common.Address{} },
			"outbox":      func(d *deploy.Deployment) { d.Subnet.Outbox[0] ^= 1 },
			"subnet id":   func(d *deploy.Deployment) { d.Subnet.ID += "0" },
			"supply":      func(d *deploy.Deployment) { d.Bootstrap.CircSupply = deploy.NewUnits(big.NewInt(1)) },
			"treasury":    func(d *deploy.Deployment) { d.Settings.Treasury = deploy.NewUnits(big.NewInt(1)) },
			"genesis":     func(d *deploy.Deployment) { d.Subnet.GenesisHash = common.Hash{} },
			"same chains": func(d *deploy.Deployment) { d.Subnet.ChainID = d.Root.ChainID },
		} {
			bad := back
			change(&bad)
			require.Error(t, bad.Check(), name)
		}
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		var loose map[string]any
		require.NoError(t, json.Unmarshal(raw, &loose))
		loose["surprise"] = 1
		raw, err = json.Marshal(loose)
		require.NoError(t, err)
		_, err = deploy.DecodeDeployment(raw)
		require.ErrorContains(t, err, "surprise")
	})

	t.Run("a genesis that disagrees with its root is refused", func(t *testing.T) {
		bad := p
		bad.Bootstrap.Balances = bad.Bootstrap.Balances[1:]
		_, err := deploy.SubnetGenesis(bad)
		require.ErrorContains(t, err, "the root has locked")
		bad = p
		bad.Bootstrap.BlockHash[3] ^= 1
		_, err = deploy.SubnetGenesis(bad)
		require.ErrorContains(t, err, "salt")
	})
}

var errDead = errors.New("killed")

// mortal is a backend that dies at the nth call: from then on the process that
// uses it gets nothing done. Every other one dies after the node has taken the
// call, when the answer is lost. A process has one life on all its chains.
type mortal struct {
	*rigBackend
	*life
}

type life struct {
	left  int
	after bool
	dead  context.CancelFunc
}

type rigBackend struct{ deploy.Backend }

func (m *life) gone() bool {
	m.left--
	if m.left < 0 || (m.left == 0 && !m.after) {
		m.dead()
		return true
	}
	return false
}

func (m *mortal) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	if m.gone() {
		return errDead
	}
	err := m.rigBackend.SendTransaction(ctx, tx)
	if m.left == 0 {
		m.dead()
		return errDead
	}
	return err
}

func (m *mortal) TransactionReceipt(ctx context.Context, h common.Hash) (*types.Receipt, error) {
	if m.gone() {
		return nil, errDead
	}
	return m.rigBackend.TransactionReceipt(ctx, h)
}

func (m *mortal) EstimateGas(ctx context.Context, msg ethereum.CallMsg) (uint64, error) {
	if m.gone() {
		return 0, errDead
	}
	return m.rigBackend.EstimateGas(ctx, msg)
}

func (m *mortal) PendingNonceAt(ctx context.Context, a common.Address) (uint64, error) {
	if m.gone() {
		return 0, errDead
	}
	return m.rigBackend.PendingNonceAt(ctx, a)
}

func (m *mortal) HeaderByNumber(ctx context.Context, n *big.Int) (*types.Header, error) {
	if m.gone() {
		return nil, errDead
	}
	return m.rigBackend.HeaderByNumber(ctx, n)
}

// Whenever it is killed and however often, a deployment run again with its
// state file ends with exactly one set.
func TestAKilledDeploymentGoesOnAndMakesOneSet(t *testing.T) {
	r := newRig(t, 2)
	env := r.env(t)
	var p deploy.GenesisParams
	kills := 0
	for {
		ctx, cancel := context.WithCancel(t.Context())
		mortalEnv := env
		mortalEnv.Backend = &mortal{&rigBackend{r.client}, &life{left: 4 + kills, after: kills%2 == 0, dead: cancel}}
		var err error
		p, err = r.allIn(ctx, mortalEnv)
		cancel()
		if err == nil {
			break
		}
		require.True(t, errors.Is(err, errDead) || errors.Is(err, context.Canceled), err)
		kills++
		require.Less(t, kills, 1000, "never ends: %v", err)
	}
	require.Greater(t, kills, 5)
	t.Logf("finished after %d kills", kills)

	// Each step used one nonce of its account.
	nonce := func(a common.Address) uint64 {
		n, err := r.client.NonceAt(t.Context(), a, nil)
		require.NoError(t, err)
		return n
	}
	const steps = 3 /* gateway, tokens */ + 1 /* registry */ + 2 /* actor, approval */ + 2 /* linked */ + 2 /* mints */ + 1 /* record */
	require.EqualValues(t, steps, nonce(r.deployer.Address()))
	for _, k := range r.validators {
		require.EqualValues(t, 1, nonce(crypto.PubkeyToAddress(k.PublicKey)))
	}
	for _, k := range r.funders {
		require.EqualValues(t, 2, nonce(crypto.PubkeyToAddress(k.PublicKey)))
	}
	_, err := deploy.SubnetGenesis(p)
	require.NoError(t, err)

	again, err := r.all(t, env)
	require.NoError(t, err)
	require.Equal(t, p, again, "a finished deployment is read back, not repeated")
	require.EqualValues(t, steps, nonce(r.deployer.Address()))
}

func TestAReorgDuringTheDeploymentLosesNothing(t *testing.T) {
	r := newRig(t, 24)
	env := r.env(t)
	done := make(chan error, 1)
	go func() {
		_, err := r.all(t, env)
		done <- err
	}()
	reorgs := 0
	tick := time.NewTicker(6 * blockTime)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			require.NoError(t, err)
			require.Positive(t, reorgs)
			return
		case <-tick.C:
			if r.chain.Head().Number < 10 || reorgs > 12 {
				continue
			}
			require.NoError(t, r.chain.Reorg(t.Context(), 4))
			require.NoError(t, r.chain.DropPending())
			reorgs++
		}
	}
}

func TestAMissedWindowIsClosedByANewAnnouncement(t *testing.T) {
	r := newRig(t, 2)
	env := r.env(t)
	set, err := deploy.Root(t.Context(), env, r.deployer, r.rootParams())
	require.NoError(t, err)
	require.NoError(t, deploy.Mint(t.Context(), env, r.deployer, r.grants(set)))

	// The run ends when everybody has joined.
	ctx, cancel := context.WithCancel(t.Context())
	watching := env
	watching.Backend = &stopAtRecord{rigBackend: &rigBackend{r.client}, actor: set.Actor, stop: cancel}
	_, err = deploy.Bootstrap(ctx, watching, set, r.deployer, r.bootstrapParams())
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.chain.Mine(t.Context(), 300))

	boot, err := deploy.Bootstrap(t.Context(), env, set, r.deployer, r.bootstrapParams())
	require.NoError(t, err)
	require.Greater(t, boot.BlockNumber, uint64(300))
}

// stopAtRecord cancels the run at the first simulation of recordBootstrap.
type stopAtRecord struct {
	*rigBackend
	actor common.Address
	stop  context.CancelFunc
}

func (s *stopAtRecord) EstimateGas(ctx context.Context, msg ethereum.CallMsg) (uint64, error) {
	record := bindings.NewSubnetActor().PackRecordBootstrap()
	if msg.To != nil && *msg.To == s.actor && string(msg.Data) == string(record) {
		s.stop()
		return 0, context.Canceled
	}
	return s.rigBackend.EstimateGas(ctx, msg)
}

func TestAStateFileServesOneDeploymentOnly(t *testing.T) {
	r := newRig(t, 2)
	env := r.env(t)
	_, err := deploy.Root(t.Context(), env, r.deployer, r.rootParams())
	require.NoError(t, err)

	p := r.rootParams()
	p.Settings.RootMessageGas++
	_, err = deploy.Root(t.Context(), env, r.deployer, p)
	require.ErrorIs(t, err, deploy.ErrOtherState, "other parameters")

	other := newRig(t, 2)
	env.Backend = other.client
	_, err = deploy.Root(t.Context(), env, other.deployer, other.rootParams())
	require.ErrorIs(t, err, deploy.ErrOtherState, "another chain")
}

func TestANonceTakenBySomebodyElseIsNamed(t *testing.T) {
	r := newRig(t, 2)
	env := r.env(t)
	r.chain.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := deploy.Root(ctx, env, r.deployer, r.rootParams())
	require.ErrorIs(t, err, context.DeadlineExceeded)

	// The same account sends something else with the nonces already given out.
	require.NoError(t, r.chain.DropPending())
	k := key("deployer", t.Name())
	for n := range uint64(3) {
		tx := types.MustSignNewTx(k, types.LatestSignerForChainID(big.NewInt(rootChainID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(rootChainID), Nonce: n, To: &common.Address{9}, Gas: params.TxGas,
			GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
		})
		require.NoError(t, r.client.SendTransaction(t.Context(), tx))
	}
	require.NoError(t, r.chain.Mine(t.Context(), 4))
	_, err = deploy.Root(t.Context(), env, r.deployer, r.rootParams())
	require.ErrorIs(t, err, deploy.ErrNonceTaken)
}

// lateHead tells of a receipt before its head is the block of it, as a node does
// for a moment; what stands on that block cannot be simulated until then.
type lateHead struct {
	*rigBackend
	seen   map[common.Hash]bool
	behind int
	block  *big.Int
}

func (l *lateHead) TransactionReceipt(ctx context.Context, h common.Hash) (*types.Receipt, error) {
	r, err := l.rigBackend.TransactionReceipt(ctx, h)
	if err == nil && !l.seen[h] {
		l.seen[h], l.behind, l.block = true, 3, r.BlockNumber
	}
	return r, err
}

func (l *lateHead) HeaderByNumber(ctx context.Context, n *big.Int) (*types.Header, error) {
	if n == nil && l.behind > 0 {
		l.behind--
		return l.rigBackend.HeaderByNumber(ctx, new(big.Int).Sub(l.block, common.Big1))
	}
	return l.rigBackend.HeaderByNumber(ctx, n)
}

func (l *lateHead) EstimateGas(ctx context.Context, msg ethereum.CallMsg) (uint64, error) {
	if l.behind > 0 {
		return 0, errors.New("execution reverted")
	}
	return l.rigBackend.EstimateGas(ctx, msg)
}

func TestAReceiptAheadOfItsHeadIsNotBuiltOnYet(t *testing.T) {
	r := newRig(t, 2)
	env := r.env(t)
	env.Backend = &lateHead{rigBackend: &rigBackend{r.client}, seen: map[common.Hash]bool{}}
	_, err := deploy.Root(t.Context(), env, r.deployer, r.rootParams())
	require.NoError(t, err)
}
