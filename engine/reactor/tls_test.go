package reactor

import (
	"bytes"
	"crypto/ecdsa"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

func TestHandshakesThatFail(t *testing.T) {
	stranger := clientConfig()
	stranger.RootCAs = x509.NewCertPool()
	old := clientConfig()
	old.MaxVersion = tls.VersionTLS12
	modern := serverConfig()
	modern.MinVersion = tls.VersionTLS13
	wantsCert := serverConfig()
	wantsCert.ClientAuth = tls.RequireAnyClientCert
	for _, test := range []struct {
		name   string
		cfg    *tls.Config // the loop's
		client bool
		peer   func(t *testing.T, peer net.Conn)
		want   string // part of the error
	}{
		{"the client does not trust the server", serverConfig(), false, func(t *testing.T, peer net.Conn) {
			if err := tls.Client(peer, stranger).Handshake(); err == nil {
				t.Error("it trusts")
			}
		}, "bad certificate"},
		{"the server is not trusted, and is told so", stranger, true, func(t *testing.T, peer net.Conn) {
			s := tls.Server(peer, serverConfig())
			err := s.Handshake()
			if err == nil {
				_, err = s.Read(make([]byte, 1))
			}
			if err == nil || !strings.Contains(err.Error(), "bad certificate") {
				t.Errorf("the peer was told %v", err)
			}
		}, "unknown authority"},
		{"no common version", modern, false, func(t *testing.T, peer net.Conn) {
			if err := tls.Client(peer, old).Handshake(); err == nil || !strings.Contains(err.Error(), "protocol version") {
				t.Errorf("the peer was told %v", err)
			}
		}, "unsupported versions"},
		{"no certificate of the client", wantsCert, false, func(t *testing.T, peer net.Conn) {
			tls.Client(peer, old).Handshake()
		}, "certificate"},
		{"garbage", serverConfig(), false, func(t *testing.T, peer net.Conn) {
			mustWrite(t, peer, []byte("GET / HTTP/1.1\r\n\r\n"))
		}, "does not look like a TLS handshake"},
		{"garbage for a client", clientConfig(), true, func(t *testing.T, peer net.Conn) {
			mustWrite(t, peer, []byte("\x4a\x00\x00\x00\x0a8.0.36"))
		}, "does not look like a TLS handshake"},
		{"much garbage in a record", serverConfig(), false, func(t *testing.T, peer net.Conn) {
			peer.Write(bytes.Repeat([]byte("\x16\x03\x01\x40\x00"+strings.Repeat("\x01", 16<<10)), 50)) // may be refused before the end
		}, "tls:"},
		{"the end at once", serverConfig(), false, func(t *testing.T, peer net.Conn) { closeWrite(t, peer) }, "EOF"},
		{"the end in the middle", serverConfig(), false, func(t *testing.T, peer net.Conn) {
			mustWrite(t, peer, []byte("\x16\x03\x01\x02\x00\x01\x00"))
			closeWrite(t, peer)
		}, "EOF"},
		{"a reset", clientConfig(), true, func(t *testing.T, peer net.Conn) {
			mustRead(t, peer, 5)
			reset(t, peer)
		}, ""},
		{"a configuration without a name", &tls.Config{}, true, func(t *testing.T, peer net.Conn) {}, "ServerName"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: echo}
			c, peer := l.pair("tcp", r)
			told := 0
			l.do(func() {
				c.StartTLS(test.cfg, !test.client, func(s tls.ConnectionState, err error) {
					told++
					if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "TLS handshake: ") {
						t.Errorf("told %v, want %q in it", err, test.want)
					}
					if c.Open() || c.Encrypted() {
						t.Error("it can be used")
					}
					c.Write([]byte("secret"))
					if c.Waiting() > 0 {
						t.Error("what cannot be sent waits")
					}
					c.Pause()
					c.Resume()
					c.CloseAfterFlush(patience, false)
				})
				c.Write([]byte("for later"))
			})
			test.peer(t, peer)
			// After a reset there is nothing to flush to.
			if err := r.awaitClosed(t); err != nil && test.name != "a reset" || r.history() != "closed" {
				t.Errorf("told %q, %v", r.history(), err)
			}
			if told != 1 {
				t.Errorf("done was called %d times", told)
			}
			eventually(t, "all slots are free", func() bool { return len(slots) == 0 })
		})
	}
}

