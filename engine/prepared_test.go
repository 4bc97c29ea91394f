package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// preparing is the payload of a COM_STMT_PREPARE.
func preparing(sql string) []byte { return append([]byte{byte(packet.ComStmtPrepare)}, sql...) }

// preparedAs is the response to it.
func preparedAs(id uint32, columns, params int) []byte {
	ok := packet.PrepareOK{Statement: id, Columns: uint16(columns), Params: uint16(params)}
	out, seq := packet.AppendPacket(nil, 1, ok.Append(nil, ModernCaps)), byte(2)
	for i := range columns + params {
		col := packet.Column{Catalog: []byte("def"), Name: fmt.Append(nil, "c", i), Type: packet.TypeLong}
		out = packet.AppendPacket(out, seq, col.Append(nil, ModernCaps))
		seq++
	}
	return out
}

// about is the payload of a command about a statement.
func about(c packet.Command, id uint32, rest ...byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{byte(c)}, id), rest...)
}

// runs is the payload of an execution with as many parameters as there are
// values, of a byte each. Their types are there if t is not 0.
func runs(id uint32, t packet.ColumnType, values ...byte) []byte {
	e := packet.Execute{Statement: id, Iterations: 1, Params: len(values), Nulls: make([]byte, (len(values)+7)/8), Values: values}
	if t != 0 {
		e.HasTypes = true
		for range values {
			e.Types = append(e.Types, byte(t), 0)
		}
	}
	return e.Append(nil, 0)
}

// asksFor and getsFor are asks and gets of a payload.
func asksFor(payload []byte, told ...Step) Step {
	return All(fmt.Sprintf("ask % x", payload[:min(len(payload), 40)]), append(steps(SendPacket(0, payload)), told...)...)
}

func getsFor(payload []byte, tells ...Step) Step {
	return All(fmt.Sprintf("get % x", payload[:min(len(payload), 40)]), append(steps(ExpectPacket(0, payload)), tells...)...)
}

// prepares is asksFor and getsFor of a COM_STMT_PREPARE.
func asksPrepare(sql string, id uint32, columns, params int) Step {
	return asksFor(preparing(sql), Expect(preparedAs(id, columns, params)))
}

func getsPrepare(sql string, id uint32, columns, params int) Step {
	return getsFor(preparing(sql), Send(preparedAs(id, columns, params)))
}

// fails is an ERR, breaks its being seen.
func fails(code uint16) Step  { return SendPacket(1, packet.AppendERR(nil, code, "HY000", "no")) }
func breaks(code uint16) Step { return ExpectERR(1, code, "HY000", "no") }

const (
	byID      = "SELECT a FROM t WHERE id=?"
	home1     = 7  // the id at home of the first statement
	reader1   = 70 // at the reader
	oneType   = packet.TypeTiny
	otherType = packet.TypeBit // any other of one byte
	noType    = 0
)

// splits has a client with caps talk through a proxy that splits to a primary, and
// to replicas, each of which lets the proxy in once.
func splits(t *testing.T, caps packet.Capability, client, primary []Step, replicas ...[]Step) {
	t.Helper()
	w := newWorld(t)
	p := w.server(append(primary, ExpectEnd()))
	var scripts [][]Step
	for _, r := range replicas {
		scripts = append(scripts, append(steps(letsWith(caps)), r...))
	}
	cfg := w.config(p, w.server(scripts...))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	w.client("client", append(append(steps(Enter(caps)), client...), Fin())...)
	w.peers.Wait()
}

func letsWith(caps packet.Capability) Step {
	return All("let in", Greet(Greeting(caps)), ExpectWhere("a login", func(packet.Packet) error { return nil }), SendPacket(2, OK(0)))
}

// mariaCaps are those of a MariaDB.
const mariaCaps = ModernCaps &^ packet.CapLongPassword

func atMariaDBBegins() []Step {
	return steps(letsWith(mariaCaps), ExpectPacket(0, Query("SELECT @@GLOBAL.log_bin")), one("1"),
		ExpectPacket(0, Query("SET SESSION session_track_system_variables=CONCAT(@@SESSION.session_track_system_variables,',last_gtid'),session_track_state_change=ON")), SendPacket(1, OK(0)))
}

