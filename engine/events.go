package engine

import (
	"strings"
	"sync"
	"time"
)

// This file keeps the last things that have happened to backends and to the
// engine itself, for the control plane. The log has them as well, by the same
// words, and more of them.
//
// No event is made on the forward path: they come of connects, probes, elections
// and of what an operator does.

// Event is one of them.
type Event struct {
	Number uint64 // from 1; one that is missing has been pushed out
	At     time.Time
	Kind   EventKind
	// Backend is the address of the one that it is about, or several with ", "
	// between; "" if it is about none.
	Backend string
	// From and To are what it was and is, in the words of that; "" where there is
	// no such thing.
	From, To string
	Reason   string // in words; "" if there is nothing to add
}

// EventKind is what an Event is about. It is the word of the console.
type EventKind string

// The kinds.
const (
	EventBackendState EventKind = "backend_state" // From and To are BackendStates
	EventHealth       EventKind = "health"        // From and To are of Health
	EventRole         EventKind = "role"          // primary, replica, peer, unknown
	EventPrimary      EventKind = "primary"       // From and To are who takes the writes with --roles=auto or --failover=ordered, or "none"
	EventDuty         EventKind = "duty"          // From and To are Duties
	EventConfig       EventKind = "config"        // Reason is the Change, or why there was none
	EventKill         EventKind = "kill"          // an operator has ended a session, or what it ran
	EventSplitBrain   EventKind = "split_brain"   // more than one server is writable, or not any more
)

// mostEvents is how many are kept.
const mostEvents = 1024

// longestReason bounds an Event's Reason, in bytes. Servers' own words are in some.
const longestReason = 512

// events is a ring of them. Any goroutine may use it.
type events struct {
	mu   sync.Mutex
	ring []Event // that with number n, counted from 1, is at (n-1) % mostEvents
	n    uint64  // so far
}

// add keeps ev, whose Number and time it sets. e may be nil.
func (e *events) add(ev Event) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.put(ev)
}

// put is add for who has the lock.
func (e *events) put(ev Event) {
	if len(ev.Reason) > longestReason {
		ev.Reason = ev.Reason[:longestReason]
	}
	ev.Reason = strings.ToValidUTF8(ev.Reason, "\uFFFD")
	ev.Number, ev.At = e.n+1, time.Now()
	if len(e.ring) < mostEvents {
		e.ring = append(e.ring, ev)
	} else {
		e.ring[e.n%mostEvents] = ev
	}
	e.n++
}

// list is what is kept, the oldest first.
func (e *events) list() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Event, 0, len(e.ring))
	if len(e.ring) < mostEvents {
		return append(list, e.ring...)
	}
	at := e.n % mostEvents
	return append(append(list, e.ring[at:]...), e.ring[:at]...)
}

// AddEvent keeps ev, whose Number and time it sets: what the program itself has to
// tell. Any goroutine may call it.
func (e *Engine) AddEvent(ev Event) { e.events.add(ev) }

// Events are the last 1,024 of what has happened, the oldest first. Any goroutine
// may call it.
func (e *Engine) Events() []Event { return e.events.list() }

// EventsTotal is how many there were so far.
func (e *Engine) EventsTotal() uint64 {
	e.events.mu.Lock()
	defer e.events.mu.Unlock()
	return e.events.n
}
