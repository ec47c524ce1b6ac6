package audit

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

var (
	_ RootReader   = (*evm.Client)(nil)
	_ SubnetReader = (*subnet.Client)(nil)
)

var ctx = context.Background()

func auditorOf(t require.TestingT, w *world, change ...func(*Source)) *Auditor {
	src := Source{Sub: sub, Root: w.root, Child: w.child, Wait: time.Microsecond}
	for _, f := range change {
		f(&src)
	}
	a, err := New(src)
	require.NoError(t, err)
	return a
}

func check(t require.TestingT, a *Auditor) Report {
	r, err := a.Check(ctx)
	require.NoError(t, err)
	return r
}

func find(t require.TestingT, r Report, id, token string) Invariant {
	for _, i := range r.Invariants {
		if i.ID == id && i.Token == token {
			return i
		}
	}
	require.Fail(t, "no such invariant", "%s %s in %s", id, token, r)
	return Invariant{}
}

// drifts requires exactly these drifts, and zero everywhere else. Keys are
// "I1/USDC" or "I2".
func drifts(t require.TestingT, r Report, want map[string]string) {
	for _, i := range r.Invariants {
		key := i.ID
		if i.ID == "I1" {
			key += "/" + i.Token
		}
		expected, off := want[key]
		if !off {
			expected = "0"
		}
		require.Equal(t, expected, i.Drift, "%s: %s %v", key, i.Detail, i.Terms)
		require.Equal(t, expected == "0", i.OK, "%s: %s", key, i.Detail)
		require.Equal(t, expected != "0", i.Detail != "", key)
	}
	require.Equal(t, len(want) == 0, r.OK)
}

// unpaid settles a withdrawal whose payout is refused.
func unpaid(ways int) int {
	if ways == 3 {
		return 2
	}
	return 0
}

// busy is a world with something of everything, some of it on its way.
func busy() *world {
	w := newWorld(1000)
	w.fund(500)
	w.deposit(700, addr(40))
	w.deposit(300, addr(41))
	w.deliver(2, alwaysGood)
	w.withdraw(sub.USDC, 90, addr(40))
	w.withdraw(sub.FLT, 80, addr(40))
	w.release(30)
	for w.child.tip().header.Number.Uint64() < 2*modelPeriod {
		w.move(addr(40), addr(41), 1)
	}
	w.checkpoint()
	w.checkpoint()
	w.exec(1, alwaysGood)
	w.exec(1, unpaid)
	w.withdraw(sub.USDC, 50, addr(40))
	w.withdraw(sub.FLT, 60, addr(40))
	w.fund(200)
	return w
}

func TestAnHonestHistoryHasNoDrift(t *testing.T) {
	w := busy()
	r := check(t, auditorOf(t, w))
	drifts(t, r, nil)
	require.Empty(t, r.Skipped)
	require.Equal(t, w.root.block(w.root.head), r.RootBlock)
	require.Equal(t, w.child.block(w.child.head), r.SubnetBlock)

	usdc := find(t, r, "I1", "USDC").Terms
	require.Equal(t, "910", usdc["locked_root"])
	require.Equal(t, "560", usdc["supply"])
	require.Equal(t, "300", usdc["down_in_flight"])
	require.Equal(t, "50", usdc["up_in_flight"])
	flt := find(t, r, "I1", "FLT").Terms
	require.Equal(t, "1620", flt["locked_root"])
	require.Equal(t, "200", flt["down_in_flight"])
	require.Equal(t, "90", flt["up_in_flight"])
	require.Equal(t, "15", flt["pot"])
}

