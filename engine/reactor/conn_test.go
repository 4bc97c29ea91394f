package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// frames uses whole frames only: a byte that is their length, then that many.
// It answers each with the same in upper case.
func frames(c *Conn, p []byte) (used int) {
	for len(p)-used > 0 && len(p)-used > int(p[used]) {
		frame := p[used : used+1+int(p[used])]
		c.Write(bytes.ToUpper(frame))
		used += len(frame)
	}
	return used
}

func TestFramesAreTheSameAtEverySplit(t *testing.T) {
	stream := []byte("\x05hello\x00\x01a\x0cabcdefghijkl\x03xyz")
	want := strings.ToUpper(string(stream))
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			seen := 0 // by the handler, tail and new bytes
			r := &recorder{data: func(c *Conn, p []byte) int {
				seen = len(p)
				used := frames(c, p)
				seen -= used
				return used
			}}
			conn, peer := l.pair(kind, r)
			for cut := range len(stream) + 1 {
				if cut > 0 {
					mustWrite(t, peer, stream[:cut])
				}
				eventually(t, "the first part is used or kept", func() bool {
					return len(r.used())+on(l, func() int { return seen }) == cut
				})
				if cut < len(stream) {
					mustWrite(t, peer, stream[cut:])
				}
				if got := string(mustRead(t, peer, len(stream))); got != want {
					t.Fatalf("cut at %d: got %q, want %q", cut, got, want)
				}
				eventually(t, "all is used", func() bool { return r.used() == string(stream) })
				l.do(func() {
					if conn.tail != nil || conn.out.n != 0 || conn.out.head != nil {
						t.Errorf("cut at %d: an idle connection holds a tail of %d bytes (%v) and %d to send", cut, len(conn.tail), conn.tail != nil, conn.out.n)
					}
					r.got = r.got[:0]
				})
			}
		})
	}
}

