package reactor

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What Handler.Closed may be told beside errors of the system.
var (
	ErrPanic   = errors.New("a handler panicked")
	ErrStopped = errors.New("the loop has stopped")
	ErrTimeout = os.ErrDeadlineExceeded // of a connect, or of a flush
)

// Handler is told what happens to a connection, on its loop. It must not
// block. It is never entered again from within a call that it makes.
type Handler interface {
	// Opened: the connect has finished. Accepted connections are open from the
	// start and not told.
	Opened(c *Conn)
	// Data brings what has arrived, with what was not used the last time in
	// front. p is the loop's buffer, valid until Data returns; used is how many
	// bytes, from the start, are done with. The rest comes again with what
	// arrives next, or at once after a Resume.
	Data(c *Conn, p []byte) (used int)
	// EOF: the peer will send no more. Writing is still possible.
	EOF(c *Conn)
	// HungUp: the connection broke while reading from it was paused; told once.
	// What the peer had sent comes after a Resume, then Closed.
	HungUp(c *Conn)
	// Closed is the last call. err is what Close was told, or what went wrong.
	Closed(c *Conn, err error)
}

type connState uint8

const (
	stateConnecting connState = iota
	stateOpen
	stateFlushing  // closing, what waits is still sent
	stateLingering // closing, all is sent, the peer has not closed yet
	stateDead
)

// What the poller watches for a connection.
type interest uint8

const (
	watchNothing   interest = iota
	watchRead               // level-triggered
	watchReadWrite          // level-triggered
	// watchEdges is for a connection that is not read from: bytes that arrive
	// must not wake the loop again and again, but room to write and the peer's
	// death are still told, once each.
	watchEdges
)

// Why a connection is not read from.
const (
	pausedByHandler = 1 << iota // Pause
	pausedByPeer                // the linked connection has too much waiting
	pausedByEOF                 // there is nothing more to read
	pausedByTLS                 // the handshake has more than it needs
)

// lingerTime is how long a closing connection waits for its peer to close, so
// that what was sent last is not destroyed by a reset.
const lingerTime = 2 * time.Second

// Conn is one socket on one loop. Only that loop's goroutine touches it. After
// Close, and after an error, it accepts every call and does nothing.
type Conn struct {
	loop    *Loop
	h       Handler
	fd      int // -1 if there never was one
	state   connState
	watch   interest
	paused  uint8
	touched bool // it is in loop.touch
	again   bool // its tail, if any, is to be delivered without waiting for more
	full    bool // the last read came back full: read more at once
	counted bool // it is part of loop.load
	linger  bool
	broken  bool // nothing can be sent any more; what has arrived is still read
	hungUp  bool // its handler knows that it is broken
	later   bool // it is in loop.later
	stirred bool // something has come since it is not read from

	tail  []byte   // read and not used
	out   outQueue // written and not sent
	up    *layers  // TLS and codec, nil if c has neither
	peer  *Conn    // the connection that this one's bytes go to, and the other way
	meter *Meter   // counts its bytes
	sent  int64    // tick at which out was empty or shrank last

	timer Timer // of a connect, a flush, a linger
	err   error // for Closed
	to    unix.Sockaddr
	until int64 // connecting: tick at which that is given up; flushing: for how many the peer may take nothing
}

// Loop is the loop that c lives on.
func (c *Conn) Loop() *Loop { return c.loop }

// Link has a and b, which are on one loop, feed each other: from now on neither
// is read from faster than the other takes it.
// A link lasts until one of them is closed or linked again.
func Link(a, b *Conn) {
	a.unlink()
	b.unlink()
	if a.state == stateDead || b.state == stateDead {
		return
	}
	a.peer, b.peer = b, a
	a.pressure()
	b.pressure()
}

func (c *Conn) unlink() {
	if p := c.peer; p != nil {
		c.peer, p.peer = nil, nil
		c.resume(pausedByPeer)
		p.resume(pausedByPeer)
	}
}

// Open tells whether c can be written to.
func (c *Conn) Open() bool {
	return c.state == stateOpen && !c.broken && (c.up == nil || !c.up.failed())
}

