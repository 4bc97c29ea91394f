package e2e

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// The admin console by the mariadb client, next to what clients of the proxy have
// done.

// console is an admin port.
type console struct {
	t    *testing.T
	addr string
}

// row is a row of a result, by the names of the columns.
type row map[string]string

// run runs a statement, and returns what the client prints.
func (c console) run(statement string) (string, error) {
	c.t.Helper()
	host, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	return runTool(c.t, nil, "mariadb", "--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", adminUser.Name, "-p"+adminUser.Password, "--skip-ssl", "--batch", "--raw", "-e", statement)
}

// rows is the result of a statement.
func (c console) rows(statement string) (list []row) {
	c.t.Helper()
	out, err := c.run(statement)
	if err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
	r := csv.NewReader(strings.NewReader(out))
	r.Comma, r.LazyQuotes = '\t', true
	lines, err := r.ReadAll()
	if err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
	for i := range lines {
		if i == 0 {
			continue
		}
		one := row{}
		for j, name := range lines[0] {
			one[name] = lines[i][j]
		}
		list = append(list, one)
	}
	return list
}

// only is the one row of a result.
func (c console) only(statement string) row {
	c.t.Helper()
	list := c.rows(statement)
	if len(list) != 1 {
		c.t.Fatalf("%s: %d rows, %v", statement, len(list), list)
	}
	return list[0]
}

// wants compares some columns of the one row of a result.
func (c console) wants(statement string, want row) row {
	c.t.Helper()
	got := c.only(statement)
	for name, value := range want {
		if is, ok := got[name]; !ok || is != value {
			c.t.Errorf("%s: %s is %q (there: %t), want %q", statement, name, is, ok, value)
		}
	}
	return got
}

// getsTo waits until columns of the one row of a result are as wanted.
func (c console) getsTo(statement string, want row) {
	c.t.Helper()
	eventually(c.t, patience, fmt.Sprintf("%s: %v", statement, want), func() bool {
		got := c.only(statement)
		for name, value := range want {
			if got[name] != value {
				return false
			}
		}
		return true
	})
}

// does runs a statement that has no result.
func (c console) does(statement string) {
	c.t.Helper()
	if out, err := c.run(statement); err != nil || out != "" {
		c.t.Fatalf("%s: %q, %v", statement, out, err)
	}
}

// refuses runs a statement that ends in an ERR.
func (c console) refuses(statement, want string) {
	c.t.Helper()
	if out, err := c.run(statement); err == nil || !strings.Contains(out, want) {
		c.t.Errorf("%s: %s, %v; want %s", statement, out, err, want)
	}
}

// counts is the first column's value by that of another.
func (c console) counts(statement, by, of string) map[string]int {
	c.t.Helper()
	all := map[string]int{}
	for _, r := range c.rows(statement) {
		n, err := strconv.Atoi(r[of])
		if err != nil {
			c.t.Fatalf("%s: %v", statement, err)
		}
		all[r[by]] += n
	}
	return all
}

