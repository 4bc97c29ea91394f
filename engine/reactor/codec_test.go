package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestExpansionIsDeliveredInPieces(t *testing.T) {
	// 120 bytes of the peer mean 24 MB. The slow reader holds them up, and the
	// others of the loop have their turns.
	const runs, each = 24, 1 << 20
	for _, u := range uppers[4:] {
		for _, slow := range []bool{true, false} {
			t.Run(fmt.Sprint(u.name, " slow=", slow), func(t *testing.T) {
				l := start(t)
				a, b, client, server := l.linkedPair("unix")
				l.do(func() { u.on(t, b) })
				server = u.far(server)
				_, other := l.pair("unix", &recorder{data: echo})
				most := 0
				l.do(func() { l.after = func() { most = max(most, a.Waiting()) } })
				mustWrite(t, server, []byte("!"))
				mustRead(t, client, 1)
				var stream []byte
				for i := range runs {
					stream = appendRun(stream, byte(i), each)
				}
				mustWrite(t, server.(*codecConn).Conn, stream)
				if slow {
					eventually(t, "paused", func() bool { return on(l, func() bool { return b.paused&pausedByPeer != 0 }) })
				}
				for range 20 {
					mustWrite(t, other, []byte("x"))
					mustRead(t, other, 1)
				}
				for i, want := 0, make([]byte, each); i < runs; i++ {
					repeat(want, byte(i))
					if !bytes.Equal(mustRead(t, client, each), want) {
						t.Fatalf("run %d is damaged", i)
					}
				}
				l.do(func() {
					l.after = nil
					if most > highMark+layeredFull {
						t.Errorf("up to %d bytes waited", most)
					}
				})
			})
		}
	}
}

func TestExpansionLeavesTurnsToOthers(t *testing.T) {
	// 50 MB come out of one read; another connection's byte is answered long
	// before the end, whether nothing holds the handler up or it is paused and
	// resumed again and again within one event.
	const runs, each = 50, 1 << 20
	for _, pauses := range []bool{false, true} {
		t.Run(fmt.Sprint("pauses=", pauses), func(t *testing.T) {
			l := start(t)
			got, at := 0, -1
			var c, helper *Conn
			r := &recorder{quiet: true, data: func(_ *Conn, p []byte) int {
				got += len(p)
				if pauses {
					c.Pause()
					helper.Pause()
					helper.Resume() // so that its Data is called in this event
				}
				return len(p)
			}}
			c, peer := l.pair("unix", r)
			helper, poke := l.pair("unix", &recorder{quiet: true, data: func(*Conn, []byte) int {
				c.Resume()
				return 0
			}})
			mustWrite(t, poke, []byte("x"))
			eventually(t, "a tail", func() bool { return on(l, func() bool { return helper.tail != nil }) })
			_, other := l.pair("unix", &recorder{data: func(_ *Conn, p []byte) int {
				at = got
				return len(p)
			}})
			var stream []byte
			for i := range runs {
				stream = appendRun(stream, byte(i), each)
			}
			l.do(func() { // both become readable before the poller is asked
				c.SetCodec(&frameCodec{})
				mustWrite(t, peer, stream)
				mustWrite(t, other, []byte("x"))
			})
			eventually(t, "all is delivered", func() bool { return on(l, func() int { return got }) == runs*each })
			if at := on(l, func() int { return at }); at < 0 || at > 3*turnBytes {
				t.Errorf("the other had its turn after %d bytes", at)
			}
		})
	}
}

func TestCodecAtOnceAndLater(t *testing.T) {
	// What Data leaves unused is encoded, and a tail of an earlier Data too.
	for i := range 4 {
		later, secure := i%2 == 1, i > 1
		t.Run(fmt.Sprint("later=", later, " TLS=", secure), func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			r.data = func(c *Conn, p []byte) int {
				if len(r.used()) == 0 {
					if !later {
						c.SetCodec(&frameCodec{})
						c.Pause()
						c.Resume() // brings nothing as it is
					}
					return 1
				}
				return len(p)
			}
			c, peer := l.pair("unix", r)
			if secure {
				l.do(func() { uppers[2].on(t, c) })
				peer = uppers[2].far(peer)
			}
			frame := appendFrame(nil, []byte("abc"))
			mustWrite(t, peer, append([]byte("!"), frame[:6]...))
			if later {
				eventually(t, "a tail", func() bool { return on(l, func() int { return len(c.tail) }) == 6 })
				l.do(func() { c.Pause(); c.Resume(); c.SetCodec(&frameCodec{}) })
			}
			mustWrite(t, peer, frame[6:])
			eventually(t, "all", func() bool { return r.used() == "!abc" })
		})
	}
}

