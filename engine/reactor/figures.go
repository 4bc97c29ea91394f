package reactor

import "time"

// This file is what a loop tells of itself. Only its own goroutine may ask.

// Figures is what a loop has done and holds.
type Figures struct {
	Conns int    // connections, those that are being closed too; without listeners
	Turns uint64 // how often one of its descriptors was found ready
	// Busy is about how long handling those took: one of 64 is timed. What was
	// posted is not in it.
	Busy    time.Duration
	Waiting int // bytes that were written and that peers have not taken yet
	// Buffers is the memory, in bytes, for what is read and what waits, in use or
	// kept for it; without the state of TLS and codecs.
	Buffers int
}

// Figures adds up what l's connections have.
func (l *Loop) Figures() Figures {
	f := Figures{Turns: l.turns, Busy: l.busy * turnTimed}
	f.Buffers = len(l.rbuf) + cap(l.scratch.raw) + cap(l.scratch.mid) + cap(l.scratch.enc) + (l.free.n+l.free.used)*chunkBytes + len(l.tails)*maxTail
	l.Conns(func(c *Conn) {
		f.Conns++
		f.Waiting += c.Waiting()
		f.Buffers += cap(c.tail)
	})
	return f
}

// Conns calls do for each connection whose handler has not been told Closed.
func (l *Loop) Conns(do func(*Conn)) {
	for _, c := range l.conns {
		if c != nil {
			do(c)
		}
	}
	for _, c := range l.dead {
		if c != nil {
			do(c)
		}
	}
}

// Handler is who is told what happens to c.
func (c *Conn) Handler() Handler { return c.h }

// Bytes are those that c's handler has used so far, and those that were written:
// without TLS and a codec, what has come and gone.
func (c *Conn) Bytes() (used, written uint64) { return c.used, c.written }
