package sim

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// scenario is what a seed says: what users do and what goes wrong, when.
type scenario struct {
	instances int
	acts      []act
	quiet     time.Duration // after the last fault
}

// act is one thing at one time.
type act struct {
	at   time.Duration
	text string
	do   func(*run)
}

func (s *scenario) add(at time.Duration, do func(*run), format string, args ...any) {
	s.acts = append(s.acts, act{at, fmt.Sprintf(format, args...), do})
	s.quiet = max(s.quiet, at+time.Second)
}

// during is add for what ends after a while.
func (s *scenario) during(at, length time.Duration, begin, end func(*run), format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.add(at, begin, "%s, for %s", text, length)
	s.add(at+length, end, "over: %s", text)
}

// String is the plan, in order.
func (s *scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan: %d instances\n", s.instances)
	for _, a := range s.sorted() {
		fmt.Fprintf(&b, "%9.3fs %s\n", a.at.Seconds(), a.text)
	}
	fmt.Fprintf(&b, "%9.3fs quiet\ntrace:\n", s.quiet.Seconds())
	return b.String()
}

func (s *scenario) sorted() []act {
	out := slices.Clone(s.acts)
	slices.SortStableFunc(out, func(a, b act) int { return int(a.at - b.at) })
	return out
}

func (s *scenario) plan(r *run) {
	for _, a := range s.sorted() {
		r.at(a.at, func() {
			r.note("%s", a.text)
			a.do(r)
		})
	}
}

// between draws a time.
func (r *run) between(a, b time.Duration) time.Duration {
	return a + time.Duration(r.rng.Int64N(int64(b-a)))
}

func (r *run) chance(p float64) bool { return r.rng.Float64() < p }

// Faults begin and end within these.
const (
	faultsFrom = time.Second
	faultsTo   = 10 * time.Second
	usersTo    = 8 * time.Second
)

// draw reads the seed.
func (r *run) draw() *scenario {
	s := &scenario{instances: 1 + r.rng.IntN(3)/2, quiet: usersTo}
	if r.chance(0.08) {
		s.instances = 3
	}
	for range 3 + r.rng.IntN(5) {
		r.drawUse(s)
	}
	for range 1 + r.rng.IntN(3) {
		faults[r.rng.IntN(len(faults))](r, s, r.between(faultsFrom, faultsTo))
	}
	return s
}

// faults are what can go wrong, each as likely as the others.
var faults = []func(*run, *scenario, time.Duration){
	// Processes.
	(*run).drawDeath, (*run).drawDeath, (*run).drawDeath, (*run).drawDeath, (*run).drawFreeze, (*run).drawZombie, (*run).drawZombie, (*run).drawStop,
	// The journal.
	(*run).drawRestart, (*run).drawRestart, (*run).drawRollback, (*run).drawRollback, (*run).drawFlush, (*run).drawAway, (*run).drawLostReplies, (*run).drawFull,
	// Endpoints.
	(*run).drawOutage, (*run).drawOutage, (*run).drawErrors, (*run).drawLag, (*run).drawUnfiltered, (*run).drawSlow,
	// Chains.
	(*run).drawReorg, (*run).drawReorg, (*run).drawReorg, (*run).drawForget, (*run).drawSwallow, (*run).drawSpike, (*run).drawSilence,
	// Others.
	(*run).drawStranger, (*run).drawRace, (*run).drawRace, (*run).drawUndone, (*run).drawMiser, (*run).drawThief, (*run).drawForgery,
	// Tokens and contracts.
	(*run).drawBlocked, (*run).drawStub,
}

// endFaults undoes what a fault without an end may have left, and lets the
// operator look at what was parked.
func (r *run) endFaults() {
	r.network.mu.Lock()
	clear(r.network.weather)
	r.network.mu.Unlock()
	r.redis.mu.Lock()
	r.redis.lose = 0
	r.redis.mu.Unlock()
	for _, c := range []*chain{r.root, r.child} {
		c.mu.Lock()
		c.drops = false
		c.mu.Unlock()
	}
	for _, i := range r.instances {
		if l := i.current(); l != nil {
			l.mu.Lock()
			l.doomed, l.halted = nil, nil
			l.mu.Unlock()
		}
	}
	r.retryParked()
}

// some draws an instance.
func (r *run) some(s *scenario) int { return r.rng.IntN(s.instances) }

