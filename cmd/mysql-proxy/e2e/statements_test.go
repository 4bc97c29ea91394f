package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"mysqlproxy/packet"

	"github.com/go-sql-driver/mysql"
)

// corpusTables are what the statements of packet/testdata/statements.txt are
// about; MySQL and MariaDB both take them.
var corpusTables = []string{
	"DROP DATABASE IF EXISTS shop",
	"CREATE DATABASE shop CHARACTER SET utf8mb4",
	"USE shop",
	`CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT DEFAULT 7, b VARCHAR(40), d DATETIME, j JSON, KEY a (a), FULLTEXT KEY b (b))`,
	`CREATE TABLE u (id INT NOT NULL PRIMARY KEY, t_id INT, n DECIMAL(10,2))`,
	`CREATE TABLE w (a INT)`,
	`CREATE TABLE p (id INT NOT NULL PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (5), PARTITION p1 VALUES LESS THAN MAXVALUE)`,
	`CREATE TABLE g (id INT NOT NULL PRIMARY KEY, pt POINT NOT NULL, SPATIAL KEY (pt))`,
	`CREATE VIEW v AS SELECT id, a FROM t`,
	`CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC RETURN x + 1`,
	`CREATE PROCEDURE pr() SELECT 1`,
	`CREATE TRIGGER tr BEFORE INSERT ON w FOR EACH ROW SET NEW.a = NEW.a + 0`,
	`INSERT INTO t VALUES (1, 1, 'item one', '2020-01-01', '{"k": 1}'), (2, 1, 'item two', '2020-01-02', NULL),
		(3, 15, 'привет', NULL, '{"k": "x"}'), (4, NULL, NULL, NULL, NULL), (5, 20, 'x', '2020-01-05', '[]')`,
	`INSERT INTO u VALUES (1, 1, 1.5), (2, 1, 2), (3, 3, 10), (4, 99, NULL)`,
	`INSERT INTO w VALUES (1), (15)`,
	`INSERT INTO p VALUES (1), (4), (5), (9)`,
	`INSERT INTO g VALUES (1, POINT(1, 2)), (2, POINT(20, 30))`,
}

// runnable is a statement for replicas that a flavour understands.
type runnable struct {
	line int
	sql  string
	same bool // it gives the same result each time
}

// runnableOn reads the statements of packet's corpus that the running servers
// can run and that the classifier is to send to replicas.
func runnableOn(t *testing.T) (list []runnable) {
	t.Helper()
	b, err := os.ReadFile("../../../packet/testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	replica := false
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '[':
			replica = strings.HasPrefix(line, "[replica ") && strings.HasSuffix(line, " -]")
			continue
		}
		where, text, _ := strings.Cut(line, " ")
		switch strings.TrimSuffix(where, "~") {
		case "all":
		case "mysql":
			if !bed.mysql() {
				continue
			}
		case "mariadb":
			if bed.mysql() {
				continue
			}
		case "mariadb11":
			if bed.Flavour != "mariadb11.8" {
				continue
			}
		default:
			continue
		}
		if !replica {
			t.Fatalf("line %d: only statements for replicas are run", i+1)
		}
		q, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		list = append(list, runnable{line: i + 1, sql: q, same: !strings.HasSuffix(where, "~")})
	}
	return list
}

func flavourLex() packet.Lex {
	if bed.mysql() {
		return 0
	}
	return packet.LexMariaDB
}

// What the classifier sends to replicas runs on one that is read_only, gives
// what it gives on the primary, and changes nothing on either.
func TestStatementsForReplicas(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		ctx := context.Background()
		replicaAddr := bed.Replicas[0].Addr
		conns := map[string]*sql.Conn{}
		for name, addr := range map[string]string{"primary": bed.Primary.Addr, "replica": replicaAddr} {
			c, err := openDB(t, addr, bed.Users.App, "", "").Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			conns[name] = c
		}
		statements := corpusTables
		if !bed.mysql() {
			statements = append(statements[:len(statements):len(statements)], "CREATE SEQUENCE sq")
		}
		for _, q := range statements {
			if _, err := conns["primary"].ExecContext(ctx, q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
		t.Cleanup(func() { mustExec(t, "DROP DATABASE shop") })
		catchUp(t, conns["primary"], conns["replica"])
		if got := oneValue(t, conns["replica"], "SELECT @@global.read_only"); got != "1" {
			t.Fatalf("read_only is %s on the replica", got)
		}
		before := map[string]string{}
		for name, c := range conns {
			if _, err := c.ExecContext(ctx, "USE shop"); err != nil {
				t.Fatal(err)
			}
			before[name] = dataState(t, c)
		}

		list := runnableOn(t)
		if len(list) < 250 {
			t.Errorf("%d statements to run, want 250 at least", len(list))
		}
		for _, r := range list {
			if st := packet.Classify([]byte(r.sql), flavourLex()); st.Route != packet.RouteReplica {
				t.Errorf("line %d: %v", r.line, st.Reason)
				continue
			}
			want, err := wholeResult(conns["primary"], r.sql)
			if err != nil {
				t.Errorf("line %d, on the primary: %q: %v", r.line, r.sql, err)
				continue
			}
			got, err := wholeResult(conns["replica"], r.sql)
			if err != nil {
				t.Errorf("line %d, on the replica: %q: %v", r.line, r.sql, err)
				continue
			}
			if r.same && got != want {
				t.Errorf("line %d: %q\n on the replica %s\n on the primary %s", r.line, r.sql, got, want)
			}
		}
		for name, c := range conns {
			if after := dataState(t, c); after != before[name] {
				t.Errorf("the %s has changed:\nbefore %s\n after %s", name, before[name], after)
			}
		}
	})
}

