package reactor

import (
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Accept is told of a new connection, on the loop that was chosen for it, and
// says who handles it.
type Accept func(c *Conn, remote Addr) Handler

// Listener accepts connections in one place and gives each to the loop with the
// fewest: what the kernel's own spreading does badly for few long connections.
type Listener struct {
	fd      int
	addr    Addr
	loops   []*Loop
	accept  Accept
	log     *slog.Logger
	retry   Timer
	refused int  // accepts that failed since the last line about it
	closed  bool // on the first loop
	waiting bool // for descriptors to become free
}

// Listen binds a; nothing is accepted before Start. The first of loops does the
// accepting.
func Listen(a Addr, loops []*Loop, accept Accept) (*Listener, error) {
	fd, bound, err := bind(a)
	if err != nil {
		return nil, err
	}
	ln := &Listener{fd: fd, addr: bound, loops: loops, accept: accept, log: loops[0].Log}
	ln.retry.Owner = ln
	return ln, nil
}

// Addr is the address that was bound.
func (ln *Listener) Addr() Addr { return ln.addr }

// Start begins to accept. Any goroutine may call it, once.
func (ln *Listener) Start() { ln.loops[0].Post(ln.watch) }

func (ln *Listener) watch() {
	if ln.closed {
		return
	}
	l := ln.loops[0]
	l.other[ln.fd] = ln.ready
	if err := l.p.AddRead(attach(ln.fd), false); err != nil {
		ln.log.Error("cannot watch the listener", "address", ln.addr.String(), "error", err)
	}
}

// Close stops accepting and removes a unix socket's path. Any goroutine may
// call it; connections that were accepted stay.
func (ln *Listener) Close() { ln.loops[0].Post(ln.CloseHere) }

// CloseHere is Close for a caller that knows the loops are not running, or is
// on the first of them.
func (ln *Listener) CloseHere() {
	if ln.closed {
		return
	}
	ln.closed = true
	l := ln.loops[0]
	l.Disarm(&ln.retry)
	if l.other[ln.fd] != nil && !ln.waiting {
		_ = l.p.Delete(ln.fd)
	}
	delete(l.other, ln.fd)
	unix.Close(ln.fd)
	if ln.addr.Path != "" {
		_ = os.Remove(ln.addr.Path) // after --user it may not be ours to remove
	}
}

// acceptBatch bounds what one event accepts, so that a flood of connects does
// not stop those who are connected.
const acceptBatch = 64

func (ln *Listener) ready() {
	for range acceptBatch {
		fd, sa, err := unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			ln.give(fd, addrOf(sa))
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED, unix.ECONNRESET:
			// One that is gone before it was accepted.
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			ln.exhausted(err)
			return
		default:
			// accept also reports errors of the network that wait on the new
			// connection; the listener itself is unharmed.
			ln.refused++
		}
	}
}

// exhausted leaves new connections in the backlog for a moment: asking again at
// once would find no descriptor either and spin.
func (ln *Listener) exhausted(err error) {
	ln.refused++
	ln.log.Warn("cannot accept connections, trying again; raise --max-open-files",
		"address", ln.addr.String(), "error", err, "failed", ln.refused)
	l := ln.loops[0]
	_ = l.p.Delete(ln.fd)
	ln.waiting = true
	l.Arm(&ln.retry, tick)
}

// Expired accepts again.
func (ln *Listener) Expired(*Timer) {
	ln.waiting = false
	ln.watch()
}

func (ln *Listener) give(fd int, remote Addr) {
	to := ln.loops[0]
	for _, l := range ln.loops[1:] {
		if l.Load() < to.Load() {
			to = l
		}
	}
	to.load.Add(1) // now, so that a burst spreads
	if to == ln.loops[0] {
		to.adopt(fd, remote, ln.accept)
		return
	}
	to.Post(func() { to.adopt(fd, remote, ln.accept) })
}

// adopt makes a connection of an accepted descriptor.
func (l *Loop) adopt(fd int, remote Addr, accept Accept) {
	c := &Conn{loop: l, fd: fd, state: stateOpen, counted: true}
	c.h = dropped{} // until accept says who
	l.add(c)
	c.touch()
	l.cur = c
	defer func() {
		l.cur = nil
		if p := recover(); p != nil {
			l.panicked(p)
			c.Close(ErrPanic)
		}
	}()
	c.h = accept(c, remote)
}

// dropped handles what nobody handles.
type dropped struct{}

func (dropped) Opened(*Conn)               {}
func (dropped) Data(_ *Conn, p []byte) int { return len(p) }
func (dropped) EOF(c *Conn)                { c.Close(nil) }
func (dropped) HungUp(c *Conn)             { c.Close(nil) }
func (dropped) Closed(*Conn, error)        {}

func interfaceIndex(name string) uint32 {
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index)
	}
	return 0
}
