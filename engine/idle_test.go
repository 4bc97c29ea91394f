package engine

import (
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// fresh is the pooling script without reuse at the login: each client gets a
// session of its own.
func fresh() *hooks {
	h := pooling()
	h.connect = nil
	return h
}

// Whatever an idle session's server does, the session is not lent any more.
func TestIdleSessionsThatEnd(t *testing.T) {
	for name, end := range map[string]Step{
		"closed":             Fin(),
		"reset":              Reset(),
		"an ERR, and closed": SendPacket(0, packet.AppendERR(nil, 4031, "HY000", "idle for too long")),
		"a byte":             Send([]byte{1}),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			gate := NewGate()
			first := steps(Admit(Caps), Await(gate), end)
			if name != "closed" && name != "reset" {
				first = append(first, ExpectEnd())
			}
			asA, asB := chat("SELECT 1")
			cfg := w.config(w.server(first, inARow(steps(Admit(Caps)), asA, steps(ExpectEnd()))))
			with(pooling())(&cfg)
			w.start(cfg)
			w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
			w.idleSessions(0, "app", 1)
			close(gate)
			w.idleSessions(0, "app", 0)
			w.talk(2, ReasonClientQuit, inARow(steps(Enter(Caps)), asB, quit)...)
		})
	}
}

// What a client leaves behind in the wrong moment goes to nobody, although the
// script gives each session to the pool.
func TestSessionsThatAreNotPooled(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	greeted, login := ExpectPacket(0, g.Append(nil)), l.Append(nil, Caps)
	query, one := Query("SELECT"), Query("SELECT 1")
	rows, _ := Result(nil, 1, Caps, 0, "a", "b")
	change := changeOf(other, Caps)
	long := packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComStmtSendLongData)}, make([]byte, 100)...))
	file, _ := fileOf(70, 8)
	ask := []byte("\xfbf")
	dead := ReasonClientClosed
	for _, tc := range []struct {
		name           string
		server, client []Step
		reason         CloseReason
		reads          bool // the script reads commands
	}{
		{"not logged in", steps(Greet(g)), steps(greeted, Fin()), dead, true},
		{"logging in", steps(Greet(g), ExpectPacket(1, login)), steps(greeted, SendPacket(1, login), Fin()), dead, true},
		{"in the middle of a dialogue", steps(Greet(g), ExpectPacket(1, login), SendPacket(2, demand)),
			steps(greeted, SendPacket(1, login), ExpectPacket(2, demand), Fin()), dead, true},
		{"refused", steps(Greet(g), ExpectPacket(1, login), SendPacket(2, denied)),
			steps(greeted, SendPacket(1, login), ExpectPacket(2, denied), ExpectEnd()), ReasonLoginRefused, true},
		{"a command that runs", steps(Admit(Caps), ExpectPacket(0, query)), steps(Enter(Caps), SendPacket(0, query), Fin()), dead, true},
		{"a result", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:30])), steps(Enter(Caps), SendPacket(0, query), Expect(rows[:21]), Fin()), dead, true},
		{"a file", steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), Expect(file[:20])),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), Send(file[:20]), Fin()), dead, true},
		{"a file that the server does not want any more", steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), Expect(file[:20]), SendPacket(2, denied)),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), Send(file[:20]), ExpectPacket(2, denied), Fin()), dead, true},
		{"a file that the server does not want any more, unseen", steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), Expect(file[:20]), SendPacket(2, denied)),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), Send(file[:20]), ExpectPacket(2, denied), Fin()), dead, false},
		{"half a command, unseen", steps(Admit(Caps), Expect(long[:60])), steps(Enter(Caps), Send(long[:60]), Fin()), dead, false},
		{"half a command that has its ERR, unseen", steps(Admit(Caps), Expect(packet.AppendPacket(nil, 0, query)[:6]), SendPacket(1, denied)),
			steps(Enter(Caps), Send(packet.AppendPacket(nil, 0, query)[:6]), ExpectPacket(1, denied), Fin()), dead, false},
		{"a COM_QUIT, unseen", steps(Admit(Caps), ExpectPacket(0, []byte{1})), steps(Enter(Caps), SendPacket(0, []byte{1}), Fin()), ReasonClientQuit, false},
		{"a COM_CHANGE_USER, unseen", steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, one), SendPacket(1, OK(0))),
			steps(Enter(Caps), SendPacket(0, change), ExpectPacket(1, OK(0)), SendPacket(0, one), ExpectPacket(1, OK(0)), Fin()), dead, false},
		{"a COM_CHANGE_USER that runs", steps(Admit(Caps), ExpectPacket(0, change)), steps(Enter(Caps), SendPacket(0, change), Fin()), dead, true},
		{"a COM_CHANGE_USER that failed", steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, denied)),
			steps(Enter(Caps), SendPacket(0, change), ExpectPacket(1, denied), Fin()), dead, true},
		{"a stream", steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComBinlogDump)}), SendPacket(1, []byte{0})),
			steps(Enter(Caps), SendPacket(0, []byte{byte(packet.ComBinlogDump)}), ExpectPacket(1, []byte{0}), Fin()), dead, true},
		{"the server closes", steps(Admit(Caps), HalfClose()), steps(Enter(Caps), ExpectEnd()), ReasonServerClosed, true},
		{"the server says goodbye", steps(Admit(Caps), SendPacket(0, packet.AppendERR(nil, 4031, "HY000", "idle"))),
			steps(Enter(Caps), ExpectERR(0, 4031, "HY000", "idle"), ExpectEnd()), ReasonServerGoodbye, true},
		{"the server speaks unasked", steps(Admit(Caps), SendPacket(0, OK(0))), steps(Enter(Caps), ExpectEnd()), ReasonServerProtocol, true},
		{"the server resets over a command", steps(Admit(Caps), ExpectPacket(0, query), Reset()),
			steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd()), ReasonServerLost, true},
		{"the server closes over a command", steps(Admit(Caps), ExpectPacket(0, query), HalfClose()),
			steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd()), ReasonServerLost, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			h := &hooks{gone: func(s hook.Session) { s.SetBackend(0) }}
			if tc.reads {
				h.query = passQuery
			}
			if n := len(tc.server); tc.server[n-1].Name != Reset().Name {
				tc.server = append(tc.server, ExpectEnd())
			}
			cfg := w.config(w.server(tc.server))
			with(h)(&cfg)
			w.start(cfg)
			w.talk(1, tc.reason, tc.client...)
			for user, n := range map[string]int{"": 0, "app": 0, "other": 0} {
				w.idleSessions(0, user, n)
			}
		})
	}
}

