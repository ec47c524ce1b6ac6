package relayer

import (
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/prometheus/client_golang/prometheus"
)

// SourceMetrics are those of the endpoints that chains are read through: the same
// for everyone who reads them.
type SourceMetrics struct {
	up, at, differs *prometheus.GaugeVec
}

// NewSourceMetrics registers them.
func NewSourceMetrics(reg prometheus.Registerer) *SourceMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "causeway", Name: name, Help: help}, []string{"chain", "source"})
	}
	m := &SourceMetrics{
		up:      gauge("source_up", "1 while an endpoint is asked; 0 while it is out."),
		at:      gauge("source_height", "Newest final height that an endpoint told."),
		differs: gauge("source_differs", "Questions that an endpoint answered otherwise than the others; above 0 nothing new is sent on the chain."),
	}
	reg.MustRegister(m.up, m.at, m.differs)
	return m
}

// Tell sets those of one endpoint.
func (m *SourceMetrics) Tell(chain string, e agree.EndpointStatus) {
	up := 1.0
	if e.Out != "" {
		up = 0
	}
	m.up.WithLabelValues(chain, e.Name).Set(up)
	m.at.WithLabelValues(chain, e.Name).Set(float64(e.Height))
	m.differs.WithLabelValues(chain, e.Name).Set(float64(len(e.Differs)))
}

// sourceTeller turns how endpoints do into metrics and alerts.
type sourceTeller struct {
	metrics *SourceMetrics
	alerts  *alerts.Manager
	idle    string // what is left undone while they differ
}

func (t sourceTeller) source(chain string, e agree.EndpointStatus, now time.Time) {
	t.metrics.Tell(chain, e)
	key := chain + "/" + e.Name
	if len(e.Differs) > 0 {
		d := e.Differs[0]
		t.alerts.Raise(alerts.Alert{
			Name: alerts.SourcesDisagree, Key: key, Severity: alerts.Page,
			Summary: fmt.Sprintf("%s: endpoint %s differs about %s: it says %s; others say %s; %s: compare it with another, then replace the one that is wrong", chain, e.Name, d.What, d.Said, d.Others, t.idle),
			Fields:  map[string]string{"chain": chain, "source": e.Name, "what": d.What, "height": fmt.Sprint(d.Height), "said": d.Said, "others": d.Others, "questions": fmt.Sprint(len(e.Differs))},
		})
	} else {
		t.alerts.Resolve(alerts.SourcesDisagree, key)
	}
	if e.Out != "" && now.Sub(*e.Since) >= sourceAway {
		t.alerts.Raise(alerts.Alert{
			Name: alerts.SourceOut, Key: key, Severity: alerts.Ticket,
			Summary: fmt.Sprintf("%s: endpoint %s is out: %s", chain, e.Name, e.Out),
			Fields:  map[string]string{"chain": chain, "source": e.Name, "what": e.Out, "height": fmt.Sprint(e.Height), "since": e.Since.UTC().Format(time.RFC3339)},
		})
	} else if e.Out == "" {
		t.alerts.Resolve(alerts.SourceOut, key)
	}
}

// witnessAlert says that a witness knows another block.
func witnessAlert(chain, key string, split *ethereum.DisagreementError) alerts.Alert {
	return alerts.Alert{
		Name: alerts.SourcesDisagree, Key: key, Severity: alerts.Page, Summary: split.Error(),
		Fields: map[string]string{
			"chain": chain, "source": fmt.Sprintf("witness %d", split.Which), "what": fmt.Sprintf("block %d", split.Height),
			"height": fmt.Sprint(split.Height), "said": split.Witness.Hex(), "others": split.Data.Hex(),
		},
	}
}
