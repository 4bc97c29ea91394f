package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is how many sessions a backend is given at most (PoolConfig.MaxSessions),
// and who waits for one.
//
//	dial, wake --> enter --> a session is opened ................ Closed --> leave
//	                  \--> ticket, in the queue --> served <--------------------/
//	                                                  ^-- hand over <-- shelve: a session that is idle
//
// All loops share the queue, and the lock on it is taken only where a session is
// opened or closed, or is idle while others wait; not for a command. Only what
// needs a session with the primary waits: a read that finds no room at a replica
// goes home.

// slots are a backend's sessions, whether they work, are idle or being opened.
// Loops share them.
type slots struct {
	now     *atomic.Pointer[running] // of the engine
	n       atomic.Int64
	waiting atomic.Int64 // the queue's length

	mu         sync.Mutex
	head, tail *ticket
}

// ticket is a place in the queue. It belongs to its client session, but for the
// links.
type ticket struct {
	c      *client
	b      *Backend
	sp     *splitting // who takes one from the pool as well, nil if nobody
	got    func(s *server)
	since  time.Time
	gift   *server // idle, for this one
	over   bool    // it is not waited any more, or has been served
	queued bool    // under the lock

	prev, next *ticket
}

// PoolConfig bounds the sessions with backends, and the idle ones of sessions that
// multiplex.
type PoolConfig struct {
	MaxSessions int           // with one backend, of all loops, idle ones among them; 0: any number
	Wait        time.Duration // how long a client waits for one of them

	MinIdle  int           // so many of a user with one backend are kept however long they are idle
	MaxIdle  int           // so many are kept at all; 0: any number
	IdleTime time.Duration // for so long; 0: for any time
	MaxAge   time.Duration // since the login: then one is closed when it is idle; 0: never
}

const (
	// unfairness is by how much later than the first of the queue one may have come
	// that gets a session of its own loop's all the same. To give it to the first
	// means to close it, and to open another on the other's loop.
	unfairness = 100 * time.Millisecond
	// farthest is how far into the queue is looked for one.
	farthest = 256
)

// max is how many there may be, 0 for any number.
func (q *slots) max() int64 {
	if q.now == nil {
		return 0
	}
	return int64(q.now.Load().Pool.MaxSessions)
}

// enter counts a session that is to be opened. It is false if there is no room, or
// others wait for it.
func (q *slots) enter() bool {
	if q.max() == 0 {
		q.n.Add(1)
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fits()
}

// fits is enter under the lock.
func (q *slots) fits() bool {
	if q.head != nil || !q.room() {
		return false
	}
	q.n.Add(1)
	return true
}

func (q *slots) room() bool {
	most := q.max()
	return most == 0 || q.n.Load() < most
}

// force counts a session that is opened in any case.
func (q *slots) force() { q.n.Add(1) }

// full tells whether there was no room a moment ago.
func (q *slots) full() bool { return q.max() > 0 && (!q.room() || q.waiting.Load() > 0) }

// enterOrWait is enter, and puts t into the queue if there is no room.
func (q *slots) enterOrWait(t *ticket) bool {
	if q.max() == 0 {
		q.n.Add(1)
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fits() {
		return true
	}
	t.queued, t.prev = true, q.tail
	if q.tail != nil {
		q.tail.next = t
	} else {
		q.head = t
	}
	q.tail = t
	q.waiting.Add(1)
	return false
}

// cut takes t out of the queue, under the lock.
func (q *slots) cut(t *ticket) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		q.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		q.tail = t.prev
	}
	t.prev, t.next, t.queued = nil, nil, false
	q.waiting.Add(-1)
}

// leave is told that a session has ended. The first of the queue has its place.
func (q *slots) leave() {
	if q.max() == 0 && q.waiting.Load() == 0 {
		q.n.Add(-1)
		return
	}
	q.mu.Lock()
	q.n.Add(-1)
	t := q.next()
	q.mu.Unlock()
	if t != nil {
		t.c.loop.Post(t.served)
	}
}

