package engine

import (
	"slices"
	"strconv"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is a session that splits while it has no session at home: it has
// given that to the loop's pool because it is idle and all of its state can be
// had again elsewhere (--multiplex), or the server has closed it then.
//
//	idle --> rests? --> [what is LAST_INSERT_ID()?] --> park: home and reader go to the pool
//	a command --> wake: from the pool, reset, or a new one --> restore: state --> choose
//
// What cannot be had again keeps a session from it: temporary tables, locks, user
// variables, prepared statements, handlers, a role (which a reset leaves), and what the statement before leaves
// to be asked for (warnings, ROW_COUNT(), FOUND_ROWS()).

// tying are the effects that tie a session to its home until it is reset.
const tying = packet.EffectUserVariable | packet.EffectPrepare | packet.EffectHandlerOpen | packet.EffectUnknown | packet.EffectFunction

// portable tells whether all of the session's state could be had again at another
// session with the primary. The session is idle.
func (sp *splitting) portable() bool {
	st := &sp.state
	role := func(v variable) bool { return v.Key == keyRole }
	return sp.c.id != nil && !slices.ContainsFunc(st.variables, role) && st.tracked && st.unheard == unheardNone && st.pins == 0 && !st.tied && !sp.called && !sp.optioned && sp.prep.n() == 0 && !sp.after.on && sp.c.opening == nil &&
		(sp.traces.before == atReader && !sp.traces.readWarned && sp.readIn == st.database || sp.traces.before == atHome && sp.quiet)
}

// leavesNothing tells whether nothing of a statement that went home well can be
// asked for by the next one.
func leavesNothing(r RouteReason) bool {
	switch packet.RouteReason(r) {
	case packet.ReasonSet, packet.ReasonUse, packet.ReasonTransaction:
		return r < RouteCommand
	}
	return false
}

// settles has the session rest when it has been idle for long enough. It is
// called when a response is over.
func (sp *splitting) settles() {
	if l := sp.c.loop; l.engine.cfg().Multiplex && !sp.resting.Armed() {
		l.Arm(&sp.resting, l.engine.cfg().MultiplexDelay)
	}
}

// rester is the timer's owner.
type rester struct{ sp *splitting }

// Expired parks the session if it has been idle for long enough.
func (r rester) Expired(*reactor.Timer) {
	sp := r.sp
	c, l := sp.c, sp.c.loop
	if sp.home == nil || c.state >= clientClosing {
		return
	}
	if left := l.engine.cfg().MultiplexDelay - (l.Now() - c.active); left > 0 {
		l.Arm(&sp.resting, left)
		return
	}
	if c.state != clientReady || !c.req.Whole() || c.held || !sp.home.quiet() || !sp.home.clean() || !sp.portable() ||
		sp.reader != nil && !sp.reader.quiet() || l.draining {
		return // what comes next tries again
	}
	if sp.state.inserted {
		sp.ask(sp.home, ownInsertID, append([]byte{byte(packet.ComQuery)}, "SELECT LAST_INSERT_ID()"...))
		return
	}
	sp.park()
}

// park gives the session's servers to the pool.
func (sp *splitting) park() {
	c := sp.c
	sp.leaves(sp.home)
	h, r := sp.home, sp.reader
	sp.home, sp.reader, c.server = nil, nil, nil
	h.shelve(c, sp.state.database)
	if r != nil {
		r.shelve(c, sp.at.database)
	}
	sp.at = readerState{}
}

// leaves remembers what is to be known of h while there is no home.
func (sp *splitting) leaves(h *server) {
	sp.caps, sp.primary = h.caps, h.backend
	if sp.thread != nil {
		sp.thread.Store(0)
	}
}

// shelve puts s, which is idle and c's, into the loop's pool.
func (s *server) shelve(c *client, database string) {
	l := s.loop
	s.backend.release()
	s.client, s.reads = nil, false
	reactor.Unlink(s.conn)
	s.who = login{user: c.id.user, database: database, collation: c.sp.collation, caps: s.caps}
	s.mark = c.id.mark()
	s.since = l.Now()
	if s.backend.Duty() != DutyOnline {
		s.depart()
		return
	}
	p := l.pool(s.backend)
	for p.idleOf(s.who.user) >= shelfSize {
		p.oldest(s.who.user).depart()
	}
	s.enter(serverIdle)
	p.put(s)
	if !l.sweep.Armed() {
		l.sweep.Owner = sweeper{l}
		l.Arm(&l.sweep, shelfAge)
	}
}

const (
	// shelfSize is how many idle sessions a loop keeps with one backend for one
	// user.
	shelfSize = 64
	// shelfAge is for how long at most.
	shelfAge = 60 * time.Second
)

// depart closes s, which was idle and has been taken out of its pool, as clients
// take leave.
func (s *server) depart() {
	s.command(packet.AppendPacket(nil, 0, []byte{byte(packet.ComQuit)}))
	s.enter(serverClosing)
	s.conn.CloseAfterFlush(flushWithin, false)
}

// sweeper closes what has been idle for long.
type sweeper struct{ l *loop }

func (w sweeper) Expired(*reactor.Timer) {
	l := w.l
	left := false
	for _, b := range l.engine.backends.all() {
		old, rest := l.pool(b).before(l.Now() - shelfAge)
		left = left || rest
		for _, s := range old {
			s.depart()
		}
	}
	if left && !l.draining {
		l.Arm(&l.sweep, shelfAge/4)
	}
}

// before removes the sessions that have been idle since before t. rest tells
// whether there are others.
func (p *pool) before(t time.Duration) (old []*server, rest bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user := range p.idle {
		for i := len(p.idle[user]) - 1; i >= 0; i-- {
			if s := p.idle[user][i]; s.since < t {
				old = append(old, s)
				p.cut(user, i)
			} else {
				rest = true
			}
		}
	}
	return old, rest
}

// newest removes the session that a session that splits may have and that has
// been idle for the shortest time; nil if there is none. A database cannot be left
// without another.
func (p *pool) newest(sp *splitting, caps packet.Capability) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	user := sp.c.id.user
	list := p.idle[user]
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		if s.conn.Open() && s.born >= sp.since && (s.who.database == "" || sp.state.database != "") && s.caps == caps && s.who.collation == sp.collation && s.mark == sp.c.id.mark() && !s.bares(sp.c) {
			p.cut(user, i)
			return s
		}
	}
	return nil
}

