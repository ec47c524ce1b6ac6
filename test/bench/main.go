// Command bench measures the bridge on this machine and prints one JSON
// document: cycles of the queue against a Redis that fsyncs every write,
// catching up over a long chain, transfers both ways over a real devnet, the
// time from a final event to the broadcast that answers it, gas per message from
// receipts beside what the published contracts cost, backlogs of transfers and
// of checkpoints, native transfers in the subnet, and what the relayer takes of
// the machine while it has nothing to do, with a short history and with a long
// one. With -page it writes such a document as a table. It promises to print what it measured, whatever it
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
	"strings"
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
	page    string // a JSON to print as a page instead of measuring
	short   bool
	parts   []part
	program string // a causeway binary; "" builds one
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.out, "out", "", "write the JSON to this file too")
	f.StringVar(&o.page, "page", "", "measure nothing: print this JSON as Markdown")
	f.BoolVar(&o.short, "short", false, "fewer samples")
	f.StringVar(&only, "only", "", "measure these parts, separated by commas: "+strings.Join(partNames(), ", "))
	f.StringVar(&o.program, "program", "", "use this causeway binary instead of building one")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, errors.New("usage: bench [-short] [-only PART,PART] [-out FILE] [-program FILE], or bench -page FILE")
	}
	var err error
	o.parts, err = chosen(only)
	return o, err
}

// progress tells a person on stderr what happens.
type progress func(format string, args ...any)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.page != "" {
		return printPage(o.page, stdout)
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	l := &lab{size: full, say: say, program: o.program}
	if o.short {
		l.size = short
	}
	r := Report{Schema: schema, Mode: l.size.name, Started: began.UTC().Truncate(time.Second), Notes: notes}
	if r.Commit, r.Modified, err = commit(ctx); err != nil {
		return err
	}
	r.Machine = machine(ctx)
	say("%s run on %d cores, load %.1f", l.size.name, r.Machine.Cores, r.Machine.LoadBefore)

	// What was measured before a part failed is written all the same.
	for _, p := range o.parts {
		if err = p.measure(ctx, l, &r); err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
			break
		}
	}
	err = errors.Join(err, r.sound(), l.close())
	r.Machine.LoadAfter = load()
	r.Seconds = round(time.Since(began).Seconds(), 1)
	if werr := write(r, o.out, stdout); werr != nil {
		return errors.Join(err, werr)
	}
	say("done")
	return err
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
	steady   time.Duration
	batches  []int
	releases bool   // gas of raw releases too
	period   uint64 // subnet blocks between checkpoints

	backlog     int // transfers that wait for the relayer, per direction
	checkpoints int // that do
	blocks      int // of the chain that is caught up with
	finished    int // transfers in the journal
	idle        time.Duration
	node        time.Duration
	epochs      int   // of the root that is read
	reads       int   // runs of each way to read it
	idleEpochs  int   // that calls are counted over
	crossing    int   // transfers that wait to cross, per direction
	crossed     []int // batches of the gas table of crossings
	landings    int   // deposits from Ethereum sent one at a time
}

var (
	full = size{
		name: "full", queue: 5 * time.Second, runs: []queueRun{{1, 1}, {32, 1}, {32, 16}},
		events: 1000, trickle: 30, steady: 30 * time.Second, batches: []int{1, 10, 50}, releases: true, period: 10,
		backlog: 10_000, checkpoints: 100, blocks: 20_000, epochs: 20_000, reads: 7, idleEpochs: 30, finished: 1_000_000, idle: 30 * time.Second, node: 20 * time.Second,
		crossing: 1500, crossed: []int{1, 5, 10, 20}, landings: 20,
	}
	short = size{
		name: "short", queue: 1500 * time.Millisecond, runs: []queueRun{{1, 1}, {32, 1}},
		events: 40, trickle: 0, steady: 4 * time.Second, batches: []int{1, 10}, period: 5,
		backlog: 200, checkpoints: 12, blocks: 1000, epochs: 800, reads: 3, idleEpochs: 3, finished: 2000, idle: 5 * time.Second, node: 6 * time.Second,
		crossing: 30, crossed: []int{1, 5}, landings: 3,
	}
)
