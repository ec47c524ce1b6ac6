package rig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestASkewedProgramHasAnotherWallClock(t *testing.T) {
	dir := t.TempDir()
	edit, err := SkewedClock(t.Context())
	require.NoError(t, err)
	overlay, err := writeOverlay(dir, "skewed", dir, []Edit{edit})
	require.NoError(t, err)
	main := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(main, []byte("package main\n\nimport \"time\"\n\nfunc main() { print(time.Now().Unix()) }\n"), 0o600))
	bin := filepath.Join(dir, "clock")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", bin, main).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for skew, want := range map[string]int64{"": 0, "300": 300, "-300": -300} {
		cmd := exec.CommandContext(t.Context(), bin)
		cmd.Env = append(os.Environ(), "CAUSEWAY_CLOCK_SKEW="+skew)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		told, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		require.NoError(t, err)
		require.InDelta(t, want, told-time.Now().Unix(), 5)
	}
}