func TestPreparedStatements(t *testing.T) {
	ok, okSent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	inTrans := OK(packet.StatusInTrans)
	prep, prepHome, prepThere := asksPrepare(byID, home1, 1, 1), getsPrepare(byID, home1, 1, 1), getsPrepare(byID, reader1, 1, 1)
	longData := about(packet.ComStmtSendLongData, home1, 0, 0, 'x')
	cursor := runs(home1, oneType, 1)
	cursor[5] = 1
	huge := append(runs(home1, noType, 1), make([]byte, longestRead)...)
	hugeTyped := append(runs(home1, otherType, 1), make([]byte, longestRead)...)
	null, nullThere := runs(home1, oneType, 0), runs(reader1, oneType, 0)
	null, nullThere = null[:len(null)-1], nullThere[:len(nullThere)-1]
	null[10], nullThere[10] = 1, 1
	nulls := packet.Execute{Statement: home1, Iterations: 1, Params: 1, Nulls: []byte{0xff}, HasTypes: true, Types: []byte{byte(oneType), 0}}
	for _, tc := range []struct {
		name            string
		client, primary []Step
		replica         []Step // nil if there is to be no session with it
	}{
		{"a read is prepared at the replica when it is first executed, once",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(runs(home1, oneType, 2), sees("s"))),
			steps(prepHome),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, oneType, 2), one("s")), quits())},
		{"a write stays home",
			steps(asksPrepare("INSERT INTO t VALUES (?)", home1, 0, 1), asksFor(runs(home1, oneType, 1), ok)),
			steps(getsPrepare("INSERT INTO t VALUES (?)", home1, 0, 1), getsFor(runs(home1, oneType, 1), okSent)), nil},
		{"an unknown statement is home's to refuse",
			steps(asksFor(runs(99, oneType, 1), breaks(1243))), steps(getsFor(runs(99, oneType, 1), fails(1243))), nil},
		{"one that could not be prepared",
			steps(asksFor(preparing("SELECT broken("), breaks(1064)), prep, asksFor(runs(home1, oneType, 1), sees("r"))),
			steps(getsFor(preparing("SELECT broken("), fails(1064)), prepHome),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), quits())},
		{"types that the client leaves out are the replica's too",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(runs(home1, noType, 2), sees("s"))),
			steps(prepHome),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, noType, 2), one("s")), quits())},
		{"types that only home has seen",
			steps(prep, asks("BEGIN", ExpectPacket(1, inTrans)), asksFor(runs(home1, oneType, 1), Expect(inTransaction("p"))), asks("COMMIT", ok), asksFor(runs(home1, noType, 2), sees("r")), asksFor(runs(home1, noType, 3), sees("s"))),
			steps(prepHome, gets("BEGIN", SendPacket(1, inTrans)), getsFor(runs(home1, oneType, 1), Send(inTransaction("p"))), gets("COMMIT", okSent)),
			steps(prepThere, getsFor(runs(reader1, oneType, 2), one("r")), getsFor(runs(reader1, noType, 3), one("s")), quits())},
		{"types that only the replica has seen",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asks("BEGIN", ExpectPacket(1, inTrans)),
				asksFor(runs(home1, noType, 2), Expect(inTransaction("p"))), asksFor(runs(home1, noType, 3), Expect(inTransaction("q")))),
			steps(prepHome, gets("BEGIN", SendPacket(1, inTrans)),
				getsFor(runs(home1, oneType, 2), Send(inTransaction("p"))), getsFor(runs(home1, noType, 3), Send(inTransaction("q")))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), quits())},
		{"types change: home has both, and the last word",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asks("BEGIN", ExpectPacket(1, inTrans)), asksFor(runs(home1, otherType, 2), Expect(inTransaction("p"))), asks("COMMIT", ok), asksFor(runs(home1, noType, 3), sees("s"))),
			steps(prepHome, gets("BEGIN", SendPacket(1, inTrans)), getsFor(runs(home1, oneType, 0), Send(inTransaction("own"))), getsFor(runs(home1, otherType, 2), Send(inTransaction("p"))), gets("COMMIT", okSent),
				getsFor(runs(home1, noType, 3), one("s"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), quits())},
		{"a NULL of a type that only home knows",
			steps(prep, asks("BEGIN", ExpectPacket(1, inTrans)), asksFor(runs(home1, oneType, 1), Expect(inTransaction("p"))), asks("COMMIT", ok), asksFor(null, sees("q")), asksFor(runs(home1, oneType, 2), sees("r")), asksFor(null, sees("s"))),
			steps(prepHome, gets("BEGIN", SendPacket(1, inTrans)), getsFor(runs(home1, oneType, 1), Send(inTransaction("p"))), gets("COMMIT", okSent), getsFor(null, one("q"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 2), one("r")), getsFor(nullThere, one("s")), quits())},
		{"a NULL of a type that only the replica knows",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asks("BEGIN", ExpectPacket(1, inTrans)), asksFor(null, Expect(inTransaction("p")))),
			steps(prepHome, gets("BEGIN", SendPacket(1, inTrans)), getsFor(runs(home1, oneType, 0), Send(inTransaction("own"))), getsFor(null, Send(inTransaction("p")))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), quits())},
		{"a NULL before any other value is of no type",
			steps(prep, asksFor(null, sees("r")), asksFor(runs(home1, otherType, 1), sees("p")), asksFor(runs(home1, otherType, 1), sees("q"))),
			steps(prepHome, getsFor(runs(home1, otherType, 1), one("p")), getsFor(runs(home1, otherType, 1), one("q"))),
			steps(prepThere, getsFor(nullThere, one("r")), quits())},
		{"no types were ever sent",
			steps(prep, asksFor(runs(home1, noType, 1), breaks(1210))), steps(prepHome, getsFor(runs(home1, noType, 1), fails(1210))), nil},
		{"an ERR of the replica is not shown, and home has the types",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(runs(home1, noType, 2), sees("p")), asksFor(runs(home1, noType, 3), sees("s")),
				asks("BEGIN", ExpectPacket(1, inTrans)), asksFor(runs(home1, noType, 4), Expect(inTransaction("q")))),
			steps(prepHome, getsFor(runs(home1, oneType, 2), one("p")), gets("BEGIN", SendPacket(1, inTrans)), getsFor(runs(home1, noType, 4), Send(inTransaction("q")))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, noType, 2), fails(1290)), getsFor(runs(reader1, oneType, 3), one("s")), quits())},
		{"a statement that the replica does not know any more is prepared there again",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("p")), asksFor(runs(home1, noType, 2), sees("s"))),
			steps(prepHome, getsFor(runs(home1, oneType, 1), one("p"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), fails(1243)), getsFor(about(packet.ComStmtClose, reader1)), getsPrepare(byID, reader1+1, 1, 1), getsFor(runs(reader1+1, oneType, 2), one("s")), quits())},
		{"the replica cannot prepare it",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("p")), asksFor(runs(home1, noType, 2), sees("q"))),
			steps(prepHome, getsFor(runs(home1, oneType, 1), one("p")), getsFor(runs(home1, noType, 2), one("q"))),
			steps(getsFor(preparing(byID), fails(1146)), quits())},
		{"the replica prepares something else",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("p")), asksFor(runs(home1, noType, 2), sees("q"))),
			steps(prepHome, getsFor(runs(home1, oneType, 1), one("p")), getsFor(runs(home1, noType, 2), one("q"))),
			steps(getsPrepare(byID, reader1, 2, 1), getsFor(about(packet.ComStmtClose, reader1)), quits())},
		{"a cursor is home's, and what closes it",
			steps(prep, asksFor(cursor, sees("p")), asksFor(about(packet.ComStmtFetch, home1, 1, 0, 0, 0), breaks(1421)), asksFor(runs(home1, noType, 1), sees("q")), asksFor(runs(home1, noType, 2), sees("r"))),
			steps(prepHome, getsFor(cursor, one("p")), getsFor(about(packet.ComStmtFetch, home1, 1, 0, 0, 0), fails(1421)), getsFor(runs(home1, noType, 1), one("q"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 2), one("r")), quits())},
		{"long data is home's, up to the next execution",
			steps(prep, asksFor(longData), asksFor(runs(home1, oneType, 1), sees("p")), asksFor(runs(home1, oneType, 2), sees("r"))),
			steps(prepHome, getsFor(longData), getsFor(runs(home1, oneType, 1), one("p"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 2), one("r")), quits())},
		{"long data is gone by COM_STMT_RESET",
			steps(prep, asksFor(longData), asksFor(about(packet.ComStmtReset, home1), ok), asksFor(runs(home1, oneType, 2), sees("r"))),
			steps(prepHome, getsFor(longData), getsFor(about(packet.ComStmtReset, home1), okSent)),
			steps(prepThere, getsFor(runs(reader1, oneType, 2), one("r")), quits())},
		{"the last statement's id is an unknown one to MySQL",
			steps(prep, asksFor(runs(packet.ExecuteLast, oneType, 1), breaks(1243)), asksFor(runs(home1, noType, 1), breaks(1210))),
			steps(prepHome, getsFor(runs(packet.ExecuteLast, oneType, 1), fails(1243)), getsFor(runs(home1, noType, 1), fails(1210))), nil},
		{"the database is another than it was prepared with",
			steps(prep, asks("USE x", ok), asksFor(runs(home1, oneType, 1), sees("p"))),
			steps(prepHome, gets("USE x", okSent), getsFor(runs(home1, oneType, 1), one("p"))), nil},
		{"the database is the same again",
			steps(asks("USE x", ok), prep, asks("USE y", ok), asks("USE x", ok), asksFor(runs(home1, oneType, 1), sees("r"))),
			steps(gets("USE x", okSent), prepHome, gets("USE y", okSent), gets("USE x", okSent)),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), quits())},
		{"variables are others than it was prepared with",
			steps(prep, asks("SET div_precision_increment=5", ok), asksFor(runs(home1, oneType, 1), sees("p"))),
			steps(prepHome, gets("SET div_precision_increment=5", okSent), getsFor(runs(home1, oneType, 1), one("p"))), nil},
		{"variables are set behind both have prepared it",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asks("SET div_precision_increment=5", ok), asksFor(runs(home1, noType, 2), sees("s"))),
			steps(prepHome, gets("SET div_precision_increment=5", okSent)),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), gets("SET SESSION div_precision_increment=5", okSent), getsFor(runs(reader1, noType, 2), one("s")), quits())},
		{"closed at home and at the replica",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asks("INSERT INTO t VALUES (1)", ok), asksFor(about(packet.ComStmtClose, home1)), asksFor(runs(home1, oneType, 1), breaks(1243))),
			steps(prepHome, gets("INSERT INTO t VALUES (1)", okSent), getsFor(about(packet.ComStmtClose, home1)), getsFor(runs(home1, oneType, 1), fails(1243))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(about(packet.ComStmtClose, reader1)), quits())},
		{"what a read that is closed has left behind",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(about(packet.ComStmtClose, home1)), asks("SELECT FOUND_ROWS()", sees("1")), asksFor(ping, ok)),
			steps(prepHome, getsFor(runs(home1, oneType, 1), one("again")), getsFor(about(packet.ComStmtClose, home1)), gets("SELECT FOUND_ROWS()", one("1")), getsFor(ping, okSent)),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(about(packet.ComStmtClose, reader1)), quits())},
		{"a read that is closed, and nobody asks",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(about(packet.ComStmtClose, home1)), asks("SELECT a FROM t", sees("s")), asks("INSERT INTO t VALUES (1)", ok)),
			steps(prepHome, getsFor(about(packet.ComStmtClose, home1)), gets("INSERT INTO t VALUES (1)", okSent)),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(about(packet.ComStmtClose, reader1)), gets("SELECT a FROM t", one("s")), quits())},
		{"what a read has left behind is not gone by COM_STMT_PREPARE",
			steps(asks("SELECT a FROM t", sees("r")), prep, asks("SELECT FOUND_ROWS()", sees("1"))),
			steps(prepHome, gets("SELECT a FROM t", one("again")), gets("SELECT FOUND_ROWS()", one("1"))),
			steps(gets("SELECT a FROM t", one("r")), quits())},
		{"a prepared statement about the one before",
			steps(asksPrepare("SELECT FOUND_ROWS()", home1, 1, 0), asks("SELECT a FROM t", sees("r")), asksFor(runs(home1, noType), sees("1"))),
			steps(getsPrepare("SELECT FOUND_ROWS()", home1, 1, 0), gets("SELECT a FROM t", one("again")), getsFor(runs(home1, noType), one("1"))),
			steps(gets("SELECT a FROM t", one("r")), quits())},
		{"COM_RESET_CONNECTION forgets all",
			steps(prep, asksFor([]byte{byte(packet.ComResetConnection)}, ok), asksFor(runs(home1, oneType, 1), breaks(1243))),
			steps(prepHome, getsFor([]byte{byte(packet.ComResetConnection)}, okSent), getsFor(trackMySQL, okSent), getsFor(runs(home1, oneType, 1), fails(1243))), nil},
		{"the replica dies over an execution",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("p"))), steps(prepHome, getsFor(runs(home1, oneType, 1), one("p"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), Reset()))},
		{"an execution that is too long to be held, and leaves out types that home has not seen",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(huge, sees("p")), asksFor(runs(home1, noType, 2), sees("s"))),
			steps(prepHome, getsFor(runs(home1, oneType, 0), one("own")), getsFor(nulls.Append(nil, 0), one("null")), getsFor(huge, one("p"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, noType, 2), one("s")), quits())},
		{"an execution that is too long to be held, with other types",
			steps(prep, asksFor(runs(home1, oneType, 1), sees("r")), asksFor(hugeTyped, sees("p")), asksFor(runs(home1, noType, 2), sees("q")), asksFor(runs(home1, oneType, 3), sees("s"))),
			steps(prepHome, getsFor(runs(home1, oneType, 0), one("own")), getsFor(hugeTyped, one("p")), getsFor(runs(home1, noType, 2), one("q")), getsFor(runs(home1, oneType, 3), one("s"))),
			steps(prepThere, getsFor(runs(reader1, oneType, 1), one("r")), quits())},
		{"more than the replica has room for", manyStatements(ok, okSent)[0], manyStatements(ok, okSent)[1], manyStatements(ok, okSent)[2]},
		{"more text than there is room for", muchText()[0], muchText()[1], muchText()[2]},
		{"a prepared SET that fails behind a write that does not",
			steps(asksPrepare("SET div_precision_increment=5", home1, 0, 0), All("at once", Send(append(packet.AppendPacket(nil, 0, Query("INSERT INTO t VALUES (1)")), packet.AppendPacket(nil, 0, runs(home1, noType))...)), ok, breaks(1231)),
				asks("SELECT a FROM t", sees("r"))),
			steps(getsPrepare("SET div_precision_increment=5", home1, 0, 0), ExpectPacket(0, Query("INSERT INTO t VALUES (1)")), ExpectPacket(0, runs(home1, noType)), okSent, fails(1231)),
			steps(gets("SELECT a FROM t", one("r")), quits())},
		{"a SET behind what fails",
			steps(All("at once", Send(append(packet.AppendPacket(nil, 0, preparing(byID)), packet.AppendPacket(nil, 0, Query("SET div_precision_increment=5"))...)), breaks(1146), ok),
				asks("SELECT a FROM t", sees("r"))),
			steps(ExpectPacket(0, preparing(byID)), ExpectPacket(0, Query("SET div_precision_increment=5")), fails(1146), okSent),
			steps(gets("SET SESSION div_precision_increment=5", okSent), gets("SELECT a FROM t", one("r")), quits())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var replicas [][]Step
			if tc.replica != nil {
				replicas = append(replicas, tc.replica)
			}
			splits(t, ModernCaps, tc.client, append(atHomeBegins(), tc.primary...), replicas...)
		})
	}
}

