package reactor

import (
	"errors"
	"fmt"
	"io"
)

// What may stand between a connection's socket and its handler, and the way of
// the bytes there:
//
//	socket -> raw -> TLS -> mid -> codec -> the loop's buffer -> Handler.Data
//	socket <- out <- TLS <- held <- codec <- Conn.Write
//
// Without TLS the codec takes from raw and gives to out. The queues are empty
// but while their taker is held up: raw and mid while the handler is paused,
// held while a handshake runs and within one event, so that what one event
// writes becomes few records and one system call.

// layers is what a Conn has above its socket; a plain one has none. It belongs
// to its Conn, on its loop.
type layers struct {
	sec   *secure // nil without TLS
	codec Codec   // nil without

	raw  stock    // from the socket
	mid  stock    // from TLS, for the codec
	held outQueue // for TLS

	err     error // of the codec
	end     error // of the socket, if it came during the handshake; io.EOF for EOF
	told    bool  // the handler knows of the end
	more    bool  // there may be something to deliver without a read
	fresh   bool  // a layer is new: what the handler has not used is its input
	unsent  bool  // out had been empty before something was put there in this event
	encoded bool  // the codec may keep something of what was written
	round   uint  // loop.round in which settle delivered
}

// stock is bytes on their way into a layer: those kept of an earlier turn, then
// those of a borrowed slice.
type stock struct {
	kept outQueue
	now  []byte
}

func (s *stock) len() int { return s.kept.n + len(s.now) }

// next is the first of the bytes, as far as they lie together.
func (s *stock) next() []byte {
	if c := s.kept.head; c != nil {
		return c.buf[c.r:c.w]
	}
	return s.now
}

// took forgets n bytes of what next has returned.
func (s *stock) took(f *freeList, n int) {
	if s.kept.n > 0 {
		s.kept.drop(f, n)
	} else {
		s.now = s.now[n:]
	}
}

// keep copies what is only borrowed.
func (s *stock) keep(f *freeList) {
	s.kept.append(f, s.now)
	s.now = nil
}

func (s *stock) drop(f *freeList) {
	s.kept.drop(f, s.kept.n)
	s.now = nil
}

const (
	// layeredFull is how much a read of a connection with layers takes at most,
	// and the handler gets at once of what comes out of them, in bytes: larger
	// does not pay where each byte is worked on, and it is what a pause keeps.
	layeredFull = 256 << 10
	// turnBytes is how much one turn delivers, in bytes: what a codec has made
	// large must not starve the other connections of the loop.
	turnBytes = 1 << 20
	// sliceBytes is how much a codec gets at once to encode.
	sliceBytes = 64 << 10
	// recordBytes is the most that one TLS record carries.
	recordBytes = 16 << 10
)

// scratch is what a loop's layers work with; a loop of plain connections has none.
type scratch struct {
	raw []byte // what a read fills
	mid []byte // what TLS decrypts for a codec
	enc []byte // what a codec encodes
}

func (c *Conn) layer() *layers {
	if c.up == nil {
		c.up = &layers{}
		if l := c.loop; l.scratch.raw == nil {
			l.scratch.raw = make([]byte, layeredFull)
			l.scratch.mid = make([]byte, recordBytes)
		}
	}
	return c.up
}

// absorb hands what the handler has not used to the layer that is new.
func (u *layers) absorb(c *Conn) {
	if !u.fresh {
		return
	}
	u.fresh = false
	u.more = true // unless a turn finds otherwise
	switch free := &c.loop.free; {
	case len(c.tail) == 0:
		return
	case u.handshaking():
		u.sec.hs.give(c.tail)
	case u.sec != nil:
		u.mid.kept.append(free, c.tail)
	default:
		u.raw.kept.append(free, c.tail)
	}
	c.setTail(nil)
}

// read is Conn.read with layers. Nothing is read before what was read has been
// delivered.
func (u *layers) read(c *Conn) {
	u.absorb(c)
	switch {
	case u.handshaking():
		u.sec.hs.feed(c)
		return
	case u.more:
		u.turn(c) // what it leaves, the poller tells of again
		return
	}
	for range 4 {
		size := readFirst
		if c.full && (c.peer == nil || c.peer.Waiting() == 0) {
			size = layeredFull
		}
		buf := c.loop.scratch.raw[:size]
		n := c.receive(buf)
		if n == 0 {
			return
		}
		c.full = n == size
		u.raw.now = buf[:n]
		u.turn(c)
		if !c.full || size > readFirst || u.more || c.state != stateOpen || !c.reads() {
			return
		}
	}
}

// errStuck and errBounds are faults of a codec.
var (
	errStuck  = errors.New("the codec neither takes nor fills")
	errBounds = errors.New("the codec takes or fills more than there is")
)

