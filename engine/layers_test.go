package engine

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"io"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

const zlibOnly = packet.CapCompress

var otherUser = func() []byte {
	u := packet.ChangeUser{User: []byte("other"), AuthResponse: []byte("response"), Plugin: []byte(packet.PluginNative)}
	return u.Append(nil, Caps)
}()

// zippedServer are a server's steps up to its first command inside compression.
func zippedServer() []Step {
	in := Login(Caps | zlibOnly)
	return steps(Greet(Greeting(Caps|zlibOnly)), ExpectPacket(1, in.Append(nil, Caps|zlibOnly)), SendPacket(2, OK(0)), Compress(zlibOnly, true))
}

// zippedClient are a client's, up to where frames begin.
func zippedClient() []Step {
	g, l := Greeting(Caps|zlibOnly), Login(Caps|zlibOnly)
	return steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps|zlibOnly)), ExpectPacket(2, OK(0)))
}

// frameOf is a stored frame.
func frameOf(seq byte, p []byte) []byte {
	return append([]byte{byte(len(p)), byte(len(p) >> 8), byte(len(p) >> 16), seq, 0, 0, 0}, p...)
}

// expectFrame reads a stored frame.
func expectFrame(seq byte, want []byte) Step {
	return Do(fmt.Sprintf("expect frame %d", seq), func(c *Conn) error {
		got := make([]byte, 7)
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		body := make([]byte, packet.Packet(got).PayloadLen())
		if _, err := io.ReadFull(c, body); err != nil {
			return err
		}
		if got[3] != seq || !bytes.Equal(body, want) {
			return fmt.Errorf("frame %d: % x, want %d: % x", got[3], body, seq, want)
		}
		return nil
	})
}

// A backend-tls=same session of a client with TLS is not a plain one of the pool.
func TestPoolKeepsTLSSame(t *testing.T) {
	w := newWorld(t)
	g, l := Greeting(capsTLS), Login(Caps)
	again := Login(Caps)
	again.AuthResponse = answer
	ask := packet.AuthSwitch{Plugin: g.Plugin, Data: g.Challenge[:]}
	asA, asB := chat("SELECT 'a'")
	bsA, bsB := chat("SELECT 'b'")
	cfg := w.config(w.server(
		append(append(sideOf(false).greets(l), SendPacket(2, OK(0))), append(asA, ExpectEnd())...),
		append(append(sideOf(true).greets(again), SendPacket(3, OK(0))), append(bsA, ExpectEnd())...),
	))
	withTLS(TLSPrefer, TLSSame)(&cfg)
	with(pooling())(&cfg)
	w.start(cfg)
	w.talk(1, ReasonClientQuit, inARow(sideOf(false).logsIn(l), steps(ExpectPacket(2, OK(0))), asB, quit)...)
	w.idleSessions(0, "app", 1)
	w.talk(2, ReasonClientQuit, inARow(sideOf(true).logsIn(l), steps(ExpectPacket(3, ask.Append(nil)), SendPacket(4, answer), ExpectPacket(5, OK(0))), bsB, quit)...)
}

// The ids of a COM_CHANGE_USER's dialogue with a compressed server.
func TestChangeUserCompressedBackend(t *testing.T) {
	for _, scripts := range []bool{false, true} {
		t.Run(fmt.Sprintf("script %t", scripts), func(t *testing.T) {
			w := newWorld(t)
			change := []func(*Config){compressing(0, zlibOnly)}
			if scripts {
				change = append(change, with(&hooks{query: passQuery}))
			}
			converse(w, append(zippedServer(), ExpectPacket(0, otherUser), SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, OK(0)),
				ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, otherUser), ExpectPacket(1, demand), SendPacket(2, answer), ExpectPacket(3, OK(0)),
					SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin()), change...)
			w.wantEnd(1, ReasonClientClosed)
		})
	}
}

// A pipelined command that arrives in pieces around the response before it.
func TestPipelineCutBackend(t *testing.T) {
	w := newWorld(t)
	a, b := packet.AppendPacket(nil, 0, Query("SELECT 'a'")), packet.AppendPacket(nil, 0, Query("SELECT 'a longer one'"))
	half := len(b) / 2
	converse(w, append(zippedServer(), Expect(a), SendPacket(1, OK(0)), Expect(b), SendPacket(1, OK(0)), ExpectEnd()),
		steps(Enter(Caps), Send(append(bytes.Clone(a), b[:half]...)), ExpectPacket(1, OK(0)), Send(b[half:]), ExpectPacket(1, OK(0)), Fin()),
		compressing(0, zlibOnly))
	w.wantEnd(1, ReasonClientClosed)
}

