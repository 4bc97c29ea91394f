package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is the sessions with backends that the proxy opens for a script. A
// script chooses a backend in the middle of a hook, which cannot wait. So it is
// promised a session where none is idle, and sees it as if it had one; who needs
// it first, a command on its way to the server, has it opened and waits.
//
//	SetBackend(n): none is idle --> promise
//	next, forward: --> redeem --> openAs --> take --------> next, forward
//	                                    \--> break: stay, or home, or nowhere
//
// It takes an identity of the client (identity.go). Without one all is as it was
// with MySQL Proxy: a backend without an idle session leaves the session where it
// is.

// promise is a session that is there as far as the script knows.
type promise struct {
	backend *Backend
	half    *hook.Endpoint // what the script sees of it
}

// opens tells whether the proxy could open a session with b for x.
func (x *scripted) opens(b *Backend) bool {
	c := x.c
	if c.id == nil || !x.vouched || x.noted || c.state >= clientClosing || c.id.user != x.who.user || !b.open() || b.slots.full() {
		return false
	}
	return b.index >= len(x.again) || x.again[b.index] <= c.loop.Now()
}

// opensFor is opens for a script that asks how many idle sessions user has.
func (x *scripted) opensFor(user string, b *Backend) bool {
	return x != nil && user != "" && user == x.who.user && x.opens(b)
}

// promises promises x a session with the n-th backend, if there can be one and x
// has none there.
func (x *scripted) promises(n int) {
	c := x.c
	list := c.loop.engine.backends.all()
	if n > len(list) {
		return
	}
	b := list[n-1]
	switch {
	case c.server != nil && c.server.backend == b:
		x.promised = promise{}
	case x.promised.backend != b && x.opens(b):
		version := c.loop.pool(b).version
		if version == 0 {
			version = x.half.Version
		}
		x.promised = promise{b, &hook.Endpoint{
			Dst: hookAddr(b.Addr), Greeted: true, Version: version, AuthPlugin: x.half.AuthPlugin, LoggedIn: true, Username: x.who.user,
		}}
	}
}

// redeem has the session that x was promised be opened, then goes on with then.
// It tells whether it does: not if nothing was promised. What then needs it must
// not borrow.
func (x *scripted) redeem(then func()) bool {
	b := x.promised.backend
	if b == nil {
		return false
	}
	c := x.c
	x.promised = promise{}
	if list := c.loop.engine.backends.all(); !x.opens(b) || b.index >= len(list) || list[b.index] != b {
		x.breaks(b, errUnopened)
		return x.redeem(then)
	}
	if !b.slots.enter() {
		x.breaks(b, errSlots)
		return x.redeem(then)
	}
	b.clients.Add(1)
	how := opening{database: x.half.DefaultDB, collation: x.who.collation, caps: x.who.caps}
	c.openAs(b, c.id, how, func(s *server, err error) {
		if err == nil {
			x.takes(s, how.database)
		} else if x.breaks(b, err); x.redeem(then) {
			return
		}
		then()
	})
	return true
}

// errUnopened is why a session is not opened that could have been when it was
// promised.
var errUnopened = errors.New("it is down, full or left out by now, or the client is another user")

var errSlots = errors.New("it has as many sessions as it may")

// unneeded drops a promise for the client's last command. It tells whether that
// ends the session.
func (x *scripted) unneeded() bool {
	c := x.c
	if !c.quit || x.promised.backend == nil {
		return false
	}
	x.promised = promise{}
	if c.server == nil {
		c.end(ReasonClientQuit, nil)
		return true
	}
	return false
}

// takes has s, which was opened for x, work for it.
func (x *scripted) takes(s *server, database string) {
	c := x.c
	if c.server != nil {
		x.part()
	}
	s.who = x.who
	s.who.response, s.who.database, s.who.direct = nil, database, false
	s.half.LoggedIn, s.half.Username, s.half.DefaultDB = true, x.who.user, database
	s.owner = x.id
	c.server, c.backend = s, s.backend
	reactor.Link(c.conn, s.conn)
}

// breaks is told that no session with b could be opened. The session stays where
// it is, as it always did without an idle one. What was to go to a read-only
// backend can go to a read/write one as well, but not the other way round.
func (x *scripted) breaks(b *Backend, err error) {
	c := x.c
	l := c.loop
	if n := b.index + 1 - len(x.again); n > 0 {
		x.again = append(x.again, make([]time.Duration, n)...)
	}
	x.again[b.index] = l.Now() + readerAgain
	stays := c.server != nil && (b.ReadOnly || !c.server.backend.ReadOnly)
	switch home := x.home(); {
	case stays:
	case !b.ReadOnly || home == nil:
		if c.server != nil {
			x.part()
		}
	default:
		if s := x.idle(home.index + 1); s != nil {
			s.lend(c)
		} else {
			x.promises(home.index + 1)
		}
	}
	where := "nowhere"
	switch {
	case x.promised.backend != nil:
		where = x.promised.backend.Addr.String()
	case c.server != nil:
		x.strays = true
		where = c.server.backend.Addr.String()
	}
	l.engine.cfg().Log.Info("a session with the backend that the script has chosen could not be opened",
		slog.String("backend", b.Addr.String()), slog.String("client", c.remote.String()), slog.String("user", x.who.user), slog.Any("error", err), slog.String("goes_to", where))
}

// home is the read/write backend that the session was with, else one that it could
// be with; nil if there is none.
func (x *scripted) home() *Backend {
	bs := &x.c.loop.engine.backends
	list := bs.all()
	for _, s := range x.given {
		if s == nil || s.backend.index >= len(list) {
			continue
		}
		if b := s.backend; list[b.index] == b && !b.ReadOnly && b.open() {
			return b
		}
	}
	b := bs.take()
	if b != nil {
		b.release()
	}
	return b
}

// strayed has s, on which the session goes on in the place of one that it was
// promised, select the client's database, as that one would have. It tells
// whether the command that is next has to wait for that.
func (x *scripted) strayed(s *server) bool {
	db := x.half.DefaultDB
	if !x.strays || s.stale {
		x.strays = false
		return false
	}
	x.strays = false
	if db == "" || s.half.DefaultDB == db {
		return false
	}
	x.cmd.placed = true
	s.skip++
	s.expect(exchange{Request: packet.Request{Command: packet.ComInitDB}})
	s.command(packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComInitDB)}, db...)))
	s.who.database, s.half.DefaultDB, s.moved = db, db, false
	return true
}

// introduced takes the greeting of a session that the proxy opens for a script.
// pkt is borrowed.
func (s *server) introduced(c *client, pkt packet.Packet) error {
	shown, g, err := s.edited(c, slices.Clone(pkt))
	if err != nil {
		return err
	}
	s.greeted, s.shown = bytes.Clone(shown), g.Capabilities
	s.half = &hook.Endpoint{Src: hookAddr(s.conn.LocalAddr()), Dst: hookAddr(s.backend.Addr)}
	remember(s.half, &g)
	s.loop.pool(s.backend).version = s.half.Version
	return nil
}
