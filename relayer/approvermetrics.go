package relayer

import "github.com/prometheus/client_golang/prometheus"

// approverMetrics are a signer's own; chains/evm registers those of the RPCs.
type approverMetrics struct {
	calls   *prometheus.CounterVec
	next    *prometheus.GaugeVec
	heads   *prometheus.GaugeVec
	signed  *prometheus.CounterVec
	refused *prometheus.CounterVec
	waiting *prometheus.GaugeVec
	ledger  prometheus.Gauge
}

func newApproverMetrics(reg prometheus.Registerer, version string) *approverMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "causeway", Subsystem: "approver", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "causeway", Subsystem: "approver", Name: name, Help: help}, labels)
	}
	m := &approverMetrics{
		calls:   counter("calls_total", "Calls of the gateway written to the ledger.", "chain"),
		next:    gauge("cursor_height", "Last height whose calls are in the ledger.", "chain"),
		heads:   gauge("head_height", "Newest final height this signer saw.", "chain"),
		signed:  counter("signed_total", "Signatures handed in, by the chain of the gateway.", "chain"),
		refused: counter("refused_total", "Proposals that were not signed; reasons that pass count too.", "chain", "reason"),
		waiting: gauge("waiting", "Proposals without this signer's signature at the last look, by reason.", "chain", "reason"),
		ledger:  prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Subsystem: "approver", Name: "ledger_bytes", Help: "Size of the ledger."}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "causeway", Name: "build_info", Help: "The version that runs."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	reg.MustRegister(m.calls, m.next, m.heads, m.signed, m.refused, m.waiting, m.ledger, build)
	return m
}

// ApproverMetrics lists every metric a signer exports besides those of the Go
// runtime, of the process and of its endpoints.
func ApproverMetrics() []MetricDoc {
	return Described(func(r prometheus.Registerer) { newApproverMetrics(r, "") })
}
