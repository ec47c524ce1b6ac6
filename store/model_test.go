package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const people = 10 // transfers the random operations are about

var scope = func() storetest.Scope {
	s := storetest.Scope{Chains: []string{"root", "subnet"}, ChainID: 1, Accounts: []common.Address{{1}, {2}}}
	for n := range people {
		s.Jobs = append(s.Jobs, hash(n+1))
	}
	return s
}()

// pair drives the real store and the model with the same operations.
type pair struct {
	ctx    context.Context
	c      *clock
	s      server
	opt    store.Options
	db     *store.DB
	model  *storetest.Model
	lossy  *storetest.Lossy
	next   map[string]int // where each chain's cursor is, to read from
	leases []store.Lease  // all ever given, zombies too
	made   []chains.Intent
	log    []string

	lossless bool
	single   bool           // one operation a step, for one length of the file
	accepted store.Accepted // what the forks came to
	losses   int
}

func newPair(t require.TestingT, s server, namespace string) *pair {
	p := &pair{ctx: context.Background(), c: &clock{time.Unix(1_760_000_000, 0)}, lossy: &storetest.Lossy{}, next: map[string]int{"root": 100, "subnet": 100}}
	var err error
	p.s, p.opt = s, store.Options{URL: s.URL(), Namespace: namespace, Clock: p.c.now, Dial: p.lossy.Dial, RetryFor: 10 * time.Second, AllowUnsafe: forgets(s)}
	p.db, err = store.Open(p.ctx, p.opt)
	require.NoError(t, err)
	p.model = storetest.NewModel(p.db.Epoch(), p.c.now)
	for chain, at := range p.next {
		require.NoError(t, p.db.InitCursor(p.ctx, chain, cursor(at)))
		require.NoError(t, p.model.InitCursor(p.ctx, chain, cursor(at)))
	}
	return p
}

// both runs f on the two stores and compares what it answers.
func (p *pair) both(t require.TestingT, what string, f func(storetest.Store) (string, error)) {
	p.log = append(p.log, what)
	want, wantErr := f(p.model)
	got, gotErr := f(p.db)
	p.lossy.Lose(0)
	if want != got {
		// what they hold says more than what they answer
		p.same(t, 0)
	}
	require.Equal(t, want, got, "%s, after %v", what, p.log)
	require.Equal(t, kind(wantErr), kind(gotErr), "%s: %v, after %v", what, gotErr, p.log)
}

// same compares the two stores; with the intents of nonces below a bound, and
// what readers get page by page, if there is one.
func (p *pair) same(t require.TestingT, nonces uint64) {
	of := scope
	of.Nonces, of.Pages = nonces, nonces > 0
	want, err := storetest.Snapshot(p.ctx, p.model, of)
	require.NoError(t, err)
	got, err := storetest.Snapshot(p.ctx, p.db, of)
	require.NoError(t, err)
	require.Equal(t, want, got, "after %v", p.log)
}

func kind(err error) error {
	for _, k := range []error{store.ErrCursor, store.ErrStale, chains.ErrBusy, store.ErrNotParked, store.ErrUnknown, store.ErrDecided, store.ErrConflict, store.ErrInvalid, store.ErrForked, store.ErrNoFork, store.ErrHeld, store.ErrOtherLoss} {
		if errors.Is(err, k) {
			return k
		}
	}
	return err
}

// randomJob has events that decide many, events that decide one of many, and a
// step with the same key twice; its lanes are strict and loose.
func randomJob(n int) store.NewJob {
	j := job(n)
	if n%3 == 0 { // these wait for one event together
		j.Steps[1].Key = "await/all"
	}
	if n%4 == 0 {
		j.Steps[2].Key = j.Steps[0].Key
	}
	if n%5 == 0 {
		j.Transfer.Route, j.Steps[0].Lane, j.Steps[0].Strict = "flt_deposit", "poll", false
	}
	j.Transfer.Height, j.Transfer.Origin.Index = uint64(n/3), uint(7*n%10)
	if n > 4 && n != 8 {
		j.Steps[2].Key, j.Steps[2].Shared = "refund/some", true
	}
	if n > 8 {
		j.Steps[0].Key, j.Steps[0].Shared, j.Chain = "send/some", true, "subnet"
	}
	for i, s := range j.Steps {
		j.Steps[i].Chains = map[string][]string{"root:send": {"root"}, "poll": {"root", "subnet"}, "refunds": {"subnet"}}[s.Lane]
	}
	j.Steps[2].Wait = n%2 == 0
	j.BlockHash = hash(8000 + n)
	return j
}

