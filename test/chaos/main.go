// Command chaos breaks a running bridge on purpose: real processes under load,
// one fault at a time and several at once, each trial with a seed of its own,
// and after each the invariants from the chains and the journal alone. It goes
// on where an interrupted run stopped. It promises to end with an error if any
// trial found money lost, doubled or stuck.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/test/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	seed      uint64
	faults    []fault
	trials    int
	state     string
	out       string
	program   string
	only      string
	budget    time.Duration
	perWorld  int
	instances time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var names string
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the run; a run that goes on keeps its first")
	f.StringVar(&names, "faults", "all", "comma-separated ids such as F1,F5, or all")
	f.IntVar(&o.trials, "trials", 50, "trials of each fault")
	f.StringVar(&o.state, "state", "chaos", "folder with the state of the run and what failures left behind")
	f.StringVar(&o.out, "out", "", "write the report as JSON to this file (default STATE/report.json)")
	f.StringVar(&o.program, "program", "", "a causeway binary with crash points; \"\" builds one")
	f.StringVar(&o.only, "key", "", "the key that F9 drops (default: any)")
	f.DurationVar(&o.budget, "budget", 0, "begin no trial after this time; 0: no bound")
	f.IntVar(&o.perWorld, "per-world", 60, "trials before a fresh world is deployed")
	f.DurationVar(&o.instances, "instances", 0, "besides, run three instances this long with one killed or stopped every 20s")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.trials < 0 || o.perWorld < 1 {
		return o, errors.New("usage: chaos [-seed N] [-faults F1,F5] [-trials N] [-state DIR] [-out FILE] [-budget D] [-instances D]")
	}
	if o.out == "" {
		o.out = filepath.Join(o.state, "report.json")
	}
	if names == "all" {
		o.faults = faults
		return o, nil
	}
	for _, id := range strings.Split(names, ",") {
		fault, ok := faultByID(strings.TrimSpace(id))
		if !ok {
			return o, fmt.Errorf("there is no fault %q", id)
		}
		o.faults = append(o.faults, fault)
	}
	return o, nil
}

// run makes the missing trials and writes the report.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.state, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	s, err := openState(o.state, o.seed)
	if err != nil {
		return err
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	bin, err := filepath.Abs(filepath.Join(o.state, "bin"))
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if o.program == "" {
		say("building causeway with its crash points")
		if o.program, err = rig.Build(ctx, bin, "causeway"); err != nil {
			return err
		}
	}
	d := &driver{o: o, state: s, say: say, variants: &variants{dir: bin}}
	err = d.trials(ctx, began)
	if err == nil && o.instances > 0 {
		err = d.long(ctx, o.instances)
	}
	if ctx.Err() == nil {
		d.leave(ctx)
	} else if d.w != nil {
		d.abandon() // in the middle of a fault there is nothing to check
	}
	r := s.report()
	fmt.Fprint(stdout, r.text())
	if werr := r.write(o.out); werr != nil {
		return errors.Join(err, werr)
	}
	if n := r.failures(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d failures: logs are in %s", n, filepath.Join(o.state, "failures")))
	}
	return err
}

// driver runs trials in one world after another.
type driver struct {
	o        options
	state    *state
	say      func(string, ...any)
	variants *variants
	w        *world
	used     int
}

// trials makes round after round, one trial of each fault, so that an early end
// leaves all faults tried alike.
func (d *driver) trials(ctx context.Context, began time.Time) error {
	for index := range d.o.trials {
		for _, f := range d.o.faults {
			if d.state.has(f.ID, index) {
				continue
			}
			if ctx.Err() != nil || d.o.budget > 0 && time.Since(began) > d.o.budget {
				return ctx.Err()
			}
			if err := d.one(ctx, f, index); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *driver) one(ctx context.Context, f fault, index int) error {
	if d.w != nil && d.used >= d.o.perWorld {
		d.leave(ctx)
	}
	if d.w == nil {
		if err := d.enter(ctx); err != nil {
			return err
		}
	}
	d.used++
	t := d.w.run(ctx, f, index, seedOf(d.state.Seed, f.ID, index))
	if ctx.Err() != nil {
		return ctx.Err() // interrupted: this trial is made again
	}
	end := fmt.Sprintf("ok, %.1fs to the last of %d transfers", t.Seconds, t.Transfers)
	if t.Failed != "" {
		end = "FAILED: " + t.Failed
	}
	d.say("%-4s trial %d seed %d (%s): %s", f.ID, index, t.Seed, t.Note, end)
	d.state.Trials = append(d.state.Trials, t)
	if t.Failed != "" {
		// Whatever is wrong now would be found again by every later trial.
		kept := filepath.Join(d.o.state, "failures", fmt.Sprintf("%s-%d", f.ID, index))
		if err := d.w.Keep(kept); err != nil {
			d.say("keep logs: %v", err)
		}
		d.abandon()
	}
	return d.state.save()
}

func (d *driver) enter(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "causeway-chaos-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	d.say("deploying a world")
	w, err := newWorld(ctx, dir, d.o.program, d.variants, func(string, ...any) {})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	w.only, w.load = d.o.only, w.Load(ctx, d.state.Seed+uint64(len(d.state.Trials)))
	d.w, d.used = w, 0
	rig.Pause(ctx, 5*time.Second) // something is under way
	return nil
}

// leave checks a world a last time and stops it.
func (d *driver) leave(ctx context.Context) {
	if d.w == nil {
		return
	}
	verdict := ""
	if err := d.w.end(ctx); err != nil {
		verdict = err.Error()
		if err := d.w.Keep(filepath.Join(d.o.state, "failures", fmt.Sprintf("closing-%d", len(d.state.Closings)))); err != nil {
			d.say("keep logs: %v", err)
		}
	}
	open, ended := d.w.Ledger.Counts()
	d.say("last check of the world: %d transfers ended, %d open: %q", ended, open, verdict)
	d.state.Closings = append(d.state.Closings, verdict)
	if err := d.state.save(); err != nil {
		d.say("%v", err)
	}
	d.abandon()
}

func (d *driver) abandon() {
	if d.w.load != nil {
		_, _ = d.w.load.Abort()
	}
	d.w.Stop()
	if err := os.RemoveAll(d.w.dir); err != nil {
		d.say("remove a world: %v", err)
	}
	d.w = nil
}
