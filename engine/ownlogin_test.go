package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

const ownPassword = "the client's own"

// opened is what openAs came to.
type opened struct {
	s   *server
	err error
}

// opens has the only client session open one with the second backend, and
// returns what comes of it.
func (w *world) opens(how opening, secret *packet.Secret) <-chan opened {
	result := make(chan opened, 1)
	l := w.proxy.loops[0]
	l.Post(func() {
		c, b := l.clients, w.proxy.Backends()[1]
		id := &identity{user: "app", secret: secret}
		b.clients.Add(1)
		b.slots.force()
		c.openAs(b, id, how, func(s *server, err error) { result <- opened{s, err} })
		id.secret.Clear() // whoever opens has a copy
	})
	return result
}

// await is what came of it.
func (w *world) await(result <-chan opened) opened {
	w.Helper()
	select {
	case o := <-result:
		return o
	case <-time.After(Patience):
		w.Fatal("nothing has come of it")
	}
	return opened{}
}

// dismiss closes a session that was opened, after a command whose response shows
// that it is ready.
func (w *world) dismiss(s *server) {
	w.proxy.loops[0].Post(func() {
		s.backend.release()
		s.client = nil
		s.conn.Write(packet.AppendPacket(nil, 0, []byte{byte(packet.ComQuit)}))
		s.enter(serverClosing)
		s.conn.CloseAfterFlush(time.Second, false)
	})
}

// ownServer starts the server that is opened, as the second backend of a proxy
// with a client logged in at the first.
func (w *world) ownServer(handle func(int, *Conn) error, change ...func(*Config)) *Conn {
	w.Helper()
	return w.ownBackend(w.serverOf(handle).Addr(), change...)
}

func (w *world) ownBackend(second net.Addr, change ...func(*Config)) *Conn {
	w.Helper()
	cfg := w.config(w.server(served(ExpectPacket(0, ping), SendPacket(1, OK(0)))), second)
	cfg.Backends[1].ReadOnly = true
	for _, c := range change {
		c(&cfg)
	}
	w.start(cfg)
	return w.clientNow("client", Enter(Caps))
}

// goesOn has the client's session show that it is alive.
func (w *world) goesOn(c *Conn) {
	w.Helper()
	if err := c.Run(SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin()); err != nil {
		w.Error(err)
	}
	w.wantEnd(1, ReasonClientClosed)
}

var how = opening{database: "shop", collation: 45, caps: Caps}

// ownLoginOf is the login that is expected for how.
func ownLoginOf(caps packet.Capability, plugin string, response []byte) packet.Login {
	return packet.Login{Capabilities: caps, MaxPacket: maxPacket, Collation: 45, User: []byte("app"),
		AuthResponse: response, Database: []byte("shop"), Plugin: []byte(plugin)}
}

const ownCaps = Caps | packet.CapConnectWithDB

// greetsWith is a greeting with plugin.
func greetsWith(caps packet.Capability, plugin string) Step {
	g := Greeting(caps)
	g.Plugin = []byte(plugin)
	return Greet(g)
}

// greetedBy is the challenge of these greetings.
func greetedBy() []byte { g := Greeting(0); return g.Challenge[:] }

func ownNative() []byte {
	r := packet.NativePassword([]byte(ownPassword), greetedBy())
	return r[:]
}

func ownSHA2() []byte {
	r := packet.CachingSHA2Response([]byte(ownPassword), greetedBy())
	return r[:]
}

func expectOwn(seq byte, l packet.Login, server packet.Capability) Step {
	return ExpectPacket(seq, l.Append(nil, server))
}

