package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
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
	"github.com/ethereum/go-ethereum/crypto"
)

// Catchup is how fast a watcher reads a long stretch of final blocks.
type Catchup struct {
	Conditions string     `json:"conditions"`
	Root       Caught     `json:"root"`
	Subnet     Caught     `json:"subnet"`
	Load       [2]float64 `json:"load_1m"`
}

// Caught is one chain, read from its first block to its last.
type Caught struct {
	Blocks          int     `json:"blocks"`
	Seconds         float64 `json:"seconds"`
	BlocksPerSecond float64 `json:"blocks_per_second"`
	// EventBlocks hold events of ours, Transfers are what was journaled, the
	// relayer's own too.
	EventBlocks int `json:"blocks_with_events"`
	Transfers   int `json:"transfers"`
	// Linked counts the blocks whose hash the journal has and the chain confirms:
	// the ends of the ranges, and the blocks with events.
	Linked int `json:"hashes_confirmed"`
}

const catchupConditions = "a chain of the root's kind in this process, read over JSON-RPC by the relayer's own watcher, source and flows into a private Redis with appendfsync always, " +
	"2,000 blocks a query; the source checks parent and hash at the ends of each range and at each block with an event; root: two deposits in every %dth block; " +
	"subnet: no deposit and a checkpoint due in every 10th block"

// eventEvery is how far blocks with deposits are apart.
const eventEvery = 100

func measureCatchup(ctx context.Context, s size, say progress) (_ *Catchup, err error) {
	c := &Catchup{Conditions: fmt.Sprintf(catchupConditions, eventEvery), Load: [2]float64{load()}}
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	say("catchup: making a chain of %d blocks", s.blocks)
	long, err := makeLong(ctx, home.Dir(dir), s.blocks)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, long.chain.Close()) }()

	client, err := long.dial(ctx, flow.Root)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	flows := []flow.Flow{
		flow.TopDown(long.sub, flow.DeliverDeps{}), flow.Power(long.sub, flow.DeliverDeps{}), flow.Checkpoint(long.sub, flow.CheckpointDeps{}),
		flow.USDCDeposit(long.sub, nil), flow.FLTDeposit(long.sub, nil),
		flow.USDCWithdraw(long.sub, flow.WithdrawDeps{}), flow.FLTWithdraw(long.sub, flow.WithdrawDeps{}),
	}
	filter := chains.Filter{Addresses: long.sub.RootContracts(), Topics: long.sub.RootTopics()}
	if c.Root, err = long.read(ctx, filepath.Join(dir, "redis-root"), flow.Root, client, filter, flows); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	say("catchup: root %.0f blocks/s over %d blocks, %d transfers", c.Root.BlocksPerSecond, c.Root.Blocks, c.Root.Transfers)
	// Each deposit is a transfer of a user and a message of the relayer's own.
	if c.Root.Transfers != 2*long.deposits {
		return nil, fmt.Errorf("[BUG] %d transfers read for %d deposits", c.Root.Transfers, long.deposits)
	}

	// The same chain again as if it were the subnet's.
	as := long.sub
	as.ID, as.Name, as.Period = as.RootID, "subnet", 10
	other, err := long.dial(ctx, as.Name)
	if err != nil {
		return nil, err
	}
	child, err := subnet.New(other, subnet.Config{Gateway: as.SubnetGateway, Outbox: as.Outbox, Period: as.Period, DueTopic: flow.TopicCheckpointDue})
	if err != nil {
		return nil, err
	}
	defer child.Close()
	filter = chains.Filter{Addresses: as.SubnetContracts(), Topics: as.SubnetTopics()}
	if c.Subnet, err = long.read(ctx, filepath.Join(dir, "redis-subnet"), as.Name, child, filter, []flow.Flow{flow.Checkpoint(as, flow.CheckpointDeps{})}); err != nil {
		return nil, fmt.Errorf("subnet: %w", err)
	}
	say("catchup: subnet %.0f blocks/s over %d blocks, %d checkpoints", c.Subnet.BlocksPerSecond, c.Subnet.Blocks, c.Subnet.Transfers)
	if due := c.Subnet.Blocks / int(as.Period); c.Subnet.Transfers < due {
		return nil, fmt.Errorf("[BUG] %d checkpoints read where %d are due", c.Subnet.Transfers, due)
	}
	c.Load[1] = load()
	return c, nil
}

// long is a chain with our contracts, many blocks and some deposits.
type long struct {
	chain    *devchain.Chain
	dep      deploy.Deployment
	sub      flow.Subnet
	deposits int
}

