package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/causeway-bridge/causeway/test/rig"
)

// check is a test that must fail when a guard is taken out.
type check struct {
	pkg  string   // as go test takes it, or a file of contracts/test
	test string   // its name, or that of one of its subtests
	args []string // of the test's own flags
	says string   // its failure says this: it is not another one
}

func (c check) solidity() bool { return strings.HasSuffix(c.pkg, ".sol") }

func (c check) String() string {
	return strings.Join(append([]string{strings.TrimPrefix(c.pkg, "./"), c.test}, c.args...), " ")
}

// lab runs tests on sources of which something was taken out.
type lab struct {
	module, dir string
	built       int
}

// sound sees that every test passes as long as nothing is taken out.
func (l *lab) sound(ctx context.Context, places []place, out io.Writer) error {
	seen := map[string]bool{}
	for _, p := range places {
		for _, c := range p.held {
			if seen[c.String()] {
				continue
			}
			seen[c.String()] = true
			failed, err := l.try(ctx, nil, c)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", c, err)
			case failed != "":
				return fmt.Errorf("%s fails while every guard is there:\n%s", c, failed)
			}
			fmt.Fprintf(out, "sound %s\n", c)
		}
	}
	return nil
}

// without sees that a test fails while a place is bare, and as it should.
func (l *lab) without(ctx context.Context, p place, c check) (string, error) {
	failed, err := l.try(ctx, p.edits, c)
	switch {
	case err != nil:
		return "", err
	case failed == "":
		return "", fmt.Errorf("%s passes all the same", c)
	}
	return judge(failed, c)
}

// judge reads the failure of a test that held: the line that says why.
func judge(failed string, c check) (string, error) {
	// A guard that is gone leaves a program that runs.
	for _, crash := range []string{"\npanic: ", "fatal error: ", "user_script:"} {
		if strings.Contains(failed, crash) {
			return "", fmt.Errorf("%s does not run without it:\n%s", c, failed)
		}
	}
	if line := cause(failed, c.says); line != "" {
		return line, nil
	}
	return "", fmt.Errorf("%s fails and does not say %q:\n%s", c, c.says, failed)
}

// cause is the line of a failure that says something, or says why.
func cause(failed, says string) string {
	for _, mark := range []string{says, "Error:", "[FAIL", "seed ", "--- FAIL"} {
		if says != "" && mark != says || mark == "" {
			continue
		}
		for line := range strings.Lines(failed) {
			if strings.Contains(line, mark) {
				return short(line)
			}
		}
	}
	return ""
}

var space = regexp.MustCompile(`\s+`)

func short(line string) string {
	line = strings.TrimSpace(space.ReplaceAllString(line, " "))
	const most = 160
	if r := []rune(line); len(r) > most {
		return string(r[:most]) + "…"
	}
	return line
}

