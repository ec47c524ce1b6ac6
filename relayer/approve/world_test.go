package approve

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

const (
	l1Name, rootName = "Ethereum", "filecoin"
	hubAddress       = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
	allOf18          = uint8(18)
)

var (
	flt    = common.HexToHash("0xf17")
	sender = common.Address{0x5e} // a contract of l1 that calls round the hub
	taker  = common.Address{0x7a} // the one it calls
	its    = map[string]common.Address{l1Name: {0x11}, rootName: {0x12}}
	gates  = map[string]common.Address{l1Name: {0x21}, rootName: {0x22}}
	ids    = map[string]chains.ID{l1Name: 4001, rootName: 4002}
	topic  = crypto.Keccak256Hash([]byte("ContractCall(address,string,string,bytes32,bytes)"))
	kinds  = map[string]axelar.Kind{"amplifier": axelar.Amplifier, "legacy": axelar.Legacy}
	called = arguments("string", "string", "bytes")
)

func arguments(types ...string) (out abi.Arguments) {
	for _, name := range types {
		t, err := abi.NewType(name, "", nil)
		if err != nil {
			panic(err)
		}
		out = append(out, abi.Argument{Type: t})
	}
	return out
}

// fakeChain is a chain that is final as far as it is mined, and may lie.
type fakeChain struct {
	name string

	mu     sync.Mutex
	blocks []chains.Block
	events []chains.Event
	fails  error
}

func newFakeChain(name string) *fakeChain {
	c := &fakeChain{name: name}
	c.mine()
	return c
}

// mine makes a block with these logs, each in a transaction of its own, behind as
// many other logs of its receipt as position says.
func (c *fakeChain) mine(logs ...chains.Event) chains.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.append("", logs...)
}

func (c *fakeChain) append(salt string, logs ...chains.Event) chains.Block {
	b := chains.Block{Number: uint64(len(c.blocks)), Time: 1_700_000_000 + uint64(len(c.blocks))}
	if b.Number > 0 {
		b.Parent = c.blocks[b.Number-1].Hash
	}
	b.Hash = crypto.Keccak256Hash([]byte(fmt.Sprint(c.name, salt, b.Number)), b.Parent[:])
	c.blocks = append(c.blocks, b)
	index := uint(0)
	for i, l := range logs {
		l.Chain, l.Block, l.BlockHash, l.BlockTime = ids[c.name], b.Number, b.Hash, b.Time
		if l.Tx == (common.Hash{}) {
			l.Tx = crypto.Keccak256Hash([]byte(fmt.Sprint("tx", c.name, b.Number, i)))
		}
		index += l.Position
		l.Index = index
		index++
		c.events = append(c.events, l)
	}
	return b
}

func (c *fakeChain) Head(context.Context) (chains.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[len(c.blocks)-1], c.fails
}

func (c *fakeChain) Events(_ context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return chains.Block{}, nil, c.fails
	}
	top := c.blocks[len(c.blocks)-1].Number
	if q.From.Chain != ids[c.name] || q.From.Next > top || q.To < q.From.Next {
		return chains.Block{}, nil, fmt.Errorf("[%d, %d] of %d: %w", q.From.Next, q.To, top, chains.ErrUnavailable)
	}
	if q.From.Parent != (common.Hash{}) && c.blocks[q.From.Next].Parent != q.From.Parent {
		return chains.Block{}, nil, chains.ErrReorg
	}
	last := c.blocks[min(top, q.To)]
	var out []chains.Event
	for _, e := range c.events {
		if e.Block >= q.From.Next && e.Block <= last.Number && slices.Contains(q.Filter.Addresses, e.Address) && slices.Contains(q.Filter.Topics, e.Topics[0]) {
			out = append(out, e)
		}
	}
	return last, out, nil
}

