package admin

import (
	"fmt"
	"strings"
	"time"

	"mysqlproxy/engine"
)

// This file is what SHOW shows of the proxy.

// ownViews are those of the proxy.
var ownViews = []view{
	list(backendsTable, "address", "the servers and how they are",
		func(r *request) ([]engine.BackendFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.BackendFigures { return f.Backends })
		},
		count("backend_ndx", "from 1, in the order of the configuration", func(b *engine.BackendFigures) any { return number(b.Index + 1) }),
		text("address", "", func(b *engine.BackendFigures) any { return b.Address }),
		text("type", "the list of the configuration that it is in: rw or ro", func(b *engine.BackendFigures) any { return b.Type }),
		text("role", "primary, replica, peer, unknown: what probes found", func(b *engine.BackendFigures) any { return b.Role }),
		text("leads", "whether writes may go there now", func(b *engine.BackendFigures) any { return yesNo(b.Leads) }),
		text("duty", "online, draining, maintenance: what an operator has it do", func(b *engine.BackendFigures) any { return b.Duty }),
		text("state", "unknown, up, down: what connects show", func(b *engine.BackendFigures) any { return b.State }),
		text("health", "what probes found", func(b *engine.BackendFigures) any { return b.Health }),
		count("weight", "of its reads, next to the others'", func(b *engine.BackendFigures) any { return number(b.Weight) }),
		count("clients", "client sessions that use it", func(b *engine.BackendFigures) any { return number(b.Clients) }),
		count("servers", "connections to it", func(b *engine.BackendFigures) any { return number(b.Servers) }),
		count("idle", "of those, idle ones in the pools", func(b *engine.BackendFigures) any { return number(b.Idle) }),
		count("waiting", "sessions that wait for a connection, as it has as many as it may", func(b *engine.BackendFigures) any { return number(b.Waiting) }),
		duration("lag_seconds", "how far it is behind its primary; NULL if nobody knows", func(b *engine.BackendFigures) any { return known(b.LagKnown, b.Lag.Seconds()) }),
		duration("probe_seconds", "how long it took of late to answer a probe", func(b *engine.BackendFigures) any { return known(b.ProbeLatency > 0, b.ProbeLatency.Seconds()) }),
		instant("since", "when state became what it is", func(b *engine.BackendFigures) any { return known(!b.Since.IsZero(), b.Since) }),
		count("commands", "that were sent to it, so far", func(b *engine.BackendFigures) any { return number(b.Commands) }),
		count("bytes_in", "from it, so far", func(b *engine.BackendFigures) any { return number(b.BytesIn) }),
		count("bytes_out", "to it, so far", func(b *engine.BackendFigures) any { return number(b.BytesOut) }),
		count("connects", "that it has taken, so far", func(b *engine.BackendFigures) any { return number(b.Connects) }),
		count("failures", "connects that failed, so far", func(b *engine.BackendFigures) any { return number(b.Failures) }),
		count("probes", "so far", func(b *engine.BackendFigures) any { return number(b.Probes) }),
		count("probe_failures", "of those", func(b *engine.BackendFigures) any { return number(b.ProbeFailures) }),
		text("last_error", "of connects and probes, however long ago", func(b *engine.BackendFigures) any { return filled(b.LastError) }),
		instant("last_error_at", "", func(b *engine.BackendFigures) any { return known(!b.LastAt.IsZero(), b.LastAt) }),
		text("uuid", "what a script has noted", func(b *engine.BackendFigures) any { return filled(b.UUID) }),
	),
	list("SESSIONS", "user", "the clients and what they do",
		func(r *request) ([]engine.SessionFigures, error) { return r.proxy.Sessions(r) },
		count("id", "for KILL", func(s *engine.SessionFigures) any { return number(s.ID) }),
		text("user", "", func(s *engine.SessionFigures) any { return filled(s.User) }),
		text("client", "its address; NULL at a unix socket", func(s *engine.SessionFigures) any { return filled(s.Client) }),
		text("database", "NULL if there is none, or if it is not known", func(s *engine.SessionFigures) any { return known(s.DatabaseKnown, filled(s.Database)) }),
		text("state", "greeting, tls, login, ready (idle), busy, infile, closing", func(s *engine.SessionFigures) any { return s.State }),
		text("home", "the backend that it writes to; NULL if it has no session there now", func(s *engine.SessionFigures) any { return filled(s.Home) }),
		count("thread", "its connection id there", func(s *engine.SessionFigures) any { return known(s.Thread > 0, number(s.Thread)) }),
		text("reader", "the replica that it reads from", func(s *engine.SessionFigures) any { return filled(s.Reader) }),
		text("waits", "what its next command waits for: reader, home, answer, state, pool, or the like", func(s *engine.SessionFigures) any { return filled(s.Waits) }),
		text("pins", "why its reads stay at the primary", func(s *engine.SessionFigures) any { return filled(strings.Join(s.Pins, ",")) }),
		text("in_transaction", "", func(s *engine.SessionFigures) any { return yesNo(s.InTransaction) }),
		text("last_route", "where its last command went", func(s *engine.SessionFigures) any { return filled(s.LastRoute) }),
		text("last_reason", "and why", func(s *engine.SessionFigures) any { return filled(s.LastReason) }),
		count("commands", "", func(s *engine.SessionFigures) any { return number(s.Commands) }),
		count("bytes_in", "from the client", func(s *engine.SessionFigures) any { return number(s.BytesIn) }),
		count("bytes_out", "to the client", func(s *engine.SessionFigures) any { return number(s.BytesOut) }),
		duration("age_seconds", "since it came", func(s *engine.SessionFigures) any { return toSeconds(s.Age) }),
		duration("idle_seconds", "since bytes came, from either side", func(s *engine.SessionFigures) any { return toSeconds(s.Idle) }),
		count("statements", "prepared ones that are open; NULL without splitting", func(s *engine.SessionFigures) any { return known(s.Statements >= 0, number(max(0, s.Statements))) }),
		text("identity", "how the proxy can log in as its user, or why it cannot; NULL without splitting", func(s *engine.SessionFigures) any { return filled(s.Identity) }),
		text("tls", "", func(s *engine.SessionFigures) any { return yesNo(s.TLS) }),
		text("compression", "zlib, zstd or NULL", func(s *engine.SessionFigures) any { return filled(s.Compression) }),
		text("script", "whether a script has it in hand", func(s *engine.SessionFigures) any { return yesNo(s.Script) }),
		text("admin", "whether it is one of the admin port", func(s *engine.SessionFigures) any { return yesNo(s.Admin) }),
		count("loop", "the event loop that it lives on", func(s *engine.SessionFigures) any { return number(s.Loop) }),
	),
	list("PINS", "reason", "why reads of sessions stay at the primary, as far as they do now",
		func(r *request) ([]engine.PinFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.PinFigures {
				return some(f.Pins, func(p *engine.PinFigures) bool { return p.Sessions > 0 })
			})
		},
		text("reason", "", func(p *engine.PinFigures) any { return p.Reason }),
		count("sessions", "one with several reasons counts for each", func(p *engine.PinFigures) any { return number(p.Sessions) }),
	),
	list("POOLS", "user", "idle server sessions",
		func(r *request) ([]engine.PoolFigures, error) { return r.proxy.Pools(r) },
		count("loop", "", func(p *engine.PoolFigures) any { return number(p.Loop) }),
		text("backend", "", func(p *engine.PoolFigures) any { return p.Backend }),
		text("user", "", func(p *engine.PoolFigures) any { return p.User }),
		count("idle", "", func(p *engine.PoolFigures) any { return number(p.Idle) }),
		count("reserved", "of those, kept for the session that had them last", func(p *engine.PoolFigures) any { return number(p.Reserved) }),
		duration("oldest_idle_seconds", "", func(p *engine.PoolFigures) any { return toSeconds(p.OldestIdle) }),
	),
	list("ROUTES", "reason", "where commands of sessions that split went and why, so far",
		func(r *request) ([]engine.RouteFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.RouteFigures {
				return some(f.Routes, func(r *engine.RouteFigures) bool { return r.Commands > 0 })
			})
		},
		text("route", "primary or replica", func(r *engine.RouteFigures) any { return r.To }),
		text("reason", "", func(r *engine.RouteFigures) any { return r.Reason }),
		count("commands", "", func(r *engine.RouteFigures) any { return number(r.Commands) }),
	),
	list("IDENTITIES", "how", "sessions that split, by how the proxy can log in as their users, or why it cannot",
		func(r *request) ([]engine.IdentityFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.IdentityFigures {
				return some(f.Identities, func(i *engine.IdentityFigures) bool { return i.Sessions > 0 })
			})
		},
		text("how", "", func(i *engine.IdentityFigures) any { return i.How }),
		text("owned", "whether it can", func(i *engine.IdentityFigures) any { return yesNo(i.Owned) }),
		count("sessions", "now", func(i *engine.IdentityFigures) any { return number(i.Sessions) }),
	),
	list("CLOSES", "reason", "why sessions of clients have ended, so far",
		func(r *request) ([]engine.CloseFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.CloseFigures {
				return some(f.Closes, func(c *engine.CloseFigures) bool { return c.Sessions > 0 })
			})
		},
		text("reason", "", func(c *engine.CloseFigures) any { return c.Reason }),
		text("fault", "whose doing it was: nobody, client, server, proxy", func(c *engine.CloseFigures) any { return c.Fault }),
		count("sessions", "", func(c *engine.CloseFigures) any { return number(c.Sessions) }),
	),
	list("LOOPS", "", "the event loops",
		func(r *request) ([]engine.LoopFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.LoopFigures { return f.Loops })
		},
		count("loop", "", func(l *engine.LoopFigures) any { return number(l.Number) }),
		count("sessions", "of clients, now", func(l *engine.LoopFigures) any { return number(l.Sessions) }),
		count("admin_sessions", "of the admin port, now", func(l *engine.LoopFigures) any { return number(l.Admin) }),
		count("servers", "connections to backends, now", func(l *engine.LoopFigures) any { return number(l.Servers) }),
		count("accepted", "sessions so far", func(l *engine.LoopFigures) any { return number(l.Accepted) }),
		count("commands", "so far", func(l *engine.LoopFigures) any { return number(l.Commands) }),
		count("bytes_in", "from clients", func(l *engine.LoopFigures) any { return number(l.BytesIn) }),
		count("bytes_out", "to clients", func(l *engine.LoopFigures) any { return number(l.BytesOut) }),
		count("turns", "how often a socket was found ready", func(l *engine.LoopFigures) any { return number(l.Turns) }),
		duration("busy_seconds", "how long handling those took, about; as fast as the clock is all that it can", func(l *engine.LoopFigures) any { return toSeconds(l.Busy) }),
		count("waiting_bytes", "that wait for peers to take them", func(l *engine.LoopFigures) any { return number(l.Waiting) }),
		count("buffer_bytes", "memory for what is read and what waits", func(l *engine.LoopFigures) any { return number(l.Buffers) }),
	),
	list("EVENTS", "kind", "the last 1,024 things that happened to backends, or that an operator did, the oldest first",
		func(r *request) ([]engine.Event, error) { return r.proxy.Events(), nil },
		count("number", "from 1; those that are missing have been pushed out", func(e *engine.Event) any { return number(e.Number) }),
		instant("at", "", func(e *engine.Event) any { return e.At }),
		text("kind", "backend_state, health, role, primary, duty, config, kill, split_brain, or the like", func(e *engine.Event) any { return string(e.Kind) }),
		text("backend", "", func(e *engine.Event) any { return filled(e.Backend) }),
		text("was", "", func(e *engine.Event) any { return filled(e.From) }),
		text("is", "", func(e *engine.Event) any { return filled(e.To) }),
		text("reason", "", func(e *engine.Event) any { return filled(e.Reason) }),
	),
	list("SCRIPTS", "hook", "the hooks of the script, and what their calls cost",
		func(r *request) ([]engine.HookFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.HookFigures { return f.Hooks })
		},
		text("hook", "", func(h *engine.HookFigures) any { return h.Hook }),
		count("calls", "", func(h *engine.HookFigures) any { return number(h.Calls) }),
		count("failures", "calls that raised an error, or returned what means nothing", func(h *engine.HookFigures) any { return number(h.Failures) }),
		count("timed", "calls that were measured", func(h *engine.HookFigures) any { return number(h.Timed) }),
		duration("seconds_per_call", "of those, with the wait for other hooks", func(h *engine.HookFigures) any { return known(h.Timed > 0, h.Time.Seconds()/float64(max(1, h.Timed))) }),
	),
	list("DIGESTS", "digest_text", "statements by what they look like without their values, those with most commands first",
		func(r *request) ([]engine.DigestFigures, error) { return r.proxy.Digests(r) },
		text("digest", "NULL for all that have none of their own", func(d *engine.DigestFigures) any { return known(!d.Rest, fmt.Sprintf("%016x", d.Digest)) }),
		text("digest_text", "", func(d *engine.DigestFigures) any { return known(!d.Rest, d.Text) }),
		text("database", "of the first command; NULL if there was none, or if it is not known", func(d *engine.DigestFigures) any { return known(d.SchemaKnown, filled(d.Schema)) }),
		count("commands", "", func(d *engine.DigestFigures) any { return number(d.Count) }),
		count("errors", "of those, ended in an ERR", func(d *engine.DigestFigures) any { return number(d.Errors) }),
		count("rows", "sent to clients, but for those fetched from cursors", func(d *engine.DigestFigures) any { return number(d.Rows) }),
		count("primary", "commands that ran there", func(d *engine.DigestFigures) any { return number(d.Primary) }),
		count("replica", "commands that ran at one", func(d *engine.DigestFigures) any { return number(d.Replica) }),
		instant("first_seen", "", func(d *engine.DigestFigures) any { return d.First }),
		instant("last_seen", "", func(d *engine.DigestFigures) any { return d.Last }),
		count("timed", "commands that were timed; the following is of those", func(d *engine.DigestFigures) any { return number(d.Latency.Count) }),
		duration("total_seconds", "", func(d *engine.DigestFigures) any { return latency(d, d.Latency.Sum) }),
		duration("mean_seconds", "", func(d *engine.DigestFigures) any {
			return latency(d, d.Latency.Sum/time.Duration(max(1, d.Latency.Count)))
		}),
		duration("p50_seconds", "half took less", func(d *engine.DigestFigures) any { return latency(d, d.Latency.Quantile(0.5)) }),
		duration("p95_seconds", "", func(d *engine.DigestFigures) any { return latency(d, d.Latency.Quantile(0.95)) }),
		duration("p99_seconds", "", func(d *engine.DigestFigures) any { return latency(d, d.Latency.Quantile(0.99)) }),
		duration("max_seconds", "", func(d *engine.DigestFigures) any { return latency(d, d.Latency.Max) }),
	),
	list("MEMORY", "name", "what the process takes", (*request).memory,
		text("name", "", func(m *measure) any { return m.name }),
		count("value", "", func(m *measure) any { return m.value }),
		text("unit", "", func(m *measure) any { return m.unit }),
		text("help", "", func(m *measure) any { return m.help }),
	),
	list("CONFIG", "option", "every option: its value, where it comes from, and whether SET can change it",
		func(r *request) ([]Setting, error) { return r.settings(), nil },
		text("option", "", func(s *Setting) any { return s.Name }),
		text("value", "NULL if it is not set", func(s *Setting) any { return filled(s.Value) }),
		text("default", "", func(s *Setting) any { return filled(s.Default) }),
		text("source", "default, file, command line or SET", func(s *Setting) any { return s.Source }),
		text("live", "whether SET can change it", func(s *Setting) any { return yesNo(s.Live) }),
		text("help", "", func(s *Setting) any { return s.Help }),
	),
}

// latency is a time of d's, NULL if none was taken.
func latency(d *engine.DigestFigures, took time.Duration) any {
	return known(d.Latency.Count > 0, took.Seconds())
}

// measure is a figure of the process.
type measure struct {
	name  string
	value any
	unit  string
	help  string
}

func (r *request) memory() ([]measure, error) {
	f, err := r.proxy.Figures(r)
	m := &f.Memory
	return []measure{
		{"heap", number(m.Heap), "bytes", "live objects, and dead ones that are not swept yet"},
		{"heap_goal", number(m.HeapGoal), "bytes", "the size at which the next collection ends"},
		{"total", number(m.Total), "bytes", "all that the process has from the system for Go"},
		{"goroutines", number(m.Goroutines), "", ""},
		{"collections", number(m.GCs), "", "so far"},
		{"collection_pauses", number(m.GCPauses.Microseconds()), "microseconds", "so far, about"},
	}, err
}
