package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// identified has the proxy own the secret of each client and split, with nothing to
// read from.
func identified(c *Config) { asEverybody(c) }

// ordered has the first backend that is up take everything.
func ordered(c *Config) { identified(c); c.Failover = FailoverOrdered }

// failing starts a proxy whose probes see patients.
func (w *world) failing(change func(*Config), backends ...net.Addr) (patients []*patient) {
	w.Helper()
	cfg := w.config(backends...)
	cfg.Health = &HealthConfig{Interval: 2 * time.Millisecond, Timeout: time.Hour, Rise: 1, Fall: 1}
	cfg.Listen = []reactor.Addr{addrFor(w.refused())}
	change(&cfg)
	w.make(cfg)
	for _, b := range w.proxy.Backends() {
		p := &patient{writable: true}
		patients = append(patients, p)
		b.prober.Load().dial = p.dial
	}
	w.begin()
	for i := range backends {
		w.becomes(i, HealthGood)
	}
	return patients
}

// simple is a server that says who it is, lets everybody in, and notes what it is
// asked by clients.
type simple struct {
	name     string
	sessions atomic.Int32
	commands atomic.Int32
	hangs    atomic.Bool
	slow     chan struct{} // where it stops in a SELECT that says slow
	lingers  chan struct{} // until when it does not close after a COM_QUIT
	quits    atomic.Int32

	mu    sync.Mutex
	conns []*Conn
}

// dies ends its sessions; its listener is the test's to close.
func (s *simple) dies() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *simple) serve(_ int, c *Conn) error {
	s.mu.Lock()
	s.conns = append(s.conns, c) // before anybody hears that it is let in
	s.mu.Unlock()
	if err := c.Run(lets()); err != nil {
		return nil //nolint:nilerr // the client knows whether that was right
	}
	s.sessions.Add(1)
	defer s.sessions.Add(-1)
	status := uint16(packet.StatusAutocommit)
	inserted := 0
	for {
		p, err := c.ReadPacket()
		if err == nil && p.Payload()[0] == byte(packet.ComQuit) && s.lingers != nil {
			s.quits.Add(1)
			<-s.lingers
		}
		if err != nil || p.Payload()[0] == byte(packet.ComQuit) {
			return nil //nolint:nilerr // as above
		}
		text := string(p.Payload()[1:])
		if text == "SELECT 'who', 'slow' FROM t" && s.slow != nil {
			<-s.slow
			<-s.slow
			return c.Run(Reset())
		}
		if s.hangs.Load() {
			continue
		}
		switch text {
		case "BEGIN":
			status |= packet.StatusInTrans
		case "COMMIT":
			status &^= packet.StatusInTrans
		}
		ok := packet.OK{Status: status}
		switch text {
		case generates:
			inserted++
			ok.LastInsertID = uint64(inserted)
		case gives:
			ok.LastInsertID = 7
		}
		step := SendPacket(1, ok.Append(nil, 0))
		if len(text) > 6 && text[:6] == "SELECT" {
			said := s.name
			switch {
			case text == "SELECT LAST_INSERT_ID()":
				said = strconv.Itoa(inserted)
			case len(text) > 8 && text[:8] == "SELECT @":
				said = "1"
			default:
				s.commands.Add(1)
			}
			b, _ := Result(nil, 1, ModernCaps, status&packet.StatusInTrans, said)
			step = Send(b)
		}
		if err := c.Run(step); err != nil {
			return nil //nolint:nilerr // as above
		}
	}
}

func (w *world) simple(name string) (*simple, net.Addr) {
	s := &simple{name: name}
	return s, w.serverOf(s.serve).Addr()
}

// keeps waits until so many sessions with the server are left: that probes have
// found it DOWN does not mean that each loop has heard of it.
func (s *simple) keeps(t *testing.T, sessions int32) {
	t.Helper()
	eventually(t, "sessions have left "+s.name, func() error {
		if n := s.sessions.Load(); n != sessions {
			return fmt.Errorf("%d are there, want %d", n, sessions)
		}
		return nil
	})
}

// who asks a read for its server.
func who(name string) Step { return asks("SELECT 'who' FROM t", sees(name)) }

// whoTrans is the same in a transaction.
func whoTrans(name string) Step {
	b, _ := Result(nil, 1, ModernCaps, packet.StatusInTrans, name)
	return asks("SELECT 'who' FROM t", Expect(b))
}

var (
	noAnswer = &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	beginOK  = asks("BEGIN", ExpectPacket(1, OK(packet.StatusInTrans)))
	writeOK  = asks("INSERT INTO t VALUES (1)", ExpectPacket(1, OK(0)))

	generated = asks(generates, ExpectPacket(1, (&packet.OK{Status: packet.StatusAutocommit, LastInsertID: 1}).Append(nil, 0)))
	given     = asks(gives, ExpectPacket(1, (&packet.OK{Status: packet.StatusAutocommit, LastInsertID: 7}).Append(nil, 0)))
	lostID    = asks("SELECT LAST_INSERT_ID() AS id", ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())
)

