// Package alerts tells a person. It promises that raising an alert never
// blocks or fails the caller, that one condition is told once until it
// changes or a while has passed, and that what a sink refuses is tried again.
package alerts

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Severity says how soon a person should look.
type Severity string

// The severities.
const (
	Page   Severity = "page"   // now
	Ticket Severity = "ticket" // today
)

// Names of the alerts: a closed list, also a metric label.
const (
	TransferParked  = "transfer_parked"
	LaneStuck       = "lane_stuck"
	LanePaused      = "lane_paused"
	GasLow          = "gas_low"
	WatcherHalted   = "watcher_halted"
	SupplyDrift     = "supply_drift"
	InvariantBroken = "invariant_broken"
	RedisForgot     = "redis_forgot"
	RedisUndurable  = "redis_undurable"
	ForeignNonce    = "foreign_nonce"
	StuckTx         = "stuck_tx"
	FinalityRegress = "finality_regress"
	ParentDiverged  = "parent_diverged"
	ApprovalRefused = "approval_refused"
	ApprovalLate    = "approval_late"
	SourcesDisagree = "sources_disagree"
	SourceOut       = "source_out"
)

// Names lists every alert that can be raised.
func Names() []string {
	return []string{
		TransferParked, LaneStuck, LanePaused, GasLow, WatcherHalted, SupplyDrift, InvariantBroken,
		RedisForgot, RedisUndurable, ForeignNonce, StuckTx, FinalityRegress, ParentDiverged, ApprovalRefused,
		ApprovalLate, SourcesDisagree, SourceOut,
	}
}

// Alert is one condition. Name and Key together identify it: the same pair is
// one condition however often it is raised.
type Alert struct {
	Name     string            `json:"name"`
	Key      string            `json:"key"`
	Severity Severity          `json:"severity"`
	Summary  string            `json:"summary"`
	Fields   map[string]string `json:"fields,omitempty"`
	At       time.Time         `json:"at"`
	Resolved bool              `json:"resolved"`
}

// Sink delivers an alert. It may be called again for one it has delivered.
type Sink interface {
	Send(context.Context, Alert) error
}

// Manager keeps the open alerts and feeds the sinks.
type Manager struct {
	sinks  []Sink
	repeat time.Duration
	log    *slog.Logger
	kick   chan struct{}

	mu    sync.Mutex
	open  map[id]*entry
	count map[string]int
}

type id struct{ name, key string }

type entry struct {
	alert Alert
	sent  []time.Time // per sink: when it was last delivered; zero: due
}

// maxOpen bounds the memory of a storm; the log has every line anyway.
const maxOpen = 1_000

// New makes a manager. An open alert is told again every repeat.
func New(log *slog.Logger, repeat time.Duration, sinks ...Sink) *Manager {
	return &Manager{
		sinks: sinks, repeat: repeat, log: log, kick: make(chan struct{}, 1),
		open: map[id]*entry{}, count: map[string]int{},
	}
}

// Raise opens an alert or refreshes an open one.
func (m *Manager) Raise(a Alert) {
	a.At, a.Resolved = time.Now().UTC(), false
	m.mu.Lock()
	defer m.mu.Unlock()
	k := id{a.Name, a.Key}
	if e, ok := m.open[k]; ok && !e.alert.Resolved {
		e.alert.Summary, e.alert.Fields = a.Summary, a.Fields
		return
	}
	m.count[a.Name]++
	m.log.Warn("alert", "alert", a.Name, "key", a.Key, "severity", a.Severity, "summary", a.Summary)
	if len(m.open) >= maxOpen {
		return
	}
	m.open[k] = &entry{alert: a, sent: make([]time.Time, len(m.sinks))}
	m.wake()
}

// Resolve closes an alert, and says so where it was told.
func (m *Manager) Resolve(name, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.open[id{name, key}]
	if !ok || e.alert.Resolved {
		return
	}
	m.log.Info("alert resolved", "alert", name, "key", key)
	told := slices.ContainsFunc(e.sent, func(t time.Time) bool { return !t.IsZero() })
	if !told {
		delete(m.open, id{name, key})
		return
	}
	e.alert.Resolved, e.alert.At = true, time.Now().UTC()
	for i := range e.sent {
		e.sent[i] = time.Time{}
	}
	m.wake()
}

// Open lists the open alerts, oldest first.
func (m *Manager) Open() []Alert {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Alert
	for _, e := range m.open {
		if !e.alert.Resolved {
			out = append(out, e.alert)
		}
	}
	slices.SortFunc(out, func(a, b Alert) int { return a.At.Compare(b.At) })
	return out
}

// Raised counts openings by name since the start.
func (m *Manager) Raised() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.count)
}

func (m *Manager) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		m.deliver(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-m.kick:
		case <-tick.C:
		}
	}
}

// Flush delivers what is due once more, after Run has ended: what ends a
// program is worth telling before it is gone.
func (m *Manager) Flush(ctx context.Context) { m.deliver(ctx) }

// deliver sends what is due, outside the lock.
func (m *Manager) deliver(ctx context.Context) {
	for i, sink := range m.sinks {
		for _, a := range m.due(i) {
			err := sink.Send(ctx, a)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				m.log.Warn("alert not delivered: will retry", "alert", a.Name, "err", err)
				break // this sink is down; the others are not
			}
			m.delivered(i, a)
		}
	}
}

func (m *Manager) due(sink int) []Alert {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Alert
	for _, e := range m.open {
		if e.sent[sink].IsZero() || !e.alert.Resolved && time.Since(e.sent[sink]) > m.repeat {
			out = append(out, e.alert)
		}
	}
	slices.SortFunc(out, func(a, b Alert) int { return a.At.Compare(b.At) })
	return out
}

func (m *Manager) delivered(sink int, a Alert) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.open[id{a.Name, a.Key}]
	if !ok || e.alert.Resolved != a.Resolved {
		return
	}
	e.sent[sink] = time.Now()
	if a.Resolved && !slices.ContainsFunc(e.sent, time.Time.IsZero) {
		delete(m.open, id{a.Name, a.Key})
	}
}
