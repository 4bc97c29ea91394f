package engine

import (
	"bytes"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

var (
	denied     = packet.AppendERR(nil, 1045, "28000", "Access denied")
	challenge  = bytes.Repeat([]byte{9}, packet.ChallengeLen)
	switchTo   = packet.AuthSwitch{Plugin: []byte("mysql_native_password"), Data: challenge}
	demand     = switchTo.Append(nil)
	answer     = bytes.Repeat([]byte{3}, 20)
	other      = loginOf("other", "another hash, 20 b..", Caps)
	poolFailed = "(proxy-pool) login failed"
)

func noChangeUser(c *Config) { c.PoolNoChangeUser = true }

// A client after another gets its server session at the login.
func TestPooledLogin(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	greeted := ExpectPacket(0, g.Append(nil))
	change := changeOf(l, Caps)
	emptied := loginOf("app", "", Caps)
	const fewer = Caps &^ packet.CapMultiStatements
	few, fewAgain, old := Login(fewer), Login(fewer), Login(fewer&^(packet.CapPluginAuth|packet.CapPluginAuthLenenc))
	fewAgain.AuthResponse = answer
	bare := Login(Caps &^ (packet.CapPluginAuth | packet.CapPluginAuthLenenc))
	bareChange := packet.ChangeUser{User: l.User, AuthResponse: l.AuthResponse, Collation: 45, Plugin: []byte("mysql_native_password")}
	long := loginOf("app", string(make([]byte, 250)), Caps)
	ask := packet.AuthSwitch{Plugin: g.Plugin, Data: g.Challenge[:]}
	asA, asB := chat("SELECT 'a'")
	bsA, bsB := chat("SELECT 'b'")
	first := inARow(steps(Enter(Caps)), asB, quit)
	firstServed := inARow(steps(Admit(Caps)), asA)
	for _, tc := range []struct {
		name           string
		server, second []Step // the rest of the first connection; the second client
		fresh          []Step // the second connection, if there is one
		reason         CloseReason
		idle           map[string]int
		change         func(*Config)
	}{
		{name: "by COM_CHANGE_USER", server: inARow(steps(ExpectPacket(0, change), SendPacket(1, OK(0))), bsA),
			second: inARow(steps(Enter(Caps)), bsB, quit), idle: map[string]int{"app": 1}},
		{name: "of another user", server: inARow(steps(ExpectPacket(0, changeOf(other, Caps)), SendPacket(1, OK(0))), bsA),
			second: inARow(steps(enterAs(other, Caps)), bsB, quit), idle: map[string]int{"app": 0, "other": 1}},
		{name: "with an auth switch", server: inARow(steps(ExpectPacket(0, change), SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, OK(0))), bsA),
			second: inARow(steps(greeted, SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, demand), SendPacket(3, answer), ExpectPacket(4, OK(0))), bsB, quit),
			idle:   map[string]int{"app": 1}},
		{name: "with a server that speaks twice", server: inARow(steps(ExpectPacket(0, change), SendPacket(1, []byte{1, 3}), SendPacket(2, OK(0))), bsA),
			second: inARow(steps(greeted, SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, []byte{1, 3}), ExpectPacket(3, OK(0))), bsB, quit),
			idle:   map[string]int{"app": 1}},
		{name: "refused", server: steps(ExpectPacket(0, change), SendPacket(1, denied)),
			second: steps(greeted, SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, denied), ExpectEnd()), reason: ReasonLoginRefused},
		{name: "the server dies over it", server: steps(ExpectPacket(0, change), Fin()),
			second: steps(greeted, SendPacket(1, l.Append(nil, Caps)), ExpectERR(2, 2013, "HY000", lostText), ExpectEnd()), reason: ReasonServerLost},
		{name: "the server resets over it", server: steps(ExpectPacket(0, change), Reset()),
			second: steps(greeted, SendPacket(1, l.Append(nil, Caps)), ExpectERR(2, 2013, "HY000", lostText), ExpectEnd()), reason: ReasonServerLost},
		{name: "the client leaves before it", second: steps(greeted, Fin()), reason: ReasonClientClosed, idle: map[string]int{"app": 1}},
		{name: "the client leaves over it", server: steps(ExpectPacket(0, change)),
			second: steps(greeted, SendPacket(1, l.Append(nil, Caps)), Fin()), reason: ReasonClientClosed},
		{name: "of a client without plugins", server: inARow(steps(ExpectPacket(0, bareChange.Append(nil, Caps)), SendPacket(1, OK(0))), bsA),
			second: inARow(steps(enterAs(bare, Caps)), bsB, quit), idle: map[string]int{"app": 1}},
		{name: "with a command behind it", server: inARow(steps(ExpectPacket(0, change), ExpectQuiet(), SendPacket(1, OK(0))), bsA),
			second: inARow(steps(greeted, Send(packet.AppendPacket(packet.AppendPacket(nil, 1, l.Append(nil, Caps)), 0, Query("SELECT 'b'"))),
				ExpectPacket(2, OK(0)), ExpectPacket(1, OK(0))), quit), idle: map[string]int{"app": 1}},
		{name: "with a response too long for it", second: steps(greeted, SendPacket(1, long.Append(nil, Caps)),
			ExpectERR(2, 1153, "08S01", "(proxy) the login packet is longer than 128 KiB"), ExpectEnd()), reason: ReasonLoginTooLarge, idle: map[string]int{"app": 1}},

		{name: "other capabilities, the client is asked again",
			fresh: inARow(steps(Greet(g), ExpectLogin(fewAgain, Caps), SendPacket(2, OK(0))), bsA),
			second: inARow(steps(greeted, SendPacket(1, few.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer),
				ExpectPacket(4, OK(0))), bsB, quit), idle: map[string]int{"app": 2}},
		{name: "asked again, and switched",
			fresh: inARow(steps(Greet(g), ExpectLogin(fewAgain, Caps), SendPacket(2, demand), ExpectPacket(3, answer), SendPacket(4, OK(0))), bsA),
			second: inARow(steps(greeted, SendPacket(1, few.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer),
				ExpectPacket(4, demand), SendPacket(5, answer), ExpectPacket(6, OK(0))), bsB, quit), idle: map[string]int{"app": 2}},
		{name: "asked again, who speaks early is not heard before the login", // it could log in as somebody else
			fresh: inARow(steps(Greet(g), ExpectLogin(fewAgain, Caps), SendPacket(2, OK(0))), bsA),
			second: inARow(steps(greeted, Send(packet.AppendPacket(packet.AppendPacket(nil, 1, few.Append(nil, Caps)), 3, answer)),
				ExpectPacket(2, ask.Append(nil)), ExpectPacket(4, OK(0))), bsB, quit), idle: map[string]int{"app": 2}},
		{name: "asked again, refused", fresh: steps(Greet(g), ExpectLogin(fewAgain, Caps), SendPacket(2, denied)),
			second: steps(greeted, SendPacket(1, few.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer),
				ExpectPacket(4, denied), ExpectEnd()), reason: ReasonLoginRefused, idle: map[string]int{"app": 1}},
		{name: "asked again, no greeting", fresh: steps(Fin()),
			second: steps(greeted, SendPacket(1, few.Append(nil, Caps)), ExpectERR(2, 1105, "", "(proxy) all backends are down"), ExpectEnd()),
			reason: ReasonNoBackend, idle: map[string]int{"app": 1}},
		{name: "asked again, an ERR for a greeting", fresh: steps(SendPacket(0, packet.AppendERR(nil, 1040, "", "Too many connections"))),
			second: steps(greeted, SendPacket(1, few.Append(nil, Caps)), ExpectERR(2, 1040, "", "Too many connections"), ExpectEnd()),
			reason: ReasonServerRefused, idle: map[string]int{"app": 1}},
		{name: "asked again, the server lets in before", fresh: steps(Greet(g), Do("wait for the question", func(c *Conn) error { return nil }), SendPacket(2, OK(0))),
			second: steps(greeted, SendPacket(1, few.Append(nil, Caps)), Drain()),
			reason: ReasonServerProtocol, idle: map[string]int{"app": 1}},
		{name: "asked again, the server is another one by now",
			fresh: steps(Greet(Greeting(Caps &^ packet.CapMultiResults))),
			second: steps(greeted, SendPacket(1, few.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer),
				ExpectERR(4, 1045, "28000", poolFailed), ExpectEnd()), reason: ReasonPoolLogin, idle: map[string]int{"app": 1}},
		{name: "other capabilities of a client that cannot be asked",
			second: steps(greeted, SendPacket(1, old.Append(nil, Caps)), ExpectERR(2, 1045, "28000", poolFailed), ExpectEnd()), reason: ReasonPoolLogin, idle: map[string]int{"app": 1}},

		{name: "compared", change: noChangeUser, server: bsA, second: inARow(steps(Enter(Caps)), bsB, quit), idle: map[string]int{"app": 1}},
		{name: "compared, another response", change: noChangeUser, reason: ReasonPoolLogin, idle: map[string]int{"app": 1},
			second: steps(greeted, SendPacket(1, emptied.Append(nil, Caps)), ExpectERR(2, 1045, "28000", poolFailed), ExpectEnd())},
		{name: "compared, another user", change: noChangeUser, reason: ReasonPoolLogin, idle: map[string]int{"app": 1},
			second: steps(greeted, SendPacket(1, other.Append(nil, Caps)), ExpectERR(2, 1045, "28000", poolFailed), ExpectEnd())},
		{name: "compared, and the client does not mind the ERR", change: noChangeUser, reason: ReasonPoolLogin, idle: map[string]int{"app": 1},
			second: steps(greeted, Send(packet.AppendPacket(packet.AppendPacket(nil, 1, other.Append(nil, Caps)), 0, Query("DROP"))),
				ExpectERR(2, 1045, "28000", poolFailed), ExpectEnd())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			scripts := [][]Step{append(inARow(firstServed, tc.server), ExpectEnd())}
			if tc.fresh != nil {
				scripts = append(scripts, tc.fresh)
				if tc.fresh[len(tc.fresh)-1].Name != Fin().Name {
					scripts[1] = append(scripts[1], ExpectEnd())
				}
			}
			if n := len(tc.server); n > 0 && (tc.server[n-1].Name == Fin().Name || tc.server[n-1].Name == Reset().Name) {
				scripts[0] = scripts[0][:len(scripts[0])-1]
			}
			cfg := w.config(w.server(scripts...))
			with(pooling())(&cfg)
			if tc.change != nil {
				tc.change(&cfg)
			}
			w.start(cfg)
			w.talk(1, ReasonClientQuit, first...)
			w.idleSessions(0, "app", 1)
			if tc.reason == reasonNone {
				tc.reason = ReasonClientQuit
			}
			w.talk(2, tc.reason, tc.second...)
			w.idleSessions(0, "app", tc.idle["app"])
			w.idleSessions(0, "other", tc.idle["other"])
		})
	}
}

