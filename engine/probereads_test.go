package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// patient is what a probe of the test's sees of a backend: that which was set last.
type patient struct {
	mu       sync.Mutex
	findings table // of its replication
	err      error
	delay    time.Duration
	writable bool
	member   bool         // of a Galera group that is in step, and then writable
	open     atomic.Int32 // sessions
}

func (p *patient) is(replication table, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.findings, p.err = replication, err
}

// slow has it answer slowly.
func (p *patient) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

func (p *patient) dial(context.Context) (asker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	p.open.Add(1)
	return p, nil
}

func (p *patient) close() { p.open.Add(-1) }

func (p *patient) ask(_ context.Context, query string) (table, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	time.Sleep(p.delay)
	switch {
	case p.err != nil:
		return table{}, p.err
	case p.member && query == kinds:
		return rows("Variable_name Value", "version 11.8.9-MariaDB", "read_only OFF", "wsrep_on ON"), nil
	case p.member && strings.HasPrefix(query, "SHOW GLOBAL STATUS"):
		return rows("Variable_name Value", "wsrep_local_state 4", "wsrep_cluster_status Primary", "wsrep_ready ON"), nil
	case p.member:
		return rows("read_only", "0"), nil
	case query == kinds:
		return rows("Variable_name Value", "version 9.7.4", "read_only ON"), nil
	case query == "SHOW REPLICA STATUS":
		return p.findings, nil
	}
	if p.writable {
		return rows("read_only", "0"), nil
	}
	return rows("read_only", "1"), nil
}

var inStep = rows("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source", "Yes Yes 0")

// examined starts a proxy that splits, and whose probes see patients.
func (w *world) examined(backends ...net.Addr) (patients []*patient) {
	w.Helper()
	cfg := w.config(backends...)
	for i := range cfg.Backends {
		cfg.Backends[i].ReadOnly = i > 0
	}
	asEverybody(&cfg)
	cfg.Health = &HealthConfig{Interval: 2 * time.Millisecond, Timeout: Patience, Rise: 1, Fall: 1, MaxLag: 10 * time.Second}
	cfg.Listen = []reactor.Addr{addrFor(w.refused())}
	w.make(cfg)
	for _, b := range w.proxy.Backends() {
		p := &patient{findings: inStep}
		patients = append(patients, p)
		b.prober.Load().dial = p.dial
	}
	w.begin()
	w.becomes(0, HealthGood)
	return patients
}

// becomes waits until probes have found a backend to be fit for this, and the loops
// have done what comes of it: a command that is sent from now on is behind that.
func (w *world) becomes(i int, want Health) {
	w.Helper()
	w.found(i, want)
	w.probedAgain(w.proxy.Backends()[i])
	w.heard(func(*loop) {})
}

// found waits until probes have found a backend to be fit for this.
func (w *world) found(i int, want Health) {
	w.Helper()
	b := w.proxy.Backends()[i]
	eventually(w, fmt.Sprintf("backend %d is %s", i, want), func() error {
		if got := b.Health(); got != want {
			return errors.New(got.String())
		}
		return nil
	})
}

// probedAgain waits for the end of a probe that begins after those which are on: what
// these have found has been passed on by then.
func (w *world) probedAgain(b *Backend) {
	w.Helper()
	n := b.probed.probes.Load()
	eventually(w, "it is probed again", func() error {
		if now := b.probed.probes.Load(); now == n {
			return fmt.Errorf("%d probes so far", now)
		}
		return nil
	})
}

func TestReadsLeaveAReplicaThatProbesFindUnfit(t *testing.T) {
	stopped := rows("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source", "Yes No NULL")
	lagging := rows("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source", "Yes Yes 11")
	dead := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	quits := steps(ExpectPacket(0, []byte{1}), ExpectEnd())
	read := func(i int) string { return fmt.Sprintf("SELECT %d FROM t", i) }
	for _, tc := range []struct {
		name     string
		status   table
		err      error
		health   Health
		primary  []Step
		replicas [][]Step // of the first one, by connection
	}{
		{"lagging", lagging, nil, HealthLagging, steps(gets(read(2), one("2"))), [][]Step{append(append(steps(lets()), gets(read(1), one("1"))), quits...)}},
		{"stopped", stopped, nil, HealthStopped, steps(gets(read(2), one("2"))), [][]Step{append(append(steps(lets()), gets(read(1), one("1"))), quits...)}},
		{"no replica", rows("Replica_IO_Running"), nil, HealthNotReplica, steps(gets(read(2), one("2"))), [][]Step{append(append(steps(lets()), gets(read(1), one("1"))), quits...)}},
		{"down", table{}, dead, HealthDown, steps(gets(read(2), one("2"))), [][]Step{append(append(steps(lets()), gets(read(1), one("1"))), quits...)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.server(append(append(atHomeBegins(), tc.primary...), ExpectEnd()))
			patients := w.examined(p, w.server(tc.replicas...))
			w.becomes(1, HealthGood)
			c := w.clientNow("client", append(steps(Enter(ModernCaps)), asks(read(1), sees("1")))...)
			patients[1].is(tc.status, tc.err)
			w.becomes(1, tc.health)
			if err := c.Run(asks(read(2), sees("2")), Fin()); err != nil {
				t.Error(err)
			}
			w.wantEnd(1, ReasonClientClosed)
			want := RouteLagging
			if tc.health == HealthDown {
				want = RouteNoReplica
			}
			if got := w.log.about("reason:" + want.String()); len(got) == 0 {
				t.Errorf("no command went home for %s", want)
			}
		})
	}
}

