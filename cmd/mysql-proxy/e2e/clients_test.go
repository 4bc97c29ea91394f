package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mysqlproxy/engine/enginetest"
)

// clients are other people's programs and connectors, each with a script in
// the folder clients.
var clients = []struct {
	name    string
	command []string
	bin     string            // the flavour whose fetched programs come first in PATH
	not     map[string]string // flavours that the client itself cannot talk to, and why
}{
	{name: "mariadb command line client", command: []string{"sh", "cli.sh", "mariadb"}},
	{name: "mariadb 11.8 command line client", command: []string{"sh", "cli.sh", "mariadb"}, bin: "mariadb11.8"},
	{name: "mysql 9 command line client", command: []string{"sh", "cli.sh", "mysql"}, bin: "mysql9"},
	{name: "mariadb-dump and restore", command: []string{"sh", "mariadb_dump.sh"}},
	{name: "mariadb-dump 11.8 and restore", command: []string{"sh", "mariadb_dump.sh"}, bin: "mariadb11.8"},
	// The system's Python: the one that Debian's packages are for.
	{name: "PyMySQL", command: []string{"/usr/bin/python3", "pymysql_client.py"}},
	{name: "mysqlclient", command: []string{"/usr/bin/python3", "mysqlclient_client.py"}},
	{name: "PHP mysqli", command: []string{"php", "mysqli_client.php"}},
	{name: "PHP PDO", command: []string{"php", "pdo_client.php"}},
	{name: "DBD::mysql", command: []string{"perl", "dbd_mysql_client.pl"}},
	{name: "MariaDB Connector/J", command: java("ConnectorJ")},
	{name: "node mysql2", command: []string{"node", "node/mysql2_client.js"}},
	{name: "node mariadb", command: []string{"node", "node/mariadb_client.js"}},
	{name: "sysbench", command: []string{"sh", "sysbench.sh"}},
}

// java runs a class of clients with a JVM that is quick to start.
func java(class string) []string {
	return []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", class}
}

// clientEnv is what the scripts need of the environment besides the server, path
// being first in PATH if it is not empty.
func clientEnv(t *testing.T, bin string) []string {
	t.Helper()
	path := os.Getenv("PATH")
	if bin != "" {
		path = fetchedBin(t, bin) + ":" + path
	}
	classes, err := javaClasses()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"NODE_PATH=" + nodeModules(t), "PATH=" + path, "CLASSPATH=" + classes + ":" + connectorJ}
}

const connectorJ = "/usr/share/java/mariadb-java-client.jar"

// javaClasses is the folder with the classes of clients.
var javaClasses = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(binDir, "classes")
	out, err := exec.Command("javac", "-encoding", "UTF-8", "-d", dir, "clients/ConnectorJ.java", "clients/ConsoleJ.java").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("javac: %w\n%s", err, out)
	}
	return dir, err
})

func TestOtherPeoplesClients(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		p := startProxy(t, []string{bed.Primary.Addr})
		for _, c := range clients {
			if c.not[bed.Flavour] != "" {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				env := clientEnv(t, c.bin)
				err := runClient(t, p.addr, ownDB(t), c.command, env...)
				if err == nil {
					return
				}
				t.Error(err)
				if err := runClient(t, bed.Primary.Addr, ownDB(t), c.command, env...); err != nil {
					t.Errorf("the fault is not the proxy's, for directly: %v", err)
				}
			})
		}
	})
}

// fetchedBin is the folder with the programs of a flavour that cmd/testbed/fetch.sh
// has fetched.
func fetchedBin(t *testing.T, flavour string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "mysql-proxy-testbed", flavour+"-*", "bin"))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s is not there: run `make deps`", flavour)
	}
	return found[len(found)-1]
}

// ownDB is clientDB with a name that nobody else has, for the time of a test.
func ownDB(t *testing.T) (name string) {
	t.Helper()
	name = fmt.Sprintf("e2e_own_%d", ownDBs.Add(1))
	clientDB(t, name)
	t.Cleanup(func() { mustExec(t, "DROP DATABASE "+name) })
	return name
}

var ownDBs atomic.Int32

// clientDB makes an empty database with the procedure two.
func clientDB(t *testing.T, name string) {
	t.Helper()
	mustExec(t, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4",
		"CREATE PROCEDURE "+name+".two(IN a INT) BEGIN SELECT a; SELECT a + 1, 'two'; END")
	mustExec(t, sequences(name, 5, 50, 20000)...)
}

// sequences are statements that give a database on MySQL what MariaDB's engine
// of sequences gives to each: seq_1_to_n with the numbers up to n.
func sequences(db string, upTo ...int) (statements []string) {
	if !bed.mysql() {
		return nil
	}
	for _, n := range upTo {
		statements = append(statements, fmt.Sprintf("CREATE VIEW %s.seq_1_to_%d AS SELECT seq FROM sequences.numbers WHERE seq <= %d", db, n, n))
	}
	return statements
}