func TestFailedHandshakeThatNobodyClosesIsInert(t *testing.T) {
	l := start(t)
	r := &recorder{data: echo}
	c, peer := l.pair("tcp", r)
	failed := make(chan struct{})
	l.do(func() { c.StartTLS(serverConfig(), true, func(tls.ConnectionState, error) { close(failed) }) })
	mustWrite(t, peer, []byte("not TLS, and more"))
	<-failed
	before := l.settled()
	for range 10 {
		mustWrite(t, peer, []byte("still not TLS"))
		l.do(func() { c.Write([]byte("x")); c.Pause(); c.Resume() })
	}
	if n := l.settled() - before; n > 15 {
		t.Errorf("%d events", n)
	}
	if r.history() != "" {
		t.Errorf("told %q", r.history())
	}
	reset(t, peer)
	if err := r.awaitClosed(t); err == nil {
		t.Error("closed without an error")
	}
}

func TestClosingDuringTheHandshake(t *testing.T) {
	for _, test := range []struct {
		name string
		peer func(t *testing.T, peer net.Conn) // before
		act  func(c *Conn)
		sent string // all that the peer gets
	}{
		{"Close while it waits", func(*testing.T, net.Conn) {}, func(c *Conn) { c.Close(nil) }, "clear"},
		{"CloseAfterFlush while it waits", func(*testing.T, net.Conn) {}, func(c *Conn) { c.CloseAfterFlush(patience, false) }, "clear"},
		{"Close in the middle of a record", func(t *testing.T, peer net.Conn) {
			mustWrite(t, peer, []byte("\x16\x03\x01\x02\x00\x01\x00"))
		}, func(c *Conn) { c.Close(nil) }, "clear"},
		{"the loop stops", func(*testing.T, net.Conn) {}, nil, "clear"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: echo}
			c, peer := l.pair("tcp", r)
			l.do(func() {
				c.Write([]byte("clear"))
				c.StartTLS(serverConfig(), true, func(tls.ConnectionState, error) { t.Error("told") })
				c.Write([]byte("for later"))
			})
			test.peer(t, peer)
			l.settled()
			if test.act == nil {
				l.Stop()
			} else {
				l.do(func() { test.act(c) })
			}
			if got, err := io.ReadAll(peer); string(got) != test.sent {
				t.Errorf("the peer got %q, %v", got, err)
			}
			r.awaitClosed(t)
		})
	}
}

