package reactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// tick is how fine timers are. A timer fires up to one tick late, never early.
const tick = 100 * time.Millisecond

const wheelSlots = 512 // a turn takes 51 s; a later timer waits more than one turn

// Expirer is told when a timer of its fires, on the timer's loop.
type Expirer interface{ Expired(t *Timer) }

// Timer calls its owner once, some time after it was armed. It lies in its
// owner, so arming allocates nothing. It belongs to one loop.
type Timer struct {
	Owner      Expirer
	next, prev *Timer // in its slot, or nil
	at         int64  // tick at which it is due
}

// Armed tells whether the timer will fire.
func (t *Timer) Armed() bool { return t.next != nil }

// wheel holds the timers of one loop, driven by a timerfd that runs only while
// there are any: a proxy without connections never wakes.
type wheel struct {
	slots [wheelSlots]Timer // list heads
	now   int64             // the tick up to which all is done
	n     int               // armed timers
	fd    int               // the timerfd
	runs  bool
	epoch time.Time
}

func (w *wheel) open() error {
	for i := range w.slots {
		h := &w.slots[i]
		h.next, h.prev = h, h
	}
	w.epoch = time.Now()
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	w.fd = fd
	return err
}

func (w *wheel) clock() int64 { return int64(time.Since(w.epoch) / tick) }

// run starts and stops the timerfd.
func (w *wheel) run(on bool) {
	var every unix.ItimerSpec
	if on {
		ts := unix.NsecToTimespec(int64(tick))
		every = unix.ItimerSpec{Interval: ts, Value: ts}
		w.now = w.clock() // nothing was armed, so nothing was missed
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
	// Rounded up, and one more for the tick that is partly over.
	t.at = w.now + int64((d+tick-1)/tick) + 1
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
		var due Timer
		due.next, due.prev = &due, &due
		for t := h.next; t != h; {
			next := t.next
			if t.at <= w.now {
				t.prev.next, t.next.prev = t.next, t.prev
				t.prev, t.next = due.prev, &due
				due.prev.next, due.prev = t, t
			}
			t = next
		}
		for due.next != &due {
			t := due.next
			w.disarm(t)
			fire(t)
		}
	}
	if w.n == 0 {
		w.run(false)
	}
}
