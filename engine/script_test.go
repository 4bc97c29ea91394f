package engine

import (
	"bytes"
	"fmt"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

const (
	allDown  = "(proxy) all backends are down"
	noServer = "(proxy) the script has left no backend connection for this command"
)

// What connect_server decides.
func TestConnectServer(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	here := steps(Admit(Caps), ExpectEnd())
	set := func(ns ...int) func(hook.Session) hook.Verdict {
		return func(s hook.Session) hook.Verdict {
			for _, n := range ns {
				s.SetBackend(n)
			}
			return hook.Verdict{}
		}
	}
	down := func(n int, then func(hook.Session) hook.Verdict) func(*hooks) func(hook.Session) hook.Verdict {
		return func(h *hooks) func(hook.Session) hook.Verdict {
			return func(s hook.Session) hook.Verdict {
				h.global.Backends()[n].SetState(int(BackendDown))
				return then(s)
			}
		}
	}
	always := func(f func(hook.Session) hook.Verdict) func(*hooks) func(hook.Session) hook.Verdict {
		return func(*hooks) func(hook.Session) hook.Verdict { return f }
	}
	for _, tc := range []struct {
		name    string
		connect func(*hooks) func(hook.Session) hook.Verdict
		backend int // whose session it is; 0: none
	}{
		{"no decision", always(pass), 1},
		{"a number", always(set(2)), 2},
		{"a read-only one", always(set(3)), 3},
		{"the last number counts", always(set(3, 2)), 2},
		{"0 changes nothing where nothing is", always(set(2, 0)), 2},
		{"a negative number is 0", always(set(-1)), 1},
		{"out of range", always(set(4)), 0},
		{"one that is down", down(1, set(2)), 1},
		{"a default that is down", down(0, pass), 2},
		{"IGNORE_RESULT with nothing attached", always(func(s hook.Session) hook.Verdict { s.SetBackend(2); return ignoreResult() }), 2},
		{"SEND_QUERY", always(func(s hook.Session) hook.Verdict { s.SetBackend(2); return sendQuery() }), 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			var addrs []*Server
			for range 3 {
				addrs = append(addrs, w.serverOf(Scripts(here)))
			}
			cfg := w.config(addrs[0].Addr(), addrs[1].Addr(), addrs[2].Addr())
			cfg.Backends[2].ReadOnly = true
			h := &hooks{}
			h.connect = tc.connect(h)
			with(h)(&cfg)
			w.start(cfg)
			if tc.backend == 0 {
				w.talk(1, ReasonNoBackend, ExpectERR(0, 1105, "", allDown), ExpectEnd())
				return
			}
			w.talk(1, ReasonClientClosed, Enter(Caps), Fin())
			for i, s := range addrs {
				if got, want := s.Connections(), map[bool]int{true: 1}[i+1 == tc.backend]; got != want {
					t.Errorf("%d connections to backend %d, want %d", got, i+1, want)
				}
			}
		})
	}
	t.Run("is asked again for each backend that fails", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config(w.refused(), w.refused(), w.server(here))
		var seen []int
		with(&hooks{connect: func(s hook.Session) hook.Verdict {
			seen = append(seen, s.Backend())
			if s.Server() != nil {
				t.Error("there is a server")
			}
			return hook.Verdict{}
		}})(&cfg)
		w.start(cfg)
		w.talk(1, ReasonClientClosed, Enter(Caps), Fin())
		if fmt.Sprint(seen) != "[0 0 0]" {
			t.Errorf("backend_ndx was %v in the calls, want [0 0 0]", seen)
		}
	})
	t.Run("and not for ever", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config(w.refused())
		h := &hooks{}
		h.connect = func(s hook.Session) hook.Verdict {
			h.global.Backends()[0].SetState(int(BackendUp))
			s.SetBackend(1)
			return hook.Verdict{}
		}
		with(h)(&cfg)
		w.start(cfg)
		w.talk(1, ReasonNoBackend, ExpectERR(0, 1105, "", allDown), ExpectEnd())
	})
	for name, tc := range map[string]struct {
		response [][]byte
		client   []Step
	}{
		"an ERR":             {[][]byte{denied}, steps(ExpectPacket(0, denied), ExpectEnd())},
		"two packets":        {[][]byte{[]byte("a"), []byte("b")}, steps(ExpectPacket(0, []byte("a")), ExpectPacket(1, []byte("b")), ExpectEnd())},
		"nothing":            {nil, steps(ExpectEnd())},
		"an empty packet":    {[][]byte{{}}, steps(ExpectEnd())},
		"half of a greeting": {[][]byte{g.Append(nil)[:20]}, steps(ExpectPacket(0, g.Append(nil)[:20]), ExpectEnd())},
	} {
		t.Run("SEND_RESULT with "+name, func(t *testing.T) {
			w := scriptedTalk(t, &hooks{connect: func(hook.Session) hook.Verdict { return sendResult(tc.response...) }}, nil, tc.client)
			w.wantEnd(1, ReasonScript)
		})
	}
	t.Run("SEND_RESULT with a greeting plays the server", func(t *testing.T) {
		modern := Greeting(ModernCaps | packet.CapSSL | packet.CapCompress)
		own := OK(packet.StatusInTrans)
		h := &hooks{
			connect: func(hook.Session) hook.Verdict { return sendResult(modern.Append(nil)) },
			query:   func(hook.Session, []byte) hook.Verdict { return sendResult(own) },
		}
		// The command lies behind the login.
		w := scriptedTalk(t, h, nil, steps(ExpectPacket(0, g.Append(nil)), Send(packet.AppendPacket(packet.AppendPacket(nil, 1, l.Append(nil, Caps)), 0, ping)),
			ExpectPacket(2, OK(0)), ExpectPacket(1, own), SendPacket(0, ping), ExpectPacket(1, own), Fin()))
		w.wantEnd(1, ReasonClientClosed)
	})
	t.Run("a login to a script that reads no commands", func(t *testing.T) {
		h := &hooks{connect: func(hook.Session) hook.Verdict { return sendResult(g.Append(nil)) }}
		w := scriptedTalk(t, h, nil, steps(Enter(Caps), SendPacket(0, ping), ExpectERR(1, 2013, "HY000", noServer), ExpectEnd()))
		w.wantEnd(1, ReasonNoServer)
	})
}

