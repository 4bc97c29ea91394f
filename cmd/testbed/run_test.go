package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mysqlproxy/engine/enginetest"
)

// connect gives a handle for a user; network is tcp or unix.
func connect(t *testing.T, network, addr string, u User) *sql.DB {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = u.Name, u.Password, network, addr
	cfg.Timeout, cfg.ReadTimeout = 2*time.Minute, 2*time.Minute
	cfg.Logger = quiet{}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(conn)
	t.Cleanup(func() { db.Close() })
	return db
}

// one is the single value that a query gives.
func one(t *testing.T, db *sql.DB, query string) (value string) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// waitRow waits until a server has a note with that text.
func waitRow(t *testing.T, s ServerState, root User, body string) {
	t.Helper()
	db := connect(t, "unix", s.Socket, root)
	eventually(t, fmt.Sprintf("%s: the row %q arrives", s.Name, body), func() bool {
		return one(t, db, "SELECT COUNT(*) FROM test.notes WHERE body = '"+body+"'") == "1"
	})
}

// errorNumber is the server's number for an error, 0 if it is not the server's.
func errorNumber(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// flavourCases are what the tests know of the flavours.
var flavourCases = []struct {
	name    string
	version string // begins so
	plugins map[string]User
}{
	{"mariadb10.11", "10.11.", map[string]User{
		"app": {Plugin: native}, "empty": {Plugin: native}, "ed": {Plugin: "ed25519"}, "native": {Plugin: native}}},
	{"mariadb11.8", "11.8.", map[string]User{
		"app": {Plugin: native}, "empty": {Plugin: native}, "ed": {Plugin: "ed25519"}, "native": {Plugin: native},
		"parsec": {Plugin: "parsec"}, "sha2": {Plugin: sha2}, "dialog": {Plugin: "two_questions"}}},
	{"mysql9", "9.", map[string]User{
		"app": {Plugin: sha2}, "empty": {Plugin: sha2}, "sha2": {Plugin: sha2}, "sha256": {Plugin: "sha256_password"}}},
}

const (
	native = "mysql_native_password"
	sha2   = "caching_sha2_password"
)

func TestRun(t *testing.T) {
	for i, f := range flavourCases {
		if flavours[i].name != f.name {
			t.Fatalf("flavour %d is %s, want %s", i, flavours[i].name, f.name)
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			testRun(t, f.name, f.version, f.plugins)
		})
	}
}

