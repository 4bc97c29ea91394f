package reactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSlowReaderGetsEveryByteAndCostsBoundedMemory(t *testing.T) {
	const size = 64 << 20
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			a, b, client, server := l.linkedPair(kind)
			most, pauses, was := 0, 0, false
			l.do(func() {
				l.after = func() {
					most = max(most, a.out.n)
					paused := b.paused&pausedByPeer != 0
					if paused != was {
						pauses++
					}
					if was && !paused && a.out.n > lowMark {
						t.Errorf("reading resumes while %d bytes wait", a.out.n)
					}
					was = paused
					if !paused && a.out.n > highMark {
						t.Errorf("%d bytes wait and more is read", a.out.n)
					}
					if paused && a.out.n <= lowMark {
						t.Errorf("only %d bytes wait and nothing is read", a.out.n)
					}
				}
			})
			sent := make(chan error, 1)
			go func() { sent <- sendNoise(server, 3, size) }()
			eventually(t, "the source is paused", func() bool { return on(l, func() bool { return was }) })
			if err := checkNoise(client, 3, size, 30_000); err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			l.do(func() {
				l.after = nil
				if limit := max(highMark+readFirst, readFull); most > limit {
					t.Errorf("up to %d bytes waited, want at most %d", most, limit)
				}
				if most <= highMark || pauses == 0 {
					t.Errorf("at most %d bytes waited and there were %d pauses: the marks were not put to the test", most, pauses)
				}
			})
			eventually(t, "the end is idle", func() bool {
				return on(l, func() bool { return a.out.head == nil && b.paused == 0 && b.watch == watchRead })
			})
		})
	}
}

// settled lets the loop take turns, and returns how many events it has had.
func (l *testLoop) settled() int64 {
	for range 20 {
		l.do(func() {})
	}
	return l.wakes.Load()
}

func TestPausedConnectionDoesNotSpin(t *testing.T) {
	for _, kind := range kinds {
		for _, test := range []struct {
			name string
			act  func(t *testing.T, c *Conn, peer net.Conn) // paused already
			most int64                                      // events that this may cost
		}{
			{"with unread bytes", func(t *testing.T, _ *Conn, peer net.Conn) {
				for range 50 {
					mustWrite(t, peer, []byte("x"))
				}
			}, 60},
			{"after the peer's FIN", func(t *testing.T, _ *Conn, peer net.Conn) {
				mustWrite(t, peer, []byte("x"))
				closeWrite(t, peer)
			}, 10},
			{"after the peer's end", func(t *testing.T, _ *Conn, peer net.Conn) {
				mustWrite(t, peer, []byte("x"))
				reset(t, peer)
			}, 10},
			{"with bytes to send that nobody takes", func(t *testing.T, c *Conn, peer net.Conn) {
				c.loop.Post(func() { c.Write(makeNoise(1, 8<<20)) })
				mustWrite(t, peer, []byte("x"))
			}, 20},
		} {
			t.Run(kind+" "+test.name, func(t *testing.T) {
				l := start(t)
				r := &recorder{}
				conn, peer := l.pair(kind, r)
				l.do(conn.Pause)
				before := l.settled()
				test.act(t, conn, peer)
				n := l.settled()
				for quiet := 0; quiet < 5; { // events may still be under way
					if again := l.settled(); again != n {
						n, quiet = again, 0
						if n-before > test.most {
							break
						}
					} else {
						quiet++
					}
				}
				if n-before > test.most {
					t.Errorf("%d events, want at most %d", n-before, test.most)
				}
				if h := r.history(); strings.Contains(h, "data") || strings.Contains(h, "eof") {
					t.Errorf("while paused the handler was told %q", h)
				}
			})
		}
	}
}