// wake takes the command that p begins with while there is no home: it waits
// until there is one.
func (sp *splitting) wake(p []byte) (used int) {
	c, l := sp.c, sp.c.loop
	if len(p) <= packet.HeaderLen {
		return 0
	}
	if packet.Command(p[packet.HeaderLen]) == packet.ComQuit && packet.Packet(p).PayloadLen() == 1 {
		c.quit = true
		c.end(ReasonClientQuit, nil)
		return len(p)
	}
	if sp.wish == wishHome {
		return 0
	}
	c.hold()
	sp.wish = wishHome
	b := sp.primary
	if b.State() == BackendDown || !l.engine.backends.leads(b) {
		l.engine.backends.wake(time.Now(), l.engine.woken)
		if b = l.engine.backends.take(); b == nil {
			c.end(ReasonNoBackend, nil)
			return len(p)
		}
		b.release()
	}
	b.clients.Add(1)
	if s := l.pool(b).newest(sp, sp.caps); s != nil {
		s.client = c
		s.enter(serverReady)
		sp.restore(s, true, s.who.database)
		return 0
	}
	how := opening{database: sp.state.database, collation: sp.collation, caps: sp.caps}
	c.openAs(b, c.id, how, func(s *server, err error) {
		if err != nil {
			c.end(ReasonServerLost, err)
			return
		}
		sp.restore(s, false, how.database)
	})
	return 0
}

// restore has s be home, and has it take the session's state. A used one has
// another session's state, database but for its database.
func (sp *splitting) restore(s *server, used bool, database string) {
	c := sp.c
	sp.home, c.server, c.backend = s, s, s.backend
	reactor.Link(c.conn, s.conn)
	sp.restored = 0
	if sp.thread != nil && s.backend == sp.shown {
		sp.thread.Store(s.thread)
	}
	if used || sp.state.reset {
		sp.reset(s, ownRestore)
	}
	sp.track()
	if database != sp.state.database {
		sp.ask(s, ownRestore, append([]byte{byte(packet.ComInitDB)}, sp.state.database...))
	}
	if id := sp.state.insertID; id != 0 {
		sp.ask(s, ownRestore, append([]byte{byte(packet.ComQuery)}, "SET last_insert_id="+strconv.FormatUint(id, 10)...))
	}
	sp.restoreMore()
}

// restoreMore sends as many of the session's variables as can be outstanding.
func (sp *splitting) restoreMore() {
	st := &sp.state
	for i := range st.variables {
		if v := &st.variables[i]; v.number > sp.restored && !sp.home.queue.full() {
			sp.restored = v.number
			sp.ask(sp.home, ownRestore, append([]byte{byte(packet.ComQuery)}, v.Text...))
		}
	}
	sp.wish = wishAnswer
	if sp.home.queue.empty() {
		sp.resume()
	}
}

// reset has s forget what another session has left in it. MySQL goes to a character
// set of its own then, MariaDB to that of the login, where s is to be unless its
// client has had that itself.
func (sp *splitting) reset(s *server, what own) {
	sp.ask(s, what, []byte{byte(packet.ComResetConnection)})
	if own := sp.collation; own != 0 && !sp.state.reset && s.offers&packet.CapLongPassword != 0 {
		n := strconv.Itoa(int(own))
		sp.ask(s, what, append([]byte{byte(packet.ComQuery)}, "SET character_set_client="+n+",character_set_results="+n+",collation_connection="+n...))
	}
}

// orphaned is told that home has ended while the session was idle. It tells
// whether the session can go on without.
func (sp *splitting) orphaned(s *server) bool {
	c := sp.c
	if c.state != clientReady || c.quit || !c.req.Whole() || c.server != s || sp.wish != wishNone || sp.state.inserted || !s.clean() || !sp.portable() || c.loop.draining {
		return false
	}
	sp.leaves(s)
	sp.home, c.server = nil, nil
	return true
}
