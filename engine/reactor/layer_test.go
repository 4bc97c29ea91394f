package reactor

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

func TestEchoThroughLayers(t *testing.T) {
	for i, u := range uppers {
		for j, test := range []struct {
			name       string
			size, most int // bytes in all, and in one write
			chop       int // the socket gets at most so many at once, 0 for all
		}{
			{"small pieces", 200_000, 3_000, 50},
			{"random sizes", 3 << 20, 90_000, 20_000},
			{"20 MB", 20 << 20, 300_000, 0},
		} {
			if test.size > 4<<20 && u.name != "TLS 1.3 server" {
				continue
			}
			t.Run(u.name+" "+test.name, func(t *testing.T) {
				l := start(t)
				rnd := rand.New(rand.NewPCG(uint64(i), uint64(j)))
				r := &recorder{data: echo, quiet: true}
				c, peer := l.pair(kinds[j%2], r)
				if test.chop > 0 {
					peer = &chopped{peer, rand.New(rand.NewPCG(uint64(i), 99)), test.chop}
				}
				l.do(func() { u.on(t, c) })
				far := u.far(peer)
				sent := make(chan error, 1)
				go func() { sent <- sendRandomly(far, rnd, 7, test.size, test.most) }()
				if err := checkNoise(far, 7, test.size, 40_000); err != nil {
					t.Fatal(err)
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				l.do(func() {
					up := c.up
					if c.tail != nil || c.out.head != nil || up.raw.len()+up.mid.len()+up.held.n > 0 || up.raw.kept.head != nil || up.more {
						t.Error("an idle connection holds bytes")
					}
				})
				far.Close()
				eventually(t, "EOF", func() bool { return strings.HasPrefix(r.history(), "data eof") })
			})
		}
	}
}

func TestLayeredFramesAreTheSameAtEverySplit(t *testing.T) {
	stream := []byte("\x05hello\x00\x01a\x0cabcdefghijkl\x03xyz")
	want := strings.ToUpper(string(stream))
	for _, u := range uppers {
		t.Run(u.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: frames}
			c, peer := l.pairWith(u, "tcp", r)
			for cut := 1; cut < len(stream); cut++ {
				mustWrite(t, peer, stream[:cut])
				mustWrite(t, peer, stream[cut:])
				if got := string(mustRead(t, peer, len(stream))); got != want {
					t.Fatalf("cut at %d: got %q, want %q", cut, got, want)
				}
				if l.do(func() {}); on(l, func() bool { return c.tail != nil }) {
					t.Fatalf("cut at %d: a tail is left", cut)
				}
			}
		})
	}
}

