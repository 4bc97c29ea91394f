package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
)

// maxHandshakes is how many handshakes of the process compute at once, each for
// about a millisecond; others wait in line. They have their processors from the
// same scheduler as the loops: with four a loop waits a few milliseconds at the
// worst, and the process still does thousands in a second. A handshake that
// waits for its peer is not one of them, so that slow peers keep nobody out.
const maxHandshakes = 4

var slots = make(chan struct{}, maxHandshakes)

// maxUnread is how much may lie before a handshake, in bytes, until its
// connection is not read from: a peer may send what it likes, and early.
const maxUnread = 64 << 10

// handshake is one that runs. The loop gives it what arrives and it posts to
// the loop what is to be sent, and that it has ended.
type handshake struct {
	s    *secure
	told func(tls.ConnectionState, error)
	quit chan struct{} // closed by the loop: nobody waits for it any more
	wake chan struct{} // there is something to read; holds one

	slot bool // it is one of maxHandshakes; the goroutine's

	mu     sync.Mutex
	in     []byte // arrived and not read
	end    error  // what follows in, io.EOF for the socket's EOF
	full   bool   // the loop is to be told when in has been read
	out    []byte // for the loop to send
	posted bool   // step is on its way
	over   bool
	err    error // of the handshake
}

func newHandshake(s *secure, done func(tls.ConnectionState, error)) *handshake {
	return &handshake{s: s, told: done, quit: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// run is the goroutine.
func (h *handshake) run() {
	err := h.shake()
	h.mu.Lock()
	h.over, h.err = true, err
	h.post()
	h.mu.Unlock()
}

func (h *handshake) shake() (err error) {
	defer h.leave()
	defer func() {
		if p := recover(); p != nil {
			h.s.c.loop.Log.Error("panic in a TLS handshake", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrPanic, p)
		}
	}()
	if err := h.enter(); err != nil {
		return err
	}
	return h.s.tls.Handshake()
}

// enter waits for a slot.
func (h *handshake) enter() error {
	select {
	case slots <- struct{}{}:
		h.slot = true
		return nil
	case <-h.quit:
		return net.ErrClosed
	}
}

func (h *handshake) leave() {
	if h.slot {
		h.slot = false
		<-slots
	}
}

// read is for tls, on the goroutine.
func (h *handshake) read(p []byte) (int, error) {
	for {
		h.mu.Lock()
		if len(h.in) > 0 {
			n := copy(p, h.in[:h.s.cut.next(h.in[:min(len(h.in), len(p))])])
			if h.in = h.in[n:]; h.full && len(h.in) <= maxUnread/2 {
				h.post()
			}
			h.mu.Unlock()
			return n, nil
		}
		end := h.end
		h.mu.Unlock()
		if end != nil {
			return 0, end
		}
		h.leave()
		select {
		case <-h.wake:
		case <-h.quit:
			return 0, net.ErrClosed
		}
		if err := h.enter(); err != nil {
			return 0, err
		}
	}
}

// write is for tls, on the goroutine.
func (h *handshake) write(p []byte) (int, error) {
	select {
	case <-h.quit:
		return 0, net.ErrClosed
	default:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = append(h.out, p...)
	h.post()
	return len(p), nil
}

// post has step called. mu is held.
func (h *handshake) post() {
	if !h.posted {
		h.posted = true
		h.s.c.loop.Post(h.step)
	}
}

// cancel ends it soon, on the loop.
func (h *handshake) cancel() {
	select {
	case <-h.quit:
	default:
		close(h.quit)
	}
}

// give brings what has arrived, on the loop. It tells whether that is enough.
func (h *handshake) give(p []byte) (enough bool) {
	h.mu.Lock()
	h.in = append(h.in, p...)
	enough = len(h.in) > maxUnread
	h.full = h.full || enough
	h.mu.Unlock()
	h.rouse()
	return enough
}

func (h *handshake) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// finish says that nothing more will arrive.
func (h *handshake) finish(err error) {
	h.s.c.paused |= pausedByEOF
	h.s.c.touch()
	h.mu.Lock()
	h.end = err
	h.mu.Unlock()
	h.rouse()
}

// feed is Conn.read during the handshake. What breaks the connection comes to
// it as well: what the peer has said before, an alert, may be the reason.
func (h *handshake) feed(c *Conn) {
	buf := c.loop.scratch.raw[:readFirst]
	n, errno := rawRead(c.fd, buf)
	switch {
	case errno == unix.EAGAIN:
		if c.broken {
			h.finish(c.err)
		}
	case errno != 0:
		h.finish(os.NewSyscallError("read", errno))
	case n == 0:
		h.finish(io.EOF)
	default:
		if h.give(buf[:n]) {
			c.pause(pausedByTLS)
		}
	}
}

// step does on the loop what the goroutine has posted.
func (h *handshake) step() {
	c := h.s.c
	c.loop.guard(c, func() {
		if c.state > stateOpen {
			return
		}
		h.mu.Lock()
		out, over := h.out, h.over
		h.out, h.posted = nil, false
		resume := h.full && len(h.in) <= maxUnread/2
		if resume {
			h.full = false
		}
		h.mu.Unlock()
		if len(out) > 0 {
			c.up.put(c, out)
		}
		if resume {
			c.resume(pausedByTLS)
		}
		if over {
			h.ended(c)
		}
	})
}

// ended tells the handler.
func (h *handshake) ended(c *Conn) {
	u, s := c.up, h.s
	s.hs = nil
	c.resume(pausedByTLS)
	if errors.Is(h.err, ErrPanic) {
		c.Close(h.err)
		return
	}
	if h.err != nil {
		s.failed = true
		c.paused |= pausedByEOF
		u.drop(&c.loop.free)
		if c.out.n > 0 && c.state == stateOpen && !c.broken {
			c.flush() // the alert
		}
		c.pressure()
		c.touch()
		h.told(tls.ConnectionState{}, fmt.Errorf("TLS handshake: %w", h.err))
		return
	}
	s.up = true
	u.raw.kept.append(&c.loop.free, h.in)
	u.more, u.end = true, h.end
	c.touch()
	h.told(s.tls.ConnectionState(), nil)
}