// step does one random operation.
func (p *pair) step(t *rapid.T) {
	pick := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
	coin := func(name string) bool { return rapid.Bool().Draw(t, name) }
	outcome := func() store.Outcome {
		return rapid.SampledFrom([]store.Outcome{store.OK, store.OK, store.Failed, store.Superseded}).Draw(t, "outcome")
	}
	who := func() int { return 1 + pick("who", people) }
	some := func(name string, n int, f func()) {
		for range pick(name, n) {
			f()
		}
	}
	if !p.lossless && pick("lose", 4) == 0 {
		p.lossy.Lose(1 + pick("losses", 2))
	}
	lease := func() (store.Lease, bool) {
		if len(p.leases) == 0 {
			return store.Lease{}, false
		}
		// mostly the newest, sometimes a zombie
		if coin("newest") {
			return p.leases[len(p.leases)-1], true
		}
		return p.leases[pick("lease", len(p.leases))], true
	}
	intent := func() (chains.Intent, bool) {
		if len(p.made) == 0 {
			return chains.Intent{}, false
		}
		return p.made[pick("intent", len(p.made))], true
	}

	switch op := rapid.SampledFrom([]string{
		"ingest", "ingest", "backfill", "claim", "claim", "claim", "extend", "settle", "settle", "settle", "time", "reap", "wake",
		"retry", "discard", "pause", "resume", "reserve", "reserve", "attempt", "update", "update", "replay",
		"quarantine", "reread", "come back", "accept", "fork", "fork", "fork",
		"open", "recovered", "recovered",
	}).Draw(t, "op"); op {
	case "open":
		p.open(t)
	case "recovered":
		other := pick("other", 4) == 0
		p.both(t, op, func(s storetest.Store) (string, error) {
			r, on, err := s.Recovering(p.ctx)
			if err != nil {
				return "", err
			}
			if other {
				r.Token = "another"
			}
			return fmt.Sprint(on), s.Recovered(p.ctx, r, "ann", "they agree")
		})
	case "quarantine":
		p.quarantine(t, rapid.SampledFrom(scope.Chains).Draw(t, "chain"), pick("behind", 8)/7)
	case "come back":
		p.comeBack(t, rapid.SampledFrom(scope.Chains).Draw(t, "chain"))
	case "accept":
		p.accept(t, rapid.SampledFrom(scope.Chains).Draw(t, "chain"))
	case "fork": // all of it
		chain := rapid.SampledFrom(scope.Chains).Draw(t, "chain")
		p.quarantine(t, chain, 0)
		if p.single {
			return
		}
		p.comeBack(t, chain)
		p.accept(t, chain)
	case "ingest", "backfill", "reread":
		var jobs []store.NewJob
		var facts []store.Fact
		chain := rapid.SampledFrom(scope.Chains).Draw(t, "chain")
		some("jobs", 4, func() {
			j := randomJob(who())
			if pick("elsewhere", 4) == 0 {
				j.Transfer.Height, j.Transfer.Origin.Tx, j.Transfer.At = uint64(pick("height", 13)), hash(pick("tx", 9)), j.Transfer.At+1
			}
			if pick("another", 8) == 0 {
				j.Transfer.Recipient = common.Address{1}
				j.Steps[1].Key = fmt.Sprintf("other/%d", j.Transfer.Nonce)
			}
			jobs = append(jobs, j)
		})
		some("facts", 4, func() {
			n := who()
			key := rapid.SampledFrom([]string{"send", "await", "other", "refund", "await/all", "refund/some", "send/some"}).Draw(t, "key")
			if !strings.Contains(key, "/") {
				key = fmt.Sprintf("%s/%d", key, n)
			}
			f := fact(key, outcome(), pick("event", 12))
			f.Shared, f.Chain = strings.HasSuffix(key, "/some"), chain
			if pick("elsewhere", 4) == 0 {
				f.Height = uint64(pick("height", 13))
			}
			facts = append(facts, f)
		})
		if op != "ingest" {
			p.both(t, fmt.Sprintf("%s %s, %d jobs, %d facts", op, chain, len(jobs), len(facts)), func(s storetest.Store) (string, error) {
				f := s.Backfill
				if op == "reread" {
					f = s.Reread
				}
				c, a, err := f(p.ctx, chain, jobs, facts)
				return fmt.Sprint(c, a), err
			})
			return
		}
		from := p.next[chain] - pick("behind", 8)/7 // seldom wrong
		to := from + 1 + pick("blocks", 3)
		p.both(t, fmt.Sprintf("ingest %d→%d, %d jobs, %d facts", from, to, len(jobs), len(facts)), func(s storetest.Store) (string, error) {
			err := s.Ingest(p.ctx, chain, cursor(from), cursor(to), jobs, facts)
			if err == nil {
				p.next[chain] = to
			}
			return "", err
		})
	case "claim":
		worker, most := fmt.Sprint("w", pick("worker", 3)), 1+pick("most", 4)
		p.both(t, op, func(s storetest.Store) (string, error) {
			l, ok, err := s.Claim(p.ctx, worker, most)
			if ok && s == storetest.Store(p.db) {
				p.leases = append(p.leases, l)
			}
			jobs := ""
			for _, j := range l.Jobs {
				jobs += "\n" + storetest.Describe(j)
			}
			return fmt.Sprint(ok, l.Fence, l.Step, l.Worker, l.Until.UnixMilli(), jobs), err
		})
	case "extend":
		if l, ok := lease(); ok {
			p.both(t, op, func(s storetest.Store) (string, error) {
				n, err := s.Extend(p.ctx, l)
				return fmt.Sprint(n.Until.UnixMilli()), err
			})
		}
	case "settle":
		l, ok := lease()
		if !ok {
			return
		}
		var verdicts []store.Verdict
		for _, j := range l.Jobs {
			v := store.Verdict{ID: j.Transfer.ID, Step: l.Step, Reason: rapid.SampledFrom([]string{"", "rejected"}).Draw(t, "reason")}
			switch pick("verdict", 5) {
			case 0:
				continue
			case 1:
				v.Advance = outcome()
				if coin("with fact") {
					f := fact("x", v.Advance, pick("event", 12))
					v.Fact = &f
				}
			case 2:
				v.Park, v.Cause = true, "no way"
			default:
				v.RetryAt, v.Cause, v.CountAttempt = time.Duration(pick("delay", 3))*time.Second, "later", coin("count")
			}
			verdicts = append(verdicts, v)
		}
		p.both(t, fmt.Sprintf("settle %v %v", l.Fence, verdicts), func(s storetest.Store) (string, error) { return "", s.Settle(p.ctx, l, verdicts) })
	case "time":
		p.c.advance(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second, time.Minute}).Draw(t, "pass"))
		p.log = append(p.log, "time")
	case "reap":
		p.both(t, op, func(s storetest.Store) (string, error) {
			n, err := s.Reap(p.ctx)
			if p.lossy.Lost() > 0 {
				n = 0 // a reap whose reply is lost finds nothing left to count
			}
			return fmt.Sprint(n), err
		})
	case "wake":
		id := hash(who())
		p.both(t, op, func(s storetest.Store) (string, error) { return "", s.Wake(p.ctx, id) })
	case "retry":
		id := hash(who())
		p.both(t, op, func(s storetest.Store) (string, error) { return "", s.Retry(p.ctx, id, "ann") })
	case "discard":
		id := hash(who())
		p.both(t, op, func(s storetest.Store) (string, error) { return "", s.Discard(p.ctx, id, "ann", "old") })
	case "pause", "resume":
		lane := rapid.SampledFrom([]string{"root:send", "poll", "refunds"}).Draw(t, "lane")
		p.both(t, op+" "+lane, func(s storetest.Store) (string, error) {
			if op == "pause" {
				return "", s.PauseLane(p.ctx, lane, "ann")
			}
			return "", s.ResumeLane(p.ctx, lane, "ann")
		})
	case "reserve":
		tx := chains.Tx{Key: fmt.Sprint("k", pick("key", 6)), To: common.Address{7}, Data: []byte{1, 2, byte(pick("data", 3))}, Value: big.NewInt(int64(pick("value", 2))), Gas: 21000}
		if l, ok := lease(); ok && pick("lane", 4) > 0 {
			tx.Fence = l.Fence
			for _, j := range l.Jobs {
				if coin("member") {
					tx.Members = append(tx.Members, j.Transfer.ID)
				}
			}
		}
		account, chainNonce, most := scope.Accounts[pick("account", 2)], uint64(pick("nonce", 5)), pick("in flight", 5)
		reserve := func() {
			p.both(t, fmt.Sprintf("reserve %s %v", tx.Key, tx.Members), func(s storetest.Store) (string, error) {
				in, existing, err := s.Reserve(p.ctx, 1, account, tx, chainNonce, most)
				if err != nil {
					return "", err
				}
				if s == storetest.Store(p.db) && !existing {
					p.made = append(p.made, in)
				}
				return fmt.Sprint(existing, storetest.DescribeIntent(in)), nil
			})
		}
		reserve()
		if len(tx.Members) > 0 && coin("once more") {
			// the same members in another transaction
			tx.Key += "'"
			reserve()
		}
	case "attempt":
		if in, ok := intent(); ok {
			a := chains.Attempt{Hash: hash(100 + pick("hash", 3)), Raw: []byte{0, 10, byte(pick("raw", 3))}, TipWei: big.NewInt(1), FeeCapWei: new(big.Int).Lsh(big.NewInt(1), 90), SentAt: p.c.now()}
			p.both(t, op, func(s storetest.Store) (string, error) { return "", s.SaveAttempt(p.ctx, in, a) })
		}
	case "update":
		if in, ok := intent(); ok {
			in.State = rapid.SampledFrom([]chains.IntentState{
				chains.IntentReserved, chains.IntentSigned, chains.IntentIncluded, chains.IntentIncluded,
				chains.IntentSucceeded, chains.IntentReverted, chains.IntentReplaced, chains.IntentForeign,
			}).Draw(t, "state")
			in.Block, in.TxHash, in.GasUsed, in.Abandoned = 7, hash(101), 1<<60, coin("abandoned")
			p.both(t, op+" "+string(in.State), func(s storetest.Store) (string, error) { return "", s.Update(p.ctx, in) })
		}
	case "replay":
		if in, ok := intent(); ok {
			in.Attempts = []chains.Attempt{{Hash: hash(103), Raw: []byte{9}, TipWei: big.NewInt(1), FeeCapWei: big.NewInt(2), SentAt: p.c.now()}}
			if pick("other", 4) == 0 {
				in.Key = "another"
			}
			p.both(t, op, func(s storetest.Store) (string, error) { return "", s.Replay(p.ctx, in) })
		}
	}
}