// quits is what dismiss says.
func quits() Step {
	return All("quit", ExpectPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
}

// What each plugin's dialogue comes to over each kind of connection.
func TestOpenAs(t *testing.T) {
	pem, err := packet.AppendPublicKey([]byte{1}, &passwordKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sw := packet.AuthSwitch{Plugin: []byte(packet.PluginEd25519), Data: bytes.Repeat([]byte("x"), 32)}
	parsec := packet.AuthSwitch{Plugin: []byte(packet.PluginParsec), Data: bytes.Repeat([]byte("x"), 32)}
	clear := packet.AuthSwitch{Plugin: []byte(packet.PluginClear)}
	nulled := append([]byte(ownPassword), 0)
	cipher := ExpectWhere("the encrypted password", func(p packet.Packet) error {
		password, err := packet.DecryptPassword(p.Payload(), greetedBy(), passwordKey())
		if err == nil && string(password) != ownPassword {
			err = fmt.Errorf("it is %q", password)
		}
		return err
	})
	length := func(n int) Step {
		return ExpectWhere(fmt.Sprintf("%d bytes", n), func(p packet.Packet) error {
			if len(p.Payload()) != n {
				return fmt.Errorf("it has %d", len(p.Payload()))
			}
			return nil
		})
	}
	const allTLS = ownCaps | packet.CapSSL
	tlsStart := func(plugin string, response []byte) []Step {
		l := ownLoginOf(allTLS, plugin, response)
		request := l
		request.SSLRequest = true
		return steps(greetsWith(allTLS, plugin), ExpectPacket(1, request.Append(nil, allTLS)), StartTLS(ServerTLS(), true), expectOwn(2, l, allTLS))
	}
	for _, tc := range []struct {
		name   string
		mode   TLSMode
		secret *packet.Secret
		server []Step
	}{
		{"native", TLSOff, packet.NewSecret([]byte(ownPassword)), steps(
			greetsWith(ownCaps, packet.PluginNative), expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), ownCaps), SendPacket(2, OK(0)))},
		{"native by a hash", TLSOff, packet.NewNativeSecret(packet.NativeSecret([]byte(ownPassword))), steps(
			greetsWith(ownCaps, packet.PluginCachingSHA2), expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), ownCaps), SendPacket(2, OK(0)))},
		{"an empty password", TLSOff, packet.NewSecret(nil), steps(
			greetsWith(ownCaps, packet.PluginCachingSHA2), expectOwn(1, ownLoginOf(ownCaps, packet.PluginCachingSHA2, nil), ownCaps), SendPacket(2, OK(0)))},
		{"sha2 that the server knows", TLSOff, packet.NewSecret([]byte(ownPassword)), steps(
			greetsWith(ownCaps, packet.PluginCachingSHA2), expectOwn(1, ownLoginOf(ownCaps, packet.PluginCachingSHA2, ownSHA2()), ownCaps),
			SendPacket(2, []byte{1, 3}), SendPacket(3, OK(0)))},
		{"sha2 by the server's key", TLSOff, packet.NewSecret([]byte(ownPassword)), steps(
			greetsWith(ownCaps, packet.PluginCachingSHA2), expectOwn(1, ownLoginOf(ownCaps, packet.PluginCachingSHA2, ownSHA2()), ownCaps),
			SendPacket(2, []byte{1, 4}), ExpectPacket(3, []byte{2}), SendPacket(4, pem), cipher, SendPacket(6, OK(0)))},
		{"sha2 over TLS", TLSRequire, packet.NewSecret([]byte(ownPassword)), append(tlsStart(packet.PluginCachingSHA2, ownSHA2()),
			SendPacket(3, []byte{1, 4}), ExpectPacket(4, nulled), SendPacket(5, OK(0)))},
		{"clear text over TLS", TLSPrefer, packet.NewSecret([]byte(ownPassword)), append(tlsStart(packet.PluginNative, ownNative()),
			SendPacket(3, clear.Append(nil)), ExpectPacket(4, nulled), SendPacket(5, OK(0)))},
		{"TLS as the client, which has none", TLSSame, packet.NewSecret([]byte(ownPassword)), steps(
			greetsWith(allTLS, packet.PluginNative), expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), allTLS), SendPacket(2, OK(0)))},
		{"ed25519", TLSOff, packet.NewSecret([]byte(ownPassword)), steps(
			greetsWith(ownCaps, packet.PluginNative), expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), ownCaps),
			SendPacket(2, sw.Append(nil)), length(64), SendPacket(4, OK(0)))},
		{"parsec", TLSOff, packet.NewSecret([]byte(ownPassword)), steps(
			greetsWith(ownCaps, packet.PluginNative), expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), ownCaps),
			SendPacket(2, parsec.Append(nil)), ExpectPacket(3, nil), SendPacket(4, []byte("\x01P\x00eighteen bytes yes")), length(96), SendPacket(6, OK(0)))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.ownServer(Scripts(append(tc.server, quits())), func(cfg *Config) {
				cfg.BackendTLS, cfg.BackendTLSConfig = tc.mode, func(b BackendConfig) *tls.Config {
					if !b.ReadOnly {
						t.Error("TLS with the other backend")
					}
					return ClientTLS()
				}
				if tc.mode == TLSRequire { // of the second backend alone
					cfg.BackendTLS = TLSPrefer
				}
			})
			o := w.await(w.opens(how, tc.secret))
			if o.err != nil {
				t.Fatal(o.err)
			}
			if n := w.proxy.Backends()[1].Clients(); n != 1 {
				t.Errorf("%d sessions are counted at the backend, want 1", n)
			}
			w.dismiss(o.s)
			w.goesOn(c)
		})
	}
}

