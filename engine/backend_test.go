package engine

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

func TestWhichBackendIsTaken(t *testing.T) {
	type b struct {
		clients  int64
		state    BackendState
		readOnly bool
	}
	for _, tc := range []struct {
		name     string
		backends []b
		want     int // -1: none
	}{
		{"none is configured", nil, -1},
		{"the only one", []b{{}}, 0},
		{"the first of equals", []b{{clients: 1}, {clients: 1}, {clients: 1}}, 0},
		{"the fewest clients", []b{{clients: 3}, {clients: 1}, {clients: 2}}, 1},
		{"down is not", []b{{state: BackendDown}, {clients: 9}}, 1},
		{"unknown is as good as up", []b{{clients: 1, state: BackendUp}, {}}, 1},
		{"read-only is not", []b{{clients: 5}, {readOnly: true}}, 0},
		{"only read-only ones", []b{{readOnly: true}, {readOnly: true, state: BackendUp}}, -1},
		{"all are down", []b{{state: BackendDown}, {state: BackendDown}, {readOnly: true}}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var list []*Backend
			for _, b := range tc.backends {
				be := &Backend{ReadOnly: b.readOnly}
				be.clients.Store(b.clients)
				be.state.Store(int32(b.state))
				list = append(list, be)
			}
			var bs backends
			bs.is(nil, list, list)
			got := bs.take()
			if i := slices.Index(list, got); i != tc.want {
				t.Fatalf("took %d, want %d", i, tc.want)
			}
			if got == nil {
				return
			}
			if n := got.Clients(); int64(n) != tc.backends[tc.want].clients+1 {
				t.Errorf("it has %d clients now, want one more than %d", n, tc.backends[tc.want].clients)
			}
			got.release()
			if n := got.Clients(); int64(n) != tc.backends[tc.want].clients {
				t.Errorf("it has %d clients after release, want %d", n, tc.backends[tc.want].clients)
			}
		})
	}
}

// A backend that is down is left alone for more than four seconds of a clock of
// whole seconds, and looked at once a second at most.
func TestBackendsWakeUp(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(1000+s, 999e6) }
	for _, tc := range []struct {
		name    string
		state   BackendState
		seconds []int64 // of looks, since it went down at 0
		wakes   []int64 // which of them wake it
	}{
		{"after five seconds", BackendDown, []int64{0, 1, 2, 3, 4, 5}, []int64{5}},
		{"at the first look after them", BackendDown, []int64{1, 77}, []int64{77}},
		{"not if it is up", BackendUp, []int64{100}, nil},
		{"not if it is unknown", BackendUnknown, []int64{100}, nil},
		{"not while the clock stands behind", BackendDown, []int64{-50, 4, 5}, []int64{5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &Backend{}
			b.state.Store(int32(tc.state))
			b.since.Store(at(0).Unix())
			var bs backends
			is := []*Backend{{}, b}
			bs.is(nil, is, is)
			var woken []int64
			for _, s := range tc.seconds {
				bs.wake(at(s), func(w *Backend) {
					if w != b || w.State() != BackendUnknown {
						t.Errorf("woke %v in state %v", w, w.State())
					}
					woken = append(woken, s)
				})
			}
			if !slices.Equal(woken, tc.wakes) {
				t.Errorf("woken at %v, want %v", woken, tc.wakes)
			}
		})
	}
	t.Run("once a second", func(t *testing.T) {
		b := &Backend{}
		var bs backends
		is := []*Backend{b}
		bs.is(nil, is, is)
		n := 0
		for range 3 {
			b.state.Store(int32(BackendDown))
			b.since.Store(at(0).Unix())
			bs.wake(at(9), func(*Backend) { n++ })
		}
		if n != 1 {
			t.Errorf("woken %d times in one second, want once", n)
		}
	})
}

// anyone serves plain sessions of Caps until their clients leave.
func anyone(_ int, c *Conn) error { return c.Run(Admit(Caps), Drain()) }

