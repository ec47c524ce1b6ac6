// Package rig runs the real programs for tests that need all of them: root,
// node, Redis and relayers as processes, money sent both ways, what may go wrong
// with each, and the checks of what became of it. It promises to judge from the
// chains and the journal alone, never from what a relayer says of itself, and to
// leave no process behind. It imports testing nowhere: a command uses it too.
package rig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Lease is how long a relayer of a rig holds a lane that it does not extend.
const Lease = 4 * time.Second

// Options of a world.
type Options struct {
	Dir     string // a folder of its own
	Program string // causeway, built with its crash points in
	// Period is the checkpoint period in subnet blocks; 0: the default.
	Period uint64
	// Axelar is the generation of the gateways to an Ethereum; "" is none.
	Axelar string
	Say    func(format string, args ...any)
}

// World is a deployed bridge with its processes, its users and its books.
type World struct {
	Dir    home.Dir
	Net    *devnet.Net
	Sub    flow.Subnet
	Bridge *wallet.Bridge
	Ledger *Ledger
	Tap    *Tap
	// Instances are the relayers, the first of which runs from the start.
	Instances []*Instance
	// Carrier is the account that the relayers send from, on both chains.
	Carrier common.Address

	opt     Options
	redis   *Redis
	db      journal
	audit   *auditor
	nodeMu  sync.Mutex
	nodeEnv []string
	signers [home.Signers]struct {
		sync.Mutex
		env []string
	}
	redisMu sync.Mutex
	spare   int
	retried int
	close   []func()
}