// runClient runs one of clients. The error has all that it printed.
func runClient(t *testing.T, addr, db string, command []string, env ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = "clients"
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "DB_HOST="+host, "DB_PORT="+port, "DB_USER="+bed.Users.App.Name,
		"DB_PASSWORD="+bed.Users.App.Password, "DB_NAME="+db, "DB_TMP="+t.TempDir(), "LC_ALL=C.UTF-8")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.New("it hangs")
	}
	if text := strings.TrimSpace(string(out)); err != nil || text != "OK" && !strings.HasSuffix(text, "\nOK") {
		return fmt.Errorf("%s in %s: %v\n%s", strings.Join(command, " "), db, err, out)
	}
	return nil
}

// nodeModules is the folder with the Node packages that clients/node pins. They
// are fetched once, into the source tree's .cache.
func nodeModules(t *testing.T) string {
	t.Helper()
	fetching.Lock()
	defer fetching.Unlock()
	dir, err := filepath.Abs("../../../.cache/e2e-node")
	if err != nil {
		t.Fatal(err)
	}
	same := true
	for _, f := range []string{"package.json", "package-lock.json"} {
		want, err := os.ReadFile(filepath.Join("clients/node", f))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, f)); err != nil || string(got) != string(want) {
			same = false
		}
	}
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, ".package-lock.json")); err == nil && same { // npm writes it last
		return modules
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join("clients/node", f))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return modules
}

var fetching sync.Mutex

func TestGoSQLDriver(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		p := startProxy(t, []string{bed.Primary.Addr})
		for _, way := range []struct{ name, addr string }{{"direct", bed.Primary.Addr}, {"proxied", p.addr}} {
			for _, params := range []string{"", "interpolateParams=true", "compress=true", "clientFoundRows=true"} {
				t.Run(way.name+" "+params, func(t *testing.T) {
					db := openDB(t, way.addr, bed.Users.App, ownDB(t), "multiStatements=true&parseTime=true&"+params)
					goDriver(t, db)
				})
			}
			for _, u := range []user{bed.Users.Ed25519, bed.Users.Native, bed.Users.SHA2, bed.Users.SHA256, bed.Users.Empty} {
				if u.Name == "" {
					continue // the flavour has no such plugin
				}
				t.Run(way.name+" as "+u.Name, func(t *testing.T) {
					db := openDB(t, way.addr, u, bed.Database, "")
					var name string
					err := enginetest.DriverLogin(func() error { return db.QueryRow("SELECT CURRENT_USER()").Scan(&name) })
					if err != nil || name != u.Name+"@%" {
						t.Errorf("CURRENT_USER() is %q, %v", name, err)
					}
				})
			}
		}
	})
}

func goDriver(t *testing.T, db *sql.DB) {
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Exec(q, args...); err != nil {
			t.Fatalf("%.60s: %v", q, err)
		}
	}
	exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGBLOB)")
	when := time.Date(2026, 2, 28, 23, 59, 59, 123456000, time.UTC)
	big := strings.Repeat("\x00\xff'\\", 1<<18)
	exec("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)", "Grüße 🐬", when, "-12345.67890", big)
	exec("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)", nil, nil, nil, nil)

	stmt, err := db.Prepare("SELECT s, d, n, b FROM t WHERE id = ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	var s, n, b sql.NullString
	var d sql.NullTime
	if err := stmt.QueryRow(1).Scan(&s, &d, &n, &b); err != nil || s.String != "Grüße 🐬" || !d.Time.Equal(when) || n.String != "-12345.67890" || b.String != big {
		t.Errorf("row 1: %v %q %v %q, %d bytes", err, s.String, d.Time, n.String, len(b.String))
	}
	if err := stmt.QueryRow(2).Scan(&s, &d, &n, &b); err != nil || s.Valid || d.Valid || n.Valid || b.Valid {
		t.Errorf("row 2: %v, want NULLs", err)
	}

	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t (s) VALUES ('gone')"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	var count int
	if err := db.QueryRow("SELECT COUNT(*) FROM t").Scan(&count); err != nil || count != 2 {
		t.Errorf("%d rows after the rollback, %v; want 2", count, err)
	}

	rows, err := db.Query("SELECT 1; CALL two(5); SELECT 'x'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for more := true; more; more = rows.NextResultSet() {
		cols, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			vals := make([]any, len(cols))
			for i := range vals {
				vals[i] = new(sql.RawBytes)
			}
			if err := rows.Scan(vals...); err != nil {
				t.Fatal(err)
			}
			got = append(got, string(*vals[0].(*sql.RawBytes)))
		}
	}
	if rows.Err() != nil || strings.Join(got, " ") != "1 5 6 x" {
		t.Errorf("results %q, %v; want 1 5 6 x", got, rows.Err())
	}
	for q, code := range map[string]uint16{"SELECT * FROM missing": 1146, "INSERT INTO t (id) VALUES (1)": 1062, "NONSENSE": 1064} {
		_, err := db.Exec(q)
		if e := (*mysql.MySQLError)(nil); !errors.As(err, &e) || e.Number != code {
			t.Errorf("%s: %v, want error %d", q, err, code)
		}
	}
}
