package reactor

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
