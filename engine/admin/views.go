package admin

import (
	"strings"

	"mysqlproxy/engine"
)

// This file is what SHOW shows of the proxy: a view is a list and its columns.
// tools.go has the views that are there because clients ask for them.

// view is a result that can be asked for: SHOW BACKENDS, SELECT * FROM backends.
type view struct {
	name    string // in capitals
	like    string // the column that LIKE is about; "": none
	help    string
	columns []column
	get     func(*request) (*grid, error)
}

// list makes a view of a list of T.
func list[T any](name, like, help string, get func(*request) ([]T, error), fields ...field[T]) view {
	v := view{name: name, like: like, help: help}
	for _, f := range fields {
		v.columns = append(v.columns, f.column)
	}
	v.get = func(r *request) (*grid, error) {
		all, err := get(r)
		if err != nil {
			return nil, err
		}
		return fill(all, fields), nil
	}
	return v
}

func text[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, textColumn, help}, of}
}

func count[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, numberColumn, help}, of}
}

func duration[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, secondsColumn, help}, of}
}

// ownViews are those of the proxy.
var ownViews = []view{
	list("BACKENDS", "address", "the servers and how they are",
		func(r *request) ([]engine.BackendFigures, error) {
			return figures(r, func(f *engine.Figures) []engine.BackendFigures { return f.Backends })
		},
		count("backend_ndx", "from 1, in the order of the configuration", func(b *engine.BackendFigures) any { return number(b.Index + 1) }),
		text("address", "", func(b *engine.BackendFigures) any { return b.Address }),
		text("type", "the list of the configuration that it is in: rw or ro", func(b *engine.BackendFigures) any { return b.Type }),
		text("role", "primary, replica, peer, unknown: what probes found", func(b *engine.BackendFigures) any { return b.Role }),
		text("leads", "whether writes may go there now", func(b *engine.BackendFigures) any { return yesNo(b.Leads) }),
		text("state", "unknown, up, down: what connects show", func(b *engine.BackendFigures) any { return b.State }),
		text("health", "what probes found", func(b *engine.BackendFigures) any { return b.Health }),
		count("weight", "of its reads, next to the others'", func(b *engine.BackendFigures) any { return number(b.Weight) }),
		count("clients", "client sessions that use it", func(b *engine.BackendFigures) any { return number(b.Clients) }),
		count("idle", "server sessions in the pools", func(b *engine.BackendFigures) any { return number(b.Idle) }),
		duration("lag_seconds", "how far it is behind its primary; NULL if nobody knows", func(b *engine.BackendFigures) any { return known(b.LagKnown, b.Lag.Seconds()) }),
		duration("probe_seconds", "how long it took of late to answer a probe", func(b *engine.BackendFigures) any { return known(b.ProbeLatency > 0, b.ProbeLatency.Seconds()) }),
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
		count("accepted", "sessions so far", func(l *engine.LoopFigures) any { return number(l.Accepted) }),
		count("commands", "so far", func(l *engine.LoopFigures) any { return number(l.Commands) }),
		count("bytes_in", "from clients", func(l *engine.LoopFigures) any { return number(l.BytesIn) }),
		count("bytes_out", "to clients", func(l *engine.LoopFigures) any { return number(l.BytesOut) }),
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

func figures[T any](r *request, of func(*engine.Figures) []T) ([]T, error) {
	f, err := r.proxy.Figures(r)
	return of(&f), err
}

// some are those of a list that is is about.
func some[T any](all []T, is func(*T) bool) (list []T) {
	for i := range all {
		if is(&all[i]) {
			list = append(list, all[i])
		}
	}
	return list
}

func (r *request) settings() []Setting {
	if r.Settings == nil {
		return nil
	}
	return r.Settings.All()
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

// narrowing is what may follow a SHOW, for HELP.
const narrowing = `It may be followed by
  LIKE 'pattern'
  WHERE condition: = != < <= > >= [NOT] LIKE, [NOT] IN (...), IS [NOT] NULL, AND, OR, NOT
  ORDER BY column [DESC], ...
  LIMIT n [OFFSET n]
in this order.`

// describe is what HELP says of a view beside its line.
func (v *view) describe() string {
	var b strings.Builder
	b.WriteString(narrowing + "\n\n")
	if v.like != "" {
		b.WriteString("LIKE is about " + v.like + ".\n\n")
	}
	b.WriteString("Columns:\n")
	for _, c := range v.columns {
		b.WriteString("  " + c.name)
		if c.help != "" {
			b.WriteString(": " + c.help)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// show answers SHOW for v, of which the rest is to be read.
func (r *request) show(v view) (*result, error) {
	t, err := r.tail()
	if err != nil {
		return nil, err
	}
	g, err := v.get(r)
	if err == nil {
		err = g.narrow(t, v.like)
	}
	return &result{grid: g}, err
}
