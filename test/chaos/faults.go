package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/test/rig"
)

// fault is one thing that goes wrong. inject makes it happen to a world under
// load and returns once it is over and everything is started again; what it
// returns is written into the trial. rng is the trial's own.
type fault struct {
	ID   string
	Name string
	// parts are what it breaks: two faults with none in common may be injected
	// at the same time.
	parts []string
	// forgets says that Redis may know less afterwards.
	forgets bool
	inject  func(ctx context.Context, w *world, rng *rand.Rand) (string, error)
}

// faults are those of the list that this program can inject (facts F1–F24); F0
// is none, to know what an undisturbed bridge takes.
var faults = []fault{
	{ID: "F0", Name: "none", inject: none},
	{ID: "F1", Name: "kill -9 of the relayer", parts: []string{"relayer"}, inject: killRelayer},
	{ID: "F2", Name: "kill -9 at a crash point", parts: []string{"relayer", "node"}, inject: crashPoint},
	{ID: "F3", Name: "relayer stopped (SIGSTOP) longer than its lease", parts: []string{"relayer"}, inject: freeze},
	{ID: "F4", Name: "graceful stop with transactions under way", parts: []string{"relayer"}, inject: graceful},
	{ID: "F5", Name: "kill -9 of Redis", parts: []string{"redis"}, inject: killRedis},
	{ID: "F6", Name: "torn append-only file", parts: []string{"redis", "relayer"}, forgets: true, inject: torn},
	{ID: "F7", Name: "Redis rolled back", parts: []string{"redis", "relayer"}, forgets: true, inject: rollback},
	{ID: "F8", Name: "Redis emptied (FLUSHALL)", parts: []string{"redis", "relayer"}, forgets: true, inject: flush},
	{ID: "F9", Name: "one key dropped", parts: []string{"redis", "relayer"}, forgets: true, inject: dropKey},
	{ID: "F10", Name: "Redis paused or slow", parts: []string{"redis"}, inject: slowRedis},
	{ID: "F11", Name: "Redis out of memory, or its disk full", parts: []string{"redis"}, inject: fullRedis},
	{ID: "F12", Name: "failover with lost writes, read-only for a while", parts: []string{"redis", "relayer"}, forgets: true, inject: failover},
	{ID: "F13", Name: "replies lost after the script ran", parts: []string{"line"}, inject: lostReplies},
	{ID: "F17", Name: "RPC takes transactions and drops them", parts: []string{"rpc"}, inject: dropped},
	{ID: "F18", Name: "root reorg of unfinal blocks", parts: []string{"root"}, inject: reorg},
	{ID: "F19", Name: "fee spike", parts: []string{"root"}, inject: feeSpike},
	{ID: "F21", Name: "one of two instances cut off", parts: []string{"relayer", "line", "rpc"}, inject: partition},
	{ID: "F22", Name: "two instances with clocks 5 min off", parts: []string{"relayer"}, inject: clockSkew},
	{ID: "F23", Name: "subnet halts, checkpoint late", parts: []string{"node"}, inject: halt},
	{ID: "F24", Name: "old and new version, schema bump", parts: []string{"relayer"}, inject: versions},
	{ID: "MIX", Name: "two to four of them at once", parts: []string{"*"}, forgets: true, inject: nil}, // see mix
}

func faultByID(id string) (fault, bool) {
	i := slices.IndexFunc(faults, func(f fault) bool { return f.ID == id })
	if i < 0 {
		return fault{}, false
	}
	return faults[i], true
}

// between is a random duration.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}

func none(ctx context.Context, _ *world, _ *rand.Rand) (string, error) {
	rig.Pause(ctx, 2*time.Second)
	return "", nil
}

func killRelayer(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	i := w.Instances[0]
	rig.Pause(ctx, between(rng, 0, 2*time.Second))
	return "", i.Alone(func() error {
		i.Kill()
		rig.Pause(ctx, between(rng, 0, 800*time.Millisecond))
		return i.Start(ctx)
	})
}

