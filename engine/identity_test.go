package engine

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

const relayCaps = Caps | packet.CapConnectAttrs

// asking is one end's part in a login with relay: TLS or not, and which plugin.
type asking struct {
	clientTLS, serverTLS bool
	clientName           string // its _client_name
	version              string
	plugin               string // that the client names; "" is caching_sha2_password
	response             []byte
	greeting             string // the server's plugin
}

func (a *asking) attributes() []byte {
	var attrs []byte
	if a.clientName != "" {
		attrs = packet.AppendAttribute(nil, "_client_name", a.clientName)
		attrs = packet.AppendAttribute(attrs, "_client_version", a.version)
	}
	return attrs
}

func (a *asking) login() packet.Login {
	l := Login(relayCaps)
	l.Plugin, l.AuthResponse, l.Attributes = []byte(packet.PluginCachingSHA2), ownSHA2(), a.attributes()
	if a.plugin != "" {
		l.Plugin, l.AuthResponse = []byte(a.plugin), a.response
	}
	return l
}

func (a *asking) capsOf(tls bool) packet.Capability {
	if tls {
		return relayCaps | packet.CapSSL
	}
	return relayCaps
}

// enters is the client up to its login packet. The sequence id that follows is 2,
// or 3 with TLS.
func (a *asking) enters() []Step {
	const shown = relayCaps | packet.CapSSL
	g := Greeting(shown)
	g.Plugin = []byte(packet.PluginCachingSHA2)
	out := steps(ExpectPacket(0, g.Append(nil)))
	l := a.login()
	l.Capabilities = a.capsOf(a.clientTLS)
	if a.clientTLS {
		request := l
		request.SSLRequest = true
		return append(out, SendPacket(1, request.Append(nil, shown)), StartTLS(ClientTLS(), false), SendPacket(2, l.Append(nil, shown)))
	}
	return append(out, SendPacket(1, l.Append(nil, shown)))
}

// receives is the server up to the login packet l.
func (a *asking) receives(l packet.Login) []Step {
	const shown = relayCaps | packet.CapSSL
	g := Greeting(shown)
	if a.greeting != "" {
		g.Plugin = []byte(a.greeting)
	}
	l.Capabilities = a.capsOf(a.serverTLS)
	out := steps(Greet(g))
	if a.serverTLS {
		fixed := l
		fixed.SSLRequest = true
		return append(out, ExpectPacket(1, fixed.Append(nil, shown)), StartTLS(ServerTLS(), true), ExpectPacket(2, l.Append(nil, shown)))
	}
	return append(out, ExpectPacket(1, l.Append(nil, shown)))
}

// relaying is a configuration in which the proxy wants to own identities.
func relaying(mode AuthMode, serverTLS bool) func(*Config) {
	return func(cfg *Config) {
		cfg.Split, cfg.Auth, cfg.PasswordKey = true, mode, passwordKey
		cfg.ClientTLS, cfg.ClientTLSConfig = TLSPrefer, ServerTLS()
		if serverTLS {
			cfg.BackendTLS, cfg.BackendTLSConfig = TLSPrefer, func(BackendConfig) *tls.Config { return ClientTLS() }
		}
	}
}

// owned is what the proxy owns of its only client now: "password ...", "native",
// or the reason why nothing.
func (w *world) owned() (is string) {
	w.Helper()
	w.onLoop(func() {
		c := w.proxy.loops[0].clients
		switch {
		case c == nil:
			is = "no client"
		case c.id == nil:
			is = c.anonymous.String()
		default:
			is = "native"
			if p, ok := c.id.secret.Password(); ok {
				is = "password " + string(p)
			}
			is += " of " + c.id.user
		}
	})
	return is
}

func switchedTo(plugin string, data []byte) []byte {
	a := packet.AuthSwitch{Plugin: []byte(plugin), Data: data}
	return a.Append(nil)
}

