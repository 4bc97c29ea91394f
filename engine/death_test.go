package engine

import (
	"bytes"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// A server may die at any time. Its client is told by an ERR where one can
// stand, and both sides are closed.
func TestServerDies(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	login := l.Append(nil, Caps)
	rows, _ := Result(nil, 1, Caps, 0, "first", "second") // 1 count, 2 definition, 3 EOF, 4 and 5 rows
	first := len(rows) - 9 - len("second") - 5            // behind the first row
	query := Query("SELECT")
	lost := func(seq byte) Step { return ExpectERR(seq, 2013, "HY000", lostText) }
	long := packet.AppendPacket(nil, 0, append(bytes.Clone(query), make([]byte, packet.MaxPayload)...))
	for _, tc := range []struct {
		name   string
		server []Step // up to its death
		client []Step // up to the end of the connection
		reason CloseReason
		reset  CloseReason
	}{
		{"in the login, before the client has sent its packet", steps(Greet(g)), steps(ExpectPacket(0, g.Append(nil))), ReasonServerLost, ReasonServerLost},
		{"in the login", steps(Greet(g), ExpectPacket(1, login)), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), lost(2)), ReasonServerLost, ReasonServerLost},
		{"in the login's dialogue, server's turn", steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{1, 4}), ExpectPacket(3, []byte{2})),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectPacket(2, []byte{1, 4}), SendPacket(3, []byte{2}), lost(4)), ReasonServerLost, ReasonServerLost},
		{"in the login's dialogue, client's turn", steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{1, 4})),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectPacket(2, []byte{1, 4}), lost(3)), ReasonServerLost, ReasonServerLost},
		{"in a packet of the login's dialogue", steps(Greet(g), ExpectPacket(1, login), Send([]byte{9, 0, 0, 2, 1, 2})),
			steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), lost(2)), ReasonServerLost, ReasonServerLost},
		{"idle", steps(Admit(Caps)), steps(Enter(Caps)), ReasonServerClosed, ReasonServerLost},
		{"before the first byte of a response", steps(Admit(Caps), ExpectPacket(0, query)), steps(Enter(Caps), SendPacket(0, query), lost(1)), ReasonServerLost, ReasonServerLost},
		{"before the response to a command of two packets", steps(Admit(Caps), Expect(long)), steps(Enter(Caps), Send(long), lost(2)), ReasonServerLost, ReasonServerLost},
		{"after two bytes of a header", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:2])), steps(Enter(Caps), SendPacket(0, query), lost(1)), ReasonServerLost, ReasonServerLost},
		{"between rows", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:first])), steps(Enter(Caps), SendPacket(0, query), Expect(rows[:first]), lost(5)), ReasonServerLost, ReasonServerLost},
		{"in the header of a row", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:first+3])), steps(Enter(Caps), SendPacket(0, query), Expect(rows[:first]), lost(5)), ReasonServerLost, ReasonServerLost},
		{"in a row", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:first+7])), steps(Enter(Caps), SendPacket(0, query), Expect(rows[:first+7])), ReasonServerLost, ReasonServerLost},
		{"between two results", steps(Admit(Caps), ExpectPacket(0, query), SendPacket(1, OK(packet.StatusMoreResults))),
			steps(Enter(Caps), SendPacket(0, query), ExpectPacket(1, OK(packet.StatusMoreResults)), lost(2)), ReasonServerLost, ReasonServerLost},
		{"between two responses", steps(Admit(Caps), ExpectPacket(0, query), ExpectPacket(0, ping), Send(rows)),
			steps(Enter(Caps), SendPacket(0, query), SendPacket(0, ping), Expect(rows), lost(1)), ReasonServerLost, ReasonServerLost},
		{"in a stream", steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComBinlogDump)}), SendPacket(1, []byte{0, 1})),
			steps(Enter(Caps), SendPacket(0, []byte{byte(packet.ComBinlogDump)}), ExpectPacket(1, []byte{0, 1})), ReasonServerClosed, ReasonServerLost},
		{"after a packet of 16 MiB - 1, which another one continues", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:first]), Send(append([]byte{0xff, 0xff, 0xff, 5}, make([]byte, packet.MaxPayload)...))),
			steps(Enter(Caps), SendPacket(0, query), Expect(rows[:first]), Expect(append([]byte{0xff, 0xff, 0xff, 5}, make([]byte, packet.MaxPayload)...))), ReasonServerLost, ReasonServerLost},
	} {
		for how, kill := range map[string]Step{"closes": Fin(), "resets": Reset()} {
			t.Run(tc.name+" it "+how, func(t *testing.T) {
				w := newWorld(t)
				// A reset may overtake what was sent before it, so the client
				// lets the server die when it has that.
				sees := tc.client
				tail := steps(ExpectEnd())
				if n := len(sees) - 1; n >= 0 && bytes.Contains([]byte(sees[n].Name), []byte("ff dd 07")) {
					tail = append(steps(sees[n]), tail...)
					sees = sees[:n]
				}
				die := NewGate()
				converse(w, append(append(steps(), tc.server...), Await(die), kill),
					append(append(append(steps(), sees...), Open(die)), tail...))
				want := tc.reason
				if how == "resets" {
					want = tc.reset
				}
				w.wantEnd(1, want)
			})
		}
	}
}