func onInstance(i int, f func(*life)) func(*run) {
	return func(r *run) {
		if l := r.instances[i].current(); l != nil {
			f(l)
		}
	}
}

func (r *run) drawDeath(s *scenario, at time.Duration) {
	i := r.some(s)
	d := death{at: mortal[r.rng.IntN(len(mortal))], after: r.chance(0.5)}
	d.skip = r.rng.IntN(3)
	if d.at == anyCall {
		d.skip = r.rng.IntN(60)
	}
	when := "before"
	if d.after {
		when = "after"
	}
	s.add(at, onInstance(i, func(l *life) { l.doom(d) }), "relay%d will die %s a %s, after %d others", i, when, d.at, d.skip)
	s.quiet = max(s.quiet, at+5*time.Second)
}

func (r *run) drawFreeze(s *scenario, at time.Duration) {
	i, length := r.some(s), r.between(500*time.Millisecond, 12*time.Second)
	s.during(at, length, onInstance(i, func(l *life) { l.freeze(time.Now().Add(length)) }), func(*run) {}, "relay%d stands still", i)
}

// drawZombie lets a process stand still in the middle of a write for longer than
// its lease, while whoever takes over is slow: it wakes when the lane is
// another's.
func (r *run) drawZombie(s *scenario, at time.Duration) {
	s.instances = max(s.instances, 2)
	i, length := r.some(s), r.between(leaseTime+2500*time.Millisecond, 2*leaseTime)
	slow := r.between(300*time.Millisecond, 900*time.Millisecond)
	at = min(at, usersTo)
	h := halt{[]kind{settle, settle, reserve, reserve, save, update}[r.rng.IntN(6)], length}
	s.during(at, length+8*time.Second, func(r *run) {
		r.network.mu.Lock()
		defer r.network.mu.Unlock()
		for _, chain := range []string{"root", "subnet"} {
			w := weather{from: time.Now().Add(time.Second), to: time.Now().Add(length + 6*time.Second), instance: -1, slow: slow}
			r.network.weather[chain] = append(r.network.weather[chain], w)
		}
		if l := r.instances[i].current(); l != nil {
			l.halt(h)
		}
	}, func(*run) {}, "answers take up to %s, and relay%d stands still for %s in the middle of a %s", slow, i, length, h.at)
}

func (r *run) drawSlow(s *scenario, at time.Duration) {
	slow := r.between(100*time.Millisecond, 2*time.Second)
	r.sky(s, at, r.between(5*time.Second, 20*time.Second), weather{slow: slow}, fmt.Sprintf("takes up to %s for an answer", slow))
}

func (r *run) drawStop(s *scenario, at time.Duration) {
	i := r.some(s)
	s.add(at, onInstance(i, func(l *life) { l.stop() }), "relay%d is stopped in good order", i)
}

func (r *run) drawRestart(s *scenario, at time.Duration) {
	lost := r.between(0, 4*time.Second)
	if r.chance(0.3) {
		lost = 0
	}
	s.add(at, func(r *run) {
		r.note("redis is back as it was %s ago", r.redis.restart(lost))
	}, "redis is restarted and loses %s", lost)
	s.quiet = max(s.quiet, at+5*time.Second)
}

// drawRollback puts the journal back by seconds, as a failover to a replica that
// lags does; in half of the cases a relayer dies just before it, so that its
// successor knows of more by its disk alone.
func (r *run) drawRollback(s *scenario, at time.Duration) {
	at = max(at, 4*time.Second)
	lost := r.between(2*time.Second, at)
	i, dies := r.some(s), r.chance(0.5)
	s.add(at, func(r *run) {
		if l := r.instances[i].current(); l != nil && dies {
			l.die("as redis goes")
		}
		r.note("redis is back as it was %s ago", r.redis.restart(lost))
	}, "redis goes back by %s, relay%d dies with it: %v", lost, i, dies)
	s.quiet = max(s.quiet, at+5*time.Second)
}

func (r *run) drawFlush(s *scenario, at time.Duration) {
	s.add(at, func(r *run) { r.redis.flush() }, "redis loses everything")
	s.quiet = max(s.quiet, at+10*time.Second)
}

func (r *run) drawAway(s *scenario, at time.Duration) {
	length := r.between(time.Second, 30*time.Second)
	s.during(at, length, func(r *run) {
		r.redis.mu.Lock()
		defer r.redis.mu.Unlock()
		r.redis.away = time.Now().Add(length)
	}, func(*run) {}, "redis is away")
}