// decrypts reads a password that is encrypted for key, mixed with challenge.
func decrypts(key *rsa.PrivateKey, challenge []byte, want string) Step {
	return ExpectWhere("the encrypted password", func(p packet.Packet) error {
		password, err := packet.DecryptPassword(p.Payload(), challenge, key)
		if err == nil && string(password) != want {
			err = fmt.Errorf("it is %q", password)
		}
		return err
	})
}

// encrypts asks for the key with seq, and sends the password for it.
func encrypts(seq byte, challenge []byte, password string) Step {
	return Do("ask for the key and encrypt", func(c *Conn) error {
		if err := c.Run(SendPacket(seq, []byte{packet.CachingSHA2KeyRequest})); err != nil {
			return err
		}
		p, err := c.ReadPacket()
		if err != nil {
			return err
		}
		key, err := packet.ParsePublicKey(p.Payload()[1:])
		if err != nil {
			return err
		}
		cipher, err := packet.EncryptPassword([]byte(password), challenge, key)
		if err != nil {
			return err
		}
		if p.Seq() != seq+1 {
			return fmt.Errorf("the key came with id %d", p.Seq())
		}
		return c.Run(SendPacket(seq+2, cipher))
	})
}

var (
	asksFull  = []byte{1, packet.CachingSHA2FullAuth}
	fastOK    = []byte{1, packet.CachingSHA2FastOK}
	ownNulled = append([]byte(ownPassword), 0)
)

// pings shows that the session is there.
func pings() Step { return All("ping", SendPacket(0, ping), ExpectPacket(1, OK(0))) }

