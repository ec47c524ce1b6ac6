package relayer

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store/volatile"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// alert finds an open one.
func alert(s *shared, name string) *alerts.Alert {
	for _, a := range s.Alerts.Open() {
		if a.Name == name {
			return &a
		}
	}
	return nil
}

func TestWhileTheEndpointsOfAChainDisagreeNothingNewIsSentThere(t *testing.T) {
	redis, err := volatile.Start(0)
	require.NoError(t, err)
	defer redis.Close()
	b := newBridge(t, 1)
	ours, topic := common.Address{0xaa}, common.Hash{0xbb}
	nodes := []*fake.Node{b.root}
	for range 2 {
		n := fake.NewNode(t, fakeRoot)
		nodes, b.cfg.Root.Also = append(nodes, n), append(b.cfg.Root.Also, n.URL())
	}
	for _, n := range nodes {
		n.MineN(3)
		n.MineLogs(fake.Log(ours, topic, []byte{1}))
		n.MineN(3)
	}
	require.Equal(t, []string{"subnet-1"}, b.cfg.Single(), "two of three agree about the root")
	s, reg := b.shared(), prometheus.NewRegistry()
	s.tools = newTools(b.cfg, reg, s.Alerts, "")
	db, err := OpenStore(t.Context(), Config{Redis: Redis{URL: redis.URL(), Namespace: "test", AllowVolatile: true}}, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer db.Close()
	s.Journal = db
	if s.Signers, err = loadKeys(b.cfg); err != nil {
		t.Fatal(err)
	}
	root, err := s.dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	tx, err := s.accounts(flow.Root, b.cfg.Root, root)
	require.NoError(t, err)
	defer func() { _ = tx.Close() }()

	// The second one leaves out the event.
	nodes[1].On("eth_getLogs", fake.EditList(func([]any) []any { return []any{} }))
	q := chains.Query{From: chains.Cursor{Chain: fakeRoot, Next: 1}, To: 7, Filter: chains.Filter{Addresses: []common.Address{ours}, Topics: []common.Hash{topic}}, Counted: true}
	_, events, err := root.Events(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, events, 1, "reading goes on")
	s.tellSources(time.Now())
	name := "127.0.0.1#2"
	told := alert(s, alerts.SourcesDisagree)
	require.NotNil(t, told)
	require.Equal(t, "root/"+name, told.Key)
	require.Equal(t, alerts.Page, told.Severity)
	require.Equal(t, "7", told.Fields["height"])
	require.Equal(t, name, told.Fields["source"])
	require.Contains(t, told.Fields["what"], "events of 1 to 7")
	require.Contains(t, told.Summary, "0 events")
	require.ErrorContains(t, s.health.Ready(), "disagree")
	require.Equal(t, map[string]float64{"127.0.0.1": 0, name: 1, "127.0.0.1#3": 0}, perSource(t, reg, "causeway_source_differs"))
	err = tx.Send(t.Context(), chains.Tx{Key: "k", Group: "g", To: ours})
	require.ErrorIs(t, err, chains.ErrUnavailable)
	var split *agree.DisagreementError
	require.ErrorAs(t, err, &split)
	status := s.sources.status(flow.Root)
	require.Len(t, status.Endpoints, 3)
	require.Len(t, status.Endpoints[1].Differs, 1)
	require.Equal(t, 2, status.K)

	// It tells the truth again.
	nodes[1].Clear()
	s.sources.all()[flow.Root].Tend(t.Context())
	s.tellSources(time.Now())
	require.Nil(t, alert(s, alerts.SourcesDisagree))
	err = tx.Send(t.Context(), chains.Tx{Key: "k", Group: "g", To: ours})
	require.False(t, strings.Contains(errText(err), "no new transaction"), "what else is wrong with it: %v", err)
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
				out[m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAnEndpointThatIsAwayTooLongIsTold(t *testing.T) {
	b := newBridge(t, 1)
	n := fake.NewNode(t, fakeRoot)
	b.cfg.Root.Also, b.cfg.Root.Agree = []string{n.URL()}, 1
	s := b.shared()
	root, err := s.dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	n.On("eth_chainId", fake.Answer("no number"))
	_, err = root.Head(t.Context())
	require.NoError(t, err)
	s.tellSources(time.Now())
	require.Nil(t, alert(s, alerts.SourceOut), "for a moment that is nothing")
	s.tellSources(time.Now().Add(sourceAway))
	told := alert(s, alerts.SourceOut)
	require.NotNil(t, told)
	require.Contains(t, told.Summary, "endpoint 127.0.0.1#2 is out")
	n.Clear()
	s.sources.all()[flow.Root].Tend(t.Context())
	s.tellSources(time.Now())
	require.Nil(t, alert(s, alerts.SourceOut))
}

// TestAnEndpointThatItsOwnReaderRefusesIsTold: it answers, and its head moves on.
func TestAnEndpointThatItsOwnReaderRefusesIsTold(t *testing.T) {
	b := newBridge(t, 1)
	ours, topic := common.Address{0xaa}, common.Hash{0xbb}
	nodes := []*fake.Node{b.root}
	for range 2 {
		n := fake.NewNode(t, fakeRoot)
		nodes, b.cfg.Root.Also = append(nodes, n), append(b.cfg.Root.Also, n.URL())
	}
	for _, n := range nodes {
		n.MineN(3)
		n.MineLogs(fake.Log(ours, topic, []byte{1}))
		n.MineN(3)
	}
	s := b.shared()
	root, err := s.dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	nodes[1].On("eth_getTransactionReceipt", fake.Edit(func(receipt map[string]any) { receipt["logs"] = []any{} }))
	q := chains.Query{From: chains.Cursor{Chain: fakeRoot, Next: 1}, To: 7, Filter: chains.Filter{Addresses: []common.Address{ours}, Topics: []common.Hash{topic}, Placed: []common.Address{ours}}}
	_, events, err := root.Events(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, events, 1)
	s.tellSources(time.Now())
	require.Nil(t, alert(s, alerts.SourceOut), "for a moment that is nothing")
	_, err = root.Head(t.Context())
	require.NoError(t, err)
	s.tellSources(time.Now().Add(sourceAway))
	told := alert(s, alerts.SourceOut)
	require.NotNil(t, told)
	require.Equal(t, "root/127.0.0.1#2", told.Key)
	require.Contains(t, told.Summary, "is out: its answers do not add up: root: the receipt of 0x")
	nodes[1].Clear()
	s.sources.all()[flow.Root].Tend(t.Context())
	s.tellSources(time.Now())
	require.Nil(t, alert(s, alerts.SourceOut))
}

func TestEndpointsAreNamedWithoutTheirSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "third")
	require.NoError(t, os.WriteFile(file, []byte("https://key@c.example/hunter2\n"), 0o600))
	list, err := Sources("https://a.example/hunter2", "", []string{"wss://user:hunter2@a.example:8546/x", file, "https://a.example/other"})
	require.NoError(t, err)
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"a.example", "a.example#2", "third", "a.example#3"}, names)
	require.Equal(t, "https://key@c.example/hunter2", list[2].URL)
	_, err = Sources("https://a.example", "", []string{file + "x"})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOneEndpointAloneMustBeAdmitted(t *testing.T) {
	b := newBridge(t, 2)
	c := b.cfg
	require.Equal(t, []string{flow.Root, "subnet-1", "subnet-2"}, c.Single())
	require.Equal(t, "single-source (root, subnet-1, subnet-2)", Believed(c.Single()))
	c.SingleSource = false
	require.ErrorContains(t, c.Check(), "single_source: root, subnet-1, subnet-2:")
	c.Root.Also = []string{"http://other.example"}
	c.Subnets[0].Also = []string{"http://other.example"}
	require.ErrorContains(t, c.Check(), "single_source: subnet-2:")
	c.Subnets[1].Also = []string{"/run/secrets/url"}
	require.NoError(t, c.Check())
	require.Equal(t, "quorum", Believed(c.Single()))
	c.Root.Agree = 1
	require.ErrorContains(t, c.Check(), "single_source: root:")
	c.SingleSource = true
	require.NoError(t, c.Check())
	for want, bad := range map[string]Chain{
		"root.agree": {Agree: 3}, "root.also[0]": {Also: []string{c.Root.URL}}, "root.also[1]": {Also: []string{"http://x.example", "http://x.example"}},
		"root.lotus: depth":            {Lotus: &Lotus{}},
		"root.finality: beside lotus":  {Lotus: &Lotus{Depth: 900}},
		"root.lotus.floor: with":       {Lotus: &Lotus{Depth: 900, TrustFinalized: true}},
		"root.lotus.floor: it":         {Lotus: &Lotus{Depth: 900, Floor: 20}},
		"root.lotus.f3.network":        {Lotus: &Lotus{Depth: 900, Floor: 20, F3: &F3{PowerTable: "bafy2bzaceb" + strings.Repeat("a", 52)}}},
		"root.lotus.f3.power_table":    {Lotus: &Lotus{Depth: 900, Floor: 20, F3: &F3{Network: "filecoin", PowerTable: "Qm" + strings.Repeat("a", 52)}}},
		"root.lotus.floors[0]: give":   {Lotus: &Lotus{Depth: 900, Floors: []Floor{{Depth: 1}}}},
		"root.lotus.floors[0].depth":   {Lotus: &Lotus{Depth: 900, Floors: []Floor{{USDC: "1"}}}},
		"root.lotus.floors[0]: \"1.12": {Lotus: &Lotus{Depth: 900, Floors: []Floor{{USDC: "1.1234567", Depth: 1}}}},
	} {
		with := c
		with.Root.Also, with.Root.Agree, with.Root.Lotus = bad.Also, bad.Agree, bad.Lotus
		require.ErrorContains(t, with.Check(), want)
	}
}

