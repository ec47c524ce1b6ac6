package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum/crypto"
)

// Arm is the environment that kills a process at a passing.
func Arm(p Passing) string { return fmt.Sprintf("CAUSEWAY_CRASH_AT=%s:%d", p.Point, p.Nth) }

// crashPoint is the point at which a process of ours died; "" when it did not
// die by SIGKILL, or wrote no point's name as its last line.
func crashPoint(s *os.ProcessState, log string) string {
	if !Killed(s) {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(Tail(log, 4000)), "\n")
	name, ok := strings.CutPrefix(lines[len(lines)-1], crash.Mark)
	if !ok {
		return ""
	}
	return name
}

// deadlyWithin is how long a crash point may take to be passed under load.
const deadlyWithin = 90 * time.Second

// Passing is the nth passing of a crash point.
type Passing struct {
	Point string
	Nth   int
}

// CrashAt makes the process that passes a point die there, proves that it did,
// and starts it again. It returns when that is up.
func (w *World) CrashAt(ctx context.Context, p Passing) error {
	switch process, _, _ := strings.Cut(p.Point, "."); process {
	case "deploy":
		return w.crashDeploy(ctx, p)
	case "node":
		return w.CrashNode(ctx, p)
	}
	return w.CrashRelayer(ctx, p)
}

// CrashNode makes the node die at one point after the other.
func (w *World) CrashNode(ctx context.Context, points ...Passing) error {
	return w.WithNode(func() error {
		w.Net.Kill("node")
		for _, p := range points {
			// An armed one may die before it listens.
			err := w.StartNode(ctx, Arm(p))
			wait, cancel := context.WithTimeout(ctx, deadlyWithin)
			s, werr := w.Net.Ended(wait, "node")
			cancel()
			if werr != nil {
				return fmt.Errorf("the node was to die at %s: %w (%v)", p.Point, werr, err)
			}
			if at := crashPoint(s, w.LogFile("node")); at != p.Point {
				return fmt.Errorf("the node was to die at %s and ended %s at %q: %s", p.Point, s, at, Tail(w.LogFile("node"), 1000))
			}
		}
		return w.StartNode(ctx)
	})
}

// CrashSigner makes an approver, from 1, die at one point after the other.
func (w *World) CrashSigner(ctx context.Context, n int, points ...Passing) error {
	return w.WithSigner(n, func() error {
		name := home.SignerName(n)
		w.Net.Kill(name)
		for _, p := range points {
			err := w.StartSigner(ctx, n, Arm(p))
			wait, cancel := context.WithTimeout(ctx, deadlyWithin)
			s, werr := w.Net.Ended(wait, name)
			cancel()
			if werr != nil {
				return fmt.Errorf("%s was to die at %s: %w (%v)", name, p.Point, werr, err)
			}
			if at := crashPoint(s, w.LogFile(name)); at != p.Point {
				return fmt.Errorf("%s was to die at %s and ended %s at %q: %s", name, p.Point, s, at, Tail(w.LogFile(name), 1000))
			}
		}
		return w.StartSigner(ctx, n)
	})
}

// CrashRelayer makes the first instance die at one point after the other.
func (w *World) CrashRelayer(ctx context.Context, points ...Passing) error {
	i := w.Instances[0]
	return i.Alone(func() error {
		i.Kill()
		for _, p := range points {
			err := i.Start(ctx, Arm(p))
			wait, cancel := context.WithTimeout(ctx, deadlyWithin)
			s, werr := i.proc.Wait(wait)
			cancel()
			if werr != nil {
				return fmt.Errorf("%s was to die at %s: %w (%v)", i.Name, p.Point, werr, err)
			}
			if at := crashPoint(s, i.log()); at != p.Point {
				return fmt.Errorf("%s was to die at %s and ended %s at %q: %s", i.Name, p.Point, s, at, Tail(i.log(), 1000))
			}
		}
		return i.Start(ctx)
	})
}

// crashDeploy deploys a second bridge on the same root, dies at a point, goes on,
// and sees that a third run changes nothing.
func (w *World) crashDeploy(ctx context.Context, p Passing) error {
	point := p.Point
	dir, err := os.MkdirTemp(w.opt.Dir, "deploy-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	operator := home.Dir(filepath.Join(dir, "operator"))
	if err := operator.Make(); err != nil {
		return err
	}
	key, err := operator.Key("deployer", home.Light)
	if err != nil {
		return err
	}
	tx, err := w.Bridge.Root.Send(ctx, crypto.PubkeyToAddress(key.PublicKey), nil, home.Ether(100))
	if err != nil {
		return fmt.Errorf("fund a deployer: %w", err)
	}
	if _, err := w.Bridge.Root.Wait(ctx, tx); err != nil {
		return fmt.Errorf("fund a deployer: %w", err)
	}
	at, a := home.Dir(filepath.Join(dir, "bridge")), operator.Account("deployer")
	run := func(env ...string) (*os.ProcessState, string, error) {
		log := filepath.Join(dir, "deploy.log")
		p, err := launch(log, w.opt.Program, env, "deploy", "--root-url", w.Net.Info.RootURL, "--keystore", a.Keystore,
			"--password-file", a.PasswordFile, "--home", string(at), "--log-level", "warn")
		if err != nil {
			return nil, log, err
		}
		wait, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		s, err := p.Wait(wait)
		if err != nil {
			p.Kill()
		}
		return s, log, err
	}
	s, log, err := run(Arm(p))
	if err != nil {
		return fmt.Errorf("deploy was to die at %s: %w", point, err)
	}
	if died := crashPoint(s, log); died != point {
		return fmt.Errorf("deploy was to die at %s and ended %s at %q: %s", point, s, died, Tail(log, 1000))
	}
	var before deploy.Deployment
	for _, again := range []bool{false, true} {
		if s, log, err = run(); err != nil || s.ExitCode() != 0 {
			return fmt.Errorf("deploy does not go on after %s: %v %v: %s", point, err, s, Tail(log, 1000))
		}
		dep, err := deploy.ReadDeployment(at.Deployment())
		if err != nil {
			return err
		}
		if again && !reflect.DeepEqual(dep, before) {
			return violation("a second run of deploy changed the deployment after %s", point)
		}
		before = dep
	}
	return nil
}
