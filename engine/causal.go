package engine

import (
	"bytes"
	"time"

	"mysqlproxy/packet"
)

// This file is what a read at the reader has to see, beside what is there.
//
//	--consistency    session          the session's own writes
//	                 strong-global    all that the primary has: it is asked for each read
//	                 primary-writes   nothing
//	/* gtid=... */                    what another session has written, by its
//	                                  SELECT @@proxy_gtid
//
// The reader is known to have it, or is waited for, or the read goes home.

// wanted is what the command that is being chosen for has to see beside the
// session's own writes.
type wanted struct {
	on     bool // there is any
	hinted bool // a comment's is in set
	asked  bool // all that home has is in set
	met    bool // the reader has it
	set    packet.GTIDs
}

// tokenIs notes the GTIDs that a comment in sql names, and tells whether they can be
// waited for.
func (sp *splitting) tokenIs(st packet.Statement, sql []byte) bool {
	from, to := st.GTIDs[0], st.GTIDs[1]
	d := &sp.demand
	if to == 0 || d.hinted {
		return true
	}
	if int(to) > len(sql) || d.set.Add(sql[from:to]) != nil || !d.set.Of(sp.state.lex&packet.LexMariaDB != 0) {
		return false
	}
	d.on, d.hinted = true, true
	return true
}

// sees tells whether the reader has what the command that is being chosen for has
// to see, and sees to it.
func (sp *splitting) sees() (readiness, RouteReason) {
	c := sp.c
	l, st, d := c.loop, &sp.state, &sp.demand
	consistency := l.engine.cfg().Consistency
	switch {
	case consistency == ConsistencyGlobal && sp.home == nil: // nobody could say what there is
		return readyNever, RouteBehind
	case consistency == ConsistencyGlobal && !st.tracked:
		return readyNever, RouteUntracked
	case consistency == ConsistencyGlobal && !d.asked:
		d.on = true
		sp.ask(sp.home, ownAll, append([]byte{byte(packet.ComQuery)}, sp.asksAll()...))
		sp.wait(wishAnswer)
		return readyLater, 0
	case consistency == ConsistencySession && st.unheard != unheardNone:
		sp.hears()
		return readyLater, 0
	}
	own := consistency == ConsistencySession && sp.at.writes != st.writes
	if !own && (!d.on || d.met) || l.pool(sp.reader.backend).applied.Contains(sp.needs(own)) {
		return readyNow, 0
	}
	if l.Now() < sp.behind {
		return readyNever, RouteBehind
	}
	sp.ask(sp.reader, ownWait, packet.AppendCausalWait([]byte{byte(packet.ComQuery)}, sp.needs(own), writesWithin))
	sp.wait(wishAnswer)
	l.Arm(&sp.timer, readerWithin)
	return readyLater, 0
}

// needs is what the reader has to have. own: the session's own writes are part of it.
func (sp *splitting) needs(own bool) *packet.GTIDs {
	d := &sp.demand
	switch {
	case !d.on:
		return &sp.state.gtids
	case own:
		d.set.Merge(&sp.state.gtids)
	}
	return &d.set
}

// waited is told what came of waiting for that.
func (sp *splitting) waited(failed bool) {
	applied := &sp.c.loop.pool(sp.reader.backend).applied
	if !failed && firstValue(sp.collect, sp.reader.caps) == "0" {
		own := sp.c.loop.engine.cfg().Consistency == ConsistencySession
		applied.Merge(sp.needs(own))
		applied.Narrow(fewRanges)
		if sp.demand.met = true; own {
			sp.at.writes = sp.state.writes // there may be more ranges than applied keeps
		}
		return
	}
	sp.once = RouteBehind
	sp.behind = sp.c.loop.Now() + behindAgain
}

// hears asks home for GTIDs of the session's that it has not told.
func (sp *splitting) hears() {
	sp.ask(sp.home, ownHeard, append([]byte{byte(packet.ComQuery)}, sp.asksGTIDs()...))
	sp.wait(wishAnswer)
}

// asksGTIDs asks home for GTIDs that it has not told. MariaDB knows the session's
// last one until the session is reset, MySQL only those of all sessions.
func (sp *splitting) asksGTIDs() string {
	if sp.state.lex&packet.LexMariaDB != 0 && sp.state.unheard != unheardAny {
		return "SELECT @@SESSION.last_gtid"
	}
	return sp.asksAll()
}

// asksAll asks for the GTIDs of all sessions.
func (sp *splitting) asksAll() string {
	if sp.state.lex&packet.LexMariaDB == 0 {
		return "SELECT @@GLOBAL.gtid_executed"
	}
	return "SELECT @@GLOBAL.gtid_binlog_pos"
}

