package relayer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const testHub = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"

// side is a real chain with the published contracts on it, whose transactions one
// account sends.
type axelarSide struct {
	t       *testing.T
	name    string
	chain   *devchain.Chain
	second  *fake.Proxy // another endpoint of it
	eth     *ethclient.Client
	client  *evm.Client
	source  *ethereum.Source
	set     deploy.AxelarSet
	gateway axelar.Gateway
	service axelar.Service
	key     *ecdsa.PrivateKey
	nonce   uint64
	quorum  *approve.Quorum
	gather  executor // once there were several to execute
}

// crossing is both sides and who signs for them.
type crossing struct {
	t       *testing.T
	redis   *storetest.Server
	db      *store.DB
	sides   map[string]*axelarSide
	hub     axelar.Hub
	rules   approve.Rules
	token   common.Hash
	keys    []*ecdsa.PrivateKey
	sets    []SignerSet
	next    *SignerSet
	folder  string
	signers map[int]*runningSigner
	alter   func(*ApproverConfig) // nil: signers are as configured
}

type runningSigner struct {
	cancel func()
	ended  chan error
	ready  ApproverReady
}

func testKey(words ...any) *ecdsa.PrivateKey {
	return crypto.ToECDSAUnsafe(crypto.Keccak256([]byte(fmt.Sprint(words...))))
}

func newCrossing(t *testing.T, generation string) *crossing {
	artifacts, err := deploy.OpenArtifacts("")
	require.NoError(t, err)
	c := &crossing{t: t, redis: storetest.StartRedis(t), sides: map[string]*axelarSide{}, folder: t.TempDir(), signers: map[int]*runningSigner{}}
	for i := range 4 {
		c.keys = append(c.keys, testKey("signer", i))
	}
	c.sets = []SignerSet{c.setOf(1, 0, 1, 2)}
	names := []string{"Ethereum", "filecoin"}
	for i, name := range names {
		c.sides[name] = newSide(t, name, chains.ID(31_000+i))
	}
	done := make(chan error, len(names))
	for i, name := range names {
		go func() {
			s := c.sides[name]
			p := deploy.AxelarParams{
				Artifacts: artifacts, Gateway: generation, Chain: name, Trusted: []string{names[1-i]}, Hub: testHub, Threshold: c.sets[0].Threshold,
				Domain: crypto.Keccak256Hash([]byte(name)), Nonce: c.sets[0].Nonce, Retention: 15,
			}
			for _, m := range c.sets[0].Signers {
				p.Signers = append(p.Signers, deploy.Weighted(m))
			}
			var err error
			s.set, err = deploy.Axelar(t.Context(), s.env(), deploy.KeySigner(s.key), p)
			done <- err
		}()
	}
	for range names {
		require.NoError(t, <-done)
	}
	c.db, err = store.Open(t.Context(), store.Options{URL: c.redis.URL(), Namespace: "crossing", Instance: "relayer"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.db.Close() })
	c.hub = axelar.Hub{Address: testHub, Services: map[string]common.Address{}}
	for name, s := range c.sides {
		c.hub.Services[name] = s.set.Service
		view, err := atFinal(t.Context(), s.client)
		require.NoError(t, err)
		s.gateway, err = axelar.Probe(t.Context(), view, s.client.ChainID(), s.set.Gateway)
		require.NoError(t, err)
		require.Equal(t, generation, s.gateway.Kind().String())
		s.service, err = axelar.ProbeService(t.Context(), view, s.set.Service)
		require.NoError(t, err)
	}
	c.rules = approve.Rules{Hub: c.hub}
	c.quorums()

	// FLT, locked on the first chain.
	l1 := c.sides["Ethereum"]
	flt := bindings.NewDevFlt()
	deployer := crypto.PubkeyToAddress(l1.key.PublicKey)
	receipt := l1.send(nil, append(common.FromHex(bindings.DevFltMetaData.Bin), flt.PackConstructor(deployer)...))
	token := receipt.ContractAddress
	l1.send(&token, flt.PackMint(deployer, big.NewInt(1_000_000)))
	l1.send(&token, flt.PackApprove(l1.set.Service, big.NewInt(1_000_000)))
	registered, err := deploy.RegisterCanonical(t.Context(), l1.env(), deploy.KeySigner(l1.key), artifacts, l1.set, c.sides["filecoin"].set, token)
	require.NoError(t, err)
	c.token = registered.ID
	require.Equal(t, axelar.CanonicalTokenID("Ethereum", token), c.token)
	l1.resync()
	return c
}

