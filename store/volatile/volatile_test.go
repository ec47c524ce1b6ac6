package volatile_test

import (
	"context"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/store/volatile"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func start(t *testing.T) (*volatile.Server, *redis.Client) {
	t.Helper()
	s, err := volatile.Start(0)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	o, err := redis.ParseURL(s.URL())
	require.NoError(t, err)
	o.Protocol, o.DisableIdentity = 2, true
	r := redis.NewClient(o)
	t.Cleanup(func() { _ = r.Close() })
	return s, r
}

func TestItListensOnLoopbackAndSaysThatItKeepsNothing(t *testing.T) {
	s, r := start(t)
	require.True(t, strings.HasPrefix(s.Addr(), "127.0.0.1:"), s.Addr())
	all, err := r.Info(ctx).Result()
	require.NoError(t, err)
	for _, line := range []string{"redis_version:7.0.0", "server_name:causeway-volatile", "role:master", "loading:0", "aof_enabled:0", "maxmemory:0", "maxmemory_policy:noeviction"} {
		require.Contains(t, all, "\r\n"+line+"\r\n")
	}
	one, err := r.Info(ctx, "server").Result()
	require.NoError(t, err)
	require.Contains(t, one, "\r\nrun_id:")
	require.NotContains(t, one, "role:")

	other, r2 := start(t)
	require.NotEqual(t, s.Addr(), other.Addr())
	two, err := r2.Info(ctx, "server").Result()
	require.NoError(t, err)
	require.NotEqual(t, one, two, "each has a run id of its own")

	c, err := r.ConfigGet(ctx, "append*").Result()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"appendonly": "no", "appendfsync": "no"}, c)
	require.ErrorContains(t, r.ConfigSet(ctx, "appendonly", "yes").Err(), "CONFIG GET only")
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	s, _ := start(t)
	_, err := volatile.Start(s.Port())
	require.ErrorContains(t, err, "address already in use")
}

func TestAScriptMayBeginWithItsFlags(t *testing.T) {
	_, r := start(t)
	s := redis.NewScript("#!lua flags=allow-oom\nredis.call('INCR', KEYS[1])\nreturn {'OK', ARGV[1]}")
	require.ErrorContains(t, s.EvalSha(ctx, r, []string{"k"}, "a").Err(), "NOSCRIPT")
	for range 2 { // by its text, then by its hash
		out, err := s.Run(ctx, r, []string{"k"}, "a").StringSlice()
		require.NoError(t, err)
		require.Equal(t, []string{"OK", "a"}, out)
	}
	out, err := s.EvalSha(ctx, r, []string{"k"}, "b").StringSlice()
	require.NoError(t, err)
	require.Equal(t, []string{"OK", "b"}, out)
	n, err := r.Get(ctx, "k").Int()
	require.NoError(t, err)
	require.Equal(t, 3, n)

	// The missing line does not move the others.
	require.ErrorContains(t, r.Eval(ctx, "#!lua\n\nerror('here')", nil).Err(), ":3: here")
	// Only the first line is a script's own, and only Lua is spoken.
	require.Error(t, r.Eval(ctx, "return 1\n#!lua", nil).Err())
	require.Error(t, r.Eval(ctx, "#!js\nreturn 1", nil).Err())
}