// With --proxy-pool-no-change-user, a login is compared only with one that its
// response alone has proved.
func TestPooledLoginIsNotComparedWith(t *testing.T) {
	g := Greeting(Caps)
	greeted := ExpectPacket(0, g.Append(nil))
	empty, otherEmpty := loginOf("app", "", Caps), loginOf("other", "", Caps)
	ask := changeOf(other, Caps)
	for _, tc := range []struct {
		name           string
		server, client []Step // the first one's login and commands
		second         packet.Login
	}{
		{"a login that was asked for more",
			steps(Greet(g), ExpectLogin(empty, Caps), SendPacket(2, demand), ExpectPacket(3, answer), SendPacket(4, OK(0))),
			steps(greeted, SendPacket(1, empty.Append(nil, Caps)), ExpectPacket(2, demand), SendPacket(3, answer), ExpectPacket(4, OK(0))), empty},
		{"a COM_CHANGE_USER",
			steps(Admit(Caps), ExpectPacket(0, ask), SendPacket(1, OK(0))),
			steps(Enter(Caps), SendPacket(0, ask), ExpectPacket(1, OK(0))), otherEmpty},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(append(tc.server, ExpectPacket(0, changeOf(tc.second, Caps)), SendPacket(1, denied), ExpectEnd())))
			with(pooling())(&cfg)
			noChangeUser(&cfg)
			w.start(cfg)
			w.talk(1, ReasonClientQuit, append(tc.client, quit...)...)
			w.talk(2, ReasonLoginRefused, greeted, SendPacket(1, tc.second.Append(nil, Caps)), ExpectPacket(2, denied), ExpectEnd())
		})
	}
}

