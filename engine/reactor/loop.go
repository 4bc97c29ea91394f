package reactor

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

const (
	// readFirst is how much one read takes, in bytes, and readFull how much
	// once a read came back full and nothing waits for the peer: large reads
	// halve the cost of large results, small ones are fair and stay in cache.
	readFirst = 64 << 10
	readFull  = 1 << 20

	// highMark and lowMark bound what waits for a slow peer, in bytes: above
	// the one reading for it stops, below the other it resumes.
	highMark = 256 << 10
	lowMark  = 64 << 10

	maxVectors = 64 // chunks in one writev: a megabyte
)

// Loop is one event loop. Only its own goroutine touches it, but for Post and
// Load.
type Loop struct {
	Log *slog.Logger

	p     *netpoll.Poller
	conns []*Conn        // by descriptor
	other map[int]func() // descriptors that are no connections: what to do when one is readable
	rbuf  []byte         // what a read fills; borrowed by the handler until it returns
	iov   []unix.Iovec   // scratch of flush
	free  freeList       // chunks of queues
	tails [][]byte       // buffers of small tails
	wheel wheel
	touch []*Conn // connections to settle
	dead  []*Conn // connections whose descriptors are closed once their events are through
	doom  bool    // the closing of dead is on its way
	ends  bool    // Run is about to return

	scratch scratch
	round   uint          // counts calls of settle
	turns   uint64        // and of event,
	busy    time.Duration // and how long those took that were timed
	rest    Meter         // of connections that have none of their own
	later   []*Conn       // have more to do, see postpone
	laterFD int           // readable while there are any

	listeners []*Listener // that this loop accepts for

	load atomic.Int32 // connections given to this loop and not ended

	mu      sync.RWMutex // held to trigger the poller from elsewhere, and to close it
	stopped bool
	given   []accepted // by listeners, not yet taken
	done    chan struct{}
}

// NewLoop makes a loop that does not run yet.
func NewLoop(log *slog.Logger) (*Loop, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		return nil, err
	}
	l := &Loop{
		Log: log, p: p, done: make(chan struct{}),
		other: map[int]func(){},
		rbuf:  make([]byte, readFull),
		iov:   make([]unix.Iovec, maxVectors),
	}
	if err := l.wheel.open(); err != nil {
		p.Close()
		return nil, err
	}
	l.other[l.wheel.fd] = l.ticked
	err = p.AddRead(attach(l.wheel.fd), false)
	if err == nil {
		err = l.openLater()
	}
	if err != nil {
		l.wheel.close()
		p.Close()
		return nil, err
	}
	return l, nil
}

func attach(fd int) *netpoll.PollAttachment { return &netpoll.PollAttachment{FD: fd} }

// Run runs the loop on the calling goroutine until Stop.
func (l *Loop) Run() error { return l.run(l.event) }

func (l *Loop) run(event netpoll.PollEventHandler) error {
	err := l.p.Polling(event)
	l.ends = true
	l.mu.Lock()
	l.stopped = true // a late Post would write to a descriptor that is another's by then
	l.mu.Unlock()
	for len(l.listeners) > 0 {
		l.listeners[0].CloseHere()
	}
	for _, a := range l.given {
		l.load.Add(-1)
		unix.Close(a.fd)
	}
	for _, c := range l.conns {
		if c != nil {
			c.Close(ErrStopped)
		}
	}
	l.reap()
	l.Discard()
	close(l.done)
	if err == errorx.ErrEngineShutdown {
		return nil
	}
	return err
}

// Stop ends Run from any goroutine but the loop's and waits until it has
// returned. What is still open is closed; handlers are told ErrStopped.
func (l *Loop) Stop() {
	l.trigger(func(any) error { return errorx.ErrEngineShutdown })
	<-l.done
}

// Done is closed when Run has returned.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Discard frees a loop that never ran.
func (l *Loop) Discard() {
	unix.Close(l.laterFD)
	l.wheel.close()
	l.p.Close()
}

// Post has fn called on the loop, in the order of the calls. Any goroutine may
// call it. After Stop fn is dropped.
func (l *Loop) Post(fn func()) {
	l.trigger(func(any) error {
		l.guard(nil, fn)
		l.settle()
		return nil
	})
}

func (l *Loop) trigger(fn queue.Func) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.stopped {
		_ = l.p.Trigger(queue.HighPriority, fn, nil)
	}
}

// Load is the number of connections that were accepted for this loop and have
// not ended. Any goroutine may call it.
func (l *Loop) Load() int { return int(l.load.Load()) }

