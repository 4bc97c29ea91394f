package engine

import (
	"crypto/sha1"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// nativeLogin is a login that shows ownPassword's response to the tests' greeting.
func nativeLogin() packet.Login {
	l := Login(Caps)
	l.AuthResponse = ownNative()
	return l
}

// What the proxy owns of a client whose login a pooled session has taken.
func TestIdentityOfAPooledLogin(t *testing.T) {
	change := changeOf(nativeLogin(), Caps)
	other := []byte("another challenge, 2")
	otherNative := packet.NativePassword([]byte(ownPassword), other)
	synced := func(c *Config) {
		c.Auth, c.Hashes = AuthSync, func(string) [][sha1.Size]byte {
			return [][sha1.Size]byte{packet.NativeHash([]byte("not this")), packet.NativeHash([]byte(ownPassword))}
		}
	}
	for _, tc := range []struct {
		name           string
		config         func(*Config)
		server, client []Step // behind the COM_CHANGE_USER and the login
		want           string
	}{
		{"the users-file has it", owns, steps(SendPacket(1, OK(0))), steps(ExpectPacket(2, OK(0))), "password " + ownPassword + " of app"},
		{"the server's hash is of the response", synced, steps(SendPacket(1, OK(0))), steps(ExpectPacket(2, OK(0))), "native of app"},
		{"and of that to another challenge", synced, steps(SendPacket(1, switchedTo(packet.PluginNative, other)), ExpectPacket(2, otherNative[:]), SendPacket(3, OK(0))),
			steps(ExpectPacket(2, switchedTo(packet.PluginNative, other)), SendPacket(3, otherNative[:]), ExpectPacket(4, OK(0))), "native of app"},
		{"nobody asks a client for a script", func(c *Config) { c.Auth, c.PasswordKey = AuthAuto, passwordKey }, steps(SendPacket(1, OK(0))), steps(ExpectPacket(2, OK(0))), "client_plugin"},
		{"it is not to be owned", func(*Config) {}, steps(SendPacket(1, OK(0))), steps(ExpectPacket(2, OK(0))), "none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(inARow(steps(admitAs(nativeLogin(), Caps), ExpectPacket(0, change)), tc.server, steps(answers("SELECT 1"), ExpectEnd()))))
			tc.config(&cfg)
			with(pooling())(&cfg)
			w.start(cfg)
			w.talk(1, ReasonClientQuit, append(steps(enterAs(nativeLogin(), Caps)), quit...)...)
			g := Greeting(Caps)
			l := nativeLogin()
			c := w.clientNow("second", inARow(steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps))), tc.client)...)
			if got := w.owned(); got != tc.want {
				t.Errorf("the proxy owns %q, want %q", got, tc.want)
			}
			if err := c.Run(append(steps(hears("SELECT 1")), quit...)...); err != nil {
				t.Error(err)
			}
			w.wantEnd(2, ReasonClientQuit)
		})
	}
}

// A script that gives a login to the pool and names another backend has a session
// with that one opened, and its client is not asked once more.
func TestASecondSessionAtLoginIsOpened(t *testing.T) {
	var saw []int
	h := &hooks{query: passQuery, connect: func(s hook.Session) hook.Verdict { s.SetBackend(2); return hook.Verdict{} }}
	h.authResult = func(s hook.Session, p []byte) hook.Verdict {
		s.SetBackend(0)
		saw = append(saw, h.global.Backends()[0].Idle(s.Loop(), "app"), h.global.Backends()[1].Idle(s.Loop(), "app"))
		s.SetBackend(1)
		return hook.Verdict{}
	}
	w := choosingWorld(t, h, Scripts(steps(opensAs(""), answers("ONE"), ExpectEnd())), Scripts(steps(Admit(Caps), ExpectEnd())))
	w.talk(1, ReasonClientClosed, Enter(Caps), hears("ONE"), Fin())
	if len(saw) != 2 || saw[0] != 1 || saw[1] != 1 {
		t.Errorf("the script was called with %v idle sessions, want once, with one at each", saw)
	}
}

