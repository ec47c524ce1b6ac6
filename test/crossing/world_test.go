package crossing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/relayer/work"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const (
	onL1, onRoot = "Ethereum", "filecoin"
	quick        = 40 * time.Millisecond
	pace         = 100 * time.Millisecond // of blocks, and of whoever follows them
)

// side is a real chain with the published contracts, and one account that owns and
// sends everything but what the relayer sends.
type side struct {
	name    string // at Axelar
	called  string // as in cursors
	id      chains.ID
	chain   *devchain.Chain
	eth     *ethclient.Client
	client  *evm.Client
	source  *ethereum.Source
	set     deploy.AxelarSet
	gateway axelar.Gateway
	service axelar.Service
	key     *ecdsa.PrivateKey
	carrier *ecdsa.PrivateKey // the relayer's
	sender  *evm.TxManager
	token   common.Address

	mu    sync.Mutex
	nonce uint64
}

// lanes are both directions between two such chains, with everything that carries
// messages over them: signers with ledgers, a store, watchers and workers. What
// others send of the token is carried too, so that anything can be sent.
type lanes struct {
	t       *testing.T // of the row that is at work
	whole   *testing.T
	sides   map[string]*side
	hub     axelar.Hub
	tokenID common.Hash
	flt     common.Address // FltSender
	keys    []*ecdsa.PrivateKey
	sets    []axelar.WeightedSigners // the first is in force, the second may follow
	db      *store.DB
	ahead   atomic.Int64 // of the store's clock, in seconds
	signing map[int]func()
	folders []string

	mu    sync.Mutex
	paid  map[common.Address]*big.Int // what must have arrived, by recipient
	next  int64
	lost  map[string]*big.Int // sent to a chain and held up for good
	moved map[string]*big.Int // sent to a chain
}

func newLanes(t *testing.T, generation string) *lanes {
	w := &lanes{
		t: t, whole: t, sides: map[string]*side{}, hub: axelar.Hub{Address: hubName, Services: map[string]common.Address{}}, signing: map[int]func(){},
		paid: map[common.Address]*big.Int{}, lost: map[string]*big.Int{onL1: {}, onRoot: {}}, moved: map[string]*big.Int{onL1: {}, onRoot: {}},
	}
	for range 4 {
		key, err := crypto.GenerateKey()
		require.NoError(t, err)
		w.keys, w.folders = append(w.keys, key), append(w.folders, t.TempDir())
	}
	w.sets = []axelar.WeightedSigners{w.setOf(1, 0, 1, 2), w.setOf(2, 1, 2, 3)}
	w.deploy(generation)
	w.register()
	for i := range 3 {
		w.start(i)
	}
	w.bring()
	w.run()
	return w
}

// setOf is a set of the keys with those numbers, of which two suffice.
func (w *lanes) setOf(nonce byte, numbers ...int) axelar.WeightedSigners {
	s := axelar.WeightedSigners{Threshold: big.NewInt(2), Nonce: common.Hash{31: nonce}}
	for _, i := range numbers {
		s.Signers = append(s.Signers, axelar.WeightedSigner{Signer: crypto.PubkeyToAddress(w.keys[i].PublicKey), Weight: big.NewInt(1)})
	}
	slices.SortFunc(s.Signers, func(a, b axelar.WeightedSigner) int { return a.Signer.Cmp(b.Signer) })
	return s
}

