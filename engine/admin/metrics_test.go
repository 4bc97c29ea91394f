package admin

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"mysqlproxy/engine"
)

// full are figures in which nothing is missing, each number another one.
func full() engine.Figures {
	return engine.Figures{
		Started: time.Unix(1000, 500e6), Now: time.Unix(2000, 0), Version: "1.2.3",
		Backends: []engine.BackendFigures{
			{
				Index: 0, Address: "10.0.0.1:3306", Type: "rw", State: "up", Health: "good", Role: "primary", Duty: "online", Leads: true, Weight: 1, Clients: 2, Idle: 3,
				ProbeLatency: 4 * time.Millisecond, Servers: 32, Waiting: 55, Since: time.Unix(1100, 0), Connects: 33, Failures: 34, Commands: 35, BytesIn: 36, BytesOut: 37,
				LastError: "refused", LastAt: time.Unix(1200, 0), Probes: 38, ProbeFailures: 39,
				ProbeTimes: engine.Histogram{Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []uint64{1, 2, 4}, Sum: 2500 * time.Millisecond},
			},
			{
				Index: 1, Address: "/run/\xffdb.sock", Type: "ro", State: "down", Health: "lagging", Role: "replica", Duty: "draining", Weight: 5, Clients: 6, Idle: 7,
				Lag: 8500 * time.Millisecond, LagKnown: true,
			},
		},
		Loops: []engine.LoopFigures{
			{Number: 0, Sessions: 9, Admin: 10, Accepted: 11, Commands: 12, BytesIn: 13, BytesOut: 14, Servers: 40, Turns: 41, Busy: 56 * time.Millisecond, Waiting: 42, Buffers: 43},
			{Number: 1, Sessions: 15, Admin: 16, Accepted: 17, Commands: 18, BytesIn: 19, BytesOut: 20, Servers: 44, Turns: 45, Busy: 57 * time.Millisecond, Waiting: 46, Buffers: 47},
		},
		Routes:            []engine.RouteFigures{{To: "primary", Reason: "in_transaction", Commands: 21}, {To: "replica", Reason: "read", Commands: 22}},
		Pins:              []engine.PinFigures{{Reason: "temporary_table", Sessions: 23}},
		Closes:            []engine.CloseFigures{{Reason: "client_quit", Fault: "nobody", Sessions: 24}, {Reason: "server_lost", Fault: "server"}},
		WaitingForPrimary: 59,
		Splits:            25,
		Identities:        []engine.IdentityFigures{{How: "relay", Owned: true, Sessions: 48}, {How: "no_password", Sessions: 49}},
		Hooks:             []engine.HookFigures{{Hook: "read_query", Calls: 50, Failures: 51, Timed: 52, Time: 53 * time.Millisecond}},
		Latency:           &engine.Histogram{Bounds: []time.Duration{64 * time.Microsecond, 128 * time.Microsecond}, Counts: []uint64{5, 0, 3}, Sum: 58 * time.Second},
		CPU:               54 * time.Second,
		Memory:            engine.MemoryFigures{Heap: 26, HeapGoal: 27, Total: 28, Goroutines: 29, GCs: 30, GCPauses: 31 * time.Millisecond},
	}
}

