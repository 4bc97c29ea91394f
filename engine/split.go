package engine

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is where a command goes in a session whose reads may go to a
// replica.
//
//	client.request --> choose --> home (the primary), or the reader (a replica)
//	                        \---> wait: the command stays where it is and is chosen for again
//
// home has the session's state and the last word: it sees every command that is
// not surely a read, the reader only reads that give there what they would give
// at home. state.go has what of the state keeps reads at home or is repeated at
// the reader, reader.go how the reader is come by, splitdata.go the responses.

// splitting is what a client session has beside because its reads may go to a
// replica. It belongs to its loop.
type splitting struct {
	c      *client
	home   *server // nil before the login's end
	reader *server // nil if there is none
	wish   wish    // what keeps the next command waiting
	at     readerState

	state       sessionState
	after       pending // what the command that is running at home has to say to that
	prep        statements
	lastRead             // that went to the reader
	earlier     lastRead // the one before
	second      bool     // home is answering the last one, which the reader could not
	question    []byte   // and of what was then asked about it, if anything was
	traces      traces
	demand      wanted // what the command that is being chosen for has to see
	safe        bool   // the last command that went home is a read that could as well run elsewhere, and ran has it
	ran         []byte
	replays     bool          // what is in read is to run once there is a home
	moves       bool          // another backend takes writes now: home is left when that is possible
	clears      bool          // the command that is running clears warnings,
	parts       bool          // may have the server close the session,
	tells       bool          // has rows, and leaves FOUND_ROWS() as it was
	refusal     uint16        // the code of the ERR with which the reader has refused last
	once        RouteReason   // why the command that waits goes home, 0 if nothing keeps it from the reader
	why         RouteReason   // of the command that is running
	went        where         // the last command, of which splitting.count was told
	wentFor     RouteReason   // why
	routed      bool          // there was one
	countedPins pin           // of state.pins, what its loop has counted
	counted     counted       // of the command that went to the reader last, or runs anew at another home
	sent        time.Duration // when that was sent first, on the loop's clock

	database  string // of the login
	collation byte   // of the login
	tracks    bool   // the client takes session tracking

	collect    []byte // the response to what the proxy has asked last
	complained bool   // that there is no reader is in the log

	optioned bool              // there was a COM_SET_OPTION, which stays over everything
	called   bool              // something may have set a role, which stays over a COM_RESET_CONNECTION
	quiet    bool              // the last statement has left nothing that could be asked for
	caps     packet.Capability // these are home's while there is none
	said     uint16            // and its status
	primary  *Backend
	restored int            // up to which assignment home has been told of variables
	shown    *Backend       // with multiplexing: the session began there,
	known    uint32         // as this thread,
	thread   *atomic.Uint32 // and has this one now
	resting  reactor.Timer  // when the session may rest
	pooled   bool           // home is from the pool and does not have the session's state yet
	refusing bool           // the command that has waited for home is refused

	writing bool // the command that choose has just sent home may write
	changed bool // the server has said that the command changed its session's state

	since    time.Duration // when the client was let in: a server session from before may have rights that are taken from it since
	touched  time.Duration // when home was sent something last, on the loop's clock
	retry    time.Duration // when a reader may be looked for again,
	lacks    RouteReason   // and why there is none until then
	reads    uint          // that went to readers
	asked    time.Time     // when the one did that is measured; zero: none is
	reviewed time.Duration // when the reader was compared with others last, on the loop's clock
	behind   time.Duration // when one that lacks the session's writes may be asked again
	timer    reactor.Timer // of what the proxy itself awaits of the reader
}

// lastRead is a read that has gone to the reader, to be repeated at home.
type lastRead struct {
	read   []byte // its packet, as home would get it
	readIn string // the database that it was read in

	stmt      *statement // whose execution it is, nil if it is a query
	stmtTypes uint32     // the version of types that is in it
}