// deploy puts Axelar's contracts on both chains at once. An Amplifier gateway keeps
// no older set.
func (w *lanes) deploy(generation string) {
	artifacts, err := deploy.OpenArtifacts("")
	require.NoError(w.t, err)
	ids := map[string]chains.ID{onL1: 51_001, onRoot: 51_002}
	for name, called := range map[string]string{onL1: flow.Ethereum, onRoot: flow.Root} {
		s := &side{name: name, called: called, id: ids[name]}
		w.sides[name] = s
		s.key, err = crypto.GenerateKey()
		require.NoError(w.t, err)
		s.carrier, err = crypto.GenerateKey()
		require.NoError(w.t, err)
		rich := new(big.Int).Lsh(big.NewInt(1), 90)
		s.chain, err = devchain.Start(w.t.Context(), devchain.Config{ChainID: s.id, Period: pace, FinalityDepth: 2, Alloc: map[common.Address]*big.Int{
			crypto.PubkeyToAddress(s.key.PublicKey): rich, crypto.PubkeyToAddress(s.carrier.PublicKey): rich,
		}})
		require.NoError(w.t, err)
		w.t.Cleanup(func() { require.NoError(w.t, s.chain.Close()) })
		s.eth = ethclient.NewClient(s.chain.RPC())
		w.t.Cleanup(s.eth.Close)
		s.client = w.dial(s)
		s.source, err = ethereum.New(s.client)
		require.NoError(w.t, err)
	}
	group, ctx := errgroup.WithContext(w.t.Context())
	for name, s := range w.sides {
		group.Go(func() (err error) {
			p := deploy.AxelarParams{
				Artifacts: artifacts, Gateway: generation, Chain: name, Trusted: []string{w.other(name).name}, Hub: hubName, Threshold: 2,
				Domain: crypto.Keccak256Hash([]byte(name)), Nonce: w.sets[0].Nonce,
			}
			for _, one := range w.sets[0].Signers {
				p.Signers = append(p.Signers, deploy.Weighted{Address: one.Signer, Weight: 1})
			}
			s.set, err = deploy.Axelar(ctx, w.env(s), deploy.KeySigner(s.key), p)
			return err
		})
	}
	require.NoError(w.t, group.Wait())
	for name, s := range w.sides {
		w.hub.Services[name] = s.set.Service
		s.gateway, err = axelar.Probe(w.t.Context(), newest{s.eth}, s.id, s.set.Gateway)
		require.NoError(w.t, err)
		s.service, err = axelar.ProbeService(w.t.Context(), newest{s.eth}, s.set.Service)
		require.NoError(w.t, err)
	}
}

func (w *lanes) dial(s *side) *evm.Client {
	c, err := evm.Dial(w.whole.Context(), evm.Config{Name: s.called, URL: s.chain.HTTP(), ChainID: s.id, Finality: "finalized", CheckHeaders: true, MaxAhead: -1}, nil)
	require.NoError(w.t, err)
	w.whole.Cleanup(c.Close)
	return c
}

func (w *lanes) env(s *side) deploy.Env {
	return deploy.Env{Backend: s.eth, StateFile: filepath.Join(w.t.TempDir(), "state.json"), Poll: 5 * time.Millisecond}
}

func (w *lanes) other(name string) *side {
	if name == onL1 {
		return w.sides[onRoot]
	}
	return w.sides[onL1]
}

// register makes FLT and FltSender on Ethereum. Nothing stands where its deposits
// go.
func (w *lanes) register() {
	t, s := w.t, w.sides[onL1]
	artifacts, err := deploy.OpenArtifacts("")
	require.NoError(t, err)
	env, owner := w.env(s), deploy.KeySigner(s.key)
	s.token, err = deploy.L1Token(t.Context(), env, owner, ether(1_000_000))
	require.NoError(t, err)
	token, err := deploy.RegisterCanonical(t.Context(), env, owner, artifacts, s.set, w.sides[onRoot].set, s.token)
	require.NoError(t, err)
	w.tokenID = token.ID
	flt := bindings.NewDevFlt()
	w.send(s, &s.token, flt.PackApprove(s.set.Service, ether(1_000_000)))
	code, err := bindings.FltSenderMetaData.ParseABI()
	require.NoError(t, err)
	args, err := code.Pack("", bindings.FltSenderParams{
		Its: s.set.Service, TokenId: w.tokenID, RootChain: onRoot, Handler: handler, Subnet: bindings.SubnetID(subnetID()), Min: ether(1), Max: ether(1000),
	})
	require.NoError(t, err)
	w.flt = w.send(s, nil, append(common.FromHex(bindings.FltSenderMetaData.Bin), args...)).ContractAddress
	w.sides[onRoot].token, err = deploy.InterchainToken(t.Context(), w.sides[onRoot].eth, artifacts, w.sides[onRoot].set, w.tokenID)
	require.NoError(t, err)
}

