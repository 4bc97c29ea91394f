package engine

import (
	"bytes"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// has and sends are getsFor and asksFor of a command with a response of one packet.
func has(command, tells []byte) Step  { return getsFor(command, SendPacket(1, tells)) }
func sends(command, told []byte) Step { return asksFor(command, ExpectPacket(1, told)) }

// A command that is no statement adds what it has to say to the messages that are
// there: a read that has cleared them, or has its own, runs at home before.
func TestMessagesOfCommandsBesideThoseOfAReadElsewhere(t *testing.T) {
	unknown := about(packet.ComStmtExecute, 77, 0, 1, 0, 0, 0)
	warns := func(value string, warnings uint16) []byte {
		b, _ := Result(nil, 1, ModernCaps, 0, value)
		at := len(b) - 2
		return append(bytes.Clone(b[:at]), byte(warnings), byte(warnings>>8))
	}
	for _, tc := range []struct {
		name    string
		command []byte
	}{
		{"an execution of an unknown statement", unknown},
		{"COM_STMT_FETCH", about(packet.ComStmtFetch, 77, 1, 0, 0, 0)},
		{"COM_STMT_RESET", about(packet.ComStmtReset, 77)},
		{"COM_INIT_DB", []byte("\x02missing")},
		{"COM_SET_OPTION", []byte{byte(packet.ComSetOption), 7, 0}},
		{"COM_FIELD_LIST", []byte("\x04missing\x00")},
		{"COM_PROCESS_KILL", []byte{byte(packet.ComProcessKill), 9, 0, 0, 0}},
		{"an unknown command", []byte{80}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			split(t,
				steps(has(unknown, errs(1243)), gets("SELECT a FROM t", one("p")), has(tc.command, errs(1047)), gets("SHOW WARNINGS", one("w")), ExpectEnd()),
				steps(gets("SELECT a FROM t", one("r")), gone),
				steps(sends(unknown, errs(1243)), asks("SELECT a FROM t", sees("r")), sends(tc.command, errs(1047)), asks("SHOW WARNINGS", sees("w"))))
		})
		t.Run(tc.name+", with warnings of the read", func(t *testing.T) {
			split(t,
				steps(gets("SELECT 1/0 FROM t", Send(warns("p", 1))), has(tc.command, errs(1047)), gets("SHOW WARNINGS", one("w")), ExpectEnd()),
				steps(gets("SELECT 1/0 FROM t", Send(warns("r", 1))), gone),
				steps(asks("SELECT 1/0 FROM t", Expect(warns("r", 1))), sends(tc.command, errs(1047)), asks("SHOW WARNINGS", sees("w"))))
		})
	}
}

// MySQL's CALL tells the number of rows of the statement before, so none gets in
// between that has one.
func TestCallBehindAWriteBehindARead(t *testing.T) {
	row := (&packet.OK{AffectedRows: 1, Status: packet.StatusAutocommit}).Append(nil, 0)
	split(t,
		steps(gets("UPDATE t SET a=1", SendPacket(1, row)), gets("CALL p()", SendPacket(1, row)), ExpectEnd()),
		steps(gets("SELECT a FROM t", one("r")), gone),
		steps(asks("SELECT a FROM t", sees("r")), asks("UPDATE t SET a=1", ExpectPacket(1, row)), asks("CALL p()", ExpectPacket(1, row))))
}

// A read that fails leaves FOUND_ROWS() of the one before it.
func TestFoundRowsBehindAReadThatFails(t *testing.T) {
	for _, tc := range []struct {
		name             string
		fails, asksFails Step
	}{
		{"a query", gets("SELECT missing FROM t", SendPacket(1, errs(1054))), asks("SELECT missing FROM t", ExpectPacket(1, errs(1054)))},
		{"an execution", getsFor(runs(reader1, noType), fails(1054)), asksFor(runs(home1, noType), breaks(1054))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			again := getsFor(runs(home1, noType), fails(1054))
			prepare, prepares := getsPrepare("SELECT f FROM t", home1, 1, 0), asksPrepare("SELECT f FROM t", home1, 1, 0)
			there := getsPrepare("SELECT f FROM t", reader1, 1, 0)
			if tc.name == "a query" {
				again, there = tc.fails, All("nothing")
			}
			split(t,
				steps(prepare, again, gets("SELECT a FROM t", one("p")), gets("SELECT FOUND_ROWS()", one("1")), ExpectEnd()),
				steps(gets("SELECT a FROM t", one("r")), there, tc.fails, gone),
				steps(prepares, asks("SELECT a FROM t", sees("r")), tc.asksFails, asks("SELECT FOUND_ROWS()", sees("1"))))
		})
	}
}

