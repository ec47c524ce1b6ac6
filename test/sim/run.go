package sim

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum/core/types"
)

// run is the world of one seed.
type run struct {
	seed        uint64
	rng         *rand.Rand
	trace       *trace
	note        func(string, ...any)
	deployment  deploy.Deployment
	root, child *chain
	validators  *validators
	network     *network
	redis       *redis
	watch       *ledger
	instances   []*instance
	calls       atomic.Int64
	stolen      map[[32]byte]bool // transactions of our key that are not ours

	promised int // things users still want to do

	todo  []event
	order int
}

// event is something that happens to the world at a time.
type event struct {
	at    time.Time
	order int
	do    func()
}

// at plans something.
func (r *run) at(when time.Duration, do func()) {
	r.order++
	e := event{began.Add(when), r.order, do}
	i, _ := slices.BinarySearchFunc(r.todo, e, func(a, b event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order)) })
	r.todo = slices.Insert(r.todo, i, e)
}

// until lets the world go on up to a time, or until a condition holds that is
// looked at every second.
func (r *run) until(end time.Duration, enough func() bool) bool {
	next := time.Since(began)
	for {
		now := time.Since(began)
		if enough != nil && now >= next {
			if enough() {
				return true
			}
			next = now + time.Second
		}
		if now >= end {
			return false
		}
		wake := began.Add(end)
		if len(r.todo) > 0 && r.todo[0].at.Before(wake) {
			wake = r.todo[0].at
		}
		time.Sleep(time.Until(wake))
		for len(r.todo) > 0 && !r.todo[0].at.After(time.Now()) {
			e := r.todo[0]
			r.todo = r.todo[1:]
			e.do()
		}
	}
}

// Result is how a seed went.
type Result struct {
	Seed       uint64
	Violations []string
	Trace      func() string // what was planned and what happened
	Calls      int64
	Virtual    time.Duration
}

const (
	rootEvery  = time.Second
	childEvery = 500 * time.Millisecond
	// patience is how long after the last fault everything must be settled.
	patience = 8 * time.Minute
	// lastMoments are watched after all is settled: nothing opens again.
	lastMoments = 3 * time.Second
)

// Run runs one seed in a bubble of its own.
func Run(t *testing.T, seed uint64) (res Result) {
	world, err := fresh()
	if err != nil {
		t.Fatal(err)
	}
	res.Seed = seed
	synctest.Test(t, func(t *testing.T) {
		r := newRun(world, seed)
		s := r.draw()
		r.play(s)
		res.Violations, res.Calls, res.Virtual = r.watch.found(), r.calls.Load(), time.Since(began)
		res.Trace = func() string { return s.String() + r.trace.String() }
	})
	return res
}

func newRun(world *template, seed uint64) *run {
	r := &run{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), trace: &trace{}, deployment: world.deployment,
		root: world.root.clone(), child: world.child.clone(), network: &network{weather: map[string][]weather{}}, stolen: map[[32]byte]bool{},
	}
	r.note = r.trace.note("world")
	r.trace.onAlert = func(name, key, summary string) {
		switch {
		case name == alerts.InvariantBroken && strings.Contains(key, "/I6/") && r.excused("I6"):
		case slices.Contains([]string{alerts.SupplyDrift, alerts.InvariantBroken, alerts.WatcherHalted, alerts.FinalityRegress}, name):
			r.watch.violate("alert %s: %s: %s", name, key, summary)
		}
	}
	r.watch = newLedger(r.note)
	r.redis = newRedis(r.watch)
	// The world was built on other blocks than it goes on with.
	r.deployment.Root.GenesisHash, r.deployment.Subnet.GenesisHash = r.root.blocks[0].hash, r.child.blocks[0].hash
	r.validators = newValidators(world.deployment, r.root, r.child)
	return r
}

// play lets the scenario happen and then checks what came of it.
func (r *run) play(s *scenario) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range s.instances {
		inst := newInstance(r, i)
		r.instances = append(r.instances, inst)
		// Not all at one instant: who is first then would be chance.
		delay := time.Duration(i)*137*time.Millisecond + 11*time.Microsecond
		wg.Go(func() { nap(ctx, delay); inst.supervise(ctx) })
	}
	r.blocks()
	s.plan(r)
	r.until(s.quiet, nil)
	r.note("nothing goes wrong any more")
	r.endFaults()
	r.at(s.quiet+time.Minute, r.resume)
	settled := r.until(s.quiet+patience, r.settled)
	if !settled {
		r.watch.violate("stuck: %s; %s; lanes: %s", r.underWay(), r.unsettled(), r.lanes())
	}
	r.until(time.Since(began)+lastMoments, nil)
	stop()
	wg.Wait()
	if settled {
		r.check()
	}
}

// blocks plans the blocks of both chains.
func (r *run) blocks() {
	var root, child func()
	at := 31 * time.Millisecond
	root = func() {
		r.root.mine(uint64(time.Now().Unix()))
		at += rootEvery
		r.at(at, root)
	}
	r.at(at, root)
	cat := 17 * time.Millisecond
	child = func() {
		b := r.child.mine(uint64(time.Now().Unix()))
		r.validators.blockMade(b)
		cat += childEvery
		r.at(cat, child)
	}
	r.at(cat, child)
	sat := 23 * time.Millisecond
	var remember func()
	remember = func() {
		r.redis.remember()
		sat += time.Second
		r.at(sat, remember)
	}
	r.at(sat, remember)
}

// broadcast sees what an instance sends.
func (r *run) broadcast(w *wire, c call) {
	raw, ok := rawHash(c)
	var tx types.Transaction
	if !ok || tx.UnmarshalBinary(raw) != nil {
		r.watch.violate("I8: an instance broadcast what is no transaction")
		return
	}
	r.watch.broadcast(tx.Hash())
}
