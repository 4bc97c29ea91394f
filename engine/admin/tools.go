package admin

import (
	"fmt"
	"slices"
	"strings"

	"mysqlproxy/engine"
)

// This file is what clients and tools ask of any server, most of them unasked by
// whoever uses them: variables, status, SET.

// pair is a row of SHOW VARIABLES and of SHOW STATUS.
type pair struct {
	name  string
	value any
}

// toolViews are the views that there are for tools.
var toolViews = []view{
	list("VARIABLES", "Variable_name", "what a client finds in variables: the options, and what servers have", (*request).variables, pairFields...),
	list("STATUS", "Variable_name", "counters by the names that servers have for them", (*request).status, pairFields...),
	list("PROCESSLIST", "User", "the sessions as MySQL lists them; SHOW SESSIONS says more",
		func(r *request) ([]engine.SessionFigures, error) { return r.proxy.Sessions(r) },
		count("Id", "for KILL", func(s *engine.SessionFigures) any { return number(s.ID) }),
		text("User", "", func(s *engine.SessionFigures) any { return s.User }),
		text("Host", "", func(s *engine.SessionFigures) any { return s.Client }),
		text("db", "", func(s *engine.SessionFigures) any { return known(s.DatabaseKnown, filled(s.Database)) }),
		text("Command", "", func(s *engine.SessionFigures) any { return commandOf(s.State) }),
		count("Time", "seconds since bytes came", func(s *engine.SessionFigures) any { return number(int64(s.Idle.Seconds())) }),
		text("State", "", func(s *engine.SessionFigures) any { return s.State }),
		text("Info", "always NULL: the proxy keeps no statements", func(*engine.SessionFigures) any { return nil }),
	),
	list("DATABASES", "Database", "", func(*request) ([]string, error) { return []string{"proxy"}, nil },
		text("Database", "", func(s *string) any { return *s })),
	list("TABLES", "Tables_in_proxy", "what SELECT * FROM can have", func(*request) ([]view, error) { return tables, nil },
		text("Tables_in_proxy", "", func(v *view) any { return strings.ToLower(v.name) })),
	list("WARNINGS", "", "", nothing, noticeFields...),
	list("ERRORS", "", "", nothing, noticeFields...),
}

var pairFields = []field[pair]{
	text("Variable_name", "", func(p *pair) any { return p.name }),
	text("Value", "", func(p *pair) any {
		if s, ok := cellText(p.value); ok {
			return s
		}
		return ""
	}),
}

// notice is a row of SHOW WARNINGS.
type notice struct{}

var noticeFields = []field[notice]{
	text("Level", "", func(*notice) any { return nil }),
	count("Code", "", func(*notice) any { return nil }),
	text("Message", "", func(*notice) any { return nil }),
}

func nothing(*request) ([]notice, error) { return nil, nil }

// commandOf is what MySQL calls what a session does.
func commandOf(state string) string {
	switch state {
	case "ready":
		return "Sleep"
	case "busy", "infile":
		return "Query"
	}
	return "Connect"
}

// pretended are the variables that clients read when they connect, with values
// that are right for the console: it takes any character set for UTF-8, knows no
// transactions, and does not look at what is not text.
var pretended = []pair{
	{"auto_increment_increment", number(1)}, {"autocommit", number(1)},
	{"character_set_client", "utf8mb4"}, {"character_set_connection", "utf8mb4"}, {"character_set_database", "utf8mb4"},
	{"character_set_results", "utf8mb4"}, {"character_set_server", "utf8mb4"}, {"character_set_system", "utf8mb4"},
	{"collation_connection", "utf8mb4_general_ci"}, {"collation_database", "utf8mb4_general_ci"}, {"collation_server", "utf8mb4_general_ci"},
	{"init_connect", ""}, {"interactive_timeout", number(28800)}, {"license", "MIT"}, {"lower_case_table_names", number(1)},
	{"max_allowed_packet", number(1 << 20)}, {"net_buffer_length", number(16384)}, {"net_read_timeout", number(28800)}, {"net_write_timeout", number(28800)},
	{"performance_schema", number(0)}, {"query_cache_size", number(0)}, {"query_cache_type", "OFF"}, {"read_only", number(0)},
	{"socket", nil}, {"sql_mode", ""}, {"system_time_zone", "SYSTEM"}, {"time_zone", "SYSTEM"},
	{"transaction_isolation", "REPEATABLE-READ"}, {"transaction_read_only", number(0)}, {"tx_isolation", "REPEATABLE-READ"}, {"tx_read_only", number(0)},
	{"version", engine.AdminVersion}, {"wait_timeout", number(28800)},
}