// What read_handshake, read_auth and read_auth_result decide.
func TestLoginHooks(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	greeted, login := ExpectPacket(0, g.Append(nil)), l.Append(nil, Caps)
	own := loginOf("mapped", "the script's own, 20", Caps)
	claims := own
	claims.Capabilities |= packet.CapDeprecateEOF | packet.CapCompress
	enter := steps(greeted, SendPacket(1, login), ExpectPacket(2, OK(0)))
	respond := func(payloads ...[]byte) func(hook.Session) hook.Verdict {
		return func(hook.Session) hook.Verdict { return sendResult(payloads...) }
	}
	set := func(n int) func(hook.Session) hook.Verdict {
		return func(s hook.Session) hook.Verdict { s.SetBackend(n); return hook.Verdict{} }
	}
	replace := func(payload []byte) func(hook.Session) hook.Verdict {
		return func(s hook.Session) hook.Verdict { s.Queue().Append(inject(1, payload, false)); return sendQuery() }
	}
	after := func(v hook.Verdict) func(hook.Session, []byte) hook.Verdict {
		return func(hook.Session, []byte) hook.Verdict { return v }
	}
	setThen := func(n int, only byte) func(hook.Session, []byte) hook.Verdict {
		return func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == only {
				s.SetBackend(n)
			}
			return hook.Verdict{}
		}
	}
	one, oneDone := chat("SELECT 1")
	let := steps(Admit(Caps), ExpectEnd())
	for _, tc := range []struct {
		name           string
		h              *hooks
		server, client []Step
		reason         CloseReason
	}{
		{"read_handshake: no decision", &hooks{handshake: pass}, let, steps(Enter(Caps), Fin()), ReasonClientClosed},
		{"read_handshake: IGNORE_RESULT", &hooks{handshake: func(hook.Session) hook.Verdict { return ignoreResult() }}, let, steps(Enter(Caps), Fin()), ReasonClientClosed},
		{"read_handshake: SEND_RESULT", &hooks{handshake: respond(denied)}, steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, denied), ExpectEnd()), ReasonScript},
		{"read_handshake: backend 0", &hooks{handshake: set(0)}, steps(Greet(g), ExpectEnd()), steps(ExpectERR(0, 1105, "", allDown), ExpectEnd()), ReasonNoBackend},
		{"read_handshake: backend n", &hooks{handshake: set(1)}, let, steps(Enter(Caps), Fin()), ReasonClientClosed},
		{"read_handshake: out of range", &hooks{handshake: set(9)}, let, steps(Enter(Caps), Fin()), ReasonClientClosed},

		{"read_auth: no decision", &hooks{auth: pass}, let, steps(Enter(Caps), Fin()), ReasonClientClosed},
		{"read_auth: SEND_RESULT", &hooks{auth: respond(OK(0)), query: func(hook.Session, []byte) hook.Verdict { return sendResult(OK(0)) }},
			steps(Greet(g), ExpectEnd()), append(enter, SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin()), ReasonClientClosed},
		{"read_auth: SEND_RESULT lets nobody to a server", &hooks{auth: respond(OK(0)), query: passQuery},
			steps(Greet(g), ExpectEnd()), append(enter, SendPacket(0, ping), ExpectERR(1, 2013, "HY000", noServer), ExpectEnd()), ReasonNoServer},
		{"read_auth: SEND_RESULT with an ERR", &hooks{auth: respond(denied)},
			steps(Greet(g), ExpectEnd()), steps(greeted, SendPacket(1, login), ExpectPacket(2, denied), ExpectEnd()), ReasonLoginRefused},
		{"read_auth: SEND_QUERY", &hooks{auth: replace(own.Append(nil, Caps))},
			steps(admitAs(own, Caps), ExpectEnd()), append(enter, Fin()), ReasonClientClosed},
		{"read_auth: SEND_QUERY claims nothing that the proxy cannot", &hooks{auth: replace(claims.Append(nil, Caps))},
			inARow(steps(admitAs(own, Caps)), one, steps(ExpectEnd())), inARow(enter, oneDone, steps(Fin())), ReasonClientClosed},
		{"read_auth: SEND_QUERY with an empty queue", &hooks{auth: func(hook.Session) hook.Verdict { return sendQuery() }}, let, append(enter, Fin()), ReasonClientClosed},
		{"read_auth: SEND_QUERY with a rest", &hooks{auth: func(s hook.Session) hook.Verdict {
			s.Queue().Append(inject(2, ping, false))
			return replace(login)(s)
		}}, steps(Greet(g), ExpectPacket(1, ping), SendPacket(2, denied), ExpectEnd()), steps(greeted, SendPacket(1, login), ExpectPacket(2, denied), ExpectEnd()), ReasonLoginRefused},
		{"read_auth: the rest is not sent later", &hooks{auth: func(s hook.Session) hook.Verdict {
			replace(login)(s)
			s.Queue().Append(inject(2, ping, false))
			return sendQuery()
		}}, inARow(steps(Admit(Caps)), one, steps(ExpectEnd())), inARow(enter, oneDone, steps(Fin())), ReasonClientClosed},
		{"read_auth: SEND_QUERY without a server", &hooks{connect: respond(g.Append(nil)), auth: replace(login)},
			nil, steps(greeted, SendPacket(1, login), ExpectEnd()), ReasonScript},
		{"read_auth: backend 0", &hooks{auth: set(0)}, steps(Greet(g), ExpectEnd()),
			steps(greeted, SendPacket(1, login), ExpectERR(2, 1105, "", allDown), ExpectEnd()), ReasonNoBackend},
		{"read_auth: backend n", &hooks{auth: set(1)}, let, append(enter, Fin()), ReasonClientClosed},

		{"read_auth_result: no decision", &hooks{authResult: passQuery}, let, append(enter, Fin()), ReasonClientClosed},
		{"read_auth_result: SEND_RESULT", &hooks{authResult: after(sendResult(OK(packet.StatusInTrans)))},
			inARow(steps(Admit(Caps)), one, steps(ExpectEnd())), inARow(enter[:2], steps(ExpectPacket(2, OK(packet.StatusInTrans))), oneDone, steps(Fin())), ReasonClientClosed},
		{"read_auth_result: SEND_RESULT with an ERR lets nobody in", &hooks{authResult: after(sendResult(denied))},
			let, steps(greeted, SendPacket(1, login), ExpectPacket(2, denied), ExpectEnd()), ReasonLoginRefused},
		{"read_auth_result: an OK for an ERR", &hooks{authResult: after(sendResult(OK(0)))},
			steps(Greet(g), ExpectPacket(1, login), SendPacket(2, denied), ExpectEnd()), append(enter, ExpectEnd()), ReasonLoginRefused},
		{"read_auth_result: each packet of a dialogue", &hooks{authResult: func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == 1 {
				return sendResult([]byte("\x01other"))
			}
			return hook.Verdict{}
		}}, steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{1, 4}), ExpectPacket(3, []byte{2}), SendPacket(4, OK(0)), ExpectEnd()),
			steps(greeted, SendPacket(1, login), ExpectPacket(2, []byte("\x01other")), SendPacket(3, []byte{2}), ExpectPacket(4, OK(0)), Fin()), ReasonClientClosed},
		{"read_auth_result: backend 0 at the OK", &hooks{authResult: setThen(0, 0)}, let, append(enter, Fin()), ReasonClientClosed},
		{"read_auth_result: backend 0 at an ERR", &hooks{authResult: setThen(0, 0xff)},
			steps(Greet(g), ExpectPacket(1, login), SendPacket(2, denied), ExpectEnd()), steps(greeted, SendPacket(1, login), ExpectPacket(2, denied), ExpectEnd()), ReasonLoginRefused},
		{"read_auth_result: backend 0 at a switch", &hooks{authResult: setThen(0, 0xfe)},
			steps(Greet(g), ExpectPacket(1, login), SendPacket(2, demand), ExpectEnd()),
			steps(greeted, SendPacket(1, login), ExpectERR(2, 2013, "HY000", noServer), ExpectEnd()), ReasonNoServer},
		{"read_auth_result: backend 0 between two packets of one segment", &hooks{authResult: setThen(0, 1)},
			steps(Greet(g), ExpectPacket(1, login), Send(packet.AppendPacket(packet.AppendPacket(nil, 2, []byte{1, 3}), 3, OK(0))), ExpectEnd()),
			steps(greeted, SendPacket(1, login), ExpectERR(2, 2013, "HY000", noServer), ExpectEnd()), ReasonNoServer},
		{"read_auth_result: out of range", &hooks{authResult: setThen(7, 0)}, let, append(enter, Fin()), ReasonClientClosed},

		{"the server answers before it is asked", &hooks{authResult: passQuery}, steps(Greet(g), ExpectQuiet(), SendPacket(2, OK(0)), ExpectEnd()),
			steps(greeted, ExpectEnd()), ReasonServerProtocol},
		{"the server talks nonsense", &hooks{authResult: passQuery}, steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{0}), ExpectEnd()),
			steps(greeted, SendPacket(1, login), ExpectERR(2, 2027, "HY000", "(proxy) the backend sent a packet that does not belong here"), ExpectEnd()), ReasonServerProtocol},
		{"a command behind the login", &hooks{}, steps(Greet(g), ExpectPacket(1, login), ExpectQuiet(), SendPacket(2, OK(0)), ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd()),
			steps(greeted, Send(packet.AppendPacket(packet.AppendPacket(nil, 1, login), 0, ping)), ExpectPacket(2, OK(0)), ExpectPacket(1, OK(0)), Fin()), ReasonClientClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			gone := 0
			tc.h.gone = func(hook.Session) { gone++ }
			w := scriptedTalk(t, tc.h, tc.server, tc.client)
			w.wantEnd(1, tc.reason)
			if gone != 1 {
				t.Errorf("disconnect_client was called %d times, want once", gone)
			}
		})
	}
	t.Run("a dialogue of more than 256 packets", func(t *testing.T) {
		server, client := steps(Greet(g), ExpectPacket(1, login)), steps(greeted, SendPacket(1, login))
		seq := byte(2)
		for range 140 {
			server = append(server, SendPacket(seq, []byte("\x02?")), SendPacket(seq+1, []byte("\x02?")), ExpectPacket(seq+2, answer))
			client = append(client, ExpectPacket(seq, []byte("\x02?")), ExpectPacket(seq+1, []byte("\x02?")), SendPacket(seq+2, answer))
			seq += 3
		}
		scriptedTalk(t, &hooks{query: passQuery}, append(server, SendPacket(seq, OK(0)), ExpectEnd()), append(client, ExpectPacket(seq, OK(0)), Fin())).wantEnd(1, ReasonClientClosed)
	})
}

