package root_test

import (
	"math/rand/v2"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/stretchr/testify/require"
)

// kind is a way in which an endpoint misbehaves. Two that misbehave at once are of
// different kinds: K cannot tell a lie that K endpoints tell alike.
type kind string

const (
	silence kind = "leaves logs out"
	forgery kind = "forges a log"
	branch  kind = "has other final blocks"
	late    kind = "is behind"
	early   kind = "is ahead"
	broken  kind = "answers nonsense"
	slow    kind = "does not answer"
	limits  kind = "answers only small questions"
	foreign kind = "is of another chain"
)

// fault is what is wrong with one endpoint, from one epoch to another.
type fault struct {
	kind  kind
	until uint64
	// healed: the endpoint is honest again, but until then it cannot know.
	healed bool
	// When it began:
	final    uint64 // no block above it was final
	reported int    // how often, when it began
	outs     int    // how often it was seen to be wrong
	told     bool   // it was asked
}

type faults struct {
	w      *world
	now    [endpoints]*fault
	begun  map[kind]int
	unseen []string
}

func (f *faults) active() (n int) {
	for _, x := range f.now {
		if x != nil {
			n++
		}
	}
	return n
}

func (f *faults) has(k kind) bool {
	for _, x := range f.now {
		if x != nil && x.kind == k {
			return true
		}
	}
	return false
}

// turn ends what is over and perhaps begins something new.
func (f *faults) turn() {
	head := f.w.root.Head()
	for i, x := range f.now {
		if x != nil && head >= x.until {
			f.end(i)
		}
	}
	if f.active() < mustAgree && f.w.rng.IntN(3) == 0 {
		f.begin(f.w.rng)
	}
}

func (f *faults) begin(rng *rand.Rand) {
	w := f.w
	var free []int
	for i, x := range f.now {
		if x == nil {
			free = append(free, i)
		}
	}
	// What needs two honest endpoints is rare, and two wrong ones are soon one.
	all := []kind{silence, silence, forgery, forgery, branch, late, late, early, broken, broken, broken, limits, foreign, slow}
	k := all[rng.IntN(len(all))]
	length := 4 + rng.Uint64N(30)
	if f.active() > 0 {
		length = 2 + rng.Uint64N(8)
	}
	// One that hangs is out only once the others have answered.
	if f.has(k) || f.has(slow) || k == slow && f.active() > 0 {
		return
	}
	i := free[rng.IntN(len(free))]
	x := &fault{kind: k, until: w.root.Head() + length, final: w.root.Head() - w.depth, reported: w.reported(i), outs: w.wasOut(i), told: true}
	for _, s := range w.sources.Status().Endpoints {
		if s.Name == nameOf(i) && s.Out != "" {
			x.told = false
		}
	}
	f.now[i] = x
	f.begun[k]++
	f.spoil(w.root.Node(i), x, rng)
}

// spoil makes a node misbehave.
func (f *faults) spoil(n *lotus.Node, x *fault, rng *rand.Rand) {
	w := f.w
	ctx := w.t.Context()
	back := 1 + rng.Uint64N(40)
	body := bodies[rng.IntN(len(bodies))]
	of := []string{"", "eth_getLogs", "eth_getBlockByNumber"}[rng.IntN(3)]
	choice := rng.IntN(3)
	twice := rng.IntN(2) == 0
	switch x.kind {
	case silence:
		n.Set(func(s *lotus.Switches) {
			s.LieInReceipts = twice
			switch choice {
			case 0:
				s.HideLogs = true
			case 1:
				s.DropLog = 1
			default:
				for e := range uint64(60) {
					s.HideEpochs = append(s.HideEpochs, w.root.Head()-min(w.depth, w.root.Head())+e)
				}
			}
		})
	case forgery:
		n.Set(func(s *lotus.Switches) { s.ForgeLog, s.LieInReceipts = true, twice })
	case branch:
		require.NoError(w.t, n.Fork(ctx, min(w.depth+back, w.root.Head()-w.start-1)))
	case late:
		switch choice {
		case 0:
			n.Set(func(s *lotus.Switches) { s.Lag = back })
		case 1:
			n.Freeze(0)
		default:
			n.Freeze(back)
		}
	case early:
		require.NoError(w.t, n.JumpAhead(ctx, 2+back/4))
	case broken:
		n.Set(func(s *lotus.Switches) { s.Body, s.BodyFor = body, of })
	case slow:
		n.Set(func(s *lotus.Switches) { s.Body = lotus.BodyHang })
	case limits:
		n.Set(func(s *lotus.Switches) {
			s.MaxRange, s.MaxResults, s.LateReceipts, s.ShowRemoved = 1+back, 3, 1, true
		})
	case foreign:
		n.Set(func(s *lotus.Switches) { s.ChainID, s.WrongGenesis = chainID+back, twice })
		n.DropConnections()
	}
}

var bodies = []lotus.Body{
	lotus.BodyHTML, lotus.BodyHuge, lotus.BodyNested, lotus.BodyNegative, lotus.BodyBig, lotus.BodyTwice,
	lotus.BodyEmpty, lotus.BodyNull, lotus.BodyCut, lotus.Body429, lotus.Body503, lotus.BodyOtherID,
}

// end makes an endpoint honest. One that was ahead says nothing new until the
// others are where it was.
func (f *faults) end(i int) {
	x, n := f.now[i], f.w.root.Node(i)
	if x.kind == early && !x.healed {
		n.Reset()
		x.healed, x.until = true, f.w.root.Head()+20
		return
	}
	n.Reset()
	f.now[i] = nil
	// A forged log is in every answer: where the endpoint was asked beside the others
	// about what came since, and was never too slow to be heard, somebody has seen it.
	if next, _ := f.w.read(); x.kind == forgery && x.told && f.w.wasOut(i) == x.outs && min(next, f.w.height(i)+1) > x.final+1 && f.w.reported(i) == x.reported {
		f.unseen = append(f.unseen, nameOf(i)+" "+string(x.kind))
	}
}

func (f *faults) endAll() {
	for i, x := range f.now {
		for ; x != nil; x = f.now[i] {
			f.end(i)
		}
	}
}