// heard is told that home has answered asksGTIDs.
func (sp *splitting) heard(failed bool) {
	st := &sp.state
	st.unheard = unheardNone
	gtids := firstValue(sp.collect, sp.home.caps)
	if failed || gtids == "" && st.lex&packet.LexMariaDB == 0 {
		sp.untracked()
		return
	}
	sp.wrote([]byte(gtids))
}

// untracked is told that the session has written what cannot be waited for.
func (sp *splitting) untracked() {
	if sp.c.loop.engine.cfg().Consistency == ConsistencySession {
		sp.state.pins |= pinUntracked
	} else {
		sp.state.tracked = false
	}
}

// heardAll is told that home has answered asksAll for the read that waits.
func (sp *splitting) heardAll(failed bool) {
	d := &sp.demand
	gtids := firstValue(sp.collect, sp.home.caps)
	if failed || gtids == "" || d.set.Add([]byte(gtids)) != nil {
		sp.once = RouteUntracked
		return
	}
	d.asked = true
}

// asksToken tells whether sql is SELECT @@proxy_gtid.
func asksToken(sql []byte) bool {
	const verb, scope, name = "select", "@@session.", "@@proxy_gtid"
	sql = bytes.TrimSpace(bytes.TrimRight(sql, "; \t\r\n"))
	if len(sql) < len(verb)+len(name) || len(sql) > 64 || !bytes.EqualFold(sql[:len(verb)], []byte(verb)) {
		return false
	}
	sql = bytes.TrimSpace(sql[len(verb):])
	if len(sql) > len(scope) && bytes.EqualFold(sql[:len(scope)], []byte(scope)) {
		sql = sql[len(scope)-2:] // which is as long as @@
		return bytes.EqualFold(sql[2:], []byte(name[2:]))
	}
	return bytes.EqualFold(sql, []byte(name))
}

// tellsToken has home answer SELECT @@proxy_gtid, the command that b begins with:
// by the session's writes, NULL if they are not known.
func (sp *splitting) tellsToken(b []byte, st packet.Statement, sql []byte) (*server, choice) {
	h, state := sp.home, &sp.state
	known := state.tracked && state.pins&pinUntracked == 0
	switch {
	case !h.queue.empty():
		return nil, sp.wait(wishState)
	case known && state.unheard != unheardNone:
		sp.hears()
		return nil, waits
	case sp.echoes(st, sql):
		return nil, sp.wait(wishAnswer)
	}
	text := append(make([]byte, 0, 128), byte(packet.ComQuery))
	text = append(text, "SELECT "...)
	if known {
		text = append(state.gtids.Append(append(text, '\'')), '\'')
	} else {
		text = append(text, "NULL"...)
	}
	text = append(append(append(text, " AS `"...), "@@proxy_gtid"...), '`')
	sp.c.loop.packed = packet.AppendPacket(sp.c.loop.packed[:0], b[3], h.attributed(text))
	to, _ := sp.goHome(RouteCommand)
	return to, replaced
}

// learnAgain is after how long a primary is asked anew whether its writes have GTIDs:
// MySQL's gtid_mode can be changed while it runs, in steps.
const learnAgain = 10 * time.Second

// logs is told whether b's writes have GTIDs. Where they have them no more, sessions
// that write do not wait for what will not be told.
func (l *loop) logs(b *Backend, gtids bool) {
	p := l.pool(b)
	was := p.logs
	if p.logs = logsNothing; gtids {
		p.logs = logsGTIDs
	}
	if was != logsGTIDs || gtids {
		return
	}
	l.each(func(c *client) {
		if sp := c.sp; sp != nil && sp.home != nil && sp.home.backend == b && sp.state.tracked {
			sp.state.tracked = false
			if l.engine.cfg().Consistency == ConsistencySession {
				sp.state.pins |= pinUntracked // it may have written since
			}
		}
	})
}

// attributed is a command of the proxy's own as s takes it: with query attributes,
// of which there are none, a query has their number in front.
func (s *server) attributed(payload []byte) []byte {
	if s.caps&packet.CapQueryAttributes == 0 || packet.Command(payload[0]) != packet.ComQuery {
		return payload
	}
	return append([]byte{byte(packet.ComQuery), 0, 1}, payload[1:]...)
}

const (
	// behindAgain is for how long reads stay at home once the replica did not
	// have what they have to see.
	behindAgain = 100 * time.Millisecond
	// writesWithin is how long a replica is given to come by that, in seconds.
	writesWithin = "0.02"
)
