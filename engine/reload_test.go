package engine

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

var leaves = All("quit", SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())

// applies has the proxy run with another configuration.
func (w *world) applies(how func(*Config)) {
	w.Helper()
	cfg := w.proxy.cfg().Config
	how(&cfg)
	if err := w.proxy.Apply(w.Context(), cfg); err != nil {
		w.Error(err)
	}
}

func backendsOf(addrs ...net.Addr) (list []BackendConfig) {
	for _, a := range addrs {
		list = append(list, BackendConfig{Addr: addrFor(a)})
	}
	return list
}

// A backend that is added gets sessions, one that is removed gets none any more and
// is forgotten when its last one ends.
func TestBackendsComeAndGo(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.answers("a"), w.answers("b"), w.answers("c")
	w.start(w.config(a))
	e := w.proxy
	was := e.Backends()[0]
	old := w.clientNow("old", Enter(ModernCaps), asks("SELECT 1", sees("a")))
	w.applies(func(cfg *Config) { cfg.Backends = backendsOf(b) })
	w.clientNow("new", Enter(ModernCaps), asks("SELECT 1", sees("b")), leaves)
	if got := e.Backends(); len(got) != 1 || got[0].Addr != addrFor(b) || was.Duty() != DutyDraining || was.Clients() != 1 {
		t.Errorf("the backends are %v; that of before is %s with %d sessions", got, was.Duty(), was.Clients())
	}
	if f, err := e.Figures(t.Context()); err != nil || len(f.Backends) != 2 || f.Backends[0].Duty != "draining" || f.Backends[1].Leads != true {
		t.Errorf("the figures are %+v, %v", f.Backends, err)
	}
	if err := old.Run(asks("SELECT 1", sees("a")), leaves); err != nil {
		t.Error(err)
	}
	eventually(t, "it has gone", func() error {
		if f, err := e.Figures(t.Context()); err != nil || len(f.Backends) != 1 {
			return fmt.Errorf("%+v, %v", f.Backends, err)
		}
		return nil
	})
	// Its place is taken by the next one, in whatever order they are configured.
	w.applies(func(cfg *Config) { cfg.Backends = backendsOf(c, b) })
	w.clientNow("third", Enter(ModernCaps), asks("SELECT 1", sees("c")), leaves)
	if all := e.backends.all(); len(all) != 2 || all[0].Addr != addrFor(c) || all[1].Addr != addrFor(b) {
		t.Errorf("the places are those of %v", all)
	}
	w.session(3) // else it may count for the choice yet
	// One that comes back before its sessions have left stays what it was.
	old = w.clientNow("fourth", Enter(ModernCaps), asks("SELECT 1", sees("c")))
	w.applies(func(cfg *Config) { cfg.Backends = backendsOf(b) })
	w.applies(func(cfg *Config) { cfg.Backends = backendsOf(b, c) })
	if got := e.Backends(); len(got) != 2 || got[1] != e.backends.all()[0] || got[1].Duty() != DutyOnline {
		t.Errorf("the backends are %v", got)
	}
	if err := old.Run(asks("SELECT 1", sees("c")), leaves); err != nil {
		t.Error(err)
	}
}

// A server that changes its list is drained in the one and new in the other.
func TestABackendChangesItsList(t *testing.T) {
	w := newWorld(t)
	a, b := w.answers("a"), w.answers("b")
	cfg := w.config(a, b)
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	c := w.clientNow("before", Enter(ModernCaps), asks("SELECT 1 FROM t", sees("b")))
	w.applies(func(cfg *Config) {
		cfg.Backends = backendsOf(b, a)
		cfg.Backends[1].ReadOnly = true
	})
	w.clientNow("after", Enter(ModernCaps), asks("SELECT 1 FROM t", sees("a")), asks("INSERT 1", sees("b")), leaves)
	if err := c.Run(asks("SELECT 1 FROM t", sees("a")), leaves); err != nil {
		t.Error(err)
	}
	eventually(t, "who was before has gone", func() error {
		for _, b := range w.proxy.backends.all() {
			if b.removed && !b.gone.Load() {
				return fmt.Errorf("%s has %d sessions", b.Addr, b.Clients())
			}
		}
		return nil
	})
	if err := w.proxy.SetBackend(t.Context(), a.String(), DutyDraining, 0); err != nil || w.proxy.Backends()[1].Duty() == DutyOnline {
		t.Errorf("the replica is meant: %v", err)
	}
}