// One that is fit takes over from one that is not any more.
func TestReadsGoToAnotherReplica(t *testing.T) {
	w := newWorld(t)
	quits := steps(ExpectPacket(0, []byte{1}), ExpectEnd())
	const sql = "SELECT a FROM t"
	replica := func(name string) net.Addr {
		return w.server(append(append(steps(lets()), gets(sql, one(name))), quits...))
	}
	patients := w.examined(w.server(append(atHomeBegins(), ExpectEnd())), replica("1"), replica("2"))
	lagging := rows("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source", "Yes Yes 11")
	patients[2].is(lagging, nil)
	w.becomes(1, HealthGood)
	w.becomes(2, HealthLagging)
	c := w.clientNow("client", Enter(ModernCaps), asks(sql, sees("1")))
	patients[2].is(inStep, nil)
	w.becomes(2, HealthGood)
	patients[1].is(lagging, nil)
	w.becomes(1, HealthLagging)
	if err := c.Run(asks(sql, sees("2")), Fin()); err != nil {
		t.Error(err)
	}
	w.wantEnd(1, ReasonClientClosed)
}

// always is a source of chance that has none.
type always uint64

func (a always) Uint64() uint64 { return uint64(a) }

// A session leaves a replica that has become slow.
func TestReadsLeaveASlowReplica(t *testing.T) {
	t.Run("slow to answer probes", func(t *testing.T) { testSlowReplica(t, 30*time.Millisecond, 0) })
	t.Run("slow to answer reads", func(t *testing.T) { testSlowReplica(t, 0, 40*time.Millisecond) })
}

func testSlowReplica(t *testing.T, probes, reads time.Duration) {
	w := newWorld(t)
	const sql = "SELECT a FROM t"
	replica := func(name string, delay time.Duration) net.Addr {
		return w.serverOf(func(_ int, c *Conn) error {
			if err := c.Run(lets()); err != nil {
				return err
			}
			for {
				p, err := c.ReadPacket()
				if err != nil || p.Payload()[0] == byte(packet.ComQuit) {
					return err
				}
				time.Sleep(delay)
				if err := c.Run(one(name)); err != nil {
					return err
				}
			}
		}).Addr()
	}
	patients := w.examined(w.server(append(atHomeBegins(), ExpectEnd())), replica("1", reads), replica("2", 0))
	l, dealt := w.proxy.loops[0], make(chan bool)
	l.Post(func() { l.dice = rand.New(always(0)); close(dealt) })
	<-dealt
	patients[2].is(rows("Replica_IO_Running"), nil)
	w.becomes(1, HealthGood)
	w.becomes(2, HealthNotReplica)
	c := w.clientNow("client", Enter(ModernCaps), asks(sql, sees("1")))
	patients[2].is(inStep, nil)
	w.becomes(2, HealthGood)
	patients[1].slow(probes)
	eventually(t, "it is slow", func() error {
		if d := w.proxy.Backends()[1].Latency(); d < probes*2/3 {
			return fmt.Errorf("%v", d)
		}
		return nil
	})
	eventually(t, "reads have left it", func() error { // as soon as the other one is much faster
		w.pass(reviewAfter + 200*time.Millisecond)
		who := ""
		if err := c.Run(asks(sql, Do("see who answers", func(c *Conn) error {
			b, _ := Result(nil, 1, ModernCaps, 0, "1")
			_, err := io.ReadFull(c, b)
			if who = "1"; bytes.Contains(b, []byte{1, '2'}) {
				who = "2"
			}
			return err
		}))); err != nil || who != "2" {
			return fmt.Errorf("%q has answered, %v", who, err)
		}
		return nil
	})
	if err := c.Run(Fin()); err != nil {
		t.Error(err)
	}
	w.wantEnd(1, ReasonClientClosed)
}

// A read that hangs at a replica that is stopped is answered at home once probes
// have found that out; so is one whose session is just being opened there.
func TestAReadThatHangsIsAnsweredAtHome(t *testing.T) {
	const sql = "SELECT a FROM t"
	for name, replica := range map[string][]Step{
		"in the middle of the read":     append(steps(lets()), gets(sql), ExpectEnd()),
		"in the middle of the login":    steps(Greet(Greeting(ModernCaps)), ExpectWhere("a login", func(packet.Packet) error { return nil }), ExpectEnd()),
		"in the header of the response": append(steps(lets()), gets(sql, Send([]byte{1})), ExpectEnd()),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.server(append(atHomeBegins(), gets(sql, one("p")), ExpectEnd()))
			hung := NewGate()
			replica = append(append(replica[:len(replica)-1:len(replica)-1], Open(hung)), replica[len(replica)-1])
			patients := w.examined(p, w.server(replica))
			w.becomes(1, HealthGood)
			w.client("client", Enter(ModernCaps), asks(sql, sees("p")), Fin())
			<-hung
			patients[1].is(table{}, context.DeadlineExceeded)
			w.peers.Wait()
			w.wantEnd(1, ReasonClientClosed)
		})
	}
}

