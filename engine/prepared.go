package engine

import (
	"encoding/binary"
	"time"

	"mysqlproxy/packet"
)

// This file is prepared statements in a session that splits: what is known of
// each, from its COM_STMT_PREPARE to its COM_STMT_CLOSE. All are prepared at home,
// whose ids are the client's.
//
//	COM_STMT_PREPARE --> home --> statement --> COM_STMT_EXECUTE, execute.go --> home
//	                                                \--> prepared at the reader, preparedthere.go

// statement is a prepared statement. It belongs to its session.
type statement struct {
	home            uint32 // its id there, which the client knows it by
	columns, params uint16
	warned          bool // preparing it gave warnings
	unread          bool // what home said to it is not known
	digest          digestRef
	packet.Statement
	lex packet.Lex // how its text was read
	sql []byte     // nil if it is of no use, or there was no room for it

	// What its text means was settled when it was prepared, with these.
	database string
	assigned int

	// The types of its parameters that the client has sent last. It leaves them
	// out for as long as they stay the same, and so a server may not have seen
	// them that has not had each execution.
	types     []byte
	typed     bool   // types are known
	version   uint32 // of types, whether they are known or not
	homeTypes uint32 // the version that home has

	bounds  []bound // of its parameters, if its server remembers that
	settled bool    // the bounds are home's alone: all executions belong there

	stays bool // long data has been sent, or a cursor may be open: the next execution belongs home

	there
}

// is takes the first packet of the response to COM_STMT_PREPARE, or as much of it
// as longestPrepareOK.
func (st *statement) is(b []byte, caps packet.Capability) {
	if ok, err := packet.ParsePrepareOK(b, caps); err == nil {
		st.home, st.columns, st.params, st.warned = ok.Statement, ok.Columns, ok.Params, ok.Warnings > 0
	} else {
		st.unread = true // an ERR, or a server from before such OKs had 12 bytes
	}
}

const (
	// maxStatementBytes bounds what a session keeps of the text and the types of
	// its statements, in bytes. One that finds no room runs at home.
	maxStatementBytes = 1 << 20
	// maxStatements is how many statements of a session are known. It is above
	// what servers usually let all sessions have together.
	maxStatements = 20000
)

// statements are the prepared statements of a session.
type statements struct {
	byID      map[uint32]*statement // by their ids at home
	preparing []*statement          // those of which home is to tell, in order
	latest    *statement            // the one that was prepared last, nil if that failed
	lost      int                   // there was no room for so many
	kept      int                   // of maxStatementBytes

	unclosed    uint32 // the id of a statement that home is to close before the next command
	hasUnclosed bool
}

// n is how many statements are prepared at home, as far as is known.
func (list *statements) n() int {
	n := len(list.byID) + len(list.preparing) + list.lost
	if list.hasUnclosed {
		n++
	}
	return n
}

// takes tells whether there is room for n bytes, and takes it.
func (list *statements) takes(n int) bool {
	if list.kept+n > maxStatementBytes {
		return false
	}
	list.kept += n
	return true
}

// drop gives up what is kept of st.
func (list *statements) drop(st *statement) {
	list.kept -= len(st.sql) + len(st.types) + len(st.bounds)
	st.sql, st.types, st.typed, st.bounds, st.settled = nil, nil, false, nil, true
}

// forget forgets all statements: home has.
func (list *statements) forget() { *list = statements{byID: map[uint32]*statement{}} }

// prepare is told of a COM_STMT_PREPARE that goes home.
func (sp *splitting) prepare(payload []byte, whole bool) {
	sql := payload[1:]
	st := &statement{lex: sp.lex(), Statement: packet.Statement{Effects: packet.EffectUnknown | packet.EffectWrite}}
	switch {
	case whole:
		st.Statement = packet.Classify(sql, st.lex)
		if st.Route != packet.RouteReplica && st.Effects&^passing == 0 {
			break // its text is of no use
		}
		if sp.prep.takes(len(sql)) {
			st.sql = append([]byte(nil), sql...)
		} else if st.Effects&^passing != 0 {
			st.Effects |= packet.EffectUnknown
		}
	case inserts(sql):
		st.Effects = packet.EffectWrite
	}
	sp.prep.preparing = append(sp.prep.preparing, st)
}

