package badinput

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/relayer/work"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

const (
	rootID = 31415926
	subID  = 2718281
	period = 10
)

var (
	server *storetest.Server
	worlds atomic.Int64 // namespaces given
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tries wait more than they work; -parallel on the command line still wins.
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "4")
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "badinput")
		if err == nil {
			defer os.RemoveAll(dir)
			server, err = storetest.Start(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Kill()
		return m.Run()
	}())
}

func addr(n byte) common.Address { return common.Address{0: 0xaa, 19: n} }
func hash(n uint64) common.Hash  { return common.BigToHash(new(big.Int).SetUint64(n)) }

// stranger is no contract of this subnet, but one whose events the watchers are
// given, as those of another subnet are.
var stranger = addr(0xee)

func ours() flow.Subnet {
	profile, err := ipc.ProfileOf(ipc.GenerationC)
	if err != nil {
		panic(err)
	}
	return flow.Subnet{
		Name: "subnet", RootID: rootID, ID: subID, IPC: ipc.NewSubnetID(rootID, addr(1)), Actor: addr(1),
		Gateway: addr(2), Controller: addr(3), FastWithdrawals: addr(4), FLT: addr(5), USDC: addr(6),
		SubnetGateway: addr(7), Replica: addr(8), Outbox: addr(9), Period: period, Profile: profile,
	}
}

// world is a root, a subnet and relayers between them that follow both through
// everything that is theirs: endpoint, client, watcher, store, worker, flow. Only
// what a transaction does is a model: the bridge, which counts what is sent.
type world struct {
	t         *testing.T
	root, sub *fake.Node
	s         flow.Subnet
	db        *store.DB
	bridge    *bridge
	log       *record
	ahead     atomic.Int64 // of the store's clock, in seconds

	down, up uint64                 // next nonces of honest messages
	due      uint64                 // the checkpoint that carries the newest withdrawal
	want     map[common.Hash]string // how each transfer ends

	mu   sync.Mutex
	last map[string]error // what each chain's watcher said last
	all  []error
}

// record keeps what is logged.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, root: fake.NewNode(t, rootID), sub: fake.NewNode(t, subID), s: ours(), log: &record{},
		want: map[common.Hash]string{}, last: map[string]error{},
	}
	w.bridge = &bridge{w: w, batches: map[uint64][]ipc.IpcEnvelope{}, settles: map[common.Hash]ipc.Withdrawal{}}
	var err error
	w.db, err = store.Open(t.Context(), store.Options{
		URL: server.URL(), Namespace: fmt.Sprint("bad", worlds.Add(1)), LeaseTime: 24 * time.Hour, PoolSize: 16,
		Clock: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load()) * time.Second) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })
	return w
}

// flows are all of the subnet's, as a relayer makes them.
func (w *world) flows() []flow.Flow {
	none := func(context.Context, flow.Search) ([]chains.Event, error) { return nil, nil }
	out := flow.WithdrawDeps{Search: none, Returned: w.bridge.returned, ResendTx: w.bridge.resendTx, Send: w.bridge.resend}
	return []flow.Flow{
		flow.TopDown(w.s, w.bridge.deliverDeps()), flow.Power(w.s, w.bridge.powerDeps()), flow.Checkpoint(w.s, w.bridge.checkpointDeps()),
		flow.USDCDeposit(w.s, none), flow.FLTDeposit(w.s, none), flow.USDCWithdraw(w.s, out), flow.FLTWithdraw(w.s, out),
	}
}

