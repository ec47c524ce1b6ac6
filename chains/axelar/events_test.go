package axelar

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// sample is an event with the way it was made.
type sample struct {
	event chains.Event
	want  any
}

func logOf(at common.Address, l layout, topics []common.Hash, values ...any) chains.Event {
	return chains.Event{Address: at, Topics: append([]common.Hash{l.topic}, topics...), Data: encode(l.data, values...)}
}

func addressTopic(a common.Address) common.Hash { return common.BytesToHash(a[:]) }

// amplifierSamples and legacySamples hold every event of a generation.
func amplifierSamples(t testing.TB, at common.Address) []sample {
	call := Called{Sender: common.Address{3}, DestinationChain: "axelar", DestinationAddress: "hub", PayloadHash: keccak([]byte{1, 2}), Payload: []byte{1, 2}}
	m := someMessage(4)
	id := CommandID(m.SourceChain, m.ID)
	set := newTeam(t, 2, 1, 2).nonce(5).set
	encoded, err := EncodeSigners(set)
	require.NoError(t, err)
	return []sample{
		{call.event(at), call},
		{logOf(at, evMessageApproved, []common.Hash{id, addressTopic(m.Contract), m.PayloadHash}, m.SourceChain, m.ID, m.SourceAddress),
			Approved{CommandID: id, Message: m}},
		{logOf(at, evMessageExecuted, []common.Hash{id}), Executed{CommandID: id}},
		{logOf(at, evSignersRotated, []common.Hash{{31: 7}, keccak(encoded)}, encoded), Rotated{Epoch: 7, Hash: keccak(encoded), Signers: set}},
	}
}

func legacySamples(t testing.TB, at common.Address) []sample {
	call := amplifierSamples(t, at)[0]
	m := someMessage(4)
	id := LegacyCommandID(m.ID, legacyChain)
	set := newTeam(t, 2, 1, 2).set
	encoded, err := EncodeOperators(set)
	require.NoError(t, err)
	said := m
	said.ID = ""
	return []sample{
		call,
		{logOf(at, evCallApproved, []common.Hash{id, addressTopic(m.Contract), m.PayloadHash}, m.SourceChain, m.SourceAddress, common.Hash{4}, big.NewInt(4)),
			Approved{CommandID: id, Message: said, SourceTx: common.Hash{4}, SourceIndex: big.NewInt(4)}},
		{logOf(at, evCallExecuted, []common.Hash{id}), Executed{CommandID: id}},
		{logOf(at, evCommandExecuted, []common.Hash{id}), Processed{CommandID: id}},
		{logOf(at, evOperatorship, nil, encoded), Rotated{Hash: keccak(encoded), Signers: set}},
	}
}

func serviceSamples(at common.Address) []sample {
	sent := Sent{TokenID: common.Hash{1}, Source: common.Address{2}, Chain: "filecoin", Destination: []byte{3}, Amount: big.NewInt(4), DataHash: common.Hash{5}}
	received := Received{CommandID: common.Hash{1}, TokenID: common.Hash{2}, Chain: "Ethereum", Source: []byte{3}, Destination: common.Address{4},
		Amount: big.NewInt(5), DataHash: common.Hash{}}
	express := func(l layout) chains.Event {
		return logOf(at, l, []common.Hash{{1}, addressTopic(common.Address{3})}, "axelar", "hub", common.Hash{2})
	}
	return []sample{
		{logOf(at, evTransfer, []common.Hash{sent.TokenID, addressTopic(sent.Source), sent.DataHash}, sent.Chain, sent.Destination, sent.Amount), sent},
		{received.event(at), received},
		{express(evExpress), Fronted{CommandID: common.Hash{1}, PayloadHash: common.Hash{2}, Executor: common.Address{3}}},
		{express(evFulfilled), Repaid{CommandID: common.Hash{1}, PayloadHash: common.Hash{2}, Executor: common.Address{3}}},
	}
}