// grown are the differences of counts.
func grown(before, after map[string]int) map[string]int {
	for name, n := range before {
		if after[name] -= n; after[name] == 0 {
			delete(after, name)
		}
	}
	return after
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// adminArgs load the admin plugin at an address.
func adminArgs(addr string, more ...string) []string {
	return append([]string{"--plugins=proxy", "--plugins=admin", "--admin-address=" + addr, "--admin-username=" + adminUser.Name, "--admin-password=" + adminUser.Password}, more...)
}

func TestConsole(t *testing.T) { onEveryKind(t, testConsole) }

func testConsole(t *testing.T) {
	primary, replica := bed.Primary.Addr, bed.Replicas[0].Addr
	c := console{t, enginetest.FreeAddr(t)}
	p, _ := watched(t, adminArgs(c.addr, "--digests=on")...)
	eventually(t, 20*time.Second, "the admin port listens", func() bool { return listening(t, c.addr) })
	clients := "SHOW SESSIONS WHERE admin = 'no'"
	if got := c.rows(clients); len(got) != 0 {
		t.Errorf("before the first client there are %v", got)
	}
	s := onlyConn(t, p.addr)
	eventually(t, 20*time.Second, "a read goes to the replica", func() bool {
		mustRun(t, s, "SELECT COUNT(*) FROM items")
		return len(c.rows("SHOW ROUTES WHERE route = 'replica' AND reason = 'read'")) > 0
	})

	// Ten reads, two that fail, a write.
	c.does("RESET DIGESTS")
	if got := c.rows("SHOW DIGESTS"); len(got) != 0 {
		t.Errorf("behind a reset there are %v", got)
	}
	routes, loops, commands := c.counts("SHOW ROUTES", "reason", "commands"), c.counts("SHOW LOOPS", "loop", "commands"), c.counts("SHOW BACKENDS", "address", "commands")
	before := c.only(clients)
	for i := range 10 {
		mustRun(t, s, fmt.Sprintf("SELECT name FROM items WHERE id <= %d", 2+i%2))
	}
	for range 2 {
		if _, err := s.ExecContext(t.Context(), "INSERT INTO items (nothing) VALUES (1)"); err == nil {
			t.Error("a write to a column that is not there works")
		}
	}
	mustRun(t, s, "UPDATE items SET stock = stock WHERE id = 1")
	after := c.only(clients)
	for reason, n := range map[string]int{"read": 10, "write": 3} {
		if got := grown(routes, c.counts("SHOW ROUTES", "reason", "commands")); got[reason] != n {
			t.Errorf("by route there are %v, want %d of %s", got, n, reason)
		}
	}
	if got := grown(loops, c.counts("SHOW LOOPS", "loop", "commands")); len(got) != 1 || got[before["loop"]] != 13 {
		t.Errorf("by loop there are %v", got)
	}
	if got := grown(commands, c.counts("SHOW BACKENDS", "address", "commands")); got[primary] != 3 || got[replica] != 10 {
		t.Errorf("by backend there are %v", got)
	}
	if n := number(t, after["commands"]) - number(t, before["commands"]); n != 13 {
		t.Errorf("of the session there are %v", n)
	}
	for _, way := range []string{"bytes_in", "bytes_out"} {
		if number(t, after[way]) <= number(t, before[way]) {
			t.Errorf("%s: %s, then %s", way, before[way], after[way])
		}
	}
	d := c.wants("SHOW DIGESTS LIKE 'SELECT%name%items%'", row{"commands": "10", "errors": "0", "rows": "25", "primary": "0", "replica": "10", "database": bed.Database, "timed": "10"})
	if low, high := number(t, d["p50_seconds"]), number(t, d["max_seconds"]); low <= 0 || low > high || number(t, d["total_seconds"]) < high {
		t.Errorf("times of a digest: %v", d)
	}
	c.wants("SHOW DIGESTS LIKE 'INSERT%'", row{"commands": "2", "errors": "2", "rows": "0", "primary": "2", "replica": "0"})
	if got := c.rows("SHOW DIGESTS ORDER BY commands DESC, digest_text LIMIT 2"); len(got) != 2 || got[0]["commands"] != "10" || got[1]["commands"] != "2" {
		t.Errorf("the first two digests: %v", got)
	}
	if got := c.counts("SHOW DIGESTS", "digest_text", "commands"); len(got) != 3 {
		t.Errorf("digests: %v", got)
	}

	// What the session is.
	var thread string
	if err := s.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&thread); err != nil {
		t.Fatal(err)
	}
	me := c.wants(clients, row{"user": bed.Users.App.Name, "database": bed.Database, "state": "ready", "home": primary, "thread": thread, "reader": replica, "waits": "NULL", "pins": "NULL",
		"in_transaction": "no", "statements": "0", "tls": "no", "compression": "NULL", "script": "no", "identity": "relay"})
	c.wants("SHOW IDENTITIES", row{"how": "relay", "owned": "yes", "sessions": "1"})
	mustRun(t, s, "BEGIN")
	c.wants(clients, row{"in_transaction": "yes", "last_route": "primary"})
	c.wants("EXPLAIN ROUTE FOR SESSION "+me["id"]+" SELECT * FROM items", row{"route": "primary", "reason": "in_transaction", "backends": primary})
	mustRun(t, s, "COMMIT", "CREATE TEMPORARY TABLE of_console (a INT)")
	c.wants(clients, row{"in_transaction": "no", "pins": "temporary_table"})
	c.wants("SHOW PINS", row{"reason": "temporary_table", "sessions": "1"})
	c.wants("EXPLAIN ROUTE FOR SESSION "+me["id"]+" SELECT * FROM of_console", row{"route": "primary", "reason": "temporary_table"})
	mustRun(t, s, "DROP TEMPORARY TABLE of_console")
	if got := c.rows("SHOW PINS"); len(got) != 0 {
		t.Errorf("pins: %v", got)
	}
	c.wants("EXPLAIN ROUTE SELECT 'a;b' FROM items;", row{"route": "replica", "reason": "read", "backends": replica, "several": "no"})
	c.wants("EXPLAIN ROUTE DELETE FROM items", row{"route": "primary", "reason": "write", "backends": primary})
	c.refuses("EXPLAIN ROUTE FOR SESSION 999999 SELECT 1", "ERROR 1094 (HY000)")

	// A second client, over TLS.
	second, err := openDB(t, p.addr, bed.Users.App, bed.Database, "tls=skip-verify").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	other := c.wants(clients+" AND tls = 'yes' ORDER BY id DESC LIMIT 1", row{"user": bed.Users.App.Name})
	c.wants("SELECT COUNT(*) AS n FROM sessions WHERE admin = 'no'", row{"n": "2"})
	c.wants("SELECT COUNT(*) AS n FROM sessions WHERE admin = 'yes' AND user = 'admin' AND state = 'busy'", row{"n": "1"})
	// The console may hear of the end of the client before this one a moment later.
	c.getsTo("SHOW GLOBAL STATUS LIKE 'Proxy_admin_sessions'", row{"Value": "1"})
	status := map[string]string{}
	for _, r := range c.rows("SHOW GLOBAL STATUS WHERE Variable_name <> 'Proxy_admin_sessions'") {
		status[r["Variable_name"]] = r["Value"]
	}
	for name, want := range map[string]string{"Threads_connected": "2", "Connections": "2", "Proxy_backends": "2", "Proxy_backends_up": "2", "Proxy_event_threads": "2", "Proxy_split_brains": "0"} {
		if status[name] != want {
			t.Errorf("SHOW STATUS: %s is %q, want %s", name, status[name], want)
		}
	}
	total := 0
	for _, n := range c.counts("SHOW LOOPS", "loop", "commands") {
		total += n
	}
	if status["Questions"] != strconv.Itoa(total) {
		t.Errorf("Questions is %s, by loop there are %d", status["Questions"], total)
	}
	c.wants("SHOW PROCESSLIST WHERE Id = "+other["id"], row{"User": bed.Users.App.Name, "Command": "Sleep", "Info": "NULL"})
	if got := c.rows("SHOW LOOPS"); len(got) != 2 || got[0]["loop"] != "0" || got[1]["loop"] != "1" {
		t.Errorf("loops: %v", got)
	}

	c.wants("SHOW BACKENDS LIKE '"+primary+"'", row{"backend_ndx": "1", "type": "rw", "leads": "yes", "duty": "online", "state": "up", "health": "good", "clients": "2", "failures": "0", "last_error": "NULL"})
	c.getsTo("SHOW BACKENDS WHERE type = 'ro'", row{"lag_seconds": "0"})
	b := c.wants("SHOW BACKENDS WHERE type = 'ro'", row{"backend_ndx": "2", "address": replica, "leads": "no", "duty": "online", "state": "up", "health": "good", "clients": "1", "weight": "1"})
	if number(t, b["probes"]) < 1 || number(t, b["probe_seconds"]) <= 0 || number(t, b["bytes_in"]) <= 0 {
		t.Errorf("the replica: %v", b)
	}
	if _, err := time.Parse("2006-01-02 15:04:05.000", b["since"]); err != nil {
		t.Error(err)
	}
	memory := c.counts("SHOW MEMORY", "name", "value")
	if memory["heap"] <= 0 || memory["heap"] > memory["total"] || memory["goroutines"] < 3 {
		t.Errorf("memory: %v", memory)
	}
	for _, a := range []string{primary, replica} {
		if got := c.rows("SHOW EVENTS WHERE kind = 'backend_state' AND backend = '" + a + "'"); len(got) == 0 || got[len(got)-1]["is"] != "up" {
			t.Errorf("events of %s: %v", a, got)
		}
	}
	for _, name := range []string{"POOLS", "SCRIPTS", "WARNINGS", "ERRORS"} {
		if got := c.rows("SHOW " + name); len(got) != 0 {
			t.Errorf("SHOW %s: %v", name, got)
		}
	}
	c.wants("SHOW DATABASES", row{"Database": "proxy"})
	c.wants("SELECT @@version_comment LIKE_IT, VERSION() v", row{"LIKE_IT": "mysql-proxy 1.0.0-dev admin console", "v": "5.0.99-agent-admin"})
	for _, r := range c.rows("SHOW TABLES") {
		c.rows("SELECT * FROM " + r["Tables_in_proxy"])
	}
	for _, r := range c.rows("SELECT * FROM help WHERE command LIKE 'SHOW %'") {
		if out, err := c.run("HELP '" + r["command"] + "'"); err != nil || !strings.HasPrefix(out, "Name: '"+r["command"]+"'\n") || !strings.Contains(out, r["description"]) {
			t.Errorf("HELP %s: %s, %v", r["command"], out, err)
		}
	}
	c.refuses("SHWO BACKENDS", "did you mean SHOW BACKENDS?")
	testConsoleActs(t, c, p, me["id"])
}

