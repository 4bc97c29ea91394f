package engine

import (
	"bytes"
	"slices"

	"mysqlproxy/packet"
)

// This file is what a session that splits has to know of its own state: what
// keeps its reads at home (pins), and what has to be repeated at the reader.

// pin is a set of what keeps a session's reads at home until it ends.
type pin uint16

const (
	pinTemporary pin = 1 << iota // temporary tables
	pinTables                    // LOCK TABLES and its like
	pinNamedLock                 // GET_LOCK
	pinVariables                 // session variables that cannot be repeated elsewhere
	pinNext                      // SET TRANSACTION: the next statement
	pinXA                        // XA START, up to the end of the XA transaction
	pinUnknown                   // a procedure or the like may have done any of these
	pinUntracked                 // it has written, and the server does not tell what
	pinTracking                  // the client has session tracking to its own liking

	pinKinds = iota // their number
)

// reason is that of the first of p.
func (p pin) reason() RouteReason {
	for i, r := range [...]RouteReason{
		RouteTemporaryTable, RouteTableLock, RouteNamedLock, RouteSessionVariable, RouteNextTransaction, RouteXA, RouteCalled, RouteUntracked, RouteTracking,
	} {
		if p&(1<<i) != 0 {
			return r
		}
	}
	return RouteRead
}

// sessionState is the state of a session as far as its own reads depend on it.
type sessionState struct {
	pins      pin
	lex       packet.Lex // what the login and SET NAMES say; the server's status flags say the rest
	database  string
	system    bool       // it is one that each server has for itself
	variables []variable // in the order of their assignment
	numbered  int        // how many assignments there were
	assigned  int        // the last one that matters to reads
	temporary []string   // temporary tables, "database.table"
	locks     []string   // named ones
	unlocks   bool       // pinTables is for LOCK TABLES only, which BEGIN ends
	tracked   bool       // the server tells of each write's GTID
	unheard   unheard    // what it has not told of them, so that it has to be asked
	gtids     packet.GTIDs
	reset     bool     // there was a COM_RESET_CONNECTION since the login
	writes    int      // how many times GTIDs were told
	tied      bool     // something of it is only at home
	trackings tracking // what the client has set of session tracking
	inserted  bool     // LAST_INSERT_ID() may have changed since it was asked for,
	insertID  uint64   // and was this
	idLost    bool     // what it was is gone with a home that has died, and nobody knows that it is another by now
}

// unheard is what a server has not told of the GTIDs of a session's writes: an ERR
// has no place for them, nor has an EOF, and later OKs do not make up for it.
type unheard uint8

const (
	unheardNone unheard = iota
	unheardLast         // those up to the last one
	unheardAny          // and which is the last the server does not know any more
)

// variable is a session variable that the client has set.
type variable struct {
	packet.Assignment
	number int // of the assignment
}

// maxVariables is how many session variables are repeated at a reader. Who sets
// more has its reads at home.
const maxVariables = 64

// pending is what the command that is running will have done to the session's
// state if it succeeds.
type pending struct {
	on                  bool
	many                bool // it has several statements
	effects             packet.Effects
	sets                []packet.Assignment
	database            string
	named               bool // database is the session's then
	consumes            bool // it is what a SET TRANSACTION before it was for
	created             []string
	dropped             []string
	taken               []string // named locks
	released            []string
	freed               bool     // all of them
	locksTables         bool     // it is a LOCK TABLES
	killed              bool     // a KILL of
	kills               uint32   // this thread
	forgets             bool     // COM_RESET_CONNECTION, COM_CHANGE_USER
	changes             bool     // the latter
	tracksOn, tracksOff tracking // what a SET of session tracking switches
}

// passing are effects that are over with the statement, of no interest to reads,
// or told by the server: nothing of them has to be remembered.
const passing = packet.EffectWrite | packet.EffectUserVariable | packet.EffectPrepare | packet.EffectDeallocate | packet.EffectHandlerOpen | packet.EffectHandlerClose |
	packet.EffectRowState | packet.EffectCalcFoundRows | packet.EffectLastInsertID | packet.EffectBegin | packet.EffectEnd

// effects notes what a statement that is about to run at home may do. lex is how
// its text is read.
func (sp *splitting) effects(st packet.Statement, sql []byte, lex packet.Lex) {
	sp.writing = st.Effects&mayWrite != 0
	sp.notes(st.Effects)
	sp.state.inserted = sp.state.inserted || st.Many && st.Effects&packet.EffectWrite != 0
	e := st.Effects &^ passing
	if sp.state.unlocks && st.Effects&(packet.EffectBegin|packet.EffectEnd) == packet.EffectBegin {
		e |= packet.EffectUnlockTables
	}
	if e != 0 || sp.state.pins&pinNext != 0 {
		sp.after = sp.foresee(e, st.Many, sql, lex)
		sp.after.consumes = consumes(st.Reason)
	}
}

