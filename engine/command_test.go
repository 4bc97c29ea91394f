package engine

import (
	"bytes"
	"fmt"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// Any number of commands may be sent without waiting for responses, in pieces
// of any size. The server gets them in order, and the client the responses.
func TestPipelining(t *testing.T) {
	for _, n := range []int{1, 16, 17, 33, 200} {
		for _, how := range []string{"at once", "byte by byte", "by 7 bytes"} {
			t.Run(fmt.Sprintf("%d commands, %s", n, how), func(t *testing.T) {
				w := newWorld(t)
				var commands, responses []byte
				for i := range n {
					if i%5 == 4 { // no response
						commands = packet.AppendPacket(commands, 0, []byte{byte(packet.ComStmtClose), byte(i), 0, 0, 0})
						continue
					}
					commands = packet.AppendPacket(commands, 0, Query(fmt.Sprintf("SELECT %d", i)))
					responses, _ = Result(responses, 1, Caps, 0, fmt.Sprint(i), "more")
				}
				send := Send(commands)
				switch how {
				case "byte by byte":
					send = SendSlowly(commands, 1)
				case "by 7 bytes":
					send = SendSlowly(commands, 7)
				}
				// A server that reads one command at a time and answers it.
				serve := Do("answer", func(c *Conn) error {
					for i := range n {
						p, err := c.ReadPacket()
						if err != nil {
							return fmt.Errorf("command %d: %w", i, err)
						}
						if p.Payload()[0] == byte(packet.ComStmtClose) {
							continue
						}
						if want := Query(fmt.Sprintf("SELECT %d", i)); !bytes.Equal(p.Payload(), want) {
							return fmt.Errorf("command %d is %q", i, p.Payload())
						}
						r, _ := Result(nil, 1, Caps, 0, fmt.Sprint(i), "more")
						if _, err := c.Write(r); err != nil {
							return err
						}
					}
					return nil
				})
				converse(w, served(serve), asked(send, Expect(responses)))
			})
		}
	}
}

// A server need not answer before it has all of them: those that the proxy
// keeps back come as responses go.
func TestPipelineIsBounded(t *testing.T) {
	w := newWorld(t)
	all := bytes.Repeat(packet.AppendPacket(nil, 0, ping), 3*pipeline)
	one := packet.AppendPacket(nil, 1, OK(0))
	size := len(all) / (3 * pipeline)
	server := steps(Expect(all[:size*pipeline]), ExpectQuiet())
	for i := range 2 * pipeline { // each response lets one more through
		server = append(server, Send(one), Expect(all[size*(pipeline+i):][:size]))
	}
	server = append(server, Send(bytes.Repeat(one, pipeline)))
	converse(w, served(server...), asked(Send(all), Expect(bytes.Repeat(one, 3*pipeline))))
}

// What is as long as a packet can be, and longer, streams through: its first
// bytes arrive before its last were sent.
func TestLargeCommandsAndResponses(t *testing.T) {
	for _, n := range []int{packet.MaxPayload - 1, packet.MaxPayload, packet.MaxPayload + 1, 2 * packet.MaxPayload, 40 << 20} {
		big := make([]byte, n)
		for i := range big {
			big[i] = byte(i>>16) ^ byte(i*7)
		}
		parts := byte(n / packet.MaxPayload) // further packets
		t.Run(fmt.Sprintf("command of %d bytes", n), func(t *testing.T) {
			w := newWorld(t)
			big[0] = byte(packet.ComQuery)
			stream := packet.AppendPacket(nil, 0, big)
			begun := NewGate()
			converse(w,
				served(Expect(stream[:1<<20]), Open(begun), Expect(stream[1<<20:]), SendPacket(parts+1, OK(0)),
					ExpectPacket(0, ping), SendPacket(1, OK(0))),
				asked(Send(stream[:2<<20]), Await(begun), Send(stream[2<<20:]), ExpectPacket(parts+1, OK(0)),
					SendPacket(0, ping), ExpectPacket(1, OK(0))))
		})
		t.Run(fmt.Sprintf("row of %d bytes", n), func(t *testing.T) {
			w := newWorld(t)
			big[0] = 0xfe // as a row that starts with a long value
			head, next := Result(nil, 1, Caps, 0)
			head = head[:len(head)-len(EOF(0))-packet.HeaderLen]
			next--
			stream := packet.AppendPacket(bytes.Clone(head), next, big)
			if n < packet.MaxPayload {
				stream[len(head)+packet.HeaderLen] = 0x05
			}
			stream = packet.AppendPacket(stream, next+1+parts, EOF(0))
			begun := NewGate()
			converse(w,
				served(ExpectPacket(0, Query("SELECT")), Send(stream[:2<<20]), Await(begun), Send(stream[2<<20:]),
					ExpectPacket(0, ping), SendPacket(1, OK(0))),
				asked(SendPacket(0, Query("SELECT")), Expect(stream[:1<<20]), Open(begun), Expect(stream[1<<20:]),
					SendPacket(0, ping), ExpectPacket(1, OK(0))))
		})
	}
}

// A server may refuse a command that is too large while the client still sends
// it. The session goes on if the server does.
func TestEarlyErrorForALargeCommand(t *testing.T) {
	w := newWorld(t)
	stream := packet.AppendPacket(nil, 0, Query(string(make([]byte, 20<<20))))
	converse(w,
		served(Expect(stream[:1<<20]), SendPacket(1, packet.AppendERR(nil, 1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")),
			Expect(stream[1<<20:]), ExpectPacket(0, ping), SendPacket(1, OK(0))),
		asked(Send(stream[:2<<20]), ExpectERR(1, 1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes"),
			Send(stream[2<<20:]), SendPacket(0, ping), ExpectPacket(1, OK(0))))
}

// Each shape of a response is followed to its end: the command behind it gets
// its own response, also if both were sent at once.
func TestResponsesOfEachShape(t *testing.T) {
	const caps = ModernCaps
	one := func(p []byte) []byte { return packet.AppendPacket(nil, 1, p) }
	rows, _ := Result(nil, 1, Caps, 0, "1", "2")
	modern, _ := Result(nil, 1, caps, 0, "1", "2")
	two, next := Result(nil, 1, Caps, packet.StatusMoreResults, "1")
	two, _ = Result(two, next, Caps, 0, "2")
	failed, next := Result(nil, 1, Caps, 0, "1")
	failed = packet.AppendPacket(failed[:len(failed)-9], next-1, packet.AppendERR(nil, 1317, "70100", "Query execution was interrupted"))
	fields := packet.AppendPacket(nil, 1, (&packet.Column{Catalog: []byte("def"), HasDefault: true}).Append(nil, 0))
	fields = packet.AppendPacket(fields, 2, EOF(0))
	prep := packet.PrepareOK{Statement: 1, Columns: 1, Params: 2}
	prepared := packet.AppendPacket(nil, 1, prep.Append(nil, 0))
	col := (&packet.Column{Catalog: []byte("def")}).Append(nil, 0)
	for i, p := range [][]byte{col, col, EOF(0), col, EOF(0)} {
		prepared = packet.AppendPacket(prepared, byte(2+i), p)
	}
	cursor, _ := Result(nil, 1, Caps, 0)
	cursor = cursor[:len(cursor)-9]
	cursor[len(cursor)-2] |= byte(packet.StatusCursorExists)
	fetched := packet.AppendPacket(packet.AppendPacket(nil, 1, []byte("\x00\x00row")), 2, EOF(packet.StatusLastRowSent))

	for _, tc := range []struct {
		name     string
		caps     packet.Capability
		command  []byte
		response []byte
	}{
		{"OK", Caps, Query("DO 1"), one(OK(0))},
		{"ERR", Caps, Query("x"), one(packet.AppendERR(nil, 1064, "42000", "no"))},
		{"rows", Caps, Query("SELECT"), rows},
		{"rows without EOF", caps, Query("SELECT"), modern},
		{"two results", Caps, Query("CALL p()"), two},
		{"rows that end in an ERR", Caps, Query("SELECT"), failed},
		{"statistics", Caps, []byte{byte(packet.ComStatistics)}, one([]byte("Uptime: 1"))},
		{"fields", Caps, []byte("\x04t\x00"), fields},
		{"prepare", Caps, []byte("\x16SELECT ?+?"), prepared},
		{"execute", Caps, []byte("\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"), rows},
		{"execute with a cursor", Caps, []byte("\x17\x01\x00\x00\x00\x01\x01\x00\x00\x00"), cursor},
		{"fetch", Caps, []byte("\x1c\x01\x00\x00\x00\x05\x00\x00\x00"), fetched},
		{"set option", Caps, []byte("\x1b\x00\x00"), one(EOF(0))},
		{"debug", Caps, []byte{byte(packet.ComDebug)}, one(EOF(0))},
		{"reset connection", Caps, []byte{byte(packet.ComResetConnection)}, one(OK(0))},
		{"unknown", Caps, []byte{0x7e, 1, 2}, one(packet.AppendERR(nil, 1047, "08S01", "Unknown command"))},
		{"empty command", Caps, nil, one(packet.AppendERR(nil, 1047, "08S01", "Unknown command"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			command := packet.AppendPacket(nil, 0, tc.command)
			// One after the other; then twice and a ping behind it at once.
			more := append(append(bytes.Clone(command), command...), packet.AppendPacket(nil, 0, ping)...)
			answers := append(append(bytes.Clone(tc.response), tc.response...), packet.AppendPacket(nil, 1, OK(0))...)
			converse(w,
				append(steps(Admit(tc.caps)), Expect(command), SendSlowly(tc.response, 3), Expect(more), Send(answers), ExpectEnd()),
				append(steps(Enter(tc.caps)), Send(command), Expect(tc.response), Send(more), Expect(answers), Fin()))
		})
	}
}

// Commands that have no response do not wait for one.
func TestCommandsWithoutResponse(t *testing.T) {
	w := newWorld(t)
	closing := []byte{byte(packet.ComStmtClose), 1, 0, 0, 0}
	long := append([]byte{byte(packet.ComStmtSendLongData), 1, 0, 0, 0, 0, 0}, make([]byte, 17<<20)...)
	converse(w,
		served(ExpectPacket(0, closing), ExpectPacket(0, long), ExpectPacket(0, closing), ExpectPacket(0, ping), SendPacket(1, OK(0))),
		asked(SendPacket(0, closing), SendPacket(0, long), SendPacket(0, closing), SendPacket(0, ping), ExpectPacket(1, OK(0))))
	if r := w.session(1); r.attrs["commands"] != "4" {
		t.Errorf("commands=%s in the log, want 4", r.attrs["commands"])
	}
}

func TestQuit(t *testing.T) {
	quit := []byte{byte(packet.ComQuit)}
	t.Run("the client closes first", func(t *testing.T) {
		w := newWorld(t)
		converse(w, served(ExpectPacket(0, quit)), asked(SendPacket(0, quit)))
		w.wantEnd(1, ReasonClientQuit)
	})
	t.Run("the server closes first", func(t *testing.T) {
		w := newWorld(t)
		converse(w, steps(Admit(Caps), ExpectPacket(0, quit), Fin()), steps(Enter(Caps), SendPacket(0, quit), ExpectEnd()))
		w.wantEnd(1, ReasonClientQuit)
	})
	t.Run("the server resets", func(t *testing.T) { // as MariaDB may
		w := newWorld(t)
		converse(w, steps(Admit(Caps), ExpectPacket(0, quit), Reset()), steps(Enter(Caps), SendPacket(0, quit), ExpectEnd()))
		w.wantEnd(1, ReasonClientQuit)
	})
	t.Run("behind a command", func(t *testing.T) {
		w := newWorld(t)
		converse(w,
			steps(Admit(Caps), ExpectPacket(0, ping), ExpectPacket(0, quit), SendPacket(1, OK(0)), Fin()),
			steps(Enter(Caps), Send([]byte{1, 0, 0, 0, 0x0e, 1, 0, 0, 0, 1}), ExpectPacket(1, OK(0)), ExpectEnd()))
		w.wantEnd(1, ReasonClientQuit)
	})
}

// A server says goodbye by an ERR that nobody asked for. Anything else would be
// taken for the response to the next command.
func TestUnsolicitedPackets(t *testing.T) {
	goodbye := packet.AppendERR(nil, 4031, "HY000", "The client was disconnected by the server because of inactivity.")
	t.Run("ERR while idle", func(t *testing.T) {
		w := newWorld(t)
		converse(w, steps(Admit(Caps), SendPacket(0, goodbye), ExpectEnd()), steps(Enter(Caps), ExpectPacket(0, goodbye), ExpectEnd()))
		w.wantEnd(1, ReasonServerGoodbye)
	})
	t.Run("ERR while idle, byte by byte, and more behind it", func(t *testing.T) {
		w := newWorld(t)
		bytes := append(packet.AppendPacket(nil, 0, goodbye), 7)
		converse(w, steps(Admit(Caps), SendSlowly(bytes, 1), Drain()), steps(Enter(Caps), ExpectPacket(0, goodbye), ExpectEnd()))
		w.wantEnd(1, ReasonServerGoodbye)
	})
	t.Run("ERR in the segment of a response", func(t *testing.T) {
		w := newWorld(t)
		both := packet.AppendPacket(packet.AppendPacket(nil, 1, OK(0)), 0, goodbye)
		converse(w,
			steps(Admit(Caps), ExpectPacket(0, ping), Send(both), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, ping), Expect(both), ExpectEnd()))
		w.wantEnd(1, ReasonServerGoodbye)
	})
	rows, _ := Result(nil, 1, Caps, 0, "1")
	for name, sent := range map[string][]byte{
		"OK":               packet.AppendPacket(nil, 0, OK(0)),
		"rows":             rows,
		"empty packet":     {0, 0, 0, 0},
		"header too large": {0xff, 0xff, 0xff, 0},
	} {
		t.Run(name+" while idle", func(t *testing.T) {
			w := newWorld(t)
			converse(w, steps(Admit(Caps), Send(sent), ExpectEnd()), steps(Enter(Caps), ExpectEnd()))
			w.wantEnd(1, ReasonServerProtocol)
		})
		t.Run(name+" behind a response", func(t *testing.T) {
			w := newWorld(t)
			converse(w,
				steps(Admit(Caps), ExpectPacket(0, ping), Send(append(packet.AppendPacket(nil, 1, OK(0)), sent...)), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, ping), ExpectPacket(1, OK(0)), ExpectEnd()))
			w.wantEnd(1, ReasonServerProtocol)
		})
	}
}

// A response that cannot be followed ends the session with an ERR where the
// client can take one.
func TestResponsesThatAreNone(t *testing.T) {
	const text = "(proxy) the backend sent a packet that does not belong here"
	head, _ := Result(nil, 1, Caps, 0)
	head = head[:len(head)-9-9] // count and definition
	for _, tc := range []struct {
		name    string
		command []byte
		pass    []byte // reaches the client
		bad     []byte
		seq     byte
	}{
		{"text for a ping", ping, nil, packet.AppendPacket(nil, 1, []byte("pong")), 1},
		{"column count 0", Query("SELECT"), nil, packet.AppendPacket(nil, 1, []byte{0xfc, 0, 0}), 1},
		{"empty first packet", Query("SELECT"), nil, []byte{0, 0, 0, 1}, 1},
		{"no EOF behind the definitions", Query("SELECT"), head, packet.AppendPacket(nil, 3, []byte("\x01x")), 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			converse(w,
				steps(Admit(Caps), ExpectPacket(0, tc.command), Send(append(bytes.Clone(tc.pass), tc.bad...)), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, tc.command), Expect(tc.pass), ExpectERR(tc.seq, 2027, "HY000", text), ExpectEnd()))
			w.wantEnd(1, ReasonServerProtocol)
		})
	}
}
