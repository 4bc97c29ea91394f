package main

import (
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// tryPair is a built-in server and a client that has logged in to it, without a
// proxy between them.
func tryPair(t *testing.T, readOnly bool) *tryClient {
	t.Helper()
	s, err := startTryServer("server", 5, readOnly, newTryTrace(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	a, err := reactor.ParseAddr(s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialTry(a, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	if answer, err := c.login(); err != nil || answer.failed {
		t.Fatal(answer.summary, err)
	}
	return c
}

func TestBuiltInServerAnswers(t *testing.T) {
	c := tryPair(t, false)
	for _, step := range []struct{ does, want string }{ // one after the other
		{"SELECT 17", "1 row [17]"},
		{"(select /* x */ 17)", "1 row [server]"},
		{"SELECT @@server_id", "1 row [5]"},
		{"SELECT name FROM t", "1 row [server]"},
		{"SHOW TABLES", "1 row [server]"},
		{"SHOW WARNINGS", "0 rows"},
		{"SHOW SLAVE STATUS", "0 rows"},
		{"SELECT DATABASE()", "1 row [test]"},
		{"USE `a`", "OK, 0 rows affected"},
		{"SELECT DATABASE()", "1 row [a]"},
		{`\use b`, "OK, 0 rows affected"},
		{"SELECT SCHEMA()", "1 row [b]"},
		{"INSERT INTO t VALUES (1)", "OK, 1 row affected, insert id 1"},
		{"REPLACE INTO t VALUES (1)", "OK, 1 row affected, insert id 2"},
		{"SELECT LAST_INSERT_ID()", "1 row [2]"},
		{"UPDATE t SET a = 1", "OK, 1 row affected"},
		{"DELETE FROM t", "OK, 1 row affected"},
		{"CREATE TABLE t (a INT)", "OK, 0 rows affected"},
		{"BEGIN", "OK, 0 rows affected, in a transaction"},
		{"SELECT 1", "1 row, in a transaction [1]"},
		{"ROLLBACK", "OK, 0 rows affected"},
		{"START TRANSACTION", "OK, 0 rows affected, in a transaction"},
		{"COMMIT", "OK, 0 rows affected"},
		{"SET autocommit=0", "OK, 0 rows affected, autocommit off"},
		{"SELECT @@autocommit", "1 row, autocommit off [0]"},
		{"DELETE FROM t", "OK, 1 row affected, in a transaction, autocommit off"},
		{"SET SESSION autocommit = ON", "OK, 0 rows affected"},
		{`\prepare SELECT ?, ?`, "statement 1 prepared, 2 parameters, 2 columns"},
		{`\execute -7, 'x'`, "1 row [-7 x]"},
		{`\execute NULL, 18446744073709551616`, "1 row [NULL 18446744073709551616]"},
		{`\prepare INSERT INTO t VALUES (?)`, "statement 2 prepared, 1 parameter, 0 columns"},
		{`\execute 3`, "OK, 1 row affected, insert id 3"},
		{`\close`, "no answer is due"},
		{`\execute 3`, "ERR 1243 (HY000): Unknown prepared statement handler (2) given to mysqld_stmt_execute"},
		{`\prepare FROBNICATE`, "ERR 1295 (HY000): This command is not supported in the prepared statement protocol yet"},
		{`\ping`, "OK, 0 rows affected"},
		{`\user joe`, "OK, 0 rows affected"},
		{"SELECT USER()", "1 row [joe@localhost]"},
		{"SET autocommit=0", "OK, 0 rows affected, autocommit off"},
		{`\reset`, "OK, 0 rows affected"},
		{"SELECT LAST_INSERT_ID()", "1 row [0]"},
		{"", "ERR 1064 (42000): You have an error in your SQL syntax; this test server does not know such a statement"},
		{"LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "ERR 1064 (42000): You have an error in your SQL syntax; this test server does not know LOAD"},
	} {
		st := tryStatement{text: step.does}
		if strings.HasPrefix(step.does, `\`) {
			var err error
			if st, err = parseVerb(step.does); err != nil {
				t.Fatal(err)
			}
		}
		a, err := c.run(c.payload(&st))
		got := a.summary
		for _, table := range a.tables {
			for _, row := range table.rows {
				got += " [" + strings.Join(row, " ") + "]"
			}
		}
		if err != nil || got != step.want {
			t.Errorf("%s: %s, %v; want %s", step.does, got, err, step.want)
		}
	}
}

func TestBuiltInReplica(t *testing.T) {
	c := tryPair(t, true)
	for sql, want := range map[string]string{
		"INSERT INTO t VALUES (1)": "ERR 1290 (HY000)",
		"DROP TABLE t":             "ERR 1290 (HY000)",
		"SHOW REPLICA STATUS":      "1 row",
		"SELECT @@read_only":       "1 row",
	} {
		a, err := c.run(c.payload(&tryStatement{text: sql}))
		if err != nil || !strings.HasPrefix(a.summary, want) {
			t.Errorf("%s: %s, %v; want %s", sql, a.summary, err, want)
		}
	}
}

// Whatever a script has the proxy send, the server answers or ends.
func TestBuiltInServerTakesAnything(t *testing.T) {
	for _, payload := range []string{
		"\x17", "\x17\x01\x00\x00\x00", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00", "\x19", "\x18\x01", "\x1a\x01", "\x11", "\x11joe\x00\xff",
		"\x02", "\x04t\x00", "\x0e", "\x09", "\x1b\x00\x00", "\xfa", "\x03", "\x03/*", "\x03SELECT", "\x03SHOW", "\x16SELECT ? ?", "\x16",
	} {
		c := tryPair(t, false)
		if !packet.Command(payload[0]).HasResponse() {
			if err := c.send(0, []byte(payload)); err != nil {
				t.Error(err)
			}
		} else if a, err := c.run([]byte(payload)); err != nil {
			t.Errorf("%q: %s, %v", payload, a.summary, err)
		}
		if a, err := c.run([]byte{byte(packet.ComPing)}); err != nil || a.failed {
			t.Errorf("the ping after %q: %s, %v", payload, a.summary, err)
		}
	}
}

// What a script makes up as an answer may be anything, too.
func FuzzReadAnswer(f *testing.F) {
	caps := packet.Capability(tryCaps)
	join := func(payloads ...string) []byte {
		var b []byte
		for i, p := range payloads {
			b = packet.AppendPacket(b, byte(i), []byte(p))
		}
		return b
	}
	column := packet.Column{Catalog: []byte("def"), Name: []byte("a"), Type: packet.TypeVarString}
	def := string(column.Append(nil, caps))
	eof := string(packet.AppendEOF(nil, 0, packet.StatusAutocommit))
	f.Add(byte(packet.ComQuery), join("\x01", def, eof, "\x01x", eof))
	f.Add(byte(packet.ComStmtExecute), join("\x01", def, eof, "\x00\x00\x01x", eof))
	f.Add(byte(packet.ComStmtPrepare), join("\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(byte(packet.ComQuery), join("\x00\x01\x02\x0a\x00\x00\x00", "\x00\x00\x00\x02\x00\x00\x00"))
	f.Add(byte(packet.ComQuery), join("\xff\x10\x04#42000no"))
	f.Add(byte(packet.ComQuery), join("\xfbfile"))
	f.Add(byte(packet.ComQuery), join("\xfe\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, command byte, packets []byte) {
		payloads := payloadsOf(packets)
		a, err := readAnswer(packet.Command(command), caps, payloads)
		if err != nil {
			return
		}
		for _, table := range a.tables {
			for _, row := range table.rows {
				if len(row) != len(table.columns) {
					t.Fatalf("a row of %d values in a result of %d columns", len(row), len(table.columns))
				}
			}
		}
		if len(payloads) > 0 && a.summary == "" && command != byte(packet.ComStatistics) {
			t.Fatalf("no summary of % x", packets)
		}
	})
}