type badCodec struct {
	frameCodec
	decode func(dst, src []byte) (int, int, error)
}

func (b *badCodec) Decode(dst, src []byte) (int, int, error) { return b.decode(dst, src) }

func TestFaultsOfCodecsAndHandlers(t *testing.T) {
	mine := errors.New("mine")
	codec := func(decode func(dst, src []byte) (int, int, error)) func(*Conn) {
		return func(c *Conn) { c.SetCodec(&badCodec{decode: decode}) }
	}
	for _, test := range []struct {
		name string
		act  func(*Conn)
		want error
		used string
	}{
		{"an error after some bytes", codec(func(dst, src []byte) (int, int, error) {
			if len(src) == 0 {
				return 0, 0, nil
			}
			return copy(dst, "ok"), len(src), mine
		}), mine, "ok"},
		{"neither takes nor fills", codec(func(dst, src []byte) (int, int, error) { return 0, 0, nil }), errStuck, ""},
		{"takes too much", codec(func(dst, src []byte) (int, int, error) { return 0, len(src) + 1, nil }), errBounds, ""},
		{"fills too much", codec(func(dst, src []byte) (int, int, error) { return len(dst) + 1, 0, nil }), errBounds, ""},
		{"fills less than nothing", codec(func(dst, src []byte) (int, int, error) { return -1, 0, nil }), errBounds, ""},
		{"panics", codec(func(dst, src []byte) (int, int, error) { panic("boom") }), ErrPanic, ""},
		{"two codecs", func(c *Conn) { c.SetCodec(&frameCodec{}); c.SetCodec(&frameCodec{}) }, errOrder, ""},
		{"TLS over a codec", func(c *Conn) { c.SetCodec(&frameCodec{}); c.StartTLS(serverConfig(), true, nil) }, errOrder, ""},
		{"TLS over TLS", func(c *Conn) {
			c.StartTLS(serverConfig(), true, nil)
			c.StartTLS(serverConfig(), true, nil)
		}, errOrder, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			c, peer := l.pair("tcp", r)
			_, other := l.pair("tcp", &recorder{data: echo})
			l.do(func() { test.act(c) })
			_, _ = peer.Write([]byte("x")) // it may be closed
			if err := r.awaitClosed(t); !errors.Is(err, test.want) || r.used() != test.used {
				t.Errorf("closed with %v after %q, want %v after %q", err, r.used(), test.want, test.used)
			}
			mustWrite(t, other, []byte("x"))
			mustRead(t, other, 1)
		})
	}
}

func TestNothingIsReadBeforeWhatWasReadIsDelivered(t *testing.T) {
	// 600 KB mean 120 MB, which take many turns: what waits for the codec is one
	// read at most. When the connection is closed all of it is given back.
	const runs, each = 120_000, 1000
	l := start(t)
	got, most := 0, 0
	r := &recorder{quiet: true, data: func(c *Conn, p []byte) int {
		if got += len(p); got >= runs*each/2 && c.up.raw.len() > 0 {
			c.Pause()
		}
		return len(p)
	}}
	c, peer := l.pair("unix", r)
	l.do(func() {
		c.SetCodec(&frameCodec{})
		l.after = func() { most = max(most, c.up.raw.len()) }
	})
	var stream []byte
	for range runs {
		stream = appendRun(stream, 'x', each)
	}
	go peer.Write(stream) // fails when c is closed
	eventually(t, "paused", func() bool { return on(l, func() bool { return c.paused != 0 }) })
	l.do(func() {
		if most == 0 || most > layeredFull {
			t.Errorf("up to %d bytes waited for the codec, want at most %d", most, layeredFull)
		}
		if c.up.raw.len() == 0 {
			t.Error("what waited is not kept")
		}
		c.Close(nil)
	})
	r.awaitClosed(t)
	if n := on(l, func() int { return c.up.raw.len() }); n != 0 {
		t.Errorf("a closed connection holds %d bytes", n)
	}
}
