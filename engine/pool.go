package engine

import (
	"slices"
	"sync"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// login is who a server session is logged in as. A pooled session is lent only
// to the same user, with the same capabilities.
type login struct {
	user      string
	response  []byte // to the greeting's challenge
	database  string // as far as the protocol shows it
	collation byte
	caps      packet.Capability
	// direct: the response alone was what the server let the user in for. It
	// asked for nothing else, so the same response proves the same again.
	direct bool
}

// pool is the idle server sessions that one loop has with one backend, per
// user, first in first out. The loop's goroutine changes it; the lock is for
// scripts of other loops that count.
type pool struct {
	mu       sync.Mutex
	idle     map[string][]*server
	reserved int // how many of them are only for their owners

	version uint32        // of the backend, as its last greeting said, 0 before; scripts see it; the loop's
	logs    logs          // whether the backend's writes have GTIDs; the loop's
	learned time.Duration // when that was asked last, on the loop's clock
	speed   speed         // of the backend's answers to reads; the loop's
	applied packet.GTIDs  // what the backend is known to have of sessions' writes; the loop's
	work    traffic       // of all server sessions; the loop's
}

// logs is whether a server gives GTIDs to writes.
type logs uint8

const (
	logsUnknown logs = iota
	logsNothing
	logsGTIDs
)

// put adds s at the end.
func (p *pool) put(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = map[string][]*server{}
	}
	p.idle[s.who.user] = append(p.idle[s.who.user], s)
	if s.reserved {
		p.reserved++
	}
}

// take removes a session that x may have: the one that it had itself last, for
// it is as x left it, else the longest idle one; nil if there is none. own is
// x.own of the pool's backend.
func (p *pool) take(x *scripted, own *server) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own != nil && !x.reserves {
		if i := slices.Index(p.idle[x.who.user], own); i >= 0 {
			p.cut(x.who.user, i)
			return own
		}
	}
	best := -1
	for i, s := range p.idle[x.who.user] {
		if s.conn.Open() && s.suits(x) && (best < 0 || s.owner == x.id) {
			if best = i; s.owner == x.id {
				break
			}
		}
	}
	if best < 0 {
		return nil
	}
	s := p.idle[x.who.user][best]
	p.cut(x.who.user, best)
	return s
}

// takeAny removes the longest idle session of any user that has more than min.
func (p *pool) takeAny(min int) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, list := range p.idle {
		if p.free(list) <= min {
			continue
		}
		for i, s := range list {
			if !s.reserved && s.conn.Open() {
				p.cut(user, i)
				return s
			}
		}
	}
	return nil
}

// free is how many of list, which is one user's, are not reserved.
func (p *pool) free(list []*server) (n int) {
	if p.reserved == 0 {
		return len(list)
	}
	for _, s := range list {
		if !s.reserved {
			n++
		}
	}
	return n
}

// left removes the sessions that are reserved for the session with id, as
// whichever users they are logged in.
func (p *pool) left(id uint64) (list []*server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user := range p.idle {
		for i := len(p.idle[user]) - 1; i >= 0; i-- {
			if s := p.idle[user][i]; s.reserved && s.owner == id {
				list = append(list, s)
				p.cut(user, i)
			}
		}
	}
	return list
}

// keeps tells whether one is reserved for the session with id.
func (p *pool) keeps(id uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		if slices.ContainsFunc(list, func(s *server) bool { return s.reserved && s.owner == id }) {
			return true
		}
	}
	return false
}

// idleOf is how many sessions of user are not reserved.
func (p *pool) idleOf(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free(p.idle[user])
}

// oldest removes the longest idle session of user that is not reserved.
func (p *pool) oldest(user string) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.idle[user] {
		if !s.reserved {
			p.cut(user, i)
			return s
		}
	}
	return nil
}

// oldestOfAll removes the longest idle session of all users that is not reserved.
func (p *pool) oldestOfAll() *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	var old *server
	for _, list := range p.idle {
		for _, s := range list {
			if !s.reserved && (old == nil || s.since < old.since) {
				old = s
			}
		}
	}
	if old != nil {
		p.cut(old.who.user, slices.Index(p.idle[old.who.user], old))
	}
	return old
}