// bring carries the order to make the token on the root, which is no transfer.
func (w *lanes) bring() {
	var made []sent
	root := w.sides[onRoot]
	require.Eventually(w.t, func() bool {
		made = w.sent(onL1)
		return len(made) == 1
	}, time.Minute, quick)
	q := w.quorum(root)
	var signed []flow.Signed
	wanted := []flow.Wanted{{From: onL1, ID: made[0].id, Message: made[0].Message}}
	require.Eventually(w.t, func() bool {
		var err error
		signed, err = q.Approve(w.t.Context(), wanted)
		require.NoError(w.t, err)
		return len(signed) == 1
	}, time.Minute, quick)
	w.send(root, &signed[0].Tx.To, signed[0].Tx.Data)
	data, err := root.service.ExecuteCalldata(root.gateway.CommandID(made[0].Message), made[0].Message, made[0].Payload)
	require.NoError(w.t, err)
	w.send(root, &root.set.Service, data)
}

// sent is a message and the call that it began with.
type sent struct {
	id axelar.MessageID
	axelar.Routed
}

// sent lists what the token service of a chain has sent so far, final.
func (w *lanes) sent(from string) (out []sent) {
	s := w.sides[from]
	head, err := s.source.Head(w.t.Context())
	require.NoError(w.t, err)
	for at := (chains.Cursor{Chain: s.id}); at.Next <= head.Number; {
		last, events, err := s.source.Events(w.t.Context(), chains.Query{From: at, To: head.Number, Filter: axelar.Calls(s.gateway)})
		require.NoError(w.t, err)
		for _, e := range events {
			said, ok, err := s.gateway.Decode(e)
			require.True(w.t, ok && err == nil)
			id := axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}
			if r, err := w.hub.Route(from, id, said.(axelar.Called)); err == nil {
				out = append(out, sent{id, r})
			}
		}
		at.Next, at.Parent = last.Number+1, last.Hash
	}
	return out
}

// message is the one that a transaction began.
func (w *lanes) message(from string, tx common.Hash) (out sent) {
	require.Eventually(w.t, func() bool {
		all := w.sent(from)
		i := slices.IndexFunc(all, func(m sent) bool { return m.id.Tx == tx })
		if i >= 0 {
			out = all[i]
		}
		return i >= 0
	}, time.Minute, quick)
	return out
}

// start runs a signer in its folder, on endpoints of its own.
func (w *lanes) start(i int) {
	address := crypto.PubkeyToAddress(w.keys[i].PublicKey)
	ledger, err := approve.OpenLedger(w.folders[i], address)
	require.NoError(w.t, err)
	cfg := approve.SignerConfig{
		Address: address, Sign: func(d common.Hash) ([]byte, error) { return ipc.Sign(w.keys[i], d) }, Sets: w.sets, Ledger: ledger, Store: w.store(),
		Rules: approve.Rules{Hub: w.hub, Trusted: []string{onL1, onRoot}, Tokens: []approve.Token{{ID: w.tokenID, Home: onL1, Decimals: 18}}},
		Tick:  pace, Log: slog.New(slog.DiscardHandler),
	}
	for _, s := range w.sides {
		source, err := ethereum.New(w.dial(s))
		require.NoError(w.t, err)
		cfg.Chains = append(cfg.Chains, approve.Chain{
			Name: s.name, ID: s.id, Source: source, Gateway: s.gateway, Start: s.set.StartBlock, Tick: pace,
			Decimals: func(ctx context.Context, id common.Hash) (uint8, bool, error) {
				return s.service.Decimals(ctx, newest{s.eth}, id)
			},
		})
	}
	signer, err := approve.NewSigner(cfg)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.whole.Context())
	ended := make(chan error, 1)
	go func() { ended <- signer.Run(ctx) }()
	var once sync.Once
	w.signing[i] = func() {
		once.Do(func() {
			cancel()
			require.NoError(w.t, <-ended)
			require.NoError(w.t, ledger.Close())
		})
	}
	w.whole.Cleanup(w.signing[i])
}