func (c *fakeChain) lie(change func(c *fakeChain)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// reorg makes the last blocks anew; keep says which events are there again.
func (c *fakeChain) reorg(depth int, keep func(chains.Event) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.blocks) - depth
	old := c.events
	c.blocks, c.events = c.blocks[:n], nil
	again := map[uint64][]chains.Event{}
	for _, e := range old {
		switch {
		case e.Block < uint64(n):
			c.events = append(c.events, e)
		case keep(e):
			again[e.Block] = append(again[e.Block], e)
		}
	}
	for range depth {
		c.append("again", again[uint64(len(c.blocks))]...)
	}
}

// call is the event of a gateway of which from is called to send a payload.
func call(chain string, from common.Address, to, address string, payload []byte) chains.Event {
	data, err := called.Pack(to, address, payload)
	if err != nil {
		panic(err)
	}
	return chains.Event{
		Address: gates[chain], Topics: []common.Hash{topic, common.BytesToHash(from[:]), crypto.Keccak256Hash(payload)}, Data: data, Position: 3,
	}
}

func toHub(chain, to string, p axelar.Payload) chains.Event {
	inner, err := axelar.EncodePayload(p)
	if err != nil {
		panic(err)
	}
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: to, Inner: inner})
	if err != nil {
		panic(err)
	}
	return call(chain, its[chain], axelar.HubChain, hubAddress, payload)
}

// transfer is one of that many base units.
func transfer(chain, to string, amount int64) chains.Event {
	return toHub(chain, to, axelar.Transfer{TokenID: flt, Source: sender[:], Destination: taker[:], Amount: big.NewInt(amount), Data: []byte{1, 2}})
}

// direct is a call round the hub.
func direct(payload ...byte) chains.Event {
	return call(l1Name, sender, rootName, taker.Hex(), payload)
}

// fakeGateway is a real one whose chain answers what a test wants.
type fakeGateway struct {
	axelar.Gateway
	mu       *sync.Mutex
	standing map[common.Hash]axelar.Standing
	states   map[common.Hash]axelar.State
	fails    *error
}

func newFakeGateway(kind axelar.Kind, chain string) fakeGateway {
	g := axelar.NewAmplifier(gates[chain], crypto.Keccak256Hash([]byte("domain"), []byte(chain)))
	if kind == axelar.Legacy {
		g = axelar.NewLegacy(ids[chain], gates[chain], common.Address{0x33})
	}
	return fakeGateway{Gateway: g, mu: new(sync.Mutex), standing: map[common.Hash]axelar.Standing{}, states: map[common.Hash]axelar.State{}, fails: new(error)}
}

func (g fakeGateway) Standing(s axelar.WeightedSigners) axelar.Question[axelar.Standing] {
	hash, err := g.SignersHash(s)
	return axelar.Question[axelar.Standing]{Read: func([][]byte) (axelar.Standing, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if *g.fails != nil {
			err = *g.fails
		}
		return g.standing[hash], err
	}}
}

func (g fakeGateway) State(m axelar.Message) axelar.Question[axelar.State] {
	return axelar.Question[axelar.State]{Read: func([][]byte) (axelar.State, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.states[g.CommandID(m)], *g.fails
	}}
}

