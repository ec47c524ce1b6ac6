package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/stretchr/testify/require"
)

func TestAShortReadingOfALotusRootFindsEveryLogInEachWay(t *testing.T) {
	small := short
	small.epochs, small.reads, small.idleEpochs = 200, 1, 2
	l, err := measureLotus(t.Context(), small, func(string, ...any) {})
	require.NoError(t, err)
	require.Equal(t, sparseEvery, l.Sparse.EventEvery)
	require.Equal(t, denseEvery, l.Dense.EventEvery)
	require.Greater(t, l.Dense.Logs, l.Sparse.Logs)
	for _, m := range []Reading{l.Sparse, l.Dense} {
		require.Greater(t, m.Epochs, small.epochs)
		require.Positive(t, m.NullRounds)
		for _, s := range []Speed{m.Bare, m.BareAtOnce, m.Checked, m.CheckedAtOnce, m.Caught, m.Agreed} {
			require.Positive(t, s.EpochsPerSecond)
			require.Positive(t, s.LogsPerSecond)
		}
		for _, ratio := range []float64{m.CheckedToBare, m.CheckedToBareAtOnce, m.CaughtToBare, m.CaughtToBareAtOnce, m.AgreedToCaught} {
			require.Positive(t, ratio)
		}
	}
	for _, c := range []IdleCalls{l.Idle, l.IdleAgreed} {
		require.Equal(t, small.idleEpochs, c.FinalBlocks)
		require.Positive(t, c.ByMethod["eth_getLogs"])
		require.GreaterOrEqual(t, c.CallsPerBlock, c.HTTPPerBlock)
		require.Positive(t, c.HTTPPerBlock)
	}
}

func TestTheRootsTableStandsByItselfOrBesideTheOthers(t *testing.T) {
	l := &Lotus{
		Sparse: Reading{Epochs: 20_000, NullRounds: 2000, Checked: Speed{EpochsPerSecond: 1234, LogsPerSecond: 56}, CheckedToBare: 0.875},
		Idle:   IdleCalls{FinalBlocks: 2, CallsPerBlock: 4, HTTPPerBlock: 2.5, ByMethod: map[string]int{"eth_getLogs": 2, "Filecoin.ChainHead": 6}},
	}
	alone := page(Report{Lotus: l})
	require.NotContains(t, alone, unmeasured)
	require.Contains(t, alone, "| 1234 epochs/s, 56 logs/s, 88 % of bare | 80 % of bare |")
	require.Contains(t, alone, "4.0 calls in 2.5 HTTP requests per final block, over 2 of them: Filecoin.ChainHead 3.0, eth_getLogs 1.0")
	for _, row := range lotusLines() {
		require.NotEmpty(t, row.limits)
		require.Equal(t, 1, strings.Count(alone, "| "+row.figure+" |"))
	}
	require.Contains(t, page(Report{Lotus: l, Idle: &Idle{}}), unmeasured, "beside other parts those left out are named")
	require.NotContains(t, page(Report{Idle: &Idle{}}), "Lotus")
}

func TestTheDocumentKeepsTheFieldsOfTheRootThatReadersOfItUse(t *testing.T) {
	raw, err := json.Marshal(Report{Lotus: &Lotus{}})
	require.NoError(t, err)
	var doc any
	require.NoError(t, json.Unmarshal(raw, &doc))
	paths := map[string]bool{}
	walk(doc, "", paths)
	for _, want := range []string{
		"lotus.sparse.bare.epochs_per_second", "lotus.dense.checked.logs_per_second", "lotus.dense.checked_to_bare", "lotus.dense.caught_up_to_bare_at_once",
		"lotus.sparse.two_agree_to_one", "lotus.idle_one_source.calls_per_final_block", "lotus.idle_two_agree.http_requests_per_final_block", "lotus.load_1m",
	} {
		require.True(t, paths[want], "the document has no %s", want)
	}
	require.True(t, Report{Lotus: &Lotus{}}.measured())
}

func TestCallsAreCountedOneByOneAlsoWhereARequestHasSeveral(t *testing.T) {
	root, err := startRoot(t.Context(), lotus.Config{Manual: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	counter := &counting{by: map[string]int{}}
	ask := func(body string) {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, root.Node(0).HTTP(), bytes.NewReader([]byte(body)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		res, err := counter.RoundTrip(req)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	const one = `{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}`
	ask(one) // before it begins
	counter.begin()
	ask(one)
	ask("[" + one + `,{"jsonrpc":"2.0","id":2,"method":"eth_blockNumber","params":[]}]`)
	by, requests := counter.counts()
	require.Equal(t, map[string]int{"eth_chainId": 2, "eth_blockNumber": 1}, by)
	require.Equal(t, 2, requests)
}

func TestTheTableIsPrintedFromTheDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.json")
	raw, err := json.Marshal(Report{Schema: schema, Lotus: &Lotus{}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-page", path}, &stdout, &stderr))
	require.Contains(t, stdout.String(), "A root of Lotus nodes")
}
