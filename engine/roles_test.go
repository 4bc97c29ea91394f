package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

func TestRoleOfAServer(t *testing.T) {
	channel := replication{channels: 1, known: true}
	for _, tc := range []struct {
		name string
		f    findings
		was  role
		want role
	}{
		{"writable", findings{}, roleReplica, rolePrimary},
		{"read_only", findings{readOnly: true}, rolePrimary, roleReplica},
		{"read_only, whatever else it does not say", findings{readOnly: true, unasked: sqlError(1227)}, rolePrimary, roleReplica},
		{"writable, and follows another", findings{replication: channel}, rolePrimary, roleReplica},
		{"writable, and its replication has stopped", findings{replication: replication{channels: 1, stopped: true}}, rolePrimary, roleReplica},
		{"reads another's storage", findings{storage: true}, rolePrimary, roleReplica},
		{"writable member of a group", findings{member: true}, roleUnknown, rolePeer},
		{"member that is out of step", findings{member: true, group: "RECOVERING"}, rolePeer, roleUnknown},
		{"may not be asked", findings{unasked: sqlError(1227)}, rolePrimary, roleUnknown},
		{"does not come to say", findings{unasked: context.DeadlineExceeded}, rolePrimary, rolePrimary},
	} {
		if got := roleOf(tc.f, tc.was); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestWhoLeads(t *testing.T) {
	a, b := &Backend{}, &Backend{}
	for _, tc := range []struct {
		name       string
		takes      []*Backend
		lead, last *Backend
		peers      bool
		want       *Backend
	}{
		{"nobody can", nil, a, a, false, nil},
		{"the only one", []*Backend{a}, nil, nil, false, a},
		{"two, and one leads", []*Backend{a, b}, b, b, false, b},
		{"two, and one led last", []*Backend{a, b}, nil, b, false, b},
		{"two, and neither ever led", []*Backend{a, b}, nil, nil, false, nil},
		{"another one", []*Backend{b}, a, a, false, b},
		{"two of a group", []*Backend{a, b}, nil, nil, true, a},
		{"two of a group, and one leads", []*Backend{a, b}, b, b, true, b},
	} {
		if got := heir(tc.takes, tc.lead, tc.last, tc.peers); got != tc.want {
			t.Errorf("%s: %v", tc.name, slices.Index([]*Backend{a, b}, got))
		}
	}
}

// roled starts a proxy whose probes tell the roles of the backends, of which those
// in writable are primaries at first.
func (w *world) roled(writable []bool, backends ...net.Addr) (patients []*patient) {
	w.Helper()
	cfg := w.config(backends...)
	cfg.Health = &HealthConfig{Interval: 2 * time.Millisecond, Timeout: Patience, Rise: 1, Fall: 1, MaxLag: 10 * time.Second, Roles: true}
	cfg.Listen = []reactor.Addr{addrFor(w.refused())}
	w.make(cfg)
	for i, b := range w.proxy.Backends() {
		p := &patient{}
		p.leads(writable[i])
		patients = append(patients, p)
		b.prober.Load().dial = p.dial
	}
	w.begin()
	return patients
}

// leads has it be a primary, or a replica.
func (p *patient) leads(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.writable, p.findings = nil, yes, inStep
	if yes {
		p.findings = rows("Replica_IO_Running")
	}
}

// leadIs waits until backend i takes the writes; -1: none.
func (w *world) leadIs(i int) {
	w.Helper()
	eventually(w, fmt.Sprintf("writes go to %d", i), func() error {
		if got := slices.Index(w.proxy.Backends(), w.proxy.backends.lead.Load()); got != i {
			return fmt.Errorf("to %d", got)
		}
		return nil
	})
	w.heard(func(*loop) {})
}

// named serves sessions that ask who it is.
func named(name string) func(int, *Conn) error {
	return func(_ int, c *Conn) error {
		if err := c.Run(Admit(Caps)); err != nil {
			return err
		}
		for {
			p, err := c.ReadPacket()
			if err != nil || p.Payload()[0] == byte(packet.ComQuit) {
				return nil
			}
			b, _ := Result(nil, 1, Caps, 0, name)
			if err := c.Run(Send(b)); err != nil {
				return err
			}
		}
	}
}

func is(name string) Step {
	b, _ := Result(nil, 1, Caps, 0, name)
	return All("it is "+name, SendPacket(0, Query("SELECT 'who'")), Expect(b))
}

// A leads, dies, B is promoted, A comes back writable.
func TestWritesGoToOneServerOnly(t *testing.T) {
	w := newWorld(t)
	down := steps(ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
	patients := w.roled([]bool{true, false}, w.serverOf(named("A")).Addr(), w.serverOf(named("B")).Addr())
	w.leadIs(0) // at once: Start waits for the first probes
	at := func() *Conn { return w.clientNow("client", Enter(Caps)) }
	first := at()
	if err := first.Run(is("A")); err != nil {
		t.Fatal(err)
	}
	patients[0].is(table{}, &net.OpError{Op: "dial", Err: errors.New("connection refused")})
	w.leadIs(-1)
	w.clientNow("while there is no primary", down...)
	if err := first.Run(is("A")); err != nil { // it may still answer those that it has
		t.Fatal(err)
	}
	patients[1].leads(true)
	w.leadIs(1)
	if err := first.Run(ExpectEnd()); err != nil {
		t.Errorf("a session with the one before goes on: %v", err)
	}
	second := at()
	if err := second.Run(is("B")); err != nil {
		t.Fatal(err)
	}
	patients[0].leads(true)
	eventually(t, "the log tells of two", func() error {
		if len(w.log.about("more than one server is writable")) != 1 {
			return errors.New("no")
		}
		return nil
	})
	if n := w.proxy.Splits(); n != 1 {
		t.Errorf("%d times, want once", n)
	}
	if err := second.Run(is("B")); err != nil {
		t.Error(err)
	}
	third := at()
	if err := third.Run(is("B"), Fin()); err != nil {
		t.Error(err)
	}
	patients[0].leads(false)
	w.leadIs(1)
	eventually(t, "the log tells that it is over", func() error {
		if got := w.log.about("not more than one server is writable any more"); len(got) != 1 || got[0].attrs["servers"] != w.proxy.Backends()[1].Addr.String() {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if n := w.proxy.Splits(); n != 1 {
		t.Errorf("%d times, want once", n)
	}
	if err := second.Run(is("B"), Fin()); err != nil {
		t.Error(err)
	}
	patients[1].is(table{}, &net.OpError{Op: "dial", Err: errors.New("connection refused")})
	w.leadIs(-1)
	patients[1].leads(true)
	eventually(t, "the log tells that the same one is back", func() error {
		if len(w.log.about("writes go to the same server again")) != 1 {
			return errors.New("no")
		}
		return nil
	})
}

// A member of a group that is drained leads no more, and its transactions go on.
func TestAMemberOfAGroupIsDrained(t *testing.T) {
	w := newWorld(t)
	patients := w.roled([]bool{false, false}, w.serverOf(named("A")).Addr(), w.serverOf(named("B")).Addr())
	a, b := w.proxy.Backends()[0], w.proxy.Backends()[1]
	for i, p := range patients {
		p.mu.Lock()
		p.member = true
		p.mu.Unlock()
		w.proxy.Backends()[i].prober.Load().kick(true) // by a new login, which sees the kind of server anew
		w.leadIs(0)
	}
	eventually(t, "both could lead", func() error {
		if !w.proxy.backends.takesWrites(b) {
			return errors.New(b.Health().String())
		}
		return nil
	})
	old := w.clientNow("old", Enter(Caps), is("A"))
	w.sets(a, DutyDraining, 0)
	w.leadIs(1)
	w.clientNow("new", Enter(Caps), is("B"), Fin())
	if err := old.Run(is("A"), Fin()); err != nil {
		t.Error(err)
	}
	w.comesTo(a, DutyMaintenance)
	if err := w.proxy.SetBackend(t.Context(), b.Addr.String(), DutyDraining, 0); err == nil {
		t.Error("the last one is drained")
	}
	w.sets(a, DutyOnline, 0)
	w.leadIs(1)
}

// Who leads alone is drained only by force: then nobody takes writes, and the first
// one that is promoted does.
func TestAPrimaryThatLeadsAloneIsDrained(t *testing.T) {
	w := newWorld(t)
	patients := w.roled([]bool{true, false}, w.serverOf(named("A")).Addr(), w.serverOf(named("B")).Addr())
	w.leadIs(0)
	a := w.proxy.Backends()[0]
	old := w.clientNow("old", Enter(Caps), is("A"))
	if err := w.proxy.SetBackend(t.Context(), a.Addr.String(), DutyDraining, 0); err == nil {
		t.Error("it is drained without force")
	}
	if err := w.proxy.ForceBackend(t.Context(), a.Addr.String(), DutyDraining, 0); err != nil {
		t.Error(err)
	}
	w.leadIs(-1)
	if err := old.Run(is("A")); err != nil {
		t.Error(err)
	}
	patients[0].leads(false)
	patients[1].leads(true)
	w.leadIs(1)
	w.clientNow("new", Enter(Caps), is("B"), Fin())
	if err := old.Run(ExpectEnd()); err != nil { // before anybody writes elsewhere
		t.Error(err)
	}
	w.comesTo(a, DutyMaintenance)
}

// Two from the start: nobody knows which is the right one.
func TestTwoPrimariesFromTheStart(t *testing.T) {
	w := newWorld(t)
	patients := w.roled([]bool{true, true, false}, w.refused(), w.serverOf(named("B")).Addr(), w.refused())
	w.leadIs(-1)
	w.clientNow("client", ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
	if n := w.proxy.Splits(); n != 1 {
		t.Errorf("%d times, want once", n)
	}
	patients[0].leads(false)
	w.leadIs(1)
	w.clientNow("client", Enter(Caps), is("B"), Fin())
}