// Statements whose OK has an insert id. That of a row that has its own is in the OK
// and is not LAST_INSERT_ID().
const (
	generates = "INSERT INTO t (a) VALUES (1)"
	gives     = "INSERT INTO t (id) VALUES (7)"
)

// A, then B while A is DOWN, then A again: idle sessions move, one in a transaction
// stays to its end.
func TestOrderedFailover(t *testing.T) {
	w := newWorld(t)
	a, aAddr := w.simple("A")
	b, bAddr := w.simple("B")
	patients := w.failing(ordered, aAddr, bAddr)
	run := func(c *Conn, s ...Step) {
		t.Helper()
		if err := c.Run(s...); err != nil {
			t.Error(err)
		}
	}
	enter := Enter(ModernCaps)
	idle, wrote, open := w.clientNow("idle", enter, who("A")), w.clientNow("wrote", enter, writeOK), w.clientNow("open", enter, beginOK, whoTrans("A"))
	if n := b.sessions.Load(); n != 0 {
		t.Errorf("%d sessions with B while A is up", n)
	}
	patients[0].is(table{}, noAnswer)
	w.becomes(0, HealthDown)
	a.keeps(t, 1) // the transaction
	run(idle, who("B"))
	run(wrote, writeOK, who("B"))
	run(open, whoTrans("A")) // A answers it, whatever probes see
	fresh, transacting := w.clientNow("fresh", enter, who("B")), w.clientNow("in a transaction", enter, beginOK, whoTrans("B"))
	rests := w.clientNow("at rest", enter, asks("COMMIT", ExpectPacket(1, OK(0))))
	before := b.sessions.Load()
	patients[0].is(table{}, nil)
	w.becomes(0, HealthGood)
	eventually(t, "the session at rest has left B", func() error {
		if n := b.sessions.Load(); n >= before {
			return fmt.Errorf("%d sessions are there", n)
		}
		return nil
	})
	for _, c := range []*Conn{idle, wrote, fresh, rests} { // the others with their next command
		run(c, who("A"))
	}
	run(transacting, whoTrans("B"), asks("COMMIT", ExpectPacket(1, OK(0))), who("A"))
	run(open, whoTrans("A"))
	if n := a.sessions.Load(); n != 6 {
		t.Errorf("%d sessions with A, want all 6", n)
	}
	var told []string
	for _, l := range w.log.about("writes go to another server") {
		told = append(told, l.attrs["backend"]+" after "+l.attrs["was"])
	}
	is, was := aAddr.String(), bAddr.String()
	want := []string{is + " after none", was + " after " + is, is + " after " + was}
	if !slices.Equal(told, want) {
		t.Errorf("the log has that writes went to %q, want %q", told, want)
	}
}

// Without probes a failed connect shows that A is DOWN, and a client that comes more
// than four seconds later that it is back.
func TestOrderedFailoverWithoutProbes(t *testing.T) {
	w := newWorld(t)
	a, b := w.listen(), &simple{name: "B"}
	aAddr := a.Addr()
	a.Close()
	cfg := w.config(aAddr, w.serverOf(b.serve).Addr())
	ordered(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), who("B"))
	backends := w.proxy.Backends()
	if s := backends[0].State(); s != BackendDown {
		t.Errorf("A is %s", s)
	}
	backends[0].since.Add(3600) // it is not tried again, however long this takes
	back, err := net.Listen("tcp", aAddr.String())
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(back, (&simple{name: "A"}).serve)
	w.servers = append(w.servers, s)
	w.clientNow("before it is tried again", Enter(ModernCaps), who("B"))
	backends[0].since.Add(-3600 - wakeAfter - 1)
	w.proxy.backends.checked.Store(0)
	w.clientNow("after", Enter(ModernCaps), who("A"))
	if err := c.Run(who("A")); err != nil {
		t.Error(err)
	}
}

