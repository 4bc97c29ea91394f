package engine

import (
	"bytes"

	"mysqlproxy/packet"
)

// This file takes what the servers of a session that splits send in the command
// phase. Beside forwarding it takes out what is the proxy's own, has home answer
// what the reader could not, and reads what OKs tell of the session's state.

// data takes what s sends.
func (sp *splitting) data(s *server, p []byte) (used int) {
	c := sp.c
	n, sent := 0, 0
	end := reasonNone
loop:
	for step := packet.More; n < len(p) || step == packet.Told; {
		switch {
		case s.state >= serverClosing:
			return len(p)
		case s.state == serverIdle: // it has been given away
			s.idleEnded()
			return len(p)
		}
		if s.state == serverReady {
			if s != sp.home {
				sp.readerEnded(s)
				return len(p)
			}
			if n, end = s.unasked(p, n); end != reasonNone && sp.orphaned(s) {
				s.retire() // the client does not miss it
				return len(p)
			}
			if end != reasonNone && c.server != s {
				c.end(ReasonServerLost, nil) // its word cannot stand in the middle of the reader's response
				return len(p)
			}
			break
		}
		x := s.queue.first()
		b := p[n:]
		if s.zip != nil && len(b) > 0 {
			b = s.number(b)
		}
		if !s.resp.Begun() && !sp.begins(s, x, b) {
			break
		}
		mine := x.own != ownNone
		var k int
		k, step = s.resp.Feed(b)
		if mine {
			c.write(p[sent:n])
			if room := collects(x.own) - len(sp.collect); room > 0 {
				sp.collect = append(sp.collect, b[:min(k, room)]...)
			}
			sent = n + k
		} else if k > 0 {
			c.spoke = false
		}
		n += k
		switch step {
		case packet.More:
			if s.zip != nil && k > 0 && n < len(p) {
				continue // b was one packet
			}
			break loop
		case packet.Told:
			sent = sp.told(s, p[sent:n], n, mine)
		case packet.ClientTurn:
			if mine { // a read does not
				end = ReasonServerProtocol
				break loop
			}
			c.asked()
		case packet.Done:
			failed := s.resp.Failed()
			if mine {
				sp.answered(s, *x, failed)
				continue
			}
			s.done()
			if c.zip != nil && !s.queue.empty() {
				c.write(p[sent:n])
				sent = n
				c.counts(false)
				c.zip.Answer(1) // commands that were sent at once: each began a sequence
			}
		case packet.Malformed:
			end = ReasonServerProtocol
			break loop
		}
	}
	if n > sent {
		c.write(p[sent:n])
	}
	c.counts(c.state == clientBusy && s.resp.Begun() && !s.dialogue)
	if end != reasonNone {
		c.end(end, nil)
		return len(p)
	}
	if sp.state.pins != sp.countedPins && c.state < clientClosing {
		sp.countPins(sp.state.pins)
	}
	if c.held && sp.home == nil && c.server == nil && sp.wish == wishState {
		sp.resume()
	}
	if c.held && sp.home != nil && (sp.wish == wishNone || sp.wish == wishState) && sp.home.state >= serverReady && !sp.home.queue.full() && !sp.home.dialogue {
		sp.resume()
	}
	if c.loop.draining {
		c.drain()
	}
	return n
}

// begins looks at the beginning of a response. It tells whether there is enough
// of it.
func (sp *splitting) begins(s *server, x *exchange, b []byte) bool {
	switch {
	case s == sp.reader && x.own == ownNone:
		if len(b) < packet.HeaderLen+1 {
			return false
		}
		sp.answers()
		if b[packet.HeaderLen] != 0xff {
			return true
		}
		if len(b) < packet.HeaderLen+3 {
			return false
		}
		if code := uint16(b[5]) | uint16(b[6])<<8; !interrupted(code) {
			x.own, sp.refusal, sp.at.warned = ownRefused, code, true
		}
	case s == sp.home && x.Command == packet.ComStmtPrepare && x.own == ownNone && len(sp.prep.preparing) > 0:
		if len(b) < packet.HeaderLen {
			return false
		}
		size := min(packet.Packet(b).PayloadLen(), longestPrepareOK)
		if len(b) < packet.HeaderLen+size {
			return false
		}
		sp.prep.preparing[0].is(b[packet.HeaderLen:packet.HeaderLen+size], s.caps)
	}
	return true
}

// interrupted tells whether an ERR is for the statement's having been stopped:
// it would be as long at home.
func interrupted(code uint16) bool {
	switch code {
	case 1317, 1969, 3024: // killed, MariaDB's max_statement_time, MySQL's max_execution_time
		return true
	}
	return false
}

// collects is how much of the response to an exchange is looked at when it is
// whole, in bytes.
func collects(x own) int {
	switch x {
	case ownWait, ownTells, ownInsertID, ownHeard, ownAll:
		return 64 << 10
	case ownPrepare:
		return packet.HeaderLen + longestPrepareOK
	}
	return 0
}

// outcome is what is to be known of a response that is over.
type outcome struct {
	command       packet.Command
	writes        bool // the command may have written
	rows          bool // it was a statement that had rows, or a result without any at its end
	zero, some    bool // it has affected none, or some rows
	failed, warns bool
	told          bool // the server had the occasion to say what the command did
	keepsID       bool // LAST_INSERT_ID() is what it was
	open          bool // the session is in a transaction; after an ERR, it was before
}

