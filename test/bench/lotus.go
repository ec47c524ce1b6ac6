package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"golang.org/x/sync/errgroup"
)

// Lotus is how fast a root of Lotus nodes is read, beside a client that asks for logs
// and for nothing else, and how much is asked for while nothing happens.
type Lotus struct {
	Conditions string     `json:"conditions"`
	Sparse     Reading    `json:"sparse"` // deposits every few hours
	Dense      Reading    `json:"dense"`  // every few minutes
	Idle       IdleCalls  `json:"idle_one_source"`
	IdleAgreed IdleCalls  `json:"idle_two_agree"`
	Load       [2]float64 `json:"load_1m"`
}

// Reading is one root, read in several ways.
type Reading struct {
	Epochs     int `json:"epochs"`
	NullRounds int `json:"null_rounds"`
	EventEvery int `json:"epochs_between_events"`
	Logs       int `json:"logs"` // of our contracts and topics
	// Bare is eth_getLogs and nothing else; Checked is chains/filecoin over the same
	// ranges, without a journal. Some ranges are read at once in the second of each.
	Bare          Speed `json:"bare"`
	BareAtOnce    Speed `json:"bare_at_once"`
	Checked       Speed `json:"checked"`
	CheckedAtOnce Speed `json:"checked_at_once"`
	// Caught is the relayer's watcher, into a journal; Agreed the same through two
	// nodes that must agree.
	Caught Speed `json:"caught_up"`
	Agreed Speed `json:"caught_up_two_agree"`
	// Ratios are of epochs per second, run by run; the median of them.
	CheckedToBare       float64 `json:"checked_to_bare"`
	CheckedToBareAtOnce float64 `json:"checked_to_bare_at_once"`
	CaughtToBare        float64 `json:"caught_up_to_bare"`
	CaughtToBareAtOnce  float64 `json:"caught_up_to_bare_at_once"`
	AgreedToCaught      float64 `json:"two_agree_to_one"`
}

// Speed is one way of reading, the median of its runs.
type Speed struct {
	Seconds         float64 `json:"seconds"`
	EpochsPerSecond float64 `json:"epochs_per_second"`
	LogsPerSecond   float64 `json:"logs_per_second"`
}

const lotusConditions = "a Lotus-speaking root in this process, a tenth of its epochs null rounds, a deposit of FLT and one of USDC in every %dth epoch (sparse) or every %dth (dense), read over HTTP through the loopback; %d epochs a query, " +
	"%d queries at once where it says so; %d runs of each, in turn; the watcher writes into a private Redis with appendfsync always; idle: the watcher alone, epochs of %s and a tick of %s, " +
	"as epochs of 30 s and the default tick of 500 ms are to each other"

const (
	sparseEvery = 500
	denseEvery  = 20
	lotusRange  = 2000
	lotusAtOnce = 4
	lotusDepth  = 20
	lotusChain  = 31415926
	idleEpoch   = 2 * time.Second
	idleTick    = idleEpoch * 500 / 30_000
)

