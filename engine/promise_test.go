package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// The scripts of these tests have two backends, a read/write and a read-only one,
// and send what begins with READ to the second one. What begins with LET lets go
// of the session behind it.

// shopLogin is the login of a client with a database.
func shopLogin() packet.Login {
	l := Login(ownCaps)
	l.Database = []byte("shop")
	return l
}

// choosing is such a script. queued: commands go by the queue. saw has what it
// sees.
func choosing(queued bool, saw *[]string) *hooks {
	h := &hooks{}
	note := func(format string, a ...any) { *saw = append(*saw, fmt.Sprintf(format, a...)) }
	seen := func(s hook.Session) string {
		e := s.Server()
		if e == nil {
			return fmt.Sprintf("%d none", s.Backend())
		}
		at := slices.IndexFunc(h.global.Backends(), func(b hook.Backend) bool { return b.Address() == e.Dst }) + 1
		return fmt.Sprintf("%d at %d thread %d version %d db %s user %s", s.Backend(), at, e.ThreadID, e.Version, e.DefaultDB, e.Username)
	}
	h.query = func(s hook.Session, p []byte) hook.Verdict {
		text := string(p[1:])
		n := 1
		if strings.HasPrefix(text, "READ") {
			n = 2
		}
		idle := h.global.Backends()[n-1].Idle(s.Loop(), s.Client().Username)
		lends := h.global.Backends()[n-1].Lends(s.Loop(), s.Client().Username)
		s.SetBackend(n)
		note("%s: %d %v idle, then %s", text, idle, lends, seen(s))
		if strings.HasPrefix(text, "MINE") {
			return sendResult(OK(0))
		}
		if !queued {
			return hook.Verdict{}
		}
		s.Queue().Append(inject(1, p, strings.HasSuffix(text, "WHOLE")))
		return sendQuery()
	}
	h.result = func(s hook.Session, in *hook.Injection) hook.Verdict {
		note("result: %s", seen(s))
		if strings.HasPrefix(in.Query[1:], "LET") || strings.HasPrefix(in.Query[1:], "READ LET") {
			s.SetBackend(0)
		}
		return hook.Verdict{}
	}
	return h
}

// owns has the proxy own the identity of app.
func owns(c *Config) {
	c.Auth = AuthUsersFile
	c.Users = func(user string) (UserSecret, bool) {
		return UserSecret{Password: []byte(ownPassword)}, user == "app"
	}
}

// opensAs is a server's part of the proxy's login as app.
func opensAs(database string) Step {
	caps := ownCaps
	if database == "" {
		caps &^= packet.CapConnectWithDB
	}
	l := ownLoginOf(caps, packet.PluginNative, ownNative())
	l.Database = []byte(database)
	return All("the proxy logs in", greetsWith(ownCaps, packet.PluginNative), expectOwn(1, l, ownCaps), SendPacket(2, OK(0)))
}

// choosingWorld starts a proxy with that script.
func choosingWorld(t *testing.T, h *hooks, primary, replica func(int, *Conn) error, change ...func(*Config)) *world {
	w := newWorld(t)
	cfg := w.config(w.serverOf(primary).Addr(), w.serverOf(replica).Addr())
	cfg.Backends[1].ReadOnly = true
	owns(&cfg)
	for _, c := range append(change, with(h)) {
		c(&cfg)
	}
	w.start(cfg)
	return w
}

func answers(sql string) Step {
	return All("answer "+sql, ExpectPacket(0, Query(sql)), SendPacket(1, OK(0)))
}

func hears(sql string) Step {
	return All("ask "+sql, SendPacket(0, Query(sql)), ExpectPacket(1, OK(0)))
}

