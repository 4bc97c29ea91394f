package engine

import (
	"bytes"
	"fmt"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

var load = Query("LOAD DATA LOCAL INFILE 'f' INTO TABLE t")

// fileOf are the packets of a file that is sent from sequence id 2 on, with the
// empty one at its end, and the id of the response.
func fileOf(parts ...int) (stream []byte, answer byte) {
	seq := byte(2)
	for i, n := range parts {
		stream = packet.AppendPacket(stream, seq, bytes.Repeat([]byte{byte(0x10 + i)}, n))
		seq += byte(1 + n/packet.MaxPayload)
	}
	return packet.AppendPacket(stream, seq, nil), seq + 1
}

// LOAD DATA LOCAL: the server asks, the client sends a file, the server answers.
// The file may contain what looks like commands.
func TestLoadDataLocal(t *testing.T) {
	ask := append([]byte{0xfb}, 'f')
	for _, tc := range []struct {
		name  string
		parts []int
	}{
		{"empty file", nil},
		{"one packet", []int{100}},
		{"many packets", []int{1, 2, 3, 4096, 100000}},
		{"a packet of 16 MiB - 1", []int{packet.MaxPayload}},
		{"an exact multiple", []int{2 * packet.MaxPayload, 5}},
		{"40 MiB", []int{40 << 20}},
		{"300 packets", make([]int, 0, 300)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range cap(tc.parts) - len(tc.parts) {
				tc.parts = append(tc.parts, 9)
			}
			stream, answer := fileOf(tc.parts...)
			for name, result := range map[string][]byte{
				"OK":             OK(0),
				"ERR at its end": packet.AppendERR(nil, 1062, "23000", "Duplicate entry"),
			} {
				t.Run(name, func(t *testing.T) {
					w := newWorld(t)
					converse(w,
						served(ExpectPacket(0, load), SendPacket(1, ask), Expect(stream), SendPacket(answer, result), ExpectPacket(0, ping), SendPacket(1, OK(0))),
						asked(SendPacket(0, load), ExpectPacket(1, ask), Send(stream), ExpectPacket(answer, result), SendPacket(0, ping), ExpectPacket(1, OK(0))))
				})
			}
		})
	}
	stream, answer := fileOf(70, 8, 1)
	t.Run("refused at once", func(t *testing.T) {
		w := newWorld(t)
		converse(w,
			served(ExpectPacket(0, load), SendPacket(1, packet.AppendERR(nil, 4166, "HY000", "no")), ExpectPacket(0, ping), SendPacket(1, OK(0))),
			asked(SendPacket(0, load), ExpectERR(1, 4166, "HY000", "no"), SendPacket(0, ping), ExpectPacket(1, OK(0))))
	})
	t.Run("byte by byte, with a command behind the file", func(t *testing.T) {
		w := newWorld(t)
		all := packet.AppendPacket(bytes.Clone(stream), 0, ping)
		converse(w,
			served(ExpectPacket(0, load), SendPacket(1, ask), Expect(stream), SendPacket(answer, OK(0)), ExpectPacket(0, ping), SendPacket(1, OK(0))),
			asked(SendPacket(0, load), ExpectPacket(1, ask), SendSlowly(all, 1), ExpectPacket(answer, OK(0)), ExpectPacket(1, OK(0))))
	})
	t.Run("early ERR while the client still sends", func(t *testing.T) {
		w := newWorld(t)
		early := packet.AppendERR(nil, 1146, "42S02", "no table")
		converse(w,
			served(ExpectPacket(0, load), SendPacket(1, ask), Expect(stream[:40]), SendPacket(3, early), Expect(stream[40:]),
				ExpectPacket(0, ping), SendPacket(1, OK(0))),
			asked(SendPacket(0, load), ExpectPacket(1, ask), Send(stream[:50]), ExpectPacket(3, early), Send(stream[50:]),
				SendPacket(0, ping), ExpectPacket(1, OK(0))))
	})
	t.Run("two files and a result of one statement", func(t *testing.T) {
		w := newWorld(t)
		ok := OK(packet.StatusMoreResults)
		second := packet.AppendPacket(packet.AppendPacket(nil, answer+2, []byte("more")), answer+3, nil)
		converse(w,
			served(ExpectPacket(0, load), SendPacket(1, ask), Expect(stream), SendPacket(answer, ok),
				SendPacket(answer+1, ask), Expect(second), SendPacket(answer+4, ok), SendPacket(answer+5, OK(0)),
				ExpectPacket(0, ping), SendPacket(1, OK(0))),
			asked(SendPacket(0, load), ExpectPacket(1, ask), Send(stream), ExpectPacket(answer, ok),
				ExpectPacket(answer+1, ask), Send(second), ExpectPacket(answer+4, ok), ExpectPacket(answer+5, OK(0)),
				SendPacket(0, ping), ExpectPacket(1, OK(0))))
	})
	t.Run("the server dies while the client sends", func(t *testing.T) {
		w := newWorld(t)
		converse(w,
			steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), Expect(stream[:74]), HalfClose(), Drain()),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), Send(stream[:74]), ExpectERR(3, 2013, "HY000", lostText), ExpectEnd()))
		w.wantEnd(1, ReasonServerLost)
	})
	t.Run("the server dies before the client has sent anything", func(t *testing.T) {
		w := newWorld(t)
		converse(w,
			steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), HalfClose(), Drain()),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), ExpectERR(2, 2013, "HY000", lostText), ExpectEnd()))
		w.wantEnd(1, ReasonServerLost)
	})
	t.Run("the server talks out of turn after an early ERR", func(t *testing.T) {
		w := newWorld(t)
		converse(w,
			steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), SendPacket(2, packet.AppendERR(nil, 1146, "42S02", "no table")), SendPacket(3, OK(0)), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), ExpectERR(2, 1146, "42S02", "no table"), ExpectEnd()))
		w.wantEnd(1, ReasonServerProtocol)
	})
	t.Run("the server dies after an early ERR", func(t *testing.T) {
		w := newWorld(t)
		converse(w,
			steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), SendPacket(2, packet.AppendERR(nil, 1146, "42S02", "no table")), HalfClose(), Drain()),
			steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), ExpectERR(2, 1146, "42S02", "no table"), ExpectEnd()))
	})
}