// exposed are the values of /metrics of the engine's own, by name and labels as
// the text has them, and the labels that each name has.
func exposed(t *testing.T, body string) (values map[string]float64, labels map[string][]string, help map[string]string) {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	all, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	values, labels, help = map[string]float64{}, map[string][]string{}, map[string]string{}
	for name, mf := range all {
		help[name] = mf.GetHelp()
		labels[name] = []string{}
		for _, m := range mf.Metric {
			var text []string
			for _, l := range m.Label {
				text = append(text, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				if !slices.Contains(labels[name], l.GetName()) {
					labels[name] = append(labels[name], l.GetName())
				}
			}
			key := name
			if text != nil {
				key += "{" + strings.Join(text, ",") + "}"
			}
			switch {
			case m.Histogram != nil:
				values[key+"_count"], values[key+"_sum"] = float64(m.Histogram.GetSampleCount()), m.Histogram.GetSampleSum()
				for _, b := range m.Histogram.Bucket {
					values[fmt.Sprintf("%s_bucket %v", key, b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
				if !slices.Contains(labels[name], "le") {
					labels[name] = append(labels[name], "le")
				}
			case m.Counter != nil:
				values[key] = m.Counter.GetValue()
			default:
				values[key] = m.GetGauge().GetValue()
			}
		}
	}
	return values, labels, help
}

func TestMetrics(t *testing.T) {
	addr := serve(t, &told{figures: full()})
	code, header, body := get(t, addr, "/metrics")
	if code != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %v", code, header)
	}
	got, _, _ := exposed(t, body)
	for name := range got {
		if !strings.HasPrefix(name, "mysql_proxy_") {
			delete(got, name)
		}
	}
	const a, b = `backend="10.0.0.1:3306"`, `backend="/run/�db.sock"`
	want := map[string]float64{
		`mysql_proxy_build_info{goversion="` + goVersion + `",version="1.2.3"}`: 1,
		`mysql_proxy_start_time_seconds`:                                        1000.5,
		`mysql_proxy_ready`:                                                     1,
		`mysql_proxy_split_brains_total`:                                        25,

		`mysql_proxy_backend_info{` + a + `,type="rw"}`:        1,
		`mysql_proxy_backend_info{` + b + `,type="ro"}`:        1,
		`mysql_proxy_backend_leads{` + a + `}`:                 1,
		`mysql_proxy_backend_leads{` + b + `}`:                 0,
		`mysql_proxy_backend_weight{` + a + `}`:                1,
		`mysql_proxy_backend_weight{` + b + `}`:                5,
		`mysql_proxy_backend_clients{` + a + `}`:               2,
		`mysql_proxy_backend_clients{` + b + `}`:               6,
		`mysql_proxy_backend_idle_sessions{` + a + `}`:         3,
		`mysql_proxy_backend_idle_sessions{` + b + `}`:         7,
		`mysql_proxy_backend_lag_seconds{` + b + `}`:           8.5,
		`mysql_proxy_backend_probe_latency_seconds{` + a + `}`: 0.004,

		`mysql_proxy_backend_sessions{` + a + `}`:                            32,
		`mysql_proxy_backend_sessions{` + b + `}`:                            0,
		`mysql_proxy_sessions_waiting_for_primary`:                           59,
		`mysql_proxy_backend_waiting_sessions{` + a + `}`:                    55,
		`mysql_proxy_backend_waiting_sessions{` + b + `}`:                    0,
		`mysql_proxy_loop_busy_seconds_total{loop="0"}`:                      0.056,
		`mysql_proxy_loop_busy_seconds_total{loop="1"}`:                      0.057,
		`mysql_proxy_command_duration_seconds_count`:                         8,
		`mysql_proxy_command_duration_seconds_sum`:                           58,
		`mysql_proxy_command_duration_seconds_bucket 6.4e-05`:                5,
		`mysql_proxy_command_duration_seconds_bucket 0.000128`:               5,
		`mysql_proxy_command_duration_seconds_bucket +Inf`:                   8,
		`mysql_proxy_backend_state_start_time_seconds{` + a + `}`:            1100,
		`mysql_proxy_backend_connects_total{` + a + `}`:                      33,
		`mysql_proxy_backend_connects_total{` + b + `}`:                      0,
		`mysql_proxy_backend_connect_failures_total{` + a + `}`:              34,
		`mysql_proxy_backend_connect_failures_total{` + b + `}`:              0,
		`mysql_proxy_backend_commands_total{` + a + `}`:                      35,
		`mysql_proxy_backend_commands_total{` + b + `}`:                      0,
		`mysql_proxy_backend_received_bytes_total{` + a + `}`:                36,
		`mysql_proxy_backend_received_bytes_total{` + b + `}`:                0,
		`mysql_proxy_backend_sent_bytes_total{` + a + `}`:                    37,
		`mysql_proxy_backend_sent_bytes_total{` + b + `}`:                    0,
		`mysql_proxy_backend_probes_total{` + a + `}`:                        38,
		`mysql_proxy_backend_probes_total{` + b + `}`:                        0,
		`mysql_proxy_backend_probe_failures_total{` + a + `}`:                39,
		`mysql_proxy_backend_probe_failures_total{` + b + `}`:                0,
		`mysql_proxy_backend_probe_duration_seconds{` + a + `}_count`:        7,
		`mysql_proxy_backend_probe_duration_seconds{` + a + `}_sum`:          2.5,
		`mysql_proxy_backend_probe_duration_seconds{` + a + `}_bucket 0.001`: 1,
		`mysql_proxy_backend_probe_duration_seconds{` + a + `}_bucket 1`:     3,
		`mysql_proxy_backend_probe_duration_seconds{` + a + `}_bucket +Inf`:  7,

		`mysql_proxy_server_sessions{loop="0"}`:                   40,
		`mysql_proxy_server_sessions{loop="1"}`:                   44,
		`mysql_proxy_loop_turns_total{loop="0"}`:                  41,
		`mysql_proxy_loop_turns_total{loop="1"}`:                  45,
		`mysql_proxy_loop_waiting_bytes{loop="0"}`:                42,
		`mysql_proxy_loop_waiting_bytes{loop="1"}`:                46,
		`mysql_proxy_loop_buffer_bytes{loop="0"}`:                 43,
		`mysql_proxy_loop_buffer_bytes{loop="1"}`:                 47,
		`mysql_proxy_identities{how="relay",owned="true"}`:        48,
		`mysql_proxy_identities{how="no_password",owned="false"}`: 49,
		`mysql_proxy_hook_calls_total{hook="read_query"}`:         50,
		`mysql_proxy_hook_failures_total{hook="read_query"}`:      51,
		`mysql_proxy_hook_timed_calls_total{hook="read_query"}`:   52,
		`mysql_proxy_hook_timed_seconds_total{hook="read_query"}`: 0.053,

		`mysql_proxy_sessions{loop="0"}`:                    9,
		`mysql_proxy_sessions{loop="1"}`:                    15,
		`mysql_proxy_admin_sessions{loop="0"}`:              10,
		`mysql_proxy_admin_sessions{loop="1"}`:              16,
		`mysql_proxy_sessions_accepted_total{loop="0"}`:     11,
		`mysql_proxy_sessions_accepted_total{loop="1"}`:     17,
		`mysql_proxy_commands_total{loop="0"}`:              12,
		`mysql_proxy_commands_total{loop="1"}`:              18,
		`mysql_proxy_client_received_bytes_total{loop="0"}`: 13,
		`mysql_proxy_client_received_bytes_total{loop="1"}`: 19,
		`mysql_proxy_client_sent_bytes_total{loop="0"}`:     14,
		`mysql_proxy_client_sent_bytes_total{loop="1"}`:     20,

		`mysql_proxy_routed_commands_total{reason="in_transaction",route="primary"}`: 21,
		`mysql_proxy_routed_commands_total{reason="read",route="replica"}`:           22,
		`mysql_proxy_pinned_sessions{pin="temporary_table"}`:                         23,
		`mysql_proxy_sessions_closed_total{fault="nobody",reason="client_quit"}`:     24,
		`mysql_proxy_sessions_closed_total{fault="server",reason="server_lost"}`:     0,
	}
	states := func(name, label string, words []string, ofA, ofB string) {
		for _, w := range words {
			want[fmt.Sprintf("mysql_proxy_backend_%s{%s,%s=%q}", name, a, label, w)] = truth(w == ofA)
			want[fmt.Sprintf("mysql_proxy_backend_%s{%s,%s=%q}", name, b, label, w)] = truth(w == ofB)
		}
	}
	states("state", "state", []string{"unknown", "up", "down"}, "up", "down")
	states("health", "health", backendHealth, "good", "lagging")
	states("duty", "duty", []string{"online", "draining", "maintenance"}, "online", "draining")
	states("role", "role", []string{"unknown", "primary", "replica", "peer"}, "primary", "replica")
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[name]; !ok || v != want[name] {
			t.Errorf("%s is %v (there: %t), want %v", name, v, ok, want[name])
		}
		delete(got, name)
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		t.Errorf("%s is %v, and nobody wants it", name, got[name])
	}
}

// Names, units, help and labels of all families are as Prometheus has them.
func TestFamilies(t *testing.T) {
	addr := serve(t, &told{figures: full()})
	_, _, body := get(t, addr, "/metrics")
	_, labels, help := exposed(t, body)
	name := regexp.MustCompile(`^mysql_proxy_[a-z_]+$`)
	bounded := []string{"backend", "state", "health", "role", "duty", "type", "loop", "reason", "fault", "route", "pin", "version", "goversion", "how", "owned", "hook"}
	for i := range families {
		f := &families[i]
		if _, ok := labels[f.name]; !ok {
			t.Errorf("%s is not exposed with all figures known", f.name)
		}
		if help[f.name] != f.help || !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: help %q, want %q, a sentence", f.name, help[f.name], f.help)
		}
		if !name.MatchString(f.name) || (f.kind == counter && f.histogram == nil) != strings.HasSuffix(f.name, "_total") {
			t.Errorf("%s: counters end in _total and nothing else does", f.name)
		}
		for _, unit := range []string{"millis", "_ms", "_us", "minutes", "kib", "mib", "percent"} {
			if strings.Contains(f.name, unit) {
				t.Errorf("%s: %s is no base unit", f.name, unit)
			}
		}
		for _, l := range f.labels {
			if !slices.Contains(bounded, l) {
				t.Errorf("%s: the label %s is not known to have few values", f.name, l)
			}
		}
	}
	for _, basic := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds", "go_goroutines", "go_memstats_heap_alloc_bytes", "go_info"} {
		if _, ok := labels[basic]; !ok {
			t.Errorf("%s is not exposed", basic)
		}
	}
}

