package engine

import (
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// Two clients of a user have one session, which one of them has in use when the
// other sends a command.
func TestWaitingForASession(t *testing.T) {
	change := changeOf(Login(Caps), Caps)
	slow, one := Query("SELECT SLEEP(1)"), Query("SELECT 1")
	for _, tc := range []struct {
		name          string
		server        []Step      // behind the command that is slow
		first, second []Step      // what the clients are told
		reason        CloseReason // of who waited
	}{
		{name: "it waits until the session is given back", server: steps(SendPacket(1, OK(0)), reset(), ExpectPacket(0, one), SendPacket(1, OK(0)), ExpectEnd()),
			first: steps(ExpectPacket(1, OK(0))), second: steps(ExpectPacket(1, OK(0)), Fin()), reason: ReasonClientClosed},
		{name: "in vain, if the session ends", server: steps(Fin()),
			first: steps(ExpectERR(1, 2013, "HY000", lostText), ExpectEnd()), second: steps(ExpectERR(1, 2013, "HY000", noServer), ExpectEnd()), reason: ReasonNoServer},
		{name: "and may leave", server: steps(ExpectEnd()), second: steps(Fin()), reason: ReasonClientClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			running, sent := NewGate(), NewGate()
			cfg := w.config(w.server(append(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, slow), Open(running), Await(sent)), tc.server...)))
			with(pooling())(&cfg)
			w.start(cfg)
			b := w.clientNow("b", Enter(Caps))
			a := w.clientNow("a", Enter(Caps), SendPacket(0, slow), Await(running)) // the session is a's from its login on
			if err := b.Run(SendPacket(0, one)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "b waits", func() error { return w.wait("pool", 1) })
			close(sent)
			if err := a.Run(tc.first...); err != nil {
				t.Fatal(err)
			}
			if tc.reason == ReasonNoServer { // who waits looks at times whether there is hope
				eventually(t, "b does not wait", func() error {
					w.pass(poolLook)
					return w.wait("pool", 0)
				})
			}
			if err := b.Run(tc.second...); err != nil {
				t.Fatal(err)
			}
			b.Close()
			eventually(t, "the end of who waited", func() error {
				for _, r := range w.log.all("session ended") {
					if r.attrs["reason"] == tc.reason.String() {
						return nil
					}
				}
				return errCut
			})
			a.Close()
		})
	}
	t.Run("a command that needs no session does not wait", func(t *testing.T) {
		w := newWorld(t)
		running := NewGate()
		cfg := w.config(w.server(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, slow), Open(running), ExpectEnd())))
		with(pooling())(&cfg)
		w.start(cfg)
		b := w.clientNow("b", Enter(Caps))
		w.clientNow("a", Enter(Caps), SendPacket(0, slow), Await(running))
		if err := b.Run(SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectPacket(1, OK(0)), Fin()); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(1, ReasonClientQuit)
	})
	t.Run("the proxy stops", func(t *testing.T) {
		w := newWorld(t)
		running := NewGate()
		cfg := w.config(w.server(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, slow), Open(running), ExpectEnd())))
		impatient(&cfg)
		h := pooling()
		h.gone = func(hook.Session) {}
		with(h)(&cfg)
		w.start(cfg)
		b := w.clientNow("b", Enter(Caps))
		a := w.clientNow("a", Enter(Caps), SendPacket(0, slow), Await(running))
		if err := b.Run(SendPacket(0, one)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "b waits", func() error { return w.wait("pool", 1) })
		if err := b.Run(w.shutdown()); err != nil {
			t.Fatal(err)
		}
		w.pass(3 * short)
		for _, c := range []*Conn{a, b} {
			if err := c.Run(ExpectERR(1, 1053, "08S01", stopping), ExpectEnd(), Fin()); err != nil {
				t.Fatal(err)
			}
		}
		w.waitFor(w.proxy)
	})
}
