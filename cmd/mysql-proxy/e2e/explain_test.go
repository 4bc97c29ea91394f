package e2e

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// oneRow is the one row of a statement of the console, by the names of its columns; a
// NULL is "".
func oneRow(t *testing.T, admin *sql.DB, statement string) row {
	t.Helper()
	rows, err := admin.Query(statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if !rows.Next() {
		t.Fatalf("%s: no row, %v", statement, rows.Err())
	}
	if err := rows.Scan(into...); err != nil {
		t.Fatal(err)
	}
	one := row{}
	for i, name := range columns {
		one[name] = values[i].String
	}
	return one
}

// Real servers do not change where a statement goes: each goes where EXPLAIN ROUTE has
// said for its session, and leaves the pins that it has said.
func TestExplainRouteAgreesWithWhatHappens(t *testing.T) { onEveryFlavour(t, testExplainRoute) }

func testExplainRoute(t *testing.T) {
	ctx := context.Background()
	direct, err := openDB(t, bed.Primary.Addr, bed.Users.App, "", "").Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	statements := corpusTables
	if !bed.mysql() {
		statements = append(statements[:len(statements):len(statements)], "CREATE SEQUENCE sq")
	}
	for _, q := range statements {
		if _, err := direct.ExecContext(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	t.Cleanup(func() { mustExec(t, "DROP DATABASE shop") })
	onReplica(t, "SELECT COUNT(*) FROM shop.g", 2)

	addr := enginetest.FreeAddr(t)
	p := splittingProxy(t, adminArgs(addr)...)
	eventually(t, 20*time.Second, "the admin port listens", func() bool { return listening(t, addr) })
	admin := openDB(t, addr, adminUser, "", "interpolateParams=true")
	c, err := openDB(t, p.addr, bed.Users.App, "shop", "").Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	me := oneRow(t, admin, "SHOW SESSIONS WHERE admin = 'no'")["id"]
	session := func() row { t.Helper(); return oneRow(t, admin, "SHOW SESSIONS WHERE id = "+me) }
	n := map[string]int{}
	check := func(q string) {
		t.Helper()
		before := session()
		x := oneRow(t, admin, "EXPLAIN ROUTE FOR SESSION "+me+" "+q)
		_, err := wholeResult(c, q)
		is := session()
		n[x["route"]]++
		among := func(word, list string) bool { return slices.Contains(strings.Split(list, ","), word) }
		if (is["last_route"] != x["route"] || is["last_reason"] != x["reason"]) && (is["last_route"] != "primary" || !among(is["last_reason"], x["unless"])) {
			t.Errorf("%q went to the %s because of %s, the explanation was %v (%v)", q, is["last_route"], is["last_reason"], x, err)
		}
		for _, pin := range strings.Split(is["pins"], ",") {
			if err == nil && pin != "" && !among(pin, before["pins"]) && !among(pin, x["pins"]) {
				t.Errorf("%q left the pins %s, before it there were %s and the explanation was %v", q, is["pins"], before["pins"], x)
			}
		}
	}
	check("SELECT 1")
	for _, r := range runnableOn(t) {
		check(r.sql)
	}
	for _, q := range []string{
		"INSERT INTO w VALUES (2)", "SELECT a FROM w", "BEGIN", "SELECT a FROM w", "UPDATE w SET a = a + 1", "ROLLBACK", "SELECT a FROM w", "SELECT a FROM nowhere", "SHOW WARNINGS", "SELECT a FROM w",
		"SELECT LAST_INSERT_ID()", "SELECT SQL_CALC_FOUND_ROWS a FROM w LIMIT 1", "SELECT FOUND_ROWS()", "SELECT a FROM w FOR UPDATE", "SELECT @x := 1", "SELECT @@server_id", "SELECT * FROM information_schema.tables LIMIT 1",
		"/* route=primary */ SELECT a FROM w", "/* route=replica */ SELECT @@version_comment", "SET autocommit = 0", "SELECT a FROM w", "COMMIT", "SET autocommit = 1", "SELECT a FROM w",
		"SET SESSION sort_buffer_size = 100000", "SELECT a FROM w", "CREATE TEMPORARY TABLE tt (a INT)", "SELECT a FROM tt", "SELECT a FROM w", "DROP TEMPORARY TABLE tt", "SELECT a FROM w",
		"SELECT GET_LOCK('explain', 1)", "SELECT a FROM w", "SELECT RELEASE_LOCK('explain')", "SELECT a FROM w", "LOCK TABLES w READ", "SELECT a FROM w", "UNLOCK TABLES", "SELECT a FROM w",
		"USE mysql", "SELECT COUNT(*) FROM user", "USE shop", "SELECT a FROM w", "SELECT f(1)", "SELECT a FROM w", "CALL pr()", "SELECT a FROM w", "XA START 'explain'", "XA END 'explain'", "SELECT a FROM w", "XA ROLLBACK 'explain'", "SELECT a FROM w",
	} {
		check(q)
	}
	if n["primary"] < 25 || n["replica"] < 100 {
		t.Errorf("of all statements were explained %v", n)
	}
}