// store is the relayer's; its clock runs fast, so that what waits is looked at
// again.
func (w *lanes) store() *store.DB {
	if w.db == nil {
		var err error
		w.db, err = store.Open(w.t.Context(), store.Options{
			URL: storetest.StartRedis(w.t).URL(), Namespace: "lanes", LeaseTime: 24 * time.Hour, PoolSize: 16,
			Clock: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load()) * time.Second) },
		})
		require.NoError(w.t, err)
		w.t.Cleanup(func() { _ = w.db.Close() })
	}
	return w.db
}

// pause lets no signer sign while f runs.
func (w *lanes) pause(f func()) {
	for i, stop := range w.signing {
		stop()
		delete(w.signing, i)
	}
	defer func() {
		for i := range 3 {
			w.start(i)
		}
	}()
	f()
}

func (w *lanes) quorum(s *side) *approve.Quorum {
	q, err := approve.NewQuorum(approve.QuorumConfig{
		To: s.name, Gateway: s.gateway, Sets: w.sets, Store: w.store(), MaxBatch: 5,
		Final: func(ctx context.Context, calls []axelar.Call) ([][]byte, error) {
			at, err := s.source.Head(ctx)
			if err != nil {
				return nil, err
			}
			return s.answers(ctx, calls, evm.AtHash(at.Hash))
		},
	})
	require.NoError(w.t, err)
	return q
}

func (s *side) answers(ctx context.Context, calls []axelar.Call, at evm.BlockRef) ([][]byte, error) {
	args := make([]evm.CallArg, len(calls))
	for i, c := range calls {
		args[i] = evm.CallArg{To: c.To, Data: c.Data}
	}
	got, err := s.client.BatchCall(ctx, args, at)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(got))
	for i, r := range got {
		if r.Err != nil {
			return nil, r.Err
		}
		out[i] = r.Data
	}
	return out, nil
}

func (s *side) states(head func(context.Context) (chains.Block, error)) func(context.Context, []axelar.Message) ([]axelar.State, error) {
	return func(ctx context.Context, messages []axelar.Message) ([]axelar.State, error) {
		at, err := head(ctx)
		if err != nil {
			return nil, err
		}
		questions := make([]axelar.Question[axelar.State], len(messages))
		for i, m := range messages {
			questions[i] = s.gateway.State(m)
		}
		q := axelar.All(questions)
		got, err := s.answers(ctx, q.Calls, evm.AtHash(at.Hash))
		if err != nil {
			return nil, err
		}
		return q.Read(got)
	}
}

// leg is what the relayer's flows need of a destination.
func (w *lanes) leg(s *side) flow.LegDeps {
	return flow.LegDeps{
		StatesFinal: s.states(s.source.Head), StatesLatest: s.states(s.client.Latest), Approve: w.quorum(s).Approve, Send: s.sender.Send,
		ExecuteTx: func(m axelar.Message, payload []byte) (chains.Tx, error) {
			data, err := s.service.ExecuteCalldata(s.gateway.CommandID(m), m, payload)
			return chains.Tx{To: s.service.Address, Data: data}, err
		},
		Circumstances: func(ctx context.Context, m axelar.Message, tr *axelar.Transfer) (c axelar.Circumstances, now uint64, err error) {
			at, err := s.client.Latest(ctx)
			if err != nil {
				return c, 0, err
			}
			c.Transfer = tr
			if c.State, err = axelar.Ask(ctx, newest{s.eth}, s.gateway.State(m)); err != nil {
				return c, 0, err
			}
			if len(tr.Destination) == common.AddressLength {
				code, err := s.client.CodeAt(ctx, common.BytesToAddress(tr.Destination), evm.AtLatest)
				if err != nil {
					return c, 0, err
				}
				c.NoCode = len(code) == 0
			}
			counted, err := axelar.Ask(ctx, newest{s.eth}, s.service.Flow(tr.TokenID))
			c.Limit = counted.Limit
			return c, at.Time, err
		},
	}
}

