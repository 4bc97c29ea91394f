package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file asks the loops for the figures of figures.go.
//
//	askLoops --> Post --> each loop adds its sessions' counters to its own --> sum

// askLoops has each loop answer a question, on its goroutine, and returns the
// answers in the loops' order. Loops that have stopped give none, nor does one on
// which ask panics. An error is ctx's, with the number of a loop that has not
// answered: the wait for one that is busy, or does not run yet, ends with it.
func askLoops[T any](ctx context.Context, e *Engine, ask func(*loop) T) ([]T, error) {
	type answer struct {
		ok bool
		is T
	}
	waits := make([]chan answer, len(e.loops))
	for i, l := range e.loops {
		got := make(chan answer, 1)
		waits[i] = got
		l.Post(func() {
			var a answer
			defer func() { got <- a }()
			a = answer{is: ask(l), ok: true}
		})
	}
	var all []T
	for i, l := range e.loops {
		var a answer
		select {
		case a = <-waits[i]:
		case <-ctx.Done():
			return nil, fmt.Errorf("event loop %d has not answered: %w", l.number, ctx.Err())
		case <-l.Done():
			select { // it may have answered before
			case a = <-waits[i]:
			default:
			}
		}
		if a.ok {
			all = append(all, a.is)
		}
	}
	return all, nil
}

// countPins has the loop know that these pins are c's now.
func (sp *splitting) countPins(now pin) {
	for i := range pinKinds {
		switch bit := pin(1 << i); {
		case now&bit != 0 && sp.countedPins&bit == 0:
			sp.c.loop.pinned[i]++
		case now&bit == 0 && sp.countedPins&bit != 0:
			sp.c.loop.pinned[i]--
		}
	}
	sp.countedPins = now
}

// work is what one loop has had to do with clients.
type work struct{ commands, in, out uint64 }

// traffic is what one loop has with one backend, and has had so far.
type traffic struct {
	reactor.Meter
	commands uint64
	servers  int // server sessions, whatever their state
}

// meets has what s does be counted. Its connection has just been begun.
func (s *server) meets() {
	s.work = &s.loop.pool(s.backend).work
	s.work.servers++
	s.conn.MeterBy(&s.work.Meter)
}

// sends counts a command of c's that goes to s.
func (c *client) sends(s *server) {
	c.commands++
	c.work.commands++
	s.work.commands++
}

// keeps counts a command of c's that goes to no server, or whose way is not known
// yet.
func (c *client) keeps() {
	c.commands++
	c.work.commands++
}

// backendTally is a loop's answer about one backend.
type backendTally struct {
	traffic
	idle int
}

// fill adds t to f.
func (t *backendTally) fill(f *BackendFigures) {
	f.Servers += t.servers
	f.Idle += t.idle
	f.Commands += t.commands
	f.BytesIn += t.Used
	f.BytesOut += t.Written
}

// loopFigures is a loop's answer.
type loopFigures struct {
	tally
	loop     LoopFigures
	waiting  int                       // for a primary
	backends map[*Backend]backendTally // of now: there may be others by the time that this is read
}

// figures is what l has counted. It costs the same whatever the number of sessions.
func (l *loop) figures() *loopFigures {
	r := l.Figures()
	f := &loopFigures{
		waiting: len(l.seekers.list),
		tally:   tally{routes: l.routes, closes: l.closes, hooks: l.hooks, pins: l.pinned, owned: l.owned, anonymous: l.anonymous},
		loop: LoopFigures{
			Number: l.number, Sessions: l.n - l.admins, Admin: l.admins, Accepted: l.accepted, Commands: l.work.commands, BytesIn: l.work.in, BytesOut: l.work.out,
			Turns: r.Turns, Busy: r.Busy, Waiting: r.Waiting, Buffers: r.Buffers,
		},
		backends: map[*Backend]backendTally{},
	}
	if l.digests != nil {
		f.latency = l.digests.all.histogram()
	}
	for _, b := range l.engine.backends.all() {
		p := l.pool(b)
		t := backendTally{traffic: p.work}
		p.users(func(_ string, idle []*server) { t.idle += len(idle) })
		f.backends[b] = t
		f.loop.Servers += t.servers
	}
	return f
}

// ofAdmin tells whether c is a session of the admin port.
func (c *client) ofAdmin() bool { return c.sx != nil && c.sx.kind == loginAdmin }

