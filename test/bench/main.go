// Command bench measures the bridge on this machine and prints one JSON
// document: cycles of the queue against a Redis that fsyncs every write,
// transfers both ways over a real devnet, the time from a final event to the
// broadcast that answers it, and gas per message from receipts, beside what the
// published contracts cost. It promises to print what it measured, whatever it
// is: no figure is ever compared with a target here. It fails only where a
// transfer does not end well or an invariant is broken, since the speed of a
// bridge that loses money is no figure at all.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	out     string // file for the JSON besides stdout; "" = none
	short   bool
	only    string // "", "queue" or "bridge"
	program string // a causeway binary; "" builds one
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.out, "out", "", "write the JSON to this file too")
	f.BoolVar(&o.short, "short", false, "fewer samples, under two minutes")
	f.StringVar(&o.only, "only", "", "measure one part: queue or bridge")
	f.StringVar(&o.program, "program", "", "use this causeway binary instead of building one")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.only != "" && o.only != "queue" && o.only != "bridge" {
		return o, errors.New("usage: bench [-short] [-only queue|bridge] [-out FILE] [-program FILE]")
	}
	return o, nil
}

// progress tells a person on stderr what happens.
type progress func(format string, args ...any)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	size := full
	if o.short {
		size = short
	}
	r := Report{Schema: schema, Mode: size.name, Started: began.UTC().Truncate(time.Second), Notes: notes}
	if r.Commit, r.Modified, err = commit(ctx); err != nil {
		return err
	}
	r.Machine = machine(ctx)
	say("%s run on %d cores, load %.1f", size.name, r.Machine.Cores, r.Machine.LoadBefore)

	if o.only != "bridge" {
		if r.Queue, err = measureQueue(ctx, size, say); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	var broken error
	if o.only != "queue" {
		if r.Bridge, err = measureBridge(ctx, o, size, say); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		broken = r.Bridge.sound()
	}
	r.Machine.LoadAfter = load()
	r.Seconds = round(time.Since(began).Seconds(), 1)
	if err := write(r, o.out, stdout); err != nil {
		return err
	}
	say("done")
	return broken
}

// write prints the report and replaces the file as a whole.
func write(r Report, path string, stdout io.Writer) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	raw = append(raw, '\n')
	if path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make folder of the report: %w", err)
		}
		if err := os.WriteFile(path+".part", raw, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := os.Rename(path+".part", path); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	_, err = stdout.Write(raw)
	return err
}

// size is how much is measured.
type size struct {
	name     string
	queue    time.Duration // per run
	runs     []queueRun
	events   int // of a burst, per direction
	trickle  int // transfers sent one at a time, per direction
	batches  []int
	releases bool   // gas of raw releases too
	period   uint64 // subnet blocks between checkpoints
}

var (
	full = size{
		name: "full", queue: 5 * time.Second, runs: []queueRun{{1, 1}, {32, 1}, {32, 16}},
		events: 1000, trickle: 60, batches: []int{1, 10, 50}, releases: true, period: 10,
	}
	short = size{
		name: "short", queue: 1500 * time.Millisecond, runs: []queueRun{{1, 1}, {32, 1}},
		events: 40, trickle: 0, batches: []int{1, 10}, period: 5,
	}
)
