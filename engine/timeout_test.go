package engine

import (
	"errors"
	"slices"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// short is a time-out that tests wait for.
const short = time.Second

// late is where more time passes than that, in scripts that are there before the
// world is (withTime).
var late = Step{Name: "be late"}

// withTime is a script with the time that passes in it.
func withTime(w *world, script []Step) []Step {
	script = slices.Clone(script)
	for i := range script {
		if script[i].Name == late.Name {
			script[i] = passes(w, 3*short)
		}
	}
	return script
}

// tires has time pass for as long as bytes wait for one of the two sides, until the
// session has ended.
func tires(w *world) Step {
	return Do("take nothing until the session has ended", func(*Conn) error {
		eventually(w, "the end of the session", func() error {
			if len(w.log.all("session ended")) > 0 {
				return nil
			}
			w.engine()
			if w.stuck() {
				w.pass(3 * short)
			}
			return errors.New("it goes on")
		})
		return nil
	})
}

// stuck tells whether bytes wait for a side of the only session.
func (w *world) stuck() (yes bool) {
	w.onLoop(func() {
		c := w.proxy.loops[0].clients
		yes = c != nil && c.server != nil && c.conn.Waiting()+c.server.conn.Waiting() > 0
	})
	return yes
}

func readTimeout(c *Config)  { c.ReadTimeout = short }
func writeTimeout(c *Config) { c.WriteTimeout = short }
func loginTimeout(c *Config) { c.LoginTimeout = short }

// flood sends rows without end, until the connection breaks.
func flood() Step {
	return Do("send rows without end", func(c *Conn) error {
		if err := c.Run(SendPacket(1, []byte{1}), SendPacket(2, (&packet.Column{Catalog: []byte("def")}).Append(nil, 0)), SendPacket(3, EOF(0))); err != nil {
			return err
		}
		row := packet.AppendPacket(nil, 4, append([]byte{0xfd, 0, 0xff, 0}, make([]byte, 0xff00)...))
		for {
			if _, err := c.Write(row); err != nil {
				return nil
			}
		}
	})
}

// push sends a command that is larger than all buffers together, whether it is
// taken or not, while other steps are taken.
func push(others ...Step) Step {
	return Do("send a large command", func(c *Conn) error {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = c.Write(packet.AppendPacket(nil, 0, make([]byte, 16<<20-1)[:packet.MaxPayload-1]))
		}()
		err := c.Run(others...)
		c.Close()
		<-sent
		return err
	})
}