func testRun(t *testing.T, flavour, version string, plugins map[string]User) {
	r := runTestbed(t, "--flavour="+flavour)
	all := append([]ServerState{r.Primary}, r.Replicas...)
	if len(all) != 3 {
		t.Fatalf("%d servers, want 3", len(all))
	}
	if r.Flavour != flavour || !strings.HasPrefix(r.Version, version) {
		t.Errorf("flavour %s, version %s; want %s, %s...", r.Flavour, r.Version, flavour, version)
	}
	app := map[string]*sql.DB{}
	for _, s := range all {
		app[s.Name] = connect(t, "tcp", s.Addr, r.Users.App)
	}

	t.Run("every server is as described", func(t *testing.T) {
		for i, s := range all {
			db := app[s.Name]
			if l, err := enginetest.LeaseFrom(s.Port, 1); err == nil {
				l.Release()
				t.Errorf("%s: port %d is not leased", s.Name, s.Port)
			}
			readOnly := 1
			if i == 0 {
				readOnly = 0
			}
			want := fmt.Sprintf("%d %d %s %d", s.ServerID, s.Port, s.Socket, readOnly)
			if got := one(t, db, "SELECT CONCAT_WS(' ', @@server_id, @@port, @@socket, @@read_only + 0)"); got != want {
				t.Errorf("%s says %q, want %q as described", s.Name, got, want)
			}
			if got := one(t, db, "SELECT CONCAT_WS(' ', @@max_allowed_packet, @@local_infile + 0, @@max_connections)"); got != "1073741824 1 12000" {
				t.Errorf("%s: packet size, local_infile, connections: %s", s.Name, got)
			}
			if got := one(t, db, "SELECT VERSION()"); got != r.Version {
				t.Errorf("%s: version %q, want %q", s.Name, got, r.Version)
			}
		}
	})
	t.Run("every server has the same data", func(t *testing.T) {
		for _, table := range []string{"items", "types", "counters"} {
			sum := func(s ServerState) string {
				var name, sum string
				if err := app[s.Name].QueryRow("CHECKSUM TABLE test."+table).Scan(&name, &sum); err != nil {
					t.Fatal(err)
				}
				return sum
			}
			for _, s := range r.Replicas {
				if got, want := sum(s), sum(r.Primary); got != want {
					t.Errorf("%s: checksum of %s %s, want the primary's %s", s.Name, table, got, want)
				}
			}
		}
		if got := one(t, app["primary"], "SELECT CONCAT((SELECT COUNT(*) FROM test.items), ' ', (SELECT COUNT(*) FROM test.types))"); got != "5000 203" {
			t.Errorf("rows of items and types: %s, want 5000 203", got)
		}
	})
	t.Run("a write on the primary arrives at the replicas", func(t *testing.T) {
		if _, err := app["primary"].Exec("INSERT INTO test.notes (body) VALUES ('hello')"); err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Replicas {
			waitRow(t, s, r.Users.Root, "hello")
		}
	})
	t.Run("a replica refuses the app user's writes", func(t *testing.T) {
		const readOnly, accessDenied = 1290, 1227
		_, err := app["replica1"].Exec("INSERT INTO test.notes (body) VALUES ('wrong')")
		if got := errorNumber(err); got != readOnly {
			t.Errorf("insert: %v, want error %d", err, readOnly)
		}
		if flavour == "mysql9" {
			return // the privilege for it is the one for every variable
		}
		_, err = app["replica1"].Exec("SET GLOBAL read_only = 0")
		if got := errorNumber(err); got != accessDenied {
			t.Errorf("SET GLOBAL read_only: %v, want error %d", err, accessDenied)
		}
	})
	t.Run("accounts", func(t *testing.T) { testAccounts(t, r, all, plugins) })
	t.Run("TLS", func(t *testing.T) { testTLS(t, r, all) })
	t.Run("control", func(t *testing.T) { testControl(t, r) })

	pids := r.pids()
	for _, s := range all {
		pids = append(pids, r.do("state "+s.Name).PID) // some are new
	}
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("after the end of its input: %v\n%s", err, r.err)
	}
	checkNothingLeft(t, filepath.Dir(r.Dir), pids...)
}

// testAccounts checks every account's plugin at the servers, and logs in with
// those that the driver can.
func testAccounts(t *testing.T, r *running, all []ServerState, plugins map[string]User) {
	root := connect(t, "unix", r.Primary.Socket, r.Users.Root)
	for _, a := range r.Users.accounts() {
		query := "SELECT plugin FROM mysql.user WHERE host = '%' AND user = '" + a.user.Name + "'"
		if got := one(t, root, query); got != a.user.Plugin {
			t.Errorf("%s has the plugin %s, want %s as described", a.user.Name, got, a.user.Plugin)
		}
		if want, ok := plugins[a.user.Name]; ok && want.Plugin != a.user.Plugin {
			t.Errorf("%s: plugin %s, want %s", a.user.Name, a.user.Plugin, want.Plugin)
		}
		delete(plugins, a.user.Name)
	}
	if len(plugins) > 0 {
		t.Errorf("accounts are missing: %v; `make deps` installs what they need", plugins)
	}
	const denied, locked, lockedMySQL, expired = 1045, 4151, 3118, 1820
	lock := uint16(locked)
	if r.Flavour == "mysql9" {
		lock = lockedMySQL
	}
	for _, c := range []struct {
		what, net string
		user      User
		want      uint16
	}{
		{"the app user", "tcp", r.Users.App, 0},
		{"empty password", "tcp", r.Users.Empty, 0},
		{"ed25519", "tcp", r.Users.Ed25519, 0},
		{"native", "tcp", r.Users.Native, 0},
		{"caching_sha2", "tcp", r.Users.SHA2, 0},
		{"sha256", "tcp", r.Users.SHA256, 0},
		{"replication", "tcp", r.Users.Replication, 0},
		{"root over the socket", "unix", r.Users.Root, 0},
		{"root over TCP", "tcp", r.Users.Root, denied},
		{"anonymous", "tcp", User{Plugin: "any"}, denied},
		{"wrong password", "tcp", User{Name: r.Users.App.Name, Password: "x", Plugin: "any"}, denied},
		{"without the TLS it must use", "tcp", r.Users.TLS, denied},
		{"locked", "tcp", r.Users.Locked, lock},
	} {
		if c.user.Plugin == "" {
			continue // the flavour has no such plugin
		}
		for _, s := range all {
			addr := map[string]string{"tcp": s.Addr, "unix": s.Socket}[c.net]
			err := enginetest.DriverLogin(connect(t, c.net, addr, c.user).Ping)
			if c.want == denied && errors.Is(err, mysql.ErrUnknownPlugin) {
				continue // an unknown user is asked by any plugin, not to be told from a known one
			}
			if errorNumber(err) != c.want || (c.want == 0 && err != nil) {
				t.Errorf("%s, %s: %v, want error %d", s.Name, c.what, err, c.want)
			}
		}
	}
	// A driver that cannot offer a new password is refused or left with
	// statements that fail.
	db := connect(t, "tcp", r.Primary.Addr, r.Users.Expired)
	if _, err := db.Exec("DO 1"); errorNumber(err) != expired && errorNumber(err) != 1862 {
		t.Errorf("an expired password: %v, want error %d", err, expired)
	}
}

