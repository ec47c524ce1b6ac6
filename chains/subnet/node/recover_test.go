package node

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAGethPutBackFromACopyIsReplayed(t *testing.T) {
	t.Parallel()
	r := startRig(t, 2)
	r.reach(4)
	require.NoError(t, r.node.Stop())
	copyOf := filepath.Join(t.TempDir(), "geth")
	require.NoError(t, os.CopyFS(copyOf, os.DirFS(filepath.Join(r.home, gethDir))))
	r.start()
	r.reach(9)
	require.NoError(t, r.node.Stop())
	before := r.node.app.current()

	require.NoError(t, os.RemoveAll(filepath.Join(r.home, gethDir)))
	require.NoError(t, os.Rename(copyOf, filepath.Join(r.home, gethDir)))
	r.start()
	require.GreaterOrEqual(t, r.node.Height(), before.Height)
	state, ok, err := load[chainState](r.node.store, numKey(keyState, before.Height))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, before, state, "replay derives the same state")
	r.reach(before.Height + 2)
}

func TestAConsensusStorePutBackFromACopyRewindsGeth(t *testing.T) {
	t.Parallel()
	r := startRig(t, 2)
	r.reach(4)
	require.NoError(t, r.node.Stop())
	at := r.node.app.current()
	copyOf := filepath.Join(t.TempDir(), "comet")
	require.NoError(t, os.CopyFS(copyOf, os.DirFS(filepath.Join(r.home, cometDir))))
	r.start()
	r.reach(9)
	require.NoError(t, r.node.Stop())

	require.NoError(t, os.RemoveAll(filepath.Join(r.home, cometDir)))
	require.NoError(t, os.Rename(copyOf, filepath.Join(r.home, cometDir)))
	r.start()
	// The validator's key will not sign these heights a second time.
	require.Equal(t, at.Height, r.node.Height())
	require.Equal(t, at.Hash, r.node.evm.head().Hash())
	require.Equal(t, at, r.node.app.current())
}

func TestAHomeBelongsToOneGenesisAndOneKey(t *testing.T) {
	p := newFakeParent("main")
	g := testGenesis(t, p, 5, testKey("validator 0"))
	home := t.TempDir()
	require.NoError(t, InitHome(home, g, testKey("validator 0")))
	require.NoError(t, InitHome(home, g, testKey("validator 0")), "twice is once")
	require.ErrorIs(t, InitHome(home, g, testKey("validator 1")), ErrHomeTaken)
	other := g
	other.Period = 6
	require.ErrorIs(t, InitHome(home, other, testKey("validator 0")), ErrHomeTaken)
	for _, f := range []string{keyFile(home), stateFile(home), nodeKeyFile(home), filepath.Join(home, genesisFile)} {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f)
	}
	back, err := LoadGenesis(home)
	require.NoError(t, err)
	require.Equal(t, g.Hash(), back.Hash())

	require.NoError(t, os.WriteFile(filepath.Join(home, genesisFile), []byte(`{"chain_id":1,"surprise":2}`), 0o600))
	_, err = LoadGenesis(home)
	require.ErrorContains(t, err, "surprise")
}

func TestAConfigurationSaysEverythingThatIsWrongWithIt(t *testing.T) {
	err := Config{HTTPAddr: "nonsense"}.Check()
	for _, want := range []string{"home", "parent", "block_interval", "http_addr", "p2p_addr"} {
		require.ErrorContains(t, err, want)
	}
	_, err = Start(context.Background(), Config{})
	require.Error(t, err)
}
