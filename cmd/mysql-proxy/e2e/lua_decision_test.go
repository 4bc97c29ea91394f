package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// failedResponse is for a response that cannot be made out.
const failedResponse = "ERR 1105 07000 (lua) handling proxy.response failed, check error-log"

// outcome is what a statement gave: rows, or the ERR, or that the session ended.
// The driver checks the sequence ids, so no packet is too many or missing.
func (c *luaConn) outcome(query string) string {
	c.t.Helper()
	text, err := c.tryRows(query)
	if e := (*mysql.MySQLError)(nil); errors.As(err, &e) {
		return fmt.Sprintf("ERR %d %s %s", e.Number, e.SQLState[:], e.Message)
	}
	if err != nil {
		return "ended: " + err.Error()
	}
	return text
}

func TestLuaDecisions(t *testing.T) {
	p := startLua(t, "decisions.lua", []string{bed.Primary.Addr})
	const forwarded = "ERR 1064 42000 "
	for _, r := range []struct{ name, want, log string }{
		{"no decision, a queue", forwarded, "proxy.queries is filled"},
		{"a queue to send, empty", forwarded, "proxy.queries is empty"},
		{"an answer, a queue", "answer", ""},
		{"an answer as a numeral", "answer", ""},
		{"an error behind a queue", forwarded, `\(read_query\) .*on purpose`},
		{"how often results were seen", "0", ""},
		{"a number that is no decision", forwarded, `\(read_query\).*7`},
		{"3, which has no name", forwarded, `\(read_query\).*3`},
		{"to ignore what is not there yet", forwarded, `\(read_query\).*(4|IGNORE)`},
		{"true", forwarded, ""},
		{"a response without a type", failedResponse, ""},

		{"a result that is left", "left", ""},
		{"a result with no hook to see it", "unseen", ""},
		{"a result, and an error", "left", `\(read_query_result\) .*on purpose`},
		{"a result for a response that cannot be sent", failedResponse, ""},
		{"a streamed result to replace", "streamed", `\(read_query_result\).*resultset_is_needed`},
		{"a streamed result to ignore", "streamed", ""},
		{"a streamed result to look at", "streamed", `\(read_query_result\).*resultset_is_needed`},
		{"two results for one command", "first", "the client has its result already"},
		{"two streamed results", "second", ""},
		{"a result in place of two", "instead", ""},
		{"more queries while it runs", "1324", ""},
		{"the rest of a queue is cut", "kept", ""},
		{"other commands in a queue", "0 255 0 0 ", ""},
		{"a query of 20 MB", "20000000", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := connectAs(t, p.addr, bed.Users.App, bed.Database)
			if got := c.outcome("DECIDE " + r.name); !strings.HasPrefix(got, r.want) || r.want != forwarded && got != r.want {
				t.Errorf("got %q, want %q", got, r.want)
			}
			c.mustRows("SELECT 'in step'", "in step")
			if r.log != "" {
				p.mustLog(t, `\(critical\) .*`+r.log)
			}
		})
	}
}

