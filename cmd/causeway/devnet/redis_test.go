package devnet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheRedisServerOfTheMachineIsNamed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := RedisServer(t.Context())
	require.ErrorIs(t, err, ErrNoRedis)
	for says, want := range map[string]string{
		"echo Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64": "redis-server 7.0.15",
		"echo another": "redis-server",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "redis-server"), []byte("#!/bin/sh\n"+says+"\n"), 0o700))
		name, err := RedisServer(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, name)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redis-server"), []byte("#!/bin/sh\nexit 1\n"), 0o700))
	_, err = RedisServer(t.Context())
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrNoRedis, "one that does not work is not replaced by one that forgets")
}
