package engine

import (
	"bytes"
	"slices"

	"mysqlproxy/packet"
)

// This file is where an execution of a prepared statement goes in a session that
// splits, and what has to be changed in it.

// chooseExecute is choose for COM_STMT_EXECUTE and COM_STMT_BULK_EXECUTE. b begins
// with the command; size is its payload's length in bytes.
func (sp *splitting) chooseExecute(b, payload []byte, size int, q packet.Request) (*server, choice) {
	whole := len(payload) == size
	if len(payload) < 5 {
		if !whole {
			return nil, incomplete
		}
		return sp.goHome(RouteCommand)
	}
	st, later := sp.statementOf(payload)
	if later {
		return sp.executeNext(payload)
	}
	if st == nil && sp.adds() {
		return nil, waits
	}
	if st == nil { // home does not know it either, unless there was no room for it
		if sp.writing = sp.prep.lost > 0; sp.writing {
			sp.effects(packet.Statement{Effects: packet.EffectUnknown | packet.EffectWrite}, nil, 0)
		}
		return sp.goHome(RouteCommand)
	}
	if sp.echoes(st.Statement, st.sql) {
		return nil, sp.wait(wishAnswer)
	}
	sp.clears = sp.messages() && clears(st.Statement, st.sql)
	var e packet.Execute
	why := RouteReason(st.Reason)
	switch {
	case q.Command == packet.ComStmtBulkExecute:
		sp.untyped(st)
	case !whole:
		has, ok := packet.ExecuteHasTypes(payload, size, int(st.params), sp.home.caps)
		switch {
		case !ok:
			return nil, incomplete
		case !st.settled && !st.binding(nil, nil, false).home:
			sp.remind(st)
			return nil, sp.wait(wishAnswer)
		case has:
			sp.untyped(st)
		case st.homeTypes != st.version:
			sp.teach(st)
			return nil, sp.wait(wishAnswer)
		}
		st.settled = st.settled || st.bounds != nil && (has || !st.typed || slices.Contains(st.bounds, 0))
		why = RouteTooLong
	default:
		var err error
		e, err = packet.ParseExecute(payload, int(st.params), sp.home.caps)
		if (err != nil || e.Params > 0 && !e.HasTypes && !st.typed) && sp.adds() { // it may be refused for its arguments
			return nil, waits
		}
		if err != nil {
			sp.untyped(st)
			break
		}
		if e.HasTypes {
			sp.types(st, e.Types)
		}
		bind := binding{home: true, reader: true}
		named := sp.home.caps&packet.CapQueryAttributes != 0
		if !st.settled && st.bounds != nil && e.Params >= len(st.bounds) && (st.typed || e.HasTypes) {
			var types []byte
			if st.typed {
				types = st.types
			}
			bind = st.binding(&e, types, named)
		}
		to, reason, made := sp.executes(st, &e, bind)
		switch {
		case made == waits:
			return nil, waits
		case to == atReader:
			return sp.goExecute(b, st, &e)
		case !bind.home:
			sp.remind(st)
			return nil, sp.wait(wishAnswer)
		case bind.changes:
			st.settled = true
		case !st.settled && st.typed && e.Params >= len(st.bounds):
			st.binds(&e, st.types, named, boundHome)
		}
		why = reason
	}
	sp.effects(st.Statement, st.sql, st.lex)
	if st.Effects&packet.EffectKill != 0 && whole && e.Params > 0 {
		sp.aimsBy(st, &e)
	}
	st.stays = q.Cursor
	to, made := sp.goHome(why)
	if whole && st.homeTypes != st.version {
		if !e.HasTypes {
			e.HasTypes, e.Types, made = true, st.types, replaced
			sp.c.loop.packed = appendExecute(sp.c.loop.packed[:0], b[3], &e, sp.home.caps)
		}
		st.homeTypes = st.version
	}
	return to, made
}

// executeNext is chooseExecute for an execution of what home is about to prepare:
// clients send both at once, and home knows what they mean.
func (sp *splitting) executeNext(payload []byte) (*server, choice) {
	list := &sp.prep
	st := list.preparing[len(list.preparing)-1]
	last := sp.home.queue.last()
	if sp.state.lex&packet.LexMariaDB == 0 || !bytes.Equal(payload[1:5], lastID) || last.Command != packet.ComStmtPrepare || st.Effects&^passing != 0 || sp.state.pins&pinNext != 0 ||
		st.Effects&packet.EffectRowState != 0 || sp.state.idLost && asksID(st.Statement) {
		return nil, sp.wait(wishState)
	}
	sp.untyped(st)
	sp.effects(st.Statement, nil, st.lex)
	return sp.goHome(RouteReason(st.Reason))
}

