package reactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// tick is how fine timers are. A timer fires up to one tick late, never early.
const tick = 100 * time.Millisecond

const wheelSlots = 512 // a turn takes 51 s; a later timer waits more than one turn

// farthest keeps the sum of any duration and the clock from overflowing.
const farthest time.Duration = 1 << 62

// Expirer is told when a timer of its fires, on the timer's loop.
type Expirer interface{ Expired(t *Timer) }

// Timer calls its owner once, some time after it was armed. It lies in its
// owner, so arming allocates nothing. It belongs to one loop.
type Timer struct {
	Owner      Expirer
	Conn       *Conn  // is closed with ErrPanic if Owner panics, unless it is nil
	next, prev *Timer // in its slot, or nil
	at         int64  // tick at which it is due
}

// Armed tells whether the timer will fire.
func (t *Timer) Armed() bool { return t.next != nil }

// wheel holds the timers of one loop, driven by a timerfd that runs only while
// there are any: a proxy without connections never wakes.
type wheel struct {
	slots [wheelSlots]Timer    // list heads
	due   Timer                // list head of those that advance fires
	now   int64                // the tick up to which all is done
	n     int                  // armed timers
	fd    int                  // the timerfd
	runs  bool                 // the timerfd does
	since func() time.Duration // how old the wheel is
}

func (w *wheel) open() error {
	for i := range w.slots {
		h := &w.slots[i]
		h.next, h.prev = h, h
	}
	w.due.next, w.due.prev = &w.due, &w.due
	epoch := time.Now()
	w.since = func() time.Duration { return time.Since(epoch) }
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	w.fd = fd
	return err
}

func (w *wheel) close() { unix.Close(w.fd) }

func (w *wheel) clock() int64 { return int64(w.since() / tick) }

// time is now, for which the clock is asked only while no timerfd runs.
func (w *wheel) time() int64 {
	if !w.runs {
		w.now = w.clock() // nothing is armed, so nothing is missed
	}
	return w.now
}

// run starts and stops the timerfd. It fires when a tick begins.
func (w *wheel) run(on bool) {
	var every unix.ItimerSpec
	if on {
		w.time()
		every.Interval = unix.NsecToTimespec(int64(tick))
		every.Value = unix.NsecToTimespec(int64(tick - w.since()%tick))
	}
	if unix.TimerfdSettime(w.fd, 0, &every, nil) == nil {
		w.runs = on
	}
}

func (w *wheel) arm(t *Timer, d time.Duration) {
	w.disarm(t)
	if !w.runs {
		w.run(true)
	}
	// By the clock and not by now, which is older where an event before this one
	// took long: a time-out must not pay for that.
	t.at = max(int64((w.since()+min(d, farthest)+tick-1)/tick), w.now+1)
	h := &w.slots[t.at%wheelSlots]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	w.n++
}

func (w *wheel) disarm(t *Timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	w.n--
}

// advance hands what is due to fire.
func (w *wheel) advance(fire func(*Timer)) {
	var count [8]byte
	_, _ = unix.Read(w.fd, count[:]) // only to make it unreadable
	for to := w.clock(); w.now < to; {
		w.now++
		h := &w.slots[w.now%wheelSlots]
		// What fires may arm and disarm any timer, so the due ones move to a
		// list of their own first, from which disarm can still take them.
		for t := h.next; t != h; {
			next := t.next
			if t.at <= w.now {
				t.prev.next, t.next.prev = t.next, t.prev
				t.prev, t.next = w.due.prev, &w.due
				w.due.prev.next, w.due.prev = t, t
			}
			t = next
		}
		for w.due.next != &w.due {
			t := w.due.next
			w.disarm(t)
			fire(t)
		}
	}
	if w.n == 0 {
		w.run(false)
	}
}
