package relayer

import (
	"context"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// executeTogether is execute of several by the way that the relayer takes.
func (c *crossing) executeTogether(to string, all []arrival) {
	c.t.Helper()
	s := c.sides[to]
	if s.gather.at == (common.Address{}) {
		at := s.send(nil, common.FromHex(bindings.ExecutorMetaData.Bin)).ContractAddress
		var err error
		s.gather, err = probeExecutor(c.t.Context(), s.client, executor{at, 1_000_000})
		require.NoError(c.t, err)
		require.Equal(c.t, executor{at, 1_000_000}, s.gather)
	}
	together := s.gather.together(s.gateway, s.service, s.client)
	var messages []axelar.Message
	var payloads [][]byte
	for _, a := range all {
		require.Equal(c.t, axelar.StateApproved, c.state(to, a))
		messages, payloads = append(messages, a.Message), append(payloads, a.payload)
	}
	failed, err := together.Simulate(c.t.Context(), messages, payloads)
	require.NoError(c.t, err)
	require.Equal(c.t, make([]error, len(all)), failed)

	// With less gas than its share none succeeds, and none alone is refused for it.
	starved := executor{s.gather.at, 40_000}.together(s.gateway, s.service, s.client)
	failed, err = starved.Simulate(c.t.Context(), messages[:1], payloads[:1])
	require.NoError(c.t, err)
	require.ErrorIs(c.t, failed[0], chains.ErrReverted)

	tx, err := together.Tx(messages, payloads)
	require.NoError(c.t, err)
	require.Equal(c.t, s.gather.at, tx.To)
	receipt := s.send(&tx.To, tx.Data)
	c.t.Logf("%s: %d gas execute %d together, %d each", to, receipt.GasUsed, len(all), receipt.GasUsed/uint64(len(all)))
	for _, a := range all {
		require.Equal(c.t, axelar.StateExecuted, c.state(to, a))
	}
	failed, err = together.Simulate(c.t.Context(), messages, payloads)
	require.NoError(c.t, err)
	for _, f := range failed {
		require.ErrorIs(c.t, f, chains.ErrReverted)
	}
	_, err = s.client.EstimateGas(c.t.Context(), evm.CallArg{To: tx.To, Data: tx.Data}, evm.AtLatest)
	require.ErrorIs(c.t, err, chains.ErrReverted, "a second time nothing is executed")
}

func TestOnlyAnExecutorIsTakenForOne(t *testing.T) {
	s := newSide(t, "filecoin", 31_000)
	none, err := probeExecutor(t.Context(), s.client, executor{gas: 7})
	require.NoError(t, err)
	require.Zero(t, none)
	require.Nil(t, none.together(nil, axelar.Service{}, s.client))

	flt := bindings.NewDevFlt()
	other := s.send(nil, append(common.FromHex(bindings.DevFltMetaData.Bin), flt.PackConstructor(common.Address{1})...)).ContractAddress
	for name, at := range map[string]common.Address{"an account": {0xee}, "another contract": other} {
		_, err := probeExecutor(t.Context(), s.client, executor{at, 7})
		require.ErrorIs(t, err, ErrConfig, name)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = probeExecutor(ctx, s.client, executor{other, 7})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrConfig, "nothing was said")
}
