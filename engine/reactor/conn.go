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
	// HungUp: the connection broke while reading from it was paused. What the
	// peer had sent may still be read after a Resume.
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
	again   bool // its tail is to be delivered without waiting for more
	full    bool // the last read came back full: read more at once
	counted bool // it is part of loop.load
	linger  bool
	hungUp  bool

	tail []byte   // read and not used
	out  outQueue // written and not sent
	peer *Conn    // the connection that this one's bytes go to, and the other way
	sent int64    // tick at which out was empty or shrank last

	timer Timer // of a connect, a flush, a linger
	err   error // for Closed
	to    unix.Sockaddr
	until int64 // tick at which a connect is given up
}

// Loop is the loop that c lives on.
func (c *Conn) Loop() *Loop { return c.loop }

// Link has a and b, which are on one loop, feed each other: from now on neither
// is read from faster than the other takes it.
func Link(a, b *Conn) {
	a.peer, b.peer = b, a
	a.pressure()
	b.pressure()
}

// Open tells whether c can be written to.
func (c *Conn) Open() bool { return c.state == stateOpen }

// Waiting is how many bytes were written and have not been sent.
func (c *Conn) Waiting() int { return c.out.n }

// Stalled is for how long the peer has taken nothing of what waits for it; 0 if
// nothing does.
func (c *Conn) Stalled() time.Duration {
	if c.out.n == 0 {
		return 0
	}
	return time.Duration(c.loop.wheel.now-c.sent) * tick
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
		c.again = c.again || len(c.tail) > 0
		c.touch()
	}
}

func (c *Conn) touch() {
	if !c.touched {
		c.touched = true
		c.loop.touch = append(c.loop.touch, c)
	}
}

// Write sends p, or keeps a copy of what the kernel does not take. It never
// fails: if the connection breaks the handler is told so by Closed.
func (c *Conn) Write(p []byte) {
	if c.state > stateOpen || len(p) == 0 {
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
				c.Close(os.NewSyscallError("write", errno))
				return
			}
		}
		c.sent = c.loop.wheel.now
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
	if c.out.n > highMark {
		c.peer.pause(pausedByPeer)
	} else if c.out.n <= lowMark {
		c.peer.resume(pausedByPeer)
	}
}

// CloseAfterFlush closes c when all that was written is sent. It is not read
// from any more. within is how long the peer may take nothing of it. With
// linger it is then given a moment to close first: a close with bytes of the
// peer's unread would reset the connection and could destroy what it has not
// read yet.
func (c *Conn) CloseAfterFlush(within time.Duration, linger bool) {
	if c.state != stateOpen {
		c.Close(nil)
		return
	}
	c.state, c.linger = stateFlushing, linger
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
	c.loop.Disarm(&c.timer)
	if c.fd >= 0 {
		if c.watch != watchNothing {
			_ = c.loop.p.Delete(c.fd)
		}
		c.loop.conns[c.fd] = nil
	}
	if c.peer != nil {
		c.peer.peer = nil
		c.peer.resume(pausedByPeer)
		c.peer = nil
	}
	c.loop.bury(c)
}

// ended is called when the descriptor is closed.
func (c *Conn) ended() {
	c.out.drop(&c.loop.free, c.out.n)
	c.setTail(nil)
	c.fd = -1
	c.h.Closed(c, c.err)
}

// ready handles an event of the poller.
func (c *Conn) ready(ev uint32) {
	if c.state == stateConnecting {
		c.connected()
		return
	}
	if c.out.n > 0 && ev&(unix.EPOLLOUT|unix.EPOLLERR) != 0 {
		c.flush()
	}
	if c.paused == 0 || c.state == stateLingering {
		if ev&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) != 0 && c.state != stateDead {
			c.read()
		}
		return
	}
	if ev&(unix.EPOLLERR|unix.EPOLLHUP) != 0 && c.state == stateOpen && !c.hungUp {
		c.hungUp = true
		c.h.HungUp(c)
	}
}

