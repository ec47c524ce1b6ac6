// Command guards takes the guards of the relayer out, one place at a time, and
// sees that tests fail without each. What is edited is what the compilers are
// given: the sources stay as they are. It promises to end with an error if a
// guard could be lost without a test that says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/test/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "guards:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("guards", flag.ContinueOnError)
	only := f.String("only", "", "only the places whose name, file or test this text is part of")
	whole := f.Bool("whole", true, "first see that the tests pass while nothing is taken out")
	if err := f.Parse(args); err != nil {
		return err
	}
	module, err := rig.ModuleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "guards")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{module: module, dir: dir}

	chosen := choose(*only)
	if len(chosen) == 0 {
		return fmt.Errorf("no place matches %q", *only)
	}
	if *whole {
		if err := l.sound(ctx, chosen, out); err != nil {
			return err
		}
	}
	held, bare := 0, 0
	for _, p := range chosen {
		for _, c := range p.held {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			began := time.Now()
			seen, err := l.without(ctx, p, c)
			took := time.Since(began).Round(time.Second / 10)
			if err != nil {
				bare++
				fmt.Fprintf(out, "BARE  %s, %s: %v\n", p.guard, p.where, err)
				continue
			}
			held++
			fmt.Fprintf(out, "held  %s, %s: %s, %s: %s\n", p.guard, p.where, c, took, seen)
		}
	}
	fmt.Fprintf(out, "%d places: %d held, %d not\n", len(chosen), held, bare)
	if bare > 0 {
		return errors.New("a guard may be lost without a test that says so")
	}
	return nil
}

// choose lists the places that a text names, in the order of the table.
func choose(text string) (out []place) {
	for _, p := range places {
		words := []string{p.guard + ", " + p.where}
		for _, e := range p.edits {
			words = append(words, e.File)
		}
		for _, c := range p.held {
			words = append(words, c.String())
		}
		if strings.Contains(strings.Join(words, "\n"), text) {
			out = append(out, p)
		}
	}
	return out
}