func TestPausedConnectionStillShakesHands(t *testing.T) {
	l := start(t)
	r := &recorder{data: echo}
	c, peer := l.pair("tcp", r)
	l.do(func() { c.Pause(); uppers[2].on(t, c) })
	far := uppers[2].far(peer)
	mustWrite(t, far, []byte("hello"))
	l.settled()
	if r.history() != "" {
		t.Errorf("told %q while paused", r.history())
	}
	l.do(c.Resume)
	if got := string(mustRead(t, far, 5)); got != "hello" {
		t.Errorf("got %q", got)
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

func TestStormOfHandshakes(t *testing.T) {
	// Many handshakes at once, some of peers that say nothing; a plain session
	// goes on.
	const each = 100
	l := start(t)
	_, plain := l.pair("tcp", &recorder{data: echo})
	cfg, ccfg := serverConfig(), clientConfig()
	var silent []net.Conn
	for range each {
		c, peer := l.pair("unix", &recorder{data: echo})
		l.do(func() { c.StartTLS(cfg, true, func(tls.ConnectionState, error) {}) })
		silent = append(silent, peer)
	}
	var wg sync.WaitGroup
	for i := range 2 * each {
		c, peer := l.pair("unix", &recorder{data: echo})
		client := i%2 == 0
		far := tls.Server(peer, cfg)
		if !client {
			far = tls.Client(peer, ccfg)
		}
		l.do(func() {
			use := cfg
			if client {
				use = ccfg
			}
			c.StartTLS(use, !client, func(_ tls.ConnectionState, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		})
		wg.Add(1)
		go func() {
			defer wg.Done()
			got := make([]byte, 5)
			if _, err := far.Write([]byte("hello")); err != nil {
				t.Error(err)
			} else if _, err := io.ReadFull(far, got); err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
			far.Close()
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for busy := true; busy; {
		select {
		case <-done:
			busy = false
		default:
		}
		mustWrite(t, plain, []byte("x"))
		mustRead(t, plain, 1)
	}
	if n := len(slots); n != 0 {
		t.Errorf("%d silent peers keep slots", n)
	}
	for _, peer := range silent {
		peer.Close()
	}
}

func TestSessionsAreResumed(t *testing.T) {
	// On whatever loop the client's connections are: all have the same tickets.
	cfg, ccfg := serverConfig(), clientConfig()
	ccfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 3 {
		l := start(t)
		r := &recorder{data: echo}
		c, peer := l.pair("tcp", r)
		resumed := false
		l.do(func() {
			c.StartTLS(cfg, true, func(s tls.ConnectionState, err error) { resumed = s.DidResume })
		})
		far := tls.Client(peer, ccfg)
		mustWrite(t, far, []byte("hello"))
		mustRead(t, far, 5)
		if got := on(l, func() bool { return resumed }); got != (i > 0) {
			t.Errorf("connection %d: resumed %v", i, got)
		}
		far.Close()
		eventually(t, "eof", func() bool { return r.history() == "data eof" })
	}
	for i := range 3 { // and as a client
		l := start(t)
		r := &recorder{data: echo}
		c, peer := l.pair("tcp", r)
		resumed := false
		l.do(func() {
			c.StartTLS(ccfg, false, func(s tls.ConnectionState, err error) { resumed = s.DidResume })
		})
		far := tls.Server(peer, cfg)
		mustWrite(t, far, []byte("hello"))
		mustRead(t, far, 5)
		if got := on(l, func() bool { return resumed }); !got && i > 0 {
			t.Errorf("connection %d of a client: not resumed", i)
		}
		l.do(func() { c.Close(nil) })
	}
}

func TestConfigurationIsAdaptedOnce(t *testing.T) {
	cfg := &tls.Config{Renegotiation: tls.RenegotiateFreelyAsClient}
	own := adapted(cfg)
	if own == cfg || !own.DynamicRecordSizingDisabled || own.Renegotiation != tls.RenegotiateNever {
		t.Error("not adapted")
	}
	if adapted(cfg) != own || adapted(own) != own {
		t.Error("adapted again")
	}
	if cfg.DynamicRecordSizingDisabled {
		t.Error("the caller's is changed")
	}
}

func TestConfigurationIsForgottenWithItsOriginal(t *testing.T) {
	adapted(&tls.Config{ServerName: "forgotten"})
	eventually(t, "it is forgotten", func() bool {
		runtime.GC()
		found := false
		configs.Range(func(_, own any) bool {
			found = found || own.(*tls.Config).ServerName == "forgotten"
			return true
		})
		return !found
	})
}

func TestPeerDoesNotFloodAHandshake(t *testing.T) {
	// A client with 200 KB of certificates, while all slots are taken: as much as
	// is needed is read, and the rest when there is a slot.
	id := identity()
	template := *id.cert.Leaf
	template.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, 100_000)}}
	big, err := x509.CreateCertificate(crand.Reader, &template, &template, id.cert.PrivateKey.(*ecdsa.PrivateKey).Public(), id.cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg, ccfg := serverConfig(), clientConfig()
	cfg.ClientAuth = tls.RequireAnyClientCert
	taken := make(chan struct{})
	ccfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for range maxHandshakes { // the other side is waiting, or will be soon
			slots <- struct{}{}
		}
		close(taken)
		return &tls.Certificate{Certificate: [][]byte{id.cert.Certificate[0], big, big}, PrivateKey: id.cert.PrivateKey}, nil
	}
	l := start(t)
	r := &recorder{data: echo}
	c, peer := l.pair("unix", r)
	l.do(func() {
		c.StartTLS(cfg, true, func(s tls.ConnectionState, err error) {
			if err != nil || len(s.PeerCertificates) != 3 {
				t.Errorf("%d certificates, %v", len(s.PeerCertificates), err)
			}
		})
	})
	sent := make(chan error, 1)
	far := tls.Client(peer, ccfg)
	go func() {
		_, err := far.Write([]byte("hello"))
		sent <- err
	}()
	<-taken
	eventually(t, "reading stops", func() bool { return on(l, func() bool { return c.paused&pausedByTLS != 0 }) })
	l.settled()
	l.do(func() {
		if h := c.up.sec.hs; len(h.in) > maxUnread+readFirst {
			t.Errorf("%d bytes wait for the handshake", len(h.in))
		}
	})
	for range maxHandshakes {
		<-slots
	}
	if got := string(mustRead(t, far, 5)); got != "hello" {
		t.Errorf("got %q", got)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestPeerThatEndsBeforeTheHandshakeDoes(t *testing.T) {
	// The client has sent all it has to say and is gone, while the loop's side of
	// the handshake waits for a slot.
	for _, test := range []struct {
		name string
		end  func(t *testing.T, peer net.Conn)
		told string
		err  error
		lost bool // and the loop knows, by an error that the socket does not share
	}{
		{"FIN", closeWrite, "data eof", nil, false},
		{"reset", reset, "data closed", unix.ECONNRESET, false},
		{"lost", closeWrite, "data eof closed", unix.ENOBUFS, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, ccfg := serverConfig(), clientConfig()
			cfg.SessionTicketsDisabled = true // a write of these would find the reset first
			ccfg.VerifyConnection = func(tls.ConnectionState) error {
				for range maxHandshakes { // the other side is waiting, or will be soon
					slots <- struct{}{}
				}
				return nil
			}
			l := start(t)
			r := &recorder{}
			c, peer := l.pair("tcp", r)
			l.do(func() { c.StartTLS(cfg, true, noState); c.SetCodec(&frameCodec{}) })
			const size = 5 * turnBytes
			mustWrite(t, tls.Client(peer, ccfg), appendRun(nil, '!', size))
			test.end(t, peer)
			eventually(t, "the end is seen", func() bool { return on(l, func() bool { return c.paused&pausedByEOF != 0 }) })
			if test.lost {
				l.do(func() { c.lost(unix.ENOBUFS) })
			}
			if r.history() != "" {
				t.Errorf("told %q before the handshake has ended", r.history())
			}
			for range maxHandshakes {
				<-slots
			}
			eventually(t, test.told, func() bool { return r.history() == test.told })
			if n := len(r.used()); n != size || !errors.Is(r.err, test.err) {
				t.Errorf("%d bytes used, closed with %v", n, r.err)
			}
		})
	}
}

func TestErrorThatTheSocketDoesNotShareEndsAHandshake(t *testing.T) {
	for _, paused := range []bool{false, true} {
		l := start(t)
		r := &recorder{}
		c, peer := l.pair("tcp", r)
		l.do(func() {
			c.StartTLS(serverConfig(), true, func(_ tls.ConnectionState, err error) { c.Close(err) })
			c.Write(make([]byte, highMark+1))
			if paused {
				c.Pause()
			}
		})
		l.do(func() {
			mustWrite(t, peer, []byte("\x16\x03\x01\x02")) // of a record
			c.lost(unix.ENOBUFS)
			if n := c.Waiting(); n != 0 {
				t.Errorf("%d bytes wait for nothing", n)
			}
		})
		if err := r.awaitClosed(t); !errors.Is(err, unix.ENOBUFS) || r.history() != "closed" {
			t.Errorf("paused=%v: told %q with %v", paused, r.history(), err)
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

func TestClosingWhileWaitingForASlot(t *testing.T) {
	l := start(t)
	for range maxHandshakes {
		slots <- struct{}{}
	}
	defer func() {
		for range maxHandshakes {
			<-slots
		}
	}()
	r := &recorder{}
	c, _ := l.pair("unix", r)
	goroutines := runtime.NumGoroutine()
	l.do(func() { c.StartTLS(serverConfig(), true, func(tls.ConnectionState, error) { t.Error("told") }) })
	l.do(func() { c.Close(nil) })
	r.awaitClosed(t)
	eventually(t, "the goroutine ends", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestPanicInTheHandshake(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  *tls.Config
		done func(tls.ConnectionState, error)
	}{
		{"in a callback", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("boom") }},
			func(tls.ConnectionState, error) {}},
		{"in done", serverConfig(), func(tls.ConnectionState, error) { panic("boom") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{data: echo}
			c, peer := l.pair("tcp", r)
			l.do(func() { c.StartTLS(test.cfg, true, test.done) })
			_ = tls.Client(peer, clientConfig()).Handshake()
			if err := r.awaitClosed(t); !errors.Is(err, ErrPanic) {
				t.Errorf("closed with %v", err)
			}
		})
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
