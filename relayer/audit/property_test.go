package audit

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// grow lets both chains live on for a few steps, whatever they do.
func grow(t *rapid.T, w *world, steps int) {
	pick := func(ways int) int { return rapid.IntRange(0, ways-1).Draw(t, "way") }
	users := []common.Address{addr(40), addr(41), addr(42)}
	for range steps {
		user := users[pick(len(users))]
		amount := rapid.Int64Range(1, 50).Draw(t, "amount")
		switch pick(16) {
		case 0, 1:
			w.fund(amount)
		case 2, 3:
			w.deposit(amount, user)
		case 4, 5:
			w.deliver(1+pick(4), pick)
		case 6:
			w.checkpoint()
		case 7, 8:
			w.checkpoint()
			w.exec(1+pick(4), pick)
		case 9:
			if w.coins() >= amount+fee {
				w.release(amount)
			}
		case 10, 11:
			if w.child.tip().state.holders[user] >= amount && w.coins() >= fee {
				w.withdraw(sub.USDC, amount, user)
			}
		case 12:
			if w.coins() >= amount+fee {
				w.withdraw(sub.FLT, amount, user)
			}
		case 13:
			if w.coins() >= fee {
				w.resend()
			}
		case 14:
			w.claims()
			w.childCredits()
			w.retry(pick)
		case 15:
			if w.child.tip().state.holders[user] >= amount {
				w.move(user, users[pick(len(users))], amount)
			}
		}
	}
}

// pinAnywhere puts both heads somewhere between what was read and the tips,
// where they fit together.
func pinAnywhere(t *rapid.T, w *world, root, child int) {
	w.root.head = rapid.IntRange(root, len(w.root.blocks)-1).Draw(t, "root head")
	w.child.head = rapid.IntRange(child, len(w.child.blocks)-1).Draw(t, "subnet head")
	for !w.fits() {
		r, s := w.root.blocks[w.root.head].state, w.child.blocks[w.child.head].state
		if s.applied > r.topDown {
			w.root.head++
		}
		if r.applied > s.bottomUp {
			w.child.head++
		}
	}
}

func TestHonestHistoriesNeverDriftWhereverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(400)
		w.root.page, w.child.page = rapid.Uint64Range(1, 9).Draw(t, "page"), rapid.Uint64Range(1, 9).Draw(t, "page")
		a := auditorOf(t, w)
		root, child := 0, 0
		for range rapid.IntRange(1, 5).Draw(t, "audits") {
			grow(t, w, rapid.IntRange(0, 25).Draw(t, "steps"))
			pinAnywhere(t, w, root, child)
			root, child = w.root.head, w.child.head
			drifts(t, check(t, a), nil)
			// One who reads everything anew sees the same.
			drifts(t, check(t, auditorOf(t, w)), nil)
		}
	})
}

func TestEveryPlantedFaultIsFoundExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(400)
		w.fund(33)
		w.deposit(44, addr(40))
		grow(t, w, rapid.IntRange(0, 60).Draw(t, "steps"))
		w.deposit(21, addr(41))
		w.fund(22)
		w.release(5)
		pinAnywhere(t, w, len(w.root.blocks)-1, len(w.child.blocks)-1)
		r, s := &w.root.tip().state, &w.child.tip().state
		n := rapid.Int64Range(1, 20).Draw(t, "units")
		minus, plus := big.NewInt(-n).String(), big.NewInt(n).String()

		type fault struct {
			name, key, want string
			plant           func()
		}
		f := rapid.SampledFrom([]fault{
			{"USDC minted", "I1/USDC", minus, func() { s.supply += n }},
			{"USDC minted and counted", "I1/USDC", minus, func() { s.supply += n; s.minted += n }},
			{"USDC out of the escrow", "I1/USDC", minus, func() { r.controllerUSDC -= n }},
			{"USDC refunded", "I1/USDC", minus, func() { r.cRefunded += n; r.cRefundsPaid += n; r.controllerUSDC -= n }},
			{"USDC locked for nothing", "I1/USDC", plus, func() { r.cLocked += n; r.controllerUSDC += n }},
			{"FLT out of the gateway", "I1/FLT", minus, func() { r.gatewayFLT -= n }},
			{"FLT unlocked", "I1/FLT", minus, func() { r.unlocked += n; r.gatewayFLT -= n }},
			{"FLT out of the treasury", "I1/FLT", minus, func() { s.gatewayFLT -= n }},
			{"FLT released", "I1/FLT", minus, func() { s.released += n; s.gatewayFLT -= n }},
			{"FLT locked for nothing", "I1/FLT", plus, func() { r.locked += n; r.gatewayFLT += n }},
			{"FLT deposit vanished", "I1/FLT", "22", func() { w.root.drop = dropDown(uint64(len(w.down) - 1)) }},
			{"USDC deposit vanished", "I1/USDC", "21", func() { w.root.drop = dropDown(uint64(len(w.down) - 2)) }},
			{"release vanished", "I1/FLT", "5", func() {
				w.child.drop = func(e chains.Event) bool {
					return isEvent(e, ipc.TopicBottomUpMessage) && e.Topics[2].Big().Uint64() == uint64(len(w.up)-1)
				}
			}},
		}).Draw(t, "fault")
		f.plant()

		report := check(t, auditorOf(t, w))
		require.False(t, report.OK)
		for _, i := range report.Invariants {
			if i.ID != "I1" {
				continue
			}
			want := "0"
			if i.ID+"/"+i.Token == f.key {
				want = f.want
			}
			require.Equal(t, want, i.Drift, "%s: %s %s", f.name, i.Token, i.Detail)
			require.Equal(t, want == "0", i.OK)
		}
	})
}

func dropDown(nonce uint64) func(chains.Event) bool {
	return func(e chains.Event) bool {
		env, err := ipc.DecodeEnvelope(e.Data)
		return isEvent(e, ipc.TopicNewTopDownMessage) && err == nil && env.LocalNonce == nonce
	}
}

// Foreign bytes under our own topics: never a panic, never silence.
func FuzzEventsOfAnyContent(f *testing.F) {
	w := busy()
	abis, err := newContracts()
	require.NoError(f, err)
	for _, b := range w.root.blocks {
		for _, e := range b.events {
			f.Add(e.Data, uint8(0))
		}
	}
	f.Add([]byte{}, uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		h := newHistory(sub, abis)
		for contract, filter := range map[bool]chains.Filter{true: abis.rootFilter(sub), false: abis.childFilter(sub)} {
			for _, at := range filter.Addresses {
				topic := filter.Topics[int(which)%len(filter.Topics)]
				for topics := range 5 {
					e := chains.Event{Chain: rootChain, Address: at, Topics: []common.Hash{topic}, Data: data}
					for range topics {
						e.Topics = append(e.Topics, common.BytesToHash(sub.Actor[:]))
					}
					if contract {
						h.rootEvent(e)
					} else {
						e.Chain = childChain
						h.childEvent(e)
					}
				}
			}
		}
		h.totals(rootState{downNext: 1 << 60, upApplied: 9}, childState{upNext: 1 << 60, downApplied: 9})
		firstMissing(h.down, 0, 1<<60)
	})
}
