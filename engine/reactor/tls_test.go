package reactor

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// meets has a recorder answer a prefix in clear and then speak TLS as a server,
// as after a request for TLS in clear.
func meets(t *testing.T, prefix string, cfg *tls.Config) *recorder {
	r := &recorder{}
	r.data = func(c *Conn, p []byte) int {
		if c.Encrypted() {
			return echo(c, p)
		}
		if len(p) < len(prefix) {
			return 0
		}
		if got := string(p[:len(prefix)]); got != prefix {
			t.Errorf("in clear came %q", got)
		}
		c.StartTLS(cfg, true, func(_ tls.ConnectionState, err error) {
			if err != nil {
				t.Error(err)
				c.Close(err)
			}
		})
		return len(prefix)
	}
	return r
}

// cutConn sends a prefix and the first write as one, in two parts.
type cutConn struct {
	net.Conn
	first []byte // what goes before the first Write
	cut   int
	pause func() // between the parts
	size  int    // of the first Write with what went before
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.first == nil {
		return c.Conn.Write(p)
	}
	all := append(c.first, p...)
	c.first, c.size = nil, len(all)
	cut := min(c.cut, len(all))
	if cut > 0 {
		if _, err := c.Conn.Write(all[:cut]); err != nil {
			return 0, err
		}
		c.pause()
	}
	if _, err := c.Conn.Write(all[cut:]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestStartTLSAtEverySplit(t *testing.T) {
	// What asks for TLS and the ClientHello come in one segment, or cut anywhere.
	const prefix = "thirty-six bytes that ask for TLS..."
	cfg := clientConfig()
	cfg.CurvePreferences = []tls.CurveID{tls.X25519} // a short ClientHello
	l := start(t)
	server := serverConfig()
	size := 1
	for cut := 0; cut < size; cut++ {
		r := meets(t, prefix, server)
		_, peer := l.pair(kinds[cut%2], r)
		cc := &cutConn{Conn: peer, first: []byte(prefix), cut: cut, pause: func() { l.settled() }}
		far := tls.Client(cc, cfg)
		mustWrite(t, far, []byte("hello"))
		size = cc.size
		if got := string(mustRead(t, far, 5)); got != "hello" {
			t.Fatalf("cut at %d: got %q", cut, got)
		}
		if got := r.used(); got != prefix+"hello" {
			t.Fatalf("cut at %d: the handler has used %q", cut, got)
		}
		peer.Close()
	}
	if size < 150 {
		t.Errorf("%d cuts", size)
	}
}

func TestStartTLSBeforeTheConnect(t *testing.T) {
	l := start(t)
	fd, addr := listenRaw(t, 5)
	ln := netListener(t, fd)
	r := &recorder{data: echo}
	l.track(r)
	l.do(func() {
		c := l.Dial(addr, patience, r)
		c.Write([]byte("clear"))
		uppers[3].on(t, c)
		c.Write([]byte("secret"))
	})
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if got := string(mustRead(t, peer, 5)); got != "clear" {
		t.Errorf("got %q", got)
	}
	far := uppers[3].far(peer)
	if got := string(mustRead(t, far, 6)); got != "secret" {
		t.Errorf("got %q", got)
	}
	mustWrite(t, far, []byte("hello"))
	if got := string(mustRead(t, far, 5)); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// tapped keeps what is read.
type tapped struct {
	net.Conn
	mu  sync.Mutex
	got []byte
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.got = append(c.got, p[:n]...)
	c.mu.Unlock()
	return n, err
}

// records are the types and the sizes of the records in p.
func records(t *testing.T, p []byte) (types []byte, sizes []int) {
	t.Helper()
	for len(p) > 0 {
		if len(p) < 5 {
			t.Fatalf("%d bytes at the end are no record", len(p))
		}
		n := int(binary.BigEndian.Uint16(p[3:]))
		types, sizes, p = append(types, p[0]), append(sizes, n), p[5+n:]
	}
	return types, sizes
}

func TestCloseAfterFlushSaysFarewell(t *testing.T) {
	const size = 5 << 20
	for _, u := range uppers {
		if u.tls != tls.VersionTLS12 && !u.codec { // TLS 1.2 shows the type of its records
			continue
		}
		t.Run(u.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: echo}
			c, peer := l.pair("tcp", r)
			l.do(func() { u.on(t, c) })
			tap := &tapped{Conn: peer}
			far := u.far(tap)
			mustWrite(t, far, []byte("hello"))
			mustRead(t, far, 5)
			l.do(func() {
				c.Write(makeNoise(4, size))
				c.Write([]byte("last"))
				c.CloseAfterFlush(patience, true)
				c.Write([]byte("too late"))
			})
			if err := checkNoise(far, 4, size, 50_000); err != nil {
				t.Fatal(err)
			}
			if got := string(mustRead(t, far, 4)); got != "last" {
				t.Errorf("got %q", got)
			}
			atEnd(t, far)
			if u.tls != 0 {
				if _, err := io.ReadAll(tap); err != nil {
					t.Error(err)
				}
				if types, _ := records(t, tap.got); !u.codec && types[len(types)-1] != 21 {
					t.Errorf("the last record has type %d, want an alert", types[len(types)-1])
				}
			}
			far.Close()
			if err := r.awaitClosed(t); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRecordsAreFullAndFew(t *testing.T) {
	l := start(t)
	r := &recorder{data: echo}
	c, peer := l.pair("tcp", r)
	l.do(func() { uppers[0].on(t, c) })
	tap := &tapped{Conn: peer}
	far := uppers[0].far(tap)
	mustWrite(t, far, []byte("hello"))
	mustRead(t, far, 5)
	n := len(tap.got)
	l.do(func() {
		for range 100 {
			c.Write([]byte("many small ones "))
		}
	})
	mustRead(t, far, 1600)
	if types, _ := records(t, tap.got[n:]); len(types) != 1 {
		t.Errorf("the small writes of one event went out in %d records", len(types))
	}
	n = len(tap.got)
	l.do(func() { c.Write(make([]byte, 1<<20)) })
	mustRead(t, far, 1<<20)
	if types, sizes := records(t, tap.got[n:]); len(types) != 64 {
		t.Errorf("1 MiB went out in %d records of %v", len(types), sizes)
	}
}

func TestEndOfAStreamWithTLS(t *testing.T) {
	// close_notify, an end without, and one in a record, are EOF; what is
	// damaged is an error, and the peer is told.
	for _, test := range []struct {
		name string
		end  func(t *testing.T, peer net.Conn, far *tls.Conn)
		told string
		err  string
	}{
		{"close_notify", func(t *testing.T, _ net.Conn, far *tls.Conn) { closeWrite(t, far) }, "data eof", ""},
		{"no close_notify", func(t *testing.T, peer net.Conn, _ *tls.Conn) { closeWrite(t, peer) }, "data eof", ""},
		{"in a record", func(t *testing.T, peer net.Conn, _ *tls.Conn) {
			mustWrite(t, peer, []byte("\x17\x03\x03\x00\x30abc"))
			closeWrite(t, peer)
		}, "data eof", ""},
		{"a damaged record", func(t *testing.T, peer net.Conn, far *tls.Conn) {
			mustWrite(t, peer, []byte("\x17\x03\x03\x00\x30"+strings.Repeat("x", 0x30)))
			if _, err := far.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
				t.Errorf("the peer was told %v", err)
			}
		}, "data closed", "TLS read: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: echo}
			c, peer := l.pair("tcp", r)
			l.do(func() { uppers[2].on(t, c) })
			far := tls.Client(peer, clientConfig())
			mustWrite(t, far, []byte("hello"))
			mustRead(t, far, 5)
			test.end(t, peer, far)
			eventually(t, test.told, func() bool { return r.history() == test.told })
			if test.err != "" {
				if err := r.awaitClosed(t); err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("closed with %v", err)
				}
				return
			}
			l.do(func() { c.Write([]byte("more")); c.CloseAfterFlush(patience, true) })
			if got := string(mustRead(t, far, 4)); got != "more" {
				t.Errorf("after the peer's end got %q", got)
			}
			atEnd(t, far)
			far.Close()
			r.awaitClosed(t)
		})
	}
}

func TestResetWithTLS(t *testing.T) {
	// What the peer had sent before it broke is read, or waits for a Resume.
	last := string(makeNoise(9, 40_000))
	for _, u := range uppers {
		for _, paused := range []bool{false, true} {
			t.Run(fmt.Sprint(u.name, " paused=", paused), func(t *testing.T) {
				l := start(t)
				r := &recorder{data: func(c *Conn, p []byte) int {
					if string(p) == "+" {
						c.Write(p)
					}
					return len(p)
				}}
				c, peer := l.pair("tcp", r)
				l.do(func() { u.on(t, c) })
				far := u.far(peer)
				mustWrite(t, far, []byte("+"))
				mustRead(t, far, 1)
				l.do(func() { c.Write([]byte("never read")) })
				l.do(func() { // nothing is seen before all has happened
					if paused {
						c.Pause()
					}
					mustWrite(t, far, []byte(last))
					arrived(t, peer)
					reset(t, peer)
					c.Write([]byte("x"))
				})
				want := "data closed"
				if paused {
					eventually(t, "HungUp", func() bool { return r.history() == "data hungup" })
					l.do(c.Resume)
					want = "data hungup data closed"
				}
				if err := r.awaitClosed(t); err == nil {
					t.Error("closed without an error")
				}
				// A write that was told of the reset leaves an EOF to the read.
				if strings.Replace(r.history(), "data eof closed", "data closed", 1) != want || r.used() != "+"+last {
					t.Errorf("told %q and %d bytes, want %q and %d", r.history(), len(r.used()), want, len(last)+1)
				}
			})
		}
	}
}

func TestCodecAfterTheEnd(t *testing.T) {
	l := start(t)
	r := &recorder{eof: func(c *Conn) { c.SetCodec(&frameCodec{}) }}
	c, peer := l.pair("unix", r)
	l.do(func() { uppers[2].on(t, c) })
	far := tls.Client(peer, clientConfig())
	mustWrite(t, far, []byte("hello"))
	closeWrite(t, far)
	eventually(t, "eof", func() bool { return r.history() == "data eof" })
	l.settled()
	if r.history() != "data eof" {
		t.Errorf("told %q", r.history())
	}
}

func TestCutterFindsTheEndsOfRecords(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 5, 300, 16 << 10}
	for _, n := range sizes {
		stream = append(stream, 23, 3, 3, byte(n>>8), byte(n))
		stream = append(stream, make([]byte, n)...)
	}
	for step := 1; step < 40; step++ {
		var r cutter
		var got []int
		at := 0
		for rest := stream; len(rest) > 0; {
			n := r.next(rest[:min(step, len(rest))])
			rest = rest[n:]
			if at += n; r.head == 0 {
				got, at = append(got, at-recordHead), 0
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(sizes) {
			t.Fatalf("in steps of %d: %v, want %v", step, got, sizes)
		}
	}
}

// netListener is fd as a net.Listener.
func netListener(t *testing.T, fd int) net.Listener {
	t.Helper()
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(time.Now().Add(patience))
	}
	return ln
}
