package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// withConsole starts a proxy whose admin port has a console, and a script unless
// h is nil.
func (w *world) withConsole(h *hooks, console func(context.Context, AdminCommand) AdminAnswer) {
	w.Helper()
	cfg := w.config()
	cfg.Admin = func(hook.Global) (*AdminConfig, error) {
		a := &AdminConfig{Listen: addrFor(w.refused()), User: "root", Password: "secret"}
		if h != nil {
			a.Scripts = h
		}
		a.Console = func(ctx context.Context, e *Engine, c AdminCommand) AdminAnswer {
			if e != w.proxy {
				w.Errorf("the console is asked about %p, which is not the engine", e)
			}
			return console(ctx, c)
		}
		return a, nil
	}
	w.start(cfg)
}

const consoleCaps = packet.CapProtocol41 | packet.CapSecureConnection | packet.CapLongPassword

// entered is a login at the admin port as of old.
func entered() []Step {
	return steps(adminLogin("root", "secret", consoleCaps), ExpectPacket(2, OK(0)))
}

// Who answers a command at the admin port: the script, the console behind it, or
// nobody.
func TestWhoAnswersAtTheConsole(t *testing.T) {
	need := "need a resultset + proxy.PROXY_SEND_RESULT"
	answered, unknown := OK(packet.StatusInTrans), packet.AppendERR(nil, 1105, "07000", "there is no such statement")
	console := func(_ context.Context, c AdminCommand) AdminAnswer {
		switch string(c.Payload) {
		case "\x03who":
			return AdminAnswer{Payloads: [][]byte{packet.AppendERR(nil, 1, "HY000", fmt.Sprint(c.User, " ", c.Client != "", " ", c.TLS, " ", c.Database, " ", c.Session > 0))}}
		case "\x03rows":
			return AdminAnswer{Payloads: [][]byte{{1}, {2}, {3}}}
		case "\x03fault":
			panic("on purpose")
		}
		if len(c.Payload) > 0 && (c.Payload[0] == 2 || c.Payload[0] == 14 || string(c.Payload) == "\x03ask") {
			return AdminAnswer{Payloads: [][]byte{answered}}
		}
		return AdminAnswer{Payloads: [][]byte{unknown}, Unknown: true}
	}
	scripted := &hooks{query: func(_ hook.Session, p []byte) hook.Verdict {
		switch string(p) {
		case "\x03script":
			return sendResult(answered)
		case "\x03fails":
			return hook.Verdict{Failed: true}
		}
		return hook.Verdict{}
	}}
	query := func(text string) Step { return SendPacket(0, Query(text)) }
	for _, tc := range []struct {
		name   string
		hooks  *hooks
		client []Step
		reason CloseReason
	}{
		{"the script", scripted, steps(query("script"), ExpectPacket(1, answered), Fin()), ReasonClientClosed},
		{"the console behind it", scripted, steps(query("ask"), ExpectPacket(1, answered), query("script"), ExpectPacket(1, answered), Fin()), ReasonClientClosed},
		{"neither", scripted, steps(query("what"), ExpectERR(1, 1105, "07000", need), ExpectEnd()), ReasonScript},
		{"the console is not asked what the script fails at", scripted, steps(query("fails"), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd()), ReasonScript},
		{"nor for a file", scripted, steps(query("load data"), ExpectERR(1, 1105, "07000", need+" ... got something else"), ExpectEnd()), ReasonScript},
		{"the console without a script", nil, steps(query("ask"), ExpectPacket(1, answered), query("what"), ExpectPacket(1, unknown), SendPacket(0, []byte{3}), ExpectPacket(1, unknown),
			SendPacket(0, nil), ExpectPacket(1, unknown), query("ask"), ExpectPacket(1, answered), Fin()), ReasonClientClosed},
		{"several packets", nil, steps(query("rows"), ExpectPacket(1, []byte{1}), ExpectPacket(2, []byte{2}), ExpectPacket(3, []byte{3}), Fin()), ReasonClientClosed},
		{"commands that come at once, in their order", nil, steps(Send(append(packet.AppendPacket(nil, 0, Query("ask")), packet.AppendPacket(nil, 0, Query("rows"))...)),
			ExpectPacket(1, answered), ExpectPacket(1, []byte{1}), ExpectPacket(2, []byte{2}), ExpectPacket(3, []byte{3}), Fin()), ReasonClientClosed},
		{"a command without an answer", nil, steps(SendPacket(0, []byte{byte(packet.ComStmtClose), 1, 0, 0, 0}), query("ask"), ExpectPacket(1, answered), Fin()), ReasonClientClosed},
		{"what it is told of the client", nil, steps(query("who"), ExpectERR(1, 1, "HY000", "root true false  true"), SendPacket(0, []byte("\x02shop")), ExpectPacket(1, answered),
			query("who"), ExpectERR(1, 1, "HY000", "root true false shop true"), Fin()), ReasonClientClosed},
		{"COM_QUIT", nil, steps(SendPacket(0, []byte{1}), ExpectEnd()), ReasonClientQuit},
		{"a fault of its own", nil, steps(query("fault"), ExpectERR(1, 1105, "HY000", "(proxy) internal error, see the proxy's log"), query("ask"), ExpectPacket(1, answered), Fin()), ReasonClientClosed},
		{"a statement that is too long", nil, steps(query(strings.Repeat("x", maxStatement)), ExpectERR(1, 1153, "08S01", "(proxy) a statement for the console may be 1 MiB long"),
			query("ask"), ExpectPacket(1, answered), Fin()), ReasonClientClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.panics = tc.name == "a fault of its own"
			w.withConsole(tc.hooks, console)
			c := w.dialConsole()
			err := c.Run(inARow(entered(), tc.client)...)
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
			w.wantEnd(1, tc.reason)
		})
	}
}