func gasSamples(at common.Address) []sample {
	coin := GasPaid{Sender: common.Address{1}, DestinationChain: "axelar", DestinationAddress: "hub", PayloadHash: common.Hash{2},
		Amount: big.NewInt(3), RefundTo: common.Address{4}}
	express := coin
	express.Express = true
	token, both := coin, express
	token.Token, both.Token = common.Address{5}, common.Address{5}
	added := GasAdded{Tx: common.Hash{1}, Index: big.NewInt(2), Amount: big.NewInt(3), RefundTo: common.Address{4}}
	fast := added
	fast.Express = true
	addedToken, fastToken := added, fast
	addedToken.Token, fastToken.Token = common.Address{5}, common.Address{5}
	back := GasRefunded{Tx: common.Hash{1}, Index: big.NewInt(2), Receiver: common.Address{3}, Token: common.Address{4}, Amount: big.NewInt(5)}
	return []sample{
		{coin.event(at), coin}, {express.event(at), express}, {token.event(at), token}, {both.event(at), both},
		{added.event(at), added}, {fast.event(at), fast}, {addedToken.event(at), addedToken}, {fastToken.event(at), fastToken},
		{back.event(at), back},
	}
}

// decoders are the four ways to read events, over one shape.
func decoders(t testing.TB, at common.Address) map[string]struct {
	decode  func(chains.Event) (any, bool, error)
	filter  chains.Filter
	samples []sample
} {
	gateway := func(g Gateway) func(chains.Event) (any, bool, error) {
		return func(e chains.Event) (any, bool, error) { return g.Decode(e) }
	}
	type reader = struct {
		decode  func(chains.Event) (any, bool, error)
		filter  chains.Filter
		samples []sample
	}
	a, l := NewAmplifier(at, common.Hash{1}), NewLegacy(legacyChain, at, common.Address{2})
	s := Service{Address: at, Version: V211}
	gas := GasService{Address: at}
	return map[string]reader{
		"amplifier": {gateway(a), a.Filter(), amplifierSamples(t, at)},
		"legacy":    {gateway(l), l.Filter(), legacySamples(t, at)},
		"its":       {func(e chains.Event) (any, bool, error) { return s.Decode(e) }, s.Filter(), serviceSamples(at)},
		"gas":       {func(e chains.Event) (any, bool, error) { return gas.Decode(e) }, gas.Filter(), gasSamples(at)},
	}
}

func TestEventsDecode(t *testing.T) {
	at := common.Address{1}
	for name, d := range decoders(t, at) {
		require.Equal(t, []common.Address{at}, d.filter.Addresses)
		watched := map[common.Hash]bool{}
		for _, topic := range d.filter.Topics {
			watched[topic] = true
		}
		require.Len(t, watched, len(d.filter.Topics))
		for _, s := range d.samples {
			got, ok, err := d.decode(s.event)
			require.NoError(t, err, name)
			require.True(t, ok, name)
			require.Equal(t, s.want, got)
			_, processed := s.want.(Processed)
			require.Equal(t, !processed, watched[s.event.Topics[0]], "%s: %T", name, s.want)
			delete(watched, s.event.Topics[0])
		}
		require.Empty(t, watched, "%s watches what it cannot read", name)
	}
}

func TestEventsOfOthersAreNotOurs(t *testing.T) {
	at := common.Address{1}
	for name, d := range decoders(t, at) {
		for _, s := range d.samples {
			other := s.event
			other.Address = common.Address{2}
			none := s.event
			none.Topics = nil
			foreign := s.event
			foreign.Topics = append([]common.Hash{{1}}, s.event.Topics[1:]...)
			for _, e := range []chains.Event{other, none, foreign} {
				got, ok, err := d.decode(e)
				require.NoError(t, err, name)
				require.False(t, ok, name)
				require.Nil(t, got, name)
			}
		}
	}
}