// The pool is first in, first out, and never has more than the script allows.
func TestPoolOrder(t *testing.T) {
	change, one := changeOf(Login(Caps), Caps), Query("SELECT 1")
	t.Run("first in, first out", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config(w.server(
			steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectEnd()),
			steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, one), SendPacket(1, OK(0)), ExpectEnd())))
		h := pooling()
		with(h)(&cfg)
		reuse := h.connect
		h.connect = nil
		w.start(cfg)
		w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.talk(2, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.idleSessions(0, "app", 2)
		h.mu.Lock()
		h.connect = reuse
		h.mu.Unlock()
		w.talk(3, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.talk(4, ReasonClientQuit, inARow(steps(Enter(Caps), SendPacket(0, one), ExpectPacket(1, OK(0))), quit)...)
	})
	t.Run("the longest idle one goes when there are too many", func(t *testing.T) {
		w := newWorld(t)
		ended := NewGate()
		cfg := w.config(w.server(
			steps(Admit(Caps), ExpectEnd(), Open(ended)),
			steps(Admit(Caps), ExpectEnd()), steps(Admit(Caps), ExpectEnd())))
		h := fresh()
		with(h)(&cfg)
		w.start(cfg)
		h.global.Backends()[0].SetMaxIdle(2)
		for i := range 3 {
			w.talk(i+1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		}
		w.idleSessions(0, "app", 2)
		<-ended
	})
	t.Run("and one is attached to be closed", func(t *testing.T) { // as scripts shrink a pool
		w := newWorld(t)
		cfg := w.config(w.server(steps(Admit(Caps), ExpectEnd()), steps(Admit(Caps), ExpectEnd())))
		h := fresh()
		h.gone = nil
		with(h)(&cfg)
		w.start(cfg)
		w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.idleSessions(0, "app", 1)
		h.mu.Lock()
		h.gone = func(s hook.Session) { s.SetBackend(1); s.SetBackend(1) }
		h.mu.Unlock()
		w.talk(2, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.idleSessions(0, "app", 1)
	})
}

// A session is only for those whom a server has let in as its user.
func TestNobodyGetsAnothersSession(t *testing.T) {
	take := func(s hook.Session, p []byte) hook.Verdict { s.SetBackend(1); return hook.Verdict{} }
	mock := Greeting(Caps)
	gone := "(proxy) the script has left no backend connection for this command"
	l := Login(Caps)
	none := func(t *testing.T, change func(*hooks), reason CloseReason, client ...Step) {
		w := newWorld(t)
		cfg := w.config(w.server(steps(Admit(Caps), ExpectEnd())))
		h := fresh()
		with(h)(&cfg)
		w.start(cfg)
		w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.idleSessions(0, "app", 1)
		h.mu.Lock()
		change(h)
		h.mu.Unlock()
		w.talk(2, reason, client...)
		w.idleSessions(0, "app", 1)
	}
	enter := steps(ExpectPacket(0, mock.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, OK(0)))
	lost := append(enter, SendPacket(0, Query("DROP")), ExpectERR(1, 2013, "HY000", gone), ExpectEnd())
	t.Run("not whom the script has let in", func(t *testing.T) {
		none(t, func(h *hooks) {
			h.query = take
			h.connect = func(hook.Session) hook.Verdict { return sendResult(mock.Append(nil)) }
		}, ReasonNoServer, lost...)
	})
	t.Run("not whom the script has let in on a pooled session", func(t *testing.T) {
		none(t, func(h *hooks) {
			h.query = take
			h.connect = func(s hook.Session) hook.Verdict { s.SetBackend(1); return ignoreResult() }
			h.auth = func(hook.Session) hook.Verdict { return sendResult(OK(0)) }
		}, ReasonNoServer, lost...)
	})
	t.Run("not whom the script has refused on a pooled session", func(t *testing.T) {
		none(t, func(h *hooks) {
			h.query = take
			h.connect = func(s hook.Session) hook.Verdict { s.SetBackend(1); return ignoreResult() }
			h.auth = func(hook.Session) hook.Verdict { return sendResult(denied) }
		}, ReasonLoginRefused, enter[0], Send(packet.AppendPacket(packet.AppendPacket(nil, 1, l.Append(nil, Caps)), 0, Query("DROP"))), ExpectPacket(2, denied), ExpectEnd())
	})
	t.Run("not for a COM_PING in place of the login", func(t *testing.T) {
		none(t, func(h *hooks) {
			h.connect = func(s hook.Session) hook.Verdict { s.SetBackend(1); return ignoreResult() }
			h.auth = func(s hook.Session) hook.Verdict { s.Queue().Append(inject(1, ping, false)); return sendQuery() }
		}, ReasonPoolLogin, enter[0], enter[1], ExpectERR(2, 1045, "28000", poolFailed), ExpectEnd())
	})
	t.Run("not before it has said who it is", func(t *testing.T) {
		none(t, func(h *hooks) {
			h.connect = func(s hook.Session) hook.Verdict { s.SetBackend(1); return hook.Verdict{} } // goes back
			h.global.Backends()[0].SetState(int(BackendDown))
		}, ReasonNoBackend, ExpectERR(0, 1105, "", "(proxy) all backends are down"), ExpectEnd())
	})
	t.Run("not as another user", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config(w.server(steps(Admit(Caps), ExpectEnd()), steps(admitAs(other, Caps), ExpectEnd())))
		h := fresh()
		with(h)(&cfg)
		w.start(cfg)
		w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		h.mu.Lock()
		h.query = func(s hook.Session, p []byte) hook.Verdict {
			for range 2 { // its own is given away, and there is no other
				s.SetBackend(1)
				s.SetBackend(0)
			}
			if n := h.global.Backends()[0].Idle(s.Loop(), "other"); n != 1 {
				t.Errorf("%d idle sessions of its user, want 1", n)
			}
			return hook.Verdict{}
		}
		h.mu.Unlock()
		w.talk(2, ReasonNoServer, enterAs(other, Caps), SendPacket(0, Query("DROP")), ExpectERR(1, 2013, "HY000", gone), ExpectEnd())
		w.idleSessions(0, "app", 1)
		w.idleSessions(0, "other", 1)
	})
}

