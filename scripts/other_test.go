package scripts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func TestFailover(t *testing.T) { onEveryFlavour(t, testFailover) }

func testFailover(t *testing.T) {
	a, b := bed.Replicas[0], bed.Replicas[1] // stand for two primaries
	p := start(t, setup{script: "failover.lua", backends: []string{a.Addr, b.Addr}})
	for range 4 {
		if got := connect(t, p.addr, bed.Users.App, "test").value(whoAnswers); got != "2" {
			t.Errorf("server %s answers, want the first", got)
		}
	}
	bed.control(t, "kill replica1")
	started := false
	restart := func() {
		if !started {
			started = true
			bed.control(t, "start replica1")
		}
	}
	t.Cleanup(restart)
	for range 4 {
		if got := connect(t, p.addr, bed.Users.App, "test").value(whoAnswers); got != "3" {
			t.Errorf("server %s answers while the first is down, want the second", got)
		}
	}
	restart()
	eventually(t, "new clients go to the first server again", func() bool {
		s := connect(t, p.addr, bed.Users.App, "test")
		defer s.close()
		return s.value(whoAnswers) == "2"
	})
}

func TestBalanceByLag(t *testing.T) { onEveryFlavour(t, testBalanceByLag) }

func testBalanceByLag(t *testing.T) {
	p := start(t, setup{script: "ro-balance.lua", change: []string{"check_interval = 2", "check_interval = 0"},
		backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs()})
	if err := bed.caughtUp(connect(t, bed.Primary.Addr, bed.Users.App, "test").db); err != nil {
		t.Fatal(err)
	}
	s, other := connect(t, p.addr, bed.Users.App, "test"), connect(t, p.addr, bed.Users.App, "test")
	ask := func() { // has each replica asked
		s.value("SELECT 1")
		other.value("SELECT 1")
	}
	ask()
	if got := s.value(whoAnswers) + other.value(whoAnswers); got != "23" && got != "32" {
		t.Errorf("servers %s answer, want both replicas", got)
	}
	for _, r := range bed.Replicas {
		state := ""
		rows, err := s.all("SELECT * FROM balance.replicas")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if row[0] == r.Addr {
				state = row[1] + " " + row[2]
			}
		}
		if state != "running 0" {
			t.Errorf("%s is %q, want running 0: %v", r.Name, state, rows)
		}
	}
	if got := s.value("SELECT ROW_COUNT()"); got != "0" && got != "-1" {
		t.Errorf("ROW_COUNT() is %s", got)
	}

	// One that does not replicate any more is left by new clients.
	root := connectRoot(t, bed.Replicas[0])
	root.exec("STOP REPLICA")
	defer root.exec("START REPLICA")
	eventually(t, "it is known that a replica has stopped", func() bool {
		ask()
		rows, err := s.all("SELECT * FROM balance.replicas")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if row[0] == bed.Replicas[0].Addr && row[1] == "stopped" {
				return true
			}
		}
		return false
	})
}

// The one that stopped is tried again only after a while, which is long here.
func TestBalancePassesOverAStoppedReplica(t *testing.T) {
	onEveryFlavour(t, testBalancePassesOverAStoppedReplica)
}

func testBalancePassesOverAStoppedReplica(t *testing.T) {
	p := start(t, setup{script: "ro-balance.lua", change: []string{"check_interval = 2", "check_interval = 3600"},
		backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs()})
	root := connectRoot(t, bed.Replicas[1])
	root.exec("STOP REPLICA")
	defer root.exec("START REPLICA")
	for range 2 { // each replica is asked once
		s := connect(t, p.addr, bed.Users.App, "test")
		s.value("SELECT 1")
		s.close()
	}
	for range 6 {
		s := connect(t, p.addr, bed.Users.App, "test")
		if got := s.value(whoAnswers); got != "2" {
			t.Errorf("server %s answers, want the replica that runs", got)
		}
		s.close()
	}
}

func TestQueryLog(t *testing.T) { onEveryFlavour(t, testQueryLog) }

func testQueryLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "query.log")
	p := one(t, "query-log.lua", "QUERY_LOG="+file)
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value("SELECT COUNT(*)\n\tFROM fixed"); got != "100" {
		t.Errorf("%s rows, want 100", got)
	}
	s.exec("INSERT INTO own (client, v) VALUES (8500, 1), (8500, 2)")
	if _, err := s.all("SELECT 'a\\\\', no_such_column FROM fixed"); err == nil {
		t.Error("no error for an unknown column")
	}
	if _, err := s.all("SELECT id FROM fixed WHERE id < 6"); err != nil {
		t.Error(err)
	}
	s.close()
	eventually(t, "four lines are written", func() bool { return strings.Count(readFile(t, file), "\n") == 4 })
	var lines [][]string
	for line := range strings.Lines(readFile(t, file)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 10 {
			t.Fatalf("a line has %d fields, want 10: %q", len(f), line)
		}
		if _, err := time.Parse(time.RFC3339, f[0]); err != nil || f[2] != bed.Users.App.Name || f[3] != "test" || f[4] != bed.Primary.Addr || !strings.HasPrefix(f[1], "127.0.0.1:") {
			t.Errorf("who, when and where: %q", f)
		}
		lines = append(lines, f[6:])
	}
	for _, want := range []string{
		`1|0|ok|SELECT COUNT(*)\n\tFROM fixed`, `0|2|ok|INSERT INTO own (client, v) VALUES (8500, 1), (8500, 2)`,
		`0|0|error|SELECT 'a\\\\', no_such_column FROM fixed`, `5|0|ok|SELECT id FROM fixed WHERE id < 6`,
	} {
		if !hasLine(lines, want) {
			t.Errorf("no line %q in %q", want, lines)
		}
	}
}

func hasLine(lines [][]string, want string) bool {
	for _, l := range lines {
		if strings.Join(l, "|") == want {
			return true
		}
	}
	return false
}

func TestHistogram(t *testing.T) {
	p := one(t, "histogram.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	for _, q := range []string{
		"SELECT word FROM fixed WHERE id = 1", "SELECT word FROM fixed WHERE id = 2", "select word from fixed where id = 3",
		"SELECT id FROM fixed WHERE word = 'a''b'", "UPDATE own SET v = 3 WHERE client = 0", "SELECT no_such_column FROM fixed",
	} {
		_, _ = s.all(q) // the last one is an error
	}
	queries, err := s.all("SELECT * FROM histogram.queries")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]string{}
	for _, q := range queries {
		counts[q[0]] = q[1] + " " + q[2] + " " + q[5]
	}
	for form, want := range map[string]string{
		"SELECT `word` FROM `fixed` WHERE `id` = ?": "3 0 3", "SELECT `id` FROM `fixed` WHERE `word` = ?": "1 0 0",
		"UPDATE `own` SET `v` = ? WHERE `client` = ?": "1 0 0", "SELECT `no_such_column` FROM `fixed`": "1 1 0",
	} {
		if counts[form] != want {
			t.Errorf("%s: count, errors and rows are %q, want %q; all: %v", form, counts[form], want, queries)
		}
	}
	if len(queries) == 0 || queries[0][1] != "3" {
		t.Errorf("the most frequent form does not come first: %v", queries)
	}
	tables, err := s.all("select * from  histogram.tables ;")
	if err != nil {
		t.Fatal(err)
	}
	if got := flat(tables); got != "test.fixed 4 0; test.own 0 1" {
		t.Errorf("tables are %s", got)
	}
	s.exec("DELETE FROM histogram.queries", "DELETE FROM histogram.tables")
	for _, q := range []string{"SELECT * FROM histogram.queries", "SELECT * FROM histogram.tables"} {
		if rows, err := s.all(q); err != nil || len(rows) != 0 {
			t.Errorf("%s after DELETE: %v, %v", q, rows, err)
		}
	}
}

func flat(rows [][]string) string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, strings.Join(r, " "))
	}
	return strings.Join(lines, "; ")
}

func TestAudit(t *testing.T) { onEveryFlavour(t, testAudit) }

