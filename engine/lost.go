package engine

import (
	"errors"
	"time"

	"mysqlproxy/engine/reactor"
)

// This file is what sessions do about a backend that does not answer any more. One
// whose process dies closes its connections; one that is stopped, or has gone from
// the network, says nothing, and its clients would wait for as long as they may be
// idle. Probes see it.
//
//	probe: DOWN --> lost: reads are asked again, idle sessions let go, what hangs ends
//	                 \--> again and again while it is DOWN: commands may come for it

var errLost = errors.New("it does not answer health probes any more")

// vigilance is how often sessions with a backend that is DOWN are looked at.
const vigilance = 250 * time.Millisecond

// lost gives up what the loop's sessions have with b, which does not answer health
// probes any more, as far as somebody waits for it, and goes on so until b answers.
func (l *loop) lost(b *Backend) {
	l.each(func(c *client) { c.lost(b) })
	p := l.pool(b)
	for s := p.takeLast(false); s != nil; s = p.takeLast(false) {
		s.retire()
	}
	if !l.vigil.Armed() && !l.draining {
		l.vigil.Owner = vigilant{l}
		l.Arm(&l.vigil, vigilance)
	}
}

// vigilant is the owner of loop.vigil.
type vigilant struct{ l *loop }

func (v vigilant) Expired(*reactor.Timer) {
	for _, b := range v.l.engine.backends.all() {
		if b.Health() == HealthDown {
			v.l.lost(b)
		}
	}
}

// lost gives up what c has with b as far as it waits for it. What is idle and
// could not be had elsewhere stays: b may come back.
func (c *client) lost(b *Backend) {
	if c.state >= clientClosing {
		return
	}
	if c.sp != nil {
		c.sp.lost(b)
	}
	h := c.home()
	switch {
	case c.state >= clientClosing || h == nil || h.backend != b || h.own != nil:
	case c.state == clientGreeting:
		if h.state <= serverGreeting {
			h.conn.Close(errLost) // the next one
		}
	case c.sp != nil && c.sp.home == h && (c.state == clientReady || c.hangs(h)) && c.sp.orphaned(h):
		h.retire()
	case c.hangs(h):
		c.end(ReasonServerLost, errLost)
	}
}

// home is the session with the server that has the client session's state, nil if
// there is none.
func (c *client) home() *server {
	if c.sp == nil || c.sp.home == nil && (c.server == nil || !c.server.reads) {
		return c.server
	}
	return c.sp.home
}

// hangs tells whether c has been waiting for s for longer than s has to answer a
// probe. One that does not take what it has been sent waits for nobody.
func (c *client) hangs(s *server) bool {
	if h := c.loop.engine.cfg().Health; h == nil || c.loop.Now()-c.active < h.Timeout || c.conn.Waiting() > 0 {
		return false
	}
	switch c.state {
	case clientBusy, clientInfile:
		return c.server == s
	case clientReady:
		return c.held && c.sp != nil && c.sp.wish == wishAnswer && s.state == serverBusy
	case clientLogin:
		return c.sentLogin && c.server == s
	}
	return false
}

// lost is told that b does not answer any more. A read of whose response nothing
// has come is answered at home. What has begun to come may go on for as long as a
// probe may take.
func (sp *splitting) lost(b *Backend) {
	c := sp.c
	switch r := sp.reader; {
	case r != nil && r.backend == b:
		if c.server != r || r.queue.empty() || r.queue.first().own != ownNone || !r.resp.Begun() || c.hangs(r) {
			sp.readerEnded(r)
		}
	case c.opening != nil && c.opening.backend == b && c.opening.own != nil:
		c.opening.own.fail(errLost)
	}
}
