package engine

import (
	"bytes"
	"slices"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// A script that gives connections back after each statement, as scripts for
// MySQL Proxy do, has more client sessions than connections. MySQL Proxy cut a
// client off that came while all of its user's were in use. Here its command
// waits for one, in the order of arrival, before the script sees it.

// poolWait is how long a command waits. Then the script is asked all the same.
const poolWait = 10 * time.Second

// poolLook is how often one that waits looks whether there is still hope: the
// sessions that it hopes for may end, or become another user's.
const poolLook = 250 * time.Millisecond

// lacks tells whether x has no connection, could take none from a read/write
// backend now, and can hope for one because another session of its user has one
// in use.
func (x *scripted) lacks() bool {
	c := x.c
	if c.server != nil || x.promised.backend != nil || !x.vouched {
		return false
	}
	hope := false
	for _, b := range c.loop.engine.backends.listed() {
		if b.ReadOnly || !b.open() {
			continue
		}
		if c.loop.pool(b).lends(x, x.own(b)) || x.opens(b) {
			return false
		}
		hope = hope || b.clients.Load() > 0
	}
	return hope && c.loop.uses(x)
}

// uses tells whether another session of x's user has a connection with a
// read/write backend that would suit x.
func (l *loop) uses(x *scripted) bool {
	for c := l.clients; c != nil; c = c.next {
		if s := c.server; s != nil && c != x.c && !s.backend.ReadOnly && s.who.user == x.who.user && s.state >= serverReady && s.fits(x.who.caps) && !s.bares(x.c) {
			return true
		}
	}
	return false
}

// wait keeps the command until there is a connection for it. cmd is borrowed.
func (x *scripted) wait(cmd []byte) {
	x.cmd = command{running: true, seq: x.c.req.Seq()}
	x.c.enter(clientBusy)
	x.waiting = bytes.Clone(cmd)
	x.patience.Owner, x.patience.Conn = x, x.c.conn
	x.since = x.c.loop.Now()
	x.c.loop.Arm(&x.patience, poolLook)
	x.c.loop.waiting = append(x.c.loop.waiting, x)
}

// served is told that a connection of user has become idle: the first who waits
// for one gets it, in a turn of its own.
func (l *loop) served(s *server) {
	for i, x := range l.waiting {
		if x.who.user == s.who.user && s.suits(x) {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			l.Post(func() { x.resume(false) })
			return
		}
	}
}

// Expired ends the wait if it has been long enough or is in vain.
func (x *scripted) Expired(*reactor.Timer) {
	l := x.c.loop
	if l.Now()-x.since < poolWait && x.lacks() {
		l.Arm(&x.patience, poolLook)
		return
	}
	x.unwait()
	x.resume(true)
}

func (x *scripted) unwait() {
	if i := slices.Index(x.c.loop.waiting, x); i >= 0 {
		x.c.loop.waiting = slices.Delete(x.c.loop.waiting, i, i+1)
	}
}

// resume gives the command that has waited to the script, unless somebody else
// was faster.
func (x *scripted) resume(expired bool) {
	if x.waiting == nil || x.c.state >= clientClosing {
		return
	}
	if !expired && x.lacks() {
		x.c.loop.waiting = slices.Insert(x.c.loop.waiting, 0, x)
		return
	}
	x.c.loop.Disarm(&x.patience)
	cmd := x.waiting
	x.waiting = nil
	x.command(cmd)
}

// waits tells whether cmd has to wait, and lets it. A COM_QUIT needs no
// connection.
func (x *scripted) waits(cmd []byte) bool {
	if len(cmd) > packet.HeaderLen && packet.Command(cmd[packet.HeaderLen]) == packet.ComQuit || !x.lacks() {
		return false
	}
	x.wait(cmd)
	return true
}
