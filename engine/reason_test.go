package engine

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// Every reason for which a session can end is reached by a session that ends
// for it.
func TestEveryReasonIsReached(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	login := l.Append(nil, Caps)
	greeted := ExpectPacket(0, g.Append(nil))
	query := Query("SELECT")
	nothing := func(*Config) {}
	type talk struct {
		change         func(*Config)
		server, client []Step
	}
	corrupt := func(w *world) Step {
		return Do("put the session into a state that it cannot be in", func(*Conn) error {
			l, done := w.engine().loops[0], make(chan struct{})
			l.Post(func() { l.clients.server.state = serverGreeting; close(done) })
			<-done
			return nil
		})
	}
	reached := map[CloseReason]func(w *world) talk{
		ReasonClientQuit: func(*world) talk {
			return talk{nothing, steps(Admit(Caps), Drain()), steps(Enter(Caps), SendPacket(0, []byte{1}), Fin())}
		},
		ReasonClientClosed: func(*world) talk { return talk{nothing, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), Fin())} },
		ReasonClientLost:   func(*world) talk { return talk{nothing, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), Reset())} },
		ReasonClientIdle: func(w *world) talk {
			return talk{readTimeout, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), passes(w, 3*short), ExpectEnd())}
		},
		ReasonClientTooSlow: func(w *world) talk {
			return talk{writeTimeout, steps(Admit(Caps), ExpectPacket(0, query), flood()), steps(Enter(Caps), SendPacket(0, query), tires(w))}
		},
		ReasonClientProtocol: func(*world) talk {
			return talk{nothing, steps(Greet(g), ExpectEnd()), steps(greeted, SendPacket(1, nil), Drain())}
		},
		ReasonClientOldProtocol: func(*world) talk {
			return talk{nothing, steps(Greet(g), ExpectEnd()), steps(greeted, SendPacket(1, []byte{0x85, 0x24, 0, 0, 0, 'u', 0, 0}), Drain())}
		},
		ReasonClientTLS: func(*world) talk {
			tls := packet.Login{Capabilities: Caps | packet.CapSSL, SSLRequest: true}
			return talk{nothing, steps(Greet(g), ExpectEnd()), steps(greeted, SendPacket(1, tls.Append(nil, Caps)), Drain())}
		},
		ReasonClientHandshake: func(*world) talk {
			g := Greeting(capsTLS)
			return talk{withTLS(TLSPrefer, TLSSame), steps(Greet(g), Drain()),
				steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, sslRequest(l)), Send([]byte("this is no handshake")), Drain())}
		},
		ReasonTLSRequired: func(*world) talk {
			g := Greeting(capsTLS)
			return talk{withTLS(TLSRequire, TLSSame), steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login),
				ExpectERR(2, 3159, "HY000", "(proxy) this address takes connections with TLS only; connect with it (--ssl-mode=REQUIRED, --ssl)"), ExpectEnd())}
		},
		ReasonAuthUnsafe: func(*world) talk {
			l := l
			l.Plugin, l.AuthResponse = []byte(packet.PluginClear), []byte("pw\x00")
			return talk{withTLS(TLSPrefer, TLSOff), steps(Greet(Greeting(capsTLS)), ExpectEnd()), append(sideOf(true).logsIn(l),
				ExpectERR(3, 1105, "HY000", "(proxy) the account's plugin would send the password readable to the backend; set --backend-tls=same or require, and have TLS at the backend"), ExpectEnd())}
		},
		ReasonAuthKey: func(*world) talk {
			l := l
			l.Plugin, l.AuthResponse = []byte(packet.PluginSHA256), []byte("encrypted for another key")
			g := Greeting(capsTLS)
			return talk{withTLS(TLSPrefer, TLSRequire), steps(Greet(g), ExpectPacket(1, sslRequest(l)), StartTLS(ServerTLS(), true), ExpectEnd()),
				steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps)), Drain())}
		},
		ReasonLoginTimeout: func(w *world) talk {
			return talk{loginTimeout, steps(Greet(g), ExpectEnd()), steps(greeted, passes(w, 3*short), ExpectEnd())}
		},
		ReasonLoginTooLarge: func(*world) talk {
			return talk{nothing, steps(Greet(g), ExpectEnd()), steps(greeted, Send([]byte{1, 0, 2, 1}), Drain())}
		},
		ReasonLoginRefused: func(*world) talk {
			denied := packet.AppendERR(nil, 1045, "28000", "Access denied")
			return talk{nothing, steps(Greet(g), ExpectPacket(1, login), SendPacket(2, denied), Fin()), steps(greeted, SendPacket(1, login), Drain())}
		},
		ReasonNoBackend: func(*world) talk {
			return talk{func(c *Config) { c.Backends = nil }, nil, steps(Drain())}
		},
		ReasonNoPrimary: func(w *world) talk {
			return talk{func(c *Config) { c.Backends, c.FailoverWait = nil, time.Millisecond }, nil,
				steps(Do("wait", func(*Conn) error { w.engine(); w.waiting(1); return nil }), passes(w, 2*seekLook), ExpectERR(0, 2013, "", "(proxy) Lost connection: no server took writes within --failover-wait"), ExpectEnd())}
		},
		ReasonServerRefused: func(*world) talk {
			return talk{nothing, steps(SendPacket(0, packet.AppendERR(nil, 1040, "", "Too many connections")), Fin()), steps(Drain())}
		},
		ReasonServerSilent: func(w *world) talk {
			return talk{loginTimeout, steps(passes(w, 3*short), ExpectEnd()), steps(Drain())}
		},
		ReasonServerNoTLS: func(*world) talk {
			return talk{withTLS(TLSPrefer, TLSRequire), steps(Greet(g), ExpectEnd()), steps(Drain())}
		},
		ReasonServerHandshake: func(*world) talk {
			shown := Greeting(capsTLS)
			return talk{withTLS(TLSPrefer, TLSRequire), steps(Greet(shown), ExpectPacket(1, sslRequest(l)), Send([]byte("this is no handshake either")), Drain()),
				steps(ExpectPacket(0, shown.Append(nil)), SendPacket(1, login),
					ExpectERR(2, 2026, "HY000", "(proxy) the TLS handshake with the backend failed, the proxy's log says why; see --backend-tls and --backend-tls-ca"), ExpectEnd())}
		},
		ReasonServerClosed: func(*world) talk { return talk{nothing, steps(Admit(Caps), Fin()), steps(Enter(Caps), ExpectEnd())} },
		ReasonServerLost: func(*world) talk {
			return talk{nothing, steps(Admit(Caps), ExpectPacket(0, query), Fin()), steps(Enter(Caps), SendPacket(0, query), Drain())}
		},
		ReasonServerGoodbye: func(*world) talk {
			return talk{nothing, steps(Admit(Caps), SendPacket(0, packet.AppendERR(nil, 4031, "HY000", "idle")), Fin()), steps(Enter(Caps), Drain())}
		},
		ReasonServerTimeout: func(w *world) talk {
			return talk{readTimeout, steps(Admit(Caps), ExpectPacket(0, query), passes(w, 3*short), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), Drain())}
		},
		ReasonServerTooSlow: func(w *world) talk {
			return talk{writeTimeout, steps(Admit(Caps), tires(w)), steps(Enter(Caps), push(Drain()))}
		},
		ReasonServerProtocol: func(*world) talk {
			return talk{nothing, steps(Admit(Caps), SendPacket(0, OK(0)), ExpectEnd()), steps(Enter(Caps), ExpectEnd())}
		},
		ReasonShutdown: func(w *world) talk {
			return talk{nothing, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), w.shutdown(), ExpectEnd())}
		},
		ReasonShutdownForced: func(w *world) talk {
			return talk{impatient, steps(Admit(Caps), ExpectPacket(0, query), w.shutdown(), passes(w, 3*short), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), Drain())}
		},
		ReasonScript: func(*world) talk {
			return talk{with(&hooks{connect: func(hook.Session) hook.Verdict { return sendResult(denied) }}), nil, steps(Drain())}
		},
		ReasonNoServer: func(*world) talk {
			h := &hooks{query: func(s hook.Session, _ []byte) hook.Verdict { s.SetBackend(0); return hook.Verdict{} }}
			return talk{with(h), steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), Drain())}
		},
		ReasonPoolLogin: func(w *world) talk {
			second := Do("come as another, with the session that the first has left", func(*Conn) error {
				c, err := Dial(w.front(), "another client")
				if err != nil {
					return err
				}
				defer c.Close()
				return c.Run(greeted, SendPacket(1, other.Append(nil, Caps)), ExpectERR(2, 1045, "28000", poolFailed), ExpectEnd())
			})
			return talk{func(c *Config) { with(pooling())(c); noChangeUser(c) }, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), second, untilEnded(w), Fin())}
		},
		ReasonPoolWait: func(w *world) talk {
			second := Do("come as a second one", func(*Conn) error {
				c, err := Dial(w.front(), "another client")
				if err != nil {
					return err
				}
				defer c.Close()
				return c.Run(queued(w, 1), passes(w, short), ExpectPacket(0, ReasonPoolWait.appendERR(nil, 0, false)[packet.HeaderLen:]), ExpectEnd())
			})
			return talk{fewSessions(1, time.Millisecond), steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), second, untilEnded(w), Fin())}
		},
		ReasonCommandTooLarge: func(*world) talk {
			var huge []byte // the end of it does not come
			for i := range byte(4) {
				huge = append(packet.AppendHeader(huge, packet.MaxPayload, i), make([]byte, packet.MaxPayload)...)
			}
			return talk{with(&hooks{query: passQuery}), steps(Admit(Caps), ExpectEnd()),
				steps(Enter(Caps), Send(huge), ExpectERR(4, 1153, "08S01", "(proxy) a command of more than 64 MiB cannot be given to a script"), ExpectEnd())}
		},
		ReasonMaintenance: func(w *world) talk {
			return talk{nothing, served(ExpectPacket(0, query)),
				steps(Enter(Caps), SendPacket(0, query), busy(w), Do("take the backend out of service", func(*Conn) error {
					e := w.engine()
					return e.ForceBackend(w.Context(), e.Backends()[0].Addr.String(), DutyMaintenance, 0)
				}), ExpectERR(1, 1053, "08S01", reasonTable[ReasonMaintenance].text), ExpectEnd())}
		},
		ReasonAdminKill: func(w *world) talk {
			return talk{nothing, served(ExpectPacket(0, query)),
				steps(Enter(Caps), SendPacket(0, query), kill(w, "busy", false), ExpectERR(1, 1317, "70100", reasonTable[ReasonAdminKill].text), ExpectEnd())}
		},
		ReasonInternal: func(w *world) talk {
			w.panics = true
			return talk{nothing, steps(Admit(Caps), ExpectPacket(0, query), corrupt(w), Greet(g), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 1105, "HY000", "(proxy) internal error, see the proxy's log"), ExpectEnd())}
		},
	}
	noLeaks(t)
	for r := reasonNone + 1; r < reasons; r++ {
		if r == ReasonExhausted { // needs the process for itself
			t.Run(r.String(), TestNoDescriptorForTheBackend)
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			if reached[r] == nil {
				t.Fatal("no session of this test ends for it")
			}
			t.Parallel()
			w := sharedWorld(t)
			c := reached[r](w)
			converse(w, c.server, c.client, c.change)
			w.wantEnd(1, r)
		})
	}
}

