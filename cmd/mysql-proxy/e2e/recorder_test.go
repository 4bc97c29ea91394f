package e2e

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"mysqlproxy/engine/enginetest"
)

// recorder is a TCP relay to a server that keeps what is sent to the server.
type recorder struct {
	addr string
	mu   sync.Mutex
	sent []*bytes.Buffer // one a connection
}

func startRecorder(t *testing.T, target string) *recorder {
	t.Helper()
	return startRecorderOn(t, enginetest.FreeAddr(t), target)
}

func startRecorderOn(t *testing.T, addr, target string) *recorder {
	t.Helper()
	r := &recorder{addr: addr}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go r.relay(client, target)
		}
	}()
	return r
}

func (r *recorder) relay(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	kept := new(bytes.Buffer)
	r.mu.Lock()
	r.sent = append(r.sent, kept)
	r.mu.Unlock()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server) // its end is the connection's, whatever it was
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		r.mu.Lock()
		kept.Write(buf[:n])
		r.mu.Unlock()
		if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// count is how often text was sent to the server, as it is.
func (r *recorder) count(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.sent {
		n += bytes.Count(b.Bytes(), []byte(text))
	}
	return n
}

// connections is how many there were.
func (r *recorder) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}
