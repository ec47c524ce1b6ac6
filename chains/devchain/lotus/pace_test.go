package lotus_test

import (
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
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