// dial is a client of one of the two nodes.
func dial(t *testing.T, n *fake.Node, id chains.ID, change ...func(*evm.Config)) *evm.Client {
	t.Helper()
	cfg := evm.Config{Name: "root", URL: n.URL(), ChainID: id, Timeout: 10 * time.Second, CheckHeaders: true}
	for _, f := range change {
		f(&cfg)
	}
	c, err := evm.Dial(t.Context(), cfg, nil)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// start runs relayers until the test ends. Time passes quickly for them, so that
// what waits is looked at again.
func (w *world) start(instances int) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	w.t.Cleanup(func() { cancel(); running.Wait() })
	log := slog.New(slog.NewTextHandler(w.log, nil))
	for i := range instances {
		child, err := subnet.New(dial(w.t, w.sub, subID, func(c *evm.Config) { c.Name = w.s.Name }),
			subnet.Config{Gateway: w.s.SubnetGateway, Outbox: w.s.Outbox, Period: period, DueTopic: flow.TopicCheckpointDue})
		require.NoError(w.t, err)
		flows := w.flows()
		for _, c := range []watch.Config{
			{Chain: flow.Root, Source: dial(w.t, w.root, rootID), Start: chains.Cursor{Chain: rootID, Next: 1},
				Filter: chains.Filter{Addresses: append(w.s.RootContracts(), stranger), Topics: w.s.RootTopics()}},
			{Chain: w.s.Name, Source: child, Start: chains.Cursor{Chain: subID, Next: 1},
				Filter: chains.Filter{Addresses: append(w.s.SubnetContracts(), stranger), Topics: w.s.SubnetTopics()}},
		} {
			c.Flows, c.Journal, c.Tick, c.Log = flows, w.db, 4*time.Millisecond, log
			c.Failed = func(err error) { w.heard(c.Chain, err) }
			watcher, err := watch.New(c)
			require.NoError(w.t, err)
			running.Go(func() { _ = watcher.Run(ctx) })
		}
		pool, err := work.New(work.Config{
			Queue: w.db, Flows: flows, Instance: fmt.Sprint(i), Workers: 2, Batch: 50, Idle: 8 * time.Millisecond, LookTime: 20 * time.Second, Log: log,
		})
		require.NoError(w.t, err)
		running.Go(func() { _ = pool.Run(ctx) })
	}
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

func (w *world) heard(chain string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last[chain] = err; err != nil {
		w.all = append(w.all, err)
	}
}

// said is what a watcher's last step ended with.
func (w *world) said(chain string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[chain]
}

// until waits for something to be so.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(w.t, "still not: "+what, "watchers: %v\nwant %v\nare %v\npaid %v\nof %v\n%s", w.last, w.want, w.transfers(), w.bridge.paidFor(), w.bridge.owed, tail(w.log.String()))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

func (w *world) next(chain string) uint64 {
	cur, _, err := w.db.Cursor(w.t.Context(), chain)
	require.NoError(w.t, err)
	return cur.Next
}

// rootIs waits until the root is read up to a height.
func (w *world) rootIs(height uint64) {
	w.t.Helper()
	w.until("the root is read", func() bool { return w.next(flow.Root) > height })
}

// read waits until both chains are read up to their heads.
func (w *world) read() {
	w.t.Helper()
	w.until("both chains are read", func() bool {
		return w.next(flow.Root) > w.root.Height() && w.next(w.s.Name) > w.sub.Height()
	})
}

// state is how a transfer stands: "done", "parked finality_regress".
func (w *world) state(id common.Hash) string {
	j, ok, err := w.db.Get(w.t.Context(), id)
	require.NoError(w.t, err)
	if !ok {
		return "unknown"
	}
	return stands(j)
}

// stands leaves out why a message of a lane is done: the event tells, a look,
// which may come first, does not.
func stands(j store.Job) string {
	if j.Transfer.Hidden && j.Status == tokens.Done {
		return string(j.Status)
	}
	return strings.TrimSpace(string(j.Status) + " " + j.Reason)
}

// transfers are all jobs but the checkpoints, which come by themselves.
func (w *world) transfers() map[common.Hash]string {
	out := map[common.Hash]string{}
	for cursor := ""; ; {
		jobs, next, err := w.db.List(w.t.Context(), store.Filter{Hidden: true, Limit: 500, Cursor: cursor})
		require.NoError(w.t, err)
		for _, j := range jobs {
			if j.Transfer.Route != "checkpoint" {
				out[j.Transfer.ID] = stands(j)
			}
		}
		if cursor = next; cursor == "" {
			return out
		}
	}
}

// ends waits until every honest transfer has ended as it must.
func (w *world) ends() {
	w.t.Helper()
	w.until("every transfer has ended", func() bool {
		for id, want := range w.want {
			if w.state(id) != want {
				return false
			}
		}
		return true
	})
}

// sound is what holds at the end of every row: there are the transfers that
// there must be and no others, each in its right state; what was sent is what
// was owed, each once; nothing panicked.
func (w *world) sound() {
	w.t.Helper()
	w.ends()
	require.Equal(w.t, w.want, w.transfers())
	require.ElementsMatch(w.t, w.bridge.owed, w.bridge.paidFor(), "what was paid is what was owed")
	require.NotContains(w.t, w.log.String(), "panicked")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, err := range w.all {
		require.NotContains(w.t, err.Error(), "goroutine ", "a decoder panicked")
	}
}

// halts waits until a chain's watcher stands because it cannot read an event of
// ours, which is what watcher_halted is raised for.
func (w *world) halts(chain, why string) {
	w.t.Helper()
	before := w.next(chain)
	w.until(chain+" halts: "+why, func() bool { return errors.Is(w.said(chain), watch.ErrHalted) })
	require.ErrorContains(w.t, w.said(chain), why)
	time.Sleep(20 * time.Millisecond)
	require.ErrorIs(w.t, w.said(chain), watch.ErrHalted, "and goes on standing")
	require.Equal(w.t, before, w.next(chain))
}

// honest plants a deposit of each token and a withdrawal; others are logs that
// go into the same transactions.
func (w *world) honest(rootLogs, subnetLogs []*types.Log) {
	deposits := append(w.usdc(addr(0x52), big.NewInt(7_000_000)), w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(900))...)
	w.root.MineLogs(slices.Concat(rootLogs, deposits, rootLogs)...)
	w.sub.MineLogs(slices.Concat(subnetLogs, w.withdraw(1), subnetLogs)...)
	w.checkpoint()
}