// consumes tells whether a statement is or begins a transaction, for which a SET
// TRANSACTION before it was.
func consumes(r packet.RouteReason) bool {
	switch r {
	case packet.ReasonSet, packet.ReasonUse, packet.ReasonPrepare, packet.ReasonDiagnostics, packet.ReasonKill, packet.ReasonEmpty:
		return false
	}
	return true
}

// mayWrite are the effects of what may leave a GTID.
const mayWrite = packet.EffectWrite | packet.EffectUnknown | packet.EffectFunction

// notes keeps what a statement may leave at home only.
func (sp *splitting) notes(e packet.Effects) {
	sp.state.tied = sp.state.tied || e&tying != 0
	sp.called = sp.called || e&(packet.EffectUnknown|packet.EffectFunction) != 0
	sp.state.inserted = sp.state.inserted || e&(packet.EffectLastInsertID|packet.EffectUnknown) != 0
}

// foresee reads off a statement what e says is in it.
func (sp *splitting) foresee(e packet.Effects, many bool, sql []byte, lex packet.Lex) pending {
	a := pending{on: true, many: many, effects: e}
	ok := true
	fail := func(unless bool, or packet.Effects) {
		if !unless || many {
			a.effects |= or
		}
	}
	if e&packet.EffectSetVariables != 0 {
		a.sets, ok = packet.AllAssignments(sql, lex)
		if !ok && e&(packet.EffectSetOpaque|packet.EffectUnknown) == 0 { // what only matters to writes
			sp.state.tied, ok = true, true
		}
		fail(ok, packet.EffectSetOpaque)
	}
	if e&packet.EffectUse != 0 {
		a.database, a.named = packet.UseDatabase(sql, lex)
		fail(a.named, packet.EffectUnknown)
	}
	if e&(packet.EffectTemporary|packet.EffectDropTable) != 0 {
		a.created, a.dropped, ok = packet.TemporaryTables(sql, lex)
		if !ok || many {
			a.created, a.dropped = append(a.created, "?"), nil
		}
	}
	if e&packet.EffectSetOpaque != 0 {
		a.tracksOn, a.tracksOff = trackingOf(sql)
	}
	if e&packet.EffectKill != 0 {
		a.kills, _, _, a.killed = packet.KillTarget(sql, lex)
	}
	a.locksTables = !many && isLockTables(sql)
	if e&packet.EffectRenameTable != 0 && len(sp.state.temporary) > 0 {
		a.created = append(a.created, "?")
	}
	if e&(packet.EffectNamedLock|packet.EffectReleaseLock) != 0 {
		a.taken, a.released, a.freed, ok = packet.NamedLocks(sql, lex)
		if !ok || many {
			a.taken, a.released = append(a.taken, "?"), nil
		}
	}
	return a
}

// happened is told that the command at home is over.
func (sp *splitting) happened(was outcome) {
	var a pending
	if sp.home.queue.empty() || sp.home.queue.first().own != ownNone { // else it is what a later command will have done
		a, sp.after = sp.after, pending{}
	}
	changed := sp.changed
	sp.changed = false
	st := &sp.state
	if a.consumes {
		st.pins &^= pinNext
	}
	if was.writes && !was.keepsID {
		st.inserted = true
	}
	failed, told := was.failed, was.told && st.tracked
	if was.writes && !told || failed && (was.writes || was.open) {
		// An ERR does not tell what was written before it, or committed by it.
		if st.tracked {
			st.unheard = max(st.unheard, unheardLast)
		} else {
			sp.untracked()
		}
	}
	if a.effects&(packet.EffectUnknown|packet.EffectFunction) != 0 && (!told || changed || failed) {
		st.pins |= pinUnknown
	}
	if failed && a.forgets {
		// MariaDB has forgotten the session before it looks at a COM_CHANGE_USER's password.
		st.pins |= pinVariables | pinUntracked
		sp.dropReader()
		if a.changes {
			sp.prep.forget()
		}
	}
	if failed {
		// What had several parts may have done some of them.
		if a.effects&(packet.EffectSetVariables|packet.EffectSetOpaque) != 0 && len(a.sets) != 1 {
			st.pins |= pinVariables
		}
		if a.many {
			st.temporary = append(st.temporary, a.created...)
		}
		st.locks = append(st.locks, a.taken...) // it may have failed behind that
		sp.pinned()
		return
	}
	if a.tracksOn|a.tracksOff != 0 {
		st.trackings = st.trackings&^a.tracksOff | a.tracksOn
		st.pins |= pinTracking
	}
	if a.effects&packet.EffectLockTables != 0 {
		st.unlocks = a.locksTables && (st.unlocks || st.pins&pinTables == 0)
	}
	for _, row := range effectPins {
		if a.effects&row.effect != 0 {
			st.pins = st.pins&^row.ends | row.begins
		}
	}
	st.unlocks = st.unlocks && st.pins&pinTables != 0
	for _, v := range a.sets {
		sp.assign(v)
	}
	if a.named {
		st.selects(a.database)
	}
	for _, name := range a.created {
		if name = sp.qualified(name); !slices.Contains(st.temporary, name) {
			st.temporary = append(st.temporary, name)
		}
	}
	for _, name := range a.dropped {
		name = sp.qualified(name)
		st.temporary = slices.DeleteFunc(st.temporary, func(t string) bool { return t == name })
	}
	st.locks = append(st.locks, a.taken...)
	for _, name := range a.released {
		if i := slices.Index(st.locks, name); i >= 0 {
			st.locks = slices.Delete(st.locks, i, i+1)
		}
	}
	if a.freed {
		st.locks = nil
	}
	if a.killed {
		sp.c.loop.engine.killRead(sp.home.backend, a.kills)
	}
	if a.forgets {
		sp.forget(a.changes)
	}
	sp.pinned()
}

