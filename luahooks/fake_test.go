package luahooks

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// session is a client session that keeps what its script does to it.
type session struct {
	loop           int
	queue          hook.Queue
	backend        int
	idle           map[int]*hook.Endpoint // idle server sessions by backend
	client         hook.Endpoint
	server         *hook.Endpoint
	closeAfter     bool
	setBackendWith []int
}

func (s *session) Loop() int              { return s.loop }
func (s *session) Queue() *hook.Queue     { return &s.queue }
func (s *session) Backend() int           { return s.backend }
func (s *session) Client() *hook.Endpoint { return &s.client }
func (s *session) Server() *hook.Endpoint { return s.server }
func (s *session) CloseAfterResult(y bool) {
	s.closeAfter = y
}
func (s *session) SetBackend(n int) {
	s.setBackendWith = append(s.setBackendWith, n)
	switch {
	case n == 0 && s.server != nil:
		s.backend, s.server = 0, nil
	case n != 0:
		if idle := s.idle[n]; idle != nil {
			s.server = idle
		}
		s.backend = n
	}
}

type global []hook.Backend

func (g global) Backends() []hook.Backend { return g }

// server is a backend.
type server struct {
	mu        sync.Mutex
	addr      hook.Addr
	readOnly  bool
	state     int
	uuid      string
	clients   int
	min, max  int
	idle      map[string]int
	askedLoop int
}

func (b *server) Address() hook.Addr { return b.addr }
func (b *server) ReadOnly() bool     { return b.readOnly }
func (b *server) State() int         { b.mu.Lock(); defer b.mu.Unlock(); return b.state }
func (b *server) SetState(n int)     { b.mu.Lock(); defer b.mu.Unlock(); b.state = n }
func (b *server) UUID() string       { return b.uuid }
func (b *server) SetUUID(u string)   { b.uuid = u }
func (b *server) Clients() int       { return b.clients }
func (b *server) MinIdle() int       { return b.min }
func (b *server) SetMinIdle(n int)   { b.min = n }
func (b *server) MaxIdle() int       { return b.max }
func (b *server) SetMaxIdle(n int)   { b.max = n }
func (b *server) Idle(loop int, user string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.askedLoop = loop
	return b.idle[user]
}

func (b *server) Lends(loop int, user string) bool { return b.Idle(loop, user) > 0 }

// journal keeps what is logged, a line each: LEVEL text.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, r.Level.String()+" "+r.Message)
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// has fails the test if no line of the journal has all of the parts.
func (j *journal) has(t *testing.T, parts ...string) {
	t.Helper()
	for _, line := range j.all() {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return
		}
	}
	t.Errorf("no line with %q in the log:\n%s", parts, strings.Join(j.all(), "\n"))
}

// world is a proxy around scripts: a file, a log, standard output.
type world struct {
	path    string
	scripts *Scripts
	log     journal
	stdout  bytes.Buffer
}

func newWorld(t testing.TB, text string, change func(*Options)) *world {
	t.Helper()
	w := &world{path: filepath.Join(t.TempDir(), "s.lua")}
	w.write(t, text)
	opts := Options{
		Script: w.path, Log: slog.New(&w.log), Global: twoBackends(),
		Version: "1.2.3", Stdout: &w.stdout,
		Time: time.Hour, // a hook is not to be stopped because the machine is slow
	}
	if change != nil {
		change(&opts)
	}
	var err error
	if w.scripts, err = New(opts); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(t testing.TB, text string) {
	t.Helper()
	// in one step: other goroutines may be opening it
	if err := os.WriteFile(w.path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		t.Fatal(err)
	}
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// open opens the script for a session, which is a logged in one.
func (w *world) open() (*script, *session) {
	s := loggedIn()
	return w.scripts.Open(s).(*script), s
}

func loggedIn() *session {
	return &session{
		client: hook.Endpoint{
			Src:     hook.Addr{IP: netip.MustParseAddrPort("192.0.2.7:51234")},
			Dst:     hook.Addr{IP: netip.MustParseAddrPort("[::1]:4040")},
			Greeted: true, Version: 50144, ThreadID: 99, Challenge: []byte("01234567890123456789"),
			LoggedIn: true, Username: "app", AuthResponse: []byte("secret\x00"), AuthPlugin: packet.PluginNative,
			DefaultDB: "shop",
		},
		server: &hook.Endpoint{
			Src:     hook.Addr{},
			Dst:     hook.Addr{Path: "/run/mysqld.sock"},
			Greeted: true, Version: 80036, ThreadID: 7, Challenge: []byte("abcdefghijabcdefghij\x00"),
			DefaultDB: "other",
		},
		backend: 1,
	}
}

func twoBackends() global {
	return global{
		&server{
			addr: hook.Addr{IP: netip.MustParseAddrPort("10.0.0.1:3306")}, state: 1, clients: 3,
			idle: map[string]int{"": 0, "app": 2},
		},
		&server{
			addr: hook.Addr{IP: netip.MustParseAddrPort("[::ffff:10.0.0.2]:3307")}, readOnly: true, uuid: "u-2",
			idle: map[string]int{"": 5, "app": 1},
		},
	}
}

// query runs the text as the body of read_query and returns what it writes
// with print.
func (w *world) query(t *testing.T, body string) (string, hook.Verdict) {
	t.Helper()
	w.write(t, "function read_query(packet)\n"+body+"\nend")
	s, _ := w.open()
	before := w.stdout.Len()
	v := s.ReadQuery([]byte("\x03SELECT 1"))
	return strings.TrimSuffix(w.stdout.String()[before:], "\n"), v
}

// shown shows a response, a Go string a payload.
func shown(v hook.Verdict) []string {
	var list []string
	for _, p := range v.Response {
		list = append(list, string(p))
	}
	return list
}

func contains(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s: %q, want %q in it", what, got, part)
		}
	}
}