// A command that arrives in the middle of the response before it does not
// change the ids of that.
func TestPipelineCutClient(t *testing.T) {
	w := newWorld(t)
	a, b := Query("SELECT 'a'"), Query("SELECT 'b'")
	rows, _ := Result(nil, 1, Caps, 0, "first", "last")
	okay := packet.AppendPacket(nil, 1, OK(0))
	cut := 5 // behind the first packet
	converse(w, steps(Admit(Caps), ExpectPacket(0, a), Send(rows[:cut]), ExpectPacket(0, b), Send(rows[cut:]), Send(okay), ExpectEnd()),
		append(zippedClient(), Send(frameOf(0, packet.AppendPacket(nil, 0, a))), expectFrame(1, rows[:cut]),
			Send(frameOf(0, packet.AppendPacket(nil, 0, b))), expectFrame(2, rows[cut:]), expectFrame(1, okay), Fin()),
		compressing(zlibOnly, 0))
	w.wantEnd(1, ReasonClientClosed)
}

// Commands sent at once have the same frames with a script and without.
func TestPipelineCompressed(t *testing.T) {
	for _, scripts := range []bool{false, true} {
		t.Run(fmt.Sprintf("script %t", scripts), func(t *testing.T) {
			w := newWorld(t)
			a, b := Query("SELECT 'a'"), Query("SELECT 'b'")
			okay := packet.AppendPacket(nil, 1, OK(0))
			change := []func(*Config){compressing(zlibOnly, 0)}
			if scripts {
				change = append(change, with(&hooks{query: passQuery}))
			}
			converse(w, steps(Admit(Caps), ExpectPacket(0, a), SendPacket(1, OK(0)), ExpectPacket(0, b), SendPacket(1, OK(0)), ExpectEnd()),
				append(zippedClient(), Send(append(frameOf(0, packet.AppendPacket(nil, 0, a)), frameOf(0, packet.AppendPacket(nil, 0, b))...)),
					expectFrame(1, okay), expectFrame(1, okay), Fin()), change...)
			w.wantEnd(1, ReasonClientClosed)
		})
	}
}

// A server that goes on to speak while the proxy uses its key.
func TestServerSpeaksWhileTheKeyIsUsed(t *testing.T) {
	w := newWorld(t)
	used, spoken := NewGate(), NewGate()
	first := packet.AuthSwitch{Plugin: []byte(packet.PluginSHA256), Data: bytes.Repeat([]byte{7}, 20)}
	second := packet.AuthSwitch{Plugin: []byte(packet.PluginSHA256), Data: bytes.Repeat([]byte{8}, 20)}
	s, c := sideOf(true), sideOf(false)
	converse(w, append(s.greets(Login(Caps)), SendPacket(3, first.Append(nil)), Await(used), SendPacket(4, second.Append(nil)), ExpectEnd()),
		append(c.logsIn(Login(Caps)), ExpectPacket(2, first.Append(nil)), SendPacket(3, []byte{1}), ExpectERR(4, 2027, "HY000", reasonTable[ReasonServerProtocol].text), ExpectEnd(), Open(spoken)),
		withTLS(TLSPrefer, TLSRequire), func(cfg *Config) {
			cfg.PasswordKey = func() *rsa.PrivateKey {
				close(used)
				select {
				case <-spoken:
				case <-time.After(Patience):
				}
				return passwordKey()
			}
		})
	w.wantEnd(1, ReasonServerProtocol)
}

// A key that could not be made costs the session.
func TestNoKey(t *testing.T) {
	w := newWorld(t)
	sw := packet.AuthSwitch{Plugin: []byte(packet.PluginSHA256), Data: bytes.Repeat([]byte{7}, 20)}
	s, c := sideOf(true), sideOf(false)
	converse(w, append(s.greets(Login(Caps)), SendPacket(3, sw.Append(nil)), ExpectEnd()),
		append(c.logsIn(Login(Caps)), ExpectPacket(2, sw.Append(nil)), SendPacket(3, []byte{1}), Drain()),
		withTLS(TLSPrefer, TLSRequire), func(cfg *Config) { cfg.PasswordKey = func() *rsa.PrivateKey { return nil } })
	w.wantEnd(1, ReasonInternal)
}

// A session that is idle behind a translated dialogue ends when the proxy stops.
func TestDrainBehindATranslatedDialogue(t *testing.T) {
	w := newWorld(t)
	s, c := sideOf(false), sideOf(true)
	converse(w, append(s.greets(Login(Caps)), SendPacket(2, OK(0)), ExpectPacket(0, otherUser),
		Do("shut down", func(*Conn) error { w.engine().Shutdown(); return nil }), ExpectQuiet(), SendPacket(1, OK(0)), ExpectEnd()),
		append(c.logsIn(Login(Caps)), ExpectPacket(3, OK(0)), SendPacket(0, otherUser), ExpectPacket(1, OK(0)), Drain()),
		withTLS(TLSPrefer, TLSOff), func(cfg *Config) { cfg.ShutdownTimeout = 3 * time.Second })
	w.wantEnd(1, ReasonShutdown)
}