// What a session has beside keeps it from moving: it ends with its server.
func TestStateKeepsASessionFromMoving(t *testing.T) {
	ok, ends := ExpectPacket(1, OK(0)), ExpectEnd()
	for _, tc := range []struct {
		name  string
		state []Step
		after Step
	}{
		{"a user variable", steps(asks("SET @a = 1", ok)), ends},
		{"a temporary table", steps(asks("CREATE TEMPORARY TABLE t (a INT)", ok)), ends},
		{"a named lock", steps(asks("SELECT GET_LOCK('a', 1)", sees("A"))), ends},
		{"a transaction", steps(beginOK), ends},
		{"nothing", steps(who("A")), who("B")},
		{"a write", steps(writeOK), who("B")},
		{"a write, whose row count is asked for", steps(writeOK), asks("SELECT ROW_COUNT()", ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())},
		{"a variable", steps(asks("SET sql_mode = 'ANSI'", ok)), who("B")},
		{"an idle one, whose row count was asked for", steps(writeOK, who("A")), who("B")},
		{"an insert id", steps(generated), who("B")},
		{"an insert id, which is asked for", steps(generated, who("A")), All("then", who("B"), lostID)},
		{"an insert id, which a procedure may ask for", steps(generated), asks("CALL p()", ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())},
		{"an insert id that is another by then", steps(generated), All("then", who("B"), generated, asks("SELECT LAST_INSERT_ID() AS id", sees("B")))},
		{"an insert id that an insert does not change", steps(generated), All("then", given, lostID)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			a, b := &simple{name: "A"}, &simple{name: "B"}
			ln := w.listen()
			w.servers = append(w.servers, NewServer(ln, a.serve))
			cfg := w.config(ln.Addr(), w.serverOf(b.serve).Addr())
			ordered(&cfg)
			w.start(cfg)
			c := w.clientNow("client", append(steps(Enter(ModernCaps)), tc.state...)...)
			ln.Close()
			a.dies()
			a.keeps(t, 0)
			if err := c.Run(tc.after); err != nil {
				t.Error(err)
			}
		})
	}
}

// While there is no primary, clients wait, new ones and those with a command, and
// each command is sent once.
func TestClientsWaitForAPrimary(t *testing.T) {
	w := newWorld(t)
	a, aAddr := w.simple("A")
	patients := w.failing(func(c *Config) { ordered(c); c.FailoverWait = time.Hour }, aAddr, w.refused())
	patients[1].is(table{}, noAnswer)
	w.becomes(1, HealthDown)
	idle := w.clientNow("idle", Enter(ModernCaps), who("A"))
	patients[0].is(table{}, noAnswer)
	w.becomes(0, HealthDown)
	a.keeps(t, 0)
	before := a.commands.Load()
	const n = 20
	for i := range n {
		w.client(fmt.Sprint("new ", i), Enter(ModernCaps), who("A"), Fin())
	}
	if err := idle.Run(SendPacket(0, Query("SELECT 'who' FROM t"))); err != nil {
		t.Fatal(err)
	}
	gone := w.clientNow("one that goes away")
	silent := w.clientNow("one that says something and goes away", SendPacket(1, []byte("hello")))
	w.waiting(n + 3)
	gone.Close()
	silent.Close()
	eventually(t, "those are gone", func() error {
		w.pass(seekLook)
		return w.wait("primary", n+1)
	})
	w.waiting(n + 1)
	patients[0].is(table{}, nil)
	if err := idle.Run(sees("A")); err != nil {
		t.Error(err)
	}
	w.peers.Wait()
	if got := a.commands.Load() - before; got != n+1 {
		t.Errorf("%d commands have reached the server, want %d", got, n+1)
	}
	w.waiting(0)
}

// waiting waits until so many sessions wait for a primary.
func (w *world) waiting(want int) {
	w.Helper()
	eventually(w, fmt.Sprintf("%d wait", want), func() error {
		f, err := w.proxy.Figures(context.Background())
		if err != nil {
			return err
		}
		if f.WaitingForPrimary != want {
			return fmt.Errorf("%d do", f.WaitingForPrimary)
		}
		return w.wait("primary", want)
	})
}

// The wait has an end: its time, or that of the proxy.
func TestTheWaitForAPrimaryEnds(t *testing.T) {
	for _, tc := range []struct {
		name         string
		wait         time.Duration
		fresh, again Step
	}{
		{"in vain", 300 * time.Millisecond,
			ExpectERR(0, 2013, "", "(proxy) Lost connection: no server took writes within --failover-wait"),
			ExpectERR(1, 2013, "08S01", "(proxy) Lost connection: no server took writes within --failover-wait")},
		{"because the proxy stops", time.Hour, ExpectERR(0, 1053, "", "Server shutdown in progress"), ExpectERR(1, 1053, "08S01", "Server shutdown in progress")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			a, aAddr := w.simple("A")
			patients := w.failing(func(c *Config) { ordered(c); c.FailoverWait = tc.wait }, aAddr)
			idle := w.clientNow("idle", Enter(ModernCaps), who("A"))
			patients[0].is(table{}, noAnswer)
			w.becomes(0, HealthDown)
			a.keeps(t, 0)
			w.client("fresh", tc.fresh, ExpectEnd())
			w.client("splitting", steps(tc.fresh, ExpectEnd())...)
			if err := idle.Run(SendPacket(0, Query("INSERT INTO t VALUES (1)"))); err != nil {
				t.Fatal(err)
			}
			if w.waiting(3); tc.wait == time.Hour {
				w.proxy.Shutdown()
			} else {
				w.pass(tc.wait + seekLook)
			}
			if err := idle.Run(tc.again, ExpectEnd()); err != nil {
				t.Error(err)
			}
			w.peers.Wait()
		})
	}
}
