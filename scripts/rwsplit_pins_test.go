package scripts

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Each row sets some state, reads something that any server could answer, and
// asks for the state: it must be as on a direct connection. While the state is
// on the connection the read in between must run on the primary.
func TestStateIsKept(t *testing.T) { onEveryMariaDB(t, testStateIsKept) }

func testStateIsKept(t *testing.T) {
	for _, tc := range []struct {
		name   string
		set    []string
		pinned bool
		ask    string // the state
		end    []string
		freed  bool // after end, reads go to replicas again
	}{
		{"transaction", []string{"BEGIN", "INSERT INTO own (client, v) VALUES (8001, 1)"}, true,
			"SELECT COUNT(*) FROM own WHERE client = 8001", []string{"ROLLBACK"}, true},
		{"transaction by START", []string{"START TRANSACTION READ ONLY"}, true, "SELECT @@in_transaction", []string{"COMMIT"}, true},
		{"transaction ended by DDL", []string{"BEGIN", "CREATE TABLE IF NOT EXISTS ddl (i INT)"}, false, "SELECT @@in_transaction", nil, true},
		{"COMMIT AND CHAIN", []string{"BEGIN", "COMMIT AND CHAIN"}, true, "SELECT @@in_transaction", []string{"COMMIT"}, true},
		{"savepoint", []string{"BEGIN", "SAVEPOINT a", "INSERT INTO own (client, v) VALUES (8002, 1)", "ROLLBACK TO a"}, true,
			"SELECT COUNT(*) FROM own WHERE client = 8002", []string{"ROLLBACK"}, true},
		{"autocommit off", []string{"SET autocommit = 0"}, true, "SELECT @@autocommit", []string{"SET autocommit = 1"}, true},
		{"autocommit off, as a variable", []string{"SET @@session.autocommit = 0"}, true, "SELECT @@autocommit", nil, false},
		{"autocommit on", []string{"SET autocommit = 1"}, false, "SELECT @@autocommit", nil, true},
		{"session variable", []string{"SET SESSION sql_mode = 'ANSI'"}, true, "SELECT @@sql_mode", nil, false},
		{"session variable, several", []string{"SET NAMES utf8, @a = 4, sql_safe_updates = 1"}, true, "SELECT @a, @@sql_safe_updates", nil, false},
		{"session variable, commented", []string{"/*!40101 SET sql_mode = 'ANSI' */"}, true, "SELECT @@sql_mode", nil, false},
		{"isolation level", []string{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"}, true, "SELECT @@tx_isolation", nil, false},
		{"names", []string{"SET NAMES latin1"}, false, "SELECT CHARSET('a')", nil, true},
		{"names with collation", []string{"SET NAMES 'utf8mb4' COLLATE utf8mb4_bin"}, false, "SELECT COLLATION('a')", nil, true},
		{"names, twice", []string{"SET NAMES latin1", "SET NAMES binary"}, false, "SELECT @@character_set_client", nil, true},
		{"names of odd bytes", []string{"SET NAMES gbk"}, true, "SELECT CHARSET('a')", nil, false},
		{"user variable", []string{"SET @a = 5"}, true, "SELECT @a", nil, false},
		{"user variable by SELECT", []string{"SELECT @b := 6"}, true, "SELECT @b", nil, false},
		{"user variable by INTO", []string{"SELECT 7 INTO @c"}, true, "SELECT @c", nil, false},
		{"user variable behind a backslash", []string{`SELECT 'a\\', @d := 8, '\\'`}, true, "SELECT @d", nil, false},
		{"temporary table", []string{"CREATE TEMPORARY TABLE tmp (i INT)", "INSERT INTO tmp VALUES (3)"}, true, "SELECT i FROM tmp", nil, false},
		{"temporary table in the place of another", []string{"CREATE OR REPLACE TEMPORARY TABLE fixed (i INT)"}, true, "SELECT COUNT(*) FROM fixed", nil, false},
		{"locked table", []string{"LOCK TABLES fixed READ"}, true, "SELECT COUNT(*) FROM fixed", []string{"UNLOCK TABLES"}, true},
		{"lock by name", []string{"SELECT GET_LOCK('scripts', 5)"}, true, "SELECT IS_USED_LOCK('scripts') = CONNECTION_ID()", []string{"DO RELEASE_LOCK('scripts')"}, false},
		{"lock by name, DO", []string{"DO get_lock('scripts2', 5)"}, true, "SELECT RELEASE_LOCK('scripts2')", nil, false},
		{"prepared as text", []string{"PREPARE s FROM 'SELECT 11'"}, true, "EXECUTE s", nil, false},
		{"handler", []string{"HANDLER fixed OPEN"}, true, "HANDLER fixed READ FIRST", nil, false},
		{"found rows", []string{"SELECT SQL_CALC_FOUND_ROWS id FROM fixed LIMIT 3"}, false, "SELECT FOUND_ROWS()", nil, true},
		{"stored procedure", []string{"CALL p()"}, true, "SELECT @called", nil, false},
		{"stored function", []string{"SELECT f()"}, true, "SELECT 1", nil, false},
		{"last insert id", []string{"INSERT INTO own (client, v) VALUES (8003, 1)"}, false,
			"SELECT (SELECT MAX(id) FROM own WHERE client = 8003) = LAST_INSERT_ID()", nil, true},
		{"last insert id, of several rows", []string{"DELETE FROM own WHERE client = 8004", "INSERT INTO own (client, v) VALUES (8004, 1), (8004, 2)"}, false,
			"SELECT (SELECT MIN(id) FROM own WHERE client = 8004) = LAST_INSERT_ID()", nil, true},
		{"last insert id, not of a given id", []string{"REPLACE INTO own VALUES (900000000, 8005, 1)"}, false, "SELECT LAST_INSERT_ID()", []string{"DELETE FROM own WHERE id = 900000000"}, true},
		{"last insert id, made", []string{"UPDATE own SET v = LAST_INSERT_ID(77) LIMIT 1"}, false, "SELECT @@last_insert_id, @@identity", nil, true},
		{"last insert id by SELECT", []string{"SELECT LAST_INSERT_ID(78)"}, false, "SELECT LAST_INSERT_ID()", nil, true},
		{"database", []string{"USE other"}, false, "SELECT DATABASE()", []string{"USE test"}, true},
		{"database, quoted", []string{"USE `other`;"}, false, "SELECT DATABASE(), (SELECT COUNT(*) FROM place)", []string{"USE test"}, true},
		{"database in a multi-statement", []string{"USE other; SELECT 1"}, true, "SELECT DATABASE()", nil, false},
		{"variable in a multi-statement", []string{"SELECT 1; SET @m = 9"}, true, "SELECT @m", nil, false},
		{"transaction in a multi-statement", []string{"BEGIN; INSERT INTO own (client, v) VALUES (8006, 1)"}, true, "SELECT COUNT(*) FROM own WHERE client = 8006", []string{"ROLLBACK"}, true},
		{"sequence", []string{"SELECT NEXTVAL(seq) > 0"}, true, "SELECT PREVIOUS VALUE FOR seq IS NOT NULL", nil, false},
		{"XA", []string{"XA START 'x'"}, true, "SELECT 1", []string{"XA END 'x'; XA ROLLBACK 'x'"}, false},
		{"compound statement", []string{"BEGIN NOT ATOMIC SET @n = 4; END"}, true, "SELECT @n", nil, false},
		{"EXECUTE IMMEDIATE", []string{"EXECUTE IMMEDIATE 'SET @e = 3'"}, true, "SELECT @e", nil, false},
		{"an insert leaves nothing", []string{"INSERT INTO own (client, v) VALUES (8007, CONCAT('1', '2'))"}, false, "SELECT 1", nil, true},
		{"a table with a parenthesis leaves nothing", []string{"CREATE TABLE IF NOT EXISTS paren(i INT(11), KEY k(i))"}, false, "SELECT 1", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want := func() string {
				d := connect(t, bed.Primary.Addr, bed.Users.App, "test")
				defer d.close() // locks and open transactions with it
				d.exec(tc.set...)
				d.value(whoAnswers)
				return asText(t, d, tc.ask)
			}
			direct := want()

			p := pinProxy(t)
			s := connect(t, p.addr, bed.Users.App, "test")
			if got := s.value(whoAnswers); !onReplica(got) {
				t.Errorf("at first server %s answers, want a replica", got)
			}
			s.exec(tc.set...)
			if got := s.value(whoAnswers); onReplica(got) == tc.pinned {
				t.Errorf("then server %s answers, want the primary: %v", got, tc.pinned)
			}
			if got := asText(t, s, tc.ask); got != direct {
				t.Errorf("%s: %s, want %s", tc.ask, got, direct)
			}
			s.exec(tc.end...)
			if got := s.value(whoAnswers); onReplica(got) != tc.freed {
				t.Errorf("at the end server %s answers, want a replica: %v", got, tc.freed)
			}
			s.close()
		})
	}
}

// pinProxy is a proxy of its own, so that rows neither wait for each other's
// locks nor take each other's connections.
func pinProxy(t *testing.T) *proxy {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	return p
}

func asText(t *testing.T, s *session, query string) string {
	t.Helper()
	rows, err := s.all(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, strings.Join(r, " "))
	}
	return strings.Join(lines, "\n")
}

