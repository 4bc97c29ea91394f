package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// fakeGreeting is a server's first packet, with a challenge that nobody checks.
var fakeGreeting = func() []byte {
	b := append([]byte{10}, "5.5.5-10.11.0-fake\x00"...)
	b = append(b, 7, 0, 0, 0)
	b = append(b, "abcdefgh\x00"...)
	b = append(b, 0xFE, 0xF7, 45, 2, 0, 0xFF, 0x81, 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, "ijklmnopqrst\x00mysql_native_password\x00"...)
	return packetOf(0, b)
}()

// fakeOK is an OK with sequence id seq.
func fakeOK(seq byte) []byte { return packetOf(seq, []byte{0, 0, 0, 2, 0, 0, 0}) }

func packetOf(seq byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, payload...)
}

// fakeBackend is a listener that plays a script to every connection. What the
// script leaves open stays open until the test ends.
type fakeBackend struct {
	addr string
	mu   sync.Mutex
	open []net.Conn
}

func startFake(t *testing.T, script func(nc net.Conn)) *fakeBackend {
	t.Helper()
	ln := enginetest.Listen(t)
	f := &fakeBackend{addr: ln.Addr().String()}
	t.Cleanup(func() {
		ln.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, nc := range f.open {
			nc.Close()
		}
	})
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.open = append(f.open, nc)
			f.mu.Unlock()
			go script(nc)
		}
	}()
	return f
}

// fakeLogin is a server's part of a login that admits anybody.
func fakeLogin(nc net.Conn) bool {
	if _, err := nc.Write(fakeGreeting); err != nil {
		return false
	}
	if !readFakePacket(nc) {
		return false
	}
	_, err := nc.Write(fakeOK(2))
	return err == nil
}

// fakeAnswers answers commands: what begins with SELECT by a row, all else by an OK.
func fakeAnswers(nc net.Conn) {
	column := append([]byte("\x03def\x00\x00\x00\x01a\x00\x0c\x2d\x00"), 1, 0, 0, 0, 0xFD, 0, 0, 0, 0, 0)
	row := slices.Concat(packetOf(1, []byte{1}), packetOf(2, column), packetOf(3, []byte{0xFE, 0, 0, 2, 0}), packetOf(4, []byte("\x011")), packetOf(5, []byte{0xFE, 0, 0, 2, 0}))
	for b := make([]byte, 256); ; {
		if _, err := io.ReadFull(nc, b[:4]); err != nil {
			return
		}
		payload := b[:b[0]]
		if _, err := io.ReadFull(nc, payload); err != nil {
			return
		}
		out := fakeOK(1)
		if bytes.HasPrefix(payload[1:], []byte("SELECT")) {
			out = row
		}
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// readFakePacket reads one packet and forgets it.
func readFakePacket(nc net.Conn) bool {
	var h [4]byte
	if _, err := io.ReadFull(nc, h[:]); err != nil {
		return false
	}
	_, err := io.CopyN(io.Discard, nc, int64(h[0])|int64(h[1])<<8|int64(h[2])<<16)
	return err == nil
}

// fakeLoginPacket is a login packet that asks for caps.
func fakeLoginPacket(caps uint32) []byte {
	b := append(u32(caps), 0, 0, 0, 64, 45)
	b = append(b, make([]byte, 23)...)
	b = append(b, "app\x00\x00"...)
	return packetOf(1, append(b, "mysql_native_password\x00"...))
}

// drop closes nc by RST, so that the peer sees an error instead of an end.
func drop(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0) // without it the close is orderly, which is as good here
	}
	nc.Close()
}

// readAll reads what still comes from a peer that must close within limit, or
// patience if that is longer.
func readAll(t *testing.T, what string, nc net.Conn, limit time.Duration) []byte {
	t.Helper()
	limit = max(limit, patience)
	if err := nc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	_, err := io.Copy(&all, bufio.NewReader(nc))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Errorf("%s: not closed within %v; got %q so far", what, limit, clip(all.String()))
	}
	return all.Bytes()
}