// A backend without an idle session gets one that the proxy opens as the client's
// user, with its database, collation and capabilities.
func TestASessionIsOpenedForTheScriptsChoice(t *testing.T) {
	const real = "thread 77 version 80036 db shop user app"
	const made = "thread 0 version 80036 db shop user app" // the thread is not known yet
	for _, queued := range []bool{false, true} {
		t.Run(fmt.Sprintf("queued %v", queued), func(t *testing.T) {
			var saw []string
			h := choosing(queued, &saw)
			w := choosingWorld(t, h, Scripts(steps(admitAs(shopLogin(), ownCaps), answers("ONE"), answers("TWO"), ExpectEnd())),
				Scripts(steps(opensAs("shop"), answers("READ 1"), answers("READ 2"), answers("READ 3"), ExpectEnd())))
			w.talk(1, ReasonClientClosed, enterAs(shopLogin(), ownCaps), hears("ONE"), hears("READ 1"), hears("READ 2"), hears("TWO"), hears("READ 3"), Fin())
			want := []string{
				"ONE: 0 false idle, then 1 at 1 " + real,
				"READ 1: 1 true idle, then 2 at 2 " + made,
				"READ 2: 1 true idle, then 2 at 2 " + real, // it stays, as there is no other
				"TWO: 1 true idle, then 1 at 1 " + real,
				"READ 3: 1 true idle, then 2 at 2 " + real,
			}
			results := []string{"1 at 1", "2 at 2", "2 at 2", "1 at 1", "2 at 2"}
			if queued {
				for i, r := range results {
					want = slices.Insert(want, 2*i+1, "result: "+r+" "+real)
				}
			}
			want[0] = "ONE: 1 true idle, then 1 at 1 " + real // one more could be opened
			if !slices.Equal(saw, want) {
				t.Errorf("the script saw\n%s\nwant\n%s", strings.Join(saw, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// What a script that gives its sessions back after each statement meets: nothing
// is waited for, and nothing has to be warmed up.
func TestSessionsAreOpenedForAScriptThatLetsGo(t *testing.T) {
	var saw []string
	h := choosing(true, &saw)
	h.authResult = func(s hook.Session, p []byte) hook.Verdict {
		s.SetBackend(0)
		return hook.Verdict{}
	}
	primary := func(i int, c *Conn) error {
		return c.Run([][]Step{
			steps(Admit(Caps), answers("LET 1"), answers("LET 3"), ExpectEnd()),
			steps(Admit(Caps), answers("LET 2"), ExpectEnd()),
		}[i]...)
	}
	running, done := NewGate(), NewGate()
	replica := Scripts(steps(opensAs(""), ExpectPacket(0, Query("READ LET 1 WHOLE")), Open(running), Await(done), SendPacket(1, OK(0)), ExpectEnd()),
		steps(opensAs(""), answers("READ LET 2"), ExpectEnd()))
	w := choosingWorld(t, h, primary, replica)
	a := w.clientNow("a", Enter(Caps), hears("LET 1"), SendPacket(0, Query("READ LET 1 WHOLE")), Await(running))
	b := w.clientNow("b", Enter(Caps), hears("LET 2"), hears("READ LET 2"))
	if err := a.Run(Open(done), ExpectPacket(1, OK(0)), hears("LET 3")); err != nil {
		t.Error(err)
	}
	a.Close()
	b.Close()
	w.wantEnd(2, ReasonClientClosed)
}

// A command for which there is no session does not wait for one that another
// client has in use.
func TestACommandDoesNotWaitWhereASessionCanBeOpened(t *testing.T) {
	slow := Query("SELECT SLEEP(1)")
	running, done := NewGate(), NewGate()
	change := changeOf(Login(Caps), Caps)
	w := newWorld(t)
	cfg := w.config(w.server(
		steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, slow), Open(running), Await(done), SendPacket(1, OK(0)), ExpectEnd()),
		steps(opensAs(""), answers("SELECT 1"), ExpectEnd())))
	owns(&cfg)
	with(pooling())(&cfg)
	w.start(cfg)
	b := w.clientNow("b", Enter(Caps))
	a := w.clientNow("a", Enter(Caps), SendPacket(0, slow), Await(running)) // the session is a's from its login on
	if err := b.Run(hears("SELECT 1"), Fin()); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(Open(done), ExpectPacket(1, OK(0)), Fin()); err != nil {
		t.Fatal(err)
	}
	w.wantEnd(2, ReasonClientClosed)
}

// But it does where the server has as many sessions as it may.
func TestACommandWaitsWhereNoSessionMayBeOpened(t *testing.T) {
	slow := Query("SELECT SLEEP(1)")
	running, done := NewGate(), NewGate()
	change := changeOf(Login(Caps), Caps)
	w := newWorld(t)
	cfg := w.config(w.server(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectPacket(0, slow), Open(running), Await(done), SendPacket(1, OK(0)),
		reset(), answers("SELECT 1"), ExpectEnd())))
	owns(&cfg)
	cfg.Pool.MaxSessions = 1
	with(pooling())(&cfg)
	w.start(cfg)
	b := w.clientNow("b", Enter(Caps))
	a := w.clientNow("a", Enter(Caps), SendPacket(0, slow), Await(running)) // the session is a's from its login on
	if err := b.Run(SendPacket(0, Query("SELECT 1")), ExpectQuiet(), Open(done), ExpectPacket(1, OK(0)), Fin()); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(ExpectPacket(1, OK(0)), Fin()); err != nil {
		t.Fatal(err)
	}
	w.wantEnd(2, ReasonClientClosed)
}

// A session that was promised, and may not be opened any more when it is needed.
func TestAPromiseThatCannotBeKept(t *testing.T) {
	var saw []string
	h := choosing(true, &saw)
	choose := h.query
	h.query = func(s hook.Session, p []byte) hook.Verdict {
		switch string(p[1:]) {
		case "STAY":
			return hook.Verdict{}
		case "PROMISE":
			s.SetBackend(2)
			return sendResult(OK(0))
		}
		return choose(s, p)
	}
	primary := func(i int, c *Conn) error {
		return c.Run([][]Step{steps(Admit(Caps), answers("STAY"), ExpectEnd()), steps(Admit(Caps), ExpectEnd())}[i]...)
	}
	w := choosingWorld(t, h, primary, Scripts(steps(opensAs(""), answers("READ"), ExpectEnd())), func(c *Config) { c.Pool.MaxSessions = 2 })
	limit := func(n int) { // of the replica alone
		w.onLoop(func() { w.proxy.backends.all()[1].slots.n.Add(int64(n)) })
	}
	a := w.clientNow("a", Enter(Caps), hears("PROMISE"))
	limit(1)
	b := w.clientNow("b", Enter(Caps), hears("READ"))
	if err := a.Run(hears("STAY"), Fin()); err != nil {
		t.Error(err)
	}
	if err := b.Run(Fin()); err != nil {
		t.Error(err)
	}
	w.wantEnd(2, ReasonClientClosed)
	limit(-1)
	if n := len(w.log.about(errUnopened.Error())); n != 1 {
		t.Errorf("the log tells %d times that it is full, want once", n)
	}
}

// Where no session can be opened.
func TestASessionForTheScriptsChoiceFails(t *testing.T) {
	refuses := steps(greetsWith(ownCaps, packet.PluginNative), Skip(0), ExpectWhere("a login", func(packet.Packet) error { return nil }), SendPacket(2, denied), ExpectEnd())
	full := steps(SendPacket(0, packet.AppendERR(nil, 1040, "", "Too many connections")), ExpectEnd())
	other := steps(greetsWith(ownCaps&^packet.CapMultiStatements, packet.PluginNative), ExpectEnd())
	for _, tc := range []struct {
		name             string
		primary, replica [][]Step
		client           []Step
		reason           CloseReason
		logs             int
	}{
		{"it is refused: the session stays where it is",
			[][]Step{steps(Admit(Caps), answers("READ 1"), answers("READ 2"), answers("ONE"), ExpectEnd())}, [][]Step{refuses},
			steps(hears("READ 1"), hears("READ 2"), hears("ONE"), Fin()), ReasonClientClosed, 1}, // and is not tried each time
		{"the server is full",
			[][]Step{steps(Admit(Caps), answers("READ 1"), ExpectEnd())}, [][]Step{full}, steps(hears("READ 1"), Fin()), ReasonClientClosed, 1},
		{"it lacks a capability",
			[][]Step{steps(Admit(Caps), answers("READ 1"), ExpectEnd())}, [][]Step{other}, steps(hears("READ 1"), Fin()), ReasonClientClosed, 1},
		{"the session was let go: it goes back",
			[][]Step{steps(Admit(Caps), answers("LET"), answers("READ 1"), ExpectEnd())}, [][]Step{refuses},
			steps(hears("LET"), hears("READ 1"), Fin()), ReasonClientClosed, 1},
	} {
		for _, queued := range []bool{false, true} {
			if !queued && strings.Contains(tc.name, "let go") {
				continue // there is no result to let go in
			}
			t.Run(fmt.Sprintf("%s, queued %v", tc.name, queued), func(t *testing.T) {
				var saw []string
				w := choosingWorld(t, choosing(queued, &saw), Scripts(tc.primary...), Scripts(tc.replica...))
				w.talk(1, tc.reason, append(steps(Enter(Caps)), tc.client...)...)
				if got := w.log.about("that the script has chosen could not be opened"); len(got) != tc.logs {
					t.Errorf("the log has %v, want %d lines", got, tc.logs)
				}
			})
		}
	}
	t.Run("the server is down", func(t *testing.T) {
		var saw []string
		w := newWorld(t)
		cfg := w.config(w.server(steps(Admit(Caps), answers("READ 1"), answers("READ 2"), ExpectEnd())), w.refused())
		cfg.Backends[1].ReadOnly = true
		owns(&cfg)
		with(choosing(true, &saw))(&cfg)
		w.start(cfg)
		w.talk(1, ReasonClientClosed, Enter(Caps), hears("READ 1"), hears("READ 2"), Fin())
		if n := len(w.log.about("could not be opened")); n != 1 || w.proxy.backends.all()[1].State() != BackendDown {
			t.Errorf("the log tells of %d, want 1; the state is %v", n, w.proxy.backends.all()[1].State())
		}
	})
	t.Run("a write does not stay at a read-only backend", func(t *testing.T) {
		var saw []string
		h := choosing(true, &saw)
		h.connect = func(s hook.Session) hook.Verdict { s.SetBackend(2); return hook.Verdict{} }
		w := choosingWorld(t, h, Scripts(refuses), Scripts(steps(Admit(Caps), ExpectEnd())))
		w.talk(1, ReasonNoServer, Enter(Caps), SendPacket(0, Query("WRITE")), ExpectERR(1, 2013, "HY000", noServer), ExpectEnd(), Fin())
	})
	t.Run("all are gone", func(t *testing.T) {
		var saw []string
		h := choosing(true, &saw)
		w := choosingWorld(t, h, Scripts(steps(Admit(Caps), answers("LET"), Fin()), refuses), Scripts(refuses))
		w.talk(1, ReasonNoServer, Enter(Caps), hears("LET"), Do("the pool knows", func(*Conn) error { w.idleSessions(0, "app", 0); return nil }),
			SendPacket(0, Query("READ")), ExpectERR(1, 2013, "HY000", noServer), ExpectEnd(), Fin())
	})
	t.Run("the client leaves meanwhile", func(t *testing.T) {
		var saw []string
		greeted := NewGate()
		w := choosingWorld(t, choosing(true, &saw), Scripts(steps(Admit(Caps), ExpectEnd())), Scripts(steps(greetsWith(ownCaps, packet.PluginNative), Open(greeted), Drain())))
		w.talk(1, ReasonClientClosed, Enter(Caps), SendPacket(0, Query("READ")), Await(greeted), Fin())
	})
}

// A session that goes on elsewhere than it was promised is in the client's
// database all the same.
func TestAStrayedSessionIsInTheClientsDatabase(t *testing.T) {
	use := []byte("\x02other")
	refuses := steps(greetsWith(ownCaps, packet.PluginNative), ExpectWhere("a login", func(packet.Packet) error { return nil }), SendPacket(2, denied), ExpectEnd())
	for _, tc := range []struct {
		name     string
		selected []byte // the server's answer
		behind   []Step
		client   []Step
		reason   CloseReason
	}{
		{"it is selected", OK(0), steps(answers("READ"), ExpectEnd()), steps(hears("READ"), Fin()), ReasonClientClosed},
		{"or the session ends", denied, steps(ExpectEnd()), steps(SendPacket(0, Query("READ")), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd()), ReasonServerLost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := &hooks{result: func(hook.Session, *hook.Injection) hook.Verdict { return hook.Verdict{} }}
			h.query = func(s hook.Session, p []byte) hook.Verdict {
				switch {
				case bytes.Equal(p, use): // the script answers it
					return sendResult(OK(0))
				case bytes.HasPrefix(p[1:], []byte("READ")):
					s.SetBackend(2)
				}
				s.Queue().Append(inject(1, p, true))
				return sendQuery()
			}
			w := choosingWorld(t, h, Scripts(append(steps(admitAs(shopLogin(), ownCaps), ExpectPacket(0, use), SendPacket(1, tc.selected)), tc.behind...)), Scripts(refuses))
			w.talk(1, tc.reason, append(steps(enterAs(shopLogin(), ownCaps), SendPacket(0, use), ExpectPacket(1, OK(0))), tc.client...)...)
		})
	}
}

// A promise lasts until a command needs it.
func TestAPromiseLasts(t *testing.T) {
	t.Run("the script answers itself", func(t *testing.T) {
		var saw []string
		h := choosing(true, &saw)
		choose := h.query
		h.query = func(s hook.Session, p []byte) hook.Verdict {
			switch string(p[1:]) {
			case "READ MINE":
				s.SetBackend(2)
				return sendResult(OK(0))
			case "STAY":
				return hook.Verdict{}
			case "BACK":
				s.SetBackend(2)
				s.SetBackend(1)
				return hook.Verdict{}
			case "NONE":
				s.SetBackend(2)
				s.SetBackend(0)
				if s.Server() != nil || s.Backend() != 0 {
					t.Errorf("backend %d, %v", s.Backend(), s.Server())
				}
				return sendResult(OK(0))
			}
			return choose(s, p)
		}
		w := choosingWorld(t, h, Scripts(steps(Admit(Caps), answers("BACK"), answers("ONE"), ExpectEnd())), Scripts(steps(opensAs(""), answers("STAY"), ExpectEnd())))
		w.talk(1, ReasonClientClosed, Enter(Caps), hears("READ MINE"), hears("BACK"), hears("READ MINE"), hears("STAY"), hears("NONE"), hears("ONE"), Fin())
	})
	t.Run("the client leaves", func(t *testing.T) {
		for _, let := range []bool{false, true} {
			h := &hooks{gone: func(s hook.Session) {}}
			h.query = func(s hook.Session, p []byte) hook.Verdict {
				if p[0] == byte(packet.ComQuit) {
					return hook.Verdict{}
				}
				if let {
					s.SetBackend(0)
				}
				s.SetBackend(2)
				return sendResult(OK(0))
			}
			primary := steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComQuit)}), Fin())
			if let {
				primary = steps(Admit(Caps), ExpectEnd())
			}
			w := choosingWorld(t, h, Scripts(primary), Scripts())
			w.talk(1, ReasonClientQuit, Enter(Caps), hears("READ"), SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
		}
	})
}
