package flow_test

import (
	"bytes"
	"context"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

var (
	gmpPortABI   = parse(&bindings.GmpPortMetaData)
	gmpRouterABI = parse(&bindings.GmpRouterMetaData)
	gmpFarABI    = parse(&bindings.GmpSubnetPortMetaData)

	gmpPort, gmpRouter, gmpFar = addr(0x34), addr(0x35), addr(0x36)
)

func theCall(nonce uint64) axelar.GmpCall {
	return axelar.GmpCall{Nonce: nonce, Sender: addr(0x41), Target: addr(0x42), Gas: 300_000, Data: []byte("what to do, in more than one word of thirty-two bytes")}
}

func downRoute() axelar.GmpRoute {
	return axelar.GmpRoute{From: l1ID, FromPort: gmpPort, To: subID, ToPort: gmpFar}
}

func upRoute() axelar.GmpRoute {
	return axelar.GmpRoute{From: subID, FromPort: gmpFar, To: l1ID, ToPort: gmpPort}
}

func callDown(c axelar.GmpCall) chains.Event {
	return emit(gmpPortABI, "CallSent", l1ID, gmpPort, axelar.GmpCallID(downRoute(), c), c.Sender, c.Target, c.Nonce, c.Gas, c.Data, big.NewInt(5))
}

func callUp(c axelar.GmpCall) chains.Event {
	return emit(gmpFarABI, "CallSent", subID, gmpFar, axelar.GmpCallID(upRoute(), c), c.Sender, c.Target, c.Nonce, c.Gas, c.Data, uint64(12))
}

var legs = map[string]axelar.GmpLeg{
	"call down": axelar.GmpCallDown, "call up": axelar.GmpCallUp, "result down": axelar.GmpResultDown, "result up": axelar.GmpResultUp,
}

// handedOn and keptOnRoot are what the router says of a leg of an id.
func handedOn(leg axelar.GmpLeg, id common.Hash) chains.Event {
	if leg == axelar.GmpCallUp || leg == axelar.GmpResultUp {
		return emit(gmpRouterABI, "SentUp", rootID, gmpRouter, id, big.NewInt(int64(leg)))
	}
	return emit(gmpRouterABI, "SentDown", rootID, gmpRouter, id, hash(0xfeed), uint64(17), uint8(leg))
}

func keptOnRoot(leg axelar.GmpLeg, id common.Hash, message []byte) chains.Event {
	return emit(gmpRouterABI, "Kept", rootID, gmpRouter, id, big.NewInt(int64(leg)), message, []byte("why"))
}

func executedAt(l1 bool, id common.Hash, ok bool) chains.Event {
	if l1 {
		return emit(gmpPortABI, "CallExecuted", l1ID, gmpPort, id, addr(0x41), addr(0x42), ok, []byte("ret"))
	}
	return emit(gmpFarABI, "CallExecuted", subID, gmpFar, id, addr(0x41), addr(0x42), ok, []byte("ret"))
}

func toldAt(l1 bool, id common.Hash, ok bool) chains.Event {
	if l1 {
		return emit(gmpPortABI, "ResultReceived", l1ID, gmpPort, id, addr(0x41), ok, false, []byte("ret"))
	}
	return emit(gmpFarABI, "ResultReceived", subID, gmpFar, id, addr(0x41), ok, true, []byte("ret"))
}

// everySaying is all that the three contracts may say of an id, by what it is.
func everySaying(id common.Hash) map[string]chains.Event {
	out := map[string]chains.Event{}
	for name, leg := range legs {
		out[name], out[name+" kept"] = handedOn(leg, id), keptOnRoot(leg, id, []byte{1})
	}
	for where, l1 := range map[string]bool{"on Ethereum": true, "in the subnet": false} {
		out["executed "+where], out["failed "+where] = executedAt(l1, id, true), executedAt(l1, id, false)
		out["told "+where], out["told of a failure "+where] = toldAt(l1, id, true), toldAt(l1, id, false)
	}
	return out
}

// switchboard plays the chains for calls.
type switchboard struct {
	events  []chains.Event
	entry   axelar.GmpEntry
	now     uint64
	sendErr error
	txs     []chains.Tx
	decided map[flow.Key]flow.Outcome
	asked   []flow.Search
}

func (s *switchboard) deps() flow.GmpDeps {
	s.decided = map[flow.Key]flow.Outcome{}
	names := map[chains.ID]string{l1ID: flow.Ethereum, rootID: flow.Root, subID: "subnet"}
	return flow.GmpDeps{
		Search: func(_ context.Context, q flow.Search) (out []chains.Event, _ error) {
			s.asked = append(s.asked, q)
			for _, e := range s.events {
				if names[e.Chain] == q.Chain && e.Address == q.Contract && among(q.Topics, e.Topics[0]) && among(q.Values, e.Topics[q.Position]) {
					out = append(out, e)
				}
			}
			return out, nil
		},
		Entries: func(_ context.Context, ids []common.Hash) ([]axelar.GmpEntry, error) {
			out := make([]axelar.GmpEntry, len(ids))
			for i := range out {
				out[i] = s.entry
			}
			return out, nil
		},
		Decide: func(_ context.Context, chain string, key flow.Key, out flow.Outcome, e chains.Event) error {
			if names[e.Chain] != chain {
				return errors.New("decided by an event of another chain")
			}
			s.decided[key] = out
			return nil
		},
		Now: func(context.Context) (uint64, error) { return s.now, nil },
		SendRoot: func(_ context.Context, tx chains.Tx) error {
			if s.sendErr == nil {
				s.txs = append(s.txs, tx)
			}
			return s.sendErr
		},
	}
}

// calls are both directions, each with the event that begins it.
func calls(s *switchboard) map[string]struct {
	f     flow.Flow
	begin chains.Event
} {
	type way = struct {
		f     flow.Flow
		begin chains.Event
	}
	c := crossing(axelar.Legacy)
	return map[string]way{
		"gmp_call_in":  {flow.GmpCallIn(sub(), c, s.deps()), callDown(theCall(3))},
		"gmp_call_out": {flow.GmpCallOut(sub(), c, s.deps()), callUp(theCall(3))},
	}
}

func TestACallBeginsWhereItIsMadeAndIsWhatItsIdSays(t *testing.T) {
	for name, w := range calls(&switchboard{}) {
		require.NoError(t, w.f.Check())
		tr, mine, err := w.f.Decode(w.begin)
		require.NoError(t, err)
		require.True(t, mine, name)
		require.False(t, tr.Hidden)
		require.Equal(t, name, tr.Route)
		require.Equal(t, w.begin.Topics[1], tr.Ref)
		require.Equal(t, addr(0x41), tr.Sender)
		require.Equal(t, addr(0x42), tr.Recipient)
		require.True(t, tr.Amount.IsZero(), "a call moves no money")
		require.Equal(t, axelar.EncodeGmpCall(theCall(3)), tr.Payload)

		for i := range w.begin.Topics[1:] {
			_, _, err = w.f.Decode(with(w.begin, func(e *chains.Event) { e.Topics[1+i][31] ^= 1 }))
			require.ErrorContains(t, err, "hashes to", "%s: topic %d", name, 1+i)
		}
		for what, at := range map[string]int{"nonce": 31, "gas": 63, "data": 5 * 32} {
			_, _, err = w.f.Decode(with(w.begin, func(e *chains.Event) { e.Data[at] ^= 1 }))
			require.ErrorContains(t, err, "hashes to", "%s: %s", name, what)
		}
		for what, at := range map[string]int{"nonce above 64 bits": 0, "gas above 64 bits": 32, "offset beyond": 64, "length beyond": 4 * 32} {
			_, _, err = w.f.Decode(with(w.begin, func(e *chains.Event) { e.Data[at] = 1 }))
			require.ErrorContains(t, err, "not as a port writes it", "%s: %s", name, what)
		}
		for other, v := range calls(&switchboard{}) {
			_, mine, err = w.f.Decode(v.begin)
			require.NoError(t, err)
			require.Equal(t, name == other, mine)
		}
		for _, change := range []func(*chains.Event){
			func(e *chains.Event) { e.Address = addr(0x66) },
			func(e *chains.Event) { e.Chain = rootID },
			func(e *chains.Event) { e.Data = e.Data[:4*32] },
			func(e *chains.Event) { e.Topics = e.Topics[:3] },
		} {
			_, mine, err = w.f.Decode(with(w.begin, change))
			require.NoError(t, err)
			require.False(t, mine)
		}
	}
}

func TestACallGoesTheWayItsEventsSay(t *testing.T) {
	ok, failed, kept, givenUp := flow.Outcome{Kind: flow.Ok}, flow.Outcome{Kind: flow.Failed, Reason: flow.ReasonCallFailed},
		flow.Outcome{Kind: flow.Failed, Reason: flow.ReasonKept}, flow.Outcome{Kind: flow.Failed, Reason: flow.ReasonGivenUp}
	keptGivenUp := flow.Outcome{Kind: flow.Superseded, Reason: flow.ReasonGivenUp}
	for name, says := range map[string]map[string]map[string]flow.Outcome{
		"gmp_call_in": {
			"hand_on":      {"call down": ok, "call down kept": kept},
			"retry":        {"call down": ok, "result up": givenUp, "result up kept": keptGivenUp},
			"execute":      {"executed in the subnet": ok, "failed in the subnet": failed},
			"answer":       {"result up": ok, "result up kept": kept},
			"retry_answer": {"result up": ok},
			"tell":         {"told on Ethereum": ok, "told of a failure on Ethereum": failed},
		},
		"gmp_call_out": {
			"hand_on":      {"call up": ok, "call up kept": kept},
			"retry":        {"call up": ok, "result down": givenUp, "result down kept": keptGivenUp},
			"execute":      {"executed on Ethereum": ok, "failed on Ethereum": failed},
			"answer":       {"result down": ok, "result down kept": kept},
			"retry_answer": {"result down": ok},
			"tell":         {"told in the subnet": ok, "told of a failure in the subnet": failed},
		},
	} {
		w := calls(&switchboard{})[name]
		tr, _, err := w.f.Decode(w.begin)
		require.NoError(t, err)
		require.Len(t, w.f.Steps, len(says))
		for _, step := range w.f.Steps {
			for what, e := range everySaying(tr.Ref) {
				key, out, mine := step.Effect(e)
				want, decides := says[step.Name][what]
				require.Equal(t, decides, mine, "%s: %s by %q", name, step.Name, what)
				if !mine {
					continue
				}
				require.Equal(t, step.Key(tr), key)
				require.Equal(t, want, out, "%s: %s by %q", name, step.Name, what)
				require.NotEmpty(t, step.Next[out.Kind], "%s: %s by %q goes nowhere", name, step.Name, what)
				key, _, _ = step.Effect(with(e, func(e *chains.Event) { e.Topics[1] = hash(1) }))
				require.NotEqual(t, step.Key(tr), key, "of another call")
				for _, change := range []func(*chains.Event){
					func(e *chains.Event) { e.Address = addr(0x66) },
					func(e *chains.Event) { e.Chain++ },
				} {
					_, _, mine = step.Effect(with(e, change))
					require.False(t, mine, "%s: %s by %q of another contract", name, step.Name, what)
				}
			}
			// A leg that is none is not taken for the first.
			_, _, mine := step.Effect(with(handedOn(axelar.GmpCallDown, tr.Ref), func(e *chains.Event) { e.Data[30] = 1 }))
			require.False(t, mine)
		}
	}
}

func one(t *testing.T, s flow.Step, tr tokens.Transfer) flow.Outcome {
	t.Helper()
	out, err := s.Done(t.Context(), []tokens.Transfer{tr})
	require.NoError(t, err)
	require.Len(t, out, 1)
	return out[0]
}

func TestWhatTheWatchersMissedOfACallIsFound(t *testing.T) {
	for name, w := range map[string]struct {
		step string
		by   func(common.Hash) chains.Event
		want flow.Kind
	}{
		"gmp_call_in":  {"hand_on", func(id common.Hash) chains.Event { return handedOn(axelar.GmpCallDown, id) }, flow.Ok},
		"gmp_call_out": {"answer", func(id common.Hash) chains.Event { return keptOnRoot(axelar.GmpResultDown, id, nil) }, flow.Failed},
	} {
		s := &switchboard{}
		c := calls(s)[name]
		tr, _, err := c.f.Decode(c.begin)
		require.NoError(t, err)
		step := named(t, c.f, w.step)
		require.Equal(t, flow.Unknown, one(t, step, tr).Kind)
		s.events = []chains.Event{w.by(hash(1)), w.by(tr.Ref)}
		require.Equal(t, w.want, one(t, step, tr).Kind)
		require.Equal(t, tr.At, s.asked[0].Since)
	}
	s := &switchboard{}
	in, out := calls(s)["gmp_call_in"], calls(s)["gmp_call_out"]
	a, _, _ := in.f.Decode(in.begin)
	b, _, _ := out.f.Decode(out.begin)
	s.events = []chains.Event{executedAt(false, a.Ref, false), executedAt(true, b.Ref, true), toldAt(true, a.Ref, true), toldAt(false, b.Ref, false)}
	require.Equal(t, flow.Failed, one(t, named(t, in.f, "execute"), a).Kind)
	require.Equal(t, flow.Ok, one(t, named(t, out.f, "execute"), b).Kind)
	require.Equal(t, flow.Ok, one(t, named(t, in.f, "tell"), a).Kind)
	require.Equal(t, flow.Failed, one(t, named(t, out.f, "tell"), b).Kind)
}

// A message that fails in the subnet before its port says anything is known by the
// nonce that the router's event names.
func TestACallWhoseMessageFailsInTheSubnetIsNotWaitedForForEver(t *testing.T) {
	applied := func(nonce uint64, id common.Hash, outcome uint8) chains.Event {
		return emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), nonce, id, outcome, uint8(0), []byte{})
	}
	for name, c := range map[string]struct {
		step string
		leg  axelar.GmpLeg
		want flow.Outcome
	}{
		"gmp_call_in":  {"execute", axelar.GmpCallDown, flow.Outcome{Kind: flow.Failed, Reason: flow.ReasonCallFailed}},
		"gmp_call_out": {"tell", axelar.GmpResultDown, flow.Outcome{Kind: flow.Superseded, Reason: flow.ReasonRejected}},
	} {
		s := &switchboard{}
		w := calls(s)[name]
		tr, _, err := w.f.Decode(w.begin)
		require.NoError(t, err)
		step := named(t, w.f, c.step)
		for _, nothing := range [][]chains.Event{
			nil,
			{applied(17, hash(0xfeed), 1)}, // not sent by the router
			{handedOn(c.leg, tr.Ref)},
			{handedOn(c.leg, tr.Ref), applied(17, hash(0xfeed), 0)}, // went well: the port will tell
			{handedOn(c.leg, tr.Ref), applied(17, hash(0xbad), 1)},  // another message under the nonce
			{handedOn(c.leg, hash(1)), applied(17, hash(0xfeed), 1)},
			{handedOn(c.leg^axelar.GmpResultDown, tr.Ref), applied(17, hash(0xfeed), 1)}, // another leg of it
		} {
			s.events = nothing
			require.Equal(t, flow.Unknown, one(t, step, tr).Kind)
			require.Empty(t, s.decided)
		}
		s.events = []chains.Event{handedOn(c.leg, tr.Ref), applied(17, hash(0xfeed), 1)}
		require.Equal(t, flow.Unknown, one(t, step, tr).Kind)
		require.Equal(t, map[flow.Key]flow.Outcome{step.Key(tr): c.want}, s.decided)
		require.NotEmpty(t, step.Next[c.want.Kind])
	}
	tell := named(t, calls(&switchboard{})["gmp_call_out"].f, "tell")
	require.Equal(t, string(tokens.Parked), tell.Next[flow.Superseded], "a result has no second delivery")
}