func TestTimeouts(t *testing.T) {
	noLeaks(t)
	g, l := Greeting(Caps), Login(Caps)
	login := l.Append(nil, Caps)
	rows, next := Result(nil, 1, Caps, 0, "a")
	rows = rows[:len(rows)-9] // without the end
	next--
	query := Query("SELECT")
	over := NewGate()
	const noResponse = "(proxy) the backend sent nothing within --proxy-read-timeout"
	for _, tc := range []struct {
		name   string
		change func(*Config)
		server []Step
		client []Step
		reason CloseReason
	}{
		{"client that does not log in", loginTimeout, steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), late, ExpectEnd()), ReasonLoginTimeout},
		{"client that stops in its login packet", loginTimeout, steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), Send([]byte{80, 0, 0}), late, ExpectEnd()), ReasonLoginTimeout},
		{"login dialogue that does not go on", loginTimeout, steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{1, 4}), ExpectEnd()),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectPacket(2, []byte{1, 4}), late, ExpectEnd()), ReasonLoginTimeout},
		{"login that gets no answer", loginTimeout, steps(Greet(g), ExpectPacket(1, login), late, ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectEnd()), ReasonLoginTimeout},
		{"no greeting", loginTimeout, steps(late, ExpectEnd()), steps(ExpectERR(0, 1105, "", "(proxy) the backend accepted the connection and sent no greeting"), ExpectEnd()), ReasonServerSilent},
		{"half a greeting", loginTimeout, steps(Send([]byte{80, 0, 0, 0, 10}), late, ExpectEnd()), steps(ExpectERR(0, 1105, "", "(proxy) the backend accepted the connection and sent no greeting"), ExpectEnd()), ReasonServerSilent},
		{"idle client", readTimeout, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), late, ExpectEnd()), ReasonClientIdle},
		{"client that stops in a command", readTimeout, steps(Admit(Caps), Expect([]byte{9, 0, 0, 0, 3}), late, ExpectEnd()), steps(Enter(Caps), Send([]byte{9, 0, 0, 0, 3}), ExpectEnd()), ReasonClientIdle},
		{"client that does not send its file", readTimeout, steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, []byte("\xfbf")), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, []byte("\xfbf")), late, ExpectEnd()), ReasonClientIdle},
		{"response that does not come", readTimeout, steps(Admit(Caps), ExpectPacket(0, query), late, ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 2013, "HY000", noResponse), ExpectEnd()), ReasonServerTimeout},
		{"response that does not go on", readTimeout, steps(Admit(Caps), ExpectPacket(0, query), Send(rows), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, query), Expect(rows), late, ExpectERR(next, 2013, "HY000", noResponse), ExpectEnd()), ReasonServerTimeout},
		{"row that does not go on", readTimeout, steps(Admit(Caps), ExpectPacket(0, query), Send(append(rows[:len(rows):len(rows)], 9, 0, 0, next, 1)), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, query), Expect(append(rows[:len(rows):len(rows)], 9, 0, 0, next, 1)), late, ExpectEnd()), ReasonServerTimeout},
		{"client that takes nothing", writeTimeout, steps(Admit(Caps), ExpectPacket(0, query), flood()), steps(Enter(Caps), SendPacket(0, query), Await(over)), ReasonClientTooSlow},
		{"server that takes nothing", writeTimeout, steps(Admit(Caps), Await(over)), steps(Enter(Caps), push(ExpectERR(1, 2013, "HY000", "(proxy) the backend took nothing within --proxy-write-timeout"))), ReasonServerTooSlow},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := sharedWorld(t)
			server, client := withTime(w, tc.server), withTime(w, tc.client)
			for _, s := range [][]Step{server, client} {
				if n := len(s) - 1; s[n].Name == "await a gate" {
					s[n] = tires(w)
				}
			}
			cfg := w.config(w.server(server))
			tc.change(&cfg)
			w.start(cfg)
			w.client("client", client...)
			w.wantEnd(1, tc.reason)
			down := w.proxy.Backends()[0].State() == BackendDown
			if down != (tc.reason == ReasonServerSilent) {
				t.Errorf("the backend is down: %v", down)
			}
		})
	}
	// Silence that is nobody's fault.
	full := Step{Name: "wait until the proxy has more than this side takes"}
	dump := []byte{byte(packet.ComBinlogDump)}
	result, _ := Result(nil, 1, Caps, 0, string(make([]byte, 12<<20)))
	for _, tc := range []struct {
		name   string
		server []Step
		client []Step
	}{
		{"replication stream", steps(Admit(Caps), ExpectPacket(0, dump), late, late, late, SendPacket(1, []byte{0, 1}), ExpectEnd()), steps(Enter(Caps), SendPacket(0, dump), ExpectPacket(1, []byte{0, 1}), Fin())},
		{"client that takes a large result late", steps(Admit(Caps), ExpectPacket(0, query), Send(result), ExpectEnd()), steps(Buffers(64<<10), Enter(Caps), SendPacket(0, query), full, late, late, late, Expect(result), Fin())},
	} {
		t.Run("not: "+tc.name, func(t *testing.T) {
			t.Parallel()
			w := sharedWorld(t)
			server, client := withTime(w, tc.server), withTime(w, tc.client)
			for i := range client {
				if client[i].Name == full.Name {
					client[i] = Do(full.Name, func(*Conn) error {
						eventually(w, full.Name, func() error {
							if !w.stuck() {
								return errors.New("it has not")
							}
							return nil
						})
						return nil
					})
				}
			}
			converse(w, server, client, readTimeout)
		})
	}
}