// next takes the first out of the queue and counts its session, if there is room
// for it. It is called under the lock.
func (q *slots) next() *ticket {
	t := q.head
	if t == nil || !q.room() {
		return nil
	}
	q.n.Add(1)
	q.cut(t)
	return t
}

// changed is told that there may be more of them now.
func (q *slots) changed() {
	for {
		q.mu.Lock()
		t := q.next()
		q.mu.Unlock()
		if t == nil {
			return
		}
		t.c.loop.Post(t.served)
	}
}

// scatter has nobody wait any more: they look for another backend.
func (q *slots) scatter() {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	var all []*ticket
	for q.head != nil {
		all = append(all, q.head)
		q.n.Add(1)
		q.cut(q.head)
	}
	q.mu.Unlock()
	for _, t := range all {
		t.c.loop.Post(t.served)
	}
}

// match takes the one out of the queue who is to have s, which is idle and of loop
// l: the first there that s suits; nil if there is none, or the first of all has
// waited for much longer.
func (q *slots) match(l *loop, s *server) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for t := q.head; t != nil && n < farthest && t.since.Sub(q.head.since) <= unfairness; t = t.next {
		if t.c.loop == l && t.sp != nil && s.serves(t.sp, t.sp.caps) {
			q.cut(t)
			return t
		}
		n++
	}
	return nil
}

// await has got called on c's loop when c may have a session with b, which was
// taken for it: with nil, which is counted already, or, if sp is not nil, with an
// idle one. It may be within the call.
func (c *client) await(b *Backend, sp *splitting, got func(s *server)) {
	t := &ticket{c: c, b: b, sp: sp, got: got, since: time.Now()}
	if b.slots.enterOrWait(t) {
		got(nil)
		return
	}
	c.ticket = t
	c.loop.engine.makeRoom(b, c.loop.number)
}

// served gives t what it has waited for. It runs on t's loop.
func (t *ticket) served() {
	s := t.gift
	t.gift = nil
	switch {
	case s != nil && (s.state != serverIdle || !s.conn.Open()): // it has died on the way
		if t.over {
			return
		}
		t.again()
		return
	case t.over && s != nil:
		s.rests()
		return
	case t.over:
		t.b.slots.leave()
		return
	}
	t.over, t.c.ticket = true, nil
	t.got(s)
}

// again puts t before all others.
func (t *ticket) again() {
	q := &t.b.slots
	q.mu.Lock()
	if q.room() {
		q.n.Add(1)
		q.mu.Unlock()
		t.served()
		return
	}
	if t.queued, t.next = true, q.head; q.head != nil {
		q.head.prev = t
	} else {
		q.tail = t
	}
	q.head = t
	q.waiting.Add(1)
	q.mu.Unlock()
}

// unwait has c wait no more. It tells whether it did.
func (c *client) unwait() bool {
	t := c.ticket
	if t == nil {
		return false
	}
	c.ticket, t.over = nil, true // what is on its way goes to the next
	t.b.release()
	q := &t.b.slots
	q.mu.Lock()
	if t.queued {
		q.cut(t)
	}
	q.mu.Unlock()
	return true
}

// makeRoom has one idle session with b closed, for somebody wants one who cannot
// have it: of the loop with this number, or the next one that has any. Sessions that
// could rest do so now.
func (e *Engine) makeRoom(b *Backend, number int) {
	e.makeRoomAt(b, number, len(e.loops))
}

func (e *Engine) makeRoomAt(b *Backend, number, left int) {
	l := e.loops[number%len(e.loops)]
	l.Post(func() {
		if !b.slots.full() {
			return
		}
		if s := l.pool(b).oldestOfAll(); s != nil {
			if t := b.slots.match(l, s); t != nil {
				s.goesTo(t)
			} else {
				s.depart()
			}
			return
		}
		l.hurry(b)
		if left > 1 {
			e.makeRoomAt(b, number+1, left-1)
		}
	})
}