// try runs a test on edited sources. What it returns is the output of a test
// that failed; one that could not be run is an error.
func (l *lab) try(ctx context.Context, edits []rig.Edit, c check) (failed string, err error) {
	if c.solidity() {
		return l.forge(ctx, edits, c)
	}
	args := []string{"test", "-json", "-count=1", "-failfast", "-timeout=30m", "-run", pattern(c.test)}
	if len(edits) > 0 {
		overlay, err := l.overlay(ctx, edits)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := l.command(ctx, "go", append(append(args, c.pkg), c.args...)...)
	out, runErr := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return verdict(out, runErr)
}

// pattern is what go test's -run takes for exactly this test.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// verdict reads the output of go test -json.
func verdict(out []byte, runErr error) (failed string, err error) {
	var text strings.Builder
	passed, fell := 0, false
	for in := bufio.NewReader(bytes.NewReader(out)); ; {
		line, readErr := in.ReadBytes('\n')
		var e struct{ Action, Test, Output string }
		switch {
		case len(line) == 0 || json.Unmarshal(line, &e) != nil:
			text.Write(line)
		default:
			text.WriteString(e.Output)
			if e.Test != "" {
				fell = fell || e.Action == "fail"
				if e.Action == "pass" {
					passed++
				}
			}
		}
		if readErr != nil {
			break
		}
	}
	switch {
	case fell && runErr != nil:
		return text.String(), nil
	case runErr != nil:
		return "", fmt.Errorf("no test failed, and yet: %w\n%s", runErr, text.String())
	case passed == 0:
		return "", fmt.Errorf("no test ran\n%s", text.String())
	}
	return "", nil
}

// overlay is the edited sources for the go command. Where contracts were edited
// it has the bindings that come of them.
func (l *lab) overlay(ctx context.Context, edits []rig.Edit) (string, error) {
	l.built++
	dir := filepath.Join(l.dir, fmt.Sprint(l.built))
	plain := slices.DeleteFunc(slices.Clone(edits), func(e rig.Edit) bool { return strings.HasSuffix(e.File, ".sol") })
	if len(plain) == len(edits) {
		return rig.Overlay(dir, l.module, edits)
	}
	if len(plain) > 0 {
		return "", errors.New("[BUG] a place is in the contracts and elsewhere")
	}
	contracts, err := l.contracts(edits)
	if err != nil {
		return "", err
	}
	made := filepath.Join(dir, "bindings")
	if err := os.MkdirAll(made, 0o700); err != nil {
		return "", err
	}
	for _, step := range [][]string{
		{"node", filepath.Join(contracts, "build.js")},
		{"go", "run", "./contracts/gen", "-in", filepath.Join(contracts, "artifacts/combined.json"), "-out", made},
	} {
		cmd := l.command(ctx, step[0], step[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", step[0], err, out)
		}
	}
	names, err := os.ReadDir(made)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, n := range names {
		replace[filepath.Join(l.module, "contracts/bindings", n.Name())] = filepath.Join(made, n.Name())
	}
	return rig.WriteOverlay(dir, replace)
}

// contracts is a copy of the contracts with edits, and with what forge has
// compiled of earlier ones. The packages and compilers are the tree's own.
func (l *lab) contracts(edits []rig.Edit) (string, error) {
	texts, err := rig.Apply(l.module, edits)
	if err != nil {
		return "", err
	}
	from, to := filepath.Join(l.module, "contracts"), filepath.Join(l.dir, "contracts")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"node_modules", "bin"} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	for _, name := range []string{"build.js", "foundry.toml", "src", "test"} {
		err := filepath.WalkDir(filepath.Join(from, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			target := filepath.Join(to, rel)
			if d.IsDir() {
				return os.MkdirAll(target, 0o700)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if text, ok := texts[path]; ok {
				raw = []byte(text)
			}
			// What has not changed keeps its time, and need not be compiled again.
			if old, err := os.ReadFile(target); err == nil && bytes.Equal(old, raw) {
				return nil
			}
			return os.WriteFile(target, raw, 0o600)
		})
		if err != nil {
			return "", err
		}
	}
	return to, nil
}

// forge runs a Solidity test on edited contracts.
func (l *lab) forge(ctx context.Context, edits []rig.Edit, c check) (failed string, err error) {
	dir, err := l.contracts(edits)
	if err != nil {
		return "", err
	}
	cmd := l.command(ctx, filepath.Join(dir, "node_modules/.bin/forge"), "test", "--offline",
		"--match-path", c.pkg, "--match-test", "^"+regexp.QuoteMeta(c.test)+"(\\(|$)")
	cmd.Dir = dir
	out, runErr := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return forged(string(out), runErr)
}

// forged reads the output of forge test, which ends well though tests fail.
func forged(out string, runErr error) (failed string, err error) {
	switch {
	case strings.Contains(out, "[FAIL"):
		return out, nil
	case runErr != nil:
		return "", fmt.Errorf("no test failed, and yet: %w\n%s", runErr, out)
	case !strings.Contains(out, "[PASS]"):
		return "", fmt.Errorf("no test ran\n%s", out)
	}
	return "", nil
}

// command is a program that is killed with all that it has started.
func (l *lab) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.module
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}
