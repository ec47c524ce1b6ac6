package flow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// netGate plays a destination where Axelar approves.
type netGate struct {
	gate
	known    map[common.Hash]*axelar.Approved // by leg
	reported map[common.Hash]bool
	searched []flow.Search
	events   []chains.Event
	decided  map[flow.Key]chains.Event
	told     []tokens.Transfer
}

func (g *netGate) deps() flow.NetworkDeps {
	say := func(s *axelar.State) func(context.Context, []axelar.Approved) ([]axelar.State, error) {
		return func(_ context.Context, m []axelar.Approved) ([]axelar.State, error) {
			out := make([]axelar.State, len(m))
			for i := range out {
				out[i] = *s
			}
			return out, nil
		}
	}
	return flow.NetworkDeps{
		Search: func(_ context.Context, q flow.Search) ([]chains.Event, error) {
			g.searched = append(g.searched, q)
			return g.events, nil
		},
		Decide: func(_ context.Context, chain string, key flow.Key, out flow.Outcome, e chains.Event) error {
			if chain != flow.Root || out.Kind != flow.Ok {
				return errors.New("another chain, or no success")
			}
			g.decided[key] = e
			return nil
		},
		Approvals: func(_ context.Context, legs []common.Hash) ([]*axelar.Approved, error) {
			out := make([]*axelar.Approved, len(legs))
			for i, id := range legs {
				out[i] = g.known[id]
			}
			return out, nil
		},
		StatesFinal: say(&g.final), StatesLatest: say(&g.latest),
		ExecuteTx: func(a axelar.Approved, payload []byte) (chains.Tx, error) {
			if crypto.Keccak256Hash(payload) != a.Message.PayloadHash {
				return chains.Tx{}, errors.New("payload is not the message's")
			}
			return chains.Tx{To: a.Message.Contract, Data: a.CommandID[:]}, nil
		},
		Circumstances: func(context.Context, axelar.Approved, *axelar.Transfer) (axelar.Circumstances, uint64, error) {
			return g.c, g.now, nil
		},
		Send: func(_ context.Context, tx chains.Tx) error {
			if g.sendErr == nil {
				g.txs = append(g.txs, tx)
			}
			return g.sendErr
		},
		Report: func(_ context.Context, legs []tokens.Transfer) ([]error, error) {
			g.told = append(g.told, legs...)
			return make([]error, len(legs)), nil
		},
		Reported: func(legs []common.Hash) []bool {
			out := make([]bool, len(legs))
			for i, id := range legs {
				out[i] = g.reported[id]
			}
			return out
		},
	}
}

// networkLeg gives a leg to the root, a transfer of it, and its message as the
// bridge's own hub would make it: of its id Axelar knows nothing.
func networkLeg(t *testing.T, kind axelar.Kind, g *netGate) (tr tokens.Transfer, m axelar.Message, f flow.Flow) {
	t.Helper()
	c := crossing(kind)
	f = flow.NetworkLegIn(sub(), c, g.deps())
	require.NoError(t, f.Check())
	e := sent(t, l1ID, gateOut, itsL1, "filecoin", inward())
	tr, mine, err := f.Decode(e)
	require.NoError(t, err)
	require.True(t, mine)
	called, _, err := c.L1Gateway.Decode(e)
	require.NoError(t, err)
	r, err := c.Hub.Route("Ethereum", axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}, called.(axelar.Called))
	require.NoError(t, err)
	require.Equal(t, r.Message.PayloadHash, tr.Ref)
	return tr, r.Message, f
}

// named is a message under an id of Axelar's own making.
func byAxelar(m axelar.Message, n byte) (axelar.Message, common.Hash) {
	m.ID = axelar.MessageID{Tx: hash(0xaa00 + uint64(n)), Index: 164269022}.String()
	return m, axelar.CommandID(m.SourceChain, m.ID)
}

