package engine

import (
	"errors"
	"time"

	"mysqlproxy/packet"
)

// This file is how a session that splits gets another home: its own has died, or is
// not the one any more that takes writes. It does so only where nothing of it is
// lost: no transaction, and no state that could not be had again (multiplex.go).
//
//	home dies           --> orphaned? --> no home; a command, or the read that ran, --> seek
//	another one leads   --> follow    --> idle: no home;  else at the next command  --> seek
//	seek --> pool, or openAs --> restore: state, own writes --> choose, or the read again
//
// What only the last statement has left (ROW_COUNT() and its like) does not keep a
// session from it, nor does a LAST_INSERT_ID() that home was not asked for before it
// died: if a statement asks for it after all, the session ends then, as it would
// have without a proxy.

// movable tells whether the session's state could be had again at another home, but
// for what the last statement may have left.
func (sp *splitting) movable() bool {
	c, st := sp.c, &sp.state
	if c.id == nil || c.quit || sp.parts || c.loop.draining || c.state >= clientClosing {
		return false
	}
	for i := range st.variables {
		if key := st.variables[i].Key; key == keyRole || key == "completion_type" { // by that COMMIT may close the session
			return false
		}
	}
	return st.pins&^pinUntracked == 0 && !st.tied && !sp.called && !sp.optioned && !sp.after.on && sp.prep.n() == 0 &&
		!sp.traces.warned && !sp.traces.readWarned
}

// rests tells whether the last statement has left nothing that could be asked for,
// or only what can be had again.
func (sp *splitting) rests() bool {
	t := &sp.traces
	return t.before == atReader && !t.readWarned && sp.readIn == sp.state.database || t.before == atHome && sp.quiet
}

// orphaned is told that home has ended, or is given up. It tells whether the session
// can go on without. Then it has no home, and the caller closes h.
func (sp *splitting) orphaned(h *server) bool {
	c := sp.c
	if sp.home != h || !h.clean() || !sp.movable() || !c.req.Whole() && !c.held {
		return false
	}
	switch {
	case c.state == clientReady && c.server == h: // idle, or a command waits and was not sent
		c.server = nil
		sp.bereaved(h, !sp.rests())
		if c.held {
			c.loop.Disarm(&sp.timer)
			sp.resume()
		}
	case c.state == clientBusy && c.server == sp.reader && sp.reader != nil:
		sp.bereaved(h, false) // what runs there leaves something new
	case c.state == clientBusy && c.server == h && sp.safe && h.queue.n == 1 && h.queue.first().own == ownNone && !h.resp.Begun():
		// A read of whose response nothing has come.
		sp.counted, sp.sent = h.queue.first().counted, h.sent
		c.server = nil
		sp.bereaved(h, false)
		sp.traces = traces{}
		sp.lastRead = lastRead{read: append(sp.read[:0], sp.ran...), readIn: sp.state.database}
		sp.question = sp.question[:0]
		sp.replay()
	default:
		return false
	}
	return true
}

// bereaved has the session be without a home. lost says that what its last statement
// has left is gone.
func (sp *splitting) bereaved(h *server, lost bool) {
	st := &sp.state
	sp.leaves(h)
	sp.home, sp.moves = nil, false
	sp.prep.forget() // there are none, but some whose end home has not been told
	sp.traces.lost = lost
	if st.inserted { // and nobody is left to say what LAST_INSERT_ID() is
		st.inserted, st.insertID, st.idLost = false, 0, true
	}
	if st.unheard != unheardNone { // nobody is left to say it
		st.unheard = unheardNone
		sp.untracked()
	}
}

// replay has what is in splitting.read run at a home that is yet to be found.
// Nothing of a response to it has gone to the client.
func (sp *splitting) replay() {
	c := sp.c
	c.enter(clientReady)
	c.hold()
	sp.replays = true
	c.tries = 0
	sp.seek()
}

// seek opens a session with the primary. The client is held, and what it has sent is
// chosen for when that is there.
func (sp *splitting) seek() {
	c, l := sp.c, sp.c.loop
	bs := &l.engine.backends
	sp.wish = wishHome
	b := sp.primary
	if !b.open() || !bs.leads(b) {
		bs.wake(time.Now(), l.engine.woken)
		if b = bs.take(); b != nil {
			b.release()
		}
	}
	if c.opening != nil {
		return // its end resumes
	}
	if b == nil {
		if !c.seeks() {
			c.homeless()
		}
		return
	}
	b.clients.Add(1)
	if s := l.pool(b).newest(sp, sp.caps); s != nil {
		sp.woken(b, s)
		return
	}
	c.await(b, sp, func(s *server) { sp.woken(b, s) })
	if c.ticket != nil {
		l.Arm(&sp.timer, l.engine.cfg().Pool.Wait)
		c.release() // so that its end is seen
	}
}