// What the statement before left is asked for after a replica has answered it.
func TestDiagnosticsOfAReadOnAReplica(t *testing.T) {
	onEveryFlavour(t, testDiagnosticsOfAReadOnAReplica)
}

func testDiagnosticsOfAReadOnAReplica(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	for _, tc := range []struct{ read, ask string }{
		{"SELECT id FROM fixed WHERE id <= 17", "SELECT FOUND_ROWS()"},
		{"SELECT id FROM fixed WHERE id <= 17", "SELECT ROW_COUNT()"},
		{"SELECT CAST('12x' AS SIGNED)", "SHOW WARNINGS"},
		{"SELECT CAST('12x' AS SIGNED)", "SHOW COUNT(*) WARNINGS"},
		{"SELECT CAST('12x' AS SIGNED)", "SELECT @@warning_count"},
		{"SELECT no_such_column FROM fixed", "SHOW ERRORS"},
	} {
		var got [2]string
		for i, addr := range []string{bed.Primary.Addr, p.addr} {
			s := connect(t, addr, bed.Users.App, "test")
			s.exec("DO CAST('other' AS SIGNED)", "UPDATE own SET v = 1 WHERE 0")
			_, _ = s.all(tc.read) // one of them is an error
			got[i] = asText(t, s, tc.ask)
			s.close()
		}
		if got[0] != got[1] {
			t.Errorf("%s; %s: %q, want %q", tc.read, tc.ask, got[1], got[0])
		}
	}
}