func (r *run) drawLostReplies(s *scenario, at time.Duration) {
	p := 0.1 + 0.4*r.rng.Float64()
	set := func(p float64) func(*run) {
		return func(r *run) {
			r.redis.mu.Lock()
			defer r.redis.mu.Unlock()
			r.redis.lose = p
		}
	}
	s.during(at, r.between(2*time.Second, 20*time.Second), set(p), set(0), "%.0f%% of redis' replies are lost", 100*p)
}

func (r *run) drawFull(s *scenario, at time.Duration) {
	length := r.between(2*time.Second, 20*time.Second)
	s.during(at, length, func(r *run) {
		r.redis.mu.Lock()
		defer r.redis.mu.Unlock()
		r.redis.full = time.Now().Add(length)
	}, func(*run) {}, "redis is full")
}

// sky puts weather over one chain for one instance or all.
func (r *run) sky(s *scenario, at, length time.Duration, w weather, text string) {
	chain := []string{"root", "subnet"}[r.rng.IntN(2)]
	w.instance = r.rng.IntN(s.instances+1) - 1
	who := "everybody"
	if w.instance >= 0 {
		who = fmt.Sprintf("relay%d", w.instance)
	}
	s.during(at, length, func(r *run) {
		r.network.mu.Lock()
		defer r.network.mu.Unlock()
		w.from, w.to = time.Now(), time.Now().Add(length)
		r.network.weather[chain] = append(r.network.weather[chain], w)
	}, func(*run) {}, "%s's endpoint of %s %s", who, chain, text)
}

func (r *run) drawOutage(s *scenario, at time.Duration) {
	if r.chance(0.5) {
		r.sky(s, at, r.between(time.Second, 25*time.Second), weather{down: true}, "is down")
		return
	}
	r.sky(s, at, r.between(time.Second, 30*time.Second), weather{hangs: true}, "does not answer")
}

func (r *run) drawErrors(s *scenario, at time.Duration) {
	p := 0.05 + 0.5*r.rng.Float64()
	if r.chance(0.5) {
		r.sky(s, at, r.between(2*time.Second, 14*time.Second), weather{errors: p}, fmt.Sprintf("refuses %.0f%%", 100*p))
		return
	}
	r.sky(s, at, r.between(2*time.Second, 14*time.Second), weather{replies: p}, fmt.Sprintf("loses %.0f%% of its replies", 100*p))
}

func (r *run) drawLag(s *scenario, at time.Duration) {
	n := 1 + r.rng.IntN(8)
	r.sky(s, at, r.between(2*time.Second, 12*time.Second), weather{view: view{lag: uint64(n)}}, fmt.Sprintf("lags %d blocks behind", n))
}

func (r *run) drawUnfiltered(s *scenario, at time.Duration) {
	r.sky(s, at, r.between(2*time.Second, 14*time.Second), weather{view: view{unfiltered: true}}, "ignores the filter of logs")
	r.drawForgery(s, at+time.Second)
}

func (r *run) drawReorg(s *scenario, at time.Duration) {
	for range 1 + r.rng.IntN(4) {
		depth, lose := 1+r.rng.IntN(rootDepth), r.rng.Float64()*r.rng.Float64()
		s.add(at, func(r *run) {
			lost := r.root.reorg(depth, func(*types.Transaction) bool { return r.chance(lose) })
			r.note("%d transactions were in the lost blocks", len(lost))
		}, "the root replaces %d blocks and loses %.0f%% of their transactions", depth, 100*lose)
		at += r.between(100*time.Millisecond, 4*time.Second)
	}
}

// either draws a chain.
func (r *run) either() (string, func(*run) *chain) {
	if r.chance(0.5) {
		return "root", func(r *run) *chain { return r.root }
	}
	return "subnet", func(r *run) *chain { return r.child }
}

func (r *run) drawForget(s *scenario, at time.Duration) {
	name, of := r.either()
	s.add(at, func(r *run) { of(r).forget() }, "the pool of the %s is emptied", name)
}

func (r *run) drawSwallow(s *scenario, at time.Duration) {
	name, of := r.either()
	set := func(on bool) func(*run) {
		return func(r *run) {
			c := of(r)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.drops = on
		}
	}
	s.during(at, r.between(time.Second, 12*time.Second), set(true), set(false), "the %s accepts our transactions and forgets them", name)
}