// Now is the loop's clock: the time since the loop was made, 100 ms fine. It
// costs nothing while any timer is armed.
func (l *Loop) Now() time.Duration { return time.Duration(l.wheel.time()) * tick }

// SetClock has since be the loop's clock from now on, in the place of the time since
// it was made; since never goes back. What is due by it fires at once. It is for
// tests whose time is their own. Call it on the loop, or before Run.
func (l *Loop) SetClock(since func() time.Duration) {
	l.wheel.since = since
	l.ticked()
}

// Arm has t's owner told in d, or up to 100 ms later. A timer that is armed
// already is moved.
func (l *Loop) Arm(t *Timer, d time.Duration) { l.wheel.arm(t, d) }

// Disarm keeps t from firing.
func (l *Loop) Disarm(t *Timer) { l.wheel.disarm(t) }

// turnTimed is one of how many calls of event is timed.
const turnTimed = 64

// event is called by the poller for each ready descriptor.
func (l *Loop) event(fd int, ev netpoll.IOEvent, _ netpoll.IOFlags) error {
	if l.turns++; l.turns%turnTimed != 0 {
		l.turn(fd, ev)
		return nil
	}
	began := time.Now()
	l.turn(fd, ev)
	l.busy += time.Since(began)
	return nil
}

func (l *Loop) turn(fd int, ev netpoll.IOEvent) {
	if fd < len(l.conns) {
		if c := l.conns[fd]; c != nil {
			l.handle(c, ev)
			if len(l.touch) > 0 {
				l.settle()
			}
			return
		}
	}
	if ready := l.other[fd]; ready != nil {
		l.guard(nil, ready)
		l.settle()
	}
}

// handle lets c handle its event. A panic in a handler costs its connection and
// nobody else's.
func (l *Loop) handle(c *Conn, ev uint32) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(c, p)
		}
	}()
	c.ready(ev)
}

// guard calls fn. If it panics that costs c, which may be nil.
func (l *Loop) guard(c *Conn, fn func()) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(c, p)
		}
	}()
	fn()
}

func (l *Loop) panicked(c *Conn, p any) {
	if err, ok := p.(runtime.Error); ok {
		p = err.Error()
	}
	l.Log.Error("panic on an event loop", "panic", p, "closes", c != nil, "stack", string(debug.Stack()))
	if c != nil {
		c.Close(fmt.Errorf("%w: %v", ErrPanic, p))
	}
}

func (l *Loop) ticked() {
	l.wheel.advance(func(t *Timer) { l.guard(t.Conn, func() { t.Owner.Expired(t) }) })
}

// settle brings the connections that were touched into order: what was resumed
// is given what it had left, and the poller learns what each waits for now.
// Doing it once per event and not at each call keeps a handler from being
// entered within its own calls, and spares system calls that cancel out.
func (l *Loop) settle() {
	l.round++
	for i := 0; i < len(l.touch); i++ { // grows while it runs
		c := l.touch[i]
		l.touch[i] = nil
		c.touched = false
		if c.state != stateDead {
			l.settleOne(c)
		}
	}
	l.touch = l.touch[:0]
}

func (l *Loop) settleOne(c *Conn) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(c, p)
		}
	}()
	c.settle()
}

// add makes the loop know c under its descriptor.
func (l *Loop) add(c *Conn) {
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
}

// bury closes c's descriptor once all events that were fetched with it are
// through, so that none of them can meet a descriptor that was given out again.
func (l *Loop) bury(c *Conn) {
	l.dead = append(l.dead, c)
	if l.doom {
		return
	}
	l.doom = true
	_ = l.p.Trigger(queue.HighPriority, func(any) error {
		l.reap()
		l.settle()
		return nil
	}, nil)
}

func (l *Loop) reap() {
	l.doom = false
	for i := 0; i < len(l.dead); i++ { // grows while it runs
		c := l.dead[i]
		l.dead[i] = nil
		if c.counted {
			l.load.Add(-1) // before the peer can know of the end
		}
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
		l.guard(nil, c.ended)
	}
	l.dead = l.dead[:0]
}

// maxTail is how large a tail's buffer may be to be kept for the next one.
const (
	maxTail  = 512
	maxTails = 64
)

func (l *Loop) getTail() []byte {
	if n := len(l.tails); n > 0 {
		t := l.tails[n-1]
		l.tails = l.tails[:n-1]
		return t
	}
	return make([]byte, 0, maxTail)
}

func (l *Loop) putTail(t []byte) {
	if cap(t) == maxTail && len(l.tails) < maxTails {
		l.tails = append(l.tails, t[:0])
	}
}