// inTransaction is a result of one row, in a transaction.
func inTransaction(value string) []byte {
	b, _ := Result(nil, 1, ModernCaps, packet.StatusInTrans, value)
	return b
}

// manyStatements is a session that executes one statement more than are kept at a
// replica, and then the first and the last again.
func manyStatements(ok, okSent Step) (talk [3][]Step) {
	text := func(i int) string { return fmt.Sprintf("SELECT a FROM t WHERE id=%d", i) }
	for i := range maxThere + 1 {
		talk[0] = append(talk[0], asksPrepare(text(i), uint32(1+i), 1, 0), asksFor(runs(uint32(1+i), noType), sees("r")))
		talk[1] = append(talk[1], getsPrepare(text(i), uint32(1+i), 1, 0))
		if i == maxThere {
			// The first has been executed again, so the second is the oldest.
			talk[0] = append(talk[0][:len(talk[0])-2], asksFor(runs(1, noType), sees("first")), talk[0][len(talk[0])-2], talk[0][len(talk[0])-1])
			talk[2] = append(talk[2], getsFor(runs(1001, noType), one("first")), getsFor(about(packet.ComStmtClose, 1002)))
		}
		talk[2] = append(talk[2], getsPrepare(text(i), uint32(1001+i), 1, 0), getsFor(runs(uint32(1001+i), noType), one("r")))
	}
	talk[0] = append(talk[0], asksFor(runs(2, noType), sees("second")), asksFor(runs(1, noType), sees("first")))
	talk[2] = append(talk[2], getsFor(about(packet.ComStmtClose, 1003)), getsPrepare(text(1), 2000, 1, 0), getsFor(runs(2000, noType), one("second")), getsFor(runs(1001, noType), one("first")), quits())
	return talk
}

