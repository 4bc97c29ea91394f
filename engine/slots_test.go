package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// fewSessions has the proxy have few sessions.
func fewSessions(sessions int, wait time.Duration) func(*Config) {
	return func(c *Config) { c.Pool = PoolConfig{MaxSessions: sessions, Wait: wait} }
}

// queued waits until n clients wait for a session with the first backend.
func queued(w *world, n int) Step {
	return Do("wait for those that wait", func(*Conn) error {
		eventually(w, "clients that wait", func() error {
			if got := w.engine().Backends()[0].Waiting(); got != n {
				return fmt.Errorf("%d wait, want %d", got, n)
			}
			return w.wait("pool", n)
		})
		return nil
	})
}

// mostAt has a server that counts how many sessions it has at a time.
func mostAt(w *world, handle func(c *Conn) error) (s *Server, most *atomic.Int64) {
	var now atomic.Int64
	most = new(atomic.Int64)
	return w.serverOf(func(_ int, c *Conn) error {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		return handle(c)
	}), most
}

// Who comes when all sessions are taken is greeted when one has ended, in the order
// of arrival.
func TestLoginsWaitForASession(t *testing.T) {
	w := newWorld(t)
	s := w.serverOf(func(_ int, c *Conn) error { return c.Run(served()...) })
	cfg := w.config(s.Addr())
	fewSessions(1, time.Hour)(&cfg)
	cfg.Loops = 2
	w.start(cfg)
	first := w.clientNow("first", Enter(Caps))
	var mu sync.Mutex
	var order []int
	for i := range 5 {
		w.client(fmt.Sprint("client ", i), Enter(Caps), Do("note", func(*Conn) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
			return nil
		}), Fin())
		if err := first.Run(queued(w, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("%d sessions with the server, want 1", n)
	}
	if err := first.Run(Fin()); err != nil {
		t.Error(err)
	}
	w.peers.Wait()
	if fmt.Sprint(order) != "[0 1 2 3 4]" {
		t.Errorf("they were let in in the order %v", order)
	}
}

// A session that has sent COM_QUIT is over when its server closes: it does not give
// that server to somebody who waits.
func TestASessionThatHasQuitGoesToNobody(t *testing.T) {
	w := newWorld(t)
	a := &simple{name: "A", lingers: make(chan struct{})}
	cfg := w.config(w.serverOf(a.serve).Addr())
	ordered(&cfg)
	multiplexed(&cfg)
	cfg.MultiplexDelay = time.Hour
	fewSessions(1, time.Hour)(&cfg)
	w.start(cfg)
	first := w.clientNow("first", Enter(ModernCaps), asks("COMMIT", ExpectPacket(1, OK(0))), SendPacket(0, []byte{byte(packet.ComQuit)}))
	eventually(t, "the server has the COM_QUIT", func() error {
		if a.quits.Load() == 0 {
			return errors.New("it has none")
		}
		return nil
	})
	w.client("second", Enter(ModernCaps), who("A"), Fin())
	if err := first.Run(queued(w, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine().Figures(t.Context()); err != nil { // behind what the loops were told before
		t.Fatal(err)
	}
	close(a.lingers)
	if err := first.Run(ExpectEnd()); err != nil {
		t.Error(err)
	}
	w.peers.Wait()
}

// Who waits and goes leaves no place in the queue and takes none of the sessions.
func TestWaitingClientsThatGo(t *testing.T) {
	for _, tc := range []struct {
		name  string
		leave Step
	}{{"they close", Fin()}, {"they reset", Reset()}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.serverOf(func(_ int, c *Conn) error { return c.Run(served()...) })
			cfg := w.config(s.Addr())
			fewSessions(1, time.Hour)(&cfg)
			w.start(cfg)
			first := w.clientNow("first", Enter(Caps))
			gone := w.clientNow("gone", queued(w, 1))
			w.client("last", Enter(Caps), Fin())
			if err := first.Run(queued(w, 2)); err != nil {
				t.Fatal(err)
			}
			if err := gone.Run(tc.leave); err != nil {
				t.Fatal(err)
			}
			if err := first.Run(queued(w, 1), Fin()); err != nil {
				t.Fatal(err)
			}
			w.peers.Wait()
			if n := s.Connections(); n != 2 {
				t.Errorf("%d sessions with the server, want 2", n)
			}
		})
	}
}

// An idle session is closed for a client that cannot have it, and a session that
// could rest does so for one that waits.
func TestIdleSessionsGiveWay(t *testing.T) {
	w := newWorld(t)
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	home := func(more ...Step) []Step { return append(append(atHomeBegins()[:1], more...), Drain()) }
	track := All("track", ExpectPacket(0, trackMySQL), sent)
	cfg := w.config(w.server(
		home(ExpectPacket(0, tellsMySQL), one("1"), track, gets("COMMIT", sent)),
		home(track, gets("COMMIT", sent), restored, gets("COMMIT", sent)),
	), w.server())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	cfg.MultiplexDelay = time.Hour
	fewSessions(1, time.Hour)(&cfg)
	w.start(cfg)
	a := w.clientNow("a", Enter(ModernCaps), asks("COMMIT", ok))
	w.clientNow("b", Enter(ModernCaps), asks("COMMIT", ok)) // a's goes for its login
	// And then a has b's, if only a moment later: loops do not look all the time.
	if err := a.Run(SendPacket(0, Query("COMMIT")), Do("a moment passes", func(*Conn) error {
		eventually(w, "nobody waits", func() error {
			w.pass(hurryAgain)
			return w.wait("pool", 0)
		})
		return nil
	}), ok); err != nil {
		t.Error(err)
	}
}

// A command that waits in vain for a session with the primary is refused, and the
// client's session goes on.
func TestCommandsThatWaitInVain(t *testing.T) {
	w := newWorld(t)
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	track := All("track", ExpectPacket(0, trackMySQL), sent)
	begun, begins := ExpectPacket(1, OK(packet.StatusInTrans)), SendPacket(1, OK(packet.StatusInTrans))
	cfg := w.config(w.server(
		append(atHomeBegins(), gets("COMMIT", sent), Drain()),
		steps(lets(), track, gets("BEGIN", begins), gets("COMMIT", sent), restored, gets("COMMIT", sent), ExpectPacket(0, ping), sent, Drain()),
	), w.server())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	fewSessions(1, time.Hour)(&cfg)
	w.start(cfg)
	waits := func(within time.Duration) { w.change(func(cfg *Config) { cfg.Pool.Wait = within }) }
	a := w.clientNow("a", Enter(ModernCaps), asks("COMMIT", ok), shelved(w, 1))
	b := w.clientNow("b", Enter(ModernCaps), asks("BEGIN", begun))
	refused := ExpectPacket(1, ReasonPoolWait.appendERR(nil, 0, true)[packet.HeaderLen:])
	closes := []byte{byte(packet.ComStmtClose), 1, 0, 0, 0} // has no response
	waits(short)
	if err := a.Run(SendPacket(0, Query("COMMIT")), queued(w, 1), passes(w, 2*short), refused, SendPacket(0, closes), queued(w, 1), passes(w, 2*short), queued(w, 0),
		SendPacket(0, Query("SELECT a FROM t")), queued(w, 1), passes(w, 2*short), refused); err != nil {
		t.Fatal(err)
	}
	waits(time.Hour)
	if err := b.Run(asks("COMMIT", ok), shelved(w, 1)); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(asks("COMMIT", ok), SendPacket(0, ping), ok); err != nil {
		t.Error(err)
	}
}

// A read that finds no room at a replica is answered by the primary.
func TestReadsWithoutRoomAtTheReplica(t *testing.T) {
	w := newWorld(t)
	home := append(atHomeBegins(), Drain())
	second := steps(lets(), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), gets("SELECT a FROM t", one("p")), Drain())
	cfg := w.config(w.server(home, second), w.server(steps(lets(), gets("SELECT a FROM t", one("r")), Drain())))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	fewSessions(2, time.Hour)(&cfg)
	w.start(cfg)
	replica := w.proxy.Backends()[1]
	replica.slots.force()
	w.clientNow("a", Enter(ModernCaps), asks("SELECT a FROM t", sees("r")))
	w.clientNow("b", Enter(ModernCaps), asks("SELECT a FROM t", sees("p")))
	if r := w.log.all("route"); len(r) != 2 || r[1].attrs["reason"] != RouteFull.String() {
		t.Errorf("the routes are %v", r)
	}
	replica.slots.leave()
}