// Splitting begins for new sessions when the first replica comes, and stays with those
// that have it when the last one goes.
func TestSplittingBeginsAndEnds(t *testing.T) {
	w := newWorld(t)
	p, r := w.answers("p"), w.answers("r")
	w.start(w.config(p))
	plain := w.clientNow("plain", Enter(ModernCaps), asks("SELECT 1 FROM t", sees("p")))
	w.applies(func(cfg *Config) {
		cfg.Backends = append(cfg.Backends, BackendConfig{Addr: addrFor(r), ReadOnly: true})
		asEverybody(cfg)
	})
	split := w.clientNow("split", Enter(ModernCaps), asks("SELECT 1 FROM t", sees("r")))
	w.applies(func(cfg *Config) { cfg.Backends, cfg.Split = backendsOf(p), false })
	for _, c := range []*Conn{plain, split} {
		if err := c.Run(asks("SELECT 1 FROM t", sees("p")), leaves); err != nil {
			t.Error(err)
		}
	}
}

// A change of a limit holds for sessions that are there already.
func TestATimeOutIsChanged(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.answers("a"))
	cfg.ReadTimeout, cfg.WriteTimeout = 24*time.Hour, time.Second
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), asks("SELECT 1", sees("a")))
	w.applies(func(cfg *Config) { cfg.ReadTimeout = short })
	eventually(t, "the end of the session", func() error {
		w.pass(short)
		if len(w.log.all("session ended")) == 0 {
			return errors.New("it goes on")
		}
		return nil
	})
	if err := c.Run(ExpectEnd()); err != nil {
		t.Error(err)
	}
	w.wantEnd(1, ReasonClientIdle)
}

// A login that is on goes to its end by what it began with.
func TestALoginGoesByWhatItBeganWith(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.answers("a"))
	withTLS(TLSPrefer, TLSOff)(&cfg)
	w.start(cfg)
	off := Do("turn TLS off", func(*Conn) error {
		w.applies(func(cfg *Config) { cfg.ClientTLS, cfg.ClientTLSConfig = TLSOff, nil })
		return nil
	})
	const caps = ModernCaps | packet.CapSSL
	any := func(packet.Packet) error { return nil }
	l, plain := Login(caps), Login(ModernCaps)
	w.clientNow("client", ExpectWhere("a greeting", any), off, SendPacket(1, sslRequest(l)), StartTLS(ClientTLS(), false),
		SendPacket(2, l.Append(nil, caps)), ExpectWhere("in", any))
	w.clientNow("next", ExpectWhere("a greeting without TLS", func(p packet.Packet) error {
		g, err := packet.ParseGreeting(p.Payload())
		if err == nil && g.Capabilities.Has(packet.CapSSL) {
			return fmt.Errorf("it offers TLS")
		}
		return err
	}), SendPacket(1, plain.Append(nil, ModernCaps)), ExpectWhere("in", any))
}

// Probes begin and end, and go by what is configured now.
func TestProbesBeginAndEnd(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.serverOf(turnsAway(errOffline)).Addr()))
	b := w.proxy.Backends()[0]
	health := HealthConfig{Interval: time.Millisecond, Timeout: Patience, Rise: 1, Fall: 1, User: "h", Password: func() (string, error) { return "", nil }}
	w.applies(func(cfg *Config) { cfg.Health = &health })
	eventually(t, "a probe has found it", func() error {
		if b.Health() != HealthOffline {
			return fmt.Errorf("it is %s", b.Health())
		}
		return nil
	})
	w.applies(func(cfg *Config) { cfg.Health = nil })
	eventually(t, "nobody probes it", func() error {
		if b.Health() != HealthUnknown || b.probed.on.Load() || b.prober.Load() != nil {
			return fmt.Errorf("it is %s", b.Health())
		}
		return nil
	})
}

func TestWhatApplyRefuses(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.answers("a")))
	cfg := w.proxy.cfg().Config
	for _, tc := range []struct {
		how  func(*Config)
		says string
	}{
		{func(c *Config) { c.Loops = 2 }, "event threads"},
		{func(c *Config) { c.Listen = []reactor.Addr{{}} }, "addresses"},
		{func(c *Config) { c.Health = &HealthConfig{Roles: true} }, "roles"},
		{func(c *Config) { c.Backends = append(c.Backends, c.Backends[0]) }, "given twice"},
	} {
		other := cfg
		tc.how(&other)
		other.ReadTimeout = 1
		if err := w.proxy.Apply(t.Context(), other); err == nil || !strings.Contains(err.Error(), tc.says) || w.proxy.cfg().ReadTimeout != cfg.ReadTimeout {
			t.Errorf("%v, and the time-out is %v; want an error about %s and no change", err, w.proxy.cfg().ReadTimeout, tc.says)
		}
	}
	w.stop()
	if err := w.proxy.Apply(t.Context(), cfg); err == nil {
		t.Error("a proxy that has stopped takes a configuration")
	}
	if err := w.proxy.SetBackend(t.Context(), "x", DutyOnline, 0); err == nil {
		t.Error("a proxy that has stopped drains")
	}
}