// muchText is a session whose last statement's text finds no room, until another is
// closed.
func muchText() (talk [3][]Step) {
	text := "SELECT a FROM t WHERE a='" + strings.Repeat("x", 60000) + "'"
	n := uint32(maxStatementBytes / len(text))
	for id := uint32(1); id <= n+1; id++ {
		talk[0] = append(talk[0], asksPrepare(text, id, 1, 0))
		talk[1] = append(talk[1], getsPrepare(text, id, 1, 0))
	}
	talk[0] = append(talk[0], asksFor(runs(n+1, noType), sees("p")), asksFor(about(packet.ComStmtClose, n+1)), asksFor(about(packet.ComStmtClose, 1)),
		asksPrepare(text, n+2, 1, 0), asksFor(runs(n+2, noType), sees("r")))
	talk[1] = append(talk[1], getsFor(runs(n+1, noType), one("p")), getsFor(about(packet.ComStmtClose, n+1)), getsFor(about(packet.ComStmtClose, 1)),
		getsPrepare(text, n+2, 1, 0))
	talk[2] = steps(getsPrepare(text, reader1, 1, 0), getsFor(runs(reader1, noType), one("r")), quits())
	return talk
}

// The reader is another after one has died: what it has not seen it gets.
func TestPreparedStatementsAtAnotherReplica(t *testing.T) {
	splits(t, ModernCaps,
		steps(asksPrepare(byID, home1, 1, 1), asksFor(runs(home1, oneType, 1), sees("r")), asksFor(runs(home1, noType, 2), sees("p")), asksFor(runs(home1, noType, 3), sees("s"))),
		append(atHomeBegins(), getsPrepare(byID, home1, 1, 1), getsFor(runs(home1, oneType, 2), one("p"))),
		steps(getsPrepare(byID, reader1, 1, 1), getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, noType, 2), Reset())),
		steps(getsPrepare(byID, reader1+1, 1, 1), getsFor(runs(reader1+1, oneType, 3), one("s")), quits()))
}

