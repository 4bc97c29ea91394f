package reactor

import (
	"testing"
	"time"
)

// A meter has the bytes that handlers have used, once each, and those that were
// written, of all the connections that it was given to.
func TestMeters(t *testing.T) {
	l := start(t)
	uses := 0
	r := &recorder{data: func(_ *Conn, p []byte) int {
		if len(p) < 10 {
			return 0
		}
		uses++
		return 10
	}}
	conn, peer := l.pair("tcp", r)
	other, otherPeer := l.pair("unix", &recorder{})
	var m Meter
	l.do(func() { conn.MeterBy(&m) })
	for _, part := range []string{"123", "456", "7890abc"} {
		if _, err := peer.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "ten bytes are used", func() bool { return on(l, func() bool { return uses == 1 }) })
	if _, err := otherPeer.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other's are used", func() bool { return on(l, func() bool { return l.rest.Used == 5 }) })
	l.do(func() {
		conn.Write([]byte("hello"))
		other.Write([]byte("hi"))
		conn.Close(nil)
		conn.Write([]byte("to nobody"))
		if m != (Meter{Used: 10, Written: 5}) || l.rest != (Meter{Used: 5, Written: 2}) {
			t.Errorf("the meters show %+v and %+v", m, l.rest)
		}
	})
}

func TestFiguresOfALoop(t *testing.T) {
	const size = 8 << 20
	l := start(t)
	conn, peer := l.pair("unix", &recorder{})
	before := on(l, l.Figures)
	if before.Waiting != 0 || before.Buffers < readFull {
		t.Errorf("at first %+v", before)
	}
	l.do(func() {
		conn.Write(makeNoise(1, size))
		f := l.Figures()
		if f.Waiting != conn.Waiting() || f.Waiting == 0 || f.Buffers < before.Buffers+f.Waiting || f.Buffers > before.Buffers+f.Waiting+2*chunkBytes {
			t.Errorf("while %d bytes wait: %+v, before %+v", conn.Waiting(), f, before)
		}
	})
	if err := checkNoise(peer, 1, size, 64<<10); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing waits", func() bool { return on(l, func() bool { return l.Figures().Waiting == 0 }) })
	l.do(func() {
		f := l.Figures()
		if f.Buffers > before.Buffers+maxFree*chunkBytes || l.free.used != 0 {
			t.Errorf("when all is sent: %+v, before %+v; %d chunks are in use", f, before, l.free.used)
		}
	})
}

// Every so many turns one is timed.
func TestFiguresOfALoopsTime(t *testing.T) {
	l := start(t)
	r := &recorder{data: func(_ *Conn, p []byte) int { time.Sleep(time.Millisecond); return len(p) }}
	_, peer := l.pair("unix", r)
	for i := range uint64(2 * turnTimed) { // one byte a turn
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is used", func() bool { return on(l, func() bool { return l.rest.Used == i+1 }) })
	}
	f := on(l, l.Figures)
	if f.Turns < 2*turnTimed || f.Turns != uint64(l.wakes.Load()) {
		t.Errorf("%d turns of %d events", f.Turns, l.wakes.Load())
	}
	if least := turnTimed * time.Millisecond; f.Busy < least { // one that was timed had a byte
		t.Errorf("busy for %v, want %v at least", f.Busy, least)
	}
}
