package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// meter counts the bytes of connections at the peers' ends.
type meter struct{ in, out atomic.Uint64 }

type metered struct {
	net.Conn
	m *meter
}

func (c metered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.m.in.Add(uint64(n))
	return n, err
}

func (c metered) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.m.out.Add(uint64(n))
	return n, err
}

type meteredListener struct {
	net.Listener
	m *meter
}

func (l meteredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return metered{c, l.m}, nil
}

// yes serves sessions of Caps, and answers each command by an OK.
func yes(_ int, c *Conn) error {
	if err := c.Run(Admit(Caps)); err != nil {
		return err
	}
	for {
		p, err := c.ReadPacket()
		if err != nil || p.Payload()[0] == byte(packet.ComQuit) {
			return nil
		}
		if err := c.Run(SendPacket(1, OK(0))); err != nil {
			return err
		}
	}
}

// figures asks the proxy.
func (w *world) figures() Figures {
	w.Helper()
	f, err := w.proxy.Figures(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return f
}

func (w *world) sessions() []SessionFigures {
	w.Helper()
	s, err := w.proxy.Sessions(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// wait tells whether so many sessions wait for what.
func (w *world) wait(what string, want int) error {
	s, err := w.engine().Sessions(context.Background())
	if err != nil {
		return err
	}
	got := 0
	for _, f := range s {
		if f.Waits == what {
			got++
		}
	}
	if got != want {
		return fmt.Errorf("%d sessions wait for %s, want %d", got, what, want)
	}
	return nil
}

// sum adds up what loops have.
func sum(loops []LoopFigures) (t LoopFigures) {
	for _, l := range loops {
		t.Sessions += l.Sessions
		t.Admin += l.Admin
		t.Servers += l.Servers
		t.Accepted += l.Accepted
		t.Commands += l.Commands
		t.BytesIn += l.BytesIn
		t.BytesOut += l.BytesOut
	}
	return t
}

// closed has the reasons for which sessions have ended, and how many.
func closed(f Figures) map[string]uint64 {
	m := map[string]uint64{}
	for _, c := range f.Closes {
		if c.Sessions > 0 {
			m[c.Reason] = c.Sessions
		}
	}
	return m
}

// tells waits until what of the figures is want.
func (w *world) tells(what string, of func(Figures) any, want any) {
	w.Helper()
	eventually(w, what, func() error {
		if got := of(w.figures()); !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%+v, want %+v", got, want)
		}
		return nil
	})
}

// Sessions of as many pings as they have numbers; every other one quits.
func TestFiguresAreWhatWasDone(t *testing.T) {
	w := newWorld(t)
	var clients, servers meter
	s := NewServer(meteredListener{w.listen(), &servers}, yes)
	w.servers = append(w.servers, s)
	cfg := w.config(s.Addr())
	cfg.Loops, cfg.Version = 2, "1.2.3-test"
	w.start(cfg)
	const n = 10
	pings := 0
	open := map[string]uint64{} // commands of those that stay, by the client's address
	for i := range n {
		nc, err := net.Dial("tcp", w.front().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := NewConn(metered{nc, &clients}, "client")
		do := steps(Enter(Caps))
		for range i {
			do = append(do, SendPacket(0, ping), ExpectPacket(1, OK(0)))
		}
		if i%2 == 0 {
			open[nc.LocalAddr().String()] = uint64(i)
		} else {
			do = append(do, SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
			pings++ // it is a command too
		}
		if err := c.Run(do...); err != nil {
			t.Fatal(err)
		}
		if i%2 != 0 {
			nc.Close()
		}
		pings += i
	}
	w.tells("sessions", func(f Figures) any { return closed(f) }, map[string]uint64{"client_quit": n / 2})
	w.tells("connections to the backend", func(f Figures) any { return f.Backends[0].Servers }, n/2)
	f := w.figures()
	if f.Version != cfg.Version || f.Started.IsZero() || f.Now.Before(f.Started) {
		t.Errorf("version %q, started %v, now %v", f.Version, f.Started, f.Now)
	}
	got := sum(f.Loops)
	want := LoopFigures{Sessions: n / 2, Servers: n / 2, Accepted: n, Commands: uint64(pings), BytesIn: clients.out.Load(), BytesOut: clients.in.Load()}
	if got != want {
		t.Errorf("the loops have\n%+v, want\n%+v", got, want)
	}
	if len(f.Loops) != 2 || f.Loops[0].Number != 0 || f.Loops[1].Number != 1 {
		t.Errorf("the loops are %+v", f.Loops)
	}
	b := f.Backends[0]
	if !b.Since.After(f.Started.Add(-time.Minute)) || b.Since.After(f.Now) {
		t.Errorf("the backend is up since %v", b.Since)
	}
	b.Since = time.Time{}
	if want := (BackendFigures{
		Address: s.Addr().String(), Type: "rw", State: "up", Health: "unknown", Role: "unknown", Duty: "online", Leads: true, Weight: 1, Clients: n / 2, Servers: n / 2,
		Connects: n, Commands: uint64(pings), BytesIn: servers.out.Load(), BytesOut: servers.in.Load(),
	}); !reflect.DeepEqual(b, want) {
		t.Errorf("the backend has\n%+v, want\n%+v", b, want)
	}
	if f.Routes != nil || f.Pins != nil || f.Identities != nil || f.Hooks != nil {
		t.Errorf("without splitting and a script there are %v, %v, %v, %v", f.Routes, f.Pins, f.Identities, f.Hooks)
	}
	if m := f.Memory; m.Heap == 0 || m.Total < m.Heap || m.Goroutines < 3 || f.CPU == 0 {
		t.Errorf("the memory is %+v, the time %v", m, f.CPU)
	}
	last, seen := uint64(0), map[string]uint64{}
	for _, s := range w.sessions() {
		if s.ID <= last || s.ID > n || s.User != "app" || s.State != "ready" || s.Home != b.Address || s.Thread != 77 || s.Statements != -1 ||
			s.DatabaseKnown || s.Admin || s.Script || s.TLS || s.InTransaction || s.Reader != "" || s.Identity != "" {
			t.Errorf("a session is %+v", s)
		}
		last, seen[s.Client] = s.ID, s.Commands
	}
	if !maps.Equal(seen, open) {
		t.Errorf("the sessions have commands %v, want %v", seen, open)
	}
}

func TestFiguresOfSplitting(t *testing.T) {
	w := newWorld(t)
	ok, okSent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	quits := []Step{ExpectPacket(0, []byte{1}), ExpectEnd()}
	primary := append(atHomeBegins(), gets("INSERT INTO t VALUES (1)", okSent), gets("SELECT GET_LOCK('a', 1)", one("1")), gets("SELECT b FROM t", one("p")),
		gets("BEGIN", SendPacket(1, OK(packet.StatusInTrans))), ExpectEnd())
	cfg := w.config(w.server(primary), w.server(append(steps(lets(), gets("SELECT a FROM t", one("r"))), quits...)))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), asks("SELECT a FROM t", sees("r")))
	s := w.sessions()[0]
	if home, reader := cfg.Backends[0].Addr.String(), cfg.Backends[1].Addr.String(); s.Home != home || s.Reader != reader || s.LastRoute != "replica" || s.LastReason != "read" ||
		s.Pins != nil || s.Identity != "users_file" || !s.DatabaseKnown || s.Statements != 0 || s.Waits != "" || s.Commands != 1 {
		t.Errorf("the session is %+v", s)
	}
	if err := c.Run(asks("INSERT INTO t VALUES (1)", ok), asks("SELECT GET_LOCK('a', 1)", sees("1")), asks("SELECT b FROM t", sees("p")), asks("BEGIN", ExpectPacket(1, OK(packet.StatusInTrans)))); err != nil {
		t.Fatal(err)
	}
	if s := w.sessions()[0]; s.LastRoute != "primary" || s.LastReason != "transaction" || !slices.Equal(s.Pins, []string{"named_lock"}) || !s.InTransaction || s.Commands != 5 {
		t.Errorf("the session is %+v", s)
	}
	f := w.figures()
	routes := map[string]uint64{}
	for _, r := range f.Routes {
		if r.Commands > 0 {
			routes[r.To+" "+r.Reason] = r.Commands
		}
	}
	if want := map[string]uint64{"replica read": 1, "primary write": 1, "primary function": 1, "primary named_lock": 1, "primary transaction": 1}; !maps.Equal(routes, want) {
		t.Errorf("the routes are %v, want %v", routes, want)
	}
	for _, p := range f.Pins {
		if want := map[bool]int{true: 1}[p.Reason == "named_lock"]; p.Sessions != want {
			t.Errorf("%d sessions are pinned by %s, want %d", p.Sessions, p.Reason, want)
		}
	}
	for _, id := range f.Identities {
		if want := map[bool]int{true: 1}[id.How == "users_file"]; id.Sessions != want || id.Owned != (id.How == "users_file" || id.How == "relay" || id.How == "sync") {
			t.Errorf("identities: %+v, want %d sessions", id, want)
		}
	}
	if home, reader := f.Backends[0], f.Backends[1]; home.Commands != 4 || reader.Commands != 1 || home.Clients != 1 || reader.Clients != 1 || reader.Type != "ro" {
		t.Errorf("the backends are %+v and %+v", home, reader)
	}
	c.Close()
	w.wantEnd(1, ReasonClientClosed)
	f = w.figures()
	for _, p := range f.Pins {
		if p.Sessions != 0 {
			t.Errorf("in the end %+v", p)
		}
	}
	for _, id := range f.Identities {
		if id.Sessions != 0 {
			t.Errorf("in the end %+v", id)
		}
	}
}

// A read that the replica refuses is a command for both.
func TestFiguresOfAReadThatIsAskedForTwice(t *testing.T) {
	w := newWorld(t)
	sql := "SELECT a FROM t"
	replica := steps(lets(), gets(sql, SendPacket(1, packet.AppendERR(nil, 1290, "HY000", "read only"))), ExpectPacket(0, []byte{1}), ExpectEnd())
	cfg := w.config(w.server(append(atHomeBegins(), gets(sql, one("p")), ExpectEnd())), w.server(replica))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), asks(sql, sees("p")))
	f := w.figures()
	if home, reader, all := f.Backends[0].Commands, f.Backends[1].Commands, sum(f.Loops).Commands; home != 1 || reader != 1 || all != 1 {
		t.Errorf("%d commands at home, %d at the reader, %d of the client; want one each", home, reader, all)
	}
	if s := w.sessions()[0]; s.LastRoute != "primary" || s.LastReason != "replica_error" {
		t.Errorf("the session is %+v", s)
	}
	c.Close()
	w.wantEnd(1, ReasonClientClosed)
}

