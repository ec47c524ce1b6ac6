package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is one child. It lives in its own process group, so that a Ctrl-C at
// the terminal reaches the parent alone, which stops the children in order; and
// it dies with the parent, so that none is left behind.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error
	told atomic.Bool // to end
}

// start runs a child with its output in a log file and env added to its
// environment.
func start(dir, name, program string, env []string, args ...string) (*process, error) {
	path := filepath.Join(dir, name+".log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), f.Close())
	}
	p := &process{name: name, cmd: cmd, log: f, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		_ = f.Close()
		close(p.done)
	}()
	return p, nil
}

// stop asks, waits, then insists.
func (p *process) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	p.told.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.told.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// exited says why the child ended, nil while it runs.
func (p *process) exited() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended (%v); its log ends with:\n%s", p.name, p.err, tailOf(p.log.Name()))
	default:
		return nil
	}
}

// tailOf is the end of a log.
func tailOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 2048
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	raw, _ := io.ReadAll(io.LimitReader(f, most))
	return strings.TrimSpace(string(raw))
}

// await reads the file a child writes once it listens.
func await(ctx context.Context, p *process, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		if raw, err := os.ReadFile(path); err == nil {
			return json.Unmarshal(raw, out)
		}
		select {
		case <-p.done:
			return p.exited()
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w; its log ends with:\n%s", p.name, ctx.Err(), tailOf(p.log.Name()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// family is the set of running children, by name.
type family struct {
	mu    sync.Mutex
	order []string
	by    map[string]*process
}

func (f *family) add(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[string]*process{}
	}
	if _, ok := f.by[p.name]; !ok {
		f.order = append(f.order, p.name)
	}
	f.by[p.name] = p
}

func (f *family) get(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by[name]
}

// stop ends the children, last started first.
func (f *family) stop() {
	f.mu.Lock()
	order := append([]string(nil), f.order...)
	f.mu.Unlock()
	for i := len(order) - 1; i >= 0; i-- {
		f.get(order[i]).stop()
	}
}

// failed is the first child that ended by itself: not one that was told to, and
// will be started again or not.
func (f *family) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.order {
		if f.by[name].told.Load() {
			continue
		}
		if err := f.by[name].exited(); err != nil {
			return err
		}
	}
	return nil
}

// pids lists the children.
func (f *family) pids() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for name, p := range f.by {
		out[name] = p.cmd.Process.Pid
	}
	return out
}