// users calls do for each user that has idle sessions.
func (p *pool) users(do func(user string, idle []*server)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, list := range p.idle {
		do(user, list)
	}
}

// poolFigures tells of l's idle server sessions.
func (l *loop) poolFigures() []PoolFigures {
	var list []PoolFigures
	now := l.Now()
	for _, b := range l.engine.backends.all() {
		from := len(list)
		l.pool(b).users(func(user string, idle []*server) {
			f := PoolFigures{Loop: l.number, Backend: b.Addr.String(), User: user, Idle: len(idle)}
			for _, s := range idle {
				f.OldestIdle = max(f.OldestIdle, now-s.since)
				if s.reserved {
					f.Reserved++
				}
			}
			list = append(list, f)
		})
		slices.SortFunc(list[from:], func(a, b PoolFigures) int { return cmp.Compare(a.User, b.User) })
	}
	return list
}

// sessionFigures is a session as it stands, so that its loop need not make texts
// of it.
type sessionFigures struct {
	SessionFigures
	remote       reactor.Addr
	home, reader *Backend
	pins         pin
	routed       bool
	went         where
	why          RouteReason
}

// session makes texts of f.
func (f *sessionFigures) session() SessionFigures {
	s := f.SessionFigures
	s.Client = f.remote.String()
	if f.home != nil {
		s.Home = f.home.Addr.String()
	}
	if f.reader != nil {
		s.Reader = f.reader.Addr.String()
	}
	for i := range pinKinds {
		if p := f.pins & (1 << i); p != 0 {
			s.Pins = append(s.Pins, p.reason().String())
		}
	}
	if f.routed {
		s.LastRoute, s.LastReason = f.went.String(), f.why.String()
	}
	return s
}

// sessions tells of all of l's sessions.
func (l *loop) sessions() []sessionFigures {
	list := make([]sessionFigures, 0, l.n)
	now := l.Now()
	l.each(func(c *client) { list = append(list, c.figures(now)) })
	return list
}

// figures tells of c. now is on the loop's clock.
func (c *client) figures(now time.Duration) sessionFigures {
	f := sessionFigures{remote: c.remote, SessionFigures: SessionFigures{
		ID: c.number, Loop: c.loop.number, User: c.user, State: c.state.String(), Admin: c.ofAdmin(), Script: c.sx != nil && !c.ofAdmin(),
		TLS: c.tls, Statements: -1, Commands: c.commands, BytesIn: c.in, BytesOut: c.out, Age: now - c.since, Idle: now - c.active,
	}}
	switch {
	case c.zip == nil:
	case c.packs&packet.CapZstd != 0:
		f.Compression = "zstd"
	default:
		f.Compression = "zlib"
	}
	home := c.server
	switch {
	case c.sx != nil:
		if c.sx.half.LoggedIn {
			f.User = c.sx.half.Username
		}
		f.Database = c.sx.half.DefaultDB
		f.DatabaseKnown = c.state >= clientReady && (home == nil || !home.moved)
		if c.sx.waiting != nil {
			f.Waits = "pool"
		}
	case c.sp != nil && c.state >= clientReady && c.state < clientClosing:
		c.sp.figures(&f)
		home = c.sp.home
	}
	switch {
	case c.seat > 0:
		f.Waits = "primary"
	case c.ticket != nil:
		f.Waits = "pool"
	}
	if home != nil && home.state < serverClosing {
		f.home, f.Thread, f.InTransaction = home.backend, home.thread, home.inTransaction()
	}
	return f
}

// figures fills in what is known of a session that splits.
func (sp *splitting) figures(f *sessionFigures) {
	st := &sp.state
	f.Database, f.DatabaseKnown = st.database, true
	f.Statements = sp.prep.n()
	f.Waits = sp.wish.String()
	f.pins = st.pins
	f.routed, f.went, f.why = sp.routed, sp.went, sp.wentFor
	if f.Identity = sp.c.anonymous.String(); sp.c.id != nil {
		f.Identity = sp.c.id.source.String()
	}
	if r := sp.reader; r != nil {
		f.reader = r.backend
	}
}

// String is the word of the figures.
func (w wish) String() string { return [...]string{"", "reader", "home", "answer", "state"}[w] }

// String is where commands went, in the words of packet.Route.
func (w where) String() string { return [...]string{"primary", "replica"}[w] }
