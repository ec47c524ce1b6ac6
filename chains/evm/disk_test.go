package evm

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pipe takes what is written and cannot make it safe.
func TestAnAppendThatCannotBeMadeSafeIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "intents.log")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	d, err := openLocalDisk(path)
	require.NoError(t, err)
	require.Error(t, d.Append([]byte("a line\n")))
	require.NoError(t, d.Close())
}
