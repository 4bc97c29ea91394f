package engine

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// console starts a proxy without backends whose admin plugin has the script h.
func (w *world) console(h *hooks) {
	w.Helper()
	cfg := w.config()
	cfg.Admin = func(g hook.Global) (*AdminConfig, error) {
		h.global = g
		return &AdminConfig{Listen: addrFor(w.refused()), User: "root", Password: "secret", Scripts: h}, nil
	}
	w.start(cfg)
}

// dialConsole connects to the admin port.
func (w *world) dialConsole() *Conn {
	w.Helper()
	a := w.proxy.Addrs()[len(w.proxy.Addrs())-1]
	c, err := Dial(net.TCPAddrFromAddrPort(a.IP), "admin client")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	return c
}

// adminLogin reads the greeting and answers it, over TLS if caps say so.
func adminLogin(user, password string, caps packet.Capability) Step {
	return adminLoginWith(0, user, password, caps)
}

// adminLoginWith is adminLogin where the greeting shows more capabilities.
func adminLoginWith(more packet.Capability, user, password string, caps packet.Capability) Step {
	return Do("log in to the admin port", func(c *Conn) error {
		p, err := c.ReadPacket()
		if err != nil {
			return err
		}
		g, err := packet.ParseGreeting(p.Payload())
		if err != nil {
			return err
		}
		switch {
		case p.Seq() != 0, string(g.Version) != "5.0.99-agent-admin", g.ThreadID != 1, g.ChallengeSize != 20, g.Capabilities != adminCapabilities|more,
			g.Collation != 8, g.Status != 2, string(g.Plugin) != packet.PluginCachingSHA2:
			return fmt.Errorf("the greeting is %+v", g)
		}
		for _, b := range g.Challenge {
			if b < 33 || b > 126 {
				return fmt.Errorf("the challenge is not printable: %q", g.Challenge)
			}
		}
		l := packet.Login{Capabilities: caps, MaxPacket: 1 << 24, Collation: 8, User: []byte(user)}
		if password != "" {
			r := packet.NativePassword([]byte(password), g.Challenge[:])
			l.AuthResponse = r[:]
		}
		seq := byte(1)
		if caps&packet.CapSSL != 0 {
			if err := c.Run(SendPacket(1, sslRequest(l)), StartTLS(ClientTLS(), false)); err != nil {
				return err
			}
			seq = 2
		}
		_, err = c.Write(packet.AppendPacket(nil, seq, l.Append(nil, g.Capabilities)))
		return err
	})
}

// The admin port has TLS as the proxy has it for its clients.
func TestConsoleWithTLS(t *testing.T) {
	const caps = packet.CapProtocol41 | packet.CapSecureConnection | packet.CapLongPassword
	query, own := Query("SELECT * FROM backends"), OK(packet.StatusInTrans)
	ask := steps(SendPacket(0, query), ExpectPacket(1, own), Fin())
	plain, secret := adminLoginWith(packet.CapSSL, "root", "secret", caps), adminLoginWith(packet.CapSSL, "root", "secret", caps|packet.CapSSL)
	for _, tc := range []struct {
		name   string
		mode   TLSMode
		client []Step
		reason CloseReason
	}{
		{"a client with it", TLSPrefer, inARow(steps(secret, ExpectPacket(3, OK(0))), ask), ReasonClientClosed},
		{"a client without it", TLSPrefer, inARow(steps(plain, ExpectPacket(2, OK(0))), ask), ReasonClientClosed},
		{"a wrong password over it", TLSPrefer, steps(adminLoginWith(packet.CapSSL, "root", "wrong", caps|packet.CapSSL),
			ExpectERR(3, 1045, "28000", "password doesn't match"), ExpectEnd()), ReasonLoginRefused},
		{"required, a client with it", TLSRequire, inARow(steps(secret, ExpectPacket(3, OK(0))), ask), ReasonClientClosed},
		{"required, a client without it", TLSRequire, steps(plain, ExpectERR(2, 3159, "HY000", reasonTable[ReasonTLSRequired].text), ExpectEnd()), ReasonTLSRequired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config()
			withTLS(tc.mode, TLSOff)(&cfg)
			cfg.Admin = func(hook.Global) (*AdminConfig, error) {
				return &AdminConfig{Listen: addrFor(w.refused()), User: "root", Password: "secret",
					Scripts: &hooks{query: func(hook.Session, []byte) hook.Verdict { return sendResult(own) }}}, nil
			}
			w.start(cfg)
			if err := w.dialConsole().Run(tc.client...); err != nil {
				t.Fatal(err)
			}
			w.wantEnd(1, tc.reason)
		})
	}
}