// A client may die at any time. Its server's side is closed.
func TestClientDies(t *testing.T) {
	g, l := Greeting(Caps), Login(Caps)
	login := l.Append(nil, Caps)
	rows, _ := Result(nil, 1, Caps, 0, "first", "second")
	ask := []byte{0xfb, 'f'}
	query := Query("SELECT")
	large := packet.AppendPacket(nil, 0, append(bytes.Clone(query), make([]byte, 1<<20)...))
	for _, tc := range []struct {
		name   string
		server []Step
		client []Step
		held   bool
	}{
		{"before the greeting", steps(), steps(), false},
		{"with its login sent before the greeting", steps(), steps(SendPacket(1, login)), true},
		{"after the greeting", steps(Greet(g)), steps(ExpectPacket(0, g.Append(nil))), false},
		{"in its login packet", steps(Greet(g)), steps(ExpectPacket(0, g.Append(nil)), Send(packet.AppendPacket(nil, 1, login)[:30])), false},
		{"after its login packet", steps(Greet(g), ExpectPacket(1, login)), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login)), false},
		{"in the login's dialogue", steps(Greet(g), ExpectPacket(1, login), SendPacket(2, []byte{1, 4})), steps(ExpectPacket(0, g.Append(nil)), SendPacket(1, login), ExpectPacket(2, []byte{1, 4})), false},
		{"idle", steps(Admit(Caps)), steps(Enter(Caps)), false},
		{"in the header of a command", steps(Admit(Caps)), steps(Enter(Caps), Send([]byte{5, 0})), false},
		{"in a command", steps(Admit(Caps), Expect(large[:1000])), steps(Enter(Caps), Send(large[:1000])), false},
		{"before the response", steps(Admit(Caps), ExpectPacket(0, query)), steps(Enter(Caps), SendPacket(0, query)), false},
		{"in the response", steps(Admit(Caps), ExpectPacket(0, query), Send(rows[:len(rows)-15])), steps(Enter(Caps), SendPacket(0, query), Skip(20)), false},
		{"with 200 commands outstanding", steps(Admit(Caps), ExpectPacket(0, ping)), steps(Enter(Caps), Send(bytes.Repeat(packet.AppendPacket(nil, 0, ping), 200))), true},
		{"asked for a file", steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask)), steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask)), false},
		{"in a file", steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), ExpectPacket(2, []byte("x"))), steps(Enter(Caps), SendPacket(0, load), ExpectPacket(1, ask), SendPacket(2, []byte("x"))), false},
		{"in COM_CHANGE_USER", steps(Admit(Caps), ExpectPacket(0, []byte("\x11u\x00\x00\x00")), SendPacket(1, []byte{1, 4})), steps(Enter(Caps), SendPacket(0, []byte("\x11u\x00\x00\x00")), ExpectPacket(1, []byte{1, 4})), false},
		{"in a stream", steps(Admit(Caps), ExpectPacket(0, []byte{byte(packet.ComBinlogDump)}), SendPacket(1, []byte{0, 1})), steps(Enter(Caps), SendPacket(0, []byte{byte(packet.ComBinlogDump)}), ExpectPacket(1, []byte{0, 1})), false},
	} {
		for how, kill := range map[string]Step{"closes": Fin(), "resets": Reset()} {
			if tc.held && how == "closes" {
				continue // it is not read from, so that is not seen yet
			}
			t.Run(tc.name+" it "+how, func(t *testing.T) {
				w := newWorld(t)
				die := NewGate() // when all that the server sees has come through
				converse(w, append(append(steps(), tc.server...), Open(die), Drain()), append(append(steps(), tc.client...), Await(die), kill))
				want := ReasonClientClosed
				if how == "resets" {
					want = ReasonClientLost
				}
				w.wantEnd(1, want)
			})
		}
	}
}

// A client that sends commands and closes without waiting has them carried out,
// however slowly the server takes them.
func TestCommandsOfAClientThatHasLeftAreFlushed(t *testing.T) {
	w := newWorld(t)
	var all []byte
	for i := range 12 {
		all = packet.AppendPacket(all, 0, append([]byte{byte(packet.ComStmtSendLongData), byte(i), 0, 0, 0, 0, 0}, make([]byte, 100000)...))
	}
	all = packet.AppendPacket(all, 0, Query("INSERT"))
	all = packet.AppendPacket(all, 0, []byte{byte(packet.ComQuit)})
	gone := NewGate()
	converse(w, steps(Buffers(64<<10), Admit(Caps), Expect(all[:100]), Await(gone), Expect(all[100:]), ExpectEnd()),
		steps(Enter(Caps), Send(all), Fin(), Open(gone)))
	w.wantEnd(1, ReasonClientQuit)
}
