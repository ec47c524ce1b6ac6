package relayer

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/stretchr/testify/require"
)

// says is what a running signer tells of itself.
func (c *crossing) says(i int) (s ApproverStatus) {
	c.t.Helper()
	_, body := c.get(i, "/status")
	require.NoError(c.t, json.Unmarshal([]byte(body), &s))
	return s
}

// through makes signers read a chain through several endpoints, and by nothing else.
func through(name string, k int, urls ...string) func(*ApproverConfig) {
	return func(cfg *ApproverConfig) {
		for i := range cfg.Chains {
			if ch := &cfg.Chains[i]; ch.Name == name {
				ch.URL, ch.Also, ch.Agree, ch.Witnesses, ch.Proofs = urls[0], urls[1:], k, nil, ProofsEndpoints
			}
		}
	}
}

// refusedFor is why a signer has not signed.
func refusedFor(s ApproverStatus, reason approve.Reason) string {
	for _, r := range s.Refused {
		if r.Reason == string(reason) {
			return r.Why
		}
	}
	return ""
}

var hides = fake.LieList("eth_getLogs", func([]map[string]any) []map[string]any { return []map[string]any{} })

// TestWhileTheEndpointsOfAChainDisagreeASignerSignsNothingOfIt: two of three tell of
// a call, and one leaves it out. Any of them may be the one that lies.
func TestWhileTheEndpointsOfAChainDisagreeASignerSignsNothingOfIt(t *testing.T) {
	c := newCrossing(t, deploy.GatewayAmplifier)
	made := c.sent("Ethereum")
	l1 := c.sides["Ethereum"].chain.HTTP()
	liar, second := fake.NewProxy(t, l1), fake.NewProxy(t, l1)
	liar.Lie(hides)
	c.alter = through("Ethereum", 0, l1, second.URL(), liar.URL())
	c.start(0, 1, 2)
	_, err := c.sides["filecoin"].quorum.Approve(t.Context(), wantedOf(made))
	require.NoError(t, err)
	who := "127.0.0.1#3"
	for i := range 3 {
		require.Eventually(t, func() bool {
			return strings.Contains(refusedFor(c.says(i), approve.ReasonChain), who+": ")
		}, time.Minute, 20*time.Millisecond, "it says who")
		s := c.says(i)
		require.Equal(t, "quorum", s.Believed)
		require.Equal(t, 1, s.Ledger.Calls["Ethereum"], "reading goes on")
		require.Zero(t, s.Ledger.Signed["Ethereum"])
		require.Len(t, s.Sources["Ethereum"].Endpoints, 3)
		require.NotEmpty(t, s.Sources["Ethereum"].Endpoints[2].Differs)
		require.Empty(t, s.Sources["Ethereum"].Endpoints[0].Differs)
		code, body := c.get(i, "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Contains(t, body, "endpoints disagree about events")
		require.Contains(t, body, who)
	}
	require.Eventually(t, func() bool {
		for _, a := range c.says(0).Alerts {
			if a.Name == alerts.SourcesDisagree {
				return a.Key == "Ethereum/"+who && strings.Contains(a.Summary, "nothing is signed there")
			}
		}
		return false
	}, time.Minute, 20*time.Millisecond)
	_, metrics := c.get(0, "/metrics")
	require.Contains(t, metrics, `causeway_source_differs{chain="Ethereum",source="`+who+`"} 1`)

	// It tells the truth again.
	liar.Lie(nil)
	c.approved("filecoin", made)
	require.Eventually(t, func() bool { code, _ := c.get(0, "/readyz"); return code == http.StatusOK }, time.Minute, 20*time.Millisecond)
}

// TestWhatOneEndpointOfSeveralAloneReportsIsNotSigned: where two must agree, what one
// alone tells never reaches the ledger.
func TestWhatOneEndpointOfSeveralAloneReportsIsNotSigned(t *testing.T) {
	c := newCrossing(t, deploy.GatewayAmplifier)
	made := c.sent("Ethereum")
	l1 := c.sides["Ethereum"].chain.HTTP()
	other := fake.NewProxy(t, l1)
	other.Lie(hides)
	c.alter = through("Ethereum", 0, l1, other.URL())
	c.start(0)
	_, err := c.sides["filecoin"].quorum.Approve(t.Context(), wantedOf(made))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return refusedFor(c.says(0), approve.ReasonUnseen) != "" && len(c.says(0).Alerts) > 0
	}, time.Minute, 20*time.Millisecond)

	// One that is away leaves one too few.
	other.Lie(nil)
	other.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	require.Eventually(t, func() bool { return c.says(0).Sources["Ethereum"].Endpoints[1].Out != "" }, time.Minute, 20*time.Millisecond)
	s := c.says(0)
	require.Zero(t, s.Ledger.Calls["Ethereum"])
	require.Zero(t, s.Ledger.Signed["Ethereum"])
	c.stop(0)

	// One that is enough is named.
	c.alter = func(cfg *ApproverConfig) {
		through("Ethereum", 1, l1, other.URL())(cfg)
		cfg.SingleSource = true
	}
	c.start(0)
	require.Eventually(t, func() bool { return c.says(0).Ledger.Signed["Ethereum"] == 1 }, time.Minute, 20*time.Millisecond)
	require.Equal(t, "single-source (Ethereum)", c.says(0).Believed)
}