func TestTheReportHasTheAgreedShape(t *testing.T) {
	r := check(t, auditorOf(t, busy()))
	var got struct {
		Invariants []struct {
			ID, Token, Drift string
			OK               bool
			Terms            map[string]string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.String()), &got))
	require.Equal(t, "I1", got.Invariants[0].ID)
	require.Equal(t, "0", got.Invariants[0].Drift)
	require.True(t, got.Invariants[0].OK)
	for _, i := range got.Invariants {
		_, err := Invariant{Drift: i.Drift}.DriftFloat()
		require.NoError(t, err)
	}
	f, err := Invariant{Drift: "-12"}.DriftFloat()
	require.NoError(t, err)
	require.Equal(t, -12.0, f)
	_, err = Invariant{Drift: "1.5"}.DriftFloat()
	require.Error(t, err)
}

// tamper changes the newest states, as an edit of storage would.
func tamper(w *world, root func(*rootBooks), child func(*childBooks)) {
	if root != nil {
		root(&w.root.tip().state)
	}
	if child != nil {
		child(&w.child.tip().state)
	}
}

func TestOneUnitTooMuchIsOneUnitOfDrift(t *testing.T) {
	for name, c := range map[string]struct {
		root  func(*rootBooks)
		child func(*childBooks)
		want  map[string]string
	}{
		"minted into the replica's supply":     {nil, func(s *childBooks) { s.supply++ }, map[string]string{"I1/USDC": "-1"}},
		"minted with its counter":              {nil, func(s *childBooks) { s.supply++; s.minted++ }, map[string]string{"I1/USDC": "-1"}},
		"minted into a supply and a balance":   {nil, func(s *childBooks) { s.supply++; s.holders[addr(40)]++ }, map[string]string{"I1/USDC": "-1"}},
		"minted into a balance alone":          {nil, func(s *childBooks) { s.holders[addr(41)]++ }, map[string]string{"I1/USDC": "-1"}},
		"burnt without a withdrawal":           {nil, func(s *childBooks) { s.supply--; s.burnt++ }, map[string]string{"I1/USDC": "1"}},
		"gone from the controller":             {func(s *rootBooks) { s.controllerUSDC-- }, nil, map[string]string{"I1/USDC": "-1"}},
		"reserved without a withdrawal":        {func(s *rootBooks) { s.cReserved++ }, nil, map[string]string{"I1/USDC": "-1"}},
		"refunded without a deposit":           {func(s *rootBooks) { s.cRefunded++ }, nil, map[string]string{"I1/USDC": "-1"}},
		"paid from the reserve, uncounted out": {func(s *rootBooks) { s.cReservesPaid--; s.controllerUSDC-- }, nil, map[string]string{"I1/USDC": "-2"}},
		"gone from the root gateway":           {func(s *rootBooks) { s.gatewayFLT-- }, nil, map[string]string{"I1/FLT": "-1"}},
		"gone from FastWithdrawals":            {func(s *rootBooks) { s.payoutsFLT-- }, nil, map[string]string{"I1/FLT": "-1"}},
		"unlocked without a message":           {func(s *rootBooks) { s.unlocked++; s.gatewayFLT-- }, nil, map[string]string{"I1/FLT": "-1"}},
		"gone from the treasury":               {nil, func(s *childBooks) { s.gatewayFLT-- }, map[string]string{"I1/FLT": "-1"}},
		"released and counted":                 {nil, func(s *childBooks) { s.gatewayFLT--; s.released++ }, map[string]string{"I1/FLT": "-1"}},
		"given to the genesis":                 {nil, func(s *childBooks) { s.preFunded++ }, map[string]string{"I1/FLT": "-1"}},
		"gone from the outbox":                 {nil, func(s *childBooks) { s.outboxFLT-- }, map[string]string{"I1/FLT": "-1"}},
		"locked without a message":             {func(s *rootBooks) { s.locked++; s.gatewayFLT++ }, nil, map[string]string{"I1/FLT": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			tamper(w, c.root, c.child)
			drifts(t, check(t, auditorOf(t, w)), c.want)
		})
	}
}

