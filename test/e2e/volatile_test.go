package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/stretchr/testify/require"
)

// TestADevnetWithoutRedisServerUsesOneThatForgetsAndSaysSo takes the tour on a
// machine without redis-server, then starts the bridge of the same home again:
// Redis has forgotten everything, and the chains give it back.
func TestADevnetWithoutRedisServerUsesOneThatForgetsAndSaysSo(t *testing.T) {
	t.Parallel()
	dir, report := home.Dir(t.TempDir()), filepath.Join(t.TempDir(), "report.json")
	cmd := exec.CommandContext(t.Context(), binary, "devnet", "--once", "--axelar", "none", "--home", string(dir), "--report", report)
	cmd.Env = append(os.Environ(), "PATH="+t.TempDir())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s%s", &out, &errs)
	require.Contains(t, errs.String(), "forgets everything when it stops")
	require.Contains(t, errs.String(), "install the package redis-server")

	raw, err := os.ReadFile(report)
	require.NoError(t, err)
	var r devnet.Report
	require.NoError(t, json.Unmarshal(raw, &r))
	require.True(t, r.OK, "%s", raw)
	require.Equal(t, devnet.Volatile, r.Redis)
	require.Len(t, r.Transfers, 40)
	drifts := 0
	for _, i := range r.Invariants {
		require.True(t, i.OK, "%+v", i)
		require.Equal(t, "0", i.Drift, "%+v", i)
		drifts++
	}
	require.NotZero(t, drifts)

	net, err := devnet.Start(t.Context(), devnet.Options{
		Home: dir, Program: binary, Root: devnet.RootLotus, Volatile: true, Settings: devnet.Settings(), LogLevel: "info", Log: slog.New(slog.DiscardHandler),
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	})
	require.NoError(t, err)
	defer net.Stop()
	get := func(url string) (int, string) {
		res, err := http.Get(url)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(body)
	}
	var body string
	require.Eventually(t, func() bool {
		code, text := get(net.Info.Admin + "/readyz")
		body = text
		return code == http.StatusOK && strings.HasPrefix(text, "ok\nremark: journal: ")
	}, time.Minute, 100*time.Millisecond, "readyz")
	require.Contains(t, body, "appendonly is off")
	_, body = get(net.Info.Admin + "/status")
	var status relayer.Status
	require.NoError(t, json.Unmarshal([]byte(body), &status))
	require.Contains(t, status.Remarks["journal"], "appendonly is off")
	_, body = get(net.Info.Admin + "/metrics")
	require.Contains(t, body, "\ncauseway_redis_durability_ok 0\n")

	// What has ended is known again, and every invariant still holds.
	all, err := net.Transfers(t.Context())
	require.NoError(t, err)
	require.Len(t, all, len(r.Transfers))
	for _, transfer := range all {
		require.True(t, transfer.Status.Terminal(), "%s is %s", transfer.ID, transfer.Status)
	}
	found, err := net.Audit(t.Context())
	require.NoError(t, err)
	require.True(t, found.OK, "%+v", found)

	// One that dies under a relayer takes the relayer along: nothing is paid on
	// a guess.
	net.Kill("redis")
	require.NoError(t, net.StartRedis(t.Context()))
	require.Eventually(t, func() bool { return net.Failed() != nil }, time.Minute, 100*time.Millisecond)
	require.ErrorContains(t, net.Failed(), "redis forgot")
}
