package admin

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mysqlproxy/engine"
)

// This file names all that /metrics has of the engine. Dashboards and alert rules
// live on these names: one that goes or changes its meaning is a change that
// users have to be told of.
//
// Labels have few values: backends are configured, the rest are words of the
// program. Nothing that clients send becomes a label.

// family is what goes by one name.
type family struct {
	name   string
	kind   prometheus.ValueType
	labels []string
	help   string
	// each puts a value for every combination of labels, which are in the order
	// above. What is not known is not put.
	each func(f *snapshot, put func(v float64, labels ...string))
	// histogram stands in for each.
	histogram func(f *snapshot, put func(h buckets, labels ...string))
}

// buckets is a histogram as the library takes it.
type buckets struct {
	count uint64
	sum   float64
	upTo  map[float64]uint64 // how many were not above a bound
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// The words that a state may be, for families with a row for each of them.
var (
	backendStates = []string{"unknown", "up", "down"}
	backendHealth = []string{"unknown", "good", "down", "offline", "lagging", "stopped", "not_replica", "unsynced"}
	backendDuties = []string{"online", "draining", "maintenance"}
	backendRoles  = []string{"unknown", "primary", "replica", "peer"}
)

var families = []family{
	{name: "mysql_proxy_build_info", kind: gauge, labels: []string{"version", "goversion"},
		help: "1, with the version of the program and of the Go it was built with as labels.",
		each: func(f *snapshot, put func(float64, ...string)) { put(1, f.Version, goVersion) }},
	{name: "mysql_proxy_start_time_seconds", kind: gauge,
		help: "When the event loops were started, in seconds since 1970.",
		each: func(f *snapshot, put func(float64, ...string)) { put(unix(f.Started)) }},
	{name: "mysql_proxy_ready", kind: gauge,
		help: "1 if /readyz says so: a server that takes writes is known, and the proxy takes clients.",
		each: func(f *snapshot, put func(float64, ...string)) { put(truth(f.unready() == nil)) }},

	{name: "mysql_proxy_backend_info", kind: gauge, labels: []string{"backend", "type"},
		help: "1 for each backend; type is rw or ro, the list of the configuration that it is in.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(1, b.Type) })},
	{name: "mysql_proxy_backend_state", kind: gauge, labels: []string{"backend", "state"},
		help: "1 for the state that connects to the backend have shown, 0 for the others.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { oneOf(backendStates, b.State, put) })},
	{name: "mysql_proxy_backend_health", kind: gauge, labels: []string{"backend", "health"},
		help: "1 for what health probes have found the backend to be, 0 for the rest.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { oneOf(backendHealth, b.Health, put) })},
	{name: "mysql_proxy_backend_role", kind: gauge, labels: []string{"backend", "role"},
		help: "1 for the role that probes have found the backend to have, 0 for the others; unknown where they are not asked (--roles).",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { oneOf(backendRoles, b.Role, put) })},
	{name: "mysql_proxy_backend_duty", kind: gauge, labels: []string{"backend", "duty"},
		help: "1 for what the operator has the backend do, 0 for the rest: online, draining (no new sessions) or maintenance (none).",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { oneOf(backendDuties, b.Duty, put) })},
	{name: "mysql_proxy_backend_leads", kind: gauge, labels: []string{"backend"},
		help: "1 if writes go to the backend, or would if it were up.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(truth(b.Leads)) })},
	{name: "mysql_proxy_backend_weight", kind: gauge, labels: []string{"backend"},
		help: "Share of reads that the backend gets next to others.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Weight)) })},
	{name: "mysql_proxy_backend_clients", kind: gauge, labels: []string{"backend"},
		help: "Client sessions that have a session with the backend, or are connecting to it.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Clients)) })},
	{name: "mysql_proxy_backend_state_start_time_seconds", kind: gauge, labels: []string{"backend"},
		help: "When the state of the backend became what it is, in seconds since 1970.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) {
			if !b.Since.IsZero() {
				put(unix(b.Since))
			}
		})},
	{name: "mysql_proxy_backend_sessions", kind: gauge, labels: []string{"backend"},
		help: "Sessions with the backend, those in the pools, and those that are begun or being closed, too.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Servers)) })},
	{name: "mysql_proxy_backend_idle_sessions", kind: gauge, labels: []string{"backend"},
		help: "Sessions with the backend that are in the pools.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Idle)) })},
	{name: "mysql_proxy_backend_waiting_sessions", kind: gauge, labels: []string{"backend"},
		help: "Client sessions that wait for a session with the backend because it has as many as it may (--pool-max-sessions).",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Waiting)) })},
	{name: "mysql_proxy_backend_connects_total", kind: counter, labels: []string{"backend"},
		help: "Connections that the backend has taken, those of probes apart.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Connects)) })},
	{name: "mysql_proxy_backend_connect_failures_total", kind: counter, labels: []string{"backend"},
		help: "Connects, and greetings and handshakes behind them, that failed, those of probes apart.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Failures)) })},
	{name: "mysql_proxy_backend_commands_total", kind: counter, labels: []string{"backend"},
		help: "Commands of clients and scripts that were sent to the backend.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Commands)) })},
	{name: "mysql_proxy_backend_received_bytes_total", kind: counter, labels: []string{"backend"},
		help: "Bytes from the backend, as they were before encryption and compression.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.BytesIn)) })},
	{name: "mysql_proxy_backend_sent_bytes_total", kind: counter, labels: []string{"backend"},
		help: "Bytes to the backend, before encryption and compression.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.BytesOut)) })},
	{name: "mysql_proxy_backend_lag_seconds", kind: gauge, labels: []string{"backend"},
		help: "How far the backend is behind its primary; absent where that is not known.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) {
			if b.LagKnown {
				put(b.Lag.Seconds())
			}
		})},
	{name: "mysql_proxy_backend_probe_latency_seconds", kind: gauge, labels: []string{"backend"},
		help: "How long the backend took of late to answer a health probe, smoothed; absent before the first answer.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) {
			if b.ProbeLatency > 0 {
				put(b.ProbeLatency.Seconds())
			}
		})},
	{name: "mysql_proxy_backend_probe_duration_seconds", labels: []string{"backend"},
		help: "How long health probes took that were answered.",
		histogram: func(f *snapshot, put func(buckets, ...string)) {
			for i := range f.byAddress {
				if b := &f.byAddress[i]; b.ProbeTimes.Bounds != nil {
					put(bucketsOf(b.ProbeTimes), b.Address)
				}
			}
		}},
	{name: "mysql_proxy_backend_probes_total", kind: counter, labels: []string{"backend"},
		help: "Health probes.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.Probes)) })},
	{name: "mysql_proxy_backend_probe_failures_total", kind: counter, labels: []string{"backend"},
		help: "Health probes that failed.",
		each: ofBackends(func(b *engine.BackendFigures, put putFunc) { put(float64(b.ProbeFailures)) })},
	{name: "mysql_proxy_split_brains_total", kind: counter,
		help: "How often more than one backend was found to be a primary.",
		each: func(f *snapshot, put func(float64, ...string)) { put(float64(f.Splits)) }},

	{name: "mysql_proxy_sessions_waiting_for_primary", kind: gauge,
		help: "Client sessions that wait for a read/write backend while there is none, new ones and those with a command (--failover-wait).",
		each: func(f *snapshot, put func(float64, ...string)) { put(float64(f.WaitingForPrimary)) }},
	{name: "mysql_proxy_sessions", kind: gauge, labels: []string{"loop"},
		help: "Client sessions now, without those of the admin port.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Sessions) })},
	{name: "mysql_proxy_admin_sessions", kind: gauge, labels: []string{"loop"},
		help: "Sessions of the admin port now.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Admin) })},
	{name: "mysql_proxy_server_sessions", kind: gauge, labels: []string{"loop"},
		help: "Sessions with backends now, whatever their state.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Servers) })},
	{name: "mysql_proxy_sessions_accepted_total", kind: counter, labels: []string{"loop"},
		help: "Client sessions so far, without those of the admin port.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Accepted) })},
	{name: "mysql_proxy_sessions_closed_total", kind: counter, labels: []string{"reason", "fault"},
		help: "Client sessions that have ended, by why and by whose doing it was: nobody, client, server or proxy.",
		each: func(f *snapshot, put func(float64, ...string)) {
			for _, c := range f.Closes {
				put(float64(c.Sessions), c.Reason, c.Fault)
			}
		}},
	{name: "mysql_proxy_commands_total", kind: counter, labels: []string{"loop"},
		help: "Commands of clients.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Commands) })},
	{name: "mysql_proxy_command_duration_seconds",
		help: "From a command's being sent to the end of its response, of those that were timed: all with --digests=on, some with sampled; absent with off.",
		histogram: func(f *snapshot, put func(buckets, ...string)) {
			if f.Latency != nil {
				put(bucketsOf(*f.Latency))
			}
		}},
	{name: "mysql_proxy_client_received_bytes_total", kind: counter, labels: []string{"loop"},
		help: "Bytes from clients, as they were before encryption and compression.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.BytesIn) })},
	{name: "mysql_proxy_client_sent_bytes_total", kind: counter, labels: []string{"loop"},
		help: "Bytes to clients, before encryption and compression.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.BytesOut) })},

	{name: "mysql_proxy_loop_turns_total", kind: counter, labels: []string{"loop"},
		help: "How often a socket, or another descriptor of the loop's, was found ready.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Turns) })},
	{name: "mysql_proxy_loop_busy_seconds_total", kind: counter, labels: []string{"loop"},
		help: "About how long handling those took; a loop for which it grows by a second in a second has no more to give.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return l.Busy.Seconds() })},
	{name: "mysql_proxy_loop_waiting_bytes", kind: gauge, labels: []string{"loop"},
		help: "Bytes that wait for clients and backends to take them.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Waiting) })},
	{name: "mysql_proxy_loop_buffer_bytes", kind: gauge, labels: []string{"loop"},
		help: "Memory for what is read and what waits.",
		each: ofLoops(func(l *engine.LoopFigures) float64 { return float64(l.Buffers) })},

	{name: "mysql_proxy_routed_commands_total", kind: counter, labels: []string{"route", "reason"},
		help: "Commands of sessions that split, by where they went, primary or replica, and why.",
		each: func(f *snapshot, put func(float64, ...string)) {
			for _, r := range f.Routes {
				put(float64(r.Commands), r.To, r.Reason)
			}
		}},
	{name: "mysql_proxy_pinned_sessions", kind: gauge, labels: []string{"pin"},
		help: "Sessions whose reads stay at the primary, by why; one that has several reasons counts for each.",
		each: func(f *snapshot, put func(float64, ...string)) {
			for _, p := range f.Pins {
				put(float64(p.Sessions), p.Reason)
			}
		}},
	{name: "mysql_proxy_identities", kind: gauge, labels: []string{"how", "owned"},
		help: "Sessions by how the proxy has come to own what it needs to log in as their users (owned is true), or why it has not.",
		each: func(f *snapshot, put func(float64, ...string)) {
			for _, i := range f.Identities {
				put(float64(i.Sessions), i.How, strconv.FormatBool(i.Owned))
			}
		}},

	{name: "mysql_proxy_hook_calls_total", kind: counter, labels: []string{"hook"},
		help: "Calls of the script's functions.",
		each: ofHooks(func(h *engine.HookFigures) float64 { return float64(h.Calls) })},
	{name: "mysql_proxy_hook_failures_total", kind: counter, labels: []string{"hook"},
		help: "Calls that raised an error or returned what means nothing.",
		each: ofHooks(func(h *engine.HookFigures) float64 { return float64(h.Failures) })},
	{name: "mysql_proxy_hook_timed_calls_total", kind: counter, labels: []string{"hook"},
		help: "Calls whose time was measured, one of 16.",
		each: ofHooks(func(h *engine.HookFigures) float64 { return float64(h.Timed) })},
	{name: "mysql_proxy_hook_timed_seconds_total", kind: counter, labels: []string{"hook"},
		help: "How long those took in sum, the wait for other hooks that ran at the time included.",
		each: ofHooks(func(h *engine.HookFigures) float64 { return h.Time.Seconds() })},
}

type putFunc = func(v float64, labels ...string)

// ofBackends has a row, or several, for each backend. put adds its label.
func ofBackends(each func(b *engine.BackendFigures, put putFunc)) func(*snapshot, putFunc) {
	return func(f *snapshot, put putFunc) {
		for i := range f.byAddress {
			b := &f.byAddress[i]
			each(b, func(v float64, labels ...string) { put(v, append([]string{b.Address}, labels...)...) })
		}
	}
}

// ofLoops has a row for each event loop.
func ofLoops(value func(l *engine.LoopFigures) float64) func(*snapshot, putFunc) {
	return func(f *snapshot, put putFunc) {
		for i := range f.Loops {
			put(value(&f.Loops[i]), strconv.Itoa(f.Loops[i].Number))
		}
	}
}

// ofHooks has a row for each hook that the script has.
func ofHooks(value func(h *engine.HookFigures) float64) func(*snapshot, putFunc) {
	return func(f *snapshot, put putFunc) {
		for i := range f.Hooks {
			put(value(&f.Hooks[i]), f.Hooks[i].Hook)
		}
	}
}

// bucketsOf is h in seconds.
func bucketsOf(h engine.Histogram) buckets {
	b := buckets{sum: h.Sum.Seconds(), upTo: map[float64]uint64{}}
	for i, n := range h.Counts {
		b.count += n
		if i < len(h.Bounds) {
			b.upTo[h.Bounds[i].Seconds()] = b.count
		}
	}
	return b
}

// oneOf has a row for each word, with 1 for the one that is.
func oneOf(words []string, is string, put putFunc) {
	for _, w := range words {
		put(truth(w == is), w)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