// What a session that is opened has in force is what the client's own has.
func TestOpenAsNegotiates(t *testing.T) {
	const mariadb = (ownCaps | packet.CapSessionTrack | packet.CapDeprecateEOF | packet.CapMariaDBProgress | packet.CapMariaDBBulk | packet.CapMariaDBCacheMetadata) &^ packet.CapLongPassword
	for _, tc := range []struct {
		name         string
		offers, caps packet.Capability // the server's, and those that have to be in force
		track        bool
		sends, comes packet.Capability
		err          error
	}{
		{"as they are", ModernCaps | packet.CapConnectWithDB, Caps, false, ownCaps, ownCaps, nil},
		{"without EOF", ModernCaps | packet.CapConnectWithDB, ModernCaps, false, ModernCaps | packet.CapConnectWithDB, ModernCaps | packet.CapConnectWithDB, nil},
		{"with tracking besides", ModernCaps | packet.CapConnectWithDB, Caps, true, ownCaps | packet.CapSessionTrack, ownCaps | packet.CapSessionTrack, nil},
		{"with tracking that is not there", ownCaps, Caps, true, ownCaps, ownCaps, nil},
		{"with tracking that has to be there", ownCaps, Caps | packet.CapSessionTrack, true, 0, 0, errCaps},
		{"EOF that has to be away", ownCaps, ModernCaps, false, 0, 0, errCaps},
		{"found rows", ownCaps | packet.CapFoundRows, Caps | packet.CapFoundRows, false, ownCaps | packet.CapFoundRows, ownCaps | packet.CapFoundRows, nil},
		{"MariaDB's", mariadb, mariadb, false, mariadb, mariadb, nil},
		{"MariaDB's, for a client of MySQL's", mariadb, Caps &^ packet.CapLongPassword, false, ownCaps, ownCaps &^ packet.CapLongPassword, nil},
		{"MariaDB's that MySQL has not", ModernCaps | packet.CapConnectWithDB, Caps&^packet.CapLongPassword | packet.CapMariaDBCacheMetadata, false, 0, 0, errCaps},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			script := steps(Greet(Greeting(tc.offers)))
			if tc.err == nil {
				script = append(script, ExpectWhere("the login", func(p packet.Packet) error {
					in, err := packet.ParseLogin(p.Payload(), tc.offers)
					if want := tc.sends &^ packet.CapLocalFiles &^ packet.CapMultiStatements; err == nil && in.Capabilities&^packet.CapLocalFiles&^packet.CapMultiStatements != want {
						err = fmt.Errorf("it claims %s, want %s", in.Capabilities, want)
					}
					return err
				}), SendPacket(2, OK(0)), quits())
			} else {
				script = append(script, ExpectEnd())
			}
			c := w.ownServer(Scripts(script))
			own := how
			own.caps, own.track = tc.caps, tc.track
			o := w.await(w.opens(own, packet.NewSecret(nil)))
			if !errors.Is(o.err, tc.err) {
				t.Fatalf("%v, want %v", o.err, tc.err)
			}
			if o.err == nil {
				if o.s.caps != tc.comes {
					t.Errorf("%s are in force, want %s", o.s.caps, tc.comes)
				}
				w.dismiss(o.s)
			}
			w.goesOn(c)
		})
	}
}

