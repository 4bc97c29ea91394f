package engine

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// verdicts is a ReadQueryResult that decides by the query's id.
func verdicts(by map[int]hook.Verdict) func(hook.Session, *hook.Injection) hook.Verdict {
	return func(_ hook.Session, in *hook.Injection) hook.Verdict { return by[in.ID] }
}

// What becomes of a command that a script has read, and of its responses.
func TestInjections(t *testing.T) {
	one, two, three := Query("SELECT 1"), Query("SELECT 2"), Query("SELECT 3")
	query := Query("SELECT")
	rows, end := Result(nil, 1, Caps, 0, "a", "b")
	own, failed := OK(packet.StatusInTrans), packet.AppendERR(nil, 1064, "42000", "no")
	shut := []byte{byte(packet.ComStmtClose), 1, 0, 0, 0}
	long := append([]byte{byte(packet.ComStmtSendLongData)}, "123456 data"...)
	initDB := append([]byte{byte(packet.ComInitDB)}, "db"...)
	raw := func(p []byte, needed bool) func() *hook.Injection {
		return func() *hook.Injection { return inject(9, p, needed) }
	}
	ignore := func(ids ...int) func(hook.Session, *hook.Injection) hook.Verdict {
		by := map[int]hook.Verdict{}
		for _, id := range ids {
			by[id] = ignoreResult()
		}
		return verdicts(by)
	}
	answer := func(payload []byte) Step { return SendPacket(1, payload) }
	type dialogue struct {
		name           string
		h              *hooks
		server, client []Step // behind the login
	}
	serves := func(s ...Step) []Step { return s }
	for _, tc := range []dialogue{
		{"forwarded without a decision", &hooks{query: passQuery}, serves(ExpectPacket(0, query), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
		{"queued without SEND_QUERY: dropped", &hooks{query: func(s hook.Session, p []byte) hook.Verdict {
			s.Queue().Append(inject(1, one, false))
			return hook.Verdict{}
		}}, serves(ExpectPacket(0, query), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
		{"SEND_QUERY with an empty queue: forwarded", &hooks{query: func(hook.Session, []byte) hook.Verdict { return sendQuery() }},
			serves(ExpectPacket(0, query), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
		{"answered by the script", &hooks{query: func(hook.Session, []byte) hook.Verdict { return sendResult(own) }}, nil, steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"answered with many packets", &hooks{query: func(hook.Session, []byte) hook.Verdict { return sendResult(own, failed) }}, nil,
			steps(SendPacket(0, query), ExpectPacket(1, own), ExpectPacket(2, failed))},
		{"answered, the queue is dropped", &hooks{query: func(s hook.Session, _ []byte) hook.Verdict {
			s.Queue().Append(inject(1, one, false))
			return sendResult(own)
		}}, nil, steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"no answer to what has none", &hooks{query: func(hook.Session, []byte) hook.Verdict { return sendResult(own) }}, nil,
			steps(SendPacket(0, shut), SendPacket(0, long), SendPacket(0, query), ExpectPacket(1, own), ExpectQuiet())},

		{"one query, streamed", &hooks{query: queueing(streamed(1, "SELECT 1"))}, serves(ExpectPacket(0, one), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
		{"one query, streamed, whatever the script says then", &hooks{query: queueing(streamed(1, "SELECT 1")), result: ignore(1)},
			serves(ExpectPacket(0, one), SendSlowly(rows, 3)), steps(SendPacket(0, query), Expect(rows))},
		{"one query, collected", &hooks{query: queueing(needed(1, "SELECT 1")), result: ignore()},
			serves(ExpectPacket(0, one), SendSlowly(rows, 3)), steps(SendPacket(0, query), Expect(rows))},
		{"one query, collected, without read_query_result", &hooks{query: queueing(needed(1, "SELECT 1"))},
			serves(ExpectPacket(0, one), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
		{"one query, replaced", &hooks{query: queueing(needed(1, "SELECT 1")), result: verdicts(map[int]hook.Verdict{1: sendResult(own)})},
			serves(ExpectPacket(0, one), Send(rows)), steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"one query that fails", &hooks{query: queueing(needed(1, "SELECT 1"))}, serves(ExpectPacket(0, one), answer(failed)), steps(SendPacket(0, query), ExpectPacket(1, failed))},
		{"two queries, the first ignored", &hooks{query: queueing(needed(2, "SELECT 2"), needed(1, "SELECT 1")), result: ignore(2)},
			serves(ExpectPacket(0, two), Send(rows), ExpectPacket(0, one), answer(own)), steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"two queries, the second ignored", &hooks{query: queueing(needed(1, "SELECT 1"), needed(2, "SELECT 2")), result: ignore(2)},
			serves(ExpectPacket(0, one), Send(rows), ExpectPacket(0, two), answer(own)), steps(SendPacket(0, query), Expect(rows))},
		{"two queries without the flag are both collected", &hooks{query: queueing(streamed(2, "SELECT 2"), streamed(1, "SELECT 1")),
			result: func(_ hook.Session, in *hook.Injection) hook.Verdict {
				if !in.ResultNeeded || len(in.Result.Packets) == 0 {
					t.Error("a query of two was not collected")
				}
				return ignore(2)(nil, in)
			}}, serves(ExpectPacket(0, two), Send(rows), ExpectPacket(0, one), answer(own)), steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"two queries, two results: the second is dropped", &hooks{query: queueing(needed(1, "SELECT 1"), needed(2, "SELECT 2"))},
			serves(ExpectPacket(0, one), answer(own), ExpectPacket(0, two), Send(rows)), steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"two queries, the script's answer to the second is dropped", &hooks{query: queueing(needed(1, "SELECT 1"), needed(2, "SELECT 2")),
			result: verdicts(map[int]hook.Verdict{2: sendResult(failed)})},
			serves(ExpectPacket(0, one), answer(own), ExpectPacket(0, two), Send(rows)), steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"the script adds a query", &hooks{query: queueing(needed(1, "SELECT 1")), result: func(s hook.Session, in *hook.Injection) hook.Verdict {
			if in.ID == 1 {
				s.Queue().Append(inject(2, two, false))
				return ignoreResult()
			}
			return hook.Verdict{}
		}}, serves(ExpectPacket(0, one), Send(rows), ExpectPacket(0, two), answer(own)), steps(SendPacket(0, query), ExpectPacket(1, own))},
		{"the script cuts the chain", &hooks{query: queueing(needed(1, "SELECT 1"), needed(2, "SELECT 2"), needed(3, "SELECT 3")),
			result: func(s hook.Session, in *hook.Injection) hook.Verdict {
				if in.ID == 2 {
					s.Queue().Reset()
					return hook.Verdict{}
				}
				return ignoreResult()
			}}, serves(ExpectPacket(0, one), answer(own), ExpectPacket(0, two), answer(failed)), steps(SendPacket(0, query), ExpectPacket(1, failed))},
		{"prepended ones come first", &hooks{query: func(s hook.Session, p []byte) hook.Verdict {
			s.Queue().Append(inject(1, p, true))
			s.Queue().Prepend(inject(2, initDB, true))
			s.Queue().Prepend(inject(2, three, true))
			return sendQuery()
		}, result: ignore(2)}, serves(ExpectPacket(0, three), answer(own), ExpectPacket(0, initDB), answer(own), ExpectPacket(0, query), Send(rows)),
			steps(SendPacket(0, query), Expect(rows))},
		{"commands without a response in a chain", &hooks{query: queueing(raw(shut, true), needed(1, "SELECT 1"), raw(long, false), raw(shut, true))},
			serves(ExpectPacket(0, shut), ExpectPacket(0, one), Send(rows), ExpectPacket(0, long), ExpectPacket(0, shut)), steps(SendPacket(0, query), Expect(rows))},
		{"a chain for a command that has no response", &hooks{query: queueing(needed(1, "SELECT 1"), raw(shut, false))},
			serves(ExpectPacket(0, one), answer(own), ExpectPacket(0, shut)), steps(SendPacket(0, shut), ExpectQuiet())},
		{"a stream for a command that has no response", &hooks{query: queueing(streamed(1, "SELECT 1"))},
			serves(ExpectPacket(0, one), Send(rows)), steps(SendPacket(0, shut), ExpectQuiet())},
		{"an empty query", &hooks{query: queueing(raw(nil, false))}, serves(ExpectPacket(0, nil), answer(failed)), steps(SendPacket(0, query), ExpectPacket(1, failed))},
		{"an empty command is the server's", &hooks{query: func(hook.Session, []byte) hook.Verdict { t.Error("asked"); return hook.Verdict{} }},
			serves(ExpectPacket(0, nil), answer(failed)), steps(SendPacket(0, nil), ExpectPacket(1, failed))},
		{"a replication stream is not collected", &hooks{query: func(s hook.Session, p []byte) hook.Verdict {
			s.Queue().Append(inject(1, p, p[0] == byte(packet.ComBinlogDump)))
			return sendQuery()
		}}, serves(ExpectPacket(0, []byte{byte(packet.ComBinlogDump)}), answer([]byte{0, 1}), ExpectPacket(0, []byte("\xef1")), SendPacket(2, EOF(0))),
			steps(SendPacket(0, []byte{byte(packet.ComBinlogDump)}), ExpectPacket(1, []byte{0, 1}), SendPacket(0, []byte("\xef1")), ExpectPacket(2, EOF(0)))},
		{"the server is given away with its result", &hooks{query: queueing(streamed(1, "SELECT 1")), result: func(s hook.Session, in *hook.Injection) hook.Verdict {
			s.SetBackend(0)
			if s.Server() != nil || s.Backend() != 0 {
				t.Error("it is still there")
			}
			s.SetBackend(1)
			return hook.Verdict{}
		}}, serves(ExpectPacket(0, one), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
		{"and the rest of the queue with it", &hooks{query: queueing(needed(1, "SELECT 1"), needed(2, "SELECT 2")), result: func(s hook.Session, in *hook.Injection) hook.Verdict {
			s.SetBackend(0)
			return hook.Verdict{}
		}, auth: nil}, serves(ExpectPacket(0, one), Send(rows)), steps(SendPacket(0, query), Expect(rows))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			again := tc.name != "and the rest of the queue with it" // then there is none for what follows
			server, client := steps(Admit(Caps)), steps(Enter(Caps))
			for range 2 { // what one leaves does not harm the next
				if server, client = append(server, tc.server...), append(client, tc.client...); !again {
					break
				}
			}
			w := scriptedTalk(t, tc.h, append(server, ExpectEnd()), append(client, Fin()))
			w.wantEnd(1, ReasonClientClosed)
		})
	}
	if end != 7 {
		t.Fatal("the result has another shape than the rows here are made for")
	}
}

// What is told of a response.
func TestInjectionResults(t *testing.T) {
	rows, _ := Result(nil, 1, Caps, packet.StatusInTrans, "a", "bcd")
	counted := packet.OK{AffectedRows: 3, LastInsertID: 99, Status: packet.StatusAutocommit, Warnings: 2}
	ok, failed := packet.AppendPacket(nil, 1, counted.Append(nil, 0)), packet.AppendPacket(nil, 1, packet.AppendERR(nil, 1, "42000", "no"))
	db := append([]byte{byte(packet.ComInitDB)}, "db"...)
	for _, tc := range []struct {
		name   string
		query  []byte
		needed bool
		answer []byte
		want   hook.Result
	}{
		{"rows", Query("S"), true, rows, hook.Result{Packets: rows, Command: packet.ComQuery, Rows: 2, RowBytes: 14, Status: packet.StatusAutocommit | packet.StatusInTrans}},
		{"rows, not collected", Query("S"), false, rows, hook.Result{Command: packet.ComQuery, Rows: 2, RowBytes: 14, Status: packet.StatusAutocommit | packet.StatusInTrans}},
		{"OK", Query("I"), true, ok, hook.Result{Packets: ok, Command: packet.ComQuery, OK: true, AffectedRows: 3, InsertID: 99, Warnings: 2, Status: packet.StatusAutocommit}},
		{"ERR", Query("I"), false, failed, hook.Result{Command: packet.ComQuery, Failed: true, Status: packet.StatusAutocommit}},
		{"another command's OK", db, false, ok, hook.Result{Command: packet.ComInitDB, OK: true, AffectedRows: 3, InsertID: 99, Warnings: 2, Status: packet.StatusAutocommit}},
		{"another command's ERR", db, true, failed, hook.Result{Packets: failed, Command: packet.ComInitDB, Failed: true, Status: packet.StatusAutocommit}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got *hook.Injection
			h := &hooks{query: queueing(func() *hook.Injection { return inject(1, tc.query, tc.needed) }), result: func(_ hook.Session, in *hook.Injection) hook.Verdict {
				got = in
				return hook.Verdict{}
			}}
			scriptedTalk(t, h, steps(Admit(Caps), ExpectPacket(0, tc.query), Send(tc.answer), ExpectEnd()), steps(Enter(Caps), SendPacket(0, ping), Expect(tc.answer), Fin())).wantEnd(1, ReasonClientClosed)
			tc.want.Capabilities = Caps
			if g, want := fmt.Sprintf("%+v", got.Result), fmt.Sprintf("%+v", tc.want); g != want {
				t.Errorf("\n got %s\nwant %s", g, want)
			}
			if got.First.IsZero() || got.Last.Before(got.First) {
				t.Errorf("its packets came from %v to %v", got.First, got.Last)
			}
		})
	}
}

// Commands and responses of 16 MiB and more keep their sequence ids right.
func TestLargeInjections(t *testing.T) {
	small, sequel := Query("SELECT"), 2*packet.MaxPayload
	big := append(Query("INSERT"), make([]byte, packet.MaxPayload)...)             // two packets
	exact := append(Query("INSERT"), make([]byte, sequel-len(Query("INSERT")))...) // three, the last one empty
	rows, _ := Result(nil, 1, Caps, 0, "a", string(make([]byte, packet.MaxPayload+5)))
	moved := bytes.Clone(rows)
	renumber(new(packet.Cursor), moved, 1)
	back := bytes.Clone(rows)
	renumber(new(packet.Cursor), back, 255)
	bigRows, _ := Result(nil, 2, Caps, 0, "b")
	for _, tc := range []struct {
		name                  string
		from, to              []byte
		answer, want          []byte
		needed, read, replace bool
	}{
		{"a large command, unread", big, big, bigRows, bigRows, false, false, false},
		{"a large command, read", big, big, bigRows, bigRows, false, true, false},
		{"a large command for a small one, streamed", small, big, bigRows, nil, false, true, true},
		{"a large command for a small one, collected", small, big, bigRows, nil, true, true, true},
		{"a small command for a large one, streamed", big, small, rows, moved, false, true, true},
		{"a small command for a large one, collected", big, small, rows, moved, true, true, true},
		{"an exact multiple", exact, exact, packet.AppendPacket(nil, 3, OK(0)), packet.AppendPacket(nil, 3, OK(0)), true, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want == nil { // the response to two packets, at a client that has sent one
				tc.want = bytes.Clone(tc.answer)
				renumber(new(packet.Cursor), tc.want, 255)
			}
			h := &hooks{}
			if tc.read {
				h.query = func(s hook.Session, p []byte) hook.Verdict {
					if bytes.Equal(p, ping) {
						return hook.Verdict{}
					}
					if !bytes.Equal(p, tc.from) {
						t.Errorf("the script saw %d bytes, want %d", len(p), len(tc.from))
					}
					if !tc.replace {
						return hook.Verdict{}
					}
					s.Queue().Append(inject(1, tc.to, tc.needed))
					return sendQuery()
				}
			}
			scriptedTalk(t, h, steps(Admit(Caps), ExpectPacket(0, tc.to), Send(tc.answer), ExpectPacket(0, ping), SendPacket(1, OK(0)), ExpectEnd()),
				steps(Enter(Caps), SendPacket(0, tc.from), Expect(tc.want), SendPacket(0, ping), ExpectPacket(1, OK(0)), Fin())).wantEnd(1, ReasonClientClosed)
		})
	}
}

// A client that does not wait gets its responses in order, whoever answers.
func TestScriptedPipeline(t *testing.T) {
	shut := []byte{byte(packet.ComStmtClose), 1, 0, 0, 0}
	var all []byte
	var server []Step
	var client []Step
	for i := range 20 {
		sql := Query(fmt.Sprint("SELECT ", i))
		all = packet.AppendPacket(all, 0, sql)
		if i%3 == 0 {
			all = packet.AppendPacket(all, 0, shut)
		}
		rows, _ := Result(nil, 1, Caps, 0, fmt.Sprint(i))
		client = append(client, Expect(rows))
		server = append(server, ExpectPacket(0, sql))
		if server = append(server, Send(rows)); i%3 == 0 {
			server = append(server, ExpectPacket(0, shut))
		}
	}
	for name, h := range map[string]*hooks{
		"unread": {auth: pass}, "forwarded": {query: passQuery},
		"streamed":  {query: func(s hook.Session, p []byte) hook.Verdict { s.Queue().Append(inject(1, p, false)); return sendQuery() }},
		"collected": {query: func(s hook.Session, p []byte) hook.Verdict { s.Queue().Append(inject(1, p, true)); return sendQuery() }},
	} {
		for how, send := range map[string][]Step{"at once": {Send(all)}, "byte by byte": {SendSlowly(all, 1)}} {
			t.Run(name+" "+how, func(t *testing.T) {
				scriptedTalk(t, h, inARow(steps(Admit(Caps)), server, steps(ExpectEnd())), inARow(steps(Enter(Caps)), send, client, steps(Fin()))).wantEnd(1, ReasonClientClosed)
			})
		}
	}
	t.Run("answered by the script", func(t *testing.T) {
		n := 0
		h := &hooks{query: func(_ hook.Session, p []byte) hook.Verdict {
			if p[0] == byte(packet.ComStmtClose) {
				return sendResult(OK(0))
			}
			n++
			return sendResult([]byte(fmt.Sprint(n)))
		}}
		var got []Step
		for i := range 20 {
			got = append(got, ExpectPacket(1, []byte(fmt.Sprint(i+1))))
		}
		scriptedTalk(t, h, steps(Admit(Caps), ExpectEnd()), inARow(steps(Enter(Caps), Send(all)), got, steps(Fin()))).wantEnd(1, ReasonClientClosed)
	})
	t.Run("with a file between them, unread", func(t *testing.T) { // it is asked for while others are outstanding
		file, answer := fileOf(9)
		both := packet.AppendPacket(packet.AppendPacket(nil, 0, ping), 0, load)
		scriptedTalk(t, &hooks{auth: pass}, steps(Admit(Caps), Expect(both), SendPacket(1, OK(0)), SendPacket(1, []byte("\xfbf")), Expect(file), SendPacket(answer, OK(0)), ExpectEnd()),
			steps(Enter(Caps), Send(both), ExpectPacket(1, OK(0)), ExpectPacket(1, []byte("\xfbf")), Send(file), ExpectPacket(answer, OK(0)), Fin())).wantEnd(1, ReasonClientClosed)
	})
}

// The hooks may come and go while a session lives.
func TestHooksThatComeAndGo(t *testing.T) {
	one, two := Query("SELECT 1"), Query("SELECT 2")
	rows, _ := Result(nil, 1, Caps, 0, "a")
	h := &hooks{}
	h.query = func(s hook.Session, _ []byte) hook.Verdict {
		s.Queue().Append(inject(1, one, true))
		h.query = nil
		return sendQuery()
	}
	var end []Step
	end = append(end, SendPacket(0, two), Expect(rows), SendPacket(0, two), Expect(rows), Fin())
	scriptedTalk(t, h, steps(Admit(Caps), ExpectPacket(0, one), Send(rows), ExpectPacket(0, two), Send(rows), ExpectPacket(0, two), Send(rows), ExpectEnd()),
		slices.Concat(steps(Enter(Caps), SendPacket(0, ping), Expect(rows)), end)).wantEnd(1, ReasonClientClosed)
}