// A login of each kind, of client and of account: what each side hears, and what
// the proxy owns then. Sequence ids of the client go on from 3, of the server
// from 2 (3 with TLS).
func TestIdentityOfALogin(t *testing.T) {
	pem, err := packet.AppendPublicKey([]byte{1}, &passwordKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), 32)
	other := bytes.Repeat([]byte("o"), packet.ChallengeLen)
	otherSHA2 := packet.CachingSHA2Response([]byte(ownPassword), other)
	native, sha2 := ownNative(), ownSHA2()
	length := func(n int) Step {
		return ExpectWhere(fmt.Sprint(n, " bytes"), func(p packet.Packet) error {
			if len(p.Payload()) != n {
				return fmt.Errorf("it has %d", len(p.Payload()))
			}
			return nil
		})
	}
	forServer, err := packet.EncryptPassword([]byte(ownPassword), greetedBy(), &passwordKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	forServer[0] ^= 1 // for another key than the proxy's
	// asked is a client over TLS that gives its password when it is asked.
	asked := steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, OK(0)))
	const owned = "password " + ownPassword + " of app"
	safe := asking{clientTLS: true}
	for _, tc := range []struct {
		name   string
		as     asking
		server []Step
		client []Step
		want   string
	}{
		{"sha2 that the server knows", safe, steps(Send(append(packet.AppendPacket(nil, 2, fastOK), packet.AppendPacket(nil, 3, OK(0))...))), asked, owned},
		{"sha2 that the server knows, in two segments", safe, steps(SendPacket(2, fastOK), SendPacket(3, OK(0))), asked, owned},
		{"sha2 that the server knows, and another password", safe, steps(SendPacket(2, fastOK), SendPacket(3, OK(0))),
			steps(ExpectPacket(3, asksFull), SendPacket(4, []byte("another\x00")), ExpectPacket(5, OK(0))), "not_heard"},
		{"sha2, full", safe, steps(SendPacket(2, asksFull), ExpectPacket(3, []byte{2}), SendPacket(4, pem), decrypts(passwordKey(), greetedBy(), ownPassword), SendPacket(6, OK(0))), asked, owned},
		{"sha2, full, TLS to the server", asking{clientTLS: true, serverTLS: true}, steps(SendPacket(3, asksFull), ExpectPacket(4, ownNulled), SendPacket(5, OK(0))), asked, owned},
		{"sha2, with a challenge of its own", safe, steps(SendPacket(2, switchedTo(packet.PluginCachingSHA2, other)), ExpectPacket(3, otherSHA2[:]), SendPacket(4, fastOK), SendPacket(5, OK(0))),
			steps(ExpectPacket(3, switchedTo(packet.PluginCachingSHA2, other)), SendPacket(4, otherSHA2[:]), ExpectPacket(5, asksFull), SendPacket(6, ownNulled), ExpectPacket(7, OK(0))), owned},
		{"a native account", asking{clientTLS: true, greeting: packet.PluginNative}, steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, native), SendPacket(4, OK(0))), asked, owned},
		{"an ed25519 account", safe, steps(SendPacket(2, switchedTo(packet.PluginEd25519, long)), length(64), SendPacket(4, OK(0))), asked, owned},
		{"a parsec account", safe, steps(SendPacket(2, switchedTo(packet.PluginParsec, long)), ExpectPacket(3, nil), SendPacket(4, []byte("\x01P\x00eighteen bytes yes")), length(96), SendPacket(6, OK(0))), asked, owned},
		{"a sha256 account", safe, steps(SendPacket(2, switchedTo(packet.PluginSHA256, greetedBy())), ExpectPacket(3, []byte{1}), SendPacket(4, pem), decrypts(passwordKey(), greetedBy(), ownPassword), SendPacket(6, OK(0))), asked, owned},
		{"an account of two plugins", safe, steps(SendPacket(2, switchedTo(packet.PluginEd25519, long)), length(64), SendPacket(4, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(5, native), SendPacket(6, OK(0))), asked, owned},
		{"an account of two plugins, one of which is the client's matter", safe,
			steps(SendPacket(2, switchedTo(packet.PluginEd25519, long)), length(64), SendPacket(4, switchedTo("auth_gssapi_client", long)), ExpectPacket(5, []byte("ticket")), SendPacket(6, OK(0))),
			steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, switchedTo("auth_gssapi_client", long)), SendPacket(6, []byte("ticket")), ExpectPacket(7, OK(0))), "account_plugin"},
		{"an account whose plugin is the client's matter", safe, steps(SendPacket(2, switchedTo("auth_gssapi_client", long)), ExpectPacket(3, []byte("ticket")), SendPacket(4, OK(0))),
			steps(ExpectPacket(3, switchedTo("auth_gssapi_client", long)), SendPacket(4, []byte("ticket")), ExpectPacket(5, OK(0))), "account_plugin"},
		{"clear text is the client's matter", asking{clientTLS: true, serverTLS: true}, steps(SendPacket(3, switchedTo(packet.PluginClear, nil)), ExpectPacket(4, ownNulled), SendPacket(5, OK(0))),
			steps(ExpectPacket(3, switchedTo(packet.PluginClear, nil)), SendPacket(4, ownNulled), ExpectPacket(5, OK(0))), owned},
		{"one question is the client's matter", asking{clientTLS: true, serverTLS: true}, steps(SendPacket(3, switchedTo(packet.PluginDialog, []byte("\x04Password: "))), ExpectPacket(4, ownNulled), SendPacket(5, OK(0))),
			steps(ExpectPacket(3, switchedTo(packet.PluginDialog, []byte("\x04Password: "))), SendPacket(4, ownNulled), ExpectPacket(5, OK(0))), owned},
		{"two questions are more than a password", asking{clientTLS: true, serverTLS: true},
			steps(SendPacket(3, switchedTo(packet.PluginDialog, []byte("\x04Password: "))), ExpectPacket(4, ownNulled), SendPacket(5, []byte("\x03Sure? ")), ExpectPacket(6, []byte("yes\x00")), SendPacket(7, OK(0))),
			steps(ExpectPacket(3, switchedTo(packet.PluginDialog, []byte("\x04Password: "))), SendPacket(4, ownNulled), ExpectPacket(5, []byte("\x03Sure? ")), SendPacket(6, []byte("yes\x00")), ExpectPacket(7, OK(0))), "account_plugin"},
		{"two factors are more than a password", asking{clientTLS: true, serverTLS: true},
			steps(SendPacket(3, []byte("\x02"+packet.PluginClear+"\x00")), ExpectPacket(4, ownNulled), SendPacket(5, OK(0))),
			steps(ExpectPacket(3, []byte("\x02"+packet.PluginClear+"\x00")), SendPacket(4, ownNulled), ExpectPacket(5, OK(0))), "account_plugin"},
		{"no password", asking{clientTLS: true, plugin: packet.PluginCachingSHA2}, steps(SendPacket(2, OK(0))), steps(ExpectPacket(3, OK(0))), "password  of app"},
		{"no password, after a switch", asking{clientTLS: true, plugin: packet.PluginCachingSHA2}, steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, nil), SendPacket(4, OK(0))),
			steps(ExpectPacket(3, switchedTo(packet.PluginNative, greetedBy())), SendPacket(4, nil), ExpectPacket(5, OK(0))), "password  of app"},
		{"a client that does not know sha2", asking{clientTLS: true, plugin: packet.PluginNative, response: native}, steps(SendPacket(2, OK(0))), steps(ExpectPacket(3, OK(0))), "client_plugin"},
		{"sha256 over TLS, seen", asking{clientTLS: true, serverTLS: true, plugin: packet.PluginSHA256, response: ownNulled}, steps(SendPacket(3, OK(0))), steps(ExpectPacket(3, OK(0))), owned},
		{"a client that answers native and follows switches", asking{clientTLS: true, clientName: "Node-MySQL-2", version: "3.9.0", plugin: packet.PluginNative, response: native}, nil, nil, owned},
		{"one that follows them over TLS only", asking{clientName: "MariaDB connector/Node", version: "3.5.4", plugin: packet.PluginNative, response: native}, steps(SendPacket(2, OK(0))), steps(ExpectPacket(2, OK(0))), "client_plain"},
		{"one without a version", asking{clientTLS: true, clientName: "MariaDB Connector/J", plugin: packet.PluginNative, response: native}, steps(SendPacket(2, OK(0))), steps(ExpectPacket(3, OK(0))), "client_plugin"},
		{"its first version", asking{clientTLS: true, clientName: "Node-MySQL-2", version: "1.5.0", plugin: packet.PluginNative, response: native}, steps(SendPacket(2, OK(0))), steps(ExpectPacket(3, OK(0))), "client_plugin"},

		{"without TLS, for a key", asking{clientName: "pymysql"}, steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, native), SendPacket(4, OK(0))),
			steps(ExpectPacket(2, asksFull), encrypts(3, greetedBy(), ownPassword), ExpectPacket(6, OK(0))), owned},
		{"without TLS on either side, for the keys of both", asking{clientName: "mysqlnd"}, steps(SendPacket(2, asksFull), ExpectPacket(3, []byte{2}), SendPacket(4, pem), decrypts(passwordKey(), greetedBy(), ownPassword), SendPacket(6, OK(0))),
			steps(ExpectPacket(2, asksFull), encrypts(3, greetedBy(), ownPassword), ExpectPacket(6, OK(0))), owned},
		{"without TLS, and the server knows it", asking{clientName: "libmariadb"}, steps(SendPacket(2, fastOK), SendPacket(3, OK(0))),
			steps(ExpectPacket(2, asksFull), encrypts(3, greetedBy(), ownPassword), ExpectPacket(6, OK(0))), owned},
		{"without TLS, and it has the server's key", asking{clientName: "Go-MySQL-Driver"}, steps(SendPacket(2, asksFull), ExpectPacket(3, forServer), SendPacket(4, OK(0))),
			steps(ExpectPacket(2, asksFull), SendPacket(3, forServer), ExpectPacket(4, OK(0))), "not_heard"},
		{"without TLS, and it has the server's key, which the server needs not", asking{clientName: "Go-MySQL-Driver"}, steps(SendPacket(2, fastOK), SendPacket(3, OK(0))),
			steps(ExpectPacket(2, asksFull), SendPacket(3, forServer), ExpectPacket(4, OK(0))), "not_heard"},
		{"without TLS, and it has a key, but the account is another", asking{clientName: "Go-MySQL-Driver"}, steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, native), SendPacket(4, OK(0))),
			steps(ExpectPacket(2, asksFull), SendPacket(3, forServer), ExpectPacket(4, switchedTo(packet.PluginNative, greetedBy())), SendPacket(5, native), ExpectPacket(6, OK(0))), "not_heard"},
		{"without TLS, and it might refuse", asking{clientName: "libmysql"}, steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, native), SendPacket(4, OK(0))),
			steps(ExpectPacket(2, switchedTo(packet.PluginNative, greetedBy())), SendPacket(3, native), ExpectPacket(4, OK(0))), "client_plain"},
		{"without TLS but at the server, and it asks for the key by itself", asking{clientName: "libmysql", serverTLS: true}, steps(SendPacket(3, asksFull), ExpectPacket(4, ownNulled), SendPacket(5, OK(0))),
			steps(ExpectPacket(2, asksFull), encrypts(3, greetedBy(), ownPassword), ExpectPacket(6, OK(0))), owned},
		{"it asks for a key over TLS", safe, steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, native), SendPacket(4, OK(0))),
			steps(ExpectPacket(3, asksFull), encrypts(4, greetedBy(), ownPassword), ExpectPacket(7, OK(0))), owned},
	} {
		for _, script := range []*hooks{nil, {authResult: func(s hook.Session, p []byte) hook.Verdict { return hook.Verdict{} }, query: passQuery}} {
			t.Run(fmt.Sprintf("%s, script %v", tc.name, script != nil), func(t *testing.T) {
				tc := tc
				w := newWorld(t)
				l := tc.as.login()
				if tc.server == nil { // it is switched first
					l.Plugin, l.AuthResponse = []byte(packet.PluginCachingSHA2), sha2
					tc.server = steps(SendPacket(2, switchedTo(packet.PluginNative, greetedBy())), ExpectPacket(3, native), SendPacket(4, OK(0)))
					tc.client = steps(ExpectPacket(3, switchedTo(packet.PluginCachingSHA2, greetedBy())), SendPacket(4, sha2), ExpectPacket(5, asksFull), SendPacket(6, ownNulled), ExpectPacket(7, OK(0)))
				}
				server := append(append(tc.as.receives(l), tc.server...), ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd())
				cfg := w.config(w.server(server))
				relaying(AuthAuto, tc.as.serverTLS)(&cfg)
				if script != nil {
					relaying(AuthRelay, tc.as.serverTLS)(&cfg)
					with(script)(&cfg)
				}
				w.start(cfg)
				c := w.clientNow("client", append(append(tc.as.enters(), tc.client...), pings())...)
				if got := w.owned(); got != tc.want {
					t.Errorf("the proxy owns %q, want %q", got, tc.want)
				}
				if err := c.Run(Fin()); err != nil {
					t.Error(err)
				}
				w.wantEnd(1, ReasonClientClosed)
				if lines := w.log.about(ownPassword); len(lines) > 0 {
					t.Errorf("the password is in the log: %v", lines)
				}
				if n := len(w.log.all("the proxy can log in as this user")); (n == 1) != (tc.want[:6] == "passwo") {
					t.Errorf("the log says %d times that the proxy owns it", n)
				}
			})
		}
	}
}