// Sessions are opened only as the user that the client is now.
func TestNoSessionIsOpenedForAnotherUser(t *testing.T) {
	l := loginOf("other", "the response, twenty", Caps)
	change := changeOf(l, Caps)
	for _, tc := range []struct {
		name   string
		queued bool // the script sends the COM_CHANGE_USER, so that the proxy does not see whose password it has
	}{{"the client changes its user", false}, {"the script does", true}} {
		t.Run(tc.name, func(t *testing.T) {
			h := &hooks{result: func(hook.Session, *hook.Injection) hook.Verdict { return hook.Verdict{} }}
			var idle []int
			h.query = func(s hook.Session, p []byte) hook.Verdict {
				if p[0] == byte(packet.ComChangeUser) {
					s.SetBackend(1)
					if tc.queued {
						s.Queue().Append(inject(1, p, true))
						return sendQuery()
					}
					return hook.Verdict{}
				}
				idle = append(idle, h.global.Backends()[1].Idle(s.Loop(), s.Client().Username))
				s.SetBackend(2)
				return hook.Verdict{}
			}
			w := choosingWorld(t, h, Scripts(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), answers("READ"), ExpectEnd())), Scripts())
			w.talk(1, ReasonClientClosed, Enter(Caps), SendPacket(0, change), ExpectPacket(1, OK(0)), hears("READ"), Fin())
			if len(idle) != 1 || idle[0] != 0 {
				t.Errorf("the script found %v idle sessions, want none", idle)
			}
		})
	}
	t.Run("nor from its result on", func(t *testing.T) {
		h := &hooks{result: func(hook.Session, *hook.Injection) hook.Verdict { return hook.Verdict{} }}
		h.query = func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == byte(packet.ComChangeUser) {
				s.Queue().Append(inject(1, p, true))
				return sendQuery()
			}
			return hook.Verdict{}
		}
		h.result = func(s hook.Session, _ *hook.Injection) hook.Verdict {
			s.SetBackend(2)
			return hook.Verdict{}
		}
		w := choosingWorld(t, h, Scripts(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0)), answers("READ"), ExpectEnd())), Scripts())
		w.talk(1, ReasonClientClosed, Enter(Caps), SendPacket(0, change), ExpectPacket(1, OK(0)), hears("READ"), Fin())
	})
}

// A pooled session that does not fit has the client be asked for its answer once
// more; there too the proxy comes to own its identity.
func TestIdentityOfALoginThatIsAskedForOnceMore(t *testing.T) {
	plain, found := Login(relayCaps), Login(relayCaps|packet.CapFoundRows)
	for _, l := range []*packet.Login{&plain, &found} {
		l.Plugin, l.AuthResponse = []byte(packet.PluginCachingSHA2), ownSHA2()
		l.Attributes = packet.AppendAttribute(nil, "_client_name", "pymysql")
	}
	g2 := Greeting(relayCaps | packet.CapFoundRows)
	g2.Plugin = []byte(packet.PluginCachingSHA2)
	w := newWorld(t)
	gives := func(seq byte) Step {
		return All("give the password", ExpectPacket(seq, asksFull), encrypts(seq+1, greetedBy(), ownPassword), ExpectPacket(seq+4, OK(0)))
	}
	server := func(l packet.Login) []Step {
		return steps(Greet(g2), ExpectPacket(1, l.Append(nil, g2.Capabilities)), SendPacket(2, fastOK), SendPacket(3, OK(0)))
	}
	cfg := w.config(w.server(append(server(plain), ExpectEnd()), append(server(found), answers("SELECT 1"), ExpectEnd())))
	cfg.Auth, cfg.PasswordKey = AuthRelay, passwordKey
	with(pooling())(&cfg)
	w.start(cfg)
	w.talk(1, ReasonClientQuit, inARow(steps(ExpectPacket(0, g2.Append(nil)), SendPacket(1, plain.Append(nil, g2.Capabilities)), gives(2)), quit)...)
	c := w.clientNow("second", ExpectPacket(0, g2.Append(nil)), SendPacket(1, found.Append(nil, g2.Capabilities)),
		ExpectPacket(2, switchedTo(packet.PluginCachingSHA2, greetedBy())), SendPacket(3, ownSHA2()), gives(4))
	if got, want := w.owned(), "password "+ownPassword+" of app"; got != want {
		t.Errorf("the proxy owns %q, want %q", got, want)
	}
	if err := c.Run(append(steps(hears("SELECT 1")), quit...)...); err != nil {
		t.Error(err)
	}
	w.wantEnd(2, ReasonClientQuit)
}

