package scripts

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

const whoAnswers = "SELECT @@server_id"

// onReplica tells whether a replica has answered, by its server_id.
func onReplica(id string) bool { return id == "2" || id == "3" }

func TestWhereStatementsRun(t *testing.T) { onEveryMariaDB(t, testWhereStatementsRun) }

func testWhereStatementsRun(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	for _, tc := range []struct {
		query   string
		replica bool
	}{
		{"SELECT @@server_id", true},
		{"select @@server_id;", true},
		{"SELECT @@GLOBAL.server_id ; -- the end", true},
		{"\n\t (SELECT @@server_id)", true},
		{"/* one */ -- two\n# three\nSELECT @@server_id", true},
		{"WITH a AS (SELECT @@server_id AS i) SELECT i FROM a", true},
		{"SELECT @@server_id, word FROM fixed WHERE word <> 'a;b' AND id IN (1, 2) LIMIT 1", true},
		{"SELECT @@server_id, 'FOR UPDATE', \"INTO\", 'it''s @x', `id` FROM fixed LIMIT 1", true},
		{"SELECT @@server_id, REPLACE('a', 'b', 'c'), INSERT('abc', 1, 1, 'x'), COUNT(*) FROM fixed", true},
		{"SELECT @@server_id, 'a\\'b'", true},
		{"SELECT @@server_id /* FOR UPDATE */", true},
		{"SELECT @@server_id, id /* c */ FROM (SELECT 1 AS id) t", true},
		{"SELECT(@@server_id)", true},
		{"SELECT @@server_id, 'x', 12, 1.5", true},
		{"SELECT @@server_id, 'yy;', 345, 0.25", true},

		// The first ones of these must not speak for the second ones.
		{"SELECT @@server_id, \"'\", 1, \"'\"", true},
		{"SELECT @@server_id, \"'\", f(), \"'\"", false},
		{"SELECT @@server_id, `id` `'`, 1 `'1` FROM fixed LIMIT 1", true},
		{"SELECT @@server_id, `id` `'`, f() `'1` FROM fixed LIMIT 1", false},
		{"SELECT @@server_id, 5 -- '\n, 6 -- '", true},
		{"SELECT @@server_id, 5 -- '\n, f() -- '", false},
		{"SELECT @@server_id, 5 # '\n, 6 # '", true},
		{"SELECT @@server_id, 5 # '\n, f() # '", false},
		{"SELECT @@server_id, 5 /* ' */, 6 /* ' */", true},
		{"SELECT @@server_id, 5 /* ' */, f() /* ' */", false},
		{"SELECT @@server_id, 'a\\'', 1, 'b'", true},
		{"SELECT @@server_id, 'a\\'', f(), 'b'", false},
		{"SELECT @@server_id, '1', f(), '2'", false},

		{"SELECT @@server_id FROM fixed LIMIT 1 FOR UPDATE", false},
		{"SELECT @@server_id FROM fixed LIMIT 1 LOCK IN SHARE MODE", false},
		{"SELECT SQL_CALC_FOUND_ROWS @@server_id FROM fixed LIMIT 1", false},
		{"SELECT @@server_id, @x", false},
		{"SELECT @@server_id, @x := 1", false},
		{"SELECT @@server_id, @@warning_count", false},
		{"SELECT @@server_id, @@last_insert_id", false},
		{"SELECT @@server_id, LAST_INSERT_ID()", false},
		{"SELECT @@server_id, last_insert_id ()", false},
		{"SELECT @@server_id, FOUND_ROWS()", false},
		{"SELECT @@server_id, ROW_COUNT()", false},
		{"SELECT @@server_id, CONNECTION_ID()", false},
		{"SELECT @@server_id, GET_LOCK('a', 0)", false},
		{"SELECT @@server_id, f()", false},
		{"SELECT @@server_id, test.f()", false},
		{"SELECT @@server_id, `f`()", false},
		{"SELECT @@server_id, f /* ( */ ()", false},
		{"SELECT @@server_id, NEXTVAL(seq)", false},
		{"SELECT @@server_id, NEXT VALUE FOR seq", false},
		{"SELECT @@server_id, PREVIOUS VALUE FOR seq", false},
		{"SELECT @@server_id FROM information_schema.tables LIMIT 1", false},
		{"SELECT @@server_id, UUID_SHORT()", false},
		{"SELECT @@server_id; SELECT 1", false},
		{"SELECT @@server_id; DELETE FROM own WHERE id = 0", false},
		{"/*! SELECT */ @@server_id", false},
		{"SELECT /*M!100100 @@server_id, */ @@server_id", false},
		{"SELECT @@server_id, 'a\\\\', LAST_INSERT_ID()", false},
		{"/* route=primary */ SELECT @@server_id", false},
		{"SELECT @@server_id FROM fixed PROCEDURE ANALYSE()", false},
	} {
		s := connect(t, p.addr, bed.Users.App, "test")
		got, err := s.tryValue(tc.query)
		if err != nil {
			t.Errorf("%s: %v", tc.query, err)
		} else if got != "2" && got != "3" && tc.replica || got != "1" && !tc.replica && !strings.Contains(tc.query, "PROCEDURE") {
			t.Errorf("%s: server %s, want a replica: %v", tc.query, got, tc.replica)
		}
		s.close()
	}
}

