package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// state is what survives an interruption: every finished trial.
type state struct {
	Seed      uint64     `json:"seed"`
	Trials    []trial    `json:"trials"`
	Closings  []string   `json:"closings"` // of each world: "" or what its last check found
	Instances []longForm `json:"instances,omitempty"`

	path string
}

// openState reads DIR/state.json; the seed of a run that goes on is its first.
func openState(dir string, seed uint64) (*state, error) {
	s := &state{Seed: seed, path: filepath.Join(dir, "state.json")}
	raw, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return s, nil
}

// save replaces the file whole.
func (s *state) save() error {
	raw, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	tmp := s.path + ".new"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

func (s *state) has(id string, index int) bool {
	return slices.ContainsFunc(s.Trials, func(t trial) bool { return t.Fault == id && t.Index == index })
}

// row is what the trials of one fault came to. Seconds are those of recovery:
// from the end of the fault until the last transfer sent before it had ended,
// less what that takes without a fault (the median of F0).
type row struct {
	Fault       string            `json:"fault"`
	Name        string            `json:"name"`
	Trials      int               `json:"trials"`
	Failures    int               `json:"failures"`
	Bound       float64           `json:"bound_95"` // of the failure rate, 3/n where none failed
	P50         float64           `json:"recovery_p50"`
	P99         float64           `json:"recovery_p99"`
	RawP50      float64           `json:"raw_p50"`
	Transfers   int               `json:"transfers"`
	Invariants  int               `json:"invariants"`
	Txs         int               `json:"txs"`
	Reverted    int               `json:"reverted"`
	NoOps       int               `json:"no_ops"`
	Gas         uint64            `json:"gas"`
	GasEach     uint64            `json:"gas_per_transfer"`
	ExtraGas    int64             `json:"extra_gas"` // over the trials, against F0
	Stale       int               `json:"stale"`
	Retried     int               `json:"retried_by_operator"`
	Minutes     float64           `json:"minutes"`
	Seeds       []uint64          `json:"seeds"`
	FailedSeeds map[uint64]string `json:"failed_seeds,omitempty"`
	Notes       map[uint64]string `json:"notes,omitempty"`
}

// report is the whole of a run.
type report struct {
	Commit   string     `json:"commit"`
	Machine  string     `json:"machine"`
	Seed     uint64     `json:"seed"`
	Baseline float64    `json:"baseline_seconds"`
	Rows     []row      `json:"faults"`
	Closings []string   `json:"closings"`
	Long     []longForm `json:"instances,omitempty"`
}

// percentile of values, by nearest rank.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return v[min(len(v)-1, max(0, int(math.Ceil(p*float64(len(v))))-1))]
}

func (s *state) report() report {
	r := report{Commit: commit(), Machine: machine(), Seed: s.Seed, Closings: s.Closings, Long: s.Instances}
	var quiet []float64
	for _, t := range s.Trials {
		if t.Fault == "F0" && t.Failed == "" {
			quiet = append(quiet, t.Seconds)
		}
	}
	r.Baseline = percentile(quiet, 0.5)
	var each float64 // gas of a transfer without faults
	for _, f := range faults {
		row := row{Fault: f.ID, Name: f.Name, FailedSeeds: map[uint64]string{}, Notes: map[uint64]string{}}
		var raw []float64
		for _, t := range s.Trials {
			if t.Fault != f.ID {
				continue
			}
			row.Trials++
			row.Seeds = append(row.Seeds, t.Seed)
			row.Minutes += t.Took / 60
			if t.Note != "" {
				row.Notes[t.Seed] = t.Note
			}
			if t.Failed != "" {
				row.Failures++
				row.FailedSeeds[t.Seed] = t.Failed
				continue
			}
			raw = append(raw, t.Seconds)
			row.Transfers += t.Transfers
			row.Invariants += t.Invariants
			row.Txs, row.Reverted, row.NoOps = row.Txs+t.Spent.Txs, row.Reverted+t.Spent.Reverted, row.NoOps+t.Spent.NoOps
			row.Gas += t.Spent.Gas
			row.Stale += t.Stale
			row.Retried += t.Retried
		}
		if row.Trials == 0 {
			continue
		}
		row.Bound = 1
		if row.Failures == 0 {
			row.Bound = min(1, 3/float64(row.Trials))
		}
		row.RawP50 = percentile(raw, 0.5)
		row.P50, row.P99 = max(0, row.RawP50-r.Baseline), max(0, percentile(raw, 0.99)-r.Baseline)
		if row.Transfers > 0 {
			row.GasEach = row.Gas / uint64(row.Transfers)
		}
		if f.ID == "F0" {
			each = float64(row.GasEach)
		}
		if each > 0 {
			row.ExtraGas = int64(float64(row.Gas) - each*float64(row.Transfers))
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

// failures counts trials and closings that failed.
func (r report) failures() int {
	n := 0
	for _, row := range r.Rows {
		n += row.Failures
	}
	for _, c := range r.Closings {
		if c != "" {
			n++
		}
	}
	for _, l := range r.Long {
		if l.Failed != "" {
			n++
		}
	}
	return n
}

// text is the table for a person.
func (r report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "commit %s, seed %d, %s; without a fault the last transfer under way ends after %.1fs (median)\n", r.Commit, r.Seed, r.Machine, r.Baseline)
	fmt.Fprintf(&b, "%-4s %-50s %6s %5s %7s %8s %8s %9s %6s %8s %6s %9s %6s %7s\n", "", "fault", "trials", "fail", "95% <", "rec p50", "rec p99", "transfers", "txs", "reverted", "no-op", "gas/trans", "stale", "retried")
	for _, w := range r.Rows {
		fmt.Fprintf(&b, "%-4s %-50s %6d %5d %6.1f%% %7.1fs %7.1fs %9d %6d %8d %6d %9d %6d %7d\n", w.Fault, w.Name, w.Trials, w.Failures, 100*w.Bound, w.P50, w.P99,
			w.Transfers, w.Txs, w.Reverted, w.NoOps, w.GasEach, w.Stale, w.Retried)
	}
	for _, w := range r.Rows {
		for seed, why := range w.FailedSeeds {
			fmt.Fprintf(&b, "FAILED %s seed %d (%s): %s\n", w.Fault, seed, w.Notes[seed], why)
		}
	}
	for i, c := range r.Closings {
		if c != "" {
			fmt.Fprintf(&b, "FAILED last check of world %d: %s\n", i+1, c)
		}
	}
	for _, l := range r.Long {
		b.WriteString(l.text())
	}
	return b.String()
}

func (r report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func machine() string { return fmt.Sprintf("%s, %d CPUs", runtime.GOARCH, runtime.NumCPU()) }
