package axelar

import (
	"context"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const legacyChain = chains.ID(314)

// both is a gateway of each generation with its model.
type both struct {
	gateway  Gateway
	world    world
	transact func([]byte) string
	execute  func(Message)
}

func pair(t testing.TB, first team) map[string]both {
	at, auth := common.Address{1}, common.Address{2}
	am := newAmplifierModel(at, 1, first.set)
	plain := first.set
	plain.Nonce = common.Hash{}
	lm := newLegacyModel(legacyChain, at, auth, plain)
	gateway, module := lm.contracts()
	out := map[string]both{
		"amplifier": {world: world{at: am.contract()}, transact: am.transact,
			execute: func(m Message) { am.execute(keccak([]byte(m.SourceChain + "_" + m.ID))) }},
		"legacy": {world: world{at: gateway, auth: module}, transact: lm.transact,
			execute: func(m Message) { lm.consume(LegacyCommandID(m.ID, legacyChain), m) }},
	}
	for kind, b := range out {
		g, err := Probe(context.Background(), b.world, legacyChain, at)
		require.NoError(t, err)
		require.Equal(t, kind, g.Kind().String())
		require.Equal(t, at, g.Address())
		b.gateway = g
		out[kind] = b
	}
	return out
}

// of is the team as this generation takes it: legacy gateways have no nonces.
func (b both) of(w team, n byte) team {
	if b.gateway.Kind() == Legacy {
		return w.nonce(0)
	}
	return w.nonce(n)
}

func (b both) state(t testing.TB, m Message) State {
	s, err := Ask(context.Background(), b.world, b.gateway.State(m))
	require.NoError(t, err)
	return s
}

func (b both) standing(t testing.TB, s WeightedSigners) Standing {
	out, err := Ask(context.Background(), b.world, b.gateway.Standing(s))
	require.NoError(t, err)
	return out
}

func TestMessagesAreApprovedAndExecutedAtBothGenerations(t *testing.T) {
	three := newTeam(t, 2, 1, 1, 1)
	for kind, b := range pair(t, three.nonce(1)) {
		t.Run(kind, func(t *testing.T) {
			w := b.of(three, 1)
			batch := []Message{someMessage(1), someMessage(2)}
			require.Equal(t, StateNone, b.state(t, batch[0]))
			digest, err := b.gateway.Digest(w.set, Command{Approve: batch})
			require.NoError(t, err)
			data, err := b.gateway.Calldata(w.set, Command{Approve: batch}, w.all(t, digest))
			require.NoError(t, err)
			require.Empty(t, b.transact(data))
			require.Equal(t, StateApproved, b.state(t, batch[0]))
			b.execute(batch[0])
			require.Equal(t, StateExecuted, b.state(t, batch[0]))

			// Again: nothing changes, nothing reverts.
			require.Empty(t, b.transact(data))
			all := All([]Question[State]{b.gateway.State(batch[0]), b.gateway.State(batch[1]), b.gateway.State(someMessage(3))})
			states, err := Ask(context.Background(), b.world, all)
			require.NoError(t, err)
			require.Equal(t, []State{StateExecuted, StateApproved, StateNone}, states)

			// Another content under an approved id: an Amplifier gateway can tell it
			// from an executed message, a legacy one cannot.
			other := batch[1]
			other.PayloadHash[0] ^= 1
			want := StateConflict
			if b.gateway.Kind() == Legacy {
				want = StateExecuted
			}
			require.Equal(t, want, b.state(t, other))
		})
	}
}

// What Axelar approves goes by an id that only the event names.
func TestAMessageIsKnownByTheIdOfItsApproval(t *testing.T) {
	three := newTeam(t, 2, 1, 1, 1)
	for kind, b := range pair(t, three.nonce(1)) {
		w := b.of(three, 1)
		m := someMessage(1)
		id := b.gateway.CommandID(m)
		ask := func(a Approved) State {
			s, err := Ask(context.Background(), b.world, b.gateway.StateOf(a))
			require.NoError(t, err, kind)
			return s
		}
		named := Approved{CommandID: id, Message: m}
		if b.gateway.Kind() == Legacy {
			named.Message.ID = "" // as in its event
		}
		require.Equal(t, StateNone, ask(named), kind)
		digest, err := b.gateway.Digest(w.set, Command{Approve: []Message{m}})
		require.NoError(t, err)
		data, err := b.gateway.Calldata(w.set, Command{Approve: []Message{m}}, w.all(t, digest))
		require.NoError(t, err)
		require.Empty(t, b.transact(data))
		require.Equal(t, StateApproved, ask(named), kind)
		b.execute(m)
		require.Equal(t, StateExecuted, ask(named), kind)

		named.CommandID[0] ^= 1
		if b.gateway.Kind() == Legacy {
			require.Equal(t, StateNone, ask(named), kind)
			continue
		}
		_, err = Ask(context.Background(), b.world, b.gateway.StateOf(named))
		require.ErrorIs(t, err, ErrMessage, kind)
	}
}

func TestSignersRotateAtBothGenerations(t *testing.T) {
	three, heavy := newTeam(t, 2, 1, 1, 1), newTeam(t, 3, 1, 1, 3)
	for kind, b := range pair(t, three.nonce(1)) {
		t.Run(kind, func(t *testing.T) {
			sets := []team{b.of(three, 1), b.of(heavy, 2)}
			require.Equal(t, StandingLatest, b.standing(t, sets[0].set))
			require.Equal(t, StandingUnknown, b.standing(t, sets[1].set))
			rotate := func(from, to team) string {
				c := Command{Rotate: &to.set}
				digest, err := b.gateway.Digest(from.set, c)
				require.NoError(t, err)
				data, err := b.gateway.Calldata(from.set, c, from.all(t, digest))
				require.NoError(t, err)
				return b.transact(data)
			}
			hash, err := b.gateway.SignersHash(sets[1].set)
			require.NoError(t, err)
			require.Empty(t, rotate(sets[0], sets[1]))
			if b.gateway.Kind() == Amplifier {
				require.Equal(t, modelHash(sets[1].set), hash)
			} else {
				signers, weights, threshold := sets[1].set.operators()
				require.Equal(t, keccak(encode(operatorsTypes, signers, weights, threshold)), hash)
			}
			require.Equal(t, StandingRetained, b.standing(t, sets[0].set))
			require.Equal(t, StandingLatest, b.standing(t, sets[1].set))

			// The retained set approves and does not rotate.
			c := Command{Approve: []Message{someMessage(7)}}
			digest, err := b.gateway.Digest(sets[0].set, c)
			require.NoError(t, err)
			data, err := b.gateway.Calldata(sets[0].set, c, sets[0].all(t, digest))
			require.NoError(t, err)
			require.Empty(t, b.transact(data))
			require.Equal(t, StateApproved, b.state(t, someMessage(7)))
			third := b.of(newTeam(t, 1, 1), 3)
			reason := rotate(sets[0], third)
			if b.gateway.Kind() == Amplifier {
				require.Equal(t, "NotLatestSigners", reason)
			} else {
				require.Empty(t, reason, "a legacy gateway skips the command and succeeds")
			}
			require.Equal(t, StandingUnknown, b.standing(t, third.set), "so that only the standing tells")

			// Until it has aged out: after one more epoch at the Amplifier gateway
			// with retention 1, in the sixteenth at a legacy one.
			last := sets[1]
			for n := int64(0); b.standing(t, sets[0].set) != StandingExpired; n++ {
				require.Less(t, n, int64(20))
				next := b.of(newTeam(t, 1+n, 1+n, 5), byte(10+n))
				require.Empty(t, rotate(last, next))
				require.Equal(t, StandingLatest, b.standing(t, next.set))
				last = next
			}
			require.Equal(t, map[Kind]string{Amplifier: "InvalidSigners", Legacy: "InvalidOperators"}[b.gateway.Kind()], b.transact(data))
		})
	}
}

func TestALegacySetLivesSixteenEpochs(t *testing.T) {
	g := NewLegacy(legacyChain, common.Address{1}, common.Address{2})
	q := g.Standing(newTeam(t, 1, 1).set)
	for now, want := range map[int64]Standing{3: StandingLatest, 4: StandingRetained, 18: StandingRetained, 19: StandingExpired} {
		got, err := q.Read([][]byte{encode(list("uint256"), big.NewInt(3)), encode(list("uint256"), big.NewInt(now))})
		require.NoError(t, err)
		require.Equal(t, want, got, now)
	}
	_, err := q.Read([][]byte{encode(list("uint256"), big.NewInt(3)), encode(list("uint256"), big.NewInt(2))})
	require.ErrorIs(t, err, ErrAnswer)
}

// Whoever signed: what Calldata gives out is taken, and it gives something out
// exactly where the weight suffices.
func TestAProofIsMadeExactlyWhereTheGatewayTakesOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int64Range(1, 5), 1, 6).Draw(rt, "weights")
		var sum int64
		for _, w := range weights {
			sum += w
		}
		w := newTeam(t, rapid.Int64Range(1, sum).Draw(rt, "threshold"), weights...)
		stranger := team{set: WeightedSigners{Signers: []WeightedSigner{{Signer: common.HexToAddress("0x2c7536E3605D9C16a7a3D7b1898e529396a65c23")}}},
			keys: map[common.Address][]byte{common.HexToAddress("0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"): common.FromHex("0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")}}
		signed := rapid.SliceOfN(rapid.IntRange(0, len(weights)-1), 0, 9).Draw(rt, "signed")
		noise := rapid.IntRange(0, 3).Draw(rt, "noise")
		var got int64
		seen := map[int]bool{}
		for _, i := range signed {
			if !seen[i] {
				seen[i], got = true, got+w.set.Signers[i].Weight.Int64()
			}
		}
		for kind, b := range pair(t, w.nonce(1)) {
			w := b.of(w, 1)
			c := Command{Approve: []Message{someMessage(1)}}
			digest, err := b.gateway.Digest(w.set, c)
			require.NoError(rt, err)
			var sigs [][]byte
			for _, i := range signed {
				sigs = append(sigs, w.sign(t, i, digest))
			}
			switch noise {
			case 1:
				sigs = append(sigs, stranger.sign(t, 0, digest), []byte{1})
			case 2:
				sigs = append([][]byte{w.sign(t, 0, common.Hash{1}), nil}, sigs...)
			case 3:
				bad := w.sign(t, 0, digest)
				bad[64] -= 27
				sigs = append(sigs, bad)
			}
			data, err := b.gateway.Calldata(w.set, c, sigs)
			if got < w.set.Threshold.Int64() {
				require.ErrorIs(rt, err, ErrQuorum, kind)
				continue
			}
			require.NoError(rt, err, kind)
			require.Empty(rt, b.transact(data), kind)
			require.Equal(rt, StateApproved, b.state(t, someMessage(1)))
		}
	})
}