// hurryAgain is how often a loop looks for sessions that could rest.
const hurryAgain = 20 * time.Millisecond

// hurry has the loop's sessions whose home is at b rest now that could later, unless
// that was just done, and again and again for as long as somebody waits: those that
// have an exchange of the proxy's own under way can a moment later, and nobody else may
// have them do so then.
func (l *loop) hurry(b *Backend) {
	if !l.engine.cfg().Multiplex {
		return
	}
	if !l.haste.Armed() && !l.draining {
		l.haste.Owner = hasty{l}
		l.Arm(&l.haste, hurryAgain)
	}
	if now := l.Now(); l.hurried > 0 && now-l.hurried < hurryAgain {
		return
	}
	l.hurried = l.Now()
	l.rouse(b)
}

// rouse has the loop's sessions whose home is at b rest, if they can.
func (l *loop) rouse(b *Backend) {
	l.each(func(c *client) {
		if sp := c.sp; sp != nil && sp.home != nil && sp.home.backend == b && c.state == clientReady {
			sp.rest()
		}
	})
}

// hasty is the owner of loop.haste.
type hasty struct{ l *loop }

func (h hasty) Expired(*reactor.Timer) {
	l, waiting := h.l, false
	for _, b := range l.engine.backends.all() {
		if b.slots.waiting.Load() > 0 {
			l.rouse(b)
			waiting = true
		}
	}
	if waiting && !l.draining {
		l.Arm(&l.haste, hurryAgain)
	}
}

// rests puts s, which is idle and nobody's, into the pool, unless somebody waits
// for it or its place.
func (s *server) rests() {
	l, q := s.loop, &s.backend.slots
	switch {
	case l.draining:
		s.depart()
	case q.waiting.Load() == 0:
		l.pool(s.backend).put(s)
	default:
		if t := q.match(l, s); t != nil {
			s.goesTo(t)
		} else {
			s.depart()
		}
	}
}

// goesTo gives s, which is idle, to t.
func (s *server) goesTo(t *ticket) {
	t.gift = s
	s.loop.Post(t.served)
}

// old tells whether s has been logged in for so long that it is not to be used
// again. Not all at once that were opened together.
func (s *server) old() bool {
	most := s.loop.engine.cfg().Pool.MaxAge
	return most > 0 && s.loop.Now()-s.born > most-most/160*time.Duration(s.thread%16)
}

// Sessions is how many sessions there are with b: those that work, are idle or
// being opened.
func (b *Backend) Sessions() int { return int(b.slots.n.Load()) }

// Waiting is how many clients wait for one.
func (b *Backend) Waiting() int { return int(b.slots.waiting.Load()) }

// refuse takes the command that has waited in vain for a session with the primary,
// and answers it with an ERR. p begins with what is left of it.
func (sp *splitting) refuse(p []byte) (used int) {
	c := sp.c
	for used < len(p) {
		if b := p[used:]; c.req.Between() {
			if len(b) < packet.HeaderLen {
				return used
			}
			if !c.req.Continued() {
				if len(b) == packet.HeaderLen && packet.Packet(b).PayloadLen() > 0 {
					return used
				}
				c.answered = len(b) == packet.HeaderLen || packet.Command(b[packet.HeaderLen]).HasResponse()
				c.keeps()
			}
			c.req.Open(b)
			used += packet.HeaderLen
		}
		if used += c.req.Pass(len(p) - used); c.req.Whole() {
			break
		}
	}
	if !c.req.Whole() {
		return used
	}
	sp.refusing = false
	if c.answered {
		c.write(ReasonPoolWait.appendERR(nil, c.req.Seq()+1, true))
	}
	c.hold() // so that what came behind it is delivered
	c.release()
	return used
}
