package engine

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

const capsTLS = Caps | packet.CapSSL

// withTLS has clients met with TLS, and backends as mode says.
func withTLS(clients, backends TLSMode) func(*Config) {
	return func(cfg *Config) {
		cfg.ClientTLS, cfg.ClientTLSConfig = clients, ServerTLS()
		cfg.BackendTLS, cfg.BackendTLSConfig = backends, func(BackendConfig) *tls.Config { return ClientTLS() }
		cfg.PasswordKey = passwordKey
	}
}

var passwordKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// sslRequest is the payload that comes before l.
func sslRequest(l packet.Login) []byte {
	l.Capabilities |= packet.CapSSL
	l.SSLRequest = true
	return l.Append(nil, capsTLS)
}

// side is one end of a session: what it does before its login packet, and the
// sequence id and capabilities of that.
type side struct {
	tls  bool
	seq  byte
	caps packet.Capability
}

func sideOf(tls bool) side {
	if tls {
		return side{true, 2, capsTLS}
	}
	return side{false, 1, Caps}
}

// greets are the server's steps up to its client's login packet l.
func (s side) greets(l packet.Login) []Step {
	l.Capabilities = s.caps
	out := steps(Greet(Greeting(capsTLS)))
	if s.tls {
		out = append(out, ExpectPacket(1, sslRequest(l)), StartTLS(ServerTLS(), true))
	}
	return append(out, ExpectPacket(s.seq, l.Append(nil, capsTLS)))
}

// logsIn are the client's, with the login packet.
func (s side) logsIn(l packet.Login) []Step {
	l.Capabilities = s.caps
	g := Greeting(capsTLS)
	out := steps(ExpectPacket(0, g.Append(nil)))
	if s.tls {
		out = append(out, SendPacket(1, sslRequest(l)), StartTLS(ClientTLS(), false))
	}
	return append(out, SendPacket(s.seq, l.Append(nil, capsTLS)))
}

// Each side has TLS or not as it was set, and nothing else changes.
func TestTLSOnEitherSide(t *testing.T) {
	rows, _ := Result(nil, 1, Caps, 0, "first", string(bytes.Repeat([]byte("r"), 100_000)), "last")
	query := Query("SELECT")
	for _, tc := range []struct {
		mode           TLSMode
		client, server bool
	}{
		{TLSSame, false, false}, {TLSSame, true, true}, {TLSOff, true, false}, {TLSOff, false, false},
		{TLSPrefer, false, true}, {TLSRequire, true, true}, {TLSRequire, false, true},
	} {
		for _, scripts := range []bool{false, true} {
			t.Run(fmt.Sprintf("mode %d, client %t, script %t", tc.mode, tc.client, scripts), func(t *testing.T) {
				w := newWorld(t)
				s, c := sideOf(tc.server), sideOf(tc.client)
				change := []func(*Config){withTLS(TLSPrefer, tc.mode)}
				if scripts {
					change = append(change, with(&hooks{query: passQuery}))
				}
				converse(w,
					append(s.greets(Login(Caps)), SendPacket(s.seq+1, OK(0)), ExpectPacket(0, query), Send(rows), ExpectEnd()),
					append(c.logsIn(Login(Caps)), ExpectPacket(c.seq+1, OK(0)), SendPacket(0, query), Expect(rows), Fin()), change...)
				w.wantEnd(1, ReasonClientClosed)
			})
		}
	}
}

// A client's handshake may begin in the segment of its SSL request, and be cut
// anywhere.
func TestTLSRightBehindTheRequest(t *testing.T) {
	for _, n := range []int{0, 1, 5, 40, 100, 1 << 20} {
		w := sharedWorld(t)
		request := packet.AppendPacket(nil, 1, sslRequest(Login(Caps)))
		g := Greeting(capsTLS)
		login := Login(capsTLS)
		glue := Do("start TLS in the same segment", func(c *Conn) error {
			c.Conn = &glued{Conn: c.Conn, first: request, n: n}
			return nil
		})
		converse(w, append(sideOf(true).greets(Login(Caps)), SendPacket(3, OK(0)), ExpectEnd()),
			steps(ExpectPacket(0, g.Append(nil)), glue, StartTLS(ClientTLS(), false), SendPacket(2, login.Append(nil, capsTLS)), ExpectPacket(3, OK(0)), Fin()),
			withTLS(TLSPrefer, TLSSame))
		w.wantEnd(1, ReasonClientClosed)
	}
}