// What one client has left in a session is not another's.
func TestLentSessions(t *testing.T) {
	change := changeOf(Login(Caps), Caps)
	one, two := Query("SELECT 1"), Query("SELECT 2")
	ask := ExpectPacket(0, []byte{byte(packet.ComResetConnection)})
	// Two clients share a session: a's, which became b's at b's login.
	share := func(t *testing.T, server ...Step) (w *world, a, b *Conn) {
		w = newWorld(t)
		cfg := w.config(w.server(append(append(steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, OK(0))), server...), ExpectEnd())))
		with(pooling())(&cfg)
		w.start(cfg)
		return w, w.clientNow("a", Enter(Caps)), w.clientNow("b", Enter(Caps))
	}
	run := func(t *testing.T, c *Conn, s ...Step) {
		t.Helper()
		if err := c.Run(s...); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("are reset, and not for who had it last", func(t *testing.T) {
		w, a, b := share(t, ask, ExpectQuiet(), SendPacket(1, OK(0)), ExpectPacket(0, one), SendPacket(1, OK(0)), ExpectPacket(0, two), SendPacket(1, OK(0)),
			reset(), ExpectPacket(0, one), SendPacket(1, OK(0)), reset(), ExpectPacket(0, two), SendPacket(1, OK(0)))
		run(t, a, SendPacket(0, one), ExpectPacket(1, OK(0)), SendPacket(0, two), ExpectPacket(1, OK(0)))
		run(t, b, SendPacket(0, one), ExpectPacket(1, OK(0)))
		run(t, a, SendPacket(0, two), ExpectPacket(1, OK(0)))
		w.idleSessions(0, "app", 1)
	})
	t.Run("go back to the charset of the login, at a server that goes to its own", func(t *testing.T) {
		g, l := Greeting(Caps), Login(Caps)
		g.Collation, l.Collation = 255, 8
		in := steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, OK(0)))
		set := Query("SET character_set_client=8,character_set_results=8,collation_connection=8")
		w := newWorld(t)
		cfg := w.config(w.server(steps(Greet(g), ExpectPacket(1, l.Append(nil, Caps)), SendPacket(2, OK(0)), ExpectPacket(0, changeOf(l, Caps)), SendPacket(1, OK(0)),
			ask, ExpectPacket(0, set), SendPacket(1, OK(0)), ExpectQuiet(), SendPacket(1, OK(0)), ExpectPacket(0, one), SendPacket(1, OK(0)), ExpectEnd())))
		with(pooling())(&cfg)
		w.start(cfg)
		a := w.clientNow("a", in...)
		w.clientNow("b", in...)
		run(t, a, SendPacket(0, one), ExpectPacket(1, OK(0)))
	})
	t.Run("that cannot be reset run nothing", func(t *testing.T) {
		w, a, _ := share(t, ask, SendPacket(1, packet.AppendERR(nil, 1047, "08S01", "Unknown command")))
		run(t, a, SendPacket(0, one), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd(), Fin())
		w.wantEnd(1, ReasonServerLost)
		w.idleSessions(0, "app", 0)
	})
	t.Run("that could be reset once, and then not", func(t *testing.T) {
		w, a, b := share(t, reset(), ExpectPacket(0, one), SendPacket(1, OK(0)), ask, ExpectPacket(0, two), SendPacket(1, denied))
		run(t, a, SendPacket(0, one), ExpectPacket(1, OK(0)))
		run(t, b, SendPacket(0, two), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd(), Fin())
		w.wantEnd(1, ReasonServerLost)
	})
	t.Run("are reset before a command without a response", func(t *testing.T) {
		shut := []byte{byte(packet.ComStmtClose), 1, 0, 0, 0}
		hold := NewGate()
		w, a, b := share(t, reset(), ExpectPacket(0, shut), ExpectPacket(0, one), SendPacket(1, OK(0)),
			ask, ExpectPacket(0, shut), ExpectPacket(0, two), Await(hold), SendPacket(1, OK(0)), SendPacket(1, denied))
		keep := w.engine().scripts.(*hooks)
		keep.mu.Lock()
		release := keep.result
		keep.query = func(s hook.Session, p []byte) hook.Verdict {
			if s.Server() == nil {
				s.SetBackend(1)
			}
			s.Queue().Append(inject(1, p, false))
			return sendQuery()
		}
		keep.result = release
		keep.mu.Unlock()
		run(t, a, SendPacket(0, shut), SendPacket(0, one), ExpectPacket(1, OK(0)))
		run(t, b, SendPacket(0, shut), SendPacket(0, two), Open(hold), ExpectPacket(1, denied))
	})
	t.Run("are reset for a script that reads no commands", func(t *testing.T) {
		w, a, _ := share(t, reset(), ExpectPacket(0, one), SendPacket(1, OK(0)), ExpectPacket(0, two), SendPacket(1, OK(0)))
		h := w.engine().scripts.(*hooks)
		h.mu.Lock()
		h.query = func(s hook.Session, _ []byte) hook.Verdict { // once, to take it
			s.SetBackend(1)
			h.query = nil
			return hook.Verdict{}
		}
		h.mu.Unlock()
		run(t, a, SendPacket(0, one), ExpectPacket(1, OK(0)), SendPacket(0, two), ExpectPacket(1, OK(0)))
	})
}