func TestWhatAGatewayWouldRefuseIsNotSigned(t *testing.T) {
	w := newTeam(t, 1, 1, 1)
	long := make([]byte, maxAddress+1)
	for kind, b := range pair(t, w.nonce(1)) {
		set := b.of(w, 1).set
		next := b.of(newTeam(t, 1, 1), 2).set
		altered := func(f func(*Message)) Command {
			m := someMessage(1)
			f(&m)
			return Command{Approve: []Message{someMessage(2), m}}
		}
		for name, c := range map[string]struct {
			command Command
			want    error
		}{
			"neither":              {Command{}, ErrCommand},
			"an empty batch":       {Command{Approve: []Message{}}, ErrCommand},
			"both":                 {Command{Approve: []Message{someMessage(1)}, Rotate: &next}, ErrCommand},
			"a message twice":      {Command{Approve: []Message{someMessage(1), someMessage(1)}}, ErrMessage},
			"an id twice":          {altered(func(m *Message) { m.ID, m.PayloadHash = someMessage(2).ID, common.Hash{5} }), ErrMessage},
			"no chain":             {altered(func(m *Message) { m.SourceChain = "" }), ErrChainName},
			"an underscore":        {altered(func(m *Message) { m.SourceChain = "a_b" }), ErrChainName},
			"a long chain":         {altered(func(m *Message) { m.SourceChain = string(long) }), ErrChainName},
			"no id":                {altered(func(m *Message) { m.ID = "" }), ErrMessageID},
			"no source":            {altered(func(m *Message) { m.SourceAddress = "" }), ErrMessage},
			"a long source":        {altered(func(m *Message) { m.SourceAddress = string(long) }), ErrMessage},
			"no contract":          {altered(func(m *Message) { m.Contract = common.Address{} }), ErrMessage},
			"no payload":           {altered(func(m *Message) { m.PayloadHash = common.Hash{} }), ErrMessage},
			"the present set":      {Command{Rotate: &set}, ErrSignerSet},
			"a set without anyone": {Command{Rotate: &WeightedSigners{Threshold: big.NewInt(1)}}, ErrSignerSet},
		} {
			_, err := b.gateway.Digest(set, c.command)
			require.ErrorIs(t, err, c.want, "%s: %s", kind, name)
			_, err = b.gateway.Calldata(set, c.command, nil)
			require.ErrorIs(t, err, c.want, "%s: %s", kind, name)
		}
		_, err := b.gateway.Digest(WeightedSigners{}, Command{Approve: []Message{someMessage(1)}})
		require.ErrorIs(t, err, ErrSignerSet)
		require.NoError(t, b.gateway.CheckSigners(set))
		_, err = Ask(context.Background(), b.world, b.gateway.Standing(WeightedSigners{}))
		require.ErrorIs(t, err, ErrSignerSet)
	}
	// One id on two chains: two commands for Amplifier, one for legacy gateways.
	twice := []Message{someMessage(1), someMessage(1)}
	twice[1].SourceChain = "other"
	_, err := NewAmplifier(common.Address{1}, common.Hash{1}).Digest(w.set, Command{Approve: twice})
	require.NoError(t, err)
	_, err = NewLegacy(legacyChain, common.Address{1}, common.Address{2}).Digest(w.set, Command{Approve: twice})
	require.ErrorIs(t, err, ErrMessage)
	_, err = NewLegacy(legacyChain, common.Address{1}, common.Address{2}).Digest(w.nonce(1).set, Command{Approve: twice[:1]})
	require.ErrorIs(t, err, ErrSignerSet, "a nonce that the wire has no room for")
}