const lostText = "Lost connection to backend server during query"

// COM_CHANGE_USER has a dialogue of its own, after which the session goes on,
// with MariaDB even if it failed.
func TestChangeUser(t *testing.T) {
	u := packet.ChangeUser{User: []byte("other"), AuthResponse: bytes.Repeat([]byte{7}, 20), Plugin: []byte("mysql_native_password")}
	change := u.Append(nil, Caps)
	sw := packet.AuthSwitch{Plugin: []byte("mysql_native_password"), Data: bytes.Repeat([]byte{9}, 20)}
	demand := sw.Append(nil)
	answer := bytes.Repeat([]byte{3}, 20) // looks like a COM_QUERY
	denied := packet.AppendERR(nil, 1045, "28000", "Access denied")
	for _, tc := range []struct {
		name   string
		server []Step
		client []Step
	}{
		{"at once", steps(SendPacket(1, OK(0))), steps(ExpectPacket(1, OK(0)))},
		{"refused at once", steps(SendPacket(1, denied)), steps(ExpectPacket(1, denied))},
		{"with a switch", steps(SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, OK(0))),
			steps(ExpectPacket(1, demand), SendPacket(2, answer), ExpectPacket(3, OK(0)))},
		{"with a switch, refused", steps(SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, denied)),
			steps(ExpectPacket(1, demand), SendPacket(2, answer), ExpectPacket(3, denied))},
		{"caching_sha2, RSA", steps(SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, []byte{1, 4}), ExpectPacket(4, []byte{2}),
			SendPacket(5, []byte("\x01PEM")), ExpectPacket(6, answer), SendPacket(7, OK(0))),
			steps(ExpectPacket(1, demand), SendPacket(2, answer), ExpectPacket(3, []byte{1, 4}), SendPacket(4, []byte{2}),
				ExpectPacket(5, []byte("\x01PEM")), SendPacket(6, answer), ExpectPacket(7, OK(0)))},
		{"caching_sha2, the server speaks twice", steps(SendPacket(1, []byte{1, 3}), SendPacket(2, OK(0))), steps(ExpectPacket(1, []byte{1, 3}), ExpectPacket(2, OK(0)))},
		{"parsec's empty packet", steps(SendPacket(1, demand), ExpectPacket(2, nil), SendPacket(3, []byte("\x01P")), ExpectPacket(4, answer), SendPacket(5, OK(0))),
			steps(ExpectPacket(1, demand), SendPacket(2, nil), ExpectPacket(3, []byte("\x01P")), SendPacket(4, answer), ExpectPacket(5, OK(0)))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			server := append(steps(ExpectPacket(0, change)), tc.server...)
			client := append(steps(SendPacket(0, change)), tc.client...)
			for range 2 { // the session goes on, as it was
				server = append(server, ExpectPacket(0, Query("SELECT 1")), SendPacket(1, OK(0)))
				client = append(client, SendPacket(0, Query("SELECT 1")), ExpectPacket(1, OK(0)))
			}
			converse(w, served(server...), asked(client...))
		})
	}
	t.Run("commands behind it", func(t *testing.T) {
		w := newWorld(t)
		behind := bytes.Repeat(packet.AppendPacket(nil, 0, Query("SELECT 1")), 3)
		converse(w,
			served(ExpectPacket(0, change), ExpectQuiet(), SendPacket(1, []byte{1, 3}), SendPacket(2, OK(0)), Expect(behind),
				SendPacket(1, OK(0)), SendPacket(1, OK(0)), SendPacket(1, OK(0))),
			asked(Send(append(packet.AppendPacket(nil, 0, change), behind...)), ExpectPacket(1, []byte{1, 3}), ExpectPacket(2, OK(0)),
				ExpectPacket(1, OK(0)), ExpectPacket(1, OK(0)), ExpectPacket(1, OK(0))))
	})
	t.Run("a command behind its last round", func(t *testing.T) {
		w := newWorld(t)
		both := packet.AppendPacket(packet.AppendPacket(nil, 2, answer), 0, ping)
		converse(w,
			served(ExpectPacket(0, change), SendPacket(1, demand), ExpectPacket(2, answer), ExpectQuiet(), SendPacket(3, denied), ExpectPacket(0, ping), SendPacket(1, OK(0))),
			asked(SendPacket(0, change), ExpectPacket(1, demand), Send(both), ExpectPacket(3, denied), ExpectPacket(1, OK(0))))
	})
	t.Run("behind a command", func(t *testing.T) {
		w := newWorld(t)
		both := packet.AppendPacket(packet.AppendPacket(nil, 0, ping), 0, change)
		converse(w,
			served(Expect(both), SendPacket(1, OK(0)), SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, OK(0)), ExpectPacket(0, ping), SendPacket(1, OK(0))),
			asked(Send(both), ExpectPacket(1, OK(0)), ExpectPacket(1, demand), SendPacket(2, answer), ExpectPacket(3, OK(0)), SendPacket(0, ping), ExpectPacket(1, OK(0))))
	})
	t.Run("refused, and the server closes", func(t *testing.T) { // MySQL
		w := newWorld(t)
		converse(w, steps(Admit(Caps), ExpectPacket(0, change), SendPacket(1, denied), Fin()),
			steps(Enter(Caps), SendPacket(0, change), ExpectPacket(1, denied), ExpectEnd()))
		w.wantEnd(1, ReasonServerClosed)
	})
	t.Run("more than 256 packets", func(t *testing.T) {
		w := newWorld(t)
		server, client := steps(ExpectPacket(0, change), SendPacket(1, []byte{1, 3})), steps(SendPacket(0, change), ExpectPacket(1, []byte{1, 3}))
		seq := byte(2)
		for range 140 {
			server = append(server, SendPacket(seq+1, []byte("\x02?")), ExpectPacket(seq+2, answer))
			client = append(client, ExpectPacket(seq+1, []byte("\x02?")), SendPacket(seq+2, answer))
			seq += 2
		}
		converse(w, served(append(server, SendPacket(seq+1, OK(0)), ExpectPacket(0, ping), SendPacket(1, OK(0)))...),
			asked(append(client, ExpectPacket(seq+1, OK(0)), SendPacket(0, ping), ExpectPacket(1, OK(0)))...))
	})
}