// MariaDB's clients send a COM_STMT_PREPARE and what they do with it at once.
func TestStatementPreparedLast(t *testing.T) {
	last := packet.ExecuteLast
	at := func(payloads ...[]byte) Step {
		var b []byte
		for _, p := range payloads {
			b = packet.AppendPacket(b, 0, p)
		}
		return Send(b)
	}
	takes := func(payloads ...[]byte) Step {
		var b []byte
		for _, p := range payloads {
			b = packet.AppendPacket(b, 0, p)
		}
		return Expect(b)
	}
	insert := "INSERT INTO t VALUES (?)"
	for _, tc := range []struct {
		name                     string
		client, primary, replica []Step
	}{
		{"home gets both without waiting",
			steps(at(preparing(byID), runs(last, oneType, 1)), Expect(preparedAs(home1, 1, 1)), sees("p")),
			steps(takes(preparing(byID), runs(last, oneType, 1)), Send(preparedAs(home1, 1, 1)), one("p")), nil},
		{"and closes it",
			steps(at(preparing(insert), runs(last, oneType, 1), about(packet.ComStmtClose, last), ping), Expect(preparedAs(home1, 0, 1)), ExpectPacket(1, OK(0)), ExpectPacket(1, OK(0))),
			steps(takes(preparing(insert), runs(last, oneType, 1)), Send(preparedAs(home1, 0, 1)), SendPacket(1, OK(0)), takes(about(packet.ComStmtClose, last), ping), SendPacket(1, OK(0))), nil},
		{"an error of the COM_STMT_PREPARE",
			steps(at(preparing(byID), runs(last, oneType, 1)), breaks(1146), breaks(1243)),
			steps(takes(preparing(byID), runs(last, oneType, 1)), fails(1146), fails(1243)), nil},
		{"what may do anything is awaited",
			steps(at(preparing("SELECT broken("), runs(last, oneType, 1)), breaks(1064), breaks(1243)),
			steps(takes(preparing("SELECT broken(")), fails(1064), takes(runs(last, oneType, 1)), fails(1243)), nil},
		{"by its own id it is executed at the replica, once its types are known",
			steps(asksPrepare(byID, home1, 1, 1), asksFor(runs(last, oneType, 1), sees("p")), asksFor(runs(home1, noType, 2), sees("r"))),
			steps(getsPrepare(byID, home1, 1, 1), getsFor(runs(last, oneType, 1), one("p"))),
			steps(getsPrepare(byID, reader1, 1, 1), getsFor(runs(reader1, oneType, 2), one("r")), quits())},
		{"one that sets a variable",
			steps(at(preparing("SET div_precision_increment=5"), runs(last, noType)), Expect(preparedAs(home1, 0, 0)), ExpectPacket(1, OK(0)), asks("SELECT a FROM t", sees("r"))),
			steps(takes(preparing("SET div_precision_increment=5")), Send(preparedAs(home1, 0, 0)), takes(runs(last, noType)), SendPacket(1, OK(0))),
			steps(gets("SET SESSION div_precision_increment=5", SendPacket(1, OK(0))), gets("SELECT a FROM t", one("r")), quits())},
		{"in bulk",
			steps(asksPrepare(insert, home1, 0, 1), asksFor(about(packet.ComStmtBulkExecute, home1, 0, 0), ExpectPacket(1, OK(0)))),
			steps(getsPrepare(insert, home1, 0, 1), getsFor(about(packet.ComStmtBulkExecute, home1, 0, 0), SendPacket(1, OK(0)))), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var replicas [][]Step
			if tc.replica != nil {
				replicas = append(replicas, tc.replica)
			}
			splits(t, mariaCaps, tc.client, append(atMariaDBBegins(), tc.primary...), replicas...)
		})
	}
}

