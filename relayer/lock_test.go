package relayer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/stretchr/testify/require"
)

func TestAFolderHasOneProcessAndTheNextIsToldWhich(t *testing.T) {
	dir := t.TempDir()
	release, err := relayer.Lock(dir, "a devnet")
	require.NoError(t, err)
	_, err = relayer.Lock(dir, "a relayer")
	require.ErrorIs(t, err, relayer.ErrLocked)
	require.ErrorContains(t, err, fmt.Sprintf("a devnet (pid %d) runs in %s", os.Getpid(), dir))
	require.NoError(t, release())

	release, err = relayer.Lock(dir, "a relayer with a longer name")
	require.NoError(t, err)
	require.NoError(t, release())
	release, err = relayer.Lock(dir, "x")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "lock"))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%d x\n", os.Getpid()), string(raw), "nothing of the one before")

	require.NoError(t, os.Truncate(filepath.Join(dir, "lock"), 0))
	_, err = relayer.Lock(dir, "y")
	require.ErrorContains(t, err, "another process runs")
	require.NoError(t, release())
	_, err = relayer.Lock(filepath.Join(dir, "none"), "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}
