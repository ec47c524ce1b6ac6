package home

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/filecoin-project/go-f3/gpbft"
	"github.com/stretchr/testify/require"
)

// What is configured of finality reaches the endpoint.
func TestALotusNodeIsReadAsConfigured(t *testing.T) {
	root, err := lotus.Start(t.Context(), lotus.Config{ChainID: 7, Manual: true, F3: true, GenesisTime: uint64(time.Now().Add(-time.Hour).Unix())})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	require.NoError(t, root.Mine(t.Context(), 40))
	node, err := rpc.DialContext(t.Context(), root.Node(0).HTTP())
	require.NoError(t, err)
	t.Cleanup(node.Close)
	var raw json.RawMessage
	require.NoError(t, node.CallContext(t.Context(), &raw, "Filecoin.F3GetPowerTableByInstance", 3))
	var table gpbft.PowerEntries
	require.NoError(t, json.Unmarshal(raw, &table))
	id, err := certs.MakePowerTableCID(table)
	require.NoError(t, err)
	zero := uint64(0)
	root.Node(0).Set(func(s *lotus.Switches) { s.Finalized = &zero })

	for what, c := range map[string]struct {
		lotus relayer.Lotus
		want  uint64
	}{
		"by depth":       {relayer.Lotus{Depth: 30, Behind: 2}, 10},
		"by certificate": {relayer.Lotus{Depth: 30, Floor: 2, F3: &relayer.F3{Network: "devnet", First: 3, PowerTable: id.String()}}, 35},
		"by the node":    {relayer.Lotus{Depth: 30, Floor: 4, TrustFinalized: true}, 36},
	} {
		t.Run(what, func(t *testing.T) {
			e := relayer.Endpoint{Config: evm.Config{Name: "root", URL: root.Node(0).HTTP(), ChainID: 7}, Lotus: &c.lotus}
			c.lotus.Check("root", func(format string, args ...any) { t.Errorf(format, args...) })
			r, err := DialLotus(t.Context(), e, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			defer r.Close()
			head, err := r.Head(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, head.Number)
		})
	}
}
