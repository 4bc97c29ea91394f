package admin

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// This file tells Prometheus what families.go reads out of a snapshot.
//
//	request --> snapshot --> families --> a registry of this request's --> text
//
// The engine counts by itself, in plain fields of its loops; the library is asked
// for the format only, and for the figures of the process and of Go's runtime.

// metrics answers requests for /metrics.
type metrics struct {
	snapshots *snapshots
	process   *prometheus.Registry // what is not the engine's
	descs     []*prometheus.Desc   // of families, in their order
	options   promhttp.HandlerOpts
}

func newMetrics(s *snapshots, log *slog.Logger) *metrics {
	m := &metrics{snapshots: s, process: prometheus.NewRegistry()}
	m.process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for i := range families {
		f := &families[i]
		m.descs = append(m.descs, prometheus.NewDesc(f.name, f.help, f.labels, nil))
	}
	m.options = promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, // one bad family costs itself
	}
	return m
}

// serve answers with all figures. A monitor that hears nothing but an error knows
// as much as it can: the loops do not tell.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) {
	f, err := m.snapshots.take(r.Context())
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "no figures: "+stuck(err)+"\n")
		return
	}
	promhttp.HandlerFor(m.gatherer(f), m.options).ServeHTTP(w, r)
}

// gatherer has all that is exposed of f.
func (m *metrics) gatherer(f *snapshot) prometheus.Gatherer {
	own := prometheus.NewRegistry()
	own.MustRegister(&exposition{m.descs, f})
	return prometheus.Gatherers{own, m.process}
}

// exposition is one snapshot as the library collects it.
type exposition struct {
	descs []*prometheus.Desc
	f     *snapshot
}

// Describe names all families.
func (x *exposition) Describe(to chan<- *prometheus.Desc) {
	for _, d := range x.descs {
		to <- d
	}
}

// Collect tells their values.
func (x *exposition) Collect(to chan<- prometheus.Metric) {
	for i := range families {
		f, desc := &families[i], x.descs[i]
		send := func(m prometheus.Metric, err error) {
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, fmt.Errorf("%s: %w", f.name, err))
			}
			to <- m
		}
		switch {
		case f.histogram != nil:
			f.histogram(x.f, func(h buckets, labels ...string) {
				send(prometheus.NewConstHistogram(desc, h.count, h.sum, h.upTo, valid(labels)...))
			})
		default:
			f.each(x.f, func(v float64, labels ...string) {
				send(prometheus.NewConstMetric(desc, f.kind, v, valid(labels)...))
			})
		}
	}
}

// valid replaces what the format cannot have in labels: the path of a unix socket
// may be any bytes.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "�")
	}
	return labels
}

// goVersion is a label of the build.
var goVersion = runtime.Version()