// Decisions that leave the session other than it was.
func TestLuaDecisionsOnTheSession(t *testing.T) {
	p := startLua(t, "decisions.lua", []string{bed.Primary.Addr})
	t.Run("connection_close", func(t *testing.T) {
		s := openSession(t, p.addr)
		s.mustAsk("DECIDE the connection is closed behind the result", "last words")
		if got := s.farewell(); got != "closed" {
			t.Errorf("behind the result came %q, want a close", got)
		}
	})
	t.Run("a command without a server", func(t *testing.T) {
		s := openSession(t, p.addr)
		s.mustAsk("DECIDE the connection is given back behind the result", "given back")
		s.mustAsk("DECIDE an answer, a queue", "answer") // needs none
		s.start("SELECT 1")
		if got := s.farewell(); !strings.HasSuffix(got, "closed") || strings.HasPrefix(got, "01") {
			t.Errorf("a command without a server got %q, want the session's end", got)
		}
		p.mustLog(t, `\(critical\) there is no backend`)
	})
	t.Run("no answer at all", func(t *testing.T) {
		s := openSession(t, p.addr)
		s.start("DECIDE all is ignored")
		s.mustAsk("SELECT 2", "2") // its answer is the first that comes
	})
	t.Run("answers to what expects none", func(t *testing.T) {
		s := openSession(t, p.addr)
		s.mustAsk("DECIDE answer the mute", "as you like")
		s.attempt(func() {
			s.write(s.command(comLongData, []byte{1, 0, 0, 0, 0, 0, 'x'}))
			s.write(s.command(comStmtClose, []byte{1, 0, 0, 0}))
		})
		s.mustAsk("SELECT 3", "3")
	})
	t.Run("a file is asked for", func(t *testing.T) {
		mustExec(t, "DROP DATABASE IF EXISTS e2e_lua", "CREATE DATABASE e2e_lua", "CREATE TABLE e2e_lua.t (a INT)")
		s := openSession(t, p.addr)
		s.file = []byte("1\n2\n3\n")
		if s.attempt(func() {
			s.write(s.command(comQuery, []byte("LOAD DATA LOCAL INFILE 'x' INTO TABLE e2e_lua.t")))
			s.result(false)
		}) {
			t.Fatalf("LOAD DATA LOCAL ended the session: %s", s.tr.last())
		}
		s.mustAsk("SELECT SUM(a) FROM e2e_lua.t", "6")
	})
	t.Run("every command is seen", func(t *testing.T) {
		s := openSession(t, p.addr)
		one := func() { s.packet() }
		for _, r := range []struct {
			command byte
			args    string
			read    func()
		}{
			{comPing, "", one}, {comInitDB, bed.Database, one}, {comStatistics, "", one}, {comFieldList, "items\x00", s.fieldList},
			{comPrepare, "SELECT 1", s.prepared}, {comStmtReset, "\xff\xff\xff\xff", one}, // the last statement, as MariaDB has it
			{comExecute, "\xff\xff\xff\xff\x00\x01\x00\x00\x00", func() { s.result(false) }}, {comResetConn, "", one},
		} {
			if s.attempt(func() {
				s.write(s.command(r.command, []byte(r.args)))
				r.read()
			}) {
				t.Fatalf("command %d: %s", r.command, s.tr.last())
			}
			s.mustAsk(fmt.Sprintf("COMMAND %d", r.command), fmt.Sprint(1+len(r.args)))
		}
		s.mustAsk(strings.Repeat(" ", maxFragment+9)+"SELECT 'long'", "long")
		out := s.ask("COMMAND 3") // all queries together, a long one with its whole length
		if len(out) != 8 || out < "16777238" {
			t.Errorf("the script has seen queries of %s bytes, want more than 16777238", out)
		}
	})
}

// What results say of themselves, by a real server's word.
func TestLuaNumbersOfResults(t *testing.T) {
	mustExec(t, "DROP DATABASE IF EXISTS e2e_lua", "CREATE DATABASE e2e_lua", "CREATE TABLE e2e_lua.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT)")
	p := startLua(t, "decisions.lua", []string{bed.Primary.Addr})
	c := connectAs(t, p.addr, bed.Users.App, "e2e_lua")
	// query_status, #fields, row_count, bytes, affected_rows, insert_id, warning_count, flags, first byte
	for _, r := range [][2]string{
		{"INSERT INTO t (a) VALUES (1), (2), (3)", "0 0 0 0 3 1 0 a 0"},
		{"INSERT INTO t VALUES (7, '8x')", "255 0 0 0 0 0 0 a 255"}, // an ERR has no flags: those of before,
		{"SET sql_mode = ''", "0 0 0 0 0 0 0 a 0"},
		{"INSERT INTO t VALUES (70, '8x')", "0 0 0 0 1 70 1 a 0"},
		{"SELECT id, NULL FROM t WHERE id = 1", "0 2 1 7 - - 0 a 2"},
		{"SELECT * FROM t WHERE a > 0", "0 2 4 33 - - 0 an 2"},
		{"BEGIN", "0 0 0 0 0 0 0 ta 0"},
		{"DELETE FROM t WHERE id = 70", "0 0 0 0 1 0 0 ta 0"},
		{"ROLLBACK", "0 0 0 0 0 0 0 a 0"},
		{"SET autocommit = 0", "0 0 0 0 0 0 0  0"},
		{"SELECT 1", "0 1 1 6 - - 0  1"},
	} {
		c.mustRows("NUMBERS "+r[0], r[1])
	}
}