// drop removes s, which has ended.
func (p *pool) drop(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.idle[s.who.user] {
		if other == s {
			p.cut(s.who.user, i)
			return
		}
	}
}

func (p *pool) cut(user string, i int) {
	list := p.idle[user]
	if list[i].reserved {
		p.reserved--
	}
	copy(list[i:], list[i+1:])
	list[len(list)-1] = nil
	if p.idle[user] = list[:len(list)-1]; len(list) == 1 {
		delete(p.idle, user)
	}
}

// count is the number of idle sessions of user that x may have, or anybody if x
// is nil; without a user, that of any one that has more than min.
func (p *pool) count(user string, min int, x *scripted) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if user != "" && x != nil && x.vouched && user == x.who.user {
		n := 0
		for _, s := range p.idle[user] {
			if s.suits(x) {
				n++
			}
		}
		return n
	}
	if user != "" {
		return p.free(p.idle[user])
	}
	for _, list := range p.idle {
		if n := p.free(list); n > min {
			return n
		}
	}
	return 0
}

// lends tells whether there is an idle session of x's user that x may have. own is
// x.own of the pool's backend.
func (p *pool) lends(x *scripted, own *server) bool {
	if own != nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle[x.who.user] {
		if s.suits(x) {
			return true
		}
	}
	return false
}

// own is the session with b that x has given back last, if it is idle still and
// nobody else has had it meanwhile; else nil.
func (x *scripted) own(b *Backend) *server {
	if b.index >= len(x.given) {
		return nil
	}
	s := x.given[b.index]
	if s == nil || s.state == serverIdle && s.owner == x.id && s.who.user == x.who.user && s.conn.Open() && !s.bares(x.c) {
		return s
	}
	x.given[b.index] = nil
	return nil
}

// fits tells whether a client with caps in force can be lent s: its packets and
// what its statements do must be what the client negotiated itself.
func (s *server) fits(caps packet.Capability) bool { return sameCommands(s.caps, caps) }

// sameCommands tells whether a and b make no difference in the command phase.
func sameCommands(a, b packet.Capability) bool {
	const matter = packet.CapsFormat | packet.CapsBehaviour
	return a&matter == b&matter
}

// suits tells whether s, which is idle and x's user's, can be lent to x.
func (s *server) suits(x *scripted) bool {
	if s.bares(x.c) {
		return false
	}
	if s.owner == x.id {
		return true
	}
	// A database that is selected can be changed and not be left.
	placed := x.half.DefaultDB != "" || s.half.DefaultDB == "" && !s.moved
	return placed && !s.reserved && s.fits(x.who.caps) && s.who.collation == x.who.collation
}

// quiet tells whether nothing is outstanding on s.
func (s *server) quiet() bool {
	return s.state == serverReady && !s.tainted && s.resp.Whole() && s.conn.Open() && s.conn.Waiting() == 0
}

// clean tells whether s, which is quiet, can be lent to another session: no
// transaction, and autocommit on.
func (s *server) clean() bool {
	return s.resp.Status()&(packet.StatusInTrans|packet.StatusInTransReadonly|packet.StatusAutocommit) == packet.StatusAutocommit
}

// park gives s, which its client session has let go of, to its pool. One that is
// in the middle of something is closed; one that is in a transaction, or has
// autocommit off, is kept for the session that left it so.
func (s *server) park() {
	l := s.loop
	x := s.client.sx
	s.conn.Push() // what was written in this event has to be on its way
	s.backend.release()
	s.client = nil
	reactor.Unlink(s.conn)
	if !s.quiet() || l.draining || s.clean() && s.backend.Duty() != DutyOnline {
		s.enter(serverClosing)
		s.conn.Close(nil)
		return
	}
	p := l.pool(s.backend)
	s.reserved = !s.clean()
	if s.reserved {
		x.reserves = true
	} else if most := int(s.backend.maxIdle.Load()); most > 0 {
		most = max(most, l.n) // each session may want one in a moment
		for p.idleOf(s.who.user) >= most {
			p.oldest(s.who.user).retire()
		}
	}
	if x.given == nil {
		x.given = make([]*server, len(l.engine.backends.all()))
	}
	if n := s.backend.index + 1 - len(x.given); n > 0 {
		x.given = append(x.given, make([]*server, n)...)
	}
	x.given[s.backend.index] = s
	s.since = l.Now()
	s.enter(serverIdle)
	p.put(s)
	if !s.reserved && !s.backend.ReadOnly && len(l.waiting) > 0 {
		l.served(s)
	}
}