// What of idle sessions is kept, and for how long.
func TestWhatThePoolKeeps(t *testing.T) {
	for _, tc := range []struct {
		name string
		pool PoolConfig
		want int
	}{
		{"at most so many", PoolConfig{MaxIdle: 2}, 2},
		{"none that is idle for long", PoolConfig{IdleTime: 100 * time.Millisecond}, 0},
		{"so many in any case", PoolConfig{IdleTime: 100 * time.Millisecond, MinIdle: 1}, 1},
		{"none that is old", PoolConfig{MaxAge: 100 * time.Millisecond, MinIdle: 1}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
			begin := func(first ...Step) []Step {
				return append(append(steps(lets()), first...), ExpectPacket(0, trackMySQL), sent, gets("COMMIT", sent), Drain())
			}
			cfg := w.config(w.server(begin(ExpectPacket(0, tellsMySQL), one("1")), begin(), begin()), w.server())
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			multiplexed(&cfg)
			cfg.Pool = tc.pool
			w.start(cfg)
			for range 3 {
				w.clientNow("client", Enter(ModernCaps), asks("COMMIT", ok))
			}
			eventually(w, "rest", func() error {
				w.pass(time.Second)
				if n := w.proxy.Backends()[0].Clients(); n > 0 {
					return fmt.Errorf("%d do not", n)
				}
				return nil
			})
			eventually(t, "sessions", func() error {
				w.pass(time.Second)
				if n := w.proxy.Backends()[0].pools[0].idleOf("app"); n != tc.want {
					return fmt.Errorf("%d are idle, want %d", n, tc.want)
				}
				if n := w.proxy.Backends()[0].Sessions(); n != tc.want {
					return fmt.Errorf("%d are counted, want %d", n, tc.want)
				}
				return nil
			})
		})
	}
}

