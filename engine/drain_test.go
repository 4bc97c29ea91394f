package engine

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// shutdown is a step that stops the proxy, and waits until its loops know.
func (w *world) shutdown() Step {
	return Do("shut the proxy down", func(*Conn) error {
		e := w.engine()
		e.Shutdown()
		for _, l := range e.loops {
			done := make(chan struct{})
			l.Post(func() { close(done) })
			<-done
		}
		return nil
	})
}

func impatient(c *Config) { c.ShutdownTimeout = short }

const stopping = "Server shutdown in progress"

// At Shutdown what is idle ends at once, and what runs goes on to its end.
func TestShutdown(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	login := l.Append(nil, Caps)
	begun, inside, done := OK(packet.StatusInTrans), OK(packet.StatusInTrans), OK(0)
	query, long := Query("SELECT"), packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComStmtSendLongData)}, make([]byte, 100)...))
	rows, _ := Result(nil, 1, Caps, 0, "a", "b")
	reader, _ := Result(nil, 1, Caps, packet.StatusInTransReadonly, "a")
	file, answer := fileOf(5)
	for _, tc := range []struct {
		name   string
		talk   func(down Step) (server, client []Step)
		reason CloseReason
	}{
		{"idle", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), down, ExpectEnd())
		}, ReasonShutdown},
		{"not greeted", func(down Step) (_, _ []Step) {
			return steps(Do("accept", func(*Conn) error { return nil }), down, ExpectEnd()), steps(ExpectERR(0, 1053, "", stopping), ExpectEnd())
		}, ReasonShutdown},
		{"greeted", func(down Step) (_, _ []Step) {
			return steps(Greet(g), ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), down, ExpectEnd())
		}, ReasonShutdown},
		{"logging in", func(down Step) (_, _ []Step) {
			return steps(Greet(g), ExpectPacket(1, login), down, ExpectEnd()), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectERR(2, 1053, "08S01", stopping), ExpectEnd())
		}, ReasonShutdown},
		{"a command that runs", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, query), down, SendSlowly(rows, 10), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), Expect(rows), ExpectEnd())
		}, ReasonShutdown},
		{"two commands that run", func(down Step) (_, _ []Step) {
			both := packet.AppendPacket(packet.AppendPacket(nil, 0, query), 0, ping)
			return steps(Admit(Caps), Expect(both), down, Send(rows), SendPacket(1, done), ExpectEnd()), steps(Enter(Caps), Send(both), Expect(rows), ExpectPacket(1, done), ExpectEnd())
		}, ReasonShutdown},
		{"a command of which a part has come", func(down Step) (_, _ []Step) {
			c := packet.AppendPacket(nil, 0, query)
			return steps(Admit(Caps), Expect(c[:6]), down, Expect(c[6:]), SendPacket(1, done), ExpectEnd()), steps(Enter(Caps), Send(c[:6]), All("send the rest", Send(c[6:])), ExpectPacket(1, done), ExpectEnd())
		}, ReasonShutdown},
		{"an open transaction", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, Query("BEGIN")), SendPacket(1, begun), ExpectPacket(0, query), SendPacket(1, inside), ExpectPacket(0, Query("COMMIT")), SendPacket(1, done), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, Query("BEGIN")), ExpectPacket(1, begun), down, SendPacket(0, query), ExpectPacket(1, inside), SendPacket(0, Query("COMMIT")), ExpectPacket(1, done), ExpectEnd())
		}, ReasonShutdown},
		{"an open read-only transaction", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, query), Send(reader), ExpectPacket(0, Query("ROLLBACK")), SendPacket(1, done), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, query), Expect(reader), down, SendPacket(0, Query("ROLLBACK")), ExpectPacket(1, done), ExpectEnd())
		}, ReasonShutdown},
		{"a transaction whose client leaves", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, Query("BEGIN")), SendPacket(1, begun), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, Query("BEGIN")), ExpectPacket(1, begun), down, Fin())
		}, ReasonClientClosed},
		{"a file that is sent", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, []byte("\xfbf")), Expect(file), SendPacket(answer, done), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, []byte("\xfbf")), down, Send(file), ExpectPacket(answer, done), ExpectEnd())
		}, ReasonShutdown},
		{"a command without a response, of which a part has come", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), Expect(long), ExpectEnd()), steps(Enter(Caps), Send(long[:50]), down, Send(long[50:]), ExpectEnd())
		}, ReasonShutdown},
		{"what is not over in time: a command", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, query), down, ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 1053, "08S01", stopping), ExpectEnd())
		}, ReasonShutdownForced},
		{"what is not over in time: rows", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:len(rows)-9]), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), Expect(rows[:len(rows)-9]), down, ExpectERR(6, 1053, "08S01", stopping), ExpectEnd())
		}, ReasonShutdownForced},
		{"what is not over in time: a row", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:len(rows)-10]), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), Expect(rows[:len(rows)-10]), down, ExpectEnd())
		}, ReasonShutdownForced},
		{"what is not over in time: a transaction", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, Query("BEGIN")), SendPacket(1, begun), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, Query("BEGIN")), ExpectPacket(1, begun), down, ExpectERR(0, 1053, "08S01", stopping), ExpectEnd())
		}, ReasonShutdownForced},
		{"what is not over in time: a stream", func(down Step) (_, _ []Step) {
			return steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComBinlogDump)}), SendPacket(1, []byte{0, 1}), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, []byte{byte(packet.ComBinlogDump)}), ExpectPacket(1, []byte{0, 1}), down, ExpectEnd())
		}, ReasonShutdownForced},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			isDown := NewGate()
			down := All("shut down", w.shutdown(), Open(isDown))
			if tc.reason == ReasonShutdownForced {
				down = All("shut down", w.shutdown(), passes(w, 3*short))
			}
			server, client := tc.talk(down)
			for i, s := range client {
				if s.Name == "send the rest" {
					client[i] = All("send the rest", Await(isDown), s)
				}
			}
			converse(w, server, client, func(c *Config) {
				if tc.reason == ReasonShutdownForced {
					impatient(c)
				}
			})
			w.wantEnd(1, tc.reason)
			w.waitFor(w.proxy)
		})
	}
}