// alone has a read run at a replica while there is no primary. It tells whether it
// sees to what p begins with, and how much of p it has used.
func (sp *splitting) alone(p []byte) (used int, ok bool) {
	c := sp.c
	size := packet.Packet(p).PayloadLen()
	if packet.Command(p[packet.HeaderLen]) != packet.ComQuery || size > longestRead {
		return 0, false
	}
	b, _, whole := packet.Next(p)
	if !whole {
		return 0, true
	}
	payload := b.Payload()
	sql, is := packet.QueryText(payload, sp.caps)
	q, _ := packet.Expect(payload, size)
	if !is {
		return 0, false
	}
	st := packet.Classify(sql, sp.lex())
	if asksBack(st) {
		return 0, false
	}
	sp.clears = sp.messages() && clears(st, sql)
	if to, _ := sp.route(st); to != atReader || !sp.tokenIs(st, sql) {
		return 0, false
	}
	switch ready, _ := sp.ready(); ready {
	case readyLater:
		return 0, true
	case readyNever:
		sp.once, sp.demand = 0, wanted{}
		return 0, false
	case readyNow:
	}
	s, _ := sp.goRead(b, RouteRead)
	c.answered = true
	s.expect(exchange{Request: q, seq: b.Seq(), counted: c.digests(s, q, payload, size)})
	c.sends(s)
	c.req.Open(b)
	c.req.Pass(size)
	s.command(b)
	return len(b), true
}

// missed is told that no session with b could be opened: another one is tried, or b
// again after a while. Nothing of a command was sent.
func (sp *splitting) missed(b *Backend, err error) {
	c, l := sp.c, sp.c.loop
	c.tries++
	var no *refusal
	switch next := l.engine.backends.primary(); {
	case errors.As(err, &no) && !forNow(no.code), errors.Is(err, errCaps):
		c.end(ReasonServerLost, err)
	case next != nil && next != b && int(c.tries) <= 2*len(l.engine.backends.all()):
		sp.seek()
	case c.seeks():
	case c.until > 0:
		c.homeless()
	default:
		c.end(ReasonServerLost, err)
	}
}

// forNow tells whether an ERR says that nobody gets in now: its server is about to
// stop (1053), offline (3032) or full, as it may be when everybody moves at once.
func forNow(code uint16) bool { return code == 1053 || code == 3032 || code == errFull }

// follow has the sessions that write elsewhere than they would if they came now
// move: those that are idle at once, the others when they send a command and could.
func (l *loop) follow() {
	bs := &l.engine.backends
	if bs.auto || !bs.ordered.Load() { // roles.go has an end for them
		return
	}
	l.each(func(c *client) {
		if sp := c.sp; sp != nil && sp.home != nil && c.state < clientClosing {
			sp.moves = bs.overtakes(sp.home.backend)
			sp.moveOn()
		}
	})
}

// overtakes tells whether another backend than b, which is in use, should be.
func (bs *backends) overtakes(b *Backend) bool {
	if b.Duty() != DutyOnline {
		return bs.primary() != nil
	}
	if bs.auto || !bs.ordered.Load() {
		return false
	}
	first := bs.first()
	return first != nil && first != b && first.State() == BackendUp
}

// moveOn gives home up if the session should move and is idle.
func (sp *splitting) moveOn() {
	c := sp.c
	if !sp.moves || sp.home == nil || c.server != sp.home || c.state != clientReady || !c.req.Whole() || c.held ||
		c.opening != nil || !sp.home.quiet() || !sp.home.clean() || !sp.movable() || !sp.rests() {
		return
	}
	if sp.state.inserted {
		sp.ask(sp.home, ownInsertID, append([]byte{byte(packet.ComQuery)}, asksInsertID...))
		return
	}
	sp.departs(false)
}

const asksInsertID = "SELECT LAST_INSERT_ID()"

// departs leaves home for another one.
func (sp *splitting) departs(lost bool) {
	h := sp.home
	sp.c.server = nil
	sp.bereaved(h, lost)
	h.leave()
}

// goesOver moves the session, which should, before a command of its runs. It tells
// whether that has to wait; then the client has been held. lost says that the
// command may be followed by one that asks for what the one before has left.
func (sp *splitting) goesOver(lost bool) bool {
	c := sp.c
	if sp.moves = c.loop.engine.backends.overtakes(sp.home.backend); !sp.moves { // it was changed back
		return false
	}
	if !sp.home.queue.empty() || !sp.home.quiet() || !sp.home.clean() || c.opening != nil || !sp.movable() {
		return false
	}
	if sp.state.inserted {
		sp.ask(sp.home, ownInsertID, append([]byte{byte(packet.ComQuery)}, asksInsertID...))
		sp.wait(wishAnswer)
		return true
	}
	c.hold()
	c.tries = 0
	sp.departs(lost && !sp.rests())
	sp.seek()
	return true
}

// catchesUp has a new home wait for what the session has written elsewhere: a
// replica that was promoted, or a server that is back, may be a little behind.
func (sp *splitting) catchesUp(h *server) {
	if h.backend == sp.primary || sp.state.gtids.Empty() || sp.c.loop.engine.cfg().Consistency == ConsistencyNone {
		return
	}
	sp.ask(h, ownCatchUp, packet.AppendCausalWait([]byte{byte(packet.ComQuery)}, &sp.state.gtids, catchUpWithin))
}

// catchUpWithin is how long that may take, in seconds. What a server that has died
// has not passed on does not come.
const catchUpWithin = "0.5"
