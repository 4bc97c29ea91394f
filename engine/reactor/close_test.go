package reactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCloseAfterFlushSendsAllAndThenFIN(t *testing.T) {
	const size = 5 << 20
	for _, kind := range kinds {
		for _, linger := range []bool{true, false} {
			for _, paused := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s linger=%v paused=%v", kind, linger, paused), func(t *testing.T) {
					l := start(t)
					r := &recorder{}
					conn, peer := l.pair(kind, r)
					l.do(func() {
						if paused {
							conn.Pause()
						}
						conn.Write(makeNoise(4, size))
						conn.CloseAfterFlush(patience, linger)
						conn.CloseAfterFlush(patience, linger) // drops nothing
						conn.Write([]byte("too late"))
						if conn.Open() {
							t.Error("it says that it can be written to")
						}
					})
					if err := checkNoise(peer, 4, size, 50_000); err != nil {
						t.Fatal(err)
					}
					atEnd(t, peer)
					peer.Close()
					if err := r.awaitClosed(t); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func TestLingerKeepsTheLastBytesFromAReset(t *testing.T) {
	// The peer goes on sending for a while before it reads the answer.
	for _, kind := range kinds {
		for _, test := range []struct {
			name   string
			answer int // bytes
			more   int // bytes that the peer sends first
		}{
			{"a short answer", 100, 4 << 20},
			{"an answer that the kernel does not take at once", 12 << 20, 16 << 20},
		} {
			t.Run(kind+" "+test.name, func(t *testing.T) {
				l := start(t)
				l.clock() // it stands: the linger does not end before the peer's close
				r := &recorder{}
				r.data = func(c *Conn, p []byte) int {
					c.Write(makeNoise(6, test.answer))
					c.CloseAfterFlush(patience, true)
					return 0 // unused, and not wanted any more
				}
				conn, peer := l.pair(kind, r)
				if err := sendNoise(peer, 1, test.more); err != nil {
					t.Fatal(err)
				}
				if err := checkNoise(peer, 6, test.answer, 10_000); err != nil {
					t.Fatal(err)
				}
				atEnd(t, peer)
				l.do(func() {
					if conn.state == stateDead || conn.tail != nil {
						t.Error("it does not wait for the peer to close, or holds a tail")
					}
				})
				mustWrite(t, peer, []byte("still here"))
				peer.Close()
				if err := r.awaitClosed(t); err != nil || r.history() != "data closed" {
					t.Errorf("told %q with %v", r.history(), err)
				}
			})
		}
	}
}

func TestCloseAfterFlushForgetsTheTail(t *testing.T) {
	l := start(t)
	conn, peer := l.pair("tcp", &recorder{data: func(*Conn, []byte) int { return 0 }})
	mustWrite(t, peer, []byte("abc"))
	eventually(t, "a tail", func() bool { return on(l, func() int { return len(conn.tail) }) == 3 })
	l.do(func() {
		conn.Write(make([]byte, 16<<20)) // that the peer does not take
		conn.CloseAfterFlush(patience, true)
		if conn.tail != nil {
			t.Error("it holds what nobody will use")
		}
	})
}

// clock has l's timers go by a clock that only the test moves. To move it,
// call the result with how far.
func (l *testLoop) clock() (forward func(time.Duration)) {
	var now time.Duration
	l.do(func() {
		now = l.wheel.since()
		l.wheel.since = func() time.Duration { return now }
	})
	return func(d time.Duration) {
		l.t.Helper()
		l.do(func() {
			now += d
			if l.wheel.runs { // as the timerfd does
				l.ticked()
			}
		})
	}
}

func TestLingerEndsByTheClock(t *testing.T) {
	l := start(t)
	forward := l.clock()
	r := &recorder{}
	conn, peer := l.pair("tcp", r)
	l.do(func() { conn.Write([]byte("bye")); conn.CloseAfterFlush(patience, true) })
	mustRead(t, peer, 3)
	atEnd(t, peer)
	forward(lingerTime - tick)
	l.settled()
	if r.isClosed() {
		t.Error("closed too early")
	}
	forward(2 * tick)
	if err := r.awaitClosed(t); err != nil {
		t.Error(err)
	}
}

func TestFlushDeadline(t *testing.T) {
	const within = time.Second
	// The kernel may still take some of its own accord, which counts as taken.
	endsWhenStalled := func(t *testing.T, l *testLoop, forward func(time.Duration), conn *Conn, r *recorder) {
		t.Helper()
		for !r.isClosed() { // in steps, as the timerfd does
			if d := on(l, conn.Stalled); d > within+2*tick {
				t.Fatalf("still open when nothing was taken for %v", d)
			}
			forward(tick)
			l.settled()
		}
		if err := r.awaitClosed(t); !errors.Is(err, ErrTimeout) {
			t.Errorf("closed with %v, want ErrTimeout", err)
		}
	}
	for _, kind := range kinds {
		t.Run(kind+" ends a peer that takes nothing", func(t *testing.T) {
			l := start(t)
			forward := l.clock()
			r := &recorder{}
			conn, _ := l.pair(kind, r)
			l.do(func() { conn.Write(makeNoise(1, 16<<20)); conn.CloseAfterFlush(within, true) })
			forward(within - tick)
			l.settled()
			if r.isClosed() {
				t.Error("closed too early")
			}
			endsWhenStalled(t, l, forward, conn, r)
		})
		t.Run(kind+" waits for one that takes a little now and then", func(t *testing.T) {
			l := start(t)
			forward := l.clock()
			r := &recorder{}
			conn, peer := l.pair(kind, r)
			l.do(func() { conn.Write(makeNoise(1, 16<<20)); conn.CloseAfterFlush(within, true) })
			for range 5 {
				forward(within * 3 / 4)
				waits := on(l, conn.Waiting)
				for on(l, conn.Waiting) == waits && !r.isClosed() {
					mustRead(t, peer, 64<<10)
				}
				if r.isClosed() {
					t.Fatal("closed although it takes")
				}
			}
			endsWhenStalled(t, l, forward, conn, r)
		})
	}
}

func TestStalled(t *testing.T) {
	l := start(t)
	forward := l.clock()
	conn, peer := l.pair("unix", &recorder{})
	forward(time.Hour) // with no timer armed
	stalled := func() time.Duration { return on(l, conn.Stalled) }
	if d := stalled(); d != 0 {
		t.Errorf("stalled for %v with nothing to send", d)
	}
	l.do(func() { conn.Write(make([]byte, 4<<20)) })
	if d := stalled(); d != 0 {
		t.Errorf("stalled for %v at the start", d)
	}
	forward(3 * time.Second)
	if d := stalled(); d != 3*time.Second {
		t.Errorf("stalled for %v, want 3s", d)
	}
	waits := on(l, conn.Waiting)
	mustRead(t, peer, 2<<20)
	eventually(t, "some is sent", func() bool { return on(l, conn.Waiting) < waits })
	if d := stalled(); d != 0 {
		t.Errorf("stalled for %v when some was just taken", d)
	}
}

func TestCloseDropsWhatWaits(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			mine := errors.New("mine")
			r := &recorder{}
			conn, peer := l.pair(kind, r)
			l.do(func() {
				conn.Write(make([]byte, 16<<20))
				conn.Close(mine)
				conn.Close(errors.New("not the first"))
				conn.Write([]byte("x"))
				conn.CloseAfterFlush(time.Second, true)
				conn.Pause()
				conn.Resume()
			})
			n, _ := io.Copy(io.Discard, peer)
			if n >= 16<<20 {
				t.Error("nothing was dropped")
			}
			if err := r.awaitClosed(t); err != mine {
				t.Errorf("closed with %v, want what Close was told first", err)
			}
			l.do(func() {
				if conn.out.head != nil || conn.tail != nil || conn.fd != -1 || slices.Contains(l.conns, conn) {
					t.Error("a closed connection holds something, or is held")
				}
			})
		})
	}
}