// nextRead makes room for the next read. If that fails, what can be asked for is still
// of the one before.
func (sp *splitting) nextRead() {
	sp.lastRead, sp.earlier = sp.earlier, sp.lastRead
	sp.lastRead = lastRead{read: sp.read[:0], readIn: sp.state.database}
}

// where is one of the two sides that a statement can run on.
type where uint8

const (
	atHome where = iota
	atReader
)

// wish is what has to come about before a command can be chosen for.
type wish uint8

const (
	wishNone   wish = iota
	wishReader      // a session with a replica
	wishHome        // one with the primary
	wishAnswer      // the proxy's own exchanges
	wishState       // the effect of the command before
)

// longestRead is up to how long a command is held to be looked at, in bytes of
// payload. A longer one goes home, whatever it is.
const longestRead = 64 << 10

// choice is what choose made of a command.
type choice uint8

const (
	chosen     choice = iota
	incomplete        // more of it is needed
	waits             // the client has been held
	replaced          // loop.packed is to be sent in its place, or nothing if that is empty; it is whole
)

// choose takes the command that b begins with, with its header, and says where
// it goes. size is its payload's length in bytes. What it returns chosen for is
// sent.
func (sp *splitting) choose(b []byte, size int, q packet.Request) (*server, choice) {
	c, home := sp.c, sp.home
	if sp.after.on || c.server != home || home.queue.n > 0 && home.queue.last().own != ownNone {
		return nil, sp.wait(wishState)
	}
	sp.writing, sp.clears, sp.safe, sp.parts, sp.tells = false, false, false, false, false
	payload := b[packet.HeaderLen:min(len(b), packet.HeaderLen+size)]
	whole := len(payload) == size
	if !whole && size <= longestRead && looksAt(q.Command) {
		return nil, incomplete
	}
	switch q.Command {
	case packet.ComQuery:
		return sp.chooseQuery(b, payload, whole)
	case packet.ComStmtPrepare:
		if sp.moves && sp.goesOver(true) {
			return nil, waits
		}
		if sp.echoes(packet.Statement{}, nil) {
			return nil, sp.wait(wishAnswer)
		}
		sp.prepare(payload, whole)
	case packet.ComStmtExecute, packet.ComStmtBulkExecute:
		return sp.chooseExecute(b, payload, size, q)
	case packet.ComStmtClose, packet.ComStmtSendLongData, packet.ComStmtReset:
		return sp.chooseStatement(payload, q, whole)
	case packet.ComInitDB:
		if sp.adds() {
			return nil, waits
		}
		sp.after = pending{on: true, database: string(bytes.TrimRight(payload[1:], "\x00")), named: true} // MySQL takes a NUL behind the name
	case packet.ComProcessKill:
		if sp.adds() {
			return nil, waits
		}
		sp.kills(payload)
	case packet.ComResetConnection:
		sp.after = pending{on: true, forgets: true}
	case packet.ComChangeUser:
		sp.after = pending{on: true, forgets: true, changes: true}
	case packet.ComSetOption: // several statements at once, now or later
		if sp.adds() {
			return nil, waits
		}
		sp.state.lex |= packet.LexMultiStatements
		sp.optioned = true
	case packet.ComStmtFetch, packet.ComFieldList, packet.ComProcessInfo:
		if sp.adds() {
			return nil, waits
		}
	case packet.ComPing, packet.ComQuit, packet.ComStatistics, packet.ComDebug:
	default: // streams, and what nobody knows
		if sp.adds() {
			return nil, waits
		}
		sp.state.pins |= pinUnknown
	}
	return sp.goHome(RouteCommand)
}

// looksAt tells whether choose reads a command's whole payload.
func looksAt(c packet.Command) bool {
	switch c {
	case packet.ComQuery, packet.ComStmtPrepare, packet.ComStmtExecute, packet.ComInitDB, packet.ComProcessKill, packet.ComStmtClose, packet.ComStmtReset:
		return true
	}
	return false
}

