package engine

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// answers is a server of sessions of caps that answers each command with a row of
// its name, but for transactions, until its client leaves.
func (w *world) answers(name string) net.Addr {
	w.Helper()
	return w.serverOf(func(_ int, c *Conn) error {
		if err := c.Run(lets()); err != nil {
			return err
		}
		status := packet.StatusAutocommit
		for {
			p, err := c.ReadPacket()
			if err != nil || p.Payload()[0] == byte(packet.ComQuit) {
				return nil // however the proxy has closed it
			}
			step := one(name)
			switch sql := string(p.Payload()[1:]); {
			case sql == "BEGIN":
				status |= packet.StatusInTrans
				step = SendPacket(1, OK(status))
			case sql == "COMMIT":
				status &^= packet.StatusInTrans
				step = SendPacket(1, OK(status))
			case sql == string(tellsMySQL[1:]):
				step = one("1")
			case sql == asksInsertID && name != "mute":
				step = one("0")
			case len(sql) >= 3 && sql[:3] == "SET", p.Payload()[0] == byte(packet.ComResetConnection):
				step = SendPacket(1, OK(status))
			case status&packet.StatusInTrans != 0:
				b, _ := Result(nil, 1, ModernCaps, status, name)
				step = Send(b)
			}
			if err := c.Run(step); err != nil {
				return err
			}
		}
	}).Addr()
}

// sets changes the duty of a backend.
func (w *world) sets(b *Backend, to Duty, grace time.Duration) {
	w.Helper()
	if err := w.proxy.SetBackend(w.Context(), b.Addr.String(), to, grace); err != nil {
		w.Error(err)
	}
}

// comesTo waits until a backend has this duty, and no sessions if that is maintenance.
func (w *world) comesTo(b *Backend, want Duty) {
	w.Helper()
	eventually(w, fmt.Sprintf("%s is %s", b.Addr, want), func() error {
		if got := b.Duty(); got != want {
			return fmt.Errorf("it is %s, with %d sessions", got, b.Clients())
		}
		return nil
	})
	if n := b.Clients(); want == DutyMaintenance && n != 0 {
		w.Errorf("%d sessions are left at %s", n, b.Addr)
	}
}

// duties are the changes of duty that the events tell of.
func (w *world) duties(b *Backend) (list []string) {
	for _, ev := range w.proxy.Events() {
		if ev.Kind == EventDuty && ev.Backend == b.Addr.String() {
			list = append(list, ev.From+" "+ev.To)
		}
	}
	return list
}

// Sessions of a backend that is drained go on until their clients leave, and new
// ones go elsewhere.
func TestDrainWaitsForPlainSessions(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.answers("a"), w.answers("b")))
	a, b := w.proxy.Backends()[0], w.proxy.Backends()[1]
	old := w.clientNow("old", Enter(ModernCaps), asks("SELECT 1", sees("a")))
	w.sets(a, DutyDraining, 0)
	for i := range 3 {
		w.clientNow(fmt.Sprint("new", i), Enter(ModernCaps), asks("SELECT 1", sees("b")))
	}
	if err := old.Run(asks("BEGIN", ExpectPacket(1, OK(packet.StatusAutocommit|packet.StatusInTrans))), asks("COMMIT", ExpectPacket(1, OK(packet.StatusAutocommit)))); err != nil {
		t.Error(err)
	}
	if got := a.Duty(); got != DutyDraining || a.Clients() != 1 || b.Clients() != 3 {
		t.Errorf("it is %s, with %d sessions, and %d elsewhere; want draining, 1, 3", got, a.Clients(), b.Clients())
	}
	if err := old.Run(SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd()); err != nil {
		t.Error(err)
	}
	w.comesTo(a, DutyMaintenance)
	w.clientNow("late", Enter(ModernCaps), asks("SELECT 1", sees("b")))
	w.sets(a, DutyOnline, 0)
	w.clientNow("later", Enter(ModernCaps), asks("SELECT 1", sees("a")))
	if got, want := fmt.Sprint(w.duties(a)), "[online draining draining maintenance maintenance online]"; got != want {
		t.Errorf("the events have %s, want %s", got, want)
	}
	for _, msg := range []string{"backend is draining", "backend is in maintenance", "backend is online"} {
		if got := w.log.all(msg); len(got) != 1 || got[0].attrs["backend"] != a.Addr.String() {
			t.Errorf("the log says %q as %v, want one line", msg, got)
		}
	}
}