func TestWhatTheLogTellsOfAStatement(t *testing.T) {
	for payload, want := range map[string]string{
		"": "", "\x03": "", "\x03SHOW BACKENDS": "SHOW BACKENDS", "\x03SET health-password = hunter2": "SET health-password = ...", "\x03SET health-password:='hunter2'": "SET health-password:= ...",
		"\x03\xff": "?", "\x03" + strings.Repeat("x", 300): strings.Repeat("x", 199),
	} {
		if got := statementText([]byte(payload)); got != want {
			t.Errorf("%q: %q, want %q", payload, got, want)
		}
	}
}

// A console that takes its time holds up nobody, and is told when nobody waits.
func TestConsoleTakesItsTime(t *testing.T) {
	own := OK(packet.StatusInTrans)
	asked, left, answers := make(chan bool, 1), make(chan error, 1), make(chan bool)
	slow := func(ctx context.Context, c AdminCommand) AdminAnswer {
		if string(c.Payload) == "\x03slow" {
			asked <- true
			select {
			case <-ctx.Done():
				left <- ctx.Err()
			case <-answers:
			}
		}
		return AdminAnswer{Payloads: [][]byte{own}}
	}
	asks := Do("the console is asked", func(*Conn) error { <-asked; return nil })
	send := SendPacket(0, Query("slow"))
	t.Run("others", func(t *testing.T) {
		w := newWorld(t)
		w.withConsole(nil, slow)
		first, second := w.dialConsole(), w.dialConsole()
		if err := first.Run(inARow(entered(), steps(send, asks))...); err != nil {
			t.Fatal(err)
		}
		if err := second.Run(inARow(entered(), steps(SendPacket(0, Query("quick")), ExpectPacket(1, own), Fin()))...); err != nil {
			t.Fatal(err)
		}
		answers <- true
		if err := first.Run(ExpectPacket(1, own), Fin()); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(2, ReasonClientClosed)
	})
	t.Run("a client that leaves", func(t *testing.T) {
		w := newWorld(t)
		w.withConsole(nil, slow)
		c := w.dialConsole()
		if err := c.Run(inARow(entered(), steps(send, asks))...); err != nil {
			t.Fatal(err)
		}
		if err := c.Run(Reset()); err != nil {
			t.Fatal(err)
		}
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the console's context ended with %v", err)
		}
		w.wantEnd(1, ReasonClientLost)
	})
	t.Run("an orderly stop waits for it", func(t *testing.T) {
		w := newWorld(t)
		w.withConsole(nil, slow)
		c := w.dialConsole()
		if err := c.Run(inARow(entered(), steps(send, asks, w.shutdown()))...); err != nil {
			t.Fatal(err)
		}
		answers <- true
		if err := c.Run(ExpectPacket(1, own), ExpectEnd()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		w.wantEnd(1, ReasonShutdown)
		w.waitFor(w.proxy)
	})
	t.Run("a stop at once does not", func(t *testing.T) {
		w := newWorld(t)
		w.withConsole(nil, slow)
		c := w.dialConsole()
		if err := c.Run(inARow(entered(), steps(send, asks, w.shutdown(), w.shutdown(), ExpectERR(1, 1053, "08S01", "Server shutdown in progress"), ExpectEnd()))...); err != nil {
			t.Fatal(err)
		}
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the console's context ended with %v", err)
		}
		c.Close()
		w.wantEnd(1, ReasonShutdownForced)
		w.waitFor(w.proxy)
	})
}