func TestGetDiagnosticsAfterARead(t *testing.T) { onEveryFlavour(t, testGetDiagnosticsAfterARead) }

func testGetDiagnosticsAfterARead(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	var got [2]string
	for i, addr := range []string{bed.Primary.Addr, p.addr} {
		s := connect(t, addr, bed.Users.App, "test")
		s.exec("UPDATE own SET v = 1 WHERE 0")
		s.value("SELECT CAST('12x' AS SIGNED)")
		s.exec("GET DIAGNOSTICS CONDITION 1 @text = MESSAGE_TEXT")
		got[i] = s.value("SELECT @text")
	}
	if got[0] != got[1] || got[0] == "NULL" {
		t.Errorf("the message is %q, want %q", got[1], got[0])
	}
}

// A binary prepared statement lives until it is closed.
func TestPreparedStatements(t *testing.T) { onEveryFlavour(t, testPreparedStatements) }

func testPreparedStatements(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	ctx := context.Background()
	one, err := s.PrepareContext(ctx, "SELECT @@server_id, ? + 1")
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.PrepareContext(ctx, "INSERT INTO own (client, v) VALUES (8100, ?)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		var id, n int
		if err := one.QueryRow(i).Scan(&id, &n); err != nil || id != 1 || n != i+1 {
			t.Errorf("the prepared read: %d from server %d, %v; want %d from server 1", n, id, err, i+1)
		}
		if got := s.value(whoAnswers); got != "1" {
			t.Errorf("server %s answers between the executions, want the primary", got)
		}
		if _, err := two.Exec(i); err != nil {
			t.Error(err)
		}
	}
	one.Close()
	if got := s.value(whoAnswers); got != "1" {
		t.Errorf("server %s answers while a statement is open, want the primary", got)
	}
	two.Close()
	if got := s.value(whoAnswers); !onReplica(got) {
		t.Errorf("server %s answers after both are closed, want a replica", got)
	}
	if got := s.value("SELECT LAST_INSERT_ID() = (SELECT MAX(id) FROM own WHERE client = 8100)"); got != "1" {
		t.Error("LAST_INSERT_ID() is not that of the prepared INSERT")
	}
	bad, err := s.PrepareContext(ctx, "SELECT no_such_column FROM fixed")
	if err == nil {
		bad.Close()
		t.Error("a statement with an unknown column was prepared")
	}
	if got := s.value(whoAnswers); !onReplica(got) {
		t.Errorf("server %s answers after a failed PREPARE, want a replica", got)
	}
	set, err := s.PrepareContext(ctx, "SELECT @p := ?")
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if err := set.QueryRow(12).Scan(&v); err != nil {
		t.Fatal(err)
	}
	set.Close()
	if got := s.value(whoAnswers); got != "1" {
		t.Errorf("server %s answers a session with a user variable, want the primary", got)
	}
	if got := s.value("SELECT @p"); got != "12" {
		t.Errorf("the user variable of a prepared statement is %s, want 12", got)
	}
}