// isLockTables tells whether sql, which locks something, surely is LOCK TABLES: FLUSH
// TABLES and LOCK INSTANCE outlast a BEGIN.
func isLockTables(sql []byte) bool {
	const verb = "lock table"
	sql = bytes.TrimSpace(sql)
	return len(sql) > len(verb) && bytes.EqualFold(sql[:len(verb)], []byte(verb))
}

// effectPins has the pins that begin and end with an effect.
var effectPins = []struct {
	effect       packet.Effects
	begins, ends pin
}{
	{effect: packet.EffectSetOpaque, begins: pinVariables},
	{effect: packet.EffectNextTransaction, begins: pinNext},
	{effect: packet.EffectLockTables, begins: pinTables},
	{effect: packet.EffectUnlockTables, ends: pinTables},
	{effect: packet.EffectXABegin, begins: pinXA},
	{effect: packet.EffectXAEnd, ends: pinXA},
}

// pinned sets the pins that stand for lists.
func (sp *splitting) pinned() {
	st := &sp.state
	st.pins &^= pinTemporary | pinNamedLock
	if len(st.temporary) > 0 {
		st.pins |= pinTemporary
	}
	if len(st.locks) > 0 {
		st.pins |= pinNamedLock
	}
}

// selects notes the session's database.
func (st *sessionState) selects(database string) {
	st.database, st.system = database, packet.SystemSchema(database)
}

// qualified is a table's name with that of its database.
func (sp *splitting) qualified(name string) string {
	for i := range len(name) {
		if name[i] == '.' {
			return name
		}
	}
	return sp.state.database + "." + name
}

// keyRole is the Key of SET ROLE.
const keyRole = "role"

// assign remembers an assignment, in place of an earlier one to the same
// variable.
func (sp *splitting) assign(a packet.Assignment) {
	st := &sp.state
	st.numbered++
	if !a.Writes {
		st.assigned = st.numbered
	}
	st.variables = slices.DeleteFunc(st.variables, func(v variable) bool { return v.Key == a.Key && !a.Relative })
	st.variables = append(st.variables, variable{a, st.numbered})
	if len(st.variables) > maxVariables {
		st.pins |= pinVariables
	}
	if a.Key == "names" || a.Key == "character_set_client" {
		st.lex = st.lex&^(packet.LexMultiByte|packet.LexUnknownCharset) | packet.LexCharset(a.Value)
	}
}

// forget is told that home has forgotten the session's state.
func (sp *splitting) forget(user bool) {
	db := sp.state.database
	unheard, roles := sp.state.unheard, sp.state.variables
	untold := sp.state.pins&pinTracking != 0 && sp.state.tracked // what it has written since its client has switched that off
	if user {
		roles, sp.called = nil, false
	}
	sp.state = sessionState{gtids: sp.state.gtids, writes: sp.state.writes, pins: sp.state.pins & pinUntracked, reset: !user} // its writes are still its own
	sp.state.lex = sp.loginLex()
	if unheard != unheardNone || untold {
		sp.state.unheard = unheardAny
	}
	for _, v := range roles { // a COM_RESET_CONNECTION leaves the role as it is
		if v.Key == keyRole {
			sp.assign(v.Assignment)
		}
	}
	sp.prep.forget()
	sp.traces = traces{}
	sp.dropReader()
	if user {
		sp.since = sp.c.loop.Now()
		sp.home.born = sp.since // its rights were read anew
		db = sp.database
	}
	sp.state.selects(db)
	sp.track()
}