// What does not tell by itself where it ran is counted by the servers.
func TestWhereOtherReadsRun(t *testing.T) { onEveryFlavour(t, testWhereOtherReadsRun) }

func testWhereOtherReadsRun(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	count := func(s server, name string) string {
		c := connect(t, s.Addr, bed.Users.App, "")
		defer c.close()
		rows, err := c.all("SHOW GLOBAL STATUS LIKE '" + name + "'")
		if err != nil || len(rows) != 1 {
			t.Fatalf("%s: %v, %v", name, rows, err)
		}
		return rows[0][1]
	}
	for _, tc := range []struct {
		query, counter string
		replica        bool
	}{
		{"SHOW TABLES", "Com_show_tables", true},
		{"SHOW FULL COLUMNS FROM fixed", "Com_show_fields", true},
		{"DESCRIBE fixed", "Com_show_fields", true},
		{"SHOW CREATE TABLE fixed", "Com_show_create_table", true},
		{"SHOW WARNINGS", "Com_show_warnings", false},
		{"SHOW PROCESSLIST", "Com_show_processlist", false},
		{"SHOW VARIABLES LIKE 'port'", "Com_show_variables", false},
	} {
		s := connect(t, p.addr, bed.Users.App, "test")
		before := count(bed.Primary, tc.counter)
		if _, err := s.all(tc.query); err != nil {
			t.Errorf("%s: %v", tc.query, err)
		}
		if ran := count(bed.Primary, tc.counter) != before; ran == tc.replica {
			t.Errorf("%s ran on the primary: %v, want %v", tc.query, ran, !tc.replica)
		}
		s.close()
	}
}

func TestReadsWithoutReplicas(t *testing.T) { onEveryFlavour(t, testReadsWithoutReplicas) }

func testReadsWithoutReplicas(t *testing.T) {
	p := split(t)
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value(whoAnswers); got != "1" {
		t.Errorf("before any warm-up server %s answers, want the primary", got)
	}
	p.warm(t, bed.Users.App, "test")
	if got := s.value(whoAnswers); !onReplica(got) {
		t.Errorf("after the warm-up server %s answers, want a replica", got)
	}
	n := connect(t, p.addr, bed.Users.App, "")
	if got := n.value(whoAnswers); got != "1" {
		t.Errorf("without a database server %s answers, want the primary", got)
	}
}

func TestReadsAreSpread(t *testing.T) { onEveryFlavour(t, testReadsAreSpread) }

func testReadsAreSpread(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	got := map[string]int{}
	for range 40 {
		got[s.value(whoAnswers)]++
	}
	if got["1"] != 0 || got["2"] < 5 || got["3"] < 5 {
		t.Errorf("40 reads went to %v, want both replicas and not the primary", got)
	}
}

