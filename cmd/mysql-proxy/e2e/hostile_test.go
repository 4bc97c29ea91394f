package e2e

import (
	"bytes"
	"fmt"
	"math/rand"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// undisturbed runs a well-behaved session at addr, whose every answer is
// checked, until the function it returns is called.
func undisturbed(t *testing.T, addr string) (stop func()) {
	t.Helper()
	s := openSession(t, addr)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			big := strings.Repeat(string(rune('a'+i%26)), 1+i*37%60000)
			if got := s.ask(fmt.Sprintf("SELECT CONCAT(%d, ':', LENGTH('%s'))", i, big)); got != fmt.Sprintf("%d:%d", i, len(big)) {
				t.Errorf("the well-behaved session got %q for its statement %d", got, i)
				return
			}
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return sync.OnceFunc(func() { close(quit); <-done })
}

// besides starts a proxy with a well-behaved session at the first of its backends, and
// has clients that come from then on log in within two seconds. before is how many
// open files the proxy has.
func besides(t *testing.T, backends []string) (p *proxy, stop func(), before int) {
	t.Helper()
	p, addr := startAdmin(t, backends)
	stop = undisturbed(t, p.addr)
	t.Cleanup(stop)
	execAll(t, openDB(t, addr, adminUser, "", ""), "SET proxy_login_timeout = 2")
	return p, stop, p.openFiles(t)
}

// settled waits until the proxy has as many open files as before.
func settled(t *testing.T, p *proxy, before int) {
	t.Helper()
	eventually(t, 30*time.Second, fmt.Sprintf("the proxy has %d open files again", before), func() bool {
		return p.openFiles(t) <= before
	})
}

// Clients that send anything but the protocol.
func TestGarbageFromClients(t *testing.T) {
	p, stop, before := besides(t, []string{bed.Primary.Addr})
	const seed = 1
	rng := rand.New(rand.NewSource(seed))
	random := func(n int) []byte {
		b := make([]byte, n)
		rng.Read(b)
		return b
	}
	login := fakeLoginPacket(capsBase &^ capConnectWithDB)
	for i := range 240 {
		var what string
		var b []byte
		switch i % 8 {
		case 0:
			what, b = "random bytes", random(1+rng.Intn(5000))
		case 1:
			what, b = "a whole packet of random bytes", packetOf(1, random(1+rng.Intn(300)))
		case 2:
			what, b = "a spoiled login", bytes.Clone(login)
			for range 1 + rng.Intn(4) {
				b[4+rng.Intn(len(b)-4)] = byte(rng.Int())
			}
		case 3:
			what, b = "a cut login", login[:1+rng.Intn(len(login)-1)]
		case 4:
			what, b = "a login of 16 MB", append([]byte{0xFE, 0xFF, 0xFF, 1}, random(100000)...)
		case 5:
			what, b = "an empty login", packetOf(1, nil)
		case 6:
			what, b = "a login and garbage in one piece", append(bytes.Clone(login), random(1+rng.Intn(2000))...)
		case 7:
			what, b = "another protocol", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write(b) // the proxy may have hung up already
		if rng.Intn(3) == 0 {
			drop(nc)
			continue
		}
		if i >= 32 { // the first ones are awaited below, the others need not be
			nc.Close()
			continue
		}
		readAll(t, fmt.Sprintf("%s (number %d, seed %d)", what, i, seed), nc, 20*time.Second)
		nc.Close()
	}
	stop()
	settled(t, p, before)
}

// Commands that no client sends, in sessions that are logged in.
func TestGarbageInSessions(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr})
	stop := undisturbed(t, p.addr)
	defer stop()
	before := p.openFiles(t)
	rng := rand.New(rand.NewSource(3))
	for range 60 {
		s, err := trySession(t, p.addr, bed.Users.Empty) // who may not stop the server or kill others
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1+rng.Intn(3000))
		rng.Read(b)
		for i := 0; i+4 < len(b); i += 4 + rng.Intn(40) { // likely headers among the noise
			b[i], b[i+1], b[i+2], b[i+3] = byte(rng.Intn(60)), 0, 0, 0
			b[i+4] &= 0x1F
		}
		s.attempt(func() { s.write(b) })
		time.Sleep(time.Duration(rng.Intn(5)) * time.Millisecond)
		if rng.Intn(2) == 0 {
			drop(s.nc)
		}
		s.nc.Close()
	}
	stop()
	settled(t, p, before)
}

// Clients that never finish their login are closed after --proxy-login-timeout.
func TestSlowLogin(t *testing.T) {
	// The real server has a time-out for logins of its own, so half of the
	// clients come to one that has none.
	patient := startFake(t, func(nc net.Conn) { _, _ = nc.Write(fakeGreeting) })
	p, stop, before := besides(t, []string{bed.Primary.Addr, patient.addr})
	login := fakeLoginPacket(capsBase &^ capConnectWithDB)
	var wg sync.WaitGroup
	for what, f := range map[string]func(nc net.Conn){
		"nothing at all": func(net.Conn) {},
		"half a header":  func(nc net.Conn) { nc.Write(login[:2]) },
		"half a login":   func(nc net.Conn) { nc.Write(login[:len(login)/2]) },
		"a byte now and then": func(nc net.Conn) {
			for i := range login {
				if _, err := nc.Write(login[i : i+1]); err != nil {
					return
				}
				time.Sleep(300 * time.Millisecond)
			}
		},
	} {
		for range 10 {
			nc, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer nc.Close()
				go f(nc)
				readAll(t, what, nc, 20*time.Second)
			})
		}
	}
	wg.Wait()
	stop()
	settled(t, p, before)
}

// A client that wants TLS although the greeting offers none is told so.
func TestTLSThatIsNotOffered(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls=off")
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	caps := uint32(capsBase | capSSL)
	request := append(u32(caps), make([]byte, 28)...)
	if _, err := nc.Write(append(packetOf(1, request), 0x16, 0x03, 0x01, 0x00, 0x05)); err != nil { // and a ClientHello behind it
		t.Fatal(err)
	}
	got := readAll(t, "an SSLRequest", nc, 20*time.Second)
	n := 4 + int(got[0]) // the greeting
	if len(got) < n+13 || got[n+3] != 2 || got[n+4] != 0xFF || got[n+7] != '#' {
		t.Errorf("behind the greeting came %q, want an ERR with sequence id 2 and an SQLSTATE", got[min(n, len(got)):])
	}
}
