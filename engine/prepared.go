package engine

import (
	"encoding/binary"

	"mysqlproxy/packet"
)

// This file is prepared statements in a session that splits. They are prepared
// at home, whose ids are the client's. One that reads is prepared at the reader
// too when it is first executed there.

// statement is a prepared statement that has to be known: it reads, or does
// something to the session's state.
type statement struct {
	home            uint32 // its id there, which the client knows it by
	columns, params uint16
	sql             []byte
	packet.Statement
}

// is takes COM_STMT_PREPARE_OK's first 9 bytes.
func (st *statement) is(b []byte) {
	st.home = binary.LittleEndian.Uint32(b[1:])
	st.columns = binary.LittleEndian.Uint16(b[5:])
	st.params = binary.LittleEndian.Uint16(b[7:])
}

// prepared is the statements that are prepared at a reader.
type prepared struct{}

// prepare is told of a COM_STMT_PREPARE.
func (sp *splitting) prepare(payload []byte, whole bool) {
	sql := payload[1:]
	st := &statement{Statement: packet.Statement{Effects: packet.EffectUnknown}}
	if whole {
		st.Statement = packet.Classify(sql, sp.lex())
		if st.Route != packet.RouteReplica && st.Effects&^passing == 0 {
			return
		}
		st.sql = append([]byte(nil), sql...)
	}
	sp.after = pending{on: true, prepared: st}
}

// chooseExecute is choose for an execution.
func (sp *splitting) chooseExecute(b, payload []byte, whole bool) (*server, choice) {
	if len(payload) < 5 {
		return sp.goHome(RouteCommand)
	}
	st := sp.stmts[binary.LittleEndian.Uint32(payload[1:])]
	if st == nil {
		return sp.goHome(RouteCommand)
	}
	sp.writing = st.Effects&mayWrite != 0
	if st.Effects&^passing != 0 || sp.state.pins&pinNext != 0 {
		sp.after = sp.foresee(st.Effects&^passing, st.Many, st.sql)
	}
	return sp.goHome(RouteReason(st.Reason))
}

// closes is told of a COM_STMT_CLOSE.
func (sp *splitting) closes(payload []byte) {
	if len(payload) >= 5 {
		delete(sp.stmts, binary.LittleEndian.Uint32(payload[1:]))
	}
}

// longData is told of a COM_STMT_SEND_LONG_DATA.
func (sp *splitting) longData(payload []byte) {}

// resets is told of a COM_STMT_RESET.
func (sp *splitting) resets(payload []byte) {}

// preparedThere is told that the reader has answered a COM_STMT_PREPARE.
func (sp *splitting) preparedThere(failed bool) {}
