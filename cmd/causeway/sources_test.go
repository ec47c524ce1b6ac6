package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestTheNodesRootIsWhatItsEndpointsAgreeOn(t *testing.T) {
	one, two := fake.NewNode(t, 31), fake.NewNode(t, 31)
	for _, n := range []*fake.Node{one, two} {
		n.MineN(5)
		n.SetFinal(1)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "second"), []byte(two.URL()+"\n"), 0o600))
	path := filepath.Join(dir, "node.yaml")
	require.NoError(t, os.WriteFile(path, []byte("parent: {url: '"+one.URL()+"', also: [second], chain_id: 31}\n"), 0o600))
	cfg, err := home.ReadNode(path)
	require.NoError(t, err)
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	root := newRootSources(cfg.Parent, reg)
	health := nodeHealth{new(atomic.Pointer[node.Node]), root}
	require.EqualError(t, health.Ready(), "starting")
	require.Nil(t, health.status().Sources)
	parent, err := root.dial(t.Context(), log)
	require.NoError(t, err)
	defer parent.Close()
	head, err := parent.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, head.Number)
	two.Reorg(3, true)
	two.MineN(5)
	require.NoError(t, root.trouble())
	_, err = parent.BlockByNumber(t.Context(), head.Number)
	require.ErrorIs(t, err, chains.ErrUnavailable)

	// Readiness, status and metrics say who differs, about what.
	require.ErrorContains(t, health.Ready(), "parent: root: endpoints disagree about block 4 (127.0.0.1")
	require.ErrorContains(t, health.Ready(), two.Hash(4).Hex())
	s := health.status()
	require.False(t, s.Ready)
	require.Contains(t, s.Why, "disagree")
	require.Equal(t, "quorum", s.Believed)
	require.Len(t, s.Sources.Endpoints, 2)
	root.tell()
	require.Equal(t, map[string]float64{"127.0.0.1": 1, "second": 1}, perSource(t, reg, "causeway_source_differs"))

	// One that is out is remarked, since the other may be enough.
	two.On("eth_chainId", fake.HangUp)
	two.On("eth_getBlockByNumber", fake.HangUp)
	_, err = parent.Head(t.Context())
	require.Error(t, err)
	require.Contains(t, health.Remarks()["root endpoint second"], "out since 2")
	root.tell()
	require.Equal(t, map[string]float64{"127.0.0.1": 1, "second": 0}, perSource(t, reg, "causeway_source_up"))

	cfg.Parent.Agree = 3
	require.ErrorContains(t, cfg.Check(), "parent.agree")
	cfg.Parent.Agree, cfg.Parent.ChainID = 0, 32
	root = newRootSources(cfg.Parent, prometheus.NewRegistry())
	_, err = root.dial(t.Context(), log)
	require.ErrorIs(t, err, chains.ErrWrongChain)
	require.ErrorContains(t, root.trouble(), "endpoint 127.0.0.1")
	cfg.Parent.Also = nil
	require.Equal(t, "single-source (root)", nodeHealth{new(atomic.Pointer[node.Node]), newRootSources(cfg.Parent, prometheus.NewRegistry())}.status().Believed)
}

