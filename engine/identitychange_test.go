package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

const newPassword = "of the new user"

var newNulled = append([]byte(newPassword), 0)

// changesTo is the COM_CHANGE_USER of a client that names plugin.
func changesTo(plugin string, response []byte) []byte {
	u := packet.ChangeUser{User: []byte("other"), AuthResponse: response, Database: []byte("db"), Collation: 45, Plugin: []byte(plugin)}
	return u.Append(nil, relayCaps)
}

// followsSwitch takes a switch to caching_sha2_password with seq, whatever its
// challenge, and answers it by then.
func followsSwitch(seq byte, then func(challenge []byte) []Step) Step {
	return Do("follow a switch to caching_sha2_password", func(c *Conn) error {
		p, err := c.ReadPacket()
		if err != nil {
			return err
		}
		sw, err := packet.ParseAuthSwitch(p.Payload())
		if err != nil || string(sw.Plugin) != packet.PluginCachingSHA2 || len(sw.Data) != packet.ChallengeLen || p.Seq() != seq {
			return fmt.Errorf("got packet %d: % x, %v", p.Seq(), p.Payload(), err)
		}
		if bytes.ContainsAny(sw.Data, "\x00$") || bytes.Equal(sw.Data, greetedBy()) {
			return fmt.Errorf("the challenge is %q", sw.Data)
		}
		return c.Run(then(sw.Data)...)
	})
}

// A COM_CHANGE_USER of each kind of client and account, after a login by which
// the proxy owns ownPassword.
func TestIdentityOfACommandChangeUser(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 32)
	other := bytes.Repeat([]byte("o"), packet.ChallengeLen)
	newNative := packet.NativePassword([]byte(newPassword), other)
	newSHA2 := packet.CachingSHA2Response([]byte(newPassword), other)
	toNative, toSHA2, toGSSAPI := switchedTo(packet.PluginNative, other), switchedTo(packet.PluginCachingSHA2, other), switchedTo("auth_gssapi_client", long)
	denied := packet.AppendERR(nil, 1045, "28000", "Access denied")
	change := changesTo(packet.PluginCachingSHA2, newSHA2[:])
	// answered is a client that answers the switch by sha2 and then is asked.
	answered := followsSwitch(1, func(challenge []byte) []Step {
		r := packet.CachingSHA2Response([]byte(newPassword), challenge)
		return steps(SendPacket(2, r[:]), ExpectPacket(3, asksFull), SendPacket(4, newNulled))
	})
	const old, owned = "password " + ownPassword + " of app", "password " + newPassword + " of other"
	for _, tc := range []struct {
		name   string
		mute   bool // the login was one that shows nothing
		change []byte
		server []Step // behind the COM_CHANGE_USER
		client []Step
		want   string
	}{
		{"a native account", false, change, steps(SendPacket(1, toNative), ExpectPacket(2, newNative[:]), SendPacket(3, OK(0))), steps(answered, ExpectPacket(5, OK(0))), owned},
		{"a native account, named by the client", false, changesTo(packet.PluginNative, newNative[:]), steps(SendPacket(1, toNative), ExpectPacket(2, newNative[:]), SendPacket(3, OK(0))), steps(answered, ExpectPacket(5, OK(0))), owned},
		{"a wrong password", false, change, steps(SendPacket(1, toNative), ExpectPacket(2, newNative[:]), SendPacket(3, denied)), steps(answered, ExpectPacket(5, denied)), old},
		{"no password", false, change, steps(SendPacket(1, toNative), ExpectPacket(2, nil), SendPacket(3, OK(0))),
			steps(followsSwitch(1, func([]byte) []Step { return steps(SendPacket(2, nil)) }), ExpectPacket(3, OK(0))), "password  of other"},
		{"sha2 that the server knows", false, change, steps(SendPacket(1, toSHA2), ExpectPacket(2, newSHA2[:]), Send(append(packet.AppendPacket(nil, 3, fastOK), packet.AppendPacket(nil, 4, OK(0))...))),
			steps(ExpectPacket(1, toSHA2), SendPacket(2, newSHA2[:]), ExpectPacket(3, asksFull), SendPacket(4, newNulled), ExpectPacket(5, OK(0))), owned},
		{"sha2, full", false, change, steps(SendPacket(1, toSHA2), ExpectPacket(2, newSHA2[:]), SendPacket(3, asksFull), ExpectPacket(4, newNulled), SendPacket(5, OK(0))),
			steps(ExpectPacket(1, toSHA2), SendPacket(2, newSHA2[:]), ExpectPacket(3, asksFull), SendPacket(4, newNulled), ExpectPacket(5, OK(0))), owned},
		{"sha2, full, a wrong password", false, change, steps(SendPacket(1, toSHA2), ExpectPacket(2, newSHA2[:]), SendPacket(3, asksFull), ExpectPacket(4, newNulled), SendPacket(5, denied)),
			steps(ExpectPacket(1, toSHA2), SendPacket(2, newSHA2[:]), ExpectPacket(3, asksFull), SendPacket(4, newNulled), ExpectPacket(5, denied)), old},
		{"an account whose plugin is the client's matter", false, change, steps(SendPacket(1, toGSSAPI), ExpectPacket(2, []byte("ticket")), SendPacket(3, OK(0))),
			steps(ExpectPacket(1, toGSSAPI), SendPacket(2, []byte("ticket")), ExpectPacket(3, OK(0))), "account_plugin"},
		{"a server that asks for nothing", false, change, steps(SendPacket(1, OK(0))), steps(ExpectPacket(1, OK(0))), "not_heard"},
		{"a client that does not know sha2", true, change, steps(SendPacket(1, toNative), ExpectPacket(2, newNative[:]), SendPacket(3, OK(0))),
			steps(ExpectPacket(1, toNative), SendPacket(2, newNative[:]), ExpectPacket(3, OK(0))), "client_plugin"},
	} {
		for _, script := range []*hooks{nil, {query: passQuery}, {authResult: passQuery}} {
			t.Run(fmt.Sprintf("%s, script %v", tc.name, script != nil), func(t *testing.T) {
				w := newWorld(t)
				as := asking{clientTLS: true, serverTLS: true}
				server, client := steps(SendPacket(3, fastOK), SendPacket(4, OK(0))), steps(ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, OK(0)))
				before := old
				if tc.mute {
					as.plugin, as.response, before = packet.PluginNative, ownNative(), "client_plugin"
					server, client = steps(SendPacket(3, OK(0))), steps(ExpectPacket(3, OK(0)))
				}
				server = append(append(append(as.receives(as.login()), server...), ExpectPacket(0, tc.change)), tc.server...)
				cfg := w.config(w.server(append(server, ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd())))
				relaying(AuthAuto, true)(&cfg)
				if script != nil {
					relaying(AuthRelay, true)(&cfg)
					with(script)(&cfg)
				}
				w.start(cfg)
				c := w.clientNow("client", append(as.enters(), client...)...)
				if got := w.owned(); got != before {
					t.Fatalf("before, the proxy owns %q, want %q", got, before)
				}
				if err := c.Run(append(append(steps(SendPacket(0, tc.change)), tc.client...), pings())...); err != nil {
					t.Fatal(err)
				}
				if got := w.owned(); got != tc.want {
					t.Errorf("the proxy owns %q, want %q", got, tc.want)
				}
				if err := c.Run(Fin()); err != nil {
					t.Error(err)
				}
				w.wantEnd(1, ReasonClientClosed)
				if lines := w.log.about(newPassword); len(lines) > 0 {
					t.Errorf("the password is in the log: %v", lines)
				}
			})
		}
	}
}