func TestReadsAfterAWriteSeeIt(t *testing.T) { onEveryFlavour(t, testReadsAfterAWriteSeeIt) }

func testReadsAfterAWriteSeeIt(t *testing.T) {
	p := start(t, setup{script: "rw-splitting.lua", change: []string{"primary_after_write = 2", "primary_after_write = 3600"},
		backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs(), args: []string{"--event-threads=1"}})
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value(whoAnswers); !onReplica(got) {
		t.Errorf("before the write server %s answers, want a replica", got)
	}
	s.exec("INSERT INTO own (client, v) VALUES (9000, 1)")
	if got := s.value("SELECT COUNT(*) + 1000 * @@server_id FROM own WHERE client = 9000"); got != "1001" {
		t.Errorf("after the write: %s, want one row on server 1", got)
	}
}

// A server that does not escape by backslashes ends strings elsewhere.
func TestWithoutBackslashEscapes(t *testing.T) { onEveryFlavour(t, testWithoutBackslashEscapes) }

func testWithoutBackslashEscapes(t *testing.T) {
	var before string
	for i, r := range append([]server{bed.Primary}, bed.Replicas...) {
		d := connect(t, r.Addr, bed.Users.App, "")
		if i == 0 {
			before = d.value("SELECT @@GLOBAL.sql_mode")
		}
		d.exec("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
		t.Cleanup(func() { d.exec("SET GLOBAL sql_mode = '" + before + "'") })
	}
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value(`SELECT @@server_id, 'a\\', 'b\\'`); !onReplica(got) {
		t.Errorf("server %s answers a read with backslashes, want a replica", got)
	}
	if got := s.value(`SELECT @@server_id, 'a\', LAST_INSERT_ID(), 'b'`); got != "1" {
		t.Errorf("server %s answers LAST_INSERT_ID() behind a backslash, want the primary", got)
	}
	s.exec(`SELECT 'a\', @x := 5, 'b'`)
	s.value(whoAnswers)
	if got := s.value("SELECT @x"); got != "5" {
		t.Errorf("the variable is %s, want 5", got)
	}
}

// A pool of clients that stay has connections with replicas, too, once a first
// one has come and gone.
func TestClientsThatStay(t *testing.T) { onEveryFlavour(t, testClientsThatStay) }

func testClientsThatStay(t *testing.T) {
	p := split(t)
	for range 2 {
		first := connect(t, p.addr, bed.Users.App, "test")
		first.exec("DO 0")
		first.close()
		p.settled(t, 0)
	}
	var list []*session
	for range 8 {
		list = append(list, connect(t, p.addr, bed.Users.App, "test"))
	}
	for i, s := range list {
		if got := s.value(whoAnswers); !onReplica(got) {
			t.Errorf("server %s answers client %d, want a replica", got, i)
		}
	}
	for _, s := range list { // and each has its own connection with the primary
		s.exec("BEGIN", "INSERT INTO own (client, v) VALUES (9100, 1)")
	}
	for i, s := range list {
		if got := s.value("SELECT COUNT(*) FROM own WHERE client = 9100"); got != "1" {
			t.Errorf("client %d sees %s rows in its transaction, want its own one", i, got)
		}
	}
}

// Load balancers connect and close, and port scanners say something odd.
func TestHealthChecksDoNoHarm(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	for i := range 60 {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 1: // waits for the greeting
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Errorf("health check %d: %v", i, err)
			}
		case 2:
			if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
				t.Errorf("health check %d: %v", i, err)
			}
		}
		c.Close()
	}
	p.mayLog = append(p.mayLog, "client_protocol", "login_too_large")
	if got := s.value(whoAnswers); !onReplica(got) {
		t.Errorf("server %s answers, want a replica", got)
	}
	for range 5 {
		n := connect(t, p.addr, bed.Users.App, "test")
		n.exec("INSERT INTO own (client, v) VALUES (9001, 1)")
		if got := n.value(whoAnswers); !onReplica(got) {
			t.Errorf("a new session reads from server %s, want a replica", got)
		}
		n.close()
	}
}

