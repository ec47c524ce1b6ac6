package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles causeway with its crash points in. Each edit replaces a text in
// a source file, given by its path in the module or, absolute, in the standard
// library: a variant of the program that no source tree holds.
func Build(ctx context.Context, dir, name string, edits ...Edit) (string, error) {
	module, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, name)
	args := []string{"build", "-tags", "crash", "-o", program}
	if len(edits) > 0 {
		overlay, err := writeOverlay(dir, name, module, edits)
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

func writeOverlay(dir, name, module string, edits []Edit) (string, error) {
	replace := map[string]string{}
	for i, e := range edits {
		path := e.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(module, path)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("variant %s: %w", name, err)
		}
		text := string(raw)
		if strings.Count(text, e.Old) != 1 {
			return "", fmt.Errorf("variant %s: %s does not hold the text to replace once", name, e.File)
		}
		text = strings.Replace(text, e.Old, e.New, 1)
		if filepath.Base(path) == "time.go" {
			text = strings.Replace(text, "import (\n", "import (\n\t\"syscall\"\n", 1) + skew
		}
		changed := filepath.Join(dir, fmt.Sprintf("%s-%d.go", name, i))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("variant %s: %w", name, err)
		}
		replace[path] = changed
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("variant %s: %w", name, err)
	}
	overlay := filepath.Join(dir, name+".overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}

func moduleRoot(ctx context.Context) (string, error) {
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
