package lotus

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATornRecordAndABlockWithoutOneAreCutOff(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir, ChainID: 31415926, Manual: true}
	open := func() *Root {
		r, err := Start(t.Context(), cfg)
		require.NoError(t, err)
		return r
	}
	r := open()
	r.NullAt(4)
	require.NoError(t, r.Mine(t.Context(), 6))
	whole := r.view()
	require.NoError(t, r.Close())

	// The kill came after the block of epoch 6 and within its record.
	path := filepath.Join(dir, recordsFile)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 5, bytes.Count(raw, []byte("\n")))
	require.NoError(t, os.WriteFile(path, raw[:len(raw)-20], 0o600))

	r = open()
	require.EqualValues(t, 5, r.Head())
	require.Equal(t, r.view().head().hash, whole[len(whole)-2].hash)
	require.Equal(t, r.view().head().block, r.chain.Head().Hash, "the block below that nobody was shown is no longer the head")
	require.NoError(t, r.Mine(t.Context(), 2))
	again := r.view()
	require.NoError(t, r.Close())
	r = open()
	require.Equal(t, len(again), len(r.view()))
	for i, old := range again {
		require.Equal(t, old.hash, r.view()[i].hash)
	}
	require.NoError(t, r.Close())
}
