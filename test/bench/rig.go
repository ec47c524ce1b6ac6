package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// rig is a running devnet, a user on both sides, the relayer's journal open for
// reading and an observer per chain.
type rig struct {
	net     *devnet.Net
	sub     flow.Subnet
	db      *store.DB
	relayer common.Address
	root    *side
	subnet  *side
	l1      *side  // nil without an Ethereum
	fresh   uint64 // counter of recipients nobody has seen
	want    int    // user transfers sent so far
	// released are transactions that sent a plain Transfer out, which is no
	// transfer of a route.
	released []sent
	took     time.Duration // to start
	say      progress
	close    []func()
}

// side is one chain: the user's sender and the observer.
type side struct {
	*sender
	*observer
}

// startRig brings everything up, with a checkpoint every period; stop ends it. axelar
// is the generation of the gateways between an Ethereum and the root; "" has none.
func startRig(ctx context.Context, program string, period uint64, axelar string, say progress) (_ *rig, err error) {
	began := time.Now()
	r := &rig{say: say}
	defer func() {
		if err != nil {
			r.stop()
		}
	}()
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	r.later(func() { _ = os.RemoveAll(dir) })
	at, settings := home.Dir(filepath.Join(dir, "home")), deploy.Default()
	settings.CheckPeriod = period
	r.net, err = devnet.Start(ctx, devnet.Options{
		Home: at, Program: program, Settings: settings, Axelar: axelar, LogLevel: "info", Log: slog.New(slog.DiscardHandler), Say: say,
	})
	if err != nil {
		return nil, fmt.Errorf("start devnet: %w", err)
	}
	r.later(r.net.Stop)
	if r.sub, err = relayer.Describe("subnet", r.net.Dep); err != nil {
		return nil, err
	}
	key, err := at.Key("relayer", home.Light)
	if err != nil {
		return nil, err
	}
	r.relayer = crypto.PubkeyToAddress(key.PublicKey)
	// Opened for reading, next to the relayer. Counting one more opening changes
	// nothing for it.
	r.db, err = store.Open(ctx, store.Options{URL: r.net.Info.RedisURL, Namespace: "causeway", Instance: "bench"})
	if err != nil {
		return nil, err
	}
	r.later(func() { _ = r.db.Close() })

	// The root's WebSocket shares the port of its JSON-RPC.
	info := r.net.Info
	if r.root, err = r.openSide(ctx, info.RootURL, strings.Replace(info.RootURL, "http://", "ws://", 1)); err != nil {
		return nil, err
	}
	if r.subnet, err = r.openSide(ctx, info.SubnetURL, info.SubnetWS); err != nil {
		return nil, err
	}
	if axelar != "" {
		if r.l1, err = r.openSide(ctx, info.EthereumURL, strings.Replace(info.EthereumURL, "http://", "ws://", 1)); err != nil {
			return nil, err
		}
	}
	r.took = time.Since(began)
	say("warming up")
	if err := r.warmUp(ctx); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	return r, nil
}

func (r *rig) openSide(ctx context.Context, url, ws string) (*side, error) {
	s, err := newSender(ctx, url, r.net.User())
	if err != nil {
		return nil, err
	}
	r.later(s.close)
	o, err := observe(ctx, ws)
	if err != nil {
		return nil, err
	}
	r.later(o.close)
	return &side{s, o}, nil
}

func (r *rig) later(f func()) { r.close = append(r.close, f) }

// stop ends everything, last started first.
func (r *rig) stop() {
	for i := len(r.close) - 1; i >= 0; i-- {
		r.close[i]()
	}
	r.close = nil
}

// build compiles the program as operators run it.
func build(ctx context.Context, dir string) (string, error) {
	module, err := root()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "causeway")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/causeway")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build causeway: %w\n%s", err, out)
	}
	return program, nil
}

// warmUp approves both tokens, sends a supply of each to withdraw and one deposit
// of each to somebody else, and waits: what happens only once is out of the figures.
func (r *rig) warmUp(ctx context.Context) error {
	b, err := r.net.Bridge(ctx)
	if err != nil {
		return err
	}
	defer b.Root.Close()
	defer b.Subnet.Close()
	for _, d := range []struct {
		asset  tokens.Asset
		amount *big.Int
	}{{tokens.USDC, big.NewInt(900_000_000_000)}, {tokens.FLT, new(big.Int).Mul(big.NewInt(100_000), oneFLT)}} {
		tx, err := b.Deposit(ctx, d.asset, b.Root.Address, d.amount)
		if err != nil {
			return fmt.Errorf("deposit %s: %w", d.asset.Symbol, err)
		}
		if _, err := b.Root.Wait(ctx, tx); err != nil {
			return err
		}
		r.want++
	}
	if _, _, err := r.root.send(ctx, alternating(2, r.deposit)); err != nil {
		return fmt.Errorf("deposit: %w", err)
	}
	r.want += 2
	return r.settle(ctx, 2*time.Minute)
}

var oneFLT = big.NewInt(1_000_000_000_000_000_000)

// settle waits until every user transfer sent has ended.
func (r *rig) settle(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	told := time.Now()
	for {
		ended, pending, err := r.count(ctx)
		if err == nil && ended >= r.want && pending == 0 {
			return nil
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			r.say("%d of %d transfers ended", ended, r.want)
		}
		if died := r.net.Failed(); died != nil {
			return died
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d of %d transfers ended: %w", ended, r.want, ctx.Err()), err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// count reads how many user transfers have ended and how many have not.
func (r *rig) count(ctx context.Context) (ended, pending int, err error) {
	stats, err := r.db.Stats(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range stats.Counts {
		if _, user := tokens.RouteByName(c.Route); !user {
			continue
		}
		if c.Status.Terminal() {
			ended += c.N
		} else {
			pending += c.N
		}
	}
	return ended, pending, nil
}

// nobody is a new recipient.
func (r *rig) nobody() common.Address {
	r.fresh++
	return somebody(r.fresh)
}

// somebody is one of as many recipients as there are numbers.
func somebody(n uint64) common.Address {
	return common.BytesToAddress(crypto.Keccak256([]byte("bench"), new(big.Int).SetUint64(n).Bytes())[12:])
}