// Waiting is how many bytes were written and have not been sent, without the
// few that a codec may keep within an event.
func (c *Conn) Waiting() int {
	if c.up != nil {
		return c.out.n + c.up.held.n
	}
	return c.out.n
}

// Stalled is for how long the peer has taken nothing of what waits for it; 0 if
// nothing does.
func (c *Conn) Stalled() time.Duration {
	if c.out.n == 0 {
		return 0
	}
	return time.Duration(c.loop.wheel.time()-c.sent) * tick
}

// Pause stops reading from c; what its handler has not used waits.
func (c *Conn) Pause() { c.pause(pausedByHandler) }

// Resume ends a Pause. What was not used is delivered again, after the event
// that is being handled.
func (c *Conn) Resume() { c.resume(pausedByHandler) }

func (c *Conn) pause(why uint8) {
	if c.paused&why == 0 {
		c.paused |= why
		c.touch()
	}
}

func (c *Conn) resume(why uint8) {
	if c.paused&why != 0 {
		c.paused &^= why
		c.again = true
		c.touch()
	}
}

func (c *Conn) touch() {
	if !c.touched {
		c.touched = true
		c.loop.touch = append(c.loop.touch, c)
	}
}

// Write sends p, or keeps a copy of what the kernel does not take. With TLS or a
// codec what one event writes is sent together, at its end. Write never fails: if the connection breaks the handler is told so by Closed, after what
// the peer had sent before.
func (c *Conn) Write(p []byte) {
	if c.state > stateOpen || c.broken || len(p) == 0 {
		return
	}
	c.meter.Written += uint64(len(p))
	if c.up != nil {
		c.up.write(c, p)
		return
	}
	if c.out.n == 0 {
		if c.state == stateOpen {
			n, errno := rawWrite(c.fd, p)
			if errno == 0 {
				if n == len(p) {
					return
				}
				p = p[n:]
			} else if errno != unix.EAGAIN {
				c.lost(os.NewSyscallError("write", errno))
				return
			}
		}
		c.sent = c.loop.wheel.time()
		c.touch()
	}
	c.out.append(&c.loop.free, p)
	c.pressure()
}

// pressure pauses or resumes the connection that feeds c.
func (c *Conn) pressure() {
	if c.peer == nil {
		return
	}
	if n := c.Waiting(); n > highMark {
		c.peer.pause(pausedByPeer)
	} else if n <= lowMark {
		c.peer.resume(pausedByPeer)
	}
}

// CloseAfterFlush closes c when all that was written is sent. Its handler gets
// no more data. within is how long the peer may take nothing of what waits;
// then Closed is told ErrTimeout. With linger the peer is given a moment to
// close first, and what it still sends is thrown away: a close with bytes of
// the peer's unread would reset the connection and could destroy what it has
// not read yet. With TLS the peer is told that this is the end (close_notify);
// what was written for a handshake that has not succeeded is dropped.
func (c *Conn) CloseAfterFlush(within time.Duration, linger bool) {
	if c.state > stateOpen {
		return // on its way
	}
	if c.state == stateConnecting || c.broken {
		c.Close(c.err)
		return
	}
	if c.up != nil {
		if c.up.closing(c); c.broken {
			c.Close(c.err)
			return
		}
	}
	c.state, c.linger = stateFlushing, linger
	c.setTail(nil)
	c.until = int64(within / tick)
	c.timer.Owner = c
	c.loop.Arm(&c.timer, within)
	c.touch()
}

// Close closes c at once; what waits is dropped. Closed is told err later.
func (c *Conn) Close(err error) {
	if c.state == stateDead {
		return
	}
	c.state, c.err = stateDead, err
	if c.up != nil {
		c.up.cancel()
	}
	c.loop.Disarm(&c.timer)
	if c.fd >= 0 {
		if c.watch != watchNothing {
			_ = c.loop.p.Delete(c.fd)
		}
		c.loop.conns[c.fd] = nil
	}
	c.unlink()
	c.loop.bury(c)
}

// ended is called when the descriptor is closed.
func (c *Conn) ended() {
	c.out.drop(&c.loop.free, c.out.n)
	c.setTail(nil)
	if c.up != nil {
		c.up.drop(&c.loop.free)
		c.up.codec = nil
	}
	c.fd = -1
	c.h.Closed(c, c.err)
}
