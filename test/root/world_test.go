// Package root_test lets the production reading of the root (a watcher, over
// endpoints of which two must agree, into a real Redis) follow a Filecoin root
// that misbehaves as the real one does, and compares what is in the journal with
// what the receipts of an endpoint that nobody else asked say.
package root_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const (
	chainID = 31415926
	// Three endpoints are the relayer's, two of which must agree; the last is
	// honest and nobody else's.
	endpoints = 3
	mustAgree = 2
	witness   = endpoints
	// patience bounds every wait for something that must come.
	patience = 30 * time.Second
)

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

// key is a throw-away key made from a word.
func key(word string) *ecdsa.PrivateKey {
	return crypto.ToECDSAUnsafe(crypto.Keccak256([]byte("test/root " + word)))
}

func addressOf(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

// world is a root with our contracts and one reader of it.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	depth uint64 // of finality, in epochs
	root  *lotus.Root
	truth *ethclient.Client // the witness
	sub   flow.Subnet
	start uint64
	users []*user
	gone  map[uint64]bool // epochs that are to be null

	db      *store.DB
	sources *agree.Client
	moved   chan struct{} // the watcher did something
	tending sync.Mutex
	tends   sync.WaitGroup

	mu       sync.Mutex
	next     uint64 // first height that is not in the journal
	looks    int    // of the watcher, in vain or not
	failures int
	last     error          // of the watcher; nil after a good step
	reports  map[string]int // endpoints that were seen to be wrong, how often
	outs     map[string]int // and those that were out
}

// newWorld has the contracts on a root of which nothing is read yet.
func newWorld(t testing.TB, seed, depth uint64) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 5)), depth: depth, gone: map[uint64]bool{},
		moved: make(chan struct{}, 1), reports: map[string]int{}, outs: map[string]int{}}
	alloc := map[common.Address]*big.Int{addressOf(key("deployer")): ether(1_000_000), addressOf(key("validator")): ether(1_000_000)}
	for _, name := range []string{"alice", "bob", "carol"} {
		w.users = append(w.users, &user{key: key(name)})
		alloc[w.users[len(w.users)-1].address()] = ether(1_000_000)
	}
	var err error
	w.root, err = lotus.Start(t.Context(), lotus.Config{
		ChainID: chainID, Alloc: alloc, Manual: true, FinalityDepth: depth,
		Addrs: make([]string, endpoints+1),
		// Thirty days ago: a chain that runs this quickly must not pass the clock.
		GenesisTime: uint64(time.Now().Add(-30 * 24 * time.Hour).Unix()),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.root.Close()) })
	w.truth, err = ethclient.DialContext(t.Context(), w.root.Node(witness).HTTP())
	require.NoError(t, err)
	t.Cleanup(w.truth.Close)
	w.deploy()
	return w
}

// eager is a backend that makes an epoch at each look, so that a deployment waits
// for nothing.
type eager struct {
	*ethclient.Client
	root *lotus.Root
}

func (e eager) HeaderByNumber(ctx context.Context, n *big.Int) (*types.Header, error) {
	if err := e.root.Mine(ctx, 1); err != nil {
		return nil, err
	}
	return e.Client.HeaderByNumber(ctx, n)
}

func (e eager) TransactionReceipt(ctx context.Context, tx common.Hash) (*types.Receipt, error) {
	if err := e.root.Mine(ctx, 1); err != nil {
		return nil, err
	}
	return e.Client.TransactionReceipt(ctx, tx)
}

// deploy puts the contracts on the root, begins the subnet and lets every user
// deposit.
func (w *world) deploy() {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	soon := uint64(2)
	w.root.Node(witness).Set(func(s *lotus.Switches) { s.Finalized = &soon })
	env := deploy.Env{Backend: eager{w.truth, w.root}, StateFile: filepath.Join(t.TempDir(), "deploy.state"), Poll: time.Millisecond}
	deployer, validator := deploy.KeySigner(key("deployer")), key("validator")
	settings := deploy.Default()
	settings.MaxSilence = 30 * 24 * 3600 // nobody brings checkpoints, and deposits go on
	set, err := deploy.Root(ctx, env, deployer, deploy.RootParams{Settings: settings})
	require.NoError(t, err)
	var grants []deploy.Grant
	for _, u := range w.users {
		grants = append(grants, deploy.Grant{Token: set.Flt, To: u.address(), Amount: ether(1_000_000)},
			deploy.Grant{Token: set.Usdc, To: u.address(), Amount: big.NewInt(1e15)})
	}
	require.NoError(t, deploy.Mint(ctx, env, deployer, grants))
	boot, err := deploy.Bootstrap(ctx, env, set, deployer, deploy.BootstrapParams{Joiners: []deploy.Joiner{{
		Signer: deploy.KeySigner(validator), PublicKey: crypto.FromECDSAPub(&validator.PublicKey), Collateral: ether(40),
	}}})
	require.NoError(t, err)
	d, err := deploy.NewDeployment(deploy.GenesisParams{Root: set, Bootstrap: boot, Settings: settings})
	require.NoError(t, err)
	w.sub, err = relayer.Describe("subnet", d)
	require.NoError(t, err)
	w.start = set.StartBlock

	w.users = append(w.users, &user{key: validator, validator: true})
	for _, u := range w.users {
		u.nonce, err = w.truth.NonceAt(ctx, u.address(), nil)
		require.NoError(t, err)
		w.send(u, set.Flt, bindings.NewDevFlt().PackApprove(set.Gateway, ether(1_000_000)), nil)
		w.send(u, set.Usdc, bindings.NewDevUsdc().PackApprove(set.Controller, big.NewInt(1e15)), nil)
	}
	require.NoError(t, w.root.Mine(ctx, 3))
	w.root.Node(witness).Reset()
}