func TestTheRootsLotusNodesAreReachedThroughTheDialerThatWasGiven(t *testing.T) {
	b := newBridge(t, 1)
	b.cfg.Root.Finality = ""
	b.cfg.Root.Lotus = &Lotus{Depth: 900, Behind: 2, Floors: []Floor{{USDC: "250000", Depth: 1800}, {FLT: "1", Depth: 5}}}
	require.NoError(t, b.cfg.Check())
	_, err := b.shared().dial(t.Context(), flow.Root, b.cfg.Root)
	require.ErrorIs(t, err, ErrConfig, "without one there is none")

	var got Endpoint
	b.cfg.DialLotus = func(ctx context.Context, e Endpoint, log *slog.Logger) (evm.Reader, error) {
		got = e
		return evm.DialReader(ctx, e.Config, log)
	}
	s := b.shared()
	root, err := s.dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	require.Equal(t, b.cfg.Root.Lotus, got.Lotus)
	require.Equal(t, b.root.URL(), got.URL)
	require.Equal(t, b.root.Hash(0), got.GenesisHash)

	// How deep an event must be is what it begins, once that is known.
	require.Zero(t, got.Deep(chains.Event{}))
	amount := func(route, decimal string, decimals uint8) flow.Flow {
		n, err := tokens.ParseDecimal(decimal, decimals)
		require.NoError(t, err)
		return flow.Flow{Chain: flow.Root, Decode: func(chains.Event) (tokens.Transfer, bool, error) {
			return tokens.Transfer{Route: route, Amount: n}, true, nil
		}}
	}
	for _, c := range []struct {
		flow flow.Flow
		deep uint64
	}{
		{amount("usdc_deposit", "249999.999999", 6), 0},
		{amount("usdc_deposit", "250000", 6), 1800},
		{amount("flt_deposit", "0.5", 18), 0},
		{amount("flt_deposit", "7", 18), 5},
		{amount("flt_withdraw", "7", 18), 5},
		{flow.Flow{Chain: flow.Root, Decode: func(chains.Event) (tokens.Transfer, bool, error) { return tokens.Transfer{}, false, nil }}, 0},
		{flow.Flow{Chain: "subnet-1", Decode: func(chains.Event) (tokens.Transfer, bool, error) { panic("not the root's") }}, 0},
	} {
		s.sources.flows.Store(&[]flow.Flow{c.flow})
		require.Equal(t, c.deep, got.Deep(chains.Event{}))
	}
}
