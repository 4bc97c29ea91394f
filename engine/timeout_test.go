package engine

import (
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// short is a time-out that tests wait for.
const short = time.Second

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
		{"client that does not log in", loginTimeout, steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), ExpectEnd()), ReasonLoginTimeout},
		{"client that stops in its login packet", loginTimeout, steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), Send([]byte{80, 0, 0}), ExpectEnd()), ReasonLoginTimeout},
		{"login dialogue that does not go on", loginTimeout, steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{1, 4}), ExpectEnd()),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectPacket(2, []byte{1, 4}), ExpectEnd()), ReasonLoginTimeout},
		{"login that gets no answer", loginTimeout, steps(Greet(g), ExpectPacket(1, login), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectEnd()), ReasonLoginTimeout},
		{"no greeting", loginTimeout, steps(ExpectEnd()), steps(ExpectERR(0, 1105, "", "(proxy) the backend accepted the connection and sent no greeting"), ExpectEnd()), ReasonServerSilent},
		{"half a greeting", loginTimeout, steps(Send([]byte{80, 0, 0, 0, 10}), ExpectEnd()), steps(ExpectERR(0, 1105, "", "(proxy) the backend accepted the connection and sent no greeting"), ExpectEnd()), ReasonServerSilent},
		{"idle client", readTimeout, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), ExpectEnd()), ReasonClientIdle},
		{"client that stops in a command", readTimeout, steps(Admit(Caps), Expect([]byte{9, 0, 0, 0, 3}), ExpectEnd()), steps(Enter(Caps), Send([]byte{9, 0, 0, 0, 3}), ExpectEnd()), ReasonClientIdle},
		{"client that does not send its file", readTimeout, steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, []byte("\xfbf")), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, []byte("\xfbf")), ExpectEnd()), ReasonClientIdle},
		{"response that does not come", readTimeout, steps(Admit(Caps), ExpectPacket(0, query), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 2013, "HY000", noResponse), ExpectEnd()), ReasonServerTimeout},
		{"response that does not go on", readTimeout, steps(Admit(Caps), ExpectPacket(0, query), Send(rows), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, query), Expect(rows), ExpectERR(next, 2013, "HY000", noResponse), ExpectEnd()), ReasonServerTimeout},
		{"row that does not go on", readTimeout, steps(Admit(Caps), ExpectPacket(0, query), Send(append(rows[:len(rows):len(rows)], 9, 0, 0, next, 1)), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, query), Expect(append(rows[:len(rows):len(rows)], 9, 0, 0, next, 1)), ExpectEnd()), ReasonServerTimeout},
		{"client that takes nothing", writeTimeout, steps(Admit(Caps), ExpectPacket(0, query), flood()), steps(Enter(Caps), SendPacket(0, query), Await(over)), ReasonClientTooSlow},
		{"server that takes nothing", writeTimeout, steps(Admit(Caps), Await(over)), steps(Enter(Caps), push(ExpectERR(1, 2013, "HY000", "(proxy) the backend took nothing within --proxy-write-timeout"))), ReasonServerTooSlow},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := sharedWorld(t)
			cfg := w.config(w.server(tc.server))
			tc.change(&cfg)
			w.start(cfg)
			if tc.reason == ReasonClientTooSlow || tc.reason == ReasonServerTooSlow {
				over := NewGate()
				for _, s := range [][]Step{tc.server, tc.client} {
					if n := len(s) - 1; s[n].Name == "await a gate" {
						s[n] = Await(over)
					}
				}
				defer close(over)
			}
			w.client("client", tc.client...)
			w.wantEnd(1, tc.reason)
			down := w.proxy.Backends()[0].State() == BackendDown
			if down != (tc.reason == ReasonServerSilent) {
				t.Errorf("the backend is down: %v", down)
			}
		})
	}
	// Silence that is nobody's fault.
	pause := Do("wait for longer than the time-out", func(*Conn) error { time.Sleep(2*time.Second + short); return nil })
	dump := []byte{byte(packet.ComBinlogDump)}
	result, _ := Result(nil, 1, Caps, 0, string(make([]byte, 12<<20)))
	for _, tc := range []struct {
		name   string
		server []Step
		client []Step
	}{
		{"replication stream", steps(Admit(Caps), ExpectPacket(0, dump), pause, SendPacket(1, []byte{0, 1}), ExpectEnd()), steps(Enter(Caps), SendPacket(0, dump), ExpectPacket(1, []byte{0, 1}), Fin())},
		{"client that takes a large result late", steps(Admit(Caps), ExpectPacket(0, query), Send(result), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), pause, Expect(result), Fin())},
	} {
		t.Run("not: "+tc.name, func(t *testing.T) {
			t.Parallel()
			w := sharedWorld(t)
			converse(w, tc.server, tc.client, readTimeout)
		})
	}
}