func TestClosedConnectionDoesNotReachWhoGotItsDescriptor(t *testing.T) {
	l := start(t)
	r := &recorder{}
	conn, _ := l.pair("tcp", r)
	fd := on(l, func() int { return conn.fd })
	l.do(func() { conn.Close(nil) })
	r.awaitClosed(t)
	var others [][2]int
	taken := false
	for range 20 {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
		others = append(others, p)
		taken = taken || p[0] == fd || p[1] == fd
	}
	if !taken {
		t.Fatalf("nobody got descriptor %d again: the test shows nothing", fd)
	}
	l.do(func() {
		conn.Write([]byte("secret"))
		conn.Resume()
		conn.CloseAfterFlush(0, true)
		conn.Close(nil)
	})
	l.settled()
	for _, p := range others {
		for _, fd := range p {
			if n, err := unix.Read(fd, make([]byte, 10)); err != unix.EAGAIN {
				t.Errorf("descriptor %d: read %d bytes, %v", fd, n, err)
			}
		}
	}
}

func TestEventsOfTheBatchThatClosesAConnectionDoNotReachIt(t *testing.T) {
	l := start(t)
	var conns [2]*Conn
	handler := func(other int) *recorder {
		return &recorder{data: func(_ *Conn, p []byte) int {
			conns[other].Close(nil)
			return len(p)
		}}
	}
	rs := [2]*recorder{handler(1), handler(0)}
	var peers [2]net.Conn
	for i := range conns {
		conns[i], peers[i] = l.pair("unix", rs[i])
	}
	l.do(func() { // both become readable before the poller is asked
		mustWrite(t, peers[0], []byte("x"))
		mustWrite(t, peers[1], []byte("x"))
	})
	eventually(t, "one is closed", func() bool { return rs[0].isClosed() != rs[1].isClosed() })
	l.settled()
	if a, b := rs[0].history(), rs[1].history(); a+b != "dataclosed" && a+b != "closeddata" {
		t.Errorf("one was told %q and the other %q, want data and closed", a, b)
	}
}

