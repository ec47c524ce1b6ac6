package relayer

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// lying is an endpoint that tells the truth but for one function, of which it tells
// one word otherwise.
func lying(t *testing.T, url, function string, truth, lie common.Hash) string {
	t.Helper()
	selector := []byte(common.Bytes2Hex(crypto.Keccak256([]byte(function))[:4]))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		resp, err := http.Post(url, "application/json", bytes.NewReader(asked))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		if err != nil {
			return
		}
		if bytes.Contains(asked, selector) {
			said = bytes.ReplaceAll(said, []byte(hexutil.Encode(truth[:])[2:]), []byte(hexutil.Encode(lie[:])[2:]))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(said)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestWhatOneEndpointSaysOfAGatewayIsNotBelieved: with the domain of another gateway
// a signer would sign, for what it has seen, what that one takes.
func TestWhatOneEndpointSaysOfAGatewayIsNotBelieved(t *testing.T) {
	c := newCrossing(t, deploy.GatewayAmplifier)
	c.start(0, 1, 2)
	made := c.sent("Ethereum")
	s := c.approved("filecoin", made)
	c.sides["filecoin"].send(&s.Tx.To, s.Tx.Data)
	c.execute("filecoin", made)
	c.stop(0, 1, 2)

	honest := c.sides["filecoin"].chain.HTTP()
	own, other := crypto.Keccak256Hash([]byte("filecoin")), crypto.Keccak256Hash([]byte("Ethereum"))
	liar := lying(t, honest, "domainSeparator()", own, other)
	connect := func(told string, alter func(*ApproverChain)) (*approver, func() (approve.Chain, error)) {
		cfg := c.config(0)
		alter(&cfg.Chains[1])
		a := newApproverOf(cfg)
		return a, func() (approve.Chain, error) {
			ctx, cancel := context.WithCancel(t.Context())
			type end struct {
				chain   approve.Chain
				readers []evm.Reader
				err     error
			}
			ended := make(chan end, 1)
			go func() {
				chain, readers, err := a.chain(ctx, cfg.Chains[1])
				ended <- end{chain, readers, err}
			}()
			var e end
			require.Eventually(t, func() bool {
				select {
				case e = <-ended:
					return true
				default:
					if told != "" && strings.Contains(a.health.snapshot()["contracts/filecoin"], told) {
						cancel() // it would wait for ever
					}
					return false
				}
			}, time.Minute, 20*time.Millisecond)
			cancel()
			for _, r := range e.readers {
				r.Close()
			}
			return e.chain, e.err
		}
	}
	second := c.sides["filecoin"].second.URL()
	agreeing := func(urls ...string) func(*ApproverChain) {
		return func(c *ApproverChain) { c.URL, c.Also = urls[0], urls[1:] }
	}
	for what, lie := range map[string]struct {
		told  string
		alter func(*ApproverChain)
	}{
		"the first":    {"endpoints disagree about", agreeing(liar, honest)},
		"the other":    {"endpoints disagree about", agreeing(honest, liar)},
		"one of three": {"endpoints disagree about", agreeing(honest, second, liar)},
		"a witness": {"witness 1 of filecoin tells of another gateway", func(c *ApproverChain) {
			c.Proofs, c.Also, c.Witnesses = ProofsHeaders, nil, []string{liar}
		}},
	} {
		_, run := connect(lie.told, lie.alter)
		_, err := run()
		require.ErrorIs(t, err, context.Canceled, "%s lies", what)
	}
	a, run := connect("", agreeing(honest, second))
	chain, err := run()
	require.NoError(t, err)
	require.Empty(t, a.health.snapshot()["contracts/filecoin"])
	require.Equal(t, c.sides["filecoin"].gateway, chain.Gateway)

	// Nor of a token: kept, it would stop every transfer for ever.
	cfg := c.config(0)
	liar = lying(t, honest, "decimals()", common.Hash{31: 18}, common.Hash{31: 6})
	cfg.Chains[1].Also = []string{liar}
	a = newApproverOf(cfg)
	chain, readers, err := a.chain(t.Context(), cfg.Chains[1])
	for _, r := range readers {
		defer r.Close()
	}
	require.NoError(t, err)
	_, _, err = chain.Decimals(t.Context(), c.token)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	var split *agree.DisagreementError
	require.ErrorAs(t, err, &split)
	cfg.Chains[1].Also = []string{c.sides["filecoin"].second.URL()}
	chain, readers, err = newApproverOf(cfg).chain(t.Context(), cfg.Chains[1])
	for _, r := range readers {
		defer r.Close()
	}
	require.NoError(t, err)
	n, known, err := chain.Decimals(t.Context(), c.token)
	require.NoError(t, err)
	require.True(t, known)
	require.EqualValues(t, 18, n)

	// A witness is asked too, though it confirms only headers.
	cfg = c.config(0)
	cfg.Chains[1].Proofs, cfg.Chains[1].Also, cfg.Chains[1].Witnesses = ProofsHeaders, nil, []string{liar}
	chain, readers, err = newApproverOf(cfg).chain(t.Context(), cfg.Chains[1])
	for _, r := range readers {
		defer r.Close()
	}
	require.NoError(t, err)
	_, _, err = chain.Decimals(t.Context(), c.token)
	require.ErrorContains(t, err, "witness 1 of filecoin tells the decimals")
}

// newApproverOf is a signer that is not started.
func newApproverOf(cfg ApproverConfig) *approver {
	reg := prometheus.NewRegistry()
	return &approver{
		cfg: cfg, log: slog.New(slog.DiscardHandler), health: newHealth(), sources: newSources(), rpc: evm.NewMetrics(reg), told: NewSourceMetrics(reg),
		alerts: alerts.New(slog.New(slog.DiscardHandler), time.Hour),
	}
}