// What a server refuses reaches the client as it is, with the id that it expects,
// and nonsense on either side ends the session.
func TestIdentityOfALoginThatFails(t *testing.T) {
	denied := packet.AppendERR(nil, 1045, "28000", "Access denied for user 'app'@'localhost' (using password: YES)")
	locked := packet.AppendERR(nil, 3118, "HY000", "Access denied for user 'app'@'localhost'. Account is locked.")
	toNative := switchedTo(packet.PluginNative, greetedBy())
	safe, plain := asking{clientTLS: true}, asking{clientName: "pymysql"}
	for _, tc := range []struct {
		name           string
		as             asking
		server, client []Step
		want           CloseReason
	}{
		{"at once", safe, steps(SendPacket(2, denied)), steps(ExpectPacket(3, denied), ExpectEnd()), ReasonLoginRefused},
		{"a wrong password", safe, steps(SendPacket(2, toNative), ExpectPacket(3, ownNative()), SendPacket(4, denied)),
			steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, denied), ExpectEnd()), ReasonLoginRefused},
		{"a locked account, of a client that the server knew", safe, steps(SendPacket(2, fastOK), SendPacket(3, locked)),
			steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, locked), ExpectEnd()), ReasonLoginRefused},
		{"the server loses patience", safe, steps(SendPacket(2, toNative), SendPacket(3, denied)),
			steps(ExpectPacket(3, asksFull), ExpectPacket(4, denied), ExpectEnd()), ReasonLoginRefused},
		{"the server answers itself", safe, steps(SendPacket(2, toNative), SendPacket(3, OK(0)), ExpectEnd()),
			steps(ExpectPacket(3, asksFull), ExpectWhere("an ERR", errOf(2027)), ExpectEnd()), ReasonServerProtocol},
		{"the server talks nonsense to the proxy's answer", safe, steps(SendPacket(2, toNative), ExpectPacket(3, ownNative()), SendPacket(4, []byte("\x01\x09")), ExpectEnd()),
			steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectWhere("an ERR", errOf(2027)), ExpectEnd()), ReasonServerProtocol},
		{"the server closes", safe, steps(SendPacket(2, toNative), Fin()),
			steps(ExpectPacket(3, asksFull), ExpectWhere("an ERR", errOf(2013)), ExpectEnd()), ReasonServerLost},
		{"the client talks while the server is answered", safe, steps(SendPacket(2, toNative), ExpectPacket(3, ownNative()), ExpectEnd()),
			steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), SendPacket(5, ownNulled), ExpectWhere("an ERR", errOf(1835)), ExpectEnd()), ReasonClientProtocol},
		{"a password for the wrong key", plain, steps(SendPacket(2, toNative), ExpectEnd()),
			steps(ExpectPacket(2, asksFull), SendPacket(3, []byte{2}), ExpectWhere("a key", func(packet.Packet) error { return nil }), SendPacket(5, make([]byte, 256)),
				ExpectWhere("an ERR", errOf(1045)), ExpectEnd()), ReasonAuthKey},
		{"the client closes", safe, steps(SendPacket(2, toNative), ExpectEnd()), steps(ExpectPacket(3, asksFull), Fin()), ReasonClientClosed},
		{"the client closes while the OK waits", safe, steps(SendPacket(2, fastOK), SendPacket(3, OK(0)), ExpectEnd()), steps(ExpectPacket(3, asksFull), Fin()), ReasonClientClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			converse(w, append(tc.as.receives(tc.as.login()), tc.server...), append(tc.as.enters(), tc.client...), relaying(AuthRelay, false))
			w.wantEnd(1, tc.want)
			if n := len(w.log.about("log in as this user")); n > 0 {
				t.Error("the log says that the proxy owns an identity")
			}
		})
	}
}

