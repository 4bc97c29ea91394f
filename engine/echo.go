package engine

import (
	"bytes"
	"errors"

	"mysqlproxy/packet"
)

// This file is what statements leave behind to be asked for: warnings, FOUND_ROWS()
// and ROW_COUNT(). A read at the reader leaves it there and not at home, where it
// would be without us. So
//
//   - SHOW WARNINGS and its like go where the last statement ran,
//   - what asks for the rest goes home, and the read is repeated there before it,
//   - a read that leaves warnings is repeated at home before anything else runs
//     there,
//   - commands that are no statements add their messages to those that are there: a
//     read that has cleared some is repeated at home before them,
//   - while there are warnings at home no read leaves it that uses no table: it
//     would not clear them. One that does clears them where it runs; so that it
//     has cleared them at home too it is repeated there before they are asked for.

// traces is what the last statements have left, and where.
type traces struct {
	before     where // the last statement ran there
	found      bool  // FOUND_ROWS() is that of the read at the reader
	counts     bool  // ROW_COUNT() is
	zero       bool  // ROW_COUNT() is 0 at home,
	some       bool  // or above: MySQL's CALL hands it on
	warned     bool  // there may be warnings at home,
	stale      bool  // but those would be gone: a read that clears them was at the reader
	readWarned bool  // the read has left warnings at the reader
	lost       bool  // what there was is gone with a home that has died
}

// echoes tells whether the last read has to be repeated at home before a statement
// runs there, and does so.
func (sp *splitting) echoes(st packet.Statement, sql []byte) bool {
	t := &sp.traces
	if t.lost && asksBack(st) {
		sp.wait(wishAnswer) // so that it has a response
		sp.c.end(ReasonServerLost, errLeft)
		return true
	}
	if sp.state.idLost && asksID(st) {
		sp.asksLostID()
		return true
	}
	asks := false
	if st.Effects&packet.EffectRowState != 0 && st.Route != packet.RouteLast && (t.counts || t.found) {
		text := bytes.ToLower(sql)
		found := len(text) == 0 || bytes.Contains(text, []byte("found_rows")) // the text of a prepared one may not be kept
		asks = found && t.found || t.counts && (!found || bytes.Contains(text, []byte("_count")))
	}
	// May ask, or read itself. It is not worth a transaction that is begun by it, nor
	// messages or a number of rows that are lost by it.
	const asksOrReads = packet.EffectUnknown | packet.EffectFunction | packet.EffectNextTransaction // behind the last there is no read before its transaction
	hides := t.found && sp.state.pins&pinNext == 0 && (st.Many || st.Effects&asksOrReads != 0 || leavesRows(sql)) && !sp.transacts() && !t.newer() && !t.some
	// What is to be cleared at home is cleared before a transaction begins.
	clears := t.stale && st.Effects&(packet.EffectBegin|packet.EffectSetVariables|packet.EffectSetOpaque|packet.EffectUse) != 0 && !sp.transacts()
	if !asks && !hides && !clears && !t.readWarned && !((st.Route == packet.RouteLast || st.Reason == packet.ReasonDiagnostics) && (t.stale || t.before == atReader)) || !sp.home.queue.empty() || len(sp.read) == 0 {
		return false
	}
	sp.echo()
	return true
}

// adds is echoes for a command that is no statement, but may have messages: they come
// beside those that are there. It has the client wait if the read has to be repeated.
func (sp *splitting) adds() bool {
	t := &sp.traces
	switch {
	case !t.readWarned && !t.stale || len(sp.read) == 0:
		return false
	case !sp.home.queue.empty():
		sp.wait(wishState)
	default:
		sp.echo()
		sp.wait(wishAnswer)
	}
	return true
}

// echo repeats the last read at home, in the database that it was read in, with what
// was asked about it.
func (sp *splitting) echo() {
	zero := sp.traces.zero && !sp.traces.counts
	now := sp.state.database
	elsewhere := sp.readIn != now && sp.readIn != "" && now != ""
	if elsewhere {
		sp.repeats(packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComInitDB)}, sp.readIn...)))
	}
	sp.repeats(sp.read)
	sp.repeated()
	if len(sp.question) > 0 {
		sp.repeats(sp.question)
	}
	switch {
	case elsewhere:
		sp.repeats(packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComInitDB)}, now...)))
	case zero: // as these leave it
		sp.repeats(packet.AppendPacket(nil, 0, []byte{byte(packet.ComPing)}))
	}
}

var errLeft = errors.New("the statement asks for what the one before has left at a primary that is gone")

// asksBack tells whether a statement may ask for what the one before it has left.
func asksBack(st packet.Statement) bool {
	return st.Many || st.Route == packet.RouteLast || st.Effects&(packet.EffectRowState|packet.EffectUnknown|packet.EffectFunction) != 0
}

// asksID tells whether a statement may ask for LAST_INSERT_ID().
func asksID(st packet.Statement) bool {
	return st.Many || st.Effects&(packet.EffectLastInsertID|packet.EffectUnknown|packet.EffectFunction) != 0
}

