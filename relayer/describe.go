package relayer

import (
	"regexp"
	"slices"
	"strings"

	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/prometheus/client_golang/prometheus"
)

// MetricDoc is a row of the README's table of metrics.
type MetricDoc struct {
	Name   string
	Labels []string
	Help   string
}

// recorder is a registerer that keeps what is described to it.
type recorder struct{ docs []MetricDoc }

var descRE = regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]*)",(?: unit: "[^"]*",)? constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)

func (r *recorder) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc)
	go func() { c.Describe(ch); close(ch) }()
	for d := range ch {
		m := descRE.FindStringSubmatch(d.String())
		if m == nil {
			continue
		}
		doc := MetricDoc{Name: m[1], Help: m[2]}
		if m[3] != "" {
			doc.Labels = strings.Split(m[3], ",")
		}
		r.docs = append(r.docs, doc)
	}
	return nil
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = r.Register(c)
	}
}

func (r *recorder) Unregister(prometheus.Collector) bool { return false }

// Metrics lists every metric a relayer exports besides those of the Go runtime
// and the process.
func Metrics() []MetricDoc {
	return Described(func(r prometheus.Registerer) {
		newMetrics(r, "")
		evm.NewMetrics(r)
	})
}

// Described lists the metrics that a part registers, by name.
func Described(register func(prometheus.Registerer)) []MetricDoc {
	r := &recorder{}
	register(r)
	slices.SortFunc(r.docs, func(a, b MetricDoc) int { return strings.Compare(a.Name, b.Name) })
	return r.docs
}