func TestDonationsAreShownAndBreakNothing(t *testing.T) {
	w := busy()
	tamper(w, func(s *rootBooks) { s.gatewayFLT += 7; s.payoutsFLT += 8; s.controllerUSDC += 9 },
		func(s *childBooks) { s.gatewayFLT += 10; s.outboxFLT += 11 })
	r := check(t, auditorOf(t, w))
	drifts(t, r, nil)
	flt := find(t, r, "I1", "FLT").Terms
	require.Equal(t, []string{"7", "8", "10", "11"}, []string{flt["gateway_donated"], flt["payouts_donated"], flt["treasury_donated"], flt["outbox_donated"]})
	require.Equal(t, "9", find(t, r, "I1", "USDC").Terms["controller_donated"])
}

func TestAMissingMessageInFlightIsADriftOfItsValue(t *testing.T) {
	downOf := func(nonce uint64) func(chains.Event) bool {
		return func(e chains.Event) bool {
			env, err := ipc.DecodeEnvelope(e.Data)
			return isEvent(e, ipc.TopicNewTopDownMessage) && err == nil && env.LocalNonce == nonce
		}
	}
	upOf := func(nonce uint64) func(chains.Event) bool {
		return func(e chains.Event) bool {
			return isEvent(e, ipc.TopicBottomUpMessage) && e.Topics[2].Big().Uint64() == nonce
		}
	}
	for name, c := range map[string]struct {
		root, child func(chains.Event) bool
		want        map[string]string
	}{
		"a deposit of USDC":      {downOf(2), nil, map[string]string{"I1/USDC": "300", "I2": "1"}},
		"a deposit of FLT":       {downOf(3), nil, map[string]string{"I1/FLT": "200", "I2": "1"}},
		"a release":              {nil, upOf(2), map[string]string{"I1/FLT": "30", "I2": "1"}},
		"a withdrawal of USDC":   {nil, upOf(3), map[string]string{"I1/USDC": "50", "I2": "1"}},
		"a withdrawal of FLT":    {nil, upOf(4), map[string]string{"I1/FLT": "60", "I2": "1"}},
		"a message applied long": {downOf(0), nil, map[string]string{"I1/FLT": "500", "I2": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			w.root.drop, w.child.drop = c.root, c.child
			drifts(t, check(t, auditorOf(t, w)), c.want)
		})
	}
}

func TestAMessageWithOtherContentDoesNotFoldToWhatTheGatewaysKeep(t *testing.T) {
	w := busy()
	w.rootBlock(func(s *rootBooks, e *emitter) {
		w.sendDown(s, e, ipc.IpcEnvelope{Kind: ipc.KindCall, Value: new(big.Int), To: onChild(addr(50)), From: onRoot(addr(51)), Message: []byte{1}})
		s.topDownHash[0] ^= 1
	})
	drifts(t, check(t, auditorOf(t, w)), map[string]string{"I2": "1"})

	w = busy()
	s := w.child.tip().state
	epoch := w.epochs[len(w.epochs)-1]
	b := s.batches[epoch]
	b.hash[0] ^= 1
	s.batches[epoch] = b
	drifts(t, check(t, auditorOf(t, w)), map[string]string{"I2": "1"})
}

// forge puts one more event on the root.
func forge(w *world, contract string, from common.Address, name string, values ...any) {
	w.rootBlock(func(_ *rootBooks, e *emitter) { e.emit(contract, from, name, values...) })
}