func measureLotus(ctx context.Context, s size, say progress) (_ *Lotus, err error) {
	m := &Lotus{
		Conditions: fmt.Sprintf(lotusConditions, sparseEvery, denseEvery, lotusRange, lotusAtOnce, s.reads, idleEpoch, idleTick.Round(time.Millisecond)),
		Load:       [2]float64{load()},
	}
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var sub flow.Subnet
	for _, part := range []struct {
		out   *Reading
		every int
		name  string
	}{{&m.Sparse, sparseEvery, "sparse"}, {&m.Dense, denseEvery, "dense"}} {
		say("lotus: making a root of %d epochs, %s", s.epochs, part.name)
		if sub, err = part.out.measure(ctx, filepath.Join(dir, part.name), s, part.every, say); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if m.Idle, err = idleCalls(ctx, sub, 1, s.idleEpochs); err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	if m.IdleAgreed, err = idleCalls(ctx, sub, 2, s.idleEpochs); err != nil {
		return nil, fmt.Errorf("idle, two agree: %w", err)
	}
	say("lotus: idle, %.1f calls per final block, %.1f where two agree", m.Idle.CallsPerBlock, m.IdleAgreed.CallsPerBlock)
	m.Load[1] = load()
	return m, nil
}

// measure makes a root and reads it in each way.
func (m *Reading) measure(ctx context.Context, dir string, s size, every int, say progress) (sub flow.Subnet, err error) {
	r, err := makeRoot(ctx, home.Dir(filepath.Join(dir, "home")), s.epochs, every)
	if err != nil {
		return sub, err
	}
	defer func() { err = errors.Join(err, r.root.Close()) }()
	m.EventEvery = every
	if err := r.count(ctx, m); err != nil {
		return sub, err
	}
	return r.sub, r.speeds(ctx, m, s.reads, filepath.Join(dir, "redis"), say)
}

// speeds reads the root in each way, one after another, as often as asked.
func (r *filRoot) speeds(ctx context.Context, m *Reading, runs int, dir string, say progress) error {
	type way struct {
		out  *Speed
		read func(context.Context) (time.Duration, error)
	}
	redis := 0
	caught := func(k int) func(context.Context) (time.Duration, error) {
		return func(ctx context.Context) (time.Duration, error) {
			redis++
			return r.catchUp(ctx, k, filepath.Join(dir, fmt.Sprint(redis)))
		}
	}
	ways := []way{
		{&m.Bare, r.bare(1)}, {&m.Checked, r.checked(1)}, {&m.BareAtOnce, r.bare(lotusAtOnce)}, {&m.CheckedAtOnce, r.checked(lotusAtOnce)},
		{&m.Caught, caught(1)}, {&m.Agreed, caught(2)},
	}
	took := make([][]time.Duration, len(ways))
	for range runs {
		for i, w := range ways {
			d, err := w.read(ctx)
			if err != nil {
				return err
			}
			took[i] = append(took[i], d)
		}
	}
	for i, w := range ways {
		d := median(took[i])
		*w.out = Speed{round(d.Seconds(), 4), round(float64(m.Epochs)/d.Seconds(), 0), round(float64(m.Logs)/d.Seconds(), 0)}
	}
	ratio := func(slow, quick int) float64 {
		var out []float64
		for i := range runs {
			out = append(out, took[quick][i].Seconds()/took[slow][i].Seconds())
		}
		return round(median(out), 3)
	}
	m.CheckedToBare, m.CheckedToBareAtOnce = ratio(1, 0), ratio(3, 2)
	m.CaughtToBare, m.CaughtToBareAtOnce, m.AgreedToCaught = ratio(4, 0), ratio(4, 2), ratio(5, 4)
	say("lotus: bare %.0f epochs/s, checked %.0f (%.0f %%); at once %.0f and %.0f (%.0f %%); caught up %.0f (%.0f %% of bare), two agree %.0f (%.0f %% of one)",
		m.Bare.EpochsPerSecond, m.Checked.EpochsPerSecond, 100*m.CheckedToBare, m.BareAtOnce.EpochsPerSecond, m.CheckedAtOnce.EpochsPerSecond, 100*m.CheckedToBareAtOnce,
		m.Caught.EpochsPerSecond, 100*m.CaughtToBare, m.Agreed.EpochsPerSecond, 100*m.AgreedToCaught)
	return nil
}

func median[T cmp.Ordered](of []T) T {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// filRoot is a root of two Lotus nodes with our contracts, many epochs and deposits.
type filRoot struct {
	root     *lotus.Root
	dep      deploy.Deployment
	sub      flow.Subnet
	deposits int
	logs     int
	final    chains.Block
}

func (r *filRoot) filter() chains.Filter {
	return chains.Filter{Addresses: r.sub.RootContracts(), Topics: r.sub.RootTopics()}
}

func startRoot(ctx context.Context, cfg lotus.Config) (*lotus.Root, error) {
	cfg.ChainID, cfg.FinalityDepth, cfg.Addrs, cfg.NullRate = lotusChain, lotusDepth, make([]string, 2), 0.1
	return lotus.Start(ctx, cfg)
}

// makeRoot deploys the contracts as operators do, then makes epochs at once.
func makeRoot(ctx context.Context, dir home.Dir, epochs, every int) (_ *filRoot, err error) {
	deployer, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	user := crypto.PubkeyToAddress(deployer.PublicKey)
	if err := dir.Make(); err != nil {
		return nil, err
	}
	r := &filRoot{}
	r.root, err = startRoot(ctx, lotus.Config{
		Period: 50 * time.Millisecond, Alloc: map[common.Address]*big.Int{user: home.Ether(1_000_000)},
		GenesisTime: uint64(time.Now().Add(-time.Duration(epochs+100_000) * time.Second).Unix()),
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.root.Close())
		}
	}()
	settings := deploy.Default()
	settings.MaxSilence = deploy.Seconds(10 * epochs * int(time.Minute/time.Second)) // no checkpoint is carried
	r.dep, err = home.Deploy(ctx, dir, home.DeployOptions{
		RootURL: r.root.Node(0).HTTP(), Deployer: deploy.KeySigner(deployer), Settings: settings, Strength: home.Light,
		Redis: relayer.Redis{URL: "redis://127.0.0.1/0", Namespace: "causeway"}, Log: slog.New(slog.DiscardHandler), Step: func(string) {},
		PreFund: []deploy.PreFunder{{Signer: deploy.KeySigner(deployer), Amount: home.Ether(10)}},
		Grants: func(set deploy.RootSet) []deploy.Grant {
			return []deploy.Grant{{Token: set.Flt, To: user, Amount: home.Ether(10_000)}, {Token: set.Usdc, To: user, Amount: big.NewInt(1_000_000_000_000)}}
		},
	})
	if err != nil {
		return nil, err
	}
	if r.sub, err = relayer.Describe("subnet", r.dep); err != nil {
		return nil, err
	}
	r.root.Pause()
	sender, err := newSender(ctx, r.root.Node(0).HTTP(), deployer)
	if err != nil {
		return nil, err
	}
	defer sender.close()
	most, token := new(big.Int).Lsh(big.NewInt(1), 200), bindings.NewDevUsdc()
	for _, a := range []struct{ token, spender common.Address }{{r.dep.Root.Usdc, r.dep.Root.Controller}, {r.dep.Root.Flt, r.dep.Root.Gateway}} {
		if _, _, err := sender.send(ctx, []call{{a.token, token.PackApprove(a.spender, most), new(big.Int)}}); err != nil {
			return nil, fmt.Errorf("approve: %w", err)
		}
	}
	if err := r.root.Mine(ctx, 2); err != nil {
		return nil, err
	}
	for head := 0; head < epochs; head += every {
		calls := []call{depositOf(r.dep, tokens.FLT, somebody(uint64(head))), depositOf(r.dep, tokens.USDC, somebody(uint64(head)))}
		if _, _, err := sender.send(ctx, calls); err != nil {
			return nil, fmt.Errorf("deposit: %w", err)
		}
		r.deposits += len(calls)
		if err := r.root.Mine(ctx, min(every, epochs-head)); err != nil {
			return nil, err
		}
	}
	return r, r.root.Mine(ctx, lotusDepth+5)
}

// count is what there is to read.
func (r *filRoot) count(ctx context.Context, m *Reading) error {
	c, err := r.dial(ctx, 0, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if r.final, err = c.Head(ctx); err != nil {
		return err
	}
	heights := make([]uint64, 0, r.final.Number)
	for h := range r.final.Number {
		heights = append(heights, h+1)
	}
	for part := range slices.Chunk(heights, 500) {
		for _, h := range part {
			switch _, err := c.BlockByNumber(ctx, h); {
			case errors.Is(err, evm.ErrNullRound):
				m.NullRounds++
			case err != nil:
				return err
			}
		}
	}
	m.Epochs = int(r.final.Number)
	if m.Logs, err = r.bareLogs(ctx, 1); err != nil {
		return err
	}
	r.logs = m.Logs
	if m.Logs < r.deposits*3/2 { // one of FLT's, two of USDC's
		return fmt.Errorf("[BUG] %d logs of %d deposits", m.Logs, r.deposits)
	}
	return nil
}

// ranges are the parts of the chain that are asked for.
func (r *filRoot) ranges() (out [][2]uint64) {
	for from := uint64(1); from <= r.final.Number; from += lotusRange {
		out = append(out, [2]uint64{from, min(from+lotusRange-1, r.final.Number)})
	}
	return out
}

// bare reads by eth_getLogs alone, so many ranges at once.
func (r *filRoot) bare(atOnce int) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		logs, err := r.bareLogs(ctx, atOnce)
		if err == nil && logs != r.logs {
			err = fmt.Errorf("[BUG] %d logs, %d before", logs, r.logs)
		}
		return time.Since(began), err
	}
}