// A COM_CHANGE_USER that comes in pieces, or while commands are outstanding, has
// its turn when it is whole and they are done.
func TestIdentityAndACommandChangeUserInPieces(t *testing.T) {
	other := bytes.Repeat([]byte("o"), packet.ChallengeLen)
	newSHA2 := packet.CachingSHA2Response([]byte(newPassword), other)
	newNative := packet.NativePassword([]byte(newPassword), other)
	change := changesTo(packet.PluginCachingSHA2, newSHA2[:])
	stream := packet.AppendPacket(packet.AppendPacket(nil, 0, ping), 0, change)
	for cut := 1; cut < len(stream); cut += 3 {
		w := sharedWorld(t)
		as := asking{clientTLS: true}
		server := append(as.receives(as.login()), SendPacket(2, fastOK), SendPacket(3, OK(0)),
			ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectPacket(0, change), SendPacket(1, switchedTo(packet.PluginNative, other)), ExpectPacket(2, newNative[:]), SendPacket(3, OK(0)),
			ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd())
		client := append(as.enters(), ExpectPacket(3, asksFull), SendPacket(4, ownNulled), ExpectPacket(5, OK(0)),
			Send(stream[:cut]), Send(stream[cut:]), ExpectPacket(1, OK(0)), followsSwitch(1, func(challenge []byte) []Step {
				r := packet.CachingSHA2Response([]byte(newPassword), challenge)
				both := packet.AppendPacket(packet.AppendPacket(nil, 4, newNulled), 0, ping) // a command right behind
				return steps(SendPacket(2, r[:]), ExpectPacket(3, asksFull), Send(both))
			}), ExpectPacket(5, OK(0)), ExpectPacket(1, OK(0)), Fin())
		converse(w, server, client, relaying(AuthRelay, false))
		w.wantEnd(1, ReasonClientClosed)
	}
}