// The proxy stops with sessions in its pools, and with some that are lent.
func TestShutdownWithPooledSessions(t *testing.T) {
	for _, forced := range []bool{false, true} {
		w := newWorld(t)
		query := Query("SELECT")
		running := NewGate()
		cfg := w.config(w.server(
			steps(Admit(Caps), ExpectEnd()), steps(Admit(Caps), ExpectEnd()),
			steps(Admit(Caps), ExpectPacket(0, query), Open(running), w.shutdown(), passes(w, 3*short), ExpectEnd())))
		cfg.Loops = 1
		if forced {
			impatient(&cfg)
		} else {
			cfg = w.config(w.server(
				steps(Admit(Caps), ExpectEnd()), steps(Admit(Caps), ExpectEnd()),
				steps(Admit(Caps), ExpectPacket(0, query), Open(running), w.shutdown(), SendPacket(1, OK(0)), ExpectEnd())))
		}
		h := fresh()
		h.query = func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == byte(packet.ComQuit) {
				return sendResult(OK(0))
			}
			s.Queue().Append(inject(1, p, true))
			return sendQuery()
		}
		with(h)(&cfg)
		w.start(cfg)
		for i := range 2 {
			w.talk(i+1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		}
		w.idleSessions(0, "app", 2)
		h.mu.Lock()
		h.authResult = nil
		h.mu.Unlock()
		if forced {
			w.talk(3, ReasonShutdownForced, Enter(Caps), SendPacket(0, query), ExpectERR(1, 1053, "08S01", stopping), ExpectEnd())
		} else {
			w.talk(3, ReasonShutdown, Enter(Caps), SendPacket(0, query), ExpectPacket(1, OK(0)), ExpectEnd())
		}
		w.waitFor(w.proxy)
	}
}