// perSource are the values of a gauge by its last label, the source.
func perSource(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				require.Equal(t, "root", m.GetLabel()[0].GetValue())
				out[m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

func TestTheStatusShowsHowEachEndpointDoes(t *testing.T) {
	since := time.Unix(1e9, 0).UTC()
	text := statusText(relayer.Status{
		Sources: "single-source (subnet)",
		Chains: []relayer.ChainStatus{{PublicChain: relayer.PublicChain{Name: "root"}, Sources: &agree.Status{K: 2, Endpoints: []agree.EndpointStatus{
			{Name: "a.example", Height: 7},
			{Name: "b.example", Height: 6, Differs: []agree.Difference{{What: "block 6", Said: "this", Others: "that"}}},
			{Name: "c.example", Height: 5, Out: "it serves another chain", Since: &since},
		}}}},
	})
	for _, want := range []string{
		"single-source (subnet)", "  endpoint a.example: final 7, 2 of 3 must agree\n", "    DIFFERS about block 6: says this; others say that\n",
		"  endpoint c.example: final 5, 2 of 3 must agree, OUT since 2001-09-09T01:46:40Z: it serves another chain\n",
	} {
		require.Contains(t, text, want)
	}
}

func TestFinalityBesideALotusBlockIsAnError(t *testing.T) {
	read := func(more string) (home.NodeConfig, error) {
		path := filepath.Join(t.TempDir(), "node.yaml")
		require.NoError(t, os.WriteFile(path, []byte("parent: {url: 'http://x.example', also: ['http://y.example'], chain_id: 31"+more+"}\n"), 0o600))
		return home.ReadNode(path)
	}
	cfg, err := read("")
	require.NoError(t, err)
	require.Equal(t, "finalized", cfg.Parent.Finality)
	cfg, err = read(", lotus: {depth: 900}")
	require.NoError(t, err)
	require.Empty(t, cfg.Parent.Finality)
	for _, finality := range []string{"finalized", "depth:900"} {
		_, err = read(", lotus: {depth: 900}, finality: '" + finality + "'")
		require.ErrorContains(t, err, "parent.finality: beside lotus")
	}
}

func TestASignerReadsTheRootAsTheRelayerDoes(t *testing.T) {
	dir := home.Dir(t.TempDir())
	dep := deploy.Deployment{Crossing: &deploy.Crossing{L1: deploy.AxelarSet{Chain: "Ethereum", ChainID: 1}, Root: deploy.AxelarSet{Chain: "filecoin", ChainID: 314}}}
	lotus := &relayer.Lotus{Depth: 6, Behind: 1, Floors: []relayer.Floor{{FLT: "1", Depth: 7}}}
	require.NoError(t, dir.WriteSigner(1, dep, relayer.Redis{}, home.SignerEndpoints{
		L1: "http://l1.example", Root: "http://a.example", RootAlso: []string{"http://b.example"}, Lotus: lotus,
	}))
	cfg, err := relayer.ReadApprover(dir.SignerConfig(1))
	require.NoError(t, err)
	root := cfg.Chains[1]
	require.EqualValues(t, 6, root.Lotus.Depth)
	require.EqualValues(t, 1, root.Lotus.Behind)
	require.Empty(t, root.Lotus.Floors, "those are the relayer's")
	require.Empty(t, root.Finality)
	require.Equal(t, []string{"http://b.example"}, root.Also)
	require.Equal(t, relayer.ProofsEndpoints, root.Proofs)
	require.Equal(t, []string{"Ethereum"}, cfg.Single())

	require.NoError(t, dir.WriteSigner(2, dep, relayer.Redis{}, home.SignerEndpoints{L1: "http://l1.example", Root: "http://a.example"}))
	cfg, err = relayer.ReadApprover(dir.SignerConfig(2))
	require.NoError(t, err)
	require.Equal(t, "finalized", cfg.Chains[1].Finality)
	require.Equal(t, relayer.ProofsHeaders, cfg.Chains[1].Proofs)
}

// One endpoint alone is believed where a file or the command line says so.
func TestTheCommandLineAdmitsASingleSource(t *testing.T) {
	dir := t.TempDir()
	node, run, sign := filepath.Join(dir, "node.yaml"), filepath.Join(dir, "causeway.yaml"), filepath.Join(dir, "approver.yaml")
	require.NoError(t, os.WriteFile(node, []byte("parent: {url: 'http://x.example', chain_id: 31}\n"), 0o600))
	require.NoError(t, os.WriteFile(run, []byte("root: {url: 'http://x.example', chain_id: 31}\n"), 0o600))
	require.NoError(t, os.WriteFile(sign, []byte("chains: [{name: Ethereum, url: 'http://x.example', chain_id: 1}]\n"), 0o600))
	for _, single := range []bool{false, true} {
		g := &globals{single: single}
		_, err := home.ReadNode(node, func(c *home.NodeConfig) { c.Parent.SingleSource = c.Parent.SingleSource || g.single })
		_, relays := g.config(run)
		_, signs := g.approver(sign)
		for name, err := range map[string]error{"node": err, "relayer": relays, "signer": signs} {
			said := err != nil && strings.Contains(err.Error(), "single_source: ") && strings.Contains(err.Error(), "--single-source")
			require.Equal(t, !single, said, "%s: %v", name, err)
		}
	}
}
