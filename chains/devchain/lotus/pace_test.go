package lotus_test

import (
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/stretchr/testify/require"
)

func TestEpochsThatPassedWhileTheRootWasDownAreNullRounds(t *testing.T) {
	r, err := lotus.Start(t.Context(), lotus.Config{ChainID: chainID, Period: time.Second, GenesisTime: uint64(time.Now().Unix()) - 500})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	require.Eventually(t, func() bool { return r.Head() >= 500 }, 20*time.Second, 10*time.Millisecond)
	full := lotusClient(t, r.Node(0).HTTP())
	ts, err := full.ChainGetTipSetByHeight(t.Context(), 499, types.EmptyTSK)
	require.NoError(t, err)
	require.Zero(t, ts.Height())
	head, err := full.ChainHead(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(r.TimeOf(uint64(head.Height())).Unix()), head.MinTimestamp())
	require.LessOrEqual(t, head.MinTimestamp(), uint64(time.Now().Unix()))
}

func TestANewRootMakesUpForItsLead(t *testing.T) {
	const lead = 40
	r, err := lotus.Start(t.Context(), lotus.Config{ChainID: chainID, Period: time.Second, Lead: lead * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	began := time.Now()
	require.Eventually(t, func() bool { return r.TimeOf(r.Head()).After(began) }, 60*time.Second, 10*time.Millisecond)
	full := lotusClient(t, r.Node(0).HTTP())
	for h := range uint64(lead) {
		ts, err := full.ChainGetTipSetByHeight(t.Context(), abi.ChainEpoch(h), types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, h, ts.Height(), "none of them is a null round")
	}
	require.False(t, r.TimeOf(r.Head()).After(time.Now()), "and it does not run ahead")
}

func TestARootWithALeadMakesUpForAStop(t *testing.T) {
	cfg := lotus.Config{ChainID: chainID, Period: time.Second, Lead: 60 * time.Second, DataDir: t.TempDir()}
	r, err := lotus.Start(t.Context(), cfg)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.Head() > 2 }, 20*time.Second, time.Millisecond)
	require.NoError(t, r.Close())
	r, err = lotus.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	began := time.Now()
	require.Eventually(t, func() bool { return r.TimeOf(r.Head()).After(began) }, 30*time.Second, 10*time.Millisecond)
	full := lotusClient(t, r.Node(0).HTTP())
	for h := range uint64(60) {
		ts, err := full.ChainGetTipSetByHeight(t.Context(), abi.ChainEpoch(h), types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, h, ts.Height(), "none of them is a null round")
	}
}

func TestAPausedRootMakesNoEpochs(t *testing.T) {
	r, err := lotus.Start(t.Context(), lotus.Config{ChainID: chainID, Period: 5 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	require.Eventually(t, func() bool { return r.Head() > 3 }, 20*time.Second, time.Millisecond)
	r.Pause()
	at := r.Head()
	mine(t, r, 1)
	require.Equal(t, at+1, r.Head(), "only what is asked for")
	r.Resume()
	require.Eventually(t, func() bool { return r.Head() > at+3 }, 20*time.Second, time.Millisecond)
}
