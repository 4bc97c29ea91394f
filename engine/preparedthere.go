package engine

import (
	"time"

	"mysqlproxy/packet"
)

// This file is prepared statements at the reader of a session that splits: they
// are prepared there when they are first executed there, and closed when the
// client closes them, or others need the room.

// there is a statement at the reader.
type there struct {
	prepared    bool
	id          uint32
	readerTypes uint32        // the version of types that it has
	prev, next  *statement    // in the reader's list
	never       bool          // there it is another statement
	retry       time.Duration // it could not be prepared, and is not again before this, on the loop's clock
}

// maxThere is how many statements are prepared at a reader at a time.
const maxThere = 200

// readerStatements is the statements that are prepared at a reader, in the order
// of their last executions.
type readerStatements struct {
	newest, oldest *statement
	n              int
	asked          *statement // the one that is being prepared
}

// touch puts st first.
func (list *readerStatements) touch(st *statement) {
	if list.newest != st {
		list.cut(st)
		list.put(st)
	}
}

func (list *readerStatements) put(st *statement) {
	if st.next = list.newest; st.next != nil {
		st.next.prev = st
	} else {
		list.oldest = st
	}
	list.newest = st
	list.n++
}

func (list *readerStatements) cut(st *statement) {
	if st.prev != nil {
		st.prev.next = st.next
	} else {
		list.newest = st.next
	}
	if st.next != nil {
		st.next.prev = st.prev
	} else {
		list.oldest = st.prev
	}
	st.prev, st.next = nil, nil
	list.n--
}

// forget is told that the reader has gone.
func (list *readerStatements) forget() {
	for st := list.newest; st != nil; {
		next := st.next
		st.there = there{never: st.never, retry: st.retry}
		st = next
	}
	*list = readerStatements{}
}

// preparable tells whether st may be executed at the reader as far as preparing it
// goes: it is prepared there, or would mean the same if it was now.
func (sp *splitting) preparable(st *statement) bool {
	return st.prepared || st.sql != nil && !st.never && st.database == sp.state.database && st.assigned == sp.state.assigned && sp.c.loop.Now() >= st.retry
}

// prepareThere prepares st at the reader, which has the session's state, and holds
// the client.
func (sp *splitting) prepareThere(st *statement) {
	list := &sp.at.stmts
	if list.n >= maxThere {
		sp.closeThere(list.oldest)
	}
	list.asked = st
	sp.ask(sp.reader, ownPrepare, append([]byte{byte(packet.ComStmtPrepare)}, st.sql...))
	sp.wait(wishAnswer)
	sp.c.loop.Arm(&sp.timer, readerWithin)
}

// longestPrepareOK is how much of the first payload of a response to COM_STMT_PREPARE
// is looked at, in bytes.
const longestPrepareOK = 13

// preparedThere is told that the reader has answered.
func (sp *splitting) preparedThere(failed bool) {
	list := &sp.at.stmts
	st := list.asked
	list.asked = nil
	if failed {
		st.retry = sp.c.loop.Now() + retryPrepare
		return
	}
	p := sp.collect
	ok, err := packet.ParsePrepareOK(p[packet.HeaderLen:min(len(p), packet.HeaderLen+packet.Packet(p).PayloadLen())], sp.reader.caps)
	switch {
	case err != nil:
		st.never = true
	case ok.Columns != st.columns || ok.Params != st.params:
		st.never = true // the client was told of other columns
		sp.reader.command(closing(ok.Statement))
	default:
		st.there = there{prepared: true, id: ok.Statement}
		for i := range st.bounds {
			st.bounds[i] &^= boundReader
		}
		list.put(st)
	}
}

// closeThere closes st at the reader.
func (sp *splitting) closeThere(st *statement) {
	if st.prepared {
		id := st.id
		sp.at.stmts.cut(st)
		st.there = there{}
		sp.reader.command(closing(id))
	}
}

// errUnknownStatement is a server's error for an id that it does not know.
const errUnknownStatement = 1243

// refused is told that the reader has answered what it was asked last by an ERR.
func (sp *splitting) refused(code uint16) {
	st := sp.stmt
	switch {
	case st == nil || !st.prepared:
	case code == errUnknownStatement:
		sp.closeThere(st)
	default:
		st.readerTypes = 0 // what it has made of them is not known
	}
}