func (r *filRoot) bareLogs(ctx context.Context, atOnce int) (int, error) {
	client, err := rpc.DialContext(ctx, r.root.Node(0).HTTP())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	f := r.filter()
	return r.each(ctx, atOnce, func(ctx context.Context, from, to uint64) (int, error) {
		var logs []types.Log
		err := client.CallContext(ctx, &logs, "eth_getLogs", map[string]any{
			"fromBlock": fmt.Sprintf("0x%x", from), "toBlock": fmt.Sprintf("0x%x", to), "address": f.Addresses, "topics": [][]common.Hash{f.Topics},
		})
		return len(logs), err
	})
}

// each reads the ranges, some at once, and says how many logs they hold.
func (r *filRoot) each(ctx context.Context, atOnce int, read func(ctx context.Context, from, to uint64) (int, error)) (int, error) {
	ranges := r.ranges()
	found := make([]int, len(ranges))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, span := range ranges {
		group.Go(func() (err error) {
			found[i], err = read(ctx, span[0], span[1])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("read logs: %w", err)
	}
	all := 0
	for _, n := range found {
		all += n
	}
	return all, nil
}

func (r *filRoot) dial(ctx context.Context, node int, transport http.RoundTripper) (*filecoin.Client, error) {
	return filecoin.Dial(ctx, filecoin.Config{
		Config: evm.Config{Name: flow.Root, URL: r.root.Node(node).HTTP(), ChainID: lotusChain, GenesisHash: r.root.Genesis(), MaxRange: lotusRange, Transport: transport},
		Depth:  lotusDepth, Behind: 2,
	}, slog.New(slog.DiscardHandler))
}

// checked reads the same ranges through the client that believes only what adds up.
func (r *filRoot) checked(atOnce int) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		c, err := r.dial(ctx, 0, nil)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if _, err := c.Head(ctx); err != nil {
			return 0, err
		}
		began := time.Now()
		logs, err := r.each(ctx, atOnce, func(ctx context.Context, from, to uint64) (int, error) {
			n := 0
			for at := (chains.Cursor{Chain: lotusChain, Next: from}); at.Next <= to; {
				last, events, err := c.Events(ctx, chains.Query{From: at, To: to, Filter: r.filter()})
				if err != nil {
					return n, err
				}
				n += len(events)
				if at = (chains.Cursor{Chain: lotusChain, Next: last.Number + 1, Parent: last.Hash}); last.Number+lotusDepth > to {
					// What is left are null rounds, if anything.
					if next, err := c.At(ctx, to); err != nil || next.Number < at.Next {
						return n, err
					}
				}
			}
			return n, nil
		})
		if err == nil && logs != r.logs {
			err = fmt.Errorf("[BUG] %d events, %d logs", logs, r.logs)
		}
		return time.Since(began), err
	}
}