func TestWrongSettlementsAreCounted(t *testing.T) {
	first := func(w *world) (ipc.Withdrawal, [32]byte) {
		wd, err := ipc.DecodeWithdrawalCall(w.up[0].Message)
		require.NoError(t, err)
		return wd, [32]byte(ipc.WithdrawalID(rootChain, sub.FastWithdrawals, wd))
	}
	edit := func(w *world, name string, change func([]byte), topic int, to common.Hash) {
		for i := range w.root.blocks {
			for k := range w.root.blocks[i].events {
				e := &w.root.blocks[i].events[k]
				if isEvent(*e, w.abis["payouts"].Events[name].ID) {
					if change != nil {
						change(e.Data)
					}
					if topic > 0 {
						e.Topics[topic] = to
					}
					return
				}
			}
		}
		require.Fail(t, "no event")
	}
	for name, c := range map[string]struct {
		do   func(*world)
		want string
	}{
		"settled twice": {func(w *world) {
			wd, id := first(w)
			forge(w, "payouts", sub.FastWithdrawals, "WithdrawalSettled", id, wd.Recipient, wd.Token, wd.Gross, true)
		}, "1"},
		"settled to another": {func(w *world) { edit(w, "WithdrawalSettled", nil, 2, common.BytesToHash(stranger[:])) }, "1"},
		"settled in another token": {func(w *world) {
			edit(w, "WithdrawalSettled", nil, 3, common.BytesToHash(stranger[:]))
		}, "1"},
		"settled with more": {func(w *world) { edit(w, "WithdrawalSettled", func(b []byte) { b[31]++ }, 0, common.Hash{}) }, "1"},
		"settled and never sent": {func(w *world) {
			forge(w, "payouts", sub.FastWithdrawals, "WithdrawalSettled", [32]byte{9}, stranger, sub.FLT, big64(5), true)
		}, "1"},
		"settled before its message": {func(w *world) {
			wd, err := ipc.DecodeWithdrawalCall(w.up[len(w.up)-1].Message)
			require.NoError(t, err)
			forge(w, "payouts", sub.FastWithdrawals, "WithdrawalSettled", [32]byte(ipc.WithdrawalID(rootChain, sub.FastWithdrawals, wd)), wd.Recipient, wd.Token, wd.Gross, true)
		}, "1"},
		"paid and claimed": {func(w *world) {
			wd, id := first(w)
			forge(w, "payouts", sub.FastWithdrawals, "CreditClaimed", id, wd.Recipient, wd.Gross)
		}, "1"},
		"claimed and never settled": {func(w *world) {
			forge(w, "payouts", sub.FastWithdrawals, "CreditClaimed", [32]byte{9}, stranger, big64(5))
		}, "1"},
		"refund of no deposit": {func(w *world) {
			forge(w, "controller", sub.Controller, "DepositRefunded", [32]byte{9}, stranger, big64(0), true)
		}, "1"},
		"refund of a good deposit": {func(w *world) {
			id := w.down[1].TracingID()
			forge(w, "controller", sub.Controller, "DepositRefunded", [32]byte(id), addr(52), big64(0), true)
		}, "1"},
		"an answer to nothing": {func(w *world) {
			forge(w, "gateway", sub.Gateway, "ResultApplied", sub.Actor, [32]byte{9}, uint8(1), uint8(0), stranger, big64(0))
		}, "1"},
		"a message applied twice": {func(w *world) {
			forge(w, "gateway", sub.Gateway, "BottomUpMessageApplied", sub.Actor, uint64(0), [32]byte(w.up[0].TracingID()), uint8(0), uint8(0), []byte{})
		}, "1"},
		"an event that does not decode": {func(w *world) {
			w.rootBlock(func(_ *rootBooks, e *emitter) {
				e.raw(sub.Gateway, []byte{1, 2, 3}, ipc.TopicNewTopDownMessage, common.BytesToHash(sub.Actor[:]), common.Hash{})
			})
		}, "1"},
		"another subnet's events": {func(w *world) {
			forge(w, "gateway", sub.Gateway, "BottomUpMessageApplied", stranger, uint64(0), [32]byte{}, uint8(0), uint8(0), []byte{})
			forge(w, "gateway", sub.Gateway, "ResultApplied", stranger, [32]byte{9}, uint8(1), uint8(0), stranger, big64(5))
		}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			c.do(w)
			i := find(t, check(t, auditorOf(t, w)), "I2", "")
			require.Equal(t, c.want, i.Drift, i.Detail)
			require.Equal(t, c.want == "0", i.OK)
		})
	}
}

