//go:build crash

package approve

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/stretchr/testify/require"
)

// childEnv tells a copy of this test that it is a process to be killed: the folder
// of its ledger and the URL of the store.
const childEnv = "CAUSEWAY_TEST_APPROVER"

// crashWorld is the same in every process.
func crashWorld(t *testing.T, url string) *world {
	w := newWorld(t, axelar.Legacy, nil)
	var err error
	w.db, err = store.Open(ctx, store.Options{URL: url, Namespace: "crash", Instance: "test", AllowUnsafe: true, RetryFor: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })
	w.chain[l1Name].mine(transfer(l1Name, rootName, 100), direct(1))
	w.chain[rootName].mine(transfer(rootName, l1Name, 60), transfer(rootName, l1Name, 40))
	return w
}

// child is a relayer's side and a signer in one process: what each of them writes
// is in the store or on the disk.
func child(t *testing.T, dir, url string) {
	w := crashWorld(t, url)
	for to, from := range map[string]string{rootName: l1Name, l1Name: rootName} {
		q := w.quorum(func(c *QuorumConfig) { c.To, c.Gateway = to, w.gateway[to] })
		_, err := q.Approve(ctx, w.wanted(from))
		require.NoError(t, err)
	}
	s, err := NewSigner(w.signerConfig(0, dir))
	require.NoError(t, err)
	run, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	go func() {
		for run.Err() == nil {
			n := 0
			for _, to := range []string{rootName, l1Name} {
				for _, p := range w.up(to) {
					n += w.signatures(p)
				}
			}
			if n == 2 {
				stop()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	require.NoError(t, s.Run(run))
	require.ErrorIs(t, run.Err(), context.Canceled, "in time")
}

func TestKilledAtEachNamedPointASignerComesBack(t *testing.T) {
	if at := os.Getenv(childEnv); at != "" {
		dir, url, _ := strings.Cut(at, "|")
		child(t, dir, url)
		return
	}
	server := storetest.StartRedis(t)
	for _, point := range crash.Points() {
		if !strings.HasPrefix(point, "approve.") {
			continue
		}
		for _, nth := range []int{1, 2} {
			raw := server.Client()
			require.NoError(t, raw.FlushAll(ctx).Err())
			require.NoError(t, raw.Close())
			dir := t.TempDir()
			run := func(env ...string) (string, error) {
				cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAtEachNamedPointASignerComesBack$")
				cmd.Env = append(append(os.Environ(), childEnv+"="+dir+"|"+server.URL()), env...)
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			out, err := run(fmt.Sprintf("CAUSEWAY_CRASH_AT=%s:%d", point, nth))
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s:%d was never reached: %s", point, nth, out)
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), out)
			require.True(t, strings.HasSuffix(out, crash.Mark+point+"\n"), out)

			// It goes on, and again changes nothing.
			out, err = run()
			require.NoError(t, err, "after %s:%d: %s", point, nth, out)
			once, err := Inspect(dir)
			require.NoError(t, err)
			out, err = run()
			require.NoError(t, err, out)
			twice, err := Inspect(dir)
			require.NoError(t, err)
			require.Equal(t, once.Lines, twice.Lines, "after %s:%d", point, nth)

			// Each call is there once and signed for, each batch signed once; nothing is
			// counted twice: all that came back is all that has gone.
			require.Equal(t, map[string]int{l1Name: 2, rootName: 2}, once.Calls)
			require.Equal(t, map[string]int{l1Name: 2, rootName: 2}, once.Signed)
			require.Len(t, once.Recent, 2)
			w := crashWorld(t, server.URL())
			for _, to := range []string{rootName, l1Name} {
				up := w.up(to)
				require.Len(t, up, 1)
				require.Len(t, up[0].Messages, 2)
				require.Equal(t, 1, w.signatures(up[0]))
			}
			s := w.person(w.signerConfig(0, dir))
			require.Zero(t, s.books.at(side{flt, rootName}).Sign())
			require.NoError(t, s.cfg.Ledger.Close())
		}
	}
}