// A session that cannot be opened says why, and the client's goes on.
func TestOpenAsFails(t *testing.T) {
	greets := greetsWith(ownCaps, packet.PluginNative)
	login := expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), ownCaps)
	gssapi := packet.AuthSwitch{Plugin: []byte("auth_gssapi_client"), Data: []byte("x")}
	clear := packet.AuthSwitch{Plugin: []byte(packet.PluginClear)}
	sha2 := packet.AuthSwitch{Plugin: []byte(packet.PluginCachingSHA2), Data: greetedBy()}
	for _, tc := range []struct {
		name   string
		server []Step
		mode   TLSMode
		want   string
		down   bool
	}{
		{"an ERR as the greeting", steps(SendPacket(0, packet.AppendERR(nil, 1040, "", "Too many connections")), ExpectEnd()), TLSOff, "ERR 1040 (): Too many connections", false},
		{"an empty greeting", steps(SendPacket(0, nil), ExpectEnd()), TLSOff, errUnexpected.Error(), false},
		{"a long greeting", steps(Send([]byte{0, 0, 2, 0, 10}), ExpectEnd()), TLSOff, errUnexpected.Error(), false},
		{"a greeting that is none", steps(SendPacket(0, []byte("\x0bhello")), ExpectEnd()), TLSOff, packet.ErrMalformed.Error(), false},
		{"more behind the greeting", steps(Send(func() []byte {
			g := Greeting(ownCaps)
			return packet.AppendPacket(packet.AppendPacket(nil, 0, g.Append(nil)), 1, OK(0))
		}()), ExpectEnd()), TLSOff, errUnexpected.Error(), false},
		{"a close before the greeting", steps(Fin()), TLSOff, errNoGreeting.Error(), true},
		{"a wrong password", steps(greets, login, SendPacket(2, packet.AppendERR(nil, 1045, "28000", "Access denied")), ExpectEnd()), TLSOff, "ERR 1045 (28000): Access denied", false},
		{"a locked account", steps(greets, login, SendPacket(2, packet.AppendERR(nil, 3118, "HY000", "Account is locked.")), ExpectEnd()), TLSOff, "ERR 3118 (HY000): Account is locked.", false},
		{"a plugin that nobody knows", steps(greets, login, SendPacket(2, gssapi.Append(nil)), ExpectEnd()), TLSOff, `authentication plugin "auth_gssapi_client" cannot be answered`, false},
		{"clear text that anybody could read", steps(greets, login, SendPacket(2, clear.Append(nil)), ExpectEnd()), TLSOff, "would send the password readable", false},
		{"a key that is none", steps(greets, login, SendPacket(2, sha2.Append(nil)), ExpectPacket(3, ownSHA2()), SendPacket(4, []byte{1, 4}), ExpectPacket(5, []byte{2}),
			SendPacket(6, []byte("\x01nonsense")), ExpectEnd()), TLSOff, packet.ErrMalformed.Error(), false},
		{"more while a key is used", steps(greets, login, SendPacket(2, sha2.Append(nil)), ExpectPacket(3, ownSHA2()), SendPacket(4, []byte{1, 4}), ExpectPacket(5, []byte{2}),
			Send(packet.AppendPacket(packet.AppendPacket(nil, 6, []byte("\x01nonsense")), 7, OK(0))), ExpectEnd()), TLSOff, errUnexpected.Error(), false},
		{"an empty packet", steps(greets, login, SendPacket(2, nil), ExpectEnd()), TLSOff, packet.ErrMalformed.Error(), false},
		{"a long packet", steps(greets, login, Send([]byte{0, 0, 3, 2, 1}), ExpectEnd()), TLSOff, errUnexpected.Error(), false},
		{"a close in the dialogue", steps(greets, login, Fin()), TLSOff, errClosed.Error(), false},
		{"a reset in the dialogue", steps(greets, login, Reset()), TLSOff, "connection reset", false},
		{"no TLS where it has to be", steps(greets, ExpectEnd()), TLSRequire, errNoTLS.Error(), true},
		{"a handshake that fails", steps(greetsWith(ownCaps|packet.CapSSL, packet.PluginNative), Skip(36), SendPacket(0, []byte("no TLS")), Drain()), TLSPrefer, "tls: ", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.ownServer(Scripts(tc.server), func(cfg *Config) {
				cfg.BackendTLSConfig = func(BackendConfig) *tls.Config { return ClientTLS() }
			})
			w.change(func(cfg *Config) { cfg.BackendTLS = tc.mode }) // only now: it is the second backend's matter
			o := w.await(w.opens(how, packet.NewSecret([]byte(ownPassword))))
			if o.s != nil || o.err == nil || !strings.Contains(o.err.Error(), tc.want) {
				t.Fatalf("got %v, want %s", o.err, tc.want)
			}
			b := w.proxy.Backends()[1]
			if down := b.State() == BackendDown; down != tc.down || b.Clients() != 0 {
				t.Errorf("the backend is down: %v, want %v; %d sessions are counted", down, tc.down, b.Clients())
			}
			w.goesOn(c)
			if out := w.log.about(ownPassword); len(out) > 0 {
				t.Errorf("the password is in the log: %v", out)
			}
		})
	}
}