func TestSessionsSpread(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.serverOf(anyone).Addr(), w.serverOf(anyone).Addr(), w.serverOf(anyone).Addr())
	cfg.Loops = 2
	cfg.Backends[1].ReadOnly = true
	w.start(cfg)
	clients := func(want ...int) {
		t.Helper()
		eventually(t, "clients of the backends", func() error {
			var got []int
			for _, b := range w.proxy.Backends() {
				got = append(got, b.Clients())
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%v, want %v", got, want)
			}
			return nil
		})
	}
	enter := func() *Conn { return w.clientNow("client", Enter(Caps)) }
	a := enter()
	clients(1, 0, 0)
	b := enter()
	clients(1, 0, 1)
	enter()
	clients(2, 0, 1)
	enter()
	clients(2, 0, 2)
	a.Close()
	clients(1, 0, 2)
	enter()
	clients(2, 0, 2)
	b.Close()
	clients(2, 0, 1)
	enter()
	clients(2, 0, 2)
}

// A backend that cannot be connected to, or does not greet, is down, and the
// client gets the next one without noticing.
func TestClientsGoToTheNextBackend(t *testing.T) {
	greetNot := func(s Step) func(w *world) net.Addr {
		return func(w *world) net.Addr { return w.server(steps(s)) }
	}
	for name, bad := range map[string]func(w *world) net.Addr{
		"refused":                      (*world).refused,
		"no answer to the connect":     func(w *world) net.Addr { return BlackHole(w) },
		"closed without a greeting":    greetNot(Fin()),
		"reset without a greeting":     greetNot(Reset()),
		"closed in mid-greeting":       greetNot(All("", Send([]byte{80, 0, 0, 0, 10, '8'}), Fin())),
		"unix socket without a server": func(w *world) net.Addr { return &net.UnixAddr{Name: "/nonexistent/mysqld.sock", Net: "unix"} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(bad(w), w.serverOf(anyone).Addr())
			cfg.ConnectTimeout = time.Minute
			w.start(cfg)
			first := w.clientNow("client")
			eventually(t, "the first one is given up", func() error {
				if name == "no answer to the connect" {
					w.pass(cfg.ConnectTimeout / 16) // only as often as the second one outlasts
				}
				if w.proxy.Backends()[0].State() != BackendDown {
					return errors.New("not yet")
				}
				return nil
			})
			w.proxy.Backends()[0].since.Add(3600) // it is not tried again, however long this takes
			if err := first.Run(Enter(Caps)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w.clientNow("client", Enter(Caps))
			}
			bs := w.proxy.Backends()
			if bs[0].State() != BackendDown || bs[1].State() != BackendUp {
				t.Errorf("the backends are %s and %s, want down and up", bs[0].State(), bs[1].State())
			}
			if n := len(w.log.all("connecting to backend failed, it is down; retrying with a different backend")); n != 1 {
				t.Errorf("%d lines about it, want 1", n)
			}
		})
	}
}