func TestWhatAxelarApprovesIsKnownByItsContent(t *testing.T) {
	for _, kind := range kinds {
		g := &netGate{}
		tr, m, f := networkLeg(t, kind, g)
		approve := f.Steps[0]
		require.True(t, approve.Shared, "messages of equal content share it")
		require.Nil(t, approve.Do)
		for n := range byte(2) {
			renamed, id := byAxelar(m, n)
			key, out, mine := approve.Effect(approved(kind, rootID, gateIn, id, renamed))
			require.True(t, mine)
			require.Equal(t, flow.Ok, out.Kind)
			require.Equal(t, approve.Key(tr), key, "whatever its id")
		}
		for what, spoil := range map[string]func(*axelar.Message){
			"another payload":    func(m *axelar.Message) { m.PayloadHash[0] ^= 1 },
			"another contract":   func(m *axelar.Message) { m.Contract = addr(0x66) },
			"not from the hub":   func(m *axelar.Message) { m.SourceAddress = "axelar1other" },
			"from another chain": func(m *axelar.Message) { m.SourceChain = "Ethereum" },
		} {
			other, _ := byAxelar(m, 1)
			spoil(&other)
			key, _, mine := approve.Effect(approved(kind, rootID, gateIn, axelar.CommandID(other.SourceChain, other.ID), other))
			require.True(t, !mine || key != approve.Key(tr), what)
		}
		renamed, id := byAxelar(m, 1)
		_, _, mine := approve.Effect(approved(kind, l1ID, gateIn, id, renamed))
		require.False(t, mine, "of another chain")

		// The net under the events keeps what it finds, and decides nothing.
		out, err := approve.Done(t.Context(), []tokens.Transfer{tr})
		require.NoError(t, err)
		require.Equal(t, []flow.Outcome{{}}, out)
		require.Len(t, g.searched, 1)
		require.True(t, g.searched[0].Keep)
		require.Equal(t, 3, g.searched[0].Position)
		require.Equal(t, []common.Hash{m.PayloadHash}, g.searched[0].Values)
	}
}

func TestALegIsExecutedUnderTheIdThatItsApprovalNames(t *testing.T) {
	for _, kind := range kinds {
		g := &netGate{known: map[common.Hash]*axelar.Approved{}, reported: map[common.Hash]bool{}}
		tr, m, f := networkLeg(t, kind, g)
		execute, report := f.Steps[1], f.Steps[2]
		b := flow.Batch{Fence: chains.Fence{Lane: "l"}, Transfers: []tokens.Transfer{tr}}
		done := func(s flow.Step) flow.Kind {
			out, err := s.Done(t.Context(), b.Transfers)
			require.NoError(t, err)
			return out[0].Kind
		}
		do := func() error {
			errs, err := execute.Do(t.Context(), b)
			require.NoError(t, err)
			return errs[0]
		}
		g.final = axelar.StateExecuted
		require.Equal(t, flow.Unknown, done(execute), "nobody knows which approval is its own")
		require.ErrorIs(t, do(), flow.ErrNotYet)

		renamed, id := byAxelar(m, 1)
		g.known[tr.ID] = &axelar.Approved{CommandID: id, Message: renamed}
		g.final = axelar.StateApproved
		require.Equal(t, flow.Pending, done(execute))
		g.latest = axelar.StateNone
		require.ErrorIs(t, do(), flow.ErrNotYet)
		require.Empty(t, g.txs)
		g.latest = axelar.StateApproved
		require.NoError(t, do())
		require.Equal(t, []chains.Tx{{
			To: itsRoot, Data: id[:], Key: "leg_in/execute/" + id.Hex(), Group: "into/root", Members: []common.Hash{tr.ID}, Fence: b.Fence,
		}}, g.txs)
		g.latest = axelar.StateExecuted // by Axelar's own relayers
		require.NoError(t, do())
		require.Len(t, g.txs, 1)
		g.latest = axelar.StateConflict
		reason, park := flow.ReasonOf(do())
		require.True(t, park)
		require.Equal(t, flow.ReasonConflict, reason)
		g.latest, g.sendErr, g.c.State = axelar.StateApproved, &chains.RevertError{Data: crypto.Keccak256([]byte("Pause()"))[:4]}, axelar.StateApproved
		wait, why, later := flow.DueOf(do())
		require.True(t, later)
		require.Equal(t, flow.ReasonPaused, why)
		require.Equal(t, 10*time.Second, wait)
		g.final = axelar.StateExecuted
		require.Equal(t, flow.Ok, done(execute), "even where its event is not found")
		g.decided = map[flow.Key]chains.Event{}
		g.events = []chains.Event{executed(kind, rootID, gateIn, hash(0xbad)), approved(kind, rootID, gateIn, id, renamed)}
		require.Equal(t, flow.Ok, done(execute))
		require.Empty(t, g.decided, "events of something else")
		g.events = append(g.events, executed(kind, rootID, gateIn, id))
		require.Equal(t, flow.Unknown, done(execute))
		require.Equal(t, map[flow.Key]chains.Event{execute.Key(tr): g.events[2]}, g.decided)
		require.Equal(t, []common.Hash{id}, g.searched[len(g.searched)-1].Values)

		require.Equal(t, flow.Pending, done(report))
		_, err := report.Do(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, b.Transfers, g.told)
		g.reported[tr.ID] = true
		require.Equal(t, flow.Ok, done(report))
	}
}