func testAudit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	p := one(t, "audit.lua", "AUDIT_LOG="+file)
	if _, err := tryConnect(t, p.addr, user{"app", "wrong-password"}, "test"); err == nil {
		t.Error("a wrong password was taken")
	}
	s := connect(t, p.addr, bed.Users.App, "test")
	s.exec("INSERT INTO own (client, v) VALUES (8600, 1)")
	secret := []string{
		"CREATE USER audited IDENTIFIED BY 'hush-1'", "ALTER USER audited IDENTIFIED BY \"hush-2\"", "SET PASSWORD FOR audited = PASSWORD('hush-3')",
		"ALTER USER audited IDENTIFIED VIA mysql_native_password USING PASSWORD('hush-4\\'hush')", "GRANT SELECT ON test.own TO audited IDENTIFIED BY 'hush''5'",
		"ALTER USER audited IDENTIFIED VIA mysql_native_password USING PASSWORD('hush-6') OR ed25519 USING PASSWORD('hush-7')",
		"SELECT PASSWORD('hush-8'), 'seen'", "ALTER USER audited IDENTIFIED BY 'hush-9", "DROP USER audited",
	}
	for _, q := range secret {
		_, _ = s.all(q) // one of them does not end
	}
	s.close()
	var events []string
	var statements []string
	text := ""
	eventually(t, "the disconnect is written", func() bool {
		text = readFile(t, file)
		return strings.Count(text, `"disconnect"`) == 2
	})
	for line := range strings.Lines(text) {
		var e struct {
			Time, Event, Client, User, Database, Server, Command, Statement, Result, Error string
			Session, Errno, Affected                                                       int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339, e.Time); err != nil || !strings.HasPrefix(e.Client, "127.0.0.1:") || e.User != "app" || e.Session == 0 {
			t.Errorf("who and when: %s", line)
		}
		events = append(events, e.Event+" "+e.Result)
		if e.Event == "command" {
			statements = append(statements, e.Statement+" "+e.Result)
			if e.Server != bed.Primary.Addr || e.Database != "test" || e.Command != "COM_QUERY" {
				t.Errorf("where: %s", line)
			}
		}
		if e.Event == "login" && e.Result == "error" && e.Errno != 1045 {
			t.Errorf("the failed login: %s", line)
		}
	}
	if strings.Contains(text, "hush") || !strings.Contains(text, "seen") {
		t.Errorf("a password is in the log, or too much is not:\n%s", text)
	}
	all := strings.Join(events, ", ")
	if !strings.HasPrefix(all, "login error, disconnect , login ok, command ok") && !strings.HasPrefix(all, "login error, login ok, ") {
		t.Errorf("the events are %s", all)
	}
	for _, want := range []string{"INSERT INTO own (client, v) VALUES (8600, 1) ok", "CREATE USER audited IDENTIFIED BY '***' ok", "ALTER USER audited IDENTIFIED BY '***' error"} {
		if !strings.Contains(strings.Join(statements, "\n"), want) {
			t.Errorf("no %q in %q", want, statements)
		}
	}
}

func TestRewrite(t *testing.T) { onEveryFlavour(t, testRewrite) }

func testRewrite(t *testing.T) {
	p := one(t, "rewrite.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	for _, tc := range []struct{ query, want string }{
		{"SELCT 5", "5"},
		{"SELECT phone, email FROM contacts ORDER BY id", "********67 ***@example.com; NULL NULL"},
		{"SELECT * FROM contacts ORDER BY id", "1 ann ********67 ***@example.com; 2 bob NULL NULL"},
		{"SELECT phone AS p FROM contacts WHERE id = 1", "********67"},
		{"SELECT name FROM contacts WHERE id = 1", "ann"},
		{"SELECT COUNT(*) FROM contacts", "2"},
		{"UPDATE contacts SET name = 'bob' WHERE id = 2", ""},
	} {
		rows, err := s.all(tc.query)
		if err != nil || flat(rows) != tc.want {
			t.Errorf("%s: %s, %v; want %s", tc.query, flat(rows), err, tc.want)
		}
	}
	s.exec("CREATE TEMPORARY TABLE many SELECT seq AS i FROM seq_1_to_1500")
	if rows, err := s.all("select * from many"); err != nil || len(rows) != 1000 {
		t.Errorf("all of a large table are %d rows, %v; want 1000", len(rows), err)
	}
	for _, q := range []string{"DELETE FROM contacts", "update contacts set name = 'x'"} {
		if _, err := s.all(q); err == nil || !strings.Contains(err.Error(), "without WHERE") {
			t.Errorf("%s: %v, want it refused", q, err)
		}
	}
	if got := s.value("SELECT COUNT(*) FROM contacts WHERE name <> 'x'"); got != "2" {
		t.Errorf("%s rows are left as they were, want 2", got)
	}
}

func TestMockServer(t *testing.T) {
	p := start(t, setup{script: "mock-server.lua", backends: []string{"127.0.0.1:1"}})
	s := connect(t, p.addr, user{"anybody", "anything"}, "")
	for query, want := range map[string]string{
		"SELECT 1": "1", "select *  from fruit;": "1 apple; 2 pear; 3 NULL", "SELECT * FROM fruit WHERE id = 2": "2 pear",
		"SELECT * FROM fruit WHERE id = 9": "", "SET NAMES utf8": "", "BEGIN": "", "SELECT @@version_comment LIMIT 1": "mock",
	} {
		rows, err := s.all(query)
		if err != nil || flat(rows) != want {
			t.Errorf("%s: %s, %v; want %s", query, flat(rows), err, want)
		}
	}
	r, err := s.ExecContext(t.Context(), "INSERT INTO fruit VALUES (4, 'fig')")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := r.LastInsertId(); err != nil || id != 4 {
		t.Errorf("the insert id is %d, %v; want 4", id, err)
	}
	for query, want := range map[string]uint16{"DROP TABLE fruit": 1142, "SELECT 2": 1105} {
		_, err := s.all(query)
		if e, ok := err.(*mysql.MySQLError); !ok || e.Number != want {
			t.Errorf("%s: %v, want error %d", query, err, want)
		}
	}
	if err := s.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