// When the grace is over, sessions that are left are told so where they can be.
func TestDrainHasALimit(t *testing.T) {
	const taken = "(proxy) the server is taken out of service; connect again"
	bye := All("bye", ExpectERR(0, 1053, "08S01", taken), ExpectEnd())
	for _, tc := range []struct {
		name  string
		to    Duty
		grace time.Duration
		begin []Step
		end   Step
	}{
		{"idle", DutyDraining, 50 * time.Millisecond, steps(asks("SELECT 1", sees("a"))), bye},
		{"in a transaction", DutyDraining, 50 * time.Millisecond, steps(asks("BEGIN", ExpectPacket(1, OK(packet.StatusAutocommit|packet.StatusInTrans)))), bye},
		{"maintenance at once", DutyMaintenance, 0, steps(asks("SELECT 1", sees("a"))), bye},
		{"maintenance within", DutyMaintenance, 50 * time.Millisecond, steps(asks("SELECT 1", sees("a"))), bye},
		{"a command runs", DutyMaintenance, 0, steps(SendPacket(0, Query("HANG"))), All("bye", ExpectERR(1, 1053, "08S01", taken), ExpectEnd())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			hangs := make(chan struct{}, 1)
			s := w.answers("a")
			if tc.name == "a command runs" {
				s = w.server(steps(lets(), ExpectPacket(0, Query("HANG")), Do("tell", func(*Conn) error { hangs <- struct{}{}; return nil }), ExpectEnd()))
			}
			w.start(w.config(s, w.answers("b")))
			a := w.proxy.Backends()[0]
			c := w.clientNow("client", append(steps(Enter(ModernCaps)), tc.begin...)...)
			if tc.name == "a command runs" {
				<-hangs
			}
			w.sets(a, tc.to, tc.grace)
			if err := c.Run(tc.end); err != nil {
				t.Error(err)
			}
			w.comesTo(a, DutyMaintenance)
			w.wantEnd(1, ReasonMaintenance)
		})
	}
}

// The last backend that takes writes is not taken out unless that is forced.
func TestTheLastWriterStays(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.answers("a"), w.answers("b"), w.answers("r"))
	cfg.Backends[2].ReadOnly = true
	w.start(cfg)
	bs := w.proxy.Backends()
	w.sets(bs[0], DutyMaintenance, 0)
	w.comesTo(bs[0], DutyMaintenance)
	err := w.proxy.SetBackend(t.Context(), bs[1].Addr.String(), DutyDraining, 0)
	if last := (*LastWriterError)(nil); !errors.As(err, &last) || last.Address != bs[1].Addr.String() || bs[1].Duty() != DutyOnline {
		t.Errorf("draining the last one: %v, it is %s", err, bs[1].Duty())
	}
	w.sets(bs[2], DutyMaintenance, 0) // one that is only read from is another matter
	w.clientNow("client", Enter(ModernCaps), asks("SELECT 1", sees("b")), SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
	if err := w.proxy.ForceBackend(t.Context(), bs[1].Addr.String(), DutyMaintenance, 0); err != nil {
		t.Error(err)
	}
	w.comesTo(bs[1], DutyMaintenance)
	w.clientNow("refused", ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
	w.wantEnd(2, ReasonNoBackend)
	w.sets(bs[1], DutyOnline, 0)
	w.clientNow("again", Enter(ModernCaps), asks("SELECT 1", sees("b")))
	if err := w.proxy.SetBackend(t.Context(), "127.0.0.1:1", DutyDraining, 0); !errors.Is(err, ErrNoBackend) {
		t.Errorf("a backend that is not there: %v", err)
	}
}

// A drain that is called off leaves everything as it was.
func TestDrainThatIsCalledOff(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.answers("a"), w.answers("b")))
	a := w.proxy.Backends()[0]
	c := w.clientNow("client", Enter(ModernCaps), asks("SELECT 1", sees("a")))
	w.sets(a, DutyDraining, 0)
	w.sets(a, DutyDraining, time.Hour)
	w.sets(a, DutyOnline, 0)
	if err := c.Run(asks("SELECT 1", sees("a")), SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd()); err != nil {
		t.Error(err)
	}
	w.session(1)
	w.clientNow("new", Enter(ModernCaps), asks("SELECT 1", sees("a")))
	if got := a.Duty(); got != DutyOnline {
		t.Errorf("it is %s", got)
	}
}

// Reads leave a replica that is drained: those that come go to another one, or home,
// and its sessions there are closed though their clients say nothing.
func TestReadsLeaveAReplicaThatIsDrained(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.answers("p"), w.answers("1"), w.answers("2"))
	cfg.Backends[1].ReadOnly, cfg.Backends[2].ReadOnly = true, true
	asEverybody(&cfg)
	w.start(cfg)
	bs := w.proxy.Backends()
	w.sets(bs[2], DutyDraining, 0)
	w.comesTo(bs[2], DutyMaintenance)
	idle := w.clientNow("idle", Enter(ModernCaps), asks("SELECT a FROM t", sees("1")))
	busy := w.clientNow("busy", Enter(ModernCaps), asks("BEGIN", ExpectPacket(1, OK(packet.StatusAutocommit|packet.StatusInTrans))))
	w.sets(bs[2], DutyOnline, 0)
	w.sets(bs[1], DutyDraining, 0)
	w.comesTo(bs[1], DutyMaintenance)
	if err := idle.Run(asks("SELECT a FROM t", sees("2"))); err != nil {
		t.Error(err)
	}
	w.sets(bs[2], DutyDraining, 0)
	w.comesTo(bs[2], DutyMaintenance)
	if err := idle.Run(asks("SELECT a FROM t", sees("p"))); err != nil {
		t.Error(err)
	}
	if err := busy.Run(asks("COMMIT", ExpectPacket(1, OK(packet.StatusAutocommit))), asks("SELECT a FROM t", sees("p"))); err != nil {
		t.Error(err)
	}
}