// testConsoleActs drains the replica, and ends the first session.
func testConsoleActs(t *testing.T, c console, p *proxy, first string) {
	primary, replica := bed.Primary.Addr, bed.Replicas[0].Addr
	s := onlyConn(t, p.addr)
	id := c.only("SHOW SESSIONS WHERE admin = 'no' ORDER BY id DESC LIMIT 1")["id"]
	read := func() (route string) {
		t.Helper()
		mustRun(t, s, "SELECT COUNT(*) FROM items")
		return c.only("SHOW SESSIONS WHERE id = " + id)["last_route"]
	}
	eventually(t, 20*time.Second, "reads go to the replica", func() bool { return read() == "replica" })
	for _, statement := range []string{"DRAIN '" + replica + "' FOR 60 SECONDS", "MAINTENANCE 2"} {
		c.does(statement)
		eventually(t, 20*time.Second, "the replica is in maintenance", func() bool {
			mustRun(t, s, "SELECT COUNT(*) FROM items") // a session leaves when it can
			return c.only("SHOW BACKENDS WHERE type = 'ro'")["duty"] == "maintenance"
		})
		c.wants("SHOW BACKENDS WHERE type = 'ro'", row{"clients": "0"})
		c.getsTo("SHOW BACKENDS WHERE type = 'ro'", row{"servers": "0"}) // closing takes a moment
		if got := read(); got != "primary" {
			t.Errorf("behind %s reads go to %s", statement, got)
		}
		c.does("ONLINE '" + replica + "'")
		c.wants("SHOW BACKENDS WHERE type = 'ro'", row{"duty": "online"})
		eventually(t, 20*time.Second, "reads go to the replica again", func() bool { return read() == "replica" })
		events := c.rows("SHOW EVENTS WHERE kind = 'duty' AND backend = '" + replica + "'")
		var last []string
		for _, e := range events[len(events)-3:] {
			last = append(last, e["is"])
		}
		if want := []string{"draining", "maintenance", "online"}; !slices.Equal(last, want) {
			t.Errorf("duties of the replica: %v, want %v", last, want)
		}
	}
	c.refuses("DRAIN '"+primary+"'", "with FORCE")
	c.wants("SHOW BACKENDS WHERE type = 'rw'", row{"duty": "online"})
	c.refuses("DRAIN '127.0.0.1:1'", "there is no backend '127.0.0.1:1'")

	// A statement that takes its time is ended, and its session goes on.
	done := make(chan error, 1)
	go func() {
		_, err := s.ExecContext(t.Context(), "DO SLEEP(100)")
		done <- err
	}()
	waitForSleep(t, primary, 1) // a server forgets a KILL QUERY that comes before the statement
	c.wants("SHOW SESSIONS WHERE id = "+id, row{"state": "busy"})
	c.does("KILL QUERY " + id)
	select {
	case err := <-done: // MariaDB says that it was interrupted; to MySQL a SLEEP of DO has just ended
		if err != nil && !strings.Contains(err.Error(), "1317") {
			t.Errorf("KILL QUERY: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("KILL QUERY has not ended the statement")
	}
	mustRun(t, s, "DO 1")
	c.wants("SHOW SESSIONS WHERE id = "+id, row{"state": "ready"})

	closes := c.counts("SHOW CLOSES", "reason", "sessions")
	c.does("KILL " + first)
	eventually(t, 20*time.Second, "the first session has ended", func() bool { return len(c.rows("SHOW SESSIONS WHERE id = "+first)) == 0 })
	if got := grown(closes, c.counts("SHOW CLOSES", "reason", "sessions")); len(got) != 1 || got["admin_kill"] != 1 {
		t.Errorf("ends of sessions: %v", got)
	}
	if got := c.rows("SHOW EVENTS WHERE kind = 'kill'"); len(got) != 2 || !strings.Contains(got[1]["reason"], "number "+first+",") {
		t.Errorf("events of KILL: %v", got)
	}
	p.mustLog(t, `an operator asks: DRAIN "`+replica+`"`)
	p.mustLog(t, `an operator asks: KILL `+first+`\b.*admin`)
	c.refuses("KILL "+first, "ERROR 1094 (HY000) at line 1: there is no session "+first)
}

// The options that the console shows are those that hold, and say where they come
// from.
func TestConsoleConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mysql-proxy.cnf")
	if err := os.WriteFile(file, []byte("[mysql-proxy]\nproxy-read-timeout = 77.5\nproxy-connect-timeout = 3\nzstd-level=9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr := startAdmin(t, []string{bed.Primary.Addr}, "--defaults-file="+file, "--proxy-connect-timeout=4", "--health-user=nobody", "--health-password=none")
	c := console{t, addr}
	for option, want := range map[string]row{
		"admin-address":           {"value": addr, "default": "127.0.0.1:4041", "source": "command line"},
		"admin-password":          {"value": "***", "default": "NULL", "source": "command line"},
		"health-password":         {"value": "***", "source": "command line"},
		"proxy-read-timeout":      {"value": "77.5", "default": "28800", "source": "file"},
		"proxy-connect-timeout":   {"value": "4", "source": "command line"},
		"zstd-level":              {"value": "9", "default": "3", "source": "file"},
		"zlib-level":              {"value": "1", "default": "1", "source": "default"},
		"proxy-backend-addresses": {"value": bed.Primary.Addr, "source": "command line"},
		"plugins":                 {"value": "proxy,admin", "source": "command line"},
		"proxy-lua-script":        {"value": "NULL", "source": "default"},
		"daemon":                  {"value": "false", "default": "false", "source": "default"},
		"no-proxy":                {"value": "false", "default": "false", "source": "default"},
		"event-threads":           {"value": "2", "source": "command line"},
		"lua-hook-memory":         {"value": "1073741824", "source": "default"},
	} {
		c.wants("SHOW CONFIG LIKE '"+option+"'", want)
	}
	c.wants("SELECT @@proxy_read_timeout, @@admin_password", row{"@@proxy_read_timeout": "77.5", "@@admin_password": "***"})
	c.wants("SHOW VARIABLES LIKE 'zstd\\_level'", row{"Variable_name": "zstd_level", "Value": "9"})
	c.refuses("SET plugins = 'proxy'", "ERROR 1238 (HY000) at line 1: plugins cannot be changed while the proxy runs")
	c.refuses("SET zstd_levle = 3", "ERROR 1193 (HY000)")
	c.does("SET NAMES latin1")

	// What is set holds until the file is read again.
	for option, value := range map[string]string{"zstd-level": "5", "proxy_read_timeout": "'99'", "@@global.splitting": "off", "health-password": "other"} {
		c.does("SET " + option + " = " + value)
	}
	c.does("SET zstd-level = 5")
	c.wants("SHOW CONFIG LIKE 'zstd-level'", row{"value": "5", "source": "SET", "live": "yes"})
	c.wants("SHOW CONFIG LIKE 'proxy-read-timeout'", row{"value": "99", "source": "SET"})
	c.wants("SHOW CONFIG LIKE 'health-password'", row{"value": "***", "source": "SET"})
	c.wants("SHOW CONFIG LIKE 'plugins'", row{"live": "no"})
	c.refuses("SET zstd-level = 99", "nothing has changed: --zstd-level: 99 is not possible; give 1 to 22")
	c.refuses("SET splitting = maybe", "nothing has changed: --splitting=maybe is unknown")
	c.wants("SHOW EVENTS WHERE kind = 'config' AND reason = 'zstd-level'", row{"was": "9", "is": "5"})
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[mysql-proxy]\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("zstd-level = 9\nproxy-write-timeout = often\n")
	c.refuses("RELOAD", "proxy-write-timeout")
	c.wants("SHOW CONFIG LIKE 'zstd-level'", row{"value": "5", "source": "SET"})
	write("zstd-level = 9\nproxy-write-timeout = 66\nproxy-read-timeout = 99\n")
	changes := map[string]string{}
	for _, r := range c.rows("RELOAD") {
		changes[r["option"]] = r["was"] + " " + r["is"]
	}
	want := map[string]string{"zstd-level": "5 9", "proxy-write-timeout": "28800 66", "splitting": "off auto", "health-password": "*** ***"}
	if !maps.Equal(changes, want) {
		t.Errorf("RELOAD: %v, want %v", changes, want)
	}
	c.wants("SHOW CONFIG LIKE 'zstd-level'", row{"value": "9", "source": "file"})
	c.wants("SHOW CONFIG LIKE 'proxy-read-timeout'", row{"value": "99", "source": "file"})
	if got := c.rows("RELOAD"); len(got) != 0 {
		t.Errorf("RELOAD of what has not changed: %v", got)
	}
}

// A script's hooks and the sessions that it keeps.
func TestConsoleWithScript(t *testing.T) {
	pool, err := filepath.Abs("../../../scripts/tutorial-6-pool.lua")
	if err != nil {
		t.Fatal(err)
	}
	addr := enginetest.FreeAddr(t)
	p := startProxy(t, []string{bed.Primary.Addr}, adminArgs(addr, "--proxy-lua-script="+pool)...)
	eventually(t, 20*time.Second, "the admin port listens", func() bool { return listening(t, addr) })
	c := console{t, addr}
	s := openSession(t, p.addr)
	for range 5 {
		s.mustAsk("SELECT 1", "1")
	}
	c.wants("SHOW SESSIONS WHERE admin = 'no'", row{"script": "yes", "user": bed.Users.App.Name, "client": s.nc.LocalAddr().String(), "database": bed.Database, "commands": "5", "statements": "NULL"})
	c.wants("EXPLAIN ROUTE SELECT 1", row{"route": "NULL", "reason": "script"})
	s.nc.Close()
	eventually(t, 20*time.Second, "the session is in the pool", func() bool { return len(c.rows("SHOW POOLS")) == 1 })
	c.wants("SHOW POOLS", row{"backend": bed.Primary.Addr, "user": bed.Users.App.Name, "idle": "1", "reserved": "0"})
	c.wants("SHOW BACKENDS", row{"idle": "1", "servers": "1", "clients": "0"})
	calls := c.counts("SHOW SCRIPTS", "hook", "calls")
	openSession(t, p.addr).mustAsk("SELECT 1", "1")
	if got := grown(calls, c.counts("SHOW SCRIPTS", "hook", "calls")); got["connect_server"] != 1 {
		t.Errorf("calls of hooks: %v", got)
	}
	for hook, n := range c.counts("SHOW SCRIPTS", "hook", "failures") {
		if n != 0 {
			t.Errorf("%s has failed %d times", hook, n)
		}
	}
}

// The console answers what a user's script has no answer for, and the script what
// it has one for.
func TestConsoleBehindScript(t *testing.T) {
	_, addr := startAdmin(t, []string{bed.Primary.Addr}, "--admin-lua-script="+luaFile(t, "admin.lua"))
	c := console{t, addr}
	if out, err := c.run("SHOW"); err != nil || !strings.Contains(out, "\n1\t0\t") {
		t.Errorf("the script's SHOW: %q, %v", out, err)
	}
	c.wants("SHOW BACKENDS", row{"address": bed.Primary.Addr, "state": "unknown"})
	c.does("SET NAMES utf8mb4")
}