// turn delivers what can be had without a read, until the handler pauses, or
// others are to have their turn.
func (u *layers) turn(c *Conn) {
	l := c.loop
	piece := readFirst
	if c.full && (c.peer == nil || c.peer.Waiting() == 0) {
		piece = layeredFull
	}
	for left := turnBytes; ; {
		u.absorb(c)
		u.more = false
		if c.paused&^pausedByEOF != 0 {
			u.more = true
			break
		}
		if left <= 0 {
			u.more = true
			l.postpone(c)
			break
		}
		k := copy(l.rbuf, c.tail)
		size := min(piece, len(l.rbuf)-k)
		if size == 0 {
			c.Close(errTailTooLong)
			return
		}
		n, more := u.fill(&l.scratch, &l.free, l.rbuf[k:k+size])
		if n > 0 {
			left -= n
			c.deliver(l.rbuf[:k+n])
		}
		if c.state != stateOpen {
			return
		}
		if more || u.fresh {
			continue
		}
		if err := u.over(); err == nil {
			break
		} else if c.paused&^pausedByEOF == 0 {
			u.ended(c, err)
			return
		}
		u.more = true
		break
	}
	u.raw.keep(&l.free)
	u.mid.keep(&l.free)
}

// over is what ends the stream when all that lies here has been delivered, if
// that is known; io.EOF for EOF.
func (u *layers) over() error {
	if u.err == nil && u.sec != nil && u.sec.err != nil {
		return u.sec.err
	} else if u.err == nil {
		return u.end
	}
	return u.err
}

// ended tells the handler that there is no more.
func (u *layers) ended(c *Conn, err error) {
	if u.told {
		return
	}
	if u.told = true; err == io.EOF {
		c.eof()
		return
	}
	if c.out.n > 0 && !c.broken {
		c.flush() // the alert that says why
	}
	c.Close(err)
}

// fill decrypts and decodes as much as there is into p. more says that there
// may be more than p took. For errors see over.
func (u *layers) fill(s *scratch, free *freeList, p []byte) (n int, more bool) {
	if u.codec == nil {
		return u.decrypt(p)
	}
	if u.err != nil {
		return 0, false
	}
	in := &u.raw
	if u.sec != nil {
		in = &u.mid
	}
	for n < len(p) {
		src := in.next()
		filled, taken, err := u.codec.Decode(p[n:], src)
		if filled < 0 || filled > len(p)-n || taken < 0 || taken > len(src) {
			filled, taken, err = 0, 0, errBounds
		}
		n += filled
		in.took(free, taken)
		if err == nil && filled == 0 && taken == 0 {
			if len(src) > 0 {
				err = errStuck
			} else if u.sec == nil {
				return n, false
			} else {
				k, _ := u.decrypt(s.mid)
				if in.now = s.mid[:k]; k == 0 {
					return n, false
				}
			}
		}
		if err != nil {
			u.err = fmt.Errorf("decode: %w", err)
			return n, false
		}
	}
	return n, true
}

// settle is the layers' part of Conn.settle: what can be delivered, and then
// what was written in this event.
func (u *layers) settle(c *Conn) {
	if c.state == stateOpen {
		u.absorb(c)
		if u.more && c.paused&^pausedByEOF == 0 && !u.handshaking() {
			if u.round != c.loop.round {
				u.round = c.loop.round
				u.turn(c)
			} else { // it has had its turn
				c.loop.postpone(c)
			}
		}
	}
	if c.state <= stateOpen && !c.broken {
		u.finish(c)
	}
	if c.state != stateConnecting && c.state != stateDead {
		u.send(c)
	}
}

// send sends what was put in this event.
func (u *layers) send(c *Conn) {
	if u.unsent {
		u.unsent = false
		if c.out.n > 0 {
			c.flush()
		}
	}
}

// finish brings what was written down to the queue for the socket.
func (u *layers) finish(c *Conn) {
	u.flushCodec(c)
	u.seal(c)
}

// closing ends the layers' part of what is sent.
func (u *layers) closing(c *Conn) {
	if u.handshaking() {
		u.cancel()
	} else {
		u.finish(c)
		u.closeTLS(c)
	}
	u.drop(&c.loop.free)
}

// cancel ends a handshake without a word.
func (u *layers) cancel() {
	if u.handshaking() {
		u.sec.hs.cancel()
	}
}

func (u *layers) failed() bool { return u.sec != nil && u.sec.failed }

// put queues p for the socket; settle sends it.
func (u *layers) put(c *Conn, p []byte) {
	if c.broken {
		return
	}
	if c.out.n == 0 {
		c.sent = c.loop.wheel.time()
		u.unsent = true
		c.touch()
	}
	c.out.append(&c.loop.free, p)
}

// drop forgets all that has not been delivered and, but for what is in out, all
// that was written.
func (u *layers) drop(f *freeList) {
	u.raw.drop(f)
	u.mid.drop(f)
	u.held.drop(f, u.held.n)
	u.more = false
}
