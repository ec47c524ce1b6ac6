package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/test/rig"
	"github.com/stretchr/testify/require"
)

// The table cannot rot: what it takes out is there, once, and whoever renames a
// test that holds a guard finds it here. `make guards` is the long run.
func TestEveryGuardIsWhereTheTableSaysAndHasATest(t *testing.T) {
	module, err := rig.ModuleRoot(t.Context())
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, p := range places {
		name := p.guard + ", " + p.where
		require.False(t, seen[name], "%s is listed twice", name)
		seen[name] = true
		texts, err := rig.Apply(module, p.edits)
		require.NoError(t, err, name)
		require.NotEmpty(t, texts, name)
		for path, text := range texts {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotEqual(t, string(raw), text, "%s: the edit changes nothing", name)
		}
		require.NotEmpty(t, p.held, "%s: no test holds it", name)
		for _, c := range p.held {
			require.True(t, exists(t, module, c), "%s: there is no test %s", name, c)
		}
	}
	for _, g := range []string{fence, cursor, intent, final, filter, freeze, skip, stipend, order, loss, unseen, bounded} {
		require.True(t, slices.ContainsFunc(places, func(p place) bool { return p.guard == g }), "%s is nowhere", g)
	}
}

// exists looks for a test in the sources.
func exists(t *testing.T, module string, c check) bool {
	if c.solidity() {
		raw, err := os.ReadFile(filepath.Join(module, "contracts", c.pkg))
		require.NoError(t, err)
		return strings.Contains(string(raw), "function "+c.test+"(")
	}
	files, err := filepath.Glob(filepath.Join(module, c.pkg, "*_test.go"))
	require.NoError(t, err)
	top, _, _ := strings.Cut(c.test, "/")
	return slices.ContainsFunc(files, func(file string) bool {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		return strings.Contains(string(raw), "func "+top+"(")
	})
}

// A guard is held by a test that fails: not by one that does not build, did not
// run, or cannot run without it.
func TestOnlyAFailingTestHoldsAGuard(t *testing.T) {
	ended := errors.New("exit status 1")
	for what, c := range map[string]struct {
		out    string
		err    error
		failed bool
		says   string
	}{
		"fails":          {out: `{"Action":"output","Test":"TestA","Output":"I9: stale\n"}` + "\n" + `{"Action":"fail","Test":"TestA"}` + "\n", err: ended, failed: true},
		"passes":         {out: `{"Action":"pass","Test":"TestA"}` + "\n"},
		"is not there":   {out: `{"Action":"pass"}` + "\n", says: "no test ran"},
		"does not build": {out: "# store\n" + `{"Action":"fail"}` + "\n", err: ended, says: "no test failed"},
	} {
		t.Run(what, func(t *testing.T) {
			failed, err := verdict([]byte(c.out), c.err)
			require.Equal(t, c.failed, failed != "")
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
		})
	}
	for out, failed := range map[string]bool{
		"[FAIL: assertion failed] test_a()": true,
		"[PASS] test_a()":                   false,
	} {
		text, err := forged(out, nil)
		require.NoError(t, err)
		require.Equal(t, failed, text != "")
	}
	for out, err := range map[string]error{"Compiler run failed": ended, "No tests match": nil} {
		_, err := forged(out, err)
		require.Error(t, err)
	}
}

func TestAFailureIsReadForItsCause(t *testing.T) {
	c := check{pkg: "./store", test: "TestA", says: "I9: "}
	for failed, want := range map[string]string{
		"seed 7: I9: lane a was settled\n":              "",
		"seed 7: stuck\n":                               `does not say "I9: "`,
		"I9: so it is\npanic: runtime error\n":          "does not run",
		"I9: so it is\nERR user_script:12: nil value\n": "does not run",
	} {
		line, err := judge(failed, c)
		if want == "" {
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(failed), line)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
	require.Equal(t, "Error: Not equal:", cause("=== RUN\n  Error:  Not equal:\n--- FAIL: TestA\n", ""))
}
