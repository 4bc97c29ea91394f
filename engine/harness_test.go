package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// world is a proxy with servers before it and clients behind it, all on real
// sockets of this machine. At the test's end it is checked that all is given
// back.
type world struct {
	testing.TB
	proxy   *Engine
	started chan struct{} // closed when proxy is set
	stopped bool
	log     *recorder
	peers   sync.WaitGroup
	servers []*Server
	panics  bool // the test provokes one

	// On the proxy's loops time stands still, so that no time-out of the product's
	// fires because the machine is slow: a test has it pass (pass), or run.
	passed atomic.Int64 // nanoseconds
	runs   time.Time    // since when it runs beside that; zero: it does not
}

// newWorld makes a world whose test has the process for itself: descriptors and
// goroutines must be as many after it as before.
func newWorld(t *testing.T) *world {
	noLeaks(t)
	return sharedWorld(t)
}

// sharedWorld makes a world beside others.
func sharedWorld(t testing.TB) *world {
	w := &world{TB: t, log: &recorder{}, started: make(chan struct{})}
	t.Cleanup(w.end)
	return w
}

// clock is the time on the proxy's loops.
func (w *world) clock() time.Duration {
	d := time.Second + time.Duration(w.passed.Load())
	if !w.runs.IsZero() {
		d += time.Since(w.runs)
	}
	return d
}

// inTime has time run on the loops of the proxy that is yet to be started.
func (w *world) inTime() *world {
	w.runs = time.Now()
	return w
}

// pass has d pass on the loops of the proxy, in some steps, as timers arm others.
// What is due by then has been done when it returns.
func (w *world) pass(d time.Duration) {
	for step := max(d/16, 100*time.Millisecond); d > 0; d -= step {
		w.passed.Add(int64(min(d, step)))
		w.heard(func(l *loop) { l.SetClock(w.clock) })
	}
}

// passes is pass as a step.
func passes(w *world, d time.Duration) Step {
	return Do(fmt.Sprint(d, " pass"), func(*Conn) error { w.engine(); w.pass(d); return nil })
}

// heard returns when the loops have done do, and so all that they were posted before.
func (w *world) heard(do func(*loop)) {
	for _, l := range w.proxy.loops {
		done := make(chan struct{})
		l.Post(func() { do(l); close(done) })
		select {
		case <-done:
		case <-l.Done():
		case <-time.After(Patience):
			w.Error("a loop does not do what it is told")
		}
	}
}

// noLeaks compares what the process has at the end of t with what it has now.
func noLeaks(t testing.TB) {
	t.Helper()
	fds, routines := openFiles(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		if t.Failed() {
			return // what is left over is no news then
		}
		eventually(t, "descriptors as before", func() error {
			if now := openFiles(t); len(now) > len(fds) {
				return fmt.Errorf("before these were open: %v, after: %v", fds, now)
			}
			return nil
		})
		eventually(t, "goroutines as before", func() error {
			if n := runtime.NumGoroutine(); n > routines {
				buf := make([]byte, 1<<20)
				return fmt.Errorf("%d goroutines before, %d after:\n%s", routines, n, buf[:runtime.Stack(buf, true)])
			}
			return nil
		})
	})
}

// openFiles are the process's descriptors, with what each is.
func openFiles(t testing.TB) (files []string) {
	ds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil { // the directory's own is gone
			files = append(files, d.Name()+" "+to)
		}
	}
	return files
}

// eventually waits until check is content.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	var err error
	for until := time.Now().Add(Patience); time.Now().Before(until); time.Sleep(2 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

// listen is a listener that ends with the test.
func (w *world) listen() net.Listener {
	w.Helper()
	return Listen(w)
}

// server starts a server that treats its i-th connection by scripts[i].
func (w *world) server(scripts ...[]Step) net.Addr { return w.serverOf(Scripts(scripts...)).Addr() }

func (w *world) serverOf(handle func(int, *Conn) error) *Server {
	s := NewServer(w.listen(), handle)
	w.servers = append(w.servers, s)
	return s
}

// refused is an address that refuses connections.
func (w *world) refused() net.Addr {
	w.Helper()
	a, err := net.ResolveTCPAddr("tcp", FreeAddr(w))
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// config is what the proxies of these tests run with.
func (w *world) config(backends ...net.Addr) Config {
	cfg := Config{
		Loops: 1, Log: slog.New(w.log),
		ConnectTimeout: time.Hour, LoginTimeout: time.Hour, ReadTimeout: time.Hour, WriteTimeout: time.Hour,
		ShutdownTimeout: time.Hour,
	}
	for _, b := range backends {
		cfg.Backends = append(cfg.Backends, BackendConfig{Addr: addrFor(b)})
	}
	return cfg
}

func addrFor(a net.Addr) reactor.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return reactor.Addr{IP: netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))}
	case *net.UnixAddr:
		return reactor.Addr{Path: a.Name}
	}
	panic(fmt.Sprintf("an address of type %T", a))
}