// crashPoint takes the points in turn, so that fifty trials meet each.
func crashPoint(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	points := slices.DeleteFunc(crash.Points(), elsewhere)
	point := points[w.turn%len(points)]
	p := rig.Passing{Point: point, Nth: nth(point, rng)}
	return fmt.Sprintf("%s:%d", p.Point, p.Nth), w.CrashAt(ctx, p)
}

// elsewhere says whether a point is in nothing that runs here: relayer/approve
// meets those of signers itself, test/e2e those of approvals by Axelar, test/standing
// those of a deployment onto an Axelar that stands already.
func elsewhere(point string) bool {
	return strings.HasPrefix(point, "approve.") || strings.HasPrefix(point, "network.") || point == "deploy.after_bring" || point == "deploy.after_arrival"
}

// nth is a passing of a point that comes soon enough under load.
func nth(point string, rng *rand.Rand) int {
	switch {
	case point == "deploy.after_join":
		return 1
	case strings.HasPrefix(point, "deploy."):
		return 1 + rng.IntN(4)
	}
	return 1 + rng.IntN(3)
}

func freeze(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	i := w.Instances[0]
	d := rig.Lease + between(rng, 500*time.Millisecond, 6*time.Second)
	return d.Round(time.Millisecond).String(), i.Alone(func() error {
		if err := i.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		rig.Pause(ctx, d)
		return i.Signal(syscall.SIGCONT)
	})
}

func graceful(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	i, under := w.Instances[0], 0
	err := i.Alone(func() error {
		rig.Pause(ctx, between(rng, 0, time.Second))
		if err := rig.Until(ctx, 20*time.Second, "a transaction is under way", func() bool { under = w.Redis().Undecided(ctx); return under > 0 }); err != nil {
			return err
		}
		code, err := i.Terminate(15 * time.Second)
		if err != nil {
			return err
		}
		if code != 0 {
			return fmt.Errorf("a graceful stop ended with %d", code)
		}
		rig.Pause(ctx, between(rng, 0, 800*time.Millisecond))
		return i.Start(ctx)
	})
	return fmt.Sprintf("%d under way", under), err
}

func killRedis(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	err := w.WithRedis(func(r *rig.Redis) error {
		r.Kill()
		rig.Pause(ctx, between(rng, 0, 2*time.Second))
		return r.Start(ctx)
	})
	return "", err
}

// torn cuts off at most what was written within the last two seconds.
func torn(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	var cut int64
	note, err := "", w.WithRedis(func(r *rig.Redis) error {
		before, err := r.Written()
		if err != nil {
			return err
		}
		rig.Pause(ctx, between(rng, 200*time.Millisecond, 2*time.Second))
		r.Kill()
		after, err := r.Written()
		if err != nil {
			return err
		}
		// Two of three within the last kilobytes, where a script is cut in halves.
		if cut = after - before; cut <= 0 {
			cut = 1
		}
		if most := min(cut, 4096); rng.IntN(3) > 0 {
			cut = most
		}
		cut = 1 + rng.Int64N(cut)
		if err := r.Tear(cut); err != nil {
			return err
		}
		return r.Start(ctx)
	})
	if err == nil {
		note, err = w.revived(ctx)
	}
	return fmt.Sprintf("%d bytes %s", cut, note), err
}

// rollback puts Redis back by up to a minute; in half of the trials the relayer
// was restarted meanwhile, so that its epoch file knows of more.
func rollback(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	back, restarted := between(rng, 2*time.Second, 15*time.Second), rng.IntN(2) == 0
	if rng.IntN(10) == 0 {
		back = time.Minute
	}
	note, err := "", w.WithRedis(func(r *rig.Redis) error {
		copied := filepath.Join(w.dir, "rollback")
		if err := r.Snapshot(copied); err != nil {
			return err
		}
		rig.Pause(ctx, back)
		if restarted {
			i := w.Instances[0]
			i.Kill()
			if err := i.Start(ctx); err != nil {
				return err
			}
			rig.Pause(ctx, time.Second)
		}
		r.Kill()
		if err := r.Restore(copied); err != nil {
			return err
		}
		return r.Start(ctx)
	})
	if err == nil {
		note, err = w.revived(ctx)
	}
	return fmt.Sprintf("%s, restarted=%v %s", back.Round(time.Second), restarted, note), err
}