// glued sends first together with the first n bytes of what is written first.
type glued struct {
	net.Conn
	first []byte
	n     int
}

func (g *glued) Write(p []byte) (int, error) {
	if g.first == nil {
		return g.Conn.Write(p)
	}
	n := min(g.n, len(p))
	_, err := g.Conn.Write(append(g.first, p[:n]...))
	if g.first = nil; err == nil && n < len(p) {
		_, err = g.Conn.Write(p[n:])
	}
	return len(p), err
}

// What a plugin's dialogue becomes where only one side has TLS, packet by packet
// and with the sequence ids of both sides: at the login, and at a
// COM_CHANGE_USER.
func TestTranslatedDialogues(t *testing.T) {
	key := passwordKey()
	pem, err := packet.AppendPublicKey([]byte{1}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	challenge := Greeting(Caps).Challenge
	password := []byte("correct horse")
	encrypted := func(seq byte) Step {
		return Do("send the password, encrypted", func(c *Conn) error {
			cipher, err := packet.EncryptPassword(password, challenge[:], &key.PublicKey)
			if err != nil {
				return err
			}
			_, err = c.Write(packet.AppendPacket(nil, seq, cipher))
			return err
		})
	}
	decrypts := func(seq byte) Step {
		return ExpectWhere("the password, encrypted", func(p packet.Packet) error {
			got, err := packet.DecryptPassword(p.Payload(), challenge[:], key)
			if err == nil && (!bytes.Equal(got, password) || p.Seq() != seq) {
				err = fmt.Errorf("password %q in packet %d, want %q in %d", got, p.Seq(), password, seq)
			}
			return err
		})
	}
	readable := append(bytes.Clone(password), 0)
	sw := packet.AuthSwitch{Plugin: []byte(packet.PluginCachingSHA2), Data: challenge[:]}
	switched := sw.Append(nil)
	sw.Plugin = []byte(packet.PluginSHA256)
	switched256 := sw.Append(nil)
	scramble := bytes.Repeat([]byte{7}, 32)

	// Each dialogue, from the packet behind the login or the command on; s and c
	// are the ids of that packet on either side.
	for _, tc := range []struct {
		name   string
		client bool // it is the client that has TLS
		server func(s byte) []Step
		says   func(c byte) []Step
	}{
		{"a key of the server's", true,
			func(s byte) []Step {
				return steps(SendPacket(s+1, switched), ExpectPacket(s+2, scramble), SendPacket(s+3, []byte{1, 4}), ExpectPacket(s+4, []byte{2}),
					SendPacket(s+5, pem), decrypts(s+6), SendPacket(s+7, OK(0)))
			},
			func(c byte) []Step {
				return steps(ExpectPacket(c+1, switched), SendPacket(c+2, scramble), ExpectPacket(c+3, []byte{1, 4}), SendPacket(c+4, readable), ExpectPacket(c+5, OK(0)))
			}},
		{"a key of the proxy's", false,
			func(s byte) []Step {
				return steps(SendPacket(s+1, switched), ExpectPacket(s+2, scramble), SendPacket(s+3, []byte{1, 4}), ExpectPacket(s+4, readable), SendPacket(s+5, OK(0)))
			},
			func(c byte) []Step {
				return steps(ExpectPacket(c+1, switched), SendPacket(c+2, scramble), ExpectPacket(c+3, []byte{1, 4}), SendPacket(c+4, []byte{2}),
					ExpectPacket(c+5, pem), encrypted(c+6), ExpectPacket(c+7, OK(0)))
			}},
		{"sha256, a key of the server's", true,
			func(s byte) []Step {
				return steps(SendPacket(s+1, switched256), ExpectPacket(s+2, []byte{1}), SendPacket(s+3, pem), decrypts(s+4), SendPacket(s+5, OK(0)))
			},
			func(c byte) []Step {
				return steps(ExpectPacket(c+1, switched256), SendPacket(c+2, readable), ExpectPacket(c+3, OK(0)))
			}},
		{"sha256, a key of the proxy's", false,
			func(s byte) []Step {
				return steps(SendPacket(s+1, switched256), ExpectPacket(s+2, readable), SendPacket(s+3, OK(0)))
			},
			func(c byte) []Step {
				return steps(ExpectPacket(c+1, switched256), SendPacket(c+2, []byte{1}), ExpectPacket(c+3, pem), encrypted(c+4), ExpectPacket(c+5, OK(0)))
			}},
		{"nothing to translate", true,
			func(s byte) []Step {
				return steps(SendPacket(s+1, switched), ExpectPacket(s+2, scramble), SendPacket(s+3, []byte{1, 3}), SendPacket(s+4, OK(0)))
			},
			func(c byte) []Step {
				return steps(ExpectPacket(c+1, switched), SendPacket(c+2, scramble), ExpectPacket(c+3, []byte{1, 3}), ExpectPacket(c+4, OK(0)))
			}},
	} {
		for _, scripts := range []bool{false, true} {
			mode := TLSOff
			if !tc.client {
				mode = TLSRequire
			}
			change := func(cfg *Config) {
				withTLS(TLSPrefer, mode)(cfg)
				if scripts {
					with(&hooks{query: passQuery})(cfg)
				}
			}
			s, c := sideOf(!tc.client), sideOf(tc.client)
			query := steps(ExpectPacket(0, Query("SELECT")), SendPacket(1, OK(0)), ExpectEnd())
			asks := steps(SendPacket(0, Query("SELECT")), ExpectPacket(1, OK(0)), Fin())
			t.Run(fmt.Sprintf("login, %s, script %t", tc.name, scripts), func(t *testing.T) {
				w := newWorld(t)
				converse(w, append(append(s.greets(Login(Caps)), tc.server(s.seq)...), query...), append(append(c.logsIn(Login(Caps)), tc.says(c.seq)...), asks...), change)
				w.wantEnd(1, ReasonClientClosed)
			})
			t.Run(fmt.Sprintf("change user, %s, script %t", tc.name, scripts), func(t *testing.T) {
				w := newWorld(t)
				u := packet.ChangeUser{User: []byte("other"), AuthResponse: []byte("response"), Plugin: []byte(packet.PluginNative)}
				other := u.Append(nil, Caps)
				converse(w,
					append(append(append(s.greets(Login(Caps)), SendPacket(s.seq+1, OK(0)), ExpectPacket(0, other)), tc.server(0)...), query...),
					append(append(append(c.logsIn(Login(Caps)), ExpectPacket(c.seq+1, OK(0)), SendPacket(0, other)), tc.says(0)...), asks...), change)
				w.wantEnd(1, ReasonClientClosed)
			})
		}
	}
}

// Passwords that are in the login packet or the command itself.
func TestPasswordsInTheFirstPacket(t *testing.T) {
	key := passwordKey()
	pem, err := packet.AppendPublicKey([]byte{1}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	challenge := Greeting(Caps).Challenge
	l := Login(Caps)
	l.Plugin = []byte(packet.PluginSHA256)
	l.AuthResponse = []byte("open sesame\x00")
	asking := l
	asking.AuthResponse = []byte{1}
	s, c := sideOf(false), sideOf(true)

	w := newWorld(t)
	converse(w, append(s.greets(asking), SendPacket(2, pem), ExpectWhere("the password, encrypted", func(p packet.Packet) error {
		got, err := packet.DecryptPassword(p.Payload(), challenge[:], key)
		if err == nil && string(got) != "open sesame" {
			err = fmt.Errorf("password %q", got)
		}
		return err
	}), SendPacket(4, OK(0)), ExpectEnd()),
		append(c.logsIn(l), ExpectPacket(3, OK(0)), Fin()), withTLS(TLSPrefer, TLSOff))
	w.wantEnd(1, ReasonClientClosed)

	w = newWorld(t)
	u := packet.ChangeUser{User: []byte("other"), AuthResponse: []byte("open sesame\x00"), Plugin: []byte(packet.PluginSHA256)}
	given := u.Append(nil, Caps)
	u.AuthResponse = nil
	converse(w, append(s.greets(Login(Caps)), SendPacket(2, OK(0)), ExpectPacket(0, u.Append(nil, Caps)), SendPacket(1, OK(0)), ExpectEnd()),
		append(c.logsIn(Login(Caps)), ExpectPacket(3, OK(0)), SendPacket(0, given), ExpectPacket(1, OK(0)), Fin()), withTLS(TLSPrefer, TLSOff))
	w.wantEnd(1, ReasonClientClosed)
}

// A client whose own handshake is under way when the backend's fails is told of
// that when it can hear it.
func TestBackendHandshakeFailsBeforeTheLogin(t *testing.T) {
	for _, early := range []bool{false, true} {
		w := newWorld(t)
		g, l := Greeting(capsTLS), Login(capsTLS)
		failed := NewGate()
		wait := Await(failed)
		if !early {
			wait = Do("go on", func(*Conn) error { return nil })
		}
		converse(w, steps(Greet(g), ExpectPacket(1, sslRequest(l)), Send([]byte("this is no handshake either")), Drain(), Open(failed)),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, sslRequest(l)), wait, StartTLS(ClientTLS(), false), SendPacket(2, l.Append(nil, capsTLS)),
				ExpectERR(3, 2026, "HY000", "(proxy) the TLS handshake with the backend failed, the proxy's log says why; see --backend-tls and --backend-tls-ca"), ExpectEnd()),
			withTLS(TLSPrefer, TLSSame))
		w.wantEnd(1, ReasonServerHandshake)
	}
}