// Each reason has one row for each side that it can have.
func TestFiguresHaveEachLabelOnce(t *testing.T) {
	var all tally
	for to := range all.routes {
		for why := range all.routes[to] {
			all.routes[to][why] = 1
		}
	}
	seen := map[string]bool{}
	count := func(kind, label string) {
		if key := kind + " " + label; label == "" || seen[key] {
			t.Errorf("%q is there twice, or empty", key)
		} else {
			seen[key] = true
		}
	}
	commands := uint64(0)
	for _, r := range all.routeFigures() {
		count("route "+r.To, r.Reason)
		if r.To == "primary" {
			commands += r.Commands
		}
	}
	if want := uint64(packet.RouteReasons) + uint64(routeReasons-RouteCommand); commands != want {
		t.Errorf("%d reasons to go home are counted, want %d", commands, want)
	}
	for _, p := range all.pinFigures() {
		count("pin", p.Reason)
	}
	for _, id := range all.identityFigures() {
		count("identity", id.How)
	}
	for _, c := range all.closeFigures() {
		count("close", c.Reason)
		count("close "+c.Reason, c.Fault)
	}
	for _, h := range all.hookFigures() {
		count("hook", h.Hook)
	}
}

func TestFiguresOfAScript(t *testing.T) {
	w := newWorld(t)
	h := pooling()
	query := h.query
	n := 0
	h.query = func(s hook.Session, p []byte) hook.Verdict {
		v := query(s, p)
		n++
		v.Failed = n == 2
		return v
	}
	cfg := w.config(w.serverOf(yes).Addr())
	with(h)(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(Caps))
	const commands = 2*hookTimed + 3
	for range commands {
		if err := c.Run(SendPacket(0, ping), ExpectPacket(1, OK(0))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a session in the pool", func() error {
		pools, err := w.proxy.Pools(t.Context())
		if err != nil || len(pools) != 1 || pools[0].OldestIdle < 0 {
			return fmt.Errorf("%+v, %v", pools, err)
		}
		pools[0].OldestIdle = 0
		if want := (PoolFigures{Backend: cfg.Backends[0].Addr.String(), User: "app", Idle: 1}); pools[0] != want {
			return fmt.Errorf("%+v, want %+v", pools[0], want)
		}
		return nil
	})
	s := w.sessions()[0]
	if !s.Script || s.Home != "" || s.Thread != 0 || s.User != "app" || s.Commands != commands || !s.DatabaseKnown {
		t.Errorf("the session is %+v", s)
	}
	c.Close()
	w.wantEnd(1, ReasonClientClosed)
	type calls struct{ calls, failures, timed uint64 }
	got := map[string]calls{}
	f := w.figures()
	for _, h := range f.Hooks {
		if h.Calls > 0 {
			got[h.Hook] = calls{h.Calls, h.Failures, h.Timed}
		}
		if (h.Time > 0) != (h.Timed > 0) {
			t.Errorf("%s took %v in %d calls", h.Hook, h.Time, h.Timed)
		}
	}
	if want := map[string]calls{
		"connect_server": {1, 0, 1}, "read_auth_result": {1, 0, 1}, "read_query": {commands, 1, 3}, "read_query_result": {commands, 0, 3}, "disconnect_client": {1, 0, 1},
	}; !maps.Equal(got, want) {
		t.Errorf("the hooks have %v, want %v", got, want)
	}
	if b := f.Backends[0]; b.Idle != 1 || b.Clients != 0 || b.Servers != 1 || b.Commands != commands || b.Connects != 1 {
		t.Errorf("the backend is %+v", b)
	}
}