// open is another opening, often by somebody who has seen more.
func (p *pair) open(t *rapid.T) {
	var seen [2]uint64
	for i, now := range []uint64{p.model.Epoch(), p.model.Mark()} {
		seen[i] = now - min(now, 2) + rapid.Uint64Range(0, 3).Draw(t, "seen")
	}
	c := p.s.Client()
	defer c.Close()
	stored, err := c.Get(p.ctx, "{"+p.opt.Namespace+"}:epoch").Result()
	require.NoError(t, err)
	_, lineage, _ := strings.Cut(stored, " ")
	dir, err := os.MkdirTemp("", "epoch")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	o := p.opt
	o.Dial, o.Instance, o.EpochFile = nil, "ann", filepath.Join(dir, "epoch")
	require.NoError(t, os.WriteFile(o.EpochFile, fmt.Appendf(nil, "%d %s %d\n", seen[0], lineage, seen[1]), 0o600))
	db, err := store.Open(p.ctx, o)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, p.db.Durable(p.ctx), "it sees the mark that was raised")
	p.model.Open("ann", seen[0], seen[1], false)
	p.log = append(p.log, fmt.Sprintf("opened by one who has seen %v", seen))
	if _, on, _ := p.model.Recovering(p.ctx); on {
		p.losses++
	}
}