// chooseQuery is choose for a COM_QUERY.
func (sp *splitting) chooseQuery(b, payload []byte, whole bool) (*server, choice) {
	sql, ok := packet.QueryText(payload, sp.home.caps)
	if !ok || !whole {
		if sp.state.idLost { // LAST_INSERT_ID() may be in it
			sp.asksLostID()
			return nil, sp.wait(wishAnswer)
		}
		if sp.writing = true; !ok || sp.state.lex&packet.LexMultiStatements != 0 || !inserts(sql) {
			sp.after = pending{on: true, effects: packet.EffectUnknown}
			sp.notes(packet.EffectUnknown)
		}
		sp.state.inserted = true
		return sp.goHome(RouteTooLong)
	}
	st := packet.Classify(sql, sp.lex())
	if sp.moves && !asksBack(st) && sp.goesOver(false) {
		return nil, waits
	}
	if st.Reason == packet.ReasonSystemVariable && asksToken(sql) {
		sp.clears = sp.messages() && clears(st, sql)
		return sp.tellsToken(b, st, sql)
	}
	to, reason := sp.judge(st, sql)
	if to == atReader && reason == RouteLastStatement {
		return sp.goRead(b, reason)
	}
	if to == atReader {
		switch ready, why := sp.ready(); ready {
		case readyNow:
			return sp.goRead(b, RouteRead)
		case readyLater:
			return nil, waits
		case readyNever:
			reason = why
		}
	}
	sp.parts, sp.tells = parts(st, sql), tells(st, sql)
	if st.Effects&packet.EffectKill != 0 && !st.Many {
		sp.aims(sql)
	}
	if sp.echoes(st, sql) {
		return nil, sp.wait(wishAnswer)
	}
	if st.Route == packet.RouteReplica && (to == atReader || reason == sp.once) { // nothing of the session keeps it here
		sp.safe, sp.ran = true, append(sp.ran[:0], b[:packet.HeaderLen+len(payload)]...)
	}
	sp.effects(st, sql, sp.lex())
	return sp.goHome(reason)
}

// parts tells whether a statement may have the server close the session: COMMIT
// RELEASE does.
func parts(st packet.Statement, sql []byte) bool {
	return st.Effects&packet.EffectEnd != 0 && len(sql) >= len("COMMIT RELEASE") && bytes.Contains(bytes.ToLower(sql), []byte("release"))
}

// inserts tells whether a statement that is too long to be looked at is one of
// the usual ones, which do nothing to their session.
func inserts(begin []byte) bool {
	for _, verb := range [...]string{"INSERT INTO ", "REPLACE INTO "} {
		if len(begin) > len(verb) && bytes.EqualFold(begin[:len(verb)], []byte(verb)) {
			return true
		}
	}
	return false
}

// judge says where a query may run and, if that is home, why.
func (sp *splitting) judge(st packet.Statement, sql []byte) (where, RouteReason) {
	sp.clears = sp.messages() && clears(st, sql)
	if st.Route == packet.RouteReplica && explains(sql) {
		return atHome, RouteReason(packet.ReasonExplain)
	}
	to, why := sp.route(st)
	if to == atReader && !sp.tokenIs(st, sql) {
		return atHome, RouteHint
	}
	return to, why
}

// route says where a statement may run and, if that is home, why.
func (sp *splitting) route(st packet.Statement) (where, RouteReason) {
	to := atHome
	switch {
	case st.Hint == packet.HintPrimary:
		return atHome, RouteHint
	case st.Route == packet.RouteReplica:
		to = atReader
	case st.Route == packet.RouteLast:
		if sp.traces.before == atReader && sp.reader != nil && sp.home.queue.empty() {
			return atReader, RouteLastStatement
		}
		return atHome, RouteLastStatement
	default:
		return atHome, RouteReason(st.Reason)
	}
	if why := sp.keeps(); why != RouteRead {
		return atHome, why
	}
	return to, RouteRead
}