func newSide(t *testing.T, name string, id chains.ID) *axelarSide {
	s := &axelarSide{t: t, name: name, key: testKey("deployer", name)}
	var err error
	s.chain, err = devchain.Start(t.Context(), devchain.Config{
		ChainID: id, Period: 100 * time.Millisecond, FinalityDepth: 2,
		Alloc: map[common.Address]*big.Int{crypto.PubkeyToAddress(s.key.PublicKey): new(big.Int).Lsh(big.NewInt(1), 90)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.chain.Close()) })
	s.second = fake.NewProxy(t, s.chain.HTTP())
	s.eth = ethclient.NewClient(s.chain.RPC())
	t.Cleanup(s.eth.Close)
	s.client, err = evm.Dial(t.Context(), evm.Config{Name: name, URL: s.chain.HTTP(), ChainID: id, Finality: "finalized", CheckHeaders: true}, nil)
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	s.source, err = ethereum.New(s.client)
	require.NoError(t, err)
	return s
}

func (s *axelarSide) env() deploy.Env {
	return deploy.Env{Backend: s.eth, StateFile: filepath.Join(s.t.TempDir(), "deploy.state"), Poll: 10 * time.Millisecond}
}

func (s *axelarSide) resync() {
	n, err := s.eth.PendingNonceAt(s.t.Context(), crypto.PubkeyToAddress(s.key.PublicKey))
	require.NoError(s.t, err)
	s.nonce = n
}

// post sends without waiting.
func (s *axelarSide) post(to *common.Address, data []byte) common.Hash {
	s.t.Helper()
	if s.nonce == 0 {
		s.resync()
	}
	id := new(big.Int).SetUint64(uint64(s.client.ChainID()))
	tx, err := types.SignNewTx(s.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: s.nonce, To: to, Data: data, Gas: 8_000_000, GasFeeCap: big.NewInt(100_000_000_000), GasTipCap: big.NewInt(1_000_000_000),
	})
	require.NoError(s.t, err)
	require.NoError(s.t, s.eth.SendTransaction(s.t.Context(), tx))
	s.nonce++
	return tx.Hash()
}

// send waits until the transaction is final.
func (s *axelarSide) send(to *common.Address, data []byte) *types.Receipt {
	s.t.Helper()
	return s.final(s.post(to, data))
}

func (s *axelarSide) final(hash common.Hash) *types.Receipt {
	s.t.Helper()
	var r *types.Receipt
	require.Eventually(s.t, func() bool {
		var err error
		r, err = s.eth.TransactionReceipt(s.t.Context(), hash)
		return err == nil && s.chain.Finalized().Number >= r.BlockNumber.Uint64()
	}, time.Minute, 20*time.Millisecond)
	require.EqualValues(s.t, 1, r.Status, "reverted on %s", s.name)
	return r
}

// calls a contract as anybody, at the head.
func (s *axelarSide) simulate(data []byte) error {
	_, err := s.client.Call(s.t.Context(), s.set.Gateway, data, evm.AtLatest)
	return err
}

// setOf is the set of the keys with those numbers, threshold two thirds.
func (c *crossing) setOf(nonce byte, keys ...int) SignerSet {
	s := SignerSet{Threshold: uint64(2*len(keys)+2) / 3, Nonce: common.Hash{31: nonce}}
	for _, i := range keys {
		s.Signers = append(s.Signers, SetMember{Address: crypto.PubkeyToAddress(c.keys[i].PublicKey), Weight: 1})
	}
	return s
}

func (c *crossing) weighted() (out []axelar.WeightedSigners) {
	for _, s := range c.sets {
		out = append(out, s.Set())
	}
	return out
}

// quorums makes the relayer's side anew, as after a restart.
func (c *crossing) quorums() {
	for name, s := range c.sides {
		q, err := approve.NewQuorum(approve.QuorumConfig{To: name, Gateway: s.gateway, Sets: c.weighted(), MaxBatch: 20, Store: c.db, Final: finalCalls(s.client)})
		require.NoError(c.t, err)
		s.quorum = q
	}
}

