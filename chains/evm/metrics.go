package evm

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are this package's collectors, shared by all chains of a process.
// Labels are bounded: chain is a configured name, outcome one of Classes, "ok"
// or an intent state.
type Metrics struct {
	Requests *prometheus.CounterVec   // causeway_rpc_requests_total{chain,outcome}
	Seconds  *prometheus.HistogramVec // causeway_rpc_seconds{chain}
	Tx       *prometheus.CounterVec   // causeway_tx_total{chain,outcome}
	Pending  *prometheus.GaugeVec     // causeway_tx_pending{chain}
	Bumps    *prometheus.CounterVec   // causeway_tx_bumps_total{chain}
	Foreign  *prometheus.CounterVec   // causeway_tx_foreign_nonces_total{chain}
	Balance  *prometheus.GaugeVec     // causeway_gas_balance_wei{chain}: the poorest account, rounded to a float
	Head     *prometheus.GaugeVec     // causeway_chain_final_block{chain}
}

// NewMetrics makes the collectors and registers them; nil registers nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"chain"})
	}
	m := &Metrics{
		Requests: counter("causeway_rpc_requests_total", "JSON-RPC requests by outcome; a batch counts once.", "chain", "outcome"),
		Seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "causeway_rpc_seconds", Help: "Time of JSON-RPC requests.",
			Buckets: []float64{.001, .005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"chain"}),
		Tx:      counter("causeway_tx_total", "Transaction intents by event: reserved, and how they were decided.", "chain", "outcome"),
		Pending: gauge("causeway_tx_pending", "Undecided transaction intents."),
		Bumps:   counter("causeway_tx_bumps_total", "Attempts signed with higher fees.", "chain"),
		Foreign: counter("causeway_tx_foreign_nonces_total", "Nonces of our accounts used by transactions that are not ours.", "chain"),
		Balance: gauge("causeway_gas_balance_wei", "Balance of the poorest sending account."),
		Head:    gauge("causeway_chain_final_block", "Newest final block seen."),
	}
	if reg != nil {
		reg.MustRegister(m.Requests, m.Seconds, m.Tx, m.Pending, m.Bumps, m.Foreign, m.Balance, m.Head)
	}
	return m
}

// rpc counts one request.
func (m *Metrics) rpc(chain string, began time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = string(ClassOf(err))
	}
	m.Requests.WithLabelValues(chain, outcome).Inc()
	m.Seconds.WithLabelValues(chain).Observe(time.Since(began).Seconds())
}