// What a replica has begun to answer is not given up: it may go on.
func TestAResponseThatHasBegunWaits(t *testing.T) {
	const sql = "SELECT a FROM t"
	w := newWorld(t)
	p := w.server(append(atHomeBegins(), ExpectEnd()))
	b, _ := Result(nil, 1, ModernCaps, 0, "r")
	begun, goes := NewGate(), NewGate()
	patients := w.examined(p, w.server(append(steps(lets()), gets(sql, Send(b[:len(b)-1]), Open(begun), Await(goes), Send(b[len(b)-1:])), ExpectPacket(0, []byte{1}), ExpectEnd())))
	w.becomes(1, HealthGood)
	w.client("client", Enter(ModernCaps), asks(sql, sees("r")), Fin())
	<-begun
	eventually(t, "the response is on its way", func() error {
		return w.reading(1)
	})
	patients[1].is(table{}, context.DeadlineExceeded)
	w.becomes(1, HealthDown)
	close(goes)
	w.peers.Wait()
}

// reading tells, by nil, whether a loop has the begin of a response of backend i.
func (w *world) reading(i int) error {
	found := make(chan bool)
	l := w.proxy.loops[0]
	l.Post(func() {
		ok := false
		for c := l.clients; c != nil; c = c.next {
			ok = ok || c.sp != nil && c.sp.reader != nil && c.sp.reader.backend.index == i && c.sp.reader.resp.Begun()
		}
		found <- ok
	})
	if !<-found {
		return errors.New("not yet")
	}
	return nil
}

// Probes end with the engine and close what they have.
func TestProbesEndWithTheEngine(t *testing.T) {
	w := newWorld(t)
	patients := w.examined(w.refused(), w.refused(), BlackHole(w))
	for i := range patients {
		w.found(i, HealthGood)
	}
	w.stop()
	for i, p := range patients {
		if n := p.open.Load(); n != 0 {
			t.Errorf("%d sessions with backend %d are open after the end", n, i)
		}
	}
}

// The driver's own session, at a server that refuses, hangs, or hangs up.
func TestProbesOfServersThatDoNotServe(t *testing.T) {
	for name, tc := range map[string]struct {
		addr func(*world) net.Addr
		want Health
	}{
		"refused":   {(*world).refused, HealthDown},
		"no answer": {func(w *world) net.Addr { return BlackHole(w) }, HealthDown},
		"silent": {func(w *world) net.Addr {
			return w.serverOf(func(_ int, c *Conn) error { return c.Run(ExpectEnd()) }).Addr()
		}, HealthDown},
		"hangs up":         {func(w *world) net.Addr { return w.serverOf(func(_ int, c *Conn) error { return c.Run(Fin()) }).Addr() }, HealthDown},
		"blocks this host": {func(w *world) net.Addr { return w.serverOf(turnsAway(1129)).Addr() }, HealthDown},
		"full":             {func(w *world) net.Addr { return w.serverOf(turnsAway(1040)).Addr() }, HealthUnknown},
		// The driver reads beyond the end of such a column.
		"a column that is cut off": {func(w *world) net.Addr {
			return w.serverOf(func(_ int, c *Conn) error {
				b := packet.AppendPacket(packet.AppendPacket(nil, 1, []byte{1}), 2, []byte{0, 0})
				return c.Run(lets(), ExpectWhere("a query", func(packet.Packet) error { return nil }), Send(b), Drain())
			}).Addr()
		}, HealthUnknown},
		"no MySQL at all": {func(w *world) net.Addr {
			return w.serverOf(func(_ int, c *Conn) error { return c.Run(Send([]byte("SSH-2.0-x\r\n")), ExpectEnd()) }).Addr()
		}, HealthDown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(tc.addr(w))
			cfg.Health = &HealthConfig{
				Interval: 2 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 2, User: "probe",
				Password: func() (string, error) { return "secret", nil },
			}
			w.start(cfg)
			if tc.want == HealthUnknown {
				eventually(t, "the log has why", func() error {
					if len(w.log.about("not let in")) != 1 {
						return errors.New("it has not")
					}
					return nil
				})
			}
			w.found(0, tc.want)
			if name == "silent" {
				// It has been hung up on twice. The third login waits.
				time.Sleep(5 * cfg.Health.Timeout)
				if n := w.servers[0].Connections(); n > 3 {
					t.Errorf("%d logins were begun at a server that says nothing, want 3 at most", n)
				}
			}
		})
	}
}

func turnsAway(code uint16) func(int, *Conn) error {
	return func(_ int, c *Conn) error { return c.Run(SendPacket(0, packet.AppendERR(nil, code, "", "no")), Fin()) }
}