// populate begins every transfer and takes most of them a step on.
func (p *pair) populate(t *rapid.T) {
	var jobs []store.NewJob
	facts := map[string][]store.Fact{}
	for n := 1; n <= people; n++ {
		j := randomJob(n)
		jobs = append(jobs, j)
		for _, s := range j.Steps[:2] {
			if rapid.IntRange(0, 3).Draw(t, "still") > 0 {
				f := fact(s.Key, store.OK, n)
				f.Shared, f.Chain = s.Shared, rapid.SampledFrom(scope.Chains).Draw(t, "chain")
				facts[f.Chain] = append(facts[f.Chain], f)
			}
		}
	}
	for _, chain := range scope.Chains {
		p.both(t, "populate from "+chain, func(s storetest.Store) (string, error) {
			c, a, err := s.Backfill(p.ctx, chain, jobs, facts[chain])
			return fmt.Sprint(c, a), err
		})
	}
}

func (p *pair) quarantine(t *rapid.T, chain string, behind int) {
	good := chains.Block{
		Number: rapid.Uint64Range(0, 12).Draw(t, "good"), Hash: hash(1),
		Time: uint64(p.c.now().Unix()) + 600 - rapid.Uint64Range(0, 100).Draw(t, "ago"),
	}
	if rapid.IntRange(0, 8).Draw(t, "none") == 0 {
		good = chains.Block{}
	}
	at := cursor(p.next[chain] - behind)
	p.both(t, fmt.Sprintf("quarantine %s above %d", chain, good.Number), func(s storetest.Store) (string, error) {
		f, err := s.Quarantine(p.ctx, chain, at, good, "why")
		return fmt.Sprintf("%+v", f), err
	})
}

