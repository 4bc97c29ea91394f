package reactor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// testWheel is a wheel whose clock the test moves.
type testWheel struct {
	*wheel
	age   time.Duration
	fired []string
}

func newTestWheel(t *testing.T) *testWheel {
	t.Helper()
	leaks(t)
	w := &testWheel{wheel: new(wheel)}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	w.since = func() time.Duration { return w.age }
	return w
}

// timer fires by adding its name to w.fired and calling then, which may be nil.
func (w *testWheel) timer(name string, then func()) *Timer {
	return &Timer{Owner: expirer(func(*Timer) {
		w.fired = append(w.fired, name)
		if then != nil {
			then()
		}
	})}
}

// step moves the clock and has the wheel notice.
func (w *testWheel) step(d time.Duration) {
	w.age += d
	w.advance(func(t *Timer) { t.Owner.Expired(t) })
}

func TestTimersFireInTheOrderOfTheirTimes(t *testing.T) {
	w := newTestWheel(t)
	for _, d := range []int{5, 1, 3, 600, 2, 4, 1100, 88} { // 600 and 88 share a slot, in different turns
		w.arm(w.timer(fmt.Sprint(d), nil), time.Duration(d)*tick)
	}
	for range 1200 {
		w.step(tick)
	}
	if got, want := fmt.Sprint(w.fired), "[1 2 3 4 5 88 600 1100]"; got != want {
		t.Errorf("fired %v, want %v", got, want)
	}
}

func TestTimerFiresNeverEarlyAndWithinATick(t *testing.T) {
	w := newTestWheel(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		// The clock moves a little within a tick, in which nobody tells the wheel.
		w.age += time.Duration(rnd.Int64N(int64(tick) - int64(w.age%tick)))
		armed, d := w.age, time.Duration(rnd.Int64N(int64(70*time.Second)))
		w.arm(w.timer("x", nil), d)
		for w.fired = nil; w.fired == nil; {
			w.step(tick - w.age%tick)
		}
		if took := w.age - armed; took < d || took > d+tick {
			t.Fatalf("a timer of %v fired after %v", d, took)
		}
	}
}

func TestTimerArmedBehindALongEventIsNotEarly(t *testing.T) {
	// Something kept the loop for 5 s; before the wheel hears of it a connect
	// gets its time-out of 3 s.
	w := newTestWheel(t)
	w.arm(w.timer("other", nil), time.Hour)
	w.age += 5 * time.Second
	w.arm(w.timer("connect", nil), 3*time.Second)
	w.step(0)
	w.step(3*time.Second - tick)
	if len(w.fired) != 0 {
		t.Errorf("fired %v too early", w.fired)
	}
	w.step(2 * tick)
	if fmt.Sprint(w.fired) != "[connect]" {
		t.Errorf("fired %v", w.fired)
	}
}

func TestTimersThatAFiringTimerChanges(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(w *testWheel, self, other *Timer)
		want string // fired in the ten ticks that follow
	}{
		{"arms itself again", func(w *testWheel, self, _ *Timer) {
			if len(w.fired) < 4 {
				w.arm(self, tick)
			}
		}, "[self other self self]"},
		{"arms itself for now", func(w *testWheel, self, _ *Timer) {
			if len(w.fired) < 4 {
				w.arm(self, 0)
			}
		}, "[self other self self]"},
		{"disarms one that is due with it", func(w *testWheel, _, other *Timer) { w.disarm(other) }, "[self]"},
		{"moves one that is due with it", func(w *testWheel, _, other *Timer) { w.arm(other, 3*tick) }, "[self other]"},
		{"disarms itself", func(w *testWheel, self, _ *Timer) { w.disarm(self) }, "[self other]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTestWheel(t)
			var self, other *Timer
			self = w.timer("self", func() { test.then(w, self, other) })
			other = w.timer("other", nil)
			w.arm(self, tick)
			w.arm(other, tick)
			for range 10 {
				w.step(tick)
			}
			if got := fmt.Sprint(w.fired); got != test.want {
				t.Errorf("fired %v, want %v", got, test.want)
			}
			if w.n != 0 || self.Armed() || other.Armed() || w.runs {
				t.Errorf("%d timers are left, the timerfd runs: %v", w.n, w.runs)
			}
		})
	}
}

func TestArmAgainAndDisarm(t *testing.T) {
	w := newTestWheel(t)
	a, b := w.timer("a", nil), w.timer("b", nil)
	w.arm(a, tick)
	w.arm(a, 5*tick)
	w.arm(b, tick)
	w.disarm(b)
	w.disarm(b)
	if !a.Armed() || b.Armed() || w.n != 1 {
		t.Errorf("armed are %v and %v, %d in all", a.Armed(), b.Armed(), w.n)
	}
	for range 10 {
		w.step(tick)
	}
	if fmt.Sprint(w.fired) != "[a]" {
		t.Errorf("fired %v", w.fired)
	}
}

func TestTimesBeyondAllMeasure(t *testing.T) {
	w := newTestWheel(t)
	w.age = 1000 * time.Hour
	w.arm(w.timer("never", nil), 1<<63-1)
	w.arm(w.timer("at once", nil), -1<<63)
	for range 2 * wheelSlots {
		w.step(tick)
	}
	if fmt.Sprint(w.fired) != "[at once]" || w.n != 1 {
		t.Errorf("fired %v, %d left", w.fired, w.n)
	}
}

func TestALeapOfTheClockFiresAllThatIsDueInOrder(t *testing.T) {
	w := newTestWheel(t)
	var want []string
	for i := range 2000 {
		d := (i*7919)%2000 + 1
		w.arm(w.timer(fmt.Sprintf("%04d", d), nil), time.Duration(d)*tick)
		want = append(want, fmt.Sprintf("%04d", d))
	}
	slices.Sort(want)
	w.step(2001 * tick)
	if !slices.Equal(w.fired, want) {
		t.Error("not all fired, or not in order")
	}
}

func TestTimerfdRunsOnlyWhileTimersAreArmed(t *testing.T) {
	l := start(t)
	quiet := func() {
		t.Helper()
		eventually(t, "the timerfd stands", func() bool { return !on(l, func() bool { return l.wheel.runs }) })
		before := l.wakes.Load()
		start := time.Now()
		eventually(t, "some ticks to pass", func() bool { return time.Since(start) > 3*tick })
		if n := l.wakes.Load() - before; n != 0 {
			t.Errorf("%d events with no timer armed", n)
		}
	}
	quiet()
	fired := make(chan struct{})
	l.do(func() { l.Arm(&Timer{Owner: expirer(func(*Timer) { close(fired) })}, 2*tick) })
	<-fired
	quiet()
	l.do(func() {
		var x Timer
		x.Owner = expirer(func(*Timer) { t.Error("a disarmed timer fired") })
		l.Arm(&x, tick)
		l.Disarm(&x)
	})
	quiet()
}

func TestNowDoesNotStandWhenNoTimerIsArmed(t *testing.T) {
	l := start(t)
	forward := l.clock()
	before := on(l, l.Now)
	forward(time.Minute)
	if d := on(l, l.Now) - before; d != time.Minute {
		t.Errorf("a minute took %v by the loop's clock", d)
	}
}