// What goes wrong with connects is counted, and kept in words.
func TestFiguresOfABackendThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.refused()))
	w.clientNow("client", ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
	w.wantEnd(1, ReasonNoBackend)
	f := w.figures()
	b := f.Backends[0]
	if b.Failures != 1 || b.Connects != 0 || b.State != "down" || b.LastError == "" || b.LastAt.IsZero() || b.LastAt.After(f.Now) || b.Clients != 0 || b.Servers != 0 {
		t.Errorf("the backend is %+v", b)
	}
	if got := closed(f); !maps.Equal(got, map[string]uint64{"no_backend": 1}) {
		t.Errorf("sessions ended by %v", got)
	}
}

func TestFiguresLeaveAStoppedLoopOut(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.refused())
	cfg.Loops = 2
	w.start(cfg)
	l := w.proxy.loops[1]
	l.Post(l.drain)
	<-l.empty
	l.Stop()
	if f := w.figures(); len(f.Loops) != 1 || f.Loops[0].Number != 0 || len(f.Backends) != 1 {
		t.Errorf("with one of two loops stopped: %+v", f)
	}
	w.stop()
	if f := w.figures(); len(f.Loops) != 0 || len(f.Backends) != 1 {
		t.Errorf("with all loops stopped: %+v", f)
	}
	if s := w.sessions(); len(s) != 0 {
		t.Errorf("with all loops stopped: %+v", s)
	}
}

