package reactor

import (
	"testing"
	"time"
)

// A connection's bytes are those that its handler has used, once each, and those
// that were written; they can be asked for until it is told that this was the end.
func TestFiguresOfAConnection(t *testing.T) {
	l := start(t)
	uses := 0
	var atEnd [2]uint64
	r := &recorder{
		data: func(_ *Conn, p []byte) int {
			if len(p) < 10 {
				return 0
			}
			uses++
			return 10
		},
		closed: func(c *Conn, _ error) { atEnd[0], atEnd[1] = c.Bytes() },
	}
	conn, peer := l.pair("tcp", r)
	for _, part := range []string{"123", "456", "7890abc"} {
		if _, err := peer.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "ten bytes are used", func() bool { return on(l, func() bool { return uses == 1 }) })
	l.do(func() {
		conn.Write([]byte("hello"))
		if used, written := conn.Bytes(); used != 10 || written != 5 {
			t.Errorf("%d bytes used and %d written, want 10 and 5", used, written)
		}
		conn.Close(nil)
		conn.Write([]byte("to nobody"))
		n := 0
		l.Conns(func(c *Conn) {
			if n++; c != conn || c.Handler() != Handler(r) {
				t.Error("another connection, or handler")
			}
		})
		if n != 1 || l.Figures().Conns != 1 {
			t.Errorf("%d connections before the end was told, %d counted, want 1", n, l.Figures().Conns)
		}
	})
	eventually(t, "the end", func() bool { return on(l, func() bool { return l.Figures().Conns == 0 }) })
	if want := [2]uint64{10, 5}; atEnd != want {
		t.Errorf("in the end %v, want %v", atEnd, want)
	}
}

func TestFiguresOfALoop(t *testing.T) {
	const size = 8 << 20
	l := start(t)
	conn, peer := l.pair("unix", &recorder{})
	before := on(l, l.Figures)
	if before.Conns != 1 || before.Waiting != 0 || before.Buffers < readFull {
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
	conn, peer := l.pair("unix", r)
	for i := range uint64(2 * turnTimed) { // one byte a turn
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is used", func() bool { return on(l, func() bool { used, _ := conn.Bytes(); return used == i+1 }) })
	}
	f := on(l, l.Figures)
	if f.Turns < 2*turnTimed || f.Turns != uint64(l.wakes.Load()) {
		t.Errorf("%d turns of %d events", f.Turns, l.wakes.Load())
	}
	if least := turnTimed * time.Millisecond; f.Busy < least { // one that was timed had a byte
		t.Errorf("busy for %v, want %v at least", f.Busy, least)
	}
}
