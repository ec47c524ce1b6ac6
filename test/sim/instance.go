package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store"
)

// instance is one machine with a relayer that is started again whenever it
// ends.
type instance struct {
	run   *run
	index int
	name  string
	disks map[string]*disk
	seen  seen
	dice  *dice
	log   *slog.Logger
	note  func(string, ...any)

	mu   sync.Mutex
	life *life
}

func newInstance(r *run, index int) *instance {
	name := fmt.Sprintf("relay%d", index)
	return &instance{
		run: r, index: index, name: name, dice: newDice(r.seed, name), log: r.trace.logger(name), note: r.trace.note(name),
		disks: map[string]*disk{"root": {}, "subnet": {}},
	}
}

// supervise runs one life after another until ctx ends.
func (i *instance) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		err := i.live(ctx)
		i.mu.Lock()
		dead := i.life.dead
		i.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case dead, err == nil:
			nap(ctx, i.dice.between(300*time.Millisecond, 5*time.Second))
		case errors.Is(err, store.ErrForgot):
			i.note("the journal was lost: the operator comes")
			nap(ctx, i.dice.between(time.Second, 6*time.Second))
			i.recover(ctx)
		default:
			i.run.watch.violate("%s gave up: %v", i.name, err)
			nap(ctx, 5*time.Second)
		}
	}
}

func nap(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// live is one process.
func (i *instance) live(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &life{stop: stop, note: i.note}
	i.mu.Lock()
	i.life = l
	i.mu.Unlock()
	i.note("starts")
	journal, err := i.run.redis.open(i.name, l, i.dice, &i.seen, false)
	if err != nil {
		return err
	}
	return relayer.Relay(ctx, i.run.config(i.name), i.parts(l, journal))
}

// recover is what an operator does about a lost journal: accept it, and read
// the chains again, or leave that to the watchers.
func (i *instance) recover(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &life{stop: stop, note: i.note}
	journal, err := i.run.redis.open(i.name, l, i.dice, &i.seen, true)
	if err != nil {
		i.note("operator: %v", err)
		return
	}
	if i.dice.chance(0.3) {
		i.note("operator: accepts it without a rescan")
		return
	}
	results, err := relayer.RescanParts(ctx, i.run.config(i.name), relayer.RescanOptions{}, i.parts(l, journal))
	i.note("operator: rescan %+v, %v", results, err)
}

func (i *instance) parts(l *life, journal relayer.Journal) relayer.Parts {
	account := relayer.Account{Keystore: "relayer", PasswordFile: "none"}
	return relayer.Parts{
		Journal: journal,
		Signers: map[relayer.Account]evm.Signer{account: relayer.Signer(key("relayer"))},
		Dial: func(ctx context.Context, cfg evm.Config, log *slog.Logger) (evm.Reader, error) {
			c := i.run.root
			if cfg.Name != "root" {
				c = i.run.child
			}
			cfg.Transport = &wire{run: i.run, chain: c, life: l, instance: i.index, dice: i.dice}
			return evm.Dial(ctx, cfg, log)
		},
		Deployment: func(string) (deploy.Deployment, error) { return i.run.deployment, nil },
		OpenDisk: func(path string) (evm.Disk, error) {
			name := "root"
			if filepath.Base(path) != "intents-root.log" {
				name = "subnet"
			}
			return i.disks[name].open(l, func() int { return i.dice.below(2000) }, i.run.watch.appended)
		},
		Alerts: alerts.New(i.log, time.Hour), AuditEvery: i.run.auditEvery(), Log: i.log,
	}
}

// auditEvery: some seeds are audited all along, as in production. It costs a
// quarter of a run.
func (r *run) auditEvery() time.Duration {
	if r.seed%4 == 0 {
		return 0
	}
	return -1
}

// current is the process that runs now.
func (i *instance) current() *life {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.life
}

// config is what the instances are told.
func (r *run) config(name string) relayer.Config {
	cfg := relayer.Default()
	cfg.Instance, cfg.State, cfg.SingleSource = name, "state", true
	cfg.Work = relayer.Work{Workers: 2, Batch: 64, Idle: relayer.Duration(time.Second), Lease: relayer.Duration(leaseTime)}
	chain := func(id chains.ID, start uint64) relayer.Chain {
		c := relayer.DefaultChain()
		c.URL, c.ChainID, c.StartBlock = "http://sim", id, start
		c.Tick = relayer.Duration(1500 * time.Millisecond)
		c.Accounts = []relayer.Account{{Keystore: "relayer", PasswordFile: "none"}}
		c.Fees.BumpAfter = relayer.Duration(8 * time.Second)
		c.Fees.LowGasWei = relayer.Wei{Int: big.NewInt(1)}
		return c
	}
	cfg.Root = chain(r.deployment.Root.ChainID, r.validators.first)
	cfg.Subnets = []relayer.Subnet{{Name: "subnet", Deployment: "deployment", Chain: chain(r.deployment.Subnet.ChainID, 0)}}
	return cfg
}