func TestACallThatTheRouterRefusesIsToldToItsSenderAndDone(t *testing.T) {
	s := &switchboard{}
	w := calls(s)["gmp_call_out"]
	tr, _, err := w.f.Decode(w.begin)
	require.NoError(t, err)
	s.events = []chains.Event{toldAt(false, hash(1), false), toldAt(false, tr.Ref, false)}
	require.Equal(t, flow.Unknown, one(t, named(t, w.f, "hand_on"), tr).Kind)
	tell := named(t, w.f, "tell")
	require.Equal(t, flow.ReasonCallFailed, s.decided[tell.Key(tr)].Reason)
	require.Equal(t, string(tokens.Done), tell.Next[flow.Failed])
}

func TestWhatTheRouterKeepsIsTriedAgainThenGivenUp(t *testing.T) {
	for name, leg := range map[string]axelar.GmpLeg{"gmp_call_in": axelar.GmpCallDown, "gmp_call_out": axelar.GmpCallUp} {
		s := &switchboard{}
		w := calls(s)[name]
		tr, _, err := w.f.Decode(w.begin)
		require.NoError(t, err)
		b := flow.Batch{Fence: chains.Fence{Lane: "l"}, Transfers: []tokens.Transfer{tr}}
		retry := named(t, w.f, "retry")
		do := func() error {
			errs, err := retry.Do(t.Context(), b)
			require.NoError(t, err)
			return errs[0]
		}
		s.entry = axelar.GmpEntry{Leg: leg, Stage: axelar.GmpKept, Since: 1000, Hash: crypto.Keccak256Hash(tr.Payload)}
		s.now = 1000 + 3599
		require.Equal(t, flow.Pending, one(t, retry, tr).Kind)
		require.NoError(t, do())
		require.Equal(t, axelar.RetryGmpCalldata(tr.Ref, tr.Payload), s.txs[0].Data)
		require.Equal(t, gmpRouter, s.txs[0].To)
		require.Equal(t, []common.Hash{tr.ID}, s.txs[0].Members)
		s.now++
		require.NoError(t, do())
		require.Equal(t, axelar.GiveUpGmpCalldata(tr.Ref, tr.Payload), s.txs[1].Data)
		require.NotEqual(t, s.txs[0].Key, s.txs[1].Key, "other content")

		// What is kept no longer, or on another leg, is not sent.
		for _, e := range []axelar.GmpEntry{
			{Leg: leg, Stage: axelar.GmpSent}, {Leg: axelar.GmpResultUp, Stage: axelar.GmpKept, Hash: s.entry.Hash}, {},
		} {
			s.entry = e
			require.NotEqual(t, flow.Pending, one(t, retry, tr).Kind)
			require.ErrorIs(t, do(), flow.ErrNotYet)
		}
		require.Len(t, s.txs, 2)
	}
}

