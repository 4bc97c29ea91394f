package engine

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// Dialogues of the authentication plugins, from the server's first packet after
// the login on. They pass unchanged, whoever's turn it is and however long they
// are.
func TestLoginDialogues(t *testing.T) {
	type line struct {
		fromServer bool
		payload    []byte
	}
	s := func(p ...byte) line { return line{true, p} }
	c := func(p ...byte) line { return line{false, p} }
	text := func(head byte, s string) []byte { return append([]byte{head}, s...) }
	sw := func(plugin string, n int) line {
		a := packet.AuthSwitch{Plugin: []byte(plugin), Data: bytes.Repeat([]byte{0x5a}, n)}
		return line{true, a.Append(nil)}
	}
	blob := func(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }
	ok := line{true, OK(0)}
	err := line{true, packet.AppendERR(nil, 1045, "28000", "Access denied for user 'app'@'localhost' (using password: YES)")}

	var prompts []line
	for i := range 150 { // the sequence ids wrap
		prompts = append(prompts, s(text(2, fmt.Sprintf("question %d", i))...), c(text('a', "\x00")...))
	}
	for _, tc := range []struct {
		name  string
		lines []line
	}{
		{"native", []line{ok}},
		{"native, refused", []line{err}},
		{"switch to native", []line{sw("mysql_native_password", 20), c(blob(20)...), ok}},
		{"switch, refused", []line{sw("mysql_native_password", 20), c(blob(20)...), err}},
		{"switch with an empty password", []line{sw("mysql_native_password", 20), c(), ok}},
		{"old password", []line{s(0xfe), c(blob(9)...), ok}},
		{"caching_sha2, cached: the server speaks twice", []line{s(1, 3), ok}},
		{"caching_sha2, cached, refused", []line{s(1, 3), err}},
		{"caching_sha2, switched to, cached", []line{sw("caching_sha2_password", 20), c(blob(32)...), s(1, 3), ok}},
		{"caching_sha2, full by RSA", []line{s(1, 4), c(2), s(text(1, "-----BEGIN PUBLIC KEY-----\n")...), c(blob(256)...), ok}},
		{"sha256, RSA", []line{sw("sha256_password", 20), c(1), s(text(1, "-----BEGIN PUBLIC KEY-----\n")...), c(blob(256)...), ok}},
		{"ed25519", []line{sw("client_ed25519", 32), c(blob(64)...), ok}},
		{"parsec: the client's packet is empty", []line{sw("parsec", 32), c(), s(append([]byte{1, 'P', 0}, blob(18)...)...), c(blob(96)...), ok}},
		{"dialog", []line{{true, append([]byte("\xfedialog\x00"), text(4, "Password, please:")...)}, c(text('p', "w\x00")...),
			s(text(3, "Are you sure ?")...), c(text('y', "\x00")...), ok}},
		{"more than 256 packets of prompts", append(append([]line{s(1, 1), sw("dialog", 3), c(1)}, prompts...), ok)},
		{"three factors", []line{sw("caching_sha2_password", 20), c(blob(32)...), s(1, 3),
			s(text(2, "authentication_ldap_simple\x00")...), c(text('p', "\x00")...),
			s(text(2, "authentication_webauthn_client\x00rp")...), c(blob(300)...), ok}},
		{"an empty packet of the server's", []line{s(), c(1), ok}},
		{"as much plugin data as there may be", []line{s(1), c(bytes.Repeat([]byte{0}, maxLogin)...), ok}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			g, l := Greeting(Caps), Login(Caps)
			login := l.Append(nil, Caps)
			server := steps(Greet(g), ExpectPacket(1, login))
			client := steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login))
			seq := byte(2)
			for _, ln := range tc.lines {
				if ln.fromServer {
					server, client = append(server, SendPacket(seq, ln.payload)), append(client, ExpectPacket(seq, ln.payload))
				} else {
					server, client = append(server, ExpectPacket(seq, ln.payload)), append(client, SendPacket(seq, ln.payload))
				}
				seq += byte(1 + len(ln.payload)/packet.MaxPayload)
			}
			want := ReasonLoginRefused
			if last := tc.lines[len(tc.lines)-1]; last.payload[0] == 0 {
				want = ReasonClientQuit
				server = append(server, ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectPacket(0, []byte{1}), ExpectEnd())
				client = append(client, SendPacket(0, ping), ExpectPacket(1, OK(0)), SendPacket(0, []byte{1}), ExpectEnd())
				server[len(server)-1] = Fin() // a server closes after COM_QUIT
			} else {
				server = append(server, Fin())
				client = append(client, ExpectEnd())
			}
			converse(w, server, client)
			if !t.Failed() {
				w.wantEnd(1, want)
			}
		})
	}
}

