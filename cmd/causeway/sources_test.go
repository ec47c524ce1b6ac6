package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/test/fake"
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
	parent, err := dialParent(t.Context(), cfg.Parent, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer parent.Close()
	head, err := parent.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, head.Number)
	two.Reorg(3, true)
	two.MineN(5)
	_, err = parent.BlockByNumber(t.Context(), head.Number)
	require.ErrorIs(t, err, chains.ErrUnavailable)

	cfg.Parent.Agree = 3
	require.ErrorContains(t, cfg.Check(), "parent.agree")
	cfg.Parent.Agree, cfg.Parent.ChainID = 0, 32
	_, err = dialParent(t.Context(), cfg.Parent, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, chains.ErrWrongChain)
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