func TestADoubleSettlementIsADriftOfItsAmountToo(t *testing.T) {
	w := busy()
	wd, err := ipc.DecodeWithdrawalCall(w.up[0].Message)
	require.NoError(t, err)
	w.rootBlock(func(s *rootBooks, e *emitter) { w.settle(s, e, wd, true) })
	r := check(t, auditorOf(t, w))
	require.Equal(t, "-90", find(t, r, "I1", "USDC").Drift)
	require.Equal(t, "1", find(t, r, "I2", "").Drift)
	require.Equal(t, "0", find(t, r, "I1", "FLT").Drift)
}

func TestAMintingToAnotherIsFound(t *testing.T) {
	w := busy()
	for i := range w.child.blocks {
		for k, e := range w.child.blocks[i].events {
			if isEvent(e, ipc.TopicLinkedTokenReceived) {
				w.child.blocks[i].events[k].Topics[1] = common.BytesToHash(stranger[:])
			}
		}
	}
	drifts(t, check(t, auditorOf(t, w)), map[string]string{"I2": "1"})
}

func TestASkippedCheckpointIsCounted(t *testing.T) {
	accepted := func(e chains.Event, h uint64) bool {
		return isEvent(e, ipc.TopicCheckpointAccepted) && e.Topics[1].Big().Uint64() == h
	}
	for h, name := range map[uint64]string{modelPeriod: "the first", 2 * modelPeriod: "the last"} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			w.root.drop = func(e chains.Event) bool { return accepted(e, h) }
			drifts(t, check(t, auditorOf(t, w)), map[string]string{"I7": "1"})
		})
	}
	t.Run("two in the middle, one out of place", func(t *testing.T) {
		w := busy()
		for _, h := range []int64{25, 26, 20} {
			w.rootBlock(func(s *rootBooks, e *emitter) {
				s.lastCheckpoint = 26
				e.emit("actor", sub.Actor, "CheckpointAccepted", big64(h), [32]byte{1}, uint64(0), uint64(0))
			})
		}
		drifts(t, check(t, auditorOf(t, w)), map[string]string{"I7": "4"})
	})
}

func TestBurntFeesAreRecomputedFromHeaders(t *testing.T) {
	w := busy()
	a := auditorOf(t, w)
	i := find(t, check(t, a), "BURNT", "FLT")
	require.Equal(t, i.Terms["node"], i.Terms["headers"])
	require.NotEqual(t, "0", i.Terms["node"])

	w.child.overstated = 5
	drifts(t, check(t, a), map[string]string{"BURNT": "5"})
}

func TestEventsAreReadOnceAndAgainBeforeAPage(t *testing.T) {
	w := busy()
	w.root.page, w.child.page = 3, 3
	a := auditorOf(t, w)
	clock := time.Unix(1_700_000_000, 0)
	a.now = func() time.Time { return clock }
	drifts(t, check(t, a), nil)
	reads := w.root.reads
	drifts(t, check(t, a), nil)
	require.Equal(t, reads, w.root.reads, "nothing new, nothing read")

	// One answer lacks an event: it is looked for again before anybody is called.
	lied := false
	w.root.drop = func(e chains.Event) bool {
		if isEvent(e, ipc.TopicNewTopDownMessage) && e.Block == uint64(w.root.head) && !lied {
			lied = true
			return true
		}
		return false
	}
	w.fund(11)
	drifts(t, check(t, a), nil)
	require.True(t, lied)

	// It keeps lying: broken, and for a while without reading everything again.
	w.root.drop = func(e chains.Event) bool {
		return isEvent(e, ipc.TopicNewTopDownMessage) && e.Block == uint64(w.root.head)
	}
	w.fund(13)
	want := map[string]string{"I1/FLT": "13", "I2": "1"}
	drifts(t, check(t, a), want)
	reads = w.root.reads
	drifts(t, check(t, a), want)
	require.Equal(t, reads, w.root.reads)
	clock = clock.Add(rescanAfter)
	w.root.drop = nil
	drifts(t, check(t, a), nil)
}