// testTLS logs in over TLS, with a verified certificate.
func testTLS(t *testing.T, r *running, all []ServerState) {
	if r.TLS == nil {
		t.Fatal("no TLS files are described")
	}
	pem, err := os.ReadFile(r.TLS.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("the authority's certificate is none")
	}
	own, err := tls.LoadX509KeyPair(r.TLS.ClientCert, r.TLS.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, name := range []string{"127.0.0.1", "localhost"} {
			cfg := mysql.NewConfig()
			cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = r.Users.TLS.Name, r.Users.TLS.Password, "tcp", s.Addr
			cfg.TLS = &tls.Config{RootCAs: pool, ServerName: name, Certificates: []tls.Certificate{own}}
			conn, err := mysql.NewConnector(cfg)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(conn)
			var variable, cipher string
			if err := db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(&variable, &cipher); err != nil || cipher == "" {
				t.Errorf("%s as %s: %v, cipher %q", s.Name, name, err, cipher)
			}
			db.Close()
		}
	}
}

func TestNoTLS(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			testNoTLS(t, f.name)
		})
	}
}

func testNoTLS(t *testing.T, flavour string) {
	r := runTestbed(t, "--flavour="+flavour, "--replicas=0", "--no-tls")
	if r.TLS != nil {
		t.Errorf("TLS files are described: %+v", r.TLS)
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = r.Users.App.Name, r.Users.App.Password, "tcp", r.Primary.Addr
	cfg.TLSConfig, cfg.Logger = "skip-verify", quiet{}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(conn)
	defer db.Close()
	if err := db.Ping(); !errors.Is(err, mysql.ErrNoTLS) {
		t.Errorf("with TLS: %v, want %v", err, mysql.ErrNoTLS)
	}
	if err := connect(t, "tcp", r.Primary.Addr, r.Users.App).Ping(); err != nil {
		t.Errorf("without TLS: %v", err)
	}
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, r.err)
	}
}

// The script that fetches servers and the program that looks for them must
// agree on the folder.
func TestLayoutIsTheScripts(t *testing.T) {
	script, err := os.ReadFile("fetch.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("\nlayout=%d\n", layout), "/mysql-proxy-testbed\n"} {
		if !strings.Contains(string(script), want) {
			t.Errorf("fetch.sh has no %q", want)
		}
	}
	for _, f := range flavours {
		if f.fetched != strings.Contains(string(script), "\n\t"+f.name+")\n") {
			t.Errorf("%s is fetched: %t, which is not what fetch.sh says", f.name, f.fetched)
		}
	}
}