func errOf(code uint16) func(packet.Packet) error {
	return func(p packet.Packet) error {
		e, err := packet.ParseERR(p.Payload(), 0)
		if err == nil && e.Code != code {
			err = fmt.Errorf("it is %d: %s", e.Code, e.Message)
		}
		return err
	}
}

// A command that comes right behind the password waits for the login's end.
func TestIdentityAndAClientThatDoesNotWait(t *testing.T) {
	for _, says := range [][]byte{fastOK, switchedTo(packet.PluginNative, greetedBy())} {
		w := newWorld(t)
		as := asking{clientTLS: true}
		server := append(as.receives(as.login()), SendPacket(2, says))
		if says[0] == 0xfe {
			server = append(server, ExpectPacket(3, ownNative()), ExpectQuiet(), SendPacket(4, OK(0)))
		} else {
			server = append(server, ExpectQuiet(), SendPacket(3, OK(0)))
		}
		both := packet.AppendPacket(packet.AppendPacket(nil, 4, ownNulled), 0, ping)
		converse(w, append(server, ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd()),
			append(as.enters(), ExpectPacket(3, asksFull), Send(both), ExpectPacket(5, OK(0)), ExpectPacket(1, OK(0)), Fin()), relaying(AuthAuto, false))
		w.wantEnd(1, ReasonClientClosed)
	}
}

