package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/packet"
)

// proxy is a Proxy whose figures are a test's.
type proxy struct {
	figures  engine.Figures
	sessions []engine.SessionFigures
	pools    []engine.PoolFigures
	digests  []engine.DigestFigures
	events   []engine.Event
	err      error

	did     []string // what it was told to
	refuses error    // what it says to that
}

func (p *proxy) Figures(context.Context) (engine.Figures, error) { return p.figures, p.err }
func (p *proxy) Sessions(context.Context) ([]engine.SessionFigures, error) {
	return slices.Clone(p.sessions), p.err
}
func (p *proxy) Pools(context.Context) ([]engine.PoolFigures, error) { return p.pools, p.err }

func (p *proxy) Digests(context.Context) ([]engine.DigestFigures, error) { return p.digests, p.err }
func (p *proxy) Events() []engine.Event                                  { return p.events }

func (p *proxy) Explain(_ context.Context, sql string, o engine.ExplainOptions) (engine.Explanation, error) {
	p.did = append(p.did, fmt.Sprintf("explain %q %d %s", sql, o.Session, o.Database))
	if o.Session == 4 {
		return engine.Explanation{}, engine.ErrNoSession
	}
	return engine.Explanation{Route: "replica", Reason: "read", Backends: []string{"a:1", "b:1"}, Unless: []string{"lag"}, Digest: 0xabc, Text: "SELECT ?"}, p.refuses
}

func (p *proxy) ResetDigests(context.Context) error {
	p.did = append(p.did, "reset digests")
	return p.refuses
}

func (p *proxy) Kill(_ context.Context, id uint64, queryOnly bool) error {
	p.did = append(p.did, fmt.Sprint("kill ", id, " ", queryOnly))
	if id == 4 {
		return engine.ErrNoSession
	}
	return p.refuses
}

func (p *proxy) SetBackend(_ context.Context, addr string, to engine.Duty, grace time.Duration) error {
	p.did = append(p.did, fmt.Sprint(addr, " ", to, " ", grace))
	switch addr {
	case "nowhere:1":
		return fmt.Errorf("%w: %s", engine.ErrNoBackend, addr)
	case "10.0.0.1:3306":
		return &engine.LastWriterError{Address: addr}
	}
	return p.refuses
}

func (p *proxy) ForceBackend(_ context.Context, addr string, to engine.Duty, grace time.Duration) error {
	p.did = append(p.did, fmt.Sprint("force ", addr, " ", to, " ", grace))
	return p.refuses
}