func TestAReorganisedFinalBlockIsAnErrorAndThenReadAnew(t *testing.T) {
	w := busy()
	a := auditorOf(t, w)
	drifts(t, check(t, a), nil)
	last := &w.root.blocks[len(w.root.blocks)-1]
	last.header.Extra = []byte{99}
	w.rootBlock(func(*rootBooks, *emitter) {})
	_, err := a.Check(ctx)
	require.ErrorIs(t, err, chains.ErrReorg)
	drifts(t, check(t, a), nil)
}

func TestBlocksThatDoNotFitAreNeverCompared(t *testing.T) {
	w := busy()
	w.fund(40)
	w.deliver(9, alwaysGood)
	tip := w.root.head
	w.root.head -= 2 // the subnet has applied what this root block has not sent
	require.False(t, w.fits())
	a := auditorOf(t, w)
	_, err := a.Check(ctx)
	require.ErrorIs(t, err, chains.ErrUnavailable)

	// The subnet block is kept until the root has caught up with it.
	kept := w.child.head
	w.fund(41)
	w.deliver(9, alwaysGood)
	w.root.head = tip
	r := check(t, a)
	drifts(t, r, nil)
	require.Equal(t, uint64(kept), r.SubnetBlock.Number)

	w.root.head = len(w.root.blocks) - 1
	w.child.head = len(w.child.blocks) - 1
	r = check(t, a)
	drifts(t, r, nil)
	require.Equal(t, uint64(w.child.head), r.SubnetBlock.Number)
}

func TestASecondSubnetOfTheGatewayIsOwedToo(t *testing.T) {
	w := busy()
	other := addr(90)
	w.root.abis[other] = w.abis["actor"]
	w.rootBlock(func(s *rootBooks, e *emitter) {
		e.emit("gateway", sub.Gateway, "SubnetApproved", sub.Actor)
		e.emit("gateway", sub.Gateway, "SubnetApproved", other)
		s.gatewayFLT += 5
	})
	own := w.root.answer
	w.root.answer = func(s rootBooks, to common.Address, m *abi.Method, args []any) ([]any, error) {
		if m.Name == "getCounters" && to == sub.Gateway && args[0].(struct {
			Root  uint64           `json:"root"`
			Route []common.Address `json:"route"`
		}).Route[0] == other {
			return []any{bindings.IGatewayCounters{PreFunded: big64(6), Locked: new(big.Int), Relocked: new(big.Int), Unlocked: new(big.Int),
				Credited: new(big.Int), CreditsPaid: new(big.Int), Quarantined: new(big.Int), QuarantineReleased: new(big.Int), Covered: new(big.Int)}}, nil
		}
		return own(s, to, m, args)
	}
	r := check(t, auditorOf(t, w))
	drifts(t, r, map[string]string{"I1/FLT": "-1"})
	require.Equal(t, "6", find(t, r, "I1", "FLT").Terms["other_subnets"])
}

func TestASourceOfAnotherChainIsRefused(t *testing.T) {
	w := busy()
	w.root.id = 5
	_, err := New(Source{Sub: sub, Root: w.root, Child: w.child})
	require.ErrorIs(t, err, chains.ErrWrongChain)
	_, err = New(Source{Sub: sub})
	require.Error(t, err)
	_, err = New(Source{Sub: flow.Subnet{}, Root: w.root, Child: w.child})
	require.Error(t, err)
}

func TestAChainThatCannotBeReadIsAnErrorAndNoReport(t *testing.T) {
	w := busy()
	own := w.root.answer
	gone := errors.New("gone")
	w.root.answer = func(s rootBooks, to common.Address, m *abi.Method, args []any) ([]any, error) {
		if m.Name == "fltPaid" {
			return nil, gone
		}
		return own(s, to, m, args)
	}
	_, err := auditorOf(t, w).Check(ctx)
	require.ErrorIs(t, err, gone)
	w.root.answer = own
	stopped, stop := context.WithCancel(ctx)
	stop()
	_, err = auditorOf(t, w).Check(stopped)
	require.ErrorIs(t, err, context.Canceled)
}