// proofs: the second chain is believed as Filecoin is.
var proofs = map[string]string{"Ethereum": ProofsHeaders, "filecoin": ProofsEndpoints}

// config is a signer's, with a folder of its own.
func (c *crossing) config(i int) ApproverConfig {
	dir := filepath.Join(c.folder, fmt.Sprint("signer", i))
	require.NoError(c.t, os.MkdirAll(dir, 0o700))
	account := Account{Keystore: filepath.Join(dir, "key.json"), PasswordFile: filepath.Join(dir, "password")}
	raw, err := keystore.EncryptKey(&keystore.Key{Id: uuid.New(), Address: crypto.PubkeyToAddress(c.keys[i].PublicKey), PrivateKey: c.keys[i]}, "secret", 2, 1)
	require.NoError(c.t, err)
	require.NoError(c.t, os.WriteFile(account.Keystore, raw, 0o600))
	require.NoError(c.t, os.WriteFile(account.PasswordFile, []byte("secret\n"), 0o600))
	cfg := DefaultApprover()
	cfg.State, cfg.Admin, cfg.Signer, cfg.Tick = filepath.Join(dir, "state"), "127.0.0.1:0", account, Duration(50*time.Millisecond)
	cfg.Redis = Redis{URL: c.redis.URL(), Namespace: "crossing"}
	cfg.Hub, cfg.SignerSets, cfg.NextSet = testHub, c.sets, c.next
	cfg.Tokens = []ApproverToken{{ID: c.token, Home: "Ethereum", Decimals: 18}}
	for _, name := range []string{"Ethereum", "filecoin"} {
		s := c.sides[name]
		witnesses, also := []string{s.second.URL()}, []string(nil)
		if proofs[name] == ProofsEndpoints {
			witnesses, also = also, witnesses
		}
		cfg.Chains = append(cfg.Chains, ApproverChain{
			Name: name, URL: s.chain.HTTP(), Also: also, Witnesses: witnesses, ChainID: s.client.ChainID(), Finality: "finalized", Proofs: proofs[name],
			StartBlock: s.set.StartBlock, MaxRange: 500, Tick: Duration(50 * time.Millisecond), Gateway: s.set.Gateway, TokenService: s.set.Service,
		})
	}
	return cfg
}

func (c *crossing) start(numbers ...int) {
	c.t.Helper()
	for _, i := range numbers {
		ctx, cancel := context.WithCancel(c.t.Context())
		r := &runningSigner{cancel: cancel, ended: make(chan error, 1)}
		ready := make(chan ApproverReady, 1)
		cfg := c.config(i)
		if c.alter != nil {
			c.alter(&cfg)
		}
		go func() {
			r.ended <- RunApprover(ctx, cfg, "test", slog.New(slog.DiscardHandler), func(a ApproverReady) { ready <- a })
		}()
		select {
		case r.ready = <-ready:
		case err := <-r.ended:
			require.NoError(c.t, err)
		}
		c.signers[i] = r
		c.t.Cleanup(func() { c.stop(i) })
	}
}

func (c *crossing) stop(numbers ...int) {
	for _, i := range numbers {
		if r := c.signers[i]; r != nil {
			r.cancel()
			require.NoError(c.t, <-r.ended)
			delete(c.signers, i)
		}
	}
}

func (c *crossing) get(i int, path string) (int, string) {
	c.t.Helper()
	resp, err := http.Get("http://" + c.signers[i].ready.Admin + path)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(body)
}

// arrival is a message that waits at its destination, and its payload.
type arrival struct {
	flow.Wanted
	to      string
	payload []byte
}