// A session that one client has left in another database by a USE, which the
// protocol does not show, is in the next client's own before it runs anything.
func TestLentSessionsAreInTheirClientsDatabase(t *testing.T) {
	caps := Caps | packet.CapConnectWithDB
	l := Login(caps)
	l.Database = []byte("home")
	g := Greeting(caps)
	enter := steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, caps)), ExpectPacket(2, OK(0)))
	use, home, one, two := Query("USE elsewhere"), append([]byte{byte(packet.ComInitDB)}, "home"...), Query("SELECT 1"), Query("SELECT 2")
	ask := ExpectPacket(0, []byte{byte(packet.ComResetConnection)})
	for name, tc := range map[string]struct {
		verdict []byte // on the COM_INIT_DB
		server  []Step
		b       []Step
	}{
		"and run there": {OK(0), steps(ExpectPacket(0, one), SendPacket(1, OK(0)), reset(), ExpectPacket(0, two), SendPacket(1, OK(0)),
			// By now it is known to forget: the USE does not wait for the OK before it.
			reset(), ExpectPacket(0, use), SendPacket(1, OK(0)),
			ask, ExpectPacket(0, home), ExpectQuiet(), SendPacket(1, OK(0)), SendPacket(1, OK(0)), ExpectPacket(0, one), SendPacket(1, OK(0))),
			steps(ExpectPacket(1, OK(0)))},
		"or run nothing": {denied, nil, steps(ExpectERR(1, 2013, "HY000", lostText), ExpectEnd(), Fin())},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(inARow(
				steps(Greet(g), ExpectLogin(l, caps), SendPacket(2, OK(0)), ExpectPacket(0, changeOf(l, caps)), SendPacket(1, OK(0)),
					reset(), ExpectPacket(0, use), SendPacket(1, OK(0)),
					ask, ExpectPacket(0, home), ExpectQuiet(), SendPacket(1, OK(0)), SendPacket(1, tc.verdict)),
				tc.server, steps(ExpectEnd()))))
			with(pooling())(&cfg)
			w.start(cfg)
			a, b := w.clientNow("a", enter...), w.clientNow("b", enter...)
			for _, talk := range []struct {
				c *Conn
				s []Step
			}{
				{a, steps(SendPacket(0, use), ExpectPacket(1, OK(0)))},
				{b, append(steps(SendPacket(0, one)), tc.b...)},
			} {
				if err := talk.c.Run(talk.s...); err != nil {
					t.Fatal(err)
				}
			}
			if tc.server != nil {
				for _, turn := range []struct {
					c *Conn
					p []byte
				}{{a, two}, {b, use}, {a, one}} {
					if err := turn.c.Run(SendPacket(0, turn.p), ExpectPacket(1, OK(0))); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// A session in a transaction, or without autocommit, is kept for the client that
// left it so, and ends with it.
func TestReservedSessions(t *testing.T) {
	off := packet.OK{}
	noAutocommit := off.Append(nil, 0)
	for name, ok := range map[string][]byte{
		"in a transaction": OK(packet.StatusInTrans), "in a read-only one": OK(packet.StatusInTransReadonly), "autocommit off": noAutocommit,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			begin, within := Query("BEGIN"), Query("INSERT")
			bsA, bsB := chat("SELECT 1")
			ended := NewGate()
			cfg := w.config(w.server(
				steps(Admit(Caps), ExpectPacket(0, begin), SendPacket(1, ok), ExpectPacket(0, within), SendPacket(1, ok), ExpectEnd(), Open(ended)),
				inARow(steps(Admit(Caps)), bsA, steps(ExpectEnd()))))
			with(pooling())(&cfg)
			w.start(cfg)
			a := w.clientNow("a", Enter(Caps), SendPacket(0, begin), ExpectPacket(1, ok))
			w.idleSessions(0, "app", 0) // for anybody else
			w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), bsB, quit)...)
			if err := a.Run(SendPacket(0, within), ExpectPacket(1, ok), Fin(), Await(ended)); err != nil {
				t.Fatal(err)
			}
			w.wantEnd(2, ReasonClientClosed)
			w.idleSessions(0, "app", 1)
		})
	}
	t.Run("of a client that has become another user", func(t *testing.T) {
		w := newWorld(t)
		begin, change := Query("BEGIN"), changeOf(other, Caps)
		// The first is left in a transaction; a second one changes its user.
		cfg := w.config(w.server(
			steps(Admit(Caps), ExpectPacket(0, begin), SendPacket(1, OK(packet.StatusInTrans)), ExpectEnd()),
			steps(Admit(Caps), reset(), ExpectPacket(0, change), SendPacket(1, OK(0)), ExpectEnd())))
		h := pooling()
		with(h)(&cfg)
		w.start(cfg)
		a := w.clientNow("a", Enter(Caps), SendPacket(0, begin), ExpectPacket(1, OK(packet.StatusInTrans)))
		w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		x := w.proxy.loops[0]
		done := make(chan struct{})
		x.Post(func() { // what a hook could do: take another than its own
			s := x.clients.sx
			t := x.pool(w.proxy.Backends()[0]).takeAny(0)
			t.lend(s.c)
			close(done)
		})
		<-done
		h.mu.Lock()
		h.query = passQuery
		h.mu.Unlock()
		if err := a.Run(SendPacket(0, change), ExpectPacket(1, OK(0)), Fin()); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(2, ReasonClientClosed)
		w.idleSessions(0, "other", 1)
		eventually(t, "nothing left of its transaction", func() error {
			n := make(chan int)
			x.Post(func() { n <- len(x.pool(w.proxy.Backends()[0]).idle["app"]) })
			if n := <-n; n != 0 {
				return errCut
			}
			return nil
		})
	})
}