// keeps says why no read may leave home now, RouteRead if any may.
func (sp *splitting) keeps() RouteReason {
	status := sp.status()
	switch {
	case status&(packet.StatusInTrans|packet.StatusInTransReadonly) != 0:
		return RouteInTransaction
	case status&packet.StatusAutocommit == 0:
		return RouteAutocommitOff
	case sp.state.pins != 0:
		return sp.state.pins.reason()
	case sp.state.system:
		return RouteReason(packet.ReasonSystemSchema)
	case sp.home != nil && !sp.home.queue.empty():
		return RoutePipelined
	case sp.messages() && !sp.clears:
		return RouteWarnings
	case sp.once != 0:
		return sp.once
	}
	return RouteRead
}

// status is what home has said last of its state.
func (sp *splitting) status() uint16 {
	if sp.home == nil {
		return sp.said
	}
	return sp.home.resp.Status()
}

// lex is how the session's statements are to be read now.
func (sp *splitting) lex() packet.Lex {
	lex := sp.state.lex
	status := sp.status()
	if status&packet.StatusNoBackslashEscapes != 0 {
		lex |= packet.LexNoBackslashEscapes
	}
	if status&packet.StatusAnsiQuotes != 0 {
		lex |= packet.LexAnsiQuotes
	}
	return lex
}

// goHome has the command go home.
func (sp *splitting) goHome(why RouteReason) (*server, choice) {
	sp.flushClose()
	sp.goes(why)
	sp.touched = sp.c.loop.Now()
	sp.count(atHome, why)
	return sp.home, chosen
}

// goes is told that the command has been chosen for.
func (sp *splitting) goes(why RouteReason) {
	sp.once, sp.why = 0, why
	if sp.demand.on {
		sp.demand = wanted{}
	}
}

// goRead has the command that b begins with go to the reader, which is ready for
// it.
func (sp *splitting) goRead(b []byte, why RouteReason) (*server, choice) {
	command := b[:packet.HeaderLen+packet.Packet(b).PayloadLen()]
	if why == RouteLastStatement {
		sp.question = append(sp.question[:0], command...)
	} else {
		sp.nextRead()
		sp.read = append(sp.read, command...)
	}
	return sp.goesRead(why)
}

// goesRead has what is in splitting.read, or a question about it, go to the reader.
func (sp *splitting) goesRead(why RouteReason) (*server, choice) {
	sp.flushClose()
	if why != RouteLastStatement {
		sp.question = sp.question[:0]
	}
	sp.goes(why)
	sp.count(atReader, why)
	sp.turn(sp.reader)
	sp.asks()
	return sp.reader, chosen
}

// turn has s be the server session that works for the client.
func (sp *splitting) turn(s *server) {
	c := sp.c
	if c.server != s {
		c.server, c.backend = s, s.backend
		reactor.Link(c.conn, s.conn)
	}
}

// wait holds the client until what is wished for has come about.
func (sp *splitting) wait(w wish) choice {
	sp.wish = w
	sp.c.hold()
	return waits
}

// resume has the command that waits be chosen for again.
func (sp *splitting) resume() {
	sp.wish, sp.pooled = wishNone, false
	switch {
	case !sp.replays:
	case sp.home == nil:
		sp.seek()
		return
	default:
		sp.replays = false
		sp.again(RoutePrimaryLost)
	}
	sp.c.release()
}

// count counts a command, and has the log tell if it tells so much.
func (sp *splitting) count(to where, why RouteReason) {
	l := sp.c.loop
	l.routes[to][why]++
	sp.went, sp.wentFor, sp.routed = to, why, true
	if l.engine.cfg().explains {
		b := sp.reader
		if to == atHome {
			b = sp.home
		}
		l.engine.cfg().Log.LogAttrs(context.Background(), slog.LevelDebug, "route",
			slog.String("client", sp.c.remote.String()), slog.String("backend", b.backend.Addr.String()), slog.String("reason", why.String()))
	}
}