// run begins to carry.
func (w *lanes) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	w.t.Cleanup(func() { cancel(); running.Wait() })
	log := slog.New(slog.DiscardHandler)
	for _, s := range w.sides {
		tx := evm.DefaultTx()
		tx.Tick, tx.Idle, tx.PendingLag = pace, pace, pace
		var err error
		s.sender, err = evm.NewTxManager(s.client, w.store(), []evm.Signer{deploy.KeySigner(s.carrier)}, tx, log)
		require.NoError(w.t, err)
		w.t.Cleanup(func() { _ = s.sender.Close() })
		running.Go(func() { _ = s.sender.Run(ctx) })
	}
	l1, root := w.sides[onL1], w.sides[onRoot]
	sub := flow.Subnet{Name: "subnet", RootID: root.id, ID: 7, IPC: subnetID(), Actor: subnetID().Actor()}
	c := flow.Crossing{
		L1: l1.id, L1Name: onL1, RootName: onRoot, L1Gateway: l1.gateway, RootGateway: root.gateway, Hub: w.hub, TokenID: w.tokenID,
		Sender: w.flt, Handler: handler, Portal: common.Address{4}, Foreign: true,
	}
	flows := []flow.Flow{flow.LegIn(sub, c, w.leg(root)), flow.LegOut(sub, c, w.leg(l1))}
	for _, s := range w.sides {
		watcher, err := watch.New(watch.Config{
			Chain: s.called, Source: s.source, Filter: s.gateway.Filter(), Flows: flows, Start: chains.Cursor{Chain: s.id, Next: s.set.StartBlock},
			Journal: w.store(), Tick: pace, Log: log,
		})
		require.NoError(w.t, err)
		running.Go(func() { _ = watcher.Run(ctx) })
	}
	pool, err := work.New(work.Config{Queue: w.store(), Flows: flows, Instance: "relayer", Workers: 3, Batch: 50, Idle: quick, LookTime: 20 * time.Second, Log: log})
	require.NoError(w.t, err)
	running.Go(func() { _ = pool.Run(ctx) })
	running.Go(func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; w.ahead.Add(1) {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
}

// post sends without waiting, whatever a simulation says.
func (w *lanes) post(s *side, to *common.Address, data []byte) common.Hash {
	w.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	s.nonce, err = s.eth.PendingNonceAt(w.t.Context(), crypto.PubkeyToAddress(s.key.PublicKey))
	require.NoError(w.t, err)
	id := new(big.Int).SetUint64(uint64(s.id))
	tx, err := types.SignNewTx(s.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: s.nonce, To: to, Data: data, Gas: 4_000_000, GasFeeCap: big.NewInt(100_000_000_000), GasTipCap: big.NewInt(1_000_000_000),
	})
	require.NoError(w.t, err)
	require.NoError(w.t, s.eth.SendTransaction(w.t.Context(), tx))
	return tx.Hash()
}

func (w *lanes) mined(s *side, hash common.Hash) *types.Receipt {
	w.t.Helper()
	var r *types.Receipt
	require.Eventually(w.t, func() bool {
		var err error
		r, err = s.eth.TransactionReceipt(w.t.Context(), hash)
		return err == nil && s.chain.Finalized().Number >= r.BlockNumber.Uint64()
	}, time.Minute, 10*time.Millisecond)
	return r
}

// send waits until it is final and has succeeded.
func (w *lanes) send(s *side, to *common.Address, data []byte) *types.Receipt {
	w.t.Helper()
	r := w.mined(s, w.post(s, to, data))
	require.EqualValues(w.t, 1, r.Status, "reverted on %s", s.name)
	return r
}

// refused sends what must revert, and gives the revert's name. It costs gas and
// moves nothing.
func (w *lanes) refused(s *side, to common.Address, data []byte) string {
	w.t.Helper()
	got, err := s.client.BatchCall(w.t.Context(), []evm.CallArg{{From: crypto.PubkeyToAddress(s.key.PublicKey), To: to, Data: data}}, evm.AtLatest)
	require.NoError(w.t, err)
	var revert *chains.RevertError
	require.ErrorAs(w.t, got[0].Err, &revert)
	require.EqualValues(w.t, 0, w.mined(s, w.post(s, &to, data)).Status)
	return axelar.ClassifyRevert(revert.Data, 0).Name
}