func TestAKeptResultIsSentAsTheRouterHasIt(t *testing.T) {
	for name, leg := range map[string]axelar.GmpLeg{"gmp_call_in": axelar.GmpResultUp, "gmp_call_out": axelar.GmpResultDown} {
		s := &switchboard{}
		w := calls(s)[name]
		tr, _, err := w.f.Decode(w.begin)
		require.NoError(t, err)
		step := named(t, w.f, "retry_answer")
		do := func() error {
			errs, err := step.Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
			require.NoError(t, err)
			return errs[0]
		}
		message := axelar.EncodeGmpResult(axelar.GmpResult{ID: tr.Ref, OK: true, Return: []byte("ret")})
		s.entry = axelar.GmpEntry{Leg: leg, Stage: axelar.GmpKept, Since: 1, Hash: crypto.Keccak256Hash(message)}
		s.now = 1 << 40 // results are never given up
		require.Equal(t, flow.Pending, one(t, step, tr).Kind)
		require.ErrorIs(t, do(), flow.ErrNotYet, "its event is not read")
		s.events = []chains.Event{
			keptOnRoot(leg, tr.Ref, append(bytes.Clone(message), 1)), // kept before, and something else
			keptOnRoot(leg, hash(1), message),
		}
		require.ErrorIs(t, do(), flow.ErrNotYet)
		require.Empty(t, s.txs)
		s.events = append(s.events, keptOnRoot(leg, tr.Ref, message))
		require.NoError(t, do())
		require.Equal(t, axelar.RetryGmpCalldata(tr.Ref, message), s.txs[0].Data)
	}
}

