package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/test/rig"
)

// world is a deployed bridge under load that many trials share.
type world struct {
	*rig.World
	dir      string
	variants *variants
	load     *rig.Load
	turn     int    // index of the present trial among those of its fault
	only     string // the key that F9 drops; "" takes any
}

// period is the checkpoint period of these worlds, in subnet blocks: withdrawals
// wait for it, and so does every trial.
const period = 5

func newWorld(ctx context.Context, dir, program string, v *variants, say func(string, ...any)) (*world, error) {
	return newWorldWith(ctx, rig.Options{Dir: dir, Program: program, Period: period, Say: say}, v)
}

func newWorldWith(ctx context.Context, o rig.Options, v *variants) (*world, error) {
	w, err := rig.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &world{World: w, dir: o.Dir, variants: v}, nil
}

// revived brings back what stopped because Redis had forgotten, and says so.
func (w *world) revived(ctx context.Context) (string, error) {
	rebuilt, err := w.Revive(ctx)
	if rebuilt {
		return "rebuilt by rescan", err
	}
	return "", err
}

// selfMend is how long the journal may take to mend a lost key by itself: its
// audit runs every 20 s.
const selfMend = 25 * time.Second

// mended waits for the journal to mend itself after it lost a key; where it
// cannot, an operator runs a rescan.
func (w *world) mended(ctx context.Context, key string) (string, error) {
	note, err := w.revived(ctx)
	if err != nil || note != "" {
		return key + " " + note, err
	}
	rig.Pause(ctx, selfMend)
	_, err = w.Settle(ctx, time.Now(), 45*time.Second)
	if err == nil {
		if err = w.AuditAnew(); err == nil {
			_, err = w.Sound(ctx)
		}
	}
	if err == nil {
		return key + " mended by itself", nil
	}
	return fmt.Sprintf("%s mended by rescan (%s)", key, first(err.Error(), 160)), w.Rebuild(ctx)
}

func first(s string, n int) string { return strings.ReplaceAll(s[:min(len(s), n)], "\n", " ") }

// beside runs a second instance while f runs.
func (w *world) beside(ctx context.Context, program string, env []string, f func(*rig.Instance) error) error {
	second, err := w.second()
	if err != nil {
		return err
	}
	if program != "" {
		defer second.Use(program)()
	}
	if err := second.Start(ctx, env...); err != nil {
		return err
	}
	err = f(second)
	return errors.Join(err, second.Leave())
}

func (w *world) second() (*rig.Instance, error) {
	if len(w.Instances) > 1 {
		return w.Instances[1], nil
	}
	return w.Join("relayer-2", "")
}

// refuses says whether a program ends by itself, with a clear word, on a journal
// of another schema.
func (w *world) refuses(ctx context.Context, program string) error {
	second, err := w.second()
	if err != nil {
		return err
	}
	defer second.Use(program)()
	err = second.Start(ctx)
	if err == nil {
		return errors.Join(errors.New("it starts"), second.Leave())
	}
	second.Gone()
	if !strings.Contains(err.Error(), "redis holds another schema") {
		return err
	}
	return nil
}

// mix injects two to four faults that have no part in common, at once.
func mix(ctx context.Context, w *world, rng *rand.Rand) (string, error) {
	var chosen []fault
	taken := map[string]bool{}
	for _, n := range rng.Perm(len(faults)) {
		f := faults[n]
		if f.inject == nil || len(f.parts) == 0 || slices.Contains(unmixed, f.ID) || slices.ContainsFunc(f.parts, func(p string) bool { return taken[p] }) {
			continue
		}
		for _, p := range f.parts {
			taken[p] = true
		}
		chosen = append(chosen, f)
		if len(chosen) == 4 {
			break
		}
	}
	var all sync.WaitGroup
	notes, errs := make([]string, len(chosen)), make([]error, len(chosen))
	for i, f := range chosen {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		all.Go(func() {
			note, err := f.inject(ctx, w, own)
			notes[i] = f.ID + " " + note
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", f.ID, err)
			}
		})
	}
	all.Wait()
	return strings.Join(notes, "; "), errors.Join(errs...)
}

// unmixed judge the world themselves and need it for themselves.
var unmixed = []string{"F9"}

// variants are programs that differ from the one under test, built when first
// needed.
type variants struct {
	dir string
	mu  sync.Mutex
	at  map[string]string
}

func (v *variants) get(ctx context.Context, name string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at := v.at[name]; at != "" {
		return at, nil
	}
	var edits []rig.Edit
	switch name {
	case "bumped":
		edits = []rig.Edit{rig.NextSchema()}
	case "skewed":
		e, err := rig.SkewedClock(ctx)
		if err != nil {
			return "", err
		}
		edits = []rig.Edit{e}
	case "newer":
		// Another version by name alone: what a rolling update without a change of
		// schema is.
		edits = []rig.Edit{{File: "cmd/causeway/main.go", Old: "func main() {\n", New: "func main() {\n\t_ = 0\n"}}
	default:
		return "", fmt.Errorf("[BUG] no variant %q", name)
	}
	at, err := rig.Build(ctx, v.dir, name, edits...)
	if err != nil {
		return "", err
	}
	if v.at == nil {
		v.at = map[string]string{}
	}
	v.at[name] = at
	return at, nil
}