func TestBackendThatComesBack(t *testing.T) {
	w := newWorld(t)
	ln := w.listen()
	w.start(w.config(ln.Addr()))
	b := w.proxy.Backends()[0]
	ln.Close()
	down := steps(ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
	w.clientNow("first client", down...)
	if b.State() != BackendDown {
		t.Fatalf("it is %s, want down", b.State())
	}
	b.since.Add(3600) // it is not tried again, however long this takes
	w.clientNow("second client", down...)
	again, err := net.Listen("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.servers = append(w.servers, NewServer(again, anyone))
	// As if it were five seconds later.
	b.since.Add(-3600 - 5)
	w.proxy.backends.checked.Store(0)
	w.clientNow("third client", Enter(Caps))
	if b.State() != BackendUp {
		t.Errorf("it is %s, want up", b.State())
	}
	if n := len(w.log.all("backend was down for more than 4 sec, waking it up")); n != 1 {
		t.Errorf("%d lines about the wake-up, want 1", n)
	}
}

func TestNoBackend(t *testing.T) {
	for name, backends := range map[string]func(w *world) []BackendConfig{
		"none is configured": func(*world) []BackendConfig { return nil },
		"all refuse": func(w *world) []BackendConfig {
			return []BackendConfig{{Addr: addrFor(w.refused())}, {Addr: addrFor(w.refused())}}
		},
		"only a read-only one": func(w *world) []BackendConfig {
			return []BackendConfig{{Addr: addrFor(w.serverOf(anyone).Addr()), ReadOnly: true}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config()
			cfg.Backends = backends(w)
			w.start(cfg)
			for i := range 3 {
				w.client("client", ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
				w.peers.Wait()
				w.wantEnd(i+1, ReasonNoBackend)
			}
			if n := len(w.log.all("all backends are down")); n != 3 {
				t.Errorf("%d lines about it, want 3", n)
			}
		})
	}
}

// Descriptors that run out are not the backend's fault.
func TestNoDescriptorForTheBackend(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.serverOf(anyone).Addr()))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 256
	var fill []int
	restore := func() {
		for _, f := range fill {
			unix.Close(f)
		}
		fill = nil
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		fill = append(fill, f)
	}
	unix.Close(fill[0]) // one is free: the accepted connection gets it
	fill = fill[1:]
	front := w.front().(*net.TCPAddr)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: front.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	want := packet.AppendPacket(nil, 0, packet.AppendERR(nil, 1040, "", "(proxy) out of file descriptors or ports for a connection to the backend"))
	got := make([]byte, len(want)+1)
	n, err := unix.Read(fd, got)
	restore()
	if string(got[:max(n, 0)]) != string(want) {
		t.Errorf("got %q, %v, want %q", got[:max(n, 0)], err, want)
	}
	unix.Shutdown(fd, unix.SHUT_RDWR)
	w.wantEnd(1, ReasonExhausted)
	if s := w.proxy.Backends()[0].State(); s == BackendDown {
		t.Errorf("the backend is %s, though nothing is known of it", s)
	}
}

// Clients that come and go in all ways at once leave no count behind.
func TestCountsReturnToZero(t *testing.T) {
	w := newWorld(t)
	patient := func(_ int, c *Conn) error {
		_ = c.Run(Admit(Caps), Drain()) // most clients do not stay for it
		return nil
	}
	cfg := w.config(w.serverOf(patient).Addr(), w.serverOf(patient).Addr(), w.refused())
	cfg.Loops = 2
	w.start(cfg)
	g, l := Greeting(Caps), Login(Caps)
	for i := range 60 {
		switch i % 5 {
		case 0:
			w.client("client that leaves at once", Fin())
		case 1:
			w.client("client that resets at once", Reset())
		case 2:
			w.client("client that leaves in the login", ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), Reset())
		case 3:
			w.client("client", Enter(Caps), Reset())
		case 4:
			w.client("client", Enter(Caps), Fin())
		}
	}
	w.peers.Wait()
	eventually(t, "counts of 0", func() error {
		for _, b := range w.proxy.Backends() {
			if n := b.Clients(); n != 0 {
				return fmt.Errorf("%d at %s", n, b.Addr)
			}
		}
		return nil
	})
}

func TestNewRefusesWhatCannotRun(t *testing.T) {
	noLeaks(t)
	ln := Listen(t)
	w := sharedWorld(t)
	free := addrFor(w.refused())
	for name, tc := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no loops":           {func(c *Config) { c.Loops = 0 }, "the number of event threads must be at least 1, not 0"},
		"no address":         {func(c *Config) { c.Listen = nil }, "there is no address to listen on"},
		"address in use":     {func(c *Config) { c.Listen = []reactor.Addr{free, addrFor(ln.Addr())} }, "cannot listen on " + ln.Addr().String() + ": bind: address already in use"},
		"same backend twice": {func(c *Config) { c.Backends = append(c.Backends, c.Backends...) }, "backend " + free.String() + " is given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config(w.refused())
			cfg.Listen, cfg.Backends[0].Addr = []reactor.Addr{free}, free
			tc.change(&cfg)
			if _, err := New(cfg); err == nil || err.Error() != tc.says {
				t.Errorf("error %v, want %s", err, tc.says)
			}
		})
	}
}
