package reactor

import "time"

// This file is what a loop tells of itself. Only its own goroutine may ask. It costs
// the same whatever the number of connections.

// Figures is what a loop has done and holds.
type Figures struct {
	Turns uint64 // how often one of its descriptors was found ready
	// Busy is about how long handling those took: one of 64 is timed. What was
	// posted is not in it.
	Busy time.Duration
	// Waiting is bytes in queues: written and not taken by peers yet, mostly, and what
	// TLS and codecs have to keep of what has come.
	Waiting int
	// Buffers is the memory, in bytes, for what is read and what waits, in use or
	// kept for it; without the state of TLS and codecs, and what handlers leave unused.
	Buffers int
}

// Figures is what l has done and holds now.
func (l *Loop) Figures() Figures {
	return Figures{
		Turns: l.turns, Busy: l.busy * turnTimed, Waiting: l.free.held,
		Buffers: len(l.rbuf) + cap(l.scratch.raw) + cap(l.scratch.mid) + cap(l.scratch.enc) + (l.free.n+l.free.used)*chunkBytes + len(l.tails)*maxTail,
	}
}

// Meter counts the bytes of connections: without TLS and a codec, what has come
// and gone. It belongs to their loop.
type Meter struct {
	Used    uint64 // by handlers
	Written uint64 // by Write
}

// MeterBy has m count c's bytes from now on.
func (c *Conn) MeterBy(m *Meter) { c.meter = m }