// Sessions that split move to another read/write backend when theirs is drained: those
// that are idle at once, the others behind their transaction. One with state that only
// its server has stays.
func TestWritersLeaveABackendThatIsDrained(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.answers("a"), w.answers("b"), w.refused())
	cfg.Backends[2].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	a, b := w.proxy.Backends()[0], w.proxy.Backends()[1]
	w.sets(b, DutyMaintenance, 0)
	begun, ok := ExpectPacket(1, OK(packet.StatusAutocommit|packet.StatusInTrans)), ExpectPacket(1, OK(packet.StatusAutocommit))
	idle := w.clientNow("idle", Enter(ModernCaps), asks("SET NAMES latin1", ok))
	busy := w.clientNow("busy", Enter(ModernCaps), asks("BEGIN", begun))
	tied := w.clientNow("tied", Enter(ModernCaps), asks("SET @a=1", ok))
	w.sets(b, DutyOnline, 0)
	w.sets(a, DutyDraining, 0)
	eventually(t, "the idle one has left", func() error {
		if n := a.Clients(); n != 2 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	inside, _ := Result(nil, 1, ModernCaps, packet.StatusAutocommit|packet.StatusInTrans, "a")
	for _, step := range []error{
		idle.Run(asks("INSERT 1", sees("b"))),
		busy.Run(asks("INSERT 1", Expect(inside))), busy.Run(asks("COMMIT", ok)), busy.Run(asks("INSERT 2", sees("b"))),
		tied.Run(asks("INSERT 1", sees("a"))),
	} {
		if step != nil {
			t.Error(step)
		}
	}
	if a.Duty() != DutyDraining || a.Clients() != 1 {
		t.Errorf("it is %s with %d sessions, want draining with 1", a.Duty(), a.Clients())
	}
	w.sets(a, DutyMaintenance, 0)
	if err := tied.Run(ExpectERR(0, 1053, "08S01", "(proxy) the server is taken out of service; connect again"), ExpectEnd()); err != nil {
		t.Error(err)
	}
	w.comesTo(a, DutyMaintenance)
	// Who waits for a backend has one when it is online again.
	w.change(func(cfg *Config) { cfg.FailoverWait = time.Hour })
	if err := w.proxy.ForceBackend(t.Context(), b.Addr.String(), DutyDraining, 0); err != nil {
		t.Error(err)
	}
	w.comesTo(b, DutyDraining)
	w.client("waits", Enter(ModernCaps), asks("INSERT 1", sees("a")), Fin())
	eventually(t, "it waits", func() error {
		if len(w.log.about("clients wait for one")) == 0 {
			return errors.New("no")
		}
		return nil
	})
	w.sets(a, DutyOnline, 0)
	w.peers.Wait()
}

// A session whose home does not say what is to be known of it stays there, and its
// commands go on.
func TestASessionThatCannotMoveStays(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.answers("mute"), w.answers("b"), w.refused())
	cfg.Backends[2].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), asks("INSERT 1", sees("mute")))
	w.sets(w.proxy.Backends()[0], DutyDraining, 0)
	for range 3 {
		if err := c.Run(asks("INSERT 2", sees("mute"))); err != nil {
			t.Fatal(err)
		}
	}
}

// To a script a backend that is drained is DOWN. What is idle in its pool is closed,
// but for a session that its owner has left in a transaction.
func TestScriptsSeeADrainedBackendAsDown(t *testing.T) {
	w := newWorld(t)
	begin, commit := Query("BEGIN"), Query("COMMIT")
	idle := steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
	busy := steps(Admit(Caps), ExpectPacket(0, begin), SendPacket(1, OK(packet.StatusInTrans)), ExpectPacket(0, commit), SendPacket(1, OK(packet.StatusAutocommit)), ExpectEnd())
	cfg := w.config(w.server(busy, idle), w.server(served()))
	h := pooling()
	with(h)(&cfg)
	w.start(cfg)
	a := w.proxy.Backends()[0]
	c := w.clientNow("in a transaction", Enter(Caps), SendPacket(0, begin), ExpectPacket(1, OK(packet.StatusInTrans)))
	w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
	w.idleSessions(0, "app", 1)
	w.sets(a, DutyDraining, 0)
	w.idleSessions(0, "app", 0)
	if got, other := h.global.Backends()[0].State(), h.global.Backends()[1].State(); got != int(BackendDown) || other == int(BackendDown) {
		t.Errorf("the script sees states %d and %d", got, other)
	}
	w.talk(2, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
	w.idleSessions(1, "app", 1)
	if got := a.Duty(); got != DutyDraining {
		t.Errorf("it is %s while a transaction is open there", got)
	}
	if err := c.Run(SendPacket(0, commit), ExpectPacket(1, OK(packet.StatusAutocommit)), Fin()); err != nil {
		t.Error(err)
	}
	w.comesTo(a, DutyMaintenance)
}