// The modes that ask nobody: the dialogue is what it would be without the proxy.
func TestIdentityFromElsewhere(t *testing.T) {
	native := ownNative()
	hash := packet.NativeHash([]byte(ownPassword))
	listed := func(s UserSecret) func(string) (UserSecret, bool) {
		return func(user string) (UserSecret, bool) { return s, user == "app" }
	}
	nobody := func(string) (UserSecret, bool) { return UserSecret{}, false }
	hashes := func(list ...[20]byte) func(string) [][20]byte {
		return func(user string) [][20]byte {
			if user != "app" {
				return nil
			}
			return list
		}
	}
	toNative := asking{clientTLS: true, plugin: packet.PluginNative, response: native}
	for _, tc := range []struct {
		name   string
		mode   AuthMode
		users  func(string) (UserSecret, bool)
		hashes func(string) [][20]byte
		as     asking
		want   string
	}{
		{"off", AuthPassthrough, listed(UserSecret{Password: []byte("listed")}), nil, toNative, "passthrough"},
		{"a listed password", AuthUsersFile, listed(UserSecret{Password: []byte("listed")}), nil, toNative, "password listed of app"},
		{"a listed hash", AuthUsersFile, listed(UserSecret{Hash: hash, Hashed: true}), nil, toNative, "native of app"},
		{"the hash of another password", AuthUsersFile, listed(UserSecret{Hash: packet.NativeHash([]byte("x")), Hashed: true}), nil, toNative, "hash"},
		{"a user that is not listed", AuthUsersFile, nobody, nil, toNative, "not_listed"},
		{"no list", AuthUsersFile, nil, nil, toNative, "not_listed"},
		{"a hash of the server's", AuthSync, nil, hashes(packet.NativeHash([]byte("x")), hash), toNative, "native of app"},
		{"no hash of the server's", AuthSync, nil, hashes(), toNative, "not_synced"},
		{"the list comes first", AuthAuto, listed(UserSecret{Password: []byte("listed")}), hashes(hash), toNative, "password listed of app"},
		{"the server's hash comes last", AuthAuto, nobody, hashes(hash), toNative, "native of app"},
		{"a client that could be asked and need not be", AuthAuto, listed(UserSecret{Password: []byte("listed")}), nil, asking{clientTLS: true}, "password listed of app"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			server := tc.as.receives(tc.as.login())
			client := tc.as.enters()
			if tc.as.plugin == "" {
				server = append(server, SendPacket(2, fastOK), SendPacket(3, OK(0)))
				client = append(client, ExpectPacket(3, fastOK), ExpectPacket(4, OK(0)))
			} else {
				server = append(server, SendPacket(2, OK(0)))
				client = append(client, ExpectPacket(3, OK(0)))
			}
			cfg := w.config(w.server(append(server, ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd())))
			relaying(tc.mode, false)(&cfg)
			cfg.Users, cfg.Hashes = tc.users, tc.hashes
			if tc.mode != AuthAuto { // the greeting is the server's own
				g := Greeting(relayCaps | packet.CapSSL)
				client[0] = ExpectPacket(0, g.Append(nil))
			}
			w.start(cfg)
			c := w.clientNow("client", append(client, pings())...)
			if got := w.owned(); got != tc.want {
				t.Errorf("the proxy owns %q, want %q", got, tc.want)
			}
			if n := w.proxy.Anonymous()[tc.want]; tc.want != "" && (n == 1) != (len(w.log.about("all go to read/write backends")) == 1) {
				t.Errorf("%d sessions are counted; the log: %v", n, w.log.about("read/write"))
			}
			if err := c.Run(Fin()); err != nil {
				t.Error(err)
			}
			w.wantEnd(1, ReasonClientClosed)
		})
	}
}