func TestPeersEnd(t *testing.T) {
	// The peer sends a little, and then ends the connection in some way, while
	// it is paused; then it is resumed.
	for _, kind := range kinds {
		for _, test := range []struct {
			name    string
			end     func(t *testing.T, peer net.Conn)
			while   string // told while paused
			after   string // told in all after the Resume
			errs    []error
			hangsUp bool
		}{
			{"a FIN is told after the Resume and all data", closeWrite, "", "data eof", nil, false},
			{"a reset is told at once, the data after the Resume", reset, "hungup", "hungup data closed", []error{unix.ECONNRESET, unix.EPIPE}, true},
		} {
			t.Run(kind+" "+test.name, func(t *testing.T) {
				l := start(t)
				r := &recorder{}
				conn, peer := l.pair(kind, r)
				l.do(conn.Pause)
				mustWrite(t, peer, makeNoise(1, 100_000))
				arrived(t, peer)
				before := l.wakes.Load()
				test.end(t, peer)
				if test.hangsUp {
					eventually(t, "HungUp", func() bool { return r.history() == "hungup" })
				} else {
					eventually(t, "the event", func() bool { return l.wakes.Load() > before })
				}
				l.settled()
				if got := r.history(); got != test.while {
					t.Errorf("while paused the handler was told %q, want %q", got, test.while)
				}
				l.do(conn.Resume)
				after := test.after
				if kind == "unix" && test.hangsUp {
					after = "hungup data eof closed" // it ends like a FIN
				}
				eventually(t, after, func() bool { return r.history() == after })
				if got, want := r.used(), string(makeNoise(1, 100_000)); got != want {
					t.Errorf("%d bytes used, want the %d that were sent", len(got), len(want))
				}
				if r.isClosed() {
					if err := r.awaitClosed(t); !errors.Is(err, test.errs[0]) && !errors.Is(err, test.errs[1]) {
						t.Errorf("closed with %v, want one of %v", err, test.errs)
					}
				}
			})
		}
	}
}

func TestCloseInHungUp(t *testing.T) {
	l := start(t)
	mine := errors.New("mine")
	r := &recorder{hungUp: func(c *Conn) { c.Close(mine) }}
	conn, peer := l.pair("tcp", r)
	l.do(conn.Pause)
	reset(t, peer)
	if err := r.awaitClosed(t); err != mine {
		t.Errorf("closed with %v, want what Close was told", err)
	}
}

func TestHalfCloseStillGetsEverything(t *testing.T) {
	const size = 4 << 20
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			r := &recorder{eof: func(c *Conn) { c.Write(makeNoise(5, size)) }}
			conn, peer := l.pair(kind, r)
			mustWrite(t, peer, []byte("request"))
			closeWrite(t, peer)
			if err := checkNoise(peer, 5, size, 100_000); err != nil {
				t.Fatal(err)
			}
			l.do(func() { conn.Write([]byte("more")); conn.CloseAfterFlush(patience, true) })
			if got := string(mustRead(t, peer, 4)); got != "more" {
				t.Errorf("got %q", got)
			}
			atEnd(t, peer)
			if err := r.awaitClosed(t); err != nil || r.history() != "data eof closed" {
				t.Errorf("told %q with %v", r.history(), err)
			}
		})
	}
}

func TestEndAfterEOFClosesWhatNobodyCloses(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			r := &recorder{} // does nothing at EOF
			_, peer := l.pair(kind, r)
			mustWrite(t, peer, []byte("x"))
			closeWrite(t, peer)
			eventually(t, "eof", func() bool { return r.history() == "data eof" })
			reset(t, peer)
			if err := r.awaitClosed(t); err == nil || r.history() != "data eof closed" {
				t.Errorf("told %q with %v", r.history(), err)
			}
		})
	}
}

func TestWhatThePeerSaidBeforeItBrokeIsStillRead(t *testing.T) {
	// As a server does that refuses a packet: it says why, and closes with bytes
	// of ours unread, which resets the connection.
	last := string(makeNoise(9, 40_000)) // less than the kernel takes at once
	for _, kind := range kinds {
		for _, test := range []struct {
			name   string
			before func(c *Conn) // the peer speaks, while the loop knows nothing of it
			after  func(c *Conn)
			resume bool
			want   string
		}{
			{"when a write fails", func(*Conn) {}, func(c *Conn) { c.Write([]byte("x")); c.Write([]byte("y")) }, false, "data closed"},
			{"when a write fails and the handler pauses", func(*Conn) {}, func(c *Conn) { c.Write([]byte("x")); c.Write([]byte("y")); c.Pause() }, true, "hungup data closed"},
			{"when a flush fails", func(c *Conn) { c.Write(make([]byte, 16<<20)) }, func(*Conn) {}, false, "data closed"},
			{"when a flush fails while paused", func(c *Conn) { c.Write(make([]byte, 16<<20)); c.Pause() }, func(*Conn) {}, true, "hungup data closed"},
		} {
			t.Run(kind+" "+test.name, func(t *testing.T) {
				l := start(t)
				r := &recorder{}
				conn, peer := l.pair(kind, r)
				mustWrite(t, peer, []byte("+"))
				eventually(t, "data", func() bool { return r.used() == "+" })
				r.mu.Lock()
				r.told, r.got = nil, nil
				r.mu.Unlock()
				l.do(func() { conn.Write([]byte("never read")); test.before(conn) })
				l.do(func() { // nothing is seen before all has happened
					mustWrite(t, peer, []byte(last))
					arrived(t, peer)
					reset(t, peer)
					test.after(conn)
				})
				if test.resume {
					eventually(t, "HungUp", func() bool { return r.history() == "hungup" })
					l.do(conn.Resume)
				}
				if err := r.awaitClosed(t); err == nil {
					t.Error("closed without an error")
				}
				// On a unix socket a FIN may be seen before the error.
				if got := strings.Replace(r.history(), "data eof closed", "data closed", 1); got != test.want {
					t.Errorf("told %q, want %q", got, test.want)
				}
				if got := r.used(); got != last {
					t.Errorf("%d bytes used, want the %d that the peer had sent", len(got), len(last))
				}
			})
		}
	}
}