// sent lists what a chain has sent so far, final, as a flow would find it.
func (c *crossing) sent(from string) (out []arrival) {
	c.t.Helper()
	s := c.sides[from]
	head, err := s.source.Head(c.t.Context())
	require.NoError(c.t, err)
	for at := (chains.Cursor{Chain: s.client.ChainID()}); at.Next <= head.Number; {
		last, events, err := s.source.Events(c.t.Context(), chains.Query{From: at, To: head.Number, Filter: axelar.Calls(s.gateway)})
		require.NoError(c.t, err)
		for _, e := range events {
			got, ok, err := s.gateway.Decode(e)
			require.True(c.t, ok && err == nil)
			id := axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}
			routed, err := c.hub.Route(from, id, got.(axelar.Called))
			require.NoError(c.t, err)
			out = append(out, arrival{Wanted: flow.Wanted{From: from, ID: id, Message: routed.Message}, to: routed.To, payload: routed.Payload})

			// The signers' own way to the same message.
			call, ok, refused, err := c.rules.Read(from, s.gateway, e)
			require.True(c.t, ok && refused == nil && err == nil)
			require.Equal(c.t, routed.Message, c.rules.Message(call))
		}
		at.Next, at.Parent = last.Number+1, last.Hash
	}
	return out
}

func wantedOf(all []arrival) (out []flow.Wanted) {
	for _, a := range all {
		out = append(out, a.Wanted)
	}
	return out
}

// approved waits until one call covers all of it.
func (c *crossing) approved(to string, all []arrival) flow.Signed {
	c.t.Helper()
	var signed []flow.Signed
	require.Eventually(c.t, func() bool {
		var err error
		signed, err = c.sides[to].quorum.Approve(c.t.Context(), wantedOf(all))
		require.NoError(c.t, err)
		return len(signed) > 0
	}, time.Minute, 20*time.Millisecond)
	require.Len(c.t, signed, 1)
	require.Len(c.t, signed[0].Covers, len(all))
	return signed[0]
}

func (c *crossing) state(to string, a arrival) axelar.State {
	c.t.Helper()
	view, err := atFinal(c.t.Context(), c.sides[to].client)
	require.NoError(c.t, err)
	state, err := axelar.Ask(c.t.Context(), view, c.sides[to].gateway.State(a.Message))
	require.NoError(c.t, err)
	return state
}

// execute carries approved messages out, several in one transaction.
func (c *crossing) execute(to string, all []arrival) {
	c.t.Helper()
	s := c.sides[to]
	if len(all) > 1 {
		c.executeTogether(to, all)
		return
	}
	var hashes []common.Hash
	for _, a := range all {
		require.Equal(c.t, axelar.StateApproved, c.state(to, a))
		data, err := s.service.ExecuteCalldata(s.gateway.CommandID(a.Message), a.Message, a.payload)
		require.NoError(c.t, err)
		hashes = append(hashes, s.post(&s.set.Service, data))
	}
	for i, h := range hashes {
		s.final(h)
		require.Equal(c.t, axelar.StateExecuted, c.state(to, all[i]))
	}
}

// transfers sends n transfers and waits until they are final.
func (c *crossing) transfers(from, to string, n int, amount int64) {
	c.t.Helper()
	s := c.sides[from]
	var last common.Hash
	for range n {
		data, err := s.service.TransferCalldata(axelar.Send{
			TokenID: c.token, Chain: to, Destination: crypto.PubkeyToAddress(c.sides[to].key.PublicKey).Bytes(), Amount: big.NewInt(amount), GasWei: new(big.Int),
		}, axelar.Target{})
		require.NoError(c.t, err)
		last = s.post(&s.set.Service, data)
	}
	s.final(last)
}

