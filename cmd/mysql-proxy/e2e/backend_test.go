package e2e

import (
	"bufio"
	"bytes"
	"io"
	"math/rand"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// tooMany is what a server sends instead of its greeting when it is full.
var tooMany = packetOf(0, []byte("\xff\x10\x04Too many connections"))

// Backends that send anything but the protocol. The session with the bad one
// comes to an end, the session with the good one beside it does not notice.
func TestHostileBackends(t *testing.T) {
	garbage := make([]byte, 3000)
	rand.New(rand.NewSource(5)).Read(garbage)
	answer := func(b ...byte) func(net.Conn) {
		return func(nc net.Conn) {
			if fakeLogin(nc) && readFakePacket(nc) { // the query
				_, _ = nc.Write(b)
			}
			nc.Close()
		}
	}
	column := packetOf(2, []byte("\x03def\x00\x00\x00\x01a\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00"))
	eof := []byte{0xFE, 0, 0, 2, 0}
	for name, script := range map[string]func(nc net.Conn){
		"garbage instead of a greeting":  func(nc net.Conn) { _, _ = nc.Write(garbage); nc.Close() },
		"half a greeting":                func(nc net.Conn) { _, _ = nc.Write(fakeGreeting[:40]); nc.Close() },
		"half a greeting and silence":    func(nc net.Conn) { _, _ = nc.Write(fakeGreeting[:40]) },
		"a close at once":                func(nc net.Conn) { nc.Close() },
		"a reset at once":                func(nc net.Conn) { drop(nc) },
		"silence":                        func(net.Conn) {},
		"an empty packet for a greeting": func(nc net.Conn) { _, _ = nc.Write([]byte{0, 0, 0, 0}) },
		"a greeting of 16 MB":            func(nc net.Conn) { _, _ = nc.Write(append([]byte{0xFE, 0xFF, 0xFF, 0, 10}, garbage...)) },
		"protocol version 9":             func(nc net.Conn) { _, _ = nc.Write(packetOf(0, []byte("\x093.20.0\x00\x01\x00\x00\x00abcdefgh\x00"))) },
		"a greeting twice":               func(nc net.Conn) { _, _ = nc.Write(append(bytes.Clone(fakeGreeting), fakeGreeting...)) },
		"garbage after the login":        func(nc net.Conn) { fakeLogin(nc); _, _ = nc.Write(garbage); nc.Close() },
		"an OK that nobody asked for":    func(nc net.Conn) { fakeLogin(nc); _, _ = nc.Write(fakeOK(1)) },
		"an ERR that nobody asked for": func(nc net.Conn) {
			fakeLogin(nc)
			_, _ = nc.Write(packetOf(0, []byte("\xff\x1f\x04#HY000bye")))
			nc.Close()
		},
		"garbage instead of a response":         answer(garbage...),
		"a close instead of a response":         answer(),
		"an empty packet as a response":         answer(0, 0, 0, 1),
		"half a response":                       answer(cat([]byte{1, 0, 0, 1, 1}, column[:10])...),
		"2^64-1 columns":                        answer(9, 0, 0, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF),
		"a cut length":                          answer(2, 0, 0, 1, 0xFC, 1),
		"a file request nobody expects":         answer(cat(packetOf(1, []byte("\xfb/etc/passwd")), fakeOK(2))...),
		"an OK that ends in its middle":         answer(3, 0, 0, 1, 0, 0xFE, 1),
		"an EOF that ends in its middle":        answer(cat([]byte{1, 0, 0, 1, 1}, column, []byte{2, 0, 0, 3, 0xFE, 0})...),
		"two responses for one command":         answer(cat(fakeOK(1), fakeOK(1))...),
		"a row of 16 MB that does not come":     answer(cat([]byte{1, 0, 0, 1, 1}, column, packetOf(3, eof), []byte{0xFE, 0xFF, 0xFF, 4, 1})...),
		"20 MB of empty packets":                answer(cat([]byte{1, 0, 0, 1, 1}, column, packetOf(3, eof), make([]byte, 20<<20))...),
		"a reset in the middle of the response": func(nc net.Conn) { fakeLogin(nc); readFakePacket(nc); _, _ = nc.Write([]byte{1, 0, 0, 1, 1}); drop(nc) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hostileBackend(t, script)
		})
	}
}

func hostileBackend(t *testing.T, script func(net.Conn)) {
	var visits atomic.Int32
	f := startFake(t, func(nc net.Conn) { visits.Add(1); script(nc) })
	p, stop, before := besides(t, []string{bed.Primary.Addr, f.addr})
	// The next client is for the one without sessions: the fake one.
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := &session{&rawConn{nc: nc, br: bufio.NewReader(nc), tr: &trace{}, timeout: patience}, t}
	c.attempt(func() {
		c.quietPacket() // a greeting, of whichever server
		c.write(fakeLoginPacket(capsBase &^ capConnectWithDB))
		c.quietPacket()
		c.write(packetOf(0, []byte("\x03SELECT 1")))
		c.nc.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c.br); err != nil { // millions of packets, it may be
			c.ended(err)
		}
		c.end("closed")
	})
	if c.tr.last() != "closed" && !landedElsewhere(c) {
		t.Errorf("the client's session did not end: %q", c.tr.last())
	}
	eventually(t, patience, "somebody came to the hostile backend", func() bool { return visits.Load() > 0 })
	nc.Close()
	stop()
	settled(t, p, before)
}

// landedElsewhere tells whether the session is one that works: the proxy may
// go on to the next backend when one does not even greet.
func landedElsewhere(c *session) bool { return c.ask("SELECT 1") == "1" }

// A full server's ERR passes as it is.
func TestErrorInsteadOfAGreeting(t *testing.T) {
	f := startFake(t, func(nc net.Conn) { _, _ = nc.Write(tooMany); nc.Close() })
	p := startProxy(t, []string{f.addr})
	for range 3 {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetReadDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(nc)
		nc.Close()
		if !bytes.Equal(got, tooMany) || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, tooMany)
		}
	}
}
