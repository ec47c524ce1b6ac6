// Package standing deploys onto chains where Axelar's published contracts and FLT
// stand already, put there by somebody else.
package standing

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// binary is the program under test, built once with its crash points in.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "causeway-standing-")
	if err != nil {
		panic(err)
	}
	if binary, err = shared.Build(context.Background(), dir, "causeway"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const (
	l1ID, rootID     = 11155911, 31415926
	l1Name, rootName = "Ethereum", "filecoin"
	hub              = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
	otherHub         = "axelar1zqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
	period           = 600 * time.Millisecond
	signers          = 3
	needed           = 2
)

// side is one chain and what stands on it.
type side struct {
	name   string // at Axelar
	chain  *devchain.Chain
	client *ethclient.Client
	env    deploy.Env
	owner  deploy.Signer // of what stands
	set    deploy.AxelarSet
}

// world is Ethereum and a root on which somebody has put Axelar's contracts and
// FLT, and the people of a bridge to come.
type world struct {
	t         *testing.T
	l1, root  *side
	artifacts *deploy.Artifacts
	operator  home.Dir // keys of the bridge's operator, and of the signers
	deployer  *ecdsa.PrivateKey
	l1Key     *ecdsa.PrivateKey // the operator's account on Ethereum, with FLT
	axelar    *ecdsa.PrivateKey // carries approvals
	first     deploy.SignerSet
	keys      []*ecdsa.PrivateKey
	token     deploy.Canonical
	began     uint64 // final block of Ethereum before anybody used it

	mu sync.Mutex // one transaction at a time
}

func ether(n int64) *big.Int { return home.Ether(n) }

func addr(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

func newWorld(t *testing.T, generation string) *world {
	t.Helper()
	w := &world{t: t, operator: home.Dir(filepath.Join(t.TempDir(), "operator"))}
	require.NoError(t, w.operator.Make())
	key := func(name string) *ecdsa.PrivateKey {
		k, err := w.operator.Key(name, home.Light)
		require.NoError(t, err)
		return k
	}
	w.deployer, w.l1Key, w.axelar = key("deployer"), key("ethereum"), key("axelar")
	for i := range signers {
		k := key(home.SignerName(i + 1))
		w.keys = append(w.keys, k)
		w.first.Signers = append(w.first.Signers, deploy.Weighted{Address: addr(k), Weight: 1})
	}
	w.first.Threshold = needed
	if generation == deploy.GatewayAmplifier {
		w.first.Nonce = common.Hash{31: 1}
	}
	var err error
	w.artifacts, err = deploy.OpenArtifacts("")
	require.NoError(t, err)
	w.l1 = w.start(l1Name, l1ID, key("axelar-ethereum"), w.l1Key, w.axelar)
	w.root = w.start(rootName, rootID, key("axelar-root"), w.deployer, w.axelar)
	group, ctx := errgroup.WithContext(t.Context())
	for _, s := range []*side{w.l1, w.root} {
		group.Go(func() (err error) {
			s.set, err = deploy.Axelar(ctx, s.env, s.owner, w.params(generation, s.name, w.other(s).name))
			return err
		})
	}
	require.NoError(t, group.Wait())
	// The order of the set is the gateway's.
	w.first = w.params(generation, l1Name, rootName).SignerSet()
	w.token = w.register(ether(1_000_000))
	w.arrive(w.token.DeployTx)
	w.transact(w.l1, w.ownerKey(w.l1), w.token.Token, nil, bindings.NewDevFlt().PackTransfer(addr(w.l1Key), ether(100_000)))
	w.final(w.l1)
	w.began = w.l1.chain.Finalized().Number
	return w
}

func (w *world) ownerKey(s *side) *ecdsa.PrivateKey {
	name := map[string]string{l1Name: "axelar-ethereum", rootName: "axelar-root"}[s.name]
	k, err := w.operator.Key(name, home.Light)
	require.NoError(w.t, err)
	return k
}

func (w *world) params(generation, chain, other string) deploy.AxelarParams {
	return deploy.AxelarParams{
		Artifacts: w.artifacts, Gateway: generation, Chain: chain, Trusted: []string{other}, Hub: hub,
		Signers: w.first.Signers, Threshold: w.first.Threshold, Nonce: w.first.Nonce,
		Domain: axelar.DomainSeparator(chain, hub, "standing"), Retention: 15,
	}
}

func (w *world) start(name string, id chains.ID, owner *ecdsa.PrivateKey, rich ...*ecdsa.PrivateKey) *side {
	w.t.Helper()
	alloc := map[common.Address]*big.Int{addr(owner): ether(10_000)}
	for _, k := range rich {
		alloc[addr(k)] = ether(10_000)
	}
	chain, err := devchain.Start(w.t.Context(), devchain.Config{ChainID: id, Alloc: alloc, Period: period, FinalityDepth: 2, HTTPAddr: "127.0.0.1:0"})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, chain.Close()) })
	client := ethclient.NewClient(chain.RPC())
	w.t.Cleanup(client.Close)
	return &side{
		name: name, chain: chain, client: client, owner: deploy.KeySigner(owner),
		env: deploy.Env{Backend: client, StateFile: filepath.Join(w.t.TempDir(), "axelar.json"), Poll: 20 * time.Millisecond},
	}
}