// Logins by what clients know: the response may be of either plugin, whatever
// name they give it, and a client with neither is asked.
func TestConsoleLogins(t *testing.T) {
	const modern = consoleCaps | packet.CapPluginAuth | packet.CapPluginAuthLenenc | packet.CapConnectWithDB | packet.CapConnectAttrs
	native := func(password string, challenge []byte) []byte {
		r := packet.NativePassword([]byte(password), challenge)
		return r[:]
	}
	sha2 := func(password string, challenge []byte) []byte {
		r := packet.CachingSHA2Response([]byte(password), challenge)
		return r[:]
	}
	nothing := func(string, []byte) []byte { return nil }
	plain := func(password string, _ []byte) []byte { return append([]byte(password), 0) }
	type responds = func(password string, challenge []byte) []byte
	for _, tc := range []struct {
		name       string
		caps       packet.Capability
		plugin     string
		first      responds
		switchedTo string // by the proxy; "": it asks nothing more
		second     responds
		password   string
		fast       bool // it hears that its response was right before the OK
	}{
		{"caching_sha2_password", modern, packet.PluginCachingSHA2, sha2, "", nil, "secret", true},
		{"caching_sha2_password, wrong", modern, packet.PluginCachingSHA2, sha2, "", nil, "wrong", true},
		{"mysql_native_password", modern, packet.PluginNative, native, "", nil, "secret", false},
		{"mysql_native_password, wrong", modern, packet.PluginNative, native, "", nil, "wrong", false},
		{"mysql_native_password by the greeting's name", modern, packet.PluginCachingSHA2, native, "", nil, "secret", false},
		{"no plugin", consoleCaps, "", native, "", nil, "secret", false},
		{"a plugin that cannot be", modern, packet.PluginClear, plain, packet.PluginCachingSHA2, sha2, "secret", true},
		{"a plugin that cannot be, wrong", modern, packet.PluginClear, plain, packet.PluginCachingSHA2, sha2, "wrong", true},
		{"nothing yet", modern, packet.PluginNative, nothing, packet.PluginNative, native, "secret", false},
		{"nothing yet, wrong", modern, packet.PluginNative, nothing, packet.PluginNative, native, "wrong", false},
		{"nothing at all", modern, packet.PluginCachingSHA2, nothing, packet.PluginCachingSHA2, nothing, "secret", true},
		{"the password as it is", modern, packet.PluginCachingSHA2, nothing, packet.PluginCachingSHA2, plain, "secret", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.withConsole(nil, func(_ context.Context, c AdminCommand) AdminAnswer {
				return AdminAnswer{Payloads: [][]byte{packet.AppendERR(nil, 1, "HY000", c.User+" "+c.Database)}}
			})
			c := w.dialConsole()
			defer c.Close()
			read := func() packet.Packet {
				t.Helper()
				p, err := c.ReadPacket()
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			g, err := packet.ParseGreeting(read().Payload())
			if err != nil {
				t.Fatal(err)
			}
			l := packet.Login{Capabilities: tc.caps, User: []byte("root"), Plugin: []byte(tc.plugin), Database: []byte("shop"), AuthResponse: tc.first(tc.password, g.Challenge[:]),
				Attributes: packet.AppendAttribute(nil, "program_name", "test")}
			if err := c.Run(SendPacket(1, l.Append(nil, g.Capabilities))); err != nil {
				t.Fatal(err)
			}
			seq := byte(2)
			if tc.switchedTo != "" {
				p := read()
				sw, err := packet.ParseAuthSwitch(p.Payload())
				if err != nil || p.Seq() != 2 || string(sw.Plugin) != tc.switchedTo || len(sw.Data) != packet.ChallengeLen || string(sw.Data) == string(g.Challenge[:]) {
					t.Fatalf("a switch %q, %v", p, err)
				}
				if err := c.Run(SendPacket(3, tc.second(tc.password, sw.Data))); err != nil {
					t.Fatal(err)
				}
				seq = 4
			}
			last := tc.first
			if tc.second != nil {
				last = tc.second
			}
			right := tc.password == "secret" && len(last("x", make([]byte, packet.ChallengeLen))) >= packet.ChallengeLen
			if !right {
				if err := c.Run(ExpectERR(seq, 1045, "28000", "password doesn't match"), ExpectEnd()); err != nil {
					t.Fatal(err)
				}
				c.Close()
				w.wantEnd(1, ReasonLoginRefused)
				return
			}
			if tc.fast {
				if p := read(); p.Seq() != seq || string(p.Payload()) != "\x01\x03" {
					t.Fatalf("%q, want that the response is right", p)
				}
				seq++
			}
			database := "shop"
			if tc.caps == consoleCaps {
				database = ""
			}
			if err := c.Run(ExpectPacket(seq, OK(0)), SendPacket(0, Query("who")), ExpectERR(1, 1, "HY000", "root "+database), Fin()); err != nil {
				t.Fatal(err)
			}
			w.wantEnd(1, ReasonClientClosed)
		})
	}
}