// atWork is a proxy at work.
func atWork() *proxy {
	start := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	return &proxy{
		figures: engine.Figures{
			Started: start, Now: start.Add(100 * time.Second), Version: "1.2.3",
			Backends: []engine.BackendFigures{
				{Index: 0, Address: "10.0.0.1:3306", Type: "rw", State: "up", Health: "good", Role: "primary", Leads: true, Weight: 1, Clients: 2, Idle: 1, ProbeLatency: 1500 * time.Microsecond,
					Duty: "online", Servers: 3, Waiting: 1, Since: start, Connects: 4, Commands: 5, BytesIn: 6, BytesOut: 7, Probes: 8},
				{Index: 1, Address: "10.0.0.2:3306", Type: "ro", State: "down", Health: "down", Role: "replica", Weight: 3, Lag: 2500 * time.Millisecond, LagKnown: true, UUID: "u-2",
					Duty: "draining", Failures: 9, ProbeFailures: 10, LastError: "no route", LastAt: start},
				{Index: 2, Address: "10.0.0.10:3306", Type: "ro", State: "up", Health: "good", Role: "replica", Weight: 1, LagKnown: true, Duty: "maintenance"},
			},
			Loops:  []engine.LoopFigures{{Number: 0, Sessions: 2, Admin: 1, Accepted: 5, Commands: 40, BytesIn: 100, BytesOut: 1000, Servers: 4, Turns: 9, Busy: 250 * time.Millisecond, Waiting: 8, Buffers: 7}, {Number: 1, Sessions: 1, Accepted: 2, Commands: 10, BytesIn: 20, BytesOut: 200}},
			Routes: []engine.RouteFigures{{To: "primary", Reason: "write", Commands: 7}, {To: "primary", Reason: "ddl"}, {To: "replica", Reason: "read", Commands: 30}},
			Pins:   []engine.PinFigures{{Reason: "temporary_table", Sessions: 1}, {Reason: "lock"}},
			Closes: []engine.CloseFigures{{Reason: "client_quit", Fault: "nobody", Sessions: 3}, {Reason: "server_lost", Fault: "server"}},
			Splits: 1, CPU: 1500 * time.Millisecond,
			Identities: []engine.IdentityFigures{{How: "relay", Owned: true, Sessions: 2}, {How: "client_plugin"}},
			Hooks:      []engine.HookFigures{{Hook: "read_query", Calls: 32, Failures: 1, Timed: 2, Time: time.Millisecond}, {Hook: "disconnect_client", Calls: 1}},
			Memory:     engine.MemoryFigures{Heap: 1000, HeapGoal: 2000, Total: 9000, Goroutines: 12, GCs: 3, GCPauses: 4 * time.Millisecond},
		},
		sessions: []engine.SessionFigures{
			{ID: 3, User: "app", Client: "10.1.1.1:5000", State: "ready", Database: "shop", DatabaseKnown: true, Home: "10.0.0.1:3306", Thread: 77, Reader: "10.0.0.10:3306",
				Pins: []string{"temporary_table", "lock"}, InTransaction: true, Statements: 2, LastRoute: "replica", LastReason: "read", Commands: 12, BytesIn: 34, BytesOut: 56,
				Age: 90 * time.Second, Idle: 1500 * time.Millisecond, TLS: true, Compression: "zstd", Loop: 1, Identity: "relay", Waits: "reader"},
			{ID: 9, User: "batch", Client: "10.1.1.2:5000", State: "busy", Statements: -1, Commands: 3, Age: 10 * time.Second},
			{ID: 12, State: "greeting", Statements: -1, Admin: true},
		},
		pools: []engine.PoolFigures{{Loop: 0, Backend: "10.0.0.1:3306", User: "app", Idle: 4, Reserved: 1, OldestIdle: 30 * time.Second}},
		digests: []engine.DigestFigures{
			{Digest: 0xabc, Text: "SELECT ?", Schema: "shop", SchemaKnown: true, Count: 10, Errors: 1, Rows: 9, Primary: 4, Replica: 6, First: start, Last: start.Add(time.Second),
				Latency: engine.Latencies{Count: 4, Sum: 2 * time.Second, Max: time.Second}},
			{Rest: true, Count: 2, First: start, Last: start},
		},
		events: []engine.Event{
			{Number: 7, At: start, Kind: engine.EventBackendState, Backend: "10.0.0.2:3306", From: "up", To: "down", Reason: "no route"},
			{Number: 8, At: start.Add(time.Minute), Kind: engine.EventKill, Reason: "session 4"},
		},
	}
}

var someSettings = []Setting{
	{Name: "proxy-address", Value: ":4040", Default: ":4040", Source: "default", Help: "listen here"},
	{Name: "admin-password", Value: "***", Source: "file", Help: "password"},
}

// options are Settings that are a test's.
type options []Setting

func (o options) All() []Setting { return o }

// ask puts a statement to a console.
func ask(p Proxy, sql string) engine.AdminAnswer {
	return command(p, "\x03"+sql)
}

func command(p Proxy, payload string) engine.AdminAnswer {
	c := &Console{Settings: live{options: someSettings, did: new([]string)}, Log: slog.New(slog.DiscardHandler)}
	return c.Answer(context.Background(), p, engine.AdminCommand{Payload: []byte(payload), Session: 12, User: "root", Client: "10.9.9.9:999", Database: "proxy"})
}

