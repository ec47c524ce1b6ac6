package crash_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/stretchr/testify/require"
)

var call = regexp.MustCompile(`crash\.At\("([^"]+)"\)`)

func TestEveryPointInTheTreeIsInTheTableAndViceVersa(t *testing.T) {
	found := map[string]bool{}
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "crash") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
		return nil
	}))
	names := make([]string, 0, len(found))
	for n := range found {
		names = append(names, n)
	}
	table := crash.Points()
	sort.Strings(names)
	sort.Strings(table)
	require.Equal(t, table, names)
}

const probe = `package main

import "github.com/causeway-bridge/causeway/chains/crash"

func main() {
	for range 3 {
		print("x")
		crash.At("store.after_claim")
	}
}
`

func TestTheWantedPassingOfAPointKillsTheProcess(t *testing.T) {
	dir, err := os.MkdirTemp(".", "probe")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(probe), 0o600))
	bin := filepath.Join(t.TempDir(), "probe")
	out, err := exec.Command("go", "build", "-tags", "crash", "-o", bin, "./"+dir).CombinedOutput()
	require.NoError(t, err, string(out))

	const died = crash.Mark + "store.after_claim\n"
	run := func(at string) (string, error) {
		cmd := exec.Command(bin)
		cmd.Env = append(os.Environ(), "CAUSEWAY_CRASH_AT="+at)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for at, want := range map[string]string{"store.after_claim": "x" + died, "store.after_claim:2": "xx" + died} {
		out, err := run(at)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
		require.Equal(t, want, out)
	}
	for _, at := range []string{"", "store.after_claim:4", "another"} {
		out, err := run(at)
		require.NoError(t, err)
		require.Equal(t, "xxx", out)
	}
}