var lastID = []byte{0xff, 0xff, 0xff, 0xff} // packet.ExecuteLast

// executes says where an execution goes, and readies the reader if it goes there:
// then the client may have been held.
func (sp *splitting) executes(st *statement, e *packet.Execute, bind binding) (to where, why RouteReason, made choice) {
	if st.Route == packet.RouteLast {
		return atHome, RouteLastStatement, chosen
	}
	to, why = sp.judge(st.Statement, st.sql)
	switch {
	case to == atHome:
		return atHome, why, chosen
	case e.Flags&^packet.ExecuteCounted != 0, e.Iterations != 1, e.Params != int(st.params), e.Params > 0 && !st.typed,
		st.stays, e.Statement == packet.ExecuteLast, !sp.preparable(st), st.settled, bind.changes, !bind.reader:
		return atHome, RouteStatement, chosen
	}
	ready, never := sp.ready()
	switch {
	case ready == readyLater:
		return to, why, waits
	case ready == readyNever:
		return atHome, never, chosen
	case st.prepared:
		return atReader, why, chosen
	case !sp.preparable(st): // it was prepared at the reader before this one
		return atHome, RouteStatement, chosen
	}
	sp.prepareThere(st)
	return to, why, waits
}

// goExecute has the execution that b begins with go to the reader, which is ready
// for it. splitting.read gets it as home would have to get it.
func (sp *splitting) goExecute(b []byte, st *statement, e *packet.Execute) (*server, choice) {
	l, caps := sp.c.loop, sp.home.caps
	sent := e.HasTypes
	e.HasTypes, e.Types = sent || e.Params > 0 && st.homeTypes != st.version, st.types
	sp.nextRead()
	sp.read = appendExecute(sp.read, b[3], e, caps)
	sp.stmt, sp.stmtTypes = st, st.version
	e.Statement, e.HasTypes = st.id, sent || e.Params > 0 && st.readerTypes != st.version
	l.packed = appendExecute(l.packed[:0], b[3], e, caps)
	st.readerTypes = st.version
	if st.bounds != nil {
		st.binds(e, st.types, caps&packet.CapQueryAttributes != 0, boundReader)
	}
	sp.at.stmts.touch(st)
	to, _ := sp.goesRead(RouteRead)
	return to, replaced
}

// appendExecute appends a packet with e.
func appendExecute(dst []byte, seq byte, e *packet.Execute, caps packet.Capability) []byte {
	start := len(dst)
	dst = e.Append(packet.AppendHeader(dst, 0, seq), caps)
	packet.AppendHeader(dst[:start], len(dst)-start-packet.HeaderLen, seq)
	return dst
}

// types notes the types that the client has sent.
func (sp *splitting) types(st *statement, types []byte) {
	if st.typed && bytes.Equal(st.types, types) {
		return
	}
	if more := len(types) - len(st.types); more > 0 && !sp.prep.takes(more) {
		sp.untyped(st)
		return
	} else if more < 0 {
		sp.prep.kept += more
	}
	st.types, st.typed = append(st.types[:0], types...), true
	st.version++
}

// untyped notes that home is about to get types that are not known, or has what
// the client means where it leaves them out.
func (sp *splitting) untyped(st *statement) {
	st.typed = false
	st.version++
	st.homeTypes = st.version
}

// teach has home get the types of st's parameters by an execution of the proxy's
// own, with NULL for all of them: into the client's nothing can be put that is not
// held whole. st only reads.
func (sp *splitting) teach(st *statement) {
	n := int(st.params)
	e := packet.Execute{Statement: st.home, Iterations: 1, Params: n, Nulls: bytes.Repeat([]byte{0xff}, (n+7)/8), HasTypes: true, Types: st.types}
	if sp.home.caps&packet.CapQueryAttributes != 0 {
		e.Flags = packet.ExecuteCounted
	}
	st.homeTypes = st.version
	sp.ask(sp.home, ownTypes, e.Append(nil, sp.home.caps))
}