// reader is the root through the first k nodes, all of which must agree.
func (r *filRoot) reader(ctx context.Context, k int, transport http.RoundTripper) (*agree.Client, error) {
	var who []agree.Endpoint
	for i := range k {
		who = append(who, agree.Endpoint{Name: fmt.Sprint(i), Dial: func(ctx context.Context) (evm.Reader, error) {
			c, err := r.dial(ctx, i, transport)
			if err != nil {
				return nil, err
			}
			return c, nil
		}})
	}
	return agree.Dial(ctx, agree.Config{Name: flow.Root, ChainID: lotusChain, StartBlock: 1, K: k, MaxRange: lotusRange}, who, slog.New(slog.DiscardHandler))
}

// catchUp is the relayer's watcher from the first epoch to the last.
func (r *filRoot) catchUp(ctx context.Context, k int, dir string) (time.Duration, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("make a folder: %w", err)
	}
	server, err := storetest.Start(dir)
	if err != nil {
		return 0, err
	}
	defer server.Kill()
	db, err := store.Open(ctx, store.Options{URL: server.URL(), Namespace: "bench"})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	source, err := r.reader(ctx, k, nil)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	began := time.Now()
	if err := r.follow(ctx, db, source, 10*time.Millisecond, func(last chains.Block) bool { return last.Number >= r.final.Number }); err != nil {
		return 0, err
	}
	took := time.Since(began)
	n := 0
	for f := (store.Filter{Hidden: true, Limit: 500}); ; {
		page, next, err := db.List(ctx, f)
		if err != nil {
			return 0, err
		}
		n += len(page)
		if f.Cursor = next; next == "" {
			break
		}
	}
	// Each deposit is a transfer of a user and a message of the relayer's own.
	if n < 2*r.deposits {
		return 0, fmt.Errorf("[BUG] %d transfers read for %d deposits", n, r.deposits)
	}
	return took, nil
}

// follow runs a watcher from the first epoch until done says so.
func (r *filRoot) follow(ctx context.Context, db watch.Journal, source watch.Chain, tick time.Duration, done func(chains.Block) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var failed error
	w, err := watch.New(watch.Config{
		Chain: flow.Root, Source: source, Filter: r.filter(), Start: chains.Cursor{Chain: lotusChain, Next: 1}, Journal: db, Tick: tick,
		Log: slog.New(slog.DiscardHandler),
		Flows: []flow.Flow{
			flow.TopDown(r.sub, flow.DeliverDeps{}), flow.Power(r.sub, flow.DeliverDeps{}), flow.Checkpoint(r.sub, flow.CheckpointDeps{}),
			flow.USDCDeposit(r.sub, nil), flow.FLTDeposit(r.sub, nil), flow.USDCWithdraw(r.sub, flow.WithdrawDeps{}), flow.FLTWithdraw(r.sub, flow.WithdrawDeps{}),
		},
		Ingested: func(_, _ int, last chains.Block) {
			if done(last) {
				cancel()
			}
		},
		Failed: func(err error) {
			if err != nil && ctx.Err() == nil {
				failed = err
				cancel()
			}
		},
	})
	if err != nil {
		return err
	}
	return errors.Join(w.Run(ctx), failed)
}