func (g fakeGateway) stand(t testing.TB, s axelar.WeightedSigners, as axelar.Standing) {
	hash, err := g.SignersHash(SetFor(g, s))
	require.NoError(t, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.standing[hash] = as
}

func (g fakeGateway) approved(m axelar.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.states[g.CommandID(m)] = axelar.StateApproved
}

func noCalls(context.Context, []axelar.Call) ([][]byte, error) { return nil, nil }

// team is keys by ascending address, and the set of them.
type team struct {
	keys []*ecdsa.PrivateKey
	set  axelar.WeightedSigners
}

func (m team) address(i int) common.Address { return crypto.PubkeyToAddress(m.keys[i].PublicKey) }

func newTeam(seed byte, n int, threshold int64) team {
	var m team
	for i := range n {
		key, err := crypto.ToECDSA(crypto.Keccak256([]byte{seed, byte(i)}))
		if err != nil {
			panic(err)
		}
		m.keys = append(m.keys, key)
	}
	slices.SortFunc(m.keys, func(a, b *ecdsa.PrivateKey) int {
		return crypto.PubkeyToAddress(a.PublicKey).Cmp(crypto.PubkeyToAddress(b.PublicKey))
	})
	m.set = axelar.WeightedSigners{Threshold: big.NewInt(threshold), Nonce: common.Hash{31: seed}}
	for i := range n {
		m.set.Signers = append(m.set.Signers, axelar.WeightedSigner{Signer: m.address(i), Weight: big.NewInt(1)})
	}
	return m
}

// world is two chains with gateways, a store, and who signs.
type world struct {
	t       testing.TB
	kind    axelar.Kind
	chain   map[string]*fakeChain
	gateway map[string]fakeGateway
	server  *storetest.Server
	db      *store.DB
	team    team
	rules   Rules
	clock   time.Time
}

func newWorld(t testing.TB, kind axelar.Kind, db *storetest.Server) *world {
	w := &world{
		t: t, kind: kind, team: newTeam(1, 3, 2), clock: time.Unix(1_760_000_000, 0), server: db,
		chain: map[string]*fakeChain{}, gateway: map[string]fakeGateway{},
		rules: Rules{
			Hub:     axelar.Hub{Address: hubAddress, Services: its},
			Direct:  []Direct{{From: l1Name, Sender: sender, To: rootName, Contract: taker}},
			Trusted: []string{l1Name, rootName},
			Tokens:  []Token{{ID: flt, Home: l1Name, Decimals: allOf18}},
		},
	}
	for _, name := range []string{l1Name, rootName} {
		w.chain[name], w.gateway[name] = newFakeChain(name), newFakeGateway(kind, name)
		w.gateway[name].stand(t, w.team.set, axelar.StandingLatest)
	}
	if db != nil {
		w.db = w.open()
	}
	return w
}

var namespaces int

// startRedis is a real one; nothing here asks it to remember.
func startRedis(t testing.TB) *storetest.Server { return storetest.StartRedis(t, "--appendonly", "no") }

func (w *world) open() *store.DB {
	namespaces++
	db, err := store.Open(ctx, store.Options{URL: w.server.URL(), Namespace: fmt.Sprint("approve", namespaces), Instance: "test", AllowUnsafe: true, RetryFor: 5 * time.Second})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = db.Close() })
	return db
}

// signerConfig is that of the i-th of the team, on a folder of its own.
func (w *world) signerConfig(i int, dir string) SignerConfig {
	ledger, err := OpenLedger(dir, w.team.address(i))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = ledger.Close() })
	cfg := SignerConfig{
		Address: w.team.address(i), Sign: func(d common.Hash) ([]byte, error) { return ipc.Sign(w.team.keys[i], d) },
		Sets: []axelar.WeightedSigners{w.team.set}, Rules: w.rules, Ledger: ledger, Store: w.db, Tick: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	}
	for _, name := range []string{l1Name, rootName} {
		cfg.Chains = append(cfg.Chains, Chain{
			Name: name, ID: ids[name], Source: w.chain[name], Gateway: w.gateway[name], Tick: 5 * time.Millisecond,
			Decimals: func(context.Context, common.Hash) (uint8, bool, error) { return allOf18, true, nil },
		})
	}
	return cfg
}

// person is a signer that a test drives, and what it said.
type person struct {
	*Signer
	w       *world
	refused map[common.Hash]*Refusal // last, by digest
	count   int                      // refusals told
}

func (w *world) person(cfg SignerConfig) *person {
	p := &person{w: w, refused: map[common.Hash]*Refusal{}}
	cfg.Tell.Refused = func(q store.Proposal, why *Refusal) { p.refused[q.Digest] = why; p.count++ }
	s, err := NewSigner(cfg)
	require.NoError(w.t, err)
	p.Signer = s
	return p
}

