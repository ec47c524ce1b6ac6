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
	"an empty checkpoint is carried every %d seconds, and the invariants over all that was sent have been checked once"

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

// quiet waits until what was sent has ended, and until the relayer has come to
// rest: the last transactions become final, the invariants are checked over all
// of it, and freed memory goes back to the system.
func (r *rig) quiet(ctx context.Context, s size) error {
	if err := r.settle(ctx, time.Minute); err != nil {
		return err
	}
	began := time.Now()
	for still := 0; still < 3 && time.Since(began) < 10*s.idle; still++ {
		u, err := usage(ctx, r.net.Pid("relayer"), s.idle/6)
		if err != nil {
			return err
		}
		if u.CPUPercent > restless {
			still = -1
		}
	}
	return nil
}

// restless is more than an idle relayer takes, percent of a core.
const restless = 10

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