func flush(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	rig.Pause(ctx, between(rng, 0, 2*time.Second))
	i := w.Instances[0]
	err := w.WithRedis(func(r *rig.Redis) error {
		c := r.Client()
		defer c.Close()
		if err := c.FlushAll(ctx).Err(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		// It must stop by itself, and sign nothing between.
		if err := rig.Until(ctx, 30*time.Second, "the relayer stops after a FLUSHALL", func() bool { return !i.Running() }); err != nil {
			return err
		}
		if !i.Forgot() {
			return errors.New("the relayer ended after a FLUSHALL for another reason")
		}
		if n := r.Undecided(ctx); n != 0 {
			return fmt.Errorf("%d transactions were reserved in an emptied Redis", n)
		}
		if err := i.Start(ctx); !errors.Is(err, rig.ErrForgotten) {
			return fmt.Errorf("the relayer starts on a Redis that forgot: %v", err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return "rebuilt by rescan", w.Rebuild(ctx)
}

// dropKey deletes one of our keys. The audit of the store mends what it can
// within its 20 s; for the rest an operator runs a rescan.
func dropKey(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	key := ""
	err := w.WithRedis(func(r *rig.Redis) error {
		c := r.Client()
		defer c.Close()
		keys, err := c.Keys(ctx, "{causeway}:*").Result()
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		slices.Sort(keys)
		if len(keys) == 0 {
			return errors.New("there is no key to drop")
		}
		key = keys[rng.IntN(len(keys))]
		if w.only != "" {
			key = "{causeway}:" + w.only
		}
		return c.Del(ctx, key).Err()
	})
	if err != nil {
		return key, err
	}
	return w.mended(ctx, key)
}

func slowRedis(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	d, pause := between(rng, time.Second, 8*time.Second), rng.IntN(2) == 0
	err := w.WithRedis(func(r *rig.Redis) error {
		c := r.Client()
		defer c.Close()
		var err error
		if pause {
			err = c.Do(ctx, "CLIENT", "PAUSE", d.Milliseconds(), "ALL").Err()
		} else {
			go func() { _ = c.Do(ctx, "DEBUG", "SLEEP", d.Seconds()).Err() }() // the reply comes after the read timeout
		}
		rig.Pause(ctx, d)
		return err
	})
	return fmt.Sprintf("%s, CLIENT PAUSE=%v", d.Round(time.Millisecond), pause), err
}

func fullRedis(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	disk, d := rng.IntN(2) == 0, between(rng, time.Second, 6*time.Second)
	err := w.WithRedis(func(r *rig.Redis) error {
		if disk {
			// With appendfsync always Redis ends itself rather than lose a write.
			if err := r.FillDisk(); err != nil {
				return err
			}
			if err := rig.Until(ctx, 20*time.Second, "Redis ends on a full disk", func() bool { return !r.Running() }); err != nil {
				return err
			}
			rig.Pause(ctx, d)
			return r.Start(ctx)
		}
		c := r.Client()
		defer c.Close()
		if err := c.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		rig.Pause(ctx, d)
		return c.ConfigSet(ctx, "maxmemory", "0").Err()
	})
	return fmt.Sprintf("%s, disk=%v", d.Round(time.Millisecond), disk), err
}

// failover promotes a replica that lacks the last moments; for a while the name
// leads to it while it is still read-only.
func failover(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	lost := between(rng, 100*time.Millisecond, 2*time.Second)
	note, err := "", w.WithRedis(func(r *rig.Redis) error {
		next, err := w.Replica(ctx)
		if err != nil {
			return err
		}
		c := next.Client()
		defer c.Close()
		if err := c.ReplicaOf(ctx, "127.0.0.1", "1").Err(); err != nil { // hears no more, stays a replica
			return fmt.Errorf("cut the replica off: %w", err)
		}
		rig.Pause(ctx, lost)
		r.Kill()
		w.Failover(next)
		rig.Pause(ctx, between(rng, 200*time.Millisecond, 2*time.Second))
		return c.ReplicaOf(ctx, "no", "one").Err()
	})
	if err == nil {
		note, err = w.revived(ctx)
	}
	return fmt.Sprintf("%s of writes lost %s", lost.Round(time.Millisecond), note), err
}

func lostReplies(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	line := w.Instances[0].Redis
	before := line.Lost()
	for range 1 + rng.IntN(4) {
		line.Set(rig.Swallow)
		rig.Pause(ctx, between(rng, 50*time.Millisecond, 700*time.Millisecond))
		line.Set(rig.Open)
		rig.Pause(ctx, between(rng, 100*time.Millisecond, 600*time.Millisecond))
	}
	n := line.Lost() - before
	if n == 0 {
		return "", errors.New("no reply was lost")
	}
	return fmt.Sprintf("%d replies lost", n), nil
}

func dropped(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	i := w.Instances[0]
	before := i.Root.Dropped() + i.Subnet.Dropped()
	i.Root.Drop(true)
	i.Subnet.Drop(true)
	err := rig.Until(ctx, 30*time.Second, "a broadcast is dropped", func() bool { return i.Root.Dropped()+i.Subnet.Dropped() > before })
	rig.Pause(ctx, between(rng, 500*time.Millisecond, 7*time.Second))
	i.Root.Drop(false)
	i.Subnet.Drop(false)
	return fmt.Sprintf("%d dropped", i.Root.Dropped()+i.Subnet.Dropped()-before), err
}

func reorg(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	times := 1 + rng.IntN(4)
	for range times {
		if err := w.Reorg(ctx, 1+rng.Uint64N(2)); err != nil {
			return "", err
		}
		rig.Pause(ctx, between(rng, 200*time.Millisecond, 2500*time.Millisecond))
	}
	return fmt.Sprintf("%d reorgs", times), nil
}

// feeSpike leaves out what pays less than a third more than usual; our
// transactions must get through by paying more.
func feeSpike(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	root := w.Bridge.Root.Client()
	from, err := root.BlockNumber(ctx)
	if err != nil {
		return "", fmt.Errorf("read height: %w", err)
	}
	tip, err := w.Bridge.Root.Client().SuggestGasTipCap(ctx)
	if err != nil {
		return "", fmt.Errorf("read tip: %w", err)
	}
	wei := tip.Int64() + tip.Int64()/4 + rng.Int64N(tip.Int64()/5+1) + 2
	if err := w.MinTip(ctx, wei); err != nil {
		return "", err
	}
	rig.Pause(ctx, between(rng, 18*time.Second, 24*time.Second))
	if err := w.MinTip(ctx, 1); err != nil {
		return "", err
	}
	to, err := root.BlockNumber(ctx)
	if err != nil {
		return "", fmt.Errorf("read height: %w", err)
	}
	s, err := w.Spent(ctx, rig.Heights{Root: from}, rig.Heights{Root: to})
	if err == nil && s.Txs == 0 {
		err = fmt.Errorf("no transaction of ours got through a minimum tip of %d (was %d)", wei, tip)
	}
	return fmt.Sprintf("tip %d → %d, %d got through", tip, wei, s.Txs), err
}

// partition cuts one of two instances off; the other goes on.
func partition(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	d := rig.Lease + between(rng, 2*time.Second, 8*time.Second)
	return d.Round(time.Millisecond).String(), w.beside(ctx, "", nil, func(*rig.Instance) error {
		w.Instances[0].Partition(true)
		rig.Pause(ctx, d)
		w.Instances[0].Partition(false)
		return nil
	})
}

// clockSkew runs two instances whose clocks are five minutes off, one each way.
func clockSkew(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	program, err := w.variants.get(ctx, "skewed")
	if err != nil {
		return "", err
	}
	first := w.Instances[0]
	sign := []string{"300", "-300"}
	if rng.IntN(2) == 0 {
		slices.Reverse(sign)
	}
	return sign[0] + " s and " + sign[1] + " s", first.Alone(func() error {
		if _, err := first.Terminate(20 * time.Second); err != nil {
			return err
		}
		back := first.Use(program)
		defer back()
		if err := first.Start(ctx, "CAUSEWAY_CLOCK_SKEW="+sign[0]); err != nil {
			return err
		}
		err := w.beside(ctx, program, []string{"CAUSEWAY_CLOCK_SKEW=" + sign[1]}, func(*rig.Instance) error {
			rig.Pause(ctx, 12*time.Second)
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := first.Terminate(20 * time.Second); err != nil {
			return err
		}
		back()
		return first.Start(ctx)
	})
}

// halt stops the subnet's only validator: no block, no checkpoint.
func halt(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	d, kind := between(rng, 5*time.Second, 25*time.Second), rng.IntN(3)
	err := w.WithNode(func() error {
		if kind == 0 {
			if err := w.Net.Signal("node", syscall.SIGSTOP); err != nil {
				return err
			}
			rig.Pause(ctx, d)
			return w.Net.Signal("node", syscall.SIGCONT)
		}
		if kind == 1 {
			w.Net.Kill("node")
		} else {
			w.Net.Quit("node")
		}
		rig.Pause(ctx, d)
		return w.StartNode(ctx)
	})
	return fmt.Sprintf("%s, %s", d.Round(time.Second), []string{"SIGSTOP", "SIGKILL", "SIGTERM"}[kind]), err
}

// versions runs a newer version beside the old one. With the same schema both
// work; with a newer schema the new one must refuse to start, and the old one
// must refuse what a newer one left.
func versions(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	if rng.IntN(3) == 0 {
		newer, err := w.variants.get(ctx, "newer")
		if err != nil {
			return "", err
		}
		return "same schema, side by side", w.beside(ctx, newer, nil, func(*rig.Instance) error {
			rig.Pause(ctx, 8*time.Second)
			return nil
		})
	}
	bumped, err := w.variants.get(ctx, "bumped")
	if err != nil {
		return "", err
	}
	old := w.Instances[0]
	if err := w.refuses(ctx, bumped); err != nil {
		return "", fmt.Errorf("a newer version on our journal: %w", err)
	}
	if !old.Running() {
		return "", errors.New("the old version ended when the new one refused")
	}
	return "schema bump refused both ways", refuseNewer(ctx, w)
}

// refuseNewer is the other way round: an old version meets a journal that a
// newer one has moved on.
func refuseNewer(ctx context.Context, w *world) error {
	old := w.Instances[0]
	return old.Alone(func() error {
		if _, err := old.Terminate(20 * time.Second); err != nil {
			return err
		}
		return w.WithRedis(func(r *rig.Redis) error {
			c := r.Client()
			defer c.Close()
			now, err := c.Get(ctx, "{causeway}:schema").Int()
			if err != nil {
				return fmt.Errorf("read schema: %w", err)
			}
			if err := c.Set(ctx, "{causeway}:schema", now+1, 0).Err(); err != nil {
				return fmt.Errorf("bump: %w", err)
			}
			if err := old.Start(ctx); err == nil {
				return errors.New("an old version starts on a newer schema")
			} else if !strings.Contains(err.Error(), "redis holds another schema") {
				return fmt.Errorf("an old version on a newer schema: %w", err)
			}
			if err := c.Set(ctx, "{causeway}:schema", now, 0).Err(); err != nil {
				return fmt.Errorf("bump back: %w", err)
			}
			return old.Start(ctx)
		})
	})
}