// untilEnded is the inaction of a peer until the proxy has had enough.
func untilEnded(w *world) Step {
	return Do("do nothing until the session has ended", func(*Conn) error { w.session(1); return nil })
}

func TestReasonsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]CloseReason{}
	for r := reasonNone; r < reasons; r++ {
		name := r.String()
		if name == "" || len(name) > 32 || bytes.ContainsFunc([]byte(name), func(c rune) bool { return (c < 'a' || c > 'z') && c != '_' }) {
			t.Errorf("reason %d is named %q: want what can be a metric's label", r, name)
		}
		if other, dup := seen[name]; dup {
			t.Errorf("reasons %d and %d are both named %q", other, r, name)
		}
		seen[name] = r
		row := reasonTable[r]
		if (row.code == 0) != (row.text == "") || row.code == 0 && row.state != "" || row.state != "" && len(row.state) != 5 {
			t.Errorf("what a client is told of %s does not go together: %d %q %q", name, row.code, row.state, row.text)
		}
	}
}

// The log has one line of each session.
func TestLineOfASession(t *testing.T) {
	w := newWorld(t)
	query := Query("SELECT")
	rows, _ := Result(nil, 1, Caps, 0, "a")
	got := converse(w, steps(Admit(Caps), ExpectPacket(0, query), Send(rows), ExpectPacket(0, ping), Fin()),
		steps(Enter(Caps), SendPacket(0, query), Expect(rows), SendPacket(0, ping), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd()))
	g, l := Greeting(Caps), Login(Caps)
	ok := len(OK(0)) + packet.HeaderLen
	for key, want := range map[string]int{
		"commands": 2,
		"in":       len(l.Append(nil, Caps)) + len(query) + len(ping) + 3*packet.HeaderLen,
		"out":      len(g.Append(nil)) + packet.HeaderLen + ok + len(rows) + len(ReasonServerLost.appendERR(nil, 1, true)),
	} {
		if got.attrs[key] != slog.IntValue(want).String() {
			t.Errorf("%s=%s, want %d", key, got.attrs[key], want)
		}
	}
	for key, want := range map[string]string{
		"reason": "server_lost", "state": "busy", "backend": w.proxy.Backends()[0].Addr.String(),
	} {
		if got.attrs[key] != want {
			t.Errorf("%s=%s, want %s", key, got.attrs[key], want)
		}
	}
	if got.level != slog.LevelInfo {
		t.Errorf("level %v, want info: a server's fault", got.level)
	}
	if n := len(w.log.all("session ended")); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}