// A switch to the backend that is attached takes another session of it, if there
// is one that was negotiated as the client's own.
func TestSwitchToTheSameBackend(t *testing.T) {
	same, fewer, collated := Login(Caps), Login(Caps&^packet.CapMultiStatements), Login(Caps)
	collated.Collation = 8
	one, oneDone := chat("SELECT 1")
	for _, tc := range []struct {
		name  string
		login packet.Login // of the session that is idle
		taken bool
	}{{"the same login", same, true}, {"other capabilities", fewer, false}, {"another collation", collated, false}} {
		t.Run(tc.name, func(t *testing.T) {
			idle, own := steps(admitAs(tc.login, Caps)), steps(Admit(Caps))
			if tc.taken {
				idle = append(append(idle, reset()), one...)
			} else {
				own = append(own, one...)
			}
			w := newWorld(t)
			cfg := w.config(w.server(append(idle, ExpectEnd()), append(own, ExpectEnd())))
			h := fresh()
			with(h)(&cfg)
			w.start(cfg)
			w.talk(1, ReasonClientQuit, append(steps(enterAs(tc.login, Caps)), quit...)...)
			h.mu.Lock()
			h.authResult = nil
			h.query = func(s hook.Session, _ []byte) hook.Verdict {
				want := 0
				if tc.taken {
					want = 1
				}
				if n := h.global.Backends()[0].Idle(s.Loop(), "app"); n != want {
					t.Errorf("%d idle sessions for it, want %d", n, want)
				}
				s.SetBackend(1)
				return hook.Verdict{}
			}
			h.mu.Unlock()
			w.talk(2, ReasonClientClosed, inARow(steps(Enter(Caps)), oneDone, steps(Fin()))...)
		})
	}
}

// A pooled session whose account must change its password first takes no other
// login: the client is asked again for a fresh one.
func TestPooledSessionOfAnExpiredPassword(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	again := l
	again.AuthResponse = answer
	ask := packet.AuthSwitch{Plugin: g.Plugin, Data: g.Challenge[:]}
	must := packet.AppendERR(nil, errMustChangePassword, "HY000", "You must SET PASSWORD before executing this statement")
	w := newWorld(t)
	cfg := w.config(w.server(steps(Admit(Caps), ExpectPacket(0, changeOf(l, Caps)), SendPacket(1, must), ExpectEnd()),
		steps(admitAs(again, Caps), ExpectEnd())))
	with(pooling())(&cfg)
	w.start(cfg)
	w.clientNow("of the expired account", Enter(Caps))
	w.clientNow("another", ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer), ExpectPacket(4, OK(0)))
	w.idleSessions(0, "app", 1)
}
