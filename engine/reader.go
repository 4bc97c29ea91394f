package engine

import (
	"bytes"
	"strconv"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is how a session that splits comes by its session with a replica,
// and what it has to do there before a read may run: open it as the same user,
// repeat the state of the session at home, wait for the client's own writes.

// own says what an exchange of the proxy's own is for. Nothing of its response
// goes to the client.
type own uint8

const (
	ownNone     own = iota // the client's
	ownState               // repeats state at the reader
	ownWait                // waits for a GTID there
	ownPrepare             // prepares a statement there
	ownRefused             // the client's, but the replica could not: home answers
	ownTells               // asks home whether writes have GTIDs
	ownTrack               // switches session tracking on at home
	ownEcho                // repeats the last read at home
	ownPing                // keeps home from closing
	ownRestore             // repeats state at a new home
	ownHeard               // asks home for the GTIDs of its writes
	ownInsertID            // asks for LAST_INSERT_ID() before home is given away
	ownAll                 // asks home for the GTIDs of all writes
	ownCatchUp             // has a new home wait for the session's writes
	ownTypes               // has home get the types of a statement's parameters
)

const (
	// readerWithin is how long a read waits for the proxy's own exchanges with a
	// replica before it goes home.
	readerWithin = time.Second
	// readerAgain is for how long no replica is tried after one was in vain.
	readerAgain = time.Second
	// fullAgain is for how long none is tried after one had no room for another
	// session.
	fullAgain = 100 * time.Millisecond
	// homeQuiet is after how long without a command home is sent a COM_PING
	// beside a read, for a server closes what it does not hear from.
	homeQuiet = 20 * time.Second
)

// atReaderNow is what the reader has of the session's state.
type readerState struct {
	database string
	assigned int  // up to which assignment
	writes   int  // up to which of the session's writes
	warned   bool // there may be warnings, or an error, of a statement of old
	stmts    readerStatements
}

type readiness uint8

const (
	readyNow   readiness = iota
	readyLater           // the client has been held
	readyNever           // not for the command that is being chosen for
)

// ready tells whether a read can go to the reader, and makes the reader ready.
func (sp *splitting) ready() (readiness, RouteReason) {
	c := sp.c
	l := c.loop
	switch r := sp.reader; {
	case c.id == nil:
		return readyNever, RouteNoIdentity
	case r != nil && r.state == serverBusy:
		sp.wait(wishAnswer)
		if !sp.timer.Armed() {
			l.Arm(&sp.timer, readerWithin)
		}
		return readyLater, 0
	case r != nil && (sp.state.database == "" && sp.at.database != "" || !r.backend.fit() || sp.outpaced()):
		sp.dropReader() // a database, for one, cannot be left
		fallthrough
	case r == nil:
		if l.Now() < sp.retry {
			return readyNever, sp.lacks
		}
		l.engine.backends.wake(time.Now(), l.engine.woken)
		if b := l.takeReplica(); b != nil {
			if s := l.pool(b).newest(sp, sp.readerCaps()); s != nil {
				s.client, s.reads = c, true
				s.enter(serverReady)
				sp.reader, sp.at = s, readerState{} // the database has to be chosen anew, for its character set
				sp.reset(s, ownState)
				return sp.ready()
			}
			if !b.slots.enter() {
				b.release()
				l.engine.makeRoom(b, l.number)
				sp.retry, sp.lacks = l.Now()+fullAgain, RouteFull
				return readyNever, RouteFull
			}
			sp.open(b)
			sp.wait(wishReader)
			return readyLater, 0
		}
		sp.retry, sp.lacks = l.Now()+readerAgain, l.engine.backends.lack()
		return readyNever, sp.lacks
	}
	// What is repeated may need what the session has written: a database.
	if ready, why := sp.sees(); ready != readyNow {
		return ready, why
	}
	if sp.repeat() {
		sp.wait(wishAnswer)
		l.Arm(&sp.timer, readerWithin)
		return readyLater, 0
	}
	if h := sp.home; h != nil && l.Now()-sp.touched > homeQuiet && h.queue.empty() {
		sp.touched = l.Now()
		sp.ask(h, ownPing, []byte{byte(packet.ComPing)})
	}
	return readyNow, 0
}

// repeat sends the reader what it lacks of the session's state, as much as can
// be outstanding, and tells whether there was anything.
func (sp *splitting) repeat() bool {
	st, at, r := &sp.state, &sp.at, sp.reader
	if at.database != st.database {
		at.database = st.database
		sp.ask(r, ownState, append([]byte{byte(packet.ComInitDB)}, st.database...))
	}
	for i := range st.variables {
		if v := &st.variables[i]; !v.Writes && v.number > at.assigned && !r.queue.full() {
			at.assigned = v.number
			sp.ask(r, ownState, append([]byte{byte(packet.ComQuery)}, v.Text...))
		}
	}
	return !r.queue.empty()
}

// ask sends s a command of the proxy's own.
func (sp *splitting) ask(s *server, what own, payload []byte) {
	payload = s.attributed(payload)
	q, _ := packet.Expect(payload, len(payload))
	s.queue.push(exchange{Request: q, own: what})
	sp.collect = sp.collect[:0]
	if s.state == serverReady {
		s.resp.Begin(q)
		s.enter(serverBusy)
	}
	s.command(packet.AppendPacket(nil, 0, payload))
}

// answered is told that an exchange of the proxy's own is over.
func (sp *splitting) answered(s *server, x exchange, failed bool) {
	if s == sp.reader && (failed || s.resp.Warnings() != 0) {
		sp.at.warned = true
	}
	s.queue.pop()
	if s.queue.empty() {
		s.enter(serverReady)
	} else {
		s.resp.Begin(s.queue.first().Request)
	}
	if s == sp.home {
		sp.changed = false // by the proxy
	}
	switch x.own {
	case ownState:
		if failed {
			if x.Command == packet.ComQuery {
				sp.state.pins |= pinVariables
			}
			sp.unreadable()
			return
		}
	case ownWait:
		sp.waited(failed)
	case ownPrepare:
		sp.preparedThere(failed)
	case ownRefused:
		sp.refused(s.resp.Code())
		sp.again(RouteReplicaError)
		return
	case ownTells:
		if !failed {
			sp.c.loop.logs(sp.home.backend, firstValue(sp.collect, sp.home.caps) == "1")
		}
	case ownTrack:
		sp.state.tracked = !failed && sp.c.loop.pool(sp.home.backend).logs == logsGTIDs
	case ownHeard:
		sp.heard(failed)
	case ownAll:
		sp.heardAll(failed)
	case ownEcho:
		sp.echoed(s)
	case ownTypes:
	case ownPing:
		return
	case ownRestore, ownCatchUp:
		if failed && x.own == ownRestore {
			if sp.unrestored(s) {
				s.leave()
				return
			}
			sp.c.end(ReasonServerLost, nil) // it would go on with another state
			return
		}
		if s.queue.empty() {
			sp.restoreMore()
			return
		}
	case ownInsertID:
		if id, err := strconv.ParseUint(firstValue(sp.collect, s.caps), 10, 64); err == nil && !failed {
			sp.state.insertID, sp.state.inserted, sp.state.idLost = id, false, sp.state.idLost && id == 0
			if sp.moves {
				sp.moveOn()
			} else if sp.c.state == clientReady && sp.c.req.Whole() && !sp.c.held && sp.portable() {
				sp.park()
				return
			}
		} else {
			sp.moves = false                     // it stays where it is, for now
			sp.state.inserted = !sp.state.idLost // what is lost is not asked for again
		}
	}
	if s.queue.empty() && sp.wish == wishAnswer {
		sp.c.loop.Disarm(&sp.timer)
		sp.resume()
	}
}

// open starts a session with b, which was taken for it.
func (sp *splitting) open(b *Backend) {
	c := sp.c
	how := opening{database: sp.state.database, collation: sp.collation, caps: sp.readerCaps()}
	if !sp.state.gtids.Empty() {
		how.database = "" // it may be there only when these are
	}
	c.openAs(b, c.id, how, func(s *server, err error) {
		if err != nil {
			sp.failed(b, err)
		} else {
			sp.reader, sp.at = s, readerState{database: how.database}
			s.reads = true
			if sp.state.reset {
				sp.reset(s, ownState)
			}
		}
		sp.resume()
	})
}

// readerCaps are those that are in force at a reader: the client's.
func (sp *splitting) readerCaps() packet.Capability {
	caps := sp.caps
	if sp.home != nil {
		caps = sp.home.caps
	}
	if !sp.tracks {
		caps &^= packet.CapSessionTrack
	}
	return caps
}

// failed is told that no session with b could be opened.
func (sp *splitting) failed(b *Backend, err error) {
	sp.once = RouteNoReplica
	if b.State() != BackendDown { // else another may do
		sp.retry, sp.lacks = sp.c.loop.Now()+readerAgain, RouteNoReplica
	}
	if sp.complained {
		return
	}
	sp.complained = true
	sp.c.loop.engine.cfg().Log.Info("a session with a replica could not be opened, reads go to the primary", "backend", b.Addr.String(), "client", sp.c.remote.String(), "error", err)
}

// unreadable gives the reader up for a while: the read that waits goes home.
func (sp *splitting) unreadable() {
	sp.dropReader()
	sp.once, sp.lacks = RouteNoReplica, RouteNoReplica
	sp.retry = sp.c.loop.Now() + readerAgain
	if sp.wish != wishNone && sp.wish != wishHome { // home's own end resumes
		sp.resume()
	}
}

// Expired: the proxy's own exchanges with the reader take too long.
func (sp *splitting) Expired(*reactor.Timer) {
	if sp.wish == wishHome && sp.c.unwait() {
		sp.waitedInVain()
	}
	if sp.wish == wishAnswer && sp.reader != nil && sp.reader.state == serverBusy {
		sp.unreadable()
	}
}

// dropReader closes the reader. The statements that were prepared there are gone
// with it.
func (sp *splitting) dropReader() {
	if r := sp.reader; r != nil {
		sp.at.stmts.forget()
		sp.demand.met = false
		sp.reader, sp.at = nil, readerState{}
		r.leave()
	}
}

// leave closes a session with a backend whose client does not need it any more.
func (s *server) leave() {
	if s.state >= serverClosing {
		return
	}
	if s.state == serverReady && s.conn.Open() {
		s.command(packet.AppendPacket(nil, 0, []byte{byte(packet.ComQuit)}))
		s.enter(serverClosing)
		s.conn.CloseAfterFlush(flushWithin, false)
		return
	}
	s.enter(serverClosing)
	s.conn.Close(nil)
}

// readerEnded is told that the reader has ended, or is about to.
func (sp *splitting) readerEnded(s *server) {
	if sp.reader != s {
		return
	}
	c := sp.c
	working := c.server == s
	refused := working && s.queue.n > 0 && s.queue.first().own == ownRefused
	answers := working && s.queue.n > 0 && s.queue.first().own == ownNone && s.resp.Begun()
	c.loop.pool(s.backend).applied = packet.GTIDs{} // it may come back as another
	sp.dropReader()
	switch {
	case c.state >= clientClosing:
	case answers:
		c.end(ReasonServerLost, nil)
	case refused:
		sp.again(RouteReplicaError)
	case working:
		sp.again(RouteReplicaLost)
	case sp.wish == wishAnswer:
		sp.unreadable()
	}
}

// again has home answer the read that the reader could not.
func (sp *splitting) again(why RouteReason) {
	h := sp.home
	sp.asked = time.Time{}
	if h == nil {
		sp.againElsewhere()
		return
	}
	sp.turn(h)
	command := sp.read
	if len(sp.question) > 0 {
		command = sp.question
		sp.repeats(sp.read)
		sp.repeated()
	}
	pkt := packet.Packet(command)
	q, _ := packet.Expect(pkt.Payload(), pkt.PayloadLen())
	sp.count(atHome, why)
	// What a replica has refused for being read-only may write, and more: a view
	// can call a function.
	if why == RouteReplicaError && readOnly(sp.refusal) {
		sp.after = pending{on: true, effects: packet.EffectFunction}
	}
	h.work.commands++
	h.sent = sp.sent
	h.expect(exchange{Request: q, seq: pkt.Seq(), writes: sp.after.on, counted: sp.counted})
	h.command(bytes.Clone(command))
	if sp.second = len(sp.question) == 0; sp.second {
		sp.repeated()
	}
	sp.touched = sp.c.loop.Now()
}

// againElsewhere is again while there is no home.
func (sp *splitting) againElsewhere() {
	c := sp.c
	c.server = nil
	if len(sp.question) > 0 {
		c.end(ReasonServerLost, nil) // it is about a read that is gone
		return
	}
	sp.replay()
}

// readOnly tells whether an ERR is for its server's or transaction's being
// read-only.
func readOnly(code uint16) bool {
	switch code {
	case 1290, 1792, 1836:
		return true
	}
	return false
}

// firstValue is that of the first row of a result of one column, "" if there is
// none. response is its packets.
func firstValue(response []byte, caps packet.Capability) string {
	skip := 3 // the count, the column, the EOF
	if caps&packet.CapDeprecateEOF != 0 {
		skip = 2
	}
	for {
		pkt, rest, ok := packet.Next(response)
		if !ok {
			return ""
		}
		if skip == 0 {
			v, _, err := packet.TextValue(pkt.Payload())
			if err != nil {
				return ""
			}
			return string(v)
		}
		skip--
		response = rest
	}
}