// variables are those that SHOW VARIABLES lists, in their order.
func (r *request) variables() ([]pair, error) {
	all := slices.Clone(pretended)
	f, err := r.proxy.Figures(r)
	all = append(all, pair{"version_comment", versionComment(f.Version)})
	for _, s := range r.settings() {
		name := strings.ReplaceAll(s.Name, "-", "_")
		if !slices.ContainsFunc(all, func(p pair) bool { return p.name == name }) {
			all = append(all, pair{name, s.Value})
		}
	}
	slices.SortFunc(all, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return all, err
}

func versionComment(version string) string {
	return strings.TrimSpace("mysql-proxy "+version) + " admin console"
}

// variable is the value of @@name.
func (r *request) variable(name string) (value any, ok bool) {
	name = strings.ToLower(name)
	for _, scope := range []string{"session.", "global.", "local."} {
		name = strings.TrimPrefix(name, scope)
	}
	all, err := r.variables()
	i := slices.IndexFunc(all, func(p pair) bool { return p.name == strings.ReplaceAll(name, "-", "_") })
	if i < 0 || err != nil {
		return nil, false
	}
	return all[i].value, true
}

// status is what SHOW STATUS lists.
func (r *request) status() ([]pair, error) {
	f, err := r.proxy.Figures(r)
	s := sum(&f)
	return []pair{
		{"Bytes_received", number(s.BytesIn)},
		{"Bytes_sent", number(s.BytesOut)},
		{"Connections", number(s.Accepted)},
		{"Proxy_admin_sessions", number(s.Admin)},
		{"Proxy_backends", number(len(f.Backends))},
		{"Proxy_backends_up", number(len(some(f.Backends, func(b *engine.BackendFigures) bool { return b.State == engine.BackendUp.String() })))},
		{"Proxy_cpu_seconds", f.CPU.Seconds()},
		{"Proxy_event_threads", number(len(f.Loops))},
		{"Proxy_memory_heap", number(f.Memory.Heap)},
		{"Proxy_memory_total", number(f.Memory.Total)},
		{"Proxy_split_brains", number(f.Splits)},
		{"Proxy_version", f.Version},
		{"Questions", number(s.Commands)},
		{"Threads_connected", number(s.Sessions)},
		{"Uptime", number(uptime(&f))},
	}, err
}

// sum adds the loops up.
func sum(f *engine.Figures) (s engine.LoopFigures) {
	for _, l := range f.Loops {
		s.Sessions += l.Sessions
		s.Admin += l.Admin
		s.Accepted += l.Accepted
		s.Commands += l.Commands
		s.BytesIn += l.BytesIn
		s.BytesOut += l.BytesOut
	}
	return s
}

// uptime is in seconds.
func uptime(f *engine.Figures) int64 { return max(0, int64(f.Now.Sub(f.Started).Seconds())) }

// statistics is the answer to COM_STATISTICS, which mysqladmin status shows.
func (r *request) statistics() (string, error) {
	f, err := r.proxy.Figures(r)
	s, up := sum(&f), uptime(&f)
	return fmt.Sprintf("Uptime: %d  Threads: %d  Questions: %d  Queries per second avg: %.3f", up, s.Sessions, s.Commands, float64(s.Commands)/float64(max(1, up))), err
}

// ofClients are the variables that clients set by themselves, by how their names
// begin. Setting them has no effect on the console, and no client needs one.
var ofClients = []string{
	"@", "autocommit", "character", "charset", "collation_", "foreign_key_checks", "group_concat_max_len", "interactive_timeout", "lc_", "max_execution_time",
	"max_join_size", "max_statement_time", "names", "net_", "optimizer_", "password_", "profiling", "query_cache_type", "session_track_", "sql_", "time_zone",
	"timestamp", "transaction", "tx_", "unique_checks", "wait_timeout",
}

// forClients tells whether a variable with this name is one of those.
func forClients(name string) bool {
	return slices.ContainsFunc(ofClients, func(p string) bool { return strings.HasPrefix(name, p) })
}