// What commands that are no statements leave of a read's FOUND_ROWS() and ROW_COUNT().
func TestCountsOfAReadBehindOtherCommands(t *testing.T) {
	ping, other, back := []byte{byte(packet.ComPing)}, []byte("\x02other"), []byte("\x02first")
	fields, definition := []byte("\x04t\x00"), []byte("\x03def")
	end := []byte{0xfe, 0, 0, 2, 0, 0, 0}
	called, seq := Result(nil, 1, ModernCaps, packet.StatusInTrans|packet.StatusMoreResults, "x")
	called = packet.AppendPacket(called, seq, OK(packet.StatusInTrans))
	for _, tc := range []struct {
		name, ask        string
		between, echoes  []Step // at home
		betweenAtClients []Step
	}{
		{"ROW_COUNT() behind a ping, which is 0", "SELECT ROW_COUNT()", steps(has(ping, OK(0))), nil, steps(sends(ping, OK(0)))},
		{"FOUND_ROWS() behind a ping", "SELECT FOUND_ROWS()", steps(has(ping, OK(0))), steps(gets("SELECT a FROM t", one("p")), has(ping, OK(0))), steps(sends(ping, OK(0)))},
		{"FOUND_ROWS() behind a COM_FIELD_LIST", "SELECT FOUND_ROWS(), ROW_COUNT()",
			steps(ExpectPacket(0, fields), SendPacket(1, definition), SendPacket(2, end)), steps(gets("SELECT a FROM t", one("p"))),
			steps(SendPacket(0, fields), ExpectPacket(1, definition), ExpectPacket(2, end))},
		{"FOUND_ROWS() in another database", "SELECT FOUND_ROWS()", steps(has(other, OK(0))),
			steps(has(back, OK(0)), gets("SELECT a FROM t", one("p")), has(other, OK(0))), steps(sends(other, OK(0)))},
		{"ROW_COUNT() behind a ROLLBACK", "SELECT ROW_COUNT()", steps(gets("ROLLBACK", SendPacket(1, OK(0)))), nil, steps(asks("ROLLBACK", ExpectPacket(1, OK(0))))},
		{"FOUND_ROWS() behind SHOW WARNINGS", "SELECT FOUND_ROWS()", steps(gets("COMMIT", SendPacket(1, OK(0))), gets("SHOW WARNINGS", one("w"))),
			steps(gets("SELECT a FROM t", one("p"))), steps(asks("COMMIT", ExpectPacket(1, OK(0))), asks("SHOW WARNINGS", sees("w")))},
		{"FOUND_ROWS() behind SET TRANSACTION, before which the read is repeated", "SELECT FOUND_ROWS()",
			steps(gets("SELECT a FROM t", one("p")), gets("SET TRANSACTION READ ONLY", SendPacket(1, OK(0))), gets("SELECT f()", one("f"))), nil,
			steps(asks("SET TRANSACTION READ ONLY", ExpectPacket(1, OK(0))), asks("SELECT f()", sees("f")))},
		{"FOUND_ROWS() behind a procedure with rows, in a transaction", "SELECT FOUND_ROWS()",
			steps(gets("BEGIN", SendPacket(1, OK(packet.StatusInTrans))), gets("CALL p()", Send(called))), nil,
			steps(asks("BEGIN", ExpectPacket(1, OK(packet.StatusInTrans))), asks("CALL p()", Expect(called)))},
		{"GET DIAGNOSTICS", "GET DIAGNOSTICS @a = NUMBER", nil, steps(gets("SELECT a FROM t", one("p"))), nil},
		{"FOUND_ROWS() behind a DO", "SELECT FOUND_ROWS()", steps(gets("DO 1", SendPacket(1, OK(0)))), nil, steps(asks("DO 1", ExpectPacket(1, OK(0))))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			primary := append(append(steps(has(back, OK(0))), tc.between...), tc.echoes...)
			client := append(steps(sends(back, OK(0)), asks("SELECT a FROM t", sees("r"))), tc.betweenAtClients...)
			split(t, append(primary, gets(tc.ask, one("1")), ExpectEnd()),
				steps(gets("SELECT a FROM t", one("r")), gone),
				append(client, asks(tc.ask, sees("1"))))
		})
	}
}