// follow starts the reader; it ends with the test.
func (w *world) follow() {
	t := w.t
	t.Helper()
	var err error
	w.db, err = store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "root", PoolSize: 4})
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })
	log := slog.New(&hearer{w: w})
	var who []agree.Endpoint
	for i := range endpoints {
		who = append(who, w.endpoint(i))
	}
	w.sources, err = agree.Dial(t.Context(), agree.Config{
		Name: flow.Root, ChainID: chainID, StartBlock: w.start, K: mustAgree,
		Grace: 250 * time.Millisecond, Timeout: 5 * time.Second,
		Retry: -1, // the test says when
	}, who, log)
	require.NoError(t, err)
	t.Cleanup(w.sources.Close)
	t.Cleanup(w.tends.Wait)

	watcher, err := watch.New(watch.Config{
		Chain: flow.Root, Source: w.sources, Flows: w.flows(), Journal: w.db,
		Filter: w.filter(),
		Start:  chains.Cursor{Chain: chainID, Next: w.start},
		Tick:   time.Millisecond, Log: log,
		Ingested: func(_, _ int, last chains.Block) { w.note(func() { w.next = last.Number + 1 }) },
		Failed: func(err error) {
			w.note(func() {
				w.looks++
				if w.last = err; err != nil && !errors.Is(err, store.ErrCursor) {
					w.failures++
				}
			})
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
}

func (w *world) filter() chains.Filter {
	return chains.Filter{Addresses: w.sub.RootContracts(), Topics: w.sub.RootTopics()}
}

// flows are those of a relayer that sends nothing: they read all it reads.
func (w *world) flows() []flow.Flow {
	none := flow.DeliverDeps{}
	return []flow.Flow{
		flow.TopDown(w.sub, none), flow.Power(w.sub, none), flow.Checkpoint(w.sub, flow.CheckpointDeps{}),
		flow.USDCDeposit(w.sub, nil), flow.FLTDeposit(w.sub, nil),
		flow.USDCWithdraw(w.sub, flow.WithdrawDeps{}), flow.FLTWithdraw(w.sub, flow.WithdrawDeps{}),
	}
}

func (w *world) note(do func()) {
	w.mu.Lock()
	do()
	w.mu.Unlock()
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// read is the first height that is not in the journal, and how often the watcher
// has failed so far.
func (w *world) read() (next uint64, failures int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next, w.failures
}

// looked is how often the watcher has looked so far.
func (w *world) looked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

// until waits for something that the watcher brings about. Endpoints that are out
// and answers in doubt are looked at again after each failure and every few looks,
// as every few seconds in a relayer.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	_, failed := w.read()
	for looks := 1; !done(); looks++ {
		select {
		case <-w.moved:
		case <-w.t.Context().Done():
			w.t.FailNow()
		case <-limit.C:
			w.mu.Lock()
			defer w.mu.Unlock()
			require.FailNow(w.t, what, "next %d, head %d, depth %d, %d failures, the last: %v, status %+v",
				w.next, w.root.Head(), w.depth, w.failures, w.last, w.sources.Status())
		}
		if _, now := w.read(); now > failed || looks%5 == 0 {
			failed = now
			w.tend()
		}
	}
}

// hearer counts which endpoints are said to differ, not to add up, or to be out.
type hearer struct{ w *world }

func (h *hearer) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h *hearer) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *hearer) WithGroup(string) slog.Handler                { return h }

func (h *hearer) Handle(_ context.Context, r slog.Record) error {
	wrong := r.Message == "endpoint differs" || r.Message == "endpoint's answers do not add up"
	if !wrong && r.Message != "endpoint is out" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key != "endpoint":
		case wrong:
			h.w.notice(a.Value.String())
		default:
			h.w.mu.Lock()
			h.w.outs[a.Value.String()]++
			h.w.mu.Unlock()
		}
		return true
	})
	return nil
}

// tend looks after the endpoints where one of them needs it, beside the reading as
// in a relayer, and as there not twice at once.
func (w *world) tend() {
	ctx := w.t.Context()
	for _, s := range w.sources.Status().Endpoints {
		if (s.Out != "" || len(s.Differs) > 0) && w.tending.TryLock() {
			w.tends.Go(func() {
				defer w.tending.Unlock()
				w.sources.Tend(ctx)
			})
			return
		}
	}
}

// notice counts that an endpoint was seen to be wrong: by the others, or by its own
// reader.
func (w *world) notice(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports[name]++
}

// wasOut is how often an endpoint was not asked for a while.
func (w *world) wasOut(i int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outs[nameOf(i)]
}

func (w *world) reported(i int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reports[nameOf(i)]
}

// height is the final head that an endpoint has told.
func (w *world) height(i int) uint64 {
	w.t.Helper()
	for _, s := range w.sources.Status().Endpoints {
		if s.Name == nameOf(i) {
			return s.Height
		}
	}
	w.t.Fatalf("there is no %s", nameOf(i))
	return 0
}