// A proxy without backends, loops and splitting exposes what there is.
func TestMetricsOfAProxyWithoutAnything(t *testing.T) {
	m := newMetrics(&snapshots{}, slog.New(slog.DiscardHandler))
	all, err := m.gatherer(&snapshot{}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range all {
		if f.GetName() == "mysql_proxy_ready" && f.Metric[0].Gauge.GetValue() == 0 {
			n++
		}
	}
	if n != 1 {
		t.Errorf("it says %d times that it is not ready, want 1", n)
	}
}

// The words of states are all that the engine has.
func TestWordsOfStates(t *testing.T) {
	words := func(word func(i int32) string) (all []string) {
		defer func() { _ = recover() }() // behind the last one
		for i := int32(0); ; i++ {
			all = append(all, word(i))
		}
	}
	for _, tc := range []struct {
		have []string
		word func(int32) string
	}{
		{backendStates, func(i int32) string { return engine.BackendState(i).String() }},
		{backendDuties, func(i int32) string { return engine.Duty(i).String() }},
		{backendHealth, func(i int32) string { return engine.Health(i).String() }},
	} {
		if want := words(tc.word); !slices.Equal(tc.have, want) {
			t.Errorf("the metric has %q, the engine %q", tc.have, want)
		}
	}
}

// An address that is in both lists for a while is one backend.
func TestMergeBackends(t *testing.T) {
	a := engine.BackendFigures{Address: "a", Type: "rw", Duty: "draining", Clients: 1, Idle: 2, Servers: 3, Waiting: 11, Connects: 4, Failures: 5, Commands: 6, BytesIn: 7, BytesOut: 8, Probes: 9, ProbeFailures: 10}
	now := engine.BackendFigures{Address: "a", Type: "ro", Duty: "online", Clients: 20, Idle: 20, Servers: 20, Waiting: 20, Connects: 20, Failures: 20, Commands: 20, BytesIn: 20, BytesOut: 20, Probes: 20, ProbeFailures: 20}
	sum := engine.BackendFigures{Address: "a", Type: "ro", Duty: "online", Clients: 21, Idle: 22, Servers: 23, Waiting: 31, Connects: 24, Failures: 25, Commands: 26, BytesIn: 27, BytesOut: 28, Probes: 29, ProbeFailures: 30}
	other := engine.BackendFigures{Address: "b"}
	for _, all := range [][]engine.BackendFigures{{a, other, now}, {now, other, a}} {
		if got, want := fmt.Sprint(mergeBackends(all)), fmt.Sprint([]engine.BackendFigures{sum, other}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	m := newMetrics(&snapshots{}, slog.New(slog.DiscardHandler))
	if _, err := m.gatherer(newSnapshot(engine.Figures{Backends: []engine.BackendFigures{a, other, now}}, false)).Gather(); err != nil {
		t.Error(err)
	}
}