// One login opens two server sessions where a script lets go of the first and
// names another backend.
func TestSecondServerSessionAtLogin(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	again := l
	again.AuthResponse = answer
	sha, shaAgain := l, again
	sha.Plugin = []byte(packet.PluginCachingSHA2)
	ask := packet.AuthSwitch{Plugin: g.Plugin, Data: g.Challenge[:]}
	shaAsk := packet.AuthSwitch{Plugin: sha.Plugin, Data: g.Challenge[:]}
	ssA, ssB := chat("SELECT 1")
	for _, tc := range []struct {
		name          string
		first, second []Step
		client        []Step
		reason        CloseReason
	}{
		{"both let in", steps(Admit(Caps), ExpectEnd()), inARow(steps(admitAs(again, Caps)), ssA, steps(ExpectEnd())),
			inARow(steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer), ExpectPacket(4, OK(0))), ssB, steps(Fin())),
			ReasonClientClosed},
		{"the first spoke twice", steps(Greet(g), ExpectLogin(sha, Caps), SendPacket(2, []byte{1, 3}), SendPacket(3, OK(0)), ExpectEnd()),
			inARow(steps(admitAs(shaAgain, Caps)), ssA, steps(ExpectEnd())),
			inARow(steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, sha.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer),
				ExpectPacket(4, OK(0))), ssB, steps(Fin())), ReasonClientClosed},
		{"the second spoke twice", steps(Admit(Caps), ExpectEnd()),
			inARow(steps(Greet(g), ExpectLogin(again, Caps), SendPacket(2, shaAsk.Append(nil)), ExpectPacket(3, answer), SendPacket(4, []byte{1, 3}), SendPacket(5, OK(0))), ssA, steps(ExpectEnd())),
			inARow(steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer),
				ExpectPacket(4, shaAsk.Append(nil)), SendPacket(5, answer), ExpectPacket(6, []byte{1, 3}), ExpectPacket(7, OK(0))), ssB, steps(Fin())), ReasonClientClosed},
		{"the first has had the password, behind which no client is asked again",
			steps(Greet(g), ExpectLogin(sha, Caps), SendPacket(2, []byte{1, 4}), ExpectPacket(3, []byte("pw\x00")), SendPacket(4, OK(0)), ExpectEnd()), nil,
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, sha.Append(nil, Caps)), ExpectPacket(2, []byte{1, 4}), SendPacket(3, []byte("pw\x00")), ExpectPacket(4, OK(0)), Fin()), ReasonClientClosed},
		{"the second refuses", steps(Admit(Caps), ExpectEnd()), steps(Greet(g), ExpectLogin(again, Caps), SendPacket(2, denied), ExpectEnd()),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectPacket(2, ask.Append(nil)), SendPacket(3, answer), ExpectPacket(4, denied), ExpectEnd()),
			ReasonLoginRefused},
		{"the second is no server", steps(Admit(Caps), ExpectEnd()), steps(Fin()),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), ExpectERR(2, 1105, "", allDown), ExpectEnd()), ReasonNoBackend},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(tc.first), w.server(tc.second))
			with(&hooks{
				authResult: func(s hook.Session, p []byte) hook.Verdict {
					if p[0] == 0 && s.Backend() == 1 {
						s.SetBackend(0)
						s.SetBackend(2)
					}
					return hook.Verdict{}
				},
				query: passQuery,
			})(&cfg)
			w.start(cfg)
			w.talk(1, tc.reason, tc.client...)
			w.idleSessions(0, "app", 1)
		})
	}
}