func newSplitting(c *client) *splitting {
	sp := &splitting{c: c}
	sp.prep.forget()
	sp.timer.Owner, sp.timer.Conn = sp, c.conn
	sp.resting.Owner, sp.resting.Conn = rester{sp}, c.conn
	return sp
}

// enroll is told of the login packet.
func (sp *splitting) enroll(in packet.Login) {
	s := sp.c.server
	sp.database, sp.collation = string(in.Database), in.Collation
	sp.tracks = s.caps&packet.CapSessionTrack != 0
	s.caps |= s.offers & packet.CapSessionTrack
}

// admits makes of the login's last packet what the client is to see of it.
func (sp *splitting) admits(pkt packet.Packet) packet.Packet {
	s := sp.c.server
	if s.resp.Failed() || sp.tracks || s.caps&packet.CapSessionTrack == 0 {
		return pkt
	}
	return packet.AppendPacket(nil, pkt.Seq(), packet.EditOK(nil, pkt.Payload(), false, keeps[trackings-1]))
}

// begin is told that the client has been let in at the primary.
func (sp *splitting) begin() {
	c := sp.c
	sp.home = c.server
	sp.since = sp.home.born
	sp.touched = c.loop.Now()
	sp.state = sessionState{lex: sp.loginLex()}
	sp.state.selects(sp.database)
	if c.loop.engine.cfg().Multiplex {
		sp.shown, sp.known = sp.home.backend, sp.home.thread
		sp.thread = c.loop.engine.threads.add(sp.shown, sp.known)
	}
	sp.track()
}

// track switches session tracking on: home tells of each write's GTID then.
func (sp *splitting) track() {
	h := sp.home
	h.resp.Watch(h.caps&packet.CapSessionTrack != 0)
	if h.caps&packet.CapSessionTrack == 0 || sp.c.id == nil {
		return // it is of no use without a reader
	}
	ask := "SELECT @@GLOBAL.gtid_mode='ON' AND @@GLOBAL.log_bin"
	set := "SET SESSION session_track_gtids=OWN_GTID,session_track_state_change=ON"
	if sp.state.lex&packet.LexMariaDB != 0 {
		ask = "SELECT @@GLOBAL.log_bin"
		set = "SET SESSION session_track_system_variables=CONCAT(@@SESSION.session_track_system_variables,',last_gtid'),session_track_state_change=ON"
	}
	p, now := sp.c.loop.pool(h.backend), sp.c.loop.Now()
	if p.logs == logsUnknown || now-p.learned > learnAgain {
		p.learned = now
		sp.ask(h, ownTells, append([]byte{byte(packet.ComQuery)}, ask...))
	}
	sp.ask(h, ownTrack, append([]byte{byte(packet.ComQuery)}, set...))
}

// loginLex is what the login says of how statements are read.
func (sp *splitting) loginLex() (lex packet.Lex) {
	h := sp.home
	if h.offers&packet.CapLongPassword == 0 {
		lex |= packet.LexMariaDB
	}
	if h.caps&packet.CapMultiStatements != 0 || sp.optioned {
		lex |= packet.LexMultiStatements
	}
	if sp.state.reset && h.offers&packet.CapLongPassword != 0 {
		return lex | packet.LexCollation(uint16(h.collation)) // MySQL's own
	}
	return lex | packet.LexCollation(uint16(sp.collation))
}

// end is told that the session ends.
func (sp *splitting) end() {
	c := sp.c
	c.loop.Disarm(&sp.timer)
	c.loop.Disarm(&sp.resting)
	sp.countPins(0)
	if sp.thread != nil {
		c.loop.engine.threads.remove(sp.shown, sp.known, sp.thread)
	}
	if s := c.server; sp.home != nil || s != nil && s.reads { // that goes its own way, or has gone
		c.server = sp.home
	}
	sp.dropReader()
}
