package main

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/rpc"
)

// Checkpoints is how fast checkpoints are submitted that have waited.
type Checkpoints struct {
	Conditions string `json:"conditions"`
	Signed     int    `json:"checkpoints"`
	// Seconds from the start of the relayer's process to the final block of the
	// root with the last of them; FirstSeconds to the first.
	Seconds      float64    `json:"seconds"`
	FirstSeconds float64    `json:"first_seconds"`
	PerSecond    float64    `json:"checkpoints_per_second"`
	Load         [2]float64 `json:"load_1m"`
}

// checkpointPeriod lets as many be signed as there are blocks.
const checkpointPeriod = 1

const checkpointConditions = "a devnet with a checkpoint at every subnet block (1 s), root blocks of 1 s and finality 2 blocks behind; the relayer is stopped until the checkpoints " +
	"are signed; the clock runs from the start of its process until a final block of the root has the last of them; new ones are due meanwhile"

func measureCheckpoints(ctx context.Context, l *lab) (*Checkpoints, error) {
	c := &Checkpoints{Conditions: checkpointConditions, Signed: l.size.checkpoints, Load: [2]float64{load()}}
	r, err := l.start(ctx, checkpointPeriod, "")
	if err != nil {
		return nil, err
	}
	defer r.stop()
	r.net.Quit("relayer")
	// What it had sent is in the next blocks.
	for range 3 {
		if err := r.root.until(ctx, func(uint64) bool { return true }); err != nil {
			return nil, err
		}
	}
	first, err := r.lastCheckpoint(ctx, rpc.LatestBlockNumber)
	if err != nil {
		return nil, err
	}
	target := first + uint64(c.Signed)*r.sub.Period
	r.say("checkpoints: waiting until %d are signed", c.Signed)
	if err := r.signed(ctx, target); err != nil {
		return nil, err
	}
	r.say("checkpoints: starting the relayer")
	began := time.Now()
	if err := r.net.StartRelayer(ctx); err != nil {
		return nil, err
	}
	for {
		at, err := r.lastCheckpoint(ctx, rpc.FinalizedBlockNumber)
		if err != nil {
			return nil, err
		}
		if took := round(time.Since(began).Seconds(), 2); at > first && c.FirstSeconds == 0 {
			c.FirstSeconds = took
		}
		if at >= target {
			break
		}
		if died := r.net.Failed(); died != nil {
			return nil, died
		}
		if time.Since(began) > 10*time.Minute {
			return nil, fmt.Errorf("the root has checkpoint %d after 10 minutes, %d is the last", at, target)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	c.Seconds = round(time.Since(began).Seconds(), 2)
	c.PerSecond, c.Load[1] = round(float64(c.Signed)/c.Seconds, 2), load()
	r.say("checkpoints: %d in %.1f s, the first after %.1f s", c.Signed, c.Seconds, c.FirstSeconds)
	return c, nil
}

// lastCheckpoint is the height of the last checkpoint that the root has
// accepted, by one of its blocks.
func (r *rig) lastCheckpoint(ctx context.Context, at rpc.BlockNumber) (uint64, error) {
	to := r.net.Dep.Root.Actor
	raw, err := r.root.eth.CallContract(ctx, ethereum.CallMsg{To: &to, Data: actorABI.PackLastBottomUpCheckpointHeight()}, big.NewInt(int64(at)))
	if err != nil {
		return 0, fmt.Errorf("read last checkpoint: %w", err)
	}
	n, err := actorABI.UnpackLastBottomUpCheckpointHeight(raw)
	if err != nil {
		return 0, fmt.Errorf("read last checkpoint: %w", err)
	}
	return n.Uint64(), nil
}

var finalTag = big.NewInt(int64(rpc.FinalizedBlockNumber))