// A journal that names another approval executes nothing, whatever the gateway
// says of it.
func TestAnApprovalOfSomethingElseExecutesNothing(t *testing.T) {
	g := &netGate{known: map[common.Hash]*axelar.Approved{}}
	g.final, g.latest = axelar.StateExecuted, axelar.StateApproved
	tr, m, f := networkLeg(t, axelar.Amplifier, g)
	for _, spoil := range []func(*axelar.Message){
		func(m *axelar.Message) { m.PayloadHash[0] ^= 1 },
		func(m *axelar.Message) { m.Contract = addr(0x66) },
	} {
		other, id := byAxelar(m, 1)
		spoil(&other)
		g.known[tr.ID] = &axelar.Approved{CommandID: id, Message: other}
		_, err := f.Steps[1].Done(t.Context(), []tokens.Transfer{tr})
		require.ErrorContains(t, err, "the approval in its journal")
		_, err = f.Steps[1].Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
		require.ErrorContains(t, err, "the approval in its journal")
	}
	require.Empty(t, g.txs)
}

func TestWithoutTheServiceNobodyIsTold(t *testing.T) {
	d := (&netGate{}).deps()
	d.Report, d.Reported = nil, nil
	f := flow.NetworkLegOut(sub(), crossing(axelar.Legacy), d)
	require.NoError(t, f.Check())
	out, err := f.Steps[2].Done(t.Context(), make([]tokens.Transfer, 2))
	require.NoError(t, err)
	require.Equal(t, []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Ok}}, out)
}

func TestOursIsWhatOurContractsSend(t *testing.T) {
	c := crossing(axelar.Amplifier)
	payload := func(from string, inner axelar.Transfer) []byte {
		in, err := axelar.EncodePayload(inner)
		require.NoError(t, err)
		p, err := axelar.EncodePayload(axelar.ReceiveFromHub{Chain: from, Inner: in})
		require.NoError(t, err)
		return p
	}
	message := func(p []byte, contract common.Address) axelar.Message {
		m, _ := byAxelar(axelar.Message{SourceChain: axelar.HubChain, SourceAddress: "axelar1hub", Contract: contract, PayloadHash: crypto.Keccak256Hash(p)}, 1)
		return m
	}
	in, out := flow.MineOf(sub(), c, true), flow.MineOf(sub(), c, false)
	good := payload("Ethereum", inward())
	require.True(t, in(message(good, itsRoot), good))
	require.False(t, out(message(good, itsRoot), good), "the other way")
	back := payload("filecoin", outward())
	require.True(t, out(message(back, itsL1), back))

	foreign, another := inward(), inward()
	foreign.Source, another.TokenID = addr(0x77).Bytes(), hash(0x71)
	for what, p := range map[string][]byte{
		"another sender": payload("Ethereum", foreign), "another token": payload("Ethereum", another), "from another chain": payload("Moon", inward()),
		"no payload": {1, 2, 3}, "nothing": nil,
	} {
		require.False(t, in(message(p, itsRoot), p), what)
	}
	require.False(t, in(message(good, itsRoot), back), "the payload of another message")
	require.False(t, in(message(good, addr(0x66)), good), "for another contract")
	other := message(good, itsRoot)
	other.SourceAddress = "axelar1other"
	require.False(t, in(other, good), "not from the hub")

	// What our contracts call without the hub, however its sender is written.
	call := axelar.EncodeGmpCall(theCall(1))
	direct := axelar.Message{SourceChain: "Ethereum", ID: other.ID, SourceAddress: gmpPort.Hex(), Contract: gmpRouter, PayloadHash: crypto.Keccak256Hash(call)}
	require.True(t, in(direct, call))
	require.False(t, out(direct, call), "the other way")
	low := direct
	low.SourceAddress = strings.ToLower(low.SourceAddress)
	require.True(t, in(low, call))
	for what, spoil := range map[string]func(*axelar.Message){
		"another sender":     func(m *axelar.Message) { m.SourceAddress = addr(0x77).Hex() },
		"from another chain": func(m *axelar.Message) { m.SourceChain = "Moon" },
		"another contract":   func(m *axelar.Message) { m.Contract = itsRoot },
		"another payload":    func(m *axelar.Message) { m.PayloadHash[0] ^= 1 },
	} {
		m := direct
		spoil(&m)
		require.False(t, in(m, call), what)
	}
	c.Gmp = flow.Gmp{}
	direct.SourceAddress, direct.Contract = common.Address{}.Hex(), common.Address{}
	require.False(t, flow.MineOf(sub(), c, true)(direct, call), "where nobody calls")
}