// makeLong deploys the contracts as operators do, on a chain of short blocks,
// and adds blocks at once. Its clock runs ahead of the world's by a second a
// block.
func makeLong(ctx context.Context, dir home.Dir, blocks int) (_ *long, err error) {
	deployer, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	user := crypto.PubkeyToAddress(deployer.PublicKey)
	if err := dir.Make(); err != nil {
		return nil, err
	}
	l := &long{}
	l.chain, err = devchain.Start(ctx, devchain.Config{
		ChainID: 31415926, Alloc: map[common.Address]*big.Int{user: home.Ether(1_000_000)}, Period: 50 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.chain.Close())
		}
	}()
	settings := deploy.Default()
	settings.MaxSilence = deploy.Seconds(10 * blocks * int(time.Minute/time.Second)) // no checkpoint is carried
	l.dep, err = home.Deploy(ctx, dir, home.DeployOptions{
		RootURL: l.chain.HTTP(), Deployer: deploy.KeySigner(deployer), Settings: settings, Strength: home.Light,
		Redis: relayer.Redis{URL: "redis://127.0.0.1/0", Namespace: "causeway"}, Log: slog.New(slog.DiscardHandler), Step: func(string) {},
		PreFund: []deploy.PreFunder{{Signer: deploy.KeySigner(deployer), Amount: home.Ether(10)}},
		Grants: func(set deploy.RootSet) []deploy.Grant {
			return []deploy.Grant{{Token: set.Flt, To: user, Amount: home.Ether(1000)}, {Token: set.Usdc, To: user, Amount: big.NewInt(1_000_000_000_000)}}
		},
	})
	if err != nil {
		return nil, err
	}
	if l.sub, err = relayer.Describe("subnet", l.dep); err != nil {
		return nil, err
	}
	l.chain.Pause()
	sender, err := newSender(ctx, l.chain.HTTP(), deployer)
	if err != nil {
		return nil, err
	}
	defer sender.close()
	most := new(big.Int).Lsh(big.NewInt(1), 200)
	token := bindings.NewDevUsdc()
	for _, a := range []struct{ token, spender common.Address }{{l.dep.Root.Usdc, l.dep.Root.Controller}, {l.dep.Root.Flt, l.dep.Root.Gateway}} {
		if _, _, err := sender.send(ctx, []call{{a.token, token.PackApprove(a.spender, most), new(big.Int)}}); err != nil {
			return nil, fmt.Errorf("approve: %w", err)
		}
	}
	if err := sender.pooled(ctx); err != nil {
		return nil, fmt.Errorf("approve: %w", err)
	}
	if err := l.chain.Mine(ctx, 1); err != nil {
		return nil, err
	}
	for head := 0; head < blocks; head += eventEvery {
		calls := []call{depositOf(l.dep, tokens.FLT, somebody(uint64(head))), depositOf(l.dep, tokens.USDC, somebody(uint64(head)))}
		if _, _, err := sender.send(ctx, calls); err != nil {
			return nil, fmt.Errorf("deposit: %w", err)
		}
		if err := sender.pooled(ctx); err != nil {
			return nil, fmt.Errorf("deposit: %w", err)
		}
		l.deposits += len(calls)
		if err := l.chain.Mine(ctx, min(eventEvery, blocks-head)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *long) dial(ctx context.Context, name string) (evm.Reader, error) {
	return evm.Dial(ctx, evm.Config{
		Name: name, URL: l.chain.HTTP(), ChainID: l.chain.ChainID(), GenesisHash: l.dep.Root.GenesisHash, MaxAhead: -1,
	}, slog.New(slog.DiscardHandler))
}

// read runs a watcher from the first block until it has the last one.
func (l *long) read(ctx context.Context, dir, name string, src watch.Chain, filter chains.Filter, flows []flow.Flow) (c Caught, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, fmt.Errorf("make a folder: %w", err)
	}
	server, err := storetest.Start(dir)
	if err != nil {
		return c, err
	}
	defer server.Kill()
	db, err := store.Open(ctx, store.Options{URL: server.URL(), Namespace: "bench"})
	if err != nil {
		return c, err
	}
	defer db.Close()
	head := l.chain.Finalized()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var failed error
	w, err := watch.New(watch.Config{
		Chain: name, Source: src, Filter: filter, Flows: flows, Start: chains.Cursor{Chain: l.chain.ChainID(), Next: 1, Parent: l.chain.Genesis().Hash},
		Journal: db, Tick: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Ingested: func(_, _ int, last chains.Block) {
			if last.Number >= head.Number {
				cancel()
			}
		},
		Failed: func(err error) {
			if err != nil {
				failed = err
				cancel()
			}
		},
	})
	if err != nil {
		return c, err
	}
	began := time.Now()
	if err := errors.Join(w.Run(ctx), failed); err != nil {
		return c, err
	}
	took := time.Since(began)
	c.Blocks, c.Seconds = int(head.Number), round(took.Seconds(), 3)
	c.BlocksPerSecond = round(float64(c.Blocks)/took.Seconds(), 0)
	return c, l.confirm(context.WithoutCancel(ctx), db, name, &c)
}

// confirm compares what was journaled with the chain.
func (l *long) confirm(ctx context.Context, db *store.DB, name string, c *Caught) error {
	head := l.chain.Finalized()
	cur, ok, err := db.Cursor(ctx, name)
	if err != nil || !ok || cur.Next != head.Number+1 || cur.Parent != head.Hash {
		return fmt.Errorf("[BUG] the cursor stands at %d (%s), the chain ends with %d (%s): %w", cur.Next, cur.Parent, head.Number, head.Hash, err)
	}
	seen := map[uint64]bool{}
	for f := (store.Filter{Hidden: true, Limit: 500}); ; {
		page, next, err := db.List(ctx, f)
		if err != nil {
			return err
		}
		for _, j := range page {
			seen[j.Transfer.Height] = true
			c.Transfers++
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	c.EventBlocks = len(seen)
	trail, err := db.Trail(ctx, name, 0, head.Number)
	if err != nil {
		return err
	}
	client := l.chain.RPC()
	defer client.Close()
	for _, b := range trail {
		var is struct{ Hash common.Hash }
		if err := client.CallContext(ctx, &is, "eth_getBlockByNumber", fmt.Sprintf("0x%x", b.Number), false); err != nil {
			return fmt.Errorf("read block %d: %w", b.Number, err)
		}
		if is.Hash != b.Hash {
			return fmt.Errorf("[BUG] block %d is %s, the journal has %s", b.Number, is.Hash, b.Hash)
		}
	}
	c.Linked = len(trail)
	return nil
}