// outcome is that of the response that has just ended.
func (s *server) outcome() outcome {
	x := s.queue.first()
	ok, affected, id := s.resp.Counted() // the EOF behind rows has no place for it
	rows, _ := s.resp.Rows()
	statement := x.Command == packet.ComQuery || x.Command == packet.ComStmtExecute || x.Command == packet.ComStmtBulkExecute
	return outcome{
		command: x.Command, writes: x.writes, rows: statement && (rows > 0 || !ok && !s.resp.Failed()), zero: ok && affected == 0 && x.Command != packet.ComSetOption && x.Command != packet.ComDebug, some: ok && affected > 0, failed: s.resp.Failed(),
		warns: s.resp.Warnings() != 0 || x.Command == packet.ComFieldList, // of which MySQL says nothing
		told:  (ok || s.caps&packet.CapDeprecateEOF != 0) && !s.resp.Missed(), open: s.inTransaction(), keepsID: ok && id == 0,
	}
}

// done is told that the response to a command of the client's has passed.
func (sp *splitting) done(s *server, was outcome) {
	if s != sp.home {
		sp.traces.leaves(atReader, was, sp.why, false)
		sp.at.warned = was.warns || was.failed || sp.at.warned && !sp.clears
		if sp.home == nil { // it has died meanwhile
			sp.c.server = nil
			return
		}
		sp.settles()
		sp.turn(sp.home)
		return
	}
	if sp.second {
		if sp.second = false; was.failed {
			sp.lastRead, sp.earlier = sp.earlier, lastRead{read: sp.read[:0]}
		}
	}
	if sp.why == RouteReason(packet.ReasonCall) && sp.state.lex&packet.LexMariaDB == 0 {
		was.rows = true // MySQL counts one for a DO
	}
	was.rows = was.rows && !sp.tells
	if was.command != packet.ComStmtPrepare || sp.prepared(was.failed) {
		sp.traces.leaves(atHome, was, sp.why, sp.clears)
		sp.quiet = !sp.traces.warned && leavesNothing(sp.why)
	}
	sp.happened(was)
	sp.settles()
}

// told reads an OK with session state, which is the end of p, and writes what
// the client is to see of it, with p before it. at is where p ends; it is
// returned.
func (sp *splitting) told(s *server, p []byte, at int, mine bool) int {
	c := sp.c
	size := s.resp.Told()
	pkt := packet.Packet(p[max(0, len(p)-size):])
	if s == sp.home && len(pkt) == size {
		sp.learn(pkt.Payload())
		if sp.after.on && !sp.after.many { // a CALL: EOFs within it take nothing from its last OK
			s.resp.CaughtUp()
		}
	}
	if mine {
		return at
	}
	l := c.loop
	c.write(p[:len(p)-size])
	l.packed = packet.EditOK(packet.AppendHeader(l.packed[:0], 0, pkt.Seq()), pkt.Payload(), sp.tracks, keeps[sp.trackings(s)])
	packet.AppendHeader(l.packed[:0], len(l.packed)-packet.HeaderLen, pkt.Seq())
	c.write(l.packed)
	return at
}

// learn reads what an OK of home's tells of the session's state.
func (sp *splitting) learn(payload []byte) {
	ok, err := packet.ParseOK(payload, sp.home.caps)
	if err != nil {
		return
	}
	st := &sp.state
	for it := packet.SessionChangesOf(ok.SessionState); ; {
		change, more := it.Next()
		if !more {
			return
		}
		switch change.Kind {
		case packet.SessionSchema:
			if string(change.Value) != st.database {
				st.selects(string(change.Value))
			}
		case packet.SessionStateChange:
			sp.changed = true
		case packet.SessionGTIDs:
			sp.wrote(change.Value)
		case packet.SessionVariable:
			if string(change.Name) == "last_gtid" {
				sp.wrote(change.Value)
			}
		}
	}
}

// fewRanges is up to how many ranges of GTIDs are kept: others write in between.
const fewRanges = 16

// wrote is told the GTID of a write.
func (sp *splitting) wrote(gtid []byte) {
	g := &sp.state.gtids
	sp.state.writes++
	if g.Add(gtid) != nil {
		sp.state.pins |= pinUntracked
	}
	if g.Ranges() > fewRanges {
		g.Widen()
	}
}

// tracking is a set of what a client has set to its own liking of what servers
// tell of the session's state. What it has not is only told because of us.
type tracking uint8

const (
	trackGTIDs tracking = 1 << iota
	trackState
	trackVariables
	trackings // the end of the sets
)

// trackingOf is what of it a SET statement switches on and off.
func trackingOf(sql []byte) (on, off tracking) {
	text := bytes.ToLower(sql)
	for i, name := range [...]string{"session_track_gtids", "session_track_state_change", "session_track_system_variables"} {
		_, value, ok := bytes.Cut(text, []byte(name))
		value = bytes.TrimLeft(value, " \t\r\n`:='\"")
		switch {
		case !ok:
		case bytes.HasPrefix(value, []byte("0")), bytes.HasPrefix(value, []byte("of")), bytes.HasPrefix(value, []byte("false")):
			off |= 1 << i
		default:
			on |= 1 << i
		}
	}
	return on, off
}

// trackings is what the client has set when the response that s is at comes.
func (sp *splitting) trackings(s *server) tracking {
	if s.queue.n == 1 { // else it is what a later command will have done
		return sp.state.trackings&^sp.after.tracksOff | sp.after.tracksOn
	}
	return sp.state.trackings
}

// keeps has, for what a client has set, what it is to see of a session's state.
var keeps = func() (list [trackings]func(packet.SessionChange) bool) {
	for t := range trackings {
		list[t] = func(c packet.SessionChange) bool {
			switch {
			case c.Kind == packet.SessionGTIDs:
				return t&trackGTIDs != 0
			case c.Kind == packet.SessionStateChange:
				return t&trackState != 0
			case c.Kind == packet.SessionVariable && string(c.Name) == "last_gtid":
				return t&trackVariables != 0
			}
			return true
		}
	}
	return list
}()