func (w *world) other(s *side) *side {
	if s == w.l1 {
		return w.root
	}
	return w.l1
}

// register makes a token of FLT's kind known on Ethereum and asks the root for it.
func (w *world) register(supply *big.Int) deploy.Canonical {
	w.t.Helper()
	token, err := deploy.L1Token(w.t.Context(), w.l1.env, w.l1.owner, supply)
	require.NoError(w.t, err)
	c, err := deploy.RegisterCanonical(w.t.Context(), w.l1.env, w.l1.owner, w.artifacts, w.l1.set, w.root.set, token)
	require.NoError(w.t, err)
	return c
}

// caller asks at the newest block.
type caller struct{ *ethclient.Client }

// CallContract implements axelar.Caller.
func (c caller) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return c.Client.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
}

func (s *side) probe(ctx context.Context) (axelar.Gateway, axelar.Service, error) {
	g, err := axelar.Probe(ctx, caller{s.client}, s.set.ChainID, s.set.Gateway)
	if err != nil {
		return nil, axelar.Service{}, err
	}
	service, err := axelar.ProbeService(ctx, caller{s.client}, s.set.Service)
	return g, service, err
}

// send signs and sends one transaction of an account that nobody else uses, and
// waits until it is mined.
func (w *world) send(ctx context.Context, s *side, from *ecdsa.PrivateKey, to common.Address, value *big.Int, data []byte) (*types.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	nonce, err := s.client.PendingNonceAt(ctx, addr(from))
	if err != nil {
		return nil, err
	}
	gas, err := s.client.EstimateGas(ctx, ethereum.CallMsg{From: addr(from), To: &to, Value: value, Data: data})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	id := new(big.Int).SetUint64(uint64(s.chain.ChainID()))
	tx := types.MustSignNewTx(from, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: &to, Value: value, Data: data, Gas: gas + gas/3, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
	})
	if err := s.client.SendTransaction(ctx, tx); err != nil {
		return nil, err
	}
	for {
		r, err := s.client.TransactionReceipt(ctx, tx.Hash())
		if err == nil {
			if r.Status != types.ReceiptStatusSuccessful {
				return r, fmt.Errorf("transaction %s reverted", tx.Hash())
			}
			return r, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *world) transact(s *side, from *ecdsa.PrivateKey, to common.Address, value *big.Int, data []byte) *types.Receipt {
	w.t.Helper()
	r, err := w.send(w.t.Context(), s, from, to, value, data)
	require.NoError(w.t, err)
	return r
}

// calls are the messages that a transaction on Ethereum has begun, as the hub
// sends them on.
func (w *world) calls(ctx context.Context, r *types.Receipt) ([]axelar.Routed, error) {
	g, _, err := w.l1.probe(ctx)
	if err != nil {
		return nil, err
	}
	route := axelar.Hub{Address: hub, Services: map[string]common.Address{l1Name: w.l1.set.Service, rootName: w.root.set.Service}}
	var out []axelar.Routed
	for i, l := range r.Logs {
		said, ok, err := g.Decode(chains.Event{Chain: l1ID, Tx: l.TxHash, Index: l.Index, Address: l.Address, Topics: l.Topics, Data: l.Data})
		if err != nil {
			return nil, err
		}
		if called, is := said.(axelar.Called); ok && is {
			routed, err := route.Route(l1Name, axelar.MessageID{Tx: l.TxHash, Index: uint64(i)}, called)
			if err != nil {
				return nil, err
			}
			// The network's hub has ids of its own making.
			routed.Message.ID = axelar.MessageID{Tx: crypto.Keccak256Hash([]byte("nexus"), l.TxHash[:]), Index: 164269022 + uint64(i)}.String()
			out = append(out, routed)
		}
	}
	return out, nil
}

// approve has the root's gateway approve a message, by two of the three signers.
func (w *world) approve(ctx context.Context, m axelar.Message) error {
	g, _, err := w.root.probe(ctx)
	if err != nil {
		return err
	}
	set := home.SignerSetOf(w.first)
	command := axelar.Command{Approve: []axelar.Message{m}}
	digest, err := g.Digest(set, command)
	if err != nil {
		return err
	}
	var signatures [][]byte
	for _, k := range w.keys[:needed] {
		sig, err := crypto.Sign(digest[:], k)
		if err != nil {
			return err
		}
		sig[64] += 27
		signatures = append(signatures, sig)
	}
	data, err := g.Calldata(set, command, signatures)
	if err != nil {
		return err
	}
	_, err = w.send(ctx, w.root, w.axelar, w.root.set.Gateway, nil, data)
	return err
}

func (w *world) execute(ctx context.Context, r axelar.Routed) error {
	g, service, err := w.root.probe(ctx)
	if err != nil {
		return err
	}
	data, err := service.ExecuteCalldata(g.CommandID(r.Message), r.Message, r.Payload)
	if err != nil {
		return err
	}
	_, err = w.send(ctx, w.root, w.axelar, service.Address, nil, data)
	return err
}

// arrive takes what a transaction on Ethereum has sent to the root and executes
// it there.
func (w *world) arrive(tx common.Hash) {
	w.t.Helper()
	r, err := w.l1.client.TransactionReceipt(w.t.Context(), tx)
	require.NoError(w.t, err)
	messages, err := w.calls(w.t.Context(), r)
	require.NoError(w.t, err)
	require.Len(w.t, messages, 1)
	require.NoError(w.t, w.approve(w.t.Context(), messages[0].Message))
	require.NoError(w.t, w.execute(w.t.Context(), messages[0]))
	w.final(w.root)
}

// final waits until what is in a chain's newest block is final.
func (w *world) final(s *side) {
	w.t.Helper()
	head := s.chain.Head().Number
	require.Eventually(w.t, func() bool { return s.chain.Finalized().Number >= head }, time.Minute, 20*time.Millisecond)
}

// network approves what final transactions on Ethereum have sent, as Axelar does
// in its own time, and executes it too if told so. It ends with the test.
func (w *world) network(executes bool) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.relay(ctx, executes) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("the network: %v", err)
		}
	})
}