// fresh is an account that nobody has.
func (w *lanes) fresh() common.Address {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return common.BytesToAddress(crypto.Keccak256(fmt.Appendf(nil, "recipient %d", w.next)))
}

// transfer is what a user of the token service sends from a chain.
func (w *lanes) transfer(from string, to, data []byte, amount *big.Int) common.Hash {
	w.t.Helper()
	s := w.sides[from]
	w.mu.Lock()
	w.moved[w.other(from).name].Add(w.moved[w.other(from).name], amount)
	w.mu.Unlock()
	return w.send(s, &s.set.Service, w.sending(w.other(from).name, to, data, amount)).TxHash
}

// sending is the six-argument call, past every check of ours.
func (w *lanes) sending(chain string, to, data []byte, amount *big.Int) []byte {
	metadata := data
	if len(data) > 0 {
		metadata = slices.Concat(make([]byte, 4), data)
	}
	return calldata("interchainTransfer(bytes32,string,bytes,uint256,bytes,uint256)", [32]byte(w.tokenID), chain, to, amount, metadata, new(big.Int))
}

// job is the leg that a transaction began.
func (w *lanes) job(tx common.Hash) (store.Job, bool) {
	w.t.Helper()
	ids, err := w.db.Lookup(w.t.Context(), tx.Hex())
	require.NoError(w.t, err)
	for _, id := range ids {
		j, ok, err := w.db.Get(w.t.Context(), id)
		require.NoError(w.t, err)
		if ok && j.Transfer.Origin.Tx == tx {
			return j, true
		}
	}
	return store.Job{}, false
}

// comes waits until the leg of a transaction stands as is said: "done", "parked
// rejected", "pending flow_limit".
func (w *lanes) comes(tx common.Hash, want string) store.Job {
	w.t.Helper()
	var last store.Job
	stands := ""
	for end := time.Now().Add(time.Minute); ; time.Sleep(quick / 2) {
		if j, ok := w.job(tx); ok {
			last, stands = j, strings.TrimSpace(string(j.Status)+" "+j.Reason)
			if stands == want {
				return last
			}
		}
		if time.Now().After(end) {
			require.FailNow(w.t, "it never came to that", "want %s, is %q at %s: %s", want, stands, last.Step, last.Err)
		}
	}
}

// good sends transfers that must arrive, whatever is before them in their lanes.
func (w *lanes) good(from ...string) {
	w.t.Helper()
	var sent []common.Hash
	for _, name := range from {
		to, amount := w.fresh(), big.NewInt(1000+w.next)
		w.owes(to, amount)
		sent = append(sent, w.transfer(name, to[:], nil, amount))
	}
	for _, tx := range sent {
		w.comes(tx, "done")
	}
}

func (w *lanes) owes(to common.Address, amount *big.Int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paid[to] = amount
}

// stays says that an amount for a chain arrives nowhere.
func (w *lanes) stays(chain string, amount *big.Int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost[chain].Add(w.lost[chain], amount)
}

func (w *lanes) balance(s *side, of common.Address) *big.Int {
	w.t.Helper()
	raw, err := s.eth.CallContract(w.t.Context(), callMsg(s.token, bindings.NewDevFlt().PackBalanceOf(of)), nil)
	require.NoError(w.t, err)
	return new(big.Int).SetBytes(raw)
}

// sound: everybody has what he is owed, once, on one chain, and of all that was
// locked nothing is missing.
func (w *lanes) sound() {
	w.t.Helper()
	l1, root := w.sides[onL1], w.sides[onRoot]
	for to, amount := range w.paid {
		require.Equal(w.t, amount.String(), new(big.Int).Add(w.balance(l1, to), w.balance(root, to)).String(), "paid to %s", to)
	}
	raw, err := root.eth.CallContract(w.t.Context(), callMsg(root.token, bindings.NewDevFlt().PackTotalSupply()), nil)
	require.NoError(w.t, err)
	supply, locked := new(big.Int).SetBytes(raw), w.balance(l1, l1.service.TokenManager(w.tokenID))
	made := new(big.Int).Sub(w.moved[onRoot], w.lost[onRoot])
	require.Equal(w.t, new(big.Int).Sub(made, w.moved[onL1]).String(), supply.String(), "on the root")
	unlocked := new(big.Int).Sub(w.moved[onL1], w.lost[onL1])
	require.Equal(w.t, new(big.Int).Sub(w.moved[onRoot], unlocked).String(), locked.String(), "locked on Ethereum")
}