// compressing has both sides compress, if they can.
func compressing(client, backend packet.Capability) func(*Config) {
	return func(cfg *Config) {
		cfg.ClientCompression, cfg.BackendCompression, cfg.ZlibLevel, cfg.ZstdLevel = client, backend, 1, 3
	}
}

// Each side compresses as it can, and inside TLS as well. The sequence ids of a
// compressed server are its own business; the client's are right.
func TestCompressionOnEitherSide(t *testing.T) {
	const none, zlib, zstd = packet.Capability(0), packet.CapCompress, packet.CapZstd
	query := Query("SELECT")
	file := append(packet.AppendPacket(nil, 2, []byte("1,2\n")), packet.AppendPacket(nil, 3, nil)...)
	for _, client := range []packet.Capability{none, zlib, zstd} {
		for _, server := range []packet.Capability{none, zlib, zstd} {
			for _, secret := range []bool{false, true} {
				for _, scripts := range []bool{false, true} {
					t.Run(fmt.Sprintf("client %s, server %s, TLS %t, script %t", client, server, secret, scripts), func(t *testing.T) {
						n := 30_000 // more than the proxy holds for a slow peer; with all layers at once much more
						if client|server == zlib|zstd && secret && scripts {
							n = 300_000
						}
						large := string(bytes.Repeat([]byte("a row of some length "), n))
						rows, _ := Result(nil, 1, Caps, 0, "first", large, "last")
						oddRows, _ := Result(nil, 9, Caps, 0, "first", large, "last")
						long := packet.AppendPacket(nil, 0, Query(large))

						w := newWorld(t)
						shown := capsTLS | zlib | zstd
						g, offered := Greeting(shown), Greeting(capsTLS|server)
						s, c := sideOf(secret), sideOf(secret)
						in, out := Login(s.caps|server), Login(c.caps|client)
						in.ZstdLevel, out.ZstdLevel = 3, 7

						serves, asks := steps(Greet(offered)), steps(ExpectPacket(0, g.Append(nil)))
						if secret {
							serves = append(serves, ExpectPacket(1, sslRequest(Login(Caps|server))), StartTLS(ServerTLS(), true))
							asks = append(asks, SendPacket(1, sslRequest(Login(Caps))), StartTLS(ClientTLS(), false))
						}
						serves = append(serves, ExpectPacket(s.seq, in.Append(nil, capsTLS|server)), SendPacket(s.seq+1, OK(0)))
						asks = append(asks, SendPacket(c.seq, out.Append(nil, shown)), ExpectPacket(c.seq+1, OK(0)))
						sent, infile, done := rows, byte(1), byte(4)
						if server != none {
							serves = append(serves, Compress(server, true))
							sent, infile = oddRows, 5
						}
						if client != none {
							asks = append(asks, Compress(client, false))
						}
						serves = append(serves, ExpectPacket(0, query), Send(sent), Expect(long), Send(sent), ExpectPacket(0, query), SendPacket(infile, []byte{0xfb, 'f'}),
							Expect(file), SendPacket(done, OK(0)), ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd())
						asks = append(asks, SendPacket(0, query), Expect(rows), Send(long), Expect(rows), SendPacket(0, query), ExpectPacket(1, []byte{0xfb, 'f'}),
							Send(file), ExpectPacket(4, OK(0)), SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin())
						change := []func(*Config){withTLS(TLSPrefer, TLSSame), compressing(zlib|zstd, server)}
						if scripts {
							change = append(change, with(&hooks{query: passQuery}))
						}
						converse(w, serves, asks, change...)
						w.wantEnd(1, ReasonClientClosed)
					})
				}
			}
		}
	}
}

