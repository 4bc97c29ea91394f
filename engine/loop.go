package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
)

// loop is what the engine has on one event loop: its sessions. Only that loop's
// goroutine touches it; anyone else goes through Post.
type loop struct {
	*reactor.Loop
	engine  *Engine
	clients *client     // all of them, linked both ways
	n       int         // their number
	number  int         // of the loop, from 0
	asking  *scripted   // whose hook is running
	waiting []*scripted // those with a command that waits for a pooled session

	accepted        uint64                  // client sessions, without the admin port's, as in what follows
	admins          int                     // of n, sessions of the admin port
	work, adminWork work                    // of clients, and of those of the admin port
	owned           [sources]int            // sessions that split, by how the proxy owns their identities,
	anonymous       [anonymities]int        // or why it does not
	pinned          [pinKinds]int           // and what keeps their reads at home
	closes          [reasons]uint64         // how many have, by why
	hooks           [callKinds]hookTally    // scripts' hooks; the admin port's script is none of them
	routes          [2][routeReasons]uint64 // commands of sessions that split, by where they went and why

	digests *digests // nil with DigestsOff
	paused  *digests // those of before that, if there were any

	packed     []byte          // a query of a script as packets, and what goes before it: for one write
	collected  []byte          // memory for the next response that is collected for a script
	injections hook.Injections // those that are over

	seekers seekers       // clients that wait for a primary
	vigil   reactor.Timer // when sessions with backends that are DOWN are looked at again

	dice *rand.Rand // for the choice of a replica

	sweep    reactor.Timer // when idle sessions are looked at
	hurried  time.Duration // when those were that could rest, because others wait
	haste    reactor.Timer // when they are again
	draining bool          // the proxy stops: sessions end when they become idle
	late     bool          // those that did not were told to
	stop     reactor.Timer // when the patience with them ends
	empty    chan struct{} // closed when draining is done
}

func (l *loop) insert(c *client) {
	if c.next = l.clients; c.next != nil {
		c.next.prev = c
	}
	l.clients = c
	l.n++
}

// ended forgets a session that is over and says so in the log.
func (l *loop) ended(c *client) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.clients = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	l.n--
	if c.ofAdmin() {
		l.admins--
	} else {
		l.closes[c.reason]++
	}
	l.report(c)
	l.checkEmpty()
}

// report is the one line that the log has of a session.
func (l *loop) report(c *client) {
	log := l.engine.cfg().Log
	level := slog.LevelInfo
	switch c.reason.Fault() {
	case FaultNobody:
		level = slog.LevelDebug
	case FaultProxy:
		level = slog.LevelWarn
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := []any{
		"reason", c.reason.String(), "client", c.remote.String(), "state", c.last.String(),
		"commands", c.commands, "in", c.in, "out", c.out, "seconds", int((l.Now() - c.since).Seconds()),
	}
	if c.backend != nil {
		attrs = append(attrs, "backend", c.backend.Addr.String())
	}
	if c.cause != nil {
		attrs = append(attrs, "error", c.cause.Error())
	}
	log.Log(context.Background(), level, "session ended", attrs...)
}

// drain ends what is idle now, and the rest when it becomes so or when time is
// up.
func (l *loop) drain() {
	if l.draining {
		return
	}
	l.draining = true
	l.stop.Owner = l
	l.Arm(&l.stop, l.engine.cfg().ShutdownTimeout)
	l.each((*client).drain)
	l.checkEmpty()
}

// Expired ends what has not become idle in time, and then what takes too long
// to take leave.
func (l *loop) Expired(*reactor.Timer) {
	if l.late {
		l.force()
		return
	}
	l.late = true
	l.Arm(&l.stop, flushWithin)
	l.each(func(c *client) { c.end(ReasonShutdownForced, nil) })
}

// force ends everything now, without waiting for anybody to take what is left.
func (l *loop) force() {
	l.each(func(c *client) {
		c.end(ReasonShutdownForced, nil)
		c.conn.Close(nil)
		if c.server != nil {
			c.server.conn.Close(nil)
		}
	})
}

func (l *loop) each(do func(*client)) {
	for c := l.clients; c != nil; {
		next := c.next
		do(c)
		c = next
	}
}

func (l *loop) checkEmpty() {
	if !l.draining || l.n > 0 {
		return
	}
	l.Disarm(&l.stop)
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
}
