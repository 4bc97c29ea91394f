package engine

import (
	"log/slog"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// ends are the sockets of a session that is logged in, for one goroutine that
// plays both the client and the server, by system calls.
type ends struct{ client, server int }

// openEnds has a client and a server log in through a proxy.
func openEnds(w *world, ln net.Listener, change ...func(*Config)) ends {
	w.Helper()
	conns, over := make(chan *Conn, 1), NewGate()
	s := NewServer(ln, func(_ int, c *Conn) error {
		err := c.Run(Admit(Caps))
		conns <- c
		<-over
		return err
	})
	w.servers = append(w.servers, s)
	w.Cleanup(func() { close(over) })
	cfg := w.config(s.Addr())
	for _, c := range change {
		c(&cfg)
	}
	w.start(cfg)
	client := w.clientNow("client", Enter(Caps))
	return ends{w.rawEnd(client), w.rawEnd(<-conns)}
}

// rawEnd is a blocking descriptor of c's socket, which c is not used beside.
func (w *world) rawEnd(c *Conn) int {
	w.Helper()
	f, err := c.Conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { f.Close() })
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		w.Fatal(err)
	}
	return fd
}

func (w *world) put(fd int, b []byte) {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			w.Fatal(err)
		}
		b = b[max(n, 0):]
	}
}

func (w *world) get(fd int, b []byte) {
	for len(b) > 0 {
		n, err := unix.Read(fd, b)
		if err != nil && err != unix.EINTR || err == nil && n == 0 {
			w.Fatal("the connection has ended: ", err)
		}
		b = b[max(n, 0):]
	}
}

// A command and its response cost no allocation, with the loops running.
func TestForwardingDoesNotAllocate(t *testing.T) {
	rows := func(n int) []byte {
		var values []string
		for range n {
			values = append(values, "the value of one row")
		}
		b, _ := Result(nil, 1, Caps, 0, values...)
		return b
	}
	query := Query("SELECT c FROM sbtest1 WHERE id=4711 /* about sixty bytes */")
	execute := append([]byte{byte(packet.ComStmtExecute), 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, "\x03\x00\x2a\x00\x00\x00"...)
	for _, tc := range []struct {
		name     string
		command  []byte
		response []byte
	}{
		{"COM_QUERY, one row", packet.AppendPacket(nil, 0, query), rows(1)},
		{"COM_STMT_EXECUTE, one row", packet.AppendPacket(nil, 0, execute), rows(1)},
		{"COM_QUERY, 100 rows", packet.AppendPacket(nil, 0, query), rows(100)},
		{"COM_PING", packet.AppendPacket(nil, 0, ping), packet.AppendPacket(nil, 1, OK(0))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, mode := range []DigestMode{DigestsOff, DigestsOn} {
				w := newWorld(t)
				e := openEnds(w, w.listen(), withDigests(mode))
				buf := make([]byte, 64<<10)
				n := testing.AllocsPerRun(500, func() {
					w.put(e.client, tc.command)
					w.get(e.server, buf[:len(tc.command)])
					w.put(e.server, tc.response)
					w.get(e.client, buf[:len(tc.response)])
				})
				if n != 0 {
					t.Errorf("%v allocations a command, want 0; digests: %d", n, mode)
				}
				if string(buf[:len(tc.response)]) != string(tc.response) {
					t.Error("the response is not what the server sent")
				}
			}
		})
	}
}

// A read costs no allocation at the replica either, nor does a write at home.
func TestSplittingDoesNotAllocate(t *testing.T) {
	for name, mode := range map[string]DigestMode{"without digests": DigestsOff, "with digests": DigestsOn} {
		t.Run(name, func(t *testing.T) { splittingDoesNotAllocate(t, mode) })
	}
}

