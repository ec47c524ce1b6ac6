package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/sync/errgroup"
)

// Backlog is how fast the relayer works off what has waited for it.
type Backlog struct {
	Conditions  string     `json:"conditions"`
	Deposits    Waited     `json:"root_to_subnet"`
	Withdrawals Waited     `json:"subnet_to_root"`
	MemoryEach  int64      `json:"redis_bytes_per_transfer"` // what each has added to Redis, transactions included
	Sound       bool       `json:"sound"`
	Load        [2]float64 `json:"load_1m"`
}

// Waited is one direction. The rate is from the first to the last final effect.
type Waited struct {
	Transfers int            `json:"transfers"`
	Statuses  map[string]int `json:"statuses"`
	Wall      Rates          `json:"wall_clock"` // when the journal recorded the final effect
	Block     Rates          `json:"block_time"` // of the blocks with the effects
	// First is from the start of the relayer's process to the first final effect.
	First        float64 `json:"latency_of_first_ms"`
	Blocks       int     `json:"destination_blocks"`
	LargestBlock int     `json:"effects_in_the_fullest_block"`
}

const backlogConditions = "the shared devnet (60 M gas blocks every second on both sides, finality of the root 2 blocks behind, a checkpoint every %d subnet blocks), one account of " +
	"the relayer's on each side; half FLT, half USDC, every recipient new; the relayer is stopped, %d source events are sent by one key, their blocks are final and " +
	"the statements or checkpoints that cover them are signed; then the relayer's process is started"

