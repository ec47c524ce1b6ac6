package main

import (
	"context"
	"fmt"
	"time"
)

// Idle is what the relayer takes while no user sends anything.
type Idle struct {
	Conditions string     `json:"conditions"`
	Seconds    float64    `json:"seconds"`
	Relayer    Usage      `json:"relayer"`
	Load       [2]float64 `json:"load_1m"`
}

const idleConditions = "the relayer's process of the shared devnet, from /proc: no user sends anything, all transfers have ended; blocks every second on both sides, looked at every 250 ms; " +
	"an empty checkpoint is carried every %d seconds and the invariants are computed every 20"

func measureIdle(ctx context.Context, r *rig, s size) (*Idle, error) {
	i := &Idle{Conditions: fmt.Sprintf(idleConditions, s.period), Seconds: s.idle.Seconds(), Load: [2]float64{load()}}
	if err := r.quiet(ctx, s); err != nil {
		return nil, err
	}
	r.say("idle: watching the relayer for %s", s.idle)
	var err error
	if i.Relayer, err = usage(ctx, r.net.Pid("relayer"), s.idle); err != nil {
		return nil, err
	}
	i.Load[1] = load()
	r.say("idle: %.1f %% of a core, RSS %s", i.Relayer.CPUPercent, mib(i.Relayer.RSSBytes))
	return i, nil
}

// quiet waits until what was sent has ended, and a while longer: the last
// transactions become final, and freed memory goes back to the system.
func (r *rig) quiet(ctx context.Context, s size) error {
	if err := r.settle(ctx, time.Minute); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.idle / 2):
		return nil
	}
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