// Start brings everything up with one relayer and something to withdraw.
func Start(ctx context.Context, o Options) (_ *World, err error) {
	w := &World{Dir: home.Dir(filepath.Join(o.Dir, "home")), opt: o, Ledger: newLedger()}
	defer func() {
		if err != nil {
			w.Stop()
		}
	}()
	if err := w.Dir.Make(); err != nil {
		return nil, err
	}
	if w.redis, err = newRedis(filepath.Join(o.Dir, "redis"), filepath.Join(w.Dir.Logs(), "redis.log")); err != nil {
		return nil, err
	}
	if err := w.redis.Start(ctx); err != nil {
		return nil, err
	}
	w.later(func() { w.redis.Kill() })
	settings := deploy.Default()
	if o.Period != 0 {
		settings.CheckPeriod = o.Period
	}
	w.Net, err = devnet.Start(ctx, devnet.Options{
		Home: w.Dir, Program: o.Program, Redis: w.redis.URL(), Settings: settings, LogLevel: "info", Log: slog.New(slog.DiscardHandler),
		Say: o.Say, Axelar: o.Axelar, Env: func(child string) []string {
			if child == "node" {
				return w.nodeEnv
			}
			for n := range w.signers {
				if child == home.SignerName(n+1) {
					return w.signers[n].env
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	w.later(w.Net.Stop)
	w.Net.Quit("relayer") // ours are launched below, each behind lines of its own

	if w.Sub, err = relayer.Describe("subnet", w.Net.Dep); err != nil {
		return nil, err
	}
	key, err := w.Dir.Key("relayer", home.Light)
	if err != nil {
		return nil, err
	}
	w.Carrier = crypto.PubkeyToAddress(key.PublicKey)
	if w.Bridge, err = w.Net.Bridge(ctx); err != nil {
		return nil, err
	}
	w.later(w.Bridge.Close)
	if w.audit, err = newAuditor(ctx, w); err != nil {
		return nil, err
	}
	w.later(w.audit.close)
	w.later(w.db.drop)
	w.Tap = newTap(func() string { return w.redis.Addr() })
	w.later(w.Tap.close)
	first, err := w.Join("relayer-1", "")
	if err != nil {
		return nil, err
	}
	if err := first.Start(ctx); err != nil {
		return nil, err
	}
	return w, w.provide(ctx)
}

// provide brings the user what it will withdraw.
func (w *World) provide(ctx context.Context) error {
	for _, d := range []struct {
		asset  tokens.Asset
		amount *big.Int
	}{{tokens.USDC, big.NewInt(900_000_000)}, {tokens.FLT, home.Ether(10_000)}} {
		tx, err := w.Bridge.Deposit(ctx, d.asset, w.Bridge.Root.Address, d.amount)
		if err != nil {
			return fmt.Errorf("provide: %w", err)
		}
		if _, err := w.Bridge.Root.Wait(ctx, tx); err != nil {
			return fmt.Errorf("provide: %w", err)
		}
		w.Ledger.Note(tx, Want{Route: Route(d.asset, "deposit"), Amount: d.amount, Status: tokens.Done})
	}
	_, err := w.Settle(ctx, time.Now(), 3*time.Minute)
	return err
}

func (w *World) later(f func()) { w.close = append(w.close, f) }

// Stop ends everything, last started first.
func (w *World) Stop() {
	for _, i := range w.Instances {
		i.end()
	}
	for i := len(w.close) - 1; i >= 0; i-- {
		w.close[i]()
	}
	w.close = nil
}

// LogFile is the log of a child.
func (w *World) LogFile(name string) string { return filepath.Join(w.Dir.Logs(), name+".log") }

// Redis is the server that the relayers use now.
func (w *World) Redis() *Redis { return w.redis }

// WithRedis runs f while nobody else of this process breaks Redis.
func (w *World) WithRedis(f func(*Redis) error) error {
	w.redisMu.Lock()
	defer w.redisMu.Unlock()
	return f(w.redis)
}

// WithNode runs f while nobody else of this process breaks the node.
func (w *World) WithNode(f func() error) error {
	w.nodeMu.Lock()
	defer w.nodeMu.Unlock()
	return f()
}

// StartNode starts the node with env added to its environment.
func (w *World) StartNode(ctx context.Context, env ...string) error {
	w.nodeEnv = env
	return w.Net.StartNode(ctx)
}

// WithSigner runs f while nobody else of this process breaks an approver, from 1.
func (w *World) WithSigner(n int, f func() error) error {
	w.signers[n-1].Lock()
	defer w.signers[n-1].Unlock()
	return f()
}

// StartSigner starts an approver with env added to its environment.
func (w *World) StartSigner(ctx context.Context, n int, env ...string) error {
	w.signers[n-1].env = env
	return w.Net.StartSigner(ctx, n)
}

// Replica makes an empty server that follows the present one.
func (w *World) Replica(ctx context.Context) (*Redis, error) {
	w.spare++
	name := fmt.Sprintf("redis-%d", w.spare)
	r, err := newRedis(filepath.Join(w.opt.Dir, name), w.LogFile(name))
	if err != nil {
		return nil, err
	}
	if err := r.Start(ctx); err != nil {
		return nil, err
	}
	w.later(r.Kill)
	c := r.Client()
	defer c.Close()
	if err := c.ReplicaOf(ctx, "127.0.0.1", fmt.Sprint(w.redis.port)).Err(); err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	return r, Until(ctx, 30*time.Second, "the replica has everything", func() bool {
		role, err := c.Do(ctx, "ROLE").Slice()
		return err == nil && len(role) > 3 && role[3] == "connected"
	})
}

// Failover makes another server the one that the world uses; every line leads
// there from now on.
func (w *World) Failover(to *Redis) {
	w.redis = to
	w.db.drop()
	for _, i := range w.Instances {
		i.Redis.Lead(to.Addr())
	}
}

// Reorg replaces unfinal blocks of the root.
func (w *World) Reorg(ctx context.Context, depth uint64) error {
	return w.Bridge.Root.Client().Client().CallContext(ctx, nil, "dev_reorg", fmt.Sprintf("0x%x", depth))
}

// MinTip leaves cheaper transactions of the root waiting.
func (w *World) MinTip(ctx context.Context, wei int64) error {
	return w.Bridge.Root.Client().Client().CallContext(ctx, nil, "dev_setMinTip", fmt.Sprintf("0x%x", wei))
}

// Command runs `causeway ARGS` in the world's home to its end.
func (w *World) Command(ctx context.Context, name string, args ...string) error {
	p, err := launch(w.LogFile(name), w.opt.Program, nil, append(args, "--home", string(w.Dir))...)
	if err != nil {
		return err
	}
	s, err := p.Wait(ctx)
	if err != nil {
		p.Kill()
		return fmt.Errorf("causeway %s: %w", args[0], err)
	}
	if s.ExitCode() == 3 {
		return fmt.Errorf("causeway %s: %w", args[0], &unreachable{Tail(p.Log, 600)})
	}
	if s.ExitCode() != 0 {
		return fmt.Errorf("causeway %s ended with %d: %s", args[0], s.ExitCode(), Tail(p.Log, 1500))
	}
	return nil
}

// ErrForgotten says that an instance has stopped, as it must, since Redis knows
// less than it has seen.
var ErrForgotten = errors.New("redis forgot")

// Rebuild is what an operator does after Redis lost history: with every
// instance down, `causeway rescan --accept-forgotten` for each, then a start.
func (w *World) Rebuild(ctx context.Context) error {
	for _, i := range w.Instances {
		if i.Running() {
			if _, err := i.Terminate(20 * time.Second); err != nil {
				return err
			}
		}
	}
	for _, i := range w.Instances {
		if i.joined {
			if err := w.rescan(ctx, i); err != nil {
				return err
			}
		}
	}
	for _, i := range w.Instances {
		if i.joined {
			if err := i.Start(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// rescan is repeated while it cannot reach something: any number of times is
// allowed.
func (w *World) rescan(ctx context.Context, i *Instance) error {
	for tries := 0; ; tries++ {
		err := w.Command(ctx, "rescan", "rescan", "--accept-forgotten", "--config", i.config)
		var away *unreachable
		if err == nil || !errors.As(err, &away) || tries == 5 {
			return err
		}
		Pause(ctx, time.Second)
	}
}

// Revive gives every joined instance what it needs to go on after Redis was
// hurt: those that stopped because it forgot are rebuilt, all of them together.
// It says whether that was needed.
func (w *World) Revive(ctx context.Context) (rebuilt bool, err error) {
	// One that forgot stops within its next look at the journal.
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		ready := true
		for _, i := range w.Instances {
			if !i.joined {
				continue
			}
			if !i.Running() {
				if !i.Forgot() {
					return false, fmt.Errorf("%s ended by itself: %s", i.Name, Tail(i.log(), 1500))
				}
				return true, w.Rebuild(ctx)
			}
			ready = ready && i.Ready(ctx)
		}
		if ready {
			return false, nil
		}
		Pause(ctx, 200*time.Millisecond)
	}
	return false, errors.New("the relayers are not ready 90s after Redis came back")
}

// Keep copies the logs and the journal's file for a person to look at.
func (w *World) Keep(dir string) error {
	if err := copyDir(w.Dir.Logs(), filepath.Join(dir, "logs")); err != nil {
		return err
	}
	return copyDir(filepath.Join(w.redis.dir, "appendonlydir"), filepath.Join(dir, "redis"))
}
