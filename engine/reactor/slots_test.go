package reactor

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
)

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
	eventually(t, "silent peers keep no slots", func() bool { return len(slots) == 0 })
	for _, peer := range silent {
		peer.Close()
	}
}

func TestPeerDoesNotFloodAHandshake(t *testing.T) {
	// A client with 200 KB of certificates, while all slots are taken: as much as
	// is needed is read, and the rest when there is a slot.
	id := identity()
	big := id.Issue(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: make([]byte, 100_000)}}
	})
	cfg, ccfg := serverConfig(), clientConfig()
	cfg.ClientAuth = tls.RequireAnyClientCert
	taken := make(chan struct{})
	ccfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for range maxHandshakes { // the other side is waiting, or will be soon
			slots <- struct{}{}
		}
		close(taken)
		shown := id.TLS(big, big)
		return &shown, nil
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