// asksLostID is for a command that may ask for a LAST_INSERT_ID() that is gone. If
// the session has inserted since it may be another by now: then home, where it was 0
// at first, is asked, and the caller has the command wait. Else the session ends.
func (sp *splitting) asksLostID() {
	if sp.state.inserted {
		sp.ask(sp.home, ownInsertID, append([]byte{byte(packet.ComQuery)}, asksInsertID...))
		return
	}
	sp.wait(wishAnswer) // so that it has a response
	sp.c.end(ReasonServerLost, errLeft)
}

// explains tells whether sql is an EXPLAIN or a SHOW CREATE. Mostly they leave
// FOUND_ROWS() as it was, and would hide at a replica what that is.
func explains(sql []byte) bool {
	switch word := firstWord(sql); len(word) {
	case 4:
		return bytes.EqualFold(word, []byte("desc")) || bytes.EqualFold(word, []byte("show")) && bytes.EqualFold(firstWord(bytes.TrimSpace(sql)[len("show"):]), []byte("create"))
	case 7:
		return bytes.EqualFold(word, []byte("explain"))
	case 8:
		return bytes.EqualFold(word, []byte("describe"))
	}
	return false
}

// leavesRows tells whether sql is one of the statements that have rows and may leave
// FOUND_ROWS() as it was.
func leavesRows(sql []byte) bool {
	word := firstWord(sql)
	for _, verb := range [...]string{"check", "checksum", "analyze", "optimize", "repair"} {
		if bytes.EqualFold(word, []byte(verb)) {
			return true
		}
	}
	return explains(sql)
}

// tells tells whether sql is SHOW WARNINGS or SHOW ERRORS, which have rows and leave
// FOUND_ROWS() as it was.
func tells(st packet.Statement, sql []byte) bool {
	if st.Route != packet.RouteLast || !bytes.EqualFold(firstWord(sql), []byte("show")) {
		return false
	}
	word := firstWord(bytes.TrimSpace(sql)[len("show"):])
	return bytes.EqualFold(word, []byte("warnings")) || bytes.EqualFold(word, []byte("errors"))
}

// firstWord is that of a statement; empty if it begins with something else.
func firstWord(sql []byte) []byte {
	sql = bytes.TrimSpace(sql)
	n := 0
	for n < len(sql) && sql[n]|0x20 >= 'a' && sql[n]|0x20 <= 'z' {
		n++
	}
	return sql[:n]
}

// transacts tells whether a read at home is, or begins, part of a transaction.
func (sp *splitting) transacts() bool {
	status := sp.home.resp.Status()
	return status&(packet.StatusInTrans|packet.StatusInTransReadonly) != 0 || status&packet.StatusAutocommit == 0
}

// repeats has home answer a command that the reader has answered. Nobody gets to
// see that.
func (sp *splitting) repeats(command []byte) {
	h := sp.home
	pkt := packet.Packet(command)
	q, _ := packet.Expect(pkt.Payload(), pkt.PayloadLen())
	h.queue.push(exchange{Request: q, seq: pkt.Seq(), own: ownEcho})
	if h.state == serverReady {
		h.resp.Begin(q)
		h.enter(serverBusy)
	}
	h.command(bytes.Clone(command))
}

// echoed is told that it has been.
func (sp *splitting) echoed(h *server) {
	had := sp.traces.before == atHome && sp.traces.warned // a question about the read has none of its own
	sp.traces = traces{warned: h.resp.Warnings() != 0 || h.resp.Failed() || had}
}

// leaves notes what a response that is over leaves.
func (t *traces) leaves(at where, was outcome, why RouteReason, clears bool) {
	if at == atReader && why == RouteLastStatement {
		return // it asked for it
	}
	if at == atReader {
		*t = traces{before: atReader, found: true, counts: true, warned: t.warned, stale: t.warned, readWarned: was.warns}
		return
	}
	switch was.command {
	case packet.ComStatistics:
	case packet.ComStmtPrepare:
		t.counts, t.zero, t.some = t.counts && !was.failed, t.zero && !was.failed, t.some && !was.failed
	default:
		t.counts, t.zero, t.some = false, was.zero, was.some
	}
	switch was.command {
	case packet.ComPing, packet.ComStatistics, packet.ComDebug, packet.ComStmtReset, packet.ComInitDB, packet.ComSetOption:
		if !was.failed {
			return // what the last statement has left is still there
		}
	}
	t.before, t.readWarned = atHome, false
	t.lost = t.lost && was.command == packet.ComStmtPrepare && !was.failed // what it prepares may ask for that
	says := was.failed || was.warns
	t.warned, t.stale = says || t.warned && !clears, t.stale && !says && !clears
	if was.rows || why == RouteReason(packet.ReasonInto) {
		t.found = false
	}
}

// newer tells whether there may be messages at home of what ran there behind the read.
func (t *traces) newer() bool { return t.before == atHome && t.warned && !t.stale }

// messages tells whether there may be warnings or an error of old at either side.
func (sp *splitting) messages() bool { return sp.traces.warned || sp.at.warned }

// clears tells whether a statement surely uses a table, and so clears the warnings
// of those before it.
func clears(st packet.Statement, sql []byte) bool {
	switch st.Reason {
	case packet.ReasonWrite, packet.ReasonDDL:
		return true
	}
	return bytes.Contains(sql, []byte(" from ")) || bytes.Contains(sql, []byte(" FROM "))
}
