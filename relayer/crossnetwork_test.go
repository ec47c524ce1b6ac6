package relayer

import (
	"log/slog"
	"testing"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestTheNewestApprovalOfALegCounts(t *testing.T) {
	entry := func(step, chain string, tx byte, index uint) store.Entry {
		return store.Entry{Step: step, Chain: chain, Tx: common.Hash{tx}, Index: index}
	}
	at, ok := approvedBy(store.Job{History: []store.Entry{
		entry("approve", "root", 1, 4), {Step: "approve", Reason: "finality_regress"}, entry("approve", "root", 2, 5), entry("execute", "root", 3, 6),
	}}, "root")
	require.True(t, ok)
	require.Equal(t, chains.EventID{Tx: common.Hash{2}, Index: 5}, at)
	_, ok = approvedBy(store.Job{History: []store.Entry{entry("approve", "ethereum", 1, 4), entry("execute", "root", 3, 6), {Step: "approve"}}}, "root")
	require.False(t, ok)
}

// netShared is an instance whose crossings Axelar approves.
func netShared(t *testing.T, list ...NetworkChain) *shared {
	cfg := Default()
	cfg.State, cfg.Axelar.Approvals, cfg.Axelar.Network.Chains = t.TempDir(), ApprovalsNetwork, list
	log := slog.New(slog.DiscardHandler)
	manager := alerts.New(log, 1)
	return &shared{cfg: cfg, Parts: Parts{Alerts: manager, Log: log}, tools: newTools(cfg, prometheus.NewRegistry(), manager, "")}
}

func linkOf(name string, l1, root axelar.Gateway) *link {
	return &link{sub: flow.Subnet{Name: name}, root: &evm.Client{}, cross: &crossLink{
		Crossing: flow.Crossing{L1Name: "Ethereum", RootName: "filecoin", L1Gateway: l1, RootGateway: root},
		l1:       &mainnet{client: &evm.Client{}}, gas: map[string]common.Address{"Ethereum": {1}, "filecoin": {2}},
	}}
}

func TestEachChainHasOneEndForAllCrossings(t *testing.T) {
	l1, root := axelar.NewLegacy(1, common.Address{1}, common.Address{2}), axelar.NewAmplifier(common.Address{3}, common.Hash{1})
	senders := map[string]*evm.TxManager{flow.Root: {}, flow.Ethereum: {}}
	a, b, own := linkOf("a", l1, root), linkOf("b", l1, root), linkOf("own", l1, root)
	own.cross.in = &approve.Quorum{}
	ends, err := netShared(t).network([]*link{a, b, own, {}}, senders)
	require.NoError(t, err)
	require.Len(t, ends, 2)
	for _, n := range ends {
		require.Len(t, n.legs, 4)
		begins := 0
		for _, leg := range n.legs {
			if leg.begins {
				begins++
			}
		}
		require.Equal(t, 2, begins)
		require.NoError(t, n.close())
	}
	require.Same(t, a.cross.network["filecoin"], b.cross.network["filecoin"])
	require.Nil(t, own.cross.network)

	other := linkOf("b", l1, axelar.NewAmplifier(common.Address{4}, common.Hash{1}))
	_, err = netShared(t).network([]*link{a, other}, senders)
	require.ErrorIs(t, err, ErrConfig)
	_, err = netShared(t, NetworkChain{Name: "Filecoin"}).network([]*link{a}, senders)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `"Filecoin"`, "names are exact")

	// The API serves no gateway of the legacy generation.
	api := &GMP{URL: "http://127.0.0.1:1"}
	_, err = netShared(t, NetworkChain{Name: "Ethereum", GMP: api}).network([]*link{a}, senders)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "legacy")
	ends, err = netShared(t, NetworkChain{Name: "filecoin", GMP: api}).network([]*link{a}, senders)
	require.NoError(t, err)
	for _, n := range ends {
		require.Equal(t, n.name == "filecoin", n.gmp != nil)
		require.NoError(t, n.close())
	}
	_, err = netShared(t, NetworkChain{Name: "filecoin", TopUp: &TopUp{}}).network([]*link{a}, senders)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "no account pays")
}
