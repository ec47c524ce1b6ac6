package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/test/rig"
)

// longForm is three instances on one Redis for a while, one of them killed or
// stopped every 20 s, beside one instance undisturbed in the same world.
type longForm struct {
	Seed         uint64         `json:"seed"`
	Seconds      float64        `json:"seconds"`
	Hurt         int            `json:"hurt"` // kills and stops
	AlonePerSec  float64        `json:"alone_per_second"`
	ThreePerSec  float64        `json:"three_per_second"`
	Ratio        float64        `json:"ratio"`
	AloneP50     float64        `json:"alone_p50_seconds"` // from mined to ended
	ThreeP50     float64        `json:"three_p50_seconds"`
	ThreeP99     float64        `json:"three_p99_seconds"`
	Transfers    int            `json:"transfers"`
	Grants       map[string]int `json:"grants"`
	SharedLanes  int            `json:"shared_lanes"`
	StaleRefused int            `json:"stale_refused"`
	Failed       string         `json:"failed,omitempty"`
}

func (l longForm) text() string {
	end := "ok"
	if l.Failed != "" {
		end = "FAILED: " + l.Failed
	}
	return fmt.Sprintf("three instances for %.0fs, %d kills and stops, seed %d: %d transfers, %.2f/s (one alone %.2f/s, ratio %.2f), p50 %.1fs p99 %.1fs (alone p50 %.1fs), leases %v, %d lanes shared, %d stale writes refused: %s\n",
		l.Seconds, l.Hurt, l.Seed, l.Transfers, l.ThreePerSec, l.AlonePerSec, l.Ratio, l.ThreeP50, l.ThreeP99, l.AloneP50, l.Grants, l.SharedLanes, l.StaleRefused, end)
}

// hurtEvery is the pause between two kills or stops.
const hurtEvery = 20 * time.Second

// maxLoss is how much slower three disturbed instances may be than one alone.
const maxLoss = 0.20

func (d *driver) long(ctx context.Context, lasting time.Duration) error {
	d.leave(ctx)
	if err := d.enter(ctx); err != nil {
		return err
	}
	seed := seedOf(d.state.Seed, "instances", len(d.state.Instances))
	d.say("instances seed %d", seed)
	l, err := d.w.long(ctx, lasting, seed)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		l.Failed = err.Error()
		if err := d.w.Keep(d.o.state + "/failures/instances"); err != nil {
			d.say("keep logs: %v", err)
		}
	}
	d.say("%s", l.text())
	d.state.Instances = append(d.state.Instances, l)
	return d.state.save()
}

func (w *world) long(ctx context.Context, lasting time.Duration, seed uint64) (l longForm, err error) {
	l = longForm{Seed: seed}
	rng := rand.New(rand.NewPCG(seed, 1))

	// One instance alone, for a quarter of the time at most.
	rig.Pause(ctx, 20*time.Second)
	alone := [2]time.Time{time.Now()}
	rig.Pause(ctx, min(lasting/4, 5*time.Minute))
	alone[1] = time.Now()

	for _, name := range []string{"relayer-2", "relayer-3"} {
		i, err := w.Join(name, "")
		if err == nil {
			err = i.Start(ctx)
		}
		if err != nil {
			return l, err
		}
	}
	three := [2]time.Time{time.Now()}
	for time.Since(three[0]) < lasting && ctx.Err() == nil {
		i := w.Instances[rng.IntN(3)]
		if err := hurt(ctx, i, rng); err != nil {
			return l, err
		}
		l.Hurt++
		rig.Pause(ctx, hurtEvery)
	}
	three[1] = time.Now()
	l.Seconds = three[1].Sub(three[0]).Seconds()
	if _, err := w.Settle(ctx, time.Now(), stuckAfter); err != nil {
		return l, err
	}
	var t trial
	from, err := w.Heights(ctx)
	if err == nil {
		err = w.check(ctx, from, &t)
	}
	l.StaleRefused = w.Lines()["stale"]
	l.Grants, _, l.SharedLanes = w.Tap.Shares()
	var slow, quick []float64
	l.AlonePerSec, quick = rate(w.Ledger.Endings(), alone)
	l.ThreePerSec, slow = rate(w.Ledger.Endings(), three)
	l.AloneP50, l.ThreeP50, l.ThreeP99 = percentile(quick, 0.5), percentile(slow, 0.5), percentile(slow, 0.99)
	_, l.Transfers = w.Ledger.Counts()
	if l.AlonePerSec > 0 {
		l.Ratio = l.ThreePerSec / l.AlonePerSec
	}
	if l.Ratio < 1-maxLoss {
		err = errors.Join(err, fmt.Errorf("three instances made %.2f of what one made alone", l.Ratio))
	}
	return l, err
}

// hurt kills an instance, stops it in good order or stops it for longer than its
// lease, and starts it again.
func hurt(ctx context.Context, i *rig.Instance, rng *rand.Rand) error {
	kind := rng.IntN(3)
	return i.Alone(func() error {
		switch kind {
		case 0:
			i.Kill()
		case 1:
			if code, err := i.Terminate(20 * time.Second); err != nil || code != 0 {
				return errors.Join(err, fmt.Errorf("%s ended with %d", i.Name, code))
			}
		default:
			if err := i.Signal(syscall.SIGSTOP); err != nil {
				return err
			}
			rig.Pause(ctx, rig.Lease+between(rng, time.Second, 4*time.Second))
			return i.Signal(syscall.SIGCONT)
		}
		rig.Pause(ctx, between(rng, 0, 3*time.Second))
		return i.Start(ctx)
	})
}

// rate counts the transfers that ended within a stretch of time, and how long
// each took from its block.
func rate(all []rig.Ended, in [2]time.Time) (perSecond float64, took []float64) {
	for _, e := range all {
		if e.At.After(in[0]) && e.At.Before(in[1]) {
			took = append(took, e.At.Sub(e.Mined).Seconds())
		}
	}
	if d := in[1].Sub(in[0]).Seconds(); d > 0 {
		perSecond = float64(len(took)) / d
	}
	return perSecond, took
}