// checkpoint lets the subnet come to the checkpoint that carries what was
// withdrawn last.
func (w *world) checkpoint() {
	for w.sub.Height() < w.due {
		w.sub.Mine()
	}
}

func (w *world) expect(name string, contract common.Address, chain chains.ID, nonce uint64, state string) common.Hash {
	id := flow.TransferID(name, chain, contract, w.s.Actor, nonce)
	w.want[id] = state
	return id
}

// usdc is a deposit of USDC that is delivered and credited.
func (w *world) usdc(to common.Address, amount *big.Int) []*types.Log {
	env := message(ipc.KindCall, w.down, new(big.Int), ipc.FromEVM(w.s.Replica), []byte{1, 2, 3})
	w.expect("usdc_deposit", w.s.Controller, rootID, w.down, "done")
	return append(w.send(env), emit(controllerABI, "LinkedTokensSent", w.s.Controller, w.s.USDC, addr(0x51), to, env.TracingID(), env.LocalNonce, amount))
}

// flt is a deposit of FLT.
func (w *world) flt(to ipc.FvmAddress, amount *big.Int) []*types.Log {
	w.expect("flt_deposit", w.s.Gateway, rootID, w.down, "done")
	return w.send(message(ipc.KindTransfer, w.down, amount, to, nil))
}

// send is a message that must be delivered.
func (w *world) send(env ipc.IpcEnvelope) []*types.Log {
	w.down++
	w.expect("topdown", w.s.Gateway, rootID, env.LocalNonce, "done")
	w.bridge.owe("down " + env.Leaf().Hex())
	return []*types.Log{topDown(env)}
}

// withdraw are withdrawals of USDC, which the next checkpoint but one carries:
// what is delivered meanwhile makes blocks too.
func (w *world) withdraw(count int) (out []*types.Log) {
	at := (w.sub.Height()/period + 2) * period
	w.due = at
	for range count {
		x := withdrawal(w.s.USDC, w.up)
		payload, err := ipc.EncodeWithdrawal(x)
		require.NoError(w.t, err)
		env := message(ipc.KindCall, w.up, new(big.Int), ipc.FromEVM(w.s.FastWithdrawals), payload)
		w.bridge.carry(at, env, x)
		w.bridge.owe("up " + env.Leaf().Hex())
		w.expect("usdc_withdraw", w.s.Outbox, subID, w.up, "done")
		out = append(out, withdrawalSent(x))
		w.up++
	}
	return out
}

// newest is the id of the newest honest transfer of a route.
func (w *world) newest(route string) common.Hash {
	switch route {
	case "usdc_withdraw":
		return flow.TransferID(route, subID, w.s.Outbox, w.s.Actor, w.up-1)
	case "usdc_deposit":
		return flow.TransferID(route, rootID, w.s.Controller, w.s.Actor, w.down-1)
	}
	return flow.TransferID(route, rootID, w.s.Gateway, w.s.Actor, w.down-1)
}
