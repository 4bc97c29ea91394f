package engine

import (
	"encoding/binary"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// A read is not repeated at home where that would begin a transaction, or see other
// rows than the transaction is to see.
func TestReadsAreNotRepeatedInTransactions(t *testing.T) {
	off := (&packet.OK{}).Append(nil, 0)
	warns := (&packet.OK{Status: packet.StatusAutocommit, Warnings: 1}).Append(nil, 0)
	begins, begun := SendPacket(1, OK(packet.StatusInTrans)), ExpectPacket(1, OK(packet.StatusInTrans))
	for _, tc := range []struct {
		name                     string
		primary, replica, client []Step
	}{
		{"a function, with autocommit off",
			steps(gets("SET autocommit=0", SendPacket(1, off)), gets("SELECT f()", one("p")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("SELECT a FROM t", sees("r")), asks("SET autocommit=0", ExpectPacket(1, off)), asks("SELECT f()", sees("p")))},
		{"a function, behind BEGIN",
			steps(gets("BEGIN", begins), gets("SELECT f()", one("p")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("SELECT a FROM t", sees("r")), asks("BEGIN", begun), asks("SELECT f()", sees("p")))},
		{"a procedure, behind a statement at home that warns",
			steps(gets("DO 1/0", SendPacket(1, warns)), gets("CALL p()", SendPacket(1, OK(0))), gets("SHOW WARNINGS", one("w")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("SELECT a FROM t", sees("r")), asks("DO 1/0", ExpectPacket(1, warns)), asks("CALL p()", ExpectPacket(1, OK(0))), asks("SHOW WARNINGS", sees("w")))},
		{"warnings at home, which the read clears: before BEGIN",
			steps(gets("DO 1/0", SendPacket(1, warns)), gets("SELECT a FROM t", one("p")), gets("BEGIN", begins), gets("SHOW WARNINGS", one("none")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("DO 1/0", ExpectPacket(1, warns)), asks("SELECT a FROM t", sees("r")), asks("BEGIN", begun), asks("SHOW WARNINGS", sees("none")))},
	} {
		t.Run(tc.name, func(t *testing.T) { split(t, tc.primary, tc.replica, tc.client) })
	}
}

// BEGIN ends LOCK TABLES, and no other lock.
func TestBeginEndsLockTables(t *testing.T) {
	begins, begun := SendPacket(1, OK(packet.StatusInTrans)), ExpectPacket(1, OK(packet.StatusInTrans))
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	for _, tc := range []struct {
		lock  []string
		home  bool // a read behind COMMIT
		first string
	}{
		{[]string{"LOCK TABLES t READ"}, false, "BEGIN"},
		{[]string{"LOCK TABLES t READ"}, false, "START TRANSACTION"},
		{[]string{"LOCK TABLES t READ", "LOCK TABLES s READ"}, false, "BEGIN"},
		{[]string{"FLUSH TABLES WITH READ LOCK"}, true, "BEGIN"},
		{[]string{"FLUSH TABLES WITH READ LOCK", "LOCK TABLES t READ"}, true, "BEGIN"},
		{[]string{"LOCK TABLES t READ", "FLUSH TABLES WITH READ LOCK"}, true, "BEGIN"},
	} {
		t.Run(tc.lock[len(tc.lock)-1]+" "+tc.first, func(t *testing.T) {
			var primary, client, replica []Step
			for _, sql := range tc.lock {
				primary, client = append(primary, gets(sql, sent)), append(client, asks(sql, ok))
			}
			primary = append(primary, gets("SELECT b FROM t", one("p")), gets(tc.first, begins), gets("COMMIT", sent))
			client = append(client, asks("SELECT b FROM t", sees("p")), asks(tc.first, begun), asks("COMMIT", ok))
			if tc.home {
				primary, client = append(primary, gets("SELECT a FROM t", one("p"))), append(client, asks("SELECT a FROM t", sees("p")))
			} else {
				replica, client = steps(gets("SELECT a FROM t", one("r")), gone), append(client, asks("SELECT a FROM t", sees("r")))
			}
			split(t, append(primary, ExpectEnd()), replica, client)
		})
	}
}

// An execution of KILL ? is for the thread that the session has now.
func TestKillByAParameter(t *testing.T) {
	b := &Backend{}
	e := &Engine{}
	e.threads.add(b, 500).Store(9)
	long := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	longlong := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for _, tc := range []struct {
		name  string
		e     packet.Execute
		types []byte // of executions before
		want  []byte
		kills uint32 // 0: not known
	}{
		{"8 bytes", packet.Execute{Params: 1, Nulls: []byte{0}, HasTypes: true, Types: []byte{8, 0}, Values: longlong(500)}, nil, longlong(9), 9},
		{"4 bytes", packet.Execute{Params: 1, Nulls: []byte{0}, HasTypes: true, Types: []byte{3, 0x80}, Values: long(500)}, nil, long(9), 9},
		{"of a type that is known", packet.Execute{Params: 1, Nulls: []byte{0}, Values: longlong(500)}, []byte{8, 0}, longlong(9), 9},
		{"another's", packet.Execute{Params: 1, Nulls: []byte{0}, HasTypes: true, Types: []byte{8, 0}, Values: longlong(501)}, nil, longlong(501), 501},
		{"beyond all threads", packet.Execute{Params: 1, Nulls: []byte{0}, HasTypes: true, Types: []byte{8, 0}, Values: longlong(1<<32 + 500)}, nil, longlong(1<<32 + 500), 0},
		{"NULL", packet.Execute{Params: 1, Nulls: []byte{1}, HasTypes: true, Types: []byte{8, 0}, Values: longlong(500)}, nil, longlong(500), 0},
		{"a text", packet.Execute{Params: 1, Nulls: []byte{0}, HasTypes: true, Types: []byte{253, 0}, Values: []byte("\x03500")}, nil, []byte("\x03500"), 0},
		{"too short", packet.Execute{Params: 1, Nulls: []byte{0}, HasTypes: true, Types: []byte{8, 0}, Values: long(500)}, nil, long(500), 0},
		{"of no type that is known", packet.Execute{Params: 1, Nulls: []byte{0}, Values: longlong(500)}, nil, longlong(500), 0},
	} {
		sp := &splitting{c: &client{loop: &loop{engine: e}}, home: &server{backend: b}}
		sp.aimsBy(&statement{params: 1, types: tc.types}, &tc.e)
		if string(tc.e.Values) != string(tc.want) || sp.after.killed != (tc.kills != 0) || sp.after.kills != tc.kills {
			t.Errorf("%s: % x, kills %d", tc.name, tc.e.Values, sp.after.kills)
		}
	}
}

// A primary whose writes get no GTIDs any more is found out by the sessions that come
// later, for all.
func TestGTIDsThatAreSwitchedOff(t *testing.T) {
	w := newWorld(t)
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	insert := "INSERT INTO t VALUES (1)"
	first := append(atHomeBegins(), gets(insert, sent), gets("SELECT a FROM t", one("p")), Drain())
	second := steps(lets(), ExpectPacket(0, tellsMySQL), one("0"), ExpectPacket(0, trackMySQL), sent, gets("COMMIT", sent), Drain())
	cfg := w.config(w.server(first, second), w.server(steps(lets(), gets("SELECT a FROM t", one("r")), gone)))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	a := w.clientNow("a", Enter(ModernCaps), asks("SELECT a FROM t", sees("r")))
	l, done := w.proxy.loops[0], make(chan struct{})
	l.Post(func() { l.pool(w.proxy.Backends()[0]).learned = -2 * learnAgain; close(done) })
	<-done
	w.clientNow("b", Enter(ModernCaps), asks("COMMIT", ok))
	if err := a.Run(asks(insert, ok), asks("SELECT a FROM t", sees("p"))); err != nil {
		t.Error(err)
	}
}