func TestPausesWithinABurst(t *testing.T) {
	// Each Data uses a part and pauses. What lies between socket and handler
	// comes after each Resume, though the peer sends nothing more.
	const size = 700_000
	for _, u := range uppers {
		t.Run(u.name, func(t *testing.T) {
			l := start(t)
			calls := 0
			r := &recorder{data: func(c *Conn, p []byte) int {
				if calls++; c.paused&pausedByHandler != 0 {
					t.Error("delivered while paused")
				}
				c.Pause()
				return max(1, len(p)*2/3)
			}}
			c, peer := l.pairWith(u, "unix", r)
			sent := make(chan error, 1)
			go func() { sent <- sendNoise(peer, 1, size) }()
			for len(r.used()) < size {
				if on(l, func() bool { return c.paused&pausedByHandler != 0 }) {
					if held := on(l, func() int { return c.up.raw.len() + c.up.mid.len() }); held > layeredFull+recordBytes {
						t.Fatalf("%d bytes are held while paused", held)
					}
				}
				before := on(l, func() int { n := calls; c.Resume(); return n })
				eventually(t, "more", func() bool { return on(l, func() int { return calls }) > before || len(r.used()) == size })
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if r.used() != string(makeNoise(1, size)) {
				t.Error("what was used is not what was sent")
			}
		})
	}
}

func TestDataBeforeTheEndComesBeforeIt(t *testing.T) {
	// The peer sends and ends while the handler is paused.
	for _, u := range uppers {
		for _, end := range []struct {
			name string
			how  func(t *testing.T, peer, far net.Conn)
		}{
			{"close_notify or FIN", func(t *testing.T, _, far net.Conn) { closeWrite(t, far) }},
			{"FIN", func(t *testing.T, peer, _ net.Conn) { closeWrite(t, peer) }},
			{"close", func(t *testing.T, _, far net.Conn) { far.Close() }},
		} {
			t.Run(u.name+" "+end.name, func(t *testing.T) {
				const size = 150_000
				l := start(t)
				r := &recorder{data: func(c *Conn, p []byte) int {
					if string(p) == "+" {
						c.Write(p)
						c.Pause()
						return 1
					}
					k := min(len(p), 60_000)
					c.Pause()
					return k
				}}
				c, peer := l.pair("tcp", r)
				l.do(func() { u.on(t, c) })
				far := u.far(peer)
				mustWrite(t, far, []byte("+"))
				mustRead(t, far, 1)
				mustWrite(t, far, makeNoise(3, size))
				end.how(t, peer, far)
				l.settled()
				if got := r.history(); got != "data" || r.used() != "+" {
					t.Fatalf("while paused told %q, %d bytes", got, len(r.used()))
				}
				eventually(t, "the end", func() bool {
					l.do(c.Resume)
					return strings.HasSuffix(r.history(), "eof")
				})
				l.settled()
				if got, want := r.used(), "+"+string(makeNoise(3, size)); got != want || r.history() != "data eof" {
					t.Errorf("%d bytes of %d used, told %q", len(got), len(want), r.history())
				}
			})
		}
	}
}

func TestSlowReaderWithLayers(t *testing.T) {
	// What flows from one end of a link to the other is bounded, whatever stands
	// on either.
	const size = 12 << 20
	plain := upper{name: "plain"}
	tls13, both := uppers[2], uppers[5]
	for _, test := range []struct{ from, to upper }{
		{plain, tls13}, {tls13, plain}, {tls13, tls13}, {both, plain}, {plain, both},
	} {
		t.Run(test.from.name+" to "+test.to.name, func(t *testing.T) {
			l := start(t)
			a, b, client, server := l.linkedPair("tcp")
			l.do(func() {
				if test.to.name != "plain" {
					test.to.on(t, a)
				}
				if test.from.name != "plain" {
					test.from.on(t, b)
				}
			})
			client, server = test.to.far(client), test.from.far(server)
			most, pauses, was := 0, 0, false
			l.do(func() {
				l.after = func() {
					most = max(most, a.Waiting())
					paused := b.paused&pausedByPeer != 0
					if paused && !was {
						pauses++
					}
					was = paused
					if !paused && a.Waiting() > highMark {
						t.Errorf("%d bytes wait and more is read", a.Waiting())
					}
				}
			})
			sent := make(chan error, 1)
			go func() { sent <- sendNoise(server, 3, size) }()
			mustRead := func(n int) error { return checkNoise(client, 3, n, 30_000) }
			first := make(chan error, 1)
			go func() { // a handshake needs both ends
				if c, ok := client.(interface{ Handshake() error }); ok {
					first <- c.Handshake()
				} else if cc, ok := client.(*codecConn); ok {
					first <- handshakeOf(cc.Conn)
				} else {
					first <- nil
				}
			}()
			if err := <-first; err != nil {
				t.Fatal(err)
			}
			eventually(t, "the source is paused", func() bool { return on(l, func() bool { return was }) })
			if err := mustRead(size); err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			l.do(func() {
				l.after = nil
				if limit := highMark + readFull + readFull/8; most > limit || pauses == 0 {
					t.Errorf("up to %d bytes waited, want at most %d; %d pauses", most, limit, pauses)
				}
			})
			eventually(t, "both are idle", func() bool {
				return on(l, func() bool { return a.Waiting() == 0 && a.out.head == nil && b.paused == 0 })
			})
		})
	}
}

func handshakeOf(c net.Conn) error {
	if h, ok := c.(interface{ Handshake() error }); ok {
		return h.Handshake()
	}
	return nil
}

func TestLayersKeepTheOrderOfWhatWasWritten(t *testing.T) {
	l := start(t)
	r := &recorder{}
	c, peer := l.pair("tcp", r)
	big := makeNoise(2, 100_000)
	l.do(func() {
		c.Write([]byte("clear;"))
		c.StartTLS(serverConfig(), true, func(_ tlsState, err error) {
			if err != nil {
				t.Error(err)
			}
			c.Write([]byte("3;"))
			c.Write(big)
			c.Write([]byte("4;"))
			c.SetCodec(&frameCodec{})
			c.Write([]byte("5;"))
			c.Flush()
			c.Write([]byte("6;"))
		})
		c.Write([]byte("1;"))
		if c.Encrypted() {
			t.Error("encrypted before the handshake")
		}
		if c.Waiting() < 2 {
			t.Error("what is kept does not wait")
		}
		c.Write([]byte("2;"))
	})
	if got := string(mustRead(t, peer, 6)); got != "clear;" {
		t.Fatalf("in clear came %q", got)
	}
	far := uppers[2].far(peer)
	if got := string(mustRead(t, far, 6)); got != "1;2;3;" {
		t.Fatalf("got %q", got)
	}
	if string(mustRead(t, far, len(big))) != string(big) {
		t.Fatal("the large write is damaged")
	}
	if got, want := string(mustRead(t, far, 14)), "4;"+string(appendFrame(nil, []byte("5;")))+string(appendFrame(nil, []byte("6;"))); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestClosedConnectionTakesLayerCalls(t *testing.T) {
	l := start(t)
	r := &recorder{}
	c, peer := l.pair("tcp", r)
	l.do(func() {
		c.Close(nil)
		c.StartTLS(serverConfig(), true, func(tlsState, error) { t.Error("told") })
		c.SetCodec(&frameCodec{})
		c.Flush()
		c.Write([]byte("x"))
		if c.Encrypted() || c.Open() || c.up != nil {
			t.Error("a closed connection has layers")
		}
	})
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}
