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
	overlay, err := Overlay(filepath.Join(dir, "edits"), dir, []Edit{edit})
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

func TestAnEditAppliesToWhatIsThereOnceAndToWhatOthersLeft(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.go")
	require.NoError(t, os.WriteFile(file, []byte("one two two"), 0o600))
	texts, err := Apply(dir, []Edit{{File: "a.go", Old: "one", New: "three"}, {File: "a.go", Old: "three two", New: "four"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{file: "four two"}, texts)
	for _, old := range []string{"two", "five"} {
		_, err := Apply(dir, []Edit{{File: "a.go", Old: old}})
		require.ErrorContains(t, err, "not once")
	}
	_, err = Apply(dir, []Edit{{File: "b.go", Old: "one"}})
	require.ErrorIs(t, err, os.ErrNotExist)
}
