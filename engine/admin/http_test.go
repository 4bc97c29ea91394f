package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/enginetest"
)

// told is a source that tells what a test says.
type told struct {
	mu       sync.Mutex
	figures  engine.Figures
	events   []engine.Event
	stopping bool
	hangs    bool
	asked    int

	asks, answers chan struct{} // if they are there: that a question has come, and may be answered
}

func (s *told) Figures(ctx context.Context) (engine.Figures, error) {
	s.mu.Lock()
	s.asked++
	f, hangs := s.figures, s.hangs
	s.mu.Unlock()
	if s.asks != nil {
		s.asks <- struct{}{}
		select {
		case <-s.answers:
		case <-ctx.Done():
			return engine.Figures{}, ctx.Err()
		}
	}
	if hangs {
		<-ctx.Done()
		return engine.Figures{}, fmt.Errorf("event loop 3 has not answered: %w", ctx.Err())
	}
	return f, nil
}

func (s *told) Events() []engine.Event { return s.events }

func (s *told) Stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// set changes what is told from now on.
func (s *told) set(change func(*told)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// serve has src answered for at a port of this machine.
func serve(t *testing.T, src Source) string {
	t.Helper()
	h, err := ListenHTTP(netip.MustParseAddrPort("127.0.0.1:0"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h.Start(src)
	t.Cleanup(h.Stop)
	return h.Addr().String()
}

// get is the answer to a GET.
func get(t *testing.T, addr, path string) (code int, header http.Header, body string) {
	t.Helper()
	r, err := http.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header, string(b)
}

// talk sends text as it is and returns all that is answered.
func talk(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte(text)) // the answer may have come before all was taken
	_ = c.SetReadDeadline(time.Now().Add(enginetest.Patience))
	b, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("%.40q: no end of the answer", text)
	}
	return string(b)
}

// fine are the figures of a proxy that does well.
func fine() engine.Figures {
	now := time.Now()
	return engine.Figures{
		Started: now.Add(-time.Hour), Now: now, Version: "1.2.3",
		Backends: []engine.BackendFigures{
			{Index: 0, Address: "10.0.0.1:3306", Type: "rw", State: "up", Health: "good", Role: "unknown", Duty: "online", Leads: true, Weight: 1},
			{Index: 1, Address: "10.0.0.2:3306", Type: "ro", State: "up", Health: "good", Role: "unknown", Duty: "online", Weight: 3, Lag: 1500 * time.Millisecond, LagKnown: true},
		},
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	addr := serve(t, &told{figures: fine()})
	for _, tc := range []struct {
		name, request, status string
		has, lacks            string
	}{
		{"index", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "/status.json", ""},
		{"a path that is not there", "GET /debug/pprof/ HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found", "", "goroutine"},
		{"below a path", "GET /metrics/x HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found", "", "mysql_proxy"},
		{"HEAD", "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "", "mysql_proxy"},
		{"POST", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "405 Method Not Allowed", "Allow: GET, HEAD", ""},
		{"DELETE", "DELETE /status.json HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed", "", "version"},
		{"a method that is none", "GE\x00T / HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "", ""},
		{"HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n", "200 OK", "ok\n", ""},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header", "", "ok\n"},
		{"a header too long", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431 Request Header Fields Too Large", "", "ok\n"},
		{"many headers", "GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 16<<10) + "\r\n", "431 Request Header Fields Too Large", "", "ok\n"},
		{"a path too long", "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431 Request Header Fields Too Large", "", ""},
		{"two requests at once", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "Connection: close", "ready"},
		{"two lengths", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400 Bad Request", "", "ok\n"},
		{"a chunked body that does not end", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "405 Method Not Allowed", "", ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request", "", ""},
		{"MySQL", "\x20\x00\x00\x01\x85\xa6\xff\x01\x00\x00\x00\x01\r\n\r\n", "400 Bad Request", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // some wait for the end of the server's patience
			got := talk(t, addr, tc.request)
			first, _, _ := strings.Cut(got, "\r\n")
			if !strings.HasSuffix(first, tc.status) || !strings.Contains(got, tc.has) || tc.lacks != "" && strings.Contains(got, tc.lacks) {
				t.Errorf("answer %.200q, want %q with %q, without %q", got, tc.status, tc.has, tc.lacks)
			}
		})
	}
	t.Cleanup(func() {
		if code, _, body := get(t, addr, "/healthz"); code != 200 || body != "ok\n" {
			t.Errorf("afterwards: %d %q", code, body)
		}
	})
}

// Who says nothing holds a connection for a while only, and not more of them than
// there may be.
func TestSilentClientsDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	addr := serve(t, &told{figures: fine()})
	for range httpConnections + 10 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("GET /healthz HTTP/1.1\r\n"))
	}
	if code, _, _ := get(t, addr, "/healthz"); code != 200 {
		t.Errorf("code %d, want 200", code)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limited{Listener: ln, free: make(chan struct{}, 1), over: make(chan struct{})}
	for range 2 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Close()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("a second one was taken: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // counts once
	if err := <-second; err != nil {
		t.Errorf("the second one is not taken once the first is gone: %v", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err != nil { // and stays
		t.Fatal(err)
	}
	go l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("one is taken after the end")
	}
}

func TestReady(t *testing.T) {
	auto := func(change func(a, b *engine.BackendFigures)) engine.Figures {
		f := fine()
		for i := range f.Backends {
			f.Backends[i].Role = "replica"
		}
		f.Backends[0].Role = "primary"
		change(&f.Backends[0], &f.Backends[1])
		return f
	}
	static := func(change func(f *engine.Figures)) engine.Figures {
		f := fine()
		change(&f)
		return f
	}
	for _, tc := range []struct {
		name     string
		figures  engine.Figures
		stopping bool
		want     string // the body
	}{
		{"a primary that is up", fine(), false, "ready\n"},
		{"one that nobody has tried yet", static(func(f *engine.Figures) { f.Backends[0].State = "unknown" }), false, "ready\n"},
		{"one that is down", static(func(f *engine.Figures) { f.Backends[0].State = "down" }), false,
			"not ready: no server takes writes\nnot ready: backend 10.0.0.1:3306 is down\n"},
		{"one that drains", static(func(f *engine.Figures) { f.Backends[0].Duty = "draining" }), false,
			"not ready: no server takes writes\nnot ready: backend 10.0.0.1:3306 is draining\n"},
		{"one in maintenance", static(func(f *engine.Figures) { f.Backends[0].Duty = "maintenance" }), false,
			"not ready: no server takes writes\nnot ready: backend 10.0.0.1:3306 is in maintenance\n"},
		{"a replica that is down", static(func(f *engine.Figures) { f.Backends[1].State = "down" }), false, "ready\n"},
		{"two, one of them down", static(func(f *engine.Figures) {
			f.Backends = append(f.Backends, f.Backends[0])
			f.Backends[0].State = "down"
		}), false, "ready\n"},
		{"replicas only", static(func(f *engine.Figures) { f.Backends = f.Backends[1:] }), false,
			"not ready: no server takes writes: all backends are read-only\n"},
		{"no backends", static(func(f *engine.Figures) { f.Backends = nil }), false, "not ready: no backend is configured\n"},
		{"a shutdown", fine(), true, "not ready: the proxy is shutting down\n"},
		{"the replica leads now", auto(func(a, b *engine.BackendFigures) { a.Leads, b.Leads, a.State = false, true, "down" }), false, "ready\n"},
		{"nobody leads", auto(func(a, b *engine.BackendFigures) { a.Leads = false }), false,
			"not ready: no server takes writes\nnot ready: backend 10.0.0.1:3306 is not the primary\n"},
		{"who leads is down", auto(func(a, b *engine.BackendFigures) { a.State = "down" }), true,
			"not ready: the proxy is shutting down\nnot ready: no server takes writes\nnot ready: backend 10.0.0.1:3306 is down\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := serve(t, &told{figures: tc.figures, stopping: tc.stopping})
			code, _, body := get(t, addr, "/readyz")
			if wantCode := map[bool]int{true: 200, false: 503}[tc.want == "ready\n"]; code != wantCode || body != tc.want {
				t.Errorf("%d %q, want %d %q", code, body, wantCode, tc.want)
			}
		})
	}
}

// Loops that hang are told of, everywhere, and do not hang the server.
func TestLoopsThatHang(t *testing.T) {
	t.Parallel()
	src := &told{figures: fine(), hangs: true}
	addr := serve(t, src)
	var all sync.WaitGroup
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/status.json"} {
		all.Go(func() {
			code, _, body := get(t, addr, path)
			if code != 503 || !strings.Contains(body, "within 2s: ") { // who has waited for another's turn may not hear of what
				t.Errorf("%s: %d %q", path, code, body)
			}
		})
	}
	all.Wait()
	for _, path := range []string{"/healthz", "/status.json"} {
		if code, _, body := get(t, addr, path); code != 503 || !strings.Contains(body, "within 2s: event loop 3 has not answered") {
			t.Errorf("%s alone: %d %q", path, code, body)
		}
	}
	src.set(func(s *told) { s.hangs = false })
	time.Sleep(snapshotAge)
	if code, _, _ := get(t, addr, "/healthz"); code != 200 {
		t.Errorf("once they turn again: %d", code)
	}
}

// However many ask, the loops are asked a few times a second.
func TestLoopsAreAskedRarely(t *testing.T) {
	src := &told{figures: fine()}
	s := &snapshots{src: src, turn: make(chan struct{}, 1)}
	var all sync.WaitGroup
	began := time.Now()
	for range 8 {
		all.Go(func() {
			for range 100 {
				if _, err := s.take(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	most := 1 + int(time.Since(began)/snapshotAge)
	if src.asked < 1 || src.asked > most {
		t.Errorf("800 looks have asked %d times, want 1 to %d", src.asked, most)
	}
	s.at = s.at.Add(-snapshotAge)
	before := src.asked
	if _, err := s.take(t.Context()); err != nil || src.asked != before+1 {
		t.Errorf("what is old is not asked for again: %v", err)
	}
}

// A client that leaves while the loops are asked costs the others nothing: its
// answer is theirs.
func TestAClientThatLeaves(t *testing.T) {
	src := &told{figures: fine(), asks: make(chan struct{}), answers: make(chan struct{})}
	s := &snapshots{src: src, turn: make(chan struct{}, 1)}
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.take(ctx) }) // nobody hears what it says
	<-src.asks
	all.Go(func() {
		if _, err := s.take(t.Context()); err != nil {
			t.Error(err)
		}
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("one that has left before its turn: %v", err)
	}
	leave()
	close(src.answers)
	all.Wait()
	if src.asked != 1 {
		t.Errorf("the loops were asked %d times, want once", src.asked)
	}
}

// An answer that is under way when the server stops is finished.
func TestStop(t *testing.T) {
	h, err := ListenHTTP(netip.MustParseAddrPort(enginetest.FreeAddr(t)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := h.Addr().String()
	if _, err := ListenHTTP(netip.MustParseAddrPort(addr), slog.New(slog.DiscardHandler)); err == nil || err.Error() != fmt.Sprintf("cannot listen on %s: bind: address already in use", addr) {
		t.Errorf("the port is taken: %v", err)
	}
	h.Start(&told{figures: fine()})
	if code, _, _ := get(t, addr, "/healthz"); code != 200 {
		t.Errorf("code %d", code)
	}
	h.Stop()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	unused, err := ListenHTTP(netip.MustParseAddrPort(addr), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	unused.Stop()
}

// What goes wrong in the log is not told the clients, and the other way round.
func TestTheLogIsQuiet(t *testing.T) {
	var out bytes.Buffer
	var mu sync.Mutex
	h, err := ListenHTTP(netip.MustParseAddrPort("127.0.0.1:0"), slog.New(slog.NewTextHandler(&locked{w: &out, mu: &mu}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	h.Start(&told{figures: fine()})
	talk(t, h.Addr().String(), "\x00\x00\r\n\r\n")
	for _, path := range []string{"/metrics", "/status.json", "/nowhere"} {
		get(t, h.Addr().String(), path)
	}
	h.Stop()
	mu.Lock()
	defer mu.Unlock()
	if lines := slices.Collect(strings.Lines(out.String())); len(lines) != 0 {
		t.Errorf("the log says %q", lines)
	}
}

type locked struct {
	w  io.Writer
	mu *sync.Mutex
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