// What the proxy cannot pass is cleared in the greeting and in the login, and
// nothing else is.
func TestCapabilitiesThatAreMasked(t *testing.T) {
	const mariadb = Caps &^ packet.CapLongPassword
	for _, tc := range []struct {
		name          string
		server, shown packet.Capability // in the greeting
		login, passed packet.Capability // of the client
	}{
		{"nothing to mask", Caps, Caps, Caps, Caps},
		{"TLS", Caps | packet.CapSSL, Caps, Caps, Caps},
		{"TLS, claimed by the client", Caps | packet.CapSSL, Caps, Caps | packet.CapSSL, Caps},
		{"zlib", Caps | packet.CapCompress, Caps, Caps | packet.CapCompress, Caps},
		{"zstd", Caps | packet.CapZstd, Caps, Caps | packet.CapZstd, Caps},
		{"all of MySQL 9's", 0xdfffffff, 0xdfffffff &^ (packet.CapSSL | packet.CapCompress | packet.CapZstd),
			Caps | packet.CapQueryAttributes | packet.CapDeprecateEOF, Caps | packet.CapQueryAttributes | packet.CapDeprecateEOF},
		{"client claims what nobody offers", Caps, Caps, 0xffffffff &^ packet.CapConnectWithDB &^ packet.CapConnectAttrs,
			0xffffffff &^ packet.CapConnectWithDB &^ packet.CapConnectAttrs &^ (packet.CapSSL | packet.CapCompress | packet.CapZstd)},
		{"MariaDB's extended ones", mariadb | 0x3d<<32, mariadb | 0x3d<<32, mariadb | 0x15<<32, mariadb | 0x15<<32},
		{"extended ones nobody knows", mariadb | 0xffffffff<<32, mariadb | 0x3f<<32, mariadb | 0x8000001d<<32, mariadb | 0x1d<<32},
		{"MySQL's reserved bytes are not capabilities", Caps, Caps, Caps, Caps},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			g, shown := Greeting(tc.server), Greeting(tc.shown)
			l, passed := Login(tc.login), Login(tc.passed)
			converse(w,
				steps(Greet(g), ExpectPacket(1, passed.Append(nil, tc.shown)), SendPacket(2, OK(0)), ExpectEnd()),
				steps(ExpectPacket(0, shown.Append(nil)), SendPacket(1, l.Append(nil, tc.shown)), ExpectPacket(2, OK(0)), Fin()))
		})
	}
}

// Greetings and logins have parts that the proxy does not know. They pass byte
// for byte.
func TestUnknownPartsOfTheLoginPass(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	greeting := append(g.Append(nil), "\x00and something new\xff"...)
	login := append(l.Append(nil, Caps), "something new as well\x00\xff"...)
	copy(login[9:28], "reserved, and yet..")
	w := newWorld(t)
	converse(w,
		steps(SendPacket(0, greeting), ExpectPacket(1, login), SendPacket(2, OK(0)), ExpectEnd()),
		steps(ExpectPacket(0, greeting), SendPacket(1, login), ExpectPacket(2, OK(0)), Fin()))
}