// An idle session that a script finds behind a login goes back for one that is
// opened, unless it is to be kept: as in connect_server.
func TestASessionBehindALoginGoesBackForANewOne(t *testing.T) {
	for _, keep := range []bool{false, true} {
		h := &hooks{query: passQuery}
		first := true
		h.connect = func(s hook.Session) hook.Verdict {
			s.SetBackend(2)
			if first {
				s.SetBackend(1)
			}
			return hook.Verdict{}
		}
		h.authResult = func(s hook.Session, p []byte) hook.Verdict {
			s.SetBackend(0)
			if first {
				first = false
				return hook.Verdict{}
			}
			s.SetBackend(1)
			if s.Server() == nil || s.Server().ThreadID != 77 {
				t.Error("no idle session was attached")
			}
			if keep {
				return ignoreResult()
			}
			return hook.Verdict{}
		}
		idle, opened := steps(Admit(Caps), ExpectEnd()), steps(opensAs(""), answers("ONE"), ExpectEnd())
		if keep {
			idle = steps(Admit(Caps), reset(), answers("ONE"), ExpectEnd())
		}
		w := choosingWorld(t, h, Scripts(idle, opened), Scripts(steps(Admit(Caps), ExpectEnd())))
		w.talk(1, ReasonClientClosed, Enter(Caps), Fin())
		w.talk(2, ReasonClientClosed, Enter(Caps), hears("ONE"), Fin())
		w.stop()
	}
}

// Where a server would have the client's password, a script may take the login to
// another server, which the client is asked for instead.
func TestALoginMovesBeforeThePasswordIsAskedFor(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	l.Plugin = []byte(packet.PluginCachingSHA2)
	again := l
	again.AuthResponse = answer
	again.Plugin = g.Plugin
	ask := packet.AuthSwitch{Plugin: g.Plugin, Data: g.Challenge[:]}
	toSHA2 := packet.AuthSwitch{Plugin: l.Plugin, Data: g.Challenge[:]}
	h := &hooks{
		query: passQuery,
		authResult: func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == 1 && s.Backend() == 1 {
				s.SetBackend(0)
				s.SetBackend(2)
			}
			return hook.Verdict{}
		},
	}
	for _, tc := range []struct {
		name          string
		first, second []Step
		client        []Step
		reason        CloseReason
	}{
		{"it can be asked", steps(SendPacket(2, asksFull), ExpectEnd()), steps(admitAs(again, Caps), answers("ONE"), ExpectEnd()),
			steps(ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer), ExpectPacket(4, OK(0)), hears("ONE"), Fin()), ReasonClientClosed},
		{"it has been asked", steps(SendPacket(2, toSHA2.Append(nil)), ExpectPacket(3, answer), SendPacket(4, asksFull), ExpectEnd()), nil,
			steps(ExpectPacket(2, toSHA2.Append(nil)), SendPacket(3, answer), ExpectERR(4, 2013, "HY000", noServer), ExpectEnd()), ReasonNoServer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(append(steps(Greet(g), ExpectLogin(l, Caps)), tc.first...)), w.server(tc.second))
			with(h)(&cfg)
			w.start(cfg)
			w.talk(1, tc.reason, append(steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps))), tc.client...)...)
			w.idleSessions(0, "app", 0)
		})
	}
}