// TestPanicCostsOnlyItsConnection panics in each method.
func TestPanicCostsOnlyItsConnection(t *testing.T) {
	boom := func(*Conn) { panic("boom") }
	for _, test := range []struct {
		name string
		r    *recorder
		act  func(t *testing.T, l *testLoop, c *Conn, peer net.Conn)
		told string
	}{
		{"Data", &recorder{data: func(c *Conn, p []byte) int { boom(c); return 0 }},
			func(t *testing.T, _ *testLoop, _ *Conn, peer net.Conn) { mustWrite(t, peer, []byte("x")) }, "data closed"},
		{"Data of a Resume", &recorder{data: func(c *Conn, p []byte) int {
			if p[0] == 'y' {
				boom(c)
			}
			c.Pause()
			return 1
		}}, func(t *testing.T, l *testLoop, c *Conn, peer net.Conn) {
			mustWrite(t, peer, []byte("xy"))
			eventually(t, "paused", func() bool { return on(l, func() bool { return len(c.tail) == 1 }) })
			l.do(c.Resume)
		}, "data closed"},
		{"EOF", &recorder{eof: boom},
			func(t *testing.T, _ *testLoop, _ *Conn, peer net.Conn) { closeWrite(t, peer) }, "eof closed"},
		{"HungUp", &recorder{hungUp: boom},
			func(t *testing.T, l *testLoop, c *Conn, peer net.Conn) { l.do(c.Pause); reset(t, peer) }, "hungup closed"},
		{"Closed", &recorder{closed: func(*Conn, error) { panic("boom") }},
			func(t *testing.T, l *testLoop, c *Conn, _ net.Conn) { l.do(func() { c.Close(ErrPanic) }) }, "closed"},
		{"Expired", &recorder{}, func(t *testing.T, l *testLoop, c *Conn, _ net.Conn) {
			l.do(func() { l.Arm(&Timer{Owner: expirer(func(*Timer) { panic("boom") }), Conn: c}, 0) })
		}, "closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			bystander := &recorder{data: echo}
			_, other := l.pair("tcp", bystander)
			conn, peer := l.pair("tcp", test.r)
			test.act(t, l, conn, peer)
			if err := test.r.awaitClosed(t); !errors.Is(err, ErrPanic) {
				t.Errorf("closed with %v, want ErrPanic", err)
			}
			if got := test.r.history(); got != test.told {
				t.Errorf("told %q, want %q", got, test.told)
			}
			eventually(t, "its load is given back", func() bool { return l.Load() == 1 })
			mustWrite(t, other, []byte("well?"))
			if got := string(mustRead(t, other, 5)); got != "well?" || strings.Contains(bystander.history(), "closed") {
				t.Errorf("the other connection says %q and was told %q", got, bystander.history())
			}
		})
	}
}

func TestPanicInAPostedFunctionCostsNobody(t *testing.T) {
	l := start(t)
	r := &recorder{data: echo}
	_, peer := l.pair("unix", r)
	l.Post(func() { panic("boom") })
	l.do(func() { l.Arm(&Timer{Owner: expirer(func(*Timer) { panic("boom") })}, 0) })
	eventually(t, "the timer has fired", func() bool { return on(l, func() bool { return l.wheel.n == 0 }) })
	mustWrite(t, peer, []byte("x"))
	mustRead(t, peer, 1)
	if r.isClosed() {
		t.Error("closed")
	}
}

type expirer func(*Timer)

func (e expirer) Expired(t *Timer) { e(t) }