func TestLoadDataLocal(t *testing.T) { onEveryFlavour(t, testLoadDataLocal) }

func testLoadDataLocal(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	mysql.RegisterReaderHandler("rows", func() io.Reader { return strings.NewReader("8200\t1\n8200\t2\n8200\t3\n") })
	defer mysql.DeregisterReaderHandler("rows")
	load := "LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE own (client, v)"
	for want := int64(3); want <= 9; want += 3 {
		s.value(whoAnswers)
		r, err := s.ExecContext(context.Background(), load)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.RowsAffected(); err != nil || n != 3 {
			t.Errorf("%d rows were loaded, %v; want 3", n, err)
		}
		s.value(whoAnswers)
		if got := s.value("/* route=primary */ SELECT COUNT(*) FROM own WHERE client = 8200"); got != []string{"3", "6", "9"}[want/3-1] {
			t.Errorf("the table has %s rows, want %d", got, want)
		}
	}
	if got := s.value("SELECT LAST_INSERT_ID() BETWEEN 1 AND (SELECT MAX(id) FROM own WHERE client = 8200)"); got != "1" {
		t.Error("LAST_INSERT_ID() is not that of LOAD DATA")
	}
}

// Errors are those of a direct connection, and the session goes on.
func TestErrors(t *testing.T) { onEveryFlavour(t, testErrors) }

func testErrors(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	d := connect(t, bed.Primary.Addr, bed.Users.App, "test")
	s := connect(t, p.addr, bed.Users.App, "test")
	for _, q := range []string{
		"", "-- nothing", "SELEC 1", "SELECT", "SELECT no_such_column FROM fixed", "SELECT * FROM no_such_table", "USE no_such_db",
		"SET no_such_variable = 1", "INSERT INTO fixed VALUES (1, 'again')", "SELECT 'open", "SELECT 1; SELEC 2", "SELECT `open", "/* open",
	} {
		_, want := d.all(q)
		_, got := s.all(q)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v", q, got, want)
		}
		if v := s.value("SELECT COUNT(*) FROM fixed"); v != "100" {
			t.Errorf("after %q: %s rows, want 100", q, v)
		}
	}
}