// prepared is told that home has answered a COM_STMT_PREPARE. It tells whether what
// was to be asked for of the statement before has given way to what this one says.
func (sp *splitting) prepared(failed bool) (says bool) {
	list := &sp.prep
	st := list.preparing[0]
	list.preparing = append(list.preparing[:0], list.preparing[1:]...)
	list.latest = nil
	switch {
	case failed:
		list.drop(st)
	case st.unread || len(list.byID) >= maxStatements:
		list.drop(st)
		list.lost++
	default:
		st.database, st.assigned = sp.state.database, sp.state.assigned
		list.byID[st.home] = st
		if n := int(st.params); n > 0 && st.sql != nil && sp.state.lex&packet.LexMariaDB == 0 {
			if st.settled = !list.takes(n); !st.settled {
				st.bounds = make([]bound, n)
			}
		}
		list.latest = st
	}
	return failed || st.warned || sp.state.lex&packet.LexMariaDB == 0
}

// statementOf is the statement that a command is about, by the id behind its
// first byte; nil if it is not known. later tells that home has to speak first.
func (sp *splitting) statementOf(payload []byte) (st *statement, later bool) {
	list := &sp.prep
	id := binary.LittleEndian.Uint32(payload[1:])
	st = list.byID[id]
	last := id == packet.ExecuteLast && sp.state.lex&packet.LexMariaDB != 0
	if last {
		st = list.latest
	}
	return st, len(list.preparing) > 0 && (st == nil || last)
}

// chooseStatement is choose for the commands about a statement other than
// executions.
func (sp *splitting) chooseStatement(payload []byte, q packet.Request, whole bool) (*server, choice) {
	if len(payload) < 5 {
		if !whole {
			return nil, incomplete
		}
		return sp.goHome(RouteCommand)
	}
	st, later := sp.statementOf(payload)
	if later {
		return nil, sp.wait(wishState)
	}
	switch {
	case q.Command == packet.ComStmtReset && sp.adds():
		return nil, waits
	case st == nil:
	case q.Command == packet.ComStmtSendLongData:
		st.stays = true
	case q.Command == packet.ComStmtReset:
		st.stays = false
	case q.Command == packet.ComStmtClose && sp.closes(st, whole):
		return sp.home, replaced
	}
	return sp.goHome(RouteCommand)
}

// closes is told that the client closes st. It tells whether home does not get to
// know for now: what comes next may ask for what st has left behind, FOUND_ROWS()
// say, and then it is executed again there.
func (sp *splitting) closes(st *statement, whole bool) bool {
	list := &sp.prep
	sp.closeThere(st)
	list.drop(st)
	delete(list.byID, st.home)
	if list.latest == st {
		list.latest = nil
	}
	if sp.stmt != st || !sp.traces.found || !whole {
		return false
	}
	sp.flushClose()
	list.unclosed, list.hasUnclosed = st.home, true
	sp.c.loop.packed = sp.c.loop.packed[:0]
	return true
}

// flushClose has home close what it was not told of.
func (sp *splitting) flushClose() {
	if list := &sp.prep; list.hasUnclosed {
		list.hasUnclosed = false
		sp.home.command(closing(list.unclosed))
	}
}

// closing is a COM_STMT_CLOSE.
func closing(id uint32) []byte {
	return packet.AppendPacket(nil, 0, binary.LittleEndian.AppendUint32([]byte{byte(packet.ComStmtClose)}, id))
}

// repeated is told that home is executing what the reader was asked for before,
// which is splitting.read.
func (sp *splitting) repeated() {
	if st := sp.stmt; st != nil {
		st.homeTypes = sp.stmtTypes
	}
}

// retryPrepare is after how long a statement is prepared again at a replica that
// could not: it may not have had the table yet.
const retryPrepare = time.Second
