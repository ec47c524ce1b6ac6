package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// part is one thing that is measured by itself.
type part struct {
	name    string
	measure func(context.Context, *lab, *Report) error
}

// parts are measured in this order: those without a devnet first, then those
// that share one, of which the last fills its journal; then those with one of
// their own.
var parts = []part{
	{"queue", func(ctx context.Context, l *lab, r *Report) (err error) {
		r.Queue, err = measureQueue(ctx, l.size, l.say)
		return err
	}},
	{"catchup", func(ctx context.Context, l *lab, r *Report) (err error) {
		r.Catchup, err = measureCatchup(ctx, l.size, l.say)
		return err
	}},
	{"lotus", func(ctx context.Context, l *lab, r *Report) (err error) {
		r.Lotus, err = measureLotus(ctx, l.size, l.say)
		return err
	}},
	{"bridge", onRig(func(ctx context.Context, g *rig, s size, r *Report) (err error) {
		r.Bridge, err = measureBridge(ctx, g, s)
		return err
	})},
	{"backlog", onRig(func(ctx context.Context, g *rig, s size, r *Report) (err error) {
		r.Backlog, err = measureBacklog(ctx, g, s)
		return err
	})},
	{"node", onRig(func(ctx context.Context, g *rig, s size, r *Report) (err error) {
		r.Node, err = measureNode(ctx, g, s)
		return err
	})},
	{"idle", onRig(func(ctx context.Context, g *rig, s size, r *Report) (err error) {
		r.Idle, err = measureIdle(ctx, g, s)
		return err
	})},
	{"history", onRig(func(ctx context.Context, g *rig, s size, r *Report) (err error) {
		r.History, err = measureHistory(ctx, g, s)
		return err
	})},
	{"checkpoints", func(ctx context.Context, l *lab, r *Report) (err error) {
		l.stop() // two devnets at once would share the machine
		r.Checkpoints, err = measureCheckpoints(ctx, l)
		return err
	}},
	{"crossing", func(ctx context.Context, l *lab, r *Report) (err error) {
		l.stop()
		r.Crossing, err = measureCrossing(ctx, l)
		return err
	}},
}

// partNames are what -only takes.
func partNames() []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = p.name
	}
	return out
}

// chosen are the parts named in a list with commas; "" is all of them.
func chosen(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	names := strings.Split(only, ",")
	for _, n := range names {
		if !slices.Contains(partNames(), n) {
			return nil, fmt.Errorf("there is no part %q: %s", n, strings.Join(partNames(), ", "))
		}
	}
	var out []part
	for _, p := range parts {
		if slices.Contains(names, p.name) {
			out = append(out, p)
		}
	}
	return out, nil
}

// lab is what the parts share.
type lab struct {
	size    size
	say     progress
	program string // a causeway binary; "" until one is built
	dir     string
	rig     *rig
}

func onRig(measure func(context.Context, *rig, size, *Report) error) func(context.Context, *lab, *Report) error {
	return func(ctx context.Context, l *lab, r *Report) error {
		g, err := l.devnet(ctx)
		if err != nil {
			return err
		}
		return measure(ctx, g, l.size, r)
	}
}

// devnet starts the shared devnet with the first part that needs it.
func (l *lab) devnet(ctx context.Context) (*rig, error) {
	if l.rig != nil {
		return l.rig, nil
	}
	g, err := l.start(ctx, l.size.period, "")
	l.rig = g
	return g, err
}

// start makes a devnet, which the caller stops; axelar as of startRig.
func (l *lab) start(ctx context.Context, period uint64, axelar string) (_ *rig, err error) {
	if l.program == "" {
		if l.dir, err = os.MkdirTemp("", "causeway-bench-"); err != nil {
			return nil, fmt.Errorf("make a folder: %w", err)
		}
		l.say("building causeway")
		if l.program, err = build(ctx, l.dir); err != nil {
			return nil, err
		}
	}
	return startRig(ctx, l.program, period, axelar, l.say)
}

// stop ends the shared devnet, if one runs.
func (l *lab) stop() {
	if l.rig != nil {
		l.rig.stop()
		l.rig = nil
	}
}

func (l *lab) close() error {
	l.stop()
	if l.dir == "" {
		return nil
	}
	return os.RemoveAll(l.dir)
}

// sound joins what the parts say of the bridge's honesty: a figure of a bridge
// that loses money is none.
func (r Report) sound() error {
	var errs []error
	if r.Bridge != nil && !r.Bridge.Sound {
		errs = append(errs, errors.New("bridge: a transfer did not end well or an invariant is broken"))
	}
	if r.Backlog != nil && !r.Backlog.Sound {
		errs = append(errs, errors.New("backlog: a transfer did not end well or an invariant is broken"))
	}
	if r.Crossing != nil && !r.Crossing.Sound {
		errs = append(errs, errors.New("crossing: a transfer did not end well or an invariant is broken"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: see the report", err)
	}
	return nil
}