func TestARefusedRetryMeansWhatItSays(t *testing.T) {
	selector := func(sig string) []byte { return append(crypto.Keccak256([]byte(sig))[:4], make([]byte, 32)...) }
	for name, c := range map[string]struct {
		data   []byte
		notYet bool
		reason flow.Reason
		wait   time.Duration
	}{
		"somebody was first":      {selector("NotKept(bytes32)"), true, "", 0},
		"too early to give up":    {selector("TooEarly(uint256)"), true, "", 0},
		"the gateway is paused":   {crypto.Keccak256([]byte("Pause()"))[:4], false, flow.ReasonPaused, 10 * time.Second},
		"the subnet is silent":    {selector("SubnetSilent()"), false, flow.ReasonKept, 30 * time.Second},
		"nobody knows what it is": {nil, false, flow.ReasonKept, 30 * time.Second},
	} {
		s := &switchboard{sendErr: &chains.RevertError{Data: c.data}}
		w := calls(s)["gmp_call_in"]
		tr, _, err := w.f.Decode(w.begin)
		require.NoError(t, err)
		s.entry = axelar.GmpEntry{Leg: axelar.GmpCallDown, Stage: axelar.GmpKept, Hash: crypto.Keccak256Hash(tr.Payload)}
		errs, err := named(t, w.f, "retry").Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
		require.NoError(t, err)
		if c.notYet {
			require.ErrorIs(t, errs[0], flow.ErrNotYet, name)
			continue
		}
		wait, reason, ok := flow.DueOf(errs[0])
		require.True(t, ok, name)
		require.Equal(t, c.reason, reason, name)
		require.Equal(t, c.wait, wait, name)
	}
	down := errors.New("no endpoint")
	s := &switchboard{sendErr: down}
	w := calls(s)["gmp_call_in"]
	tr, _, err := w.f.Decode(w.begin)
	require.NoError(t, err)
	s.entry = axelar.GmpEntry{Leg: axelar.GmpCallDown, Stage: axelar.GmpKept, Hash: crypto.Keccak256Hash(tr.Payload)}
	errs, err := named(t, w.f, "retry").Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
	require.NoError(t, err)
	require.Equal(t, down, errs[0])
}

