package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
)

// Instance is one relayer of a world, with lines of its own to Redis and the
// chains.
type Instance struct {
	Name   string
	Redis  *Line
	Root   *Endpoint
	Subnet *Endpoint

	world   *World
	program string
	config  string
	joined  bool // meant to run

	mu    sync.Mutex // one breaks it at a time
	proc  *Process
	admin string
}

// Join makes an instance and does not start it; program "" is the world's.
func (w *World) Join(name, program string) (*Instance, error) {
	if program == "" {
		program = w.opt.Program
	}
	i := &Instance{Name: name, world: w, program: program, config: w.Dir.Sub(name + ".yaml")}
	var err error
	if i.Redis, err = NewLine(w.redis.Addr()); err != nil {
		return nil, err
	}
	w.later(i.Redis.Close)
	if i.Root, err = NewEndpoint(w.Net.Info.RootURL); err != nil {
		return nil, err
	}
	w.later(i.Root.Close)
	if i.Subnet, err = NewEndpoint(w.Net.Info.SubnetURL); err != nil {
		return nil, err
	}
	w.later(i.Subnet.Close)

	cfg, err := relayer.Read(w.Dir.Config())
	if err != nil {
		return nil, err
	}
	cfg.Instance, cfg.State = name, w.Dir.Sub("state-"+name)
	cfg.Redis.URL, cfg.Root.URL, cfg.Subnets[0].URL = "redis://"+i.Redis.Addr()+"/0", i.Root.URL(), i.Subnet.URL()
	cfg.API = relayer.API{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	cfg.Work.Lease = relayer.Duration(Lease)
	cfg.Root.Fees.BumpAfter, cfg.Subnets[0].Fees.BumpAfter = relayer.Duration(4*time.Second), relayer.Duration(4*time.Second)
	if err := home.WriteYAML(i.config, cfg); err != nil {
		return nil, err
	}
	w.Instances = append(w.Instances, i)
	return i, nil
}

func (i *Instance) log() string { return i.world.LogFile(i.Name) }

// Alone runs f while nobody else of this process breaks the instance.
func (i *Instance) Alone(f func() error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return f()
}

// Start starts the instance and waits until its listeners are open. As a
// supervisor would, it starts one again that could not reach what it needs.
func (i *Instance) Start(ctx context.Context, env ...string) error {
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := i.launch(ctx, env)
		var away *unreachable
		if err == nil || !errors.As(err, &away) || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		Pause(ctx, 200*time.Millisecond)
	}
}

type unreachable struct{ log string }

func (e *unreachable) Error() string {
	return "it cannot reach a chain or Redis; its log ends with:\n" + e.log
}

func (i *Instance) launch(ctx context.Context, env []string) error {
	if i.Running() {
		return fmt.Errorf("%s runs", i.Name)
	}
	ready := i.world.Dir.Sub(i.Name + ".ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start %s: %w", i.Name, err)
	}
	var err error
	i.proc, err = launch(i.log(), i.program, env, "run", "--home", string(i.world.Dir), "--config", i.config, "--ready-file", ready)
	if err != nil {
		return err
	}
	i.joined = true
	var at struct{ API, Admin string }
	err = Until(ctx, 90*time.Second, i.Name+" comes up", func() bool {
		raw, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(raw, &at) == nil || !i.proc.Running()
	})
	i.admin = at.Admin
	switch {
	case err != nil:
		return err
	case at.Admin != "":
		return nil
	case i.proc.cmd.ProcessState.ExitCode() == 3:
		return &unreachable{Tail(i.log(), 600)}
	case i.Forgot():
		return fmt.Errorf("%s: %w", i.Name, ErrForgotten)
	}
	return fmt.Errorf("%s did not come up (%s): %s", i.Name, i.proc.cmd.ProcessState, Tail(i.log(), 1500))
}

// Use makes the next starts run another program; what it returns undoes that.
func (i *Instance) Use(program string) (back func()) {
	was := i.program
	i.program = program
	return func() { i.program = was }
}

// Running says whether its process lives.
func (i *Instance) Running() bool { return i.proc != nil && i.proc.Running() }

// Forgot says that the process has ended because Redis forgot.
func (i *Instance) Forgot() bool {
	return i.proc != nil && !i.proc.Running() && i.proc.cmd.ProcessState.ExitCode() == 1 &&
		strings.Contains(Tail(i.log(), 800), "redis forgot")
}

// Kill is kill -9; it stays meant to run.
func (i *Instance) Kill() {
	if i.proc != nil {
		i.proc.Kill()
	}
}

// Signal sends a signal.
func (i *Instance) Signal(s syscall.Signal) error { return i.proc.Signal(s) }

// Terminate is SIGTERM; it returns the exit code.
func (i *Instance) Terminate(limit time.Duration) (int, error) { return i.proc.Terminate(limit) }

// Leave stops the instance for good.
func (i *Instance) Leave() error {
	i.joined = false
	code, err := i.Terminate(20 * time.Second)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ended with %d: %s", i.Name, code, Tail(i.log(), 1500))
	}
	return err
}

// Ready asks /readyz. It is used to time a start, never to judge.
func (i *Instance) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Partition cuts the instance off from Redis and both chains without a word, or
// joins it again.
func (i *Instance) Partition(yes bool) {
	state := Open
	if yes {
		state = Hole
	}
	i.Redis.Set(state)
	i.Root.Away(yes)
	i.Subnet.Away(yes)
}

func (i *Instance) end() {
	if i.Running() {
		_ = i.proc.Signal(syscall.SIGCONT)
		_, _ = i.proc.Terminate(15 * time.Second)
	}
}

// State is the instance's folder on local disk.
func (i *Instance) State() string { return filepath.Join(string(i.world.Dir), "state-"+i.Name) }

// Gone says that the instance is not meant to run.
func (i *Instance) Gone() { i.joined = false }

// Joined says whether it is.
func (i *Instance) Joined() bool { return i.joined }