// oneWithdrawal is a world where 100 USDC came down, and went up again in a
// message that an accepted checkpoint covers.
func oneWithdrawal() *world {
	w := newWorld(1000)
	w.deposit(100, addr(40))
	w.deliver(1, alwaysGood)
	w.withdraw(sub.USDC, 100, addr(40))
	for w.child.tip().header.Number.Uint64() < modelPeriod {
		w.childBlock(func(*childBooks, *emitter) {})
	}
	w.checkpoint()
	return w
}

// badAt takes the last of so many ways, and the first of all others.
func badAt(bad int) choices {
	return func(ways int) int {
		if ways == bad {
			return ways - 1
		}
		return 0
	}
}

func TestAWithdrawalThatFailsIsClaimedAtEveryStop(t *testing.T) {
	w := oneWithdrawal()
	a := auditorOf(t, w)
	only := func(term string) {
		r := check(t, a)
		drifts(t, r, nil)
		terms := find(t, r, "I1", "USDC").Terms
		for _, name := range []string{"up_in_flight", "quarantined", "returns_in_flight", "held", "returns_failed", "supply"} {
			want := "0"
			if name == term {
				want = "100"
			}
			require.Equal(t, want, terms[name], name)
		}
	}
	only("up_in_flight")
	w.exec(1, badAt(12))
	only("quarantined")
	w.retry(badAt(4)) // its handler fails
	only("returns_in_flight")
	w.deliver(1, alwaysGood)
	only("held")
	w.resend()
	only("up_in_flight")
	for w.child.tip().header.Number.Uint64() < 2*modelPeriod {
		w.childBlock(func(*childBooks, *emitter) {})
	}
	w.checkpoint()
	w.exec(1, badAt(4))
	only("returns_in_flight")
	w.deliver(1, func(ways int) int { return min(ways-1, 8) }) // the outbox refuses it
	only("returns_failed")
}

func TestADepositThatFailsIsClaimedAtEveryStop(t *testing.T) {
	for name, refused := range map[string]bool{"and is refunded": false, "and is not taken back": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1000)
			w.deposit(100, addr(40))
			a := auditorOf(t, w)
			only := func(term string) {
				r := check(t, a)
				drifts(t, r, nil)
				terms := find(t, r, "I1", "USDC").Terms
				for _, name := range []string{"down_in_flight", "refunds_in_flight", "refunds_failed", "refunded"} {
					want := "0"
					if name == term {
						want = "100"
					}
					require.Equal(t, want, terms[name], name)
				}
			}
			only("down_in_flight")
			w.deliver(1, badAt(4))
			only("refunds_in_flight")
			for w.child.tip().header.Number.Uint64() < modelPeriod {
				w.childBlock(func(*childBooks, *emitter) {})
			}
			w.checkpoint()
			if refused {
				w.exec(1, badAt(8))
				only("refunds_failed")
			} else {
				w.exec(1, badAt(3))
				only("refunded")
				w.claims()
				only("refunded")
			}
		})
	}
}

func TestAShortSettlementDoesNotForgetTheShortage(t *testing.T) {
	w := oneWithdrawal()
	a := auditorOf(t, w)
	drifts(t, check(t, a), nil)
	w.rootBlock(func(s *rootBooks, _ *emitter) {
		s.cRefunded, s.cRefundsPaid, s.controllerUSDC = 30, 30, s.controllerUSDC-30
	})
	drifts(t, check(t, a), map[string]string{"I1/USDC": "-30"})
	w.exec(1, alwaysGood)
	r := check(t, a)
	drifts(t, r, map[string]string{"I1/USDC": "-30"})
	require.Equal(t, "30", find(t, r, "I1", "USDC").Terms["settled_short"])
}