// A replication stream has the connection to itself: packets both ways, with
// any sequence ids, until one side ends it.
func TestReplicationStreams(t *testing.T) {
	event := func(seq byte, n int) []byte { return packet.AppendPacket(nil, seq, make([]byte, n)) }
	ack := packet.AppendPacket(nil, 0, append([]byte{0xef, 1, 2, 3, 4, 5, 6, 7, 8}, "binlog.000001"...))
	for name, dump := range map[string][]byte{
		"COM_BINLOG_DUMP":      append([]byte{byte(packet.ComBinlogDump), 4, 0, 0, 0, 0, 0, 1, 0, 0, 0}, "binlog.000001"...),
		"COM_BINLOG_DUMP_GTID": append([]byte{byte(packet.ComBinlogDumpGTID)}, make([]byte, 30)...),
	} {
		t.Run(name, func(t *testing.T) {
			events := event(1, 20)
			for i := range 300 {
				events = append(events, event(byte(2+i), 1+i)...)
			}
			events = append(events, event(7, packet.MaxPayload+9)...)
			w := newWorld(t)
			converse(w,
				steps(Admit(Caps), ExpectPacket(0, dump), Send(events), Expect(ack), Send(event(1, 50)), Expect(ack), Expect(ack), Send(event(1, 1)), Fin()),
				steps(Enter(Caps), SendPacket(0, dump), Expect(events), Send(ack), Expect(event(1, 50)), SendSlowly(append(bytes.Clone(ack), ack...), 5), Expect(event(1, 1)), ExpectEnd()))
			w.wantEnd(1, ReasonServerClosed)
		})
		for what, end := range map[string][]byte{
			"ERR at once": packet.AppendERR(nil, 1236, "HY000", "Could not find first log file name in binary log index file"),
			"EOF":         EOF(0),
		} {
			t.Run(fmt.Sprintf("%s, %s, and the session goes on", name, what), func(t *testing.T) {
				w := newWorld(t)
				converse(w,
					served(ExpectPacket(0, dump), SendPacket(1, end), ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectPacket(0, dump), Send(event(1, 9)), SendPacket(2, end), ExpectPacket(0, ping), SendPacket(1, OK(0))),
					asked(SendPacket(0, dump), ExpectPacket(1, end), SendPacket(0, ping), ExpectPacket(1, OK(0)), SendPacket(0, dump), Expect(event(1, 9)), ExpectPacket(2, end), SendPacket(0, ping), ExpectPacket(1, OK(0))))
			})
		}
	}
	t.Run("the replica leaves", func(t *testing.T) {
		w := newWorld(t)
		converse(w, served(ExpectPacket(0, []byte{byte(packet.ComBinlogDump)}), Send(event(1, 9))), asked(SendPacket(0, []byte{byte(packet.ComBinlogDump)}), Expect(event(1, 9))))
		w.wantEnd(1, ReasonClientClosed)
	})
	t.Run("a tunnel is not even framed", func(t *testing.T) {
		w := newWorld(t)
		raw := bytes.Repeat([]byte{0xff, 0xfe, 0xfb, 0}, 9)
		converse(w, steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComClone)}), Send(raw), Fin()),
			steps(Enter(Caps), SendPacket(0, []byte{byte(packet.ComClone)}), Expect(raw), ExpectEnd()))
		w.wantEnd(1, ReasonServerClosed)
	})
}