// onLoop runs do on the proxy's loop and returns when it has.
func (w *world) onLoop(do func()) {
	w.Helper()
	done := make(chan struct{})
	w.proxy.loops[0].Post(func() { do(); close(done) })
	select {
	case <-done:
	case <-time.After(Patience):
		w.Fatal("the loop does nothing")
	}
}

func TestOpenAsARefusedConnect(t *testing.T) {
	w := newWorld(t)
	c := w.ownBackend(w.refused())
	o := w.await(w.opens(how, packet.NewSecret(nil)))
	if o.err == nil || !strings.Contains(o.err.Error(), "refused") || w.proxy.Backends()[1].State() != BackendDown {
		t.Errorf("%v, the backend is %s", o.err, w.proxy.Backends()[1].State())
	}
	w.goesOn(c)
}

// Silence at any stage ends in time.
func TestOpenAsSilence(t *testing.T) {
	for _, tc := range []struct {
		name           string
		server         []Step
		connect, login time.Duration
		want           error
		down           bool
	}{
		{"no greeting", nil, 200 * time.Millisecond, time.Hour, errNoGreeting, true},
		{"no answer to the login", steps(Greet(Greeting(ownCaps))), time.Hour, 200 * time.Millisecond, errLoginSlow, false},
		{"no handshake", steps(Greet(Greeting(ownCaps | packet.CapSSL))), time.Hour, 200 * time.Millisecond, errLoginSlow, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.ownServer(Scripts(append(tc.server, Drain())), func(cfg *Config) {
				cfg.BackendTLS, cfg.BackendTLSConfig = TLSPrefer, func(BackendConfig) *tls.Config { return ClientTLS() }
			})
			w.change(func(cfg *Config) { cfg.ConnectTimeout, cfg.LoginTimeout = tc.connect, tc.login })
			result := w.opens(how, packet.NewSecret(nil))
			eventually(t, "it is given up", func() error {
				if len(result) == 0 {
					w.pass(100 * time.Millisecond)
					return errors.New("not yet")
				}
				return nil
			})
			o := w.await(result)
			if !errors.Is(o.err, tc.want) || (w.proxy.Backends()[1].State() == BackendDown) != tc.down {
				t.Errorf("%v, want %v; the backend is %s", o.err, tc.want, w.proxy.Backends()[1].State())
			}
			w.goesOn(c)
		})
	}
}