func TestDigestsBindEverything(t *testing.T) {
	w := newTeam(t, 1, 1, 1).nonce(1)
	batch := Command{Approve: []Message{someMessage(1)}}
	a, err := NewAmplifier(common.Address{1}, common.Hash{1}).Digest(w.set, batch)
	require.NoError(t, err)
	seen := map[common.Hash]string{a: "it"}
	add := func(name string, g Gateway, set WeightedSigners, c Command) {
		d, err := g.Digest(set, c)
		require.NoError(t, err)
		require.NotContains(t, seen, d, name)
		seen[d] = name
	}
	ring := NewAmplifier(common.Address{1}, common.Hash{1})
	next := newTeam(t, 1, 1).nonce(2).set
	add("domain", NewAmplifier(common.Address{1}, common.Hash{2}), w.set, batch)
	add("nonce", ring, w.nonce(2).set, batch)
	add("order", ring, w.set, Command{Approve: []Message{someMessage(1), someMessage(2)}})
	add("other order", ring, w.set, Command{Approve: []Message{someMessage(2), someMessage(1)}})
	add("rotation", ring, w.set, Command{Rotate: &next})
	plain, bare := w.nonce(0).set, next
	bare.Nonce = common.Hash{}
	add("legacy", NewLegacy(1, common.Address{1}, common.Address{2}), plain, batch)
	add("legacy chain", NewLegacy(2, common.Address{1}, common.Address{2}), plain, batch)
	add("legacy rotation", NewLegacy(1, common.Address{1}, common.Address{2}), plain, Command{Rotate: &bare})
}