// MariaDB's statements take each execution's types as they come: with others they go
// to the replica as well.
func TestTypesOfParametersChangeAtMariaDB(t *testing.T) {
	splits(t, mariaCaps,
		steps(asksPrepare(byID, home1, 1, 1), asksFor(runs(home1, oneType, 1), sees("r")), asks("COMMIT", ExpectPacket(1, OK(0))), asksFor(runs(home1, otherType, 2), sees("s"))),
		append(atMariaDBBegins(), getsPrepare(byID, home1, 1, 1), gets("COMMIT", SendPacket(1, OK(0)))),
		steps(getsPrepare(byID, reader1, 1, 1), getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, otherType, 2), one("s")), quits()))
}

// A list of types may be shorter than the statement's parameters, where these are counted.
func TestTypesThatAreMissing(t *testing.T) {
	const caps = ModernCaps | packet.CapQueryAttributes
	run := func(params int, types ...byte) []byte {
		e := packet.Execute{Statement: home1, Flags: packet.ExecuteCounted, Iterations: 1, Params: params, Nulls: []byte{0}, HasTypes: types != nil, Types: types, Values: []byte{9, 9}}
		return e.Append(nil, caps)
	}
	few, all := run(1, byte(oneType), 0, 0), run(2)
	splits(t, caps,
		steps(asksPrepare("SELECT a FROM t WHERE id IN (?,?)", home1, 1, 2), asksFor(few, breaks(1210)), asksFor(all, breaks(1210))),
		append(attributesBegin(caps), getsPrepare("SELECT a FROM t WHERE id IN (?,?)", home1, 1, 2), getsFor(few, fails(1210)), getsFor(all, fails(1210))))
}

