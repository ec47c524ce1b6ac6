//go:build crash

package node

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/crash"
)

func TestKilledAtEachNamedPointTheNodeComesBack(t *testing.T) {
	t.Parallel()
	k := newKiller(t)
	require.Empty(t, k.run(4*time.Second))
	for _, point := range crash.Points() {
		if !strings.HasPrefix(point, "node.") {
			continue
		}
		for _, nth := range []string{":1", ":3"} {
			said := k.run(15*time.Second, "CAUSEWAY_CRASH_AT="+point+nth)
			require.Equal(t, crash.Mark+point+"\n", said, "%s%s was never reached", point, nth)
		}
	}
	top, seen := k.top, k.seen
	require.Empty(t, k.run(5*time.Second))
	require.Greater(t, k.top, top)
	require.Greater(t, k.seen, seen)
	require.Contains(t, k.gaps, uint64(1), "some block was replayed")
}