func TestErrorThatTheSocketDoesNotShareEndsItAsWell(t *testing.T) {
	// As ENOBUFS of a write: nothing becomes readable, no event will come.
	for _, sent := range []int{0, 100, readFirst, 5 * readFirst} {
		for _, codec := range []bool{false, true} {
			t.Run(fmt.Sprint("after ", sent, " bytes, codec=", codec), func(t *testing.T) {
				l := start(t)
				r := &recorder{}
				conn, peer := l.pair("unix", r)
				l.do(func() {
					if codec {
						uppers[4].on(t, conn)
						peer = uppers[4].far(peer)
					}
					if sent > 0 {
						conn.Pause()                // until all has arrived
						go sendNoise(peer, 1, sent) // may fail when conn is closed
					}
				})
				if sent > 0 {
					eventually(t, "all has arrived", func() bool { return on(l, func() bool { return unread(t, conn) >= min(sent, 100_000) }) })
				}
				l.do(func() { conn.lost(unix.ENOBUFS); conn.Resume() })
				if err := r.awaitClosed(t); err != unix.ENOBUFS || len(r.used()) < min(sent, 100_000) {
					t.Errorf("told %q with %v after %d bytes", r.history(), err, len(r.used()))
				}
			})
		}
	}
}

func TestLinkEndsWithOneOfItsTwo(t *testing.T) {
	l := start(t)
	a, b, client, server := l.linkedPair("unix")
	go sendNoise(server, 1, 16<<20) // fails when it is closed
	eventually(t, "paused", func() bool { return on(l, func() bool { return b.paused&pausedByPeer != 0 }) })
	c, other := l.pair("unix", &recorder{quiet: true, data: forward(&b)})
	l.do(func() {
		Link(b, c)
		if a.peer != nil || b.peer != c || c.peer != b || b.paused != 0 {
			t.Error("the second link does not replace the first")
		}
		c.Close(nil)
		if b.peer != nil || c.peer != nil {
			t.Error("the link outlives a Close")
		}
		Link(b, c)
		if b.peer != nil {
			t.Error("a connection is linked with a closed one")
		}
	})
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	client.Close()
}

// unread is how many bytes lie in c's socket.
func unread(t *testing.T, c *Conn) int {
	n, err := unix.IoctlGetInt(c.fd, unix.TIOCINQ)
	if err != nil {
		t.Error(err)
	}
	return n
}

// A pause that ends before anything has come changes nothing at the poller.
func TestShortPauseKeepsTheInterest(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			conn, peer := l.pair(kind, r)
			eventually(t, "it is watched", func() bool { return on(l, func() bool { return conn.watch == watchRead }) })
			l.do(conn.Pause)
			before := l.settled()
			if watch := on(l, func() interest { return conn.watch }); watch != watchRead {
				t.Errorf("paused and nothing has come: the interest is %d, want %d", watch, watchRead)
			}
			if n := l.settled(); n != before {
				t.Errorf("%d events, want none", n-before)
			}
			mustWrite(t, peer, []byte("x"))
			eventually(t, "what has come does not wake the loop again", func() bool { return on(l, func() bool { return conn.watch == watchEdges }) })
			l.do(conn.Resume)
			eventually(t, "it is read", func() bool { return on(l, func() bool { return conn.watch == watchRead }) && r.used() == "x" })
		})
	}
}
