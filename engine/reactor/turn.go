package reactor

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What one event of the poller does to a connection, in the order in which it
// does it:
//
//	ready --> flush --> read --> deliver --> Handler.Data
//	settle --> deliver again what a Resume has set free --> what to watch for now

// ready handles an event of the poller. Sending comes first: it makes room for
// what is read. That it fails does not keep what has arrived from being read.
func (c *Conn) ready(ev uint32) {
	if c.state == stateConnecting {
		c.connected()
		return
	}
	if c.out.n > 0 && ev&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.flush()
	}
	if c.watch == watchRead && !c.reads() {
		c.stirred = true
		c.touch()
	}
	switch {
	case c.state == stateDead:
	case c.reads():
		if ev&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			c.read()
		}
	case ev&unix.EPOLLERR != 0:
		c.lost(os.NewSyscallError("read", unix.ECONNRESET))
	case ev&unix.EPOLLHUP != 0: // of a unix socket that the peer has closed
		c.lost(os.NewSyscallError("write", unix.EPIPE))
	}
}

// reads tells whether c is read from now. At the end of its life that is only
// to throw away what comes.
func (c *Conn) reads() bool {
	if c.state > stateOpen {
		return c.linger && c.paused&pausedByEOF == 0
	}
	return c.paused == 0 || c.up != nil && c.up.handshaking() && c.paused&(pausedByEOF|pausedByTLS) == 0
}

// read takes what has arrived, with what was not used in front of it.
func (c *Conn) read() {
	for range 4 { // one that fills the buffer again and again must not starve the others
		if c.up != nil && c.state == stateOpen {
			c.up.read(c)
			return
		}
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
		n := c.receive(buf[k : k+size])
		if n == 0 {
			return
		}
		c.full = n == size
		if c.state == stateOpen {
			c.deliver(buf[:k+n])
		}
		if !c.full || size > readFirst || !c.reads() {
			return
		}
	}
}

// receive reads from the socket into p. 0 means that there is nothing, or that
// this was the end, which is then seen to.
func (c *Conn) receive(p []byte) int {
	n, errno := rawRead(c.fd, p)
	switch {
	case errno == unix.EAGAIN:
		if c.broken {
			c.Close(c.err)
		}
		return 0
	case errno != 0:
		c.Close(os.NewSyscallError("read", errno))
		return 0
	case n == 0:
		c.eof()
	}
	return n
}

// errTailTooLong is a fault of a handler: it leaves more unused than a read can
// be appended to.
var errTailTooLong = errors.New("more bytes left unused than the loop's buffer holds")

// deliver gives p, which is the start of the loop's buffer, to the handler and
// keeps what it leaves.
func (c *Conn) deliver(p []byte) {
	used := c.h.Data(c, p)
	c.meter.Used += uint64(used)
	if c.state == stateOpen && (used != len(p) || c.tail != nil) {
		c.setTail(p[used:])
	}
}

// setTail keeps a copy of rest, in memory that is in proportion to it.
func (c *Conn) setTail(rest []byte) {
	if (len(rest) == 0 || len(rest) > maxTail) && cap(c.tail) == maxTail {
		c.loop.putTail(c.tail)
		c.tail = nil
	}
	switch {
	case len(rest) == 0:
		c.tail = nil
		return
	case len(rest) <= maxTail && cap(c.tail) != maxTail:
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
		var n int
		var errno unix.Errno
		if h := c.out.head; h.next == nil { // most often, and cheaper
			n, errno = rawWrite(c.fd, h.buf[h.r:h.w])
		} else {
			n, errno = rawWritev(c.fd, c.out.vectors(c.loop.iov))
		}
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			c.lost(os.NewSyscallError("write", errno))
			return
		}
		c.out.drop(&c.loop.free, n)
		c.sent = c.loop.wheel.time()
	}
	if c.out.n == 0 {
		c.touch()
	}
	c.pressure()
}

// lost is called when c turns out to be broken. What the peer sent before it
// broke, often the reason, may still lie in the kernel: c is closed when that
// has been read, see settleBroken.
func (c *Conn) lost(err error) {
	if c.state != stateOpen {
		c.Close(err)
		return
	}
	if !c.broken {
		c.broken, c.err = true, err
	}
	c.out.drop(&c.loop.free, c.out.n)
	if c.up != nil {
		c.up.held.drop(&c.loop.free, c.up.held.n)
	}
	c.pressure()
	c.touch()
}

// settleBroken reads c to its end, if it may be read from, and closes it.
func (c *Conn) settleBroken() {
	switch {
	case c.up != nil && c.up.handshaking():
		if c.reads() {
			c.read()
			c.loop.postpone(c)
		}
	case c.paused&^pausedByEOF != 0:
		if !c.hungUp {
			c.hungUp = true
			c.h.HungUp(c)
		}
	case c.paused != 0:
		if c.up == nil || !c.up.more {
			c.Close(c.err)
		}
	default:
		c.read()
		if c.state == stateOpen { // it leaves some for the sake of others, and the end
			c.loop.postpone(c)
		}
	}
}

// settle is called after an event that touched c: see Loop.settle.
func (c *Conn) settle() {
	if c.again && c.paused&^pausedByEOF == 0 {
		c.again = false
		if c.up != nil {
			c.up.absorb(c)
		}
		if c.state == stateOpen && len(c.tail) > 0 {
			n := copy(c.loop.rbuf, c.tail)
			c.deliver(c.loop.rbuf[:n])
		}
	}
	if c.up != nil {
		c.up.settle(c)
	}
	if c.broken && c.state == stateOpen {
		c.settleBroken()
	}
	if c.state == stateFlushing && c.out.n == 0 {
		c.flushed()
	}
	if c.state == stateConnecting || c.state == stateDead {
		return // the first is watched by dial
	}
	want := watchEdges
	if c.reads() {
		want, c.stirred = watchRead, false
		if c.out.n > 0 {
			want = watchReadWrite
		}
	}
	if want == c.watch || want == watchEdges && c.lazy() {
		return
	}
	if err := c.setWatch(want); err != nil {
		c.Close(err)
	}
}

// lazy tells whether c may stay watched as it is although it is not read from. A
// handler's pause is mostly over before anything comes, and a change of interest
// and back are two system calls and an event.
func (c *Conn) lazy() bool {
	return c.watch == watchRead && c.paused == pausedByHandler && !c.stirred && !c.broken && c.out.n == 0 && c.state == stateOpen && c.up == nil
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
	if !c.reads() || unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
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
		if left := c.until - (c.loop.wheel.now - c.sent); left > 0 {
			c.loop.Arm(&c.timer, time.Duration(left)*tick) // it is slow, but it takes
			return
		}
		c.Close(ErrTimeout)
	case stateLingering:
		c.Close(nil)
	}
}