// The client goes away, or the proxy stops, at each stage: all is given back and
// nobody is told.
func TestOpenAsAndTheClientGoes(t *testing.T) {
	sha2 := packet.AuthSwitch{Plugin: []byte(packet.PluginCachingSHA2), Data: greetedBy()}
	parsec := packet.AuthSwitch{Plugin: []byte(packet.PluginParsec), Data: bytes.Repeat([]byte("x"), 32)}
	for _, tc := range []struct {
		name   string
		server []Step
	}{
		{"before the greeting", nil},
		{"in the handshake", steps(greetsWith(ownCaps|packet.CapSSL, packet.PluginNative), Skip(36))},
		{"in the dialogue", steps(greetsWith(ownCaps, packet.PluginNative), Skip(40), SendPacket(2, sha2.Append(nil)))},
		{"while a key is used", steps(greetsWith(ownCaps, packet.PluginNative), ExpectWhere("a login", func(packet.Packet) error { return nil }),
			SendPacket(2, parsec.Append(nil)), ExpectPacket(3, nil), SendPacket(4, []byte("\x01P\x03eighteen bytes yes")))},
	} {
		for _, drains := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, drain %v", tc.name, drains), func(t *testing.T) {
				w := newWorld(t)
				here := NewGate()
				second := w.serverOf(Scripts(append(tc.server, Open(here), Drain())))
				cfg := w.config(w.server(served()), second.Addr())
				cfg.Backends[1].ReadOnly = true
				cfg.BackendTLS, cfg.BackendTLSConfig = TLSPrefer, func(BackendConfig) *tls.Config { return ClientTLS() }
				w.start(cfg)
				c := w.clientNow("client", Enter(Caps))
				result := w.opens(how, packet.NewSecret([]byte(ownPassword)))
				<-here
				want := ReasonClientClosed
				if drains {
					want = ReasonShutdown
					if err := c.Run(w.shutdown(), ExpectEnd()); err != nil {
						t.Error(err)
					}
					w.waitFor(w.proxy)
				} else if err := c.Run(Fin()); err != nil {
					t.Error(err)
				}
				w.wantEnd(1, want)
				w.stop()
				select {
				case o := <-result:
					t.Errorf("it came to %v, %v", o.s, o.err)
				default:
				}
			})
		}
	}
}

func TestOpenAsOneAtATime(t *testing.T) {
	w := newWorld(t)
	second := NewGate()
	c := w.ownServer(Scripts(steps(Await(second), greetsWith(ownCaps, packet.PluginNative),
		expectOwn(1, ownLoginOf(ownCaps, packet.PluginNative, ownNative()), ownCaps), SendPacket(2, OK(0)), quits())))
	first := w.opens(how, packet.NewSecret([]byte(ownPassword)))
	if o := w.await(w.opens(how, packet.NewSecret(nil))); !errors.Is(o.err, errOpening) {
		t.Errorf("the second came to %v", o.err)
	}
	close(second)
	o := w.await(first)
	if o.err != nil {
		t.Fatal(o.err)
	}
	w.dismiss(o.s)
	w.goesOn(c)
}