// comeBack tells most of what was set aside again, here or there, and most of
// the transfers.
func (p *pair) comeBack(t *rapid.T, chain string) {
	aside, err := p.db.QuarantinedFacts(p.ctx, 100)
	require.NoError(t, err)
	slices.SortFunc(aside, func(a, b store.Quarantined) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	var facts []store.Fact
	for _, q := range aside {
		if q.Chain == chain && rapid.IntRange(0, 4).Draw(t, "gone") > 0 {
			q.Height += rapid.Uint64Range(0, 2).Draw(t, "later")
			facts = append(facts, q.Fact)
		}
	}
	var jobs []store.NewJob
	for _, id := range scope.Jobs {
		j, ok, err := p.db.Get(p.ctx, id)
		require.NoError(t, err)
		if ok && rapid.IntRange(0, 4).Draw(t, "never") > 0 {
			jobs = append(jobs, randomJob(int(j.Transfer.Nonce)))
		}
	}
	p.both(t, fmt.Sprintf("%s comes back, %d jobs, %d facts", chain, len(jobs), len(facts)), func(s storetest.Store) (string, error) {
		c, a, err := s.Reread(p.ctx, chain, jobs, facts)
		return fmt.Sprint(c, a), err
	})
}

func (p *pair) accept(t *rapid.T, chain string) {
	f, _, err := p.db.Forked(p.ctx, chain)
	require.NoError(t, err)
	f.Chain = chain
	to := rapid.IntRange(100, 104).Draw(t, "cursor")
	p.both(t, "accept "+chain, func(s storetest.Store) (string, error) {
		n, err := s.AcceptFork(p.ctx, f, cursor(to), "ann")
		if err == nil && s == storetest.Store(p.db) {
			p.next[chain] = to
			p.accepted.Kept, p.accepted.Reopened, p.accepted.Parked = p.accepted.Kept+n.Kept, p.accepted.Reopened+n.Reopened, p.accepted.Parked+n.Parked
		}
		return fmt.Sprint(n), err
	})
}

func TestTheScriptsDoWhatTheModelDoes(t *testing.T) {
	beside(t)
	s := redisFor(t)
	n, lost, losses := 0, 0, 0
	var accepted store.Accepted
	rapid.Check(t, func(t *rapid.T) {
		n++
		p := newPair(t, s, fmt.Sprint("m", n))
		defer p.db.Close()
		p.lossless = forgets(s) // asking again is the client's part, and slow: once is enough
		if rapid.Bool().Draw(t, "populated") {
			p.populate(t)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			p.step(t)
			p.same(t, 0)
		}
		repairs, err := p.db.Audit(p.ctx)
		require.NoError(t, err)
		require.Zero(t, repairs, "a healthy store needs no repairs")
		p.same(t, 12)
		lost, losses = lost+p.lossy.Lost(), losses+p.losses
		accepted.Kept, accepted.Reopened, accepted.Parked = accepted.Kept+p.accepted.Kept, accepted.Reopened+p.accepted.Reopened, accepted.Parked+p.accepted.Parked
	})
	t.Logf("%d runs, %d lost replies, of forks %+v, %d openings that found a loss", n, lost, accepted, losses)
	require.NotZero(t, losses)
	require.Equal(t, forgets(s), lost == 0)
	require.NotZero(t, accepted.Kept)
	require.NotZero(t, accepted.Reopened)
	require.NotZero(t, accepted.Parked)
}

func TestATornFileIsAnEarlierStateNeverAMix(t *testing.T) {
	beside(t)
	s := storetest.StartRedis(t)
	n, losses, harmless := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		p := newPair(t, s, fmt.Sprint("torn", n))
		defer p.db.Close()
		p.lossless, p.single = true, true // an operation done twice may be cut in the middle: still itself, but not one length
		for range rapid.IntRange(1, 3).Draw(t, "power cuts") {
			// Operations, each with the length of the file behind it.
			size := func() int64 {
				b, err := s.AOFSize()
				require.NoError(t, err)
				return b
			}
			sizes, states := []int64{size()}, []*storetest.Model{p.model.Clone()}
			for range rapid.IntRange(1, 15).Draw(t, "steps") {
				p.step(t)
				sizes, states = append(sizes, size()), append(states, p.model.Clone())
			}
			last := sizes[len(sizes)-1]
			cut := rapid.Int64Range(0, min(last-sizes[0], 4000)).Draw(t, "cut")
			s.Kill()
			require.NoError(t, s.Truncate(cut))
			require.NoError(t, s.Restart())

			// Nothing is written to a server that may have forgotten.
			_, _, err := p.db.Claim(p.ctx, "w", 1)
			require.ErrorIs(t, err, store.ErrRestarted)
			require.ErrorIs(t, p.db.Durable(p.ctx), store.ErrForgot)
			epoch, mark := p.db.Epoch(), p.model.Mark()
			require.NoError(t, p.db.Reopen(p.ctx))
			require.NoError(t, p.db.Durable(p.ctx))

			// It is the state after the last operation that is whole.
			i := len(sizes) - 1
			for sizes[i] > last-cut {
				i--
			}
			p.log = append(p.log, fmt.Sprintf("cut %d: back from %d to %d", cut, len(sizes)-1, i))
			p.model = states[i]
			p.model.Open("", epoch, mark, false)
			require.Equal(t, p.model.Epoch(), p.db.Epoch())
			p.same(t, 12)
			lost, on, err := p.db.Recovering(p.ctx)
			require.NoError(t, err)
			if on {
				losses++
				_, _, err := p.db.Reserve(p.ctx, 1, scope.Accounts[0], chains.Tx{Key: "before the files"}, 0, 0)
				require.ErrorIs(t, err, chains.ErrBusy)
			} else {
				harmless++
			}
			for _, c := range scope.Chains {
				cur, _, _ := p.db.Cursor(p.ctx, c)
				p.next[c] = int(cur.Next)
			}
			// The intents file survives.
			for _, in := range slices.Clone(p.made) {
				p.both(t, "replay after the cut", func(st storetest.Store) (string, error) { return "", st.Replay(p.ctx, in) })
			}
			p.same(t, 12)
			if on {
				require.NoError(t, p.db.Recovered(p.ctx, lost, "ann", "they agree"))
				lost, _, _ = p.model.Recovering(p.ctx)
				require.NoError(t, p.model.Recovered(p.ctx, lost, "ann", "they agree"))
			}
			p.same(t, 12)
		}
	})
	t.Logf("%d runs, %d losses, %d cuts of what nobody has to know", n, losses, harmless)
	require.NotZero(t, losses)
	require.NotZero(t, harmless)
}
