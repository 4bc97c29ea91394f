package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// startTimeout is how long a server may take until it answers. It is generous:
// a machine that runs a whole test suite is slow.
const startTimeout = 5 * time.Minute

var errStopping = errors.New("the testbed is being stopped")

// server is one server process with its folder. Its methods may be called from any
// goroutine; mu makes one wait for the other.
type server struct {
	bed  *testbed
	name string
	id   int
	dir  string // DataDir, the socket and the log lie in it

	// preparing is the data folder of a server that only makes it; empty: it is
	// a server to be used, with a folder of its own.
	preparing string

	mu   sync.Mutex
	port int
	cmd  *exec.Cmd     // nil while it does not run
	gone chan struct{} // closed when cmd has ended and was waited for
}

func (s *server) dataDir() string {
	if s.preparing != "" {
		return s.preparing
	}
	return filepath.Join(s.dir, "data")
}
func (s *server) socket() string  { return filepath.Join(s.dir, "sock") }
func (s *server) logFile() string { return filepath.Join(s.dir, "log") }

// state describes the server as it is now.
func (s *server) state() ServerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := ServerState{
		Name: s.name, Host: "127.0.0.1", Port: s.port,
		Addr:   fmt.Sprintf("127.0.0.1:%d", s.port),
		Socket: s.socket(), ServerID: s.id,
		DataDir: s.dataDir(), Log: s.logFile(),
	}
	if key := filepath.Join(s.dataDir(), "public_key.pem"); exists(key) {
		st.RSAPublicKey = key
	}
	if s.running() {
		st.PID = s.cmd.Process.Pid
	}
	return st
}

// running says whether the process is there. The caller holds mu.
func (s *server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

// args are the server's options. What a test may want to be different, it gives
// by --option, which comes last and so wins.
func (s *server) args() []string {
	args := append(s.bed.fileArgs(s.bed),
		"--datadir="+s.dataDir(),
		"--socket="+s.socket(),
		"--pid-file="+filepath.Join(s.dir, "pid"),
		"--tmpdir="+filepath.Join(s.dir, "tmp"),
		"--secure-file-priv="+filepath.Join(s.dir, "files"),
	)
	if s.preparing != "" {
		return append(args, "--skip-networking", "--skip-log-bin")
	}
	args = append(args,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--port=%d", s.port),
		fmt.Sprintf("--server-id=%d", s.id),
		"--report-host=127.0.0.1",
		fmt.Sprintf("--report-port=%d", s.port),
		"--max-connections=12000",
		"--open-files-limit=40000", // lowered by the server where the system allows less
		"--thread-cache-size=64",
		"--max-allowed-packet=1G",
		"--local-infile=1",
		"--max-connect-errors=4294967295", // tests break off many logins
		"--connect-timeout=120",           // or a login that a busy machine holds up is broken off by the server
		"--long-query-time=3600",          // a response tells of a slow statement
		"--default-time-zone=+00:00",
	)
	args = append(args, s.bed.serverArgs(s)...)
	if s.bed.tls == (TLSFiles{}) {
		args = append(args, s.bed.without)
	} else {
		args = append(args, s.bed.tlsArgs(s.bed.tls)...)
	}
	for _, o := range s.bed.options {
		args = append(args, "--"+o)
	}
	return args
}

// serverCommand is a run of the server program, which is not started yet.
func (b *testbed) serverCommand(args ...string) *exec.Cmd {
	argv := append(slices.Clone(b.install.argv), args...)
	return exec.Command(argv[0], argv[1:]...)
}

// start starts the server and waits until it answers over its socket.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return fmt.Errorf("%s runs already", s.name)
	}
	select {
	case <-s.bed.stopping: // stop waits for mu, so it either sees this server or we see it
		return errStopping
	default:
	}
	for _, d := range []string{"tmp", "files"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()

	cmd := s.bed.serverCommand(s.args()...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = out, out // no --log-error: what is wrong with an option would get lost
	if err := s.bed.spawn.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	gone := make(chan struct{})
	s.cmd, s.gone = cmd, gone
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(gone)
	}()
	return s.waitReady()
}

// waitReady returns when the server answers, or with the tail of its log when
// it has ended or takes too long. The caller holds mu.
func (s *server) waitReady() error {
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	deadline := time.Now().Add(startTimeout)
	for {
		err := db.Ping()
		if err == nil {
			return nil
		}
		select {
		case <-s.gone:
			return fmt.Errorf("%s ended while it started (%v); the end of %s:\n%s",
				s.name, s.cmd.ProcessState, s.logFile(), tail(s.logFile()))
		case <-s.bed.stopping:
			return errStopping
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer after %v: %w; the end of %s:\n%s",
				s.name, startTimeout, err, s.logFile(), tail(s.logFile()))
		}
	}
}

// open gives a handle for root over the socket. It does not connect yet.
func (s *server) open() (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = s.bed.users.Root.Name, s.bed.users.Root.Password
	cfg.Net, cfg.Addr = "unix", s.socket()
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = startTimeout, startTimeout, startTimeout
	cfg.Logger = quiet{}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(conn), nil
}

// exec runs statements as root over the socket.
func (s *server) exec(statements ...string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // one session: what a statement sets, the next one finds
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			return fmt.Errorf("%s: %.200s: %w", s.name, q, err)
		}
	}
	return nil
}

// signal sends sig to the server; a server that has ended is an error.
func (s *server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return fmt.Errorf("%s does not run", s.name)
	}
	return s.cmd.Process.Signal(sig)
}

// end sends sig (SIGTERM for an orderly stop, SIGKILL for a crash) and waits
// for the server to end.
func (s *server) end(sig syscall.Signal) error {
	if err := s.signal(sig); err != nil {
		return err
	}
	// A paused server would never act on the SIGTERM.
	_ = s.signal(syscall.SIGCONT)
	s.mu.Lock()
	gone := s.gone
	s.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("%s still runs %v after signal %v", s.name, startTimeout, sig)
	}
}

// tail is the end of a log file, or why it cannot be read.
func tail(file string) string {
	const lines = 20
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// quiet drops the driver's own log: that a starting server refuses a
// connection is no news.
type quiet struct{}

func (quiet) Print(...any) {}