// measureBacklog measures both directions, one after the other.
func measureBacklog(ctx context.Context, r *rig, s size) (_ *Backlog, err error) {
	b := &Backlog{Conditions: fmt.Sprintf(backlogConditions, s.period, s.backlog), Load: [2]float64{load()}}
	if err := r.settle(ctx, time.Minute); err != nil {
		return nil, err
	}
	before, err := r.redisMemory(ctx)
	if err != nil {
		return nil, err
	}
	if b.Deposits, err = r.waited(ctx, r.root, alternating(s.backlog, r.deposit), r.statementsCover); err != nil {
		return nil, fmt.Errorf("root to subnet: %w", err)
	}
	if b.Withdrawals, err = r.waited(ctx, r.subnet, alternating(s.backlog, r.withdraw), r.checkpointsCover); err != nil {
		return nil, fmt.Errorf("subnet to root: %w", err)
	}
	after, err := r.redisMemory(ctx)
	if err != nil {
		return nil, err
	}
	b.MemoryEach = (after - before) / int64(2*s.backlog)
	report, err := r.net.Audit(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	done := string(tokens.Done)
	b.Sound = report.OK && b.Deposits.Statuses[done] == s.backlog && b.Withdrawals.Statuses[done] == s.backlog
	b.Load[1] = load()
	return b, nil
}

// waited sends while the relayer is stopped, waits until all of it could go, and
// measures from the relayer's start.
func (r *rig) waited(ctx context.Context, from *side, calls []call, covered func(context.Context) error) (w Waited, err error) {
	r.say("backlog: %d events with the relayer stopped", len(calls))
	r.net.Quit("relayer")
	b, err := r.burst(ctx, from, calls)
	if err != nil {
		return w, err
	}
	if err := r.mined(ctx, from, b.txs); err != nil {
		return w, err
	}
	if err := covered(ctx); err != nil {
		return w, err
	}
	r.say("backlog: all final and signed, starting the relayer")
	b.began = time.Now()
	if err := r.net.StartRelayer(ctx); err != nil {
		return w, err
	}
	if err := r.end(ctx, b); err != nil {
		return w, err
	}
	jobs, err := r.transfersOf(ctx, b.txs)
	if err != nil {
		return w, err
	}
	w = waitedOf(b, jobs)
	r.say("backlog: %s/s from first to last by block time, first after %.1f s", show(w.Block.PerSecond), w.First/1000)
	return w, nil
}

// waitedOf reads the ends of a burst's transfers.
func waitedOf(b *burst, jobs map[common.Hash]store.Job) Waited {
	w := Waited{Transfers: len(b.txs), Statuses: map[string]int{}}
	var wall, block ends
	n, at := 0, map[uint64]int{}
	for _, tx := range b.txs {
		j, ok := jobs[tx.hash]
		if !ok {
			w.Statuses["unseen"]++
			continue
		}
		w.Statuses[string(j.Status)]++
		if j.Status != tokens.Done {
			continue
		}
		n++
		wall.add(j.UpdatedAt)
		block.add(decidedAt(j))
		at[decidedIn(j)]++
	}
	for _, n := range at {
		w.LargestBlock = max(w.LargestBlock, n)
	}
	w.Blocks = len(at)
	if n > 0 {
		w.Wall, w.Block = ratesOf(n, b.began, wall.first, wall.last), ratesOf(n, b.began.Truncate(time.Second), block.first, block.last)
		w.First = millis(wall.first.Sub(b.began))
	}
	return w
}

// decidedIn is the block that ended a transfer.
func decidedIn(j store.Job) uint64 {
	for i := len(j.History) - 1; i >= 0; i-- {
		if j.History[i].Outcome != "" && j.History[i].Tx != (common.Hash{}) {
			return j.History[i].Height
		}
	}
	return 0
}

// mined waits until a side has the last transaction in a final block.
func (r *rig) mined(ctx context.Context, s *side, txs []sent) error {
	for {
		found, err := receipts(ctx, s, []common.Hash{txs[len(txs)-1].hash})
		if err != nil {
			return err
		}
		final, err := s.eth.HeaderByNumber(ctx, finalTag)
		if err != nil {
			return fmt.Errorf("read final block: %w", err)
		}
		if found[0] != nil && found[0].BlockNumber.Cmp(final.Number) <= 0 {
			return nil
		}
		if err := s.until(ctx, func(uint64) bool { return true }); err != nil {
			return err
		}
	}
}

// transfersOf are the transfers that transactions began, with their histories.
func (r *rig) transfersOf(ctx context.Context, txs []sent) (map[common.Hash]store.Job, error) {
	wanted := make(map[common.Hash]bool, len(txs))
	for _, tx := range txs {
		wanted[tx.hash] = true
	}
	var found []store.Job
	for f := (store.Filter{Limit: 500}); ; {
		page, next, err := r.db.List(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		for _, j := range page {
			if wanted[j.Transfer.Origin.Tx] {
				found = append(found, j)
			}
		}
		if next == "" || len(found) == len(txs) {
			break
		}
		f.Cursor = next
	}
	var g errgroup.Group
	g.SetLimit(16)
	for i := range found {
		g.Go(func() error {
			j, ok, err := r.db.Get(ctx, found[i].Transfer.ID)
			if err == nil && ok {
				found[i] = j
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	out := make(map[common.Hash]store.Job, len(found))
	for _, j := range found {
		out[j.Transfer.Origin.Tx] = j
	}
	return out, nil
}

// child is the subnet's node as the relayer asks it.
func (r *rig) child(ctx context.Context) (*subnet.Client, error) {
	c, err := evm.Dial(ctx, evm.Config{Name: "subnet", URL: r.net.Info.SubnetURL, ChainID: r.net.Dep.Subnet.ChainID}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	out, err := subnet.New(c, subnet.Config{Gateway: ipc.GatewayAddress, Outbox: r.sub.Outbox, Period: r.sub.Period, DueTopic: flow.TopicCheckpointDue})
	if err != nil {
		c.Close()
	}
	return out, err
}

// statementsCover waits until the validators have signed statements up to the
// root's last message.
func (r *rig) statementsCover(ctx context.Context) error {
	c, err := r.child(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	id := r.net.Dep.Root.Subnet()
	sent, err := r.read(ctx, r.root, r.net.Dep.Root.Gateway, gatewayABI.PackGetTopDownNonce(rootID(id)))
	if err != nil {
		return err
	}
	return r.await(ctx, r.subnet, func() (bool, error) {
		after, err := c.LatestStatement(ctx, evm.AtLatest)
		if err != nil {
			return false, err
		}
		for {
			list, err := c.Statements(ctx, after)
			if err != nil || len(list) == 0 {
				return false, err
			}
			last := list[len(list)-1].Statement
			if last.TopDownNonce >= sent.Uint64() {
				return true, nil
			}
			after = last.ParentHeight
		}
	})
}

// checkpointsCover waits until the validators have signed the checkpoint behind
// the subnet's newest block.
func (r *rig) checkpointsCover(ctx context.Context) error {
	head, err := r.subnet.eth.BlockNumber(ctx)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	return r.signed(ctx, (head/r.sub.Period+1)*r.sub.Period)
}

// signed waits until the checkpoint of a height has a quorum.
func (r *rig) signed(ctx context.Context, height uint64) error {
	c, err := r.child(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return r.await(ctx, r.subnet, func() (bool, error) {
		_, err := c.Checkpoint(ctx, height)
		if errors.Is(err, subnet.ErrNoQuorum) || errors.Is(err, chains.ErrUnavailable) {
			return false, nil
		}
		return err == nil, err
	})
}

// await asks at each new head of a side, for ten minutes.
func (r *rig) await(ctx context.Context, s *side, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		if err := s.until(ctx, func(uint64) bool { return true }); err != nil {
			return err
		}
	}
}