// With query attributes there is a number before the parameters, and a name with
// each type.
func TestPreparedStatementsWithQueryAttributes(t *testing.T) {
	const caps = ModernCaps | packet.CapQueryAttributes
	run := func(id uint32, params int, typed bool) []byte {
		e := packet.Execute{Statement: id, Flags: packet.ExecuteCounted, Iterations: 1, Params: params, Nulls: []byte{0}, HasTypes: typed, Values: bytes.Repeat([]byte{9}, params)}
		for i := range params {
			e.Types = packet.AppendLenEncString(append(e.Types, byte(oneType), 0), []string{"", "trace"}[i])
		}
		return e.Append(nil, caps)
	}
	splits(t, caps,
		steps(asksPrepare(byID, home1, 1, 1), asksFor(run(home1, 1, true), sees("r")), asksFor(run(home1, 2, true), sees("p")), asksFor(run(home1, 1, true), sees("s")), asksFor(run(home1, 1, false), sees("t"))),
		append(attributesBegin(caps), getsPrepare(byID, home1, 1, 1), getsFor(run(home1, 2, true), one("p"))),
		steps(getsPrepare(byID, reader1, 1, 1), getsFor(run(reader1, 1, true), one("r")), getsFor(run(reader1, 1, true), one("s")), getsFor(run(reader1, 1, false), one("t")), quits()))
}

