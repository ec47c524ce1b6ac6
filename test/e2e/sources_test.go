package e2e

import (
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

// One of the root's two nodes leaves events out, of its logs and of its receipts, as
// nodes did in production: nobody counts the deposit as read or as not made, people
// are told which node says what, and once it tells the truth the deposit arrives.
func TestADepositThatOneOfTwoNodesHidesWaitsAndArrives(t *testing.T) {
	t.Parallel()
	r := start(t)
	second, err := rpc.DialContext(t.Context(), r.net.Info.RootAlso[0])
	require.NoError(t, err)
	t.Cleanup(second.Close)
	first := r.deposited(r.deposit(5_000_000))
	require.Equal(t, tokens.Done, first.Status)

	require.NoError(t, second.CallContext(t.Context(), nil, "dev_set", map[string]any{"hide_logs": true, "lie_in_receipts": true}))
	tx := r.deposit(6_000_000)
	var told alerts.Alert
	require.Eventually(t, func() bool {
		for _, a := range r.status().Alerts {
			if a.Name == alerts.SourcesDisagree && strings.HasPrefix(a.Key, "root/") {
				told = a
				return true
			}
		}
		return false
	}, 2*time.Minute, 200*time.Millisecond, "nobody is told")
	require.Equal(t, alerts.Page, told.Severity)
	require.Contains(t, told.Fields["what"], "events")
	_, known := r.transferOf(tx)
	require.False(t, known, "what only one node tells is no deposit")
	require.False(t, r.status().Ready)
	text, _, code := r.run("status")
	require.Zero(t, code)
	require.Contains(t, text, "DIFFERS about")

	require.NoError(t, second.CallContext(t.Context(), nil, "dev_reset"))
	require.Equal(t, tokens.Done, r.deposited(tx).Status)
	require.Eventually(t, func() bool {
		for _, a := range r.status().Alerts {
			if a.Name == alerts.SourcesDisagree {
				return false
			}
		}
		return true
	}, time.Minute, 200*time.Millisecond, "the alert ends")
	r.sound()
}

func (r *rig) deposit(usdc int64) common.Hash {
	r.t.Helper()
	tx, err := r.b.Deposit(r.t.Context(), tokens.USDC, r.b.Root.Address, big.NewInt(usdc))
	require.NoError(r.t, err)
	return tx
}

func (r *rig) status() (s relayer.Status) {
	r.t.Helper()
	res, err := http.Get(r.net.Info.Admin + "/status")
	require.NoError(r.t, err)
	defer res.Body.Close()
	require.NoError(r.t, json.NewDecoder(res.Body).Decode(&s))
	return s
}

func (r *rig) transferOf(tx common.Hash) (api.Transfer, bool) {
	all, err := r.net.Transfers(r.t.Context())
	require.NoError(r.t, err)
	for _, t := range all {
		if t.Steps[0].Tx == tx {
			return t, true
		}
	}
	return api.Transfer{}, false
}

// deposited waits until the transfer of a transaction has ended.
func (r *rig) deposited(tx common.Hash) (out api.Transfer) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		t, ok := r.transferOf(tx)
		out = t
		return ok && t.Status.Terminal()
	}, 3*time.Minute, 250*time.Millisecond)
	return out
}