func TestAByteAtATime(t *testing.T) {
	l := start(t)
	r := &recorder{data: frames}
	_, peer := l.pair("tcp", r)
	stream := []byte("\x05hello\x00\x03xyz")
	for i := range stream {
		mustWrite(t, peer, stream[i:i+1])
	}
	if got := string(mustRead(t, peer, len(stream))); got != "\x05HELLO\x00\x03XYZ" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsNotUsedComesAgain(t *testing.T) {
	var again []string
	note := func(used int) func(c *Conn, p []byte) int {
		return func(_ *Conn, p []byte) int {
			again = append(again, string(p))
			return min(used, len(p))
		}
	}
	for _, test := range []struct {
		name string
		data func(c *Conn, p []byte) int
		act  func(c *Conn)
		more string // that the peer sends then
		want []string
	}{
		{"with what arrives next", note(3), func(*Conn) {}, "yz", []string{"abcdefg", "defgyz"}},
		{"at once after a Resume", note(3), func(c *Conn) { c.Pause(); c.Resume() }, "", []string{"abcdefg", "defg"}},
		{"once for two Resumes", note(3), func(c *Conn) { c.Pause(); c.Resume(); c.Pause(); c.Resume() }, "", []string{"abcdefg", "defg"}},
		{"at once after a Resume in the same call", func(c *Conn, p []byte) int {
			if len(again) == 0 {
				c.Pause()
				c.Resume()
			}
			return note(3)(c, p)
		}, func(*Conn) {}, "", []string{"abcdefg", "defg"}},
		{"not after a Resume without a Pause", note(3), func(c *Conn) { c.Resume() }, "", []string{"abcdefg"}},
		{"not while paused", note(3), func(c *Conn) { c.Pause() }, "yz", []string{"abcdefg"}},
		{"not when all was used", note(100), func(c *Conn) { c.Pause(); c.Resume() }, "", []string{"abcdefg"}},
		{"in the order of the stream when more has arrived while paused", note(3), func(c *Conn) { c.Pause() }, "yz", []string{"abcdefg"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			again = nil
			r := &recorder{data: test.data}
			conn, peer := l.pair("unix", r)
			mustWrite(t, peer, []byte("abcdefg"))
			eventually(t, "data", func() bool { return on(l, func() int { return len(again) }) >= 1 })
			l.do(func() { test.act(conn) })
			if test.more != "" {
				mustWrite(t, peer, []byte(test.more))
			}
			eventually(t, fmt.Sprint(test.want), func() bool { return on(l, func() int { return len(again) }) >= len(test.want) })
			for range 20 { // rounds of the loop in which more could come
				l.do(func() {})
			}
			l.do(func() {
				if fmt.Sprint(again) != fmt.Sprint(test.want) {
					t.Errorf("data was %q, want %q", again, test.want)
				}
			})
		})
	}
}

func TestResumeDeliversTheTailAndThenWhatArrivedMeanwhile(t *testing.T) {
	l := start(t)
	paused := false
	r := &recorder{}
	r.data = func(c *Conn, p []byte) int {
		if !paused {
			paused = true
			c.Pause()
			return 2
		}
		return len(p)
	}
	conn, peer := l.pair("tcp", r)
	mustWrite(t, peer, []byte("abcdef"))
	eventually(t, "paused", func() bool { return r.used() == "ab" })
	mustWrite(t, peer, []byte("ghi"))
	l.do(conn.Resume)
	eventually(t, "all comes", func() bool { return len(r.used()) == 9 })
	if got := r.used(); got != "abcdefghi" {
		t.Errorf("used %q", got)
	}
}

func TestPauseInDataHoldsBackWhatHasArrived(t *testing.T) {
	l := start(t)
	r := &recorder{quiet: true}
	calls, paused := 0, false
	r.data = func(c *Conn, p []byte) int {
		if paused {
			t.Error("data while paused")
		}
		calls++
		paused = true
		c.Pause()
		return len(p)
	}
	conn, peer := l.pair("tcp", r)
	go sendNoise(peer, 1, 64<<20) // always more than one read takes
	for want := 1; want <= 10; want++ {
		eventually(t, "data", func() bool { return on(l, func() int { return calls }) == want })
		l.settled()
		l.do(func() { paused = false; conn.Resume() })
	}
}

func TestTailKeepsMemoryInProportion(t *testing.T) {
	l := start(t)
	const large = 300 << 10
	r := &recorder{quiet: true, data: func(_ *Conn, p []byte) int {
		if len(p) < large {
			return 0
		}
		return large
	}}
	conn, peer := l.pair("tcp", r)
	tail := func() [2]int { return on(l, func() [2]int { return [2]int{len(conn.tail), cap(conn.tail)} }) }
	want := makeNoise(1, large)
	mustWrite(t, peer, want[:large-1])
	eventually(t, "a large tail", func() bool { return tail()[0] == large-1 })
	l.do(func() {
		if !bytes.Equal(conn.tail, want[:large-1]) {
			t.Error("the tail is not what was sent")
		}
	})
	mustWrite(t, peer, []byte("+123"))
	eventually(t, "a small tail", func() bool { return tail()[0] == 3 })
	if got := tail(); got[1] != maxTail {
		t.Errorf("a tail of 3 bytes holds %d, want %d", got[1], maxTail)
	}
}

func TestHandlerThatMustNotBeTrusted(t *testing.T) {
	for _, test := range []struct {
		name string
		data func(c *Conn, p []byte) int
		want error
	}{
		{"uses more than there is", func(_ *Conn, p []byte) int { return len(p) + 1 }, ErrPanic},
		{"uses less than nothing", func(*Conn, []byte) int { return -1 }, ErrPanic},
		{"never uses anything", func(*Conn, []byte) int { return 0 }, errTailTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: test.data}
			_, peer := l.pair("tcp", r)
			done := make(chan struct{})
			go func() {
				defer close(done)
				peer.Write(make([]byte, 2*readFull)) // until the reset
			}()
			if err := r.awaitClosed(t); !errors.Is(err, test.want) {
				t.Errorf("closed with %v, want %v", err, test.want)
			}
			<-done
		})
	}
}

func TestWriteThatTheKernelTakesInPartArrivesWhole(t *testing.T) {
	const size = 5 << 20
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			conn, peer := l.pair(kind, r)
			p := makeNoise(7, size)
			l.do(func() {
				conn.Write(p[:size/2])
				conn.Write(nil)
				conn.Write(p[size/2:])
				clear(p) // it was only borrowed
				if conn.Waiting() == 0 || conn.Waiting() > size {
					t.Errorf("%d bytes wait of %d that nobody reads", conn.Waiting(), size)
				}
			})
			if err := checkNoise(peer, 7, size, 10_000); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the queue is empty", func() bool {
				return on(l, func() bool { return conn.Waiting() == 0 && conn.out.head == nil && conn.watch == watchRead })
			})
		})
	}
}

func TestHandlerIsNotEnteredFromWithinItself(t *testing.T) {
	l := start(t)
	depth := 0
	enter := func() func() {
		if depth++; depth != 1 {
			t.Errorf("entered at depth %d", depth)
		}
		return func() { depth-- }
	}
	r := &recorder{
		data: func(c *Conn, p []byte) int {
			defer enter()()
			c.Write(makeNoise(1, 4<<20)) // more than the kernel takes
			c.Pause()
			c.Resume()
			if len(p) > 3 {
				return 3
			}
			c.Close(nil)
			c.Close(nil)
			c.Write(p)
			return len(p)
		},
		closed: func(*Conn, error) { defer enter()() },
	}
	_, peer := l.pair("unix", r)
	mustWrite(t, peer, []byte("abcdef"))
	mustWrite(t, peer, []byte("g"))
	if err := r.awaitClosed(t); err != nil {
		t.Error(err)
	}
}