// read takes what has arrived, with what was not used in front of it.
func (c *Conn) read() {
	for range 4 { // one that fills the buffer again and again must not starve the others
		buf := c.loop.rbuf
		k := copy(buf, c.tail)
		size := readFirst
		if c.full && (c.peer == nil || c.peer.out.n == 0) {
			size = len(buf)
		}
		if size = min(size, len(buf)-k); size == 0 {
			c.Close(errTailTooLong)
			return
		}
		n, errno := rawRead(c.fd, buf[k:k+size])
		if errno != 0 {
			if errno != unix.EAGAIN {
				c.Close(os.NewSyscallError("read", errno))
			}
			return
		}
		if n == 0 {
			c.eof()
			return
		}
		c.full = n == size
		if c.state == stateOpen {
			c.deliver(buf[:k+n])
		}
		if !c.full || size > readFirst || c.paused != 0 || c.state == stateDead {
			return
		}
	}
}

// errTailTooLong is a fault of a handler: it leaves more unused than a read can
// be appended to.
var errTailTooLong = errors.New("more bytes left unused than the loop's buffer holds")

// deliver gives p, which is the start of the loop's buffer, to the handler and
// keeps what it leaves.
func (c *Conn) deliver(p []byte) {
	used := c.h.Data(c, p)
	if c.state != stateDead && (used < len(p) || c.tail != nil) {
		c.setTail(p[used:])
	}
}

func (c *Conn) setTail(rest []byte) {
	if len(rest) == 0 {
		c.loop.putTail(c.tail)
		c.tail = nil
		return
	}
	if c.tail == nil && len(rest) <= maxTail {
		c.tail = c.loop.getTail()
	}
	c.tail = append(c.tail[:0], rest...)
}

func (c *Conn) eof() {
	c.paused |= pausedByEOF
	if c.state == stateLingering {
		c.Close(nil)
		return
	}
	c.touch()
	if c.state == stateOpen {
		c.h.EOF(c)
	}
}

// flush sends what waits, as far as the kernel takes it.
func (c *Conn) flush() {
	for c.out.n > 0 {
		n, errno := rawWritev(c.fd, c.out.vectors(c.loop.iov))
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			c.Close(os.NewSyscallError("write", errno))
			return
		}
		c.out.drop(&c.loop.free, n)
		c.sent = c.loop.wheel.now
	}
	if c.out.n == 0 {
		c.touch()
	}
	c.pressure()
}

// settle is called after an event that touched c: see Loop.settle.
func (c *Conn) settle() {
	if c.again && c.paused&^pausedByEOF == 0 {
		c.again = false
		if c.state == stateOpen && len(c.tail) > 0 {
			n := copy(c.loop.rbuf, c.tail)
			c.deliver(c.loop.rbuf[:n])
		}
	}
	switch c.state {
	case stateDead:
		return
	case stateConnecting:
		return // watched by dial
	case stateFlushing:
		if c.out.n == 0 {
			c.flushed()
			if c.state == stateDead {
				return
			}
		}
	}
	want := watchRead
	switch {
	case c.state == stateLingering && c.paused&pausedByEOF == 0:
	case c.paused != 0 || c.state == stateFlushing:
		want = watchEdges
	case c.out.n > 0:
		want = watchReadWrite
	}
	if want == c.watch {
		return
	}
	if err := c.setWatch(want); err != nil {
		c.Close(err)
	}
}

func (c *Conn) setWatch(want interest) (err error) {
	p, pa := c.loop.p, attach(c.fd)
	switch {
	case c.watch == watchNothing && want == watchRead:
		err = p.AddRead(pa, false)
	case c.watch == watchNothing:
		err = p.AddReadWrite(pa, want == watchEdges)
	case want == watchRead:
		err = p.ModRead(pa, false)
	default:
		err = p.ModReadWrite(pa, want == watchEdges)
	}
	if err == nil {
		c.watch = want
	}
	return err
}

// flushed ends a CloseAfterFlush, or begins its last part.
func (c *Conn) flushed() {
	if !c.linger || c.paused&pausedByEOF != 0 || unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		c.Close(nil)
		return
	}
	c.state = stateLingering
	c.loop.Arm(&c.timer, lingerTime)
}

// Expired gives up a connect, a flush or a linger.
func (c *Conn) Expired(*Timer) {
	switch c.state {
	case stateConnecting:
		c.connectExpired()
	case stateFlushing:
		if within := c.loop.wheel.now - c.sent; c.out.n > 0 && within < int64(flushStep/tick) {
			c.loop.Arm(&c.timer, flushStep) // it is slow, but it takes
			return
		}
		c.Close(ErrTimeout)
	case stateLingering:
		c.Close(nil)
	}
}

// flushStep is how long a peer that has taken something of what waits for it
// is given for more.
const flushStep = 10 * time.Second