func TestFiguresAreNotWaitedForTooLong(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.refused()))
	busy, over := make(chan bool), make(chan bool)
	w.proxy.loops[0].Post(func() { close(busy); <-over })
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.proxy.Figures(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("figures: %v", err)
	}
	if _, err := w.proxy.Sessions(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("sessions: %v", err)
	}
	if _, err := w.proxy.Pools(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("pools: %v", err)
	}
	close(over)
}

// A question that panics costs nothing but its answer.
func TestAskingALoopThatPanics(t *testing.T) {
	w := newWorld(t)
	w.panics = true
	cfg := w.config(w.refused())
	cfg.Loops = 2
	w.start(cfg)
	got, err := askLoops(t.Context(), w.proxy, func(l *loop) int {
		if l.number == 0 {
			panic("a question that must not be asked")
		}
		return l.number
	})
	if err != nil || !slices.Equal(got, []int{1}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Figures are asked for while sessions come and go. In the end nothing is lost.
func TestFiguresInAStorm(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.serverOf(yes).Addr())
	cfg.Loops = 2
	w.start(cfg)
	const clients, each = 8, 10
	over := make(chan struct{})
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for last := uint64(0); ; {
				f := w.figures()
				w.proxy.Events()
				if s := w.sessions(); !slices.IsSortedFunc(s, func(a, b SessionFigures) int { return cmp.Compare(a.ID, b.ID) }) {
					t.Errorf("sessions out of order: %+v", s)
				}
				all := sum(f.Loops)
				ended := uint64(0)
				for _, n := range closed(f) {
					ended += n
				}
				if all.Accepted < last || all.Accepted != ended+uint64(all.Sessions) {
					t.Errorf("%d sessions were accepted, then %d; %d have ended, %d are there", last, all.Accepted, ended, all.Sessions)
				}
				last = all.Accepted
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	for range clients {
		w.peers.Go(func() {
			for range each {
				c, err := Dial(w.front(), "client")
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.Run(Enter(Caps), SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	w.peers.Wait()
	w.tells("sessions", func(f Figures) any { return sum(f.Loops).Sessions }, 0)
	close(over)
	asking.Wait()
	f := w.figures()
	all := sum(f.Loops)
	if all.Accepted != clients*each || all.Commands != clients*each || f.Backends[0].Commands != clients*each || f.Backends[0].Connects != clients*each {
		t.Errorf("the loops have %+v, the backend %+v", all, f.Backends[0])
	}
	if got := closed(f); !maps.Equal(got, map[string]uint64{"client_closed": clients * each}) {
		t.Errorf("sessions ended by %v", got)
	}
}

func TestFiguresLeaveTheAdminPortApart(t *testing.T) {
	w := newWorld(t)
	w.console(&hooks{query: func(hook.Session, []byte) hook.Verdict { return sendResult(OK(0)) }})
	c := w.dialConsole()
	if err := c.Run(adminLogin("root", "secret", packet.CapProtocol41|packet.CapSecureConnection|packet.CapLongPassword), ExpectPacket(2, OK(0)), SendPacket(0, Query("SELECT 1")), ExpectPacket(1, OK(0))); err != nil {
		t.Fatal(err)
	}
	f := w.figures()
	if all := sum(f.Loops); all != (LoopFigures{Admin: 1}) {
		t.Errorf("the loops have %+v", all)
	}
	if s := w.sessions(); len(s) != 1 || !s[0].Admin || s[0].Script || s[0].User != "root" || s[0].State != "ready" {
		t.Errorf("the sessions are %+v", s)
	}
	c.Close()
	w.session(1)
	f = w.figures()
	if got, all := closed(f), sum(f.Loops); len(got) != 0 || all != (LoopFigures{}) {
		t.Errorf("sessions ended by %v, the loops have %+v", got, all)
	}
}
