package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file is how sessions leave a backend that is drained (duty.go).
//
//	who splits, home there    --> the next moment at which it can move (move.go)
//	who splits, reads there   --> another replica, from the next read on
//	a script's, given back    --> closed, unless it is in a transaction
//	idle in a pool            --> closed at once
//	any other                 --> stays until its client leaves, or the grace is over
//
// Nobody is closed who only waits: a plain session has all its state at its server,
// and its client would take the end of an idle connection for an error.

const (
	// drainLook and drainLooks are from one look at who could leave to the next: the
	// first, and the longest.
	drainLook  = 50 * time.Millisecond
	drainLooks = time.Second
)

// drain waits until b has no sessions left, or ends them when grace is over. It runs
// on a goroutine of its own; ctx ends when b gets another duty.
func (e *Engine) drain(ctx context.Context, b *Backend, grace time.Duration) {
	began := time.Now()
	e.reroute(ctx)
	limit := time.NewTimer(grace)
	defer limit.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	pause, ended, kept := drainLook, 0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-limit.C:
			ns, err := askLoops(ctx, e, func(l *loop) int { return l.expel(b) })
			if err != nil {
				return
			}
			for _, n := range ns {
				ended += n
			}
			pause, kept = drainLook, 0
		case <-look.C:
			// Behind this no loop has a choice of b under way.
			ns, err := askLoops(ctx, e, func(l *loop) int { return l.vacate(b, false) })
			if err != nil {
				return
			}
			kept = 0
			for _, n := range ns {
				kept += n
			}
		}
		if b.Clients() == 0 && kept == 0 && ctx.Err() == nil {
			break
		}
		look.Reset(pause)
		pause = min(2*pause, drainLooks)
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	if ctx.Err() != nil { // it got another duty at the last moment
		return
	}
	why := fmt.Sprintf("no session is left, after %d seconds", int(time.Since(began).Seconds()))
	if ended > 0 {
		why += fmt.Sprintf("; %d were ended", ended)
	}
	e.duty(b, DutyMaintenance, why)
	if b.removed {
		e.bury(b)
	}
}

// vacate has those of l's sessions leave b that can now, and closes what is idle in
// the pool. What is kept there for a script's session that left it in a transaction
// is closed only if that is forced; kept is how many there are.
func (l *loop) vacate(b *Backend, forced bool) (kept int) {
	p := l.pool(b)
	b.slots.scatter()
	for s := p.takeLast(forced); s != nil; s = p.takeLast(forced) {
		s.depart()
	}
	l.each(func(c *client) {
		if sp := c.sp; sp != nil && c.state < clientClosing {
			sp.vacates(b)
		}
	})
	return p.reserved
}

// takeLast removes any session, one that is reserved only if that is forced; nil if
// there is none.
func (p *pool) takeLast(forced bool) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, list := range p.idle {
		for i, s := range slices.Backward(list) {
			if forced || !s.reserved {
				p.cut(user, i)
				return s
			}
		}
	}
	return nil
}

// vacates has the session leave b if it can now.
func (sp *splitting) vacates(b *Backend) {
	if r := sp.reader; r != nil && r.backend == b && sp.c.server != r && r.state == serverReady {
		sp.dropReader()
	}
	if h := sp.home; h != nil && h.backend == b {
		sp.moves = sp.c.loop.engine.backends.overtakes(b)
		sp.moveOn()
	}
}

var errMaintenance = errors.New("the backend is taken out of service")

// expel ends what l's sessions have with b. It returns how many sessions ended by
// that.
func (l *loop) expel(b *Backend) (ended int) {
	l.each(func(c *client) {
		if x := c.sx; x != nil && x.reserves && l.pool(b).keeps(x.id) {
			c.end(ReasonMaintenance, nil) // it has left a transaction there
		}
	})
	l.vacate(b, true)
	l.each(func(c *client) {
		if c.expel(b); c.reason == ReasonMaintenance {
			ended++
		}
	})
	return ended
}

// expel ends what c has with b, and c with it if it cannot be without.
func (c *client) expel(b *Backend) {
	if c.state >= clientClosing {
		return
	}
	if sp := c.sp; sp != nil {
		if o := c.opening; o != nil && o.backend == b && o.own != nil {
			o.own.fail(errMaintenance)
		}
		if r := sp.reader; r != nil && r.backend == b {
			sp.lost(b)
			if sp.reader == r {
				c.end(ReasonMaintenance, nil) // its rows have begun to come
				return
			}
		}
	}
	h := c.home()
	switch {
	case h == nil || h.backend != b:
	case c.sp != nil && c.sp.home == h && h.quiet() && c.sp.orphaned(h):
		h.leave()
	default:
		c.end(ReasonMaintenance, nil)
	}
}