func TestCountersThatCancelOutAreFoundByWhatTheyCount(t *testing.T) {
	for name, c := range map[string]struct {
		root  func(*rootBooks)
		child func(*childBooks)
		key   string
		drift string
		found []string
	}{
		"minted, not supplied":      {nil, func(s *childBooks) { s.minted++ }, "I1/USDC", "1", []string{"replica's supply: 561 counted", "minted by deposits"}},
		"minted and burnt":          {nil, func(s *childBooks) { s.minted++; s.burnt++ }, "I1/USDC", "1", []string{"minted by deposits", "burnt by withdrawals"}},
		"locked and refunded":       {func(s *rootBooks) { s.cLocked++; s.cRefunded++; s.cRefundsPaid++ }, nil, "I1/USDC", "1", []string{"deposits: 1001 counted, 1000 found", "refunded: 1 counted, 0 found"}},
		"locked and reserved":       {func(s *rootBooks) { s.cLocked++; s.cReserved++; s.cReservesPaid++ }, nil, "I1/USDC", "1", []string{"deposits: 1001", "reserved: 91 counted, 90 found"}},
		"locked and unlocked":       {func(s *rootBooks) { s.locked++; s.unlocked++ }, nil, "I1/FLT", "1", []string{"value sent down: 701 counted", "value applied up: 81 counted"}},
		"released and returned":     {nil, func(s *childBooks) { s.released++; s.returned++ }, "I1/FLT", "1", []string{"value applied down: 501", "value sent up: 171"}},
		"circulating":               {nil, func(s *childBooks) { s.circulating++ }, "I1/FLT", "1", []string{"circulating supply"}},
		"received and paid, no FLT": {func(s *rootBooks) { s.received++; s.paid++ }, nil, "I1/FLT", "1", []string{"value received by FastWithdrawals: 81 counted, 80 found"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy()
			tamper(w, c.root, c.child)
			r := check(t, auditorOf(t, w))
			drifts(t, r, map[string]string{c.key: c.drift})
			i := find(t, r, "I1", c.key[3:])
			for _, want := range c.found {
				require.Contains(t, i.Detail, want)
			}
		})
	}
}

func TestAResultTheSubnetCannotPlaceIsClaimedAsStranded(t *testing.T) {
	w := newWorld(1000)
	w.withdraw(sub.FLT, 100, addr(40))
	for w.child.tip().header.Number.Uint64() < modelPeriod {
		w.childBlock(func(*childBooks, *emitter) {})
	}
	w.checkpoint()
	w.exec(1, badAt(4))
	w.deliver(1, badAt(10))
	r := check(t, auditorOf(t, w))
	drifts(t, r, nil)
	require.Equal(t, "100", find(t, r, "I1", "FLT").Terms["stranded"])
}

// TestAnAuditorThatRestsReadsInSmallPages, and comes to the same.
func TestAnAuditorThatRestsReadsInSmallPages(t *testing.T) {
	w := newWorld(1 << 40)
	for range 120 {
		w.rootBlock(func(s *rootBooks, e *emitter) {
			for range 20 {
				w.depositIn(s, e, 100, addr(40))
			}
		})
	}
	w.deliver(2_400, alwaysGood)
	for range 300 {
		w.childBlock(func(*childBooks, *emitter) {})
	}
	at := check(t, auditorOf(t, w))
	require.True(t, at.OK, at.String())
	whole := w.root.most
	w.root.most, w.root.reads = 0, 0
	a := auditorOf(t, w, func(s *Source) { s.Rest = 1 })
	require.Equal(t, at, check(t, a))
	require.Less(t, w.root.most, whole/3)
	require.Greater(t, w.root.reads, 3)
	require.Equal(t, at, check(t, a), "nothing is new")

	w.rootBlock(func(s *rootBooks, e *emitter) { w.depositIn(s, e, 100, addr(40)) })
	require.True(t, check(t, a).OK)
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err := auditorOf(t, w, func(s *Source) { s.Rest = 1 }).Check(done)
	require.ErrorIs(t, err, context.Canceled)
}