func splittingDoesNotAllocate(t *testing.T, mode DigestMode) {
	w := newWorld(t)
	conns, over := make(chan *Conn, 2), NewGate()
	serve := func(steps ...Step) *Server {
		s := NewServer(w.listen(), func(_ int, c *Conn) error {
			err := c.Run(steps...)
			conns <- c
			<-over
			return err
		})
		w.servers = append(w.servers, s)
		return s
	}
	w.Cleanup(func() { close(over) })
	cfg := w.config(serve(atHomeBegins()...).Addr(), serve(lets()).Addr())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	cfg.Log = slog.New(slog.DiscardHandler) // with debug the log tells of each
	withDigests(mode)(&cfg)
	w.start(cfg)
	client := w.clientNow("client", Enter(ModernCaps))
	home := w.rawEnd(<-conns)
	rows, _ := Result(nil, 1, ModernCaps, 0, "the value of one row")
	read := packet.AppendPacket(nil, 0, Query("SELECT c FROM sbtest1 WHERE id=4711 /* about sixty bytes */"))
	write := packet.AppendPacket(nil, 0, Query("UPDATE sbtest1 SET k=k+1 WHERE id=4711"))
	if err := client.Run(Send(read)); err != nil {
		t.Fatal(err)
	}
	fd, replica := w.rawEnd(client), w.rawEnd(<-conns)
	buf := make([]byte, 64<<10)
	w.get(replica, buf[:len(read)])
	w.put(replica, rows)
	w.get(fd, buf[:len(rows)])
	converse := func(server int, command, seen, response []byte) {
		w.put(fd, command)
		w.get(server, buf[:len(seen)])
		if string(buf[:len(seen)]) != string(seen) {
			t.Fatalf("the server got % x, want % x", buf[:len(seen)], seen)
		}
		w.put(server, response)
	}
	answered := func(response []byte) {
		w.get(fd, buf[:len(response)])
		if string(buf[:len(response)]) != string(response) {
			t.Fatalf("the client got % x, want % x", buf[:len(response)], response)
		}
	}
	// Three statements: two that are read at the replica by turns, one that writes.
	at := func(payload []byte) []byte { return packet.AppendPacket(nil, 0, payload) }
	for id, sql := range []string{"SELECT c FROM sbtest1 WHERE id=?", "SELECT k FROM sbtest1 WHERE id=?", "UPDATE sbtest1 SET k=k+1 WHERE id=?"} {
		ok := preparedAs(uint32(id), id&1, 1)
		converse(home, at(preparing(sql)), at(preparing(sql)), ok)
		answered(ok)
		if id == 2 {
			converse(home, at(runs(2, oneType, 1)), at(runs(2, oneType, 1)), packet.AppendPacket(nil, 1, OK(0)))
			answered(packet.AppendPacket(nil, 1, OK(0)))
			break
		}
		converse(replica, at(runs(uint32(id), oneType, 1)), at(preparing(sql)), preparedAs(uint32(10+id), id&1, 1))
		converse(replica, nil, at(runs(uint32(10+id), oneType, 1)), rows)
		answered(rows)
	}
	for _, tc := range []struct {
		name                    string
		server                  int
		command, seen, response []byte
	}{
		{"a read", replica, read, read, rows},
		{"a write", home, write, write, packet.AppendPacket(nil, 1, OK(0))},
		{"a prepared read", replica, at(runs(0, noType, 2)), at(runs(10, noType, 2)), rows},
		{"a prepared read with types", replica, at(runs(0, oneType, 2)), at(runs(10, oneType, 2)), rows},
		{"a prepared write", home, at(runs(2, oneType, 2)), at(runs(2, oneType, 2)), packet.AppendPacket(nil, 1, OK(0))},
	} {
		n := testing.AllocsPerRun(500, func() {
			w.put(fd, tc.command)
			w.get(tc.server, buf[:len(tc.seen)])
			w.put(tc.server, tc.response)
			w.get(fd, buf[:len(tc.response)])
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", tc.name, n)
		}
	}
	first, second := [2][]byte{at(runs(0, noType, 3)), at(runs(10, noType, 3))}, [2][]byte{at(runs(1, noType, 3)), at(runs(11, noType, 3))}
	n := testing.AllocsPerRun(500, func() {
		for _, by := range [...][2][]byte{first, second} {
			converse(replica, by[0], by[1], rows)
			answered(rows)
		}
	})
	if n != 0 {
		t.Errorf("two prepared reads by turns: %v allocations, want 0", n)
	}
}