func (r *run) drawSpike(s *scenario, at time.Duration) {
	name, of := r.either()
	factor := int64(3 + r.rng.IntN(60))
	set := func(f int64) func(*run) {
		return func(r *run) {
			c := of(r)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.baseFee, c.pending = big.NewInt(f*1_000_000_000), nil
		}
	}
	s.during(at, r.between(3*time.Second, 16*time.Second), set(factor), set(1), "the base fee of the %s is %d times as high", name, factor)
}

func (r *run) drawSilence(s *scenario, at time.Duration) {
	set := func(on bool) func(*run) {
		return func(r *run) {
			r.validators.mu.Lock()
			defer r.validators.mu.Unlock()
			r.validators.silent = on
		}
	}
	s.during(at, r.between(2*time.Second, 14*time.Second), set(true), set(false), "the validators sign nothing")
}

func (r *run) drawStranger(s *scenario, at time.Duration) {
	for range 1 + r.rng.IntN(5) {
		n := 1 + r.rng.IntN(4)
		s.add(at, func(r *run) { r.stranger(n, plenty) }, "a stranger carries up to %d messages each way", n)
		at += r.between(300*time.Millisecond, 3*time.Second)
	}
}

// drawRace lets a stranger carry the beginning of what we have sent and nobody
// has mined yet.
func (r *run) drawRace(s *scenario, at time.Duration) {
	name, of := r.either()
	count := 4 + r.rng.IntN(8)
	k, to, wei := key(user(r.rng.IntN(users))), r.drawRecipient(), big.NewInt(1e15+r.rng.Int64N(1e12))
	s.add(at, func(r *run) {
		for range count {
			if name == "subnet" {
				r.fund(k, to, wei)
			} else {
				r.withdraw(k, r.deployment.Root.Flt, to, wei)
			}
		}
	}, "somebody sends %d messages to the %s at once", count, name)
	set := func(on bool) func(*run) {
		return func(r *run) {
			c := of(r)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.drops = on
		}
	}
	s.during(at+500*time.Millisecond, r.between(6*time.Second, 14*time.Second), set(true), set(false), "the %s accepts our transactions and forgets them", name)
	for t := at + 2*time.Second; t < at+16*time.Second; t += r.between(400*time.Millisecond, 2*time.Second) {
		n := 1 + r.rng.IntN(3)
		s.add(t, func(r *run) { r.stranger(n, plenty) }, "a stranger carries up to %d messages each way", n)
	}
}

func (r *run) drawThief(s *scenario, at time.Duration) {
	name, of := r.either()
	ahead := r.rng.IntN(2)
	s.add(at, func(r *run) { r.steal(of(r), uint64(ahead)) }, "somebody else uses our key on the %s", name)
}

func (r *run) drawForgery(s *scenario, at time.Duration) {
	for range 1 + r.rng.IntN(4) {
		name, of := r.either()
		pick := r.rng.IntN(1 << 20)
		s.add(at, func(r *run) { r.forge(of(r), pick) }, "somebody forges an event on the %s", name)
		at += r.between(300*time.Millisecond, 4*time.Second)
	}
}

func (r *run) drawBlocked(s *scenario, at time.Duration) {
	who := r.drawRecipient()
	s.during(at, r.between(4*time.Second, 20*time.Second),
		func(r *run) { r.block(who, true) }, func(r *run) { r.block(who, false) }, "%s is blocked by the issuer of USDC", who.Hex()[:10])
}

func (r *run) drawStub(s *scenario, at time.Duration) {
	flt := r.chance(0.5)
	name := "FastWithdrawals"
	if flt {
		name = "FLT"
	}
	set := func(on bool) func(*run) {
		return func(r *run) {
			a := r.deployment.Root.FastWithdrawals
			if flt {
				a = r.deployment.Root.Flt
			}
			r.root.stub(a, on)
		}
	}
	s.during(at, r.between(3*time.Second, 14*time.Second), set(true), set(false), "%s refuses every call", name)
}

// drawRecipient draws somebody who gets money and spends none.
func (r *run) drawRecipient() common.Address {
	return addressOf(key(fmt.Sprintf("sink%d", r.rng.IntN(3))))
}