func TestAnswersThatContradictEachOtherAreNoState(t *testing.T) {
	yes, no := encode(list("bool"), true), encode(list("bool"), false)
	q := NewAmplifier(common.Address{1}, common.Hash{1}).State(someMessage(1))
	require.Len(t, q.Calls, 3)
	for _, c := range []struct {
		executed, approved, known []byte
		want                      State
		err                       error
	}{
		{no, no, no, StateNone, nil}, {no, yes, yes, StateApproved, nil}, {yes, no, yes, StateExecuted, nil}, {no, no, yes, StateConflict, nil},
		{yes, yes, yes, 0, ErrAnswer}, {yes, yes, no, 0, ErrAnswer}, {yes, no, no, 0, ErrAnswer}, {no, yes, no, 0, ErrAnswer},
		{nil, no, no, 0, ErrMalformed}, {no, nil, no, 0, ErrMalformed}, {no, no, nil, 0, ErrMalformed}, {[]byte{31: 2}, no, no, 0, ErrMalformed},
	} {
		got, err := q.Read([][]byte{c.executed, c.approved, c.known})
		require.ErrorIs(t, err, c.err)
		require.Equal(t, c.want, got)
	}
	_, err := q.Read([][]byte{yes, no})
	require.ErrorIs(t, err, ErrAnswer)

	q = NewLegacy(1, common.Address{1}, common.Address{2}).State(someMessage(1))
	require.Len(t, q.Calls, 2)
	for _, c := range []struct {
		processed, approved []byte
		want                State
		err                 error
	}{
		{no, no, StateNone, nil}, {yes, yes, StateApproved, nil}, {yes, no, StateExecuted, nil}, {no, yes, 0, ErrAnswer},
		{nil, no, 0, ErrMalformed}, {no, nil, 0, ErrMalformed},
	} {
		got, err := q.Read([][]byte{c.processed, c.approved})
		require.ErrorIs(t, err, c.err)
		require.Equal(t, c.want, got)
	}

	// A joined question gives each its own answers, and names the one that fails.
	all := All([]Question[State]{q, q})
	require.Len(t, all.Calls, 4)
	got, err := all.Read([][]byte{yes, yes, no, no})
	require.NoError(t, err)
	require.Equal(t, []State{StateApproved, StateNone}, got)
	_, err = all.Read([][]byte{yes, yes, no, yes})
	require.ErrorContains(t, err, "question 1")
	_, err = all.Read([][]byte{yes, yes, no})
	require.ErrorIs(t, err, ErrAnswer)
	none, err := All[State](nil).Read(nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAChainThatGivesNoAnswerIsNoState(t *testing.T) {
	g := NewAmplifier(common.Address{1}, common.Hash{1})
	w := world{common.Address{1}: contract{fnExecuted.signature: always(errDown)}}
	_, err := Ask(context.Background(), w, g.State(someMessage(1)))
	require.ErrorIs(t, err, errDown)
	_, err = Ask(context.Background(), world{}, g.State(someMessage(1)))
	require.ErrorIs(t, err, ErrMalformed)
}

func TestLabels(t *testing.T) {
	for want, got := range map[string]string{
		"amplifier": Amplifier.String(), "legacy": Legacy.String(), "none": StateNone.String(), "approved": StateApproved.String(),
		"executed": StateExecuted.String(), "conflict": StateConflict.String(), "latest": StandingLatest.String(),
		"retained": StandingRetained.String(), "expired": StandingExpired.String(), "2.1.1": V211.String(), "2.2.0": V220.String(),
	} {
		require.Equal(t, want, got)
	}
	for _, got := range []string{Kind(0).String(), State(9).String(), StandingUnknown.String(), Version(0).String(), Class(99).String()} {
		require.Equal(t, "unknown", got)
	}
}