func (w *world) signer(i int) *person { return w.person(w.signerConfig(i, w.t.TempDir())) }

// read reads all that the chains have; it returns what failed.
func (p *person) read() error {
	var failed error
	for _, r := range p.chains {
		for {
			progress, err := r.step(ctx)
			if err != nil {
				failed = err
			}
			if err != nil || !progress {
				break
			}
		}
	}
	return failed
}

// turn reads and looks at all that is up.
func (p *person) turn() {
	p.w.t.Helper()
	require.NoError(p.w.t, p.read())
	p.looks()
}

func (p *person) looks() {
	p.w.t.Helper()
	for {
		more, err := p.look(ctx)
		require.NoError(p.w.t, err)
		if !more {
			return
		}
	}
}

func (w *world) quorum(change ...func(*QuorumConfig)) *Quorum {
	cfg := QuorumConfig{
		To: rootName, Gateway: w.gateway[rootName], Sets: []axelar.WeightedSigners{w.team.set}, Store: w.db, Final: noCalls,
		Clock: func() time.Time { return w.clock },
	}
	for _, f := range change {
		f(&cfg)
	}
	q, err := NewQuorum(cfg)
	require.NoError(w.t, err)
	return q
}

// wanted is what a flow asks for of all calls of a chain so far, in their order.
func (w *world) wanted(chain string) (out []flow.Wanted) {
	c := w.chain[chain]
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		got, ok, _, err := w.rules.Read(chain, w.gateway[chain], e)
		require.NoError(w.t, err)
		if ok {
			out = append(out, flow.Wanted{From: chain, ID: got.ID(), Message: w.rules.Message(got)})
		}
	}
	return out
}

func (w *world) up(to string) []store.Proposal {
	w.t.Helper()
	all, _, err := w.db.Proposals(ctx, to, "", 1000)
	require.NoError(w.t, err)
	return all
}

// signatures of a proposal that count.
func (w *world) signatures(p store.Proposal) (n int) {
	w.t.Helper()
	all, err := w.db.Signatures(ctx, []store.Proposal{p})
	require.NoError(w.t, err)
	for _, s := range all[0] {
		if _, err := w.team.set.Verify(p.Digest, s); err == nil {
			n++
		}
	}
	return n
}

// put puts a proposal up past every check of a Quorum, as a stranger does.
func (w *world) put(to string, messages []store.ProposedMessage, change ...func(*store.Proposal)) store.Proposal {
	w.t.Helper()
	g := w.gateway[to]
	set := SetFor(g, w.team.set)
	p := store.Proposal{To: to, Messages: messages, Signers: members(set)}
	var err error
	p.Set, err = g.SignersHash(set)
	require.NoError(w.t, err)
	c := axelar.Command{}
	for _, m := range messages {
		c.Approve = append(c.Approve, m.Message)
	}
	if p.Digest, err = g.Digest(set, c); err != nil {
		p.Digest = crypto.Keccak256Hash([]byte(fmt.Sprint("digest", messages)))
	}
	for _, f := range change {
		f(&p)
	}
	there, err := w.db.Propose(ctx, p)
	require.NoError(w.t, err)
	require.Equal(w.t, p.Digest, there.Digest, "something else is up")
	return there
}

func asProposed(wanted ...flow.Wanted) (out []store.ProposedMessage) {
	for _, m := range wanted {
		out = append(out, store.ProposedMessage{From: m.From, ID: m.ID, Message: m.Message})
	}
	return out
}

func flipped(h common.Hash) common.Hash { h[5] ^= 0x80; return h }

// high is the other signature of the same: s in the upper half.
func high(signature []byte) []byte {
	out := bytes.Clone(signature)
	s := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(signature[32:64]))
	s.FillBytes(out[32:64])
	out[64] = 27 + 28 - out[64]
	return out
}