func TestLoginsThatAreRefused(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	login := l.Append(nil, Caps)
	tls := packet.Login{Capabilities: Caps | packet.CapSSL, Collation: 45, SSLRequest: true}
	old := []byte{0x85, 0x24, 0, 0, 0, 'a', 'p', 'p', 0, 'x', 0}
	malformed := packet.AppendERR(nil, 1835, "HY000", "Malformed communication packet.")
	for _, tc := range []struct {
		name   string
		send   []byte
		told   []byte // nothing if empty
		reason CloseReason
	}{
		{"protocol of 4.0", packet.AppendPacket(nil, 1, old), packet.AppendERR(nil, 2007, "", "4.0 protocol is not supported"), ReasonClientOldProtocol},
		{"TLS although it was not offered", append(packet.AppendPacket(nil, 1, tls.Append(nil, Caps)), "\x16\x03\x01 hello"...),
			packet.AppendERR(nil, 3159, "HY000", "(proxy) this address does not offer TLS; connect without it (--ssl-mode=DISABLED, --skip-ssl)"), ReasonClientTLS},
		{"empty", packet.AppendPacket(nil, 1, nil), malformed, ReasonClientProtocol},
		{"one byte", packet.AppendPacket(nil, 1, []byte{0}), malformed, ReasonClientProtocol},
		{"cut in the fixed part", packet.AppendPacket(nil, 1, login[:20]), malformed, ReasonClientProtocol},
		{"user without an end", packet.AppendPacket(nil, 1, login[:34]), malformed, ReasonClientProtocol},
		{"response longer than the packet", packet.AppendPacket(nil, 1, login[:45]), malformed, ReasonClientProtocol},
		{"longer than 128 KiB", packet.AppendPacket(nil, 1, make([]byte, maxLogin+1)),
			packet.AppendERR(nil, 1153, "08S01", "(proxy) the login packet is longer than 128 KiB"), ReasonLoginTooLarge},
		{"header of 16 MiB and nothing else", []byte{0xff, 0xff, 0xff, 1},
			packet.AppendERR(nil, 1153, "08S01", "(proxy) the login packet is longer than 128 KiB"), ReasonLoginTooLarge},
		{"a command in place of the login", packet.AppendPacket(nil, 0, Query("SELECT 1")), nil, ReasonClientProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			client := steps(ExpectPacket(0, g.Append(nil)), Send(tc.send))
			if tc.told != nil {
				client = append(client, ExpectPacket(2, tc.told))
			}
			converse(w, steps(Greet(g), ExpectEnd()), append(client, ExpectEnd()))
			w.wantEnd(1, tc.reason)
		})
	}
}

// The longest login that is taken, in one piece and byte by byte.
func TestLargestLogin(t *testing.T) {
	caps := Caps | packet.CapConnectAttrs
	l := Login(caps)
	l.Attributes = packet.AppendAttribute(nil, "filler", string(bytes.Repeat([]byte{'x'}, maxLogin-200)))
	login := l.Append(nil, caps)
	login = append(login, make([]byte, maxLogin-len(login))...)
	g := Greeting(caps)
	wire := packet.AppendPacket(nil, 1, login)
	for _, by := range []int{len(wire), 4099} {
		t.Run(fmt.Sprintf("by %d bytes", by), func(t *testing.T) {
			w := newWorld(t)
			converse(w,
				steps(Greet(g), ExpectPacket(1, login), SendPacket(2, OK(0)), ExpectEnd()),
				steps(ExpectPacket(0, g.Append(nil)), SendSlowly(wire, by), ExpectPacket(2, OK(0)), Fin()))
		})
	}
}

