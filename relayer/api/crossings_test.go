package api_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestWhatIsOnItsWayIsListedByItsMessage(t *testing.T) {
	inner, err := axelar.EncodePayload(axelar.Transfer{
		TokenID: common.Hash{1}, Source: addr(0x51).Bytes(), Destination: addr(0x52).Bytes(), Amount: big.NewInt(7_000_000),
	})
	require.NoError(t, err)
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: "filecoin", Inner: inner})
	require.NoError(t, err)
	leg := store.Job{
		Transfer: tokens.Transfer{
			ID: hash(1), Route: "leg_in", Nonce: 4, Origin: chains.EventID{Chain: 1, Tx: hash(2)}, Height: 42,
			At: uint64(time.Now().Add(-time.Hour).Unix()), Payload: payload, Hidden: true,
		},
		Status: tokens.Pending, Step: "approve", Err: "dial http://10.0.0.1:8545: refused",
	}
	odd := leg
	odd.Transfer.Payload, odd.Transfer.ID = []byte{1}, hash(9)
	l := &ledger{jobs: []store.Job{leg, odd}, next: "more"}
	list := func(target string) (out struct {
		Crossings []api.Crossing
		Next      string
	}) {
		res := get(t, users(l), http.MethodGet, target, "")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.NoError(t, json.NewDecoder(res.Body).Decode(&out))
		return out
	}
	got := list("/v1/crossings?route=leg_in&limit=3")
	require.Equal(t, store.Filter{Route: "leg_in", Status: tokens.Pending, Hidden: true, Limit: 3}, l.filter)
	require.Equal(t, "more", got.Next)
	require.Len(t, got.Crossings, 2)
	require.InDelta(t, 3600, got.Crossings[0].Seconds, 30)
	got.Crossings[0].Seconds = 0
	require.Equal(t, api.Crossing{
		Message: hash(2).Hex() + "-4", Route: "leg_in", Amount: tokens.MustUnits(big.NewInt(7_000_000)), Sender: addr(0x51), To: addr(0x52),
		Status: tokens.Pending, Step: "approve", Error: "dial *** refused", Height: 42,
	}, got.Crossings[0])
	require.Zero(t, got.Crossings[1].Amount.Big().Sign(), "one that does not decode is listed all the same")
	list("/v1/crossings?route=leg_out&status=parked")
	require.Equal(t, store.Filter{Route: "leg_out", Status: tokens.Parked, Hidden: true, Limit: 50}, l.filter)

	for target, code := range map[string]string{
		"/v1/crossings":                            "unknown_route",
		"/v1/crossings?route=flt_deposit":          "unknown_route",
		"/v1/crossings?route=leg_in&status=done":   "unknown_status",
		"/v1/crossings?route=leg_in&limit=0":       "bad_limit",
		"/v1/crossings?route=leg_in&limit=201":     "bad_limit",
		"/v1/crossings?route=leg_in&cursor=%20":    "bad_cursor",
		"/v1/crossings?route=leg_in&address=0x":    "unknown_parameter",
		"/v1/crossings?route=leg_in&route=leg_out": "repeated_parameter",
		"/v1/crossings?route=leg_in;limit=1":       "bad_query",
	} {
		requireProblem(t, get(t, users(l), http.MethodGet, target, ""), http.StatusBadRequest, code)
	}
	l.err = errors.New("down")
	res := get(t, users(l), http.MethodGet, "/v1/crossings?route=leg_in", "")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
}
