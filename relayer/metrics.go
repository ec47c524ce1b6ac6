package relayer

import (
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the relayer's own; chains/evm registers those of the RPCs and
// transactions.
type metrics struct {
	jobs      *prometheus.CounterVec
	facts     *prometheus.CounterVec
	cursor    *prometheus.GaugeVec
	heads     *prometheus.GaugeVec
	behind    *prometheus.GaugeVec
	eta       *prometheus.GaugeVec
	looks     *prometheus.HistogramVec
	verdicts  *prometheus.CounterVec
	depth     *prometheus.GaugeVec
	oldest    prometheus.Gauge
	parked    prometheus.Gauge
	paused    prometheus.Gauge
	forgot    prometheus.Gauge
	durable   prometheus.Gauge
	memory    prometheus.Gauge
	reaped    prometheus.Counter
	repairs   prometheus.Counter
	drift     *prometheus.GaugeVec
	invariant *prometheus.GaugeVec
	sources   *SourceMetrics
}

func newMetrics(reg prometheus.Registerer, version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "causeway", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "causeway", Name: name, Help: help}, labels)
	}
	m := &metrics{
		jobs:   counter("jobs_ingested_total", "Events that began a transfer.", "chain"),
		facts:  counter("facts_ingested_total", "Final events that decide a step.", "chain"),
		cursor: gauge("cursor_height", "Last height read and recorded.", "chain"),
		heads:  gauge("watched_head_height", "Newest final height the watcher saw.", "chain"),
		behind: gauge("catchup_blocks_left", "Blocks that a catch-up has still to read; 0 when there is none.", "chain"),
		eta:    gauge("catchup_eta_seconds", "Time that a catch-up still takes at its rate so far; 0 when there is none.", "chain"),
		looks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "causeway", Name: "look_seconds", Help: "Time of one look at a batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"flow", "step"}),
		verdicts:  counter("verdicts_total", "What looks recorded, by kind.", "flow", "step", "verdict"),
		depth:     gauge("transfers", "Transfers by route and status.", "route", "status"),
		oldest:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Name: "oldest_pending_seconds", Help: "Age of the oldest pending transfer."}),
		parked:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Name: "parked_transfers", Help: "Transfers that wait for a person."}),
		paused:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Name: "paused_lanes", Help: "Lanes an operator has paused."}),
		forgot:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Name: "recovering", Help: "1 while nothing is sent because Redis forgot, until the journal agrees with the chains."}),
		durable:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Name: "redis_durability_ok", Help: "1 while Redis keeps what it acknowledges."}),
		memory:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Name: "redis_memory_ratio", Help: "Used share of Redis' memory limit; 0 without a limit."}),
		reaped:    prometheus.NewCounter(prometheus.CounterOpts{Namespace: "causeway", Name: "leases_reaped_total", Help: "Leases that ran out."}),
		repairs:   prometheus.NewCounter(prometheus.CounterOpts{Namespace: "causeway", Name: "audit_repairs_total", Help: "Orphaned rows mended; 0 in steady state."}),
		drift:     gauge("supply_drift_base_units", "Conservation error of invariant I1; exactly 0, or a page.", "subnet", "token"),
		invariant: gauge("invariant_ok", "1 while an invariant holds.", "subnet", "invariant", "token"),
		sources:   NewSourceMetrics(reg),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "causeway", Name: "build_info", Help: "The version that runs."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	reg.MustRegister(m.jobs, m.facts, m.cursor, m.heads, m.behind, m.eta, m.looks, m.verdicts, m.depth, m.oldest, m.parked, m.paused, m.forgot,
		m.durable, m.memory, m.reaped, m.repairs, m.drift, m.invariant, build)
	return m
}

func (m *metrics) ingested(chain string, jobs, facts int, last chains.Block) {
	m.jobs.WithLabelValues(chain).Add(float64(jobs))
	m.facts.WithLabelValues(chain).Add(float64(facts))
	m.cursor.WithLabelValues(chain).Set(float64(last.Number))
}

func (m *metrics) head(chain string, b chains.Block) {
	m.heads.WithLabelValues(chain).Set(float64(b.Number))
}

// caughtUp tells how a catch-up does; nil when it has ended.
func (m *metrics) caughtUp(chain string, p *watch.Progress) {
	if p == nil {
		p = &watch.Progress{}
	}
	m.behind.WithLabelValues(chain).Set(float64(p.To - min(p.At, p.To)))
	m.eta.WithLabelValues(chain).Set(p.Left.Seconds())
}

func (m *metrics) looked(flow, step string, verdicts []store.Verdict, took time.Duration) {
	m.looks.WithLabelValues(flow, step).Observe(took.Seconds())
	for _, v := range verdicts {
		kind := "later"
		switch {
		case v.Park:
			kind = "parked"
		case v.Advance != "":
			kind = string(v.Advance)
		case v.CountAttempt:
			kind = "failed"
		}
		m.verdicts.WithLabelValues(flow, step, kind).Inc()
	}
}