// A call between contracts is executed by the contract it is for, under the id that
// its approval names.
func TestACallIsExecutedUnderTheIdThatItsApprovalNames(t *testing.T) {
	for _, kind := range kinds {
		g := &netGate{known: map[common.Hash]*axelar.Approved{}}
		g.latest = axelar.StateApproved
		f := flow.NetworkLegIn(sub(), crossing(kind), g.deps())
		payload := axelar.EncodeGmpCall(theCall(1))
		tr, mine, err := f.Decode(called(l1ID, gateOut, gmpPort, "filecoin", gmpRouter.Hex(), payload))
		require.NoError(t, err)
		require.True(t, mine)
		m, id := byAxelar(axelar.Message{SourceChain: "Ethereum", SourceAddress: gmpPort.Hex(), Contract: gmpRouter, PayloadHash: crypto.Keccak256Hash(payload)}, 1)
		key, _, mine := f.Steps[0].Effect(approved(kind, rootID, gateIn, id, m))
		require.True(t, mine)
		require.Equal(t, f.Steps[0].Key(tr), key)
		g.known[tr.ID] = &axelar.Approved{CommandID: id, Message: m}
		errs, err := f.Steps[1].Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
		require.NoError(t, err)
		require.NoError(t, errs[0])
		require.Equal(t, gmpRouter, g.txs[0].To)
		require.Equal(t, id[:], g.txs[0].Data)
	}
}

// The call that FltHandler's event follows is a leg of its own: what that was
// approved as is what is looked for on Ethereum.
func TestAWithdrawalIsUnlockedByTheExecutionOfItsLeg(t *testing.T) {
	for _, kind := range kinds {
		c := crossing(kind)
		a := &across{decided: map[flow.Key]flow.Kind{}}
		d := a.deps()
		leg := flow.LegOutID(sub(), c, axelar.MessageID{Tx: hash(0x0a), Index: 6})
		var known *axelar.Approved
		d.Approvals = func(_ context.Context, legs []common.Hash) ([]*axelar.Approved, error) {
			require.Equal(t, []common.Hash{leg}, legs)
			return []*axelar.Approved{known}, nil
		}
		f := flow.FLTL1Withdraw(sub(), c, d)
		tr, mine, err := f.Decode(toL1(outgoing(3)))
		require.NoError(t, err)
		require.True(t, mine)
		unlock := named(t, f, "unlock")
		id := hash(0xc0de)
		a.events = []chains.Event{onRoot("SentOn", tr.Ref), executed(kind, l1ID, gateOut, id)}
		look := func() flow.Kind {
			_, err := unlock.Done(t.Context(), []tokens.Transfer{tr})
			require.NoError(t, err)
			return a.decided[unlock.Key(tr)]
		}
		require.Equal(t, flow.Unknown, look(), "not approved")
		known = &axelar.Approved{CommandID: id, Message: axelar.Message{PayloadHash: hash(0x0c)}}
		require.Equal(t, flow.Unknown, look(), "another payload")
		known.Message.PayloadHash = hash(0x0b)
		require.Equal(t, flow.Ok, look())
	}
}

func TestALegIsTheSameTransferWhoeverApproves(t *testing.T) {
	c := crossing(axelar.Legacy)
	e := sent(t, rootID, gateIn, itsRoot, "Ethereum", outward())
	own, _, err := flow.LegOut(sub(), c, flow.LegDeps{}).Decode(e)
	require.NoError(t, err)
	awaited, _, err := flow.NetworkLegOut(sub(), c, (&netGate{}).deps()).Decode(e)
	require.NoError(t, err)
	require.Equal(t, own.ID, awaited.ID)
	require.Equal(t, own.ID, flow.LegOutID(sub(), c, axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}))
}