// A session whose connection with the primary dies while it reads on a replica
// goes on with another one, which takes on what the session had.
func TestAKilledConnectionDuringARead(t *testing.T) {
	onEveryFlavour(t, testAKilledConnectionDuringARead)
}

func testAKilledConnectionDuringARead(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s, kept := connect(t, p.addr, bed.Users.App, "test"), connect(t, p.addr, bed.Users.App, "test")
	kept.value("SELECT CONNECTION_ID()")
	s.exec("USE other", "SET NAMES latin1", "INSERT INTO test.own (client, v) VALUES (9200, 1)")
	s.value(whoAnswers)
	last := s.value("SELECT LAST_INSERT_ID()")
	id := s.value("SELECT CONNECTION_ID()")
	kept.close() // its connection with the primary is the one to go on with

	var holders []*session
	for _, r := range bed.Replicas {
		h := connectRoot(t, r)
		h.exec("LOCK TABLES fixed WRITE")
		holders = append(holders, h)
	}
	result := make(chan string, 1)
	go func() {
		v, err := s.tryValue("SELECT COUNT(*) FROM test.fixed")
		result <- v + fmt.Sprint(err)
	}()
	waits := "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT COUNT(*) FROM test.fixed'"
	eventually(t, "a replica has the read", func() bool {
		return holders[0].value(waits)+holders[1].value(waits) != "00"
	})
	d := connect(t, bed.Primary.Addr, bed.Users.App, "")
	d.exec("KILL " + id)
	eventually(t, "the connection is gone", func() bool {
		return d.value("SELECT COUNT(*) FROM information_schema.processlist WHERE id = "+id) == "0"
	})
	for _, h := range holders {
		h.exec("UNLOCK TABLES")
	}
	if got := <-result; got != "100<nil>" {
		t.Errorf("the read gives %s, want 100", got)
	}
	if got := s.value("SELECT CONNECTION_ID()"); got == id {
		t.Error("the killed connection is still there")
	}
	for query, want := range map[string]string{
		"/* route=primary */ SELECT DATABASE()": "other", "/* route=primary */ SELECT CHARSET('a')": "latin1", "SELECT LAST_INSERT_ID()": last,
		whoAnswers + " > 1": "1", "SELECT DATABASE()": "other",
	} {
		if got := s.value(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestAKilledReplicaDoesNotHurtReads(t *testing.T) {
	onEveryFlavour(t, testAKilledReplicaDoesNotHurtReads)
}

func testAKilledReplicaDoesNotHurtReads(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	s.value(whoAnswers)
	bed.control(t, "kill replica1")
	started := false
	restart := func() {
		if !started {
			started = true
			bed.control(t, "start replica1")
		}
	}
	t.Cleanup(restart)

	// A read that is on its way when the server dies is lost; the proxy has to
	// see the connections of its pool end first.
	gone := func() bool {
		return !strings.Contains(connections(t, p.cmd.Process.Pid), hexPort(t, bed.Replicas[0].Addr))
	}
	eventually(t, "the proxy's connections with the killed replica are closed", gone)
	for range 20 {
		if got := s.value(whoAnswers); got != "3" {
			t.Errorf("server %s answers, want the replica that lives", got)
		}
	}
	for range 10 {
		n := connect(t, p.addr, bed.Users.App, "test")
		n.exec("INSERT INTO own (client, v) VALUES (9002, 1)")
		if got := n.value(whoAnswers); got == "2" {
			t.Error("the dead server answers")
		}
		n.close()
	}
	restart()
	eventually(t, "the replica is used again", func() bool {
		n := connect(t, p.addr, bed.Users.App, "test")
		defer n.close()
		return n.value(whoAnswers) == "2"
	})
}