// The ERR that ends a dialogue of COM_CHANGE_USER follows the client's last packet.
func TestERRInADialogue(t *testing.T) {
	clearText := packet.AuthSwitch{Plugin: []byte(packet.PluginClear)}
	for _, scripts := range []bool{false, true} {
		t.Run(fmt.Sprintf("script %t", scripts), func(t *testing.T) {
			w := newWorld(t)
			s, c := sideOf(false), sideOf(true)
			change := []func(*Config){withTLS(TLSPrefer, TLSOff)}
			if scripts {
				change = append(change, with(&hooks{query: passQuery}))
			}
			converse(w, append(s.greets(Login(Caps)), SendPacket(2, OK(0)), ExpectPacket(0, otherUser), SendPacket(1, clearText.Append(nil)), ExpectEnd()),
				append(c.logsIn(Login(Caps)), ExpectPacket(3, OK(0)), SendPacket(0, otherUser), ExpectPacket(1, clearText.Append(nil)), SendPacket(2, []byte("secret\x00")),
					ExpectERR(3, 1105, "HY000", reasonTable[ReasonAuthUnsafe].text), ExpectEnd()), change...)
			w.wantEnd(1, ReasonAuthUnsafe)
		})
	}
}

// The same of a dialogue that passes untranslated.
func TestERRInAPlainDialogue(t *testing.T) {
	for _, scripts := range []bool{false, true} {
		t.Run(fmt.Sprintf("script %t", scripts), func(t *testing.T) {
			w := newWorld(t)
			var change []func(*Config)
			if scripts {
				change = append(change, with(&hooks{query: passQuery}))
			}
			converse(w, steps(Admit(Caps), ExpectPacket(0, otherUser), SendPacket(1, demand), ExpectPacket(2, answer), Fin()),
				steps(Enter(Caps), SendPacket(0, otherUser), ExpectPacket(1, demand), SendPacket(2, answer),
					ExpectERR(3, 2013, "HY000", lostText), ExpectEnd()), change...)
			w.wantEnd(1, ReasonServerLost)
		})
	}
}

// A server on a plain connection that says more or less than servers do gets no
// password of a client with TLS in clear.
func TestNoPasswordInClear(t *testing.T) {
	secret := []byte("secret\x00")
	sha2 := Login(Caps)
	sha2.Plugin, sha2.AuthResponse = []byte(packet.PluginCachingSHA2), bytes.Repeat([]byte{5}, 32)
	notClear := ExpectWhere("a request for the key", func(p packet.Packet) error {
		if !bytes.Equal(p.Payload(), []byte{2}) {
			return fmt.Errorf("%q came", p.Payload())
		}
		return nil
	})
	t.Run("a longer demand", func(t *testing.T) {
		w := newWorld(t)
		s, c := sideOf(false), sideOf(true)
		converse(w, append(s.greets(sha2), SendPacket(2, []byte{1, 4, 0}), notClear, Fin()),
			append(c.logsIn(sha2), ExpectPacket(3, []byte{1, 4, 0}), SendPacket(4, secret), Drain()), withTLS(TLSPrefer, TLSOff))
	})
	t.Run("pooled, without a switch", func(t *testing.T) {
		w := newWorld(t)
		asA, asB := chat("SELECT 'a'")
		cfg := w.config(w.server(append(append(sideOf(false).greets(Login(Caps)), SendPacket(2, OK(0))),
			append(asA, ExpectPacket(0, changeOf(sha2, Caps)), SendPacket(1, []byte{1, 4}), notClear, Fin())...)))
		withTLS(TLSPrefer, TLSOff)(&cfg)
		with(pooling())(&cfg)
		w.start(cfg)
		w.talk(1, ReasonClientQuit, inARow(sideOf(false).logsIn(Login(Caps)), steps(ExpectPacket(2, OK(0))), asB, quit)...)
		w.idleSessions(0, "app", 1)
		w.talk(2, ReasonServerLost, append(sideOf(true).logsIn(sha2), ExpectPacket(3, []byte{1, 4}), SendPacket(4, secret), Drain())...)
	})
}

// One backend without TLS does not draw all clients of a proxy that wants it.
func TestABackendWithoutTheTLSItMustHave(t *testing.T) {
	w := newWorld(t)
	bad := w.serverOf(func(_ int, c *Conn) error { return c.Run(Greet(Greeting(Caps)), ExpectEnd()) })
	s := sideOf(true)
	good := w.serverOf(func(_ int, c *Conn) error {
		return c.Run(append(s.greets(Login(Caps)), SendPacket(3, OK(0)), ExpectEnd())...)
	})
	cfg := w.config(bad.Addr(), good.Addr())
	withTLS(TLSPrefer, TLSRequire)(&cfg)
	w.start(cfg)
	c := sideOf(false)
	for i := range 4 {
		w.clientNow("client", append(c.logsIn(Login(Caps)), ExpectPacket(2, OK(0)))...)
		if n := good.Connections(); n != i+1 {
			t.Errorf("the backend with TLS has had %d sessions, want %d", n, i+1)
		}
	}
}