func testControl(t *testing.T, r *running) {
	primary := func() *sql.DB { return connect(t, "tcp", r.Primary.Addr, r.Users.App) }
	for _, end := range []string{"kill", "stop"} {
		before := r.do("state primary")
		if _, err := primary().Exec("INSERT INTO test.notes (body) VALUES ('before " + end + "')"); err != nil {
			t.Fatal(err)
		}
		if got := r.do(end + " primary"); got.PID != 0 {
			t.Errorf("%s: pid %d, want 0", end, got.PID)
		}
		waitState(t, before.PID, "Z")
		if _, err := net.Dial("tcp", r.Primary.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connect after %s: %v, want %v", end, err, syscall.ECONNREFUSED)
		}
		got := r.do("start primary")
		if got.PID == 0 || got.PID == before.PID || got.Addr != before.Addr {
			t.Errorf("start: %+v, before it was %+v", got, before)
		}
		if n := one(t, primary(), "SELECT COUNT(*) FROM test.notes WHERE body = 'before "+end+"'"); n != "1" {
			t.Errorf("after %s: %s rows, want the 1 that was committed", end, n)
		}
		if _, err := primary().Exec("INSERT INTO test.notes (body) VALUES ('after " + end + "')"); err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Replicas {
			waitRow(t, s, r.Users.Root, "after "+end)
		}
	}

	r.do("pause replica1")
	waitState(t, r.Replicas[0].PID, "T")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := connect(t, "tcp", r.Replicas[0].Addr, r.Users.App).PingContext(ctx); err == nil {
		t.Error("a paused server answered")
	}
	r.do("resume replica1")
	if err := connect(t, "tcp", r.Replicas[0].Addr, r.Users.App).Ping(); err != nil {
		t.Errorf("resumed: %v", err)
	}
	r.do("pause replica2")
	if got := r.do("stop replica2"); got.PID != 0 {
		t.Errorf("stop of a paused server: pid %d, want 0", got.PID)
	}
	waitState(t, r.Replicas[1].PID, "Z")

	for command, want := range map[string]string{
		"stop replica2":  "does not run",
		"pause replica2": "does not run",
		"start replica1": "runs already",
		"kill replica3":  "no server is named",
		"kill":           "two words",
		"shoot primary":  "unknown command",
	} {
		if reply := r.say(command); reply.OK || !strings.Contains(reply.Error, want) {
			t.Errorf("%s: %+v, want an error with %q", command, reply, want)
		}
	}
	r.do("start replica2")
}

func TestRunEndsBySignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		r := runTestbed(t, "--replicas=0")
		if err := r.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", sig, err, r.err)
		}
		checkNothingLeft(t, filepath.Dir(r.Dir), r.pids()...)
	}
}

func TestServersDieWithTestbed(t *testing.T) {
	r := runTestbed(t, "--replicas=1")
	r.do("kill primary")
	r.Primary = r.do("start primary") // servers that were started again die too
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range r.pids() {
		waitState(t, pid, "Z")
	}
}

func TestParentThatStopsReading(t *testing.T) {
	cmd := program("testbed", "run", "--json", "--replicas=0", "--dir="+tempDir(t))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1", err)
	}
	checkNothingLeft(t, strings.TrimPrefix(cmd.Args[len(cmd.Args)-1], "--dir="))
}

func TestRunFails(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		below string // folder below the temporary one
		want  string
	}{
		"an option that the server does not know": {
			args: []string{"--option", "no-such-option=1"}, want: "unknown variable 'no-such-option=1'"},
		"no such flavour": {
			args: []string{"--flavour", "oracle"}, want: "there are mariadb10.11, mariadb11.8, mysql9"},
		"no such server program": {
			args: []string{"--server", "/nonexistent"}, want: "/nonexistent"},
		"a folder too deep for sockets": {
			below: strings.Repeat("deep/", 20), want: "--dir is too long"},
		"too many replicas": {
			args: []string{"--replicas", "1000"}, want: "--replicas must be"},
		"an argument": {
			args: []string{"more"}, want: `unexpected argument "more"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			in := filepath.Join(dir, c.below)
			if err := os.MkdirAll(in, 0o700); err != nil {
				t.Fatal(err)
			}
			out, err := program("testbed", append([]string{"run", "--dir", in}, c.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v, want an error with %q; output:\n%s", err, c.want, out)
			}
			checkNothingLeft(t, in)
		})
	}
}

func TestOptionsReachEveryServer(t *testing.T) {
	r := runTestbed(t, "--replicas=1", "--option", "wait_timeout=77", "--option", "max_connections=50")
	for _, s := range append(r.Replicas, r.Primary) {
		db := connect(t, "tcp", s.Addr, r.Users.App)
		if got := one(t, db, "SELECT CONCAT(@@global.wait_timeout, ' ', @@max_connections)"); got != "77 50" {
			t.Errorf("%s: %s, want 77 50", s.Name, got)
		}
	}
}