// TestTheRealGatewaysTakeWhatTheSignersSign, of both generations: the signers run
// as in production, over HTTP, on a real Redis.
func TestTheRealGatewaysTakeWhatTheSignersSign(t *testing.T) {
	for _, generation := range []string{deploy.GatewayAmplifier, deploy.GatewayLegacy} {
		t.Run(generation, func(t *testing.T) {
			c := newCrossing(t, generation)
			c.start(0, 1, 2)

			// The token comes to the second chain.
			made := c.sent("Ethereum")
			require.Len(t, made, 1)
			s := c.approved("filecoin", made)
			root := c.sides["filecoin"]
			root.send(&s.Tx.To, s.Tx.Data)
			c.execute("filecoin", made)
			for i := range 3 {
				code, body := c.get(i, "/readyz")
				require.Equal(t, http.StatusOK, code, body)
			}

			// Twenty transfers are approved by one call, with one of the signers down.
			c.stop(2)
			c.transfers("Ethereum", "filecoin", 20, 1000)
			batch := c.sent("Ethereum")[1:]
			require.Len(t, batch, 20)
			s = c.approved("filecoin", batch)
			require.Equal(t, s.Key, c.approved("filecoin", batch).Key, "asked again, the same call")
			receipt := root.send(&s.Tx.To, s.Tx.Data)
			t.Logf("%s: %d gas approve a batch of 20, %d each", generation, receipt.GasUsed, receipt.GasUsed/20)
			for _, a := range batch {
				require.Equal(t, axelar.StateApproved, c.state("filecoin", a))
			}
			none, err := root.quorum.Approve(t.Context(), wantedOf(batch))
			require.NoError(t, err)
			require.Len(t, none, 1, "still there, until somebody tidies up")
			proposal := c.up("filecoin")[1]

			// The third signs what the others have signed, and then any two will do, in
			// any order.
			c.start(2)
			var signatures [][]byte
			require.Eventually(t, func() bool {
				all, err := c.db.Signatures(t.Context(), []store.Proposal{proposal})
				require.NoError(t, err)
				signatures = all[0]
				return len(signatures) == 3
			}, time.Minute, 20*time.Millisecond)
			c.anyTwo(root, proposal, signatures)
			dropped, err := root.quorum.Tidy(t.Context())
			require.NoError(t, err)
			require.Equal(t, 2, dropped)
			c.execute("filecoin", batch)

			// Back, and not more than came.
			c.transfers("filecoin", "Ethereum", 3, 5000)
			back := c.sent("filecoin")
			s = c.approved("Ethereum", back)
			l1 := c.sides["Ethereum"]
			l1.send(&s.Tx.To, s.Tx.Data)
			c.execute("Ethereum", back)

			c.rotates(generation)
			for i, r := range c.signers {
				_, body := c.get(i, "/status")
				var status ApproverStatus
				require.NoError(t, json.Unmarshal([]byte(body), &status))
				require.True(t, status.Ready, "%v", status.Parts)
				require.Equal(t, r.ready.Signer, status.Signer)
				require.Equal(t, 23, status.Ledger.Calls["Ethereum"])
				require.Empty(t, status.Alerts)
				_, metrics := c.get(i, "/metrics")
				require.Contains(t, metrics, `causeway_approver_calls_total{chain="Ethereum"}`)
			}
		})
	}
}

func (c *crossing) up(to string) []store.Proposal {
	c.t.Helper()
	all, _, err := c.db.Proposals(c.t.Context(), to, "", 100)
	require.NoError(c.t, err)
	return all
}

// anyTwo tries every choice and order of signatures at the gateway itself.
func (c *crossing) anyTwo(s *axelarSide, p store.Proposal, signatures [][]byte) {
	c.t.Helper()
	set := approve.SetFor(s.gateway, c.weighted()[0])
	var command axelar.Command
	for _, m := range p.Messages {
		command.Approve = append(command.Approve, m.Message)
	}
	for _, chosen := range [][]int{{0, 1}, {1, 0}, {0, 2}, {2, 0}, {1, 2}, {2, 1}, {0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 2, 0}, {1, 1, 1, 0}} {
		var some [][]byte
		for _, i := range chosen {
			some = append(some, signatures[i])
		}
		data, err := s.gateway.Calldata(set, command, some)
		require.NoError(c.t, err, "%v", chosen)
		require.NoError(c.t, s.simulate(data), "%v", chosen)
		// The gateway does look: one altered bit, and it is nobody's.
		bad := bytes.Clone(data)
		bad[len(bad)-90] ^= 1
		require.ErrorIs(c.t, s.simulate(bad), chains.ErrReverted, "%v", chosen)
	}
	_, err := s.gateway.Calldata(set, command, signatures[:1])
	require.ErrorIs(c.t, err, axelar.ErrQuorum)
}