// attributesBegin is atHomeBegins where CapQueryAttributes is in force.
func attributesBegin(caps packet.Capability) []Step {
	attributed := func(q []byte) Step { return ExpectPacket(0, append([]byte{q[0], 0, 1}, q[1:]...)) }
	return steps(letsWith(caps), attributed(tellsMySQL), one("1"), attributed(trackMySQL), SendPacket(1, OK(0)))
}

// Wherever the streams are cut, the session is the same. What the client sends,
// it sends at once.
func TestPreparedStatementsAtEveryCut(t *testing.T) {
	var stream []byte
	insert := Query("INSERT INTO t VALUES (1)")
	for _, p := range [][]byte{preparing(byID), runs(home1, oneType, 1), runs(home1, noType, 2), about(packet.ComStmtClose, home1), insert, ping} {
		stream = packet.AppendPacket(stream, 0, p)
	}
	row := func(v string) []byte { b, _ := Result(nil, 1, ModernCaps, 0, v); return b }
	ok := packet.AppendPacket(nil, 1, OK(0))
	atHome, atReplica := preparedAs(home1, 1, 1), preparedAs(reader1, 1, 1)
	seen := bytes.Join([][]byte{atHome, row("r"), row("s"), ok, ok}, nil)
	cuts := len(stream) + len(atHome) + len(atReplica) + len(row("r"))
	// pieces sends b in two if the cut of session i is in it. before is how many bytes
	// come before b that are to be cut.
	pieces := func(b []byte, before, i int) Step {
		at := i - before
		if at <= 0 || at >= len(b) {
			return Send(b)
		}
		return All(fmt.Sprint("cut at ", at), Send(b[:at]), Do("wait", func(*Conn) error { time.Sleep(time.Millisecond); return nil }), Send(b[at:]))
	}
	w := newWorld(t)
	home := w.serverOf(func(i int, c *Conn) error {
		begins := atHomeBegins()
		if i > 0 {
			begins = append(begins[:1], begins[3:]...) // what it tells of writes is known by now
		}
		return c.Run(append(begins, ExpectPacket(0, preparing(byID)), pieces(atHome, len(stream), i), ExpectPacket(0, about(packet.ComStmtClose, home1)), ExpectPacket(0, insert), Send(ok), ExpectPacket(0, ping), Send(ok), ExpectEnd())...)
	})
	replica := w.serverOf(func(i int, c *Conn) error {
		return c.Run(lets(), ExpectPacket(0, preparing(byID)), pieces(atReplica, len(stream)+len(atHome), i),
			ExpectPacket(0, runs(reader1, oneType, 1)), pieces(row("r"), len(stream)+len(atHome)+len(atReplica), i), ExpectPacket(0, runs(reader1, noType, 2)), Send(row("s")),
			ExpectPacket(0, about(packet.ComStmtClose, reader1)), quits())
	})
	cfg := w.config(home.Addr(), replica.Addr())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	for i := range cuts {
		w.clientNow(fmt.Sprint("client with cut ", i), Enter(ModernCaps), pieces(stream, 0, i), Expect(seen), Fin())
	}
}
