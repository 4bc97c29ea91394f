package engine

import (
	"context"
	"log/slog"
	"time"

	"mysqlproxy/engine/reactor"
)

// This file is which read/write backend takes sessions and writes, and how clients
// wait while there is none.
//
//	accept, or a command without a home --> primary? --> dial, or openAs
//	                                          \-- none --> seek: no backend, no timer, nothing read
//	a backend is UP, or leads, or --failover-wait is over --> on, or an ERR

// Failover says which of several read/write backends takes sessions and writes,
// where probes do not tell roles.
type Failover uint8

// The ways.
const (
	FailoverBalanced Failover = iota // that with the fewest clients, as MySQL Proxy did it
	FailoverOrdered                  // the first that is not DOWN, for all
)

// first is the first read/write backend that may get sessions, nil if none may.
func (bs *backends) first() *Backend {
	for _, b := range bs.listed() {
		if !b.ReadOnly && b.open() {
			return b
		}
	}
	return nil
}

// primary is one that take could choose, nil if there is none.
func (bs *backends) primary() *Backend {
	if !bs.auto {
		return bs.first()
	}
	if b := bs.lead.Load(); b != nil && b.open() {
		return b
	}
	return nil
}

const (
	// seekLook is how often a loop looks after clients that wait for a primary:
	// whether one may be tried again, and whose time is over.
	seekLook = 250 * time.Millisecond
	// seekGone is at which of its looks a loop finds out who has gone away.
	seekGone = 4
)

// seekers are the client sessions of a loop that wait for a primary. What has come
// of a command stays where it is, nothing more is read, and nothing was sent.
type seekers struct {
	list  []*client // each at client.seat-1
	timer reactor.Timer
	looks int
}

// seeks has c wait for a primary, and tells whether it may: it may wait for
// Config.FailoverWait from the first time on, until something comes of it.
func (c *client) seeks() bool {
	l := c.loop
	within := l.engine.cfg().FailoverWait
	switch {
	case c.seat > 0:
		return true
	case within == 0 || c.sx != nil || l.draining:
		return false
	case c.until == 0:
		c.until = l.Now() + within
	case l.Now() >= c.until:
		return false
	}
	if w := &l.seekers; len(w.list) == 0 {
		l.engine.cfg().Log.LogAttrs(context.Background(), LevelMessage, "no read/write backend can be had, clients wait for one", slog.Duration("within", within))
		if !w.timer.Armed() {
			w.timer.Owner = looker{l}
			l.Arm(&w.timer, seekLook)
		}
	}
	l.seekers.list = append(l.seekers.list, c)
	c.seat = int32(len(l.seekers.list))
	return true
}

// unseat ends c's wait, if it waits.
func (c *client) unseat() {
	if c.seat == 0 {
		return
	}
	w := &c.loop.seekers
	last := w.list[len(w.list)-1]
	w.list[c.seat-1], last.seat = last, c.seat
	w.list[len(w.list)-1] = nil
	w.list = w.list[:len(w.list)-1]
	c.seat = 0
}

// homeless ends a session that has found no primary.
func (c *client) homeless() {
	if c.unsafe {
		c.end(ReasonServerNoTLS, nil)
		return
	}
	c.loop.engine.cfg().Log.Error("all backends are down", "client", c.remote.String())
	if c.until > 0 {
		c.end(ReasonNoPrimary, nil)
	} else {
		c.end(ReasonNoBackend, nil)
	}
}

// looker is the owner of seekers.timer.
type looker struct{ l *loop }

func (w looker) Expired(*reactor.Timer) {
	l := w.l
	l.engine.backends.wake(time.Now(), l.engine.woken)
	l.seekers.looks++
	for i := len(l.seekers.list) - 1; i >= 0; i-- {
		if i >= len(l.seekers.list) {
			continue
		}
		switch c := l.seekers.list[i]; {
		case l.Now() >= c.until:
			c.unseat()
			c.homeless()
		case l.seekers.looks%seekGone == 0 && c.conn.HalfClosed():
			c.end(ReasonClientClosed, nil)
		}
	}
	l.found()
	if len(l.seekers.list) > 0 {
		l.Arm(&l.seekers.timer, seekLook)
	}
}

// found has those go on who wait for a primary, if there is one. Whether one that
// was DOWN and is not probed is there again is for one of them to find out.
func (l *loop) found() {
	n := len(l.seekers.list)
	if n == 0 {
		return
	}
	b := l.engine.backends.primary()
	if b == nil {
		return
	}
	if b.State() == BackendUnknown {
		n = 1
	}
	on := make([]*client, n)
	copy(on, l.seekers.list)
	for _, c := range on {
		c.unseat()
	}
	for _, c := range on {
		switch {
		case c.state >= clientClosing:
		case c.state == clientGreeting:
			c.tries = 0
			l.Arm(&c.timer, l.engine.cfg().LoginTimeout)
			c.dial(l.engine.backends.take())
		case c.sp != nil:
			c.sp.seek()
		}
	}
}

// turned is told that a backend has become UP, or leads: sessions that wait have
// where to go, and others may have to go elsewhere. Any goroutine may call it.
func (e *Engine) turned() {
	e.tellsFirst()
	for _, l := range e.loops {
		l.Post(func() {
			l.found()
			l.follow()
		})
	}
}

// tellsFirst has the log and the events tell which backend takes sessions and writes
// with FailoverOrdered, when it is another one than before. One that nobody has
// reached yet is not told of. Any goroutine may call it, when a backend has become UP
// or DOWN.
func (e *Engine) tellsFirst() {
	bs, el := &e.backends, &e.election
	if bs.auto || !bs.ordered.Load() {
		return
	}
	el.mu.Lock()
	defer el.mu.Unlock()
	next := bs.first()
	if next == nil || next == el.last || next.State() != BackendUp {
		return
	}
	was := "none"
	if el.last != nil {
		was = el.last.Addr.String()
	}
	el.last = next
	e.cfg().Log.LogAttrs(context.Background(), LevelMessage, "writes go to another server", slog.String("backend", next.Addr.String()), slog.String("was", was))
	e.events.add(Event{Kind: EventPrimary, Backend: next.Addr.String(), From: was, To: next.Addr.String(), Reason: "writes go to another server"})
}
