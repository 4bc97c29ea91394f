// Package e2e runs the built mysql-proxy between real servers and other
// people's clients. Everything is tried on a direct connection too, so that a
// failure on the way through the proxy is the proxy's.
//
// Environment:
//
//	E2E_RACE=0        build the proxy without the race detector
//	E2E_THROUGH=relay a plain TCP relay in place of the proxy: tests the tests
//	E2E_TRACE=1       show every conversation of the corpus
//	E2E_LONG=1        longer replication run, 100,000 broken connects, all with every flavour
//	E2E_FLAVOUR=NAME  all tests with servers of this flavour only
//	E2E_MODE=NAME     the differential test plays in this mode of the proxy only
//	E2E_SEED=N        the differential test plays the script of this seed only
//	E2E_PLAY=1m       the differential test plays new seeds for so long in each mode
//	E2E_DIFFERENCES=N the differential test goes on up to so many differences
//	E2E_SCRIPT=FILE   the differential test plays the script in this file only
package e2e

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
)

var (
	bed       *testbed
	raceProxy string // path of the binary, with the race detector unless E2E_RACE=0
	binDir    string
	long      = os.Getenv("E2E_LONG") == "1"
	relayOnly = os.Getenv("E2E_THROUGH") == "relay"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// A child keeps the soft limit that Go raises for itself only as far as the
	// hard limit goes; 10,000 sessions need more.
	raiseFileLimit()
	// The driver logs what tests do on purpose, such as losing connections.
	if err := mysql.SetLogger(log.New(io.Discard, "", 0)); err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	binDir = dir

	var wg sync.WaitGroup
	var buildErr error
	wg.Go(func() {
		if relayOnly {
			return
		}
		raceProxy = filepath.Join(dir, "mysql-proxy")
		buildErr = build(raceProxy, "mysqlproxy/cmd/mysql-proxy", os.Getenv("E2E_RACE") != "0")
	})
	defer stopBeds()
	if err = build(filepath.Join(dir, "testbed"), "mysqlproxy/cmd/testbed", false); err == nil {
		bed, err = bedOf(flavours[0].name)
	}
	wg.Wait()
	if err = errors.Join(err, buildErr); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// build compiles with the race detector, or else as make build does, which then has
// compiled most of it.
func build(out, pkg string, race bool) error {
	args, env := []string{"build", "-trimpath", "-o", out, pkg}, append(os.Environ(), "CGO_ENABLED=0")
	if race {
		args, env = []string{"build", "-race", "-o", out, pkg}, os.Environ()
	}
	cmd := exec.Command("go", args...)
	cmd.Env = env
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, b)
	}
	return nil
}

// plainProxy builds the proxy without the race detector, for tests that
// measure memory and processor time.
var plainProxy = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binDir, "mysql-proxy-plain")
	return path, build(path, "mysqlproxy/cmd/mysql-proxy", false)
})

// raiseFileLimit raises this process's limit of open files, which children
// inherit, as far as it may.
func raiseFileLimit() {
	const wanted = 65536
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return
	}
	l.Cur, l.Max = max(l.Cur, wanted), max(l.Max, wanted)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) != nil { // the hard limit is root's to raise
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

// testbed is a running `testbed run --json --stdin`: the servers of all tests.
type testbed struct {
	Flavour  string
	Database string
	Primary  server
	Replicas []server
	Users    struct {
		App, Empty, Ed25519, Replication, Root user
		Native, SHA2, SHA256, Parsec, Dialog   user
		TLS, Locked, Expired                   user
	}
	TLS struct {
		CA         string
		ClientCert string `json:"client_cert"`
		ClientKey  string `json:"client_key"`
	}

	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	mu    sync.Mutex
	admin *sql.DB // see adminDB
}

type server struct {
	Name, Host, Addr, Socket string
	Port, PID                int
	DataDir                  string `json:"data_dir"`
	Log                      string
}

type user struct{ Name, Password, Plugin string }

// startsTestbed starts servers for one test by the program in dir.
func startsTestbed(t *testing.T, dir string, args ...string) *testbed {
	t.Helper()
	own, err := startTestbed(dir, args...)
	if own != nil {
		t.Cleanup(own.stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// takePlace has own be bed until the test ends.
func takePlace(t *testing.T, own *testbed) {
	usual := bed
	t.Cleanup(func() { bed = usual })
	bed = own
}

// ownTestbed starts servers for one test, which may kill them. They take the place
// of bed until the test ends.
func ownTestbed(t *testing.T, args ...string) {
	t.Helper()
	takePlace(t, startsTestbed(t, binDir, args...))
}

// own are the servers of tests that have their own and run beside others, by the
// tests' names.
var own sync.Map

// ownServers starts servers for one test, which may kill them. Unlike those of
// ownTestbed they are found by what looks for the servers of this test only.
func ownServers(t *testing.T, args ...string) {
	t.Helper()
	own.Store(t.Name(), startsTestbed(t, binDir, args...))
	t.Cleanup(func() { own.Delete(t.Name()) })
}

// servers are a test's own, or those of the one that it is a part of, or bed.
func servers(t *testing.T) *testbed {
	for name := t.Name(); ; {
		if b, ok := own.Load(name); ok {
			return b.(*testbed)
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return bed
		}
		name = name[:i]
	}
}

func startTestbed(dir string, args ...string) (*testbed, error) {
	args = append([]string{"run", "--json", "--stdin", "--dir=" + dir}, args...)
	b := &testbed{cmd: exec.Command(filepath.Join(dir, "testbed"), args...)}
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
	if err := json.Unmarshal(b.lines.Bytes(), b); err != nil {
		return b, err
	}
	if !b.mysql() && b.Users.Ed25519.Name == "" {
		return b, errors.New("the servers have no plugin auth_ed25519")
	}
	return b, nil
}

// mysql says whether the servers are MySQL, else they are MariaDB.
func (b *testbed) mysql() bool { return b.Flavour == "mysql9" }

func (b *testbed) stop() {
	b.stdin.Close()
	_ = b.cmd.Wait() // it says on stderr what went wrong
}

// control runs one command, such as "kill primary".
func (b *testbed) control(t *testing.T, command string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
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

// db opens a pool of u's connections to addr with the go-sql-driver. dbname
// may be empty, params are the driver's DSN parameters.
func openDB(t *testing.T, addr string, u user, dbname, params string) *sql.DB {
	t.Helper()
	dsn := fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=60s&%s", u.Name, u.Password, addr, dbname, params)
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// mustExec runs statements directly on the primary.
func mustExec(t *testing.T, statements ...string) {
	t.Helper()
	db := openDB(t, servers(t).Primary.Addr, servers(t).Users.App, "", "")
	defer db.Close()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}
