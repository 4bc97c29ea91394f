package engine

import (
	"bytes"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// LOAD DATA LOCAL with a script: one that gives sessions back when the server
// asks for the file, one that answers in the server's place, one that asks
// itself.
func TestScriptedUploads(t *testing.T) {
	ask, query := []byte("\xfbf"), Query("SELECT")
	file, answer := fileOf(9, 70000)
	own, failed := OK(packet.StatusInTrans), packet.AppendERR(nil, 1062, "23000", "Duplicate entry")
	nothing := packet.AppendPacket(nil, 2, nil)
	relay := func(needed bool, n int) func(hook.Session, []byte) hook.Verdict {
		return func(s hook.Session, p []byte) hook.Verdict {
			s.SetBackend(1)
			s.Queue().Append(inject(1, p, needed))
			for i := 1; i < n; i++ {
				s.Queue().Append(inject(2, query, true))
			}
			return sendQuery()
		}
	}
	give := func(v hook.Verdict) func(hook.Session, *hook.Injection) hook.Verdict {
		return func(s hook.Session, in *hook.Injection) hook.Verdict {
			if in.ID != 1 {
				return ignoreResult()
			}
			if in.Result.Upload != (in.Query[1] == 'L') {
				t.Error("what is asked for is told wrongly")
			}
			if s.SetBackend(0); s.Backend() != 0 {
				t.Error("backend_ndx does not read 0")
			}
			s.SetBackend(9)
			return v
		}
	}
	fake := func(s hook.Session, p []byte) hook.Verdict {
		if p[0] == byte(packet.ComQuery) && p[1] == 'L' {
			return sendResult(ask)
		}
		return sendResult(own)
	}
	next, nextDone := chat("SELECT 1")
	up := steps(SendPacket(0, load), ExpectPacket(1, ask), Send(file))
	served := steps(ExpectPacket(0, load), SendPacket(1, ask), Expect(file))
	for _, tc := range []struct {
		name           string
		h              *hooks
		server, client []Step
		idle           int // in the pool, with the client there
	}{
		{"forwarded", &hooks{query: passQuery}, inARow(served, steps(SendPacket(answer, OK(0))), next), inARow(up, steps(ExpectPacket(answer, OK(0))), nextDone), 0},
		{"unread", &hooks{auth: pass}, inARow(served, steps(SendPacket(answer, OK(0))), next), inARow(up, steps(ExpectPacket(answer, OK(0))), nextDone), 0},
		{"given back at the question: stays until the end", &hooks{query: relay(false, 1), result: give(hook.Verdict{})},
			inARow(served, steps(SendPacket(answer, OK(0))), next), inARow(up, steps(ExpectPacket(answer, OK(0))), nextDone), 1},
		{"the same, collected", &hooks{query: relay(true, 1), result: give(hook.Verdict{})},
			inARow(served, steps(SendPacket(answer, OK(0))), next), inARow(up, steps(ExpectPacket(answer, OK(0))), nextDone), 1},
		{"an ERR at the end", &hooks{query: relay(true, 1), result: give(hook.Verdict{})},
			inARow(served, steps(SendPacket(answer, failed)), next), inARow(up, steps(ExpectPacket(answer, failed)), nextDone), 1},
		{"answered in the server's place: an empty file", &hooks{query: relay(true, 1), result: give(sendResult(own))},
			inARow(served[:2], steps(Expect(nothing), SendPacket(3, OK(0)), ExpectPacket(0, query), SendPacket(1, OK(0)))),
			steps(SendPacket(0, load), ExpectPacket(1, own), SendPacket(0, query), ExpectPacket(1, own)), 1},
		{"ignored, and then a second file", &hooks{query: relay(true, 1), result: give(sendResult(own))},
			inARow(served[:2], steps(Expect(nothing), SendPacket(3, OK(packet.StatusMoreResults)), SendPacket(4, ask), ExpectPacket(5, nil), SendPacket(6, failed))),
			steps(SendPacket(0, load), ExpectPacket(1, own)), 1},
		{"with a query behind it", &hooks{query: relay(true, 2), result: func(_ hook.Session, in *hook.Injection) hook.Verdict {
			return map[int]hook.Verdict{2: ignoreResult()}[in.ID]
		}}, inARow(served, steps(SendPacket(answer, OK(0)), ExpectPacket(0, query), SendPacket(1, OK(0)))), inARow(up, steps(ExpectPacket(answer, OK(0)))), 0},
		{"over before the file's end, with a query behind it", &hooks{query: relay(true, 2), result: func(_ hook.Session, in *hook.Injection) hook.Verdict {
			return map[int]hook.Verdict{2: ignoreResult()}[in.ID]
		}}, steps(ExpectPacket(0, load), SendPacket(1, ask), Expect(file[:9]), SendPacket(3, failed), Expect(file[9:]), ExpectPacket(0, query), SendPacket(1, OK(0))),
			steps(SendPacket(0, load), ExpectPacket(1, ask), Send(file[:9]), ExpectPacket(3, failed), Send(file[9:])), 0},
		{"asked for by the script", &hooks{query: fake}, nil, inARow(up, steps(ExpectPacket(answer, OK(0)), SendPacket(0, query), ExpectPacket(1, own))), 0},
		{"asked for by the script, byte by byte, with a command behind", &hooks{query: fake}, nil,
			steps(SendPacket(0, load), ExpectPacket(1, ask), SendSlowly(packet.AppendPacket(packet.AppendPacket(packet.AppendPacket(nil, 2, Query("DROP")), 3, nil), 0, query), 1),
				ExpectPacket(4, OK(0)), ExpectPacket(1, own)), 0},
		{"asked for by the script in the place of a result", &hooks{query: relay(true, 2), result: func(_ hook.Session, in *hook.Injection) hook.Verdict {
			return map[int]hook.Verdict{1: sendResult(ask), 2: ignoreResult()}[in.ID]
		}}, steps(ExpectPacket(0, query), SendPacket(1, OK(0)), ExpectPacket(0, query), SendPacket(1, OK(0))),
			inARow(steps(SendPacket(0, query), ExpectPacket(1, ask), Send(file), ExpectPacket(answer, OK(0)))), 0},
		{"no file for what is none", &hooks{query: func(hook.Session, []byte) hook.Verdict { return sendResult(ask) }}, nil,
			steps(SendPacket(0, []byte{byte(packet.ComStatistics)}), ExpectPacket(1, ask), SendPacket(0, []byte{byte(packet.ComStatistics)}), ExpectPacket(1, ask)), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.idle > 0 { // a second time, with what was given back
				again, behind := chat("SELECT 2")
				tc.server, tc.client = append(tc.server, again...), append(tc.client, behind...)
				answers := tc.h.result
				tc.h.result = func(s hook.Session, in *hook.Injection) hook.Verdict {
					if v := answers(s, in); in.Result.Upload {
						return v
					}
					return hook.Verdict{}
				}
				for i := range tc.client { // results of others are the server's own
					if tc.name == "answered in the server's place: an empty file" && tc.client[i].Name == ExpectPacket(1, own).Name && i > 1 {
						tc.client[i] = ExpectPacket(1, OK(0))
					}
				}
			}
			cfg := w.config(w.server(inARow(steps(Admit(Caps)), tc.server, steps(ExpectEnd()))))
			with(tc.h)(&cfg)
			w.start(cfg)
			c := w.clientNow("client", append(steps(Enter(Caps)), tc.client...)...)
			w.idleSessions(0, "app", tc.idle)
			c.Close()
			w.wantEnd(1, ReasonClientClosed)
		})
	}
	t.Run("asked for by a script without a server", func(t *testing.T) {
		g := Greeting(Caps)
		h := &hooks{query: fake, connect: func(hook.Session) hook.Verdict { return sendResult(g.Append(nil)) }}
		scriptedTalk(t, h, nil, inARow(steps(Enter(Caps)), up, steps(ExpectPacket(answer, OK(0)), SendPacket(0, query), ExpectPacket(1, own), Fin()))).wantEnd(1, ReasonClientClosed)
	})
	t.Run("for a large command", func(t *testing.T) { // the file's ids are moved as well
		big := append(bytes.Clone(load), make([]byte, packet.MaxPayload)...)
		h := &hooks{query: queueing(func() *hook.Injection { return inject(1, load, true) })}
		moved, _ := fileOf(9)
		shifted := bytes.Clone(moved)
		renumber(new(packet.Cursor), shifted, 1)
		scriptedTalk(t, h, steps(Admit(Caps), ExpectPacket(0, load), SendPacket(1, ask), Expect(moved), SendPacket(4, OK(0)), ExpectEnd()),
			steps(Enter(Caps), SendPacket(0, big), ExpectPacket(2, ask), Send(shifted), ExpectPacket(5, OK(0)), Fin())).wantEnd(1, ReasonClientClosed)
	})
	lost := func(name string, server, client []Step, reason CloseReason) {
		for which, h := range map[string]*hooks{
			"forwarded": {query: passQuery}, "collected": {query: relay(true, 2)}, "given back": {query: relay(false, 1), result: give(hook.Verdict{})},
		} {
			t.Run(name+", "+which, func(t *testing.T) {
				h.gone = func(s hook.Session) { s.SetBackend(0) }
				w := scriptedTalk(t, h, inARow(steps(Admit(Caps)), server), append(steps(Enter(Caps)), client...))
				w.wantEnd(1, reason)
				w.idleSessions(0, "app", 0)
			})
		}
	}
	lost("the server dies before the file", steps(ExpectPacket(0, load), SendPacket(1, ask), HalfClose(), ExpectEnd()),
		steps(SendPacket(0, load), ExpectPacket(1, ask), ExpectERR(2, 2013, "HY000", lostText), ExpectEnd()), ReasonServerLost)
	lost("the server dies over the file", steps(ExpectPacket(0, load), SendPacket(1, ask), Expect(file[:13]), HalfClose(), ExpectEnd()),
		steps(SendPacket(0, load), ExpectPacket(1, ask), Send(file[:13]), ExpectERR(3, 2013, "HY000", lostText), ExpectEnd()), ReasonServerLost)
	lost("the server dies behind the file", steps(ExpectPacket(0, load), SendPacket(1, ask), Expect(file), HalfClose(), ExpectEnd()),
		steps(SendPacket(0, load), ExpectPacket(1, ask), Send(file), ExpectERR(answer, 2013, "HY000", lostText), ExpectEnd()), ReasonServerLost)
	lost("the client dies over the file", steps(ExpectPacket(0, load), SendPacket(1, ask), Expect(file[:13]), ExpectEnd()),
		steps(SendPacket(0, load), ExpectPacket(1, ask), Send(file[:13]), Fin()), ReasonClientClosed)
}