func (w *world) relay(ctx context.Context, executes bool) error {
	next := w.began + 1
	topic := crypto.Keccak256Hash([]byte("ContractCall(address,string,string,bytes32,bytes)"))
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(period):
		}
		last := w.l1.chain.Finalized().Number
		if last < next {
			continue
		}
		logs, err := w.l1.client.FilterLogs(ctx, ethereum.FilterQuery{
			FromBlock: new(big.Int).SetUint64(next), ToBlock: new(big.Int).SetUint64(last),
			Addresses: []common.Address{w.l1.set.Gateway}, Topics: [][]common.Hash{{topic}},
		})
		if err != nil {
			return err
		}
		for _, l := range logs {
			r, err := w.l1.client.TransactionReceipt(ctx, l.TxHash)
			if err != nil {
				return err
			}
			messages, err := w.calls(ctx, r)
			if err != nil {
				return err
			}
			for _, m := range messages {
				if err := w.approve(ctx, m.Message); err != nil {
					return err
				}
				if executes {
					if err := w.execute(ctx, m); err != nil {
						return err
					}
				}
			}
		}
		next = last + 1
	}
}

// balance is what an account has of a token.
func (w *world) balance(s *side, token, of common.Address) *big.Int {
	w.t.Helper()
	raw, err := s.client.CallContract(w.t.Context(), ethereum.CallMsg{To: &token, Data: bindings.NewDevFlt().PackBalanceOf(of)}, nil)
	require.NoError(w.t, err)
	return new(big.Int).SetBytes(raw)
}

// sent is how many transactions the two deployers have sent.
func (w *world) sent() [2]uint64 {
	w.t.Helper()
	l1, err := w.l1.client.PendingNonceAt(w.t.Context(), addr(w.l1Key))
	require.NoError(w.t, err)
	root, err := w.root.client.PendingNonceAt(w.t.Context(), addr(w.deployer))
	require.NoError(w.t, err)
	return [2]uint64{l1, root}
}

// described is the world as a crossing's file says it.
type described struct {
	L1URL      string
	Witnesses  []string
	L1, Root   deploy.AxelarSet
	Flt        common.Address
	TokenID    common.Hash
	Signers    []deploy.SignerSet
	GasWei     int64
	Bring      string
	RootStart  uint64
	L1Start    uint64
	UnknownKey string
}

func (w *world) described() described {
	return described{L1URL: w.l1.chain.HTTP(), L1: w.l1.set, Root: w.root.set, Flt: w.token.Token}
}

// write writes the file.
func (d described) write(t *testing.T) string {
	t.Helper()
	text := fmt.Sprintf("ethereum:\n  url: %s\n", d.L1URL)
	if len(d.Witnesses) > 0 {
		text += fmt.Sprintf("  witnesses: [%q]\n", d.Witnesses[0])
	}
	part := func(s deploy.AxelarSet, start uint64) string {
		return fmt.Sprintf("  chain: %s\n  gateway: %q\n  token_service: %q\n  gas_service: %q\n  start_block: %d\n", s.Chain, s.Gateway.Hex(), s.Service.Hex(), s.GasService.Hex(), start)
	}
	text += part(d.L1, d.L1Start) + "root:\n" + part(d.Root, d.RootStart)
	text += fmt.Sprintf("flt: %q\ngas_wei: %d\n", d.Flt.Hex(), d.GasWei)
	if d.TokenID != (common.Hash{}) {
		text += fmt.Sprintf("token_id: %q\n", d.TokenID.Hex())
	}
	if len(d.Signers) > 0 {
		text += "signer_sets:\n"
	}
	for _, s := range d.Signers {
		text += fmt.Sprintf("  - threshold: %d\n    nonce: %q\n    signers:\n", s.Threshold, s.Nonce.Hex())
		for _, m := range s.Signers {
			text += fmt.Sprintf("      - {address: %q, weight: %d}\n", m.Address.Hex(), m.Weight)
		}
	}
	text += d.Bring + d.UnknownKey
	path := filepath.Join(t.TempDir(), "crossing.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