func TestMalformedEventsAreRefused(t *testing.T) {
	at := common.Address{1}
	for name, d := range decoders(t, at) {
		for _, s := range d.samples {
			refused := func(what string, change func(*chains.Event)) {
				e := s.event
				e.Topics, e.Data = append([]common.Hash{}, e.Topics...), append([]byte{}, e.Data...)
				change(&e)
				_, ok, err := d.decode(e)
				require.ErrorIs(t, err, ErrMalformed, "%s: %T: %s", name, s.want, what)
				require.False(t, ok)
			}
			refused("a topic more", func(e *chains.Event) { e.Topics = append(e.Topics, common.Hash{}) })
			if len(s.event.Topics) > 1 {
				refused("a topic less", func(e *chains.Event) { e.Topics = e.Topics[:len(e.Topics)-1] })
			}
			refused("trailing bytes", func(e *chains.Event) { e.Data = append(e.Data, make([]byte, 32)...) })
			if len(s.event.Data) > 0 {
				refused("truncated", func(e *chains.Event) { e.Data = e.Data[:len(e.Data)-1] })
			}
		}
	}
	a := amplifierSamples(t, at)
	g := NewAmplifier(at, common.Hash{1})
	for what, e := range map[string]chains.Event{
		"wide sender":           changed(a[0].event, func(e *chains.Event) { e.Topics[1][0] = 1 }),
		"other payload hash":    changed(a[0].event, func(e *chains.Event) { e.Topics[2][0] ^= 1 }),
		"other command id":      changed(a[1].event, func(e *chains.Event) { e.Topics[1][0] ^= 1 }),
		"wide contract":         changed(a[1].event, func(e *chains.Event) { e.Topics[2][0] = 1 }),
		"epoch beyond 64 bits":  changed(a[3].event, func(e *chains.Event) { e.Topics[1][0] = 1 }),
		"other signers hash":    changed(a[3].event, func(e *chains.Event) { e.Topics[2][0] ^= 1 }),
		"signers that are none": logOf(at, evSignersRotated, []common.Hash{{31: 7}, keccak([]byte{1})}, []byte{1}),
	} {
		_, _, err := g.Decode(e)
		require.ErrorIs(t, err, ErrMalformed, what)
	}
	l := NewLegacy(legacyChain, at, common.Address{2})
	for what, e := range map[string]chains.Event{
		"wide contract":    changed(legacySamples(t, at)[1].event, func(e *chains.Event) { e.Topics[2][0] = 1 }),
		"odd operators":    logOf(at, evOperatorship, nil, []byte{1}),
		"uneven operators": logOf(at, evOperatorship, nil, encode(operatorsTypes, []common.Address{{1}}, []*big.Int{}, big.NewInt(1))),
	} {
		_, _, err := l.Decode(e)
		require.ErrorIs(t, err, ErrMalformed, what)
	}
	its := Service{Address: at}
	for i, topic := range []int{2, 3, 2, 2} {
		_, _, err := its.Decode(changed(serviceSamples(at)[i].event, func(e *chains.Event) { e.Topics[topic][0] = 1 }))
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func changed(e chains.Event, f func(*chains.Event)) chains.Event {
	e.Topics, e.Data = append([]common.Hash{}, e.Topics...), append([]byte{}, e.Data...)
	f(&e)
	return e
}

// What a chain has accepted is read even where this package would not make it.
func TestOddEventsThatAChainCanEmitDecode(t *testing.T) {
	at := common.Address{1}
	g := NewAmplifier(at, common.Hash{1})

	// A stranger calls with a megabyte and names that are no UTF-8.
	big1 := make([]byte, 1<<20)
	c := Called{Sender: common.Address{3}, DestinationChain: "\xff_\x00", DestinationAddress: "", PayloadHash: keccak(big1), Payload: big1}
	got, ok, err := g.Decode(c.event(at))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, c, got)

	// Weights whose sum is wider than 128 bits, which the gateway takes.
	wide := newTeam(t, 1, 1, 1).set
	for i := range wide.Signers {
		wide.Signers[i].Weight = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	}
	b := encode(signersLayout, wide)
	got, ok, err = g.Decode(logOf(at, evSignersRotated, []common.Hash{{31: 1}, keccak(b)}, b))
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, wide.Equal(got.(Rotated).Signers))

	// A message id of another form, approved by a network of its own.
	id := CommandID("solana", "5Q-1.2")
	got, ok, err = g.Decode(logOf(at, evMessageApproved, []common.Hash{id, addressTopic(common.Address{7}), {1}}, "solana", "5Q-1.2", "x"))
	require.NoError(t, err)
	require.True(t, ok)
	require.ErrorIs(t, got.(Approved).Message.Check(), ErrMessageID)
}