// No name before a '(' that the classifier takes for built in can be that of a
// stored function: servers look for one only if they do not know the name, and
// say so.
func TestFunctionsOfTheClassifierAreBuiltIn(t *testing.T) {
	b, err := os.ReadFile("../../../packet/testdata/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	onEveryFlavour(t, func(t *testing.T) {
		if bed.Flavour == "mariadb10.11" {
			return // the list is that of the newest
		}
		flavour := "mariadb"
		if bed.mysql() {
			flavour = "mysql"
		}
		// With a current database, so that a name without one can be a stored function's.
		c, err := openDB(t, bed.Primary.Addr, bed.Users.App, bed.Database, "").Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		n := 0
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			f := strings.Fields(line)
			words := " " + strings.Join(f[1:], " ") + " "
			if !strings.Contains(words, " "+flavour+" ") {
				continue
			}
			n++
			if notBuiltIn[flavour+" "+f[0]] {
				continue
			}
			calls := []string{f[0] + "(1)", f[0] + "(1, 1)"}
			if !strings.Contains(words, " adjacent ") {
				calls = append(calls, f[0]+" (1)")
			}
			for _, call := range calls {
				if _, err := wholeResult(c, "SELECT "+call); unknownFunction(err) {
					t.Errorf("%s: %v", call, err)
				}
			}
		}
		if n < 300 {
			t.Errorf("%d names, want 300 at least", n)
		}
		if _, err := wholeResult(c, "SELECT surely_not_built_in(1)"); !unknownFunction(err) {
			t.Errorf("a name that is not built in: %v", err)
		}
	})
}

func unknownFunction(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && (e.Number == 1305 || e.Number == 1128)
}

// notBuiltIn are taken for built in though the newest server has them not.
var notBuiltIn = map[string]bool{
	// The later versions of MySQL 9 leave them to a component, and a stored
	// function of such a name does what the component does.
	"mysql md5": true, "mysql sha": true, "mysql sha1": true,
	// Only a call with another number of arguments is not the built-in one.
	"mariadb point": true,
}

// catchUp waits until the replica has what the primary has committed.
func catchUp(t *testing.T, primary, replica *sql.Conn) {
	t.Helper()
	const seconds = 60
	query, want := "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', %d)", "0"
	at := "@@global.gtid_executed"
	if !bed.mysql() {
		query, at = "SELECT MASTER_GTID_WAIT('%s', %d)", "@@global.gtid_binlog_pos"
	}
	pos := oneValue(t, primary, "SELECT "+at)
	if got := oneValue(t, replica, fmt.Sprintf(query, pos, seconds)); got != want {
		t.Fatalf("the replica has not reached %s within %d s: %s", pos, seconds, got)
	}
}

// dataState is what a write, or a lock that is held, would change.
func dataState(t *testing.T, c *sql.Conn) string {
	t.Helper()
	gtid := "@@global.gtid_executed"
	if !bed.mysql() {
		gtid = "CONCAT_WS(' ', @@global.gtid_binlog_pos, @@global.gtid_current_pos)"
	}
	state := oneValue(t, c, "SELECT "+gtid)
	for _, table := range []string{"t", "u", "w", "p", "g"} {
		sum, err := wholeResult(c, "CHECKSUM TABLE shop."+table)
		if err != nil {
			t.Fatal(err)
		}
		state += " " + sum
	}
	trx, err := wholeResult(c, "SELECT trx_state, trx_tables_locked, trx_rows_locked, trx_rows_modified FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	return state + " " + trx
}

func oneValue(t *testing.T, c *sql.Conn, query string) (value string) {
	t.Helper()
	if err := c.QueryRowContext(context.Background(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// wholeResult is a result's column names and all of its rows.
func wholeResult(c *sql.Conn, query string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	out := fmt.Sprintf("%q", columns)
	values := make([]sql.RawBytes, len(columns))
	pointers := make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return "", err
		}
		out += fmt.Sprintf(" %q", values)
	}
	return out, rows.Err()
}