// wallet is a user's program, of the account with all the FLT.
func (w *lanes) wallet() *wallet.Bridge {
	l1, root := w.sides[onL1], w.sides[onRoot]
	b := &wallet.Bridge{Dep: deploy.Deployment{Crossing: &deploy.Crossing{
		L1: l1.set, Root: root.set, TokenID: w.tokenID, L1Flt: l1.token, L1Manager: l1.service.TokenManager(w.tokenID), Sender: w.flt, Handler: handler,
		Portal: deploy.PortalAddress,
	}}}
	var err error
	b.L1, err = wallet.Open(w.t.Context(), wallet.Chain{Name: "ethereum", URL: l1.chain.HTTP(), ID: l1.id}, l1.key)
	require.NoError(w.t, err)
	w.t.Cleanup(b.L1.Close)
	b.Root, err = wallet.Open(w.t.Context(), wallet.Chain{Name: "root", URL: root.chain.HTTP(), ID: root.id}, l1.key)
	require.NoError(w.t, err)
	w.t.Cleanup(b.Root.Close)
	return b
}

// refuses says that a user's program refuses a deposit before it sends anything.
func (w *lanes) refuses(b *wallet.Bridge, to common.Address, amount *big.Int, why string) {
	w.t.Helper()
	l1 := w.sides[onL1]
	nonce := func() uint64 {
		n, err := l1.eth.PendingNonceAt(w.t.Context(), b.L1.Address)
		require.NoError(w.t, err)
		return n
	}
	before := nonce()
	_, err := b.CrossIn(w.t.Context(), to, amount)
	require.ErrorContains(w.t, err, why)
	require.Equal(w.t, before, nonce(), "%s: something was sent", why)
}

// refusesBack says that it refuses a withdrawal before it asks the subnet for
// anything: there is none.
func (w *lanes) refusesBack(b *wallet.Bridge, to common.Address, amount *big.Int, why string) {
	w.t.Helper()
	_, err := b.CrossOut(w.t.Context(), to, common.Address{}, amount)
	require.ErrorContains(w.t, err, why)
}

// signed are the signatures of some keys over a digest.
func (w *lanes) signed(digest common.Hash, keys ...*ecdsa.PrivateKey) (out [][]byte) {
	for _, key := range keys {
		sig, err := ipc.Sign(key, digest)
		require.NoError(w.t, err)
		out = append(out, sig)
	}
	return out
}

// ofSet are the keys of a set in the order of their addresses.
func (w *lanes) ofSet(set axelar.WeightedSigners) (out []*ecdsa.PrivateKey) {
	for _, s := range set.Signers {
		i := slices.IndexFunc(w.keys, func(k *ecdsa.PrivateKey) bool { return crypto.PubkeyToAddress(k.PublicKey) == s.Signer })
		out = append(out, w.keys[i])
	}
	return out
}

func (w *lanes) standing(s *side, set axelar.WeightedSigners) axelar.Standing {
	out, err := axelar.Ask(w.t.Context(), newest{s.eth}, s.gateway.Standing(approve.SetFor(s.gateway, set)))
	require.NoError(w.t, err)
	return out
}

func (w *lanes) state(s *side, m axelar.Message) axelar.State {
	out, err := axelar.Ask(w.t.Context(), newest{s.eth}, s.gateway.State(m))
	require.NoError(w.t, err)
	return out
}

// swapped is data with one part instead of another, which it must have.
func swapped(t *testing.T, data, old, new []byte) []byte {
	t.Helper()
	require.Equal(t, 1, bytes.Count(data, old))
	return bytes.Replace(data, old, new, 1)
}
