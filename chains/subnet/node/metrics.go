package node

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	height       prometheus.Gauge
	validators   prometheus.Gauge
	parentHeight prometheus.Gauge
	parentErrors *prometheus.CounterVec
	diverged     prometheus.Gauge
	signed       *prometheus.CounterVec
	signErrors   *prometheus.CounterVec
	rejected     prometheus.Counter
	commit       prometheus.Histogram
}

// RegisterMetrics registers the metrics of a node that never runs, so that they
// can be listed.
func RegisterMetrics(reg prometheus.Registerer) error {
	_, err := newMetrics(reg)
	return err
}

// newMetrics registers the node's metrics; a nil registerer keeps them private.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		height:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_node_height", Help: "Last committed height of the subnet."}),
		validators:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_node_validators", Help: "Validators with power."}),
		parentHeight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_node_parent_height", Help: "Newest final parent height whose events were believed."}),
		parentErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_node_parent_errors_total", Help: "Looks at the parent that came to nothing, by reason."}, []string{"reason"}),
		diverged:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_node_parent_diverged", Help: "1 while the final parent chain differs from the one the subnet committed."}),
		signed:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_node_signed_total", Help: "Items put into vote extensions, by kind."}, []string{"kind"}),
		signErrors:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_node_sign_errors_total", Help: "Items that got no signature, by reason."}, []string{"reason"}),
		rejected:     prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_node_rejected_proposals_total", Help: "Proposals this node refused."}),
		commit:       prometheus.NewHistogram(prometheus.HistogramOpts{Name: "causeway_node_commit_seconds", Help: "Time of a commit, fsync included.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.height, m.validators, m.parentHeight, m.parentErrors, m.diverged, m.signed, m.signErrors, m.rejected, m.commit} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