func TestALegCarriesWhatOurContractsCallOfEachOtherAndNothingElse(t *testing.T) {
	message := axelar.EncodeGmpCall(theCall(3))
	for _, kind := range kinds {
		c := crossing(kind)
		bare := c
		bare.Gmp = flow.Gmp{}
		for _, w := range []struct {
			make          func(flow.Subnet, flow.Crossing, flow.LegDeps) flow.Flow
			chain         chains.ID
			gateway       common.Address
			from, to      string
			caller, taker common.Address
			there         axelar.Gateway
			thereID       chains.ID
		}{
			{flow.LegIn, l1ID, gateOut, "Ethereum", "filecoin", gmpPort, gmpRouter, c.RootGateway, rootID},
			{flow.LegOut, rootID, gateIn, "filecoin", "Ethereum", gmpRouter, gmpPort, c.L1Gateway, l1ID},
		} {
			g := &gate{signed: true, latest: axelar.StateNone}
			f := w.make(sub(), c, g.deps())
			good := called(w.chain, w.gateway, w.caller, w.to, w.taker.Hex(), message)
			tr, mine, err := f.Decode(good)
			require.NoError(t, err)
			require.True(t, mine)
			require.True(t, tr.Hidden)
			require.Equal(t, message, tr.Payload)
			want := axelar.Message{
				SourceChain: w.from, ID: axelar.MessageID{Tx: good.Tx, Index: 4}.String(), SourceAddress: w.caller.Hex(),
				Contract: w.taker, PayloadHash: crypto.Keccak256Hash(message),
			}
			require.Equal(t, w.there.CommandID(want), tr.Ref)

			for name, e := range map[string]chains.Event{
				"of a stranger":     called(w.chain, w.gateway, addr(0x66), w.to, w.taker.Hex(), message),
				"of the taker":      called(w.chain, w.gateway, w.taker, w.to, w.taker.Hex(), message),
				"for a stranger":    called(w.chain, w.gateway, w.caller, w.to, addr(0x66).Hex(), message),
				"for another chain": called(w.chain, w.gateway, w.caller, "Moon", w.taker.Hex(), message),
				"for its own chain": called(w.chain, w.gateway, w.caller, w.from, w.taker.Hex(), message),
				"for the hub":       called(w.chain, w.gateway, w.caller, axelar.HubChain, "axelar1hub", message),
				"of the service":    called(w.chain, w.gateway, c.Hub.Services[w.from], w.to, w.taker.Hex(), message),
			} {
				_, mine, err := f.Decode(e)
				require.NoError(t, err, name)
				require.False(t, mine, name)
			}
			_, mine, err = w.make(sub(), bare, g.deps()).Decode(good)
			require.NoError(t, err)
			require.False(t, mine, "where there are no calls")

			// It is approved and executed as it was called.
			b := flow.Batch{Transfers: []tokens.Transfer{tr}}
			errs, err := f.Steps[0].Do(t.Context(), b)
			require.NoError(t, err)
			require.NoError(t, errs[0])
			require.Equal(t, []flow.Wanted{{From: w.from, ID: axelar.MessageID{Tx: good.Tx, Index: 4}, Message: want}}, g.wanted)
			key, _, mine := f.Steps[0].Effect(approved(kind, w.thereID, w.there.Address(), tr.Ref, want))
			require.True(t, mine)
			require.Equal(t, f.Steps[0].Key(tr), key)
			g.latest = axelar.StateApproved
			errs, err = f.Steps[1].Do(t.Context(), b)
			require.NoError(t, err)
			require.NoError(t, errs[0])
			require.Equal(t, w.taker, g.txs[1].To)

			// A failed execution is about no token.
			d := g.deps()
			asked := false
			d.Circumstances = func(_ context.Context, m axelar.Message, inner *axelar.Transfer) (axelar.Circumstances, uint64, error) {
				asked = true
				require.Equal(t, want, m)
				require.Nil(t, inner)
				return axelar.Circumstances{State: axelar.StateApproved}, 0, nil
			}
			g.sendErr = &chains.RevertError{Data: append(crypto.Keccak256([]byte("NotEnoughGas(uint256)"))[:4], make([]byte, 32)...)}
			errs, err = w.make(sub(), c, d).Steps[1].Do(t.Context(), b)
			require.NoError(t, err)
			require.ErrorIs(t, errs[0], chains.ErrReverted)
			_, parked := flow.ReasonOf(errs[0])
			require.False(t, parked)
			require.True(t, asked)
		}
	}
}

