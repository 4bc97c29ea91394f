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
	return sp.c.id != nil && !sp.c.quit && !sp.parts && !slices.ContainsFunc(st.variables, role) && st.tracked && (st.unheard == unheardNone || sp.c.loop.engine.cfg().Consistency != ConsistencySession) && st.pins == 0 && !st.tied && !sp.called && !sp.optioned && sp.prep.n() == 0 && !sp.after.on && sp.c.opening == nil &&
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
	if sp.home == nil { // it has died over a read at the reader
		return
	}
	l := sp.c.loop
	switch {
	case !l.engine.cfg().Multiplex:
	case sp.home.backend.slots.waiting.Load() > 0:
		l.Post(sp.rest)
	case !sp.resting.Armed():
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
	sp.rest()
}

// rest parks the session if it is idle.
func (sp *splitting) rest() {
	c, l := sp.c, sp.c.loop
	if sp.home == nil || c.state != clientReady || !c.req.Whole() || c.held || !sp.home.quiet() || !sp.home.clean() || !sp.portable() ||
		sp.reader != nil && !sp.reader.quiet() || l.draining {
		return // what comes next tries again
	}
	if sp.state.inserted {
		sp.ask(sp.home, ownInsertID, append([]byte{byte(packet.ComQuery)}, asksInsertID...))
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
	sp.caps, sp.said, sp.primary = h.caps, h.resp.Status(), h.backend
	if sp.state.unheard != unheardNone {
		sp.state.unheard = unheardAny
	}
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
	if s.backend.Duty() != DutyOnline || s.old() {
		s.depart()
		return
	}
	s.enter(serverIdle)
	p, most := l.pool(s.backend), l.share(l.engine.cfg().Pool.MaxIdle)
	for most > 0 && p.idleOf(s.who.user) >= most {
		p.oldest(s.who.user).depart()
	}
	s.rests()
	if every := l.sweeps(); every > 0 && !l.sweep.Armed() {
		l.sweep.Owner = sweeper{l}
		l.Arm(&l.sweep, every)
	}
}

// share is the loop's part of n sessions.
func (l *loop) share(n int) int { return (n + len(l.engine.loops) - 1) / len(l.engine.loops) }

// sweeps is how often the loop looks for sessions that are to be closed; 0: never.
func (l *loop) sweeps() time.Duration {
	every := l.engine.cfg().Pool.IdleTime
	if age := l.engine.cfg().Pool.MaxAge; age > 0 && (every == 0 || age < every) {
		every = age
	}
	return every / 4
}

// depart closes s, which was idle and has been taken out of its pool, as clients
// take leave.
func (s *server) depart() {
	s.command(packet.AppendPacket(nil, 0, []byte{byte(packet.ComQuit)}))
	s.enter(serverClosing)
	s.conn.CloseAfterFlush(flushWithin, false)
}

// sweeper closes what has been idle for long, or is old.
type sweeper struct{ l *loop }

func (w sweeper) Expired(*reactor.Timer) {
	l := w.l
	cfg := &l.engine.cfg().Pool
	t := time.Duration(-1)
	if cfg.IdleTime > 0 {
		t = l.Now() - cfg.IdleTime
	}
	left := false
	for _, b := range l.engine.backends.all() {
		old, rest := l.pool(b).before(t, l.share(cfg.MinIdle))
		left = left || rest
		for _, s := range old {
			s.depart()
		}
	}
	if left && !l.draining {
		l.Arm(&l.sweep, l.sweeps())
	}
}

// before removes the sessions that have been idle since before t, but for keep of
// each user, and those that are old. rest tells whether there are others.
func (p *pool) before(t time.Duration, keep int) (old []*server, rest bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user := range p.idle {
		for i := 0; i < len(p.idle[user]); {
			if s := p.idle[user][i]; s.old() || s.since < t && len(p.idle[user]) > keep {
				old = append(old, s)
				p.cut(user, i)
			} else {
				rest = true
				i++
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
		if s := list[i]; s.serves(sp, caps) {
			p.cut(user, i)
			return s
		}
	}
	return nil
}

// serves tells whether sp may have s, which is idle.
func (s *server) serves(sp *splitting, caps packet.Capability) bool {
	return s.who.user == sp.c.id.user && s.conn.Open() && s.born >= sp.since && !s.old() && (s.who.database == "" || sp.state.database != "") && s.caps == caps &&
		s.who.collation == sp.collation && s.mark == sp.c.id.mark() && !s.bares(sp.c)
}

// wake takes the command that p begins with while there is no home: it waits
// until there is one.
func (sp *splitting) wake(p []byte) (used int) {
	c := sp.c
	if sp.refusing {
		return sp.refuse(p)
	}
	if len(p) <= packet.HeaderLen {
		return 0
	}
	if packet.Command(p[packet.HeaderLen]) == packet.ComQuit && packet.Packet(p).PayloadLen() == 1 {
		c.quit = true
		c.end(ReasonClientQuit, nil)
		return len(p)
	}
	if sp.wish == wishHome || sp.replays || c.seat > 0 {
		if len(p) > mostWaiting || c.ticket == nil {
			c.hold()
		}
		sp.wish = wishHome
		return 0
	}
	if c.loop.engine.backends.primary() == nil {
		if used, ok := sp.alone(p); ok {
			return used
		}
	}
	c.hold()
	c.tries = 0
	sp.seek()
	return 0
}

// mostWaiting is how many bytes of a client's are held that waits for home; what
// else it sends it keeps.
const mostWaiting = 4 << 10

// woken is told that the session may have s, which was idle, for its home, or, if
// that is nil, another one with b, which counts it.
func (sp *splitting) woken(b *Backend, s *server) {
	c := sp.c
	c.hold()
	c.loop.Disarm(&sp.timer)
	if !b.open() || !c.loop.engine.backends.leads(b) { // it is not what it was when the wait began
		if b.release(); s != nil {
			s.depart()
		} else {
			b.slots.leave()
		}
		sp.resume()
		return
	}
	if s != nil {
		s.client = c
		s.enter(serverReady)
		sp.restore(s, true, s.who.database)
		return
	}
	how := opening{database: sp.state.database, collation: sp.collation, caps: sp.caps}
	c.openAs(b, c.id, how, func(s *server, err error) {
		if err != nil {
			sp.missed(b, err)
			return
		}
		sp.restore(s, false, how.database)
	})
}

// waitedInVain refuses the command that waits for home.
func (sp *splitting) waitedInVain() {
	if sp.replays { // it is not the next that the client has sent
		sp.c.hold()
		sp.c.end(ReasonPoolWait, nil)
		return
	}
	sp.wish, sp.refusing = wishNone, true
	sp.once, sp.demand, sp.c.until = 0, wanted{}, 0 // those were this command's
	sp.c.hold()
	sp.c.release() // it comes again
}

// restore has s be home, and has it take the session's state. A used one has
// another session's state, database but for its database.
func (sp *splitting) restore(s *server, used bool, database string) {
	c := sp.c
	sp.home, c.server, c.backend = s, s, s.backend
	reactor.Link(c.conn, s.conn)
	sp.restored, sp.pooled = 0, used
	c.until = 0
	sp.moves = sp.c.loop.engine.backends.overtakes(s.backend)
	if sp.thread != nil && s.backend == sp.shown {
		sp.thread.Store(s.thread)
	}
	if used || sp.state.reset {
		sp.reset(s, ownRestore)
	}
	sp.track()
	sp.catchesUp(s)
	if database != sp.state.database || used && database != "" { // a reset leaves it, but not its character set
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
		sp.pooled = false
		sp.resume()
	}
}

// unrestored is told that s, which is home and about to end, has ended or could not
// take the session's state. It tells whether the session can wake anew: s is from
// the pool, and nothing of the client's has been sent there.
func (sp *splitting) unrestored(s *server) bool {
	c := sp.c
	if !sp.pooled || sp.home != s || c.state >= clientClosing {
		return false
	}
	sp.pooled = false
	if sp.thread != nil {
		sp.thread.Store(0)
	}
	sp.home, c.server = nil, nil
	sp.resume()
	return true
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