// The log says why once for each user and reason, and for so many users only.
func TestStrangersAreNotedOnce(t *testing.T) {
	var s strangers
	if !s.count("a", anonClient) || s.count("a", anonClient) || !s.count("a", anonPlain) || !s.count("b", anonClient) {
		t.Error("not once for each user and reason")
	}
	for i := range 2 * maxNoted {
		s.count(fmt.Sprint(i), anonClient)
	}
	if len(s.noted) > maxNoted || s.n[anonClient] != 2*maxNoted+3 {
		t.Errorf("%d are noted, %d counted", len(s.noted), s.n[anonClient])
	}
	for why := anonOff; why < anonymities; why++ {
		if why.String() == "" || anonymityTable[why].hint == "" {
			t.Errorf("reason %d has no text", why)
		}
	}
}

// libmariadb gives its password readable where it was not offered TLS.
func TestIdentityOfLibmariadbWithoutTLSOnOffer(t *testing.T) {
	w := newWorld(t)
	g := Greeting(relayCaps)
	as := asking{clientName: "libmariadb"}
	l := as.login()
	toNative := switchedTo(packet.PluginNative, greetedBy())
	server := steps(Greet(g), ExpectPacket(1, l.Append(nil, relayCaps)), SendPacket(2, toNative), ExpectPacket(3, ownNative()), SendPacket(4, OK(0)), ExpectEnd())
	shown := g
	shown.Plugin = []byte(packet.PluginCachingSHA2)
	client := steps(ExpectPacket(0, shown.Append(nil)), SendPacket(1, l.Append(nil, relayCaps)), ExpectPacket(2, toNative), SendPacket(3, ownNative()), ExpectPacket(4, OK(0)), Fin())
	converse(w, server, client, relaying(AuthAuto, false), func(cfg *Config) { cfg.ClientTLS = TLSOff })
	w.wantEnd(1, ReasonClientClosed)
	if len(w.log.about("reason:client_plain")) != 1 {
		t.Errorf("the log does not say client_plain: %v", w.log.about("reason"))
	}
}

// What is wiped is wiped: the secret's memory is overwritten with the session's
// end.
func TestIdentityIsWiped(t *testing.T) {
	w := newWorld(t)
	as := asking{clientTLS: true}
	cfg := w.config(w.server(append(as.receives(as.login()), SendPacket(2, fastOK), SendPacket(3, OK(0)), ExpectEnd())))
	relaying(AuthAuto, false)(&cfg)
	w.start(cfg)
	c := w.clientNow("client", append(as.enters(), ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, OK(0)))...)
	var held []byte
	w.onLoop(func() { held, _ = w.proxy.loops[0].clients.id.secret.Password() })
	if string(held) != ownPassword {
		t.Fatalf("the proxy owns %q", held)
	}
	if err := c.Run(Fin()); err != nil {
		t.Error(err)
	}
	w.wantEnd(1, ReasonClientClosed)
	w.onLoop(func() {
		if !bytes.Equal(held, make([]byte, len(held))) {
			t.Errorf("its memory has %q after the session's end", held)
		}
	})
}
