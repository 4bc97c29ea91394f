package engine

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// This file is who is the primary where probes decide that (--roles=auto).
//
//	role of each backend --> elect --> sessions with another one end --> lead
//
// One that is writable and follows nobody is the primary, in whichever list it is.
// Where two are, writes stay with the one that had them last, or go nowhere: never
// to both. So nobody gets a session with a new one before the last session with
// the one before has ended.

// role is what a probe has seen of a backend's part in replication.
type role int32

const (
	roleUnknown role = iota
	roleReplica      // it is read_only, or follows another
	rolePrimary      // neither
	rolePeer         // a writable member of a group that keeps its members in step itself
)

// String is the word of the figures.
func (r role) String() string { return [...]string{"unknown", "replica", "primary", "peer"}[r] }

// roleOf is the role that a probe's findings show. was is the one before.
func roleOf(f findings, was role) role {
	switch {
	case f.readOnly || f.storage:
		return roleReplica
	case f.member && f.group != "":
		return roleUnknown // the group may have another one by now
	case f.member:
		return rolePeer
	case f.unasked != nil && number(f.unasked) == 0:
		return was // it did not come to say
	case f.unasked != nil:
		return roleUnknown
	case f.replication.channels > 0:
		return roleReplica
	}
	return rolePrimary
}

// plays notes the role that a probe has seen.
func (b *Backend) plays(r role) {
	if was := role(b.probed.role.Swap(int32(r))); was != r {
		b.events.add(Event{Kind: EventRole, Backend: b.Addr.String(), From: was.String(), To: r.String()})
	}
}

// replica tells whether b is one of those that are only read from.
func (b *Backend) replica() bool {
	if b.auto {
		return role(b.probed.role.Load()) == roleReplica
	}
	return b.ReadOnly
}

// leads tells whether b is one of those that take writes now.
func (bs *backends) leads(b *Backend) bool {
	if bs.auto {
		return bs.lead.Load() == b
	}
	if bs.ordered.Load() {
		return bs.first() == b
	}
	return !b.ReadOnly && b.Duty() == DutyOnline
}

// election is what there is of it beside backends.lead.
type election struct {
	mu     sync.Mutex
	open   bool     // all backends have been probed, or do not answer
	last   *Backend // that led last, with FailoverOrdered too
	takes  string   // who could, when the log was told of it last
	split  bool     // and those were too many
	splits atomic.Uint64
	first  sync.WaitGroup // the first probe of each backend
}

// Splits is how often more than one backend was found to be a primary.
func (e *Engine) Splits() uint64 { return e.election.splits.Load() }

// convene waits for the first probe of each backend, so that the first one to
// answer is not taken for the only one.
func (e *Engine) convene(ctx context.Context) {
	e.election.first.Wait()
	e.election.mu.Lock()
	e.election.open = true
	e.election.mu.Unlock()
	e.elect(ctx)
}

// elect finds the primary anew. It is called off the loops, when a role or what a
// backend is fit for has changed.
func (e *Engine) elect(ctx context.Context) {
	el, bs := &e.election, &e.backends
	el.mu.Lock()
	defer el.mu.Unlock()
	if !bs.auto || !el.open {
		return
	}
	takes, names, peers := bs.candidates()
	lead := bs.lead.Load()
	next := heir(takes, lead, el.last, peers)
	if told := strings.Join(names, ", "); told != el.takes {
		if el.split && len(takes) < 2 {
			e.cfg().Log.LogAttrs(ctx, LevelMessage, "not more than one server is writable any more", slog.String("servers", told))
			e.events.add(Event{Kind: EventSplitBrain, Backend: told, Reason: "not more than one server is writable any more"})
		}
		el.split = len(takes) > 1 && !peers
		if el.takes = told; el.split {
			el.splits.Add(1)
			where := "writes go nowhere until only one is"
			if next != nil {
				where = "writes go to " + next.Addr.String() + " only"
			}
			e.cfg().Log.LogAttrs(ctx, slog.LevelError, "more than one server is writable and follows nobody; "+where, slog.String("servers", told))
			e.events.add(Event{Kind: EventSplitBrain, Backend: told, Reason: "more than one server is writable and follows nobody; " + where})
		}
	}
	if next == lead {
		return
	}
	bs.lead.Store(nil)
	was := "none"
	if el.last != nil {
		was = el.last.Addr.String()
	}
	if next == nil {
		e.cfg().Log.LogAttrs(ctx, LevelMessage, "no server takes writes", slog.String("was", was), slog.String("writable", el.takes))
		e.events.add(Event{Kind: EventPrimary, Backend: was, From: was, To: "none", Reason: "no server takes writes"})
		return
	}
	// Who leaves a group in order may finish there.
	leaves := peers && el.last != nil && el.last.Duty() == DutyDraining
	if el.last != nil && el.last != next && !leaves && !e.cutOff(ctx, next) {
		return
	}
	el.last = next
	bs.lead.Store(next)
	e.turned()
	what := "writes go to another server"
	if was == next.Addr.String() {
		what = "writes go to the same server again"
	}
	e.cfg().Log.LogAttrs(ctx, LevelMessage, what, slog.String("backend", next.Addr.String()), slog.String("was", was))
	from := was
	if lead == nil {
		from = "none"
	}
	e.events.add(Event{Kind: EventPrimary, Backend: next.Addr.String(), From: from, To: next.Addr.String(), Reason: what})
}

// candidates are the backends that could lead, and their addresses. peers tells
// whether they are all of a group.
func (bs *backends) candidates() (takes []*Backend, names []string, peers bool) {
	peers = true
	for _, b := range bs.listed() {
		if b.Duty() != DutyOnline {
			continue
		}
		switch role(b.probed.role.Load()) {
		case roleUnknown, roleReplica:
			continue
		case rolePrimary:
			peers = false
		case rolePeer:
		}
		if b.Health() == HealthGood {
			takes, names = append(takes, b), append(names, b.Addr.String())
		}
	}
	return takes, names, peers
}

// heir is who leads of those that could, nil if nobody may.
func heir(takes []*Backend, lead, last *Backend, peers bool) *Backend {
	switch {
	case len(takes) == 0:
		return nil
	case lead != nil && slices.Contains(takes, lead):
		return lead
	case len(takes) == 1 || peers:
		return takes[0]
	case last != nil && slices.Contains(takes, last):
		return last
	}
	return nil
}

// cutOff ends all client sessions that write elsewhere than at b. It returns when
// none is left, false if ctx ends before.
func (e *Engine) cutOff(ctx context.Context, b *Backend) bool {
	for _, other := range e.backends.all() {
		if other != b {
			other.slots.scatter()
		}
	}
	done := make(chan struct{}, len(e.loops))
	for _, l := range e.loops {
		l.Post(func() {
			defer func() { done <- struct{}{} }()
			l.each(func(c *client) { c.cutOff(b) })
		})
	}
	for range e.loops {
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// cutOff ends the session if it writes elsewhere than at b. One that is idle, and
// could as well be on another server, goes on and has b from its next command on.
func (c *client) cutOff(b *Backend) {
	if c.state >= clientClosing {
		return
	}
	h := c.home()
	switch {
	case h != nil && h.backend != b:
		if c.sp != nil && c.sp.orphaned(h) {
			h.retire()
			return
		}
		c.end(ReasonServerLost, nil)
	case c.sp != nil && c.sp.wish == wishHome && c.opening != nil && c.opening.backend != b:
		c.opening.own.fail(errLost) // it looks for another
	}
}