// rotates to a set of which one signer is new and one is gone, while a batch that
// the old one has signed is under way.
func (c *crossing) rotates(generation string) {
	t, root := c.t, c.sides["filecoin"]
	c.transfers("Ethereum", "filecoin", 1, 10)
	flying := c.sent("Ethereum")[21:]
	old := c.approved("filecoin", flying)

	next := c.setOf(2, 0, 1, 3)
	c.stop(0, 1, 2)
	c.sets, c.next = append(c.sets, next), &next
	c.quorums()
	c.start(0, 1)
	done, err := ProposeRotations(t.Context(), c.config(0), next.Set(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Len(t, done, 2)
	for name, s := range c.sides {
		var signed []flow.Signed
		require.Eventually(t, func() bool {
			var err error
			signed, err = s.quorum.Rotations(t.Context())
			require.NoError(t, err)
			return len(signed) == 1
		}, time.Minute, 20*time.Millisecond, name)
		s.send(&signed[0].Tx.To, signed[0].Tx.Data)
		view, err := atFinal(t.Context(), s.client)
		require.NoError(t, err)
		for i, want := range []axelar.Standing{axelar.StandingRetained, axelar.StandingLatest} {
			got, err := axelar.Ask(t.Context(), view, s.gateway.Standing(approve.SetFor(s.gateway, c.weighted()[i])))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		_, err = s.quorum.Tidy(t.Context())
		require.NoError(t, err)
		signed, err = s.quorum.Rotations(t.Context())
		require.NoError(t, err)
		require.Empty(t, signed)
	}
	done, err = ProposeRotations(t.Context(), c.config(0), next.Set(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, r := range done {
		require.Contains(t, r.Skipped, "has had this signer set")
	}

	// What the old set has signed is taken, what is new is the new one's; its new
	// member has read everything from the start.
	require.Equal(t, old.Key, c.approved("filecoin", flying).Key)
	root.send(&old.Tx.To, old.Tx.Data)
	require.Equal(t, axelar.StateApproved, c.state("filecoin", flying[0]))
	c.stop(1)
	c.start(3)
	c.transfers("Ethereum", "filecoin", 1, 10)
	fresh := c.sent("Ethereum")[22:]
	s := c.approved("filecoin", fresh)
	root.send(&s.Tx.To, s.Tx.Data)
	c.execute("filecoin", slices.Concat(flying, fresh))
	up := c.up("filecoin")
	require.Equal(t, approve.SetFor(root.gateway, next.Set()).Signers[0].Signer, up[len(up)-1].Signers[0])
}

// TestASignerRefusesWhatIsNotAsConfigured: contracts, chains, keys; and waits for
// what is away.
func TestASignerRefusesWhatIsNotAsConfigured(t *testing.T) {
	c := newCrossing(t, deploy.GatewayLegacy)
	run := func(cfg ApproverConfig) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return RunApprover(ctx, cfg, "test", slog.New(slog.DiscardHandler), nil)
	}
	cfg := c.config(0)
	cfg.Hub = "axelar1" + hexutil.Encode(make([]byte, 29))[2:]
	require.ErrorIs(t, run(cfg), ErrConfig, "another hub")
	cfg = c.config(0)
	cfg.Chains[0].Name, cfg.Tokens = "ethereum", nil
	require.ErrorIs(t, run(cfg), ErrConfig, "another name")
	cfg = c.config(0)
	cfg.Chains[0].ChainID++
	require.ErrorIs(t, run(cfg), chains.ErrWrongChain)
	cfg = c.config(3)
	require.ErrorIs(t, run(cfg), ErrConfig, "it is in no set")
	require.ErrorContains(t, run(cfg), "in none of the signer sets")
	cfg = c.config(0)
	require.NoError(t, os.Chmod(cfg.Signer.Keystore, 0o644))
	require.ErrorContains(t, run(cfg), "chmod 600")
	require.NoError(t, os.Chmod(cfg.Signer.Keystore, 0o600))
	cfg = c.config(0)
	cfg.SingleSource, cfg.Chains[0].Witnesses = false, nil
	require.ErrorContains(t, run(cfg), "single_source: Ethereum:")

	// Two of one folder.
	c.start(0)
	require.ErrorIs(t, run(c.config(0)), ErrLocked)

	// A Redis that goes away is waited for, and the chains are read meanwhile.
	c.redis.Kill()
	require.Eventually(t, func() bool {
		code, body := c.get(0, "/readyz")
		return code == http.StatusServiceUnavailable && bytes.Contains([]byte(body), []byte("proposals"))
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, c.redis.Restart())
	require.Eventually(t, func() bool { code, _ := c.get(0, "/readyz"); return code == http.StatusOK }, time.Minute, 50*time.Millisecond)
}