// shown is an answer as text: the columns, then the rows; OK and what it says; or
// ERR and what it says. The types of the columns stand behind their names.
func shown(t testing.TB, a engine.AdminAnswer) string {
	t.Helper()
	if len(a.Payloads) == 0 {
		return "nothing"
	}
	switch first := a.Payloads[0]; first[0] {
	case 0xff:
		e, err := packet.ParseERR(first, protocol)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("ERR %d %s %s", e.Code, e.State, e.Message)
	case 0:
		o, err := packet.ParseOK(first, protocol)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace("OK " + string(o.Info))
	}
	if len(a.Payloads) == 1 {
		return string(a.Payloads[0])
	}
	n, _, err := packet.ParseColumnCount(a.Payloads[0], protocol)
	if err != nil || len(a.Payloads) < int(n)+3 || !packet.IsEnd(a.Payloads[n+1], protocol) || !packet.IsEnd(a.Payloads[len(a.Payloads)-1], protocol) {
		t.Fatalf("%d columns, %v, %d payloads", n, err, len(a.Payloads))
	}
	var lines, names []string
	for _, p := range a.Payloads[1 : n+1] {
		c, err := packet.ParseColumn(p, protocol)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(c.Name)+":"+c.Type.String())
	}
	lines = append(lines, strings.Join(names, " "))
	for _, p := range a.Payloads[n+2 : len(a.Payloads)-1] {
		var cells []string
		for range n {
			v, rest, err := packet.TextValue(p)
			if err != nil {
				t.Fatal(err)
			}
			if p = rest; v == nil {
				v = []byte("NULL")
			}
			cells = append(cells, string(v))
		}
		if len(p) > 0 {
			t.Fatalf("%q behind a row", p)
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	return strings.Join(lines, "\n")
}

// rows is an answer without its columns.
func rows(t testing.TB, a engine.AdminAnswer) string {
	t.Helper()
	_, all, _ := strings.Cut(shown(t, a), "\n")
	return all
}

func TestViews(t *testing.T) {
	p := atWork()
	for sql, want := range map[string]string{
		"SHOW BACKENDS": "backend_ndx:LONGLONG address:VAR_STRING type:VAR_STRING role:VAR_STRING leads:VAR_STRING duty:VAR_STRING state:VAR_STRING health:VAR_STRING weight:LONGLONG clients:LONGLONG servers:LONGLONG " +
			"idle:LONGLONG waiting:LONGLONG lag_seconds:DOUBLE probe_seconds:DOUBLE since:DATETIME commands:LONGLONG bytes_in:LONGLONG bytes_out:LONGLONG connects:LONGLONG failures:LONGLONG probes:LONGLONG probe_failures:LONGLONG " +
			"last_error:VAR_STRING last_error_at:DATETIME uuid:VAR_STRING\n" +
			"1|10.0.0.1:3306|rw|primary|yes|online|up|good|1|2|3|1|1|NULL|0.0015|2026-01-02 03:04:05.006|5|6|7|4|0|8|0|NULL|NULL|NULL\n" +
			"2|10.0.0.2:3306|ro|replica|no|draining|down|down|3|0|0|0|0|2.5|NULL|NULL|0|0|0|0|9|0|10|no route|2026-01-02 03:04:05.006|u-2\n" +
			"3|10.0.0.10:3306|ro|replica|no|maintenance|up|good|1|0|0|0|0|0|NULL|NULL|0|0|0|0|0|0|0|NULL|NULL|NULL",
		"SHOW SESSIONS": "id:LONGLONG user:VAR_STRING client:VAR_STRING database:VAR_STRING state:VAR_STRING home:VAR_STRING thread:LONGLONG reader:VAR_STRING waits:VAR_STRING pins:VAR_STRING in_transaction:VAR_STRING " +
			"last_route:VAR_STRING last_reason:VAR_STRING commands:LONGLONG bytes_in:LONGLONG bytes_out:LONGLONG age_seconds:DOUBLE idle_seconds:DOUBLE statements:LONGLONG identity:VAR_STRING tls:VAR_STRING compression:VAR_STRING " +
			"script:VAR_STRING admin:VAR_STRING loop:LONGLONG\n" +
			"3|app|10.1.1.1:5000|shop|ready|10.0.0.1:3306|77|10.0.0.10:3306|reader|temporary_table,lock|yes|replica|read|12|34|56|90|1.5|2|relay|yes|zstd|no|no|1\n" +
			"9|batch|10.1.1.2:5000|NULL|busy|NULL|NULL|NULL|NULL|NULL|no|NULL|NULL|3|0|0|10|0|NULL|NULL|no|NULL|no|no|0\n" +
			"12|NULL|NULL|NULL|greeting|NULL|NULL|NULL|NULL|NULL|no|NULL|NULL|0|0|0|0|0|NULL|NULL|no|NULL|no|yes|0",
		"SHOW PINS":   "reason:VAR_STRING sessions:LONGLONG\ntemporary_table|1",
		"SHOW POOLS":  "loop:LONGLONG backend:VAR_STRING user:VAR_STRING idle:LONGLONG reserved:LONGLONG oldest_idle_seconds:DOUBLE\n0|10.0.0.1:3306|app|4|1|30",
		"SHOW ROUTES": "route:VAR_STRING reason:VAR_STRING commands:LONGLONG\nprimary|write|7\nreplica|read|30",
		"SHOW CLOSES": "reason:VAR_STRING fault:VAR_STRING sessions:LONGLONG\nclient_quit|nobody|3",
		"SHOW LOOPS": "loop:LONGLONG sessions:LONGLONG admin_sessions:LONGLONG servers:LONGLONG accepted:LONGLONG commands:LONGLONG bytes_in:LONGLONG bytes_out:LONGLONG " +
			"turns:LONGLONG busy_seconds:DOUBLE waiting_bytes:LONGLONG buffer_bytes:LONGLONG\n" +
			"0|2|1|4|5|40|100|1000|9|0.25|8|7\n1|1|0|0|2|10|20|200|0|0|0|0",
		"SHOW IDENTITIES": "how:VAR_STRING owned:VAR_STRING sessions:LONGLONG\nrelay|yes|2",
		"SHOW SCRIPTS": "hook:VAR_STRING calls:LONGLONG failures:LONGLONG timed:LONGLONG seconds_per_call:DOUBLE\n" +
			"read_query|32|1|2|0.0005\ndisconnect_client|1|0|0|NULL",
		"SHOW EVENTS": "number:LONGLONG at:DATETIME kind:VAR_STRING backend:VAR_STRING was:VAR_STRING is:VAR_STRING reason:VAR_STRING\n" +
			"7|2026-01-02 03:04:05.006|backend_state|10.0.0.2:3306|up|down|no route\n8|2026-01-02 03:05:05.006|kill|NULL|NULL|NULL|session 4",
		"SHOW DIGESTS": "digest:VAR_STRING digest_text:VAR_STRING database:VAR_STRING commands:LONGLONG errors:LONGLONG rows:LONGLONG primary:LONGLONG replica:LONGLONG first_seen:DATETIME last_seen:DATETIME " +
			"timed:LONGLONG total_seconds:DOUBLE mean_seconds:DOUBLE p50_seconds:DOUBLE p95_seconds:DOUBLE p99_seconds:DOUBLE max_seconds:DOUBLE\n" +
			"0000000000000abc|SELECT ?|shop|10|1|9|4|6|2026-01-02 03:04:05.006|2026-01-02 03:04:06.006|4|2|0.5|1|1|1|1\n" +
			"NULL|NULL|NULL|2|0|0|0|0|2026-01-02 03:04:05.006|2026-01-02 03:04:05.006|0|NULL|NULL|NULL|NULL|NULL|NULL",
		"SHOW CONFIG": "option:VAR_STRING value:VAR_STRING default:VAR_STRING source:VAR_STRING live:VAR_STRING help:VAR_STRING\n" +
			"proxy-address|:4040|:4040|default|no|listen here\nadmin-password|***|NULL|file|no|password",
		"SELECT name, value FROM memory": "name:VAR_STRING value:LONGLONG\nheap|1000\nheap_goal|2000\ntotal|9000\ngoroutines|12\ncollections|3\ncollection_pauses|4000",
		"SHOW STATUS": "Variable_name:VAR_STRING Value:VAR_STRING\nBytes_received|120\nBytes_sent|1200\nConnections|7\nProxy_admin_sessions|1\nProxy_backends|3\nProxy_backends_up|2\nProxy_cpu_seconds|1.5\n" +
			"Proxy_event_threads|2\nProxy_memory_heap|1000\nProxy_memory_total|9000\nProxy_split_brains|1\nProxy_version|1.2.3\nQuestions|50\nThreads_connected|3\nUptime|100",
		"SHOW PROCESSLIST": "Id:LONGLONG User:VAR_STRING Host:VAR_STRING db:VAR_STRING Command:VAR_STRING Time:LONGLONG State:VAR_STRING Info:VAR_STRING\n" +
			"3|app|10.1.1.1:5000|shop|Sleep|1|ready|NULL\n9|batch|10.1.1.2:5000|NULL|Query|0|busy|NULL\n12|||NULL|Connect|0|greeting|NULL",
		"SHOW WARNINGS":  "Level:VAR_STRING Code:LONGLONG Message:VAR_STRING",
		"SHOW DATABASES": "Database:VAR_STRING\nproxy",
		// As MySQL Proxy's admin.lua has it.
		"SELECT * FROM backends": "backend_ndx:LONG address:STRING state:STRING type:STRING uuid:STRING connected_clients:LONG\n" +
			"1|10.0.0.1:3306|up|rw|NULL|2\n2|10.0.0.2:3306|down|ro|u-2|0\n3|10.0.0.10:3306|up|ro|NULL|0",
	} {
		if got := shown(t, ask(p, sql)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", sql, got, want)
		}
	}
	for _, v := range views {
		if got, table := shown(t, ask(p, "show "+strings.ToLower(v.name)+" ;")), shown(t, ask(p, "SELECT * FROM proxy."+v.name)); strings.HasPrefix(got, "ERR") || table != got && v.name != "BACKENDS" {
			t.Errorf("SHOW %s is %s\nas a table it is %s", v.name, got, table)
		}
		if v.help != "" {
			for _, c := range v.columns {
				if c.name == "" {
					t.Errorf("%s has a column without a name", v.name)
				}
			}
		}
	}
}

func TestSelect(t *testing.T) {
	p := atWork()
	for sql, want := range map[string]string{
		"SELECT @@version_comment LIMIT 1":                         "@@version_comment:VAR_STRING\nmysql-proxy 1.2.3 admin console",
		"select USER()":                                            "USER():VAR_STRING\nroot@10.9.9.9",
		"SELECT DATABASE(), USER() LIMIT 1":                        "DATABASE():VAR_STRING USER():VAR_STRING\nproxy|root@10.9.9.9",
		"SELECT CONNECTION_ID() AS id":                             "id:LONGLONG\n12",
		"SELECT VERSION()":                                         "VERSION():VAR_STRING\n" + engine.AdminVersion,
		"SELECT 1":                                                 "1:LONGLONG\n1",
		"SELECT -1, 'a''b', NULL, 1.5 x FROM DUAL":                 "-1:LONGLONG a'b:VAR_STRING NULL:VAR_STRING x:DOUBLE\n-1|a'b|NULL|1.5",
		"SELECT @@max_allowed_packet,@@session.wait_timeout `w t`": "@@max_allowed_packet:LONGLONG w t:LONGLONG\n1048576|28800",
		"/* mysql-connector */SELECT  @@session.auto_increment_increment AS auto_increment_increment, @@proxy_address": "auto_increment_increment:LONGLONG @@proxy_address:VAR_STRING\n1|:4040",
		"SELECT address FROM backends WHERE connected_clients = 0 ORDER BY address DESC":                               "address:VAR_STRING\n10.0.0.2:3306\n10.0.0.10:3306",
		"SELECT * FROM backends WHERE lag_seconds > 1":                                                                 "backend_ndx:LONG address:STRING state:STRING type:STRING uuid:STRING connected_clients:LONG\n2|10.0.0.2:3306|down|ro|u-2|0",
		"SELECT id, user who, 'x' FROM sessions WHERE user LIKE 'A%'":                                                  "id:LONGLONG who:VAR_STRING x:VAR_STRING\n3|app|x",
		"SELECT COUNT(*) FROM sessions WHERE admin = 'no'":                                                             "COUNT(*):LONGLONG\n2",
		"SELECT *, `loop` AS l FROM pools":                                                                             "loop:LONGLONG backend:VAR_STRING user:VAR_STRING idle:LONGLONG reserved:LONGLONG oldest_idle_seconds:DOUBLE l:LONGLONG\n0|10.0.0.1:3306|app|4|1|30|0",
		"SELECT nothing FROM pools":                                                                                    "ERR 1054 42S22 there is no column 'nothing' here; there are loop, backend, user, idle, reserved, oldest_idle_seconds",
		"SELECT @@nothing":                                                                                             "ERR 1193 HY000 Unknown system variable 'nothing'; SHOW VARIABLES lists those that there are",
		"SELECT SLEEP(1)":                                                                                              "ERR 1305 42000 FUNCTION SLEEP does not exist here",
		"SELECT nothing":                                                                                               "ERR 1054 42S22 there is no column 'nothing' without a FROM; SHOW TABLES lists what there is",
		"SELECT * FROM backend":                                                                                        "ERR 1105 07000 there is no table 'backend'; did you mean backends? SHOW TABLES lists them, SELECT * FROM help all statements",
		"SELECT * FROM mysql.user":                                                                                     "ERR 1105 07000 there is no table 'user'; SHOW TABLES lists them, SELECT * FROM help all statements",
		"SELECT 1 UNION SELECT 2":                                                                                      "ERR 1105 07000 the console does not know 'SELECT 1 UNION SELECT 2'; SELECT * FROM help lists its statements",
		"SELECT COUNT(* FROM sessions":                                                                                 "ERR 1064 42000 a ) is missing at the end",
		"SELECT *":                                                                                                     "ERR 1105 07000 the console does not know 'SELECT *'; SELECT * FROM help lists its statements",
		"SELECT":                                                                                                       "ERR 1105 07000 the console does not know 'SELECT'; SELECT * FROM help lists its statements",
		"SHOW VARIABLES LIKE 'version%'":                                                                               "Variable_name:VAR_STRING Value:VAR_STRING\nversion|" + engine.AdminVersion + "\nversion_comment|mysql-proxy 1.2.3 admin console",
		"SHOW SESSION VARIABLES WHERE Variable_name IN ('autocommit', 'admin_password') OR Variable_name = 'max_allowed_packet'": "Variable_name:VAR_STRING Value:VAR_STRING\nadmin_password|***\nautocommit|1\nmax_allowed_packet|1048576",
	} {
		if got := shown(t, ask(p, sql)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", sql, got, want)
		}
	}
}

// What clients send by themselves has an answer, and what is not known an ERR that
// helps.
func TestOtherStatements(t *testing.T) {
	p := atWork()
	for sql, want := range map[string]string{
		"SET NAMES utf8mb4": "OK", "set autocommit=1": "OK", "SET SESSION TRANSACTION READ ONLY": "OK", "SET @@session.sql_mode = 'ANSI'": "OK", "SET @a = 1": "OK",
		"SET character_set_results = NULL": "OK", "/*!40101 SET NAMES utf8 */": "OK", "BEGIN": "OK", "START TRANSACTION READ ONLY": "OK", "COMMIT": "OK", "USE proxy": "OK", "-- nothing": "OK",
		"SET proxy_address = ':1'": "ERR 1238 HY000 proxy-address cannot be changed while the proxy runs; change it in the defaults-file or on the command line, and start it anew",
		"SET proxy_adress = 1":     "ERR 1193 HY000 there is no option 'proxy_adress'; SHOW CONFIG lists them, those with live = yes can be set",
		"":                         "ERR 1065 42000 Query was empty",
		"SHWO BACKENDS":            "ERR 1105 07000 the console does not know 'SHWO BACKENDS'; did you mean SHOW BACKENDS? SELECT * FROM help lists all statements",
		"SHOW POOL":                "ERR 1105 07000 the console does not know 'SHOW POOL'; did you mean SHOW POOLS? SELECT * FROM help lists all statements",
		"BACKENDS":                 "ERR 1105 07000 the console does not know 'BACKENDS'; did you mean SHOW BACKENDS? SELECT * FROM help lists all statements",
		"INSERT INTO backends VALUES ('10.0.0.3:3306', 'a', 'b')": "ERR 1105 07000 the console does not know 'INSERT INTO backends VALUES ('...'; did you mean SHOW BACKENDS? SELECT * FROM help lists all statements",
		"FROB":                       "ERR 1105 07000 the console does not know 'FROB'; SELECT * FROM help lists its statements",
		"SHOW BACKENDS LIMIT":        "ERR 1064 42000 LIMIT is to be a number, and here is the end",
		"SHOW BACKENDS; SHOW PINS":   "ERR 1064 42000 '; SHOW PINS' is too much here",
		"SHOW LOOPS LIKE 'x'":        "ERR 1064 42000 LIKE has no meaning here; use WHERE",
		"SHOW POOLS WHERE x = 1":     "ERR 1054 42S22 there is no column 'x' here; there are loop, backend, user, idle, reserved, oldest_idle_seconds",
		"SHOW BACKENDS LIKE 'a":      "ERR 1064 42000 the quotes at ''a' are not closed",
		"HELP SHOW PINS":             "name:VAR_STRING description:VAR_STRING example:VAR_STRING\nSHOW PINS|SHOW PINS",
		"HELP show":                  "name:VAR_STRING is_it_category:VAR_STRING\nSHOW BACKENDS|N",
		"HELP 'BAKENDS'":             "name:VAR_STRING description:VAR_STRING example:VAR_STRING\nSHOW BACKENDS|SHOW BACKENDS",
		"HELP 'weather'":             "name:VAR_STRING is_it_category:VAR_STRING",
		"SELECT * FROM help LIMIT 2": "command:STRING description:STRING\nSELECT * FROM help|shows this list\nSELECT * FROM backends|lists the backends and their state, by the columns of old; others can be named",
	} {
		got := shown(t, ask(p, sql))
		if strings.HasPrefix(sql, "HELP") {
			got = strings.Join(strings.Split(got, "\n")[:min(2, strings.Count(got, "\n")+1)], "\n")
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", sql, got, want)
		}
	}
	for payload, want := range map[string]string{
		"\x0e": "OK", "\x02shop": "OK", "\x1f": "OK", "\x01": "nothing", "\x19\x01\x00\x00\x00": "nothing", "": "ERR 1047 08S01 Unknown command",
		"\x1b\x00\x00":   "\xfe\x00\x00\x02\x00",
		"\x09":           "Uptime: 100  Threads: 3  Questions: 50  Queries per second avg: 0.500",
		"\x16SELECT ?":   "ERR 1295 HY000 the console has no prepared statements; have the client put the values into the text (interpolateParams, useServerPrepStmts=false)",
		"\x12\x00\x00":   "ERR 1047 08S01 the console does not know the command COM_BINLOG_DUMP; it takes statements, see HELP",
		"\x03SELECT\x00": "ERR 1105 07000 the console does not know 'SELECT\x00'; SELECT * FROM help lists its statements",
	} {
		if got := shown(t, command(p, payload)); got != want {
			t.Errorf("%q: %q, want %q", payload, got, want)
		}
	}
	for sql, unknown := range map[string]bool{"FROB": true, "SELECT * FROM users": true, "SELECT x()": false, "SHOW PINS": false, "SHOW FROBS": true} {
		if got := ask(p, sql).Unknown; got != unknown {
			t.Errorf("%s is unknown: %v", sql, got)
		}
	}
}

// An engine that does not answer is told of, and so is a result without end.
func TestConsoleFailures(t *testing.T) {
	for _, v := range []string{"BACKENDS", "SESSIONS", "PINS", "POOLS", "ROUTES", "CLOSES", "LOOPS", "DIGESTS", "IDENTITIES", "SCRIPTS", "MEMORY", "STATUS", "VARIABLES", "PROCESSLIST"} {
		if got, want := shown(t, ask(&proxy{err: errors.New("no")}, "SHOW "+v)), "ERR 1105 HY000 no"; got != want {
			t.Errorf("SHOW %s: %s, want %s", v, got, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a := (&Console{}).Answer(ctx, &proxy{err: ctx.Err()}, engine.AdminCommand{Payload: []byte("\x03SHOW PINS")})
	if got, want := shown(t, a), "ERR 1205 HY000 (proxy) the event loops did not answer in time"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	many := atWork()
	many.sessions = make([]engine.SessionFigures, maxRows+1)
	if got, want := shown(t, ask(many, "SHOW SESSIONS")), "ERR 1105 HY000 these are 100001 rows, and 100000 are the most; narrow it by LIKE, WHERE or LIMIT"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := rows(t, ask(many, "SELECT id FROM sessions LIMIT 100000, 10")); got != "0" {
		t.Errorf("a part of many rows is %q", got)
	}
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	for _, sql := range []string{"SHOW SESSIONS WHERE id > 0", "SHOW SESSIONS LIKE 'a%'", "SELECT id FROM sessions ORDER BY id"} {
		a := (&Console{}).Answer(ctx, atWork(), engine.AdminCommand{Payload: []byte("\x03" + sql)})
		if got, want := shown(t, a), "ERR 1205 HY000 (proxy) the event loops did not answer in time"; got != want {
			t.Errorf("%s for who has left: %s, want %s", sql, got, want)
		}
	}
	for _, sql := range []string{"SELECT " + strings.Repeat("*, ", 10) + "* FROM sessions", "SELECT " + strings.Repeat("id, ", maxColumns) + "id FROM sessions"} {
		if got, want := shown(t, ask(atWork(), sql)), "ERR 1117 HY000 Too many columns"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	large := atWork()
	large.sessions = make([]engine.SessionFigures, 40)
	for i := range large.sessions {
		large.sessions[i].User = strings.Repeat("u", 1<<20)
	}
	if got, want := shown(t, ask(large, "SHOW SESSIONS")), "ERR 1105 HY000 the result is larger than 32 MiB; narrow it by LIKE, WHERE or LIMIT"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestStatementsHaveHelp(t *testing.T) {
	for _, v := range statements() {
		got := shown(t, ask(atWork(), "HELP '"+v.words+"'"))
		if lines := strings.Split(got, "\n"); lines[0] != "name:VAR_STRING description:VAR_STRING example:VAR_STRING" || !strings.HasPrefix(lines[1], v.words+"|"+v.words) || !strings.Contains(got, v.help) {
			t.Errorf("HELP %s: %s", v.words, got)
		}
		if strings.HasSuffix(v.help, ".") || len(v.help) > 100 {
			t.Errorf("%s: the line of help is %q", v.words, v.help)
		}
	}
}

func FuzzConsole(f *testing.F) {
	for _, sql := range []string{
		"SHOW SESSIONS LIKE 'a%' WHERE NOT (id > 3 AND user IN ('a', 'b')) OR pins IS NOT NULL ORDER BY id DESC, user LIMIT 1, 2", "SELECT @@a, COUNT(*), 'x' y FROM backends",
		"SET @@global.x = 1", "HELP 'show backends'", "/*! SELECT */ 1 -- x", "SHOW `x` \"y\\'z", "SELECT ((((", "SHOW PINS WHERE reason LIKE '%\\%_a%'",
	} {
		f.Add("\x03" + sql)
	}
	p := atWork()
	f.Fuzz(func(t *testing.T, payload string) {
		p.did = nil
		shown(t, command(p, payload))
	})
}