// A second Shutdown does not wait for anybody.
func TestSecondShutdown(t *testing.T) {
	w := newWorld(t)
	query := Query("SELECT")
	again := Do("again", func(*Conn) error { w.engine().Shutdown(); return nil })
	converse(w,
		steps(Admit(Caps), ExpectPacket(0, query), w.shutdown(), again, ExpectEnd()),
		steps(Enter(Caps), SendPacket(0, query), ExpectERR(1, 1053, "08S01", stopping), ExpectEnd()))
	w.wantEnd(1, ReasonShutdownForced)
	w.waitFor(w.proxy)
}

// ... also not for a server that takes nothing of what a client has left behind.
func TestSecondShutdownWithBytesLeft(t *testing.T) {
	w := newWorld(t)
	// More than a unix socket takes, and less than the proxy takes beyond that.
	all := bytes.Repeat(packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComStmtSendLongData)}, make([]byte, 19995)...)), 20)
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "server.sock"))
	if err != nil {
		t.Fatal(err)
	}
	over := NewGate()
	w.servers = append(w.servers, NewServer(ln, Scripts(steps(Admit(Caps), Await(over)))))
	w.start(w.config(ln.Addr()))
	w.client("client", Enter(Caps), Send(all), Fin())
	w.peers.Wait()
	e := w.proxy
	eventually(t, "a client that has left", func() error {
		gone := make(chan bool, 1)
		l := e.loops[0]
		l.Post(func() { gone <- l.clients != nil && l.clients.state == clientClosed })
		if !<-gone {
			return errors.New("it is still there")
		}
		return nil
	})
	e.Shutdown()
	e.Shutdown()
	w.waitFor(e) // for all the time that passes on its loops, which is none
	close(over)
}

func TestListenersAreGoneAfterShutdown(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "proxy.sock")
	cfg := w.config(w.serverOf(anyone).Addr())
	cfg.Listen = []reactor.Addr{{Path: path}, addrFor(w.refused())}
	cfg.Loops = 2
	w.start(cfg)
	tcp := w.proxy.Addrs()[1].String()
	c, err := Dial(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(w.proxy.Addrs()[1].IP.Port())}, "client")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Run(Enter(Caps), w.shutdown(), ExpectEnd(), Fin()); err != nil {
		t.Fatal(err)
	}
	w.waitFor(w.proxy)
	if _, err := net.Dial("tcp", tcp); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("TCP: %v, want connection refused", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unix: %v, want the path removed", err)
	}
}
