package devnet

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAChildThatWasToldToEndHasNotFailed(t *testing.T) {
	var f family
	for _, name := range []string{"asked", "killed"} {
		p, err := start(t.TempDir(), name, "sleep", nil, "60")
		require.NoError(t, err)
		f.add(p)
	}
	require.NoError(t, f.failed())
	f.get("asked").stop()
	f.get("killed").kill()
	require.NoError(t, f.failed())

	p, err := start(t.TempDir(), "died", "false", nil)
	require.NoError(t, err)
	f.add(p)
	<-p.done
	require.ErrorContains(t, f.failed(), "died ended")
}
