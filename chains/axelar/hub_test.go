package axelar

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func wrapped(t testing.TB, to string, inner Payload) []byte {
	b, err := EncodePayload(inner)
	require.NoError(t, err)
	out, err := EncodePayload(SendToHub{Chain: to, Inner: b})
	require.NoError(t, err)
	return out
}

func TestTheHubRoutesWhatITSSendsAndNothingElse(t *testing.T) {
	v := vectors(t)
	hub := v.hub()
	good := v.Steps[1].called()
	id := MessageID{Tx: common.Hash{1}, Index: 2}
	_, err := hub.Route("ethereum", id, good)
	require.NoError(t, err)

	with := func(payload []byte) Called {
		c := good
		c.Payload = payload
		return c
	}
	stranger, elsewhere, other := good, good, good
	stranger.Sender[0] ^= 1
	elsewhere.DestinationChain = "filecoin"
	other.DestinationAddress += "x"
	registration, err := EncodePayload(RegisterMetadata{Token: []byte{1}, Decimals: 18})
	require.NoError(t, err)
	for name, c := range map[string]Called{
		"a stranger": stranger, "another chain": elsewhere, "another address": other, "a registration": with(registration),
	} {
		_, err := hub.Route("ethereum", id, c)
		require.ErrorIs(t, err, ErrNotForHub, name)
		require.NotErrorIs(t, err, ErrHubRefuses, name)
	}
	_, err = hub.Route("Ethereum", id, good)
	require.ErrorIs(t, err, ErrNotForHub, "a chain that it does not know")

	nested := wrapped(t, "filecoin", SendToHub{Chain: "filecoin"})
	back := wrapped(t, "filecoin", ReceiveFromHub{Chain: "ethereum"})
	inner := wrapped(t, "filecoin", RegisterMetadata{})
	received, err := EncodePayload(ReceiveFromHub{Chain: "ethereum", Inner: v.Steps[1].Inner.Bytes})
	require.NoError(t, err)
	for name, c := range map[string]Called{
		"no payload": with(nil), "no wrapping": with(v.Steps[1].Inner.Bytes), "the other wrapping": with(received), "twice wrapped": with(nested),
		"a wrapped answer": with(back), "a wrapped registration": with(inner), "an unknown destination": with(wrapped(t, "solana", DeployToken{})),
		"an inner payload that is none": with(func() []byte {
			b, err := EncodePayload(SendToHub{Chain: "filecoin", Inner: []byte{1}})
			require.NoError(t, err)
			return b
		}()),
	} {
		_, err := hub.Route("ethereum", id, c)
		require.ErrorIs(t, err, ErrHubRefuses, name)
		require.NotErrorIs(t, err, ErrNotForHub, name)
	}
	for _, p := range []Payload{DeployToken{}, LinkToken{}} {
		routed, err := hub.Route("ethereum", id, with(wrapped(t, "filecoin", p)))
		require.NoError(t, err)
		require.Equal(t, p.Type(), routed.Inner.Type())
		require.NoError(t, routed.Message.Check())
	}
}

func TestEachCallGetsOneIDFromTheHub(t *testing.T) {
	id := MessageID{Tx: common.Hash{1}, Index: 2}
	require.Equal(t, HubMessageID("ethereum", id), HubMessageID("ethereum", id))
	seen := map[MessageID]bool{}
	for _, from := range []string{"ethereum", "filecoin"} {
		for _, m := range []MessageID{id, {Tx: id.Tx, Index: 3}, {Tx: common.Hash{2}, Index: 2}} {
			got := HubMessageID(from, m)
			require.False(t, seen[got])
			seen[got] = true
			require.Zero(t, got.Index)
		}
	}
}

func TestUnwrapReadsOnlyWhatITSExecutes(t *testing.T) {
	v := vectors(t)
	for name, b := range map[string][]byte{
		"nothing": nil, "to the hub": v.Steps[0].Source.Payload, "bare": v.Steps[0].Inner.Bytes,
		"nested": func() []byte {
			b, err := EncodePayload(ReceiveFromHub{Chain: "x", Inner: v.Steps[0].Hub.Payload})
			require.NoError(t, err)
			return b
		}(),
	} {
		_, _, err := Unwrap(b)
		require.ErrorIs(t, err, ErrMalformed, name)
	}
}