func TestConsole(t *testing.T) {
	const caps = packet.CapProtocol41 | packet.CapSecureConnection | packet.CapLongPassword
	in := steps(adminLogin("root", "secret", caps), ExpectPacket(2, OK(0)))
	need := "need a resultset + proxy.PROXY_SEND_RESULT"
	own := OK(packet.StatusInTrans)
	query := Query("SELECT * FROM backends")
	answers := func(_ hook.Session, p []byte) hook.Verdict { return sendResult(own) }
	forbiddenHooks := func(h *hooks) *hooks {
		bad := func(hook.Session) hook.Verdict { t.Error("a hook of the proxy's is called"); return sendResult(denied) }
		h.connect, h.handshake, h.auth = bad, bad, bad
		h.authResult = func(s hook.Session, _ []byte) hook.Verdict { return bad(s) }
		h.gone = func(s hook.Session) { bad(s) }
		return h
	}
	file, answer := fileOf(9)
	for _, tc := range []struct {
		name   string
		query  func(hook.Session, []byte) hook.Verdict
		client []Step
		reason CloseReason
	}{
		{"a command that is answered", answers, inARow(in, steps(SendPacket(0, query), ExpectPacket(1, own), SendPacket(0, ping), ExpectPacket(1, own), Fin())), ReasonClientClosed},
		{"more than one at a time", answers, inARow(in, steps(Send(bytes.Repeat(packet.AppendPacket(nil, 0, query), 3)), Expect(bytes.Repeat(packet.AppendPacket(nil, 1, own), 3)), Fin())), ReasonClientClosed},
		{"behind the login", answers, steps(adminLogin("root", "secret", caps), SendPacket(0, query), ExpectPacket(2, OK(0)), ExpectPacket(1, own), Fin()), ReasonClientClosed},
		{"COM_QUIT goes to the script", answers, inARow(in, steps(SendPacket(0, []byte{1}), ExpectPacket(1, own), Fin())), ReasonClientQuit},
		{"a client that claims more than it was shown", answers, inARow(steps(adminLogin("root", "secret", caps|packet.CapPluginAuth|packet.CapConnectWithDB|packet.CapDeprecateEOF), ExpectPacket(2, OK(0)),
			SendPacket(0, query), ExpectPacket(1, own), Fin())), ReasonClientClosed},
		{"no decision", passQuery, inARow(in, steps(SendPacket(0, query), ExpectERR(1, 1105, "07000", need), ExpectEnd())), ReasonScript},
		{"no hook", nil, inARow(in, steps(SendPacket(0, query), ExpectERR(1, 1105, "07000", need), ExpectEnd())), ReasonScript},
		{"another decision", func(s hook.Session, p []byte) hook.Verdict { s.Queue().Append(inject(1, p, false)); return sendQuery() },
			inARow(in, steps(SendPacket(0, query), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd())), ReasonScript},
		{"a script that fails", func(hook.Session, []byte) hook.Verdict { return hook.Verdict{Failed: true} },
			inARow(in, steps(SendPacket(0, query), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd())), ReasonScript},
		{"a query without a text", answers, inARow(in, steps(SendPacket(0, []byte{3}), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd())), ReasonScript},
		{"an empty command", answers, inARow(in, steps(SendPacket(0, nil), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd())), ReasonScript},
		{"a query for a file", answers, inARow(in, steps(SendPacket(0, Query("load data")), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd())), ReasonScript},
		{"a query that only begins like one", answers, inARow(in, steps(SendPacket(0, Query("LOADED")), ExpectPacket(1, own), SendPacket(0, Query("LOAD")), ExpectPacket(1, own), Fin())), ReasonClientClosed},
		{"a file that the script asks for", func(_ hook.Session, p []byte) hook.Verdict {
			if p[1] == 'F' {
				return sendResult([]byte("\xfbf"))
			}
			return sendResult(own)
		}, inARow(in, steps(SendPacket(0, Query("FILE")), ExpectPacket(1, []byte("\xfbf")), Send(file), ExpectPacket(answer, OK(0)), SendPacket(0, query), ExpectPacket(1, own), Fin())), ReasonClientClosed},
		{"unknown user", answers, steps(adminLogin("toor", "secret", caps), ExpectERR(2, 1045, "28000", "unknown user"), ExpectEnd()), ReasonLoginRefused},
		{"no user", answers, steps(adminLogin("", "", caps), ExpectERR(2, 1045, "28000", "unknown user"), ExpectEnd()), ReasonLoginRefused},
		{"wrong password", answers, steps(adminLogin("root", "wrong", caps), SendPacket(0, query), ExpectERR(2, 1045, "28000", "password doesn't match"), ExpectEnd()), ReasonLoginRefused},
		{"no password", answers, steps(adminLogin("root", "", caps), ExpectERR(2, 1045, "28000", "password doesn't match"), ExpectEnd()), ReasonLoginRefused},
		{"the old protocol", answers, steps(ExpectWhere("the greeting", func(packet.Packet) error { return nil }), SendPacket(1, []byte{0x85, 0x24, 0, 0, 0, 'u', 0, 0}),
			ExpectERR(2, 2007, "", "4.0 protocol is not supported"), ExpectEnd()), ReasonClientOldProtocol},
		{"no login", answers, steps(ExpectWhere("the greeting", func(packet.Packet) error { return nil }), SendPacket(1, []byte{1}), Drain()), ReasonClientProtocol},
		{"a session without a server", func(s hook.Session, _ []byte) hook.Verdict {
			if s.SetBackend(1); s.Server() != nil || s.Client().Username != "root" || s.Client().Version != 50099 {
				t.Errorf("server %v, client %+v", s.Server(), s.Client())
			}
			return sendResult(own)
		}, inARow(in, steps(SendPacket(0, query), ExpectPacket(1, own), Fin())), ReasonClientClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.console(forbiddenHooks(&hooks{query: tc.query}))
			c := w.dialConsole()
			err := c.Run(tc.client...)
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
			w.wantEnd(1, tc.reason)
		})
	}
	t.Run("a proxy beside it", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config(w.server(steps(Admit(Caps), ExpectEnd()), steps(Admit(Caps), ExpectEnd())))
		with(fresh())(&cfg)
		cfg.Admin = func(g hook.Global) (*AdminConfig, error) {
			return &AdminConfig{Listen: addrFor(w.refused()), User: "root", Password: "secret", Scripts: &hooks{query: func(s hook.Session, _ []byte) hook.Verdict {
				b := g.Backends()[0]
				b.SetUUID("u-1")
				return sendResult([]byte(fmt.Sprintln(b.Address().IP.IsValid(), b.ReadOnly(), b.State(), b.Clients(), b.UUID(), b.MinIdle(), b.MaxIdle(),
					b.Idle(s.Loop(), "app"), b.Idle(s.Loop(), "root"), b.Idle(s.Loop(), ""))))
			}}}, nil
		}
		w.start(cfg)
		w.talk(1, ReasonClientQuit, inARow(steps(Enter(Caps)), quit)...)
		w.idleSessions(0, "app", 1)
		w.proxy.loops[0].Post(func() {}) // what follows comes after the session's end
		if err := w.dialConsole().Run(inARow(in, steps(SendPacket(0, query), ExpectPacket(1, []byte("true false 1 0 u-1 0 0 1 0 1\n")), Fin()))...); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(2, ReasonClientClosed)
	})
	t.Run("the proxy stops", func(t *testing.T) {
		w := newWorld(t)
		w.console(&hooks{query: answers})
		c := w.dialConsole()
		if err := c.Run(inARow(in, steps(SendPacket(0, query), ExpectPacket(1, own), w.shutdown(), ExpectEnd()))...); err != nil {
			t.Fatal(err)
		}
		c.Close()
		w.wantEnd(1, ReasonShutdown)
		w.waitFor(w.proxy)
	})
	t.Run("a client that does not log in", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		loginTimeout(&cfg)
		cfg.Admin = func(hook.Global) (*AdminConfig, error) {
			return &AdminConfig{Listen: addrFor(w.refused()), User: "root", Password: "secret", Scripts: &hooks{}}, nil
		}
		w.start(cfg)
		c := w.dialConsole()
		if err := c.Run(ExpectWhere("the greeting", func(packet.Packet) error { return nil }), passes(w, 3*short), ExpectEnd()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		w.wantEnd(1, ReasonLoginTimeout)
	})
}
