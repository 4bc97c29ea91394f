package reactor

import (
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/queue"
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
	failed  int           // accepts since the last line about it
	quiet   time.Duration // on the loop's clock, until when there is to be none
	closed  bool          // on the first loop
	watched bool          // by its poller
}

// accepted is a connection on its way to a loop.
type accepted struct {
	fd     int
	remote Addr
	accept Accept
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
	if l.other[ln.fd] == nil {
		l.other[ln.fd] = ln.ready
		l.listeners = append(l.listeners, ln)
	}
	if err := l.p.AddRead(attach(ln.fd), false); err != nil {
		ln.wait(err)
		return
	}
	ln.watched = true
}

// Close stops accepting and removes a unix socket's path. Any goroutine may
// call it; connections that were accepted stay. The end of the first loop
// closes the listener, too.
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
	if ln.watched {
		_ = l.p.Delete(ln.fd)
	}
	delete(l.other, ln.fd)
	l.listeners = slices.DeleteFunc(l.listeners, func(x *Listener) bool { return x == ln })
	if ln.addr.Path != "" {
		// While it is still ours: a closed socket's path may be taken over.
		_ = os.Remove(ln.addr.Path) // after --user it may not be ours to remove
	}
	unix.Close(ln.fd)
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
		default:
			// No descriptors, no memory, trouble of the network.
			ln.wait(err)
			return
		}
	}
}

// wait leaves new connections in the backlog for a moment: asking again at once
// would most likely fail again, and spin. It is logged once a second.
func (ln *Listener) wait(err error) {
	l := ln.loops[0]
	if ln.watched {
		ln.watched = false
		_ = l.p.Delete(ln.fd)
	}
	l.Arm(&ln.retry, tick)
	ln.failed++
	if l.Now() < ln.quiet {
		return
	}
	hint := ""
	if err == unix.EMFILE {
		hint = "; raise --max-open-files"
	}
	ln.log.Warn("cannot accept connections, trying again"+hint, "address", ln.addr.String(), "error", err, "failed", ln.failed)
	ln.failed, ln.quiet = 0, l.Now()+time.Second
}

// Expired accepts again.
func (ln *Listener) Expired(*Timer) { ln.watch() }

func (ln *Listener) give(fd int, remote Addr) {
	to := ln.loops[0]
	for _, l := range ln.loops[1:] {
		if l.Load() < to.Load() {
			to = l
		}
	}
	to.load.Add(1) // now, so that a burst spreads
	a := accepted{fd, remote, ln.accept}
	if to == ln.loops[0] {
		to.adopt(a)
		return
	}
	to.take(a)
}

// take brings a to l from another loop. If l has stopped the connection is
// closed: nobody else would.
func (l *Loop) take(a accepted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		l.load.Add(-1) // before the peer can know
		unix.Close(a.fd)
		return
	}
	if l.given = append(l.given, a); len(l.given) == 1 { // else the task is on its way
		_ = l.p.Trigger(queue.HighPriority, l.adoptGiven, nil)
	}
}

func (l *Loop) adoptGiven(any) error {
	l.mu.Lock()
	given := l.given
	l.given = nil
	l.mu.Unlock()
	for _, a := range given {
		l.adopt(a)
	}
	l.settle()
	return nil
}

// adopt makes a connection of an accepted descriptor.
func (l *Loop) adopt(a accepted) {
	c := &Conn{loop: l, fd: a.fd, meter: &l.rest, state: stateOpen, counted: true}
	c.h = dropped{} // until accept says who
	l.add(c)
	c.touch()
	l.guard(c, func() { c.h = a.accept(c, a.remote) })
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