// Whatever either side says in a dialogue, in whatever order: the session ends,
// nothing panics, and no password is readable on the way to the server.
func TestIdentityWhateverIsSaid(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 32)
	pem, err := packet.AppendPublicKey([]byte{1}, &passwordKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	serverSays := [][]byte{
		nil, fastOK, asksFull, pem, {1}, {1, 9}, {2}, []byte("\x02" + packet.PluginClear + "\x00"), {0xfe}, OK(0), packet.AppendERR(nil, 1045, "28000", "no"), []byte("\x01P\x00salt"), []byte("\x03Sure? "),
		switchedTo(packet.PluginNative, greetedBy()), switchedTo(packet.PluginNative, nil), switchedTo(packet.PluginCachingSHA2, greetedBy()), switchedTo(packet.PluginSHA256, greetedBy()),
		switchedTo(packet.PluginEd25519, long), switchedTo(packet.PluginParsec, long), switchedTo(packet.PluginClear, nil), switchedTo(packet.PluginDialog, []byte("\x04Password: ")), switchedTo("unknown", nil),
	}
	sha2 := ownSHA2()
	clientSays := [][]byte{nil, {0}, {1}, {2}, sha2, ownNative(), make([]byte, 256), long, []byte("yes\x00"), ping, changesTo(packet.PluginCachingSHA2, sha2), changesTo(packet.PluginSHA256, []byte{1})}
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 300 {
		w := sharedWorld(t).inTime()
		as := asking{clientTLS: rng.IntN(3) > 0, clientName: []string{"", "pymysql", "Node-MySQL-2", "libmysql"}[rng.IntN(4)], version: "3.1"}
		if rng.IntN(4) == 0 {
			as.plugin, as.response = packet.PluginNative, ownNative()
		}
		var serverTalk []Step
		for n := range rng.IntN(6) {
			seq := byte(2 + 2*n)
			if rng.IntN(8) == 0 {
				seq = byte(rng.Uint32())
			}
			serverTalk = append(serverTalk, SendPacket(seq, serverSays[rng.IntN(len(serverSays))]))
			if rng.IntN(2) == 0 {
				serverTalk = append(serverTalk, ExpectWhere("something", func(packet.Packet) error { return nil }))
			}
		}
		// The client gives its password where its plugin is asked for it, as an
		// honest one, and says whatever else.
		plugin := string(as.login().Plugin)
		seed := rng.Uint64()
		clientTalk := Do("talk", func(c *Conn) error {
			rng := rand.New(rand.NewPCG(seed, 0))
			for {
				p, err := c.ReadPacket()
				if err != nil {
					return err
				}
				says := clientSays[rng.IntN(len(clientSays))]
				if sw, err := packet.ParseAuthSwitch(p.Payload()); err == nil {
					plugin = string(sw.Plugin)
				}
				if plugin == packet.PluginCachingSHA2 && bytes.Equal(p.Payload(), asksFull) && as.clientTLS {
					says = ownNulled
				}
				if err := c.Run(SendPacket(p.Seq()+1, says)); err != nil || rng.IntN(10) == 0 {
					return err
				}
			}
		})
		var mu sync.Mutex
		var got bytes.Buffer
		addr := w.serverOf(func(_ int, c *Conn) error {
			c = NewConn(&tee{c.Conn, &mu, &got}, "server")
			shown := Greeting(relayCaps | packet.CapSSL)
			_ = c.Run(Greet(shown))
			if _, err := c.ReadPacket(); err == nil {
				_ = c.Run(serverTalk...) // whatever comes of it
			}
			return nil
		}).Addr()
		cfg := w.config(addr)
		cfg.LoginTimeout, cfg.ReadTimeout = 300*time.Millisecond, 300*time.Millisecond // two that wait for each other
		relaying([]AuthMode{AuthAuto, AuthRelay}[rng.IntN(2)], false)(&cfg)
		w.start(cfg)
		c, err := Dial(w.front(), "client")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Run(append(as.enters(), clientTalk)...) // whatever comes of it
		c.Close()
		w.session(1)
		w.stop()
		mu.Lock()
		readable := bytes.Contains(got.Bytes(), []byte(ownPassword))
		mu.Unlock()
		if readable {
			t.Errorf("run %d: the password was readable on the way to the server: %q", i, got.Bytes())
		}
		if w.Failed() {
			t.Fatalf("run %d", i)
		}
	}
}

// tee is a connection of which all that is read is kept.
type tee struct {
	net.Conn
	mu   *sync.Mutex
	kept *bytes.Buffer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Write(p[:n])
	return n, err
}