// retire closes s, which was idle and has been taken out of its pool.
func (s *server) retire() {
	s.enter(serverClosing)
	s.conn.Close(nil)
}

// lend takes s, which was idle, for c.
func (s *server) lend(c *client) {
	s.backend.clients.Add(1)
	s.client = c
	s.enter(serverReady)
	reactor.Link(c.conn, s.conn)
	c.server, c.backend = s, s.backend
	if c.sx.vouched {
		s.lentTo(c.sx)
	}
}

// idleEnded is told of bytes from an idle session, or of its end. Whatever came
// (a server says why before it closes), the session cannot be lent any more.
func (s *server) idleEnded() {
	s.loop.pool(s.backend).drop(s)
	s.retire()
}

func (l *loop) pool(b *Backend) *pool { return b.pools[l.number] }

// global is what all scripts share.
type global struct{ e *Engine }

func (g global) Backends() []hook.Backend { return g.e.backends.roster.Load().shown }

// scriptBackend is a backend as scripts see it.
type scriptBackend struct {
	b *Backend
	e *Engine
}

func (s scriptBackend) Address() hook.Addr { return hookAddr(s.b.Addr) }
func (s scriptBackend) ReadOnly() bool     { return s.b.ReadOnly }

// State is DOWN also where an operator keeps sessions away.
func (s scriptBackend) State() int {
	if s.b.Duty() != DutyOnline {
		return int(BackendDown)
	}
	return int(s.b.State())
}

func (s scriptBackend) Clients() int     { return s.b.Clients() }
func (s scriptBackend) MinIdle() int     { return int(s.b.minIdle.Load()) }
func (s scriptBackend) SetMinIdle(n int) { s.b.minIdle.Store(int32(n)) }
func (s scriptBackend) MaxIdle() int     { return int(s.b.maxIdle.Load()) }
func (s scriptBackend) SetMaxIdle(n int) { s.b.maxIdle.Store(int32(n)) }

// SetState leaves the time of the last change as it is, as it always was: a
// backend that a script takes down is woken like any other.
func (s scriptBackend) SetState(state int) {
	if state >= int(BackendUnknown) && state <= int(BackendDown) {
		s.b.state.Store(int32(state))
		s.b.changed(BackendState(state), "a script")
	}
}

func (s scriptBackend) UUID() string {
	if u := s.b.uuid.Load(); u != nil {
		return *u
	}
	return ""
}

func (s scriptBackend) SetUUID(uuid string) { s.b.uuid.Store(&uuid) }

func (s scriptBackend) Idle(loop int, user string) int {
	if loop >= 0 && loop < len(s.e.loops) {
		l := s.e.loops[loop]
		n := l.pool(s.b).count(user, s.MinIdle(), l.asking)
		if n == 0 && l.asking.opensFor(user, s.b) {
			n = 1
		}
		return n
	}
	n := 0
	for _, l := range s.e.loops {
		n += l.pool(s.b).count(user, s.MinIdle(), nil)
	}
	return n
}

// Lends is Idle above 0, which is found sooner.
func (s scriptBackend) Lends(loop int, user string) bool {
	if loop >= 0 && loop < len(s.e.loops) && user != "" {
		l := s.e.loops[loop]
		if x := l.asking; x != nil && x.vouched && user == x.who.user {
			return l.pool(s.b).lends(x, x.own(s.b)) || x.opens(s.b)
		}
	}
	return s.Idle(loop, user) > 0
}

func hookAddr(a reactor.Addr) hook.Addr { return hook.Addr{IP: a.IP, Path: a.Path} }