// A client may talk before it should. Nothing of it is lost, and nothing
// reaches the server before its time.
func TestClientThatTalksTooEarly(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	login := packet.AppendPacket(nil, 1, l.Append(nil, Caps))
	query := packet.AppendPacket(nil, 0, Query("SELECT 1"))
	t.Run("login before the greeting", func(t *testing.T) {
		w := newWorld(t)
		spoken := NewGate()
		converse(w,
			steps(Await(spoken), Greet(g), ExpectLogin(l, Caps), SendPacket(2, OK(0)), ExpectEnd()),
			steps(Send(login), Open(spoken), ExpectPacket(0, g.Append(nil)), ExpectPacket(2, OK(0)), Fin()))
	})
	for name, early := range map[string][]byte{
		"a command behind the login":         query,
		"three commands behind the login":    bytes.Repeat(query, 3),
		"a part of a command":                query[:2],
		"a large command":                    packet.AppendPacket(nil, 0, Query(string(bytes.Repeat([]byte{'x'}, 1<<20)))),
		"commands and quit":                  append(append([]byte{}, query...), 1, 0, 0, 0, 1),
		"commands that have no response too": append(packet.AppendPacket(nil, 0, []byte{0x19, 1, 0, 0, 0}), query...),
	} {
		t.Run(name+", before the login's OK", func(t *testing.T) {
			w := newWorld(t)
			server := steps(Greet(g), ExpectLogin(l, Caps), ExpectQuiet(), SendPacket(2, OK(0)), Expect(early))
			client := steps(ExpectPacket(0, g.Append(nil)), Send(append(bytes.Clone(login), early...)), ExpectPacket(2, OK(0)))
			n := bytes.Count(early, query)
			if len(early) > 1<<20 {
				n = 1
			}
			for range n {
				server, client = append(server, SendPacket(1, OK(0))), append(client, ExpectPacket(1, OK(0)))
			}
			if len(early) == 2 {
				server = server[:len(server)-1] // a torn header stays with the proxy
			}
			converse(w, append(server, ExpectEnd()), append(client, Fin()))
		})
	}
}

// A server that has no place for a client says so instead of greeting.
func TestGreetingThatIsAnERR(t *testing.T) {
	for _, text := range []struct {
		code uint16
		msg  string
	}{{1040, "Too many connections"}, {1129, "Host '10.0.0.1' is blocked because of many connection errors"}, {1130, "Host '10.0.0.1' is not allowed to connect"}} {
		t.Run(fmt.Sprint(text.code), func(t *testing.T) {
			w := newWorld(t)
			refusal := packet.AppendERR(nil, text.code, "", text.msg)
			converse(w, steps(SendPacket(0, refusal), Fin()), steps(ExpectPacket(0, refusal), ExpectEnd()))
			w.wantEnd(1, ReasonServerRefused)
			if b := w.proxy.Backends()[0]; b.State() != BackendUp {
				t.Errorf("the backend is %s, want up: it has taken the connection", b.State())
			}
		})
	}
}

func TestGreetingsThatAreNone(t *testing.T) {
	g := Greeting(Caps)
	good := packet.AppendPacket(nil, 0, g.Append(nil))
	refusal := packet.AppendERR(nil, 2027, "", "(proxy) the backend sent a packet that does not belong here")
	for name, sent := range map[string][]byte{
		"protocol 9":            packet.AppendPacket(nil, 0, []byte("\x095.0.1\x00....")),
		"empty":                 {0, 0, 0, 0},
		"HTTP":                  []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"cut":                   packet.AppendPacket(nil, 0, g.Append(nil)[:20]),
		"version without end":   packet.AppendPacket(nil, 0, bytes.Repeat([]byte{10}, 100)),
		"too long":              packet.AppendPacket(nil, 0, make([]byte, maxGreeting+1)),
		"more behind it":        append(bytes.Clone(good), 0),
		"two greetings at once": append(bytes.Clone(good), good...),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			converse(w, steps(Send(sent), ExpectEnd()), steps(ExpectPacket(0, refusal), ExpectEnd()))
			w.wantEnd(1, ReasonServerProtocol)
		})
	}
}

// Clients and servers on unix sockets.
func TestUnixSockets(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, "server.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ln, Scripts(served(ExpectPacket(0, ping), SendPacket(1, OK(0)))))
	w.servers = append(w.servers, s)
	cfg := w.config(s.Addr())
	cfg.Listen = []reactor.Addr{{Path: filepath.Join(dir, "proxy.sock")}}
	w.start(cfg)
	w.client("client", asked(SendPacket(0, ping), ExpectPacket(1, OK(0)))...)
	w.peers.Wait()
	w.wantEnd(1, ReasonClientClosed)
}
