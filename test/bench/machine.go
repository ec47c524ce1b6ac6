package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// machine describes this one. What it cannot find out stays zero: a figure
// without it is still a figure.
func machine(ctx context.Context) Machine {
	m := Machine{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), LoadBefore: load()}
	if raw, err := os.ReadFile("/proc/meminfo"); err == nil {
		if kib, err := strconv.ParseUint(strings.TrimSuffix(field(string(raw), "MemTotal"), " kB"), 10, 64); err == nil {
			m.MemoryBytes = kib << 10
		}
	}
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = field(string(raw), "model name")
	}
	if raw, err := exec.CommandContext(ctx, "redis-server", "--version").Output(); err == nil {
		for _, word := range strings.Fields(string(raw)) {
			if v, ok := strings.CutPrefix(word, "v="); ok {
				m.Redis = v
			}
		}
	}
	return m
}

// field is the value of the first "name : value" line.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load is the load average of the last minute, 0 where the system has none.
func load() float64 {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(raw), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// root is the folder of the module.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above: run the bench inside the repository")
		}
		dir = up
	}
}

// commit is what is measured. Outside git (a source archive) it is "unknown".
func commit(ctx context.Context) (hash string, modified bool, err error) {
	dir, err := root()
	if err != nil {
		return "", false, err
	}
	raw, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return "unknown", true, ctx.Err()
	}
	status, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil {
		return "", false, fmt.Errorf("ask git for changes: %w", err)
	}
	return strings.TrimSpace(string(raw)), len(status) > 0, nil
}