func FuzzNoEventMakesACallPanic(f *testing.F) {
	for _, e := range everySaying(hash(5)) {
		f.Add(uint64(e.Chain), e.Address.Bytes(), flat(e.Topics), e.Data)
	}
	all := calls(&switchboard{})
	for _, w := range all {
		f.Add(uint64(w.begin.Chain), w.begin.Address.Bytes(), flat(w.begin.Topics), w.begin.Data)
	}
	f.Fuzz(func(t *testing.T, chain uint64, contract, topics, data []byte) {
		e := chains.Event{Chain: chains.ID(chain), Address: common.BytesToAddress(contract), Data: data, Block: 20}
		for len(topics) >= 32 {
			e.Topics, topics = append(e.Topics, common.BytesToHash(topics[:32])), topics[32:]
		}
		for _, w := range all {
			if x, mine, err := w.f.Decode(e); mine {
				require.NoError(t, err)
				c, err := axelar.DecodeGmpCall(x.Payload)
				require.NoError(t, err)
				require.Equal(t, x.Nonce, c.Nonce)
			}
			for _, s := range w.f.Steps {
				if key, out, mine := s.Effect(e); mine {
					require.NotEmpty(t, key)
					require.GreaterOrEqual(t, out.Kind, flow.Ok)
				}
			}
		}
	})
}