// start starts the proxy, on a free port of the loopback if cfg has no address.
func (w *world) start(cfg Config) {
	w.Helper()
	if len(cfg.Listen) == 0 {
		cfg.Listen = []reactor.Addr{addrFor(w.refused())}
	}
	w.make(cfg)
	w.begin()
}

// make makes the proxy, which begin starts.
func (w *world) make(cfg Config) {
	w.Helper()
	var err error
	if w.proxy, err = New(cfg); err != nil {
		w.Fatal(err)
	}
	for _, l := range w.proxy.loops {
		l.SetClock(w.clock)
	}
}

func (w *world) begin() {
	w.Helper()
	close(w.started)
	if err := w.proxy.Start(); err != nil {
		w.Fatal(err)
	}
}

// change changes what the proxy runs with, for what begins from now on.
func (w *world) change(how func(*Config)) {
	cfg := w.proxy.cfg().Config
	how(&cfg)
	w.proxy.now.Store(newRunning(cfg))
}

// engine is the proxy, for servers' scripts, which run before it does.
func (w *world) engine() *Engine {
	<-w.started
	return w.proxy
}

// front is where clients connect.
func (w *world) front() net.Addr {
	a := w.proxy.Addrs()[0]
	if a.Path != "" {
		return &net.UnixAddr{Name: a.Path, Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a.IP)
}

// client has a client take these steps, beside the others.
func (w *world) client(name string, steps ...Step) {
	w.peers.Add(1)
	go func() {
		defer w.peers.Done()
		c, err := Dial(w.front(), name)
		if err != nil {
			w.Error(err)
			return
		}
		defer c.Close()
		if err := c.Run(steps...); err != nil {
			w.Error(err)
		}
	}()
}

// clientNow takes the steps before it returns, and leaves the client open until
// the test ends.
func (w *world) clientNow(name string, steps ...Step) *Conn {
	w.Helper()
	c, err := Dial(w.front(), name)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	if err := c.Run(steps...); err != nil {
		w.Fatal(err)
	}
	return c
}

// session waits until n sessions have ended and returns the last one's line.
func (w *world) session(n int) record {
	w.Helper()
	var last record
	eventually(w, fmt.Sprintf("the end of %d sessions", n), func() error {
		ended := w.log.all("session ended")
		if len(ended) < n {
			return fmt.Errorf("%d have ended so far", len(ended))
		}
		last = ended[n-1]
		return nil
	})
	return last
}

// wantEnd waits for the end of n sessions and compares the reason of the last.
func (w *world) wantEnd(n int, want CloseReason) {
	w.Helper()
	if r := w.session(n); r.attrs["reason"] != want.String() && !w.Failed() {
		w.Errorf("the session ended with reason %s, want %s: %v", r.attrs["reason"], want, r)
	}
}

// stop ends the proxy and returns when it has ended.
func (w *world) stop() {
	w.Helper()
	e := w.proxy
	if e == nil || w.stopped {
		return
	}
	w.stopped = true
	e.Shutdown()
	e.Shutdown()
	w.waitFor(e)
	for _, b := range e.Backends() {
		if n := b.Clients(); n != 0 {
			w.Errorf("%d clients are counted at %s after the end, want 0", n, b.Addr)
		}
		if n := b.Sessions(); n != 0 {
			w.Errorf("%d sessions are counted at %s after the end, want 0", n, b.Addr)
		}
	}
}

// waitFor waits until e has ended.
func (w *world) waitFor(e *Engine) {
	w.Helper()
	done := make(chan struct{})
	go func() { e.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(Patience):
		w.Fatalf("Wait does not return; there are still\n%s", leftovers(e))
	}
}

// end is the end of the test.
func (w *world) end() {
	w.peers.Wait()
	w.stop()
	for _, s := range w.servers {
		if err := s.Close(); err != nil {
			w.Error(err)
		}
	}
	if w.Failed() {
		w.Logf("the last lines of the proxy's log:\n%s", w.log)
	} else if panics := w.log.about("panic"); len(panics) > 0 != w.panics {
		w.Errorf("a panic was to be logged: %v; the log has %v", w.panics, panics)
	}
}

// converse has one client talk to one server through a proxy. It returns the
// line that the log has of the session.
func converse(w *world, server, client []Step, change ...func(*Config)) record {
	w.Helper()
	cfg := w.config(w.server(server))
	for _, c := range change {
		c(&cfg)
	}
	w.start(cfg)
	w.client("client", client...)
	w.peers.Wait()
	if w.Failed() {
		return record{}
	}
	return w.session(1)
}

// steps is a list of steps.
func steps(s ...Step) []Step { return s }

// served is a server's script of a session of Caps that ends when the client's
// half has ended.
func served(s ...Step) []Step { return append(append(steps(Admit(Caps)), s...), ExpectEnd()) }

// asked is a client's script of a session of Caps that quits.
func asked(s ...Step) []Step { return append(append(steps(Enter(Caps)), s...), Fin()) }

var ping = []byte{byte(packet.ComPing)}

// record is one line of the log.
type record struct {
	level slog.Level
	msg   string
	attrs map[string]string
}

func (r record) String() string { return fmt.Sprint(r.level, " ", r.msg, " ", r.attrs) }

// recorder keeps all that is logged.
type recorder struct {
	mu  sync.Mutex
	got []record
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { panic("not used") }
func (r *recorder) WithGroup(string) slog.Handler            { panic("not used") }

func (r *recorder) Handle(_ context.Context, in slog.Record) error {
	rec := record{in.Level, in.Message, map[string]string{}}
	in.Attrs(func(a slog.Attr) bool { rec.attrs[a.Key] = a.Value.String(); return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, rec)
	return nil
}

// all are the lines with this message.
func (r *recorder) all(msg string) (rs []record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.got {
		if rec.msg == msg {
			rs = append(rs, rec)
		}
	}
	return rs
}

// about are the lines that have this word anywhere.
func (r *recorder) about(word string) (rs []record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.got {
		if strings.Contains(rec.String(), word) {
			rs = append(rs, rec)
		}
	}
	return rs
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, rec := range r.got[max(0, len(r.got)-20):] {
		fmt.Fprintln(&b, rec)
	}
	return b.String()
}

// leftovers tells what sessions e still has.
func leftovers(e *Engine) string {
	told := make(chan string)
	var all strings.Builder
	for _, l := range e.loops {
		l.Post(func() {
			var b strings.Builder
			fmt.Fprintf(&b, "loop %d: %d sessions, draining %v\n", l.number, l.n, l.draining)
			l.each(func(c *client) {
				fmt.Fprintf(&b, "  client %s: %v, server %s, opening %s, held %v, quit %v, whole %v, socket open %v, waits for a place %v, for a primary %v\n", c.remote, c.state,
					c.server.about(), c.opening.about(), c.held, c.quit, c.req.Whole(), c.conn.Open(), c.ticket != nil, c.seat > 0)
				if t := c.ticket; t != nil {
					fmt.Fprintf(&b, "    ticket: queued %v, over %v, gift %s\n", t.queued, t.over, t.gift.about())
				}
				if sp := c.sp; sp != nil {
					fmt.Fprintf(&b, "    home %s, reader %s, wish %d, once %v, replays %v, pooled %v, refusing %v, moves %v, after %v\n",
						sp.home.about(), sp.reader.about(), sp.wish, sp.once, sp.replays, sp.pooled, sp.refusing, sp.moves, sp.after.on)
				}
			})
			told <- b.String()
		})
		select {
		case s := <-told:
			all.WriteString(s)
		case <-time.After(time.Second):
			fmt.Fprintf(&all, "loop %d does not answer\n", l.number)
		}
	}
	for _, b := range e.Backends() {
		fmt.Fprintf(&all, "backend %s: %d clients, %d sessions, %d wait\n", b.Addr, b.Clients(), b.Sessions(), b.Waiting())
	}
	return all.String()
}

// about tells where s stands.
func (s *server) about() string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("{%s %v, %d exchanges, open %v}", s.backend.Addr, s.state, s.queue.n, s.conn != nil && s.conn.Open())
}