// Many clients that come, wait, go at any moment or get a session, on several
// loops: never are there more sessions than may be, and in the end nobody waits
// while there is room.
func TestStormOfWaitingClients(t *testing.T) {
	const most = 3
	w := newWorld(t)
	s, peak := mostAt(w, func(c *Conn) error {
		_ = c.Run(served()...) // some clients go within it
		return nil
	})
	cfg := w.config(s.Addr())
	fewSessions(most, time.Hour)(&cfg)
	cfg.Loops = 3
	w.start(cfg)
	b := w.proxy.Backends()[0]
	var entered atomic.Int64
	for i := range 24 {
		w.peers.Add(1)
		go func() {
			defer w.peers.Done()
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range 12 {
				c, err := Dial(w.front(), "client")
				if err != nil {
					t.Error(err)
					return
				}
				if n := b.Sessions(); n > most {
					t.Errorf("%d sessions, want at most %d", n, most)
				}
				switch rng.IntN(3) {
				case 0:
					time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
				case 1:
					time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
					_ = c.Run(Reset())
				default:
					if err := c.Run(Enter(Caps)); err != nil {
						t.Error(err)
					}
					entered.Add(1)
				}
				c.Close()
			}
		}()
	}
	w.peers.Wait()
	eventually(t, "nobody is left", func() error {
		if b.Sessions() > 0 || b.Waiting() > 0 || b.Clients() > 0 {
			return fmt.Errorf("%d sessions, %d wait, %d clients", b.Sessions(), b.Waiting(), b.Clients())
		}
		return nil
	})
	if entered.Load() == 0 || s.Connections() < int(entered.Load()) {
		t.Errorf("%d clients were let in, the server had %d", entered.Load(), s.Connections())
	}
	t.Logf("%d let in, %d connections, %d at a time", entered.Load(), s.Connections(), peak.Load())
}

// Sessions that multiplex hand the few that there are to each other, and do not
// open new ones.
func TestFewSessionsGoFromHandToHand(t *testing.T) {
	w := newWorld(t).inTime() // loops look now and then who could rest
	cluster := &simCluster{caps: ModernCaps, written: map[int]uint64{}}
	s := w.serverOf(func(_ int, c *Conn) error {
		s := &simSession{simCluster: cluster, c: c, replica: -1, caps: ModernCaps, temps: map[string]bool{}}
		return s.serve()
	})
	cfg := w.config(s.Addr(), w.refused())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	cfg.MultiplexDelay = time.Hour
	fewSessions(2, time.Hour)(&cfg)
	w.start(cfg)
	const clients, commands = 6, 30
	var in sync.WaitGroup
	in.Add(clients)
	for range clients {
		list := steps(Enter(ModernCaps), asks("COMMIT", ExpectPacket(1, OK(0))), Do("all are in", func(*Conn) error { in.Done(); in.Wait(); return nil }))
		for range commands {
			list = append(list, asks("COMMIT", ExpectPacket(1, OK(0))))
		}
		w.client("client", append(list, Fin())...)
	}
	w.peers.Wait()
	if n := s.Connections(); n > 3*clients {
		t.Errorf("%d sessions were opened for %d commands", n, clients*commands)
	}
}

// A session from the pool that dies before it has the client's state is replaced by
// another.
func TestPooledSessionsThatDieAtTheirBegin(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	for _, tc := range []struct {
		name string
		die  []Step
	}{
		{"at once", steps(ExpectPacket(0, resetSession), Reset())},
		{"in order", steps(ExpectPacket(0, resetSession), Fin())},
		{"with a word", steps(ExpectPacket(0, resetSession), SendPacket(1, errs(4031)), Drain())},
		{"in the middle of it", steps(restored, ExpectPacket(0, Query("SET SESSION sql_mode='ANSI'")), Fin())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			first := append(append(atHomeBegins(), gets("SET sql_mode='ANSI'", sent), gets("COMMIT", sent)), tc.die...)
			second := steps(lets(), ExpectPacket(0, trackMySQL), sent, gets("SET SESSION sql_mode='ANSI'", sent), gets("COMMIT", sent), Drain())
			cfg := w.config(w.server(first, second), w.server())
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			multiplexed(&cfg)
			w.start(cfg)
			w.clientNow("client", Enter(ModernCaps), asks("SET sql_mode='ANSI'", ok), asks("COMMIT", ok), shelved(w, 1), asks("COMMIT", ok))
		})
	}
}