// What scripts can see of a session, hook by hook.
func TestWhatScriptsSee(t *testing.T) {
	l := Login(Caps)
	l.Database, l.Capabilities = []byte("shop"), Caps|packet.CapConnectWithDB
	const caps = Caps | packet.CapConnectWithDB
	g := Greeting(caps)
	var got []string
	see := func(where string, s hook.Session) {
		line := fmt.Sprintf("%s: backend %d loop %d", where, s.Backend(), s.Loop())
		for name, e := range map[string]*hook.Endpoint{"client": s.Client()} {
			line += fmt.Sprintf(", %s %v %d %d %d %v %q %q %q", name, e.Greeted, e.Version, e.ThreadID, len(e.Challenge), e.LoggedIn, e.Username, e.DefaultDB, e.AuthPlugin)
		}
		if e := s.Server(); e != nil {
			line += fmt.Sprintf(", server %v %d %d %d %v %q %q", e.Greeted, e.Version, e.ThreadID, len(e.Challenge), e.LoggedIn, e.Username, e.DefaultDB)
		}
		got = append(got, line)
	}
	h := &hooks{
		connect:    func(s hook.Session) hook.Verdict { see("connect_server", s); return hook.Verdict{} },
		handshake:  func(s hook.Session) hook.Verdict { see("read_handshake", s); return hook.Verdict{} },
		auth:       func(s hook.Session) hook.Verdict { see("read_auth", s); return hook.Verdict{} },
		authResult: func(s hook.Session, p []byte) hook.Verdict { see("read_auth_result", s); return hook.Verdict{} },
		query: func(s hook.Session, p []byte) hook.Verdict {
			see("read_query", s)
			s.Queue().Append(inject(1, p, true))
			return sendQuery()
		},
		result: func(s hook.Session, in *hook.Injection) hook.Verdict {
			see("read_query_result", s)
			return hook.Verdict{}
		},
		gone: func(s hook.Session) { see("disconnect_client", s) },
	}
	db := append([]byte{byte(packet.ComInitDB)}, "other"...)
	scriptedTalk(t, h, steps(admitAs(l, caps), ExpectPacket(0, db), SendPacket(1, OK(0)), ExpectEnd()),
		steps(enterAs(l, caps), SendPacket(0, db), ExpectPacket(1, OK(0)), Fin())).wantEnd(1, ReasonClientClosed)
	seen := `client true 80036 77 21 true "app" "shop" "mysql_native_password"`
	want := []string{
		`connect_server: backend 0 loop 0, client false 0 0 0 false "" "" ""`,
		`read_handshake: backend 1 loop 0, client true 80036 77 21 false "" "" "mysql_native_password", server true 80036 77 21 false "" ""`,
		`read_auth: backend 1 loop 0, ` + seen + `, server true 80036 77 21 false "" ""`,
		`read_auth_result: backend 1 loop 0, ` + seen + `, server true 80036 77 21 true "app" "shop"`,
		`read_query: backend 1 loop 0, ` + seen + `, server true 80036 77 21 true "app" "shop"`,
		`read_query_result: backend 1 loop 0, client true 80036 77 21 true "app" "other" "mysql_native_password", server true 80036 77 21 true "app" "other"`,
		`disconnect_client: backend 1 loop 0, client true 80036 77 21 true "app" "other" "mysql_native_password", server true 80036 77 21 true "app" "other"`,
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("call %d of %d:\n got %q\nwant %q", i, len(want), got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
	if g.Capabilities&packet.CapPluginAuth == 0 {
		t.Fatal("the challenge is shown with its NUL only where plugins are")
	}
}

func TestVersionNumber(t *testing.T) {
	for version, want := range map[string]uint32{
		"5.1.44": 50144, "8.0.36-log": 80036, "5.5.5-10.11.6-MariaDB": 50505, "11.4.2-MariaDB": 110402, "8.4": 80400, "": 0, "x": 0,
		"10": 100000, "5.7.": 50700, "5..7": 50007, "5.7.a": 50700,
	} {
		if got := versionNumber([]byte(version)); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
	versionNumber(bytes.Repeat([]byte("9."), 1000)) // of a hostile server: any number
}
