package reactor

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
)

// farEcho starts a loop that echoes behind TLS and returns the other end, or
// one in clear if version is 0.
func farEcho(t testing.TB, version uint16) net.Conn {
	t.Helper()
	peer := echoOn(t, newLoop(t), version)
	if version == 0 {
		return peer
	}
	far := tls.Client(peer, clientConfig())
	if err := far.Handshake(); err != nil {
		t.Fatal(err)
	}
	return far
}

func newLoop(t testing.TB) *Loop {
	t.Helper()
	l, err := NewLoop(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(l.Stop)
	return l
}

func echoOn(t testing.TB, l *Loop, version uint16) net.Conn {
	fd, peer := sockets(t, "unix")
	joined := make(chan struct{})
	l.Post(func() {
		l.load.Add(1)
		l.adopt(accepted{fd, Addr{}, func(c *Conn, _ Addr) Handler {
			if version != 0 {
				cfg := serverConfig()
				cfg.MaxVersion = version
				c.StartTLS(cfg, true, func(tls.ConnectionState, error) {})
			}
			return &pipe{to: c}
		}})
		close(joined)
	})
	<-joined
	return peer
}

// asksFor sends n bytes and reads as many.
func asksFor(t testing.TB, far net.Conn, p, buf []byte) {
	if _, err := far.Write(p); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, buf[:len(p)]); err != nil {
		t.Fatal(err)
	}
}

func TestSmallMessageInTLSCostsOneAllocation(t *testing.T) {
	// crypto/tls allocates a reader for each record that it reads: one here, and
	// one at the other end. Under the race detector a sync.Pool forgets some of
	// what it is given, and crypto/tls allocates its buffers anew.
	limit := 2.0
	if underRace {
		limit = 6
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		leaks(t)
		far := farEcho(t, version)
		p, buf := make([]byte, 60), make([]byte, 60)
		for range 200 {
			asksFor(t, far, p, buf)
		}
		if n := testing.AllocsPerRun(500, func() { asksFor(t, far, p, buf) }); n > limit {
			t.Errorf("version %x: %v allocations in a round trip, want %v", version, n, limit)
		}
	}
}

var underRace bool // set by race_test.go

// BenchmarkEcho is a message to a loop and back. With TLS both ends work the
// same: the loop's part is half of what that takes more than in clear.
func BenchmarkEcho(b *testing.B) {
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		for _, size := range []int{60, 64 << 10} {
			b.Run(fmt.Sprintf("%x/%d", version, size), func(b *testing.B) {
				far := farEcho(b, version)
				p, buf := make([]byte, size), make([]byte, size)
				asksFor(b, far, p, buf)
				b.ReportAllocs()
				b.SetBytes(2 * int64(size))
				for b.Loop() {
					asksFor(b, far, p, buf)
				}
			})
		}
	}
}

// BenchmarkIdle reports what an idle connection holds, on the loop's side.
func BenchmarkIdle(b *testing.B) {
	for _, test := range []struct {
		name    string
		version uint16
		size    int // of a message that was echoed before
	}{
		{"clear", 0, 60}, {"TLS 1.2", tls.VersionTLS12, 60}, {"TLS 1.3", tls.VersionTLS13, 60}, {"TLS 1.3 after 64 KiB", tls.VersionTLS13, 64 << 10},
	} {
		b.Run(test.name, func(b *testing.B) {
			const conns = 400
			l := newLoop(b)
			fars := make([]net.Conn, conns)
			heap := func() uint64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			p, buf := make([]byte, test.size), make([]byte, test.size)
			asksFor(b, echoOn(b, l, 0), p, buf)
			cfg := serverConfig()
			cfg.MaxVersion = max(test.version, tls.VersionTLS12)
			fds := make([]int, conns)
			for i := range fars {
				fds[i], fars[i] = sockets(b, "unix")
			}
			h := &echoes60{}
			before := heap()
			for i := range fars {
				joined := make(chan struct{})
				l.Post(func() {
					l.load.Add(1)
					l.adopt(accepted{fds[i], Addr{}, func(c *Conn, _ Addr) Handler {
						if test.version != 0 {
							c.StartTLS(cfg, true, noState)
						}
						return h
					}})
					close(joined)
				})
				<-joined
				far := fars[i]
				if test.version != 0 {
					far = tls.Client(far, clientConfig())
				}
				asksFor(b, far, p, buf)
			}
			after := heap()
			for b.Loop() {
			}
			b.ReportMetric((float64(after)-float64(before))/conns, "B/conn")
			runtime.KeepAlive(fars)
		})
	}
}

type echoes60 struct{ dropped }

func (*echoes60) Data(c *Conn, p []byte) int { c.Write(p); return len(p) }

func noState(tls.ConnectionState, error) {}