// A client that claims both gets zlib, as from a server.
func TestBothCompressions(t *testing.T) {
	w := newWorld(t)
	const both = packet.CapCompress | packet.CapZstd
	g, l, seen := Greeting(Caps|both), Login(Caps|both), Login(Caps)
	l.ZstdLevel = 5
	converse(w, steps(Greet(Greeting(Caps)), ExpectPacket(1, seen.Append(nil, Caps)), SendPacket(2, OK(0)), ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd()),
		steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps|both)), ExpectPacket(2, OK(0)), Compress(packet.CapCompress, false), SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin()),
		compressing(both, 0))
	w.wantEnd(1, ReasonClientClosed)
}

// Frames that are none, or inflate to more than they say, end their session.
func TestMalformedFrames(t *testing.T) {
	for _, frame := range [][]byte{{5, 0, 0, 0, 255, 255, 255, 1, 2, 3, 4, 5}, {0, 0, 0, 0, 1, 0, 0}} {
		w := newWorld(t)
		g, l, seen := Greeting(Caps|packet.CapCompress), Login(Caps|packet.CapCompress), Login(Caps)
		converse(w, steps(Greet(Greeting(Caps)), ExpectPacket(1, seen.Append(nil, Caps)), SendPacket(2, OK(0)), ExpectEnd()),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps|packet.CapCompress)), ExpectPacket(2, OK(0)), Send(frame), ExpectEnd()),
			compressing(packet.CapCompress, 0))
		w.wantEnd(1, ReasonClientLost)
	}
}

