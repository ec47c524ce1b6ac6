package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Build compiles causeway with its crash points in. Each edit replaces a text in
// a source file, given by its path in the module or, absolute, in the standard
// library: a variant of the program that no source tree holds.
func Build(ctx context.Context, dir, name string, edits ...Edit) (string, error) {
	module, err := ModuleRoot(ctx)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, name)
	args := []string{"build", "-tags", "crash", "-o", program}
	if len(edits) > 0 {
		overlay, err := Overlay(filepath.Join(dir, name+".edits"), module, edits)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay, "-ldflags", "-X main.version="+name)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/causeway")...)
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return program, nil
}

// Edit replaces Old, which must occur once, with New.
type Edit struct{ File, Old, New string }

// NextSchema makes a program whose journal has the next schema version.
func NextSchema() Edit {
	return Edit{File: "store/store.go", Old: "const schema = 2\n", New: "const schema = 3\n"}
}

// SkewedClock makes a program whose wall clock is off by CAUSEWAY_CLOCK_SKEW
// seconds, everywhere: it edits time.Now itself. Durations stay right, as on a
// machine with a wrong clock.
func SkewedClock(ctx context.Context) (Edit, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return Edit{}, fmt.Errorf("find the standard library: %w", err)
	}
	return Edit{
		File: filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go"),
		Old:  "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {",
		New:  "\tsec, nsec, mono := runtimeNow()\n\tsec += skew\n\tif mono == 0 {",
	}, nil
}

// skew goes to the end of time.go.
const skew = `
var skew = func() (n int64) {
	s, _ := syscall.Getenv("CAUSEWAY_CLOCK_SKEW")
	sign := int64(1)
	for i := 0; i < len(s); i++ {
		if s[i] == '-' {
			sign = -1
		} else {
			n = 10*n + int64(s[i]-'0')
		}
	}
	return n * sign
}()
`

// Overlay writes the edited files into a folder and returns the file there that
// tells the go command, by its flag -overlay, to take them for the originals in
// a module. Embedded files may be edited too.
func Overlay(dir, module string, edits []Edit) (string, error) {
	texts, err := Apply(module, edits)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	replace := map[string]string{}
	for i, path := range slices.Sorted(maps.Keys(texts)) {
		text := texts[path]
		if filepath.Base(path) == "time.go" {
			text = strings.Replace(text, "import (\n", "import (\n\t\"syscall\"\n", 1) + skew
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(path)))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("overlay: %w", err)
		}
		replace[path] = changed
	}
	return WriteOverlay(dir, replace)
}

// WriteOverlay says which file the go command takes for which.
func WriteOverlay(dir string, replace map[string]string) (string, error) {
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}

// Apply is the text of each edited file, by its absolute path. A text to
// replace that is not there exactly once is an error: the sources have moved on.
func Apply(module string, edits []Edit) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range edits {
		path := e.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(module, path)
		}
		text, ok := texts[path]
		if !ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("edit: %w", err)
			}
			text = string(raw)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("edit: %s holds the text to replace %d times, not once: %q", e.File, n, e.Old)
		}
		texts[path] = strings.Replace(text, e.Old, e.New, 1)
	}
	return texts, nil
}

// ModuleRoot is the folder of the module that the working folder is in.
func ModuleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", errors.New("find the module: run inside it")
	}
	return dir, nil
}