// TestASignersLotusNodesAreReachedThroughTheDialerThatWasGiven, with its depth.
func TestASignersLotusNodesAreReachedThroughTheDialerThatWasGiven(t *testing.T) {
	node := fake.NewNode(t, fakeRoot)
	ch := ApproverChain{Name: "filecoin", URL: node.URL(), ChainID: fakeRoot, Proofs: ProofsEndpoints, Lotus: &Lotus{Depth: 900, Behind: 2}}
	_, err := newApproverOf(ApproverConfig{}).dial(t.Context(), ch)
	require.ErrorIs(t, err, ErrConfig, "without one there is none")

	var got Endpoint
	a := newApproverOf(ApproverConfig{DialLotus: func(ctx context.Context, e Endpoint, log *slog.Logger) (evm.Reader, error) {
		got = e
		return evm.DialReader(ctx, e.Config, log)
	}})
	readers, err := a.dial(t.Context(), ch)
	require.NoError(t, err)
	defer readers[0].Close()
	require.Len(t, readers, 1)
	require.Equal(t, ch.Lotus, got.Lotus)
	require.Equal(t, node.URL(), got.URL)
	require.Nil(t, got.Deep)
}

// TestAWitnessOfAnotherBlockKeepsAChainFromBeingSignedFor: headers prove what they
// commit to, and not which of two chains is the one.
func TestAWitnessOfAnotherBlockKeepsAChainFromBeingSignedFor(t *testing.T) {
	c := newCrossing(t, deploy.GatewayAmplifier)
	l1 := c.sides["Ethereum"]
	fork := newSide(t, "fork", l1.client.ChainID())
	l1.chain.Pause()
	fork.chain.Pause()
	require.NoError(t, fork.chain.Mine(t.Context(), int(l1.chain.Head().Number)+5))

	cfg := c.config(0)
	a := newApproverOf(cfg)
	chain, readers, err := a.chain(t.Context(), cfg.Chains[0])
	for _, r := range readers {
		defer r.Close()
	}
	require.NoError(t, err)
	require.Len(t, readers, 2)
	a.chains = []approve.Chain{chain}
	_, err = chain.Source.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, chain.Trouble())
	l1.second.MoveTo(fork.chain.HTTP())
	_, err = chain.Source.Head(t.Context())
	require.Error(t, err)
	require.ErrorContains(t, chain.Trouble(), "by witness 1")
	a.tellSources(time.Now())
	open := a.alerts.Open()
	require.Len(t, open, 1)
	require.Equal(t, alerts.SourcesDisagree, open[0].Name)
	require.Equal(t, "Ethereum/witnesses", open[0].Key)

	l1.second.MoveTo(l1.chain.HTTP())
	require.NoError(t, l1.chain.Mine(t.Context(), 10)) // beyond what the witness has told
	require.Eventually(t, func() bool {
		_, err := chain.Source.Head(t.Context())
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, chain.Trouble())
	a.tellSources(time.Now())
	require.Empty(t, a.alerts.Open())
}