// A server session whose TLS has something to send, within the event that wrote
// it, is as good for the pool as any.
func TestPoolingOfASessionThatHasJustWritten(t *testing.T) {
	for _, packs := range []packet.Capability{0, packet.CapCompress} {
		w := newWorld(t)
		shut, query := []byte{byte(packet.ComStmtClose), 1, 0, 0, 0}, Query("SELECT")
		s := sideOf(true)
		offered, in := Greeting(capsTLS|packs), Login(capsTLS|packs)
		serves := steps(Greet(offered), ExpectPacket(1, sslRequest(Login(Caps|packs))), StartTLS(ServerTLS(), true),
			ExpectPacket(2, in.Append(nil, capsTLS|packs)), SendPacket(3, OK(0)))
		if packs != 0 {
			serves = append(serves, Compress(packs, true))
		}
		h := &hooks{query: func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == byte(packet.ComQuery) {
				s.SetBackend(0)
				s.SetBackend(1)
			}
			return hook.Verdict{}
		}}
		converse(w, append(serves, ExpectPacket(0, shut), ExpectPacket(0, query), SendPacket(1, OK(0)), ExpectEnd()),
			append(s.logsIn(Login(Caps)), ExpectPacket(3, OK(0)), Send(append(packet.AppendPacket(nil, 0, shut), packet.AppendPacket(nil, 0, query)...)), ExpectPacket(1, OK(0)), Fin()),
			withTLS(TLSPrefer, TLSSame), compressing(0, packs), with(h))
		w.wantEnd(1, ReasonClientClosed)
	}
}
