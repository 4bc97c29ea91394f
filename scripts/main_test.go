// Package scripts tests the Lua scripts of this folder: the built proxy runs
// each of them between the go-sql-driver and real servers, a primary with
// server_id 1 and replicas with 2 and 3.
package scripts

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
)

var (
	bed       *testbed
	proxyPath string
	binDir    string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The driver logs what tests do on purpose, such as losing connections.
	if err := mysql.SetLogger(log.New(io.Discard, "", 0)); err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "scripts-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "mysqlproxy/cmd/mysql-proxy", "mysqlproxy/cmd/testbed")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // what make build has compiled
	if out, err := cmd.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("go build: %w\n%s", err, out))
	}
	proxyPath, binDir = filepath.Join(dir, "mysql-proxy"), dir
	defer stopBeds()
	if bed, err = bedOf(flavours[0]); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "scripts:", err)
	return 1
}

// testbed is a running `testbed run --json --stdin`.
type testbed struct {
	Flavour  string
	Primary  server
	Replicas []server
	Users    struct{ App, Empty, Root user }

	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

type server struct {
	Name, Addr, Socket string
	ServerID           int `json:"server_id"`
}

type user struct{ Name, Password string }

func startTestbed(dir, flavour string) (*testbed, error) {
	b := &testbed{cmd: exec.Command(filepath.Join(dir, "testbed"), "run", "--json", "--stdin", "--replicas=2", "--dir="+dir, "--flavour="+flavour)}
	b.cmd.Stderr = os.Stderr
	var err error
	if b.stdin, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	b.lines = bufio.NewScanner(out)
	b.lines.Buffer(nil, 1<<20)
	if !b.lines.Scan() {
		return b, fmt.Errorf("the testbed did not start: %v", b.cmd.Wait())
	}
	return b, json.Unmarshal(b.lines.Bytes(), b)
}

func (b *testbed) stop() {
	b.stdin.Close()
	_ = b.cmd.Wait() // it says on stderr what went wrong
}

// control runs one command, such as "kill replica1".
func (b *testbed) control(t *testing.T, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(b.stdin, command); err != nil {
		t.Fatalf("testbed, %s: %v", command, err)
	}
	if !b.lines.Scan() {
		t.Fatalf("testbed, %s: it has ended", command)
	}
	var r struct {
		OK    bool
		Error string
	}
	if err := json.Unmarshal(b.lines.Bytes(), &r); err != nil || !r.OK {
		t.Fatalf("testbed, %s: %v %s", command, err, r.Error)
	}
}

// prepare makes what the tests use and waits for the replicas to have it.
func (b *testbed) prepare() error {
	db, err := sql.Open("mysql", dsn(b.Primary.Addr, b.Users.App, ""))
	if err != nil {
		return err
	}
	defer db.Close()
	statements := []string{
		"CREATE DATABASE other",
		"GRANT ALL ON other.* TO '" + b.Users.Empty.Name + "'@'%'",
		"CREATE TABLE test.fixed (id INT PRIMARY KEY, word VARCHAR(20))",
		"INSERT INTO test.fixed SELECT seq, CONCAT('word ', seq) FROM test.seq_1_to_100",
		"CREATE TABLE test.own (id INT AUTO_INCREMENT PRIMARY KEY, client INT, v INT, KEY (client))",
		"CREATE TABLE test.contacts (id INT PRIMARY KEY, name VARCHAR(20), phone VARCHAR(20), email VARCHAR(40))",
		"INSERT INTO test.contacts VALUES (1, 'ann', '0301234567', 'ann@example.com'), (2, 'bob', NULL, NULL)",
		"CREATE TABLE other.place (id INT PRIMARY KEY)",
		"CREATE FUNCTION test.f() RETURNS INT NO SQL RETURN 7",
		"CREATE PROCEDURE test.p() SET @called = 5",
	}
	if !b.mysql() {
		statements = append(statements, "CREATE SEQUENCE test.seq")
	}
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return b.caughtUp(db)
}

// caughtUp waits for the replicas to have all that the primary has.
func (b *testbed) caughtUp(primary *sql.DB) error {
	position, wait := "SELECT @@gtid_binlog_pos", "SELECT MASTER_GTID_WAIT('%s', 60)"
	if b.mysql() {
		position, wait = "SELECT REPLACE(@@global.gtid_executed, '\n', '')", "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 60)"
	}
	var at string
	if err := primary.QueryRow(position).Scan(&at); err != nil {
		return err
	}
	for _, s := range b.Replicas {
		db, err := sql.Open("mysql", dsn(s.Addr, b.Users.App, ""))
		if err != nil {
			return err
		}
		var r int
		err = db.QueryRow(fmt.Sprintf(wait, at)).Scan(&r)
		db.Close()
		if err != nil || r != 0 {
			return errors.Join(err, fmt.Errorf("%s does not reach %s: %d", s.Name, at, r))
		}
	}
	return nil
}

func (b *testbed) replicaAddrs() (list []string) {
	for _, r := range b.Replicas {
		list = append(list, r.Addr)
	}
	return list
}

// dsn is for connections that all have the same capabilities and collation, so
// that one may have what another one left.
func dsn(addr string, u user, dbname string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=2m&readTimeout=2m&multiStatements=true&interpolateParams=true", u.Name, u.Password, addr, dbname)
}

// session is one connection.
type session struct {
	t  *testing.T
	db *sql.DB
	*sql.Conn
}

// connect opens a session, which is closed at the test's end if not before.
func connect(t *testing.T, addr string, u user, dbname string) *session {
	t.Helper()
	s, err := tryConnect(t, addr, u, dbname)
	if err != nil {
		t.Fatalf("connect as %s: %v", u.Name, err)
	}
	return s
}

func tryConnect(t *testing.T, addr string, u user, dbname string) (*session, error) {
	return open(t, dsn(addr, u, dbname))
}

// connectRoot opens a session of root, which may write to replicas.
func connectRoot(t *testing.T, on server) *session {
	t.Helper()
	s, err := open(t, bed.Users.Root.Name+"@unix("+on.Socket+")/test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, dsn string) (*session, error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	c, err := db.Conn(context.Background())
	if err != nil {
		db.Close()
		return nil, err
	}
	s := &session{t: t, db: db, Conn: c}
	t.Cleanup(s.close)
	return s, nil
}

func (s *session) close() {
	s.Conn.Close()
	s.db.Close()
}

// exec runs statements.
func (s *session) exec(statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		if _, err := s.ExecContext(context.Background(), q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

// value is the first column of the first row that a query gives, as text;
// NULL is "NULL".
func (s *session) value(query string) string {
	s.t.Helper()
	v, err := s.tryValue(query)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return v
}

func (s *session) tryValue(query string) (string, error) {
	rows, err := s.all(query)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 || len(rows[0]) == 0 {
		return "", sql.ErrNoRows
	}
	return rows[0][0], nil
}

// all is all that a query gives, as text.
func (s *session) all(query string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := s.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out [][]string
	for rows.Next() {
		cells := make([]sql.NullString, len(cols))
		to := make([]any, len(cols))
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		line := make([]string, len(cols))
		for i, c := range cells {
			line[i] = "NULL"
			if c.Valid {
				line[i] = c.String
			}
		}
		out = append(out, line)
	}
	for rows.NextResultSet() { // the rest of a multi-statement
	}
	return out, rows.Err()
}
